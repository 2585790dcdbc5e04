/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of queues, grouped by process and device, or flat.  Pure. */
#include <stdio.h>
#include <string.h>

#include "vu-top/view.h"

#define MAX_COLUMNS (TOP_MAX_FIELDS + 4)

struct table {
	size_t n;
	struct top_column columns[MAX_COLUMNS];
};

/*
 * In the order they are shown; the rank says which stay when there is little room: the
 * name, what is wrong, and what that is seen by.
 */
static const struct {
	const char *field;
	uint8_t rank;
	uint8_t least, most; /* width of the screen, from and up to which; 0: any */
} usual[] = {
	{"state", 9, 0, 0},	{"kick/s", 7, 0, 0},	{"req/s", 2, 0, 0},
	{"bytes/s", 6, 0, 149}, {"in/s", 6, 150, 0},	{"out/s", 6, 150, 0},
	{"req/kick", 14, 0, 0}, {"call/s", 8, 0, 0},	{"req/call", 20, 0, 0},
	{"supp%", 15, 0, 0},	{"empty%", 16, 0, 0},	{"size", 22, 0, 0},
	{"depth", 3, 0, 0},	{"infl", 11, 0, 0},	{"oldest", 4, 0, 0},
	{"p50", 10, 0, 0},	{"p99", 5, 0, 0},	{"max", 18, 0, 0},
	{"kick_p99", 19, 0, 0}, {"busy%", 17, 0, 0},	{"dirty/s", 24, 0, 0},
	{"err/s", 13, 0, 0},	{"tid", 25, 0, 0},
};

static void add(struct table *t, const char *title, unsigned int width, bool right,
		unsigned int rank, unsigned int grows, const struct top_field *f)
{
	t->columns[t->n++] = (struct top_column){
		.title = title, .width = width, .right = right, .rank = rank, .grows = grows,
		.field = f};
}

static bool to_the_right(const struct top_field *f)
{
	return f->kind != TOP_F_TEXT && f->kind != TOP_F_HEALTH;
}

/* The first column is the name, the last two the verdict and the trend. */
static void make_table(struct table *t, const struct top_scene *s, unsigned int width)
{
	const struct top_ui *ui = s->ui;
	const struct top_field *verdict = top_field_find("health", 6);

	t->n = 0;
	add(t, "  QUEUE", VU_MIN(VU_MAX(width / 5, 12u), 28u), false, 0, 1, NULL);
	for (unsigned int i = 0; i < ui->ncolumns; i++) {
		const struct top_field *f = ui->columns[i];

		add(t, *f->title ? f->title : f->name, f->width, to_the_right(f), i + 1, 0, f);
	}
	for (size_t i = 0; !ui->ncolumns && i < VU_ARRAY_SIZE(usual); i++) {
		const struct top_field *f = top_field_find(usual[i].field, strlen(usual[i].field));

		if (width < usual[i].least || (usual[i].most && width > usual[i].most))
			continue;
		add(t, f->title, f->width, to_the_right(f), usual[i].rank, 0, f);
	}
	add(t, "REQ/s TREND", 16, false, 12, 0, NULL);
	add(t, "VERDICT", width < 60 ? 9 : width < 130 ? 18 : 40, false, 1, 3, verdict);
}

static struct top_column *trend_of(struct table *t)
{
	return &t->columns[t->n - 2];
}

static struct top_column *verdict_of(struct table *t)
{
	return &t->columns[t->n - 1];
}

/* --- a queue --- */

static void put_verdict(struct top_canvas *c, const struct top_scene *s, unsigned int row,
			const struct top_column *col, const struct top_queue *t)
{
	const struct vu__obs_verdict *v = &t->verdict;
	const char *name = vu__obs_verdicts[v->id].name;
	unsigned int at, end = col->at + col->got;
	char since[16];

	(void)s;
	if (!col->got)
		return;
	top_put_field(c, row, col->at, VU_MIN(col->got, top_text_width(name)), false,
		      top_severity_style(v->severity), name);
	at = col->at + top_text_width(name);
	if (v->severity < VU__OBS_INFO || at + 8 > end)
		return;
	top_format_ns(since, sizeof(since), t->q->mono_ns - t->verdict_ns);
	at = top_printf(c, row, at + 1, end, TOP_DIM, "%s", since);
	if (at + 12 < end)
		top_put_field(c, row, at + 1, end - at - 1, false, TOP_NORMAL, v->evidence);
}

static void put_trend(struct top_canvas *c, unsigned int row, const struct top_column *col,
		      const struct top_queue *t)
{
	double values[64], max = 0;
	size_t n = VU_MIN(col->got, VU_ARRAY_SIZE(values));

	if (!n || !t->history)
		return;
	top_history_read(t->history, TOP_S_REQUESTS, t->q->mono_ns, 4, values, n);
	for (size_t i = 0; i < n; i++)
		max = top_known(values[i]) ? VU_MAX(max, values[i]) : max;
	top_put_spark(c, row, col->at, n, values, n, max, TOP_DATA1);
}

/* What stands out without being a verdict. */
static uint8_t value_style(const struct top_queue *t, const struct top_field *f)
{
	double v;

	if (f->kind == TOP_F_TEXT)
		return strcmp(f->name, "state") || top_state_of(t) == TOP_STARTED ? TOP_NORMAL
										  : TOP_STRONG;
	v = top_field_number(f, t, TOP_RATES);
	if (!top_known(v) || v == 0)
		return TOP_DIM;
	if (!strcmp(f->name, "oldest") && v >= 1e9)
		return TOP_WARNING;
	if (!strcmp(f->name, "err/s") || !strcmp(f->name, "full/s"))
		return TOP_WARNING;
	return TOP_NORMAL;
}

static void put_values(struct top_canvas *c, const struct top_scene *s, struct table *t,
		       unsigned int row, const struct top_queue *q)
{
	for (size_t i = 1; i + 2 < t->n; i++) {
		const struct top_field *f = t->columns[i].field;
		char text[TOP_FIELD_TEXT];

		if (!t->columns[i].got)
			continue;
		top_field_format(f, q, s->ui->show, s->ui->units, text);
		top_column_put(c, row, &t->columns[i], value_style(q, f), text);
	}
	put_trend(c, row, trend_of(t), q);
	put_verdict(c, s, row, verdict_of(t), q);
}

static void put_queue(struct top_canvas *c, const struct top_scene *s, struct table *t,
		      unsigned int row, const struct top_queue *q)
{
	unsigned int end = t->columns[0].got, indent = s->ui->flat ? 2 : 4;
	char name[160];

	top_put_char(c, row, 0, TOP_KEY, q->tagged ? '*' : ' ');
	top_put_char(c, row, 1, top_severity_style(q->verdict.severity),
		     top_severity_mark(q->verdict.severity));
	if (s->ui->flat)
		top_queue_name(q, name, sizeof(name));
	else
		snprintf(name, sizeof(name), "%u %s", q->q->index,
			 q->q->role == VU__OBS_ROLE_UNKNOWN ? "" : vu__obs_role_name(q->q->role));
	if (end > indent)
		top_put_field(c, row, indent, end - indent, false, TOP_NORMAL, name);
	put_values(c, s, t, row, q);
}

/* --- a group --- */

/* Of one queue, they are on its own line. */
static bool has_sums(const struct top_line *l)
{
	return l->nbelow > 1 || l->folded;
}

/* The value a group has of a field; NULL: none. */
static const double *sum_of(const struct top_line *l, const struct top_field *f)
{
	return !strcmp(f->name, "req/s")   ? &l->requests
	       : !strcmp(f->name, "in/s")  ? &l->in
	       : !strcmp(f->name, "out/s") ? &l->out
					   : NULL;
}

/* Where the name has to end: at the first value that a group has. */
static unsigned int name_end(struct table *t, const struct top_line *l)
{
	const struct top_column *last = verdict_of(t);

	for (size_t i = 1; has_sums(l) && i < t->n; i++) {
		const struct top_field *f = t->columns[i].field;

		if (t->columns[i].got && f && sum_of(l, f))
			return t->columns[i].at - 1;
	}
	return l->folded ? last->at - 1 : last->at + last->got;
}

static const char *process_state(const struct vu__obs_process *p)
{
	return !p->alive ? "DEAD" : p->state == 'T' || p->state == 't' ? "STOPPED" : "";
}

static void name_process(const struct top_scene *s, const struct top_line *l, char *out,
			 size_t size)
{
	const struct vu__obs_snapshot *snap = s->m->frame->snap;
	const struct vu__obs_process *p = &snap->procs[l->proc];
	const char *state = process_state(p), *trouble = top_process_trouble(snap, l->proc);
	char device[140] = "";

	if (l->dev != UINT32_MAX) {
		top_device_title(s, &snap->devs[l->dev], device, sizeof(device));
		trouble = top_device_trouble(snap, &snap->devs[l->dev]);
	}
	/* Sums leave less room; then it is where verdicts are. */
	if (has_sums(l) && !l->folded)
		state = "";
	snprintf(out, size, "%s%s%s[%d]%s%s%s%s%s%s", device, *device ? "  " : "",
		 p->comm[0] ? p->comm : "?", p->pid, *state ? " " : "", state,
		 p->kind != VU__OBS_KIND_LIBVU && p->kind != VU__OBS_KIND_OTHER ? "  " : "",
		 p->kind != VU__OBS_KIND_LIBVU && p->kind != VU__OBS_KIND_OTHER
			 ? vu__obs_kind_name(p->kind)
			 : "",
		 *trouble ? ": " : "", trouble);
}

static void put_sums(struct top_canvas *c, const struct top_scene *s, struct table *t,
		     unsigned int row, const struct top_line *l)
{
	for (size_t i = 1; i < t->n; i++) {
		const struct top_field *f = t->columns[i].field;
		char text[16];

		if (!f || !t->columns[i].got)
			continue;
		if (!strcmp(f->name, "bytes/s"))
			top_format_bytes(text, sizeof(text), l->in + l->out, s->ui->units);
		else if (sum_of(l, f) && f->kind == TOP_F_BYTES)
			top_format_bytes(text, sizeof(text), *sum_of(l, f), s->ui->units);
		else if (sum_of(l, f))
			top_format_count(text, sizeof(text), *sum_of(l, f));
		else
			continue;
		top_column_put(c, row, &t->columns[i], TOP_STRONG, text);
	}
}

static void put_group(struct top_canvas *c, const struct top_scene *s, struct table *t,
		      unsigned int row, const struct top_line *l)
{
	const struct vu__obs_snapshot *snap = s->m->frame->snap;
	bool process = l->what == TOP_LINE_PROCESS;
	unsigned int indent = process ? 0 : 2;
	char name[400];

	if (process)
		name_process(s, l, name, sizeof(name));
	else
		top_device_title(s, &snap->devs[l->dev], name, sizeof(name));
	if (l->nbelow)
		top_put_char(c, row, indent, TOP_FRAME, l->folded ? 0x25b6 : 0x25bc);
	top_put_field(c, row, indent + 2,
		      name_end(t, l) > indent + 2 ? name_end(t, l) - indent - 2 : 0, false,
		      snap->procs[l->proc].alive ? TOP_STRONG : TOP_CRITICAL, name);
	if (!l->nbelow)
		return;
	if (has_sums(l))
		put_sums(c, s, t, row, l);
	if (process && has_sums(l) && !l->folded && *process_state(&snap->procs[l->proc]))
		top_put_field(c, row, verdict_of(t)->at, verdict_of(t)->got, false, TOP_CRITICAL,
			      process_state(&snap->procs[l->proc]));
	/* What is folded away must not hide what is wrong. */
	if (l->folded && l->t) {
		const struct top_column *v = verdict_of(t);

		top_printf(c, row, v->at, v->at + v->got,
			   top_severity_style(l->t->verdict.severity), "%s",
			   l->t->verdict.severity >= VU__OBS_INFO
				   ? vu__obs_verdicts[l->t->verdict.id].name
				   : "ok");
		top_put_char(c, row, indent + 1, top_severity_style(l->t->verdict.severity),
			     top_severity_mark(l->t->verdict.severity));
	}
}

/* --- the list --- */

static void put_nothing(struct top_canvas *c, const struct top_scene *s, unsigned int row)
{
	if (s->ui->filter && s->ui->nhidden)
		top_printf(c, row, 2, c->cols, TOP_NORMAL,
			   "None of %zu queues fits the filter: %s", s->ui->nhidden,
			   top_filter_text(s->ui->filter));
	else
		top_put_wrapped(c, row, 2, c->cols, 4, TOP_NORMAL,
				"No vhost-user back-end was found on this host. Back-ends with "
				"libvu tell of themselves in /run/libvu, others are found by "
				"their sockets, which takes root.");
}

static void set_titles(struct table *t, const struct top_ui *ui, char titles[][12])
{
	for (size_t i = 1; i + 2 < t->n; i++) {
		size_t len = strlen(t->columns[i].title);

		/* A total is not a rate. */
		if (ui->show != TOP_TOTALS || !top_field_is_rate(t->columns[i].field) || len > 11)
			continue;
		snprintf(titles[i], 12, "%.*s", (int)(len > 2 && t->columns[i].title[len - 2] == '/'
							      ? len - 2
							      : len),
			 t->columns[i].title);
		t->columns[i].title = titles[i];
	}
}

void top_view_queues(struct top_canvas *c, const struct top_scene *s, struct top_area a)
{
	char titles[MAX_COLUMNS][12];
	struct table t;
	size_t first, n;

	make_table(&t, s, c->cols);
	top_columns_fit(t.columns, t.n, c->cols);
	set_titles(&t, s->ui, titles);
	top_columns_header(c, a.first, t.columns, t.n, &s->ui->order);
	a.first++;
	a.rows--;
	n = top_list(c, s, &a, TOP_VIEW_QUEUES, s->ui->nlines, &first);
	for (size_t i = 0; i < n; i++) {
		const struct top_line *l = &s->ui->lines[first + i];

		if (l->what == TOP_LINE_QUEUE)
			put_queue(c, s, &t, a.first + i, l->t);
		else
			put_group(c, s, &t, a.first + i, l);
		if (first + i == s->ui->at[TOP_VIEW_QUEUES])
			top_select_row(c, a.first + i);
	}
	if (!s->ui->nlines && a.rows)
		put_nothing(c, s, a.first);
}
