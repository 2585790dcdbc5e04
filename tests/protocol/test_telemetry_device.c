/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is shown of a device and of its queues' state, the black box of one that died,
 * latencies, and what a reader sees while all of it runs.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "tests/protocol/telemetry.h"

static void a_new_connection_is_a_new_generation_with_the_old_black_box(void **state)
{
	(void)state;
	for (int in_place = 0; in_place < 2; in_place++) {
		struct pair *p = pair_ready(NULL);
		struct vu_frontend_queue *q = pair_queue(p, 0, 16, QUEUE, 0);
		struct vu_telemetry *t = rundir_open(getpid());
		uint64_t generation = vu_telemetry_header(t)->generation;
		struct vu_telemetry_device d;

		vu_set_device_name(&p->dev, "disk");
		vu_note(&p->dev, in_place ? "in place" : "anew");
		pair_echo(p, q, 1);
		vu_telemetry_close(t);
		pair_restart(p, in_place);
		pair_negotiate(p);
		check_ok(p, vu_frontend_share_memory(p->fe));
		check_ok(p, vu_frontend_queue_start(q, 0));
		t = rundir_open(getpid());
		assert_int_equal(vu_telemetry_header(t)->generation, generation + 1);
		assert_int_equal(rundir_queue(t, 0).counters.popped, 0);
		pair_echo(p, q, 2);
		assert_int_equal(numbers(p, t, 0).counters.popped, 1);
		assert_string_equal(rundir_event(t, VU_TELEMETRY_NOTE).text,
				    in_place ? "in place" : "anew");
		assert_true(rundir_event(t, VU_TELEMETRY_CONNECTED).number >
			    rundir_event(t, VU_TELEMETRY_CLOSED).number);
		vu_telemetry_device(t, &d);
		if (in_place)
			assert_string_equal(d.block.name, "disk");
		else
			assert_string_equal(d.block.name, vu_telemetry_header(t)->process);
		vu_telemetry_close(t);
		pair_free(p);
	}
}

static void a_mistake_of_the_drivers_shows_with_its_reason(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 2, 16, QUEUE, 0);
	struct vu_telemetry *t = rundir_open(getpid());
	struct vu_frontend_buf buf = {0x7fffffffffull, 16, false};
	struct vu_telemetry_event e;
	struct vu_telemetry_queue n;

	(void)state;
	pair_echo(p, q, 1);
	assert_int_equal(vu_frontend_submit(q, &buf, 1, 2), 0);
	assert_true(vu_frontend_kick(q) >= 0);
	do
		n = numbers(p, t, 2);
	while (!(n.config.state & VU_TELEMETRY_BROKEN));
	assert_int_equal(n.counters.translation_faults, 1);
	assert_int_equal(n.counters.popped, 1);
	assert_non_null(strstr(n.config.broken, "not in guest memory"));
	e = rundir_event(t, VU_TELEMETRY_BREAK);
	assert_int_equal(e.queue, 2);
	assert_string_equal(e.text, n.config.broken);
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	vu_frontend_queue_reset(q);
	check_ok(p, vu_frontend_queue_start(q, 0));
	n = numbers(p, t, 2);
	assert_false(n.config.state & VU_TELEMETRY_BROKEN);
	assert_string_equal(n.config.broken, "");
	vu_telemetry_close(t);
	pair_free(p);
}

static void a_queue_shows_where_it_is(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 3, NUM, QUEUE, VU_FRONTEND_DISABLED);
	struct vu_telemetry *t = rundir_open(getpid());
	const VuVirtq *vq = &p->dev.vq[3];
	struct vu_telemetry_queue n = rundir_queue(t, 3);
	const struct vu_telemetry_config *g = &n.config;
	struct vu_frontend_ring ring;

	(void)state;
	vu_frontend_ring(q, &ring);
	assert_int_equal(g->size, NUM);
	assert_int_equal(g->desc_uaddr, vq->vra.desc_user_addr);
	assert_int_equal(g->used_uaddr, vq->vra.used_user_addr);
	assert_int_equal(g->avail_uaddr, vq->vra.avail_user_addr);
	assert_int_equal(g->desc, (uintptr_t)vq->vring.desc);
	assert_int_equal(g->avail, (uintptr_t)vq->vring.avail);
	assert_int_equal(g->used, (uintptr_t)vq->vring.used);
	assert_int_equal(g->kick_fd, vq->kick_fd);
	assert_int_equal(g->call_fd, vq->call_fd);
	assert_int_equal(g->err_fd, vq->err_fd);
	/* The same eventfds as the front-end's, whatever their numbers are there. */
	assert_int_equal(g->kick_id, vu__proc_eventfd_id(vu_frontend_kick_fd(q)));
	assert_int_equal(g->call_id, vu__proc_eventfd_id(vu_frontend_call_fd(q)));
	assert_int_equal(g->err_id, vu__proc_eventfd_id(vu_frontend_err_fd(q)));
	assert_true(g->kick_id >= 0 && g->kick_id != g->call_id);
	assert_int_equal(g->state & (VU_TELEMETRY_STARTED | VU_TELEMETRY_ENABLED |
				     VU_TELEMETRY_LIVE | VU_TELEMETRY_HAS_ADDR |
				     VU_TELEMETRY_HANDLER | VU_TELEMETRY_EVENT_IDX |
				     VU_TELEMETRY_INDIRECT | VU_TELEMETRY_PACKED),
			 VU_TELEMETRY_STARTED | VU_TELEMETRY_LIVE | VU_TELEMETRY_HAS_ADDR |
				 VU_TELEMETRY_HANDLER | VU_TELEMETRY_EVENT_IDX |
				 VU_TELEMETRY_INDIRECT);
	check_ok(p, vu_frontend_set_vring_enable(p->fe, 3, true));
	n = rundir_queue(t, 3);
	assert_true(g->state & VU_TELEMETRY_ENABLED);
	assert_true(g->last_enable >= g->last_start);
	assert_int_equal(rundir_event(t, VU_TELEMETRY_ENABLE).value, 1);
	pair_echo(p, q, 1);
	n = numbers(p, t, 3);
	assert_true(n.counters.worker_tid && n.counters.worker_tid != (uint64_t)gettid());
	vu_telemetry_close(t);
	pair_free(p);
}

static void a_device_shows_what_was_agreed_upon(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_telemetry *t = rundir_open(getpid());
	struct vu_frontend_message m = pair_message(VU__SET_VRING_NUM, 8);
	struct vu_telemetry_device d;
	struct vu_telemetry_event e;
	uint64_t before, features;

	(void)state;
	vu_telemetry_device(t, &d);
	assert_int_equal(d.block.features, vu_frontend_features(p->fe));
	assert_int_equal(d.block.protocol_features, vu_frontend_protocol_features(p->fe));
	assert_int_equal(d.block.regions, 1);
	assert_int_equal(d.block.memory, 1 << 20);
	assert_int_equal(d.block.region[0].size, 1 << 20);
	assert_int_equal(d.block.region[0].host, (uintptr_t)vu_gpa_to_va(&p->dev, &(uint64_t){1}, 0));
	assert_int_equal(d.block.sock_fd, p->sock);
	assert_int_equal(d.block.peer_pid, getpid());
	assert_true(d.block.connected && d.block.connected <= now_ns());
	assert_int_equal(d.block.refused, 0);
	before = d.block.messages;
	assert_int_equal(d.block.by_request[VU__GET_FEATURES], 1);
	check_ok(p, vu_frontend_get_features(p->fe, &features));
	assert_int_equal(vu_telemetry_refresh(t), 0);
	vu_telemetry_device(t, &d);
	assert_int_equal(d.block.messages, before + 1);
	assert_int_equal(d.block.by_request[VU__GET_FEATURES], 2);
	/* Three entries are none. */
	m.payload[4] = 3;
	pair_expect_refused(p, &m);
	assert_int_equal(vu_telemetry_refresh(t), 0);
	vu_telemetry_device(t, &d);
	assert_int_equal(d.block.refused, 1);
	for (uint64_t n = 0;; n++) {
		/* The look for whether it lives came after it. */
		static struct vu_telemetry_event all[VU_TELEMETRY_EVENTS];
		int count = vu_telemetry_events(t, all, VU_TELEMETRY_EVENTS, NULL);

		e = all[count - 1 - (int)n];
		if (e.kind == VU_TELEMETRY_MESSAGE && e.code == VU__SET_VRING_NUM)
			break;
	}
	assert_int_equal(e.result, -EINVAL);
	assert_non_null(strstr(e.text, "3 entries"));
	vu_telemetry_close(t);
	pair_free(p);
}

static void the_end_of_a_connection_shows_with_its_reason(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_message m = pair_message(VU__SET_VRING_NUM, 8);
	struct vu_telemetry *t = rundir_open(getpid());
	struct vu_telemetry_device d;

	(void)state;
	m.payload[4] = 3;
	pair_expect_fatal(p, &m);
	assert_int_equal(vu_telemetry_refresh(t), 0);
	vu_telemetry_device(t, &d);
	assert_int_equal(d.block.panics, 1);
	assert_true(d.block.broken && !d.block.gone);
	assert_memory_equal(rundir_event(t, VU_TELEMETRY_PANIC).text, p->panic_text, 40);
	vu_telemetry_close(t);
	pair_free(p);
	p = pair_ready(NULL);
	t = rundir_open(getpid());
	vu_frontend_free(p->fe);
	pair_wait_gone(p);
	assert_int_equal(vu_telemetry_refresh(t), 0);
	vu_telemetry_device(t, &d);
	assert_true(d.block.gone && !d.block.broken);
	assert_true(rundir_event(t, VU_TELEMETRY_GONE).number >
		    rundir_event(t, VU_TELEMETRY_CONNECTED).number);
	vu_telemetry_close(t);
	p->fe = vu_frontend_new(new_eventfd());
	pair_free(p);
}

static void logged_pages_are_counted_once_as_first(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
	struct vu_telemetry *t = rundir_open(getpid());
	int fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct vu_telemetry_device d;
	struct vu_telemetry_queue n;
	unsigned int set = 0;
	uint8_t *bits;

	(void)state;
	assert_int_equal(ftruncate(fd, 4096), 0);
	bits = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(bits, MAP_FAILED);
	vu_telemetry_device(t, &d);
	assert_int_equal(d.block.migration, VU_TELEMETRY_MIGRATION_NONE);
	check_ok(p, vu_frontend_set_log_base(p->fe, fd, 4096, 0));
	assert_int_equal(vu_telemetry_refresh(t), 0);
	vu_telemetry_device(t, &d);
	assert_int_equal(d.block.migration, VU_TELEMETRY_MIGRATION_LOG);
	assert_int_equal(rundir_event(t, VU_TELEMETRY_LOG).value, 1);
	for (unsigned int i = 0; i < 5; i++)
		pair_echo(p, q, i);
	n = numbers(p, t, 0);
	for (unsigned int i = 0; i < 4096; i++)
		set += __builtin_popcount(bits[i]);
	assert_int_equal(n.counters.pages_first, set);
	assert_int_equal(n.counters.pages_first + n.counters.pages_again, 5);
	/* Cleared, as by a monitor that has sent them, they are first again. */
	memset(bits, 0, 4096);
	pair_echo(p, q, 6);
	n = numbers(p, t, 0);
	assert_int_equal(n.counters.pages_first, set + 1);
	vu_log_write(&p->dev, 0x20000, 3 * 4096);
	vu_log_write(&p->dev, 0x20000, 4096);
	assert_int_equal(vu_telemetry_refresh(t), 0);
	vu_telemetry_device(t, &d);
	assert_int_equal(d.block.pages_first, 3);
	assert_int_equal(d.block.pages_again, 1);
	check_ok(p, vu_frontend_set_features(p->fe, vu_frontend_features(p->fe) &
						    ~VU_BIT(VU__F_LOG_ALL)));
	assert_int_equal(rundir_event(t, VU_TELEMETRY_LOG).value, 0);
	munmap(bits, 4096);
	close(fd);
	vu_telemetry_close(t);
	pair_free(p);
}

static uint64_t total(struct vu_telemetry *t, unsigned int queue, const char *name,
		      struct vu_telemetry_hist *h)
{
	uint64_t n = 0;

	assert_int_equal(vu_telemetry_hist(t, vu_telemetry_find(t, VU_TELEMETRY_IN_ANNEX, name),
					   queue, h), 0);
	for (unsigned int i = 0; i < VU_HIST_BUCKETS; i++)
		n += h->buckets[i];
	return n;
}

static void latencies_are_kept_while_somebody_watches(void **state)
{
	struct vu_frontend_queue *q;
	struct vu_telemetry *t;
	struct pair *p = holding(&q, &t);
	struct vu_telemetry_hist h;
	uint64_t began, took;

	(void)state;
	submit_one(q, 2);
	pair_wait_popped(p, 2);
	pair_release_held(p, 0);
	reap_all(q, &(struct tally){0});
	assert_int_equal(numbers(p, t, 0).counters.watched, 0);
	assert_int_equal(total(t, 0, "service", &h), 0);
	/* This one was popped before anybody watched. */
	submit_one(q, 1);
	pair_wait_popped(p, 3);
	assert_int_equal(vu_telemetry_watch(t, 60), 0);
	submit_one(q, 4);
	pair_wait_popped(p, 7);
	began = now_ns();
	poll(NULL, 0, 40);
	pair_release_held(p, 0);
	took = now_ns() - began;
	reap_all(q, &(struct tally){0});
	assert_true(numbers(p, t, 0).counters.watched);
	assert_int_equal(total(t, 0, "service", &h), 4);
	for (unsigned int i = 0; i < VU_HIST_BUCKETS; i++) {
		if (!h.buckets[i])
			continue;
		assert_true(vu_hist_lower(i) + vu_hist_width(i) > 40000000);
		assert_true(vu_hist_lower(i) < took + 2000000000ull);
	}
	assert_true(h.sum >= 4 * 40000000ull && h.max <= h.sum);
	assert_true(total(t, 0, "kick_to_pop", &h) >= 1);
	assert_true(total(t, 0, "batch", &h) >= 1);
	assert_true(h.sum >= 4);
	/* The lease ends by itself; here, at once. */
	assert_int_equal(vu_telemetry_watch(t, 0), 0);
	submit_one(q, 1);
	pair_wait_popped(p, 8);
	pair_release_held(p, 0);
	reap_all(q, &(struct tally){0});
	assert_int_equal(numbers(p, t, 0).counters.watched, 0);
	assert_int_equal(total(t, 0, "service", &h), 4);
	vu_telemetry_close(t);
	pair_free(p);
}

/* Each of them served before the next is popped: no request's time is another's too. */
static void a_request_is_not_charged_for_those_before_it(void **state)
{
	struct pair_options opt = {.mode = PAIR_NONE};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, QUEUE, 0);
	struct vu_telemetry *t = rundir_open(getpid());
	struct vu_telemetry_hist h;
	VuVirtqElement *e;
	uint64_t took;

	(void)state;
	assert_int_equal(vu_telemetry_watch(t, 60), 0);
	submit_one(q, 8);
	pair_lock(p);
	took = now_ns();
	for (unsigned int i = 0; i < 8; i++) {
		e = vu_queue_pop(&p->dev, &p->dev.vq[0], sizeof(*e));
		assert_non_null(e);
		poll(NULL, 0, 10);
		vu_queue_push(&p->dev, &p->dev.vq[0], e, 0);
		free(e);
	}
	took = now_ns() - took;
	vu_queue_notify(&p->dev, &p->dev.vq[0]);
	pair_unlock(p);
	assert_int_equal(total(t, 0, "service", &h), 8);
	assert_true(h.sum >= 8 * 10000000ull);
	/* Added up in a row the eighth alone would have all the time, and all of them 4.5 times. */
	assert_true(h.sum < took * 2);
	vu_telemetry_close(t);
	pair_free(p);
}

struct watcher {
	struct vu_telemetry *t;
	atomic_bool stop;
	uint64_t samples;
};

/* A reader of all there is while the queue runs: nothing goes back, nothing is absurd. */
static void *watch(void *opaque)
{
	struct watcher *w = opaque;
	struct vu_telemetry_counters last = {.popped = 0};

	while (!w->stop) {
		struct vu_telemetry_queue n;
		uint64_t since;

		if (vu_telemetry_refresh(w->t) || vu_telemetry_queue(w->t, 0, &n) ||
		    vu_telemetry_oldest(w->t, 0, &since))
			return "cannot be read";
		if (n.torn)
			continue;
		if (n.counters.popped < last.popped || n.counters.completed < last.completed ||
		    n.counters.bytes_from_guest < last.bytes_from_guest ||
		    n.counters.calls < last.calls)
			return "a counter went back";
		if (n.inflight > NUM || since > now_ns())
			return "more in flight than there can be, or popped in the future";
		last = n.counters;
		w->samples++;
	}
	return NULL;
}

static void a_reader_sees_counters_only_go_up(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
	struct watcher w = {.t = rundir_open(getpid())};
	struct tally y = {.requests = 0};
	pthread_t thread;
	void *what;

	(void)state;
	w.stop = false;
	assert_int_equal(vu_telemetry_watch(w.t, 60), 0);
	assert_int_equal(pthread_create(&thread, NULL, watch, &w), 0);
	for (unsigned int i = 0; i < 20; i++) {
		drive(p, q, &y, 100, false);
		check_ok(p, vu_frontend_queue_stop(q, NULL));
		check_ok(p, vu_frontend_queue_start(q, 0));
	}
	w.stop = true;
	pthread_join(thread, &what);
	if (what)
		fail_msg("%s", (char *)what);
	assert_true(w.samples > 50);
	assert_int_equal(numbers(p, w.t, 0).counters.popped, y.requests);
	vu_telemetry_close(w.t);
	pair_free(p);
}

/* A child with both ends of a connection and 3 requests in flight. */
static pid_t busy_child(void)
{
	int ready[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct vu_frontend_queue *q;
		struct vu_telemetry *t;
		struct pair *p;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		p = holding(&q, &t);
		vu_set_device_name(&p->dev, "victim");
		submit_one(q, 3);
		pair_wait_popped(p, 3);
		vu_note(&p->dev, "the last words");
		pair_lock(p);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void check_busy_child(struct vu_telemetry *t)
{
	struct vu_telemetry_queue n = rundir_queue(t, 0);
	struct vu_telemetry_device d;

	vu_telemetry_device(t, &d);
	assert_string_equal(d.block.name, "victim");
	assert_false(d.torn);
	assert_false(n.torn);
	assert_int_equal(n.counters.popped, 3);
	assert_int_equal(n.inflight, 3);
	assert_int_equal(n.config.size, 16);
	assert_true(oldest(t, 0) && oldest(t, 0) <= now_ns());
	assert_string_equal(rundir_event(t, VU_TELEMETRY_NOTE).text, "the last words");
	assert_true(rundir_event(t, VU_TELEMETRY_START).number);
	assert_true(rundir_events(t, VU_TELEMETRY_MESSAGE) > 10);
}

static void a_stopped_and_a_killed_back_end_can_be_read(void **state)
{
	pid_t pid = busy_child();
	struct vu_telemetry *t = rundir_open(pid), *again;
	siginfo_t info;

	(void)state;
	check_busy_child(t);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT), 0);
	again = rundir_open(pid);
	assert_int_equal(vu_telemetry_process(again), VU_TELEMETRY_FROZEN);
	check_busy_child(again);
	vu_telemetry_close(again);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* Who was reading, and who comes later. */
	check_busy_child(t);
	again = rundir_open(pid);
	assert_int_equal(vu_telemetry_process(again), VU_TELEMETRY_DEAD);
	check_busy_child(again);
	vu_telemetry_close(again);
	vu_telemetry_close(t);
	assert_int_equal(unlink(rundir_path(pid, 0)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_connection_is_a_new_generation_with_the_old_black_box),
		cmocka_unit_test(a_queue_shows_where_it_is),
		cmocka_unit_test(a_device_shows_what_was_agreed_upon),
		cmocka_unit_test(the_end_of_a_connection_shows_with_its_reason),
		cmocka_unit_test(a_mistake_of_the_drivers_shows_with_its_reason),
		cmocka_unit_test(logged_pages_are_counted_once_as_first),
		cmocka_unit_test(latencies_are_kept_while_somebody_watches),
		cmocka_unit_test(a_request_is_not_charged_for_those_before_it),
		cmocka_unit_test(a_reader_sees_counters_only_go_up),
		cmocka_unit_test(a_stopped_and_a_killed_back_end_can_be_read),
	};

	return cmocka_run_group_tests(tests, rundir_setup, rundir_teardown);
}
