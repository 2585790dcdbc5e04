/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings read out of other processes' memory.  Any thread.
 *
 * A split ring takes five pieces, in this order: used flags and index, available flags
 * and index, both event words, the used index again.  The kernel copies them one after
 * the other, so that what is between two equal used indices belongs together, as far
 * as the device goes.
 */
#include "observe/peek.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include <linux/virtio_ring.h>

#define PIECES	     5
#define AT_ONCE	     128 /* rings in a call: 640 pieces of at most 1024 */
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

/* Where the pieces are.  A packed ring has two words for each side's events. */
static void remote_pieces(const struct vu__peek *p, struct iovec *iov)
{
	uint64_t used_event = p->avail + 4 + 2 * (uint64_t)p->size;
	uint64_t avail_event = p->used + 4 + 8 * (uint64_t)p->size;

	set_iov(&iov[0], p->used, 4);
	set_iov(&iov[1], p->avail, 4);
	/* Without event indices there need be no memory for them. */
	set_iov(&iov[2], p->event_idx && !p->packed ? used_event : p->avail, 2);
	set_iov(&iov[3], p->event_idx && !p->packed ? avail_event : p->used, 2);
	set_iov(&iov[4], p->packed ? p->used : p->used + 2, 2);
}

static void local_pieces(struct raw *r, struct iovec *iov)
{
	set_iov(&iov[0], (uintptr_t)&r->used_flags, 4);
	set_iov(&iov[1], (uintptr_t)&r->avail_flags, 4);
	set_iov(&iov[2], (uintptr_t)&r->used_event, 2);
	set_iov(&iov[3], (uintptr_t)&r->avail_event, 2);
	set_iov(&iov[4], (uintptr_t)&r->used_again, 2);
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
	struct iovec local[AT_ONCE * PIECES], remote[AT_ONCE * PIECES];
	struct raw raw[AT_ONCE];
	size_t each = 4 + 4 + 2 + 2 + 2, whole;
	uint64_t now;
	ssize_t got;

	for (size_t i = 0; i < n; i++) {
		local_pieces(&raw[i], &local[i * PIECES]);
		remote_pieces(peeks[i], &remote[i * PIECES]);
	}
	got = process_vm_readv(peeks[0]->pid, local, n * PIECES, remote, n * PIECES, 0);
	now = vu__obs_now();
	whole = got < 0 ? 0 : (size_t)got / each;
	for (size_t i = 0; i < whole; i++) {
		decode(peeks[i], &raw[i]);
		peeks[i]->ret = 0;
		peeks[i]->mono_ns = now;
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

int vu__peek_head(struct vu__peek *p, uint16_t last_avail)
{
	uint16_t head;
	int ret;

	if (!is_sane(p) || p->packed)
		return -EINVAL;
	ret = read_piece(p->pid,
			 p->avail + 4 + 2 * (uint64_t)(last_avail & (p->size - 1)), &head,
			 sizeof(head));
	if (!ret)
		p->ring.head = le16toh(head);
	return ret;
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
