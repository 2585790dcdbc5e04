/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a process has libvu's points (USDT), if it has. */
#ifndef VU_TRACE_LIBVU_POINTS_H
#define VU_TRACE_LIBVU_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The file among those @pid runs that has them, as its maps name it. */
bool libvu_points_find(pid_t pid, char *path, size_t size);

#endif
