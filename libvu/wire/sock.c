/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Socket I/O of messages.  One thread a direction of a socket. */
#include "wire/sock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "base/rights.h"
#include "base/sys.h"

/* Room for one fd more than any message has tells "too many" from "just right". */
#define CMSG_FDS (VU__MSG_MAX_FDS + 1)

static int64_t deadline_of(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : vu__now_ms() + timeout_ms;
}

/* A socket that blocks must honour a deadline too, in the middle of a message as well. */
static int io_flags(int64_t deadline)
{
	return deadline < 0 ? 0 : MSG_DONTWAIT;
}

/* Up to @len bytes that are there, and their fds.  Bytes; 0 for the end; or -errno. */
static int recv_bytes(int sock, uint8_t *buf, size_t len, struct vu__msg *m)
{
	VU__RIGHTS(CMSG_FDS) control;
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr h;
	ssize_t n;

	do {
		h = (struct msghdr){.msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control.bytes,
				    .msg_controllen = sizeof(control.bytes)};
		n = vu__sys.recvmsg(sock, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return vu__rights_collect(&h, m->fds, &m->nfds, VU__MSG_MAX_FDS) ? n : -E2BIG;
}

/* 1 if the message is whole then, -EAGAIN if it is not, 0 or -errno. */
static int recv_more(int sock, struct vu__msg *m, struct vu__arrival *a)
{
	bool in_header = a->got < VU__HEADER_SIZE;
	uint32_t off = in_header ? a->got : a->got - VU__HEADER_SIZE;
	int n = recv_bytes(sock, in_header ? a->header + off : m->payload.raw + off,
			   (in_header ? VU__HEADER_SIZE : m->size) - off, m);

	if (n == 0)
		return a->got ? -ECONNRESET : 0;
	if (n < 0)
		return n;
	a->got += n;
	if (a->got == VU__HEADER_SIZE) {
		int ret = vu__msg_decode_header(m, a->header);

		if (ret)
			return ret;
	}
	return a->got >= VU__HEADER_SIZE && a->got - VU__HEADER_SIZE == m->size ? 1 : -EAGAIN;
}

int vu__sock_recv_part(int sock, struct vu__msg *m, struct vu__arrival *a)
{
	uint32_t before;
	int ret;

	if (!a->got)
		vu__msg_init(m, 0);
	do {
		before = a->got;
		ret = recv_more(sock, m, a);
	} while (ret == -EAGAIN && a->got != before);
	if (ret == -EAGAIN)
		return ret;
	if (ret <= 0)
		vu__msg_close_fds(m);
	a->got = 0;
	return ret;
}

int vu__sock_recv(int sock, struct vu__msg *m, int timeout_ms)
{
	int64_t deadline = deadline_of(timeout_ms);
	struct vu__arrival a = {.got = 0};
	int ret;

	while ((ret = vu__sock_recv_part(sock, m, &a)) == -EAGAIN) {
		ret = vu__fd_wait(sock, POLLIN, deadline);
		if (ret) {
			vu__msg_close_fds(m);
			break;
		}
	}
	return ret;
}

static int send_iov(int sock, struct iovec *iov, size_t niov, const int *fds,
		    unsigned int nfds, int64_t deadline)
{
	while (niov) {
		VU__RIGHTS(CMSG_FDS) control;
		struct msghdr h = {.msg_iov = iov, .msg_iovlen = niov};
		ssize_t n;

		if (nfds)
			vu__rights_attach(&h, control.bytes, fds, nfds);
		n = vu__sys.sendmsg(sock, &h, MSG_NOSIGNAL | io_flags(deadline));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			int ret = vu__fd_wait(sock, POLLOUT, deadline);

			if (ret)
				return ret;
			continue;
		}
		if (n < 0)
			return -errno;
		/* The fds went with the first byte. */
		nfds = 0;
		while (niov && (size_t)n >= iov->iov_len) {
			n -= iov->iov_len;
			iov++;
			niov--;
		}
		if (niov) {
			iov->iov_base = (uint8_t *)iov->iov_base + n;
			iov->iov_len -= n;
		}
	}
	return 0;
}

int vu__sock_send(int sock, const struct vu__msg *m, int timeout_ms)
{
	uint8_t header[VU__HEADER_SIZE];
	struct iovec iov[2] = {
		{.iov_base = header, .iov_len = sizeof(header)},
		{.iov_base = (void *)m->payload.raw, .iov_len = m->size},
	};

	if (m->size > VU__MSG_MAX_PAYLOAD || m->nfds > VU__MSG_MAX_FDS)
		return -EINVAL;
	vu__msg_encode_header(m, header);
	return send_iov(sock, iov, m->size ? 2 : 1, m->fds, m->nfds, deadline_of(timeout_ms));
}

int vu__sock_send_raw(int sock, const void *bytes, size_t len, const int *fds,
		      unsigned int nfds, int timeout_ms)
{
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};

	if (nfds > CMSG_FDS)
		return -EINVAL;
	return send_iov(sock, &iov, 1, fds, nfds, deadline_of(timeout_ms));
}
