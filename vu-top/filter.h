/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The language in which queues are chosen:
 *
 *	vm=web* q>=2 state=started req/s>1000 (p99>1ms or health!=ok) not role=ctrl
 *
 * A term is FIELD OP VALUE, or a word that is looked for in names.  Terms side by side
 * must all hold; "or" binds less than that, "not" (or !) more; parentheses group.  OP is
 * = != < <= > >=, or ~ for "contains".  What = compares with may be several, with commas
 * between them; texts may have * and ?, whole numbers may be ranges (q=0-3,8).  A value
 * with spaces or parentheses is put in quotation marks.  A number that is not known
 * fits no comparison.  Pure.
 */
#ifndef VU_TOP_FILTER_H
#define VU_TOP_FILTER_H

#include "vu-top/fields.h"

struct top_filter;

/* NULL: it cannot be understood, or no memory; @why says where and how. */
struct top_filter *top_filter_parse(const char *text, char *why, size_t why_size);
void top_filter_free(struct top_filter *f);

/* NULL fits everything. */
bool top_filter_fits(const struct top_filter *f, const struct top_queue *t);

/* What has to be looked at to tell. */
bool top_filter_wants_latency(const struct top_filter *f);
bool top_filter_wants_threads(const struct top_filter *f);

/* As it was given; valid as long as the filter. */
const char *top_filter_text(const struct top_filter *f);

#endif
