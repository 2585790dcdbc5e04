/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a virtqueue: what split and packed ones have in common.  Written on
 * its own: it shares nothing with the device's side.  The front-end's thread; submit,
 * kick, wait and reap may run in another.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "frontend/queue.h"

#define RING_ALIGN 4096ULL
#define MAX_NUM	   32768u

/* As a split ring needs it; a packed one has as many descriptors and needs less. */
uint64_t vu_frontend_queue_bytes(unsigned int num)
{
	uint64_t desc = 16ULL * num, avail = 6 + 2ULL * num, used = 6 + 8ULL * num;

	avail = (desc + avail + RING_ALIGN - 1) & ~(RING_ALIGN - 1);
	return (avail + used + RING_ALIGN - 1) & ~(RING_ALIGN - 1);
}

uint8_t *vu__fe_driver_area(const struct vu_frontend_queue *q)
{
	return q->mem + 16ULL * q->ring.num;
}

uint8_t *vu__fe_device_area(const struct vu_frontend_queue *q)
{
	unsigned int num = q->ring.num;

	return q->mem + ((16ULL * num + 6 + 2ULL * num + RING_ALIGN - 1) & ~(RING_ALIGN - 1));
}

void vu__fe_fence(void)
{
#ifdef __SANITIZE_THREAD__
	static unsigned int order;

	__atomic_fetch_add(&order, 0, __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

void *vu__fe_table(struct vu_frontend_queue *q, uint16_t id, unsigned int n, uint64_t *gpa)
{
	*gpa = q->indirect_gpa + 16ULL * q->indirect_max * id;
	return vu_frontend_ptr(q->fe, *gpa, 16ULL * n);
}

uint16_t vu__fe_take_id(struct vu_frontend_queue *q)
{
	uint16_t id = q->free_id;

	q->free_id = q->next_of[id];
	return id;
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

/* Before anything is negotiated it is what it was. */
static const struct vu__fe_format *format_of(const struct vu_frontend_queue *q)
{
	if (!q->fe->features && q->format)
		return q->format;
	return vu__has_bit(q->fe->features, VU__F_RING_PACKED) ? &vu__fe_packed : &vu__fe_split;
}

/* False: not in that format. */
static bool fits(const struct vu__fe_format *format, unsigned int num)
{
	return num && num <= MAX_NUM && (format == &vu__fe_packed || vu__is_pow2(num));
}

static int alloc_ids(struct vu_frontend_queue *q, unsigned int num)
{
	q->next_of = calloc(num, sizeof(*q->next_of));
	q->chain_len = calloc(num, sizeof(*q->chain_len));
	q->tokens = calloc(num, sizeof(*q->tokens));
	return q->next_of && q->chain_len && q->tokens ? 0 : -ENOMEM;
}

struct vu_frontend_queue *vu_frontend_queue_new(struct vu_frontend *fe, unsigned int idx,
						unsigned int num, uint64_t gpa)
{
	uint8_t *mem = vu_frontend_ptr(fe, gpa, vu_frontend_queue_bytes(num));
	bool packed = vu__has_bit(fe->features, VU__F_RING_PACKED);
	struct vu_frontend_queue *q;

	if (!mem || !fits(packed ? &vu__fe_packed : &vu__fe_split, num) || gpa % RING_ALIGN) {
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
	q->mem = mem;
	q->ring.num = num;
	q->kick_fd = q->call_fd = q->err_fd = -1;
	q->want_calls = true;
	if (alloc_ids(q, num)) {
		queue_free(q);
		errno = ENOMEM;
		return NULL;
	}
	vu_frontend_queue_reset(q);
	q->next = fe->queues;
	fe->queues = q;
	return q;
}

static void free_all(struct vu_frontend_queue *q)
{
	for (unsigned int i = 0; i < q->ring.num; i++) {
		q->next_of[i] = i + 1 < q->ring.num ? i + 1 : VU__FE_NO_ID;
		q->chain_len[i] = 0;
	}
	q->free_id = 0;
	q->nfree = q->ring.num;
	q->outstanding = 0;
}

void vu_frontend_queue_reset(struct vu_frontend_queue *q)
{
	const struct vu__fe_format *format = format_of(q);

	/* A size that is not for it: starting says so. */
	if (!q->format || fits(format, q->ring.num))
		q->format = format;
	memset(q->mem, 0, vu_frontend_queue_bytes(q->ring.num));
	q->ring = (struct vu_frontend_ring){.num = q->ring.num};
	q->base = q->format->first_base;
	q->fresh = true;
	free_all(q);
	q->format->reset(q);
}

/* How messages name a place in the ring. */
static uint64_t address_of(const struct vu_frontend_queue *q, const uint8_t *p)
{
	if (vu__has_bit(q->fe->protocol_features, VU__PF_GPA_ADDRESSES))
		return q->gpa + (p - q->mem);
	return (uintptr_t)p;
}

void vu__fe_restore_bases(struct vu_frontend *fe)
{
	for (struct vu_frontend_queue *q = fe->queues; q; q = q->next) {
		if (q->running)
			q->base = q->format->base_left(q);
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

/* The ring's format is what is negotiated now; it changes only while nobody has used it. */
static int settle_format(struct vu_frontend_queue *q)
{
	const struct vu__fe_format *format = format_of(q);

	if (format == q->format)
		return 0;
	if (!fits(format, q->ring.num))
		return vu__fe_fail(q->fe, -EINVAL, "queue %u: a %s ring of %u entries", q->idx,
				   format->name, q->ring.num);
	if (!q->fresh)
		return vu__fe_fail(q->fe, -EINVAL,
				   "queue %u is in use as a %s ring, %s ones were negotiated",
				   q->idx, q->format->name, format->name);
	vu_frontend_queue_reset(q);
	return 0;
}

int vu_frontend_queue_start(struct vu_frontend_queue *q, unsigned int flags)
{
	struct vu_frontend *fe = q->fe;
	int ret;

	q->flags = flags;
	ret = settle_format(q);
	if (!ret)
		ret = make_fds(q);
	if (ret)
		return ret;
	q->event_idx = vu__has_bit(fe->features, VU__F_EVENT_IDX);
	if (q->format->starting)
		q->format->starting(q);
	ret = vu_frontend_set_vring_num(fe, q->idx, q->ring.num);
	if (!ret)
		ret = vu_frontend_set_vring_base(fe, q->idx, q->base);
	if (!ret)
		ret = vu_frontend_set_vring_addr(fe, q->idx, 0, address_of(q, q->mem),
						 address_of(q, vu__fe_device_area(q)),
						 address_of(q, vu__fe_driver_area(q)), 0);
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

int vu_frontend_submit(struct vu_frontend_queue *q, const struct vu_frontend_buf *bufs,
		       unsigned int n, uint64_t token)
{
	int ret = q->format->submit(q, bufs, n, token);

	if (!ret)
		q->fresh = false;
	return ret;
}

int vu_frontend_kick(struct vu_frontend_queue *q)
{
	int ret;

	if (!q->format->wants_kick(q))
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

int vu_frontend_reap(struct vu_frontend_queue *q, uint64_t *token, uint32_t *len)
{
	return q->format->reap(q, token, len);
}

void vu_frontend_want_calls(struct vu_frontend_queue *q, bool want)
{
	q->want_calls = want;
	q->format->want_calls(q);
	/* Our wish before a look at what is used: the device does the reverse. */
	vu__fe_fence();
}

int vu_frontend_wait(struct vu_frontend_queue *q, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? -1 : vu__now_ms() + timeout_ms;
	bool poll_calls = q->call_fd < 0;

	if (!poll_calls)
		vu_frontend_want_calls(q, true);
	while (!q->format->something_used(q)) {
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
