/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzz targets share.  Each defines LLVMFuzzerTestOneInput(); without libFuzzer,
 * replay.c gives it the files of its corpus, as a test.
 */
#ifndef VU_TESTS_FUZZ_H
#define VU_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input, taken from the front; zeros when it has ended. */
struct input {
	const uint8_t *data;
	size_t left;
};

static inline void take(struct input *in, void *to, size_t n)
{
	size_t have = n < in->left ? n : in->left;

	memset(to, 0, n);
	memcpy(to, in->data, have);
	in->data += have;
	in->left -= have;
}

static inline uint8_t take8(struct input *in)
{
	uint8_t v;

	take(in, &v, sizeof(v));
	return v;
}

static inline uint16_t take16(struct input *in)
{
	uint16_t v;

	take(in, &v, sizeof(v));
	return v;
}

static inline uint32_t take32(struct input *in)
{
	uint32_t v;

	take(in, &v, sizeof(v));
	return v;
}

/* A failed expectation is a crash, which is what fuzzers look for. */
#define EXPECT(what)                                                                     \
	do {                                                                             \
		if (!(what))                                                             \
			__builtin_trap();                                                \
	} while (0)

#endif
