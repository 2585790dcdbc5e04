/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes text.  Any thread, a writer in one at a time. */
#include "vu-top/writer.h"

#include <math.h>

#include "vu-top/text.h"

#define DIGITS 20 /* of the largest */

void top_writer_flush(struct top_writer *w)
{
	fwrite(w->text, 1, w->len, w->to);
	w->len = 0;
}

void top_write_through(struct top_writer *w, const char *text, size_t len)
{
	top_writer_flush(w);
	if (len > TOP_WRITER_ROOM)
		fwrite(text, 1, len, w->to);
	else
		top_write(w, text, len);
}

void top_write_safe(struct top_writer *w, const char *text)
{
	size_t plain = top_plain(text), len;

	top_write(w, text, plain);
	text += plain;
	len = strlen(text);
	while (len) {
		char out[4];
		uint32_t ch;
		size_t n = utf8_get(text, len, &ch);

		top_write(w, out, utf8_put(utf8_safe(ch), out));
		text += n;
		len -= n;
	}
}

void top_write_digits(struct top_writer *w, uint64_t v, unsigned int n)
{
	char text[DIGITS];

	for (unsigned int i = n; i--; v /= 10)
		text[i] = '0' + v % 10;
	top_write(w, text, n);
}

void top_write_uint(struct top_writer *w, uint64_t v)
{
	char text[DIGITS], *at = text + DIGITS;

	do {
		*--at = '0' + v % 10;
		v /= 10;
	} while (v);
	top_write(w, at, text + DIGITS - at);
}

void top_write_number(struct top_writer *w, double v, int digits)
{
	char text[40];

	if (v == floor(v) && fabs(v) < 9e15) {
		if (v < 0)
			top_write_text(w, "-");
		top_write_uint(w, fabs(v));
		return;
	}
	snprintf(text, sizeof(text), "%.*g", digits, v);
	top_write_text(w, text);
}
