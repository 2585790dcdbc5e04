/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Help, and choosing what to sort by and which columns there are.  Pure. */
#include <stdio.h>
#include <string.h>

#include "vu-top/view.h"

static const struct {
	const char *key, *what;
} keys[] = {
	{NULL, "Where to look"},
	{"1..8", "a view: queues, devices, threads, latency, memory, migration, events, alerts"},
	{"Tab, Shift-Tab", "the next view, the one before"},
	{"Up, Down, k, j", "a line up, down; also PgUp, PgDn, Home, End"},
	{"Enter", "look at a queue: why, ring, eventfds, curves; fold or unfold a group"},
	{"Left, Right", "fold, unfold; - and + do so with all"},
	{"!", "go to the next queue with something wrong"},
	{"Esc", "back"},
	{NULL, "Which queues"},
	{"/, *", "search for a name; the next one"},
	{"\\, F4", "show only queues that fit a filter; an empty one shows all"},
	{"t", "grouped by process and device, or flat"},
	{"Space, U", "tag a queue (filter: tag=1); take all tags off"},
	{"F", "whether the cursor goes with its queue or stays on its line"},
	{NULL, "In which order"},
	{"F6, o", "choose what to sort by: Enter the first key, Space the second"},
	{"S", "by health"},
	{"R, B, L", "by requests, bytes, latency (p99) ..."},
	{"P, D, O", "... CPU, depth, age of the oldest request; the old first key becomes the "
		    "second"},
	{"<, >", "by the column to the left, to the right"},
	{"I", "the other way round"},
	{"f", "choose columns"},
	{NULL, "How it is counted"},
	{"Z", "pause, and go on"},
	{"d, s", "how often to look"},
	{"r", "look now"},
	{"m, =", "set a mark; count since the mark, or since the last look"},
	{"T", "totals (since the mark, if there is one), or rates"},
	{"0", "forget the mark and the largest depths"},
	{"u", "bytes in thousands, or in steps of 1024"},
	{NULL, "In a view"},
	{"a", "latency, events: of the queue, its device, or all"},
	{"l", "latency: service time, or kick to pop"},
	{"w", "curves, latency: 1 min, 5 min, 10 min, 1 h, 6 h, 24 h"},
	{"c, C", "other curves; other colours"},
	{"n, p", "detail: the next queue, the one before"},
	{NULL, "A recording"},
	{"[, ]", "a frame back, on"},
	{"{, }", "a minute back, on"},
	{"g", "go to a time"},
	{NULL, "Other"},
	{"x", "write the screen to a file; .json: the queues"},
	{"y", "copy the queue's name to the terminal's clipboard"},
	{"W", "save sorting, columns, filter, units as the configuration"},
	{"Ctrl-L", "draw the screen anew"},
	{"?, h, F1", "this help"},
	{"q, F10", "quit"},
};

static const char *const marks[] = {
	"In the list, ! stands for stuck, w for a warning, i for a remark, * for a tag.",
	("IN is to the guest, OUT from it. DEPTH: made available and not given back; INFL: fetched "
	 "and not given back. OLDEST is the age of the oldest request, at least. P50, P99 are of "
	 "service, from pop to push, in the last seconds. A number that is not known is -."),
	("Back-ends without libvu do not tell: their rings are read from the machine's memory, "
	 "and there are no kicks, bytes or latencies of them."),
	"Verdicts are explained in vu-verdicts(7).",
};

void top_view_help(struct top_canvas *c, const struct top_scene *s, struct top_area a)
{
	struct top_canvas tall;
	unsigned int row = 0;

	if (top_canvas_init(&tall, 200, c->cols, c->utf8))
		return;
	for (size_t i = 0; i < VU_ARRAY_SIZE(keys); i++) {
		unsigned int col = c->cols < 60 ? 12 : 20;

		if (!keys[i].key) {
			row += i != 0;
			top_put(&tall, row++, 1, c->cols, TOP_STRONG, keys[i].what);
			continue;
		}
		top_put(&tall, row, 3, c->cols, TOP_KEY, keys[i].key);
		row += top_put_wrapped(&tall, row, col, c->cols, 4, TOP_NORMAL, keys[i].what);
	}
	row++;
	for (size_t i = 0; i < VU_ARRAY_SIZE(marks); i++)
		row += top_put_wrapped(&tall, row, 1, c->cols, 8, TOP_NORMAL, marks[i]);
	top_scrolled(c, s, &a, TOP_VIEW_HELP, &tall, row);
	top_canvas_release(&tall);
}

/* --- choosing fields: those that a person has words for --- */

size_t top_choices(void)
{
	size_t n = 0;

	for (const struct top_field *f = top_fields; f->name; f++)
		n += f->help != NULL;
	return n;
}

const struct top_field *top_choice(size_t i)
{
	for (const struct top_field *f = top_fields; f->name; f++) {
		if (f->help && !i--)
			return f;
	}
	return NULL;
}

static void mark_sort(const struct top_ui *ui, const struct top_field *f, char *out, size_t size)
{
	out[0] = '\0';
	for (unsigned int i = 0; i < 2; i++) {
		if (ui->order.key[i] == f)
			snprintf(out, size, "%u %s", i + 1, ui->order.down[i] ? "down" : "up");
	}
}

static void mark_column(const struct top_ui *ui, const struct top_field *f, char *out,
			size_t size)
{
	snprintf(out, size, "[ ]");
	for (unsigned int i = 0; i < ui->ncolumns; i++) {
		if (ui->columns[i] == f)
			snprintf(out, size, "[%u]", i + 1);
	}
}

void top_view_choose(struct top_canvas *c, const struct top_scene *s, struct top_area a)
{
	bool sort = s->ui->view == TOP_VIEW_SORT;
	size_t first, n;

	top_fill(c, a.first, 0, c->cols, TOP_HEADER, ' ');
	top_put(c, a.first, 1, c->cols, TOP_HEADER,
		sort ? "Sort by: Enter chooses the first key (again: the other way), Space the second"
		     : "Columns: Space or Enter puts one in, or out; 0: as the width suggests");
	a.first++;
	a.rows--;
	n = top_list(c, s, &a, s->ui->view, top_choices(), &first);
	for (size_t i = 0; i < n; i++) {
		const struct top_field *f = top_choice(first + i);
		char mark[16];

		if (sort)
			mark_sort(s->ui, f, mark, sizeof(mark));
		else
			mark_column(s->ui, f, mark, sizeof(mark));
		top_put(c, a.first + i, 1, 8, TOP_KEY, mark);
		top_put(c, a.first + i, 9, c->cols, TOP_STRONG, f->name);
		top_put_field(c, a.first + i, 24, c->cols > 24 ? c->cols - 24 : 0, false,
			      TOP_NORMAL, f->help);
		if (first + i == s->ui->at[s->ui->view])
			top_select_row(c, a.first + i);
	}
}
