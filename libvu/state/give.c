/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The old side of a hand-over.  It serves until the new one is ready; stops popping, lets
 * what is in flight end, offers, and is rid of the device when the new one has taken it.
 * Before that every failure, and every end of the new one, leads back to serving.  Control
 * thread.
 */
#include "state/give.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "state/convert_queue.h"
#include "state/memfile.h"
#include "state/obstacles.h"
#include "state/snapshot.h"
#include "state/swap.h"

#define TIMEOUT_MAX_MS 600000u

/* How long the driver is not called for what ends while the rest is waited for. */
#define HUSH_MS 1u

static const struct vu__job give_job, gone_job;

/* --- back to serving --- */

/* Threads may come in again; @serve: as its owner. */
static void unlock_queues(struct vu__control *c, bool serve)
{
	struct vu__give *g = c->give;

	for (unsigned int i = 0; g->locked && i < c->d->pub->max_queues; i++) {
		struct vu__queue *q = &c->d->queues[i];
		bool live = q->ring.can_push;

		if (live && !serve) {
			/* What its thread sees first: the queue, and its kicks, are not its own. */
			__atomic_store_n(&vu__queue_pub(q)->started, false,
					 __ATOMIC_RELAXED);
			vu__ring_stop(&q->ring);
		}
		if (live)
			vu__queue_resume(q);
	}
	g->locked = false;
}

static void go_on(struct vu__control *c)
{
	for (unsigned int i = 0; i < c->d->pub->max_queues; i++)
		vu__queue_update_watch(&c->d->queues[i]);
	vu__hold_end(c->d);
}

static void free_give(struct vu__control *c)
{
	struct vu__give *g = c->give;

	vu__control_unwatch(c, &g->chan);
	vu__handover_page_free(g->page);
	if (g->page_fd >= 0)
		close(g->page_fd);
	vu__snap_release(&g->snap);
	free(g->files);
	free(g);
	vu__control_done(c);
}

static void say_refused(int chan, const char *why, bool again)
{
	Vu__Control__Handover m = VU__CONTROL__HANDOVER__INIT;
	Vu__Control__Refused refused = VU__CONTROL__REFUSED__INIT;

	refused.why = (char *)why;
	refused.again = again;
	m.what_case = VU__CONTROL__HANDOVER__WHAT_REFUSED;
	m.refused = &refused;
	/* Whether it hears this or the end of the channel is the same. */
	(void)vu__handover_send(chan, &m, NULL, 0);
}

/* The device is ours, or ours again: it goes on, and the tool is told why. */
static void stay(struct vu__control *c, int err, const char *fmt, ...) VU_PRINTF(3, 4);
static void stay(struct vu__control *c, int err, const char *fmt, ...)
{
	struct vu__give *g = c->give;
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	unlock_queues(c, true);
	if (g->held)
		go_on(c);
	say_refused(g->chan, why, err == -EAGAIN);
	vu__handover_failed(c->d, err, why);
	vu__warn("not handed over: %s", why);
	vu__control_fail(c, err, "%s", why);
	free_give(c);
}

/* --- the new one has it --- */

/* Nothing of the front-end's may be used any more, nor watched. */
static void drop_queues(struct vu__control *c)
{
	VuDev *dev = c->d->pub;
	bool was[VU__MAX_QUEUES];

	for (unsigned int i = 0; i < dev->max_queues; i++)
		was[i] = dev->vq[i].started;
	unlock_queues(c, false);
	for (unsigned int i = 0; i < dev->max_queues; i++) {
		__atomic_store_n(&dev->vq[i].started, false, __ATOMIC_RELAXED);
		if (was[i] && dev->iface->queue_set_started)
			dev->iface->queue_set_started(dev, i, false);
		vu__queue_end_stop(&c->d->queues[i]);
		if (was[i])
			vu__show_stop(&c->d->queues[i], 0);
	}
	c->d->held = false;
	vu__channel_set(c->d, -1);
}

/* The program's event loop finds that the front-end has left. */
static void show_end(struct vu__dev *d)
{
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		ret = -errno;
	} else {
		close(pair[1]);
		ret = vu__fd_swap(d->pub->sock, pair[0]);
		close(pair[0]);
	}
	if (ret)
		vu__error("handed over, but the event loop may not notice: %s", strerror(-ret));
}

static void answer_moved(struct vu__control *c)
{
	struct vu__give *g = c->give;
	Vu__Control__Reply reply = VU__CONTROL__REPLY__INIT;
	Vu__Control__Moved moved = VU__CONTROL__MOVED__INIT;

	moved.prepared_ns = g->page->ready_ns - g->page->asked_ns;
	reply.what_case = VU__CONTROL__REPLY__WHAT_MOVED;
	reply.moved = &moved;
	vu__control_reply(c, &reply, NULL, 0);
}

static void let_go(struct vu__control *c)
{
	Vu__Control__Handover m = VU__CONTROL__HANDOVER__INIT;
	Vu__Control__Released released = VU__CONTROL__RELEASED__INIT;
	struct vu__give *g = c->give;
	struct vu__dev *d = c->d;

	vu__handover_step(c->d, VU__STEP_GIVE_OWNER_CHANGED);
	vu__control_timer(c, 0);
	g->gone = true;
	drop_queues(c);
	m.what_case = VU__CONTROL__HANDOVER__WHAT_RELEASED;
	m.released = &released;
	/* If it does not hear this, it hears the end of the channel. */
	(void)vu__handover_send(g->chan, &m, NULL, 0);
	vu__handover_step(c->d, VU__STEP_GIVE_RELEASED);
	answer_moved(c);
	free_give(c);
	c->job = &gone_job;
	vu__show_gone(d);
	vu__info("handed over to another process");
	show_end(d);
	if (d->ext.handed_over)
		d->ext.handed_over(d->pub);
}

/* --- the offer --- */

/* The new one is silent or gone.  Has it taken the device before? */
static void settle(struct vu__control *c, int err, const char *why)
{
	struct vu__give *g = c->give;

	if (g->offered && !vu__owner_change(g->page, VU__OWNER_OFFERED, VU__OWNER_OLD_AGAIN))
		let_go(c);
	else
		stay(c, err, "%s", why);
}

/* From here on nothing of the library's touches the guest. */
static void lock_queues(struct vu__control *c)
{
	for (unsigned int i = 0; i < c->d->pub->max_queues; i++) {
		if (c->d->queues[i].ring.can_push)
			vu__queue_quiesce(&c->d->queues[i]);
	}
	c->give->locked = true;
}

/* Nor reads a kick: the event loop gets its turn only after this. */
static void unwatch_queues(struct vu__control *c)
{
	for (unsigned int i = 0; i < c->d->pub->max_queues; i++)
		vu__queue_unwatch(&c->d->queues[i]);
}

/* The final word on the queues, changed eventfds, the device's state. */
static int send_offer(struct vu__control *c, const struct vu__give_file *changed, int nchanged)
{
	struct vu__give *g = c->give;
	Vu__Control__Handover m = VU__CONTROL__HANDOVER__INIT;
	Vu__Control__Offer offer = VU__CONTROL__OFFER__INIT;
	Vu__Control__Files__File files[VU__HANDOVER_FDS], *file_list[VU__HANDOVER_FDS];
	VU_CLEANUP_FREE struct vu__queue_message *queues =
		vu__sys.calloc(g->snap.nqueues + 1, sizeof(*queues));
	VU_CLEANUP_FREE Vu__Image__Queue **list =
		vu__sys.calloc(g->snap.nqueues + 1, sizeof(*list));
	VU_CLEANUP_FD int state = -1;
	int fds[VU__HANDOVER_FDS];
	int ret;

	if (!queues || !list)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->snap.nqueues; i++) {
		vu__queue_to_message(&g->snap.queues[i], &queues[i]);
		list[i] = &queues[i].m;
	}
	for (int i = 0; i < nchanged; i++) {
		vu__control__files__file__init(&files[i]);
		files[i].kind = changed[i].kind;
		files[i].index = changed[i].index;
		file_list[i] = &files[i];
		fds[i] = changed[i].fd;
	}
	ret = vu__give_add_state(g, &offer, &state);
	if (ret)
		return ret;
	fds[nchanged] = state;
	offer.queues = list;
	offer.n_queues = g->snap.nqueues;
	offer.files = file_list;
	offer.n_files = nchanged;
	m.what_case = VU__CONTROL__HANDOVER__WHAT_OFFER;
	m.offer = &offer;
	lock_queues(c);
	g->offered = true;
	__atomic_store_n(&g->page->owner, VU__OWNER_OFFERED, __ATOMIC_SEQ_CST);
	vu__handover_step(c->d, VU__STEP_GIVE_OFFERED);
	ret = vu__handover_send(g->chan, &m, fds, nchanged + offer.state);
	unwatch_queues(c);
	return ret;
}

/* The queues as they are now, all that were set up since the description too. */
static int take_final(struct vu__control *c)
{
	struct vu__give *g = c->give;
	int ret;

	vu__snapshot_set_up(c->d, &g->snap);
	ret = vu__snapshot_queues(c->d, &g->snap);
	if (!ret)
		ret = vu__snapshot_blob(c->d, &g->snap);
	return ret;
}

/* The driver is to hear of what has ended. */
static void hushed_long_enough(struct vu__control *c)
{
	c->give->hushed = false;
	vu__control_timer(c, c->give->pause_ms - HUSH_MS);
	if (!c->give->offered)
		vu__hold_speak(c->d);
}

static void offer(struct vu__control *c)
{
	struct vu__give *g = c->give;
	struct vu__give_file changed[VU__HANDOVER_FDS];
	uint64_t now = vu__control_now();
	struct vu__obstacles o;
	int n, ret;

	vu__handover_step(c->d, VU__STEP_GIVE_DRAINED);
	n = vu__give_changed_files(c->d, g, changed);
	if (g->epoch != c->d->epoch || n < 0 || c->d->arrival.got) {
		stay(c, -EAGAIN, "the front-end has changed the device meanwhile");
		return;
	}
	vu__find_obstacles(c->d, &o);
	if (o.n) {
		stay(c, -EBUSY, "%s", o.why[0]);
		return;
	}
	for (unsigned int i = 0; i < c->d->pub->max_queues; i++)
		g->page->queues[i].offered_ns = now;
	ret = take_final(c);
	if (!ret)
		ret = send_offer(c, changed, n);
	if (ret)
		settle(c, ret, c->d->why[0] ? c->d->why : strerror(-ret));
	else
		vu__handover_step(c->d, VU__STEP_GIVE_OFFER_SENT);
}

/* --- holding --- */

static void on_drained(void *opaque)
{
	struct vu__control *c = opaque;
	struct vu__give *g = c->job == &give_job ? c->give : NULL;

	if (g && g->held && !g->offered && !vu__hold_in_flight(c->d))
		offer(c);
}

/*
 * A driver that hears of one request sends the next, and whoever serves it takes the
 * processor from those who complete the rest.  So for a while it is neither called nor
 * heard; whoever serves after that calls.
 */
static void wait_for_drain(struct vu__control *c)
{
	struct vu__give *g = c->give;

	unwatch_queues(c);
	g->hushed = g->pause_ms > HUSH_MS;
	if (g->hushed)
		vu__control_timer(c, HUSH_MS);
}

static void freeze(struct vu__control *c)
{
	struct vu__give *g = c->give;
	uint64_t now;
	int ret;

	c->d->why[0] = '\0';
	vu__control_timer(c, g->pause_ms);
	now = vu__control_now();
	for (unsigned int i = 0; i < c->d->pub->max_queues; i++)
		g->page->queues[i].frozen_ns = now;
	ret = vu__hold_begin(c->d, true, on_drained, c);
	if (ret) {
		stay(c, ret, "holding the device: %s", strerror(-ret));
		return;
	}
	g->held = true;
	vu__handover_step(c->d, VU__STEP_GIVE_FROZEN);
	if (vu__hold_in_flight(c->d))
		wait_for_drain(c);
	else
		offer(c);
}

static void on_ready_side(struct vu__control *c, const Vu__Control__Ready *m)
{
	struct vu__give *g = c->give;

	vu__handover_step(c->d, VU__STEP_GIVE_READY);
	g->page->ready_ns = vu__control_now();
	g->takes_data = m->takes_data;
	if (g->sent < g->nfiles || g->held) {
		stay(c, -EPROTO, "the new one is ready before it can be");
	} else if (g->epoch != c->d->epoch) {
		stay(c, -EAGAIN, "the front-end has changed the device meanwhile");
	} else if (g->dry_run) {
		say_refused(g->chan, "a dry run", false);
		answer_moved(c);
		free_give(c);
	} else {
		freeze(c);
	}
}

/* --- the channel --- */

static void on_packet(struct vu__control *c, const Vu__Control__Handover *m)
{
	switch (m->what_case) {
	case VU__CONTROL__HANDOVER__WHAT_READY:
		on_ready_side(c, m->ready);
		return;
	case VU__CONTROL__HANDOVER__WHAT_TAKEN:
		settle(c, -EPROTO, "the new one says it has taken what it has not");
		return;
	case VU__CONTROL__HANDOVER__WHAT_REFUSED:
		settle(c, m->refused->again ? -EAGAIN : -EREMOTEIO, m->refused->why);
		return;
	default:
		settle(c, -EPROTO, "the new one says something that is not to be said here");
	}
}

static void watch_channel(struct vu__control *c);

static void on_channel(VuDev *dev, int condition, void *data)
{
	struct vu__control *c = data;
	struct vu__handover_packet p;
	int ret;

	(void)dev;
	(void)condition;
	if (c->job != &give_job)
		return;
	if (c->give->sent < c->give->nfiles) {
		ret = vu__give_send_files(c->give);
		if (ret > 0) {
			vu__handover_step(c->d, VU__STEP_GIVE_SENT);
			watch_channel(c);
		}
	}
	ret = vu__handover_receive(c->give->chan, c->give->room, &p);
	if (ret == -EAGAIN)
		return;
	if (ret == 1) {
		on_packet(c, p.m);
		vu__handover_release(&p);
	} else {
		settle(c, ret ? ret : -ECONNRESET, "the new one is gone");
	}
}

static void watch_channel(struct vu__control *c)
{
	struct vu__give *g = c->give;
	int more = g->sent < g->nfiles ? VU_WATCH_OUT : 0;

	c->d->pub->set_watch(c->d->pub, g->chan, VU_WATCH_IN | more, on_channel, c);
}

/* --- the job --- */

static void timed_out(struct vu__control *c)
{
	struct vu__give *g = c->give;
	char why[100];

	if (g->hushed) {
		hushed_long_enough(c);
		return;
	}
	if (g->offered)
		snprintf(why, sizeof(why), "the new one has not taken it within %u ms",
			 g->pause_ms);
	else if (g->held)
		snprintf(why, sizeof(why), "%u requests were still in flight after %u ms",
			 vu__hold_in_flight(c->d), g->pause_ms);
	else
		snprintf(why, sizeof(why), "the new one was not ready within %u ms",
			 g->timeout_ms);
	settle(c, -ETIMEDOUT, why);
}

/* Without a tool there is nobody to tell; what was offered is for the new one to take. */
static void tool_lost(struct vu__control *c)
{
	if (!c->give->offered)
		stay(c, -ECANCELED, "the tool is gone");
}

static enum vu__dispatch may_dispatch(struct vu__control *c)
{
	/* A message read now would be lost to the new one. */
	return c->give->offered ? VU__DISPATCH_LATER : VU__DISPATCH;
}

/* The program ends while the offer stands: it is taken, or there is none any more. */
static void stopped(struct vu__control *c)
{
	if (c->give->offered)
		settle(c, -ECANCELED, "the old one is stopped");
}

static void ended(struct vu__control *c)
{
	struct vu__give *g = c->give;

	if (g->offered)
		(void)vu__owner_change(g->page, VU__OWNER_OFFERED, VU__OWNER_OLD_AGAIN);
	unlock_queues(c, false);
	vu__hold_end(c->d);
	free_give(c);
}

static const struct vu__job give_job = {
	.name = "a hand-over",
	.timeout = timed_out,
	.lost = tool_lost,
	.dispatch = may_dispatch,
	.stop = stopped,
	.end = ended,
};

/* --- afterwards: until the program ends the connection that is no more --- */

static void nothing(struct vu__control *c)
{
	(void)c;
}

static enum vu__dispatch is_gone(struct vu__control *c)
{
	(void)c;
	return VU__DISPATCH_END;
}

static const struct vu__job gone_job = {
	.name = "handed over",
	.timeout = nothing,
	.lost = nothing,
	.dispatch = is_gone,
	.end = nothing,
};

/* --- the request --- */

static int send_begin(struct vu__control *c)
{
	struct vu__give *g = c->give;
	Vu__Control__Handover m = VU__CONTROL__HANDOVER__INIT;
	Vu__Control__Begin b = VU__CONTROL__BEGIN__INIT;
	const struct vu_ext_ops *ext = &c->d->ext;
	uint64_t bytes;
	int fds[2] = {g->page_fd, -1};
	int ret;

	fds[1] = vu__memfile_write(&g->snap, &bytes);
	if (fds[1] < 0)
		return fds[1];
	b.version = VU__HANDOVER_VERSION;
	b.library = (char *)vu_version();
	b.files = g->nfiles;
	b.timeout_ms = g->timeout_ms;
	b.state = (char *)(ext->state_name && ext->save_state ? ext->state_name : "");
	b.state_version = ext->state_version;
	m.what_case = VU__CONTROL__HANDOVER__WHAT_BEGIN;
	m.begin = &b;
	ret = vu__handover_send(g->chan, &m, fds, 2);
	close(fds[1]);
	return ret;
}

/* A description, while queues run; sent with the files that belong to it. */
static int describe(struct vu__control *c)
{
	struct vu__give *g = c->give;
	int ret;

	g->page = vu__handover_page_new(&g->page_fd);
	if (!g->page)
		return -errno;
	g->page->asked_ns = vu__control_now();
	g->epoch = c->d->epoch;
	/* What holding needs, made before the pause. */
	ret = vu__drain_watch(c->d);
	if (!ret)
		ret = vu__snapshot_describe(c->d, &g->snap);
	if (!ret)
		ret = vu__snapshot_queues(c->d, &g->snap);
	if (!ret)
		ret = vu__give_list_files(c->d, g);
	g->snap.inventory.moment = VU__MOMENT_HANDED_OVER;
	return ret ? ret : send_begin(c);
}

static struct vu__give *new_give(const Vu__Control__Give *how, int chan)
{
	struct vu__give *g = vu__sys.calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->chan = chan;
	g->page_fd = -1;
	g->timeout_ms = VU_MAX(VU_MIN(how->timeout_ms, TIMEOUT_MAX_MS), 1u);
	g->pause_ms = VU_MAX(VU_MIN(how->pause_ms, TIMEOUT_MAX_MS), 1u);
	g->dry_run = how->dry_run;
	return g;
}

void vu__request_give(struct vu__control *c, const Vu__Control__Request *r,
		      int fds[VU__CONTROL_FDS])
{
	struct vu__obstacles o;
	int ret;

	vu__find_obstacles(c->d, &o);
	if (o.n || fds[0] < 0 || vu__is_fresh(c->d)) {
		vu__control_fail(c, o.n ? -EBUSY : -EINVAL, "%s", o.n ? o.why[0] :
				 fds[0] < 0 ? "no channel came along" :
					      "there is nothing to hand over");
		return;
	}
	c->give = new_give(r->give, fds[0]);
	if (!c->give) {
		vu__control_fail(c, -ENOMEM, "out of memory");
		return;
	}
	fds[0] = -1;
	c->job = &give_job;
	vu__handover_step(c->d, VU__STEP_GIVE_ASKED);
	vu__control_timer(c, c->give->timeout_ms);
	watch_channel(c);
	ret = describe(c);
	if (ret == -EPIPE)
		ret = 0;
	if (!ret)
		ret = VU_MIN(vu__give_send_files(c->give), 0);
	if (ret) {
		stay(c, ret, "describing the device: %s", strerror(-ret));
		return;
	}
	if (c->give->sent == c->give->nfiles)
		vu__handover_step(c->d, VU__STEP_GIVE_SENT);
	watch_channel(c);
}
