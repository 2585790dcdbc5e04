/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields, the language of filters, sorting. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/top_host.h"

static struct top_model *m;

static int set_up(void **state)
{
	(void)state;
	m = host_model(30);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	top_model_free(m);
	return 0;
}

static bool fits(const char *text, const char *device, unsigned int q)
{
	char why[200] = "";
	struct top_filter *f = top_filter_parse(text, why, sizeof(why));
	bool ret;

	if (!f)
		fail_msg("%s: %s", text, why);
	ret = top_filter_fits(f, host_find(m, device, q));
	top_filter_free(f);
	return ret;
}

static void test_texts(void **state)
{
	(void)state;
	assert_true(fits("vm=web7", "disk0", 0));
	assert_true(fits("vm=web*", "net0", 1));
	assert_true(fits("VM=WEB*", "net0", 1));
	assert_false(fits("vm=web*", "data", 0));
	assert_true(fits("vm!=web*", "data", 0));
	assert_true(fits("vm=db1,web7", "data", 0));
	assert_true(fits("vm~eb", "disk0", 0));
	assert_false(fits("vm!~eb", "disk0", 0));
	assert_true(fits("process=vu-*", "disk0", 0));
	assert_true(fits("state=dead", "scratch", 0));
	assert_true(fits("state=stopped", "data", 0));
	assert_true(fits("role=rx,tx", "net0", 0));
	assert_true(fits("kind=qemu-storage-daemon", "data", 0));
	assert_true(fits("verdict=BACKEND_*", "disk0", 1));
	assert_true(fits("device=\"disk0\"", "disk0", 1));
	assert_true(fits("type=blk", "disk0", 1));
}

static void test_numbers(void **state)
{
	(void)state;
	assert_true(fits("q>=1", "disk0", 1));
	assert_false(fits("q>=1", "disk0", 0));
	assert_true(fits("q=0-3,8", "disk0", 1));
	assert_false(fits("q=2-3,8", "disk0", 1));
	assert_true(fits("q!=2-3,8", "disk0", 1));
	assert_true(fits("req/s>1k req/s<100k", "disk0", 0));
	assert_true(fits("oldest>5s", "disk0", 1));
	assert_false(fits("oldest>1m", "disk0", 1));
	assert_true(fits("supp%>20% supp%<30", "disk0", 0));
	assert_true(fits("in/s>1MiB", "disk0", 0));
	assert_true(fits("p99>100us p99<1ms", "disk0", 0));
	assert_true(fits("completed>1000000", "disk0", 0));
	assert_true(fits("completed/s>7000", "disk0", 0));
	/* What is not known fits nothing, and not its opposite either. */
	assert_false(fits("kick/s>=0", "data", 0));
	assert_false(fits("kick/s!=5", "data", 0));
	assert_false(fits("p99<1h", "disk0", 1));
}

static void test_health(void **state)
{
	(void)state;
	assert_true(fits("health=critical", "disk0", 1));
	assert_true(fits("health!=ok", "disk0", 1));
	assert_true(fits("health>=warning", "scratch", 0));
	assert_false(fits("health>=warning", "disk0", 0));
	assert_true(fits("health<info", "disk0", 0));
}

static void test_together(void **state)
{
	(void)state;
	assert_true(fits("vm=web7 q=1", "disk0", 1));
	assert_true(fits("vm=web7 and q=1", "disk0", 1));
	assert_false(fits("vm=web7 q=0", "disk0", 1));
	assert_true(fits("q=9 or q=1", "disk0", 1));
	assert_true(fits("q=9 | q=1", "disk0", 1));
	/* "or" binds less. */
	assert_true(fits("vm=web7 or vm=db1 q=5", "disk0", 0));
	assert_false(fits("(vm=web7 or vm=db1) q=5", "disk0", 0));
	assert_true(fits("not q=5", "disk0", 0));
	assert_true(fits("!q=5", "disk0", 0));
	assert_false(fits("not (q=0 or q=1)", "disk0", 0));
	assert_true(fits("not not q=0", "disk0", 0));
	/* Words are looked for in names. */
	assert_true(fits("web7", "disk0", 0));
	assert_true(fits("isk", "disk0", 0));
	assert_true(fits("nobody|disk", "disk0", 0));
	assert_false(fits("nobody", "disk0", 0));
	assert_false(fits("order", "disk0", 0));
	assert_true(fits("BACKEND_STALLED", "disk0", 1));
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *word;
	} wrong[] = {{"bogus=1", "no field"},	      {"q>", "not a number"},
		     {"q=x", "not a number"},	      {"p99>5", "a time"},
		     {"health=bad", "ok, info"},      {"vm<3", "is a text"},
		     {"(q=1", ") is missing"},	      {"q=1)", "')' is not expected"},
		     {"q~1", "~ cannot"},	      {"", "missing"},
		     {"or", "missing"},		      {"q=1 or", "missing"},
		     {"vm=\"x", "quotation"},	      {"not", "missing"},
		     {"q=", "no value"},	      {"q=1-", "not a number"},
		     {"in/s>5furlongs", "bytes"},     {"( )", "not expected"}};
	char why[200], deep[300];

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(wrong); i++) {
		struct top_filter *f = top_filter_parse(wrong[i].text, why, sizeof(why));

		if (f)
			fail_msg("'%s' was understood", wrong[i].text);
		if (!strstr(why, wrong[i].word))
			fail_msg("'%s': '%s' has no '%s'", wrong[i].text, why, wrong[i].word);
	}
	memset(deep, '(', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	assert_null(top_filter_parse(deep, why, sizeof(why)));
	assert_non_null(strstr(why, "deeply"));
	for (size_t i = 0; i < sizeof(deep) - 1; i++)
		deep[i] = '!';
	assert_null(top_filter_parse(deep, why, sizeof(why)));
}

static void test_long(void **state)
{
	char text[6000] = "q=1", why[200];

	(void)state;
	for (unsigned int i = 0; i < 700; i++)
		strcat(text, " q=1");
	assert_null(top_filter_parse(text, why, sizeof(why)));
	assert_non_null(strstr(why, "too long"));
	memset(text, 'a', 5000);
	text[5000] = '\0';
	assert_null(top_filter_parse(text, why, sizeof(why)));
}

static void test_wants(void **state)
{
	char why[200];
	struct top_filter *f = top_filter_parse("q=1 or not p99>1ms", why, sizeof(why));

	(void)state;
	assert_true(top_filter_wants_latency(f));
	assert_false(top_filter_wants_threads(f));
	top_filter_free(f);
	f = top_filter_parse("busy%>90", why, sizeof(why));
	assert_true(top_filter_wants_threads(f));
	top_filter_free(f);
}

/* --- fields --- */

static void test_fields(void **state)
{
	char text[TOP_FIELD_TEXT];

	(void)state;
	for (const struct top_field *f = top_fields; f->name; f++) {
		assert_ptr_equal(top_field_find(f->name, strlen(f->name)), f);
		assert_true(f->kind == TOP_F_TEXT ? !!f->text : !!f->number);
		for (uint32_t i = 0; i < m->nqueues; i++) {
			for (unsigned int show = TOP_RATES; show <= TOP_TOTALS; show++)
				top_field_format(f, m->queues[i], show, TOP_SI, text);
			assert_true(*text);
		}
	}
	/* Every counter is a field, as it is called. */
	for (unsigned int c = 0; c < VU__OBS_NCOUNTERS; c++) {
		const struct top_field *f = top_field_find(
			vu__obs_counters[c].name, strlen(vu__obs_counters[c].name));

		if (!f)
			fail_msg("%s is no field", vu__obs_counters[c].name);
		assert_int_equal(f->which, c);
	}
}

/* A number that is known to be too small says so. */
static void test_at_least(void **state)
{
	struct top_queue *t = host_find(m, "disk0", 0);
	char text[TOP_FIELD_TEXT];

	(void)state;
	t->rates.at_least = VU_BIT(VU__OBS_COMPLETED);
	top_field_format(top_field_find("req/s", 5), t, TOP_RATES, TOP_SI, text);
	assert_int_equal(text[0], '>');
	t->rates.at_least = 0;
}

/* --- sorting --- */

static void order_is(const char *keys, const char *const *names, size_t n)
{
	struct top_queue *list[64];
	struct top_order o;
	char why[100];

	memset(&o, 0, sizeof(o));
	assert_true(top_order_parse(&o, keys, why, sizeof(why)));
	assert_true(m->nqueues <= 64);
	assert_true(top_select(m, NULL, &o, list) >= n);
	for (size_t i = 0; i < n; i++) {
		char name[160];

		top_queue_name(list[i], name, sizeof(name));
		if (strcmp(name, names[i]))
			fail_msg("%s: %zu is %s, not %s", keys, i, name, names[i]);
	}
}

static void test_order(void **state)
{
	static const char *const by_rate[] = {"web7/disk0:0", "web7/net0:1"};
	static const char *const by_device[] = {"db1/data:0", "web7/disk0:1", "web7/disk0:0",
						"web7/net0:1", "web7/net0:0", "scratch:0"};
	static const char *const by_two[] = {"scratch:0", "db1/data:0", "web7/disk0:1"};
	static const char *const unknown_last[] = {"web7/disk0:0"};

	(void)state;
	order_is("req/s", by_rate, 2);
	order_is("+device,-q", by_device, 6);
	/* The second key decides among equals of the first. */
	order_is("health,-device", by_two, 1);
	order_is("-p99", unknown_last, 1);
	order_is("+p99", unknown_last, 1);
}

static void test_order_mistakes(void **state)
{
	struct top_order o = {.key = {NULL}};
	char why[100], text[100];

	(void)state;
	assert_false(top_order_parse(&o, "bogus", why, sizeof(why)));
	assert_false(top_order_parse(&o, "q,pid,vm", why, sizeof(why)));
	assert_false(top_order_parse(&o, "q,", why, sizeof(why)));
	assert_true(top_order_parse(&o, "+q,-p99", why, sizeof(why)));
	top_order_format(&o, text, sizeof(text));
	assert_string_equal(text, "+q,-p99");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),	 cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_health),	 cmocka_unit_test(test_together),
		cmocka_unit_test(test_mistakes), cmocka_unit_test(test_long),
		cmocka_unit_test(test_wants),	 cmocka_unit_test(test_fields),
		cmocka_unit_test(test_at_least), cmocka_unit_test(test_order),
		cmocka_unit_test(test_order_mistakes),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
