/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a queue counts as it is served.  Nothing here takes a lock, makes a system call
 * or locks the bus: one thread writes, readers are in other processes and see each
 * number whole.
 *
 * What every request pays for is kept small: its index, bytes and descriptors.  The rest
 * is done when the clock is read: before the first pop and push after the driver kicked,
 * the ring was found empty, or the device notified, and every so many requests.  It is
 * the cheap coarse clock, unless somebody watches: then it is the exact one, read for
 * every push that follows a pop.
 *
 * Threads: the queue's; the control thread while that is kept out.
 */
#ifndef VU_CORE_METER_H
#define VU_CORE_METER_H

#include <pthread.h>

#include "base/util.h"
#include "libvu/telemetry.h"

#ifdef VU_NO_TELEMETRY
#define VU__METERED false
#else
#define VU__METERED true
#endif

/* After so many pops in a row the clock is read again. */
#define VU__METER_PERIOD 64

struct vu__meter {
	struct vu_telemetry_counters *c; /* a segment's, or own */
	/* What of c is brought up to date once in a while. */
	uint64_t bytes_from_guest, bytes_to_guest;
	uint32_t descriptors, indirect; /* since then */
	bool push_ok; /* nothing need be done for a push but counting it */
	bool watched; /* each push is timed */
	uint8_t row_gen; /* of the last push, if it was just now but for pops; else 0 */
	bool full;    /* the last look found every entry outstanding */
	bool awake;   /* the device was woken, and has popped nothing since */
	uint16_t avail_seen, used_seen; /* the indices when c was last up to date */
	uint64_t now;			/* the last reading of the clock */
	uint64_t kicked_at; /* a kick that no pop has followed; while watched */
	/* While watched: so many pushes now, of what was popped at one time. */
	unsigned int row;
	uint64_t row_start;
	const struct vu_telemetry_lease *lease;
	struct vu_telemetry_annex *annex; /* NULL: no histograms */
	pthread_t thread;		  /* that popped last */
	struct vu_telemetry_counters *own; /* for a ring that has no segment */
};

/* Gives a meter that has nothing to count in something.  0 or -ENOMEM. */
VU_MUST_CHECK int vu__meter_prepare(struct vu__meter *m);
void vu__meter_destroy(struct vu__meter *m);

/* Counts in @c from now on, and in @annex, which may be NULL.  The ring is not served. */
void vu__meter_use(struct vu__meter *m, struct vu_telemetry_counters *c,
		   const struct vu_telemetry_lease *lease, struct vu_telemetry_annex *annex);

/* A ring begins at these indices; it ends, with what is in flight given up. */
void vu__meter_started(struct vu__meter *m, uint16_t avail_idx, uint16_t used_idx);
void vu__meter_stopped(struct vu__meter *m);

/*
 * Before a row of pops, at most VU__METER_PERIOD; before a push without push_ok, of what
 * was popped at @start, in generation @gen.
 */
void vu__meter_pops(struct vu__meter *m);
void vu__meter_pushes(struct vu__meter *m, uint8_t gen, uint64_t start);

/* What is rare: requests of an earlier back-end's, and what is undone. */
void vu__meter_popped_again(struct vu__meter *m);
void vu__meter_unpopped(struct vu__meter *m, uint16_t avail_idx);
void vu__meter_unpopped_again(struct vu__meter *m);
void vu__meter_abandoned(struct vu__meter *m);

/* The ring was looked at: @n new entries; @full: now all of them are outstanding. */
void vu__meter_looked(struct vu__meter *m, unsigned int n, bool full);

/* One instruction where there is one that does it, and is not atomic as a whole. */
static inline void vu__meter_add(uint64_t *counter, uint64_t n)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	__asm__("addq %1, %0" : "+m"(*counter) : "er"(n) : "cc");
#else
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n,
			 __ATOMIC_RELAXED);
#endif
}

static inline void vu__meter_set(uint64_t *to, uint64_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELAXED);
}

/* The clock is read again before the next row of pops, before the next push. */
static inline void vu__meter_expire(struct vu__meter *m)
{
	m->push_ok = false;
	m->row_gen = 0;
}

/* A chain is walked to be popped: it has a descriptor of @len bytes to read, */
static inline void vu__meter_readable(struct vu__meter *m, unsigned int len)
{
	if (VU__METERED)
		m->bytes_from_guest += len;
}

/* ... it is @descs descriptors long. */
static inline void vu__meter_chain(struct vu__meter *m, unsigned int descs)
{
	if (VU__METERED)
		m->descriptors += descs;
}

/* It was popped, @next_avail is next. */
static inline void vu__meter_popped(struct vu__meter *m, uint16_t next_avail)
{
	if (VU__METERED)
		__atomic_store_n(&m->c->avail_idx, next_avail, __ATOMIC_RELAXED);
}

/* A packed ring's places, which counts do not tell. */
static inline void vu__meter_avail_place(struct vu__meter *m, uint16_t place)
{
	if (VU__METERED)
		__atomic_store_n(&m->c->avail_place, place, __ATOMIC_RELAXED);
}

static inline void vu__meter_used_place(struct vu__meter *m, uint16_t place)
{
	if (VU__METERED)
		__atomic_store_n(&m->c->used_place, place, __ATOMIC_RELAXED);
}

/* The chain being walked goes on in an indirect table. */
static inline void vu__meter_indirect(struct vu__meter *m)
{
	if (VU__METERED)
		m->indirect++;
}

/*
 * Counts a push in generation @gen, if it is watched and like the one before it: nothing
 * was popped between.
 */
static inline bool vu__meter_pushes_too(struct vu__meter *m, uint8_t gen, uint16_t avail_idx)
{
	if (gen != m->row_gen || avail_idx != m->avail_seen)
		return false;
	m->row++;
	return true;
}

/* A request is done, and @len bytes of it were written. */
static inline void vu__meter_filled(struct vu__meter *m, unsigned int len)
{
	if (VU__METERED)
		m->bytes_to_guest += len;
}

/* ... and shown to the driver, up to @used_idx. */
static inline void vu__meter_flushed(struct vu__meter *m, uint16_t used_idx)
{
	if (VU__METERED)
		__atomic_store_n(&m->c->used_idx, used_idx, __ATOMIC_RELAXED);
}

static inline void vu__meter_fault(struct vu__meter *m)
{
	if (VU__METERED)
		vu__meter_add(&m->c->translation_faults, 1);
}

static inline void vu__meter_failed(struct vu__meter *m, unsigned int num)
{
	if (VU__METERED)
		vu__meter_add(&m->c->failed, num);
}

/* --- not for every request --- */

/*
 * The device is about to look at the ring, because the kick eventfd had @kicks in it,
 * or, with 0, for another reason.
 */
void vu__meter_woken(struct vu__meter *m, uint64_t kicks);

/* What came of a notification of the device's. */
enum vu__call {
	VU__CALL_SENT,
	VU__CALL_FLAG,	 /* not sent: the driver's flag, */
	VU__CALL_EVENT,	 /* its event index, */
	VU__CALL_MASKED, /* the front-end took the eventfd away, */
	VU__CALL_NO_FD,	 /* or never gave one */
	VU__CALL_FAILED,
};
void vu__meter_notified(struct vu__meter *m, enum vu__call outcome);

#endif
