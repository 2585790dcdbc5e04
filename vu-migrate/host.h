/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says of a back-end's process: what it holds that does not move along. */
#ifndef VU_MIGRATE_HOST_H
#define VU_MIGRATE_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct host {
	bool known;	      /* else we may not look */
	pid_t pid;
	unsigned int uid;
	char program[32];
	unsigned int vfio, tun, network, io_uring;
	unsigned int nfiles;
	char files[3][128];   /* of nfiles, the first: regular files and block devices */
	uint64_t locked, pinned; /* bytes */
	bool userfaultfd;     /* it may have one */
	const char *userfaultfd_why;
};

/* Looks at process @pid. */
void host_look(pid_t pid, struct host *h);

/* Whether somebody is connected to the socket at @path. */
bool host_in_use(const char *path);

#endif
