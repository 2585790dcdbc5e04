/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Putting another file behind an fd's number, for event loops too: an epoll set knows
 * files, not numbers, and would go on with the old one.
 */
#ifndef VU_STATE_SWAP_H
#define VU_STATE_SWAP_H

#include "base/util.h"

/*
 * From now on @fd is the file that @with is; @with stays the caller's.  Every epoll set of
 * this process that watches @fd watches the new file the same way.  Costs a look at all
 * fds of the process.  0 or -errno.
 */
VU_MUST_CHECK int vu__fd_swap(int fd, int with);

/*
 * The socket of this process that listens where the connected socket @sock was accepted.
 * -1 if there is none, or it has no name.
 */
int vu__find_listener(int sock);

#endif
