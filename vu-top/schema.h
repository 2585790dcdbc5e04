/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fields of recorded structures: what they are called, where they are, how they are
 * written.  Pure.
 */
#ifndef VU_TOP_SCHEMA_H
#define VU_TOP_SCHEMA_H

#include "vu-top/record.h"

enum top_record_kind {
	TOP_R_UINT = 1,
	TOP_R_INT,
	TOP_R_DOUBLE,
	TOP_R_TEXT, /* an array of characters that ends with a zero */
	TOP_R_MASK, /* a bit for each counter */
	TOP_R_BOOL,
	TOP_R_KINDS
};

struct top_record_field {
	const char *name;
	uint8_t kind;  /* enum top_record_kind */
	uint16_t size; /* of one */
	uint16_t offset;
	uint8_t count;			     /* of an array; 1 */
	const char *(*element)(unsigned int); /* its elements' names; NULL */
};

enum top_record_struct {
	TOP_R_FRAME,
	TOP_R_SNAPSHOT,
	TOP_R_PROCESS,
	TOP_R_DEVICE,
	TOP_R_QUEUE,
	TOP_R_REGION,
	TOP_R_EVENT,
	TOP_R_HOLDER,
	TOP_R_BACKING,
	TOP_R_STRUCTS
};

struct top_record_info {
	const char *name;
	size_t size;
	const struct top_record_field *fields; /* the end has no name */
};
extern const struct top_record_info top_record_structs[TOP_R_STRUCTS];

/* A field as a file has it, and where it goes; an array is as many fields. */
struct top_schema_field {
	uint8_t kind;
	uint16_t size;	/* ours */
	int32_t offset; /* in ours; -1: we have none of this name */
};

#define TOP_SCHEMA_FIELDS 255
struct top_schema {
	struct {
		unsigned int n;
		struct top_schema_field field[TOP_SCHEMA_FIELDS];
	} of[TOP_R_STRUCTS];
	uint8_t ncounters;
	int8_t counter[64]; /* which of ours the file's is; -1: none */
};

void top_bytes_put(struct top_bytes *b, const void *data, size_t len);

/* Ours, as if it had been read from a file.  NULL: no memory.  Any thread. */
const struct top_schema *top_schema_own(void);

#endif
