/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc says of processes and their file descriptors. */
#ifndef VU_BASE_PROC_H
#define VU_BASE_PROC_H

#include <sys/types.h>

#include "base/util.h"

/* Reads a small file whole, of folder @dir or AT_FDCWD, and ends it with a NUL; cuts what
 * does not fit.  Its length or -errno. */
VU_MUST_CHECK ssize_t vu__read_file_at(int dir, const char *path, char *buf, size_t size);

struct vu__proc_stat {
	char comm[16];
	char state;	 /* as in /proc/PID/stat: R, S, D, T, t, Z, X... */
	uint64_t start; /* clock ticks after boot; with the pid it names a process */
};

/* 0; -ENOENT: no such process; other -errno. */
VU_MUST_CHECK int vu__proc_stat(pid_t pid, struct vu__proc_stat *st);

/* True if @uid is one of those the process runs as: real, effective, saved or fs. */
bool vu__proc_runs_as(pid_t pid, uid_t uid);

/* The inode of this process's pid name space, 0 if it is not known. */
uint64_t vu__proc_pid_ns(void);

/* The id of an eventfd of this process, which is the same in every process that has it
 * (Linux 5.2); -1 if it is not known. */
int64_t vu__proc_eventfd_id(int fd);

#endif
