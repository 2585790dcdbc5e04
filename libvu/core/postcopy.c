/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The userfaultfd, what is registered with it, and the guard.  Threads: as the header. */
#include "core/postcopy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/sys.h"

#define FEATURES ((uint64_t)(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS))
#define UFD_IOCTLS \
	(VU_BIT(_UFFDIO_REGISTER) | VU_BIT(_UFFDIO_UNREGISTER) | VU_BIT(_UFFDIO_API))
#define RANGE_IOCTLS (VU_BIT(_UFFDIO_COPY) | VU_BIT(_UFFDIO_WAKE))

/* How often those are woken whose waker may have gone. */
#define WAKE_AGAIN_MS 100
/* A front-end that lives may read along and serve nobody.  So often it may be faster. */
#define WAKES_HEARD 10

/* --- the userfaultfd --- */

/* The device file gives what the system call wants a capability for. */
static int new_from_device(int flags)
{
	VU_CLEANUP_FD int dev = vu__sys.open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	return dev < 0 ? -1 : vu__sys.ioctl(dev, USERFAULTFD_IOC_NEW, flags);
}

/*
 * Never one with UFFD_USER_MODE_ONLY, which needs no rights: devices hand guest memory
 * to the kernel, and there such a fault would be an error.
 */
static int new_ufd(char *why, size_t why_size)
{
	const int flags = O_CLOEXEC | O_NONBLOCK;
	int err, fd = vu__sys.userfaultfd(flags);

	if (fd >= 0)
		return fd;
	err = errno;
	fd = new_from_device(flags);
	if (fd >= 0)
		return fd;
	snprintf(why, why_size, "userfaultfd: %s%s", strerror(err),
		 err != EPERM
			 ? ""
			 : "; it takes CAP_SYS_PTRACE, access to /dev/userfaultfd, or "
			   "sysctl vm.unprivileged_userfaultfd=1");
	return -err;
}

/* The handshake, which also says what the kernel can do. */
static int check_api(int fd, char *why, size_t why_size)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};

	if (vu__sys.ioctl(fd, UFFDIO_API, &api)) {
		int err = errno;

		snprintf(why, why_size, "userfaultfd of shared memory and huge pages: %s",
			 strerror(err));
		return -err;
	}
	if ((api.features & FEATURES) == FEATURES &&
	    (api.ioctls & UFD_IOCTLS) == UFD_IOCTLS)
		return 0;
	snprintf(why, why_size, "userfaultfd has features 0x%llx and calls 0x%llx only",
		 (unsigned long long)api.features, (unsigned long long)api.ioctls);
	return -EOPNOTSUPP;
}

static int make_ufd(char *why, size_t why_size)
{
	VU_CLEANUP_FD int fd = new_ufd(why, why_size);
	int ret = fd < 0 ? fd : check_api(fd, why, why_size);

	return ret ? ret : vu__steal_fd(&fd);
}

int vu__postcopy_probe(char *why, size_t why_size)
{
	VU_CLEANUP_FD int fd = make_ufd(why, why_size);

	return fd < 0 ? fd : 0;
}

/* --- life --- */

void vu__postcopy_init(struct vu__postcopy *p)
{
	*p = (struct vu__postcopy){.ufd = -1, .sock = -1, .wake_fd = -1};
	pthread_mutex_init(&p->lock, NULL);
}

void vu__postcopy_destroy(struct vu__postcopy *p)
{
	vu__postcopy_close(p);
	pthread_mutex_destroy(&p->lock);
}

int vu__postcopy_open(struct vu__postcopy *p, char *why, size_t why_size)
{
	int fd = make_ufd(why, why_size);

	if (fd < 0)
		return fd;
	vu__postcopy_close(p);
	p->ufd = fd;
	return 0;
}

/* --- ranges --- */

/* With the lock held. */
static void drop_range(struct vu__postcopy *p, unsigned int i)
{
	vu__region_put(p->ranges[i].region);
	p->ranges[i] = p->ranges[--p->n];
}

/* With the lock held.  Unmapping a region takes it out of the userfaultfd. */
static void drop_unused(struct vu__postcopy *p)
{
	for (unsigned int i = p->n; i--;) {
		if (__atomic_load_n(&p->ranges[i].region->refs, __ATOMIC_ACQUIRE) == 1)
			drop_range(p, i);
	}
}

static int find_room(struct vu__postcopy *p)
{
	unsigned int room = p->room ? 2 * p->room : 8;
	struct vu__postcopy_range *ranges;

	if (p->n < p->room)
		return 0;
	ranges = vu__sys.calloc(room, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	if (p->n)
		memcpy(ranges, p->ranges, p->n * sizeof(*ranges));
	free(p->ranges);
	p->ranges = ranges;
	p->room = room;
	return 0;
}

static int register_region(struct vu__postcopy *p, struct vu__region *r, char *why,
			   size_t why_size)
{
	struct uffdio_register reg = {
		.range = {.start = (uintptr_t)r->map_addr, .len = r->map_len},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int err = 0;

	/* A huge page made of small ones would bring zeroes for the neighbours. */
	(void)madvise(r->map_addr, r->map_len, MADV_NOHUGEPAGE);
	if (vu__sys.ioctl(p->ufd, UFFDIO_REGISTER, &reg))
		err = errno;
	else if ((reg.ioctls & RANGE_IOCTLS) != RANGE_IOCTLS)
		err = EOPNOTSUPP;
	if (err)
		snprintf(why, why_size,
			 "region at 0x%llx: its kind of memory cannot be "
			 "registered with a userfaultfd: %s",
			 (unsigned long long)r->desc.gpa, strerror(err));
	return -err;
}

static bool is_known(const struct vu__postcopy *p, const struct vu__region *r)
{
	for (unsigned int i = 0; i < p->n; i++) {
		if (p->ranges[i].region == r)
			return true;
	}
	return false;
}

/* With the lock held. */
static int add(struct vu__postcopy *p, struct vu__region *r, char *why, size_t why_size)
{
	int ret;

	drop_unused(p);
	if (is_known(p, r))
		return 0;
	ret = find_room(p);
	if (!ret)
		ret = register_region(p, r, why, why_size);
	if (!ret)
		p->ranges[p->n++] = (struct vu__postcopy_range){vu__region_get(r), false};
	return ret;
}

int vu__postcopy_add(struct vu__postcopy *p, struct vu__region *r, char *why,
		     size_t why_size)
{
	int ret;

	pthread_mutex_lock(&p->lock);
	ret = add(p, r, why, why_size);
	pthread_mutex_unlock(&p->lock);
	return ret;
}

static bool map_has(const struct vu__memmap *map, const struct vu__region *r)
{
	for (unsigned int i = 0; i < map->n; i++) {
		if (map->regions[i] == r)
			return true;
	}
	return false;
}

void vu__postcopy_settle(struct vu__postcopy *p, const struct vu__memmap *map)
{
	pthread_mutex_lock(&p->lock);
	drop_unused(p);
	for (unsigned int i = 0; i < p->n; i++)
		p->ranges[i].retired = !map_has(map, p->ranges[i].region);
	pthread_mutex_unlock(&p->lock);
	if (p->watching)
		vu__event_signal(p->wake_fd);
}

void vu__postcopy_prune(struct vu__postcopy *p)
{
	pthread_mutex_lock(&p->lock);
	drop_unused(p);
	pthread_mutex_unlock(&p->lock);
}

static void wake(struct vu__postcopy *p, const void *addr, size_t len)
{
	struct uffdio_range range = {.start = (uintptr_t)addr, .len = len};

	(void)vu__sys.ioctl(p->ufd, UFFDIO_WAKE, &range);
}

static void unregister(struct vu__postcopy *p, const struct vu__region *r)
{
	struct uffdio_range range = {.start = (uintptr_t)r->map_addr, .len = r->map_len};

	(void)vu__sys.ioctl(p->ufd, UFFDIO_UNREGISTER, &range);
	(void)madvise(r->map_addr, r->map_len, MADV_HUGEPAGE);
}

/* --- the guard --- */

/* With the lock held. */
static const struct vu__region *find(const struct vu__postcopy *p, uintptr_t addr)
{
	for (unsigned int i = 0; i < p->n; i++) {
		const struct vu__region *r = p->ranges[i].region;

		if (addr - (uintptr_t)r->map_addr < r->map_len)
			return r;
	}
	return NULL;
}

/*
 * Puts a page of our own over the missing one, so that nothing comes into the file.  It
 * is moved there in one step; mapping it there would do, but for a sanitizer it would be
 * a write that races with the reads it is made for.
 */
static bool replace_page(void *page, size_t size)
{
	void *fresh = vu__sys.mmap(NULL, size, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (fresh == MAP_FAILED)
		return false;
	if (mremap(fresh, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, page) != MAP_FAILED)
		return true;
	vu__sys.munmap(fresh, size);
	return false;
}

static void give_zeroes(struct vu__postcopy *p, uintptr_t addr)
{
	const struct vu__region *r;

	pthread_mutex_lock(&p->lock);
	r = find(p, addr);
	if (r) {
		void *page = (void *)(addr & ~(r->page - 1));

		/* Without memory for it the waiter is woken later, and asks again. */
		if (replace_page(page, r->page))
			wake(p, page, r->page);
	}
	pthread_mutex_unlock(&p->lock);
}

static void serve_lost(struct vu__postcopy *p)
{
	struct uffd_msg msg;

	/* The front-end has the same file, and with it this flag. */
	if (vu__fd_set_nonblock(p->ufd))
		return;
	while (read(p->ufd, &msg, sizeof(msg)) == sizeof(msg)) {
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			give_zeroes(p, msg.arg.pagefault.address);
	}
}

/* With the lock held.  Each run of pages in [@at, @at + @n) that are not in memory. */
static void replace_runs(const struct vu__region *r, uint8_t *at,
			 const unsigned char *in_memory, size_t n)
{
	const size_t page = sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < n;) {
		size_t begin = i;

		while (i < n && !(in_memory[i] & 1))
			i++;
		if (i > begin && !((begin | i) * page % r->page))
			(void)replace_page(at + begin * page, (i - begin) * page);
		i += i == begin;
	}
}

/* A whole number of huge pages. */
#define RUN_PAGES (1ul << 18)

/*
 * Puts zeroes over all that is missing.  Waiting only for those who tell is better: the
 * kernel says of a page that was swapped out that it is missing, too.
 */
static void replace_all_missing(struct vu__postcopy *p)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	unsigned char *in_memory = malloc(RUN_PAGES);

	pthread_mutex_lock(&p->lock);
	for (unsigned int i = 0; i < p->n && in_memory; i++) {
		const struct vu__region *r = p->ranges[i].region;

		for (size_t off = 0; off < r->map_len; off += RUN_PAGES * page) {
			size_t len = VU_MIN(RUN_PAGES * page, r->map_len - off);
			uint8_t *at = (uint8_t *)r->map_addr + off;

			if (!mincore(at, len, in_memory))
				replace_runs(r, at, in_memory, len / page);
		}
	}
	pthread_mutex_unlock(&p->lock);
	free(in_memory);
}

/* Makes waiters look again, and those still waiting say so again.  True if any may. */
static bool wake_ranges(struct vu__postcopy *p, bool all)
{
	bool found = false;

	pthread_mutex_lock(&p->lock);
	drop_unused(p);
	for (unsigned int i = 0; i < p->n; i++) {
		const struct vu__region *r = p->ranges[i].region;

		if (!all && !p->ranges[i].retired)
			continue;
		found = true;
		wake(p, r->map_addr, r->map_len);
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

/* A round after the loss.  Whoever waits since the last one was heard by another. */
static void wake_lost(struct vu__postcopy *p, unsigned int round)
{
	if (round % WAKES_HEARD == 0)
		replace_all_missing(p);
	wake_ranges(p, true);
	serve_lost(p);
}

static void *guard(void *opaque)
{
	struct vu__postcopy *p = opaque;
	unsigned int rounds = 0; /* since the loss */
	bool again = false;

	while (!__atomic_load_n(&p->quit, __ATOMIC_ACQUIRE)) {
		bool lost = vu__postcopy_lost(p);
		struct pollfd fds[2] = {
			{.fd = p->wake_fd, .events = POLLIN},
			{.fd = lost ? p->ufd : p->sock,
			 .events = lost ? POLLIN : POLLRDHUP},
		};
		int n = poll(fds, 2, again ? WAKE_AGAIN_MS : -1);
		uint64_t value;

		vu__event_consume(p->wake_fd, &value);
		if (!lost && n > 0 && fds[1].revents)
			vu__postcopy_lose(p);
		if (lost && n > 0)
			serve_lost(p);
		else if (vu__postcopy_lost(p))
			wake_lost(p, ++rounds);
		else
			again = wake_ranges(p, false);
		again |= vu__postcopy_lost(p);
	}
	return NULL;
}

int vu__postcopy_watch(struct vu__postcopy *p, int sock)
{
	sigset_t all, before;
	int err;

	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake_fd < 0)
		return -errno;
	p->sock = sock;
	p->quit = false;
	p->watching = true;
	/* Signals are the program's own threads' to take. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = vu__sys.thread_create(&p->thread, NULL, guard, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		p->watching = false;
		close(p->wake_fd);
		p->wake_fd = -1;
	}
	return -err;
}

void vu__postcopy_lose(struct vu__postcopy *p)
{
	/* Before any zeroes are given: who has read some finds it set. */
	__atomic_store_n(&p->lost, true, __ATOMIC_RELEASE);
	if (p->watching)
		vu__event_signal(p->wake_fd);
}

static void stop_guard(struct vu__postcopy *p)
{
	if (!p->watching)
		return;
	__atomic_store_n(&p->quit, true, __ATOMIC_RELEASE);
	vu__event_signal(p->wake_fd);
	pthread_join(p->thread, NULL);
	p->watching = false;
	close(p->wake_fd);
	p->wake_fd = -1;
}

void vu__postcopy_close(struct vu__postcopy *p)
{
	stop_guard(p);
	pthread_mutex_lock(&p->lock);
	while (p->n) {
		/* Lost ones are only unmapped: nothing is to be let go into a hole. */
		if (!p->lost)
			unregister(p, p->ranges[p->n - 1].region);
		drop_range(p, p->n - 1);
	}
	free(vu__steal_ptr(&p->ranges));
	p->room = 0;
	pthread_mutex_unlock(&p->lock);
	if (p->ufd >= 0)
		close(p->ufd);
	p->ufd = -1;
}
