/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs scan.bpf.c over all processes.  The main thread, and one that sleeps in poll(). */
#include "scan_run.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/util.h"
#include "scan.skel.h"

/* Enough for any machine; what is beyond would be a fault of ours. */
#define MAX_RECORDS (1U << 20)

struct scanner {
	struct scan_bpf *skel;
	struct bpf_link *link;
	int own_fd;
	int epoll_fd;
};

void scanner_free(struct scanner *s)
{
	if (!s)
		return;
	bpf_link__destroy(s->link);
	scan_bpf__destroy(s->skel);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->own_fd >= 0)
		close(s->own_fd);
	free(s);
}

static void *sleep_in_poll(void *opaque)
{
	struct pollfd p = {.fd = *(int *)opaque, .events = POLLIN};

	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	return NULL;
}

/* True if thread @tid of this process sleeps. */
static bool asleep(pid_t tid)
{
	char path[64], line[256];
	bool ret = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fgets(line, sizeof(line), f)) {
		const char *end = strrchr(line, ')');

		ret = end && end[1] && end[2] == 'S';
	}
	fclose(f);
	return ret;
}

struct sleeper {
	pthread_t thread;
	int fd;
	pid_t tid;
};

static void *sleeper_main(void *opaque)
{
	struct sleeper *s = opaque;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_RELEASE);
	return sleep_in_poll(&s->fd);
}

static bool sleeper_start(struct sleeper *s, int fd)
{
	struct timespec nap = {.tv_nsec = 100000};

	*s = (struct sleeper){.fd = fd};
	if (pthread_create(&s->thread, NULL, sleeper_main, s))
		return false;
	for (int i = 0; i < 20000; i++) {
		pid_t tid = __atomic_load_n(&s->tid, __ATOMIC_ACQUIRE);

		if (tid && asleep(tid))
			break;
		nanosleep(&nap, NULL);
	}
	return true;
}

static void sleeper_stop(struct sleeper *s)
{
	uint64_t one = 1;

	if (write(s->fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(s->thread, NULL);
	if (read(s->fd, &one, sizeof(one)) < 0)
		return;
}

static int walk(struct scanner *s, struct scan_rec **recs, size_t *n)
{
	VU_CLEANUP_FD int fd = bpf_iter_create(bpf_link__fd(s->link));
	size_t size = 1 << 16, used = 0;
	char *buf = malloc(size);

	if (fd < 0) {
		free(buf);
		return -errno;
	}
	while (buf && used / sizeof(**recs) < MAX_RECORDS) {
		ssize_t got = read(fd, buf + used, size - used);
		char *bigger;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int err = -errno;

			free(buf);
			return err;
		}
		if (!got)
			break;
		used += got;
		if (size - used >= 4096)
			continue;
		bigger = realloc(buf, size *= 2);
		if (!bigger)
			free(buf);
		buf = bigger;
	}
	if (!buf)
		return -ENOMEM;
	*recs = (struct scan_rec *)buf;
	*n = used / sizeof(**recs);
	return 0;
}

/* Learns what eventfds, epoll sets and sleepers are known by. */
static int calibrate(struct scanner *s)
{
	struct scan_rec *recs = NULL;
	struct sleeper sleeper;
	bool slept;
	size_t n;
	int ret;

	slept = sleeper_start(&sleeper, s->own_fd);
	/* The first walk learns what an eventfd is, the second meets our own again. */
	for (int i = 0; i < 2; i++) {
		ret = walk(s, &recs, &n);
		if (ret)
			break;
		free(vu__steal_ptr(&recs));
	}
	if (slept)
		sleeper_stop(&sleeper);
	return ret ? ret : s->skel->bss->eventfd_fops ? 0 : -ENOENT;
}

static int open_scanner(struct scanner *s)
{
	struct epoll_event ev = {.events = EPOLLIN};

	s->own_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->own_fd < 0 || s->epoll_fd < 0 ||
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->own_fd, &ev))
		return -errno;
	s->skel = scan_bpf__open();
	if (!s->skel)
		return -errno;
	s->skel->rodata->own_tgid = getpid();
	s->skel->rodata->own_fd = s->own_fd;
	if (scan_bpf__load(s->skel))
		return -errno;
	s->link = bpf_program__attach_iter(s->skel->progs.scan_files, NULL);
	if (!s->link)
		return -errno;
	return calibrate(s);
}

int scanner_new(struct scanner **out)
{
	struct scanner *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	s->own_fd = s->epoll_fd = -1;
	ret = open_scanner(s);
	if (ret) {
		scanner_free(s);
		return ret;
	}
	*out = s;
	return 0;
}

uint64_t scanner_fops(const struct scanner *s)
{
	return s->skel->bss->eventfd_fops;
}

int scanner_run(struct scanner *s, struct scan_rec **recs, size_t *n)
{
	return walk(s, recs, n);
}
