/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work waits and nothing moves: between the driver that made it available and the
 * device that should complete it, where does it stop?  Pure; any thread.
 */
#include "observe/diagnoseimpl.h"

/* Of the clock libvu takes times from: a tick of the slowest kernels. */
#define GRAIN_NS 10000000ULL

/* A process that was stopped serves nothing, whatever else is true of it. */
static bool process_stopped(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	bool work = f->waiting || f->in_flight || f->has_kick;
	bool debugger = f->proc->state == 't';

	if (!vu__stopped_state(f->proc->state) ||
	    !vu__stopped_state(f->first->proc->state) || !vu__lasts(f, f->still))
		return false;
	vu__judge(v, VU__V_BACKEND_STALLED, VU__OBS_CERTAIN,
		  debugger ? "let the debugger go on"
			   : "find who sent SIGSTOP; kill -CONT",
		  "process %d (%s) is %s; %u requests wait", f->proc->pid, f->proc->comm,
		  debugger ? "held by a debugger" : "stopped by a signal",
		  f->waiting + f->in_flight);
	if (!work)
		v->severity = VU__OBS_WARNING;
	return true;
}

static bool disabled(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	if (f->q->setup.enabled != VU__OBS_NO)
		return false;
	return vu__judge(
		v, VU__V_DISABLED_WITH_WORK, VU__OBS_CERTAIN,
		"the front-end has not sent SET_VRING_ENABLE 1: more queues than vCPUs, "
		"or a driver that uses a queue it did not ask for",
		"started, but not enabled, and %u requests wait: %s", f->waiting,
		vu__indices(f).text);
}

/* The last kick was read before the ring was enabled. */
static bool eaten(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	const struct vu__obs_times *t = &f->q->times;
	uint64_t enabled = f->q->setup.enabled_ns, woken = VU_MAX(t->wake_ns, t->kick_ns);

	/* A time may be that of the last tick. */
	if (!f->times || !enabled || !woken || woken + GRAIN_NS > enabled ||
	    t->pop_ns > enabled || f->has_kick || f->q->kick.count)
		return false;
	return vu__judge(
		v, VU__V_KICK_EATEN_BEFORE_ENABLE, VU__OBS_CERTAIN,
		"the back-end must look at the ring when it is enabled; kicking once "
		"more helps",
		"the last kick was read %.3f s before the ring was enabled, none came "
		"after, and %u requests wait",
		vu__seconds(enabled - woken), f->waiting);
}

/* --- a kick is there, and was not read --- */

static bool kick_unread(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	const struct vu__obs_worker *w = &f->q->worker;
	bool known = vu__obs_knows(f->q, VU__OBS_WORKER);

	if (!vu__lasts(f, f->has_kick) || !known || w->waits != VU__OBS_YES)
		return false;
	if (w->watches == VU__OBS_YES)
		return vu__judge(
			v, VU__V_KICK_NOT_WATCHED, VU__OBS_LIKELY,
			"the fd is watched edge-triggered or one-shot and was not armed "
			"again",
			"kick eventfd has %llu for %.1f s, and %s, which includes it",
			(unsigned long long)f->q->kick.count, vu__seconds(f->has_kick),
			vu__thread(f->q).text);
	return vu__judge(
		v, VU__V_KICK_NOT_WATCHED,
		w->watches == VU__OBS_NO ? VU__OBS_CERTAIN : VU__OBS_LIKELY,
		"the kick fd is missing in the thread's poll set: not added after "
		"SET_VRING_KICK, or removed and not added again",
		"kick eventfd (fd %d) has %llu for %.1f s, and %s without it",
		f->q->kick.fd, (unsigned long long)f->q->kick.count,
		vu__seconds(f->has_kick), vu__thread(f->q).text);
}

static bool thread_stuck(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	const struct vu__obs_worker *w = &f->q->worker;
	const struct vu__obs_queue *before = f->work_since->q;
	bool unread = vu__lasts(f, f->has_kick);

	if (!vu__obs_knows(f->q, VU__OBS_WORKER) || w->waits != VU__OBS_NO ||
	    f->in_flight)
		return false;
	/* One that was in poll between the looks is busy, not stuck. */
	if (vu__obs_knows(before, VU__OBS_WORKER) && before->worker.waits == VU__OBS_YES)
		return false;
	return vu__judge(v, VU__V_BACKEND_STALLED,
			 unread ? VU__OBS_CERTAIN : VU__OBS_LIKELY,
			 w->state == 'R' ? "see what it computes: perf top -t, gdb -p"
					 : "see its stack: cat /proc/TID/stack, gdb -p",
			 "%u requests wait for %.1f s%s, and %s", f->waiting,
			 vu__seconds(f->has_work),
			 unread ? " with the kick not read" : "", vu__thread(f->q).text);
}

/* --- no kick is there --- */

static bool is_polling(const struct vu__facts *f)
{
	return f->q->setup.polled || vu__grown(f, f->first, VU__OBS_LOOKS_EMPTY) > 2 ||
	       vu__grown(f, f->first, VU__OBS_BATCHES) > 2;
}

/* The driver has passed the index it was to kick at. */
static bool kick_was_due(const struct vu__facts *f)
{
	const struct vu__obs_ring *r = &f->q->ring;
	uint16_t from = f->place ? r->last_avail : r->used_idx;

	if (!vu__has_event(f, r->used_flags))
		return !vu__is_off(f, r->used_flags);
	return vu__passed(f, r->avail_event, r->avail_idx, from);
}

static bool kick_consumed(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	static const char next[] =
		"a bug in the back-end: a limit reached without kicking "
		"itself, an early return, 16-bit indices compared with >";
	const struct vu__obs_times *t = &f->q->times;
	uint64_t kicks = vu__grown(f, f->work_since, VU__OBS_KICKS);

	if (f->has_kick)
		return false;
	if (kicks)
		return vu__judge(
			v, VU__V_KICK_CONSUMED_NO_WORK, VU__OBS_CERTAIN, next,
			"%llu kicks were read in the last %.1f s, %u requests wait, none "
			"was fetched",
			(unsigned long long)kicks, vu__seconds(f->has_work), f->waiting);
	if (!f->times || !kick_was_due(f) || !t->kick_ns || t->kick_ns <= t->pop_ns ||
	    t->kick_ns + GRAIN_NS < f->q->setup.started_ns)
		return false;
	return vu__judge(
		v, VU__V_KICK_CONSUMED_NO_WORK, VU__OBS_LIKELY, next,
		"the last kick was read %.1f s ago, nothing was fetched after it, and "
		"%u requests wait: %s",
		vu__seconds(f->q->mono_ns - t->kick_ns), f->waiting, vu__indices(f).text);
}

/* A foreign back-end may have fetched them all the same: then it waits for its I/O. */
static bool asleep(const struct vu__facts *f)
{
	return f->place ? !is_polling(f)
			: vu__obs_knows(f->q, VU__OBS_WORKER) &&
				  f->q->worker.waits == VU__OBS_YES;
}

static bool suppressed(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	const struct vu__obs_ring *r = &f->q->ring;
	enum vu__obs_confidence sure = f->place ? VU__OBS_CERTAIN : VU__OBS_POSSIBLE;

	if (f->has_kick || kick_was_due(f) || !asleep(f))
		return false;
	if (vu__is_off(f, r->used_flags))
		return vu__judge(
			v, VU__V_NOTIFY_LEFT_DISABLED, sure,
			"the back-end must switch notifications on and look once more "
			"before it sleeps; kicking once helps",
			"the ring's \"no notify\" flag is set%s, the back-end does not "
			"poll, and %u requests wait: %s",
			f->q->setup.packed ? " (DISABLE)" : "", f->waiting,
			vu__indices(f).text);
	if (!f->place && r->avail_event == r->avail_idx)
		return false;
	return vu__judge(
		v, VU__V_KICK_SUPPRESSED_STALE_EVENT, sure,
		"the back-end must move avail_event and look once more before it "
		"sleeps; typical after a restore; kicking once helps",
		"avail_event is %s, which the driver does not pass between %s and %s: "
		"it never kicks, and %u requests wait",
		vu__at(f, r->avail_event).text,
		vu__at(f, f->place ? r->last_avail : r->used_idx).text,
		vu__at(f, r->avail_idx).text, f->waiting);
}

/* What KVM's tables and tracepoints add. */
static bool kick_on_its_way(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	const struct vu__obs_kvm *k = &f->q->kvm, *before = &f->work_since->q->kvm;
	uint64_t exits = k->exits - before->exits;

	if (!vu__obs_knows(f->q, VU__OBS_KVM))
		return false;
	if (k->ioeventfd == VU__OBS_NO)
		return vu__judge(
			v, VU__V_IOEVENTFD_MISSING, VU__OBS_CERTAIN,
			"kicks end in the machine monitor: is its main loop busy, was "
			"ioeventfd switched off?",
			"the kick eventfd (id %lld) is not in KVM's table, and %u "
			"requests wait",
			(long long)f->q->kick.id, f->waiting);
	if (k->counts != VU__OBS_YES || k->signals != before->signals)
		return false;
	if (k->ioeventfd == VU__OBS_YES && exits && k->exits >= before->exits)
		return vu__judge(
			v, VU__V_IOEVENTFD_MISMATCH, VU__OBS_CERTAIN,
			"compare length and value that KVM matches with what the driver "
			"writes",
			"%llu guest exits at the queue's address, and no signal of its "
			"eventfd",
			(unsigned long long)exits);
	return false;
}

static bool kick_lost(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	bool traced = vu__obs_knows(f->q, VU__OBS_KVM) &&
		      f->q->kvm.counts == VU__OBS_YES &&
		      f->q->kvm.exits == f->work_since->q->kvm.exits;

	if (!f->place || !vu__obs_knows(f->q, VU__OBS_KICK) || f->q->kick.count ||
	    f->has_kick || is_polling(f))
		return false;
	if (f->vmm &&
	    (f->vmm->vcpus_run == VU__OBS_NO || vu__stopped_state(f->vmm->state)))
		return vu__judge(
			v, VU__V_VM_PAUSED, VU__OBS_CERTAIN,
			"continue the machine or its monitor",
			"the machine does not run, and has not kicked for %u requests",
			f->waiting);
	return vu__judge(
		v, VU__V_KICK_LOST_IN_GUEST, traced ? VU__OBS_CERTAIN : VU__OBS_POSSIBLE,
		"see whether the vCPU runs; trace the guest's exits; kicking once tells "
		"whether a kick was lost",
		"the driver should have kicked for %u requests, and the kick eventfd had "
		"nothing: %s%s",
		f->waiting, vu__indices(f).text,
		traced ? "; no guest exit at its address" : "");
}

/* --- fetched, and not completed --- */

static bool io_stalled(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	uint64_t oldest = f->q->times.oldest_ns, age = f->still;
	bool known = f->times && oldest && oldest <= f->q->mono_ns;

	if (!f->in_flight || f->armed || !vu__lasts(f, f->still))
		return false;
	if (known)
		age = f->q->mono_ns - oldest;
	if (age < f->patience)
		return false;
	return vu__judge(
		v, VU__V_BACKEND_IO_STALLED,
		f->role == VU__OBS_ROLE_UNKNOWN ? VU__OBS_LIKELY : VU__OBS_CERTAIN,
		"look at what is below the back-end: the disk, the file server, the "
		"peer; or a request it has forgotten",
		"%u requests were fetched and not completed, %s %.1f s; %u more wait",
		f->in_flight, known ? "the oldest for" : "all for", vu__seconds(age),
		f->waiting);
}

/* The back-end's place is not known: it has fetched all, if it armed itself there. */
static bool foreign_stalled(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	const struct vu__obs_ring *r = &f->q->ring;
	bool armed_at_end =
		vu__has_event(f, r->used_flags) && r->avail_event == r->avail_idx;
	bool kick_gone = vu__obs_knows(f->q, VU__OBS_KICK) && !f->q->kick.count;

	if (f->place || f->has_work < f->patience || (!armed_at_end && !kick_gone))
		return false;
	return vu__judge(
		v, VU__V_BACKEND_IO_STALLED,
		armed_at_end ? VU__OBS_LIKELY : VU__OBS_POSSIBLE,
		"look at what is below the back-end; if nothing is, it read the kick and "
		"fetched nothing: kicking once tells",
		"%u requests are not completed for %.1f s, %s", f->waiting,
		vu__seconds(f->has_work),
		armed_at_end ? "and the back-end has seen all of them"
			     : "and the kick was read");
}

static bool just_stuck(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	if (f->has_work < f->patience)
		return false;
	return vu__judge(v, VU__V_STUCK, f->place ? VU__OBS_LIKELY : VU__OBS_POSSIBLE,
			 "trace its notifications: vu-trace stuck",
			 "%u requests wait for %.1f s: %s", f->waiting,
			 vu__seconds(f->has_work), vu__indices(f).text);
}

bool vu__judge_work(const struct vu__facts *f, struct vu__obs_verdict *v)
{
	if (process_stopped(f, v))
		return true;
	if (!f->waiting || !vu__lasts(f, f->has_work) ||
	    f->q->setup.started == VU__OBS_NO)
		return io_stalled(f, v);
	if (disabled(f, v))
		return true;
	/* Buffers are made available there to wait. */
	if (f->armed)
		return false;
	return eaten(f, v) || kick_unread(f, v) || thread_stuck(f, v) ||
	       io_stalled(f, v) || kick_consumed(f, v) || suppressed(f, v) ||
	       kick_on_its_way(f, v) || foreign_stalled(f, v) || kick_lost(f, v) ||
	       just_stuck(f, v);
}
