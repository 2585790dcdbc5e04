/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings read out of other processes' memory.  Any thread.
 *
 * Of a split ring these are read, in this order: used flags and index, avail_event,
 * available flags and index, used_event, the used index again.  The kernel copies them
 * one after the other, so that what is between two equal used indices belongs together,
 * as far as the device goes.  It takes its time for each piece rather than each byte:
 * what lies between two words of a small ring comes along, and is thrown away.
 */
#include "observe/peek.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "observe/packed.h"

#define FROM	 5   /* pieces of a ring there, at most */
#define TO	 7   /* ... and here */
#define AT_ONCE	 128 /* rings in a call: 896 pieces of at most 1024 */
#define SMALL	 256 /* entries */
#define TRIES	 4
#define MAX_SIZE 32768u

/* As they come, little-endian. */
struct raw {
	uint16_t used_flags, used_idx;
	uint16_t avail_flags, avail_idx;
	uint16_t used_event, avail_event;
	uint16_t used_again;
};

uint64_t vu__obs_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void set_iov(struct iovec *iov, uint64_t addr, size_t len)
{
	iov->iov_base = (void *)(uintptr_t)addr;
	iov->iov_len = len;
}

/* What a call reads, and where to. */
struct reading {
	struct iovec remote[AT_ONCE * FROM], local[AT_ONCE * TO];
	size_t nremote, nlocal;
	size_t bytes;
	struct raw raw[AT_ONCE];
	size_t end[AT_ONCE]; /* bytes when the ring has been read */
	char waste[8 * SMALL];
};

static void from(struct reading *r, uint64_t addr, size_t len)
{
	set_iov(&r->remote[r->nremote++], addr, len);
	r->bytes += len;
}

static void to(struct reading *r, void *at, size_t len)
{
	set_iov(&r->local[r->nlocal++], (uintptr_t)at, len);
}

/* Flags, index, entries of @each bytes, an event word: of one side of a ring. */
static void read_side(struct reading *r, uint64_t addr, uint32_t size, unsigned int each,
		      bool event_idx, uint16_t *flags_and_idx, uint16_t *event)
{
	size_t between = (size_t)size * each;

	to(r, flags_and_idx, 4);
	/* Without event indices there need be no memory for them. */
	if (!event_idx) {
		from(r, addr, 4);
		*event = 0;
		return;
	}
	if (size <= SMALL) {
		from(r, addr, 4 + between + 2);
		to(r, r->waste, between);
	} else {
		from(r, addr, 4);
		from(r, addr + 4 + between, 2);
	}
	to(r, event, 2);
}

static void read_ring(struct reading *r, const struct vu__peek *p, size_t i)
{
	struct raw *raw = &r->raw[i];

	read_side(r, p->used, p->size, 8, p->event_idx, &raw->used_flags,
		  &raw->avail_event);
	read_side(r, p->avail, p->size, 2, p->event_idx, &raw->avail_flags,
		  &raw->used_event);
	from(r, p->used + 2, 2);
	to(r, &raw->used_again, 2);
	r->end[i] = r->bytes;
}

static void decode(struct vu__peek *p, const struct raw *r)
{
	struct vu__obs_ring *ring = &p->ring;

	memset(ring, 0, sizeof(*ring));
	ring->used_flags = le16toh(r->used_flags);
	ring->used_idx = le16toh(r->used_idx);
	ring->avail_flags = le16toh(r->avail_flags);
	ring->avail_idx = le16toh(r->avail_idx);
	if (p->event_idx) {
		ring->used_event = le16toh(r->used_event);
		ring->avail_event = le16toh(r->avail_event);
	}
	ring->torn = r->used_again != r->used_idx;
}

static bool is_sane(const struct vu__peek *p)
{
	uint64_t room = UINT64_MAX - 16 * (uint64_t)MAX_SIZE;

	return p->size && p->size <= MAX_SIZE && (p->packed || vu__is_pow2(p->size)) &&
	       p->avail && p->used && p->avail < room && p->used < room &&
	       (!p->packed || (p->desc && p->desc < room));
}

/* Reads up to AT_ONCE sane rings of one process.  How many were read whole. */
static size_t read_rings(struct vu__peek *const *peeks, size_t n)
{
	struct reading r;
	size_t whole = 0;
	uint64_t now;
	ssize_t got;

	r.nremote = r.nlocal = r.bytes = 0;
	for (size_t i = 0; i < n; i++)
		read_ring(&r, peeks[i], i);
	got = process_vm_readv(peeks[0]->pid, r.local, r.nlocal, r.remote, r.nremote, 0);
	now = vu__obs_now();
	for (; whole < n && got >= 0 && r.end[whole] <= (size_t)got; whole++) {
		decode(peeks[whole], &r.raw[whole]);
		peeks[whole]->ret = 0;
		peeks[whole]->mono_ns = now;
	}
	if (whole < n) {
		peeks[whole]->ret = got < 0 ? -errno : -EFAULT;
		peeks[whole]->mono_ns = now;
	}
	return whole;
}

/* Of one process: goes on behind a ring that cannot be read. */
static void read_process(struct vu__peek *const *peeks, size_t n)
{
	while (n) {
		size_t done = read_rings(peeks, VU_MIN(n, (size_t)AT_ONCE));

		if (done < VU_MIN(n, (size_t)AT_ONCE)) {
			int err = peeks[done]->ret;

			done++;
			/* Its memory as a whole is out of reach. */
			for (; err != -EFAULT && done < n; done++)
				peeks[done]->ret = err;
		}
		peeks += done;
		n -= done;
	}
}

static void read_again(struct vu__peek *p)
{
	for (unsigned int i = 1; i < TRIES && !p->ret && p->ring.torn && !p->packed; i++)
		(void)read_rings(&p, 1);
}

void vu__peek_rings(struct vu__peek *peeks, size_t n)
{
	struct vu__peek *batch[AT_ONCE] = {NULL};
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		struct vu__peek *p = &peeks[i];

		p->ret = is_sane(p) ? 0 : -EINVAL;
		if (!p->ret && p->packed)
			vu__peek_packed(p);
		if (p->ret || p->packed)
			continue;
		if (count == AT_ONCE || (count && batch[0]->pid != p->pid)) {
			read_process(batch, count);
			count = 0;
		}
		batch[count++] = p;
	}
	read_process(batch, count);
	for (size_t i = 0; i < n; i++)
		read_again(&peeks[i]);
}

/* --- packed rings --- */

/* An event suppression structure: off_wrap, then flags. */
struct area {
	uint16_t event, flags;
};

static void take_told(struct vu__peek *p, const struct vu__circle *r)
{
	uint32_t at = vu__circle_position(p->last_avail, p->size);

	p->ring.last_avail = p->last_avail;
	p->ring.pending = vu__circle_count(r, at, r->avail);
	p->ring.astray = at != r->avail && !vu__circle_is_available(r, at);
}

static void take_packed(struct vu__peek *p, const struct vu__circle *r)
{
	struct vu__obs_ring *ring = &p->ring;
	uint32_t event = vu__circle_position(ring->used_event, p->size);

	ring->avail_idx = vu__circle_place(r->avail, p->size);
	ring->used_idx = vu__circle_place(r->used, p->size);
	ring->slots = vu__circle_forward(r->used, r->avail, p->size);
	ring->outstanding = vu__circle_count(r, r->used, r->avail);
	if (vu__circle_forward(event, r->used, p->size) <= p->size)
		ring->past_event = vu__circle_count(r, event, r->used);
	if (p->told)
		take_told(p, r);
	if (!p->seen)
		return;
	p->avail_steps = vu__circle_steps(p->was_avail, ring->avail_idx, p->size);
	p->made_available =
		vu__circle_count(r, vu__circle_position(p->was_avail, p->size), r->avail);
	p->used_steps = vu__circle_steps(p->was_used, ring->used_idx, p->size);
	p->completed =
		vu__circle_count(r, vu__circle_position(p->was_used, p->size), r->used);
}

static void find_places(const struct vu__peek *p, struct vu__circle *r,
			const struct vring_packed_desc *desc)
{
	bool waits =
		vu__circle_events(p->ring.avail_flags) == VRING_PACKED_EVENT_FLAG_DESC;

	r->desc = desc;
	vu__circle_find_avail(r);
	if (p->told)
		r->used = vu__circle_position(p->used_place, p->size);
	else
		vu__circle_guess_used(r, waits ? &p->ring.used_event : NULL);
}

/*
 * A ring that goes on while it is read is no worse than one read a moment later.  One
 * that goes on by a lot has another lap's descriptors in what was read.
 */
static bool is_torn(const struct vu__circle *one, const struct vu__circle *two)
{
	uint32_t much = one->size / 8 + 1;

	if (two->odd && (!one->odd || one->avail != two->avail))
		return true;
	return vu__circle_forward(one->avail, two->avail, one->size) > much ||
	       vu__circle_forward(one->used, two->used, one->size) > much;
}

static int read_packed(struct vu__peek *p, struct vring_packed_desc *desc)
{
	struct vu__circle one = {.size = p->size, .in_order = p->in_order}, two = one;
	size_t bytes = p->size * sizeof(*desc);
	struct area driver, device;
	struct iovec remote[4], local[4];
	ssize_t got;

	set_iov(&remote[0], p->used, sizeof(device));
	set_iov(&remote[1], p->avail, sizeof(driver));
	set_iov(&remote[2], p->desc, bytes);
	remote[3] = remote[2];
	set_iov(&local[0], (uintptr_t)&device, sizeof(device));
	set_iov(&local[1], (uintptr_t)&driver, sizeof(driver));
	set_iov(&local[2], (uintptr_t)desc, 2 * bytes);
	got = process_vm_readv(p->pid, local, 3, remote, 4, 0);
	p->mono_ns = vu__obs_now();
	if (got < 0)
		return -errno;
	if ((size_t)got < sizeof(device) + sizeof(driver) + 2 * bytes)
		return -EFAULT;
	p->ring = (struct vu__obs_ring){.used_event = le16toh(driver.event),
					.avail_flags = le16toh(driver.flags),
					.avail_event = le16toh(device.event),
					.used_flags = le16toh(device.flags)};
	find_places(p, &one, desc);
	find_places(p, &two, desc + p->size);
	p->ring.torn = is_torn(&one, &two);
	take_packed(p, &two);
	return 0;
}

void vu__peek_packed(struct vu__peek *p)
{
	VU_CLEANUP_FREE struct vring_packed_desc *desc =
		malloc(2 * p->size * sizeof(*desc));

	p->ret = desc ? read_packed(p, desc) : -ENOMEM;
	for (unsigned int i = 1; i < TRIES && !p->ret && p->ring.torn; i++)
		p->ret = read_packed(p, desc);
}

/* --- places --- */

void vu__peek_place(struct vu__obs_ring *ring, uint32_t size, uint16_t last_avail,
		    uint16_t again)
{
	uint16_t pending = ring->avail_idx - last_avail;
	uint16_t in_flight = last_avail - ring->used_idx;

	if ((pending > size || in_flight > size) && again != last_avail) {
		/* It went on while the ring was read. */
		ring->torn = true;
		last_avail = again;
		pending = VU_MIN((uint16_t)(ring->avail_idx - again), size);
		in_flight = VU_MIN((uint16_t)(again - ring->used_idx), size);
	}
	ring->last_avail = last_avail;
	ring->pending = pending;
	ring->in_flight = in_flight;
}

/* Up to AT_ONCE of one process: as many as are read before one that cannot be. */
static size_t read_heads(struct vu__peek *const *peeks, size_t n)
{
	struct iovec local = {NULL, 0}, remote[AT_ONCE];
	uint16_t heads[AT_ONCE];
	ssize_t got;

	for (size_t i = 0; i < n; i++)
		set_iov(&remote[i],
			peeks[i]->avail + 4 +
				2 * (uint64_t)(peeks[i]->ring.last_avail & (peeks[i]->size - 1)),
			sizeof(heads[0]));
	local = (struct iovec){heads, n * sizeof(heads[0])};
	got = process_vm_readv(peeks[0]->pid, &local, 1, remote, n, 0);
	n = got < 0 ? 0 : got / sizeof(heads[0]);
	for (size_t i = 0; i < n; i++)
		peeks[i]->ring.head = le16toh(heads[i]);
	return n;
}

static void read_heads_of_process(struct vu__peek *const *peeks, size_t n)
{
	while (n) {
		size_t done = read_heads(peeks, n);

		if (done < n)
			peeks[done++]->want_head = false;
		peeks += done;
		n -= done;
	}
}

void vu__peek_heads(struct vu__peek *peeks, size_t n)
{
	struct vu__peek *batch[AT_ONCE] = {NULL};
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		struct vu__peek *p = &peeks[i];

		p->want_head = p->want_head && is_sane(p) && !p->packed;
		if (!p->want_head)
			continue;
		if (count == AT_ONCE || (count && batch[0]->pid != p->pid)) {
			read_heads_of_process(batch, count);
			count = 0;
		}
		batch[count++] = p;
	}
	read_heads_of_process(batch, count);
}
