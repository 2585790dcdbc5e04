/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When a queue is served: from the one event loop, or from a thread of its own.  A
 * thread holds its queue's lock while it is inside the library; the library's quiesce
 * takes it.
 */
#include "blk/blk.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* How often a ring is looked at whose driver does not kick. */
#define POLL_MS 1

static void drain_event(int fd)
{
	uint64_t value;

	while (read(fd, &value, sizeof(value)) < 0 && errno == EINTR)
		;
}

/* --- in the event loop --- */

static void on_kick(VuDev *dev, int qidx)
{
	requests_serve(&((struct blk *)dev)->queues[qidx]);
}

static void on_completion(void *opaque, int fd, uint32_t events)
{
	struct queue *q = opaque;

	(void)events;
	drain_event(fd);
	requests_complete(q, false);
	requests_serve(q);
}

static void on_poll_timer(void *opaque, int fd, uint32_t events)
{
	(void)events;
	drain_event(fd);
	requests_serve(opaque);
}

/* Without a kick eventfd the ring is to be polled ("VHOST_USER_SET_VRING_KICK"). */
static bool poll_by_timer(struct queue *q)
{
	struct itimerspec every = {{.tv_nsec = POLL_MS * 1000000}, {.tv_nsec = 1}};

	q->poll_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (q->poll_timer >= 0 && !timerfd_settime(q->poll_timer, 0, &every, NULL) &&
	    !loop_set(q->blk->loop, q->poll_timer, POLLIN, on_poll_timer, q))
		return true;
	say("queue %d: timer: %s", q->idx, strerror(errno));
	return false;
}

static void close_timer(struct queue *q)
{
	if (q->poll_timer < 0)
		return;
	loop_remove(q->blk->loop, q->poll_timer);
	close(q->poll_timer);
	q->poll_timer = -1;
}

/* --- in a thread --- */

/* A kick is ours only as long as the queue is: another process may have it now. */
static void serve_events(struct queue *q, const struct pollfd *fds)
{
	VuDev *dev = &q->blk->dev;

	if (fds[1].revents) {
		drain_event(q->ring_event);
		requests_complete(q, false);
	}
	if (!q->go || !vu_queue_started(dev, &dev->vq[q->idx]))
		return;
	if (fds[0].revents)
		(void)vu_read_kick(&q->blk->dev, &q->blk->dev.vq[q->idx]);
	requests_serve(q);
}

/* What to wait for, and how long: without a kick eventfd the ring is to be polled. */
static int look_for(struct queue *q, struct pollfd fds[3])
{
	bool go;

	pthread_mutex_lock(&q->lock);
	go = q->go;
	fds[0] = (struct pollfd){.fd = go ? q->kick : -1, .events = POLLIN};
	pthread_mutex_unlock(&q->lock);
	fds[1] = (struct pollfd){.fd = q->ring_event, .events = POLLIN};
	fds[2] = (struct pollfd){.fd = q->wake_event, .events = POLLIN};
	return go && fds[0].fd < 0 ? POLL_MS : -1;
}

static void *queue_thread(void *opaque)
{
	struct queue *q = opaque;

	while (!__atomic_load_n(&q->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd fds[3];
		int timeout = look_for(q, fds);

		if (poll(fds, 3, timeout) < 0 && errno != EINTR)
			break;
		if (fds[2].revents)
			drain_event(q->wake_event);
		pthread_mutex_lock(&q->lock);
		serve_events(q, fds);
		pthread_mutex_unlock(&q->lock);
	}
	/* What a thread has in its ring when it ends fails, with EFAULT at best. */
	pthread_mutex_lock(&q->lock);
	requests_complete(q, true);
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

static void wake_thread(struct queue *q)
{
	uint64_t one = 1;

	if (write(q->wake_event, &one, sizeof(one)) < 0)
		say("queue %d: waking its thread: %s", q->idx, strerror(errno));
}

static bool start_thread(struct queue *q)
{
	int err;

	q->stop = false;
	q->go = false;
	q->wake_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->wake_event < 0) {
		say("queue %d: eventfd: %s", q->idx, strerror(errno));
		return false;
	}
	err = pthread_create(&q->thread, NULL, queue_thread, q);
	if (err) {
		say("queue %d: thread: %s", q->idx, strerror(err));
		close(q->wake_event);
		return false;
	}
	return true;
}

static void stop_thread(struct queue *q)
{
	__atomic_store_n(&q->stop, true, __ATOMIC_RELEASE);
	wake_thread(q);
	pthread_join(q->thread, NULL);
	close(q->wake_event);
}

/* The queue runs: there is a ring to look at, and perhaps a kick to wait for. */
static bool let_thread_go(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->kick = q->blk->dev.vq[q->idx].kick_fd;
	q->go = true;
	pthread_mutex_unlock(&q->lock);
	wake_thread(q);
	return true;
}

/* --- both --- */

static bool open_ring(struct queue *q)
{
	int ret = io_uring_queue_init(q->blk->opt->depth, &q->ring, 0);

	if (ret) {
		say("queue %d: io_uring: %s", q->idx, strerror(-ret));
		return false;
	}
	q->ring_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->ring_event >= 0)
		ret = io_uring_register_eventfd(&q->ring, q->ring_event);
	if (q->ring_event < 0 || ret) {
		say("queue %d: io_uring eventfd: %s", q->idx, strerror(ret ? -ret : errno));
		if (q->ring_event >= 0)
			close(q->ring_event);
		io_uring_queue_exit(&q->ring);
		return false;
	}
	return true;
}

static void close_ring(struct queue *q)
{
	io_uring_queue_exit(&q->ring);
	close(q->ring_event);
}

static bool join_loop(struct queue *q)
{
	if (!loop_set(q->blk->loop, q->ring_event, POLLIN, on_completion, q))
		return true;
	say("queue %d: %s", q->idx, strerror(errno));
	return false;
}

static bool serve_in_loop(struct queue *q)
{
	VuDev *dev = &q->blk->dev;
	VuVirtq *vq = &dev->vq[q->idx];

	if (vq->kick_fd < 0 && !poll_by_timer(q)) {
		close_timer(q);
		return false;
	}
	vu_set_queue_handler(dev, vq, on_kick);
	return true;
}

bool queue_prepare(struct queue *q)
{
	bool ok;

	if (q->prepared)
		return true;
	if (!open_ring(q))
		return false;
	q->cancelling = false;
	ok = q->blk->opt->threads ? start_thread(q) : join_loop(q);
	if (!ok)
		close_ring(q);
	q->prepared = ok;
	return ok;
}

void queue_start(struct queue *q)
{
	struct blk *b = q->blk;

	if (q->running)
		return;
	/* One that was prepared comes from a process of this host, with the same cache. */
	if (!b->running && !q->prepared)
		image_take_over(&b->image);
	q->running = queue_prepare(q) &&
		     (b->opt->threads ? let_thread_go(q) : serve_in_loop(q));
	b->running += q->running;
	say_verbose(b->opt, "queue %d %s", q->idx,
		    q->running ? "started" : "could not be started");
}

void queue_stop(struct queue *q)
{
	struct blk *b = q->blk;

	if (!q->prepared)
		return;
	if (b->opt->threads) {
		stop_thread(q);
	} else {
		if (q->running)
			vu_set_queue_handler(&b->dev, &b->dev.vq[q->idx], NULL);
		loop_remove(b->loop, q->ring_event);
		close_timer(q);
	}
	requests_complete(q, true);
	close_ring(q);
	q->prepared = false;
	if (!q->running)
		return;
	q->running = false;
	if (!--b->running)
		image_hand_over(&b->image);
	say_verbose(b->opt, "queue %d stopped", q->idx);
}
