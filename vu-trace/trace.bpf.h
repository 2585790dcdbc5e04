/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of all tiers share: what an event means for its queue.
 *
 * A round is one service of a queue: the first kick after the queue was last read, the
 * wake-up, the read, the work, the call.  The signaller's side is in `at', written by
 * whoever signals and wakes; a read moves it to `served', which is the worker's.
 */
#ifndef VU_TRACE_TRACE_BPF_H
#define VU_TRACE_TRACE_BPF_H

#include "maps.bpf.h"

#define EAGAIN 11

/* --- small things --- */

static __always_inline void add(__u64 *n, __u64 v)
{
	__sync_fetch_and_add(n, v);
}

/* True for the processes that are looked at. */
static __always_inline bool is_target(__u32 tgid)
{
	for (int i = 0; i < MAX_TARGETS; i++) {
		__u32 t = targets[i];

		if (t == tgid)
			return true;
		if (!t)
			return false;
	}
	return false;
}

static __always_inline struct op *task_op(void)
{
	return bpf_task_storage_get(&ops, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static __always_inline struct watch *watch_of(__u64 ctx)
{
	for (int i = 0; i < WATCH_FEW; i++) {
		__u64 c = few[i].ctx;

		if (c == ctx)
			return &few[i].w;
		if (!c)
			return NULL;
	}
	return many ? bpf_map_lookup_elem(&watched, &ctx) : NULL;
}

static __always_inline __u64 count_of(__u64 ctx)
{
	return BPF_CORE_READ((struct eventfd_ctx *)ctx, count);
}

static __always_inline struct file *file_of_fd(__u32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file **table, *file = NULL;

	if (fd >= task->files->fdt->max_fds)
		return NULL;
	table = task->files->fdt->fd;
	bpf_probe_read_kernel(&file, sizeof(file), table + fd);
	return file;
}

/* An open file of this task; one of the first few is known by its address. */
static __always_inline struct watch *watch_of_fd(__u32 tgid, __s32 fd, __u64 *efd)
{
	struct file *file = NULL;

	for (int i = 0; i < WATCH_FEW; i++) {
		struct few *f = &few[i];

		if (!f->ctx)
			break;
		for (int k = 0; k < 2; k++) {
			if (f->at[k].fd != fd || f->at[k].tgid != tgid)
				continue;
			/* By its number alone when counting: user space looks after it. */
			if (!want_clock) {
				*efd = f->ctx;
				return &f->w;
			}
			file = file_of_fd(fd);
			if ((__u64)file == f->at[k].file) {
				*efd = f->ctx;
				return &f->w;
			}
			break;
		}
	}
	if (!file)
		file = file_of_fd(fd);
	if (!file)
		return NULL;
	/* If it is none of ours, this is no eventfd's address either. */
	*efd = (__u64)BPF_CORE_READ(file, private_data);
	return watch_of(*efd);
}

/* The eventfd at a file descriptor of this task, watched or not; 0: it is none. */
static __always_inline __u64 eventfd_of_fd(__u32 fd)
{
	struct file *file = file_of_fd(fd);

	if (!file || (__u64)BPF_CORE_READ(file, f_op) != eventfd_fops)
		return 0;
	return (__u64)BPF_CORE_READ(file, private_data);
}

/* --- histograms --- */

static __always_inline __u32 bucket_of(__u64 v)
{
	__u32 top = 0, n;

	if (v < HIST_SUB)
		return v;
	if (v >> HIST_TOP_BIT)
		return HIST_BUCKETS - 1;
#define STEP(bits)                                                                       \
	n = (v >> (top + (bits)) != 0) * (bits);                                         \
	top += n
	STEP(32);
	STEP(16);
	STEP(8);
	STEP(4);
	STEP(2);
	STEP(1);
#undef STEP
	return (top - HIST_SUB_BITS + 1) * HIST_SUB +
	       ((v >> (top - HIST_SUB_BITS)) & (HIST_SUB - 1));
}

static __always_inline void measure(__u32 queue, enum stage stage, __u64 from, __u64 to)
{
	__u32 key = queue * ST_STAGES + stage, b;
	struct hist *h;
	__u64 v;

	if (!want_stages || !from || to < from)
		return;
	h = bpf_map_lookup_elem(&hists, &key);
	if (!h)
		return;
	v = to - from;
	b = bucket_of(v);
	if (b < HIST_BUCKETS)
		add(&h->bucket[b], 1);
	add(&h->sum, v);
	if (v > h->max)
		h->max = v;
}

/* --- events --- */

/* Atomic: an interrupt may come between, or another task of this processor. */
static __always_inline struct probe_stat *stat_of(__u32 kind)
{
	return bpf_map_lookup_elem(&stats, &kind);
}

static __always_inline void fill(struct event *e, __u8 kind, __u8 tier, __u8 role,
				 __u32 queue, __u64 ts, __u64 value)
{
	__u64 id = bpf_get_current_pid_tgid();

	e->ts = ts;
	e->value = value;
	e->queue = queue;
	e->tgid = id >> 32;
	e->tid = id;
	e->other = 0;
	e->aux = 0;
	e->kind = kind;
	e->tier = tier;
	e->role = role;
	e->flags = 0;
}

static __always_inline bool wanted(__u8 kind)
{
	return want_kinds & 1U << kind;
}

/*
 * The reader looks by itself now and then: waking it at each event would delay what is
 * measured, and is worth it only before the buffer is full.  Once, as that is crossed.
 */
#define CROSSING 4096
static __always_inline __u64 wake_flags(__u8 kind)
{
	__u64 waiting = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);

	/* New eventfds are to be watched at once. */
	if (kind == EV_TABLE)
		return BPF_RB_FORCE_WAKEUP;
	return waiting - wake_bytes < CROSSING ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void hand_over(const struct event *e)
{
	struct probe_stat *s = stat_of(e->kind);

	if (s)
		add(&s->hits, 1);
	if (bpf_ringbuf_output(&events, (void *)e, sizeof(*e), wake_flags(e->kind)) && s)
		add(&s->drops, 1);
}

/* Whether the round under way is one of those that are handed over. */
static __always_inline bool sampled(const struct qstate *q)
{
	return sample <= 1 || q->round % sample == 0;
}

/* Counts an event of queue @q, and hands it over if it is wanted. */
static __always_inline void report_more(struct qstate *q, __u32 queue, __u8 kind, __u8 tier,
					__u8 role, __u64 ts, __u64 value, __u32 other,
					__u8 flags)
{
	struct event e;

	add(&q->n[kind], 1);
	q->last[kind] = ts;
	if (!wanted(kind) || !sampled(q))
		return;
	fill(&e, kind, tier, role, queue, ts, value);
	e.other = other;
	e.flags = flags;
	hand_over(&e);
}

static __always_inline void report(struct qstate *q, __u32 queue, __u8 kind, __u8 tier,
				   __u8 role, __u64 ts, __u64 value)
{
	report_more(q, queue, kind, tier, role, ts, value, 0, 0);
}

static __always_inline struct qstate *state_of(__u32 queue)
{
	return bpf_map_lookup_elem(&queues, &queue);
}

/* --- what events mean --- */

static __always_inline __u64 clock(void)
{
	return want_clock ? bpf_ktime_get_ns() : 0;
}

static __always_inline void on_notify(__u32 queue, __u64 ts, __u64 value, __u8 tier)
{
	struct qstate *q = state_of(queue);

	if (!q)
		return;
	if (!want_clock) {
		add(&q->n[EV_NOTIFY], 1);
		return;
	}
	__sync_val_compare_and_swap(&q->at[PT_NOTIFY], 0, ts);
	report_more(q, queue, EV_NOTIFY, tier, ROLE_KICK, ts, value, 0, EVF_IN_KERNEL);
}

/* What was added is in q->kicks already. */
static __always_inline void on_kick(struct qstate *q, __u32 queue, __u64 ts, __u64 value,
				    __u8 tier, __u8 flags)
{
	if (flags & EVF_IN_KERNEL)
		add(&q->in_kernel, 1);
	if (!q->at[PT_SIGNAL] &&
	    !__sync_val_compare_and_swap(&q->at[PT_SIGNAL], 0, ts))
		q->round++;
	report_more(q, queue, EV_SIGNAL, tier, ROLE_KICK, ts, value, 0, flags);
}

/*
 * Counts what was signalled unseen: what is in the counter beyond what is known of.  Two
 * may find the same at a time, only one counts it.
 */
static __always_inline void catch_up(struct qstate *q, __u32 queue, __u64 count, __u64 ts)
{
	__u64 known = q->kicks;
	__s64 more = count - (known - q->consumed);

	/* The guest's store was seen, and it was the signal: that is when. */
	if (want_sampling && more > 0 &&
	    __sync_val_compare_and_swap(&q->kicks, known, known + more) == known)
		on_kick(q, queue, q->at[PT_NOTIFY] ?: ts, more, TIER_TRACEPOINT,
			EVF_IN_KERNEL);
}

static __always_inline void end_round(struct qstate *q, __u32 queue, __u8 tier, __u64 end,
				      __u64 total)
{
	struct ev_round *r;
	struct probe_stat *s = stat_of(EV_ROUND);

	add(&q->n[EV_ROUND], 1);
	if (total < slow_ns &&
	    (!(want_kinds & 1U << EV_ROUND) || total < min_ns || !sampled(q)))
		return;
	if (s)
		add(&s->hits, 1);
	r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);
	if (!r) {
		if (s)
			add(&s->drops, 1);
		return;
	}
	fill(&r->head, EV_ROUND, tier, ROLE_NONE, queue, end, total);
	for (int i = 0; i < PT_POINTS; i++)
		r->at[i] = q->served[i];
	bpf_ringbuf_submit(r, wake_flags(EV_ROUND));
}

/* The call, or the injection that followed at once, ends what the read began. */
static __always_inline void on_call(struct qstate *q, __u32 queue, __u64 ts, __u64 value,
				    __u8 tier, __u8 flags)
{
	report_more(q, queue, EV_CALL, tier, ROLE_CALL, ts, value, 0, flags);
	if (q->served[PT_PUSH])
		measure(queue, ST_PUSH_CALL, q->served[PT_PUSH], ts);
	if (q->served[PT_READ] && !q->served[PT_CALL]) {
		__u64 from = q->served[PT_NOTIFY] ?: q->served[PT_SIGNAL];

		q->served[PT_CALL] = ts;
		measure(queue, ST_READ_CALL, q->served[PT_READ], ts);
		measure(queue, ST_SIGNAL_CALL, q->served[PT_SIGNAL], ts);
		if (from && ts > from) {
			measure(queue, ST_TOTAL, from, ts);
			end_round(q, queue, tier, ts, ts - from);
		}
	} else {
		q->served[PT_CALL] = ts;
	}
	q->served[PT_PUSH] = 0;
}

static __always_inline void on_inject(struct qstate *q, __u32 queue, __u64 ts, __u64 value,
				      __u8 kind, __u8 tier)
{
	measure(queue, ST_CALL_INJECT, q->served[PT_CALL], ts);
	q->served[PT_INJECT] = ts;
	report(q, queue, kind, tier, ROLE_CALL, ts, value);
}

/* The read takes the round over from those who signal. */
static __always_inline void begin_service(struct qstate *q, __u32 queue, __u64 ts,
					  __u32 tid)
{
	__u64 notify = q->at[PT_NOTIFY], signal = q->at[PT_SIGNAL], wake = q->at[PT_WAKE];
	__u64 run = 0;
	struct run *r;

	q->at[PT_NOTIFY] = 0;
	q->at[PT_WAKE] = 0;
	q->at[PT_SIGNAL] = 0;
	if (wake) {
		r = bpf_map_lookup_elem(&runs, &tid);
		run = r && r->run >= wake ? r->run : 0;
		measure(queue, ST_SIGNAL_WAKE, signal, wake);
		measure(queue, ST_WAKE_RUN, wake, run);
		measure(queue, ST_RUN_READ, run, ts);
	} else {
		add(&q->no_wake, 1);
		measure(queue, ST_AWAKE_READ, signal, ts);
	}
	if (notify && notify < signal)
		measure(queue, ST_NOTIFY_SIGNAL, notify, signal);
	q->served[PT_NOTIFY] = notify;
	q->served[PT_SIGNAL] = signal;
	q->served[PT_WAKE] = wake;
	q->served[PT_RUN] = run;
	q->served[PT_READ] = ts;
	q->served[PT_POP] = 0;
	q->served[PT_PUSH] = 0;
	q->served[PT_CALL] = 0;
	q->served[PT_INJECT] = 0;
}

/* @value: what was read; 0: nothing was there. */
static __always_inline void on_read(struct qstate *q, __u32 queue, __u64 ts, __u64 value,
				    __u8 tier)
{
	__u32 tid = bpf_get_current_pid_tgid();

	q->worker = tid;
	if (value) {
		catch_up(q, queue, value, ts);
		add(&q->consumed, value);
		if (value > 1)
			add(&q->coalesced, value - 1);
		begin_service(q, queue, ts, tid);
	} else {
		add(&q->empty_reads, 1);
	}
	report(q, queue, EV_READ, tier, ROLE_KICK, ts, value);
}

/*
 * A signal to watched eventfd @ctx, by a write or in the kernel.  @until: how its end is
 * known, @fd: with OP_SYSCALL.
 */
static __always_inline void on_signal(__u64 ctx, struct watch *w, __u64 value, __u8 tier,
				      __u8 flags, __u8 until, __s32 fd)
{
	struct qstate *q = state_of(w->queue);
	__u64 ts = clock();
	struct op *op;

	if (!q)
		return;
	if (!want_clock) {
		add(w->role == ROLE_KICK ? &q->kicks : &q->n[EV_CALL], value);
		return;
	}
	op = w->hint ? task_op() : NULL;
	if (op) {
		op->ctx = ctx;
		op->ts = ts;
		op->queue = w->queue;
		op->role = w->role;
		op->until = until;
		op->written = fd;
	}
	if (w->role == ROLE_KICK) {
		add(&q->kicks, value);
		on_kick(q, w->queue, ts, value, tier, flags);
	}
	if (w->role == ROLE_CALL)
		on_call(q, w->queue, ts, value, tier, flags);
}

/* How long a signal may take whose end is not seen. */
#define OP_NS 50000

static __always_inline bool in_write(__s32 fd)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	long nr = SYSCALL_NUMBER(regs);

	return (nr == NR_write || nr == NR_writev) &&
	       (__s32)PARM1(regs) == fd;
}

/* What this task signals at the moment; NULL: nothing. */
static __always_inline struct op *signalling_op(__u64 ts, __u8 role)
{
	struct op *op = bpf_task_storage_get(&ops, bpf_get_current_task_btf(), 0, 0);

	if (!op || !op->ctx || op->role != role)
		return NULL;
	if ((op->until == OP_TIME && ts - op->ts >= OP_NS) ||
	    (op->until == OP_SYSCALL && !in_write(op->written)))
		return NULL;
	return op;
}

/* The write that signalled is over: what is woken later is not its doing. */
static __always_inline void signal_over(void)
{
	struct op *op = bpf_task_storage_get(&ops, bpf_get_current_task_btf(), 0, 0);

	if (op)
		op->ctx = 0;
}

/* A signal that was refused, since the counter is full: it has not happened. */
static __always_inline void on_signal_failed(__u64 ctx, struct watch *w, __u64 value)
{
	struct qstate *q = state_of(w->queue);

	if (!q)
		return;
	if (w->role == ROLE_CALL)
		add(&q->failed_calls, 1);
	else if (w->role == ROLE_KICK) {
		add(&q->kicks, -value);
	}
}

/* A read of a watched eventfd; -1 in @value: what it gave is to be reckoned. */
static __always_inline void on_eventfd_read(__u64 ctx, struct watch *w, long ret, __u64 value,
					    __u8 tier)
{
	struct qstate *q = state_of(w->queue);
	__u64 ts;

	if (!q)
		return;
	ts = clock();
	if (ret > 0 && value == ~0ULL) {
		__s64 left = count_of(ctx), known = q->kicks - q->consumed;

		value = known > left ? known - left : 1;
	}
	if (w->role == ROLE_KICK)
		on_read(q, w->queue, ts, ret > 0 ? value : 0, tier);
	else if (w->role == ROLE_CALL && ret > 0)
		on_inject(q, w->queue, ts, value, EV_CONSUME, tier);
}

#endif
