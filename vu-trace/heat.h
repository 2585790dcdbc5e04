/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A heat map: a row an interval, a column a factor of two of time.  Pure, but the row. */
#ifndef VU_TRACE_HEAT_H
#define VU_TRACE_HEAT_H

#include <stdio.h>

#include "event.h"

/* From 512 ns, and all below, to 2^36 ns (69 s), and all above. */
#define HEAT_FIRST   9
#define HEAT_COLUMNS 28

struct heat {
	__u64 cell[HEAT_COLUMNS];
	unsigned int rows;
};

/* Adds what came between @old and @now to the row. */
void heat_add(struct heat *h, const struct hist *now, const struct hist *old);

/* Writes the row and begins the next. */
void heat_row(struct heat *h, FILE *to);

#endif
