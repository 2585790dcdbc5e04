/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What pops and pushes cost through the libvhost-user API, with a front-end in the same
 * process.  Needs nothing but that API, so that any library which offers it can be
 * measured: build with its header and its sources.  BENCH_READ_MSG: its vu_init() takes
 * a callback that reads messages.  BENCH_LIBVU: it is libvu, which has packed rings and
 * bursts; others do bursts one by one, as many at a time.  BENCH_WATCH: libvu, with
 * somebody who watches.
 *
 * ring-bench [ROUNDS [CASE]] prints a line a row: case, regions, event index, ns an
 * element (the fastest batch).
 */
#include <errno.h>
#include <libvhost-user.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define QUEUE 1024
#define MEGABYTE (1ull << 20)
#define REGION_SIZE (8 * MEGABYTE)
#define REGION_STEP (16 * MEGABYTE) /* a hole behind each */
#define MAX_REGIONS 32
#define AVAIL_AT 0x8000
#define USED_AT 0x10000
#define TABLES_AT 0x100000  /* indirect tables */
#define SMALL_AT 0x200000   /* headers and status bytes */
#define BUFFERS_AT 0x400000 /* 4 KiB each */
#define LOG_BYTES (MAX_REGIONS * REGION_STEP / 4096 / 8)

/* Names of messages differ between versions of the header; their numbers do not. */
enum {
	SET_FEATURES = 2,
	SET_MEM_TABLE = 5,
	SET_LOG_BASE = 6,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
	GET_INFLIGHT_FD = 31,
	SET_INFLIGHT_FD = 32,
	ADD_MEM_REG = 37,
};

#define F_LOG_ALL (1ull << 26)
#define F_INDIRECT (1ull << 28)
#define F_EVENT_IDX (1ull << 29)
#define F_PROTOCOL (1ull << 30)
#define F_VERSION_1 (1ull << 32)
#define F_PACKED (1ull << 34)
#define PF_LOG_SHMFD (1ull << 1)
#define PF_REPLY_ACK (1ull << 3)
#define PF_INFLIGHT (1ull << 12)
#define PF_MEM_SLOTS (1ull << 15)

struct shape {
	const char *name;
	unsigned int descs; /* in a chain */
	bool indirect;
	unsigned int batch;
	unsigned int written; /* bytes, as pushed */
	bool log;	      /* dirty pages are logged; the log is cleared before each batch */
	bool inflight;	      /* what is in flight is tracked */
	bool fill;	      /* filled one by one and shown at once, as vu-blk does */
	bool packed;
	bool burst; /* so many are popped and pushed together */
	unsigned int turn; /* so many are pushed before the next are popped; 0: the batch */
	bool asked; /* only when asked for */
};

static const struct shape shapes[] = {
	{"one", 1, false, 256, 0},
	{"block", 3, false, 256, 4097},
	{"block-indirect", 3, true, 256, 4097},
	{"chain-32", 32, false, 32, 30 * 4096 + 1},
	{"block+log", 3, false, 256, 4097, .log = true},
	{"block+inflight", 3, false, 256, 4097, .inflight = true},
	{"fill", 3, false, 256, 4097, .fill = true},
	{"fill+log", 3, false, 256, 4097, .log = true, .fill = true},
	{"fill+inflight", 3, false, 256, 4097, .inflight = true, .fill = true},
	{"burst-one", 1, false, 256, 0, .burst = true, .turn = 32},
	{"burst", 3, false, 256, 4097, .burst = true, .turn = 32},
	{"burst+inflight", 3, false, 256, 4097, .inflight = true, .burst = true, .turn = 32},
#ifdef BENCH_LIBVU
	{"packed-one", 1, false, 256, 0, .packed = true},
	{"packed", 3, false, 256, 4097, .packed = true},
	{"packed-indirect", 3, true, 256, 4097, .packed = true},
	{"packed+log", 3, false, 256, 4097, .log = true, .packed = true},
	{"packed+inflight", 3, false, 256, 4097, .inflight = true, .packed = true},
	{"packed-burst", 3, false, 256, 4097, .packed = true, .burst = true, .turn = 32},
#endif
	{"block-in-turns", 3, false, 256, 4097, .turn = 1, .asked = true},
};

/* Where a packed ring's driver is: a slot, and how often it has gone round. */
struct place {
	unsigned int slot, round;
};
static struct place offered_to, used_to;
static struct vring_desc packed_chains[QUEUE]; /* what is copied into it */

static VuDev dev;
static VuDevIface iface;
static int front, kick, call;
static uint8_t *memory[MAX_REGIONS];
static uint8_t *first, *last; /* memory of the first and of the last region */
static uint64_t last_gpa;
static uint8_t *dirty; /* the log */

static void fail(const char *what)
{
	fprintf(stderr, "ring-bench: %s: %s\n", what, errno ? strerror(errno) : "failed");
	exit(1);
}

static void on_panic(VuDev *d, const char *what)
{
	(void)d;
	errno = 0;
	fail(what);
}

static void on_watch(VuDev *d, int fd, int condition, vu_watch_cb cb, void *data)
{
	(void)d;
	(void)fd;
	(void)condition;
	(void)cb;
	(void)data;
}

static void on_unwatch(VuDev *d, int fd)
{
	(void)d;
	(void)fd;
}

static uint64_t offered(VuDev *d)
{
	(void)d;
	return F_VERSION_1 | F_INDIRECT | F_EVENT_IDX | F_PACKED;
}

static uint64_t offered_protocol(VuDev *d)
{
	(void)d;
	return PF_INFLIGHT;
}

/* Sends one message and has the library handle it. */
static void say(uint32_t request, const void *payload, uint32_t size, int fd)
{
	uint32_t header[3] = {request, 1, size};
	struct iovec iov[2] = {{header, sizeof(header)}, {(void *)payload, size}};
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

	if (fd >= 0) {
		control.h.cmsg_level = SOL_SOCKET;
		control.h.cmsg_type = SCM_RIGHTS;
		control.h.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
	}
	if (sendmsg(front, &m, 0) != (ssize_t)(sizeof(header) + size))
		fail("sendmsg");
	if (!vu_dispatch(&dev))
		fail("vu_dispatch");
}

static void say_u64(uint32_t request, uint64_t value, int fd)
{
	say(request, &value, sizeof(value), fd);
}

static void say_state(uint32_t request, unsigned int num)
{
	struct vhost_vring_state s = {0, num};

	say(request, &s, sizeof(s), -1);
}

/* Region @i: its memory; the first goes as the table, the others as slots. */
static uint8_t *share_region(unsigned int i)
{
	struct {
		uint32_t nregions, padding;
		uint64_t gpa, size, address, offset;
	} m = {1, 0, i * REGION_STEP, REGION_SIZE, 0, 0};
	int fd = memfd_create("region", MFD_CLOEXEC);
	uint8_t *mem;

	if (fd < 0 || ftruncate(fd, REGION_SIZE))
		fail("memfd");
	mem = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		fail("mmap");
	m.address = (uintptr_t)mem;
	if (i)
		m.nregions = 0;
	say(i ? ADD_MEM_REG : SET_MEM_TABLE, &m, sizeof(m), fd);
	close(fd);
	return mem;
}

/* Takes the library's answer, in one piece or two; the fd that comes along, or -1. */
static int hear(void *payload, size_t size)
{
	uint32_t header[3];
	struct iovec iov = {header, sizeof(header)};
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	int fd = -1;

	if (recvmsg(front, &m, 0) != (ssize_t)sizeof(header) || header[2] > size ||
	    recv(front, payload, header[2], MSG_WAITALL) != (ssize_t)header[2])
		fail("the answer");
	if (m.msg_controllen)
		memcpy(&fd, CMSG_DATA(&control.h), sizeof(fd));
	return fd;
}

static void start_log(void)
{
	uint64_t m[2] = {LOG_BYTES, 0}, answer[2];
	int fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, LOG_BYTES))
		fail("memfd");
	dirty = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (dirty == MAP_FAILED)
		fail("mmap");
	say(SET_LOG_BASE, m, sizeof(m), fd);
	hear(answer, sizeof(answer));
	close(fd);
}

static void start_inflight(void)
{
	struct {
		uint64_t size, offset;
		uint16_t queues, queue_size;
		uint32_t padding;
	} m = {0, 0, 1, QUEUE, 0};
	int fd;

	say(GET_INFLIGHT_FD, &m, sizeof(m), -1);
	fd = hear(&m, sizeof(m));
	if (fd < 0)
		fail("inflight region");
	say(SET_INFLIGHT_FD, &m, sizeof(m), fd);
	close(fd);
}

#ifdef BENCH_WATCH
#include <libvu/telemetry.h>

/* Somebody wants histograms, for longer than this runs. */
static void watch(void)
{
	struct vu_telemetry *t;
	char path[4096], why[256] = "";

	snprintf(path, sizeof(path), "%s/%d-0.telemetry", getenv("LIBVU_RUN_DIR"), getpid());
	errno = 0;
	if (vu_telemetry_open(path, &t, why, sizeof(why)))
		fail(why);
	if (vu_telemetry_watch(t, VU_TELEMETRY_LEASE_MAX))
		fail("vu_telemetry_watch");
	vu_telemetry_close(t);
}
#endif

static void connect_library(const struct shape *s, unsigned int regions, bool event_idx)
{
	struct vhost_vring_addr addr = {0};
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv))
		fail("socketpair");
	front = sv[0];
	iface.get_features = offered;
	iface.get_protocol_features = offered_protocol;
	memset(&dev, 0, sizeof(dev));
	if (!vu_init(&dev, 1, sv[1], on_panic,
#ifdef BENCH_READ_MSG
		     NULL,
#endif
		     on_watch, on_unwatch, &iface))
		fail("vu_init");
	say_u64(SET_PROTOCOL_FEATURES, PF_MEM_SLOTS | PF_REPLY_ACK |
		(s->log ? PF_LOG_SHMFD : 0) | (s->inflight ? PF_INFLIGHT : 0), -1);
	say_u64(SET_FEATURES, F_VERSION_1 | F_INDIRECT | F_PROTOCOL |
		(event_idx ? F_EVENT_IDX : 0) | (s->log ? F_LOG_ALL : 0) |
		(s->packed ? F_PACKED : 0), -1);
	for (unsigned int i = 0; i < regions; i++)
		memory[i] = share_region(i);
	first = memory[0];
	last = memory[regions - 1];
	memset(last, 0, REGION_SIZE);
	last_gpa = (regions - 1) * REGION_STEP;
	say_state(SET_VRING_NUM, QUEUE);
	say_state(SET_VRING_BASE, s->packed ? 0x80008000 : 0);
	offered_to = used_to = (struct place){0, 0};
	addr.desc_user_addr = (uintptr_t)first;
	addr.avail_user_addr = (uintptr_t)first + AVAIL_AT;
	addr.used_user_addr = (uintptr_t)first + USED_AT;
	if (s->log) {
		start_log();
		addr.flags = 1 << VHOST_VRING_F_LOG;
		addr.log_guest_addr = USED_AT;
	}
	if (s->inflight)
		start_inflight();
	say(SET_VRING_ADDR, &addr, sizeof(addr), -1);
	kick = eventfd(0, EFD_NONBLOCK);
	call = eventfd(0, EFD_NONBLOCK);
	say_u64(SET_VRING_CALL, 0, call);
	say_u64(SET_VRING_KICK, 0, kick);
	say_state(SET_VRING_ENABLE, 1);
#ifdef BENCH_WATCH
	watch();
#endif
}

static void disconnect_library(unsigned int regions)
{
	vu_deinit(&dev);
	close(front);
	close(kick);
	close(call);
	for (unsigned int i = 0; i < regions; i++)
		munmap(memory[i], REGION_SIZE);
	if (dirty)
		munmap(dirty, LOG_BYTES);
	dirty = NULL;
}

/* The chain of element @i: readable, if there is more than one then writable ones. */
static void write_chain(const struct shape *s, unsigned int i)
{
	struct vring_desc *ring = s->packed ? packed_chains : (struct vring_desc *)first;
	struct vring_desc *d = ring + i * s->descs;
	unsigned int at = i * s->descs;

	if (s->indirect) {
		ring[i] = (struct vring_desc){last_gpa + TABLES_AT + i * 64,
					      s->descs * sizeof(*d), VRING_DESC_F_INDIRECT, 0};
		d = (struct vring_desc *)(last + TABLES_AT + i * 64);
		at = 0;
	}
	for (unsigned int k = 0; k < s->descs; k++) {
		bool status = k == s->descs - 1 && k;

		d[k].addr = last_gpa + SMALL_AT + i * 64 + (status ? 16 : 0);
		d[k].len = status ? 1 : 16;
		d[k].flags = k ? VRING_DESC_F_WRITE : 0;
		if (k && !status) {
			d[k].addr = last_gpa + BUFFERS_AT + ((i * s->descs + k) % 1024) * 4096;
			d[k].len = 4096;
		}
		if (k < s->descs - 1)
			d[k].flags |= VRING_DESC_F_NEXT;
		d[k].next = at + k + 1;
		/* A packed table has flags where a split one has the next one, and no chains. */
		if (s->packed && s->indirect) {
			d[k].next = d[k].flags & VRING_DESC_F_WRITE;
			d[k].flags = 0;
		}
	}
}

/* --- the driver of a packed ring --- */

static uint16_t bits_of(struct place p)
{
	return p.round % 2 ? 1 << VRING_PACKED_DESC_F_USED : 1 << VRING_PACKED_DESC_F_AVAIL;
}

static void step(struct place *p, unsigned int n)
{
	p->round += (p->slot + n) / QUEUE;
	p->slot = (p->slot + n) % QUEUE;
}

static void offer_packed(const struct shape *s, bool event_idx)
{
	struct vring_packed_desc *ring = (struct vring_packed_desc *)first;
	struct vring_packed_desc_event *wish = (void *)(first + AVAIL_AT);
	unsigned int n = s->indirect ? 1 : s->descs;

	for (unsigned int i = 0; i < s->batch * n; i++, step(&offered_to, 1)) {
		const struct vring_desc *d = &packed_chains[i];

		ring[offered_to.slot] = (struct vring_packed_desc){
			d->addr, d->len, i / n, d->flags | bits_of(offered_to)};
	}
	/* Call for the first of them, or for any. */
	wish->off_wrap = used_to.slot | (used_to.round % 2 ? 0 : 0x8000);
	wish->flags = event_idx ? VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE;
}

static void expect_packed(const struct shape *s)
{
	const struct vring_packed_desc *ring = (struct vring_packed_desc *)first;
	const uint16_t both = 1 << VRING_PACKED_DESC_F_USED | 1 << VRING_PACKED_DESC_F_AVAIL;

	for (unsigned int i = 0; i < s->batch; i++, step(&used_to, s->indirect ? 1 : s->descs)) {
		uint16_t want = used_to.round % 2 ? 0 : both;

		if ((ring[used_to.slot].flags & both) != want || ring[used_to.slot].id != i)
			fail("a used descriptor");
	}
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Pops @n, pushes them. */
static void serve(const struct shape *s, VuVirtq *vq, unsigned int n)
{
	static VuVirtqElement *elems[256];

	for (unsigned int i = 0; i < n; i++) {
		elems[i] = vu_queue_pop(&dev, vq, sizeof(VuVirtqElement));
		if (!elems[i])
			fail("vu_queue_pop");
	}
	for (unsigned int i = 0; i < n; i++) {
		if (s->fill)
			vu_queue_fill(&dev, vq, elems[i], s->written, i);
		else
			vu_queue_push(&dev, vq, elems[i], s->written);
		free(elems[i]);
	}
	if (s->fill)
		vu_queue_flush(&dev, vq, n);
}

#ifdef BENCH_LIBVU
#include <libvu/ext.h>

static void serve_burst(const struct shape *s, VuVirtq *vq, unsigned int n)
{
	static VuVirtqElement *elems[256];
	static unsigned int lens[256];
	static struct vu_burst *b;

	if (!b)
		b = vu_burst_new(256, sizeof(VuVirtqElement));
	if (!b || vu_queue_pop_burst(&dev, vq, b, elems, n) != n)
		fail("vu_queue_pop_burst");
	for (unsigned int i = 0; i < n; i++)
		lens[i] = s->written;
	vu_queue_push_burst(&dev, vq, elems, lens, n);
}
#else
#define serve_burst serve
#endif

/* One batch, ns an element. */
static double run_batch(const struct shape *s, bool event_idx)
{
	struct vring_avail *avail = (struct vring_avail *)(first + AVAIL_AT);
	struct vring_used *used = (struct vring_used *)(first + USED_AT);
	unsigned int turn = s->turn ? s->turn : s->batch;
	VuVirtq *vq = vu_get_queue(&dev, 0);
	uint16_t idx = avail->idx, seen = used->idx;
	uint64_t calls;
	double start, took;

	if (s->packed) {
		offer_packed(s, event_idx);
	} else {
		for (unsigned int i = 0; i < s->batch; i++)
			avail->ring[(uint16_t)(idx + i) % QUEUE] = s->indirect ? i : i * s->descs;
		avail->ring[QUEUE] = seen; /* used_event: call for the first of them */
		__atomic_store_n(&avail->idx, (uint16_t)(idx + s->batch), __ATOMIC_RELEASE);
	}
	if (dirty)
		memset(dirty, 0, LOG_BYTES);

	start = now_ns();
	for (unsigned int i = 0; i < s->batch; i += turn) {
		if (s->burst)
			serve_burst(s, vq, turn);
		else
			serve(s, vq, turn);
	}
	vu_queue_notify(&dev, vq);
	took = now_ns() - start;

	if (s->packed)
		expect_packed(s);
	else if ((uint16_t)(used->idx - seen) != s->batch)
		fail("the used index");
	if (read(call, &calls, sizeof(calls)) != sizeof(calls))
		fail("the call");
	return took / s->batch;
}

static void run_row(const struct shape *s, unsigned int regions, bool event_idx,
		    unsigned int rounds)
{
	double best = 1e18;

	connect_library(s, regions, event_idx);
	for (unsigned int i = 0; i < s->batch; i++)
		write_chain(s, i);
	for (unsigned int r = 0; r < rounds; r++) {
		double ns = run_batch(s, event_idx);

		best = ns < best ? ns : best;
	}
	printf("%s %u %s %.2f\n", s->name, regions, event_idx ? "on" : "off", best);
	fflush(stdout);
	disconnect_library(regions);
}

int main(int argc, char **argv)
{
	static const unsigned int regions[] = {1, 8, 32};
	unsigned int rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 300;
	const char *only = argc > 2 ? argv[2] : NULL;

	for (unsigned int s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
		if (only ? strcmp(only, shapes[s].name) : shapes[s].asked)
			continue;
		/* What these cost beside the others has little to do with regions. */
		bool one = shapes[s].log || shapes[s].inflight || shapes[s].fill ||
			   shapes[s].burst || shapes[s].packed;

		for (unsigned int r = 0; r < (one ? 1 : 3); r++) {
			for (int event_idx = 0; event_idx < 2; event_idx++)
				run_row(&shapes[s], regions[r], event_idx, rounds);
		}
	}
	return 0;
}
