/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest can do with its rings, end to end: cases 26 to 35. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

#include "base/fd.h"
#include "base/util.h"
#include "tests/lib/pair.h"

#define DATA 0x80000

static void case_26_a_broken_queue_is_told_of_and_heals(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *bad = pair_queue(p, 0, 16, 0, 0);
	struct vu_frontend_queue *good = pair_queue(p, 1, 16, 0x4000, 0);
	struct vu_frontend_buf buf = {1ULL << 40, 64, true};
	uint32_t base;

	(void)state;
	pair_echo(p, bad, 1);
	assert_int_equal(vu_frontend_submit(bad, &buf, 1, 2), 0);
	assert_true(vu_frontend_kick(bad) >= 0);
	assert_int_equal(vu__fd_wait(vu_frontend_err_fd(bad), POLLIN, vu__now_ms() + 5000), 0);
	pair_lock(p);
	assert_non_null(vu_queue_broken_reason(&p->dev, &p->dev.vq[0]));
	assert_null(vu_queue_broken_reason(&p->dev, &p->dev.vq[1]));
	assert_null(vu_queue_pop(&p->dev, &p->dev.vq[0], sizeof(VuVirtqElement)));
	assert_true(vu_queue_empty(&p->dev, &p->dev.vq[0]));
	assert_int_equal(p->panics, 0);
	assert_false(p->dev.broken);
	pair_unlock(p);
	/* The rest of the device goes on. */
	pair_echo(p, good, 3);
	check_ok(p, vu_frontend_queue_stop(bad, &base));
	assert_int_equal(base, 1);
	/* A driver that resets the ring has a working queue again. */
	vu_frontend_queue_reset(bad);
	check_ok(p, vu_frontend_queue_start(bad, 0));
	pair_echo(p, bad, 4);
	pair_free(p);
}

static void case_26_kicking_a_broken_queue_does_not_spin(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);
	struct vu_frontend_buf buf = {1ULL << 40, 64, true};
	unsigned int handled;

	(void)state;
	assert_int_equal(vu_frontend_submit(q, &buf, 1, 2), 0);
	vu_frontend_kick(q);
	assert_int_equal(vu__fd_wait(vu_frontend_err_fd(q), POLLIN, vu__now_ms() + 5000), 0);
	pair_lock(p);
	handled = p->handled[0];
	pair_unlock(p);
	poll(NULL, 0, 50);
	pair_lock(p);
	assert_int_equal(p->handled[0], handled);
	pair_unlock(p);
	pair_free(p);
}

static void case_27_and_32_indirect_tables(void **state)
{
	struct pair *p = pair_new(NULL);
	struct vu_frontend_queue *q;
	static struct vu_frontend_buf bufs[VIRTQUEUE_MAX_SIZE];
	static const unsigned int lengths[] = {1, 2, 17, 128, 515, VIRTQUEUE_MAX_SIZE};

	(void)state;
	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL, PAIR_ALL));
	/* Tables of queue 0's 128 entries, over the border of two regions. */
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 4 << 20, 0), 0);
	check_ok(p, vu_frontend_share_memory(p->fe));
	q = pair_queue(p, 0, 128, 0, 0);
	vu_frontend_use_indirect(q, 1 << 20, VIRTQUEUE_MAX_SIZE);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(lengths); i++) {
		unsigned int n = lengths[i];
		uint64_t token;

		for (unsigned int b = 0; b < n; b++)
			bufs[b] = (struct vu_frontend_buf){0x40000 + b, 1, b >= n / 2};
		assert_int_equal(vu_frontend_submit(q, bufs, n, n), 0);
		vu_frontend_kick(q);
		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, &token, NULL), 1);
		assert_int_equal(token, n);
	}
	assert_null(vu_queue_broken_reason(&p->dev, &p->dev.vq[0]));
	pair_free(p);
}

static void case_28_a_buffer_over_a_border(void **state)
{
	struct pair *p = pair_new(NULL);
	struct vu_frontend_buf bufs[2] = {{0x100000 - 10, 20, false}, {0x200000 - 7, 20, true}};
	struct vu_frontend_queue *q;
	uint32_t len;

	(void)state;
	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL, PAIR_ALL));
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(vu_frontend_add_memory(p->fe, i << 20, 1 << 20, 0), i);
	check_ok(p, vu_frontend_share_memory(p->fe));
	q = pair_queue(p, 0, 16, 0, 0);
	memcpy(vu_frontend_ptr(p->fe, 0x100000 - 10, 10), "0123456789", 10);
	memcpy(vu_frontend_ptr(p->fe, 0x100000, 10), "abcdefghij", 10);
	assert_int_equal(vu_frontend_submit(q, bufs, 2, 1), 0);
	vu_frontend_kick(q);
	assert_int_equal(vu_frontend_wait(q, 5000), 0);
	assert_int_equal(vu_frontend_reap(q, NULL, &len), 1);
	assert_int_equal(len, 20);
	assert_memory_equal(vu_frontend_ptr(p->fe, 0x200000 - 7, 7), "0123456", 7);
	assert_memory_equal(vu_frontend_ptr(p->fe, 0x200000, 13), "789abcdefghij", 13);
	pair_free(p);
}

/* --- case 29: a guest that changes descriptors while they are read --- */

struct flipper {
	struct vring_desc *desc;
	atomic_bool stop;
};

static void *flip(void *opaque)
{
	struct flipper *f = opaque;
	uint64_t n = 0;

	while (!f->stop) {
		bool good = n++ % 2;

		__atomic_store_n(&f->desc->addr, good ? DATA : 1ULL << 45, __ATOMIC_RELAXED);
		__atomic_store_n(&f->desc->len, good ? 16 : UINT32_MAX, __ATOMIC_RELAXED);
		__atomic_store_n(&f->desc->flags, good ? VRING_DESC_F_WRITE : VRING_DESC_F_NEXT,
				 __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Either a buffer that lies in memory, or a broken queue: nothing between. */
static void case_29_descriptors_change_while_they_are_read(void **state)
{
	struct pair_options opt = {.mode = PAIR_NONE};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);
	struct vu_frontend_ring ring;
	struct flipper f;
	VuVirtq *vq = &p->dev.vq[0];
	unsigned int popped = 0, broken = 0;
	int64_t deadline = vu__now_ms() + 20000;
	uint64_t memory = 1 << 20;
	pthread_t thread;

	(void)state;
	vu_frontend_ring(q, &ring);
	f.desc = &ring.desc[0];
	f.stop = false;
	assert_int_equal(pthread_create(&thread, NULL, flip, &f), 0);
	/* How the two threads meet is chance: until both ends were seen often. */
	while ((broken < 500 || popped < 500) && vu__now_ms() < deadline) {
		VuVirtqElement *e;
		uint8_t *start = vu_gpa_to_va(&p->dev, &memory, 0);

		pair_lock(p);
		ring.avail->ring[ring.avail->idx % 16] = 0;
		__atomic_store_n(&ring.avail->idx, ring.avail->idx + 1, __ATOMIC_RELEASE);
		e = vu_queue_pop(&p->dev, vq, sizeof(*e));
		if (e) {
			popped++;
			for (unsigned int b = 0; b < e->in_num; b++) {
				uint8_t *at = e->in_sg[b].iov_base;

				assert_true(at >= start && at < start + memory);
				assert_true(e->in_sg[b].iov_len <=
					    (size_t)(start + memory - at));
			}
			vu_queue_push(&p->dev, vq, e, 0);
			free(e);
		}
		pair_unlock(p);
		if (!e) {
			broken++;
			check_ok(p, vu_frontend_queue_stop(q, NULL));
			ring.avail->idx = 0;
			ring.used->idx = 0;
			check_ok(p, vu_frontend_set_vring_base(p->fe, 0, 0));
			check_ok(p, vu_frontend_set_vring_kick(p->fe, 0, vu_frontend_kick_fd(q)));
		}
	}
	f.stop = true;
	pthread_join(thread, NULL);
	assert_true(popped > 0 && broken > 0);
	pair_free(p);
}

static void case_30_an_index_that_jumps(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);
	struct vu_frontend_ring ring;

	(void)state;
	vu_frontend_ring(q, &ring);
	for (unsigned int i = 0; i < 70000; i++)
		pair_echo(p, q, i);
	ring.avail->idx += 17;
	vu__event_signal(vu_frontend_kick_fd(q));
	assert_int_equal(vu__fd_wait(vu_frontend_err_fd(q), POLLIN, vu__now_ms() + 5000), 0);
	pair_free(p);
}

/* --- case 33: no wake-up is lost between two threads --- */

struct stress {
	struct pair *p;
	unsigned int total;
	atomic_bool stop;
};

/* Sleeps whenever the ring is empty, as a device does that asks for kicks. */
static void *device_thread(void *opaque)
{
	struct stress *s = opaque;
	VuDev *dev = &s->p->dev;
	VuVirtq *vq = &dev->vq[0];
	uint64_t rng = 88172645463325252ULL;

	for (;;) {
		VuVirtqElement *e;
		unsigned int batch = 0;
		uint64_t value;

		vu_queue_set_notification(dev, vq, 0);
		while ((e = vu_queue_pop(dev, vq, sizeof(*e)))) {
			vu_queue_push(dev, vq, e, 0);
			free(e);
			rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
			if (++batch > rng >> 61)
				vu_queue_notify(dev, vq);
		}
		vu_queue_notify(dev, vq);
		vu_queue_set_notification(dev, vq, 1);
		if (!vu_queue_empty(dev, vq))
			continue;
		if (s->stop)
			return NULL;
		if (vu__fd_wait(vq->kick_fd, POLLIN, vu__now_ms() + 10000)) {
			if (!s->stop)
				return opaque;
			return NULL;
		}
		vu__event_consume(vq->kick_fd, &value);
	}
}

static void no_wake_up_is_lost(uint64_t features, unsigned int num, unsigned int total)
{
	struct pair_options opt = {.no_handler = true};
	struct pair *p = pair_new(&opt);
	struct stress s = {.p = p, .total = total};
	struct vu_frontend_buf buf = {DATA, 16, true};
	struct vu_frontend_queue *q;
	unsigned int sent = 0, done = 0;
	uint64_t rng = 2463534242ULL;
	pthread_t thread;
	void *lost;

	check_ok(p, vu_frontend_negotiate(p->fe, features, PAIR_ALL));
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 1 << 20, 0), 0);
	check_ok(p, vu_frontend_share_memory(p->fe));
	q = pair_queue(p, 0, num, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, device_thread, &s), 0);
	while (done < total) {
		int ret;

		rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
		for (uint64_t n = 1 + (rng >> 59); n && sent < total; n--) {
			if (vu_frontend_submit(q, &buf, 1, sent))
				break;
			sent++;
		}
		assert_true(vu_frontend_kick(q) >= 0);
		vu_frontend_want_calls(q, false);
		while ((ret = vu_frontend_reap(q, NULL, NULL)) == 1)
			done++;
		assert_int_equal(ret, 0);
		if (done < sent && vu_frontend_wait(q, 10000))
			fail_msg("a call was lost after %u of %u", done, sent);
	}
	s.stop = true;
	vu__event_signal(vu_frontend_kick_fd(q));
	pthread_join(thread, &lost);
	if (lost)
		fail_msg("a kick was lost");
	assert_int_equal(vu_frontend_outstanding(q), 0);
	pair_free(p);
}

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) ||                     \
	__has_feature(address_sanitizer)
#define STRESS_OPS 1000000
#else
#define STRESS_OPS 10000000
#endif

static unsigned int stress_ops(void)
{
	return getenv("VU_LONG") ? 10000000 : STRESS_OPS;
}

static void case_33_no_lost_wake_up_with_event_idx(void **state)
{
	(void)state;
	no_wake_up_is_lost(VU_BIT(VU__F_VERSION_1) | VU_BIT(VU__F_EVENT_IDX), 64, stress_ops());
}

static void case_33_no_lost_wake_up_with_flags(void **state)
{
	(void)state;
	no_wake_up_is_lost(VU_BIT(VU__F_VERSION_1), 64, stress_ops() / 4);
}

/* Of an odd size: the wrap counters change at any place of a batch. */
static void case_33_no_lost_wake_up_in_a_packed_ring(void **state)
{
	const uint64_t packed = VU_BIT(VU__F_VERSION_1) | VU_BIT(VU__F_RING_PACKED);

	(void)state;
	no_wake_up_is_lost(packed | VU_BIT(VU__F_EVENT_IDX), 61, stress_ops() / 8);
	no_wake_up_is_lost(packed | VU_BIT(VU__F_EVENT_IDX), 3, stress_ops() / 64);
	no_wake_up_is_lost(packed, 61, stress_ops() / 32);
}

static void case_34_the_used_length_is_what_was_written(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);
	uint32_t len;

	(void)state;
	for (unsigned int out = 1; out < 200; out += 13) {
		struct vu_frontend_buf bufs[2] = {{DATA, out, false}, {DATA + 4096, 100, true}};

		assert_int_equal(vu_frontend_submit(q, bufs, 2, 0), 0);
		vu_frontend_kick(q);
		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, NULL, &len), 1);
		assert_int_equal(len, VU_MIN(out, 100u));
	}
	pair_free(p);
}

static void the_public_calls_for_batches(void **state)
{
	struct pair_options opt = {.mode = PAIR_NONE};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);
	struct vu_frontend_buf bufs[2] = {{DATA, 10, false}, {DATA + 4096, 100, true}};
	VuVirtq *vq = vu_get_queue(&p->dev, 0);
	VuVirtqElement *e[4];
	unsigned int in, out;

	(void)state;
	assert_null(vu_get_queue(&p->dev, -1));
	assert_null(vu_get_queue(&p->dev, PAIR_QUEUES));
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(vu_frontend_submit(q, bufs, 2, i), 0);
	pair_lock(p);
	assert_true(vu_queue_avail_bytes(&p->dev, vq, 400, 40));
	assert_false(vu_queue_avail_bytes(&p->dev, vq, 401, 40));
	vu_queue_get_avail_bytes(&p->dev, vq, &in, &out, UINT32_MAX, UINT32_MAX);
	assert_int_equal(in, 400);
	assert_int_equal(out, 40);
	for (unsigned int i = 0; i < 4; i++)
		e[i] = vu_queue_pop(&p->dev, vq, sizeof(*e[i]));
	assert_non_null(e[3]);
	vu_queue_unpop(&p->dev, vq, e[3], 0);
	free(e[3]);
	e[3] = vu_queue_pop(&p->dev, vq, sizeof(*e[3]));
	assert_non_null(e[3]);
	assert_true(vu_queue_rewind(&p->dev, vq, 1));
	free(e[3]);
	e[3] = vu_queue_pop(&p->dev, vq, sizeof(*e[3]));
	assert_non_null(e[3]);
	for (unsigned int i = 0; i < 4; i++) {
		vu_queue_fill(&p->dev, vq, e[i], i, i);
		free(e[i]);
	}
	pair_unlock(p);
	assert_int_equal(vu_frontend_reap(q, NULL, NULL), 0);
	pair_lock(p);
	vu_queue_flush(&p->dev, vq, 4);
	vu_queue_notify(&p->dev, vq);
	pair_unlock(p);
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t token;
		uint32_t len;

		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, &token, &len), 1);
		assert_int_equal(token, i);
		assert_int_equal(len, i);
	}
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_26_a_broken_queue_is_told_of_and_heals),
		cmocka_unit_test(case_26_kicking_a_broken_queue_does_not_spin),
		cmocka_unit_test(case_27_and_32_indirect_tables),
		cmocka_unit_test(case_28_a_buffer_over_a_border),
		cmocka_unit_test(case_29_descriptors_change_while_they_are_read),
		cmocka_unit_test(case_30_an_index_that_jumps),
		cmocka_unit_test(case_33_no_lost_wake_up_with_event_idx),
		cmocka_unit_test(case_33_no_lost_wake_up_with_flags),
		cmocka_unit_test(case_33_no_lost_wake_up_in_a_packed_ring),
		cmocka_unit_test(case_34_the_used_length_is_what_was_written),
		cmocka_unit_test(the_public_calls_for_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
