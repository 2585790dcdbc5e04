/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls that fail in the field, in one table, so that tests can make each of
 * them fail.  The library calls them through vu__sys only.
 */
#ifndef VU_BASE_SYS_H
#define VU_BASE_SYS_H

#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

struct vu__sys {
	ssize_t (*recvmsg)(int fd, struct msghdr *msg, int flags);
	ssize_t (*sendmsg)(int fd, const struct msghdr *msg, int flags);
	void *(*mmap)(void *addr, size_t len, int prot, int flags, int fd, off_t off);
	int (*munmap)(void *addr, size_t len);
	int (*memfd_create)(const char *name, unsigned int flags);
	int (*ftruncate)(int fd, off_t len);
	int (*userfaultfd)(int flags);
	int (*open)(const char *path, int flags, ...);
	int (*ioctl)(int fd, unsigned long request, ...);
	void *(*calloc)(size_t n, size_t size);
	int (*thread_create)(pthread_t *thread, const pthread_attr_t *attr,
			     void *(*run)(void *), void *opaque);
};

/* Written by tests only, before any thread is started. */
extern struct vu__sys vu__sys;

#endif
