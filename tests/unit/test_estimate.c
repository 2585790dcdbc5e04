/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dirty pages over time, and the rounds a migration would take; nothing is measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vu-migrate/estimate.h"
#include "vu-migrate/pages.h"

#define MIB 1048576.0
#define GIB (1024 * MIB)

static void assert_near(double a, double b)
{
	if (a < b * 0.999 - 1e-9 || a > b * 1.001 + 1e-9)
		fail_msg("%g, not %g", a, b);
}

/* --- the curve --- */

static void between_and_beyond_points(void **state)
{
	const struct est_curve c = {.n = 3, .seconds = {0.1, 1, 5},
				    .bytes = {10 * MIB, 28 * MIB, 36 * MIB}};
	const struct est_curve none = {.n = 0};

	(void)state;
	assert_near(est_unique(&c, 0, GIB), 0);
	assert_near(est_unique(&c, 0.05, GIB), 5 * MIB);
	assert_near(est_unique(&c, 0.1, GIB), 10 * MIB);
	assert_near(est_unique(&c, 0.55, GIB), 19 * MIB);
	assert_near(est_unique(&c, 5, GIB), 36 * MIB);
	/* On with the last slope, 2 MiB a second, and never more than there is. */
	assert_near(est_unique(&c, 10, GIB), 46 * MIB);
	assert_near(est_unique(&c, 1e6, GIB), GIB);
	assert_near(est_unique(&none, 10, GIB), 0);
}

/* --- rounds --- */

/* All different: @rate bytes a second, for ever. */
static struct est_curve linear(double rate)
{
	return (struct est_curve){.n = 2, .seconds = {1, 30}, .bytes = {rate, 30 * rate}};
}

/* A hot set: soon all written, then no more. */
static struct est_curve hot(double bytes)
{
	return (struct est_curve){.n = 3, .seconds = {0.01, 1, 30}, .bytes = {bytes, bytes, bytes}};
}

static void an_idle_one_takes_one_round(void **state)
{
	const struct est_curve c = {.n = 1, .seconds = {1}, .bytes = {0}};
	struct est_plan p;

	(void)state;
	est_make(&c, GIB, 100 * MIB, 0.3, 0.01, &p);
	assert_int_equal(p.verdict, EST_CONVERGES);
	assert_int_equal(p.rounds, 1);
	assert_near(p.round[0].bytes, GIB);
	assert_near(p.seconds, 10.24);
	assert_near(p.pause, 0.01);
}

/* R(i+1) = R(i) * rate / bandwidth, by hand. */
static void a_steady_writer(void **state)
{
	const struct est_curve c = linear(50 * MIB), fast = linear(200 * MIB);
	struct est_plan p;

	(void)state;
	est_make(&c, GIB, 100 * MIB, 0.3, 0, &p);
	assert_int_equal(p.verdict, EST_CONVERGES);
	/* 1024, 512, 256, 128, 64; then 32 MiB, which is 0.32 s; then 16. */
	assert_int_equal(p.rounds, 6);
	for (unsigned int i = 0; i < p.rounds; i++)
		assert_near(p.round[i].bytes, GIB / (1 << i));
	assert_near(p.pause, 0.16);
	assert_near(p.seconds, 10.24 * (2 - 1.0 / 32));
	est_make(&fast, GIB, 100 * MIB, 0.3, 0, &p);
	assert_int_equal(p.verdict, EST_NEVER);
	assert_true(p.needed > 199 * MIB && p.needed < 250 * MIB);
}

static void a_hot_set_decides_by_its_size(void **state)
{
	const struct est_curve c = hot(60 * MIB);
	struct est_plan p;

	(void)state;
	/* 60 MiB at 100 MiB/s is a pause of 0.6 s, however many rounds. */
	est_make(&c, GIB, 100 * MIB, 0.3, 0, &p);
	assert_int_equal(p.verdict, EST_NEVER);
	assert_near(p.pause, 0.6);
	assert_near(p.needed, 200 * MIB);
	est_make(&c, GIB, 100 * MIB, 1, 0, &p);
	assert_int_equal(p.verdict, EST_CONVERGES);
	est_make(&c, GIB, 210 * MIB, 0.3, 0, &p);
	assert_int_equal(p.verdict, EST_MARGINAL);
	est_make(&c, GIB, 190 * MIB, 0.3, 0, &p);
	assert_int_equal(p.verdict, EST_MARGINAL);
	est_make(&c, GIB, 260 * MIB, 0.3, 0, &p);
	assert_int_equal(p.verdict, EST_CONVERGES);
}

static void what_the_pause_costs_anyway(void **state)
{
	const struct est_curve c = hot(1 * MIB);
	struct est_plan p;

	(void)state;
	est_make(&c, GIB, 1000 * MIB, 0.3, 0.29, &p);
	assert_int_equal(p.verdict, EST_CONVERGES);
	assert_near(p.pause, 0.291);
	est_make(&c, GIB, 1000 * MIB, 0.3, 0.31, &p);
	assert_int_equal(p.verdict, EST_NEVER);
	assert_near(p.needed, 0);
}

/* Random curves: whatever comes out is no more than there is room for, and more
 * bandwidth is never worse. */
static void anything(void **state)
{
	(void)state;
	srandom(7);
	for (int i = 0; i < 20000; i++) {
		struct est_curve c = {.n = (size_t)random() % EST_POINTS};
		double t = 0, b = 0, memory = MIB * (double)(1 + random() % 10000);
		struct est_plan p, q;

		for (size_t n = 0; n < c.n; n++) {
			c.seconds[n] = t += 0.001 * (double)(1 + random() % 5000);
			c.bytes[n] = b += (double)(random() % 1000000000);
		}
		est_make(&c, memory, 1e6 * (double)(1 + random() % 1000), 0.3, 0.1, &p);
		est_make(&c, memory, 4e9, 0.3, 0.1, &q);
		assert_in_range(p.rounds, 1, EST_ROUNDS);
		for (unsigned int n = 0; n < p.rounds; n++)
			assert_true(p.round[n].bytes <= memory && p.round[n].seconds >= 0);
		assert_true(p.verdict != EST_CONVERGES || p.pause <= 0.3);
		assert_true(q.verdict <= p.verdict);
		assert_non_null(est_verdict_name(p.verdict));
	}
}

/* --- pages --- */

/* Writes the same 8 pages in each tick, and one more that is always another. */
static void run(struct pages *p, double *now, int ticks)
{
	for (int i = 0; i < ticks; i++) {
		*now += 0.01;
		pages_mark(p, 0, 3, 0xff);
		pages_mark(p, 1, 10 + p->writes / 9 / 64, 1ull << (p->writes / 9 % 64));
		pages_tick(p, *now);
	}
}

static void windows_count_a_page_once(void **state)
{
	struct est_curve c;
	struct pages p;
	double now = 100;

	(void)state;
	assert_int_equal(pages_init(&p, 1 << 20, 2, now), 0);
	run(&p, &now, 1001);
	pages_curve(&p, &c);
	assert_int_equal(c.n, 4); /* 30 s have not passed */
	assert_true(c.bytes[0] >= 8.9 * PAGE_BYTES && c.bytes[0] <= 9.1 * PAGE_BYTES);
	assert_true(c.bytes[1] >= 17 * PAGE_BYTES && c.bytes[1] <= 19 * PAGE_BYTES);
	assert_true(c.bytes[2] >= 106 * PAGE_BYTES && c.bytes[2] <= 109 * PAGE_BYTES);
	assert_true(c.bytes[3] >= 506 * PAGE_BYTES && c.bytes[3] <= 509 * PAGE_BYTES);
	assert_int_equal(p.unique, 8 + 1001);
	assert_int_equal(p.writes, 9 * 1001);
	assert_int_equal(p.by_queue[0], 8 * 1001);
	assert_int_equal(p.by_queue[1], 1001);
	assert_int_equal(pages_hot(&p), 8);
	assert_int_equal(pages_in(&p, 0, 640), 8);
	assert_int_equal(pages_in(&p, 640, 1 << 20), 1001);
	pages_release(&p);
}

static void a_late_tick_is_no_more_writing(void **state)
{
	struct est_curve c;
	struct pages p;
	double now = 0;

	(void)state;
	assert_int_equal(pages_init(&p, 4096, 1, now), 0);
	for (int i = 0; i < 100; i++) {
		now += 0.05; /* five windows of 10 ms */
		pages_mark(&p, 0, (uint64_t)i % 60, 0x1f);
		pages_tick(&p, now);
	}
	pages_curve(&p, &c);
	assert_near(c.bytes[0], PAGE_BYTES);
	pages_release(&p);
}

/* What a back-end says is not to be relied upon. */
static void outside(void **state)
{
	struct pages p;

	(void)state;
	assert_int_equal(pages_init(&p, 100, 1, 0), 0);
	pages_mark(&p, 1, 0, 1);
	pages_mark(&p, 0, 2, 1);
	pages_mark(&p, 0, UINT64_MAX, 1);
	assert_int_equal(p.writes, 0);
	pages_mark(&p, 0, 1, ~0ull); /* beyond page 99, in its word */
	pages_tick(&p, 1);
	pages_tick(&p, 2);
	assert_int_equal(pages_hot(&p), 0);
	assert_int_equal(pages_in(&p, 0, UINT64_MAX), 36);
	pages_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(between_and_beyond_points),
		cmocka_unit_test(an_idle_one_takes_one_round),
		cmocka_unit_test(a_steady_writer),
		cmocka_unit_test(a_hot_set_decides_by_its_size),
		cmocka_unit_test(what_the_pause_costs_anyway),
		cmocka_unit_test(anything),
		cmocka_unit_test(windows_count_a_page_once),
		cmocka_unit_test(a_late_tick_is_no_more_writing),
		cmocka_unit_test(outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
