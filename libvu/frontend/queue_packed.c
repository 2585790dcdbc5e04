/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a packed virtqueue (virtio 1.2, "Packed Virtqueues"), written on
 * its own: it shares nothing with the device's side.  The queue's thread.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <linux/virtio_ring.h>

#include "base/util.h"
#include "frontend/queue.h"

#define AVAIL VU_BIT(VRING_PACKED_DESC_F_AVAIL)
#define USED  VU_BIT(VRING_PACKED_DESC_F_USED)
#define WRAP  VU_BIT(VRING_PACKED_EVENT_F_WRAP_CTR)

static struct vu__fe_place place_behind(const struct vu_frontend_queue *q,
					struct vu__fe_place at, unsigned int n)
{
	unsigned int slot = at.slot + n;

	/* No chain is longer than the ring: it is passed at most once. */
	if (slot >= q->ring.num)
		return (struct vu__fe_place){slot - q->ring.num, !at.wrap};
	return (struct vu__fe_place){slot, at.wrap};
}

/* As the base and the event structures have it. */
static uint16_t as_word(struct vu__fe_place at)
{
	return at.slot | (at.wrap ? WRAP : 0);
}

static void reset(struct vu_frontend_queue *q)
{
	q->ring.packed = (struct vring_packed_desc *)q->mem;
	q->ring.driver_event = (struct vring_packed_desc_event *)vu__fe_driver_area(q);
	q->ring.device_event = (struct vring_packed_desc_event *)vu__fe_device_area(q);
	q->packed.avail = q->packed.used = (struct vu__fe_place){0, true};
	q->packed.added = 0;
}

/* --- making available --- */

/* What marks a descriptor as available at @at, with @flags beside it. */
static uint16_t avail_flags(struct vu__fe_place at, uint16_t flags)
{
	return htole16(flags | (at.wrap ? AVAIL : USED));
}

static void write_desc(struct vring_packed_desc *d, uint64_t gpa, uint32_t len, uint16_t id)
{
	d->addr = htole64(gpa);
	d->len = htole32(len);
	d->id = htole16(id);
}

/*
 * Writes a list of descriptors from the next place on.  The first one's flags come last
 * and make it available: the device, which reads them first, then sees all of the list.
 */
static void make_available(struct vu_frontend_queue *q, const struct vu_frontend_buf *bufs,
			   unsigned int n, uint16_t flags, uint16_t id)
{
	struct vring_packed_desc *first = &q->ring.packed[q->packed.avail.slot];
	struct vu__fe_place at = q->packed.avail;
	uint16_t first_flags = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct vring_packed_desc *d = &q->ring.packed[at.slot];
		uint16_t f = avail_flags(at, flags | (bufs[i].write ? VRING_DESC_F_WRITE : 0) |
						     (i + 1 < n ? VRING_DESC_F_NEXT : 0));

		write_desc(d, bufs[i].gpa, bufs[i].len, id);
		if (i)
			__atomic_store_n(&d->flags, f, __ATOMIC_RELAXED);
		else
			first_flags = f;
		at = place_behind(q, at, 1);
	}
	__atomic_store_n(&first->flags, first_flags, __ATOMIC_RELEASE);
	q->packed.avail = at;
	q->packed.added += VU_MIN(n, UINT32_MAX - q->packed.added);
	q->chain_len[id] = n;
	q->nfree -= n;
	q->outstanding++;
}

/* Only the write flag counts in a table. */
static int build_table(struct vu_frontend_queue *q, const struct vu_frontend_buf *bufs,
		       unsigned int n, uint64_t *gpa)
{
	struct vring_packed_desc *table = vu__fe_table(q, q->free_id, n, gpa);

	if (!table)
		return vu__fe_fail(q->fe, -EFAULT, "no memory for an indirect table");
	for (unsigned int i = 0; i < n; i++) {
		write_desc(&table[i], bufs[i].gpa, bufs[i].len, 0);
		table[i].flags = htole16(bufs[i].write ? VRING_DESC_F_WRITE : 0);
	}
	return 0;
}

static int submit(struct vu_frontend_queue *q, const struct vu_frontend_buf *bufs,
		  unsigned int n, uint64_t token)
{
	bool indirect = q->indirect_gpa && n <= q->indirect_max;
	struct vu_frontend_buf table = {.len = 16 * n};
	uint16_t id;

	if (!n || q->nfree < (indirect ? 1 : n))
		return -ENOSPC;
	if (indirect) {
		int ret = build_table(q, bufs, n, &table.gpa);

		if (ret)
			return ret;
	}
	/* There are as many IDs as descriptors. */
	id = vu__fe_take_id(q);
	q->tokens[id] = token;
	if (indirect)
		make_available(q, &table, 1, VRING_DESC_F_INDIRECT, id);
	else
		make_available(q, bufs, n, 0, id);
	return 0;
}

/* The wrap counter's value comes back every second round: places over two of them. */
static unsigned int in_two_rounds(const struct vu_frontend_queue *q, struct vu__fe_place at)
{
	return at.slot + (at.wrap ? 0 : q->ring.num);
}

/* Whether the descriptor at @event is among the last @added made available. */
static bool has_passed(const struct vu_frontend_queue *q, uint16_t event, unsigned int added)
{
	struct vu__fe_place at = {event & ~WRAP, event & WRAP};
	unsigned int two = 2 * q->ring.num, back;

	/* A place that is none never comes: better a kick too many. */
	if (at.slot >= q->ring.num)
		return true;
	/* The last one is one back; 0 is the next one, or two whole rounds back. */
	back = (two + in_two_rounds(q, q->packed.avail) - in_two_rounds(q, at)) % two;
	return added >= two || (back && back <= added);
}

/* Virtio 1.2, "Sending Available Buffer Notifications". */
static bool wants_kick(struct vu_frontend_queue *q)
{
	unsigned int added = q->packed.added;
	struct vring_packed_desc_event event;
	uint32_t word;

	/* Our flags before its wish: the device writes the wish, then looks again. */
	vu__fe_fence();
	q->packed.added = 0;
	/* Both halves as they were at one time. */
	word = __atomic_load_n((const uint32_t *)(const void *)q->ring.device_event,
			       __ATOMIC_RELAXED);
	memcpy(&event, &word, sizeof(event));
	switch (le16toh(event.flags) & 3) {
	case VRING_PACKED_EVENT_FLAG_DISABLE:
		return false;
	case VRING_PACKED_EVENT_FLAG_DESC:
		/* Of no meaning unless it was negotiated. */
		return !q->event_idx || has_passed(q, le16toh(event.off_wrap), added);
	default:
		return true;
	}
}

/* --- what was used --- */

static bool used_at(const struct vu_frontend_queue *q, struct vu__fe_place at)
{
	const struct vring_packed_desc *d = &q->ring.packed[at.slot];
	/* Pairs with the device's store of them: its ID and length, and the data, are there. */
	uint16_t flags = le16toh(__atomic_load_n(&d->flags, __ATOMIC_ACQUIRE));

	return !!(flags & AVAIL) == at.wrap && !!(flags & USED) == at.wrap;
}

/* Nothing outstanding, nothing used: a ring that was never written to is of zeros. */
static bool something_used(const struct vu_frontend_queue *q)
{
	return q->outstanding && used_at(q, q->packed.used);
}

static uint16_t id_at(const struct vu_frontend_queue *q, struct vu__fe_place at)
{
	return le16toh(__atomic_load_n(&q->ring.packed[at.slot].id, __ATOMIC_RELAXED));
}

static bool is_out(const struct vu_frontend_queue *q, uint16_t id)
{
	return id < q->ring.num && q->chain_len[id];
}

/* Of a used descriptor; without the flag nothing was written, and the field says nothing. */
static uint32_t written_at(const struct vu_frontend_queue *q, struct vu__fe_place at)
{
	const struct vring_packed_desc *d = &q->ring.packed[at.slot];

	if (!(le16toh(__atomic_load_n(&d->flags, __ATOMIC_RELAXED)) & VRING_DESC_F_WRITE))
		return 0;
	return le32toh(__atomic_load_n(&d->len, __ATOMIC_RELAXED));
}

/*
 * The device writes one descriptor for a list, where the oldest of those in use begins,
 * and goes on behind as many as the list it has completed had.
 */
static void free_list(struct vu_frontend_queue *q, uint16_t id)
{
	q->packed.used = place_behind(q, q->packed.used, q->chain_len[id]);
	q->nfree += q->chain_len[id];
	q->chain_len[id] = 0;
	q->next_of[id] = q->free_id;
	q->free_id = id;
	q->outstanding--;
}

static void want_calls(struct vu_frontend_queue *q)
{
	struct vring_packed_desc_event event = {
		.flags = htole16(VRING_PACKED_EVENT_FLAG_DISABLE)};
	uint32_t word;

	if (q->want_calls && q->event_idx) {
		event.off_wrap = htole16(as_word(q->packed.used));
		event.flags = htole16(VRING_PACKED_EVENT_FLAG_DESC);
	} else if (q->want_calls) {
		event.flags = htole16(VRING_PACKED_EVENT_FLAG_ENABLE);
	}
	memcpy(&word, &event, sizeof(word));
	/* In one piece: the device must not take the place of one wish for another's. */
	__atomic_store_n((uint32_t *)(void *)q->ring.driver_event, word, __ATOMIC_RELAXED);
}

static int reap(struct vu_frontend_queue *q, uint64_t *token, uint32_t *len)
{
	struct vu__fe_place at = q->packed.used;
	uint16_t id;

	if (!something_used(q))
		return 0;
	id = id_at(q, at);
	if (!is_out(q, id))
		return vu__fe_fail(q->fe, -EPROTO,
				   "queue %u: the used descriptor in slot %u names %u, which is not out",
				   q->idx, at.slot, id);
	if (token)
		*token = q->tokens[id];
	if (len)
		*len = written_at(q, at);
	free_list(q, id);
	if (q->event_idx && q->want_calls)
		want_calls(q);
	return 1;
}

/*
 * The device has died, and with it its places.  Its used one is behind all that is marked
 * used, which the driver need not have reaped.  What it had taken and not completed begins
 * there if it completed in order; then it is still available, and is taken again when the
 * available place is the same.
 */
static uint32_t base_left(const struct vu_frontend_queue *q)
{
	struct vu__fe_place at = q->packed.used;

	for (unsigned int n = 0; n < q->outstanding && used_at(q, at); n++) {
		uint16_t id = id_at(q, at);

		if (!is_out(q, id))
			break;
		at = place_behind(q, at, q->chain_len[id]);
	}
	return as_word(at) | (uint32_t)as_word(at) << 16;
}

const struct vu__fe_format vu__fe_packed = {
	.name = "packed",
	.first_base = 0x80008000,
	.reset = reset,
	.starting = want_calls,
	.submit = submit,
	.wants_kick = wants_kick,
	.something_used = something_used,
	.reap = reap,
	.want_calls = want_calls,
	.base_left = base_left,
};
