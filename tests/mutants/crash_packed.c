/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As crash.c, with a packed ring: a back-end is killed at each store it makes while it
 * takes and completes requests, and others go on from what is in the inflight region.
 * The driver reaps between them, so that it sees what a death has left in the ring.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/util.h"
#include "core/inflightpacked.h"
#include "core/mutants.h"
#include "core/packedring.h"

#define NUM	  97u /* slots: not a power of two, and room for all requests */
#define REQUESTS  40u
#define FIRST_ID  0xff00u
#define DRIVER_AT 0x1000
#define DEVICE_AT 0x2000
#define DATA_AT	  0x4000
#define SIZE	  0x20000

/* Shared by the processes. */
struct record {
	unsigned int n;		       /* executions so far */
	uint16_t order[16 * REQUESTS]; /* of requests */
};

struct world {
	struct vu__memmap *map;
	struct vu__inflight_area *area;
	struct record *record;
	uint16_t base; /* where both sides begin */
	uint16_t used; /* where the driver looks next */
	bool done[REQUESTS];
	unsigned int ndone;
};

static struct vu__memmap *new_map(void)
{
	struct vu__region_desc d = {0, SIZE, 0x10000000, 0};
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct vu__region *r;
	struct vu__memmap *m;
	char why[128];

	assert_int_equal(ftruncate(fd, SIZE), 0);
	assert_int_equal(vu__region_new(&d, fd, &r, why, sizeof(why)), 0);
	close(fd);
	assert_int_equal(vu__memmap_new(&r, 1, &m, why, sizeof(why)), 0);
	vu__region_put(r);
	return m;
}

static uint8_t *memory(const struct world *w)
{
	return w->map->regions[0]->host;
}

static struct vring_packed_desc *ring(const struct world *w)
{
	return (void *)memory(w);
}

static unsigned int length(unsigned int request)
{
	return 1 + request % 3;
}

static uint16_t next_place(uint16_t place)
{
	return (place & 0x7fff) + 1u == NUM ? (place & 0x8000) ^ 0x8000 : place + 1;
}

/* Flags of a descriptor of the round before @place's, which was used. */
static uint16_t old_flags(uint16_t place)
{
	return place & 0x8000 ? 0 : 0x8080;
}

static uint16_t avail_flags(uint16_t place)
{
	return place & 0x8000 ? 0x80 : 0x8000;
}

static bool is_used(uint16_t flags, uint16_t place)
{
	return (flags & 0x8080) == (place & 0x8000 ? 0x8080 : 0);
}

/* The driver has made all requests available. */
static void new_world(struct world *w, uint16_t base)
{
	uint16_t at = base;

	*w = (struct world){.base = base, .used = base, .map = new_map()};
	assert_int_equal(vu__inflight_create(1, NUM, true, &w->area), 0);
	w->record = mmap(NULL, sizeof(*w->record), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(w->record, MAP_FAILED);
	for (unsigned int i = 0; i < NUM; i++, at = next_place(at))
		ring(w)[at & 0x7fff].flags = old_flags(at);
	at = base;
	for (unsigned int i = 0; i < REQUESTS; i++) {
		for (unsigned int k = 0; k < length(i); k++, at = next_place(at))
			ring(w)[at & 0x7fff] = (struct vring_packed_desc){
				DATA_AT + i * 256 + k * 64, 64, FIRST_ID + i,
				VRING_DESC_F_WRITE | avail_flags(at) |
					(k + 1 < length(i) ? VRING_DESC_F_NEXT : 0)};
	}
}

static void end_world(struct world *w)
{
	munmap(w->record, sizeof(*w->record));
	vu__inflight_free(w->area);
	vu__memmap_put(w->map);
}

static void start(struct world *w, struct vu__ring *r, VuVirtq *vq)
{
	VuRing parts = {.num = NUM, .desc = (void *)memory(w),
			.avail = (void *)(memory(w) + DRIVER_AT),
			.used = (void *)(memory(w) + DEVICE_AT)};
	struct vu__inflight_left left;
	char why[128] = "";

	memset(r, 0, sizeof(*r));
	memset(vq, 0, sizeof(*vq));
	r->vq = vq;
	r->gen = 1;
	vq->vring.num = NUM;
	vq->inflight = vu__inflight_part(w->area, 0);
	vq->last_avail_idx = vq->used_idx = w->base;
	assert_int_equal(vu__ring_prepare(r, NUM, true), 0);
	vu__packed_clear(&r->packed, NUM);
	if (vu__inflight_packed_recover(vu__inflight_packed_of(vq), NUM, NUM, ring(w),
					&vq->used_idx, &r->packed, &left, why, sizeof(why)))
		fail_msg("recovery: %s", why);
	if (!left.fresh)
		vq->last_avail_idx = vu__packed_step(vq->used_idx, NUM - r->packed.nfree, NUM);
	vu__ring_resubmit(r, &left);
	assert_int_equal(vu__ring_set_map(r, w->map), 0);
	vu__ring_place(r, &parts);
	vu__ring_start(r);
}

static unsigned int request_of(const struct world *w, const VuVirtqElement *e)
{
	return ((uint8_t *)e->in_sg[0].iov_base - memory(w) - DATA_AT) / 256;
}

static void take(struct world *w, const VuVirtqElement *e)
{
	unsigned int request = request_of(w, e);

	if (e->in_num != length(request))
		fail_msg("request %u was lost: it is taken with %u buffers", request, e->in_num);
	w->record->order[w->record->n++] = request;
}

/*
 * Serves all there is, taking @batch at a time and completing as many, the last taken
 * first: the oldest ones stay in flight for long.
 */
static void serve(struct world *w, unsigned int batch)
{
	VuVirtqElement *e[REQUESTS + 1];
	unsigned int held = 0, done;
	struct vu__ring r;
	VuVirtq vq;

	start(w, &r, &vq);
	do {
		unsigned int took = 0;

		while (took < batch && (e[held] = vu__ring_pop(&r, sizeof(*e[0])))) {
			take(w, e[held++]);
			took++;
		}
		/* As many again are left until there is nothing more to take. */
		done = took < batch ? held : held > batch ? batch : 0;
		for (unsigned int i = 0; i < done; i++) {
			held--;
			assert_true(vu__ring_fill(&r, e[held], 64, i));
			free(e[held]);
		}
		if (done)
			vu__ring_flush(&r, done);
	} while (held || !vu__ring_empty(&r));
	vu__ring_destroy(&r);
}

/* True if the process died at its @at-th store; false if it came to its end before. */
static bool serve_and_die(struct world *w, unsigned int batch, unsigned long at)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		vu__crash_at(at);
		serve(w, batch);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return true;
	}
	assert_int_equal(status, 0);
	return false;
}

/* The driver takes all that is marked used; each request at most once. */
static void reap(struct world *w)
{
	while (w->ndone < REQUESTS && is_used(ring(w)[w->used & 0x7fff].flags, w->used)) {
		unsigned int id = (uint16_t)(ring(w)[w->used & 0x7fff].id - FIRST_ID);

		if (id >= REQUESTS)
			fail_msg("a request was lost: %u was completed in its place", id);
		if (w->done[id])
			fail_msg("request %u was completed twice", id);
		w->done[id] = true;
		w->ndone++;
		for (unsigned int i = 0; i < length(id); i++)
			w->used = next_place(w->used);
	}
}

/* After @from executions, all that was not @done was done, in order. */
static void check_replay(const struct world *w, unsigned int from, const bool *done)
{
	unsigned int at = from;

	for (unsigned int i = 0; i < REQUESTS; i++) {
		if (done[i])
			continue;
		if (at == w->record->n)
			fail_msg("request %u was lost", i);
		if (w->record->order[at] != i)
			fail_msg("request %u was taken where %u was to be", w->record->order[at], i);
		at++;
	}
	assert_int_equal(at, w->record->n);
}

/* A back-end that takes and completes @batch at a time, and dies at its @at-th store. */
struct life {
	unsigned int batch;
	unsigned long at;
};

/* One dies after the other, then the rest is served.  False if the last has not died. */
static bool survive(uint16_t base, const struct life *lives, unsigned int n)
{
	bool done[REQUESTS], died = true;
	struct world w;
	unsigned int from;

	new_world(&w, base);
	for (unsigned int i = 0; i < n && died; i++) {
		died = serve_and_die(&w, lives[i].batch, lives[i].at);
		reap(&w);
	}
	memcpy(done, w.done, sizeof(done));
	from = w.record->n;
	assert_false(serve_and_die(&w, lives[n - 1].batch, 0));
	check_replay(&w, from, done);
	reap(&w);
	if (w.ndone != REQUESTS)
		fail_msg("a request was lost: %u of %u are done", w.ndone, REQUESTS);
	end_world(&w);
	return died;
}

static void every_store_may_be_the_last(void **state)
{
	/* The ring's end comes never, in the middle, behind a few. */
	static const uint16_t bases[] = {0x8000, 50, 0x8000 | 90};
	static const unsigned int batches[] = {1, 2, 32};
	unsigned long total = 0;

	(void)state;
	for (size_t b = 0; b < VU_ARRAY_SIZE(batches); b++) {
		struct life life = {batches[b], 1};

		while (survive(bases[b], &life, 1))
			life.at++;
		/* Six stores a request at the least. */
		assert_true(life.at > 6 * REQUESTS);
		total += life.at - 1;
	}
	print_message("# died at %lu different stores\n", total);
}

/* With other batches: what one has left in the ring, the next one does not write over. */
static void the_next_one_may_die_too(void **state)
{
	static const unsigned int batches[][3] = {
		{1, 1, 1}, {2, 2, 2}, {3, 32, 1}, {32, 1, 2}, {32, 2, 3}, {32, 32, 32}};

	(void)state;
	for (size_t b = 0; b < VU_ARRAY_SIZE(batches); b++) {
		for (unsigned long first = 1; first < 320; first += 43) {
			for (unsigned long second = 1; second < 140; second += 13) {
				struct life lives[] = {{batches[b][0], first},
						       {batches[b][1], second},
						       {batches[b][2], 1 + second / 2}};

				survive(0x8000 | 60, lives, VU_ARRAY_SIZE(lives));
			}
		}
	}
}

/* The one that dies in a large batch, at any of its stores, and one that does little. */
static void a_batch_that_was_not_shown_leaves_nothing(void **state)
{
	struct life lives[] = {{32, 1}, {1, 0}};

	(void)state;
	do {
		lives[0].at += 3;
		for (lives[1].at = 20; lives[1].at < 200; lives[1].at += 60)
			survive(0x8000 | 60, lives, 2);
	} while (survive(0x8000 | 60, lives, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_store_may_be_the_last),
		cmocka_unit_test(the_next_one_may_die_too),
		cmocka_unit_test(a_batch_that_was_not_shown_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
