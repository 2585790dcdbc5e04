/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Regions, maps and finding addresses in them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/sys.h"
#include "core/memmap.h"

#define PAGE 4096ULL

static char why[256];

static int file_of(uint64_t size)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static struct vu__region *region(uint64_t gpa, uint64_t size, uint64_t uaddr)
{
	struct vu__region_desc desc = {gpa, size, uaddr, 0};
	struct vu__region *r = NULL;
	int fd = file_of(size);

	assert_int_equal(vu__region_new(&desc, fd, &r, why, sizeof(why)), 0);
	close(fd);
	return r;
}

static int refused(uint64_t gpa, uint64_t size, uint64_t uaddr, uint64_t offset, uint64_t file)
{
	struct vu__region_desc desc = {gpa, size, uaddr, offset};
	struct vu__region *r = NULL;
	int fd = file_of(file);
	int ret;

	why[0] = '\0';
	ret = vu__region_new(&desc, fd, &r, why, sizeof(why));
	close(fd);
	if (ret)
		assert_string_not_equal(why, "");
	else
		vu__region_put(r);
	return ret;
}

static void bad_regions_are_refused(void **state)
{
	(void)state;
	assert_int_equal(refused(0, 0, 0, 0, PAGE), -EINVAL);
	assert_int_equal(refused(UINT64_MAX - PAGE + 2, PAGE, 0, 0, PAGE), -EINVAL);
	assert_int_equal(refused(0, PAGE, UINT64_MAX - PAGE + 2, 0, PAGE), -EINVAL);
	assert_int_equal(refused(0, PAGE, 0, UINT64_MAX - 1, PAGE), -EINVAL);
	assert_int_equal(refused(0, 2 * PAGE, 0, 0, PAGE), -EINVAL);
	assert_int_equal(refused(0, PAGE, 0, 1, PAGE), -EINVAL);
	/* The last byte of the address space is a place like any other. */
	assert_int_equal(refused(UINT64_MAX - PAGE + 1, PAGE, 0, 0, PAGE), 0);
	assert_int_equal(refused(0, PAGE, 0, PAGE, 2 * PAGE), 0);
}

static void *no_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	(void)addr, (void)len, (void)prot, (void)flags, (void)fd, (void)off;
	errno = ENOMEM;
	return MAP_FAILED;
}

static void a_failing_mmap_is_an_error(void **state)
{
	(void)state;
	vu__sys.mmap = no_mmap;
	assert_int_equal(refused(0, PAGE, 0, 0, PAGE), -ENOMEM);
	vu__sys.mmap = mmap;
	assert_non_null(strstr(why, "mmap"));
}

static void an_offset_that_is_not_a_page_is_mapped_right(void **state)
{
	struct vu__region_desc desc = {0x10000, PAGE, 0, 100};
	struct vu__region *r;
	int fd = file_of(2 * PAGE);

	(void)state;
	assert_int_equal(pwrite(fd, "here", 4, 100), 4);
	assert_int_equal(vu__region_new(&desc, fd, &r, why, sizeof(why)), 0);
	assert_memory_equal(r->host, "here", 4);
	vu__region_put(r);
	close(fd);
}

static void overlaps_are_refused(void **state)
{
	struct vu__region *gpa[2] = {region(0, 2 * PAGE, 0), region(PAGE, PAGE, 1 << 20)};
	struct vu__region *uaddr[2] = {region(0, 2 * PAGE, 0), region(1 << 20, PAGE, PAGE)};
	struct vu__memmap *m = NULL;

	(void)state;
	assert_int_equal(vu__memmap_new(gpa, 2, &m, why, sizeof(why)), -EEXIST);
	assert_int_equal(vu__memmap_new(uaddr, 2, &m, why, sizeof(why)), -EEXIST);
	assert_null(m);
	for (int i = 0; i < 2; i++) {
		vu__region_put(gpa[i]);
		vu__region_put(uaddr[i]);
	}
}

static struct vu__memmap *map_of(struct vu__region **regions, unsigned int n)
{
	struct vu__memmap *m;

	assert_int_equal(vu__memmap_new(regions, n, &m, why, sizeof(why)), 0);
	for (unsigned int i = 0; i < n; i++)
		vu__region_put(regions[i]);
	return m;
}

static void an_empty_map_has_nothing(void **state)
{
	struct vu__memmap *m = map_of(NULL, 0);
	uint64_t len = 1;

	(void)state;
	assert_null(vu__memmap_find(m, 0, &len));
	assert_null(vu__memmap_find(m, UINT64_MAX, &len));
	assert_null(vu__memmap_find_uaddr(m, 0, 1));
	vu__memmap_put(m);
}

/* The slow truth that the slots are compared with. */
static void *find_slowly(const struct vu__memmap *m, uint64_t gpa, uint64_t *len)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct vu__region *r = m->regions[i];

		if (gpa >= r->desc.gpa && gpa - r->desc.gpa < r->desc.size) {
			*len = VU_MIN(*len, r->desc.size - (gpa - r->desc.gpa));
			return r->host + (gpa - r->desc.gpa);
		}
	}
	return NULL;
}

static void check_point(const struct vu__memmap *m, uint64_t gpa)
{
	uint64_t fast_len = 3 * PAGE, slow_len = 3 * PAGE;

	assert_ptr_equal(vu__memmap_find(m, gpa, &fast_len), find_slowly(m, gpa, &slow_len));
	assert_int_equal(fast_len, slow_len);
}

/* Around each border of each region, and far from all. */
static void check_borders(const struct vu__memmap *m)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct vu__region_desc *d = &m->regions[i]->desc;

		for (int64_t off = -2; off <= 2; off++) {
			check_point(m, d->gpa + off);
			check_point(m, d->gpa + d->size + off);
		}
		check_point(m, d->gpa + d->size / 2);
	}
	check_point(m, 0);
	check_point(m, UINT64_MAX);
	check_point(m, 1ULL << 63);
}

static void one_region(void **state)
{
	struct vu__region *r[1] = {region(0x5000, 3 * PAGE, 0)};
	struct vu__memmap *m = map_of(r, 1);

	(void)state;
	check_borders(m);
	vu__memmap_put(m);
}

static void like_a_pc(void **state)
{
	struct vu__region *r[3] = {region(0x100000000, 64 * PAGE, 1ULL << 40),
				   region(0, 160 * PAGE, 2ULL << 40),
				   region(0xc0000, 128 * PAGE, 3ULL << 40)};
	struct vu__memmap *m = map_of(r, 3);

	(void)state;
	assert_true(m->spans[0].gpa < m->spans[1].gpa && m->spans[1].gpa < m->spans[2].gpa);
	check_borders(m);
	vu__memmap_put(m);
}

static void the_ends_of_the_address_space(void **state)
{
	struct vu__region *r[2] = {region(0, PAGE, PAGE),
				   region(UINT64_MAX - PAGE + 1, PAGE, 4 * PAGE)};
	struct vu__memmap *m = map_of(r, 2);

	(void)state;
	check_borders(m);
	vu__memmap_put(m);
}

static void five_hundred_regions(void **state)
{
	struct vu__region *r[512];
	struct vu__memmap *m;

	(void)state;
	for (unsigned int i = 0; i < 512; i++)
		r[i] = region(i * 7 * PAGE + (i % 3) * PAGE, PAGE * (1 + i % 4),
			      (1ULL << 40) + i * 16 * PAGE);
	m = map_of(r, 512);
	check_borders(m);
	vu__memmap_put(m);
}

static void a_zero_length_finds_nothing(void **state)
{
	struct vu__region *r[1] = {region(0, PAGE, 0)};
	struct vu__memmap *m = map_of(r, 1);
	uint64_t len = 0;

	(void)state;
	assert_null(vu__memmap_find(m, 0, &len));
	vu__memmap_put(m);
}

static void front_end_addresses_want_the_whole_range(void **state)
{
	struct vu__region *r[2] = {region(0, PAGE, 0x10000), region(PAGE, PAGE, 0x11000)};
	struct vu__memmap *m = map_of(r, 2);

	(void)state;
	assert_ptr_equal(vu__memmap_find_uaddr(m, 0x10000, PAGE), m->regions[0]->host);
	assert_ptr_equal(vu__memmap_find_uaddr(m, 0x11fff, 1), m->regions[1]->host + 0xfff);
	assert_null(vu__memmap_find_uaddr(m, 0x10001, PAGE));
	assert_null(vu__memmap_find_uaddr(m, 0x10000, UINT64_MAX));
	assert_null(vu__memmap_find_uaddr(m, 0x12000, 1));
	vu__memmap_put(m);
}

static void reading_goes_over_borders_and_stops_at_holes(void **state)
{
	struct vu__region *r[2] = {region(0, PAGE, 0x10000), region(PAGE, PAGE, 0x20000)};
	struct vu__memmap *m = map_of(r, 2);
	char got[8];

	(void)state;
	memcpy(m->regions[0]->host + PAGE - 4, "abcd", 4);
	memcpy(m->regions[1]->host, "efgh", 4);
	assert_true(vu__memmap_read(m, PAGE - 4, got, 8));
	assert_memory_equal(got, "abcdefgh", 8);
	assert_false(vu__memmap_read(m, 2 * PAGE - 4, got, 8));
	vu__memmap_put(m);
}

static unsigned int unmaps;

static int counting_munmap(void *addr, size_t len)
{
	unmaps++;
	return munmap(addr, len);
}

static void a_region_is_unmapped_with_its_last_map(void **state)
{
	struct vu__region *r[1] = {region(0, PAGE, 0)};
	struct vu__memmap *first, *second;

	(void)state;
	unmaps = 0;
	vu__sys.munmap = counting_munmap;
	assert_int_equal(vu__memmap_new(r, 1, &first, why, sizeof(why)), 0);
	second = map_of(r, 1);
	vu__memmap_put(first);
	assert_int_equal(unmaps, 0);
	vu__memmap_put(second);
	assert_int_equal(unmaps, 1);
	vu__sys.munmap = munmap;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_regions_are_refused),
		cmocka_unit_test(a_failing_mmap_is_an_error),
		cmocka_unit_test(an_offset_that_is_not_a_page_is_mapped_right),
		cmocka_unit_test(overlaps_are_refused),
		cmocka_unit_test(an_empty_map_has_nothing),
		cmocka_unit_test(one_region),
		cmocka_unit_test(like_a_pc),
		cmocka_unit_test(the_ends_of_the_address_space),
		cmocka_unit_test(five_hundred_regions),
		cmocka_unit_test(a_zero_length_finds_nothing),
		cmocka_unit_test(front_end_addresses_want_the_whole_range),
		cmocka_unit_test(reading_goes_over_borders_and_stops_at_holes),
		cmocka_unit_test(a_region_is_unmapped_with_its_last_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
