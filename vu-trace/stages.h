/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the histograms of stages are shown, whichever tier they come from. */
#ifndef VU_TRACE_STAGES_H
#define VU_TRACE_STAGES_H

#include <stdbool.h>

#include "event.h"
#include "json.h"

/* A line; the first that is not empty of a queue has the heading above it. */
void stage_text(enum stage st, const struct hist *h, bool *begun);

/* A member of that name, unless the histogram is empty. */
void stage_json(struct json *j, enum stage st, const struct hist *h);

#endif
