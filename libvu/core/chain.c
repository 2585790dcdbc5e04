/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor chains: virtio 1.2 "The Virtqueue Descriptor Table", "Indirect
 * Descriptors".  Guest memory is hostile: every descriptor is read once into a local,
 * loops end because descriptors are counted.  Queue's thread.
 */
#include "core/chain.h"

#include <string.h>

#include "core/split.h"

/* Where the next descriptor is looked up. */
struct table {
	const struct vring_desc *desc;
	unsigned int num;
	bool indirect;
};

VU_COLD static bool out_of_bounds(struct vu__ring *r, const struct vu__desc *d)
{
	vu__ring_break(r, "descriptor of %u bytes at 0x%llx is not in guest memory", d->len,
		       (unsigned long long)d->addr);
	return false;
}

/* The general case of one buffer: it may lie in several regions. */
VU_COLD static bool add_pieces(struct vu__ring *r, const struct vu__desc *d,
			       unsigned int *niov)
{
	uint64_t addr = d->addr, left = d->len;

	if (!vu__range_valid(addr, left))
		return out_of_bounds(r, d);
	while (left) {
		uint64_t piece = left;
		void *host = vu__memmap_find(r->map, addr, &piece);

		if (!host)
			return out_of_bounds(r, d);
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

static inline bool add_buffer(struct vu__ring *r, const struct vu__desc *d,
			      unsigned int *niov)
{
	uint64_t len = d->len;
	void *host = vu__memmap_find(r->map, d->addr, &len);

	if (VU_UNLIKELY(!host || len != d->len || *niov == VIRTQUEUE_MAX_SIZE))
		return add_pieces(r, d, niov);
	r->iov[*niov] = (struct iovec){host, len};
	++*niov;
	return true;
}

/* A table over a region's border, or at an odd address, is copied into one piece. */
VU_COLD static bool copy_table(struct vu__ring *r, const struct vu__desc *d, struct table *t)
{
	if (!r->table) {
		r->table = malloc(VIRTQUEUE_MAX_SIZE * sizeof(struct vring_desc));
		if (!r->table) {
			vu__ring_break(r, "out of memory for an indirect table");
			return false;
		}
	}
	if (!vu__range_valid(d->addr, d->len) ||
	    !vu__memmap_read(r->map, d->addr, r->table, d->len)) {
		vu__ring_break(r, "indirect table of %u bytes at 0x%llx is not in guest memory",
			       d->len, (unsigned long long)d->addr);
		return false;
	}
	t->desc = r->table;
	return true;
}

static bool enter_table(struct vu__ring *r, const struct vu__desc *d, struct table *t)
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
	host = vu__memmap_find(r->map, d->addr, &len);
	if (VU_UNLIKELY(!host || len != d->len || (uintptr_t)host % 8))
		return copy_table(r, d, t);
	t->desc = host;
	return true;
}

VU_COLD static bool bad_step(struct vu__ring *r, const struct table *t, unsigned int next,
			     unsigned int descs)
{
	if (next >= t->num)
		vu__ring_break(r, "descriptor %u of %s of %u", next,
			       t->indirect ? "an indirect table" : "a ring", t->num);
	else
		vu__ring_break(r, "a chain that does not end after %u descriptors", descs);
	return false;
}

VU_COLD static bool bad_buffer(struct vu__ring *r, const struct vu__desc *d)
{
	if (!d->len)
		vu__ring_break(r, "a descriptor of 0 bytes");
	else
		vu__ring_break(r, "a readable descriptor behind a writable one");
	return false;
}

/*
 * Goes along the chain; @collect is a constant at both places of use, so that each gets
 * a loop of its own.
 */
static inline __attribute__((always_inline)) bool walk(struct vu__ring *r, unsigned int next,
						       bool collect, struct vu__chain *chain,
						       uint64_t *in, uint64_t *out)
{
	struct table t = {r->vq->vring.desc, r->vq->vring.num, false};
	/* In one table a longer chain has a loop; together, memory for iovecs ends. */
	unsigned int budget = VU_MIN(t.num, VIRTQUEUE_MAX_SIZE);
	unsigned int descs = 0, niov = 0, readable = 0;
	bool writing = false;

	for (;;) {
		struct vu__desc d;

		if (VU_UNLIKELY(next >= t.num || descs == budget))
			return bad_step(r, &t, next, descs);
		d = vu__split_desc(&t.desc[next]);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!enter_table(r, &d, &t))
				return false;
			budget = VU_MIN(descs + t.num, VIRTQUEUE_MAX_SIZE);
			next = 0;
			continue;
		}
		descs++;
		if (d.flags & VRING_DESC_F_WRITE) {
			if (!writing) {
				writing = true;
				readable = niov;
			}
		} else if (VU_UNLIKELY(writing)) {
			return bad_buffer(r, &d);
		}
		if (VU_UNLIKELY(!d.len))
			return bad_buffer(r, &d);
		if (!collect)
			*(writing ? in : out) += d.len;
		else if (!add_buffer(r, &d, &niov))
			return false;
		if (!(d.flags & VRING_DESC_F_NEXT))
			break;
		next = d.next;
	}
	if (collect) {
		chain->descs = descs;
		chain->out_num = writing ? readable : niov;
		chain->in_num = niov - chain->out_num;
	}
	return true;
}

bool vu__chain_collect(struct vu__ring *r, unsigned int head, struct vu__chain *chain)
{
	return walk(r, head, true, chain, NULL, NULL);
}

bool vu__chain_sum(struct vu__ring *r, unsigned int head, uint64_t *in, uint64_t *out)
{
	return walk(r, head, false, NULL, in, out);
}
