/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The split ring's arithmetic, on memory of our own: no socket, no device. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/ring.h"

#define NUM	 8u
#define PAGE	 4096ULL
#define AVAIL_AT 0x1000
#define USED_AT	 0x2000
#define DATA_AT	 0x4000
#define SIZE	 0x20000
#define SECOND	 0x20000 /* a second region follows the first in guest addresses */

struct guest {
	struct vu__ring ring;
	VuVirtq vq;
	struct vu__memmap *map;
	uint8_t *mem;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	unsigned int breaks;
};

static void count_break(struct vu__ring *r, void *opaque)
{
	(void)r;
	((struct guest *)opaque)->breaks++;
}

static struct vu__memmap *new_map(void)
{
	struct vu__region *r[2];
	struct vu__memmap *m;
	char why[128];

	for (int i = 0; i < 2; i++) {
		struct vu__region_desc d = {i * SECOND, SIZE, (1 + i) * 0x10000000ULL, 0};
		int fd = memfd_create("guest", MFD_CLOEXEC);

		assert_int_equal(ftruncate(fd, SIZE), 0);
		assert_int_equal(vu__region_new(&d, fd, &r[i], why, sizeof(why)), 0);
		close(fd);
	}
	assert_int_equal(vu__memmap_new(r, 2, &m, why, sizeof(why)), 0);
	vu__region_put(r[0]);
	vu__region_put(r[1]);
	return m;
}

static void place_ring(struct guest *g)
{
	g->mem = g->map->regions[0]->host;
	g->desc = (struct vring_desc *)g->mem;
	g->avail = (struct vring_avail *)(g->mem + AVAIL_AT);
	g->used = (struct vring_used *)(g->mem + USED_AT);
	g->vq.vring.num = NUM;
	g->vq.vring.desc = g->desc;
	g->vq.vring.avail = g->avail;
	g->vq.vring.used = g->used;
	vu__ring_place(&g->ring, &g->vq.vring);
}

static int setup(void **state)
{
	struct guest *g = calloc(1, sizeof(*g));

	g->ring.vq = &g->vq;
	g->ring.gen = 1;
	g->ring.on_break = count_break;
	g->ring.opaque = g;
	g->ring.indirect = true;
	g->map = new_map();
	assert_int_equal(vu__ring_prepare(&g->ring, NUM, false), 0);
	assert_int_equal(vu__ring_set_map(&g->ring, g->map), 0);
	place_ring(g);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct guest *g = *state;

	vu__ring_destroy(&g->ring);
	vu__memmap_put(g->map);
	free(g);
	return 0;
}

static void set_desc(struct guest *g, unsigned int i, uint64_t addr, uint32_t len,
		     uint16_t flags, uint16_t next)
{
	g->desc[i] = (struct vring_desc){addr, len, flags, next};
}

static void offer(struct guest *g, uint16_t head)
{
	uint16_t idx = g->avail->idx;

	g->avail->ring[idx % NUM] = head;
	__atomic_store_n(&g->avail->idx, idx + 1, __ATOMIC_RELEASE);
}

static uint16_t *used_event(struct guest *g)
{
	return &g->avail->ring[NUM];
}

static uint16_t avail_event(struct guest *g)
{
	return *(uint16_t *)(void *)&g->used->ring[NUM];
}

static VuVirtqElement *pop(struct guest *g)
{
	return vu__ring_pop(&g->ring, sizeof(VuVirtqElement));
}

static void push(struct guest *g, VuVirtqElement *e, unsigned int len)
{
	assert_true(vu__ring_fill(&g->ring, e, len, 0));
	vu__ring_flush(&g->ring, 1);
	free(e);
}

static void one_buffer_makes_the_round(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *e;

	assert_false(vu__ring_start(&g->ring));
	assert_null(pop(g));
	set_desc(g, 3, DATA_AT, 100, VRING_DESC_F_WRITE, 0);
	offer(g, 3);
	assert_false(vu__ring_empty(&g->ring));
	e = pop(g);
	assert_non_null(e);
	assert_int_equal(e->index, 3);
	assert_int_equal(e->out_num, 0);
	assert_int_equal(e->in_num, 1);
	assert_ptr_equal(e->in_sg[0].iov_base, g->mem + DATA_AT);
	assert_int_equal(e->in_sg[0].iov_len, 100);
	assert_int_equal(g->vq.inuse, 1);
	assert_int_equal(g->used->idx, 0);
	push(g, e, 77);
	assert_int_equal(g->used->idx, 1);
	assert_int_equal(g->used->ring[0].id, 3);
	assert_int_equal(g->used->ring[0].len, 77);
	assert_int_equal(g->vq.inuse, 0);
}

static void a_larger_structure_keeps_its_own_part(void **state)
{
	struct guest *g = *state;
	struct request {
		VuVirtqElement elem;
		char own[13];
	} *r;

	vu__ring_start(&g->ring);
	set_desc(g, 0, DATA_AT, 1, 0, 0);
	offer(g, 0);
	r = vu__ring_pop(&g->ring, sizeof(*r));
	assert_non_null(r);
	memset(r->own, 0xff, sizeof(r->own));
	assert_ptr_equal(r->elem.out_sg[0].iov_base, g->mem + DATA_AT);
	push(g, &r->elem, 0);
	assert_null(vu__ring_pop(&g->ring, sizeof(VuVirtqElement) - 1));
}

static void indices_wrap(void **state)
{
	struct guest *g = *state;

	vu__ring_start(&g->ring);
	for (unsigned int i = 0; i < 70000; i++) {
		VuVirtqElement *e;

		set_desc(g, i % NUM, DATA_AT, 16, VRING_DESC_F_WRITE, 0);
		offer(g, i % NUM);
		e = pop(g);
		assert_non_null(e);
		assert_int_equal(e->index, i % NUM);
		push(g, e, i);
		assert_int_equal(g->used->ring[i % NUM].len, i);
	}
	assert_int_equal(g->used->idx, (uint16_t)70000);
	assert_int_equal(g->breaks, 0);
}

static void a_buffer_over_two_regions_is_two_pieces(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *e;

	vu__ring_start(&g->ring);
	set_desc(g, 0, SECOND - 10, 30, VRING_DESC_F_WRITE, 0);
	offer(g, 0);
	e = pop(g);
	assert_non_null(e);
	assert_int_equal(e->in_num, 2);
	assert_int_equal(e->in_sg[0].iov_len, 10);
	assert_int_equal(e->in_sg[1].iov_len, 20);
	assert_ptr_equal(e->in_sg[1].iov_base, g->map->regions[1]->host);
	push(g, e, 30);
}

static void fill_indirect(struct vring_desc *table, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		table[i] = (struct vring_desc){DATA_AT + i, 1, i + 1 < n ? VRING_DESC_F_NEXT : 0,
					       i + 1};
}

static void indirect_of_any_length(void **state)
{
	struct guest *g = *state;
	static struct vring_desc table[VIRTQUEUE_MAX_SIZE];
	static const unsigned int lengths[] = {1, 2, 3, 64, 515, 1023, VIRTQUEUE_MAX_SIZE};

	vu__ring_start(&g->ring);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(lengths); i++) {
		unsigned int n = lengths[i];
		VuVirtqElement *e;

		fill_indirect(table, n);
		memcpy(g->mem + 0x8000, table, n * sizeof(table[0]));
		set_desc(g, 1, 0x8000, n * sizeof(table[0]), VRING_DESC_F_INDIRECT, 0);
		offer(g, 1);
		e = pop(g);
		assert_non_null(e);
		assert_int_equal(e->out_num, n);
		assert_ptr_equal(e->out_sg[n - 1].iov_base, g->mem + DATA_AT + n - 1);
		push(g, e, 0);
	}
}

/* 1 to 1024 descriptors, the border at every multiple of 8 in and beside a descriptor. */
static void indirect_over_two_regions(void **state)
{
	struct guest *g = *state;
	static struct vring_desc table[VIRTQUEUE_MAX_SIZE];
	uint8_t *first = g->map->regions[0]->host, *second = g->map->regions[1]->host;

	vu__ring_start(&g->ring);
	for (unsigned int n = 1; n <= VIRTQUEUE_MAX_SIZE; n = n * 3 / 2 + 1) {
		size_t bytes = n * sizeof(table[0]);

		for (size_t before = 1; before < bytes; before += bytes / 7 + 1) {
			VuVirtqElement *e;

			fill_indirect(table, n);
			memcpy(first + SIZE - before, table, before);
			memcpy(second, (uint8_t *)table + before, bytes - before);
			set_desc(g, 0, SECOND - before, bytes, VRING_DESC_F_INDIRECT, 0);
			offer(g, 0);
			e = pop(g);
			assert_non_null(e);
			assert_int_equal(e->out_num, n);
			for (unsigned int i = 0; i < n; i++)
				assert_ptr_equal(e->out_sg[i].iov_base, first + DATA_AT + i);
			push(g, e, 0);
		}
	}
}

static void direct_descriptors_before_a_table(void **state)
{
	struct guest *g = *state;
	struct vring_desc *table = (struct vring_desc *)(g->mem + 0x8000);
	VuVirtqElement *e;

	vu__ring_start(&g->ring);
	set_desc(g, 0, DATA_AT, 5, VRING_DESC_F_NEXT, 1);
	set_desc(g, 1, 0x8000, 16, VRING_DESC_F_INDIRECT, 0);
	table[0] = (struct vring_desc){DATA_AT + 64, 7, VRING_DESC_F_WRITE, 0};
	offer(g, 0);
	e = pop(g);
	assert_non_null(e);
	assert_int_equal(e->out_num, 1);
	assert_int_equal(e->in_num, 1);
	push(g, e, 7);
}

struct hostile {
	const char *what;
	struct vring_desc desc[3];
	struct vring_desc table[2];
	uint16_t head;
};

#define NEXT  VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define TABLE VRING_DESC_F_INDIRECT

static const struct hostile hostiles[] = {
	{"head", {{0}}, {{0}}, NUM},
	{"head far out", {{0}}, {{0}}, 0xffff},
	{"next", {{DATA_AT, 1, NEXT, NUM}}, {{0}}, 0},
	{"loop of 1", {{DATA_AT, 1, NEXT, 0}}, {{0}}, 0},
	{"loop of 2", {{DATA_AT, 1, NEXT, 1}, {DATA_AT, 1, NEXT, 0}}, {{0}}, 0},
	{"zero length", {{DATA_AT, 0, 0, 0}}, {{0}}, 0},
	{"zero length nowhere", {{1ULL << 60, 0, 0, 0}}, {{0}}, 0},
	{"readable behind writable", {{DATA_AT, 1, WRITE | NEXT, 1}, {DATA_AT, 1, 0, 0}}, {{0}}, 0},
	{"outside", {{1ULL << 60, 1, 0, 0}}, {{0}}, 0},
	{"beyond the end", {{SECOND + SIZE - 1, 2, 0, 0}}, {{0}}, 0},
	{"wraps", {{UINT64_MAX, 2, 0, 0}}, {{0}}, 0},
	{"4 GiB", {{DATA_AT, UINT32_MAX, 0, 0}}, {{0}}, 0},
	{"table of 0", {{0x8000, 0, TABLE, 0}}, {{0}}, 0},
	{"table of 15", {{0x8000, 15, TABLE, 0}}, {{0}}, 0},
	{"table of 1025", {{0x8000, 1025 * 16, TABLE, 0}}, {{0}}, 0},
	{"table outside", {{1ULL << 60, 16, TABLE, 0}}, {{0}}, 0},
	{"table wraps", {{UINT64_MAX - 15, 32, TABLE, 0}}, {{0}}, 0},
	{"table with next", {{0x8000, 16, TABLE | NEXT, 1}, {DATA_AT, 1, 0, 0}}, {{DATA_AT, 1, 0, 0}}, 0},
	{"table in a table", {{0x8000, 16, TABLE, 0}}, {{0x8000, 16, TABLE, 0}}, 0},
	{"table loop", {{0x8000, 32, TABLE, 0}}, {{DATA_AT, 1, NEXT, 1}, {DATA_AT, 1, NEXT, 0}}, 0},
	{"table next", {{0x8000, 32, TABLE, 0}}, {{DATA_AT, 1, NEXT, 2}}, 0},
};

static void a_hostile_chain_breaks_the_ring_once(void **state)
{
	struct guest *g = *state;

	for (unsigned int i = 0; i < VU_ARRAY_SIZE(hostiles); i++) {
		const struct hostile *h = &hostiles[i];

		memset(g->mem, 0, SIZE);
		place_ring(g);
		g->breaks = 0;
		g->vq.last_avail_idx = 0;
		vu__ring_start(&g->ring);
		memcpy(g->desc, h->desc, sizeof(h->desc));
		memcpy(g->mem + 0x8000, h->table, sizeof(h->table));
		offer(g, h->head);
		if (pop(g) || g->breaks != 1)
			fail_msg("'%s' did not break the ring", h->what);
		assert_string_not_equal(g->ring.broken, "");
		assert_null(pop(g));
		assert_true(vu__ring_empty(&g->ring));
		assert_int_equal(g->breaks, 1);
	}
}

/* In the ring and in a table: every descriptor once is a chain, once more is a loop. */
static void a_loop_over_all_descriptors_breaks_the_ring(void **state)
{
	struct guest *g = *state;
	struct vring_desc *table = (struct vring_desc *)(g->mem + 0x8000);

	for (unsigned int loop = 0; loop < 2; loop++) {
		for (unsigned int indirect = 0; indirect < 2; indirect++) {
			struct vring_desc *d = indirect ? table : g->desc;
			VuVirtqElement *e;

			memset(g->mem, 0, SIZE);
			place_ring(g);
			g->vq.last_avail_idx = 0;
			g->breaks = 0;
			vu__ring_start(&g->ring);
			for (unsigned int i = 0; i < NUM; i++)
				d[i] = (struct vring_desc){DATA_AT, 1, NEXT, (i + 1) % NUM};
			if (!loop)
				d[NUM - 1].flags = 0;
			if (indirect)
				set_desc(g, 0, 0x8000, NUM * sizeof(*d), TABLE, 0);
			offer(g, 0);
			e = pop(g);
			assert_int_equal(!e, loop);
			assert_int_equal(g->breaks, loop);
			if (e) {
				assert_int_equal(e->out_num, NUM);
				push(g, e, 0);
			}
		}
	}
}

static void an_indirect_table_needs_the_feature(void **state)
{
	struct guest *g = *state;

	g->ring.indirect = false;
	vu__ring_start(&g->ring);
	set_desc(g, 0, 0x8000, 16, VRING_DESC_F_INDIRECT, 0);
	fill_indirect((struct vring_desc *)(g->mem + 0x8000), 1);
	offer(g, 0);
	assert_null(pop(g));
	assert_int_equal(g->breaks, 1);
}

static void a_jump_of_the_index_breaks_the_ring(void **state)
{
	struct guest *g = *state;

	vu__ring_start(&g->ring);
	g->avail->idx = NUM + 1;
	assert_null(pop(g));
	assert_int_equal(g->breaks, 1);
	g->vq.last_avail_idx = 5;
	g->avail->idx = 4;
	place_ring(g);
	vu__ring_start(&g->ring);
	assert_null(pop(g));
	assert_int_equal(g->breaks, 2);
}

static void a_head_in_flight_cannot_be_offered_again(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *e;

	vu__ring_start(&g->ring);
	set_desc(g, 0, DATA_AT, 1, 0, 0);
	offer(g, 0);
	offer(g, 0);
	e = pop(g);
	assert_non_null(e);
	assert_null(pop(g));
	assert_int_equal(g->breaks, 1);
	push(g, e, 0);
	assert_int_equal(g->vq.inuse, 0);
}

static void pushing_twice_is_refused(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *e, copy;

	vu__ring_start(&g->ring);
	set_desc(g, 0, DATA_AT, 1, 0, 0);
	offer(g, 0);
	e = pop(g);
	assert_non_null(e);
	copy = *e;
	push(g, e, 0);
	assert_false(vu__ring_fill(&g->ring, &copy, 0, 0));
	vu__ring_flush(&g->ring, 1);
	assert_int_equal(g->used->idx, 1);
	copy.index = 1 << 20;
	assert_false(vu__ring_fill(&g->ring, &copy, 0, 0));
}

static void unpop_and_rewind_give_them_again(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *e[3];

	vu__ring_start(&g->ring);
	for (int i = 0; i < 3; i++) {
		set_desc(g, i, DATA_AT + i, 1, 0, 0);
		offer(g, i);
	}
	for (int i = 0; i < 3; i++)
		e[i] = pop(g);
	assert_non_null(e[2]);
	vu__ring_unpop(&g->ring, e[2], 0);
	free(e[2]);
	assert_int_equal(g->vq.inuse, 2);
	e[2] = pop(g);
	assert_non_null(e[2]);
	assert_int_equal(e[2]->index, 2);
	assert_false(vu__ring_rewind(&g->ring, 4));
	assert_true(vu__ring_rewind(&g->ring, 2));
	free(e[1]);
	free(e[2]);
	assert_int_equal(g->vq.inuse, 1);
	for (int i = 1; i < 3; i++) {
		e[i] = pop(g);
		assert_non_null(e[i]);
		assert_int_equal(e[i]->index, i);
	}
	for (int i = 0; i < 3; i++)
		push(g, e[i], 0);
	assert_int_equal(g->breaks, 0);
}

static void a_batch_is_seen_at_the_flush(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *e[4];

	vu__ring_start(&g->ring);
	for (int i = 0; i < 4; i++) {
		set_desc(g, i, DATA_AT, 1, 0, 0);
		offer(g, i);
		e[i] = pop(g);
		assert_non_null(e[i]);
		assert_true(vu__ring_fill(&g->ring, e[i], i, i));
		free(e[i]);
	}
	assert_int_equal(g->used->idx, 0);
	vu__ring_flush(&g->ring, 4);
	assert_int_equal(g->used->idx, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(g->used->ring[i].len, i);
}

static void avail_bytes_sums_without_popping(void **state)
{
	struct guest *g = *state;
	unsigned int in, out;

	vu__ring_start(&g->ring);
	set_desc(g, 0, DATA_AT, 100, NEXT, 1);
	set_desc(g, 1, DATA_AT, 30, WRITE, 0);
	set_desc(g, 2, 0x8000, 16, TABLE, 0);
	*(struct vring_desc *)(g->mem + 0x8000) = (struct vring_desc){DATA_AT, 7, WRITE, 0};
	offer(g, 0);
	vu__ring_avail_bytes(&g->ring, &in, &out, UINT32_MAX, UINT32_MAX);
	assert_int_equal(in, 30);
	assert_int_equal(out, 100);
	offer(g, 2);
	vu__ring_avail_bytes(&g->ring, &in, &out, UINT32_MAX, UINT32_MAX);
	assert_int_equal(in, 37);
	vu__ring_avail_bytes(&g->ring, &in, &out, 1, 1);
	assert_int_equal(in, 30);
	assert_int_equal(g->vq.inuse, 0);
}

/* Whether a device that moved the used index by @n from @start calls, for each event. */
static void call_by_event_idx(void **state)
{
	struct guest *g = *state;
	static const uint16_t starts[] = {0, 5, 0x7fff, 0xfffc, 0xffff};

	g->ring.event_idx = true;
	for (unsigned int s = 0; s < VU_ARRAY_SIZE(starts); s++) {
		for (int event = -3; event <= 6; event++) {
			uint16_t old = starts[s], new = old + 4;

			g->used->idx = old;
			g->vq.last_avail_idx = g->avail->idx = old;
			place_ring(g);
			vu__ring_start(&g->ring);
			g->vq.signalled_used = old;
			g->vq.signalled_used_valid = true;
			g->vq.used_idx = new;
			*used_event(g) = old + event;
			/* The entry named by the event is among those just completed. */
			assert_int_equal(vu__ring_should_call(&g->ring),
					 event >= 0 && event < 4);
		}
	}
}

static void the_first_call_is_always_made(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *e;

	g->ring.event_idx = true;
	vu__ring_start(&g->ring);
	*used_event(g) = 0x8000;
	set_desc(g, 0, DATA_AT, 1, 0, 0);
	offer(g, 0);
	e = pop(g);
	push(g, e, 0);
	assert_true(vu__ring_should_call(&g->ring));
	assert_false(vu__ring_should_call(&g->ring));
}

static void call_by_flag(void **state)
{
	struct guest *g = *state;

	vu__ring_start(&g->ring);
	assert_true(vu__ring_should_call(&g->ring));
	g->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_false(vu__ring_should_call(&g->ring));
	g->ring.notify_on_empty = true;
	assert_true(vu__ring_should_call(&g->ring));
}

static void avail_event_asks_for_the_next_element(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *e[2];

	g->ring.event_idx = true;
	g->vq.last_avail_idx = g->avail->idx = g->used->idx = 0xfffe;
	*(uint16_t *)(void *)&g->used->ring[NUM] = 0x1234;
	assert_false(vu__ring_start(&g->ring));
	assert_int_equal(avail_event(g), 0xfffe);
	for (int i = 0; i < 2; i++) {
		set_desc(g, i, DATA_AT, 1, 0, 0);
		offer(g, i);
	}
	e[0] = pop(g);
	assert_non_null(e[0]);
	e[1] = pop(g);
	assert_non_null(e[1]);
	/* Popping the last known one asks, even if the device does not look again. */
	assert_int_equal(avail_event(g), 0);
	assert_null(pop(g));
	assert_int_equal(avail_event(g), 0);
	push(g, e[0], 0);
	push(g, e[1], 0);
}

static void notification_off_leaves_avail_event_alone(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *e;

	g->ring.event_idx = true;
	vu__ring_start(&g->ring);
	vu__ring_set_notification(&g->ring, false);
	set_desc(g, 0, DATA_AT, 1, 0, 0);
	offer(g, 0);
	e = pop(g);
	assert_null(pop(g));
	assert_int_equal(avail_event(g), 0);
	vu__ring_set_notification(&g->ring, true);
	assert_int_equal(avail_event(g), 1);
	push(g, e, 0);
}

static void notification_by_flag(void **state)
{
	struct guest *g = *state;

	g->used->flags = VRING_USED_F_NO_NOTIFY;
	vu__ring_start(&g->ring);
	assert_int_equal(g->used->flags, 0);
	vu__ring_set_notification(&g->ring, false);
	assert_int_equal(g->used->flags, VRING_USED_F_NO_NOTIFY);
	vu__ring_set_notification(&g->ring, true);
	assert_int_equal(g->used->flags, 0);
}

static void starting_reports_what_is_already_there(void **state)
{
	struct guest *g = *state;

	set_desc(g, 0, DATA_AT, 1, 0, 0);
	offer(g, 0);
	assert_true(vu__ring_start(&g->ring));
	g->ring.event_idx = true;
	assert_true(vu__ring_start(&g->ring));
}

/* Elements popped before a change of memory keep it, those after have the new one. */
static void a_new_map_waits_for_what_is_in_flight(void **state)
{
	struct guest *g = *state;
	struct vu__memmap *old = g->map, *new;
	VuVirtqElement *e[2];
	uint8_t *old_mem = g->mem;

	vu__ring_start(&g->ring);
	set_desc(g, 0, DATA_AT, 1, VRING_DESC_F_WRITE, 0);
	offer(g, 0);
	e[0] = pop(g);
	assert_non_null(e[0]);
	new = new_map();
	memcpy(new->regions[0]->host, old_mem, SIZE);
	assert_int_equal(vu__ring_set_map(&g->ring, new), 0);
	g->map = new;
	place_ring(g);
	vu__memmap_put(old);
	set_desc(g, 1, DATA_AT, 1, VRING_DESC_F_WRITE, 0);
	offer(g, 1);
	e[1] = pop(g);
	assert_non_null(e[1]);
	assert_ptr_equal(e[1]->in_sg[0].iov_base, g->mem + DATA_AT);
	assert_ptr_equal(e[0]->in_sg[0].iov_base, old_mem + DATA_AT);
	*(uint8_t *)e[0]->in_sg[0].iov_base = 1;
	assert_non_null(g->ring.retired);
	push(g, e[1], 1);
	assert_non_null(g->ring.retired);
	push(g, e[0], 1);
	assert_null(g->ring.retired);
	assert_int_equal(g->used->idx, 2);
}

static void hundreds_of_maps_while_one_request_hangs(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *hanging;

	vu__ring_start(&g->ring);
	set_desc(g, 7, DATA_AT, 1, 0, 0);
	offer(g, 7);
	hanging = pop(g);
	assert_non_null(hanging);
	for (unsigned int i = 0; i < 600; i++) {
		VuVirtqElement *e;

		assert_int_equal(vu__ring_set_map(&g->ring, g->map), 0);
		set_desc(g, i % 7, DATA_AT, 1, 0, 0);
		offer(g, i % 7);
		e = pop(g);
		assert_non_null(e);
		push(g, e, 0);
	}
	push(g, hanging, 0);
	assert_null(g->ring.retired);
}

static void the_last_push_of_a_drain_is_signalled(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *e[2];
	uint64_t value = 0;
	int fd = eventfd(0, EFD_NONBLOCK);

	vu__ring_start(&g->ring);
	for (int i = 0; i < 2; i++) {
		set_desc(g, i, DATA_AT, 1, 0, 0);
		offer(g, i);
		e[i] = pop(g);
	}
	g->ring.drained_fd = fd;
	push(g, e[1], 0);
	assert_int_equal(read(fd, &value, sizeof(value)), -1);
	push(g, e[0], 0);
	assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
	close(fd);
}

static void a_stopped_ring_is_silent(void **state)
{
	struct guest *g = *state;
	VuVirtqElement *e;

	vu__ring_start(&g->ring);
	set_desc(g, 0, DATA_AT, 1, 0, 0);
	offer(g, 0);
	e = pop(g);
	assert_non_null(e);
	vu__ring_stop(&g->ring);
	assert_false(vu__ring_fill(&g->ring, e, 0, 0));
	vu__ring_flush(&g->ring, 1);
	assert_false(vu__ring_should_call(&g->ring));
	assert_null(pop(g));
	assert_int_equal(g->used->idx, 0);
	free(e);
}

int main(void)
{
#define RING_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		RING_TEST(one_buffer_makes_the_round),
		RING_TEST(a_larger_structure_keeps_its_own_part),
		RING_TEST(indices_wrap),
		RING_TEST(a_buffer_over_two_regions_is_two_pieces),
		RING_TEST(indirect_of_any_length),
		RING_TEST(indirect_over_two_regions),
		RING_TEST(direct_descriptors_before_a_table),
		RING_TEST(a_hostile_chain_breaks_the_ring_once),
		RING_TEST(a_loop_over_all_descriptors_breaks_the_ring),
		RING_TEST(an_indirect_table_needs_the_feature),
		RING_TEST(a_jump_of_the_index_breaks_the_ring),
		RING_TEST(a_head_in_flight_cannot_be_offered_again),
		RING_TEST(pushing_twice_is_refused),
		RING_TEST(unpop_and_rewind_give_them_again),
		RING_TEST(a_batch_is_seen_at_the_flush),
		RING_TEST(avail_bytes_sums_without_popping),
		RING_TEST(call_by_event_idx),
		RING_TEST(the_first_call_is_always_made),
		RING_TEST(call_by_flag),
		RING_TEST(avail_event_asks_for_the_next_element),
		RING_TEST(notification_off_leaves_avail_event_alone),
		RING_TEST(notification_by_flag),
		RING_TEST(starting_reports_what_is_already_there),
		RING_TEST(a_new_map_waits_for_what_is_in_flight),
		RING_TEST(hundreds_of_maps_while_one_request_hangs),
		RING_TEST(the_last_push_of_a_drain_is_signalled),
		RING_TEST(a_stopped_ring_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
