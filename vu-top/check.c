/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line for a monitoring system. */
#include <stdio.h>
#include <string.h>

#include "vu-top/out.h"

struct tally {
	unsigned int looked, critical, warning;
	const struct top_queue *worst; /* of the worst kind, the first */
	enum top_check status;
};

static enum top_check judge(const struct top_check_options *o, const struct top_queue *t)
{
	if (o->critical ? top_filter_fits(o->critical, t)
			: t->verdict.severity == VU__OBS_CRITICAL)
		return TOP_CHECK_CRITICAL;
	if (o->warning ? top_filter_fits(o->warning, t)
		       : !o->critical && t->verdict.severity == VU__OBS_WARNING)
		return TOP_CHECK_WARNING;
	return TOP_CHECK_OK;
}

static void count(const struct top_model *m, const struct top_check_options *o, struct tally *n)
{
	for (uint32_t i = 0; i < m->nqueues; i++) {
		const struct top_queue *t = m->queues[i];
		enum top_check status;

		if (!top_filter_fits(o->filter, t))
			continue;
		n->looked++;
		status = judge(o, t);
		n->critical += status == TOP_CHECK_CRITICAL;
		n->warning += status == TOP_CHECK_WARNING;
		if (status > n->status) {
			n->status = status;
			n->worst = t;
		}
	}
}

/* A bar would begin the performance data. */
static void say(FILE *to, const char *text)
{
	for (; *text; text++)
		fputc(*text == '|' || (unsigned char)*text < 0x20 ? ' ' : *text, to);
}

static void say_worst(const struct top_queue *t, FILE *to)
{
	char name[160];

	top_queue_name(t, name, sizeof(name));
	fputs(": ", to);
	say(to, name);
	if (t->verdict.severity < VU__OBS_WARNING)
		return;
	fprintf(to, " %s (", vu__obs_verdicts[t->verdict.id].name);
	say(to, t->verdict.evidence);
	fputc(')', to);
}

enum top_check top_out_check(const struct top_model *m, const struct top_check_options *o,
			     FILE *to)
{
	static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
	const char *trouble = m->frame->snap->trouble;
	struct tally n = {.status = TOP_CHECK_OK};

	count(m, o, &n);
	/* That nothing is seen to be wrong means little if little can be seen. */
	if (!n.looked || (n.status == TOP_CHECK_OK && trouble[0]))
		n.status = TOP_CHECK_UNKNOWN;
	fprintf(to, "VHOST-USER %s - ", words[n.status]);
	if (n.critical || n.warning) {
		fprintf(to, "%u critical, %u warning of %u queues", n.critical, n.warning,
			n.looked);
		say_worst(n.worst, to);
	} else if (trouble[0]) {
		say(to, trouble);
	} else {
		fprintf(to, n.looked ? "%u queues" : "no queues were found", n.looked);
	}
	fprintf(to, " | queues=%u critical=%u warning=%u\n", n.looked, n.critical, n.warning);
	return n.status;
}
