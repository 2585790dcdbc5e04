/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real system calls behind struct vu__sys. */
#include "base/sys.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct vu__sys vu__sys = {
	.recvmsg = recvmsg,
	.sendmsg = sendmsg,
	.mmap = mmap,
	.munmap = munmap,
	.memfd_create = memfd_create,
	.ftruncate = ftruncate,
	.calloc = calloc,
};
