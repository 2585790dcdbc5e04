/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Postcopy from ADVISE to END, with real page faults, and who must not say what when:
 * cases 50 and 51.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/sys.h"
#include "libvu/log.h"
#include "tests/lib/hugepages.h"
#include "tests/lib/postcopy.h"

#define REQUESTS 6

/* The back-end has dealt with all that was sent, also with what has no answer. */
static void sync_with(struct pair *p)
{
	uint64_t features;

	check_ok(p, vu_frontend_get_features(p->fe, &features));
}

/* --- the whole exchange --- */

/* Neither a fault nor, what would be worse, a page of zeroes. */
static void expect_untouched(struct post *t)
{
	struct pollfd fd = {.fd = t->f->backend_ufd, .events = POLLIN};
	struct vu_frontend_region r;

	assert_int_equal(poll(&fd, 1, 30), 0);
	for (unsigned int i = 0; vu_frontend_region(t->p->fe, i, &r) == 0; i++)
		assert_int_equal(lseek(r.fd, 0, SEEK_DATA), -1);
}

static void expect_state(struct post *t, bool advised, bool listening)
{
	pair_lock(t->p);
	assert_int_equal(t->p->dev.postcopy_ufd >= 0, advised);
	assert_int_equal(t->p->dev.postcopy_listening, listening);
	pair_unlock(t->p);
}

static void end(struct post *t)
{
	check_ok(t->p, vu_frontend_postcopy_end(t->p->fe));
	expect_state(t, false, false);
	post_submit(t);
	assert_true(vu_frontend_kick(t->q) >= 0);
	post_finish(t);
}

static void from_advise_to_end(void **state)
{
	struct post *t = post_new(NULL, 0, REQUESTS);
	unsigned int faults;

	(void)state;
	expect_state(t, true, true);
	post_share(t);
	expect_untouched(t);
	pair_lock(t->p);
	assert_int_equal(t->p->dev.nregions, 0);
	pair_unlock(t->p);
	/* Faults are served by nobody before the acknowledgement has gone out. */
	check_ok(t->p, vu_frontend_postcopy_ack(t->p->fe, 0));
	faults_start(t->f);
	check_ok(t->p, vu_frontend_queue_start(t->q, 0));
	pair_lock(t->p);
	assert_int_equal(t->p->dev.nregions, 1);
	assert_int_equal(t->p->dev.regions[0].mmap_addr +
				 t->p->dev.regions[0].mmap_offset,
			 t->f->regions[0].bases[FAULTS_BASES - 1]);
	pair_unlock(t->p);
	assert_true(vu_frontend_kick(t->q) >= 0);
	post_finish(t);
	faults = faults_count(t->f);
	/* Two pages a buffer at least, and the ring. */
	assert_true(faults >= 4 * REQUESTS);
	assert_int_equal(t->f->strays, 0);
	faults_fetch_all(t->f);
	end(t);
	assert_int_equal(faults_count(t->f), faults);
	post_free(t);
}

static void region_by_region(void **state)
{
	struct pair_options opt = {.mode = PAIR_ECHO};
	struct post *t = post_new(&opt, VU_FRONTEND_OFFSET, REQUESTS);
	struct vu_frontend_region r;

	(void)state;
	for (unsigned int i = 1; i < FAULTS_REGIONS; i++) {
		assert_int_equal(
			vu_frontend_add_memory(t->p->fe, (uint64_t)i << 20, 8192, 0), i);
		memset(vu_frontend_ptr(t->p->fe, (uint64_t)i << 20, 8192), i, 8192);
		faults_take(t->f, t->p->fe, i);
	}
	for (unsigned int i = 0; i < FAULTS_REGIONS; i++) {
		check_ok(t->p, vu_frontend_add_mem_reg(t->p->fe, i));
		assert_int_equal(vu_frontend_region(t->p->fe, i, &r), 0);
		faults_set_base(t->f, i, r.backend);
		pair_lock(t->p);
		assert_int_equal(vu_get_region_count(&t->p->dev), 0);
		pair_unlock(t->p);
	}
	/* One may go again before it was ever used. */
	check_ok(t->p, vu_frontend_rem_mem_reg(t->p->fe, 7));
	expect_untouched(t);
	/* Case 51: the last request's number, a u64 of 0 and no fd. */
	check_ok(t->p, vu_frontend_postcopy_ack(t->p->fe, 0));
	faults_start(t->f);
	check_ok(t->p, vu_frontend_queue_start(t->q, 0));
	pair_lock(t->p);
	assert_int_equal(vu_get_region_count(&t->p->dev), FAULTS_REGIONS - 1);
	pair_unlock(t->p);
	assert_true(vu_frontend_kick(t->q) >= 0);
	post_finish(t);
	assert_true(faults_count(t->f) >= 4 * REQUESTS);
	assert_int_equal(t->f->strays, 0);
	faults_fetch_all(t->f);
	end(t);
	post_free(t);
}

/* Into a table that is in use, with requests coming. */
static void a_region_is_added_and_removed_while_queues_run(void **state)
{
	struct post *t = post_new(NULL, 0, 1);
	struct vu_frontend_buf bufs[2] = {{1 << 20, 64, false},
					  {post_in(t, 3), 64, true}};
	struct vu_frontend_region r;
	uint64_t token;

	(void)state;
	post_run(t);
	post_finish(t);
	assert_int_equal(vu_frontend_add_memory(t->p->fe, 1 << 20, 8192, 0), 1);
	memset(vu_frontend_ptr(t->p->fe, 1 << 20, 8192), 0x3c, 8192);
	faults_take(t->f, t->p->fe, 1);
	check_ok(t->p, vu_frontend_add_mem_reg(t->p->fe, 1));
	/* The old table is good until then. */
	post_submit(t);
	assert_true(vu_frontend_kick(t->q) >= 0);
	post_finish(t);
	assert_int_equal(vu_frontend_region(t->p->fe, 1, &r), 0);
	faults_set_base(t->f, 1, r.backend);
	check_ok(t->p, vu_frontend_postcopy_ack(t->p->fe, 0));
	sync_with(t->p);
	assert_int_equal(vu_frontend_submit(t->q, bufs, 2, 9), 0);
	assert_true(vu_frontend_kick(t->q) >= 0);
	assert_int_equal(vu_frontend_wait(t->q, 5000), 0);
	assert_int_equal(vu_frontend_reap(t->q, &token, NULL), 1);
	assert_int_equal(*(uint8_t *)vu_frontend_ptr(t->p->fe, bufs[1].gpa, 1), 0x3c);
	assert_true(faults_came(t->f, 1, 0));
	/* Taking one away needs no acknowledgement, but one may follow. */
	check_ok(t->p, vu_frontend_rem_mem_reg(t->p->fe, 1));
	pair_lock(t->p);
	assert_int_equal(vu_get_region_count(&t->p->dev), 1);
	pair_unlock(t->p);
	check_ok(t->p, vu_frontend_postcopy_ack(t->p->fe, 0));
	/* Neither does nothing at all: number 0. */
	check_ok(t->p, vu_frontend_postcopy_ack(t->p->fe, 0));
	faults_fetch_all(t->f);
	end(t);
	assert_int_equal(t->f->strays, 0);
	post_free(t);
}

/* A region that is cut otherwise is taken away and added again, under a running ring. */
static void the_region_of_a_running_ring_is_replaced(void **state)
{
	struct post *t = post_new(NULL, 0, 1);
	struct vu_frontend_region r;

	(void)state;
	post_run(t);
	post_finish(t);
	check_ok(t->p, vu_frontend_rem_mem_reg(t->p->fe, 0));
	post_submit(t);
	assert_true(vu_frontend_kick(t->q) >= 0);
	post_finish(t);
	check_ok(t->p, vu_frontend_add_mem_reg(t->p->fe, 0));
	assert_int_equal(vu_frontend_region(t->p->fe, 0, &r), 0);
	faults_set_base(t->f, 0, r.backend);
	check_ok(t->p, vu_frontend_postcopy_ack(t->p->fe, 0));
	sync_with(t->p);
	post_submit(t);
	assert_true(vu_frontend_kick(t->q) >= 0);
	post_finish(t);
	faults_fetch_all(t->f);
	end(t);
	assert_int_equal(t->f->strays, 0);
	post_free(t);
}

static void huge_pages(void **state)
{
	int huge = hugepages_borrow(POST_HUGE);
	struct post *t;

	(void)state;
	if (huge < 0)
		skip(); /* this machine gives none */
	t = post_new(NULL, VU_FRONTEND_HUGEPAGES, REQUESTS);
	post_run(t);
	post_finish(t);
	/* A page a buffer, and the ring's. */
	assert_true(faults_count(t->f) >= 2 * REQUESTS + 1);
	assert_int_equal(t->f->strays, 0);
	faults_fetch_all(t->f);
	end(t);
	post_free(t);
	hugepages_return(huge, POST_HUGE);
}

/* --- threads of queues --- */

static const struct pair_options threaded = {.no_handler = true, .ext = &worker_ops};

static void end_wakes_those_who_wait(void **state)
{
	struct post *t = post_new(&threaded, 0, 1);
	unsigned int before;
	struct worker w;

	(void)state;
	post_run(t);
	before = faults_count(t->f);
	t->f->no_wake = true;
	worker_start(&w, t->p);
	assert_true(faults_wait(t->f, before + 1));
	faults_fetch_all(t->f);
	assert_false(post_completed(t, 30));
	check_ok(t->p, vu_frontend_postcopy_end(t->p->fe));
	post_finish(t);
	worker_join(&w);
	post_free(t);
}

static void a_new_table_while_a_thread_waits_in_the_old_one(void **state)
{
	struct post *t = post_new(&threaded, 0, 1);
	unsigned int before;
	struct worker w;

	(void)state;
	post_run(t);
	worker_start(&w, t->p);
	post_finish(t);
	before = faults_count(t->f);
	faults_hold(t->f, true);
	post_submit(t);
	assert_true(vu_frontend_kick(t->q) >= 0);
	assert_true(faults_wait(t->f, before + 1));
	post_share(t);
	/* The page comes, and only the new address is woken. */
	faults_hold(t->f, false);
	assert_false(post_completed(t, 30));
	check_ok(t->p, vu_frontend_postcopy_ack(t->p->fe, 0));
	post_finish(t);
	post_submit(t);
	assert_true(vu_frontend_kick(t->q) >= 0);
	post_finish(t);
	faults_fetch_all(t->f);
	check_ok(t->p, vu_frontend_postcopy_end(t->p->fe));
	worker_join(&w);
	post_free(t);
}

/* --- what is refused --- */

static void case_50_what_is_out_of_order(void **state)
{
	struct vu_frontend_message listen = pair_message(VU__POSTCOPY_LISTEN, 0);
	struct pair *p = pair_new(NULL);
	int ufd[3], before;

	(void)state;
	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL, PAIR_ALL));
	before = count_fds();
	check_ok(p, vu_frontend_postcopy_end(p->fe));
	pair_expect_refused(p, &listen);
	/* Twice: the second takes the first one's place. */
	check_ok(p, vu_frontend_postcopy_advise(p->fe, &ufd[0]));
	check_ok(p, vu_frontend_postcopy_advise(p->fe, &ufd[1]));
	sync_with(p);
	assert_int_equal(count_fds(), before + 3);
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 1 << 20, 0), 0);
	check_ok(p, vu_frontend_share_memory(p->fe));
	pair_expect_refused(p, &listen);
	check_ok(p, vu_frontend_rem_mem_reg(p->fe, 0));
	check_ok(p, vu_frontend_postcopy_listen(p->fe));
	check_ok(p, vu_frontend_postcopy_listen(p->fe));
	/* Not while it is under way; the answer has no fd. */
	assert_int_equal(vu_frontend_postcopy_advise(p->fe, &ufd[2]), -EREMOTEIO);
	check_ok(p, vu_frontend_postcopy_end(p->fe));
	check_ok(p, vu_frontend_postcopy_end(p->fe));
	pair_expect_refused(p, &listen);
	close(ufd[0]);
	close(ufd[1]);
	/* The region's file. */
	assert_int_equal(count_fds(), before + 1);
	assert_int_equal(p->panics, 0);
	pair_free(p);
}

static void listen_is_answered_without_reply_ack_too(void **state)
{
	struct vu_frontend_message m = pair_message(VU__POSTCOPY_LISTEN, 0);
	struct pair *p = pair_new(NULL);
	uint64_t value = 1;
	int ufd;

	(void)state;
	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL, VU_BIT(VU__PF_PAGEFAULT)));
	check_ok(p, vu_frontend_postcopy_advise(p->fe, &ufd));
	m.flags |= VU__FLAG_NEED_REPLY;
	check_ok(p, vu_frontend_send(p->fe, &m));
	check_ok(p, vu_frontend_recv(p->fe, &m));
	assert_int_equal(m.request, VU__POSTCOPY_LISTEN);
	assert_int_equal(m.flags, VU__FLAG_VERSION | VU__FLAG_REPLY);
	assert_int_equal(m.size, 8);
	memcpy(&value, m.payload, 8);
	assert_int_equal(value, 0);
	close(ufd);
	pair_free(p);
}

static void before_the_acknowledgement_nothing_else_is_done(void **state)
{
	static const uint32_t requests[] = {VU__GET_FEATURES,	 VU__SET_OWNER,
					    VU__GET_QUEUE_NUM,	 VU__POSTCOPY_ADVISE,
					    VU__POSTCOPY_LISTEN, VU__RESET_DEVICE};
	struct post *t = post_new(NULL, 0, 1);
	struct vu_frontend_message m;
	uint64_t value;
	int before;

	(void)state;
	post_share(t);
	before = count_fds();
	for (size_t i = 0; i < VU_ARRAY_SIZE(requests); i++) {
		m = pair_message(requests[i], 0);
		m.flags |= VU__FLAG_NEED_REPLY;
		check_ok(t->p, vu_frontend_send(t->p->fe, &m));
		check_ok(t->p, vu_frontend_recv(t->p->fe, &m));
		assert_int_equal(m.size, 8);
		memcpy(&value, m.payload, 8);
		assert_int_not_equal(value, 0);
	}
	expect_untouched(t);
	assert_int_equal(count_fds(), before);
	/* What acknowledges another kind of request is no acknowledgement. */
	m = pair_message(VU__ADD_MEM_REG, 8);
	pair_expect_fatal(t->p, &m);
	expect_untouched(t);
	post_free(t);
}

static void a_front_end_that_cannot_keeps_the_old_table(void **state)
{
	struct post *t = post_new(NULL, 0, 1);
	unsigned int waiting;

	(void)state;
	post_share(t);
	check_ok(t->p, vu_frontend_postcopy_ack(t->p->fe, 7));
	check_ok(t->p, vu_frontend_set_owner(t->p->fe));
	pair_lock(t->p);
	assert_int_equal(vu_get_region_count(&t->p->dev), 0);
	pair_unlock(t->p);
	expect_untouched(t);
	post_run(t);
	post_finish(t);
	/* END in between ends the faults, not the wait for the acknowledgement. */
	faults_fetch_all(t->f);
	post_share(t);
	check_ok(t->p, vu_frontend_postcopy_end(t->p->fe));
	expect_state(t, false, false);
	waiting = faults_count(t->f);
	check_ok(t->p, vu_frontend_postcopy_ack(t->p->fe, 0));
	post_submit(t);
	assert_true(vu_frontend_kick(t->q) >= 0);
	post_finish(t);
	assert_int_equal(faults_count(t->f), waiting);
	/* Another one now is what it looks like: a table without regions. */
	post_free(t);
}

static void ended_while_the_acknowledgement_is_awaited(void **state)
{
	struct post *t = post_new(NULL, 0, 1);

	(void)state;
	post_share(t);
	post_free(t);
}

/* Of the second region's; the first one has been registered by then. */
static int failing_ioctl(int fd, unsigned long request, ...)
{
	static unsigned int n;
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == UFFDIO_REGISTER && ++n == 2) {
		errno = EINVAL;
		return -1;
	}
	return ioctl(fd, request, arg);
}

static void memory_that_cannot_be_registered(void **state)
{
	struct post *t = post_new(NULL, 0, 1);
	struct vu_frontend_message m = pair_message(VU__SET_MEM_TABLE, 72);
	struct vu__mem_table_payload table = {.nregions = 2};
	struct vu_frontend_region r[2];
	struct vu__sys saved = vu__sys;
	int before;

	(void)state;
	assert_int_equal(vu_frontend_add_memory(t->p->fe, 1 << 20, 1 << 20, 0), 1);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vu_frontend_region(t->p->fe, i, &r[i]), 0);
		table.regions[i] = (struct vu__region_payload){r[i].gpa, r[i].size,
							       r[i].uaddr, r[i].offset};
		m.fds[m.nfds++] = r[i].fd;
	}
	memcpy(m.payload, &table, 72);
	before = count_fds();
	pair_lock(t->p);
	vu__sys.ioctl = failing_ioctl;
	pair_unlock(t->p);
	m.flags |= VU__FLAG_NEED_REPLY;
	check_ok(t->p, vu_frontend_send(t->p->fe, &m));
	check_ok(t->p, vu_frontend_recv(t->p->fe, &m));
	assert_int_equal(m.size, 8);
	assert_int_not_equal(m.payload[0], 0);
	pair_lock(t->p);
	vu__sys = saved;
	assert_int_equal(vu_get_region_count(&t->p->dev), 0);
	pair_unlock(t->p);
	assert_int_equal(count_fds(), before);
	/* Nothing of it is left, and a good one works. */
	vu_frontend_rem_mem_reg(t->p->fe, 1);
	faults_take(t->f, t->p->fe, 1);
	post_run(t);
	post_finish(t);
	post_free(t);
}

/* --- hosts that cannot --- */

static int no_userfaultfd(int flags)
{
	(void)flags;
	errno = EPERM;
	return -1;
}

static int no_device(const char *path, int flags, ...)
{
	(void)path, (void)flags;
	errno = EACCES;
	return -1;
}

static unsigned int said;

static void count_reasons(enum vu_log_level level, const char *text, void *opaque)
{
	(void)opaque;
	if (level == VU_LOG_WARNING && strstr(text, "postcopy migration is not offered"))
		said++;
}

static bool is_offered(struct pair *p)
{
	uint64_t pf = 0;

	check_ok(p, vu_frontend_get_protocol_features(p->fe, &pf));
	return vu__has_bit(pf, VU__PF_PAGEFAULT);
}

static void case_50_a_host_that_cannot_says_why_once(void **state)
{
	struct vu_frontend_message m = pair_message(VU__POSTCOPY_ADVISE, 0);
	struct vu__sys saved = vu__sys;

	(void)state;
	vu_set_log_callback(count_reasons, NULL);
	vu__sys.userfaultfd = no_userfaultfd;
	vu__sys.open = no_device;
	for (unsigned int i = 0; i < 3; i++) {
		struct pair *p = pair_new(NULL);

		assert_false(is_offered(p));
		assert_false(is_offered(p));
		check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL, PAIR_ALL));
		pair_expect_refused(p, &m);
		pair_free(p);
	}
	assert_int_equal(said, 1);
	vu_set_log_callback(NULL, NULL);
	vu__sys = saved;
}

static void rights_that_are_given_up_later(void **state)
{
	struct pair *p = pair_new(NULL);
	struct vu__sys saved = vu__sys;
	uint64_t features;
	int ufd;

	(void)state;
	assert_true(is_offered(p));
	pair_lock(p);
	vu__sys.userfaultfd = no_userfaultfd;
	vu__sys.open = no_device;
	pair_unlock(p);
	/* What was offered can be accepted; then there is no fd to be had. */
	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL, PAIR_ALL));
	assert_int_equal(vu_frontend_postcopy_advise(p->fe, &ufd), -EREMOTEIO);
	check_ok(p, vu_frontend_get_features(p->fe, &features));
	pair_lock(p);
	vu__sys = saved;
	pair_unlock(p);
	check_ok(p, vu_frontend_postcopy_advise(p->fe, &ufd));
	close(ufd);
	pair_free(p);
}

static void a_device_may_decline(void **state)
{
	struct pair *p = pair_new(NULL);

	(void)state;
	pair_lock(p);
	vu_set_postcopy(&p->dev, false);
	pair_unlock(p);
	assert_false(is_offered(p));
	pair_lock(p);
	vu_set_postcopy(&p->dev, true);
	pair_unlock(p);
	assert_true(is_offered(p));
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_advise_to_end),
		cmocka_unit_test(region_by_region),
		cmocka_unit_test(a_region_is_added_and_removed_while_queues_run),
		cmocka_unit_test(the_region_of_a_running_ring_is_replaced),
		cmocka_unit_test(huge_pages),
		cmocka_unit_test(end_wakes_those_who_wait),
		cmocka_unit_test(a_new_table_while_a_thread_waits_in_the_old_one),
		cmocka_unit_test(case_50_what_is_out_of_order),
		cmocka_unit_test(listen_is_answered_without_reply_ack_too),
		cmocka_unit_test(before_the_acknowledgement_nothing_else_is_done),
		cmocka_unit_test(a_front_end_that_cannot_keeps_the_old_table),
		cmocka_unit_test(ended_while_the_acknowledgement_is_awaited),
		cmocka_unit_test(memory_that_cannot_be_registered),
		cmocka_unit_test(case_50_a_host_that_cannot_says_why_once),
		cmocka_unit_test(rights_that_are_given_up_later),
		cmocka_unit_test(a_device_may_decline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
