/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two snapshots compared: matching, rates, 16-bit indices, percentiles, roles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/virtio_ids.h>

#include "observe/rates.h"

#define SECOND 1000000000ULL

static struct vu__obs_queue look(uint64_t mono_ns, uint64_t popped, uint64_t completed)
{
	struct vu__obs_queue q = {.mono_ns = mono_ns};

	q.have_counter = VU_BIT(VU__OBS_POPPED) | VU_BIT(VU__OBS_COMPLETED);
	q.counter[VU__OBS_POPPED] = popped;
	q.counter[VU__OBS_COMPLETED] = completed;
	return q;
}

static void close_to(double a, double b)
{
	if (a < b - 1e-6 || a > b + 1e-6)
		fail_msg("%f is not %f", a, b);
}

static void rate_is_over_the_measured_time(void **state)
{
	struct vu__obs_queue a = look(10 * SECOND, 100, 50), b = look(12.5 * SECOND, 600, 50);
	struct vu__obs_rates r;

	(void)state;
	vu__obs_rates(&a, &b, &r);
	close_to(r.dt, 2.5);
	assert_true(vu__obs_has_rate(&r, VU__OBS_POPPED));
	close_to(r.per_s[VU__OBS_POPPED], 200);
	close_to(r.delta[VU__OBS_POPPED], 500);
	close_to(r.per_s[VU__OBS_COMPLETED], 0);
	assert_false(vu__obs_has_rate(&r, VU__OBS_CALLS));
	assert_true(vu__obs_ratio(&r, VU__OBS_POPPED, VU__OBS_COMPLETED) < 0);
	close_to(vu__obs_ratio(&r, VU__OBS_COMPLETED, VU__OBS_POPPED), 0);
}

static void first_look_has_no_rate(void **state)
{
	struct vu__obs_queue b = look(SECOND, 600, 50), earlier = look(0.5 * SECOND, 1, 1);
	struct vu__obs_rates r;

	(void)state;
	vu__obs_rates(NULL, &b, &r);
	assert_true(r.dt == 0 && r.have == 0);
	vu__obs_rates(&b, &b, &r);
	assert_true(r.dt == 0 && r.have == 0);
	vu__obs_rates(&b, &earlier, &r);
	assert_true(r.dt == 0 && r.have == 0);
}

static void rate_is_never_negative(void **state)
{
	struct vu__obs_queue a = look(SECOND, 1000, 1000), b = look(2 * SECOND, 10, 2000);
	struct vu__obs_rates r;

	(void)state;
	/* It began anew, and somehow nobody said so. */
	vu__obs_rates(&a, &b, &r);
	assert_false(vu__obs_has_rate(&r, VU__OBS_POPPED));
	assert_true(r.per_s[VU__OBS_POPPED] == 0);
	close_to(r.per_s[VU__OBS_COMPLETED], 1000);
	/* Another generation: even what has grown is not comparable. */
	b.setup.generation = 1;
	vu__obs_rates(&a, &b, &r);
	assert_true(r.dt == 0 && r.have == 0);
}

static void lower_bound_is_passed_on(void **state)
{
	struct vu__obs_queue a = look(SECOND, 0, 0), b = look(2 * SECOND, 10, 20);
	struct vu__obs_rates r;

	(void)state;
	b.at_least = VU_BIT(VU__OBS_COMPLETED) | VU_BIT(VU__OBS_CALLS);
	vu__obs_rates(&a, &b, &r);
	assert_true(r.at_least == VU_BIT(VU__OBS_COMPLETED));
}

static void suppressed_share_needs_all_reasons(void **state)
{
	struct vu__obs_queue a = look(SECOND, 0, 0), b = look(2 * SECOND, 10, 20);
	struct vu__obs_rates r;

	(void)state;
	a.have_counter = b.have_counter = ~0ULL;
	b.counter[VU__OBS_CALLS] = 30;
	b.counter[VU__OBS_NOCALL_FLAG] = 20;
	b.counter[VU__OBS_NOCALL_EVENT] = 50;
	vu__obs_rates(&a, &b, &r);
	close_to(vu__obs_suppressed_share(&r), 0.7);
	b.have_counter &= ~VU_BIT(VU__OBS_NOCALL_MASKED);
	vu__obs_rates(&a, &b, &r);
	assert_true(vu__obs_suppressed_share(&r) < 0);
	memset(&r, 0, sizeof(r));
	assert_true(vu__obs_suppressed_share(&r) < 0);
}

/* --- matching --- */

static void queues_are_matched_by_key(void **state)
{
	struct vu__obs_process pa[] = {{.pid = 7, .start_time = 1, .first_dev = 0, .ndevs = 1},
				       {.pid = 9, .start_time = 5, .first_dev = 1, .ndevs = 1}};
	struct vu__obs_process pb[] = {{.pid = 7, .start_time = 2, .first_dev = 0, .ndevs = 1},
				       {.pid = 8, .start_time = 3, .first_dev = 1, .ndevs = 0},
				       {.pid = 9, .start_time = 5, .first_dev = 1, .ndevs = 2}};
	struct vu__obs_device da[] = {{.proc = 0, .number = 0, .first_queue = 0, .nqueues = 1},
				      {.proc = 1, .number = 1, .first_queue = 1, .nqueues = 2}};
	struct vu__obs_device db[] = {{.proc = 0, .number = 0, .first_queue = 0, .nqueues = 1},
				      {.proc = 2, .number = 0, .first_queue = 1, .nqueues = 1},
				      {.proc = 2, .number = 1, .first_queue = 2, .nqueues = 2}};
	struct vu__obs_queue qa[] = {{.dev = 0, .index = 0}, {.dev = 1, .index = 0},
				     {.dev = 1, .index = 3}};
	struct vu__obs_queue qb[] = {{.dev = 0, .index = 0}, {.dev = 1, .index = 0},
				     {.dev = 2, .index = 2}, {.dev = 2, .index = 3}};
	struct vu__obs_snapshot a = {.procs = pa, .nprocs = 2, .devs = da, .ndevs = 2,
				     .queues = qa, .nqueues = 3};
	struct vu__obs_snapshot b = {.procs = pb, .nprocs = 3, .devs = db, .ndevs = 3,
				     .queues = qb, .nqueues = 4};

	(void)state;
	/* The same number, but another process. */
	assert_null(vu__obs_find_queue(&a, &b, &qb[0]));
	/* Its device is new. */
	assert_null(vu__obs_find_queue(&a, &b, &qb[1]));
	/* A queue that was not there. */
	assert_null(vu__obs_find_queue(&a, &b, &qb[2]));
	assert_ptr_equal(vu__obs_find_queue(&a, &b, &qb[3]), &qa[2]);
	assert_ptr_equal(vu__obs_find_queue(&b, &a, &qa[2]), &qb[3]);
	assert_null(vu__obs_find_queue(&b, &a, &qa[1]));
	assert_ptr_equal(vu__obs_find_process(&b, 8, 3), &pb[1]);
	assert_null(vu__obs_find_process(&b, 8, 4));
}

/* --- indices --- */

static void index_goes_on_through_its_wrap(void **state)
{
	struct vu__obs_index i = {0};

	(void)state;
	vu__obs_index_see(&i, 65530, SECOND);
	assert_int_equal(i.total, 0);
	vu__obs_index_see(&i, 4, 2 * SECOND);
	assert_int_equal(i.total, 10);
	assert_false(i.doubt);
	vu__obs_index_see(&i, 4, 3 * SECOND);
	assert_int_equal(i.total, 10);
	/* A look that is not later counts for nothing. */
	vu__obs_index_see(&i, 5, 3 * SECOND);
	assert_int_equal(i.total, 10);
	for (unsigned int n = 0; n < 100; n++)
		vu__obs_index_see(&i, 4 + (n + 1) * 1000, (4 + n) * SECOND);
	assert_int_equal(i.total, 10 + 100000);
	assert_false(i.doubt);
}

static void index_that_may_have_wrapped_is_doubted(void **state)
{
	struct vu__obs_index i = {0}, fast = {0};

	(void)state;
	vu__obs_index_see(&i, 0, SECOND);
	vu__obs_index_see(&i, 40000, 2 * SECOND);
	assert_true(i.doubt);
	/* A million a second, then a pause: it may have gone round many times. */
	vu__obs_index_see(&fast, 0, SECOND);
	vu__obs_index_see(&fast, 1000, SECOND + 1000000);
	assert_false(fast.doubt);
	assert_in_range(vu__obs_index_patience(&fast), 10, 17);
	vu__obs_index_see(&fast, 1010, 2 * SECOND);
	assert_true(fast.doubt);
}

static void idle_index_is_looked_at_once_a_second(void **state)
{
	struct vu__obs_index i = {0};

	(void)state;
	assert_int_equal(vu__obs_index_patience(&i), 1000);
	i.pace = 1e12;
	assert_int_equal(vu__obs_index_patience(&i), 1);
}

/* --- places in packed rings --- */

#define SIZE 256

/* What @pace per second makes of a ring, looked at twice each @every. */
static void run_packed(struct vu__obs_index *i, double pace, uint64_t every, unsigned int looks)
{
	uint64_t now = SECOND, seen = 0;

	for (unsigned int n = 0; n < 2 * looks; n++) {
		uint64_t at = pace * (now - SECOND) / 1e9;
		uint32_t steps = (at - seen) % (2 * SIZE);

		vu__obs_place_see(i, at % SIZE, steps, steps, SIZE, now);
		seen = at;
		now += n % 2 ? every - VU__OBS_CLOSE_NS : VU__OBS_CLOSE_NS;
	}
}

static void place_that_is_looked_at_in_time(void **state)
{
	struct vu__obs_index i = {0};

	(void)state;
	assert_int_equal(vu__obs_index_patience(&i), 1000);
	run_packed(&i, 20000, 10000000, 100);
	assert_false(i.doubt);
	assert_in_range(i.total, 19800, 19805);
	assert_in_range(vu__obs_index_patience(&i), 4, 8);
}

/* A lap takes 0.3 ms: nobody sees each, and its pace says how many there were. */
static void place_that_goes_round_unseen(void **state)
{
	struct vu__obs_index i = {0};

	(void)state;
	run_packed(&i, 1000000, 5000000, 100);
	assert_true(i.doubt);
	assert_in_range(i.total, 400000, 500000);
	assert_int_equal(vu__obs_index_patience(&i), 4);
}

static void place_that_stays(void **state)
{
	struct vu__obs_index i = {0};

	(void)state;
	run_packed(&i, 0, 2 * SECOND, 10);
	assert_false(i.doubt);
	assert_int_equal(i.total, 0);
	assert_int_equal(vu__obs_index_patience(&i), 50);
	/* It was guessed to be two ahead, and is not. */
	vu__obs_place_see(&i, SIZE - 2, 2 * SIZE - 2, 2 * SIZE - 2, SIZE, 100 * SECOND);
	assert_int_equal(i.total, 0);
	assert_false(i.doubt);
	/* It moves, and nobody looked for a second. */
	vu__obs_place_see(&i, 3, 3, 3, SIZE, 101 * SECOND);
	assert_true(i.doubt);
}

/* --- histograms --- */

static void percentile_is_of_what_came_between(void **state)
{
	static const uint64_t upper[] = {10, 20, 40, UINT64_MAX};
	uint64_t before[] = {1000, 0, 0, 0}, after[] = {1000, 90, 9, 1};
	struct vu__obs_hist old = {.nbuckets = 4, .upper = upper, .count = before};
	struct vu__obs_hist now = {.nbuckets = 4, .upper = upper, .count = after};

	(void)state;
	close_to(vu__obs_percentile(&old, &now, 0.5), 20);
	close_to(vu__obs_percentile(&old, &now, 0.9), 20);
	close_to(vu__obs_percentile(&old, &now, 0.91), 40);
	close_to(vu__obs_percentile(&old, &now, 0.99), 40);
	assert_true(vu__obs_percentile(&old, &now, 1) > 1e18);
	close_to(vu__obs_percentile(NULL, &now, 0.5), 10);
	assert_true(vu__obs_percentile(&now, &now, 0.5) < 0);
	/* It began anew. */
	assert_true(vu__obs_percentile(&now, &old, 0.5) < 0);
}

/* --- roles --- */

static void roles_follow_the_type(void **state)
{
	(void)state;
	assert_int_equal(vu__obs_role_of(VIRTIO_ID_NET, 0, 2, 0), VU__OBS_ROLE_RX);
	assert_int_equal(vu__obs_role_of(VIRTIO_ID_NET, 3, 4, 0), VU__OBS_ROLE_TX);
	assert_int_equal(vu__obs_role_of(VIRTIO_ID_NET, 2, 3, 1 << 17), VU__OBS_ROLE_CTRL);
	assert_int_equal(vu__obs_role_of(VIRTIO_ID_NET, 2, 4, 1 << 17), VU__OBS_ROLE_RX);
	assert_int_equal(vu__obs_role_of(VIRTIO_ID_BLOCK, 7, 8, 0), VU__OBS_ROLE_REQUEST);
	assert_int_equal(vu__obs_role_of(VIRTIO_ID_SCSI, 1, 4, 0), VU__OBS_ROLE_EVENT);
	assert_int_equal(vu__obs_role_of(VIRTIO_ID_SCSI, 2, 4, 0), VU__OBS_ROLE_REQUEST);
	assert_int_equal(vu__obs_role_of(VIRTIO_ID_CONSOLE, 4, 6, 0), VU__OBS_ROLE_RX);
	assert_int_equal(vu__obs_role_of(VIRTIO_ID_VSOCK, 3, 4, 0), VU__OBS_ROLE_UNKNOWN);
	assert_int_equal(vu__obs_role_of(0, 0, 1, 0), VU__OBS_ROLE_UNKNOWN);
	assert_string_equal(vu__obs_role_name(VU__OBS_ROLE_EVENT), "event");
	assert_string_equal(vu__obs_role_name(99), "?");
}

static void every_counter_has_its_words(void **state)
{
	(void)state;
	for (unsigned int c = 0; c < VU__OBS_NCOUNTERS; c++) {
		assert_non_null(vu__obs_counters[c].name);
		assert_non_null(vu__obs_counters[c].unit);
		assert_non_null(vu__obs_counters[c].help);
		for (unsigned int d = 0; d < c; d++)
			assert_string_not_equal(vu__obs_counters[c].name,
						vu__obs_counters[d].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rate_is_over_the_measured_time),
		cmocka_unit_test(first_look_has_no_rate),
		cmocka_unit_test(rate_is_never_negative),
		cmocka_unit_test(lower_bound_is_passed_on),
		cmocka_unit_test(suppressed_share_needs_all_reasons),
		cmocka_unit_test(queues_are_matched_by_key),
		cmocka_unit_test(index_goes_on_through_its_wrap),
		cmocka_unit_test(index_that_may_have_wrapped_is_doubted),
		cmocka_unit_test(idle_index_is_looked_at_once_a_second),
		cmocka_unit_test(place_that_is_looked_at_in_time),
		cmocka_unit_test(place_that_goes_round_unseen),
		cmocka_unit_test(place_that_stays),
		cmocka_unit_test(percentile_is_of_what_came_between),
		cmocka_unit_test(roles_follow_the_type),
		cmocka_unit_test(every_counter_has_its_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
