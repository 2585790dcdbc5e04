/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests about one queue.  Their queue index has been checked.  Control thread. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/dev.h"
#include "base/fd.h"
#include "base/log.h"

#define RING_SIZE_MAX 32768

static struct vu__queue *queue_of(struct vu__dev *d, const struct vu__msg *m)
{
	return &d->queues[vu__msg_queue(m, VU__TO_BACKEND)];
}

int vu__req_set_vring_num(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__queue *q = queue_of(d, m);
	unsigned int num = m->payload.state.num;

	if (vu__queue_pub(q)->started || q->stopping)
		return vu__refuse(d, -EBUSY, "queue %d is running", vu__queue_index(q));
	if ((!vu__is_pow2(num) && !vu__queue_is_packed(q)) || !num || num > RING_SIZE_MAX)
		return vu__refuse(d, -EINVAL, "queue %d: a ring of %u entries",
				  vu__queue_index(q), num);
	vu__queue_pub(q)->vring.num = num;
	return VU__DONE;
}

/* Addresses of a running queue change, perhaps only its log address. */
static int readdress(struct vu__queue *q, const VuRing *ring)
{
	vu__queue_quiesce(q);
	vu__ring_set_addresses(&q->ring, ring);
	vu__queue_resume(q);
	return VU__DONE;
}

int vu__req_set_vring_addr(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__queue *q = queue_of(d, m);
	VuVirtq *vq = vu__queue_pub(q);
	struct vhost_vring_addr before = vq->vra;
	bool had_addr = q->has_addr;
	VuRing ring;
	int ret = 0;

	vq->vra = m->payload.addr;
	q->has_addr = true;
	/* Without a size there is nothing to check yet; starting checks again. */
	if (vq->vring.num)
		ret = vu__queue_resolve(q, d->map, &ring);
	if (!ret)
		ret = vu__log_check_ring(q, d->log);
	if (!ret)
		vu__log_check_shadow(d, d->map);
	if (!ret && vq->vring.num && q->ring.can_push)
		return readdress(q, &ring);
	if (!ret && vq->started)
		ret = vu__queue_start(q);
	if (ret) {
		vq->vra = before;
		q->has_addr = had_addr;
	}
	return ret;
}

int vu__req_set_vring_base(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__queue *q = queue_of(d, m);

	if (q->ring.can_push)
		return vu__refuse(d, -EBUSY, "queue %d is running", vu__queue_index(q));
	if (m->payload.state.num > UINT16_MAX && !vu__queue_is_packed(q))
		return vu__refuse(d, -EINVAL, "queue %d: index %u", vu__queue_index(q),
				  m->payload.state.num);
	vu__queue_set_base(q, m->payload.state.num);
	return VU__DONE;
}

/*
 * Without the message of its own for it, a front-end that takes requests over in flight
 * means this one.
 */
int vu__req_get_vring_base(struct vu__dev *d, struct vu__msg *m)
{
	bool skip = vu__dev_has(d, VU__PF_GET_VRING_BASE_INFLIGHT) &&
		    !vu__dev_has(d, VU__PF_GET_VRING_BASE_SKIP_DRAIN);

	return vu__drain_begin(d, queue_of(d, m), m->request, skip);
}

int vu__req_skip_drain(struct vu__dev *d, struct vu__msg *m)
{
	return vu__drain_begin(d, queue_of(d, m), m->request, true);
}

int vu__take_event(int fd)
{
	int kind = vu__event_kind(fd);
	int ret = kind < 0 ? kind : vu__fd_set_nonblock(fd);

	return ret ? ret : kind;
}

int vu__queue_use_kick(struct vu__queue *q, int kick_fd, int kind)
{
	VU_CLEANUP_FD int fd = kick_fd;
	VuVirtq *vq = vu__queue_pub(q);
	struct vu__dev *d = q->dev;
	int ret;

	if (q->stopping)
		return vu__refuse(d, -EBUSY, "queue %d is stopping", vu__queue_index(q));
	/* A ring that is whole keeps what is in flight. */
	if (vq->started && vu__queue_is_whole(q)) {
		q->kick_any = kind;
		vu__queue_replace_kick(q, vu__steal_fd(&fd));
		return VU__DONE;
	}
	/* A device must not see a started queue start: it would set up twice. */
	if (vq->started)
		vu__queue_begin_stop(q);
	vu__queue_end_stop(q);
	q->kick_any = kind;
	vq->kick_fd = vu__steal_fd(&fd);
	vu__show_eventfds(q);
	ret = vu__queue_start(q);
	if (ret)
		vu__queue_end_stop(q);
	return ret;
}

int vu__req_set_vring_kick(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__queue *q = queue_of(d, m);
	VU_CLEANUP_FD int fd = vu__msg_take_fd(m, 0);
	int kind = fd < 0 ? 0 : vu__take_event(fd);

	if (kind < 0)
		return vu__refuse(d, kind, "queue %d: kick eventfd: %s", vu__queue_index(q),
				  strerror(-kind));
	return vu__queue_use_kick(q, vu__steal_fd(&fd), kind);
}

/*
 * Moves @fd onto the number that the queue's thread uses, atomically for it, or hides
 * that number if there is none any more.
 */
static int move_to_slot(int *slot, int *shown, int fd)
{
	int ret = 0;

	if (fd < 0) {
		__atomic_store_n(shown, -1, __ATOMIC_RELEASE);
		return 0;
	}
	if (*slot < 0)
		__atomic_store_n(slot, fcntl(fd, F_DUPFD_CLOEXEC, 0), __ATOMIC_RELAXED);
	else
		ret = dup3(fd, *slot, O_CLOEXEC);
	if (*slot < 0 || ret < 0)
		return -errno;
	__atomic_store_n(shown, *slot, __ATOMIC_RELEASE);
	return 0;
}

/* The queue's thread must not write to a pipe what it takes for an eventfd. */
static void set_call_any(struct vu__queue *q, bool any)
{
	bool live = q->ring.can_push;

	if (any == q->call_any)
		return;
	if (live)
		vu__queue_quiesce(q);
	q->call_any = any;
	if (live)
		vu__queue_resume(q);
}

static int set_call(struct vu__queue *q, int fd)
{
	int kind = fd < 0 ? 0 : vu__take_event(fd), ret;

	if (kind < 0)
		return kind;
	/* What may be written to either is safe for both while they change. */
	if (kind)
		set_call_any(q, true);
	ret = move_to_slot(&q->call_slot, &vu__queue_pub(q)->call_fd, fd);
	if (!ret && !kind)
		set_call_any(q, false);
	return ret;
}

int vu__req_set_vring_call(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__queue *q = queue_of(d, m);
	VuVirtq *vq = vu__queue_pub(q);
	VU_CLEANUP_FD int fd = vu__msg_take_fd(m, 0);
	int ret = set_call(q, fd);

	if (ret)
		return vu__refuse(d, ret, "queue %d: call eventfd: %s", vu__queue_index(q),
				  strerror(-ret));
	vu__show_eventfds(q);
	/* A call may have gone to the old one while it was being replaced. */
	if (vq->call_fd >= 0 && vq->started)
		vu__queue_call_self(q);
	return VU__DONE;
}

int vu__req_set_vring_err(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__queue *q = queue_of(d, m);
	VU_CLEANUP_FD int fd = vu__msg_take_fd(m, 0);
	int ret = fd < 0 ? 0 : vu__take_event(fd);

	if (ret >= 0)
		ret = move_to_slot(&q->err_slot, &vu__queue_pub(q)->err_fd, fd);
	if (ret)
		return vu__refuse(d, ret, "queue %d: error eventfd: %s", vu__queue_index(q),
				  strerror(-ret));
	vu__show_eventfds(q);
	return VU__DONE;
}

int vu__req_set_vring_enable(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__queue *q = queue_of(d, m);
	unsigned int enable = m->payload.state.num;

	if (enable > 1)
		return vu__refuse(d, -EINVAL, "queue %d: enable is 0 or 1, not %u",
				  vu__queue_index(q), enable);
	__atomic_store_n(&vu__queue_pub(q)->enable, enable, __ATOMIC_RELAXED);
	vu__show_enable(q);
	if (d->ext.queue_enabled)
		d->ext.queue_enabled(d->pub, vu__queue_index(q), enable);
	/* What came while it was disabled has been kicked for already. */
	if (enable && q->ring.can_push)
		vu__queue_kick_self(q);
	return VU__DONE;
}

int vu__req_vring_kick(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__queue *q = queue_of(d, m);
	VuVirtq *vq = vu__queue_pub(q);

	(void)d;
	if (vq->started && vq->handler)
		vu__queue_run_handler(q, 1);
	return VU__DONE;
}
