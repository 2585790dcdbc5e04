/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the decision table is about, made to happen: a back-end in one process, a
 * front-end in another, and the verdict from outside.  VU_VERBOSE=1 shows the words.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

#include "base/fd.h"
#include "base/util.h"
#include "tests/observe/badback.h"
#include "wire/spec.h"

#define NO_EVENT_IDX VU_BIT(VU__F_EVENT_IDX)

/* --- healthy --- */

static void idle_is_no_alarm(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	rig_submit(&r, 10);
	rig_kick(&r);
	rig_reap(&r);
	rig_expect_healthy(&r, VU__V_IDLE, 1500, NULL);
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
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	rig_expect_healthy(&r, VU__V_MOVING, 1500, traffic);
	assert_true(rig_queue(&r, 0)->counter[VU__OBS_COMPLETED] > 100);
	rig_end(&r);
}

static void fill(struct rig *r)
{
	struct vu_frontend_buf b = {0x80000, 16, true};

	while (vu_frontend_reap(r->q, NULL, NULL) == 1)
		;
	while (!vu_frontend_submit(r->q, &b, 1, 0))
		;
	rig_kick(r);
	poll(NULL, 0, 1);
}

static void saturated_is_no_alarm(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_SLOW});
	rig_expect_healthy(&r, VU__V_BACKEND_SLOW, 2500, fill);
	rig_end(&r);
}

static void polling_is_no_alarm(void **state)
{
	const uint64_t features[] = {0, NO_EVENT_IDX};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(features); i++) {
		struct rig r;

		rig_start(&r, &(struct rig_options){.bad = BAD_POLL,
						    .not_features = features[i]});
		rig_submit(&r, 10);
		rig_reap(&r);
		rig_expect_healthy(&r, VU__V_IDLE, 1500, NULL);
		rig_expect_healthy(&r, VU__V_MOVING, 1000, traffic);
		rig_end(&r);
	}
}

/* The driver takes what is done without being told. */
static void suppressed_calls_are_no_alarm(void **state)
{
	const uint64_t features[] = {0, NO_EVENT_IDX};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(features); i++) {
		struct rig r;

		rig_start(&r, &(struct rig_options){.bad = BAD_NOT,
						    .not_features = features[i]});
		vu_frontend_want_calls(r.q, false);
		/* A ring's first notification is a call in any case. */
		for (unsigned int n = 0; n < 2; n++) {
			rig_submit(&r, 10);
			rig_kick(&r);
			while (vu_frontend_outstanding(r.q)) {
				if (vu_frontend_reap(r.q, NULL, NULL) != 1)
					poll(NULL, 0, 1);
			}
		}
		rig_expect_healthy(&r, VU__V_CALL_SUPPRESSED, 1500, NULL);
		rig_end(&r);
	}
}

static void armed_rx_is_no_alarm(void **state)
{
	const enum bad bads[] = {BAD_SWALLOW, BAD_HOLD};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(bads); i++) {
		struct rig r;

		/* A network device that fetches buffers when there is something to put in, */
		/* and one that fetches them ahead. */
		rig_start(&r, &(struct rig_options){.bad = bads[i], .name = "vu-net"});
		rig_submit(&r, 20);
		rig_kick(&r);
		rig_expect_healthy(&r, VU__V_ARMED_IDLE, 1500, NULL);
		rig_end(&r);
	}
}

static void unused_is_no_alarm(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	rig_submit(&r, 3);
	rig_kick(&r);
	rig_reap(&r);
	assert_int_equal(vu_frontend_queue_stop(r.q, NULL), 0);
	rig_expect_healthy(&r, VU__V_NOT_IN_USE, 1000, NULL);
	rig_end(&r);
}

static void needless_kicks_are_noted(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	assert_int_equal(rig_look(&r, 0, 1000), VU__V_UNSEEN);
	for (unsigned int i = 0; i < 200; i++) {
		vu__event_signal(vu_frontend_kick_fd(r.q));
		poll(NULL, 0, 1);
	}
	assert_int_equal(rig_look(&r, 0, 1000), VU__V_SPURIOUS_KICKS);
	assert_int_equal(r.verdict.severity, VU__OBS_INFO);
	rig_end(&r);
}

/* --- row 1 --- */

static void corrupt_index_found_by_the_back_end(void **state)
{
	struct vu_frontend_ring ring;
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	vu_frontend_ring(r.q, &ring);
	ring.avail->idx = 30000;
	vu__event_signal(vu_frontend_kick_fd(r.q));
	rig_expect(&r, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "from 0 to 30000");
	rig_end(&r);
}

static void corrupt_index_nobody_has_looked_at(void **state)
{
	struct vu_frontend_ring ring;
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_SWALLOW});
	vu_frontend_ring(r.q, &ring);
	ring.avail->idx = 30000;
	vu__event_signal(vu_frontend_kick_fd(r.q));
	rig_expect(&r, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "avail 30000, fetched 0");
	rig_end(&r);
}

static void corrupt_head(void **state)
{
	struct vu_frontend_ring ring;
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_SWALLOW});
	rig_submit(&r, 1);
	vu_frontend_ring(r.q, &ring);
	ring.avail->ring[0] = 4000;
	rig_kick(&r);
	rig_expect(&r, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "names descriptor 4000");
	rig_end(&r);
}

/* The base that was sent is not where the ring is. */
static void wrong_base(void **state)
{
	struct rig_options opt = {.bad = BAD_SWALLOW};
	struct rig r;

	(void)state;
	rig_start(&r, &opt);
	rig_submit(&r, 4);
	assert_int_equal(vu_frontend_queue_stop(r.q, NULL), 0);
	assert_int_equal(vu_frontend_set_vring_base(r.fe, 0, 500), 0);
	assert_int_equal(vu_frontend_set_vring_kick(r.fe, 0, vu_frontend_kick_fd(r.q)), 0);
	rig_expect(&r, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, "avail 4, fetched 500");
	rig_end(&r);
}

/* --- who is gone --- */

static void back_end_killed(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_HOLD});
	rig_submit(&r, 3);
	rig_kick(&r);
	while (rig_look(&r, 0, 1000), !rig_queue(&r, 0) || rig_queue(&r, 0)->ring.in_flight < 3)
		poll(NULL, 0, 10);
	kill(r.backend, SIGKILL);
	rig_expect(&r, VU__V_BACKEND_GONE, VU__OBS_CERTAIN, "is dead");
	/* Its black box is there, and what was in flight. */
	assert_int_equal(rig_queue(&r, 0)->ring.in_flight, 3);
	rig_end(&r);
}

static void front_end_gone(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_HOLD});
	rig_submit(&r, 3);
	rig_kick(&r);
	while (rig_look(&r, 0, 1000), !rig_queue(&r, 0) || rig_queue(&r, 0)->ring.in_flight < 3)
		poll(NULL, 0, 10);
	vu_frontend_free(vu__steal_ptr(&r.fe));
	rig_expect(&r, VU__V_FRONTEND_GONE, VU__OBS_CERTAIN, "3 requests in flight");
	rig_end(&r);
}

/* --- rows 3 to 5 --- */

static void stopped_under_load(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_SWALLOW});
	rig_submit(&r, 5);
	rig_kick(&r);
	/* As QEMU's x-query-virtio-queue-status does, and no word to the driver. */
	assert_int_equal(vu_frontend_queue_stop(r.q, NULL), 0);
	rig_expect(&r, VU__V_STOPPED_WITH_WORK, VU__OBS_LIKELY, "5 requests wait");
	rig_end(&r);
}

static void never_enabled(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_EAT_DISABLED,
					    .flags = VU_FRONTEND_DISABLED});
	rig_submit(&r, 2);
	rig_kick(&r);
	rig_expect(&r, VU__V_DISABLED_WITH_WORK, VU__OBS_CERTAIN, "2 requests wait");
	rig_end(&r);
}

static void kick_eaten_before_enable(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_EAT_DISABLED,
					    .flags = VU_FRONTEND_DISABLED});
	rig_submit(&r, 2);
	rig_kick(&r);
	/* The kick has been read, and not in the tick of the clock in which it is enabled. */
	while (rig_look(&r, 0, 5000), !rig_queue(&r, 0) || !rig_queue(&r, 0)->times.kick_ns)
		poll(NULL, 0, 10);
	for (unsigned int i = 0; i < r.nsnaps; i++)
		vu__snapshot_free(r.snaps[i]);
	r.nsnaps = 0;
	poll(NULL, 0, 50);
	assert_int_equal(vu_frontend_set_vring_enable(r.fe, 0, true), 0);
	rig_expect(&r, VU__V_KICK_EATEN_BEFORE_ENABLE, VU__OBS_CERTAIN, "2 requests wait");
	/* What the remedy says. */
	vu__event_signal(vu_frontend_kick_fd(r.q));
	rig_reap(&r);
	rig_end(&r);
}

/* --- rows 6 to 10 --- */

static void kick_not_watched(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_UNWATCHED});
	rig_submit(&r, 2);
	rig_kick(&r);
	rig_expect(&r, VU__V_KICK_NOT_WATCHED, VU__OBS_CERTAIN, "without it");
	rig_end(&r);
}

static void handler_sleeps(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_SLEEP});
	rig_submit(&r, 2);
	rig_kick(&r);
	rig_expect(&r, VU__V_BACKEND_STALLED, VU__OBS_LIKELY, "sleeps");
	/* Another kick, which is not read. */
	vu__event_signal(vu_frontend_kick_fd(r.q));
	for (unsigned int i = 0; i < 10 || r.verdict.confidence < VU__OBS_CERTAIN; i++) {
		assert_true(i < 100);
		assert_int_equal(rig_look(&r, 0, 300), VU__V_BACKEND_STALLED);
		poll(NULL, 0, 50);
	}
	assert_non_null(strstr(r.verdict.evidence, "kick not read"));
	rig_end(&r);
}

static void handler_spins(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_SPIN});
	rig_submit(&r, 2);
	rig_kick(&r);
	rig_expect(&r, VU__V_BACKEND_STALLED, VU__OBS_LIKELY, "runs");
	rig_end(&r);
}

static void back_end_stopped_by_a_signal(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	traffic(&r);
	rig_look(&r, 0, 300);
	kill(r.backend, SIGSTOP);
	rig_submit(&r, 2);
	rig_kick(&r);
	rig_expect(&r, VU__V_BACKEND_STALLED, VU__OBS_CERTAIN, "stopped");
	assert_int_equal(r.verdict.severity, VU__OBS_CRITICAL);
	kill(r.backend, SIGCONT);
	rig_reap(&r);
	rig_expect_healthy(&r, VU__V_IDLE, 1000, NULL);
	rig_end(&r);
}

static void kick_swallowed(void **state)
{
	const uint64_t features[] = {0, NO_EVENT_IDX};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(features); i++) {
		struct rig r;

		rig_start(&r, &(struct rig_options){.bad = BAD_SWALLOW,
						    .not_features = features[i]});
		rig_submit(&r, 2);
		rig_kick(&r);
		rig_expect(&r, VU__V_KICK_CONSUMED_NO_WORK, VU__OBS_LIKELY, "2 requests wait");
		/* Others come, and their kicks are read, too. */
		for (unsigned int n = 0; n < 3; n++) {
			vu__event_signal(vu_frontend_kick_fd(r.q));
			rig_wait_kick_read(&r);
			rig_expect(&r, VU__V_KICK_CONSUMED_NO_WORK, VU__OBS_LIKELY, "");
		}
		assert_int_equal(r.verdict.confidence, VU__OBS_CERTAIN);
		rig_end(&r);
	}
}

static void notifications_left_off(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_LEAVE_OFF,
					    .not_features = NO_EVENT_IDX});
	rig_submit(&r, 1);
	rig_kick(&r);
	rig_reap(&r);
	rig_submit(&r, 3);
	assert_int_equal(vu_frontend_kick(r.q), 0);
	rig_expect(&r, VU__V_NOTIFY_LEFT_DISABLED, VU__OBS_CERTAIN, "3 requests wait");
	vu__event_signal(vu_frontend_kick_fd(r.q));
	rig_reap(&r);
	rig_end(&r);
}

static void event_index_left_behind(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_LEAVE_OFF});
	/* Serving these, it does not move the index: the driver has passed it then. */
	rig_submit(&r, 4);
	rig_kick(&r);
	rig_reap(&r);
	rig_submit(&r, 3);
	assert_int_equal(vu_frontend_kick(r.q), 0);
	rig_expect(&r, VU__V_KICK_SUPPRESSED_STALE_EVENT, VU__OBS_CERTAIN, "3 requests wait");
	vu__event_signal(vu_frontend_kick_fd(r.q));
	rig_reap(&r);
	rig_end(&r);
}

/* --- row 13, and a machine that does not run --- */

static void driver_never_kicks(void **state)
{
	const uint64_t features[] = {0, NO_EVENT_IDX};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(features); i++) {
		struct rig r;

		rig_start(&r, &(struct rig_options){.bad = BAD_NOT,
						    .not_features = features[i]});
		traffic(&r);
		rig_submit(&r, 2);
		rig_expect(&r, VU__V_KICK_LOST_IN_GUEST, VU__OBS_POSSIBLE,
			   "should have kicked for 2");
		vu__event_signal(vu_frontend_kick_fd(r.q));
		rig_reap(&r);
		rig_expect_healthy(&r, VU__V_IDLE, 1000, NULL);
		rig_end(&r);
	}
}

/* The front-end's process is stopped between making requests available and the kick. */
static void machine_stopped_by_a_signal(void **state)
{
	struct rig r;
	int ready[2];
	pid_t machine;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	machine = fork();
	assert_true(machine >= 0);
	if (machine == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
		traffic(&r);
		rig_submit(&r, 2);
		(void)!write(ready[1], r.dir, sizeof(r.dir));
		for (;;)
			pause();
	}
	memset(&r, 0, sizeof(r));
	assert_int_equal(read(ready[0], r.dir, sizeof(r.dir)), sizeof(r.dir));
	r.sampler = vu__sampler_new(
		&(struct vu__sample_options){.run_dir = r.dir, .libvu_only = true});
	assert_non_null(r.sampler);
	kill(machine, SIGSTOP);
	rig_expect(&r, VU__V_VM_PAUSED, VU__OBS_CERTAIN, "does not run");
	kill(machine, SIGKILL);
	waitpid(machine, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	for (unsigned int i = 0; i < r.nsnaps; i++)
		vu__snapshot_free(r.snaps[i]);
	vu__sampler_free(r.sampler);
}

/* --- row 15 and 17 --- */

static void requests_held(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_HOLD});
	rig_submit(&r, 7);
	rig_kick(&r);
	rig_expect(&r, VU__V_BACKEND_IO_STALLED, VU__OBS_CERTAIN,
		   "7 requests were fetched and not completed");
	assert_true(rig_queue(&r, 0)->times.oldest_ns > 0);
	rig_end(&r);
}

static void receive_queue_starved(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_RX, .name = "vu-net"});
	rig_submit(&r, 5);
	rig_kick(&r);
	rig_reap(&r);
	rig_expect(&r, VU__V_RX_STARVED, VU__OBS_LIKELY, "found none");
	rig_end(&r);
}

/* --- rows 18 to 24 --- */

static void call_skipped(void **state)
{
	const uint64_t features[] = {0, NO_EVENT_IDX};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(features); i++) {
		struct rig r;

		rig_start(&r, &(struct rig_options){.bad = BAD_NO_CALL,
						    .not_features = features[i]});
		vu_frontend_want_calls(r.q, true);
		rig_submit(&r, 2);
		rig_kick(&r);
		rig_expect(&r, VU__V_CALL_LOST, VU__OBS_LIKELY, "call");
		assert_int_equal(r.verdict.confidence, features[i] ? VU__OBS_LIKELY
								   : VU__OBS_CERTAIN);
		rig_end(&r);
	}
}

static void no_call_eventfd(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT, .flags = VU_FRONTEND_POLL_CALLS});
	rig_submit(&r, 2);
	rig_kick(&r);
	/* The driver polls, and takes them. */
	rig_reap(&r);
	rig_expect_healthy(&r, VU__V_IDLE, 1000, NULL);
	/* It does not. */
	rig_submit(&r, 2);
	rig_kick(&r);
	rig_expect(&r, VU__V_CALL_NO_FD, VU__OBS_CERTAIN, "no eventfd");
	rig_end(&r);
}

static void call_not_taken(void **state)
{
	uint64_t value;
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	vu_frontend_want_calls(r.q, true);
	rig_submit(&r, 2);
	rig_kick(&r);
	rig_expect(&r, VU__V_CALL_UNCONSUMED, VU__OBS_LIKELY, "the driver waits for it");
	assert_int_equal(r.verdict.severity, VU__OBS_CRITICAL);
	/* Now it is taken, and the guest still does nothing. */
	assert_int_equal(vu__event_consume(vu_frontend_call_fd(r.q), &value), 0);
	for (unsigned int i = 0; i < 100; i++) {
		if (rig_look(&r, 0, 300) == VU__V_GUEST_NOT_CONSUMING)
			break;
		poll(NULL, 0, 20);
	}
	assert_int_equal(r.verdict.id, VU__V_GUEST_NOT_CONSUMING);
	rig_reap(&r);
	rig_expect_healthy(&r, VU__V_IDLE, 1000, NULL);
	rig_end(&r);
}

static void call_eventfd_full(void **state)
{
	uint64_t full = UINT64_MAX - 1;
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	vu_frontend_want_calls(r.q, true);
	rig_look(&r, 0, 300);
	assert_int_equal(vu__event_consume(vu_frontend_call_fd(r.q), &(uint64_t){0}), 0);
	assert_int_equal(write(vu_frontend_call_fd(r.q), &full, sizeof(full)), sizeof(full));
	rig_submit(&r, 2);
	rig_kick(&r);
	rig_expect(&r, VU__V_CALL_SATURATED, VU__OBS_CERTAIN, "18446744073709551614");
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_is_no_alarm),
		cmocka_unit_test(moving_is_no_alarm),
		cmocka_unit_test(saturated_is_no_alarm),
		cmocka_unit_test(polling_is_no_alarm),
		cmocka_unit_test(suppressed_calls_are_no_alarm),
		cmocka_unit_test(armed_rx_is_no_alarm),
		cmocka_unit_test(unused_is_no_alarm),
		cmocka_unit_test(needless_kicks_are_noted),
		cmocka_unit_test(corrupt_index_found_by_the_back_end),
		cmocka_unit_test(corrupt_index_nobody_has_looked_at),
		cmocka_unit_test(corrupt_head),
		cmocka_unit_test(wrong_base),
		cmocka_unit_test(back_end_killed),
		cmocka_unit_test(front_end_gone),
		cmocka_unit_test(stopped_under_load),
		cmocka_unit_test(never_enabled),
		cmocka_unit_test(kick_eaten_before_enable),
		cmocka_unit_test(kick_not_watched),
		cmocka_unit_test(handler_sleeps),
		cmocka_unit_test(handler_spins),
		cmocka_unit_test(back_end_stopped_by_a_signal),
		cmocka_unit_test(kick_swallowed),
		cmocka_unit_test(notifications_left_off),
		cmocka_unit_test(event_index_left_behind),
		cmocka_unit_test(driver_never_kicks),
		cmocka_unit_test(machine_stopped_by_a_signal),
		cmocka_unit_test(requests_held),
		cmocka_unit_test(receive_queue_starved),
		cmocka_unit_test(call_skipped),
		cmocka_unit_test(no_call_eventfd),
		cmocka_unit_test(call_not_taken),
		cmocka_unit_test(call_eventfd_full),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
