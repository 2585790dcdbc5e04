/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What files in /proc say, from their text.  A process can put nearly anything there
 * (its name, its arguments, the paths of its sockets), so nothing is taken for granted.
 * Texts end with a zero byte.  Pure.
 */
#ifndef VU_OBSERVE_PROCTEXT_H
#define VU_OBSERVE_PROCTEXT_H

#include <sys/types.h>

#include "base/util.h"

#define VU__PROCFS_COMM 16

/* Of /proc/PID/stat or /proc/PID/task/TID/stat. */
struct vu__procfs_stat {
	pid_t pid, ppid;
	char state;
	char comm[VU__PROCFS_COMM];
	bool kernel; /* a thread of the kernel */
	uint32_t nthreads;
	uint64_t start_time; /* ticks since boot */
	uint64_t cpu_ticks;  /* user and system */
	int16_t cpu;
};

/* 0 or -EINVAL. */
VU_MUST_CHECK int vu__procfs_parse_stat(const char *text, struct vu__procfs_stat *out);

/* Of an eventfd's fdinfo: 0 or -EINVAL.  *@id is -1 where the kernel does not tell. */
VU_MUST_CHECK int vu__procfs_parse_eventfd(const char *text, int64_t *id,
					   uint64_t *count);

/*
 * Of an epoll fd's fdinfo: the fd numbers it watches, at most @max into @fds, as they
 * were when they were added, in the order of the file.  How many there are.
 */
size_t vu__procfs_parse_epoll(const char *text, int *fds, size_t max);

/*
 * Of /proc/PID/task/TID/syscall: the number, -1 if it runs or is not in a call, and its
 * first two arguments.  0 or -EINVAL.
 */
VU_MUST_CHECK int vu__procfs_parse_syscall(const char *text, int32_t *nr,
					   uint64_t args[2]);

/* What a link in /proc/PID/fd points to. */
enum vu__fd_kind {
	VU__FD_OTHER,
	VU__FD_FILE, /* a path, memfds too */
	VU__FD_SOCKET,
	VU__FD_EVENTFD,
	VU__FD_EPOLL,
	VU__FD_TIMERFD,
	VU__FD_URING,
	VU__FD_KVM_VM,
	VU__FD_KVM_VCPU,
};

/* *@inode: of a socket; else 0. */
enum vu__fd_kind vu__procfs_parse_link(const char *text, uint64_t *inode);

struct vu__unix_sock {
	uint64_t inode;
	bool stream; /* SOCK_STREAM */
	bool listening;
	bool connected;
	char path[108]; /* "" none; an abstract one begins with '@' */
};

/*
 * Of one line of /proc/net/unix, without its end.  0; -EINVAL: it is none, as the
 * heading is not, nor what follows a line end within a path.
 */
VU_MUST_CHECK int vu__procfs_parse_unix(const char *line, struct vu__unix_sock *out);

/*
 * The argument of option @name in @len bytes of a zero-separated command line: what
 * follows it, or what follows '=' in it; one dash or two.  @nth: which of several, from
 * 0.  NULL: it is not there.
 */
const char *vu__procfs_option(const char *cmdline, size_t len, const char *name,
			      unsigned int nth);

/*
 * The value of @key in a comma-separated list "a,key=value,...", where a comma in a
 * value is doubled; key NULL: the first word, if it has no '='.  False: it is not
 * there, or does not fit.
 */
bool vu__procfs_suboption(const char *list, const char *key, char *out, size_t size);

/* Copies text that a stranger wrote: what does not print, becomes '?'. */
void vu__procfs_copy_text(char *to, size_t size, const char *from, size_t len);

#endif
