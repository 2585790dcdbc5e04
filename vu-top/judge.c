/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verdicts: which of the frames gone by are kept to judge queues by, close together
 * lately and far apart long ago.  Pure.
 */
#include <string.h>

#include "vu-top/modelimpl.h"

#define MAX_PATIENCE_NS 30000000000ull

/* Frames of about this distance are enough, when they are so old. */
static uint64_t spacing(uint64_t age)
{
	return VU_MAX(age / 4, 250000000u);
}

static void forget_looks(struct top_model *m, const struct top_frame *f)
{
	for (uint32_t i = 0; i < m->nqueues; i++) {
		struct top_queue *t = m->queues[i];
		unsigned int to = 0;

		for (unsigned int l = 0; l < t->nlooks; l++) {
			if (t->looks[l].frame != f)
				t->looks[to++] = t->looks[l];
		}
		t->nlooks = to;
	}
}

static void drop(struct top_model *m, unsigned int i)
{
	forget_looks(m, m->kept[i]);
	top_frame_put(m->kept[i]);
	memmove(&m->kept[i], &m->kept[i + 1], (--m->nkept - i) * sizeof(m->kept[0]));
}

void top_judge_forget(struct top_model *m)
{
	while (m->nkept)
		top_frame_put(m->kept[--m->nkept]);
	for (uint32_t i = 0; i < m->nqueues; i++)
		m->queues[i]->nlooks = 0;
}

static void thin(struct top_model *m, uint64_t now)
{
	/* Of three in a row the middle one goes, if the outer two are close enough. */
	for (unsigned int i = m->nkept - 1; m->nkept > 2 && i-- > 1;) {
		uint64_t before = m->kept[i - 1]->snap->mono_ns;
		uint64_t after = m->kept[i + 1]->snap->mono_ns;

		if (after - before <= spacing(now - before))
			drop(m, i);
	}
	if (m->nkept == TOP_LOOKS)
		drop(m, 0);
}

void top_judge_keep(struct top_model *m, struct top_frame *f)
{
	if (m->nkept)
		thin(m, f->snap->mono_ns);
	m->kept[m->nkept++] = top_frame_get(f);
	for (uint32_t i = 0; i < m->nqueues; i++) {
		struct top_queue *t = m->queues[i];

		/* A recording may have a queue twice. */
		if (t->nlooks && t->looks[t->nlooks - 1].frame == f)
			continue;
		t->looks[t->nlooks].frame = f;
		t->looks[t->nlooks++].place = t->place;
	}
}

static uint64_t patience_of(const struct top_model *m, const struct top_queue *t)
{
	double p99 = t->latency[VU__OBS_SERVICE].p99;
	uint64_t ns = vu__obs_patience(top_known(p99) ? p99 : 0);

	if (m->opt.patience_ns)
		ns = VU_MAX(m->opt.patience_ns, top_known(p99) ? ns : 0);
	return VU_MIN(ns, MAX_PATIENCE_NS);
}

void top_judge(struct top_model *m, struct top_queue *t)
{
	enum vu__obs_verdict_id before = t->verdict.id;
	bool trouble = t->verdict.severity >= VU__OBS_WARNING;
	uint64_t patience = patience_of(m, t);
	struct vu__obs_look looks[TOP_LOOKS];
	size_t n = 0;

	for (unsigned int i = 0; i < t->nlooks; i++) {
		const struct vu__obs_snapshot *s = t->looks[i].frame->snap;
		const struct vu__obs_queue *q = &s->queues[t->looks[i].place];

		if (q->setup.generation != t->q->setup.generation)
			continue;
		/* What is well is judged by the last seconds only. */
		if (!trouble && t->q->mono_ns - q->mono_ns > 4 * patience)
			continue;
		looks[n++] = vu__obs_look_at(s, q);
	}
	vu__obs_diagnose(looks, n, patience, &t->verdict);
	if (t->verdict.id != before || t->fresh)
		t->verdict_ns = t->q->mono_ns;
}
