/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sample as OpenMetrics 1.0, or in the text format of Prometheus, which differ little. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "vu-top/metricsimpl.h"

/* --- labels --- */

static void put_label_value(FILE *to, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		char out[4];
		uint32_t ch;
		size_t n = utf8_get(text, len, &ch);

		if (ch == '\\' || ch == '"')
			fputc('\\', to);
		if (ch == '\n')
			fputs("\\n", to);
		else
			fwrite(out, 1, utf8_put(ch, out), to);
		text += n;
		len -= n;
	}
}

void top_label(char *out, size_t size, const char *name, const char *text)
{
	FILE *f = fmemopen(out, size, "w");

	out[0] = '\0';
	if (!f)
		return;
	fprintf(f, "%s=\"", name);
	put_label_value(f, text);
	fputs("\"", f);
	fclose(f);
	out[size - 1] = '\0';
}

/* --- all of it --- */

static void put_comment(const struct top_exposition_state *x, const char *what,
			const struct top_family *f, const char *suffix, const char *text)
{
	char line[300];

	snprintf(line, sizeof(line), "# %s %s%s %s\n", what, f->name, suffix, text);
	top_write_text(x->w, line);
}

static void put_heading(const struct top_exposition_state *x, const struct top_family *f)
{
	static const char *const om_types[] = {"counter", "gauge", "info", "stateset",
					       "histogram"};
	static const char *const prom_types[] = {"counter", "gauge", "gauge", "gauge",
						 "histogram"};
	const char *suffix = "";

	/* The older format knows samples only, not families. */
	if (x->format == TOP_PROMETHEUS)
		suffix = f->type == TOP_COUNTER ? "_total" : f->type == TOP_INFO ? "_info" : "";
	put_comment(x, "HELP", f, suffix, f->help);
	put_comment(x, "TYPE", f, suffix,
		    x->format == TOP_PROMETHEUS ? prom_types[f->type] : om_types[f->type]);
	if (x->format == TOP_OPENMETRICS && *f->unit)
		put_comment(x, "UNIT", f, "", f->unit);
}

/* Labels of devices.  Of several of one name, all but the first have a number. */
static void name_devices(struct top_exposition_state *x, char (*plain)[320])
{
	const struct vu__obs_snapshot *s = x->m->frame->snap;

	for (uint32_t i = 0; i < s->ndevs; i++) {
		const struct vu__obs_process *vmm = vu__obs_vmm_of(s, &s->devs[i]);
		char name[80], vm[140], device[160];
		unsigned int before = 0;

		/* A pid for a name would make a new series of every restart. */
		top_label(vm, sizeof(vm), "vm", vmm ? vmm->vm_name : "");
		top_device_name(&s->devs[i], name, sizeof(name));
		top_label(device, sizeof(device), "device", name);
		snprintf(plain[i], sizeof(plain[i]), "%s,%s", vm, device);
		for (uint32_t k = 0; k < i; k++)
			before += !strcmp(plain[k], plain[i]);
		if (before)
			snprintf(x->device[i], sizeof(x->device[i]), "%.*s#%u\"",
				 (int)strlen(plain[i]) - 1, plain[i], before + 1);
		else
			snprintf(x->device[i], sizeof(x->device[i]), "%s", plain[i]);
	}
}

static void name_queues(struct top_exposition_state *x)
{
	for (size_t i = 0; i < x->nqueues; i++) {
		const struct vu__obs_queue *q = x->queues[i]->q;

		snprintf(x->queue[x->queues[i]->place], sizeof(x->queue[0]),
			 "%s,queue=\"%u\",role=\"%s\"", x->device[q->dev], q->index,
			 vu__obs_role_name(q->role));
	}
}

static void put_all(struct top_exposition_state *x)
{
	x->nqueues = top_select(x->m, x->o->filter, NULL, x->queues);
	if (x->o->max_queues && x->nqueues > x->o->max_queues) {
		x->left_out = x->nqueues - x->o->max_queues;
		x->nqueues = x->o->max_queues;
	}
	name_queues(x);
	for (const struct top_family *f = top_families; f->name; f++) {
		put_heading(x, f);
		f->emit(x, f);
	}
	if (x->format == TOP_OPENMETRICS)
		top_write_text(x->w, "# EOF\n");
}

void top_out_metrics(const struct top_model *m, const struct top_out_options *o,
		     enum top_exposition format, FILE *to)
{
	struct top_writer w;
	struct top_exposition_state x = {.m = m, .o = o, .format = format, .w = &w};
	char (*plain)[320] = calloc(m->ndevices ? m->ndevices : 1, sizeof(*plain));

	x.device = calloc(m->ndevices ? m->ndevices : 1, sizeof(*x.device));
	x.queue = calloc(m->nqueues ? m->nqueues : 1, sizeof(*x.queue));
	x.queues = calloc(m->nqueues ? m->nqueues : 1, sizeof(struct top_queue *));
	if (plain && x.device && x.queue && x.queues) {
		top_writer_begin(&w, to);
		name_devices(&x, plain);
		put_all(&x);
		top_writer_flush(&w);
	}
	free(plain);
	free(x.device);
	free(x.queue);
	free(x.queues);
}

const char *top_exposition_type(enum top_exposition format)
{
	return format == TOP_OPENMETRICS
		       ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
}

/* --- labels that are asked for --- */

static bool label_name(const char *text, size_t len)
{
	static const char *const taken[] = {"vm", "device", "queue", "role", "le", "reason", "mark"};

	for (size_t i = 0; i < VU_ARRAY_SIZE(taken); i++) {
		if (strlen(taken[i]) == len && !strncmp(taken[i], text, len))
			return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (!isalpha((unsigned char)text[i]) && text[i] != '_' &&
		    (!i || !isdigit((unsigned char)text[i])))
			return false;
	}
	return len && strncmp(text, "__", 2) && strncmp(text, "vu_", 3);
}

bool top_parse_labels(const char *text, char *out, size_t size, char *why, size_t why_size)
{
	size_t used = 0;

	out[0] = '\0';
	while (*text) {
		size_t len = strcspn(text, ","), name = strcspn(text, "=");
		char key[64], value[200], label[500];

		snprintf(key, sizeof(key), "%.*s", (int)VU_MIN(name, sizeof(key) - 1), text);
		if (name >= len || name >= sizeof(key) || !label_name(key, name)) {
			snprintf(why, why_size, "'%.*s' is not name=value, or its name is taken",
				 (int)VU_MIN(len, 60u), text);
			return false;
		}
		snprintf(value, sizeof(value), "%.*s", (int)VU_MIN(len - name - 1, 199u),
			 text + name + 1);
		top_label(label, sizeof(label), key, value);
		if (used + strlen(label) + 2 > size) {
			snprintf(why, why_size, "they are too long");
			return false;
		}
		used += snprintf(out + used, size - used, ",%s", label);
		text += len + (text[len] == ',');
	}
	return true;
}
