/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads the programs: of each tier, best first, those this kernel takes.  Everything
 * attached hangs on a file descriptor of this process, so that nothing outlives it.
 * The main thread.
 */
#include "load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "libvu_points.h"
#include "probe.h"
#include "trace.skel.h"

#define MAX_USDT   288

struct loader {
	struct trace_bpf *skel;
	struct bpf_link *links[MAX_PROBES];
	struct bpf_link *usdt[MAX_USDT];
	unsigned int nusdt;
	enum probe_state states[MAX_PROBES];
	struct ring_buffer *ring;
	event_fn *fn;
	void *opaque;
	void *queues, *hists;
	size_t queues_size, hists_size;
	uint32_t max_queues;
	uint64_t got[EV_KINDS]; /* what came out of the ring */
	bool stopped;
	bool multi; /* kprobes are of the cheaper kind */
	char tier;
};

/* --- which programs --- */

static bool is(const char *a, const char *b)
{
	return !strcmp(a, b);
}

static bool wanted(const struct load_options *o, const struct probe_info *p, char tier)
{
	if (p->tier && p->tier != tier)
		return false;
	if (!o->messages && strstr(p->program, "_unix"))
		return false;
	if (o->no_syscalls && (is(p->program, "enter") || is(p->program, "leave")))
		return false;
	/* What is signalled by a call or by the guest, and nothing else. */
	if (o->counts && (is(p->program, "waking") || is(p->program, "switched") ||
			  is(p->program, "leave") || is(p->program, "ring_complete") ||
			  is(p->program, "kvm_msi_set_irq") ||
			  strstr(p->program, "_read") || strstr(p->program, "_unix") ||
			  is(p->program, "fexit_write")))
		return false;
	return true;
}

/* Of "kprobe/FUNCTION". */
static const char *kprobe_function(const struct bpf_program *p)
{
	return strchr(bpf_program__section_name(p), '/') + 1;
}

/*
 * Whether a program goes to the cheaper kind of kprobe.  Not where another waits for the
 * return: two kinds at one function cost more than two of the older, of which the return
 * is followed for more threads at a time.
 */
static bool goes_multi(const struct loader *l, unsigned int probe, const struct bpf_program *p)
{
	char returns[64];

	if (!l->multi || probes[probe].tier != 'B')
		return false;
	snprintf(returns, sizeof(returns), "kretprobe %s", kprobe_function(p));
	for (unsigned int i = 0; i < nprobes; i++) {
		if (is(probes[i].where, returns))
			return false;
	}
	return true;
}

static void choose(struct loader *l, const struct load_options *o,
		   const struct kernel_types *t, char tier)
{
	for (unsigned int i = 0; i < nprobes; i++) {
		struct bpf_program *p =
			bpf_object__find_program_by_name(l->skel->obj, probes[i].program);
		bool on = false;

		l->states[i] = PROBE_OFF;
		if (probes[i].tier == 'D')
			on = true;
		else if (wanted(o, &probes[i], tier)) {
			on = probe_present(t, probes[i].program);
			l->states[i] = on ? PROBE_REFUSED : PROBE_ABSENT;
		}
		bpf_program__set_autoload(p, on);
		if (goes_multi(l, i, p))
			bpf_program__set_expected_attach_type(p, BPF_TRACE_KPROBE_MULTI);
	}
}

/* --- loading --- */

/* The program that the kernel has refused last: libbpf tells it in words only. */
static char refused[64];
static bool verbose;

static int on_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[512];
	va_list copy;

	va_copy(copy, ap);
	vsnprintf(line, sizeof(line), fmt, copy);
	va_end(copy);
	if (strstr(line, "failed to load"))
		sscanf(line, "libbpf: prog '%63[^']'", refused);
	if (verbose || (level == LIBBPF_WARN && getenv("VU_TRACE_DEBUG")))
		return vfprintf(stderr, fmt, ap);
	return 0;
}

void loader_set_verbose(bool on)
{
	verbose = on;
	libbpf_set_print(on_libbpf);
}

/* Whether the tier can do without a program. */
static bool optional(const struct loader *l, unsigned int probe)
{
	const char *name = probes[probe].program;

	if (strstr(name, "_unix") || strstr(name, "ring_"))
		return true;
	return probes[probe].tier != l->tier && !is(name, "waking");
}

static size_t round_to_page(size_t n)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

static int map_tables(struct loader *l)
{
	l->queues_size = round_to_page(l->max_queues * sizeof(struct qstate));
	l->hists_size = round_to_page((size_t)l->max_queues * ST_STAGES * sizeof(struct hist));
	l->queues = mmap(NULL, l->queues_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 bpf_map__fd(l->skel->maps.queues), 0);
	if (l->queues == MAP_FAILED) {
		l->queues = NULL;
		return -errno;
	}
	l->hists = mmap(NULL, l->hists_size, PROT_READ, MAP_SHARED,
			bpf_map__fd(l->skel->maps.hists), 0);
	if (l->hists == MAP_FAILED) {
		l->hists = NULL;
		return -errno;
	}
	return 0;
}

static void configure(struct loader *l, const struct load_options *o, char tier)
{
	struct trace_bpf__rodata *r = l->skel->rodata;

	r->want_kinds = o->kinds | 1U << EV_TABLE;
	r->min_ns = o->min_ns;
	r->sample = o->sample ? o->sample : 1;
	r->want_stages = o->stages && !o->counts;
	r->want_clock = !o->counts;
	r->want_sampling = tier == 'C';
	r->eventfd_fops = o->eventfd_fops;
	r->tier_eventfd = tier;
	bpf_map__set_max_entries(l->skel->maps.queues, l->max_queues);
	bpf_map__set_max_entries(l->skel->maps.hists, l->max_queues * ST_STAGES);
	if (o->ring_bytes)
		bpf_map__set_max_entries(l->skel->maps.events, o->ring_bytes);
	r->wake_bytes = bpf_map__max_entries(l->skel->maps.events) / 16;
}

static int on_record(void *opaque, void *data, size_t size)
{
	struct loader *l = opaque;
	const struct event *e = data;

	if (size < sizeof(*e))
		return 0;
	if (e->kind < EV_KINDS)
		l->got[e->kind]++;
	l->fn(l->opaque, e, size);
	return 0;
}

static struct bpf_link *attach_one(const struct loader *l, unsigned int probe,
				   const struct bpf_program *p)
{
	const char *function;
	LIBBPF_OPTS(bpf_kprobe_multi_opts, opts, .syms = &function, .cnt = 1);

	if (!goes_multi(l, probe, p))
		return bpf_program__attach(p);
	function = kprobe_function(p);
	return bpf_program__attach_kprobe_multi_opts(p, NULL, &opts);
}

/* Attaches what was loaded.  What a tier stands on must attach, the rest may be refused. */
static int attach(struct loader *l)
{
	for (unsigned int i = 0; i < nprobes; i++) {
		struct bpf_program *p =
			bpf_object__find_program_by_name(l->skel->obj, probes[i].program);

		if (probes[i].tier == 'D' || l->states[i] != PROBE_REFUSED ||
		    !bpf_program__autoload(p))
			continue;
		l->links[i] = attach_one(l, i, p);
		if (l->links[i])
			l->states[i] = PROBE_ATTACHED;
		else if (!optional(l, i))
			return -errno;
	}
	return 0;
}

static void detach(struct loader *l)
{
	for (unsigned int i = 0; i < l->nusdt; i++)
		bpf_link__destroy(l->usdt[i]);
	l->nusdt = 0;
	for (unsigned int i = 0; i < nprobes; i++)
		bpf_link__destroy(vu__steal_ptr(&l->links[i]));
}

static void unload(struct loader *l)
{
	detach(l);
	ring_buffer__free(vu__steal_ptr(&l->ring));
	if (l->queues)
		munmap(vu__steal_ptr(&l->queues), l->queues_size);
	if (l->hists)
		munmap(vu__steal_ptr(&l->hists), l->hists_size);
	trace_bpf__destroy(vu__steal_ptr(&l->skel));
}

static int probe_of(const char *program)
{
	for (unsigned int i = 0; i < nprobes; i++) {
		if (is(probes[i].program, program))
			return i;
	}
	return -1;
}

/* Loads all programs but those in @without, bits by probe. */
static int load_without(struct loader *l, const struct load_options *o,
			const struct kernel_types *t, char tier, uint64_t without)
{
	int ret;

	l->skel = trace_bpf__open();
	if (!l->skel)
		return -errno;
	configure(l, o, tier);
	choose(l, o, t, tier);
	for (unsigned int i = 0; i < nprobes; i++) {
		if (vu__has_bit(without, i))
			bpf_program__set_autoload(
				bpf_object__find_program_by_name(l->skel->obj, probes[i].program),
				false);
	}
	ret = trace_bpf__load(l->skel);
	if (!ret)
		ret = map_tables(l);
	if (!ret) {
		l->ring = ring_buffer__new(bpf_map__fd(l->skel->maps.events), on_record, l,
					   NULL);
		ret = l->ring ? attach(l) : -errno;
	}
	if (ret)
		unload(l);
	return ret;
}

/* A program that this kernel refuses, and that is not what the tier stands on, is left out. */
static int load_tier(struct loader *l, const struct load_options *o,
		     const struct kernel_types *t, char tier)
{
	uint64_t without = 0;
	int ret, probe;

	l->tier = tier;
	l->multi = tier == 'B' && !try_kprobe_multi("eventfd_write");
	while (true) {
		refused[0] = '\0';
		ret = load_without(l, o, t, tier, without);
		probe = ret && refused[0] ? probe_of(refused) : -1;
		if (probe < 0 || !optional(l, probe) || vu__has_bit(without, probe))
			return ret;
		without |= VU_BIT(probe);
	}
}

/* Whether a tier is worth loading; a quiet try of its first point. */
static int tier_works(char tier)
{
	switch (tier) {
	case 'A':
		return try_tracing("eventfd_write");
	case 'B':
		return try_kprobe("eventfd_write");
	default:
		return try_tracepoint("sched_waking");
	}
}

int loader_new(struct loader **out, const struct load_options *o, char *why, size_t size)
{
	struct loader *l = calloc(1, sizeof(*l));
	struct kernel_types *t = kernel_types_new();
	int ret = -EOPNOTSUPP;

	if (!l || !t) {
		snprintf(why, size, "%s", l ? "the kernel does not tell its types (BTF)" : "out of memory");
		free(l);
		kernel_types_free(t);
		return l ? -EOPNOTSUPP : -ENOMEM;
	}
	l->max_queues = o->max_queues;
	for (const char *tier = "ABC"; *tier; tier++) {
		if (o->tier && o->tier != *tier)
			continue;
		ret = tier_works(*tier);
		if (!ret)
			ret = load_tier(l, o, t, *tier);
		if (!ret)
			break;
	}
	kernel_types_free(t);
	if (ret) {
		snprintf(why, size, "no tier can be loaded: %s%s%s; 'vu-trace check' tells more",
			 refused[0] ? refused : "", refused[0] ? ": " : "", bpf_error(-ret));
		free(l);
		return ret;
	}
	*out = l;
	return 0;
}

void loader_free(struct loader *l)
{
	if (!l)
		return;
	unload(l);
	free(l);
}

char loader_tier(const struct loader *l)
{
	return l->tier;
}

/* --- the maps --- */

void loader_set_targets(struct loader *l, const uint32_t *tgids, unsigned int n)
{
	uint32_t *t = l->skel->bss->targets;

	n = VU_MIN(n, LOADER_TARGETS);
	/* A program that runs meanwhile sees a list that is complete or ends early. */
	for (unsigned int i = 0; i < n; i++)
		__atomic_store_n(&t[i], tgids[i], __ATOMIC_RELEASE);
	for (unsigned int i = n; i <= LOADER_TARGETS; i++)
		__atomic_store_n(&t[i], 0, __ATOMIC_RELEASE);
}

static int update(const struct bpf_map *map, const void *key, const void *value)
{
	return bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY) ? -errno : 0;
}

/* The programs read this meanwhile: what an address stands for is there before it. */
static bool watch_few(struct loader *l, uint64_t ctx, const struct watch *w,
		      const struct few_fd at[2])
{
	struct few *few = l->skel->bss->few;

	for (unsigned int i = 0; i < WATCH_FEW; i++) {
		if (few[i].ctx && few[i].ctx != ctx)
			continue;
		few[i].w = *w;
		memcpy(few[i].at, at, sizeof(few[i].at));
		__atomic_store_n(&few[i].ctx, ctx, __ATOMIC_RELEASE);
		return true;
	}
	return false;
}

int loader_watch(struct loader *l, uint64_t ctx, const struct watch *w,
		 const struct few_fd at[2])
{
	int ret;

	if (watch_few(l, ctx, w, at))
		return 0;
	ret = update(l->skel->maps.watched, &ctx, w);
	if (!ret)
		__atomic_store_n(&l->skel->bss->many, 1, __ATOMIC_RELEASE);
	return ret;
}

/* The last takes the place of one that goes: for a moment it stands twice. */
static bool unwatch_few(struct loader *l, uint64_t ctx)
{
	struct few *few = l->skel->bss->few;
	unsigned int i, last;

	for (i = 0; i < WATCH_FEW && few[i].ctx != ctx; i++)
		;
	if (i == WATCH_FEW || !ctx)
		return false;
	for (last = i; last + 1 < WATCH_FEW && few[last + 1].ctx; last++)
		;
	if (last != i) {
		/* Nothing is at an address nobody has. */
		__atomic_store_n(&few[i].ctx, 1, __ATOMIC_RELEASE);
		few[i].w = few[last].w;
		memcpy(few[i].at, few[last].at, sizeof(few[i].at));
		__atomic_store_n(&few[i].ctx, few[last].ctx, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&few[last].ctx, 0, __ATOMIC_RELEASE);
	return true;
}

int loader_unwatch(struct loader *l, uint64_t ctx)
{
	if (unwatch_few(l, ctx))
		return 0;
	return bpf_map_delete_elem(bpf_map__fd(l->skel->maps.watched), &ctx) ? -errno : 0;
}

int loader_set_notify(struct loader *l, const struct notify_key *key, uint32_t queue)
{
	return update(l->skel->maps.notifies, key, &queue);
}

int loader_set_group(struct loader *l, uint32_t tgid, const struct group *g)
{
	return update(l->skel->maps.groups, &tgid, g);
}

struct qstate *loader_queue(struct loader *l, uint32_t queue)
{
	return queue < l->max_queues ? (struct qstate *)l->queues + queue : NULL;
}

const struct hist *loader_hist(struct loader *l, uint32_t queue, enum stage stage)
{
	return queue < l->max_queues
		       ? (const struct hist *)l->hists + (size_t)queue * ST_STAGES + stage
		       : NULL;
}

void loader_set_slow(struct loader *l, uint64_t ns)
{
	__atomic_store_n(&l->skel->data->slow_ns, ns, __ATOMIC_RELAXED);
}

static void stat_of(const struct loader *l, uint32_t key, struct probe_stat *out)
{
	int n = libbpf_num_possible_cpus();
	struct probe_stat *per_cpu;

	*out = (struct probe_stat){0};
	per_cpu = n > 0 ? calloc(n, sizeof(*per_cpu)) : NULL;
	if (!per_cpu || bpf_map_lookup_elem(bpf_map__fd(l->skel->maps.stats), &key, per_cpu))
		n = 0;
	for (int i = 0; i < n; i++) {
		out->hits += per_cpu[i].hits;
		out->drops += per_cpu[i].drops;
	}
	free(per_cpu);
}

int loader_poll(struct loader *l, int ms, event_fn *fn, void *opaque)
{
	int n;

	l->fn = fn;
	l->opaque = opaque;
	n = ring_buffer__poll(l->ring, ms);
	/* What was not worth waking us for. */
	if (!n || n == -EINTR)
		n = ring_buffer__consume(l->ring);
	return n == -EINTR ? 0 : n;
}

/* Waits for one that is still being written, behind which the others wait. */
#define STOP_LOOKS 100
#define STOP_PAUSE_US 1000

static bool missing(struct loader *l)
{
	for (unsigned int k = 1; k < EV_KINDS; k++) {
		struct probe_stat st;

		stat_of(l, k, &st);
		if (st.hits > l->got[k] + st.drops)
			return true;
	}
	return false;
}

void loader_stop(struct loader *l, event_fn *fn, void *opaque)
{
	l->fn = fn;
	l->opaque = opaque;
	detach(l);
	l->stopped = true;
	for (unsigned int i = 0; i < STOP_LOOKS; i++) {
		(void)ring_buffer__consume(l->ring);
		if (!missing(l))
			return;
		usleep(STOP_PAUSE_US);
	}
}

void loader_stat(struct loader *l, enum ev_kind kind, struct probe_stat *out)
{
	stat_of(l, kind, out);
	/* For whatever reason. */
	if (l->stopped && out->hits > l->got[kind] + out->drops)
		out->drops = out->hits - l->got[kind];
}

void loader_report(struct loader *l, unsigned int probe, struct probe_report *out)
{
	const struct bpf_program *p =
		bpf_object__find_program_by_name(l->skel->obj, probes[probe].program);
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);
	int fd = bpf_program__fd(p);

	*out = (struct probe_report){.state = l->states[probe]};
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
		return;
	out->runs = info.run_cnt;
	out->run_ns = info.run_time_ns;
	out->missed = info.recursion_misses;
	out->insns = info.verified_insns;
}

/* --- the points inside libvu --- */

static const char *point_name(const char *program)
{
	return program + strlen("usdt_");
}

int loader_attach_libvu(struct loader *l, pid_t pid)
{
	char path[4096];
	int n = 0;

	if (!libvu_points_find(pid, path, sizeof(path)))
		return 0;
	for (unsigned int i = 0; i < nprobes && l->nusdt < MAX_USDT; i++) {
		struct bpf_program *p;
		struct bpf_link *link;

		if (probes[i].tier != 'D')
			continue;
		p = bpf_object__find_program_by_name(l->skel->obj, probes[i].program);
		link = bpf_program__attach_usdt(p, pid, path, "vu",
						point_name(probes[i].program), NULL);
		if (!link) {
			l->states[i] = PROBE_REFUSED;
			continue;
		}
		l->states[i] = PROBE_ATTACHED;
		l->usdt[l->nusdt++] = link;
		n++;
	}
	return n;
}
