/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Comparing two snapshots.  Pure. */
#ifndef VU_OBSERVE_RATES_H
#define VU_OBSERVE_RATES_H

#include "base/util.h"
#include "observe/model.h"

/*
 * What has happened to a queue from @old to @now, which the caller has matched.  The
 * time is that between the two looks.  No rates at all (dt 0): @old is NULL, the looks
 * are of different generations, or not one after the other.  A counter that went back
 * has no rate.
 */
void vu__obs_rates(const struct vu__obs_queue *old, const struct vu__obs_queue *now,
		   struct vu__obs_rates *out);

static inline bool vu__obs_has_rate(const struct vu__obs_rates *r, enum vu__obs_counter c)
{
	return vu__has_bit(r->have, c);
}

/* @a / @b of what has happened in between; negative: not known, or @b did not move. */
double vu__obs_ratio(const struct vu__obs_rates *r, enum vu__obs_counter a,
		     enum vu__obs_counter b);

/* Calls that were owed and held back, of all owed, 0 to 1; negative: not known. */
double vu__obs_suppressed_share(const struct vu__obs_rates *r);

/* The same queue, device or process in another snapshot; NULL: it is not there. */
const struct vu__obs_queue *vu__obs_find_queue(const struct vu__obs_snapshot *in,
					       const struct vu__obs_snapshot *of,
					       const struct vu__obs_queue *q);
const struct vu__obs_device *vu__obs_find_device(const struct vu__obs_snapshot *in,
						 const struct vu__obs_snapshot *of,
						 const struct vu__obs_device *d);
const struct vu__obs_process *vu__obs_find_process(const struct vu__obs_snapshot *in,
						   pid_t pid, uint64_t start_time);

/*
 * A count that is seen as a 16-bit index only.  It is right while fewer than 65536
 * pass between two looks; a step of more than half of that, or a pace that would
 * make such a step, leaves a doubt.
 *
 * Places in a packed ring are such indices, too, but of two laps of the ring only, which
 * may take less than a millisecond.  Their pace is measured between two looks that are
 * close together, and tells how many laps were missed between two that are not.
 */
struct vu__obs_index {
	uint64_t total;
	uint64_t mono_ns; /* 0: not begun */
	double pace;	  /* per second, at the last look: of the index */
	uint32_t range;	  /* 0: 65536 */
	uint16_t last;
	bool doubt; /* some may have been missed; stays */
};

/* Takes a look at @mono_ns into account. */
void vu__obs_index_see(struct vu__obs_index *i, uint16_t idx, uint64_t mono_ns);

/* Of a packed ring of @size: it went on by @steps, which were @n requests, to @place. */
void vu__obs_place_see(struct vu__obs_index *i, uint16_t place, uint32_t steps,
		       uint32_t n, uint32_t size, uint64_t mono_ns);

/* Between two looks that are close together. */
#define VU__OBS_CLOSE_NS 200000

/* Milliseconds to the next look that leave no doubt at this pace: 1 to 1000; for packed
 * rings 4 to 50. */
unsigned int vu__obs_index_patience(const struct vu__obs_index *i);

/*
 * The value that @share (0 to 1) of what was counted from @old to @now does not
 * exceed, from the bounds of the buckets; negative: nothing was counted.  @old: NULL
 * for since ever.
 */
double vu__obs_percentile(const struct vu__obs_hist *old, const struct vu__obs_hist *now,
			  double share);

#endif
