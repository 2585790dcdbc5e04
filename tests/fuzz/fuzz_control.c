/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tools and other back-ends that talk nonsense: requests on the control socket, packets on
 * the channel of a hand-over, as bytes and as messages that are nearly right, with fds of
 * every kind.  The device is fresh or serves a queue.  After each session no fd is left.
 *
 * The input is a byte that says which device, then a list of steps.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libvu/ext.h"
#include "proto/control.pb-c.h"
#include "state/control.h"
#include "state/handover.h"
#include "tests/fuzz/loop.h"
#include "wire/sock.h"

#define PEERS  2
#define STEPS  48
#define MEMORY 0x10000
#define UADDR  0x7f0000000000ULL

static struct session {
	VuDev dev;
	int sv[2];
	int peers[PEERS]; /* our ends; -1 */
	int chan;	  /* ours, of a hand-over; -1 */
	int image;	  /* what a Save has given; -1 */
	int memfd;
} s;

static char run_dir[] = "/tmp/vu-fuzz.XXXXXX";

/* --- the device and its program --- */

static void handler(VuDev *dev, int qidx)
{
	(void)dev, (void)qidx;
}

static void set_started(VuDev *dev, int qidx, bool started)
{
	vu_set_queue_handler(dev, vu_get_queue(dev, qidx), started ? handler : NULL);
}

static const VuDevIface iface = {.queue_set_started = set_started};

static void dispatch_if(void)
{
	struct pollfd p = {.fd = s.dev.sock, .events = POLLIN};

	if (poll(&p, 1, 0) > 0)
		(void)vu_dispatch(&s.dev);
}

static void run_loop(void)
{
	dispatch_if();
	run_watches(&s.dev);
}

static void message(struct vu__msg *m)
{
	EXPECT(!vu__sock_send(s.sv[0], m, 0));
	vu__msg_close_fds(m);
	dispatch_if();
}

static void add_fd(struct vu__msg *m, int fd)
{
	m->fds[m->nfds++] = fd;
	m->size = sizeof(m->payload.u64);
}

/* What a front-end would have set up. */
static void serve_a_queue(void)
{
	struct vu__msg m;

	vu__msg_init(&m, VU__SET_MEM_TABLE);
	m.size = 40;
	m.payload.mem_table.nregions = 1;
	m.payload.mem_table.regions[0] = (struct vu__region_payload){0, MEMORY, UADDR, 0};
	m.fds[m.nfds++] = dup(s.memfd);
	message(&m);
	vu__msg_init(&m, VU__SET_VRING_NUM);
	m.size = sizeof(m.payload.state);
	m.payload.state.num = 16;
	message(&m);
	vu__msg_init(&m, VU__SET_VRING_ADDR);
	m.size = sizeof(m.payload.addr);
	m.payload.addr = (struct vhost_vring_addr){.desc_user_addr = UADDR,
						   .avail_user_addr = UADDR + 0x1000,
						   .used_user_addr = UADDR + 0x2000};
	message(&m);
	vu__msg_init(&m, VU__SET_VRING_CALL);
	add_fd(&m, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	message(&m);
	vu__msg_init(&m, VU__SET_VRING_KICK);
	add_fd(&m, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	message(&m);
}

/* --- sending --- */

static int some_fd(struct input *in)
{
	int fd;

	switch (take8(in) % 5) {
	case 0:
		return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	case 1:
		return s.image >= 0 ? dup(s.image) : -1;
	case 2:
		return dup(s.memfd);
	case 3:
		return dup(s.sv[0]);
	default:
		fd = memfd_create("some", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd >= 0 && ftruncate(fd, take16(in)))
			return -1;
		return fd;
	}
}

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Takes the fds. */
static void send_packet(int to, const void *bytes, size_t len, int *fds, unsigned int nfds)
{
	char control[CMSG_SPACE(8 * sizeof(int))]
		__attribute__((aligned(sizeof(struct cmsghdr)))) = {0};
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	unsigned int n = 0;

	for (unsigned int i = 0; i < nfds; i++) {
		if (fds[i] >= 0)
			fds[n++] = fds[i];
	}
	if (n) {
		struct cmsghdr *c;

		h.msg_control = control;
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	(void)sendmsg(to, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n)
		close(fds[--n]);
}

/* Answers must parse; the last image is kept. */
static void hear(int from)
{
	static uint8_t bytes[VU__CONTROL_REPLY];
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(sizeof(struct cmsghdr))));
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr h;
	ssize_t n;

	for (;;) {
		Vu__Control__Reply *r;
		struct cmsghdr *c;

		h = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				    .msg_controllen = sizeof(control)};
		n = recvmsg(from, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n <= 0)
			return;
		r = vu__control__reply__unpack(NULL, n, bytes);
		EXPECT(r && (!r->error || r->why[0]));
		vu__control__reply__free_unpacked(r, NULL);
		c = CMSG_FIRSTHDR(&h);
		if (!c)
			continue;
		if (s.image >= 0)
			close(s.image);
		memcpy(&s.image, CMSG_DATA(c), sizeof(int));
	}
}

static int *peer(struct input *in)
{
	const struct vu__control *c = s.dev.priv->service_data[0];
	int *p = &s.peers[take8(in) % PEERS];
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (*p >= 0)
		return p;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", run_dir, c->name);
	*p = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(*p, (struct sockaddr *)&addr, sizeof(addr))) {
		close(*p);
		*p = -1;
	}
	return p;
}

/* A channel: one end in @fd, ours kept. */
static int new_channel(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -1;
	if (s.chan >= 0)
		close(s.chan);
	s.chan = pair[0];
	return pair[1];
}

/* --- steps --- */

static void request(struct input *in)
{
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;
	Vu__Control__Hello hello = VU__CONTROL__HELLO__INIT;
	Vu__Control__Save save = VU__CONTROL__SAVE__INIT;
	Vu__Control__Release release = VU__CONTROL__RELEASE__INIT;
	Vu__Control__Restore restore = VU__CONTROL__RESTORE__INIT;
	Vu__Control__Give give = VU__CONTROL__GIVE__INIT;
	Vu__Control__Take take_ = VU__CONTROL__TAKE__INIT;
	Vu__Control__Dirty dirty = VU__CONTROL__DIRTY__INIT;
	uint8_t bytes[256], bits;
	int *p = peer(in), fds[2] = {-1, -1};

	r.what_case = VU__CONTROL__REQUEST__WHAT_HELLO + take8(in) % 7;
	bits = take8(in);
	r.version = bits & 0x80 ? take8(in) : 1;
	switch (r.what_case) {
	case VU__CONTROL__REQUEST__WHAT_HELLO:
		r.hello = &hello;
		break;
	case VU__CONTROL__REQUEST__WHAT_SAVE:
		r.save = &save;
		save.hold = bits & 1;
		save.in_flight = bits & 2;
		save.drain_ms = take8(in);
		save.hold_ms = take8(in);
		break;
	case VU__CONTROL__REQUEST__WHAT_RELEASE:
		r.release = &release;
		release.stay = bits & 1;
		break;
	case VU__CONTROL__REQUEST__WHAT_RESTORE:
		r.restore = &restore;
		restore.discard = bits & 1;
		restore.force = bits & 2;
		fds[0] = bits & 4 ? some_fd(in) : s.image >= 0 ? dup(s.image) : -1;
		break;
	case VU__CONTROL__REQUEST__WHAT_GIVE:
		r.give = &give;
		give.timeout_ms = take8(in);
		give.pause_ms = take8(in);
		give.dry_run = bits & 1;
		fds[0] = bits & 4 ? some_fd(in) : new_channel();
		break;
	case VU__CONTROL__REQUEST__WHAT_TAKE:
		r.take = &take_;
		take_.timeout_ms = take8(in);
		fds[0] = bits & 4 ? some_fd(in) : new_channel();
		break;
	default:
		r.dirty = &dirty;
		dirty.queues = take8(in);
		dirty.stride = take16(in);
		fds[0] = some_fd(in);
	}
	if (bits & 8)
		fds[1] = some_fd(in);
	send_packet(*p, bytes, vu__control__request__pack(&r, bytes), fds, 2);
}

static void begin(struct input *in, Vu__Control__Begin *b, int fds[8])
{
	int page = -1;
	struct vu__handover_page *p = vu__handover_page_new(&page);

	/* Sometimes it is too early to take it. */
	if (p)
		p->owner = take8(in) % 8 ? VU__OWNER_OFFERED : VU__OWNER_OLD;
	vu__handover_page_free(p);
	fds[0] = take8(in) % 8 ? page : some_fd(in);
	if (fds[0] != page)
		close(page);
	fds[1] = take8(in) % 8 && s.image >= 0 ? dup(s.image) : some_fd(in);
	b->version = take8(in) % 8 ? VU__HANDOVER_VERSION : take8(in);
	b->library = "fuzz";
	b->state = take8(in) % 8 ? "" : "other";
	b->files = take8(in) % 8;
}

/* What the other back-end says. */
static void packet(struct input *in)
{
	Vu__Control__Handover m = VU__CONTROL__HANDOVER__INIT;
	Vu__Control__Begin b = VU__CONTROL__BEGIN__INIT;
	Vu__Control__Files f = VU__CONTROL__FILES__INIT;
	Vu__Control__Files__File file[4], *list[4];
	Vu__Control__Ready ready = VU__CONTROL__READY__INIT;
	Vu__Control__Refused refused = VU__CONTROL__REFUSED__INIT;
	Vu__Control__Offer offer = VU__CONTROL__OFFER__INIT;
	Vu__Control__Taken taken = VU__CONTROL__TAKEN__INIT;
	Vu__Control__Released released = VU__CONTROL__RELEASED__INIT;
	unsigned int n;
	uint8_t bytes[512];
	int fds[8] = {-1, -1, -1, -1, -1, -1, -1, -1};

	m.what_case = VU__CONTROL__HANDOVER__WHAT_BEGIN + take8(in) % 7;
	n = take8(in) % 5;
	for (unsigned int i = 0; i < n; i++) {
		vu__control__files__file__init(&file[i]);
		file[i].kind = take8(in) % 12;
		file[i].index = take8(in) % 8 ? 0 : take16(in);
		list[i] = &file[i];
		fds[i] = some_fd(in);
	}
	f.files = offer.files = list;
	f.n_files = offer.n_files = n;
	offer.state = take8(in) & 1;
	refused.why = "fuzz";
	refused.again = n & 1;
	switch (m.what_case) {
	case VU__CONTROL__HANDOVER__WHAT_BEGIN:
		m.begin = &b;
		for (unsigned int i = 0; i < n; i++)
			drop(&fds[i]);
		begin(in, &b, fds);
		break;
	case VU__CONTROL__HANDOVER__WHAT_FILES:
		m.files = &f;
		break;
	case VU__CONTROL__HANDOVER__WHAT_READY:
		m.ready = &ready;
		break;
	case VU__CONTROL__HANDOVER__WHAT_REFUSED:
		m.refused = &refused;
		break;
	case VU__CONTROL__HANDOVER__WHAT_OFFER:
		m.offer = &offer;
		break;
	case VU__CONTROL__HANDOVER__WHAT_TAKEN:
		m.taken = &taken;
		break;
	default:
		m.released = &released;
	}
	send_packet(s.chan, bytes, vu__control__handover__pack(&m, bytes), fds, 8);
}

static void raw(struct input *in, int to)
{
	uint8_t bytes[255], len = take8(in);
	int fds[2] = {-1, -1};

	take(in, bytes, len);
	if (take8(in) & 1)
		fds[0] = some_fd(in);
	send_packet(to, bytes, len, fds, 2);
}

static void step(struct input *in)
{
	switch (take8(in) % 8) {
	case 0:
	case 1:
	case 2:
		request(in);
		break;
	case 3:
	case 4:
		if (s.chan >= 0)
			packet(in);
		break;
	case 5:
		raw(in, take8(in) & 1 && s.chan >= 0 ? s.chan : *peer(in));
		break;
	case 6:
		drop(peer(in));
		break;
	default:
		if (take8(in) % 4 == 0)
			drop(&s.chan);
	}
	for (int i = 0; i < 3; i++)
		run_loop();
	for (int i = 0; i < PEERS; i++) {
		if (s.peers[i] >= 0)
			hear(s.peers[i]);
	}
}

/* --- a session --- */

static void clean_up(void)
{
	(void)rmdir(run_dir);
}

static void once(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	EXPECT(mkdtemp(run_dir) && !setenv("LIBVU_RUN_DIR", run_dir, 1));
	atexit(clean_up);
	vu_set_log_callback(quiet, NULL);
}

/* It would wait for the next device. */
static void forget_image(void)
{
	static const uint8_t zeroes[16];
	struct input none = {zeroes, 0};
	struct input discard[] = {{(const uint8_t *)"\0\2\0\0", 4}, {(const uint8_t *)"\0\3\1", 3}};

	for (int i = 0; i < 2; i++) {
		run_loop();
		if (*peer(&none) >= 0)
			request(&discard[i]);
		run_loop();
		run_loop();
	}
	drop(&s.peers[0]);
}

static int lowest_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct vu__msg m;
	int lowest;

	once();
	lowest = lowest_fd();
	memset(&s, 0, sizeof(s));
	s.chan = s.image = -1;
	for (int i = 0; i < PEERS; i++)
		s.peers[i] = -1;
	forget_watches();
	s.memfd = memfd_create("guest", MFD_CLOEXEC);
	EXPECT(s.memfd >= 0 && !ftruncate(s.memfd, MEMORY) &&
	       !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s.sv));
	EXPECT(vu_init(&s.dev, 2, s.sv[1], panic, set_watch, remove_watch, &iface));
	/* From its first message on it listens to tools. */
	vu__msg_init(&m, VU__SET_OWNER);
	message(&m);
	if (take8(&in) & 1)
		serve_a_queue();
	for (int i = 0; i < STEPS && in.left; i++)
		step(&in);
	for (int i = 0; i < PEERS; i++)
		drop(&s.peers[i]);
	drop(&s.chan);
	run_loop();
	forget_image();
	vu_stop_queues(&s.dev);
	vu_deinit(&s.dev);
	drop(&s.image);
	close(s.sv[0]);
	close(s.sv[1]);
	close(s.memfd);
	EXPECT(lowest_fd() == lowest);
	return 0;
}
