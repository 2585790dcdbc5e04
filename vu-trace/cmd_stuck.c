/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-trace stuck: queues that do not move, and why.  The main thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "judge.h"

/* Longer than the patience of a verdict. */
#define WATCH_S 1.6

struct stuck {
	struct judge judge;
	const struct options *opt;
	struct json j;
	unsigned int shown, worst;
};

static void text_verdict(const char *name, const struct vu__obs_verdict *v)
{
	printf("%-30s %-8s %-28s %s\n", name, vu__obs_severity_name(v->severity),
	       vu__obs_verdicts[v->id].name, v->evidence);
	if (v->severity >= VU__OBS_WARNING)
		printf("%-30s %-8s -> %s\n", "", vu__obs_confidence_name(v->confidence), v->next);
}

static void json_verdict(struct stuck *st, const char *name, const struct vu__obs_snapshot *s,
			 const struct vu__obs_queue *q, const struct vu__obs_verdict *v)
{
	struct json *j = &st->j;

	json_open(j, NULL, '{');
	json_number(j, "schema", 1);
	json_text(j, "name", name);
	json_number(j, "pid", vu__obs_process_of(s, vu__obs_device_of(s, q))->pid);
	json_number(j, "queue", q->index);
	json_text(j, "verdict", vu__obs_verdicts[v->id].name);
	json_text(j, "severity", vu__obs_severity_name(v->severity));
	json_text(j, "confidence", vu__obs_confidence_name(v->confidence));
	json_text(j, "evidence", v->evidence);
	json_text(j, "next", v->next);
	if (vu__obs_knows(q, VU__OBS_KVM)) {
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

static void show(struct stuck *st)
{
	const struct vu__obs_snapshot *s = judge_last(&st->judge);

	st->shown = st->worst = 0;
	for (uint32_t i = 0; i < s->nqueues; i++) {
		const struct vu__obs_queue *q = &s->queues[i];
		struct vu__obs_verdict v;
		char name[QUEUE_NAME];

		if (!judge_selects(&st->judge, q))
			continue;
		judge_queue(&st->judge, q, &v);
		judge_name(s, q, name, sizeof(name));
		st->shown++;
		st->worst = VU_MAX(st->worst, v.severity);
		if (!st->opt->all && v.severity < VU__OBS_WARNING)
			continue;
		if (st->opt->json)
			json_verdict(st, name, s, q, &v);
		else
			text_verdict(name, &v);
	}
	if (!st->opt->json && st->worst < VU__OBS_WARNING && !st->opt->watch)
		printf("%u queues, none is stuck\n", st->shown);
	fflush(stdout);
}

static int run(struct stuck *st)
{
	double watch = VU_MAX(st->opt->interval, WATCH_S);
	uint64_t begin = now_ns(), outputs = 0;
	int ret;

	do {
		ret = judge_watch(&st->judge, watch);
		if (ret) {
			say("looking at queues: %s", strerror(-ret));
			return EXIT_FAILED;
		}
		if (judge_last(&st->judge))
			show(st);
		outputs++;
	} while (st->opt->watch && !interrupted() &&
		 (!st->opt->count || outputs < st->opt->count) &&
		 (!st->opt->duration || now_ns() - begin < st->opt->duration * 1e9));
	if (!st->shown)
		say("no queue found");
	return st->shown && st->worst < VU__OBS_WARNING ? EXIT_OK : EXIT_FAILED;
}

int cmd_stuck(const struct options *o)
{
	/* Nothing is handed over: counts and the times of the last events are enough. */
	struct load_options lo = {.kinds = 0, .messages = false};
	struct stuck st = {.opt = o, .j = json_to(stdout)};
	struct session s;
	int ret = session_open(&s, o, &lo);

	if (ret < 0) {
		ret = judge_open(&st.judge, &s);
		if (ret) {
			say("looking at queues: %s", strerror(-ret));
			ret = EXIT_FAILED;
		} else {
			ret = run(&st);
			judge_close(&st.judge);
		}
	}
	session_close(&s);
	return ret;
}
