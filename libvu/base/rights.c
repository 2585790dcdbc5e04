/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File descriptors that go with messages of Unix sockets.  Any thread. */
#include "base/rights.h"

#include <string.h>

void vu__rights_attach(struct msghdr *h, void *control, const int *fds, unsigned int nfds)
{
	struct cmsghdr *c;

	memset(control, 0, CMSG_SPACE(nfds * sizeof(int)));
	h->msg_control = control;
	h->msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	c = CMSG_FIRSTHDR(h);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
}

bool vu__rights_collect(struct msghdr *h, int *fds, unsigned int *nfds, unsigned int max)
{
	bool fit = !(h->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*nfds < max) {
				fds[(*nfds)++] = fd;
			} else {
				close(fd);
				fit = false;
			}
		}
	}
	return fit;
}
