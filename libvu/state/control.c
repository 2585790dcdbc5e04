/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: who may talk, one request after the other.  Control thread. */
#include "state/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/rights.h"
#include "base/sys.h"
#include "proto/control.pb-c.h"
#include "state/restore.h"

/* A tool that says nothing for so long makes place for another. */
#define IDLE_MS 60000

uint64_t vu__control_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* --- the socket --- */

/*
 * A socket's path is short and the directory's may not be, so it is named through the fd
 * of the directory.
 */
static void socket_address(const struct vu__control *c, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/%s", c->dir, c->name);
}

static int open_listener(struct vu__control *c)
{
	VU_CLEANUP_FD int fd =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr;

	if (fd < 0)
		return -errno;
	socket_address(c, &addr);
	/* A process of this pid may have left one. */
	(void)unlinkat(c->dir, c->name, 0);
	/* The file gets the socket's mode: it is never there for others, not for a moment. */
	if (fchmod(fd, 0600) || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 4))
		return -errno;
	c->listener = vu__steal_fd(&fd);
	return 0;
}

static void close_listener(struct vu__control *c)
{
	if (c->listener >= 0)
		(void)unlinkat(c->dir, c->name, 0);
	vu__control_unwatch(c, &c->listener);
	if (c->dir >= 0)
		close(c->dir);
	c->dir = -1;
}

void vu__control_unwatch(struct vu__control *c, int *fd)
{
	VuDev *dev = c->d->pub;

	if (*fd < 0)
		return;
	if (c->watching)
		dev->remove_watch(dev, *fd);
	close(*fd);
	*fd = -1;
}

/* --- the timer --- */

void vu__control_timer(struct vu__control *c, uint64_t ms)
{
	struct itimerspec t = {.it_value = {.tv_sec = ms / 1000,
					    .tv_nsec = (long)(ms % 1000) * 1000000}};

	if (c->timer >= 0)
		timerfd_settime(c->timer, 0, &t, NULL);
}

static void drop_peer(struct vu__peer *p)
{
	struct vu__control *c = p->c;

	vu__control_unwatch(c, &p->fd);
	if (c->watcher == p)
		vu__watcher_lost(c);
	if (c->owner != p)
		return;
	c->owner = NULL;
	if (c->job)
		c->job->lost(c);
}

static void on_timer(VuDev *dev, int condition, void *data)
{
	struct vu__control *c = data;
	uint64_t expired;

	(void)dev;
	(void)condition;
	vu__event_consume(c->timer, &expired);
	if (expired && c->job)
		c->job->timeout(c);
}

void vu__control_done(struct vu__control *c)
{
	c->job = NULL;
	c->job_data = NULL;
	c->owner = NULL;
	vu__control_timer(c, 0);
}

/* Of what peers do wrong, a line a second: they could do it all the time. */
static bool may_complain(struct vu__control *c)
{
	uint64_t now = vu__control_now();

	if (c->complained_ns && now - c->complained_ns < 1000000000)
		return false;
	c->complained_ns = now;
	return true;
}

/* --- answers --- */

static ssize_t send_packet(int fd, const void *bytes, size_t len, const int *fds,
			   unsigned int nfds)
{
	VU__RIGHTS(VU__CONTROL_FDS) control;
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds)
		vu__rights_attach(&h, control.bytes, fds, nfds);
	return vu__sys.sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int send_reply(int conn, Vu__Control__Reply *reply, const int *fds, unsigned int nfds)
{
	VU_CLEANUP_FREE uint8_t *bytes = NULL;
	size_t len;

	reply->version = VU__CONTROL_VERSION;
	len = vu__control__reply__get_packed_size(reply);
	if (len > VU__CONTROL_REPLY)
		return -EMSGSIZE;
	bytes = vu__sys.calloc(1, len + 1);
	if (!bytes)
		return -ENOMEM;
	vu__control__reply__pack(reply, bytes);
	return send_packet(conn, bytes, len, fds, nfds) < 0 ? -errno : 0;
}

void vu__control_reply(struct vu__control *c, Vu__Control__Reply *reply, const int *fds,
		       unsigned int nfds)
{
	/* Whose request is at hand, or, later, whose job it is. */
	struct vu__peer *p = c->talking ? c->talking : c->owner;
	int ret;

	if (!p || p->fd < 0 || p->deaf)
		return;
	ret = send_reply(p->fd, reply, fds, nfds);
	if (!ret)
		return;
	if (may_complain(c))
		vu__warn("control: process %d does not take its answer: %s", (int)p->pid,
			 strerror(-ret));
	p->deaf = true;
	/* Its end shows at the next turn of the event loop, not in the middle of a job. */
	shutdown(p->fd, SHUT_RDWR);
}

void vu__control_fail(struct vu__control *c, int err, const char *fmt, ...)
{
	Vu__Control__Reply reply = VU__CONTROL__REPLY__INIT;
	char why[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	reply.error = -err;
	reply.why = why;
	vu__control_reply(c, &reply, NULL, 0);
}

/* --- requests --- */

static void unknown_request(struct vu__control *c, const Vu__Control__Request *r,
			    int fds[VU__CONTROL_FDS])
{
	(void)fds;
	vu__control_fail(c, -ENOSYS, "libvu %s does not know this request: it speaks version %d "
			 "of the control protocol, the tool version %u", vu_version(),
			 VU__CONTROL_VERSION, r->version);
}

static vu__request *handler_of(const Vu__Control__Request *r)
{
	switch (r->what_case) {
	case VU__CONTROL__REQUEST__WHAT_HELLO:
		return vu__request_hello;
	case VU__CONTROL__REQUEST__WHAT_SAVE:
		return vu__request_save;
	case VU__CONTROL__REQUEST__WHAT_RELEASE:
		return vu__request_release;
	case VU__CONTROL__REQUEST__WHAT_RESTORE:
		return vu__request_restore;
	case VU__CONTROL__REQUEST__WHAT_GIVE:
		return vu__request_give;
	case VU__CONTROL__REQUEST__WHAT_TAKE:
		return vu__request_take;
	case VU__CONTROL__REQUEST__WHAT_DIRTY:
		return vu__request_dirty;
	default:
		return unknown_request;
	}
}

/*
 * Anybody may ask what the device is.  Who holds it may release it, or save it again; if
 * that one is gone, anybody may release it.
 */
static bool goes_with_job(const struct vu__control *c, const Vu__Control__Request *r)
{
	switch (r->what_case) {
	case VU__CONTROL__REQUEST__WHAT_HELLO:
		return true;
	case VU__CONTROL__REQUEST__WHAT_RELEASE:
		return !c->owner || c->owner == c->talking;
	case VU__CONTROL__REQUEST__WHAT_SAVE:
		return c->job->may_save && c->owner == c->talking;
	default:
		return false;
	}
}

static void refuse_busy(struct vu__control *c)
{
	if (c->owner && c->owner != c->talking)
		vu__control_fail(c, -EBUSY, "%s of process %d is under way", c->job->name,
				 (int)c->owner->pid);
	else
		vu__control_fail(c, -EBUSY, "%s is under way", c->job->name);
}

static void serve(struct vu__control *c, const uint8_t *bytes, size_t len,
		  int fds[VU__CONTROL_FDS])
{
	Vu__Control__Request *r = vu__control__request__unpack(NULL, len, bytes);

	if (!r) {
		vu__control_fail(c, -EBADMSG, "not a request");
		return;
	}
	if (c->job && !goes_with_job(c, r))
		refuse_busy(c);
	else
		handler_of(r)(c, r, fds);
	vu__control__request__free_unpacked(r, NULL);
}

/* One packet: others of the event loop get their turn before the next. */
static void on_request(VuDev *dev, int condition, void *data)
{
	static const char too_many[] = "more file descriptors than any request has";
	struct vu__peer *p = data;
	struct vu__control *c = p->c;
	uint8_t bytes[VU__CONTROL_REQUEST];
	VU__RIGHTS(VU__CONTROL_FDS + 2) control;
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	int fds[VU__CONTROL_FDS] = {-1, -1};
	unsigned int nfds = 0;
	const struct vu__job *job = c->job;
	bool fit;
	ssize_t n;

	(void)dev;
	(void)condition;
	if (p->deaf) {
		drop_peer(p);
		return;
	}
	n = vu__sys.recvmsg(p->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	fit = n <= 0 || vu__rights_collect(&h, fds, &nfds, VU__CONTROL_FDS);
	if (n <= 0) {
		drop_peer(p);
		return;
	}
	p->heard_ns = vu__control_now();
	c->talking = p;
	if (h.msg_flags & MSG_TRUNC)
		vu__control_fail(c, -EMSGSIZE, "a request of more than %u bytes",
				 VU__CONTROL_REQUEST);
	else if (!fit)
		vu__control_fail(c, -E2BIG, too_many);
	else
		serve(c, bytes, n, fds);
	/* A job that goes on from here is this one's. */
	if (c->job && !c->owner && c->job != job)
		c->owner = p;
	c->talking = NULL;
	for (unsigned int i = 0; i < VU__CONTROL_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

/* --- peers --- */

/* Says no to who may not come, or not now. */
static void turn_away(int conn, int err, const char *fmt, ...) VU_PRINTF(3, 4);
static void turn_away(int conn, int err, const char *fmt, ...)
{
	Vu__Control__Reply reply = VU__CONTROL__REPLY__INIT;
	char why[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	reply.error = -err;
	reply.why = why;
	(void)send_reply(conn, &reply, NULL, 0);
}

/* A place for another peer: a free one, or that of who has been silent the longest. */
static struct vu__peer *find_place(struct vu__control *c)
{
	struct vu__peer *silent = NULL;

	for (unsigned int i = 0; i < VU__CONTROL_PEERS; i++) {
		struct vu__peer *p = &c->peers[i];

		if (p->fd < 0)
			return p;
		if (p != c->owner && (!silent || p->heard_ns < silent->heard_ns))
			silent = p;
	}
	if (silent && vu__control_now() - silent->heard_ns < IDLE_MS * 1000000ULL)
		return NULL;
	if (silent)
		drop_peer(silent);
	return silent;
}

static void on_connection(VuDev *dev, int condition, void *data)
{
	struct vu__control *c = data;
	VU_CLEANUP_FD int conn = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct vu__peer *p;

	(void)condition;
	if (conn < 0)
		return;
	if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return;
	if (cred.uid != 0 && cred.uid != geteuid()) {
		if (may_complain(c))
			vu__warn("control: user %u (process %d) was turned away",
				 (unsigned int)cred.uid, (int)cred.pid);
		turn_away(conn, -EPERM, "only user %u and root may", (unsigned int)geteuid());
		return;
	}
	p = find_place(c);
	if (!p) {
		turn_away(conn, -EBUSY, "%u others are connected", VU__CONTROL_PEERS);
		return;
	}
	p->pid = cred.pid;
	p->fd = vu__steal_fd(&conn);
	p->heard_ns = vu__control_now();
	p->deaf = false;
	dev->set_watch(dev, p->fd, VU_WATCH_IN, on_request, p);
}

/* --- life --- */

static void say_off(const char *what, int err)
{
	static bool said;

	/* There is none by intention, or a reason that is the same each time. */
	if (err == -ENOENT || __atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		return;
	vu__warn("no control socket: %s: %s (LIBVU_RUN_DIR names another directory, empty "
		 "means none)", what, strerror(-err));
}

static int open_socket(struct vu__control *c, char *why, size_t why_size)
{
	int ret;

	c->dir = vu__run_dir_open(why, why_size);
	if (c->dir < 0)
		return c->dir;
	snprintf(c->name, sizeof(c->name), "%d-%d.control", (int)getpid(), c->d->number);
	snprintf(why, why_size, "%s/%s", vu__run_dir(), c->name);
	ret = open_listener(c);
	if (ret)
		return ret;
	c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	return c->timer < 0 ? -errno : 0;
}

static void begin(struct vu__dev *d, void **data)
{
	struct vu__control *c = vu__sys.calloc(1, sizeof(*c));
	char why[256] = "";
	int ret;

	vu__restored_begin(d);
	if (!c)
		return;
	*c = (struct vu__control){.d = d, .dir = -1, .listener = -1, .timer = -1};
	for (unsigned int i = 0; i < VU__CONTROL_PEERS; i++)
		c->peers[i] = (struct vu__peer){.c = c, .fd = -1};
	*data = c;
	ret = open_socket(c, why, sizeof(why));
	if (!ret)
		return;
	say_off(why, ret);
	close_listener(c);
}

/*
 * Only now is it sure that the event loop is there: programs set it up after vu_init().
 */
static void watch(struct vu__control *c)
{
	VuDev *dev = c->d->pub;

	c->watching = true;
	dev->set_watch(dev, c->timer, VU_WATCH_IN, on_timer, c);
	dev->set_watch(dev, c->listener, VU_WATCH_IN, on_connection, c);
}

static enum vu__dispatch dispatch(struct vu__dev *d, void *data)
{
	struct vu__control *c = data;

	vu__restored_load(d);
	if (!c || c->listener < 0)
		return VU__DISPATCH;
	if (!c->watching)
		watch(c);
	return c->job && c->job->dispatch ? c->job->dispatch(c) : VU__DISPATCH;
}

static void stop(struct vu__dev *d, void *data)
{
	struct vu__control *c = data;

	(void)d;
	if (c && c->job && c->job->stop)
		c->job->stop(c);
}

static void end(struct vu__dev *d, void *data)
{
	struct vu__control *c = data;

	vu__restored_end(d);
	if (!c)
		return;
	if (c->watcher)
		vu__watcher_lost(c);
	if (c->job)
		c->job->end(c);
	for (unsigned int i = 0; i < VU__CONTROL_PEERS; i++)
		vu__control_unwatch(c, &c->peers[i].fd);
	vu__control_unwatch(c, &c->timer);
	close_listener(c);
	free(c);
}

const struct vu__service vu__control_service = {
	.begin = begin,
	.dispatch = dispatch,
	.stop = stop,
	.end = end,
};
