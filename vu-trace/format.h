/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events as text.  Pure. */
#ifndef VU_TRACE_FORMAT_H
#define VU_TRACE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "json.h"

const char *kind_name(unsigned int kind);
const char *stage_name(unsigned int stage);
const char *point_name(unsigned int point);

/* 1234 as "1.23us"; in @buf, which is returned. */
#define TIME_TEXT 16
char *time_text(char buf[TIME_TEXT], uint64_t ns);

/* How the queue of an event is called, "" for none. */
typedef const char *queue_name_fn(void *opaque, uint32_t queue);

/* One line without its end; @begin: the time that is 0. */
void event_text(char *buf, size_t size, const struct event *e, uint64_t begin,
		const char *queue);
/* The steps of a round: "signal 0 wake +3.1us ...". */
void round_text(char *buf, size_t size, const struct ev_round *r);
/* The members of an event, into an object that is open. */
void event_json(struct json *j, const struct event *e, size_t size, const char *queue);

#endif
