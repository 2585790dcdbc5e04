/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Eventfd operations and other system calls, timed, for trace-bench.py.
 *
 *	trace-bench SOCKET	says "ready PID FD", then obeys lines "write N", "pair N",
 *				"getppid N": N batches; answers with the median and the
 *				least ns of an operation
 *
 * The eventfd is shared with a child over a vhost-user-like connection, and is in the
 * child's epoll set, so that it is a queue's kick to vu-trace; the child is stopped, so
 * that nothing is woken and the operation alone is timed.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH	    1000
#define MAX_BATCHES 2001

static void die(const char *what)
{
	fprintf(stderr, "trace-bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void serve(int listener)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct epoll_event ev = {.events = EPOLLIN};
	int sock = accept(listener, NULL, NULL), epoll = epoll_create1(0), fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "bench-back");
	close(listener);
	if (sock < 0 || recvmsg(sock, &h, 0) != 1)
		die("receiving");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(fd));
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) || write(sock, &byte, 1) != 1)
		die("epoll");
	raise(SIGSTOP);
	pause();
	exit(0);
}

static int hand_over(const char *path, int fd)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), sock, status;
	pid_t child;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	unlink(path);
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 1))
		die(path);
	child = fork();
	if (!child) {
		close(fd);
		serve(listener);
	}
	close(listener);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(sock, (struct sockaddr *)&a, sizeof(a)))
		die(path);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(sock, &h, 0) != 1 || read(sock, &byte, 1) != 1 ||
	    waitpid(child, &status, WUNTRACED) != child)
		die("handing over");
	return sock;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double batch(const char *what, int fd)
{
	double begin = now();
	uint64_t v = 1;

	for (int i = 0; i < BATCH; i++) {
		if (*what == 'g') {
			syscall(SYS_getppid);
			continue;
		}
		v = 1;
		if (write(fd, &v, sizeof(v)) != sizeof(v))
			die("write");
		if (*what == 'p' && read(fd, &v, sizeof(v)) != sizeof(v))
			die("read");
	}
	return (now() - begin) / BATCH;
}

int main(int argc, char **argv)
{
	static double ns[MAX_BATCHES];
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), n;
	char what[16];

	if (argc != 2)
		return 2;
	hand_over(argv[1], fd);
	printf("ready %d %d\n", getpid(), fd);
	fflush(stdout);
	while (scanf("%15s %d", what, &n) == 2 && n > 0 && n <= MAX_BATCHES) {
		uint64_t v;

		if (read(fd, &v, sizeof(v)) < 0 && errno != EAGAIN)
			die("read");
		for (int i = 0; i < n; i++)
			ns[i] = batch(what, fd);
		qsort(ns, n, sizeof(ns[0]), by_size);
		printf("%.1f %.1f\n", ns[n / 2], ns[0]);
		fflush(stdout);
	}
	return 0;
}
