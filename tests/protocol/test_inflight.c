/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests in flight that outlive their back-end, and those that are handed over: cases
 * 20, 35, 43 to 45, 48.  What happens between two stores is tests/mutants/crash's.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "core/inflight.h"
#include "tests/lib/pair.h"

#define NUM   8u
#define QUEUE 0x10000
#define DATA  0x80000

struct region {
	int fd;
	uint64_t size, offset;
	uint16_t queues;
	uint8_t *map;
};

static struct region get_region(struct pair *p, uint16_t queues)
{
	struct region r = {.queues = queues};

	check_ok(p, vu_frontend_get_inflight_fd(p->fe, queues, NUM, &r.fd, &r.size, &r.offset));
	assert_true(r.fd >= 0);
	assert_int_equal(r.offset, 0);
	assert_int_equal(r.size, queues * vu__inflight_stride(NUM, false));
	r.map = mmap(NULL, r.size, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, 0);
	assert_ptr_not_equal(r.map, MAP_FAILED);
	return r;
}

/* File descriptors, once the back-end is done with the last request. */
static int settled_fds(struct pair *p)
{
	uint64_t features;

	check_ok(p, vu_frontend_get_features(p->fe, &features));
	return count_fds();
}

static void set_region(struct pair *p, const struct region *r)
{
	check_ok(p, vu_frontend_set_inflight_fd(p->fe, r->fd, r->size, r->offset, r->queues, NUM));
}

static void free_region(struct region *r)
{
	munmap(r->map, r->size);
	close(r->fd);
}

static VuVirtqInflight *part(const struct region *r, unsigned int queue)
{
	return (VuVirtqInflight *)(void *)(r->map + queue * vu__inflight_stride(NUM, false));
}

static unsigned int count_in_flight(const struct region *r, unsigned int queue)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < NUM; i++)
		n += __atomic_load_n(&part(r, queue)->desc[i].inflight, __ATOMIC_ACQUIRE);
	return n;
}

/* A pair with a device that keeps what it pops, its queue 0 tracked. */
static struct pair *holding(struct region *r, const struct vu_ext_ops *ext)
{
	struct pair_options opt = {.mode = PAIR_HOLD, .ext = ext};
	struct pair *p = pair_ready(&opt);

	*r = get_region(p, PAIR_QUEUES);
	set_region(p, r);
	return p;
}

/* @n requests of one buffer each; the token is the request's number. */
static void submit(struct pair *p, struct vu_frontend_queue *q, unsigned int from, unsigned int n)
{
	(void)p;
	for (unsigned int i = from; i < from + n; i++) {
		struct vu_frontend_buf buf = {DATA + i * 4096, 64, true};

		assert_int_equal(vu_frontend_submit(q, &buf, 1, i), 0);
	}
	assert_true(vu_frontend_kick(q) >= 0);
}

static void take_up(struct pair *p, struct vu_frontend_queue *q, const struct region *r)
{
	pair_negotiate(p);
	check_ok(p, vu_frontend_share_memory(p->fe));
	set_region(p, r);
	check_ok(p, vu_frontend_queue_start(q, 0));
}

/* The request a held element is of, by where its buffer lies. */
static unsigned int request_of(struct pair *p, const VuVirtqElement *e)
{
	uint8_t *base = vu_gpa_to_va(&p->dev, &(uint64_t){1}, DATA);

	return ((uint8_t *)e->in_sg[0].iov_base - base) / 4096;
}

static void complete(struct pair *p, unsigned int i)
{
	pair_lock(p);
	vu_queue_push(&p->dev, &p->dev.vq[0], p->held[i], 64);
	free(p->held[i]);
	p->held[i] = NULL;
	pair_unlock(p);
}

/* Everything outstanding completes once, nothing else does. */
static void all_complete(struct pair *p, struct vu_frontend_queue *q, unsigned int n)
{
	bool seen[64] = {false};
	uint64_t token;

	pair_release_held(p, 0);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, &token, NULL), 1);
		assert_false(seen[token]);
		seen[token] = true;
	}
	assert_int_equal(vu_frontend_outstanding(q), 0);
	assert_int_equal(vu_frontend_reap(q, &token, NULL), 0);
}

static void requests_are_taken_up_again_in_order(void **state)
{
	(void)state;
	for (int in_place = 0; in_place < 2; in_place++) {
		struct region r;
		struct pair *p = holding(&r, NULL);
		struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
		int before = 0;

		submit(p, q, 0, 5);
		pair_wait_popped(p, 5);
		assert_int_equal(count_in_flight(&r, 0), 5);
		/* 3 and 1 are done, 0, 2 and 4 are not. */
		complete(p, 3);
		complete(p, 1);
		assert_int_equal(count_in_flight(&r, 0), 3);
		for (unsigned int round = 0; round < 3; round++) {
			pair_restart(p, in_place);
			take_up(p, q, &r);
			pair_wait_popped(p, 3);
			pair_lock(p);
			assert_int_equal(p->nheld, 3);
			assert_int_equal(request_of(p, p->held[0]), 0);
			assert_int_equal(request_of(p, p->held[1]), 2);
			assert_int_equal(request_of(p, p->held[2]), 4);
			pair_unlock(p);
			if (round)
				assert_int_equal(settled_fds(p), before);
			before = settled_fds(p);
		}
		submit(p, q, 5, 2);
		pair_wait_popped(p, 5);
		all_complete(p, q, 7);
		assert_int_equal(count_in_flight(&r, 0), 0);
		free_region(&r);
		pair_free(p);
	}
}

static void queues_beyond_the_region_are_not_tracked(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct region r = get_region(p, 1);
	struct vu_frontend_queue *q[2];

	(void)state;
	set_region(p, &r);
	q[0] = pair_queue(p, 0, NUM, QUEUE, 0);
	q[1] = pair_queue(p, 1, NUM, QUEUE + 0x4000, 0);
	submit(p, q[0], 0, 1);
	submit(p, q[1], 1, 1);
	pair_wait_popped(p, 2);
	pair_lock(p);
	assert_non_null(p->dev.vq[0].inflight);
	assert_null(p->dev.vq[1].inflight);
	assert_false(vu_queue_abandon(&p->dev, &p->dev.vq[1], p->held[1]));
	pair_unlock(p);
	assert_int_equal(count_in_flight(&r, 0), 1);
	free_region(&r);
	pair_free(p);
}

static void case_35_flags_agree_with_the_ring(void **state)
{
	struct pair_options opt = {.mode = PAIR_NONE};
	struct pair *p = pair_ready(&opt);
	struct region r = get_region(p, PAIR_QUEUES);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
	VuVirtq *vq = &p->dev.vq[0];
	VuVirtqElement *e[6];

	(void)state;
	submit(p, q, 0, 6);
	pair_lock(p);
	for (unsigned int i = 0; i < 6; i++) {
		e[i] = vu_queue_pop(&p->dev, vq, sizeof(*e[i]));
		assert_non_null(e[i]);
	}
	assert_int_equal(count_in_flight(&r, 0), 6);
	vu_queue_unpop(&p->dev, vq, e[5], 0);
	assert_int_equal(count_in_flight(&r, 0), 5);
	assert_true(vu_queue_rewind(&p->dev, vq, 2));
	assert_int_equal(count_in_flight(&r, 0), 3);
	vu_queue_fill(&p->dev, vq, e[0], 1, 0);
	vu_queue_fill(&p->dev, vq, e[2], 1, 1);
	assert_int_equal(count_in_flight(&r, 0), 3);
	vu_queue_flush(&p->dev, vq, 2);
	assert_int_equal(count_in_flight(&r, 0), 1);
	assert_int_equal(part(&r, 0)->used_idx, 2);
	vu_queue_push(&p->dev, vq, e[1], 1);
	assert_int_equal(count_in_flight(&r, 0), 0);
	assert_int_equal(part(&r, 0)->used_idx, 3);
	assert_int_equal(vq->last_avail_idx, 3);
	pair_unlock(p);
	for (unsigned int i = 0; i < 6; i++)
		free(e[i]);
	free_region(&r);
	pair_free(p);
}

/* What was taken up again and is given back is the next to be popped, not lost. */
static void what_is_taken_up_can_be_given_back(void **state)
{
	struct region r;
	struct pair *p = holding(&r, NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
	VuVirtqElement *e[5];
	VuVirtq *vq;

	(void)state;
	submit(p, q, 0, 3);
	pair_wait_popped(p, 3);
	pair_restart(p, false);
	pair_lock(p);
	p->mode = PAIR_NONE;
	pair_unlock(p);
	take_up(p, q, &r);
	submit(p, q, 3, 2);
	vq = &p->dev.vq[0];
	pair_lock(p);
	assert_false(vu_queue_empty(&p->dev, vq));
	assert_true(vu_queue_avail_bytes(&p->dev, vq, 5 * 64, 0));
	assert_false(vu_queue_avail_bytes(&p->dev, vq, 5 * 64 + 1, 0));
	for (unsigned int i = 0; i < 4; i++)
		e[i] = vu_queue_pop(&p->dev, vq, sizeof(*e[i]));
	vu_queue_unpop(&p->dev, vq, e[3], 0);
	vu_queue_unpop(&p->dev, vq, e[2], 0);
	free(e[3]);
	free(e[2]);
	assert_true(vu_queue_rewind(&p->dev, vq, 1));
	free(e[1]);
	for (unsigned int i = 1; i < 5; i++) {
		e[i] = vu_queue_pop(&p->dev, vq, sizeof(*e[i]));
		assert_non_null(e[i]);
		assert_int_equal(request_of(p, e[i]), i);
	}
	assert_null(vu_queue_pop(&p->dev, vq, sizeof(*e[0])));
	assert_int_equal(count_in_flight(&r, 0), 5);
	for (unsigned int i = 0; i < 5; i++) {
		vu_queue_push(&p->dev, vq, e[i], 0);
		free(e[i]);
	}
	assert_int_equal(count_in_flight(&r, 0), 0);
	pair_unlock(p);
	free_region(&r);
	pair_free(p);
}

static void case_43_one_area_at_a_time(void **state)
{
	struct pair *p = pair_ready(NULL);
	static const uint16_t bad[][2] = {{0, 8}, {PAIR_QUEUES + 1, 8}, {1, 0}, {1, 40000}};
	int before = 0;

	(void)state;
	for (unsigned int i = 0; i < 50; i++) {
		struct region r = get_region(p, 1 + i % PAIR_QUEUES);

		free_region(&r);
		if (!i)
			before = settled_fds(p);
		assert_int_equal(settled_fds(p), before);
	}
	for (size_t i = 0; i < VU_ARRAY_SIZE(bad); i++) {
		struct vu_frontend_message m = pair_message(VU__GET_INFLIGHT_FD, 24);

		memcpy(m.payload + 16, bad[i], 4);
		pair_expect_refused(p, &m);
	}
	assert_int_equal(settled_fds(p), before);
	pair_free(p);
}

static void refuse_set(struct pair *p, const struct region *r, uint64_t size, uint64_t offset,
		       uint16_t queues, uint16_t queue_size)
{
	struct vu__inflight_payload payload = {size, offset, queues, queue_size, 0};
	struct vu_frontend_message m = pair_message(VU__SET_INFLIGHT_FD, 24);

	memcpy(m.payload, &payload, sizeof(payload));
	m.nfds = 1;
	m.fds[0] = r->fd;
	pair_expect_refused(p, &m);
}

static void case_44_bad_regions_are_refused(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct region good = get_region(p, 2), r = get_region(p, 2);
	int before;

	(void)state;
	set_region(p, &good);
	before = settled_fds(p);
	refuse_set(p, &r, r.size - 1, 0, 2, NUM);
	refuse_set(p, &r, r.size, 0, 3, NUM);
	refuse_set(p, &r, r.size, 0, PAIR_QUEUES + 1, NUM);
	refuse_set(p, &r, r.size, 64, 2, NUM);
	refuse_set(p, &r, r.size, 0, 2, 32768);
	refuse_set(p, &r, UINT64_MAX - 100, 64, 2, NUM);
	part(&r, 1)->version = 7;
	refuse_set(p, &r, r.size, 0, 2, NUM);
	part(&r, 1)->version = 1;
	part(&r, 1)->desc_num = NUM + 1;
	refuse_set(p, &r, r.size, 0, 2, NUM);
	part(&r, 1)->desc_num = NUM;
	part(&r, 1)->last_batch_head = NUM;
	refuse_set(p, &r, r.size, 0, 2, NUM);
	assert_int_equal(settled_fds(p), before);
	/* What was there before still is. */
	pair_lock(p);
	assert_int_equal(p->dev.inflight_info.size, good.size);
	pair_unlock(p);
	pair_echo(p, pair_queue(p, 0, NUM, QUEUE, 0), 1);
	assert_int_equal(part(&good, 0)->used_idx, 1);
	/* Not while a queue runs. */
	refuse_set(p, &good, good.size, 0, 2, NUM);
	free_region(&good);
	free_region(&r);
	pair_free(p);
}

/* What makes no sense beside the ring: the queue does not start, the rest lives. */
static void case_44_a_queue_does_not_start_from_nonsense(void **state)
{
	struct region r;
	struct pair *p = holding(&r, NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);

	(void)state;
	submit(p, q, 0, 2);
	pair_wait_popped(p, 2);
	pair_restart(p, false);
	part(&r, 0)->desc[7].inflight = 1;
	pair_negotiate(p);
	check_ok(p, vu_frontend_share_memory(p->fe));
	set_region(p, &r);
	assert_int_equal(vu_frontend_queue_start(q, 0), -EREMOTEIO);
	assert_int_equal(p->panics, 0);
	part(&r, 0)->desc[7].inflight = 0;
	/* A ring larger than the region. */
	assert_null(p->dev.vq[0].resubmit_list);
	assert_int_equal(vu_frontend_set_vring_num(p->fe, 0, 2 * NUM), 0);
	assert_int_equal(vu_frontend_set_vring_kick(p->fe, 0, -1), -EREMOTEIO);
	check_ok(p, vu_frontend_queue_start(q, 0));
	pair_wait_popped(p, 2);
	all_complete(p, q, 2);
	free_region(&r);
	pair_free(p);
}

static void case_45_the_first_crash_behind_a_migration(void **state)
{
	struct region r;
	struct pair *p = holding(&r, NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
	struct region fresh;

	(void)state;
	/* The ring has been used before; its region stays behind. */
	for (unsigned int i = 0; i < 3; i++) {
		submit(p, q, 0, 1);
		pair_wait_popped(p, 1 + i);
		all_complete(p, q, 1);
	}
	pair_restart(p, false);
	pair_negotiate(p);
	check_ok(p, vu_frontend_share_memory(p->fe));
	fresh = get_region(p, 1);
	set_region(p, &fresh);
	check_ok(p, vu_frontend_queue_start(q, 0));
	submit(p, q, 0, 1);
	pair_wait_popped(p, 1);
	pair_restart(p, false);
	take_up(p, q, &fresh);
	pair_wait_popped(p, 1);
	all_complete(p, q, 1);
	free_region(&fresh);
	free_region(&r);
	pair_free(p);
}

static void case_48_a_request_that_breaks_the_queue_again(void **state)
{
	struct region r;
	struct pair *p = holding(&r, NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
	struct vu_frontend_ring ring;
	uint64_t value;

	(void)state;
	submit(p, q, 0, 2);
	pair_wait_popped(p, 2);
	pair_restart(p, false);
	vu_frontend_ring(q, &ring);
	ring.desc[0].addr = 1ull << 40;
	take_up(p, q, &r);
	for (int i = 0; i < 5000 && !(vu__event_consume(vu_frontend_err_fd(q), &value), value); i++)
		usleep(1000);
	assert_int_equal(value, 1);
	pair_lock(p);
	assert_int_equal(p->popped, 0);
	assert_true(vu_queue_empty(&p->dev, &p->dev.vq[0]));
	assert_non_null(vu_queue_broken_reason(&p->dev, &p->dev.vq[0]));
	pair_unlock(p);
	check_ok(p, vu_frontend_get_features(p->fe, &value));
	free_region(&r);
	pair_free(p);
}

static void a_reset_leaves_nothing_in_flight(void **state)
{
	struct region r;
	struct pair *p = holding(&r, NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);

	(void)state;
	submit(p, q, 0, 2);
	pair_wait_popped(p, 2);
	check_ok(p, vu_frontend_reset_device(p->fe));
	assert_int_equal(part(&r, 0)->version, 0);
	vu_frontend_queue_reset(q);
	check_ok(p, vu_frontend_queue_start(q, 0));
	assert_int_equal(part(&r, 0)->version, 1);
	assert_int_equal(count_in_flight(&r, 0), 0);
	free_region(&r);
	pair_free(p);
}

/* GET_VRING_BASE right behind a restart: all that was taken before is completed first. */
static void stopping_waits_for_what_is_taken_up(void **state)
{
	struct region r;
	struct pair *p = holding(&r, NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
	uint32_t base;

	(void)state;
	submit(p, q, 0, 4);
	pair_wait_popped(p, 4);
	for (unsigned int i = 0; i < 20; i++) {
		pair_restart(p, i % 2);
		pair_lock(p);
		p->mode = i < 19 ? PAIR_HOLD : PAIR_ECHO;
		vu_set_drain_timeout(&p->dev, i < 19 ? 0 : 5000);
		pair_unlock(p);
		take_up(p, q, &r);
		check_ok(p, vu_frontend_queue_stop(q, &base));
		assert_int_equal(base, 4);
		assert_int_equal(count_in_flight(&r, 0), i < 19 ? 4 : 0);
	}
	all_complete(p, q, 4);
	free_region(&r);
	pair_free(p);
}

/* Nobody pops them: the answer comes when time is up, and the next one finds them all. */
static void what_nobody_takes_up_is_not_lost(void **state)
{
	struct region r;
	struct pair *p = holding(&r, NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
	uint32_t base;

	(void)state;
	submit(p, q, 0, 4);
	pair_wait_popped(p, 4);
	pair_restart(p, false);
	pair_lock(p);
	p->mode = PAIR_NONE;
	vu_set_drain_timeout(&p->dev, 50);
	pair_unlock(p);
	take_up(p, q, &r);
	check_ok(p, vu_frontend_queue_stop(q, &base));
	assert_int_equal(count_in_flight(&r, 0), 4);
	pair_lock(p);
	p->mode = PAIR_HOLD;
	pair_unlock(p);
	check_ok(p, vu_frontend_queue_start(q, 0));
	pair_wait_popped(p, 4);
	all_complete(p, q, 4);
	free_region(&r);
	pair_free(p);
}

/* --- handing requests over --- */

static unsigned int cancels;

/* Gives up all but the first, which is completed meanwhile. */
static void cancel(VuDev *dev, int qidx)
{
	struct pair *p = (struct pair *)dev;
	VuVirtq *vq = vu_get_queue(dev, qidx);

	cancels++;
	for (unsigned int i = 0; i < p->nheld; i++) {
		if (!i)
			vu_queue_push(dev, vq, p->held[i], 64);
		else
			assert_true(vu_queue_abandon(dev, vq, p->held[i]));
		free(p->held[i]);
	}
	p->nheld = 0;
}

static const struct vu_ext_ops cancels_ops = {.size = sizeof(cancels_ops), .cancel = cancel};

static void case_20_requests_are_handed_over(void **state)
{
	struct region r;
	struct pair *p = holding(&r, &cancels_ops);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
	uint32_t base;

	(void)state;
	cancels = 0;
	submit(p, q, 0, 4);
	pair_wait_popped(p, 4);
	check_ok(p, vu_frontend_queue_suspend(q, &base));
	assert_int_equal(cancels, 1);
	/* The one before those in flight, again and again. */
	assert_int_equal(base, 1);
	check_ok(p, vu_frontend_queue_stop(q, &base));
	assert_int_equal(base, 1);
	assert_int_equal(count_in_flight(&r, 0), 3);
	assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	/* Elsewhere, and in the same place: the migration has failed. */
	for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
		if (elsewhere) {
			pair_restart(p, false);
			take_up(p, q, &r);
		} else {
			check_ok(p, vu_frontend_queue_start(q, 0));
		}
		pair_wait_popped(p, elsewhere ? 3 : 7);
		pair_lock(p);
		assert_int_equal(p->nheld, 3);
		for (unsigned int i = 0; i < 3; i++)
			assert_int_equal(request_of(p, p->held[i]), 1 + i);
		pair_unlock(p);
	}
	all_complete(p, q, 3);
	free_region(&r);
	pair_free(p);
}

/* By itself GET_VRING_BASE still waits for completions. */
static void case_20_get_vring_base_still_drains(void **state)
{
	struct pair_options opt = {.mode = PAIR_ECHO, .ext = &cancels_ops};
	struct pair *p = pair_ready(&opt);
	struct region r = get_region(p, 1);
	struct vu_frontend_queue *q = pair_queue(p, 0, NUM, QUEUE, 0);
	uint32_t base;

	(void)state;
	cancels = 0;
	submit(p, q, 0, 4);
	pair_wait_popped(p, 4);
	check_ok(p, vu_frontend_queue_stop(q, &base));
	assert_int_equal(base, 4);
	assert_int_equal(cancels, 0);
	free_region(&r);
	pair_free(p);
}

static void without_the_second_message_the_first_hands_over(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD, .ext = &cancels_ops};
	struct pair *p = pair_new(&opt);
	struct vu_frontend_queue *q;
	struct region r;
	uint32_t base;

	(void)state;
	cancels = 0;
	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL & ~VU_BIT(VU__F_NOTIFY_ON_EMPTY),
					  ~VU_BIT(VU__PF_GET_VRING_BASE_SKIP_DRAIN)));
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 1 << 20, 0), 0);
	check_ok(p, vu_frontend_share_memory(p->fe));
	r = get_region(p, 1);
	q = pair_queue(p, 0, NUM, QUEUE, 0);
	submit(p, q, 0, 3);
	pair_wait_popped(p, 3);
	check_ok(p, vu_frontend_queue_stop(q, &base));
	assert_int_equal(cancels, 1);
	assert_int_equal(base, 1);
	assert_int_equal(count_in_flight(&r, 0), 2);
	free_region(&r);
	pair_free(p);
}

static void handing_over_is_offered_by_those_who_can(void **state)
{
	const uint64_t both = VU_BIT(VU__PF_GET_VRING_BASE_INFLIGHT) |
			      VU_BIT(VU__PF_GET_VRING_BASE_SKIP_DRAIN);
	struct pair_options opt = {.ext = &cancels_ops};
	struct pair *p = pair_new(NULL);
	uint64_t offered;

	(void)state;
	check_ok(p, vu_frontend_get_protocol_features(p->fe, &offered));
	assert_int_equal(offered & both, 0);
	pair_free(p);
	p = pair_new(&opt);
	check_ok(p, vu_frontend_get_protocol_features(p->fe, &offered));
	assert_int_equal(offered & both, both);
	check_ok(p, vu_frontend_set_protocol_features(p->fe, VU_BIT(VU__PF_REPLY_ACK)));
	assert_int_equal(vu_frontend_set_protocol_features(p->fe, offered &
					~VU_BIT(VU__PF_INFLIGHT_SHMFD)), -EREMOTEIO);
	assert_int_equal(vu_frontend_set_protocol_features(p->fe, offered &
					~VU_BIT(VU__PF_GET_VRING_BASE_INFLIGHT)), -EREMOTEIO);
	check_ok(p, vu_frontend_set_protocol_features(p->fe, offered));
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_taken_up_again_in_order),
		cmocka_unit_test(queues_beyond_the_region_are_not_tracked),
		cmocka_unit_test(case_35_flags_agree_with_the_ring),
		cmocka_unit_test(what_is_taken_up_can_be_given_back),
		cmocka_unit_test(case_43_one_area_at_a_time),
		cmocka_unit_test(case_44_bad_regions_are_refused),
		cmocka_unit_test(case_44_a_queue_does_not_start_from_nonsense),
		cmocka_unit_test(case_45_the_first_crash_behind_a_migration),
		cmocka_unit_test(case_48_a_request_that_breaks_the_queue_again),
		cmocka_unit_test(a_reset_leaves_nothing_in_flight),
		cmocka_unit_test(stopping_waits_for_what_is_taken_up),
		cmocka_unit_test(what_nobody_takes_up_is_not_lost),
		cmocka_unit_test(case_20_requests_are_handed_over),
		cmocka_unit_test(case_20_get_vring_base_still_drains),
		cmocka_unit_test(without_the_second_message_the_first_hands_over),
		cmocka_unit_test(handing_over_is_offered_by_those_who_can),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
