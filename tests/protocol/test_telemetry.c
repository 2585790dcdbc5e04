/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a queue counts is what its front-end did to it, number by number. */
#include <unistd.h>

#include "base/proc.h"
#include "tests/protocol/telemetry.h"

static void check_tally(const struct vu_telemetry_queue *n, const struct tally *y)
{
	const struct vu_telemetry_counters *c = &n->counters;

	assert_int_equal(c->popped, y->requests);
	assert_int_equal(c->completed, y->requests);
	assert_int_equal(c->descriptors, y->descs);
	assert_int_equal(c->indirect, y->indirect);
	assert_int_equal(c->chains, y->requests - y->indirect);
	assert_int_equal(c->bytes_from_guest, y->out);
	assert_int_equal(c->bytes_to_guest, y->in);
	assert_int_equal(c->kick_values - n->config.self_kicks, y->kicks);
	assert_int_equal(n->inflight, 0);
	assert_int_equal(c->dropped, 0);
	assert_int_equal(c->failed, 0);
}

/* With a mask of features, direct and indirect, a queue's numbers are the front-end's. */
static void counts_are_exact(uint64_t features, bool indirect)
{
	struct pair *p = pair_new(NULL);
	struct vu_telemetry_queue n;
	struct tally y = {.requests = 0};
	struct vu_frontend_queue *q;
	struct vu_telemetry *t;
	uint64_t called, notified;

	check_ok(p, vu_frontend_negotiate(p->fe, features & ~VU_BIT(VU__F_NOTIFY_ON_EMPTY),
					  PAIR_ALL));
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 1 << 20, 0), 0);
	check_ok(p, vu_frontend_share_memory(p->fe));
	q = pair_queue(p, 1, NUM, QUEUE, 0);
	if (indirect)
		vu_frontend_use_indirect(q, TABLES, 8);
	t = rundir_open(getpid());
	/* The second time, indices have wrapped. */
	drive(p, q, &y, 200, indirect);
	n = numbers(p, t, 1);
	check_tally(&n, &y);
	assert_true(y.requests > 500);
	drive(p, q, &y, 300, indirect);
	n = numbers(p, t, 1);
	check_tally(&n, &y);
	called = take_calls(q);
	assert_int_equal(n.counters.calls + n.config.extra_calls, called);
	/* It notifies once when it is woken; what comes of it counts if it did something. */
	notified = n.counters.calls + n.counters.calls_event + n.counters.calls_flag;
	assert_true(notified >= n.counters.wakeups_useful && notified <= n.counters.wakeups);
	assert_int_equal(n.counters.wakeups_useful + n.wakeups_empty, n.counters.wakeups);
	assert_int_equal(n.counters.kicks, n.counters.wakeups);
	assert_int_equal(n.counters.wakeups, p->handled[1]);
	assert_int_equal(n.counters.notified, y.requests);
	assert_true(n.counters.batches >= n.counters.wakeups_useful);
	assert_true(n.counters.looks_empty > 0);
	assert_true(n.counters.inflight_max >= 1 && n.counters.inflight_max <= 8);
	assert_int_equal(n.counters.calls_failed, 0);
	/* The queue beside it has seen nothing. */
	n = rundir_queue(t, 0);
	assert_int_equal(n.counters.popped | n.counters.wakeups | n.config.generation, 0);
	vu_telemetry_close(t);
	pair_free(p);
}

static void counts_are_exact_with_event_idx(void **state)
{
	(void)state;
	counts_are_exact(PAIR_ALL, false);
}

static void counts_are_exact_with_flags(void **state)
{
	(void)state;
	counts_are_exact(~VU_BIT(VU__F_EVENT_IDX), false);
}

static void counts_are_exact_with_indirect_tables(void **state)
{
	(void)state;
	counts_are_exact(PAIR_ALL, true);
}

static void what_is_in_flight_shows_with_its_age(void **state)
{
	struct vu_frontend_queue *q;
	struct vu_telemetry *t;
	struct pair *p = holding(&q, &t);
	struct vu_telemetry_queue n;
	uint64_t began, first;

	(void)state;
	assert_int_equal(oldest(t, 0), 0);
	began = now_ns();
	submit_one(q, 1);
	pair_wait_popped(p, 1);
	n = numbers(p, t, 0);
	assert_int_equal(n.inflight, 1);
	first = oldest(t, 0);
	assert_true(first + TICK >= began && first <= now_ns());
	assert_true(n.counters.last_pop + TICK >= began);
	/* Younger ones do not hide it. */
	poll(NULL, 0, 30);
	submit_one(q, 5);
	pair_wait_popped(p, 6);
	n = numbers(p, t, 0);
	assert_int_equal(n.inflight, 6);
	assert_int_equal(n.counters.inflight_max, 6);
	assert_int_equal(n.counters.completed, 0);
	assert_int_equal(oldest(t, 0), first);
	/* It goes, they stay. */
	pair_lock(p);
	vu_queue_push(&p->dev, &p->dev.vq[0], p->held[0], 0);
	free(p->held[0]);
	p->held[0] = p->held[--p->nheld];
	pair_unlock(p);
	n = numbers(p, t, 0);
	assert_int_equal(n.inflight, 5);
	assert_int_equal(n.counters.completed, 1);
	assert_true(oldest(t, 0) >= first + 10000000);
	/* Completed, and nobody was told: that is what a lost call looks like. */
	assert_int_equal(n.counters.notified, 0);
	assert_true(n.counters.last_push >= n.counters.last_pop);
	pair_release_held(p, 0);
	n = numbers(p, t, 0);
	assert_int_equal(n.inflight, 0);
	assert_int_equal(n.counters.notified, 6);
	assert_int_equal(n.counters.inflight_max, 6);
	assert_int_equal(oldest(t, 0), 0);
	vu_telemetry_close(t);
	pair_free(p);
}

/* More batches are in flight than there are generations to tell them apart by. */
static void the_oldest_is_known_however_many_there_are(void **state)
{
	struct pair_options opt = {.mode = PAIR_NONE};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 512, QUEUE, 0);
	struct vu_telemetry *t = rundir_open(getpid());
	struct vu_frontend_buf buf = {DATA, 16, false};
	static VuVirtqElement *e[512];
	uint64_t before = now_ns(), first;

	(void)state;
	assert_int_equal(vu_telemetry_watch(t, 60), 0);
	for (unsigned int i = 0; i < 512; i++) {
		assert_int_equal(vu_frontend_submit(q, &buf, 1, i), 0);
		pair_lock(p);
		/* A new batch, at a new time. */
		vu_queue_notify(&p->dev, &p->dev.vq[0]);
		e[i] = vu_queue_pop(&p->dev, &p->dev.vq[0], sizeof(*e[i]));
		pair_unlock(p);
		assert_non_null(e[i]);
	}
	assert_int_equal(numbers(p, t, 0).inflight, 512);
	first = oldest(t, 0);
	assert_true(first + TICK >= before && first <= before + 1000000000ull);
	for (unsigned int i = 0; i < 512; i++) {
		pair_lock(p);
		vu_queue_push(&p->dev, &p->dev.vq[0], e[i], 0);
		pair_unlock(p);
		free(e[i]);
		assert_int_equal(numbers(p, t, 0).inflight, 511 - i);
		assert_true(i == 511 || oldest(t, 0) >= first);
	}
	assert_int_equal(rundir_queue(t, 0).counters.ring_full, 1);
	vu_telemetry_close(t);
	pair_free(p);
}

/* Without event index: each notification is a call, unless the driver's flag is set. */
static struct pair *calling(struct vu_frontend_queue **q, struct vu_telemetry **t)
{
	struct pair *p = pair_new(NULL);

	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL & ~(VU_BIT(VU__F_EVENT_IDX) |
							      VU_BIT(VU__F_NOTIFY_ON_EMPTY)),
					  PAIR_ALL & ~VU_BIT(VU__PF_INBAND_NOTIFICATIONS)));
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 1 << 20, 0), 0);
	check_ok(p, vu_frontend_share_memory(p->fe));
	*q = pair_queue(p, 0, NUM, QUEUE, 0);
	*t = rundir_open(getpid());
	/* Behind this it has also been woken, and called, for having been enabled. */
	pair_echo(p, *q, 1);
	return p;
}

static void calls_that_are_not_sent_are_counted_by_reason(void **state)
{
	struct vu_frontend_queue *q, *polled;
	struct vu_telemetry *t;
	struct pair *p = calling(&q, &t);
	struct vu_telemetry_queue n = numbers(p, t, 0);
	uint64_t calls = n.counters.calls;
	int fd;

	(void)state;
	assert_int_equal(n.counters.called, 1);
	assert_true(calls >= 1);
	vu_frontend_want_calls(q, false);
	submit_one(q, 3);
	reap_all(q, &(struct tally){0});
	n = numbers(p, t, 0);
	assert_int_equal(n.counters.calls, calls);
	assert_int_equal(n.counters.calls_flag, 1);
	assert_int_equal(n.counters.called, 1);
	assert_int_equal(n.counters.notified, 4);
	/* Asked again with nothing new, it is not one more that was not sent. */
	pair_lock(p);
	vu_queue_notify(&p->dev, &p->dev.vq[0]);
	pair_unlock(p);
	assert_int_equal(numbers(p, t, 0).counters.calls_flag, 1);
	vu_frontend_want_calls(q, true);
	/* As a monitor does that masks the vector. */
	fd = vu_frontend_call_fd(q);
	check_ok(p, vu_frontend_set_vring_call(p->fe, 0, -1));
	submit_one(q, 1);
	reap_all(q, &(struct tally){0});
	n = numbers(p, t, 0);
	assert_int_equal(n.counters.calls, calls);
	assert_int_equal(n.counters.calls_masked, 1);
	assert_true(n.config.state & VU_TELEMETRY_MASKED);
	assert_int_equal(n.config.call_fd, -1);
	check_ok(p, vu_frontend_set_vring_call(p->fe, 0, fd));
	n = numbers(p, t, 0);
	assert_false(n.config.state & VU_TELEMETRY_MASKED);
	assert_int_equal(n.config.call_id, vu__proc_eventfd_id(fd));
	/* A call may have been missed: the library makes up for it, and says so. */
	assert_int_equal(n.config.extra_calls, 1);
	polled = pair_queue(p, 1, NUM, QUEUE + 0x8000, VU_FRONTEND_POLL_CALLS);
	submit_one(polled, 2);
	reap_all(polled, &(struct tally){0});
	n = numbers(p, t, 1);
	assert_int_equal(n.counters.calls_no_fd, 1);
	assert_int_equal(n.counters.calls + n.counters.calls_masked, 0);
	vu_telemetry_close(t);
	pair_free(p);
}

static void a_full_call_eventfd_is_counted(void **state)
{
	struct vu_frontend_queue *q;
	struct vu_telemetry *t;
	struct pair *p = calling(&q, &t);
	uint64_t most = UINT64_MAX - 1, calls = numbers(p, t, 0).counters.calls;

	(void)state;
	(void)take_calls(q);
	assert_int_equal(write(vu_frontend_call_fd(q), &most, sizeof(most)), sizeof(most));
	submit_one(q, 1);
	reap_all(q, &(struct tally){0});
	assert_int_equal(numbers(p, t, 0).counters.calls, calls);
	assert_int_equal(numbers(p, t, 0).counters.calls_failed, 1);
	vu_telemetry_close(t);
	pair_free(p);
}

static void what_is_undone_is_not_in_flight(void **state)
{
	struct pair_options opt = {.mode = PAIR_NONE};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, QUEUE, 0);
	struct vu_telemetry *t = rundir_open(getpid());
	VuVirtq *vq = &p->dev.vq[0];
	struct vu_telemetry_queue n;
	VuVirtqElement *e[8];

	(void)state;
	submit_one(q, 8);
	pair_lock(p);
	for (unsigned int i = 0; i < 8; i++)
		e[i] = vu_queue_pop(&p->dev, vq, sizeof(*e[i]));
	vu_queue_unpop(&p->dev, vq, e[7], 0);
	pair_unlock(p);
	n = rundir_queue(t, 0);
	assert_int_equal(n.counters.popped, 8);
	assert_int_equal(n.counters.unpopped, 1);
	assert_int_equal(n.inflight, 7);
	assert_int_equal(n.counters.avail_idx, 7);
	pair_lock(p);
	assert_true(vu_queue_rewind(&p->dev, vq, 3));
	pair_unlock(p);
	n = rundir_queue(t, 0);
	assert_int_equal(n.counters.unpopped, 4);
	assert_int_equal(n.inflight, 4);
	assert_int_equal(n.counters.avail_idx, 4);
	/* A batch: filled, not shown, and then shown. */
	pair_lock(p);
	for (unsigned int i = 0; i < 4; i++)
		vu_queue_fill(&p->dev, vq, e[i], 5, i);
	pair_unlock(p);
	n = rundir_queue(t, 0);
	assert_int_equal(n.inflight, 4);
	assert_int_equal(n.counters.completed, 0);
	pair_lock(p);
	vu_queue_flush(&p->dev, vq, 4);
	vu_queue_failed(&p->dev, vq, 2);
	vu_queue_notify(&p->dev, vq);
	for (unsigned int i = 0; i < 8; i++) {
		free(e[i]);
		e[i] = i < 4 ? vu_queue_pop(&p->dev, vq, sizeof(*e[i])) : NULL;
	}
	pair_unlock(p);
	n = rundir_queue(t, 0);
	assert_int_equal(n.counters.completed, 4);
	assert_int_equal(n.counters.bytes_to_guest, 20);
	assert_int_equal(n.counters.failed, 2);
	assert_int_equal(n.counters.popped, 12);
	assert_int_equal(n.inflight, 4);
	assert_int_equal(n.counters.inflight_max, 8);
	for (unsigned int i = 0; i < 8; i++)
		free(e[i]);
	vu_telemetry_close(t);
	pair_free(p);
}

static void a_stop_gives_up_and_a_start_goes_on_counting(void **state)
{
	struct vu_frontend_queue *q;
	struct vu_telemetry *t;
	struct pair *p = holding(&q, &t);
	struct vu_telemetry_queue before, n;
	/* Those of devices before this one are there too. */
	unsigned int starts = rundir_events(t, VU_TELEMETRY_START);
	uint32_t base;

	(void)state;
	vu_set_drain_timeout(&p->dev, 0);
	submit_one(q, 3);
	pair_wait_popped(p, 3);
	before = numbers(p, t, 0);
	assert_int_equal(before.config.generation, 1);
	assert_true(before.config.state & VU_TELEMETRY_LIVE);
	check_ok(p, vu_frontend_queue_stop(q, &base));
	n = numbers(p, t, 0);
	assert_false(n.config.state & (VU_TELEMETRY_LIVE | VU_TELEMETRY_STARTED));
	assert_int_equal(n.config.stop_avail, base);
	assert_int_equal(n.config.kick_fd, -1);
	assert_int_equal(n.config.kick_id, -1);
	assert_int_equal(n.config.avail, 0);
	assert_int_equal(n.counters.dropped, 3);
	assert_int_equal(n.inflight, 0);
	assert_int_equal(rundir_event(t, VU_TELEMETRY_STOP).result, 3);
	vu_frontend_queue_reset(q);
	pair_lock(p);
	for (unsigned int i = 0; i < p->nheld; i++)
		free(p->held[i]);
	p->nheld = 0;
	p->mode = PAIR_ECHO;
	pair_unlock(p);
	check_ok(p, vu_frontend_queue_start(q, 0));
	pair_echo(p, q, 9);
	n = numbers(p, t, 0);
	assert_int_equal(n.config.generation, 2);
	assert_int_equal(n.config.start_avail, 0);
	assert_int_equal(n.counters.popped, 4);
	assert_int_equal(n.counters.completed, 1);
	assert_int_equal(n.counters.avail_idx, 1);
	assert_int_equal(n.inflight, 0);
	assert_true(n.counters.kicks > before.counters.kicks);
	assert_int_equal(rundir_events(t, VU_TELEMETRY_START), starts + 1);
	vu_telemetry_close(t);
	pair_free(p);
}

static void requests_of_a_dead_back_end_are_told_apart(void **state)
{
	struct vu_frontend_queue *q;
	struct vu_telemetry *t;
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_telemetry_queue n;
	uint64_t size, offset;
	int fd;

	(void)state;
	check_ok(p, vu_frontend_get_inflight_fd(p->fe, PAIR_QUEUES, 16, &fd, &size, &offset));
	check_ok(p, vu_frontend_set_inflight_fd(p->fe, fd, size, offset, PAIR_QUEUES, 16));
	q = pair_queue(p, 0, 16, QUEUE, 0);
	t = rundir_open(getpid());
	assert_true(rundir_queue(t, 0).config.state & VU_TELEMETRY_INFLIGHT);
	submit_one(q, 3);
	pair_wait_popped(p, 3);
	vu_telemetry_close(t);
	pair_restart(p, false);
	pair_negotiate(p);
	check_ok(p, vu_frontend_share_memory(p->fe));
	check_ok(p, vu_frontend_set_inflight_fd(p->fe, fd, size, offset, PAIR_QUEUES, 16));
	pair_lock(p);
	p->mode = PAIR_NONE;
	pair_unlock(p);
	check_ok(p, vu_frontend_queue_start(q, 0));
	t = rundir_open(getpid());
	/* In flight, but not of this back-end's taking. */
	n = numbers(p, t, 0);
	assert_int_equal(n.counters.popped, 0);
	assert_int_equal(n.inflight, 0);
	assert_int_equal(n.counters.avail_idx, 3);
	pair_lock(p);
	for (unsigned int i = 0; i < 3; i++) {
		VuVirtqElement *e = vu_queue_pop(&p->dev, &p->dev.vq[0], sizeof(*e));

		assert_non_null(e);
		p->held[p->nheld++] = e;
	}
	pair_unlock(p);
	n = numbers(p, t, 0);
	assert_int_equal(n.counters.popped, 3);
	assert_int_equal(n.counters.resubmitted, 3);
	assert_int_equal(n.counters.avail_idx, 3);
	assert_int_equal(n.inflight, 3);
	assert_true(oldest(t, 0));
	/* Put back and taken again. */
	pair_lock(p);
	vu_queue_unpop(&p->dev, &p->dev.vq[0], p->held[2], 0);
	free(p->held[2]);
	pair_unlock(p);
	n = numbers(p, t, 0);
	assert_int_equal(n.inflight, 2);
	assert_int_equal(n.counters.popped, 3);
	pair_lock(p);
	p->held[2] = vu_queue_pop(&p->dev, &p->dev.vq[0], sizeof(*p->held[2]));
	assert_non_null(p->held[2]);
	pair_unlock(p);
	pair_release_held(p, 0);
	submit_one(q, 1);
	pair_lock(p);
	p->held[p->nheld++] = vu_queue_pop(&p->dev, &p->dev.vq[0], sizeof(*p->held[0]));
	assert_non_null(p->held[0]);
	pair_unlock(p);
	n = numbers(p, t, 0);
	assert_int_equal(n.counters.popped, 5);
	assert_int_equal(n.counters.resubmitted, 3);
	assert_int_equal(n.counters.completed, 3);
	assert_int_equal(n.inflight, 1);
	pair_lock(p);
	assert_true(vu_queue_abandon(&p->dev, &p->dev.vq[0], p->held[0]));
	pair_unlock(p);
	n = numbers(p, t, 0);
	assert_int_equal(n.inflight, 0);
	assert_int_equal(n.counters.dropped, 1);
	close(fd);
	vu_telemetry_close(t);
	pair_free(p);
}

/* A device that waits for its kicks itself counts them with vu_read_kick(). */
static void kicks_that_the_device_reads_are_counted(void **state)
{
	struct pair_options opt = {.no_handler = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
	struct vu_telemetry *t = rundir_open(getpid());
	VuVirtq *vq = &p->dev.vq[0];
	struct vu_telemetry_queue n;
	VuVirtqElement *e;

	(void)state;
	assert_false(rundir_queue(t, 0).config.state & VU_TELEMETRY_HANDLER);
	pair_lock(p);
	/* The library's own, for the queue was enabled; and then none. */
	assert_int_equal(vu_read_kick(&p->dev, vq), 1);
	assert_int_equal(vu_read_kick(&p->dev, vq), 0);
	pair_unlock(p);
	n = rundir_queue(t, 0);
	assert_int_equal(n.counters.kicks, 1);
	assert_int_equal(n.counters.kick_values, n.config.self_kicks);
	assert_int_equal(n.counters.wakeups, 2);
	assert_int_equal(n.wakeups_empty, 2);
	submit_one(q, 1);
	vu__event_signal(vu_frontend_kick_fd(q));
	pair_lock(p);
	assert_int_equal(vu_read_kick(&p->dev, vq), 2);
	e = vu_queue_pop(&p->dev, vq, sizeof(*e));
	assert_non_null(e);
	vu_queue_push(&p->dev, vq, e, 0);
	free(e);
	pair_unlock(p);
	n = rundir_queue(t, 0);
	assert_int_equal(n.counters.kicks, 2);
	assert_int_equal(n.counters.kick_values, 3);
	assert_int_equal(n.counters.wakeups, 3);
	assert_int_equal(n.wakeups_empty, 2);
	vu_telemetry_close(t);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_are_exact_with_event_idx),
		cmocka_unit_test(counts_are_exact_with_flags),
		cmocka_unit_test(counts_are_exact_with_indirect_tables),
		cmocka_unit_test(what_is_in_flight_shows_with_its_age),
		cmocka_unit_test(the_oldest_is_known_however_many_there_are),
		cmocka_unit_test(calls_that_are_not_sent_are_counted_by_reason),
		cmocka_unit_test(a_full_call_eventfd_is_counted),
		cmocka_unit_test(what_is_undone_is_not_in_flight),
		cmocka_unit_test(a_stop_gives_up_and_a_start_goes_on_counting),
		cmocka_unit_test(requests_of_a_dead_back_end_are_told_apart),
		cmocka_unit_test(kicks_that_the_device_reads_are_counted),
	};

	return cmocka_run_group_tests(tests, rundir_setup, rundir_teardown);
}
