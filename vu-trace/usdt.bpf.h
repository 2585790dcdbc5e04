/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tier D: the points inside libvu.  The first kick read tells which device and queue of
 * the process a slot is; the others name device and queue.
 */
#ifndef VU_TRACE_USDT_BPF_H
#define VU_TRACE_USDT_BPF_H

#include "trace.bpf.h"

#include <bpf/usdt.bpf.h>

struct libvu_queue {
	__u64 dev;
	__u32 tgid;
	__u32 index;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct libvu_queue);
	__type(value, __u32);
} libvu_queues SEC(".maps");

struct libvu_head {
	__u32 queue;
	__u32 head;
};

/* When an element was popped. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct libvu_head);
	__type(value, __u64);
} popped SEC(".maps");

static __always_inline struct libvu_queue libvu_key(long dev, long index)
{
	struct libvu_queue k = {.dev = dev,
				.tgid = bpf_get_current_pid_tgid() >> 32,
				.index = index};

	return k;
}

static __always_inline __u32 libvu_slot(long dev, long index)
{
	struct libvu_queue k = libvu_key(dev, index);
	__u32 *slot = bpf_map_lookup_elem(&libvu_queues, &k);

	return slot ? *slot : NO_QUEUE;
}

/* An event without a meaning for the stages. */
static __always_inline void libvu_event(__u8 kind, long dev, long index, __u64 value,
					__u32 other)
{
	__u32 slot = libvu_slot(dev, index);
	struct qstate *q = state_of(slot);
	__u64 ts = bpf_ktime_get_ns();
	struct event e;

	if (q) {
		report_more(q, slot, kind, TIER_USDT, ROLE_NONE, ts, value, other, 0);
		return;
	}
	if (!wanted(kind))
		return;
	fill(&e, kind, TIER_USDT, ROLE_NONE, slot, ts, value);
	e.other = other;
	hand_over(&e);
}

/* Learns which slot a queue of libvu's is, from one of its eventfds. */
static __always_inline void libvu_learn(long dev, long index, long fd, __u8 role)
{
	struct libvu_queue k = libvu_key(dev, index);
	__u64 efd;
	struct watch *w = watch_of_fd(k.tgid, fd, &efd);

	if (w && w->role == role)
		bpf_map_update_elem(&libvu_queues, &k, &w->queue, BPF_ANY);
}

SEC("?usdt")
int BPF_USDT(usdt_kick_read, long dev, long index, long fd)
{
	libvu_learn(dev, index, fd, ROLE_KICK);
	return 0;
}

/* The eventfd's own event says that it was signalled. */
SEC("?usdt")
int BPF_USDT(usdt_call, long dev, long index, long fd)
{
	libvu_learn(dev, index, fd, ROLE_CALL);
	return 0;
}

SEC("?usdt")
int BPF_USDT(usdt_pop, long dev, long index, long head)
{
	__u32 slot = libvu_slot(dev, index);
	struct libvu_head k = {.queue = slot, .head = head};
	__u64 ts = bpf_ktime_get_ns();
	struct qstate *q = state_of(slot);

	if (!q)
		return 0;
	bpf_map_update_elem(&popped, &k, &ts, BPF_ANY);
	if (!q->served[PT_POP]) {
		q->served[PT_POP] = ts;
		measure(slot, ST_READ_POP, q->served[PT_READ], ts);
	}
	report(q, slot, EV_POP, TIER_USDT, ROLE_NONE, ts, head);
	return 0;
}

SEC("?usdt")
int BPF_USDT(usdt_push, long dev, long index, long head, long len)
{
	__u32 slot = libvu_slot(dev, index);
	struct libvu_head k = {.queue = slot, .head = head};
	__u64 ts = bpf_ktime_get_ns(), *begin;
	struct qstate *q = state_of(slot);

	if (!q)
		return 0;
	begin = bpf_map_lookup_elem(&popped, &k);
	if (begin) {
		measure(slot, ST_POP_PUSH, *begin, ts);
		bpf_map_delete_elem(&popped, &k);
	}
	q->served[PT_PUSH] = ts;
	report_more(q, slot, EV_PUSH, TIER_USDT, ROLE_NONE, ts, head, len, 0);
	return 0;
}

SEC("?usdt")
int BPF_USDT(usdt_suppress, long dev, long index, long why)
{
	libvu_event(EV_SUPPRESS, dev, index, why, 0);
	return 0;
}

SEC("?usdt")
int BPF_USDT(usdt_msg, long dev, long request, long queue, long result)
{
	struct event e;

	if (!wanted(EV_MSG))
		return 0;
	fill(&e, EV_MSG, TIER_USDT, ROLE_NONE, libvu_slot(dev, queue), bpf_ktime_get_ns(),
	     result);
	e.other = request;
	e.aux = -1;
	hand_over(&e);
	return 0;
}

SEC("?usdt")
int BPF_USDT(usdt_ring_start, long dev, long index, long base)
{
	libvu_event(EV_RING, dev, index, 1, base);
	return 0;
}

SEC("?usdt")
int BPF_USDT(usdt_ring_stop, long dev, long index, long left)
{
	libvu_event(EV_RING, dev, index, 0, left);
	return 0;
}

SEC("?usdt")
int BPF_USDT(usdt_fault, long vq, long address)
{
	libvu_event(EV_FAULT, vq, -1, address, 0);
	return 0;
}

#endif
