/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys that choose which queues there are, in which order, and how they are counted.
 * Pure. */
#include <stdio.h>
#include <string.h>

#include "vu-top/keysimpl.h"

/* --- order --- */

static void sort_by_name(struct top_ui *ui, const char *name)
{
	const struct top_field *f = top_field_find(name, strlen(name));
	char order[100];

	top_keys_sort_by(ui, f, false);
	top_order_format(&ui->order, order, sizeof(order));
	top_ui_say(ui, false, "Sorted by %s", order);
}

/* The field before or after the one that is sorted by. */
static void sort_by_neighbour(struct top_ui *ui, int step)
{
	size_t n = top_choices(), at = 0;
	char order[100];

	while (at < n && top_choice(at) != ui->order.key[0])
		at++;
	ui->order.key[0] = top_choice((at + n + step) % n);
	ui->order.down[0] = top_field_down(ui->order.key[0]);
	top_order_format(&ui->order, order, sizeof(order));
	top_ui_say(ui, false, "Sorted by %s", order);
}

static bool sorts(struct top_ui *ui, uint32_t key)
{
	static const struct {
		uint32_t key;
		const char *name;
	} quick[] = {{'S', "health"}, {'R', "req/s"}, {'B', "bytes/s"}, {'L', "p99"},
		     {'P', "busy%"},  {'D', "depth"}, {'O', "oldest"}};

	for (size_t i = 0; i < VU_ARRAY_SIZE(quick); i++) {
		if (quick[i].key == key) {
			sort_by_name(ui, quick[i].name);
			return true;
		}
	}
	switch (key) {
	case '<':
		sort_by_neighbour(ui, -1);
		return true;
	case '>':
		sort_by_neighbour(ui, 1);
		return true;
	case 'I':
		ui->order.down[0] = !ui->order.down[0];
		return true;
	}
	return false;
}

/* --- folding and tags --- */

static void fold_all(struct top_ui *ui, bool fold)
{
	if (!fold) {
		ui->nfolded = 0;
		return;
	}
	for (size_t i = 0; i < ui->nlines; i++) {
		if (ui->lines[i].what == TOP_LINE_PROCESS)
			top_ui_fold(ui, &ui->lines[i], true);
	}
}

/* On a queue, its group is folded, and the cursor goes there. */
static void fold_here(struct top_ui *ui, bool fold)
{
	size_t at = ui->at[TOP_VIEW_QUEUES];

	if (at >= ui->nlines)
		return;
	while (fold && at && ui->lines[at].what == TOP_LINE_QUEUE)
		at--;
	if (ui->lines[at].what == TOP_LINE_QUEUE)
		return;
	top_keys_go_to(ui, at);
	top_ui_fold(ui, &ui->lines[at], fold);
}

static void tag(struct top_ui *ui, struct top_model *m)
{
	size_t at = ui->at[TOP_VIEW_QUEUES];
	struct top_queue *t = top_ui_queue(ui, m);

	if (!t || (ui->view != TOP_VIEW_DETAIL && ui->view != TOP_VIEW_QUEUES))
		return;
	if (ui->view == TOP_VIEW_DETAIL || ui->lines[at].what == TOP_LINE_QUEUE)
		t->tagged = !t->tagged;
	if (ui->view == TOP_VIEW_QUEUES && at + 1 < ui->nlines)
		top_keys_go_to(ui, at + 1);
}

static bool folds(struct top_ui *ui, struct top_model *m, uint32_t key)
{
	switch (key) {
	case TOP_KEY_LEFT:
	case TOP_KEY_RIGHT:
		if (ui->view == TOP_VIEW_QUEUES)
			fold_here(ui, key == TOP_KEY_LEFT);
		return true;
	case '-':
	case '+':
		fold_all(ui, key == '-');
		return true;
	case ' ':
		tag(ui, m);
		return true;
	case 'U':
		for (uint32_t i = 0; i < m->nqueues; i++)
			m->queues[i]->tagged = false;
		return true;
	case 't':
		ui->flat = !ui->flat;
		return true;
	case 'F':
		ui->stay = !ui->stay;
		top_ui_say(ui, false, ui->stay ? "The cursor stays on its line."
					       : "The cursor goes with its queue.");
		return true;
	}
	return false;
}

/* --- counting --- */

static void show_since(struct top_ui *ui, const struct top_model *m, enum top_show show)
{
	if (show == TOP_SINCE_MARK && !m->mark) {
		top_ui_say(ui, true, "There is no mark; m sets one.");
		return;
	}
	ui->show = ui->show == show ? TOP_RATES : show;
}

static bool counts(struct top_ui *ui, struct top_model *m, uint32_t key)
{
	switch (key) {
	case 'm':
		top_model_mark(m);
		top_ui_say(ui, false, "Marked; = counts from here.");
		return true;
	case '0':
		top_model_unmark(m);
		for (uint32_t i = 0; i < m->nqueues; i++)
			m->queues[i]->depth_max = top_depth(m->queues[i]->q);
		if (ui->show == TOP_SINCE_MARK)
			ui->show = TOP_RATES;
		return true;
	case '=':
		show_since(ui, m, TOP_SINCE_MARK);
		return true;
	case 'T':
		show_since(ui, m, TOP_TOTALS);
		return true;
	case 'u':
		ui->units = ui->units == TOP_SI ? TOP_IEC : TOP_SI;
		return true;
	case 'a':
		ui->scope = (ui->scope + 1) % (TOP_SCOPE_ALL + 1);
		return true;
	case 'l':
		ui->latency = ui->latency == VU__OBS_SERVICE ? VU__OBS_KICK_TO_POP
							     : VU__OBS_SERVICE;
		return true;
	case 'C':
		ui->colours = (ui->colours + 1) % TOP_PALETTES;
		return true;
	}
	return false;
}

/* --- what is done elsewhere --- */

static unsigned int asks(struct top_ui *ui, uint32_t key)
{
	char text[32];

	switch (key) {
	case '/':
		top_keys_prompt(ui, TOP_PROMPT_SEARCH, "");
		return 0;
	case '*':
		top_keys_search(ui);
		return 0;
	case '\\':
	case TOP_KEY_F0 + 4:
		top_keys_prompt(ui, TOP_PROMPT_FILTER,
				ui->filter ? top_filter_text(ui->filter) : "");
		return 0;
	case 'd':
	case 's':
		snprintf(text, sizeof(text), "%.3g", ui->interval_ns / 1e9);
		top_keys_prompt(ui, TOP_PROMPT_INTERVAL, text);
		return 0;
	case 'x':
		top_keys_prompt(ui, TOP_PROMPT_EXPORT, "vu-top.txt");
		return 0;
	case 'Z':
		ui->paused = !ui->paused;
		return ui->paused ? 0 : TOP_DO_SAMPLE;
	case 'r':
		return TOP_DO_SAMPLE;
	case 'W':
		return TOP_DO_SAVE;
	case 'y':
		return TOP_DO_COPY;
	}
	return 0;
}

unsigned int top_keys_set(struct top_ui *ui, struct top_model *m, uint32_t key)
{
	if (sorts(ui, key) || folds(ui, m, key) || counts(ui, m, key))
		return TOP_DO_SAMPLE;
	return asks(ui, key);
}
