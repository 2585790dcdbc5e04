/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answering VHOST_USER_GET_VRING_BASE: after the answer nothing may be written to the
 * guest, so it waits until the device has pushed what it has popped, or, if the
 * front-end takes requests over in flight, has given it up.  The device does that in its
 * own event loop, so the answer is sent from there.  Control thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "backend/dev.h"
#include "base/fd.h"
#include "base/log.h"

static int inuse(struct vu__queue *q)
{
	int n;

	if (!q->ring.can_push)
		return 0;
	vu__queue_quiesce(q);
	n = vu__queue_pub(q)->inuse;
	vu__queue_resume(q);
	return n;
}

/* What the last back-end had taken must be popped before the device is told to stop. */
static bool resubmitting(struct vu__queue *q)
{
	bool yes;

	vu__queue_quiesce(q);
	yes = q->ring.resubmitting;
	vu__queue_resume(q);
	return yes;
}

/*
 * The index in the answer survives the stop, so that asking again gives it again.  When
 * requests were handed over, it is the one before them.
 */
static int answer(struct vu__dev *d, struct vu__queue *q)
{
	VuVirtq *vq = vu__queue_pub(q);
	struct vu__msg m;

	/* A packed ring has both; what is between them is in the region. */
	if (q->suspending && q->ring.can_push && !q->ring.is_packed)
		vq->last_avail_idx = vq->used_idx;
	vu__queue_hand_back(q);
	vu__msg_init(&m, q->stop_request);
	q->suspending = false;
	q->told = true;
	q->told_avail = vq->last_avail_idx;
	m.payload.state.index = vu__queue_index(q);
	m.payload.state.num = vu__queue_base(q);
	vu__msg_make_reply(&m, sizeof(m.payload.state));
	return vu__send_reply(d, &m);
}

/* One step further with a queue that is to stop.  True: it may be answered. */
static bool proceed(struct vu__queue *q, bool force)
{
	const VuVirtq *vq = vu__queue_pub(q);

	if (vq->started) {
		/* Nobody pops from a queue that is not enabled. */
		if (!force && vq->enable && resubmitting(q))
			return false;
		vu__queue_begin_stop(q);
	}
	return force || !inuse(q);
}

static void set_timer(struct vu__dev *d, unsigned int ms)
{
	struct itimerspec t = {.it_value = {.tv_sec = ms / 1000,
					    .tv_nsec = (long)(ms % 1000) * 1000000}};

	if (d->drain_timer >= 0)
		timerfd_settime(d->drain_timer, 0, &t, NULL);
}

/* Answers from the front of the line as long as what stands there is ready. */
static void advance(struct vu__dev *d, bool force)
{
	while (d->nstopping) {
		struct vu__queue *q = &d->queues[d->stopping[0]];

		if (!proceed(q, force))
			return;
		d->nstopping--;
		memmove(d->stopping, d->stopping + 1, d->nstopping * sizeof(d->stopping[0]));
		if (answer(d, q))
			return;
	}
	set_timer(d, 0);
}

static void on_drained(VuDev *dev, int condition, void *data)
{
	struct vu__dev *d = data;
	uint64_t value;

	(void)dev;
	(void)condition;
	vu__event_consume(d->drained_fd, &value);
	if (d->nstopping)
		advance(d, false);
	if (d->held && d->on_held_drained)
		d->on_held_drained(d->held_opaque);
}

static void on_timeout(VuDev *dev, int condition, void *data)
{
	struct vu__dev *d = data;
	uint64_t value;

	(void)dev;
	(void)condition;
	vu__event_consume(d->drain_timer, &value);
	/* A late timer of a line that has emptied itself. */
	if (!value || !d->nstopping)
		return;
	vu__warn("queue %d did not finish what is in flight within %u ms", d->stopping[0],
		 d->drain_ms);
	advance(d, true);
}

/* The two fds in the event loop are made when they are first needed. */
int vu__drain_watch(struct vu__dev *d)
{
	VuDev *dev = d->pub;

	if (d->drained_fd < 0) {
		d->drained_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (d->drained_fd < 0)
			return -errno;
		dev->set_watch(dev, d->drained_fd, VU_WATCH_IN, on_drained, d);
	}
	if (d->drain_timer < 0) {
		d->drain_timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		if (d->drain_timer < 0)
			return -errno;
		dev->set_watch(dev, d->drain_timer, VU_WATCH_IN, on_timeout, d);
	}
	return 0;
}

/* The device gives up what it can; all of that stays in the inflight region. */
static void suspend(struct vu__dev *d, struct vu__queue *q)
{
	vu__queue_quiesce(q);
	vu__ring_leave_resubmits(&q->ring);
	vu__queue_resume(q);
	d->ext.cancel(d->pub, vu__queue_index(q));
}

/* Nothing new is popped; what must be popped again still can be. */
static void close_ring(struct vu__dev *d, struct vu__queue *q)
{
	if (!q->ring.can_push)
		return;
	vu__queue_quiesce(q);
	vu__ring_close(&q->ring);
	q->ring.drained_fd = d->drained_fd;
	vu__queue_resume(q);
}

int vu__drain_begin(struct vu__dev *d, struct vu__queue *q, uint32_t request, bool skip)
{
	bool ready;
	int ret;

	if (q->stopping)
		return vu__refuse(d, -EBUSY, "queue %d is stopping", vu__queue_index(q));
	q->stop_request = request;
	/* What is not tracked would be lost. */
	q->suspending = skip && vu__queue_pub(q)->inflight;
	close_ring(d, q);
	if (q->suspending && vu__queue_pub(q)->started)
		suspend(d, q);
	ready = proceed(q, !d->drain_ms);
	if (!d->drain_ms || (ready && !d->nstopping))
		return answer(d, q) ? -EPIPE : VU__DEFERRED;
	ret = vu__drain_watch(d);
	if (ret) {
		vu__warn("queue %d: cannot wait for what is in flight: %s", vu__queue_index(q),
			 strerror(-ret));
		(void)proceed(q, true);
		return answer(d, q) ? -EPIPE : VU__DEFERRED;
	}
	q->stopping = true;
	d->stopping[d->nstopping++] = vu__queue_index(q);
	close_ring(d, q);
	set_timer(d, d->drain_ms);
	if (vu__queue_pub(q)->started)
		vu__queue_kick_self(q);
	/* The last one may have been pushed before the eventfd was there. */
	vu__event_signal(d->drained_fd);
	return VU__DEFERRED;
}

void vu__drain_force(struct vu__dev *d)
{
	vu__warn("the front-end did not wait for its answer to GET_VRING_BASE");
	advance(d, true);
}

static void close_watched(struct vu__dev *d, int *fd)
{
	if (*fd < 0)
		return;
	d->pub->remove_watch(d->pub, *fd);
	close(*fd);
	*fd = -1;
}

void vu__drain_destroy(struct vu__dev *d)
{
	d->nstopping = 0;
	close_watched(d, &d->drained_fd);
	close_watched(d, &d->drain_timer);
}
