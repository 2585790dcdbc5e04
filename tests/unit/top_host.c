/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/top_host.h"

#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/spec.h"

#define ROOM 64

struct vu__obs_snapshot *host_snapshot(uint64_t mono_ns)
{
	struct vu__obs_snapshot *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->mono_ns = mono_ns;
	s->real_ns = HOST_REAL + (mono_ns - HOST_START);
	s->took_ns = 1234567;
	s->procs = calloc(64, sizeof(*s->procs));
	s->devs = calloc(64, sizeof(*s->devs));
	s->queues = calloc(ROOM, sizeof(*s->queues));
	s->regions = calloc(64, sizeof(*s->regions));
	assert_true(s->procs && s->devs && s->queues && s->regions);
	return s;
}

uint32_t host_process(struct vu__obs_snapshot *s, pid_t pid, const char *comm, uint8_t roles,
		      enum vu__obs_kind kind)
{
	struct vu__obs_process *p = &s->procs[s->nprocs];

	p->pid = pid;
	p->start_time = pid * 7;
	p->roles = roles;
	p->kind = kind;
	p->alive = true;
	p->state = 'S';
	snprintf(p->comm, sizeof(p->comm), "%s", comm);
	return s->nprocs++;
}

uint32_t host_device(struct vu__obs_snapshot *s, uint32_t proc, int32_t vmm, uint32_t number,
		     const char *name, uint32_t virtio_id)
{
	struct vu__obs_device *d = &s->devs[s->ndevs];

	d->proc = proc;
	d->vmm = vmm;
	d->number = number;
	d->virtio_id = virtio_id;
	d->from = VU__OBS_TELEMETRY;
	d->connected = VU__OBS_YES;
	d->generation = 1;
	d->connected_ns = HOST_START - 3600 * SECOND;
	d->first_queue = s->nqueues;
	d->first_region = s->nregions;
	snprintf(d->name, sizeof(d->name), "%s", name);
	if (!s->procs[proc].ndevs++)
		s->procs[proc].first_dev = s->ndevs;
	return s->ndevs++;
}

struct vu__obs_queue *host_queue(struct vu__obs_snapshot *s, uint32_t dev, uint16_t index,
				 uint32_t size)
{
	struct vu__obs_queue *q = &s->queues[s->nqueues++];

	q->dev = dev;
	q->index = index;
	q->mono_ns = s->mono_ns + 1000;
	q->role = VU__OBS_ROLE_REQUEST;
	q->from[VU__OBS_SETUP] = VU__OBS_TELEMETRY;
	q->from[VU__OBS_COUNTERS] = VU__OBS_TELEMETRY;
	q->from[VU__OBS_TIMES] = VU__OBS_TELEMETRY;
	q->setup.size = size;
	q->setup.event_idx = true;
	q->setup.started = q->setup.enabled = VU__OBS_YES;
	q->setup.started_ns = q->setup.enabled_ns = HOST_START - 3600 * SECOND;
	q->setup.generation = 1;
	q->kick.fd = 10 + 2 * index;
	q->call.fd = 11 + 2 * index;
	q->err.fd = VU__OBS_FD_NONE;
	q->kick.id = 100 + 2 * index;
	q->call.id = 101 + 2 * index;
	q->err.id = -1;
	q->worker.tid = s->procs[s->devs[dev].proc].pid + 1 + index;
	s->devs[dev].nqueues++;
	return q;
}

void host_count(struct vu__obs_queue *q, enum vu__obs_counter c, uint64_t value)
{
	q->have_counter |= VU_BIT(c);
	q->counter[c] = value;
}

void host_ring(struct vu__obs_queue *q, uint16_t avail, uint16_t fetched, uint16_t used)
{
	q->from[VU__OBS_RING] = VU__OBS_PEEK;
	q->from[VU__OBS_POSITION] = VU__OBS_TELEMETRY;
	q->ring.avail_idx = avail;
	q->ring.last_avail = fetched;
	q->ring.used_idx = used;
	q->ring.pending = (uint16_t)(avail - fetched);
	q->ring.in_flight = (uint16_t)(fetched - used);
	q->ring.avail_event = fetched;
	q->ring.used_event = used;
	q->times.called_used_idx = used;
}

struct top_frame *host_frame(struct vu__obs_snapshot *s)
{
	struct top_frame *f = top_frame_new();

	assert_non_null(f);
	f->snap = s;
	f->self.cpu_ns = (s->mono_ns - HOST_START) / 200;
	f->self.mapped = 6 << 20;
	return f;
}

void host_hist(struct top_frame *f, uint32_t queue, enum vu__obs_latency which, uint64_t ns,
	       uint64_t n)
{
	struct top_hists *h = f->nhists ? &f->hists[f->nhists - 1] : NULL;
	struct vu__obs_hist *o;

	if (!h || h->queue != queue) {
		h = top_frame_add_hists(f);
		assert_non_null(h);
		h->queue = queue;
	}
	o = &h->of[which];
	if (!o->count) {
		o->count = calloc(VU_HIST_BUCKETS, sizeof(*o->count));
		o->upper = top_hist_bounds();
	}
	assert_non_null(o->count);
	o->nbuckets = VU_MAX(o->nbuckets, vu_hist_bucket(ns) + 1);
	o->count[vu_hist_bucket(ns)] += n;
	o->total += n;
	o->sum += (double)ns * n;
	o->max = VU_MAX(o->max, ns);
}

/* --- the host --- */

#define BLK_FEATURES                                                                      \
	(VU_BIT(2) | VU_BIT(6) | VU_BIT(9) | VU_BIT(12) | VU_BIT(13) | VU_BIT(28) |       \
	 VU_BIT(29) | VU_BIT(30) | VU_BIT(32))

static void busy_counters(struct vu__obs_queue *q, uint64_t n)
{
	host_count(q, VU__OBS_KICKS, n / 8);
	host_count(q, VU__OBS_KICK_VALUES, n / 4);
	host_count(q, VU__OBS_WAKEUPS, n / 8 + n / 100);
	host_count(q, VU__OBS_EMPTY_WAKEUPS, n / 100);
	host_count(q, VU__OBS_AVAILABLE, n);
	host_count(q, VU__OBS_POPPED, n);
	host_count(q, VU__OBS_COMPLETED, n);
	host_count(q, VU__OBS_FAILED, 0);
	host_count(q, VU__OBS_DROPPED, 0);
	host_count(q, VU__OBS_DESCRIPTORS, 3 * n);
	host_count(q, VU__OBS_BYTES_OUT, 512 * n);
	host_count(q, VU__OBS_BYTES_IN, 4096 * n);
	host_count(q, VU__OBS_CALLS, n / 16);
	host_count(q, VU__OBS_NOCALL_FLAG, 0);
	host_count(q, VU__OBS_NOCALL_EVENT, n / 48);
	host_count(q, VU__OBS_NOCALL_MASKED, 0);
	host_count(q, VU__OBS_NOCALL_NOFD, 0);
	host_count(q, VU__OBS_CALL_ERRORS, 0);
	host_count(q, VU__OBS_RING_FULL, 0);
	host_count(q, VU__OBS_FAULTS, 0);
	host_count(q, VU__OBS_PAGES_FIRST, 0);
	host_count(q, VU__OBS_PAGES_AGAIN, 0);
}

/* 8,000 to 12,000 requests a second, up and down. */
static uint64_t requests_until(unsigned int second)
{
	uint64_t n = 1000000;

	for (unsigned int i = 0; i < second; i++)
		n += 8000 + 400 * (i % 20 < 10 ? i % 20 : 20 - i % 20);
	return n;
}

static void add_busy(struct vu__obs_snapshot *s, uint32_t dev, unsigned int second)
{
	struct vu__obs_queue *q = host_queue(s, dev, 0, 256);
	uint64_t n = requests_until(second);

	busy_counters(q, n);
	host_ring(q, n + 3, n + 1, n);
	q->times.kick_ns = q->times.wake_ns = q->mono_ns - 300000;
	q->times.pop_ns = q->times.push_ns = q->mono_ns - 200000;
	q->times.call_ns = q->mono_ns - 400000;
	q->times.in_flight_max = 57;
}

/* From second 20 on its kick is not read any more: the thread sleeps elsewhere. */
static void add_stuck(struct vu__obs_snapshot *s, uint32_t dev, unsigned int second)
{
	struct vu__obs_queue *q = host_queue(s, dev, 1, 256);
	uint64_t n = requests_until(VU_MIN(second, 20u)) / 2;
	uint64_t when = HOST_START + 20 * SECOND;

	busy_counters(q, n);
	q->times.in_flight_max = 31;
	if (second <= 20) {
		host_ring(q, n, n, n);
		return;
	}
	host_ring(q, n + 17, n, n);
	q->ring.avail_event = n;
	q->times.kick_ns = q->times.wake_ns = when - 90000;
	q->times.pop_ns = q->times.push_ns = when - 70000;
	q->times.call_ns = when - 60000;
	q->from[VU__OBS_KICK] = q->from[VU__OBS_CALL] = q->from[VU__OBS_WORKER] = VU__OBS_PROC;
	q->kick.count = 3;
	q->worker = (struct vu__obs_worker){.tid = 102, .state = 'S', .syscall = 230,
					    .waits = VU__OBS_NO, .watches = VU__OBS_NO,
					    .cpu = 1, .cpu_ns = 5 * SECOND};
	strcpy(q->worker.comm, "vu-blk");
	strcpy(q->worker.wchan, "hrtimer_nanosleep");
}

static void add_regions(struct vu__obs_snapshot *s, uint32_t dev)
{
	struct vu__obs_device *d = &s->devs[dev];

	s->regions[s->nregions++] = (struct vu__obs_region){
		.gpa = 0, .size = 2ull << 30, .uaddr = 0x7f1200000000, .addr = 0x7fa000000000};
	s->regions[s->nregions++] = (struct vu__obs_region){
		.gpa = 4ull << 30, .size = 6ull << 30, .uaddr = 0x7f1280000000,
		.addr = 0x7fa080000000, .offset = 2ull << 30};
	d->nregions = 2;
}

static void add_libvu(struct vu__obs_snapshot *s, uint32_t blk, uint32_t net, int32_t vmm,
		      unsigned int second)
{
	uint32_t dev = host_device(s, blk, vmm, 0, "disk0", VIRTIO_ID_BLOCK);
	struct vu__obs_queue *q;
	struct vu__obs_device *d = &s->devs[dev];

	d->features = BLK_FEATURES;
	d->protocol_features = VU_BIT(VU__PF_MQ) | VU_BIT(VU__PF_LOG_SHMFD) |
			       VU_BIT(VU__PF_REPLY_ACK) | VU_BIT(VU__PF_INFLIGHT_SHMFD) |
			       VU_BIT(VU__PF_CONFIG);
	d->messages = 37;
	strcpy(d->socket, "/run/vms/web7/disk0.sock");
	add_regions(s, dev);
	add_busy(s, dev, second);
	add_stuck(s, dev, second);
	dev = host_device(s, net, vmm, 0, "net0", VIRTIO_ID_NET);
	s->devs[dev].log_on = second >= 40;
	s->devs[dev].phase = second >= 40 ? VU__OBS_LOGGING : VU__OBS_NOT_MIGRATING;
	s->devs[dev].features = VU_BIT(26) | VU_BIT(32);
	s->devs[dev].messages = 52;
	q = host_queue(s, dev, 0, 1024);
	q->role = VU__OBS_ROLE_RX;
	busy_counters(q, 5000);
	host_ring(q, 6024, 5000, 5000);
	q = host_queue(s, dev, 1, 1024);
	q->role = VU__OBS_ROLE_TX;
	busy_counters(q, 7000 + 1200 * second);
	host_ring(q, 7000 + 1200 * second, 7000 + 1200 * second, 7000 + 1200 * second);
	if (second >= 40) {
		host_count(q, VU__OBS_PAGES_FIRST, 300 * (second - 40));
		host_count(q, VU__OBS_PAGES_AGAIN, 100 * (second - 40));
	}
}

/* QEMU's monitor tells of it; somebody has sent GET_VRING_BASE. */
static void add_foreign(struct vu__obs_snapshot *s, uint32_t qsd, int32_t vmm)
{
	uint32_t dev = host_device(s, qsd, vmm, 0, "data", VIRTIO_ID_BLOCK);
	struct vu__obs_queue *q = host_queue(s, dev, 0, 128);

	s->devs[dev].from = VU__OBS_QMP;
	s->devs[dev].features = BLK_FEATURES;
	s->devs[dev].connected_ns = 0;
	memset(q->from, 0, sizeof(q->from));
	q->from[VU__OBS_SETUP] = VU__OBS_QMP;
	q->from[VU__OBS_RING] = VU__OBS_PEEK;
	q->from[VU__OBS_COUNTERS] = VU__OBS_PEEK;
	q->ring.avail_idx = 904;
	q->ring.used_idx = 900;
	q->ring.used_event = 899;
	host_count(q, VU__OBS_AVAILABLE, 904);
	host_count(q, VU__OBS_COMPLETED, 900);
	q->setup.started = VU__OBS_NO;
	q->setup.enabled = VU__OBS_MAYBE;
	q->setup.started_ns = q->setup.enabled_ns = 0;
	q->setup.memory_of = 600;
	q->kick.fd = q->call.fd = VU__OBS_FD_UNKNOWN;
	q->kick.id = q->call.id = -1;
	q->worker.tid = 0;
}

static void add_dead(struct vu__obs_snapshot *s, uint32_t proc)
{
	uint32_t dev = host_device(s, proc, -1, 0, "scratch", VIRTIO_ID_BLOCK);
	struct vu__obs_queue *q = host_queue(s, dev, 0, 128);

	s->procs[proc].alive = false;
	s->procs[proc].state = 0;
	busy_counters(q, 4000);
	q->ring.in_flight = 2;
}

static void add_hists(struct top_frame *f, unsigned int second)
{
	uint64_t n = requests_until(second);

	host_hist(f, 1, VU__OBS_KICK_TO_POP, 4000, n / 8);
	host_hist(f, 1, VU__OBS_SERVICE, 60000, n / 2);
	host_hist(f, 1, VU__OBS_SERVICE, 130000, n / 4);
	host_hist(f, 1, VU__OBS_SERVICE, 900000, n / 200);
	host_hist(f, 1, VU__OBS_SERVICE, 20000000, n / 5000);
	host_hist(f, 1, VU__OBS_BATCH, 8, n / 8);
}

static void add_events(struct top_frame *f)
{
	static const struct vu_telemetry_event events[] = {
		{1, HOST_START - 3600 * SECOND, VU_TELEMETRY_CONNECTED, -1, 0, 0, 0, 500, ""},
		{2, HOST_START - 3599 * SECOND, VU_TELEMETRY_MESSAGE, -1, 5, 0, 0, 812000, ""},
		{3, HOST_START - 3599 * SECOND + 1000, VU_TELEMETRY_MEMORY, -1, 0, 0, 0, 2, ""},
		{4, HOST_START - 3598 * SECOND, VU_TELEMETRY_MESSAGE, 1, 12, 0, 0, 59000, ""},
		{5, HOST_START - 3598 * SECOND + 500, VU_TELEMETRY_START, 1, 0, 0, 0, 0, ""},
		{6, HOST_START - 3598 * SECOND + 900, VU_TELEMETRY_ENABLE, 1, 0, 0, 0, 1, ""},
		{7, HOST_START - 1800 * SECOND, VU_TELEMETRY_MESSAGE, 0, 24, -22, 0, 4000,
		 "not negotiated"},
		{8, HOST_START - 60 * SECOND, VU_TELEMETRY_STOP, 0, 0, 3, 0, 812, ""},
	};
	struct top_events *e = top_frame_add_events(f, VU_ARRAY_SIZE(events));

	assert_non_null(e);
	e->dev = 1;
	memcpy(e->events, events, sizeof(events));
}

static void add_rest(struct top_frame *f)
{
	static const struct top_holder holders[] = {{102, 100, 12, "vu-blk"},
						    {102, 500, 41, "qemu-system-x86"},
						    {103, 100, 13, "vu-blk"},
						    {103, 500, 42, "qemu-system-x86"}};

	for (size_t i = 0; i < VU_ARRAY_SIZE(holders); i++) {
		struct top_holder *h = top_frame_add_holder(f);

		assert_non_null(h);
		*h = holders[i];
	}
	for (uint32_t i = 0; i < 2; i++) {
		struct top_backing *b = top_frame_add_backing(f);

		assert_non_null(b);
		b->region = i;
		strcpy(b->what, "/memfd:mem (deleted)");
	}
}

struct top_frame *host_at(unsigned int second)
{
	struct vu__obs_snapshot *s = host_snapshot(HOST_START + second * SECOND);
	uint32_t dead = host_process(s, 50, "vu-blk", VU__OBS_BACKEND, VU__OBS_KIND_LIBVU);
	uint32_t blk = host_process(s, 100, "vu-blk", VU__OBS_BACKEND, VU__OBS_KIND_LIBVU);
	uint32_t net = host_process(s, 120, "vu-net", VU__OBS_BACKEND, VU__OBS_KIND_LIBVU);
	uint32_t qsd = host_process(s, 200, "qemu-storage-da", VU__OBS_BACKEND, VU__OBS_KIND_QSD);
	uint32_t fs = host_process(s, 300, "virtiofsd", VU__OBS_BACKEND, VU__OBS_KIND_VIRTIOFSD);
	uint32_t web = host_process(s, 500, "qemu-system-x86", VU__OBS_VMM, VU__OBS_KIND_QEMU);
	uint32_t db = host_process(s, 600, "qemu-system-x86", VU__OBS_VMM, VU__OBS_KIND_QEMU);
	struct top_frame *f;

	strcpy(s->procs[web].vm_name, "web7");
	strcpy(s->procs[db].vm_name, "db1");
	s->procs[web].vcpus_run = s->procs[db].vcpus_run = VU__OBS_YES;
	strcpy(s->procs[web].run_state, "running");
	strcpy(s->procs[db].run_state, "running");
	strcpy(s->procs[fs].trouble, "its file descriptors may not be looked at (CAP_SYS_PTRACE)");
	add_dead(s, dead);
	add_libvu(s, blk, net, web, second);
	add_foreign(s, qsd, db);
	f = host_frame(s);
	add_hists(f, second);
	if (second == 0)
		add_events(f);
	add_rest(f);
	return f;
}

struct top_model *host_model(unsigned int seconds)
{
	struct top_model *m = top_model_new(NULL);

	assert_non_null(m);
	for (unsigned int i = 0; i < seconds; i++)
		assert_int_equal(top_model_update(m, host_at(i)), 0);
	return m;
}

struct top_queue *host_find(const struct top_model *m, const char *device, unsigned int q)
{
	for (uint32_t i = 0; i < m->nqueues; i++) {
		if (!strcmp(m->queues[i]->dev->name, device) && m->queues[i]->q->index == q)
			return m->queues[i];
	}
	fail_msg("there is no %s:%u", device, q);
	return NULL;
}
