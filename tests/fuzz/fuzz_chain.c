/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor chains in memory that a second thread changes all the while.  Every byte of
 * every iovec is touched: one outside the regions is a crash, one inside that is not the
 * guest's is found by its bounds.
 *
 * The input is the descriptors, the available ring and indirect tables, then the device's
 * calls; one bit of it says that the ring is a packed one.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/ring.h"
#include "tests/fuzz/fuzz.h"

#define NUM	16u
#define PAGE	4096u
#define SIZE	(4 * PAGE) /* of each of two regions, one behind the other */
#define AVAIL	(NUM * 16)
#define USED	1024u
#define TABLES	2048u
#define MUTATED 3072u /* bytes that the second thread changes */
#define CALLS	64

static struct vu__memmap *map;
static struct vu__ring ring;
static VuVirtq vq;
static uint8_t *first, *second;

struct mutator {
	pthread_t thread;
	bool stop;
	uint32_t rng;
	unsigned int rounds;
};

/* The race is what a hostile guest does; ThreadSanitizer need not say so. */
__attribute__((no_sanitize("thread"))) static void *mutate(void *opaque)
{
	struct mutator *m = opaque;

	while (!__atomic_load_n(&m->stop, __ATOMIC_RELAXED) && m->rounds--) {
		uint32_t at;

		m->rng = m->rng * 1664525 + 1013904223;
		at = m->rng >> 8;
		/* The available index stays the main thread's. */
		if (at % MUTATED / 2 == AVAIL / 2 + 1)
			continue;
		__atomic_store_n((uint16_t *)(void *)(first + at % MUTATED / 2 * 2),
				 (uint16_t)(m->rng >> 3), __ATOMIC_RELAXED);
	}
	return NULL;
}

static struct vu__region *make_region(uint64_t gpa)
{
	struct vu__region_desc desc = {gpa, SIZE, 0x100000 + gpa * 2, 0};
	struct vu__region *r;
	char why[64];
	int fd = memfd_create("region", MFD_CLOEXEC);

	EXPECT(fd >= 0 && !ftruncate(fd, SIZE));
	EXPECT(!vu__region_new(&desc, fd, &r, why, sizeof(why)));
	close(fd);
	return r;
}

static void set_up_once(void)
{
	struct vu__region *r[2];
	char why[64];

	if (map)
		return;
	r[0] = make_region(0);
	r[1] = make_region(SIZE);
	EXPECT(!vu__memmap_new(r, 2, &map, why, sizeof(why)));
	first = r[0]->host;
	second = r[1]->host;
	vu__region_put(r[0]);
	vu__region_put(r[1]);
	ring.vq = &vq;
	ring.gen = 1;
}

/* A split ring's available and used rings are where a packed one's event structures are. */
static void place_ring(bool packed)
{
	VuRing parts = {.num = NUM,
			.desc = (struct vring_desc *)first,
			.avail = (struct vring_avail *)(first + AVAIL),
			.used = (struct vring_used *)(first + USED)};

	EXPECT(!vu__ring_prepare(&ring, NUM, packed));
	EXPECT(!vu__ring_set_map(&ring, map));
	vq.vring.num = NUM;
	if (packed) {
		vq.last_avail_idx = vq.used_idx = VU__PACKED_FRESH;
		vu__packed_clear(&ring.packed, NUM);
	}
	vu__ring_place(&ring, &parts);
}

/* Makes something available: an entry, or the descriptor that is looked at next. */
static void offer(uint8_t what)
{
	struct vring_avail *avail = vq.vring.avail;
	uint16_t place = vq.last_avail_idx;
	uint16_t *flags;

	if (!ring.is_packed) {
		avail->ring[avail->idx % NUM] = what % (NUM + 1);
		__atomic_store_n(&avail->idx, avail->idx + 1, __ATOMIC_RELEASE);
		return;
	}
	flags = &ring.packed.desc[vu__packed_slot(place)].flags;
	*flags = (*flags & ~0x8080) | vu__packed_unused_flags(place);
}

static bool inside(const struct iovec *v)
{
	const uint8_t *at = v->iov_base;

	return (at >= first && at < first + SIZE && v->iov_len <= (size_t)(first + SIZE - at)) ||
	       (at >= second && at < second + SIZE &&
		v->iov_len <= (size_t)(second + SIZE - at));
}

static void touch(const VuVirtqElement *e)
{
	EXPECT(e->index < NUM);
	EXPECT(e->in_num + e->out_num <= VIRTQUEUE_MAX_SIZE);
	for (unsigned int i = 0; i < e->out_num; i++)
		EXPECT(e->out_sg[i].iov_len && inside(&e->out_sg[i]));
	for (unsigned int i = 0; i < e->in_num; i++)
		EXPECT(e->in_sg[i].iov_len && inside(&e->in_sg[i]));
}

static void make_calls(struct input *in)
{
	VuVirtqElement *held[NUM] = {NULL};
	unsigned int nheld = 0, a, b;

	for (int i = 0; i < CALLS && in->left; i++) {
		VuVirtqElement *e;
		uint8_t call = take8(in);

		switch (call % 8) {
		case 0:
		case 1:
			offer(take8(in));
			/* fall through */
		case 2:
			e = nheld < NUM ? vu__ring_pop(&ring, sizeof(*e)) : NULL;
			if (!e)
				break;
			touch(e);
			held[nheld++] = e;
			break;
		case 3:
			vu__ring_avail_bytes(&ring, &a, &b, UINT32_MAX, UINT32_MAX);
			break;
		case 4:
			if (!nheld)
				break;
			vu__ring_unpop(&ring, held[--nheld], call);
			free(held[nheld]);
			break;
		case 5:
			a = nheld ? call / 8 % nheld : 0;
			if (!vu__ring_rewind(&ring, a))
				break;
			while (a--)
				free(held[--nheld]);
			break;
		case 6:
			a = 0;
			while (nheld) {
				e = held[--nheld];
				a += vu__ring_fill(&ring, e, call, a);
				free(e);
			}
			vu__ring_flush(&ring, a);
			break;
		default:
			vu__ring_set_notification(&ring, call & 8);
			(void)vu__ring_should_call(&ring);
			break;
		}
		EXPECT(vq.inuse >= 0 && vq.inuse <= (int)NUM);
	}
	while (nheld)
		free(held[--nheld]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct mutator m = {.stop = false};
	bool with_mutator;
	uint8_t flags;

	set_up_once();
	memset(first, 0, SIZE);
	memset(second, 0, SIZE);
	memset(&vq, 0, sizeof(vq));
	flags = take8(&in);
	place_ring(flags & 16);
	ring.event_idx = flags & 1;
	ring.indirect = flags & 2;
	ring.notify_on_empty = flags & 4;
	with_mutator = flags & 8;
	m.rng = take16(&in);
	m.rounds = 20000;
	take(&in, first, NUM * 16);
	take(&in, first + TABLES, take8(&in) * 4);
	take(&in, first + SIZE - 64, 64);
	take(&in, second, 64);
	vu__ring_start(&ring);
	if (with_mutator)
		EXPECT(!pthread_create(&m.thread, NULL, mutate, &m));
	make_calls(&in);
	if (with_mutator) {
		__atomic_store_n(&m.stop, true, __ATOMIC_RELAXED);
		pthread_join(m.thread, NULL);
	}
	vu__ring_stop(&ring);
	return 0;
}
