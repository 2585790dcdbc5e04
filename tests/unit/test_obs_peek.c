/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rings read with process_vm_readv(), out of this very process. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <linux/virtio_ring.h>

#include "observe/peek.h"

#define NUM 8

struct split {
	struct vring_desc desc[NUM];
	uint16_t avail[2 + NUM + 1];
	uint16_t pad;
	uint16_t used[2 + 4 * NUM + 1];
};

static struct vu__peek at(const struct split *s)
{
	return (struct vu__peek){.pid = getpid(),
				 .size = NUM,
				 .event_idx = true,
				 .desc = (uintptr_t)s->desc,
				 .avail = (uintptr_t)s->avail,
				 .used = (uintptr_t)s->used};
}

static void fill(struct split *s, uint16_t avail, uint16_t used)
{
	memset(s, 0, sizeof(*s));
	s->avail[0] = 1;
	s->avail[1] = avail;
	for (unsigned int i = 0; i < NUM; i++)
		s->avail[2 + i] = 100 + i;
	s->avail[2 + NUM] = 77;
	s->used[0] = 1;
	s->used[1] = used;
	s->used[2 + 4 * NUM] = 88;
}

static void split_ring(void **state)
{
	struct split s;
	struct vu__peek p = at(&s);

	(void)state;
	fill(&s, 12, 5);
	vu__peek_rings(&p, 1);
	assert_int_equal(p.ret, 0);
	assert_true(p.mono_ns > 0);
	assert_false(p.ring.torn);
	assert_int_equal(p.ring.avail_idx, 12);
	assert_int_equal(p.ring.used_idx, 5);
	assert_int_equal(p.ring.avail_flags, 1);
	assert_int_equal(p.ring.used_flags, 1);
	assert_int_equal(p.ring.used_event, 77);
	assert_int_equal(p.ring.avail_event, 88);
	p.want_head = true;
	p.ring.last_avail = 11;
	vu__peek_heads(&p, 1);
	assert_true(p.want_head);
	assert_int_equal(p.ring.head, 103);
	p.event_idx = false;
	vu__peek_rings(&p, 1);
	assert_int_equal(p.ret, 0);
	assert_int_equal(p.ring.used_event, 0);
	assert_int_equal(p.ring.avail_event, 0);
}

/* Its last byte is the last of mapped memory: nothing beyond is touched. */
static void ring_without_events_at_the_end_of_memory(void **state)
{
	uint8_t *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	struct vu__peek p = {.pid = getpid(), .size = NUM};

	(void)state;
	assert_int_equal(mprotect(m + 4096, 4096, PROT_NONE), 0);
	p.avail = (uintptr_t)m;
	p.used = (uintptr_t)m + 4096 - 4 - 8 * NUM;
	vu__peek_rings(&p, 1);
	assert_int_equal(p.ret, 0);
	p.event_idx = true;
	vu__peek_rings(&p, 1);
	assert_int_equal(p.ret, -EFAULT);
	munmap(m, 8192);
}

static void one_bad_ring_spoils_no_other(void **state)
{
	enum { N = 300 };
	struct split *s = calloc(N, sizeof(*s));
	struct vu__peek *p = calloc(N, sizeof(*p));

	(void)state;
	for (unsigned int i = 0; i < N; i++) {
		fill(&s[i], i, i);
		p[i] = at(&s[i]);
	}
	p[3].size = 7;
	p[10].used = 4096;
	p[127].avail = UINT64_MAX - 3;
	p[128].avail = 4096;
	p[299].used = 0;
	vu__peek_rings(p, N);
	for (unsigned int i = 0; i < N; i++) {
		int want = i == 10 || i == 128		    ? -EFAULT
			   : i == 3 || i == 127 || i == 299 ? -EINVAL
							    : 0;

		assert_int_equal(p[i].ret, want);
		if (!want)
			assert_int_equal(p[i].ring.avail_idx, i);
	}
	free(s);
	free(p);
}

static void one_bad_head_spoils_no_other(void **state)
{
	enum { N = 300 };
	struct split *s = calloc(N, sizeof(*s));
	struct vu__peek *p = calloc(N, sizeof(*p));

	(void)state;
	for (unsigned int i = 0; i < N; i++) {
		fill(&s[i], i, i);
		p[i] = at(&s[i]);
		p[i].ring.last_avail = i;
		p[i].ring.head = 9;
		p[i].want_head = i % 7 != 5;
	}
	p[3].size = 7;
	p[10].packed = true;
	p[28].avail = 4096;
	p[150].avail = 4096;
	vu__peek_heads(p, N);
	for (unsigned int i = 0; i < N; i++) {
		bool want = i % 7 != 5 && i != 3 && i != 10 && i != 28 && i != 150;

		assert_int_equal(p[i].want_head, want);
		assert_int_equal(p[i].ring.head, want ? 100 + i % NUM : 9);
	}
	free(s);
	free(p);
}

static void gone_process(void **state)
{
	struct split s;
	struct vu__peek p[3];
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	fill(&s, 1, 1);
	p[0] = p[1] = p[2] = at(&s);
	p[0].pid = p[1].pid = pid;
	vu__peek_rings(p, 3);
	assert_int_equal(p[0].ret, -ESRCH);
	assert_int_equal(p[1].ret, -ESRCH);
	assert_int_equal(p[2].ret, 0);
	p[0].want_head = p[1].want_head = p[2].want_head = true;
	vu__peek_heads(p, 3);
	assert_false(p[0].want_head);
	assert_false(p[1].want_head);
	assert_true(p[2].want_head);
}

static atomic_bool quit;

static void *turn(void *opaque)
{
	struct split *s = opaque;

	while (!quit)
		__atomic_fetch_add(&s->used[1], 1, __ATOMIC_RELAXED);
	return NULL;
}

/* What is not torn has the same used index before and after. */
static void moving_ring_is_torn(void **state)
{
	uint64_t deadline = vu__obs_now() + 30000000000ull;
	unsigned int torn = 0;
	pthread_t thread;
	struct split s;
	struct vu__peek p = at(&s);

	(void)state;
	fill(&s, 0, 0);
	pthread_create(&thread, NULL, turn, &s);
	while (!__atomic_load_n(&s.used[1], __ATOMIC_RELAXED))
		sched_yield();
	while (!torn && vu__obs_now() < deadline) {
		vu__peek_rings(&p, 1);
		assert_int_equal(p.ret, 0);
		torn += p.ring.torn;
	}
	quit = true;
	pthread_join(thread, NULL);
	assert_true(torn > 0);
	vu__peek_rings(&p, 1);
	assert_false(p.ring.torn);
}

static void places(void **state)
{
	struct vu__obs_ring r = {.avail_idx = 3, .used_idx = 65530};

	(void)state;
	vu__peek_place(&r, 16, 65534, 65534);
	assert_int_equal(r.pending, 5);
	assert_int_equal(r.in_flight, 4);
	assert_false(r.torn);
	/* More than the ring holds, and nothing moves: that is how it is. */
	vu__peek_place(&r, 8, 40000, 40000);
	assert_int_equal(r.pending, 25539);
	assert_false(r.torn);
	/* It has moved while we looked. */
	r.avail_idx = 100;
	r.used_idx = 99;
	vu__peek_place(&r, 8, 40, 98);
	assert_true(r.torn);
	assert_true(r.pending <= 8 && r.in_flight <= 8);
}

#define F(a, u) ((a) << VRING_PACKED_DESC_F_AVAIL | (u) << VRING_PACKED_DESC_F_USED)

struct packed {
	struct vring_packed_desc desc[NUM];
	uint16_t driver[2], device[2];
};

static struct vu__peek at_packed(const struct packed *s)
{
	return (struct vu__peek){.pid = getpid(),
				 .size = NUM,
				 .packed = true,
				 .event_idx = true,
				 .desc = (uintptr_t)s->desc,
				 .avail = (uintptr_t)s->driver,
				 .used = (uintptr_t)s->device};
}

/* In the second lap, at 3: 4 to 6 are done, 7 and 0 to 2 are not; 1 and 2 are a chain. */
static void fill_packed(struct packed *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned int i = 0; i < NUM; i++) {
		s->desc[i].addr = s->desc[i].id = 10 + i;
		s->desc[i].flags = i < 3 ? F(0, 1) : i < 7 ? F(1, 1) : F(1, 0);
	}
	s->desc[1].flags |= VRING_DESC_F_NEXT;
	s->driver[0] = 0x8005;
	s->driver[1] = 2;
	s->device[0] = 0x8006;
	s->device[1] = 1;
}

static void packed_ring(void **state)
{
	struct packed s;
	struct vu__peek p = at_packed(&s);

	(void)state;
	fill_packed(&s);
	vu__peek_rings(&p, 1);
	assert_int_equal(p.ret, 0);
	assert_true(p.mono_ns > 0);
	assert_false(p.ring.torn);
	assert_int_equal(p.ring.avail_idx, 3);
	assert_int_equal(p.ring.used_idx, 0x8007);
	assert_int_equal(p.ring.slots, 4);
	assert_int_equal(p.ring.outstanding, 3);
	assert_int_equal(p.ring.used_event, 0x8005);
	assert_int_equal(p.ring.avail_flags, 2);
	assert_int_equal(p.ring.avail_event, 0x8006);
	assert_int_equal(p.ring.used_flags, 1);
	/* 5 and 6 were given back, and the driver has not seen them. */
	assert_int_equal(p.ring.past_event, 2);
	p.want_head = true;
	vu__peek_heads(&p, 1);
	assert_false(p.want_head);
}

static void packed_ring_of_one_who_tells(void **state)
{
	struct packed s;
	struct vu__peek p = at_packed(&s);

	(void)state;
	fill_packed(&s);
	p.told = true;
	p.last_avail = 0;
	p.used_place = 0x8007;
	vu__peek_rings(&p, 1);
	assert_int_equal(p.ring.last_avail, 0);
	assert_int_equal(p.ring.used_idx, 0x8007);
	assert_int_equal(p.ring.pending, 2);
	assert_int_equal(p.ring.outstanding, 3);
	assert_false(p.ring.astray);
	p.last_avail = 3;
	vu__peek_rings(&p, 1);
	assert_int_equal(p.ring.pending, 0);
	assert_false(p.ring.astray);
	/* A base with the wrong wrap counter: it waits for another lap. */
	p.last_avail = p.used_place = 0x8003;
	vu__peek_rings(&p, 1);
	assert_true(p.ring.astray);
}

static void packed_ring_goes_on(void **state)
{
	struct packed s;
	struct vu__peek p = at_packed(&s);

	(void)state;
	fill_packed(&s);
	vu__peek_rings(&p, 1);
	p.seen = true;
	p.was_avail = p.ring.avail_idx;
	p.was_used = p.ring.used_idx;
	/* 7 and 0 are done; 3 to 5 are new, and 4 and 5 a chain. */
	s.desc[7].flags = F(1, 1);
	s.desc[0].flags = F(0, 0);
	s.desc[3].flags = s.desc[5].flags = F(0, 1);
	s.desc[4].flags = F(0, 1) | VRING_DESC_F_NEXT;
	vu__peek_rings(&p, 1);
	assert_int_equal(p.ring.avail_idx, 6);
	assert_int_equal(p.ring.used_idx, 1);
	assert_int_equal(p.avail_steps, 3);
	assert_int_equal(p.made_available, 2);
	assert_int_equal(p.used_steps, 2);
	assert_int_equal(p.completed, 2);
	assert_int_equal(p.ring.outstanding, 3);
}

static void bad_packed_rings(void **state)
{
	struct packed s;
	struct vu__peek p[4] = {at_packed(&s), at_packed(&s), at_packed(&s), at_packed(&s)};

	(void)state;
	fill_packed(&s);
	p[0].desc = 0;
	p[1].desc = 4096;
	p[2].avail = 4096;
	vu__peek_rings(p, 4);
	assert_int_equal(p[0].ret, -EINVAL);
	assert_int_equal(p[1].ret, -EFAULT);
	assert_int_equal(p[2].ret, -EFAULT);
	assert_int_equal(p[3].ret, 0);
}

/* Both sides go round and round: what is read is of one moment, or torn. */
static void *turn_packed(void *opaque)
{
	struct packed *s = opaque;

	for (bool wrap = false; !quit; wrap = !wrap) {
		for (unsigned int i = 0; i < NUM; i++)
			__atomic_store_n(&s->desc[i].flags, F(wrap, !wrap), __ATOMIC_RELEASE);
		for (unsigned int i = 0; i < NUM; i++)
			__atomic_store_n(&s->desc[i].flags, F(wrap, wrap), __ATOMIC_RELEASE);
	}
	return NULL;
}

static void moving_packed_ring(void **state)
{
	uint64_t deadline = vu__obs_now() + 30000000000ull;
	unsigned int torn = 0, whole = 0;
	pthread_t thread;
	struct packed s;
	struct vu__peek p = at_packed(&s);

	(void)state;
	fill_packed(&s);
	quit = false;
	pthread_create(&thread, NULL, turn_packed, &s);
	while ((!torn || !whole) && vu__obs_now() < deadline) {
		vu__peek_rings(&p, 1);
		assert_int_equal(p.ret, 0);
		assert_true(p.ring.slots <= NUM);
		torn += p.ring.torn;
		whole += !p.ring.torn;
	}
	quit = true;
	pthread_join(thread, NULL);
	assert_true(torn > 0 && whole > 0);
	vu__peek_rings(&p, 1);
	assert_false(p.ring.torn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_ring),
		cmocka_unit_test(ring_without_events_at_the_end_of_memory),
		cmocka_unit_test(one_bad_ring_spoils_no_other),
		cmocka_unit_test(one_bad_head_spoils_no_other),
		cmocka_unit_test(gone_process),
		cmocka_unit_test(moving_ring_is_torn),
		cmocka_unit_test(places),
		cmocka_unit_test(packed_ring),
		cmocka_unit_test(packed_ring_of_one_who_tells),
		cmocka_unit_test(packed_ring_goes_on),
		cmocka_unit_test(bad_packed_rings),
		cmocka_unit_test(moving_packed_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
