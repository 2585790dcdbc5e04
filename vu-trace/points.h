/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The points that programs are attached to. */
#ifndef VU_TRACE_POINTS_H
#define VU_TRACE_POINTS_H

#include "probe.h"

#define MAX_PROBES 40

struct probe_info {
	const char *program;
	const char *where;
	const char *sees;
	char tier;
};
extern const struct probe_info probes[];
extern const unsigned int nprobes;

/* Whether the kernel has the point that program @name wants, in that shape. */
bool probe_present(const struct kernel_types *t, const char *name);

#endif
