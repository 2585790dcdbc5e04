/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory in this process.
 *
 * A region is one mapping, a map is a set of regions that do not overlap.  Both are
 * reference counted and never change once made: a new memory table is a new map that
 * shares the regions it keeps.  Whoever points into guest memory holds a map.
 *
 * Threads: a map may be read, and references taken and dropped, by any thread.
 */
#ifndef VU_CORE_MEMMAP_H
#define VU_CORE_MEMMAP_H

#include <sys/uio.h>

#include "base/util.h"

/* What a front-end says of a region. */
struct vu__region_desc {
	uint64_t gpa;	      /* guest physical address */
	uint64_t size;	      /* bytes */
	uint64_t uaddr;	      /* where the front-end has it */
	uint64_t mmap_offset; /* where in the file */
};

struct vu__region {
	struct vu__region_desc desc;
	uint8_t *host; /* of desc.gpa */
	void *map_addr;
	size_t map_len;
	size_t page; /* unit of the mapping: a huge page's size on hugetlbfs */
	int fd; /* the region's own; -1: there was no more room for it */
	unsigned int refs;
};

/* What the search needs of a region, close together. */
struct vu__span {
	uint64_t gpa;
	uint64_t size;
	uint8_t *host;
};

#define VU__MAP_SLOTS 1024

struct vu__memmap {
	unsigned int refs;
	unsigned int n;
	unsigned int shift;	 /* gpa >> shift is a slot */
	uint16_t first[VU__MAP_SLOTS]; /* first region that ends behind the slot's start */
	struct vu__span *spans;	 /* by gpa */
	struct vu__region **regions; /* in the same order */
};

/*
 * Maps a region of @fd, which stays the caller's; keeps a second fd of it, for the next
 * back-end.  0; -errno with a reason in @why:
 * the range is empty or wraps, the file is shorter, it cannot be mapped.
 */
VU_MUST_CHECK int vu__region_new(const struct vu__region_desc *desc, int fd,
				 struct vu__region **out, char *why, size_t why_size);
struct vu__region *vu__region_get(struct vu__region *r);
void vu__region_put(struct vu__region *r);

/*
 * A map of @n regions in any order; takes references of its own.  0; -EEXIST with a
 * reason if two overlap in guest or front-end addresses; -ENOMEM.
 */
VU_MUST_CHECK int vu__memmap_new(struct vu__region *const *regions, unsigned int n,
				 struct vu__memmap **out, char *why, size_t why_size);
struct vu__memmap *vu__memmap_get(struct vu__memmap *m);
void vu__memmap_put(struct vu__memmap *m); /* NULL is fine */

/* The span that has @gpa, NULL if none does. */
static inline const struct vu__span *vu__memmap_span(const struct vu__memmap *m, uint64_t gpa)
{
	uint64_t slot = gpa >> m->shift;

	if (VU_UNLIKELY(slot >= VU__MAP_SLOTS))
		return NULL;
	for (unsigned int i = m->first[slot]; i < m->n; i++) {
		const struct vu__span *s = &m->spans[i];

		/* Below its start the difference wraps and is larger than any size. */
		if (VU_LIKELY(gpa - s->gpa < s->size))
			return s;
		if (gpa < s->gpa)
			break;
	}
	return NULL;
}

/*
 * The address of @gpa, and in *@len, which comes in as the bytes wanted, how many of
 * them follow there in one piece.  NULL if there is no memory or *@len is 0.
 */
static inline void *vu__memmap_find(const struct vu__memmap *m, uint64_t gpa, uint64_t *len)
{
	const struct vu__span *s = vu__memmap_span(m, gpa);

	if (VU_UNLIKELY(!s || !*len))
		return NULL;
	if (*len > s->size - (gpa - s->gpa))
		*len = s->size - (gpa - s->gpa);
	return s->host + (gpa - s->gpa);
}

/*
 * The address of the front-end's address @uaddr if all @len bytes from there are in
 * one region, else NULL.
 */
void *vu__memmap_find_uaddr(const struct vu__memmap *m, uint64_t uaddr, uint64_t len);

/* The guest's address of what is at @host in one of the map's regions. */
uint64_t vu__memmap_gpa(const struct vu__memmap *m, const void *host);

/* Copies out of guest memory, over region borders.  False if part of it is not there. */
VU_MUST_CHECK bool vu__memmap_read(const struct vu__memmap *m, uint64_t gpa, void *to,
				   size_t len);

#endif
