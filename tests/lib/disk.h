/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest without a machine: a front-end that writes to a disk back-end, reads back and
 * compares, on several queues, without a stop.  It only looks at a ring after it was
 * called, so a call or a kick that is lost shows as a disk that stands still.  One thread.
 */
#ifndef VU_TESTS_DISK_H
#define VU_TESTS_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "libvu/frontend.h"

#define DISK_QUEUES 64u
#define DISK_SLOTS  4u /* requests in flight on a queue */
#define DISK_BLOCK  4096u

struct disk_slot {
	bool reads;
	uint32_t round;
};

struct disk {
	struct vu_frontend *fe;
	unsigned int nqueues;
	bool packed; /* rings */
	struct vu_frontend_queue *q[DISK_QUEUES];
	struct disk_slot slots[DISK_QUEUES][DISK_SLOTS];
	int inflight; /* the region's file */
	uint64_t inflight_size, inflight_offset;
	uint64_t done;	    /* requests completed */
	int64_t quiet_ns;   /* the longest that a queue had nothing completed */
	int64_t last_ns[DISK_QUEUES];
	char error[300];
};

/* Bytes of disk that @nqueues queues use. */
uint64_t disk_bytes(unsigned int nqueues);

/* Connects and starts; DISK_SLOTS requests of each queue are on their way.  False: error. */
bool disk_begin(struct disk *d, const char *sock, unsigned int nqueues, bool packed,
		uint64_t memory);

/* The back-end has gone: with the next one, which does again what was in flight. */
bool disk_again(struct disk *d, const char *sock);

/* Goes on for so long.  False if the disk has told a lie, or failed: error. */
bool disk_run(struct disk *d, int ms);

/* ... until @n more requests are completed, or for @ms: then false too. */
bool disk_run_requests(struct disk *d, uint64_t n, int ms);

void disk_end(struct disk *d);

#endif
