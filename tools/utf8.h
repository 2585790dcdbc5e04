/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UTF-8 (RFC 3629). */
#ifndef VU_TOOLS_UTF8_H
#define VU_TOOLS_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * The character at @s, of at most @len bytes (not 0), into *@ch; how many bytes it has.
 * What is no UTF-8 is U+FFFD, a byte long.
 */
size_t utf8_get(const char *s, size_t len, uint32_t *ch);

/* Bytes of @ch at @to, which has room for 4. */
size_t utf8_put(uint32_t ch, char *to);

/* @ch, or '?' if a terminal would act upon it. */
uint32_t utf8_safe(uint32_t ch);

/*
 * What others have said, for a terminal: what it would act upon is '?', lines are not
 * begun.  In one of a few buffers used in turns, cut where that is full.
 */
const char *utf8_shown(const char *text);

#endif
