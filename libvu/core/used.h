/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the device writes to the used ring, and that it is logged.  Queue's thread, or
 * the control thread while that is kept out.
 */
#ifndef VU_CORE_USED_H
#define VU_CORE_USED_H

#include "core/ring.h"
#include "core/split.h"

/*
 * Marks @len bytes at @offset of the used ring, which the device has just written, if
 * the front-end wants to know (VHOST_VRING_F_LOG).  Its guest address need not be in
 * the memory table.
 */
static VU_ALWAYS_INLINE bool vu__ring_mark_used(struct vu__ring *r, uint64_t offset,
						uint64_t len)
{
	const VuRing *v = &r->vq->vring;

	if (VU_LIKELY(!r->dirty.log) || !vu__has_bit(v->flags, VHOST_VRING_F_LOG) ||
	    vu__skipped(VU__MARK_USED))
		return true;
	return vu__ring_mark(r, v->log_guest_addr + offset, len, VU__DIRTY_RING);
}

/* ... and at once: no used index will follow that would flush it. */
static inline void vu__ring_mark_used_now(struct vu__ring *r, uint64_t offset, uint64_t len)
{
	if (VU_LIKELY(!r->dirty.log))
		return;
	(void)vu__ring_mark_used(r, offset, len);
	vu__dirty_flush(&r->dirty);
}

static inline void vu__ring_set_used_flags(struct vu__ring *r, uint16_t flags)
{
	vu__split_set_used_flags(r->vq->vring.used, flags);
	vu__ring_mark_used_now(r, offsetof(struct vring_used, flags), sizeof(flags));
}

static inline void vu__ring_set_avail_event(struct vu__ring *r, uint16_t idx)
{
	const VuRing *v = &r->vq->vring;

	vu__split_set_avail_event(v->used, v->num, idx);
	vu__ring_mark_used_now(r, vu__split_used_size(v->num, 0), sizeof(idx));
}

/* Asks for a kick at the next element, and looks whether that came too late. */
static inline bool vu__ring_arm(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;

	vu__ring_set_avail_event(r, vq->last_avail_idx);
	r->armed = true;
	r->armed_at = vq->last_avail_idx;
	/* avail_event before the index: the driver stores and loads them in reverse. */
	vu__split_fence();
	return vu__split_avail_idx(vq->vring.avail) != vq->last_avail_idx;
}

#endif
