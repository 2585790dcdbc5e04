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

/* Whether the ring, and what the front-end knows of it, fit what the image says. */
static int check(struct vu__queue *q, const struct vu__expect_queue *e, const VuRing *ring)
{
	struct vu__dev *d = q->dev;
	const VuVirtq *vq = vu__queue_pub(q);
	uint16_t used = vu__split_used_idx(ring->used);
	int idx = vu__queue_index(q);

	if (ring->num != e->num)
		return vu__refuse(d, -EPROTO, "queue %d: image %s has a ring of %u entries, the "
				  "front-end one of %u" HINT, idx, d->expect->id, e->num,
				  ring->num);
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

	if (e->nheads) {
		left.list = vu__sys.calloc(e->nheads, sizeof(*left.list));
		if (!left.list)
			return -ENOMEM;
	}
	left.n = e->nheads;
	for (unsigned int i = 0; i < e->nheads; i++) {
		/* The last one of the list is popped first. */
		left.list[e->nheads - 1 - i].index = e->heads[i];
		left.list[e->nheads - 1 - i].counter = vq->counter;
		if (vq->inflight)
			vu__inflight_take(vq, e->heads[i]);
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
	e->waits = false;
	d->expect->begun = true;
	return 1;
}

void vu__expect_lapse(struct vu__dev *d)
{
	for (unsigned int i = 0; d->expect && d->expect->begun && i < d->pub->max_queues; i++)
		d->expect->queues[i].waits = false;
}
