/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading histograms of event.h.  Pure. */
#ifndef VU_TRACE_HIST_H
#define VU_TRACE_HIST_H

#include "event.h"

/* The smallest value of bucket @b, and of the one after it. */
__u64 hist_lower(unsigned int b);

/* *@out = what came between @old (NULL: nothing) and @now; max is that of all time. */
void hist_diff(struct hist *out, const struct hist *now, const struct hist *old);

/* The value that a share @p (0 to 1) does not exceed, to 1/16; 0 without values. */
__u64 hist_percentile(const struct hist *h, double p);

#endif
