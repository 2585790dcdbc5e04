/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The programs in the kernel: which are picked, loaded, attached; their maps. */
#ifndef VU_TRACE_LOAD_H
#define VU_TRACE_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/util.h"
#include "event.h"
#include "points.h"

struct load_options {
	uint32_t kinds;	  /* bit per event kind: handed over */
	uint64_t min_ns;  /* shorter rounds are not */
	uint32_t sample;  /* one round of so many, 0 as 1 */
	bool stages;	  /* histograms */
	bool counts;	  /* count only: no times, at the least cost */
	bool messages;	  /* see the vhost-user conversation */
	bool no_syscalls; /* in tier C: do without the system calls' tracepoints */
	char tier;	  /* only this one: 'A', 'B' or 'C'; 0: the best */
	uint32_t max_queues;
	uint32_t ring_bytes; /* 0: 4 MiB */
	uint64_t eventfd_fops;
};

struct loader;

/* Before all else: whether libbpf's words, and the verifier's, go to standard error. */
void loader_set_verbose(bool on);

/*
 * Picks the best tier that this kernel takes, loads and attaches.  0; -errno and a
 * reason for a person in @why.
 */
VU_MUST_CHECK int loader_new(struct loader **out, const struct load_options *o, char *why,
			     size_t size);
void loader_free(struct loader *l);

/* 'A', 'B' or 'C'. */
char loader_tier(const struct loader *l);

/* Processes that are looked at; at most LOADER_TARGETS. */
#define LOADER_TARGETS 31
void loader_set_targets(struct loader *l, const uint32_t *tgids, unsigned int n);

/* What an eventfd is, where a store goes, what a process waits for.  0 or -errno. */
int loader_watch(struct loader *l, uint64_t ctx, const struct watch *w,
		 const struct few_fd at[2]);
int loader_unwatch(struct loader *l, uint64_t ctx);
int loader_set_notify(struct loader *l, const struct notify_key *key, uint32_t queue);
int loader_set_group(struct loader *l, uint32_t tgid, const struct group *g);

/* The slots, shared with the kernel: it writes, we read. */
struct qstate *loader_queue(struct loader *l, uint32_t queue);
const struct hist *loader_hist(struct loader *l, uint32_t queue, enum stage stage);

/* Rounds at least so long are handed over whatever else is asked for. */
void loader_set_slow(struct loader *l, uint64_t ns);

/* Calls @fn for what was handed over; waits up to @ms for it.  Events, or -errno. */
typedef void event_fn(void *opaque, const struct event *e, size_t size);
int loader_poll(struct loader *l, int ms, event_fn *fn, void *opaque);
/*
 * Detaches all, and calls @fn for everything that was handed over before: from now on what
 * did not come counts as lost.
 */
void loader_stop(struct loader *l, event_fn *fn, void *opaque);

/* Per kind of event: seen, and lost on the way. */
void loader_stat(struct loader *l, enum ev_kind kind, struct probe_stat *out);

/* Attaches to the points that process @pid's libvu has.  How many, or -errno. */
int loader_attach_libvu(struct loader *l, pid_t pid);

/* --- what there is --- */

enum probe_state {
	PROBE_OFF,	/* not wanted here: another tier does it */
	PROBE_ABSENT,	/* the kernel has no such point */
	PROBE_REFUSED,	/* it has, and refuses it */
	PROBE_ATTACHED,
};
struct probe_report {
	enum probe_state state;
	uint64_t runs;	 /* if statistics are on */
	uint64_t run_ns;
	uint64_t missed; /* the kernel skipped it, since it ran already on that processor */
	uint32_t insns;
};
void loader_report(struct loader *l, unsigned int probe, struct probe_report *out);

#endif
