/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line that is typed, and what becomes of it.  Pure. */
#include <stdio.h>
#include <string.h>

#include "vu-top/keysimpl.h"

void top_keys_prompt(struct top_ui *ui, enum top_prompt prompt, const char *text)
{
	ui->prompt = prompt;
	snprintf(ui->input, sizeof(ui->input), "%s", text);
}

/* --- searching --- */

static bool names_fit(const struct top_line *l, const char *search)
{
	static const char *const names[] = {"vm", "device", "process", "socket", "verdict"};

	for (size_t i = 0; l->t && i < VU_ARRAY_SIZE(names); i++) {
		const struct top_field *f = top_field_find(names[i], strlen(names[i]));
		char buf[TOP_FIELD_TEXT];

		if (top_contains(f->text(l->t, buf), search))
			return true;
	}
	return false;
}

void top_keys_search(struct top_ui *ui)
{
	size_t n = ui->nlines;

	if (!ui->search[0]) {
		top_ui_say(ui, true, "Nothing has been searched for yet.");
		return;
	}
	for (size_t i = 1; i <= n; i++) {
		size_t line = (ui->at[TOP_VIEW_QUEUES] + i) % n;

		if (names_fit(&ui->lines[line], ui->search)) {
			top_keys_go_to(ui, line);
			return;
		}
	}
	top_ui_say(ui, true, "'%.60s' is not there.", ui->search);
}

/* --- what was typed --- */

static unsigned int take_filter(struct top_ui *ui)
{
	const char *text = ui->input + strspn(ui->input, " ");
	struct top_filter *f;
	char why[140];

	if (!*text) {
		top_filter_free(ui->filter);
		ui->filter = NULL;
		return TOP_DO_SAMPLE;
	}
	f = top_filter_parse(text, why, sizeof(why));
	if (!f) {
		/* What was typed stays, to be put right. */
		top_ui_say(ui, true, "%s", why);
		ui->prompt = TOP_PROMPT_FILTER;
		return 0;
	}
	top_filter_free(ui->filter);
	ui->filter = f;
	return TOP_DO_SAMPLE;
}

static unsigned int take_interval(struct top_ui *ui)
{
	uint64_t ns;

	if (!top_parse_interval(ui->input, 50000000ull, 3600000000000ull, &ns)) {
		top_ui_say(ui, true, "'%.40s' is not a time from 50ms to 1h.", ui->input);
		return 0;
	}
	ui->interval_ns = ns;
	return TOP_DO_INTERVAL;
}

static unsigned int take(struct top_ui *ui)
{
	enum top_prompt prompt = ui->prompt;

	ui->prompt = TOP_PROMPT_NONE;
	switch (prompt) {
	case TOP_PROMPT_SEARCH:
		memcpy(ui->search, ui->input, sizeof(ui->search));
		top_keys_search(ui);
		return 0;
	case TOP_PROMPT_FILTER:
		return take_filter(ui);
	case TOP_PROMPT_INTERVAL:
		return take_interval(ui);
	case TOP_PROMPT_EXPORT:
		return ui->input[0] ? TOP_DO_EXPORT : 0;
	case TOP_PROMPT_SEEK:
		return ui->input[0] ? TOP_DO_SEEK : 0;
	default:
		return 0;
	}
}

/* --- typing --- */

static void rub_out(struct top_ui *ui)
{
	size_t len = strlen(ui->input);

	while (len && (ui->input[--len] & 0xc0) == 0x80)
		;
	ui->input[len] = '\0';
}

static void type(struct top_ui *ui, uint32_t ch)
{
	size_t len = strlen(ui->input);
	char bytes[4];
	size_t n = utf8_put(ch, bytes);

	if (ch < 0x20 || ch == 0x7f || len + n >= sizeof(ui->input))
		return;
	memcpy(ui->input + len, bytes, n);
	ui->input[len + n] = '\0';
}

unsigned int top_keys_type(struct top_ui *ui, struct top_model *m, uint32_t key)
{
	(void)m;
	switch (key) {
	case TOP_KEY_ENTER:
		return take(ui);
	case TOP_KEY_ESCAPE:
		ui->prompt = TOP_PROMPT_NONE;
		return 0;
	case TOP_KEY_BACKSPACE:
	case TOP_KEY_DELETE:
		rub_out(ui);
		return 0;
	case 'U' - 64:
		ui->input[0] = '\0';
		return 0;
	}
	if (key < 0x110000)
		type(ui, key);
	return 0;
}
