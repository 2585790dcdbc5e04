/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of a destination.  The test's thread, and one for a queue. */
#include "tests/lib/postcopy.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"

uint8_t post_byte(uint64_t gpa)
{
	return (uint8_t)(gpa * 7 + (gpa >> 12) * 13 + 1);
}

uint64_t post_out(const struct post *t, unsigned int i)
{
	/* Requests of huge pages have pages of their own, too. */
	uint64_t step = t->page > 4096 ? t->page : 8192;

	return (t->page > 4096 ? t->page : 0x80000) + 2 * step * i + 100;
}

uint64_t post_in(const struct post *t, unsigned int i)
{
	return post_out(t, i) + (t->page > 4096 ? t->page : 8192);
}

void post_submit(struct post *t)
{
	struct vu_frontend_buf bufs[2] = {{post_out(t, t->sent), POST_LEN, false},
					  {post_in(t, t->sent), POST_LEN, true}};

	assert_int_equal(vu_frontend_submit(t->q, bufs, 2, t->sent), 0);
	t->sent++;
}

static void make_memory(struct post *t, unsigned int flags)
{
	uint64_t page = flags & VU_FRONTEND_HUGEPAGES ? 2 << 20 : 4096;
	uint64_t size = VU_MAX(16 * page, 1ull << 20);
	uint8_t *mem;

	assert_int_equal(vu_frontend_add_memory(t->p->fe, 0, size, flags), 0);
	mem = vu_frontend_ptr(t->p->fe, 0, size);
	for (uint64_t i = 0; i < size; i++)
		mem[i] = post_byte(i);
}

struct post *post_new(const struct pair_options *opt, unsigned int flags,
		      unsigned int requests)
{
	struct post *t = calloc(1, sizeof(*t));
	int ufd;

	assert_non_null(t);
	t->p = pair_new(opt);
	check_ok(t->p, vu_frontend_negotiate(t->p->fe,
					     PAIR_ALL & ~VU_BIT(VU__F_NOTIFY_ON_EMPTY),
					     PAIR_ALL));
	make_memory(t, flags);
	t->f = faults_new();
	t->q = vu_frontend_queue_new(t->p->fe, 0, 32, POST_RING);
	assert_non_null(t->q);
	t->page = flags & VU_FRONTEND_HUGEPAGES ? 2 << 20 : 4096;
	while (t->sent < requests)
		post_submit(t);
	faults_take(t->f, t->p->fe, 0);
	assert_int_equal(t->f->regions[0].page, t->page);
	check_ok(t->p, vu_frontend_postcopy_advise(t->p->fe, &ufd));
	faults_set_ufd(t->f, ufd);
	check_ok(t->p, vu_frontend_postcopy_listen(t->p->fe));
	return t;
}

void post_free(struct post *t)
{
	/* Both count their fds: the inner one first. */
	faults_free(t->f);
	pair_free(t->p);
	free(t);
}

void post_share(struct post *t)
{
	check_ok(t->p, vu_frontend_share_memory(t->p->fe));
	for (unsigned int i = 0; i < t->f->n; i++) {
		struct vu_frontend_region r;

		assert_int_equal(vu_frontend_region(t->p->fe, i, &r), 0);
		faults_set_base(t->f, i, r.backend);
	}
}

void post_run(struct post *t)
{
	post_share(t);
	check_ok(t->p, vu_frontend_postcopy_ack(t->p->fe, 0));
	faults_start(t->f);
	check_ok(t->p, vu_frontend_queue_start(t->q, 0));
	assert_true(vu_frontend_kick(t->q) >= 0);
}

bool post_completed(struct post *t, int ms)
{
	uint64_t token = 0;
	uint32_t len = 0;
	const uint8_t *in;

	if (vu_frontend_wait(t->q, ms))
		return false;
	assert_int_equal(vu_frontend_reap(t->q, &token, &len), 1);
	assert_true(token < t->sent);
	assert_int_equal(len, POST_LEN);
	in = vu_frontend_ptr(t->p->fe, post_in(t, token), POST_LEN + 1);
	for (unsigned int i = 0; i < POST_LEN; i++)
		assert_int_equal(in[i], post_byte(post_out(t, token) + i));
	/* What is beside it on the page has come from the source. */
	assert_int_equal(in[-1], post_byte(post_in(t, token) - 1));
	assert_int_equal(in[POST_LEN], post_byte(post_in(t, token) + POST_LEN));
	t->reaped++;
	return true;
}

void post_finish(struct post *t)
{
	while (t->reaped < t->sent) {
		if (!post_completed(t, 5000))
			fail_msg("request %u of %u was not completed", t->reaped,
				 t->sent);
	}
}

/* --- the thread --- */

static pthread_mutex_t worker_lock = PTHREAD_MUTEX_INITIALIZER;

static void quiesce(VuDev *dev, int qidx)
{
	(void)dev, (void)qidx;
	pthread_mutex_lock(&worker_lock);
}

static void resume(VuDev *dev, int qidx)
{
	(void)dev, (void)qidx;
	pthread_mutex_unlock(&worker_lock);
}

const struct vu_ext_ops worker_ops = {
	.size = sizeof(worker_ops),
	.quiesce = quiesce,
	.resume = resume,
};

static void serve(struct worker *w)
{
	VuDev *dev = &w->p->dev;
	VuVirtq *vq = &dev->vq[0];
	VuVirtqElement *e;

	while ((e = vu_queue_pop(dev, vq, sizeof(*e)))) {
		w->popped++;
		memcpy(e->in_sg[0].iov_base, e->out_sg[0].iov_base,
		       VU_MIN(e->in_sg[0].iov_len, e->out_sg[0].iov_len));
		vu_queue_push(dev, vq, e, POST_LEN);
		free(e);
	}
	vu_queue_notify(dev, vq);
}

static void *work(void *opaque)
{
	struct worker *w = opaque;
	struct pollfd fds[2] = {{.fd = w->stop, .events = POLLIN},
				{.fd = w->p->dev.vq[0].kick_fd, .events = POLLIN}};
	uint64_t value;

	for (;;) {
		poll(fds, 2, -1);
		if (fds[0].revents)
			return NULL;
		pthread_mutex_lock(&worker_lock);
		vu__event_consume(fds[1].fd, &value);
		serve(w);
		pthread_mutex_unlock(&worker_lock);
	}
}

void worker_start(struct worker *w, struct pair *p)
{
	memset(w, 0, sizeof(*w));
	w->p = p;
	w->stop = new_eventfd();
	pair_lock(p);
	assert_true(p->dev.vq[0].kick_fd >= 0);
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
	pair_unlock(p);
}

void worker_join(struct worker *w)
{
	vu__event_signal(w->stop);
	pthread_join(w->thread, NULL);
	close(w->stop);
}
