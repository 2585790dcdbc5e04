/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few structures of the kernel that the programs look into, and of each the few
 * members.  Offsets are those of the running kernel: libbpf relocates every access by
 * the names here, so neither a machine's BTF nor its headers are needed to build.
 */
#ifndef VU_TRACE_KERNEL_BPF_H
#define VU_TRACE_KERNEL_BPF_H

/* Tells libbpf's headers that struct pt_regs is the kernel's own. */
#define __VMLINUX_H__

#include <stdbool.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define KERNEL __attribute__((preserve_access_index))

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
} KERNEL;
/* Of registers that the verifier knows for such. */
#define SYSCALL_NUMBER(regs) ((long)(regs)->orig_ax)
#define PARM1(regs)	     ((regs)->di)
#define PARM2(regs)	     ((regs)->si)
#define NR_read	   0
#define NR_write   1
#define NR_readv   19
#define NR_writev  20
#define NR_recvmsg 47
#define NR_recvfrom 45
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31], sp, pc, pstate;
} KERNEL;
struct pt_regs {
	union {
		struct user_pt_regs user_regs;
		struct {
			__u64 regs[31], sp, pc, pstate;
		};
	};
	__u64 orig_x0;
	__s32 syscallno;
} KERNEL;
#define SYSCALL_NUMBER(regs) ((long)(regs)->syscallno)
#define PARM1(regs)	     ((regs)->orig_x0)
#define PARM2(regs)	     ((regs)->regs[1])
#define NR_read	   63
#define NR_write   64
#define NR_readv   65
#define NR_writev  66
#define NR_recvmsg 212
#define NR_recvfrom 207
#else
#error "vu-trace has programs for x86 and arm64"
#endif

struct list_head {
	struct list_head *next, *prev;
} KERNEL;

struct wait_queue_head {
	struct list_head head;
} KERNEL;
typedef struct wait_queue_head wait_queue_head_t;

struct wait_queue_entry {
	void *private;
	void *func;
	struct list_head entry;
} KERNEL;
typedef struct wait_queue_entry wait_queue_entry_t;

/* --- files --- */

struct qstr {
	const unsigned char *name;
} KERNEL;

struct dentry {
	struct qstr d_name;
} KERNEL;

struct path {
	struct dentry *dentry;
} KERNEL;

struct file {
	const void *f_op;
	void *private_data;
	struct path f_path;
} KERNEL;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} KERNEL;

struct files_struct {
	struct fdtable *fdt;
} KERNEL;

struct task_struct {
	int pid, tgid;
	struct files_struct *files;
	char comm[16];
} KERNEL;

struct poll_wqueues {
	struct task_struct *polling_task;
} KERNEL;

struct kiocb {
	struct file *ki_filp;
} KERNEL;

struct bpf_iter_meta {
	struct seq_file *seq;
} KERNEL;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
} KERNEL;

/* --- eventfds --- */

struct eventfd_ctx {
	wait_queue_head_t wqh;
	__u64 count;
	unsigned int flags;
	int id;
} KERNEL;

/* --- KVM's tables --- */

struct kvm_io_device {
	const void *ops;
} KERNEL;

struct _ioeventfd {
	struct list_head list;
	__u64 addr;
	int length;
	struct eventfd_ctx *eventfd;
	__u64 datamatch;
	__u8 bus_idx;
	bool wildcard;
} KERNEL;

struct kvm_kernel_irq_routing_entry {
	__u32 gsi;
	__u32 type;
	union {
		struct {
			__u32 address_lo, address_hi, data;
		} msi;
	};
} KERNEL;

struct kvm_kernel_irqfd {
	wait_queue_entry_t wait;
	struct kvm_kernel_irq_routing_entry irq_entry;
	int gsi;
	struct eventfd_ctx *eventfd;
	struct list_head list;
} KERNEL;

struct kvm {
	struct {
		struct list_head items;
	} irqfds;
	struct list_head ioeventfds;
} KERNEL;

/* --- io_uring --- */

struct io_kiocb {
	__u8 opcode;
} KERNEL;

/* --- sockets, and what user space passes to recvmsg() --- */

struct msghdr {
	__u64 msg_controllen; /* room that is left */
} KERNEL;

struct user_msghdr {
	void *msg_name;
	int msg_namelen;
	struct user_iovec *msg_iov;
	__u64 msg_iovlen;
	void *msg_control;
	__u64 msg_controllen;
	unsigned int msg_flags;
};

struct user_iovec {
	void *iov_base;
	__u64 iov_len;
};

struct user_cmsghdr {
	__u64 cmsg_len;
	int cmsg_level;
	int cmsg_type;
};

#endif
