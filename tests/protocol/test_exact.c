/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log is exact: random memory, rings, chains, lengths and logs; after every
 * batch, the pages that are marked are compared with those that were written.  What was
 * written is known twice: from what the driver asked for, and from comparing memory
 * with a copy taken before.
 *
 * VU_SEED chooses the run (printed), VU_EXACT_REQUESTS how many requests, VU_EXACT_RINGS
 * may be "split" or "packed".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <linux/virtio_ring.h>

#include "tests/lib/pair.h"

#define PAGE	     4096ull
#define MAX_REGIONS  3
#define MAX_BUFS     8
#define MAX_PAGES    (1u << 16)
#define RING_PAGES   8 /* at the start of the first region, kept from buffers */
#define TABLE_PAGES  64 /* for indirect tables, behind them */
#define USED_LOG     0x8000000ull /* where the used ring is logged, if not where it is */

static uint64_t rng;

static uint64_t any(uint64_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % below;
}

struct region {
	uint64_t gpa, size;
	uint8_t *mem, *before;
};

struct request {
	uint64_t written; /* bytes the device will write */
	struct vu_frontend_buf bufs[MAX_BUFS];
	unsigned int n;
};

/* One machine with its log. */
struct world {
	struct pair *p;
	struct vu_frontend_queue *q;
	struct region regions[MAX_REGIONS];
	unsigned int nregions, num;
	bool packed;
	uint64_t used;		   /* slots of a packed ring so far */
	unsigned int max_indirect; /* longer chains are in the ring itself */
	uint64_t used_log; /* guest address of the used ring in the log */
	struct {
		int fd;
		uint8_t *map;
		uint64_t offset, size;
	} log;
	uint8_t must[MAX_PAGES]; /* written for certain */
	uint8_t may[MAX_PAGES];	 /* perhaps: written with what was there before */
	uint8_t marked[MAX_PAGES];
};

static struct request requests[1024];

static void set_pages(uint8_t *set, uint64_t gpa, uint64_t len)
{
	for (uint64_t page = gpa / PAGE; len && page <= (gpa + len - 1) / PAGE; page++)
		set[page] = 1;
}

/* --- making a world --- */

static void new_log(struct world *w)
{
	w->log.offset = any(2) ? any(3 * PAGE) : 0;
	w->log.size = MAX_PAGES / 8;
	w->log.fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(w->log.fd, w->log.offset + w->log.size), 0);
	w->log.map = mmap(NULL, w->log.offset + w->log.size, PROT_READ | PROT_WRITE,
			  MAP_SHARED, w->log.fd, 0);
	assert_ptr_not_equal(w->log.map, MAP_FAILED);
	check_ok(w->p, vu_frontend_set_log_base(w->p->fe, w->log.fd, w->log.size,
						w->log.offset));
}

/* Collects what is marked, as a front-end does that syncs. */
static void collect_marks(struct world *w)
{
	uint8_t *bits = w->log.map + w->log.offset;

	for (uint64_t i = 0; i < w->log.offset; i++)
		assert_int_equal(w->log.map[i], 0);
	for (uint64_t page = 0; page < MAX_PAGES; page++) {
		if (bits[page / 8] >> page % 8 & 1)
			w->marked[page] = 1;
	}
	memset(bits, 0, w->log.size);
}

static void drop_log(struct world *w)
{
	munmap(w->log.map, w->log.offset + w->log.size);
	close(w->log.fd);
}

static void add_regions(struct world *w)
{
	uint64_t gpa = any(4) * 64 * PAGE;

	w->nregions = 1 + any(MAX_REGIONS);
	for (unsigned int i = 0; i < w->nregions; i++) {
		struct region *r = &w->regions[i];
		struct vu_frontend_region info;

		/* One in four is large, for buffers of many words of the log. */
		r->size = (any(4) ? 64 + any(64) + RING_PAGES + TABLE_PAGES : 1200) * PAGE;
		r->gpa = gpa;
		assert_int_equal(vu_frontend_add_memory(w->p->fe, gpa, r->size,
							any(2) ? VU_FRONTEND_OFFSET : 0), i);
		assert_int_equal(vu_frontend_region(w->p->fe, i, &info), 0);
		r->mem = info.mem;
		r->before = malloc(r->size);
		assert_non_null(r->before);
		/* Half of them touch, so that buffers lie across. */
		gpa += r->size + any(2) * any(100) * PAGE;
	}
	assert_true(gpa < USED_LOG);
}

static void start_queue(struct world *w)
{
	struct vu_frontend_ring r;

	w->num = w->packed ? 8 + any(1000) : 8u << any(7);
	w->q = pair_queue(w->p, 0, w->num, w->regions[0].gpa, 0);
	if (any(2)) {
		w->max_indirect = w->num <= 256 ? MAX_BUFS : 2;
		vu_frontend_use_indirect(w->q, w->regions[0].gpa + RING_PAGES * PAGE,
					 w->max_indirect);
	}
	vu_frontend_ring(w->q, &r);
	if (w->packed) {
		/* Where the ring itself is: the log's address is of one part only. */
		check_ok(w->p, vu_frontend_set_vring_addr(w->p->fe, 0, 1, (uintptr_t)r.packed,
							  (uintptr_t)r.device_event,
							  (uintptr_t)r.driver_event,
							  any(2) ? USED_LOG : 0));
		return;
	}
	/* Any address will do for what lies outside of memory, odd ones too. */
	w->used_log = any(2) ? USED_LOG + any(8 * PAGE) :
			       w->regions[0].gpa + ((uint8_t *)r.used - w->regions[0].mem);
	check_ok(w->p, vu_frontend_set_vring_addr(w->p->fe, 0, 1, (uintptr_t)r.desc,
						  (uintptr_t)r.used, (uintptr_t)r.avail,
						  w->used_log));
}

static void make_world(struct world *w)
{
	const char *rings = getenv("VU_EXACT_RINGS");
	static const struct pair_options opt = {.mode = PAIR_NONE};
	uint64_t features = PAIR_ALL & ~VU_BIT(VU__F_NOTIFY_ON_EMPTY);

	memset(w, 0, sizeof(*w));
	w->packed = rings ? !strcmp(rings, "packed") : any(2);
	w->p = pair_new(&opt);
	if (any(2))
		features &= ~VU_BIT(VU__F_EVENT_IDX);
	if (w->packed)
		features |= VU_BIT(VU__F_RING_PACKED);
	check_ok(w->p, vu_frontend_negotiate(w->p->fe, features, PAIR_ALL));
	add_regions(w);
	check_ok(w->p, vu_frontend_share_memory(w->p->fe));
	new_log(w);
	start_queue(w);
	collect_marks(w);
}

static void end_world(struct world *w)
{
	for (unsigned int i = 0; i < w->nregions; i++)
		free(w->regions[i].before);
	drop_log(w);
	pair_free(w->p);
}

/* --- a batch of requests --- */

/* Bytes of memory that follow @gpa without a hole. */
static uint64_t room_at(const struct world *w, uint64_t gpa)
{
	uint64_t room = 0;

	for (unsigned int i = 0; i < w->nregions; i++) {
		const struct region *r = &w->regions[i];

		if (gpa + room >= r->gpa && gpa + room < r->gpa + r->size)
			room = r->gpa + r->size - gpa;
	}
	return room;
}

static struct vu_frontend_buf random_buf(const struct world *w, bool write)
{
	const struct region *r = &w->regions[any(w->nregions)];
	uint64_t skip = r == w->regions ? (RING_PAGES + TABLE_PAGES) * PAGE : 0;
	uint64_t gpa = r->gpa + skip + any(r->size - skip), room = room_at(w, gpa), len;

	/* Ends on borders more often than chance would have it. */
	if (any(3) == 0)
		gpa &= ~(PAGE - 1);
	len = any(20) == 0 ? 1 + any(1000 * PAGE) : 1 + any(3 * PAGE);
	if (any(4) == 0)
		len = (len + PAGE - 1) & ~(PAGE - 1);
	return (struct vu_frontend_buf){gpa, VU_MIN(len, room), write};
}

static void random_request(const struct world *w, struct request *r)
{
	uint64_t writable = 0;
	unsigned int readable;

	r->n = 1 + any(VU_MIN(MAX_BUFS, w->num / 4));
	readable = any(r->n + 1);
	for (unsigned int i = 0; i < r->n; i++) {
		r->bufs[i] = random_buf(w, i >= readable);
		if (i >= readable)
			writable += r->bufs[i].len;
	}
	r->written = any(3) ? writable : any(writable + 1);
}

/* What the driver knows of the pages the device writes for @r. */
static void expect_data(struct world *w, const struct request *r)
{
	uint64_t left = r->written;

	for (unsigned int i = 0; i < r->n && left; i++) {
		uint64_t n = VU_MIN(left, r->bufs[i].len);

		if (!r->bufs[i].write)
			continue;
		set_pages(w->must, r->bufs[i].gpa, n);
		left -= n;
	}
}

/* Virtio's layout of the used ring: flags, index, entries of 8 bytes, avail_event. */
static void expect_used(struct world *w, uint16_t from, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		set_pages(w->must, w->used_log + 4 + 8ull * ((uint16_t)(from + i) % w->num), 8);
	if (n)
		set_pages(w->must, w->used_log + 2, 2);
	if (vu_frontend_features(w->p->fe) & VU_BIT(VU__F_EVENT_IDX))
		set_pages(w->may, w->used_log + 4 + 8ull * w->num, 2);
}

/*
 * A used descriptor of 16 bytes for each, which skips as many slots as the chain had; and
 * the device's event suppression structure, if it has another wish.
 */
static void expect_packed(struct world *w, const struct vu_frontend_ring *ring, unsigned int n)
{
	uint64_t gpa = w->regions[0].gpa;

	for (unsigned int i = 0; i < n; i++) {
		set_pages(w->must, gpa + 16 * (w->used % w->num), 16);
		w->used += requests[i].n <= w->max_indirect ? 1 : requests[i].n;
	}
	set_pages(w->may, gpa + ((uint8_t *)ring->device_event - w->regions[0].mem), 4);
}

/* Every byte changes, so that comparing memory sees the page. */
static void write_bytes(const VuVirtqElement *e, uint64_t n)
{
	for (unsigned int i = 0; i < e->in_num && n; i++) {
		uint8_t *to = e->in_sg[i].iov_base;
		uint64_t len = VU_MIN(n, e->in_sg[i].iov_len);

		for (uint64_t k = 0; k < len; k++)
			to[k] += 1;
		n -= len;
	}
}

/* The device's part, in pieces; the log may be replaced before the end of each. */
static void serve(struct world *w, unsigned int n)
{
	VuDev *dev = &w->p->dev;
	VuVirtq *vq = &dev->vq[0];
	unsigned int done = 0;

	while (done < n) {
		unsigned int batch = 1 + any(VU_MIN(n - done, 8u)), filled = 0;
		bool push = any(3) == 0;

		pair_lock(w->p);
		while (filled < batch) {
			struct request *r = &requests[done + filled];
			VuVirtqElement *e = vu_queue_pop(dev, vq, sizeof(*e));

			assert_non_null(e);
			write_bytes(e, r->written);
			if (push)
				vu_queue_push(dev, vq, e, r->written);
			else
				vu_queue_fill(dev, vq, e, r->written, filled);
			filled++;
			free(e);
		}
		pair_unlock(w->p);
		if (any(16) == 0) {
			int fd = w->log.fd;
			uint8_t *map = w->log.map;
			uint64_t offset = w->log.offset;

			/* The old one is collected when the new one is in use. */
			new_log(w);
			for (uint64_t page = 0; page < MAX_PAGES; page++) {
				if (map[offset + page / 8] >> page % 8 & 1)
					w->marked[page] = 1;
			}
			munmap(map, offset + w->log.size);
			close(fd);
		}
		pair_lock(w->p);
		if (!push)
			vu_queue_flush(dev, vq, filled);
		/* At the latest then all is in the log. */
		vu_queue_notify(dev, vq);
		pair_unlock(w->p);
		done += batch;
	}
}

static void compare(const struct world *w, unsigned int round)
{
	for (unsigned int i = 0; i < w->nregions; i++) {
		const struct region *r = &w->regions[i];

		for (uint64_t at = 0; at < r->size; at += PAGE) {
			uint64_t page = (r->gpa + at) / PAGE;
			bool ours = !w->packed && i == 0 && at < RING_PAGES * PAGE;

			/* A used ring may be logged where it is not. */
			if (!ours && memcmp(r->mem + at, r->before + at, PAGE) &&
			    !w->marked[page])
				fail_msg("round %u: the page at 0x%llx changed unmarked", round,
					 (unsigned long long)(page * PAGE));
		}
	}
	for (uint64_t page = 0; page < MAX_PAGES; page++) {
		if (w->must[page] && !w->marked[page])
			fail_msg("round %u: the page at 0x%llx was written and is not marked",
				 round, (unsigned long long)(page * PAGE));
		if (w->marked[page] && !w->must[page] && !w->may[page])
			fail_msg("round %u: the page at 0x%llx is marked and was not written",
				 round, (unsigned long long)(page * PAGE));
	}
}

static unsigned int run_batch(struct world *w, unsigned int round)
{
	struct vu_frontend_ring ring;
	unsigned int n = 0;
	uint16_t used;

	vu_frontend_ring(w->q, &ring);
	used = w->packed ? 0 : ring.used->idx;
	memset(w->must, 0, sizeof(w->must));
	memset(w->may, 0, sizeof(w->may));
	memset(w->marked, 0, sizeof(w->marked));
	for (unsigned int want = 1 + any(64); n < want; n++) {
		random_request(w, &requests[n]);
		if (vu_frontend_submit(w->q, requests[n].bufs, requests[n].n, n))
			break;
		expect_data(w, &requests[n]);
	}
	/* Now that the driver has written: all that changes is the device's doing. */
	for (unsigned int i = 0; i < w->nregions; i++)
		memcpy(w->regions[i].before, w->regions[i].mem, w->regions[i].size);
	serve(w, n);
	if (w->packed)
		expect_packed(w, &ring, n);
	else
		expect_used(w, used, n);
	collect_marks(w);
	compare(w, round);
	while (vu_frontend_reap(w->q, NULL, NULL) == 1)
		;
	return n;
}

static void what_is_marked_is_what_was_written(void **state)
{
	static struct world w;
	const char *want = getenv("VU_EXACT_REQUESTS"), *seed = getenv("VU_SEED");
	unsigned long done = 0, total = want ? strtoul(want, NULL, 0) : 20000;
	unsigned int round = 0;

	(void)state;
	rng = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) << 16 | 1;
	rng += !rng;
	print_message("# VU_SEED=0x%llx\n", (unsigned long long)rng);
	while (done < total) {
		make_world(&w);
		for (unsigned int i = 0; i < 32 && done < total; i++)
			done += run_batch(&w, round++);
		end_world(&w);
	}
	print_message("# %lu requests in %u rounds\n", done, round);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_marked_is_what_was_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
