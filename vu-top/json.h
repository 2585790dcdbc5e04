/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes JSON (RFC 8259) as it goes; commas are put where they belong. */
#ifndef VU_TOP_JSON_H
#define VU_TOP_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include "vu-top/writer.h"

struct top_json {
	struct top_writer w;
	bool comma; /* something stands before, at this level */
};

void top_json_open(struct top_json *j, FILE *to);
void top_json_close(struct top_json *j);

/* @name: NULL within an array, and at the top. */
void top_json_begin(struct top_json *j, const char *name, char bracket);
void top_json_end(struct top_json *j, char bracket);
void top_json_text(struct top_json *j, const char *name, const char *value);
void top_json_bool(struct top_json *j, const char *name, bool value);
void top_json_int(struct top_json *j, const char *name, int64_t value);
void top_json_uint(struct top_json *j, const char *name, uint64_t value);
/* null if it is not known. */
void top_json_number(struct top_json *j, const char *name, double value);
/* "0x1f", which no reader of doubles can spoil. */
void top_json_hex(struct top_json *j, const char *name, uint64_t value);

#endif
