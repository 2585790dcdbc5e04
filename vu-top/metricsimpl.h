/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Metrics: what the families, and the writing of them, share. */
#ifndef VU_TOP_METRICSIMPL_H
#define VU_TOP_METRICSIMPL_H

#include "vu-top/out.h"
#include "vu-top/writer.h"

enum top_metric_type {
	TOP_COUNTER,
	TOP_GAUGE,
	TOP_INFO,
	TOP_STATESET,
	TOP_HISTOGRAM,
};

struct top_exposition_state {
	const struct top_model *m;
	const struct top_out_options *o;
	enum top_exposition format;
	struct top_writer *w;
	char (*device)[320]; /* of each: `vm="...",device="..."`, told apart */
	char (*queue)[384];  /* of each that is wanted: its device's, `,queue="0",role="..."` */
	struct top_queue **queues;
	size_t nqueues, left_out;
};

struct top_family {
	const char *name; /* without _total and the like; NULL: the end */
	enum top_metric_type type;
	const char *unit; /* "" */
	const char *help;
	void (*emit)(const struct top_exposition_state *x, const struct top_family *f);
	uint8_t which;
};

extern const struct top_family top_families[]; /* families.c */

/* name="value", with what must be escaped. */
void top_label(char *out, size_t size, const char *name, const char *value);

#endif
