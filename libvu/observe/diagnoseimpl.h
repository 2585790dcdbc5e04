/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the rows of the decision table stand on. */
#ifndef VU_OBSERVE_DIAGNOSEIMPL_H
#define VU_OBSERVE_DIAGNOSEIMPL_H

#include "base/util.h"
#include "observe/diagnose.h"
#include "observe/packed.h"

/* What the looks say, before anybody judges. */
struct vu__facts {
	const struct vu__obs_look *first, *last; /* since nothing went on, to now */
	const struct vu__obs_look *oldest;	 /* of all */
	const struct vu__obs_queue *q;		 /* of the last */
	const struct vu__obs_process *proc, *vmm;
	uint64_t patience;
	/* Of the last: */
	uint32_t size;
	bool ring;  /* its indices are known */
	bool place; /* where the back-end is, too */
	bool times;
	bool counts;	  /* its counters, libvu's */
	uint32_t waiting; /* not fetched; without a place: not completed */
	uint32_t in_flight;
	enum vu__obs_role role;
	bool armed; /* of a role whose buffers wait */
	/* Since when, backwards from the last look: */
	uint64_t still;	   /* nothing was fetched or completed */
	uint64_t has_work; /* ... and something waited to be fetched */
	uint64_t has_kick; /* the kick eventfd had a signal */
	uint64_t has_call; /* the call eventfd had one */
	uint64_t has_stop; /* the back-end's process was stopped */
	const struct vu__obs_look *work_since; /* the first look of has_work */
	bool went_on;			       /* between the last two looks */
};

/* Whether it has lasted long enough to be more than chance. */
static inline bool vu__lasts(const struct vu__facts *f, uint64_t ns)
{
	return ns >= f->patience / 2;
}

static inline double vu__seconds(uint64_t ns)
{
	return ns / 1e9;
}

/* What counter @c has grown by from look @from to the last; 0 if it is not known. */
uint64_t vu__grown(const struct vu__facts *f, const struct vu__obs_look *from,
		   enum vu__obs_counter c);

/* Whether a side has passed @event between @old and @now. */
static inline bool vu__passed(const struct vu__facts *f, uint16_t event, uint16_t now,
			      uint16_t old)
{
	return f->q->setup.packed ? vu__circle_passed(event, now, old, f->size)
				  : vu__obs_passed(event, now, old);
}

/* With event indices; a packed ring's side may leave its own out. */
static inline bool vu__has_event(const struct vu__facts *f, uint16_t flags)
{
	return f->q->setup.event_idx &&
	       (!f->q->setup.packed ||
		vu__circle_events(flags) == VRING_PACKED_EVENT_FLAG_DESC);
}

/* A side's wish not to be notified at all. */
static inline bool vu__is_off(const struct vu__facts *f, uint16_t flags)
{
	if (f->q->setup.packed)
		return vu__circle_events(flags) == VRING_PACKED_EVENT_FLAG_DISABLE;
	return !f->q->setup.event_idx && flags & 1;
}

/* Fills in the verdict; true, so that a row can end with it. */
bool vu__judge(struct vu__obs_verdict *v, enum vu__obs_verdict_id id,
	       enum vu__obs_confidence confidence, const char *next, const char *fmt, ...)
	VU_PRINTF(5, 6);

/*
 * "avail 12, fetched 10, used 10 of 128", or "avail slot 12 wrap 1, ..." in a packed
 * ring; into a buffer of its own.
 */
struct vu__words {
	char text[128];
};
struct vu__words vu__indices(const struct vu__facts *f);

/* "12", or "slot 12 wrap 1" in a packed ring. */
struct vu__words vu__at(const struct vu__facts *f, uint16_t place);

/* "thread 7 (vu-blk) sleeps in call 232" */
struct vu__words vu__thread(const struct vu__obs_queue *q);

/* A process that was stopped by a signal or a debugger. */
static inline bool vu__stopped_state(char state)
{
	return state == 'T' || state == 't';
}

/* The call eventfd takes no more; whatever else is true. */
bool vu__judge_full(const struct vu__facts *f, struct vu__obs_verdict *v);

/* Rows about calls, when nothing is left to be done: diagnosecall.c. */
bool vu__judge_calls(const struct vu__facts *f, struct vu__obs_verdict *v);

/* Rows about what waits to be fetched or completed: diagnosework.c. */
bool vu__judge_work(const struct vu__facts *f, struct vu__obs_verdict *v);

#endif
