/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of queues as lines, the cursor in it, and what has to be looked at. */
#include "vu-top/ui.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const top_view_names[TOP_VIEWS] = {
	[TOP_VIEW_QUEUES] = "queues",	    [TOP_VIEW_DEVICES] = "devices",
	[TOP_VIEW_THREADS] = "threads",	    [TOP_VIEW_HEAT] = "latency",
	[TOP_VIEW_MEMORY] = "memory",	    [TOP_VIEW_MIGRATION] = "migration",
	[TOP_VIEW_EVENTS] = "events",	    [TOP_VIEW_ALERTS] = "alerts",
};

void top_ui_init(struct top_ui *ui)
{
	memset(ui, 0, sizeof(*ui));
	ui->interval_ns = 1000000000;
	ui->window = 300;
	ui->latency = VU__OBS_SERVICE;
	ui->scope = TOP_SCOPE_DEVICE;
	ui->chart[0] = TOP_S_REQUESTS;
	ui->chart[1] = TOP_S_DEPTH;
	ui->chart[2] = TOP_S_OLDEST;
	ui->order.key[0] = top_field_find("health", 6);
	ui->order.down[0] = true;
}

void top_ui_release(struct top_ui *ui)
{
	top_filter_free(ui->filter);
	free(ui->lines);
	free(ui->sorted);
	free(ui->folded);
	memset(ui, 0, sizeof(*ui));
}

void top_ui_say(struct top_ui *ui, bool complaint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ui->message, sizeof(ui->message), fmt, ap);
	va_end(ap);
	ui->complaint = complaint;
}

/* --- folding --- */

static bool same_line(int what, const struct top_key *a, const struct top_key *b)
{
	switch (what) {
	case TOP_LINE_PROCESS:
		return top_same_process(a, b);
	case TOP_LINE_DEVICE:
		return top_same_device(a, b);
	default:
		return top_same_queue(a, b);
	}
}

bool top_ui_folds(const struct top_ui *ui, int what, const struct top_key *key)
{
	for (size_t i = 0; i < ui->nfolded; i++) {
		if (ui->folded[i].what == what && same_line(what, &ui->folded[i].key, key))
			return true;
	}
	return false;
}

void top_ui_fold(struct top_ui *ui, const struct top_line *line, bool fold)
{
	bool is = top_ui_folds(ui, line->what, &line->key);

	if (is == fold || line->what == TOP_LINE_QUEUE)
		return;
	if (fold) {
		void *more = reallocarray(ui->folded, ui->nfolded + 1, sizeof(*ui->folded));

		if (!more)
			return;
		ui->folded = more;
		ui->folded[ui->nfolded].what = line->what;
		ui->folded[ui->nfolded++].key = line->key;
		return;
	}
	for (size_t i = 0; i < ui->nfolded; i++) {
		if (ui->folded[i].what == (int)line->what &&
		    same_line(line->what, &ui->folded[i].key, &line->key))
			ui->folded[i--] = ui->folded[--ui->nfolded];
	}
}

/* --- lines --- */

static struct top_line *add_line(struct top_ui *ui, int what, const struct top_key *key)
{
	struct top_line *l;

	if (ui->nlines == ui->room) {
		size_t room = ui->room ? 2 * ui->room : 64;
		struct top_line *more = reallocarray(ui->lines, room, sizeof(*more));

		if (!more)
			return NULL;
		ui->lines = more;
		ui->room = room;
	}
	l = &ui->lines[ui->nlines++];
	memset(l, 0, sizeof(*l));
	l->what = what;
	l->key = *key;
	l->dev = UINT32_MAX;
	l->requests = l->in = l->out = TOP_UNKNOWN;
	return l;
}

static double plus(double sum, double v)
{
	return !top_known(v) ? sum : top_known(sum) ? sum + v : v;
}

/* Adds what a queue does to the line it is under. */
static void add_up(struct top_line *l, struct top_queue *t, enum top_show show)
{
	static const struct top_field *requests, *in, *out;

	if (!requests) {
		requests = top_field_find("req/s", 5);
		in = top_field_find("in/s", 4);
		out = top_field_find("out/s", 5);
	}
	l->nbelow++;
	l->requests = plus(l->requests, top_field_number(requests, t, show));
	l->in = plus(l->in, top_field_number(in, t, show));
	l->out = plus(l->out, top_field_number(out, t, show));
	if (!l->t || t->verdict.severity > l->t->verdict.severity)
		l->t = t;
}

static void add_queue(struct top_ui *ui, struct top_queue *t)
{
	struct top_line *l = add_line(ui, TOP_LINE_QUEUE, &t->key);

	if (!l)
		return;
	l->t = t;
	l->dev = t->q->dev;
	l->proc = t->dev->proc;
}

/* Queues of one device, from @from on; the place after them. */
static size_t end_of_device(const struct top_ui *ui, size_t from)
{
	size_t i = from + 1;

	while (i < ui->nsorted && ui->sorted[i]->q->dev == ui->sorted[from]->q->dev)
		i++;
	return i;
}

static size_t end_of_process(const struct top_ui *ui, size_t from)
{
	size_t i = from + 1;

	while (i < ui->nsorted && ui->sorted[i]->dev->proc == ui->sorted[from]->dev->proc)
		i++;
	return i;
}

/* The line of a group, of queues [from, to). */
static bool add_group(struct top_ui *ui, int what, size_t from, size_t to, bool one_device)
{
	struct top_queue *t = ui->sorted[from];
	struct top_key key = {t->key.pid, t->key.start_time, 0, 0};
	struct top_line *l;

	if (what == TOP_LINE_DEVICE)
		key.device = t->key.device;
	l = add_line(ui, what, &key);
	if (!l)
		return false;
	l->proc = t->dev->proc;
	l->dev = one_device ? t->q->dev : UINT32_MAX;
	for (size_t i = from; i < to; i++)
		add_up(l, ui->sorted[i], ui->order.show);
	l->folded = top_ui_folds(ui, what, &key);
	return !l->folded;
}

static void add_process(struct top_ui *ui, const struct top_model *m, size_t from, size_t to)
{
	const struct vu__obs_process *p = ui->sorted[from]->proc;
	bool one = p->ndevs == 1;

	(void)m;
	if (!add_group(ui, TOP_LINE_PROCESS, from, to, one))
		return;
	while (from < to) {
		size_t end = end_of_device(ui, from);

		if (one || add_group(ui, TOP_LINE_DEVICE, from, end, true)) {
			for (size_t i = from; i < end; i++)
				add_queue(ui, ui->sorted[i]);
		}
		from = end;
	}
}

/* Back-ends of which no queue is known are worth a line, at the end. */
static void add_others(struct top_ui *ui, const struct vu__obs_snapshot *s)
{
	for (uint32_t i = 0; i < s->nprocs; i++) {
		const struct vu__obs_process *p = &s->procs[i];
		struct top_key key = {p->pid, p->start_time, 0, 0};
		struct top_line *l;
		bool queues = false;

		for (uint32_t d = 0; d < p->ndevs; d++)
			queues = queues || s->devs[p->first_dev + d].nqueues;
		if (queues || !(p->roles & VU__OBS_BACKEND))
			continue;
		l = add_line(ui, TOP_LINE_PROCESS, &key);
		if (!l)
			return;
		l->proc = i;
		l->dev = p->ndevs == 1 ? p->first_dev : UINT32_MAX;
	}
}

/* --- the order of groups is that of their first queue --- */

struct ranks {
	uint32_t *process, *device; /* by place in the snapshot */
	uint32_t *queue;	    /* likewise: as sorted */
};

static int by_rank(const void *a, const void *b, void *ranks)
{
	const struct top_queue *x = *(struct top_queue *const *)a;
	const struct top_queue *y = *(struct top_queue *const *)b;
	const struct ranks *r = ranks;
	uint32_t u = r->process[x->dev->proc], v = r->process[y->dev->proc];

	if (u == v) {
		u = r->device[x->q->dev];
		v = r->device[y->q->dev];
	}
	if (u == v) {
		u = r->queue[x->place];
		v = r->queue[y->place];
	}
	return (u > v) - (u < v);
}

static void group(struct top_ui *ui, const struct vu__obs_snapshot *s)
{
	size_t n = (size_t)s->nprocs + s->ndevs + s->nqueues;
	VU_CLEANUP_FREE uint32_t *all = malloc((n ? n : 1) * sizeof(*all));
	struct ranks r = {all, all + s->nprocs, all + s->nprocs + s->ndevs};

	if (!all)
		return;
	memset(all, 0xff, n * sizeof(*all));
	for (size_t i = ui->nsorted; i-- > 0;) {
		const struct top_queue *t = ui->sorted[i];

		r.process[t->dev->proc] = i;
		r.device[t->q->dev] = i;
		r.queue[t->place] = i;
	}
	qsort_r(ui->sorted, ui->nsorted, sizeof(ui->sorted[0]), by_rank, &r);
}

/* --- the cursor --- */

/* The line it is on, or of a group that is folded over it; false: it has gone. */
static bool find_line(const struct top_ui *ui, size_t *at)
{
	for (int what = ui->cursor.what; what >= TOP_LINE_PROCESS; what--) {
		for (size_t i = 0; i < ui->nlines; i++) {
			if ((int)ui->lines[i].what == what &&
			    same_line(what, &ui->lines[i].key, &ui->cursor.key)) {
				*at = i;
				return true;
			}
		}
	}
	return false;
}

static void find_cursor(struct top_ui *ui)
{
	size_t *at = &ui->at[TOP_VIEW_QUEUES];

	ui->length[TOP_VIEW_QUEUES] = ui->nlines;
	if (ui->cursor.set && !ui->stay && find_line(ui, at))
		return;
	*at = VU_MIN(*at, ui->nlines ? ui->nlines - 1 : 0);
	if (ui->cursor.set && ui->nlines) {
		ui->cursor.what = ui->lines[*at].what;
		ui->cursor.key = ui->lines[*at].key;
		return;
	}
	*at = 0;
	while (*at + 1 < ui->nlines && ui->lines[*at].what != TOP_LINE_QUEUE)
		++*at;
}

void top_ui_update(struct top_ui *ui, const struct top_model *m)
{
	struct top_queue **sorted;

	ui->nlines = 0;
	ui->order.show = ui->show;
	sorted = reallocarray(ui->sorted, m->nqueues ? m->nqueues : 1, sizeof(ui->sorted[0]));
	if (!sorted || !m->frame)
		return;
	ui->sorted = sorted;
	ui->nsorted = top_select(m, ui->filter, &ui->order, ui->sorted);
	ui->nhidden = m->nqueues - ui->nsorted;
	if (ui->flat) {
		for (size_t i = 0; i < ui->nsorted; i++)
			add_queue(ui, ui->sorted[i]);
	} else {
		group(ui, m->frame->snap);
		for (size_t i = 0; i < ui->nsorted;) {
			size_t end = end_of_process(ui, i);

			add_process(ui, m, i, end);
			i = end;
		}
	}
	if (!ui->filter)
		add_others(ui, m->frame->snap);
	find_cursor(ui);
}

struct top_queue *top_ui_queue(const struct top_ui *ui, const struct top_model *m)
{
	const struct top_line *l;

	if (ui->view == TOP_VIEW_DETAIL)
		return top_model_find(m, &ui->queue);
	if (ui->at[TOP_VIEW_QUEUES] >= ui->nlines)
		return NULL;
	l = &ui->lines[ui->at[TOP_VIEW_QUEUES]];
	return l->t;
}

struct top_device *top_ui_device(const struct top_ui *ui, const struct top_model *m)
{
	struct top_queue *t = top_ui_queue(ui, m);
	const struct top_line *l;

	if (t)
		return m->devices[t->q->dev];
	if (ui->at[TOP_VIEW_QUEUES] >= ui->nlines)
		return m->ndevices == 1 ? m->devices[0] : NULL;
	l = &ui->lines[ui->at[TOP_VIEW_QUEUES]];
	return l->dev != UINT32_MAX ? m->devices[l->dev] : NULL;
}

/* --- what has to be looked at --- */

void top_want_for_filters(const struct top_model *m, const struct top_filter *filter,
			  enum vu__obs_tri latency, struct top_want *want)
{
	bool latencies = latency == VU__OBS_YES || top_filter_wants_latency(filter);
	bool threads = top_filter_wants_threads(filter);

	for (unsigned int i = 0; i < m->nalerts; i++) {
		latencies = latencies || top_filter_wants_latency(m->alerts[i].filter);
		threads = threads || top_filter_wants_threads(m->alerts[i].filter);
	}
	if (latencies && latency != VU__OBS_NO)
		want->watch_all = want->hists_all = true;
	if (threads) {
		want->focus = true;
		want->focus_on = (struct vu__sample_focus){0, -1, -1};
	}
}

static void focus_on(const struct top_queue *t, struct top_want *want)
{
	want->focus = true;
	want->focus_on = (struct vu__sample_focus){t->key.pid, t->key.device, t->key.queue};
}

/* Latencies of the queues on the screen, and a page around them, so that one can scroll. */
static int want_lines(const struct top_ui *ui, struct top_want *want)
{
	size_t first = ui->first[TOP_VIEW_QUEUES], page = ui->page ? ui->page : 24;
	size_t from = first > page ? first - page : 0;
	int ret = 0;

	for (size_t i = from; !ret && i < ui->nlines && i < first + 2 * page; i++) {
		if (ui->lines[i].what == TOP_LINE_QUEUE)
			ret = top_want_queue(want, &ui->lines[i].key);
	}
	return ret;
}

static int want_scope(const struct top_ui *ui, const struct top_model *m,
		      struct top_want *want)
{
	const struct top_device *d = top_ui_device(ui, m);
	int ret = 0;

	if (ui->scope == TOP_SCOPE_ALL || !d) {
		want->watch_all = want->hists_all = true;
		return 0;
	}
	for (uint32_t i = 0; !ret && i < d->dev->nqueues; i++)
		ret = top_want_queue(want, &m->queues[d->dev->first_queue + i]->key);
	return ret;
}

static bool needs_threads(const struct top_ui *ui)
{
	if (ui->view == TOP_VIEW_THREADS)
		return true;
	for (unsigned int i = 0; i < 2; i++) {
		if (ui->order.key[i] && ui->order.key[i]->thread)
			return true;
	}
	for (unsigned int i = 0; i < ui->ncolumns; i++) {
		if (ui->columns[i]->thread)
			return true;
	}
	return false;
}

static int want_latency(const struct top_ui *ui, const struct top_model *m,
			struct top_want *want)
{
	const struct top_queue *t = top_ui_queue(ui, m);
	int ret = 0;

	for (unsigned int i = 0; i < 2; i++) {
		if (ui->order.key[i] && ui->order.key[i]->latency)
			want->watch_all = want->hists_all = true;
	}
	if (ui->view == TOP_VIEW_QUEUES)
		ret = want_lines(ui, want);
	else if (ui->view == TOP_VIEW_HEAT)
		ret = want_scope(ui, m, want);
	if (!ret && t)
		ret = top_want_queue(want, &t->key);
	return ret;
}

int top_ui_want(const struct top_ui *ui, const struct top_model *m, enum vu__obs_tri latency,
		struct top_want *want)
{
	const struct top_queue *t = top_ui_queue(ui, m);
	const struct top_device *d = top_ui_device(ui, m);
	int ret = 0;

	memset(want, 0, sizeof(*want));
	top_want_for_filters(m, ui->filter, latency, want);
	if (needs_threads(ui)) {
		want->focus = true;
		want->focus_on = (struct vu__sample_focus){0, -1, -1};
	} else if (ui->view == TOP_VIEW_DETAIL && t) {
		focus_on(t, want);
		want->holders = true;
	}
	want->backings = ui->view == TOP_VIEW_MEMORY;
	if (latency != VU__OBS_NO)
		ret = want_latency(ui, m, want);
	if (ui->view == TOP_VIEW_EVENTS && (ui->scope == TOP_SCOPE_ALL || !d))
		want->events_all = true;
	if (!ret && d)
		ret = top_want_device(want, &d->key);
	if (ret)
		top_want_release(want);
	return ret;
}
