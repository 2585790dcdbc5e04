/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The back-end's process, the front-end's usual steps, and looking. */
#include "tests/observe/badback.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "libvu/ext.h"
#include "observe/rates.h"
#include "wire/spec.h"

#define QUEUES	    2
#define MAX_FDS	    256
#define PATIENCE_MS 300
#define DEADLINE_MS 15000
#define LOOK_MS	    60

/* --- the back-end --- */

struct backend {
	VuDev dev; /* first */
	enum bad bad;
	int epoll, control;
	struct {
		vu_watch_cb cb;
		void *data;
	} watches[MAX_FDS]; /* by fd */
	VuVirtqElement *held[1024];
	unsigned int nheld;
	bool drain[QUEUES];
};

static struct backend *backend_of(VuDev *dev)
{
	return (struct backend *)dev;
}

static void on_panic(VuDev *dev, const char *text)
{
	(void)dev;
	(void)text;
}

static void set_watch(VuDev *dev, int fd, int condition, vu_watch_cb cb, void *data)
{
	struct backend *b = backend_of(dev);
	struct epoll_event ev = {.events = condition, .data.fd = fd};

	if (fd >= MAX_FDS)
		abort();
	b->watches[fd].cb = cb;
	b->watches[fd].data = data;
	/* Its bug: the kick eventfd does not get into the set. */
	if (b->bad == BAD_UNWATCHED && fd == vu_get_queue(dev, 0)->kick_fd)
		return;
	if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 && errno == EEXIST)
		(void)!epoll_ctl(b->epoll, EPOLL_CTL_MOD, fd, &ev);
}

static void remove_watch(VuDev *dev, int fd)
{
	struct backend *b = backend_of(dev);

	(void)!epoll_ctl(b->epoll, EPOLL_CTL_DEL, fd, NULL);
	if (fd < MAX_FDS)
		b->watches[fd].cb = NULL;
}

static unsigned int complete(struct backend *b, VuVirtq *vq, unsigned int max)
{
	VuVirtqElement *e;
	unsigned int n = 0;

	while (n < max && (e = vu_queue_pop(&b->dev, vq, sizeof(*e)))) {
		if (b->bad == BAD_HOLD && b->nheld < VU_ARRAY_SIZE(b->held)) {
			b->held[b->nheld++] = e;
			continue;
		}
		vu_queue_push(&b->dev, vq, e, e->in_num ? 1 : 0);
		free(e);
		n++;
	}
	if (n && b->bad != BAD_NO_CALL)
		vu_queue_notify(&b->dev, vq);
	return n;
}

static void on_kick(VuDev *dev, int qidx)
{
	struct backend *b = backend_of(dev);
	VuVirtq *vq = vu_get_queue(dev, qidx);
	uint16_t n;

	switch (b->bad) {
	case BAD_SLEEP:
		for (;;)
			sleep(1000);
	case BAD_SPIN:
		for (;;)
			__asm__ volatile("");
	case BAD_SWALLOW:
	case BAD_POLL:
	case BAD_RX:
		return;
	case BAD_EAT_DISABLED:
		if (vu_queue_enabled(dev, vq))
			complete(b, vq, ~0u);
		return;
	case BAD_LEAVE_OFF:
		/*
		 * Not more than that kick was for, what comes later is to be left; and not
		 * before there is anything, as when the queue has just started.
		 */
		n = le16toh(vq->vring.avail->idx) - vq->last_avail_idx;
		if (!n)
			return;
		vu_queue_set_notification(dev, vq, 0);
		complete(b, vq, n);
		return;
	case BAD_SLOW:
		while (complete(b, vq, 1))
			usleep(5000);
		return;
	default:
		complete(b, vq, ~0u);
	}
}

static void set_started(VuDev *dev, int qidx, bool started)
{
	struct backend *b = backend_of(dev);

	vu_set_queue_handler(dev, vu_get_queue(dev, qidx), started ? on_kick : NULL);
	if (started && b->bad == BAD_POLL)
		vu_queue_set_notification(dev, vu_get_queue(dev, qidx), 0);
}

static void on_enabled(VuDev *dev, int qidx, bool enabled)
{
	struct backend *b = backend_of(dev);

	if (enabled && qidx < QUEUES && b->bad == BAD_EAT_DISABLED)
		b->drain[qidx] = true;
}

/* A queue begins with a clean eventfd, it thinks. */
static void drain(struct backend *b)
{
	for (int i = 0; i < QUEUES; i++) {
		uint64_t value;

		if (b->drain[i])
			vu__event_consume(vu_get_queue(&b->dev, i)->kick_fd, &value);
		b->drain[i] = false;
	}
}

static uint64_t no_features(VuDev *dev)
{
	(void)dev;
	return 0;
}

static void turn(struct backend *b, const struct epoll_event *ev)
{
	int fd = ev->data.fd;
	uint8_t now;

	if (fd == b->control) {
		if (read(fd, &now, 1) != 1)
			_exit(0);
		b->bad = now;
	} else if (fd == b->dev.sock) {
		if (!vu_dispatch(&b->dev))
			/* It stays as it is: that can be looked at. */
			remove_watch(&b->dev, fd);
	} else if (b->watches[fd].cb) {
		b->watches[fd].cb(&b->dev, ev->events, b->watches[fd].data);
	}
	drain(b);
}

static void idle(struct backend *b)
{
	VuVirtq *vq = vu_get_queue(&b->dev, 0);

	if (!vu_queue_started(&b->dev, vq))
		return;
	if (b->bad == BAD_POLL)
		complete(b, vq, ~0u);
	if (b->bad == BAD_RX)
		complete(b, vq, 1);
}

static void serve(struct backend *b)
{
	struct epoll_event ev;

	for (;;) {
		int wait = b->bad == BAD_POLL ? 0 : b->bad == BAD_RX ? 5 : -1;
		int n = epoll_wait(b->epoll, &ev, 1, wait);

		if (n > 0)
			turn(b, &ev);
		idle(b);
	}
}

void run_bad_backend(enum bad bad, const char *name, int sock, int control)
{
	static const VuDevIface iface = {.get_features = no_features,
					 .queue_set_started = set_started};
	struct vu_ext_ops ext = {.size = sizeof(ext), .queue_enabled = on_enabled};
	struct backend *b = calloc(1, sizeof(*b));
	int fds[2] = {sock, control};

	if (!b)
		_exit(1);
	b->bad = bad;
	b->control = control;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned int i = 0; i < 2; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = fds[i]};

		(void)!epoll_ctl(b->epoll, EPOLL_CTL_ADD, fds[i], &ev);
	}
	if (!vu_init(&b->dev, QUEUES, sock, on_panic, set_watch, remove_watch, &iface) ||
	    vu_set_ext_ops(&b->dev, &ext))
		_exit(1);
	vu_set_device_name(&b->dev, name);
	vu_set_drain_timeout(&b->dev, 0);
	serve(b);
}

/* --- the rig --- */

static void start_backend(struct rig *r, const struct rig_options *opt)
{
	int sv[2], control[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control), 0);
	r->backend = fork();
	assert_true(r->backend >= 0);
	if (r->backend == 0) {
		close(sv[0]);
		close(control[0]);
		run_bad_backend(opt->bad, opt->name ? opt->name : "disk", sv[1], control[1]);
	}
	close(sv[1]);
	close(control[1]);
	r->control = control[0];
	r->fe = vu_frontend_new(sv[0]);
	assert_non_null(r->fe);
}

void rig_start(struct rig *r, const struct rig_options *opt)
{
	uint64_t not_wanted = VU_BIT(VU__F_NOTIFY_ON_EMPTY) |
			      (opt->packed ? 0 : VU_BIT(VU__F_RING_PACKED));
	struct vu__sample_options sample = {.run_dir = r->dir, .libvu_only = true};

	memset(r, 0, sizeof(*r));
	strcpy(r->dir, "/tmp/vu-stuck-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	setenv("LIBVU_RUN_DIR", r->dir, 1);
	start_backend(r, opt);
	if (vu_frontend_negotiate(r->fe, ~(not_wanted | opt->not_features), ~0ULL) ||
	    vu_frontend_add_memory(r->fe, 0, 1 << 20, 0) ||
	    vu_frontend_share_memory(r->fe))
		fail_msg("%s", vu_frontend_error(r->fe));
	if (!opt->no_queue) {
		r->q = vu_frontend_queue_new(r->fe, 0, opt->num ? opt->num : 64, 0);
		assert_non_null(r->q);
		if (vu_frontend_queue_start(r->q, opt->flags))
			fail_msg("%s", vu_frontend_error(r->fe));
	}
	r->sampler = vu__sampler_new(&sample);
	assert_non_null(r->sampler);
}

void rig_end(struct rig *r)
{
	char cmd[100];

	kill(r->backend, SIGKILL);
	waitpid(r->backend, NULL, 0);
	for (unsigned int i = 0; i < r->nsnaps; i++)
		vu__snapshot_free(r->snaps[i]);
	vu__sampler_free(r->sampler);
	vu_frontend_free(r->fe);
	close(r->control);
	unsetenv("LIBVU_RUN_DIR");
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", r->dir);
	assert_int_equal(system(cmd), 0);
}

void rig_submit(struct rig *r, unsigned int n)
{
	struct vu_frontend_buf bufs[2] = {{0x80000, 16, false}, {0x90000, 16, true}};

	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(vu_frontend_submit(r->q, bufs, 2, i), 0);
}

void rig_kick(struct rig *r)
{
	assert_true(vu_frontend_kick(r->q) >= 0);
}

void rig_wait_kick_read(struct rig *r)
{
	struct pollfd p = {.fd = vu_frontend_kick_fd(r->q), .events = POLLIN};
	int64_t deadline = vu__now_ms() + DEADLINE_MS;

	while (poll(&p, 1, 0) == 1) {
		if (vu__now_ms() > deadline)
			fail_msg("the kick was not read");
		poll(NULL, 0, 1);
	}
}

void rig_reap(struct rig *r)
{
	while (vu_frontend_outstanding(r->q)) {
		if (vu_frontend_wait(r->q, DEADLINE_MS))
			fail_msg("%u requests were not completed",
				 vu_frontend_outstanding(r->q));
		while (vu_frontend_reap(r->q, NULL, NULL) == 1)
			;
	}
}

/* --- looking --- */

const struct vu__obs_queue *rig_queue(const struct rig *r, uint16_t queue)
{
	const struct vu__obs_snapshot *last = r->nsnaps ? r->snaps[r->nsnaps - 1] : NULL;

	for (uint32_t i = 0; last && i < last->nqueues; i++) {
		if (last->queues[i].index == queue)
			return &last->queues[i];
	}
	return NULL;
}

static void take(struct rig *r)
{
	if (r->nsnaps == VU_ARRAY_SIZE(r->snaps)) {
		vu__snapshot_free(r->snaps[0]);
		memmove(r->snaps, r->snaps + 1, (--r->nsnaps) * sizeof(r->snaps[0]));
	}
	assert_int_equal(vu__sample_take(r->sampler, &r->snaps[r->nsnaps]), 0);
	r->nsnaps++;
}

enum vu__obs_verdict_id rig_look(struct rig *r, uint16_t queue, unsigned int patience_ms)
{
	struct vu__obs_look looks[VU_ARRAY_SIZE(r->snaps)];
	const struct vu__obs_snapshot *last;
	const struct vu__obs_queue *q;
	size_t n = 0;

	take(r);
	last = r->snaps[r->nsnaps - 1];
	q = rig_queue(r, queue);
	if (!q) {
		memset(&r->verdict, 0, sizeof(r->verdict));
		return VU__V_UNSEEN;
	}
	for (unsigned int i = 0; i < r->nsnaps; i++) {
		const struct vu__obs_queue *then = vu__obs_find_queue(r->snaps[i], last, q);

		if (then && q->mono_ns - then->mono_ns <= 2000000ull * patience_ms)
			looks[n++] = vu__obs_look_at(r->snaps[i], then);
	}
	vu__obs_diagnose(looks, n, patience_ms * 1000000ull, &r->verdict);
	return r->verdict.id;
}

static void nap(unsigned int ms)
{
	poll(NULL, 0, ms);
}

static const char *say(const struct rig *r)
{
	static char text[600];

	snprintf(text, sizeof(text), "%s (%s, %s): %s", vu__obs_verdicts[r->verdict.id].name,
		 vu__obs_severity_name(r->verdict.severity),
		 vu__obs_confidence_name(r->verdict.confidence), r->verdict.evidence);
	return text;
}

void rig_expect(struct rig *r, enum vu__obs_verdict_id id,
		enum vu__obs_confidence confidence, const char *word)
{
	int64_t deadline = vu__now_ms() + DEADLINE_MS;
	unsigned int times = 0;

	while (times < 3) {
		bool as_expected = rig_look(r, 0, PATIENCE_MS) == id;

		times += as_expected;
		if (times && !as_expected)
			fail_msg("it did not stay: %s", say(r));
		if (!as_expected && r->verdict.severity >= VU__OBS_WARNING)
			fail_msg("not %s: %s", vu__obs_verdicts[id].name, say(r));
		if (vu__now_ms() > deadline)
			fail_msg("no %s: %s", vu__obs_verdicts[id].name, say(r));
		nap(LOOK_MS);
	}
	if (r->verdict.confidence < confidence)
		fail_msg("not sure enough: %s", say(r));
	if (!strstr(r->verdict.evidence, word))
		fail_msg("no '%s' in %s", word, say(r));
	if (getenv("VU_VERBOSE"))
		print_message("%s; next: %s\n", say(r), r->verdict.next);
}

void rig_expect_healthy(struct rig *r, enum vu__obs_verdict_id id, unsigned int ms,
			void (*busy)(struct rig *r))
{
	int64_t until = vu__now_ms() + ms, next = 0;
	unsigned int seen = 0;

	while (vu__now_ms() < until) {
		if (busy)
			busy(r);
		if (vu__now_ms() < next) {
			if (!busy)
				nap(5);
			continue;
		}
		next = vu__now_ms() + LOOK_MS;
		/* What is no alarm in a second may be one in less. */
		seen += rig_look(r, 0, 1000) == id;
		if (r->verdict.severity >= VU__OBS_WARNING)
			fail_msg("a false alarm: %s", say(r));
	}
	if (!seen)
		fail_msg("never %s: %s", vu__obs_verdicts[id].name, say(r));
	if (getenv("VU_VERBOSE"))
		print_message("%s\n", say(r));
}
