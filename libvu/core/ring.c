/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The split ring: popping, pushing, and who is to be notified.  Queue's thread. */
#include "core/ring.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "core/chain.h"

int vu__ring_prepare(struct vu__ring *r, unsigned int num)
{
	VU_CLEANUP_FREE uint16_t *popped = NULL, *filled = NULL;
	VU_CLEANUP_FREE uint8_t *head_gen = NULL;

	if (num <= r->alloc_num)
		return 0;
	head_gen = vu__sys.calloc(num, sizeof(*head_gen));
	popped = vu__sys.calloc(num, sizeof(*popped));
	filled = vu__sys.calloc(num, sizeof(*filled));
	if (!r->iov)
		r->iov = vu__sys.calloc(VIRTQUEUE_MAX_SIZE, sizeof(*r->iov));
	if (!head_gen || !popped || !filled || !r->iov)
		return -ENOMEM;
	free(r->head_gen);
	free(r->popped);
	free(r->filled);
	r->head_gen = vu__steal_ptr(&head_gen);
	r->popped = vu__steal_ptr(&popped);
	r->filled = vu__steal_ptr(&filled);
	r->alloc_num = num;
	return 0;
}

void vu__ring_destroy(struct vu__ring *r)
{
	vu__ring_stop(r);
	vu__ring_drop_orphans(r);
	free(vu__steal_ptr(&r->head_gen));
	free(vu__steal_ptr(&r->popped));
	free(vu__steal_ptr(&r->filled));
	free(vu__steal_ptr(&r->iov));
	free(vu__steal_ptr(&r->table));
	r->alloc_num = 0;
}

/*
 * Marks @len bytes at @offset of the used ring, which the device has just written, if
 * the front-end wants to know (VHOST_VRING_F_LOG).  Its guest address need not be in
 * the memory table.
 */
static inline bool mark_used(struct vu__ring *r, uint64_t offset, uint64_t len)
{
	const VuRing *v = &r->vq->vring;

	if (VU_LIKELY(!r->dirty.log) || !vu__has_bit(v->flags, VHOST_VRING_F_LOG) ||
	    vu__skipped(VU__MARK_USED))
		return true;
	return vu__ring_mark(r, v->log_guest_addr + offset, len);
}

/* ... and at once: no used index will follow that would flush it. */
static inline void mark_used_now(struct vu__ring *r, uint64_t offset, uint64_t len)
{
	if (VU_LIKELY(!r->dirty.log))
		return;
	(void)mark_used(r, offset, len);
	vu__dirty_flush(&r->dirty);
}

static void set_used_flags(struct vu__ring *r, uint16_t flags)
{
	vu__split_set_used_flags(r->vq->vring.used, flags);
	mark_used_now(r, offsetof(struct vring_used, flags), sizeof(flags));
}

static void set_avail_event(struct vu__ring *r, uint16_t idx)
{
	const VuRing *v = &r->vq->vring;

	vu__split_set_avail_event(v->used, v->num, idx);
	mark_used_now(r, vu__split_used_size(v->num, 0), sizeof(idx));
}

/* Asks for a kick at the next element, and looks whether that came too late. */
static bool arm(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;

	set_avail_event(r, vq->last_avail_idx);
	r->armed = true;
	r->armed_at = vq->last_avail_idx;
	/* avail_event before the index: the driver stores and loads them in reverse. */
	vu__split_fence();
	return vu__split_avail_idx(vq->vring.avail) != vq->last_avail_idx;
}

void vu__ring_resubmit(struct vu__ring *r, struct vu__inflight_left *left)
{
	VuVirtq *vq = r->vq;

	free(vq->resubmit_list);
	vq->resubmit_list = vu__steal_ptr(&left->list);
	vq->resubmit_num = left->n;
	vq->counter = left->counter;
	r->resubmits = left->n;
}

/* What the last back-end has taken counts as in flight before it is popped again. */
static void start_resubmitting(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;

	vq->inuse = vq->resubmit_num;
	r->resubmitting = vq->resubmit_num;
	for (unsigned int i = 0; i < vq->resubmit_num; i++)
		r->head_gen[vq->resubmit_list[i].index] = VU__GEN_RESUBMIT;
}

void vu__ring_leave_resubmits(struct vu__ring *r)
{
	if (!r->resubmitting)
		return;
	r->resubmitting = false;
	r->vq->inuse -= r->vq->resubmit_num;
}

bool vu__ring_start(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;
	bool pending;

	r->mask = vq->vring.num - 1;
	vq->shadow_avail_idx = vq->last_avail_idx;
	vq->used_idx = vu__split_used_idx(vq->vring.used);
	vq->signalled_used = vq->used_idx;
	vq->signalled_used_valid = false;
	vq->notification = true;
	memset(r->head_gen, 0, r->alloc_num * sizeof(*r->head_gen));
	memset(r->popped, 0xff, r->alloc_num * sizeof(*r->popped));
	memset(r->filled, 0xff, r->alloc_num * sizeof(*r->filled));
	start_resubmitting(r);
	r->gen = 1;
	r->drained_fd = -1;
	r->broken[0] = '\0';
	r->can_push = true;
	r->can_pop = true;
	/*
	 * Another back-end may have left its own wish in the ring, or an avail_event that
	 * the driver has passed: both would leave us asleep.
	 */
	set_used_flags(r, 0);
	if (r->event_idx) {
		pending = arm(r);
	} else {
		vu__split_fence();
		pending = vu__split_avail_idx(vq->vring.avail) != vq->last_avail_idx;
	}
	return pending || r->resubmitting;
}

/* What is in flight and given up may have been written, wholly or in part. */
static void mark_all_in_flight(struct vu__ring *r)
{
	for (unsigned int head = 0; head < r->vq->vring.num; head++) {
		if (r->head_gen[head] && r->head_gen[head] != VU__GEN_RESUBMIT &&
		    !vu__chain_mark(r, head, UINT64_MAX))
			break;
	}
	vu__dirty_flush(&r->dirty);
}

void vu__ring_set_log(struct vu__ring *r, struct vu__log *log, bool data, int call_fd)
{
	vu__dirty_set_log(&r->dirty, log, data, call_fd);
}

void vu__ring_stop(struct vu__ring *r)
{
	if (r->can_push && r->vq->inuse > 0) {
		if (r->dirty.log && r->dirty.data)
			mark_all_in_flight(r);
		vu__ring_orphan_maps(r);
	}
	vu__dirty_flush(&r->dirty);
	r->can_pop = false;
	r->can_push = false;
	r->resubmitting = false;
	r->vq->inuse = 0;
	r->vq->resubmit_num = 0;
	free(vu__steal_ptr(&r->vq->resubmit_list));
	r->vq->vring.desc = NULL;
	r->vq->vring.avail = NULL;
	r->vq->vring.used = NULL;
	vu__ring_drop_maps(r);
}

/* Takes @head out of flight.  False if it was not in flight. */
static inline bool head_done(struct vu__ring *r, unsigned int head)
{
	uint8_t gen;

	if (VU_UNLIKELY(head >= r->vq->vring.num || !r->head_gen[head]))
		return false;
	gen = r->head_gen[head];
	r->head_gen[head] = 0;
	if (VU_UNLIKELY(gen != r->gen))
		vu__ring_retired_done(r, gen);
	return true;
}

void vu__ring_break(struct vu__ring *r, const char *fmt, ...)
{
	va_list ap;

	if (r->broken[0])
		return;
	va_start(ap, fmt);
	vsnprintf(r->broken, sizeof(r->broken), fmt, ap);
	va_end(ap);
	r->can_pop = false;
	r->resubmitting = false;
	if (r->on_break)
		r->on_break(r, r->opaque);
}

/* Looks for new entries behind those known.  True if there are. */
static bool refill(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;
	uint16_t idx = vu__split_avail_idx(vq->vring.avail);

	if (idx == vq->last_avail_idx) {
		if (!r->event_idx || !vq->notification)
			return false;
		if (r->armed && r->armed_at == idx)
			return false;
		if (!arm(r))
			return false;
		idx = vu__split_avail_idx(vq->vring.avail);
	}
	if (VU_UNLIKELY((uint16_t)(idx - vq->last_avail_idx) > vq->vring.num)) {
		vu__ring_break(r, "available index went from %u to %u in a ring of %u",
			       vq->last_avail_idx, idx, vq->vring.num);
		return false;
	}
	vq->shadow_avail_idx = idx;
	return idx != vq->last_avail_idx;
}

/* Entries between the two indices were checked against the ring's size by refill(). */
static inline bool have_entry(struct vu__ring *r)
{
	return r->vq->last_avail_idx != r->vq->shadow_avail_idx || refill(r);
}

static inline void *make_element(struct vu__ring *r, size_t size, unsigned int head,
				 const struct vu__chain *chain)
{
	size_t at = (size + _Alignof(struct iovec) - 1) & ~(_Alignof(struct iovec) - 1);
	unsigned int n = chain->niov;
	VuVirtqElement *elem = malloc(at + n * sizeof(struct iovec));
	struct iovec *iov;

	if (VU_UNLIKELY(!elem))
		return NULL;
	iov = (struct iovec *)((char *)elem + at);
	elem->index = head;
	elem->out_num = chain->out_num;
	elem->in_num = n - chain->out_num;
	elem->out_sg = iov;
	elem->in_sg = iov + chain->out_num;
	for (unsigned int i = 0; i < n; i++)
		iov[i] = r->iov[i];
	return elem;
}

/* The last one popped again, or given up: who waits for a stop may look. */
static inline void tell_drained(struct vu__ring *r)
{
	if (VU_UNLIKELY(r->drained_fd >= 0))
		vu__event_signal(r->drained_fd);
}

/* Pops what the last back-end had taken, in the order it did. */
VU_COLD static void *pop_again(struct vu__ring *r, size_t size)
{
	VuVirtq *vq = r->vq;
	unsigned int head = vq->resubmit_list[vq->resubmit_num - 1].index;
	struct vu__chain chain = {0, 0};
	void *elem;

	if (size < sizeof(VuVirtqElement) ||
	    !vu__chain_walk(r, head, VU__WALK_COLLECT, &chain, NULL, NULL))
		return NULL;
	elem = make_element(r, size, head, &chain);
	if (!elem)
		return NULL;
	r->head_gen[head] = r->gen;
	if (!--vq->resubmit_num) {
		r->resubmitting = false;
		tell_drained(r);
	}
	return elem;
}

void *vu__ring_pop(struct vu__ring *r, size_t size)
{
	VuVirtq *vq = r->vq;
	struct vu__chain chain = {0, 0};
	unsigned int head;
	uint16_t slot;
	void *elem;

	if (VU_UNLIKELY(r->resubmitting))
		return pop_again(r, size);
	if (VU_UNLIKELY(!r->can_pop || size < sizeof(VuVirtqElement)) || !have_entry(r))
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
	if (!vu__chain_walk(r, head, VU__WALK_COLLECT, &chain, NULL, NULL))
		return NULL;
	elem = make_element(r, size, head, &chain);
	if (VU_UNLIKELY(!elem))
		return NULL;
	r->head_gen[head] = r->gen;
	r->popped[slot] = head;
	if (VU_UNLIKELY(vq->inflight))
		vu__inflight_take(vq, head);
	vq->inuse++;
	vq->last_avail_idx++;
	/*
	 * The last of those known: should the device go to sleep now without looking
	 * again, the next one must kick.
	 */
	if (r->event_idx && vq->notification && vq->last_avail_idx == vq->shadow_avail_idx) {
		set_avail_event(r, vq->last_avail_idx);
		/* Without a look behind a fence this is a hope, not a promise. */
		r->armed = false;
	}
	return elem;
}

/*
 * Takes back the last pop, of @head: it is the next to be popped.  What the last back-end
 * had taken stays in flight and goes back to its list; nothing else has a place there.
 */
static void take_back(struct vu__ring *r, unsigned int head)
{
	VuVirtq *vq = r->vq;

	if (r->popped[(uint16_t)(vq->last_avail_idx - 1) & r->mask] == head) {
		if (vq->inflight)
			vu__inflight_drop(vq->inflight, head);
		vq->last_avail_idx--;
		vq->inuse--;
	} else if (vq->resubmit_num < r->resubmits) {
		vq->resubmit_list[vq->resubmit_num++].index = head;
		r->head_gen[head] = VU__GEN_RESUBMIT;
		r->resubmitting = true;
	}
}

void vu__ring_unpop(struct vu__ring *r, const VuVirtqElement *elem)
{
	if (r->can_push && head_done(r, elem->index))
		take_back(r, elem->index);
}

/* It stays in flight in the region, for whoever serves the ring next. */
bool vu__ring_abandon(struct vu__ring *r, const VuVirtqElement *elem)
{
	VuVirtq *vq = r->vq;

	if (!r->can_push || !vq->inflight || !head_done(r, elem->index))
		return false;
	/* The device may have written some of it. */
	if (r->dirty.log && r->dirty.data && vu__chain_mark(r, elem->index, UINT64_MAX))
		vu__dirty_flush(&r->dirty);
	if (!--vq->inuse)
		tell_drained(r);
	return true;
}

bool vu__ring_rewind(struct vu__ring *r, unsigned int num)
{
	VuVirtq *vq = r->vq;

	if (!r->can_push || num > (unsigned int)vq->inuse)
		return false;
	while (num--) {
		unsigned int head = r->popped[(uint16_t)(vq->last_avail_idx - 1) & r->mask];

		/* None: it came from the list, and the one popped last is next to those left. */
		if (head == VU__NO_HEAD && vq->resubmit_num < r->resubmits)
			head = vq->resubmit_list[vq->resubmit_num].index;
		if (head_done(r, head)) {
			take_back(r, head);
		} else {
			vq->last_avail_idx--;
			vq->inuse--;
		}
	}
	return true;
}

VU_COLD static void not_in_flight(const VuVirtqElement *elem)
{
	vu__error("an element with head %u was pushed that is not in flight", elem->index);
}

static inline bool fill(struct vu__ring *r, const VuVirtqElement *elem, unsigned int len,
			unsigned int idx)
{
	VuVirtq *vq = r->vq;
	uint16_t slot = (vq->used_idx + idx) & r->mask;

	if (VU_UNLIKELY(!r->can_push))
		return false;
	if (VU_UNLIKELY(!head_done(r, elem->index))) {
		not_in_flight(elem);
		return false;
	}
	if (VU_UNLIKELY(r->dirty.log && r->dirty.data) && !vu__chain_mark(r, elem->index, len))
		return false;
	vu__split_set_used_entry(vq->vring.used, slot, elem->index, len);
	if (VU_UNLIKELY(vq->inflight)) {
		vu__inflight_step();
		r->filled[slot] = elem->index;
	}
	return mark_used(r, offsetof(struct vring_used, ring[slot]), sizeof(vring_used_elem_t));
}

bool vu__ring_fill(struct vu__ring *r, const VuVirtqElement *elem, unsigned int len,
		   unsigned int idx)
{
	return fill(r, elem, len, idx);
}

/* The heads filled at @num places from @idx on become the last batch. */
static void link_batch(struct vu__ring *r, uint16_t idx, unsigned int num)
{
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
	vu__inflight_settle(r->vq->inflight, idx + num);
}

static inline void flush(struct vu__ring *r, unsigned int num)
{
	VuVirtq *vq = r->vq;
	uint16_t old = vq->used_idx, new = old + num;

	if (VU_UNLIKELY(!r->can_push))
		return;
	if (VU_UNLIKELY(num > (unsigned int)vq->inuse)) {
		vu__error("%u elements were flushed, only %d are in flight", num, vq->inuse);
		return;
	}
	/* The pages under the entries, and then the page of the index itself. */
	vu__dirty_flush(&r->dirty);
	if (VU_UNLIKELY(vq->inflight))
		link_batch(r, old, num);
	vu__split_publish_used_idx(vq->vring.used, new);
	mark_used_now(r, offsetof(struct vring_used, idx), sizeof(new));
	if (VU_UNLIKELY(vq->inflight)) {
		vu__inflight_step();
		settle_batch(r, old, num);
	}
	vq->used_idx = new;
	vq->inuse -= num;
	/* Half the index space after the last call, "since then" says nothing. */
	if ((int16_t)(new - vq->signalled_used) < (uint16_t)(new - old))
		vq->signalled_used_valid = false;
	if (!vq->inuse)
		tell_drained(r);
}

void vu__ring_flush(struct vu__ring *r, unsigned int num)
{
	flush(r, num);
}

void vu__ring_push(struct vu__ring *r, const VuVirtqElement *elem, unsigned int len)
{
	if (fill(r, elem, len, 0))
		flush(r, 1);
}

bool vu__ring_empty(struct vu__ring *r)
{
	return !r->resubmitting && (!r->can_pop || !have_entry(r));
}

void vu__ring_set_notification(struct vu__ring *r, bool enable)
{
	VuVirtq *vq = r->vq;

	vq->notification = enable;
	if (!r->can_push)
		return;
	if (!r->event_idx) {
		set_used_flags(r, enable ? 0 : VRING_USED_F_NO_NOTIFY);
		if (enable)
			vu__split_fence();
	} else if (enable) {
		/* Kick for what comes after all that is there now, popped or not. */
		uint16_t idx = vu__split_avail_idx(vq->vring.avail);

		set_avail_event(r, idx);
		r->armed = true;
		r->armed_at = idx;
		/* The caller looks at the ring again now, and sees what came meanwhile. */
		vu__split_fence();
	} else {
		r->armed = false;
	}
}

/* Adds up what is available, until it is enough.  False: the ring is broken. */
static bool sum_available(struct vu__ring *r, uint64_t *in, uint64_t *out, uint64_t max_in,
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
	if (r->can_pop && have_entry(r) && refill(r) &&
	    !sum_available(r, &in_sum, &out_sum, max_in, max_out))
		return;
	*in = VU_MIN(in_sum, UINT32_MAX);
	*out = VU_MIN(out_sum, UINT32_MAX);
}

bool vu__ring_should_call(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;
	uint16_t old = vq->signalled_used, new = vq->used_idx, event;
	bool valid = vq->signalled_used_valid;

	if (!r->can_push)
		return false;
	/* Used index before the driver's wish: it changes its wish, then looks again. */
	vu__split_fence();
	if (r->notify_on_empty && !vq->inuse &&
	    vu__split_avail_idx(vq->vring.avail) == vq->last_avail_idx)
		return true;
	if (!r->event_idx)
		return !(vu__split_avail_flags(vq->vring.avail) & VRING_AVAIL_F_NO_INTERRUPT);
	vq->signalled_used = new;
	vq->signalled_used_valid = true;
	event = vu__split_used_event(vq->vring.avail, vq->vring.num);
	return !valid || vring_need_event(event, new, old);
}
