/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of a packed ring in flight, in memory that outlives the process ("Inflight I/O
 * tracking", QueueRegionPacked).  Entries are those of struct vu__packed, by the same
 * numbers.
 *
 * The indices that the specification has written one after the other are written with
 * one store where a crash between two would leave what no reader could tell from
 * something else: a wrap counter that has not followed its index.
 *
 * vu__inflight_packed_take() and its like: queue's thread.  All else: control thread.
 */
#ifndef VU_CORE_INFLIGHTPACKED_H
#define VU_CORE_INFLIGHTPACKED_H

#include "core/inflight.h"
#include "core/packed.h"

struct vu__packed_state {
	uint8_t inflight; /* of head entries only, as are last, num and counter */
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

/* Where used descriptors go, and where they went before the last batch. */
struct vu__packed_at {
	uint16_t used_idx, old_used_idx;
	uint8_t used_wrap, old_used_wrap;
	uint16_t padding;
} __attribute__((aligned(8)));

struct vu__packed_free {
	uint16_t head, old_head;
} __attribute__((aligned(4)));

struct vu__inflight_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	struct vu__packed_free free;
	struct vu__packed_at at;
	uint64_t padding;
	struct vu__packed_state desc[];
};

/* A queue's part is told as a split ring's to those who only hand it on. */
static inline struct vu__inflight_packed *vu__inflight_packed_of(const VuVirtq *vq)
{
	return (struct vu__inflight_packed *)(void *)vq->inflight;
}

/*
 * As vu__inflight_recover().  @used: in, where the front-end says used descriptors go
 * next; out, where they do: a part that is not new knows better, since no front-end learns
 * from a back-end that died.  What is in flight is put into @p; the next place to be popped
 * from is as far behind *@used as that has entries.  In @ring a batch that was not shown
 * is taken back.
 */
VU_MUST_CHECK int vu__inflight_packed_recover(struct vu__inflight_packed *part,
					      uint16_t queue_size, unsigned int num,
					      struct vring_packed_desc *ring,
					      uint16_t *used, struct vu__packed *p,
					      struct vu__inflight_left *left, char *why,
					      size_t why_size);

/* What can be said of a part before its ring is known. */
bool vu__inflight_packed_plausible(const struct vu__inflight_packed *part,
				   uint16_t queue_size);

static inline void vu__packed_set_free(struct vu__inflight_packed *f, uint16_t head)
{
	union {
		struct vu__packed_free free;
		uint32_t word;
	} u = {.free = {head, head}};

	__atomic_store_n((uint32_t *)(void *)&f->free, u.word, __ATOMIC_RELAXED);
	vu__inflight_step();
}

static inline void vu__packed_set_at(struct vu__inflight_packed *f, uint16_t used, uint16_t old)
{
	union {
		struct vu__packed_at at;
		uint64_t word;
	} u = {.at = {vu__packed_slot(used), vu__packed_slot(old), used >> 15, old >> 15, 0}};

	__atomic_store_n((uint64_t *)(void *)&f->at, u.word, __ATOMIC_RELAXED);
	vu__inflight_step();
}

/*
 * "When receiving available buffers from the driver": the chain at @head, which @p has
 * taken just now.  Until the list of free entries begins behind it, it is free.
 */
void vu__inflight_packed_take(VuVirtq *vq, const struct vu__packed *p, uint16_t head);

/* It has not been taken after all. */
void vu__inflight_packed_drop(struct vu__inflight_packed *f, const struct vu__packed *p,
			      uint16_t head);

/*
 * "When supplying used buffers to the driver": each of the batch; that used descriptors
 * go from @old to @used, before the first one is shown; and after.
 */
void vu__inflight_packed_link(struct vu__inflight_packed *f, const struct vu__packed *p,
			      uint16_t head);
void vu__inflight_packed_settle(struct vu__inflight_packed *f, const uint16_t *heads,
				unsigned int n, uint16_t used);

#endif
