/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading /proc.  Any thread. */
#include "observe/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/proc.h"

/* Of the fdinfo of an epoll fd that watches thousands. */
#define MAX_FDINFO (1u << 20)

int vu__procfs_open(struct vu__procfs *p, const char *root)
{
	p->dir = open(root ? root : "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	p->real = !root;
	p->kept = NULL;
	p->ticks_per_s = sysconf(_SC_CLK_TCK);
	if (p->ticks_per_s <= 0)
		p->ticks_per_s = 100;
	return p->dir < 0 ? -errno : 0;
}

void vu__procfs_close(struct vu__procfs *p)
{
	vu__cleanup_fd(&p->dir);
	p->dir = -1;
	vu__kept_free(p->kept);
	p->kept = NULL;
}

/* --- files and folders --- */

/* What a snapshot looks at each time. */
static ssize_t read_again(const struct vu__procfs *p, enum vu__procfs_file what, pid_t pid,
			  int number, char *to, size_t size)
{
	char path[64];

	if (p->kept)
		return vu__kept_read(p->kept, p->dir, what, pid, number, to, size);
	vu__procfs_path(path, sizeof(path), what, pid, number);
	return vu__read_file_at(p->dir, path, to, size);
}

static int compare_ints(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* The names in a folder that are numbers, sorted, at most @max; *@out to be freed. */
static ssize_t list_numbers(const struct vu__procfs *p, const char *path, size_t max,
			    bool *cut, int **out)
{
	int fd = openat(p->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = 0, room = 0;
	struct dirent *e;
	DIR *d;

	*out = NULL;
	*cut = false;
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while ((e = readdir(d))) {
		char *end;
		long number = strtol(e->d_name, &end, 10);

		if (*end || end == e->d_name || number < 0 || number > INT_MAX)
			continue;
		if (n == max) {
			*cut = true;
			break;
		}
		if (n == room) {
			int *more = realloc(*out,
					    (room = room ? 2 * room : 64) * sizeof(int));

			if (!more) {
				closedir(d);
				free(vu__steal_ptr(out));
				return -ENOMEM;
			}
			*out = more;
		}
		(*out)[n++] = number;
	}
	closedir(d);
	if (n)
		qsort(*out, n, sizeof(int), compare_ints);
	return n;
}

/* --- processes --- */

ssize_t vu__procfs_pids(const struct vu__procfs *p, pid_t **pids)
{
	bool cut;

	return list_numbers(p, ".", SIZE_MAX, &cut, pids);
}

int vu__procfs_stat(const struct vu__procfs *p, pid_t pid, pid_t tid,
		    struct vu__procfs_stat *out)
{
	char text[1024];
	ssize_t n = read_again(p, tid ? VU__PROC_TASK_STAT : VU__PROC_STAT, pid, tid, text,
			       sizeof(text));

	return n < 0 ? n : vu__procfs_parse_stat(text, out);
}

int vu__procfs_uid(const struct vu__procfs *p, pid_t pid, uid_t *uid)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "%d", pid);
	if (fstatat(p->dir, path, &st, 0) < 0)
		return -errno;
	*uid = st.st_uid;
	return 0;
}

bool vu__procfs_is(const struct vu__procfs *p, pid_t pid, uint64_t start_time)
{
	struct vu__procfs_stat st;

	/* A zombie has nothing left to look at. */
	return !vu__procfs_stat(p, pid, 0, &st) && st.start_time == start_time &&
	       st.state != 'Z' && st.state != 'X';
}

ssize_t vu__procfs_cmdline(const struct vu__procfs *p, pid_t pid, char *to, size_t size)
{
	char path[32];

	snprintf(path, sizeof(path), "%d/cmdline", pid);
	return vu__read_file_at(p->dir, path, to, size);
}

/* --- file descriptors --- */

int vu__procfs_eventfd(const struct vu__procfs *p, pid_t pid, int fd, int64_t *id,
		       uint64_t *count)
{
	char text[512];
	ssize_t n = read_again(p, VU__PROC_FDINFO, pid, fd, text, sizeof(text));

	return n < 0 ? n : vu__procfs_parse_eventfd(text, id, count);
}

/* False: it is gone, or of no kind in @kinds. */
static bool look_at_fd(const struct vu__procfs *p, pid_t pid, int fd, unsigned int kinds,
		       struct vu__procfs_fd *out)
{
	char path[64], link[256];
	ssize_t n;

	snprintf(path, sizeof(path), "%d/fd/%d", pid, fd);
	n = readlinkat(p->dir, path, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = '\0';
	*out = (struct vu__procfs_fd){.fd = fd, .event = -1};
	out->kind = vu__procfs_parse_link(link, &out->inode);
	if (!vu__has_bit(kinds, out->kind))
		return false;
	if (out->kind == VU__FD_EVENTFD &&
	    vu__procfs_eventfd(p, pid, fd, &out->event, &out->count))
		out->event = -1;
	return true;
}

int vu__procfs_fds(const struct vu__procfs *p, pid_t pid, unsigned int kinds,
		   struct vu__procfs_fds *out)
{
	VU_CLEANUP_FREE int *numbers = NULL;
	char path[32];
	ssize_t n;

	memset(out, 0, sizeof(*out));
	snprintf(path, sizeof(path), "%d/fd", pid);
	n = list_numbers(p, path, VU__PROCFS_MAX_FDS, &out->cut, &numbers);
	if (n <= 0)
		return n;
	out->fds = calloc(n, sizeof(*out->fds));
	if (!out->fds)
		return -ENOMEM;
	for (ssize_t i = 0; i < n; i++) {
		if (look_at_fd(p, pid, numbers[i], kinds, &out->fds[out->n]))
			out->n++;
	}
	return 0;
}

void vu__procfs_fds_release(struct vu__procfs_fds *f)
{
	free(f->fds);
	memset(f, 0, sizeof(*f));
}

ssize_t vu__procfs_epoll(const struct vu__procfs *p, pid_t pid, int epfd, int *fds,
			 size_t max)
{
	VU_CLEANUP_FREE char *text = malloc(MAX_FDINFO);
	ssize_t n;

	if (!text)
		return -ENOMEM;
	n = read_again(p, VU__PROC_FDINFO, pid, epfd, text, MAX_FDINFO);
	return n < 0 ? n : (ssize_t)vu__procfs_parse_epoll(text, fds, max);
}

/* --- threads --- */

ssize_t vu__procfs_tids(const struct vu__procfs *p, pid_t pid, pid_t **tids)
{
	char path[32];
	bool cut;

	snprintf(path, sizeof(path), "%d/task", pid);
	return list_numbers(p, path, VU__PROCFS_MAX_THREADS, &cut, tids);
}

bool vu__procfs_is_wait(int32_t nr)
{
	static const int32_t waits[] = {
#ifdef SYS_poll
		SYS_poll,
#endif
#ifdef SYS_select
		SYS_select,
#endif
#ifdef SYS_epoll_wait
		SYS_epoll_wait,
#endif
#ifdef SYS_epoll_pwait2
		SYS_epoll_pwait2,
#endif
		SYS_ppoll,	  SYS_pselect6, SYS_epoll_pwait, SYS_io_uring_enter,
	};

	for (size_t i = 0; i < VU_ARRAY_SIZE(waits); i++) {
		if (waits[i] == nr)
			return true;
	}
	return false;
}

static bool waits_in_poll(const struct vu__obs_worker *w)
{
#ifdef SYS_poll
	if (w->syscall == SYS_poll)
		return true;
#endif
	return w->syscall == SYS_ppoll;
}

static bool waits_in_epoll(const struct vu__obs_worker *w)
{
#ifdef SYS_epoll_wait
	if (w->syscall == SYS_epoll_wait)
		return true;
#endif
#ifdef SYS_epoll_pwait2
	if (w->syscall == SYS_epoll_pwait2)
		return true;
#endif
	return w->syscall == SYS_epoll_pwait;
}

/* What the kernel's own names say, where the call may not be seen. */
static enum vu__obs_tri waits_by_wchan(const char *wchan)
{
	static const char *const names[] = {
		"ep_poll", "do_epoll_wait", "do_sys_poll",    "poll_schedule_timeout",
		"do_poll", "do_select",	    "io_cqring_wait", "eventfd_read"};

	if (!wchan[0] || !strcmp(wchan, "0"))
		return VU__OBS_MAYBE;
	for (size_t i = 0; i < VU_ARRAY_SIZE(names); i++) {
		if (!strncmp(wchan, names[i], strlen(names[i])))
			return VU__OBS_YES;
	}
	return VU__OBS_NO;
}

static void read_wait(const struct vu__procfs *p, pid_t pid, struct vu__obs_worker *w)
{
	uint64_t args[2] = {0};
	char text[256];
	ssize_t n;

	n = read_again(p, VU__PROC_TASK_WCHAN, pid, w->tid, text, sizeof(text));
	if (n > 0 && strcmp(text, "0"))
		vu__procfs_copy_text(w->wchan, sizeof(w->wchan), text, n);
	n = read_again(p, VU__PROC_TASK_SYSCALL, pid, w->tid, text, sizeof(text));
	if (n < 0 || vu__procfs_parse_syscall(text, &w->syscall, args))
		w->syscall = -2;
	w->arg0 = args[0];
	w->arg1 = args[1];
	if (w->state != 'S')
		w->waits = VU__OBS_NO;
	else if (w->syscall >= 0 && vu__procfs_is_wait(w->syscall))
		w->waits = VU__OBS_YES;
	else if (w->syscall >= 0 && w->syscall != SYS_read)
		w->waits = VU__OBS_NO;
	else
		w->waits = waits_by_wchan(w->wchan);
}

int vu__procfs_worker(const struct vu__procfs *p, pid_t pid, pid_t tid,
		      struct vu__obs_worker *out)
{
	struct vu__procfs_stat st;
	int ret = vu__procfs_stat(p, pid, tid, &st);

	memset(out, 0, sizeof(*out));
	out->tid = tid;
	out->syscall = -2;
	out->cpu = -1;
	if (ret)
		return ret;
	out->state = st.state;
	out->cpu = st.cpu;
	out->cpu_ns = st.cpu_ticks * (1000000000u / p->ticks_per_s);
	memcpy(out->comm, st.comm, sizeof(out->comm));
	read_wait(p, pid, out);
	return 0;
}

/* What a sleeping thread has given poll(): it lies still in its memory. */
static ssize_t poll_targets(pid_t pid, const struct vu__obs_worker *w, int *fds,
			    size_t max)
{
	size_t n = VU_MIN(w->arg1, (uint64_t)max);
	VU_CLEANUP_FREE struct pollfd *p = calloc(n + 1, sizeof(*p));
	struct iovec local = {p, n * sizeof(*p)};
	struct iovec remote = {(void *)(uintptr_t)w->arg0, n * sizeof(*p)};
	size_t count = 0;

	if (!p)
		return -ENOMEM;
	if (n &&
	    process_vm_readv(pid, &local, 1, &remote, 1, 0) != (ssize_t)local.iov_len)
		return -EFAULT;
	for (size_t i = 0; i < n; i++) {
		if (p[i].fd >= 0 && p[i].events & POLLIN)
			fds[count++] = p[i].fd;
	}
	return count;
}

ssize_t vu__procfs_worker_fds(const struct vu__procfs *p, pid_t pid,
			      const struct vu__obs_worker *w, int *fds, size_t max)
{
	if (w->state != 'S')
		return -EAGAIN;
	if (waits_in_epoll(w) && w->arg0 <= INT_MAX)
		return vu__procfs_epoll(p, pid, w->arg0, fds, max);
	if (waits_in_poll(w))
		return poll_targets(pid, w, fds, max);
	if (w->syscall == SYS_read && w->arg0 <= INT_MAX && max) {
		fds[0] = w->arg0;
		return 1;
	}
	/* What a ring waits for is the kernel's knowledge. */
	return -EOPNOTSUPP;
}

void vu__procfs_worker_watches(const struct vu__procfs *p, pid_t pid, int fd,
			       struct vu__obs_worker *w)
{
	VU_CLEANUP_FREE int *fds = calloc(VU__PROCFS_MAX_FDS, sizeof(*fds));
	ssize_t n;

	w->watches = VU__OBS_MAYBE;
	if (fd < 0 || !fds)
		return;
	n = vu__procfs_worker_fds(p, pid, w, fds, VU__PROCFS_MAX_FDS);
	if (n < 0)
		return;
	w->watches = VU__OBS_NO;
	for (ssize_t i = 0; i < n && i < (ssize_t)VU__PROCFS_MAX_FDS; i++) {
		if (fds[i] == fd)
			w->watches = VU__OBS_YES;
	}
	/* A read of another file waits for that. */
	if (w->syscall == SYS_read)
		w->waits = w->watches;
}
