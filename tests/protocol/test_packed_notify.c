/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is told of what in a packed ring, both ways: a kick or a call for each that the
 * other side asked for, and not one more where its wish leaves no choice.
 */
#include <errno.h>
#include <string.h>
#include <linux/virtio_ring.h>

#include "base/fd.h"
#include "tests/lib/pair.h"

#define WRAP 0x8000u
#define DATA 0x80000

struct two {
	struct pair *p;
	struct vu_frontend_queue *q;
	struct vu_frontend_ring ring;
	VuVirtq *vq;
	unsigned int num;
	uint64_t avail, used; /* slots so far */
};

static const struct pair_options none = {.mode = PAIR_NONE, .packed = true};

static void two_init(struct two *t, unsigned int num, bool event_idx)
{
	*t = (struct two){.num = num};
	t->p = pair_ready_without(&none, event_idx ? 0 : VU_BIT(VU__F_EVENT_IDX), 1 << 20);
	t->q = pair_queue(t->p, 0, num, 0, 0);
	t->vq = &t->p->dev.vq[0];
	vu_frontend_ring(t->q, &t->ring);
	pair_lock(t->p);
}

static void two_end(struct two *t)
{
	pair_unlock(t->p);
	pair_free(t->p);
}

static uint16_t place(const struct two *t, uint64_t slots)
{
	return slots % t->num | (slots / t->num % 2 ? 0 : WRAP);
}

static void submit(struct two *t, unsigned int n)
{
	struct vu_frontend_buf bufs[8];

	for (unsigned int i = 0; i < n; i++)
		bufs[i] = (struct vu_frontend_buf){DATA + 64 * i, 64, true};
	assert_int_equal(vu_frontend_submit(t->q, bufs, n, 0), 0);
	t->avail += n;
}

static VuVirtqElement *pop(struct two *t)
{
	VuVirtqElement *e = vu_queue_pop(&t->p->dev, t->vq, sizeof(*e));

	assert_non_null(e);
	return e;
}

static void push(struct two *t, VuVirtqElement *e)
{
	t->used += e->in_num;
	vu_queue_push(&t->p->dev, t->vq, e, 1);
	free(e);
}

/* Calls since the last look. */
static uint64_t calls(struct two *t)
{
	uint64_t value;

	assert_int_equal(vu__event_consume(vu_frontend_call_fd(t->q), &value), 0);
	return value;
}

static uint64_t notify(struct two *t)
{
	vu_queue_notify(&t->p->dev, t->vq);
	return calls(t);
}

/* @n single descriptors go all the way; the device has asked nobody, nor was it asked. */
static void turn(struct two *t, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		submit(t, 1);
		push(t, pop(t));
		assert_int_equal(vu_frontend_reap(t->q, NULL, NULL), 1);
	}
}

static bool nothing_to_pop(struct two *t)
{
	return !vu_queue_pop(&t->p->dev, t->vq, sizeof(VuVirtqElement));
}

/* --- kicks --- */

static void kicks_without_event_idx(void **state)
{
	struct two t;

	(void)state;
	two_init(&t, 5, false);
	for (unsigned int round = 0; round < 11; round++) {
		for (unsigned int on = 0; on < 2; on++) {
			vu_queue_set_notification(&t.p->dev, t.vq, on);
			assert_int_equal(t.ring.device_event->flags,
					 on ? VRING_PACKED_EVENT_FLAG_ENABLE :
					      VRING_PACKED_EVENT_FLAG_DISABLE);
			for (unsigned int i = 0; i < 3; i++) {
				turn(&t, 1);
				assert_int_equal(vu_frontend_kick(t.q), on);
			}
			/* Looking changes nothing of it. */
			assert_true(vu_queue_empty(&t.p->dev, t.vq));
			assert_true(nothing_to_pop(&t));
			turn(&t, 1);
			assert_int_equal(vu_frontend_kick(t.q), on);
		}
	}
	two_end(&t);
}

/* The device that finds nothing asks for the next one, wherever that is; for it alone. */
static void kicks_with_event_idx(void **state)
{
	struct two t;

	(void)state;
	for (unsigned int num = 2; num < 8; num++) {
		two_init(&t, num, true);
		for (unsigned int round = 0; round < 4 * num; round++) {
			unsigned int n = 1 + round % (num / 2);
			VuVirtqElement *e[2];

			assert_true(nothing_to_pop(&t));
			assert_int_equal(t.ring.device_event->flags,
					 VRING_PACKED_EVENT_FLAG_DESC);
			assert_int_equal(t.ring.device_event->off_wrap, place(&t, t.avail));
			submit(&t, n);
			assert_int_equal(vu_frontend_kick(t.q), 1);
			submit(&t, num / 2);
			assert_int_equal(vu_frontend_kick(t.q), 0);
			e[0] = pop(&t);
			e[1] = pop(&t);
			push(&t, e[1]);
			push(&t, e[0]);
			for (unsigned int i = 0; i < 2; i++)
				assert_int_equal(vu_frontend_reap(t.q, NULL, NULL), 1);
		}
		two_end(&t);
	}
}

static void no_kicks_when_they_are_off(void **state)
{
	struct two t;

	(void)state;
	two_init(&t, 5, true);
	vu_queue_set_notification(&t.p->dev, t.vq, 0);
	for (unsigned int i = 0; i < 40; i++) {
		turn(&t, 1);
		assert_int_equal(vu_frontend_kick(t.q), 0);
		assert_true(vu_queue_empty(&t.p->dev, t.vq));
		assert_true(nothing_to_pop(&t));
	}
	vu_queue_set_notification(&t.p->dev, t.vq, 1);
	submit(&t, 1);
	assert_int_equal(vu_frontend_kick(t.q), 1);
	/* On while there is something: the next one that is not seen yet must be told of. */
	vu_queue_set_notification(&t.p->dev, t.vq, 0);
	vu_queue_set_notification(&t.p->dev, t.vq, 1);
	push(&t, pop(&t));
	assert_true(vu_queue_empty(&t.p->dev, t.vq));
	submit(&t, 1);
	assert_int_equal(vu_frontend_kick(t.q), 1);
	two_end(&t);
}

/* --- calls --- */

/* A device that does not take at once what was there hears of what comes after it. */
static void kicks_are_on_again_with_work_to_do(void **state)
{
	(void)state;
	for (int event_idx = 0; event_idx < 2; event_idx++) {
		struct two t;

		two_init(&t, 8, event_idx);
		vu_queue_set_notification(&t.p->dev, t.vq, 0);
		submit(&t, 1);
		assert_int_equal(vu_frontend_kick(t.q), 0);
		vu_queue_set_notification(&t.p->dev, t.vq, 1);
		submit(&t, 1);
		assert_int_equal(vu_frontend_kick(t.q), 1);
		for (int i = 0; i < 2; i++)
			push(&t, pop(&t));
		two_end(&t);
	}
}

static void driver_wish(struct two *t, uint16_t off_wrap, uint16_t flags)
{
	t->ring.driver_event->off_wrap = off_wrap;
	t->ring.driver_event->flags = flags;
}

/* Without EVENT_IDX the flags say it; what is reserved in them says nothing. */
static void calls_by_flags(void **state)
{
	static const struct {
		uint16_t flags;
		unsigned int calls;
	} cases[] = {{0, 1}, {1, 0}, {2, 1}, {3, 1}, {4, 1}, {5, 0}, {0xfffd, 0}, {0xfffc, 1}};
	struct two t;

	(void)state;
	two_init(&t, 5, false);
	notify(&t);
	for (unsigned int round = 0; round < 11; round++) {
		for (unsigned int i = 0; i < VU_ARRAY_SIZE(cases); i++) {
			driver_wish(&t, 0x8003, cases[i].flags);
			submit(&t, 1);
			push(&t, pop(&t));
			assert_int_equal(notify(&t), cases[i].calls);
			assert_int_equal(vu_frontend_reap(t.q, NULL, NULL), 1);
		}
	}
	two_end(&t);
}

/* The driver's own wish: the next one, once, until it is reaped. */
static void a_call_for_the_next_one(void **state)
{
	struct two t;

	(void)state;
	for (unsigned int num = 3; num < 9; num++) {
		two_init(&t, num, true);
		notify(&t);
		for (unsigned int round = 0; round < 4 * num; round++) {
			unsigned int n = 1 + round % (num - 2);

			submit(&t, n);
			submit(&t, 1);
			submit(&t, 1);
			assert_int_equal(notify(&t), 0);
			push(&t, pop(&t));
			assert_int_equal(notify(&t), 1);
			assert_int_equal(notify(&t), 0);
			push(&t, pop(&t));
			assert_int_equal(notify(&t), 0);
			assert_int_equal(vu_frontend_reap(t.q, NULL, NULL), 1);
			/* It asked again when the second one was used, and looks by itself. */
			assert_int_equal(vu_frontend_reap(t.q, NULL, NULL), 1);
			vu_frontend_want_calls(t.q, round % 2);
			push(&t, pop(&t));
			assert_int_equal(notify(&t), round % 2);
			vu_frontend_want_calls(t.q, true);
			assert_int_equal(vu_frontend_reap(t.q, NULL, NULL), 1);
		}
		two_end(&t);
	}
}

/*
 * From each place, for each wish, after each number of used slots below the ring's size:
 * a call if and only if the place is among them.  From there on one too many may come.
 */
static void calls_for_a_place(unsigned int num)
{
	struct two t;

	two_init(&t, num, true);
	for (unsigned int n = 0; n < num; n++) {
		for (unsigned int event = 0; event < 2 * num; event++) {
			uint16_t off_wrap = event % num | (event < num ? WRAP : 0);

			for (unsigned int start = 0; start < 2 * num; start++) {
				bool expect = false;

				turn(&t, 1);
				notify(&t);
				driver_wish(&t, off_wrap, VRING_PACKED_EVENT_FLAG_DESC);
				for (unsigned int i = 0; i < n; i++) {
					expect |= place(&t, t.used) == off_wrap;
					submit(&t, 1);
					push(&t, pop(&t));
					assert_int_equal(vu_frontend_reap(t.q, NULL, NULL), 1);
					driver_wish(&t, off_wrap, VRING_PACKED_EVENT_FLAG_DESC);
				}
				assert_int_equal(notify(&t), expect);
				assert_int_equal(notify(&t), 0);
				turn(&t, 2 * num - n);
			}
		}
	}
	two_end(&t);
}

static void calls_for_any_place_in_any_ring(void **state)
{
	(void)state;
	for (unsigned int num = 1; num <= 7; num++)
		calls_for_a_place(num);
}

/* All slots of a batch count, those a list leaves unwritten too. */
static void a_batch_of_lists_is_one_call(void **state)
{
	struct two t;

	(void)state;
	two_init(&t, 7, true);
	notify(&t);
	for (unsigned int round = 0; round < 14; round++) {
		for (unsigned int off = 0; off < 9; off++) {
			VuVirtqElement *e[2];

			submit(&t, 3);
			submit(&t, 2);
			driver_wish(&t, place(&t, t.used + off), VRING_PACKED_EVENT_FLAG_DESC);
			for (unsigned int i = 0; i < 2; i++)
				e[i] = pop(&t);
			for (unsigned int i = 0; i < 2; i++) {
				vu_queue_fill(&t.p->dev, t.vq, e[1 - i], 1, i);
				t.used += e[1 - i]->in_num;
			}
			assert_int_equal(notify(&t), 0);
			vu_queue_flush(&t.p->dev, t.vq, 2);
			assert_int_equal(notify(&t), off < 5);
			for (unsigned int i = 0; i < 2; i++) {
				free(e[i]);
				assert_int_equal(vu_frontend_reap(t.q, NULL, NULL), 1);
			}
		}
	}
	two_end(&t);
}

/* A place that is none, or a format that is none: no crash, and the ring goes on. */
static void wishes_that_make_no_sense(void **state)
{
	static const uint16_t bad[] = {7, 8, 0x7fff, 0x8007, 0xffff};
	struct two t;

	(void)state;
	two_init(&t, 7, true);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(bad); i++) {
		for (unsigned int flags = 0; flags < 4; flags++) {
			for (unsigned int n = 0; n < 16; n++) {
				submit(&t, 1);
				push(&t, pop(&t));
				driver_wish(&t, bad[i], flags | (n % 2 ? 0xfffc : 0));
				vu_queue_notify(&t.p->dev, t.vq);
				assert_int_equal(vu_frontend_reap(t.q, NULL, NULL), 1);
			}
		}
	}
	assert_null(vu_queue_broken_reason(&t.p->dev, t.vq));
	two_end(&t);
}

/* The first call behind a start is for what the one before may not have been told of. */
static void a_start_calls_for_what_was_missed(void **state)
{
	struct two t;

	(void)state;
	two_init(&t, 5, true);
	/* Also where places are 0: three to four slots a time. */
	for (unsigned int round = 0; round < 40; round++) {
		turn(&t, 1 + round % 2);
		submit(&t, 1);
		push(&t, pop(&t));
		/* Nobody has notified. */
		pair_unlock(t.p);
		check_ok(t.p, vu_frontend_queue_stop(t.q, NULL));
		check_ok(t.p, vu_frontend_queue_start(t.q, 0));
		assert_true(calls(&t) >= 1);
		pair_lock(t.p);
		/* Nor does the library know what the driver was told of. */
		assert_int_equal(notify(&t), 1);
		assert_int_equal(vu_frontend_wait(t.q, 0), 0);
		assert_int_equal(vu_frontend_reap(t.q, NULL, NULL), 1);
		submit(&t, 1);
		/* Asked for again, whatever the device area said before. */
		assert_int_equal(vu_frontend_kick(t.q), 1);
		push(&t, pop(&t));
		assert_int_equal(notify(&t), 1);
		assert_int_equal(vu_frontend_reap(t.q, NULL, NULL), 1);
	}
	two_end(&t);
}

/* What another back-end has left in the device area: no kicks. */
static void a_stale_device_area(void **state)
{
	struct pair_options opt = {.packed = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 5, 0, 0);
	struct vu_frontend_ring ring;

	(void)state;
	for (unsigned int i = 0; i < 12; i++) {
		pair_echo(p, q, i);
		check_ok(p, vu_frontend_queue_stop(q, NULL));
		vu_frontend_ring(q, &ring);
		ring.device_event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
		check_ok(p, vu_frontend_queue_start(q, 0));
		pair_echo(p, q, i);
	}
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kicks_without_event_idx),
		cmocka_unit_test(kicks_with_event_idx),
		cmocka_unit_test(no_kicks_when_they_are_off),
		cmocka_unit_test(kicks_are_on_again_with_work_to_do),
		cmocka_unit_test(calls_by_flags),
		cmocka_unit_test(a_call_for_the_next_one),
		cmocka_unit_test(calls_for_any_place_in_any_ring),
		cmocka_unit_test(a_batch_of_lists_is_one_call),
		cmocka_unit_test(wishes_that_make_no_sense),
		cmocka_unit_test(a_start_calls_for_what_was_missed),
		cmocka_unit_test(a_stale_device_area),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
