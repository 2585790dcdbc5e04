/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a restored image says of the front-end that is to come: its features, and where
 * each queue is.  A front-end that says otherwise is refused: the image is of another
 * machine, or of another time.  Control thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backend/dev.h"
#include "base/log.h"
#include "base/sys.h"
#include "core/inflightpacked.h"
#include "core/split.h"

/* Bits that a front-end sets and clears as it goes. */
#define FREE_FEATURES (VU_BIT(VU__F_LOG_ALL) | VU_BIT(VU__F_PROTOCOL_FEATURES))

#define HINT "; 'vu-migrate restore --discard' forgets it"

int vu__expect_features(struct vu__dev *d, uint64_t features)
{
	const struct vu__expect *e = d->expect;

	if (!e || e->begun || !((e->features ^ features) & ~FREE_FEATURES))
		return 0;
	return vu__refuse(d, -EPROTO, "image %s has features 0x%" PRIx64 ", the front-end wants "
			  "0x%" PRIx64 HINT, e->id, e->features, features);
}

/*
 * A front-end that has lost its back-end does not know where a packed ring is; the ring
 * shows if what the image has not seen used has been.
 */
static int check_packed(struct vu__queue *q, const struct vu__expect_queue *e,
			const VuRing *ring)
{
	const struct vring_packed_desc *desc = (const void *)ring->desc;
	unsigned int slot = vu__packed_slot(e->used), wrap = e->used >> 15;
	uint16_t flags = vu__packed_flags(&desc[slot]);

	if ((flags >> VRING_PACKED_DESC_F_AVAIL & 1) != wrap ||
	    (flags >> VRING_PACKED_DESC_F_USED & 1) != wrap)
		return 0;
	return vu__refuse(q->dev, -EPROTO, "queue %d: image %s has completed up to slot %u, which "
			  "has been used: somebody has served it since" HINT, vu__queue_index(q),
			  q->dev->expect->id, slot);
}

/* Whether the ring, and what the front-end knows of it, fit what the image says. */
static int check(struct vu__queue *q, const struct vu__expect_queue *e, const VuRing *ring)
{
	struct vu__dev *d = q->dev;
	const VuVirtq *vq = vu__queue_pub(q);
	int idx = vu__queue_index(q);
	uint16_t used;

	if (ring->num != e->num)
		return vu__refuse(d, -EPROTO, "queue %d: image %s has a ring of %u entries, the "
				  "front-end one of %u" HINT, idx, d->expect->id, e->num,
				  ring->num);
	if (vu__queue_is_packed(q))
		return check_packed(q, e, ring);
	used = vu__split_used_idx(ring->used);
	if (used != e->used)
		return vu__refuse(d, -EPROTO, "queue %d: image %s has completed up to %u, the ring "
				  "is at %u: somebody has served it since" HINT, idx,
				  d->expect->id, e->used, used);
	/* One that has lost its back-end only knows what was completed. */
	if (vq->last_avail_idx != e->last_avail && vq->last_avail_idx != e->used)
		return vu__refuse(d, -EPROTO, "queue %d: image %s goes on at %u, the front-end "
				  "at %u" HINT, idx, d->expect->id, e->last_avail,
				  vq->last_avail_idx);
	return 0;
}

/* What was in flight is popped again, in the order it was. */
static int resubmit(struct vu__queue *q, const struct vu__expect_queue *e)
{
	VuVirtq *vq = vu__queue_pub(q);
	struct vu__inflight_left left = {.fresh = false, .counter = vq->counter};
	VU_CLEANUP_FREE uint16_t *entries = NULL;
	const uint16_t *heads = e->heads;

	if (e->put_back) {
		entries = vu__sys.calloc(e->nheads, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		e->put_back(&q->ring.packed, entries, e->opaque);
		heads = entries;
	}
	if (e->nheads) {
		left.list = vu__sys.calloc(e->nheads, sizeof(*left.list));
		if (!left.list)
			return -ENOMEM;
	}
	left.n = e->nheads;
	for (unsigned int i = 0; i < e->nheads; i++) {
		/* The last one of the list is popped first. */
		left.list[e->nheads - 1 - i].index = heads[i];
		left.list[e->nheads - 1 - i].counter = vq->counter;
		if (vq->inflight && e->put_back)
			vu__inflight_packed_take(vq, &q->ring.packed, heads[i]);
		else if (vq->inflight)
			vu__inflight_take(vq, heads[i]);
	}
	left.counter = vq->counter;
	vu__ring_resubmit(&q->ring, &left);
	if (e->nheads)
		vu__info("queue %d: %u requests that were in flight are taken up again",
			 vu__queue_index(q), e->nheads);
	return 0;
}

int vu__expect_resume(struct vu__queue *q, const VuRing *ring, bool tracked)
{
	struct vu__dev *d = q->dev;
	struct vu__expect_queue *e = d->expect ? &d->expect->queues[vu__queue_index(q)] : NULL;
	VuVirtq *vq = vu__queue_pub(q);
	int ret;

	if (!e || !e->waits)
		return 0;
	ret = check(q, e, ring);
	/* The front-end's own memory of what is in flight is newer than any image. */
	if (!ret && tracked && q->ring.resubmits != e->nheads)
		ret = vu__refuse(d, -EPROTO, "queue %d: image %s has %u requests in flight, the "
				 "inflight region %u" HINT, vu__queue_index(q), d->expect->id,
				 e->nheads, q->ring.resubmits);
	if (!ret && !tracked)
		ret = resubmit(q, e);
	if (ret)
		return ret;
	vq->last_avail_idx = e->last_avail;
	if (vu__queue_is_packed(q))
		vq->used_idx = e->used;
	if (vu__queue_is_packed(q) && vq->inflight)
		vu__packed_set_at(vu__inflight_packed_of(vq), e->used, e->used);
	e->waits = false;
	d->expect->begun = true;
	return 1;
}

void vu__expect_lapse(struct vu__dev *d)
{
	for (unsigned int i = 0; d->expect && d->expect->begun && i < d->pub->max_queues; i++)
		d->expect->queues[i].waits = false;
}
