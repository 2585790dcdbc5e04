/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Framing of state images.  No I/O but through callbacks; any thread. */
#include "state/image.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/sys.h"

/* A transfer that changes line ends, or takes it for text, spoils it visibly. */
static const uint8_t magic[8] = {0x89, 'V', 'U', 'I', 'M', 'G', '\r', '\n'};

/* A false length costs no more memory than has come in, and this. */
#define STEP 65536u

static const char *const type_names[] = {
	[VU__REC_INVENTORY] = "inventory",
	[VU__REC_DEVICE] = "device",
	[VU__REC_MEMORY] = "memory",
	[VU__REC_QUEUE] = "queue",
	[VU__REC_INFLIGHT] = "in-flight",
	[VU__REC_INFLIGHT_REGION] = "in-flight-region",
	[VU__REC_DIRTY_LOG] = "dirty-log",
	[VU__REC_BLOB] = "blob",
	[VU__REC_NOTE] = "note",
};

static const char *const incompat_names[VU__IMAGE_F_COUNT] = {
	[VU__IMAGE_F_ZSTD] = "zstd",
	[VU__IMAGE_F_INFLIGHT] = "in-flight",
	[VU__IMAGE_F_BLOB] = "blob",
	[VU__IMAGE_F_PACKED] = "packed",
};

static const char *const compat_names[VU__IMAGE_C_COUNT] = {
	[VU__IMAGE_C_NOTES] = "notes",
};

const char *vu__image_type_name(unsigned int type)
{
	if (type == VU__REC_END)
		return "end";
	return type < VU_ARRAY_SIZE(type_names) ? type_names[type] : NULL;
}

const char *vu__image_incompat_name(unsigned int bit)
{
	return bit < VU_ARRAY_SIZE(incompat_names) ? incompat_names[bit] : NULL;
}

const char *vu__image_compat_name(unsigned int bit)
{
	return bit < VU_ARRAY_SIZE(compat_names) ? compat_names[bit] : NULL;
}

static void put16(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* --- writing --- */

static int emit(struct vu__image_writer *w, const void *bytes, size_t len)
{
	int ret = len ? w->write(w->opaque, bytes, len) : 0;

	if (ret)
		return ret;
	w->crc = vu__crc32c(w->crc, bytes, len);
	w->at += len;
	return 0;
}

int vu__image_begin(struct vu__image_writer *w, uint64_t incompat, uint64_t compat)
{
	uint8_t h[VU__IMAGE_HEADER] = {0};

	w->at = 0;
	w->records = 0;
	w->crc = 0;
	memcpy(h, magic, sizeof(magic));
	put32(h + 8, VU__IMAGE_VERSION);
	put32(h + 12, sizeof(h));
	put64(h + 16, incompat);
	put64(h + 24, compat);
	put32(h + 36, vu__crc32c(0, h, 36));
	return emit(w, h, sizeof(h));
}

int vu__image_put(struct vu__image_writer *w, unsigned int type, unsigned int flags,
		  const void *payload, size_t len)
{
	uint8_t h[VU__IMAGE_RECORD_HEAD];
	int ret;

	if (len > VU__IMAGE_PAYLOAD_MAX)
		return -EMSGSIZE;
	put16(h, type);
	put16(h + 2, flags);
	put32(h + 4, len);
	put32(h + 8, vu__crc32c(vu__crc32c(0, h, 8), payload, len));
	ret = emit(w, h, sizeof(h));
	if (!ret)
		ret = emit(w, payload, len);
	if (!ret)
		w->records++;
	return ret;
}

int vu__image_end(struct vu__image_writer *w)
{
	uint8_t end[VU__IMAGE_END_SIZE] = {0};

	put64(end, w->records);
	put64(end + 8, w->at);
	put32(end + 16, w->crc);
	return vu__image_put(w, VU__REC_END, VU__REC_REQUIRED, end, sizeof(end));
}

/* --- reading --- */

static int bad(struct vu__image_reader *r, int err, const char *fmt, ...) VU_PRINTF(3, 4);
static int bad(struct vu__image_reader *r, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return err;
}

/* Reads until @len bytes are there or the source ends.  How many, or -errno. */
static ssize_t fetch(struct vu__image_reader *r, void *to, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = r->read(r->opaque, (uint8_t *)to + got, len - got);

		if (n < 0)
			return bad(r, n, "reading: %s", strerror(-n));
		if (n == 0)
			break;
		got += n;
	}
	r->at += got;
	return got;
}

int vu__image_open(struct vu__image_reader *r)
{
	uint8_t h[VU__IMAGE_HEADER];
	ssize_t n;

	r->at = 0;
	r->records = 0;
	r->crc = 0;
	r->why[0] = '\0';
	n = fetch(r, h, sizeof(h));
	if (n < 0)
		return n;
	if ((size_t)n < sizeof(magic) || memcmp(h, magic, sizeof(magic)))
		return bad(r, -EBADMSG, "not a state image");
	if ((size_t)n < sizeof(h))
		return bad(r, -EBADMSG, "it ends within its header");
	if (vu__crc32c(0, h, 36) != get32(h + 36))
		return bad(r, -EBADMSG, "its header is damaged");
	r->version = get32(h + 8);
	if (r->version != VU__IMAGE_VERSION)
		return bad(r, -EPROTONOSUPPORT, "format version %u; this reads version %u",
			   r->version, VU__IMAGE_VERSION);
	if (get32(h + 12) != sizeof(h) || get32(h + 32))
		return bad(r, -EBADMSG, "its header is not one of version %u", r->version);
	r->incompat = get64(h + 16);
	r->compat = get64(h + 24);
	r->crc = vu__crc32c(0, h, sizeof(h));
	return 0;
}

/* Makes room for @len bytes; keeps what is there. */
static int reserve(struct vu__image_reader *r, size_t len)
{
	uint8_t *bigger;

	if (len <= r->room)
		return 0;
	bigger = realloc(r->buf, len);
	if (!bigger)
		return bad(r, -ENOMEM, "out of memory");
	r->buf = bigger;
	r->room = len;
	return 0;
}

static int fetch_payload(struct vu__image_reader *r, const struct vu__record *rec)
{
	size_t got = 0;

	while (got < rec->stored) {
		size_t step = VU_MIN(rec->stored - got, STEP);
		int ret = reserve(r, got + step);
		ssize_t n;

		if (ret)
			return ret;
		n = fetch(r, r->buf + got, step);
		if (n < 0)
			return n;
		got += n;
		if ((size_t)n < step)
			return bad(r, -EBADMSG, "it ends within record %" PRIu64 " (%zu of %zu "
				   "bytes)", rec->number, got, rec->stored);
	}
	return 0;
}

static int expand(struct vu__image_reader *r, struct vu__record *rec)
{
	int ret;

	if (!(rec->flags & VU__REC_ZSTD)) {
		rec->payload = r->buf;
		rec->len = rec->stored;
		return 0;
	}
	if (!r->expand)
		return bad(r, -ENOTSUP, "record %" PRIu64 " is compressed, which this reader "
			   "does not take", rec->number);
	if (rec->stored < 4 || get32(r->buf) > VU__IMAGE_PAYLOAD_MAX)
		return bad(r, -EBADMSG, "record %" PRIu64 ": too large", rec->number);
	rec->len = get32(r->buf);
	free(r->expanded);
	r->expanded = vu__sys.calloc(1, rec->len + 1);
	if (!r->expanded)
		return bad(r, -ENOMEM, "out of memory");
	ret = r->expand(r->opaque, r->buf + 4, rec->stored - 4, r->expanded, rec->len);
	if (ret)
		return bad(r, -EBADMSG, "record %" PRIu64 " does not expand", rec->number);
	rec->payload = r->expanded;
	return 0;
}

/* The end record, whose checksum was good: does it tell of what came before? */
static int check_end(struct vu__image_reader *r, const struct vu__record *rec)
{
	const uint8_t *end = r->buf;
	uint8_t more;
	ssize_t n;

	if (rec->stored != VU__IMAGE_END_SIZE || rec->flags != VU__REC_REQUIRED ||
	    get32(end + 20))
		return bad(r, -EBADMSG, "its end record is malformed");
	if (get64(end) != rec->number - 1 || get64(end + 8) != rec->at)
		return bad(r, -EBADMSG, "%" PRIu64 " records of %" PRIu64 " bytes were written, "
			   "%" PRIu64 " of %" PRIu64 " are here", get64(end), get64(end + 8),
			   rec->number - 1, rec->at);
	if (get32(end + 16) != r->crc)
		return bad(r, -EBADMSG, "the checksum over the whole is wrong");
	n = fetch(r, &more, 1);
	if (n < 0)
		return n;
	return n ? bad(r, -EBADMSG, "something follows its end") : 0;
}

int vu__image_next(struct vu__image_reader *r, struct vu__record *rec)
{
	uint8_t h[VU__IMAGE_RECORD_HEAD];
	ssize_t n;
	int ret;

	rec->number = r->records + 1;
	rec->at = r->at;
	n = fetch(r, h, sizeof(h));
	if (n < 0)
		return n;
	if ((size_t)n < sizeof(h))
		return bad(r, -EBADMSG, "it ends %s record %" PRIu64 ", without an end record",
			   n ? "within" : "before", rec->number);
	rec->type = get16(h);
	rec->flags = get16(h + 2);
	rec->stored = get32(h + 4);
	if (rec->stored > VU__IMAGE_PAYLOAD_MAX)
		return bad(r, -EBADMSG, "record %" PRIu64 " claims %zu bytes, at most %u are "
			   "possible", rec->number, rec->stored, VU__IMAGE_PAYLOAD_MAX);
	ret = fetch_payload(r, rec);
	if (ret)
		return ret;
	if (vu__crc32c(vu__crc32c(0, h, 8), r->buf, rec->stored) != get32(h + 8))
		return bad(r, -EBADMSG, "record %" PRIu64 " at byte %" PRIu64 " is damaged",
			   rec->number, rec->at);
	if (rec->type == VU__REC_END)
		return check_end(r, rec);
	if (rec->flags & ~VU__REC_FLAGS)
		return bad(r, -EBADMSG, "record %" PRIu64 " has unknown flags 0x%x", rec->number,
			   rec->flags);
	ret = expand(r, rec);
	if (ret)
		return ret;
	r->crc = vu__crc32c(vu__crc32c(r->crc, h, sizeof(h)), r->buf, rec->stored);
	r->records++;
	return 1;
}

void vu__image_close(struct vu__image_reader *r)
{
	free(vu__steal_ptr(&r->buf));
	free(vu__steal_ptr(&r->expanded));
	r->room = 0;
}

ssize_t vu__image_read_bytes(void *opaque, void *bytes, size_t len)
{
	struct vu__image_bytes *b = opaque;

	len = VU_MIN(len, b->len - b->at);
	if (len)
		memcpy(bytes, b->bytes + b->at, len);
	b->at += len;
	return len;
}
