/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real system calls behind struct vu__sys. */
#include "base/sys.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library has no function for it. */
static int sys_userfaultfd(int flags)
{
	return syscall(SYS_userfaultfd, flags);
}

struct vu__sys vu__sys = {
	.recvmsg = recvmsg,
	.sendmsg = sendmsg,
	.mmap = mmap,
	.munmap = munmap,
	.memfd_create = memfd_create,
	.ftruncate = ftruncate,
	.userfaultfd = sys_userfaultfd,
	.open = open,
	.ioctl = ioctl,
	.calloc = calloc,
	.thread_create = pthread_create,
};
