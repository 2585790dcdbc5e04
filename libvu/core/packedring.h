/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the calls of ring.h do for a packed ring, as far as it is something else than for a
 * split one.  Queue's thread.
 */
#ifndef VU_CORE_PACKEDRING_H
#define VU_CORE_PACKEDRING_H

#include "core/ring.h"
#include "core/split.h"

/* Pops from the ring; what an earlier back-end has taken is not looked at. */
void *vu__packed_pop(struct vu__ring *r, size_t size, struct vu__arena *arena);

/* There was nothing to pop: asks for a kick.  True if there is something now. */
VU_COLD bool vu__packed_look_again(struct vu__ring *r);

/* Adds up what is available, until it is enough.  False: the ring is broken. */
VU_MUST_CHECK bool vu__packed_sum(struct vu__ring *r, uint64_t *in, uint64_t *out,
				  uint64_t max_in, uint64_t max_out);

/* What was popped last; takes it back, which is out of flight already. */
uint16_t vu__packed_last_popped(const struct vu__ring *r);
void vu__packed_take_back(struct vu__ring *r);

/* One element that is out of flight is shown. */
void vu__packed_push(struct vu__ring *r, unsigned int head, unsigned int len);

/* An element that is out of flight goes to a place in the next batch.  False: it cannot. */
VU_MUST_CHECK bool vu__packed_fill(struct vu__ring *r, unsigned int head, unsigned int len,
				   unsigned int idx);
/* The first @num of the batch are shown. */
void vu__packed_flush(struct vu__ring *r, unsigned int num);

bool vu__packed_should_call(struct vu__ring *r);
void vu__packed_set_notification(struct vu__ring *r, bool enable);

/* Asks for a kick at the next chain.  True if there is one already. */
bool vu__packed_arm(struct vu__ring *r);

/* Begins to serve it, at vq->last_avail_idx and vq->used_idx.  True if there is work. */
bool vu__packed_start(struct vu__ring *r);

static inline bool vu__packed_available_at(const struct vu__ring *r, uint16_t place)
{
	const struct vring_packed_desc *d = &r->packed.desc[vu__packed_slot(place)];

	return vu__packed_available(vu__packed_flags(d), place);
}

/* Whether there is something to pop, and if not, asks for a kick. */
static inline bool vu__packed_have(struct vu__ring *r)
{
	return VU_LIKELY(vu__packed_available_at(r, r->packed.avail)) ||
	       vu__packed_look_again(r);
}

/* Marks the @len bytes at @gpa of the ring, which the device has just written. */
static inline bool vu__packed_mark(struct vu__ring *r, uint64_t gpa, uint64_t len)
{
	if (VU_LIKELY(!r->dirty.log) || !vu__has_bit(r->vq->vring.flags, VHOST_VRING_F_LOG) ||
	    vu__skipped(VU__MARK_USED))
		return true;
	return vu__ring_mark(r, gpa, len, VU__DIRTY_RING);
}

/* ... its own event suppression structure, at once: nothing else may follow for long. */
static inline void vu__packed_mark_device(struct vu__ring *r)
{
	if (VU_LIKELY(!r->dirty.log))
		return;
	vu__packed_mark(r, r->packed.device_gpa, sizeof(*r->packed.device));
	vu__dirty_flush(&r->dirty);
}

/* What the driver is to do about kicks, a VRING_PACKED_EVENT_FLAG_, and from where on. */
static inline void vu__packed_ask(struct vu__ring *r, uint16_t wish, uint16_t place)
{
	struct vu__packed *p = &r->packed;

	__atomic_store_n(&p->device->off_wrap, htole16(place), __ATOMIC_RELAXED);
	/* The place before the flags that make it count. */
	if (p->wish != wish)
		__atomic_store_n(&p->device->flags, htole16(wish), __ATOMIC_RELEASE);
	p->wish = wish;
	vu__packed_mark_device(r);
}

static inline void vu__packed_move_avail(struct vu__ring *r, uint16_t place)
{
	r->packed.avail = place;
	r->vq->last_avail_idx = r->vq->shadow_avail_idx = place;
	vu__meter_avail_place(&r->meter, place);
}

static inline void vu__packed_move_used(struct vu__ring *r, uint16_t place)
{
	r->packed.used = place;
	r->vq->used_idx = place;
	vu__meter_used_place(&r->meter, place);
}

#endif
