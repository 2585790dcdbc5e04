/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The model: rates, latencies, verdicts, history, alerts, what comes and goes. */
#include <linux/virtio_ids.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/top_host.h"

static double rate(const struct top_queue *t, enum vu__obs_counter c)
{
	assert_true(vu__obs_has_rate(&t->rates, c));
	return t->rates.per_s[c];
}

/* --- rates --- */

static void test_first_frame_has_no_rates(void **state)
{
	struct top_model *m = host_model(1);
	struct top_queue *t = host_find(m, "disk0", 0);
	char text[TOP_FIELD_TEXT];

	(void)state;
	assert_false(vu__obs_has_rate(&t->rates, VU__OBS_COMPLETED));
	top_field_format(top_field_find("req/s", 5), t, TOP_RATES, TOP_SI, text);
	assert_string_equal(text, "-");
	assert_true(m->dt == 0);
	top_model_free(m);
}

static void test_rates(void **state)
{
	struct top_model *m = host_model(2);

	(void)state;
	assert_true(fabs(rate(host_find(m, "disk0", 0), VU__OBS_COMPLETED) - 8000) < 1);
	assert_true(fabs(m->dt - 1) < 0.001);
	/* A second that was not looked at: the time is what was measured. */
	assert_int_equal(top_model_update(m, host_at(4)), 0);
	assert_true(fabs(m->dt - 3) < 0.001);
	assert_true(fabs(rate(host_find(m, "net0", 1), VU__OBS_COMPLETED) - 1200) < 1);
	assert_true(fabs(m->self_cpu - 0.005) < 0.001);
	top_model_free(m);
}

static struct top_frame *with_generation(unsigned int second, uint32_t generation,
					 uint64_t completed)
{
	struct top_frame *f = host_at(second);

	for (uint32_t i = 0; i < f->snap->nqueues; i++) {
		f->snap->queues[i].setup.generation = generation;
		host_count(&f->snap->queues[i], VU__OBS_COMPLETED, completed);
	}
	return f;
}

/* Counters that begin anew never give a negative rate. */
static void test_generations(void **state)
{
	struct top_model *m = top_model_new(NULL);
	struct top_queue *t;

	(void)state;
	assert_int_equal(top_model_update(m, with_generation(0, 1, 500000)), 0);
	assert_int_equal(top_model_update(m, with_generation(1, 2, 100)), 0);
	t = host_find(m, "disk0", 0);
	assert_false(vu__obs_has_rate(&t->rates, VU__OBS_COMPLETED));
	assert_int_equal(top_model_update(m, with_generation(2, 2, 400)), 0);
	assert_true(fabs(rate(host_find(m, "disk0", 0), VU__OBS_COMPLETED) - 300) < 1);
	/* ... nor do ones that go back. */
	assert_int_equal(top_model_update(m, with_generation(3, 2, 100)), 0);
	assert_false(vu__obs_has_rate(&host_find(m, "disk0", 0)->rates, VU__OBS_COMPLETED));
	top_model_free(m);
}

static void test_marks(void **state)
{
	struct top_model *m = host_model(3);
	const struct top_field *requests = top_field_find("req/s", 5);
	struct top_queue *t = host_find(m, "net0", 1);

	(void)state;
	assert_false(top_known(top_field_number(requests, t, TOP_SINCE_MARK)));
	assert_true(top_field_number(requests, t, TOP_TOTALS) == 7000 + 1200 * 2);
	top_model_mark(m);
	for (unsigned int i = 3; i < 8; i++)
		assert_int_equal(top_model_update(m, host_at(i)), 0);
	assert_true(fabs(top_field_number(requests, t, TOP_SINCE_MARK) - 1200) < 1);
	assert_true(fabs(top_field_number(requests, t, TOP_TOTALS) - 6000) < 1);
	assert_true(fabs(t->since_mark.dt - 5) < 0.001);
	top_model_unmark(m);
	assert_false(top_known(top_field_number(requests, t, TOP_SINCE_MARK)));
	top_model_free(m);
}

/* --- latencies --- */

static void test_latency(void **state)
{
	struct top_model *m = host_model(20);
	const struct top_latency *l = &host_find(m, "disk0", 0)->latency[VU__OBS_SERVICE];
	const struct top_latency *k = &host_find(m, "disk0", 0)->latency[VU__OBS_KICK_TO_POP];

	(void)state;
	assert_true(l->n > 0);
	assert_true(l->p50 > 60000 * 0.95 && l->p50 < 60000 * 1.05);
	assert_true(l->p99 > 130000 * 0.95 && l->p99 < 130000 * 1.05);
	assert_true(l->p999 > 900000 * 0.95);
	assert_true(l->max > 20000000 * 0.95 && l->max <= 20000000);
	assert_true(k->p99 > 4000 * 0.95 && k->p99 < 4000 * 1.05);
	assert_false(host_find(m, "disk0", 1)->latency[VU__OBS_SERVICE].n);
	assert_non_null(host_find(m, "disk0", 0)->heat);
	assert_null(host_find(m, "disk0", 1)->heat);
	top_model_free(m);
}

/* Only what happened in the last seconds counts. */
static void test_latency_window(void **state)
{
	struct top_model *m = top_model_new(NULL);

	(void)state;
	for (unsigned int i = 0; i < 40; i++) {
		struct vu__obs_snapshot *s = host_snapshot(HOST_START + i * SECOND);
		uint32_t p = host_process(s, 100, "x", VU__OBS_BACKEND, VU__OBS_KIND_LIBVU);
		uint32_t d = host_device(s, p, -1, 0, "disk0", VIRTIO_ID_BLOCK);
		struct top_frame *f;

		host_ring(host_queue(s, d, 0, 64), 0, 0, 0);
		f = host_frame(s);
		host_hist(f, 0, VU__OBS_SERVICE, 1000000, 100 * VU_MIN(i, 20u));
		host_hist(f, 0, VU__OBS_SERVICE, 1000, i > 20 ? 100 * (i - 20) : 0);
		assert_int_equal(top_model_update(m, f), 0);
		if (i == 19)
			assert_true(m->queues[0]->latency[VU__OBS_SERVICE].p50 > 900000);
	}
	assert_true(m->queues[0]->latency[VU__OBS_SERVICE].max < 1100);
	top_model_free(m);
}

/* --- verdicts, stalls --- */

static void test_verdicts(void **state)
{
	struct top_model *m = host_model(60);
	struct top_queue *t = host_find(m, "disk0", 1);

	(void)state;
	assert_int_equal(t->verdict.id, VU__V_BACKEND_STALLED);
	assert_int_equal(t->verdict.severity, VU__OBS_CRITICAL);
	/* Since it was first seen, which is longer than looks are kept apart. */
	assert_in_range((t->q->mono_ns - t->verdict_ns) / SECOND, 36, 39);
	assert_true(t->oldest >= 37e9 && t->oldest <= 39e9);
	assert_int_equal(host_find(m, "disk0", 0)->verdict.id, VU__V_MOVING);
	assert_int_equal(host_find(m, "data", 0)->verdict.id, VU__V_STOPPED_WITH_WORK);
	assert_int_equal(host_find(m, "scratch", 0)->verdict.id, VU__V_BACKEND_GONE);
	assert_int_equal(host_find(m, "net0", 0)->verdict.id, VU__V_ARMED_IDLE);
	/* Buffers that wait for packets are not late. */
	assert_true(host_find(m, "net0", 0)->oldest == 0);
	assert_int_equal(m->by_severity[VU__OBS_CRITICAL], 3);
	assert_int_equal(m->devices[1]->worst, VU__OBS_CRITICAL);
	top_model_free(m);
}

/* However often one looks, the frames that are kept reach back, and are few. */
static void test_looks_kept(void **state)
{
	struct top_model *m = top_model_new(NULL);

	(void)state;
	for (unsigned int i = 0; i < 900; i++) {
		struct vu__obs_snapshot *s = host_snapshot(HOST_START + i * SECOND / 10);
		uint32_t p = host_process(s, 100, "x", VU__OBS_BACKEND, VU__OBS_KIND_LIBVU);
		uint32_t d = host_device(s, p, -1, 0, "disk0", VIRTIO_ID_BLOCK);

		host_ring(host_queue(s, d, 0, 64), 4, 4, 0);
		assert_int_equal(top_model_update(m, host_frame(s)), 0);
		assert_true(m->nkept <= TOP_LOOKS);
		assert_int_equal(m->queues[0]->nlooks, m->nkept);
	}
	assert_true(m->frame->snap->mono_ns - m->kept[0]->snap->mono_ns > 20 * SECOND);
	assert_true(m->frame->snap->mono_ns - m->kept[m->nkept - 3]->snap->mono_ns < 2 * SECOND);
	assert_int_equal(m->queues[0]->verdict.id, VU__V_BACKEND_IO_STALLED);
	top_model_free(m);
}

/* --- history --- */

static void test_history(void **state)
{
	struct top_model *m = host_model(60);
	struct top_queue *t = host_find(m, "net0", 1);
	double values[64];

	(void)state;
	top_history_read(t->history, TOP_S_REQUESTS, t->q->mono_ns, 1, values, 64);
	for (unsigned int i = 8; i < 64; i++)
		assert_true(fabs(values[i] - 1200) < 2);
	/* Before it began. */
	assert_false(top_known(values[0]));
	top_history_read(host_find(m, "disk0", 1)->history, TOP_S_HEALTH, t->q->mono_ns, 1, values,
			 60);
	assert_true(values[59] == VU__OBS_CRITICAL);
	assert_true(values[10] == VU__OBS_OK);
	top_history_read(host_find(m, "disk0", 0)->history, TOP_S_REQUESTS, t->q->mono_ns, 10,
			 values, 3);
	assert_true(values[1] > 8000 && values[1] < 12000);
	top_model_free(m);
}

static void test_packing(void **state)
{
	(void)state;
	assert_true(top_history_unpack(top_history_pack(0)) == 0);
	assert_false(top_known(top_history_unpack(top_history_pack(TOP_UNKNOWN))));
	for (double v = 0.002; v < 1e15; v *= 1.013) {
		double is = top_history_unpack(top_history_pack(v));

		assert_true(fabs(is - v) <= v * 0.0006);
	}
	assert_true(top_history_unpack(top_history_pack(1e30)) > 1e15);
}

static void add(struct top_history *h, uint64_t second, double v)
{
	double values[TOP_NSERIES];

	for (unsigned int i = 0; i < TOP_NSERIES; i++)
		values[i] = i == TOP_S_REQUESTS ? v : 0;
	top_history_add(h, (1000 + second) * SECOND + 5, 1, values);
}

/* A day, with a value that changes all the time, and one that does not. */
static void test_long_history(void **state)
{
	struct top_history_pool pool;
	struct top_history *h;
	double values[8640];
	size_t one_day;

	(void)state;
	top_history_pool_init(&pool, 64 << 20);
	h = top_history_new(&pool);
	for (unsigned int s = 0; s < 26 * 3600; s++)
		add(h, s, s);
	top_history_read(h, TOP_S_REQUESTS, (1000 + 26 * 3600 - 1) * SECOND, 1, values, 3600);
	assert_true(fabs(values[3599] - (26 * 3600 - 1)) < 100);
	assert_true(fabs(values[100] - (25 * 3600 + 100)) < 100);
	top_history_read(h, TOP_S_REQUESTS, (1000 + 26 * 3600 - 1) * SECOND, 10, values, 8600);
	assert_true(fabs(values[8599] - 26 * 3600) < 200);
	assert_true(fabs(values[100] - (26 * 3600 - 85000)) < 200);
	/* One series of thirteen takes two bytes a value; the others next to none. */
	one_day = pool.bytes;
	assert_true(one_day < 2 * (3600 + 8640) + 60000);
	top_history_free(h);
	assert_int_equal(pool.bytes, 0);
}

/* Sleep, or a machine that was suspended, is a gap, not a line. */
static void test_gaps(void **state)
{
	struct top_history_pool pool;
	struct top_history *h;
	double values[40];

	(void)state;
	top_history_pool_init(&pool, 64 << 20);
	h = top_history_new(&pool);
	add(h, 0, 5);
	add(h, 1, 5);
	add(h, 30, 7);
	add(h, 31, 7);
	top_history_read(h, TOP_S_REQUESTS, 1031 * SECOND, 1, values, 32);
	assert_true(values[31] == 7 && values[30] == 7);
	assert_false(top_known(values[20]));
	assert_true(values[1] == 5);
	/* Less often than once a second there is no gap: the rate was measured over it. */
	{
		double v[TOP_NSERIES] = {[TOP_S_REQUESTS] = 9};

		top_history_add(h, 1036 * SECOND + 5, 5, v);
	}
	top_history_read(h, TOP_S_REQUESTS, 1036 * SECOND, 1, values, 6);
	for (unsigned int i = 1; i < 6; i++)
		assert_true(values[i] == 9);
	top_history_free(h);
}

static void test_bounded(void **state)
{
	struct top_history *all[64];
	struct top_history_pool pool;
	double values[60];

	(void)state;
	top_history_pool_init(&pool, 300 << 10);
	for (unsigned int i = 0; i < 64; i++)
		all[i] = top_history_new(&pool);
	for (unsigned int s = 0; s < 3000; s++) {
		for (unsigned int i = 0; i < 64; i++)
			add(all[i], s, s * 7 % 1009);
		top_history_fit(&pool, all, 64);
		assert_true(pool.bytes <= pool.limit);
	}
	/* What is left is the newest. */
	assert_true(pool.keep[0] < 60);
	top_history_read(all[5], TOP_S_REQUESTS, 3999 * SECOND, 1, values, 60);
	assert_true(top_known(values[59]) && top_known(values[30]));
	for (unsigned int i = 0; i < 64; i++)
		top_history_free(all[i]);
	assert_int_equal(pool.bytes, 0);
}

/* --- alerts --- */

static struct top_frame *with_depth(unsigned int tenth, unsigned int depth)
{
	struct vu__obs_snapshot *s = host_snapshot(HOST_START + tenth * SECOND / 10);
	uint32_t p = host_process(s, 100, "x", VU__OBS_BACKEND, VU__OBS_KIND_LIBVU);
	uint32_t d = host_device(s, p, -1, 0, "disk0", VIRTIO_ID_BLOCK);
	struct vu__obs_queue *q = host_queue(s, d, 0, 64);

	host_ring(q, 1000 + tenth + depth, 1000 + tenth, 1000 + tenth);
	host_count(q, VU__OBS_COMPLETED, 1000 + tenth);
	host_count(q, VU__OBS_POPPED, 1000 + tenth);
	return host_frame(s);
}

static unsigned int notes_with(const struct top_model *m, const char *word, bool cleared)
{
	unsigned int n = 0;

	for (uint64_t i = 0; i < m->nnotes; i++)
		n += m->notes[i].cleared == cleared && strstr(m->notes[i].text, word);
	return n;
}

static void test_alerts(void **state)
{
	struct top_model *m = top_model_new(NULL);
	unsigned int t = 0;
	char why[200];

	(void)state;
	assert_int_equal(top_alert_add(m, "warning: depth>10 for 1s clear 2s", why, sizeof(why)), 0);
	for (; t < 10; t++)
		assert_int_equal(top_model_update(m, with_depth(t, 2)), 0);
	/* A flicker raises nothing. */
	for (; t < 18; t++)
		assert_int_equal(top_model_update(m, with_depth(t, 20)), 0);
	assert_int_equal(top_model_update(m, with_depth(t++, 2)), 0);
	assert_false(m->queues[0]->alarms[0].raised);
	for (; t < 30; t++)
		assert_int_equal(top_model_update(m, with_depth(t, 20)), 0);
	assert_true(m->queues[0]->alarms[0].raised);
	assert_int_equal(top_alert_worst(m, m->queues[0]), VU__OBS_WARNING);
	assert_int_equal(notes_with(m, "depth>10", false), 1);
	/* ... and clears nothing. */
	for (; t < 45; t++)
		assert_int_equal(top_model_update(m, with_depth(t, 2)), 0);
	assert_int_equal(top_model_update(m, with_depth(t++, 20)), 0);
	for (; t < 64; t++)
		assert_int_equal(top_model_update(m, with_depth(t, 2)), 0);
	assert_true(m->queues[0]->alarms[0].raised);
	for (; t < 68; t++)
		assert_int_equal(top_model_update(m, with_depth(t, 2)), 0);
	assert_false(m->queues[0]->alarms[0].raised);
	assert_int_equal(notes_with(m, "depth>10", true), 1);
	assert_int_equal(notes_with(m, "depth>10", false), 1);
	top_model_free(m);
}

static void test_alert_texts(void **state)
{
	static const char *const wrong[] = {"", "depth>10 for", "depth>10 for x", "bogus=1 for 3s",
					    "depth>10 for 3s clear", "depth>10 for 9999d"};
	struct top_model *m = top_model_new(NULL);
	char why[200];

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(wrong); i++) {
		why[0] = '\0';
		assert_true(top_alert_add(m, wrong[i], why, sizeof(why)) < 0);
		assert_true(why[0]);
	}
	assert_int_equal(top_alert_add(m, "oldest>500ms for 3s", why, sizeof(why)), 0);
	assert_int_equal(m->alerts[0].severity, VU__OBS_CRITICAL);
	assert_int_equal(m->alerts[0].for_ns, 3 * SECOND);
	assert_int_equal(m->alerts[0].clear_ns, 3 * SECOND);
	assert_int_equal(top_alert_add(m, "info: health!=ok", why, sizeof(why)), 0);
	assert_int_equal(m->alerts[1].severity, VU__OBS_INFO);
	assert_int_equal(m->alerts[1].for_ns, 0);
	while (m->nalerts < TOP_MAX_ALERTS)
		assert_int_equal(top_alert_add(m, "q=1", why, sizeof(why)), 0);
	assert_true(top_alert_add(m, "q=1", why, sizeof(why)) < 0);
	top_model_free(m);
}

/* --- coming and going --- */

static struct top_frame *with_devices(unsigned int second, unsigned int n, bool alive)
{
	struct vu__obs_snapshot *s = host_snapshot(HOST_START + second * SECOND);

	for (unsigned int i = 0; i < n; i++) {
		uint32_t p = host_process(s, 100 + i, "x", VU__OBS_BACKEND, VU__OBS_KIND_LIBVU);
		char name[16];
		uint32_t d;

		snprintf(name, sizeof(name), "disk%u", i);
		d = host_device(s, p, -1, 0, name, VIRTIO_ID_BLOCK);
		s->procs[p].alive = alive;
		host_ring(host_queue(s, d, 0, 64), second, second, second);
	}
	return host_frame(s);
}

static void test_coming_and_going(void **state)
{
	struct top_model *m = top_model_new(NULL);
	struct top_key key;

	(void)state;
	assert_int_equal(top_model_update(m, with_devices(0, 2, true)), 0);
	assert_int_equal(m->nnotes, 0);
	key = m->queues[1]->key;
	m->queues[1]->tagged = true;
	assert_int_equal(top_model_update(m, with_devices(1, 3, true)), 0);
	assert_int_equal(notes_with(m, "new device", false), 1);
	assert_true(top_model_find(m, &key)->tagged);
	assert_int_equal(top_model_update(m, with_devices(2, 3, false)), 0);
	assert_int_equal(notes_with(m, "has died", false), 3);
	assert_int_equal(host_find(m, "disk1", 0)->verdict.id, VU__V_BACKEND_GONE);
	assert_int_equal(top_model_update(m, with_devices(3, 1, false)), 0);
	assert_int_equal(notes_with(m, "has gone", false), 2);
	assert_null(top_model_find(m, &key));
	assert_int_equal(m->nqueues, 1);
	assert_int_equal(top_model_update(m, with_devices(4, 0, true)), 0);
	assert_int_equal(m->nqueues, 0);
	top_model_free(m);
}

/* Many queues, in many devices, that change all the time. */
static void test_thousands(void **state)
{
	struct top_model *m = top_model_new(NULL);

	(void)state;
	for (unsigned int second = 0; second < 12; second++) {
		unsigned int ndevs = 40 + second % 3, n = 100;
		struct vu__obs_snapshot *s = host_snapshot(HOST_START + second * SECOND);

		free(s->queues);
		s->queues = calloc(ndevs * n, sizeof(*s->queues));
		assert_non_null(s->queues);
		for (unsigned int i = 0; i < ndevs; i++) {
			uint32_t p = host_process(s, 100 + i, "x", VU__OBS_BACKEND,
						  VU__OBS_KIND_LIBVU);
			uint32_t d = host_device(s, p, -1, 0, "disk", VIRTIO_ID_BLOCK);

			for (unsigned int q = 0; q < n; q++)
				host_ring(host_queue(s, d, q, 64), second, second, second);
		}
		assert_int_equal(top_model_update(m, host_frame(s)), 0);
		assert_int_equal(m->nqueues, ndevs * n);
		assert_int_equal(m->nall, m->nqueues);
	}
	top_model_free(m);
}

static void test_events(void **state)
{
	struct top_model *m = host_model(2);
	const struct top_device *d = m->devices[1];

	(void)state;
	assert_int_equal(d->nevents, 8);
	assert_int_equal(top_device_event(d, 0)->number, 8);
	assert_int_equal(top_device_event(d, 7)->number, 1);
	assert_null(top_device_event(d, 8));
	top_model_free(m);
}

static void test_restart(void **state)
{
	struct top_model *m = host_model(30);
	char why[100];

	(void)state;
	assert_int_equal(top_alert_add(m, "q=1", why, sizeof(why)), 0);
	top_model_restart(m);
	assert_int_equal(m->nqueues, 0);
	assert_null(m->frame);
	/* Time may go back. */
	assert_int_equal(top_model_update(m, host_at(5)), 0);
	assert_int_equal(m->nqueues, 6);
	assert_int_equal(m->nalerts, 1);
	top_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_frame_has_no_rates),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_latency_window),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_looks_kept),
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_packing),
		cmocka_unit_test(test_long_history),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_alerts),
		cmocka_unit_test(test_alert_texts),
		cmocka_unit_test(test_coming_and_going),
		cmocka_unit_test(test_thousands),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
