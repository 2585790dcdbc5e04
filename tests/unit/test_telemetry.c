/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The telemetry segment: its layout, snapshots of it, its black box. */
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/telemetry.h"
#include "core/telemetry_reader.h"
#include "tests/lib/rundir.h"

static struct vu__telemetry *new_segment(unsigned int queues)
{
	struct vu__telemetry *w;

	assert_int_equal(vu__telemetry_new(0, queues, &w), 0);
	return w;
}

/* --- histograms --- */

static void every_value_is_within_5_percent_of_its_buckets_middle(void **state)
{
	uint64_t x = 88172645463325252ull, worst = 0;

	(void)state;
	for (unsigned int i = 0; i < 2000000; i++) {
		uint64_t value, middle, off;
		unsigned int b;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		value = x >> (24 + i % 40);
		b = vu_hist_bucket(value);
		assert_true(b < VU_HIST_BUCKETS);
		middle = vu_hist_middle(b);
		off = middle > value ? middle - value : value - middle;
		assert_true(off * 100 <= value * 5);
		if (value && off * 10000 / value > worst)
			worst = off * 10000 / value;
	}
	assert_true(worst <= 320);
}

static void buckets_leave_no_gap_and_do_not_overlap(void **state)
{
	(void)state;
	for (unsigned int b = 0; b < VU_HIST_BUCKETS; b++) {
		uint64_t low = vu_hist_lower(b), high = low + vu_hist_width(b) - 1;

		assert_int_equal(vu_hist_bucket(low), b);
		assert_int_equal(vu_hist_bucket(high), b);
		if (b + 1 < VU_HIST_BUCKETS)
			assert_int_equal(vu_hist_lower(b + 1), high + 1);
	}
	assert_int_equal(vu_hist_bucket(UINT64_MAX), VU_HIST_BUCKETS - 1);
	assert_int_equal(vu_hist_bucket(1ull << VU_HIST_MAX_BITS), VU_HIST_BUCKETS - 1);
}

/* --- layout --- */

static void the_directory_names_every_counter_once(void **state)
{
	const unsigned int places[] = {VU_TELEMETRY_IN_DEVICE, VU_TELEMETRY_IN_COUNTERS,
				       VU_TELEMETRY_IN_CONFIG, VU_TELEMETRY_IN_ANNEX};
	static uint8_t seen[4][sizeof(struct vu_telemetry_annex)];
	struct vu__telemetry *w = new_segment(2);
	struct vu_telemetry *t = rundir_open(getpid());
	unsigned int counters = 0;

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < vu_telemetry_metrics(t); i++) {
		const struct vu_telemetry_metric *m = vu_telemetry_metric(t, i);
		size_t each = m->type == VU_TELEMETRY_HIST ? sizeof(struct vu_telemetry_hist) :
							     sizeof(uint64_t);
		unsigned int p = 0;

		assert_true(m->name[0] && m->help[0] && m->count);
		assert_true(m->type >= VU_TELEMETRY_COUNTER && m->type <= VU_TELEMETRY_HIST);
		while (places[p] != m->place)
			assert_true(++p < 4);
		for (size_t at = m->offset; at < m->offset + each * m->count; at++)
			assert_false(seen[p][at]++);
		assert_int_equal(vu_telemetry_find(t, m->place, m->name), i);
		counters += m->place == VU_TELEMETRY_IN_COUNTERS;
	}
	assert_null(vu_telemetry_metric(t, vu_telemetry_metrics(t)));
	assert_int_equal(vu_telemetry_find(t, VU_TELEMETRY_IN_COUNTERS, "no such"), -ENOENT);
	/* All 48 words of it but two with the indices and nine that are reserved. */
	assert_int_equal(counters, 37);
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

static void counters_of_queues_share_no_cache_line(void **state)
{
	struct vu__telemetry *w = new_segment(3);

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal((uintptr_t)&w->counters[i] % 64, 0);
		assert_int_equal((uintptr_t)&w->configs[i] % 64, 0);
	}
	assert_int_equal((uintptr_t)w->lease % 64, 0);
	assert_int_equal(sizeof(struct vu_telemetry_counters) % 64, 0);
	vu__telemetry_free(w);
}

/* --- snapshots --- */

struct editor {
	struct vu__telemetry *w;
	atomic_bool stop;
};

/* Changes everything that is guarded to one value after the other. */
static void *edit(void *opaque)
{
	struct editor *e = opaque;

	for (uint64_t i = 1; !e->stop; i++) {
		struct vu_telemetry_config *g = vu__telemetry_edit_queue(e->w, 0);

		g->size = i;
		g->desc_uaddr = i;
		g->annex_heads = i;
		g->reserved[3] = i;
		vu__telemetry_done_queue(e->w, 0);
		/* Else there is no moment between two changes. */
		usleep(20);
	}
	return NULL;
}

static void no_snapshot_mixes_two_states(void **state)
{
	struct editor e = {.w = new_segment(1)};
	struct vu_telemetry *t = rundir_open(getpid());
	uint64_t deadline = vu__telemetry_now() + 20000000000ull;
	unsigned int changes = 0;
	uint64_t last = 0;
	pthread_t thread;

	(void)state;
	e.stop = false;
	assert_int_equal(pthread_create(&thread, NULL, edit, &e), 0);
	while (changes < 1000 && vu__telemetry_now() < deadline) {
		struct vu_telemetry_queue q = rundir_queue(t, 0);
		const struct vu_telemetry_config *g = &q.config;

		if (q.torn)
			continue;
		assert_int_equal(g->size, g->desc_uaddr);
		assert_int_equal(g->size, g->annex_heads);
		assert_int_equal(g->size, g->reserved[3]);
		assert_true(g->size >= last);
		changes += g->size != last;
		last = g->size;
	}
	e.stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(changes, 1000);
	vu_telemetry_close(t);
	vu__telemetry_free(e.w);
}

static void a_change_that_never_ends_is_said_to_be_torn(void **state)
{
	struct vu__telemetry *w = new_segment(2);
	struct vu_telemetry *t = rundir_open(getpid());
	struct vu_telemetry_device d;

	(void)state;
	w->seqs[0]++;
	w->seqs[2]++;
	assert_int_equal(vu_telemetry_refresh(t), 0);
	vu_telemetry_device(t, &d);
	assert_true(d.torn);
	assert_false(rundir_queue(t, 0).torn);
	assert_true(rundir_queue(t, 1).torn);
	w->seqs[0]++;
	w->seqs[2]++;
	assert_false(rundir_queue(t, 1).torn);
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

static void what_has_not_been_added_follows_from_the_indices(void **state)
{
	struct vu__telemetry *w = new_segment(1);
	struct vu_telemetry *t = rundir_open(getpid());
	struct vu_telemetry_counters *c = w->counters;
	struct vu_telemetry_config *g = w->configs;
	struct vu_telemetry_queue q;

	(void)state;
	*g = (struct vu_telemetry_config){.generation = 1, .start_avail = 65500, .start_used = 10,
					  .start_taken = 900, .start_completed = 800};
	*c = (struct vu_telemetry_counters){.popped = 1000, .unpopped = 60, .resubmitted = 30,
					    .dropped = 40, .completed = 805};
	/* 910 were taken by now, that is 10 since the start; 30 more are not added yet. */
	c->avail_idx = (uint16_t)(65500 + 10 + 30);
	c->used_idx = 10 + 5 + 7;
	q = rundir_queue(t, 0);
	assert_int_equal(q.counters.popped, 1030);
	assert_int_equal(q.counters.completed, 812);
	assert_int_equal(q.inflight, 1030 - 60 - 40 - 812);
	/* Read just before the index moved: one less, not 65535 more. */
	c->avail_idx = (uint16_t)(65500 + 9);
	assert_int_equal(rundir_queue(t, 0).counters.popped, 999);
	/* A queue that was never started has no index. */
	g->generation = 0;
	assert_int_equal(rundir_queue(t, 0).counters.popped, 1000);
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

static void values_by_name_are_those_of_the_structures(void **state)
{
	struct vu__telemetry *w = new_segment(2);
	struct vu_telemetry *t = rundir_open(getpid());
	uint64_t value;
	int m;

	(void)state;
	w->counters[1].kicks = 5;
	w->configs[1].size = 128;
	w->device->by_request[9] = 77;
	assert_int_equal(vu_telemetry_refresh(t), 0);
	m = vu_telemetry_find(t, VU_TELEMETRY_IN_COUNTERS, "kicks");
	assert_int_equal(vu_telemetry_value(t, m, 1, 0, &value), 0);
	assert_int_equal(value, 5);
	assert_int_equal(vu_telemetry_value(t, m, 2, 0, &value), -ERANGE);
	assert_int_equal(vu_telemetry_value(t, m, 1, 1, &value), -ERANGE);
	m = vu_telemetry_find(t, VU_TELEMETRY_IN_CONFIG, "size");
	assert_int_equal(vu_telemetry_value(t, m, 1, 0, &value), 0);
	assert_int_equal(value, 128);
	m = vu_telemetry_find(t, VU_TELEMETRY_IN_DEVICE, "by_request");
	assert_int_equal(vu_telemetry_value(t, m, 0, 9, &value), 0);
	assert_int_equal(value, 77);
	m = vu_telemetry_find(t, VU_TELEMETRY_IN_ANNEX, "service");
	assert_int_equal(vu_telemetry_value(t, m, 0, 0, &value), -ENOTSUP);
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

/* As many buckets as have something in them are read, in one go or in two. */
static void a_part_of_a_histogram(void **state)
{
	const unsigned int last = vu_hist_bucket(1000000);
	struct vu__telemetry *w = new_segment(1);
	struct vu_telemetry *t = rundir_open(getpid());
	int service = vu_telemetry_find(t, VU_TELEMETRY_IN_ANNEX, "service");
	struct vu_telemetry_annex *a;
	struct vu_telemetry_hist h;

	(void)state;
	assert_int_equal(vu__telemetry_hist_part(t, service, 0, 7, &h), -ENOENT);
	a = vu__telemetry_annex(w, 0, 16);
	assert_non_null(a);
	assert_int_equal(vu_telemetry_refresh(t), 0);
	assert_int_equal(vu__telemetry_hist_part(t, service, 0, 0, &h), 1);
	assert_int_equal(h.buckets[0], 0);
	a->service.max = 1000000;
	a->service.sum = 3000000;
	a->service.buckets[2] = 22;
	a->service.buckets[last] = 99;
	for (unsigned int expect = 0; expect < 2 * VU_HIST_BUCKETS; expect += 99) {
		memset(&h, 0x55, sizeof(h));
		assert_int_equal(vu__telemetry_hist_part(t, service, 0, expect, &h), last + 1);
		assert_int_equal(h.sum, 3000000);
		assert_int_equal(h.buckets[0], 0);
		assert_int_equal(h.buckets[2], 22);
		assert_int_equal(h.buckets[last - 1], 0);
		assert_int_equal(h.buckets[last], 99);
	}
	/* Nonsense is not read beyond the end. */
	a->service.max = UINT64_MAX;
	assert_int_equal(vu__telemetry_hist_part(t, service, 0, 1, &h), VU_HIST_BUCKETS);
	assert_int_equal(vu__telemetry_hist_part(t, service, 1, 1, &h), -ERANGE);
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

static void an_annex_grows_and_keeps_what_it_has(void **state)
{
	struct vu__telemetry *w = new_segment(2);
	struct vu_telemetry *t = rundir_open(getpid());
	struct vu_telemetry_annex *a;
	struct vu_telemetry_hist h;
	int service = vu_telemetry_find(t, VU_TELEMETRY_IN_ANNEX, "service");
	uint64_t since;

	(void)state;
	assert_int_equal(vu_telemetry_hist(t, service, 1, &h), -ENOENT);
	a = vu__telemetry_annex(w, 1, 16);
	assert_non_null(a);
	assert_ptr_equal(vu__telemetry_annex(w, 1, 8), a);
	a->service.sum = 99;
	a->service.buckets[3] = 33;
	a = vu__telemetry_annex(w, 1, 32768);
	assert_non_null(vu__telemetry_annex(w, 0, 16));
	assert_int_equal(vu_telemetry_refresh(t), 0);
	assert_int_equal(vu_telemetry_hist(t, service, 1, &h), 0);
	assert_int_equal(h.sum, 99);
	assert_int_equal(h.buckets[3], 33);
	/* Three in flight: of start 5, of start 9, and an earlier back-end's. */
	a->starts[5] = 5000;
	a->starts[9] = 900;
	a->starts[7] = 1;
	((uint8_t *)(a + 1))[0] = 5;
	((uint8_t *)(a + 1))[32767] = 9;
	((uint8_t *)(a + 1))[100] = 255;
	assert_int_equal(vu_telemetry_oldest(t, 1, &since), 0);
	assert_int_equal(since, 0);
	w->counters[1].popped = 3;
	assert_int_equal(vu_telemetry_refresh(t), 0);
	assert_int_equal(vu_telemetry_oldest(t, 1, &since), 0);
	assert_int_equal(since, 900);
	assert_int_equal(vu_telemetry_oldest(t, 2, &since), -ERANGE);
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

/* --- the black box --- */

static void the_black_box_has_the_last_events_in_order(void **state)
{
	static struct vu_telemetry_event e[VU_TELEMETRY_EVENTS];
	struct vu__telemetry *w = new_segment(1);
	struct vu_telemetry *t = rundir_open(getpid());
	uint64_t before = w->last_event, lost;
	int n;

	(void)state;
	for (unsigned int i = 0; i < 1300; i++)
		vu__telemetry_event(w, (struct vu_telemetry_event){.kind = VU_TELEMETRY_NOTE,
								   .queue = -1, .value = i},
				    "event %u", i);
	n = vu_telemetry_events(t, e, VU_TELEMETRY_EVENTS, &lost);
	assert_int_equal(n, VU_TELEMETRY_EVENTS);
	assert_int_equal(lost, before + 1300 - VU_TELEMETRY_EVENTS);
	for (int i = 0; i < n; i++) {
		char text[32];

		snprintf(text, sizeof(text), "event %d", 1300 - VU_TELEMETRY_EVENTS + i);
		assert_string_equal(e[i].text, text);
		assert_true(i == 0 || e[i].number == e[i - 1].number + 1);
		assert_true(i == 0 || e[i].time >= e[i - 1].time);
	}
	/* The last few of them. */
	assert_int_equal(vu_telemetry_events(t, e, 3, NULL), 3);
	assert_int_equal(e[2].value, 1299);
	/* One that its writer died over. */
	w->events[w->last_event % VU_TELEMETRY_EVENTS].number = 0;
	assert_int_equal(vu_telemetry_events(t, e, VU_TELEMETRY_EVENTS, NULL),
			 VU_TELEMETRY_EVENTS - 1);
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

static void *tell(void *opaque)
{
	struct editor *e = opaque;

	for (uint64_t i = 0; !e->stop; i++) {
		struct vu_telemetry_event ev = {.kind = VU_TELEMETRY_NOTE, .value = i};

		vu__telemetry_event(e->w, ev, "%llu", (unsigned long long)i);
	}
	return NULL;
}

static void events_are_whole_while_they_are_written(void **state)
{
	static struct vu_telemetry_event e[VU_TELEMETRY_EVENTS];
	struct editor ed = {.w = new_segment(1)};
	struct vu_telemetry *t = rundir_open(getpid());
	uint64_t deadline = vu__telemetry_now() + 20000000000ull;
	unsigned int looks = 0, seen = 0;
	pthread_t thread;

	(void)state;
	ed.stop = false;
	assert_int_equal(pthread_create(&thread, NULL, tell, &ed), 0);
	while ((looks++ < 500 || !seen) && vu__telemetry_now() < deadline) {
		int n = vu_telemetry_events(t, e, VU_TELEMETRY_EVENTS, NULL);

		assert_true(n >= 0);
		for (int k = 0; k < n; k++) {
			/* Others are an earlier test's. */
			if (e[k].kind != VU_TELEMETRY_NOTE || !isdigit(e[k].text[0]))
				continue;
			assert_int_equal(strtoull(e[k].text, NULL, 10), e[k].value);
			seen++;
		}
	}
	ed.stop = true;
	pthread_join(thread, NULL);
	assert_true(seen > 0);
	vu_telemetry_close(t);
	vu__telemetry_free(ed.w);
}

static void texts_have_nothing_a_terminal_would_act_on(void **state)
{
	struct vu__telemetry *w = new_segment(1);
	struct vu_telemetry *t;
	struct vu_telemetry_device d;

	(void)state;
	snprintf(w->device->name, sizeof(w->device->name), "\033[2Jdisk\n\xc2\x9b");
	memset(w->device->socket, 'x', sizeof(w->device->socket));
	vu__telemetry_event(w, (struct vu_telemetry_event){.kind = VU_TELEMETRY_PANIC}, "\a\177");
	t = rundir_open(getpid());
	vu_telemetry_device(t, &d);
	assert_string_equal(d.block.name, "?[2Jdisk???");
	assert_int_equal(strlen(d.block.socket), sizeof(d.block.socket) - 1);
	assert_string_equal(rundir_event(t, VU_TELEMETRY_PANIC).text, "??");
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value_is_within_5_percent_of_its_buckets_middle),
		cmocka_unit_test(buckets_leave_no_gap_and_do_not_overlap),
		cmocka_unit_test(the_directory_names_every_counter_once),
		cmocka_unit_test(counters_of_queues_share_no_cache_line),
		cmocka_unit_test(no_snapshot_mixes_two_states),
		cmocka_unit_test(a_change_that_never_ends_is_said_to_be_torn),
		cmocka_unit_test(what_has_not_been_added_follows_from_the_indices),
		cmocka_unit_test(values_by_name_are_those_of_the_structures),
		cmocka_unit_test(a_part_of_a_histogram),
		cmocka_unit_test(an_annex_grows_and_keeps_what_it_has),
		cmocka_unit_test(the_black_box_has_the_last_events_in_order),
		cmocka_unit_test(events_are_whole_while_they_are_written),
		cmocka_unit_test(texts_have_nothing_a_terminal_would_act_on),
	};

	return cmocka_run_group_tests(tests, rundir_setup, rundir_teardown);
}
