/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which memory a ring's elements point into.  A new memory table is for what is popped
 * from then on; what is in flight keeps the map it was popped with, until it is pushed
 * or for as long as the ring lives.  Control thread, with the queue's thread kept out;
 * vu__ring_retired_done(): queue's thread.
 */
#include <errno.h>
#include <string.h>

#include "base/sys.h"
#include "core/ring.h"

/* A span for rings that have seen no buffer: no address is in it. */
static const struct vu__span nowhere;

static void use_map(struct vu__ring *r, struct vu__memmap *map)
{
	r->map = vu__memmap_get(map);
	r->span = &nowhere;
}

static void drop_list(struct vu__retired **list)
{
	while (*list) {
		struct vu__retired *old = *list;

		*list = old->next;
		vu__memmap_put(old->map);
		free(old);
	}
}

/* True if @list has @map already, so that stops do not add up. */
static bool list_has(const struct vu__retired *list, const struct vu__memmap *map)
{
	while (list && list->map != map)
		list = list->next;
	return list;
}

/* Keeps the maps of what is in flight for as long as the ring lives. */
void vu__ring_orphan_maps(struct vu__ring *r)
{
	struct vu__retired *last = vu__sys.calloc(1, sizeof(*last));

	if (last) {
		*last = (struct vu__retired){.next = r->retired, .map = vu__steal_ptr(&r->map)};
		r->retired = last;
	}
	while (r->retired) {
		struct vu__retired *old = r->retired;

		r->retired = old->next;
		if (list_has(r->orphans, old->map)) {
			vu__memmap_put(old->map);
			free(old);
		} else {
			old->next = r->orphans;
			r->orphans = old;
		}
	}
}

/* --- generations --- */

static bool in_map(const struct vu__ring *r, uint8_t gen, uint32_t number)
{
	return gen && gen != VU__GEN_RESUBMIT && r->gen_map[gen] == number;
}

/* Elements in flight that were popped with the map there is now. */
static unsigned int count_in_map(const struct vu__ring *r)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->vq->vring.num; i++)
		n += in_map(r, r->head_gen[i], r->map_number);
	return n;
}

static void find_free_gens(struct vu__ring *r)
{
	memset(r->free_gens, 0xff, sizeof(r->free_gens));
	r->free_gens[0] &= ~(uint64_t)1;
	r->free_gens[VU__GEN_RESUBMIT / 64] &= ~VU_BIT(VU__GEN_RESUBMIT % 64);
	for (unsigned int i = 0; i < r->vq->vring.num; i++)
		r->free_gens[r->head_gen[i] / 64] &= ~VU_BIT(r->head_gen[i] % 64);
}

/* Takes one of those known to be free; 0 if there is none. */
static uint8_t take_gen(struct vu__ring *r)
{
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(r->free_gens); i++) {
		unsigned int bit;

		if (!r->free_gens[i])
			continue;
		bit = __builtin_ctzll(r->free_gens[i]);
		r->free_gens[i] &= r->free_gens[i] - 1;
		return (uint8_t)(i * 64 + bit);
	}
	return 0;
}

/* A generation for what is popped from now on.  False: all are in flight. */
static bool begin_gen(struct vu__ring *r)
{
	uint8_t gen = take_gen(r);

	if (!gen) {
		/* Many have become free since this was done last. */
		find_free_gens(r);
		gen = take_gen(r);
	}
	if (!gen)
		return false;
	r->gen = gen;
	r->gen_map[gen] = r->map_number;
	__atomic_store_n(&r->gen_time[gen], r->meter.now, __ATOMIC_RELAXED);
	return true;
}

void vu__ring_date(struct vu__ring *r)
{
	/* Without one left, the next are taken for as old as those before. */
	if (VU__METERED && r->gen_time[r->gen] != r->meter.now)
		(void)begin_gen(r);
}

void vu__ring_first_gen(struct vu__ring *r)
{
	memset(r->free_gens, 0, sizeof(r->free_gens));
	/* It is empty but for what is to be resubmitted: there is one. */
	(void)begin_gen(r);
}

/* --- maps --- */

int vu__ring_set_map(struct vu__ring *r, struct vu__memmap *map)
{
	unsigned int left = r->can_push && r->vq->inuse ? count_in_map(r) : 0;
	struct vu__retired *old;

	if (!left) {
		vu__memmap_put(r->map);
		use_map(r, map);
		return 0;
	}
	old = vu__sys.calloc(1, sizeof(*old));
	if (!old)
		return -ENOMEM;
	*old = (struct vu__retired){r->retired, r->map, left, r->map_number};
	r->map_number++;
	if (!begin_gen(r)) {
		r->map_number--;
		free(old);
		return -EBUSY;
	}
	r->retired = old;
	use_map(r, map);
	return 0;
}

/* An element popped earlier is done; perhaps with an older map. */
void vu__ring_retired_done(struct vu__ring *r, uint8_t gen)
{
	if (in_map(r, gen, r->map_number))
		return;
	for (struct vu__retired **at = &r->retired; *at; at = &(*at)->next) {
		struct vu__retired *old = *at;

		if (!in_map(r, gen, old->number))
			continue;
		if (--old->left == 0) {
			*at = old->next;
			vu__memmap_put(old->map);
			free(old);
		}
		return;
	}
}

void vu__ring_drop_maps(struct vu__ring *r)
{
	drop_list(&r->retired);
	vu__memmap_put(vu__steal_ptr(&r->map));
	r->span = &nowhere;
}

void vu__ring_drop_orphans(struct vu__ring *r)
{
	drop_list(&r->orphans);
}
