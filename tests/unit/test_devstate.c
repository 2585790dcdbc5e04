/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of a device's state: every bit that is wrong in it, and every length. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/devstate.h"

#define LEN 37u

static const char state[LEN + 1] = "what a device knows beside its queues";

static void make(uint8_t bytes[VU__DEVSTATE_HEAD + LEN])
{
	vu__devstate_head(bytes, "vu-test", 3, state, LEN);
	memcpy(bytes + VU__DEVSTATE_HEAD, state, LEN);
}

static int check(const uint8_t *bytes, uint64_t len, const char *name)
{
	struct vu__devstate s;
	char why[160] = "";
	int ret = vu__devstate_check(bytes, len, name, &s, why, sizeof(why));

	if (ret) {
		assert_int_equal(ret, -EINVAL);
		assert_true(strlen(why) > 5);
	} else {
		assert_int_equal(s.version, 3);
		assert_int_equal(s.len, LEN);
	}
	return ret;
}

static void what_is_written_is_read(void **st)
{
	uint8_t bytes[VU__DEVSTATE_HEAD + LEN];

	(void)st;
	make(bytes);
	assert_int_equal(check(bytes, sizeof(bytes), "vu-test"), 0);
	assert_int_equal(check(bytes, sizeof(bytes), "vu-tess"), -EINVAL);
	assert_int_equal(check(bytes, sizeof(bytes), "vu-test2"), -EINVAL);
	assert_int_equal(check(bytes, sizeof(bytes), ""), -EINVAL);
}

static void no_bit_may_differ(void **st)
{
	uint8_t bytes[VU__DEVSTATE_HEAD + LEN];

	(void)st;
	for (unsigned int bit = 0; bit < 8 * sizeof(bytes); bit++) {
		make(bytes);
		bytes[bit / 8] ^= 1 << bit % 8;
		assert_int_equal(check(bytes, sizeof(bytes), "vu-test"), -EINVAL);
	}
}

static void no_byte_may_be_missing_or_too_many(void **st)
{
	uint8_t bytes[VU__DEVSTATE_HEAD + LEN + 1] = {0};

	(void)st;
	make(bytes);
	for (unsigned int len = 0; len <= sizeof(bytes); len++)
		assert_int_equal(check(bytes, len, "vu-test"),
				 len == VU__DEVSTATE_HEAD + LEN ? 0 : -EINVAL);
}

static void a_long_name_is_cut_the_same_way(void **st)
{
	const char *longer = "a name that is longer than what there is room for";
	uint8_t head[VU__DEVSTATE_HEAD];
	struct vu__devstate s;
	char why[160];

	(void)st;
	vu__devstate_head(head, longer, 1, "", 0);
	assert_int_equal(vu__devstate_parse(head, &s, why, sizeof(why)), 0);
	assert_int_equal(strlen(s.name), VU__DEVSTATE_NAME_MAX);
	assert_int_equal(vu__devstate_check(head, sizeof(head), longer, &s, why, sizeof(why)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(no_bit_may_differ),
		cmocka_unit_test(no_byte_may_be_missing_or_too_many),
		cmocka_unit_test(a_long_name_is_cut_the_same_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
