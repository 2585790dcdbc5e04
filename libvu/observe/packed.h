/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places in a packed ring (virtio 1.2, "Packed Virtqueues"): a descriptor, with the wrap
 * counter in bit 15, as in the events and in GET_VRING_BASE.  Both sides begin at
 * descriptor 0 with the counter at 1.  Two laps make a circle of 2 * size positions, on
 * which a place says which lap it is of.  Pure.
 *
 * What the descriptors tell: those before the driver's place are of the lap it is in,
 * those from there on of the one before; so it is known exactly.  Of those it has passed
 * the back-end has marked some used: one for each request, whatever that had, so that
 * others of a request stay as they were.  What is used by the latest is thus known, but
 * for the others of that request.
 */
#ifndef VU_OBSERVE_PACKED_H
#define VU_OBSERVE_PACKED_H

#include "core/packed.h"

/* On the circle; whatever the place, it is there. */
static inline uint32_t vu__circle_position(uint16_t place, uint32_t size)
{
	return vu__packed_slot(place) % size + (vu__packed_wrap(place) ? 0 : size);
}

static inline uint16_t vu__circle_place(uint32_t position, uint32_t size)
{
	bool wrap = position < size;

	return (position % size) | (uint16_t)(wrap << VRING_PACKED_EVENT_F_WRAP_CTR);
}

/* Positions, from one forward to another. */
static inline uint32_t vu__circle_forward(uint32_t from, uint32_t to, uint32_t size)
{
	return (to + 2 * size - from) % (2 * size);
}

/* The same for places; more than the size: @to is not ahead of @from, or is too far. */
static inline uint32_t vu__circle_steps(uint16_t from, uint16_t to, uint32_t size)
{
	return vu__circle_forward(vu__circle_position(from, size),
				  vu__circle_position(to, size), size);
}

/*
 * Whether a side that has gone from @old to @now has passed @event, and so owes a
 * notification.
 */
static inline bool vu__circle_passed(uint16_t event, uint16_t now, uint16_t old,
				     uint32_t size)
{
	uint32_t behind = vu__circle_steps(event, now, size);

	return behind && behind <= vu__circle_steps(old, now, size);
}

/* --- what the descriptors tell: packed.c --- */

/* A ring as it was read. */
struct vu__circle {
	const struct vring_packed_desc *desc;
	uint32_t size;
	bool in_order;	/* one used descriptor may stand for many requests */
	bool odd;	/* its descriptors are not of two laps, one behind the other */
	uint32_t avail; /* positions: the next the driver makes available */
	uint32_t used;	/* ... the next the back-end writes as used */
};

/* Finds the driver's position, of @desc and @size. */
void vu__circle_find_avail(struct vu__circle *r);

/*
 * Guesses the back-end's: behind the last used descriptor, and what is left of the
 * request that was there.  @event: the used descriptor the driver waits for; NULL.
 */
void vu__circle_guess_used(struct vu__circle *r, const uint16_t *event);

/* The back-end would fetch what is at @position. */
bool vu__circle_is_available(const struct vu__circle *r, uint32_t position);

/* Requests from one position forward to another. */
uint32_t vu__circle_count(const struct vu__circle *r, uint32_t from, uint32_t to);

/* Flags of an event suppression structure: RING_EVENT_FLAGS_ENABLE and so on. */
static inline unsigned int vu__circle_events(uint16_t flags)
{
	return flags & 3;
}

#endif
