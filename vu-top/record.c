/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes recordings.  One thread at a time. */
#include "vu-top/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "vu-top/recordimpl.h"

#define KEY_EVERY 60

struct top_recorder {
	char *path;
	uint64_t limit, written;
	int fd;
	int error; /* what has gone wrong for good */
	unsigned int since_key;
	struct top_frame *before; /* NULL: the next stands by itself */
	struct top_bytes bytes;
};

static int write_all(struct top_recorder *r, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(r->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		len -= n;
		r->written += n;
	}
	return 0;
}

static int write_record(struct top_recorder *r, uint8_t type, uint8_t flags, uint64_t real_ns,
			const struct top_bytes *b)
{
	struct top_record_header h = {
		.magic = TOP_RECORD_FRAME_MAGIC,
		.type = type,
		.flags = flags,
		.len = b->len,
		.crc = vu__crc32c(0, b->data, b->len),
		.real_ns = real_ns,
	};
	int ret;

	h.header_crc = vu__crc32c(0, &h, offsetof(struct top_record_header, header_crc));
	ret = write_all(r, &h, sizeof(h));
	return ret ? ret : write_all(r, b->data, b->len);
}

static int begin(struct top_recorder *r)
{
	struct top_file_header h = {.magic = TOP_RECORD_MAGIC, .version = TOP_RECORD_VERSION};
	int ret;

	r->fd = open(r->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (r->fd < 0)
		return -errno;
	r->written = 0;
	top_frame_put(r->before);
	r->before = NULL;
	ret = write_all(r, &h, sizeof(h));
	if (ret)
		return ret;
	r->bytes.len = 0;
	top_schema_write(&r->bytes);
	return r->bytes.failed ? -ENOMEM
			       : write_record(r, TOP_RECORD_SCHEMA, 0, 0, &r->bytes);
}

static int end(struct top_recorder *r)
{
	int fd = r->fd;

	r->fd = -1;
	return fd >= 0 && close(fd) ? -errno : 0;
}

struct top_recorder *top_recorder_new(const char *path, uint64_t limit)
{
	struct top_recorder *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return NULL;
	r->fd = -1;
	r->limit = limit;
	r->path = strdup(path);
	ret = r->path ? begin(r) : -ENOMEM;
	if (!ret)
		return r;
	(void)top_recorder_free(r);
	errno = -ret;
	return NULL;
}

int top_recorder_free(struct top_recorder *r)
{
	int ret;

	if (!r)
		return 0;
	ret = end(r);
	ret = r->error ? r->error : ret;
	top_frame_put(r->before);
	top_bytes_release(&r->bytes);
	free(r->path);
	free(r);
	return ret;
}

int top_recorder_reopen(struct top_recorder *r)
{
	int ret = end(r);

	ret = ret ? ret : begin(r);
	r->error = ret;
	return ret;
}

/* The full file makes room for a new one; the one before it goes. */
static int turn_over(struct top_recorder *r)
{
	VU_CLEANUP_FREE char *old = NULL;
	int ret;

	if (asprintf(&old, "%s.1", r->path) < 0) {
		old = NULL;
		return -ENOMEM;
	}
	ret = end(r);
	if (!ret && rename(r->path, old))
		ret = -errno;
	return ret ? ret : begin(r);
}

static int add(struct top_recorder *r, const struct top_frame *f)
{
	bool key = !r->before || r->since_key == KEY_EVERY;
	int ret;

	r->bytes.len = 0;
	top_frame_write(&r->bytes, f, key ? NULL : r->before);
	if (r->bytes.failed)
		return -ENOMEM;
	if (r->bytes.len > TOP_RECORD_MAX)
		return -EFBIG;
	/* A frame that does not fit begins the next file, where it stands by itself. */
	if (r->before &&
	    r->written + sizeof(struct top_record_header) + r->bytes.len > r->limit) {
		ret = turn_over(r);
		return ret ? ret : add(r, f);
	}
	r->since_key = key ? 1 : r->since_key + 1;
	return write_record(r, TOP_RECORD_FRAME, key ? TOP_RECORD_KEY : 0, f->snap->real_ns,
			    &r->bytes);
}

int top_recorder_add(struct top_recorder *r, const struct top_frame *f)
{
	if (r->error)
		return r->error;
	r->error = add(r, f);
	if (r->error)
		return r->error;
	top_frame_put(r->before);
	r->before = top_frame_get((struct top_frame *)f);
	return 0;
}
