/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A packed ring's record of what is in flight: written, and read after a crash. */
#include "core/inflightpacked.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"

_Static_assert(offsetof(struct vu__inflight_packed, at) == 16, "as the specification has it");
_Static_assert(offsetof(struct vu__inflight_packed, desc) == 32, "as the specification has it");
_Static_assert(sizeof(struct vu__packed_state) == 32, "as the specification has it");

/* --- queue's thread --- */

void vu__inflight_packed_take(VuVirtq *vq, const struct vu__packed *p, uint16_t head)
{
	struct vu__inflight_packed *f = vu__inflight_packed_of(vq);
	const struct vu__packed_chain *c = &p->chains[head];
	struct vu__packed_state *first = &f->desc[head];
	uint16_t at = head;

	for (unsigned int i = 0; i < c->num; i++) {
		const struct vring_desc *from = &p->kept[at];
		struct vu__packed_state *to = &f->desc[at];

		to->addr = le64toh(from->addr);
		to->len = le32toh(from->len);
		to->flags = le16toh(from->flags);
		to->id = c->id;
		at = le16toh(from->next);
	}
	first->num = c->num;
	first->last = c->last;
	first->counter = vq->counter++;
	vu__inflight_step();
	if (!vu__skipped(VU__INFLIGHT_TAKE))
		__atomic_store_n(&first->inflight, 1, __ATOMIC_RELAXED);
	vu__inflight_step();
	vu__packed_set_free(f, p->free_head);
}

void vu__inflight_packed_drop(struct vu__inflight_packed *f, const struct vu__packed *p,
			      uint16_t head)
{
	f->desc[p->chains[head].last].next = f->free.head;
	vu__inflight_step();
	__atomic_store_n(&f->desc[head].inflight, 0, __ATOMIC_RELAXED);
	vu__inflight_step();
	vu__packed_set_free(f, head);
}

void vu__inflight_packed_link(struct vu__inflight_packed *f, const struct vu__packed *p,
			      uint16_t head)
{
	if (vu__skipped(VU__INFLIGHT_BATCH))
		return;
	f->desc[p->chains[head].last].next = f->free.head;
	vu__inflight_step();
	__atomic_store_n(&f->free.head, head, __ATOMIC_RELAXED);
	vu__inflight_step();
}

void vu__inflight_packed_settle(struct vu__inflight_packed *f, const uint16_t *heads,
				unsigned int n, uint16_t used)
{
	vu__inflight_step();
	for (unsigned int i = 0; i < n; i++) {
		__atomic_store_n(&f->desc[heads[i]].inflight, 0, __ATOMIC_RELAXED);
		vu__inflight_step();
	}
	vu__packed_set_free(f, f->free.head);
	vu__packed_set_at(f, used, used);
}

/* --- after a crash --- */

bool vu__inflight_packed_plausible(const struct vu__inflight_packed *part, uint16_t queue_size)
{
	uint16_t version = __atomic_load_n(&part->version, __ATOMIC_RELAXED);

	if (!version)
		return true;
	return version == VU__INFLIGHT_VERSION &&
	       __atomic_load_n(&part->desc_num, __ATOMIC_RELAXED) == queue_size &&
	       __atomic_load_n(&part->free.head, __ATOMIC_RELAXED) <= queue_size &&
	       __atomic_load_n(&part->free.old_head, __ATOMIC_RELAXED) <= queue_size;
}

/* A part as it was at one instant: the front-end could change it while we think. */
struct copy {
	struct vu__packed_state *desc;
	unsigned int desc_num;
	unsigned int num;	/* of the ring */
	uint16_t used, free;	/* the place and the list's head to go on with */
	unsigned int in_flight; /* entries of all chains */
	char *why;
	size_t why_size;
	struct vu__inflight_packed head; /* last: nothing of its array is copied */
};

static bool take_copy(const struct vu__inflight_packed *part, unsigned int queue_size,
		      struct copy *c)
{
	c->desc = vu__sys.calloc(queue_size, sizeof(*c->desc));
	if (!c->desc)
		return false;
	memcpy(&c->head, part, sizeof(c->head));
	memcpy(c->desc, part->desc, queue_size * sizeof(*c->desc));
	c->desc_num = queue_size;
	return true;
}

static int nonsense(const struct copy *c)
{
	const struct vu__inflight_packed *h = &c->head;

	snprintf(c->why, c->why_size, "version %u, %u descriptors of %u for a ring of %u, used "
		 "slots %u and %u, free entries from %u and %u", h->version, h->desc_num,
		 c->desc_num, c->num, h->at.used_idx, h->at.old_used_idx, h->free.head,
		 h->free.old_head);
	return -EINVAL;
}

/*
 * Whether the last batch was shown: then its first descriptor is not what the driver had
 * made available there.
 */
static void decide_batch(struct copy *c, const struct vring_packed_desc *ring)
{
	const struct vu__packed_at *at = &c->head.at;
	uint16_t old = at->old_used_idx | (at->old_used_wrap ? VU__PACKED_WRAP : 0);
	uint16_t new = at->used_idx | (at->used_wrap ? VU__PACKED_WRAP : 0);

	c->used = old;
	c->free = c->head.free.old_head;
	if (new == old || vu__packed_available(vu__packed_flags(&ring[vu__packed_slot(old)]), old))
		return;
	c->used = new;
	c->free = c->head.free.head;
}

/* What is in the list of free entries is not in flight, whatever it says. */
static void clear_free(struct copy *c)
{
	uint16_t at = c->free;

	for (unsigned int i = 0; i < c->desc_num && at < c->desc_num; i++) {
		c->desc[at].inflight = 0;
		at = c->desc[at].next;
	}
}

static int bad_chain(const struct copy *c, unsigned int head)
{
	const struct vu__packed_state *s = &c->desc[head];

	snprintf(c->why, c->why_size, "entry %u of %u: state %u, %u entries up to %u, counter "
		 "%llu", head, c->num, s->inflight, s->num, s->last,
		 (unsigned long long)s->counter);
	return -EINVAL;
}

/* Puts the chain at @head into @p.  @seen has a bit for each entry that is in flight. */
static int keep_chain(struct copy *c, unsigned int head, uint64_t *seen, struct vu__packed *p)
{
	const struct vu__packed_state *s = &c->desc[head];
	unsigned int at = head, last = head;

	if (s->inflight != 1 || !s->num || s->num > c->num - c->in_flight ||
	    s->counter == UINT64_MAX)
		return bad_chain(c, head);
	for (unsigned int i = 0; i < s->num; i++) {
		uint16_t flags, next;

		if (at >= c->num || vu__has_bit(seen[at / 64], at % 64))
			return bad_chain(c, head);
		seen[at / 64] |= VU_BIT(at % 64);
		next = c->desc[at].next;
		flags = c->desc[at].flags & (VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT);
		if (i + 1u < s->num)
			flags |= VRING_DESC_F_NEXT;
		p->kept[at] = (struct vring_desc){htole64(c->desc[at].addr),
						  htole32(c->desc[at].len), htole16(flags),
						  htole16(next)};
		last = at;
		at = next;
	}
	if (last != s->last)
		return bad_chain(c, head);
	p->chains[head] = (struct vu__packed_chain){c->desc[last].id, last, s->num};
	c->in_flight += s->num;
	return 0;
}

/* Links all that is not in flight, in order, in the copy and in @p. */
static void link_free(struct copy *c, const uint64_t *seen, struct vu__packed *p)
{
	unsigned int next = c->num;

	for (unsigned int i = c->num; i > 0; i--) {
		if (vu__has_bit(seen[(i - 1) / 64], (i - 1) % 64))
			continue;
		p->kept[i - 1].next = htole16(next);
		c->desc[i - 1].next = next;
		next = i - 1;
	}
	p->free_head = next;
	p->nfree = c->num - c->in_flight;
	c->free = next;
}

static int list_requests(struct copy *c, struct vu__packed *p, struct vu__inflight_left *left)
{
	VU_CLEANUP_FREE uint64_t *seen = vu__sys.calloc(c->desc_num / 64 + 1, sizeof(*seen));
	const VuVirtqInflightDesc *same;
	unsigned int n = 0;

	if (!seen)
		return -ENOMEM;
	for (unsigned int i = 0; i < c->desc_num; i++) {
		int ret = c->desc[i].inflight ? keep_chain(c, i, seen, p) : 0;

		if (ret)
			return ret;
		if (c->desc[i].inflight)
			left->list[n++] = (VuVirtqInflightDesc){i, c->desc[i].counter};
	}
	same = vu__inflight_order(left, n);
	if (same)
		return bad_chain(c, same->index);
	link_free(c, seen, p);
	return 0;
}

/*
 * Of a batch that was not shown all but the first descriptor may have been written.  The
 * driver comes there as soon as the first place is used for something else, and must not
 * take what it finds for complete.  Until then it does not look.
 */
static void take_marks_back(const struct copy *c, struct vring_packed_desc *ring)
{
	uint16_t at = c->used;

	if (vu__skipped(VU__INFLIGHT_MARKS))
		return;
	for (unsigned int i = 0; i < c->in_flight; i++, at = vu__packed_step(at, 1, c->num)) {
		uint16_t *flags = &ring[vu__packed_slot(at)].flags;

		if (!vu__packed_available(le16toh(__atomic_load_n(flags, __ATOMIC_RELAXED)), at))
			__atomic_store_n(flags, htole16(vu__packed_unused_flags(at)),
					 __ATOMIC_RELAXED);
	}
}

/*
 * Makes the part say what the copy has come to.  At each step the next one would come to
 * the same: lists lead through free entries only, and those are not in flight.
 */
static void publish(struct vu__inflight_packed *part, const struct copy *c)
{
	for (unsigned int i = 0; i < c->desc_num; i++) {
		if (!c->desc[i].inflight)
			__atomic_store_n(&part->desc[i].inflight, 0, __ATOMIC_RELAXED);
	}
	vu__inflight_step();
	vu__packed_set_at(part, c->used, c->used);
	for (unsigned int i = 0; i < c->num; i++) {
		if (part->desc[i].next != c->desc[i].next)
			__atomic_store_n(&part->desc[i].next, c->desc[i].next, __ATOMIC_RELAXED);
	}
	vu__inflight_step();
	vu__packed_set_free(part, c->free);
}

/* The version says that the rest is valid, so it is written last. */
static void begin_part(struct vu__inflight_packed *part, const struct copy *c, uint16_t used)
{
	__atomic_store_n(&part->version, 0, __ATOMIC_RELAXED);
	vu__inflight_step();
	memset(part->desc, 0, c->desc_num * sizeof(part->desc[0]));
	for (unsigned int i = 0; i < c->desc_num; i++)
		part->desc[i].next = i + 1;
	part->features = 0;
	part->desc_num = c->desc_num;
	vu__packed_set_free(part, 0);
	vu__packed_set_at(part, used, used);
	__atomic_store_n(&part->version, VU__INFLIGHT_VERSION, __ATOMIC_RELAXED);
	vu__inflight_step();
}

static int examine(struct copy *c, const struct vring_packed_desc *ring, struct vu__packed *p,
		   struct vu__inflight_left *left)
{
	const struct vu__inflight_packed *h = &c->head;

	if (h->version != VU__INFLIGHT_VERSION || h->desc_num != c->desc_num ||
	    c->num > c->desc_num || h->at.used_idx >= c->num || h->at.old_used_idx >= c->num ||
	    h->at.used_wrap > 1 || h->at.old_used_wrap > 1)
		return nonsense(c);
	decide_batch(c, ring);
	if (!vu__skipped(VU__INFLIGHT_REPAIR))
		clear_free(c);
	return list_requests(c, p, left);
}

int vu__inflight_packed_recover(struct vu__inflight_packed *part, uint16_t queue_size,
				unsigned int num, struct vring_packed_desc *ring,
				uint16_t *used, struct vu__packed *p,
				struct vu__inflight_left *left, char *why, size_t why_size)
{
	struct copy c = {.num = num, .why = why, .why_size = why_size};
	int ret = 0;

	*left = (struct vu__inflight_left){.fresh = false};
	if (!take_copy(part, queue_size, &c))
		return -ENOMEM;
	if (c.head.version) {
		left->list = vu__sys.calloc(queue_size, sizeof(*left->list));
		ret = left->list ? examine(&c, ring, p, left) : -ENOMEM;
	}
	left->fresh = !c.head.version;
	if (!ret && left->fresh) {
		begin_part(part, &c, *used);
		vu__packed_clear(p, num);
	} else if (!ret) {
		take_marks_back(&c, ring);
		publish(part, &c);
		*used = c.used;
	}
	if (ret || !left->n)
		free(vu__steal_ptr(&left->list));
	free(c.desc);
	return ret;
}
