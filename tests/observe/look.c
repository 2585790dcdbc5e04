/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks at the host's queues and prints them as lines of JSON, for test scripts:
 * look [SNAPSHOTS [MILLISECONDS]].  What vu-top does, without its face.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/fd.h"
#include "observe/diagnose.h"
#include "observe/rates.h"
#include "observe/sample.h"

#define MAX_SNAPSHOTS 64

static void text(struct json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

static void number(struct json_object *o, const char *name, double value)
{
	json_object_object_add(o, name, json_object_new_double(value));
}

static void whole(struct json_object *o, const char *name, int64_t value)
{
	json_object_object_add(o, name, json_object_new_int64(value));
}

static void print(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

static void print_process(const struct vu__obs_process *p)
{
	struct json_object *o = json_object_new_object();

	text(o, "what", "process");
	whole(o, "pid", p->pid);
	text(o, "comm", p->comm);
	text(o, "kind", vu__obs_kind_name(p->kind));
	whole(o, "backend", !!(p->roles & VU__OBS_BACKEND));
	whole(o, "vmm", !!(p->roles & VU__OBS_VMM));
	whole(o, "alive", p->alive);
	text(o, "vm", p->vm_name);
	text(o, "run_state", p->run_state);
	text(o, "qmp_trouble", p->qmp_trouble);
	text(o, "trouble", p->trouble);
	print(o);
}

static void add_ring(struct json_object *o, const struct vu__obs_queue *q)
{
	text(o, "ring", vu__obs_source_name(q->from[VU__OBS_RING]));
	whole(o, "size", q->setup.size);
	whole(o, "event_idx", q->setup.event_idx);
	whole(o, "avail", q->ring.avail_idx);
	whole(o, "used", q->ring.used_idx);
	whole(o, "used_event", q->ring.used_event);
	whole(o, "avail_event", q->ring.avail_event);
	whole(o, "packed", q->setup.packed);
	whole(o, "outstanding",
	      vu__obs_knows(q, VU__OBS_RING) ? (int64_t)vu__obs_outstanding(q) : -1);
	whole(o, "pending", q->ring.pending);
	whole(o, "in_flight", q->ring.in_flight);
	whole(o, "kick_fd", q->kick.fd);
	whole(o, "call_fd", q->call.fd);
	whole(o, "kick_count", vu__obs_knows(q, VU__OBS_KICK) ? (int64_t)q->kick.count : -1);
	whole(o, "call_count", vu__obs_knows(q, VU__OBS_CALL) ? (int64_t)q->call.count : -1);
}

static void print_queue(struct vu__obs_snapshot *const *snaps, unsigned int n,
			const struct vu__obs_queue *q)
{
	const struct vu__obs_snapshot *last = snaps[n - 1];
	const struct vu__obs_device *d = vu__obs_device_of(last, q);
	const struct vu__obs_process *vmm = vu__obs_vmm_of(last, d);
	struct json_object *o = json_object_new_object();
	const struct vu__obs_queue *first = NULL;
	struct vu__obs_look looks[MAX_SNAPSHOTS];
	struct vu__obs_verdict v;
	struct vu__obs_rates r;
	size_t count = 0;

	for (unsigned int i = 0; i < n; i++) {
		const struct vu__obs_queue *then = vu__obs_find_queue(snaps[i], last, q);

		if (!then)
			continue;
		first = first ? first : then;
		looks[count++] = vu__obs_look_at(snaps[i], then);
	}
	vu__obs_diagnose(looks, count, 0, &v);
	vu__obs_rates(first, q, &r);
	text(o, "what", "queue");
	whole(o, "pid", vu__obs_process_of(last, d)->pid);
	text(o, "device", d->name);
	whole(o, "number", d->number);
	text(o, "socket", d->socket);
	whole(o, "type", d->virtio_id);
	whole(o, "vmm", vmm ? vmm->pid : 0);
	whole(o, "queue", q->index);
	text(o, "role", vu__obs_role_name(q->role));
	add_ring(o, q);
	number(o, "dt", r.dt);
	number(o, "completed_per_s",
	       vu__obs_has_rate(&r, VU__OBS_COMPLETED) ? r.per_s[VU__OBS_COMPLETED] : -1);
	number(o, "available_per_s",
	       vu__obs_has_rate(&r, VU__OBS_AVAILABLE) ? r.per_s[VU__OBS_AVAILABLE] : -1);
	whole(o, "at_least", vu__has_bit(r.at_least, VU__OBS_COMPLETED));
	text(o, "verdict", vu__obs_verdicts[v.id].name);
	text(o, "severity", vu__obs_severity_name(v.severity));
	text(o, "confidence", vu__obs_confidence_name(v.confidence));
	text(o, "evidence", v.evidence);
	text(o, "next", v.next);
	print(o);
}

/* Sleeps, and does not let 16-bit indices go round meanwhile. */
static void wait_ms(struct vu__sampler *s, int ms)
{
	int64_t until = vu__now_ms() + ms, left;

	while ((left = until - vu__now_ms()) > 0) {
		unsigned int tick = vu__sample_tick_ms(s);

		poll(NULL, 0, left < tick ? left : tick);
		vu__sample_tick(s);
	}
}

int main(int argc, char **argv)
{
	unsigned int n = argc > 1 ? atoi(argv[1]) : 3;
	int gap = argc > 2 ? atoi(argv[2]) : 700;
	struct vu__obs_snapshot *snaps[MAX_SNAPSHOTS];
	struct vu__sampler *s = vu__sampler_new(NULL);

	if (!s || n < 1 || n > MAX_SNAPSHOTS)
		return 1;
	for (unsigned int i = 0; i < n; i++) {
		if (i)
			wait_ms(s, gap);
		if (vu__sample_take(s, &snaps[i]))
			return 1;
	}
	for (uint32_t i = 0; i < snaps[n - 1]->nprocs; i++)
		print_process(&snaps[n - 1]->procs[i]);
	for (uint32_t i = 0; i < snaps[n - 1]->nqueues; i++)
		print_queue(snaps, n, &snaps[n - 1]->queues[i]);
	if (snaps[n - 1]->trouble[0])
		fprintf(stderr, "look: %s\n", snaps[n - 1]->trouble);
	for (unsigned int i = 0; i < n; i++)
		vu__snapshot_free(snaps[i]);
	vu__sampler_free(s);
	return 0;
}
