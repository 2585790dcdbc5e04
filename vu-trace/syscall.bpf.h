/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls.  Tier C sees writes and reads of eventfds at sys_enter and sys_exit,
 * which slows every system call of every process.  Messages of the vhost-user protocol
 * are seen where a Unix socket is read (A, B), or at sys_exit too.
 */
#ifndef VU_TRACE_SYSCALL_BPF_H
#define VU_TRACE_SYSCALL_BPF_H

#include "eventfd.bpf.h"

#define SOL_SOCKET  1
#define SCM_RIGHTS  1
#define HEADER_SIZE 12

enum { SET_VRING_KICK = 12, SET_VRING_CALL = 13, SET_VRING_ERR = 14, MAX_REQUEST = 64 };

struct header {
	__u32 request;
	__u32 flags;
	__u32 size;
};

/* --- messages --- */

static __always_inline __s32 passed_fd(const struct user_msghdr *m)
{
	struct user_cmsghdr c;
	__s32 fd = -1;

	if (!m->msg_control || bpf_probe_read_user(&c, sizeof(c), m->msg_control))
		return -1;
	if (c.cmsg_level == SOL_SOCKET && c.cmsg_type == SCM_RIGHTS &&
	    c.cmsg_len >= sizeof(c) + sizeof(fd))
		bpf_probe_read_user(&fd, sizeof(fd), m->msg_control + sizeof(c));
	return fd;
}

static __always_inline bool is_header(const struct header *h, long len)
{
	return h->request && h->request < MAX_REQUEST && (h->flags & 3) == 1 &&
	       !(h->flags & ~0xfU) && h->size <= 4096 &&
	       (len == HEADER_SIZE || len == HEADER_SIZE + (long)h->size);
}

static __always_inline void on_message(__u32 kind, __u32 request, __u64 payload, __s32 fd)
{
	struct event e;

	fill(&e, kind, tier_eventfd, ROLE_NONE, NO_QUEUE, bpf_ktime_get_ns(), payload);
	e.aux = fd;
	e.other = request;
	if (kind == EV_TABLE)
		e.role = request == SET_VRING_KICK   ? ROLE_KICK
			 : request == SET_VRING_CALL ? ROLE_CALL
						     : ROLE_ERR;
	hand_over(&e);
}

static __always_inline void on_recvmsg(__s32 sock, const void *user, long len)
{
	struct user_msghdr m;
	struct user_iovec v;
	struct header h = {};
	__u64 payload = 0;
	struct op *op;
	__s32 fd;

	if (bpf_probe_read_user(&m, sizeof(m), user) || !m.msg_iovlen ||
	    bpf_probe_read_user(&v, sizeof(v), m.msg_iov))
		return;
	op = task_op();
	if (!op)
		return;
	if (op->request && op->sock == sock && len == sizeof(payload)) {
		bpf_probe_read_user(&payload, sizeof(payload), v.iov_base);
		on_message(EV_TABLE, op->request, payload, op->fd);
		op->request = 0;
		return;
	}
	if (len < HEADER_SIZE || v.iov_len < HEADER_SIZE ||
	    bpf_probe_read_user(&h, sizeof(h), v.iov_base) || !is_header(&h, len))
		return;
	fd = passed_fd(&m);
	on_message(EV_MSG, h.request, h.size, fd);
	if (h.request < SET_VRING_KICK || h.request > SET_VRING_ERR ||
	    h.size != sizeof(payload))
		return;
	if (len == HEADER_SIZE) {
		op->request = h.request;
		op->sock = sock;
		op->fd = fd;
		return;
	}
	if (v.iov_len >= HEADER_SIZE + sizeof(payload))
		bpf_probe_read_user(&payload, sizeof(payload), v.iov_base + HEADER_SIZE);
	else if (!bpf_probe_read_user(&v, sizeof(v), m.msg_iov + 1))
		bpf_probe_read_user(&payload, sizeof(payload), v.iov_base);
	on_message(EV_TABLE, h.request, payload, fd);
}

/* The rest of a message whose header came with recvmsg(). */
static __always_inline void on_recv(__s32 sock, const void *buf, long len)
{
	struct op *op = bpf_task_storage_get(&ops, bpf_get_current_task_btf(), 0, 0);
	__u64 payload = 0;

	if (!op || !op->request || op->sock != sock || len != sizeof(payload))
		return;
	bpf_probe_read_user(&payload, sizeof(payload), buf);
	on_message(EV_TABLE, op->request, payload, op->fd);
	op->request = 0;
}

/* A socket was read in this system call. */
static __always_inline void socket_read(struct pt_regs *regs, long ret)
{
	long nr = SYSCALL_NUMBER(regs);
	__s32 fd = PT_REGS_PARM1_CORE_SYSCALL(regs);
	const void *arg = (const void *)PT_REGS_PARM2_CORE_SYSCALL(regs);

	if (ret <= 0)
		return;
	if (nr == NR_recvmsg)
		on_recvmsg(fd, arg, ret);
	else if (nr == NR_read || nr == NR_recvfrom)
		on_recv(fd, arg, ret);
}

SEC("?fexit/unix_stream_recvmsg")
int BPF_PROG(fexit_unix, void *sock, void *msg, __u64 size, int flags, int ret)
{
	if (is_target(bpf_get_current_pid_tgid() >> 32))
		socket_read((void *)bpf_task_pt_regs(bpf_get_current_task_btf()), ret);
	return 0;
}

SEC("?kretprobe/unix_stream_recvmsg")
int BPF_KRETPROBE(kretprobe_unix, int ret)
{
	if (is_target(bpf_get_current_pid_tgid() >> 32))
		socket_read((void *)bpf_task_pt_regs(bpf_get_current_task_btf()), ret);
	return 0;
}

/* --- tier C --- */

static __always_inline __u64 written_value(long nr, const void *arg)
{
	struct user_iovec v;

	if (nr == NR_write)
		return user_value(arg);
	return bpf_probe_read_user(&v, sizeof(v), arg) ? 1 : user_value(v.iov_base);
}

SEC("?tp_btf/sys_enter")
int BPF_PROG(enter, struct pt_regs *regs, long nr)
{
	__u64 efd;

	if (nr != NR_write && nr != NR_writev)
		return 0;
	if (!is_target(bpf_get_current_pid_tgid() >> 32))
		return 0;
	efd = ctx_of_fd(PT_REGS_PARM1_CORE_SYSCALL(regs));
	if (efd)
		on_signal(efd,
			  written_value(nr, (const void *)PT_REGS_PARM2_CORE_SYSCALL(regs)),
			  TIER_TRACEPOINT, 0);
	return 0;
}

SEC("?tp_btf/sys_exit")
int BPF_PROG(leave, struct pt_regs *regs, long ret)
{
	long nr;
	const void *arg;
	__u64 efd;

	if (!is_target(bpf_get_current_pid_tgid() >> 32))
		return 0;
	nr = SYSCALL_NUMBER(regs);
	if (nr == NR_recvmsg || nr == NR_recvfrom)
		socket_read(regs, ret);
	if (nr == NR_write || nr == NR_writev)
		signal_over();
	if (nr != NR_read && nr != NR_readv &&
	    ((nr != NR_write && nr != NR_writev) || ret >= 0))
		return 0;
	efd = ctx_of_fd(PT_REGS_PARM1_CORE_SYSCALL(regs));
	arg = (const void *)PT_REGS_PARM2_CORE_SYSCALL(regs);
	if (!efd) {
		if (nr == NR_read)
			on_recv(PT_REGS_PARM1_CORE_SYSCALL(regs), arg, ret);
		return 0;
	}
	if (nr == NR_write || nr == NR_writev)
		on_signal_failed(efd, written_value(nr, arg));
	else if (ret > 0 || ret == -EAGAIN)
		on_eventfd_read(efd, ret, ret > 0 ? written_value(nr == NR_read ? NR_write : NR_writev, arg) : 0,
				TIER_TRACEPOINT);
	return 0;
}

/* --- tier C: io_uring, which makes no system call for it --- */

enum { IORING_READV = 1, IORING_WRITEV = 2, IORING_READ = 22, IORING_WRITE = 23 };

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} ring_reads SEC(".maps");

SEC("?tp_btf/io_uring_file_get")
int BPF_PROG(ring_file, struct io_kiocb *req, int fd)
{
	__u8 op = req->opcode;
	__u64 efd, key = (__u64)req;

	if (!is_target(bpf_get_current_pid_tgid() >> 32))
		return 0;
	if (op != IORING_READ && op != IORING_WRITE && op != IORING_READV &&
	    op != IORING_WRITEV)
		return 0;
	efd = ctx_of_fd(fd);
	if (!efd || !bpf_map_lookup_elem(&watched, &efd))
		return 0;
	/* What is written can't be seen here; a back-end or monitor adds 1. */
	if (op == IORING_WRITE || op == IORING_WRITEV)
		on_signal(efd, 1, TIER_TRACEPOINT, 0);
	else
		bpf_map_update_elem(&ring_reads, &key, &efd, BPF_ANY);
	return 0;
}

/* What comes behind the request differs between kernels: the counter tells the result. */
SEC("?tp_btf/io_uring_complete")
int BPF_PROG(ring_complete, void *ring, void *req)
{
	__u64 key = (__u64)req, *efd = bpf_map_lookup_elem(&ring_reads, &key);
	struct watch *w = efd ? watch_of(*efd) : NULL;
	struct qstate *q = w ? state_of(w->queue) : NULL;

	if (q)
		on_eventfd_read(*efd, q->pending > (__s64)count_of(*efd) ? 1 : -EAGAIN,
				~0ULL, TIER_TRACEPOINT);
	if (efd)
		bpf_map_delete_elem(&ring_reads, &key);
	return 0;
}

#endif
