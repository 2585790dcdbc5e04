/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From two looks at a thing to what has happened in between.  Pure; any thread. */
#include "observe/rates.h"

#include <string.h>

#define ALL_COUNTERS (VU_BIT(VU__OBS_NCOUNTERS) - 1)

static bool comparable(const struct vu__obs_queue *old, const struct vu__obs_queue *now)
{
	return old && now->mono_ns > old->mono_ns &&
	       old->setup.generation == now->setup.generation;
}

void vu__obs_rates(const struct vu__obs_queue *old, const struct vu__obs_queue *now,
		   struct vu__obs_rates *out)
{
	uint64_t both;

	memset(out, 0, sizeof(*out));
	if (!comparable(old, now))
		return;
	out->dt = (now->mono_ns - old->mono_ns) / 1e9;
	both = old->have_counter & now->have_counter & ALL_COUNTERS;
	for (unsigned int c = 0; c < VU__OBS_NCOUNTERS; c++) {
		if (!vu__has_bit(both, c) || now->counter[c] < old->counter[c])
			continue;
		out->have |= VU_BIT(c);
		out->delta[c] = now->counter[c] - old->counter[c];
		out->per_s[c] = out->delta[c] / out->dt;
	}
	out->at_least = now->at_least & out->have;
}

double vu__obs_ratio(const struct vu__obs_rates *r, enum vu__obs_counter a,
		     enum vu__obs_counter b)
{
	if (!vu__obs_has_rate(r, a) || !vu__obs_has_rate(r, b) || r->delta[b] == 0)
		return -1;
	return r->delta[a] / r->delta[b];
}

double vu__obs_suppressed_share(const struct vu__obs_rates *r)
{
	static const enum vu__obs_counter held[] = {
		VU__OBS_NOCALL_FLAG, VU__OBS_NOCALL_EVENT, VU__OBS_NOCALL_MASKED,
		VU__OBS_NOCALL_NOFD};
	double suppressed = 0, sent = r->delta[VU__OBS_CALLS];
	bool known = vu__obs_has_rate(r, VU__OBS_CALLS);

	for (size_t i = 0; i < VU_ARRAY_SIZE(held); i++) {
		known = known && vu__obs_has_rate(r, held[i]);
		suppressed += r->delta[held[i]];
	}
	return known && suppressed + sent > 0 ? suppressed / (suppressed + sent) : -1;
}

/* --- matching --- */

const struct vu__obs_process *vu__obs_find_process(const struct vu__obs_snapshot *in,
						   pid_t pid, uint64_t start_time)
{
	size_t low = 0, high = in->nprocs;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct vu__obs_process *p = &in->procs[mid];

		if (p->pid == pid && p->start_time == start_time)
			return p;
		if (p->pid < pid || (p->pid == pid && p->start_time < start_time))
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const struct vu__obs_device *vu__obs_find_device(const struct vu__obs_snapshot *in,
						 const struct vu__obs_snapshot *of,
						 const struct vu__obs_device *d)
{
	const struct vu__obs_process *p = vu__obs_process_of(of, d);

	p = vu__obs_find_process(in, p->pid, p->start_time);
	for (uint32_t i = 0; p && i < p->ndevs; i++) {
		if (in->devs[p->first_dev + i].number == d->number)
			return &in->devs[p->first_dev + i];
	}
	return NULL;
}

const struct vu__obs_queue *vu__obs_find_queue(const struct vu__obs_snapshot *in,
					       const struct vu__obs_snapshot *of,
					       const struct vu__obs_queue *q)
{
	const struct vu__obs_device *d;

	d = vu__obs_find_device(in, of, vu__obs_device_of(of, q));
	if (!d)
		return NULL;
	/* Nearly always all queues of a device are there. */
	if (q->index < d->nqueues &&
	    in->queues[d->first_queue + q->index].index == q->index)
		return &in->queues[d->first_queue + q->index];
	for (uint32_t i = 0; i < d->nqueues; i++) {
		if (in->queues[d->first_queue + i].index == q->index)
			return &in->queues[d->first_queue + i];
	}
	return NULL;
}

/* --- 16-bit indices --- */

#define WORD 65536u

void vu__obs_index_see(struct vu__obs_index *i, uint16_t idx, uint64_t mono_ns)
{
	uint16_t step = idx - i->last;
	double dt = (mono_ns - i->mono_ns) / 1e9;

	if (i->mono_ns && mono_ns <= i->mono_ns)
		return;
	if (i->mono_ns) {
		if (step > UINT16_MAX / 2 || i->pace * dt > UINT16_MAX / 2)
			i->doubt = true;
		i->total += step;
		i->pace = step / dt;
	}
	i->last = idx;
	i->mono_ns = mono_ns;
}

/* --- places in packed rings --- */

/* A pace holds for so long; and a ring that is not looked at goes round unseen. */
#define CLOSE_S (10 * VU__OBS_CLOSE_NS / 1e9)
#define LONG_S	0.5

static void step(struct vu__obs_index *i, uint32_t steps, uint32_t n, double dt)
{
	double expected = i->pace * dt, each = steps ? (double)n / steps : 1;

	i->total += n;
	if (steps > i->range / 2 || expected > i->range / 2.0 || (steps && dt > LONG_S))
		i->doubt = true;
	if (dt <= CLOSE_S)
		i->pace = steps / dt;
	else if (expected >= steps + (double)i->range)
		i->total += (uint64_t)((expected - steps) / i->range) * (i->range * each);
}

void vu__obs_place_see(struct vu__obs_index *i, uint16_t place, uint32_t steps,
		       uint32_t n, uint32_t size, uint64_t mono_ns)
{
	i->range = 2 * size;
	if (i->mono_ns && mono_ns <= i->mono_ns)
		return;
	/* A place that was guessed may turn out to be a little less far. */
	if (i->mono_ns && steps > i->range - size / 4)
		return;
	if (i->mono_ns)
		step(i, steps, n, (mono_ns - i->mono_ns) / 1e9);
	i->last = place;
	i->mono_ns = mono_ns;
}

unsigned int vu__obs_index_patience(const struct vu__obs_index *i)
{
	unsigned int least = i->range ? 4 : 1, most = i->range ? 50 : 1000;
	/* A quarter of the range leaves room for a pace that doubles. */
	double range = i->range ? i->range : WORD;
	double ms = i->pace > 0 ? range / 4 / i->pace * 1000 : most;

	return ms < least ? least : ms > most ? most : (unsigned int)ms;
}

/* --- histograms --- */

static uint64_t counted(const struct vu__obs_hist *old, const struct vu__obs_hist *now,
			unsigned int bucket)
{
	uint64_t before = old && bucket < old->nbuckets ? old->count[bucket] : 0;

	return now->count[bucket] > before ? now->count[bucket] - before : 0;
}

double vu__obs_percentile(const struct vu__obs_hist *old, const struct vu__obs_hist *now,
			  double share)
{
	uint64_t total = 0, seen = 0;
	double wanted;

	for (unsigned int i = 0; i < now->nbuckets; i++)
		total += counted(old, now, i);
	if (!total)
		return -1;
	wanted = share * total;
	for (unsigned int i = 0; i < now->nbuckets; i++) {
		seen += counted(old, now, i);
		if (seen && seen >= wanted)
			return now->upper[i];
	}
	return now->upper[now->nbuckets - 1];
}
