/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes files of recorded events.  The main thread. */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"

#define BATCH 512

struct record_writer {
	int fd;
	int err;
	uint64_t events, rounds;
	unsigned int nevents, nrounds;
	struct event event[BATCH];
	struct ev_round round[BATCH];
};

static int put(struct record_writer *w, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size && !w->err) {
		ssize_t n = write(w->fd, at, size);

		if (n < 0 && errno != EINTR)
			w->err = -errno;
		if (n > 0) {
			at += n;
			size -= n;
		}
	}
	return w->err;
}

static int put_frame(struct record_writer *w, enum record_type type, const void *payload,
		     size_t size)
{
	struct record_frame f = {
		.type = type, .length = size, .crc = vu__crc32c(0, payload, size)};

	put(w, &f, sizeof(f));
	return put(w, payload, size);
}

static int flush(struct record_writer *w)
{
	if (w->nevents)
		put_frame(w, RECORD_EVENTS, w->event, w->nevents * sizeof(w->event[0]));
	if (w->nrounds)
		put_frame(w, RECORD_ROUNDS, w->round, w->nrounds * sizeof(w->round[0]));
	w->nevents = w->nrounds = 0;
	return w->err;
}

int record_create(struct record_writer **out, const char *path,
		  const struct record_info *info)
{
	struct record_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (w->fd < 0) {
		free(w);
		return -errno;
	}
	put(w, RECORD_MAGIC, strlen(RECORD_MAGIC));
	put_frame(w, RECORD_INFO, info, sizeof(*info));
	*out = w;
	return 0;
}

int record_close(struct record_writer *w)
{
	struct record_end end;
	int ret;

	flush(w);
	end = (struct record_end){w->events, w->rounds};
	put_frame(w, RECORD_END, &end, sizeof(end));
	if (close(w->fd) && !w->err)
		w->err = -errno;
	ret = w->err;
	free(w);
	return ret;
}

int record_add_queue(struct record_writer *w, const struct record_queue *q)
{
	flush(w);
	return put_frame(w, RECORD_QUEUE, q, sizeof(*q));
}

int record_add_thread(struct record_writer *w, const struct record_thread *t)
{
	return put_frame(w, RECORD_THREAD, t, sizeof(*t));
}

int record_add_event(struct record_writer *w, const struct event *e, size_t size)
{
	if (e->kind == EV_ROUND && size >= sizeof(struct ev_round)) {
		memcpy(&w->round[w->nrounds++], e, sizeof(w->round[0]));
		w->rounds++;
	} else {
		w->event[w->nevents++] = *e;
		w->events++;
	}
	return w->nevents == BATCH || w->nrounds == BATCH ? flush(w) : w->err;
}

int record_add_losses(struct record_writer *w, const struct probe_stat stats[EV_KINDS])
{
	flush(w);
	return put_frame(w, RECORD_LOSSES, stats, EV_KINDS * sizeof(stats[0]));
}
