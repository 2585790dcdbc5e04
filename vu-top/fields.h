/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What can be told of a queue: one table of fields, which columns, filters, sorting,
 * JSON and CSV all go by.  Pure.
 */
#ifndef VU_TOP_FIELDS_H
#define VU_TOP_FIELDS_H

#include "vu-top/model.h"

enum top_kind {
	TOP_F_TEXT,
	TOP_F_NUMBER, /* a whole one, as it is: pid, queue, size */
	TOP_F_COUNT,  /* shown in short form */
	TOP_F_BYTES,
	TOP_F_NS,
	TOP_F_SHARE, /* shown as per cent */
	TOP_F_RATIO,
	TOP_F_HEALTH, /* enum vu__obs_severity, with names */
};

#define TOP_FIELD_TEXT 128

/* How counters are shown. */
enum top_show {
	TOP_RATES,	/* a second, since the frame before */
	TOP_SINCE_MARK, /* a second, since the mark; unknown if there is none */
	TOP_TOTALS,	/* all that was counted: since the mark, else ever */
};

struct top_field {
	const char *name;  /* as in filters, JSON and CSV */
	const char *title; /* of its column */
	uint8_t width;	   /* of its column */
	uint8_t kind;	   /* enum top_kind */
	bool latency;	   /* needs latencies to be kept */
	bool thread;	   /* needs threads to be looked at */
	double (*number)(const struct top_queue *t, const struct top_field *f,
			 enum top_show show);
	const char *(*text)(const struct top_queue *t, char buf[TOP_FIELD_TEXT]);
	uint8_t which; /* for number(): a counter, or whatever it wants */
	const char *help;
};

/* All of them; the end has no name. */
extern const struct top_field top_fields[];

/* Letters alike.  NULL: there is none of this name. */
const struct top_field *top_field_find(const char *name, size_t len);

/* The value of a field that is no text; TOP_UNKNOWN. */
static inline double top_field_number(const struct top_field *f, const struct top_queue *t,
				      enum top_show show)
{
	return f->number(t, f, show);
}

/* As a person reads it, in short form. */
void top_field_format(const struct top_field *f, const struct top_queue *t,
		      enum top_show show, enum top_units units, char out[TOP_FIELD_TEXT]);

/* Whether it is a counter's, which totals can be shown of. */
bool top_field_is_rate(const struct top_field *f);

/*
 * Negative, 0, positive: @a comes before @b by this field.  What is not known comes
 * last, whichever the direction.
 */
int top_field_compare(const struct top_field *f, const struct top_queue *a,
		      const struct top_queue *b, enum top_show show, bool down);

/* --- sorting by two fields --- */

struct top_order {
	const struct top_field *key[2]; /* [1] NULL: only one */
	bool down[2];
	enum top_show show; /* what is compared */
};

/* Stable: what is alike stays as it is. */
int top_order_compare(const struct top_order *o, const struct top_queue *a,
		      const struct top_queue *b);
void top_order_sort(const struct top_order *o, struct top_queue **queues, size_t n);

/* Whether a field is sorted from its largest on, unless somebody wants otherwise. */
bool top_field_down(const struct top_field *f);

/*
 * "req/s,p99": names, each with a + (upwards) or - (downwards) before it or none.
 * False, and which is wrong in @why.
 */
bool top_order_parse(struct top_order *o, const char *text, char *why, size_t why_size);
void top_order_format(const struct top_order *o, char *out, size_t size);

#endif
