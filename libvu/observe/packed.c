/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where both sides of a packed ring are, from its descriptors.  Pure; any thread. */
#include "observe/packed.h"

#include <endian.h>

static uint16_t flags_of(const struct vu__circle *r, uint32_t position)
{
	return le16toh(r->desc[position % r->size].flags);
}

static bool lap_of(const struct vu__circle *r, uint32_t position)
{
	return vu__has_bit(flags_of(r, position), VRING_PACKED_DESC_F_AVAIL);
}

static bool is_used(const struct vu__circle *r, uint32_t position)
{
	return vu__has_bit(flags_of(r, position), VRING_PACKED_DESC_F_USED) ==
	       lap_of(r, position);
}

/* Memory the driver has cleared looks like used in the lap before the first. */
static bool is_new(const struct vu__circle *r, uint32_t position)
{
	const struct vring_packed_desc *d = &r->desc[position % r->size];

	return !d->addr && !d->len;
}

static bool goes_on(const struct vu__circle *r, uint32_t position)
{
	return flags_of(r, position) & VRING_DESC_F_NEXT;
}

/* Positions @n back. */
static uint32_t back(const struct vu__circle *r, uint32_t position, uint32_t n)
{
	return vu__circle_forward(n, position, r->size);
}

static uint32_t ahead(const struct vu__circle *r, uint32_t position, uint32_t n)
{
	return (position + n) % (2 * r->size);
}

void vu__circle_find_avail(struct vu__circle *r)
{
	bool lap = lap_of(r, 0);
	uint32_t at = 0;

	while (at < r->size && lap_of(r, at) == lap)
		at++;
	r->odd = false;
	for (uint32_t i = at; i < r->size; i++)
		r->odd = r->odd || lap_of(r, i) == lap;
	/* All of one lap: it is about to begin the next. */
	r->avail = at == r->size ? (lap ? r->size : 0) : at + (lap ? 0 : r->size);
}

bool vu__circle_is_available(const struct vu__circle *r, uint32_t position)
{
	return lap_of(r, position) == (position < r->size) && !is_used(r, position);
}

/* --- the last that was used --- */

/* How many of @run descriptors from @first on belong to one request. */
static uint32_t chain(const struct vu__circle *r, uint32_t first, uint32_t run)
{
	uint32_t n = 1;

	while (n < run && goes_on(r, ahead(r, first, n - 1)))
		n++;
	return n;
}

static bool same_id(const struct vu__circle *r, uint32_t a, uint32_t b)
{
	return r->desc[a % r->size].id == r->desc[b % r->size].id;
}

/* Descriptors left over between the used ones before @last and it; -1: no others. */
static int64_t left_before(const struct vu__circle *r, uint32_t last, uint32_t most)
{
	for (uint32_t n = 1; n <= most; n++) {
		uint32_t at = back(r, last, n);

		if (is_new(r, at))
			return -1;
		if (is_used(r, at))
			return n - 1;
	}
	return -1;
}

/* In order: all requests up to the one that was named are done. */
static uint32_t left_in_order(const struct vu__circle *r, uint32_t last, uint32_t run)
{
	for (uint32_t n = 1; n <= run; n++) {
		uint32_t at = ahead(r, last, n);

		if (!goes_on(r, at) && same_id(r, last, at))
			return n;
	}
	return 0;
}

/* How many of the @run descriptors behind the last used one were that request's. */
static uint32_t left_behind(const struct vu__circle *r, uint32_t last, uint32_t run)
{
	uint32_t next = ahead(r, last, 1), n;
	int64_t before;

	if (is_new(r, last) || flags_of(r, next) & VRING_DESC_F_INDIRECT)
		return 0;
	if (r->in_order)
		return left_in_order(r, last, run);
	before = left_before(r, last, r->size - run - 1);
	n = chain(r, next, run);
	/* A driver takes the id it was given back last for its next request, too. */
	if (same_id(r, last, ahead(r, last, n)) && before != 0)
		return n;
	/* Out of order, what is left over is another's: as much as the last time. */
	return VU_MIN(VU_MAX(before, 0), (int64_t)run);
}

void vu__circle_guess_used(struct vu__circle *r, const uint16_t *event)
{
	uint32_t run = 0, left, wanted;

	while (run < r->size && !is_used(r, back(r, r->avail, run + 1)))
		run++;
	r->used = back(r, r->avail, run);
	if (!run || run == r->size)
		return;
	left = left_behind(r, back(r, r->used, 1), run);
	if (event) {
		/* What the driver waits for begins a request: the next, or later. */
		wanted = vu__circle_forward(r->used, vu__circle_position(*event, r->size),
					    r->size);
		left = wanted == run ? run : VU_MIN(left, wanted);
	}
	r->used = ahead(r, r->used, left);
}

/* --- counting --- */

/* One request ends or is given back at @at. */
static bool is_request(const struct vu__circle *r, uint32_t at)
{
	if (vu__circle_forward(r->used, at, r->size) <
	    vu__circle_forward(r->used, r->avail, r->size))
		return !is_used(r, at) && !goes_on(r, at);
	/* In order, what is not marked was given back with what is. */
	return !is_new(r, at) && (is_used(r, at) || (r->in_order && !goes_on(r, at)));
}

/* Of a lap that is written over: as many as there are now in as many descriptors. */
static uint32_t count_gone(const struct vu__circle *r, uint32_t gone)
{
	uint32_t requests = 0, written = 0;

	if (!gone)
		return 0;
	for (uint32_t n = 1; n <= r->size; n++) {
		uint32_t at = back(r, r->avail, n);

		requests += is_request(r, at);
		written += !is_new(r, at);
	}
	return written ? ((uint64_t)gone * requests + written - 1) / written : gone;
}

uint32_t vu__circle_count(const struct vu__circle *r, uint32_t from, uint32_t to)
{
	uint32_t n = vu__circle_forward(from, to, r->size), requests = 0, gone = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = ahead(r, from, i);

		if (vu__circle_forward(at, r->avail, r->size) > r->size)
			gone++;
		else
			requests += is_request(r, at);
	}
	return requests + count_gone(r, gone);
}
