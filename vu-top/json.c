/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes JSON.  Any thread, a writer in one at a time. */
#include "vu-top/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "vu-top/text.h"

/* Names, and most values, have nothing in them that needs care. */
static bool is_plain(const char *text)
{
	for (; *text; text++) {
		if (*text < 0x20 || *text >= 0x7f || *text == '"' || *text == '\\')
			return false;
	}
	return true;
}

static void write_text(struct top_json *j, const char *text)
{
	size_t len = strlen(text);

	fputc('"', j->to);
	if (is_plain(text)) {
		fwrite(text, 1, len, j->to);
		len = 0;
	}
	while (len) {
		char out[4];
		uint32_t ch;
		size_t n = top_utf8(text, len, &ch);

		if (ch == '"' || ch == '\\')
			fprintf(j->to, "\\%c", (char)ch);
		else if (ch < 0x20 || ch == 0x7f)
			fprintf(j->to, "\\u%04x", ch);
		else
			fwrite(out, 1, top_utf8_put(ch, out), j->to);
		text += n;
		len -= n;
	}
	fputc('"', j->to);
}

static void name_it(struct top_json *j, const char *name)
{
	if (j->comma)
		fputc(',', j->to);
	j->comma = true;
	if (!name)
		return;
	write_text(j, name);
	fputc(':', j->to);
}

void top_json_begin(struct top_json *j, const char *name, char bracket)
{
	name_it(j, name);
	fputc(bracket, j->to);
	j->comma = false;
}

void top_json_end(struct top_json *j, char bracket)
{
	fputc(bracket, j->to);
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
	fputs(value ? "true" : "false", j->to);
}

void top_json_int(struct top_json *j, const char *name, int64_t value)
{
	name_it(j, name);
	fprintf(j->to, "%" PRId64, value);
}

void top_json_uint(struct top_json *j, const char *name, uint64_t value)
{
	name_it(j, name);
	fprintf(j->to, "%" PRIu64, value);
}

void top_json_number(struct top_json *j, const char *name, double value)
{
	name_it(j, name);
	if (!isfinite(value))
		fputs("null", j->to);
	else if (value == floor(value) && fabs(value) < 1e15)
		fprintf(j->to, "%.0f", value);
	else
		fprintf(j->to, "%.6g", value);
}

void top_json_hex(struct top_json *j, const char *name, uint64_t value)
{
	char text[24];

	top_format_hex(text, sizeof(text), value);
	top_json_text(j, name, text);
}
