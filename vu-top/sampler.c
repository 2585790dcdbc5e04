/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames from a thread.  Everything in struct top_sampler but the collector, which is
 * the thread's, is under the lock.
 */
#include "vu-top/sampler.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/fd.h"

/* Frames are at least so far apart. */
#define CLOSEST_NS 200000000ull

struct top_sampler {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct top_collector *collector;
	int fd;
	bool stop, now, paused;
	uint64_t interval_ns;
	struct top_want want;
	struct top_frame *frame; /* to be taken */
	int error;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static struct timespec at(uint64_t ns)
{
	return (struct timespec){ns / 1000000000u, ns % 1000000000u};
}

/* Waits, under the lock, until a frame is due; false: to stop. */
static bool wait_until_due(struct top_sampler *s, uint64_t last)
{
	while (!s->stop) {
		uint64_t now = now_ns(), due = last + s->interval_ns, until;
		struct timespec ts;

		if (s->now)
			due = VU_MIN(due, last + VU_MIN(CLOSEST_NS, s->interval_ns));
		if (now >= due && !s->frame && (!s->paused || s->now))
			return true;
		/* 16-bit indices of back-ends that tell nothing must not go round unseen. */
		until = now + top_collect_tick_ms(s->collector) * 1000000ull;
		ts = at(s->frame || s->paused ? until : VU_MIN(until, VU_MAX(due, now + 1)));
		if (pthread_cond_timedwait(&s->changed, &s->lock, &ts) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&s->lock);
		top_collect_tick(s->collector);
		pthread_mutex_lock(&s->lock);
	}
	return false;
}

static void hand_over(struct top_sampler *s, struct top_frame *f, int error)
{
	uint64_t one = 1;

	s->frame = f;
	s->error = error;
	(void)!write(s->fd, &one, sizeof(one));
}

static void *run(void *data)
{
	struct top_sampler *s = data;
	uint64_t last = 0;

	pthread_mutex_lock(&s->lock);
	while (wait_until_due(s, last)) {
		struct top_want want;
		struct top_frame *f = NULL;
		int ret = top_want_copy(&want, &s->want);

		s->now = false;
		pthread_mutex_unlock(&s->lock);
		last = now_ns();
		if (!ret) {
			ret = top_collect(s->collector, &want, &f);
			top_want_release(&want);
		}
		pthread_mutex_lock(&s->lock);
		hand_over(s, f, ret);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static int start(struct top_sampler *s)
{
	sigset_t all, before;
	int ret;

	/* Signals are for the thread that draws. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -ret;
}

struct top_sampler *top_sampler_new(const struct vu__sample_options *options,
				    uint64_t interval_ns)
{
	struct top_sampler *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int ret = 0;

	if (!s)
		return NULL;
	s->interval_ns = interval_ns;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->fd < 0)
		ret = -errno;
	if (!ret) {
		s->collector = top_collector_new(options);
		ret = s->collector ? start(s) : -errno;
	}
	if (!ret)
		return s;
	top_collector_free(s->collector);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
	errno = -ret;
	return NULL;
}

void top_sampler_free(struct top_sampler *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	top_collector_free(s->collector);
	top_want_release(&s->want);
	top_frame_put(s->frame);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	close(s->fd);
	free(s);
}

void top_sampler_want(struct top_sampler *s, struct top_want *want)
{
	struct top_want old;

	pthread_mutex_lock(&s->lock);
	old = s->want;
	s->want = *want;
	pthread_mutex_unlock(&s->lock);
	memset(want, 0, sizeof(*want));
	top_want_release(&old);
}

void top_sampler_interval(struct top_sampler *s, uint64_t interval_ns)
{
	pthread_mutex_lock(&s->lock);
	s->interval_ns = interval_ns;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void top_sampler_now(struct top_sampler *s)
{
	pthread_mutex_lock(&s->lock);
	s->now = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void top_sampler_pause(struct top_sampler *s, bool pause)
{
	pthread_mutex_lock(&s->lock);
	s->paused = pause;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

int top_sampler_fd(const struct top_sampler *s)
{
	return s->fd;
}

struct top_frame *top_sampler_take(struct top_sampler *s, int *error)
{
	struct top_frame *f;
	uint64_t value;

	pthread_mutex_lock(&s->lock);
	(void)!read(s->fd, &value, sizeof(value));
	f = s->frame;
	*error = s->error;
	s->frame = NULL;
	s->error = 0;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return f;
}
