/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The framing of a state image; vu-image(5) has the format.
 *
 *	header	magic, version, feature bits, CRC
 *	record	type, flags, length, CRC, payload	...
 *	end	how many records and bytes came before, and their CRC
 *
 * It is written and read front to back, through callbacks, so that pipes do.  What is
 * read is hostile: a length is checked before anything is allocated for it, and memory
 * grows only as bytes arrive.  What payloads mean is convert.c's.
 */
#ifndef VU_STATE_IMAGE_H
#define VU_STATE_IMAGE_H

#include <sys/types.h>

#include "base/util.h"

#define VU__IMAGE_VERSION     1
#define VU__IMAGE_HEADER      40u
#define VU__IMAGE_RECORD_HEAD 12u
#define VU__IMAGE_END_SIZE    24u

/* Of one payload, stored and expanded.  What is larger comes in several records. */
#define VU__IMAGE_PAYLOAD_MAX (1u << 20)

/* Numbers of record types; proto/image.proto has the payloads.  Never used again. */
enum vu__record_type {
	VU__REC_INVENTORY = 1,
	VU__REC_DEVICE = 2,
	VU__REC_MEMORY = 3,
	VU__REC_QUEUE = 4,
	VU__REC_INFLIGHT = 5,
	VU__REC_INFLIGHT_REGION = 6,
	VU__REC_DIRTY_LOG = 7,
	VU__REC_BLOB = 8,
	VU__REC_NOTE = 9,
	VU__REC_END = 0xffff,
};

enum {
	VU__REC_REQUIRED = 1 << 0, /* who does not know the type refuses the image */
	VU__REC_ZSTD = 1 << 1,	   /* the payload is a u32 size and a zstd frame */
	VU__REC_FLAGS = VU__REC_REQUIRED | VU__REC_ZSTD,
};

/* Feature bits of the header.  Who does not know an incompatible one refuses. */
enum {
	VU__IMAGE_F_ZSTD = 0,	  /* some payloads are compressed */
	VU__IMAGE_F_INFLIGHT = 1, /* requests are in flight */
	VU__IMAGE_F_BLOB = 2,	  /* the device has state of its own */
	VU__IMAGE_F_PACKED = 3,	  /* some queues are packed */
	VU__IMAGE_F_COUNT
};
enum {
	VU__IMAGE_C_NOTES = 0, /* compatible: NOTE records */
	VU__IMAGE_C_COUNT
};

/* NULL if there is no such type, bit. */
const char *vu__image_type_name(unsigned int type);
const char *vu__image_incompat_name(unsigned int bit);
const char *vu__image_compat_name(unsigned int bit);

/* --- writing --- */

struct vu__image_writer {
	/* All of the bytes or -errno. */
	int (*write)(void *opaque, const void *bytes, size_t len);
	void *opaque;
	uint64_t at;
	uint64_t records;
	uint32_t crc;
};

VU_MUST_CHECK int vu__image_begin(struct vu__image_writer *w, uint64_t incompat,
				  uint64_t compat);
VU_MUST_CHECK int vu__image_put(struct vu__image_writer *w, unsigned int type,
				unsigned int flags, const void *payload, size_t len);
VU_MUST_CHECK int vu__image_end(struct vu__image_writer *w);

/* --- reading --- */

struct vu__record {
	unsigned int type;
	unsigned int flags; /* as stored */
	const uint8_t *payload; /* expanded; valid until the next record is read */
	size_t len;
	size_t stored;
	uint64_t number; /* from 1 */
	uint64_t at;	 /* offset in the file */
};

struct vu__image_reader {
	/* Up to @len bytes, 0 at the end, -errno. */
	ssize_t (*read)(void *opaque, void *bytes, size_t len);
	void *opaque;
	/* Expands a zstd frame to exactly @len bytes; NULL: this reader cannot. */
	int (*expand)(void *opaque, const void *frame, size_t size, void *to, size_t len);
	uint32_t version;
	uint64_t incompat, compat;
	uint64_t at;
	uint64_t records;
	uint32_t crc;
	uint8_t *buf, *expanded;
	size_t room;
	char why[200]; /* after a failure: a text for a person */
};

/*
 * Reads the header.  0; -EBADMSG: not an image, or damaged; -EPROTONOSUPPORT: a version
 * of the framing that this does not know; what read() said.
 */
VU_MUST_CHECK int vu__image_open(struct vu__image_reader *r);

/*
 * Reads a record.  1; 0 after the end record, if nothing follows it; -EBADMSG: damaged,
 * cut or too long; -ENOTSUP: compressed, without expand; -ENOMEM; what read() said.
 */
VU_MUST_CHECK int vu__image_next(struct vu__image_reader *r, struct vu__record *rec);

/* Releases the buffers. */
void vu__image_close(struct vu__image_reader *r);

/* --- a memory block as source --- */

struct vu__image_bytes {
	const uint8_t *bytes;
	size_t len;
	size_t at;
};

/* For read, with a struct vu__image_bytes as opaque. */
ssize_t vu__image_read_bytes(void *opaque, void *bytes, size_t len);

#endif
