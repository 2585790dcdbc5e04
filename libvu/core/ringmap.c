/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which memory a ring's elements point into.  A new memory table is for what is popped
 * from then on; what is in flight keeps the map it was popped with, until it is pushed
 * or for as long as the ring lives.  Control thread, with the queue's thread kept out;
 * vu__ring_retired_done(): queue's thread.
 */
#include <errno.h>

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

/* Elements in flight that were popped in generation @gen. */
static unsigned int count_gen(const struct vu__ring *r, uint8_t gen)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->vq->vring.num; i++)
		n += r->head_gen[i] == gen;
	return n;
}

static bool gen_in_use(const struct vu__ring *r, uint8_t gen)
{
	for (const struct vu__retired *old = r->retired; old; old = old->next) {
		if (old->gen == gen)
			return true;
	}
	return false;
}

int vu__ring_set_map(struct vu__ring *r, struct vu__memmap *map)
{
	unsigned int left = r->can_push && r->vq->inuse ? count_gen(r, r->gen) : 0;
	uint8_t next_gen = r->gen == VU__GEN_RESUBMIT - 1 ? 1 : r->gen + 1;
	struct vu__retired *old;

	if (!left) {
		vu__memmap_put(r->map);
		use_map(r, map);
		return 0;
	}
	if (gen_in_use(r, next_gen))
		return -EBUSY;
	old = vu__sys.calloc(1, sizeof(*old));
	if (!old)
		return -ENOMEM;
	*old = (struct vu__retired){r->retired, r->map, left, r->gen};
	r->retired = old;
	r->gen = next_gen;
	use_map(r, map);
	return 0;
}

/* An element popped with an older map is done. */
void vu__ring_retired_done(struct vu__ring *r, uint8_t gen)
{
	for (struct vu__retired **at = &r->retired; *at; at = &(*at)->next) {
		struct vu__retired *old = *at;

		if (old->gen != gen)
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
