/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes JSON.  Any thread, one a stream. */
#include "json.h"

#include <inttypes.h>
#include <string.h>

#include "tools/utf8.h"

static void quote(FILE *to, const char *s)
{
	size_t len = strlen(s);

	putc('"', to);
	while (len) {
		char bytes[4];
		uint32_t ch;
		/* Names that a stranger chose need not be UTF-8; JSON has to be. */
		size_t n = utf8_get(s, len, &ch);

		if (ch == '"' || ch == '\\')
			fprintf(to, "\\%c", (char)ch);
		else if (ch < 0x20 || ch == 0x7f)
			fprintf(to, "\\u%04x", ch);
		else
			fwrite(bytes, 1, utf8_put(ch, bytes), to);
		s += n;
		len -= n;
	}
	putc('"', to);
}

static void begin(struct json *j, const char *key)
{
	if (j->comma)
		putc(',', j->to);
	j->comma = true;
	if (key) {
		quote(j->to, key);
		putc(':', j->to);
	}
}

void json_open(struct json *j, const char *key, char bracket)
{
	begin(j, key);
	putc(bracket, j->to);
	j->comma = false;
}

void json_close(struct json *j, char bracket)
{
	putc(bracket, j->to);
	j->comma = true;
}

void json_text(struct json *j, const char *key, const char *value)
{
	begin(j, key);
	quote(j->to, value);
}

void json_number(struct json *j, const char *key, uint64_t value)
{
	begin(j, key);
	fprintf(j->to, "%" PRIu64, value);
}

void json_signed(struct json *j, const char *key, int64_t value)
{
	begin(j, key);
	fprintf(j->to, "%" PRId64, value);
}

void json_real(struct json *j, const char *key, double value, int decimals)
{
	begin(j, key);
	fprintf(j->to, "%.*f", decimals, value);
}

void json_hex(struct json *j, const char *key, uint64_t value)
{
	begin(j, key);
	fprintf(j->to, "\"0x%" PRIx64 "\"", value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin(j, key);
	fputs(value ? "true" : "false", j->to);
}

void json_null(struct json *j, const char *key)
{
	begin(j, key);
	fputs("null", j->to);
}

void json_line(struct json *j)
{
	putc('\n', j->to);
	fflush(j->to);
	j->comma = false;
}
