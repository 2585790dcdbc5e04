/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What keys do.  A handler changes what is chosen and returns what else is to be done;
 * it does none of it itself.  Pure.
 */
#include <stdio.h>
#include <string.h>

#include "vu-top/keysimpl.h"

/* --- moving --- */

/* What is left is put right when it is drawn. */
static void move_by(struct top_ui *ui, int64_t by)
{
	size_t *at = &ui->at[ui->view], n = ui->length[ui->view];

	if (by < 0)
		*at -= VU_MIN(*at, (size_t)-by);
	else
		*at = n ? VU_MIN(*at + by, n - 1) : 0;
	if (ui->view == TOP_VIEW_QUEUES)
		top_keys_take_cursor(ui);
}

void top_keys_take_cursor(struct top_ui *ui)
{
	size_t at = ui->at[TOP_VIEW_QUEUES];

	ui->cursor.set = at < ui->nlines;
	if (!ui->cursor.set)
		return;
	ui->cursor.what = ui->lines[at].what;
	ui->cursor.key = ui->lines[at].key;
}

void top_keys_go_to(struct top_ui *ui, size_t line)
{
	ui->at[TOP_VIEW_QUEUES] = line;
	top_keys_take_cursor(ui);
}

static bool moves(struct top_ui *ui, uint32_t key)
{
	int64_t page = ui->page > 1 ? ui->page - 1 : 1;

	switch (key) {
	case TOP_KEY_UP:
	case 'k':
		move_by(ui, -1);
		return true;
	case TOP_KEY_DOWN:
	case 'j':
		move_by(ui, 1);
		return true;
	case TOP_KEY_PAGE_UP:
		move_by(ui, -page);
		return true;
	case TOP_KEY_PAGE_DOWN:
		move_by(ui, page);
		return true;
	case TOP_KEY_HOME:
		move_by(ui, -(int64_t)ui->at[ui->view]);
		return true;
	case TOP_KEY_END:
		move_by(ui, ui->length[ui->view]);
		return true;
	}
	return false;
}

/* --- views --- */

static void show(struct top_ui *ui, enum top_view view)
{
	if (view >= TOP_VIEWS && ui->view < TOP_VIEWS)
		ui->back = ui->view;
	ui->view = view;
	if (view == TOP_VIEW_DETAIL || view == TOP_VIEW_HELP)
		ui->at[view] = 0;
}

static void look_at(struct top_ui *ui, const struct top_queue *t)
{
	ui->queue = t->key;
	show(ui, TOP_VIEW_DETAIL);
}

/* The line of a device, process or queue in the list of queues. */
static void find_device(struct top_ui *ui, const struct top_key *key)
{
	for (size_t i = 0; i < ui->nlines; i++) {
		if (top_same_device(&ui->lines[i].key, key) ||
		    (ui->lines[i].what == TOP_LINE_PROCESS && ui->lines[i].dev != UINT32_MAX &&
		     top_same_process(&ui->lines[i].key, key))) {
			top_keys_go_to(ui, i);
			return;
		}
	}
}

static unsigned int enter(struct top_ui *ui, struct top_model *m)
{
	size_t at = ui->at[ui->view];

	switch (ui->view) {
	case TOP_VIEW_QUEUES:
		if (at >= ui->nlines)
			return 0;
		if (ui->lines[at].what == TOP_LINE_QUEUE)
			look_at(ui, ui->lines[at].t);
		else
			top_ui_fold(ui, &ui->lines[at], !ui->lines[at].folded);
		return TOP_DO_SAMPLE;
	case TOP_VIEW_DEVICES:
	case TOP_VIEW_MIGRATION:
		if (at < m->ndevices) {
			find_device(ui, &m->devices[at]->key);
			show(ui, TOP_VIEW_QUEUES);
		}
		return 0;
	case TOP_VIEW_ALERTS: /* its first lines are what is wrong now, as in the model */
	case TOP_VIEW_HEAT:
	case TOP_VIEW_EVENTS:
		return top_keys_next_trouble(ui, m, ui->view == TOP_VIEW_ALERTS ? at : SIZE_MAX);
	default:
		return 0;
	}
}

/* --- what is wrong --- */

/* @nth: of those in trouble, in the model's order; SIZE_MAX: the chosen queue. */
unsigned int top_keys_next_trouble(struct top_ui *ui, struct top_model *m, size_t nth)
{
	struct top_queue *t = nth == SIZE_MAX ? top_ui_queue(ui, m) : NULL;

	for (uint32_t i = 0; !t && i < m->nqueues; i++) {
		struct top_queue *q = m->queues[i];

		if (VU_MAX(q->verdict.severity, top_alert_worst(m, q)) >= VU__OBS_WARNING &&
		    !nth--)
			t = q;
	}
	if (!t)
		return 0;
	look_at(ui, t);
	return TOP_DO_SAMPLE;
}

static void go_to_trouble(struct top_ui *ui)
{
	size_t n = ui->nlines;

	for (size_t i = 1; i <= n; i++) {
		size_t line = (ui->at[TOP_VIEW_QUEUES] + i) % n;
		const struct top_line *l = &ui->lines[line];

		if (l->t && (l->what == TOP_LINE_QUEUE || l->folded) &&
		    l->t->verdict.severity >= VU__OBS_WARNING) {
			top_keys_go_to(ui, line);
			show(ui, TOP_VIEW_QUEUES);
			return;
		}
	}
	top_ui_say(ui, false, "Nothing is stuck.");
}

/* --- another queue's detail --- */

static unsigned int next_queue(struct top_ui *ui, int step)
{
	for (size_t i = 0; i < ui->nsorted; i++) {
		size_t to = i + step;

		if (!top_same_queue(&ui->sorted[i]->key, &ui->queue))
			continue;
		if (to < ui->nsorted) {
			ui->queue = ui->sorted[to]->key;
			ui->at[TOP_VIEW_DETAIL] = 0;
			return TOP_DO_SAMPLE;
		}
		break;
	}
	return 0;
}

static void next_window(struct top_ui *ui)
{
	static const unsigned int windows[] = {60, 300, 600, 3600, 6 * 3600, 24 * 3600};

	for (size_t i = 0; i < VU_ARRAY_SIZE(windows); i++) {
		if (windows[i] > ui->window) {
			ui->window = windows[i];
			return;
		}
	}
	ui->window = windows[0];
}

/* Three others of the series there are. */
static void next_curves(struct top_ui *ui)
{
	for (unsigned int i = 0; i < 3; i++)
		ui->chart[i] = (ui->chart[i] + 3) % TOP_NSERIES;
}

static unsigned int detail_key(struct top_ui *ui, uint32_t key)
{
	switch (key) {
	case 'n':
	case TOP_KEY_RIGHT:
		return next_queue(ui, 1);
	case 'p':
	case TOP_KEY_LEFT:
		return next_queue(ui, -1);
	case 'c':
		next_curves(ui);
	}
	return 0;
}

/* --- choosing fields --- */

static void toggle_column(struct top_ui *ui, const struct top_field *f)
{
	for (unsigned int i = 0; i < ui->ncolumns; i++) {
		if (ui->columns[i] == f) {
			memmove(&ui->columns[i], &ui->columns[i + 1],
				(--ui->ncolumns - i) * sizeof(ui->columns[0]));
			return;
		}
	}
	if (ui->ncolumns < TOP_MAX_FIELDS)
		ui->columns[ui->ncolumns++] = f;
}

void top_keys_sort_by(struct top_ui *ui, const struct top_field *f, bool second)
{
	struct top_order *o = &ui->order;

	if (second) {
		o->down[1] = o->key[1] == f ? !o->down[1] : top_field_down(f);
		o->key[1] = f;
		return;
	}
	if (o->key[0] == f) {
		o->down[0] = !o->down[0];
		return;
	}
	o->key[1] = o->key[0];
	o->down[1] = o->down[0];
	o->key[0] = f;
	o->down[0] = top_field_down(f);
}

static unsigned int choose_key(struct top_ui *ui, uint32_t key)
{
	const struct top_field *f = top_choice(ui->at[ui->view]);

	if (ui->view == TOP_VIEW_FIELDS && key == '0')
		ui->ncolumns = 0;
	else if (ui->view == TOP_VIEW_FIELDS && f && (key == ' ' || key == TOP_KEY_ENTER))
		toggle_column(ui, f);
	else if (ui->view == TOP_VIEW_SORT && f && (key == ' ' || key == TOP_KEY_ENTER))
		top_keys_sort_by(ui, f, key == ' ');
	return TOP_DO_SAMPLE;
}

/* --- all keys --- */

static bool shows(struct top_ui *ui, uint32_t key)
{
	if (key >= '1' && key < '1' + TOP_VIEWS) {
		show(ui, key - '1');
		return true;
	}
	switch (key) {
	case TOP_KEY_TAB:
		show(ui, ui->view < TOP_VIEWS ? (ui->view + 1) % TOP_VIEWS : ui->back);
		return true;
	case TOP_KEY_BACK_TAB:
		show(ui, ui->view < TOP_VIEWS ? (ui->view + TOP_VIEWS - 1) % TOP_VIEWS : ui->back);
		return true;
	case TOP_KEY_ESCAPE:
		show(ui, ui->view < TOP_VIEWS ? TOP_VIEW_QUEUES : ui->back);
		return true;
	case '?':
	case 'h':
	case TOP_KEY_F0 + 1:
		show(ui, ui->view == TOP_VIEW_HELP ? ui->back : TOP_VIEW_HELP);
		return true;
	case 'o':
	case TOP_KEY_F0 + 6:
		show(ui, TOP_VIEW_SORT);
		return true;
	case 'f':
		show(ui, TOP_VIEW_FIELDS);
		return true;
	}
	return false;
}

static unsigned int replay_key(struct top_ui *ui, uint32_t key)
{
	switch (key) {
	case '[':
		ui->paused = true;
		return TOP_DO_STEP_BACK;
	case ']':
		ui->paused = true;
		return TOP_DO_STEP;
	case '{':
		return TOP_DO_JUMP_BACK;
	case '}':
		return TOP_DO_JUMP;
	case 'g':
		top_keys_prompt(ui, TOP_PROMPT_SEEK, "");
	}
	return 0;
}

unsigned int top_ui_key(struct top_ui *ui, struct top_model *m, uint32_t key)
{
	bool choosing = ui->view == TOP_VIEW_SORT || ui->view == TOP_VIEW_FIELDS;
	unsigned int todo = 0;

	ui->message[0] = '\0';
	if (ui->prompt)
		return top_keys_type(ui, m, key);
	if (key == 'q' || key == TOP_KEY_F0 + 10)
		return TOP_DO_QUIT;
	if (key == 'L' - 64)
		return TOP_DO_REDRAW;
	if (choosing && (key == ' ' || key == TOP_KEY_ENTER || key == '0'))
		return choose_key(ui, key);
	if (shows(ui, key))
		return TOP_DO_SAMPLE;
	if (moves(ui, key))
		return 0;
	if (key == TOP_KEY_ENTER)
		return enter(ui, m);
	if (key == '!') {
		go_to_trouble(ui);
		return 0;
	}
	if (key == 'w') {
		next_window(ui);
		return 0;
	}
	if (ui->view == TOP_VIEW_DETAIL)
		todo |= detail_key(ui, key);
	if (ui->replaying)
		todo |= replay_key(ui, key);
	return todo | top_keys_set(ui, m, key);
}
