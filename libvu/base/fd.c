/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File descriptors, eventfds and waiting.  Any thread. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

int vu__fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int vu__fd_dup(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy < 0 ? -errno : copy;
}

int vu__fd_forbid_shrinking(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals >= 0 && seals & F_SEAL_SHRINK)
		return 0;
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0 ? -errno : 0;
}

int vu__event_add(int fd)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int vu__event_signal(int fd)
{
	int ret = vu__event_add(fd);

	return ret == -EAGAIN ? 0 : ret;
}

int vu__event_kind(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		return 1;
	return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) ? -EINVAL : 0;
}

int vu__event_consume(int fd, uint64_t *value)
{
	ssize_t n;

	*value = 0;
	do
		n = read(fd, value, sizeof(*value));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	return n == sizeof(*value) ? 0 : -EPIPE;
}

ssize_t vu__write_quietly(int fd, const void *data, size_t len)
{
	static const struct timespec none;
	sigset_t pipe_signal, pending, before;
	ssize_t n;

	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
	sigpending(&pending);
	n = write(fd, data, len);
	if (n < 0)
		n = -errno;
	/* The one that this write has made is for this thread; one from before is not ours. */
	if (n == -EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe_signal, NULL, &none);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return n;
}

int vu__event_signal_any(int fd)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = vu__write_quietly(fd, &one, sizeof(one));
	while (n == -EINTR);
	return n < 0 && n != -EAGAIN ? (int)n : 0;
}

int64_t vu__now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int vu__fd_wait(int fd, short events, int64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = -1;
		int n;

		if (deadline_ms >= 0) {
			left = deadline_ms - vu__now_ms();
			if (left < 0)
				left = 0;
		}
		n = poll(&p, 1, left > 3600000 ? 3600000 : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (deadline_ms >= 0 && vu__now_ms() >= deadline_ms)
			return -ETIMEDOUT;
	}
}
