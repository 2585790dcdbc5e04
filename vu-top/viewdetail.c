/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All there is to know of one queue, in one column or two.  Pure. */
#include <stdio.h>
#include <string.h>

#include "vu-top/viewdetail.h"

#define TALL 140

/* --- what it is, and what is wrong with it --- */

static unsigned int put_title(struct top_canvas *c, const struct top_detail *d)
{
	const struct top_queue *t = d->t;
	const char *type = top_type_name(t->dev->virtio_id);
	char name[160], text[400];

	top_queue_name(t, name, sizeof(name));
	snprintf(text, sizeof(text), " %s %s %s queue of %s[%d], %s ring of %u, %s%s%s", name,
		 strcmp(type, "?") ? type : "", vu__obs_role_name(t->q->role), t->proc->comm,
		 t->proc->pid, t->q->setup.packed ? "packed" : "split", t->q->setup.size,
		 top_state_name(top_state_of(t)), t->q->setup.polled ? ", polled" : "",
		 t->tagged ? " (tagged)" : "");
	top_fill(c, 0, 0, c->cols, TOP_HEADER, ' ');
	top_put_field(c, 0, 0, c->cols, false, TOP_HEADER, text);
	return 1;
}

static unsigned int put_verdict(struct top_canvas *c, const struct top_detail *d,
				unsigned int row)
{
	const struct vu__obs_verdict *v = &d->t->verdict;
	const char *trouble = top_device_trouble(d->t->snap, d->t->dev);
	unsigned int first = row, col;
	char since[16], next[200];

	top_format_ns(since, sizeof(since), d->t->q->mono_ns - d->t->verdict_ns);
	col = top_printf(c, row, 1, c->cols,
			 v->severity >= VU__OBS_INFO ? top_severity_style(v->severity) : TOP_STRONG,
			 "%s", vu__obs_verdicts[v->id].name);
	top_printf(c, row++, col, c->cols, TOP_NORMAL, ": %s (%s, for %s)",
		   vu__obs_verdicts[v->id].summary, vu__obs_confidence_name(v->confidence), since);
	row += top_put_wrapped(c, row, 1, c->cols, 3, TOP_NORMAL, v->evidence);
	if (v->next[0]) {
		snprintf(next, sizeof(next), "Next: %s", v->next);
		row += top_put_wrapped(c, row, 1, c->cols, 3, TOP_STRONG, next);
	}
	if (*trouble)
		row += top_put_wrapped(c, row, 1, c->cols, 2, TOP_WARNING, trouble);
	return row - first;
}

/* --- numbers of now --- */

static unsigned int put_numbers(struct top_canvas *c, const struct top_detail *d,
				unsigned int row, unsigned int col, unsigned int end)
{
	static const char *const names[] = {
		"req/s",  "kick/s",    "call/s", "in/s",     "out/s",  "req/kick", "req/call",
		"supp%",  "supp_flag%", "supp_event%", "supp_masked%", "supp_nofd%", "empty%",
		"depth",  "depth_max", "pend",	 "infl",     "infl_max", "oldest",  "full/s",
		"err/s",  "dirty/s",   "completed", "failed", "dropped", "kicks",   "calls"};
	unsigned int across = VU_MAX(1u, (end - col) / 22), each = (end - col) / across, n = 0;

	for (size_t i = 0; i < VU_ARRAY_SIZE(names); i++) {
		const struct top_field *f = top_field_find(names[i], strlen(names[i]));
		char text[TOP_FIELD_TEXT];
		unsigned int at = col + n % across * each;

		top_field_format(f, d->t, d->s->ui->show, d->s->ui->units, text);
		if (!strcmp(text, "-"))
			continue;
		top_put_field(c, row + n / across, at, VU_MIN(each, 12u), false, TOP_DIM, names[i]);
		top_put_field(c, row + n / across, at + 13, each > 14 ? each - 14 : 0, false,
			      TOP_STRONG, text);
		n++;
	}
	return (n + across - 1) / across;
}

/* --- parts, each in a frame --- */

static unsigned int put_part(struct top_canvas *c, const struct top_detail *d, unsigned int row,
			     unsigned int col, unsigned int end, const char *title,
			     top_detail_part *part)
{
	unsigned int rows;

	if (end < col + 12)
		return 0;
	rows = part(c, d, row + 1, col + 2, end - 2);
	top_put_box(c, row, col, rows + 2, end - col, title);
	return rows + 2;
}

struct titled {
	const char *title;
	top_detail_part *part;
};

static unsigned int put_parts(struct top_canvas *c, const struct top_detail *d, unsigned int row,
			      unsigned int col, unsigned int end, const struct titled *parts,
			      size_t n)
{
	for (size_t i = 0; i < n; i++)
		row += put_part(c, d, row, col, end, parts[i].title, parts[i].part);
	return row;
}

static unsigned int put_all(struct top_canvas *c, const struct top_detail *d)
{
	static const struct titled left[] = {{"Ring", top_detail_ring},
					     {"Eventfds", top_detail_eventfds},
					     {"Thread", top_detail_thread},
					     {"Last", top_detail_times},
					     {"Now", put_numbers}};
	static const struct titled right[] = {{"Curves", top_detail_curves},
					      {"Latency", top_detail_latency},
					      {"Features", top_detail_features}};
	unsigned int row = put_title(c, d), a, b;

	row += put_verdict(c, d, row);
	if (c->cols < 130) {
		row = put_parts(c, d, row, 0, c->cols, left, VU_ARRAY_SIZE(left));
		return put_parts(c, d, row, 0, c->cols, right, VU_ARRAY_SIZE(right));
	}
	a = put_parts(c, d, row, 0, c->cols / 2, left, VU_ARRAY_SIZE(left));
	b = put_parts(c, d, row, c->cols / 2, c->cols, right, VU_ARRAY_SIZE(right));
	return VU_MAX(a, b);
}

void top_view_detail(struct top_canvas *c, const struct top_scene *s, struct top_area a)
{
	struct top_detail d = {s, top_model_find(s->m, &s->ui->queue)};
	struct top_canvas tall;

	if (!d.t) {
		s->ui->length[TOP_VIEW_DETAIL] = 0;
		top_put(c, a.first + 1, 2, c->cols, TOP_WARNING,
			"This queue is not there any more. Esc goes back.");
		return;
	}
	if (top_canvas_init(&tall, TALL, c->cols, c->utf8))
		return;
	top_scrolled(c, s, &a, TOP_VIEW_DETAIL, &tall, put_all(&tall, &d));
	top_canvas_release(&tall);
}
