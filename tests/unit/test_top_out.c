/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is written for machines: JSON, CSV, metrics, the line for monitoring. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "tests/unit/top_host.h"
#include "vu-top/address.h"
#include "vu-top/json.h"

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

static char *text;
static size_t text_size;

static FILE *begin(void)
{
	free(text);
	text = NULL;
	return open_memstream(&text, &text_size);
}

static bool has(const char *line)
{
	return strstr(text, line);
}

static unsigned int lines_with(const char *begin)
{
	unsigned int n = 0;

	for (const char *p = text; *p; p += strcspn(p, "\n") + 1) {
		n += !strncmp(p, begin, strlen(begin));
		if (!strchr(p, '\n'))
			break;
	}
	return n;
}

/* --- JSON --- */

static void test_json_text(void **state)
{
	FILE *to = begin();
	struct top_json j;

	(void)state;
	top_json_open(&j, to);
	top_json_begin(&j, NULL, '{');
	top_json_text(&j, "a\"b", "x\ny\\\x01\xff\x7f");
	top_json_number(&j, "n", TOP_UNKNOWN);
	top_json_number(&j, "i", 1e9);
	top_json_number(&j, "f", 0.25);
	top_json_hex(&j, "h", UINT64_MAX);
	top_json_begin(&j, "list", '[');
	top_json_int(&j, NULL, -1);
	top_json_bool(&j, NULL, true);
	top_json_end(&j, ']');
	top_json_end(&j, '}');
	top_json_close(&j);
	fclose(to);
	assert_string_equal(text, "{\"a\\\"b\":\"x\\u000ay\\\\\\u0001\xef\xbf\xbd\\u007f\",\"n\":null,"
				  "\"i\":1000000000,\"f\":0.25,\"h\":\"0xffffffffffffffff\","
				  "\"list\":[-1,true]}");
}

static struct json_object *get(struct json_object *o, const char *name)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, name, &v))
		fail_msg("there is no %s", name);
	return v;
}

static void test_json(void **state)
{
	const struct top_out_options o = {.host = "host3"};
	struct json_object *all, *queues, *q;
	FILE *f = begin();

	(void)state;
	top_out_json(m, &o, f);
	fclose(f);
	assert_int_equal(strchr(text, '\n') - text, text_size - 1);
	all = json_tokener_parse(text);
	assert_non_null(all);
	assert_string_equal(json_object_get_string(get(all, "schema")), "vu-top/1");
	assert_string_equal(json_object_get_string(get(all, "time")), "2026-09-21T14:13:49.000Z");
	queues = get(all, "queues");
	assert_int_equal(json_object_array_length(queues), 6);
	q = json_object_array_get_idx(queues, 2);
	assert_string_equal(json_object_get_string(get(q, "device")), "disk0");
	assert_string_equal(json_object_get_string(get(q, "vm")), "web7");
	assert_string_equal(json_object_get_string(get(q, "health")), "critical");
	assert_string_equal(json_object_get_string(get(get(q, "verdict"), "name")),
			    "BACKEND_STALLED");
	q = json_object_array_get_idx(queues, 1);
	assert_true(json_object_get_double(get(get(q, "rates"), "completed")) > 7000);
	assert_true(json_object_get_double(get(get(get(q, "latency"), "service_ns"), "p99")) > 1e5);
	json_object_put(all);
}

/* --- CSV --- */

static void test_csv(void **state)
{
	struct top_out_options o = {.host = NULL};
	char why[100];
	FILE *f = begin();

	(void)state;
	strcpy(m->frame->snap->devs[1].name, "a,\"b");
	assert_true(top_out_fields(&o, "device,q,req/s,p99,health", why, sizeof(why)));
	top_out_csv_header(&o, f);
	top_out_csv(m, &o, f);
	fclose(f);
	strcpy(m->frame->snap->devs[1].name, "disk0");
	assert_true(has("time,mono_ns,device,q,req/s,p99,health\r\n"));
	assert_true(has(",\"a,\"\"b\",0,"));
	assert_true(has(",data,0,0,,critical\r\n"));
	assert_int_equal(lines_with("2026-09-21T14:13:49.000Z,"), 6);
	assert_false(top_out_fields(&o, "device,bogus", why, sizeof(why)));
	assert_non_null(strstr(why, "bogus"));
}

/* --- metrics --- */

static void metrics(enum top_exposition format, const struct top_out_options *o)
{
	FILE *f = begin();

	top_out_metrics(m, o, format, f);
	fclose(f);
}

static void test_openmetrics(void **state)
{
	const struct top_out_options o = {.host = NULL};

	(void)state;
	metrics(TOP_OPENMETRICS, &o);
	assert_true(has("# TYPE vu_queue_requests_completed counter\n"));
	assert_true(has("vu_queue_requests_completed_total{vm=\"web7\",device=\"disk0\",queue=\"0\","
			"role=\"request\"} "));
	assert_true(has("vu_queue_requests_completed_created{vm=\"web7\""));
	assert_true(has("# UNIT vu_queue_service_seconds seconds\n"));
	assert_true(has("# TYPE vu_queue_state stateset\n"));
	assert_true(has("vu_queue_state{vm=\"db1\",device=\"data\",queue=\"0\",role=\"request\","
			"vu_queue_state=\"stopped\"} 1\n"));
	assert_true(has("role=\"request\",le=\"+Inf\"} "));
	assert_true(has("vu_queue_health{vm=\"web7\",device=\"disk0\",queue=\"1\",role=\"request\","
			"vu_queue_health=\"critical\"} 1\n"));
	assert_string_equal(text + text_size - 6, "# EOF\n");
	assert_int_equal(lines_with("# TYPE vu_queue_state "), 1);
	/* No pid would make a series of its own after a restart. */
	assert_false(has("pid="));
}

static void test_prometheus(void **state)
{
	const struct top_out_options o = {.host = NULL, .labels = ",env=\"prod\""};

	(void)state;
	metrics(TOP_PROMETHEUS, &o);
	assert_true(has("# TYPE vu_queue_requests_completed_total counter\n"));
	assert_true(has("# TYPE vu_queue_info gauge\n"));
	assert_true(has("role=\"request\",env=\"prod\"} "));
	assert_true(has("vu_up{env=\"prod\"} 1\n"));
	assert_false(has("_created"));
	assert_false(has("# EOF"));
	assert_false(has("# UNIT"));
}

/* A histogram grows with le, and ends with the count. */
static void test_histogram(void **state)
{
	const struct top_out_options o = {.host = NULL};
	unsigned long long last = 0, n = 0, count = 0;
	const char *p;

	(void)state;
	metrics(TOP_OPENMETRICS, &o);
	for (p = text; (p = strstr(p, "\nvu_queue_service_seconds_bucket{")); p++) {
		n = strtoull(strstr(p, "} ") + 2, NULL, 10);
		assert_true(n >= last);
		last = n;
	}
	p = strstr(text, "\nvu_queue_service_seconds_count{");
	assert_non_null(p);
	count = strtoull(strstr(p, "} ") + 2, NULL, 10);
	assert_int_equal(count, last);
	assert_true(count > 0);
	/* 60 us are in the bucket up to 100 us, and not below. */
	p = strstr(text, "le=\"5e-05\"} ");
	p = strstr(strstr(text, "\nvu_queue_service_seconds_bucket{"), "le=\"5e-05\"} ");
	assert_int_equal(strtoull(p + 12, NULL, 10), 0);
	p = strstr(p, "le=\"0.0001\"} ");
	assert_true(strtoull(p + 13, NULL, 10) > 0);
}

static void test_escaping_and_limits(void **state)
{
	struct top_out_options o = {.max_queues = 2};

	(void)state;
	strcpy(m->frame->snap->devs[1].name, "a\"b\\c\nd");
	metrics(TOP_OPENMETRICS, &o);
	strcpy(m->frame->snap->devs[1].name, "disk0");
	assert_true(has("device=\"a\\\"b\\\\c\\nd\""));
	assert_true(has("vu_queues_left_out 4\n"));
	assert_false(has("device=\"net0\",queue="));
	/* Two devices of one name are two. */
	strcpy(m->frame->snap->devs[2].name, "disk0");
	o.max_queues = 0;
	metrics(TOP_OPENMETRICS, &o);
	strcpy(m->frame->snap->devs[2].name, "net0");
	assert_true(has("vm=\"web7\",device=\"disk0\",queue=\"0\""));
	assert_true(has("vm=\"web7\",device=\"disk0#2\",queue=\"0\""));
}

static void test_labels(void **state)
{
	char out[200], why[200];

	(void)state;
	assert_true(top_parse_labels("env=prod,rack=7\"x", out, sizeof(out), why, sizeof(why)));
	assert_string_equal(out, ",env=\"prod\",rack=\"7\\\"x\"");
	assert_false(top_parse_labels("vm=x", out, sizeof(out), why, sizeof(why)));
	assert_false(top_parse_labels("7=x", out, sizeof(out), why, sizeof(why)));
	assert_false(top_parse_labels("env", out, sizeof(out), why, sizeof(why)));
	assert_false(top_parse_labels("__x=y", out, sizeof(out), why, sizeof(why)));
}

static void prefers(const char *accept, enum top_exposition format)
{
	enum top_exposition got;

	assert_true(top_negotiate(accept, &got));
	if (got != format)
		fail_msg("%s is given %d", accept, got);
}

static void test_negotiation(void **state)
{
	enum top_exposition got;

	(void)state;
	prefers(NULL, TOP_PROMETHEUS);
	prefers("*/*", TOP_PROMETHEUS);
	prefers("text/plain", TOP_PROMETHEUS);
	prefers("text/html,*/*;q=0.1", TOP_PROMETHEUS);
	prefers("application/openmetrics-text", TOP_OPENMETRICS);
	/* Prometheus 2.42 */
	prefers("application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
		"version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		TOP_OPENMETRICS);
	prefers("text/plain;q=0.9, application/openmetrics-text;q=0.1", TOP_PROMETHEUS);
	prefers("application/openmetrics-text;q=0, text/plain", TOP_PROMETHEUS);
	assert_false(top_negotiate("image/png", &got));
	assert_false(top_negotiate("text/plain;q=0", &got));
}

/* --- checks --- */

static enum top_check check(const char *critical, const char *warning, const char *filter)
{
	char why[100];
	struct top_check_options o = {
		filter ? top_filter_parse(filter, why, sizeof(why)) : NULL,
		critical ? top_filter_parse(critical, why, sizeof(why)) : NULL,
		warning ? top_filter_parse(warning, why, sizeof(why)) : NULL};
	FILE *f = begin();
	enum top_check ret = top_out_check(m, &o, f);

	fclose(f);
	top_filter_free((struct top_filter *)o.filter);
	top_filter_free((struct top_filter *)o.critical);
	top_filter_free((struct top_filter *)o.warning);
	assert_int_equal(strchr(text, '\n') - text, text_size - 1);
	return ret;
}

static void test_check(void **state)
{
	(void)state;
	assert_int_equal(check(NULL, NULL, NULL), TOP_CHECK_CRITICAL);
	assert_true(has("VHOST-USER CRITICAL - 3 critical, 0 warning of 6 queues: scratch:0 "
			"BACKEND_GONE ("));
	assert_true(has(" | queues=6 critical=3 warning=0\n"));
	assert_int_equal(check(NULL, NULL, "vm=web7 device=net0"), TOP_CHECK_OK);
	assert_true(has("VHOST-USER OK - 2 queues | queues=2 critical=0 warning=0\n"));
	assert_int_equal(check("req/s>100k", NULL, NULL), TOP_CHECK_OK);
	assert_int_equal(check("req/s>100k", "req/s>100", NULL), TOP_CHECK_WARNING);
	assert_int_equal(check(NULL, NULL, "vm=nobody"), TOP_CHECK_UNKNOWN);
	assert_true(has("no queues were found"));
	/* What cannot be seen is not fine. */
	strcpy(m->frame->snap->trouble, "no permission | to see");
	assert_int_equal(check(NULL, NULL, "vm=web7 device=net0"), TOP_CHECK_UNKNOWN);
	assert_true(has("no permission   to see | queues=2"));
	assert_int_equal(check(NULL, NULL, NULL), TOP_CHECK_CRITICAL);
	m->frame->snap->trouble[0] = '\0';
}

static void test_plain(void **state)
{
	struct top_out_options o = {.times = true};
	char why[100];
	FILE *f = begin();

	(void)state;
	assert_true(top_out_fields(&o, "vm,device,q,req/s,health", why, sizeof(why)));
	top_out_plain(m, &o, f);
	fclose(f);
	assert_int_equal(lines_with("2026-09-21T14:13:49.000Z  web7  disk0"), 2);
	assert_true(has("critical: web7/disk0:1: BACKEND_STALLED (certain): "));
	assert_true(has("    next: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_text),   cmocka_unit_test(test_json),
		cmocka_unit_test(test_csv),	    cmocka_unit_test(test_openmetrics),
		cmocka_unit_test(test_prometheus),  cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_escaping_and_limits), cmocka_unit_test(test_labels),
		cmocka_unit_test(test_negotiation), cmocka_unit_test(test_check),
		cmocka_unit_test(test_plain),
	};
	int ret = cmocka_run_group_tests(tests, set_up, tear_down);

	free(text);
	return ret;
}
