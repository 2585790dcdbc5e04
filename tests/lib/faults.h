/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination of a postcopy migration without a source: guest memory whose contents
 * were taken away and come back page by page, on demand.
 *
 * A thread reads two userfaultfds, the front-end's own, so that the test may touch the
 * memory too, and the back-end's.  As QEMU does, it puts a page into the file through the
 * front-end's mapping and wakes the back-end's.  Needs no test framework; what cannot
 * fail in a healthy test ends the process.
 */
#ifndef VU_TESTS_FAULTS_H
#define VU_TESTS_FAULTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "libvu/frontend.h"

#define FAULTS_REGIONS 16
#define FAULTS_BASES   4
#define FAULTS_HELD    256

struct faults_region {
	uint8_t *mem; /* the front-end's */
	uint64_t size;
	uint64_t page;
	uint8_t *source;
	atomic_uchar *came;	      /* a flag a page */
	uint64_t bases[FAULTS_BASES]; /* the back-end's, the newest last; 0: none */
};

struct faults {
	int own_ufd;
	int backend_ufd; /* -1 until there is one */
	struct faults_region regions[FAULTS_REGIONS];
	unsigned int n;
	pthread_mutex_t lock;
	pthread_t thread;
	bool running;
	int stop;
	/* Faults are read and kept, not served. */
	bool hold;
	uint64_t held[FAULTS_HELD]; /* the back-end's addresses */
	unsigned int nheld;
	/* Pages are put in, but the back-end is not woken. */
	atomic_bool no_wake;
	atomic_uint backend_faults; /* read and dealt with */
	atomic_uint strays;	    /* at addresses nobody knows */
};

/* Whether this process may serve page faults. */
bool faults_possible(void);

struct faults *faults_new(void);

/* Ends the thread.  Waits for nobody. */
void faults_free(struct faults *f);

/*
 * Takes a region's contents away: what is in it now comes back when somebody needs it.
 * Returns its number here.
 */
unsigned int faults_take(struct faults *f, struct vu_frontend *fe, unsigned int region);

/* Takes the back-end's userfaultfd, which becomes @f's. */
void faults_set_ufd(struct faults *f, int ufd);

/* Learns where the back-end has region @region (its number here). */
void faults_set_base(struct faults *f, unsigned int region, uint64_t base);

void faults_start(struct faults *f);

/* While held, faults are read from the back-end and stay unserved. */
void faults_hold(struct faults *f, bool hold);

/* Faults of the back-end's so far, those whose pages are here included. */
unsigned int faults_count(struct faults *f);

/* Waits until @n faults of the back-end's have been read; false after 5 s. */
bool faults_wait(struct faults *f, unsigned int n);

/* Puts every page in that has not come yet. */
void faults_fetch_all(struct faults *f);

/* Whether a page has been put in. */
bool faults_came(struct faults *f, unsigned int region, uint64_t offset);

/* Whether the region's file has a hole at @offset. */
bool faults_is_hole(struct vu_frontend *fe, unsigned int region, uint64_t offset);

#endif
