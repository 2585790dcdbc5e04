/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel's side and the user's side of vu-trace tell each other.  All tiers
 * have these events, stages and counters in common; members have fixed widths, and every
 * byte of an event is written.
 */
#ifndef VU_TRACE_EVENT_H
#define VU_TRACE_EVENT_H

#include <linux/types.h>

/* Where an event was seen; the letter of the tier. */
enum tier {
	TIER_FENTRY = 'A',
	TIER_KPROBE = 'B',
	TIER_TRACEPOINT = 'C',
	TIER_USDT = 'D',
	TIER_POLL = 'E', /* no BPF: /proc and shared memory, looked at now and then */
};

enum ev_kind {
	EV_NOTIFY = 1, /* the guest's store, seen by KVM.  value: port or address */
	EV_SIGNAL,     /* the kick eventfd was signalled.  value: what was added */
	EV_WAKE,       /* a thread of the back-end is woken.  other: its tid */
	EV_RUN,	       /* ... and has a processor */
	EV_READ,       /* the kick eventfd was read.  value: what was in it, 0 if nothing */
	EV_POP,	       /* an element was taken.  value: its head */
	EV_PUSH,       /* an element was given back.  value: its head */
	EV_CALL,       /* the call eventfd was signalled.  value: what was added */
	EV_INJECT,     /* KVM has injected the interrupt.  value: MSI data or GSI */
	EV_CONSUME,    /* the monitor has read the call eventfd */
	EV_SUPPRESS,   /* libvu did not call, the driver does not want it */
	EV_MSG,	       /* a vhost-user message.  other: request, value: size, aux: fd or -1 */
	EV_RING,       /* a ring was started (value 1) or stopped (0) */
	EV_FAULT,      /* an address that is not guest memory.  value: it */
	EV_ROUND,      /* a kick was served: struct ev_round */
	EV_TABLE,      /* a message changed which eventfd is which.  value: the eventfd, a
			  name of the kernel's; other: see below, aux: fd or -1 */
	EV_KINDS,
};

enum stage {
	ST_NOTIFY_SIGNAL,
	ST_SIGNAL_WAKE,
	ST_WAKE_RUN,
	ST_RUN_READ,
	ST_AWAKE_READ, /* signalled to read, when the thread was awake: no wake-up needed */
	ST_READ_POP,
	ST_POP_PUSH, /* of each element */
	ST_PUSH_CALL,
	ST_READ_CALL,
	ST_CALL_INJECT, /* or to the monitor's read, where nothing is injected in the kernel */
	ST_SIGNAL_CALL,
	ST_TOTAL, /* from the first of these to the last that was seen */
	ST_STAGES,
};

enum role {
	ROLE_NONE,
	ROLE_KICK,
	ROLE_CALL,
	ROLE_ERR,
};

struct event {
	__u64 ts; /* CLOCK_MONOTONIC, ns */
	__u64 value;
	__u32 queue; /* slot, see struct qstate; NO_QUEUE if none */
	__u32 tgid;
	__u32 tid;
	__u32 other; /* another thread, of EV_WAKE */
	__u32 aux;
	__u8 kind;
	__u8 tier;
	__u8 role;
	__u8 flags;
};
#define NO_QUEUE 0xffffffffU

/* EV_TABLE's other: the payload's low bits, the queue and whether there is no fd; the id. */
#define TABLE_QUEUE    0x1ff
#define TABLE_INDEX    0xff
#define TABLE_NO_FD    0x100
#define TABLE_ID_SHIFT 9
#define TABLE_NO_ID    0x7fffff

#define EVF_IN_KERNEL 1 /* signalled by the kernel itself: KVM, io_uring, vhost */
#define EVF_FAILED    2 /* the operation said it failed */

/* A served kick: when it came to each point; 0 where that was not seen. */
enum point {
	PT_NOTIFY,
	PT_SIGNAL,
	PT_WAKE,
	PT_RUN,
	PT_READ,
	PT_POP,
	PT_PUSH,
	PT_CALL,
	PT_INJECT,
	PT_POINTS,
};

struct ev_round {
	struct event head; /* value: from the first point to the last, ns */
	__u64 at[PT_POINTS];
};

/*
 * Histograms: 16 buckets to each power of two, so that a value is known to 1/16.
 * Values below 16 have their own bucket; what is above 2^40 ns is in the last.
 */
#define HIST_SUB_BITS 4
#define HIST_SUB      (1 << HIST_SUB_BITS)
#define HIST_TOP_BIT  40
#define HIST_BUCKETS  ((HIST_TOP_BIT - HIST_SUB_BITS + 1) * HIST_SUB)

struct hist {
	__u64 count; /* in user space only: it is the sum of the buckets */
	__u64 sum;
	__u64 max;
	__u64 bucket[HIST_BUCKETS];
};

/* A queue's counters and the round it is in; one slot a queue. */
struct qstate {
	__u64 n[EV_KINDS]; /* events by kind */
	__u64 last[EV_KINDS]; /* when there was one */
	__u64 kicks;	   /* sum of what was added to the kick eventfd, and was in it before */
	__u64 consumed;	   /* sum of what was read out of it */
	__u64 in_kernel;   /* of the signals: by the kernel */
	__u64 coalesced;   /* kicks that were read together with another one */
	__u64 no_wake;	   /* reads for which nobody had to be woken */
	__u64 empty_reads;
	__u64 failed_calls;
	__u64 round;
	__u64 at[PT_POINTS]; /* the round that is being signalled: up to PT_RUN */
	__u64 served[PT_POINTS]; /* the round that was read last */
	__u32 worker;	   /* the thread that read last */
	__u32 caller;
	__u32 vmm, backend; /* tgids, by user space */
};

/* An eventfd that is watched. */
struct watch {
	__u32 queue;
	__s32 id; /* the kernel's eventfd-id; another one means another eventfd */
	__u8 role;
	__u8 hint;    /* what follows a signal wants to know of it: a wake-up, an interrupt */
	__u8 unseen;  /* the kernel itself may signal it: what is read has to be looked at */
	__u8 pad[5];
};

#define WATCH_FEW 16
struct few {
	__u64 ctx; /* 0: none */
	struct watch w;
	/* Where the monitor and the back-end have it. */
	struct few_fd {
		__u64 file;
		__u32 tgid;
		__s32 fd;
	} at[2];
};

/* The kick eventfds a process waits for: what a wake-up of it may be about. */
#define GROUP_MAX 32
struct group {
	__u32 n;
	__u32 pad;
	__u32 queue[GROUP_MAX];
	__u64 ctx[GROUP_MAX];
};

/* How often a kind of event was to be handed over, and could not be. */
struct probe_stat {
	__u64 hits;
	__u64 drops;
};

/* A notification address: which store of the guest's is which queue's. */
struct notify_key {
	__u32 tgid;
	__u32 bus; /* 0 port, 1 memory */
	__u64 addr;
	__u64 match; /* NOTIFY_ANY unless the value counts */
};
#define NOTIFY_ANY (~0ULL)

#endif
