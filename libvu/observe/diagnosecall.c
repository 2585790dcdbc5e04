/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All is done, and the driver may not know: was it owed a call, was that sent, did it
 * arrive?  Pure; any thread.
 */
#include "observe/diagnoseimpl.h"

#define EVENTFD_FULL (UINT64_MAX - 1)

/*
 * The driver's own place is its secret, but with event indices it says at which one it
 * wants to be called, and moves that as it goes.
 */
enum consumed {
	CANNOT_TELL,
	ALL_TAKEN,   /* it waits for the next */
	NOT_TAKEN,   /* it waits for what is there already */
	NOT_WAITING, /* its event index is elsewhere, its flag is set */
};

static enum consumed driver_state(const struct vu__facts *f)
{
	const struct vu__obs_ring *r = &f->q->ring;
	uint32_t behind = (uint16_t)(r->used_idx - r->used_event);

	if (!f->ring || !f->size)
		return CANNOT_TELL;
	if (vu__is_off(f, r->avail_flags))
		return NOT_WAITING;
	if (!vu__has_event(f, r->avail_flags))
		return CANNOT_TELL;
	if (f->q->setup.packed)
		behind = vu__circle_steps(r->used_event, r->used_idx, f->size);
	if (behind == 0)
		return ALL_TAKEN;
	return behind <= f->size ? NOT_TAKEN : NOT_WAITING;
}

/* It sleeps until it is called, as far as one can say. */
static bool driver_waits(const struct vu__facts *f, enum consumed driver)
{
	return driver == NOT_TAKEN &&
	       (f->role == VU__OBS_ROLE_REQUEST || f->role == VU__OBS_ROLE_UNKNOWN);
}

static bool same_since_first(const struct vu__facts *f)
{
	return f->first->q->ring.used_event == f->q->ring.used_event &&
	       f->first->q->ring.avail_flags == f->q->ring.avail_flags;
}

bool vu__judge_full(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	uint64_t errors = vu__grown(f, f->oldest, VU__OBS_CALL_ERRORS);

	if (!errors &&
	    !(vu__obs_knows(f->q, VU__OBS_CALL) && f->q->call.count >= EVENTFD_FULL))
		return false;
	return vu__judge(v, VU__V_CALL_SATURATED, VU__OBS_CERTAIN,
			 "nobody reads the call eventfd; see who holds it",
			 "the call eventfd has %llu; %llu calls failed meanwhile",
			 (unsigned long long)f->q->call.count,
			 (unsigned long long)errors);
}

/* Completions the driver was not told of, as far as counters say; -1: not known. */
static int64_t untold(const struct vu__facts *f)
{
	if (!f->counts || !f->times)
		return -1;
	if (f->q->setup.packed)
		return f->q->times.untold;
	return (uint16_t)(f->q->ring.used_idx - f->q->times.called_used_idx);
}

/* The used descriptor the driver waits for was written after the last call. */
static bool call_was_due(const struct vu__facts *f)
{
	const struct vu__obs_ring *r = &f->q->ring;

	if (f->q->setup.packed)
		return r->past_event && r->past_event <= f->q->times.untold;
	return vu__obs_passed(r->used_event, r->used_idx, f->q->times.called_used_idx);
}

static bool call_lost(const struct vu__facts *f, struct vu__obs_verdict *v,
		      enum consumed driver)
{
	static const char next[] =
		"a bug in the back-end: it does not notify after the last "
		"completion, or reads used_event too early; calling once "
		"more helps";
	const struct vu__obs_ring *r = &f->q->ring;
	int64_t missing = untold(f);

	if (missing <= 0 || !f->ring || f->q->call.fd == VU__OBS_FD_NONE)
		return false;
	if (driver == NOT_TAKEN && call_was_due(f))
		return vu__judge(
			v, VU__V_CALL_LOST, VU__OBS_CERTAIN, next,
			"the driver wants a call at %s, the used index is %s since "
			"%.1f s, and for the last %lld completions none was sent",
			vu__at(f, r->used_event).text, vu__at(f, r->used_idx).text,
			vu__seconds(f->still), (long long)missing);
	if (driver == CANNOT_TELL)
		return vu__judge(
			v, VU__V_CALL_LOST, VU__OBS_LIKELY, next,
			"the driver wants calls, and was not called for the last %lld "
			"completions since %.1f s",
			(long long)missing, vu__seconds(f->still));
	return false;
}

static bool no_fd(const struct vu__facts *f, struct vu__obs_verdict *v,
		  enum consumed driver)
{
	bool waits = driver_waits(f, driver);

	if (f->q->call.fd != VU__OBS_FD_NONE || driver == ALL_TAKEN || untold(f) == 0)
		return false;
	vu__judge(v, VU__V_CALL_NO_FD, VU__OBS_CERTAIN,
		  "fine if the guest polls, or notifications go in-band; else the "
		  "front-end "
		  "owes SET_VRING_CALL",
		  "the front-end has given no eventfd to call with%s",
		  waits ? ", and the driver waits for a call" : "");
	if (waits)
		v->severity = VU__OBS_WARNING;
	return true;
}

/* Nobody is there who could take it. */
static bool paused(const struct vu__facts *f, struct vu__obs_verdict *v,
		   enum consumed driver)
{
	if (!driver_waits(f, driver) || untold(f) > 0 || !f->vmm ||
	    (f->vmm->vcpus_run != VU__OBS_NO && !vu__stopped_state(f->vmm->state)))
		return false;
	return vu__judge(v, VU__V_VM_PAUSED, VU__OBS_CERTAIN,
			 "continue the machine or its monitor",
			 "the machine does not run, and has not taken what is done");
}

static bool unconsumed(const struct vu__facts *f, struct vu__obs_verdict *v,
		       enum consumed driver)
{
	bool waits = driver_waits(f, driver);

	if (!vu__lasts(f, f->has_call) || driver == ALL_TAKEN)
		return false;
	vu__judge(v, VU__V_CALL_UNCONSUMED, waits ? VU__OBS_LIKELY : VU__OBS_POSSIBLE,
		  "see which process holds the eventfd, whether KVM has an irqfd for it, "
		  "whether the vector is masked, and what the monitor's main loop does",
		  "the call eventfd (id %lld) has %llu for %.1f s%s",
		  (long long)f->q->call.id, (unsigned long long)f->q->call.count,
		  vu__seconds(f->has_call),
		  waits ? ", and the driver waits for it" : "; fine if the guest polls");
	if (waits)
		v->severity = VU__OBS_CRITICAL;
	return true;
}

/* What became of a call that was sent and taken. */
static bool after_the_call(const struct vu__facts *f, struct vu__obs_verdict *v,
			   enum consumed driver)
{
	const struct vu__obs_kvm *k = &f->q->kvm;
	uint64_t called = f->q->times.call_ns;
	bool traced = vu__obs_knows(f->q, VU__OBS_KVM) && k->counts == VU__OBS_YES;

	if (!driver_waits(f, driver) || untold(f) > 0)
		return false;
	if (f->vmm &&
	    (f->vmm->vcpus_run == VU__OBS_NO || vu__stopped_state(f->vmm->state)))
		return vu__judge(
			v, VU__V_VM_PAUSED, VU__OBS_CERTAIN,
			"continue the machine or its monitor",
			"the machine does not run, and has not taken what is done");
	if (traced && f->times && called && k->last_interrupt_ns < called)
		return vu__judge(
			v, VU__V_IRQ_NOT_INJECTED, VU__OBS_CERTAIN,
			"see KVM's irqfd table and the route of its interrupt number",
			"a call was sent %.1f s ago, and no interrupt was injected after "
			"it",
			vu__seconds(f->q->mono_ns - called));
	if (!traced && !(vu__obs_knows(f->q, VU__OBS_CALL) && !f->q->call.count))
		return false;
	return vu__judge(
		v, VU__V_GUEST_NOT_CONSUMING, traced ? VU__OBS_CERTAIN : VU__OBS_LIKELY,
		"look in the guest: is the vCPU scheduled, are its interrupts off, is "
		"the driver's softirq stuck?",
		"the driver waits at %s, the used index is %s, the call was %s%s",
		vu__at(f, f->q->ring.used_event).text,
		vu__at(f, f->q->ring.used_idx).text, traced ? "injected" : "taken",
		traced && k->vcpu_halted == VU__OBS_YES ? "; its vCPU sleeps" : "");
}

static bool not_wanted(const struct vu__facts *f, struct vu__obs_verdict *v,
		       enum consumed driver)
{
	if (driver != NOT_WAITING || untold(f) <= 0)
		return false;
	return vu__judge(
		v, VU__V_CALL_SUPPRESSED, VU__OBS_CERTAIN,
		"fine if the guest polls or comes back by itself",
		"%lld completions without a call: the driver %s", (long long)untold(f),
		vu__is_off(f, f->q->ring.avail_flags) ? "has set \"no interrupt\""
						      : "has its event index elsewhere");
}

bool vu__judge_calls(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	enum consumed driver = driver_state(f);

	if (f->armed || f->waiting || !vu__lasts(f, f->still) || !same_since_first(f))
		return false;
	return call_lost(f, v, driver) || no_fd(f, v, driver) ||
	       not_wanted(f, v, driver) || paused(f, v, driver) ||
	       unconsumed(f, v, driver) || after_the_call(f, v, driver);
}
