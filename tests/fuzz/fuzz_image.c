/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State images.  The first byte says whether checksums are put right first, without
 * which little would get past them.  What is read must come back the same.
 */
#include "base/crc32c.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/states.h"

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* Follows the records as the lengths in them say, and makes every checksum good. */
static void repair(uint8_t *p, size_t size)
{
	size_t at = VU__IMAGE_HEADER;
	uint64_t records = 0;

	if (size < at)
		return;
	put32(p + 36, vu__crc32c(0, p, 36));
	while (size - at >= VU__IMAGE_RECORD_HEAD) {
		uint8_t *h = p + at;
		uint32_t len = get32(h + 4);

		if (len > size - at - VU__IMAGE_RECORD_HEAD)
			return;
		if (h[0] == 0xff && h[1] == 0xff && len == VU__IMAGE_END_SIZE) {
			uint64_t before = at;

			memcpy(h + 12, &records, 8);
			memcpy(h + 20, &before, 8);
			put32(h + 28, vu__crc32c(0, p, at));
		}
		put32(h + 8, vu__crc32c(vu__crc32c(0, h, 8), h + 12, len));
		at += VU__IMAGE_RECORD_HEAD + len;
		records++;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vu__snap s, again;
	char why[200] = "";
	uint8_t *copy;

	if (!size)
		return 0;
	copy = malloc(size);
	EXPECT(copy);
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 1)
		repair(copy, size - 1);
	if (states_read(copy, size - 1, &s, why, sizeof(why))) {
		EXPECT(why[0] && !s.queues && !s.regions && !s.blob.data);
	} else {
		struct states_bytes image = states_image(&s);

		EXPECT(!states_read(image.bytes, image.len, &again, why, sizeof(why)));
		EXPECT(!states_differ(&s, &again));
		free(image.bytes);
		vu__snap_release(&again);
	}
	vu__snap_release(&s);
	free(copy);
	return 0;
}
