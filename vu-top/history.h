/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a queue did over time: a value a second for an hour, and one for ten seconds for
 * a day, of each of a few series.  Values are kept with three figures, in two bytes;
 * what stays the same for a minute takes none.  All histories together stay within a
 * number of bytes: when they would not, all of them forget their oldest.  Pure.
 */
#ifndef VU_TOP_HISTORY_H
#define VU_TOP_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "vu-top/text.h"

enum top_series {
	TOP_S_REQUESTS, /* completed a second, as all rates */
	TOP_S_KICKS,
	TOP_S_CALLS,
	TOP_S_BYTES_IN,
	TOP_S_BYTES_OUT,
	TOP_S_DIRTY, /* pages */
	TOP_S_ERRORS,
	TOP_S_BUSY,  /* share of a CPU */
	TOP_S_DEPTH, /* requests, the most in the time, as for all below */
	TOP_S_IN_FLIGHT,
	TOP_S_OLDEST, /* ns */
	TOP_S_P99,    /* ns */
	TOP_S_HEALTH, /* enum vu__obs_severity */
	TOP_NSERIES
};

struct top_series_info {
	const char *name;  /* as a field is called */
	const char *title; /* for a person */
	enum { TOP_AS_COUNT, TOP_AS_BYTES, TOP_AS_NS, TOP_AS_PERCENT } as;
};

extern const struct top_series_info top_series[TOP_NSERIES];

#define TOP_FINE_S   1
#define TOP_COARSE_S 10

/* What all histories share. */
struct top_history_pool {
	size_t bytes; /* in use */
	size_t limit;
	/* How many minutes, and tens of minutes, are kept. */
	unsigned int keep[2];
};

void top_history_pool_init(struct top_history_pool *p, size_t limit);

struct top_history;

/* NULL: no memory. */
struct top_history *top_history_new(struct top_history_pool *pool);
void top_history_free(struct top_history *h);

/*
 * Adds what was seen at @mono_ns (CLOCK_MONOTONIC); rates are those of the @dt seconds
 * before.  TOP_UNKNOWN is a gap.  No memory: a gap.
 */
void top_history_add(struct top_history *h, uint64_t mono_ns, double dt,
		     const double values[TOP_NSERIES]);

/*
 * @n values up to @end_ns, oldest first, each of @step seconds: the mean of rates, the
 * most of others, TOP_UNKNOWN where nothing was seen.
 */
void top_history_read(const struct top_history *h, enum top_series series, uint64_t end_ns,
		      unsigned int step, double *out, size_t n);

/* Makes all forget until they fit. */
void top_history_fit(struct top_history_pool *pool, struct top_history *const *all,
		     size_t n);

/* Two bytes for a value of 0, or of 1/1024 to 2^53; three figures.  For tests. */
uint16_t top_history_pack(double v);
double top_history_unpack(uint16_t v);

#endif
