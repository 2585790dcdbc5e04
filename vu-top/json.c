/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes JSON.  Any thread, a writer in one at a time. */
#include "vu-top/json.h"

#include <math.h>
#include <string.h>

#include "vu-top/text.h"

void top_json_open(struct top_json *j, FILE *to)
{
	top_writer_begin(&j->w, to);
	j->comma = false;
}

void top_json_close(struct top_json *j)
{
	top_writer_flush(&j->w);
}

static void write_char(struct top_json *j, char c)
{
	top_write(&j->w, &c, 1);
}

/* So many bytes at the beginning need no care; in names, and most values, all of them. */
static size_t plain(const char *text)
{
	size_t n = 0;

	while (text[n] >= 0x20 && text[n] < 0x7f && text[n] != '"' && text[n] != '\\')
		n++;
	return n;
}

static void write_text(struct top_json *j, const char *text)
{
	size_t easy = plain(text), len = strlen(text + easy);

	write_char(j, '"');
	top_write(&j->w, text, easy);
	text += easy;
	while (len) {
		char out[8];
		uint32_t ch;
		size_t n = utf8_get(text, len, &ch);

		if (ch == '"' || ch == '\\')
			top_write(&j->w, out, sprintf(out, "\\%c", (char)ch));
		else if (ch < 0x20 || ch == 0x7f)
			top_write(&j->w, out, sprintf(out, "\\u%04x", ch));
		else
			top_write(&j->w, out, utf8_put(ch, out));
		text += n;
		len -= n;
	}
	write_char(j, '"');
}

static void name_it(struct top_json *j, const char *name)
{
	if (j->comma)
		write_char(j, ',');
	j->comma = true;
	if (!name)
		return;
	write_text(j, name);
	write_char(j, ':');
}

void top_json_begin(struct top_json *j, const char *name, char bracket)
{
	name_it(j, name);
	write_char(j, bracket);
	j->comma = false;
}

void top_json_end(struct top_json *j, char bracket)
{
	write_char(j, bracket);
	j->comma = true;
}

void top_json_text(struct top_json *j, const char *name, const char *value)
{
	name_it(j, name);
	write_text(j, value);
}

void top_json_bool(struct top_json *j, const char *name, bool value)
{
	name_it(j, name);
	top_write_text(&j->w, value ? "true" : "false");
}

void top_json_int(struct top_json *j, const char *name, int64_t value)
{
	name_it(j, name);
	if (value < 0)
		write_char(j, '-');
	top_write_uint(&j->w, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void top_json_uint(struct top_json *j, const char *name, uint64_t value)
{
	name_it(j, name);
	top_write_uint(&j->w, value);
}

void top_json_number(struct top_json *j, const char *name, double value)
{
	name_it(j, name);
	if (!isfinite(value))
		top_write_text(&j->w, "null");
	else
		top_write_number(&j->w, value, 6);
}

void top_json_hex(struct top_json *j, const char *name, uint64_t value)
{
	char text[24];

	top_format_hex(text, sizeof(text), value);
	top_json_text(j, name, text);
}
