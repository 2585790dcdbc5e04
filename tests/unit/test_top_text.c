/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers, names, canvases and tables of vu-top. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vu-top/view.h"
#include "vu-top/writer.h"

static void count_is(double v, const char *text)
{
	char out[32];

	top_format_count(out, sizeof(out), v);
	assert_string_equal(out, text);
}

static void test_counts(void **state)
{
	(void)state;
	count_is(0, "0");
	count_is(1, "1");
	count_is(999, "999");
	count_is(1000, "1k");
	count_is(1234, "1.23k");
	count_is(12345, "12.3k");
	count_is(99949, "99.9k");
	count_is(999400, "999k");
	count_is(999600, "1.00M");
	count_is(1e15, "1P");
	count_is(0.25, "0.25");
	count_is(0.001, "<.01");
	count_is(9.999, "10.0");
	count_is(TOP_UNKNOWN, "-");
}

static void test_bytes_and_times(void **state)
{
	static const struct {
		double ns;
		const char *text;
	} times[] = {{0, "0ns"},	   {999, "999ns"},   {1500, "1.50us"}, {1e6, "1ms"},
		     {12.3e6, "12.3ms"},   {1e9, "1s"},	     {59.9e9, "59.9s"}, {59.999e9, "1m00s"},
		     {245e9, "4m05s"},	   {3600e9, "1h00m"}, {90061e9, "25h01m"},
		     {86400e9 * 5, "5d00h"}, {86400e9 * 400, "400d"}};
	char out[32];

	(void)state;
	top_format_bytes(out, sizeof(out), 1536, TOP_IEC);
	assert_string_equal(out, "1.50Ki");
	top_format_bytes(out, sizeof(out), 1536, TOP_SI);
	assert_string_equal(out, "1.54k");
	for (size_t i = 0; i < VU_ARRAY_SIZE(times); i++) {
		top_format_ns(out, sizeof(out), times[i].ns);
		assert_string_equal(out, times[i].text);
		assert_true(strlen(out) <= 6);
	}
	top_format_percent(out, sizeof(out), 0.5);
	assert_string_equal(out, "50%");
	top_format_percent(out, sizeof(out), 0.001);
	assert_string_equal(out, "<1%");
}

/* Whatever it is, it fits its column. */
static void test_widths(void **state)
{
	char out[64];

	(void)state;
	for (double v = 1e-4; v < 1e18; v *= 1.037) {
		top_format_count(out, sizeof(out), v);
		assert_true(strlen(out) <= 6);
		top_format_bytes(out, sizeof(out), v, TOP_IEC);
		assert_true(strlen(out) <= 6);
		top_format_ns(out, sizeof(out), v);
		assert_true(strlen(out) <= 6);
	}
}

static void parses(const char *text, enum top_quantity what, double value)
{
	double v;

	assert_true(top_parse_number(text, strlen(text), what, &v));
	assert_true(v > value * 0.999999 - 1e-9 && v < value * 1.000001 + 1e-9);
}

static void fails(const char *text, enum top_quantity what)
{
	double v;

	assert_false(top_parse_number(text, strlen(text), what, &v));
}

static void test_numbers_read(void **state)
{
	uint64_t ns;

	(void)state;
	parses("12", TOP_PLAIN, 12);
	parses("1.5k", TOP_PLAIN, 1500);
	parses("3M", TOP_PLAIN, 3e6);
	fails("", TOP_PLAIN);
	fails("-1", TOP_PLAIN);
	fails("1kk", TOP_PLAIN);
	fails("1ms", TOP_PLAIN);
	fails(".", TOP_PLAIN);
	parses("4Ki", TOP_BYTES, 4096);
	parses("4KiB", TOP_BYTES, 4096);
	parses("10MB", TOP_BYTES, 1e7);
	parses("300ms", TOP_TIME, 3e8);
	parses("20us", TOP_TIME, 20000);
	parses("1.5s", TOP_TIME, 1.5e9);
	parses("2m", TOP_TIME, 120e9);
	parses("0", TOP_TIME, 0);
	fails("5", TOP_TIME);
	parses("50%", TOP_PERCENT, 0.5);
	parses("50", TOP_PERCENT, 0.5);
	assert_true(top_parse_interval("0.5", 1, UINT64_MAX, &ns));
	assert_int_equal(ns, 500000000);
	assert_true(top_parse_interval("500ms", 1, UINT64_MAX, &ns));
	assert_int_equal(ns, 500000000);
	assert_false(top_parse_interval("1ms", 50000000, UINT64_MAX, &ns));
	assert_false(top_parse_interval("x", 1, UINT64_MAX, &ns));
}

static bool globs(const char *pattern, const char *text)
{
	return top_glob(pattern, strlen(pattern), text);
}

static void test_patterns(void **state)
{
	char pattern[200], text[400];

	(void)state;
	assert_true(globs("web*", "web7"));
	assert_true(globs("WEB?", "web7"));
	assert_true(globs("*7", "web7"));
	assert_true(globs("*", ""));
	assert_false(globs("web", "web7"));
	assert_false(globs("", "x"));
	assert_true(globs("a*b*c", "aXbYbZc"));
	/* What takes some others for ever. */
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (size_t i = 0; i + 2 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "a*", 2);
	strcpy(pattern + sizeof(pattern) - 3, "b");
	assert_false(globs(pattern, text));
}

static void test_utf8(void **state)
{
	uint32_t ch;
	char out[4];

	(void)state;
	assert_int_equal(utf8_get("\xe6\x9c\xba", 3, &ch), 3);
	assert_int_equal(ch, 0x673a);
	assert_int_equal(utf8_put(ch, out), 3);
	assert_memory_equal(out, "\xe6\x9c\xba", 3);
	/* Cut, overlong, a surrogate, beyond the end. */
	assert_int_equal(utf8_get("\xe6\x9c", 2, &ch), 1);
	assert_int_equal(ch, 0xfffd);
	assert_int_equal(utf8_get("\xc0\x80", 2, &ch), 1);
	assert_int_equal(utf8_get("\xed\xa0\x80", 3, &ch), 1);
	assert_int_equal(utf8_get("\xf4\x90\x80\x80", 4, &ch), 1);
	assert_int_equal(ch, 0xfffd);
	assert_int_equal(top_text_width("\xe6\x9c\xba" "a"), 3);
	assert_int_equal(top_text_width("e\xcc\x81"), 1);
	assert_int_equal(utf8_safe(0x1b), '?');
	assert_int_equal(utf8_safe(0x9b), '?');
}

/* --- canvases --- */

static void row_is(const struct top_canvas *c, unsigned int row, const char *text)
{
	char is[512];
	size_t n = 0;

	for (unsigned int i = 0; i < c->cols; i++) {
		if (top_cell_at(c, row, i)->ch)
			n += utf8_put(top_cell_at(c, row, i)->ch, is + n);
	}
	is[n] = '\0';
	assert_string_equal(is, text);
}

static void test_fields(void **state)
{
	struct top_canvas c;

	(void)state;
	assert_int_equal(top_canvas_init(&c, 6, 12, true), 0);
	top_put_field(&c, 0, 1, 6, false, TOP_NORMAL, "abc");
	top_put_field(&c, 1, 1, 6, true, TOP_NORMAL, "abc");
	top_put_field(&c, 2, 1, 6, false, TOP_NORMAL, "abcdefgh");
	top_put_field(&c, 3, 9, 6, false, TOP_NORMAL, "abcdefgh");
	/* Half of the second one does not fit. */
	top_put(&c, 4, 0, 3, TOP_NORMAL, "\xe6\x9c\xba\xe5\x99\xa8");
	row_is(&c, 0, " abc        ");
	row_is(&c, 1, "    abc     ");
	row_is(&c, 2, " abcde\xe2\x80\xa6     ");
	row_is(&c, 4, "\xe6\x9c\xba          ");
	/* Over half of a wide one. */
	top_put_char(&c, 4, 1, TOP_NORMAL, 'x');
	row_is(&c, 4, " x          ");
	assert_int_equal(top_put_wrapped(&c, 5, 0, 12, 1, TOP_NORMAL, "one two three"), 1);
	row_is(&c, 5, "one two thr\xe2\x80\xa6");
	top_canvas_release(&c);
}

static void test_bars(void **state)
{
	struct top_canvas c;
	const double values[] = {0, 1, TOP_UNKNOWN, 4};

	(void)state;
	assert_int_equal(top_canvas_init(&c, 3, 8, true), 0);
	top_put_bar(&c, 0, 0, 8, 0.5, TOP_DATA1);
	row_is(&c, 0, "\xe2\x96\x88\xe2\x96\x88\xe2\x96\x88\xe2\x96\x88    ");
	top_put_bar(&c, 1, 0, 8, 0.0001, TOP_DATA1);
	row_is(&c, 1, "\xe2\x96\x8f       ");
	top_put_spark(&c, 2, 0, 8, values, 4, 4, TOP_DATA1);
	row_is(&c, 2, "\xe2\x96\x81\xe2\x96\x82 \xe2\x96\x88    ");
	top_put_bar(&c, 0, 0, 8, TOP_UNKNOWN, TOP_DATA1);
	top_canvas_release(&c);
}

static void test_columns(void **state)
{
	struct top_column k[] = {{.title = "name", .width = 10, .rank = 0, .grows = 1},
				 {.title = "a", .width = 5, .rank = 2},
				 {.title = "b", .width = 5, .rank = 1},
				 {.title = "c", .width = 5, .rank = 3, .grows = 1}};

	(void)state;
	top_columns_fit(k, 4, 28);
	assert_int_equal(k[3].got, 5);
	assert_int_equal(k[3].at, 23);
	top_columns_fit(k, 4, 27);
	assert_int_equal(k[3].got, 0);
	assert_int_equal(k[1].got, 5);
	assert_int_equal(k[0].got, 15);
	top_columns_fit(k, 4, 17);
	assert_int_equal(k[1].got, 0);
	assert_int_equal(k[2].got, 5);
	top_columns_fit(k, 4, 3);
	assert_int_equal(k[0].got, 10);
	assert_int_equal(k[2].got, 0);
	/* What is left is shared. */
	top_columns_fit(k, 4, 38);
	assert_int_equal(k[0].got + k[3].got, 25);
}

/* Numbers as printf() has them; texts whole, however long, and in order. */
static void test_writer(void **state)
{
	static const uint64_t uints[] = {0, 9, 10, 1234567890, UINT64_MAX};
	static const double numbers[] = {0, -3, 1e15, 9e15, 0.25, -1.5, 1234.56789123, 1e-9, 3e19};
	static struct top_writer w;
	char want[512] = "", *got = NULL, longer[3 * TOP_WRITER_ROOM];
	size_t size, at = 0;
	FILE *f = open_memstream(&got, &size);

	(void)state;
	assert_non_null(f);
	top_writer_begin(&w, f);
	for (size_t i = 0; i < VU_ARRAY_SIZE(uints); i++) {
		at += sprintf(want + at, "%llu;", (unsigned long long)uints[i]);
		top_write_uint(&w, uints[i]);
		top_write(&w, ";", 1);
	}
	for (size_t i = 0; i < VU_ARRAY_SIZE(numbers); i++) {
		bool whole = numbers[i] < 9e15 && numbers[i] == (double)(int64_t)numbers[i];

		at += sprintf(want + at, whole ? "%.0f;" : "%.9g;", numbers[i]);
		top_write_number(&w, numbers[i], 9);
		top_write(&w, ";", 1);
	}
	top_write_digits(&w, 7, 3);
	top_write_safe(&w, "a\x1b\xc3\xa9\xff");
	at += sprintf(want + at, "007a?\xc3\xa9\xef\xbf\xbd");
	for (size_t i = 0; i < sizeof(longer); i++)
		longer[i] = 'a' + i % 26;
	top_write(&w, longer, 1000);
	top_write(&w, longer, sizeof(longer));
	for (unsigned int i = 0; i < 30; i++)
		top_write(&w, longer, 1000);
	top_writer_flush(&w);
	fclose(f);
	assert_int_equal(size, at + 31000 + sizeof(longer));
	assert_memory_equal(got, want, at);
	assert_memory_equal(got + at, longer, 1000);
	assert_memory_equal(got + at + 1000, longer, sizeof(longer));
	for (unsigned int i = 0; i < 30; i++)
		assert_memory_equal(got + at + 1000 + sizeof(longer) + i * 1000, longer, 1000);
	free(got);
}

/* Good and bad differ by more than their colour's red and green. */
static void test_looks(void **state)
{
	struct top_look ok = top_look(TOP_OK, TOP_MONO), bad = top_look(TOP_CRITICAL, TOP_MONO);

	(void)state;
	assert_int_not_equal(ok.attrs, bad.attrs);
	for (unsigned int p = TOP_COLOURS; p < TOP_PALETTES; p++) {
		assert_int_not_equal(top_look(TOP_CRITICAL, p).bg, top_look(TOP_WARNING, p).bg);
		assert_true(top_look(TOP_OK, p).bg < 0);
		assert_true(top_look(TOP_NORMAL | TOP_SELECTED, p).attrs & TOP_LOOK_REVERSE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),	  cmocka_unit_test(test_bytes_and_times),
		cmocka_unit_test(test_widths),	  cmocka_unit_test(test_numbers_read),
		cmocka_unit_test(test_patterns),  cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_fields),	  cmocka_unit_test(test_bars),
		cmocka_unit_test(test_columns),	  cmocka_unit_test(test_looks),
		cmocka_unit_test(test_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
