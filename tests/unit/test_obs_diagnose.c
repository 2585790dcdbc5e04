/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every row of the decision table, and every healthy pattern, on plain structures.
 * test_obs_diagnosepacked.c has those of packed rings.
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
	expect(s, VU__V_IDLE, VU__OBS_CERTAIN, "avail 1000, fetched 1000, used 1000 of 128");
	expect_healthy(s, VU__V_IDLE);
}

CASE(healthy_armed)
{
	add_waiting(s, 100);
	EACH(s, i) {
		s->q[i].role = VU__OBS_ROLE_RX;
		/* The driver kicks when it refills, and a device need not read that. */
		s->q[i].kick.count = 3;
	}
	expect_healthy(s, VU__V_ARMED_IDLE);
	EACH(s, i) s->q[i].role = VU__OBS_ROLE_EVENT;
	expect_healthy(s, VU__V_ARMED_IDLE);
}

CASE(healthy_armed_and_fetched)
{
	add_in_flight(s, 100, 5000 * MS);
	EACH(s, i) s->q[i].role = VU__OBS_ROLE_RX;
	expect_healthy(s, VU__V_ARMED_IDLE);
}

CASE(healthy_moving)
{
	add_waiting(s, 3);
	EACH(s, i) {
		s->q[i].ring.avail_idx += 100 * i;
		s->q[i].ring.last_avail += 100 * i;
		s->q[i].ring.used_idx += 100 * i;
		s->q[i].counter[VU__OBS_POPPED] += 100 * i;
		s->q[i].counter[VU__OBS_COMPLETED] += 100 * i;
		s->q[i].kick.count = 1;
	}
	expect(s, VU__V_MOVING, VU__OBS_CERTAIN, "200 requests completed in 1.4 s");
	expect_healthy(s, VU__V_MOVING);
}

CASE(healthy_saturated)
{
	add_waiting(s, 128);
	EACH(s, i) {
		s->q[i].ring.avail_idx += 1000 * i;
		s->q[i].ring.last_avail += 1000 * i;
		s->q[i].ring.used_idx += 1000 * i;
		s->q[i].counter[VU__OBS_POPPED] += 1000 * i;
		s->q[i].counter[VU__OBS_COMPLETED] += 1000 * i;
	}
	/* Row 14: worth knowing, no alarm. */
	expect(s, VU__V_BACKEND_SLOW, VU__OBS_LIKELY, "full nearly all the time");
	expect_healthy(s, VU__V_BACKEND_SLOW);
	s->q[1].ring.avail_idx -= 100;
	s->q[1].ring.pending -= 100;
	expect_healthy(s, VU__V_MOVING);
}

/* It never reads kicks, and its driver is told not to send any. */
CASE(healthy_polling)
{
	without_event_idx(s);
	EACH(s, i) {
		s->q[i].ring.used_flags = 1;
		s->q[i].kick.count = 1;
		s->q[i].worker.state = 'R';
		s->q[i].worker.syscall = -1;
		s->q[i].worker.waits = VU__OBS_NO;
		s->q[i].counter[VU__OBS_LOOKS_EMPTY] = 1000000 * i;
	}
	expect_healthy(s, VU__V_IDLE);
}

CASE(healthy_suppressed)
{
	add_untold(s, 10);
	EACH(s, i) s->q[i].ring.used_event = 999 + 32768;
	expect(s, VU__V_CALL_SUPPRESSED, VU__OBS_CERTAIN, "10 completions without a call");
	expect_healthy(s, VU__V_CALL_SUPPRESSED);
	without_event_idx(s);
	EACH(s, i) s->q[i].ring.avail_flags = 1;
	expect_healthy(s, VU__V_CALL_SUPPRESSED);
}

/* Drivers of tx queues leave the event index behind, and take what is done later. */
CASE(healthy_tx_with_stale_event)
{
	EACH(s, i) {
		s->q[i].role = VU__OBS_ROLE_TX;
		s->q[i].ring.used_event = 990;
	}
	expect_healthy(s, VU__V_IDLE);
	EACH(s, i) {
		s->q[i].role = VU__OBS_ROLE_CTRL;
		s->q[i].call.count = 1;
	}
	expect_healthy(s, VU__V_CALL_UNCONSUMED);
}

CASE(healthy_work_that_just_came)
{
	s->q[2].ring.avail_idx += 4;
	s->q[2].ring.pending = 4;
	s->q[2].kick.count = 1;
	expect_healthy(s, VU__V_MOVING);
}

CASE(healthy_slow_requests_within_patience)
{
	add_in_flight(s, 4, LAST - 900 * MS);
	expect_healthy(s, VU__V_MOVING);
	/* Twice as long, but so are others. */
	EACH(s, i) s->q[i].times.oldest_ns = FIRST - 10 * MS;
	assert_int_equal(judge(s, 0).id, VU__V_BACKEND_IO_STALLED);
	assert_int_equal(judge(s, 3000 * MS).severity, VU__OBS_OK);
}

CASE(healthy_unused)
{
	EACH(s, i) {
		memset(&s->q[i].setup, 0, sizeof(s->q[i].setup));
		s->q[i].setup.started = VU__OBS_NO;
		s->q[i].from[VU__OBS_RING] = s->q[i].from[VU__OBS_POSITION] = 0;
	}
	expect_healthy(s, VU__V_NOT_IN_USE);
	EACH(s, i) s->dev[i].connected = VU__OBS_NO;
	expect_healthy(s, VU__V_NOT_IN_USE);
}

CASE(healthy_spurious)
{
	EACH(s, i) {
		s->q[i].counter[VU__OBS_KICKS] += 100 * i;
		s->q[i].counter[VU__OBS_WAKEUPS] += 100 * i;
		s->q[i].counter[VU__OBS_EMPTY_WAKEUPS] += 90 * i;
	}
	expect(s, VU__V_SPURIOUS_KICKS, VU__OBS_CERTAIN, "180 of 200");
	expect_healthy(s, VU__V_SPURIOUS_KICKS);
}

/* --- discipline --- */

CASE(one_look_is_not_enough)
{
	add_waiting(s, 4);
	s->looks = 1;
	expect(s, VU__V_UNSEEN, VU__OBS_POSSIBLE, "once");
	s->looks = 0;
	expect(s, VU__V_UNSEEN, VU__OBS_POSSIBLE, "not looked at");
}

CASE(torn_looks_do_not_count)
{
	add_waiting(s, 4);
	EACH(s, i) {
		s->q[i].worker.waits = VU__OBS_NO;
		s->q[i].worker.state = 'D';
	}
	s->q[0].ring.torn = s->q[2].ring.torn = true;
	assert_int_equal(judge(s, 0).id, VU__V_UNSEEN);
	s->q[1].ring.torn = true;
	expect(s, VU__V_UNSEEN, VU__OBS_POSSIBLE, "moved whenever");
	s->q[0].ring.torn = s->q[1].ring.torn = false;
	assert_int_equal(judge(s, 0).id, VU__V_BACKEND_STALLED);
}

CASE(two_looks_in_a_hurry_are_not_enough)
{
	add_waiting(s, 4);
	EACH(s, i) {
		s->q[i].worker.waits = VU__OBS_NO;
		s->q[i].worker.state = 'D';
		s->q[i].mono_ns = LAST - (LOOKS - 1 - i) * 200 * MS;
	}
	assert_int_equal(judge(s, 0).severity, VU__OBS_OK);
}

CASE(progress_begins_the_time_anew)
{
	add_waiting(s, 4);
	EACH(s, i) s->q[i].kick.count = 1;
	EACH(s, i) s->q[i].worker.watches = VU__OBS_NO;
	s->q[0].counter[VU__OBS_COMPLETED] -= 1;
	s->q[0].ring.used_idx -= 1;
	assert_int_equal(judge(s, 0).id, VU__V_KICK_NOT_WATCHED);
	s->q[1].counter[VU__OBS_COMPLETED] -= 1;
	s->q[1].ring.used_idx -= 1;
	assert_int_equal(judge(s, 0).id, VU__V_MOVING);
}

/* --- rows --- */

CASE(row1_broken)
{
	EACH(s, i) {
		s->q[i].setup.broken = true;
		strcpy(s->q[i].setup.why, "a chain with a loop");
	}
	expect(s, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "a chain with a loop");
}

CASE(row1_indices)
{
	add_waiting(s, 129);
	expect(s, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "avail 1129, fetched 1000");
}

CASE(row1_base_behind)
{
	EACH(s, i) {
		s->q[i].ring.last_avail = 500;
		s->q[i].ring.avail_idx = 500;
		s->q[i].ring.in_flight = (uint16_t)(500 - 1000);
	}
	expect(s, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "in flight");
}

CASE(row1_head)
{
	add_waiting(s, 1);
	EACH(s, i) s->q[i].ring.head = 128;
	expect(s, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "descriptor 128");
}

CASE(row1_foreign)
{
	make_foreign(s);
	EACH(s, i) s->q[i].ring.avail_idx = 2000;
	/* The address may be that of another ring by now. */
	expect(s, VU__V_RING_CORRUPT, VU__OBS_POSSIBLE, "avail 2000, used 1000");
}

CASE(row_dead)
{
	EACH(s, i) s->proc[i].alive = false;
	expect(s, VU__V_BACKEND_GONE, VU__OBS_CERTAIN, "process 70 (blk) is dead");
	assert_int_equal(judge(s, 0).severity, VU__OBS_CRITICAL);
	EACH(s, i) s->dev[i].replaced_by = 71;
	expect(s, VU__V_BACKEND_GONE, VU__OBS_CERTAIN, "process 71 serves its socket now");
	assert_int_equal(judge(s, 0).severity, VU__OBS_INFO);
	EACH(s, i) s->dev[i].replaced_by = 0;
	EACH(s, i) s->dev[i].peer_gone = true;
	expect(s, VU__V_BACKEND_GONE, VU__OBS_CERTAIN, "its front-end is dead, too");
	assert_int_equal(judge(s, 0).severity, VU__OBS_INFO);
	EACH(s, i) s->dev[i].peer_gone = false;
	EACH(s, i) s->q[i].setup.started = VU__OBS_NO;
	assert_int_equal(judge(s, 0).severity, VU__OBS_INFO);
}

CASE(row2_front_end_gone)
{
	add_in_flight(s, 2, 5000 * MS);
	EACH(s, i) s->dev[i].connected = VU__OBS_NO;
	expect(s, VU__V_FRONTEND_GONE, VU__OBS_CERTAIN, "2 requests in flight");
}

CASE(row3_stopped)
{
	add_waiting(s, 3);
	EACH(s, i) {
		s->q[i].setup.started = VU__OBS_NO;
		s->q[i].setup.stopped_ns = LAST - 5000 * MS;
	}
	expect(s, VU__V_STOPPED_WITH_WORK, VU__OBS_CERTAIN, "5.0 s ago, and 3 requests wait");
	assert_non_null(strstr(judge(s, 0).next, "x-query-virtio-queue-status"));
	EACH(s, i) s->dev[i].vmm = -1;
	expect(s, VU__V_STOPPED_WITH_WORK, VU__OBS_LIKELY, "3 requests");
}

CASE(row3_paused)
{
	add_waiting(s, 3);
	EACH(s, i) {
		s->q[i].setup.started = VU__OBS_NO;
		s->q[i].setup.stopped_ns = LAST - 5000 * MS;
		s->vmm[i].vcpus_run = VU__OBS_NO;
		strcpy(s->vmm[i].run_state, "paused");
	}
	expect(s, VU__V_VM_PAUSED, VU__OBS_CERTAIN, "paused");
	expect_healthy(s, VU__V_VM_PAUSED);
}

CASE(row4_disabled)
{
	add_waiting(s, 3);
	EACH(s, i) s->q[i].setup.enabled = VU__OBS_NO;
	expect(s, VU__V_DISABLED_WITH_WORK, VU__OBS_CERTAIN, "not enabled, and 3");
}

CASE(row5_eaten)
{
	add_waiting(s, 3);
	EACH(s, i) s->q[i].setup.enabled_ns = 10500 * MS;
	expect(s, VU__V_KICK_EATEN_BEFORE_ENABLE, VU__OBS_CERTAIN, "0.502 s before");
	/* It looked after it was enabled. */
	EACH(s, i) s->q[i].times.wake_ns = 10600 * MS;
	assert_int_not_equal(judge(s, 0).id, VU__V_KICK_EATEN_BEFORE_ENABLE);
}

CASE(row6_not_watched)
{
	add_waiting(s, 1);
	EACH(s, i) {
		s->q[i].kick.count = 1;
		s->q[i].worker.watches = VU__OBS_NO;
	}
	expect(s, VU__V_KICK_NOT_WATCHED, VU__OBS_CERTAIN, "kick eventfd (fd 10) has 1 for 1.4 s");
	EACH(s, i) s->q[i].worker.watches = VU__OBS_MAYBE;
	expect(s, VU__V_KICK_NOT_WATCHED, VU__OBS_LIKELY, "thread 77");
	/* Edge-triggered. */
	EACH(s, i) s->q[i].worker.watches = VU__OBS_YES;
	expect(s, VU__V_KICK_NOT_WATCHED, VU__OBS_LIKELY, "includes it");
}

CASE(row7_stalled)
{
	add_waiting(s, 1);
	EACH(s, i) {
		s->q[i].kick.count = 1;
		s->q[i].worker.waits = VU__OBS_NO;
		s->q[i].worker.state = 'D';
		strcpy(s->q[i].worker.wchan, "io_schedule");
	}
	expect(s, VU__V_BACKEND_STALLED, VU__OBS_CERTAIN, "in io_schedule");
	/* It read the kick, and then got stuck. */
	EACH(s, i) s->q[i].kick.count = 0;
	expect(s, VU__V_BACKEND_STALLED, VU__OBS_LIKELY, "thread 77 (worker)");
	/* A computation without an end. */
	EACH(s, i) s->q[i].worker.state = 'R';
	expect(s, VU__V_BACKEND_STALLED, VU__OBS_LIKELY, "runs");
}

CASE(row7_signal)
{
	add_waiting(s, 1);
	EACH(s, i) {
		s->q[i].kick.count = 1;
		s->q[i].worker.state = s->proc[i].state = 'T';
		s->q[i].worker.waits = VU__OBS_NO;
	}
	expect(s, VU__V_BACKEND_STALLED, VU__OBS_CERTAIN, "stopped by a signal; 1 requests wait");
	assert_int_equal(judge(s, 0).severity, VU__OBS_CRITICAL);
}

CASE(row7_signal_while_idle)
{
	EACH(s, i) s->proc[i].state = 't';
	expect(s, VU__V_BACKEND_STALLED, VU__OBS_CERTAIN, "debugger; 0 requests");
	assert_int_equal(judge(s, 0).severity, VU__OBS_WARNING);
}

CASE(row8_consumed)
{
	add_waiting(s, 3);
	EACH(s, i) s->q[i].times.kick_ns = FIRST - 10 * MS;
	expect(s, VU__V_KICK_CONSUMED_NO_WORK, VU__OBS_LIKELY, "nothing was fetched after it");
	s->q[2].counter[VU__OBS_KICKS] += 2;
	expect(s, VU__V_KICK_CONSUMED_NO_WORK, VU__OBS_CERTAIN, "2 kicks were read");
}

CASE(row9_left_disabled)
{
	without_event_idx(s);
	add_waiting(s, 3);
	EACH(s, i) s->q[i].ring.used_flags = 1;
	expect(s, VU__V_NOTIFY_LEFT_DISABLED, VU__OBS_CERTAIN, "no notify");
	/* The last wake-up found nothing, and that is why it read a kick later. */
	EACH(s, i) s->q[i].times.kick_ns = s->q[i].times.wake_ns = 10001 * MS;
	expect(s, VU__V_NOTIFY_LEFT_DISABLED, VU__OBS_CERTAIN, "no notify");
}

CASE(row10_stale)
{
	add_waiting(s, 3);
	EACH(s, i) s->q[i].ring.avail_event = 990;
	expect(s, VU__V_KICK_SUPPRESSED_STALE_EVENT, VU__OBS_CERTAIN, "avail_event is 990");
	/* At the wrap. */
	EACH(s, i) {
		s->q[i].ring.avail_event = 65535;
		s->q[i].ring.last_avail = s->q[i].ring.used_idx = s->q[i].ring.used_event = 0;
		s->q[i].times.called_used_idx = 0;
		s->q[i].ring.avail_idx = 3;
	}
	expect(s, VU__V_KICK_SUPPRESSED_STALE_EVENT, VU__OBS_CERTAIN, "avail_event is 65535");
	EACH(s, i) s->q[i].ring.avail_event = 0;
	assert_int_equal(judge(s, 0).id, VU__V_KICK_LOST_IN_GUEST);
}

CASE(row11_to_13_what_kvm_adds)
{
	add_waiting(s, 3);
	expect(s, VU__V_KICK_LOST_IN_GUEST, VU__OBS_POSSIBLE, "should have kicked for 3");
	trace(s, VU__OBS_NO, 0, 0);
	expect(s, VU__V_IOEVENTFD_MISSING, VU__OBS_CERTAIN, "id 5");
	trace(s, VU__OBS_YES, 4, 0);
	expect(s, VU__V_IOEVENTFD_MISMATCH, VU__OBS_CERTAIN, "8 guest exits");
	trace(s, VU__OBS_YES, 0, 0);
	expect(s, VU__V_KICK_LOST_IN_GUEST, VU__OBS_CERTAIN, "no guest exit");
	EACH(s, i) s->vmm[i].vcpus_run = VU__OBS_NO;
	expect(s, VU__V_VM_PAUSED, VU__OBS_CERTAIN, "does not run");
	EACH(s, i) s->vmm[i].vcpus_run = VU__OBS_MAYBE;
	EACH(s, i) s->vmm[i].state = 'T';
	expect(s, VU__V_VM_PAUSED, VU__OBS_CERTAIN, "does not run");
}

CASE(row15_io_stalled)
{
	add_in_flight(s, 5, LAST - 3000 * MS);
	expect(s, VU__V_BACKEND_IO_STALLED, VU__OBS_CERTAIN, "the oldest for 3.0 s; 0 more");
	/* It fetches no more than it can have in flight. */
	add_waiting(s, 7);
	EACH(s, i) s->q[i].times.kick_ns = s->q[i].times.wake_ns = LAST - 2000 * MS;
	expect(s, VU__V_BACKEND_IO_STALLED, VU__OBS_CERTAIN, "7 more wait");
	EACH(s, i) s->q[i].role = VU__OBS_ROLE_UNKNOWN;
	expect(s, VU__V_BACKEND_IO_STALLED, VU__OBS_LIKELY, "5 requests");
	EACH(s, i) s->q[i].times.oldest_ns = 0;
	expect(s, VU__V_BACKEND_IO_STALLED, VU__OBS_LIKELY, "all for 1.4 s");
}

CASE(row17_starved)
{
	EACH(s, i) {
		s->q[i].role = VU__OBS_ROLE_RX;
		s->q[i].counter[VU__OBS_LOOKS_EMPTY] = 40 * i;
	}
	expect(s, VU__V_RX_STARVED, VU__OBS_LIKELY, "80 times");
	/* It was woken for each. */
	EACH(s, i) s->q[i].counter[VU__OBS_WAKEUPS] += 40 * i;
	assert_int_equal(judge(s, 0).severity, VU__OBS_OK);
}

CASE(row18_call_lost)
{
	add_untold(s, 2);
	expect(s, VU__V_CALL_LOST, VU__OBS_CERTAIN, "wants a call at 1000, the used index is 1002");
	without_event_idx(s);
	expect(s, VU__V_CALL_LOST, VU__OBS_LIKELY, "last 2 completions");
	EACH(s, i) s->q[i].times.called_used_idx = s->q[i].ring.used_idx;
	expect_healthy(s, VU__V_IDLE);
}

CASE(row20_no_fd)
{
	add_untold(s, 2);
	EACH(s, i) {
		s->q[i].call.fd = VU__OBS_FD_NONE;
		s->q[i].role = VU__OBS_ROLE_TX;
	}
	expect(s, VU__V_CALL_NO_FD, VU__OBS_CERTAIN, "no eventfd");
	expect_healthy(s, VU__V_CALL_NO_FD);
	EACH(s, i) s->q[i].role = VU__OBS_ROLE_REQUEST;
	expect(s, VU__V_CALL_NO_FD, VU__OBS_CERTAIN, "the driver waits");
	assert_int_equal(judge(s, 0).severity, VU__OBS_WARNING);
}

CASE(row21_unconsumed)
{
	called(s);
	EACH(s, i) s->q[i].call.count = 2;
	expect(s, VU__V_CALL_UNCONSUMED, VU__OBS_LIKELY, "(id 6) has 2 for 1.4 s");
	assert_int_equal(judge(s, 0).severity, VU__OBS_CRITICAL);
	/* A guest that polls, such as a boot loader. */
	without_event_idx(s);
	expect(s, VU__V_CALL_UNCONSUMED, VU__OBS_POSSIBLE, "fine if the guest polls");
	expect_healthy(s, VU__V_CALL_UNCONSUMED);
}

CASE(row22_and_23_what_tracing_adds)
{
	called(s);
	expect(s, VU__V_GUEST_NOT_CONSUMING, VU__OBS_LIKELY, "waits at 1000");
	trace(s, VU__OBS_YES, 0, 0);
	expect(s, VU__V_IRQ_NOT_INJECTED, VU__OBS_CERTAIN, "no interrupt");
	EACH(s, i) {
		s->q[i].kvm.last_interrupt_ns = FIRST - 49 * MS;
		s->q[i].kvm.vcpu_halted = VU__OBS_YES;
	}
	expect(s, VU__V_GUEST_NOT_CONSUMING, VU__OBS_CERTAIN, "its vCPU sleeps");
	EACH(s, i) s->vmm[i].vcpus_run = VU__OBS_NO;
	expect(s, VU__V_VM_PAUSED, VU__OBS_CERTAIN, "not taken");
}

CASE(row24_saturated)
{
	EACH(s, i) s->q[i].call.count = UINT64_MAX - 1;
	expect(s, VU__V_CALL_SATURATED, VU__OBS_CERTAIN, "18446744073709551614");
	EACH(s, i) s->q[i].call.count = 0;
	s->q[2].counter[VU__OBS_CALL_ERRORS] = 3;
	expect(s, VU__V_CALL_SATURATED, VU__OBS_CERTAIN, "3 calls failed");
}

/* --- foreign back-ends --- */

CASE(foreign_idle_and_moving)
{
	make_foreign(s);
	expect_healthy(s, VU__V_IDLE);
	EACH(s, i) {
		s->q[i].ring.avail_idx += 5 + i;
		s->q[i].ring.used_idx += i;
	}
	expect_healthy(s, VU__V_MOVING);
	EACH(s, i) s->q[i].from[VU__OBS_RING] = VU__OBS_UNKNOWN;
	expect_healthy(s, VU__V_UNSEEN);
}

CASE(foreign_stalls)
{
	make_foreign(s);
	EACH(s, i) s->q[i].ring.avail_idx += 5;
	/* It has armed itself at the end, so it has seen them all. */
	EACH(s, i) s->q[i].ring.avail_event = 1005;
	expect(s, VU__V_BACKEND_IO_STALLED, VU__OBS_LIKELY, "has seen all");
	EACH(s, i) s->q[i].ring.avail_event = 980;
	expect(s, VU__V_KICK_SUPPRESSED_STALE_EVENT, VU__OBS_POSSIBLE, "980");
	EACH(s, i) s->q[i].ring.avail_event = 1000;
	expect(s, VU__V_BACKEND_IO_STALLED, VU__OBS_POSSIBLE, "the kick was read");
	EACH(s, i) s->q[i].from[VU__OBS_KICK] = VU__OBS_UNKNOWN;
	expect(s, VU__V_STUCK, VU__OBS_POSSIBLE, "5 requests wait");
	EACH(s, i) {
		know(&s->q[i], VU__OBS_KICK, VU__OBS_PROC);
		s->q[i].kick.count = 1;
		s->q[i].worker.waits = VU__OBS_NO;
	}
	expect(s, VU__V_BACKEND_STALLED, VU__OBS_CERTAIN, "kick not read");
	EACH(s, i) s->proc[i].state = 'T';
	expect(s, VU__V_BACKEND_STALLED, VU__OBS_CERTAIN, "stopped by a signal");
}

/* What QMP's x-query-virtio-queue-status does to such a back-end. */
CASE(foreign_stopped)
{
	make_foreign(s);
	EACH(s, i) s->q[i].setup.started = VU__OBS_NO;
	expect(s, VU__V_NOT_IN_USE, VU__OBS_LIKELY, "no kick eventfd");
	EACH(s, i) s->q[i].ring.avail_idx += 2;
	expect(s, VU__V_STOPPED_WITH_WORK, VU__OBS_LIKELY, "2 requests wait");
	assert_non_null(strstr(judge(s, 0).next, "x-query-virtio-queue-status"));
	/* It completes requests: what was seen of its eventfds was wrong. */
	EACH(s, i) s->q[i].ring.used_idx += i;
	expect_healthy(s, VU__V_MOVING);
}

/* --- anything else --- */

static void patience_follows_latency(void **state)
{
	(void)state;
	assert_true(vu__obs_patience(0) == VU__OBS_PATIENCE_NS);
	assert_true(vu__obs_patience(-1) == VU__OBS_PATIENCE_NS);
	assert_true(vu__obs_patience(1e6) == VU__OBS_PATIENCE_NS);
	assert_true(vu__obs_patience(1e9) == 20 * VU__OBS_PATIENCE_NS);
}

static void every_verdict_has_its_words(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VU__V_COUNT; i++) {
		assert_non_null(vu__obs_verdicts[i].name);
		assert_non_null(vu__obs_verdicts[i].summary);
	}
}

/* Whatever is seen, there is a verdict, and its words end. */
static void nonsense_is_judged(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (unsigned int round = 0; round < 20000; round++) {
		struct scene s;
		struct vu__obs_verdict v;
		uint8_t *bytes = (uint8_t *)s.q;

		set_up(&s);
		for (unsigned int n = 0; n < 40; n++) {
			seed = seed * 1103515245 + 12345;
			bytes[(seed >> 8) % sizeof(s.q)] = seed >> 4;
		}
		for (unsigned int i = 0; i < LOOKS; i++) {
			/* Texts and enumerations are made by us. */
			s.q[i].setup.why[sizeof(s.q[i].setup.why) - 1] = '\0';
			s.q[i].worker.comm[15] = s.q[i].worker.wchan[31] = '\0';
			*(uint8_t *)&s.q[i].setup.packed &= 1;
			*(uint8_t *)&s.q[i].setup.event_idx &= 1;
			*(uint8_t *)&s.q[i].setup.broken &= 1;
			*(uint8_t *)&s.q[i].setup.polled &= 1;
			*(uint8_t *)&s.q[i].ring.torn &= 1;
		}
		v = judge(&s, 0);
		assert_true(v.id < VU__V_COUNT);
		assert_true(memchr(v.evidence, '\0', sizeof(v.evidence)));
		assert_true(memchr(v.next, '\0', sizeof(v.next)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(healthy_idle),
		cmocka_unit_test(healthy_armed),
		cmocka_unit_test(healthy_armed_and_fetched),
		cmocka_unit_test(healthy_moving),
		cmocka_unit_test(healthy_saturated),
		cmocka_unit_test(healthy_polling),
		cmocka_unit_test(healthy_suppressed),
		cmocka_unit_test(healthy_tx_with_stale_event),
		cmocka_unit_test(healthy_work_that_just_came),
		cmocka_unit_test(healthy_slow_requests_within_patience),
		cmocka_unit_test(healthy_unused),
		cmocka_unit_test(healthy_spurious),
		cmocka_unit_test(one_look_is_not_enough),
		cmocka_unit_test(torn_looks_do_not_count),
		cmocka_unit_test(two_looks_in_a_hurry_are_not_enough),
		cmocka_unit_test(progress_begins_the_time_anew),
		cmocka_unit_test(row1_broken),
		cmocka_unit_test(row1_indices),
		cmocka_unit_test(row1_base_behind),
		cmocka_unit_test(row1_head),
		cmocka_unit_test(row1_foreign),
		cmocka_unit_test(row_dead),
		cmocka_unit_test(row2_front_end_gone),
		cmocka_unit_test(row3_stopped),
		cmocka_unit_test(row3_paused),
		cmocka_unit_test(row4_disabled),
		cmocka_unit_test(row5_eaten),
		cmocka_unit_test(row6_not_watched),
		cmocka_unit_test(row7_stalled),
		cmocka_unit_test(row7_signal),
		cmocka_unit_test(row7_signal_while_idle),
		cmocka_unit_test(row8_consumed),
		cmocka_unit_test(row9_left_disabled),
		cmocka_unit_test(row10_stale),
		cmocka_unit_test(row11_to_13_what_kvm_adds),
		cmocka_unit_test(row15_io_stalled),
		cmocka_unit_test(row17_starved),
		cmocka_unit_test(row18_call_lost),
		cmocka_unit_test(row20_no_fd),
		cmocka_unit_test(row21_unconsumed),
		cmocka_unit_test(row22_and_23_what_tracing_adds),
		cmocka_unit_test(row24_saturated),
		cmocka_unit_test(foreign_idle_and_moving),
		cmocka_unit_test(foreign_stalls),
		cmocka_unit_test(foreign_stopped),
		cmocka_unit_test(patience_follows_latency),
		cmocka_unit_test(every_verdict_has_its_words),
		cmocka_unit_test(nonsense_is_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
