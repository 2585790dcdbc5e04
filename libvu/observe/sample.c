/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot: devices from segments and connections, in order; then all rings at once;
 * then what that showed to be needed.  One thread at a time.
 */
#include "observe/sample.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "observe/sampleimpl.h"

#define FIND_EVERY_MS	  2000
#define MONITOR_BUDGET_MS 400

/* --- made and ended --- */

struct vu__sampler *vu__sampler_new(const struct vu__sample_options *options)
{
	struct vu__sampler *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return NULL;
	if (options)
		s->opt = *options;
	if (!s->opt.find_every_ms)
		s->opt.find_every_ms = FIND_EVERY_MS;
	if (!s->opt.monitor_budget_ms)
		s->opt.monitor_budget_ms = MONITOR_BUDGET_MS;
	ret = vu__procfs_open(&s->proc, NULL);
	if (!ret)
		s->proc.kept = vu__kept_new();
	if (!ret && !s->opt.libvu_only) {
		s->find = vu__find_new(NULL);
		ret = s->find ? 0 : -errno;
	}
	if (ret) {
		vu__sampler_free(s);
		errno = -ret;
		return NULL;
	}
	return s;
}

void vu__sampler_free(struct vu__sampler *s)
{
	if (!s)
		return;
	vu__segs_release(s);
	vu__foreign_release(s);
	vu__find_free(s->find);
	vu__procfs_close(&s->proc);
	free(s->who);
	free(s);
}

void vu__sampler_find_now(struct vu__sampler *s)
{
	s->find_at = 0;
}

void vu__sample_set_focus(struct vu__sampler *s, const struct vu__sample_focus *focus)
{
	s->has_focus = focus;
	if (focus)
		s->focus = *focus;
}

void vu__snapshot_free(struct vu__obs_snapshot *snap)
{
	if (!snap)
		return;
	free(snap->procs);
	free(snap->devs);
	free(snap->queues);
	free(snap->regions);
	free(snap);
}

/* --- room --- */

/* One more element, zeroed, in an array of @n with room for *@room. */
static void *grow(void **array, uint32_t *n, uint32_t *room, uint32_t first, size_t size)
{
	char *one;

	if (*n == *room) {
		/* Nearly always there are as many as the last time. */
		uint32_t more = *n ? 2 * *room : VU_MAX(first, 64u);
		void *bigger = reallocarray(*array, more, size);

		if (!bigger)
			return NULL;
		*array = bigger;
		*room = more;
	}
	one = (char *)*array + (size_t)(*n)++ * size;
	memset(one, 0, size);
	return one;
}

struct vu__obs_region *vu__take_region(struct vu__taking *t)
{
	return grow((void **)&t->snap->regions, &t->snap->nregions, &t->regions_room,
		    t->s->regions_room, sizeof(*t->snap->regions));
}

struct vu__obs_device *vu__take_device(struct vu__taking *t, struct vu__seg *seg,
				       struct vu__foreign *foreign)
{
	uint32_t n = t->snap->ndevs, room = t->devs_room;
	struct vu__obs_device *d;
	struct vu__seg **segs;
	struct vu__foreign **foreigns;

	d = grow((void **)&t->snap->devs, &t->snap->ndevs, &t->devs_room, t->s->devs_room,
		 sizeof(*d));
	if (!d)
		return NULL;
	if (room != t->devs_room) {
		segs = reallocarray(t->seg_of, t->devs_room, sizeof(struct vu__seg *));
		if (segs)
			t->seg_of = segs;
		foreigns = reallocarray(t->foreign_of, t->devs_room,
					sizeof(struct vu__foreign *));
		if (foreigns)
			t->foreign_of = foreigns;
		if (!segs || !foreigns) {
			t->snap->ndevs--;
			t->devs_room = room;
			return NULL;
		}
	}
	t->seg_of[n] = seg;
	t->foreign_of[n] = foreign;
	d->vmm = -1;
	d->first_queue = t->snap->nqueues;
	d->first_region = t->snap->nregions;
	return d;
}

struct vu__obs_queue *vu__take_queue(struct vu__taking *t, struct vu__was *was,
				     struct vu__peek **peek)
{
	uint32_t n = t->snap->nqueues, room = t->queues_room;
	struct vu__obs_queue *q;

	q = grow((void **)&t->snap->queues, &t->snap->nqueues, &t->queues_room,
		 t->s->queues_room, sizeof(*q));
	if (!q)
		return NULL;
	if (room != t->queues_room) {
		struct vu__was **wases =
			reallocarray(t->was, t->queues_room, sizeof(struct vu__was *));
		struct vu__peek *peeks;

		if (wases)
			t->was = wases;
		peeks = reallocarray(t->peeks, t->queues_room, sizeof(*peeks));
		if (peeks)
			t->peeks = peeks;
		if (!wases || !peeks) {
			t->snap->nqueues--;
			t->queues_room = room;
			return NULL;
		}
	}
	t->was[n] = was;
	memset(&t->peeks[n], 0, sizeof(t->peeks[n]));
	*peek = &t->peeks[n];
	q->kick.fd = q->call.fd = q->err.fd = VU__OBS_FD_UNKNOWN;
	q->kick.id = q->call.id = q->err.id = -1;
	q->dev = t->snap->ndevs - 1;
	q->mono_ns = vu__obs_now();
	return q;
}

/* --- processes --- */

#define CMDLINE_BYTES 16384

static struct vu__who *who_is(struct vu__sampler *s, pid_t pid, uint64_t start_time)
{
	VU_CLEANUP_FREE char *raw = NULL;
	struct vu__who *w;
	ssize_t n = 0;

	for (size_t i = 0; i < s->nwho; i++) {
		if (s->who[i].pid == pid && s->who[i].start_time == start_time)
			return &s->who[i];
	}
	w = reallocarray(s->who, s->nwho + 1, sizeof(*w));
	if (!w)
		return NULL;
	s->who = w;
	w = &s->who[s->nwho++];
	memset(w, 0, sizeof(*w));
	w->pid = pid;
	w->start_time = start_time;
	if (vu__procfs_uid(&s->proc, pid, &w->uid))
		w->uid = -1;
	/* Machines have long ones. */
	raw = malloc(CMDLINE_BYTES);
	if (raw)
		n = vu__procfs_cmdline(&s->proc, pid, raw, CMDLINE_BYTES);
	if (n > 0)
		vu__find_vm_name(raw, n, w->vm_name, sizeof(w->vm_name));
	n = VU_MIN(n, (ssize_t)sizeof(w->cmdline));
	for (ssize_t i = 0; i < n; i++)
		raw[i] = raw[i] ? raw[i] : ' ';
	while (n > 0 && raw[n - 1] == ' ')
		n--;
	vu__procfs_copy_text(w->cmdline, sizeof(w->cmdline), raw, n > 0 ? n : 0);
	return w;
}

static void forget_strangers(struct vu__sampler *s)
{
	size_t to = 0;

	for (size_t i = 0; i < s->nwho; i++) {
		if (s->who[i].used)
			s->who[to++] = s->who[i];
	}
	for (size_t i = 0; i < to; i++)
		s->who[i].used = false;
	s->nwho = to;
}

static void describe_process(struct vu__sampler *s, struct vu__obs_process *p)
{
	struct vu__who *w = who_is(s, p->pid, p->start_time);
	struct vu__procfs_stat st;

	p->uid = -1;
	if (w)
		w->used = true;
	if (vu__procfs_stat(&s->proc, p->pid, 0, &st) || st.start_time != p->start_time ||
	    st.state == 'Z' || st.state == 'X')
		return;
	p->alive = true;
	p->state = st.state;
	p->nthreads = st.nthreads;
	p->cpu_ns = st.cpu_ticks * (1000000000u / s->proc.ticks_per_s);
	memcpy(p->comm, st.comm, sizeof(p->comm));
	if (w) {
		p->uid = w->uid;
		memcpy(p->cmdline, w->cmdline, sizeof(p->cmdline));
		/* Also of one that is no back-end's front-end any more. */
		if (p->roles & VU__OBS_VMM)
			memcpy(p->vm_name, w->vm_name, sizeof(p->vm_name));
	}
}

static const struct vu__found_proc *found_proc(const struct vu__sampler *s, pid_t pid,
					       uint64_t start_time)
{
	for (size_t i = 0; s->found && i < s->found->nprocs; i++) {
		const struct vu__found_proc *p = s->found->procs[i];

		if (p->pid == pid && p->start_time == start_time)
			return p;
	}
	return NULL;
}

static void describe_found(const struct vu__found_proc *f, struct vu__obs_process *p)
{
	if (p->kind == VU__OBS_KIND_OTHER)
		p->kind = f->kind;
	memcpy(p->trouble, f->trouble, sizeof(p->trouble));
	if (!(f->roles & VU__OBS_VMM))
		return;
	p->kvm = f->kvm ? VU__OBS_YES : VU__OBS_NO;
	if (f->vm_name[0])
		memcpy(p->vm_name, f->vm_name, sizeof(p->vm_name));
	memcpy(p->qmp_socket, f->qmp_socket, sizeof(p->qmp_socket));
	memcpy(p->qmp_trouble, f->qmp_trouble, sizeof(p->qmp_trouble));
	if (!f->qmp_known)
		return;
	memcpy(p->vm_uuid, f->vm.uuid, sizeof(p->vm_uuid));
	/* What a monitor said before it fell silent may hold no longer. */
	if (!f->qmp_trouble[0]) {
		memcpy(p->run_state, f->vm.run_state, sizeof(p->run_state));
		p->vcpus_run = f->vm.running ? VU__OBS_YES : VU__OBS_NO;
	}
}

int64_t vu__take_process(struct vu__taking *t, pid_t pid, uint64_t start_time,
			 uint8_t role, enum vu__obs_kind kind)
{
	struct vu__obs_snapshot *snap = t->snap;
	const struct vu__found_proc *f;
	struct vu__obs_process *p;

	/* Devices of a process come one after the other. */
	for (uint32_t i = snap->nprocs; i-- > 0;) {
		p = &snap->procs[i];
		if (p->pid == pid && p->start_time == start_time) {
			p->roles |= role;
			p->kind = p->kind == VU__OBS_KIND_OTHER ? kind : p->kind;
			return i;
		}
	}
	p = grow((void **)&snap->procs, &snap->nprocs, &t->procs_room, t->s->procs_room,
		 sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->pid = pid;
	p->start_time = start_time;
	p->roles = role;
	p->kind = kind;
	describe_process(t->s, p);
	f = found_proc(t->s, pid, start_time);
	if (f)
		describe_found(f, p);
	return snap->nprocs - 1;
}

/* --- order --- */

static int compare_processes(const void *a, const void *b)
{
	const struct vu__obs_process *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return (x->start_time > y->start_time) - (x->start_time < y->start_time);
}

/* Sorts processes; devices are in their order already, but name the old places. */
static int sort_processes(struct vu__obs_snapshot *snap)
{
	VU_CLEANUP_FREE struct vu__obs_process *old = NULL;
	VU_CLEANUP_FREE int32_t *now = NULL;

	if (!snap->nprocs)
		return 0;
	old = malloc(snap->nprocs * sizeof(*old));
	now = malloc(snap->nprocs * sizeof(*now));
	if (!old || !now)
		return -ENOMEM;
	memcpy(old, snap->procs, snap->nprocs * sizeof(*old));
	qsort(snap->procs, snap->nprocs, sizeof(*snap->procs), compare_processes);
	for (uint32_t i = 0; i < snap->nprocs; i++) {
		const struct vu__obs_process *p =
			bsearch(&old[i], snap->procs, snap->nprocs, sizeof(*p),
				compare_processes);

		now[i] = p - snap->procs;
	}
	for (uint32_t i = 0; i < snap->ndevs; i++) {
		struct vu__obs_device *d = &snap->devs[i];
		struct vu__obs_process *p = &snap->procs[now[d->proc]];

		d->proc = now[d->proc];
		d->vmm = d->vmm < 0 ? -1 : now[d->vmm];
		if (!p->ndevs++)
			p->first_dev = i;
	}
	return 0;
}

/* --- taking --- */

static void find_if_due(struct vu__sampler *s)
{
	int64_t now = vu__now_ms();
	int ret;

	if (!s->find || now < s->find_at)
		return;
	ret = vu__find_look(s->find, s->opt.monitor_budget_ms, &s->found);
	if (ret)
		s->found = NULL;
	snprintf(s->find_trouble, sizeof(s->find_trouble), "%s",
		 ret ? strerror(-ret) : s->found->trouble);
	s->find_at = vu__now_ms() + s->opt.find_every_ms;
}

/* True if the segment comes first; both lists are sorted. */
static bool seg_first(const struct vu__sampler *s, size_t i, size_t j)
{
	if (i == s->nsegs)
		return false;
	if (j == s->nforeign)
		return true;
	if (s->segs[i]->name.pid != s->foreign[j]->pid)
		return s->segs[i]->name.pid < s->foreign[j]->pid;
	return s->segs[i]->name.number <= s->foreign[j]->number;
}

static int take_devices(struct vu__taking *t)
{
	struct vu__sampler *s = t->s;
	size_t i = 0, j = 0;
	int ret = 0;

	while (!ret && (i < s->nsegs || j < s->nforeign)) {
		if (seg_first(s, i, j))
			ret = vu__seg_take(t, s->segs[i++]);
		else
			ret = vu__foreign_take(t, s->foreign[j++]);
	}
	return ret;
}

static void take_ring(struct vu__taking *t, uint32_t i)
{
	struct vu__obs_queue *q = &t->snap->queues[i];
	struct vu__obs_ring told = q->ring;
	struct vu__peek *p = &t->peeks[i];

	if (!p->size)
		return;
	if (p->ret) {
		t->snap->missed++;
		return;
	}
	q->mono_ns = p->mono_ns;
	q->ring = p->ring;
	q->from[VU__OBS_RING] = VU__OBS_PEEK;
	if (t->seg_of[q->dev])
		vu__seg_place(t, t->seg_of[q->dev], q, p, &told);
	else
		vu__foreign_place(t->foreign_of[q->dev], q, p);
}

static void complain(struct vu__sampler *s, struct vu__obs_snapshot *snap)
{
	snprintf(snap->trouble, sizeof(snap->trouble), "%s",
		 s->dir_trouble[0] ? s->dir_trouble : s->find_trouble);
}

/* What was seen is what will have been. */
static void remember(struct vu__taking *t)
{
	for (uint32_t i = 0; i < t->snap->nqueues; i++) {
		const struct vu__obs_queue *q = &t->snap->queues[i];
		struct vu__was *w = t->was[i];

		w->popped = q->counter[VU__OBS_POPPED];
		w->completed = q->counter[VU__OBS_COMPLETED];
		w->avail_idx = q->ring.avail_idx;
		w->used_idx = q->ring.used_idx;
		w->last_avail = q->ring.last_avail;
		w->seen = true;
	}
}

static int take(struct vu__taking *t)
{
	struct vu__sampler *s = t->s;
	int ret;

	find_if_due(s);
	vu__segs_update(s);
	vu__foreign_update(s);
	ret = take_devices(t);
	if (ret)
		return ret;
	vu__peek_rings(t->peeks, t->snap->nqueues);
	for (uint32_t i = 0; i < t->snap->nqueues; i++)
		take_ring(t, i);
	ret = sort_processes(t->snap);
	if (ret)
		return ret;
	vu__more_heirs(t->snap);
	vu__more_take(t);
	remember(t);
	forget_strangers(s);
	if (s->proc.kept)
		vu__kept_turn(s->proc.kept);
	complain(s, t->snap);
	return 0;
}

int vu__sample_take(struct vu__sampler *s, struct vu__obs_snapshot **out)
{
	struct vu__taking t = {.s = s};
	struct timespec real;
	int ret;

	*out = NULL;
	t.snap = calloc(1, sizeof(*t.snap));
	if (!t.snap)
		return -ENOMEM;
	t.snap->mono_ns = vu__obs_now();
	clock_gettime(CLOCK_REALTIME, &real);
	t.snap->real_ns = real.tv_sec * 1000000000ULL + real.tv_nsec;
	ret = take(&t);
	t.snap->took_ns = vu__obs_now() - t.snap->mono_ns;
	s->procs_room = t.procs_room;
	s->devs_room = t.devs_room;
	s->queues_room = t.queues_room;
	s->regions_room = t.regions_room;
	free(t.was);
	free(t.peeks);
	free(t.more);
	free(t.seg_of);
	free(t.foreign_of);
	if (ret)
		vu__snapshot_free(t.snap);
	else
		*out = t.snap;
	return ret;
}

/* --- between snapshots --- */

unsigned int vu__sample_tick_ms(const struct vu__sampler *s)
{
	unsigned int ms = 1000;

	for (size_t i = 0; i < s->nforeign; i++) {
		const struct vu__foreign *f = s->foreign[i];

		for (uint32_t q = 0; q < f->nqueues; q++) {
			ms = VU_MIN(ms, vu__obs_index_patience(&f->queues[q].avail));
			ms = VU_MIN(ms, vu__obs_index_patience(&f->queues[q].used));
		}
	}
	return ms;
}

/* Looks at the rings of one kind; whether there are any of the other. */
static bool look_at_rings(struct vu__sampler *s, bool split, bool packed)
{
	bool others = false;

	for (size_t i = 0; i < s->nforeign; i++) {
		struct vu__foreign *f = s->foreign[i];

		for (uint32_t n = 0; n < f->nqueues; n++) {
			struct vu__fq *q = &f->queues[n];
			struct vu__peek p = {.size = 0};

			vu__foreign_peek(f, q, &p);
			if (!p.size)
				continue;
			if (p.packed ? !packed : !split) {
				others = true;
				continue;
			}
			vu__peek_rings(&p, 1);
			if (!p.ret)
				vu__foreign_see(q, &p);
		}
	}
	return others;
}

void vu__sample_tick(struct vu__sampler *s)
{
	static const struct timespec close = {.tv_nsec = VU__OBS_CLOSE_NS};

	if (!look_at_rings(s, true, false))
		return;
	/* Twice, for their pace. */
	look_at_rings(s, false, true);
	nanosleep(&close, NULL);
	look_at_rings(s, false, true);
}

/* --- of one device --- */

int vu__sample_events(struct vu__sampler *s, pid_t pid, uint32_t device,
		      struct vu_telemetry_event *out, unsigned int room, uint64_t *lost)
{
	struct vu__seg *seg = vu__segs_find(s, pid, device);

	return seg && seg->t ? vu_telemetry_events(seg->t, out, room, lost) : -ENOENT;
}

int vu__sample_watch(struct vu__sampler *s, pid_t pid, uint32_t device,
		     unsigned int seconds)
{
	struct vu__seg *seg = vu__segs_find(s, pid, device);

	return seg && seg->t ? vu_telemetry_watch(seg->t, seconds) : -ENOENT;
}
