/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-trace report and export: what a recorded file says.  The main thread. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chrome.h"
#include "format.h"
#include "options.h"
#include "record.h"
#include "select.h"

/* The file named on the command line; an exit status, or -1 to go on. */
static int load(const struct options *o, const char *command, struct recording *r)
{
	char why[160], selection[256];
	int ret;

	if (o->roles) {
		say("%s: a file does not say what a queue is for: --role=%s is not for it",
		    command, o->role);
		return EXIT_USAGE;
	}
	if (o->nargs != 1) {
		say("%s: one FILE is needed", command);
		return EXIT_USAGE;
	}
	ret = recording_load(o->args[0], r, why, sizeof(why));
	if (ret) {
		say("%s: %s", o->args[0], why);
		recording_release(r);
		return EXIT_FAILED;
	}
	selection_text(o, selection, sizeof(selection));
	if ((selection[0] || o->kinds) && !select_recorded(o, r) && selection[0]) {
		say("%s: no queue in it is selected by %s", o->args[0], selection);
		recording_release(r);
		return EXIT_FAILED;
	}
	return -1;
}

/* Says if it was cut; the exit status. */
static int end_status(const struct options *o, const struct recording *r)
{
	if (r->complete)
		return EXIT_OK;
	say("%s: cut: only what is in its first %" PRIu64 " bytes", o->args[0], r->good);
	return EXIT_FAILED;
}

/* --- report --- */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Time from one point of rounds to another; NULL-terminated use of @v by its caller. */
static size_t steps(const struct recording *r, uint32_t slot, unsigned int to, uint64_t *v)
{
	size_t n = 0;

	for (size_t i = 0; i < r->nrounds; i++) {
		const struct ev_round *e = &r->rounds[i];
		uint64_t from = 0;

		if (e->head.queue != slot || !e->at[to])
			continue;
		for (unsigned int p = 0; p < to; p++)
			from = e->at[p] ? e->at[p] : from;
		if (from && from <= e->at[to])
			v[n++] = e->at[to] - from;
	}
	return n;
}

static void report_step(const char *name, uint64_t *v, size_t n)
{
	static const double shares[] = {0.5, 0.9, 0.99, 1};
	char t[TIME_TEXT];

	if (!n)
		return;
	qsort(v, n, sizeof(*v), by_value);
	printf("  %-10s %9zu", name, n);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(shares); i++) {
		size_t at = (size_t)(shares[i] * n + 0.9999999);

		printf(" %9s", time_text(t, v[at ? at - 1 : 0]));
	}
	putchar('\n');
}

static void report_queue(const struct recording *r, const struct record_queue *q, uint64_t *v)
{
	uint64_t n[EV_KINDS] = {0}, kicks = 0;
	size_t nv = 0;

	for (size_t i = 0; i < r->nevents; i++) {
		const struct event *e = &r->events[i];

		if (e->queue != q->slot || e->kind >= EV_KINDS)
			continue;
		n[e->kind]++;
		kicks += e->kind == EV_SIGNAL ? e->value : 0;
	}
	printf("%s (%s/%u)  kicks %" PRIu64, q->name, q->backend_comm, q->backend, kicks);
	for (unsigned int k = 1; k < EV_KINDS; k++) {
		if (n[k])
			printf(", %s %" PRIu64, kind_name(k), n[k]);
	}
	putchar('\n');
	for (size_t i = 0; i < r->nrounds; i++) {
		if (r->rounds[i].head.queue == q->slot)
			v[nv++] = r->rounds[i].head.value;
	}
	if (nv)
		printf("  %-10s %9s %9s %9s %9s %9s\n", "TO", "COUNT", "P50", "P90", "P99", "MAX");
	for (unsigned int p = 1; p < PT_POINTS; p++) {
		uint64_t *more = v + nv;

		report_step(point_name(p), more, steps(r, q->slot, p, more));
	}
	report_step("all", v, nv);
}

static int slowest_first(const void *a, const void *b)
{
	const struct ev_round *x = *(const struct ev_round *const *)a;
	const struct ev_round *y = *(const struct ev_round *const *)b;

	return x->head.value > y->head.value ? -1 : x->head.value < y->head.value;
}

static void report_slowest(const struct recording *r)
{
	const struct ev_round **list = calloc(r->nrounds + 1, sizeof(*list));

	for (size_t i = 0; list && i < r->nrounds; i++)
		list[i] = &r->rounds[i];
	if (list)
		qsort(list, r->nrounds, sizeof(*list), slowest_first);
	for (size_t i = 0; list && i < r->nrounds && i < 10; i++) {
		char t[TIME_TEXT], text[256];

		if (!i)
			puts("the slowest:");
		round_text(text, sizeof(text), list[i]);
		printf("  %9s  %s  %s/%u: %s\n", time_text(t, list[i]->head.value),
		       recording_queue_name(r, list[i]->head.queue),
		       recording_comm(r, list[i]->head.tid), list[i]->head.tid, text);
	}
	free(list);
}

static void report_losses(const struct recording *r)
{
	for (unsigned int k = 1; k < EV_KINDS; k++) {
		if (r->losses[k].drops)
			printf("lost: %" PRIu64 " of %" PRIu64 " %s events\n",
			       (uint64_t)r->losses[k].drops, (uint64_t)r->losses[k].hits,
			       kind_name(k));
	}
}

int cmd_report(const struct options *o)
{
	struct recording r;
	uint64_t *v;
	char when[32];
	time_t t;
	int ret = load(o, "report", &r);

	if (ret >= 0)
		return ret;
	v = calloc(2 * r.nrounds + 1, sizeof(*v));
	t = r.info.real_ns / 1000000000;
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime(&t));
	printf("%s, kernel %s, tier %c: %zu events, %zu rounds\n", when, r.info.kernel,
	       (int)(r.info.tier & 0x7f) > 0x20 ? (int)(r.info.tier & 0x7f) : '?', r.nevents,
	       r.nrounds);
	for (size_t i = 0; v && i < r.nqueues; i++)
		report_queue(&r, &r.queues[i], v);
	report_slowest(&r);
	report_losses(&r);
	free(v);
	ret = end_status(o, &r);
	recording_release(&r);
	return ret;
}

/* --- export --- */

static void csv_text(FILE *to, const char *s)
{
	putc('"', to);
	for (; *s; s++) {
		if (*s == '"')
			putc('"', to);
		putc(*s, to);
	}
	putc('"', to);
}

static void csv_row(FILE *to, const struct recording *r, const struct event *e)
{
	fprintf(to, "%" PRIu64 ",%s,%c,", (uint64_t)e->ts, kind_name(e->kind),
		e->tier > 0x20 && e->tier < 0x7f && e->tier != '"' && e->tier != ',' ? e->tier : '?');
	csv_text(to, recording_queue_name(r, e->queue));
	fprintf(to, ",%u,%u,%" PRIu64 ",%u\r\n", e->tgid, e->tid, (uint64_t)e->value, e->other);
}

static void write_csv(const struct recording *r, FILE *to)
{
	size_t j = 0;

	fputs("mono_ns,event,tier,queue,pid,tid,value,other\r\n", to);
	for (size_t i = 0; i < r->nevents; i++) {
		for (; j < r->nrounds && r->rounds[j].head.ts <= r->events[i].ts; j++)
			csv_row(to, r, &r->rounds[j].head);
		csv_row(to, r, &r->events[i]);
	}
	for (; j < r->nrounds; j++)
		csv_row(to, r, &r->rounds[j].head);
}

static void json_row(struct json *j, const struct recording *r, const struct event *e,
		     size_t size)
{
	json_open(j, NULL, '{');
	event_json(j, e, size, recording_queue_name(r, e->queue));
	json_close(j, '}');
	json_line(j);
}

static void write_json(const struct recording *r, FILE *to)
{
	struct json j = json_to(to);
	size_t k = 0;

	for (size_t i = 0; i < r->nevents; i++) {
		for (; k < r->nrounds && r->rounds[k].head.ts <= r->events[i].ts; k++)
			json_row(&j, r, &r->rounds[k].head, sizeof(r->rounds[k]));
		json_row(&j, r, &r->events[i], sizeof(r->events[i]));
	}
	for (; k < r->nrounds; k++)
		json_row(&j, r, &r->rounds[k].head, sizeof(r->rounds[k]));
}

int cmd_export(const struct options *o)
{
	FILE *to = stdout;
	struct recording r;
	int ret;

	if (o->chrome + o->csv + o->json != 1) {
		say("export: one of --chrome, --csv and --json is needed");
		return EXIT_USAGE;
	}
	ret = load(o, "export", &r);
	if (ret >= 0)
		return ret;
	if (o->output)
		to = fopen(o->output, "we");
	if (to && o->chrome)
		chrome_write(&r, to);
	else if (to && o->csv)
		write_csv(&r, to);
	else if (to)
		write_json(&r, to);
	ret = end_status(o, &r);
	if (!to || ferror(to) || fflush(to) || (o->output && fclose(to))) {
		say("%s: %s", o->output ? o->output : "standard output", strerror(errno));
		ret = EXIT_FAILED;
	}
	recording_release(&r);
	return ret;
}
