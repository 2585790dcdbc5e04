/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices over time, what comes and goes, and notes of it.  Pure. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vu-top/modelimpl.h"

static struct top_device *find(const struct top_model *m, const struct top_key *key)
{
	struct top_device *d = m->all_devices;

	while (d && !top_same_device(&d->key, key))
		d = d->next;
	return d;
}

int top_devices_prepare(struct top_model *m, const struct top_frame *f)
{
	const struct vu__obs_snapshot *s = f->snap;
	struct top_device **devices = reallocarray(m->devices, s->ndevs ? s->ndevs : 1,
						   sizeof(struct top_device *));

	if (!devices)
		return -ENOMEM;
	m->devices = devices;
	m->ndevices = 0;
	for (uint32_t i = 0; i < s->ndevs; i++) {
		struct top_key key = top_key_of_device(s, &s->devs[i]);
		struct top_device *d = find(m, &key);

		if (!d) {
			d = calloc(1, sizeof(*d));
			if (!d)
				return -ENOMEM;
			d->key = key;
			d->next = m->all_devices;
			m->all_devices = d;
		}
		devices[i] = d;
	}
	return 0;
}

static void drop(struct top_device *d)
{
	free(d->events);
	free(d);
}

void top_devices_release(struct top_model *m)
{
	while (m->all_devices) {
		struct top_device *d = m->all_devices;

		m->all_devices = d->next;
		drop(d);
	}
	m->ndevices = 0;
}

/* --- notes --- */

void top_model_note(struct top_model *m, enum vu__obs_severity severity, bool cleared,
		    const char *who, const char *text)
{
	struct top_note *n = &m->notes[m->nnotes++ % TOP_NOTES];

	memset(n, 0, sizeof(*n));
	if (m->frame) {
		n->mono_ns = m->frame->snap->mono_ns;
		n->real_ns = m->frame->snap->real_ns;
	}
	n->severity = severity;
	n->cleared = cleared;
	snprintf(n->who, sizeof(n->who), "%s", who);
	snprintf(n->text, sizeof(n->text), "%s", text);
}

static void note_device(struct top_model *m, const struct vu__obs_snapshot *s,
			const struct vu__obs_device *d, enum vu__obs_severity severity,
			const char *what)
{
	const struct vu__obs_process *p = vu__obs_process_of(s, d);
	char name[64], who[96], text[128];

	top_device_name(d, name, sizeof(name));
	snprintf(who, sizeof(who), "%s", name);
	snprintf(text, sizeof(text), "%s (process %d, %s)", what, p->pid,
		 p->comm[0] ? p->comm : "?");
	top_model_note(m, severity, false, who, text);
}

static const char *const phases[] = {
	[VU__OBS_NOT_MIGRATING] = "its migration is over",
	[VU__OBS_LOGGING] = "dirty pages are logged: a migration begins",
	[VU__OBS_STOPPED] = "all queues are stopped, as at a migration's end",
	[VU__OBS_SAVING] = "its state is being saved",
	[VU__OBS_LOADING] = "its state is being loaded",
	[VU__OBS_HANDOVER] = "it is being handed over",
	[VU__OBS_POSTCOPY] = "pages come after the machine: postcopy",
};

static void note_changes(struct top_model *m, const struct top_device *t,
			 const struct vu__obs_device *old, const struct vu__obs_snapshot *was)
{
	const struct vu__obs_snapshot *now = m->frame->snap;
	const struct vu__obs_device *d = t->dev;
	bool died = was && vu__obs_process_of(was, old)->alive &&
		    !vu__obs_process_of(now, d)->alive;

	if (died)
		note_device(m, now, d, VU__OBS_CRITICAL, "the back-end has died");
	else if (old && old->generation != d->generation)
		note_device(m, now, d, VU__OBS_INFO, "there is a new connection");
	else if (old && old->connected == VU__OBS_YES && d->connected == VU__OBS_NO)
		note_device(m, now, d, VU__OBS_INFO, "the front-end has gone");
	else if (old && old->connected == VU__OBS_NO && d->connected == VU__OBS_YES)
		note_device(m, now, d, VU__OBS_INFO, "a front-end has connected");
	else if (old && old->phase != d->phase)
		note_device(m, now, d, VU__OBS_INFO, phases[d->phase]);
}

/* --- a frame --- */

static void take_events(struct top_device *t, const struct top_events *e)
{
	if (!t->events)
		t->events = calloc(TOP_EVENTS, sizeof(*t->events));
	if (!t->events)
		return;
	t->lost += e->lost;
	for (uint32_t i = 0; i < e->n; i++)
		t->events[t->nevents++ % TOP_EVENTS] = e->events[i];
}

const struct vu_telemetry_event *top_device_event(const struct top_device *d, uint64_t back)
{
	if (!d->events || back >= d->nevents || back >= TOP_EVENTS)
		return NULL;
	return &d->events[(d->nevents - 1 - back) % TOP_EVENTS];
}

static double rate(const struct top_queue *q, enum vu__obs_counter c)
{
	return vu__obs_has_rate(&q->rates, c) ? q->rates.per_s[c] : 0;
}

static void add_up(struct top_model *m, struct top_device *t)
{
	const struct vu__obs_device *d = t->dev;

	t->nqueues = d->nqueues;
	t->nstarted = 0;
	t->requests = t->bytes_in = t->bytes_out = t->dirty = 0;
	t->worst = VU__OBS_OK;
	t->worst_queue = NULL;
	for (uint32_t i = 0; i < d->nqueues; i++) {
		struct top_queue *q = m->queues[d->first_queue + i];

		t->nstarted += q->q->setup.started == VU__OBS_YES;
		t->requests += rate(q, VU__OBS_COMPLETED);
		t->bytes_in += rate(q, VU__OBS_BYTES_IN);
		t->bytes_out += rate(q, VU__OBS_BYTES_OUT);
		t->dirty += rate(q, VU__OBS_PAGES_FIRST) + rate(q, VU__OBS_PAGES_AGAIN);
		if (!t->worst_queue || q->verdict.severity > t->worst) {
			t->worst_queue = q;
			t->worst = q->verdict.severity;
		}
	}
}

static void drop_gone(struct top_model *m)
{
	struct top_device **at = &m->all_devices;

	while (*at) {
		struct top_device *d = *at;

		if (d->seen == m->nframes) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		drop(d);
	}
}

void top_devices_update(struct top_model *m, const struct vu__obs_snapshot *was)
{
	const struct vu__obs_snapshot *s = m->frame->snap;

	m->ndevices = s->ndevs;
	for (uint32_t i = 0; i < s->ndevs; i++) {
		struct top_device *t = m->devices[i];
		const struct vu__obs_device *d = &s->devs[i], *old;

		t->seen = m->nframes;
		t->place = i;
		t->dev = d;
		old = was ? vu__obs_find_device(was, s, d) : NULL;
		if (old)
			note_changes(m, t, old, was);
		else if (was)
			note_device(m, s, d, VU__OBS_INFO, "there is a new device");
		add_up(m, t);
	}
	for (uint32_t i = 0; was && i < was->ndevs; i++) {
		if (!vu__obs_find_device(s, was, &was->devs[i]))
			note_device(m, was, &was->devs[i], VU__OBS_INFO, "the device has gone");
	}
	for (uint32_t i = 0; i < m->frame->nevents; i++)
		take_events(m->devices[m->frame->events[i].dev], &m->frame->events[i]);
	drop_gone(m);
}
