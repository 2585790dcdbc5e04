/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Elements that are popped and completed together, in rings of both kinds. */
#include <errno.h>

#include "tests/lib/pair.h"

#define NUM  256u
#define DATA 0x40000
#define MAX  32u

struct scene {
	struct pair *p;
	struct vu_frontend_queue *q;
	VuVirtq *vq;
	struct vu_burst *b;
	VuVirtqElement *elems[NUM];
	unsigned int lens[NUM];
};

/* The device does nothing by itself; what it would do, a test does. */
static struct scene begin(bool packed, unsigned int max)
{
	struct pair_options opt = {.mode = PAIR_NONE, .packed = packed};
	struct scene s = {.p = pair_ready(&opt)};

	s.q = pair_queue(s.p, 0, NUM, 0, 0);
	s.vq = &s.p->dev.vq[0];
	s.b = vu_burst_new(max, sizeof(VuVirtqElement));
	assert_non_null(s.b);
	return s;
}

static void end(struct scene *s)
{
	vu_burst_free(s->b);
	pair_free(s->p);
}

/* Requests of so many buffers of 16 bytes each, the last of which is writable. */
static void submit(struct scene *s, uint64_t token, unsigned int n, unsigned int buffers)
{
	struct vu_frontend_buf bufs[NUM];

	for (unsigned int i = 0; i < n; i++) {
		for (unsigned int k = 0; k < buffers; k++)
			bufs[k] = (struct vu_frontend_buf){DATA + (token + i) * 16, 16,
							   k + 1 == buffers};
		check_ok(s->p, vu_frontend_submit(s->q, bufs, buffers, token + i));
	}
}

static unsigned int pop(struct scene *s, unsigned int n)
{
	unsigned int got;

	pair_lock(s->p);
	got = vu_queue_pop_burst(&s->p->dev, s->vq, s->b, s->elems, n);
	pair_unlock(s->p);
	return got;
}

static void push(struct scene *s, unsigned int n)
{
	pair_lock(s->p);
	vu_queue_push_burst(&s->p->dev, s->vq, s->elems, s->lens, n);
	pair_unlock(s->p);
}

static void expect(struct scene *s, uint64_t token, uint32_t len)
{
	uint64_t got;
	uint32_t got_len;

	assert_int_equal(vu_frontend_reap(s->q, &got, &got_len), 1);
	assert_int_equal(got, token);
	assert_int_equal(got_len, len);
}

static void as_many_as_there_are(bool packed)
{
	struct scene s = begin(packed, MAX);

	assert_int_equal(pop(&s, MAX), 0);
	/* Over the ring's end, many times. */
	for (uint64_t token = 0; token < 20 * NUM; token += 50) {
		submit(&s, token, 50, 2);
		assert_int_equal(pop(&s, NUM), MAX);
		for (unsigned int i = 0; i < MAX; i++) {
			assert_int_equal(s.elems[i]->out_num, 1);
			assert_int_equal(s.elems[i]->in_num, 1);
			assert_ptr_equal(s.elems[i]->out_sg[0].iov_base,
					 s.elems[i]->in_sg[0].iov_base);
			s.lens[i] = i;
		}
		push(&s, MAX);
		for (unsigned int i = 0; i < MAX; i++)
			expect(&s, token + i, i);
		/* No more than are asked for. */
		assert_int_equal(pop(&s, 5), 5);
		push(&s, 5);
		for (unsigned int i = 0; i < 5; i++)
			expect(&s, token + MAX + i, i);
		assert_int_equal(pop(&s, 13), 13);
		push(&s, 13);
		for (unsigned int i = 0; i < 13; i++)
			expect(&s, token + MAX + 5 + i, i);
		assert_int_equal(vu_frontend_reap(s.q, NULL, NULL), 0);
	}
	end(&s);
}

static void split_rings(void **state)
{
	(void)state;
	as_many_as_there_are(false);
}

static void packed_rings(void **state)
{
	(void)state;
	as_many_as_there_are(true);
}

/* Whatever their order, and the driver sees no part of them. */
static void in_any_order(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct scene s = begin(packed, MAX);

		submit(&s, 0, MAX, 2);
		assert_int_equal(pop(&s, MAX), MAX);
		for (unsigned int i = 0; i < MAX / 2; i++) {
			VuVirtqElement *e = s.elems[i];

			s.elems[i] = s.elems[MAX - 1 - i];
			s.elems[MAX - 1 - i] = e;
			s.lens[i] = s.lens[MAX - 1 - i] = 1;
		}
		push(&s, MAX);
		for (unsigned int i = 0; i < MAX; i++)
			expect(&s, MAX - 1 - i, 1);
		end(&s);
	}
}

static void what_is_not_in_flight_is_left_out(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct scene s = begin(packed, MAX);
		VuVirtqElement foreign = {.index = NUM + 5};

		submit(&s, 0, 3, 2);
		assert_int_equal(pop(&s, MAX), 3);
		s.elems[3] = s.elems[2];
		s.elems[2] = &foreign;
		s.elems[1] = s.elems[0];
		push(&s, 4);
		expect(&s, 0, 0);
		expect(&s, 2, 0);
		assert_int_equal(vu_frontend_reap(s.q, NULL, NULL), 0);
		assert_int_equal(s.vq->inuse, 1);
		end(&s);
	}
}

/* One that leaves no room for another of the longest there may be ends the burst. */
static void elements_of_many_buffers(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct scene s = begin(packed, 2);

		submit(&s, 0, 2, 120);
		for (unsigned int i = 0; i < 2; i++) {
			assert_int_equal(pop(&s, 2), 1);
			assert_int_equal(s.elems[0]->out_num, 119);
			assert_int_equal(s.elems[0]->in_num, 1);
			push(&s, 1);
			expect(&s, i, 0);
		}
		assert_int_equal(pop(&s, 2), 0);
		end(&s);
	}
}

/* An element on the heap may be completed with a burst, and the other way round. */
static void mixed_with_single_ones(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct scene s = begin(packed, MAX);
		VuVirtqElement *single;

		submit(&s, 0, 3, 2);
		pair_lock(s.p);
		single = vu_queue_pop(&s.p->dev, s.vq, sizeof(*single));
		pair_unlock(s.p);
		assert_non_null(single);
		assert_int_equal(pop(&s, MAX), 2);
		pair_lock(s.p);
		vu_queue_push(&s.p->dev, s.vq, s.elems[1], 7);
		pair_unlock(s.p);
		s.elems[1] = single;
		push(&s, 2);
		free(single);
		expect(&s, 2, 7);
		expect(&s, 1, 0);
		expect(&s, 0, 0);
		end(&s);
	}
}

static void sizes(void **state)
{
	static const struct {
		unsigned int max;
		size_t size;
	} bad[] = {{0, sizeof(VuVirtqElement)}, {1025, sizeof(VuVirtqElement)}, {1, 8}, {1, SIZE_MAX}};
	struct vu_burst *b = vu_burst_new(1024, 65535);

	(void)state;
	assert_non_null(b);
	vu_burst_free(b);
	vu_burst_free(NULL);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(bad); i++) {
		errno = 0;
		assert_null(vu_burst_new(bad[i].max, bad[i].size));
		assert_int_equal(errno, EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_rings),
		cmocka_unit_test(packed_rings),
		cmocka_unit_test(in_any_order),
		cmocka_unit_test(what_is_not_in_flight_is_left_out),
		cmocka_unit_test(elements_of_many_buffers),
		cmocka_unit_test(mixed_with_single_ones),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
