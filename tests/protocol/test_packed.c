/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed rings end to end: what is popped is what was submitted, in rings of any size,
 * whatever order it is completed in; where a queue goes on that was stopped, or whose
 * back-end has died.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_ring.h>

#include "base/fd.h"
#include "tests/lib/pair.h"

#define WRAP	 0x8000u
#define RING	 0x100000 /* the largest one ends before the data */
#define DATA	 0x200000
#define TABLES	 0x300000
#define MEMORY	 (32u << 20)
#define MAX_BUFS 20u
#define MANY	 65536u

static uint64_t rng = 88172645463325252ULL;

static uint64_t any(uint64_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % below;
}

/* --- a model of a ring: what is where, and in which order --- */

struct request {
	uint64_t token;
	unsigned int n, slots;
	struct vu_frontend_buf bufs[MAX_BUFS];
};

struct model {
	struct pair *p;
	struct vu_frontend_queue *q;
	VuVirtq *vq;
	uint8_t *mem; /* the device's */
	unsigned int num;
	bool in_order;
	struct request *requests; /* by token; so many are enough */
	uint64_t sent, popped, reaped, completed;
	uint64_t avail, used; /* slots so far */
	struct {
		VuVirtqElement *e;
		uint64_t token;
	} *held; /* in flight, in the order they were popped */
	unsigned int nheld, row; /* of the last popped none is complete */
	struct {
		uint64_t token;
		uint32_t len;
	} *done; /* ring of completions to be reaped */
};

static struct request *request(struct model *m, uint64_t token)
{
	return &m->requests[token % MANY];
}

static uint16_t place(const struct model *m, uint64_t slots)
{
	return slots % m->num | (slots / m->num % 2 ? 0 : WRAP);
}

static void model_init(struct model *m, struct pair *p, struct vu_frontend_queue *q,
		       unsigned int num, bool in_order)
{
	*m = (struct model){.p = p, .q = q, .vq = &p->dev.vq[0], .num = num,
			    .in_order = in_order,
			    .mem = vu_gpa_to_va(&p->dev, &(uint64_t){1}, 0)};
	m->requests = calloc(MANY, sizeof(*m->requests));
	m->held = calloc(num, sizeof(*m->held));
	m->done = calloc(MANY, sizeof(*m->done));
	assert_true(m->requests && m->held && m->done);
}

static void model_end(struct model *m)
{
	free(m->requests);
	free(m->held);
	free(m->done);
}

static bool submit_one(struct model *m)
{
	struct request *r = request(m, m->sent);
	bool indirect = any(4) == 0;
	unsigned int most = indirect ? MAX_BUFS : VU_MIN(m->num, MAX_BUFS), readable;
	int ret;

	r->token = m->sent;
	/* Mostly short ones, as in life. */
	r->n = 1 + any(any(4) ? VU_MIN(most, 3) : most);
	r->slots = indirect ? 1 : r->n;
	readable = any(r->n + 1);
	for (unsigned int i = 0; i < r->n; i++)
		r->bufs[i] = (struct vu_frontend_buf){DATA + any(1 << 16) * 16, 1 + any(16),
						      i >= readable};
	vu_frontend_use_indirect(m->q, indirect ? TABLES : 0, MAX_BUFS);
	ret = vu_frontend_submit(m->q, r->bufs, r->n, r->token);
	assert_true(!ret || ret == -ENOSPC);
	m->sent += !ret;
	return !ret;
}

static void check_element(struct model *m, const VuVirtqElement *e, const struct request *r)
{
	assert_int_equal(e->out_num + e->in_num, r->n);
	assert_true(e->index < m->num);
	for (unsigned int i = 0; i < r->n; i++) {
		const struct iovec *v = i < e->out_num ? &e->out_sg[i] :
							 &e->in_sg[i - e->out_num];

		assert_int_equal(r->bufs[i].write, i >= e->out_num);
		assert_ptr_equal(v->iov_base, m->mem + r->bufs[i].gpa);
		assert_int_equal(v->iov_len, r->bufs[i].len);
	}
}

static void check_places(struct model *m)
{
	assert_int_equal(m->vq->last_avail_idx, place(m, m->avail));
	assert_int_equal(m->vq->used_idx, place(m, m->used));
	assert_int_equal(m->vq->inuse, m->nheld);
}

/* Not in flight twice under the same number. */
static void check_index(struct model *m, const VuVirtqElement *e)
{
	for (unsigned int i = 0; i < m->nheld && m->nheld < 16; i++)
		assert_int_not_equal(m->held[i].e->index, e->index);
}

static bool pop_one(struct model *m)
{
	VuVirtqElement *e = vu_queue_pop(&m->p->dev, m->vq, sizeof(*e));

	assert_int_equal(!!e, m->popped < m->sent);
	if (!e) {
		assert_null(vu_queue_broken_reason(&m->p->dev, m->vq));
		return false;
	}
	check_element(m, e, request(m, m->popped));
	check_index(m, e);
	m->held[m->nheld].e = e;
	m->held[m->nheld++].token = m->popped;
	m->avail += request(m, m->popped)->slots;
	m->popped++;
	m->row++;
	return true;
}

static void put_back(struct model *m, bool free_it)
{
	m->popped--;
	m->nheld--;
	m->row--;
	m->avail -= request(m, m->popped)->slots;
	if (free_it)
		free(m->held[m->nheld].e);
}

static void unpop_some(struct model *m, unsigned int n)
{
	while (n-- && m->row) {
		vu_queue_unpop(&m->p->dev, m->vq, m->held[m->nheld - 1].e, 0);
		put_back(m, true);
	}
}

static void rewind_some(struct model *m, unsigned int n)
{
	n = VU_MIN(n, m->row);
	assert_true(vu_queue_rewind(&m->p->dev, m->vq, n));
	while (n--)
		put_back(m, true);
	assert_false(vu_queue_rewind(&m->p->dev, m->vq, m->nheld + 1));
}

/* Takes one out of flight that is to be completed; its length and token are noted. */
static VuVirtqElement *choose(struct model *m, uint32_t *len)
{
	unsigned int i = m->in_order ? 0 : any(m->nheld);
	VuVirtqElement *e = m->held[i].e;
	uint64_t token = m->held[i].token;

	*len = any(3) ? any(1 << 20) : 0;
	m->done[m->completed % MANY].token = token;
	m->done[m->completed % MANY].len = *len;
	m->completed++;
	m->used += request(m, token)->slots;
	m->nheld--;
	memmove(&m->held[i], &m->held[i + 1], (m->nheld - i) * sizeof(m->held[0]));
	m->row = VU_MIN(m->row, m->nheld - i);
	return e;
}

static void complete_some(struct model *m, unsigned int n)
{
	bool batch = any(2);
	uint32_t len;

	n = VU_MIN(n, m->nheld);
	for (unsigned int i = 0; i < n; i++) {
		VuVirtqElement *e = choose(m, &len);

		if (batch)
			vu_queue_fill(&m->p->dev, m->vq, e, len, i);
		else
			vu_queue_push(&m->p->dev, m->vq, e, len);
		free(e);
	}
	if (batch)
		vu_queue_flush(&m->p->dev, m->vq, n);
}

static void reap_some(struct model *m, uint64_t n)
{
	while (n-- && m->reaped < m->completed) {
		uint64_t token;
		uint32_t len;

		assert_int_equal(vu_frontend_reap(m->q, &token, &len), 1);
		assert_int_equal(token, m->done[m->reaped % MANY].token);
		assert_int_equal(len, m->done[m->reaped % MANY].len);
		m->reaped++;
	}
	if (m->reaped == m->completed)
		assert_int_equal(vu_frontend_reap(m->q, NULL, NULL), 0);
	assert_int_equal(vu_frontend_outstanding(m->q), m->sent - m->reaped);
}

static void check_bytes(struct model *m)
{
	uint64_t in = 0, out = 0;
	unsigned int got_in, got_out;

	for (uint64_t t = m->popped; t < m->sent; t++) {
		const struct request *r = request(m, t);

		for (unsigned int i = 0; i < r->n; i++)
			*(r->bufs[i].write ? &in : &out) += r->bufs[i].len;
	}
	vu_queue_get_avail_bytes(&m->p->dev, m->vq, &got_in, &got_out, UINT32_MAX, UINT32_MAX);
	assert_int_equal(got_in, in);
	assert_int_equal(got_out, out);
	assert_true(vu_queue_avail_bytes(&m->p->dev, m->vq, in, out));
	assert_false(vu_queue_avail_bytes(&m->p->dev, m->vq, in + 1, out));
	assert_false(vu_queue_avail_bytes(&m->p->dev, m->vq, in, out + 1));
}

static void step(struct model *m)
{
	unsigned int n = 1 + any(any(8) ? 8 : 2 * m->num);

	switch (any(8)) {
	case 0:
	case 1:
		while (n-- && submit_one(m))
			;
		break;
	case 2:
	case 3:
		while (n-- && pop_one(m))
			;
		break;
	case 4:
		complete_some(m, n);
		break;
	case 5:
		reap_some(m, n);
		break;
	case 6:
		if (any(2))
			unpop_some(m, any(4));
		else
			rewind_some(m, any(4));
		break;
	case 7:
		assert_int_equal(vu_queue_empty(&m->p->dev, m->vq), m->popped == m->sent);
		if (any(16) == 0 && m->sent - m->popped < 2000)
			check_bytes(m);
		break;
	}
	check_places(m);
}

static void run_model(unsigned int num, bool in_order, uint64_t total)
{
	struct pair_options opt = {.mode = PAIR_NONE, .packed = true};
	struct pair *p = pair_ready_without(&opt, any(2) ? VU_BIT(VU__F_EVENT_IDX) : 0, MEMORY);
	struct vu_frontend_queue *q = pair_queue(p, 0, num, RING, 0);
	struct model m;

	model_init(&m, p, q, num, in_order);
	pair_lock(p);
	assert_null(m.vq->vring.desc);
	assert_null(m.vq->vring.avail);
	assert_null(m.vq->vring.used);
	for (uint64_t steps = 0; m.reaped < total; steps++) {
		step(&m);
		if (steps > 1000 + 1000 * total)
			fail_msg("a ring of %u stands still", num);
	}
	while (m.nheld)
		complete_some(&m, m.nheld);
	while (pop_one(&m))
		complete_some(&m, 1);
	check_places(&m);
	pair_unlock(p);
	reap_some(&m, UINT64_MAX);
	assert_int_equal(vu_frontend_outstanding(q), 0);
	model_end(&m);
	pair_free(p);
}

#ifndef __has_feature
#define __has_feature(x) 0
#endif
/* All in one thread, which is nothing for that sanitizer. */
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define ELEMENTS 10000
#else
#define ELEMENTS (3 * 65536 + 1000)
#endif

static void elements_are_what_was_submitted(void **state)
{
	static const unsigned int sizes[] = {1, 2, 3, 7, 256, 32768};
	uint64_t total = getenv("VU_LONG") ? 10 * ELEMENTS : ELEMENTS;

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(sizes); i++) {
		run_model(sizes[i], true, total / 4);
		run_model(sizes[i], false, total);
	}
}

/* As long as the ring, from any slot; as many pieces as an element may have. */
static void a_chain_as_long_as_the_ring(void **state)
{
	struct pair_options opt = {.packed = true};
	struct pair *p = pair_ready_without(&opt, 0, MEMORY);
	struct vu_frontend_queue *q = pair_queue(p, 0, VIRTQUEUE_MAX_SIZE, RING, 0);
	static struct vu_frontend_buf bufs[VIRTQUEUE_MAX_SIZE];

	(void)state;
	for (unsigned int round = 0; round < 20; round++) {
		uint64_t token;
		uint32_t len;

		for (unsigned int b = 0; b < VIRTQUEUE_MAX_SIZE; b++)
			bufs[b] = (struct vu_frontend_buf){DATA + b, 1,
							   b >= VIRTQUEUE_MAX_SIZE / 2};
		memset(vu_frontend_ptr(p->fe, DATA, VIRTQUEUE_MAX_SIZE), round,
		       VIRTQUEUE_MAX_SIZE / 2);
		assert_int_equal(vu_frontend_submit(q, bufs, VIRTQUEUE_MAX_SIZE, round), 0);
		vu_frontend_kick(q);
		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, &token, &len), 1);
		assert_int_equal(token, round);
		assert_int_equal(len, VIRTQUEUE_MAX_SIZE / 2);
		for (unsigned int b = 0; b < VIRTQUEUE_MAX_SIZE; b++)
			assert_int_equal(*(uint8_t *)vu_frontend_ptr(p->fe, DATA + b, 1), round);
		vu_frontend_use_indirect(q, TABLES, VIRTQUEUE_MAX_SIZE);
		pair_echo(p, q, round);
		vu_frontend_use_indirect(q, 0, 0);
	}
	pair_free(p);
}

static void echoes_through_rings_of_any_size(void **state)
{
	static const unsigned int sizes[] = {1, 2, 3, 5, 100, 255, 32767, 32768};
	struct pair_options opt = {.packed = true};

	(void)state;
	for (unsigned int without = 0; without < 2; without++) {
		for (unsigned int i = 0; i < VU_ARRAY_SIZE(sizes); i++) {
			struct pair *p = pair_ready_without(
				&opt, without ? VU_BIT(VU__F_EVENT_IDX) : 0, MEMORY);
			struct vu_frontend_queue *q = pair_queue(p, 0, sizes[i], RING, 0);

			if (sizes[i] == 1)
				vu_frontend_use_indirect(q, TABLES, 2);
			for (unsigned int n = 0; n < 1000; n++)
				pair_echo(p, q, n);
			assert_null(vu_queue_broken_reason(&p->dev, &p->dev.vq[0]));
			pair_free(p);
		}
	}
}

/* --- messages --- */

static void sizes_are_any_but_too_large(void **state)
{
	struct pair_options opt = {.packed = true};
	struct pair *p = pair_ready(&opt);
	static const uint32_t bad[] = {0, 32769, 65536, 65539, UINT32_MAX};
	static const uint32_t good[] = {1, 3, 100, 32767, 32768};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(bad); i++)
		assert_int_equal(vu_frontend_set_vring_num(p->fe, 0, bad[i]), -EREMOTEIO);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(good); i++)
		check_ok(p, vu_frontend_set_vring_num(p->fe, 0, good[i]));
	pair_free(p);
}

static void areas_lie_in_memory(void **state)
{
	struct pair_options opt = {.packed = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_region r;
	uint64_t at, end;
	unsigned int num = 15;

	(void)state;
	check_ok(p, vu_frontend_region(p->fe, 0, &r));
	at = r.uaddr;
	end = r.uaddr + r.size;
	check_ok(p, vu_frontend_set_vring_num(p->fe, 0, num));
#define SET(d, u, a) vu_frontend_set_vring_addr(p->fe, 0, 0, d, u, a, 0)
	check_ok(p, SET(at, at + 8192, at + 4096));
	/* Four bytes each, to the last one. */
	check_ok(p, SET(end - num * 16, at, at + 4));
	check_ok(p, SET(at, end - 4, end - 8));
	assert_int_equal(SET(0, at + 8192, at + 4096), -EREMOTEIO);
	assert_int_equal(SET(at, 0, at + 4096), -EREMOTEIO);
	assert_int_equal(SET(at, at + 8192, 0), -EREMOTEIO);
	assert_int_equal(SET(UINT64_MAX - 15, at + 8192, at + 4096), -EREMOTEIO);
	assert_int_equal(SET(end - num * 16 + 16, at + 8192, at + 4096), -EREMOTEIO);
	assert_int_equal(SET(at, end, at + 4096), -EREMOTEIO);
	assert_int_equal(SET(at, at + 8192, end), -EREMOTEIO);
	assert_int_equal(SET(at, at + 8192, at - 4), -EREMOTEIO);
	assert_int_equal(SET(at + 8, at + 8192, at + 4096), -EREMOTEIO);
	assert_int_equal(SET(at, at + 8194, at + 4096), -EREMOTEIO);
	assert_int_equal(SET(at, at + 8192, at + 4098), -EREMOTEIO);
#undef SET
	pair_free(p);
}

/* --- where a queue goes on --- */

/* The base that says both places. */
static uint32_t base_of(unsigned int num, uint64_t avail, uint64_t used)
{
	struct model m = {.num = num};

	return place(&m, avail) | (uint32_t)place(&m, used) << 16;
}

static void a_stopped_queue_goes_on_where_it_was(void **state)
{
	struct pair_options opt = {.packed = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 7, 0, 0);
	uint64_t slots = 0;

	(void)state;
	for (unsigned int round = 0; round < 60; round++) {
		uint32_t base;

		for (unsigned int i = 0; i < round % 8; i++, slots += 2)
			pair_echo(p, q, i);
		check_ok(p, vu_frontend_queue_stop(q, &base));
		assert_int_equal(base, base_of(7, slots, slots));
		/* Told again what it was told. */
		check_ok(p, vu_frontend_get_vring_base(p->fe, 0, &base));
		assert_int_equal(base, base_of(7, slots, slots));
		check_ok(p, vu_frontend_queue_start(q, 0));
	}
	pair_free(p);
}

static void starting_takes_up_what_is_there(void **state)
{
	struct pair_options opt = {.packed = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = vu_frontend_queue_new(p->fe, 0, 31, 0);
	struct vu_frontend_buf buf = {0x80000, 64, true};

	(void)state;
	assert_non_null(q);
	/* Nobody kicks here. */
	for (unsigned int round = 0; round < 9; round++) {
		for (unsigned int i = 0; i < 10; i++)
			assert_int_equal(vu_frontend_submit(q, &buf, 1, i), 0);
		check_ok(p, vu_frontend_queue_start(q, 0));
		for (unsigned int i = 0; i < 10; i++) {
			assert_int_equal(vu_frontend_wait(q, 5000), 0);
			assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
		}
		check_ok(p, vu_frontend_queue_stop(q, NULL));
	}
	pair_free(p);
}

static void submit_single(struct vu_frontend_queue *q, unsigned int first, unsigned int n)
{
	for (unsigned int i = first; i < first + n; i++) {
		struct vu_frontend_buf buf = {0x80000 + 4096 * (i % 16), 64, true};

		assert_int_equal(vu_frontend_submit(q, &buf, 1, i), 0);
	}
	assert_true(vu_frontend_kick(q) >= 0);
}

static void expect_tokens(struct vu_frontend_queue *q, unsigned int first, unsigned int n)
{
	for (unsigned int i = first; i < first + n; i++) {
		uint64_t token;

		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, &token, NULL), 1);
		assert_int_equal(token, i);
	}
}

/*
 * A front-end that knows 16 bits: DPDK's, which says 0x8000 of a fresh ring.  Here at each
 * place, with buffers of one descriptor: what else lies in a ring says nothing for sure.
 */
static void a_front_end_that_says_half_of_it(void **state)
{
	struct pair_options opt = {.packed = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 5, 0, 0);
	unsigned int slots = 0;

	(void)state;
	for (unsigned int round = 0; round < 25; round++) {
		unsigned int n = 1 + round % 3;
		uint32_t base;

		check_ok(p, vu_frontend_queue_stop(q, &base));
		assert_int_equal(base, base_of(5, slots, slots));
		check_ok(p, vu_frontend_set_vring_base(p->fe, 0, base & UINT16_MAX));
		check_ok(p, vu_frontend_set_vring_kick(p->fe, 0, vu_frontend_kick_fd(q)));
		submit_single(q, slots, n);
		expect_tokens(q, slots, n);
		slots += n;
	}
	pair_free(p);
}

/*
 * Both halves when used descriptors go to slot 0 of the second round: the upper one is 0
 * as in a front-end of 16 bits, and is meant.
 */
static void a_used_place_of_0_may_be_meant(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD, .packed = true, .in_order = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 5, 0, 0);
	uint32_t base;

	(void)state;
	submit_single(q, 0, 5);
	pair_wait_popped(p, 5);
	pair_release_held(p, 0);
	expect_tokens(q, 0, 5);
	submit_single(q, 5, 3);
	pair_wait_popped(p, 8);
	vu_set_drain_timeout(&p->dev, 0);
	check_ok(p, vu_frontend_queue_stop(q, &base));
	assert_int_equal(base, base_of(5, 8, 5));
	assert_int_equal(base >> 16, 0);
	pair_lock(p);
	p->mode = PAIR_ECHO;
	pair_unlock(p);
	check_ok(p, vu_frontend_queue_start(q, 0));
	expect_tokens(q, 5, 3);
	submit_single(q, 8, 3);
	expect_tokens(q, 8, 3);
	pair_free(p);
}

static void an_in_order_device_resumes_at_the_used_place(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD, .packed = true, .in_order = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 11, 0, 0);
	uint32_t base;

	(void)state;
	vu_set_drain_timeout(&p->dev, 0);
	for (unsigned int round = 0; round < 30; round++) {
		submit_single(q, 3 * round, 3);
		pair_wait_popped(p, 6 * round + 3);
		check_ok(p, vu_frontend_queue_stop(q, &base));
		assert_int_equal(base, base_of(11, 3 * round + 3, 3 * round));
		pair_lock(p);
		/* The ones given up complete nothing. */
		for (unsigned int i = 0; i < p->nheld; i++) {
			vu_queue_push(&p->dev, &p->dev.vq[0], p->held[i], 1);
			free(p->held[i]);
		}
		p->nheld = 0;
		pair_unlock(p);
		check_ok(p, vu_frontend_queue_start(q, 0));
		pair_wait_popped(p, 6 * round + 6);
		assert_int_equal(vu_frontend_reap(q, NULL, NULL), 0);
		pair_release_held(p, 0);
		expect_tokens(q, 3 * round, 3);
	}
	pair_free(p);
}

/* Slots that are none. */
static void bases_that_make_no_sense(void **state)
{
	static const uint32_t bad[] = {0x80008005, 0x80057fff, 0xffffffff, 0x80058000,
				       0xffff8000, 0x00000005, 0x00050000};
	struct pair_options opt = {.packed = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 5, 0, 0);

	(void)state;
	pair_echo(p, q, 1);
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(bad); i++) {
		int ret = vu_frontend_set_vring_base(p->fe, 0, bad[i]);

		if (!ret)
			ret = vu_frontend_set_vring_kick(p->fe, 0, vu_frontend_kick_fd(q));
		if (ret != -EREMOTEIO)
			fail_msg("base 0x%x: %d", bad[i], ret);
	}
	check_ok(p, vu_frontend_queue_start(q, 0));
	pair_echo(p, q, 2);
	pair_free(p);
}

static void serve_all(struct pair *p)
{
	VuVirtqElement *e;

	pair_lock(p);
	while ((e = vu_queue_pop(&p->dev, &p->dev.vq[0], sizeof(*e)))) {
		vu_queue_push(&p->dev, &p->dev.vq[0], e, 1);
		free(e);
	}
	pair_unlock(p);
}

/*
 * Two places that cannot belong together: more used than available, or more between them
 * than the ring has.  Whatever the queue makes of it, it does not write where it must not,
 * and ends well.
 */
static void places_that_do_not_belong_together(void **state)
{
	static const uint32_t odd[] = {0x80018000, 0x80048000, 0x80000001, 0x00048004,
				       0x80040000, 0x00000000, 0x00008000};
	struct pair_options opt = {.packed = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 5, 0, 0);

	(void)state;
	vu_set_drain_timeout(&p->dev, 0);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(odd); i++) {
		pair_echo(p, q, 1);
		submit_single(q, 0, 3);
		check_ok(p, vu_frontend_queue_stop(q, NULL));
		if (!vu_frontend_set_vring_base(p->fe, 0, odd[i]) &&
		    !vu_frontend_set_vring_kick(p->fe, 0, vu_frontend_kick_fd(q))) {
			serve_all(p);
			check_ok(p, vu_frontend_queue_stop(q, NULL));
		}
		vu_frontend_queue_reset(q);
		check_ok(p, vu_frontend_queue_start(q, 0));
	}
	pair_echo(p, q, 2);
	pair_free(p);
}

/* Without a region; a device that completes in order needs none. */
static void a_new_back_end_goes_on_behind_what_is_used(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD, .packed = true, .in_order = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 7, 0, 0);
	unsigned int first = 0;

	(void)state;
	for (unsigned int round = 0; round < 20; round++, first += 5) {
		submit_single(q, first, 5);
		pair_wait_popped(p, 5);
		pair_lock(p);
		for (unsigned int i = 0; i < 2; i++) {
			vu_queue_push(&p->dev, &p->dev.vq[0], p->held[i], 64);
			free(p->held[i]);
			p->held[i] = NULL;
		}
		pair_unlock(p);
		/* One of the two is reaped before, one after. */
		expect_tokens(q, first, 1);
		pair_restart(p, round % 2);
		pair_negotiate(p);
		check_ok(p, vu_frontend_share_memory(p->fe));
		check_ok(p, vu_frontend_queue_start(q, 0));
		pair_wait_popped(p, 3);
		pair_release_held(p, 0);
		expect_tokens(q, first + 1, 4);
		assert_int_equal(vu_frontend_outstanding(q), 0);
		pair_lock(p);
		p->popped = 0;
		pair_unlock(p);
	}
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements_are_what_was_submitted),
		cmocka_unit_test(a_chain_as_long_as_the_ring),
		cmocka_unit_test(echoes_through_rings_of_any_size),
		cmocka_unit_test(sizes_are_any_but_too_large),
		cmocka_unit_test(areas_lie_in_memory),
		cmocka_unit_test(a_stopped_queue_goes_on_where_it_was),
		cmocka_unit_test(starting_takes_up_what_is_there),
		cmocka_unit_test(a_front_end_that_says_half_of_it),
		cmocka_unit_test(a_used_place_of_0_may_be_meant),
		cmocka_unit_test(an_in_order_device_resumes_at_the_used_place),
		cmocka_unit_test(bases_that_make_no_sense),
		cmocka_unit_test(places_that_do_not_belong_together),
		cmocka_unit_test(a_new_back_end_goes_on_behind_what_is_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
