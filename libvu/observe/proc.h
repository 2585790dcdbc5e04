/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc: who is there, what they have open, what their threads do.
 *
 * Every process may vanish between two reads, which is -ENOENT or -ESRCH, and may be
 * somebody else's, which is -EACCES or -EPERM.  Reading changes nothing.  Any thread.
 */
#ifndef VU_OBSERVE_PROC_H
#define VU_OBSERVE_PROC_H

#include "observe/model.h"
#include "observe/prockept.h"
#include "observe/proctext.h"

/* The most that is looked at of one process. */
#define VU__PROCFS_MAX_FDS     65536u
#define VU__PROCFS_MAX_THREADS 4096u

struct vu__procfs {
	int dir; /* of /proc, or of a tree that looks like it */
	bool real;
	long ticks_per_s;
	struct vu__kept *kept; /* NULL: files are opened anew each time; one thread */
};

/* @root: NULL for /proc.  0 or -errno. */
VU_MUST_CHECK int vu__procfs_open(struct vu__procfs *p, const char *root);
void vu__procfs_close(struct vu__procfs *p);

/* All processes, sorted; *@pids to be freed.  Their number or -errno. */
ssize_t vu__procfs_pids(const struct vu__procfs *p, pid_t **pids);

/* @tid: 0 for the process as a whole. */
VU_MUST_CHECK int vu__procfs_stat(const struct vu__procfs *p, pid_t pid, pid_t tid,
				  struct vu__procfs_stat *out);
VU_MUST_CHECK int vu__procfs_uid(const struct vu__procfs *p, pid_t pid, uid_t *uid);

/* Whether @pid is still the process that was started at @start_time. */
bool vu__procfs_is(const struct vu__procfs *p, pid_t pid, uint64_t start_time);

/* Zero-separated words, at most @size - 1 bytes and a zero.  Bytes or -errno. */
ssize_t vu__procfs_cmdline(const struct vu__procfs *p, pid_t pid, char *to, size_t size);

/* --- file descriptors --- */

struct vu__procfs_fd {
	int fd;
	enum vu__fd_kind kind;
	uint64_t inode; /* of a socket */
	int64_t event;	/* eventfd-id, -1 not known */
	uint64_t count; /* of an eventfd, when it was looked at */
};

struct vu__procfs_fds {
	size_t n;
	bool cut;		   /* there are more than VU__PROCFS_MAX_FDS */
	struct vu__procfs_fd *fds; /* by fd */
};

/*
 * What @pid has open, of the kinds in @kinds (bits of enum vu__fd_kind); to be
 * released.  0 or -errno.
 */
VU_MUST_CHECK int vu__procfs_fds(const struct vu__procfs *p, pid_t pid,
				 unsigned int kinds, struct vu__procfs_fds *out);
void vu__procfs_fds_release(struct vu__procfs_fds *f);

/* Through fdinfo: the counter is not touched. */
VU_MUST_CHECK int vu__procfs_eventfd(const struct vu__procfs *p, pid_t pid, int fd,
				     int64_t *id, uint64_t *count);

/* The fds that epoll fd @epfd watches, at most @max; how many there are, or -errno. */
ssize_t vu__procfs_epoll(const struct vu__procfs *p, pid_t pid, int epfd, int *fds,
			 size_t max);

/* --- threads --- */

/* Thread ids, sorted; *@tids to be freed.  Their number or -errno. */
ssize_t vu__procfs_tids(const struct vu__procfs *p, pid_t pid, pid_t **tids);

/*
 * What thread @tid is at.  waits says whether it sleeps for events, as far as the
 * call tells.  What may not be seen stays unknown.  0 or -errno.
 */
VU_MUST_CHECK int vu__procfs_worker(const struct vu__procfs *p, pid_t pid, pid_t tid,
				    struct vu__obs_worker *out);

/*
 * What sleeping thread @w waits to read from, at most @max into @fds.  How many there
 * are; -EAGAIN: it does not sleep; -EOPNOTSUPP: it cannot be seen; other -errno.
 */
ssize_t vu__procfs_worker_fds(const struct vu__procfs *p, pid_t pid,
			      const struct vu__obs_worker *w, int *fds, size_t max);

/* Sets w->watches: whether it would wake for @fd. */
void vu__procfs_worker_watches(const struct vu__procfs *p, pid_t pid, int fd,
			       struct vu__obs_worker *w);

/* Whether system call @nr sleeps until a file descriptor has something. */
bool vu__procfs_is_wait(int32_t nr);

/* --- sockets --- */

struct vu__unix_table {
	size_t n;
	bool peers; /* peer is known */
	struct vu__unix_entry {
		struct vu__unix_sock s;
		uint64_t peer; /* inode; 0 none, or not known */
	} * socks;	       /* by inode */
};

/*
 * The Unix sockets of the network namespace @pid is in, from /proc; with 0 of this one,
 * and then from the kernel (sock_diag) if it tells.  To be released.  0 or -errno.
 */
VU_MUST_CHECK int vu__unix_table(const struct vu__procfs *p, pid_t pid,
				 struct vu__unix_table *out);
void vu__unix_release(struct vu__unix_table *t);

/* NULL: there is none. */
const struct vu__unix_entry *vu__unix_find(const struct vu__unix_table *t,
					   uint64_t inode);

/* Who was at the other end when @pid's socket @fd was connected (SO_PEERCRED); -errno. */
pid_t vu__procfs_peer(pid_t pid, int fd);

#endif
