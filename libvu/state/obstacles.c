/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in the way of moving a device now.  Control thread. */
#include "state/obstacles.h"

#include <stdarg.h>
#include <stdio.h>

#include "state/snapshot.h"

static void add(struct vu__obstacles *o, const char *fmt, ...) VU_PRINTF(2, 3);
static void add(struct vu__obstacles *o, const char *fmt, ...)
{
	va_list ap;

	if (o->n == VU__OBSTACLES)
		return;
	va_start(ap, fmt);
	vsnprintf(o->why[o->n++], sizeof(o->why[0]), fmt, ap);
	va_end(ap);
}

/* Nobody pops them, so they would never come to an end. */
static bool waits_for_enable(struct vu__queue *q)
{
	bool yes;

	if (!q->ring.can_push || q->ring.vq->enable)
		return false;
	vu__queue_quiesce(q);
	yes = q->ring.resubmitting;
	vu__queue_resume(q);
	return yes;
}

static void find_unkept_files(struct vu__dev *d, struct vu__obstacles *o)
{
	for (unsigned int i = 0; i < d->map->n; i++) {
		if (d->map->regions[i]->fd >= 0)
			continue;
		add(o, "the file of the memory at 0x%llx was not kept: too many open files",
		    (unsigned long long)d->map->regions[i]->desc.gpa);
		return;
	}
	if (d->log && d->log->fd < 0)
		add(o, "the file of the dirty log was not kept: too many open files");
}

void vu__find_obstacles(struct vu__dev *d, struct vu__obstacles *o)
{
	char why[200];

	o->n = 0;
	if (vu__dev_broken(d->pub))
		add(o, "its connection is broken");
	if (d->expect && !d->expect->begun)
		add(o, "image %s waits for its front-end", d->expect->id);
	if (d->read_msg)
		add(o, "the program reads messages itself");
	if (!vu__snapshot_can_hold(d, why, sizeof(why)))
		add(o, "%s", why);
	if (d->arrival.got)
		add(o, "the front-end is in the middle of a message");
	/*
	 * A userfaultfd is of the address space that made it, and the front-end serves the
	 * faults of that one: another process would read zeroes where memory is missing.
	 */
	if (d->pub->postcopy_ufd >= 0 || d->next_map)
		add(o, "its memory is still on its way (postcopy)");
	if (d->nstopping)
		add(o, "queue %u is being stopped", d->stopping[0]);
	if (d->transfer.fd >= 0)
		add(o, "the front-end is moving the device's state");
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (waits_for_enable(&d->queues[i]))
			add(o, "queue %u has requests of an earlier back-end and is not enabled",
			    i);
	}
	find_unkept_files(d, o);
}

bool vu__is_fresh(const struct vu__dev *d)
{
	if (d->map->n || d->log || d->inflight)
		return false;
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		const VuVirtq *vq = &d->pub->vq[i];

		if (vq->started || vq->vring.num || d->queues[i].has_addr)
			return false;
	}
	return true;
}
