/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A back-end is killed at each store it makes while it takes and completes requests, and
 * another one goes on from what is in the inflight region: no request is lost, none is
 * done again that was shown as done, and what is done again is done in the order it was
 * taken.  Batches of 1, 2 and 32; the first region's, and one that was crashed before.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/util.h"
#include "core/mutants.h"
#include "core/ring.h"
#include "core/split.h"

#define NUM	 64u
#define REQUESTS 40u
#define AVAIL_AT 0x1000
#define USED_AT	 0x2000
#define DATA_AT	 0x4000
#define SIZE	 0x20000

/* Shared by the processes. */
struct record {
	unsigned int n;		       /* executions so far */
	uint16_t order[16 * REQUESTS]; /* of requests */
};

struct world {
	struct vu__memmap *map;
	struct vu__inflight_area *area;
	struct record *record;
	uint16_t base; /* of the indices */
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

static struct vring_used *used_ring(const struct world *w)
{
	return (void *)(memory(w) + USED_AT);
}

/* The driver has made all requests available; their heads are their numbers. */
static void new_world(struct world *w, uint16_t base)
{
	struct vring_avail *avail;
	struct vring_desc *desc;

	w->base = base;
	w->map = new_map();
	assert_int_equal(vu__inflight_create(1, NUM, false, &w->area), 0);
	w->record = mmap(NULL, sizeof(*w->record), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(w->record, MAP_FAILED);
	desc = (void *)memory(w);
	avail = (void *)(memory(w) + AVAIL_AT);
	for (unsigned int i = 0; i < REQUESTS; i++) {
		desc[i] = (struct vring_desc){DATA_AT + i * 64, 64, VRING_DESC_F_WRITE, 0};
		avail->ring[(uint16_t)(base + i) % NUM] = i;
	}
	avail->idx = base + REQUESTS;
	used_ring(w)->idx = base;
}

static void end_world(struct world *w)
{
	munmap(w->record, sizeof(*w->record));
	vu__inflight_free(w->area);
	vu__memmap_put(w->map);
}

static void start(struct world *w, struct vu__ring *r, VuVirtq *vq)
{
	struct vu__inflight_left left;
	char why[128] = "";

	memset(r, 0, sizeof(*r));
	memset(vq, 0, sizeof(*vq));
	r->vq = vq;
	r->gen = 1;
	vq->vring = (VuRing){.num = NUM, .desc = (void *)memory(w),
			     .avail = (void *)(memory(w) + AVAIL_AT), .used = used_ring(w)};
	vq->inflight = vu__inflight_part(w->area, 0);
	vq->last_avail_idx = w->base;
	if (vu__inflight_recover(vq->inflight, NUM, NUM, vq->vring.used->idx,
				 vq->vring.avail->idx, &left, why, sizeof(why)))
		fail_msg("recovery: %s", why);
	if (!left.fresh)
		vq->last_avail_idx = vq->vring.used->idx + left.n;
	vu__ring_resubmit(r, &left);
	assert_int_equal(vu__ring_prepare(r, NUM, false), 0);
	assert_int_equal(vu__ring_set_map(r, w->map), 0);
	vu__ring_place(r, &vq->vring);
	vu__ring_start(r);
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
			w->record->order[w->record->n++] = e[held++]->index;
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
	} while (held || vq.last_avail_idx != vq.vring.avail->idx);
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

/* Marks what the used ring shows as done; each at most once. */
static unsigned int shown(const struct world *w, bool *done)
{
	unsigned int n = (uint16_t)(used_ring(w)->idx - w->base);

	memset(done, 0, REQUESTS * sizeof(*done));
	assert_in_range(n, 0, REQUESTS);
	for (unsigned int i = 0; i < n; i++) {
		uint32_t id = used_ring(w)->ring[(uint16_t)(w->base + i) % NUM].id;

		assert_in_range(id, 0, REQUESTS - 1);
		if (done[id])
			fail_msg("request %u was completed twice", id);
		done[id] = true;
	}
	return n;
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

/* Dies at each of @deaths in turn, then serves the rest.  False if one was not reached. */
static bool survive(uint16_t base, unsigned int batch, const unsigned long *deaths,
		    unsigned int n)
{
	bool done[REQUESTS], all[REQUESTS], died = true;
	struct world w;
	unsigned int from;

	new_world(&w, base);
	for (unsigned int i = 0; i < n && died; i++)
		died = serve_and_die(&w, batch, deaths[i]);
	shown(&w, done);
	from = w.record->n;
	assert_false(serve_and_die(&w, batch, 0));
	check_replay(&w, from, done);
	assert_int_equal(shown(&w, all), REQUESTS);
	end_world(&w);
	return died;
}

static void every_store_may_be_the_last(void **state)
{
	static const unsigned int batches[] = {1, 2, 32};
	static const uint16_t bases[] = {0, 65520, 777};
	unsigned long total = 0;

	(void)state;
	for (size_t b = 0; b < VU_ARRAY_SIZE(batches); b++) {
		unsigned long at = 1;

		while (survive(bases[b], batches[b], &at, 1))
			at++;
		/* Six stores a request at the least. */
		assert_true(at > 6 * REQUESTS);
		total += at - 1;
	}
	print_message("# died at %lu different stores\n", total);
}

static void the_next_one_may_die_too(void **state)
{
	static const unsigned int batches[] = {1, 2, 32};

	(void)state;
	for (size_t b = 0; b < VU_ARRAY_SIZE(batches); b++) {
		for (unsigned long first = 1; first < 250; first += 37) {
			for (unsigned long second = 1; second < 120; second += 7) {
				unsigned long deaths[] = {first, second, 1 + second / 2};

				survive(100, batches[b], deaths, VU_ARRAY_SIZE(deaths));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_store_may_be_the_last),
		cmocka_unit_test(the_next_one_may_die_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
