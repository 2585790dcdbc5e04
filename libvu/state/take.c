/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The new side of a hand-over.  Its device is fresh: the front-end that its program sees
 * is the tool, which goes away.  It becomes the old one's, all but the queues' start;
 * takes the device when it is offered; serves.  If anything fails before, the program
 * sees its front-end leave.  Control thread.
 */
#include "state/take.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "state/memfile.h"
#include "state/obstacles.h"
#include "state/restore.h"
#include "state/swap.h"

#define TIMEOUT_MAX_MS 600000u
#define GONE_MS	       1000u /* until an old one that does not let go is not waited for */

static const struct vu__job take_job, serving_job;

static int refuse(struct vu__control *c, int err)
{
	return c->d->why[0] ? err : vu__refuse(c->d, err, "%s", strerror(-err));
}

/* --- the end --- */

static void free_take(struct vu__control *c)
{
	struct vu__take *t = c->take;

	vu__control_unwatch(c, &t->chan);
	vu__control_unwatch(c, &t->work);
	vu__handover_page_free(t->page);
	vu__take_close_files(t);
	free(t->regions);
	vu__snap_release(&t->snap);
	/* The event loop's front-end leaves with its other end. */
	if (t->quiet >= 0)
		close(t->quiet);
	free(t);
	vu__control_done(c);
}

/* It was not to be; the old one goes on. */
static void give_up(struct vu__control *c, int err, const char *fmt, ...) VU_PRINTF(3, 4);
static void give_up(struct vu__control *c, int err, const char *fmt, ...)
{
	Vu__Control__Handover m = VU__CONTROL__HANDOVER__INIT;
	Vu__Control__Refused refused = VU__CONTROL__REFUSED__INIT;
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	refused.why = why;
	refused.again = err == -EAGAIN;
	m.what_case = VU__CONTROL__HANDOVER__WHAT_REFUSED;
	m.refused = &refused;
	(void)vu__handover_send(c->take->chan, &m, NULL, 0);
	vu__handover_failed(c->d, err, why);
	vu__warn("not taken over: %s", why);
	vu__control_fail(c, err, "%s", why);
	free_take(c);
}

/* --- serving --- */

static void fill_pauses(struct vu__control *c, Vu__Control__Moved *moved,
			Vu__Control__Moved__Pause *all, Vu__Control__Moved__Pause **list)
{
	const struct vu__take *t = c->take;

	moved->pauses = list;
	for (unsigned int i = 0; i < c->d->pub->max_queues; i++) {
		const struct vu__handover_times *times = &t->page->queues[i];
		Vu__Control__Moved__Pause *p = &all[moved->n_pauses];

		if (!c->d->pub->vq[i].started)
			continue;
		vu__control__moved__pause__init(p);
		p->queue = i;
		p->frozen_ns = times->frozen_ns;
		p->offered_ns = times->offered_ns;
		p->served_ns = times->served_ns;
		list[moved->n_pauses++] = p;
	}
}

/* Once, when the tool may ask for the next thing, or when the old one takes its time. */
static void answer_moved(struct vu__control *c)
{
	Vu__Control__Reply reply = VU__CONTROL__REPLY__INIT;
	Vu__Control__Moved moved = VU__CONTROL__MOVED__INIT;
	Vu__Control__Moved__Pause all[VU__MAX_QUEUES], *list[VU__MAX_QUEUES];

	if (c->take->answered)
		return;
	c->take->answered = true;
	fill_pauses(c, &moved, all, list);
	moved.prepared_ns = c->take->page->ready_ns - c->take->page->asked_ns;
	moved.listener = c->take->with_listener;
	reply.what_case = VU__CONTROL__REPLY__WHAT_MOVED;
	reply.moved = &moved;
	vu__control_reply(c, &reply, NULL, 0);
}

/* The connection with the real front-end, in the place of the one the program knows. */
static void use_socket(struct vu__control *c)
{
	struct vu__take *t = c->take;
	int ret = vu__fd_swap(c->d->pub->sock, t->sock);

	if (ret)
		vu__error("taken over, but the event loop may not hear the front-end: %s",
			  strerror(-ret));
	close(t->sock);
	t->sock = -1;
	close(t->quiet);
	t->quiet = -1;
}

static void start_queues(struct vu__control *c)
{
	struct vu__take *t = c->take;

	for (uint32_t i = 0; i < t->snap.nqueues; i++) {
		const struct vu__snap_queue *q = &t->snap.queues[i];

		if (!q->started)
			continue;
		if (vu__take_start_queue(c, q))
			vu__error("queue %u was taken over but not started: %s", q->index,
				  c->d->why);
		t->page->queues[q->index].served_ns = vu__control_now();
	}
}

/* What was kicked for, the old one may have heard. */
static void look_at_all(struct vu__dev *d)
{
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (d->queues[i].ring.can_push)
			vu__queue_kick_self(&d->queues[i]);
	}
}

/* What of a queue is not to prolong the pause, of its own nor of others. */
static void finish_queue(struct vu__queue *q)
{
	if (!vu__queue_pub(q)->started)
		return;
	/* Others learned that the driver may not have been called before. */
	if (vu__queue_is_whole(q))
		vu__queue_call_self(q);
	vu__show_eventfds(q);
	vu__show_queue(q);
}

static void finish_device(struct vu__control *c)
{
	struct vu__take *t = c->take;

	use_socket(c);
	vu__show_connection(c->d);
	vu__show_device(c->d);
	vu__info("taken over from another process");
	if (c->d->ext.adopt)
		c->d->ext.adopt(c->d->pub, vu__steal_fd(&t->listener));
}

/*
 * The old one has let go.  A thread of its own may have read a kick as its last act, so
 * all is looked at once more.
 */
static void done(struct vu__control *c)
{
	answer_moved(c);
	look_at_all(c->d);
	vu__handover_step(c->d, VU__STEP_TAKE_DONE);
	free_take(c);
}

/* The next of what had time; queues are served between one and the next. */
static void finish_next(struct vu__control *c)
{
	struct vu__take *t = c->take;
	unsigned int max = c->d->pub->max_queues;

	while (t->rest < max && !c->d->pub->vq[t->rest].started)
		t->rest++;
	if (t->rest < max) {
		finish_queue(&c->d->queues[t->rest++]);
		return;
	}
	vu__control_unwatch(c, &t->work);
	finish_device(c);
	t->finished = true;
	if (t->released)
		done(c);
}

static void on_rest(VuDev *dev, int condition, void *data)
{
	struct vu__control *c = data;

	(void)dev;
	(void)condition;
	if (c->job == &serving_job && !c->take->finished)
		finish_next(c);
}

static void serve(struct vu__control *c)
{
	Vu__Control__Handover m = VU__CONTROL__HANDOVER__INIT;
	Vu__Control__Taken taken = VU__CONTROL__TAKEN__INIT;
	struct vu__take *t = c->take;

	t->owner = true;
	t->with_listener = t->listener >= 0;
	vu__handover_step(c->d, VU__STEP_TAKE_OWNER);
	c->d->hurry = true;
	start_queues(c);
	c->d->hurry = false;
	look_at_all(c->d);
	vu__handover_step(c->d, VU__STEP_TAKE_LIVE);
	m.what_case = VU__CONTROL__HANDOVER__WHAT_TAKEN;
	m.taken = &taken;
	/* If the old one does not hear this, it finds out from the word. */
	(void)vu__handover_send(t->chan, &m, NULL, 0);
	vu__handover_step(c->d, VU__STEP_TAKE_SAID);
	c->job = &serving_job;
	vu__control_timer(c, GONE_MS);
	c->d->pub->set_watch(c->d->pub, t->work, VU_WATCH_IN, on_rest, c);
}

/* --- the offer --- */

static void on_offer(struct vu__control *c, struct vu__handover_packet *p)
{
	struct vu__take *t = c->take;
	int ret;

	vu__handover_step(c->d, VU__STEP_TAKE_OFFER_SEEN);
	c->d->why[0] = '\0';
	ret = t->ready ? vu__take_check_offer(c, p) : -EPROTO;
	if (ret)
		give_up(c, ret, "%s", refuse(c, ret) ? c->d->why : "");
	else if (vu__owner_change(t->page, VU__OWNER_OFFERED, VU__OWNER_NEW))
		serve(c);
	else
		give_up(c, -ECANCELED, "the old one has withdrawn its offer");
}

/* --- getting ready --- */

static void say_ready(struct vu__control *c)
{
	Vu__Control__Handover m = VU__CONTROL__HANDOVER__INIT;
	Vu__Control__Ready ready = VU__CONTROL__READY__INIT;
	int ret;

	/* Until there is work again. */
	c->d->pub->remove_watch(c->d->pub, c->take->work);
	c->d->why[0] = '\0';
	ret = vu__take_rehearse(c);
	if (ret) {
		give_up(c, ret, "%s", refuse(c, ret) ? c->d->why : "");
		return;
	}
	ready.takes_data = true;
	m.what_case = VU__CONTROL__HANDOVER__WHAT_READY;
	m.ready = &ready;
	c->take->ready = true;
	vu__handover_step(c->d, VU__STEP_TAKE_MAPPED);
	ret = vu__handover_send(c->take->chan, &m, NULL, 0);
	if (ret)
		give_up(c, ret, "the old one is gone: %s", strerror(-ret));
	else
		vu__handover_step(c->d, VU__STEP_TAKE_READY);
}

static void on_populate(VuDev *dev, int condition, void *data)
{
	struct vu__control *c = data;

	(void)dev;
	(void)condition;
	if (c->job == &take_job && !c->take->ready && !vu__take_populate(c))
		say_ready(c);
}

/* Everything has come: becomes the device, and maps in its memory from the event loop. */
static void prepare(struct vu__control *c)
{
	struct vu__take *t = c->take;
	int ret = t->sock < 0 ? vu__refuse(c->d, -EPROTO, "the connection did not come") :
				vu__take_set_up(c);

	if (ret) {
		give_up(c, ret, "%s", refuse(c, ret) ? c->d->why : "");
		return;
	}
	vu__handover_step(c->d, VU__STEP_TAKE_RECEIVED);
	t->work = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->work < 0)
		give_up(c, -errno, "eventfd: %s", strerror(errno));
	else
		c->d->pub->set_watch(c->d->pub, t->work, VU_WATCH_IN, on_populate, c);
}

static int check_begin(struct vu__control *c, const Vu__Control__Begin *b)
{
	const struct vu_ext_ops *ext = &c->d->ext;
	struct vu__take *t = c->take;
	struct vu__snap *s = &t->snap;

	if (b->version != VU__HANDOVER_VERSION)
		return vu__refuse(c->d, -EPROTONOSUPPORT, "libvu %s hands over by version %u, "
				  "libvu %s takes version %d", b->library, b->version,
				  vu_version(), VU__HANDOVER_VERSION);
	if (b->state[0] && (!ext->state_name || !ext->load_state ||
			    strcmp(ext->state_name, b->state)))
		return vu__refuse(c->d, -ENOTSUP, "the old one has state of '%s', this device "
				  "does not take it", b->state);
	/* Its state comes with the offer. */
	s->blob.present = b->state[0];
	s->blob.version = b->state_version;
	snprintf(s->blob.name, sizeof(s->blob.name), "%s", b->state);
	return vu__snap_fits(s, c->d, false);
}

static int on_begin(struct vu__control *c, struct vu__handover_packet *p)
{
	struct vu__take *t = c->take;
	int ret;

	if (t->page || p->nfds != 2)
		return vu__refuse(c->d, -EPROTO, "a beginning with %u descriptors", p->nfds);
	t->page = vu__handover_page_map(p->fds[0], c->d->why, sizeof(c->d->why));
	if (!t->page)
		return -EPROTO;
	ret = vu__memfile_read(p->fds[1], &t->snap, c->d->why, sizeof(c->d->why));
	if (!ret)
		ret = check_begin(c, p->m->begin);
	if (ret)
		return ret;
	t->expected = p->m->begin->files;
	t->regions = vu__sys.calloc(t->snap.nregions + 1, sizeof(*t->regions));
	if (!t->regions)
		return -ENOMEM;
	memset(t->regions, 0xff, t->snap.nregions * sizeof(*t->regions));
	return 0;
}

static int on_files(struct vu__control *c, struct vu__handover_packet *p)
{
	const Vu__Control__Files *f = p->m->files;
	struct vu__take *t = c->take;

	if (!t->page || f->n_files != p->nfds || p->nfds > t->expected - t->got)
		return vu__refuse(c->d, -EPROTO, "%u descriptors for %zu files", p->nfds,
				  f->n_files);
	for (unsigned int i = 0; i < p->nfds; i++) {
		if (vu__take_file(t, f->files[i], p->fds[i]))
			return vu__refuse(c->d, -EPROTO, "a file of kind %d, index %u",
					  f->files[i]->kind, f->files[i]->index);
		p->fds[i] = -1;
	}
	t->got += p->nfds;
	return 0;
}

/* --- the channel --- */

/* That it has let go, or that it has ended, which is the same. */
static void released(struct vu__control *c)
{
	struct vu__take *t = c->take;

	t->released = true;
	if (t->finished)
		done(c);
	else
		vu__control_unwatch(c, &t->chan);
}

static void on_packet(struct vu__control *c, struct vu__handover_packet *p)
{
	struct vu__take *t = c->take;
	int ret;

	c->d->why[0] = '\0';
	switch (p->m->what_case) {
	case VU__CONTROL__HANDOVER__WHAT_BEGIN:
		ret = on_begin(c, p);
		break;
	case VU__CONTROL__HANDOVER__WHAT_FILES:
		ret = on_files(c, p);
		break;
	case VU__CONTROL__HANDOVER__WHAT_OFFER:
		on_offer(c, p);
		return;
	case VU__CONTROL__HANDOVER__WHAT_REFUSED:
		give_up(c, p->m->refused->again ? -EAGAIN : -ECANCELED, "the old one: %s",
			p->m->refused->why);
		return;
	default:
		ret = vu__refuse(c->d, -EPROTO, "what the old one says is not known here");
	}
	if (ret)
		give_up(c, ret, "%s", refuse(c, ret) ? c->d->why : "");
	else if (t->page && t->got == t->expected)
		prepare(c);
}

static void on_channel(VuDev *dev, int condition, void *data)
{
	struct vu__control *c = data;
	struct vu__handover_packet p;
	int ret;

	(void)dev;
	(void)condition;
	if (c->job != &take_job && c->job != &serving_job)
		return;
	ret = vu__handover_receive(c->take->chan, c->take->room, &p);
	if (ret == -EAGAIN)
		return;
	if (c->job == &serving_job)
		released(c);
	else if (ret == 1)
		on_packet(c, &p);
	else
		give_up(c, ret ? ret : -ECONNRESET, "the old one is gone");
	if (ret == 1)
		vu__handover_release(&p);
}

/* --- the jobs --- */

static void timed_out(struct vu__control *c)
{
	give_up(c, -ETIMEDOUT, "the old one has not offered the device in time");
}

static void nothing(struct vu__control *c)
{
	(void)c;
}

static const struct vu__job take_job = {
	.name = "taking over",
	.timeout = timed_out,
	.lost = nothing,
	.end = free_take,
};

/* It serves; only that the old one has let go is still to be heard. */
static const struct vu__job serving_job = {
	.name = "taking over",
	.timeout = answer_moved,
	.lost = nothing,
	.end = free_take,
};

/* --- the request --- */

/*
 * The tool is our front-end and goes away; the program must not notice.  What it watches
 * becomes a connection of our own, on which nothing comes.
 */
static int quieten(struct vu__control *c)
{
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	ret = vu__fd_swap(c->d->pub->sock, pair[0]);
	close(pair[0]);
	if (ret)
		close(pair[1]);
	else
		c->take->quiet = pair[1];
	return ret;
}

static struct vu__take *new_take(int chan)
{
	struct vu__take *t = vu__sys.calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->chan = chan;
	t->sock = t->listener = t->channel = t->log = t->log_call = t->inflight = -1;
	t->quiet = t->work = -1;
	memset(t->queues, 0xff, sizeof(t->queues));
	return t;
}

static void say_waiting(struct vu__control *c)
{
	Vu__Control__Reply reply = VU__CONTROL__REPLY__INIT;
	Vu__Control__Progress progress = VU__CONTROL__PROGRESS__INIT;

	progress.step = (char *)vu__step_name(VU__STEP_TAKE_ASKED);
	reply.what_case = VU__CONTROL__REPLY__WHAT_PROGRESS;
	reply.progress = &progress;
	vu__control_reply(c, &reply, NULL, 0);
}

void vu__request_take(struct vu__control *c, const Vu__Control__Request *r,
		      int fds[VU__CONTROL_FDS])
{
	int ret;

	if (fds[0] < 0 || !vu__is_fresh(c->d) || c->d->expect) {
		vu__control_fail(c, fds[0] < 0 ? -EINVAL : -EBUSY, "%s",
				 fds[0] < 0	? "no channel came along" :
				 c->d->expect	? "a restored image waits for its front-end" :
						  "it serves a front-end");
		return;
	}
	c->take = new_take(fds[0]);
	if (!c->take) {
		vu__control_fail(c, -ENOMEM, "out of memory");
		return;
	}
	fds[0] = -1;
	c->job = &take_job;
	ret = quieten(c);
	if (ret) {
		give_up(c, ret, "its event loop: %s", strerror(-ret));
		return;
	}
	vu__control_timer(c, VU_MAX(VU_MIN(r->take->timeout_ms, TIMEOUT_MAX_MS), 1u));
	c->d->pub->set_watch(c->d->pub, c->take->chan, VU_WATCH_IN, on_channel, c);
	say_waiting(c);
	vu__handover_step(c->d, VU__STEP_TAKE_ASKED);
}
