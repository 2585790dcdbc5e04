/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of a packed ring in flight that outlive their back-end.  The region is read
 * here as the vhost-user specification lays it out ("Inflight I/O tracking"); what happens
 * between two stores is tests/mutants/crash_packed's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/virtio_ring.h>

#include "base/fd.h"
#include "tests/lib/pair.h"

#define NUM   11u /* not a power of two: chains of 1 to 3 cross its end anywhere */
#define QUEUE 0x10000
#define DATA  0x80000
#define STALE 0x80008000u /* what a front-end says that knows only how it began */

struct state {
	uint8_t inflight, padding;
	uint16_t next, last, num;
	uint64_t counter;
	uint16_t id, flags;
	uint32_t len;
	uint64_t addr;
};

struct part {
	uint64_t features;
	uint16_t version, desc_num, free_head, old_free_head, used_idx, old_used_idx;
	uint8_t used_wrap_counter, old_used_wrap_counter, padding[7];
	struct state desc[];
};

_Static_assert(offsetof(struct part, desc) == 32, "padded as C does");

struct region {
	int fd;
	uint64_t size, offset;
	struct part *part; /* of queue 0 */
};

static struct region get_region(struct pair *p, uint16_t queues)
{
	struct region r;

	check_ok(p, vu_frontend_get_inflight_fd(p->fe, queues, NUM, &r.fd, &r.size, &r.offset));
	assert_true(r.fd >= 0);
	assert_true(r.size >= queues * (32 + NUM * 32));
	r.part = mmap(NULL, r.size, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, r.offset);
	assert_ptr_not_equal(r.part, MAP_FAILED);
	return r;
}

static int try_region(struct pair *p, const struct region *r)
{
	return vu_frontend_set_inflight_fd(p->fe, r->fd, r->size, r->offset, 1, NUM);
}

static void free_region(struct region *r)
{
	munmap(r->part, r->size);
	close(r->fd);
}

static unsigned int count_in_flight(const struct region *r)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < NUM; i++)
		n += __atomic_load_n(&r->part->desc[i].inflight, __ATOMIC_ACQUIRE);
	return n;
}

/* A pair with a device that does @mode, its queue 0 tracked and started. */
static struct pair *tracked(struct region *r, enum pair_mode mode,
			    struct vu_frontend_queue **q, const struct vu_ext_ops *ext)
{
	struct pair_options opt = {.mode = mode, .packed = true, .ext = ext};
	struct pair *p = pair_ready(&opt);

	*r = get_region(p, 1);
	check_ok(p, try_region(p, r));
	*q = pair_queue(p, 0, NUM, QUEUE, 0);
	return p;
}

static unsigned int length(unsigned int request)
{
	return 1 + request % 3;
}

/* Requests of 1 to 3 buffers; the token is the request's number. */
static void submit(struct vu_frontend_queue *q, unsigned int from, unsigned int n)
{
	for (unsigned int i = from; i < from + n; i++) {
		struct vu_frontend_buf bufs[3];

		for (unsigned int k = 0; k < length(i); k++)
			bufs[k] = (struct vu_frontend_buf){DATA + i % 64 * 4096 + k * 64, 64, true};
		assert_int_equal(vu_frontend_submit(q, bufs, length(i), i), 0);
	}
	assert_true(vu_frontend_kick(q) >= 0);
}

/* The request a held element is of, by where its buffers lie; below 64. */
static unsigned int request_of(struct pair *p, const VuVirtqElement *e)
{
	uint8_t *base = vu_gpa_to_va(&p->dev, &(uint64_t){1}, DATA);
	unsigned int request = ((uint8_t *)e->in_sg[0].iov_base - base) / 4096;

	assert_int_equal(e->in_num, length(request));
	for (unsigned int k = 0; k < e->in_num; k++)
		assert_ptr_equal(e->in_sg[k].iov_base, base + request * 4096 + k * 64);
	return request;
}

static void take_up(struct pair *p, struct vu_frontend_queue *q, const struct region *r)
{
	pair_negotiate(p);
	check_ok(p, vu_frontend_share_memory(p->fe));
	check_ok(p, try_region(p, r));
	check_ok(p, vu_frontend_queue_start(q, 0));
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

static void a_region_looks_as_specified(void **state)
{
	struct vu_frontend_queue *q;
	struct vu_frontend_ring ring;
	struct region r;
	struct pair *p = tracked(&r, PAIR_HOLD, &q, NULL);
	struct part *f = r.part;
	unsigned int head = f->free_head;

	(void)state;
	assert_int_equal(f->features, 0);
	assert_int_equal(f->version, 1);
	assert_int_equal(f->desc_num, NUM);
	assert_int_equal(f->old_free_head, head);
	assert_int_equal(f->used_idx | f->old_used_idx, 0);
	assert_int_equal(f->used_wrap_counter, 1);
	assert_int_equal(f->old_used_wrap_counter, 1);
	/* Request 2 has three buffers. */
	submit(q, 2, 1);
	pair_wait_popped(p, 1);
	vu_frontend_ring(q, &ring);
	assert_int_equal(count_in_flight(&r), 1);
	assert_int_equal(f->desc[head].inflight, 1);
	assert_int_equal(f->desc[head].num, 3);
	for (unsigned int k = 0, at = head; k < 3; k++, at = f->desc[at].next) {
		assert_int_equal(f->desc[at].addr, DATA + 2 * 4096 + k * 64);
		assert_int_equal(f->desc[at].len, 64);
		assert_int_equal(f->desc[at].flags & 7,
				 VRING_DESC_F_WRITE | (k < 2 ? VRING_DESC_F_NEXT : 0));
		if (k == 2) {
			assert_int_equal(f->desc[head].last, at);
			assert_int_equal(f->desc[at].id, ring.packed[2].id);
			assert_int_equal(f->desc[at].next, f->free_head);
		}
	}
	assert_int_equal(f->old_free_head, f->free_head);
	assert_int_equal(f->used_idx, 0);
	all_complete(p, q, 1);
	assert_int_equal(f->used_idx, 3);
	assert_int_equal(f->old_used_idx, 3);
	assert_int_equal(f->free_head, head);
	assert_int_equal(f->old_free_head, head);
	submit(q, 5, 3);
	pair_wait_popped(p, 4);
	all_complete(p, q, 3);
	submit(q, 8, 1);
	pair_wait_popped(p, 5);
	all_complete(p, q, 1);
	/* 3 + 3 + 1 + 2 + 3 slots of 11. */
	assert_int_equal(f->used_idx, 1);
	assert_int_equal(f->used_wrap_counter, 0);
	assert_int_equal(f->old_used_wrap_counter, 0);
	free_region(&r);
	pair_free(p);
}

static void requests_are_taken_up_again_in_order(void **state)
{
	(void)state;
	for (unsigned int start = 0; start < 2 * NUM; start++) {
		struct vu_frontend_queue *q;
		struct region r;
		struct pair *p = tracked(&r, PAIR_HOLD, &q, NULL);

		/* From each place of both rounds. */
		for (unsigned int i = 0; i < start; i++) {
			submit(q, 0, 1);
			pair_wait_popped(p, i + 1);
			all_complete(p, q, 1);
		}
		submit(q, 0, 5);
		pair_wait_popped(p, start + 5);
		assert_int_equal(count_in_flight(&r), 5);
		/* 3 and 1 are done, 0, 2 and 4 are not. */
		complete(p, 3);
		complete(p, 1);
		assert_int_equal(count_in_flight(&r), 3);
		for (unsigned int round = 0; round < 3; round++) {
			pair_restart(p, start % 2);
			take_up(p, q, &r);
			pair_wait_popped(p, 3);
			pair_lock(p);
			assert_int_equal(p->nheld, 3);
			for (unsigned int i = 0; i < 3; i++)
				assert_int_equal(request_of(p, p->held[i]), 2 * i);
			pair_unlock(p);
		}
		submit(q, 6, 1);
		pair_wait_popped(p, 4);
		all_complete(p, q, 6);
		assert_int_equal(count_in_flight(&r), 0);
		free_region(&r);
		pair_free(p);
	}
}

/* Tables are not copied: they are the guest's, and still where they were. */
static void an_indirect_one_is_taken_up_again(void **state)
{
	struct vu_frontend_queue *q;
	struct region r;
	struct pair *p = tracked(&r, PAIR_HOLD, &q, NULL);

	(void)state;
	vu_frontend_use_indirect(q, 0x40000, 3);
	submit(q, 0, 9);
	pair_wait_popped(p, 9);
	complete(p, 8);
	complete(p, 2);
	pair_restart(p, false);
	take_up(p, q, &r);
	pair_wait_popped(p, 7);
	pair_lock(p);
	for (unsigned int i = 0; i < 7; i++)
		assert_int_equal(request_of(p, p->held[i]), i + (i > 1));
	pair_unlock(p);
	all_complete(p, q, 9);
	free_region(&r);
	pair_free(p);
}

static void flags_agree_with_the_ring(void **state)
{
	struct vu_frontend_queue *q;
	struct region r;
	struct pair *p = tracked(&r, PAIR_NONE, &q, NULL);
	VuVirtq *vq = &p->dev.vq[0];
	VuVirtqElement *e[5];

	(void)state;
	submit(q, 0, 5);
	pair_lock(p);
	for (unsigned int i = 0; i < 5; i++) {
		e[i] = vu_queue_pop(&p->dev, vq, sizeof(*e[i]));
		assert_non_null(e[i]);
	}
	assert_int_equal(count_in_flight(&r), 5);
	vu_queue_unpop(&p->dev, vq, e[4], 0);
	assert_int_equal(count_in_flight(&r), 4);
	assert_true(vu_queue_rewind(&p->dev, vq, 1));
	assert_int_equal(count_in_flight(&r), 3);
	vu_queue_fill(&p->dev, vq, e[0], 1, 0);
	vu_queue_fill(&p->dev, vq, e[2], 1, 1);
	assert_int_equal(count_in_flight(&r), 3);
	vu_queue_flush(&p->dev, vq, 2);
	assert_int_equal(count_in_flight(&r), 1);
	assert_int_equal(r.part->used_idx, 4);
	vu_queue_push(&p->dev, vq, e[1], 1);
	assert_int_equal(count_in_flight(&r), 0);
	assert_int_equal(r.part->used_idx, 6);
	assert_int_equal(vq->last_avail_idx, 0x8006);
	pair_unlock(p);
	for (unsigned int i = 0; i < 5; i++)
		free(e[i]);
	free_region(&r);
	pair_free(p);
}

/* What was taken up again and is given back is the next to be popped, not lost. */
static void what_is_taken_up_can_be_given_back(void **state)
{
	struct vu_frontend_queue *q;
	struct region r;
	struct pair *p = tracked(&r, PAIR_HOLD, &q, NULL);
	VuVirtqElement *e[5];
	VuVirtq *vq;

	(void)state;
	submit(q, 0, 3);
	pair_wait_popped(p, 3);
	pair_restart(p, false);
	pair_lock(p);
	p->mode = PAIR_NONE;
	pair_unlock(p);
	take_up(p, q, &r);
	submit(q, 3, 2);
	vq = &p->dev.vq[0];
	pair_lock(p);
	assert_false(vu_queue_empty(&p->dev, vq));
	/* 1 + 2 + 3 + 1 + 2 buffers. */
	assert_true(vu_queue_avail_bytes(&p->dev, vq, 9 * 64, 0));
	assert_false(vu_queue_avail_bytes(&p->dev, vq, 9 * 64 + 1, 0));
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
	assert_int_equal(count_in_flight(&r), 5);
	for (unsigned int i = 0; i < 5; i++) {
		vu_queue_push(&p->dev, vq, e[i], 0);
		free(e[i]);
	}
	assert_int_equal(count_in_flight(&r), 0);
	pair_unlock(p);
	free_region(&r);
	pair_free(p);
}

/* --- what the front-end says, and what the region does --- */

/* Starts the queue with a base that it knew long ago, as QEMU does after a crash. */
static void take_up_stale(struct pair *p, const struct region *r)
{
	struct vu_frontend_region m;
	int kick = new_eventfd();

	pair_negotiate(p);
	check_ok(p, vu_frontend_share_memory(p->fe));
	check_ok(p, try_region(p, r));
	check_ok(p, vu_frontend_region(p->fe, 0, &m));
	check_ok(p, vu_frontend_set_vring_num(p->fe, 0, NUM));
	check_ok(p, vu_frontend_set_vring_base(p->fe, 0, STALE));
	/* One after the other as the front-end places them: 16 * NUM bytes, 4 bytes, a page. */
	check_ok(p, vu_frontend_set_vring_addr(p->fe, 0, 0, m.uaddr + QUEUE,
					       m.uaddr + QUEUE + 4096,
					       m.uaddr + QUEUE + 16 * NUM, 0));
	check_ok(p, vu_frontend_set_vring_kick(p->fe, 0, kick));
	check_ok(p, vu_frontend_set_vring_enable(p->fe, 0, true));
	close(kick);
}

static void a_stale_base_is_not_believed(void **state)
{
	(void)state;
	/* Also with nothing in flight: the guest idles. */
	for (unsigned int in_flight = 0; in_flight < 4; in_flight++) {
		struct vu_frontend_queue *q;
		struct region r;
		struct pair *p = tracked(&r, PAIR_HOLD, &q, NULL);

		for (unsigned int i = 0; i < 8; i++) {
			submit(q, i, 1);
			pair_wait_popped(p, i + 1);
			all_complete(p, q, 1);
		}
		submit(q, 8, in_flight);
		pair_wait_popped(p, 8 + in_flight);
		pair_restart(p, false);
		take_up_stale(p, &r);
		pair_wait_popped(p, in_flight);
		/* Nobody kicks the eventfd above: what comes is seen when asked for. */
		submit(q, 20, 2);
		check_ok(p, vu_frontend_set_vring_enable(p->fe, 0, true));
		pair_wait_popped(p, in_flight + 2);
		all_complete(p, q, in_flight + 2);
		free_region(&r);
		pair_free(p);
	}
}

/* Stopped, told where it is, and begun anew by its driver, with the region as it was. */
static void a_driver_may_begin_anew(void **state)
{
	struct vu_frontend_queue *q;
	struct region r;
	struct pair *p = tracked(&r, PAIR_HOLD, &q, NULL);

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		submit(q, i, 1);
		pair_wait_popped(p, 2 * i + 1);
		all_complete(p, q, 1);
		check_ok(p, vu_frontend_queue_stop(q, NULL));
		/* On where it was, and from the beginning. */
		if (i % 2)
			vu_frontend_queue_reset(q);
		check_ok(p, vu_frontend_queue_start(q, 0));
		submit(q, i, 1);
		pair_wait_popped(p, 2 * i + 2);
		assert_int_equal(count_in_flight(&r), 1);
		all_complete(p, q, 1);
	}
	free_region(&r);
	pair_free(p);
}

static void a_reset_leaves_nothing_in_flight(void **state)
{
	struct vu_frontend_queue *q;
	struct region r;
	struct pair *p = tracked(&r, PAIR_HOLD, &q, NULL);

	(void)state;
	submit(q, 0, 2);
	pair_wait_popped(p, 2);
	check_ok(p, vu_frontend_reset_device(p->fe));
	assert_int_equal(r.part->version, 0);
	vu_frontend_queue_reset(q);
	check_ok(p, vu_frontend_queue_start(q, 0));
	assert_int_equal(r.part->version, 1);
	assert_int_equal(count_in_flight(&r), 0);
	submit(q, 0, 1);
	pair_wait_popped(p, 3);
	/* The two that were held complete nothing. */
	all_complete(p, q, 1);
	free_region(&r);
	pair_free(p);
}

/* --- handing over --- */

static void cancel(VuDev *dev, int qidx)
{
	struct pair *p = (struct pair *)dev;
	VuVirtq *vq = vu_get_queue(dev, qidx);

	/* All but the second, which is completed meanwhile. */
	for (unsigned int i = 0; i < p->nheld; i++) {
		if (i == 1)
			vu_queue_push(dev, vq, p->held[i], 64);
		else
			assert_true(vu_queue_abandon(dev, vq, p->held[i]));
		free(p->held[i]);
	}
	p->nheld = 0;
}

static const struct vu_ext_ops cancels = {.size = sizeof(cancels), .cancel = cancel};

static void requests_are_handed_over(void **state)
{
	struct vu_frontend_queue *q;
	struct region r;
	struct pair *p = tracked(&r, PAIR_HOLD, &q, &cancels);
	uint32_t base;

	(void)state;
	submit(q, 0, 4);
	pair_wait_popped(p, 4);
	check_ok(p, vu_frontend_queue_suspend(q, &base));
	/* 1 + 2 + 3 + 1 slots taken, the two of request 1 given back. */
	assert_int_equal(base, 0x8007u | 0x8002u << 16);
	check_ok(p, vu_frontend_queue_stop(q, &base));
	assert_int_equal(base, 0x8007u | 0x8002u << 16);
	assert_int_equal(count_in_flight(&r), 3);
	assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	/* In the same place: the migration has failed; and elsewhere. */
	for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
		static const unsigned int left[] = {0, 2, 3};

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
			assert_int_equal(request_of(p, p->held[i]), left[i]);
		pair_unlock(p);
	}
	all_complete(p, q, 3);
	free_region(&r);
	pair_free(p);
}

/* --- regions that are wrong --- */

/* A fresh back-end does not start the queue from this; its connection lives. */
static void is_refused(struct pair *p, struct vu_frontend_queue *q, const struct region *r)
{
	int ret;

	pair_restart(p, false);
	pair_negotiate(p);
	check_ok(p, vu_frontend_share_memory(p->fe));
	ret = try_region(p, r);
	if (!ret)
		ret = vu_frontend_queue_start(q, 0);
	assert_int_equal(ret, -EREMOTEIO);
	assert_int_equal(p->panics, 0);
}

static void a_queue_does_not_start_from_nonsense(void **state)
{
	struct vu_frontend_queue *q;
	struct region r;
	struct pair *p = tracked(&r, PAIR_HOLD, &q, NULL);
	struct part *f = r.part, *good;
	size_t size = 32 + 32 * NUM;
	unsigned int head, free_one;

	(void)state;
	submit(q, 2, 2);
	pair_wait_popped(p, 2);
	good = malloc(size);
	assert_non_null(good);
	memcpy(good, f, size);
	for (head = 0; good->desc[head].num != 3; head++)
		;
	free_one = good->free_head;
#define BAD(what)                                                                        \
	do {                                                                             \
		what;                                                                    \
		is_refused(p, q, &r);                                                    \
		memcpy(f, good, size);                                                   \
	} while (0)
	BAD(f->version = 2);
	BAD(f->desc_num = NUM + 1);
	BAD(f->used_idx = f->old_used_idx = NUM);
	BAD(f->old_used_idx = 0xffff);
	BAD(f->used_wrap_counter = 2);
	BAD(f->desc[head].num = 0);
	BAD(f->desc[head].num = NUM + 1);
	BAD(f->desc[head].num = 0xffff);
	BAD(f->desc[head].last = head);
	BAD(f->desc[head].inflight = 3);
	BAD(f->desc[head].next = head);
	BAD(f->desc[head].next = NUM);
	BAD(f->desc[head].counter = UINT64_MAX);
	BAD((f->desc[free_one].next = NUM, f->desc[f->desc[head].last].inflight = 1));
#undef BAD
	/* As it was, it is good. */
	pair_restart(p, false);
	take_up(p, q, &r);
	pair_wait_popped(p, 2);
	all_complete(p, q, 2);
	free(good);
	free_region(&r);
	pair_free(p);
}

/* Any bytes at all: it starts or it does not. */
static void a_region_of_garbage(void **state)
{
	unsigned int rounds = getenv("VU_LONG") ? 20000 : 2000, started = 0;
	uint64_t rng = 88172645463325252ULL;
	struct vu_frontend_queue *q;
	struct region r;
	struct pair *p = tracked(&r, PAIR_ECHO, &q, NULL);
	uint8_t *bytes = (uint8_t *)r.part;
	uint32_t base;

	(void)state;
	vu_set_drain_timeout(&p->dev, 0);
	submit(q, 0, 5);
	for (unsigned int i = 0; i < rounds; i++) {
		check_ok(p, vu_frontend_queue_stop(q, &base));
		vu_frontend_queue_reset(q);
		submit(q, i, 3);
		for (unsigned int k = 0; k < 1 + i % 16; k++) {
			rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
			bytes[(rng >> 32) % (32 + 32 * NUM)] = rng >> 60 > 8 ? rng >> 24 : rng >> 62;
		}
		r.part->version = 1;
		r.part->desc_num = NUM;
		/* What was told, so that the region is believed. */
		check_ok(p, vu_frontend_set_vring_base(p->fe, 0, base));
		if (vu_frontend_set_vring_kick(p->fe, 0, vu_frontend_kick_fd(q))) {
			memset(bytes, 0, 32 + 32 * NUM);
			check_ok(p, vu_frontend_set_vring_base(p->fe, 0, STALE));
			check_ok(p, vu_frontend_set_vring_kick(p->fe, 0, vu_frontend_kick_fd(q)));
		} else {
			started++;
		}
	}
	assert_in_range(started, rounds / 100, rounds - rounds / 100);
	assert_int_equal(p->panics, 0);
	free_region(&r);
	pair_free(p);
}

static void a_region_is_of_one_kind_of_ring(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD, .packed = true};
	struct pair *p = pair_ready(&opt);
	struct region packed = get_region(p, 1);
	uint64_t features = vu_frontend_features(p->fe);
	struct vu_frontend_queue *q;

	(void)state;
	check_ok(p, try_region(p, &packed));
	check_ok(p, vu_frontend_set_features(p->fe, features & ~VU_BIT(VU__F_RING_PACKED)));
	q = vu_frontend_queue_new(p->fe, 0, 8, QUEUE);
	assert_non_null(q);
	assert_int_equal(vu_frontend_queue_start(q, 0), -EREMOTEIO);
	check_ok(p, vu_frontend_set_features(p->fe, features));
	check_ok(p, vu_frontend_queue_start(q, 0));
	free_region(&packed);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_region_looks_as_specified),
		cmocka_unit_test(requests_are_taken_up_again_in_order),
		cmocka_unit_test(an_indirect_one_is_taken_up_again),
		cmocka_unit_test(flags_agree_with_the_ring),
		cmocka_unit_test(what_is_taken_up_can_be_given_back),
		cmocka_unit_test(a_stale_base_is_not_believed),
		cmocka_unit_test(a_driver_may_begin_anew),
		cmocka_unit_test(a_reset_leaves_nothing_in_flight),
		cmocka_unit_test(requests_are_handed_over),
		cmocka_unit_test(a_queue_does_not_start_from_nonsense),
		cmocka_unit_test(a_region_of_garbage),
		cmocka_unit_test(a_region_is_of_one_kind_of_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
