/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the detail of a queue.  Pure. */
#ifndef VU_TOP_VIEWDETAIL_H
#define VU_TOP_VIEWDETAIL_H

#include "vu-top/view.h"

struct top_detail {
	const struct top_scene *s;
	const struct top_queue *t;
};

/* Each draws between columns @col and @end from @row on, and returns the rows it took. */
typedef unsigned int top_detail_part(struct top_canvas *c, const struct top_detail *d,
				     unsigned int row, unsigned int col, unsigned int end);

top_detail_part top_detail_ring, top_detail_eventfds, top_detail_times, top_detail_thread;
top_detail_part top_detail_curves, top_detail_latency, top_detail_features;

#endif
