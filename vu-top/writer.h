/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text for machines, a lot of it: printf() would take most of the time that a sample of
 * a thousand queues takes.  Any thread, a writer in one at a time.
 */
#ifndef VU_TOP_WRITER_H
#define VU_TOP_WRITER_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TOP_WRITER_ROOM 16384

struct top_writer {
	FILE *to; /* knows of errors */
	size_t len;
	char text[TOP_WRITER_ROOM];
};

static inline void top_writer_begin(struct top_writer *w, FILE *to)
{
	w->to = to;
	w->len = 0;
}

/* Hands on what is held back; also at the end. */
void top_writer_flush(struct top_writer *w);

/* For what does not fit. */
void top_write_through(struct top_writer *w, const char *text, size_t len);

static inline void top_write(struct top_writer *w, const char *text, size_t len)
{
	if (len > TOP_WRITER_ROOM || w->len > TOP_WRITER_ROOM - len) {
		top_write_through(w, text, len);
		return;
	}
	memcpy(w->text + w->len, text, len);
	w->len += len;
}

static inline void top_write_text(struct top_writer *w, const char *text)
{
	top_write(w, text, strlen(text));
}

/* What others have said: what a terminal would act upon becomes '?'. */
void top_write_safe(struct top_writer *w, const char *text);

void top_write_uint(struct top_writer *w, uint64_t v);

/* As many digits, with zeros in front. */
void top_write_digits(struct top_writer *w, uint64_t v, unsigned int n);

/* A whole number as such, others with up to @digits digits that count. */
void top_write_number(struct top_writer *w, double v, int digits);

#endif
