/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Follows queues as they come and go.  The main thread. */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "format.h"
#include "observe/sample.h"
#include "select.h"

#define LOOKS	     3
#define FOLLOW_NS    1000000000ULL
#define SPARE_QUEUES 64

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	if (signals++)
		_exit(128 + sig);
}

void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

bool interrupted(void)
{
	return signals;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* --- which queues --- */

static void name_slot(const struct session *s, struct slot_info *info)
{
	const struct queue *q = &info->queue;
	const char *vm = world_vm(s->world, q->vmm);
	char vm_pid[32], device[16];

	snprintf(vm_pid, sizeof(vm_pid), "%u", q->vmm);
	snprintf(device, sizeof(device), "%u", q->device);
	snprintf(info->name, sizeof(info->name), "%.31s:%.40s:%u", *vm ? vm : vm_pid,
		 q->name[0] ? base_name(q->name) : device, q->index);
}

const char *session_queue_name(const struct session *s, uint32_t slot)
{
	return slot < s->nslots ? s->slots[slot].name : "";
}

unsigned int session_selected(const struct session *s)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < s->nslots; i++)
		n += s->slots[i].selected && s->slots[i].present;
	return n;
}

/* --- telling the kernel --- */

/* With so few kicks of a process, a wake-up looks at all their counters. */
#define FEW_KICKS 4

static unsigned int kicks_of(const struct session *s, uint32_t backend)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < s->nslots; i++)
		n += s->slots[i].present && s->slots[i].queue.backend == backend;
	return n;
}

static void watch_end(struct session *s, uint32_t slot, uint64_t *known, const struct end *e,
		      uint8_t role, bool wanted)
{
	const struct queue *q = &s->slots[slot].queue;
	uint64_t obj = wanted ? e->obj : 0;
	struct watch w = {.queue = slot, .id = e->id, .role = role};
	struct few_fd at[2] = {{e->vmm_file, q->vmm, e->vmm_fd},
			       {e->backend_file, q->backend, e->backend_fd}};

	w.hint = role == ROLE_KICK ? kicks_of(s, q->backend) > FEW_KICKS : q->gsi != 0;
	w.unseen = role == ROLE_KICK && q->notify_addr;

	if (*known && *known != obj)
		(void)loader_unwatch(s->loader, *known);
	*known = obj;
	if (obj && loader_watch(s->loader, obj, &w, at))
		say("%s: no room to watch it", session_queue_name(s, slot));
}

static void watch_slot(struct session *s, uint32_t slot)
{
	struct slot_info *info = &s->slots[slot];
	struct qstate *q = loader_queue(s->loader, slot);
	bool on = info->selected && info->present;

	if (!q)
		return;
	if (on && info->kick_obj != info->queue.kick.obj) {
		/* What was in the counter before is no kick of ours. */
		info->kick_before = info->queue.kick.count;
		__atomic_fetch_add(&q->kicks, info->queue.kick.count, __ATOMIC_RELAXED);
		info->kick_added += info->queue.kick.count;
		q->vmm = info->queue.vmm;
		q->backend = info->queue.backend;
	}
	watch_end(s, slot, &info->kick_obj, &info->queue.kick, ROLE_KICK,
		  on && selects_side(s->opt, ROLE_KICK));
	watch_end(s, slot, &info->call_obj, &info->queue.call, ROLE_CALL,
		  on && selects_side(s->opt, ROLE_CALL));
}

static void add_target(uint32_t *targets, unsigned int *n, uint32_t tgid)
{
	for (unsigned int i = 0; i < *n; i++) {
		if (targets[i] == tgid)
			return;
	}
	if (*n < LOADER_TARGETS)
		targets[(*n)++] = tgid;
}

static void set_targets(struct session *s)
{
	uint32_t targets[LOADER_TARGETS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->opt->npids; i++)
		add_target(targets, &n, s->opt->pids[i]);
	for (uint32_t i = 0; i < s->nslots; i++) {
		if (!s->slots[i].selected || !s->slots[i].present)
			continue;
		add_target(targets, &n, s->slots[i].queue.backend);
		add_target(targets, &n, s->slots[i].queue.vmm);
	}
	loader_set_targets(s->loader, targets, n);
}

static void set_groups(struct session *s)
{
	for (uint32_t i = 0; i < s->nslots; i++) {
		uint32_t tgid = s->slots[i].queue.backend;
		struct group g = {0};

		for (uint32_t j = 0; j < s->nslots && g.n < GROUP_MAX; j++) {
			const struct slot_info *info = &s->slots[j];

			if (!info->kick_obj || info->queue.backend != tgid)
				continue;
			/* The first of a process sets its group, once. */
			if (j < i && !g.n)
				break;
			g.queue[g.n] = j;
			g.ctx[g.n++] = info->kick_obj;
		}
		if (g.n)
			(void)loader_set_group(s->loader, tgid, &g);
	}
}

static void set_notifies(struct session *s)
{
	const struct found *f = world_found(s->world);

	for (size_t i = 0; i < f->nrecs; i++) {
		const struct scan_rec *r = &f->recs[i];
		struct notify_key key = {.tgid = r->tgid};

		if (r->what != SCAN_IOEVENTFD)
			continue;
		key.bus = r->ioeventfd.bus == SCAN_BUS_PIO ? 0 : 1;
		key.addr = r->ioeventfd.addr;
		key.match = r->ioeventfd.wildcard ? NOTIFY_ANY : r->ioeventfd.match;
		for (uint32_t j = 0; j < s->nslots; j++) {
			if (s->slots[j].kick_obj == r->obj)
				(void)loader_set_notify(s->loader, &key, j);
		}
	}
}

static void attach_libvu(struct session *s, uint32_t pid)
{
	for (unsigned int i = 0; i < s->nlibvu; i++) {
		if (s->libvu_pids[i] == pid)
			return;
	}
	if (s->nlibvu == MAX_PIDS)
		return;
	s->libvu_pids[s->nlibvu++] = pid;
	(void)loader_attach_libvu(s->loader, pid);
}

/* --- looking again --- */

static int grow_slots(struct session *s)
{
	uint32_t n = world_slots(s->world);
	struct slot_info *bigger;

	if (n <= s->nslots)
		return 0;
	bigger = realloc(s->slots, n * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + s->nslots, 0, (n - s->nslots) * sizeof(*bigger));
	s->slots = bigger;
	s->nslots = n;
	s->role_looks = 0;
	return 0;
}

static void take_topo(struct session *s)
{
	const struct topo *t = world_topo(s->world);

	for (uint32_t i = 0; i < s->nslots; i++)
		s->slots[i].present = false;
	for (size_t i = 0; i < t->nqueues; i++) {
		struct slot_info *info = &s->slots[t->queues[i].slot];
		char name[sizeof(info->queue.name)];

		/* A connection may end before the eventfds that came over it do. */
		memcpy(name, info->queue.name, sizeof(name));
		info->queue = t->queues[i];
		if (!info->queue.name[0])
			memcpy(info->queue.name, name, sizeof(name));
		info->present = true;
		name_slot(s, info);
	}
	session_find_roles(s);
	for (uint32_t i = 0; i < s->nslots; i++) {
		struct slot_info *info = &s->slots[i];

		if (info->present)
			info->selected = selects_queue(s->opt, &info->queue,
						       world_vm(s->world, info->queue.vmm),
						       info->role);
	}
}

static int look(struct session *s, unsigned int looks)
{
	int ret = world_look(s->world, looks);

	if (!ret)
		ret = grow_slots(s);
	if (ret)
		return ret;
	take_topo(s);
	if (!s->loader)
		return 0;
	for (uint32_t i = 0; i < s->nslots; i++)
		watch_slot(s, i);
	set_groups(s);
	set_notifies(s);
	set_targets(s);
	for (uint32_t i = 0; i < s->nslots; i++) {
		if (s->slots[i].selected && s->slots[i].present)
			attach_libvu(s, s->slots[i].queue.backend);
	}
	return 0;
}

/* Whether all processes that were asked for have ended: none of them comes back. */
static bool all_gone(const struct session *s)
{
	for (unsigned int i = 0; i < s->opt->npids; i++) {
		struct vu__procfs_stat st;

		if (!vu__procfs_stat(world_proc(s->world), s->opt->pids[i], 0, &st) &&
		    st.state != 'Z' && st.state != 'X')
			return false;
	}
	return s->opt->npids;
}

int session_update(struct session *s)
{
	s->table_changed = false;
	if (!s->gone && all_gone(s)) {
		s->gone = true;
		say("process %u has ended%s", s->opt->pids[0],
		    s->opt->npids > 1 ? ", and so have the others" : "");
	}
	return look(s, 1);
}

int session_status(const struct session *s)
{
	for (uint32_t i = 0; i < s->nslots; i++) {
		if (s->slots[i].selected)
			return EXIT_OK;
	}
	if (!s->no_bpf)
		say("no queue came");
	return EXIT_FAILED;
}

/* --- begin and end --- */

/* Goes on without BPF, unless a tier was asked for that needs it. */
static int open_world(struct session *s)
{
	int ret = world_new(&s->world, s->opt->tier != 'E');

	if (ret && !s->opt->tier) {
		s->no_bpf = ret;
		ret = world_new(&s->world, false);
	}
	if (ret && s->opt->tier && s->opt->tier != 'E')
		say("BPF cannot be used: %s; 'vu-trace check' tells more, --tier=E does without",
		    bpf_error(-ret));
	else if (ret)
		say("looking at processes: %s", strerror(-ret));
	return ret;
}

/* 0; or an exit status. */
static int open_loader(struct session *s, struct load_options *o)
{
	char why[256];
	int ret;

	o->tier = s->opt->tier;
	o->no_syscalls = s->opt->no_syscalls;
	o->ring_bytes = s->opt->ring_bytes;
	o->min_ns = s->opt->min_ns;
	o->sample = s->opt->sample;
	o->eventfd_fops = world_fops(s->world);
	o->max_queues = world_slots(s->world) + SPARE_QUEUES;
	ret = loader_new(&s->loader, o, why, sizeof(why));
	if (ret && !s->opt->tier) {
		s->no_bpf = ret;
		return 0;
	}
	if (ret) {
		say("%s", why);
		return EXIT_FAILED;
	}
	s->tier = loader_tier(s->loader);
	if (s->tier == 'C' && !o->no_syscalls)
		say("tier C: every system call of every process is some 70 ns slower meanwhile "
		    "(--no-syscalls: not, but reads and writes are not seen)");
	return 0;
}

static bool has_eventfds(const struct session *s, uint32_t pid)
{
	const struct found *f = world_found(s->world);

	for (size_t i = 0; i < f->nrecs; i++) {
		if (f->recs[i].what == SCAN_EVENTFD && f->recs[i].tgid == pid)
			return true;
	}
	return false;
}

/* Whether what a process has open may be looked at. */
static bool may_see(uint32_t pid)
{
	char path[32], target[8];

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	return readlink(path, target, sizeof(target)) >= 0 || (errno != EACCES && errno != EPERM);
}

/* A process that was asked for and is not there, or has nothing.  0; or an exit status. */
static int check_pids(const struct session *s, bool will_follow)
{
	for (unsigned int i = 0; i < s->opt->npids; i++) {
		struct vu__procfs_stat st;
		uint32_t pid = s->opt->pids[i];

		if (vu__procfs_stat(world_proc(s->world), pid, 0, &st)) {
			say("process %u: there is none", pid);
			return EXIT_FAILED;
		}
		if (has_eventfds(s, pid))
			continue;
		if (!may_see(pid))
			say("process %u (%s): what it has open may not be seen (CAP_SYS_PTRACE)",
			    pid, st.comm);
		else
			say("process %u (%s): has no eventfds%s", pid, st.comm,
			    will_follow ? " yet" : "");
		if (!will_follow)
			return EXIT_FAILED;
	}
	return 0;
}

void session_say_none(const struct session *s, const char *more)
{
	char text[256];
	unsigned int others = 0;

	for (uint32_t i = 0; i < s->nslots; i++)
		others += s->slots[i].present;
	selection_text(s->opt, text, sizeof(text));
	if (!text[0])
		say("no queue of a vhost-user back-end is here%s", more);
	else if (others)
		say("no queue is selected by %s; there are %u others, which 'vu-trace map' "
		    "shows%s", text, others, more);
	else
		say("no queue is selected by %s, nor is there any other%s", text, more);
}

/* What tier E cannot do.  0; or an exit status. */
static int check_without(const struct session *s)
{
	if (s->opt->min_ns || s->opt->trigger || s->opt->sample > 1 || s->opt->heat) {
		say("tier E: has no single rounds: no --min-latency, --trigger, --sample, --heat");
		return EXIT_FAILED;
	}
	return 0;
}

bool session_goes_on(const struct session *s, bool any)
{
	if (any && s->no_bpf)
		say("BPF cannot be used: %s; going on with tier E, which sees less: "
		    "'vu-trace check' tells more", bpf_error(-s->no_bpf));
	else if (s->no_bpf)
		say("BPF cannot be used: %s; and no queue is seen without it; 'vu-trace check' "
		    "tells more", bpf_error(-s->no_bpf));
	else if (!any)
		session_say_none(s, "; waiting for one");
	return any || !s->no_bpf;
}

int session_open(struct session *s, const struct options *opt, struct load_options *o)
{
	int ret;

	*s = (struct session){.opt = opt, .tier = 'E', .begun_ns = now_ns()};
	s->want_roles = opt->roles || !o;
	catch_signals();
	ret = open_world(s);
	if (ret)
		return EXIT_FAILED;
	ret = look(s, LOOKS);
	if (ret) {
		say("looking at processes: %s", strerror(-ret));
		return EXIT_FAILED;
	}
	ret = check_pids(s, o);
	if (!ret && o && world_has_bpf(s->world))
		ret = open_loader(s, o);
	if (!ret && o && !s->loader)
		ret = check_without(s);
	if (ret)
		return ret;
	ret = s->loader ? session_update(s) : 0;
	if (ret) {
		say("looking at processes: %s", strerror(-ret));
		return EXIT_FAILED;
	}
	s->begun_ns = now_ns();
	if (s->loader && o->messages && !session_selected(s))
		session_say_none(s, "; waiting for one");
	if (opt->verbose)
		say("tracing %u queues, tier %c", session_selected(s), s->tier);
	return -1;
}

void session_close(struct session *s)
{
	loader_free(s->loader);
	world_free(s->world);
	vu__sampler_free(s->sampler);
	free(s->slots);
}

/* --- running --- */

struct dispatch {
	struct session *s;
	event_fn *fn;
	void *opaque;
};

static void on_event(void *opaque, const struct event *e, size_t size)
{
	struct dispatch *d = opaque;

	if (e->kind == EV_TABLE) {
		world_add_message(d->s->world, e);
		d->s->table_changed = true;
		if (d->s->opt->kinds && !(d->s->opt->kinds & 1U << EV_TABLE))
			return;
	}
	d->fn(d->opaque, e, size);
}

bool session_run(struct session *s, int ms, event_fn *fn, void *opaque)
{
	struct dispatch d = {s, fn, opaque};
	static uint64_t followed;
	uint64_t now;

	if (loader_poll(s->loader, ms, on_event, &d) < 0)
		return false;
	now = now_ns();
	if (s->table_changed || now - followed > FOLLOW_NS) {
		unsigned int n = session_selected(s);

		followed = now;
		if (session_update(s))
			return false;
		if (s->opt->verbose && session_selected(s) != n)
			say("following %u queues", session_selected(s));
	}
	if (interrupted() || s->gone ||
	    (s->opt->duration && now - s->begun_ns >= s->opt->duration * 1e9)) {
		/* What is in the buffer has happened before. */
		loader_stop(s->loader, on_event, &d);
		return false;
	}
	return !s->done;
}

bool session_say_losses(const struct session *s)
{
	bool lost = false;

	if (!s->loader)
		return false;
	for (unsigned int k = 1; k < EV_KINDS; k++) {
		struct probe_stat st;

		loader_stat(s->loader, k, &st);
		if (!st.drops)
			continue;
		say("%s: %llu of %llu events lost, the buffer was full (--buffer, --sample, --kinds)",
		    kind_name(k), (unsigned long long)st.drops, (unsigned long long)st.hits);
		lost = true;
	}
	for (unsigned int i = 0; i < nprobes; i++) {
		struct probe_report r;

		loader_report(s->loader, i, &r);
		if (!r.missed)
			continue;
		say("%s: skipped %llu times by the kernel, counts are too low",
		    probes[i].program, (unsigned long long)r.missed);
		lost = true;
	}
	return lost;
}
