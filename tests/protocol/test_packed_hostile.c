/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest can write into a packed ring: it is served, or the queue breaks and says
 * why; nothing between, and the next reset of the ring heals it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_ring.h>

#include "base/fd.h"
#include "tests/lib/pair.h"

#define AVAIL	 (1u << 7)
#define USED	 (1u << 15)
#define NEXT	 VRING_DESC_F_NEXT
#define WRITE	 VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define NUM	 7u
#define MEMORY	 (1ull << 20)
#define DATA	 0x80000
#define TABLE	 0x40000

struct guest {
	struct pair *p;
	struct vu_frontend_queue *q;
	struct vu_frontend_ring ring;
	VuVirtq *vq;
	uint8_t *mem; /* the device's */
};

static void guest_init(struct guest *g, uint64_t without)
{
	static const struct pair_options opt = {.mode = PAIR_NONE, .packed = true};

	g->p = pair_ready_without(&opt, without, MEMORY);
	g->q = pair_queue(g->p, 0, NUM, 0, 0);
	g->vq = &g->p->dev.vq[0];
	/* What is thrown away here is not waited for. */
	vu_set_drain_timeout(&g->p->dev, 0);
	g->mem = vu_gpa_to_va(&g->p->dev, &(uint64_t){1}, 0);
	vu_frontend_ring(g->q, &g->ring);
}

static void put(struct vring_packed_desc *d, uint64_t addr, uint32_t len, uint16_t id,
		uint16_t flags)
{
	d->addr = addr;
	d->len = len;
	d->id = id;
	__atomic_store_n(&d->flags, flags, __ATOMIC_RELEASE);
}

/* Into a slot of the first round, available. */
static void offer(struct guest *g, unsigned int slot, uint64_t addr, uint32_t len,
		  uint16_t flags)
{
	put(&g->ring.packed[slot], addr, len, slot, flags | AVAIL);
}

static struct vring_packed_desc *table(struct guest *g)
{
	return vu_frontend_ptr(g->p->fe, TABLE, 0x10000);
}

static VuVirtqElement *pop(struct guest *g)
{
	VuVirtqElement *e;

	pair_lock(g->p);
	e = vu_queue_pop(&g->p->dev, g->vq, sizeof(*e));
	pair_unlock(g->p);
	return e;
}

/* All it says lies in memory. */
static void check_inside(const struct guest *g, const VuVirtqElement *e)
{
	for (unsigned int i = 0; i < e->out_num + e->in_num; i++) {
		const struct iovec *v = i < e->out_num ? &e->out_sg[i] :
							 &e->in_sg[i - e->out_num];
		uint8_t *at = v->iov_base;

		assert_true(at >= g->mem && at < g->mem + MEMORY);
		assert_true(v->iov_len && v->iov_len <= (size_t)(g->mem + MEMORY - at));
	}
}

/* The ring anew, as after a reset of the device. */
static void heal(struct guest *g)
{
	check_ok(g->p, vu_frontend_queue_stop(g->q, NULL));
	vu_frontend_queue_reset(g->q);
	check_ok(g->p, vu_frontend_queue_start(g->q, 0));
	vu_frontend_ring(g->q, &g->ring);
}

/* What is in the ring breaks it, with a reason that has @why in it. */
static void breaks(struct guest *g, const char *why)
{
	VuVirtqElement *e = pop(g);
	const char *reason;

	assert_null(e);
	pair_lock(g->p);
	reason = vu_queue_broken_reason(&g->p->dev, g->vq);
	if (!reason || !strstr(reason, why))
		fail_msg("\"%s\" does not say \"%s\"", reason ? reason : "(whole)", why);
	assert_true(vu_queue_empty(&g->p->dev, g->vq));
	assert_null(vu_queue_pop(&g->p->dev, g->vq, sizeof(*e)));
	assert_int_equal(g->p->panics, 0);
	pair_unlock(g->p);
	assert_int_equal(vu__fd_wait(vu_frontend_err_fd(g->q), 1 /* POLLIN */,
				     vu__now_ms() + 5000), 0);
	heal(g);
}

static void push(struct guest *g, VuVirtqElement *e, unsigned int len)
{
	pair_lock(g->p);
	vu_queue_push(&g->p->dev, g->vq, e, len);
	vu_queue_notify(&g->p->dev, g->vq);
	pair_unlock(g->p);
	free(e);
}

static void works(struct guest *g)
{
	struct vu_frontend_buf buf = {DATA, 64, true};
	VuVirtqElement *e;

	heal(g);
	assert_int_equal(vu_frontend_submit(g->q, &buf, 1, 5), 0);
	e = pop(g);
	assert_non_null(e);
	push(g, e, 3);
	assert_int_equal(vu_frontend_reap(g->q, NULL, NULL), 1);
}

static void guest_end(struct guest *g)
{
	works(g);
	pair_free(g->p);
}

/* --- chains --- */

static void a_chain_without_end(void **state)
{
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	for (unsigned int i = 0; i < NUM; i++)
		offer(&g, i, DATA, 16, NEXT);
	breaks(&g, "more descriptors than");
	/* One in flight, and a second that needs one slot more than there are. */
	offer(&g, 0, DATA, 16, 0);
	free(pop(&g));
	for (unsigned int i = 1; i < NUM; i++)
		offer(&g, i, DATA, 16, NEXT);
	put(&g.ring.packed[0], DATA, 16, 0, USED);
	breaks(&g, "more descriptors than");
	guest_end(&g);
}

/* As many as there are, and then some that were never given back. */
static void more_than_the_ring_has(void **state)
{
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	for (unsigned int i = 0; i < NUM; i++) {
		VuVirtqElement *e;

		offer(&g, i, DATA, 16, WRITE);
		e = pop(&g);
		assert_non_null(e);
		free(e);
	}
	put(&g.ring.packed[0], DATA, 16, 0, USED | WRITE);
	breaks(&g, "");
	guest_end(&g);
}

static void buffers_that_are_none(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {{MEMORY, 1},		  {MEMORY - 1, 2},	{1ull << 40, 64},
		   {UINT64_MAX, 1},	  {UINT64_MAX - 15, 16}, {UINT64_MAX - 15, 17},
		   {0, (uint32_t)MEMORY + 1}, {DATA, UINT32_MAX},	{1ull << 63, UINT32_MAX}};
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(bad); i++) {
		for (unsigned int at = 0; at < 3; at++) {
			for (unsigned int k = 0; k < 3; k++)
				offer(&g, k, k == at ? bad[i].addr : DATA,
				      k == at ? bad[i].len : 16,
				      (k < 2 ? NEXT : 0) | (i % 2 ? WRITE : 0));
			breaks(&g, "not in guest memory");
		}
	}
	offer(&g, 0, DATA, 0, WRITE);
	breaks(&g, "0 bytes");
	offer(&g, 1, DATA, 0, 0);
	offer(&g, 0, DATA, 16, NEXT);
	breaks(&g, "0 bytes");
	guest_end(&g);
}

static void readable_behind_writable(void **state)
{
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	offer(&g, 2, DATA, 16, 0);
	offer(&g, 1, DATA, 16, WRITE | NEXT);
	offer(&g, 0, DATA, 16, NEXT);
	breaks(&g, "behind a writable");
	table(&g)[0] = (struct vring_packed_desc){DATA, 16, 0, WRITE};
	table(&g)[1] = (struct vring_packed_desc){DATA, 16, 0, 0};
	offer(&g, 0, TABLE, 32, INDIRECT);
	breaks(&g, "behind a writable");
	guest_end(&g);
}

/* --- tables --- */

static void tables_that_are_none(void **state)
{
	static const uint32_t lens[] = {0, 1, 8, 15, 17, 24, 31, 16 * 1025, UINT32_MAX,
					UINT32_MAX & ~15u, 1u << 31};
	static const uint64_t addrs[] = {MEMORY, MEMORY - 16, 1ull << 40, UINT64_MAX - 15,
					 UINT64_MAX - 31};
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(lens); i++) {
		offer(&g, 0, TABLE, lens[i], INDIRECT);
		breaks(&g, "indirect table of");
	}
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(addrs); i++) {
		offer(&g, 0, addrs[i], 32, INDIRECT);
		breaks(&g, "not in guest memory");
	}
	guest_end(&g);
}

static void tables_in_the_wrong_place(void **state)
{
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	table(&g)[0] = (struct vring_packed_desc){DATA, 16, 0, 0};
	table(&g)[1] = (struct vring_packed_desc){DATA, 16, 0, WRITE};
	offer(&g, 1, DATA, 16, 0);
	offer(&g, 0, TABLE, 32, INDIRECT | NEXT);
	breaks(&g, "indirect");
	offer(&g, 1, TABLE, 32, INDIRECT);
	offer(&g, 0, DATA, 16, NEXT);
	breaks(&g, "indirect");
	guest_end(&g);
	guest_init(&g, VU_BIT(VU__F_INDIRECT_DESC));
	offer(&g, 0, TABLE, 32, INDIRECT);
	breaks(&g, "VIRTIO_F_INDIRECT_DESC");
	guest_end(&g);
}

/* All but the write flag is reserved in a table and ignored; a table in it is none. */
static void flags_in_a_table(void **state)
{
	VuVirtqElement *e;
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	table(&g)[0] = (struct vring_packed_desc){DATA, 16, 0xffff, (uint16_t)~(WRITE | INDIRECT)};
	table(&g)[1] = (struct vring_packed_desc){DATA + 64, 32, 0x1234, 0};
	table(&g)[2] = (struct vring_packed_desc){DATA + 128, 48, 7, (uint16_t)~INDIRECT};
	/* The write flag of the one that names the table is ignored, too. */
	offer(&g, 0, TABLE, 48, INDIRECT | WRITE);
	e = pop(&g);
	assert_non_null(e);
	assert_int_equal(e->out_num, 2);
	assert_int_equal(e->in_num, 1);
	assert_ptr_equal(e->out_sg[0].iov_base, g.mem + DATA);
	assert_int_equal(e->out_sg[1].iov_len, 32);
	assert_ptr_equal(e->in_sg[0].iov_base, g.mem + DATA + 128);
	push(&g, e, 48);
	assert_int_equal(g.ring.packed[0].id, 0);
	heal(&g);
	table(&g)[0].flags = INDIRECT;
	offer(&g, 0, TABLE, 16, INDIRECT);
	e = pop(&g);
	if (e) {
		/* Taken for a buffer, as the specification has it. */
		assert_ptr_equal(e->out_sg[0].iov_base, g.mem + DATA);
		push(&g, e, 0);
	} else {
		breaks(&g, "indirect");
	}
	guest_end(&g);
}

/* At odd addresses, and where two regions meet. */
static void tables_where_none_expects_them(void **state)
{
	struct vring_packed_desc both[2] = {{DATA, 16, 0, 0}, {DATA + 64, 32, 0, WRITE}};
	static const uint64_t at[] = {TABLE + 1, TABLE + 7, TABLE + 8, MEMORY - 32,
				      MEMORY - 16, MEMORY - 8, MEMORY - 5, MEMORY};
	VuVirtqElement *e;
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	assert_int_equal(vu_frontend_add_memory(g.p->fe, MEMORY, MEMORY, 0), 1);
	check_ok(g.p, vu_frontend_add_mem_reg(g.p->fe, 1));
	g.mem = vu_gpa_to_va(&g.p->dev, &(uint64_t){1}, 0);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(at); i++) {
		for (unsigned int b = 0; b < sizeof(both); b++)
			*(uint8_t *)vu_frontend_ptr(g.p->fe, at[i] + b, 1) =
				((uint8_t *)both)[b];
		heal(&g);
		offer(&g, 0, at[i], 32, INDIRECT);
		e = pop(&g);
		assert_non_null(e);
		assert_int_equal(e->out_num, 1);
		assert_int_equal(e->in_num, 1);
		assert_ptr_equal(e->in_sg[0].iov_base, g.mem + DATA + 64);
		push(&g, e, 1);
	}
	guest_end(&g);
}

/* --- what is the driver's business --- */

/* Any number, twice the same, none in a range: it comes back as it was. */
static void ids_are_any_numbers(void **state)
{
	static const uint16_t ids[NUM] = {0xffff, 0xffff, 0x8000, 7, 0, 7, 0xffff};
	VuVirtqElement *e[NUM];
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	for (unsigned int i = 0; i < NUM; i++)
		put(&g.ring.packed[i], DATA, 16, ids[i], AVAIL | WRITE);
	for (unsigned int i = 0; i < NUM; i++) {
		e[i] = pop(&g);
		assert_non_null(e[i]);
		assert_true(e[i]->index < NUM);
		for (unsigned int k = 0; k < i; k++)
			assert_int_not_equal(e[k]->index, e[i]->index);
	}
	for (unsigned int i = 0; i < NUM; i++) {
		push(&g, e[NUM - 1 - i], i);
		assert_int_equal(g.ring.packed[i].id, ids[NUM - 1 - i]);
		assert_int_equal(g.ring.packed[i].flags, AVAIL | USED | (i ? WRITE : 0));
		if (i)
			assert_int_equal(g.ring.packed[i].len, i);
	}
	guest_end(&g);
}

/* The last descriptor of a list has the ID, the first one's place is written to. */
static void the_id_of_a_list_is_in_its_last(void **state)
{
	VuVirtqElement *e;
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	put(&g.ring.packed[2], DATA, 16, 0x1002, AVAIL | WRITE);
	put(&g.ring.packed[1], DATA, 16, 0x1001, AVAIL | NEXT);
	put(&g.ring.packed[0], DATA, 16, 0x1000, AVAIL | NEXT);
	e = pop(&g);
	assert_non_null(e);
	push(&g, e, 16);
	assert_int_equal(g.ring.packed[0].id, 0x1002);
	assert_int_equal(g.ring.packed[0].flags, AVAIL | USED | WRITE);
	/* Nothing else is touched. */
	assert_int_equal(g.ring.packed[1].flags, AVAIL | NEXT);
	assert_int_equal(g.ring.packed[2].flags, AVAIL | WRITE);
	assert_int_equal(g.ring.packed[1].id, 0x1001);
	guest_end(&g);
}

/* --- chance --- */

static uint64_t rng = 2463534242ULL;

static uint64_t any(uint64_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % below;
}

static uint64_t any_addr(void)
{
	static const uint64_t odd[] = {0, TABLE, MEMORY - 1, MEMORY, UINT64_MAX, DATA};

	return any(3) ? any(MEMORY) : odd[any(VU_ARRAY_SIZE(odd))];
}

static void garbage(struct vring_packed_desc *d, unsigned int n)
{
	static const uint32_t lens[] = {0, 1, 16, 32, 16384, 16400, UINT32_MAX};

	for (unsigned int i = 0; i < n; i++)
		put(&d[i], any_addr(), any(2) ? any(300) : lens[any(VU_ARRAY_SIZE(lens))],
		    any(65536), any(3) ? AVAIL | any(8) : any(65536));
}

static void serve_garbage(struct guest *g, VuVirtqElement **held, unsigned int *n)
{
	unsigned int in, out;

	for (unsigned int i = 0; i < 12; i++) {
		VuVirtqElement *e;

		vu_queue_get_avail_bytes(&g->p->dev, g->vq, &in, &out, 1000, 1000);
		e = *n < 64 ? vu_queue_pop(&g->p->dev, g->vq, sizeof(*e)) : NULL;
		if (!e)
			break;
		check_inside(g, e);
		held[(*n)++] = e;
		if (any(2)) {
			e = held[--*n];
			if (any(4))
				vu_queue_push(&g->p->dev, g->vq, e, any(1 << 20));
			else
				vu_queue_unpop(&g->p->dev, g->vq, e, any(1 << 20));
			free(e);
		}
	}
	vu_queue_notify(&g->p->dev, g->vq);
}

static void a_ring_of_garbage(void **state)
{
	unsigned int rounds = getenv("VU_LONG") ? 200000 : 3000, broken = 0, n = 0;
	VuVirtqElement *held[64];
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	for (unsigned int i = 0; i < rounds; i++) {
		bool is_broken;

		garbage(g.ring.packed, NUM);
		garbage(table(&g), 64);
		g.ring.driver_event->off_wrap = any(65536);
		g.ring.driver_event->flags = any(65536);
		pair_lock(g.p);
		serve_garbage(&g, held, &n);
		is_broken = vu_queue_broken_reason(&g.p->dev, g.vq);
		pair_unlock(g.p);
		if (!is_broken && n < 60 && any(8))
			continue;
		broken += is_broken;
		while (n)
			free(held[--n]);
		heal(&g);
	}
	assert_true(broken > rounds / 20);
	assert_int_equal(g.p->panics, 0);
	guest_end(&g);
}

/* --- a guest that changes descriptors while they are read --- */

struct flipper {
	struct vring_packed_desc *desc, *table;
	atomic_bool stop;
};

static void *flip(void *opaque)
{
	struct flipper *f = opaque;
	uint64_t n = 0;

	while (!f->stop) {
		uint64_t turn = n++;
		bool good = turn % 2;
		struct vring_packed_desc *d = turn / 8 % 2 ? f->table : f->desc;

		__atomic_store_n(&d->addr, good ? DATA : 1ull << 45, __ATOMIC_RELAXED);
		__atomic_store_n(&d->len, good ? 16 : UINT32_MAX, __ATOMIC_RELAXED);
		__atomic_store_n(&f->desc[1].addr, turn / 4 % 2 ? TABLE : 1ull << 44,
				 __ATOMIC_RELAXED);
		__atomic_store_n(&f->desc[1].len, turn / 2 % 4 * 16, __ATOMIC_RELAXED);
		__atomic_store_n(&f->desc[0].flags, AVAIL | (turn / 16 % 2 ? NEXT : WRITE),
				 __ATOMIC_RELAXED);
		__atomic_store_n(&f->desc[1].flags, AVAIL | (turn / 32 % 2 ? INDIRECT : WRITE),
				 __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Either buffers that lie in memory, or a broken queue: nothing between. */
static void descriptors_change_while_they_are_read(void **state)
{
	unsigned int popped = 0, broken = 0;
	int64_t deadline = vu__now_ms() + 20000;
	struct flipper f = {.stop = false};
	pthread_t thread;
	struct guest g;

	(void)state;
	guest_init(&g, 0);
	f.desc = g.ring.packed;
	f.table = table(&g);
	assert_int_equal(pthread_create(&thread, NULL, flip, &f), 0);
	while ((broken < 500 || popped < 500) && vu__now_ms() < deadline) {
		bool is_broken;

		for (unsigned int i = 0; i < 3; i++) {
			VuVirtqElement *e = pop(&g);

			if (!e)
				break;
			popped++;
			check_inside(&g, e);
			push(&g, e, 16);
		}
		pair_lock(g.p);
		is_broken = vu_queue_broken_reason(&g.p->dev, g.vq);
		pair_unlock(g.p);
		broken += is_broken;
		/* At the same places again; memory is the flipper's. */
		check_ok(g.p, vu_frontend_queue_stop(g.q, NULL));
		check_ok(g.p, vu_frontend_set_vring_base(g.p->fe, 0, 0x80008000));
		check_ok(g.p, vu_frontend_set_vring_kick(g.p->fe, 0, vu_frontend_kick_fd(g.q)));
	}
	f.stop = true;
	pthread_join(thread, NULL);
	assert_true(popped > 0 && broken > 0);
	guest_end(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain_without_end),
		cmocka_unit_test(more_than_the_ring_has),
		cmocka_unit_test(buffers_that_are_none),
		cmocka_unit_test(readable_behind_writable),
		cmocka_unit_test(tables_that_are_none),
		cmocka_unit_test(tables_in_the_wrong_place),
		cmocka_unit_test(flags_in_a_table),
		cmocka_unit_test(tables_where_none_expects_them),
		cmocka_unit_test(ids_are_any_numbers),
		cmocka_unit_test(the_id_of_a_list_is_in_its_last),
		cmocka_unit_test(a_ring_of_garbage),
		cmocka_unit_test(descriptors_change_while_they_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
