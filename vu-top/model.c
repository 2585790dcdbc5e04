/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every queue over time.  Pure; one thread at a time. */
#include "vu-top/model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vu-top/alert.h"
#include "vu-top/modelimpl.h"

#define HISTORY_BYTES (128u << 20)
#define LATENCY_WINDOW_NS 5000000000ull

/* --- made and ended --- */

struct top_model *top_model_new(const struct top_model_options *options)
{
	struct top_model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	if (options)
		m->opt = *options;
	if (!m->opt.history_bytes)
		m->opt.history_bytes = HISTORY_BYTES;
	m->nbuckets = 64;
	m->buckets = calloc(m->nbuckets, sizeof(struct top_queue *));
	if (!m->buckets) {
		free(m);
		return NULL;
	}
	m->self_cpu = TOP_UNKNOWN;
	top_history_pool_init(&m->pool, m->opt.history_bytes);
	return m;
}

static void drop_queue(struct top_model *m, struct top_queue *t)
{
	top_latency_release(t);
	top_history_free(t->history);
	m->nheats -= t->heat != NULL;
	free(t->heat);
	free(t);
	m->nall--;
}

static void drop_all(struct top_model *m)
{
	top_judge_forget(m);
	top_model_unmark(m);
	m->nqueues = 0;
	for (uint32_t b = 0; b < m->nbuckets; b++) {
		while (m->buckets[b]) {
			struct top_queue *t = m->buckets[b];

			m->buckets[b] = t->next;
			drop_queue(m, t);
		}
	}
	top_devices_release(m);
	top_frame_put(m->frame);
	m->frame = NULL;
	m->dt = 0;
}

void top_model_free(struct top_model *m)
{
	if (!m)
		return;
	drop_all(m);
	top_alerts_release(m);
	free(m->queues);
	free(m->devices);
	free(m->buckets);
	free(m);
}

void top_model_restart(struct top_model *m)
{
	drop_all(m);
}

/* --- finding --- */

static uint32_t hash(const struct top_key *key)
{
	uint64_t h = key->pid;

	h = (h ^ key->start_time) * 0x9e3779b97f4a7c15ull;
	h = (h ^ h >> 29 ^ key->device) * 0xbf58476d1ce4e5b9ull;
	h = (h ^ h >> 32 ^ key->queue) * 0x94d049bb133111ebull;
	return h >> 32;
}

static struct top_queue *find(const struct top_model *m, const struct top_key *key)
{
	struct top_queue *t = m->buckets[hash(key) % m->nbuckets];

	while (t && !top_same_queue(&t->key, key))
		t = t->next;
	return t;
}

struct top_queue *top_model_find(const struct top_model *m, const struct top_key *key)
{
	struct top_queue *t = find(m, key);

	return t && t->seen == m->nframes ? t : NULL;
}

struct top_device *top_model_find_device(const struct top_model *m, const struct top_key *key)
{
	for (uint32_t i = 0; i < m->ndevices; i++) {
		if (top_same_device(&m->devices[i]->key, key))
			return m->devices[i];
	}
	return NULL;
}

static int more_buckets(struct top_model *m)
{
	uint32_t n = m->nbuckets * 4;
	struct top_queue **buckets = calloc(n, sizeof(struct top_queue *));

	if (!buckets)
		return -ENOMEM;
	for (uint32_t b = 0; b < m->nbuckets; b++) {
		while (m->buckets[b]) {
			struct top_queue *t = m->buckets[b], **to;

			m->buckets[b] = t->next;
			to = &buckets[hash(&t->key) % n];
			t->next = *to;
			*to = t;
		}
	}
	free(m->buckets);
	m->buckets = buckets;
	m->nbuckets = n;
	return 0;
}

static struct top_queue *meet(struct top_model *m, const struct top_key *key)
{
	struct top_queue *t, **bucket;

	if (m->nall >= m->nbuckets && more_buckets(m))
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->key = *key;
	t->busy = t->depth_max = TOP_UNKNOWN;
	t->history = top_history_new(&m->pool);
	bucket = &m->buckets[hash(key) % m->nbuckets];
	t->next = *bucket;
	*bucket = t;
	m->nall++;
	return t;
}

/* Room for all that is in @f, before anything is changed. */
static int prepare(struct top_model *m, const struct top_frame *f)
{
	const struct vu__obs_snapshot *s = f->snap;
	struct top_queue **queues;

	queues = reallocarray(m->queues, s->nqueues ? s->nqueues : 1,
			      sizeof(struct top_queue *));
	if (!queues)
		return -ENOMEM;
	m->queues = queues;
	m->nqueues = 0;
	for (uint32_t i = 0; i < s->nqueues; i++) {
		struct top_key key = top_key_of(s, &s->queues[i]);
		struct top_queue *t = find(m, &key);

		if (!t)
			t = meet(m, &key);
		if (!t)
			return -ENOMEM;
		queues[i] = t;
	}
	return top_devices_prepare(m, f);
}

/* --- what has happened to a queue --- */

double top_depth(const struct vu__obs_queue *q)
{
	if (vu__obs_knows(q, VU__OBS_POSITION))
		return (double)q->ring.pending + q->ring.in_flight;
	return vu__obs_knows(q, VU__OBS_RING) ? vu__obs_outstanding(q) : TOP_UNKNOWN;
}

static double busy_share(const struct vu__obs_queue *old, const struct vu__obs_queue *now,
			 double dt)
{
	const struct vu__obs_worker *a, *b = &now->worker;

	if (!old || dt <= 0 || !vu__obs_knows(old, VU__OBS_WORKER) ||
	    !vu__obs_knows(now, VU__OBS_WORKER))
		return TOP_UNKNOWN;
	a = &old->worker;
	if (a->tid != b->tid || b->cpu_ns < a->cpu_ns)
		return TOP_UNKNOWN;
	return (b->cpu_ns - a->cpu_ns) / 1e9 / dt;
}

/* A queue of buffers that wait for something to come is not late. */
static bool answers(const struct vu__obs_queue *q)
{
	return q->role != VU__OBS_ROLE_RX && q->role != VU__OBS_ROLE_EVENT;
}

static void see_stall(struct top_queue *t, const struct vu__obs_queue *old, double depth)
{
	const struct vu__obs_queue *q = t->q;
	bool still = old && vu__has_bit(old->have_counter & q->have_counter, VU__OBS_COMPLETED) &&
		     old->counter[VU__OBS_COMPLETED] == q->counter[VU__OBS_COMPLETED];
	double before = old ? top_depth(old) : TOP_UNKNOWN;

	t->oldest = 0;
	if (!(depth > 0) || !still || !(before > 0) || !answers(q))
		t->stall_ns = 0;
	else if (!t->stall_ns)
		t->stall_ns = old->mono_ns;
	if (t->stall_ns && q->mono_ns > t->stall_ns)
		t->oldest = q->mono_ns - t->stall_ns;
	if (q->times.oldest_ns && q->mono_ns > q->times.oldest_ns && answers(q))
		t->oldest = VU_MAX(t->oldest, (double)(q->mono_ns - q->times.oldest_ns));
}

static void take(struct top_model *m, struct top_queue *t, const struct vu__obs_snapshot *s,
		 uint32_t place)
{
	/* In the frame before, which is still there. */
	const struct vu__obs_queue *old = t->seen + 1 == m->nframes ? t->q : NULL, *marked;
	double depth;

	t->fresh = !old;
	t->seen = m->nframes;
	t->snap = s;
	t->place = place;
	t->q = &s->queues[place];
	t->dev = vu__obs_device_of(s, t->q);
	t->proc = vu__obs_process_of(s, t->dev);
	t->vmm = vu__obs_vmm_of(s, t->dev);
	vu__obs_rates(old, t->q, &t->rates);
	marked = m->mark ? vu__obs_find_queue(m->mark->snap, s, t->q) : NULL;
	vu__obs_rates(marked, t->q, &t->since_mark);
	t->busy = busy_share(old, t->q, t->rates.dt);
	depth = top_depth(t->q);
	if (top_known(depth) && !(t->depth_max >= depth))
		t->depth_max = depth;
	see_stall(t, old, depth);
}

static double rate(const struct top_queue *t, enum vu__obs_counter c)
{
	return vu__obs_has_rate(&t->rates, c) ? t->rates.per_s[c] : TOP_UNKNOWN;
}

static double sum(double a, double b)
{
	return !top_known(a) ? b : !top_known(b) ? a : a + b;
}

static void write_history(struct top_queue *t)
{
	const struct vu__obs_queue *q = t->q;
	double v[TOP_NSERIES];

	v[TOP_S_REQUESTS] = rate(t, VU__OBS_COMPLETED);
	v[TOP_S_KICKS] = rate(t, VU__OBS_KICKS);
	v[TOP_S_CALLS] = rate(t, VU__OBS_CALLS);
	v[TOP_S_BYTES_IN] = rate(t, VU__OBS_BYTES_IN);
	v[TOP_S_BYTES_OUT] = rate(t, VU__OBS_BYTES_OUT);
	v[TOP_S_DIRTY] = sum(rate(t, VU__OBS_PAGES_FIRST), rate(t, VU__OBS_PAGES_AGAIN));
	v[TOP_S_ERRORS] = sum(rate(t, VU__OBS_FAILED),
			      sum(rate(t, VU__OBS_CALL_ERRORS), rate(t, VU__OBS_FAULTS)));
	v[TOP_S_BUSY] = t->busy;
	v[TOP_S_DEPTH] = top_depth(q);
	v[TOP_S_IN_FLIGHT] =
		vu__obs_knows(q, VU__OBS_POSITION) ? q->ring.in_flight : TOP_UNKNOWN;
	v[TOP_S_OLDEST] = t->oldest;
	v[TOP_S_P99] = t->latency[VU__OBS_SERVICE].p99;
	v[TOP_S_HEALTH] = t->verdict.severity;
	if (t->history)
		top_history_add(t->history, q->mono_ns, t->rates.dt, v);
}

/* --- a frame --- */

static void drop_gone(struct top_model *m)
{
	for (uint32_t b = 0; b < m->nbuckets; b++) {
		struct top_queue **at = &m->buckets[b];

		while (*at) {
			struct top_queue *t = *at;

			if (t->seen == m->nframes) {
				at = &t->next;
				continue;
			}
			*at = t->next;
			drop_queue(m, t);
		}
	}
}

static void fit_histories(struct top_model *m)
{
	struct top_history **all;
	size_t n = 0;

	if (m->pool.bytes <= m->pool.limit)
		return;
	all = calloc(m->nqueues ? m->nqueues : 1, sizeof(struct top_history *));
	for (uint32_t i = 0; all && i < m->nqueues; i++) {
		if (m->queues[i]->history)
			all[n++] = m->queues[i]->history;
	}
	if (all)
		top_history_fit(&m->pool, all, n);
	free(all);
}

/* What vu-top itself costs, and what it could not see. */
static void look_at_self(struct top_model *m, const struct top_frame *old)
{
	const struct vu__obs_snapshot *s = m->frame->snap;

	m->dt = old && s->mono_ns > old->snap->mono_ns ? (s->mono_ns - old->snap->mono_ns) / 1e9
						       : 0;
	m->self_cpu = TOP_UNKNOWN;
	if (m->dt > 0 && m->frame->self.cpu_ns >= old->self.cpu_ns)
		m->self_cpu = (m->frame->self.cpu_ns - old->self.cpu_ns) / 1e9 / m->dt;
	m->retries += s->retries;
	m->missed += s->missed;
}

static bool new_window(const struct top_frame *old, const struct top_frame *now)
{
	return !old || old->snap->mono_ns / LATENCY_WINDOW_NS !=
			       now->snap->mono_ns / LATENCY_WINDOW_NS;
}

int top_model_update(struct top_model *m, struct top_frame *f)
{
	struct top_frame *old = m->frame;
	bool rotate = new_window(old, f);
	int ret = prepare(m, f);

	if (ret) {
		/* Half prepared is of no use. */
		drop_all(m);
		top_frame_put(f);
		return ret;
	}
	m->frame = f;
	m->nframes++;
	m->nqueues = f->snap->nqueues;
	memset(m->by_severity, 0, sizeof(m->by_severity));
	for (uint32_t i = 0; i < m->nqueues; i++)
		take(m, m->queues[i], f->snap, i);
	look_at_self(m, old);
	drop_gone(m);
	top_judge_keep(m, f);
	for (uint32_t i = 0; i < m->nqueues; i++) {
		struct top_queue *t = m->queues[i];

		top_latency_update(m, t, rotate);
		top_judge(m, t);
		m->by_severity[t->verdict.severity]++;
		write_history(t);
	}
	top_devices_update(m, old ? old->snap : NULL);
	top_alerts_update(m);
	fit_histories(m);
	top_frame_put(old);
	return 0;
}

/* --- marks --- */

void top_model_unmark(struct top_model *m)
{
	top_frame_put(m->mark);
	m->mark = NULL;
	for (uint32_t i = 0; i < m->nqueues; i++)
		memset(&m->queues[i]->since_mark, 0, sizeof(m->queues[i]->since_mark));
}

void top_model_mark(struct top_model *m)
{
	top_model_unmark(m);
	if (m->frame)
		m->mark = top_frame_get(m->frame);
	for (uint32_t i = 0; i < m->nqueues; i++)
		m->queues[i]->depth_max = top_depth(m->queues[i]->q);
}
