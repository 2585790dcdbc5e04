/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queues as observe sees them, with what the kernel's tables and the programs in it add,
 * and the verdict on each.
 */
#ifndef VU_TRACE_JUDGE_H
#define VU_TRACE_JUDGE_H

#include "observe/diagnose.h"
#include "observe/rates.h"
#include "observe/sample.h"
#include "session.h"

#define JUDGE_LOOKS 8

struct judge {
	struct session *s;
	struct vu__sampler *sampler;
	struct vu__obs_snapshot *looks[JUDGE_LOOKS]; /* oldest first */
	unsigned int nlooks;
};

/* 0 or -errno. */
VU_MUST_CHECK int judge_open(struct judge *j, struct session *s);
void judge_close(struct judge *j);

/* Looks once more; the oldest look is forgotten when there are too many.  0 or -errno. */
VU_MUST_CHECK int judge_look(struct judge *j);

/* Looks for @seconds, a few times a second, while events are taken.  0 or -errno. */
VU_MUST_CHECK int judge_watch(struct judge *j, double seconds);

/* The last look; NULL before the first. */
const struct vu__obs_snapshot *judge_last(const struct judge *j);

/* Whether the options select this queue. */
bool judge_selects(const struct options *o, const struct vu__obs_snapshot *snap,
		   const struct vu__obs_queue *q);

/* The queue in the last look that has this slot's eventfds; NULL: observe has none. */
const struct vu__obs_queue *judge_observed(const struct judge *j, const struct slot_info *s);

/* Judges a queue of the last look. */
void judge_queue(const struct judge *j, const struct vu__obs_queue *q,
		 struct vu__obs_verdict *v);

/* VM:DEVICE:QUEUE, into @buf. */
void judge_name(const struct vu__obs_snapshot *s, const struct vu__obs_queue *q, char *buf,
		size_t size);

#endif
