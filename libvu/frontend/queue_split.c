/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a split virtqueue (virtio 1.2, "Split Virtqueues", "Driver"),
 * written on its own: it shares nothing with the device's side.  The queue's thread.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>

#include "frontend/queue.h"

static void reset(struct vu_frontend_queue *q)
{
	struct vu_frontend_ring *r = &q->ring;

	r->desc = (struct vring_desc *)q->mem;
	r->avail = (struct vring_avail *)vu__fe_driver_area(q);
	r->used = (struct vring_used *)vu__fe_device_area(q);
	r->used_event = &r->avail->ring[r->num];
	r->avail_event = (uint16_t *)(void *)&r->used->ring[r->num];
	q->split.avail_idx = q->split.kicked_idx = q->split.used_idx = 0;
}

static uint32_t base_left(const struct vu_frontend_queue *q)
{
	return le16toh(q->ring.used->idx);
}

static void write_desc(struct vring_desc *d, const struct vu_frontend_buf *buf, bool more,
		       uint16_t next)
{
	d->addr = htole64(buf->gpa);
	d->len = htole32(buf->len);
	d->flags = htole16((buf->write ? VRING_DESC_F_WRITE : 0) |
			   (more ? VRING_DESC_F_NEXT : 0));
	d->next = htole16(next);
}

static uint16_t take_desc(struct vu_frontend_queue *q)
{
	q->nfree--;
	return vu__fe_take_id(q);
}

static uint16_t build_direct(struct vu_frontend_queue *q, const struct vu_frontend_buf *bufs,
			     unsigned int n)
{
	uint16_t head = take_desc(q), at = head;

	for (unsigned int i = 0; i < n; i++) {
		bool more = i + 1 < n;
		uint16_t next = more ? take_desc(q) : 0;

		write_desc(&q->ring.desc[at], &bufs[i], more, next);
		/* Ours to follow when it comes back; the ring's may have been changed. */
		q->next_of[at] = more ? next : VU__FE_NO_ID;
		at = next;
	}
	q->chain_len[head] = n;
	return head;
}

static int build_indirect(struct vu_frontend_queue *q, const struct vu_frontend_buf *bufs,
			  unsigned int n, uint16_t *head)
{
	uint64_t bytes = 16ULL * n, table_gpa;
	struct vring_desc *table;

	table = vu__fe_table(q, q->free_id, n, &table_gpa);
	if (!table)
		return vu__fe_fail(q->fe, -EFAULT, "no memory for an indirect table");
	*head = take_desc(q);
	for (unsigned int i = 0; i < n; i++)
		write_desc(&table[i], &bufs[i], i + 1 < n, i + 1);
	q->ring.desc[*head] = (struct vring_desc){htole64(table_gpa), htole32(bytes),
						  htole16(VRING_DESC_F_INDIRECT), 0};
	q->next_of[*head] = VU__FE_NO_ID;
	q->chain_len[*head] = 1;
	return 0;
}

static int submit(struct vu_frontend_queue *q, const struct vu_frontend_buf *bufs,
		  unsigned int n, uint64_t token)
{
	bool indirect = q->indirect_gpa && n <= q->indirect_max;
	uint16_t head = 0;

	if (!n || q->nfree < (indirect ? 1 : n))
		return -ENOSPC;
	if (indirect) {
		int ret = build_indirect(q, bufs, n, &head);

		if (ret)
			return ret;
	} else {
		head = build_direct(q, bufs, n);
	}
	q->tokens[head] = token;
	q->outstanding++;
	q->ring.avail->ring[q->split.avail_idx % q->ring.num] = htole16(head);
	q->split.avail_idx++;
	/* The entry and the chain before the index: the device reads them in reverse. */
	__atomic_store_n(&q->ring.avail->idx, htole16(q->split.avail_idx), __ATOMIC_RELEASE);
	return 0;
}

/* Virtio 1.2, "Available Buffer Notification Suppression", driver. */
static bool wants_kick(struct vu_frontend_queue *q)
{
	uint16_t from = q->split.kicked_idx, to = q->split.avail_idx, event;

	/* Our index before its wish: the device writes the wish, then looks again. */
	vu__fe_fence();
	q->split.kicked_idx = to;
	if (!q->event_idx)
		return !(le16toh(__atomic_load_n(&q->ring.used->flags, __ATOMIC_RELAXED)) &
			 VRING_USED_F_NO_NOTIFY);
	event = le16toh(__atomic_load_n(q->ring.avail_event, __ATOMIC_RELAXED));
	/* Was the entry it named among those made available since the last look? */
	return (uint16_t)(event - from) < (uint16_t)(to - from);
}

static bool something_used(const struct vu_frontend_queue *q)
{
	/* Pairs with the device's publishing: entries below the index are there. */
	return le16toh(__atomic_load_n(&q->ring.used->idx, __ATOMIC_ACQUIRE)) != q->split.used_idx;
}

/* Gives a chain's descriptors back to the list of free ones. */
static void free_chain(struct vu_frontend_queue *q, uint16_t head)
{
	uint16_t last = head;

	for (unsigned int i = 1; i < q->chain_len[head]; i++)
		last = q->next_of[last];
	q->nfree += q->chain_len[head];
	q->chain_len[head] = 0;
	q->next_of[last] = q->free_id;
	q->free_id = head;
	q->outstanding--;
}

static int reap(struct vu_frontend_queue *q, uint64_t *token, uint32_t *len)
{
	struct vring_used_elem *e;
	uint32_t id;

	if (!something_used(q))
		return 0;
	e = &q->ring.used->ring[q->split.used_idx % q->ring.num];
	id = le32toh(__atomic_load_n(&e->id, __ATOMIC_RELAXED));
	if (id >= q->ring.num || !q->chain_len[id])
		return vu__fe_fail(q->fe, -EPROTO,
				   "queue %u: entry %u of the used ring names %u, which is not out",
				   q->idx, q->split.used_idx, id);
	if (token)
		*token = q->tokens[id];
	if (len)
		*len = le32toh(__atomic_load_n(&e->len, __ATOMIC_RELAXED));
	free_chain(q, id);
	q->split.used_idx++;
	if (q->event_idx && q->want_calls)
		__atomic_store_n(q->ring.used_event, htole16(q->split.used_idx), __ATOMIC_RELAXED);
	return 1;
}

static void want_calls(struct vu_frontend_queue *q)
{
	uint16_t next = q->split.used_idx;

	if (q->event_idx)
		/* Without: the entry half the index space away. */
		__atomic_store_n(q->ring.used_event,
				 htole16(q->want_calls ? next : next + 0x8000),
				 __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->ring.avail->flags,
				 htole16(q->want_calls ? 0 : VRING_AVAIL_F_NO_INTERRUPT),
				 __ATOMIC_RELAXED);
}

const struct vu__fe_format vu__fe_split = {
	.name = "split",
	.first_base = 0,
	.reset = reset,
	.submit = submit,
	.wants_kick = wants_kick,
	.something_used = something_used,
	.reap = reap,
	.want_calls = want_calls,
	.base_left = base_left,
};
