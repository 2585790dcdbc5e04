/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks the files of all processes: eventfds, and behind the file of a KVM machine the
 * tables that say which of the guest's stores signals which eventfd, and which eventfd
 * raises which interrupt.  Runs in the process that reads the iterator.
 */
#include "kernel.bpf.h"

#include "scan.h"

#define MAX_TABLE   1024
#define MAX_WAITERS 8

/*
 * The kernel does not export what its eventfds and those who wait for them are known by:
 * the tool opens one eventfd of its own, puts it into an epoll set, and has a thread
 * sleep in poll() on it.  The first walk learns from that.
 */
const volatile __u32 own_tgid;
const volatile __s32 own_fd;
__u64 eventfd_fops;
__u64 epoll_callback;
__u64 poll_callback;

static __always_inline bool is_kvm(struct file *file)
{
	char name[8] = {};

	bpf_probe_read_kernel_str(name, sizeof(name),
				  BPF_CORE_READ(file, f_path.dentry, d_name.name));
	return name[0] == 'k' && name[1] == 'v' && name[2] == 'm' && name[3] == '-' &&
	       name[4] == 'v' && name[5] == 'm' && !name[6];
}

static __always_inline __u32 polling_tgid(wait_queue_entry_t *w)
{
	struct poll_wqueues *table = (struct poll_wqueues *)BPF_CORE_READ(w, private);

	return BPF_CORE_READ(table, polling_task, tgid);
}

/* Who waits at the eventfd.  Entries may come and go meanwhile. */
static __always_inline void waiters(struct eventfd_ctx *ctx, struct scan_rec *r)
{
	struct list_head *head = &ctx->wqh.head, *pos = BPF_CORE_READ(ctx, wqh.head.next);
	bool own = r->tgid == own_tgid && r->eventfd.fd == own_fd;

	for (int i = 0; i < MAX_WAITERS && pos && pos != head; i++) {
		wait_queue_entry_t *w =
			(void *)pos - bpf_core_field_offset(struct wait_queue_entry, entry);
		__u64 func = (__u64)BPF_CORE_READ(w, func);
		bool polled = BPF_CORE_READ(w, private) != NULL;

		if (own && polled)
			poll_callback = func;
		else if (own)
			epoll_callback = func;
		if (func == epoll_callback)
			r->eventfd.epolls++;
		else if (func == poll_callback)
			r->eventfd.poller = polling_tgid(w);
		else
			r->eventfd.others++;
		pos = BPF_CORE_READ(w, entry.next);
	}
}

static __always_inline void walk_ioeventfds(struct seq_file *seq, struct kvm *kvm,
					    __u32 tgid)
{
	struct list_head *head = &kvm->ioeventfds;
	struct list_head *pos = BPF_CORE_READ(kvm, ioeventfds.next);
	struct scan_rec r = {.what = SCAN_IOEVENTFD, .tgid = tgid};

	r.ioeventfd.vm = (__u64)kvm;
	for (int i = 0; i < MAX_TABLE; i++) {
		struct _ioeventfd *p;

		if (!pos || pos == head)
			return;
		p = (void *)pos - bpf_core_field_offset(struct _ioeventfd, list);
		r.obj = (__u64)BPF_CORE_READ(p, eventfd);
		r.ioeventfd.addr = BPF_CORE_READ(p, addr);
		r.ioeventfd.match = BPF_CORE_READ(p, datamatch);
		r.ioeventfd.length = BPF_CORE_READ(p, length);
		r.ioeventfd.bus = BPF_CORE_READ(p, bus_idx);
		r.ioeventfd.wildcard = BPF_CORE_READ(p, wildcard);
		bpf_seq_write(seq, &r, sizeof(r));
		pos = BPF_CORE_READ(p, list.next);
	}
	r.what = SCAN_CUT;
	bpf_seq_write(seq, &r, sizeof(r));
}

static __always_inline void walk_irqfds(struct seq_file *seq, struct kvm *kvm, __u32 tgid)
{
	struct list_head *head = &kvm->irqfds.items;
	struct list_head *pos = BPF_CORE_READ(kvm, irqfds.items.next);
	struct scan_rec r = {.what = SCAN_IRQFD, .tgid = tgid};

	r.irqfd.vm = (__u64)kvm;
	for (int i = 0; i < MAX_TABLE; i++) {
		struct kvm_kernel_irqfd *p;

		if (!pos || pos == head)
			return;
		p = (void *)pos - bpf_core_field_offset(struct kvm_kernel_irqfd, list);
		r.obj = (__u64)BPF_CORE_READ(p, eventfd);
		r.irqfd.gsi = BPF_CORE_READ(p, gsi);
		r.irqfd.type = BPF_CORE_READ(p, irq_entry.type);
		r.irqfd.msi_address = (__u64)BPF_CORE_READ(p, irq_entry.msi.address_hi) << 32 |
				      BPF_CORE_READ(p, irq_entry.msi.address_lo);
		r.irqfd.msi_data = BPF_CORE_READ(p, irq_entry.msi.data);
		bpf_seq_write(seq, &r, sizeof(r));
		pos = BPF_CORE_READ(p, list.next);
	}
	r.what = SCAN_CUT;
	bpf_seq_write(seq, &r, sizeof(r));
}

static __always_inline void found_kvm(struct seq_file *seq, struct file *file, __u32 tgid)
{
	struct kvm *kvm = BPF_CORE_READ(file, private_data);
	struct scan_rec r = {.what = SCAN_VM, .tgid = tgid, .obj = (__u64)kvm};

	bpf_seq_write(seq, &r, sizeof(r));
	/* KVM may be a module whose types are not known. */
	if (bpf_core_type_exists(struct kvm) && bpf_core_type_exists(struct _ioeventfd))
		walk_ioeventfds(seq, kvm, tgid);
	if (bpf_core_type_exists(struct kvm) &&
	    bpf_core_type_exists(struct kvm_kernel_irqfd))
		walk_irqfds(seq, kvm, tgid);
}

SEC("iter/task_file")
int scan_files(struct bpf_iter__task_file *it)
{
	struct seq_file *seq = it->meta->seq;
	struct task_struct *task = it->task;
	struct file *file = it->file;
	struct scan_rec r = {.what = SCAN_EVENTFD};
	struct eventfd_ctx *ctx;

	/* The threads of a process share its files. */
	if (!task || !file || task->pid != task->tgid)
		return 0;
	if (task->tgid == own_tgid && it->fd == own_fd)
		eventfd_fops = (__u64)file->f_op;
	if ((__u64)file->f_op != eventfd_fops) {
		if (eventfd_fops && is_kvm(file))
			found_kvm(seq, file, task->tgid);
		return 0;
	}
	ctx = file->private_data;
	r.tgid = task->tgid;
	r.obj = (__u64)ctx;
	r.eventfd.fd = it->fd;
	r.eventfd.file = (__u64)file;
	r.eventfd.count = BPF_CORE_READ(ctx, count);
	r.eventfd.flags = BPF_CORE_READ(ctx, flags);
	r.eventfd.id = -1;
	if (bpf_core_field_exists(ctx->id))
		r.eventfd.id = BPF_CORE_READ(ctx, id);
	waiters(ctx, &r);
	bpf_seq_write(seq, &r, sizeof(r));
	return 0;
}

char _license[] SEC("license") = "GPL";
