/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holding a device: no queue pops, what is in flight comes to its end.  For a snapshot
 * and before a hand-over.  Control thread.
 */
#include "backend/dev.h"
#include "base/fd.h"

void vu__hold_ring(struct vu__queue *q)
{
	vu__ring_close(&q->ring);
	q->ring.drained_fd = q->dev->drained_fd;
}

/*
 * The device pushes what is done already: a turn of its event loop for each queue would
 * take longer.  Whoever asks looks whether that was all.
 */
static void hold_queue(struct vu__queue *q, bool hush)
{
	struct vu__dev *d = q->dev;

	vu__queue_quiesce(q);
	vu__ring_close(&q->ring);
	q->hushed = hush && !q->ring.broken[0];
	if (d->ext.finish && vu__queue_pub(q)->started)
		d->ext.finish(d->pub, vu__queue_index(q));
	vu__hold_ring(q);
	vu__queue_resume(q);
}

int vu__hold_begin(struct vu__dev *d, bool hush, void (*drained)(void *opaque), void *opaque)
{
	int ret = vu__drain_watch(d);

	if (ret)
		return ret;
	d->held = true;
	d->on_held_drained = drained;
	d->held_opaque = opaque;
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (d->queues[i].ring.can_push)
			hold_queue(&d->queues[i], hush);
	}
	/* The last one may have been pushed before the eventfd was there. */
	vu__event_signal(d->drained_fd);
	return 0;
}

unsigned int vu__hold_in_flight(struct vu__dev *d)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		struct vu__queue *q = &d->queues[i];

		if (!q->ring.can_push)
			continue;
		vu__queue_quiesce(q);
		sum += vu__queue_pub(q)->inuse;
		vu__queue_resume(q);
	}
	return sum;
}

/* Its thread is kept out. */
static void speak(struct vu__queue *q)
{
	q->hushed = false;
	if (vu__ring_owes_call(&q->ring))
		vu_queue_notify(q->dev->pub, vu__queue_pub(q));
}

void vu__hold_speak(struct vu__dev *d)
{
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		struct vu__queue *q = &d->queues[i];

		if (!q->hushed)
			continue;
		vu__queue_quiesce(q);
		speak(q);
		vu__queue_resume(q);
	}
}

/* A queue that is to stop, or is broken, does not pop any more whatever happens here. */
static void let_go(struct vu__queue *q)
{
	vu__queue_quiesce(q);
	if (!q->stopping) {
		if (vu__queue_pub(q)->started)
			vu__ring_reopen(&q->ring);
		q->ring.drained_fd = -1;
	}
	if (q->hushed)
		speak(q);
	vu__queue_resume(q);
	vu__queue_kick_self(q);
}

void vu__hold_end(struct vu__dev *d)
{
	if (!d->held)
		return;
	d->held = false;
	d->on_held_drained = NULL;
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (d->queues[i].ring.can_push)
			let_go(&d->queues[i]);
	}
}
