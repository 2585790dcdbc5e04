/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What popping and completing share, whatever the ring looks like.  Queue's thread. */
#ifndef VU_CORE_ELEMENT_H
#define VU_CORE_ELEMENT_H

#include "base/fd.h"
#include "core/chain.h"

/* Whether @elem is of an earlier start, or another ring. */
static inline bool vu__elem_is_stale(const struct vu__ring *r, const VuVirtqElement *elem)
{
	return VU_UNLIKELY(elem->run != r->run) && (elem->run & VU__RUN_MASK) == VU__RUN;
}

/* Takes @head out of flight.  False if it was not in flight. */
static inline bool vu__elem_head_done(struct vu__ring *r, unsigned int head)
{
	uint8_t gen;

	if (VU_UNLIKELY(head >= r->vq->vring.num || !r->head_gen[head]))
		return false;
	gen = r->head_gen[head];
	r->head_gen[head] = 0;
	if (VU_UNLIKELY(gen != r->gen))
		vu__ring_retired_done(r, gen);
	return true;
}

/* Where the buffers of an element of @size bytes are, behind it. */
static inline size_t vu__elem_iov_at(size_t size)
{
	return (size + _Alignof(struct iovec) - 1) & ~(_Alignof(struct iovec) - 1);
}

/* There is room: who pops into an arena has looked before. */
static inline void *vu__arena_take(struct vu__arena *a, size_t bytes)
{
	void *p = a->at;

	a->at += (bytes + VU__ARENA_ALIGN - 1) & ~(size_t)(VU__ARENA_ALIGN - 1);
	return p;
}

/* In @arena, or of the heap's memory. */
static VU_ALWAYS_INLINE void *vu__elem_make(struct vu__ring *r, size_t size, unsigned int head,
					    const struct vu__chain *chain,
					    struct vu__arena *arena)
{
	size_t at = vu__elem_iov_at(size);
	unsigned int n = chain->niov;
	size_t bytes = at + n * sizeof(struct iovec);
	VuVirtqElement *elem = arena ? vu__arena_take(arena, bytes) : malloc(bytes);
	struct iovec *iov;

	if (VU_UNLIKELY(!elem))
		return NULL;
	iov = (struct iovec *)((char *)elem + at);
	elem->index = head;
	elem->run = r->run;
	elem->out_num = chain->out_num;
	elem->in_num = n - chain->out_num;
	vu__meter_chain(&r->meter, n);
	elem->out_sg = iov;
	elem->in_sg = iov + chain->out_num;
	for (unsigned int i = 0; i < n; i++)
		iov[i] = r->iov[i];
	return elem;
}

/* ... of the chain at @head, whose pages are recorded if data is logged.  NULL: none. */
static VU_ALWAYS_INLINE void *vu__elem_collect(struct vu__ring *r, size_t size,
					       unsigned int head, struct vu__arena *arena)
{
	struct vu__chain chain = {0, 0};

	if (VU_UNLIKELY(r->writable) ?
		    !vu__chain_walk(r, head, VU__WALK_RECORD, &chain, NULL, NULL) :
		    !vu__chain_walk(r, head, VU__WALK_COLLECT, &chain, NULL, NULL))
		return NULL;
	return vu__elem_make(r, size, head, &chain, arena);
}

/* The last one was popped again, or given up: who waits for a stop may look. */
static inline void vu__elem_tell_drained(struct vu__ring *r)
{
	if (r->drained_fd >= 0)
		vu__event_signal(r->drained_fd);
}

#endif
