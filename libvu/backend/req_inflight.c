/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests in flight across the death of a back-end: "Inflight I/O tracking",
 * "VHOST_USER_GET_INFLIGHT_FD", "VHOST_USER_SET_INFLIGHT_FD".  Control thread.
 */
#include <errno.h>
#include <string.h>

#include "backend/dev.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/inflightpacked.h"
#include "core/split.h"

#define RING_SIZE_MAX 32768

/* The area is the device's from now on; NULL: there is none any more. */
static void use_area(struct vu__dev *d, struct vu__inflight_area *a)
{
	VuDev *dev = d->pub;

	for (unsigned int i = 0; i < dev->max_queues; i++)
		dev->vq[i].inflight = vu__inflight_part(a, i);
	vu__inflight_free(d->inflight);
	d->inflight = a;
	dev->inflight_info.fd = a ? a->fd : -1;
	dev->inflight_info.addr = a ? a->parts : NULL;
	dev->inflight_info.size = a ? a->size : 0;
}

/* The area is of the kind of ring there is when it is asked for. */
static bool packed(const struct vu__dev *d)
{
	return vu__has_bit(d->pub->features, VU__F_RING_PACKED);
}

static int check_request(struct vu__dev *d, const struct vu__inflight_payload *p)
{
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (d->pub->vq[i].started || d->queues[i].stopping)
			return vu__refuse(d, -EBUSY, "queue %u is running", i);
	}
	if (!p->num_queues || p->num_queues > d->pub->max_queues || !p->queue_size ||
	    p->queue_size > RING_SIZE_MAX)
		return vu__refuse(d, -EINVAL, "%u queues of %u entries, the device has %u queues",
				  p->num_queues, p->queue_size, d->pub->max_queues);
	return 0;
}

int vu__req_get_inflight_fd(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__inflight_payload p = m->payload.inflight;
	struct vu__inflight_area *a;
	int ret = check_request(d, &p);

	if (ret)
		return ret;
	p.mmap_size = 0;
	p.mmap_offset = 0;
	ret = vu__inflight_create(p.num_queues, p.queue_size, packed(d), &a);
	if (!ret) {
		m->fds[0] = vu__fd_dup(a->fd);
		ret = VU_MIN(m->fds[0], 0);
		if (ret)
			vu__inflight_free(a);
	}
	/* A size of 0 says that there is none. */
	if (ret) {
		vu__warn("no memory for requests in flight: %s", strerror(-ret));
	} else {
		use_area(d, a);
		p.mmap_size = a->size;
		m->nfds = 1;
	}
	vu__msg_make_reply(m, sizeof(p));
	m->payload.inflight = p;
	return VU__REPLY;
}

int vu__req_set_inflight_fd(struct vu__dev *d, struct vu__msg *m)
{
	const struct vu__inflight_payload *p = &m->payload.inflight;
	struct vu__inflight_area *a;
	int ret = check_request(d, p);

	if (ret)
		return ret;
	ret = vu__inflight_map(m->fds[0], p->mmap_size, p->mmap_offset, p->num_queues,
			       p->queue_size, packed(d), &a, d->why, sizeof(d->why));
	if (!ret)
		use_area(d, a);
	return ret;
}

/* Features may have changed since the area was made. */
static int check_kind(struct vu__queue *q)
{
	struct vu__dev *d = q->dev;

	if (d->inflight->packed == packed(d))
		return 0;
	return vu__refuse(d, -EINVAL, "queue %d: its inflight region is of a %s ring",
			  vu__queue_index(q), d->inflight->packed ? "packed" : "split");
}

static int refuse_region(struct vu__queue *q, int ret, const char *why)
{
	return vu__refuse(q->dev, ret, "queue %d: its inflight region: %s", vu__queue_index(q),
			  why[0] ? why : strerror(-ret));
}

static void tell_left(const struct vu__queue *q, const struct vu__inflight_left *left)
{
	if (left->n)
		vu__info("queue %d: %u requests in flight are taken up again",
			 vu__queue_index(q), left->n);
}

int vu__inflight_resume(struct vu__queue *q, const VuRing *ring, bool *tracked)
{
	VuVirtq *vq = vu__queue_pub(q);
	uint16_t used = vu__split_used_idx(ring->used);
	struct vu__inflight_left left;
	char why[128] = "";
	int ret = check_kind(q);

	if (ret)
		return ret;
	ret = vu__inflight_recover(vq->inflight, q->dev->inflight->queue_size, ring->num, used,
				   vu__split_avail_idx(ring->avail), &left, why, sizeof(why));
	if (ret)
		return refuse_region(q, ret, why);
	tell_left(q, &left);
	if (!left.fresh)
		vq->last_avail_idx = used + left.n;
	*tracked = !left.fresh;
	vu__ring_resubmit(&q->ring, &left);
	return 0;
}

int vu__inflight_resume_packed(struct vu__queue *q, const VuRing *ring, bool *tracked)
{
	struct vu__packed *p = &q->ring.packed;
	VuVirtq *vq = vu__queue_pub(q);
	struct vu__inflight_left left;
	char why[128] = "";
	int ret = check_kind(q);

	if (ret)
		return ret;
	/* It was told a place and says another one: its driver has begun anew. */
	if (q->told && vq->last_avail_idx != q->told_avail)
		vu__inflight_reset(vq->inflight);
	ret = vu__inflight_packed_recover(vu__inflight_packed_of(vq),
					  q->dev->inflight->queue_size, ring->num,
					  (void *)ring->desc, &vq->used_idx, p, &left, why,
					  sizeof(why));
	if (ret)
		return refuse_region(q, ret, why);
	tell_left(q, &left);
	if (!left.fresh)
		vq->last_avail_idx = vu__packed_step(vq->used_idx, ring->num - p->nfree,
						     ring->num);
	*tracked = !left.fresh;
	vu__ring_resubmit(&q->ring, &left);
	return 0;
}

void vu__inflight_forget(struct vu__dev *d)
{
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (d->pub->vq[i].inflight)
			vu__inflight_reset(d->pub->vq[i].inflight);
	}
}

void vu__inflight_release(struct vu__dev *d)
{
	use_area(d, NULL);
}
