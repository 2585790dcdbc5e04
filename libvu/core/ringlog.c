/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ring and the dirty log: when logging begins and ends, what is marked at a stop.
 * Control thread, with the queue's thread kept out; vu__ring_find_entry(): queue's.
 */
#include "core/ringlog.h"

#include <string.h>

#include "base/sys.h"
#include "core/packedring.h"

/* --- where the used ring's pages are in the log --- */

static uint64_t bit_of(const struct vu__ring *r, uint64_t gpa)
{
	return (gpa >> VU__LOG_PAGE_SHIFT) + r->dirty.skew;
}

/*
 * Only if all of the used ring is logged in one word; no more than its own pages is known
 * there.  Its marks are then collected in one mask.
 */
static void find_used_ring(struct vu__ring *r)
{
	const VuRing *v = &r->vq->vring;
	uint64_t gpa = v->log_guest_addr, size = vu__split_used_size(v->num, r->event_idx);
	const struct vu__dirty *d = &r->dirty;
	uint64_t first, index;

	memset(&r->used_log, 0, sizeof(r->used_log));
	/* Telling of each new mark, or with nowhere to count them, is not for the fast path. */
	if (!d->log || d->call_fd >= 0 || (VU__METERED && !d->counts) ||
	    !vu__has_bit(v->flags, VHOST_VRING_F_LOG) || !vu__log_covers(d->log, gpa, size))
		return;
	first = bit_of(r, gpa);
	index = bit_of(r, gpa + offsetof(struct vring_used, idx));
	if (bit_of(r, gpa + size - 1) / 64 != first / 64 ||
	    bit_of(r, gpa + offsetof(struct vring_used, idx) + 1) != index)
		return;
	r->used_log.word = &d->words[first / 64];
	r->used_log.index = VU_BIT(index % 64);
	r->dirty.noted[VU__DIRTY_RING].word = first / 64;
}

bool vu__ring_find_entry(struct vu__ring *r, uint16_t slot)
{
	uint64_t gpa = r->vq->vring.log_guest_addr + offsetof(struct vring_used, ring[slot]);
	unsigned int at = gpa & VU__LOG_PAGE_MASK, size = sizeof(vring_used_elem_t);
	unsigned int before = VU_MIN(at / size, slot); /* entries in the same page */

	/* One that crosses into the next page is of no page. */
	if (at > VU__LOG_PAGE_MASK + 1 - size)
		return false;
	r->used_log.from = slot - before;
	r->used_log.num = before + (VU__LOG_PAGE_MASK + 1 - at) / size;
	r->used_log.entry = VU_BIT(bit_of(r, gpa) % 64);
	r->used_log.both = r->used_log.entry | r->used_log.index;
	r->used_log.pages = r->used_log.both == r->used_log.index ? 1 : 2;
	return true;
}

void vu__ring_mark_entry_now(struct vu__ring *r)
{
	struct vu__dirty *d = &r->dirty;
	uint64_t mask = d->noted[VU__DIRTY_RING].mask;

	if (!vu__skipped(VU__MARK_USED))
		mask |= r->used_log.entry;
	d->noted[VU__DIRTY_RING].mask = 0;
	vu__dirty_set_behind_fence(d, d->noted[VU__DIRTY_RING].word, mask);
}

/* --- logging begins and ends --- */

static void choose_tracking(struct vu__ring *r)
{
	if (r->is_packed) {
		r->tracked = VU__TRACKED_PACKED;
		return;
	}
	find_used_ring(r);
	if (r->used_log.word && r->writable && !r->vq->inflight)
		r->tracked = VU__TRACKED_LOG;
	else
		r->tracked = r->dirty.log || r->vq->inflight ? VU__TRACKED : VU__TRACKED_NOT;
}

void vu__ring_track(struct vu__ring *r)
{
	free(vu__steal_ptr(&r->writable));
	if (r->dirty.data && r->alloc_num)
		r->writable = vu__sys.calloc(r->alloc_num, sizeof(*r->writable));
	choose_tracking(r);
}

void vu__ring_set_log(struct vu__ring *r, struct vu__log *log, bool data, int call_fd)
{
	vu__dirty_set_log(&r->dirty, log, data, call_fd);
	vu__ring_track(r);
}

void vu__ring_set_addresses(struct vu__ring *r, const VuRing *ring)
{
	/* What is noted is of the old ones. */
	vu__dirty_flush(&r->dirty);
	vu__ring_place(r, ring);
	choose_tracking(r);
}

void vu__ring_mark_start(struct vu__ring *r)
{
	if (!r->can_push)
		return;
	if (r->is_packed) {
		vu__packed_mark_device(r);
		return;
	}
	vu__ring_mark_used_now(r, offsetof(struct vring_used, flags), sizeof(__virtio16));
	if (r->event_idx)
		vu__ring_mark_used_now(r, vu__split_used_size(r->vq->vring.num, 0),
				       sizeof(__virtio16));
}

void vu__ring_mark_in_flight(struct vu__ring *r)
{
	for (unsigned int head = 0; head < r->vq->vring.num; head++) {
		if (r->head_gen[head] && r->head_gen[head] != VU__GEN_RESUBMIT &&
		    !vu__chain_mark(r, head, UINT64_MAX))
			break;
	}
	vu__dirty_flush(&r->dirty);
}
