/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines on standard error.  Any thread. */
#include "blk/blk.h"

#include <stdarg.h>
#include <stdio.h>

static void line(const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	fprintf(stderr, "vu-blk: %s\n", text);
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line(fmt, ap);
	va_end(ap);
}

void say_verbose(const struct options *opt, const char *fmt, ...)
{
	va_list ap;

	if (!opt->verbose)
		return;
	va_start(ap, fmt);
	line(fmt, ap);
	va_end(ap);
}
