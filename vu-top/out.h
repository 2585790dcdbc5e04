/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model for machines, and for people without a terminal: each function writes one
 * sample.  Only queues that fit the filter are written.
 */
#ifndef VU_TOP_OUT_H
#define VU_TOP_OUT_H

#include <stdio.h>

#include "vu-top/alert.h"
#include "vu-top/filter.h"

#define TOP_MAX_FIELDS 128

struct top_out_options {
	const struct top_filter *filter; /* NULL: everything */
	const struct top_order *order;	 /* NULL: as they come */
	/* Fields, nfields of them; 0: those the format has. */
	unsigned int nfields;
	const struct top_field *fields[TOP_MAX_FIELDS];
	enum top_units units;
	bool times; /* plain: begin each line with the time */
	bool quiet; /* plain: without the heading */
	const char *host;
	/* Of metrics. */
	const char *labels;	  /* NULL, or `,a="b",...` to be added to all */
	unsigned int max_queues;  /* 0: no limit */
	bool no_created;
};

/* "req/s,p99" into o->fields; false, and what is wrong in @why. */
bool top_out_fields(struct top_out_options *o, const char *text, char *why, size_t why_size);

/* The queues that fit, in order; @out has room for m->nqueues.  How many. */
size_t top_select(const struct top_model *m, const struct top_filter *filter,
		  const struct top_order *order, struct top_queue **out);

/* A table, and a line for each queue in trouble: outplain.c. */
void top_out_plain(const struct top_model *m, const struct top_out_options *o, FILE *to);

/* One line, {"schema":"vu-top/1",...}; see vu-top.schema.json: outjson.c. */
void top_out_json(const struct top_model *m, const struct top_out_options *o, FILE *to);

/* RFC 4180; numbers are not shortened: outcsv.c. */
void top_out_csv_header(const struct top_out_options *o, FILE *to);
void top_out_csv(const struct top_model *m, const struct top_out_options *o, FILE *to);

/* OpenMetrics 1.0, or the Prometheus text format 0.0.4: metrics.c. */
enum top_exposition { TOP_OPENMETRICS, TOP_PROMETHEUS };
void top_out_metrics(const struct top_model *m, const struct top_out_options *o,
		     enum top_exposition format, FILE *to);
const char *top_exposition_type(enum top_exposition format); /* as HTTP calls it */

/* "env=prod,rack=7" as @out; false: it is none, and why. */
bool top_parse_labels(const char *text, char *out, size_t size, char *why, size_t why_size);

/* --- monitoring: check.c --- */

enum top_check { TOP_CHECK_OK, TOP_CHECK_WARNING, TOP_CHECK_CRITICAL, TOP_CHECK_UNKNOWN };

struct top_check_options {
	const struct top_filter *filter;   /* queues to be looked at */
	const struct top_filter *critical; /* NULL: health=critical */
	const struct top_filter *warning;  /* NULL: health=warning, unless critical is set */
};

/* One line for a monitoring system, with performance data after a bar. */
enum top_check top_out_check(const struct top_model *m, const struct top_check_options *o,
			     FILE *to);

#endif
