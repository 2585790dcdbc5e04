/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rows of the decision table that look at a ring, on packed ones of 128 descriptors:
 * request 1000 is at slot 104 with the wrap counter at 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "scene.h"

/* --- healthy --- */

CASE(healthy_idle)
{
	pack(s);
	expect(s, VU__V_IDLE, VU__OBS_CERTAIN,
	       "avail slot 104 wrap 0, fetched slot 104 wrap 0, used slot 104 wrap 0 of 128");
	expect_healthy(s, VU__V_IDLE);
}

CASE(healthy_armed)
{
	add_waiting(s, 100);
	EACH(s, i) s->q[i].role = VU__OBS_ROLE_RX;
	pack(s);
	expect(s, VU__V_ARMED_IDLE, VU__OBS_CERTAIN, "100 buffers");
	expect_healthy(s, VU__V_ARMED_IDLE);
}

CASE(healthy_moving)
{
	make_foreign(s);
	EACH(s, i) {
		s->q[i].ring.avail_idx += 5 + 100 * i;
		s->q[i].ring.used_idx += 100 * i;
	}
	pack(s);
	expect(s, VU__V_MOVING, VU__OBS_CERTAIN, "avail slot 53 wrap 0, used slot 48 wrap 0");
	expect_healthy(s, VU__V_MOVING);
}

/* Its wrap counter alone has changed. */
CASE(healthy_moving_by_a_lap)
{
	make_foreign(s);
	EACH(s, i) {
		s->q[i].ring.avail_idx += 128 * i;
		s->q[i].ring.used_idx += 128 * i;
	}
	pack(s);
	expect_healthy(s, VU__V_MOVING);
}

/* Two laps later all is where it was, but for what was counted. */
CASE(healthy_moving_by_two_laps)
{
	make_foreign(s);
	add_waiting(s, 1);
	EACH(s, i) {
		know(&s->q[i], VU__OBS_COUNTERS, VU__OBS_PEEK);
		set_counter(&s->q[i], VU__OBS_COMPLETED, 256 * i);
	}
	pack(s);
	expect_healthy(s, VU__V_MOVING);
}

CASE(healthy_saturated)
{
	EACH(s, i) {
		s->q[i].ring.avail_idx += 126 + 1000 * i;
		s->q[i].ring.last_avail += 1000 * i;
		s->q[i].ring.used_idx += 1000 * i;
		s->q[i].counter[VU__OBS_COMPLETED] += 1000 * i;
	}
	pack(s);
	/* Of three descriptors each. */
	EACH(s, i) s->q[i].ring.pending = s->q[i].ring.outstanding = 42;
	expect(s, VU__V_BACKEND_SLOW, VU__OBS_LIKELY, "full nearly all the time");
	EACH(s, i) s->q[i].ring.slots = 42;
	expect_healthy(s, VU__V_MOVING);
}

CASE(healthy_polling)
{
	EACH(s, i) {
		s->q[i].worker.waits = VU__OBS_NO;
		s->q[i].counter[VU__OBS_LOOKS_EMPTY] = 1000000 * i;
	}
	pack(s);
	EACH(s, i) s->q[i].ring.used_flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	expect_healthy(s, VU__V_IDLE);
	EACH(s, i) s->q[i].ring.pending = s->q[i].ring.outstanding = 1;
	/* Stuck, but not for want of a kick. */
	assert_int_not_equal(judge(s, 0).id, VU__V_NOTIFY_LEFT_DISABLED);
}

CASE(healthy_suppressed)
{
	add_untold(s, 10);
	/* It comes back by itself: it waits for what is far ahead. */
	EACH(s, i) s->q[i].ring.used_event = 1010 + 64;
	pack(s);
	expect(s, VU__V_CALL_SUPPRESSED, VU__OBS_CERTAIN, "event index elsewhere");
	expect_healthy(s, VU__V_CALL_SUPPRESSED);
	EACH(s, i) s->q[i].ring.avail_flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	expect(s, VU__V_CALL_SUPPRESSED, VU__OBS_CERTAIN, "no interrupt");
}

/* --- row 1: places that cannot be --- */

CASE(row1_no_such_slot)
{
	pack(s);
	EACH(s, i) s->q[i].ring.last_avail = 200;
	expect(s, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "fetched slot 200 wrap 0");
}

CASE(row1_base_with_the_wrong_counter)
{
	add_waiting(s, 3);
	pack(s);
	EACH(s, i) {
		s->q[i].ring.last_avail ^= 0x8000;
		s->q[i].ring.used_idx ^= 0x8000;
	}
	expect(s, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "not ahead of the back-end");
	assert_non_null(strstr(judge(s, 0).next, "SET_VRING_BASE"));
}

/* As far behind as a full ring, but what is there is of another lap. */
CASE(row1_astray)
{
	pack(s);
	EACH(s, i) {
		s->q[i].ring.last_avail ^= 0x8000;
		s->q[i].ring.used_idx ^= 0x8000;
		s->q[i].ring.astray = true;
	}
	expect(s, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "not what the back-end looks for");
	/* At the last look only: it may just have gone on. */
	s->q[0].ring.astray = false;
	assert_int_not_equal(judge(s, 0).id, VU__V_RING_CORRUPT);
	s->q[0].ring.astray = true;
	/* A ring that is stopped may be set up anew by its driver. */
	EACH(s, i) s->q[i].setup.started = VU__OBS_NO;
	assert_int_not_equal(judge(s, 0).id, VU__V_RING_CORRUPT);
}

CASE(row1_base_behind)
{
	EACH(s, i) s->q[i].ring.last_avail = 995;
	pack(s);
	expect(s, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "fetched more than the ring has slots");
	EACH(s, i) s->q[i].ring.used_idx = s->q[i].ring.last_avail;
	/* 133 ahead: more than there are. */
	EACH(s, i) s->q[i].ring.avail_idx = vu__circle_place((995 + 133) % 256, 128);
	expect(s, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "not ahead");
}

CASE(row1_more_than_all)
{
	EACH(s, i) {
		s->q[i].ring.avail_idx = 1000 + 170;
		s->q[i].ring.last_avail = 1000 + 60;
		s->q[i].counter[VU__OBS_POPPED] += 60;
	}
	pack(s);
	expect(s, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "more than the ring ahead");
}

/* --- work that waits --- */

CASE(row3_stopped)
{
	add_waiting(s, 3);
	EACH(s, i) {
		s->q[i].setup.started = VU__OBS_NO;
		s->q[i].setup.stopped_ns = LAST - 5000 * MS;
	}
	pack(s);
	expect(s, VU__V_STOPPED_WITH_WORK, VU__OBS_CERTAIN,
	       "3 requests wait: avail slot 107 wrap 0, fetched slot 104 wrap 0");
}

CASE(row4_disabled)
{
	add_waiting(s, 3);
	EACH(s, i) s->q[i].setup.enabled = VU__OBS_NO;
	pack(s);
	expect(s, VU__V_DISABLED_WITH_WORK, VU__OBS_CERTAIN, "avail slot 107 wrap 0");
}

CASE(row5_eaten)
{
	add_waiting(s, 3);
	EACH(s, i) s->q[i].setup.enabled_ns = 10500 * MS;
	pack(s);
	expect(s, VU__V_KICK_EATEN_BEFORE_ENABLE, VU__OBS_CERTAIN, "3 requests");
}

CASE(row6_not_watched)
{
	add_waiting(s, 1);
	EACH(s, i) {
		s->q[i].kick.count = 1;
		s->q[i].worker.watches = VU__OBS_NO;
	}
	pack(s);
	expect(s, VU__V_KICK_NOT_WATCHED, VU__OBS_CERTAIN, "has 1 for 1.4 s");
}

CASE(row7_stalled)
{
	add_waiting(s, 1);
	EACH(s, i) {
		s->q[i].kick.count = 1;
		s->q[i].worker.waits = VU__OBS_NO;
		s->q[i].worker.state = 'D';
	}
	pack(s);
	expect(s, VU__V_BACKEND_STALLED, VU__OBS_CERTAIN, "1 requests wait");
}

CASE(row8_consumed)
{
	add_waiting(s, 3);
	EACH(s, i) s->q[i].times.kick_ns = FIRST - 10 * MS;
	pack(s);
	expect(s, VU__V_KICK_CONSUMED_NO_WORK, VU__OBS_LIKELY, "avail slot 107 wrap 0");
}

CASE(row9_left_disabled)
{
	add_waiting(s, 3);
	pack(s);
	/* Of packed rings with event indices, too. */
	EACH(s, i) s->q[i].ring.used_flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	expect(s, VU__V_NOTIFY_LEFT_DISABLED, VU__OBS_CERTAIN, "(DISABLE)");
	EACH(s, i) s->q[i].setup.event_idx = false;
	expect(s, VU__V_NOTIFY_LEFT_DISABLED, VU__OBS_CERTAIN, "3 requests wait: avail slot 107");
	EACH(s, i) s->q[i].ring.used_flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	expect(s, VU__V_KICK_LOST_IN_GUEST, VU__OBS_POSSIBLE, "should have kicked");
}

CASE(row10_stale)
{
	add_waiting(s, 3);
	EACH(s, i) s->q[i].ring.avail_event = 990;
	pack(s);
	expect(s, VU__V_KICK_SUPPRESSED_STALE_EVENT, VU__OBS_CERTAIN,
	       "avail_event is slot 94 wrap 0, which the driver does not pass between "
	       "slot 104 wrap 0 and slot 107 wrap 0");
	/* The slot is right, and its lap the one before. */
	EACH(s, i) s->q[i].ring.avail_event = 0x8000 | 104;
	expect(s, VU__V_KICK_SUPPRESSED_STALE_EVENT, VU__OBS_CERTAIN, "slot 104 wrap 1");
	EACH(s, i) s->q[i].ring.avail_event = 104;
	expect(s, VU__V_KICK_LOST_IN_GUEST, VU__OBS_POSSIBLE, "3 requests");
	/* It is to be kicked at any. */
	EACH(s, i) {
		s->q[i].ring.avail_event = 94;
		s->q[i].ring.used_flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	}
	expect(s, VU__V_KICK_LOST_IN_GUEST, VU__OBS_POSSIBLE, "3 requests");
}

/* The driver goes through the end of the ring. */
CASE(row10_at_the_wrap)
{
	EACH(s, i) {
		s->q[i].ring.avail_event = s->q[i].ring.used_event = s->q[i].ring.last_avail =
			s->q[i].ring.used_idx = 1023;
		s->q[i].times.called_used_idx = 1023;
		s->q[i].ring.avail_idx = 1025;
		s->q[i].ring.pending = 2;
	}
	pack(s);
	expect(s, VU__V_KICK_LOST_IN_GUEST, VU__OBS_POSSIBLE, "avail slot 1 wrap 1, fetched slot 127");
	EACH(s, i) s->q[i].ring.avail_event = 0x8000 | 1;
	expect(s, VU__V_KICK_SUPPRESSED_STALE_EVENT, VU__OBS_CERTAIN, "avail_event is slot 1 wrap 1");
}

CASE(row11_to_13_what_kvm_adds)
{
	add_waiting(s, 3);
	pack(s);
	trace(s, VU__OBS_NO, 0, 0);
	expect(s, VU__V_IOEVENTFD_MISSING, VU__OBS_CERTAIN, "id 5");
	trace(s, VU__OBS_YES, 4, 0);
	expect(s, VU__V_IOEVENTFD_MISMATCH, VU__OBS_CERTAIN, "8 guest exits");
	trace(s, VU__OBS_YES, 0, 0);
	expect(s, VU__V_KICK_LOST_IN_GUEST, VU__OBS_CERTAIN, "avail slot 107 wrap 0");
}

CASE(row15_io_stalled)
{
	add_in_flight(s, 5, LAST - 3000 * MS);
	add_waiting(s, 7);
	EACH(s, i) s->q[i].times.kick_ns = s->q[i].times.wake_ns = LAST - 2000 * MS;
	pack(s);
	expect(s, VU__V_BACKEND_IO_STALLED, VU__OBS_CERTAIN, "5 requests were fetched");
	expect(s, VU__V_BACKEND_IO_STALLED, VU__OBS_CERTAIN, "7 more wait");
}

CASE(row17_starved)
{
	EACH(s, i) {
		s->q[i].role = VU__OBS_ROLE_RX;
		s->q[i].counter[VU__OBS_LOOKS_EMPTY] = 40 * i;
	}
	pack(s);
	expect(s, VU__V_RX_STARVED, VU__OBS_LIKELY, "80 times");
}

/* --- calls --- */

CASE(row18_call_lost)
{
	add_untold(s, 2);
	pack(s);
	expect(s, VU__V_CALL_LOST, VU__OBS_CERTAIN,
	       "wants a call at slot 104 wrap 0, the used index is slot 106 wrap 0");
	/* What it waits for was done before the last call: that was taken, or got lost. */
	EACH(s, i) s->q[i].ring.past_event = 3;
	EACH(s, i) s->q[i].ring.used_event -= 1;
	assert_int_not_equal(judge(s, 0).id, VU__V_CALL_LOST);
	EACH(s, i) s->q[i].ring.avail_flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	expect(s, VU__V_CALL_LOST, VU__OBS_LIKELY, "last 2 completions");
	EACH(s, i) s->q[i].times.untold = 0;
	expect_healthy(s, VU__V_IDLE);
}

CASE(row20_no_fd)
{
	add_untold(s, 2);
	EACH(s, i) s->q[i].call.fd = VU__OBS_FD_NONE;
	pack(s);
	expect(s, VU__V_CALL_NO_FD, VU__OBS_CERTAIN, "the driver waits");
	assert_int_equal(judge(s, 0).severity, VU__OBS_WARNING);
}

CASE(row21_unconsumed)
{
	called(s);
	EACH(s, i) s->q[i].call.count = 2;
	pack(s);
	expect(s, VU__V_CALL_UNCONSUMED, VU__OBS_LIKELY, "the driver waits for it");
	assert_int_equal(judge(s, 0).severity, VU__OBS_CRITICAL);
	EACH(s, i) s->q[i].ring.avail_flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	expect_healthy(s, VU__V_CALL_UNCONSUMED);
}

CASE(row22_and_23_what_tracing_adds)
{
	called(s);
	pack(s);
	expect(s, VU__V_GUEST_NOT_CONSUMING, VU__OBS_LIKELY,
	       "waits at slot 104 wrap 0, the used index is slot 106 wrap 0");
	trace(s, VU__OBS_YES, 0, 0);
	expect(s, VU__V_IRQ_NOT_INJECTED, VU__OBS_CERTAIN, "no interrupt");
	EACH(s, i) s->q[i].kvm.last_interrupt_ns = FIRST - 49 * MS;
	expect(s, VU__V_GUEST_NOT_CONSUMING, VU__OBS_CERTAIN, "injected");
}

/* --- foreign back-ends --- */

CASE(foreign_idle)
{
	make_foreign(s);
	pack(s);
	expect(s, VU__V_IDLE, VU__OBS_CERTAIN, "avail slot 104 wrap 0, used slot 104 wrap 0 of 128");
}

CASE(foreign_stalls)
{
	make_foreign(s);
	EACH(s, i) s->q[i].ring.avail_idx += 5;
	/* It has armed itself at the end, so it has seen them all. */
	EACH(s, i) s->q[i].ring.avail_event = 1005;
	pack(s);
	expect(s, VU__V_BACKEND_IO_STALLED, VU__OBS_LIKELY, "has seen all");
	EACH(s, i) s->q[i].ring.avail_event = 84;
	expect(s, VU__V_KICK_SUPPRESSED_STALE_EVENT, VU__OBS_POSSIBLE, "slot 84 wrap 0");
	EACH(s, i) s->q[i].ring.avail_event = 104;
	expect(s, VU__V_BACKEND_IO_STALLED, VU__OBS_POSSIBLE, "the kick was read");
	EACH(s, i) s->q[i].ring.used_flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	expect(s, VU__V_NOTIFY_LEFT_DISABLED, VU__OBS_POSSIBLE, "5 requests wait");
	/* It polls. */
	EACH(s, i) s->q[i].from[VU__OBS_KICK] = VU__OBS_UNKNOWN;
	EACH(s, i) s->q[i].from[VU__OBS_WORKER] = VU__OBS_UNKNOWN;
	expect(s, VU__V_STUCK, VU__OBS_POSSIBLE, "5 requests wait for 1.4 s: avail slot 109");
	EACH(s, i) s->proc[i].state = 'T';
	expect(s, VU__V_BACKEND_STALLED, VU__OBS_CERTAIN, "stopped by a signal");
}

CASE(foreign_stopped)
{
	make_foreign(s);
	EACH(s, i) s->q[i].setup.started = VU__OBS_NO;
	EACH(s, i) s->q[i].ring.avail_idx += 2;
	pack(s);
	expect(s, VU__V_STOPPED_WITH_WORK, VU__OBS_LIKELY, "2 requests wait: avail slot 106");
}

/* --- anything else --- */

static void nonsense_is_judged(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (unsigned int round = 0; round < 20000; round++) {
		struct scene s;
		struct vu__obs_verdict v;

		set_up(&s);
		if (round % 2)
			make_foreign(&s);
		pack(&s);
		for (unsigned int i = 0; i < LOOKS; i++) {
			uint8_t *bytes = (uint8_t *)&s.q[i].ring;

			for (unsigned int n = 0; n < 8; n++) {
				seed = seed * 1103515245 + 12345;
				bytes[(seed >> 8) % sizeof(s.q[i].ring)] = seed >> 4;
			}
			*(uint8_t *)&s.q[i].ring.torn &= 1;
			*(uint8_t *)&s.q[i].ring.astray &= 1;
			s.q[i].setup.size = seed % 7 ? 128 : seed % 32769;
		}
		v = judge(&s, 0);
		assert_true(v.id < VU__V_COUNT);
		assert_true(memchr(v.evidence, '\0', sizeof(v.evidence)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(healthy_idle),
		cmocka_unit_test(healthy_armed),
		cmocka_unit_test(healthy_moving),
		cmocka_unit_test(healthy_moving_by_a_lap),
		cmocka_unit_test(healthy_moving_by_two_laps),
		cmocka_unit_test(healthy_saturated),
		cmocka_unit_test(healthy_polling),
		cmocka_unit_test(healthy_suppressed),
		cmocka_unit_test(row1_no_such_slot),
		cmocka_unit_test(row1_base_with_the_wrong_counter),
		cmocka_unit_test(row1_astray),
		cmocka_unit_test(row1_base_behind),
		cmocka_unit_test(row1_more_than_all),
		cmocka_unit_test(row3_stopped),
		cmocka_unit_test(row4_disabled),
		cmocka_unit_test(row5_eaten),
		cmocka_unit_test(row6_not_watched),
		cmocka_unit_test(row7_stalled),
		cmocka_unit_test(row8_consumed),
		cmocka_unit_test(row9_left_disabled),
		cmocka_unit_test(row10_stale),
		cmocka_unit_test(row10_at_the_wrap),
		cmocka_unit_test(row11_to_13_what_kvm_adds),
		cmocka_unit_test(row15_io_stalled),
		cmocka_unit_test(row17_starved),
		cmocka_unit_test(row18_call_lost),
		cmocka_unit_test(row20_no_fd),
		cmocka_unit_test(row21_unconsumed),
		cmocka_unit_test(row22_and_23_what_tracing_adds),
		cmocka_unit_test(foreign_idle),
		cmocka_unit_test(foreign_stalls),
		cmocka_unit_test(foreign_stopped),
		cmocka_unit_test(nonsense_is_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
