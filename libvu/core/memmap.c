/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mapping regions and finding addresses in them.  Any thread. */
#include "core/memmap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "base/sys.h"

#define HUGETLBFS_MAGIC_NUMBER 0x958458f6

/* The unit in which this file can be mapped. */
static uint64_t file_page_size(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && (uint64_t)fs.f_type == HUGETLBFS_MAGIC_NUMBER)
		return fs.f_bsize;
	return sysconf(_SC_PAGESIZE);
}

static int check_desc(const struct vu__region_desc *d, int fd, char *why, size_t why_size)
{
	struct stat st;

	if (d->size == 0 || !vu__range_valid(d->gpa, d->size) ||
	    !vu__range_valid(d->uaddr, d->size) || !vu__range_valid(d->mmap_offset, d->size) ||
	    d->mmap_offset + (d->size - 1) >= INT64_MAX) {
		snprintf(why, why_size, "region at 0x%llx: size 0x%llx at offset 0x%llx",
			 (unsigned long long)d->gpa, (unsigned long long)d->size,
			 (unsigned long long)d->mmap_offset);
		return -EINVAL;
	}
	if (fstat(fd, &st) < 0) {
		snprintf(why, why_size, "region at 0x%llx: %s", (unsigned long long)d->gpa,
			 strerror(errno));
		return -errno;
	}
	/* A character device (DAX, say) has no size to compare with. */
	if (!S_ISCHR(st.st_mode) &&
	    !vu__range_within(d->mmap_offset, d->size, (uint64_t)st.st_size)) {
		snprintf(why, why_size,
			 "region at 0x%llx: its file of 0x%llx bytes ends before 0x%llx",
			 (unsigned long long)d->gpa, (unsigned long long)st.st_size,
			 (unsigned long long)(d->mmap_offset + d->size));
		return -EINVAL;
	}
	return 0;
}

int vu__region_new(const struct vu__region_desc *desc, int fd, struct vu__region **out,
		   char *why, size_t why_size)
{
	VU_CLEANUP_FREE struct vu__region *r = NULL;
	uint64_t page, skip, len;
	int ret = check_desc(desc, fd, why, why_size);

	if (ret)
		return ret;
	r = vu__sys.calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	page = file_page_size(fd);
	skip = desc->mmap_offset & (page - 1);
	/* The last page of a huge page file is mapped whole or not at all. */
	len = (desc->size + skip + page - 1) & ~(page - 1);
	r->map_addr = vu__sys.mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
				   fd, desc->mmap_offset - skip);
	if (r->map_addr == MAP_FAILED) {
		ret = -errno;
		snprintf(why, why_size, "region at 0x%llx: mmap: %s",
			 (unsigned long long)desc->gpa, strerror(errno));
		return ret;
	}
	/* A guest's memory has no place in a core dump; failing to say so is no harm. */
	(void)madvise(r->map_addr, len, MADV_DONTDUMP);
	r->map_len = len;
	r->page = page;
	r->host = (uint8_t *)r->map_addr + skip;
	r->desc = *desc;
	r->fd = vu__fd_dup(fd);
	r->refs = 1;
	*out = vu__steal_ptr(&r);
	return 0;
}

struct vu__region *vu__region_get(struct vu__region *r)
{
	__atomic_fetch_add(&r->refs, 1, __ATOMIC_RELAXED);
	return r;
}

void vu__region_put(struct vu__region *r)
{
	/* Orders every thread's use of the memory before the unmapping by the last one. */
	if (__atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL))
		return;
	vu__sys.munmap(r->map_addr, r->map_len);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

static int by_gpa(const void *a, const void *b)
{
	const struct vu__region *ra = *(struct vu__region *const *)a;
	const struct vu__region *rb = *(struct vu__region *const *)b;

	return ra->desc.gpa < rb->desc.gpa ? -1 : ra->desc.gpa > rb->desc.gpa;
}

static bool overlap(const struct vu__region_desc *a, const struct vu__region_desc *b)
{
	return vu__ranges_overlap(a->gpa, a->size, b->gpa, b->size) ||
	       vu__ranges_overlap(a->uaddr, a->size, b->uaddr, b->size);
}

static int check_overlaps(const struct vu__memmap *m, char *why, size_t why_size)
{
	for (unsigned int i = 0; i < m->n; i++) {
		for (unsigned int j = i + 1; j < m->n; j++) {
			if (!overlap(&m->regions[i]->desc, &m->regions[j]->desc))
				continue;
			snprintf(why, why_size, "regions at 0x%llx and 0x%llx overlap",
				 (unsigned long long)m->regions[i]->desc.gpa,
				 (unsigned long long)m->regions[j]->desc.gpa);
			return -EEXIST;
		}
	}
	return 0;
}

/* Divides the address space up to the last region's end into equal slots. */
static void build_slots(struct vu__memmap *m)
{
	unsigned int region = 0;
	uint64_t last;

	m->shift = 12;
	if (!m->n)
		return;
	last = m->spans[m->n - 1].gpa + (m->spans[m->n - 1].size - 1);
	while (last >> m->shift >= VU__MAP_SLOTS)
		m->shift++;
	for (uint64_t slot = 0; slot < VU__MAP_SLOTS; slot++) {
		while (region < m->n &&
		       (m->spans[region].gpa + (m->spans[region].size - 1)) >> m->shift < slot)
			region++;
		m->first[slot] = region;
	}
}

int vu__memmap_new(struct vu__region *const *regions, unsigned int n, struct vu__memmap **out,
		   char *why, size_t why_size)
{
	struct vu__memmap *m = vu__sys.calloc(
		1, sizeof(*m) + n * (sizeof(*m->regions) + sizeof(*m->spans)));
	int ret;

	if (!m)
		return -ENOMEM;
	m->refs = 1;
	m->n = n;
	m->spans = (struct vu__span *)(m + 1);
	m->regions = (struct vu__region **)(m->spans + n);
	for (unsigned int i = 0; i < n; i++)
		m->regions[i] = regions[i];
	if (n)
		qsort(m->regions, n, sizeof(*m->regions), by_gpa);
	ret = check_overlaps(m, why, why_size);
	if (ret) {
		free(m);
		return ret;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct vu__region *r = vu__region_get(m->regions[i]);

		m->spans[i] = (struct vu__span){r->desc.gpa, r->desc.size, r->host};
	}
	build_slots(m);
	*out = m;
	return 0;
}

struct vu__memmap *vu__memmap_get(struct vu__memmap *m)
{
	__atomic_fetch_add(&m->refs, 1, __ATOMIC_RELAXED);
	return m;
}

void vu__memmap_put(struct vu__memmap *m)
{
	/* As in vu__region_put(): uses before release. */
	if (!m || __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned int i = 0; i < m->n; i++)
		vu__region_put(m->regions[i]);
	free(m);
}

void *vu__memmap_find_uaddr(const struct vu__memmap *m, uint64_t uaddr, uint64_t len)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct vu__region *r = m->regions[i];
		uint64_t off = uaddr - r->desc.uaddr;

		if (off < r->desc.size && vu__range_within(off, len, r->desc.size))
			return r->host + off;
	}
	return NULL;
}

uint64_t vu__memmap_gpa(const struct vu__memmap *m, const void *host)
{
	for (unsigned int i = 0; i < m->n; i++) {
		uint64_t off = (uintptr_t)host - (uintptr_t)m->spans[i].host;

		if (off < m->spans[i].size)
			return m->spans[i].gpa + off;
	}
	return UINT64_MAX;
}

bool vu__memmap_read(const struct vu__memmap *m, uint64_t gpa, void *to, size_t len)
{
	while (len) {
		uint64_t piece = len;
		const void *from = vu__memmap_find(m, gpa, &piece);

		if (!from)
			return false;
		memcpy(to, from, piece);
		to = (uint8_t *)to + piece;
		gpa += piece;
		len -= piece;
	}
	return true;
}
