/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split ring's fields in shared memory, read and written once each, with the order
 * that the driver on the other side relies on.  Fields are little-endian.
 */
#ifndef VU_CORE_SPLIT_H
#define VU_CORE_SPLIT_H

#include <endian.h>
#include <stdint.h>
#include <linux/virtio_ring.h>

struct vu__desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/* @d must be aligned to 8 bytes. */
static inline struct vu__desc vu__split_desc(const struct vring_desc *d)
{
	const volatile uint64_t *words = (const volatile uint64_t *)d;
	uint64_t addr = le64toh(words[0]);
	uint64_t rest = le64toh(words[1]);

	return (struct vu__desc){addr, (uint32_t)rest, rest >> 32, rest >> 48};
}

/* Pairs with the driver's publishing store: entries below the index are readable. */
static inline uint16_t vu__split_avail_idx(const struct vring_avail *a)
{
	return le16toh(__atomic_load_n(&a->idx, __ATOMIC_ACQUIRE));
}

static inline uint16_t vu__split_avail_entry(const struct vring_avail *a, uint16_t slot)
{
	return le16toh(__atomic_load_n(&a->ring[slot], __ATOMIC_RELAXED));
}

static inline uint16_t vu__split_avail_flags(const struct vring_avail *a)
{
	return le16toh(__atomic_load_n(&a->flags, __ATOMIC_RELAXED));
}

/* The driver's used_event follows its ring. */
static inline uint16_t vu__split_used_event(const struct vring_avail *a, unsigned int num)
{
	return le16toh(__atomic_load_n(&a->ring[num], __ATOMIC_RELAXED));
}

static inline uint16_t vu__split_used_idx(const struct vring_used *u)
{
	return le16toh(__atomic_load_n(&u->idx, __ATOMIC_RELAXED));
}

static inline void vu__split_set_used_entry(struct vring_used *u, uint16_t slot, uint32_t id,
					    uint32_t len)
{
	__atomic_store_n(&u->ring[slot].id, htole32(id), __ATOMIC_RELAXED);
	__atomic_store_n(&u->ring[slot].len, htole32(len), __ATOMIC_RELAXED);
}

/* Data and used entries are seen by the driver before the index that covers them. */
static inline void vu__split_publish_used_idx(struct vring_used *u, uint16_t idx)
{
	__atomic_store_n(&u->idx, htole16(idx), __ATOMIC_RELEASE);
}

static inline void vu__split_set_used_flags(struct vring_used *u, uint16_t flags)
{
	__atomic_store_n(&u->flags, htole16(flags), __ATOMIC_RELAXED);
}

static inline uint16_t vu__split_used_flags(const struct vring_used *u)
{
	return le16toh(__atomic_load_n(&u->flags, __ATOMIC_RELAXED));
}

static inline uint16_t vu__split_avail_event(const struct vring_used *u, unsigned int num)
{
	const uint16_t *event = (const uint16_t *)(const void *)&u->ring[num];

	return le16toh(__atomic_load_n(event, __ATOMIC_RELAXED));
}

/* The device's avail_event follows the used ring; it is 2-byte aligned there. */
static inline void vu__split_set_avail_event(struct vring_used *u, unsigned int num,
					     uint16_t idx)
{
	uint16_t *event = (uint16_t *)(void *)&u->ring[num];

	__atomic_store_n(event, htole16(idx), __ATOMIC_RELAXED);
}

/* A locked operation orders what was stored before it before what is loaded after it. */
#if defined(__x86_64__) || defined(__i386__)
#define VU__LOCKED_IS_FENCE true
#else
#define VU__LOCKED_IS_FENCE false
#endif

/*
 * Between our store to the ring and our look at the driver's: the driver does the same
 * in reverse, so one of the two sees the other's.
 */
static inline void vu__split_fence(void)
{
#ifdef __SANITIZE_THREAD__
	/* That sanitizer knows no fences; a locked operation is one on every target. */
	static unsigned int order;

	__atomic_fetch_add(&order, 0, __ATOMIC_SEQ_CST);
#elif defined(__x86_64__)
	/* Some compilers take mfence, which costs many times as much. */
	__asm__ volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Bytes of each part of a ring of @num entries. */
static inline uint64_t vu__split_desc_size(unsigned int num)
{
	return (uint64_t)num * sizeof(struct vring_desc);
}

static inline uint64_t vu__split_avail_size(unsigned int num, int event_idx)
{
	return 4 + 2ULL * num + (event_idx ? 2 : 0);
}

static inline uint64_t vu__split_used_size(unsigned int num, int event_idx)
{
	return 4 + 8ULL * num + (event_idx ? 2 : 0);
}

#endif
