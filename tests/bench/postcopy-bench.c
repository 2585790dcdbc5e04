/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a missing page costs in postcopy, from the touch to its end, when a device touches
 * it through libvu, beside a loop with nothing but two userfaultfds.  Both have the same
 * server: a thread that puts the page in through a mapping of its own and wakes the
 * other's.  They run in turns; what differs is the library's.
 *
 * Threads: one for the device's messages, one for its queue, one server for each side.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libvu/ext.h"
#include "libvu/frontend.h"
#include "tests/lib/faults.h"

#define PAGE	  4096ull
#define ROUNDS	  32u
#define QUEUE	  256u
#define RING	  0ull	       /* region 0: the ring, all there */
#define DATA	  (1ull << 30) /* region 1: missing */
#define BARE	  (2ull << 30) /* region 2: missing, and not the device's */
#define HEADER_AT 0x10000ull   /* what a request has beside its page */

enum mode { DEVICE_WRITES, POP_READS, KERNEL_WRITES, MODES };

static const char *const mode_names[MODES] = {
	"the device writes",
	"vu_queue_pop() reads",
	"the kernel writes",
};

/* Nanoseconds of each fault. */
struct samples {
	unsigned int n;
	uint64_t *ns;
};

static struct samples results[2][MODES]; /* [0]: bare, [1]: libvu */
static unsigned int batch;		 /* pages a mode and a round */
static int zeroes;			 /* /dev/zero: a disk that is never slow */

static void fail(const char *what)
{
	fprintf(stderr, "postcopy-bench: %s: %s\n", what,
		errno ? strerror(errno) : "failed");
	exit(1);
}

static void must(int ret, const char *what)
{
	if (!ret)
		return;
	errno = ret < -1 ? -ret : errno;
	fail(what);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void add_sample(bool libvu, enum mode mode, uint64_t begin)
{
	struct samples *s = &results[libvu][mode];

	s->ns[s->n++] = now_ns() - begin;
}

/* The page is missing when this begins. */
static void touch(uint8_t *page, enum mode mode)
{
	switch (mode) {
	case DEVICE_WRITES:
		__atomic_store_n(page, 1, __ATOMIC_RELAXED);
		break;
	case POP_READS:
		(void)__atomic_load_n(page, __ATOMIC_RELAXED);
		break;
	default:
		if (read(zeroes, page, PAGE) != PAGE)
			fail("reading into a page");
	}
}

/* Where the pages of a round begin. */
static uint64_t first_page(unsigned int round, enum mode mode)
{
	return (round * MODES + mode) * (uint64_t)batch;
}

/* --- nothing but userfaultfds --- */

static uint8_t *bare; /* a second mapping of region 2 */

static struct faults *bare_start(struct vu_frontend *fe)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct faults *f = faults_new();
	struct vu_frontend_region r;
	int ufd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (ufd < 0 || ioctl(ufd, UFFDIO_API, &api))
		fail("userfaultfd");
	must(vu_frontend_region(fe, 2, &r), "region");
	faults_take(f, fe, 2);
	bare = mmap(NULL, r.size, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, 0);
	if (bare == MAP_FAILED)
		fail("mmap");
	reg.range.start = (uintptr_t)bare;
	reg.range.len = r.size;
	if (ioctl(ufd, UFFDIO_REGISTER, &reg))
		fail("UFFDIO_REGISTER");
	faults_set_ufd(f, ufd);
	faults_set_base(f, 0, (uintptr_t)bare);
	faults_start(f);
	return f;
}

static void bare_round(unsigned int round, enum mode mode)
{
	for (unsigned int i = 0; i < batch; i++) {
		uint8_t *page = bare + (first_page(round, mode) + i) * PAGE;
		uint64_t begin = now_ns();

		touch(page, mode);
		add_sample(false, mode, begin);
	}
}

/* --- a device --- */

static VuDev dev;
static pthread_t messages, queue;
static int go; /* eventfd: there are requests of this mode, or it is over */
static enum mode asked;

static void on_panic(VuDev *d, const char *text)
{
	(void)d;
	errno = 0;
	fail(text);
}

static void on_watch(VuDev *d, int fd, int condition, vu_watch_cb cb, void *data)
{
	(void)d, (void)fd, (void)condition, (void)cb, (void)data;
}

static void on_unwatch(VuDev *d, int fd)
{
	(void)d, (void)fd;
}

static void *dispatch(void *opaque)
{
	(void)opaque;
	while (vu_dispatch(&dev))
		;
	return NULL;
}

/* One request of each page; the page is the one buffer that is not there. */
static void serve(VuVirtq *vq)
{
	for (;;) {
		uint64_t begin = now_ns();
		VuVirtqElement *e = vu_queue_pop(&dev, vq, sizeof(*e));

		if (!e)
			return;
		if (asked != POP_READS) {
			begin = now_ns();
			touch(e->in_sg[0].iov_base, asked);
		}
		add_sample(true, asked, begin);
		vu_queue_push(&dev, vq, e, 0);
		free(e);
	}
}

static void *serve_queue(void *opaque)
{
	uint64_t value;

	(void)opaque;
	while (read(go, &value, sizeof(value)) == sizeof(value) && asked != MODES) {
		serve(vu_get_queue(&dev, 0));
		vu_queue_notify(&dev, vu_get_queue(&dev, 0));
	}
	return NULL;
}

static void start_mode(enum mode mode)
{
	uint64_t one = 1;

	asked = mode;
	if (write(go, &one, sizeof(one)) != sizeof(one))
		fail("eventfd");
}

static void libvu_round(struct vu_frontend_queue *q, unsigned int round, enum mode mode)
{
	uint64_t page = DATA + first_page(round, mode) * PAGE;

	for (unsigned int i = 0; i < batch; i++) {
		struct vu_frontend_buf bufs[2] = {
			{mode == POP_READS ? page + i * PAGE : HEADER_AT, 16, false},
			{mode == POP_READS ? HEADER_AT : page + i * PAGE, PAGE, true},
		};

		must(vu_frontend_submit(q, bufs, 2, i), "submit");
	}
	start_mode(mode);
	while (vu_frontend_outstanding(q)) {
		must(vu_frontend_wait(q, 10000), "a completion");
		while (vu_frontend_reap(q, NULL, NULL) == 1)
			;
	}
}

static struct faults *libvu_start(struct vu_frontend *fe)
{
	struct faults *f = faults_new();
	int ufd;

	faults_take(f, fe, 1);
	must(vu_frontend_postcopy_advise(fe, &ufd), "POSTCOPY_ADVISE");
	faults_set_ufd(f, ufd);
	must(vu_frontend_postcopy_listen(fe), "POSTCOPY_LISTEN");
	for (unsigned int i = 0; i < 2; i++) {
		struct vu_frontend_region r;

		must(vu_frontend_add_mem_reg(fe, i), "ADD_MEM_REG");
		must(vu_frontend_region(fe, i, &r), "region");
		if (i == 1)
			faults_set_base(f, 0, r.backend);
	}
	must(vu_frontend_postcopy_ack(fe, 0), "acknowledging");
	faults_start(f);
	return f;
}

static struct vu_frontend *connect_device(void)
{
	static const VuDevIface iface;
	struct vu_frontend *fe;
	uint64_t size = (uint64_t)ROUNDS * MODES * batch * PAGE;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		fail("socketpair");
	if (!vu_init(&dev, 1, sv[1], on_panic, on_watch, on_unwatch, &iface) ||
	    pthread_create(&messages, NULL, dispatch, NULL))
		fail("the device");
	fe = vu_frontend_new(sv[0]);
	must(vu_frontend_negotiate(fe, 1ull << 32, ~0ull), "negotiation");
	must(vu_frontend_add_memory(fe, RING, 1 << 20, 0), "memory");
	memset(vu_frontend_ptr(fe, RING, 1 << 20), 0, 1 << 20);
	if (vu_frontend_add_memory(fe, DATA, size, 0) != 1 ||
	    vu_frontend_add_memory(fe, BARE, size, 0) != 2)
		fail("memory");
	return fe;
}

/* --- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * The median over all rounds of each round's percentile, in microseconds: what else the
 * machine did in some of the rounds does not count.
 */
static double percentile(struct samples *s, unsigned int percent)
{
	uint64_t of_round[ROUNDS];

	for (unsigned int r = 0; r < ROUNDS; r++) {
		uint64_t *ns = s->ns + r * batch;

		qsort(ns, batch, sizeof(*ns), compare);
		of_round[r] = ns[(batch - 1) * percent / 100];
	}
	qsort(of_round, ROUNDS, sizeof(*of_round), compare);
	return of_round[ROUNDS / 2] / 1000.0;
}

static void print_results(void)
{
	printf("us a missing page      |      bare       |      libvu      |  libvu / "
	       "bare\n");
	printf("%-22s | %7s %7s | %7s %7s | %6s %6s\n", "who waits", "p50", "p99", "p50",
	       "p99", "p50", "p99");
	for (unsigned int m = 0; m < MODES; m++) {
		double p[2][2];

		for (unsigned int side = 0; side < 2; side++) {
			struct samples *s = &results[side][m];

			p[side][0] = percentile(s, 50);
			p[side][1] = percentile(s, 99);
		}
		printf("%-22s | %7.1f %7.1f | %7.1f %7.1f | %6.2f %6.2f\n", mode_names[m],
		       p[0][0], p[0][1], p[1][0], p[1][1], p[1][0] / p[0][0],
		       p[1][1] / p[0][1]);
	}
}

static void run(void)
{
	struct vu_frontend *fe = connect_device();
	struct faults *f[2] = {bare_start(fe), libvu_start(fe)};
	struct vu_frontend_queue *q = vu_frontend_queue_new(fe, 0, QUEUE * 2, RING);

	if (!q)
		fail("queue");
	must(vu_frontend_queue_start(q, 0), "queue");
	go = eventfd(0, EFD_CLOEXEC);
	if (go < 0 || pthread_create(&queue, NULL, serve_queue, NULL))
		fail("thread");
	for (unsigned int r = 0; r < ROUNDS; r++) {
		for (enum mode m = 0; m < MODES; m++) {
			bare_round(r, m);
			libvu_round(q, r, m);
		}
	}
	start_mode(MODES);
	pthread_join(queue, NULL);
	for (unsigned int side = 0; side < 2; side++) {
		if (f[side]->strays || faults_count(f[side]) < ROUNDS * MODES * batch)
			fail("pages came without a fault");
	}
	must(vu_frontend_postcopy_end(fe), "POSTCOPY_END");
	vu_frontend_free(fe);
	pthread_join(messages, NULL);
	for (unsigned int side = 0; side < 2; side++)
		faults_free(f[side]);
	vu_deinit(&dev);
}

int main(int argc, char **argv)
{
	char *end = NULL;

	batch = argc > 1 ? strtoul(argv[1], &end, 10) : QUEUE;
	if (argc > 2 || (end && *end) || !batch || batch > QUEUE) {
		fprintf(stderr,
			"Usage: postcopy-bench [PAGES]\n"
			"Measures page faults in postcopy: %u rounds of PAGES (1 to %u) "
			"each way.\n",
			ROUNDS, QUEUE);
		return 2;
	}
	zeroes = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	for (unsigned int side = 0; side < 2; side++) {
		for (unsigned int m = 0; m < MODES; m++) {
			results[side][m].ns = calloc(ROUNDS * batch, sizeof(uint64_t));
			if (!results[side][m].ns)
				fail("memory");
		}
	}
	run();
	print_results();
	return 0;
}
