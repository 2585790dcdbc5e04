/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-trace lat: histograms per queue and stage, counts, the slowest.  The main thread. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format.h"
#include "heat.h"
#include "hist.h"
#include "session.h"
#include "stages.h"
#include "tier_e.h"

#define SLOWEST 10

struct snapshot {
	struct qstate state;
	struct hist hist[ST_STAGES];
};

struct lat {
	struct session *s;
	struct snapshot *old; /* by slot: what was shown already */
	uint32_t nold;
	struct ev_round slow[SLOWEST]; /* descending */
	unsigned int nslow;
	struct json j;
	struct heat heat;
	uint64_t outputs;
	bool ended;
};

/* --- the slowest rounds --- */

static void on_event(void *opaque, const struct event *e, size_t size)
{
	struct lat *l = opaque;
	unsigned int at;

	if (e->kind != EV_ROUND || size < sizeof(struct ev_round))
		return;
	for (at = 0; at < l->nslow && l->slow[at].head.value >= e->value; at++)
		;
	if (at == SLOWEST)
		return;
	if (l->nslow < SLOWEST)
		l->nslow++;
	memmove(&l->slow[at + 1], &l->slow[at], (l->nslow - 1 - at) * sizeof(l->slow[0]));
	memcpy(&l->slow[at], e, sizeof(l->slow[0]));
	if (l->nslow == SLOWEST)
		loader_set_slow(l->s->loader, l->slow[SLOWEST - 1].head.value + 1);
}

/* --- counts --- */

static uint64_t load(const void *p)
{
	return __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
}

/*
 * All kicks.  Where the kernel's own signals are told from the counters, what was read
 * and what is left there say it exactly; else each was counted as it happened.
 */
static uint64_t kicks(const struct session *s, uint32_t slot, const struct qstate *q)
{
	const struct slot_info *i = &s->slots[slot];

	/* Tier A sees what the guest's store signalled; in C that store is the signal. */
	if (s->opt->counts && s->tier == 'C')
		return load(&q->kicks) - i->kick_added + load(&q->n[EV_NOTIFY]);
	if (s->tier == 'C' && i->present && !s->opt->no_syscalls)
		return load(&q->consumed) + i->queue.kick.count - i->kick_before;
	return load(&q->kicks) - i->kick_added;
}

struct count {
	const char *name;
	size_t at;
};

#define COUNT(name, member) {name, offsetof(struct qstate, member)}
static const struct count counts[] = {
	COUNT("notified", n[EV_NOTIFY]),   COUNT("reads", n[EV_READ]),
	COUNT("empty_reads", empty_reads), COUNT("coalesced", coalesced),
	COUNT("wakes", n[EV_WAKE]),	   COUNT("no_wake", no_wake),
	COUNT("pops", n[EV_POP]),	   COUNT("pushes", n[EV_PUSH]),
	COUNT("calls", n[EV_CALL]),	   COUNT("failed_calls", failed_calls),
	COUNT("suppressed", n[EV_SUPPRESS]), COUNT("injected", n[EV_INJECT]),
	COUNT("consumed", n[EV_CONSUME]),
};

static uint64_t count_of(const struct qstate *q, const struct count *c)
{
	return load((const char *)q + c->at);
}

/* --- output --- */

static bool shown(const struct session *s, uint32_t slot)
{
	return s->slots[slot].selected && loader_queue(s->loader, slot);
}

static void text_counts(const struct lat *l, uint32_t slot, const struct qstate *q,
			const struct qstate *old)
{
	const struct session *s = l->s;
	uint64_t before = old->kicks;

	printf("%s  %s  kicks %" PRIu64, s->slots[slot].name,
	       s->slots[slot].present ? mode_name(s->slots[slot].queue.mode) : "gone",
	       kicks(s, slot, q) - before);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(counts); i++) {
		uint64_t n = count_of(q, &counts[i]) - count_of(old, &counts[i]);

		if (n)
			printf(", %s %" PRIu64, counts[i].name, n);
	}
	putchar('\n');
}

static void text_queue(struct lat *l, uint32_t slot, const struct qstate *q,
		       const struct snapshot *old)
{
	bool begun = false;

	text_counts(l, slot, q, &old->state);
	for (enum stage st = 0; st < ST_STAGES; st++) {
		struct hist h;

		hist_diff(&h, loader_hist(l->s->loader, slot, st), &old->hist[st]);
		stage_text(st, &h, &begun);
	}
}

static void json_queue(struct lat *l, uint32_t slot, const struct qstate *q,
		       const struct snapshot *old)
{
	struct json *j = &l->j;

	json_open(j, NULL, '{');
	json_text(j, "name", l->s->slots[slot].name);
	json_number(j, "pid", l->s->slots[slot].queue.backend);
	json_text(j, "mode", mode_name(l->s->slots[slot].queue.mode));
	json_number(j, "kicks", kicks(l->s, slot, q) - old->state.kicks);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(counts); i++)
		json_number(j, counts[i].name,
			    count_of(q, &counts[i]) - count_of(&old->state, &counts[i]));
	json_open(j, "stages", '{');
	for (enum stage st = 0; st < ST_STAGES; st++) {
		struct hist h;

		hist_diff(&h, loader_hist(l->s->loader, slot, st), &old->hist[st]);
		stage_json(j, st, &h);
	}
	json_close(j, '}');
	json_close(j, '}');
}

static void show_slowest(struct lat *l)
{
	for (unsigned int i = 0; i < l->nslow; i++) {
		const struct ev_round *r = &l->slow[i];
		char t[TIME_TEXT], steps[256];

		if (l->s->opt->json) {
			json_open(&l->j, NULL, '{');
			event_json(&l->j, &r->head, sizeof(*r),
				   session_queue_name(l->s, r->head.queue));
			json_close(&l->j, '}');
			continue;
		}
		if (!i)
			printf("the slowest:\n");
		round_text(steps, sizeof(steps), r);
		printf("  %9s  %s  thread %u: %s\n", time_text(t, r->head.value),
		       session_queue_name(l->s, r->head.queue), r->head.tid, steps);
	}
	l->nslow = 0;
	loader_set_slow(l->s->loader, 0);
}

/* Keeps what was shown, so that the next output says what came after it. */
static int keep(struct lat *l)
{
	struct session *s = l->s;
	struct snapshot *bigger;

	if (s->nslots > l->nold) {
		bigger = realloc(l->old, s->nslots * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		memset(bigger + l->nold, 0, (s->nslots - l->nold) * sizeof(*bigger));
		l->old = bigger;
		l->nold = s->nslots;
	}
	return 0;
}

static void remember(struct lat *l, uint32_t slot, const struct qstate *q)
{
	struct snapshot *old = &l->old[slot];

	if (!l->s->opt->interval)
		return;
	old->state = *q;
	old->state.kicks = kicks(l->s, slot, q);
	for (enum stage st = 0; st < ST_STAGES; st++)
		old->hist[st] = *loader_hist(l->s->loader, slot, st);
}

static void show(struct lat *l)
{
	struct session *s = l->s;
	struct timespec ts;

	if (session_update(s) || keep(l))
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	if (s->opt->json) {
		json_open(&l->j, NULL, '{');
		json_number(&l->j, "schema", 1);
		json_number(&l->j, "mono_ns", now_ns());
		json_real(&l->j, "real_s", ts.tv_sec + ts.tv_nsec / 1e9, 3);
		json_text(&l->j, "tier", (char[2]){s->tier});
		json_open(&l->j, "queues", '[');
	} else if (s->opt->interval) {
		char now[32];

		strftime(now, sizeof(now), "%H:%M:%S", localtime(&ts.tv_sec));
		printf("--- %s\n", now);
	}
	for (uint32_t i = 0; i < s->nslots; i++) {
		const struct qstate *q = loader_queue(s->loader, i);

		if (!shown(s, i))
			continue;
		if (s->opt->heat && !s->opt->json)
			heat_add(&l->heat, loader_hist(s->loader, i, ST_TOTAL),
				 &l->old[i].hist[ST_TOTAL]);
		else if (s->opt->json)
			json_queue(l, i, q, &l->old[i]);
		else
			text_queue(l, i, q, &l->old[i]);
		remember(l, i, q);
	}
	if (s->opt->json) {
		json_close(&l->j, ']');
		json_open(&l->j, "slowest", '[');
	}
	if (s->opt->heat && !s->opt->json)
		heat_row(&l->heat, stdout);
	else
		show_slowest(l);
	if (s->opt->json) {
		json_close(&l->j, ']');
		json_close(&l->j, '}');
		json_line(&l->j);
	}
	fflush(stdout);
	l->outputs++;
}

static void run(struct lat *l)
{
	const struct options *o = l->s->opt;
	uint64_t next = l->s->begun_ns + o->interval * 1e9;
	bool more = true;

	loader_set_slow(l->s->loader, 0);
	if (o->interval && !o->json && !l->s->opt->heat)
		fprintf(stderr, "tier %c, %u queues\n", l->s->tier, session_selected(l->s));
	while (more && (!o->count || l->outputs < o->count)) {
		uint64_t now = now_ns();
		int ms = 200;

		if (o->interval && next > now)
			ms = VU_MIN(200, (next - now) / 1000000 + 1);
		else if (o->interval)
			ms = 0;
		more = session_run(l->s, ms, on_event, l);
		if (o->interval && now_ns() >= next) {
			show(l);
			next += o->interval * 1e9;
		}
	}
	if (!o->interval)
		show(l);
}

int cmd_lat(const struct options *o)
{
	struct load_options lo = {.stages = true, .messages = true, .counts = o->counts};
	struct lat l = {.j = json_to(stdout)};
	struct session s;
	int ret = session_open(&s, o, &lo);

	if (ret < 0 && s.tier == 'E') {
		ret = lat_without_bpf(&s);
	} else if (ret < 0) {
		l.s = &s;
		run(&l);
		session_say_losses(&s);
		ret = session_status(&s);
	}
	free(l.old);
	session_close(&s);
	return ret;
}
