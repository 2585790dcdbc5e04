/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counting: what is not done for every request.  Queue's thread. */
#include "core/meter.h"

#include <errno.h>
#include <time.h>

#include "base/sys.h"

#define SECOND 1000000000ULL

static const struct vu_telemetry_lease no_lease;

/* --- a ring's life --- */

int vu__meter_prepare(struct vu__meter *m)
{
	if (m->c)
		return 0;
	m->own = vu__sys.calloc(1, sizeof(*m->own));
	m->c = m->own;
	m->lease = &no_lease;
	return m->c ? 0 : -ENOMEM;
}

void vu__meter_destroy(struct vu__meter *m)
{
	free(m->own);
	*m = (struct vu__meter){.c = NULL};
}

void vu__meter_use(struct vu__meter *m, struct vu_telemetry_counters *c,
		   const struct vu_telemetry_lease *lease, struct vu_telemetry_annex *annex)
{
	m->c = c;
	m->lease = annex ? lease : &no_lease;
	m->annex = annex;
}

/* --- histograms --- */

static void hist_add(struct vu_telemetry_hist *h, uint64_t value, unsigned int n)
{
	vu__meter_add(&h->buckets[vu_hist_bucket(value)], n);
	vu__meter_add(&h->sum, value * n);
	if (value > h->max)
		vu__meter_set(&h->max, value);
}

static void end_row(struct vu__meter *m)
{
	/* What was popped before it was watched is of the other clock. */
	if (m->row_start >= m->c->watched && m->row_start <= m->now)
		hist_add(&m->annex->service, m->now - m->row_start, m->row);
	m->row = 0;
}

/* --- counters --- */

static uint64_t inflight(const struct vu_telemetry_counters *c)
{
	return c->popped - c->unpopped - c->completed - c->dropped;
}

/*
 * Adds what the indices say has been popped and completed since this was done last,
 * which is less than half of what 16 bits can say.
 */
static void settle(struct vu__meter *m)
{
	struct vu_telemetry_counters *c = m->c;
	uint16_t popped = c->avail_idx - m->avail_seen;
	uint16_t completed = c->used_idx - m->used_seen;

	if (m->row)
		end_row(m);
	m->avail_seen = c->avail_idx;
	m->used_seen = c->used_idx;
	vu__meter_add(&c->popped, popped);
	vu__meter_add(&c->completed, completed);
	vu__meter_add(&c->descriptors, m->descriptors);
	m->descriptors = 0;
	vu__meter_add(&c->indirect, m->indirect);
	m->indirect = 0;
	vu__meter_set(&c->chains, c->popped - c->indirect);
	vu__meter_set(&c->bytes_from_guest, m->bytes_from_guest);
	vu__meter_set(&c->bytes_to_guest, m->bytes_to_guest);
	if (inflight(c) > c->inflight_max)
		vu__meter_set(&c->inflight_max, inflight(c));
}

void vu__meter_started(struct vu__meter *m, uint16_t avail_idx, uint16_t used_idx)
{
	m->c->avail_idx = m->avail_seen = avail_idx;
	m->c->used_idx = m->used_seen = used_idx;
	m->full = false;
	m->awake = false;
	m->kicked_at = 0;
	vu__meter_expire(m);
}

void vu__meter_stopped(struct vu__meter *m)
{
	if (!VU__METERED)
		return;
	settle(m);
	vu__meter_add(&m->c->dropped, inflight(m->c));
}

/* --- the clock --- */

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static void watch(struct vu__meter *m, bool on)
{
	m->watched = on;
	m->row = 0;
	m->row_gen = 0;
	m->kicked_at = 0;
	/* What was popped before this has a start of the coarse clock's. */
	if (on)
		m->now = clock_ns(CLOCK_MONOTONIC);
	vu__meter_set(&m->c->watched, on ? m->now : 0);
}

static void read_clock(struct vu__meter *m)
{
	uint64_t until = __atomic_load_n(&m->lease->until, __ATOMIC_RELAXED);
	bool wanted;

	m->now = clock_ns(m->watched ? CLOCK_MONOTONIC : CLOCK_MONOTONIC_COARSE);
	/* Before now the difference wraps; the coarse clock may be a little behind. */
	wanted = until - m->now - 1 < (VU_TELEMETRY_LEASE_MAX + 1) * SECOND;
	if (VU_UNLIKELY(wanted != m->watched))
		watch(m, wanted);
}

/* --- pops, pushes, looks --- */

void vu__meter_pops(struct vu__meter *m)
{
	struct vu_telemetry_counters *c = m->c;

	if (!VU__METERED)
		return;
	settle(m);
	read_clock(m);
	vu__meter_set(&c->last_pop, m->now);
	/* The first push behind these comes later, and finds most in flight. */
	m->push_ok = false;
	if (m->awake)
		vu__meter_add(&c->wakeups_useful, 1);
	m->awake = false;
	if (m->kicked_at)
		hist_add(&m->annex->kick_to_pop, m->now - m->kicked_at, 1);
	m->kicked_at = 0;
}

void vu__meter_pushes(struct vu__meter *m, uint8_t gen, uint64_t start)
{
	struct vu_telemetry_counters *c = m->c;

	if (!VU__METERED)
		return;
	/* Something was popped since the last push, or the device has notified. */
	if (!m->row_gen || c->avail_idx != m->avail_seen) {
		settle(m);
		read_clock(m);
		vu__meter_set(&c->last_push, m->now);
	}
	m->push_ok = !m->watched;
	if (!m->watched)
		return;
	if (m->row)
		end_row(m);
	m->row_gen = gen;
	m->row_start = start;
	m->row = 1;
}

static void found(struct vu__meter *m, unsigned int n, bool full)
{
	struct vu_telemetry_counters *c = m->c;

	vu__meter_add(&c->batches, 1);
	if (full && !m->full)
		vu__meter_add(&c->ring_full, 1);
	m->full = full;
	if (m->watched)
		hist_add(&m->annex->batch, n, 1);
	if (VU_UNLIKELY(!c->worker_tid || !pthread_equal(m->thread, pthread_self()))) {
		m->thread = pthread_self();
		vu__meter_set(&c->worker_tid, gettid());
	}
}

void vu__meter_looked(struct vu__meter *m, unsigned int n, bool full)
{
	if (!VU__METERED)
		return;
	if (n) {
		found(m, n, full);
		return;
	}
	settle(m);
	vu__meter_add(&m->c->looks_empty, 1);
	m->full = m->full && full;
}

/* --- what is rare --- */

void vu__meter_popped_again(struct vu__meter *m)
{
	if (!VU__METERED)
		return;
	vu__meter_pops(m);
	vu__meter_add(&m->c->popped, 1);
	vu__meter_add(&m->c->resubmitted, 1);
}

void vu__meter_unpopped(struct vu__meter *m, uint16_t avail_idx)
{
	if (!VU__METERED)
		return;
	settle(m);
	__atomic_store_n(&m->c->avail_idx, avail_idx, __ATOMIC_RELAXED);
	m->avail_seen = avail_idx;
	vu__meter_add(&m->c->unpopped, 1);
}

void vu__meter_unpopped_again(struct vu__meter *m)
{
	if (!VU__METERED)
		return;
	settle(m);
	vu__meter_add(&m->c->unpopped, 1);
	vu__meter_set(&m->c->resubmitted, m->c->resubmitted - 1);
}

void vu__meter_abandoned(struct vu__meter *m)
{
	if (!VU__METERED)
		return;
	settle(m);
	vu__meter_add(&m->c->dropped, 1);
}

/* --- kicks and calls --- */

void vu__meter_woken(struct vu__meter *m, uint64_t kicks)
{
	struct vu_telemetry_counters *c = m->c;

	if (!VU__METERED || !c)
		return;
	settle(m);
	m->awake = true;
	read_clock(m);
	vu__meter_add(&c->wakeups, 1);
	vu__meter_set(&c->last_wakeup, m->now);
	if (!kicks)
		return;
	vu__meter_add(&c->kicks, 1);
	vu__meter_add(&c->kick_values, kicks);
	vu__meter_set(&c->last_kick, m->now);
	if (m->watched && !m->kicked_at)
		m->kicked_at = m->now;
}

static void call_sent(struct vu__meter *m)
{
	struct vu_telemetry_counters *c = m->c;

	/* Beside the system call that sent it the clock costs nothing. */
	read_clock(m);
	vu__meter_add(&c->calls, 1);
	vu__meter_set(&c->called, c->completed);
	vu__meter_set(&c->last_call, m->now);
}

static uint64_t *counter_of(struct vu_telemetry_counters *c, enum vu__call outcome)
{
	switch (outcome) {
	case VU__CALL_FLAG:
		return &c->calls_flag;
	case VU__CALL_EVENT:
		return &c->calls_event;
	case VU__CALL_MASKED:
		return &c->calls_masked;
	case VU__CALL_NO_FD:
		return &c->calls_no_fd;
	default:
		return &c->calls_failed;
	}
}

void vu__meter_notified(struct vu__meter *m, enum vu__call outcome)
{
	struct vu_telemetry_counters *c = m->c;
	bool news;

	if (!VU__METERED || !c)
		return;
	settle(m);
	news = c->notified != c->completed;
	vu__meter_set(&c->notified, c->completed);
	if (outcome == VU__CALL_SENT)
		call_sent(m);
	else if (news || outcome == VU__CALL_FAILED)
		vu__meter_add(counter_of(c, outcome), 1);
}
