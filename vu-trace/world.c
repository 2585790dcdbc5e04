/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gathers what is found on this host.  The main thread. */
#include "worldimpl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scan_run.h"

#define LOOK_PAUSE_NS 15000000

/* Room for one more element of @size bytes, zeroed; NULL without memory. */
void *world_append(struct list *l, size_t size)
{
	void *p;

	if (l->n == l->size) {
		p = realloc(l->at, (l->size * 2 + 16) * size);
		if (!p)
			return NULL;
		l->at = p;
		l->size = l->size * 2 + 16;
	}
	p = (char *)l->at + l->n++ * size;
	memset(p, 0, size);
	return p;
}

int world_new(struct world **out, bool bpf)
{
	struct world *w = calloc(1, sizeof(*w));
	int ret;

	if (!w)
		return -ENOMEM;
	ret = vu__procfs_open(&w->proc, NULL);
	if (ret) {
		free(w);
		return ret;
	}
	if (bpf)
		ret = scanner_new(&w->scanner);
	if (ret) {
		world_free(w);
		return ret;
	}
	*out = w;
	return 0;
}

void world_free(struct world *w)
{
	if (!w)
		return;
	topo_release(&w->topo);
	scanner_free(w->scanner);
	vu__procfs_close(&w->proc);
	free(w->recs);
	free(w->procs.at);
	free(w->links.at);
	free(w->watches.at);
	free(w->facts.at);
	free(w->slots.at);
	free(w->waiters.at);
	free(w);
}

bool world_has_bpf(const struct world *w)
{
	return w->scanner;
}

uint64_t world_fops(const struct world *w)
{
	return scanner_fops(w->scanner);
}

/* --- eventfds --- */

/* Without BPF an eventfd's id stands for it. */
static int scan_proc(struct world *w)
{
	struct list recs = {0};
	pid_t *pids = NULL;
	ssize_t n = vu__procfs_pids(&w->proc, &pids);

	if (n < 0)
		return n;
	for (ssize_t i = 0; i < n; i++) {
		struct vu__procfs_fds fds;

		if (vu__procfs_fds(&w->proc, pids[i], 1U << VU__FD_EVENTFD | 1U << VU__FD_KVM_VM, &fds))
			continue;
		for (size_t j = 0; j < fds.n; j++) {
			struct scan_rec *r;

			if (fds.fds[j].kind == VU__FD_EVENTFD && fds.fds[j].event < 0)
				continue;
			r = world_append(&recs, sizeof(*r));
			if (!r)
				break;
			r->tgid = pids[i];
			r->what = fds.fds[j].kind == VU__FD_EVENTFD ? SCAN_EVENTFD : SCAN_VM;
			r->obj = fds.fds[j].event + 1;
			if (r->what != SCAN_EVENTFD)
				continue;
			r->eventfd.fd = fds.fds[j].fd;
			r->eventfd.id = fds.fds[j].event;
			r->eventfd.count = fds.fds[j].count;
		}
		vu__procfs_fds_release(&fds);
	}
	free(pids);
	w->recs = recs.at;
	w->nrecs = recs.n;
	return 0;
}

/* Whether it shares an eventfd with another process. */
static bool shares(const struct world *w, uint32_t tgid)
{
	for (size_t i = 0; i < w->nrecs; i++) {
		if (w->recs[i].what != SCAN_EVENTFD || w->recs[i].tgid != tgid)
			continue;
		for (size_t j = 0; j < w->nrecs; j++) {
			if (w->recs[j].what == SCAN_EVENTFD && w->recs[j].tgid != tgid &&
			    w->recs[j].obj == w->recs[i].obj)
				return true;
		}
	}
	return false;
}

/* The thread sleeps in a wait for some of the process's eventfds. */
static void mark_poller(struct world *w, uint32_t tgid, pid_t tid)
{
	struct vu__obs_worker worker;
	int fds[512];
	ssize_t n;

	if (vu__procfs_worker(&w->proc, tgid, tid, &worker))
		return;
	n = vu__procfs_worker_fds(&w->proc, tgid, &worker, fds, VU_ARRAY_SIZE(fds));
	n = VU_MIN(n, (ssize_t)VU_ARRAY_SIZE(fds));
	for (size_t i = 0; i < w->nrecs; i++) {
		struct scan_rec *r = &w->recs[i];

		if (r->what != SCAN_EVENTFD || r->tgid != tgid)
			continue;
		for (ssize_t j = 0; j < n; j++) {
			if (fds[j] == r->eventfd.fd)
				r->eventfd.poller = tgid;
		}
	}
}

/* Who sleeps in poll(), where the kernel's own lists of it cannot be read. */
static void find_pollers(struct world *w)
{
	uint32_t last = 0;

	for (size_t i = 0; i < w->nrecs; i++) {
		uint32_t tgid = w->recs[i].tgid;
		pid_t *tids = NULL;
		ssize_t n;

		if (tgid == last)
			continue;
		last = tgid;
		if (!shares(w, tgid))
			continue;
		n = vu__procfs_tids(&w->proc, tgid, &tids);
		for (ssize_t t = 0; t < n; t++)
			mark_poller(w, tgid, tids[t]);
		free(tids);
	}
}

static int scan(struct world *w)
{
	int ret;

	free(vu__steal_ptr(&w->recs));
	w->nrecs = 0;
	if (w->scanner)
		return scanner_run(w->scanner, &w->recs, &w->nrecs);
	ret = scan_proc(w);
	if (!ret)
		find_pollers(w);
	return ret;
}

/* Somebody was seen to sleep in poll() on an eventfd. */
struct waiter {
	uint64_t obj;
	int32_t id;
	uint32_t tgid;
	bool here; /* the eventfd still is */
};

static struct waiter *waiter_of(struct world *w, const struct scan_rec *r)
{
	for (size_t i = 0; i < w->waiters.n; i++) {
		struct waiter *p = (struct waiter *)w->waiters.at + i;

		if (p->obj == r->obj && p->id == r->eventfd.id)
			return p;
	}
	return NULL;
}

/* Who slept in poll() at an earlier look waits, also when it has something to do now. */
static void remember_waiters(struct world *w)
{
	struct waiter *list = w->waiters.at;
	size_t kept = 0;

	for (size_t i = 0; i < w->waiters.n; i++)
		list[i].here = false;
	for (size_t i = 0; i < w->nrecs; i++) {
		struct scan_rec *r = &w->recs[i];
		struct waiter *p;

		if (r->what != SCAN_EVENTFD)
			continue;
		p = waiter_of(w, r);
		if (!p && r->eventfd.poller)
			p = world_append(&w->waiters, sizeof(*p));
		if (!p)
			continue;
		if (r->eventfd.poller)
			*p = (struct waiter){r->obj, r->eventfd.id, r->eventfd.poller, true};
		p->here = true;
		r->eventfd.poller = p->tgid;
	}
	list = w->waiters.at;
	for (size_t i = 0; i < w->waiters.n; i++) {
		if (list[i].here)
			list[kept++] = list[i];
	}
	w->waiters.n = kept;
}

static int scan_more(struct world *w, unsigned int looks)
{
	struct timespec pause = {.tv_nsec = LOOK_PAUSE_NS};
	int ret = 0;

	for (unsigned int i = 0; i < looks && !ret; i++) {
		if (i)
			nanosleep(&pause, NULL);
		ret = scan(w);
		if (!ret)
			remember_waiters(w);
	}
	return ret;
}

/* --- processes --- */

static bool has_record(const struct world *w, uint32_t tgid, enum scan_what what)
{
	for (size_t i = 0; i < w->nrecs; i++) {
		if (w->recs[i].tgid == tgid && w->recs[i].what == what)
			return true;
	}
	return false;
}

static bool any_thread_runs(const struct world *w, pid_t pid)
{
	bool ret = false;
	pid_t *tids = NULL;
	ssize_t n = vu__procfs_tids(&w->proc, pid, &tids);

	for (ssize_t i = 0; i < n && !ret; i++) {
		struct vu__procfs_stat st;

		ret = !vu__procfs_stat(&w->proc, pid, tids[i], &st) && st.state == 'R';
	}
	free(tids);
	return ret;
}

/* QEMU's -name: the text, or what "guest=" says. */
static void read_vm_name(const struct world *w, struct found_proc *p)
{
	char line[16384];
	ssize_t len = vu__procfs_cmdline(&w->proc, p->tgid, line, sizeof(line));
	const char *name = len > 0 ? vu__procfs_option(line, len, "name", 0) : NULL;
	char text[64];

	if (!name)
		return;
	if (!vu__procfs_suboption(name, "guest", text, sizeof(text)) &&
	    !vu__procfs_suboption(name, NULL, text, sizeof(text)))
		return;
	vu__procfs_copy_text(p->vm, sizeof(p->vm), text, strlen(text));
}

static int find_procs(struct world *w)
{
	uint32_t last = 0;

	w->procs.n = 0;
	for (size_t i = 0; i < w->nrecs; i++) {
		uint32_t tgid = w->recs[i].tgid;
		struct vu__procfs_stat st;
		struct found_proc *p;

		if (tgid == last)
			continue;
		last = tgid;
		if (!shares(w, tgid) || vu__procfs_stat(&w->proc, tgid, 0, &st))
			continue;
		p = world_append(&w->procs, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->tgid = tgid;
		p->ppid = st.ppid;
		memcpy(p->comm, st.comm, sizeof(p->comm));
		p->vmm = has_record(w, tgid, SCAN_VM) || is_monitor_name(p->comm);
		p->running = any_thread_runs(w, tgid);
		if (p->vmm)
			read_vm_name(w, p);
	}
	return 0;
}

/* --- what epoll sets watch --- */

static int find_watches(struct world *w)
{
	const struct found_proc *procs = w->procs.at;

	w->watches.n = 0;
	for (size_t i = 0; i < w->procs.n; i++) {
		struct vu__procfs_fds fds;
		int watched[4096];

		if (vu__procfs_fds(&w->proc, procs[i].tgid, 1U << VU__FD_EPOLL, &fds))
			continue;
		for (size_t j = 0; j < fds.n; j++) {
			ssize_t n = vu__procfs_epoll(&w->proc, procs[i].tgid, fds.fds[j].fd,
						   watched, VU_ARRAY_SIZE(watched));

			n = VU_MIN(n, (ssize_t)VU_ARRAY_SIZE(watched));
			for (ssize_t k = 0; k < n; k++) {
				struct found_watch *f = world_append(&w->watches, sizeof(*f));

				if (!f)
					break;
				*f = (struct found_watch){procs[i].tgid, watched[k]};
			}
		}
		vu__procfs_fds_release(&fds);
	}
	return 0;
}

/* --- messages --- */

/* The record of an eventfd that @tgid still has. */
static const struct scan_rec *record_of(const struct world *w, uint32_t tgid, uint64_t obj)
{
	for (size_t i = 0; i < w->nrecs; i++) {
		const struct scan_rec *r = &w->recs[i];

		if (r->what == SCAN_EVENTFD && r->tgid == tgid && r->obj == obj)
			return r;
	}
	return NULL;
}

void world_add_message(struct world *w, const struct event *e)
{
	const struct scan_rec *r;
	struct found_fact *f = NULL;
	uint16_t index = e->other & TABLE_INDEX;

	for (size_t i = 0; i < w->facts.n; i++) {
		struct found_fact *old = (struct found_fact *)w->facts.at + i;

		if (old->source == SRC_MESSAGE && old->backend == e->tgid &&
		    (old->obj == e->value || (old->role == e->role && old->index == index)))
			old->source = SRC_NONE; /* no more */
	}
	if (e->other & TABLE_NO_FD || !e->value || scan(w))
		return;
	r = record_of(w, e->tgid, e->value);
	if (!r || w->facts.n >= MAX_FACTS)
		return;
	f = world_append(&w->facts, sizeof(*f));
	if (!f)
		return;
	*f = (struct found_fact){.backend = e->tgid,
				 .device = NO_DEVICE,
				 .obj = r->obj,
				 .id = r->eventfd.id,
				 .role = e->role,
				 .source = SRC_MESSAGE,
				 .index = index};
}

/* --- slots --- */

static int give_slots(struct world *w)
{
	for (size_t i = 0; i < w->topo.nqueues; i++) {
		struct queue *q = &w->topo.queues[i];
		struct slot *s;
		size_t j;

		for (j = 0; j < w->slots.n; j++) {
			s = (struct slot *)w->slots.at + j;
			if (s->vmm == q->vmm && s->backend == q->backend &&
			    s->device == q->device && s->index == q->index)
				break;
		}
		if (j == w->slots.n) {
			s = world_append(&w->slots, sizeof(*s));
			if (!s)
				return -ENOMEM;
			*s = (struct slot){q->vmm, q->backend, q->device, q->index};
		}
		q->slot = j;
	}
	return 0;
}

int world_look(struct world *w, unsigned int looks)
{
	int ret = scan_more(w, looks);

	if (!ret)
		ret = find_procs(w);
	if (!ret)
		ret = find_watches(w);
	if (ret)
		return ret;
	world_find_links(w);
	world_find_told(w);
	w->found = (struct found){
		.recs = w->recs,	   .nrecs = w->nrecs,
		.procs = w->procs.at,	   .nprocs = w->procs.n,
		.links = w->links.at,	   .nlinks = w->links.n,
		.watches = w->watches.at,  .nwatches = w->watches.n,
		.facts = w->facts.at,	   .nfacts = w->facts.n,
	};
	topo_release(&w->topo);
	ret = topo_build(&w->found, &w->topo);
	return ret ? ret : give_slots(w);
}

const struct topo *world_topo(const struct world *w)
{
	return &w->topo;
}

const struct found *world_found(const struct world *w)
{
	return &w->found;
}

uint32_t world_slots(const struct world *w)
{
	return w->slots.n;
}

static const struct found_proc *proc_of(const struct world *w, uint32_t tgid)
{
	const struct found_proc *p = w->procs.at;

	for (size_t i = 0; i < w->procs.n; i++) {
		if (p[i].tgid == tgid)
			return &p[i];
	}
	return NULL;
}

const char *world_comm(const struct world *w, uint32_t tgid)
{
	const struct found_proc *p = proc_of(w, tgid);

	return p ? p->comm : "?";
}

const char *world_vm(const struct world *w, uint32_t tgid)
{
	const struct found_proc *p = proc_of(w, tgid);

	return p ? p->vm : "";
}

const struct vu__procfs *world_proc(const struct world *w)
{
	return &w->proc;
}
