/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tier E: what /proc and telemetry show, looked at 1 to 100 times a second. */
#ifndef VU_TRACE_TIER_E_H
#define VU_TRACE_TIER_E_H

#include "session.h"

/* Until the session ends. */
void poll_queues(struct session *s, event_fn *fn, void *opaque);

/* vu-trace lat of what libvu's back-ends keep; the exit status. */
int lat_without_bpf(struct session *s);

#endif
