/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-trace record: events into a file; with a trigger only those before latency became
 * bad, which are kept in memory till then.  The main thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "format.h"
#include "hist.h"
#include "record.h"
#include "session.h"
#include "tier_e.h"

#define FLIGHT	  131072 /* events kept for a trigger */
#define CHECK_NS  500000000ULL
#define THREADS	  1024

struct trigger {
	double share; /* 1: the largest */
	uint64_t ns;
};

union kept {
	struct event e;
	struct ev_round r;
};

struct recorder {
	struct session *s;
	struct record_writer *w;
	struct trigger trigger;
	union kept *flight;
	uint64_t nflight; /* so far */
	struct hist *before; /* by slot, of ST_TOTAL */
	uint32_t nbefore;
	uint64_t checked;
	uint32_t threads[THREADS];
	unsigned int nthreads;
	uint32_t queues; /* written */
	uint64_t seen;
	int err;
};

/* "p99>5ms" */
static bool parse_trigger(const char *text, struct trigger *t)
{
	static const struct {
		const char *name;
		double share;
	} what[] = {{"p50>", 0.5}, {"p90>", 0.9}, {"p99>", 0.99}, {"p99.9>", 0.999}, {"max>", 1}};
	double s;

	for (unsigned int i = 0; i < VU_ARRAY_SIZE(what); i++) {
		size_t len = strlen(what[i].name);

		if (strncmp(text, what[i].name, len))
			continue;
		t->share = what[i].share;
		if (!parse_seconds(text + len, &s) || s <= 0)
			return false;
		t->ns = s * 1e9;
		return true;
	}
	return false;
}

/* --- what names belong to numbers --- */

static void write_thread(struct recorder *r, uint32_t tgid, uint32_t tid)
{
	struct record_thread t = {.tgid = tgid, .tid = tid};
	struct vu__procfs_stat st;

	for (unsigned int i = 0; i < r->nthreads; i++) {
		if (r->threads[i] == tid)
			return;
	}
	if (r->nthreads == THREADS)
		return;
	r->threads[r->nthreads++] = tid;
	if (vu__procfs_stat(world_proc(r->s->world), tgid, tid, &st))
		return;
	memcpy(t.comm, st.comm, sizeof(t.comm));
	record_add_thread(r->w, &t);
}

static void write_queues(struct recorder *r)
{
	for (; r->queues < r->s->nslots; r->queues++) {
		const struct slot_info *i = &r->s->slots[r->queues];
		struct record_queue q = {.slot = r->queues,
					 .vmm = i->queue.vmm,
					 .backend = i->queue.backend,
					 .index = i->queue.index};

		if (!i->selected)
			continue;
		snprintf(q.name, sizeof(q.name), "%s", i->name);
		snprintf(q.vmm_comm, sizeof(q.vmm_comm), "%s",
			 world_comm(r->s->world, i->queue.vmm));
		snprintf(q.backend_comm, sizeof(q.backend_comm), "%s",
			 world_comm(r->s->world, i->queue.backend));
		record_add_queue(r->w, &q);
	}
}

static void write_event(struct recorder *r, const struct event *e, size_t size)
{
	write_queues(r);
	write_thread(r, e->tgid, e->tid);
	r->err = record_add_event(r->w, e, size);
	r->seen++;
	if (r->err || r->seen == r->s->opt->count)
		r->s->done = true;
}

/* --- events --- */

static void on_event(void *opaque, const struct event *e, size_t size)
{
	struct recorder *r = opaque;
	union kept *k;

	if (r->s->done)
		return;
	if (!r->flight) {
		write_event(r, e, size);
		return;
	}
	k = &r->flight[r->nflight++ % FLIGHT];
	memset(k, 0, sizeof(*k));
	memcpy(k, e, VU_MIN(size, sizeof(*k)));
}

static void write_flight(struct recorder *r)
{
	uint64_t first = r->nflight > FLIGHT ? r->nflight - FLIGHT : 0;

	for (uint64_t i = first; i < r->nflight && !r->err; i++) {
		const union kept *k = &r->flight[i % FLIGHT];

		write_event(r, &k->e, k->e.kind == EV_ROUND ? sizeof(k->r) : sizeof(k->e));
	}
}

/* Whether a queue has become as bad as was asked for, since the last time. */
static bool triggered(struct recorder *r)
{
	struct session *s = r->s;
	uint64_t now = now_ns();
	bool ret = false;

	if (now - r->checked < CHECK_NS)
		return false;
	r->checked = now;
	for (uint32_t i = 0; i < s->nslots && i < r->nbefore; i++) {
		const struct hist *h = loader_hist(s->loader, i, ST_TOTAL);
		struct hist d;
		uint64_t v;

		if (!h || !s->slots[i].selected)
			continue;
		hist_diff(&d, h, &r->before[i]);
		for (d.max = HIST_BUCKETS - 1; d.max && !d.bucket[d.max]; d.max--)
			;
		d.max = hist_lower(d.max + 1);
		r->before[i] = *h;
		v = r->trigger.share < 1 ? hist_percentile(&d, r->trigger.share) : d.max;
		if (d.count && v > r->trigger.ns) {
			char t[TIME_TEXT];

			say("%s: %s reached %s", s->slots[i].name, s->opt->trigger,
			    time_text(t, v));
			ret = true;
		}
	}
	return ret;
}

/* --- the command --- */

static int begin(struct recorder *r)
{
	struct record_info info = {.version = RECORD_VERSION, .tier = r->s->tier};
	struct timespec ts;
	struct utsname u;

	uname(&u);
	snprintf(info.kernel, sizeof(info.kernel), "%.63s", u.release);
	clock_gettime(CLOCK_REALTIME, &ts);
	info.mono_ns = now_ns();
	info.real_ns = ts.tv_sec * 1000000000ULL + ts.tv_nsec;
	r->nbefore = r->s->nslots + 64;
	r->before = calloc(r->nbefore, sizeof(*r->before));
	if (r->s->opt->trigger)
		r->flight = calloc(FLIGHT, sizeof(*r->flight));
	if (!r->before || (r->s->opt->trigger && !r->flight))
		return -ENOMEM;
	return record_create(&r->w, r->s->opt->output, &info);
}

static void run(struct recorder *r)
{
	bool hit = false;

	if (!r->s->loader) {
		poll_queues(r->s, on_event, r);
		return;
	}
	while (session_run(r->s, READ_MS, on_event, r)) {
		hit = r->flight && triggered(r);
		if (hit)
			break;
	}
	if (hit) {
		/* The round that was too long is counted before it is handed over. */
		(void)session_run(r->s, 0, on_event, r);
		write_flight(r);
	}
	if (!hit && r->flight)
		say("%s: not reached", r->s->opt->trigger);
}

static int finish(struct recorder *r)
{
	struct probe_stat stats[EV_KINDS] = {0};
	int ret;

	for (unsigned int k = 0; r->s->loader && k < EV_KINDS; k++)
		loader_stat(r->s->loader, k, &stats[k]);
	record_add_losses(r->w, stats);
	ret = record_close(r->w);
	if (ret) {
		say("%s: %s", r->s->opt->output, strerror(-ret));
		return EXIT_FAILED;
	}
	fprintf(stderr, "%s: %llu events\n", r->s->opt->output, (unsigned long long)r->seen);
	return session_status(r->s);
}

int cmd_record(const struct options *o)
{
	struct load_options lo = {.kinds = o->kinds ? o->kinds : ~(1U << EV_TABLE),
				  .stages = true,
				  .messages = true};
	struct recorder *r;
	struct session s;
	int ret;

	if (!o->output) {
		say("record: -o FILE is missing");
		return EXIT_USAGE;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return EXIT_FAILED;
	if (o->trigger && !parse_trigger(o->trigger, &r->trigger)) {
		say("--trigger: '%s' is not such as p99>5ms", o->trigger);
		free(r);
		return EXIT_USAGE;
	}
	ret = session_open(&s, o, &lo);
	r->s = &s;
	if (ret < 0) {
		ret = begin(r);
		if (ret) {
			say("%s: %s", o->output, strerror(-ret));
			ret = EXIT_FAILED;
		} else {
			run(r);
			ret = finish(r);
			session_say_losses(&s);
		}
	}
	free(r->flight);
	free(r->before);
	free(r);
	session_close(&s);
	return ret;
}
