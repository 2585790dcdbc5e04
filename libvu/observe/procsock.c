/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unix sockets: names, and who is at the other end.  The kernel is asked by netlink,
 * which a socket's name cannot confuse; /proc/PID/net/unix, a line of which can be
 * forged by a path with a line end in it, is for where netlink does not reach.  Any
 * thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>

#include "base/fd.h"
#include "observe/proc.h"

#define TCP_ESTABLISHED 1 /* netinet/tcp.h and linux/tcp.h do not go together */
#define TCP_LISTEN	10

#define ANSWER_MS 500

static struct vu__unix_entry *add(struct vu__unix_table *t, size_t *room)
{
	if (t->n == *room) {
		size_t more = *room ? 2 * *room : 256;
		struct vu__unix_entry *socks =
			reallocarray(t->socks, more, sizeof(*socks));

		if (!socks)
			return NULL;
		t->socks = socks;
		*room = more;
	}
	return &t->socks[t->n++];
}

static int compare(const void *a, const void *b)
{
	uint64_t x = ((const struct vu__unix_entry *)a)->s.inode;
	uint64_t y = ((const struct vu__unix_entry *)b)->s.inode;

	return (x > y) - (x < y);
}

/* Sorts; an inode that is there twice has been forged once: neither is believed. */
static void finish(struct vu__unix_table *t)
{
	size_t to = 0;

	if (t->n)
		qsort(t->socks, t->n, sizeof(*t->socks), compare);
	for (size_t i = 0; i < t->n;) {
		size_t same = 1;

		while (i + same < t->n &&
		       t->socks[i + same].s.inode == t->socks[i].s.inode)
			same++;
		if (same == 1)
			t->socks[to++] = t->socks[i];
		i += same;
	}
	t->n = to;
}

/* --- by netlink --- */

static int diag_open(void)
{
	struct {
		struct nlmsghdr head;
		struct unix_diag_req req;
	} ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.req = {.sdiag_family = AF_UNIX,
			.udiag_states = UINT32_MAX,
			.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER},
	};
	VU_CLEANUP_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
				      NETLINK_SOCK_DIAG);

	if (fd < 0)
		return -errno;
	if (send(fd, &ask, sizeof(ask), 0) != sizeof(ask))
		return -errno;
	return vu__steal_fd(&fd);
}

static void diag_name(struct vu__unix_sock *s, const char *name, size_t len)
{
	if (len >= sizeof(s->path))
		return;
	memcpy(s->path, name, len);
	s->path[len] = '\0';
	if (len && !name[0])
		s->path[0] = '@';
}

static int diag_entry(struct nlmsghdr *h, struct vu__unix_table *t, size_t *room)
{
	struct unix_diag_msg *m = NLMSG_DATA(h);
	struct vu__unix_entry *e;
	struct rtattr *a = (struct rtattr *)(m + 1);
	int left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));

	if (left < 0)
		return -EINVAL;
	e = add(t, room);
	if (!e)
		return -ENOMEM;
	memset(e, 0, sizeof(*e));
	e->s.inode = m->udiag_ino;
	e->s.stream = m->udiag_type == SOCK_STREAM;
	e->s.listening = m->udiag_state == TCP_LISTEN;
	e->s.connected = m->udiag_state == TCP_ESTABLISHED;
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		uint32_t peer;

		if (a->rta_type == UNIX_DIAG_NAME)
			diag_name(&e->s, RTA_DATA(a), RTA_PAYLOAD(a));
		if (a->rta_type == UNIX_DIAG_PEER && RTA_PAYLOAD(a) == sizeof(peer)) {
			memcpy(&peer, RTA_DATA(a), sizeof(peer));
			e->peer = peer;
		}
	}
	return 0;
}

/* 1: the last was seen; 0; -errno. */
static int diag_batch(char *batch, ssize_t len, struct vu__unix_table *t, size_t *room)
{
	struct nlmsghdr *h = (struct nlmsghdr *)batch;
	int left = len;

	for (; left > 0 && NLMSG_OK(h, (unsigned int)left); h = NLMSG_NEXT(h, left)) {
		int ret;

		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR)
			return -EOPNOTSUPP;
		ret = diag_entry(h, t, room);
		if (ret)
			return ret;
	}
	return 0;
}

static int by_netlink(struct vu__unix_table *t)
{
	static const size_t batch_size = 32768;
	VU_CLEANUP_FREE char *batch = malloc(batch_size);
	VU_CLEANUP_FD int fd = diag_open();
	int64_t deadline = vu__now_ms() + ANSWER_MS;
	size_t room = 0;
	int ret = 0;

	if (!batch)
		return -ENOMEM;
	if (fd < 0)
		return fd;
	while (!ret) {
		ssize_t n = recv(fd, batch, batch_size, 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			ret = vu__fd_wait(fd, POLLIN, deadline);
		else
			ret = n < 0 ? -errno : diag_batch(batch, n, t, &room);
	}
	t->peers = true;
	return ret < 0 ? ret : 0;
}

/* --- from /proc --- */

static int by_text(const struct vu__procfs *p, pid_t pid, struct vu__unix_table *t)
{
	VU_CLEANUP_FREE char *line = NULL;
	size_t line_size = 0, room = 0;
	char path[48];
	ssize_t n;
	FILE *f;
	int fd, ret = 0;

	snprintf(path, sizeof(path), pid ? "%d/net/unix" : "net/unix", pid);
	fd = openat(p->dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	f = fdopen(fd, "r");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	while (!ret && (n = getline(&line, &line_size, f)) > 0) {
		struct vu__unix_entry entry = {0}, *e;

		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (vu__procfs_parse_unix(line, &entry.s))
			continue;
		e = add(t, &room);
		if (e)
			*e = entry;
		else
			ret = -ENOMEM;
	}
	fclose(f);
	return ret;
}

int vu__unix_table(const struct vu__procfs *p, pid_t pid, struct vu__unix_table *out)
{
	int ret = -EOPNOTSUPP;

	memset(out, 0, sizeof(*out));
	if (!pid && p->real)
		ret = by_netlink(out);
	if (ret) {
		vu__unix_release(out);
		ret = by_text(p, pid, out);
	}
	if (ret)
		vu__unix_release(out);
	else
		finish(out);
	return ret;
}

void vu__unix_release(struct vu__unix_table *t)
{
	free(t->socks);
	memset(t, 0, sizeof(*t));
}

const struct vu__unix_entry *vu__unix_find(const struct vu__unix_table *t, uint64_t inode)
{
	struct vu__unix_entry key = {.s.inode = inode};

	return t->n ? bsearch(&key, t->socks, t->n, sizeof(key), compare) : NULL;
}

pid_t vu__procfs_peer(pid_t pid, int fd)
{
	VU_CLEANUP_FD int pidfd = syscall(SYS_pidfd_open, pid, 0);
	VU_CLEANUP_FD int sock = -1;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (pidfd < 0)
		return -errno;
	sock = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (sock < 0 || getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	return cred.pid > 0 ? cred.pid : -ESRCH;
}
