/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The eventfds of all processes and KVM's tables, as the kernel has them. */
#ifndef VU_TRACE_SCAN_RUN_H
#define VU_TRACE_SCAN_RUN_H

#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "scan.h"

struct scanner;

/* 0 or -errno: -EPERM without the rights, -ESRCH or the like without the kernel's types. */
VU_MUST_CHECK int scanner_new(struct scanner **out);
void scanner_free(struct scanner *s);

/* One walk.  *@recs is the caller's to free. */
VU_MUST_CHECK int scanner_run(struct scanner *s, struct scan_rec **recs, size_t *n);

/* By what the kernel knows a file for an eventfd. */
uint64_t scanner_fops(const struct scanner *s);

#endif
