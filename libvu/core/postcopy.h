/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Postcopy: the guest runs while part of its memory is still at the source.  Whoever
 * touches a page that is missing waits in a userfaultfd, whose reader, the front-end,
 * fetches the page, puts it into the file and wakes the waiter.
 *
 * A page is missing when the file has a hole there.  The holes are the front-end's:
 * nothing here makes one, since pages that have come already are in the same file, nor
 * fills one, since zeroes would then be the guest's memory.  So a waiter whom nobody
 * will serve any more is not let go into the hole: it gets a page of zeroes of this
 * process's own (vu__postcopy_lose()).
 *
 * Threads: the control thread's, but lose() and lost(), which are any thread's.  A guard
 * thread runs from watch() to close(): those who could notice that the front-end has
 * gone may all be waiting for a page.
 */
#ifndef VU_CORE_POSTCOPY_H
#define VU_CORE_POSTCOPY_H

#include <pthread.h>

#include "core/memmap.h"

struct vu__postcopy_range {
	struct vu__region *region; /* a reference */
	bool retired;		   /* not in the memory map any more */
};

struct vu__postcopy {
	int ufd;	      /* -1: there is none */
	pthread_mutex_t lock; /* over the ranges, which the guard reads */
	struct vu__postcopy_range *ranges;
	unsigned int n, room;
	bool lost;
	/* The guard: */
	bool watching;
	bool quit;
	pthread_t thread;
	int sock;
	int wake_fd; /* eventfd: look at quit, lost and retired */
};

void vu__postcopy_init(struct vu__postcopy *p);

/* Ends it, whatever was begun. */
void vu__postcopy_destroy(struct vu__postcopy *p);

/*
 * Whether this host can serve page faults of shared memory and of huge pages, also those
 * the kernel takes for us in a system call.  0; -errno with the reason in @why.
 */
VU_MUST_CHECK int vu__postcopy_probe(char *why, size_t why_size);

/* Makes a userfaultfd in place of the one there was.  0; -errno with the reason. */
VU_MUST_CHECK int vu__postcopy_open(struct vu__postcopy *p, char *why, size_t why_size);

/* From now on the memory is lost when the front-end's end of @sock is closed.  0 or
 * -errno. */
VU_MUST_CHECK int vu__postcopy_watch(struct vu__postcopy *p, int sock);

/*
 * Registers a region nobody has touched yet; one that is known stays so.  0; -errno with
 * the reason in @why.
 */
VU_MUST_CHECK int vu__postcopy_add(struct vu__postcopy *p, struct vu__region *r,
				   char *why, size_t why_size);

/*
 * @map is what is used from now on.  Regions that are not in it are given up when the
 * last element in flight is done with them.  The front-end has forgotten their addresses
 * and wakes nobody there, so the guard does, from time to time.
 */
void vu__postcopy_settle(struct vu__postcopy *p, const struct vu__memmap *map);

/* Gives up the regions that nothing else refers to, at once. */
void vu__postcopy_prune(struct vu__postcopy *p);

/* Nobody serves faults any more: what is missing reads as zeroes here, and only here. */
void vu__postcopy_lose(struct vu__postcopy *p);

/*
 * Whether what was read may have been such zeroes.  Ask after reading: who was given
 * zeroes is told so.
 */
static inline bool vu__postcopy_lost(const struct vu__postcopy *p)
{
	return __atomic_load_n(&p->lost, __ATOMIC_ACQUIRE);
}

/* All pages have come: unregisters, wakes whoever waits, closes the userfaultfd. */
void vu__postcopy_close(struct vu__postcopy *p);

#endif
