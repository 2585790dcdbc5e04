/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor chains: virtio 1.2 "The Virtqueue Descriptor Table", "Indirect
 * Descriptors".  Guest memory is hostile: every descriptor is read once into a local,
 * loops end because descriptors are counted.  Queue's thread.
 */
#ifndef VU_CORE_CHAIN_H
#define VU_CORE_CHAIN_H

#include "core/ring.h"
#include "core/split.h"

/* What a chain is made of.  The iovecs are in the ring's scratch, readable ones first. */
struct vu__chain {
	unsigned int niov;
	unsigned int out_num; /* the first of them, which the device reads */
};

/* Where the next descriptor is looked up. */
struct vu__table {
	const struct vring_desc *desc;
	unsigned int num;
	bool indirect;
};

/* Marks the first @len writable bytes of the chain at @head.  False as below. */
VU_MUST_CHECK bool vu__chain_mark(struct vu__ring *r, unsigned int head, uint64_t len);

/* The general case of one buffer: it may lie in several regions. */
VU_COLD bool vu__chain_add_pieces(struct vu__ring *r, const struct vu__desc *d,
				  unsigned int *niov);
/* From a ring into the table that @d describes. */
bool vu__chain_enter_table(struct vu__ring *r, const struct vu__desc *d, struct vu__table *t);

/* These break the ring and say false. */
VU_COLD bool vu__chain_out_of_bounds(struct vu__ring *r, const struct vu__desc *d);
VU_COLD bool vu__chain_bad_buffer(struct vu__ring *r, const struct vu__desc *d);
VU_COLD bool vu__chain_bad_step(struct vu__ring *r, const struct vu__table *t,
				unsigned int next, unsigned int descs);

/* Adds the bytes of the chain at @head to *@in and *@out.  False: the ring is broken. */
VU_MUST_CHECK bool vu__chain_sum(struct vu__ring *r, unsigned int head, uint64_t *in,
				 uint64_t *out);

/*
 * Written in one store: the copy into the element soon reads it in one load, which
 * would wait for two stores to leave the processor's buffer.
 */
static inline void vu__chain_set_iov(struct iovec *iov, void *base, size_t len)
{
	typedef uintptr_t pair __attribute__((vector_size(sizeof(struct iovec)), aligned(8),
					      may_alias));

	*(pair *)iov = (pair){(uintptr_t)base, len};
}

static inline bool vu__chain_add_buffer(struct vu__ring *r, const struct vu__desc *d,
					unsigned int *niov)
{
	const struct vu__span *s = r->span;
	uint64_t off = d->addr - s->gpa;

	/* Most buffers lie where the last one did. */
	if (VU_UNLIKELY(off >= s->size || d->len > s->size - off)) {
		s = vu__memmap_span(r->map, d->addr);
		if (!s)
			return vu__chain_out_of_bounds(r, d);
		r->span = s;
		off = d->addr - s->gpa;
		if (d->len > s->size - off)
			return vu__chain_add_pieces(r, d, niov);
	}
	if (VU_UNLIKELY(*niov == VIRTQUEUE_MAX_SIZE))
		return vu__chain_add_pieces(r, d, niov);
	vu__chain_set_iov(&r->iov[*niov], s->host + off, d->len);
	++*niov;
	return true;
}

enum vu__walk {
	VU__WALK_COLLECT, /* iovecs into the ring's scratch, counts into *chain */
	VU__WALK_RECORD,  /* ... and what is writable into r->writable */
	VU__WALK_SUM,	  /* bytes into *in and *out */
	VU__WALK_MARK,	  /* the first *in writable bytes into the dirty log */
};

/* One step of VU__WALK_RECORD: the first writable buffer, or another, as the last yet. */
static inline void vu__chain_record(struct vu__writable *w, const struct vu__desc *d,
				    unsigned int which)
{
	w->gpa[which] = d->addr;
	w->len[which] = d->len;
}

/* There were @n. */
static inline void vu__chain_record_end(struct vu__writable *w, unsigned int n)
{
	if (VU_LIKELY(n == 2))
		return;
	w->len[n == 1] = 0;
	if (n != 1)
		w->gpa[0] = 0;
}

/* One step of VU__WALK_MARK.  *@left is 0 when no more is to be marked. */
static inline bool vu__chain_mark_buffer(struct vu__ring *r, const struct vu__desc *d,
					 bool indirect, uint64_t *left)
{
	uint64_t n = VU_MIN(*left, d->len);

	*left -= n;
	if (vu__skipped(VU__MARK_DATA) ||
	    (indirect && vu__skipped(VU__MARK_INDIRECT)))
		return true;
	return vu__ring_mark(r, d->addr, n, VU__DIRTY_DATA);
}

/*
 * Goes along the chain that begins at @head < size; @mode is a constant at all places
 * of use, so that each gets a loop of its own.  False: the ring is broken.
 */
static inline __attribute__((always_inline)) bool
vu__chain_walk(struct vu__ring *r, unsigned int head, enum vu__walk mode,
	       struct vu__chain *chain, uint64_t *in, uint64_t *out)
{
	unsigned int next = head;
	struct vu__table t = {r->table, r->vq->vring.num, false};
	struct vu__writable *record = mode == VU__WALK_RECORD ? &r->writable[head] : NULL;
	/* In one table a longer chain has a loop; together, memory for iovecs ends. */
	unsigned int budget = VU_MIN(t.num, VIRTQUEUE_MAX_SIZE);
	unsigned int descs = 0, niov = 0, readable = 0;
	unsigned int writing = 0; /* descs at the first writable one */

	for (;;) {
		struct vu__desc d;

		if (VU_UNLIKELY(next >= t.num || descs == budget))
			return vu__chain_bad_step(r, &t, next, descs);
		d = vu__split_desc(&t.desc[next]);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!vu__chain_enter_table(r, &d, &t))
				return false;
			if (mode == VU__WALK_COLLECT || mode == VU__WALK_RECORD)
				vu__meter_indirect(&r->meter);
			budget = VU_MIN(descs + t.num, VIRTQUEUE_MAX_SIZE);
			next = 0;
			continue;
		}
		descs++;
		if (d.flags & VRING_DESC_F_WRITE) {
			if (!writing) {
				writing = descs;
				readable = niov;
				if (mode == VU__WALK_RECORD)
					vu__chain_record(record, &d, 0);
			} else if (mode == VU__WALK_RECORD) {
				vu__chain_record(record, &d, 1);
			}
		} else if (VU_UNLIKELY(writing)) {
			return vu__chain_bad_buffer(r, &d);
		} else if (mode == VU__WALK_COLLECT || mode == VU__WALK_RECORD) {
			vu__meter_readable(&r->meter, d.len);
		}
		if (VU_UNLIKELY(!d.len))
			return vu__chain_bad_buffer(r, &d);
		if (mode == VU__WALK_SUM)
			*(writing ? in : out) += d.len;
		if ((mode == VU__WALK_COLLECT || mode == VU__WALK_RECORD) &&
		    !vu__chain_add_buffer(r, &d, &niov))
			return false;
		if (mode == VU__WALK_MARK && writing) {
			if (!vu__chain_mark_buffer(r, &d, t.indirect, in))
				return false;
			if (!*in)
				break;
		}
		if (!(d.flags & VRING_DESC_F_NEXT))
			break;
		next = d.next;
	}
	if (mode == VU__WALK_COLLECT || mode == VU__WALK_RECORD) {
		chain->niov = niov;
		chain->out_num = writing ? readable : niov;
	}
	if (mode == VU__WALK_RECORD && t.indirect && vu__skipped(VU__MARK_INDIRECT))
		writing = 0;
	if (mode == VU__WALK_RECORD)
		vu__chain_record_end(record, writing ? descs + 1 - writing : 0);
	return true;
}

#endif
