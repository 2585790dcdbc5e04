/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs at tracepoints that all tiers have: the scheduler's, and KVM's.  In
 * sched_waking the waker is in the middle of its signal and the counter was raised: it
 * tells which eventfd the wake-up is about, also where nothing else can be seen of the
 * signal (tier C).
 */
#ifndef VU_TRACE_SCHED_BPF_H
#define VU_TRACE_SCHED_BPF_H

#include "trace.bpf.h"

static __always_inline void woken(struct qstate *q, __u32 queue, __u64 ts, __u32 tid)
{
	struct run r = {.woken = ts, .queue = queue};

	if (!q->at[PT_SIGNAL] || __sync_val_compare_and_swap(&q->at[PT_WAKE], 0, ts))
		return;
	bpf_map_update_elem(&runs, &tid, &r, BPF_ANY);
	report_more(q, queue, EV_WAKE, TIER_TRACEPOINT, ROLE_KICK, ts, 0, tid, 0);
}

SEC("?tp_btf/sched_waking")
int BPF_PROG(waking, struct task_struct *p)
{
	__u32 tgid = p->tgid;
	struct group *g;
	struct op *op;
	__u64 ts;

	if (!is_target(tgid))
		return 0;
	g = bpf_map_lookup_elem(&groups, &tgid);
	if (!g)
		return 0;
	ts = bpf_ktime_get_ns();
	op = signalling_op(ts, ROLE_KICK);
	if (op) {
		struct qstate *q = state_of(op->queue);

		if (q)
			woken(q, op->queue, ts, p->pid);
		return 0;
	}
	for (__u32 i = 0; i < GROUP_MAX && i < g->n; i++) {
		__u32 queue = g->queue[i];
		__u64 ctx = g->ctx[i], count = count_of(ctx);
		struct qstate *q;

		if (!count)
			continue;
		q = state_of(queue);
		if (!q)
			continue;
		catch_up(q, queue, count, ts);
		woken(q, queue, ts, p->pid);
	}
	return 0;
}

SEC("?tp_btf/sched_switch")
int BPF_PROG(switched, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u32 tid = next->pid;
	struct qstate *q;
	struct event e;
	struct run *r;

	if (!is_target(next->tgid))
		return 0;
	r = bpf_map_lookup_elem(&runs, &tid);
	if (!r || r->run)
		return 0;
	r->run = bpf_ktime_get_ns();
	q = state_of(r->queue);
	if (!q)
		return 0;
	add(&q->n[EV_RUN], 1);
	q->last[EV_RUN] = r->run;
	if (!wanted(EV_RUN) || !sampled(q))
		return 0;
	/* Another task is the current one. */
	fill(&e, EV_RUN, TIER_TRACEPOINT, ROLE_KICK, r->queue, r->run, 0);
	e.tgid = next->tgid;
	e.tid = tid;
	hand_over(&e);
	return 0;
}

/* --- the guest's store, and the interrupt; raw, for kernels that know no void * --- */

static __always_inline void notified(__u32 bus, __u64 addr, __u64 value)
{
	struct notify_key key = {.tgid = bpf_get_current_pid_tgid() >> 32,
				 .bus = bus,
				 .addr = addr,
				 .match = value};
	__u32 *queue = bpf_map_lookup_elem(&notifies, &key);

	if (!queue) {
		key.match = NOTIFY_ANY;
		queue = bpf_map_lookup_elem(&notifies, &key);
	}
	if (queue)
		on_notify(*queue, bpf_ktime_get_ns(), addr, TIER_TRACEPOINT);
}

static __always_inline __u64 value_at(const void *p, __u32 size)
{
	__u64 v = 0;

	if (size > sizeof(v))
		size = sizeof(v);
	bpf_probe_read_kernel(&v, size, p);
	return v;
}

SEC("?raw_tp/kvm_pio")
int BPF_PROG(kvm_pio, unsigned int rw, unsigned int port, unsigned int size,
	     unsigned int count, const void *val)
{
	if (rw && is_target(bpf_get_current_pid_tgid() >> 32))
		notified(0, port, value_at(val, size));
	return 0;
}

#define KVM_TRACE_MMIO_WRITE 2

SEC("?raw_tp/kvm_mmio")
int BPF_PROG(kvm_mmio, int type, int len, __u64 gpa, void *val)
{
	if (type == KVM_TRACE_MMIO_WRITE && is_target(bpf_get_current_pid_tgid() >> 32))
		notified(1, gpa, value_at(val, len));
	return 0;
}

/* On processors that have it: after the signal, and without the value. */
SEC("?raw_tp/kvm_fast_mmio")
int BPF_PROG(kvm_fast_mmio, __u64 gpa)
{
	if (is_target(bpf_get_current_pid_tgid() >> 32))
		notified(1, gpa, NOTIFY_ANY);
	return 0;
}

/* Injected in the context of who signals the call eventfd, so it is that one. */
SEC("?raw_tp/kvm_msi_set_irq")
int BPF_PROG(kvm_msi_set_irq, __u64 address, __u64 data)
{
	__u64 ts = bpf_ktime_get_ns();
	struct op *op = signalling_op(ts, ROLE_CALL);
	struct qstate *q;

	if (!op)
		return 0;
	q = state_of(op->queue);
	if (q)
		on_inject(q, op->queue, ts, data, EV_INJECT, TIER_TRACEPOINT);
	op->ctx = 0;
	return 0;
}

#endif
