/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of options; help, and completion for shells, are made from it. */
#include "vu-top/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/complete.h"
#include "vu-top/optionids.h"

#define MAX_OPTIONS 80

/* clang-format off */
const struct top_option top_options[] = {
	{0, "What is looked at", NULL, ""},
	{'f', "filter", "FILTER", "only queues that fit, such as 'vm=web* q>=2 health!=ok'"},
	{'p', "pid", "PID[,PID]", "only back-ends with these process ids"},
	{OPT_VM, "vm", "NAME", "only of this machine; * and ? stand for anything"},
	{OPT_DEVICE, "device", "NAME", "only this device"},
	{OPT_RUN_DIR, "run-dir", "DIR", "where libvu's back-ends tell of themselves ($LIBVU_RUN_DIR, /run/libvu)"},
	{OPT_LIBVU_ONLY, "libvu-only", NULL, "do not look for back-ends without libvu, nor for machines"},
	{OPT_LATENCY, "latency", NULL, "have latencies kept by all back-ends, not just by those shown"},
	{OPT_NO_LATENCY, "no-latency", NULL, "never have latencies kept"},
	{OPT_PATIENCE, "patience", "TIME", "what waits for less is not called stuck (1s)"},
	{OPT_REPLAY, "replay", "FILE", "what --record has written, instead of this host"},
	{0, "How often", NULL, ""},
	{'i', "interval", "TIME", "between looks: 0.5, 500ms, 2s (1s)"},
	{OPT_DELAY, "delay", "TIME", NULL},
	{'n', "iterations", "COUNT", "end after so many samples"},
	{OPT_COUNT, "count", "COUNT", NULL},
	{'d', "duration", "TIME", "end after this time"},
	{OPT_ONCE, "once", NULL, "look for a bit more than a second, then write one sample"},
	{0, "What comes out; without any of these, a screen", NULL, ""},
	{'b', "batch", NULL, "tables of text"},
	{OPT_PLAIN, "plain", NULL, NULL},
	{'j', "json", NULL, "a line of JSON for each sample (see vu-top.schema.json)"},
	{OPT_CSV, "csv", NULL, "comma-separated values, a line for each queue"},
	{OPT_OPENMETRICS, "openmetrics", "[FILE]", "OpenMetrics text; a file is replaced whole each time"},
	{OPT_LISTEN, "listen", "ADDRESS", "serve metrics over HTTP: PORT, HOST:PORT, unix:PATH, or fd:3 from systemd"},
	{OPT_CHECK, "check", "[FILTER]", "one line and an exit status for monitoring; FILTER is what is critical"},
	{OPT_WARNING, "warning", "FILTER", "with --check: what is a warning"},
	{OPT_ALERT, "alert", "ALERT", "raise an alert, such as 'oldest>500ms for 3s'; may be repeated"},
	{OPT_RECORD, "record", "FILE", "record what is seen, for --replay"},
	{OPT_RECORD_LIMIT, "record-limit", "BYTES", "begin anew when FILE is so big, keeping it as FILE.1 (1G)"},
	{0, "What it looks like", NULL, ""},
	{'o', "columns", "FIELD[,FIELD]", "which columns; --list-fields names them"},
	{'s', "sort", "FIELD[,FIELD]", "by one or two fields, each with + (up) or - (down) before it"},
	{OPT_VIEW, "view", "NAME", "begin with queues, devices, threads, latency, memory, migration, events or alerts"},
	{OPT_FLAT, "flat", NULL, "queues as a flat list, not grouped by process and device"},
	{OPT_COLOR, "color", "[WHEN]", "auto, always or never"},
	{OPT_MONO, "mono", NULL, NULL},
	{OPT_LIGHT, "light", NULL, "colours for a light background"},
	{OPT_ASCII, "ascii", NULL, "draw with ASCII characters only"},
	{OPT_UTF8, "utf8", NULL, "draw with Unicode, whatever the locale says"},
	{OPT_UNITS, "units", "si|iec", "bytes in thousands, or in steps of 1024 (si)"},
	{'T', "timestamps", NULL, "with --batch: begin lines with the time"},
	{OPT_HISTORY, "history-limit", "BYTES", "memory for the history of all queues (128M)"},
	{0, "Metrics", NULL, ""},
	{OPT_LABELS, "labels", "NAME=VALUE[,...]", "to be added to all metrics"},
	{OPT_MAX_QUEUES, "max-queues", "N", "queues beyond have no series (10000)"},
	{OPT_NO_CREATED, "no-created", NULL, "leave _created out"},
	{0, "Other", NULL, ""},
	{OPT_NO_CONFIG, "no-config", NULL, "read no configuration files"},
	{OPT_FIELDS, "list-fields", NULL, "name the fields of filters, sorting and columns"},
	{OPT_COMPLETION, "completion", "SHELL", "write completion for bash, zsh or fish"},
	{'q', "quiet", NULL, "no headings"},
	{'v', "verbose", NULL, "say more about what goes wrong"},
	{'h', "help", NULL, "this"},
	{'V', "version", NULL, "which version this is"},
	{0, NULL, NULL, NULL},
};
/* clang-format on */

void top_say(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("vu-top: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* --- help --- */

static const char examples[] =
	"Examples:\n"
	"  vu-top                                 all queues of this host, on a screen\n"
	"  vu-top -f 'health!=ok'                 only those with something wrong\n"
	"  vu-top --once                          one table, and what is wrong\n"
	"  vu-top --json -n 10 -i 2s              ten samples, two seconds apart\n"
	"  vu-top --check                         for Nagios and the like\n"
	"  vu-top --listen 9478                   for Prometheus, at 127.0.0.1:9478/metrics\n"
	"  vu-top --record night.vut -d 8h        record, and look at it in the morning\n";

static void name_option(const struct top_option *o, char *out, size_t size)
{
	bool optional = o->argument && o->argument[0] == '[';
	int n = 0;

	if (o->id < 256)
		n = snprintf(out, size, "-%c, ", o->id);
	else
		n = snprintf(out, size, "    ");
	n += snprintf(out + n, size - n, "--%s", o->name);
	if (optional)
		snprintf(out + n, size - n, "[=%s", o->argument + 1);
	else if (o->argument)
		snprintf(out + n, size - n, "=%s", o->argument);
}

void top_print_help(FILE *to)
{
	fprintf(to, "Usage: vu-top [OPTION]... [INTERVAL [COUNT]]\n"
		    "What the vhost-user queues of this host do, and which are stuck, and why.\n\n%s",
		examples);
	for (const struct top_option *o = top_options; o->name; o++) {
		char name[80];

		if (!o->id) {
			fprintf(to, "\n%s:\n", o->name);
			continue;
		}
		if (!o->help)
			continue;
		name_option(o, name, sizeof(name));
		if (strlen(name) > 25)
			fprintf(to, "  %s\n%28s%s\n", name, "", o->help);
		else
			fprintf(to, "  %-25s %s\n", name, o->help);
	}
	fputs("\nOn the screen, ? shows the keys.  See vu-top(1) and vu-verdicts(7).\n", to);
}

void top_print_fields(FILE *to)
{
	for (const struct top_field *f = top_fields; f->name; f++) {
		if (f->help)
			fprintf(to, "%-16s %s\n", f->name, f->help);
	}
	fputs("\nCounters, as NAME (since the queue's connection began) and as NAME/s:\n", to);
	for (unsigned int c = 0; c < VU__OBS_NCOUNTERS; c++)
		fprintf(to, "%-16s %s\n", vu__obs_counters[c].name, vu__obs_counters[c].help);
}

/* --- completion --- */

/* What follows an option, for a shell to offer; NULL: nothing in particular. */
static const char *choices(const struct top_option *o)
{
	switch (o->id) {
	case OPT_VIEW:
		return "queues devices threads latency memory migration events alerts";
	case OPT_COLOR:
		return "auto always never";
	case OPT_UNITS:
		return "si iec";
	case OPT_COMPLETION:
		return "bash zsh fish";
	default:
		return NULL;
	}
}

static bool wants_file(const struct top_option *o)
{
	return o->id == OPT_REPLAY || o->id == OPT_RECORD || o->id == OPT_OPENMETRICS;
}

static bool wants_fields(const struct top_option *o)
{
	return o->id == 'o' || o->id == 's';
}

/* The names of all fields, with blanks between. */
static char *field_names(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (const struct top_field *field = top_fields; field->name; field++) {
		if (field->help)
			fprintf(f, "%s ", field->name);
	}
	fclose(f);
	return text;
}

bool top_print_completion(const char *shell, FILE *to)
{
	struct complete_option options[MAX_OPTIONS];
	struct complete_tool tool = {.name = "vu-top", .options = options};
	VU_CLEANUP_FREE char *fields = field_names();
	const char *help = "";

	_Static_assert(VU_ARRAY_SIZE(top_options) <= MAX_OPTIONS, "a place for each option");
	for (const struct top_option *o = top_options; o->name; o++) {
		if (!o->id)
			continue;
		help = o->help ? o->help : help;
		options[tool.noptions++] = (struct complete_option){
			.name = o->name,
			.letter = o->id < 256 ? o->id : '\0',
			.arg = o->argument,
			.help = help,
			.choices = wants_fields(o) ? fields : choices(o),
			.files = wants_file(o),
			.commands = ~0ull,
		};
	}
	return complete_print(&tool, shell, to);
}
