/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue to be judged, as it was looked at a few times.
 *
 * A case begins with three looks at a queue of a libvu back-end that is idle, 0.7 s
 * apart, and changes what it is about.  <cmocka.h> and what it needs come before.
 */
#ifndef VU_TESTS_UNIT_SCENE_H
#define VU_TESTS_UNIT_SCENE_H

#include <string.h>

#include "base/util.h"
#include "observe/diagnose.h"
#include "observe/packed.h"

#define LOOKS 3
#define MS    1000000ULL
#define FIRST (100000 * MS)
#define GAP   (700 * MS)
#define LAST  (FIRST + (LOOKS - 1) * GAP)

struct scene {
	struct vu__obs_queue q[LOOKS];
	struct vu__obs_device dev[LOOKS];
	struct vu__obs_process proc[LOOKS], vmm[LOOKS];
	unsigned int looks;
};

static inline void know(struct vu__obs_queue *q, enum vu__obs_part part, enum vu__obs_source from)
{
	q->from[part] = from;
}

static inline void set_counter(struct vu__obs_queue *q, enum vu__obs_counter c, uint64_t value)
{
	q->have_counter |= VU_BIT(c);
	q->counter[c] = value;
}

/* Idle since 90 s: 1000 requests made, fetched, done, called for at 1000. */
static inline void idle_queue(struct vu__obs_queue *q)
{
	static const enum vu__obs_part parts[] = {VU__OBS_SETUP, VU__OBS_POSITION,
						  VU__OBS_COUNTERS, VU__OBS_TIMES};

	for (size_t i = 0; i < VU_ARRAY_SIZE(parts); i++)
		know(q, parts[i], VU__OBS_TELEMETRY);
	know(q, VU__OBS_RING, VU__OBS_PEEK);
	know(q, VU__OBS_KICK, VU__OBS_PROC);
	know(q, VU__OBS_CALL, VU__OBS_PROC);
	know(q, VU__OBS_WORKER, VU__OBS_PROC);
	q->role = VU__OBS_ROLE_REQUEST;
	q->setup = (struct vu__obs_setup){.size = 128,
					  .event_idx = true,
					  .started = VU__OBS_YES,
					  .enabled = VU__OBS_YES,
					  .started_ns = 1000 * MS,
					  .enabled_ns = 1000 * MS,
					  .generation = 1};
	q->ring = (struct vu__obs_ring){.avail_idx = 1000,
					.used_idx = 1000,
					.last_avail = 1000,
					.used_event = 1000,
					.avail_event = 1000};
	q->kick = (struct vu__obs_event){.fd = 10, .id = 5};
	q->call = (struct vu__obs_event){.fd = 11, .id = 6};
	q->times = (struct vu__obs_times){.kick_ns = 9998 * MS,
					  .wake_ns = 9998 * MS,
					  .pop_ns = 9999 * MS,
					  .push_ns = 10000 * MS,
					  .call_ns = 10000 * MS,
					  .called_used_idx = 1000};
	q->worker = (struct vu__obs_worker){.tid = 77,
					    .state = 'S',
					    .syscall = 232,
					    .waits = VU__OBS_YES,
					    .watches = VU__OBS_YES,
					    .comm = "worker"};
	for (unsigned int c = 0; c < VU__OBS_NCOUNTERS; c++)
		set_counter(q, c, 0);
	set_counter(q, VU__OBS_POPPED, 1000);
	set_counter(q, VU__OBS_COMPLETED, 1000);
	set_counter(q, VU__OBS_KICKS, 1000);
	set_counter(q, VU__OBS_WAKEUPS, 1000);
}

static inline void set_up(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	s->looks = LOOKS;
	for (unsigned int i = 0; i < LOOKS; i++) {
		idle_queue(&s->q[i]);
		s->q[i].mono_ns = FIRST + i * GAP;
		s->dev[i].connected = VU__OBS_YES;
		s->dev[i].vmm = 1;
		s->proc[i] = (struct vu__obs_process){.pid = 70, .alive = true, .state = 'S',
						      .comm = "blk"};
		s->vmm[i] = (struct vu__obs_process){.pid = 60, .alive = true, .state = 'S',
						     .run_state = "running",
						     .vcpus_run = VU__OBS_YES};
	}
}

static inline struct vu__obs_verdict judge(struct scene *s, uint64_t patience)
{
	struct vu__obs_look looks[LOOKS];
	struct vu__obs_verdict v;

	for (unsigned int i = 0; i < s->looks; i++)
		looks[i] = (struct vu__obs_look){&s->q[i], &s->dev[i], &s->proc[i],
						 s->dev[i].vmm < 0 ? NULL : &s->vmm[i]};
	vu__obs_diagnose(looks, s->looks, patience, &v);
	return v;
}

static inline void expect(struct scene *s, enum vu__obs_verdict_id id,
		   enum vu__obs_confidence confidence, const char *evidence)
{
	struct vu__obs_verdict v = judge(s, 0);

	if (v.id != id || v.confidence != confidence)
		fail_msg("%s (%s, %s), not %s: %s", vu__obs_verdicts[v.id].name,
			 vu__obs_severity_name(v.severity),
			 vu__obs_confidence_name(v.confidence), vu__obs_verdicts[id].name,
			 v.evidence);
	if (!strstr(v.evidence, evidence))
		fail_msg("'%s' is not in: %s", evidence, v.evidence);
	if (v.severity >= VU__OBS_WARNING && strlen(v.next) < 10)
		fail_msg("%s has no next step", vu__obs_verdicts[v.id].name);
	assert_true(strlen(v.evidence) < sizeof(v.evidence) - 1);
	assert_true(strlen(v.next) < sizeof(v.next) - 1);
}

static inline void expect_healthy(struct scene *s, enum vu__obs_verdict_id id)
{
	struct vu__obs_verdict v = judge(s, 0);

	if (v.id != id || v.severity > VU__OBS_INFO)
		fail_msg("%s (%s), not %s: %s", vu__obs_verdicts[v.id].name,
			 vu__obs_severity_name(v.severity), vu__obs_verdicts[id].name,
			 v.evidence);
}

#define EACH(s, i) for (unsigned int i = 0; i < (s)->looks; i++)

/* @n more requests are available and not fetched, at every look. */
static inline void add_waiting(struct scene *s, unsigned int n)
{
	EACH(s, i) {
		s->q[i].ring.avail_idx += n;
		s->q[i].ring.pending = n;
	}
}

/* @n were fetched and are not done, since @ns. */
static inline void add_in_flight(struct scene *s, unsigned int n, uint64_t since)
{
	EACH(s, i) {
		s->q[i].ring.avail_idx += n;
		s->q[i].ring.last_avail += n;
		s->q[i].ring.avail_event += n;
		s->q[i].ring.in_flight = n;
		s->q[i].counter[VU__OBS_POPPED] += n;
		s->q[i].times.pop_ns = since;
		s->q[i].times.oldest_ns = since;
	}
}

/* @n are done that the driver was not called for. */
static inline void add_untold(struct scene *s, unsigned int n)
{
	EACH(s, i) {
		s->q[i].ring.avail_idx += n;
		s->q[i].ring.last_avail += n;
		s->q[i].ring.used_idx += n;
		s->q[i].ring.avail_event += n;
		s->q[i].counter[VU__OBS_POPPED] += n;
		s->q[i].counter[VU__OBS_COMPLETED] += n;
		s->q[i].times.pop_ns = s->q[i].times.push_ns = FIRST - 100 * MS;
	}
}

static inline void without_event_idx(struct scene *s)
{
	EACH(s, i) {
		s->q[i].setup.event_idx = false;
		s->q[i].ring.used_event = s->q[i].ring.avail_event = 0;
	}
}

/* Only what can be seen of a back-end that does not link the library. */
static inline void make_foreign(struct scene *s)
{
	EACH(s, i) {
		struct vu__obs_queue *q = &s->q[i];

		know(q, VU__OBS_SETUP, VU__OBS_QMP);
		know(q, VU__OBS_POSITION, VU__OBS_UNKNOWN);
		know(q, VU__OBS_COUNTERS, VU__OBS_UNKNOWN);
		know(q, VU__OBS_TIMES, VU__OBS_UNKNOWN);
		q->have_counter = 0;
		memset(&q->times, 0, sizeof(q->times));
		memset(q->counter, 0, sizeof(q->counter));
		q->setup.started_ns = q->setup.enabled_ns = 0;
		q->setup.enabled = VU__OBS_MAYBE;
		q->ring.last_avail = q->ring.pending = q->ring.in_flight = 0;
	}
}

static inline void trace(struct scene *s, enum vu__obs_tri ioeventfd, uint64_t exits,
		  uint64_t signals)
{
	EACH(s, i) {
		know(&s->q[i], VU__OBS_KVM, VU__OBS_TRACE);
		s->q[i].kvm.ioeventfd = ioeventfd;
		s->q[i].kvm.counts = VU__OBS_YES;
		s->q[i].kvm.exits = exits * i;
		s->q[i].kvm.signals = signals * i;
	}
}

/* All were called for; the driver still waits for what is there. */
static inline void called(struct scene *s)
{
	add_untold(s, 2);
	EACH(s, i) {
		s->q[i].times.called_used_idx = 1002;
		s->q[i].times.call_ns = FIRST - 50 * MS;
	}
}

/*
 * The same queue with a packed ring, of requests of one descriptor each; to be called
 * when all else is as it should be.
 */
static inline void pack(struct scene *s)
{
	EACH(s, i) {
		struct vu__obs_queue *q = &s->q[i];
		struct vu__obs_ring *r = &q->ring;
		uint32_t size = q->setup.size, behind = (uint16_t)(r->used_idx - r->used_event);

		q->setup.packed = true;
		r->outstanding = r->slots = (uint16_t)(r->avail_idx - r->used_idx);
		r->past_event = q->setup.event_idx && behind <= size ? behind : 0;
		q->times.untold = (uint16_t)(r->used_idx - q->times.called_used_idx);
		q->times.called_used_idx = 0;
		r->avail_idx = vu__circle_place(r->avail_idx % (2 * size), size);
		r->used_idx = vu__circle_place(r->used_idx % (2 * size), size);
		r->last_avail = vu__circle_place(r->last_avail % (2 * size), size);
		r->used_event = vu__circle_place(r->used_event % (2 * size), size);
		r->avail_event = vu__circle_place(r->avail_event % (2 * size), size);
		r->head = 0;
		if (q->setup.event_idx)
			r->avail_flags = r->used_flags = VRING_PACKED_EVENT_FLAG_DESC;
		if (!vu__obs_knows(q, VU__OBS_POSITION))
			r->last_avail = 0;
	}
}

#define CASE(name)                                                                       \
	static void name##_body(struct scene *s);                                        \
	static void name(void **state)                                                   \
	{                                                                                \
		struct scene s;                                                          \
                                                                                         \
		(void)state;                                                             \
		set_up(&s);                                                              \
		name##_body(&s);                                                         \
	}                                                                                \
	static void name##_body(struct scene *s)

#endif
