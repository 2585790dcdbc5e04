/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine of a hundred bytes: real-mode code under KVM that stores to notification
 * addresses, which KVM turns into signals of eventfds, and a back-end that reads those
 * and signals its calls, which KVM turns into interrupts.  Both count what they do, so
 * that a tracer's counts can be held against it.
 *
 *	kvmlet --back-end SOCKET [OPTION]...	the back-end
 *	kvmlet SOCKET [OPTION]...		the monitor
 *
 * The monitor hands the eventfds over as vhost-user messages, says "ready" and waits for
 * a line on standard input before the guest runs; when it has, it says
 * "done queue=N kicks=N reads=N consumed=N calls=N" for each queue.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifdef KVMLET_URING
#include <liburing.h>
#endif

#define MAX_QUEUES 32
#define CODE	   0x1000
#define PORT	   0xc010  /* legacy notification: the value is the queue */
#define WINDOW	   0xd0000 /* modern: 4 bytes a queue */
#define PORT_TURN  0x10	   /* one turn is done */
#define PORT_END   0x11
#define FIRST_GSI  24
#define MSI_ADDRESS 0xfee00000
#define MSI_DATA    0x4041

enum { SET_VRING_KICK = 12, SET_VRING_CALL = 13, SET_VRING_ENABLE = 18, GIVE_COUNTS = 60 };

static struct {
	unsigned int queues;
	unsigned int turns;
	bool mmio, burst, no_irqfd, no_kvm, write_kicks, uring;
	/* The back-end's. */
	unsigned int handle_us, call_us, late_us, late_at;
	bool poll_mode, no_read, no_call;
} opt = {.queues = 1, .turns = 100};

struct counts {
	uint64_t reads, consumed, calls;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "kvmlet: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void wait_us(unsigned int us)
{
	struct timespec ts = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L};

	if (us)
		nanosleep(&ts, NULL);
}

/* --- messages --- */

struct message {
	uint32_t request, flags, size;
	uint64_t payload;
} __attribute__((packed));

static void send_message(int sock, uint32_t request, uint64_t payload, int fd)
{
	struct message m = {request, 1, sizeof(payload), payload};
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&m, sizeof(m)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *c;

		h.msg_control = control;
		h.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	if (sendmsg(sock, &h, 0) != sizeof(m))
		die("sendmsg");
}

/* As libvhost-user does it: the header with recvmsg(), the payload with read(). */
static bool receive_message(int sock, struct message *m, int *fd)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {m, 12};
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c;

	*fd = -1;
	if (recvmsg(sock, &h, 0) != 12)
		return false;
	c = CMSG_FIRSTHDR(&h);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return read(sock, &m->payload, sizeof(m->payload)) == sizeof(m->payload);
}

/* --- eventfds, by system calls or by io_uring --- */

#ifdef KVMLET_URING
static struct io_uring ring;

static ssize_t by_ring(int fd, uint64_t *value, bool write)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	ssize_t ret;

	if (!ring.ring_fd && io_uring_queue_init(4, &ring, 0))
		die("io_uring");
	sqe = io_uring_get_sqe(&ring);
	if (write)
		io_uring_prep_write(sqe, fd, value, sizeof(*value), 0);
	else
		io_uring_prep_read(sqe, fd, value, sizeof(*value), 0);
	if (io_uring_submit_and_wait(&ring, 1) < 0 || io_uring_wait_cqe(&ring, &cqe))
		die("io_uring");
	ret = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return ret;
}
#endif

static bool signal_event(int fd)
{
	uint64_t one = 1;

#ifdef KVMLET_URING
	if (opt.uring)
		return by_ring(fd, &one, true) == sizeof(one);
#endif
	return write(fd, &one, sizeof(one)) == sizeof(one);
}

static bool read_event(int fd, uint64_t *value)
{
#ifdef KVMLET_URING
	if (opt.uring)
		return by_ring(fd, value, false) == sizeof(*value);
#endif
	return read(fd, value, sizeof(*value)) == sizeof(*value);
}

/* --- the back-end --- */

struct back {
	int sock, epoll;
	int kick[MAX_QUEUES], call[MAX_QUEUES];
	struct counts counts[MAX_QUEUES];
};

static void serve(struct back *b, unsigned int q)
{
	uint64_t value;

	if (opt.no_read || !read_event(b->kick[q], &value))
		return;
	b->counts[q].reads++;
	b->counts[q].consumed += value;
	wait_us(opt.handle_us);
	if (b->counts[q].reads == opt.late_at)
		wait_us(opt.late_us);
	if (opt.no_call || b->call[q] < 0)
		return;
	wait_us(opt.call_us);
	/* Counted before: who is called asks for the counts. */
	b->counts[q].calls++;
	if (!signal_event(b->call[q]))
		die("write call");
}

static bool on_message(struct back *b)
{
	struct message m;
	unsigned int q;
	int fd;

	if (!receive_message(b->sock, &m, &fd))
		return false;
	q = m.payload & 0xff;
	if (q >= MAX_QUEUES)
		return false;
	if (m.request == SET_VRING_KICK) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u32 = q};

		b->kick[q] = fd;
		if (!opt.poll_mode && !opt.no_read &&
		    epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &ev))
			die("epoll_ctl");
	} else if (m.request == SET_VRING_CALL) {
		b->call[q] = fd;
	} else if (m.request == GIVE_COUNTS) {
		if (write(b->sock, &b->counts[q], sizeof(b->counts[q])) < 0)
			die("write counts");
	}
	return true;
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1))
		die(path);
	return fd;
}

static int back_end(const char *path)
{
	struct back b = {.epoll = epoll_create1(0)};
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = MAX_QUEUES};
	int listener = listen_at(path);

	memset(b.call, -1, sizeof(b.call));
	prctl(PR_SET_NAME, "kvmlet-back");
	puts("listening");
	fflush(stdout);
	b.sock = accept(listener, NULL, NULL);
	if (b.sock < 0 || epoll_ctl(b.epoll, EPOLL_CTL_ADD, b.sock, &ev))
		die("accept");
	while (true) {
		struct epoll_event events[8];
		int n = epoll_wait(b.epoll, events, 8, opt.poll_mode ? 0 : -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.u32 < MAX_QUEUES)
				serve(&b, events[i].data.u32);
			else if (!on_message(&b))
				return 0;
		}
	}
}

/* --- the monitor --- */

struct vmm {
	int sock, vm, vcpu;
	struct kvm_run *run;
	int kick[MAX_QUEUES], call[MAX_QUEUES];
	uint64_t turns;
};

static int connect_to(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		die(path);
	return fd;
}

/* Puts bytes into the guest's code. */
static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
	memcpy(at, bytes, n);
	return at + n;
}

#define PUT(at, ...) put(at, (uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static uint8_t *put_notify(uint8_t *at, unsigned int q)
{
	if (opt.mmio) {
		/* mov bx, 4 * q; mov es:[bx], ax */
		at = PUT(at, 0xbb, (q * 4) & 0xff, (q * 4) >> 8);
		return PUT(at, 0x26, 0x89, 0x07);
	}
	/* mov ax, q; mov dx, PORT; out dx, ax */
	at = PUT(at, 0xb8, q & 0xff, q >> 8, 0xba, PORT & 0xff, PORT >> 8);
	return PUT(at, 0xef);
}

/* ecx turns of: notify each queue, tell the monitor. */
static void write_code(uint8_t *code)
{
	uint32_t n = opt.turns;
	uint8_t *at = code, *loop;
	int16_t back;

	at = PUT(at, 0xb8, (WINDOW >> 4) & 0xff, WINDOW >> 12, 0x8e, 0xc0);
	at = PUT(at, 0x66, 0xb9, n, n >> 8, n >> 16, n >> 24);
	loop = at;
	for (unsigned int q = 0; q < opt.queues; q++)
		at = put_notify(at, q);
	if (!opt.burst)
		at = PUT(at, 0xe6, PORT_TURN);
	at = PUT(at, 0x66, 0x49); /* dec ecx */
	back = loop - (at + 4);
	at = PUT(at, 0x0f, 0x85, back & 0xff, back >> 8); /* jnz loop */
	PUT(at, 0xe6, PORT_END, 0xf4);
}

static void make_machine(struct vmm *v)
{
	struct kvm_userspace_memory_region r = {.memory_size = 0x10000};
	struct kvm_regs regs = {.rip = CODE, .rflags = 2, .rsp = 0x8000};
	struct kvm_sregs sregs;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	void *memory = mmap(NULL, r.memory_size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (kvm < 0 || memory == MAP_FAILED)
		die("/dev/kvm");
	r.userspace_addr = (uintptr_t)memory;
	write_code((uint8_t *)memory + CODE);
	v->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (v->vm < 0 || ioctl(v->vm, KVM_SET_USER_MEMORY_REGION, &r))
		die("KVM_CREATE_VM");
	if (!opt.no_irqfd && ioctl(v->vm, KVM_CREATE_IRQCHIP, 0))
		die("KVM_CREATE_IRQCHIP");
	v->vcpu = ioctl(v->vm, KVM_CREATE_VCPU, 0);
	if (v->vcpu < 0 || ioctl(v->vcpu, KVM_GET_SREGS, &sregs))
		die("KVM_CREATE_VCPU");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(v->vcpu, KVM_SET_SREGS, &sregs) || ioctl(v->vcpu, KVM_SET_REGS, &regs))
		die("KVM_SET_REGS");
	v->run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
		      MAP_SHARED, v->vcpu, 0);
	if (v->run == MAP_FAILED)
		die("mmap");
}

static void bind_kick(struct vmm *v, unsigned int q)
{
	struct kvm_ioeventfd e = {.fd = v->kick[q]};

	if (opt.mmio) {
		e.addr = WINDOW + 4 * q;
		e.len = 0;
	} else {
		e.addr = PORT;
		e.len = 2;
		e.datamatch = q;
		e.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH;
	}
	if (ioctl(v->vm, KVM_IOEVENTFD, &e))
		die("KVM_IOEVENTFD");
}

static void bind_calls(struct vmm *v)
{
	struct kvm_irq_routing *r =
		calloc(1, sizeof(*r) + opt.queues * sizeof(r->entries[0]));

	if (!r)
		die("calloc");
	r->nr = opt.queues;
	for (unsigned int q = 0; q < opt.queues; q++) {
		r->entries[q] = (struct kvm_irq_routing_entry){
			.gsi = FIRST_GSI + q, .type = KVM_IRQ_ROUTING_MSI};
		r->entries[q].u.msi.address_lo = MSI_ADDRESS;
		r->entries[q].u.msi.data = MSI_DATA + q;
	}
	if (ioctl(v->vm, KVM_SET_GSI_ROUTING, r))
		die("KVM_SET_GSI_ROUTING");
	free(r);
	for (unsigned int q = 0; q < opt.queues; q++) {
		struct kvm_irqfd f = {.fd = v->call[q], .gsi = FIRST_GSI + q};

		if (ioctl(v->vm, KVM_IRQFD, &f))
			die("KVM_IRQFD");
	}
}

static struct counts counts_of(struct vmm *v, unsigned int q)
{
	struct counts c;

	send_message(v->sock, GIVE_COUNTS, q, -1);
	if (read(v->sock, &c, sizeof(c)) != sizeof(c))
		die("read counts");
	return c;
}

/* Until the back-end has served all kicks: what is told apart must not be coalesced. */
static void await_turn(struct vmm *v)
{
	for (unsigned int q = 0; q < opt.queues; q++) {
		while (!opt.no_read && !opt.poll_mode && counts_of(v, q).consumed < v->turns)
			;
	}
}

static void write_kicks(struct vmm *v)
{
	v->turns++;
	for (unsigned int q = 0; opt.write_kicks && q < opt.queues; q++)
		signal_event(v->kick[q]);
	await_turn(v);
}

static void run_guest(struct vmm *v)
{
	while (opt.no_kvm && v->turns < opt.turns)
		write_kicks(v);
	if (opt.no_kvm)
		return;
	while (true) {
		if (ioctl(v->vcpu, KVM_RUN, 0) && errno != EINTR)
			die("KVM_RUN");
		if (v->run->exit_reason != KVM_EXIT_IO) {
			fprintf(stderr, "kvmlet: exit %u\n", v->run->exit_reason);
			exit(1);
		}
		if (v->run->io.port == PORT_END)
			break;
		write_kicks(v);
	}
	if (opt.burst) {
		v->turns = opt.turns;
		await_turn(v);
	}
}

/* Without interrupts the monitor consumes calls itself. */
static void *consume_calls(void *opaque)
{
	struct vmm *v = opaque;
	struct pollfd p[MAX_QUEUES];

	for (unsigned int q = 0; q < opt.queues; q++)
		p[q] = (struct pollfd){.fd = v->call[q], .events = POLLIN};
	while (true) {
		if (poll(p, opt.queues, -1) < 0 && errno != EINTR)
			die("poll");
		for (unsigned int q = 0; q < opt.queues; q++) {
			eventfd_t value;

			if (p[q].revents & POLLIN)
				eventfd_read(v->call[q], &value);
		}
	}
	return NULL;
}

static int monitor(const char *path)
{
	struct vmm v = {.sock = connect_to(path)};
	pthread_t thread;
	char line[16];

	if (!opt.no_kvm)
		make_machine(&v);
	for (unsigned int q = 0; q < opt.queues; q++) {
		v.kick[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (!opt.write_kicks)
			bind_kick(&v, q);
	}
	for (unsigned int q = 0; q < opt.queues; q++)
		v.call[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!opt.no_irqfd)
		bind_calls(&v);
	for (unsigned int q = 0; q < opt.queues; q++) {
		send_message(v.sock, SET_VRING_KICK, q, v.kick[q]);
		send_message(v.sock, SET_VRING_CALL, q, v.call[q]);
		counts_of(&v, q);
	}
	if (opt.no_irqfd && pthread_create(&thread, NULL, consume_calls, &v))
		die("pthread_create");
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		v.turns = 0;
		run_guest(&v);
		for (unsigned int q = 0; q < opt.queues; q++) {
			struct counts c = counts_of(&v, q);

			printf("done queue=%u kicks=%u reads=%llu consumed=%llu calls=%llu\n", q,
			       opt.turns, (unsigned long long)c.reads,
			       (unsigned long long)c.consumed, (unsigned long long)c.calls);
		}
		fflush(stdout);
		break;
	}
	/* Stays, to be looked at, until the other end of standard input is closed. */
	while (fgets(line, sizeof(line), stdin))
		;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"back-end", no_argument, NULL, 'b'},	  {"queues", required_argument, NULL, 'q'},
		{"turns", required_argument, NULL, 't'},  {"mmio", no_argument, NULL, 'm'},
		{"burst", no_argument, NULL, 'B'},	  {"no-irqfd", no_argument, NULL, 'I'},
		{"no-kvm", no_argument, NULL, 'K'},
		{"write", no_argument, NULL, 'w'},
		{"uring", no_argument, NULL, 'u'},	  {"handle-us", required_argument, NULL, 'H'},
		{"call-us", required_argument, NULL, 'C'}, {"late-us", required_argument, NULL, 'l'},
		{"late-at", required_argument, NULL, 'a'}, {"poll", no_argument, NULL, 'p'},
		{"no-read", no_argument, NULL, 'R'},	  {"no-call", no_argument, NULL, 'N'},
		{NULL, 0, NULL, 0}};
	bool back = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case 'b': back = true; break;
		case 'q': opt.queues = atoi(optarg); break;
		case 't': opt.turns = atoi(optarg); break;
		case 'm': opt.mmio = true; break;
		case 'B': opt.burst = true; break;
		case 'I': opt.no_irqfd = true; break;
		case 'K': opt.no_kvm = opt.no_irqfd = opt.write_kicks = true; break;
		case 'u': opt.uring = true; break;
		case 'w': opt.write_kicks = true; break;
		case 'H': opt.handle_us = atoi(optarg); break;
		case 'C': opt.call_us = atoi(optarg); break;
		case 'l': opt.late_us = atoi(optarg); break;
		case 'a': opt.late_at = atoi(optarg); break;
		case 'p': opt.poll_mode = true; break;
		case 'R': opt.no_read = true; break;
		case 'N': opt.no_call = true; break;
		default: return 2;
		}
	}
	if (optind + 1 != argc || !opt.queues || opt.queues > MAX_QUEUES || !opt.turns)
		return 2;
	return back ? back_end(argv[optind]) : monitor(argv[optind]);
}
