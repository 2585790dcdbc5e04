/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sectors whose contents are known: each holds its number, a seed and a generation, and
 * noise that follows from them, so a sector that is stale, misplaced or torn shows.
 * What verify and live share.
 */
#ifndef VU_QEMU_STAMP_H
#define VU_QEMU_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#define SECTOR 512u

struct stamp {
	uint64_t sector;
	uint64_t seed;
	uint64_t generation;
	uint64_t noise[SECTOR / 8 - 3];
};

extern int disk;
extern uint64_t sectors; /* of the disk */
extern uint64_t seed;

/* Opens the disk with O_DIRECT and @flags; ends the program if it cannot. */
void open_disk(const char *path, int flags);

uint64_t next_random(uint64_t *s);

void make_stamp(struct stamp *st, uint64_t sector, uint64_t generation);

/* Whether @got is what make_stamp() makes; says what it is if not. */
bool check_stamp(const uint8_t *got, uint64_t sector, uint64_t generation);

/* Reads or writes @n sectors; false after saying what went wrong. */
bool io(bool write, void *buf, uint64_t sector, uint64_t n);

#endif
