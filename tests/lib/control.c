/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tool's side of a control socket. */
#include "tests/lib/control.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

static char run_dir[] = "/tmp/vu-test.XXXXXX";

int control_set_up(void **state)
{
	(void)state;
	return !mkdtemp(run_dir) || setenv("LIBVU_RUN_DIR", run_dir, 1);
}

/* What is left there has been forgotten. */
int control_tear_down(void **state)
{
	(void)state;
	return rmdir(run_dir);
}

void control_path(struct pair *p, char *path, size_t size)
{
	struct vu__control *c = p->dev.priv->service_data[0];

	snprintf(path, size, "%s/%s", run_dir, c->name);
}

int control_connect(struct pair *p)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	uint64_t features;

	check_ok(p, vu_frontend_get_features(p->fe, &features));
	control_path(p, addr.sun_path, sizeof(addr.sun_path));
	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		fail_msg("%s: %s", addr.sun_path, strerror(errno));
	return fd;
}

bool control_try_send(int fd, Vu__Control__Request *r, const int *fds, unsigned int nfds)
{
	uint8_t bytes[VU__CONTROL_REQUEST];
	char control[CMSG_SPACE(VU__CONTROL_FDS * sizeof(int))]
		__attribute__((aligned(sizeof(struct cmsghdr)))) = {0};
	struct iovec iov = {.iov_base = bytes};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	r->version = VU__CONTROL_VERSION;
	iov.iov_len = vu__control__request__pack(r, bytes);
	if (nfds) {
		struct cmsghdr *m;

		h.msg_control = control;
		h.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		m = CMSG_FIRSTHDR(&h);
		m->cmsg_level = SOL_SOCKET;
		m->cmsg_type = SCM_RIGHTS;
		m->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(m), fds, nfds * sizeof(int));
	}
	return sendmsg(fd, &h, MSG_NOSIGNAL) >= 0;
}

void control_send(int fd, Vu__Control__Request *r, const int *fds, unsigned int nfds)
{
	assert_true(control_try_send(fd, r, fds, nfds));
}

Vu__Control__Reply *control_receive(int fd, int *got)
{
	uint8_t bytes[VU__CONTROL_REPLY];
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(sizeof(struct cmsghdr))));
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			   .msg_controllen = sizeof(control)};
	Vu__Control__Reply *reply;
	struct cmsghdr *m;
	ssize_t n;

	if (got)
		*got = -1;
	assert_int_equal(vu__fd_wait(fd, POLLIN, vu__now_ms() + 5000), 0);
	n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
	if (n < 0 && errno == ECONNRESET)
		n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return NULL;
	m = CMSG_FIRSTHDR(&h);
	if (m && m->cmsg_type == SCM_RIGHTS) {
		int came;

		memcpy(&came, CMSG_DATA(m), sizeof(int));
		if (got)
			*got = came;
		else
			close(came);
	}
	reply = vu__control__reply__unpack(NULL, n, bytes);
	assert_non_null(reply);
	return reply;
}

Vu__Control__Reply *control_call(int fd, Vu__Control__Request *r, int *got)
{
	Vu__Control__Reply *reply;

	control_send(fd, r, NULL, 0);
	reply = control_receive(fd, got);
	assert_non_null(reply);
	return reply;
}

void control_ok(int fd, Vu__Control__Request *r)
{
	Vu__Control__Reply *reply = control_call(fd, r, NULL);

	if (reply->error)
		fail_msg("%u: %s", reply->error, reply->why);
	vu__control__reply__free_unpacked(reply, NULL);
}

void control_fails(int fd, Vu__Control__Request *r, int err, const char *text)
{
	Vu__Control__Reply *reply = control_call(fd, r, NULL);

	if ((int)reply->error != err || !strstr(reply->why, text))
		fail_msg("%u '%s' is not %d '%s'", reply->error, reply->why, err, text);
	vu__control__reply__free_unpacked(reply, NULL);
}
