/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32C against the values of RFC 3720, B.4, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"

static void known_values(void **state)
{
	uint8_t bytes[32];

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(vu__crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(vu__crc32c(0, bytes, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = i;
	assert_int_equal(vu__crc32c(0, bytes, 32), 0x46dd794e);
	assert_int_equal(vu__crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(vu__crc32c(0, "", 0), 0);
}

static void pieces_are_as_the_whole(void **state)
{
	const char *text = "pack my box with five dozen liquor jugs";
	size_t len = strlen(text);
	uint32_t whole = vu__crc32c(0, text, len);

	(void)state;
	for (size_t at = 0; at <= len; at++)
		assert_int_equal(vu__crc32c(vu__crc32c(0, text, at), text + at, len - at), whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(pieces_are_as_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
