/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that is shown of one moment.  Pure; a frame belongs to one thread at a time. */
#include "vu-top/frame.h"

#include <pthread.h>
#include <string.h>

struct top_frame *top_frame_new(void)
{
	struct top_frame *f = calloc(1, sizeof(*f));

	if (f)
		f->refs = 1;
	return f;
}

struct top_frame *top_frame_get(struct top_frame *f)
{
	f->refs++;
	return f;
}

void top_frame_put(struct top_frame *f)
{
	if (!f || --f->refs)
		return;
	for (uint32_t i = 0; i < f->nhists; i++) {
		for (unsigned int l = 0; l < VU__OBS_LATENCIES; l++)
			vu__hist_release(&f->hists[i].of[l]);
	}
	for (uint32_t i = 0; i < f->nevents; i++)
		free(f->events[i].events);
	free(f->hists);
	free(f->events);
	free(f->holders);
	free(f->backings);
	vu__snapshot_free(f->snap);
	free(f);
}

/* Arrays grow by doubling: their room is the next power of two. */
static void *add(void **array, uint32_t *n, size_t size)
{
	char *one;

	if (!(*n & (*n - 1))) {
		void *more = reallocarray(*array, *n ? 2 * *n : 1, size);

		if (!more)
			return NULL;
		*array = more;
	}
	one = (char *)*array + (size_t)(*n)++ * size;
	memset(one, 0, size);
	return one;
}

struct top_hists *top_frame_add_hists(struct top_frame *f)
{
	return add((void **)&f->hists, &f->nhists, sizeof(*f->hists));
}

struct top_holder *top_frame_add_holder(struct top_frame *f)
{
	return add((void **)&f->holders, &f->nholders, sizeof(*f->holders));
}

struct top_backing *top_frame_add_backing(struct top_frame *f)
{
	return add((void **)&f->backings, &f->nbackings, sizeof(*f->backings));
}

struct top_events *top_frame_add_events(struct top_frame *f, uint32_t n)
{
	struct vu_telemetry_event *events = calloc(n ? n : 1, sizeof(*events));
	struct top_events *e;

	if (!events)
		return NULL;
	e = add((void **)&f->events, &f->nevents, sizeof(*f->events));
	if (!e) {
		free(events);
		return NULL;
	}
	e->events = events;
	e->n = n;
	return e;
}

static uint64_t bounds[VU_HIST_BUCKETS];

static void make_bounds(void)
{
	for (unsigned int i = 0; i < VU_HIST_BUCKETS; i++)
		bounds[i] = vu_hist_lower(i) + vu_hist_width(i) - 1;
}

const uint64_t *top_hist_bounds(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_bounds);
	return bounds;
}

const struct vu__obs_hist *top_frame_hist(const struct top_frame *f, uint32_t queue,
					  enum vu__obs_latency which)
{
	size_t low = 0, high = f->nhists;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->hists[mid].queue == queue)
			return f->hists[mid].of[which].count ? &f->hists[mid].of[which] : NULL;
		if (f->hists[mid].queue < queue)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

struct top_key top_key_of_device(const struct vu__obs_snapshot *s,
				 const struct vu__obs_device *d)
{
	const struct vu__obs_process *p = vu__obs_process_of(s, d);

	return (struct top_key){p->pid, p->start_time, d->number, 0};
}

struct top_key top_key_of(const struct vu__obs_snapshot *s, const struct vu__obs_queue *q)
{
	struct top_key key = top_key_of_device(s, vu__obs_device_of(s, q));

	key.queue = q->index;
	return key;
}
