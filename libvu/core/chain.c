/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is rare in a chain: borders, odd addresses, and all that is wrong. */
#include "core/chain.h"

#include <string.h>

#include "base/trace.h"

bool vu__chain_out_of_bounds(struct vu__ring *r, const struct vu__desc *d)
{
	vu__meter_fault(&r->meter);
	VU__TRACE2(fault, r->vq, d->addr);
	vu__ring_break(r, "descriptor of %u bytes at 0x%llx is not in guest memory", d->len,
		       (unsigned long long)d->addr);
	return false;
}

bool vu__chain_add_pieces(struct vu__ring *r, const struct vu__desc *d, unsigned int *niov)
{
	uint64_t addr = d->addr, left = d->len;

	if (!vu__range_valid(addr, left))
		return vu__chain_out_of_bounds(r, d);
	while (left) {
		uint64_t piece = left;
		void *host = vu__memmap_find(r->map, addr, &piece);

		if (!host)
			return vu__chain_out_of_bounds(r, d);
		if (*niov == VIRTQUEUE_MAX_SIZE) {
			vu__ring_break(r, "a chain of more than %d pieces", VIRTQUEUE_MAX_SIZE);
			return false;
		}
		r->iov[*niov] = (struct iovec){host, piece};
		++*niov;
		addr += piece;
		left -= piece;
	}
	return true;
}

/* A table over a region's border, or at an odd address, is copied into one piece. */
static bool copy_table(struct vu__ring *r, const struct vu__desc *d, struct vu__table *t)
{
	if (!r->scratch) {
		r->scratch = malloc(VIRTQUEUE_MAX_SIZE * sizeof(struct vring_desc));
		if (!r->scratch) {
			vu__ring_break(r, "out of memory for an indirect table");
			return false;
		}
	}
	if (!vu__range_valid(d->addr, d->len) ||
	    !vu__memmap_read(r->map, d->addr, r->scratch, d->len)) {
		vu__meter_fault(&r->meter);
		VU__TRACE2(fault, r->vq, d->addr);
		vu__ring_break(r, "indirect table of %u bytes at 0x%llx is not in guest memory",
			       d->len, (unsigned long long)d->addr);
		return false;
	}
	t->desc = r->scratch;
	return true;
}

/*
 * A table of packed descriptors, which are chained by their order, as one of a split
 * ring's.  What the flags say beside that is to be ignored.
 */
static void make_split(void *table, unsigned int num)
{
	uint64_t *words = table;

	for (unsigned int i = 0; i < num; i++) {
		uint64_t rest = le64toh(words[2 * i + 1]);
		uint64_t flags = rest >> 48 & (VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT);

		if (i + 1 < num)
			flags |= VRING_DESC_F_NEXT;
		words[2 * i + 1] =
			htole64((uint32_t)rest | flags << 32 | (uint64_t)(i + 1) << 48);
	}
}

bool vu__chain_enter_table(struct vu__ring *r, const struct vu__desc *d, struct vu__table *t)
{
	uint64_t len = d->len;
	void *host;

	if (VU_UNLIKELY(!r->indirect)) {
		vu__ring_break(r, "an indirect descriptor without VIRTIO_F_INDIRECT_DESC");
		return false;
	}
	if (VU_UNLIKELY(t->indirect || d->flags & VRING_DESC_F_NEXT)) {
		vu__ring_break(r, t->indirect ? "an indirect table in an indirect table" :
						"an indirect descriptor with a next one");
		return false;
	}
	if (VU_UNLIKELY(!len || len % sizeof(struct vring_desc) ||
			len / sizeof(struct vring_desc) > VIRTQUEUE_MAX_SIZE)) {
		vu__ring_break(r, "an indirect table of %u bytes", d->len);
		return false;
	}
	t->num = len / sizeof(struct vring_desc);
	t->indirect = true;
	if (r->is_packed) {
		if (!copy_table(r, d, t))
			return false;
		make_split(r->scratch, t->num);
		return true;
	}
	host = vu__memmap_find(r->map, d->addr, &len);
	if (VU_UNLIKELY(!host || len != d->len || (uintptr_t)host % 8))
		return copy_table(r, d, t);
	t->desc = host;
	return true;
}

bool vu__chain_bad_step(struct vu__ring *r, const struct vu__table *t, unsigned int next,
			unsigned int descs)
{
	if (next >= t->num)
		vu__ring_break(r, "descriptor %u of %s of %u", next,
			       t->indirect ? "an indirect table" : "a ring", t->num);
	else
		vu__ring_break(r, "a chain that does not end after %u descriptors", descs);
	return false;
}

bool vu__chain_bad_buffer(struct vu__ring *r, const struct vu__desc *d)
{
	if (!d->len)
		vu__ring_break(r, "a descriptor of 0 bytes");
	else
		vu__ring_break(r, "a readable descriptor behind a writable one");
	return false;
}

bool vu__chain_sum(struct vu__ring *r, unsigned int head, uint64_t *in, uint64_t *out)
{
	return vu__chain_walk(r, head, VU__WALK_SUM, NULL, in, out);
}

bool vu__chain_mark(struct vu__ring *r, unsigned int head, uint64_t len)
{
	return !len || vu__chain_walk(r, head, VU__WALK_MARK, NULL, &len, NULL);
}
