/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest memory of a front-end: memfds, and telling the back-end of them. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "frontend/fe.h"

#define PAGE	       4096ULL
#define HUGE_PAGE      (2ULL << 20)
#define FILE_OFFSET    (16 * PAGE) /* with VU_FRONTEND_OFFSET */

void vu__fe_free_memory(struct vu_frontend *fe)
{
	for (unsigned int i = 0; i < fe->nregions; i++) {
		munmap(fe->regions[i].mem, fe->regions[i].size);
		close(fe->regions[i].fd);
	}
	free(fe->regions);
	fe->regions = NULL;
	fe->nregions = 0;
}

/* A file of @size bytes behind @offset; huge pages if there are enough of them. */
static int make_file(uint64_t offset, uint64_t size, unsigned int flags)
{
	int fd = -1;

	if (flags & VU_FRONTEND_HUGEPAGES && !(size % HUGE_PAGE) && !offset) {
		void *probe;

		fd = memfd_create("guest-memory", MFD_CLOEXEC | MFD_HUGETLB);
		if (fd >= 0 && !ftruncate(fd, size)) {
			probe = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
			if (probe != MAP_FAILED) {
				munmap(probe, size);
				return fd;
			}
		}
		if (fd >= 0)
			close(fd);
	}
	fd = vu__sys.memfd_create("guest-memory", MFD_CLOEXEC);
	if (fd >= 0 && vu__sys.ftruncate(fd, offset + size)) {
		close(fd);
		fd = -1;
	}
	return fd < 0 ? -errno : fd;
}

int vu_frontend_add_memory(struct vu_frontend *fe, uint64_t gpa, uint64_t size,
			   unsigned int flags)
{
	uint64_t offset = flags & VU_FRONTEND_OFFSET ? FILE_OFFSET : 0;
	struct vu_frontend_region *regions;
	VU_CLEANUP_FD int fd = -1;
	void *mem;

	if (!size || size % PAGE || fe->nregions == VU__FE_MAX_REGIONS)
		return vu__fe_fail(fe, -EINVAL, "a region of %llu bytes",
				   (unsigned long long)size);
	fd = make_file(offset, size, flags);
	if (fd < 0)
		return vu__fe_fail(fe, fd, "guest memory: %s", strerror(-fd));
	mem = vu__sys.mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	if (mem == MAP_FAILED)
		return vu__fe_fail(fe, -errno, "guest memory: %s", strerror(errno));
	regions = realloc(fe->regions, (fe->nregions + 1) * sizeof(*regions));
	if (!regions) {
		munmap(mem, size);
		return -ENOMEM;
	}
	fe->regions = regions;
	regions[fe->nregions] = (struct vu_frontend_region){
		gpa, size, (uintptr_t)mem, offset, vu__steal_fd(&fd), mem, 0};
	return (int)fe->nregions++;
}

static struct vu__region_payload payload_of(const struct vu_frontend_region *r)
{
	return (struct vu__region_payload){r->gpa, r->size, r->uaddr, r->offset};
}

/* In postcopy the answer is the request with the back-end's address. */
static int note_base(struct vu_frontend *fe, unsigned int region,
		     const struct vu__region_payload *answer)
{
	struct vu_frontend_region *r = &fe->regions[region];

	if (answer->gpa != r->gpa || answer->size != r->size || !answer->uaddr)
		return vu__fe_fail(fe, -EPROTO, "for region %u the back-end answers with 0x%llx "
				   "bytes at 0x%llx", region, (unsigned long long)answer->size,
				   (unsigned long long)answer->gpa);
	r->backend = answer->uaddr;
	return 0;
}

static int note_table(struct vu_frontend *fe, const struct vu__msg *m, uint32_t sent)
{
	int ret = 0;

	if (m->size != sent || m->payload.mem_table.nregions != fe->nregions)
		return vu__fe_fail(fe, -EPROTO, "SET_MEM_TABLE of %u bytes answered with %u",
				   sent, m->size);
	for (unsigned int i = 0; i < fe->nregions && !ret; i++)
		ret = note_base(fe, i, &m->payload.mem_table.regions[i]);
	return ret;
}

static int set_mem_table(struct vu_frontend *fe)
{
	struct vu__msg m;
	uint32_t size;
	int ret;

	vu__msg_init(&m, VU__SET_MEM_TABLE);
	m.payload.mem_table.nregions = fe->nregions;
	for (unsigned int i = 0; i < fe->nregions; i++) {
		m.payload.mem_table.regions[i] = payload_of(&fe->regions[i]);
		m.fds[i] = fe->regions[i].fd;
	}
	m.nfds = fe->nregions;
	m.size = size = 8 + fe->nregions * sizeof(struct vu__region_payload);
	ret = vu__fe_call(fe, &m);
	if (ret || !fe->listening)
		return ret;
	fe->table_request = VU__SET_MEM_TABLE;
	return note_table(fe, &m, size);
}

int vu_frontend_share_memory(struct vu_frontend *fe)
{
	int ret = 0;

	if (fe->nregions <= VU__REGIONS_MAX)
		return set_mem_table(fe);
	for (unsigned int i = 0; i < fe->nregions && !ret; i++)
		ret = vu_frontend_add_mem_reg(fe, i);
	return ret;
}

static int call_region(struct vu_frontend *fe, uint32_t request, unsigned int region,
		       bool with_fd)
{
	struct vu__msg m;
	int ret;

	if (region >= fe->nregions)
		return vu__fe_fail(fe, -EINVAL, "region %u of %u", region, fe->nregions);
	vu__msg_init(&m, request);
	m.payload.mem_reg.region = payload_of(&fe->regions[region]);
	m.size = sizeof(m.payload.mem_reg);
	if (with_fd) {
		m.fds[0] = fe->regions[region].fd;
		m.nfds = 1;
	}
	ret = vu__fe_call(fe, &m);
	if (ret || !fe->listening)
		return ret;
	fe->table_request = request;
	return with_fd ? note_base(fe, region, &m.payload.mem_reg.region) : 0;
}

int vu_frontend_add_mem_reg(struct vu_frontend *fe, unsigned int region)
{
	return call_region(fe, VU__ADD_MEM_REG, region, true);
}

int vu_frontend_rem_mem_reg(struct vu_frontend *fe, unsigned int region)
{
	return call_region(fe, VU__REM_MEM_REG, region, false);
}

int vu_frontend_region(struct vu_frontend *fe, unsigned int region,
		       struct vu_frontend_region *out)
{
	if (region >= fe->nregions)
		return vu__fe_fail(fe, -EINVAL, "region %u of %u", region, fe->nregions);
	*out = fe->regions[region];
	return 0;
}

void *vu_frontend_ptr(struct vu_frontend *fe, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < fe->nregions; i++) {
		const struct vu_frontend_region *r = &fe->regions[i];

		if (gpa >= r->gpa && vu__range_within(gpa - r->gpa, len, r->size))
			return (uint8_t *)r->mem + (gpa - r->gpa);
	}
	return NULL;
}
