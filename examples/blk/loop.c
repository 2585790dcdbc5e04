/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop.  A callback may set and remove any fd, its own too. */
#include "blk/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BATCH 32

struct watch {
	loop_cb *cb; /* NULL: not watched */
	void *opaque;
	uint32_t generation; /* an event of an earlier fd of this number is not ours */
};

struct loop {
	int epfd;
	struct watch *watches; /* by fd */
	int n;
};

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0) {
		free(l);
		return NULL;
	}
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	close(l->epfd);
	free(l->watches);
	free(l);
}

static int reserve(struct loop *l, int fd)
{
	struct watch *bigger;
	int n = fd + 16;

	if (fd < l->n)
		return 0;
	bigger = realloc(l->watches, n * sizeof(*bigger));
	if (!bigger)
		return -1;
	memset(bigger + l->n, 0, (n - l->n) * sizeof(*bigger));
	l->watches = bigger;
	l->n = n;
	return 0;
}

int loop_set(struct loop *l, int fd, uint32_t events, loop_cb *cb, void *opaque)
{
	struct epoll_event ev = {.events = events};
	struct watch *w;
	int op;

	if (reserve(l, fd))
		return -1;
	w = &l->watches[fd];
	op = w->cb ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	if (!w->cb)
		w->generation++;
	ev.data.u64 = (uint64_t)w->generation << 32 | (uint32_t)fd;
	if (epoll_ctl(l->epfd, op, fd, &ev))
		return -1;
	w->cb = cb;
	w->opaque = opaque;
	return 0;
}

void loop_remove(struct loop *l, int fd)
{
	if (fd < 0 || fd >= l->n || !l->watches[fd].cb)
		return;
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, fd, NULL);
	l->watches[fd].cb = NULL;
}

int loop_once(struct loop *l)
{
	struct epoll_event events[BATCH];
	int n;

	do
		n = epoll_wait(l->epfd, events, BATCH, -1);
	while (n < 0 && errno == EINTR);
	for (int i = 0; i < n; i++) {
		int fd = (int)(uint32_t)events[i].data.u64;
		struct watch *w = &l->watches[fd];

		if (w->cb && w->generation == events[i].data.u64 >> 32)
			w->cb(w->opaque, fd, events[i].events);
	}
	return n < 0 ? -1 : 0;
}
