/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sorting by two fields.  Pure; any thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "vu-top/fields.h"

int top_field_compare(const struct top_field *f, const struct top_queue *a,
		      const struct top_queue *b, enum top_show show, bool down)
{
	char x[TOP_FIELD_TEXT], y[TOP_FIELD_TEXT];
	double u, v;
	int c;

	if (f->kind == TOP_F_TEXT) {
		c = strcasecmp(f->text(a, x), f->text(b, y));
		return down ? -c : c;
	}
	u = f->number(a, f, show);
	v = f->number(b, f, show);
	if (!top_known(u) || !top_known(v))
		return top_known(v) - top_known(u);
	c = (u > v) - (u < v);
	return down ? -c : c;
}

int top_order_compare(const struct top_order *o, const struct top_queue *a,
		      const struct top_queue *b)
{
	for (unsigned int i = 0; i < 2 && o->key[i]; i++) {
		int c = top_field_compare(o->key[i], a, b, o->show, o->down[i]);

		if (c)
			return c;
	}
	/* As they are in the snapshot. */
	return (a->place > b->place) - (a->place < b->place);
}

static int compare(const void *a, const void *b, void *order)
{
	return top_order_compare(order, *(struct top_queue *const *)a,
				 *(struct top_queue *const *)b);
}

void top_order_sort(const struct top_order *o, struct top_queue **queues, size_t n)
{
	if (n)
		qsort_r(queues, n, sizeof(struct top_queue *), compare, (void *)o);
}

bool top_field_down(const struct top_field *f)
{
	return f->kind != TOP_F_TEXT && f->kind != TOP_F_NUMBER;
}

bool top_order_parse(struct top_order *o, const char *text, char *why, size_t why_size)
{
	struct top_order made = {.key = {NULL}};
	unsigned int n = 0;

	for (;;) {
		size_t sign = *text == '+' || *text == '-';
		size_t len = strcspn(text + sign, ",");
		const struct top_field *f = top_field_find(text + sign, len);

		if (!f) {
			snprintf(why, why_size, "'%.*s' is no field", (int)VU_MIN(len, 40u),
				 text + sign);
			return false;
		}
		if (n == 2) {
			snprintf(why, why_size, "there are more than two keys");
			return false;
		}
		made.key[n] = f;
		made.down[n++] = sign ? *text == '-' : top_field_down(f);
		text += sign + len;
		if (!*text)
			break;
		text++;
	}
	*o = made;
	return true;
}

void top_order_format(const struct top_order *o, char *out, size_t size)
{
	snprintf(out, size, "%c%s%s%s%s", o->down[0] ? '-' : '+',
		 o->key[0] ? o->key[0]->name : "", o->key[1] ? "," : "",
		 !o->key[1] ? "" : o->down[1] ? "-" : "+", o->key[1] ? o->key[1]->name : "");
}
