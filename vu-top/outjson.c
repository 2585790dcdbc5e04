/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sample as a line of JSON. */
#include <string.h>

#include "observe/packed.h"
#include "vu-top/json.h"
#include "vu-top/out.h"

#define SCHEMA "vu-top/1"

static void put_process(struct top_json *j, const struct vu__obs_process *p)
{
	top_json_begin(j, NULL, '{');
	top_json_int(j, "pid", p->pid);
	top_json_text(j, "comm", p->comm);
	top_json_text(j, "kind", vu__obs_kind_name(p->kind));
	top_json_bool(j, "backend", p->roles & VU__OBS_BACKEND);
	top_json_bool(j, "vmm", p->roles & VU__OBS_VMM);
	top_json_bool(j, "alive", p->alive);
	if (p->roles & VU__OBS_VMM) {
		top_json_text(j, "vm", p->vm_name);
		top_json_text(j, "run_state", p->run_state);
	}
	top_json_text(j, "trouble", p->trouble[0] ? p->trouble : p->qmp_trouble);
	top_json_end(j, '}');
}

static void put_names(struct top_json *j, const struct vu__obs_snapshot *s,
		      const struct vu__obs_device *d)
{
	const struct vu__obs_process *vmm = vu__obs_vmm_of(s, d);
	char name[TOP_FIELD_TEXT];

	top_vm_name(vmm, name, sizeof(name));
	top_json_text(j, "vm", vmm ? name : "");
	top_device_name(d, name, sizeof(name));
	top_json_text(j, "device", name);
	top_json_int(j, "pid", vu__obs_process_of(s, d)->pid);
	top_json_uint(j, "number", d->number);
}

static void put_device(struct top_json *j, const struct vu__obs_snapshot *s,
		       const struct vu__obs_device *d)
{
	top_json_begin(j, NULL, '{');
	put_names(j, s, d);
	top_json_text(j, "type", top_type_name(d->virtio_id));
	top_json_text(j, "socket", d->socket);
	top_json_text(j, "source", vu__obs_source_name(d->from));
	if (d->connected == VU__OBS_MAYBE)
		top_json_number(j, "connected", TOP_UNKNOWN);
	else
		top_json_bool(j, "connected", d->connected == VU__OBS_YES);
	top_json_hex(j, "features", d->features);
	top_json_hex(j, "protocol_features", d->protocol_features);
	top_json_uint(j, "messages", d->messages);
	top_json_bool(j, "dirty_log", d->log_on);
	top_json_uint(j, "queues", d->nqueues);
	top_json_uint(j, "regions", d->nregions);
	top_json_uint(j, "generation", d->generation);
	top_json_end(j, '}');
}

static void put_event(struct top_json *j, const char *name, const struct vu__obs_event *e,
		      bool counted)
{
	top_json_begin(j, name, '{');
	top_json_number(j, "fd", e->fd == VU__OBS_FD_UNKNOWN ? TOP_UNKNOWN : e->fd);
	top_json_number(j, "id", e->id < 0 ? TOP_UNKNOWN : e->id);
	top_json_number(j, "unread", counted ? e->count : TOP_UNKNOWN);
	top_json_end(j, '}');
}

static void put_place(struct top_json *j, const char *name, uint16_t place)
{
	top_json_begin(j, name, '{');
	top_json_uint(j, "slot", vu__packed_slot(place));
	top_json_uint(j, "wrap", vu__packed_wrap(place));
	top_json_end(j, '}');
}

/* An event suppression structure, and where it is at if it says so. */
static void put_wish(struct top_json *j, const char *name, uint16_t flags, uint16_t event)
{
	static const char *const names[] = {"enable", "disable", "desc", "invalid"};

	top_json_begin(j, name, '{');
	top_json_text(j, "flags", names[vu__circle_events(flags)]);
	if (vu__circle_events(flags) == VRING_PACKED_EVENT_FLAG_DESC)
		put_place(j, "at", event);
	top_json_end(j, '}');
}

static void put_packed(struct top_json *j, const struct vu__obs_queue *q)
{
	const struct vu__obs_ring *r = &q->ring;

	put_place(j, "avail", r->avail_idx);
	put_place(j, "used", r->used_idx);
	if (vu__obs_knows(q, VU__OBS_POSITION))
		put_place(j, "fetched", r->last_avail);
	top_json_uint(j, "outstanding", r->outstanding);
	top_json_uint(j, "slots_in_use", r->slots);
	put_wish(j, "driver_wants", r->avail_flags, r->used_event);
	put_wish(j, "device_wants", r->used_flags, r->avail_event);
}

static void put_split(struct top_json *j, const struct vu__obs_queue *q)
{
	const struct vu__obs_ring *r = &q->ring;

	top_json_uint(j, "avail_idx", r->avail_idx);
	top_json_uint(j, "used_idx", r->used_idx);
	top_json_uint(j, "avail_flags", r->avail_flags);
	top_json_uint(j, "used_flags", r->used_flags);
	if (q->setup.event_idx) {
		top_json_uint(j, "used_event", r->used_event);
		top_json_uint(j, "avail_event", r->avail_event);
	}
}

static void put_ring(struct top_json *j, const struct vu__obs_queue *q)
{
	const struct vu__obs_ring *r = &q->ring;

	top_json_begin(j, "ring", '{');
	top_json_text(j, "source", vu__obs_source_name(q->from[VU__OBS_RING]));
	if (vu__obs_knows(q, VU__OBS_RING)) {
		if (q->setup.packed)
			put_packed(j, q);
		else
			put_split(j, q);
	}
	if (vu__obs_knows(q, VU__OBS_POSITION)) {
		if (!q->setup.packed)
			top_json_uint(j, "last_avail", r->last_avail);
		top_json_uint(j, "pending", r->pending);
		top_json_uint(j, "in_flight", r->in_flight);
	}
	top_json_end(j, '}');
}

static void put_counters(struct top_json *j, const struct top_queue *t)
{
	const struct vu__obs_queue *q = t->q;

	top_json_begin(j, "counters", '{');
	for (unsigned int c = 0; c < VU__OBS_NCOUNTERS; c++) {
		if (vu__has_bit(q->have_counter, c))
			top_json_uint(j, vu__obs_counters[c].name, q->counter[c]);
	}
	top_json_end(j, '}');
	top_json_begin(j, "rates", '{');
	for (unsigned int c = 0; c < VU__OBS_NCOUNTERS; c++) {
		if (vu__obs_has_rate(&t->rates, c))
			top_json_number(j, vu__obs_counters[c].name, t->rates.per_s[c]);
	}
	top_json_end(j, '}');
	top_json_begin(j, "at_least", '[');
	for (unsigned int c = 0; c < VU__OBS_NCOUNTERS; c++) {
		if (vu__has_bit(q->at_least, c))
			top_json_text(j, NULL, vu__obs_counters[c].name);
	}
	top_json_end(j, ']');
}

static void put_latencies(struct top_json *j, const struct top_queue *t)
{
	static const char *const names[VU__OBS_LATENCIES] = {
		[VU__OBS_KICK_TO_POP] = "kick_to_pop_ns",
		[VU__OBS_SERVICE] = "service_ns",
		[VU__OBS_BATCH] = "batch",
	};

	top_json_begin(j, "latency", '{');
	for (unsigned int i = 0; i < VU__OBS_LATENCIES; i++) {
		const struct top_latency *l = &t->latency[i];

		if (!l->n)
			continue;
		top_json_begin(j, names[i], '{');
		top_json_uint(j, "n", l->n);
		top_json_number(j, "mean", l->mean);
		top_json_number(j, "p50", l->p50);
		top_json_number(j, "p90", l->p90);
		top_json_number(j, "p99", l->p99);
		top_json_number(j, "p99.9", l->p999);
		top_json_number(j, "max", l->max);
		top_json_end(j, '}');
	}
	top_json_end(j, '}');
}

static void put_verdict(struct top_json *j, const struct top_queue *t)
{
	const struct vu__obs_verdict *v = &t->verdict;

	top_json_text(j, "health", vu__obs_severity_name(v->severity));
	top_json_begin(j, "verdict", '{');
	top_json_text(j, "name", vu__obs_verdicts[v->id].name);
	top_json_text(j, "confidence", vu__obs_confidence_name(v->confidence));
	top_json_number(j, "since_s", (t->q->mono_ns - t->verdict_ns) / 1e9);
	top_json_text(j, "summary", vu__obs_verdicts[v->id].summary);
	top_json_text(j, "evidence", v->evidence);
	top_json_text(j, "next", v->next);
	top_json_end(j, '}');
}

static void put_queue(struct top_json *j, const struct top_model *m, const struct top_queue *t)
{
	const struct vu__obs_queue *q = t->q;

	top_json_begin(j, NULL, '{');
	put_names(j, t->snap, t->dev);
	top_json_uint(j, "queue", q->index);
	top_json_text(j, "role", vu__obs_role_name(q->role));
	top_json_text(j, "state", top_state_name(top_state_of(t)));
	top_json_number(j, "size", q->setup.size ? q->setup.size : TOP_UNKNOWN);
	top_json_bool(j, "packed", q->setup.packed);
	top_json_bool(j, "event_idx", q->setup.event_idx);
	put_verdict(j, t);
	top_json_number(j, "dt", t->rates.dt ? t->rates.dt : TOP_UNKNOWN);
	put_counters(j, t);
	top_json_number(j, "depth", top_depth(q));
	top_json_number(j, "oldest_ns", t->oldest ? t->oldest : TOP_UNKNOWN);
	put_latencies(j, t);
	put_ring(j, q);
	put_event(j, "kick", &q->kick, vu__obs_knows(q, VU__OBS_KICK));
	put_event(j, "call", &q->call, vu__obs_knows(q, VU__OBS_CALL));
	top_json_begin(j, "worker", '{');
	top_json_number(j, "tid", q->worker.tid ? q->worker.tid : TOP_UNKNOWN);
	top_json_text(j, "comm", q->worker.comm);
	top_json_number(j, "busy", t->busy);
	top_json_end(j, '}');
	top_json_begin(j, "alerts", '[');
	for (unsigned int i = 0; i < m->nalerts; i++) {
		if (t->alarms[i].raised)
			top_json_text(j, NULL, m->alerts[i].text);
	}
	top_json_end(j, ']');
	top_json_end(j, '}');
}

static void put_queues(struct top_json *j, const struct top_model *m,
		       const struct top_out_options *o)
{
	VU_CLEANUP_FREE struct top_queue **list =
		calloc(m->nqueues ? m->nqueues : 1, sizeof(struct top_queue *));
	size_t n = list ? top_select(m, o->filter, o->order, list) : 0;

	top_json_begin(j, "queues", '[');
	for (size_t i = 0; i < n; i++)
		put_queue(j, m, list[i]);
	top_json_end(j, ']');
}

void top_out_json(const struct top_model *m, const struct top_out_options *o, FILE *to)
{
	const struct vu__obs_snapshot *s = m->frame->snap;
	struct top_json j;
	char time[TOP_TIME_LEN];

	top_json_open(&j, to);
	top_format_time(time, s->real_ns);
	top_json_begin(&j, NULL, '{');
	top_json_text(&j, "schema", SCHEMA);
	top_json_text(&j, "time", time);
	top_json_uint(&j, "mono_ns", s->mono_ns);
	top_json_text(&j, "host", o->host ? o->host : "");
	top_json_number(&j, "dt", m->dt ? m->dt : TOP_UNKNOWN);
	top_json_text(&j, "trouble", s->trouble);
	top_json_begin(&j, "health", '{');
	for (unsigned int i = 0; i < VU__OBS_SEVERITIES; i++)
		top_json_uint(&j, vu__obs_severity_name(i), m->by_severity[i]);
	top_json_end(&j, '}');
	top_json_begin(&j, "self", '{');
	top_json_number(&j, "cpu", m->self_cpu);
	top_json_uint(&j, "mapped_bytes", m->frame->self.mapped);
	top_json_number(&j, "took_s", s->took_ns / 1e9);
	top_json_uint(&j, "retries", m->retries);
	top_json_uint(&j, "missed", m->missed);
	top_json_end(&j, '}');
	top_json_begin(&j, "processes", '[');
	for (uint32_t i = 0; i < s->nprocs; i++)
		put_process(&j, &s->procs[i]);
	top_json_end(&j, ']');
	top_json_begin(&j, "devices", '[');
	for (uint32_t i = 0; i < s->ndevs; i++)
		put_device(&j, s, &s->devs[i]);
	top_json_end(&j, ']');
	put_queues(&j, m, o);
	top_json_end(&j, '}');
	top_json_close(&j);
	fputc('\n', to);
}
