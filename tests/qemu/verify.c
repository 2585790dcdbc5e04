/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs in the guest: writes the disk in a way that makes every sector's contents known,
 * and compares what it reads.
 *
 *	verify rand DISK SEED THREADS OPS	random writes and reads, all checked
 *	verify fill DISK SEED			every sector, in random order and sizes
 *	verify check DISK SEED			reads every sector that fill wrote
 *	verify zero DISK			discards and zeroes, and reads them back
 *	verify readonly DISK			a write must fail
 *
 * O_DIRECT throughout; reads land in memory that changes place.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "stamp.h"

#define MAX_BYTES (1u << 20)
#define ARENA	  (4u << 20)

struct worker {
	pthread_t thread;
	uint64_t first, count; /* sectors that are this one's alone */
	uint32_t *generation;  /* of each */
	uint64_t rng;
	unsigned int ops;
	uint64_t bytes;
	uint8_t *arena;
	bool failed;
};

static void *map_arena(void)
{
	void *p = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("verify: mmap");
		exit(1);
	}
	return p;
}

/* Small ones often, up to 1 MiB now and then; within the @room sectors that are left. */
static uint64_t random_length(uint64_t *rng, uint64_t room)
{
	unsigned int shift = next_random(rng) % 12;
	uint64_t n = 1 + next_random(rng) % (1ULL << shift);

	return n < room ? n : room;
}

/* --- rand --- */

static bool one_op(struct worker *w)
{
	uint64_t at = next_random(&w->rng) % w->count;
	uint64_t n = random_length(&w->rng, w->count - at);
	uint8_t *buf = w->arena + next_random(&w->rng) % ((ARENA - MAX_BYTES) / SECTOR) * SECTOR;
	bool write = next_random(&w->rng) % 2;

	w->bytes += n * SECTOR;
	if (write) {
		for (uint64_t i = 0; i < n; i++)
			make_stamp((struct stamp *)(buf + i * SECTOR), w->first + at + i,
				   ++w->generation[at + i]);
		if (!io(true, buf, w->first + at, n))
			return false;
		return next_random(&w->rng) % 16 || !fdatasync(disk);
	}
	if (!io(false, buf, w->first + at, n))
		return false;
	for (uint64_t i = 0; i < n; i++) {
		/* Never written by us: whatever was there. */
		if (w->generation[at + i] &&
		    !check_stamp(buf + i * SECTOR, w->first + at + i, w->generation[at + i]))
			return false;
	}
	return true;
}

static bool check_all(struct worker *w)
{
	for (uint64_t at = 0; at < w->count; at += MAX_BYTES / SECTOR) {
		uint64_t n = w->count - at < MAX_BYTES / SECTOR ? w->count - at :
								  MAX_BYTES / SECTOR;

		if (!io(false, w->arena, w->first + at, n))
			return false;
		for (uint64_t i = 0; i < n; i++) {
			if (w->generation[at + i] &&
			    !check_stamp(w->arena + i * SECTOR, w->first + at + i,
					 w->generation[at + i]))
				return false;
		}
	}
	return true;
}

static void *work(void *opaque)
{
	struct worker *w = opaque;

	for (unsigned int i = 0; i < w->ops && !w->failed; i++)
		w->failed = !one_op(w);
	if (!w->failed)
		w->failed = !check_all(w);
	return NULL;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int do_rand(unsigned int threads, unsigned int ops)
{
	struct worker *w = calloc(threads, sizeof(*w));
	uint64_t share = sectors / threads, bytes = 0;
	double begin = now(), seconds;
	bool failed = false;

	for (unsigned int t = 0; t < threads; t++) {
		w[t].first = t * share;
		w[t].count = share;
		w[t].generation = calloc(share, sizeof(uint32_t));
		w[t].rng = seed * 1000003 + t * 7919 + 1;
		w[t].ops = ops;
		w[t].arena = map_arena();
		if (pthread_create(&w[t].thread, NULL, work, &w[t]))
			return 1;
	}
	for (unsigned int t = 0; t < threads; t++) {
		pthread_join(w[t].thread, NULL);
		failed |= w[t].failed;
		bytes += w[t].bytes;
	}
	seconds = now() - begin;
	printf("threads=%u ops=%u MiB=%llu seconds=%.1f\n", threads, threads * ops,
	       (unsigned long long)(bytes >> 20), seconds);
	return failed;
}

/* --- fill and check --- */

static int do_fill(void)
{
	uint8_t *buf = map_arena();
	uint64_t rng = seed * 7 + 1, chunk = 4096, chunks = (sectors + chunk - 1) / chunk;
	uint64_t *order = calloc(chunks, sizeof(*order));

	for (uint64_t i = 0; i < chunks; i++)
		order[i] = i;
	for (uint64_t i = chunks - 1; i > 0; i--) {
		uint64_t j = next_random(&rng) % (i + 1), t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
	for (uint64_t c = 0; c < chunks; c++) {
		uint64_t at = order[c] * chunk;
		uint64_t end = at + chunk < sectors ? at + chunk : sectors;

		while (at < end) {
			uint64_t n = random_length(&rng, end - at);

			for (uint64_t i = 0; i < n; i++)
				make_stamp((struct stamp *)(buf + i * SECTOR), at + i, 1);
			if (!io(true, buf, at, n))
				return 1;
			at += n;
		}
	}
	if (fsync(disk)) {
		perror("verify: fsync");
		return 1;
	}
	printf("sectors=%llu\n", (unsigned long long)sectors);
	return 0;
}

static int do_check(void)
{
	struct worker w = {.count = sectors, .arena = map_arena()};

	w.generation = malloc(sectors * sizeof(uint32_t));
	for (uint64_t i = 0; i < sectors; i++)
		w.generation[i] = 1;
	printf("sectors=%llu\n", (unsigned long long)sectors);
	return !check_all(&w);
}

/* --- zero --- */

static bool all_zero(uint8_t *buf, uint64_t sector, uint64_t n)
{
	if (!io(false, buf, sector, n))
		return false;
	for (uint64_t i = 0; i < n * SECTOR; i++) {
		if (buf[i]) {
			fprintf(stderr, "verify: sector %llu is not zero\n",
				(unsigned long long)(sector + i / SECTOR));
			return false;
		}
	}
	return true;
}

static int do_zero(void)
{
	uint8_t *buf = map_arena();
	uint64_t zeroed[2] = {8192 * SECTOR, 2000 * SECTOR};
	uint64_t discarded[2] = {16384 * SECTOR, 2048 * SECTOR};

	for (uint64_t i = 0; i < 2048; i++)
		make_stamp((struct stamp *)(buf + i * SECTOR), i, 9);
	if (!io(true, buf, 8192, 2048) || !io(true, buf, 16384, 2048))
		return 1;
	if (ioctl(disk, BLKZEROOUT, zeroed) || ioctl(disk, BLKDISCARD, discarded)) {
		perror("verify: zeroing and discarding");
		return 1;
	}
	if (!all_zero(buf, 8192, 2000))
		return 1;
	/* What lies behind the zeroes is as it was. */
	if (!io(false, buf, 8192 + 2000, 48))
		return 1;
	for (uint64_t i = 0; i < 48; i++) {
		if (!check_stamp(buf + i * SECTOR, 2000 + i, 9))
			return 1;
	}
	/* On a file a discard makes a hole. */
	return !all_zero(buf, 16384, 2048);
}

static int do_readonly(void)
{
	uint8_t *buf = map_arena();
	int readonly = 0;

	if (ioctl(disk, BLKROGET, &readonly) || !readonly) {
		fprintf(stderr, "verify: the disk does not say that it is read-only\n");
		return 1;
	}
	return !io(false, buf, 0, 8);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	if (argc < 3)
		return 2;
	open_disk(argv[2], strcmp(what, "readonly") ? O_RDWR : O_RDONLY);
	seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	if (!strcmp(what, "rand") && argc == 6)
		return do_rand(atoi(argv[4]), atoi(argv[5]));
	if (!strcmp(what, "fill"))
		return do_fill();
	if (!strcmp(what, "check"))
		return do_check();
	if (!strcmp(what, "zero"))
		return do_zero();
	if (!strcmp(what, "readonly"))
		return do_readonly();
	return 2;
}
