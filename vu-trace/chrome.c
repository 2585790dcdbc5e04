/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes Chrome's trace JSON, which Perfetto's page opens.  The main thread. */
#include "chrome.h"

#include <stdlib.h>

#include "format.h"

/* Queues are threads of a process that no kernel has. */
#define QUEUES_PID 0x7ffffff0

struct chrome {
	const struct recording *r;
	struct json j;
	uint64_t begin;
	uint64_t flow;
};

/* One line of the file, to be sorted. */
struct item {
	uint64_t ts;
	uint64_t dur;
	uint64_t value;
	uint64_t flow;
	uint32_t pid, tid;
	char phase; /* X, i, s, t, f */
	const char *name;
	const struct ev_round *round;
};

struct items {
	struct item *at;
	size_t n, size;
};

static void add(struct items *s, const struct item *i)
{
	struct item *bigger;

	if (s->n == s->size) {
		bigger = realloc(s->at, (s->size * 2 + 64) * sizeof(*bigger));
		if (!bigger)
			return;
		s->at = bigger;
		s->size = s->size * 2 + 64;
	}
	s->at[s->n++] = *i;
}

/* Spans before what is in them, wider ones first. */
static int by_time(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->ts != y->ts)
		return x->ts < y->ts ? -1 : 1;
	if ((x->phase == 'X') != (y->phase == 'X'))
		return x->phase == 'X' ? -1 : 1;
	return x->dur > y->dur ? -1 : x->dur < y->dur;
}

static bool in_order(const struct ev_round *r)
{
	uint64_t last = 0;

	for (unsigned int i = 0; i < PT_POINTS; i++) {
		if (!r->at[i])
			continue;
		if (r->at[i] < last)
			return false;
		last = r->at[i];
	}
	return last && r->head.value <= last;
}

/* The round on its queue's track, its steps within, and the service on the thread's. */
static void add_round(struct chrome *c, struct items *s, const struct ev_round *r)
{
	uint64_t first = 0, last = 0, serve = r->at[PT_RUN] ? r->at[PT_RUN] : r->at[PT_READ];
	struct item i = {.phase = 'X', .pid = QUEUES_PID, .tid = r->head.queue, .round = r};

	if (!in_order(r))
		return;
	for (unsigned int p = 0; p < PT_POINTS; p++) {
		if (!r->at[p])
			continue;
		if (last && r->at[p] > last) {
			i.name = point_name(p);
			i.ts = last;
			i.dur = r->at[p] - last;
			add(s, &i);
		}
		first = first ? first : r->at[p];
		last = r->at[p];
	}
	i.name = "round";
	i.ts = first;
	i.dur = last - first;
	add(s, &i);
	i = (struct item){.phase = 'X', .pid = r->head.tgid, .tid = r->head.tid,
			  .name = recording_queue_name(c->r, r->head.queue), .ts = serve,
			  .dur = last - serve, .round = r};
	if (serve)
		add(s, &i);
	if (!serve || !r->at[PT_SIGNAL] || !r->at[PT_CALL])
		return;
	/* An arrow needs a span at either end: the round's and the service's. */
	c->flow++;
	i = (struct item){.name = "kick", .flow = c->flow, .phase = 's', .pid = QUEUES_PID,
			  .tid = r->head.queue, .ts = r->at[PT_SIGNAL]};
	add(s, &i);
	i.phase = 't';
	i.pid = r->head.tgid;
	i.tid = r->head.tid;
	i.ts = serve;
	add(s, &i);
	i.phase = 'f';
	i.pid = QUEUES_PID;
	i.tid = r->head.queue;
	i.ts = r->at[PT_CALL];
	add(s, &i);
}

static void add_event(struct items *s, const struct event *e)
{
	struct item i = {.phase = 'i', .ts = e->ts, .value = e->value, .pid = e->tgid,
			 .tid = e->tid, .name = kind_name(e->kind)};

	if (e->kind != EV_TABLE)
		add(s, &i);
}

static double us(const struct chrome *c, uint64_t ns)
{
	return (ns - c->begin) / 1e3;
}

static void write_item(struct chrome *c, const struct item *i)
{
	static const char phases[] = {0, 0};
	char phase[sizeof(phases)] = {i->phase};

	json_open(&c->j, NULL, '{');
	json_text(&c->j, "ph", phase);
	json_text(&c->j, "name", i->name[0] ? i->name : "?");
	json_text(&c->j, "cat", "queue");
	json_number(&c->j, "pid", i->pid);
	json_number(&c->j, "tid", i->tid);
	json_real(&c->j, "ts", us(c, i->ts), 3);
	if (i->phase == 'X')
		json_real(&c->j, "dur", i->dur / 1e3, 3);
	if (i->phase == 'i')
		json_text(&c->j, "s", "t");
	if (i->flow)
		json_number(&c->j, "id", i->flow);
	if (i->phase == 'f')
		json_text(&c->j, "bp", "e");
	if (i->phase == 'i') {
		json_open(&c->j, "args", '{');
		json_number(&c->j, "value", i->value);
		json_close(&c->j, '}');
	}
	json_close(&c->j, '}');
	putc('\n', c->j.to);
}

static void write_name(struct chrome *c, const char *what, uint32_t pid, uint32_t tid,
		       const char *name)
{
	json_open(&c->j, NULL, '{');
	json_text(&c->j, "ph", "M");
	json_text(&c->j, "name", what);
	json_number(&c->j, "pid", pid);
	json_number(&c->j, "tid", tid);
	json_open(&c->j, "args", '{');
	json_text(&c->j, "name", name);
	json_close(&c->j, '}');
	json_close(&c->j, '}');
	putc('\n', c->j.to);
}

static void write_names(struct chrome *c)
{
	write_name(c, "process_name", QUEUES_PID, 0, "queues");
	for (size_t i = 0; i < c->r->nqueues; i++) {
		const struct record_queue *q = &c->r->queues[i];

		write_name(c, "thread_name", QUEUES_PID, q->slot, q->name);
		write_name(c, "process_name", q->vmm, q->vmm, q->vmm_comm);
		write_name(c, "process_name", q->backend, q->backend, q->backend_comm);
	}
	for (size_t i = 0; i < c->r->nthreads; i++)
		write_name(c, "thread_name", c->r->threads[i].tgid, c->r->threads[i].tid,
			   c->r->threads[i].comm);
}

void chrome_write(const struct recording *r, FILE *to)
{
	struct chrome c = {.r = r, .j = json_to(to)};
	struct items s = {0};

	for (size_t i = 0; i < r->nrounds; i++)
		add_round(&c, &s, &r->rounds[i]);
	for (size_t i = 0; i < r->nevents; i++)
		add_event(&s, &r->events[i]);
	if (s.n) {
		qsort(s.at, s.n, sizeof(s.at[0]), by_time);
		c.begin = s.at[0].ts;
	}
	json_open(&c.j, NULL, '{');
	json_text(&c.j, "displayTimeUnit", "ns");
	json_open(&c.j, "traceEvents", '[');
	write_names(&c);
	for (size_t i = 0; i < s.n; i++)
		write_item(&c, &s.at[i]);
	json_close(&c.j, ']');
	json_close(&c.j, '}');
	putc('\n', to);
	free(s.at);
}
