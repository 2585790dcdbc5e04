/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers and names, for people and from people.  Pure. */
#ifndef VU_TOP_TEXT_H
#define VU_TOP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/util.h"
#include "tools/utf8.h"

/* Of numbers in short form. */
enum top_units {
	TOP_SI,	 /* k M G: thousands */
	TOP_IEC, /* bytes in Ki Mi Gi */
};

/* No number is known. */
#define TOP_UNKNOWN __builtin_nan("")

static inline bool top_known(double v)
{
	return !__builtin_isnan(v);
}

/* Writes what others have said: what a terminal would act upon becomes '?'. */
void top_put_safe(const char *text, FILE *to);

/* So many bytes at the beginning are characters of ASCII that can be seen, as most are. */
size_t top_plain(const char *text);

/* Columns of a terminal that @ch takes: 0 for what combines, 1 or 2. */
unsigned int top_char_width(uint32_t ch);

/* ... and a text. */
unsigned int top_text_width(const char *s);

/*
 * Short forms, at most 6 characters: "0", "12.3k", "1.05Mi"; "350us", "1.20s", "4m05s",
 * "3d04h"; "-" if not known.
 */
void top_format_count(char *out, size_t size, double v);
void top_format_bytes(char *out, size_t size, double v, enum top_units units);
void top_format_ns(char *out, size_t size, double ns);
void top_format_percent(char *out, size_t size, double share);

/* "0x150000000" and the like, as JSON keeps what does not fit a double. */
void top_format_hex(char *out, size_t size, uint64_t v);

/* RFC 3339 with milliseconds, in UTC, of CLOCK_REALTIME nanoseconds. */
#define TOP_TIME_LEN 32
void top_format_time(char out[TOP_TIME_LEN], uint64_t real_ns);

/* What kind of number a text is read as, which says what units it may have. */
enum top_quantity {
	TOP_PLAIN,   /* 12, 3k, 2M */
	TOP_BYTES,   /* ..., 4Ki, 2MiB, 5MB */
	TOP_TIME,    /* 1.5s, 300ms, 20us, 5ns, 2m, 1h, 1d; nanoseconds; 0 */
	TOP_PERCENT, /* 12 or 12% */
};

/* False: it is not one, or is negative. */
bool top_parse_number(const char *text, size_t len, enum top_quantity what, double *out);

/* "2s", "500ms", "0.5" (seconds): an interval from @min to @max ns. */
bool top_parse_interval(const char *text, uint64_t min, uint64_t max, uint64_t *ns);

/* Whether @text fits @pattern, where * is any text and ? any character; letters alike. */
bool top_glob(const char *pattern, size_t pattern_len, const char *text);

/* Whether @part is in @text; letters alike. */
bool top_contains(const char *text, const char *part);

#endif
