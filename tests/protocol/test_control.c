/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: who may talk, what is wrong, snapshots, restoring. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "state/memfile.h"
#include "tests/lib/control.h"
#include "tests/lib/states.h"

#define RING_GPA 0x10000

/* --- hello --- */

static void says_what_it_is(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 1, 64, RING_GPA, 0);
	int fd = control_connect(p);
	Vu__Control__Reply *reply;
	const Vu__Control__Info *i;
	char path[200];
	struct stat st;

	CONTROL_REQUEST(r, HELLO, hello, Hello);
	(void)state;
	pair_echo(p, q, 1);
	control_path(p, path, sizeof(path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	reply = control_call(fd, &r, NULL);
	assert_int_equal(reply->what_case, VU__CONTROL__REPLY__WHAT_INFO);
	i = reply->info;
	assert_int_equal(reply->version, VU__CONTROL_VERSION);
	assert_string_equal(i->library, vu_version());
	assert_int_equal(i->pid, getpid());
	assert_int_equal(i->frontend_pid, getpid());
	assert_int_equal(i->max_queues, PAIR_QUEUES);
	assert_int_equal(i->n_queues, 1);
	assert_int_equal(i->queues[0]->index, 1);
	assert_int_equal(i->queues[0]->size, 64);
	assert_true(i->queues[0]->started && i->queues[0]->enabled);
	assert_int_equal(i->queues[0]->completed, 1);
	assert_int_equal(i->memory, 1 << 20);
	assert_int_equal(i->n_obstacles, 0);
	assert_false(i->fresh);
	vu__control__reply__free_unpacked(reply, NULL);
	close(fd);
	pair_free(p);
	assert_int_equal(stat(path, &st), -1);
}

static bool is_held(struct pair *p)
{
	bool held;

	pair_lock(p);
	held = p->dev.priv->held;
	pair_unlock(p);
	return held;
}

static void wait_not_held(struct pair *p)
{
	int64_t deadline = vu__now_ms() + 5000;

	while (is_held(p)) {
		assert_true(vu__now_ms() < deadline);
		poll(NULL, 0, 1);
	}
}

/* --- what is wrong --- */

static void send_bytes(int fd, const void *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

static void expect_error(int fd, int err, const char *text)
{
	Vu__Control__Reply *reply = control_receive(fd, NULL);

	assert_non_null(reply);
	if ((int)reply->error != err || !strstr(reply->why, text))
		fail_msg("%u '%s' is not %d '%s'", reply->error, reply->why, err, text);
	vu__control__reply__free_unpacked(reply, NULL);
}

static void malformed_requests(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, RING_GPA, 0);
	int fd = control_connect(p);
	static const uint8_t huge[100000];
	/* Version 7, and a request numbered 99, which may come one day. */
	static const uint8_t later[] = {0x08, 7, 0x9a, 0x06, 0};
	/* Nothing at all. */
	static const uint8_t none[] = {0x08, 1};

	(void)state;
	send_bytes(fd, "\xff\xff\xff", 3);
	expect_error(fd, EBADMSG, "not a request");
	send_bytes(fd, huge, sizeof(huge));
	expect_error(fd, EMSGSIZE, "more than 4096 bytes");
	send_bytes(fd, later, sizeof(later));
	expect_error(fd, ENOSYS, "the tool version 7");
	send_bytes(fd, none, sizeof(none));
	expect_error(fd, ENOSYS, "does not know this request");
	pair_echo(p, q, 1);
	close(fd);
	pair_free(p);
}

static void too_many_files(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, RING_GPA, 0);
	int fd = control_connect(p), before;
	char control[CMSG_SPACE(200 * sizeof(int))]
		__attribute__((aligned(sizeof(struct cmsghdr)))) = {0};

	CONTROL_REQUEST(hello, HELLO, hello, Hello);
	(void)state;
	control_ok(fd, &hello);
	before = count_fds();
	for (unsigned int n = 3; n <= 200; n += 197) {
		struct iovec iov = {.iov_base = "\x08\x01", .iov_len = 2};
		struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				   .msg_controllen = CMSG_SPACE(n * sizeof(int))};
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (unsigned int i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
		assert_true(sendmsg(fd, &h, MSG_NOSIGNAL) >= 0);
		expect_error(fd, E2BIG, "more file descriptors");
	}
	/* It closes what it did not take behind its answer, and before the next one. */
	control_ok(fd, &hello);
	assert_int_equal(count_fds(), before);
	pair_echo(p, q, 1);
	close(fd);
	pair_free(p);
}

/* What the event loop does between two looks at its fds. */
static void turn(struct pair *p)
{
	for (unsigned int i = 0; i < PAIR_WATCHES; i++) {
		struct pollfd f = {.fd = p->watches[i].fd, .events = p->watches[i].events};

		if (f.fd >= 0 && poll(&f, 1, 0) == 1)
			p->watches[i].cb(&p->dev, f.revents, p->watches[i].data);
	}
}

static unsigned int answers(int fd)
{
	uint8_t bytes[VU__CONTROL_REQUEST];
	unsigned int n = 0;

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		n++;
	return n;
}

/*
 * However much of it waits, whoever else is in the event loop has its turn after one packet
 * of each peer, of which there are only so many.
 */
static void a_turn_is_one_packet_of_each(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, RING_GPA, 0);
	struct vu_frontend_buf buf = {0x40000, 64, true};
	int fds[VU__CONTROL_PEERS], more;
	int handled;

	(void)state;
	for (unsigned int i = 0; i < VU__CONTROL_PEERS; i++) {
		fds[i] = control_connect(p);
		send_bytes(fds[i], "\xff", 1);
		expect_error(fds[i], EBADMSG, "not a request");
	}
	more = control_connect(p);
	expect_error(more, EBUSY, "4 others are connected");
	close(more);
	pair_lock(p);
	for (unsigned int i = 0; i < 8 * VU__CONTROL_PEERS; i++)
		send_bytes(fds[i / 8], "\xff", 1);
	for (unsigned int k = 1; k <= 3; k++) {
		handled = p->handled[0];
		assert_int_equal(vu_frontend_submit(q, &buf, 1, k), 0);
		assert_true(vu_frontend_kick(q) >= 0);
		turn(p);
		assert_int_equal(p->handled[0], handled + 1);
		assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
		for (unsigned int i = 0; i < VU__CONTROL_PEERS; i++)
			assert_int_equal(answers(fds[i]), 1);
	}
	pair_unlock(p);
	for (unsigned int i = 0; i < VU__CONTROL_PEERS; i++)
		close(fds[i]);
	pair_echo(p, q, 9);
	pair_free(p);
}

/* A peer that asks and never listens is dropped, and costs the guest nothing. */
static void slow_reader(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, RING_GPA, 0);
	int fd = control_connect(p);
	unsigned int sent = 0;
	uint8_t bytes[16];
	size_t len;

	CONTROL_REQUEST(r, HELLO, hello, Hello);
	(void)state;
	r.version = 1;
	len = vu__control__request__pack(&r, bytes);
	while (send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ||
	       errno == EAGAIN) {
		if (sent++ % 64 == 0)
			pair_echo(p, q, sent);
		assert_true(sent < 1000000);
	}
	/* With what it has not read: a reset. */
	assert_true(errno == EPIPE || errno == ECONNRESET);
	print_message("# dropped after %u requests\n", sent);
	close(fd);
	/* And the next one is served. */
	fd = control_connect(p);
	control_ok(fd, &r);
	close(fd);
	pair_free(p);
}

/* Several may ask, one may do something. */
static void one_at_a_time(void **state)
{
	struct pair *p = pair_ready(NULL);
	int fds[5];
	Vu__Control__Reply *reply;

	CONTROL_REQUEST(hello, HELLO, hello, Hello);
	CONTROL_REQUEST(save, SAVE, save, Save);
	CONTROL_REQUEST(release, RELEASE, release, Release);
	(void)state;
	for (int i = 0; i < 4; i++) {
		fds[i] = control_connect(p);
		control_ok(fds[i], &hello);
	}
	fds[4] = control_connect(p);
	expect_error(fds[4], EBUSY, "4 others are connected");
	assert_null(control_receive(fds[4], NULL));
	close(fds[4]);
	save_body.hold = true;
	save_body.drain_ms = 1000;
	save_body.hold_ms = 60000;
	control_ok(fds[0], &save);
	control_fails(fds[1], &save, EBUSY, "a hold of process");
	control_fails(fds[1], &release, EBUSY, "a hold of process");
	reply = control_call(fds[2], &hello, NULL);
	assert_string_equal(reply->info->held, "a hold");
	vu__control__reply__free_unpacked(reply, NULL);
	/* That another leaves is nothing to it; its own leaving is. */
	close(fds[1]);
	close(fds[2]);
	control_ok(fds[3], &hello);
	assert_true(is_held(p));
	close(fds[0]);
	wait_not_held(p);
	control_ok(fds[3], &save);
	close(fds[3]);
	pair_free(p);
}

/* Another user gets through neither the file's mode nor, with that gone, to the device. */
static void other_users(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = control_connect(p), status;
	char dir[200];
	pid_t child;

	(void)state;
	close(fd);
	if (geteuid())
		skip();
	control_path(p, addr.sun_path, sizeof(addr.sun_path));
	assert_int_equal(chmod(addr.sun_path, 0666), 0);
	snprintf(dir, sizeof(dir), "%s", getenv("LIBVU_RUN_DIR"));
	assert_int_equal(chmod(dir, 0755), 0);
	child = fork();
	if (!child) {
		int conn = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		char reply[500];
		ssize_t n;

		if (setuid(65534) || connect(conn, (struct sockaddr *)&addr, sizeof(addr)))
			_exit(10);
		n = recv(conn, reply, sizeof(reply), 0);
		_exit(n > 0 && memmem(reply, n, "only user 0 and root may", 24) ? 0 : 11);
	}
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	pair_free(p);
}

/* --- snapshots --- */

static void load(int fd, struct vu__snap *s)
{
	char why[200];

	assert_true(fd >= 0);
	if (vu__memfile_read(fd, s, why, sizeof(why)))
		fail_msg("%s", why);
	close(fd);
}

static void take(int fd, bool hold, bool in_flight, uint32_t drain_ms, struct vu__snap *s)
{
	Vu__Control__Reply *reply;
	int image;

	CONTROL_REQUEST(r, SAVE, save, Save);
	r_body.hold = hold;
	r_body.in_flight = in_flight;
	r_body.drain_ms = drain_ms;
	r_body.hold_ms = 60000;
	reply = control_call(fd, &r, &image);
	if (reply->error)
		fail_msg("%s", reply->why);
	vu__control__reply__free_unpacked(reply, NULL);
	load(image, s);
}

/* In the image is what the device has. */
static void a_snapshot_is_the_device(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, RING_GPA, 0);
	int fd = control_connect(p);
	const VuVirtq *vq = &p->dev.vq[0];
	struct vu__snap s;

	(void)state;
	for (int i = 0; i < 100; i++)
		pair_echo(p, q, i);
	take(fd, false, false, 1000, &s);
	pair_lock(p);
	assert_int_equal(s.device.features, p->dev.features);
	assert_int_equal(s.device.protocol_features, p->dev.protocol_features);
	assert_int_equal(s.device.max_queues, PAIR_QUEUES);
	assert_int_equal(s.device.config_len, 256);
	assert_int_equal(s.device.config[77], 77);
	assert_int_equal(s.nregions, 1);
	assert_int_equal(s.regions[0].size, 1 << 20);
	assert_int_equal(s.regions[0].uaddr, p->dev.regions[0].qva);
	assert_non_null(strstr(s.regions[0].file.name, "memfd:"));
	assert_int_equal(s.nqueues, 1);
	assert_int_equal(s.queues[0].size, 64);
	assert_int_equal(s.queues[0].descriptors, vq->vra.desc_user_addr);
	assert_int_equal(s.queues[0].driver, vq->vra.avail_user_addr);
	assert_int_equal(s.queues[0].device, vq->vra.used_user_addr);
	assert_int_equal(s.queues[0].last_avail, 100);
	assert_int_equal(s.queues[0].used, 100);
	assert_int_equal(s.queues[0].seen.used_index, 100);
	assert_int_equal(s.queues[0].nheads, 0);
	assert_true(s.queues[0].kick.present && s.queues[0].kick.eventfd_id);
	assert_true(s.queues[0].started && s.queues[0].enabled);
	assert_int_equal(s.inventory.moment, VU__MOMENT_RUNNING);
	assert_int_equal(s.inventory.requests, VU__REQUESTS_DRAINED);
	pair_unlock(p);
	vu__snap_release(&s);
	for (int i = 0; i < 100; i++)
		pair_echo(p, q, i);
	close(fd);
	pair_free(p);
}

static void submit_one(struct vu_frontend_queue *q, uint64_t token)
{
	struct vu_frontend_buf bufs[2] = {{0x40000 + 256 * (token % 64), 64, false},
					  {0x60000 + 256 * (token % 64), 64, true}};

	assert_int_equal(vu_frontend_submit(q, bufs, 2, token), 0);
	assert_true(vu_frontend_kick(q) >= 0);
}

static void reap(struct vu_frontend_queue *q, unsigned int n)
{
	for (; n; n--) {
		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	}
}

static void requests_in_flight_are_listed(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 2, 16, RING_GPA, 0);
	int fd = control_connect(p);
	struct vu__snap s;

	(void)state;
	for (int i = 0; i < 5; i++)
		submit_one(q, i);
	pair_wait_popped(p, 5);
	take(fd, false, true, 0, &s);
	assert_int_equal(s.inventory.requests, VU__REQUESTS_IN_FLIGHT);
	assert_int_equal(s.queues[0].nheads, 5);
	pair_lock(p);
	for (int i = 0; i < 5; i++)
		assert_int_equal(s.queues[0].heads[i], p->held[i]->index);
	pair_unlock(p);
	assert_int_equal(s.queues[0].last_avail, 5);
	assert_int_equal(s.queues[0].used, 0);
	vu__snap_release(&s);
	pair_release_held(p, 2);
	reap(q, 5);
	close(fd);
	pair_free(p);
}

/* A snapshot waits for what is in flight, meanwhile nothing is popped. */
static void draining(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, RING_GPA, 0);
	int fd = control_connect(p), image;
	Vu__Control__Reply *reply;
	struct vu__snap s;

	CONTROL_REQUEST(r, SAVE, save, Save);
	CONTROL_REQUEST(hello, HELLO, hello, Hello);
	(void)state;
	submit_one(q, 0);
	submit_one(q, 1);
	pair_wait_popped(p, 2);
	r_body.drain_ms = 10;
	control_fails(fd, &r, ETIMEDOUT, "2 requests are still in flight");
	submit_one(q, 2);
	pair_wait_popped(p, 3);
	r_body.drain_ms = 5000;
	control_send(fd, &r, NULL, 0);
	/* It is held, or this would be answered in its place. */
	reply = control_call(fd, &hello, NULL);
	assert_string_equal(reply->info->held, "a snapshot");
	assert_true(reply->info->queues[0]->held);
	vu__control__reply__free_unpacked(reply, NULL);
	submit_one(q, 3);
	pair_release_held(p, 0);
	reply = control_receive(fd, &image);
	assert_int_equal(reply->error, 0);
	vu__control__reply__free_unpacked(reply, NULL);
	load(image, &s);
	assert_int_equal(s.queues[0].last_avail, 3);
	assert_int_equal(s.queues[0].used, 3);
	assert_int_equal(s.queues[0].seen.avail_index, 4);
	vu__snap_release(&s);
	/* What came meanwhile is popped now, without another kick. */
	pair_wait_popped(p, 4);
	pair_release_held(p, 0);
	reap(q, 4);
	close(fd);
	pair_free(p);
}

static void a_hold_ends_with_its_tool(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, RING_GPA, 0);
	int fd = control_connect(p);
	struct vu__snap s;

	CONTROL_REQUEST(release, RELEASE, release, Release);
	(void)state;
	control_fails(fd, &release, EINVAL, "not held");
	take(fd, true, false, 1000, &s);
	assert_int_equal(s.inventory.moment, VU__MOMENT_STOPPED);
	vu__snap_release(&s);
	submit_one(q, 0);
	assert_true(is_held(p));
	control_ok(fd, &release);
	reap(q, 1);
	/* The tool dies. */
	take(fd, true, false, 1000, &s);
	vu__snap_release(&s);
	submit_one(q, 1);
	close(fd);
	wait_not_held(p);
	reap(q, 1);
	/* The tool forgets. */
	fd = control_connect(p);
	{
		CONTROL_REQUEST(r, SAVE, save, Save);
		r_body.hold = true;
		r_body.drain_ms = 1000;
		r_body.hold_ms = 20;
		control_ok(fd, &r);
	}
	submit_one(q, 2);
	wait_not_held(p);
	reap(q, 1);
	close(fd);
	pair_free(p);
}

static void stay_and_resume(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, RING_GPA, 0);
	int fd = control_connect(p);
	struct vu__snap s;

	CONTROL_REQUEST(release, RELEASE, release, Release);
	(void)state;
	take(fd, true, false, 1000, &s);
	vu__snap_release(&s);
	release_body.stay = true;
	control_ok(fd, &release);
	close(fd);
	submit_one(q, 0);
	/* Messages are served while queues stand still, a new start too. */
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	check_ok(p, vu_frontend_queue_start(q, 0));
	assert_true(is_held(p));
	assert_int_equal(vu_frontend_wait(q, 20), -ETIMEDOUT);
	fd = control_connect(p);
	release_body.stay = false;
	control_ok(fd, &release);
	reap(q, 1);
	close(fd);
	pair_free(p);
}

/* What is listed must not be completed: the image would tell of it a second time. */
static void stay_with_requests_in_flight(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, RING_GPA, 0);
	int fd = control_connect(p);
	struct vu__snap s;

	CONTROL_REQUEST(release, RELEASE, release, Release);
	(void)state;
	submit_one(q, 0);
	submit_one(q, 1);
	pair_wait_popped(p, 2);
	take(fd, true, true, 0, &s);
	assert_int_equal(s.queues[0].nheads, 2);
	vu__snap_release(&s);
	pair_release_held(p, 0);
	reap(q, 2);
	release_body.stay = true;
	control_fails(fd, &release, EAGAIN, "out of date");
	release_body.stay = false;
	control_ok(fd, &release);
	submit_one(q, 2);
	pair_wait_popped(p, 3);
	take(fd, true, true, 0, &s);
	vu__snap_release(&s);
	release_body.stay = true;
	control_ok(fd, &release);
	pair_release_held(p, 0);
	assert_int_equal(vu_frontend_wait(q, 20), -ETIMEDOUT);
	release_body.stay = false;
	control_fails(fd, &release, EBUSY, "1 requests that were in flight are in image");
	close(fd);
	pair_free(p);
}

/* --- restoring --- */

static int image_of(const struct vu__snap *s)
{
	uint64_t bytes;
	int fd = vu__memfile_write(s, &bytes);

	assert_true(fd >= 0);
	return fd;
}

static void restore(int conn, const struct vu__snap *s, int err, const char *text)
{
	int fd = image_of(s);
	Vu__Control__Reply *reply;

	CONTROL_REQUEST(r, RESTORE, restore, Restore);
	control_send(conn, &r, &fd, 1);
	close(fd);
	reply = control_receive(conn, NULL);
	assert_non_null(reply);
	if ((int)reply->error != err || !strstr(reply->why, text))
		fail_msg("%u '%s' is not %d '%s'", reply->error, reply->why, err, text);
	vu__control__reply__free_unpacked(reply, NULL);
}

/* What a machine has left: a pair that has served, its image, and its rings in memory. */
struct left {
	struct pair *p;
	struct vu_frontend_queue *q;
	struct vu__snap s;
};

static void leave(struct left *l, unsigned int inflight)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	int fd;

	l->p = pair_ready(&opt);
	l->q = pair_queue(l->p, 0, 16, RING_GPA, 0);
	for (int i = 0; i < 7; i++)
		submit_one(l->q, i);
	pair_wait_popped(l->p, 7);
	pair_release_held(l->p, 0);
	reap(l->q, 7);
	for (unsigned int i = 0; i < inflight; i++)
		submit_one(l->q, 10 + i);
	pair_wait_popped(l->p, 7 + inflight);
	fd = control_connect(l->p);
	take(fd, true, true, 0, &l->s);
	close(fd);
	assert_int_equal(l->s.queues[0].nheads, inflight);
}

/*
 * The back-end dies and comes back; its first front-end is a tool with the image, then
 * the machine comes.  Having lost its back-end, that takes the used index for its base.
 */
static void die_and_restore(struct left *l, uint16_t base)
{
	struct vu_frontend_ring ring;
	uint16_t used;
	int fd;

	vu_frontend_ring(l->q, &ring);
	used = ring.used->idx;
	ring.used->idx = base;
	pair_restart(l->p, false);
	ring.used->idx = used;
	fd = control_connect(l->p);
	restore(fd, &l->s, 0, "");
	close(fd);
	pair_restart(l->p, false);
}

static void go_on(struct left *l)
{
	pair_negotiate(l->p);
	check_ok(l->p, vu_frontend_share_memory(l->p->fe));
	check_ok(l->p, vu_frontend_queue_start(l->q, 0));
}

static void end(struct left *l)
{
	vu__snap_release(&l->s);
	pair_free(l->p);
}

static void a_restored_device_goes_on(void **state)
{
	struct left l;

	(void)state;
	for (unsigned int inflight = 0; inflight < 4; inflight++) {
		leave(&l, inflight);
		die_and_restore(&l, 7);
		/* The front-end only knows what was completed. */
		go_on(&l);
		pair_wait_popped(l.p, inflight);
		pair_lock(l.p);
		for (unsigned int i = 0; i < inflight; i++)
			assert_int_equal(l.p->held[i]->index, l.s.queues[0].heads[i]);
		pair_unlock(l.p);
		submit_one(l.q, 20);
		pair_wait_popped(l.p, inflight + 1);
		pair_release_held(l.p, 0);
		reap(l.q, inflight + 1);
		end(&l);
	}
}

/* It would wait for the next device at this place. */
static void discard(struct left *l)
{
	int fd;

	CONTROL_REQUEST(r, RESTORE, restore, Restore);
	pair_restart(l->p, false);
	fd = control_connect(l->p);
	r_body.discard = true;
	control_ok(fd, &r);
	close(fd);
}

static void negotiate_and_share(struct left *l)
{
	pair_negotiate(l->p);
	check_ok(l->p, vu_frontend_share_memory(l->p->fe));
}

static void other_features(void **state)
{
	struct left l;

	(void)state;
	leave(&l, 1);
	die_and_restore(&l, 7);
	assert_int_equal(vu_frontend_negotiate(l.p->fe, VU_BIT(VU__F_VERSION_1), PAIR_ALL),
			 -EREMOTEIO);
	/* The machine that it is of comes after all. */
	pair_restart(l.p, false);
	go_on(&l);
	pair_wait_popped(l.p, 1);
	end(&l);
}

static void other_base(void **state)
{
	struct left l;

	(void)state;
	leave(&l, 1);
	die_and_restore(&l, 5);
	negotiate_and_share(&l);
	assert_int_equal(vu_frontend_queue_start(l.q, 0), -EREMOTEIO);
	discard(&l);
	end(&l);
}

static void the_image_waits_until_it_is_discarded(void **state)
{
	struct left l;
	struct vu_frontend_ring ring;
	Vu__Control__Reply *reply;
	int fd;

	CONTROL_REQUEST(r, RESTORE, restore, Restore);
	CONTROL_REQUEST(hello, HELLO, hello, Hello);
	(void)state;
	leave(&l, 1);
	die_and_restore(&l, 7);
	/* Somebody has served the ring meanwhile. */
	vu_frontend_ring(l.q, &ring);
	ring.used->idx++;
	for (int i = 0; i < 3; i++) {
		negotiate_and_share(&l);
		assert_int_equal(vu_frontend_queue_start(l.q, 0), -EREMOTEIO);
		pair_restart(l.p, false);
	}
	fd = control_connect(l.p);
	reply = control_call(fd, &hello, NULL);
	assert_string_equal(reply->info->restored, l.s.inventory.id);
	assert_int_equal(reply->info->n_obstacles, 1);
	vu__control__reply__free_unpacked(reply, NULL);
	restore(fd, &l.s, EEXIST, "waits already");
	r_body.discard = true;
	control_ok(fd, &r);
	close(fd);
	pair_restart(l.p, false);
	go_on(&l);
	end(&l);
}

struct misfit {
	int err;
	const char *text;
	void (*spoil)(struct vu__snap *s);
};

static void more_features(struct vu__snap *s)
{
	s->device.features |= VU_BIT(50);
}

static void more_protocol(struct vu__snap *s)
{
	s->device.protocol_features |= VU_BIT(VU__PF_SHMEM);
}

static void more_queues(struct vu__snap *s)
{
	s->device.max_queues = 200;
	s->queues[0].index = 100;
}

static void other_config(struct vu__snap *s)
{
	s->device.config[9] = 1;
}

static void other_name(struct vu__snap *s)
{
	strcpy(s->device.name, "net");
}

static void other_order(struct vu__snap *s)
{
	s->inventory.big_endian = !s->inventory.big_endian;
}

static void with_state(struct vu__snap *s)
{
	s->blob.present = true;
	strcpy(s->blob.name, "disk");
}

static void packed(struct vu__snap *s)
{
	s->queues[0].packed = true;
}

static const struct misfit misfits[] = {
	{ENOTSUP, "features 0x4000000000000", more_features},
	{ENOTSUP, "protocol feature SHMEM", more_protocol},
	{ENOSPC, "has a queue 100, this device 4 queues", more_queues},
	{EINVAL, "differs at byte 9: 0x01 in the image, 0x09 here", other_config},
	{EINVAL, "of 'net'", other_name},
	{ENOTSUP, "the other byte order", other_order},
	{ENOTSUP, "state of 'disk', this device takes none", with_state},
	{EINVAL, "queue 0 is packed, the image's features say otherwise", packed},
};

static void images_that_do_not_fit(void **state)
{
	struct left l;
	struct vu_frontend_queue *q;
	int fd;

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(misfits); i++) {
		leave(&l, 0);
		misfits[i].spoil(&l.s);
		pair_restart(l.p, false);
		fd = control_connect(l.p);
		restore(fd, &l.s, misfits[i].err, misfits[i].text);
		close(fd);
		/* It is as it was: fresh, for any front-end. */
		pair_restart(l.p, false);
		assert_null(l.p->dev.priv->expect);
		vu_frontend_queue_reset(l.q);
		q = l.q;
		go_on(&l);
		submit_one(q, 1);
		pair_wait_popped(l.p, 1);
		end(&l);
	}
}

/* Not sealed, not an image, too short: refused before a byte is believed. */
static void bad_files(void **state)
{
	struct pair *p = pair_new(NULL);
	int conn = control_connect(p);
	static const struct {
		int seals;
		off_t size;
		int err;
		const char *text;
	} bad[] = {
		{F_SEAL_SHRINK | F_SEAL_GROW, 100, EPERM, "sealed"},
		{0, 100, EPERM, "sealed"},
		{F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, 0, EBADMSG, "not an image"},
		{F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, 100, EBADMSG, "not a state image"},
		{F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, 1LL << 40, EBADMSG, "too large"},
	};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(bad); i++) {
		int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		CONTROL_REQUEST(r, RESTORE, restore, Restore);
		assert_int_equal(ftruncate(fd, bad[i].size), 0);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, bad[i].seals), 0);
		control_send(conn, &r, &fd, 1);
		close(fd);
		expect_error(conn, bad[i].err, bad[i].text);
	}
	{
		CONTROL_REQUEST(r, RESTORE, restore, Restore);
		control_fails(conn, &r, EINVAL, "no image came along");
	}
	close(conn);
	pair_free(p);
}

static void only_a_fresh_device_is_restored(void **state)
{
	struct left l;
	int fd;

	(void)state;
	leave(&l, 0);
	fd = control_connect(l.p);
	restore(fd, &l.s, EBUSY, "it serves a front-end");
	close(fd);
	end(&l);
}

/* --- where there is none --- */

static void off(void **state)
{
	char dir[200];
	struct pair *p;
	struct vu_frontend_queue *q;
	struct vu__control *c;

	(void)state;
	snprintf(dir, sizeof(dir), "%s", getenv("LIBVU_RUN_DIR"));
	for (int i = 0; i < 2; i++) {
		setenv("LIBVU_RUN_DIR", i ? "/nonexistent/run" : "", 1);
		p = pair_ready(NULL);
		c = p->dev.priv->service_data[0];
		assert_int_equal(c->listener, -1);
		q = pair_queue(p, 0, 16, RING_GPA, 0);
		pair_echo(p, q, 1);
		pair_free(p);
	}
	setenv("LIBVU_RUN_DIR", dir, 1);
}

static void threads_that_cannot_be_held(void **state)
{
	struct pair_options opt = {.no_handler = true};
	struct pair *p = pair_ready(&opt);
	int fd;

	CONTROL_REQUEST(r, SAVE, save, Save);
	(void)state;
	pair_queue(p, 3, 16, RING_GPA, 0);
	fd = control_connect(p);
	control_fails(fd, &r, EBUSY, "queue 3 is served by a thread");
	close(fd);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_it_is),
		cmocka_unit_test(malformed_requests),
		cmocka_unit_test(too_many_files),
		cmocka_unit_test(a_turn_is_one_packet_of_each),
		cmocka_unit_test(slow_reader),
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(other_users),
		cmocka_unit_test(a_snapshot_is_the_device),
		cmocka_unit_test(requests_in_flight_are_listed),
		cmocka_unit_test(draining),
		cmocka_unit_test(a_hold_ends_with_its_tool),
		cmocka_unit_test(stay_and_resume),
		cmocka_unit_test(stay_with_requests_in_flight),
		cmocka_unit_test(a_restored_device_goes_on),
		cmocka_unit_test(other_features),
		cmocka_unit_test(other_base),
		cmocka_unit_test(the_image_waits_until_it_is_discarded),
		cmocka_unit_test(images_that_do_not_fit),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(only_a_fresh_device_is_restored),
		cmocka_unit_test(off),
		cmocka_unit_test(threads_that_cannot_be_held),
	};

	return cmocka_run_group_tests(tests, control_set_up, control_tear_down);
}
