/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Alerts: "oldest>500ms for 3s" is raised for a queue once the filter has fitted for
 * that long, and taken back once it has not fitted for as long: what flickers neither
 * raises nor clears.  "warning: FILTER for TIME clear TIME" says all there is to say;
 * severities are info, warning and critical (unless said).  Pure.
 */
#ifndef VU_TOP_ALERT_H
#define VU_TOP_ALERT_H

#include "vu-top/filter.h"

struct top_alert {
	struct top_filter *filter;
	enum vu__obs_severity severity;
	uint64_t for_ns, clear_ns;
	char text[200]; /* as it was given */
};

/* 0; -EINVAL with @why; -ENOSPC: there are TOP_MAX_ALERTS already; -ENOMEM. */
VU_MUST_CHECK int top_alert_add(struct top_model *m, const char *text, char *why,
				size_t why_size);
void top_alerts_release(struct top_model *m);

/* After each frame: raises and clears, and notes it. */
void top_alerts_update(struct top_model *m);

/* The worst that is raised for a queue; VU__OBS_OK: none. */
enum vu__obs_severity top_alert_worst(const struct top_model *m, const struct top_queue *t);

#endif
