/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A recording as Chrome's trace JSON: a track for each queue and for each thread, rounds
 * as spans, arrows from kick to wake-up to call.
 */
#ifndef VU_TRACE_CHROME_H
#define VU_TRACE_CHROME_H

#include <stdio.h>

#include "record.h"

void chrome_write(const struct recording *r, FILE *to);

#endif
