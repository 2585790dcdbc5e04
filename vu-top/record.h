/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recordings of frames.
 *
 * A file begins with "VUTOPREC", a version, and a record that names every field of what
 * follows, so that a later vu-top, which has more of them, reads it all the same.  Then
 * there is a record for each frame: what has changed since the frame before, and once in
 * a while all of it, where one can begin to read.  Each record has its length and a
 * CRC-32C; a file that was cut or damaged is read up to there.  Numbers are little
 * endian, or variable in length.
 */
#ifndef VU_TOP_RECORD_H
#define VU_TOP_RECORD_H

#include "vu-top/frame.h"

#define TOP_RECORD_MAGIC   "VUTOPREC"
#define TOP_RECORD_VERSION 1
#define TOP_RECORD_MAX	   (64u << 20) /* bytes of a frame */

/* --- writing --- */

struct top_recorder;

/*
 * @limit: bytes; when they are full, the file is renamed to PATH.1 and begun anew.
 * NULL and errno.
 */
struct top_recorder *top_recorder_new(const char *path, uint64_t limit);

/* 0 or -errno; then nothing more is written. */
VU_MUST_CHECK int top_recorder_add(struct top_recorder *r, const struct top_frame *f);

/* Goes on in a new file of the same name, as when somebody has renamed the old one. */
VU_MUST_CHECK int top_recorder_reopen(struct top_recorder *r);

/* 0 or -errno: of what was not on the disk yet. */
int top_recorder_free(struct top_recorder *r);

/* --- reading --- */

struct top_replay;

/* NULL and @why. */
struct top_replay *top_replay_open(const char *path, char *why, size_t why_size);
/* The same of @size bytes at @data, which become its own, for tests. */
struct top_replay *top_replay_new(int fd, char *why, size_t why_size);
void top_replay_free(struct top_replay *r);

size_t top_replay_frames(const struct top_replay *r);

/* Whether, and where, reading had to end early; "" */
const char *top_replay_trouble(const struct top_replay *r);

/* The time of a frame, CLOCK_REALTIME. */
uint64_t top_replay_time(const struct top_replay *r, size_t number);

/* The last frame that is not after @real_ns; 0 if there is none. */
size_t top_replay_find(const struct top_replay *r, uint64_t real_ns);

/* *@out: to be put.  0; -ERANGE; -EBADMSG: it is damaged; other -errno. */
VU_MUST_CHECK int top_replay_read(struct top_replay *r, size_t number, struct top_frame **out);

/* --- frames as bytes: frames.c --- */

struct top_bytes {
	uint8_t *data;
	size_t len, room;
	bool failed; /* no memory */
};
void top_bytes_release(struct top_bytes *b);

/* What fields there are, for the beginning of a file. */
void top_schema_write(struct top_bytes *b);

struct top_schema;
/* NULL: @data makes no sense, or no memory. */
struct top_schema *top_schema_read(const uint8_t *data, size_t len);
void top_schema_free(struct top_schema *s);

/* @before: NULL for a frame that stands by itself. */
void top_frame_write(struct top_bytes *b, const struct top_frame *f,
		     const struct top_frame *before);

/* 0; -EBADMSG; -ENOMEM. */
VU_MUST_CHECK int top_frame_read(const struct top_schema *s, const uint8_t *data, size_t len,
				 const struct top_frame *before, struct top_frame **out);

#endif
