/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices that tell of themselves in a telemetry segment.  One thread at a time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <linux/virtio_ids.h>

#include "base/rundir.h"
#include "observe/packed.h"
#include "observe/sampleimpl.h"
#include "wire/spec.h"

/* --- files --- */

static void close_seg(struct vu__seg *seg)
{
	vu_telemetry_close(seg->t);
	free(seg->was);
	free(seg);
}

void vu__segs_release(struct vu__sampler *s)
{
	for (size_t i = 0; i < s->nsegs; i++)
		close_seg(s->segs[i]);
	free(s->segs);
	s->segs = NULL;
	s->nsegs = 0;
}

struct vu__seg *vu__segs_find(struct vu__sampler *s, pid_t pid, uint32_t number)
{
	size_t low = 0, high = s->nsegs;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct vu__found_segment *name = &s->segs[mid]->name;

		if (name->pid == pid && name->number == number)
			return s->segs[mid];
		if (name->pid < pid || (name->pid == pid && name->number < number))
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static void open_seg(struct vu__seg *seg)
{
	char path[sizeof(seg->name.dir) + sizeof(seg->name.name) + 1];
	int ret;

	snprintf(path, sizeof(path), "%s/%s", seg->name.dir, seg->name.name);
	ret = vu_telemetry_open(path, &seg->t, seg->why, sizeof(seg->why));
	if (ret) {
		seg->t = NULL;
		if (!seg->why[0])
			snprintf(seg->why, sizeof(seg->why), "%s", strerror(-ret));
		return;
	}
	seg->start_time = vu_telemetry_header(seg->t)->start_time;
	vu__seg_find_hists(seg);
	seg->nwas = vu_telemetry_header(seg->t)->queues;
	seg->was = calloc(seg->nwas ? seg->nwas : 1, sizeof(*seg->was));
	if (!seg->was) {
		vu_telemetry_close(seg->t);
		seg->t = NULL;
	}
}

static int compare_names(const struct vu__found_segment *a,
			 const struct vu__found_segment *b)
{
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return (a->number > b->number) - (a->number < b->number);
}

/* Merges the folder's list, which is sorted, into ours. */
static void merge(struct vu__sampler *s, const struct vu__found_segment *names, size_t n)
{
	struct vu__seg **now = calloc(n ? n : 1, sizeof(struct vu__seg *));
	size_t old = 0, count = 0;

	if (!now)
		return;
	for (size_t i = 0; i < n; i++) {
		struct vu__seg *seg = NULL;

		while (old < s->nsegs &&
		       compare_names(&s->segs[old]->name, &names[i]) < 0)
			close_seg(s->segs[old++]);
		if (old < s->nsegs && !compare_names(&s->segs[old]->name, &names[i]))
			seg = s->segs[old++];
		if (!seg)
			seg = calloc(1, sizeof(*seg));
		if (!seg)
			continue;
		seg->name = names[i];
		now[count++] = seg;
	}
	while (old < s->nsegs)
		close_seg(s->segs[old++]);
	free(s->segs);
	s->segs = now;
	s->nsegs = count;
}

static void list_if_changed(struct vu__sampler *s)
{
	const char *dir = s->opt.run_dir ? s->opt.run_dir : vu__run_dir();
	VU_CLEANUP_FREE struct vu__found_segment *names = NULL;
	struct stat st;
	ssize_t n;

	s->dir_trouble[0] = '\0';
	errno = ENOENT;
	if (!dir || stat(dir, &st) < 0) {
		vu__segs_release(s);
		memset(&s->dir_mtime, 0, sizeof(s->dir_mtime));
		if (errno != ENOENT)
			snprintf(s->dir_trouble, sizeof(s->dir_trouble), "%.100s: %s",
				 dir, strerror(errno));
		return;
	}
	/* A change within the clock's grain of the last list would not be seen. */
	if (!memcmp(&st.st_mtim, &s->dir_mtime, sizeof(st.st_mtim)))
		return;
	n = vu__find_segments(dir, &names);
	if (n < 0) {
		snprintf(s->dir_trouble, sizeof(s->dir_trouble),
			 "%.100s: %s: what libvu's back-ends tell cannot be read", dir,
			 strerror(-n));
		vu__segs_release(s);
		return;
	}
	merge(s, names, n);
	if (time(NULL) > st.st_mtim.tv_sec + 1)
		s->dir_mtime = st.st_mtim;
}

void vu__segs_update(struct vu__sampler *s)
{
	list_if_changed(s);
	for (size_t i = 0; i < s->nsegs; i++) {
		struct vu__seg *seg = s->segs[i];
		int ret = seg->t ? vu_telemetry_refresh(seg->t) : -ENOENT;

		/* The old one was replaced by one of the same name, or is damaged. */
		if (seg->t && ret) {
			vu_telemetry_close(seg->t);
			free(vu__steal_ptr(&seg->was));
			seg->t = NULL;
		}
		if (!seg->t)
			open_seg(seg);
	}
}

bool vu__segs_have(struct vu__sampler *s, pid_t pid, uint64_t inode)
{
	for (size_t i = 0; i < s->nsegs; i++) {
		struct vu_telemetry_device d;

		if (s->segs[i]->name.pid != pid || !s->segs[i]->t)
			continue;
		vu_telemetry_device(s->segs[i]->t, &d);
		if (d.block.sock_inode == inode)
			return true;
	}
	return false;
}

/* --- devices --- */

/* Until a machine's monitor says: what the back-end is called. */
static uint32_t type_by_name(const char *name)
{
	static const struct {
		const char *word;
		uint32_t id;
	} words[] = {{"blk", VIRTIO_ID_BLOCK},	 {"block", VIRTIO_ID_BLOCK},
		     {"disk", VIRTIO_ID_BLOCK},	 {"net", VIRTIO_ID_NET},
		     {"scsi", VIRTIO_ID_SCSI},	 {"fs", VIRTIO_ID_FS},
		     {"vsock", VIRTIO_ID_VSOCK}, {"gpu", VIRTIO_ID_GPU},
		     {"rng", VIRTIO_ID_RNG},	 {"input", VIRTIO_ID_INPUT}};

	for (size_t i = 0; i < VU_ARRAY_SIZE(words); i++) {
		if (strstr(name, words[i].word))
			return words[i].id;
	}
	return 0;
}

static enum vu__obs_phase phase_of(uint64_t migration)
{
	switch (migration) {
	case VU_TELEMETRY_MIGRATION_LOG:
		return VU__OBS_LOGGING;
	case VU_TELEMETRY_MIGRATION_POSTCOPY_ADVISE:
	case VU_TELEMETRY_MIGRATION_POSTCOPY_LISTEN:
		return VU__OBS_POSTCOPY;
	case VU_TELEMETRY_MIGRATION_SAVE:
		return VU__OBS_SAVING;
	case VU_TELEMETRY_MIGRATION_LOAD:
		return VU__OBS_LOADING;
	default:
		return VU__OBS_NOT_MIGRATING;
	}
}

/* The machine at the other end, and what its monitor calls the device. */
static void find_vmm(struct vu__taking *t, const struct vu__seg *seg,
		     const struct vu_telemetry_device_block *b, uint32_t dev)
{
	const struct vu__found *found = t->s->found;
	struct vu__procfs_stat st;
	int64_t vmm = -1;
	int ret = 0;

	for (size_t i = 0; found && i < found->nlinks; i++) {
		const struct vu__found_link *l = &found->links[i];
		const struct vu__found_proc *p;

		if (l->inode != b->sock_inode || l->vmm < 0 ||
		    found->procs[l->backend]->pid != seg->name.pid)
			continue;
		p = found->procs[l->vmm];
		vmm = vu__take_process(t, p->pid, p->start_time, VU__OBS_VMM, p->kind);
		if (l->qmp_device >= 0)
			t->snap->devs[dev].virtio_id =
				p->vm.devs[l->qmp_device].virtio_id;
	}
	/* One process is often at the other end of many. */
	for (uint32_t i = 0; vmm < 0 && i < t->snap->nprocs; i++) {
		if (t->snap->procs[i].pid == (pid_t)b->peer_pid &&
		    t->snap->procs[i].alive)
			vmm = vu__take_process(t, b->peer_pid,
					       t->snap->procs[i].start_time, VU__OBS_VMM,
					       VU__OBS_KIND_OTHER);
	}
	if (vmm < 0 && b->peer_pid && b->peer_pid <= INT32_MAX) {
		ret = vu__procfs_stat(&t->s->proc, b->peer_pid, 0, &st);
		if (!ret)
			vmm = vu__take_process(t, b->peer_pid, st.start_time, VU__OBS_VMM,
					       VU__OBS_KIND_OTHER);
	}
	t->snap->devs[dev].vmm = vmm < 0 ? -1 : vmm;
	t->snap->devs[dev].peer_gone = ret == -ENOENT || ret == -ESRCH;
}

static void take_regions(struct vu__taking *t, const struct vu_telemetry_device_block *b,
			 uint32_t dev)
{
	uint64_t n = VU_MIN(b->regions, (uint64_t)VU_TELEMETRY_REGIONS);

	for (uint64_t i = 0; i < n; i++) {
		struct vu__obs_region *r = vu__take_region(t);

		if (!r)
			return;
		*r = (struct vu__obs_region){.gpa = b->region[i].gpa,
					     .size = b->region[i].size,
					     .uaddr = b->region[i].uaddr,
					     .addr = b->region[i].host};
		t->snap->devs[dev].nregions++;
	}
}

static void take_device(struct vu__taking *t, struct vu__seg *seg, uint32_t dev)
{
	struct vu__obs_device *d = &t->snap->devs[dev];
	const struct vu_telemetry_header *h = vu_telemetry_header(seg->t);
	struct vu_telemetry_device td;
	const struct vu_telemetry_device_block *b = &td.block;

	vu_telemetry_device(seg->t, &td);
	t->snap->retries += td.torn;
	seg->control_tid = VU_MIN(b->control_tid, (uint64_t)INT32_MAX);
	d->from = VU__OBS_TELEMETRY;
	d->number = seg->name.number;
	d->generation = h->generation;
	d->connected = b->broken || b->gone ? VU__OBS_NO : VU__OBS_YES;
	d->phase = phase_of(b->migration);
	d->log_on = b->migration == VU_TELEMETRY_MIGRATION_LOG;
	memcpy(d->name, b->name, sizeof(d->name));
	snprintf(d->socket, sizeof(d->socket), "%.*s", (int)sizeof(d->socket) - 1,
		 b->socket);
	d->socket_inode = b->sock_inode;
	d->features = b->features;
	d->protocol_features = b->protocol_features;
	d->connected_ns = b->connected;
	d->messages = b->messages;
	d->last_message_ns = b->last_message;
	d->last_message = b->serving;
	take_regions(t, b, dev);
	find_vmm(t, seg, b, dev);
	d = &t->snap->devs[dev];
	if (!d->virtio_id)
		d->virtio_id = type_by_name(d->name[0] ? d->name : h->process);
}

/* --- queues --- */

static enum vu__obs_tri tri(uint64_t state, uint64_t bit)
{
	return state & bit ? VU__OBS_YES : VU__OBS_NO;
}

static void take_setup(struct vu__obs_queue *q, const struct vu_telemetry_config *c,
		       const struct vu__obs_device *d)
{
	struct vu__obs_setup *s = &q->setup;

	q->from[VU__OBS_SETUP] = VU__OBS_TELEMETRY;
	s->size = VU_MIN(c->size, (uint64_t)UINT32_MAX);
	s->packed = c->state & VU_TELEMETRY_PACKED;
	s->event_idx = c->state & VU_TELEMETRY_EVENT_IDX;
	s->started = tri(c->state, VU_TELEMETRY_STARTED);
	s->enabled = tri(c->state, VU_TELEMETRY_ENABLED);
	s->broken = c->state & VU_TELEMETRY_BROKEN;
	snprintf(s->why, sizeof(s->why), "%.*s", (int)sizeof(c->broken), c->broken);
	s->base = c->start_avail;
	s->features = d->features;
	s->desc = c->desc;
	s->avail = c->avail;
	s->used = c->used;
	s->started_ns = c->last_start;
	s->stopped_ns = c->last_stop;
	s->enabled_ns = c->last_enable;
	s->generation = d->generation;
	q->kick.fd = c->kick_fd < 0 ? VU__OBS_FD_NONE : c->kick_fd;
	q->call.fd = c->call_fd < 0 ? VU__OBS_FD_NONE : c->call_fd;
	q->err.fd = c->err_fd < 0 ? VU__OBS_FD_NONE : c->err_fd;
	q->kick.id = c->kick_id;
	q->call.id = c->call_id;
	q->err.id = c->err_id;
}

static void count(struct vu__obs_queue *q, enum vu__obs_counter c, uint64_t value)
{
	q->have_counter |= VU_BIT(c);
	q->counter[c] = value;
}

static void take_counters(struct vu__obs_queue *q, const struct vu_telemetry_queue *tq)
{
	const struct vu_telemetry_counters *c = &tq->counters;

	q->from[VU__OBS_COUNTERS] = VU__OBS_TELEMETRY;
	count(q, VU__OBS_KICKS, c->kicks);
	count(q, VU__OBS_KICK_VALUES, c->kick_values);
	count(q, VU__OBS_WAKEUPS, c->wakeups);
	count(q, VU__OBS_EMPTY_WAKEUPS, tq->wakeups_empty);
	count(q, VU__OBS_POPPED, c->popped);
	count(q, VU__OBS_COMPLETED, c->completed);
	count(q, VU__OBS_FAILED, c->failed);
	count(q, VU__OBS_DROPPED, c->dropped);
	count(q, VU__OBS_UNPOPPED, c->unpopped);
	count(q, VU__OBS_CHAINS, c->chains);
	count(q, VU__OBS_DESCRIPTORS, c->descriptors);
	count(q, VU__OBS_INDIRECT, c->indirect);
	count(q, VU__OBS_BYTES_OUT, c->bytes_from_guest);
	count(q, VU__OBS_BYTES_IN, c->bytes_to_guest);
	count(q, VU__OBS_BATCHES, c->batches);
	count(q, VU__OBS_LOOKS_EMPTY, c->looks_empty);
	count(q, VU__OBS_CALLS, c->calls);
	count(q, VU__OBS_NOCALL_FLAG, c->calls_flag);
	count(q, VU__OBS_NOCALL_EVENT, c->calls_event);
	count(q, VU__OBS_NOCALL_MASKED, c->calls_masked);
	count(q, VU__OBS_NOCALL_NOFD, c->calls_no_fd);
	count(q, VU__OBS_CALL_ERRORS, c->calls_failed);
	count(q, VU__OBS_RING_FULL, c->ring_full);
	count(q, VU__OBS_FAULTS, c->translation_faults);
	count(q, VU__OBS_PAGES_FIRST, c->pages_first);
	count(q, VU__OBS_PAGES_AGAIN, c->pages_again);
}

static void take_times(struct vu__obs_queue *q, const struct vu_telemetry_queue *tq)
{
	const struct vu_telemetry_counters *c = &tq->counters;
	uint64_t since = c->completed > c->called ? c->completed - c->called : 0;

	q->from[VU__OBS_TIMES] = VU__OBS_TELEMETRY;
	q->times = (struct vu__obs_times){.kick_ns = c->last_kick,
					  .wake_ns = c->last_wakeup,
					  .pop_ns = c->last_pop,
					  .push_ns = c->last_push,
					  .call_ns = c->last_call,
					  .in_flight_max = c->inflight_max,
					  .called_used_idx =
						  c->used_idx - VU_MIN(since, 0xffffu),
					  .untold = VU_MIN(since, (uint64_t)UINT32_MAX)};
	q->worker.tid = VU_MIN(c->worker_tid, (uint64_t)INT32_MAX);
}

/* The address in the back-end of what the front-end calls @uaddr; 0: not in its memory.
 */
static uint64_t translate(const struct vu__obs_snapshot *snap,
			  const struct vu__obs_device *d, uint64_t uaddr)
{
	for (uint32_t i = 0; i < d->nregions; i++) {
		const struct vu__obs_region *r = &snap->regions[d->first_region + i];

		if (uaddr >= r->uaddr && uaddr - r->uaddr < r->size)
			return r->addr + (uaddr - r->uaddr);
	}
	return 0;
}

/* A ring that was stopped is still where it was. */
static void place_stopped(const struct vu__obs_snapshot *snap, struct vu__obs_queue *q,
			  const struct vu_telemetry_config *c)
{
	const struct vu__obs_device *d = vu__obs_device_of(snap, q);

	if (q->setup.avail || !(c->state & VU_TELEMETRY_HAS_ADDR) || !c->generation)
		return;
	q->setup.desc = translate(snap, d, c->desc_uaddr);
	q->setup.avail = translate(snap, d, c->avail_uaddr);
	q->setup.used = translate(snap, d, c->used_uaddr);
}

static bool is_used(const struct vu_telemetry_queue *tq)
{
	return tq->config.size || tq->config.state & ~(uint64_t)VU_TELEMETRY_ENABLED ||
	       tq->counters.popped;
}

static uint16_t last_avail_of(const struct vu_telemetry_queue *tq)
{
	/* In a packed ring it is the lower half of what the stop was answered with. */
	if (!(tq->config.state & VU_TELEMETRY_LIVE) && tq->config.last_stop)
		return tq->config.stop_avail;
	return tq->config.state & VU_TELEMETRY_PACKED ? tq->counters.avail_place
						      : tq->counters.avail_idx;
}

static int take_queue(struct vu__taking *t, struct vu__seg *seg, unsigned int index,
		      const struct vu_telemetry_queue *tq, bool alive)
{
	struct vu__peek *peek;
	struct vu__obs_queue *q = vu__take_queue(t, &seg->was[index], &peek);
	const struct vu__obs_device *d;

	if (!q)
		return -ENOMEM;
	d = vu__obs_device_of(t->snap, q);
	q->index = index;
	q->mono_ns = vu_telemetry_taken(seg->t);
	t->snap->retries += tq->torn;
	take_setup(q, &tq->config, d);
	take_counters(q, tq);
	take_times(q, tq);
	place_stopped(t->snap, q, &tq->config);
	q->setup.memory_of = seg->name.pid;
	q->ring.last_avail = last_avail_of(tq);
	q->ring.in_flight = VU_MIN(tq->inflight, (uint64_t)UINT32_MAX);
	if (alive && q->setup.avail && q->setup.used && q->setup.size && !tq->torn)
		*peek = (struct vu__peek){.pid = seg->name.pid,
					  .size = q->setup.size,
					  .packed = q->setup.packed,
					  .event_idx = q->setup.event_idx,
					  .desc = q->setup.desc,
					  .avail = q->setup.avail,
					  .used = q->setup.used,
					  .told = true,
					  .last_avail = q->ring.last_avail,
					  .used_place = tq->counters.used_place};
	return 0;
}

static int take_queues(struct vu__taking *t, struct vu__seg *seg, uint32_t dev,
		       bool alive)
{
	unsigned int n = vu_telemetry_header(seg->t)->queues;
	struct vu__obs_device *d = &t->snap->devs[dev];

	for (unsigned int i = 0; i < n && i < seg->nwas; i++) {
		struct vu_telemetry_queue tq;
		int ret;

		if (vu_telemetry_queue(seg->t, i, &tq) || !is_used(&tq))
			continue;
		ret = take_queue(t, seg, i, &tq, alive);
		if (ret)
			return ret;
		d->nqueues++;
	}
	for (uint32_t i = 0; i < d->nqueues; i++) {
		struct vu__obs_queue *q = &t->snap->queues[d->first_queue + i];

		q->role =
			vu__obs_role_of(d->virtio_id, q->index, d->nqueues, d->features);
	}
	return 0;
}

/* A file that cannot be read, but whose process is there, is worth a line. */
static int take_unreadable(struct vu__taking *t, struct vu__seg *seg)
{
	struct vu__procfs_stat st;
	int64_t proc;

	if (vu__procfs_stat(&t->s->proc, seg->name.pid, 0, &st))
		return 0;
	proc = vu__take_process(t, seg->name.pid, st.start_time, VU__OBS_BACKEND,
				VU__OBS_KIND_LIBVU);
	if (proc < 0)
		return proc;
	snprintf(t->snap->procs[proc].trouble, sizeof(t->snap->procs[proc].trouble),
		 "%s: %.90s", seg->name.name, seg->why);
	return 0;
}

int vu__seg_take(struct vu__taking *t, struct vu__seg *seg)
{
	const struct vu_telemetry_header *h;
	struct vu__obs_device *d;
	struct vu__obs_process *p;
	int64_t proc;

	if (!seg->t)
		return take_unreadable(t, seg);
	h = vu_telemetry_header(seg->t);
	proc = vu__take_process(t, seg->name.pid, h->start_time, VU__OBS_BACKEND,
				VU__OBS_KIND_LIBVU);
	if (proc < 0)
		return proc;
	d = vu__take_device(t, seg, NULL);
	if (!d)
		return -ENOMEM;
	d->proc = proc;
	p = &t->snap->procs[proc];
	if (!p->comm[0])
		memcpy(p->comm, h->process, sizeof(p->comm));
	seg->alive = p->alive;
	take_device(t, seg, t->snap->ndevs - 1);
	return take_queues(t, seg, t->snap->ndevs - 1, seg->alive);
}

/* --- after its ring was read --- */

static bool seen_again(struct vu__taking *t, struct vu__seg *seg, uint16_t index,
		       struct vu_telemetry_queue *tq)
{
	t->snap->retries++;
	return !vu_telemetry_refresh(seg->t) && !vu_telemetry_queue(seg->t, index, tq);
}

static void place_split(struct vu__taking *t, struct vu__seg *seg,
			struct vu__obs_queue *q, struct vu__peek *p, uint16_t last)
{
	struct vu_telemetry_queue tq;
	uint16_t again = last;

	/* It may just have gone on since the segment was read. */
	if (((uint16_t)(p->ring.avail_idx - last) > p->size ||
	     (uint16_t)(last - p->ring.used_idx) > p->size) &&
	    seen_again(t, seg, q->index, &tq))
		again = last_avail_of(&tq);
	vu__peek_place(&q->ring, p->size, last, again);
}

static void place_packed(struct vu__taking *t, struct vu__seg *seg,
			 struct vu__obs_queue *q, struct vu__peek *p, uint16_t last)
{
	const struct vu__obs_ring *r = &p->ring;
	struct vu_telemetry_queue tq;

	if ((vu__circle_steps(r->last_avail, r->avail_idx, p->size) > p->size ||
	     vu__circle_steps(r->used_idx, r->last_avail, p->size) > p->size) &&
	    seen_again(t, seg, q->index, &tq) && last_avail_of(&tq) != last)
		q->ring.torn = true;
}

void vu__seg_place(struct vu__taking *t, struct vu__seg *seg, struct vu__obs_queue *q,
		   struct vu__peek *p, const struct vu__obs_ring *told)
{
	q->from[VU__OBS_POSITION] = VU__OBS_TELEMETRY;
	if (p->packed) {
		place_packed(t, seg, q, p, told->last_avail);
		q->ring.in_flight = told->in_flight;
	} else {
		place_split(t, seg, q, p, told->last_avail);
	}
	count(q, VU__OBS_AVAILABLE,
	      q->counter[VU__OBS_POPPED] - q->counter[VU__OBS_UNPOPPED] +
		      q->ring.pending);
}
