/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this kernel lets this process attach: found by trying, never by version. */
#ifndef VU_TRACE_PROBE_H
#define VU_TRACE_PROBE_H

#include <stdbool.h>

#include "event.h"

struct kernel_types;

/* The types of the running kernel; NULL if it does not tell them. */
struct kernel_types *kernel_types_new(void);
void kernel_types_free(struct kernel_types *t);

/* Parameters of a kernel function; -1 if there is none of that name in the kernel itself. */
int kernel_function_params(const struct kernel_types *t, const char *name);

/*
 * Parameters of a tracepoint, the kernel's or a module's @module (may be NULL), without
 * the hidden first one; -1 if there is none.  With @pointer >= 0 also -1 unless that
 * parameter is a pointer.
 */
int kernel_tracepoint_params(const struct kernel_types *t, const char *module,
			     const char *name, int pointer);

/* Each loads and attaches a program that does nothing.  0 or -errno. */
int try_tracing(const char *function); /* fentry */
int try_tracepoint(const char *name);  /* tp_btf */
int try_iterator(void);
int try_kprobe(const char *function);
int try_uprobe(void);

/* Whether this process has a capability in effect. */
bool have_capability(int cap);

#endif
