/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the programs know and keep: constants, variables, maps. */
#ifndef VU_TRACE_MAPS_BPF_H
#define VU_TRACE_MAPS_BPF_H

#include "kernel.bpf.h"

#include "event.h"

/* --- set before loading: constants to the verifier, which drops what they switch off --- */

const volatile __u32 want_kinds;    /* bit per kind: these go to the ring buffer */
const volatile __u64 min_ns;	    /* rounds shorter than this are not handed over */
const volatile __u32 sample = 1;    /* one round of so many is handed over */
const volatile bool want_stages;    /* fill the histograms */
const volatile bool want_clock;     /* else events are counted, no more */
const volatile bool want_sampling;  /* tell signals from the eventfds' counts: tier C */
const volatile __u64 wake_bytes;    /* so many wait in the ring buffer: wake the reader */
const volatile __u64 eventfd_fops;  /* from the scan */
const volatile __u8 tier_eventfd;   /* the tier of the eventfds' own programs */

/* --- set while running --- */

#define MAX_TARGETS 32
__u32 targets[MAX_TARGETS]; /* tgids; 0 ends the list */
__u64 slow_ns = ~0ULL;	    /* rounds at least so long are handed over, the slowest */

/*
 * The eventfds that are watched: the first few are found by comparing, since most
 * eventfd operations of a machine are of others, and the rest in a table.
 */
struct few few[WATCH_FEW]; /* without gaps; ctx 0 ends the list */
__u32 many;		   /* there are more, in the table */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct watch);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct qstate);
} queues SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 64 * ST_STAGES);
	__type(key, __u32);
	__type(value, struct hist);
} hists SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct group);
} groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct notify_key);
	__type(value, __u32);
} notifies SEC(".maps");

/* A thread that was woken, and when it ran. */
struct run {
	__u64 woken;
	__u64 run;
	__u32 queue;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct run);
} runs SEC(".maps");

/* What a task is in the middle of. */
struct op {
	__u64 ctx; /* the eventfd it signals */
	__u64 ts;
	__u32 queue;
	__u32 request; /* a message whose payload is still to come */
	__s32 sock;
	__s32 fd;
	__u64 passed; /* ... and the eventfd it brings */
	__s32 written;	 /* fd of the system call that signals, with OP_SYSCALL */
	__u64 signalling; /* the eventfd, while in eventfd_signal() */
	__u64 reading; /* the eventfd, while in eventfd_read(): tier B */
	__u8 role;
	__u8 until; /* enum op_end */
	__u8 pad[6];
};

/* How it is known that a signal is over. */
enum op_end {
	OP_TIME,    /* it is not: it was just now */
	OP_SYSCALL, /* the task has left that system call */
	OP_SEEN,    /* the end itself is seen */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct op);
} ops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EV_KINDS);
	__type(key, __u32);
	__type(value, struct probe_stat);
} stats SEC(".maps");

#endif
