/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is wrong with a queue, from what was seen of it.  Pure: no clock, no I/O.
 *
 * A look is one observation of a queue with what is around it.  What lasts counts, not
 * what happens to be: a verdict that something is stuck needs at least two looks, half
 * the patience apart, between which nothing went on.  Torn looks are left out.
 */
#ifndef VU_OBSERVE_DIAGNOSE_H
#define VU_OBSERVE_DIAGNOSE_H

#include "observe/model.h"

struct vu__obs_look {
	const struct vu__obs_queue *q;
	const struct vu__obs_device *dev;
	const struct vu__obs_process *proc; /* the back-end */
	const struct vu__obs_process *vmm;  /* NULL: not known, or nobody is there */
};

/* What waits for less is no reason to worry; at least, and unless latency says more. */
#define VU__OBS_PATIENCE_NS 1000000000ULL

/* How long to be patient with a queue whose requests take @p99_ns; 0: not known. */
uint64_t vu__obs_patience(double p99_ns);

/*
 * Judges a queue from @n looks, the oldest first, in the time @patience_ns; @looks are
 * of one generation and one queue.
 */
void vu__obs_diagnose(const struct vu__obs_look *looks, size_t n, uint64_t patience_ns,
		      struct vu__obs_verdict *out);

/* The look at @q in snapshot @s, for the above. */
struct vu__obs_look vu__obs_look_at(const struct vu__obs_snapshot *s,
				    const struct vu__obs_queue *q);

/*
 * Whether a driver or device that has gone from @old to @new has passed @event, and so
 * owes a notification (virtio 1.2, "Used Buffer Notification Suppression").
 */
static inline bool vu__obs_passed(uint16_t event, uint16_t new_idx, uint16_t old)
{
	return (uint16_t)(new_idx - event - 1) < (uint16_t)(new_idx - old);
}

#endif
