/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random device states, from a seed, that make sense; and whether two are equal. */
#ifndef VU_TESTS_STATES_H
#define VU_TESTS_STATES_H

#include <stdint.h>

#include "state/convert.h"

struct states_rng {
	uint64_t x;
};

uint64_t states_random(struct states_rng *r);

/* Releases nothing; the caller does. */
void states_make(struct states_rng *r, struct vu__snap *s);

/* NULL if they are equal, else the name of a member that differs. */
const char *states_differ(const struct vu__snap *a, const struct vu__snap *b);

/* A file in memory. */
struct states_bytes {
	uint8_t *bytes;
	size_t len, room;
};

/* For vu__image_writer, with a struct states_bytes as opaque. */
int states_sink(void *opaque, const void *bytes, size_t len);

/* @s as an image, malloc()ed. */
struct states_bytes states_image(const struct vu__snap *s);

/* 0 or what vu__snap_read() says, with its text in @why. */
int states_read(const uint8_t *bytes, size_t len, struct vu__snap *s, char *why,
		size_t why_size);

#endif
