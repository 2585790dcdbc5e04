/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding back-ends in the run directory and talking to them. */
#include "vu-migrate/client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/rights.h"
#include "base/rundir.h"
#include "libvu/frontend.h"
#include "state/control.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/progress.h"

#define HELLO_MS 1000

/* --- packets --- */

static int wrong(struct client *c, int err, const char *fmt, ...) VU_PRINTF(3, 4);
static int wrong(struct client *c, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	return err;
}

int client_send(struct client *c, Vu__Control__Request *r, const int *fds, unsigned int nfds)
{
	uint8_t bytes[VU__CONTROL_REQUEST];
	VU__RIGHTS(VU__CONTROL_FDS) control;
	struct iovec iov = {.iov_base = bytes};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	r->version = VU__CONTROL_VERSION;
	if (vu__control__request__get_packed_size(r) > sizeof(bytes))
		return wrong(c, -EMSGSIZE, "the request is too long");
	iov.iov_len = vu__control__request__pack(r, bytes);
	if (nfds)
		vu__rights_attach(&h, control.bytes, fds, nfds);
	/* Who was turned away has an answer waiting all the same. */
	if (sendmsg(c->fd, &h, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
		return wrong(c, -errno, "%s", strerror(errno));
	return 0;
}

/* A packet's length; 0 at the end; -errno. */
static ssize_t receive(struct client *c, void *bytes, size_t size)
{
	VU__RIGHTS(1) control;
	struct iovec iov = {.iov_base = bytes, .iov_len = size};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(c->fd, &h, MSG_CMSG_CLOEXEC);
	int fd[1];
	unsigned int nfds = 0;

	/* The peer has closed without reading; what it said before is still there. */
	if (n < 0 && errno == ECONNRESET)
		n = recvmsg(c->fd, &h, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	/* No answer has more than one, and what is more is closed. */
	(void)!vu__rights_collect(&h, fd, &nfds, 1);
	if (nfds) {
		vu__cleanup_fd(&c->got_fd);
		c->got_fd = fd[0];
	}
	return h.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
}

/* The same as vu__fd_wait(), told to who waits, and ended by who has had enough. */
static int wait_for_answer(const struct client *c, int timeout_ms)
{
	int64_t begin = vu__now_ms(), end = begin + timeout_ms;
	int ret;

	do {
		int64_t now = vu__now_ms(), slice = now + PROGRESS_MS;

		if (interrupted)
			return -EINTR;
		progress(c->name, (double)(now - begin) / 1e3, (double)timeout_ms / 1e3);
		ret = vu__fd_wait(c->fd, POLLIN,
				  timeout_ms >= 0 && end < slice ? end : slice);
	} while (ret == -ETIMEDOUT && (timeout_ms < 0 || vu__now_ms() < end));
	progress_end();
	return ret;
}

Vu__Control__Reply *client_receive(struct client *c, int timeout_ms, int *err)
{
	VU_CLEANUP_FREE uint8_t *bytes = malloc(VU__CONTROL_REPLY);
	Vu__Control__Reply *reply;
	ssize_t n = 0;

	*err = bytes ? wait_for_answer(c, timeout_ms) : -ENOMEM;
	if (!*err)
		n = receive(c, bytes, VU__CONTROL_REPLY);
	if (*err || n <= 0) {
		*err = *err ? *err : n ? (int)n : -ECONNRESET;
		wrong(c, *err, "%s", *err == -ETIMEDOUT ? "it does not answer" :
				     *err == -EINTR	? "interrupted" :
				     n == 0		? "it has closed the connection" :
							  strerror(-*err));
		return NULL;
	}
	reply = vu__control__reply__unpack(NULL, n, bytes);
	if (!reply) {
		*err = wrong(c, -EPROTO, "its answer does not parse");
	} else if (reply->error) {
		*err = wrong(c, -(int)VU_MIN(reply->error, 4095), "%s", reply->why);
		vu__control__reply__free_unpacked(reply, NULL);
		reply = NULL;
	}
	return reply;
}

Vu__Control__Reply *client_call(struct client *c, Vu__Control__Request *r, const int *fds,
				unsigned int nfds, int timeout_ms, int *err)
{
	*err = client_send(c, r, fds, nfds);
	return *err ? NULL : client_receive(c, timeout_ms, err);
}

int client_fail(const struct client *c, int err, const char *what)
{
	return fail(err, "%s: %s: %s", c->name, what, c->why);
}

bool client_can(const struct client *c, const char *what)
{
	for (size_t i = 0; i < c->info->n_can; i++) {
		if (!strcmp(c->info->can[i], what))
			return true;
	}
	say("%s: libvu %s there cannot do this ('%s')", c->name, c->info->library, what);
	return false;
}

/* --- one device --- */

static int hello(struct client *c)
{
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;
	Vu__Control__Hello h = VU__CONTROL__HELLO__INIT;
	Vu__Control__Reply *reply;
	int err;

	r.what_case = VU__CONTROL__REQUEST__WHAT_HELLO;
	r.hello = &h;
	reply = client_call(c, &r, NULL, 0, HELLO_MS, &err);
	if (!reply)
		return err;
	if (reply->what_case == VU__CONTROL__REPLY__WHAT_INFO) {
		/* Moved out of the reply, which is freed. */
		c->info = reply->info;
		reply->what_case = VU__CONTROL__REPLY__WHAT__NOT_SET;
	}
	vu__control__reply__free_unpacked(reply, NULL);
	return c->info ? 0 : wrong(c, -EPROTO, "it does not say what it is");
}

/*
 * A process that is stopped accepts nobody, and the queue of those who wait for it may be
 * full: then a socket that blocks would wait for ever.
 */
static int connect_patiently(int fd, const struct sockaddr_un *addr)
{
	int64_t deadline = vu__now_ms() + HELLO_MS;

	while (connect(fd, (const struct sockaddr *)addr, sizeof(*addr))) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (vu__now_ms() > deadline || interrupted)
			return -ETIMEDOUT;
		poll(NULL, 0, 10);
	}
	return fcntl(fd, F_SETFL, 0) ? -errno : 0;
}

/* Connects to a socket in directory @dir, an fd or AT_FDCWD. */
static int connect_at(struct client *c, int dir, const char *name)
{
	VU_CLEANUP_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	VU_CLEANUP_FD int file = openat(dir, name, O_PATH | O_CLOEXEC);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int ret;

	if (fd < 0 || file < 0)
		return wrong(c, -errno, "%s", strerror(errno));
	/* Paths may be longer than an address has room for. */
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d", file);
	ret = connect_patiently(fd, &addr);
	if (ret)
		return wrong(c, ret, "%s", ret == -ETIMEDOUT ? "it does not answer" :
							       strerror(-ret));
	c->fd = vu__steal_fd(&fd);
	return hello(c);
}

static void init(struct client *c, const char *name)
{
	*c = (struct client){.fd = -1, .got_fd = -1};
	snprintf(c->name, sizeof(c->name), "%s", name);
}

void client_close(struct client *c)
{
	if (c->info)
		vu__control__info__free_unpacked(c->info, NULL);
	if (c->fd >= 0)
		close(c->fd);
	if (c->got_fd >= 0)
		close(c->got_fd);
	vu_frontend_free(c->placeholder);
	*c = (struct client){.fd = -1, .got_fd = -1};
}

/* --- all devices --- */

struct entry {
	int pid, n;
};

/* "P-N.control" */
static bool parse_name(const char *name, struct entry *e)
{
	int end = 0;

	return sscanf(name, "%d-%d.control%n", &e->pid, &e->n, &end) == 2 && end &&
	       !name[end] && e->pid > 0 && e->n >= 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->pid != y->pid ? (x->pid > y->pid) - (x->pid < y->pid) :
				  (x->n > y->n) - (x->n < y->n);
}

static struct entry *read_entries(int fd, size_t *n)
{
	DIR *dir = fdopendir(dup(fd));
	struct entry *list = NULL, e;
	struct dirent *d;

	*n = 0;
	while (dir && (d = readdir(dir))) {
		struct entry *more;

		if (!parse_name(d->d_name, &e))
			continue;
		more = realloc(list, (*n + 1) * sizeof(*list));
		if (!more)
			break;
		list = more;
		list[(*n)++] = e;
	}
	if (dir)
		closedir(dir);
	if (list)
		qsort(list, *n, sizeof(*list), by_pid);
	return list;
}

/* Where a process died without its destructors, its socket is left. */
static void prune(int dir, const struct entry *e, const char *file)
{
	if (kill(e->pid, 0) && errno == ESRCH)
		unlinkat(dir, file, 0);
}

int client_each(void (*each)(struct client *c, void *opaque), void *opaque)
{
	const char *path = vu__run_dir();
	VU_CLEANUP_FREE struct entry *list = NULL;
	VU_CLEANUP_FD int dir = -1;
	size_t n;

	if (!path)
		return fail(-ENOENT, "LIBVU_RUN_DIR is empty: there is no run directory");
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return fail(-errno, "%s: %s", path, strerror(errno));
	list = read_entries(dir, &n);
	for (size_t i = 0; i < n; i++) {
		struct client c;
		char file[64];
		int ret;

		snprintf(file, sizeof(file), "%d-%d", list[i].pid, list[i].n);
		init(&c, file);
		snprintf(file, sizeof(file), "%d-%d.control", list[i].pid, list[i].n);
		ret = connect_at(&c, dir, file);
		if (ret == -ECONNREFUSED)
			prune(dir, &list[i], file);
		else if (ret != -ENOENT)
			each(&c, opaque);
		client_close(&c);
	}
	return 0;
}

/* --- by target --- */

struct search {
	const char *target;
	char path[PATH_MAX]; /* of the target, resolved; "" if it is none */
	unsigned int pid;    /* 0: any */
	unsigned int own;    /* process that is its front-end; 0: any */
	struct client found;
	unsigned int count;
	char why[600];
};

/* The path a back-end listens on, as seen from here. */
static bool same_path(const Vu__Control__Info *info, const char *path)
{
	char full[PATH_MAX], resolved[PATH_MAX];

	if (!info->socket[0] || !path[0])
		return false;
	if (info->socket[0] == '/')
		snprintf(full, sizeof(full), "%s", info->socket);
	else
		snprintf(full, sizeof(full), "/proc/%u/cwd/%s", info->pid, info->socket);
	return realpath(full, resolved) && !strcmp(resolved, path);
}

static bool matches(const struct search *s, const struct client *c)
{
	if (s->own)
		return c->info->frontend_pid == s->own;
	if (s->pid)
		return c->info->pid == s->pid;
	return !strcmp(c->name, s->target) || same_path(c->info, s->path);
}

static void consider(struct client *c, void *opaque)
{
	struct search *s = opaque;

	if (!c->info) {
		/* Perhaps it was the one: then this is what to say. */
		if (!strcmp(c->name, s->target) || (s->pid && atoi(c->name) == (int)s->pid))
			snprintf(s->why, sizeof(s->why), "%s: %s", c->name, c->why);
		return;
	}
	if (!matches(s, c))
		return;
	if (s->count++) {
		say("%s: %s is one of several; name one", s->target, c->name);
		return;
	}
	s->found = *c;
	*c = (struct client){.fd = -1, .got_fd = -1};
}

static int search(struct search *s, struct client *c)
{
	int status = client_each(consider, s);

	if (s->count == 1) {
		*c = s->found;
		return 0;
	}
	if (s->count)
		client_close(&s->found);
	return s->count ? EXIT_USAGE : status;
}

int client_of_ours(struct client *c)
{
	struct search s = {.target = "", .own = getpid()};
	int status;

	init(c, "");
	if (!vu__run_dir() || access(vu__run_dir(), F_OK))
		return -ENOENT;
	status = search(&s, c);
	return status || s.count ? status : -ENOENT;
}

/* Nobody is connected there: we are its front-end until it has its orders. */
static int open_fresh(struct client *c, const char *path)
{
	struct vu_frontend *fe = vu_frontend_connect(path);
	uint64_t features;
	int ret;

	if (!fe)
		return fail(-errno, "%s: %s", path, strerror(errno));
	vu_frontend_set_timeout(fe, (int)VU_MIN(globals.timeout_ms, INT_MAX));
	ret = vu_frontend_get_features(fe, &features);
	if (ret) {
		say("%s: it does not answer as a back-end (%s); perhaps it serves somebody else",
		    path, vu_frontend_error(fe));
		ret = status_of(ret);
	} else {
		ret = client_of_ours(c);
		if (ret == -ENOENT)
			ret = fail(-ENOTSUP, "%s: that back-end has no control socket in %s",
				   path, vu__run_dir() ? vu__run_dir() : "no run directory");
	}
	if (ret)
		vu_frontend_free(fe);
	else
		c->placeholder = fe;
	return ret;
}

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

static int open_control(struct client *c, const char *path)
{
	int ret;

	init(c, path);
	ret = connect_at(c, AT_FDCWD, path);
	if (!ret)
		return 0;
	say("%s: %s", path, c->why);
	client_close(c);
	return status_of(ret);
}

int client_find(struct client *c, const char *target)
{
	struct search s = {.target = target};
	int status;

	init(c, target);
	if (strlen(target) > 8 && !strcmp(target + strlen(target) - 8, ".control"))
		return open_control(c, target);
	if (is_number(target))
		s.pid = strtoul(target, NULL, 10);
	else if (!realpath(target, s.path))
		s.path[0] = '\0';
	/* Back-ends can do without one. */
	if (s.path[0] && (!vu__run_dir() || access(vu__run_dir(), F_OK)))
		return -ENOENT;
	status = search(&s, c);
	if (status || s.count)
		return status;
	snprintf(c->why, sizeof(c->why), "%.499s", s.why);
	return -ENOENT;
}

int client_open(struct client *c, const char *target, bool fresh)
{
	struct stat st;
	int status = client_find(c, target);

	if (status != -ENOENT)
		return status;
	if (fresh && !stat(target, &st) && S_ISSOCK(st.st_mode))
		return open_fresh(c, target);
	if (c->why[0])
		return fail(-ENOENT, "%s", c->why);
	return fail(-ENOENT, "%s: no back-end of this name in %s ('vu-migrate list' has all)",
		    target, vu__run_dir() ? vu__run_dir() : "no run directory");
}

/* --- machines --- */

static void name_from(char *args, size_t len, char *name, size_t size)
{
	for (char *at = args; at < args + len; at += strlen(at) + 1) {
		const char *value = at + strlen(at) + 1;

		if (strcmp(at, "-name") || value >= args + len)
			continue;
		if (!strncmp(value, "guest=", 6))
			value += 6;
		snprintf(name, size, "%.*s", (int)strcspn(value, ","), value);
		return;
	}
}

static ssize_t read_proc(unsigned int pid, const char *what, char *to, size_t size)
{
	VU_CLEANUP_FD int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, to, size - 1);
	to[n < 0 ? 0 : n] = '\0';
	return n;
}

void vm_name(unsigned int pid, char *name, size_t size)
{
	char args[65536];
	ssize_t n = read_proc(pid, "cmdline", args, sizeof(args));

	name[0] = '\0';
	if (n > 0)
		name_from(args, n, name, size);
	if (name[0])
		return;
	n = read_proc(pid, "comm", args, sizeof(args));
	if (n > 0)
		snprintf(name, size, "%.*s", (int)strcspn(args, "\n"), args);
	else
		snprintf(name, size, "?");
}
