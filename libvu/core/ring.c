/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split ring: popping, and who is to be notified; and the way to the packed ring's,
 * which costs the split ring nothing: to it a packed ring is one of which nothing is known
 * to be available.  Queue's thread.
 */
#include "core/ring.h"

#include <string.h>

#include "base/log.h"
#include "core/element.h"
#include "core/packedring.h"
#include "core/ringlog.h"

/* There is nothing to pop: asks for a kick, if need be.  True if there is something now. */
static bool rearm(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;

	if (!r->event_idx || !vq->notification)
		return false;
	if (r->armed && r->armed_at == vq->last_avail_idx)
		return false;
	return vu__ring_arm(r);
}

/* Looks for new entries behind those known.  True if there are. */
static bool refill(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;
	uint16_t idx = vu__split_avail_idx(vq->vring.avail);

	if (idx == vq->last_avail_idx && rearm(r))
		idx = vu__split_avail_idx(vq->vring.avail);
	if (VU_UNLIKELY((uint16_t)(idx - vq->last_avail_idx) > vq->vring.num)) {
		vu__ring_break(r, "available index went from %u to %u in a ring of %u",
			       vq->last_avail_idx, idx, vq->vring.num);
		return false;
	}
	vu__meter_looked(&r->meter, (uint16_t)(idx - vq->shadow_avail_idx),
			 (uint16_t)(idx - vq->used_idx) == vq->vring.num);
	vq->shadow_avail_idx = idx;
	return idx != vq->last_avail_idx;
}

/* Entries between the two indices were checked against the ring's size by refill(). */
static inline bool have_entry(struct vu__ring *r)
{
	return r->vq->last_avail_idx != r->vq->shadow_avail_idx || refill(r);
}

/* Pops what the last back-end had taken, in the order it did, if that is what is left. */
VU_COLD static void *pop_again(struct vu__ring *r, size_t size, struct vu__arena *arena)
{
	VuVirtq *vq = r->vq;
	struct vu__chain chain = {0, 0};
	unsigned int head;
	void *elem;

	if (!r->resubmitting || size < sizeof(VuVirtqElement))
		return NULL;
	head = vq->resubmit_list[vq->resubmit_num - 1].index;
	if (!vu__chain_walk(r, head, VU__WALK_COLLECT, &chain, NULL, NULL))
		return NULL;
	elem = vu__elem_make(r, size, head, &chain, arena);
	if (!elem)
		return NULL;
	vu__meter_popped_again(&r->meter);
	vu__ring_date(r);
	r->head_gen[head] = r->gen;
	if (!--vq->resubmit_num) {
		r->resubmitting = false;
		r->can_pop = r->open;
		vu__elem_tell_drained(r);
	}
	return elem;
}

/*
 * Whether there is an entry that may be popped; how many may be without asking again.
 * What is asked once a row need not be asked for each.
 */
static VU_NOINLINE bool look(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;
	uint16_t n;

	if (!r->can_pop || !have_entry(r))
		return false;
	n = vq->shadow_avail_idx - vq->last_avail_idx;
	if (VU__METERED)
		n = VU_MIN(n, VU__METER_PERIOD);
	vu__meter_pops(&r->meter);
	vu__ring_date(r);
	r->row = n;
	return true;
}

static VU_NOINLINE void *pop_other(struct vu__ring *r, size_t size, struct vu__arena *arena)
{
	return r->is_packed && r->can_pop ? vu__packed_pop(r, size, arena) :
					    pop_again(r, size, arena);
}

/* @arena is a constant at all places of use: NULL is for a heap's element. */
static VU_ALWAYS_INLINE void *pop(struct vu__ring *r, size_t size, struct vu__arena *arena)
{
	VuVirtq *vq = r->vq;
	unsigned int head;
	uint16_t slot, next;
	void *elem;

	if (VU_UNLIKELY(!r->row) && (r->is_packed || !look(r)))
		return pop_other(r, size, arena);
	if (VU_UNLIKELY(size < sizeof(VuVirtqElement)))
		return NULL;
	slot = vq->last_avail_idx & r->mask;
	head = vu__split_avail_entry(vq->vring.avail, slot);
	if (VU_UNLIKELY(head >= vq->vring.num)) {
		vu__ring_break(r, "head %u in a ring of %u", head, vq->vring.num);
		return NULL;
	}
	/* Also bounds what is in flight: there are no more heads than entries. */
	if (VU_UNLIKELY(r->head_gen[head])) {
		vu__ring_break(r, "head %u made available while it is in flight", head);
		return NULL;
	}
	elem = vu__elem_collect(r, size, head, arena);
	if (VU_UNLIKELY(!elem))
		return NULL;
	r->head_gen[head] = r->gen;
	r->popped[slot] = head;
	if (VU_UNLIKELY(vq->inflight))
		vu__inflight_take(vq, head);
	vq->inuse++;
	r->row--;
	next = vq->last_avail_idx + 1;
	vq->last_avail_idx = next;
	vu__meter_popped(&r->meter, next);
	/*
	 * The last of those known: should the device go to sleep now without looking
	 * again, the next one must kick.
	 */
	if (r->event_idx && vq->notification && next == vq->shadow_avail_idx) {
		vu__ring_set_avail_event(r, next);
		/* Without a look behind a fence this is a hope, not a promise. */
		r->armed = false;
	}
	return elem;
}

void *vu__ring_pop(struct vu__ring *r, size_t size)
{
	return pop(r, size, NULL);
}

void *vu__ring_pop_in(struct vu__ring *r, size_t size, struct vu__arena *arena)
{
	return pop(r, size, arena);
}

static uint16_t last_popped(const struct vu__ring *r)
{
	if (r->is_packed)
		return vu__packed_last_popped(r);
	return r->popped[(uint16_t)(r->vq->last_avail_idx - 1) & r->mask];
}

/*
 * Takes back the last pop, of @head: it is the next to be popped.  What the last back-end
 * had taken stays in flight and goes back to its list; nothing else has a place there.
 */
static void take_back(struct vu__ring *r, unsigned int head)
{
	VuVirtq *vq = r->vq;

	if (last_popped(r) == head && r->is_packed) {
		vu__packed_take_back(r);
	} else if (last_popped(r) == head) {
		if (vq->inflight)
			vu__inflight_drop(vq->inflight, head);
		vq->last_avail_idx--;
		vq->inuse--;
		vu__meter_unpopped(&r->meter, vq->last_avail_idx);
	} else if (vq->resubmit_num < r->resubmits) {
		vq->resubmit_list[vq->resubmit_num++].index = head;
		r->head_gen[head] = VU__GEN_RESUBMIT;
		r->resubmitting = true;
		r->can_pop = false;
		vu__meter_unpopped_again(&r->meter);
	}
	vu__ring_look_again(r);
}

void vu__ring_unpop(struct vu__ring *r, const VuVirtqElement *elem, uint64_t written)
{
	if (!r->can_push || vu__elem_is_stale(r, elem) ||
	    !vu__elem_head_done(r, elem->index))
		return;
	if (VU_UNLIKELY(r->dirty.log && r->dirty.data) &&
	    vu__chain_mark(r, elem->index, written))
		vu__dirty_flush(&r->dirty);
	take_back(r, elem->index);
}

/* It stays in flight in the region, for whoever serves the ring next. */
bool vu__ring_abandon(struct vu__ring *r, const VuVirtqElement *elem)
{
	VuVirtq *vq = r->vq;

	if (!r->can_push || !vq->inflight || vu__elem_is_stale(r, elem) ||
	    !vu__elem_head_done(r, elem->index))
		return false;
	/* The device may have written some of it. */
	if (r->dirty.data && vu__chain_mark(r, elem->index, UINT64_MAX))
		vu__dirty_flush(&r->dirty);
	vu__meter_abandoned(&r->meter);
	if (!--vq->inuse)
		vu__elem_tell_drained(r);
	return true;
}

bool vu__ring_rewind(struct vu__ring *r, unsigned int num)
{
	VuVirtq *vq = r->vq;

	if (!r->can_push || num > (unsigned int)vq->inuse)
		return false;
	while (num--) {
		unsigned int head = last_popped(r);

		/* None: it came from the list, and the one popped last is next to those left. */
		if (head == VU__NO_HEAD && vq->resubmit_num < r->resubmits)
			head = vq->resubmit_list[vq->resubmit_num].index;
		if (vu__elem_head_done(r, head)) {
			take_back(r, head);
		} else if (r->is_packed) {
			/* Its descriptor may be that of another one, used since. */
			return false;
		} else {
			vq->last_avail_idx--;
			vq->inuse--;
			vu__meter_unpopped(&r->meter, vq->last_avail_idx);
			vu__ring_look_again(r);
		}
	}
	return true;
}

/* Whether there is something in the ring itself that may be popped. */
static bool have(struct vu__ring *r)
{
	return r->can_pop && (r->is_packed ? vu__packed_have(r) : have_entry(r));
}

bool vu__ring_empty(struct vu__ring *r)
{
	return !r->resubmitting && !have(r);
}

void vu__ring_set_notification(struct vu__ring *r, bool enable)
{
	VuVirtq *vq = r->vq;

	if (r->is_packed) {
		vu__packed_set_notification(r, enable);
		return;
	}
	vq->notification = enable;
	if (!r->can_push)
		return;
	if (!r->event_idx) {
		vu__ring_set_used_flags(r, enable ? 0 : VRING_USED_F_NO_NOTIFY);
		if (enable)
			vu__split_fence();
	} else if (enable) {
		/* Kick for what comes after all that is there now, popped or not. */
		uint16_t idx = vu__split_avail_idx(vq->vring.avail);

		vu__ring_set_avail_event(r, idx);
		r->armed = true;
		r->armed_at = idx;
		/* The caller looks at the ring again now, and sees what came meanwhile. */
		vu__split_fence();
	} else {
		r->armed = false;
	}
}

/* Adds up what is available, until it is enough.  False: the ring is broken. */
static bool sum_split(struct vu__ring *r, uint64_t *in, uint64_t *out, uint64_t max_in,
			  uint64_t max_out)
{
	VuVirtq *vq = r->vq;

	for (uint16_t idx = vq->last_avail_idx; idx != vq->shadow_avail_idx; idx++) {
		unsigned int head = vu__split_avail_entry(vq->vring.avail, idx & r->mask);

		if (head >= vq->vring.num) {
			vu__ring_break(r, "head %u in a ring of %u", head, vq->vring.num);
			return false;
		}
		if (!vu__chain_sum(r, head, in, out))
			return false;
		if (*in >= max_in && *out >= max_out)
			break;
	}
	return true;
}

static bool sum_available(struct vu__ring *r, uint64_t *in, uint64_t *out, uint64_t max_in,
			  uint64_t max_out)
{
	if (r->is_packed)
		return !vu__packed_have(r) || vu__packed_sum(r, in, out, max_in, max_out);
	return !have_entry(r) || !refill(r) || sum_split(r, in, out, max_in, max_out);
}

void vu__ring_avail_bytes(struct vu__ring *r, unsigned int *in, unsigned int *out,
			  unsigned int max_in, unsigned int max_out)
{
	VuVirtq *vq = r->vq;
	uint64_t in_sum = 0, out_sum = 0;

	*in = 0;
	*out = 0;
	for (unsigned int i = r->resubmitting ? vq->resubmit_num : 0; i > 0; i--) {
		if (!vu__chain_sum(r, vq->resubmit_list[i - 1].index, &in_sum, &out_sum))
			return;
	}
	if (r->open && !sum_available(r, &in_sum, &out_sum, max_in, max_out))
		return;
	*in = VU_MIN(in_sum, UINT32_MAX);
	*out = VU_MIN(out_sum, UINT32_MAX);
}

bool vu__ring_should_call(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;
	uint16_t old = vq->signalled_used, new = vq->used_idx, event;
	bool valid = vq->signalled_used_valid;

	if (r->is_packed)
		return vu__packed_should_call(r);
	if (!r->can_push)
		return false;
	vq->signalled_used = new;
	vq->signalled_used_valid = true;
	/* What the driver is told of is logged, and the page of the index that shows it. */
	vu__dirty_flush(&r->dirty);
	/* Used index before the driver's wish: it changes its wish, then looks again. */
	vu__split_fence();
	if (r->notify_on_empty && !vq->inuse &&
	    vu__split_avail_idx(vq->vring.avail) == vq->last_avail_idx)
		return true;
	if (!r->event_idx)
		return !(vu__split_avail_flags(vq->vring.avail) & VRING_AVAIL_F_NO_INTERRUPT);
	event = vu__split_used_event(vq->vring.avail, vq->vring.num);
	return !valid || vring_need_event(event, new, old);
}

void vu__ring_woken(struct vu__ring *r, uint64_t kicks)
{
	vu__ring_look_again(r);
	vu__meter_woken(&r->meter, kicks);
}

void vu__ring_notified(struct vu__ring *r, enum vu__call outcome)
{
	vu__meter_notified(&r->meter, outcome);
	vu__ring_look_again(r);
}
