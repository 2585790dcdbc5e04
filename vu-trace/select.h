/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which queues the command line is about.  Pure. */
#ifndef VU_TRACE_SELECT_H
#define VU_TRACE_SELECT_H

#include <stddef.h>

#include "options.h"
#include "record.h"
#include "topo.h"

/*
 * Whether the options select this queue.  @vm: what its monitor calls the machine, or "";
 * @role: enum vu__obs_role.
 */
bool selects_queue(const struct options *o, const struct queue *q, const char *vm,
		   uint8_t role);

/* Whether they select that side of it. */
bool selects_side(const struct options *o, enum role side);

/* Leaves what they select in a recording, --kinds too.  False: no queue is. */
bool select_recorded(const struct options *o, struct recording *r);

/* The selectors as they may be given, "-p 4711 --vm=web1"; "" if there is none. */
void selection_text(const struct options *o, char *buf, size_t size);

/* Behind the last slash. */
const char *base_name(const char *path);

#endif
