/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split ring: completing.  A packed ring is to it one that has more to do for each
 * request, as one that is logged is.  Queue's thread.
 */
#include "core/ring.h"

#include "base/log.h"
#include "core/element.h"
#include "core/packedring.h"
#include "core/ringlog.h"

VU_COLD static void not_in_flight(const VuVirtqElement *elem)
{
	vu__error("an element with head %u was pushed that is not in flight", elem->index);
}

/* False: nothing can be pushed. */
static VU_NOINLINE bool time_push(struct vu__ring *r, unsigned int head)
{
	uint8_t gen;

	if (!r->can_push || head >= r->vq->vring.num)
		return r->can_push;
	gen = r->head_gen[head];
	vu__meter_pushes(&r->meter, gen, r->gen_time[gen]);
	/* The end of this is the beginning of what is popped next. */
	vu__ring_date(r);
	return true;
}

/* So far, as the meter was told. */
static inline uint16_t popped(const struct vu__ring *r)
{
	return VU_UNLIKELY(r->is_packed) ? r->packed.popped : r->vq->last_avail_idx;
}

/* A meter's flags are only set while the ring's is: one look tells both. */
static VU_ALWAYS_INLINE bool may_push(struct vu__ring *r, unsigned int head)
{
	if (!VU__METERED)
		return VU_LIKELY(r->can_push);
	if (VU_LIKELY(r->meter.push_ok))
		return true;
	return (r->meter.row_gen && head < r->vq->vring.num &&
		vu__meter_pushes_too(&r->meter, r->head_gen[head], popped(r))) ||
	       time_push(r, head);
}

/* Takes @elem out of flight, to be shown as used.  False: it cannot be. */
static VU_ALWAYS_INLINE bool complete(struct vu__ring *r, const VuVirtqElement *elem)
{
	if (vu__elem_is_stale(r, elem) || !may_push(r, elem->index))
		return false;
	if (VU_LIKELY(vu__elem_head_done(r, elem->index)))
		return true;
	not_in_flight(elem);
	return false;
}

static VU_ALWAYS_INLINE void set_entry(struct vu__ring *r, uint16_t slot,
				       const VuVirtqElement *elem, unsigned int len)
{
	vu__split_set_used_entry(r->vq->vring.used, slot, elem->index, len);
	vu__meter_filled(&r->meter, len);
}

/* ... with what goes along with it.  False: that failed, it cannot be shown. */
static VU_ALWAYS_INLINE bool show_tracked(struct vu__ring *r, const VuVirtqElement *elem,
					  unsigned int len, unsigned int idx)
{
	uint16_t slot = (r->vq->used_idx + idx) & r->mask;

	if (r->dirty.data && !vu__ring_mark_data(r, elem->index, len))
		return false;
	set_entry(r, slot, elem, len);
	return !r->dirty.log || vu__ring_mark_entry(r, slot);
}

/* The heads filled at @num places from @idx on become the last batch. */
static void link_batch(struct vu__ring *r, uint16_t idx, unsigned int num)
{
	vu__inflight_step();
	for (unsigned int i = 0; i < num; i++) {
		uint16_t head = r->filled[(uint16_t)(idx + i) & r->mask];

		if (VU_LIKELY(head != VU__NO_HEAD))
			vu__inflight_link(r->vq->inflight, head);
	}
}

static void settle_batch(struct vu__ring *r, uint16_t idx, unsigned int num)
{
	for (unsigned int i = 0; i < num; i++) {
		uint16_t *head = &r->filled[(uint16_t)(idx + i) & r->mask];

		if (VU_LIKELY(*head != VU__NO_HEAD))
			vu__inflight_drop(r->vq->inflight, *head);
		*head = VU__NO_HEAD;
	}
}

/* Publishes the used index; if it shows one element more, that is @head. */
static VU_ALWAYS_INLINE void publish_tracked(struct vu__ring *r, uint16_t new,
					     unsigned int num, uint16_t head)
{
	VuVirtqInflight *inflight = r->vq->inflight;

	if (inflight && head == VU__NO_HEAD)
		link_batch(r, new - num, num);
	else if (inflight)
		vu__inflight_link(inflight, head);
	vu__split_publish_used_idx(r->vq->vring.used, new);
	if (r->dirty.log)
		vu__ring_mark_index(r);
	if (!inflight)
		return;
	vu__inflight_step();
	if (head == VU__NO_HEAD)
		settle_batch(r, new - num, num);
	else
		vu__inflight_drop(inflight, head);
	vu__inflight_settle(inflight, new);
}

/* The used index was published, which shows @num more. */
static VU_ALWAYS_INLINE void shown(struct vu__ring *r, uint16_t new, unsigned int num)
{
	VuVirtq *vq = r->vq;

	vq->used_idx = new;
	vu__meter_flushed(&r->meter, new);
	vq->inuse -= num;
	/* Half the index space after the last call, "since then" says nothing. */
	if ((int16_t)(new - vq->signalled_used) < (uint16_t)num)
		vq->signalled_used_valid = false;
	if (VU_UNLIKELY(r->drained_fd >= 0 && !vq->inuse))
		vu__event_signal(r->drained_fd);
}

static VU_ALWAYS_INLINE void flush(struct vu__ring *r, unsigned int num)
{
	uint16_t new = r->vq->used_idx + num;

	vu__split_publish_used_idx(r->vq->vring.used, new);
	shown(r, new, num);
}

static VU_ALWAYS_INLINE void flush_tracked(struct vu__ring *r, unsigned int num, uint16_t head)
{
	uint16_t new = r->vq->used_idx + num;

	/* The pages under the data and the entries; that of the index follows. */
	vu__dirty_flush(&r->dirty);
	publish_tracked(r, new, num, head);
	shown(r, new, num);
}

static VU_NOINLINE bool fill_tracked(struct vu__ring *r, const VuVirtqElement *elem,
				     unsigned int len, unsigned int idx)
{
	if (!complete(r, elem) || !show_tracked(r, elem, len, idx))
		return false;
	if (r->vq->inflight)
		r->filled[(uint16_t)(r->vq->used_idx + idx) & r->mask] = elem->index;
	return true;
}

static VU_NOINLINE bool fill_untracked(struct vu__ring *r, const VuVirtqElement *elem,
				       unsigned int len, unsigned int idx)
{
	if (!complete(r, elem))
		return false;
	set_entry(r, (r->vq->used_idx + idx) & r->mask, elem, len);
	return true;
}

static VU_NOINLINE bool fill_packed(struct vu__ring *r, const VuVirtqElement *elem,
				    unsigned int len, unsigned int idx)
{
	return idx < r->vq->vring.num && complete(r, elem) &&
	       vu__packed_fill(r, elem->index, len, idx);
}

bool vu__ring_fill(struct vu__ring *r, const VuVirtqElement *elem, unsigned int len,
		   unsigned int idx)
{
	bool ret;

	/* The rest of the batch moves up. */
	idx -= r->refused;
	if (VU_LIKELY(!r->tracked))
		ret = fill_untracked(r, elem, len, idx);
	else if (r->tracked == VU__TRACKED_PACKED)
		ret = fill_packed(r, elem, len, idx);
	else
		ret = fill_tracked(r, elem, len, idx);
	if (VU_UNLIKELY(!ret))
		r->refused++;
	return ret;
}

/* How many of @num elements there are to be shown. */
VU_COLD static unsigned int without_refused(struct vu__ring *r, unsigned int num)
{
	unsigned int n = VU_MIN(num, r->refused);

	r->refused = 0;
	return num - n;
}

void vu__ring_flush(struct vu__ring *r, unsigned int num)
{
	if (VU_UNLIKELY(!r->can_push))
		return;
	if (VU_UNLIKELY(r->refused)) {
		num = without_refused(r, num);
		if (!num)
			return;
	}
	if (VU_UNLIKELY(num > (unsigned int)r->vq->inuse)) {
		vu__error("%u elements were flushed, only %d are in flight", num, r->vq->inuse);
		return;
	}
	if (VU_LIKELY(!r->tracked))
		flush(r, num);
	else if (r->tracked == VU__TRACKED_PACKED)
		vu__packed_flush(r, num);
	else
		flush_tracked(r, num, VU__NO_HEAD);
}

static VU_NOINLINE void push_completed(struct vu__ring *r, const VuVirtqElement *elem,
				       unsigned int len)
{
	if (show_tracked(r, elem, len, 0))
		flush_tracked(r, 1, elem->index);
}

static VU_NOINLINE void push_tracked(struct vu__ring *r, const VuVirtqElement *elem,
				     unsigned int len)
{
	if (complete(r, elem))
		push_completed(r, elem, len);
}

static VU_NOINLINE void push_logged(struct vu__ring *r, const VuVirtqElement *elem,
				    unsigned int len)
{
	uint16_t slot = r->vq->used_idx & r->mask;
	struct vu__written w = {0, 0};

	if (!complete(r, elem))
		return;
	if (VU_UNLIKELY(!vu__ring_knows_entry(r, slot)) ||
	    (len && VU_UNLIKELY(!vu__ring_written(r, elem->index, len, &w))) ||
	    VU_UNLIKELY(VU_MAX(w.data, w.status) >= r->dirty.pages)) {
		push_completed(r, elem, len);
		return;
	}
	set_entry(r, slot, elem, len);
	vu__ring_mark_push(r, &w, len);
	flush(r, 1);
	r->dirty.noted[VU__DIRTY_RING].mask = vu__skipped(VU__MARK_USED) ? 0 : r->used_log.index;
}

static VU_NOINLINE void push_untracked(struct vu__ring *r, const VuVirtqElement *elem,
				       unsigned int len)
{
	if (!complete(r, elem))
		return;
	set_entry(r, r->vq->used_idx & r->mask, elem, len);
	flush(r, 1);
}

static VU_NOINLINE void push_packed(struct vu__ring *r, const VuVirtqElement *elem,
				    unsigned int len)
{
	if (complete(r, elem))
		vu__packed_push(r, elem->index, len);
}

/* Nothing is done here, nor above, so that no register need be saved. */
void vu__ring_push(struct vu__ring *r, const VuVirtqElement *elem, unsigned int len)
{
	if (VU_LIKELY(!r->tracked))
		push_untracked(r, elem, len);
	else if (r->tracked == VU__TRACKED_LOG)
		push_logged(r, elem, len);
	else if (r->tracked == VU__TRACKED_PACKED)
		push_packed(r, elem, len);
	else
		push_tracked(r, elem, len);
}

/* One look at how the ring is for all of them; the driver sees them together. */
void vu__ring_push_burst(struct vu__ring *r, VuVirtqElement *const *elems,
			 const unsigned int *lens, unsigned int n)
{
	unsigned int filled = 0;

	if (VU_UNLIKELY(r->tracked)) {
		for (unsigned int i = 0; i < n; i++)
			(void)vu__ring_fill(r, elems[i], lens[i], i);
		vu__ring_flush(r, n);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		if (VU_UNLIKELY(!complete(r, elems[i])))
			continue;
		set_entry(r, (r->vq->used_idx + filled) & r->mask, elems[i], lens[i]);
		filled++;
	}
	if (filled)
		flush(r, filled);
}
