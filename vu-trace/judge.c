/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges queues by observe's rules, with the evidence of BPF.  The main thread. */
#include "judge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "select.h"

#define LOOK_MS	  250
#define MIN_LOOKS 4 /* on a host where one takes long; but not for ever */

int judge_open(struct judge *j, struct session *s)
{
	/* A verdict may need the threads and eventfds of any queue. */
	struct vu__sample_focus all = {.device = -1, .queue = -1};

	*j = (struct judge){.s = s};
	j->sampler = vu__sampler_new(NULL);
	if (!j->sampler)
		return -errno;
	vu__sample_set_focus(j->sampler, &all);
	return 0;
}

void judge_close(struct judge *j)
{
	for (unsigned int i = 0; i < j->nlooks; i++)
		vu__snapshot_free(j->looks[i]);
	vu__sampler_free(j->sampler);
}

/* --- the evidence of BPF --- */

static const struct slot_info *slot_of(const struct judge *j, const struct vu__obs_queue *q,
				       pid_t backend)
{
	for (uint32_t i = 0; i < j->s->nslots; i++) {
		const struct slot_info *s = &j->s->slots[i];

		if (!s->present || s->queue.backend != (uint32_t)backend)
			continue;
		if ((q->kick.id >= 0 && s->queue.kick.id == q->kick.id) ||
		    (q->call.id >= 0 && s->queue.call.id == q->call.id))
			return s;
	}
	return NULL;
}

static bool has_machine(const struct judge *j, uint32_t vmm)
{
	const struct found *f = world_found(j->s->world);

	for (size_t i = 0; i < f->nrecs; i++) {
		if (f->recs[i].what == SCAN_VM && f->recs[i].tgid == vmm)
			return true;
	}
	return false;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * What was not seen before tracing began may have happened then: the last of each kind
 * is not earlier than that.
 */
static void add_counts(const struct judge *j, const struct slot_info *s,
		       struct vu__obs_kvm *k)
{
	uint32_t slot = s - j->s->slots;
	const struct qstate *st = j->s->loader ? loader_queue(j->s->loader, slot) : NULL;

	if (!st)
		return;
	k->counts = VU__OBS_YES;
	k->exits = st->n[EV_NOTIFY];
	k->signals = st->n[EV_SIGNAL];
	k->calls = st->n[EV_CALL];
	k->interrupts = st->n[EV_INJECT] + st->n[EV_CONSUME];
	k->last_exit_ns = later(st->last[EV_NOTIFY], j->s->begun_ns);
	k->last_signal_ns = later(st->last[EV_SIGNAL], j->s->begun_ns);
	k->last_interrupt_ns = later(later(st->last[EV_INJECT], st->last[EV_CONSUME]),
				     j->s->begun_ns);
}

/* A back-end that reads its kicks by itself: libvu does not know when. */
static void add_reads(const struct judge *j, const struct slot_info *s,
		      struct vu__obs_times *times)
{
	const struct qstate *st =
		j->s->loader ? loader_queue(j->s->loader, s - j->s->slots) : NULL;

	if (st)
		times->kick_ns = later(times->kick_ns, st->last[EV_READ]);
}

static void add_evidence(const struct judge *j, struct vu__obs_snapshot *snap)
{
	if (!world_has_bpf(j->s->world))
		return;
	for (uint32_t i = 0; i < snap->nqueues; i++) {
		struct vu__obs_queue *q = &snap->queues[i];
		const struct vu__obs_process *p =
			vu__obs_process_of(snap, vu__obs_device_of(snap, q));
		const struct slot_info *s = slot_of(j, q, p->pid);

		if (s && vu__obs_knows(q, VU__OBS_TIMES))
			add_reads(j, s, &q->times);
		/* Without a machine of KVM's its tables say nothing. */
		if (!s || !has_machine(j, s->queue.vmm))
			continue;
		q->from[VU__OBS_KVM] = VU__OBS_TRACE;
		q->kvm.ioeventfd = s->queue.notify_addr ? VU__OBS_YES : VU__OBS_NO;
		q->kvm.irqfd = s->queue.gsi ? VU__OBS_YES : VU__OBS_NO;
		if (s->queue.notify_addr)
			add_counts(j, s, &q->kvm);
	}
}

/* --- looks --- */

int judge_look(struct judge *j)
{
	struct vu__obs_snapshot *snap;
	int ret = vu__sample_take(j->sampler, &snap);

	if (ret)
		return ret;
	add_evidence(j, snap);
	if (j->nlooks == JUDGE_LOOKS) {
		vu__snapshot_free(j->looks[0]);
		memmove(j->looks, j->looks + 1, (JUDGE_LOOKS - 1) * sizeof(j->looks[0]));
		j->nlooks--;
	}
	j->looks[j->nlooks++] = snap;
	return 0;
}

static void ignore_event(void *opaque, const struct event *e, size_t size)
{
	(void)opaque;
	(void)e;
	(void)size;
}

int judge_watch(struct judge *j, double seconds)
{
	uint64_t begin = now_ns(), spent = 0;
	unsigned int looks = 1;
	int ret = judge_look(j);

	while (!ret && !interrupted() &&
	       (spent < seconds * 1e9 || (looks < MIN_LOOKS && spent < 4 * seconds * 1e9))) {
		uint64_t next = now_ns() + LOOK_MS * 1000000ULL;

		while (now_ns() < next && !interrupted()) {
			int ms = (next - now_ns()) / 1000000 + 1;

			if (j->s->loader)
				session_run(j->s, ms, ignore_event, NULL);
			else
				usleep(ms * 1000);
		}
		ret = judge_look(j);
		looks++;
		spent = now_ns() - begin;
	}
	return ret;
}

const struct vu__obs_snapshot *judge_last(const struct judge *j)
{
	return j->nlooks ? j->looks[j->nlooks - 1] : NULL;
}

bool judge_selects(const struct options *o, const struct vu__obs_snapshot *snap,
		   const struct vu__obs_queue *q)
{
	const struct vu__obs_device *d = vu__obs_device_of(snap, q);
	const struct vu__obs_process *vmm = vu__obs_vmm_of(snap, d);
	struct queue as = {.vmm = vmm ? vmm->pid : 0,
			   .backend = vu__obs_process_of(snap, d)->pid,
			   .device = d->number,
			   .index = q->index};

	snprintf(as.name, sizeof(as.name), "%s", d->socket[0] ? d->socket : d->name);
	return selects_queue(o, &as, vmm ? vmm->vm_name : "", q->role);
}

const struct vu__obs_queue *judge_observed(const struct judge *j, const struct slot_info *s)
{
	const struct vu__obs_snapshot *snap = judge_last(j);

	for (uint32_t i = 0; snap && i < snap->nqueues; i++) {
		const struct vu__obs_queue *q = &snap->queues[i];
		const struct vu__obs_device *d = vu__obs_device_of(snap, q);

		if (vu__obs_process_of(snap, d)->pid != (pid_t)s->queue.backend)
			continue;
		if ((s->queue.kick.obj && q->kick.id == s->queue.kick.id) ||
		    (s->queue.call.obj && q->call.id == s->queue.call.id))
			return q;
	}
	return NULL;
}

void judge_queue(const struct judge *j, const struct vu__obs_queue *q,
		 struct vu__obs_verdict *v)
{
	const struct vu__obs_snapshot *last = judge_last(j);
	struct vu__obs_look looks[JUDGE_LOOKS];
	size_t n = 0;

	for (unsigned int i = 0; i < j->nlooks; i++) {
		const struct vu__obs_queue *same = vu__obs_find_queue(j->looks[i], last, q);

		if (same && same->setup.generation == q->setup.generation)
			looks[n++] = vu__obs_look_at(j->looks[i], same);
	}
	vu__obs_diagnose(looks, n, vu__obs_patience(0), v);
}

void judge_name(const struct vu__obs_snapshot *s, const struct vu__obs_queue *q, char *buf,
		size_t size)
{
	const struct vu__obs_device *d = vu__obs_device_of(s, q);
	const struct vu__obs_process *vmm = vu__obs_vmm_of(s, d);
	const char *device = base_name(d->socket[0] ? d->socket : d->name);
	char vm[32], number[16];

	snprintf(vm, sizeof(vm), "%d", vmm ? (int)vmm->pid : 0);
	snprintf(number, sizeof(number), "%u", d->number);
	if (!device[0])
		device = number;
	snprintf(buf, size, "%.31s:%.40s:%u", !vmm ? "-" : vmm->vm_name[0] ? vmm->vm_name : vm,
		 device, q->index);
}
