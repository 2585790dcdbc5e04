/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue's life: found in memory, started, stopped, broken.  "Starting and stopping".
 * Control thread.
 */
#include <errno.h>
#include <inttypes.h>

#include "backend/dev.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/trace.h"
#include "core/split.h"

void vu__queue_quiesce(struct vu__queue *q)
{
	struct vu__dev *d = q->dev;

	if (!q->kept_out++ && d->ext.quiesce)
		d->ext.quiesce(d->pub, vu__queue_index(q));
}

void vu__queue_resume(struct vu__queue *q)
{
	struct vu__dev *d = q->dev;

	if (!--q->kept_out && d->ext.resume)
		d->ext.resume(d->pub, vu__queue_index(q));
}

static int find_part(struct vu__queue *q, const struct vu__memmap *map, uint64_t addr,
		     uint64_t size, uint64_t align, const char *what, void **out)
{
	*out = NULL;
	if (addr % align)
		return vu__refuse(q->dev, -EINVAL, "queue %d: %s at 0x%" PRIx64
				  " is not aligned to %" PRIu64,
				  vu__queue_index(q), what, addr, align);
	*out = vu__memmap_find_uaddr(map, addr, size);
	if (!*out || (uintptr_t)*out % align)
		return vu__refuse(q->dev, -EFAULT, "queue %d: %s of %" PRIu64
				  " bytes at 0x%" PRIx64 " is not in one region",
				  vu__queue_index(q), what, size, addr);
	return 0;
}

uint32_t vu__queue_base(const struct vu__queue *q)
{
	const VuVirtq *vq = vu__queue_pub(q);

	return vq->last_avail_idx | (vu__queue_is_packed(q) ? (uint32_t)vq->used_idx << 16 : 0);
}

void vu__queue_set_base(struct vu__queue *q, uint32_t base)
{
	VuVirtq *vq = vu__queue_pub(q);

	vq->last_avail_idx = base;
	vq->shadow_avail_idx = vq->last_avail_idx;
	if (vu__queue_is_packed(q))
		vq->used_idx = base >> 16;
	q->has_base = true;
}

uint64_t vu__queue_used_size(const struct vu__queue *q)
{
	if (vu__queue_is_packed(q))
		return sizeof(struct vring_packed_desc_event);
	return vu__split_used_size(vu__queue_pub(q)->vring.num,
				   vu__has_bit(q->dev->pub->features, VU__F_EVENT_IDX));
}

int vu__queue_resolve(struct vu__queue *q, const struct vu__memmap *map, VuRing *ring)
{
	const VuVirtq *vq = vu__queue_pub(q);
	const struct vhost_vring_addr *a = &vq->vra;
	unsigned int num = vq->vring.num;
	bool event = vu__has_bit(q->dev->pub->features, VU__F_EVENT_IDX);
	bool packed = vu__queue_is_packed(q);
	uint64_t driver = packed ? sizeof(struct vring_packed_desc_event) :
				   vu__split_avail_size(num, event);
	void *desc, *avail, *used;
	int ret;

	/* Features may have changed since the size was said. */
	if (!packed && !vu__is_pow2(num))
		return vu__refuse(q->dev, -EINVAL, "queue %d: a split ring of %u entries",
				  vu__queue_index(q), num);
	/* Both kinds of descriptors are of 16 bytes. */
	ret = find_part(q, map, a->desc_user_addr, vu__split_desc_size(num), 16,
			packed ? "descriptor ring" : "descriptor table", &desc);
	if (!ret)
		ret = find_part(q, map, a->avail_user_addr, driver, packed ? 4 : 2,
				packed ? "driver area" : "available ring", &avail);
	if (!ret)
		ret = find_part(q, map, a->used_user_addr, vu__queue_used_size(q), 4,
				packed ? "device area" : "used ring", &used);
	if (ret)
		return ret;
	*ring = vq->vring;
	ring->desc = desc;
	ring->avail = avail;
	ring->used = used;
	ring->log_guest_addr = a->log_guest_addr;
	ring->flags = a->flags;
	return 0;
}

/* Runs in the queue's thread. */
static void on_break(struct vu__ring *r, void *opaque)
{
	struct vu__queue *q = opaque;
	struct vu__dev *d = q->dev;
	int idx = vu__queue_index(q);
	int err_fd = __atomic_load_n(&r->vq->err_fd, __ATOMIC_ACQUIRE);

	vu__error("queue %d is broken until it is restarted: %s", idx, r->broken);
	vu__show_break(q);
	if (err_fd >= 0) {
		vu__event_signal_any(err_fd);
	} else if (vu__dev_has(d, VU__PF_INBAND_NOTIFICATIONS)) {
		struct vu__msg m;

		vu__msg_init(&m, VU__BACKEND_VRING_ERR);
		m.payload.state.index = idx;
		m.size = sizeof(m.payload.state);
		(void)vu__channel_request(d, &m, false);
	}
	if (d->ext.queue_broken)
		d->ext.queue_broken(d->pub, idx, r->broken);
}

/* Runs in the queue's thread. */
static void on_log_short(struct vu__ring *r, uint64_t gpa, uint64_t len, void *opaque)
{
	struct vu__queue *q = opaque;

	vu__log_too_short(q->dev, r->dirty.log, gpa, len);
}

static bool completes_in_order(struct vu__queue *q)
{
	const VuDevIface *iface = q->dev->pub->iface;

	return iface->queue_is_processed_in_order &&
	       iface->queue_is_processed_in_order(q->dev->pub, vu__queue_index(q));
}

/*
 * What the front-end says of a packed ring.  One that knows but 16 bits of it says 0 of
 * where it is used; then all that was popped has been, as far as it knows, unless the
 * descriptor that would be used next really waits for it.
 */
static int check_base(struct vu__queue *q, const VuRing *ring)
{
	const struct vring_packed_desc *desc = (const void *)ring->desc;
	VuVirtq *vq = vu__queue_pub(q);
	unsigned int num = ring->num, ahead;

	if (!q->has_base)
		vu__queue_set_base(q, VU__PACKED_FRESH | (uint32_t)VU__PACKED_FRESH << 16);
	ahead = vu__packed_distance(vq->used_idx, vq->last_avail_idx, num);
	if (!vq->used_idx && (ahead > num || !vu__packed_available(vu__packed_flags(desc), 0))) {
		vq->used_idx = vq->last_avail_idx;
		ahead = 0;
	}
	if (vu__packed_slot(vq->last_avail_idx) < num && vu__packed_slot(vq->used_idx) < num &&
	    ahead <= num)
		return 0;
	return vu__refuse(q->dev, -EINVAL, "queue %d: places 0x%x and 0x%x in a packed ring of %u",
			  vu__queue_index(q), vq->last_avail_idx, vq->used_idx, num);
}

/* A packed ring does not say itself how far it has been used. */
static int choose_packed(struct vu__queue *q, const VuRing *ring)
{
	VuVirtq *vq = vu__queue_pub(q);
	bool tracked = false;
	int ret = check_base(q, ring);

	if (ret)
		return ret;
	vu__packed_clear(&q->ring.packed, ring->num);
	if (vq->inflight) {
		ret = vu__inflight_resume_packed(q, ring, &tracked);
		if (ret)
			return ret;
	}
	ret = vu__expect_resume(q, ring, tracked);
	if (!ret && !vq->inflight && completes_in_order(q))
		vq->last_avail_idx = vq->used_idx;
	return VU_MIN(ret, 0);
}

/* From what a region says; else from what the front-end says, unless the ring knows better. */
static int choose_resume_point(struct vu__queue *q, const VuRing *ring)
{
	VuVirtq *vq = vu__queue_pub(q);
	uint16_t used = vu__split_used_idx(ring->used);
	bool tracked = false;
	int ret;

	if (vq->inflight) {
		ret = vu__inflight_resume(q, ring, &tracked);
		if (ret)
			return ret;
	}
	ret = vu__expect_resume(q, ring, tracked);
	if (ret || vq->inflight)
		return VU_MIN(ret, 0);
	if (vq->last_avail_idx == used)
		return 0;
	/* An in-order device has completed all before the used index and nothing after it. */
	if (completes_in_order(q)) {
		vq->last_avail_idx = used;
		return 0;
	}
	vu__debug(VU__DEBUG_RING, "queue %d resumes at %u, the used index is %u",
		  vu__queue_index(q), vq->last_avail_idx, used);
	return 0;
}

static void use_meter(struct vu__queue *q)
{
	struct vu__telemetry *t = q->dev->telemetry;
	int idx = vu__queue_index(q);
	struct vu_telemetry_annex *annex =
		vu__telemetry_annex(t, idx, vu__queue_pub(q)->vring.num);

	vu__meter_use(&q->ring.meter, &t->counters[idx], t->lease, annex);
}

/* True if there is something to pop already. */
static int go_live(struct vu__queue *q, bool *pending)
{
	VuVirtq *vq = vu__queue_pub(q);
	struct vu__ring *r = &q->ring;
	uint64_t features = q->dev->pub->features;
	VuRing ring;
	int ret;

	ret = vu__queue_resolve(q, q->dev->map, &ring);
	if (ret)
		return ret;
	use_meter(q);
	ret = vu__ring_prepare(r, vq->vring.num, vu__queue_is_packed(q));
	if (!ret)
		ret = r->is_packed ? choose_packed(q, &ring) : choose_resume_point(q, &ring);
	if (!ret)
		ret = vu__ring_set_map(r, q->dev->map);
	if (ret)
		return ret;
	q->has_base = true;
	q->told = false;
	vu__ring_place(r, &ring);
	r->event_idx = vu__has_bit(features, VU__F_EVENT_IDX);
	r->indirect = vu__has_bit(features, VU__F_INDIRECT_DESC);
	r->notify_on_empty = vu__has_bit(features, VU__F_NOTIFY_ON_EMPTY);
	r->on_break = on_break;
	r->on_log_short = on_log_short;
	r->opaque = q;
	*pending = vu__ring_start(r);
	vu__show_start(q);
	VU__TRACE3(ring_start, q->dev->pub, vu__queue_index(q), vq->last_avail_idx);
	if (q->dev->held)
		vu__hold_ring(q);
	vu__debug(VU__DEBUG_RING, "queue %d of %u starts at %u", vu__queue_index(q),
		  vq->vring.num, vq->last_avail_idx);
	/*
	 * Who served it before may have completed these and not lived to call.  A packed
	 * ring comes to each place again soon: there may always be some.
	 */
	if ((r->is_packed || vq->used_idx) && !q->dev->hurry)
		vu__queue_call_self(q);
	return 0;
}

static void set_started(struct vu__queue *q, bool started)
{
	__atomic_store_n(&vu__queue_pub(q)->started, started, __ATOMIC_RELAXED);
}

int vu__queue_start(struct vu__queue *q)
{
	VuDev *dev = q->dev->pub;
	VuVirtq *vq = vu__queue_pub(q);
	int idx = vu__queue_index(q);
	bool pending = false;

	if (vq->vring.num && q->has_addr) {
		int ret;

		vu__queue_quiesce(q);
		ret = go_live(q, &pending);
		vu__queue_resume(q);
		if (ret)
			return ret;
	}
	set_started(q, true);
	if (dev->iface->queue_set_started)
		dev->iface->queue_set_started(dev, idx, true);
	/* The device may have set its handler just now. */
	if (!q->watched)
		vu__queue_update_watch(q);
	if (pending && !q->dev->hurry)
		vu__queue_kick_self(q);
	return 0;
}

void vu__queue_begin_stop(struct vu__queue *q)
{
	VuDev *dev = q->dev->pub;
	VuVirtq *vq = vu__queue_pub(q);
	int idx = vu__queue_index(q);

	vu__queue_quiesce(q);
	vu__ring_close(&q->ring);
	vu__debug(VU__DEBUG_RING, "queue %d stops at %u with %d in flight", idx,
		  vq->last_avail_idx, vq->inuse);
	vu__queue_resume(q);
	set_started(q, false);
	if (dev->iface->queue_set_started)
		dev->iface->queue_set_started(dev, idx, false);
}

void vu__queue_unwatch(struct vu__queue *q)
{
	if (q->watched)
		q->dev->pub->remove_watch(q->dev->pub, vu__queue_pub(q)->kick_fd);
	q->watched = false;
}

static void close_kick(struct vu__queue *q)
{
	VuVirtq *vq = vu__queue_pub(q);

	if (vq->kick_fd < 0)
		return;
	vu__queue_unwatch(q);
	close(vq->kick_fd);
	vq->kick_fd = -1;
}

static void end_stop(struct vu__queue *q, bool call)
{
	VuVirtq *vq = vu__queue_pub(q);
	bool live = q->ring.can_push;
	int left;

	/* A thread of the device's may be completing what it has popped. */
	vu__queue_quiesce(q);
	q->hushed = false;
	if (call && vu__ring_owes_call(&q->ring))
		vu_queue_notify(q->dev->pub, vq);
	left = live ? vq->inuse : 0;
	if (left)
		vu__log(vq->inflight ? VU_LOG_INFO : VU_LOG_WARNING,
			"queue %d is stopped with %d elements in flight, which are %s",
			vu__queue_index(q), left,
			vq->inflight ? "left to the next back-end" : "lost");
	vu__ring_stop(&q->ring);
	vu__queue_resume(q);
	set_started(q, false);
	q->stopping = false;
	close_kick(q);
	if (live)
		vu__show_stop(q, left);
	VU__TRACE3(ring_stop, q->dev->pub, vu__queue_index(q), left);
}

void vu__queue_run_handler(struct vu__queue *q, uint64_t kicks)
{
	vu__ring_woken(&q->ring, kicks);
	vu__queue_pub(q)->handler(q->dev->pub, vu__queue_index(q));
}

void vu__queue_end_stop(struct vu__queue *q)
{
	end_stop(q, false);
}

void vu__queue_hand_back(struct vu__queue *q)
{
	end_stop(q, true);
}

bool vu__queue_is_whole(struct vu__queue *q)
{
	bool whole;

	if (!q->ring.can_push)
		return false;
	vu__queue_quiesce(q);
	whole = !q->ring.broken[0];
	vu__queue_resume(q);
	return whole;
}

void vu__queue_replace_kick(struct vu__queue *q, int fd)
{
	VuDev *dev = q->dev->pub;

	vu__queue_begin_stop(q);
	close_kick(q);
	vu__queue_pub(q)->kick_fd = fd;
	vu__queue_quiesce(q);
	vu__ring_reopen(&q->ring);
	vu__queue_resume(q);
	set_started(q, true);
	if (dev->iface->queue_set_started)
		dev->iface->queue_set_started(dev, vu__queue_index(q), true);
	vu__queue_update_watch(q);
	/* What came while nobody looked. */
	vu__queue_kick_self(q);
}

static void kicked(VuDev *dev, int condition, void *data)
{
	struct vu__queue *q = data;
	VuVirtq *vq = vu__queue_pub(q);
	uint64_t value;
	int ret;

	(void)condition;
	if (vu__dev_broken(dev) || vq->kick_fd < 0)
		return;
	ret = vu__event_consume(vq->kick_fd, &value);
	if (ret) {
		/* Nothing more will come from there, and it would be readable for ever. */
		vu__ring_break(&q->ring, "reading the kick eventfd failed (%d)", ret);
		dev->remove_watch(dev, vq->kick_fd);
		q->watched = false;
		return;
	}
	VU__TRACE4(kick_read, dev, vu__queue_index(q), vq->kick_fd, value);
	if (vq->handler)
		vu__queue_run_handler(q, value);
}

void vu__queue_update_watch(struct vu__queue *q)
{
	VuDev *dev = q->dev->pub;
	VuVirtq *vq = vu__queue_pub(q);

	if (vq->kick_fd < 0)
		return;
	if (vq->handler)
		dev->set_watch(dev, vq->kick_fd, VU_WATCH_IN, kicked, q);
	else if (q->watched)
		dev->remove_watch(dev, vq->kick_fd);
	q->watched = vq->handler;
}

void vu__queue_kick_self(struct vu__queue *q)
{
	VuVirtq *vq = vu__queue_pub(q);
	struct vu__telemetry *t = q->dev->telemetry;

	if (vq->kick_fd >= 0) {
		vu__meter_add(&t->configs[vu__queue_index(q)].self_kicks, 1);
		(void)(q->kick_any ? vu__event_signal_any(vq->kick_fd) :
				     vu__event_signal(vq->kick_fd));
	} else if (vq->handler && vu__dev_has(q->dev, VU__PF_INBAND_NOTIFICATIONS)) {
		vu__queue_run_handler(q, 0);
	}
}

void vu_set_queue_handler(VuDev *dev, VuVirtq *vq, vu_queue_handler_cb handler)
{
	vq->handler = handler;
	(void)dev;
	vu__queue_update_watch(vu__queue_of(vq));
}
