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

#include <linux/virtio_ring.h>

#define FROM	     5	 /* pieces of a ring there, at most */
#define TO	     7	 /* ... and here */
#define AT_ONCE	     128 /* rings in a call: 896 pieces of at most 1024 */
#define SMALL	     256 /* entries */
#define TRIES	     4
#define MAX_SIZE     32768u
#define WRAP_BIT     15
#define PACKED_AVAIL VU_BIT(VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED  VU_BIT(VRING_PACKED_DESC_F_USED)

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

/* A packed ring has two words of each side, and no more. */
static void read_ring(struct reading *r, const struct vu__peek *p, size_t i)
{
	bool event_idx = p->event_idx && !p->packed;
	struct raw *raw = &r->raw[i];

	read_side(r, p->used, p->size, 8, event_idx, &raw->used_flags, &raw->avail_event);
	read_side(r, p->avail, p->size, 2, event_idx, &raw->avail_flags,
		  &raw->used_event);
	from(r, p->packed ? p->used : p->used + 2, 2);
	to(r, &raw->used_again, 2);
	r->end[i] = r->bytes;
}

static void decode(struct vu__peek *p, const struct raw *r)
{
	struct vu__obs_ring *ring = &p->ring;

	memset(ring, 0, sizeof(*ring));
	if (p->packed) {
		/* Driver area and device area: off_wrap, then flags. */
		ring->used_event = le16toh(r->avail_flags);
		ring->avail_flags = le16toh(r->avail_idx);
		ring->avail_event = le16toh(r->used_flags);
		ring->used_flags = le16toh(r->used_idx);
		ring->torn = r->used_again != r->used_flags;
		return;
	}
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
	uint64_t room = UINT64_MAX - 8 * (uint64_t)MAX_SIZE - 8;

	return p->size && p->size <= MAX_SIZE && (p->packed || vu__is_pow2(p->size)) &&
	       p->avail && p->used && p->avail < room && p->used < room;
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
	for (unsigned int i = 1; i < TRIES && !p->ret && p->ring.torn; i++)
		(void)read_rings(&p, 1);
}

void vu__peek_rings(struct vu__peek *peeks, size_t n)
{
	struct vu__peek *batch[AT_ONCE] = {NULL};
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		struct vu__peek *p = &peeks[i];

		p->ret = is_sane(p) ? 0 : -EINVAL;
		if (p->ret)
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

static int read_piece(pid_t pid, uint64_t addr, void *to, size_t len)
{
	struct iovec local = {to, len}, remote;
	ssize_t n;

	set_iov(&remote, addr, len);
	n = process_vm_readv(pid, &local, 1, &remote, 1, 0);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EFAULT;
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

int vu__peek_packed(struct vu__peek *p, uint16_t last_avail)
{
	uint32_t at = last_avail & (VU_BIT(WRAP_BIT) - 1);
	bool wrap = vu__has_bit(last_avail, WRAP_BIT);
	VU_CLEANUP_FREE struct vring_packed_desc *desc = NULL;
	int ret;

	if (!is_sane(p) || !p->packed || at >= p->size)
		return -EINVAL;
	desc = calloc(p->size, sizeof(*desc));
	if (!desc)
		return -ENOMEM;
	ret = read_piece(p->pid, p->desc, desc, p->size * sizeof(*desc));
	if (ret)
		return ret;
	p->ring.last_avail = last_avail;
	for (p->ring.pending = 0; p->ring.pending < p->size; p->ring.pending++) {
		uint16_t flags = le16toh(desc[at].flags);

		if (!!(flags & PACKED_AVAIL) != wrap || !!(flags & PACKED_USED) == wrap)
			break;
		if (++at == p->size) {
			at = 0;
			wrap = !wrap;
		}
	}
	return 0;
}
