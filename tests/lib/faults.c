/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serves page faults of a front-end and of a back-end.  A thread of its own. */
#include "tests/lib/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define HUGETLBFS 0x958458f6

static void die(const char *what)
{
	fprintf(stderr, "faults: %s: %s\n", what, strerror(errno));
	abort();
}

static int open_ufd(void)
{
	struct uffdio_api api = {.api = UFFD_API,
				 .features = UFFD_FEATURE_MISSING_SHMEM |
					     UFFD_FEATURE_MISSING_HUGETLBFS};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	return fd;
}

bool faults_possible(void)
{
	int fd = open_ufd();

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

struct faults *faults_new(void)
{
	struct faults *f = calloc(1, sizeof(*f));

	if (!f)
		die("memory");
	f->own_ufd = open_ufd();
	f->backend_ufd = -1;
	f->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->own_ufd < 0 || f->stop < 0)
		die("userfaultfd");
	pthread_mutex_init(&f->lock, NULL);
	return f;
}

/* --- pages --- */

static uint64_t page_size(int fd)
{
	struct statfs fs;

	if (!fstatfs(fd, &fs) && (uint64_t)fs.f_type == HUGETLBFS)
		return fs.f_bsize;
	return sysconf(_SC_PAGESIZE);
}

unsigned int faults_take(struct faults *f, struct vu_frontend *fe, unsigned int region)
{
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct faults_region now, *r = &now;
	struct vu_frontend_region info;

	if (f->n == FAULTS_REGIONS || vu_frontend_region(fe, region, &info))
		die("region");
	*r = (struct faults_region){.mem = info.mem, .size = info.size};
	r->page = page_size(info.fd);
	r->source = mmap(NULL, r->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r->came = calloc(r->size / r->page, sizeof(*r->came));
	if (r->source == MAP_FAILED || !r->came)
		die("memory");
	memcpy(r->source, r->mem, r->size);
	if (fallocate(info.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, info.offset,
		      r->size))
		die("punching a hole");
	reg.range.start = (uintptr_t)r->mem;
	reg.range.len = r->size;
	if (ioctl(f->own_ufd, UFFDIO_REGISTER, &reg))
		die("registering guest memory");
	pthread_mutex_lock(&f->lock);
	f->regions[f->n++] = now;
	pthread_mutex_unlock(&f->lock);
	return f->n - 1;
}

/* With the lock held. */
static void wake_backend(struct faults *f, const struct faults_region *r, uint64_t offset)
{
	if (f->backend_ufd < 0 || f->no_wake)
		return;
	/* Like a front-end that has a new table, it has forgotten older addresses. */
	for (int i = FAULTS_BASES - 1; i >= 0; i--) {
		struct uffdio_range range = {.start = r->bases[i] + offset,
					     .len = r->page};

		if (!r->bases[i])
			continue;
		if (ioctl(f->backend_ufd, UFFDIO_WAKE, &range) && errno != ESRCH)
			die("waking the back-end");
		return;
	}
}

/* With the lock held. */
static void put_page(struct faults *f, struct faults_region *r, uint64_t offset)
{
	struct uffdio_copy copy = {.dst = (uintptr_t)r->mem + offset,
				   .src = (uintptr_t)r->source + offset,
				   .len = r->page};

	if (!r->came[offset / r->page]) {
		if (ioctl(f->own_ufd, UFFDIO_COPY, &copy) && errno != EEXIST)
			die("putting a page in");
		r->came[offset / r->page] = 1;
	} else {
		struct uffdio_range range = {.start = copy.dst, .len = copy.len};

		if (ioctl(f->own_ufd, UFFDIO_WAKE, &range))
			die("waking");
	}
	wake_backend(f, r, offset);
}

/* The region of an address of ours, or of the back-end's. */
static struct faults_region *find(struct faults *f, uint64_t addr, bool own,
				  uint64_t *offset)
{
	for (unsigned int i = 0; i < f->n; i++) {
		struct faults_region *r = &f->regions[i];

		*offset = addr - (uintptr_t)r->mem;
		if (own && *offset < r->size)
			return r;
		for (unsigned int b = 0; b < FAULTS_BASES && !own; b++) {
			*offset = addr - r->bases[b];
			if (r->bases[b] && *offset < r->size)
				return r;
		}
	}
	return NULL;
}

static void serve(struct faults *f, uint64_t addr, bool own)
{
	struct faults_region *r;
	uint64_t offset;

	pthread_mutex_lock(&f->lock);
	r = find(f, addr, own, &offset);
	if (!r)
		f->strays++;
	else if (!own && f->hold && f->nheld < FAULTS_HELD)
		f->held[f->nheld++] = addr;
	else
		put_page(f, r, offset & ~(r->page - 1));
	/* Last: who has counted them finds them dealt with. */
	if (!own)
		f->backend_faults++;
	pthread_mutex_unlock(&f->lock);
}

static void serve_all(struct faults *f, int ufd, bool own)
{
	struct uffd_msg msg;

	while (read(ufd, &msg, sizeof(msg)) == sizeof(msg)) {
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			serve(f, msg.arg.pagefault.address, own);
	}
}

static void *run(void *opaque)
{
	struct faults *f = opaque;

	for (;;) {
		struct pollfd fds[3] = {{.fd = f->stop, .events = POLLIN},
					{.fd = f->own_ufd, .events = POLLIN},
					{.fd = f->backend_ufd, .events = POLLIN}};

		poll(fds, 3, -1);
		if (fds[0].revents)
			return NULL;
		if (fds[1].revents)
			serve_all(f, f->own_ufd, true);
		if (fds[2].revents)
			serve_all(f, f->backend_ufd, false);
	}
}

/* --- life --- */

void faults_set_ufd(struct faults *f, int ufd)
{
	f->backend_ufd = ufd;
}

void faults_set_base(struct faults *f, unsigned int region, uint64_t base)
{
	uint64_t *bases = f->regions[region].bases;

	pthread_mutex_lock(&f->lock);
	memmove(bases, bases + 1, (FAULTS_BASES - 1) * sizeof(*bases));
	bases[FAULTS_BASES - 1] = base;
	pthread_mutex_unlock(&f->lock);
}

void faults_start(struct faults *f)
{
	f->running = true;
	if (pthread_create(&f->thread, NULL, run, f))
		die("thread");
}

void faults_hold(struct faults *f, bool hold)
{
	pthread_mutex_lock(&f->lock);
	f->hold = hold;
	while (!hold && f->nheld) {
		uint64_t offset;
		struct faults_region *r = find(f, f->held[--f->nheld], false, &offset);

		put_page(f, r, offset & ~(r->page - 1));
	}
	pthread_mutex_unlock(&f->lock);
}

unsigned int faults_count(struct faults *f)
{
	unsigned int n;

	pthread_mutex_lock(&f->lock);
	n = f->backend_faults;
	pthread_mutex_unlock(&f->lock);
	return n;
}

bool faults_wait(struct faults *f, unsigned int n)
{
	for (unsigned int i = 0; i < 5000; i++) {
		if (f->backend_faults >= n)
			return true;
		poll(NULL, 0, 1);
	}
	return false;
}

void faults_fetch_all(struct faults *f)
{
	for (unsigned int i = 0; i < f->n; i++) {
		struct faults_region *r = &f->regions[i];

		for (uint64_t off = 0; off < r->size; off += r->page) {
			pthread_mutex_lock(&f->lock);
			put_page(f, r, off);
			pthread_mutex_unlock(&f->lock);
		}
	}
}

bool faults_came(struct faults *f, unsigned int region, uint64_t offset)
{
	const struct faults_region *r = &f->regions[region];

	return r->came[offset / r->page];
}

bool faults_is_hole(struct vu_frontend *fe, unsigned int region, uint64_t offset)
{
	struct vu_frontend_region info;

	if (vu_frontend_region(fe, region, &info))
		die("region");
	offset += info.offset;
	return lseek(info.fd, offset, SEEK_HOLE) == (off_t)offset;
}

void faults_free(struct faults *f)
{
	uint64_t one = 1;

	if (f->running) {
		if (write(f->stop, &one, sizeof(one)) != sizeof(one))
			die("stopping");
		pthread_join(f->thread, NULL);
	}
	for (unsigned int i = 0; i < f->n; i++) {
		munmap(f->regions[i].source, f->regions[i].size);
		free(f->regions[i].came);
	}
	close(f->stop);
	close(f->own_ufd);
	if (f->backend_ufd >= 0)
		close(f->backend_ufd);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
