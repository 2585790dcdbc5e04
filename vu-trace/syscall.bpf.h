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

/* @used: bytes of control data that came. */
static __always_inline __s32 passed_fd(const struct user_msghdr *m, __u64 used)
{
	struct user_cmsghdr c;
	__s32 fd = -1;

	if (!m->msg_control || used < sizeof(c) + sizeof(fd) ||
	    bpf_probe_read_user(&c, sizeof(c), m->msg_control))
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

static __always_inline void on_message(__u32 request, __u64 size, __s32 fd)
{
	struct event e;

	if (!wanted(EV_MSG))
		return;
	fill(&e, EV_MSG, tier_eventfd, ROLE_NONE, NO_QUEUE, bpf_ktime_get_ns(), size);
	e.aux = fd;
	e.other = request;
	hand_over(&e);
}

/* A message gave eventfd @efd, or none, to the queue in @payload. */
static __always_inline void on_table(__u32 request, __u64 payload, __s32 fd, __u64 efd)
{
	struct eventfd_ctx *p = (void *)efd;
	__u32 id = TABLE_NO_ID;
	struct event e;

	if (efd && bpf_core_field_exists(p->id))
		id = BPF_CORE_READ(p, id) & TABLE_NO_ID;
	fill(&e, EV_TABLE, tier_eventfd,
	     request == SET_VRING_KICK	 ? ROLE_KICK
	     : request == SET_VRING_CALL ? ROLE_CALL
					 : ROLE_ERR,
	     NO_QUEUE, bpf_ktime_get_ns(), efd);
	e.aux = fd;
	e.other = (payload & TABLE_QUEUE) | id << TABLE_ID_SHIFT;
	hand_over(&e);
}

/* The payload of the message whose header came before. */
static __always_inline void on_payload(struct op *op, const void *buf)
{
	__u64 payload = 0;

	bpf_probe_read_user(&payload, sizeof(payload), buf);
	on_table(op->request, payload, op->fd, op->passed);
	op->request = 0;
}

static __always_inline void on_recvmsg(__s32 sock, const void *user, long len, __u64 left)
{
	struct user_msghdr m;
	struct user_iovec v;
	struct header h = {};
	__u64 payload = 0, efd = 0;
	struct op *op;
	__s32 fd;

	if (bpf_probe_read_user(&m, sizeof(m), user) || !m.msg_iovlen ||
	    bpf_probe_read_user(&v, sizeof(v), m.msg_iov))
		return;
	op = task_op();
	if (!op)
		return;
	if (op->request && op->sock == sock && len == sizeof(payload)) {
		on_payload(op, v.iov_base);
		return;
	}
	if (len < HEADER_SIZE || v.iov_len < HEADER_SIZE ||
	    bpf_probe_read_user(&h, sizeof(h), v.iov_base) || !is_header(&h, len))
		return;
	fd = passed_fd(&m, m.msg_controllen > left ? m.msg_controllen - left : 0);
	on_message(h.request, h.size, fd);
	if (h.request < SET_VRING_KICK || h.request > SET_VRING_ERR ||
	    h.size != sizeof(payload))
		return;
	/* Now: the process may close it, and use its number again, before anybody looks. */
	if (fd >= 0)
		efd = eventfd_of_fd(fd);
	if (len == HEADER_SIZE) {
		op->request = h.request;
		op->sock = sock;
		op->fd = fd;
		op->passed = efd;
		return;
	}
	if (v.iov_len >= HEADER_SIZE + sizeof(payload))
		bpf_probe_read_user(&payload, sizeof(payload), v.iov_base + HEADER_SIZE);
	else if (!bpf_probe_read_user(&v, sizeof(v), m.msg_iov + 1))
		bpf_probe_read_user(&payload, sizeof(payload), v.iov_base);
	on_table(h.request, payload, fd, efd);
}

/* The rest of a message whose header came with recvmsg(). */
static __always_inline void on_recv(__s32 sock, const void *buf, long len)
{
	struct op *op = bpf_task_storage_get(&ops, bpf_get_current_task_btf(), 0, 0);

	if (op && op->request && op->sock == sock && len == sizeof(__u64))
		on_payload(op, buf);
}

/*
 * A socket was read in this system call.  @left: of the room for control data, what is
 * unused; the user's structure tells only when the call is over.
 */
static __always_inline void socket_read(struct pt_regs *regs, long ret, __u64 left)
{
	long nr = SYSCALL_NUMBER(regs);
	__s32 fd = PARM1(regs);
	const void *arg = (const void *)PARM2(regs);

	if (ret <= 0)
		return;
	if (nr == NR_recvmsg)
		on_recvmsg(fd, arg, ret, left);
	else if (nr == NR_read || nr == NR_recvfrom)
		on_recv(fd, arg, ret);
}

SEC("?fexit/unix_stream_recvmsg")
int BPF_PROG(fexit_unix, void *sock, struct msghdr *msg, __u64 size, int flags, int ret)
{
	if (is_target(bpf_get_current_pid_tgid() >> 32))
		socket_read((void *)bpf_task_pt_regs(bpf_get_current_task_btf()), ret,
			    msg->msg_controllen);
	return 0;
}

/* The message a thread is receiving. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} receiving SEC(".maps");

SEC("?kprobe/unix_stream_recvmsg")
int BPF_KPROBE(kprobe_unix, void *sock, struct msghdr *msg)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 at = (__u64)msg;

	if (is_target(bpf_get_current_pid_tgid() >> 32))
		bpf_map_update_elem(&receiving, &tid, &at, BPF_ANY);
	return 0;
}

SEC("?kretprobe/unix_stream_recvmsg")
int BPF_KRETPROBE(kretprobe_unix, int ret)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 *msg = bpf_map_lookup_elem(&receiving, &tid);

	if (!msg)
		return 0;
	socket_read((void *)bpf_task_pt_regs(bpf_get_current_task_btf()), ret,
		    BPF_CORE_READ((struct msghdr *)*msg, msg_controllen));
	bpf_map_delete_elem(&receiving, &tid);
	return 0;
}

/* --- tier C --- */

/*
 * Tier C takes each write for a kick or call of 1, which is what monitors and back-ends
 * write: to look at the value would cost more than all the rest.
 */
SEC("?tp_btf/sys_enter")
int BPF_PROG(enter, struct pt_regs *regs, long nr)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct watch *w;
	__u64 efd;
	__s32 fd;

	if (nr != NR_write && nr != NR_writev)
		return 0;
	if (!is_target(tgid))
		return 0;
	fd = PARM1(regs);
	w = watch_of_fd(tgid, fd, &efd);
	if (w)
		on_signal(efd, w, 1, TIER_TRACEPOINT, 0, OP_SYSCALL, fd);
	return 0;
}

/* What a read gave; ~0: to be reckoned, if all that was signalled is known. */
static __always_inline __u64 value_read(const struct watch *w, long nr, const void *arg)
{
	struct user_iovec v;

	if (!w->unseen)
		return ~0ULL;
	if (nr == NR_read)
		return user_value(arg);
	return bpf_probe_read_user(&v, sizeof(v), arg) ? 1 : user_value(v.iov_base);
}

static __always_inline bool interesting(long nr, long ret)
{
	return nr == NR_read || nr == NR_readv || nr == NR_recvmsg || nr == NR_recvfrom ||
	       ((nr == NR_write || nr == NR_writev) && ret < 0);
}

SEC("?tp_btf/sys_exit")
int BPF_PROG(leave, struct pt_regs *regs, long ret)
{
	long nr = SYSCALL_NUMBER(regs);
	const void *arg;
	struct watch *w;
	__u32 tgid;
	__u64 efd;

	if (!interesting(nr, ret))
		return 0;
	tgid = bpf_get_current_pid_tgid() >> 32;
	if (!is_target(tgid))
		return 0;
	if (nr == NR_recvmsg || nr == NR_recvfrom) {
		socket_read(regs, ret, 0);
		return 0;
	}
	w = watch_of_fd(tgid, PARM1(regs), &efd);
	arg = (const void *)PARM2(regs);
	if (!w) {
		if (nr == NR_read)
			on_recv(PARM1(regs), arg, ret);
		return 0;
	}
	if (nr == NR_write || nr == NR_writev)
		on_signal_failed(efd, w, 1);
	else if (ret > 0)
		on_eventfd_read(efd, w, ret, value_read(w, nr, arg), TIER_TRACEPOINT);
	else if (ret == -EAGAIN)
		on_eventfd_read(efd, w, ret, 0, TIER_TRACEPOINT);
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
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u64 efd, key = (__u64)req;
	__u8 op = req->opcode;
	struct watch *w;

	if (op != IORING_READ && op != IORING_WRITE && op != IORING_READV &&
	    op != IORING_WRITEV)
		return 0;
	if (!is_target(tgid))
		return 0;
	w = watch_of_fd(tgid, fd, &efd);
	if (!w)
		return 0;
	if (op == IORING_WRITE || op == IORING_WRITEV)
		on_signal(efd, w, 1, TIER_TRACEPOINT, 0, OP_TIME, -1);
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
		on_eventfd_read(*efd, w,
				q->kicks - q->consumed > count_of(*efd) ? 1 : -EAGAIN, ~0ULL,
				TIER_TRACEPOINT);
	if (efd)
		bpf_map_delete_elem(&ring_reads, &key);
	return 0;
}

#endif
