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

static void serve_events(struct queue *q, const struct pollfd *fds)
{
	if (fds[1].revents) {
		drain_event(q->ring_event);
		requests_complete(q, false);
	}
	if (fds[0].revents)
		(void)vu_read_kick(&q->blk->dev, &q->blk->dev.vq[q->idx]);
	requests_serve(q);
}

static void *queue_thread(void *opaque)
{
	struct queue *q = opaque;
	struct pollfd fds[3] = {
		{.fd = q->blk->dev.vq[q->idx].kick_fd, .events = POLLIN},
		{.fd = q->ring_event, .events = POLLIN},
		{.fd = q->stop_event, .events = POLLIN},
	};

	while (!__atomic_load_n(&q->stop, __ATOMIC_ACQUIRE)) {
		if (poll(fds, 3, fds[0].fd < 0 ? POLL_MS : -1) < 0 && errno != EINTR)
			break;
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

static bool start_thread(struct queue *q)
{
	int err;

	q->stop = false;
	q->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->stop_event < 0) {
		say("queue %d: eventfd: %s", q->idx, strerror(errno));
		return false;
	}
	err = pthread_create(&q->thread, NULL, queue_thread, q);
	if (err) {
		say("queue %d: thread: %s", q->idx, strerror(err));
		close(q->stop_event);
		return false;
	}
	return true;
}

static void stop_thread(struct queue *q)
{
	uint64_t one = 1;

	__atomic_store_n(&q->stop, true, __ATOMIC_RELEASE);
	if (write(q->stop_event, &one, sizeof(one)) < 0)
		say("queue %d: waking its thread: %s", q->idx, strerror(errno));
	pthread_join(q->thread, NULL);
	close(q->stop_event);
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
	struct blk *b = q->blk;
	VuVirtq *vq = &b->dev.vq[q->idx];

	if (loop_set(b->loop, q->ring_event, POLLIN, on_completion, q)) {
		say("queue %d: %s", q->idx, strerror(errno));
		return false;
	}
	if (vq->kick_fd < 0 && !poll_by_timer(q)) {
		close_timer(q);
		loop_remove(b->loop, q->ring_event);
		return false;
	}
	vu_set_queue_handler(&b->dev, vq, on_kick);
	return true;
}

void queue_start(struct queue *q)
{
	struct blk *b = q->blk;
	bool ok;

	if (q->running || !open_ring(q))
		return;
	if (!b->running)
		image_take_over(&b->image);
	q->cancelling = false;
	ok = b->opt->threads ? start_thread(q) : join_loop(q);
	if (!ok)
		close_ring(q);
	q->running = ok;
	b->running += ok;
	say_verbose(b->opt, "queue %d %s", q->idx, ok ? "started" : "could not be started");
}

void queue_stop(struct queue *q)
{
	struct blk *b = q->blk;

	if (!q->running)
		return;
	q->running = false;
	if (b->opt->threads) {
		stop_thread(q);
	} else {
		vu_set_queue_handler(&b->dev, &b->dev.vq[q->idx], NULL);
		loop_remove(b->loop, q->ring_event);
		close_timer(q);
	}
	requests_complete(q, true);
	close_ring(q);
	if (!--b->running)
		image_hand_over(&b->image);
	say_verbose(b->opt, "queue %d stopped", q->idx);
}
