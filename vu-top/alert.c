/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Alerts.  Pure; one thread at a time. */
#include "vu-top/alert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- what is said --- */

/* Cuts " WORD TIME" off the end of @text, if it is there. */
static bool cut_time(char *text, const char *word, uint64_t *ns)
{
	char *last = NULL, *p = text;
	size_t len = strlen(word);
	double v;

	while ((p = strstr(p, word))) {
		if (p > text && p[-1] == ' ' && (p[len] == ' ' || !p[len]))
			last = p;
		p += len;
	}
	if (!last)
		return true;
	p = last + len + strspn(last + len, " ");
	if (!top_parse_number(p, strcspn(p, " "), TOP_TIME, &v) || p[strcspn(p, " ")] ||
	    v > 86400e9)
		return false;
	*ns = v;
	while (last > text && last[-1] == ' ')
		last--;
	*last = '\0';
	return true;
}

static const char *cut_severity(const char *text, enum vu__obs_severity *severity)
{
	for (unsigned int s = VU__OBS_INFO; s < VU__OBS_SEVERITIES; s++) {
		size_t len = strlen(vu__obs_severity_name(s));

		if (!strncmp(text, vu__obs_severity_name(s), len) && text[len] == ':') {
			*severity = s;
			return text + len + 1 + strspn(text + len + 1, " ");
		}
	}
	return text;
}

int top_alert_add(struct top_model *m, const char *text, char *why, size_t why_size)
{
	struct top_alert a = {.severity = VU__OBS_CRITICAL, .clear_ns = UINT64_MAX};
	char filter[sizeof(a.text)];
	struct top_alert *more;

	if (m->nalerts == TOP_MAX_ALERTS) {
		snprintf(why, why_size, "there are %d already", TOP_MAX_ALERTS);
		return -ENOSPC;
	}
	if (strlen(text) >= sizeof(a.text)) {
		snprintf(why, why_size, "this is longer than %zu characters", sizeof(a.text) - 1);
		return -EINVAL;
	}
	snprintf(a.text, sizeof(a.text), "%s", text);
	snprintf(filter, sizeof(filter), "%s", cut_severity(text, &a.severity));
	if (!cut_time(filter, "clear", &a.clear_ns) || !cut_time(filter, "for", &a.for_ns)) {
		snprintf(why, why_size, "what follows 'for' and 'clear' is a time, such as 3s");
		return -EINVAL;
	}
	if (a.clear_ns == UINT64_MAX)
		a.clear_ns = a.for_ns;
	a.filter = top_filter_parse(filter, why, why_size);
	if (!a.filter)
		return -EINVAL;
	more = reallocarray(m->alerts, m->nalerts + 1, sizeof(*more));
	if (!more) {
		top_filter_free(a.filter);
		return -ENOMEM;
	}
	m->alerts = more;
	m->alerts[m->nalerts++] = a;
	return 0;
}

void top_alerts_release(struct top_model *m)
{
	for (unsigned int i = 0; i < m->nalerts; i++)
		top_filter_free(m->alerts[i].filter);
	free(m->alerts);
	m->alerts = NULL;
	m->nalerts = 0;
}

/* --- what becomes of it --- */

static void note(struct top_model *m, const struct top_alert *a, const struct top_queue *t,
		 bool raised)
{
	char who[96], text[256];

	top_queue_name(t, who, sizeof(who));
	if (t->verdict.severity >= VU__OBS_WARNING)
		snprintf(text, sizeof(text), "%s: %.150s", vu__obs_verdicts[t->verdict.id].name,
			 t->verdict.evidence);
	else
		snprintf(text, sizeof(text), "%s", a->text);
	top_model_note(m, a->severity, !raised, who, text);
}

static void look(struct top_model *m, unsigned int i, struct top_queue *t)
{
	const struct top_alert *a = &m->alerts[i];
	struct top_alarm *alarm = &t->alarms[i];
	bool change = top_filter_fits(a->filter, t) != alarm->raised;
	uint64_t now = t->q->mono_ns;

	if (!change) {
		alarm->since_ns = 0;
		return;
	}
	if (!alarm->since_ns)
		alarm->since_ns = now;
	if (now - alarm->since_ns < (alarm->raised ? a->clear_ns : a->for_ns))
		return;
	alarm->raised = !alarm->raised;
	alarm->since_ns = 0;
	note(m, a, t, alarm->raised);
}

void top_alerts_update(struct top_model *m)
{
	for (uint32_t q = 0; q < m->nqueues; q++) {
		for (unsigned int i = 0; i < m->nalerts; i++)
			look(m, i, m->queues[q]);
	}
}

enum vu__obs_severity top_alert_worst(const struct top_model *m, const struct top_queue *t)
{
	enum vu__obs_severity worst = VU__OBS_OK;

	for (unsigned int i = 0; i < m->nalerts; i++) {
		if (t->alarms[i].raised)
			worst = VU_MAX(worst, m->alerts[i].severity);
	}
	return worst;
}
