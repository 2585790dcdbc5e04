/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages over a Unix stream socket: the only file of the wire that does I/O. */
#ifndef VU_WIRE_SOCK_H
#define VU_WIRE_SOCK_H

#include "wire/msg.h"

/* A message on its way in; zeros: none has begun. */
struct vu__arrival {
	uint32_t got; /* bytes, of header and payload together */
	uint8_t header[VU__HEADER_SIZE];
};

/*
 * Receives of a message what is there, without waiting, into @m and @a, which are the
 * same at each call until it is whole.  -EAGAIN: some of it is still to come.  Otherwise
 * as vu__sock_recv(), and @a is ready for another message.
 */
VU_MUST_CHECK int vu__sock_recv_part(int sock, struct vu__msg *m, struct vu__arrival *a);

/*
 * Receives one whole message into @m, which then owns its fds (close-on-exec).  Waits
 * for as long as @timeout_ms allows (-1: for ever), also if the socket does not block.
 *
 * 1: a message; 0: the peer closed before one began; -errno otherwise, no fd kept:
 * -EPROTO wrong version, -EMSGSIZE payload larger than any message's, -E2BIG more fds
 * than any message has, -ECONNRESET closed in the middle, -ETIMEDOUT.  After an error
 * the stream is out of step and of no more use.
 */
VU_MUST_CHECK int vu__sock_recv(int sock, struct vu__msg *m, int timeout_ms);

/*
 * Sends @m whole, with its fds, which stay the caller's.  0 or -errno; never raises
 * SIGPIPE.  After an error the stream is out of step.
 */
VU_MUST_CHECK int vu__sock_send(int sock, const struct vu__msg *m, int timeout_ms);

/* Sends bytes as they are, with fds; for a front-end that means to be malformed. */
VU_MUST_CHECK int vu__sock_send_raw(int sock, const void *bytes, size_t len, const int *fds,
				    unsigned int nfds, int timeout_ms);

#endif
