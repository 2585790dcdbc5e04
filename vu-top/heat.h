/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often requests took how long, a column a second for ten minutes: for each of
 * time's columns a row for each factor of two of latency.  Pure.
 */
#ifndef VU_TOP_HEAT_H
#define VU_TOP_HEAT_H

#include "observe/model.h"
#include "vu-top/text.h"

#define TOP_HEAT_COLUMNS 600
#define TOP_HEAT_ROWS	 32 /* row r: 2^(r + 8) ns to twice that, the ends all beyond */

struct top_heat {
	uint64_t last; /* second of the newest column */
	uint32_t count[2][TOP_HEAT_COLUMNS][TOP_HEAT_ROWS]; /* by second % COLUMNS */
	/* What has been counted already, to see what is new. */
	bool begun[2];
	uint64_t before[2][TOP_HEAT_ROWS];
};

unsigned int top_heat_row(uint64_t ns);
uint64_t top_heat_bound(unsigned int row); /* its upper end, ns */

/* @which: VU__OBS_KICK_TO_POP or VU__OBS_SERVICE. */
void top_heat_add(struct top_heat *h, enum vu__obs_latency which, uint64_t mono_ns,
		  const struct vu__obs_hist *hist);

/* Requests of @row in the @n seconds up to @second. */
uint64_t top_heat_read(const struct top_heat *h, enum vu__obs_latency which,
		       uint64_t second, unsigned int n, unsigned int row);

#endif
