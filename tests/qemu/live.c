/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs in the guest: random I/O that goes on while the virtual machine moves or its
 * back-end dies, and lets go of nothing that was read.
 *
 *	live DISK SEED THREADS
 *
 * What is read stays in an arena that the processor does not write to, with a note of
 * which sector and generation lies where, so a page that a back-end wrote and did not
 * tell of shows when the arena is checked after the move.  Half of the arena is of
 * ordinary pages, read into in small pieces; the other half of
 * huge pages, for buffers that are long in physical memory too.
 *
 * Standard input says what to do, a word a line; each is answered with a line:
 *
 *	check	finish what is in flight, compare the arena, wait for
 *	go	go on
 *	end	as check, read the whole disk too, and end
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "stamp.h"

#define HUGE_PAGE   (2ull << 20)
#define SMALL_ARENA (24ull << 20)
#define LARGE_ARENA (32ull << 20)
#define LARGE	    (1u << 20)	/* bytes at most, a read into the large arena */
#define SMALL	    (16u << 10) /* a buffer in the small one */
#define WRITE_MAX   (128u << 10)
#define PIECES	    4

/* What lies in a sector of an arena; generation 0: nothing. */
struct held {
	uint32_t at;
	uint32_t generation;
};

struct arena {
	uint8_t *data;
	struct held *held;
	uint64_t n; /* sectors */
};

struct worker {
	pthread_t thread;
	uint64_t first, count; /* sectors of the disk that are this one's alone */
	uint32_t *generation;  /* of each */
	uint64_t rng;
	uint64_t ops, bytes, checked;
	struct arena small, large;
	uint8_t *buf; /* written from */
	bool failed;
};

static enum order { GO, CHECK, END } order;
static unsigned int waiting;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t filled;

/* --- the arenas --- */

static uint8_t *map(uint64_t len, int advice)
{
	uint8_t *p = mmap(NULL, len + HUGE_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("verify: mmap");
		exit(1);
	}
	p += -(uintptr_t)p % HUGE_PAGE;
	if (madvise(p, len, advice)) {
		perror("verify: madvise");
		exit(1);
	}
	memset(p, 1, len);
	return p;
}

/* Takes @data apart for @threads; the part of number @t. */
static void make_arena(struct arena *a, uint8_t *data, uint64_t len, unsigned int t,
		       unsigned int threads)
{
	a->n = len / threads / LARGE * LARGE / SECTOR;
	a->data = data + t * a->n * SECTOR;
	a->held = calloc(a->n, sizeof(*a->held));
}

static bool check_arena(struct worker *w, const struct arena *a)
{
	unsigned int bad = 0;

	for (uint64_t i = 0; i < a->n; i++) {
		const struct held *h = &a->held[i];

		if (!h->generation)
			continue;
		w->checked++;
		if (!check_stamp(a->data + i * SECTOR, w->first + h->at, h->generation) &&
		    ++bad == 3)
			break;
	}
	return !bad;
}

/* Huge pages the kernel has given us, in MiB. */
static unsigned long huge_mib(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	unsigned long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f) &&
	       sscanf(line, "AnonHugePages: %lu", &kib) != 1)
		;
	if (f)
		fclose(f);
	return kib >> 10;
}

/* --- I/O --- */

/* Where among the worker's sectors: often among a few, so that they change fast. */
static uint64_t somewhere(struct worker *w, uint64_t n)
{
	uint64_t room = next_random(&w->rng) % 2 ? 256 : w->count;

	return next_random(&w->rng) % (room - n);
}

static bool write_some(struct worker *w)
{
	bool more = next_random(&w->rng) % 16 == 0;
	uint64_t n = 1 + next_random(&w->rng) % ((more ? WRITE_MAX : SMALL) / SECTOR - 1);
	uint64_t at = somewhere(w, n);

	w->bytes += n * SECTOR;
	for (uint64_t i = 0; i < n; i++)
		make_stamp((struct stamp *)(w->buf + i * SECTOR), w->first + at + i,
			   ++w->generation[at + i]);
	if (!io(true, w->buf, w->first + at, n))
		return false;
	return next_random(&w->rng) % 32 || !fdatasync(disk);
}

/* Notes what was read; looks at a sector of each page right away. */
static bool note(struct worker *w, struct arena *a, uint64_t to, uint64_t n, uint64_t at)
{
	bool ok = true;

	for (uint64_t i = 0; i < n; i++)
		a->held[to + i] = (struct held){at + i, w->generation[at + i]};
	for (uint64_t i = 0; ok && i < n; i += 8)
		ok = check_stamp(a->data + (to + i) * SECTOR, w->first + at + i,
				 w->generation[at + i]);
	return ok;
}

static bool read_large(struct worker *w)
{
	struct arena *a = &w->large;
	uint64_t n = LARGE / SECTOR / 4 + next_random(&w->rng) % (LARGE / SECTOR * 3 / 4);
	uint64_t at = next_random(&w->rng) % (w->count - n);
	uint64_t to = next_random(&w->rng) % (a->n - n);

	w->bytes += n * SECTOR;
	return io(false, a->data + to * SECTOR, w->first + at, n) &&
	       note(w, a, to, n, at);
}

/* One request, up to PIECES buffers, each in a part of the arena of its own. */
static bool read_small(struct worker *w)
{
	unsigned int pieces = 1 + next_random(&w->rng) % PIECES;
	uint64_t part = w->small.n / PIECES, total = 0, at, to[PIECES];
	struct iovec iov[PIECES];
	ssize_t ret;

	for (unsigned int p = 0; p < pieces; p++) {
		uint64_t n = 1 + next_random(&w->rng) % (SMALL / SECTOR - 1);

		to[p] = p * part + next_random(&w->rng) % (part - n);
		iov[p] = (struct iovec){w->small.data + to[p] * SECTOR, n * SECTOR};
		total += n;
	}
	at = somewhere(w, total);
	w->bytes += total * SECTOR;
	ret = preadv(disk, iov, pieces, (w->first + at) * SECTOR);
	if (ret != (ssize_t)(total * SECTOR)) {
		fprintf(stderr, "verify: read of %llu sectors in %u pieces: %s\n",
			(unsigned long long)total, pieces,
			ret < 0 ? strerror(errno) : "short");
		return false;
	}
	for (unsigned int p = 0; p < pieces; p++) {
		uint64_t n = iov[p].iov_len / SECTOR;

		if (!note(w, &w->small, to[p], n, at))
			return false;
		at += n;
	}
	return true;
}

static bool one_op(struct worker *w)
{
	unsigned int dice = next_random(&w->rng) % 16;

	w->ops++;
	if (dice == 0)
		return read_large(w);
	return dice < 8 ? write_some(w) : read_small(w);
}

static bool fill(struct worker *w)
{
	for (uint64_t at = 0; at < w->count; at += WRITE_MAX / SECTOR) {
		uint64_t n = w->count - at < WRITE_MAX / SECTOR ? w->count - at
								: WRITE_MAX / SECTOR;

		for (uint64_t i = 0; i < n; i++)
			make_stamp((struct stamp *)(w->buf + i * SECTOR),
				   w->first + at + i, ++w->generation[at + i]);
		if (!io(true, w->buf, w->first + at, n))
			return false;
	}
	return true;
}

static bool check_disk(struct worker *w)
{
	for (uint64_t at = 0; at < w->count; at += WRITE_MAX / SECTOR) {
		uint64_t n = w->count - at < WRITE_MAX / SECTOR ? w->count - at
								: WRITE_MAX / SECTOR;

		if (!io(false, w->buf, w->first + at, n))
			return false;
		for (uint64_t i = 0; i < n; i++) {
			if (!check_stamp(w->buf + i * SECTOR, w->first + at + i,
					 w->generation[at + i]))
				return false;
		}
	}
	return true;
}

/* --- threads --- */

static void check(struct worker *w, bool all)
{
	bool ok = check_arena(w, &w->small);

	ok = check_arena(w, &w->large) && ok;
	if (all)
		ok = check_disk(w) && ok;
	w->failed |= !ok;
}

static void *work(void *opaque)
{
	struct worker *w = opaque;
	enum order now;

	w->failed = !fill(w);
	pthread_barrier_wait(&filled);
	do {
		while (!w->failed && __atomic_load_n(&order, __ATOMIC_RELAXED) == GO)
			w->failed = !one_op(w);
		pthread_mutex_lock(&lock);
		while (order == GO)
			pthread_cond_wait(&changed, &lock);
		now = order;
		pthread_mutex_unlock(&lock);
		check(w, now == END);
		pthread_mutex_lock(&lock);
		waiting++;
		pthread_cond_broadcast(&changed);
		while (order == CHECK)
			pthread_cond_wait(&changed, &lock);
		waiting--;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
	} while (now != END);
	return NULL;
}

static void set_order(enum order to)
{
	pthread_mutex_lock(&lock);
	__atomic_store_n(&order, to, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static bool report(const char *name, struct worker *w, unsigned int threads)
{
	uint64_t ops = 0, bytes = 0, checked = 0;
	bool failed = false;

	for (unsigned int t = 0; t < threads; t++) {
		ops += w[t].ops;
		bytes += w[t].bytes;
		checked += w[t].checked;
		failed |= w[t].failed;
	}
	printf("VU-LIVE %s %s requests=%llu MiB=%llu compared=%llu\n", name,
	       failed ? "failed" : "ok", (unsigned long long)ops,
	       (unsigned long long)(bytes >> 20), (unsigned long long)checked);
	return !failed;
}

static void start(struct worker *w, unsigned int threads)
{
	uint8_t *small = map(SMALL_ARENA, MADV_NOHUGEPAGE);
	uint8_t *large = map(LARGE_ARENA, MADV_HUGEPAGE);
	uint8_t *buf = map(threads * WRITE_MAX, MADV_NOHUGEPAGE);

	pthread_barrier_init(&filled, NULL, threads + 1);
	for (unsigned int t = 0; t < threads; t++) {
		w[t].count = sectors / threads;
		w[t].first = t * w[t].count;
		w[t].generation = calloc(w[t].count, sizeof(uint32_t));
		w[t].rng = seed * 1000003 + t * 7919 + 1;
		w[t].buf = buf + t * WRITE_MAX;
		make_arena(&w[t].small, small, SMALL_ARENA, t, threads);
		make_arena(&w[t].large, large, LARGE_ARENA, t, threads);
		if (pthread_create(&w[t].thread, NULL, work, &w[t]))
			exit(1);
	}
	pthread_barrier_wait(&filled);
	printf("VU-LIVE started threads=%u huge=%lu\n", threads, huge_mib());
}

static void await_waiting(unsigned int n)
{
	pthread_mutex_lock(&lock);
	while (waiting != n)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void quiet_terminal(void)
{
	struct termios t;

	if (tcgetattr(0, &t))
		return;
	t.c_lflag &= ~ECHO;
	tcsetattr(0, TCSANOW, &t);
}

int main(int argc, char **argv)
{
	unsigned int threads = argc == 4 ? atoi(argv[3]) : 0;
	struct worker *w = calloc(threads, sizeof(*w));
	char word[32];
	bool ok;

	if (!threads)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	quiet_terminal();
	open_disk(argv[1], O_RDWR);
	seed = strtoull(argv[2], NULL, 0);
	start(w, threads);
	while (fgets(word, sizeof(word), stdin)) {
		word[strcspn(word, "\r\n")] = 0;
		if (!strcmp(word, "check")) {
			set_order(CHECK);
			await_waiting(threads);
			report(word, w, threads);
		} else if (!strcmp(word, "go")) {
			set_order(GO);
			await_waiting(0);
		} else if (!strcmp(word, "end")) {
			break;
		}
	}
	set_order(END);
	for (unsigned int t = 0; t < threads; t++)
		pthread_join(w[t].thread, NULL);
	ok = report("end", w, threads);
	return !ok;
}
