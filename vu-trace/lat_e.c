/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Latencies without BPF: libvu's back-ends keep two histograms while somebody asks them
 * to; of other back-ends there are counts.  The main thread.
 */
#include "tier_e.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hist.h"
#include "judge.h"
#include "libvu/hist.h"
#include "select.h"
#include "stages.h"

#define LOOK_NS 1000000000ULL
#define LEASE_S 5 /* several looks */

static const struct {
	enum vu__obs_latency from;
	enum stage stage;
} kept[] = {{VU__OBS_KICK_TO_POP, ST_READ_POP}, {VU__OBS_SERVICE, ST_POP_PUSH}};
#define KEPT VU_ARRAY_SIZE(kept)

/* A queue, and what has happened to it since the last output. */
struct row {
	pid_t pid;
	uint32_t device;
	uint16_t index;
	uint32_t generation;
	char name[QUEUE_NAME];
	enum mode mode;
	int no_times;		 /* why not, -errno */
	uint64_t have, at_least; /* bit per counter */
	uint64_t was[VU__OBS_NCOUNTERS], n[VU__OBS_NCOUNTERS];
	struct vu__obs_hist seen[KEPT]; /* at the last look */
	struct hist hist[KEPT];
};

struct lat_e {
	struct session *s;
	struct vu__sampler *sampler;
	struct row *rows;
	size_t nrows;
	bool begun; /* what a new queue has counted, it has counted since */
	uint64_t outputs;
};

/* --- looking --- */

/* Buckets are the same here, in libvu, and in the kernel. */
_Static_assert(VU_HIST_BUCKETS == HIST_BUCKETS && VU_HIST_SUB_BITS == HIST_SUB_BITS,
	       "the same buckets");

static void add_hist(struct hist *h, const struct vu__obs_hist *old,
		     const struct vu__obs_hist *now)
{
	bool anew = !old->nbuckets || old->total > now->total;

	for (unsigned int i = 0; i < now->nbuckets && i < HIST_BUCKETS; i++) {
		uint64_t n = now->count[i] - (anew || i >= old->nbuckets ? 0 : old->count[i]);

		if (!n || n > now->count[i])
			continue;
		h->bucket[i] += n;
		h->count += n;
		h->max = VU_MAX(h->max, VU_MIN(now->upper[i], now->max));
	}
	h->sum += now->sum - (anew ? 0 : old->sum);
}

static void look_at_times(struct lat_e *l, struct row *r, bool count)
{
	if (l->s->opt->counts)
		return;
	r->no_times = vu__sample_watch(l->sampler, r->pid, r->device, LEASE_S);
	for (unsigned int i = 0; i < KEPT && !r->no_times; i++) {
		struct vu__obs_hist now;

		/* A queue that was never watched has none yet. */
		if (vu__sample_hist(l->sampler, r->pid, r->device, r->index, kept[i].from,
				    &now))
			continue;
		if (count)
			add_hist(&r->hist[i], &r->seen[i], &now);
		vu__hist_release(&r->seen[i]);
		r->seen[i] = now;
	}
}

static struct row *row_of(struct lat_e *l, pid_t pid, uint32_t device, uint16_t index)
{
	struct row *bigger;

	for (size_t i = 0; i < l->nrows; i++) {
		struct row *r = &l->rows[i];

		if (r->pid == pid && r->device == device && r->index == index)
			return r;
	}
	bigger = reallocarray(l->rows, l->nrows + 1, sizeof(*bigger));
	if (!bigger)
		return NULL;
	l->rows = bigger;
	l->rows[l->nrows] = (struct row){.pid = pid, .device = device, .index = index};
	return &l->rows[l->nrows++];
}

static void look_at(struct lat_e *l, const struct vu__obs_snapshot *snap,
		    const struct vu__obs_queue *q)
{
	const struct vu__obs_device *d = vu__obs_device_of(snap, q);
	pid_t pid = vu__obs_process_of(snap, d)->pid;
	size_t before = l->nrows;
	struct row *r = row_of(l, pid, d->number, q->index);
	bool first, anew;

	if (!r)
		return;
	first = l->nrows > before;
	anew = r->generation != q->setup.generation;
	judge_name(snap, q, r->name, sizeof(r->name));
	r->mode = !vu__obs_knows(q, VU__OBS_SETUP) ? MODE_UNKNOWN
		  : d->from != VU__OBS_TELEMETRY   ? MODE_UNKNOWN
		  : q->setup.polled		   ? MODE_POLLING
						   : MODE_INTERRUPT;
	r->generation = q->setup.generation;
	r->have = q->have_counter;
	r->at_least |= q->at_least;
	for (unsigned int c = 0; c < VU__OBS_NCOUNTERS; c++) {
		uint64_t from = first || anew ? 0 : r->was[c];

		if (!first || l->begun)
			r->n[c] += q->counter[c] >= from ? q->counter[c] - from : 0;
		r->was[c] = q->counter[c];
	}
	look_at_times(l, r, !first || l->begun);
}

static int look(struct lat_e *l)
{
	struct vu__obs_snapshot *snap;
	int ret = vu__sample_take(l->sampler, &snap);

	if (ret)
		return ret;
	for (uint32_t i = 0; i < snap->nqueues; i++) {
		if (judge_selects(l->s->opt, snap, &snap->queues[i]))
			look_at(l, snap, &snap->queues[i]);
	}
	l->begun = true;
	vu__snapshot_free(snap);
	return 0;
}

/* --- showing --- */

static const struct {
	const char *name;
	enum vu__obs_counter counter;
	uint8_t side;
} counts[] = {
	{"kicks", VU__OBS_KICK_VALUES, ROLE_KICK},
	{"reads", VU__OBS_KICKS, ROLE_KICK},
	{"available", VU__OBS_AVAILABLE, ROLE_NONE},
	{"pops", VU__OBS_POPPED, ROLE_NONE},
	{"pushes", VU__OBS_COMPLETED, ROLE_NONE},
	{"calls", VU__OBS_CALLS, ROLE_CALL},
	{"suppressed_by_flag", VU__OBS_NOCALL_FLAG, ROLE_CALL},
	{"suppressed_by_event", VU__OBS_NOCALL_EVENT, ROLE_CALL},
	{"masked_calls", VU__OBS_NOCALL_MASKED, ROLE_CALL},
	{"failed_calls", VU__OBS_CALL_ERRORS, ROLE_CALL},
};

static bool knows(const struct lat_e *l, const struct row *r, unsigned int i)
{
	return r->have & VU_BIT(counts[i].counter) &&
	       (!counts[i].side || selects_side(l->s->opt, counts[i].side));
}

static const char *no_times(const struct row *r)
{
	if (r->no_times == -ENOENT)
		return "not a back-end of libvu's";
	return r->no_times == -EACCES
		       ? "its telemetry may not be written, as asking for them does"
		       : strerror(-r->no_times);
}

static void text_row(const struct lat_e *l, const struct row *r)
{
	bool begun = false, any = false;

	printf("%s  %s ", r->name, mode_name(r->mode));
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(counts); i++) {
		bool doubt = r->at_least & VU_BIT(counts[i].counter);

		/* The first two are worth a line also when there was nothing. */
		if (!knows(l, r, i) || (i > 1 && !r->n[counts[i].counter]))
			continue;
		printf("%s %s %s%" PRIu64, any ? "," : "", counts[i].name,
		       doubt ? "at least " : "", r->n[counts[i].counter]);
		any = true;
	}
	puts(any ? "" : " nothing");
	for (unsigned int i = 0; i < KEPT; i++)
		stage_text(kept[i].stage, &r->hist[i], &begun);
	if (r->no_times)
		printf("  no times: %s\n", no_times(r));
}

static void json_row(const struct lat_e *l, struct json *j, const struct row *r)
{
	json_open(j, NULL, '{');
	json_text(j, "name", r->name);
	json_number(j, "pid", r->pid);
	json_text(j, "mode", mode_name(r->mode));
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(counts); i++) {
		if (knows(l, r, i))
			json_number(j, counts[i].name, r->n[counts[i].counter]);
	}
	json_bool(j, "at_least", r->at_least);
	json_open(j, "stages", '{');
	for (unsigned int i = 0; i < KEPT; i++)
		stage_json(j, kept[i].stage, &r->hist[i]);
	json_close(j, '}');
	if (r->no_times)
		json_text(j, "no_times", no_times(r));
	json_close(j, '}');
}

/* Queues that are there, and that neither telemetry nor a monitor tells of. */
static bool is_untold(const struct lat_e *l, const struct slot_info *i)
{
	if (!i->present || !i->selected)
		return false;
	for (size_t r = 0; r < l->nrows; r++) {
		if (l->rows[r].pid == (pid_t)i->queue.backend &&
		    l->rows[r].index == i->queue.index)
			return false;
	}
	return true;
}

static void show_untold(const struct lat_e *l, struct json *j)
{
	if (j)
		json_open(j, "untold", '[');
	for (uint32_t i = 0; i < l->s->nslots; i++) {
		const struct slot_info *slot = &l->s->slots[i];

		if (!is_untold(l, slot))
			continue;
		if (j)
			json_text(j, NULL, slot->name);
		else
			printf("%s  nothing is told of it: no telemetry, no monitor; "
			       "vu-trace "
			       "stream shows its counters\n",
			       slot->name);
	}
	if (j)
		json_close(j, ']');
}

static void show(struct lat_e *l)
{
	const struct options *o = l->s->opt;
	struct json j = json_to(stdout);
	struct timespec ts;
	char now[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	if (o->json) {
		json_open(&j, NULL, '{');
		json_number(&j, "schema", 1);
		json_number(&j, "mono_ns", now_ns());
		json_real(&j, "real_s", ts.tv_sec + ts.tv_nsec / 1e9, 3);
		json_text(&j, "tier", "E");
		json_open(&j, "queues", '[');
	} else if (o->interval) {
		strftime(now, sizeof(now), "%H:%M:%S", localtime(&ts.tv_sec));
		printf("--- %s\n", now);
	}
	for (size_t i = 0; i < l->nrows; i++) {
		struct row *r = &l->rows[i];

		if (o->json)
			json_row(l, &j, r);
		else
			text_row(l, r);
		r->at_least = 0;
		memset(r->n, 0, sizeof(r->n));
		memset(r->hist, 0, sizeof(r->hist));
	}
	if (o->json)
		json_close(&j, ']');
	show_untold(l, o->json ? &j : NULL);
	if (o->json) {
		json_close(&j, '}');
		json_line(&j);
	}
	fflush(stdout);
	l->outputs++;
}

/* --- the command --- */

/* Until @then; indices of 16 bits have to be looked at meanwhile. */
static void wait_until(struct lat_e *l, uint64_t then)
{
	uint64_t now;

	while (!interrupted() && (now = now_ns()) < then) {
		uint64_t ms = (then - now) / 1000000 + 1;

		(void)poll(NULL, 0, VU_MIN(ms, vu__sample_tick_ms(l->sampler)));
		vu__sample_tick(l->sampler);
	}
}

static int run(struct lat_e *l)
{
	const struct options *o = l->s->opt;
	uint64_t interval = o->interval * 1e9, end = UINT64_MAX, next;
	int ret = look(l);

	if (!ret && !session_goes_on(l->s, l->nrows || session_selected(l->s)))
		return 0;
	next = l->s->begun_ns + interval;
	if (o->duration)
		end = l->s->begun_ns + (uint64_t)(o->duration * 1e9);
	while (!ret && !interrupted() && !l->s->gone && now_ns() < end &&
	       (!o->count || l->outputs < o->count)) {
		uint64_t then = VU_MIN(now_ns() + LOOK_NS, end);

		wait_until(l, interval ? VU_MIN(then, next) : then);
		ret = look(l);
		if (!ret)
			ret = session_update(l->s);
		if (!ret && interval && now_ns() >= next) {
			show(l);
			next += interval;
		}
	}
	if (!interval && !ret)
		show(l);
	return ret;
}

int lat_without_bpf(struct session *s)
{
	struct lat_e l = {.s = s, .sampler = vu__sampler_new(NULL)};
	int ret = l.sampler ? run(&l) : -errno;

	if (ret)
		say("looking at queues: %s", strerror(-ret));
	for (size_t i = 0; i < l.nrows; i++) {
		for (unsigned int k = 0; k < KEPT; k++)
			vu__hist_release(&l.rows[i].seen[k]);
	}
	vu__sampler_free(l.sampler);
	free(l.rows);
	if (ret)
		return EXIT_FAILED;
	return l.nrows ? EXIT_OK : session_status(s);
}
