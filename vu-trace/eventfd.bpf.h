/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tiers A and B: programs at the eventfds' own functions.  They run for eventfds only,
 * whoever uses them and how: write(2), io_uring, KVM.
 */
#ifndef VU_TRACE_EVENTFD_BPF_H
#define VU_TRACE_EVENTFD_BPF_H

#include "trace.bpf.h"

static __always_inline __u64 user_value(const void *buf)
{
	__u64 value = 1;

	/* The page is there: the caller has just written it. */
	if (bpf_probe_read_user(&value, sizeof(value), buf))
		value = 1;
	return value;
}

/*
 * Some kernels have eventfd_signal() and eventfd_signal_mask(), the one calling the
 * other or having a copy of it: the task remembers that it is in the first.
 */
static __always_inline void signal_in_kernel(__u64 ctx, __u64 n, __u8 tier)
{
	struct watch *w = watch_of(ctx);

	if (w)
		on_signal(ctx, w, n, tier, EVF_IN_KERNEL, OP_TIME, -1);
}

static __always_inline void signal_begin(__u64 ctx, __u64 n, __u8 tier)
{
	struct op *op;

	if (!watch_of(ctx))
		return;
	signal_in_kernel(ctx, n, tier);
	op = task_op();
	if (op)
		op->signalling = ctx;
}

static __always_inline void signal_end(void)
{
	struct op *op = bpf_task_storage_get(&ops, bpf_get_current_task_btf(), 0, 0);

	if (op)
		op->signalling = 0;
}

static __always_inline void signal_mask(__u64 ctx, __u64 n, __u8 tier)
{
	struct op *op;

	if (!watch_of(ctx))
		return;
	op = bpf_task_storage_get(&ops, bpf_get_current_task_btf(), 0, 0);
	if (op && op->signalling == ctx)
		return;
	signal_in_kernel(ctx, n, tier);
}

/* --- A --- */

SEC("?fentry/eventfd_write")
int BPF_PROG(fentry_write, struct file *file, const char *buf)
{
	__u64 efd = (__u64)file->private_data;
	struct watch *w = watch_of(efd);

	if (w)
		on_signal(efd, w, user_value(buf), TIER_FENTRY, 0, OP_SEEN, -1);
	return 0;
}

SEC("?fexit/eventfd_write")
int BPF_PROG(fexit_write, struct file *file, const char *buf, __u64 count, void *pos,
	     long ret)
{
	__u64 efd = (__u64)file->private_data;

	struct watch *w = watch_of(efd);

	if (!w)
		return 0;
	if (ret < 0)
		on_signal_failed(efd, w, user_value(buf));
	signal_over();
	return 0;
}

SEC("?fexit/eventfd_read")
int BPF_PROG(fexit_read, struct kiocb *iocb, void *to, long ret)
{
	__u64 efd = (__u64)iocb->ki_filp->private_data;
	struct watch *w = watch_of(efd);

	if (w)
		on_eventfd_read(efd, w, ret, ~0ULL, TIER_FENTRY);
	return 0;
}

SEC("?fentry/eventfd_signal")
int BPF_PROG(fentry_signal, struct eventfd_ctx *efd, __u64 n)
{
	signal_begin((__u64)efd, n, TIER_FENTRY);
	return 0;
}

SEC("?fexit/eventfd_signal")
int BPF_PROG(fexit_signal)
{
	signal_end();
	return 0;
}

/* With the number to add, before 6.8. */
SEC("?fentry/eventfd_signal_mask")
int BPF_PROG(fentry_signal_mask_n, struct eventfd_ctx *efd, __u64 n, unsigned int mask)
{
	signal_mask((__u64)efd, n, TIER_FENTRY);
	return 0;
}

SEC("?fentry/eventfd_signal_mask")
int BPF_PROG(fentry_signal_mask, struct eventfd_ctx *efd, unsigned int mask)
{
	signal_mask((__u64)efd, 1, TIER_FENTRY);
	return 0;
}

/* --- B --- */

/*
 * A kprobe's arguments can be read by a helper only, which costs more than all else that
 * is done for an eventfd of others: the first few are known by their open file, which an
 * eventfd has one of as long as it lives.
 */
static __always_inline struct watch *watch_of_file(struct file *file, __u64 *efd)
{
	bool known = true;

	for (int i = 0; i < WATCH_FEW; i++) {
		struct few *f = &few[i];

		*efd = f->ctx;
		if (!*efd)
			break;
		if (f->at[0].file == (__u64)file || f->at[1].file == (__u64)file)
			return &f->w;
		known &= f->at[0].file || f->at[1].file;
	}
	if (known && !many)
		return NULL;
	*efd = (__u64)BPF_CORE_READ(file, private_data);
	return watch_of(*efd);
}

SEC("?kprobe/eventfd_write")
int BPF_KPROBE(kprobe_write, struct file *file, const char *buf)
{
	struct pt_regs *regs;
	struct watch *w;
	__u64 efd;
	long nr;

	w = watch_of_file(file, &efd);
	if (!w)
		return 0;
	if (!w->hint) {
		on_signal(efd, w, user_value(buf), TIER_KPROBE, 0, OP_TIME, -1);
		return 0;
	}
	regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	nr = SYSCALL_NUMBER(regs);
	if (nr == NR_write || nr == NR_writev)
		on_signal(efd, w, user_value(buf), TIER_KPROBE, 0, OP_SYSCALL, PARM1(regs));
	else
		on_signal(efd, w, user_value(buf), TIER_KPROBE, 0, OP_TIME, -1);
	return 0;
}

SEC("?kprobe/eventfd_read")
int BPF_KPROBE(kprobe_read, struct kiocb *iocb)
{
	struct op *op;
	__u64 efd;

	if (!watch_of_file(BPF_CORE_READ(iocb, ki_filp), &efd))
		return 0;
	op = task_op();
	if (op)
		op->reading = efd;
	return 0;
}

SEC("?kretprobe/eventfd_read")
int BPF_KRETPROBE(kretprobe_read, long ret)
{
	struct op *op = bpf_task_storage_get(&ops, bpf_get_current_task_btf(), 0, 0);
	struct watch *w;
	__u64 efd;

	if (!op || !op->reading)
		return 0;
	efd = op->reading;
	op->reading = 0;
	w = watch_of(efd);
	if (w)
		on_eventfd_read(efd, w, ret, ~0ULL, TIER_KPROBE);
	return 0;
}

SEC("?kprobe/eventfd_signal")
int BPF_KPROBE(kprobe_signal, struct eventfd_ctx *efd, __u64 n)
{
	signal_begin((__u64)efd, n, TIER_KPROBE);
	return 0;
}

SEC("?kretprobe/eventfd_signal")
int BPF_KRETPROBE(kretprobe_signal)
{
	signal_end();
	return 0;
}

SEC("?kprobe/eventfd_signal_mask")
int BPF_KPROBE(kprobe_signal_mask_n, struct eventfd_ctx *efd, __u64 n)
{
	signal_mask((__u64)efd, n, TIER_KPROBE);
	return 0;
}

SEC("?kprobe/eventfd_signal_mask")
int BPF_KPROBE(kprobe_signal_mask, struct eventfd_ctx *efd)
{
	signal_mask((__u64)efd, 1, TIER_KPROBE);
	return 0;
}

#endif
