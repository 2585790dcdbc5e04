/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Recordings: what is read is what was written, however little of it is left. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/top_host.h"
#include "vu-top/record.h"
#include "vu-top/recordimpl.h"
#include "vu-top/schema.h"

static char dir[40], path[80];

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/vu-record-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/r", dir);
	return 0;
}

static int tear_down(void **state)
{
	char old[90];

	(void)state;
	snprintf(old, sizeof(old), "%s.1", path);
	unlink(old);
	unlink(path);
	return rmdir(dir);
}

/* --- frames as bytes --- */

static void same_structs(enum top_record_struct which, const void *a, const void *b)
{
	for (const struct top_record_field *f = top_record_structs[which].fields; f->name; f++) {
		size_t n = (size_t)f->size * f->count;

		if (f->kind == TOP_R_TEXT
			    ? strcmp((const char *)a + f->offset, (const char *)b + f->offset)
			    : memcmp((const char *)a + f->offset, (const char *)b + f->offset, n))
			fail_msg("%s.%s differs", top_record_structs[which].name, f->name);
	}
}

static void same_arrays(enum top_record_struct which, const void *a, uint32_t na, const void *b,
			uint32_t nb)
{
	assert_int_equal(na, nb);
	for (uint32_t i = 0; i < na; i++)
		same_structs(which, (const char *)a + i * top_record_structs[which].size,
			     (const char *)b + i * top_record_structs[which].size);
}

static void same_frames(const struct top_frame *a, const struct top_frame *b)
{
	const struct vu__obs_snapshot *x = a->snap, *y = b->snap;

	same_structs(TOP_R_FRAME, a, b);
	same_structs(TOP_R_SNAPSHOT, x, y);
	same_arrays(TOP_R_PROCESS, x->procs, x->nprocs, y->procs, y->nprocs);
	same_arrays(TOP_R_DEVICE, x->devs, x->ndevs, y->devs, y->ndevs);
	same_arrays(TOP_R_QUEUE, x->queues, x->nqueues, y->queues, y->nqueues);
	same_arrays(TOP_R_REGION, x->regions, x->nregions, y->regions, y->nregions);
	same_arrays(TOP_R_HOLDER, a->holders, a->nholders, b->holders, b->nholders);
	same_arrays(TOP_R_BACKING, a->backings, a->nbackings, b->backings, b->nbackings);
	assert_int_equal(a->nhists, b->nhists);
	for (uint32_t i = 0; i < a->nhists; i++) {
		for (unsigned int l = 0; l < VU__OBS_LATENCIES; l++) {
			const struct vu__obs_hist *g = &a->hists[i].of[l], *h = &b->hists[i].of[l];

			assert_int_equal(!g->count, !h->count);
			if (!g->count)
				continue;
			assert_memory_equal(g->count, h->count,
					    VU_HIST_BUCKETS * sizeof(*g->count));
			assert_int_equal(g->total, h->total);
			assert_int_equal(g->max, h->max);
			assert_true(g->sum == h->sum);
		}
	}
	assert_int_equal(a->nevents, b->nevents);
	for (uint32_t i = 0; i < a->nevents; i++)
		same_arrays(TOP_R_EVENT, a->events[i].events, a->events[i].n,
			    b->events[i].events, b->events[i].n);
}

static void test_frames(void **state)
{
	struct top_frame *before = NULL;
	size_t first = 0, later = 0;

	(void)state;
	for (unsigned int second = 0; second < 50; second++) {
		struct top_frame *f = host_at(second), *got;
		struct top_bytes b = {.data = NULL};

		top_frame_write(&b, f, before);
		assert_false(b.failed);
		assert_int_equal(
			top_frame_read(top_schema_own(), b.data, b.len, before, &got), 0);
		same_frames(f, got);
		if (second)
			later = VU_MAX(later, b.len);
		else
			first = b.len;
		top_bytes_release(&b);
		top_frame_put(before);
		top_frame_put(f);
		before = got;
	}
	top_frame_put(before);
	/* What does not change is not written. */
	assert_true(later < first / 3);
}

/* A queue that was set up anew has smaller histograms than before, and then larger ones. */
static void test_histograms_begin_anew(void **state)
{
	static const uint64_t ns[][2] = {{50, 8000000}, {50, 900}, {7, 7}, {50, 3000000000}};
	struct top_frame *before = NULL, *got;

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(ns); i++) {
		struct top_frame *f = host_at(0);
		struct top_bytes b = {.data = NULL};

		host_hist(f, 3, VU__OBS_SERVICE, ns[i][0], 10 + i);
		host_hist(f, 3, VU__OBS_SERVICE, ns[i][1], 5 + i);
		top_frame_write(&b, f, before);
		assert_int_equal(
			top_frame_read(top_schema_own(), b.data, b.len, before, &got), 0);
		same_frames(f, got);
		top_bytes_release(&b);
		top_frame_put(before);
		before = f;
		top_frame_put(got);
	}
	top_frame_put(before);
}

/* Values at the ends of their ranges, and differences that wrap. */
static void test_extremes(void **state)
{
	struct top_frame *before = host_at(0), *now = host_at(1), *got;
	struct top_bytes b = {.data = NULL};
	struct vu__obs_queue *q = &now->snap->queues[1], *o = &before->snap->queues[1];

	(void)state;
	o->counter[VU__OBS_KICKS] = UINT64_MAX;
	q->counter[VU__OBS_KICKS] = 3;
	o->kick.fd = -2;
	q->kick.fd = INT32_MAX;
	q->kick.id = INT64_MIN;
	q->setup.features = UINT64_MAX;
	q->worker.cpu = -1;
	memset(q->setup.why, 'x', sizeof(q->setup.why) - 1);
	top_frame_write(&b, now, before);
	assert_int_equal(top_frame_read(top_schema_own(), b.data, b.len, before, &got), 0);
	same_frames(now, got);
	top_frame_put(before);
	top_frame_put(now);
	top_frame_put(got);
	top_bytes_release(&b);
}

/* A later version has other fields, in another order. */
static void test_other_schema(void **state)
{
	struct top_frame *f = host_at(30), *got;
	struct top_bytes b = {.data = NULL};
	struct top_schema *s = malloc(sizeof(*s));

	(void)state;
	assert_non_null(s);
	top_frame_write(&b, f, NULL);
	*s = *top_schema_own();
	/* One we do not have, and counters we have in another place. */
	for (unsigned int i = 0; i < s->of[TOP_R_PROCESS].n; i++)
		s->of[TOP_R_PROCESS].field[i].offset = i == 7 ? -1
							      : s->of[TOP_R_PROCESS].field[i].offset;
	s->counter[VU__OBS_KICKS] = VU__OBS_CALLS;
	s->counter[VU__OBS_CALLS] = VU__OBS_KICKS;
	assert_int_equal(top_frame_read(s, b.data, b.len, NULL, &got), 0);
	assert_string_equal(got->snap->procs[1].comm, "");
	assert_string_equal(f->snap->procs[1].comm, "vu-blk");
	assert_int_equal(got->snap->procs[1].pid, 100);
	assert_true(vu__has_bit(got->snap->queues[1].have_counter, VU__OBS_KICKS));
	top_frame_put(got);
	top_frame_put(f);
	top_bytes_release(&b);
	free(s);
}

static void test_schema(void **state)
{
	struct top_bytes b = {.data = NULL};
	struct top_schema *s;

	(void)state;
	top_schema_write(&b);
	for (size_t len = 0; len < b.len; len++) {
		s = top_schema_read(b.data, len);
		assert_null(s);
	}
	s = top_schema_read(b.data, b.len);
	assert_non_null(s);
	assert_int_equal(s->ncounters, VU__OBS_NCOUNTERS);
	for (unsigned int i = 0; i < TOP_R_STRUCTS; i++) {
		assert_true(s->of[i].n > 0);
		for (unsigned int k = 0; k < s->of[i].n; k++)
			assert_true(s->of[i].field[k].offset >= 0);
	}
	top_schema_free(s);
	top_bytes_release(&b);
}

/* Any byte may be another: it is refused, or it is a frame that can be shown. */
static void test_damaged_frames(void **state)
{
	struct top_frame *f = host_at(30), *got;
	struct top_bytes b = {.data = NULL};

	(void)state;
	top_frame_write(&b, f, NULL);
	for (size_t i = 0; i < b.len; i++) {
		for (unsigned int bit = 0; bit < 8; bit += 3) {
			struct top_model *m;

			b.data[i] ^= 1u << bit;
			if (!top_frame_read(top_schema_own(), b.data, b.len, NULL, &got)) {
				m = top_model_new(NULL);
				assert_non_null(m);
				assert_int_equal(top_model_update(m, got), 0);
				top_model_free(m);
			}
			b.data[i] ^= 1u << bit;
		}
		if (!top_frame_read(top_schema_own(), b.data, i, NULL, &got))
			fail_msg("a frame cut at byte %zu was read", i);
	}
	top_frame_put(f);
	top_bytes_release(&b);
}

/* --- files --- */

static void record(unsigned int from, unsigned int to, uint64_t limit)
{
	struct top_recorder *r = top_recorder_new(path, limit);

	assert_non_null(r);
	for (unsigned int i = from; i < to; i++) {
		struct top_frame *f = host_at(i);

		assert_int_equal(top_recorder_add(r, f), 0);
		top_frame_put(f);
	}
	assert_int_equal(top_recorder_free(r), 0);
}

static void test_file(void **state)
{
	static const size_t order[] = {0, 1, 2, 150, 149, 60, 61, 59, 0, 199};
	char why[200];
	struct top_replay *r;

	(void)state;
	record(0, 200, UINT64_MAX);
	r = top_replay_open(path, why, sizeof(why));
	assert_non_null(r);
	assert_int_equal(top_replay_frames(r), 200);
	assert_string_equal(top_replay_trouble(r), "");
	for (size_t i = 0; i < VU_ARRAY_SIZE(order); i++) {
		struct top_frame *f, *want = host_at(order[i]);

		assert_int_equal(top_replay_read(r, order[i], &f), 0);
		assert_int_equal(f->snap->mono_ns, want->snap->mono_ns);
		same_frames(f, want);
		top_frame_put(f);
		top_frame_put(want);
	}
	assert_int_equal(top_replay_find(r, HOST_REAL + 77 * SECOND + 5), 77);
	assert_int_equal(top_replay_find(r, 0), 0);
	assert_int_equal(top_replay_find(r, UINT64_MAX), 199);
	top_replay_free(r);
}

static uint64_t size_of(const char *file)
{
	struct stat st;

	return stat(file, &st) ? 0 : st.st_size;
}

static void test_bounded(void **state)
{
	char why[200], old[90];
	struct top_replay *r;
	struct top_frame *f;
	size_t n;

	(void)state;
	record(0, 300, 40000);
	snprintf(old, sizeof(old), "%s.1", path);
	assert_in_range(size_of(path), 1, 40000);
	assert_in_range(size_of(old), 1, 40000);
	/* The end of it is there, and each file stands by itself. */
	r = top_replay_open(path, why, sizeof(why));
	assert_non_null(r);
	n = top_replay_frames(r);
	assert_int_equal(top_replay_read(r, n - 1, &f), 0);
	assert_int_equal(f->snap->mono_ns, HOST_START + 299 * SECOND);
	top_frame_put(f);
	top_replay_free(r);
	r = top_replay_open(old, why, sizeof(why));
	assert_non_null(r);
	n = top_replay_frames(r);
	assert_int_equal(top_replay_read(r, n - 1, &f), 0);
	top_frame_put(f);
	top_replay_free(r);
}

/* Cut at any byte, the frames before can be read. */
static void test_cut(void **state)
{
	char why[200];
	uint64_t size;
	size_t before = 0;

	(void)state;
	record(0, 20, UINT64_MAX);
	size = size_of(path);
	for (uint64_t len = 0; len < size; len += 13) {
		int fd = open(path, O_RDWR);
		struct top_replay *r;
		struct top_frame *f;

		/* From a copy in memory, of which less and less is there. */
		assert_true(fd >= 0);
		{
			int cut = open(dir, O_TMPFILE | O_RDWR, 0600);
			char buf[4096];
			uint64_t left = len;

			assert_true(cut >= 0);
			while (left) {
				ssize_t n = read(fd, buf, VU_MIN(left, sizeof(buf)));

				assert_true(n > 0 && write(cut, buf, n) == n);
				left -= n;
			}
			close(fd);
			r = top_replay_new(cut, why, sizeof(why));
		}
		if (!r) {
			assert_int_equal(before, 0);
			assert_true(why[0]);
			continue;
		}
		assert_true(top_replay_frames(r) >= before);
		before = top_replay_frames(r);
		assert_int_equal(top_replay_read(r, before - 1, &f), 0);
		top_frame_put(f);
		top_replay_free(r);
	}
	assert_in_range(before, 19, 20);
}

static void poke(uint64_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* One byte in the file is another: what rests on it is refused, the rest is read. */
static void test_damaged(void **state)
{
	struct top_replay *r;
	struct top_frame *f;
	unsigned int bad = 0;
	char why[200];

	(void)state;
	record(0, 130, UINT64_MAX);
	poke(size_of(path) / 3);
	r = top_replay_open(path, why, sizeof(why));
	assert_non_null(r);
	for (size_t i = 0; i < top_replay_frames(r); i++) {
		int ret = top_replay_read(r, i, &f);

		if (ret) {
			assert_int_equal(ret, -EBADMSG);
			bad++;
			continue;
		}
		assert_int_equal(f->snap->mono_ns, HOST_START + i * SECOND);
		top_frame_put(f);
	}
	assert_true(bad || top_replay_trouble(r)[0]);
	assert_true(bad < 100);
	top_replay_free(r);
}

static void test_not_a_recording(void **state)
{
	char why[200];
	FILE *f;

	(void)state;
	assert_null(top_replay_open("/nonexistent/x", why, sizeof(why)));
	assert_int_equal(errno, ENOENT);
	assert_null(top_replay_open("/dev/null", why, sizeof(why)));
	assert_non_null(strstr(why, "not a recording"));
	f = fopen(path, "w");
	fputs("VUTOPREC\2\0\0\0\0\0\0\0", f);
	fclose(f);
	assert_null(top_replay_open(path, why, sizeof(why)));
	f = fopen(path, "w");
	fwrite("VUTOPREC\2\0\0\0\0\0\0\0", 1, 16, f);
	fclose(f);
	assert_null(top_replay_open(path, why, sizeof(why)));
	assert_non_null(strstr(why, "version 2"));
}

static void test_reopen_and_errors(void **state)
{
	struct top_recorder *r = top_recorder_new(path, UINT64_MAX);
	struct top_frame *f = host_at(0);
	char old[90], why[200];
	struct top_replay *p;

	(void)state;
	assert_int_equal(top_recorder_add(r, f), 0);
	snprintf(old, sizeof(old), "%s.1", path);
	assert_int_equal(rename(path, old), 0);
	assert_int_equal(top_recorder_reopen(r), 0);
	assert_int_equal(top_recorder_add(r, f), 0);
	assert_int_equal(top_recorder_free(r), 0);
	p = top_replay_open(path, why, sizeof(why));
	assert_non_null(p);
	top_replay_free(p);
	assert_null(top_recorder_new("/nonexistent/x", 1 << 20));
	/* A full disk. */
	r = top_recorder_new("/dev/full", 1 << 20);
	assert_null(r);
	top_frame_put(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_histograms_begin_anew),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_other_schema),
		cmocka_unit_test(test_schema),
		cmocka_unit_test(test_damaged_frames),
		cmocka_unit_test_setup_teardown(test_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_a_recording, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reopen_and_errors, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
