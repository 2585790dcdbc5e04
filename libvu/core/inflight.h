/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests in flight, in memory that outlives the process ("Inflight I/O tracking").
 *
 * The memory belongs to the front-end, which keeps it while the back-end is away and
 * gives it to the next one.  A process that dies leaves it as it is between two stores,
 * so the stores are made in the order that lets the next one tell what was completed.
 * Only the compiler could reorder them: what a process has stored is there after it.
 *
 * vu__inflight_take() and its like: queue's thread.  All else: control thread.
 */
#ifndef VU_CORE_INFLIGHT_H
#define VU_CORE_INFLIGHT_H

#include "base/util.h"
#include "core/mutants.h"
#include "libvu/libvhost-user.h"

#define VU__INFLIGHT_VERSION 1

/* One mapping: a part for each of the first queues. */
struct vu__inflight_area {
	uint8_t *parts; /* of queue 0 */
	uint16_t queues;
	uint16_t queue_size;
	bool packed;	 /* the parts are of packed rings: inflightpacked.h */
	uint64_t size;	 /* bytes, as the messages say */
	uint64_t offset; /* in fd */
	int fd;		 /* the area's own */
	void *map_addr;
	size_t map_len;
};

/* Bytes from one queue's part to the next one's. */
uint64_t vu__inflight_stride(uint16_t queue_size, bool packed);

/* New memory, all zeroes, that cannot shrink.  0 or -errno. */
VU_MUST_CHECK int vu__inflight_create(uint16_t queues, uint16_t queue_size, bool packed,
				      struct vu__inflight_area **out);

/*
 * Maps what a front-end gives; @fd stays the caller's.  0; -errno with a reason in @why:
 * too small for the queues, a file that is shorter or could be made shorter, or parts
 * that no back-end leaves behind.
 */
VU_MUST_CHECK int vu__inflight_map(int fd, uint64_t size, uint64_t offset, uint16_t queues,
				   uint16_t queue_size, bool packed,
				   struct vu__inflight_area **out, char *why,
				   size_t why_size);

void vu__inflight_free(struct vu__inflight_area *a); /* NULL is fine */

/* The part of queue @i, of a packed ring too; NULL if the area has none for it. */
VuVirtqInflight *vu__inflight_part(const struct vu__inflight_area *a, unsigned int i);

/* What the last back-end left to do. */
struct vu__inflight_left {
	bool fresh;		    /* nothing: the part is a new one, or was reset */
	uint16_t n;		    /* requests in flight */
	VuVirtqInflightDesc *list;  /* of them, the first one taken last; to be freed */
	uint64_t counter;	    /* for the next one */
};

/*
 * Readies a queue's part for a ring of @num entries, whose indices are @used and @avail
 * now, and says what is in flight in it: "when reconnecting".  A part that makes no
 * sense is left alone: -EINVAL with a reason in @why.  Or -ENOMEM.
 */
VU_MUST_CHECK int vu__inflight_recover(VuVirtqInflight *part, uint16_t queue_size,
				       unsigned int num, uint16_t used, uint16_t avail,
				       struct vu__inflight_left *left, char *why,
				       size_t why_size);

/*
 * Puts @n requests of @left's list in order, and says so there.  NULL, or the second of two
 * that were taken as the same.
 */
const VuVirtqInflightDesc *vu__inflight_order(struct vu__inflight_left *left, unsigned int n);

/* As a reset of the device leaves it, of a packed ring too: version 0. */
void vu__inflight_reset(VuVirtqInflight *part);

/* The store before is made before those that follow. */
static inline void vu__inflight_step(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	vu__crash_point();
}

/* "When receiving available buffers from the driver". */
static inline void vu__inflight_take(VuVirtq *vq, unsigned int head)
{
	VuDescStateSplit *s = &vq->inflight->desc[head];

	vu__inflight_step();
	__atomic_store_n(&s->counter, vq->counter++, __ATOMIC_RELAXED);
	vu__inflight_step();
	if (!vu__skipped(VU__INFLIGHT_TAKE))
		__atomic_store_n(&s->inflight, 1, __ATOMIC_RELAXED);
	vu__inflight_step();
}

/* It has not been taken after all, or it has been given back. */
static inline void vu__inflight_drop(VuVirtqInflight *f, unsigned int head)
{
	__atomic_store_n(&f->desc[head].inflight, 0, __ATOMIC_RELAXED);
	vu__inflight_step();
}

/* "When supplying used buffers": into the batch that the used index will cover next. */
static inline void vu__inflight_link(VuVirtqInflight *f, unsigned int head)
{
	if (vu__skipped(VU__INFLIGHT_BATCH))
		return;
	__atomic_store_n(&f->desc[head].next,
			 __atomic_load_n(&f->last_batch_head, __ATOMIC_RELAXED),
			 __ATOMIC_RELAXED);
	vu__inflight_step();
	__atomic_store_n(&f->last_batch_head, head, __ATOMIC_RELAXED);
	vu__inflight_step();
}

/* The used index covers the batch and none of it is in flight any more. */
static inline void vu__inflight_settle(VuVirtqInflight *f, uint16_t used)
{
	__atomic_store_n(&f->used_idx, used, __ATOMIC_RELAXED);
	vu__inflight_step();
}

#endif
