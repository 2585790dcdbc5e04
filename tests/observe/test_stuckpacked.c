/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As test_stuck.c, with packed rings: what of the decision table rests on places in the
 * ring.  VU_VERBOSE=1 shows the words.
 */
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "observe/packed.h"
#include "tests/observe/badback.h"
#include "wire/spec.h"

#define NO_EVENT_IDX VU_BIT(VU__F_EVENT_IDX)

static void begin(struct rig *r, enum bad bad, uint64_t not_features)
{
	/* A number that is no power of two: that is for packed rings only. */
	rig_start(r, &(struct rig_options){.bad = bad,
					   .not_features = not_features,
					   .num = 60,
					   .packed = true});
}

/* Both sides are at request @n, of two descriptors each, in a ring of 60. */
static void expect_places(const struct rig *r, unsigned int fetched, unsigned int used)
{
	const struct vu__obs_queue *q = rig_queue(r, 0);

	assert_true(q->setup.packed);
	assert_int_equal(vu__circle_position(q->ring.last_avail, 60), 2 * fetched % 120);
	assert_int_equal(vu__circle_position(q->ring.used_idx, 60), 2 * used % 120);
}

/* Through the end of the ring. */
static void idle_is_no_alarm(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, BAD_NOT, 0);
	for (unsigned int i = 0; i < 5; i++) {
		rig_submit(&r, 10);
		rig_kick(&r);
		rig_reap(&r);
	}
	rig_expect_healthy(&r, VU__V_IDLE, 1000, NULL);
	expect_places(&r, 50, 50);
	assert_int_equal(rig_queue(&r, 0)->counter[VU__OBS_AVAILABLE], 50);
	assert_int_equal(rig_queue(&r, 0)->counter[VU__OBS_COMPLETED], 50);
	rig_end(&r);
}

static void traffic(struct rig *r)
{
	rig_submit(r, 4);
	rig_kick(r);
	rig_reap(r);
}

static void moving_is_no_alarm(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, BAD_NOT, 0);
	rig_expect_healthy(&r, VU__V_MOVING, 1000, traffic);
	assert_true(rig_queue(&r, 0)->counter[VU__OBS_COMPLETED] > 100);
	rig_end(&r);
}

/* The front-end sent a base of the lap before. */
static void wrong_base(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, BAD_SWALLOW, 0);
	rig_submit(&r, 4);
	assert_int_equal(vu_frontend_queue_stop(r.q, NULL), 0);
	assert_int_equal(vu_frontend_set_vring_base(r.fe, 0, 0), 0);
	assert_int_equal(vu_frontend_set_vring_kick(r.fe, 0, vu_frontend_kick_fd(r.q)),
			 0);
	rig_expect(&r, VU__V_RING_CORRUPT, VU__OBS_CERTAIN,
		   "avail slot 8 wrap 1, fetched slot 0 wrap 0");
	rig_end(&r);
}

static void stopped_under_load(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, BAD_SWALLOW, 0);
	rig_submit(&r, 5);
	rig_kick(&r);
	assert_int_equal(vu_frontend_queue_stop(r.q, NULL), 0);
	rig_expect(&r, VU__V_STOPPED_WITH_WORK, VU__OBS_LIKELY,
		   "5 requests wait: avail slot 10 wrap 1, fetched slot 0 wrap 1");
	rig_end(&r);
}

static void kick_not_watched(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, BAD_UNWATCHED, 0);
	rig_submit(&r, 2);
	rig_kick(&r);
	rig_expect(&r, VU__V_KICK_NOT_WATCHED, VU__OBS_CERTAIN, "without it");
	rig_end(&r);
}

static void kick_swallowed(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, BAD_SWALLOW, 0);
	rig_submit(&r, 2);
	rig_kick(&r);
	rig_expect(&r, VU__V_KICK_CONSUMED_NO_WORK, VU__OBS_LIKELY, "2 requests wait");
	rig_end(&r);
}

static void driver_never_kicks(void **state)
{
	const uint64_t features[] = {0, NO_EVENT_IDX};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(features); i++) {
		struct rig r;

		begin(&r, BAD_NOT, features[i]);
		traffic(&r);
		rig_submit(&r, 2);
		rig_expect(&r, VU__V_KICK_LOST_IN_GUEST, VU__OBS_POSSIBLE,
			   "avail slot 12 wrap 1, fetched slot 8 wrap 1");
		vu__event_signal(vu_frontend_kick_fd(r.q));
		rig_reap(&r);
		rig_end(&r);
	}
}

static void requests_held(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, BAD_HOLD, 0);
	rig_submit(&r, 7);
	rig_kick(&r);
	rig_expect(&r, VU__V_BACKEND_IO_STALLED, VU__OBS_CERTAIN,
		   "7 requests were fetched and not completed");
	expect_places(&r, 7, 0);
	assert_int_equal(rig_queue(&r, 0)->ring.outstanding, 7);
	assert_int_equal(rig_queue(&r, 0)->ring.slots, 14);
	rig_end(&r);
}

static void call_skipped(void **state)
{
	const uint64_t features[] = {0, NO_EVENT_IDX};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(features); i++) {
		struct rig r;

		begin(&r, BAD_NO_CALL, features[i]);
		vu_frontend_want_calls(r.q, true);
		rig_submit(&r, 2);
		rig_kick(&r);
		rig_expect(&r, VU__V_CALL_LOST, VU__OBS_LIKELY, "call");
		assert_int_equal(r.verdict.confidence,
				 features[i] ? VU__OBS_LIKELY : VU__OBS_CERTAIN);
		rig_end(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_is_no_alarm),
		cmocka_unit_test(moving_is_no_alarm),
		cmocka_unit_test(wrong_base),
		cmocka_unit_test(stopped_under_load),
		cmocka_unit_test(kick_not_watched),
		cmocka_unit_test(kick_swallowed),
		cmocka_unit_test(driver_never_kicks),
		cmocka_unit_test(requests_held),
		cmocka_unit_test(call_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
