/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers and names, for people and from people.  Pure; any thread. */
#include "vu-top/text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* --- characters --- */

struct span {
	uint32_t first, last;
};

static bool within(uint32_t ch, const struct span *spans, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (ch >= spans[i].first && ch <= spans[i].last)
			return true;
	}
	return false;
}

/* Blocks rather than single characters: names of machines have few others. */
static const struct span combining[] = {
	{0x300, 0x36f},	  {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},
	{0x64b, 0x65f},	  {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f},
	{0x202a, 0x202e}, {0x2060, 0x2064}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f},
	{0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0100, 0xe01ef}};
static const struct span wide[] = {
	{0x1100, 0x115f}, {0x2e80, 0x303e},   {0x3041, 0x33ff},	  {0x3400, 0x4dbf},
	{0x4e00, 0x9fff}, {0xa000, 0xa4cf},   {0xac00, 0xd7a3},	  {0xf900, 0xfaff},
	{0xfe30, 0xfe6f}, {0xff00, 0xff60},   {0xffe0, 0xffe6},	  {0x1f300, 0x1f64f},
	{0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

unsigned int top_char_width(uint32_t ch)
{
	if (ch < 0x300)
		return 1;
	if (within(ch, combining, VU_ARRAY_SIZE(combining)))
		return 0;
	return within(ch, wide, VU_ARRAY_SIZE(wide)) ? 2 : 1;
}

size_t top_plain(const char *text)
{
	size_t n = 0;

	while (text[n] >= ' ' && text[n] <= '~')
		n++;
	return n;
}

void top_put_safe(const char *text, FILE *to)
{
	size_t len = strlen(text);

	while (len) {
		char out[4];
		uint32_t ch;
		size_t n = utf8_get(text, len, &ch);

		fwrite(out, 1, utf8_put(utf8_safe(ch), out), to);
		text += n;
		len -= n;
	}
}

unsigned int top_text_width(const char *s)
{
	size_t width = top_plain(s), len = strlen(s + width);

	s += width;

	while (len) {
		uint32_t ch;
		size_t n = utf8_get(s, len, &ch);

		width += top_char_width(utf8_safe(ch));
		s += n;
		len -= n;
	}
	return width;
}

/* --- numbers to texts --- */

/* Three figures that count, and what follows them. */
static void figures(char *out, size_t size, double v, const char *unit)
{
	if (v >= 99.95 || v == floor(v))
		snprintf(out, size, "%.0f%s", v, unit);
	else if (v >= 9.995)
		snprintf(out, size, "%.1f%s", v, unit);
	else
		snprintf(out, size, "%.2f%s", v, unit);
}

static void scaled(char *out, size_t size, double v, double step,
		   const char *const *units, size_t n)
{
	size_t i = 0;

	if (!top_known(v)) {
		snprintf(out, size, "-");
		return;
	}
	/* 999.6 would become "1000". */
	while (v >= step - step / 2000 && i + 1 < n) {
		v /= step;
		i++;
	}
	if (i == 0 && v != floor(v) && v < 0.005)
		snprintf(out, size, v > 0 ? "<.01" : "0");
	else
		figures(out, size, v, units[i]);
}

static const char *const si_units[] = {"", "k", "M", "G", "T", "P"};
static const char *const iec_units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};

void top_format_count(char *out, size_t size, double v)
{
	scaled(out, size, v, 1000, si_units, VU_ARRAY_SIZE(si_units));
}

void top_format_bytes(char *out, size_t size, double v, enum top_units units)
{
	if (units == TOP_IEC)
		scaled(out, size, v, 1024, iec_units, VU_ARRAY_SIZE(iec_units));
	else
		scaled(out, size, v, 1000, si_units, VU_ARRAY_SIZE(si_units));
}

void top_format_ns(char *out, size_t size, double ns)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	uint64_t s;

	if (!top_known(ns) || ns < 60e9 - 5e6) {
		scaled(out, size, top_known(ns) ? floor(ns) : ns, 1000, units,
		       VU_ARRAY_SIZE(units));
		return;
	}
	s = VU_MAX(VU_MIN(ns / 1e9, 1e15), 60);
	if (s < 3600)
		snprintf(out, size, "%um%02us", (unsigned int)s / 60, (unsigned int)s % 60);
	else if (s < 100 * 3600)
		snprintf(out, size, "%uh%02um", (unsigned int)s / 3600,
			 (unsigned int)s / 60 % 60);
	else if (s < 86400ull * 100)
		snprintf(out, size, "%ud%02uh", (unsigned int)(s / 86400),
			 (unsigned int)(s / 3600 % 24));
	else
		snprintf(out, size, "%.0fd", s / 86400.0);
}

void top_format_percent(char *out, size_t size, double share)
{
	if (!top_known(share))
		snprintf(out, size, "-");
	else if (share > 0 && share < 0.005)
		snprintf(out, size, "<1%%");
	else
		snprintf(out, size, "%.0f%%", VU_MIN(share * 100, 99999));
}

void top_format_hex(char *out, size_t size, uint64_t v)
{
	snprintf(out, size, "0x%llx", (unsigned long long)v);
}

void top_format_time(char out[TOP_TIME_LEN], uint64_t real_ns)
{
	time_t s = real_ns / 1000000000u;
	struct tm tm;

	gmtime_r(&s, &tm);
	snprintf(out, TOP_TIME_LEN, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		 (tm.tm_year + 1900u) % 10000, (tm.tm_mon + 1u) % 100, tm.tm_mday % 100u,
		 tm.tm_hour % 100u, tm.tm_min % 100u, tm.tm_sec % 100u,
		 (unsigned int)(real_ns / 1000000u % 1000));
}

/* --- texts to numbers --- */

/* Digits with at most one point, from @text; how many characters, 0: none. */
static size_t digits(const char *text, size_t len, double *out)
{
	double v = 0, place = 1;
	bool point = false;
	size_t i = 0, seen = 0;

	for (; i < len; i++) {
		if (text[i] == '.' && !point) {
			point = true;
		} else if (isdigit((unsigned char)text[i])) {
			v = v * 10 + (text[i] - '0');
			place *= point ? 10 : 1;
			seen++;
		} else {
			break;
		}
	}
	*out = v / place;
	return seen ? i : 0;
}

static bool is(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && !strncmp(text, word, len);
}

static bool time_unit(const char *t, size_t len, double *v)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"ns", 1},	   {"us", 1e3},	   {"\xc2\xb5s", 1e3}, {"ms", 1e6}, {"s", 1e9},
		     {"m", 60e9}, {"min", 60e9}, {"h", 3600e9},	     {"d", 86400e9}};

	if (!len && *v == 0)
		return true;
	for (size_t i = 0; i < VU_ARRAY_SIZE(units); i++) {
		if (is(t, len, units[i].name)) {
			*v *= units[i].ns;
			return true;
		}
	}
	return false;
}

/* k, M, ... and, for bytes, Ki, MiB, MB, B. */
static bool size_unit(const char *t, size_t len, bool bytes, double *v)
{
	static const char letters[] = "kMGTP";
	double step = 1000;
	const char *l;

	if (bytes && len && t[len - 1] == 'B')
		len--;
	if (len == 2 && bytes && t[1] == 'i') {
		step = 1024;
		len--;
	}
	if (len == 0)
		return true;
	l = len == 1 ? strchr(letters, t[0] == 'K' ? 'k' : t[0]) : NULL;
	if (!l || !*l)
		return false;
	*v *= pow(step, l - letters + 1);
	return true;
}

bool top_parse_number(const char *text, size_t len, enum top_quantity what, double *out)
{
	size_t n = digits(text, len, out);

	if (!n || !isfinite(*out))
		return false;
	text += n;
	len -= n;
	switch (what) {
	case TOP_TIME:
		return time_unit(text, len, out);
	case TOP_PERCENT:
		*out /= 100;
		return len == 0 || is(text, len, "%");
	default:
		return size_unit(text, len, what == TOP_BYTES, out);
	}
}

bool top_parse_interval(const char *text, uint64_t min, uint64_t max, uint64_t *ns)
{
	size_t len = strlen(text);
	double v;

	if (digits(text, len, &v) == len && len)
		v *= 1e9;
	else if (!top_parse_number(text, len, TOP_TIME, &v))
		return false;
	if (!(v >= min && v <= max))
		return false;
	*ns = v;
	return true;
}

/* --- patterns --- */

static char lower(char c)
{
	return tolower((unsigned char)c);
}

bool top_glob(const char *p, size_t len, const char *text)
{
	const char *end = p + len, *star = NULL, *retry = NULL;

	/* Going back to the last star only is enough, and keeps the time in bounds. */
	while (*text) {
		if (p < end && *p == '*') {
			star = ++p;
			retry = text;
		} else if (p < end && (*p == '?' || lower(*p) == lower(*text))) {
			p++;
			text++;
		} else if (star) {
			p = star;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (p < end && *p == '*')
		p++;
	return p == end;
}

bool top_contains(const char *text, const char *part)
{
	return strcasestr(text, part);
}
