/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-trace stuck: queues that do not move, and why.  The main thread. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "judge.h"

/* Longer than the patience of a verdict. */
#define WATCH_S 1.6

struct stuck {
	struct judge judge;
	const struct options *opt;
	struct json j;
	unsigned int shown, unjudged, worst;
	uint64_t *before; /* kicks not read when the last look began, by slot */
	uint32_t nbefore;
};

static void text_verdict(const char *name, const struct vu__obs_verdict *v)
{
	printf("%-30s %-8s %-28s %s\n", name, vu__obs_severity_name(v->severity),
	       vu__obs_verdicts[v->id].name, v->evidence);
	if (v->severity >= VU__OBS_WARNING)
		printf("%-30s %-8s -> %s\n", "", vu__obs_confidence_name(v->confidence), v->next);
}

/* @q: NULL if observe has none. */
static void json_verdict(struct stuck *st, const char *name, uint32_t pid, uint32_t index,
			 const struct vu__obs_queue *q, const struct vu__obs_verdict *v)
{
	struct json *j = &st->j;

	json_open(j, NULL, '{');
	json_number(j, "schema", 1);
	json_text(j, "name", name);
	json_number(j, "pid", pid);
	json_number(j, "queue", index);
	json_text(j, "verdict", vu__obs_verdicts[v->id].name);
	json_text(j, "severity", vu__obs_severity_name(v->severity));
	json_text(j, "confidence", vu__obs_confidence_name(v->confidence));
	json_text(j, "evidence", v->evidence);
	json_text(j, "next", v->next);
	if (q && vu__obs_knows(q, VU__OBS_KVM)) {
		json_open(j, "kvm", '{');
		json_bool(j, "ioeventfd", q->kvm.ioeventfd == VU__OBS_YES);
		json_bool(j, "irqfd", q->kvm.irqfd == VU__OBS_YES);
		json_number(j, "exits", q->kvm.exits);
		json_number(j, "signals", q->kvm.signals);
		json_number(j, "calls", q->kvm.calls);
		json_number(j, "interrupts", q->kvm.interrupts);
		json_close(j, '}');
	}
	json_close(j, '}');
	json_line(j);
}

/* --- queues whose ring nobody tells of: their eventfds --- */

static bool kick_count(const struct session *s, const struct slot_info *i, uint64_t *count)
{
	const struct queue *q = &i->queue;
	int64_t id;

	return i->present && i->selected && q->kick.obj && q->kick.backend_fd >= 0 &&
	       !vu__procfs_eventfd(world_proc(s->world), q->backend, q->kick.backend_fd, &id,
				   count) &&
	       id == q->kick.id;
}

/* What is in the counters now, to see if somebody reads it. */
static void note_counts(struct stuck *st)
{
	const struct session *s = st->judge.s;

	free(st->before);
	st->nbefore = s->nslots;
	st->before = calloc(s->nslots + 1, sizeof(*st->before));
	for (uint32_t i = 0; st->before && i < s->nslots; i++)
		(void)kick_count(s, &s->slots[i], &st->before[i]);
}

static void judge_untold(const struct stuck *st, uint32_t slot, struct vu__obs_verdict *v)
{
	const struct slot_info *i = &st->judge.s->slots[slot];
	uint64_t was = st->before && slot < st->nbefore ? st->before[slot] : 0, now = 0;

	*v = (struct vu__obs_verdict){.id = VU__V_UNSEEN, .confidence = VU__OBS_LIKELY};
	snprintf(v->evidence, sizeof(v->evidence),
		 "no telemetry and no monitor tell of its ring; its eventfds have no work waiting");
	if (was && kick_count(st->judge.s, i, &now) && now >= was &&
	    i->queue.mode != MODE_POLLING) {
		v->id = VU__V_STUCK;
		snprintf(v->evidence, sizeof(v->evidence),
			 "%llu kicks wait and are not read; no telemetry and no monitor tell of its ring",
			 (unsigned long long)now);
		snprintf(v->next, sizeof(v->next),
			 "see what the threads of process %u do; a QMP socket of the monitor's "
			 "would show the ring", i->queue.backend);
	}
	v->severity = vu__obs_verdicts[v->id].severity;
}

static void show_untold(struct stuck *st)
{
	const struct session *s = st->judge.s;

	for (uint32_t i = 0; i < s->nslots; i++) {
		const struct slot_info *slot = &s->slots[i];
		struct vu__obs_verdict v;

		if (!slot->present || !slot->selected || judge_observed(&st->judge, slot))
			continue;
		judge_untold(st, i, &v);
		st->unjudged += v.id == VU__V_UNSEEN;
		st->shown += v.id != VU__V_UNSEEN;
		st->worst = VU_MAX(st->worst, v.severity);
		if (!st->opt->all && v.severity < VU__OBS_WARNING)
			continue;
		if (st->opt->json)
			json_verdict(st, slot->name, slot->queue.backend, slot->queue.index, NULL, &v);
		else
			text_verdict(slot->name, &v);
	}
}

/* --- all --- */

static void show(struct stuck *st)
{
	const struct vu__obs_snapshot *s = judge_last(&st->judge);

	st->shown = st->unjudged = st->worst = 0;
	for (uint32_t i = 0; i < s->nqueues; i++) {
		const struct vu__obs_queue *q = &s->queues[i];
		struct vu__obs_verdict v;
		char name[QUEUE_NAME];

		if (!judge_selects(st->opt, s, q))
			continue;
		judge_queue(&st->judge, q, &v);
		judge_name(s, q, name, sizeof(name));
		st->shown++;
		st->worst = VU_MAX(st->worst, v.severity);
		if (!st->opt->all && v.severity < VU__OBS_WARNING)
			continue;
		if (st->opt->json)
			json_verdict(st, name, vu__obs_process_of(s, vu__obs_device_of(s, q))->pid,
				     q->index, q, &v);
		else
			text_verdict(name, &v);
	}
	show_untold(st);
	if (!st->opt->json && st->shown && st->worst < VU__OBS_WARNING && !st->opt->watch)
		printf("%u queues, none is stuck\n", st->shown);
	if (!st->opt->json && st->unjudged && !st->opt->all)
		printf("%u more cannot be judged, their rings are not seen (--all)\n",
		       st->unjudged);
	fflush(stdout);
}

static int run(struct stuck *st)
{
	double watch = VU_MAX(st->opt->interval, WATCH_S);
	uint64_t begin = now_ns(), outputs = 0;
	int ret;

	do {
		note_counts(st);
		ret = judge_watch(&st->judge, watch);
		if (ret) {
			say("looking at queues: %s", strerror(-ret));
			return EXIT_FAILED;
		}
		if (judge_last(&st->judge))
			show(st);
		outputs++;
	} while (st->opt->watch && !interrupted() && !st->judge.s->gone &&
		 (!st->opt->count || outputs < st->opt->count) &&
		 (!st->opt->duration || now_ns() - begin < st->opt->duration * 1e9));
	if (!st->shown && !st->unjudged)
		session_say_none(st->judge.s, "");
	return st->shown && st->worst < VU__OBS_WARNING ? EXIT_OK : EXIT_FAILED;
}

int cmd_stuck(const struct options *o)
{
	/* Nothing is handed over: counts and the times of the last events are enough. */
	struct load_options lo = {.kinds = 0, .messages = false};
	struct stuck st = {.opt = o, .j = json_to(stdout)};
	struct session s;
	int ret;

	if (o->sides) {
		say("stuck: a verdict is on both sides of a queue: --role=%s is not for it", o->role);
		return EXIT_USAGE;
	}
	ret = session_open(&s, o, &lo);
	if (ret < 0) {
		if (s.no_bpf)
			(void)session_goes_on(&s, true);
		ret = judge_open(&st.judge, &s);
		if (ret) {
			say("looking at queues: %s", strerror(-ret));
			ret = EXIT_FAILED;
		} else {
			ret = run(&st);
			judge_close(&st.judge);
			free(st.before);
		}
	}
	session_close(&s);
	return ret;
}
