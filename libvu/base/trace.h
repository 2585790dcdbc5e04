/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Points that a tracer can attach to (USDT, provider "vu"), of a build with sys/sdt.h;
 * else nothing at all.  docs/tracing.md lists them.
 *
 * A point costs the look at a counter, which a tracer raises: what is only needed to say
 * what happened is not even computed before.  The place itself is a no-op of five bytes,
 * which a kernel attaches to at the least cost.
 */
#ifndef VU_BASE_TRACE_H
#define VU_BASE_TRACE_H

#include "base/util.h"

#ifdef HAVE_SYS_SDT_H

#define _SDT_HAS_SEMAPHORES 1
/* In registers: not every tracer knows all places in memory, Debian 12's libbpf no index. */
#define STAP_SDT_ARG_CONSTRAINT nr
#include <sys/sdt.h>

#if defined(__x86_64__)
#undef _SDT_NOP
#define _SDT_NOP .byte 0x0f; .byte 0x1f; .byte 0x44; .byte 0x00; .byte 0x00
#endif

/* The names are the convention's: provider, point, "semaphore". */
#define VU__TRACE_POINT(name) extern volatile unsigned short vu_##name##_semaphore

VU__TRACE_POINT(kick_read);
VU__TRACE_POINT(pop);
VU__TRACE_POINT(push);
VU__TRACE_POINT(call);
VU__TRACE_POINT(suppress);
VU__TRACE_POINT(msg);
VU__TRACE_POINT(ring_start);
VU__TRACE_POINT(ring_stop);
VU__TRACE_POINT(fault);

#define VU__TRACED(name) VU_UNLIKELY(vu_##name##_semaphore)

#define VU__TRACE2(name, a, b)                                                           \
	do {                                                                             \
		if (VU__TRACED(name))                                                    \
			DTRACE_PROBE2(vu, name, a, b);                                   \
	} while (0)
#define VU__TRACE3(name, a, b, c)                                                        \
	do {                                                                             \
		if (VU__TRACED(name))                                                    \
			DTRACE_PROBE3(vu, name, a, b, c);                                \
	} while (0)
#define VU__TRACE4(name, a, b, c, d)                                                     \
	do {                                                                             \
		if (VU__TRACED(name))                                                    \
			DTRACE_PROBE4(vu, name, a, b, c, d);                             \
	} while (0)

#else

/* The arguments are looked at by the compiler, and not computed. */
#define VU__TRACE2(name, a, b)	     ((void)sizeof((a), (b)))
#define VU__TRACE3(name, a, b, c)    ((void)sizeof((a), (b), (c)))
#define VU__TRACE4(name, a, b, c, d) ((void)sizeof((a), (b), (c), (d)))

#endif

#endif
