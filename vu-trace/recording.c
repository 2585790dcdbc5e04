/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads files of recorded events, which may be anybody's.  Any thread. */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"

#define MAX_FILE (4ULL << 30)

static int refuse(char *why, size_t size, const char *text)
{
	snprintf(why, size, "%s", text);
	return -EINVAL;
}

/* Appends @n things of @each bytes to an array of *@have of them. */
static int append(void **array, size_t *have, const void *from, size_t n, size_t each)
{
	void *p = realloc(*array, (*have + n + 1) * each);

	if (!p)
		return -ENOMEM;
	*array = p;
	memcpy((char *)p + *have * each, from, n * each);
	*have += n;
	return 0;
}

/* Texts end, and have nothing that a terminal would obey. */
static void clean_text(char *text, size_t size)
{
	size_t i;

	for (i = 0; i < size - 1 && text[i]; i++) {
		if (text[i] < 0x20 || text[i] >= 0x7f)
			text[i] = '?';
	}
	memset(text + i, 0, size - i);
}

static int take_info(struct recording *r, const void *payload, size_t size, char *why,
		     size_t why_size)
{
	if (size < sizeof(r->info))
		return refuse(why, why_size, "its first record is too short");
	memcpy(&r->info, payload, sizeof(r->info));
	clean_text(r->info.kernel, sizeof(r->info.kernel));
	if (r->info.version != RECORD_VERSION) {
		snprintf(why, why_size, "version %u, this program knows %u", r->info.version,
			 RECORD_VERSION);
		return -EINVAL;
	}
	return 0;
}

static int take_queue(struct recording *r, const void *payload, size_t size)
{
	struct record_queue q;

	if (size < sizeof(q) || r->nqueues >= RECORD_MAX_QUEUES)
		return -EINVAL;
	memcpy(&q, payload, sizeof(q));
	clean_text(q.name, sizeof(q.name));
	clean_text(q.vmm_comm, sizeof(q.vmm_comm));
	clean_text(q.backend_comm, sizeof(q.backend_comm));
	for (size_t i = 0; i < r->nqueues; i++) {
		if (r->queues[i].slot == q.slot) {
			r->queues[i] = q;
			return 0;
		}
	}
	return append((void **)&r->queues, &r->nqueues, &q, 1, sizeof(q));
}

static int take_thread(struct recording *r, const void *payload, size_t size)
{
	struct record_thread t;

	if (size < sizeof(t))
		return -EINVAL;
	memcpy(&t, payload, sizeof(t));
	clean_text(t.comm, sizeof(t.comm));
	return append((void **)&r->threads, &r->nthreads, &t, 1, sizeof(t));
}

static int take_many(void **array, size_t *have, const void *payload, size_t size,
		     size_t each)
{
	return size % each ? -EINVAL : append(array, have, payload, size / each, each);
}

/* What is known by this version; others' records are skipped. */
static int take_frame(struct recording *r, uint32_t type, const void *payload, size_t size)
{
	struct record_end end;

	switch (type) {
	case RECORD_QUEUE:
		return take_queue(r, payload, size);
	case RECORD_THREAD:
		return take_thread(r, payload, size);
	case RECORD_EVENTS:
		return take_many((void **)&r->events, &r->nevents, payload, size,
				 sizeof(struct event));
	case RECORD_ROUNDS:
		return take_many((void **)&r->rounds, &r->nrounds, payload, size,
				 sizeof(struct ev_round));
	case RECORD_LOSSES:
		memcpy(r->losses, payload, VU_MIN(size, sizeof(r->losses)));
		return 0;
	case RECORD_END:
		if (size < sizeof(end))
			return -EINVAL;
		memcpy(&end, payload, sizeof(end));
		r->complete = end.events == r->nevents && end.rounds == r->nrounds;
		return 0;
	default:
		return 0;
	}
}

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return x->ts < y->ts ? -1 : x->ts > y->ts;
}

static int take_frames(const uint8_t *at, size_t left, struct recording *r, char *why,
		       size_t why_size)
{
	bool first = true;

	while (left >= sizeof(struct record_frame)) {
		const uint8_t *payload = at + sizeof(struct record_frame);
		struct record_frame f;
		int ret;

		memcpy(&f, at, sizeof(f));
		if (f.length > RECORD_MAX_PAYLOAD)
			return refuse(why, why_size, "damaged: a record of impossible length");
		if (f.length > left - sizeof(f))
			break;
		if (vu__crc32c(0, payload, f.length) != f.crc)
			return refuse(why, why_size, "damaged: a checksum is wrong");
		if (first != (f.type == RECORD_INFO))
			return refuse(why, why_size, "its records are in no order");
		ret = first ? take_info(r, payload, f.length, why, why_size)
			    : take_frame(r, f.type, payload, f.length);
		if (ret)
			return ret == -EINVAL && !why[0]
				       ? refuse(why, why_size, "a record makes no sense")
				       : ret;
		first = false;
		at += sizeof(f) + f.length;
		left -= sizeof(f) + f.length;
		r->good += sizeof(f) + f.length;
		if (f.type == RECORD_END)
			break;
	}
	return first ? refuse(why, why_size, "nothing is in it") : 0;
}

int recording_parse(const void *bytes, size_t size, struct recording *out, char *why,
		    size_t why_size)
{
	size_t magic = strlen(RECORD_MAGIC);
	int ret;

	*out = (struct recording){.good = magic};
	why[0] = '\0';
	if (size < magic || memcmp(bytes, RECORD_MAGIC, magic))
		return refuse(why, why_size, "not a file of vu-trace record");
	ret = take_frames((const uint8_t *)bytes + magic, size - magic, out, why, why_size);
	if (ret == -ENOMEM)
		snprintf(why, why_size, "out of memory");
	if (out->nevents)
		qsort(out->events, out->nevents, sizeof(out->events[0]), by_time);
	if (out->nrounds)
		qsort(out->rounds, out->nrounds, sizeof(out->rounds[0]), by_time);
	return ret;
}

int recording_load(const char *path, struct recording *out, char *why, size_t why_size)
{
	VU_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	VU_CLEANUP_FREE char *bytes = NULL;
	struct stat st;
	size_t have = 0;

	*out = (struct recording){0};
	if (fd < 0 || fstat(fd, &st)) {
		snprintf(why, why_size, "%s", strerror(errno));
		return -errno;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)MAX_FILE)
		return refuse(why, why_size, "not a regular file, or too large a one");
	bytes = malloc(st.st_size + 1);
	if (!bytes)
		return refuse(why, why_size, "out of memory");
	while (have < (size_t)st.st_size) {
		ssize_t n = read(fd, bytes + have, st.st_size - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += n;
	}
	return recording_parse(bytes, have, out, why, why_size);
}

void recording_release(struct recording *r)
{
	free(r->queues);
	free(r->threads);
	free(r->events);
	free(r->rounds);
	*r = (struct recording){0};
}

const char *recording_queue_name(const struct recording *r, uint32_t slot)
{
	for (size_t i = 0; i < r->nqueues; i++) {
		if (r->queues[i].slot == slot)
			return r->queues[i].name;
	}
	return "";
}

const char *recording_comm(const struct recording *r, uint32_t tid)
{
	for (size_t i = 0; i < r->nthreads; i++) {
		if (r->threads[i].tid == tid)
			return r->threads[i].comm;
	}
	return "";
}
