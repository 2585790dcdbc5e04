/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Black boxes, and alerts with what has happened.  Pure. */
#include <stdio.h>
#include <string.h>

#include "vu-top/view.h"
#include "wire/msg.h"

/* --- events --- */

struct event {
	const struct vu_telemetry_event *e;
	const struct top_device *d;
};

/* The newest first. */
static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->e->time != y->e->time)
		return x->e->time < y->e->time ? 1 : -1;
	return (x->e->number < y->e->number) - (x->e->number > y->e->number);
}

static void message_text(const struct vu_telemetry_event *e, char *out, size_t size)
{
	char took[16], queue[16] = "";

	top_format_ns(took, sizeof(took), e->value);
	if (e->queue >= 0)
		snprintf(queue, sizeof(queue), " queue %d", e->queue);
	snprintf(out, size, "%s%s, %s%s%s%s%s", vu__msg_name(VU__TO_BACKEND, e->code), queue,
		 took, e->result < 0 ? ": " : "", e->result < 0 ? strerror(-e->result) : "",
		 e->text[0] ? ": " : "", e->text);
}

void top_event_text(const struct vu_telemetry_event *e, char *out, size_t size)
{
	unsigned long long value = e->value;

	switch (e->kind) {
	case VU_TELEMETRY_MESSAGE:
		message_text(e, out, size);
		return;
	case VU_TELEMETRY_CONNECTED:
		if (value)
			snprintf(out, size, "by process %llu", value);
		else
			snprintf(out, size, "a front-end");
		return;
	case VU_TELEMETRY_START:
		snprintf(out, size, "queue %d, from entry %llu", e->queue, value);
		return;
	case VU_TELEMETRY_STOP:
		snprintf(out, size, "queue %d, at entry %llu, %d in flight", e->queue, value,
			 e->result);
		return;
	case VU_TELEMETRY_ENABLE:
		snprintf(out, size, "queue %d %s", e->queue, value ? "on" : "off");
		return;
	case VU_TELEMETRY_MEMORY:
		snprintf(out, size, "%llu regions", value);
		return;
	case VU_TELEMETRY_LOG:
		snprintf(out, size, "dirty log %s", value ? "on" : "off");
		return;
	case VU_TELEMETRY_MIGRATION:
		snprintf(out, size, "%s", vu_telemetry_migration_name(value));
		return;
	}
	if (e->queue >= 0)
		snprintf(out, size, "queue %d%s%s", e->queue, e->text[0] ? ": " : "", e->text);
	else
		snprintf(out, size, "%s", e->text);
}

static uint8_t event_style(const struct vu_telemetry_event *e)
{
	if (e->kind == VU_TELEMETRY_PANIC || e->kind == VU_TELEMETRY_BREAK)
		return TOP_CRITICAL;
	if (e->kind == VU_TELEMETRY_STOP || e->kind == VU_TELEMETRY_GONE ||
	    (e->kind == VU_TELEMETRY_MESSAGE && e->result < 0))
		return TOP_WARNING;
	return e->kind == VU_TELEMETRY_MESSAGE ? TOP_DIM : TOP_NORMAL;
}

static size_t gather(const struct top_scene *s, struct event *all, uint64_t *lost)
{
	const struct top_device *only = top_ui_device(s->ui, s->m);
	size_t n = 0;

	*lost = 0;
	for (uint32_t i = 0; i < s->m->ndevices; i++) {
		const struct top_device *d = s->m->devices[i];
		const struct vu_telemetry_event *e;

		if (s->ui->scope != TOP_SCOPE_ALL && only && d != only)
			continue;
		*lost += d->lost;
		for (uint64_t back = 0; (e = top_device_event(d, back)); back++)
			all[n++] = (struct event){e, d};
	}
	qsort(all, n, sizeof(*all), by_time);
	return n;
}

enum { E_TIME, E_AGO, E_DEVICE, E_KIND, E_TEXT, E_COLUMNS };

static void put_event(struct top_canvas *c, const struct top_scene *s,
		      const struct top_column *k, unsigned int row, const struct event *e)
{
	uint64_t now = s->m->frame->snap->mono_ns;
	char text[256];

	top_clock(s, top_real_of(s, e->e->time), text, sizeof(text));
	snprintf(text + strlen(text), sizeof(text) - strlen(text), ".%03u",
		 (unsigned int)(top_real_of(s, e->e->time) / 1000000 % 1000));
	top_column_put(c, row, &k[E_TIME], TOP_NORMAL, text);
	top_format_ns(text, sizeof(text), now > e->e->time ? now - e->e->time : 0);
	top_column_put(c, row, &k[E_AGO], TOP_DIM, text);
	top_device_title(s, e->d->dev, text, sizeof(text));
	top_column_put(c, row, &k[E_DEVICE], TOP_NORMAL, text);
	top_column_put(c, row, &k[E_KIND], event_style(e->e),
		       vu_telemetry_event_name(e->e->kind));
	top_event_text(e->e, text, sizeof(text));
	top_column_put(c, row, &k[E_TEXT], TOP_NORMAL, text);
}

/* Why there are none. */
static const char *no_events(const struct top_scene *s)
{
	const struct top_device *d = top_ui_device(s->ui, s->m);

	if (d && d->dev->from != VU__OBS_TELEMETRY)
		return "This back-end does not tell: it has no libvu. Press a for all devices.";
	return "No events.";
}

void top_view_events(struct top_canvas *c, const struct top_scene *s, struct top_area a)
{
	struct top_column k[E_COLUMNS] = {
		[E_TIME] = {.title = "TIME", .width = 12, .rank = 2},
		[E_AGO] = {.title = "AGO", .width = 6, .right = true, .rank = 3},
		[E_DEVICE] = {.title = "DEVICE", .width = 16, .rank = 4, .grows = 1},
		[E_KIND] = {.title = "EVENT", .width = 10, .rank = 1},
		[E_TEXT] = {.title = "WHAT", .width = 16, .grows = 4},
	};
	const struct top_device *only = top_ui_device(s->ui, s->m);
	VU_CLEANUP_FREE struct event *all = calloc(
		(size_t)TOP_EVENTS * (s->m->ndevices ? s->m->ndevices : 1), sizeof(*all));
	size_t total, first, n;
	uint64_t lost;

	if (!all)
		return;
	/* Of one device, its name need not be said on every line. */
	if (s->ui->scope != TOP_SCOPE_ALL && only)
		k[E_DEVICE].width = 0;
	top_columns_fit(k, E_COLUMNS, c->cols);
	top_columns_header(c, a.first++, k, E_COLUMNS, NULL);
	a.rows--;
	total = gather(s, all, &lost);
	n = top_list(c, s, &a, TOP_VIEW_EVENTS, total, &first);
	for (size_t i = 0; i < n; i++) {
		put_event(c, s, k, a.first + i, &all[first + i]);
		if (first + i == s->ui->at[TOP_VIEW_EVENTS])
			top_select_row(c, a.first + i);
	}
	if (!total && a.rows)
		top_put(c, a.first, 2, c->cols, TOP_DIM, no_events(s));
}

/* --- alerts --- */

enum { A_WHEN, A_LEVEL, A_WHO, A_WHAT, A_COLUMNS };

struct item {
	uint64_t since_ns; /* monotonic */
	enum vu__obs_severity severity;
	bool cleared, now;
	char who[160];
	char text[320];
};

static size_t raised_now(const struct top_scene *s, struct item *all)
{
	size_t n = 0;

	for (uint32_t i = 0; i < s->m->nqueues; i++) {
		const struct top_queue *t = s->m->queues[i];
		enum vu__obs_severity severity =
			VU_MAX(t->verdict.severity, top_alert_worst(s->m, t));
		struct item *item = &all[n];

		if (severity < VU__OBS_WARNING)
			continue;
		n++;
		item->now = true;
		item->severity = severity;
		item->since_ns = t->verdict_ns;
		top_queue_name(t, item->who, sizeof(item->who));
		snprintf(item->text, sizeof(item->text), "%s", t->verdict.evidence);
		if (t->verdict.severity >= VU__OBS_WARNING)
			snprintf(item->text, sizeof(item->text), "%s: %s",
				 vu__obs_verdicts[t->verdict.id].name, t->verdict.evidence);
		for (unsigned int a = 0; a < s->m->nalerts; a++) {
			size_t len = strlen(item->text);

			if (t->alarms[a].raised && len < sizeof(item->text))
				snprintf(item->text + len, sizeof(item->text) - len, " [%s]",
					 s->m->alerts[a].text);
		}
	}
	return n;
}

static size_t notes(const struct top_scene *s, struct item *all)
{
	uint64_t n = s->m->nnotes;
	size_t to = 0;

	for (uint64_t i = n; i-- > (n > TOP_NOTES ? n - TOP_NOTES : 0);) {
		const struct top_note *note = &s->m->notes[i % TOP_NOTES];
		struct item *item = &all[to++];

		item->since_ns = note->mono_ns;
		item->severity = note->severity;
		item->cleared = note->cleared;
		snprintf(item->who, sizeof(item->who), "%s", note->who);
		snprintf(item->text, sizeof(item->text), "%s%s", note->cleared ? "over: " : "",
			 note->text);
	}
	return to;
}

static void put_item(struct top_canvas *c, const struct top_scene *s,
		     const struct top_column *k, unsigned int row, const struct item *item)
{
	uint8_t style = item->now ? top_severity_style(item->severity) : TOP_DIM;
	char when[32], ago[16];

	top_clock(s, top_real_of(s, item->since_ns), when, sizeof(when));
	top_format_ns(ago, sizeof(ago), s->m->frame->snap->mono_ns - item->since_ns);
	if (item->now)
		snprintf(when, sizeof(when), "for %s", ago);
	top_column_put(c, row, &k[A_WHEN], TOP_NORMAL, when);
	top_column_put(c, row, &k[A_LEVEL], style,
		       item->cleared ? "cleared" : vu__obs_severity_name(item->severity));
	top_column_put(c, row, &k[A_WHO], item->now ? TOP_STRONG : TOP_NORMAL, item->who);
	top_column_put(c, row, &k[A_WHAT], TOP_NORMAL, item->text);
}

void top_view_alerts(struct top_canvas *c, const struct top_scene *s, struct top_area a)
{
	struct top_column k[A_COLUMNS] = {
		[A_WHEN] = {.title = "SINCE", .width = 10, .rank = 2},
		[A_LEVEL] = {.title = "LEVEL", .width = 8, .rank = 1},
		[A_WHO] = {.title = "WHO", .width = 16, .rank = 3, .grows = 1},
		[A_WHAT] = {.title = "WHAT", .width = 12, .grows = 4},
	};
	VU_CLEANUP_FREE struct item *all =
		calloc((size_t)s->m->nqueues + TOP_NOTES + 1, sizeof(*all));
	size_t total, first, n;

	if (!all)
		return;
	top_columns_fit(k, A_COLUMNS, c->cols);
	top_columns_header(c, a.first++, k, A_COLUMNS, NULL);
	a.rows--;
	total = raised_now(s, all);
	total += notes(s, all + total);
	n = top_list(c, s, &a, TOP_VIEW_ALERTS, total, &first);
	for (size_t i = 0; i < n; i++) {
		put_item(c, s, k, a.first + i, &all[first + i]);
		if (first + i == s->ui->at[TOP_VIEW_ALERTS])
			top_select_row(c, a.first + i);
	}
	if (!total && a.rows)
		top_put(c, a.first, 2, c->cols, TOP_DIM, "Nothing is wrong, and nothing was.");
}
