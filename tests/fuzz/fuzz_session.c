/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole sessions of a front-end: a sequence of messages, most of them nearly right, with
 * fds of every kind, and events in between.  After each session the device is released,
 * and no file descriptor and no mapping may be left.
 *
 * The input is a list of steps: a byte that says what, then what that wants.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.h"
#include "libvu/ext.h"
#include "tests/fuzz/loop.h"
#include "wire/sock.h"

#define QUEUES 4
#define STEPS  64
#define HELD   32
#define MEMORY 0x40000
#define UADDR  0x7f0000000000ULL
#define SHARED 0x4000 /* bytes of a dirty log: enough for every region there is */

static struct session {
	VuDev dev;
	int sv[2];
	bool over;
	VuVirtqElement *held[HELD];
	int held_queue[HELD];
	unsigned int nheld;
	uint8_t *mem; /* the guest's, as the guest sees it */
	int memfd;
} s;

/* The guard of postcopy unmaps, too. */
static _Atomic int mappings;

static void *counting_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p = mmap(addr, len, prot, flags, fd, off);

	mappings += p != MAP_FAILED;
	return p;
}

static int counting_munmap(void *addr, size_t len)
{
	mappings--;
	return munmap(addr, len);
}

/* Touches every byte: an iovec outside the regions crashes here. */
static void touch(const VuVirtqElement *e)
{
	static volatile uint8_t sum;

	for (unsigned int i = 0; i < e->out_num; i++) {
		const uint8_t *at = e->out_sg[i].iov_base;

		sum = sum + at[0] + at[e->out_sg[i].iov_len - 1];
	}
	for (unsigned int i = 0; i < e->in_num; i++) {
		uint8_t *at = e->in_sg[i].iov_base;

		at[0] = 0x55;
		at[e->in_sg[i].iov_len - 1] = 0xaa;
	}
}

static void handler(VuDev *dev, int qidx)
{
	VuVirtq *vq = vu_get_queue(dev, qidx);
	VuVirtqElement *e;

	for (int n = 0; n < 16 && (e = vu_queue_pop(dev, vq, sizeof(*e))); n++) {
		touch(e);
		/* Some are kept over whatever messages come. */
		if (e->index % 3 == 0 && s.nheld < HELD) {
			s.held_queue[s.nheld] = qidx;
			s.held[s.nheld++] = e;
			continue;
		}
		vu_queue_push(dev, vq, e, 1);
		free(e);
	}
	vu_queue_notify(dev, vq);
}

static void set_started(VuDev *dev, int qidx, bool started)
{
	vu_set_queue_handler(dev, vu_get_queue(dev, qidx), started ? handler : NULL);
}

static uint64_t all(VuDev *dev)
{
	(void)dev;
	return ~0ULL;
}

static int get_config(VuDev *dev, uint8_t *config, uint32_t len)
{
	(void)dev;
	EXPECT(len <= VHOST_USER_MAX_CONFIG_SIZE);
	memset(config, 1, len);
	return 0;
}

static int set_config(VuDev *dev, const uint8_t *data, uint32_t offset, uint32_t size,
		      uint32_t flags)
{
	(void)dev, (void)flags;
	EXPECT(offset + size <= VHOST_USER_MAX_CONFIG_SIZE);
	return size && data[0] & 1;
}

static const VuDevIface iface = {
	.get_features = all,
	.get_protocol_features = all,
	.queue_set_started = set_started,
	.get_config = get_config,
	.set_config = set_config,
};

static void release_held(void)
{
	for (unsigned int i = 0; i < s.nheld; i++) {
		touch(s.held[i]);
		vu_queue_push(&s.dev, &s.dev.vq[s.held_queue[i]], s.held[i], 1);
		free(s.held[i]);
	}
	s.nheld = 0;
}

/* For a dirty log, or for requests in flight. */
static int shared_file(void)
{
	int fd = memfd_create("shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && ftruncate(fd, SHARED)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* An fd of a kind the input chooses. */
static int make_fd(struct input *in)
{
	int pair[2], fd;
	off_t size;

	switch (take8(in) % 8) {
	case 0:
	case 1:
		return dup(s.memfd);
	case 2:
		return eventfd(take8(in) % 4, EFD_CLOEXEC);
	case 3:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 4:
		if (pipe(pair))
			return -1;
		close(pair[1]);
		return pair[0];
	case 5:
		/* Nobody reads it: the next signal would be SIGPIPE. */
		if (pipe(pair))
			return -1;
		close(pair[0]);
		return pair[1];
	case 6:
		return shared_file();
	default:
		fd = memfd_create("small", MFD_CLOEXEC);
		size = take8(in) * 4096;
		/* Nobody here would serve the fault of a missing page in postcopy. */
		if (fd >= 0 && size && fallocate(fd, 0, 0, size))
			return -1;
		return fd;
	}
}

static bool wants_memory(uint32_t request)
{
	return request == VU__SET_MEM_TABLE || request == VU__ADD_MEM_REG;
}

static bool wants_event(uint32_t request)
{
	return request == VU__SET_VRING_KICK || request == VU__SET_VRING_CALL ||
	       request == VU__SET_VRING_ERR || request == VU__SET_LOG_FD;
}

static bool wants_shared_file(uint32_t request)
{
	return request == VU__SET_LOG_BASE || request == VU__SET_INFLIGHT_FD;
}

/* The payload of a right message, which the input then may spoil. */
static void plausible(struct vu__msg *m, struct input *in)
{
	struct vu__region_payload region = {0, MEMORY, UADDR, 0};
	uint8_t queue = take8(in) % QUEUES, features;

	switch (m->request) {
	case VU__SET_FEATURES:
		features = take8(in);
		m->payload.u64 = VU_BIT(VU__F_VERSION_1) |
				 (uint64_t)(features & 0x7f) << VU__F_LOG_ALL |
				 (features & 0x80 ? VU_BIT(VU__F_RING_PACKED) : 0);
		break;
	case VU__SET_PROTOCOL_FEATURES:
		m->payload.u64 = VU_BIT(VU__PF_MQ) | VU_BIT(VU__PF_CONFIG) |
				 VU_BIT(VU__PF_REPLY_ACK) | VU_BIT(VU__PF_BACKEND_REQ) |
				 VU_BIT(VU__PF_RESET_DEVICE) | VU_BIT(VU__PF_LOG_SHMFD) |
				 VU_BIT(VU__PF_INFLIGHT_SHMFD) |
				 VU_BIT(VU__PF_PAGEFAULT) |
				 VU_BIT(VU__PF_CONFIGURE_MEM_SLOTS);
		break;
	case VU__SET_MEM_TABLE:
		m->payload.mem_table.nregions = 1;
		m->payload.mem_table.regions[0] = region;
		break;
	case VU__ADD_MEM_REG:
	case VU__REM_MEM_REG:
		region.gpa = region.uaddr = (uint64_t)(1 + take8(in)) << 20;
		region.size = 0x1000;
		m->payload.mem_reg.region = region;
		break;
	case VU__SET_VRING_NUM:
		m->payload.state.index = queue;
		m->payload.state.num = 1u << take8(in) % 10;
		break;
	case VU__SET_VRING_ADDR:
		m->payload.addr = (struct vhost_vring_addr){
			.index = queue,
			.flags = 1 << VHOST_VRING_F_LOG,
			.log_guest_addr = queue * 0x10000 + 0x8000,
			.desc_user_addr = UADDR + queue * 0x10000,
			.avail_user_addr = UADDR + queue * 0x10000 + 0x4000,
			.used_user_addr = UADDR + queue * 0x10000 + 0x8000};
		break;
	case VU__SET_VRING_ENABLE:
		m->payload.state.index = queue;
		m->payload.state.num = 1;
		break;
	case VU__GET_CONFIG:
	case VU__SET_CONFIG:
		m->payload.config.offset = take8(in);
		m->payload.config.size = 8;
		break;
	case VU__SET_LOG_BASE:
		m->payload.log.size = SHARED;
		break;
	case VU__GET_INFLIGHT_FD:
	case VU__SET_INFLIGHT_FD:
		m->payload.inflight = (struct vu__inflight_payload){
			.mmap_size = SHARED, .num_queues = QUEUES, .queue_size = 128};
		break;
	default:
		m->payload.state.index = queue;
		break;
	}
}

static uint32_t usual_size(const struct vu__msg *m)
{
	static const uint16_t sizes[VU__SHAPE_COUNT] = {
		[VU__SHAPE_U64] = 8,	[VU__SHAPE_STATE] = 8,	 [VU__SHAPE_ADDR] = 40,
		[VU__SHAPE_MEM_TABLE] = 40, [VU__SHAPE_MEM_REG] = 40, [VU__SHAPE_LOG] = 16,
		[VU__SHAPE_IOTLB] = 32, [VU__SHAPE_CONFIG] = 20, [VU__SHAPE_INFLIGHT] = 24,
		[VU__SHAPE_UUID] = 16,	[VU__SHAPE_DEVICE_STATE] = 8,
	};
	const struct vu__msg_info *info = vu__msg_info(VU__TO_BACKEND, m->request);

	return info ? sizes[info->request] : 0;
}

static void attach(struct vu__msg *m, struct input *in, bool usual)
{
	unsigned int want = take8(in) % (VU__MSG_MAX_FDS + 1);

	if (usual)
		want = wants_memory(m->request) || wants_event(m->request) ||
		       wants_shared_file(m->request) ||
		       m->request == VU__SET_BACKEND_REQ_FD;
	while (m->nfds < want) {
		int fd = usual && wants_memory(m->request)	? dup(s.memfd) :
			 usual && wants_event(m->request)	? eventfd(0, EFD_CLOEXEC) :
			 usual && wants_shared_file(m->request) ? shared_file() :
								  make_fd(in);

		if (fd < 0)
			return;
		m->fds[m->nfds++] = fd;
	}
}

/* In postcopy a new memory table is used when this has come. */
static bool acknowledges(struct vu__msg *m, struct input *in)
{
	if (!s.dev.postcopy_listening || !wants_memory(m->request) || take8(in) & 1)
		return false;
	m->size = sizeof(m->payload.u64);
	m->payload.u64 = take8(in) & 1;
	return true;
}

static void send_message(struct input *in, bool usual)
{
	struct vu__msg m;

	vu__msg_init(&m, take8(in) % (VU__REQUEST_COUNT + 2));
	plausible(&m, in);
	m.size = usual_size(&m);
	if (!acknowledges(&m, in))
		attach(&m, in, usual);
	if (!usual) {
		uint8_t spoil = take8(in);

		if (spoil & 1)
			m.size = take16(in) % 600;
		if (spoil & 2)
			m.flags = take8(in);
		if (spoil & 4) {
			uint16_t at = take16(in) % 280;

			take(in, m.payload.raw + at, 8);
		}
	}
	if (take8(in) & 1)
		m.flags |= VU__FLAG_NEED_REPLY;
	if (vu__sock_send(s.sv[0], &m, 0))
		s.over = true;
	vu__msg_close_fds(&m);
	if (!s.over && !vu_dispatch(&s.dev))
		s.over = true;
}

/* Writes into the guest's memory: descriptors, indices, whatever is hit. */
static void scribble(struct input *in)
{
	uint32_t at = take32(in) % (MEMORY - 64);

	take(in, s.mem + at, take8(in) % 64);
}

/* Makes a plausible chain available on a queue. */
static void offer(struct input *in)
{
	uint8_t queue = take8(in) % QUEUES;
	struct vring_desc *desc = (struct vring_desc *)(s.mem + queue * 0x10000);
	struct vring_avail *avail = (struct vring_avail *)(s.mem + queue * 0x10000 + 0x4000);
	unsigned int num = s.dev.vq[queue].vring.num;
	uint16_t head = take8(in);

	desc[head] = (struct vring_desc){take16(in), 1 + take8(in), take8(in) % 8, take8(in)};
	if (num)
		avail->ring[avail->idx % num] = head;
	avail->idx++;
	handler(&s.dev, queue);
}

static void drain_answers(void)
{
	uint8_t bytes[8192];

	while (recv(s.sv[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void set_up(void)
{
	static bool once;

	if (!once) {
		vu_set_log_callback(quiet, NULL);
		vu__sys.mmap = counting_mmap;
		vu__sys.munmap = counting_munmap;
		once = true;
	}
	memset(&s, 0, sizeof(s));
	forget_watches();
	EXPECT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s.sv));
	s.memfd = memfd_create("guest", MFD_CLOEXEC);
	EXPECT(s.memfd >= 0 && !fallocate(s.memfd, 0, 0, MEMORY));
	s.mem = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, s.memfd, 0);
	EXPECT(s.mem != MAP_FAILED);
	EXPECT(vu_init(&s.dev, QUEUES, s.sv[1], panic, set_watch, remove_watch, &iface));
	vu_set_drain_timeout(&s.dev, 0);
}

static void tear_down(void)
{
	vu_deinit(&s.dev);
	for (unsigned int i = 0; i < s.nheld; i++)
		free(s.held[i]);
	for (int i = 0; i < WATCHES; i++)
		EXPECT(watches[i].fd == -1);
	munmap(s.mem, MEMORY);
	close(s.memfd);
	close(s.sv[0]);
	close(s.sv[1]);
	EXPECT(mappings == 0);
}

/* The lowest number that is free: it moves if an fd was left open. */
static int free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	int before = free_fd();

	set_up();
	for (int i = 0; i < STEPS && in.left && !s.over; i++) {
		switch (take8(&in) % 8) {
		case 0:
		case 1:
		case 2:
			send_message(&in, true);
			break;
		case 3:
			send_message(&in, false);
			break;
		case 4:
			scribble(&in);
			break;
		case 5:
			offer(&in);
			break;
		case 6:
			run_watches(&s.dev);
			break;
		default:
			release_held();
			break;
		}
		drain_answers();
	}
	tear_down();
	EXPECT(free_fd() == before);
	return 0;
}
