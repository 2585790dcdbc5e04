/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queues that stop, start and change under a device that serves them in a thread of its
 * own, and what such a device may be late with.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#include "base/fd.h"
#include "tests/lib/pair.h"

#define DATA   0x80000
#define ROUNDS 300

/* A thread that never sleeps and never ends with its queue; one at a time. */
static struct server {
	struct pair *p;
	pthread_t thread;
	pthread_mutex_t lock; /* held in the library; quiesce takes it */
	atomic_bool quit;
	bool late; /* to call, in a critical section of its own */
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void quiesce(VuDev *dev, int qidx)
{
	(void)dev, (void)qidx;
	pthread_mutex_lock(&server.lock);
}

static void resume(VuDev *dev, int qidx)
{
	(void)dev, (void)qidx;
	pthread_mutex_unlock(&server.lock);
}

static const struct vu_ext_ops ops = {
	.size = sizeof(ops), .quiesce = quiesce, .resume = resume};

/* Copies the number in the readable buffer to the writable one. */
static unsigned int serve_some(VuDev *dev, VuVirtq *vq)
{
	VuVirtqElement *e[8];
	unsigned int n = 0;

	while (n < 8 && (e[n] = vu_queue_pop(dev, vq, sizeof(*e[n]))))
		n++;
	for (unsigned int i = 0; i < n; i++) {
		memcpy(e[i]->in_sg[0].iov_base, e[i]->out_sg[0].iov_base, 8);
		vu_queue_push(dev, vq, e[i], 8);
		free(e[i]);
	}
	return n;
}

static void *serve(void *opaque)
{
	VuDev *dev = &server.p->dev;
	VuVirtq *vq = &dev->vq[0];

	while (!server.quit) {
		unsigned int n;

		pthread_mutex_lock(&server.lock);
		n = vu_queue_enabled(dev, vq) ? serve_some(dev, vq) : 0;
		if (!server.late && n)
			vu_queue_notify(dev, vq);
		pthread_mutex_unlock(&server.lock);
		if (server.late && n) {
			sched_yield();
			pthread_mutex_lock(&server.lock);
			vu_queue_notify(dev, vq);
			pthread_mutex_unlock(&server.lock);
		}
		sched_yield();
	}
	return opaque;
}

static struct pair *start_server(bool packed, bool late)
{
	const struct pair_options opt = {.no_handler = true, .packed = packed, .ext = &ops};

	server.p = pair_ready(&opt);
	server.quit = false;
	server.late = late;
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
	return server.p;
}

static void end_server(void)
{
	server.quit = true;
	pthread_join(server.thread, NULL);
	pair_free(server.p);
}

/* Submits @n numbered requests at places of their own. */
static void submit(struct pair *p, struct vu_frontend_queue *q, unsigned int first,
		   unsigned int n)
{
	for (unsigned int i = first; i < first + n; i++) {
		uint64_t at = DATA + i % 64 * 16;
		struct vu_frontend_buf bufs[2] = {{at, 8, false}, {at + 8, 8, true}};

		*(uint64_t *)vu_frontend_ptr(p->fe, at, 16) = i + 1;
		*(uint64_t *)vu_frontend_ptr(p->fe, at + 8, 8) = 0;
		assert_int_equal(vu_frontend_submit(q, bufs, 2, i), 0);
	}
}

/* Takes what is done, and looks whether it was done. */
static unsigned int reap(struct pair *p, struct vu_frontend_queue *q)
{
	unsigned int n = 0;
	uint64_t i;

	while (vu_frontend_reap(q, &i, NULL) == 1) {
		assert_int_equal(*(uint64_t *)vu_frontend_ptr(p->fe, DATA + i % 64 * 16 + 8, 8),
				 i + 1);
		n++;
	}
	return n;
}

/* What was completed before the answer to a stop has been called for before it. */
/* Where a queue of @num has got to that has completed @done requests of two buffers. */
static uint32_t base_of(bool packed, unsigned int num, unsigned int done)
{
	uint16_t place = 2 * done % num | (2 * done / num % 2 ? 0 : 0x8000);

	return packed ? place | (uint32_t)place << 16 : (uint16_t)done;
}

static void a_stop_loses_no_completion_and_no_call(bool packed, bool late)
{
	struct pair *p = start_server(packed, late);
	unsigned int num = packed ? 67 : 64;
	struct vu_frontend_queue *q = vu_frontend_queue_new(p->fe, 0, num, 0);
	unsigned int sent = 0, done = 0;

	assert_non_null(q);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned int now;
		uint64_t calls;
		uint32_t base;

		check_ok(p, vu_frontend_queue_start(q, 0));
		vu_frontend_want_calls(q, true);
		/* What an earlier round left undone is taken up without a kick. */
		submit(p, q, sent, 1 + round % 7);
		sent += 1 + round % 7;
		for (unsigned int spin = round % 11; spin; spin--)
			sched_yield();
		check_ok(p, vu_frontend_queue_stop(q, &base));
		now = reap(p, q);
		done += now;
		assert_int_equal(base, base_of(packed, num, done));
		vu__event_consume(vu_frontend_call_fd(q), &calls);
		if (now && !calls)
			fail_msg("round %u: %u completions, no call", round, now);
		while (vu_frontend_outstanding(q) > 20) {
			check_ok(p, vu_frontend_queue_start(q, 0));
			assert_int_equal(vu_frontend_wait(q, 5000), 0);
			check_ok(p, vu_frontend_queue_stop(q, NULL));
			done += reap(p, q);
		}
	}
	end_server();
}

static void case_20_stops_under_a_running_thread(void **state)
{
	(void)state;
	a_stop_loses_no_completion_and_no_call(false, false);
	a_stop_loses_no_completion_and_no_call(true, false);
}

static void case_20_stops_under_a_thread_that_calls_late(void **state)
{
	(void)state;
	a_stop_loses_no_completion_and_no_call(false, true);
	a_stop_loses_no_completion_and_no_call(true, true);
}

/* A monitor that masks and unmasks gets every completion's call on what it gave last. */
static void call_eventfds_change(bool packed)
{
	struct pair *p = start_server(packed, false);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, VU_FRONTEND_POLL_CALLS);
	int masked = new_eventfd(), unmasked = new_eventfd();
	unsigned int sent = 0, done = 0;

	for (unsigned int round = 0; round < ROUNDS * 3; round++) {
		uint64_t value;

		vu_frontend_want_calls(q, true);
		submit(p, q, sent++, 1);
		check_ok(p, vu_frontend_set_vring_call(p->fe, 0, round % 2 ? masked : -1));
		check_ok(p, vu_frontend_set_vring_call(p->fe, 0, unmasked));
		while (done < sent) {
			if (vu__fd_wait(unmasked, POLLIN, vu__now_ms() + 5000))
				fail_msg("round %u: no call", round);
			vu__event_consume(unmasked, &value);
			vu_frontend_want_calls(q, true);
			done += reap(p, q);
		}
	}
	close(masked);
	close(unmasked);
	end_server();
}

static void case_18_call_eventfds_change_under_a_running_thread(void **state)
{
	(void)state;
	call_eventfds_change(false);
	call_eventfds_change(true);
}

static void memory_tables_change(bool packed)
{
	struct pair *p = start_server(packed, false);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	unsigned int sent = 0, done = 0, regions = 1;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		submit(p, q, sent, 16);
		sent += 16;
		/* The same memory, mapped anew; now and then a region more. */
		if (round % 50 == 49) {
			assert_true(vu_frontend_add_memory(p->fe, (uint64_t)regions << 24, 4096,
							   VU_FRONTEND_OFFSET) > 0);
			regions++;
		}
		check_ok(p, vu_frontend_share_memory(p->fe));
		while (done < sent) {
			assert_int_equal(vu_frontend_wait(q, 5000), 0);
			done += reap(p, q);
		}
	}
	assert_int_equal(vu_get_region_count(&p->dev), regions);
	end_server();
}

static void case_15_memory_tables_change_under_a_running_thread(void **state)
{
	(void)state;
	memory_tables_change(false);
	memory_tables_change(true);
}

/* --- without a thread: what a device is late with, one step after the other --- */

static void the_call_that_is_owed_comes_before_the_answer(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_message m = pair_message(VU__GET_VRING_BASE, 8);
	uint64_t calls = 0;

	(void)state;
	submit(p, q, 0, 1);
	vu_frontend_kick(q);
	pair_wait_popped(p, 1);
	vu__event_consume(vu_frontend_call_fd(q), &calls);
	assert_int_equal(vu_frontend_send(p->fe, &m), 0);
	while (pair_lock(p), !p->stops[0])
		pair_unlock(p);
	vu_queue_push(&p->dev, &p->dev.vq[0], p->held[0], 8);
	pair_unlock(p);
	assert_int_equal(vu_frontend_recv(p->fe, &m), 0);
	vu__event_consume(vu_frontend_call_fd(q), &calls);
	assert_int_equal(calls, 1);
	/* Too late now: the queue belongs to somebody else. */
	pair_lock(p);
	vu_queue_notify(&p->dev, &p->dev.vq[0]);
	pair_unlock(p);
	vu__event_consume(vu_frontend_call_fd(q), &calls);
	assert_int_equal(calls, 0);
	assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	pair_free(p);
}

/* The back-end before this one may have died between completing and calling. */
static void starting_calls_for_what_was_completed_before(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	uint64_t calls;
	uint32_t base;

	(void)state;
	pair_echo(p, q, 1);
	check_ok(p, vu_frontend_queue_stop(q, &base));
	/* A call eventfd given before the kick one, as most monitors do. */
	check_ok(p, vu_frontend_queue_start(q, 0));
	vu__event_consume(vu_frontend_call_fd(q), &calls);
	assert_true(calls > 0);
	pair_echo(p, q, 2);
	pair_free(p);
}

static void a_new_kick_eventfd_keeps_what_is_in_flight(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	int kick = new_eventfd();
	uint32_t base;

	(void)state;
	submit(p, q, 0, 3);
	vu_frontend_kick(q);
	pair_wait_popped(p, 3);
	submit(p, q, 3, 1);
	check_ok(p, vu_frontend_set_vring_kick(p->fe, 0, kick));
	/* What came in between is seen without a kick, also on the new one. */
	pair_wait_popped(p, 4);
	pair_lock(p);
	assert_int_equal(p->starts[0], 2);
	assert_int_equal(p->stops[0], 1);
	assert_int_equal(p->dev.vq[0].inuse, 4);
	pair_unlock(p);
	pair_release_held(p, 0);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	}
	check_ok(p, vu_frontend_queue_stop(q, &base));
	assert_int_equal(base, 4);
	close(kick);
	pair_free(p);
}

/* A ring the guest has broken is started afresh by it. */
static void a_new_kick_eventfd_heals_a_broken_queue(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_buf bad = {1ULL << 40, 64, true};

	(void)state;
	assert_int_equal(vu_frontend_submit(q, &bad, 1, 0), 0);
	vu_frontend_kick(q);
	assert_int_equal(vu__fd_wait(vu_frontend_err_fd(q), POLLIN, vu__now_ms() + 5000), 0);
	vu_frontend_queue_reset(q);
	check_ok(p, vu_frontend_set_vring_kick(p->fe, 0, vu_frontend_kick_fd(q)));
	pair_echo(p, q, 1);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_20_stops_under_a_running_thread),
		cmocka_unit_test(case_20_stops_under_a_thread_that_calls_late),
		cmocka_unit_test(case_18_call_eventfds_change_under_a_running_thread),
		cmocka_unit_test(case_15_memory_tables_change_under_a_running_thread),
		cmocka_unit_test(the_call_that_is_owed_comes_before_the_answer),
		cmocka_unit_test(starting_calls_for_what_was_completed_before),
		cmocka_unit_test(a_new_kick_eventfd_keeps_what_is_in_flight),
		cmocka_unit_test(a_new_kick_eventfd_heals_a_broken_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
