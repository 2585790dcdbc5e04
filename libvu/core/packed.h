/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packed virtqueue from the device's side (virtio 1.2, "Packed Virtqueues").
 *
 * Descriptors are overwritten as soon as others that were available earlier are used, so
 * what is in flight is kept here: a popped chain is copied into a table of split ring's
 * descriptors and is a chain of those from then on, for all that looks at one.  An
 * element's index is its first entry in that table, not the buffer id, which is any
 * number the driver likes.
 *
 * Threads: as struct vu__ring has them.
 */
#ifndef VU_CORE_PACKED_H
#define VU_CORE_PACKED_H

#include <endian.h>
#include <linux/virtio_ring.h>

#include "base/util.h"

#define VU__PACKED_WRAP 0x8000u /* of a place: the wrap counter, above the slot */

/* What a fresh ring begins with on both sides: slot 0, wrap counter 1. */
#define VU__PACKED_FRESH VU__PACKED_WRAP

/* Of a chain in flight, by its first entry. */
struct vu__packed_chain {
	uint16_t id;
	uint16_t last; /* entry */
	uint16_t num;  /* entries, and slots in the ring */
};

struct vu__packed {
	/* In guest memory; NULL unless the ring is served. */
	struct vring_packed_desc *desc;
	const struct vring_packed_desc_event *driver;
	struct vring_packed_desc_event *device;
	uint64_t desc_gpa, device_gpa;
	uint16_t avail, used; /* places: the next to be popped, the next to be written */
	uint16_t wish;	      /* what the device area says: VRING_PACKED_EVENT_FLAG_ */
	uint16_t row;	      /* that may be popped without asking what time it is */
	uint16_t found;	      /* popped since the meter was told of some */
	uint16_t turn;	      /* where in vu__ring.popped the next one goes */
	uint16_t popped, shown; /* elements since the start, as far as 16 bits can say */
	uint32_t since;	      /* slots used since the driver's wish was looked at */
	uint16_t free_head, nfree; /* a list of entries, linked like a chain */
	struct vring_desc *kept;
	struct vu__packed_chain *chains;
	uint32_t *lens; /* by place in a batch: bytes written */
	unsigned int alloc_num;
};

/* The next place but @n in a ring of @num; n <= num. */
static inline uint16_t vu__packed_step(uint16_t place, unsigned int n, unsigned int num)
{
	unsigned int slot = (place & ~VU__PACKED_WRAP) + n, wrap = place & VU__PACKED_WRAP;

	if (slot >= num) {
		slot -= num;
		wrap ^= VU__PACKED_WRAP;
	}
	return slot | wrap;
}

/* ... and the place @n before. */
static inline uint16_t vu__packed_step_back(uint16_t place, unsigned int n, unsigned int num)
{
	/* A whole round changes the wrap counter, and that from there on goes forward. */
	return vu__packed_step(place, num - n, num) ^ VU__PACKED_WRAP;
}

/* From one place to the next one that is @to: 0 to @num, more if it is not ahead. */
static inline unsigned int vu__packed_distance(uint16_t from, uint16_t to, unsigned int num)
{
	unsigned int a = from & ~VU__PACKED_WRAP, b = to & ~VU__PACKED_WRAP;

	return (from ^ to) & VU__PACKED_WRAP ? b + num - a : b - a;
}

static inline unsigned int vu__packed_slot(uint16_t place)
{
	return place & ~VU__PACKED_WRAP;
}

static inline unsigned int vu__packed_wrap(uint16_t place)
{
	return place >> 15;
}

/* Pairs with the driver's publishing store: the chain that begins there is readable. */
static inline uint16_t vu__packed_flags(const struct vring_packed_desc *d)
{
	return le16toh(__atomic_load_n(&d->flags, __ATOMIC_ACQUIRE));
}

/* Whether flags found at @place say that the driver has made it available. */
static inline bool vu__packed_available(uint16_t flags, uint16_t place)
{
	unsigned int avail = flags >> VRING_PACKED_DESC_F_AVAIL & 1;
	unsigned int used = flags >> VRING_PACKED_DESC_F_USED & 1;
	unsigned int wrap = vu__packed_wrap(place);

	return avail == wrap && used != wrap;
}

/* The second word of a descriptor: length, id and flags. */
static inline uint64_t vu__packed_rest(const struct vring_packed_desc *d)
{
	return le64toh(((const volatile uint64_t *)(const void *)d)[1]);
}

static inline uint64_t vu__packed_addr(const struct vring_packed_desc *d)
{
	return le64toh(((const volatile uint64_t *)(const void *)d)[0]);
}

/*
 * A whole used descriptor but its address, which means nothing: length, id and flags are
 * one word, stored at once.  What was written before is seen before it.
 */
static inline void vu__packed_publish_whole(struct vring_packed_desc *d, uint16_t id,
					    uint32_t len, uint16_t flags)
{
	uint64_t rest = len | (uint64_t)id << 32 | (uint64_t)flags << 48;

	__atomic_store_n((uint64_t *)(void *)d + 1, htole64(rest), __ATOMIC_RELEASE);
}

/* All but the flags, which say that the rest is there. */
static inline void vu__packed_write_used(struct vring_packed_desc *d, uint16_t id, uint32_t len)
{
	__atomic_store_n(&d->len, htole32(len), __ATOMIC_RELAXED);
	__atomic_store_n(&d->id, htole16(id), __ATOMIC_RELAXED);
}

/* Flags of a used descriptor at @place. */
static inline uint16_t vu__packed_used_flags(uint16_t place, uint32_t len)
{
	uint16_t wrap = vu__packed_wrap(place);

	return wrap << VRING_PACKED_DESC_F_AVAIL | wrap << VRING_PACKED_DESC_F_USED |
	       (len ? VRING_DESC_F_WRITE : 0);
}

/* ... of one that is not used yet, whatever else it was. */
static inline uint16_t vu__packed_unused_flags(uint16_t place)
{
	uint16_t wrap = vu__packed_wrap(place);

	return wrap << VRING_PACKED_DESC_F_AVAIL | !wrap << VRING_PACKED_DESC_F_USED;
}

/* The data and the rest of all descriptors of the batch are seen before these flags. */
static inline void vu__packed_publish(struct vring_packed_desc *d, uint16_t flags)
{
	__atomic_store_n(&d->flags, htole16(flags), __ATOMIC_RELEASE);
}

/* Both members of an event suppression structure at once: the flags are the upper half. */
static inline uint32_t vu__packed_event(const struct vring_packed_desc_event *e)
{
	return le32toh(__atomic_load_n((const uint32_t *)(const void *)e, __ATOMIC_RELAXED));
}

/* Room for rings of @num entries.  0 or -ENOMEM. */
VU_MUST_CHECK int vu__packed_prepare(struct vu__packed *p, unsigned int num);
void vu__packed_destroy(struct vu__packed *p);

/* Nothing is in flight: all of @num entries are free. */
void vu__packed_clear(struct vu__packed *p, unsigned int num);

/*
 * Puts a chain into the table, whose descriptors are given one after the other: the
 * entry they go to begins with the list's head.  vu__packed_keep() says false if there is
 * no entry left; vu__packed_commit() takes @n of them off the list and returns the first.
 */
struct vu__packed_filling {
	uint16_t at, last;
	uint16_t n;
};

static inline struct vu__packed_filling vu__packed_fill_begin(const struct vu__packed *p)
{
	return (struct vu__packed_filling){.at = p->free_head};
}

static inline bool vu__packed_keep(struct vu__packed *p, struct vu__packed_filling *f,
				   uint64_t addr, uint32_t len, uint16_t flags)
{
	struct vring_desc *to = &p->kept[f->at];
	uint64_t *words = (uint64_t *)(void *)to;
	uint16_t next;

	if (VU_UNLIKELY(f->n == p->nfree))
		return false;
	next = le16toh(to->next);
	/* Two stores, which the walk along the chain soon reads as they were made. */
	words[0] = htole64(addr);
	words[1] = htole64(len | (uint64_t)flags << 32 | (uint64_t)next << 48);
	f->last = f->at;
	f->at = next;
	f->n++;
	return true;
}

static inline uint16_t vu__packed_commit(struct vu__packed *p,
					 const struct vu__packed_filling *f, uint16_t id)
{
	uint16_t head = p->free_head;

	p->chains[head] = (struct vu__packed_chain){id, f->last, f->n};
	p->free_head = f->at;
	p->nfree -= f->n;
	return head;
}

/* The chain at @head is not in flight any more. */
static inline void vu__packed_release(struct vu__packed *p, uint16_t head)
{
	const struct vu__packed_chain *c = &p->chains[head];

	p->kept[c->last].next = htole16(p->free_head);
	p->free_head = head;
	p->nfree += c->num;
}

#endif
