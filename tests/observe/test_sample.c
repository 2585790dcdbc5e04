/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots of libvu's own back-ends: what is in them, and what becomes of files that
 * are damaged, forged, replaced or left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include "base/fd.h"
#include "base/util.h"
#include "observe/proc.h"
#include "observe/rates.h"
#include "tests/observe/badback.h"

static void segment_path(const struct rig *r, char *path, size_t size)
{
	snprintf(path, size, "%s/%d-0.telemetry", r->dir, r->backend);
}

static const struct vu__obs_snapshot *last(const struct rig *r)
{
	return r->snaps[r->nsnaps - 1];
}

static void serve(struct rig *r, unsigned int n)
{
	while (n--) {
		rig_submit(r, 1);
		rig_kick(r);
		rig_reap(r);
	}
}

static void what_is_in_a_snapshot(void **state)
{
	const struct vu__obs_process *p, *vmm;
	const struct vu__obs_device *d;
	const struct vu__obs_queue *q;
	const struct vu__obs_region *region;
	struct vu_frontend_ring ring;
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT, .name = "vu-blk disk0"});
	vu_frontend_want_calls(r.q, true);
	serve(&r, 25);
	/* It counts a call after it has sent it. */
	for (unsigned int i = 0; i < 100; i++) {
		rig_look(&r, 0, 1000);
		if (rig_queue(&r, 0)->counter[VU__OBS_CALLS] == 25)
			break;
		poll(NULL, 0, 20);
	}
	assert_int_equal(last(&r)->ndevs, 1);
	d = &last(&r)->devs[0];
	p = vu__obs_process_of(last(&r), d);
	vmm = vu__obs_vmm_of(last(&r), d);
	assert_int_equal(p->pid, r.backend);
	assert_int_equal(p->kind, VU__OBS_KIND_LIBVU);
	assert_true(p->alive && p->roles == VU__OBS_BACKEND && p->ndevs == 1);
	assert_string_equal(p->comm, "test_sample");
	assert_non_null(strstr(p->cmdline, "test_sample"));
	assert_non_null(vmm);
	assert_int_equal(vmm->pid, getpid());
	assert_string_equal(d->name, "vu-blk disk0");
	assert_int_equal(d->virtio_id, VIRTIO_ID_BLOCK);
	assert_int_equal(d->from, VU__OBS_TELEMETRY);
	assert_int_equal(d->connected, VU__OBS_YES);
	assert_true(d->features == vu_frontend_features(r.fe));
	assert_true(d->protocol_features == vu_frontend_protocol_features(r.fe));
	assert_true(d->messages > 5 && d->connected_ns && d->socket_inode);
	assert_int_equal(d->nregions, 1);
	region = &last(&r)->regions[d->first_region];
	assert_int_equal(region->gpa, 0);
	assert_int_equal(region->size, 1 << 20);
	/* Only the queue that is used. */
	assert_int_equal(d->nqueues, 1);
	q = rig_queue(&r, 0);
	vu_frontend_ring(r.q, &ring);
	assert_int_equal(q->role, VU__OBS_ROLE_REQUEST);
	assert_int_equal(q->setup.size, 64);
	assert_int_equal(q->setup.started, VU__OBS_YES);
	assert_int_equal(q->setup.enabled, VU__OBS_YES);
	assert_int_equal(q->setup.memory_of, r.backend);
	assert_int_equal(q->ring.avail_idx, ring.avail->idx);
	assert_int_equal(q->ring.used_idx, ring.used->idx);
	assert_int_equal(q->ring.used_event, *ring.used_event);
	assert_int_equal(q->ring.avail_event, *ring.avail_event);
	assert_int_equal(q->ring.last_avail, 25);
	assert_int_equal(q->ring.pending, 0);
	assert_int_equal(q->ring.in_flight, 0);
	assert_int_equal(q->counter[VU__OBS_POPPED], 25);
	assert_int_equal(q->counter[VU__OBS_COMPLETED], 25);
	assert_int_equal(q->counter[VU__OBS_AVAILABLE], 25);
	assert_int_equal(q->counter[VU__OBS_DESCRIPTORS], 50);
	assert_int_equal(q->counter[VU__OBS_CALLS], 25);
	assert_true(q->counter[VU__OBS_KICKS] >= 25);
	assert_true(q->kick.fd >= 0 && q->call.fd >= 0 && q->kick.id >= 0);
	assert_int_equal(q->times.called_used_idx, 25);
	assert_true(q->times.pop_ns && q->times.pop_ns <= q->mono_ns);
	rig_end(&r);
}

static void rates_between_snapshots(void **state)
{
	const struct vu__obs_queue *a, *b;
	struct vu__obs_rates rates;
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	serve(&r, 10);
	rig_look(&r, 0, 1000);
	serve(&r, 1000);
	rig_look(&r, 0, 1000);
	b = rig_queue(&r, 0);
	a = vu__obs_find_queue(r.snaps[0], last(&r), b);
	assert_non_null(a);
	vu__obs_rates(a, b, &rates);
	assert_true(rates.delta[VU__OBS_COMPLETED] == 1000);
	assert_true(rates.delta[VU__OBS_BYTES_OUT] == 16000);
	assert_true(rates.delta[VU__OBS_BYTES_IN] == 1000);
	assert_true(rates.dt > 0 && rates.dt < 60);
	rig_end(&r);
}

/* Another back-end with the same file, as when numbers are used again. */
static void counters_that_began_anew(void **state)
{
	struct vu__obs_rates rates;
	struct vu__obs_queue before;
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	serve(&r, 100);
	rig_look(&r, 0, 1000);
	before = *rig_queue(&r, 0);
	/* Stopped and started: the same counters go on. */
	assert_int_equal(vu_frontend_queue_stop(r.q, NULL), 0);
	assert_int_equal(vu_frontend_queue_start(r.q, 0), 0);
	serve(&r, 7);
	rig_look(&r, 0, 1000);
	vu__obs_rates(&before, rig_queue(&r, 0), &rates);
	assert_true(rates.delta[VU__OBS_COMPLETED] == 7);
	rig_end(&r);
}

static void focus_reads_more(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	serve(&r, 5);
	rig_look(&r, 0, 1000);
	rig_look(&r, 0, 1000);
	assert_false(vu__obs_knows(rig_queue(&r, 0), VU__OBS_WORKER));
	vu__sample_set_focus(r.sampler, &(struct vu__sample_focus){r.backend, 0, 0});
	/* It may be about to go to sleep. */
	for (unsigned int i = 0; i < 100; i++) {
		rig_look(&r, 0, 1000);
		if (rig_queue(&r, 0)->worker.waits == VU__OBS_YES)
			break;
		poll(NULL, 0, 20);
	}
	assert_true(vu__obs_knows(rig_queue(&r, 0), VU__OBS_WORKER));
	assert_true(vu__obs_knows(rig_queue(&r, 0), VU__OBS_KICK));
	assert_true(vu__obs_knows(rig_queue(&r, 0), VU__OBS_CALL));
	assert_int_equal(rig_queue(&r, 0)->worker.tid, r.backend);
	assert_int_equal(rig_queue(&r, 0)->worker.waits, VU__OBS_YES);
	assert_int_equal(rig_queue(&r, 0)->worker.watches, VU__OBS_YES);
	vu__sample_set_focus(r.sampler, &(struct vu__sample_focus){r.backend, 0, 1});
	rig_look(&r, 0, 1000);
	assert_false(vu__obs_knows(rig_queue(&r, 0), VU__OBS_WORKER));
	vu__sample_set_focus(r.sampler, &(struct vu__sample_focus){0, -1, -1});
	rig_look(&r, 0, 1000);
	assert_true(vu__obs_knows(rig_queue(&r, 0), VU__OBS_WORKER));
	vu__sample_set_focus(r.sampler, NULL);
	rig_end(&r);
}

static void latencies_while_watched(void **state)
{
	struct vu__obs_hist h;
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	serve(&r, 5);
	rig_look(&r, 0, 1000);
	assert_int_equal(vu__sample_watch(r.sampler, r.backend, 0, 60), 0);
	serve(&r, 200);
	assert_int_equal(vu__sample_hist(r.sampler, r.backend, 0, 0, VU__OBS_SERVICE, &h), 0);
	assert_in_range(h.total, 150, 205);
	assert_true(vu__obs_percentile(NULL, &h, 0.5) > 0);
	assert_true(vu__obs_percentile(NULL, &h, 0.5) <= vu__obs_percentile(NULL, &h, 0.99));
	vu__hist_release(&h);
	assert_int_equal(vu__sample_hist(r.sampler, 1, 0, 0, VU__OBS_SERVICE, &h), -ENOENT);
	assert_int_equal(vu__sample_watch(r.sampler, r.backend, 9, 60), -ENOENT);
	rig_end(&r);
}

static void black_box_of_a_dead_back_end(void **state)
{
	struct vu_telemetry_event events[100];
	bool started = false;
	struct rig r;
	uint64_t lost;
	int n;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	serve(&r, 5);
	rig_look(&r, 0, 1000);
	kill(r.backend, SIGKILL);
	waitpid(r.backend, NULL, 0);
	rig_look(&r, 0, 1000);
	assert_int_equal(last(&r)->ndevs, 1);
	assert_false(last(&r)->procs[last(&r)->devs[0].proc].alive);
	assert_string_equal(last(&r)->procs[last(&r)->devs[0].proc].comm, "test_sample");
	assert_int_equal(rig_queue(&r, 0)->counter[VU__OBS_COMPLETED], 5);
	assert_int_equal(rig_queue(&r, 0)->from[VU__OBS_RING], VU__OBS_UNKNOWN);
	n = vu__sample_events(r.sampler, r.backend, 0, events, 100, &lost);
	assert_true(n > 5);
	for (int i = 0; i < n; i++)
		started = started || events[i].kind == VU_TELEMETRY_START;
	assert_true(started);
	rig_end(&r);
}

/* --- files that are not what they seem --- */

static void copy_file(const char *from, const char *to)
{
	char cmd[300];

	snprintf(cmd, sizeof(cmd), "cp '%s' '%s'", from, to);
	assert_int_equal(system(cmd), 0);
}

/* A pid that was used again: the file speaks of a process that is not this one. */
static void file_of_an_earlier_process(void **state)
{
	char path[100], forged[100];
	struct vu_telemetry_header h;
	const struct vu__obs_process *p;
	struct rig r;
	int fd;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	serve(&r, 5);
	segment_path(&r, path, sizeof(path));
	snprintf(forged, sizeof(forged), "%s/%d-1.telemetry", r.dir, r.backend);
	copy_file(path, forged);
	fd = open(forged, O_RDWR);
	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	h.start_time -= 5;
	h.number = 1;
	assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	close(fd);
	rig_look(&r, 0, 1000);
	assert_int_equal(last(&r)->ndevs, 2);
	/* Two processes of the same pid, one alive, one dead. */
	assert_true(last(&r)->devs[0].proc != last(&r)->devs[1].proc);
	p = &last(&r)->procs[last(&r)->devs[0].proc];
	assert_int_equal(p->alive, last(&r)->devs[0].number == 0);
	p = &last(&r)->procs[last(&r)->devs[1].proc];
	assert_int_equal(p->alive, last(&r)->devs[1].number == 0);
	rig_end(&r);
}

static void file_that_gets_short(void **state)
{
	char path[100];
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	serve(&r, 5);
	rig_look(&r, 0, 1000);
	assert_non_null(rig_queue(&r, 0));
	/* The back-end has it mapped: it is gone before the file is cut under it. */
	kill(r.backend, SIGSTOP);
	segment_path(&r, path, sizeof(path));
	for (off_t size = 100000; size >= 0; size -= 2500) {
		if (truncate(path, size) < 0)
			fail();
		rig_look(&r, 0, 1000);
	}
	assert_null(rig_queue(&r, 0));
	assert_int_equal(last(&r)->nprocs, 1);
	assert_true(last(&r)->procs[0].trouble[0]);
	unlink(path);
	rig_look(&r, 0, 1000);
	assert_int_equal(last(&r)->nprocs, 0);
	rig_end(&r);
}

static void strange_things_in_the_folder(void **state)
{
	char path[100], name[100];
	struct rig r;
	int64_t begin;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	serve(&r, 5);
	segment_path(&r, path, sizeof(path));
	snprintf(name, sizeof(name), "%s/%d-1.telemetry", r.dir, r.backend);
	assert_int_equal(symlink(path, name), 0);
	snprintf(name, sizeof(name), "%s/%d-2.telemetry", r.dir, r.backend);
	assert_int_equal(mkfifo(name, 0600), 0);
	snprintf(name, sizeof(name), "%s/%d-3.telemetry", r.dir, r.backend);
	assert_int_equal(mkdir(name, 0700), 0);
	snprintf(name, sizeof(name), "%s/1-1.telemetry", r.dir);
	copy_file("/proc/self/exe", name);
	snprintf(name, sizeof(name), "%s/999999999-1.telemetry", r.dir);
	copy_file("/dev/null", name);
	begin = vu__now_ms();
	rig_look(&r, 0, 1000);
	assert_true(vu__now_ms() - begin < 1000);
	/* What is right is there; what is not is said of processes that are. */
	assert_int_equal(last(&r)->ndevs, 1);
	assert_int_equal(rig_queue(&r, 0)->counter[VU__OBS_COMPLETED], 5);
	for (uint32_t i = 0; i < last(&r)->nprocs; i++) {
		const struct vu__obs_process *p = &last(&r)->procs[i];

		assert_true(p->pid == getpid() || p->trouble[0]);
	}
	rig_end(&r);
}

static void folder_that_is_not_there(void **state)
{
	struct vu__sample_options opt = {.run_dir = "/nonexistent/run", .libvu_only = true};
	struct vu__sampler *s = vu__sampler_new(&opt);
	struct vu__obs_snapshot *snap;

	(void)state;
	assert_non_null(s);
	assert_int_equal(vu__sample_take(s, &snap), 0);
	assert_int_equal(snap->nprocs + snap->ndevs + snap->nqueues, 0);
	assert_string_equal(snap->trouble, "");
	vu__snapshot_free(snap);
	vu__sampler_free(s);
}

/* Files come and go with back-ends, also between two snapshots of the same second. */
static void back_ends_come_and_go(void **state)
{
	struct rig r, other;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	rig_look(&r, 0, 1000);
	assert_int_equal(last(&r)->ndevs, 1);
	for (unsigned int i = 0; i < 5; i++) {
		char dir[40];
		char from[100], to[100];

		rig_start(&other, &(struct rig_options){.bad = BAD_NOT});
		memcpy(dir, other.dir, sizeof(dir));
		segment_path(&other, from, sizeof(from));
		snprintf(to, sizeof(to), "%s/%d-0.telemetry", r.dir, other.backend);
		assert_int_equal(link(from, to), 0);
		rig_look(&r, 0, 1000);
		assert_int_equal(last(&r)->ndevs, 2);
		rig_end(&other);
		unlink(to);
		rig_look(&r, 0, 1000);
		assert_int_equal(last(&r)->ndevs, 1);
	}
	rig_end(&r);
}

static int open_fds(void)
{
	struct vu__procfs p;
	struct vu__procfs_fds f;
	int n;

	assert_int_equal(vu__procfs_open(&p, NULL), 0);
	assert_int_equal(vu__procfs_fds(&p, getpid(), ~0u, &f), 0);
	n = f.n;
	vu__procfs_fds_release(&f);
	vu__procfs_close(&p);
	return n;
}

static void nothing_leaks(void **state)
{
	int before = open_fds();
	struct rig r;

	(void)state;
	rig_start(&r, &(struct rig_options){.bad = BAD_NOT});
	for (unsigned int i = 0; i < 100; i++)
		rig_look(&r, 0, 1000);
	rig_end(&r);
	assert_int_equal(open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_in_a_snapshot),
		cmocka_unit_test(rates_between_snapshots),
		cmocka_unit_test(counters_that_began_anew),
		cmocka_unit_test(focus_reads_more),
		cmocka_unit_test(latencies_while_watched),
		cmocka_unit_test(black_box_of_a_dead_back_end),
		cmocka_unit_test(file_of_an_earlier_process),
		cmocka_unit_test(file_that_gets_short),
		cmocka_unit_test(strange_things_in_the_folder),
		cmocka_unit_test(folder_that_is_not_there),
		cmocka_unit_test(back_ends_come_and_go),
		cmocka_unit_test(nothing_leaks),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
