/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines for a person, and the subjects debug lines are about. */
#ifndef VU_BASE_LOG_H
#define VU_BASE_LOG_H

#include <stdbool.h>

#include "base/util.h"
#include "libvu/log.h"

enum vu__debug {
	VU__DEBUG_MSG = 1 << 0,
	VU__DEBUG_RING = 1 << 1,
	VU__DEBUG_MEM = 1 << 2,
};

/* Whether LIBVU_DEBUG asks for debug lines about @subject.  Any thread. */
bool vu__debug_on(enum vu__debug subject);

/* Formats one line and hands it to the callback.  Any thread. */
void vu__log(enum vu_log_level level, const char *fmt, ...) VU_PRINTF(2, 3);

#define vu__error(...) vu__log(VU_LOG_ERROR, __VA_ARGS__)
#define vu__warn(...)  vu__log(VU_LOG_WARNING, __VA_ARGS__)
#define vu__info(...)  vu__log(VU_LOG_INFO, __VA_ARGS__)

/* The arguments are only evaluated if somebody listens. */
#define vu__debug(subject, ...)                                                          \
	do {                                                                             \
		if (vu__debug_on(subject))                                               \
			vu__log(VU_LOG_DEBUG, __VA_ARGS__);                              \
	} while (0)

#endif
