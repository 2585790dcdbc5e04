/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host can do, regions with missing pages, and what frees those who wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/sys.h"
#include "core/postcopy.h"

#define PAGE  4096u
#define PAGES 8u
#define SIZE  (PAGE * PAGES)

/* --- a host that cannot --- */

static struct vu__sys saved;

static int set_up(void **state)
{
	(void)state;
	saved = vu__sys;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	vu__sys = saved;
	return 0;
}

static int refusal;

static int no_userfaultfd(int flags)
{
	assert_false(flags & UFFD_USER_MODE_ONLY);
	errno = refusal;
	return -1;
}

static int no_open(const char *path, int flags, ...)
{
	(void)flags;
	assert_string_equal(path, "/dev/userfaultfd");
	errno = ENOENT;
	return -1;
}

static unsigned long refused; /* the ioctl that fails */
static uint64_t taken_away;   /* features or calls the kernel does not have */

static int poor_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int ret;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == refused) {
		errno = EINVAL;
		return -1;
	}
	ret = ioctl(fd, request, arg);
	if (request == UFFDIO_API)
		((struct uffdio_api *)arg)->features &= ~taken_away;
	if (request == UFFDIO_REGISTER)
		((struct uffdio_register *)arg)->ioctls &= ~taken_away;
	return ret;
}

static void the_host_can(void **state)
{
	char why[256] = "";

	(void)state;
	if (vu__postcopy_probe(why, sizeof(why)))
		fail_msg("%s", why);
	assert_string_equal(why, "");
}

static void without_the_right_there_is_the_device_file(void **state)
{
	char why[256] = "";

	(void)state;
	vu__sys.userfaultfd = no_userfaultfd;
	refusal = EPERM;
	assert_int_equal(vu__postcopy_probe(why, sizeof(why)), 0);
	vu__sys.open = no_open;
	assert_int_equal(vu__postcopy_probe(why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "CAP_SYS_PTRACE"));
	assert_non_null(strstr(why, "/dev/userfaultfd"));
}

static void each_reason_is_told(void **state)
{
	char why[256];

	(void)state;
	vu__sys.ioctl = poor_ioctl;
	refused = UFFDIO_API;
	assert_int_equal(vu__postcopy_probe(why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "huge pages"));
	refused = 0;
	taken_away = UFFD_FEATURE_MISSING_HUGETLBFS;
	assert_int_equal(vu__postcopy_probe(why, sizeof(why)), -EOPNOTSUPP);
	assert_non_null(strstr(why, "features 0x"));
	taken_away = 0;
	assert_int_equal(vu__postcopy_probe(why, sizeof(why)), 0);
	vu__sys.userfaultfd = no_userfaultfd;
	refusal = ENOSYS;
	vu__sys.open = no_open;
	assert_int_equal(vu__postcopy_probe(why, sizeof(why)), -ENOSYS);
	assert_null(strstr(why, "CAP_SYS_PTRACE"));
}

static void *no_memory(size_t n, size_t size)
{
	(void)n, (void)size;
	return NULL;
}

/* --- a guest's memory, as the front-end has it, and its mapping here --- */

struct guest {
	struct vu__postcopy p;
	int fd;
	uint8_t *mem;
	struct vu__region *region;
	int sv[2];
};

static struct vu__region *map_file(int fd)
{
	struct vu__region_desc desc = {.size = SIZE, .uaddr = 0x10000};
	struct vu__region *r;
	char why[256];

	if (vu__region_new(&desc, fd, &r, why, sizeof(why)))
		fail_msg("%s", why);
	return r;
}

static void add(struct guest *g, struct vu__region *r)
{
	char why[256];

	if (vu__postcopy_add(&g->p, r, why, sizeof(why)))
		fail_msg("%s", why);
}

/* Pages 0 to 3 have come, 4 to 7 are missing. */
static struct guest *guest_new(void)
{
	struct guest *g = calloc(1, sizeof(*g));
	char why[256];

	assert_non_null(g);
	vu__postcopy_init(&g->p);
	g->fd = memfd_create("guest", MFD_CLOEXEC);
	assert_true(g->fd >= 0);
	assert_int_equal(ftruncate(g->fd, SIZE), 0);
	g->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	assert_ptr_not_equal(g->mem, MAP_FAILED);
	memset(g->mem, 0x11, SIZE / 2);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, g->sv), 0);
	assert_int_equal(vu__postcopy_open(&g->p, why, sizeof(why)), 0);
	assert_int_equal(vu__postcopy_watch(&g->p, g->sv[1]), 0);
	g->region = map_file(g->fd);
	add(g, g->region);
	return g;
}

static void guest_free(struct guest *g)
{
	vu__postcopy_destroy(&g->p);
	if (g->region)
		vu__region_put(g->region);
	munmap(g->mem, SIZE);
	close(g->fd);
	close(g->sv[0]);
	close(g->sv[1]);
	free(g);
}

static bool is_hole(struct guest *g, unsigned int page)
{
	off_t at = (off_t)page * PAGE;

	return lseek(g->fd, at, SEEK_HOLE) == at;
}

/* Reads a fault as a front-end does.  Its offset in the region; -1: none in time. */
static long read_fault(struct guest *g, int ms)
{
	struct pollfd fd = {.fd = g->p.ufd, .events = POLLIN};
	struct uffd_msg msg;

	if (poll(&fd, 1, ms) <= 0 || read(g->p.ufd, &msg, sizeof(msg)) != sizeof(msg))
		return -1;
	return (long)(msg.arg.pagefault.address - (uintptr_t)g->region->host);
}

/* Somebody who reads or writes a byte, in this process or in the kernel. */
struct toucher {
	pthread_t thread;
	uint8_t *at;
	bool write, in_kernel;
	uint8_t got;
	atomic_bool done;
};

static void *touch(void *opaque)
{
	struct toucher *t = opaque;
	int pipe_fds[2];

	if (t->in_kernel) {
		assert_int_equal(pipe(pipe_fds), 0);
		assert_int_equal(write(pipe_fds[1], t->at, 1), 1);
		assert_int_equal(read(pipe_fds[0], &t->got, 1), 1);
		close(pipe_fds[0]);
		close(pipe_fds[1]);
	} else if (t->write) {
		__atomic_store_n(t->at, 0x77, __ATOMIC_RELAXED);
	} else {
		t->got = __atomic_load_n(t->at, __ATOMIC_RELAXED);
	}
	t->done = true;
	return NULL;
}

static void begin(struct toucher *t, uint8_t *at)
{
	t->at = at;
	assert_int_equal(pthread_create(&t->thread, NULL, touch, t), 0);
}

static void expect_waiting(struct toucher *t)
{
	poll(NULL, 0, 20);
	assert_false(t->done);
}

/* Within 5 s. */
static uint8_t finish(struct toucher *t)
{
	for (int i = 0; i < 5000 && !t->done; i++)
		poll(NULL, 0, 1);
	assert_true(t->done);
	pthread_join(t->thread, NULL);
	return t->got;
}

/* --- */

static void only_missing_pages_fault(void **state)
{
	struct guest *g = guest_new();
	struct toucher t = {.write = false}, k = {.in_kernel = true};
	struct uffdio_range range = {.start = (uintptr_t)g->region->host + 5 * PAGE,
				     .len = 2 * PAGE};

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(g->region->host[i * PAGE], 0x11);
	assert_int_equal(read_fault(g, 0), -1);
	begin(&t, g->region->host + 5 * PAGE + 7);
	assert_int_equal(read_fault(g, 5000) / PAGE, 5);
	begin(&k, g->region->host + 6 * PAGE);
	assert_int_equal(read_fault(g, 5000) / PAGE, 6);
	expect_waiting(&t);
	expect_waiting(&k);
	assert_true(is_hole(g, 5));
	g->mem[5 * PAGE + 7] = 0x55;
	g->mem[6 * PAGE] = 0x66;
	assert_int_equal(ioctl(g->p.ufd, UFFDIO_WAKE, &range), 0);
	assert_int_equal(finish(&t), 0x55);
	assert_int_equal(finish(&k), 0x66);
	guest_free(g);
}

static void closing_wakes_and_no_page_faults_any_more(void **state)
{
	struct guest *g = guest_new();
	struct toucher t = {.write = false};

	(void)state;
	begin(&t, g->region->host + 4 * PAGE);
	assert_int_equal(read_fault(g, 5000) / PAGE, 4);
	g->mem[4 * PAGE] = 0x44;
	expect_waiting(&t);
	vu__postcopy_close(&g->p);
	assert_int_equal(finish(&t), 0x44);
	assert_int_equal(g->region->host[7 * PAGE], 0);
	assert_int_equal(g->p.ufd, -1);
	guest_free(g);
}

/* What those read who wait for nobody: zeroes, which the guest never gets. */
static void expect_private_zeroes(struct guest *g, struct toucher *reader,
				  struct toucher *writer, struct toucher *kernel)
{
	assert_int_equal(finish(reader), 0);
	finish(writer);
	assert_int_equal(finish(kernel), 0);
	assert_true(vu__postcopy_lost(&g->p));
	assert_true(is_hole(g, 4) && is_hole(g, 5) && is_hole(g, 6));
	assert_int_equal(g->region->host[5 * PAGE], 0x77);
	/* Whoever comes later, too. */
	begin(reader, g->region->host + 7 * PAGE);
	assert_int_equal(finish(reader), 0);
	assert_true(is_hole(g, 7));
	/* What had come is the guest's as before. */
	g->mem[PAGE] = 0x99;
	assert_int_equal(g->region->host[PAGE], 0x99);
}

static void begin_three(struct guest *g, struct toucher *t)
{
	t[1].write = true;
	t[2].in_kernel = true;
	for (unsigned int i = 0; i < 3; i++)
		begin(&t[i], g->region->host + (4 + i) * PAGE);
	/* The front-end has read of two of them when it goes. */
	assert_true(read_fault(g, 5000) >= 0);
	assert_true(read_fault(g, 5000) >= 0);
}

static void a_front_end_that_leaves_frees_the_waiting(void **state)
{
	struct guest *g = guest_new();
	struct toucher t[3] = {{.write = false}};

	(void)state;
	begin_three(g, t);
	for (unsigned int i = 0; i < 3; i++)
		expect_waiting(&t[i]);
	shutdown(g->sv[0], SHUT_RDWR);
	expect_private_zeroes(g, &t[0], &t[1], &t[2]);
	vu__postcopy_close(&g->p);
	assert_true(is_hole(g, 4) && is_hole(g, 7));
	guest_free(g);
}

/* The front-end lives and reads faults away, but serves none. */
static void losing_frees_the_waiting_whoever_reads_along(void **state)
{
	struct guest *g = guest_new();
	struct toucher t[3] = {{.write = false}};
	int dup_ufd = dup(g->p.ufd), flags;
	struct uffd_msg msg;

	(void)state;
	begin_three(g, t);
	vu__postcopy_lose(&g->p);
	for (unsigned int i = 0; i < 2000 && !(t[0].done && t[1].done && t[2].done);
	     i++) {
		if (read(dup_ufd, &msg, sizeof(msg)) < 0)
			poll(NULL, 0, i % 2);
		flags = fcntl(dup_ufd, F_GETFL);
		assert_int_equal(fcntl(dup_ufd, F_SETFL, flags | O_NONBLOCK), 0);
	}
	expect_private_zeroes(g, &t[0], &t[1], &t[2]);
	close(dup_ufd);
	guest_free(g);
}

/* How often mapping one page of zeroes still fails. */
static atomic_int no_zeroes;

static void *poor_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	if (flags & MAP_ANONYMOUS && len == PAGE && no_zeroes-- > 0) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return mmap(addr, len, prot, flags, fd, off);
}

static void without_memory_for_zeroes_they_wait_on(void **state)
{
	struct guest *g;
	struct toucher t = {.write = false};

	(void)state;
	vu__sys.mmap = poor_mmap;
	no_zeroes = 2;
	g = guest_new();
	begin(&t, g->region->host + 4 * PAGE);
	assert_true(read_fault(g, 5000) >= 0);
	vu__postcopy_lose(&g->p);
	assert_int_equal(finish(&t), 0);
	assert_true(is_hole(g, 4));
	assert_true(no_zeroes <= 0);
	guest_free(g);
}

/* Nobody is freed one by one, as if another always read of them first. */
static void after_a_while_all_that_is_missing_is_replaced(void **state)
{
	struct guest *g;
	struct toucher t = {.write = false};

	(void)state;
	vu__sys.mmap = poor_mmap;
	no_zeroes = INT_MAX;
	g = guest_new();
	begin(&t, g->region->host + 5 * PAGE);
	assert_true(read_fault(g, 5000) >= 0);
	vu__postcopy_lose(&g->p);
	expect_waiting(&t);
	assert_int_equal(finish(&t), 0);
	for (unsigned int i = 4; i < PAGES; i++)
		assert_true(is_hole(g, i));
	g->mem[3 * PAGE] = 0x33;
	assert_int_equal(g->region->host[3 * PAGE], 0x33);
	guest_free(g);
}

/* The page comes, but nobody knows any more that somebody waits for it here. */
static void those_in_a_retired_region_are_woken(void **state)
{
	struct guest *g = guest_new();
	struct vu__region *fresh = map_file(g->fd);
	struct toucher t = {.write = false};
	struct vu__memmap *map;
	char why[256];

	(void)state;
	begin(&t, g->region->host + 4 * PAGE);
	assert_int_equal(read_fault(g, 5000) / PAGE, 4);
	add(g, fresh);
	assert_int_equal(vu__memmap_new(&fresh, 1, &map, why, sizeof(why)), 0);
	vu__postcopy_settle(&g->p, map);
	expect_waiting(&t);
	g->mem[4 * PAGE] = 0x44;
	assert_int_equal(finish(&t), 0x44);
	assert_false(vu__postcopy_lost(&g->p));
	vu__memmap_put(map);
	vu__region_put(fresh);
	guest_free(g);
}

static atomic_int unmapped;

static int counting_munmap(void *addr, size_t len)
{
	unmapped++;
	return munmap(addr, len);
}

static void a_region_nobody_has_any_more_is_unmapped(void **state)
{
	struct guest *g;
	struct vu__memmap *empty;
	char why[256];

	(void)state;
	vu__sys.munmap = counting_munmap;
	unmapped = 0;
	g = guest_new();
	vu__postcopy_prune(&g->p);
	assert_int_equal(unmapped, 0);
	vu__region_put(vu__region_get(g->region));
	vu__region_put(g->region);
	g->region = NULL;
	assert_int_equal(unmapped, 0);
	vu__postcopy_prune(&g->p);
	assert_int_equal(unmapped, 1);
	assert_int_equal(g->p.n, 0);
	/* One that is retired goes as soon as its last element does, without a call. */
	g->region = map_file(g->fd);
	add(g, g->region);
	assert_int_equal(vu__memmap_new(NULL, 0, &empty, why, sizeof(why)), 0);
	vu__postcopy_settle(&g->p, empty);
	vu__memmap_put(empty);
	vu__region_put(g->region);
	g->region = NULL;
	for (int i = 0; i < 5000 && unmapped < 2; i++)
		poll(NULL, 0, 1);
	assert_int_equal(unmapped, 2);
	guest_free(g);
}

static void many_regions(void **state)
{
	struct vu__region *regions[40];
	struct guest *g = guest_new();

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(regions); i++) {
		regions[i] = map_file(g->fd);
		add(g, regions[i]);
		add(g, regions[i]);
	}
	assert_int_equal(g->p.n, VU_ARRAY_SIZE(regions) + 1);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(regions); i++)
		vu__region_put(regions[i]);
	vu__postcopy_prune(&g->p);
	assert_int_equal(g->p.n, 1);
	guest_free(g);
}

static void memory_of_another_kind_is_refused(void **state)
{
	struct guest *g = guest_new();
	struct vu__region *r = map_file(g->fd);
	char why[256] = "";

	(void)state;
	vu__sys.ioctl = poor_ioctl;
	refused = UFFDIO_REGISTER;
	assert_int_equal(vu__postcopy_add(&g->p, r, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "userfaultfd"));
	/* One that can be registered, but nothing can be copied to. */
	refused = 0;
	taken_away = 1ull << _UFFDIO_COPY;
	assert_int_equal(vu__postcopy_add(&g->p, r, why, sizeof(why)), -EOPNOTSUPP);
	taken_away = 0;
	vu__region_put(r);
	assert_int_equal(g->p.n, 1);
	guest_free(g);
}

static void without_memory_for_its_list_a_region_is_refused(void **state)
{
	struct guest *g = guest_new();
	struct vu__region *r[9];
	char why[256] = "";
	int ret = 0;

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(r); i++)
		r[i] = map_file(g->fd);
	vu__sys.calloc = no_memory;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(r) && !ret; i++)
		ret = vu__postcopy_add(&g->p, r[i], why, sizeof(why));
	assert_int_equal(ret, -ENOMEM);
	assert_int_equal(g->p.n, 8);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(r); i++)
		vu__region_put(r[i]);
	guest_free(g);
}

static int no_thread(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
		     void *opaque)
{
	(void)thread, (void)attr, (void)run, (void)opaque;
	return EAGAIN;
}

static void without_a_guard_there_is_no_postcopy(void **state)
{
	struct vu__postcopy p;
	char why[256];
	int before, after;

	(void)state;
	before = dup(0);
	close(before);
	vu__postcopy_init(&p);
	assert_int_equal(vu__postcopy_open(&p, why, sizeof(why)), 0);
	vu__sys.thread_create = no_thread;
	assert_int_equal(vu__postcopy_watch(&p, 0), -EAGAIN);
	vu__postcopy_destroy(&p);
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_host_can),
		TEST(without_the_right_there_is_the_device_file),
		TEST(each_reason_is_told),
		TEST(only_missing_pages_fault),
		TEST(closing_wakes_and_no_page_faults_any_more),
		TEST(a_front_end_that_leaves_frees_the_waiting),
		TEST(losing_frees_the_waiting_whoever_reads_along),
		TEST(without_memory_for_zeroes_they_wait_on),
		TEST(after_a_while_all_that_is_missing_is_replaced),
		TEST(those_in_a_retired_region_are_woken),
		TEST(a_region_nobody_has_any_more_is_unmapped),
		TEST(many_regions),
		TEST(memory_of_another_kind_is_refused),
		TEST(without_memory_for_its_list_a_region_is_refused),
		TEST(without_a_guard_there_is_no_postcopy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
