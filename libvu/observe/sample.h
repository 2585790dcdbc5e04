/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking snapshots of all vhost-user queues of a host.
 *
 * What every queue's state is read from costs little: libvu's segments, and the rings
 * themselves.  What costs a system call a queue or more (fdinfo, threads) is read only
 * of queues that have work and have not moved since the last snapshot, and of those in
 * focus: the ones a verdict or a person wants to know more about.
 *
 * A sampler belongs to one thread at a time.  Snapshots are independent of it.
 */
#ifndef VU_OBSERVE_SAMPLE_H
#define VU_OBSERVE_SAMPLE_H

#include "base/util.h"
#include "libvu/telemetry.h"
#include "observe/model.h"

struct vu__sampler;

struct vu__sample_options {
	const char *run_dir;	    /* NULL: $LIBVU_RUN_DIR or /run/libvu */
	bool libvu_only;	    /* do not look for other back-ends and machines */
	unsigned int find_every_ms; /* 0: 2000 */
	int monitor_budget_ms;	    /* for QEMU's monitors, at each search; 0: 400 */
};

/* @options: may be NULL.  NULL and errno. */
struct vu__sampler *vu__sampler_new(const struct vu__sample_options *options);
void vu__sampler_free(struct vu__sampler *s);

/* Looks for processes again before the next snapshot, without waiting for the time. */
void vu__sampler_find_now(struct vu__sampler *s);

/*
 * Takes a snapshot; *@out to be freed.  0 or -errno; that nothing is found is no error.
 * Takes less than a second whatever the processes and monitors do.
 */
VU_MUST_CHECK int vu__sample_take(struct vu__sampler *s, struct vu__obs_snapshot **out);
void vu__snapshot_free(struct vu__obs_snapshot *snap);

/*
 * Counts of back-ends without telemetry are 16-bit indices: they have to be looked at
 * often enough.  vu__sample_tick() does that and nothing else; vu__sample_tick_ms() says
 * in how many milliseconds at the latest, 1000 if there is no need.
 */
void vu__sample_tick(struct vu__sampler *s);
unsigned int vu__sample_tick_ms(const struct vu__sampler *s);

/* Whose eventfds and threads are read at every snapshot. */
struct vu__sample_focus {
	pid_t pid;	/* of the back-end, 0: all */
	int64_t device; /* number, -1: all */
	int32_t queue;	/* -1: all */
};

/* NULL: nothing in particular. */
void vu__sample_set_focus(struct vu__sampler *s, const struct vu__sample_focus *focus);

/* --- of a device with telemetry; -ENOENT: it has none, or is not there any more --- */

/* The last events, oldest first, at most @room; how many, or -errno. */
int vu__sample_events(struct vu__sampler *s, pid_t pid, uint32_t device,
		      struct vu_telemetry_event *out, unsigned int room, uint64_t *lost);

/* Has latencies kept for @seconds from now on.  0 or -errno. */
int vu__sample_watch(struct vu__sampler *s, pid_t pid, uint32_t device,
		     unsigned int seconds);

/* Latencies since the queue was first watched.  @out: to be released.  0 or -errno. */
int vu__sample_hist(struct vu__sampler *s, pid_t pid, uint32_t device, uint16_t queue,
		    enum vu__obs_latency which, struct vu__obs_hist *out);
void vu__hist_release(struct vu__obs_hist *h);

#endif
