/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What keys do, and what is looked at because of it. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/top_host.h"
#include "vu-top/view.h"

static struct top_model *m;
static struct top_ui ui;
static struct top_canvas canvas;

static int set_up(void **state)
{
	(void)state;
	m = host_model(30);
	top_ui_init(&ui);
	top_ui_update(&ui, m);
	return top_canvas_init(&canvas, 24, 80, true);
}

static int tear_down(void **state)
{
	(void)state;
	top_canvas_release(&canvas);
	top_ui_release(&ui);
	top_model_free(m);
	return 0;
}

static unsigned int press(uint32_t key)
{
	struct top_scene s = {m, &ui, "host", 0};
	unsigned int todo = top_ui_key(&ui, m, key);

	top_ui_update(&ui, m);
	top_view_draw(&canvas, &s);
	return todo;
}

static void type(const char *text)
{
	for (; *text; text++)
		press((unsigned char)*text);
}

static const char *here(void)
{
	static char name[160];
	const struct top_line *l = &ui.lines[ui.at[TOP_VIEW_QUEUES]];

	name[0] = '\0';
	if (l->t)
		top_queue_name(l->t, name, sizeof(name));
	return name;
}

static void test_views(void **state)
{
	(void)state;
	for (unsigned int v = 0; v < TOP_VIEWS; v++) {
		press('1' + v);
		assert_int_equal(ui.view, v);
	}
	press(TOP_KEY_TAB);
	assert_int_equal(ui.view, TOP_VIEW_QUEUES);
	press(TOP_KEY_BACK_TAB);
	assert_int_equal(ui.view, TOP_VIEW_ALERTS);
	press(TOP_KEY_ESCAPE);
	assert_int_equal(ui.view, TOP_VIEW_QUEUES);
	press('3');
	press('?');
	assert_int_equal(ui.view, TOP_VIEW_HELP);
	press(TOP_KEY_F0 + 1);
	assert_int_equal(ui.view, TOP_VIEW_THREADS);
	assert_int_equal(press('q'), TOP_DO_QUIT);
	assert_int_equal(press(TOP_KEY_F0 + 10), TOP_DO_QUIT);
	assert_int_equal(press('L' - 64), TOP_DO_REDRAW);
}

/* It begins on a queue that is stuck, and goes with it. */
static void test_cursor(void **state)
{
	(void)state;
	assert_string_equal(here(), "scratch:0");
	press(TOP_KEY_DOWN);
	press(TOP_KEY_DOWN);
	assert_string_equal(here(), "web7/disk0:1");
	/* Sorted otherwise, it is elsewhere; the cursor is with it. */
	press('R');
	assert_string_equal(here(), "web7/disk0:1");
	press('F');
	press('I');
	press(TOP_KEY_HOME);
	assert_int_equal(ui.at[TOP_VIEW_QUEUES], 0);
	press(TOP_KEY_END);
	assert_int_equal(ui.at[TOP_VIEW_QUEUES], ui.nlines - 1);
	press(TOP_KEY_PAGE_UP);
	press('j');
	press('k');
}

static void test_trouble(void **state)
{
	(void)state;
	press(TOP_KEY_END);
	press('!');
	assert_string_equal(here(), "scratch:0");
	press('!');
	assert_string_equal(here(), "web7/disk0:1");
	press('!');
	assert_string_equal(here(), "db1/data:0");
	press('!');
	assert_string_equal(here(), "scratch:0");
	press('3');
	press('!');
	assert_int_equal(ui.view, TOP_VIEW_QUEUES);
	/* What is folded away is found too. */
	press('-');
	assert_string_equal(here(), "web7/disk0:1");
	press('!');
	assert_string_equal(here(), "db1/data:0");
}

static void test_detail(void **state)
{
	struct top_want w;

	(void)state;
	press('!');
	press(TOP_KEY_ENTER);
	assert_int_equal(ui.view, TOP_VIEW_DETAIL);
	assert_int_equal(ui.queue.pid, 100);
	assert_int_equal(ui.queue.queue, 1);
	assert_int_equal(top_ui_want(&ui, m, VU__OBS_MAYBE, &w), 0);
	assert_true(w.focus && w.holders);
	assert_int_equal(w.focus_on.pid, 100);
	assert_int_equal(w.focus_on.queue, 1);
	top_want_release(&w);
	press('n');
	assert_int_equal(ui.queue.queue, 0);
	press('p');
	assert_int_equal(ui.queue.queue, 1);
	press(' ');
	assert_true(host_find(m, "disk0", 1)->tagged);
	press('c');
	assert_int_equal(ui.chart[0], 3);
	press('w');
	assert_int_equal(ui.window, 600);
	press(TOP_KEY_DOWN);
	assert_int_equal(ui.at[TOP_VIEW_DETAIL], 1);
	press(TOP_KEY_ESCAPE);
	assert_int_equal(ui.view, TOP_VIEW_QUEUES);
}

static void test_sorting(void **state)
{
	(void)state;
	press('R');
	press('L');
	assert_string_equal(ui.order.key[0]->name, "p99");
	assert_string_equal(ui.order.key[1]->name, "req/s");
	assert_true(ui.order.down[0] && ui.order.down[1]);
	press('L');
	assert_false(ui.order.down[0]);
	press('I');
	assert_true(ui.order.down[0]);
	press('>');
	assert_string_equal(ui.order.key[0]->name, "p99.9");
	press('<');
	assert_string_equal(ui.order.key[0]->name, "p99");
	press('o');
	assert_int_equal(ui.view, TOP_VIEW_SORT);
	press(TOP_KEY_HOME);
	press(TOP_KEY_ENTER);
	assert_string_equal(ui.order.key[0]->name, "vm");
	press(TOP_KEY_DOWN);
	press(' ');
	assert_string_equal(ui.order.key[1]->name, "device");
	press(TOP_KEY_ESCAPE);
	assert_int_equal(ui.view, TOP_VIEW_QUEUES);
}

static void test_columns(void **state)
{
	(void)state;
	press('f');
	press(TOP_KEY_DOWN);
	press(' ');
	press(TOP_KEY_DOWN);
	press(TOP_KEY_ENTER);
	assert_int_equal(ui.ncolumns, 2);
	assert_string_equal(ui.columns[0]->name, "device");
	press(' ');
	assert_int_equal(ui.ncolumns, 1);
	press('0');
	assert_int_equal(ui.ncolumns, 0);
}

static void test_filter(void **state)
{
	(void)state;
	press('\\');
	assert_int_equal(ui.prompt, TOP_PROMPT_FILTER);
	/* q is typed, not obeyed. */
	type("vm=web7 q=1x");
	press(TOP_KEY_ENTER);
	assert_int_equal(ui.prompt, TOP_PROMPT_FILTER);
	assert_true(ui.complaint);
	press(TOP_KEY_BACKSPACE);
	press(TOP_KEY_ENTER);
	assert_int_equal(ui.prompt, TOP_PROMPT_NONE);
	assert_int_equal(ui.nsorted, 2);
	assert_int_equal(ui.nhidden, 4);
	press('\\');
	assert_string_equal(ui.input, "vm=web7 q=1");
	press('U' - 64);
	press(TOP_KEY_ENTER);
	assert_null(ui.filter);
	press('\\');
	type("x");
	press(TOP_KEY_ESCAPE);
	assert_null(ui.filter);
}

static void test_search(void **state)
{
	(void)state;
	press('/');
	type("NET");
	press(TOP_KEY_ENTER);
	assert_string_equal(here(), "web7/net0:0");
	press('*');
	press('*');
	press('/');
	type("nobody");
	press(TOP_KEY_ENTER);
	assert_true(ui.complaint);
}

static void test_folding(void **state)
{
	size_t all = ui.nlines;

	(void)state;
	press('!');
	press(TOP_KEY_LEFT);
	assert_int_equal(ui.nlines, all - 2);
	assert_true(ui.lines[ui.at[TOP_VIEW_QUEUES]].folded);
	press(TOP_KEY_RIGHT);
	assert_int_equal(ui.nlines, all);
	press('-');
	assert_int_equal(ui.nlines, 5);
	press('+');
	assert_int_equal(ui.nlines, all);
	press('t');
	assert_int_equal(ui.nlines, 7);
	press('t');
	press(TOP_KEY_HOME);
	press(TOP_KEY_ENTER);
	assert_int_equal(ui.nlines, all - 1);
}

static void test_tags(void **state)
{
	(void)state;
	press('t');
	press(' ');
	press(' ');
	press('\\');
	type("tag=1");
	press(TOP_KEY_ENTER);
	assert_int_equal(ui.nsorted, 2);
	press('U');
	assert_int_equal(ui.nsorted, 0);
}

static void test_counting(void **state)
{
	(void)state;
	press('=');
	assert_true(ui.complaint);
	assert_int_equal(ui.show, TOP_RATES);
	press('m');
	press('=');
	assert_int_equal(ui.show, TOP_SINCE_MARK);
	press('T');
	assert_int_equal(ui.show, TOP_TOTALS);
	press('0');
	assert_null(m->mark);
	press('T');
	assert_int_equal(ui.show, TOP_RATES);
	press('u');
	assert_int_equal(ui.units, TOP_IEC);
	press('l');
	assert_int_equal(ui.latency, VU__OBS_KICK_TO_POP);
	press('a');
	assert_int_equal(ui.scope, TOP_SCOPE_ALL);
}

static void test_interval_and_pause(void **state)
{
	(void)state;
	press('d');
	assert_string_equal(ui.input, "1");
	press('U' - 64);
	type("250ms");
	assert_int_equal(press(TOP_KEY_ENTER), TOP_DO_INTERVAL);
	assert_int_equal(ui.interval_ns, 250000000);
	press('s');
	press('U' - 64);
	type("1ns");
	assert_int_equal(press(TOP_KEY_ENTER), 0);
	assert_true(ui.complaint);
	press('Z');
	assert_true(ui.paused);
	assert_int_equal(press('Z'), TOP_DO_SAMPLE);
	assert_int_equal(press('r'), TOP_DO_SAMPLE);
	assert_int_equal(press('W'), TOP_DO_SAVE);
	assert_int_equal(press('y'), TOP_DO_COPY);
	press('x');
	assert_int_equal(press(TOP_KEY_ENTER), TOP_DO_EXPORT);
	assert_string_equal(ui.input, "vu-top.txt");
}

static void test_replay_keys(void **state)
{
	(void)state;
	assert_int_equal(press(']'), 0);
	ui.replaying = true;
	ui.frames = 10;
	assert_int_equal(press(']'), TOP_DO_STEP);
	assert_true(ui.paused);
	assert_int_equal(press('['), TOP_DO_STEP_BACK);
	assert_int_equal(press('{'), TOP_DO_JUMP_BACK);
	assert_int_equal(press('}'), TOP_DO_JUMP);
	press('g');
	type("14:00");
	assert_int_equal(press(TOP_KEY_ENTER), TOP_DO_SEEK);
}

static void test_input_is_bounded(void **state)
{
	(void)state;
	press('/');
	for (unsigned int i = 0; i < 400; i++)
		press(i % 3 ? 'x' : 0x673a);
	assert_true(strlen(ui.input) < TOP_INPUT);
	for (unsigned int i = 0; i < 400; i++)
		press(TOP_KEY_BACKSPACE);
	assert_string_equal(ui.input, "");
	press(TOP_KEY_ESCAPE);
}

/* What is not on the screen costs nothing. */
static void test_wants(void **state)
{
	struct top_want w;

	(void)state;
	press('1');
	assert_int_equal(top_ui_want(&ui, m, VU__OBS_MAYBE, &w), 0);
	assert_false(w.focus || w.watch_all || w.hists_all || w.events_all || w.backings);
	assert_true(w.nqueues >= 6);
	top_want_release(&w);
	assert_int_equal(top_ui_want(&ui, m, VU__OBS_NO, &w), 0);
	assert_int_equal(w.nqueues, 0);
	top_want_release(&w);
	press('3');
	assert_int_equal(top_ui_want(&ui, m, VU__OBS_MAYBE, &w), 0);
	assert_true(w.focus && w.focus_on.pid == 0);
	top_want_release(&w);
	press('5');
	assert_int_equal(top_ui_want(&ui, m, VU__OBS_MAYBE, &w), 0);
	assert_true(w.backings);
	top_want_release(&w);
	press('7');
	press('a');
	assert_int_equal(top_ui_want(&ui, m, VU__OBS_MAYBE, &w), 0);
	assert_true(w.events_all);
	top_want_release(&w);
	/* A filter needs all of them, to tell which fit. */
	press('1');
	press('\\');
	type("p99>1s");
	press(TOP_KEY_ENTER);
	assert_int_equal(top_ui_want(&ui, m, VU__OBS_MAYBE, &w), 0);
	assert_true(w.watch_all && w.hists_all);
	top_want_release(&w);
}

/* No key in any order leads out of bounds (see ASan). */
static void test_any_keys(void **state)
{
	static const uint32_t keys[] = {TOP_KEY_UP, TOP_KEY_DOWN, TOP_KEY_LEFT, TOP_KEY_RIGHT,
					TOP_KEY_PAGE_UP, TOP_KEY_PAGE_DOWN, TOP_KEY_HOME,
					TOP_KEY_END, TOP_KEY_ENTER, TOP_KEY_ESCAPE, TOP_KEY_TAB,
					TOP_KEY_BACK_TAB, TOP_KEY_BACKSPACE, TOP_KEY_F0 + 6};
	uint32_t seed = 1;

	(void)state;
	for (unsigned int i = 0; i < 6000; i++) {
		uint32_t r;

		seed = seed * 1664525 + 1013904223;
		r = seed >> 16;
		press(r % 3 ? 32 + r / 3 % 95 : keys[r / 3 % VU_ARRAY_SIZE(keys)]);
		if (i % 500 == 0)
			assert_int_equal(top_model_update(m, host_at(30 + i / 500)), 0);
		if (i % 700 == 0)
			top_model_restart(m), assert_int_equal(top_model_update(m, host_at(30)), 0);
		top_ui_update(&ui, m);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_views),   TEST(test_cursor),	TEST(test_trouble),
		TEST(test_detail),  TEST(test_sorting),	TEST(test_columns),
		TEST(test_filter),  TEST(test_search),	TEST(test_folding),
		TEST(test_tags),    TEST(test_counting), TEST(test_interval_and_pause),
		TEST(test_replay_keys), TEST(test_input_is_bounded), TEST(test_wants),
		TEST(test_any_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
