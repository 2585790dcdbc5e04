/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File descriptors that go with messages of Unix sockets. */
#ifndef VU_BASE_RIGHTS_H
#define VU_BASE_RIGHTS_H

#include <sys/socket.h>

#include "base/util.h"

/* Room for the control data of @n file descriptors. */
#define VU__RIGHTS(n)                                                                     \
	union {                                                                          \
		struct cmsghdr align;                                                    \
		char bytes[CMSG_SPACE((n) * sizeof(int))];                               \
	}

/* Has @h carry @nfds file descriptors, at least one, in @control, which has room. */
void vu__rights_attach(struct msghdr *h, void *control, const int *fds, unsigned int nfds);

/*
 * Adds those that came with @h to @fds, which has @nfds of @max; the rest is closed.
 * False if there were more than fitted, here or in the control data.
 */
VU_MUST_CHECK bool vu__rights_collect(struct msghdr *h, int *fds, unsigned int *nfds,
				      unsigned int max);

#endif
