/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The counters of base/trace.h, which the kernel raises while a tracer is attached. */
#include "base/trace.h"

#ifdef HAVE_SYS_SDT_H
#define COUNTER(name)                                                                    \
	volatile unsigned short vu_##name##_semaphore __attribute__((section(".probes")))

COUNTER(kick_read);
COUNTER(pop);
COUNTER(push);
COUNTER(call);
COUNTER(suppress);
COUNTER(msg);
COUNTER(ring_start);
COUNTER(ring_stop);
COUNTER(fault);
#else
/* A file of C must have something in it. */
typedef int nothing_to_count;
#endif
