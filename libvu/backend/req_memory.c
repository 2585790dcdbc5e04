/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory table.  A new map is made and every running ring is found in it before
 * anything changes; a refused request leaves the old one.  Control thread.
 */
#include <errno.h>
#include <string.h>

#include "backend/dev.h"
#include "base/log.h"
#include "base/sys.h"

/*
 * With GPA_ADDRESSES rings are named by guest address, and what is said of the
 * front-end's own addresses has no meaning.
 */
static struct vu__region_desc desc_of(const struct vu__dev *d,
				      const struct vu__region_payload *p)
{
	uint64_t uaddr = vu__dev_has(d, VU__PF_GPA_ADDRESSES) ? p->gpa : p->uaddr;

	return (struct vu__region_desc){p->gpa, p->size, uaddr, p->mmap_offset};
}

/* Where each running ring will be; others keep their zeros. */
static int resolve_all(struct vu__dev *d, const struct vu__memmap *map, VuRing *rings)
{
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		struct vu__queue *q = &d->queues[i];
		int ret;

		if (!q->ring.can_push)
			continue;
		ret = vu__queue_resolve(q, map, &rings[i]);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Moves one running queue over to the new map.  One that cannot keeps its old memory
 * mapped and breaks rather than hold everything back.
 */
static void move_queue(struct vu__queue *q, struct vu__memmap *map, const VuRing *ring)
{
	int ret;

	vu__queue_quiesce(q);
	ret = vu__ring_set_map(&q->ring, map);
	if (ret) {
		vu__ring_break(&q->ring, "new memory table: %s", strerror(-ret));
	} else {
		vu__ring_place(&q->ring, ring);
	}
	vu__queue_resume(q);
}

/*
 * Makes @map the device's.  The rings of queues that run stay where they are in the
 * guest, so each can be moved by itself.
 */
static void publish(struct vu__dev *d, struct vu__memmap *map, const VuRing *rings)
{
	/* First: a thread that has to be kept out may be waiting in an old region. */
	if (vu__postcopy_listening(d->pub))
		vu__postcopy_settle(&d->postcopy, map);
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		struct vu__queue *q = &d->queues[i];

		if (q->ring.can_push)
			move_queue(q, map, &rings[i]);
	}
	vu__memmap_put(d->map);
	d->map = vu__memmap_get(map);
	vu__dev_mirror_regions(d);
	vu__show_regions(d);
	/* What was available stays so, but its kick may have come while nobody looked. */
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		struct vu__queue *q = &d->queues[i];

		if (!q->ring.can_push)
			continue;
		vu__queue_kick_self(q);
	}
}

int vu__memory_use(struct vu__dev *d, struct vu__memmap *map)
{
	VU_CLEANUP_FREE VuRing *rings =
		vu__sys.calloc(d->pub->max_queues, sizeof(*rings));
	int ret;

	if (!rings)
		return -ENOMEM;
	ret = vu__log_check_map(d, d->log_data ? d->log : NULL, map);
	if (!ret)
		ret = resolve_all(d, map, rings);
	if (ret)
		return ret;
	vu__log_check_shadow(d, map);
	publish(d, map, rings);
	return 0;
}

/* The map that the next change of the memory table begins with. */
static struct vu__memmap *newest_map(struct vu__dev *d)
{
	return d->next_map ? d->next_map : d->map;
}

/*
 * In postcopy what is added waits for the front-end, and with it every further change.  A
 * region that a ring is in is not taken away unless what is added then has the ring.
 */
static int use_map(struct vu__dev *d, struct vu__memmap *map, bool adds, bool by_regions)
{
	bool listening = vu__postcopy_listening(d->pub);
	int ret;

	if (d->next_map || (adds && listening))
		return vu__postcopy_defer(d, map, by_regions);
	ret = vu__memory_use(d, map);
	return ret && listening ? vu__postcopy_defer(d, map, by_regions) : ret;
}

static int use_regions(struct vu__dev *d, struct vu__region *const *regions, unsigned int n,
		       bool adds, bool by_regions)
{
	struct vu__memmap *map;
	int ret = vu__memmap_new(regions, n, &map, d->why, sizeof(d->why));

	if (ret)
		return ret;
	ret = use_map(d, map, adds, by_regions);
	vu__memmap_put(map);
	return ret;
}

static int map_region(struct vu__dev *d, const struct vu__region_payload *p, int fd,
		      struct vu__region **out)
{
	struct vu__region_desc desc = desc_of(d, p);
	int ret = vu__region_new(&desc, fd, out, d->why, sizeof(d->why));

	if (!ret)
		vu__debug(VU__DEBUG_MEM, "region at 0x%llx of 0x%llx bytes",
			  (unsigned long long)desc.gpa, (unsigned long long)desc.size);
	return ret;
}

/*
 * "VHOST_USER_SET_MEM_TABLE": in postcopy the answer is the request, with addresses of
 * this process instead of the front-end's.
 */
static int answer(struct vu__dev *d, struct vu__msg *m, int ret)
{
	if (ret)
		vu__postcopy_prune(&d->postcopy);
	if (ret || !d->next_map)
		return ret;
	vu__msg_close_fds(m);
	vu__msg_make_reply(m, m->size);
	return VU__REPLY;
}

static void show_address(struct vu__region_payload *p, const struct vu__region *r)
{
	p->uaddr = (uintptr_t)r->host;
}

int vu__req_set_mem_table(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__mem_table_payload *table = &m->payload.mem_table;
	struct vu__region *regions[VU__REGIONS_MAX] = {NULL};
	unsigned int n = 0;
	int ret = 0;

	for (; n < table->nregions && !ret; n++)
		ret = map_region(d, &table->regions[n], m->fds[n], &regions[n]);
	if (ret)
		n--;
	else
		ret = use_regions(d, regions, n, true, false);
	/* The map has references of its own. */
	while (n--) {
		show_address(&table->regions[n], regions[n]);
		vu__region_put(regions[n]);
	}
	return answer(d, m, ret);
}

int vu__req_get_max_mem_slots(struct vu__dev *d, struct vu__msg *m)
{
	(void)d;
	vu__msg_make_reply_u64(m, VU__MAX_REGIONS);
	return VU__REPLY;
}

int vu__req_add_mem_reg(struct vu__dev *d, struct vu__msg *m)
{
	VU_CLEANUP_FREE struct vu__region **regions = NULL;
	struct vu__memmap *map = newest_map(d);
	struct vu__region *added;
	unsigned int n = map->n;
	int ret;

	if (n == VU__MAX_REGIONS)
		return vu__refuse(d, -ENOSPC, "there are %u regions already", n);
	regions = vu__sys.calloc(n + 1, sizeof(*regions));
	if (!regions)
		return -ENOMEM;
	ret = map_region(d, &m->payload.mem_reg.region, m->fds[0], &added);
	if (ret)
		return ret;
	memcpy(regions, map->regions, n * sizeof(*regions));
	regions[n] = added;
	ret = use_regions(d, regions, n + 1, true, true);
	show_address(&m->payload.mem_reg.region, added);
	vu__region_put(added);
	return answer(d, m, ret);
}

/* The file offset plays no part: guest address, front-end address and size are the key. */
static bool is_region(const struct vu__region *r, const struct vu__region_desc *key)
{
	return r->desc.gpa == key->gpa && r->desc.uaddr == key->uaddr &&
	       r->desc.size == key->size;
}

int vu__req_rem_mem_reg(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__region_desc key = desc_of(d, &m->payload.mem_reg.region);
	VU_CLEANUP_FREE struct vu__region **regions = NULL;
	struct vu__memmap *map = newest_map(d);
	unsigned int n = 0;

	regions = vu__sys.calloc(map->n + 1, sizeof(*regions));
	if (!regions)
		return -ENOMEM;
	for (unsigned int i = 0; i < map->n; i++) {
		if (!is_region(map->regions[i], &key))
			regions[n++] = map->regions[i];
	}
	if (n == map->n)
		return vu__refuse(d, -ENOENT, "no region of 0x%llx bytes at 0x%llx",
				  (unsigned long long)key.size, (unsigned long long)key.gpa);
	return use_regions(d, regions, n, false, true);
}
