/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of packed rings on its own: the device is a fake of this file, made
 * from the text of the specification, and messages go into a socket that the test reads.
 * Against the real one see tests/protocol/test_packed*.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/virtio_ring.h>

#include <cmocka.h>

#include "frontend/fe.h"
#include "wire/sock.h"

#define F_AVAIL	 (1u << 7)
#define F_USED	 (1u << 15)
#define MEMORY	 (4u << 20)
#define TABLES	 (2u << 20)
#define MAX_LIST 8u
#define PACKED	 (VU_BIT(VU__F_VERSION_1) | VU_BIT(VU__F_RING_PACKED))

static uint64_t rng = 88172645463325252ULL;

static uint64_t any(uint64_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % below;
}

/* --- a driver with a queue, and nobody at the other end --- */

struct driver {
	struct vu_frontend *fe;
	struct vu_frontend_queue *q;
	struct vu_frontend_ring ring;
	int peer;
};

static void driver_init(struct driver *d, uint64_t features)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	d->peer = sv[1];
	d->fe = vu_frontend_new(sv[0]);
	assert_non_null(d->fe);
	assert_int_equal(vu_frontend_add_memory(d->fe, 0, MEMORY, 0), 0);
	if (features)
		assert_int_equal(vu_frontend_set_features(d->fe, features), 0);
	d->q = NULL;
}

static void driver_queue(struct driver *d, unsigned int num)
{
	d->q = vu_frontend_queue_new(d->fe, 0, num, 0);
	assert_non_null(d->q);
	vu_frontend_ring(d->q, &d->ring);
}

/* Not enabled by a message, for which the protocol features are wanting. */
static void driver_start(struct driver *d)
{
	if (vu_frontend_queue_start(d->q, 0))
		fail_msg("%s", vu_frontend_error(d->fe));
	vu_frontend_ring(d->q, &d->ring);
}

static void driver_end(struct driver *d)
{
	vu_frontend_free(d->fe);
	close(d->peer);
}

/* The base in the last message that sets one; all messages so far are read. */
static uint32_t last_base(struct driver *d)
{
	uint32_t base = 0xdeadbeef;
	struct vu__msg m;
	char c;

	while (recv(d->peer, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
		assert_int_equal(vu__sock_recv(d->peer, &m, 1000), 1);
		if (m.request == VU__SET_VRING_BASE)
			base = m.payload.state.num;
		for (unsigned int i = 0; i < m.nfds; i++)
			close(m.fds[i]);
	}
	assert_int_not_equal(base, 0xdeadbeef);
	return base;
}

/* Stopped at @base, as far as the driver hears. */
static void driver_stop(struct driver *d, uint32_t base)
{
	struct vu__msg m;

	vu__msg_init(&m, VU__GET_VRING_BASE);
	m.flags = VU__FLAG_VERSION | VU__FLAG_REPLY;
	m.size = sizeof(m.payload.state);
	m.payload.state.index = 0;
	m.payload.state.num = base;
	assert_int_equal(vu__sock_send(d->peer, &m, 1000), 0);
	assert_int_equal(vu_frontend_queue_stop(d->q, NULL), 0);
}

/* --- the fake device --- */

struct fake {
	struct vring_packed_desc *desc;
	unsigned int num, avail, used;
	bool avail_wrap, used_wrap;
};

static struct fake fake_new(const struct driver *d)
{
	return (struct fake){.desc = d->ring.packed, .num = d->ring.num,
			     .avail_wrap = true, .used_wrap = true};
}

struct list {
	uint16_t id;
	unsigned int n; /* descriptors in the ring */
	struct vring_packed_desc desc[MAX_LIST];
};

static void step(const struct fake *f, unsigned int *slot, bool *wrap)
{
	if (++*slot == f->num) {
		*slot = 0;
		*wrap = !*wrap;
	}
}

/* The next list of descriptors that is available; false without. */
static bool fake_take(struct fake *f, struct list *l)
{
	l->n = 0;
	for (;;) {
		const struct vring_packed_desc *d = &f->desc[f->avail];
		uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);
		bool available = !!(flags & F_AVAIL) == f->avail_wrap &&
				 !!(flags & F_USED) != f->avail_wrap;

		if (!l->n && !available)
			return false;
		/* All of them, not only the first. */
		assert_true(available);
		assert_in_range(l->n, 0, MAX_LIST - 1);
		l->desc[l->n++] = *d;
		step(f, &f->avail, &f->avail_wrap);
		if (!(flags & VRING_DESC_F_NEXT))
			break;
	}
	l->id = l->desc[l->n - 1].id;
	return true;
}

static void fake_use(struct fake *f, const struct list *l, uint32_t len)
{
	struct vring_packed_desc *d = &f->desc[f->used];

	d->id = l->id;
	d->len = len;
	__atomic_store_n(&d->flags, (f->used_wrap ? F_AVAIL | F_USED : 0) |
					    (len ? VRING_DESC_F_WRITE : 0), __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < l->n; i++)
		step(f, &f->used, &f->used_wrap);
}

static void reap(struct driver *d, uint64_t token, uint32_t len)
{
	uint64_t got_token;
	uint32_t got_len;

	assert_int_equal(vu_frontend_reap(d->q, &got_token, &got_len), 1);
	assert_int_equal(got_token, token);
	assert_int_equal(got_len, len);
}

static void submit(struct driver *d, unsigned int n, uint64_t token)
{
	struct vu_frontend_buf bufs[MAX_LIST];

	for (unsigned int i = 0; i < n; i++)
		bufs[i] = (struct vu_frontend_buf){0x100000 + 64 * i, 64, i > 0};
	assert_int_equal(vu_frontend_submit(d->q, bufs, n, token), 0);
}

/* @n single descriptors go all the way. */
static void turn(struct driver *d, struct fake *f, unsigned int n)
{
	struct list l;

	for (unsigned int i = 0; i < n; i++) {
		submit(d, 1, i);
		assert_true(fake_take(f, &l));
		fake_use(f, &l, 0);
		reap(d, i, 0);
	}
}

/* --- what is in memory --- */

static void a_descriptor_looks_as_specified(void **state)
{
	struct vu_frontend_buf bufs[3] = {{0x100000, 10, false}, {0x100100, 20, true},
					  {0x100200, 30, true}};
	struct driver d;

	(void)state;
	driver_init(&d, PACKED);
	driver_queue(&d, 3);
	assert_null(d.ring.desc);
	assert_null(d.ring.avail);
	assert_null(d.ring.used);
	for (unsigned int round = 0; round < 4; round++) {
		uint16_t a = round % 2 ? F_USED : F_AVAIL;
		struct fake f = fake_new(&d);
		uint16_t id;

		assert_int_equal(vu_frontend_submit(d.q, bufs, 3, round), 0);
		id = d.ring.packed[2].id;
		assert_in_range(id, 0, 2);
		for (unsigned int i = 0; i < 3; i++) {
			assert_int_equal(d.ring.packed[i].addr, bufs[i].gpa);
			assert_int_equal(d.ring.packed[i].len, bufs[i].len);
		}
		assert_int_equal(d.ring.packed[0].flags, a | VRING_DESC_F_NEXT);
		assert_int_equal(d.ring.packed[1].flags,
				 a | VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
		assert_int_equal(d.ring.packed[2].flags, a | VRING_DESC_F_WRITE);
		f.used_wrap = round % 2 == 0;
		fake_use(&f, &(struct list){.id = id, .n = 3}, 50);
		reap(&d, round, 50);
	}
	driver_end(&d);
}

static void a_table_looks_as_specified(void **state)
{
	struct vu_frontend_buf bufs[3] = {{0x100000, 10, false}, {0x100100, 20, true},
					  {0x100200, 30, true}};
	struct vring_packed_desc *table;
	struct driver d;
	struct fake f;
	struct list l;

	(void)state;
	driver_init(&d, PACKED | VU_BIT(VU__F_INDIRECT_DESC));
	driver_queue(&d, 5);
	f = fake_new(&d);
	vu_frontend_use_indirect(d.q, TABLES, 3);
	for (unsigned int round = 0; round < 23; round++) {
		assert_int_equal(vu_frontend_submit(d.q, bufs, 3, round), 0);
		assert_true(fake_take(&f, &l));
		assert_int_equal(l.n, 1);
		assert_int_equal(l.desc[0].flags & ~(F_AVAIL | F_USED), VRING_DESC_F_INDIRECT);
		assert_int_equal(l.desc[0].len, 48);
		table = vu_frontend_ptr(d.fe, l.desc[0].addr, 48);
		assert_non_null(table);
		for (unsigned int i = 0; i < 3; i++) {
			assert_int_equal(table[i].addr, bufs[i].gpa);
			assert_int_equal(table[i].len, bufs[i].len);
			assert_int_equal(table[i].flags, i ? VRING_DESC_F_WRITE : 0);
		}
		fake_use(&f, &l, 1);
		reap(&d, round, 1);
	}
	/* Tables of buffers that are out together are not one table. */
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(vu_frontend_submit(d.q, bufs, 3, i), 0);
	for (unsigned int i = 0; i < 5; i++) {
		for (unsigned int k = 0; k < i; k++)
			assert_int_not_equal(d.ring.packed[i].addr, d.ring.packed[k].addr);
	}
	/* A longer list goes into the ring itself. */
	assert_int_equal(vu_frontend_submit(d.q, bufs, 3, 9), -ENOSPC);
	for (unsigned int i = 0; i < 5; i++) {
		assert_true(fake_take(&f, &l));
		fake_use(&f, &l, 0);
		reap(&d, i, 0);
	}
	submit(&d, 4, 10);
	assert_true(fake_take(&f, &l));
	assert_int_equal(l.n, 4);
	driver_end(&d);
}

/* --- lists of any length through rings of any size --- */

struct out {
	struct list l;
	uint64_t token;
};

static void check_list(const struct list *l, uint64_t token)
{
	for (unsigned int i = 0; i < l->n; i++) {
		assert_int_equal(l->desc[i].addr, token % 4096 * 64 + i);
		assert_int_equal(l->desc[i].len, 1 + i);
		assert_int_equal(l->desc[i].flags & VRING_DESC_F_WRITE,
				 i > token % 3 ? VRING_DESC_F_WRITE : 0);
	}
}

static bool submit_any(struct driver *d, uint64_t token)
{
	unsigned int n = 1 + any(VU_MIN(d->ring.num, MAX_LIST));
	struct vu_frontend_buf bufs[MAX_LIST];
	int ret;

	for (unsigned int i = 0; i < n; i++)
		bufs[i] = (struct vu_frontend_buf){token % 4096 * 64 + i, 1 + i, i > token % 3};
	ret = vu_frontend_submit(d->q, bufs, n, token);
	assert_true(!ret || ret == -ENOSPC);
	return !ret;
}

/* What the device completes, in which order, and how much at a time, is chance. */
static void run(unsigned int num, unsigned int total, bool in_order)
{
	static struct out out[32768];
	unsigned int sent = 0, taken = 0, done = 0, reaped = 0, nout = 0, idle = 0;
	static uint64_t expect[32768];
	static uint32_t expect_len[32768];
	struct driver d;
	struct fake f;

	driver_init(&d, PACKED);
	driver_queue(&d, num);
	f = fake_new(&d);
	while (reaped < total) {
		unsigned int before = reaped;

		for (uint64_t n = any(2 * num) + 1; n && sent < total; n--) {
			if (!submit_any(&d, sent))
				break;
			sent++;
		}
		for (uint64_t n = any(2 * num) + 1; n && fake_take(&f, &out[nout].l); n--) {
			check_list(&out[nout].l, taken);
			out[nout++].token = taken++;
		}
		for (uint64_t n = any(nout + 1); n; n--) {
			unsigned int i = in_order ? 0 : any(nout);

			expect[done % 32768] = out[i].token;
			expect_len[done % 32768] = any(2) ? out[i].token + 1 : 0;
			fake_use(&f, &out[i].l, expect_len[done++ % 32768]);
			nout--;
			if (in_order)
				memmove(out, out + 1, nout * sizeof(*out));
			else
				out[i] = out[nout];
		}
		for (uint64_t n = any(2 * num) + 1; n && reaped < done; n--, reaped++)
			reap(&d, expect[reaped % 32768], expect_len[reaped % 32768]);
		if (reaped == done)
			assert_int_equal(vu_frontend_reap(d.q, NULL, NULL), 0);
		assert_int_equal(vu_frontend_outstanding(d.q), sent - reaped);
		idle = reaped == before ? idle + 1 : 0;
		if (idle > 10000)
			fail_msg("a ring of %u stands still after %u", num, reaped);
	}
	driver_end(&d);
}

static void rings_of_any_size_wrap(void **state)
{
	static const unsigned int sizes[] = {1, 2, 3, 5, 7, 8, 255, 256};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(sizes); i++) {
		run(sizes[i], 200000, true);
		run(sizes[i], 200000, false);
	}
	run(32767, 100000, false);
	run(32768, 100000, false);
}

static void a_full_ring_takes_no_more(void **state)
{
	struct vu_frontend_buf bufs[MAX_LIST] = {{0, 1, true}};
	struct driver d;
	struct fake f;
	struct list l[3];

	(void)state;
	driver_init(&d, PACKED);
	driver_queue(&d, 7);
	f = fake_new(&d);
	assert_int_equal(vu_frontend_submit(d.q, bufs, 0, 0), -ENOSPC);
	assert_int_equal(vu_frontend_submit(d.q, bufs, 8, 0), -ENOSPC);
	for (unsigned int round = 0; round < 100; round++) {
		submit(&d, 3, 1);
		submit(&d, 2, 2);
		assert_int_equal(vu_frontend_submit(d.q, bufs, 3, 0), -ENOSPC);
		submit(&d, 2, 3);
		assert_int_equal(vu_frontend_submit(d.q, bufs, 1, 0), -ENOSPC);
		for (unsigned int i = 0; i < 3; i++)
			assert_true(fake_take(&f, &l[i]));
		/* Two free descriptors, wherever they are. */
		fake_use(&f, &l[1], 0);
		assert_int_equal(vu_frontend_submit(d.q, bufs, 1, 0), -ENOSPC);
		reap(&d, 2, 0);
		assert_int_equal(vu_frontend_submit(d.q, bufs, 3, 0), -ENOSPC);
		submit(&d, 2, 4);
		fake_use(&f, &l[2], 0);
		fake_use(&f, &l[0], 0);
		assert_true(fake_take(&f, &l[0]));
		fake_use(&f, &l[0], 0);
		reap(&d, 3, 0);
		reap(&d, 1, 0);
		reap(&d, 4, 0);
		/* As long as the ring, from any slot. */
		submit(&d, 7, 5);
		assert_true(fake_take(&f, &l[0]));
		assert_int_equal(l[0].n, 7);
		fake_use(&f, &l[0], 0);
		reap(&d, 5, 0);
		turn(&d, &f, 1);
	}
	driver_end(&d);
}

static void completions_that_make_no_sense(void **state)
{
	static const uint16_t ids[] = {1, 2, 3, 15, 255, 0xffff};
	struct driver d;
	struct fake f;

	(void)state;
	driver_init(&d, PACKED);
	driver_queue(&d, 3);
	f = fake_new(&d);
	/* A device that marks what it was not given is not heard. */
	fake_use(&f, &(struct list){.id = 0, .n = 1}, 7);
	assert_int_equal(vu_frontend_reap(d.q, NULL, NULL), 0);
	f = fake_new(&d);
	submit(&d, 2, 1);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(ids); i++) {
		f = fake_new(&d);
		fake_use(&f, &(struct list){.id = ids[i], .n = 1}, 7);
		assert_int_equal(vu_frontend_reap(d.q, NULL, NULL), -EPROTO);
		assert_non_null(strstr(vu_frontend_error(d.fe), "which is not out"));
	}
	f = fake_new(&d);
	fake_use(&f, &(struct list){.id = 0, .n = 2}, 7);
	/* A length without the flag that something was written says nothing. */
	d.ring.packed[0].flags &= ~VRING_DESC_F_WRITE;
	reap(&d, 1, 0);
	driver_end(&d);
}

/* --- notifications --- */

static void device_wish(struct driver *d, uint16_t off_wrap, uint16_t flags)
{
	d->ring.device_event->off_wrap = off_wrap;
	d->ring.device_event->flags = flags;
}

static void kicks_by_flags(void **state)
{
	/* Without EVENT_IDX a place has no meaning, reserved bits never have one. */
	static const struct {
		uint16_t flags;
		int kicks;
	} cases[] = {{0, 1}, {1, 0}, {2, 1}, {3, 1}, {4, 1}, {5, 0}, {0xfffd, 0}, {0xfffc, 1}};
	struct driver d;
	struct fake f;

	(void)state;
	driver_init(&d, PACKED);
	driver_queue(&d, 5);
	driver_start(&d);
	f = fake_new(&d);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(cases); i++) {
		device_wish(&d, 0x8003, cases[i].flags);
		turn(&d, &f, 1);
		assert_int_equal(vu_frontend_kick(d.q), cases[i].kicks);
	}
	driver_end(&d);
}

/*
 * From each place, for each wish, after each number of descriptors: a kick if and only if
 * the one that was named is among those made available since the last look.
 */
static void kicks_for_a_place(unsigned int num)
{
	struct driver d;
	struct fake f;

	driver_init(&d, PACKED | VU_BIT(VU__F_EVENT_IDX));
	driver_queue(&d, num);
	driver_start(&d);
	f = fake_new(&d);
	for (unsigned int n = 0; n <= 2 * num + 1; n++) {
		for (unsigned int event = 0; event < 2 * num; event++) {
			uint16_t off_wrap = event % num | (event >= num ? 0x8000 : 0);

			/* Each round begins one place further than the one before. */
			for (unsigned int start = 0; start < 2 * num; start++) {
				bool expect = false;

				turn(&d, &f, 1);
				vu_frontend_kick(d.q);
				device_wish(&d, off_wrap, VRING_PACKED_EVENT_FLAG_DESC);
				for (unsigned int i = 0; i < n; i++) {
					expect |= f.avail == event % num &&
						  f.avail_wrap == (event >= num);
					turn(&d, &f, 1);
				}
				assert_int_equal(vu_frontend_kick(d.q), expect);
				/* Once. */
				assert_int_equal(vu_frontend_kick(d.q), 0);
				turn(&d, &f, (2 * num - n % (2 * num)) % (2 * num));
			}
		}
	}
	/* Places that are none. */
	if (num < 32768) {
		device_wish(&d, num, VRING_PACKED_EVENT_FLAG_DESC);
		turn(&d, &f, 1);
		assert_int_equal(vu_frontend_kick(d.q), 1);
		device_wish(&d, 0xffff, VRING_PACKED_EVENT_FLAG_DESC);
		assert_int_equal(vu_frontend_kick(d.q), 1);
	}
	driver_end(&d);
}

static void kicks_for_any_place_in_any_ring(void **state)
{
	(void)state;
	for (unsigned int num = 1; num <= 9; num++)
		kicks_for_a_place(num);
}

/* A list is made available as a whole; a wish for any of its places is met. */
static void kicks_for_a_place_in_a_list(void **state)
{
	struct driver d;
	struct fake f;
	struct list l;

	(void)state;
	driver_init(&d, PACKED | VU_BIT(VU__F_EVENT_IDX));
	driver_queue(&d, 7);
	driver_start(&d);
	f = fake_new(&d);
	for (unsigned int round = 0; round < 14; round++) {
		for (unsigned int off = 0; off < 7; off++) {
			unsigned int slot = (f.avail + off) % 7;
			bool wrap = f.avail + off < 7 ? f.avail_wrap : !f.avail_wrap;

			device_wish(&d, slot | wrap << 15, VRING_PACKED_EVENT_FLAG_DESC);
			submit(&d, 4, 1);
			assert_int_equal(vu_frontend_kick(d.q), off < 4);
			assert_true(fake_take(&f, &l));
			fake_use(&f, &l, 0);
			reap(&d, 1, 0);
			vu_frontend_kick(d.q);
		}
	}
	driver_end(&d);
}

static void check_wish(const struct driver *d, uint16_t off_wrap, uint16_t flags)
{
	assert_int_equal(d->ring.driver_event->flags, flags);
	if (flags == VRING_PACKED_EVENT_FLAG_DESC)
		assert_int_equal(d->ring.driver_event->off_wrap, off_wrap);
}

static void what_the_driver_asks_for(void **state)
{
	struct driver d;
	struct fake f;

	(void)state;
	driver_init(&d, PACKED);
	driver_queue(&d, 3);
	driver_start(&d);
	check_wish(&d, 0, VRING_PACKED_EVENT_FLAG_ENABLE);
	vu_frontend_want_calls(d.q, false);
	check_wish(&d, 0, VRING_PACKED_EVENT_FLAG_DISABLE);
	f = fake_new(&d);
	turn(&d, &f, 1);
	check_wish(&d, 0, VRING_PACKED_EVENT_FLAG_DISABLE);
	vu_frontend_want_calls(d.q, true);
	check_wish(&d, 0, VRING_PACKED_EVENT_FLAG_ENABLE);
	driver_end(&d);

	driver_init(&d, PACKED | VU_BIT(VU__F_EVENT_IDX));
	driver_queue(&d, 3);
	driver_start(&d);
	f = fake_new(&d);
	/* The next one to be used, over both rounds. */
	for (unsigned int i = 0; i < 30; i++) {
		check_wish(&d, i % 3 | (i / 3 % 2 ? 0 : 0x8000), VRING_PACKED_EVENT_FLAG_DESC);
		vu_frontend_want_calls(d.q, false);
		check_wish(&d, 0, VRING_PACKED_EVENT_FLAG_DISABLE);
		if (i % 2)
			vu_frontend_want_calls(d.q, true);
		turn(&d, &f, 1);
		vu_frontend_want_calls(d.q, true);
	}
	driver_end(&d);
}

/* --- places in messages --- */

static void bases(void **state)
{
	struct driver d;
	struct fake f;

	(void)state;
	driver_init(&d, PACKED);
	driver_queue(&d, 5);
	driver_start(&d);
	assert_int_equal(last_base(&d), 0x80008000);
	f = fake_new(&d);
	turn(&d, &f, 7);
	/* Whatever the device says it was. */
	driver_stop(&d, 0x00020003);
	driver_start(&d);
	assert_int_equal(last_base(&d), 0x00020003);
	vu_frontend_queue_reset(d.q);
	driver_start(&d);
	assert_int_equal(last_base(&d), 0x80008000);
	driver_end(&d);
}

/* The driver goes on behind all that is marked used, and loses none of it. */
static void bases_after_a_death(void **state)
{
	struct driver d;
	struct list l[5];
	struct fake f;

	(void)state;
	for (unsigned int turns = 0; turns < 12; turns++) {
		unsigned int at = turns + 3, in_round = at / 5 % 2 ? 0 : 0x8000;
		int sv[2];

		driver_init(&d, PACKED);
		driver_queue(&d, 5);
		driver_start(&d);
		f = fake_new(&d);
		turn(&d, &f, turns);
		submit(&d, 1, 1);
		submit(&d, 2, 2);
		submit(&d, 2, 3);
		for (unsigned int i = 0; i < 3; i++)
			assert_true(fake_take(&f, &l[i]));
		/* Two are complete, one of them reaped. */
		fake_use(&f, &l[0], 10);
		fake_use(&f, &l[1], 20);
		reap(&d, 1, 10);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		vu_frontend_reconnect(d.fe, sv[0]);
		close(d.peer);
		d.peer = sv[1];
		assert_int_equal(vu_frontend_set_features(d.fe, PACKED), 0);
		driver_start(&d);
		at = (at % 5) | in_round;
		assert_int_equal(last_base(&d), at | at << 16);
		/* The next one takes the third again. */
		f.avail = f.used;
		f.avail_wrap = f.used_wrap;
		assert_int_equal(f.used | f.used_wrap << 15, at);
		assert_true(fake_take(&f, &l[3]));
		assert_int_equal(l[3].id, l[2].id);
		fake_use(&f, &l[3], 30);
		reap(&d, 2, 20);
		reap(&d, 3, 30);
		assert_int_equal(vu_frontend_outstanding(d.q), 0);
		driver_end(&d);
	}
}

/* --- which format --- */

static bool is_packed(struct driver *d)
{
	vu_frontend_ring(d->q, &d->ring);
	assert_int_equal(!d->ring.packed, !!d->ring.desc);
	return d->ring.packed;
}

static void the_format_is_what_is_negotiated(void **state)
{
	struct vu_frontend_buf buf = {0, 1, true};
	struct driver d;

	(void)state;
	/* Made before it is known. */
	driver_init(&d, 0);
	driver_queue(&d, 8);
	assert_false(is_packed(&d));
	assert_int_equal(vu_frontend_set_features(d.fe, PACKED), 0);
	driver_start(&d);
	assert_true(is_packed(&d));
	assert_int_equal(last_base(&d), 0x80008000);
	/* And back. */
	driver_stop(&d, 0x80008000);
	assert_int_equal(vu_frontend_set_features(d.fe, VU_BIT(VU__F_VERSION_1)), 0);
	driver_start(&d);
	assert_false(is_packed(&d));
	assert_int_equal(last_base(&d), 0);
	/* Not while there is something in it. */
	assert_int_equal(vu_frontend_submit(d.q, &buf, 1, 1), 0);
	driver_stop(&d, 0);
	assert_int_equal(vu_frontend_set_features(d.fe, PACKED), 0);
	assert_int_equal(vu_frontend_queue_start(d.q, 0), -EINVAL);
	assert_non_null(strstr(vu_frontend_error(d.fe), "split"));
	vu_frontend_queue_reset(d.q);
	driver_start(&d);
	assert_true(is_packed(&d));
	driver_end(&d);
}

static void sizes_of_a_format(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, VU_BIT(VU__F_VERSION_1));
	assert_null(vu_frontend_queue_new(d.fe, 0, 7, 0));
	assert_int_equal(vu_frontend_set_features(d.fe, PACKED), 0);
	assert_null(vu_frontend_queue_new(d.fe, 0, 0, 0));
	assert_null(vu_frontend_queue_new(d.fe, 0, 32769, 0));
	driver_queue(&d, 7);
	assert_int_equal(vu_frontend_set_features(d.fe, VU_BIT(VU__F_VERSION_1)), 0);
	assert_int_equal(vu_frontend_queue_start(d.q, 0), -EINVAL);
	vu_frontend_queue_reset(d.q);
	assert_int_equal(vu_frontend_queue_start(d.q, 0), -EINVAL);
	assert_non_null(strstr(vu_frontend_error(d.fe), "a split ring of 7 entries"));
	assert_int_equal(vu_frontend_set_features(d.fe, PACKED), 0);
	driver_start(&d);
	driver_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_descriptor_looks_as_specified),
		cmocka_unit_test(a_table_looks_as_specified),
		cmocka_unit_test(rings_of_any_size_wrap),
		cmocka_unit_test(a_full_ring_takes_no_more),
		cmocka_unit_test(completions_that_make_no_sense),
		cmocka_unit_test(kicks_by_flags),
		cmocka_unit_test(kicks_for_any_place_in_any_ring),
		cmocka_unit_test(kicks_for_a_place_in_a_list),
		cmocka_unit_test(what_the_driver_asks_for),
		cmocka_unit_test(bases),
		cmocka_unit_test(bases_after_a_death),
		cmocka_unit_test(the_format_is_what_is_negotiated),
		cmocka_unit_test(sizes_of_a_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
