/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices of back-ends that tell nothing: what the machine's monitor says of their
 * rings, the rings in the machine's memory, eventfds by their order.  One thread at a
 * time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "observe/sampleimpl.h"
#include "wire/spec.h"

/* Numbers of such devices in a process that has others with telemetry. */
#define NUMBER_APART 65536u

static void drop(struct vu__foreign *f)
{
	free(f->queues);
	free(f);
}

void vu__foreign_release(struct vu__sampler *s)
{
	for (size_t i = 0; i < s->nforeign; i++)
		drop(s->foreign[i]);
	free(s->foreign);
	s->foreign = NULL;
	s->nforeign = 0;
}

/* --- which there are --- */

static int compare(const void *a, const void *b)
{
	const struct vu__foreign *x = *(struct vu__foreign *const *)a;
	const struct vu__foreign *y = *(struct vu__foreign *const *)b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

static bool is_of(const struct vu__foreign *f, const struct vu__found_proc *p)
{
	return f->pid == p->pid && f->start_time == p->start_time;
}

/* A device keeps its number while its socket has the same path, over reconnections. */
static struct vu__foreign *look_up(struct vu__sampler *s, const struct vu__found_proc *p,
				   const struct vu__found_link *l)
{
	for (size_t i = 0; i < s->nforeign; i++) {
		struct vu__foreign *f = s->foreign[i];

		if (!f->there && is_of(f, p) &&
		    (f->inode == l->inode ||
		     (l->path[0] && !strcmp(f->link.path, l->path))))
			return f;
	}
	return NULL;
}

static uint32_t free_number(const struct vu__sampler *s, const struct vu__found_proc *p)
{
	uint32_t number = 0;

	for (size_t i = 0; i < s->nsegs; i++)
		number = s->segs[i]->name.pid == p->pid ? NUMBER_APART : number;
	for (size_t i = 0; i < s->nforeign; i++) {
		const struct vu__foreign *f = s->foreign[i];

		if (is_of(f, p) && f->number >= number)
			number = f->number + 1;
	}
	return number;
}

static struct vu__foreign *meet(struct vu__sampler *s, const struct vu__found_proc *p)
{
	struct vu__foreign *f = calloc(1, sizeof(*f));
	struct vu__foreign **more;

	more = reallocarray(s->foreign, s->nforeign + 1, sizeof(struct vu__foreign *));
	if (more)
		s->foreign = more;
	if (!f || !more) {
		free(f);
		return NULL;
	}
	f->pid = p->pid;
	f->start_time = p->start_time;
	f->waits = p->kind == VU__OBS_KIND_QSD || p->kind == VU__OBS_KIND_VIRTIOFSD;
	f->number = free_number(s, p);
	s->foreign[s->nforeign++] = f;
	return f;
}

/* --- what is known of one --- */

static int set_queues(struct vu__foreign *f, uint32_t n)
{
	struct vu__fq *q;

	if (n == f->nqueues)
		return 0;
	q = calloc(n ? n : 1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		if (i < f->nqueues)
			q[i] = f->queues[i];
		q[i].kick_fd = q[i].call_fd = VU__OBS_FD_UNKNOWN;
		q[i].kick_id = q[i].call_id = -1;
	}
	free(f->queues);
	f->queues = q;
	f->nqueues = n;
	return 0;
}

static void take_ring(struct vu__foreign *f, struct vu__fq *q,
		      const struct vu__qmp_queue *now)
{
	/* Another ring: what was counted in the old one is of no use. */
	if (memcmp(&q->at, now, sizeof(q->at))) {
		memset(&q->avail, 0, sizeof(q->avail));
		memset(&q->used, 0, sizeof(q->used));
		f->generation++;
	}
	q->at = *now;
	q->started = q->at.num;
}

static void take_monitor(struct vu__foreign *f, const struct vu__found_proc *vmm,
			 int32_t dev)
{
	const struct vu__qmp_device *d = &vmm->vm.devs[dev];

	snprintf(f->name, sizeof(f->name), "%s", d->id[0] ? d->id : d->name);
	f->virtio_id = d->virtio_id;
	f->features = d->features;
	if ((d->vhost_started || !f->nqueues) && set_queues(f, d->nqueues))
		return;
	/* A ring that was stopped is still where it was. */
	for (uint32_t i = 0; i < f->nqueues; i++) {
		if (d->vhost_started)
			take_ring(f, &f->queues[i], &vmm->vm.queues[d->first_queue + i]);
		else
			f->queues[i].started = false;
	}
}

static int by_vmm_fd(const void *a, const void *b)
{
	const struct vu__found_event *x = a, *y = b;

	return (x->vmm_fd > y->vmm_fd) - (x->vmm_fd < y->vmm_fd);
}

static uint32_t started_queues(const struct vu__foreign *f)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->nqueues; i++)
		n += f->queues[i].started;
	return n;
}

/*
 * Kicks are what the back-end waits for, one for each ring that is started; machines
 * make them in the order of the queues, and calls after them, one for each queue.
 */
static void assign_events(struct vu__foreign *f, struct vu__found_event *e, uint32_t n)
{
	uint32_t kicks = 0, calls = 0, started = started_queues(f), k = 0, c = 0;
	int last_kick = -1;

	qsort(e, n, sizeof(*e), by_vmm_fd);
	for (uint32_t i = 0; i < n; i++) {
		kicks += e[i].watched == VU__OBS_YES;
		last_kick = e[i].watched == VU__OBS_YES ? e[i].vmm_fd : last_kick;
	}
	for (uint32_t i = 0; i < n; i++)
		calls += last_kick >= 0 && e[i].vmm_fd > last_kick;
	for (uint32_t i = 0; i < f->nqueues; i++) {
		struct vu__fq *q = &f->queues[i];

		q->kick_fd = q->call_fd = VU__OBS_FD_UNKNOWN;
		q->kick_id = q->call_id = -1;
		while (k < n && e[k].watched != VU__OBS_YES)
			k++;
		if (kicks == started && q->started && k < n) {
			q->kick_fd = e[k].backend_fd;
			q->kick_id = e[k++].id;
		}
		while (c < n && e[c].vmm_fd <= last_kick)
			c++;
		if (calls == f->nqueues && c < n) {
			q->call_fd = e[c].backend_fd;
			q->call_id = e[c++].id;
		}
	}
	f->waits = f->waits || kicks;
	f->stopped = started && f->waits && f->link.seen && kicks == 0;
}

static void take_events(struct vu__foreign *f, const struct vu__found *found)
{
	const struct vu__found_link *l = &f->link;
	struct vu__found_event *e = calloc(l->nevents ? l->nevents : 1, sizeof(*e));

	if (!e)
		return;
	memcpy(e, &found->events[l->first_event], l->nevents * sizeof(*e));
	f->stopped = false;
	if (!l->shared)
		assign_events(f, e, l->nevents);
	free(e);
}

static void take_link(struct vu__foreign *f, const struct vu__found *found,
		      const struct vu__found_link *l)
{
	if (f->inode && f->inode != l->inode)
		f->generation++;
	f->inode = l->inode;
	f->link = *l;
	f->there = true;
	f->vmm_pid = 0;
	if (l->vmm >= 0) {
		f->vmm_pid = found->procs[l->vmm]->pid;
		f->vmm_start = found->procs[l->vmm]->start_time;
		if (l->qmp_device >= 0)
			take_monitor(f, found->procs[l->vmm], l->qmp_device);
		take_events(f, found);
	}
}

void vu__foreign_update(struct vu__sampler *s)
{
	size_t to = 0;

	if (!s->found) {
		vu__foreign_release(s);
		return;
	}
	for (size_t i = 0; i < s->nforeign; i++)
		s->foreign[i]->there = false;
	for (size_t i = 0; i < s->found->nlinks; i++) {
		const struct vu__found_link *l = &s->found->links[i];
		const struct vu__found_proc *p = s->found->procs[l->backend];
		struct vu__foreign *f;

		if (vu__segs_have(s, p->pid, l->inode))
			continue;
		f = look_up(s, p, l);
		if (!f)
			f = meet(s, p);
		if (f)
			take_link(f, s->found, l);
	}
	for (size_t i = 0; i < s->nforeign; i++) {
		if (s->foreign[i]->there)
			s->foreign[to++] = s->foreign[i];
		else
			drop(s->foreign[i]);
	}
	s->nforeign = to;
	if (to)
		qsort(s->foreign, to, sizeof(struct vu__foreign *), compare);
}

/* --- taking --- */

void vu__foreign_peek(const struct vu__foreign *f, const struct vu__fq *fq,
		      struct vu__peek *p)
{
	if (!fq->at.num || !fq->at.avail || !f->vmm_pid)
		return;
	*p = (struct vu__peek){.pid = f->vmm_pid,
			       .size = fq->at.num,
			       .packed = vu__has_bit(f->features, VU__F_RING_PACKED),
			       .event_idx = vu__has_bit(f->features, VU__F_EVENT_IDX),
			       .in_order = vu__has_bit(f->features, VIRTIO_F_IN_ORDER),
			       .desc = fq->at.desc,
			       .avail = fq->at.avail,
			       .used = fq->at.used,
			       .seen = fq->used.mono_ns,
			       .was_avail = fq->avail.last,
			       .was_used = fq->used.last};
}

void vu__foreign_see(struct vu__fq *fq, const struct vu__peek *p)
{
	const struct vu__obs_ring *r = &p->ring;

	if (!p->packed) {
		vu__obs_index_see(&fq->avail, r->avail_idx, p->mono_ns);
		vu__obs_index_see(&fq->used, r->used_idx, p->mono_ns);
	} else if (!r->torn) {
		vu__obs_place_see(&fq->avail, r->avail_idx, p->avail_steps,
				  p->made_available, p->size, p->mono_ns);
		vu__obs_place_see(&fq->used, r->used_idx, p->used_steps, p->completed,
				  p->size, p->mono_ns);
	}
}

/* What a thread waits for can only be seen while it does. */
static enum vu__obs_tri is_started(const struct vu__foreign *f, const struct vu__fq *fq,
				   const struct vu__obs_process *p)
{
	if (!fq->started)
		return VU__OBS_NO;
	if (!f->stopped)
		return VU__OBS_YES;
	return p->state == 'S' ? VU__OBS_NO : VU__OBS_MAYBE;
}

static void take_setup(const struct vu__foreign *f, const struct vu__fq *fq,
		       const struct vu__obs_process *p, struct vu__obs_queue *q)
{
	struct vu__obs_setup *s = &q->setup;

	q->from[VU__OBS_SETUP] = VU__OBS_QMP;
	s->size = fq->at.num;
	s->packed = vu__has_bit(f->features, VU__F_RING_PACKED);
	s->event_idx = vu__has_bit(f->features, VU__F_EVENT_IDX);
	s->started = is_started(f, fq, p);
	s->features = f->features;
	s->desc = fq->at.desc;
	s->avail = fq->at.avail;
	s->used = fq->at.used;
	s->desc_gpa = fq->at.desc_gpa;
	s->avail_gpa = fq->at.avail_gpa;
	s->used_gpa = fq->at.used_gpa;
	s->memory_of = f->vmm_pid;
	s->generation = f->generation;
	q->kick.fd = fq->kick_fd;
	q->kick.id = fq->kick_id;
	q->call.fd = fq->call_fd;
	q->call.id = fq->call_id;
}

static int take_queue(struct vu__taking *t, struct vu__foreign *f, uint32_t index,
		      const struct vu__obs_device *d)
{
	struct vu__fq *fq = &f->queues[index];
	struct vu__peek *peek;
	struct vu__obs_queue *q = vu__take_queue(t, &fq->was, &peek);

	if (!q)
		return -ENOMEM;
	q->index = index;
	q->role = vu__obs_role_of(d->virtio_id, index, f->nqueues, f->features);
	take_setup(f, fq, &t->snap->procs[d->proc], q);
	vu__foreign_peek(f, fq, peek);
	return 0;
}

int vu__foreign_take(struct vu__taking *t, struct vu__foreign *f)
{
	int64_t proc = vu__take_process(t, f->pid, f->start_time, VU__OBS_BACKEND,
					VU__OBS_KIND_OTHER);
	int64_t vmm = -1;
	struct vu__obs_device *d;
	int ret = 0;

	if (f->vmm_pid)
		vmm = vu__take_process(t, f->vmm_pid, f->vmm_start, VU__OBS_VMM,
				       VU__OBS_KIND_OTHER);
	d = vu__take_device(t, NULL, f);
	if (proc < 0 || !d)
		return -ENOMEM;
	d->proc = proc;
	d->vmm = vmm < 0 ? -1 : vmm;
	d->number = f->number;
	d->from = f->nqueues ? VU__OBS_QMP : VU__OBS_PROC;
	d->virtio_id = f->virtio_id;
	d->generation = f->generation;
	d->connected = f->vmm_pid ? VU__OBS_YES : VU__OBS_NO;
	memcpy(d->name, f->name, sizeof(d->name));
	memcpy(d->socket, f->link.path, sizeof(d->socket));
	d->socket_inode = f->inode;
	d->features = f->features;
	d->nqueues = f->nqueues;
	for (uint32_t i = 0; !ret && i < f->nqueues; i++)
		ret = take_queue(t, f, i, d);
	return ret;
}

void vu__foreign_place(struct vu__foreign *f, struct vu__obs_queue *q,
		       const struct vu__peek *p)
{
	struct vu__fq *fq = &f->queues[q->index];

	vu__foreign_see(fq, p);
	q->from[VU__OBS_COUNTERS] = VU__OBS_PEEK;
	q->have_counter = VU_BIT(VU__OBS_AVAILABLE) | VU_BIT(VU__OBS_COMPLETED);
	q->counter[VU__OBS_AVAILABLE] = fq->avail.total;
	q->counter[VU__OBS_COMPLETED] = fq->used.total;
	if (fq->avail.doubt)
		q->at_least |= VU_BIT(VU__OBS_AVAILABLE);
	if (fq->used.doubt)
		q->at_least |= VU_BIT(VU__OBS_COMPLETED);
	/* More in the ring than fits: the machine may have another one by now. */
	if (!p->packed && (uint16_t)(p->ring.avail_idx - p->ring.used_idx) > p->size)
		f->distrusted = true;
}
