/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a split virtqueue (virtio 1.2, "Split Virtqueues", "Driver"),
 * written on its own: it shares nothing with the device's side.
 */
#include <errno.h>
#include <endian.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <linux/virtio_ring.h>

#include "base/fd.h"
#include "base/sys.h"
#include "frontend/fe.h"

#define NO_DESC 0xffff
#define RING_ALIGN 4096ULL

struct vu_frontend_queue {
	struct vu_frontend *fe;
	struct vu_frontend_queue *next;
	struct vu_frontend_ring ring;
	unsigned int idx;
	uint64_t gpa;
	int kick_fd, call_fd, err_fd;
	unsigned int flags; /* of the start */
	bool event_idx;
	bool want_calls;
	bool running;
	uint16_t base; /* where the device begins */
	uint16_t avail_idx, kicked_idx, used_idx;
	uint16_t free_head; /* a list through our own next[] */
	unsigned int nfree, outstanding;
	uint16_t *next_of;
	uint16_t *chain_len; /* descriptors of the chain at a head, 0: not out */
	uint64_t *tokens;
	uint64_t indirect_gpa;
	unsigned int indirect_max;
};

uint64_t vu_frontend_queue_bytes(unsigned int num)
{
	uint64_t desc = 16ULL * num, avail = 6 + 2ULL * num, used = 6 + 8ULL * num;

	avail = (desc + avail + RING_ALIGN - 1) & ~(RING_ALIGN - 1);
	return (avail + used + RING_ALIGN - 1) & ~(RING_ALIGN - 1);
}

static uint64_t used_offset(unsigned int num)
{
	return (16ULL * num + 6 + 2ULL * num + RING_ALIGN - 1) & ~(RING_ALIGN - 1);
}

static void close_fds(struct vu_frontend_queue *q)
{
	int *fds[] = {&q->kick_fd, &q->call_fd, &q->err_fd};

	for (unsigned int i = 0; i < VU_ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static void queue_free(struct vu_frontend_queue *q)
{
	close_fds(q);
	free(q->next_of);
	free(q->chain_len);
	free(q->tokens);
	free(q);
}

void vu__fe_free_queues(struct vu_frontend *fe)
{
	while (fe->queues) {
		struct vu_frontend_queue *q = fe->queues;

		fe->queues = q->next;
		queue_free(q);
	}
}

static void free_all(struct vu_frontend_queue *q)
{
	for (unsigned int i = 0; i < q->ring.num; i++) {
		q->next_of[i] = i + 1 < q->ring.num ? i + 1 : NO_DESC;
		q->chain_len[i] = 0;
	}
	q->free_head = 0;
	q->nfree = q->ring.num;
	q->outstanding = 0;
}

static void place(struct vu_frontend_queue *q, uint8_t *mem, unsigned int num)
{
	struct vu_frontend_ring *r = &q->ring;

	r->num = num;
	r->desc = (struct vring_desc *)mem;
	r->avail = (struct vring_avail *)(mem + 16ULL * num);
	r->used = (struct vring_used *)(mem + used_offset(num));
	r->used_event = &r->avail->ring[num];
	r->avail_event = (uint16_t *)(void *)&r->used->ring[num];
}

struct vu_frontend_queue *vu_frontend_queue_new(struct vu_frontend *fe, unsigned int idx,
						unsigned int num, uint64_t gpa)
{
	uint8_t *mem = vu_frontend_ptr(fe, gpa, vu_frontend_queue_bytes(num));
	struct vu_frontend_queue *q;

	if (!mem || !vu__is_pow2(num) || num > 32768 || gpa % RING_ALIGN) {
		vu__fe_fail(fe, -EINVAL, "queue %u: a ring of %u entries at 0x%llx", idx, num,
			    (unsigned long long)gpa);
		errno = EINVAL;
		return NULL;
	}
	q = vu__sys.calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->fe = fe;
	q->idx = idx;
	q->gpa = gpa;
	q->kick_fd = q->call_fd = q->err_fd = -1;
	q->want_calls = true;
	q->next_of = calloc(num, sizeof(*q->next_of));
	q->chain_len = calloc(num, sizeof(*q->chain_len));
	q->tokens = calloc(num, sizeof(*q->tokens));
	if (!q->next_of || !q->chain_len || !q->tokens) {
		queue_free(q);
		errno = ENOMEM;
		return NULL;
	}
	place(q, mem, num);
	vu_frontend_queue_reset(q);
	q->next = fe->queues;
	fe->queues = q;
	return q;
}

void vu_frontend_queue_reset(struct vu_frontend_queue *q)
{
	memset(q->ring.desc, 0, vu_frontend_queue_bytes(q->ring.num));
	q->base = q->avail_idx = q->kicked_idx = q->used_idx = 0;
	free_all(q);
}

/* How messages name a place in the ring. */
static uint64_t address_of(const struct vu_frontend_queue *q, const void *p)
{
	if (vu__has_bit(q->fe->protocol_features, VU__PF_GPA_ADDRESSES))
		return q->gpa + ((const uint8_t *)p - (const uint8_t *)q->ring.desc);
	return (uintptr_t)p;
}

void vu__fe_restore_bases(struct vu_frontend *fe)
{
	for (struct vu_frontend_queue *q = fe->queues; q; q = q->next) {
		if (q->running)
			q->base = le16toh(q->ring.used->idx);
		q->running = false;
	}
}

static int make_fds(struct vu_frontend_queue *q)
{
	close_fds(q);
	if (!(q->flags & VU_FRONTEND_POLL_KICKS))
		q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!(q->flags & VU_FRONTEND_POLL_CALLS))
		q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->err_fd < 0 || (!(q->flags & VU_FRONTEND_POLL_KICKS) && q->kick_fd < 0) ||
	    (!(q->flags & VU_FRONTEND_POLL_CALLS) && q->call_fd < 0))
		return vu__fe_fail(q->fe, -errno, "queue %u: eventfd: %s", q->idx,
				   strerror(errno));
	return 0;
}

int vu_frontend_queue_start(struct vu_frontend_queue *q, unsigned int flags)
{
	struct vu_frontend *fe = q->fe;
	int ret;

	q->flags = flags;
	q->event_idx = vu__has_bit(fe->features, VU__F_EVENT_IDX);
	ret = make_fds(q);
	if (!ret)
		ret = vu_frontend_set_vring_num(fe, q->idx, q->ring.num);
	if (!ret)
		ret = vu_frontend_set_vring_base(fe, q->idx, q->base);
	if (!ret)
		ret = vu_frontend_set_vring_addr(fe, q->idx, 0, address_of(q, q->ring.desc),
						 address_of(q, q->ring.used),
						 address_of(q, q->ring.avail), 0);
	if (!ret)
		ret = vu_frontend_set_vring_call(fe, q->idx, q->call_fd);
	if (!ret)
		ret = vu_frontend_set_vring_err(fe, q->idx, q->err_fd);
	if (!ret)
		ret = vu_frontend_set_vring_kick(fe, q->idx, q->kick_fd);
	if (!ret && !(flags & VU_FRONTEND_DISABLED) &&
	    vu__has_bit(fe->features, VU__F_PROTOCOL_FEATURES))
		ret = vu_frontend_set_vring_enable(fe, q->idx, true);
	q->running = !ret;
	return ret;
}

static void stopped(struct vu_frontend_queue *q, uint32_t got, uint32_t *base)
{
	q->base = got;
	q->running = false;
	if (base)
		*base = got;
}

int vu_frontend_queue_stop(struct vu_frontend_queue *q, uint32_t *base)
{
	uint32_t got;
	int ret = vu_frontend_get_vring_base(q->fe, q->idx, &got);

	if (!ret)
		stopped(q, got, base);
	return ret;
}

int vu_frontend_queue_suspend(struct vu_frontend_queue *q, uint32_t *base)
{
	uint32_t got;
	int ret = vu_frontend_get_vring_base_skip_drain(q->fe, q->idx, &got);

	if (!ret)
		stopped(q, got, base);
	return ret;
}

void vu_frontend_use_indirect(struct vu_frontend_queue *q, uint64_t gpa, unsigned int max)
{
	q->indirect_gpa = gpa;
	q->indirect_max = max;
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

/* Takes a descriptor from the list of free ones; there is one. */
static uint16_t take_desc(struct vu_frontend_queue *q)
{
	uint16_t i = q->free_head;

	q->free_head = q->next_of[i];
	q->nfree--;
	return i;
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
		q->next_of[at] = more ? next : NO_DESC;
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

	table_gpa = q->indirect_gpa + 16ULL * q->indirect_max * q->free_head;
	table = vu_frontend_ptr(q->fe, table_gpa, bytes);
	if (!table)
		return vu__fe_fail(q->fe, -EFAULT, "no memory for an indirect table");
	*head = take_desc(q);
	for (unsigned int i = 0; i < n; i++)
		write_desc(&table[i], &bufs[i], i + 1 < n, i + 1);
	q->ring.desc[*head] = (struct vring_desc){htole64(table_gpa), htole32(bytes),
						  htole16(VRING_DESC_F_INDIRECT), 0};
	q->next_of[*head] = NO_DESC;
	q->chain_len[*head] = 1;
	return 0;
}

int vu_frontend_submit(struct vu_frontend_queue *q, const struct vu_frontend_buf *bufs,
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
	q->ring.avail->ring[q->avail_idx % q->ring.num] = htole16(head);
	q->avail_idx++;
	/* The entry and the chain before the index: the device reads them in reverse. */
	__atomic_store_n(&q->ring.avail->idx, htole16(q->avail_idx), __ATOMIC_RELEASE);
	return 0;
}

static void full_fence(void)
{
#ifdef __SANITIZE_THREAD__
	static unsigned int order;

	__atomic_fetch_add(&order, 0, __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Virtio 1.2, "Available Buffer Notification Suppression", driver. */
static bool device_wants_kick(struct vu_frontend_queue *q)
{
	uint16_t from = q->kicked_idx, to = q->avail_idx, event;

	/* Our index before its wish: the device writes the wish, then looks again. */
	full_fence();
	q->kicked_idx = to;
	if (!q->event_idx)
		return !(le16toh(__atomic_load_n(&q->ring.used->flags, __ATOMIC_RELAXED)) &
			 VRING_USED_F_NO_NOTIFY);
	event = le16toh(__atomic_load_n(q->ring.avail_event, __ATOMIC_RELAXED));
	/* Was the entry it named among those made available since the last look? */
	return (uint16_t)(event - from) < (uint16_t)(to - from);
}

int vu_frontend_kick(struct vu_frontend_queue *q)
{
	int ret;

	if (!device_wants_kick(q))
		return 0;
	if (q->kick_fd < 0) {
		if (!vu__has_bit(q->fe->protocol_features, VU__PF_INBAND_NOTIFICATIONS))
			return 0;
		ret = vu_frontend_vring_kick(q->fe, q->idx);
	} else {
		ret = vu__event_signal(q->kick_fd);
	}
	return ret ? ret : 1;
}

static bool something_used(const struct vu_frontend_queue *q)
{
	/* Pairs with the device's publishing: entries below the index are there. */
	return le16toh(__atomic_load_n(&q->ring.used->idx, __ATOMIC_ACQUIRE)) != q->used_idx;
}

/* Gives a chain's descriptors back to the list of free ones. */
static void free_chain(struct vu_frontend_queue *q, uint16_t head)
{
	uint16_t last = head;

	for (unsigned int i = 1; i < q->chain_len[head]; i++)
		last = q->next_of[last];
	q->nfree += q->chain_len[head];
	q->chain_len[head] = 0;
	q->next_of[last] = q->free_head;
	q->free_head = head;
	q->outstanding--;
}

int vu_frontend_reap(struct vu_frontend_queue *q, uint64_t *token, uint32_t *len)
{
	struct vring_used_elem *e;
	uint32_t id;

	if (!something_used(q))
		return 0;
	e = &q->ring.used->ring[q->used_idx % q->ring.num];
	id = le32toh(__atomic_load_n(&e->id, __ATOMIC_RELAXED));
	if (id >= q->ring.num || !q->chain_len[id])
		return vu__fe_fail(q->fe, -EPROTO,
				   "queue %u: entry %u of the used ring names %u, which is not out",
				   q->idx, q->used_idx, id);
	if (token)
		*token = q->tokens[id];
	if (len)
		*len = le32toh(__atomic_load_n(&e->len, __ATOMIC_RELAXED));
	free_chain(q, id);
	q->used_idx++;
	if (q->event_idx && q->want_calls)
		__atomic_store_n(q->ring.used_event, htole16(q->used_idx), __ATOMIC_RELAXED);
	return 1;
}

void vu_frontend_want_calls(struct vu_frontend_queue *q, bool want)
{
	q->want_calls = want;
	if (q->event_idx)
		/* Without: the entry half the index space away. */
		__atomic_store_n(q->ring.used_event,
				 htole16(want ? q->used_idx : q->used_idx + 0x8000),
				 __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->ring.avail->flags,
				 htole16(want ? 0 : VRING_AVAIL_F_NO_INTERRUPT),
				 __ATOMIC_RELAXED);
	/* Our wish before a look at its index: the device does the reverse. */
	full_fence();
}

int vu_frontend_wait(struct vu_frontend_queue *q, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? -1 : vu__now_ms() + timeout_ms;
	bool poll_calls = q->call_fd < 0;

	if (!poll_calls)
		vu_frontend_want_calls(q, true);
	while (!something_used(q)) {
		uint64_t value;

		if (poll_calls) {
			if (deadline >= 0 && vu__now_ms() >= deadline)
				return -ETIMEDOUT;
			sched_yield();
			continue;
		}
		if (vu__fd_wait(q->call_fd, POLLIN, deadline))
			return -ETIMEDOUT;
		vu__event_consume(q->call_fd, &value);
	}
	return 0;
}

unsigned int vu_frontend_outstanding(const struct vu_frontend_queue *q)
{
	return q->outstanding;
}

int vu_frontend_kick_fd(const struct vu_frontend_queue *q)
{
	return q->kick_fd;
}

int vu_frontend_call_fd(const struct vu_frontend_queue *q)
{
	return q->call_fd;
}

int vu_frontend_err_fd(const struct vu_frontend_queue *q)
{
	return q->err_fd;
}

void vu_frontend_ring(struct vu_frontend_queue *q, struct vu_frontend_ring *ring)
{
	*ring = q->ring;
}
