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
	if (!vu__obs_knows(q, VU__OBS_RING))
		return false;
	if (r->avail_idx != r->used_idx)
		return true;
	if (q->setup.packed && r->past_event)
		return true;
	if (q->setup.event_idx && !q->setup.packed)
		return r->used_event != r->used_idx;
	if (!vu__obs_knows(q, VU__OBS_TIMES))
		return false;
	return q->setup.packed ? q->times.untold
			       : q->times.called_used_idx != r->used_idx;
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

/* A kick matters while something waits to be fetched, a call when nothing does. */
static void read_events(const struct vu__sampler *s, pid_t pid, struct vu__obs_queue *q,
			bool all)
{
	bool waits = !vu__obs_knows(q, VU__OBS_POSITION) || q->ring.pending;

	if ((all || waits) && read_event(s, pid, &q->kick))
		q->from[VU__OBS_KICK] = VU__OBS_PROC;
	if ((all || !waits || !vu__obs_knows(q, VU__OBS_POSITION)) &&
	    read_event(s, pid, &q->call))
		q->from[VU__OBS_CALL] = VU__OBS_PROC;
	if (all)
		(void)read_event(s, pid, &q->err);
}

/* --- threads --- */

/*
 * A thread, and what it waits for, as it was when it was first looked at for this
 * snapshot: many queues of a back-end have the same.
 */
struct seen {
	pid_t pid;
	int ret; /* -errno: it is not there */
	struct vu__obs_worker w;
	ssize_t nfds; /* negative: cannot be told */
	int *fds;     /* sorted */
};

struct threads {
	const struct vu__procfs *proc;
	size_t n, last; /* last: the one that was asked for */
	struct seen *seen;
	size_t nwhole;
	pid_t *whole; /* processes all of whose threads are among them */
	int *scratch;
};

static int compare_fds(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static void read_fds(struct threads *c, struct seen *s)
{
	ssize_t n;

	s->nfds = -1;
	if (!c->scratch)
		c->scratch = calloc(VU__PROCFS_MAX_FDS, sizeof(*c->scratch));
	if (!c->scratch)
		return;
	n = vu__procfs_worker_fds(c->proc, s->pid, &s->w, c->scratch, VU__PROCFS_MAX_FDS);
	if (n < 0)
		return;
	n = VU_MIN(n, (ssize_t)VU__PROCFS_MAX_FDS);
	s->fds = calloc(n ? n : 1, sizeof(*s->fds));
	if (!s->fds)
		return;
	memcpy(s->fds, c->scratch, n * sizeof(*s->fds));
	qsort(s->fds, n, sizeof(*s->fds), compare_fds);
	s->nfds = n;
}

/* NULL: no memory.  Pointers from before become invalid. */
static struct seen *see(struct threads *c, pid_t pid, pid_t tid)
{
	struct seen *more;

	for (size_t i = 0; i < c->n; i++) {
		size_t at = (c->last + i) % c->n;

		if (c->seen[at].pid == pid && c->seen[at].w.tid == tid) {
			c->last = at;
			return &c->seen[at];
		}
	}
	more = reallocarray(c->seen, c->n + 1, sizeof(*more));
	if (!more)
		return NULL;
	c->seen = more;
	c->last = c->n;
	more = &c->seen[c->n++];
	memset(more, 0, sizeof(*more));
	more->pid = pid;
	more->ret = vu__procfs_worker(c->proc, pid, tid, &more->w);
	more->w.tid = tid;
	if (!more->ret)
		read_fds(c, more);
	return more;
}

static void see_all(struct threads *c, const struct vu__obs_process *p)
{
	VU_CLEANUP_FREE pid_t *tids = NULL;
	pid_t pid = p->pid, *more;
	ssize_t n;

	if (p->nthreads == 1) {
		(void)see(c, pid, pid);
		return;
	}
	for (size_t i = 0; i < c->nwhole; i++) {
		if (c->whole[i] == pid)
			return;
	}
	n = vu__procfs_tids(c->proc, pid, &tids);
	for (ssize_t i = 0; i < n && i < MAX_THREADS; i++)
		(void)see(c, pid, tids[i]);
	more = reallocarray(c->whole, c->nwhole + 1, sizeof(*more));
	if (!more)
		return;
	c->whole = more;
	c->whole[c->nwhole++] = pid;
}

static void forget_threads(struct threads *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->seen[i].fds);
	free(c->seen);
	free(c->whole);
	free(c->scratch);
}

static enum vu__obs_tri watches(const struct seen *s, int fd)
{
	if (s->ret || s->nfds < 0 || fd < 0)
		return VU__OBS_MAYBE;
	return bsearch(&fd, s->fds, s->nfds, sizeof(fd), compare_fds) ? VU__OBS_YES
								      : VU__OBS_NO;
}

/* The thread that sleeps until there is a kick; NULL: none does, as far as can be seen.
 */
static const struct seen *find_watcher(struct threads *c, const struct vu__obs_process *p,
				       int kick)
{
	see_all(c, p);
	for (size_t i = 0; i < c->n; i++) {
		if (c->seen[i].pid == p->pid && watches(&c->seen[i], kick) == VU__OBS_YES)
			return &c->seen[i];
	}
	return NULL;
}

/* The thread a queue's back-end says it is served by, or that was seen to be. */
static pid_t usual_worker(const struct vu__taking *t, const struct vu__obs_queue *q,
			  pid_t pid)
{
	const struct vu__foreign *f = t->foreign_of[q->dev];

	if (f)
		return f->watcher ? f->watcher : pid;
	if (q->worker.tid)
		return q->worker.tid;
	return t->seg_of[q->dev]->control_tid ? t->seg_of[q->dev]->control_tid : pid;
}

static void take_worker(struct vu__obs_queue *q, const struct seen *s)
{
	q->worker = s->w;
	q->worker.watches = watches(s, q->kick.fd);
	/* A read of another file waits for that. */
	if (q->worker.waits == VU__OBS_MAYBE && s->nfds >= 0 && q->kick.fd >= 0)
		q->worker.waits = q->worker.watches;
	q->from[VU__OBS_WORKER] = VU__OBS_PROC;
}

static void read_worker(struct vu__taking *t, struct threads *c,
			const struct vu__obs_process *p, struct vu__obs_queue *q)
{
	struct vu__foreign *f = t->foreign_of[q->dev];
	pid_t pid = p->pid;
	const struct seen *s = see(c, pid, usual_worker(t, q, pid)), *other;

	if (s && s->ret) {
		/* It has ended. */
		if (f)
			f->watcher = 0;
		s = see(c, pid, pid);
	}
	if (!s || s->ret)
		return;
	take_worker(q, s);
	if (q->worker.watches == VU__OBS_YES || q->kick.fd < 0)
		return;
	other = find_watcher(c, p, q->kick.fd);
	if (!other)
		return;
	take_worker(q, other);
	if (f)
		f->watcher = other->w.tid;
}

/* --- all of it --- */

static void read_oldest(struct vu__taking *t, struct vu__obs_queue *q)
{
	struct vu__seg *seg = t->seg_of[q->dev];
	uint64_t since;

	if (seg && q->ring.in_flight && !vu_telemetry_oldest(seg->t, q->index, &since))
		q->times.oldest_ns = since;
}

/* Of queues whose next request seems not to be fetched. */
static void read_heads(struct vu__taking *t)
{
	for (uint32_t i = 0; i < t->snap->nqueues; i++) {
		t->peeks[i].want_head = t->more[i] &&
					vu__obs_knows(&t->snap->queues[i], VU__OBS_POSITION) &&
					t->snap->queues[i].ring.pending;
		t->peeks[i].ring.last_avail = t->snap->queues[i].ring.last_avail;
	}
	vu__peek_heads(t->peeks, t->snap->nqueues);
	for (uint32_t i = 0; i < t->snap->nqueues; i++) {
		if (t->peeks[i].want_head)
			t->snap->queues[i].ring.head = t->peeks[i].ring.head;
	}
}

/* Queues that stand still with work to be done, and those somebody asks about. */
static bool choose(struct vu__taking *t)
{
	bool any = false;

	for (uint32_t i = 0; i < t->snap->nqueues; i++) {
		const struct vu__obs_queue *q = &t->snap->queues[i];

		t->more[i] = (has_work(q) && stands_still(q, t->was[i])) ||
			     in_focus(t->s, t->snap, q);
		any = any || t->more[i];
	}
	return any;
}

static void read_more(struct vu__taking *t)
{
	struct threads threads = {.proc = &t->s->proc};
	struct vu__obs_snapshot *snap = t->snap;
	uint64_t deadline = vu__obs_now() + BUDGET_NS;

	read_heads(t);
	for (uint32_t i = 0; i < snap->nqueues; i++) {
		struct vu__obs_queue *q = &snap->queues[i];
		const struct vu__obs_process *p = &snap->procs[snap->devs[q->dev].proc];

		if (!t->more[i])
			continue;
		read_oldest(t, q);
		if (!p->alive)
			continue;
		if (vu__obs_now() > deadline) {
			snap->missed++;
			continue;
		}
		read_events(t->s, p->pid, q, in_focus(t->s, snap, q));
		read_worker(t, &threads, p, q);
	}
	forget_threads(&threads);
}

void vu__more_take(struct vu__taking *t)
{
	t->more = calloc(t->snap->nqueues ? t->snap->nqueues : 1, sizeof(*t->more));
	if (t->more && choose(t))
		read_more(t);
	for (uint32_t i = 0; i < t->snap->ndevs; i++) {
		struct vu__foreign *f = t->foreign_of[i];

		if (f && f->distrusted && t->s->find) {
			vu__find_ask_again(t->s->find, f->vmm_pid);
			f->distrusted = false;
		}
	}
}

/* --- the dead --- */

static bool replaces(const struct vu__obs_snapshot *snap, const struct vu__obs_device *d,
		     const struct vu__obs_device *dead)
{
	return d->connected == VU__OBS_YES && snap->procs[d->proc].alive &&
	       !strcmp(d->socket, dead->socket);
}

void vu__more_heirs(struct vu__obs_snapshot *snap)
{
	for (uint32_t i = 0; i < snap->ndevs; i++) {
		struct vu__obs_device *dead = &snap->devs[i];

		if (snap->procs[dead->proc].alive || !dead->socket[0])
			continue;
		for (uint32_t k = 0; k < snap->ndevs && !dead->replaced_by; k++) {
			if (replaces(snap, &snap->devs[k], dead))
				dead->replaced_by = snap->procs[snap->devs[k].proc].pid;
		}
	}
}
