/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vu-top draws, compared with frames that somebody has looked at.  After a change
 * that is meant: VU_GOLDEN=write tests/unit/test_top_view, and look at the difference.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/top_host.h"

#define SECONDS 75

struct shot {
	struct top_model *m;
	struct top_ui ui;
	struct top_canvas c;
};

static void begin(struct shot *s, unsigned int rows, unsigned int cols, bool utf8)
{
	s->m = host_model(SECONDS);
	top_ui_init(&s->ui);
	s->ui.utf8 = utf8;
	assert_int_equal(top_canvas_init(&s->c, rows, cols, utf8), 0);
	top_ui_update(&s->ui, s->m);
}

static void end(struct shot *s)
{
	top_canvas_release(&s->c);
	top_ui_release(&s->ui);
	top_model_free(s->m);
}

static void draw(struct shot *s)
{
	struct top_scene scene = {s->m, &s->ui, "host3", 0};

	top_ui_update(&s->ui, s->m);
	top_view_draw(&s->c, &scene);
}

static void press(struct shot *s, const char *keys)
{
	for (; *keys; keys++) {
		uint32_t key = (unsigned char)*keys;

		top_ui_key(&s->ui, s->m, key == '\n' ? TOP_KEY_ENTER : key);
		draw(s);
	}
}

/* --- frames on disk --- */

static void path_of(const char *name, char *path, size_t size)
{
	const char *top = getenv("top_srcdir");

	snprintf(path, size, "%s/tests/unit/golden/%s.txt", top ? top : ".", name);
}

static char *read_all(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 1 << 18);

	assert_non_null(text);
	if (f) {
		text[fread(text, 1, (1 << 18) - 1, f)] = '\0';
		fclose(f);
	}
	return text;
}

static void compare(struct shot *s, const char *name, enum top_colours colours, bool attrs)
{
	char path[512], *now = NULL, *golden;
	size_t size;
	FILE *f = open_memstream(&now, &size);

	draw(s);
	top_canvas_write(&s->c, colours, attrs, f);
	fclose(f);
	path_of(name, path, sizeof(path));
	if (getenv("VU_GOLDEN")) {
		f = fopen(path, "w");
		assert_non_null(f);
		fputs(now, f);
		fclose(f);
	}
	golden = read_all(path);
	if (strcmp(golden, now))
		fail_msg("%s is not:\n%s\n--- but:\n%s", path, golden, now);
	free(golden);
	free(now);
}

static void shoot(const char *name, unsigned int rows, unsigned int cols, const char *keys)
{
	struct shot s;

	begin(&s, rows, cols, true);
	draw(&s);
	press(&s, keys);
	compare(&s, name, TOP_MONO, false);
	end(&s);
}

/* --- all views, at three sizes --- */

static void test_views(void **state)
{
	static const struct {
		const char *name, *keys;
	} views[] = {{"queues", ""},	 {"devices", "2"}, {"threads", "3"}, {"latency", "4a"},
		     {"memory", "5"},	 {"migration", "6"}, {"events", "7a"},  {"alerts", "8"},
		     {"detail", "!\n"}, {"help", "?"},	   {"sort", "o"},    {"fields", "f"},
		     {"flat", "t"},	 {"totals", "T"},  {"folded", "-"}};
	static const struct {
		unsigned int rows, cols;
	} sizes[] = {{24, 80}, {50, 200}, {10, 40}};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(views); i++) {
		for (size_t k = 0; k < VU_ARRAY_SIZE(sizes); k++) {
			char name[80];

			snprintf(name, sizeof(name), "%s-%ux%u", views[i].name, sizes[k].cols,
				 sizes[k].rows);
			shoot(name, sizes[k].rows, sizes[k].cols, views[i].keys);
		}
	}
}

static void test_healthy_detail(void **state)
{
	(void)state;
	/* A packed ring, and a foreign back-end, of which less is known. */
	shoot("foreign-80x24", 24, 80, "/data\nj\n");
	shoot("busy-80x60", 60, 80, "/web7\njjj\n");
}

/* Fetched from slot 120 to 3 of the next lap, and 8 more wait; or it does not tell. */
static void pack(struct vu__obs_queue *q, bool place)
{
	q->setup.packed = true;
	q->setup.size = 128;
	q->ring = (struct vu__obs_ring){.avail_idx = 11,
					.used_idx = 0x8000 | 120,
					.avail_flags = 2,
					.used_flags = place ? 2 : 1,
					.used_event = 0x8000 | 120,
					.avail_event = 3,
					.outstanding = 9,
					.slots = 19};
	if (!place)
		return;
	q->ring.last_avail = 3;
	q->ring.pending = 4;
	q->ring.in_flight = 5;
}

static void test_packed_detail(void **state)
{
	(void)state;
	for (unsigned int known = 0; known < 2; known++) {
		struct vu__obs_snapshot *snap;
		struct shot s;

		begin(&s, 24, 80, true);
		snap = s.m->frame->snap;
		for (uint32_t i = 0; i < snap->nqueues; i++)
			pack(&snap->queues[i], known);
		draw(&s);
		press(&s, known ? "/web7\njj\n" : "/data\nj\n");
		compare(&s, known ? "packed-known" : "packed-foreign", TOP_MONO, false);
		end(&s);
	}
}

static void test_ascii(void **state)
{
	static const char *const views[] = {"1", "4a", "!\n"};
	struct shot s;

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(views); i++) {
		char name[40];

		begin(&s, 40, 100, false);
		draw(&s);
		press(&s, views[i]);
		snprintf(name, sizeof(name), "ascii-%zu", i);
		compare(&s, name, TOP_MONO, false);
		for (size_t k = 0; k < (size_t)s.c.rows * s.c.cols; k++)
			assert_in_range(s.c.cells[k].ch, 0x20, 0x7e);
		end(&s);
	}
}

/* What is wrong can be seen with colours, without, and without any attributes. */
static void test_looks(void **state)
{
	static const struct {
		const char *name;
		enum top_colours colours;
	} looks[] = {{"mono", TOP_MONO}, {"colours", TOP_COLOURS}, {"light", TOP_COLOURS_LIGHT}};
	struct shot s;

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(looks); i++) {
		begin(&s, 24, 80, true);
		draw(&s);
		press(&s, "! ");
		compare(&s, looks[i].name, looks[i].colours, true);
		end(&s);
	}
}

static void test_filtered(void **state)
{
	struct shot s;
	char why[100];

	(void)state;
	begin(&s, 24, 80, true);
	s.ui.filter = top_filter_parse("vm=web7 health>=warning", why, sizeof(why));
	compare(&s, "filtered", TOP_MONO, false);
	top_filter_free(s.ui.filter);
	s.ui.filter = top_filter_parse("vm=nobody", why, sizeof(why));
	compare(&s, "filtered-all", TOP_MONO, false);
	end(&s);
}

static void test_prompts(void **state)
{
	struct shot s;

	(void)state;
	begin(&s, 24, 80, true);
	draw(&s);
	press(&s, "\\bogus=1\n");
	compare(&s, "prompt", TOP_MONO, false);
	end(&s);
}

static void test_nothing(void **state)
{
	struct top_frame *f = host_frame(host_snapshot(HOST_START));
	struct shot s;

	(void)state;
	s.m = top_model_new(NULL);
	strcpy(f->snap->trouble, "/run/libvu: Permission denied");
	assert_int_equal(top_model_update(s.m, f), 0);
	top_ui_init(&s.ui);
	assert_int_equal(top_canvas_init(&s.c, 12, 60, true), 0);
	compare(&s, "nothing", TOP_MONO, false);
	end(&s);
}

/* No size of a screen, view or key makes it draw beyond its canvas (see ASan). */
static void test_every_size(void **state)
{
	static const unsigned int rows[] = {1, 2, 3, 4, 5, 7, 12, 60}, cols[] = {1, 2, 5, 9, 13, 21, 33,
										77, 131, 300};
	struct shot s;

	(void)state;
	for (size_t r = 0; r < VU_ARRAY_SIZE(rows); r++) {
		for (size_t k = 0; k < VU_ARRAY_SIZE(cols); k++) {
			begin(&s, rows[r], cols[k], (r + k) % 2);
			draw(&s);
			press(&s, "12345678?o\nf \n1jkjj !\nwcnp1t-+\\x");
			end(&s);
		}
	}
}

/* Wide characters are whole, or not there. */
static void test_wide_names(void **state)
{
	struct shot s;

	(void)state;
	begin(&s, 24, 41, true);
	for (uint32_t i = 0; i < s.m->frame->snap->nprocs; i++)
		snprintf(s.m->frame->snap->procs[i].vm_name, 64, "\xe6\x9c\xba\xe5\x99\xa8%u\x1b[31m", i);
	draw(&s);
	compare(&s, "wide", TOP_MONO, false);
	for (size_t i = 0; i < (size_t)s.c.rows * s.c.cols; i++) {
		if (s.c.cells[i].ch == 0)
			assert_int_equal(top_char_width(s.c.cells[i - 1].ch), 2);
		assert_true(s.c.cells[i].ch == 0 || s.c.cells[i].ch >= 0x20);
	}
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_views),	   cmocka_unit_test(test_healthy_detail),
		cmocka_unit_test(test_packed_detail),
		cmocka_unit_test(test_ascii),	   cmocka_unit_test(test_looks),
		cmocka_unit_test(test_filtered),   cmocka_unit_test(test_prompts),
		cmocka_unit_test(test_nothing),	   cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_wide_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
