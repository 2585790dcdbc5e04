/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a state makes sense by itself.  No I/O; any thread. */
#include "state/snap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/packed.h"
#include "core/split.h"
#include "wire/spec.h"

struct check {
	const struct vu__snap *s;
	char *why;
	size_t why_size;
};

static int bad(const struct check *c, const char *fmt, ...) VU_PRINTF(2, 3);
static int bad(const struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, c->why_size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void vu__snap_release(struct vu__snap *s)
{
	for (uint32_t i = 0; i < s->nqueues; i++) {
		free(s->queues[i].heads);
		free(s->queues[i].descs);
	}
	free(s->queues);
	free(s->regions);
	free(s->blob.data);
	free(s->notes);
	memset(s, 0, sizeof(*s));
}

static int check_regions(const struct check *c)
{
	const struct vu__snap *s = c->s;

	for (uint32_t i = 0; i < s->nregions; i++) {
		const struct vu__snap_region *a = &s->regions[i];

		if (!a->size || !vu__range_valid(a->gpa, a->size) ||
		    !vu__range_valid(a->uaddr, a->size) ||
		    !vu__range_valid(a->file_offset, a->size))
			return bad(c, "region %u: 0x%" PRIx64 " bytes at 0x%" PRIx64, i, a->size,
				   a->gpa);
		for (uint32_t j = 0; j < i; j++) {
			const struct vu__snap_region *b = &s->regions[j];

			if (vu__ranges_overlap(a->gpa, a->size, b->gpa, b->size) ||
			    vu__ranges_overlap(a->uaddr, a->size, b->uaddr, b->size))
				return bad(c, "regions %u and %u overlap", j, i);
		}
	}
	return 0;
}

/* Whether a part of a ring lies in one region; the addresses may be guest's or the
 * front-end's, a feature says which. */
static bool in_memory(const struct vu__snap *s, uint64_t addr, uint64_t size, bool guest)
{
	for (uint32_t i = 0; i < s->nregions; i++) {
		const struct vu__snap_region *r = &s->regions[i];
		uint64_t off = addr - (guest ? r->gpa : r->uaddr);

		if (off < r->size && vu__range_within(off, size, r->size))
			return true;
	}
	return false;
}

static int check_rings(const struct check *c, const struct vu__snap_queue *q)
{
	const struct vu__snap *s = c->s;
	bool guest = vu__has_bit(s->device.protocol_features, VU__PF_GPA_ADDRESSES);
	bool event = vu__has_bit(s->device.features, VU__F_EVENT_IDX);
	uint64_t driver = q->packed ? 4 : vu__split_avail_size(q->size, event);
	uint64_t device = q->packed ? 4 : vu__split_used_size(q->size, event);

	if (in_memory(s, q->descriptors, vu__split_desc_size(q->size), guest) &&
	    in_memory(s, q->driver, driver, guest) && in_memory(s, q->device, device, guest))
		return 0;
	return bad(c, "queue %u: its rings are not in the memory regions", q->index);
}

/* As many chains as there are requests, all of the descriptors that are outstanding. */
static int check_chains(const struct check *c, const struct vu__snap_queue *q)
{
	unsigned int ahead = vu__packed_distance(vu__snap_used(q), vu__snap_avail(q), q->size);
	uint32_t n = 0;

	for (uint32_t i = 0; i < q->ndescs; i++)
		n += !(q->descs[i].flags & VRING_DESC_F_NEXT);
	if (ahead > q->size || q->ndescs > ahead)
		return bad(c, "queue %u: %u descriptors in flight from slot %u to %u", q->index,
			   q->ndescs, q->used, q->last_avail);
	if (n != q->nheads || (q->ndescs && q->descs[q->ndescs - 1].flags & VRING_DESC_F_NEXT))
		return bad(c, "queue %u: %u requests in flight have %u chains", q->index,
			   q->nheads, n);
	return 0;
}

/* No head twice, none behind the ring's end. */
static int check_heads(const struct check *c, const struct vu__snap_queue *q)
{
	uint64_t seen[VU__SNAP_RING_MAX / 64] = {0};

	if (q->nheads > q->size)
		return bad(c, "queue %u: %u requests in flight in a ring of %u", q->index,
			   q->nheads, q->size);
	for (uint32_t i = 0; i < q->nheads; i++) {
		uint16_t head = q->heads[i];

		if (head >= q->size || vu__has_bit(seen[head / 64], head % 64))
			return bad(c, "queue %u: request %u in flight is head %u", q->index, i,
				   head);
		seen[head / 64] |= VU_BIT(head % 64);
	}
	return 0;
}

static bool is_serving(const struct vu__snap_queue *q)
{
	return q->started && q->size && q->has_addresses;
}

static int check_queue(const struct check *c, const struct vu__snap_queue *q)
{
	unsigned int most = q->packed ? UINT16_MAX / 2 : UINT16_MAX;
	uint16_t ahead = q->last_avail - q->used;

	if (q->index >= c->s->device.max_queues)
		return bad(c, "queue %u of %u", q->index, c->s->device.max_queues);
	if (q->size > VU__SNAP_RING_MAX || (!q->packed && q->size && !vu__is_pow2(q->size)))
		return bad(c, "queue %u: a ring of %u entries", q->index, q->size);
	if (q->last_avail > most || q->used > most || (q->packed && q->size &&
	    (q->last_avail >= q->size || q->used >= q->size)))
		return bad(c, "queue %u: indices %u and %u", q->index, q->last_avail, q->used);
	if (!is_serving(q))
		return q->nheads || q->ndescs ? bad(c, "queue %u: requests in flight, but it is stopped",
				       q->index) : 0;
	if (q->packed)
		return check_chains(c, q);
	if (q->ndescs)
		return bad(c, "queue %u: a split ring with %u descriptors of its own", q->index,
			   q->ndescs);
	/* What has been popped is in flight, or completed, or was lost before a restart. */
	if (q->nheads > ahead)
		return bad(c, "queue %u: %u popped and %u completed, but %u in flight", q->index,
			   q->last_avail, q->used, q->nheads);
	return q->nheads ? check_heads(c, q) : 0;
}

static int check_queues(const struct check *c)
{
	const struct vu__snap *s = c->s;
	int ret = 0;

	if (s->device.max_queues > VU__SNAP_QUEUES_MAX || s->nqueues > s->device.max_queues)
		return bad(c, "%u queues, of %u that the device has", s->nqueues,
			   s->device.max_queues);
	for (uint32_t i = 0; !ret && i < s->nqueues; i++) {
		const struct vu__snap_queue *q = &s->queues[i];

		if (i && q->index <= q[-1].index)
			return bad(c, "queue %u comes after queue %u", q->index, q[-1].index);
		ret = check_queue(c, q);
		if (!ret && is_serving(q))
			ret = check_rings(c, q);
	}
	return ret;
}

static int check_shared(const struct check *c, const struct vu__snap_shared *m,
			const char *what)
{
	if (!m->present || (m->size && vu__range_valid(m->file_offset, m->size)))
		return 0;
	return bad(c, "%s of %" PRIu64 " bytes at %" PRIu64, what, m->size, m->file_offset);
}

int vu__snap_check(const struct vu__snap *s, char *why, size_t why_size)
{
	struct check c = {s, why, why_size};
	int ret = check_regions(&c);

	if (!ret)
		ret = check_queues(&c);
	if (!ret)
		ret = check_shared(&c, &s->inflight, "an inflight region");
	if (!ret)
		ret = check_shared(&c, &s->log, "a dirty log");
	return ret;
}

uint64_t vu__snap_memory(const struct vu__snap *s)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->nregions; i++)
		sum += s->regions[i].size;
	return sum;
}
