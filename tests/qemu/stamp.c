/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sectors whose contents are known.  Runs in the guest, in any thread. */
#define _GNU_SOURCE
#include "stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int disk;
uint64_t sectors;
uint64_t seed;

void open_disk(const char *path, int flags)
{
	uint64_t size = 0;

	disk = open(path, flags | O_DIRECT);
	if (disk < 0 || ioctl(disk, BLKGETSIZE64, &size)) {
		perror("verify: disk");
		exit(1);
	}
	sectors = size / SECTOR;
}

uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

void make_stamp(struct stamp *st, uint64_t sector, uint64_t generation)
{
	uint64_t s = (sector * 0x9e3779b97f4a7c15ULL ^ seed) +
		     generation * 0xbf58476d1ce4e5b9ULL + 1;

	st->sector = sector;
	st->seed = seed;
	st->generation = generation;
	for (unsigned int i = 0; i < SECTOR / 8 - 3; i++)
		st->noise[i] = next_random(&s);
}

bool check_stamp(const uint8_t *got, uint64_t sector, uint64_t generation)
{
	struct stamp want;
	const struct stamp *g = (const struct stamp *)got;

	make_stamp(&want, sector, generation);
	if (!memcmp(got, &want, SECTOR))
		return true;
	fprintf(stderr,
		"verify: sector %llu generation %llu: holds sector %llu seed %llx "
		"generation %llu%s\n",
		(unsigned long long)sector, (unsigned long long)generation,
		(unsigned long long)g->sector, (unsigned long long)g->seed,
		(unsigned long long)g->generation,
		g->sector == sector && g->generation == generation ? ", and is torn"
								   : "");
	return false;
}

bool io(bool write, void *buf, uint64_t sector, uint64_t n)
{
	uint64_t len = n * SECTOR;
	ssize_t ret = write ? pwrite(disk, buf, len, sector * SECTOR)
			    : pread(disk, buf, len, sector * SECTOR);

	if (ret == (ssize_t)len)
		return true;
	fprintf(stderr, "verify: %s of %llu sectors at %llu: %s\n",
		write ? "write" : "read", (unsigned long long)n,
		(unsigned long long)sector, ret < 0 ? strerror(errno) : "short");
	return false;
}
