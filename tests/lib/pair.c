/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The back-end's thread and device, and the front-end's usual steps. */
#include "tests/lib/pair.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

#define PATIENCE_MS 5000

int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -3; /* ".", ".." and the directory itself */

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

int new_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* --- the device --- */

static struct pair *pair_of(VuDev *dev)
{
	return (struct pair *)dev;
}

static void on_panic(VuDev *dev, const char *text)
{
	struct pair *p = pair_of(dev);

	p->panics++;
	snprintf(p->panic_text, sizeof(p->panic_text), "%s", text);
}

static void remove_watch(VuDev *dev, int fd)
{
	struct pair *p = pair_of(dev);

	for (unsigned int i = 0; i < PAIR_WATCHES; i++) {
		if (p->watches[i].fd == fd)
			p->watches[i].fd = -1;
	}
}

static void set_watch(VuDev *dev, int fd, int condition, vu_watch_cb cb, void *data)
{
	struct pair *p = pair_of(dev);

	remove_watch(dev, fd);
	for (unsigned int i = 0; i < PAIR_WATCHES; i++) {
		if (p->watches[i].fd >= 0)
			continue;
		p->watches[i].fd = fd;
		p->watches[i].events = condition;
		p->watches[i].cb = cb;
		p->watches[i].data = data;
		return;
	}
	abort();
}

static unsigned int echo(const VuVirtqElement *e)
{
	unsigned int done = 0, in = 0;
	size_t at = 0;

	for (unsigned int o = 0; o < e->out_num; o++) {
		const uint8_t *from = e->out_sg[o].iov_base;

		for (size_t i = 0; i < e->out_sg[o].iov_len; i++) {
			while (in < e->in_num && at == e->in_sg[in].iov_len) {
				in++;
				at = 0;
			}
			if (in == e->in_num)
				return done;
			((uint8_t *)e->in_sg[in].iov_base)[at++] = from[i];
			done++;
		}
	}
	return done;
}

static void serve_queue(struct pair *p, VuVirtq *vq)
{
	VuVirtqElement *e;

	while ((e = vu_queue_pop(&p->dev, vq, sizeof(*e)))) {
		p->popped++;
		if (p->mode == PAIR_HOLD) {
			if (p->nheld == PAIR_HELD)
				abort();
			p->held[p->nheld++] = e;
			continue;
		}
		vu_queue_push(&p->dev, vq, e, echo(e));
		free(e);
	}
}

static void on_kick(VuDev *dev, int qidx)
{
	struct pair *p = pair_of(dev);
	VuVirtq *vq = vu_get_queue(dev, qidx);

	p->handled[qidx]++;
	if (p->mode == PAIR_NONE)
		return;
	do
		serve_queue(p, vq);
	while (p->mode == PAIR_INSIST && !vu_queue_empty(dev, vq));
	vu_queue_notify(dev, vq);
}

static uint64_t get_features(VuDev *dev)
{
	return pair_of(dev)->opt.features;
}

static uint64_t get_protocol_features(VuDev *dev)
{
	return pair_of(dev)->opt.protocol_features;
}

static void set_started(VuDev *dev, int qidx, bool started)
{
	struct pair *p = pair_of(dev);

	if (qidx < PAIR_QUEUES)
		(started ? p->starts : p->stops)[qidx]++;
	if (!p->opt.no_handler)
		vu_set_queue_handler(dev, vu_get_queue(dev, qidx), started ? on_kick : NULL);
}

static bool in_order(VuDev *dev, int qidx)
{
	(void)qidx;
	return pair_of(dev)->opt.in_order;
}

static int get_config(VuDev *dev, uint8_t *config, uint32_t len)
{
	struct pair *p = pair_of(dev);

	p->config_len = VU_MAX(p->config_len, len);
	memcpy(config, p->config, len);
	return 0;
}

static int set_config(VuDev *dev, const uint8_t *data, uint32_t offset, uint32_t size,
		      uint32_t flags)
{
	struct pair *p = pair_of(dev);

	p->config_len = VU_MAX(p->config_len, offset + size);
	p->config_flags = flags;
	/* The first 16 bytes are read-only but for a migration. */
	if (offset < 16 && flags != VHOST_SET_CONFIG_TYPE_MIGRATION)
		return -1;
	memcpy(p->config + offset, data, size);
	return 0;
}

/* --- its thread --- */

static unsigned int collect(struct pair *p, struct pollfd *fds, unsigned int *slots)
{
	unsigned int n = 2;

	fds[0] = (struct pollfd){.fd = p->wake, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = p->gone ? -1 : p->sock, .events = POLLIN};
	for (unsigned int i = 0; i < PAIR_WATCHES; i++) {
		if (p->watches[i].fd < 0)
			continue;
		slots[n] = i;
		fds[n++] = (struct pollfd){.fd = p->watches[i].fd,
					   .events = p->watches[i].events};
	}
	return n;
}

static void serve(struct pair *p, const struct pollfd *fds, const unsigned int *slots,
		  unsigned int n)
{
	for (unsigned int i = 2; i < n; i++) {
		unsigned int s = slots[i];

		/* A callback before may have taken it out. */
		if (fds[i].revents && p->watches[s].fd == fds[i].fd)
			p->watches[s].cb(&p->dev, fds[i].revents, p->watches[s].data);
	}
	if (fds[1].revents && !vu_dispatch(&p->dev))
		p->gone = true;
}

static void *backend(void *opaque)
{
	struct pair *p = opaque;
	struct pollfd fds[PAIR_WATCHES + 2];
	unsigned int slots[PAIR_WATCHES + 2], n;
	uint64_t value;

	while (!p->quit) {
		pair_lock(p);
		n = collect(p, fds, slots);
		pair_unlock(p);
		poll(fds, n, -1);
		vu__event_consume(p->wake, &value);
		pair_lock(p);
		serve(p, fds, slots, n);
		pair_unlock(p);
	}
	return NULL;
}

void pair_lock(struct pair *p)
{
	pthread_mutex_lock(&p->lock);
}

void pair_unlock(struct pair *p)
{
	pthread_mutex_unlock(&p->lock);
}

/* --- made and ended --- */

static void make_iface(struct pair *p)
{
	p->iface = (VuDevIface){
		.get_features = get_features,
		.get_protocol_features = get_protocol_features,
		.queue_set_started = set_started,
		.queue_is_processed_in_order = in_order,
		.process_msg = p->opt.process_msg,
		.get_config = p->opt.no_config ? NULL : get_config,
		.set_config = set_config,
	};
}

/* A new connection; the back-end's end of it into p->sock. */
static int new_sockets(struct pair *p)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	p->sock = sv[1];
	return sv[0];
}

static void init_device(struct pair *p)
{
	assert_true(vu_init_read_msg(&p->dev, p->opt.queues ? p->opt.queues : PAIR_QUEUES,
				     p->sock, on_panic, p->opt.read_msg, set_watch,
				     remove_watch, &p->iface));
	if (p->opt.ext)
		assert_int_equal(vu_set_ext_ops(&p->dev, p->opt.ext), 0);
}

static void start_thread(struct pair *p)
{
	p->quit = false;
	p->gone = false;
	assert_int_equal(pthread_create(&p->thread, NULL, backend, p), 0);
}

static void stop_thread(struct pair *p)
{
	p->quit = true;
	vu__event_signal(p->wake);
	pthread_join(p->thread, NULL);
}

static void free_held(struct pair *p)
{
	for (unsigned int i = 0; i < p->nheld; i++)
		free(p->held[i]);
	p->nheld = 0;
}

struct pair *pair_new(const struct pair_options *opt)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->fds_before = count_fds();
	if (opt)
		p->opt = *opt;
	p->mode = p->opt.mode;
	make_iface(p);
	pthread_mutex_init(&p->lock, NULL);
	for (unsigned int i = 0; i < PAIR_WATCHES; i++)
		p->watches[i].fd = -1;
	p->wake = new_eventfd();
	p->fe = vu_frontend_new(new_sockets(p));
	assert_non_null(p->fe);
	init_device(p);
	for (unsigned int i = 0; i < sizeof(p->config); i++)
		p->config[i] = i;
	start_thread(p);
	return p;
}

void pair_restart(struct pair *p, bool in_place)
{
	int old = p->sock;

	stop_thread(p);
	vu_frontend_reconnect(p->fe, new_sockets(p));
	if (in_place) {
		assert_true(vu_reconnect(&p->dev, p->sock));
	} else {
		vu_deinit(&p->dev);
		init_device(p);
	}
	close(old);
	free_held(p);
	p->panics = 0;
	p->popped = 0;
	start_thread(p);
}

static void negotiate_without(struct pair *p, uint64_t features)
{
	uint64_t wanted = p->opt.packed ? ~0ULL : PAIR_ALL;

	/* With NOTIFY_ON_EMPTY there would be calls that no completion explains. */
	check_ok(p, vu_frontend_negotiate(p->fe,
					  wanted & ~features & ~VU_BIT(VU__F_NOTIFY_ON_EMPTY),
					  PAIR_ALL));
}

void pair_negotiate(struct pair *p)
{
	negotiate_without(p, 0);
}

struct pair *pair_ready_without(const struct pair_options *opt, uint64_t features,
				uint64_t memory)
{
	struct pair *p = pair_new(opt);

	negotiate_without(p, features);
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, memory, 0), 0);
	check_ok(p, vu_frontend_share_memory(p->fe));
	return p;
}

struct pair *pair_ready(const struct pair_options *opt)
{
	return pair_ready_without(opt, 0, 1 << 20);
}

void pair_free(struct pair *p)
{
	int left;

	stop_thread(p);
	vu_deinit(&p->dev);
	close(p->sock);
	close(p->wake);
	free_held(p);
	vu_frontend_free(p->fe);
	left = p->fds_before < 0 ? 0 : count_fds() - p->fds_before;
	pthread_mutex_destroy(&p->lock);
	free(p);
	assert_int_equal(left, 0);
}

/* --- waiting --- */

static void nap(void)
{
	poll(NULL, 0, 1);
}

void pair_wait_gone(struct pair *p)
{
	int64_t deadline = vu__now_ms() + PATIENCE_MS;

	while (!p->gone) {
		if (vu__now_ms() > deadline)
			fail_msg("the back-end did not give the connection up");
		nap();
	}
}

void pair_wait_popped(struct pair *p, uint64_t n)
{
	int64_t deadline = vu__now_ms() + PATIENCE_MS;
	uint64_t popped;

	do {
		pair_lock(p);
		popped = p->popped;
		pair_unlock(p);
		if (popped >= n)
			return;
		nap();
	} while (vu__now_ms() < deadline);
	fail_msg("the back-end popped %d of %d", (int)popped, (int)n);
}

/* --- usual steps --- */

void pair_release_held(struct pair *p, unsigned int queue)
{
	VuVirtq *vq = &p->dev.vq[queue];

	pair_lock(p);
	for (unsigned int i = 0; i < p->nheld; i++) {
		vu_queue_push(&p->dev, vq, p->held[i], echo(p->held[i]));
		free(p->held[i]);
	}
	p->nheld = 0;
	vu_queue_notify(&p->dev, vq);
	pair_unlock(p);
}

struct vu_frontend_queue *pair_queue(struct pair *p, unsigned int idx, unsigned int num,
				     uint64_t gpa, unsigned int flags)
{
	struct vu_frontend_queue *q = vu_frontend_queue_new(p->fe, idx, num, gpa);

	assert_non_null(q);
	check_ok(p, vu_frontend_queue_start(q, flags));
	return q;
}

void pair_echo(struct pair *p, struct vu_frontend_queue *q, uint64_t token)
{
	const uint64_t at = 0x80000;
	struct vu_frontend_buf bufs[2] = {{at, 32, false}, {at + 4096, 64, true}};
	uint8_t *out = vu_frontend_ptr(p->fe, at, 32);
	uint8_t *in = vu_frontend_ptr(p->fe, at + 4096, 64);
	uint64_t got = 0;
	uint32_t len = 0;

	for (unsigned int i = 0; i < 32; i++)
		out[i] = token * 7 + i;
	memset(in, 0xee, 64);
	assert_int_equal(vu_frontend_submit(q, bufs, 2, token), 0);
	assert_true(vu_frontend_kick(q) >= 0);
	if (vu_frontend_wait(q, PATIENCE_MS))
		fail_msg("the request was not completed");
	assert_int_equal(vu_frontend_reap(q, &got, &len), 1);
	assert_int_equal(got, token);
	assert_int_equal(len, 32);
	assert_memory_equal(in, out, 32);
	/* Not a byte more than it says. */
	assert_int_equal(in[32], 0xee);
}

struct vu_frontend_message pair_message(uint32_t request, uint32_t size)
{
	struct vu_frontend_message m = {.request = request,
					.flags = VU__FLAG_VERSION,
					.size = size,
					.payload_size = size};

	return m;
}

void pair_expect_refused(struct pair *p, const struct vu_frontend_message *msg)
{
	struct vu_frontend_message m = *msg;
	uint64_t features, result;

	m.flags |= VU__FLAG_NEED_REPLY;
	assert_int_equal(vu_frontend_send(p->fe, &m), 0);
	assert_int_equal(vu_frontend_recv(p->fe, &m), 0);
	assert_int_equal(m.request, msg->request);
	assert_int_equal(m.flags, VU__FLAG_VERSION | VU__FLAG_REPLY);
	assert_int_equal(m.size, 8);
	memcpy(&result, m.payload, sizeof(result));
	assert_true(result != 0);
	check_ok(p, vu_frontend_get_features(p->fe, &features));
	assert_int_equal(p->panics, 0);
}

void pair_expect_fatal(struct pair *p, const struct vu_frontend_message *msg)
{
	assert_int_equal(vu_frontend_send(p->fe, msg), 0);
	pair_wait_gone(p);
	pair_lock(p);
	assert_int_equal(p->panics, 1);
	assert_true(p->dev.broken);
	assert_true(strlen(p->panic_text) > 10);
	assert_false(vu_dispatch(&p->dev));
	assert_int_equal(p->panics, 1);
	pair_unlock(p);
}
