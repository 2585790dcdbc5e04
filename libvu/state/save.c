/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots: the device is held, what is in flight is waited for or listed, the image is
 * made in a memfd, and the device goes on, or stays held until the tool says.  Whatever
 * happens to the tool, the device goes on, unless it was told to stay.  Control thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/sys.h"
#include "proto/control.pb-c.h"
#include "state/control.h"
#include "state/memfile.h"
#include "state/obstacles.h"
#include "state/snapshot.h"

#define DRAIN_MAX_MS 600000
#define HOLD_MAX_MS  600000

static void free_save(struct vu__save *s)
{
	vu__snap_release(&s->snap);
	free(s);
}

/* The device goes on as if nothing had been. */
static void give_up(struct vu__control *c)
{
	struct vu__save *s = c->save;

	vu__hold_end(c->d);
	vu__control_done(c);
	free_save(s);
}

/* --- held, with an image that is still true --- */

static void held_too_long(struct vu__control *c)
{
	vu__warn("control: process %d holds the device for more than %u ms; it goes on",
		 c->owner ? (int)c->owner->pid : 0, c->save->hold_ms);
	give_up(c);
}

static const struct vu__job held_job = {
	.name = "a hold",
	.may_save = true,
	.timeout = held_too_long,
	.lost = give_up,
	.end = give_up,
};

/* The tool may go: the device stays as it is. */
static void stay(struct vu__control *c)
{
	(void)c;
}

static const struct vu__job stay_job = {
	.name = "a checkpoint with --stop",
	.timeout = stay,
	.lost = stay,
	.end = give_up,
};

/* --- the image --- */

static int take_parts(struct vu__control *c)
{
	struct vu__save *s = c->save;
	int ret = vu__snapshot_queues(c->d, &s->snap);

	if (ret)
		return vu__refuse(c->d, ret, "out of memory");
	s->snap.inventory.moment = s->hold ? VU__MOMENT_STOPPED : VU__MOMENT_RUNNING;
	s->snap.inventory.requests = s->in_flight ? VU__REQUESTS_IN_FLIGHT :
						    VU__REQUESTS_DRAINED;
	return vu__snapshot_blob(c->d, &s->snap);
}

static void answer(struct vu__control *c, int fd, uint64_t bytes, uint64_t pause_ns)
{
	Vu__Control__Reply reply = VU__CONTROL__REPLY__INIT;
	Vu__Control__Saved saved = VU__CONTROL__SAVED__INIT;

	saved.bytes = bytes;
	saved.pause_ns = pause_ns;
	reply.what_case = VU__CONTROL__REPLY__WHAT_SAVED;
	reply.saved = &saved;
	vu__control_reply(c, &reply, &fd, 1);
}

/* Nothing is in flight, or what is may be listed. */
static void finish(struct vu__control *c)
{
	struct vu__save *s = c->save;
	int fd, ret = take_parts(c);
	uint64_t pause, bytes = 0;

	if (ret) {
		vu__control_fail(c, ret, "%s", c->d->why);
		give_up(c);
		return;
	}
	/* Only what must be of one moment is taken in the pause. */
	if (!s->hold)
		vu__hold_end(c->d);
	pause = vu__control_now() - s->begin_ns;
	fd = vu__memfile_write(&s->snap, &bytes);
	if (fd < 0) {
		vu__control_fail(c, fd, "writing the image: %s", strerror(-fd));
		give_up(c);
		return;
	}
	answer(c, fd, bytes, pause);
	close(fd);
	if (!s->hold) {
		give_up(c);
		return;
	}
	c->job = &held_job;
	vu__control_timer(c, s->hold_ms);
}

/* --- waiting for what is in flight --- */

static void drained(void *opaque)
{
	struct vu__control *c = opaque;

	if (c->job && c->job->drained)
		c->job->drained(c);
}

static void save_drained(struct vu__control *c)
{
	if (!vu__hold_in_flight(c->d))
		finish(c);
}

static void save_timeout(struct vu__control *c)
{
	unsigned int n = vu__hold_in_flight(c->d);

	vu__control_fail(c, -ETIMEDOUT, "%u requests are still in flight", n);
	give_up(c);
}

static const struct vu__job save_job = {
	.name = "a snapshot",
	.drained = save_drained,
	.timeout = save_timeout,
	.lost = give_up,
	.end = give_up,
};

static void begin_save(struct vu__control *c, const Vu__Control__Save *how)
{
	struct vu__save *s = c->save;
	int ret = vu__snapshot_describe(c->d, &s->snap);

	s->in_flight = how->in_flight;
	s->hold = how->hold;
	s->hold_ms = VU_MIN(how->hold_ms, HOLD_MAX_MS);
	s->begin_ns = vu__control_now();
	if (!ret)
		ret = vu__hold_begin(c->d, false, drained, c);
	if (ret) {
		vu__control_fail(c, ret, "holding the device: %s", strerror(-ret));
		give_up(c);
	} else if (s->in_flight || !vu__hold_in_flight(c->d)) {
		finish(c);
	} else if (!how->drain_ms) {
		save_timeout(c);
	} else {
		vu__control_timer(c, VU_MIN(how->drain_ms, DRAIN_MAX_MS));
	}
}

void vu__request_save(struct vu__control *c, const Vu__Control__Request *r,
		      int fds[VU__CONTROL_FDS])
{
	struct vu__obstacles o;

	(void)fds;
	vu__find_obstacles(c->d, &o);
	if (o.n) {
		vu__control_fail(c, -EBUSY, "%s", o.why[0]);
		return;
	}
	/* A snapshot again, of a device that is held already: requests have ended since. */
	if (c->job)
		free_save(c->save);
	c->save = vu__sys.calloc(1, sizeof(*c->save));
	if (!c->save) {
		vu__hold_end(c->d);
		vu__control_done(c);
		vu__control_fail(c, -ENOMEM, "out of memory");
		return;
	}
	c->job = &save_job;
	begin_save(c, r->save);
}

/* --- the end of a hold --- */

/* Whether the image is of the device as it is now. */
static bool still_true(struct vu__control *c)
{
	const struct vu__snap *s = &c->save->snap;

	for (uint32_t i = 0; i < s->nqueues; i++) {
		const struct vu__snap_queue *was = &s->queues[i];
		struct vu__queue *q = &c->d->queues[was->index];
		const VuVirtq *vq = vu__queue_pub(q);
		bool live = q->ring.can_push, same;

		if (live)
			vu__queue_quiesce(q);
		same = vq->started == was->started && vq->vring.num == was->size &&
		       vq->last_avail_idx == vu__snap_avail(was) &&
		       (!live || vq->used_idx == vu__snap_used(was));
		if (live)
			vu__queue_resume(q);
		if (!same)
			return false;
	}
	return true;
}

/* What is listed in the image is not completed here any more. */
static void stop_completing(struct vu__control *c)
{
	for (unsigned int i = 0; i < c->d->pub->max_queues; i++) {
		struct vu__queue *q = &c->d->queues[i];

		if (!q->ring.can_push || !vu__queue_pub(q)->inuse)
			continue;
		vu__queue_quiesce(q);
		vu__ring_stop(&q->ring);
		vu__queue_resume(q);
	}
}

static unsigned int listed(const struct vu__snap *s)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < s->nqueues; i++)
		n += s->queues[i].nheads;
	return n;
}

static void stay_held(struct vu__control *c)
{
	Vu__Control__Reply reply = VU__CONTROL__REPLY__INIT;

	if (!still_true(c)) {
		vu__control_fail(c, -EAGAIN, "requests have ended since; the image is out of date");
		return;
	}
	stop_completing(c);
	vu__control_timer(c, 0);
	c->job = &stay_job;
	vu__info("the device is stopped: its state is in image %s", c->save->snap.inventory.id);
	vu__control_reply(c, &reply, NULL, 0);
}

void vu__request_release(struct vu__control *c, const Vu__Control__Request *r,
			 int fds[VU__CONTROL_FDS])
{
	Vu__Control__Reply reply = VU__CONTROL__REPLY__INIT;

	(void)fds;
	if (c->job != &held_job && c->job != &stay_job) {
		vu__control_fail(c, -EINVAL, "the device is not held");
	} else if (r->release->stay) {
		stay_held(c);
	} else if (c->job == &stay_job && listed(&c->save->snap)) {
		vu__control_fail(c, -EBUSY, "%u requests that were in flight are in image %s, and "
				 "only there: end this back-end and restore it",
				 listed(&c->save->snap), c->save->snap.inventory.id);
	} else {
		give_up(c);
		vu__control_reply(c, &reply, NULL, 0);
	}
}
