/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packed ring: completing, and who is to be notified.  Queue's thread. */
#include "core/packedring.h"

#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "core/inflightpacked.h"
#include "core/ringlog.h"

#define FLAGS_MASK 3u /* of an event suppression structure; the rest is reserved */

bool vu__packed_fill(struct vu__ring *r, unsigned int head, unsigned int len, unsigned int idx)
{
	if (VU_UNLIKELY(r->dirty.data) && !vu__ring_mark_data(r, head, len))
		return false;
	vu__meter_filled(&r->meter, len);
	r->filled[idx] = head;
	r->packed.lens[idx] = len;
	return true;
}

/* What all that shows elements does at its end: @n of them, in so many slots. */
static inline void shown(struct vu__ring *r, unsigned int n, unsigned int slots, uint16_t next)
{
	struct vu__packed *p = &r->packed;

	p->since += slots;
	vu__packed_move_used(r, next);
	p->shown += n;
	vu__meter_flushed(&r->meter, p->shown);
	r->vq->inuse -= n;
	if (VU_UNLIKELY(r->drained_fd >= 0 && !r->vq->inuse))
		vu__event_signal(r->drained_fd);
}

void vu__packed_push(struct vu__ring *r, unsigned int head, unsigned int len)
{
	struct vu__packed *p = &r->packed;
	struct vu__packed_chain c = p->chains[head];
	struct vring_packed_desc *d = &p->desc[vu__packed_slot(p->used)];
	uint16_t next;

	/* With more to be done it is a batch of one. */
	if (VU_UNLIKELY(r->dirty.log || r->vq->inflight)) {
		if (vu__packed_fill(r, head, len, 0))
			vu__packed_flush(r, 1);
		return;
	}
	vu__meter_filled(&r->meter, len);
	next = vu__packed_step(p->used, c.num, r->vq->vring.num);
	vu__packed_publish_whole(d, c.id, len, vu__packed_used_flags(p->used, len));
	vu__packed_release(p, head);
	shown(r, 1, c.num, next);
}

/* How many of @num places have been filled: a batch ends where one has not. */
static unsigned int count_filled(const struct vu__ring *r, unsigned int num)
{
	unsigned int n = 0;

	while (n < num && r->filled[n] != VU__NO_HEAD)
		n++;
	if (VU_UNLIKELY(n < num))
		vu__error("%u elements were flushed, %u were filled", num, n);
	return n;
}

/* Writes all descriptors of the batch but the flags of the first.  Returns what is next. */
static uint16_t write_batch(struct vu__ring *r, unsigned int n)
{
	struct vu__packed *p = &r->packed;
	uint16_t place = p->used;

	for (unsigned int i = 0; i < n; i++) {
		const struct vu__packed_chain *c = &p->chains[r->filled[i]];
		unsigned int slot = vu__packed_slot(place);

		vu__packed_write_used(&p->desc[slot], c->id, p->lens[i]);
		if (i)
			__atomic_store_n(&p->desc[slot].flags,
					 htole16(vu__packed_used_flags(place, p->lens[i])),
					 __ATOMIC_RELAXED);
		vu__packed_mark(r, p->desc_gpa + slot * sizeof(p->desc[0]), sizeof(p->desc[0]));
		place = vu__packed_step(place, c->num, r->vq->vring.num);
	}
	return place;
}

static void record_batch(struct vu__ring *r, unsigned int n, uint16_t next)
{
	struct vu__inflight_packed *f = vu__inflight_packed_of(r->vq);

	for (unsigned int i = 0; i < n; i++)
		vu__inflight_packed_link(f, &r->packed, r->filled[i]);
	vu__packed_set_at(f, next, r->packed.used);
}

/* The batch was shown; its entries are free again.  Returns its slots. */
static unsigned int release_batch(struct vu__ring *r, unsigned int n)
{
	struct vu__packed *p = &r->packed;
	unsigned int slots = 0;

	for (unsigned int i = 0; i < n; i++) {
		slots += p->chains[r->filled[i]].num;
		vu__packed_release(p, r->filled[i]);
		r->filled[i] = VU__NO_HEAD;
	}
	return slots;
}

void vu__packed_flush(struct vu__ring *r, unsigned int num)
{
	struct vu__packed *p = &r->packed;
	unsigned int n = count_filled(r, num), slot = vu__packed_slot(p->used);
	uint16_t next, old = p->used;

	if (!n)
		return;
	next = write_batch(r, n);
	if (VU_UNLIKELY(r->vq->inflight))
		record_batch(r, n, next);
	/* The pages under the data; that of the first descriptor is marked once more below. */
	vu__dirty_flush(&r->dirty);
	vu__packed_publish(&p->desc[slot], vu__packed_used_flags(old, p->lens[0]));
	vu__packed_mark(r, p->desc_gpa + slot * sizeof(p->desc[0]), sizeof(p->desc[0]));
	if (VU_UNLIKELY(r->vq->inflight))
		vu__inflight_packed_settle(vu__inflight_packed_of(r->vq), r->filled, n, next);
	shown(r, n, release_batch(r, n), next);
}

/* --- notifications: "Driver and Device Event Suppression" --- */

bool vu__packed_should_call(struct vu__ring *r)
{
	struct vu__packed *p = &r->packed;
	unsigned int num = r->vq->vring.num, since = p->since;
	bool valid = r->vq->signalled_used_valid;
	int event, new = (int)vu__packed_slot(p->used);
	uint32_t wish, flags;

	if (!r->can_push)
		return false;
	p->since = 0;
	r->vq->signalled_used = p->used;
	r->vq->signalled_used_valid = true;
	/* What the driver is told of is logged, and the page of the descriptors that show it. */
	vu__dirty_flush(&r->dirty);
	/* Used descriptors before the driver's wish: it changes its wish, then looks again. */
	vu__split_fence();
	wish = vu__packed_event(p->driver);
	flags = wish >> 16 & FLAGS_MASK;
	if (flags == VRING_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !r->event_idx || !valid || since >= num)
		return true;
	event = (int)vu__packed_slot(wish);
	/* One of the round before. */
	if ((wish ^ p->used) & VU__PACKED_WRAP)
		event -= (int)num;
	return event < new && event >= new - (int)since;
}

void vu__packed_set_notification(struct vu__ring *r, bool enable)
{
	struct vu__packed *p = &r->packed;

	r->vq->notification = enable;
	if (!r->can_push)
		return;
	if (enable && r->event_idx && !vu__packed_arm(r))
		return;
	r->armed = false;
	/*
	 * Kicks for what comes after all that is there now, popped or not, are for anything:
	 * where that ends is not known.
	 */
	vu__packed_ask(r, enable ? VRING_PACKED_EVENT_FLAG_ENABLE :
				   VRING_PACKED_EVENT_FLAG_DISABLE, p->avail);
	/* The caller looks at the ring again now, and sees what came meanwhile. */
	if (enable)
		vu__split_fence();
}

bool vu__packed_start(struct vu__ring *r)
{
	struct vu__packed *p = &r->packed;

	vu__packed_move_avail(r, r->vq->last_avail_idx);
	vu__packed_move_used(r, r->vq->used_idx);
	p->turn = p->row = p->found = 0;
	p->popped = p->shown = 0;
	p->since = 0;
	/* Another back-end may have left its own wish there. */
	p->wish = UINT16_MAX;
	r->armed = false;
	if (r->event_idx)
		return vu__packed_arm(r);
	vu__packed_ask(r, VRING_PACKED_EVENT_FLAG_ENABLE, p->avail);
	vu__split_fence();
	return vu__packed_available(vu__packed_flags(&p->desc[vu__packed_slot(p->avail)]),
				    p->avail);
}
