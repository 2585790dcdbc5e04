/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places in packed rings, and what descriptors tell of them: on rings a driver and a
 * device of the test's own make, who keep count of what they do.
 */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "observe/packed.h"

#define MAX   16 /* descriptors of a ring, at most */
#define AVAIL VU_BIT(VRING_PACKED_DESC_F_AVAIL)
#define USED  VU_BIT(VRING_PACKED_DESC_F_USED)

/* --- a driver and a device --- */

struct request {
	uint16_t id;
	uint32_t len; /* descriptors */
};

struct world {
	struct vring_packed_desc desc[MAX];
	uint32_t size, free;
	uint32_t avail, used, taken; /* positions; taken: the driver has seen used up to there */
	struct request out[MAX];     /* made available, not given back */
	struct request back[MAX];    /* given back, not taken */
	uint32_t nout, nback;
	uint16_t ids[MAX]; /* free ones, the last is taken first */
	uint32_t nids;
	uint64_t made, done;
};

static void begin(struct world *w, uint32_t size)
{
	memset(w, 0, sizeof(*w));
	w->size = w->free = size;
	for (uint32_t i = 0; i < size; i++)
		w->ids[w->nids++] = size - 1 - i;
}

static void mark(struct world *w, uint32_t position, uint16_t flags, bool is_used)
{
	bool wrap = position < w->size;

	flags |= (wrap ? AVAIL : 0) | (wrap == is_used ? USED : 0);
	w->desc[position % w->size].flags = htole16(flags);
}

/* A request of @len descriptors, or in a table of its own. */
static void make(struct world *w, uint32_t len, bool indirect)
{
	struct request r = {w->ids[--w->nids], len};

	for (uint32_t i = 0; i < len; i++) {
		uint32_t at = (w->avail + i) % (2 * w->size);
		uint16_t flags = i + 1 < len ? VRING_DESC_F_NEXT : 0;

		w->desc[at % w->size].addr = htole64(0x1000 + at);
		w->desc[at % w->size].len = htole32(16);
		w->desc[at % w->size].id = htole16(r.id);
		mark(w, at, flags | (indirect ? VRING_DESC_F_INDIRECT : 0), false);
	}
	w->avail = (w->avail + len) % (2 * w->size);
	w->free -= len;
	w->out[w->nout++] = r;
	w->made++;
}

/* The device gives back the @n-th of what is outstanding. */
static void give_back(struct world *w, uint32_t n)
{
	struct request r = w->out[n];

	memmove(&w->out[n], &w->out[n + 1], (w->nout - n - 1) * sizeof(r));
	w->nout--;
	w->desc[w->used % w->size].id = htole16(r.id);
	w->desc[w->used % w->size].len = htole32(1);
	mark(w, w->used, 0, true);
	w->used = (w->used + r.len) % (2 * w->size);
	w->back[w->nback++] = r;
	w->done++;
}

/* The driver takes the oldest of what was given back. */
static void take(struct world *w)
{
	struct request r = w->back[0];

	memmove(&w->back[0], &w->back[1], --w->nback * sizeof(r));
	w->taken = (w->taken + r.len) % (2 * w->size);
	w->free += r.len;
	w->ids[w->nids++] = r.id;
}

static struct vu__circle look(const struct world *w, const uint16_t *event)
{
	struct vu__circle r = {.desc = w->desc, .size = w->size};

	vu__circle_find_avail(&r);
	vu__circle_guess_used(&r, event);
	return r;
}

/* --- places --- */

static void places_are_on_a_circle(void **state)
{
	(void)state;
	/* Both sides begin at 0, the counter at 1. */
	assert_int_equal(vu__circle_position(0x8000, 10), 0);
	assert_int_equal(vu__circle_position(9, 10), 19);
	for (uint32_t at = 0; at < 20; at++)
		assert_int_equal(vu__circle_position(vu__circle_place(at, 10), 10), at);
	assert_int_equal(vu__circle_steps(0x8009, 0x0001, 10), 2);
	assert_int_equal(vu__circle_steps(0x0009, 0x8000, 10), 1);
	assert_int_equal(vu__circle_steps(0x8001, 0x8000, 10), 19);
	assert_int_equal(vu__packed_slot(0x8007), 7);
	assert_true(vu__packed_wrap(0x8007));
	/* One that cannot be is somewhere. */
	assert_true(vu__circle_position(0x7fff, 10) < 20);
}

static void events_are_passed(void **state)
{
	(void)state;
	/* From 8 to 1 of the next lap, of 10. */
	assert_true(vu__circle_passed(0x8008, 0x0001, 0x8008, 10));
	assert_true(vu__circle_passed(0x8009, 0x0001, 0x8008, 10));
	assert_true(vu__circle_passed(0x0000, 0x0001, 0x8008, 10));
	assert_false(vu__circle_passed(0x0001, 0x0001, 0x8008, 10));
	assert_false(vu__circle_passed(0x8007, 0x0001, 0x8008, 10));
	/* The slot is right, the lap is not. */
	assert_false(vu__circle_passed(0x0009, 0x0001, 0x8008, 10));
}

/* --- what descriptors tell --- */

static void fresh_ring(void **state)
{
	struct world w;
	struct vu__circle r;

	(void)state;
	begin(&w, 8);
	r = look(&w, NULL);
	assert_int_equal(r.avail, 0);
	assert_int_equal(r.used, 0);
	/* The first request has the id that memory of zeros has, too. */
	make(&w, 3, false);
	r = look(&w, NULL);
	assert_int_equal(r.avail, 3);
	assert_int_equal(r.used, 0);
	assert_int_equal(vu__circle_count(&r, r.used, r.avail), 1);
	give_back(&w, 0);
	r = look(&w, NULL);
	assert_int_equal(r.used, 3);
	assert_int_equal(vu__circle_count(&r, 0, r.used), 1);
}

static uint32_t below(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % n;
}

static uint32_t wanted_length(uint32_t kind, uint32_t *seed)
{
	return kind == 0 ? 1 : kind == 1 ? 3 : 1 + below(seed, 3);
}

/* One thing happens; what is outstanding, at most @depth requests. */
static void step(struct world *w, uint32_t kind, bool indirect, uint32_t depth, bool in_order,
		 uint32_t *seed)
{
	uint32_t what = below(seed, 3), len = wanted_length(kind, seed);

	if (what == 0 && w->nids && w->free >= len && w->nout < depth)
		make(w, len, indirect);
	else if (what == 1 && w->nout)
		give_back(w, in_order ? 0 : below(seed, w->nout));
	else if (w->nback)
		take(w);
}

/* The driver's place is always known, whatever requests there are and in any order. */
static void driver_is_found(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (uint32_t round = 0; round < 200; round++) {
		uint32_t kind = below(&seed, 3), depth = 1 + below(&seed, MAX);
		bool in_order = below(&seed, 2);
		struct world w;

		begin(&w, 3 + below(&seed, MAX - 2));
		for (uint32_t i = 0; i < 200; i++) {
			struct vu__circle r;

			step(&w, kind, false, depth, in_order, &seed);
			r = look(&w, NULL);
			assert_false(r.odd);
			assert_int_equal(r.avail, w.avail);
			assert_true(vu__circle_forward(r.used, r.avail, r.size) <= r.size);
		}
	}
}

/*
 * Requests of one descriptor each: the device's, too; and with tables of their own,
 * which there is no mistaking, every request is counted.
 */
static void single_descriptors_are_exact(void **state)
{
	uint32_t seed = 2;

	(void)state;
	for (uint32_t round = 0; round < 400; round++) {
		uint32_t depth = 1 + below(&seed, MAX), was_avail = 0, was_used = 0;
		bool in_order = below(&seed, 2), indirect = below(&seed, 2);
		uint64_t made = 0, done = 0;
		struct world w;

		begin(&w, 3 + below(&seed, MAX - 2));
		for (uint32_t i = 0; i < 300; i++) {
			uint16_t event;
			struct vu__circle r;

			step(&w, 0, indirect, depth, in_order, &seed);
			event = vu__circle_place(w.taken, w.size);
			r = look(&w, &event);
			assert_int_equal(r.avail, w.avail);
			/* A nearly full ring does not show how long requests were before. */
			if (!indirect && (!in_order || w.nout * 2 > w.size)) {
				assert_true(vu__circle_forward(w.used, r.used, w.size) <= 1);
				continue;
			}
			assert_int_equal(r.used, w.used);
			assert_int_equal(vu__circle_count(&r, r.used, r.avail), w.nout);
			if (!indirect || (i % w.size && below(&seed, 4)))
				continue;
			made += vu__circle_count(&r, was_avail, r.avail);
			done += vu__circle_count(&r, was_used, r.used);
			assert_int_equal(made, w.made);
			assert_int_equal(done, w.done);
			was_avail = r.avail;
			was_used = r.used;
		}
	}
}

/* All as long as each other: exact when nothing is outstanding, in any order. */
static void idle_ring_is_idle(void **state)
{
	uint32_t seed = 3, rounds = 0;

	(void)state;
	for (uint32_t round = 0; round < 400; round++) {
		struct world w;

		begin(&w, 9 + below(&seed, MAX - 8));
		for (uint32_t i = 0; i < 300; i++) {
			struct vu__circle r;

			step(&w, 1, false, 4, below(&seed, 2), &seed);
			if (w.nout || w.made < 5)
				continue;
			r = look(&w, NULL);
			assert_int_equal(r.used, w.used);
			assert_int_equal(vu__circle_count(&r, r.used, r.avail), 0);
			rounds++;
		}
	}
	assert_true(rounds > 1000);
}

/* Of any length, in order: seldom wrong, never by much, and exact if it is idle. */
static void in_order_is_nearly_exact(void **state)
{
	uint32_t seed = 4, wrong = 0, all = 0;

	(void)state;
	for (uint32_t round = 0; round < 400; round++) {
		struct world w;

		begin(&w, 9 + below(&seed, MAX - 8));
		for (uint32_t i = 0; i < 300; i++) {
			struct vu__circle r;
			uint16_t event;
			uint32_t n;

			step(&w, 2, false, 4, true, &seed);
			event = vu__circle_place(w.taken, w.size);
			r = look(&w, round % 2 ? &event : NULL);
			if (round % 2 && !w.nback && !w.nout)
				assert_int_equal(r.used, w.used);
			n = vu__circle_count(&r, r.used, r.avail);
			assert_in_range(n + 2, w.nout, w.nout + 4);
			wrong += round % 2 && n != w.nout;
			all += round % 2;
		}
	}
	assert_true(wrong * 3 < all);
}

/* With IN_ORDER a device may give back many with one used descriptor. */
static void batches_in_order(void **state)
{
	struct vu__circle r;
	struct world w;

	(void)state;
	begin(&w, 8);
	for (unsigned int i = 0; i < 5; i++)
		make(&w, 1, false);
	w.desc[0].id = htole16(w.out[2].id);
	mark(&w, 0, 0, true);
	r = (struct vu__circle){.desc = w.desc, .size = 8, .in_order = true};
	vu__circle_find_avail(&r);
	vu__circle_guess_used(&r, NULL);
	assert_int_equal(r.used, 3);
	assert_int_equal(vu__circle_count(&r, 0, r.used), 3);
	assert_int_equal(vu__circle_count(&r, r.used, r.avail), 2);
}

/* The id that was given back last names the next request: the driver's event tells. */
static void event_tells(void **state)
{
	struct vu__circle r;
	uint16_t event;
	struct world w;

	(void)state;
	begin(&w, 8);
	make(&w, 1, false);
	give_back(&w, 0);
	take(&w);
	make(&w, 1, false);
	assert_int_equal(w.desc[0].id, w.desc[1].id);
	event = vu__circle_place(w.taken, w.size);
	r = look(&w, &event);
	assert_int_equal(r.used, 1);
}

/* Half of it is of another lap, as when the reader was held up. */
static void odd_ring(void **state)
{
	struct vring_packed_desc desc[8] = {{.addr = 1}};
	struct vu__circle r = {.desc = desc, .size = 8};

	(void)state;
	desc[2].flags = desc[3].flags = desc[6].flags = htole16(AVAIL);
	vu__circle_find_avail(&r);
	assert_true(r.odd);
	desc[6].flags = 0;
	vu__circle_find_avail(&r);
	assert_true(r.odd);
	desc[0].flags = desc[1].flags = htole16(AVAIL | USED);
	vu__circle_find_avail(&r);
	assert_false(r.odd);
	assert_int_equal(r.avail, 4);
}

/* Whatever it is, it ends, and is of the ring. */
static void any_bytes(void **state)
{
	uint32_t seed = 5;

	(void)state;
	for (uint32_t round = 0; round < 20000; round++) {
		struct vring_packed_desc *desc;
		struct vu__circle r = {.size = 1 + below(&seed, MAX)};
		uint16_t event = below(&seed, 65536);

		desc = calloc(r.size, sizeof(*desc));
		for (size_t i = 0; i < r.size * sizeof(*desc); i++)
			((uint8_t *)desc)[i] = below(&seed, 4) ? 0 : below(&seed, 256);
		r.desc = desc;
		r.in_order = below(&seed, 2);
		vu__circle_find_avail(&r);
		vu__circle_guess_used(&r, &event);
		assert_true(r.avail < 2 * r.size && r.used < 2 * r.size);
		assert_true(vu__circle_forward(r.used, r.avail, r.size) <= r.size);
		assert_true(vu__circle_count(&r, r.used, r.avail) <= r.size);
		(void)vu__circle_count(&r, below(&seed, 2 * r.size), below(&seed, 2 * r.size));
		free(desc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_on_a_circle),
		cmocka_unit_test(events_are_passed),
		cmocka_unit_test(fresh_ring),
		cmocka_unit_test(driver_is_found),
		cmocka_unit_test(single_descriptors_are_exact),
		cmocka_unit_test(idle_ring_is_idle),
		cmocka_unit_test(in_order_is_nearly_exact),
		cmocka_unit_test(batches_in_order),
		cmocka_unit_test(event_tells),
		cmocka_unit_test(odd_ring),
		cmocka_unit_test(any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
