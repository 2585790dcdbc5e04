/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads recordings, which may be anybody's: everything is checked.  One thread at a
 * time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "vu-top/record.h"
#include "vu-top/recordimpl.h"

struct entry {
	uint64_t offset; /* of what follows the header */
	uint64_t real_ns;
	uint32_t len, crc;
	bool key;
};

struct top_replay {
	int fd;
	uint64_t size;
	struct top_schema *schema;
	size_t n, room;
	struct entry *entries;
	char trouble[160];
	/* The frame that was read last. */
	size_t last;
	struct top_frame *frame;
	uint8_t *data;
	size_t data_room;
};

static int read_all(struct top_replay *r, uint64_t at, void *to, size_t len)
{
	char *p = to;

	while (len) {
		ssize_t n = pread(r->fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EBADMSG;
		p += n;
		at += n;
		len -= n;
	}
	return 0;
}

/* 0 with what follows in r->data. */
static int read_payload(struct top_replay *r, uint64_t at, uint32_t len, uint32_t crc)
{
	int ret;

	if (len > r->data_room) {
		uint8_t *more = realloc(r->data, len);

		if (!more)
			return -ENOMEM;
		r->data = more;
		r->data_room = len;
	}
	ret = read_all(r, at, r->data, len);
	return ret ? ret : vu__crc32c(0, r->data, len) == crc ? 0 : -EBADMSG;
}

static int add_entry(struct top_replay *r, const struct top_record_header *h, uint64_t at)
{
	if (r->n == r->room) {
		size_t room = r->room ? 2 * r->room : 256;
		struct entry *more = reallocarray(r->entries, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		r->entries = more;
		r->room = room;
	}
	/* The first has nothing before it. */
	r->entries[r->n] = (struct entry){at, h->real_ns, h->len, h->crc,
					  !r->n || h->flags & TOP_RECORD_KEY};
	r->n++;
	return 0;
}

/* Whether there is a record at @at; *@h: it. */
static bool header_at(struct top_replay *r, uint64_t at, struct top_record_header *h)
{
	return vu__range_within(at, sizeof(*h), r->size) && !read_all(r, at, h, sizeof(*h)) &&
	       h->magic == TOP_RECORD_FRAME_MAGIC && h->len <= TOP_RECORD_MAX &&
	       h->header_crc == vu__crc32c(0, h, offsetof(struct top_record_header, header_crc)) &&
	       vu__range_within(at + sizeof(*h), h->len, r->size);
}

static int make_index(struct top_replay *r, char *why, size_t why_size)
{
	uint64_t at = sizeof(struct top_file_header);
	struct top_record_header h;

	while (at < r->size) {
		int ret = 0;

		if (!header_at(r, at, &h)) {
			snprintf(r->trouble, sizeof(r->trouble),
				 "damaged or cut off after %zu frames, at byte %llu", r->n,
				 (unsigned long long)at);
			break;
		}
		at += sizeof(h);
		if (h.type == TOP_RECORD_SCHEMA && !r->schema) {
			ret = read_payload(r, at, h.len, h.crc);
			r->schema = ret ? NULL : top_schema_read(r->data, h.len);
			ret = r->schema ? 0 : -EBADMSG;
		} else if (h.type == TOP_RECORD_FRAME) {
			ret = add_entry(r, &h, at);
		}
		if (ret) {
			snprintf(why, why_size, "%s", ret == -ENOMEM ? "no memory" : "damaged");
			return ret;
		}
		at += h.len;
	}
	if (r->schema && r->n)
		return 0;
	snprintf(why, why_size, "%s", r->trouble[0] ? r->trouble : "there is nothing in it");
	return -EBADMSG;
}

static int check_file(struct top_replay *r, char *why, size_t why_size)
{
	struct top_file_header h;
	struct stat st;

	if (fstat(r->fd, &st) < 0) {
		snprintf(why, why_size, "%s", strerror(errno));
		return -errno;
	}
	r->size = S_ISREG(st.st_mode) ? st.st_size : 0;
	if (r->size < sizeof(h) || read_all(r, 0, &h, sizeof(h)) ||
	    memcmp(h.magic, TOP_RECORD_MAGIC, sizeof(h.magic))) {
		snprintf(why, why_size, "not a recording of vu-top");
		return -EBADMSG;
	}
	if (h.version == TOP_RECORD_VERSION)
		return 0;
	snprintf(why, why_size, "of version %u; this vu-top reads version %d", h.version,
		 TOP_RECORD_VERSION);
	return -EPROTONOSUPPORT;
}

struct top_replay *top_replay_new(int fd, char *why, size_t why_size)
{
	struct top_replay *r = calloc(1, sizeof(*r));
	int ret;

	if (!r) {
		close(fd);
		snprintf(why, why_size, "no memory");
		errno = ENOMEM;
		return NULL;
	}
	r->fd = fd;
	ret = check_file(r, why, why_size);
	ret = ret ? ret : make_index(r, why, why_size);
	if (!ret)
		return r;
	top_replay_free(r);
	errno = -ret;
	return NULL;
}

struct top_replay *top_replay_open(const char *path, char *why, size_t why_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		int error = errno;

		snprintf(why, why_size, "%s", strerror(error));
		errno = error;
		return NULL;
	}
	return top_replay_new(fd, why, why_size);
}

void top_replay_free(struct top_replay *r)
{
	if (!r)
		return;
	close(r->fd);
	top_frame_put(r->frame);
	top_schema_free(r->schema);
	free(r->entries);
	free(r->data);
	free(r);
}

size_t top_replay_frames(const struct top_replay *r)
{
	return r->n;
}

const char *top_replay_trouble(const struct top_replay *r)
{
	return r->trouble;
}

uint64_t top_replay_time(const struct top_replay *r, size_t number)
{
	return number < r->n ? r->entries[number].real_ns : 0;
}

size_t top_replay_find(const struct top_replay *r, uint64_t real_ns)
{
	size_t low = 0, high = r->n;

	/* Clocks are set now and then; near is good enough. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->entries[mid].real_ns <= real_ns)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? low - 1 : 0;
}

/* The one after the last that was read, or one that stands by itself. */
static int read_next(struct top_replay *r, size_t number)
{
	const struct entry *e = &r->entries[number];
	struct top_frame *f;
	int ret = read_payload(r, e->offset, e->len, e->crc);

	if (!ret)
		ret = top_frame_read(r->schema, r->data, e->len, e->key ? NULL : r->frame, &f);
	if (ret)
		return ret;
	top_frame_put(r->frame);
	r->frame = f;
	r->last = number;
	return 0;
}

int top_replay_read(struct top_replay *r, size_t number, struct top_frame **out)
{
	size_t from = number;
	int ret = 0;

	*out = NULL;
	if (number >= r->n)
		return -ERANGE;
	while (!r->entries[from].key)
		from--;
	if (r->frame && r->last <= number && r->last + 1 >= from)
		from = r->last + 1;
	for (size_t i = from; !ret && i <= number; i++)
		ret = read_next(r, i);
	if (ret) {
		/* What follows rests on it. */
		top_frame_put(r->frame);
		r->frame = NULL;
		return ret;
	}
	*out = top_frame_get(r->frame);
	return 0;
}
