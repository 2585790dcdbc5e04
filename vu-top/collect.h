/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes frames of what this host's back-ends do now. */
#ifndef VU_TOP_COLLECT_H
#define VU_TOP_COLLECT_H

#include "vu-top/frame.h"

/* What is to be looked at besides what every snapshot has. */
struct top_want {
	bool focus; /* eventfds and threads of focus_on */
	struct vu__sample_focus focus_on;
	bool holders; /* who has the eventfds of that queue */
	bool backings; /* what memory regions are */
	/* Have latencies kept, of all devices, or those in queues[] only. */
	bool watch_all;
	bool hists_all; /* read the histograms of all queues */
	uint32_t nqueues; /* ... or of these */
	struct top_key *queues;
	bool events_all; /* of all devices */
	uint32_t ndevs;	 /* ... or of these */
	struct top_key *devs;
};

/* 0 or -ENOMEM; @to: to be released. */
VU_MUST_CHECK int top_want_copy(struct top_want *to, const struct top_want *from);
void top_want_release(struct top_want *w);

/* Room is made; 0 or -ENOMEM. */
VU_MUST_CHECK int top_want_queue(struct top_want *w, const struct top_key *key);
VU_MUST_CHECK int top_want_device(struct top_want *w, const struct top_key *key);

struct top_collector;

/* @options: may be NULL.  NULL and errno. */
struct top_collector *top_collector_new(const struct vu__sample_options *options);
void top_collector_free(struct top_collector *c);

/* *@out: to be put.  0 or -errno.  One thread at a time. */
VU_MUST_CHECK int top_collect(struct top_collector *c, const struct top_want *want,
			      struct top_frame **out);

/* To be called between frames, at least that often: see observe/sample.h. */
void top_collect_tick(struct top_collector *c);
unsigned int top_collect_tick_ms(const struct top_collector *c);

#endif
