/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes frames: a snapshot, then histograms, events and whatever else is wanted.  One
 * thread at a time.
 */
#include "vu-top/collect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "observe/proc.h"

/* A lease is renewed when a third of it is left: a reader that dies costs little. */
#define LEASE_S	      15
#define LEASE_AGAIN_S 10

/* Looking through all processes for eventfds takes a while; not at every frame. */
#define HOLDERS_EVERY_MS 3000
#define HOLDERS_BUDGET_MS 150

/* What is remembered of a device. */
struct known {
	struct top_key key;
	bool there;
	int64_t lease_until_ms;
	uint64_t last_event; /* its number */
};

struct top_collector {
	struct vu__sampler *sampler;
	struct vu__procfs proc;
	size_t nknown;
	struct known *known;
	int64_t holders_at;
	struct top_key holders_of;
	uint32_t nholders;
	struct top_holder *holders;
	bool holders_cut;
	struct vu_telemetry_event events[VU_TELEMETRY_EVENTS];
};

/* --- wants --- */

static int add_key(struct top_key **array, uint32_t *n, const struct top_key *key)
{
	if (!(*n & (*n - 1))) {
		struct top_key *more = reallocarray(*array, *n ? 2 * *n : 1, sizeof(**array));

		if (!more)
			return -ENOMEM;
		*array = more;
	}
	(*array)[(*n)++] = *key;
	return 0;
}

int top_want_queue(struct top_want *w, const struct top_key *key)
{
	return add_key(&w->queues, &w->nqueues, key);
}

int top_want_device(struct top_want *w, const struct top_key *key)
{
	return add_key(&w->devs, &w->ndevs, key);
}

void top_want_release(struct top_want *w)
{
	free(w->queues);
	free(w->devs);
	memset(w, 0, sizeof(*w));
}

int top_want_copy(struct top_want *to, const struct top_want *from)
{
	int ret = 0;

	*to = *from;
	to->nqueues = to->ndevs = 0;
	to->queues = to->devs = NULL;
	for (uint32_t i = 0; !ret && i < from->nqueues; i++)
		ret = top_want_queue(to, &from->queues[i]);
	for (uint32_t i = 0; !ret && i < from->ndevs; i++)
		ret = top_want_device(to, &from->devs[i]);
	if (ret)
		top_want_release(to);
	return ret;
}

/* --- made and ended --- */

struct top_collector *top_collector_new(const struct vu__sample_options *options)
{
	struct top_collector *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return NULL;
	c->sampler = vu__sampler_new(options);
	ret = c->sampler ? vu__procfs_open(&c->proc, NULL) : -errno;
	if (ret) {
		vu__sampler_free(c->sampler);
		free(c);
		errno = -ret;
		return NULL;
	}
	return c;
}

void top_collector_free(struct top_collector *c)
{
	if (!c)
		return;
	vu__sampler_free(c->sampler);
	vu__procfs_close(&c->proc);
	free(c->known);
	free(c->holders);
	free(c);
}

void top_collect_tick(struct top_collector *c)
{
	vu__sample_tick(c->sampler);
}

unsigned int top_collect_tick_ms(const struct top_collector *c)
{
	return vu__sample_tick_ms(c->sampler);
}

/* --- devices --- */

static struct known *known_of(struct top_collector *c, const struct top_key *key)
{
	struct known *more;

	for (size_t i = 0; i < c->nknown; i++) {
		if (top_same_device(&c->known[i].key, key))
			return &c->known[i];
	}
	more = reallocarray(c->known, c->nknown + 1, sizeof(*more));
	if (!more)
		return NULL;
	c->known = more;
	more = &c->known[c->nknown++];
	*more = (struct known){.key = *key};
	return more;
}

static void forget_gone(struct top_collector *c)
{
	size_t to = 0;

	for (size_t i = 0; i < c->nknown; i++) {
		if (!c->known[i].there)
			continue;
		c->known[to] = c->known[i];
		c->known[to++].there = false;
	}
	c->nknown = to;
}

static bool wanted(const struct top_key *keys, uint32_t n, const struct top_key *key,
		   bool queue)
{
	for (uint32_t i = 0; i < n; i++) {
		if (queue ? top_same_queue(&keys[i], key) : top_same_device(&keys[i], key))
			return true;
	}
	return false;
}

static void read_events(struct top_collector *c, struct top_frame *f, uint32_t dev,
			struct known *k)
{
	unsigned int first = 0;
	struct top_events *e;
	uint64_t lost = 0;
	int n = vu__sample_events(c->sampler, k->key.pid, k->key.device, c->events,
				  VU_TELEMETRY_EVENTS, &lost);

	if (n <= 0)
		return;
	while (first < (unsigned int)n && c->events[first].number <= k->last_event)
		first++;
	if (first == (unsigned int)n)
		return;
	e = top_frame_add_events(f, n - first);
	if (!e)
		return;
	e->dev = dev;
	memcpy(e->events, c->events + first, (n - first) * sizeof(*e->events));
	if (c->events[first].number > k->last_event + 1)
		e->lost = c->events[first].number - k->last_event - 1;
	k->last_event = c->events[n - 1].number;
}

static void visit_devices(struct top_collector *c, const struct top_want *w,
			  struct top_frame *f)
{
	int64_t now = vu__now_ms();

	for (uint32_t i = 0; i < f->snap->ndevs; i++) {
		const struct vu__obs_device *d = &f->snap->devs[i];
		struct top_key key = top_key_of_device(f->snap, d);
		struct known *k;

		if (d->from != VU__OBS_TELEMETRY)
			continue;
		k = known_of(c, &key);
		if (!k)
			continue;
		k->there = true;
		if ((w->watch_all || wanted(w->queues, w->nqueues, &key, false)) &&
		    f->snap->procs[d->proc].alive &&
		    now > k->lease_until_ms - (LEASE_S - LEASE_AGAIN_S) * 1000) {
			/* Not again and again, if it may not be written. */
			(void)!vu__sample_watch(c->sampler, key.pid, key.device, LEASE_S);
			k->lease_until_ms = now + LEASE_S * 1000;
		}
		if (w->events_all || wanted(w->devs, w->ndevs, &key, false))
			read_events(c, f, i, k);
	}
	forget_gone(c);
}

/* --- queues --- */

static void read_hists(struct top_collector *c, struct top_frame *f, uint32_t queue,
		       const struct top_key *key)
{
	struct top_hists *h = top_frame_add_hists(f);

	if (!h)
		return;
	h->queue = queue;
	for (unsigned int l = 0; l < VU__OBS_LATENCIES; l++) {
		/* What is not kept has no count; that is all there is to know. */
		if (vu__sample_hist(c->sampler, key->pid, key->device, key->queue, l, &h->of[l]))
			memset(&h->of[l], 0, sizeof(h->of[l]));
		else
			h->of[l].upper = top_hist_bounds();
	}
}

static void visit_queues(struct top_collector *c, const struct top_want *w,
			 struct top_frame *f)
{
	if (!w->hists_all && !w->nqueues)
		return;
	for (uint32_t i = 0; i < f->snap->nqueues; i++) {
		const struct vu__obs_queue *q = &f->snap->queues[i];
		struct top_key key;

		if (vu__obs_device_of(f->snap, q)->from != VU__OBS_TELEMETRY)
			continue;
		key = top_key_of(f->snap, q);
		if (w->hists_all || wanted(w->queues, w->nqueues, &key, true))
			read_hists(c, f, i, &key);
	}
}

/* --- who has an eventfd --- */

static const struct vu__obs_queue *find_focus(const struct top_want *w,
					      const struct vu__obs_snapshot *s)
{
	for (uint32_t i = 0; i < s->nqueues; i++) {
		const struct vu__obs_queue *q = &s->queues[i];
		const struct vu__obs_device *d = vu__obs_device_of(s, q);

		if (s->procs[d->proc].pid == w->focus_on.pid &&
		    d->number == w->focus_on.device && q->index == w->focus_on.queue)
			return q;
	}
	return NULL;
}

static void add_holder(struct top_collector *c, pid_t pid, int fd, int64_t id)
{
	struct top_holder *more = reallocarray(c->holders, c->nholders + 1, sizeof(*more));
	struct vu__procfs_stat st;

	if (!more)
		return;
	c->holders = more;
	more = &c->holders[c->nholders++];
	*more = (struct top_holder){.id = id, .pid = pid, .fd = fd};
	if (!vu__procfs_stat(&c->proc, pid, 0, &st))
		memcpy(more->comm, st.comm, sizeof(more->comm));
}

static void look_at_process(struct top_collector *c, pid_t pid, const int64_t ids[3])
{
	struct vu__procfs_fds fds;

	int ret = vu__procfs_fds(&c->proc, pid, 1u << VU__FD_EVENTFD, &fds);

	if (ret) {
		c->holders_cut = c->holders_cut || ret == -EACCES || ret == -EPERM;
		return;
	}
	for (size_t i = 0; i < fds.n; i++) {
		for (unsigned int j = 0; j < 3; j++) {
			if (ids[j] >= 0 && fds.fds[i].event == ids[j])
				add_holder(c, pid, fds.fds[i].fd, ids[j]);
		}
	}
	vu__procfs_fds_release(&fds);
}

static void find_holders(struct top_collector *c, const struct vu__obs_queue *q)
{
	const int64_t ids[3] = {q->kick.id, q->call.id, q->err.id};
	VU_CLEANUP_FREE pid_t *pids = NULL;
	int64_t deadline = vu__now_ms() + HOLDERS_BUDGET_MS;
	ssize_t n = vu__procfs_pids(&c->proc, &pids);

	c->nholders = 0;
	c->holders_cut = false;
	for (ssize_t i = 0; i < n; i++) {
		if (vu__now_ms() > deadline) {
			c->holders_cut = true;
			break;
		}
		look_at_process(c, pids[i], ids);
	}
}

static void visit_holders(struct top_collector *c, const struct top_want *w,
			  struct top_frame *f)
{
	const struct vu__obs_queue *q = find_focus(w, f->snap);
	struct top_key key;

	if (!q)
		return;
	key = top_key_of(f->snap, q);
	if (!top_same_queue(&key, &c->holders_of) || vu__now_ms() > c->holders_at) {
		find_holders(c, q);
		c->holders_of = key;
		c->holders_at = vu__now_ms() + HOLDERS_EVERY_MS;
	}
	for (uint32_t i = 0; i < c->nholders; i++) {
		struct top_holder *h = top_frame_add_holder(f);

		if (h)
			*h = c->holders[i];
	}
	f->holders_cut = c->holders_cut;
}

/* --- what is mapped --- */

static void name_regions(struct top_frame *f, const struct vu__obs_device *d,
			 uint64_t start, uint64_t end, const char *what)
{
	for (uint32_t i = 0; i < d->nregions; i++) {
		const struct vu__obs_region *r = &f->snap->regions[d->first_region + i];
		struct top_backing *b;

		if (r->addr < start || r->addr >= end)
			continue;
		b = top_frame_add_backing(f);
		if (!b)
			return;
		b->region = d->first_region + i;
		vu__procfs_copy_text(b->what, sizeof(b->what), what, strcspn(what, "\n"));
	}
}

static void visit_backings(struct top_frame *f)
{
	for (uint32_t i = 0; i < f->snap->ndevs; i++) {
		const struct vu__obs_device *d = &f->snap->devs[i];
		const struct vu__obs_process *p = &f->snap->procs[d->proc];
		char path[40], line[512];
		FILE *maps;

		if (!d->nregions || !p->alive)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/maps", p->pid);
		maps = fopen(path, "re");
		while (maps && fgets(line, sizeof(line), maps)) {
			unsigned long long start, end;
			int at = 0;

			if (sscanf(line, "%llx-%llx %*s %*s %*s %*s %n", &start, &end, &at) >= 2 &&
			    at && line[at] != '\n')
				name_regions(f, d, start, end, line + at);
		}
		if (maps)
			fclose(maps);
	}
}

/* --- a frame --- */

static void look_at_self(struct top_self *self)
{
	struct timespec ts;
	unsigned long size, resident;
	FILE *f;

	if (!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts))
		self->cpu_ns = ts.tv_sec * 1000000000ull + ts.tv_nsec;
	f = fopen("/proc/self/statm", "re");
	if (!f)
		return;
	if (fscanf(f, "%lu %lu", &size, &resident) == 2)
		self->mapped = (uint64_t)resident * sysconf(_SC_PAGESIZE);
	fclose(f);
}

int top_collect(struct top_collector *c, const struct top_want *want, struct top_frame **out)
{
	static const struct top_want nothing;
	struct top_frame *f = top_frame_new();
	int ret;

	*out = NULL;
	if (!f)
		return -ENOMEM;
	want = want ? want : &nothing;
	vu__sample_set_focus(c->sampler, want->focus ? &want->focus_on : NULL);
	ret = vu__sample_take(c->sampler, &f->snap);
	if (ret) {
		top_frame_put(f);
		return ret;
	}
	visit_devices(c, want, f);
	visit_queues(c, want, f);
	if (want->focus && want->holders)
		visit_holders(c, want, f);
	if (want->backings)
		visit_backings(f);
	look_at_self(&f->self);
	*out = f;
	return 0;
}
