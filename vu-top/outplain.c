/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sample as a table, and as comma-separated values. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vu-top/out.h"
#include "vu-top/writer.h"

static const char default_fields[] =
	"vm,device,q,role,state,kick/s,req/s,in/s,out/s,call/s,depth,infl,oldest,p50,p99,health,"
	"verdict";

/* All that a table of a queue can have; what a person reads only is left out. */
static const char csv_fields[] =
	"vm,device,process,pid,kind,type,socket,q,role,state,source,ring,size,health,verdict,"
	"confidence,since,kick/s,req/s,in/s,out/s,req/kick,call/s,req/call,supp%,supp_flag%,"
	"supp_event%,supp_masked%,supp_nofd%,empty%,depth,depth_max,pend,infl,infl_max,oldest,"
	"p50,p90,p99,p99.9,max,mean,kick_p50,kick_p99,batch,busy%,tid,cpu,dirty/s,err/s,full/s,"
	"kicks_unread,calls_unread,kicks,wakeups,empty_wakeups,available,popped,completed,failed,"
	"dropped,bytes_out,bytes_in,calls,nocall_flag,nocall_event,nocall_masked,nocall_nofd,"
	"call_errors,ring_full,faults,pages_first,pages_again,evidence";

bool top_out_fields(struct top_out_options *o, const char *text, char *why, size_t why_size)
{
	o->nfields = 0;
	while (*text) {
		size_t len = strcspn(text, ",");
		const struct top_field *f = top_field_find(text, len);

		if (!f) {
			snprintf(why, why_size, "'%.*s' is no field", (int)VU_MIN(len, 40u),
				 text);
			return false;
		}
		if (o->nfields == TOP_MAX_FIELDS) {
			snprintf(why, why_size, "there are more than %d", TOP_MAX_FIELDS);
			return false;
		}
		o->fields[o->nfields++] = f;
		text += len + (text[len] == ',');
	}
	return o->nfields;
}

size_t top_select(const struct top_model *m, const struct top_filter *filter,
		  const struct top_order *order, struct top_queue **out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < m->nqueues; i++) {
		if (top_filter_fits(filter, m->queues[i]))
			out[n++] = m->queues[i];
	}
	if (order)
		top_order_sort(order, out, n);
	return n;
}

static void with_defaults(const struct top_out_options *o, const char *fields,
			  struct top_out_options *out)
{
	char why[80];

	*out = *o;
	if (!o->nfields)
		(void)top_out_fields(out, fields, why, sizeof(why));
}

/* --- a table --- */

static bool to_the_right(const struct top_field *f)
{
	return f->kind != TOP_F_TEXT && f->kind != TOP_F_HEALTH;
}

/* A table as it will be: its texts one after the other, row by row. */
struct table {
	size_t len, room;
	char *texts;
	unsigned int widths[TOP_MAX_FIELDS]; /* so that nothing is cut */
};

static const char *heading(const struct top_field *f)
{
	return *f->title ? f->title : f->name;
}

static bool add_text(struct table *t, const char *text)
{
	size_t size = strlen(text) + 1;

	if (size > t->room - t->len) {
		size_t room = VU_MAX(2 * t->room, 16384u);
		char *more = realloc(t->texts, room);

		if (!more)
			return false;
		t->texts = more;
		t->room = room;
	}
	memcpy(t->texts + t->len, text, size);
	t->len += size;
	return true;
}

static bool make_table(const struct top_out_options *o, struct top_queue *const *list, size_t n,
		       struct table *t)
{
	for (unsigned int f = 0; f < o->nfields; f++)
		t->widths[f] = top_text_width(heading(o->fields[f]));
	for (size_t i = 0; i < n; i++) {
		for (unsigned int f = 0; f < o->nfields; f++) {
			char text[TOP_FIELD_TEXT];

			top_field_format(o->fields[f], list[i], TOP_RATES, o->units, text);
			t->widths[f] = VU_MAX(t->widths[f], top_text_width(text));
			if (!add_text(t, text))
				return false;
		}
	}
	return true;
}

static void put_gap(struct top_writer *w, unsigned int n)
{
	while (n--)
		top_write(w, " ", 1);
}

static void put(struct top_writer *w, const char *text, unsigned int width, bool right,
		bool last)
{
	unsigned int is = top_text_width(text), gap = is < width ? width - is : 0;

	if (right)
		put_gap(w, gap);
	top_write_safe(w, text);
	if (!right && !last)
		put_gap(w, gap);
	top_write_text(w, last ? "\n" : "  ");
}

static void put_row(struct top_writer *w, const struct top_out_options *o,
		    const struct table *t, const char **texts)
{
	for (unsigned int f = 0; f < o->nfields; f++) {
		const char *text = texts ? *texts : heading(o->fields[f]);

		put(w, text, t->widths[f], to_the_right(o->fields[f]), f + 1 == o->nfields);
		if (texts)
			*texts += strlen(text) + 1;
	}
}

static void put_table(const struct top_out_options *o, struct top_queue *const *list, size_t n,
		      const char *time, FILE *to)
{
	struct table t = {.len = 0};
	struct top_writer w;
	const char *texts;

	top_writer_begin(&w, to);
	if (make_table(o, list, n, &t)) {
		texts = t.texts;
		if (!o->quiet && o->times)
			put(&w, "TIME", strlen(time), false, false);
		if (!o->quiet)
			put_row(&w, o, &t, NULL);
		for (size_t i = 0; i < n; i++) {
			if (o->times)
				put(&w, time, 0, false, false);
			put_row(&w, o, &t, &texts);
		}
	}
	top_writer_flush(&w);
	free(t.texts);
}

static void put_trouble(struct top_queue *const *list, size_t n, FILE *to)
{
	for (unsigned int s = VU__OBS_CRITICAL; s >= VU__OBS_WARNING; s--) {
		for (size_t i = 0; i < n; i++) {
			const struct vu__obs_verdict *v = &list[i]->verdict;
			char name[160];

			if (v->severity != s)
				continue;
			top_queue_name(list[i], name, sizeof(name));
			fprintf(to, "%s: ", vu__obs_severity_name(s));
			top_put_safe(name, to);
			fprintf(to, ": %s (%s): %s: ", vu__obs_verdicts[v->id].name,
				vu__obs_confidence_name(v->confidence),
				vu__obs_verdicts[v->id].summary);
			top_put_safe(v->evidence, to);
			fprintf(to, "%s%s\n", v->next[0] ? "\n    next: " : "", v->next);
		}
	}
}

/* Whose numbers are missing, and why. */
static void put_unseen(const struct vu__obs_snapshot *s, FILE *to)
{
	for (uint32_t i = 0; i < s->nprocs; i++) {
		const char *text = top_process_trouble(s, i);

		if (!*text)
			continue;
		top_put_safe(s->procs[i].comm, to);
		fprintf(to, "[%d]: ", s->procs[i].pid);
		top_put_safe(text, to);
		fputc('\n', to);
	}
}

void top_out_plain(const struct top_model *m, const struct top_out_options *o, FILE *to)
{
	VU_CLEANUP_FREE struct top_queue **list =
		calloc(m->nqueues ? m->nqueues : 1, sizeof(struct top_queue *));
	size_t n = list ? top_select(m, o->filter, o->order, list) : 0;
	const struct vu__obs_snapshot *s = m->frame->snap;
	struct top_out_options all;
	char time[TOP_TIME_LEN];

	with_defaults(o, default_fields, &all);
	top_format_time(time, s->real_ns);
	if (!o->quiet)
		fprintf(to, "%s  %s%s%u devices, %u queues: %u critical, %u warning\n", time,
			o->host ? o->host : "", o->host ? ": " : "", s->ndevs, s->nqueues,
			m->by_severity[VU__OBS_CRITICAL], m->by_severity[VU__OBS_WARNING]);
	if (s->trouble[0])
		fprintf(to, "%s\n", s->trouble);
	put_table(&all, list, n, time, to);
	if (!o->quiet) {
		/* Others are not asked about, unless there is nothing else to say. */
		if (!o->filter || !n)
			put_unseen(s, to);
		put_trouble(list, n, to);
		fputc('\n', to);
	}
}

/* --- comma-separated values --- */

static void put_csv_text(const char *text, FILE *to)
{
	if (!strpbrk(text, ",\"\r\n")) {
		fputs(text, to);
		return;
	}
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', to);
		fputc(*text, to);
	}
	fputc('"', to);
}

static void put_csv_field(const struct top_field *f, const struct top_queue *t, FILE *to)
{
	char buf[TOP_FIELD_TEXT];
	double v;

	if (f->kind == TOP_F_TEXT) {
		put_csv_text(f->text(t, buf), to);
		return;
	}
	v = top_field_number(f, t, TOP_RATES);
	if (!top_known(v))
		return;
	if (f->kind == TOP_F_HEALTH)
		fputs(vu__obs_severity_name(v), to);
	else if (v < 9e15 && v == (double)(int64_t)v)
		fprintf(to, "%" PRId64, (int64_t)v);
	else
		fprintf(to, "%.6g", v);
}

void top_out_csv_header(const struct top_out_options *o, FILE *to)
{
	struct top_out_options all;

	with_defaults(o, csv_fields, &all);
	fputs("time,mono_ns", to);
	for (unsigned int f = 0; f < all.nfields; f++)
		fprintf(to, ",%s", all.fields[f]->name);
	fputs("\r\n", to);
}

void top_out_csv(const struct top_model *m, const struct top_out_options *o, FILE *to)
{
	VU_CLEANUP_FREE struct top_queue **list =
		calloc(m->nqueues ? m->nqueues : 1, sizeof(struct top_queue *));
	size_t n = list ? top_select(m, o->filter, o->order, list) : 0;
	struct top_out_options all;
	char time[TOP_TIME_LEN];

	with_defaults(o, csv_fields, &all);
	top_format_time(time, m->frame->snap->real_ns);
	for (size_t i = 0; i < n; i++) {
		fprintf(to, "%s,%" PRIu64, time, list[i]->q->mono_ns);
		for (unsigned int f = 0; f < all.nfields; f++) {
			fputc(',', to);
			put_csv_field(all.fields[f], list[i], to);
		}
		fputs("\r\n", to);
	}
}
