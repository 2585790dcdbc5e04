/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pair at the destination of a postcopy migration: a queue with requests in it, whose
 * memory has been taken away to come back page by page.
 */
#ifndef VU_TESTS_POSTCOPY_H
#define VU_TESTS_POSTCOPY_H

#include "tests/lib/faults.h"
#include "tests/lib/pair.h"

#define POST_RING 0x10000u
#define POST_HUGE 20u /* huge pages that are enough for VU_FRONTEND_HUGEPAGES */
#define POST_LEN  6000u /* bytes of a buffer; it lies on two pages of 4 KiB */

struct post {
	struct pair *p;
	struct faults *f;
	struct vu_frontend_queue *q;
	uint64_t page; /* of the memory */
	unsigned int sent, reaped;
};

/*
 * Negotiates, makes memory (@flags: VU_FRONTEND_*) of 16 pages, of at least 1 MiB, full
 * of what post_byte() says, with @requests requests in a ring; takes it all away, and
 * goes on until POSTCOPY_LISTEN is done.
 */
struct post *post_new(const struct pair_options *opt, unsigned int flags,
		      unsigned int requests);
void post_free(struct post *t);

uint8_t post_byte(uint64_t gpa);

/* Shares all memory and learns the back-end's addresses; does not acknowledge. */
void post_share(struct post *t);

/* Shares, acknowledges, starts serving faults, starts the queue. */
void post_run(struct post *t);

/* Another request: reads its POST_LEN bytes, writes as many behind them. */
void post_submit(struct post *t);
uint64_t post_out(const struct post *t, unsigned int i);
uint64_t post_in(const struct post *t, unsigned int i);

/* Waits until all requests are completed, and checks what the device wrote. */
void post_finish(struct post *t);

/* True if one is completed within @ms. */
bool post_completed(struct post *t, int ms);

/* --- a queue in a thread of its own; opt.ext is worker_ops, opt.no_handler is set --- */

extern const struct vu_ext_ops worker_ops;

struct worker {
	struct pair *p;
	pthread_t thread;
	int stop;
	atomic_uint popped;
};

void worker_start(struct worker *w, struct pair *p);
void worker_join(struct worker *w);

#endif
