/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is read from an inflight region after a crash, and what is refused: case 44. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/inflight.h"

#define NUM 8u

struct part {
	VuVirtqInflight *f;
	struct vu__inflight_left left;
	char why[128];
};

static int setup(void **state)
{
	struct part *p = calloc(1, sizeof(*p));

	p->f = calloc(1, vu__inflight_stride(NUM, false));
	p->f->version = 1;
	p->f->desc_num = NUM;
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct part *p = *state;

	free(p->left.list);
	free(p->f);
	free(p);
	return 0;
}

static int recover(struct part *p, uint16_t used, uint16_t avail)
{
	free(p->left.list);
	return vu__inflight_recover(p->f, NUM, NUM, used, avail, &p->left, p->why,
				    sizeof(p->why));
}

static void in_flight(struct part *p, unsigned int head, uint64_t counter)
{
	p->f->desc[head].inflight = 1;
	p->f->desc[head].counter = counter;
}

static void refused(struct part *p, uint16_t used, uint16_t avail, const char *why)
{
	size_t size = vu__inflight_stride(NUM, false);
	void *before = malloc(size);

	memcpy(before, p->f, size);
	assert_int_equal(recover(p, used, avail), -EINVAL);
	assert_non_null(strstr(p->why, why));
	assert_null(p->left.list);
	/* Nothing half-applied. */
	assert_memory_equal(before, p->f, size);
	free(before);
}

static void a_new_part_begins_at_the_ring(void **state)
{
	struct part *p = *state;

	memset(p->f, 0, vu__inflight_stride(NUM, false));
	p->f->desc[3].inflight = 1;
	assert_int_equal(recover(p, 4711, 4713), 0);
	assert_true(p->left.fresh);
	assert_null(p->left.list);
	assert_int_equal(p->f->version, 1);
	assert_int_equal(p->f->desc_num, NUM);
	assert_int_equal(p->f->used_idx, 4711);
	assert_int_equal(p->f->desc[3].inflight, 0);
}

/* Case 45: without the used index, the first crash would clear descriptor 0. */
static void a_request_of_descriptor_0_is_not_cleared(void **state)
{
	struct part *p = *state;

	memset(p->f, 0, vu__inflight_stride(NUM, false));
	assert_int_equal(recover(p, 500, 501), 0);
	in_flight(p, 0, 0);
	assert_int_equal(recover(p, 500, 501), 0);
	assert_int_equal(p->left.n, 1);
	assert_int_equal(p->left.list[0].index, 0);
}

static void requests_come_in_the_order_they_were_taken(void **state)
{
	struct part *p = *state;

	p->f->used_idx = 65534;
	in_flight(p, 6, 100);
	in_flight(p, 1, 102);
	in_flight(p, 4, 101);
	assert_int_equal(recover(p, 65534, 1), 0);
	assert_false(p->left.fresh);
	assert_int_equal(p->left.n, 3);
	/* The last of the list is popped first. */
	assert_int_equal(p->left.list[2].index, 6);
	assert_int_equal(p->left.list[1].index, 4);
	assert_int_equal(p->left.list[0].index, 1);
	assert_int_equal(p->left.counter, 103);
}

static void the_last_batch_is_repaired(void **state)
{
	struct part *p = *state;

	/* 5, then 2, then 7 were completed; 7 of them has been cleared. */
	p->f->used_idx = 9;
	p->f->last_batch_head = 7;
	p->f->desc[7].next = 2;
	p->f->desc[2].next = 5;
	in_flight(p, 5, 1);
	in_flight(p, 2, 2);
	in_flight(p, 3, 4);
	assert_int_equal(recover(p, 12, 13), 0);
	assert_int_equal(p->left.n, 1);
	assert_int_equal(p->left.list[0].index, 3);
	assert_int_equal(p->f->desc[5].inflight, 0);
	assert_int_equal(p->f->desc[2].inflight, 0);
	assert_int_equal(p->f->desc[3].inflight, 1);
	assert_int_equal(p->f->used_idx, 12);
	/* Once more is no other. */
	assert_int_equal(recover(p, 12, 13), 0);
	assert_int_equal(p->left.n, 1);
}

static void a_driver_that_begins_anew_with_nothing_in_flight(void **state)
{
	struct part *p = *state;

	p->f->used_idx = 500;
	assert_int_equal(recover(p, 0, 0), 0);
	assert_true(p->left.fresh);
	assert_int_equal(p->f->used_idx, 0);
	p->f->used_idx = 500;
	in_flight(p, 3, 1);
	refused(p, 0, 1, "used index 500");
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct part *p = *state;

	p->f->version = 2;
	refused(p, 0, 8, "version 2");
	p->f->version = 1;
	p->f->desc_num = NUM + 1;
	refused(p, 0, 8, "descriptors");
	p->f->desc_num = 0;
	refused(p, 0, 8, "descriptors");
	p->f->desc_num = NUM;
	p->f->last_batch_head = NUM;
	refused(p, 0, 8, "last batch");
	p->f->last_batch_head = 7;
	p->f->desc[7].next = 60000;
	refused(p, 2, 8, "last batch");
	p->f->desc[7].next = 0;
	in_flight(p, 2, 1);
	p->f->desc[2].inflight = 2;
	refused(p, 0, 8, "state 2");
	p->f->desc[2].inflight = 1;
	p->f->desc[2].counter = UINT64_MAX;
	refused(p, 0, 8, "counter");
	p->f->desc[2].counter = 1;
	in_flight(p, 5, 1);
	refused(p, 0, 8, "taken as the same");
	p->f->desc[5].counter = 2;
	refused(p, 0, 1, "made 1 available");
	assert_int_equal(recover(p, 0, 2), 0);
	assert_int_equal(p->left.n, 2);
	/* A ring smaller than what the region was made for. */
	free(p->left.list);
	assert_int_equal(vu__inflight_recover(p->f, NUM, 4, 0, 2, &p->left, p->why,
					      sizeof(p->why)), -EINVAL);
	/* ... and a larger one. */
	assert_int_equal(vu__inflight_recover(p->f, NUM, 16, 0, 2, &p->left, p->why,
					      sizeof(p->why)), -EINVAL);
}

static int map(int fd, uint64_t size, uint64_t offset, uint16_t queues, uint16_t queue_size)
{
	struct vu__inflight_area *a = NULL;
	char why[160] = "";
	int ret = vu__inflight_map(fd, size, offset, queues, queue_size, false, &a, why, sizeof(why));

	if (ret)
		assert_true(strlen(why) > 10);
	vu__inflight_free(a);
	return ret;
}

static void files_must_hold_it_and_keep_it(void **state)
{
	uint64_t size = 2 * vu__inflight_stride(NUM, false);
	int fd = memfd_create("inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int unsealable = memfd_create("inflight", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, size + 64), 0);
	assert_int_equal(ftruncate(unsealable, size), 0);
	assert_int_equal(map(fd, size, 0, 2, NUM), 0);
	assert_int_equal(map(fd, size, 64, 2, NUM), 0);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(map(fd, size, 128, 2, NUM), -EINVAL);
	assert_int_equal(map(fd, size, 4, 2, NUM), -EINVAL);
	assert_int_equal(map(fd, size - 1, 0, 2, NUM), -EINVAL);
	assert_int_equal(map(fd, size, 0, 3, NUM), -EINVAL);
	assert_int_equal(map(fd, size, 0, 2, 32768), -EINVAL);
	assert_int_equal(map(fd, size, 0, 0, NUM), -EINVAL);
	assert_int_equal(map(fd, size, 0, 2, 0), -EINVAL);
	assert_int_equal(map(fd, UINT64_MAX, 8, 2, NUM), -EINVAL);
	assert_int_equal(map(unsealable, size, 0, 2, NUM), -EPERM);
	close(fd);
	close(unsealable);
}

static void a_new_area_cannot_shrink(void **state)
{
	struct vu__inflight_area *a;

	(void)state;
	assert_int_equal(vu__inflight_create(3, 100, false, &a), 0);
	assert_int_equal(a->size, 3 * vu__inflight_stride(100, false));
	assert_int_equal(ftruncate(a->fd, 0), -1);
	assert_non_null(vu__inflight_part(a, 2));
	assert_null(vu__inflight_part(a, 3));
	assert_null(vu__inflight_part(NULL, 0));
	vu__inflight_free(a);
}

#define PART_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PART_TEST(a_new_part_begins_at_the_ring),
		PART_TEST(a_request_of_descriptor_0_is_not_cleared),
		PART_TEST(requests_come_in_the_order_they_were_taken),
		PART_TEST(the_last_batch_is_repaired),
		PART_TEST(a_driver_that_begins_anew_with_nothing_in_flight),
		PART_TEST(what_makes_no_sense_is_refused),
		cmocka_unit_test(files_must_hold_it_and_keep_it),
		cmocka_unit_test(a_new_area_cannot_shrink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
