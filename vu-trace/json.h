/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes JSON, a value after the other, to a stream.  Addresses and masks are strings
 * in hexadecimal, since many readers keep 53 bits of a number.
 */
#ifndef VU_TRACE_JSON_H
#define VU_TRACE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *to;
	bool comma; /* something stands before the next value */
};

static inline struct json json_to(FILE *to)
{
	return (struct json){.to = to};
}

/* @key: NULL in arrays and at the top. */
void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket);
void json_text(struct json *j, const char *key, const char *value);
void json_number(struct json *j, const char *key, uint64_t value);
void json_signed(struct json *j, const char *key, int64_t value);
/* With @decimals digits behind the point. */
void json_real(struct json *j, const char *key, double value, int decimals);
void json_hex(struct json *j, const char *key, uint64_t value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);
/* Ends a line of JSON lines. */
void json_line(struct json *j);

#endif
