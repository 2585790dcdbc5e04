/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decision table: rows from the most certain cause to none, the first that fits is
 * the verdict.  Pure; any thread.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "observe/diagnoseimpl.h"

uint64_t vu__obs_patience(double p99_ns)
{
	double long_wait = 20 * p99_ns;

	return long_wait > VU__OBS_PATIENCE_NS ? (uint64_t)long_wait
					       : VU__OBS_PATIENCE_NS;
}

struct vu__obs_look vu__obs_look_at(const struct vu__obs_snapshot *s,
				    const struct vu__obs_queue *q)
{
	const struct vu__obs_device *d = vu__obs_device_of(s, q);

	return (struct vu__obs_look){q, d, vu__obs_process_of(s, d),
				     vu__obs_vmm_of(s, d)};
}

/* --- saying --- */

bool vu__judge(struct vu__obs_verdict *v, enum vu__obs_verdict_id id,
	       enum vu__obs_confidence confidence, const char *next, const char *fmt, ...)
{
	va_list ap;

	v->id = id;
	v->severity = vu__obs_verdicts[id].severity;
	v->confidence = confidence;
	snprintf(v->next, sizeof(v->next), "%s", next);
	va_start(ap, fmt);
	vsnprintf(v->evidence, sizeof(v->evidence), fmt, ap);
	va_end(ap);
	return true;
}

struct vu__words vu__at(const struct vu__facts *f, uint16_t place)
{
	struct vu__words w;

	if (f->q->setup.packed)
		snprintf(w.text, sizeof(w.text), "slot %u wrap %u",
			 vu__packed_slot(place), vu__packed_wrap(place));
	else
		snprintf(w.text, sizeof(w.text), "%u", place);
	return w;
}

struct vu__words vu__indices(const struct vu__facts *f)
{
	const struct vu__obs_ring *r = &f->q->ring;
	struct vu__words w, avail = vu__at(f, r->avail_idx),
			    used = vu__at(f, r->used_idx);

	if (f->place)
		snprintf(w.text, sizeof(w.text),
			 "avail %.24s, fetched %.24s, used %.24s of %u", avail.text,
			 vu__at(f, r->last_avail).text, used.text, f->size);
	else
		snprintf(w.text, sizeof(w.text), "avail %.24s, used %.24s of %u",
			 avail.text, used.text, f->size);
	return w;
}

static const char *state_words(char state)
{
	switch (state) {
	case 'R':
		return "runs";
	case 'S':
		return "sleeps";
	case 'D':
		return "waits for a disk or the like";
	case 'T':
		return "is stopped";
	case 't':
		return "is held by a debugger";
	case 'Z':
	case 'X':
		return "is dead";
	default:
		return "is there";
	}
}

struct vu__words vu__thread(const struct vu__obs_queue *q)
{
	const struct vu__obs_worker *k = &q->worker;
	struct vu__words w;
	int n;

	n = snprintf(w.text, sizeof(w.text), "thread %d (%s) %s", k->tid, k->comm,
		     state_words(k->state));
	if (n > 0 && n < (int)sizeof(w.text) && k->state != 'T' && k->state != 't') {
		if (k->wchan[0])
			snprintf(w.text + n, sizeof(w.text) - n, " in %s", k->wchan);
		else if (k->syscall >= 0)
			snprintf(w.text + n, sizeof(w.text) - n, " in system call %d",
				 k->syscall);
	}
	return w;
}

/* --- facts --- */

uint64_t vu__grown(const struct vu__facts *f, const struct vu__obs_look *from,
		   enum vu__obs_counter c)
{
	const struct vu__obs_queue *a = from->q, *b = f->q;

	if (!vu__has_bit(a->have_counter & b->have_counter, c) ||
	    b->counter[c] < a->counter[c])
		return 0;
	return b->counter[c] - a->counter[c];
}

static bool usable(const struct vu__obs_look *l)
{
	return !(vu__obs_knows(l->q, VU__OBS_RING) && l->q->ring.torn);
}

/* Something was fetched or completed from @a to @b. */
static bool progress(const struct vu__obs_queue *a, const struct vu__obs_queue *b)
{
	static const enum vu__obs_counter served[] = {VU__OBS_POPPED, VU__OBS_COMPLETED};

	for (size_t i = 0; i < VU_ARRAY_SIZE(served); i++) {
		if (vu__has_bit(a->have_counter & b->have_counter, served[i]) &&
		    a->counter[served[i]] != b->counter[served[i]])
			return true;
	}
	if (vu__obs_knows(a, VU__OBS_RING) && vu__obs_knows(b, VU__OBS_RING) &&
	    a->ring.used_idx != b->ring.used_idx)
		return true;
	return vu__obs_knows(a, VU__OBS_POSITION) && vu__obs_knows(b, VU__OBS_POSITION) &&
	       a->ring.last_avail != b->ring.last_avail;
}

/* What waits to be fetched; if that cannot be told, what is not completed. */
static uint32_t waiting_at(const struct vu__obs_queue *q)
{
	if (vu__obs_knows(q, VU__OBS_POSITION))
		return q->ring.pending;
	return vu__obs_knows(q, VU__OBS_RING) ? vu__obs_outstanding(q) : 0;
}

static void facts_of_last(struct vu__facts *f)
{
	const struct vu__obs_queue *q = f->q;

	f->size = q->setup.size;
	f->ring = vu__obs_knows(q, VU__OBS_RING);
	f->place = vu__obs_knows(q, VU__OBS_POSITION);
	f->times = vu__obs_knows(q, VU__OBS_TIMES);
	f->counts = vu__obs_knows(q, VU__OBS_COUNTERS) &&
		    vu__has_bit(q->have_counter, VU__OBS_POPPED);
	f->waiting = waiting_at(q);
	f->in_flight = f->place ? q->ring.in_flight : 0;
	f->role = q->role;
	f->armed = f->role == VU__OBS_ROLE_RX || f->role == VU__OBS_ROLE_EVENT;
}

/*
 * Goes back from the last look for as long as a thing holds at every look, and nothing
 * went on from one to the next.
 */
static void facts_of_time(struct vu__facts *f, const struct vu__obs_look *looks, size_t n)
{
	const struct vu__obs_look *later = f->last;
	bool work = f->waiting, kick = true, call = true, stop = true;
	uint64_t end = f->q->mono_ns;

	f->work_since = f->last;
	for (size_t i = n; i-- > 0;) {
		const struct vu__obs_look *l = &looks[i];
		uint64_t age = end - l->q->mono_ns;

		if (l->q->mono_ns > end || !usable(l))
			continue;
		if (progress(l->q, later->q)) {
			f->went_on = !vu__lasts(f, f->still);
			break;
		}
		f->still = age;
		f->first = l;
		work = work && waiting_at(l->q);
		kick = kick && vu__obs_knows(l->q, VU__OBS_KICK) && l->q->kick.count;
		call = call && vu__obs_knows(l->q, VU__OBS_CALL) && l->q->call.count;
		if (work) {
			f->has_work = age;
			f->work_since = l;
		}
		stop = stop && vu__stopped_state(l->proc->state);
		if (stop)
			f->has_stop = age;
		if (kick)
			f->has_kick = age;
		if (call)
			f->has_call = age;
		later = l;
	}
}

/* False: there is nothing to go by. */
static bool collect(const struct vu__obs_look *looks, size_t n, uint64_t patience,
		    struct vu__facts *f)
{
	memset(f, 0, sizeof(*f));
	f->patience = patience ? patience : VU__OBS_PATIENCE_NS;
	for (size_t i = n; i-- > 0 && !f->last;) {
		if (usable(&looks[i]))
			f->last = &looks[i];
	}
	if (!f->last)
		return false;
	f->first = f->oldest = f->last;
	for (size_t i = n; i-- > 0;) {
		if (usable(&looks[i]) && looks[i].q->mono_ns < f->oldest->q->mono_ns)
			f->oldest = &looks[i];
	}
	f->q = f->last->q;
	f->proc = f->last->proc;
	f->vmm = f->last->vmm;
	facts_of_last(f);
	facts_of_time(f, looks, n);
	return true;
}

/* --- rows that need no time --- */

/* Nobody waits for a dead one that was not used, or whose queues another serves. */
static bool backend_gone(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	const struct vu__obs_device *d = f->last->dev;
	char rest[64];

	if (f->proc->alive)
		return false;
	if (f->q->setup.started != VU__OBS_YES)
		snprintf(rest, sizeof(rest), "the ring was not in use");
	else if (d->replaced_by)
		snprintf(rest, sizeof(rest), "process %d serves its socket now",
			 d->replaced_by);
	else
		snprintf(rest, sizeof(rest), "the ring was in use%s",
			 d->peer_gone ? ", and its front-end is dead, too" : "");
	vu__judge(v, VU__V_BACKEND_GONE, VU__OBS_CERTAIN,
		  "read its last events (the black box), its log, and dmesg for a crash",
		  "process %d (%s) is dead and has not closed this device; %s",
		  f->proc->pid, f->proc->comm, rest);
	if (f->q->setup.started != VU__OBS_YES || d->replaced_by || d->peer_gone)
		v->severity = VU__OBS_INFO;
	return true;
}

/* What is wrong with the back-end's places in a packed ring; NULL: nothing. */
static const char *wrong_places(const struct vu__obs_queue *q)
{
	const struct vu__obs_ring *r = &q->ring;
	uint32_t size = q->setup.size;
	uint32_t ahead = vu__circle_steps(r->last_avail, r->avail_idx, size);
	uint32_t taken = vu__circle_steps(r->used_idx, r->last_avail, size);

	if (vu__packed_slot(r->last_avail) >= size ||
	    vu__packed_slot(r->used_idx) >= size)
		return "there is no such slot";
	if (taken > size)
		return "the back-end has fetched more than the ring has slots";
	if (ahead > size)
		return "the driver is not ahead of the back-end";
	if (taken + ahead > size)
		return "the driver is more than the ring ahead";
	/* A wrong wrap counter: what it looks for does not come. */
	if (r->astray)
		return "what the driver made available is not what the back-end looks "
		       "for";
	return NULL;
}

/* Of one who tells where it is; of others there is only a guess. */
static bool corrupt_packed(const struct vu__facts *f, struct vu__obs_verdict *v,
			   const char *next)
{
	const char *what;

	/* Its places were read before the ring: it may just have gone on. */
	if (!f->place || f->q->setup.started == VU__OBS_NO || !vu__lasts(f, f->still) ||
	    !wrong_places(f->first->q))
		return false;
	what = wrong_places(f->q);
	return what && vu__judge(v, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, next, "%s: %s",
				 vu__indices(f).text, what);
}

static bool corrupt(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	static const char next[] = "compare with the base the front-end sent "
				   "(SET_VRING_BASE); reset the device in the guest";
	const struct vu__obs_ring *r = &f->q->ring;
	bool foreign = !f->place;

	if (f->q->setup.broken)
		return vu__judge(v, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, next,
				 "the back-end has given the queue up: %s",
				 f->q->setup.why);
	if (!f->ring || !f->size || f->first == f->last)
		return false;
	if (f->q->setup.packed)
		return corrupt_packed(f, v, next);
	if (f->waiting > f->size || f->in_flight > f->size)
		return vu__judge(
			v, VU__V_RING_CORRUPT,
			foreign ? VU__OBS_POSSIBLE : VU__OBS_CERTAIN, next,
			"%s: %s more than the ring has entries", vu__indices(f).text,
			f->waiting > f->size ? "what waits is" : "what is in flight is");
	if (f->place && r->pending && r->head >= f->size)
		return vu__judge(v, VU__V_RING_CORRUPT, VU__OBS_CERTAIN, next,
				 "%s: the next entry names descriptor %u",
				 vu__indices(f).text, r->head);
	return false;
}

static bool frontend_gone(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	if (f->last->dev->connected != VU__OBS_NO)
		return false;
	if (f->q->setup.started != VU__OBS_YES)
		return vu__judge(v, VU__V_NOT_IN_USE, VU__OBS_CERTAIN, "",
				 "nobody is connected");
	return vu__judge(
		v, VU__V_FRONTEND_GONE, VU__OBS_CERTAIN,
		"start the machine again, or look why its monitor ended; requests in "
		"flight are kept only with an in-flight record",
		"the socket's other end is closed; the ring was started, %u requests "
		"in flight",
		f->in_flight);
}

/* A back-end that does not tell has lost the eventfds the machine still has. */
static bool stopped_foreign(const struct vu__facts *f, struct vu__obs_verdict *v,
			    const char *next)
{
	if (!f->waiting) {
		vu__judge(
			v, VU__V_NOT_IN_USE, VU__OBS_LIKELY, next,
			"the machine has started the ring, and the back-end has no kick "
			"eventfd for it");
		v->severity = VU__OBS_INFO;
		return true;
	}
	if (!vu__lasts(f, f->has_work))
		return false;
	return vu__judge(
		v, VU__V_STOPPED_WITH_WORK, VU__OBS_LIKELY, next,
		"the machine has started the ring, the back-end has no kick eventfd for "
		"it, and %u requests wait: %s",
		f->waiting, vu__indices(f).text);
}

/* The front-end told the back-end to stop; whether that is right depends on the machine.
 */
static bool stopped(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	static const char next[] =
		"find who sent GET_VRING_BASE: a migration, or QMP "
		"x-query-virtio-queue-status, which stops a live ring; "
		"restart the ring";
	const struct vu__obs_setup *s = &f->q->setup;
	bool runs = f->vmm && f->vmm->vcpus_run == VU__OBS_YES;

	if (s->started != VU__OBS_NO)
		return false;
	/* QEMU does not say which it would start. */
	if (!s->size && (runs || f->q->from[VU__OBS_SETUP] != VU__OBS_QMP))
		return vu__judge(v, VU__V_NOT_IN_USE, VU__OBS_CERTAIN, "",
				 "the front-end has not started it");
	if (f->vmm && f->vmm->vcpus_run == VU__OBS_NO)
		return vu__judge(
			v, VU__V_VM_PAUSED, VU__OBS_CERTAIN,
			"the machine's monitor knows why; the queue starts with it",
			"the machine is %s, and its rings are stopped",
			f->vmm->run_state[0] ? f->vmm->run_state : "not running");
	if (f->q->from[VU__OBS_SETUP] == VU__OBS_QMP && s->size)
		/* What goes on was not stopped, whatever its eventfds look like. */
		return vu__lasts(f, f->still) && stopped_foreign(f, v, next);
	if (!f->waiting)
		return vu__judge(v, VU__V_NOT_IN_USE, VU__OBS_LIKELY, "",
				 "not started, and nothing waits");
	if (!vu__lasts(f, f->has_work))
		return false;
	return vu__judge(
		v, VU__V_STOPPED_WITH_WORK, runs ? VU__OBS_CERTAIN : VU__OBS_LIKELY, next,
		"stopped by GET_VRING_BASE %.1f s ago, and %u requests wait: %s",
		vu__seconds(s->stopped_ns ? f->q->mono_ns - s->stopped_ns : f->has_work),
		f->waiting, vu__indices(f).text);
}

static bool not_in_use(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	if (f->q->setup.started == VU__OBS_YES || f->ring || f->counts)
		return false;
	if (vu__obs_knows(f->q, VU__OBS_SETUP))
		return vu__judge(v, VU__V_NOT_IN_USE, VU__OBS_LIKELY, "",
				 "no ring is set up for it");
	return vu__judge(v, VU__V_UNSEEN, VU__OBS_POSSIBLE, "",
			 "the ring cannot be seen");
}

/* --- rows of what goes on --- */

static bool spurious(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	uint64_t wakeups = vu__grown(f, f->oldest, VU__OBS_WAKEUPS);
	uint64_t empty = vu__grown(f, f->oldest, VU__OBS_EMPTY_WAKEUPS);
	uint64_t kicks = vu__grown(f, f->oldest, VU__OBS_KICKS);

	if (kicks < 20 || empty * 2 <= wakeups)
		return false;
	return vu__judge(
		v, VU__V_SPURIOUS_KICKS, VU__OBS_CERTAIN,
		"VIRTIO_RING_F_EVENT_IDX avoids most; or the back-end polls and leaves "
		"kicks on",
		"%llu of %llu wake-ups found nothing to fetch", (unsigned long long)empty,
		(unsigned long long)wakeups);
}

/* Entries that wait to be served: of a packed ring, those that are not free. */
static uint32_t entries_at(const struct vu__obs_queue *q)
{
	return q->setup.packed ? q->ring.slots : waiting_at(q);
}

/* Nearly full at nearly every look, for a while. */
static bool slow(const struct vu__facts *f, struct vu__obs_verdict *v,
		 const struct vu__obs_look *looks, size_t n)
{
	size_t full = 0, all = 0;

	if (f->armed || !f->ring || !f->size ||
	    f->q->mono_ns - f->oldest->q->mono_ns < f->patience)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct vu__obs_queue *q = looks[i].q;

		if (!usable(&looks[i]) || !vu__obs_knows(q, VU__OBS_RING))
			continue;
		all++;
		full += entries_at(q) >= f->size - f->size / 8;
	}
	if (full * 4 < all * 3)
		return false;
	return vu__judge(
		v, VU__V_BACKEND_SLOW, VU__OBS_LIKELY,
		"compare service time with the storage's or network's below; look at "
		"the thread's CPU use and batch sizes",
		"served all the time, and full nearly all the time: %s",
		vu__indices(f).text);
}

static bool moving(const struct vu__facts *f, struct vu__obs_verdict *v,
		   const struct vu__obs_look *looks, size_t n)
{
	if (!f->went_on)
		return false;
	if (slow(f, v, looks, n) || spurious(f, v))
		return true;
	if (f->counts)
		return vu__judge(
			v, VU__V_MOVING, VU__OBS_CERTAIN, "",
			"%llu requests completed in %.1f s",
			(unsigned long long)vu__grown(f, f->oldest, VU__OBS_COMPLETED),
			vu__seconds(f->q->mono_ns - f->oldest->q->mono_ns));
	return vu__judge(v, VU__V_MOVING, VU__OBS_CERTAIN, "", "%s", vu__indices(f).text);
}

static bool starved(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	uint64_t looked = vu__grown(f, f->first, VU__OBS_LOOKS_EMPTY);
	uint64_t woken = vu__grown(f, f->first, VU__OBS_WAKEUPS);

	/* A device that looks at its empty rx ring unasked has something to put there. */
	if (f->role != VU__OBS_ROLE_RX || !f->place || f->waiting || f->in_flight ||
	    !vu__lasts(f, f->still) || looked <= woken)
		return false;
	return vu__judge(
		v, VU__V_RX_STARVED, VU__OBS_LIKELY,
		"look in the guest why the driver does not refill: memory, a stuck NAPI "
		"thread, a lost call",
		"the device looked for buffers %llu times in %.1f s and found none",
		(unsigned long long)looked, vu__seconds(f->still));
}

static bool idle(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	if (spurious(f, v))
		return true;
	if (f->armed && f->ring && (f->waiting || f->in_flight))
		return vu__judge(v, VU__V_ARMED_IDLE, VU__OBS_CERTAIN, "",
				 "%u buffers wait for something to come",
				 f->waiting + f->in_flight);
	if (!f->ring && !f->counts)
		return vu__judge(v, VU__V_UNSEEN, VU__OBS_POSSIBLE, "",
				 "the ring cannot be seen");
	if (f->waiting || f->in_flight)
		return vu__judge(v, VU__V_MOVING, VU__OBS_POSSIBLE, "",
				 "%u requests have just come", f->waiting + f->in_flight);
	return vu__judge(v, VU__V_IDLE, VU__OBS_CERTAIN, "", "%s",
			 f->ring ? vu__indices(f).text : "nothing in flight");
}

void vu__obs_diagnose(const struct vu__obs_look *looks, size_t n, uint64_t patience_ns,
		      struct vu__obs_verdict *out)
{
	struct vu__facts f;

	memset(out, 0, sizeof(*out));
	if (!collect(looks, n, patience_ns, &f)) {
		vu__judge(out, VU__V_UNSEEN, VU__OBS_POSSIBLE, "", "%s",
			  n ? "it moved whenever it was looked at" : "not looked at yet");
		return;
	}
	if (backend_gone(&f, out) || corrupt(&f, out) || frontend_gone(&f, out) ||
	    stopped(&f, out) || not_in_use(&f, out) || vu__judge_full(&f, out) ||
	    moving(&f, out, looks, n))
		return;
	if (f.first == f.last) {
		vu__judge(out, VU__V_UNSEEN, VU__OBS_POSSIBLE, "", "looked at only once");
		return;
	}
	if (vu__judge_work(&f, out) || starved(&f, out) || vu__judge_calls(&f, out))
		return;
	idle(&f, out);
}
