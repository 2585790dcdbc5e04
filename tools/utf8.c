/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UTF-8 (RFC 3629).  Any thread. */
#include "tools/utf8.h"

#include <stdbool.h>
#include <string.h>

#define REPLACEMENT 0xfffd

size_t utf8_get(const char *s, size_t len, uint32_t *ch)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char c = s[0];
	size_t n = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
	uint32_t v = n == 1 ? c : c & (0x7f >> n);

	*ch = REPLACEMENT;
	if (!n || n > len)
		return 1;
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 1;
		v = v << 6 | ((unsigned char)s[i] & 0x3f);
	}
	if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return 1;
	*ch = v;
	return n;
}

size_t utf8_put(uint32_t ch, char *to)
{
	if (ch < 0x80) {
		to[0] = ch;
		return 1;
	}
	if (ch < 0x800) {
		to[0] = 0xc0 | ch >> 6;
		to[1] = 0x80 | (ch & 0x3f);
		return 2;
	}
	if (ch < 0x10000) {
		to[0] = 0xe0 | ch >> 12;
		to[1] = 0x80 | (ch >> 6 & 0x3f);
		to[2] = 0x80 | (ch & 0x3f);
		return 3;
	}
	to[0] = 0xf0 | (ch >> 18 & 7);
	to[1] = 0x80 | (ch >> 12 & 0x3f);
	to[2] = 0x80 | (ch >> 6 & 0x3f);
	to[3] = 0x80 | (ch & 0x3f);
	return 4;
}

uint32_t utf8_safe(uint32_t ch)
{
	bool control = ch < 0x20 || (ch >= 0x7f && ch < 0xa0) || (ch >= 0x202a && ch <= 0x202e);

	return control ? '?' : ch;
}

const char *utf8_shown(const char *text)
{
	static _Thread_local char buffers[8][1024];
	static _Thread_local unsigned int turn;
	char *out = buffers[turn++ % 8];
	size_t len = strlen(text), at = 0;

	while (len && at + 4 < sizeof(buffers[0])) {
		uint32_t ch;
		size_t n = utf8_get(text, len, &ch);

		at += utf8_put(utf8_safe(ch), out + at);
		text += n;
		len -= n;
	}
	out[at] = '\0';
	return out;
}
