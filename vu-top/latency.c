/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Percentiles of the last seconds, from histograms that only grow.  Pure. */
#include <string.h>

#include "vu-top/modelimpl.h"

/* So many queues have a heat map; it takes 150 KiB. */
#define MAX_HEATS 128

static const struct top_latency unknown = {
	0, TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN};

static uint64_t grown(const struct vu__obs_hist *old, const struct vu__obs_hist *now,
		      unsigned int bucket)
{
	uint64_t before = bucket < old->nbuckets ? old->count[bucket] : 0;

	return now->count[bucket] > before ? now->count[bucket] - before : 0;
}

static double middle(const struct vu__obs_hist *h, unsigned int bucket)
{
	double lower = bucket ? h->upper[bucket - 1] + 1 : 0;

	return (lower + h->upper[bucket]) / 2;
}

/* What is new in each bucket that has something new; how many there are. */
struct news {
	unsigned int bucket;
	uint64_t n;
};

static unsigned int find_news(const struct vu__obs_hist *old, const struct vu__obs_hist *now,
			      struct news news[VU_HIST_BUCKETS], uint64_t *total)
{
	unsigned int found = 0;

	*total = 0;
	for (unsigned int i = 0; i < now->nbuckets && i < VU_HIST_BUCKETS; i++) {
		uint64_t n = grown(old, now, i);

		if (!n)
			continue;
		news[found++] = (struct news){i, n};
		*total += n;
	}
	return found;
}

static void measure(const struct vu__obs_hist *old, const struct vu__obs_hist *now,
		    struct top_latency *l)
{
	struct news news[VU_HIST_BUCKETS];
	const struct {
		double share;
		double *to;
	} wanted[] = {{0.5, &l->p50}, {0.9, &l->p90}, {0.99, &l->p99}, {0.999, &l->p999}};
	uint64_t seen = 0;
	unsigned int w = 0, found;

	*l = unknown;
	found = find_news(old, now, news, &l->n);
	if (!found)
		return;
	l->max = now->upper[news[found - 1].bucket];
	for (unsigned int i = 0; i < found; i++) {
		seen += news[i].n;
		for (; w < VU_ARRAY_SIZE(wanted) && seen >= wanted[w].share * l->n; w++)
			*wanted[w].to = middle(now, news[i].bucket);
	}
	if (now->sum >= old->sum && now->total > old->total)
		l->mean = (now->sum - old->sum) / (now->total - old->total);
	/* The bucket's end is beyond the largest value there ever was. */
	l->max = VU_MIN(l->max, (double)now->max);
}

static void heat(struct top_model *m, struct top_queue *t)
{
	static const enum vu__obs_latency of[] = {VU__OBS_KICK_TO_POP, VU__OBS_SERVICE};

	if (!t->heat && m->nheats < MAX_HEATS) {
		t->heat = calloc(1, sizeof(*t->heat));
		m->nheats += t->heat != NULL;
	}
	for (size_t i = 0; t->heat && i < VU_ARRAY_SIZE(of); i++) {
		const struct vu__obs_hist *h = top_frame_hist(m->frame, t->place, of[i]);

		if (h)
			top_heat_add(t->heat, of[i], t->q->mono_ns, h);
	}
}

void top_latency_release(struct top_queue *t)
{
	for (unsigned int i = 0; i < 2; i++) {
		top_frame_put(t->hist_frame[i]);
		t->hist_frame[i] = NULL;
	}
}

static void begin_window(struct top_queue *t, struct top_frame *f)
{
	top_frame_put(t->hist_frame[0]);
	t->hist_frame[0] = t->hist_frame[1];
	t->hist_place[0] = t->hist_place[1];
	t->hist_frame[1] = top_frame_get(f);
	t->hist_place[1] = t->place;
	if (!t->hist_frame[0]) {
		t->hist_frame[0] = top_frame_get(f);
		t->hist_place[0] = t->place;
	}
}

void top_latency_update(struct top_model *m, struct top_queue *t, bool rotate)
{
	for (unsigned int l = 0; l < VU__OBS_LATENCIES; l++)
		t->latency[l] = unknown;
	if (!top_frame_hist(m->frame, t->place, VU__OBS_SERVICE)) {
		top_latency_release(t);
		return;
	}
	heat(m, t);
	for (unsigned int l = 0; t->hist_frame[0] && l < VU__OBS_LATENCIES; l++) {
		const struct vu__obs_hist *now = top_frame_hist(m->frame, t->place, l);
		const struct vu__obs_hist *old =
			top_frame_hist(t->hist_frame[0], t->hist_place[0], l);

		if (now && old)
			measure(old, now, &t->latency[l]);
	}
	if (rotate || !t->hist_frame[0])
		begin_window(t, m->frame);
}
