/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Postcopy that ends before all memory has come: whoever waits for a page goes on, with
 * zeroes that neither the guest nor a device ever takes for its data.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/hugepages.h"
#include "tests/lib/postcopy.h"

static const struct pair_options threaded = {.no_handler = true, .ext = &worker_ops};

/*
 * One request is done, so that the ring has come; the next one's data does not come, and
 * the device waits for it in vu_queue_pop().
 */
static struct post *waiting(const struct pair_options *opt, unsigned int flags,
			    struct worker *w)
{
	struct post *t = post_new(opt, flags, 1);
	unsigned int before;

	post_run(t);
	if (w)
		worker_start(w, t->p);
	post_finish(t);
	faults_hold(t->f, true);
	before = faults_count(t->f);
	post_submit(t);
	assert_true(vu_frontend_kick(t->q) >= 0);
	assert_true(faults_wait(t->f, before + 1));
	return t;
}

static void expect_hole(struct post *t)
{
	uint64_t page = post_out(t, 1) & ~4095ull;

	assert_false(faults_came(t->f, 0, page));
	assert_true(faults_is_hole(t->p->fe, 0, page));
}

static void expect_panic(struct post *t)
{
	pair_wait_gone(t->p);
	pair_lock(t->p);
	assert_int_equal(t->p->panics, 1);
	assert_non_null(strstr(t->p->panic_text, "postcopy"));
	assert_true(t->p->dev.broken);
	assert_false(vu_dispatch(&t->p->dev));
	assert_int_equal(t->p->panics, 1);
	pair_unlock(t->p);
}

/* The one thread that could read of the end from the socket is the one that waits. */
static void the_front_end_leaves_while_the_loop_waits(void **state)
{
	struct pair_options opt = {.mode = PAIR_INSIST};
	struct post *t = waiting(&opt, 0, NULL);

	(void)state;
	shutdown(vu_frontend_sock(t->p->fe), SHUT_RDWR);
	expect_panic(t);
	assert_int_equal(t->p->popped, 1);
	expect_hole(t);
	post_free(t);
}

static void the_front_end_leaves_while_a_thread_waits(void **state)
{
	struct worker w;
	struct post *t = waiting(&threaded, 0, &w);

	(void)state;
	shutdown(vu_frontend_sock(t->p->fe), SHUT_RDWR);
	expect_panic(t);
	worker_join(&w);
	assert_int_equal(w.popped, 1);
	expect_hole(t);
	post_free(t);
}

/* Blocks of the region's file: more of them if a hole was filled. */
static uint64_t blocks(struct post *t)
{
	struct vu_frontend_region r;
	struct stat st;

	assert_int_equal(vu_frontend_region(t->p->fe, 0, &r), 0);
	assert_int_equal(fstat(r.fd, &st), 0);
	return st.st_blocks;
}

static void the_front_end_leaves_huge_pages_behind(void **state)
{
	int huge = hugepages_borrow(POST_HUGE);
	struct worker w;
	struct post *t;
	uint64_t before;

	(void)state;
	if (huge < 0)
		skip(); /* this machine gives none */
	t = waiting(&threaded, VU_FRONTEND_HUGEPAGES, &w);
	before = blocks(t);
	assert_true(before > 0);
	shutdown(vu_frontend_sock(t->p->fe), SHUT_RDWR);
	expect_panic(t);
	worker_join(&w);
	assert_int_equal(w.popped, 1);
	assert_int_equal(blocks(t), before);
	post_free(t);
	hugepages_return(huge, POST_HUGE);
}

/* Its memory is here, it lives on, but has said something that ends the connection. */
static void the_connection_ends_while_a_thread_waits(void **state)
{
	struct vu_frontend_message m = pair_message(VU__SET_VRING_ENABLE, 4);
	struct worker w;
	struct post *t = waiting(&threaded, 0, &w);

	(void)state;
	pair_expect_fatal(t->p, &m);
	worker_join(&w);
	assert_int_equal(w.popped, 1);
	expect_hole(t);
	post_free(t);
}

/* As a program does that is told to end. */
static void the_device_stops_while_a_thread_waits(void **state)
{
	struct worker w;
	struct post *t = waiting(&threaded, 0, &w);

	(void)state;
	pair_lock(t->p);
	vu_stop_queues(&t->p->dev);
	assert_int_equal(t->p->stops[0], 1);
	pair_unlock(t->p);
	worker_join(&w);
	assert_int_equal(w.popped, 1);
	expect_hole(t);
	/* The rest of the guest's memory can still come. */
	faults_hold(t->f, false);
	faults_fetch_all(t->f);
	assert_int_equal(*(uint8_t *)vu_frontend_ptr(t->p->fe, post_out(t, 1), 1),
			 post_byte(post_out(t, 1)));
	post_free(t);
}

/* Nobody waits, but memory is missing. */
static void the_device_ends_in_between(void **state)
{
	struct post *t = post_new(NULL, 0, 2);

	(void)state;
	post_run(t);
	post_finish(t);
	post_free(t);
}

/* What was popped had come: it stays the guest's data, whatever happens to the rest. */
static void what_was_popped_stays_what_it_was(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct post *t = post_new(&opt, 0, 1);
	const uint8_t *data;

	(void)state;
	post_run(t);
	pair_wait_popped(t->p, 1);
	pair_lock(t->p);
	data = t->p->held[0]->out_sg[0].iov_base;
	assert_true(faults_came(t->f, 0, post_out(t, 0) + POST_LEN));
	assert_false(faults_came(t->f, 0, post_in(t, 0)));
	pair_unlock(t->p);
	faults_hold(t->f, true);
	shutdown(vu_frontend_sock(t->p->fe), SHUT_RDWR);
	expect_panic(t);
	for (unsigned int i = 0; i < POST_LEN; i++)
		assert_int_equal(data[i], post_byte(post_out(t, 0) + i));
	/* Writing still goes nowhere but into a page of our own. */
	memset(t->p->held[0]->in_sg[0].iov_base, 0xee, POST_LEN);
	assert_true(faults_is_hole(t->p->fe, 0, post_in(t, 0) & ~4095ull));
	post_free(t);
}

static void the_front_end_leaves_before_the_acknowledgement(void **state)
{
	struct post *t = post_new(NULL, 0, 1);

	(void)state;
	post_share(t);
	shutdown(vu_frontend_sock(t->p->fe), SHUT_RDWR);
	expect_panic(t);
	post_free(t);
}

static void a_front_end_that_leaves_after_the_end_is_no_news(void **state)
{
	struct post *t = post_new(NULL, 0, 1);

	(void)state;
	post_run(t);
	post_finish(t);
	faults_fetch_all(t->f);
	check_ok(t->p, vu_frontend_postcopy_end(t->p->fe));
	shutdown(vu_frontend_sock(t->p->fe), SHUT_RDWR);
	pair_wait_gone(t->p);
	assert_int_equal(t->p->panics, 0);
	post_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_front_end_leaves_while_the_loop_waits),
		cmocka_unit_test(the_front_end_leaves_while_a_thread_waits),
		cmocka_unit_test(the_front_end_leaves_huge_pages_behind),
		cmocka_unit_test(the_connection_ends_while_a_thread_waits),
		cmocka_unit_test(the_device_stops_while_a_thread_waits),
		cmocka_unit_test(the_device_ends_in_between),
		cmocka_unit_test(what_was_popped_stays_what_it_was),
		cmocka_unit_test(the_front_end_leaves_before_the_acknowledgement),
		cmocka_unit_test(a_front_end_that_leaves_after_the_end_is_no_news),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
