/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this kernel lets this process attach: found by trying, never by version. */
#ifndef VU_TRACE_PROBE_H
#define VU_TRACE_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#include "event.h"

struct btf;
struct kernel_types;

/* The types of the running kernel; NULL if it does not tell them. */
struct kernel_types *kernel_types_new(void);
/* Types of some other kernel, which are freed with them. */
struct kernel_types *kernel_types_of(struct btf *btf);
void kernel_types_free(struct kernel_types *t);

/* Parameters of a kernel function; -1 if there is none of that name in the kernel itself. */
int kernel_function_params(const struct kernel_types *t, const char *name);

/*
 * Parameters of a tracepoint, without the hidden first one; -1 if there is none, or unless
 * parameter @pointer is a pointer, to a structure @to if that is given.
 */
int kernel_tracepoint_params(const struct kernel_types *t, const char *name,
			     unsigned int pointer, const char *to);

/* Each loads and attaches a program that does nothing.  0 or -errno. */
int try_tracing(const char *function); /* fentry */
int try_tracepoint(const char *name);  /* tp_btf */
int try_iterator(void);
int try_kprobe(const char *function);
int try_kprobe_multi(const char *function); /* the cheaper kind, from 5.18 on */
int try_uprobe(void);

/* "none", "integrity", "confidentiality"; false if the kernel does not tell. */
bool lockdown_mode(char *mode, size_t size);
/* Whether no program may read the kernel's memory. */
bool locked_down(void);
/* Why BPF cannot be used, where that is known better than by what the kernel answered. */
const char *bpf_error(int err);

/* Whether this process has a capability in effect. */
bool have_capability(int cap);

#endif
