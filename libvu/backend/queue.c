/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The public queue calls.  Queue's thread. */
#include "backend/dev.h"
#include "base/fd.h"
#include "base/trace.h"

/* The queue knows its ring; the device is for the signature all these calls share. */
static inline struct vu__ring *ring_of(const VuDev *dev, const VuVirtq *vq)
{
	(void)dev;
	return &vu__queue_of(vq)->ring;
}

/* For tracers. */
static inline unsigned int index_of(const VuVirtq *vq)
{
	return vu__queue_index(vu__queue_of(vq));
}

/* The control thread sets these two while a queue's thread may be looking. */
bool vu_queue_enabled(VuDev *dev, VuVirtq *vq)
{
	(void)dev;
	return __atomic_load_n(&vq->enable, __ATOMIC_RELAXED);
}

bool vu_queue_started(const VuDev *dev, const VuVirtq *vq)
{
	(void)dev;
	return __atomic_load_n(&vq->started, __ATOMIC_RELAXED);
}

bool vu_queue_empty(VuDev *dev, VuVirtq *vq)
{
	return vu__dev_broken(dev) || vu__ring_empty(ring_of(dev, vq));
}

void *vu_queue_pop(VuDev *dev, VuVirtq *vq, size_t sz)
{
	VuVirtqElement *elem;

	if (vu__dev_broken(dev))
		return NULL;
	elem = vu__postcopy_listening(dev) ? vu__postcopy_pop(vu__queue_of(vq), sz, NULL) :
					     vu__ring_pop(ring_of(dev, vq), sz);
	if (elem)
		VU__TRACE3(pop, dev, index_of(vq), elem->index);
	return elem;
}

void vu_queue_unpop(VuDev *dev, VuVirtq *vq, VuVirtqElement *elem, size_t len)
{
	vu__ring_unpop(ring_of(dev, vq), elem, len);
}

bool vu_queue_abandon(VuDev *dev, VuVirtq *vq, const VuVirtqElement *elem)
{
	return vu__ring_abandon(ring_of(dev, vq), elem);
}

bool vu_queue_rewind(VuDev *dev, VuVirtq *vq, unsigned int num)
{
	return vu__ring_rewind(ring_of(dev, vq), num);
}

void vu_queue_fill(VuDev *dev, VuVirtq *vq, const VuVirtqElement *elem, unsigned int len,
		   unsigned int idx)
{
	VU__TRACE4(push, dev, index_of(vq), elem->index, len);
	(void)vu__ring_fill(ring_of(dev, vq), elem, len, idx);
}

void vu_queue_flush(VuDev *dev, VuVirtq *vq, unsigned int num)
{
	vu__ring_flush(ring_of(dev, vq), num);
}

void vu_queue_push(VuDev *dev, VuVirtq *vq, const VuVirtqElement *elem, unsigned int len)
{
	VU__TRACE4(push, dev, index_of(vq), elem->index, len);
	vu__ring_push(ring_of(dev, vq), elem, len);
}

void vu_queue_set_notification(VuDev *dev, VuVirtq *vq, int enable)
{
	vu__ring_set_notification(ring_of(dev, vq), enable);
}

void vu_queue_get_avail_bytes(VuDev *vdev, VuVirtq *vq, unsigned int *in_bytes,
			      unsigned int *out_bytes, unsigned max_in_bytes,
			      unsigned max_out_bytes)
{
	unsigned int in = 0, out = 0;

	if (!vu__dev_broken(vdev))
		vu__ring_avail_bytes(ring_of(vdev, vq), &in, &out, max_in_bytes,
				     max_out_bytes);
	if (in_bytes)
		*in_bytes = in;
	if (out_bytes)
		*out_bytes = out;
}

bool vu_queue_avail_bytes(VuDev *dev, VuVirtq *vq, unsigned int in_bytes,
			  unsigned int out_bytes)
{
	unsigned int in, out;

	vu_queue_get_avail_bytes(dev, vq, &in, &out, in_bytes, out_bytes);
	return in_bytes <= in && out_bytes <= out;
}

/* "In-band notifications": the call goes over the channel. */
VU_COLD static int call_in_band(struct vu__dev *d, VuVirtq *vq, bool sync)
{
	struct vu__msg m;

	vu__msg_init(&m, VU__BACKEND_VRING_CALL);
	m.payload.state.index = vu__queue_index(vu__queue_of(vq));
	m.size = sizeof(m.payload.state);
	return vu__channel_request(d, &m, sync);
}

static enum vu__call call_driver(struct vu__queue *q, bool sync)
{
	VuVirtq *vq = vu__queue_pub(q);
	/* The control thread may be hiding the number; the file behind it stays ours. */
	int call_fd = __atomic_load_n(&vq->call_fd, __ATOMIC_ACQUIRE);

	if (VU_LIKELY(call_fd >= 0 && !q->call_any))
		return vu__event_add(call_fd) ? VU__CALL_FAILED : VU__CALL_SENT;
	if (call_fd >= 0)
		return vu__event_signal_any(call_fd) ? VU__CALL_FAILED : VU__CALL_SENT;
	if (vu__dev_has(q->dev, VU__PF_INBAND_NOTIFICATIONS))
		return call_in_band(q->dev, vq, sync) ? VU__CALL_FAILED : VU__CALL_SENT;
	if (__atomic_load_n(&q->call_slot, __ATOMIC_RELAXED) >= 0)
		return VU__CALL_MASKED;
	return VU__CALL_NO_FD;
}

void vu__queue_call_self(struct vu__queue *q)
{
	struct vu__telemetry *t = q->dev->telemetry;

	if (call_driver(q, false) == VU__CALL_SENT)
		vu__meter_add(&t->configs[vu__queue_index(q)].extra_calls, 1);
}

static void notify(VuDev *dev, VuVirtq *vq, bool sync)
{
	struct vu__ring *r = ring_of(dev, vq);

	if (vu__dev_broken(dev) || !r->can_push || vu__queue_of(vq)->hushed)
		return;
	if (vu__ring_should_call(r)) {
		VU__TRACE3(call, dev, index_of(vq), vq->call_fd);
		vu__ring_notified(r, call_driver(vu__queue_of(vq), sync));
	} else {
		VU__TRACE3(suppress, dev, index_of(vq), r->event_idx);
		vu__ring_notified(r, r->event_idx ? VU__CALL_EVENT : VU__CALL_FLAG);
	}
}

void vu_queue_notify(VuDev *dev, VuVirtq *vq)
{
	notify(dev, vq, false);
}

void vu_queue_notify_sync(VuDev *dev, VuVirtq *vq)
{
	notify(dev, vq, true);
}

const char *vu_queue_broken_reason(VuDev *dev, VuVirtq *vq)
{
	const struct vu__ring *r = ring_of(dev, vq);

	return r->broken[0] ? r->broken : NULL;
}

int64_t vu_read_kick(VuDev *dev, VuVirtq *vq)
{
	uint64_t value;
	int ret = vu__event_consume(vq->kick_fd, &value);

	if (ret)
		return ret;
	VU__TRACE4(kick_read, dev, index_of(vq), vq->kick_fd, value);
	vu__ring_woken(ring_of(dev, vq), value);
	return (int64_t)VU_MIN(value, (uint64_t)INT64_MAX);
}

void vu_queue_failed(VuDev *dev, VuVirtq *vq, unsigned int num)
{
	vu__meter_failed(&ring_of(dev, vq)->meter, num);
}
