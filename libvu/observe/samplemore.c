/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Eventfds and threads of the queues that seem to stand still, or that somebody wants
 * to know of: a handful of files in /proc each.  One thread at a time.
 */
#include <stdio.h>
#include <string.h>

#include "observe/sampleimpl.h"

/* A host in trouble has many queues that stand still; a snapshot must come all the same.
 */
#define BUDGET_NS 300000000ULL

/* Threads of one process that are looked at to find the one that waits for a kick. */
#define MAX_THREADS 256

static bool in_focus(const struct vu__sampler *s, const struct vu__obs_snapshot *snap,
		     const struct vu__obs_queue *q)
{
	const struct vu__sample_focus *f = &s->focus;
	const struct vu__obs_device *d = vu__obs_device_of(snap, q);

	return s->has_focus && (!f->pid || f->pid == snap->procs[d->proc].pid) &&
	       (f->device < 0 || f->device == d->number) &&
	       (f->queue < 0 || f->queue == q->index);
}

/* There is something to be done, for one side or the other. */
static bool has_work(const struct vu__obs_queue *q)
{
	const struct vu__obs_ring *r = &q->ring;

	if (vu__obs_knows(q, VU__OBS_POSITION) && (r->pending || r->in_flight))
		return true;
	if (!vu__obs_knows(q, VU__OBS_RING) || q->setup.packed)
		return false;
	if (r->avail_idx != r->used_idx)
		return true;
	if (q->setup.event_idx)
		return r->used_event != r->used_idx;
	return vu__obs_knows(q, VU__OBS_TIMES) && q->times.called_used_idx != r->used_idx;
}

static bool stands_still(const struct vu__obs_queue *q, const struct vu__was *was)
{
	return was->seen && was->popped == q->counter[VU__OBS_POPPED] &&
	       was->completed == q->counter[VU__OBS_COMPLETED] &&
	       was->used_idx == q->ring.used_idx && was->last_avail == q->ring.last_avail;
}

/* --- eventfds --- */

static bool read_event(const struct vu__sampler *s, pid_t pid, struct vu__obs_event *e)
{
	uint64_t count;
	int64_t id;

	if (e->fd < 0 || vu__procfs_eventfd(&s->proc, pid, e->fd, &id, &count))
		return false;
	/* The number may be another file's by now. */
	if (e->id >= 0 && id >= 0 && id != e->id)
		return false;
	e->id = id;
	e->count = count;
	return true;
}

static void read_events(const struct vu__sampler *s, pid_t pid, struct vu__obs_queue *q)
{
	if (read_event(s, pid, &q->kick))
		q->from[VU__OBS_KICK] = VU__OBS_PROC;
	if (read_event(s, pid, &q->call))
		q->from[VU__OBS_CALL] = VU__OBS_PROC;
	(void)read_event(s, pid, &q->err);
}

/* --- threads --- */

/* The thread that sleeps until there is a kick; false: none does, as far as can be seen.
 */
static bool find_watcher(const struct vu__sampler *s, pid_t pid, int kick,
			 struct vu__obs_worker *out)
{
	VU_CLEANUP_FREE pid_t *tids = NULL;
	ssize_t n = vu__procfs_tids(&s->proc, pid, &tids);

	for (ssize_t i = 0; i < n && i < MAX_THREADS; i++) {
		struct vu__obs_worker w;

		if (vu__procfs_worker(&s->proc, pid, tids[i], &w))
			continue;
		vu__procfs_worker_watches(&s->proc, pid, kick, &w);
		if (w.watches != VU__OBS_YES)
			continue;
		*out = w;
		return true;
	}
	return false;
}

/* The thread a queue's back-end says it is served by, or that was seen to be. */
static pid_t usual_worker(const struct vu__taking *t, const struct vu__obs_queue *q,
			  pid_t pid)
{
	struct vu__seg *seg = t->seg_of[q->dev];
	struct vu__foreign *f = t->foreign_of[q->dev];
	struct vu_telemetry_device d;

	if (f)
		return f->watcher ? f->watcher : pid;
	if (q->worker.tid)
		return q->worker.tid;
	vu_telemetry_device(seg->t, &d);
	return d.block.control_tid && d.block.control_tid <= INT32_MAX
		       ? (pid_t)d.block.control_tid
		       : pid;
}

static void read_worker(struct vu__taking *t, pid_t pid, struct vu__obs_queue *q)
{
	const struct vu__sampler *s = t->s;
	struct vu__foreign *f = t->foreign_of[q->dev];
	struct vu__obs_worker w, other;

	if (vu__procfs_worker(&s->proc, pid, usual_worker(t, q, pid), &w)) {
		/* It has ended. */
		if (f)
			f->watcher = 0;
		if (vu__procfs_worker(&s->proc, pid, pid, &w))
			return;
	}
	vu__procfs_worker_watches(&s->proc, pid, q->kick.fd, &w);
	if (w.watches != VU__OBS_YES && q->kick.fd >= 0 &&
	    find_watcher(s, pid, q->kick.fd, &other)) {
		w = other;
		if (f)
			f->watcher = w.tid;
	}
	q->worker = w;
	q->from[VU__OBS_WORKER] = VU__OBS_PROC;
}

/* --- all of it --- */

static void read_oldest(struct vu__taking *t, struct vu__obs_queue *q)
{
	struct vu__seg *seg = t->seg_of[q->dev];
	uint64_t since;

	if (seg && q->ring.in_flight && !vu_telemetry_oldest(seg->t, q->index, &since))
		q->times.oldest_ns = since;
}

static void read_head(struct vu__taking *t, uint32_t i)
{
	struct vu__obs_queue *q = &t->snap->queues[i];
	struct vu__peek *p = &t->peeks[i];

	if (vu__obs_knows(q, VU__OBS_POSITION) && q->ring.pending && !q->setup.packed &&
	    !vu__peek_head(p, q->ring.last_avail))
		q->ring.head = p->ring.head;
}

void vu__more_take(struct vu__taking *t)
{
	struct vu__obs_snapshot *snap = t->snap;
	uint64_t deadline = vu__obs_now() + BUDGET_NS;

	for (uint32_t i = 0; i < snap->nqueues; i++) {
		struct vu__obs_queue *q = &snap->queues[i];
		const struct vu__obs_process *p = &snap->procs[snap->devs[q->dev].proc];
		bool needed = has_work(q) && stands_still(q, t->was[i]);

		if (!needed && !in_focus(t->s, snap, q))
			continue;
		read_oldest(t, q);
		if (!p->alive)
			continue;
		if (vu__obs_now() > deadline) {
			snap->missed++;
			continue;
		}
		read_head(t, i);
		read_events(t->s, p->pid, q);
		read_worker(t, p->pid, q);
	}
	for (uint32_t i = 0; i < snap->ndevs; i++) {
		struct vu__foreign *f = t->foreign_of[i];

		if (f && f->distrusted && t->s->find) {
			vu__find_ask_again(t->s->find, f->vmm_pid);
			f->distrusted = false;
		}
	}
}
