/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split ring: popping, pushing, and who is to be notified; and the way to the packed
 * ring's, which costs the split ring nothing: to it a packed ring is one of which nothing
 * is known to be available, and which has more to do for each request.  Queue's thread.
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
VU_COLD static void *pop_again(struct vu__ring *r, size_t size)
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
	elem = vu__elem_make(r, size, head, &chain);
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

	if (!r->can_pop || r->is_packed || !have_entry(r))
		return false;
	n = vq->shadow_avail_idx - vq->last_avail_idx;
	if (VU__METERED)
		n = VU_MIN(n, VU__METER_PERIOD);
	vu__meter_pops(&r->meter);
	vu__ring_date(r);
	r->row = n;
	return true;
}

static VU_NOINLINE void *pop_other(struct vu__ring *r, size_t size)
{
	return r->is_packed && r->can_pop ? vu__packed_pop(r, size) : pop_again(r, size);
}

void *vu__ring_pop(struct vu__ring *r, size_t size)
{
	VuVirtq *vq = r->vq;
	struct vu__chain chain = {0, 0};
	unsigned int head;
	uint16_t slot, next;
	void *elem;

	if (VU_UNLIKELY(!r->row) && !look(r))
		return pop_other(r, size);
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
	if (VU_UNLIKELY(r->writable) ?
		    !vu__chain_walk(r, head, VU__WALK_RECORD, &chain, NULL, NULL) :
		    !vu__chain_walk(r, head, VU__WALK_COLLECT, &chain, NULL, NULL))
		return NULL;
	elem = vu__elem_make(r, size, head, &chain);
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
	if (fill_packed(r, elem, len, 0))
		vu__packed_flush(r, 1);
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
