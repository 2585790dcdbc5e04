/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of options: which command each is for, help, and completion for shells; and
 * what their values come to.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "observe/model.h"
#include "tools/complete.h"

#define MAX_COMMANDS 16u

enum {
	OPT_SOCKET = 256,
	OPT_VM,
	OPT_DEVICE,
	OPT_ROLE,
	OPT_KINDS,
	OPT_MIN,
	OPT_SAMPLE,
	OPT_TRIGGER,
	OPT_TIER,
	OPT_NO_SYSCALLS,
	OPT_COUNTS,
	OPT_BUFFER,
	OPT_WATCH,
	OPT_ALL,
	OPT_YES,
	OPT_DOT,
	OPT_CSV,
	OPT_CHROME,
	OPT_HEAT,
	OPT_LIST_PROBES,
	OPT_COMPLETION,
};

/* Commands an option is for. */
#define LIVE	(COMMAND_STREAM | COMMAND_LAT | COMMAND_STUCK | COMMAND_RECORD)
#define FILES	(COMMAND_REPORT | COMMAND_EXPORT)
#define QUEUES	(LIVE | FILES | COMMAND_MAP | COMMAND_POKE)
#define ROUNDS	(COMMAND_STREAM | COMMAND_LAT | COMMAND_RECORD)
#define EVENTS	(COMMAND_STREAM | COMMAND_RECORD | FILES)
#define JSON	((QUEUES & ~(COMMAND_RECORD | COMMAND_REPORT)) | COMMAND_CHECK | COMMAND_PROBES)
#define ANY	(~0u)
#define ALONE	0u

static const struct row {
	int id; /* its letter, or OPT_; 0: a heading */
	const char *name, *arg, *help;
	unsigned int commands;
	const char *choices; /* for a shell to offer; "FILE": files */
} table[] = {
	{0, "Which queues (all, unless said)", NULL, NULL, QUEUES, NULL},
	{'p', "pid", "PID[,PID]...", "of these processes, monitors or back-ends", QUEUES, NULL},
	{OPT_SOCKET, "socket", "PATH", "of the vhost-user socket there", QUEUES, "FILE"},
	{OPT_VM, "vm", "NAME", "of the machine with that name", QUEUES, NULL},
	{OPT_DEVICE, "device", "NAME|N", "of the device with that name or number", QUEUES, NULL},
	{'q', "queues", "LIST", "as 0-3,8", QUEUES, NULL},
	{OPT_ROLE, "role", "LIST", "rx, tx, ctrl, event or request queues; the kick or call side",
	 QUEUES, "rx tx ctrl event request kick call"},
	{0, "How", NULL, NULL, LIVE | FILES | COMMAND_POKE | COMMAND_CHECK, NULL},
	{'i', "interval", "TIME", "between two outputs: 2s, 500ms, 0.5", LIVE, NULL},
	{'d', "duration", "TIME", "end after that", LIVE, NULL},
	{'n', "count", "N", "end after that many events or outputs", LIVE, NULL},
	{OPT_KINDS, "kinds", "LIST", "these events only: notify,signal,wake,run,read,...", EVENTS,
	 "notify signal wake run read pop push call inject consume suppress msg ring fault round table"},
	{OPT_MIN, "min-latency", "TIME", "whole rounds only, and those that took so long", ROUNDS,
	 NULL},
	{OPT_SAMPLE, "sample", "N", "one round of N", ROUNDS, NULL},
	{OPT_TRIGGER, "trigger", "p99>TIME", "keep what came before it was so, then end",
	 COMMAND_RECORD, NULL},
	{OPT_TIER, "tier", "A|B|C|E", "this way of tracing; see vu-trace check",
	 LIVE | COMMAND_CHECK | COMMAND_PROBES, "A B C E"},
	{OPT_NO_SYSCALLS, "no-syscalls", NULL, "tier C without the system calls' tracepoints",
	 LIVE | COMMAND_CHECK | COMMAND_PROBES, NULL},
	{OPT_COUNTS, "counts", NULL, "count, and take no times: the least cost", COMMAND_LAT, NULL},
	{OPT_BUFFER, "buffer", "BYTES", "for events on their way; a power of 2", LIVE, NULL},
	{OPT_WATCH, "watch", NULL, "go on looking", COMMAND_STUCK, NULL},
	{OPT_ALL, "all", NULL, "healthy queues too", COMMAND_STUCK, NULL},
	{OPT_YES, "yes", NULL, "do it", COMMAND_POKE, NULL},
	{0, "What comes out", NULL, NULL, ANY, NULL},
	{'o', "output", "FILE", "there", COMMAND_RECORD | COMMAND_EXPORT, "FILE"},
	{'j', "json", NULL, "JSON, a line each", JSON, NULL},
	{OPT_DOT, "dot", NULL, "a graph for Graphviz", COMMAND_MAP, NULL},
	{OPT_CSV, "csv", NULL, "comma-separated values", COMMAND_EXPORT, NULL},
	{OPT_CHROME, "chrome", NULL, "a trace for Perfetto and Chrome", COMMAND_EXPORT, NULL},
	{OPT_HEAT, "heat", NULL, "a heat map", COMMAND_LAT, NULL},
	{OPT_LIST_PROBES, "list-probes", NULL, "the points in the kernel and in libvu, and their state",
	 COMMAND_PROBES, NULL},
	{OPT_COMPLETION, "completion", "SHELL", "completion for bash, zsh or fish", ALONE,
	 "bash zsh fish"},
	{'v', "verbose", NULL, "say more; twice: what the kernel says of programs", ANY, NULL},
	{'h', "help", NULL, "this", ANY, NULL},
	{'V', "version", NULL, "which version this is", ANY, NULL},
};

/* --- values --- */

bool parse_seconds(const char *text, double *out)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}, {"m", 60}};
	char *end;
	double v = strtod(text, &end);

	if (end == text || !(v >= 0) || v > 1e9)
		return false;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(units); i++) {
		if (!strcmp(end, units[i].unit)) {
			*out = v * units[i].seconds;
			return true;
		}
	}
	return false;
}

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return !errno && end != text && !*end && *text != '-' && *out >= min && *out <= max;
}

static bool seconds(const char *name, const char *text, double *out)
{
	if (parse_seconds(text, out) && *out > 0)
		return true;
	say("--%s: '%s' is not a time such as 2s, 500ms or 0.5", name, text);
	return false;
}

static bool number(const char *name, const char *text, uint64_t min, uint64_t max,
		   uint64_t *out)
{
	if (parse_number(text, min, max, out))
		return true;
	say("--%s: '%s' is not a number from %llu to %llu", name, text,
	    (unsigned long long)min, (unsigned long long)max);
	return false;
}

static bool name(const char *option, const char *text, const char **out)
{
	*out = text;
	if (!*text)
		say("--%s: a name is missing", option);
	return *text;
}

/* Calls @fn for each word of a comma-separated list. */
static bool each_word(const char *list, bool (*fn)(const char *word, struct options *o),
		      struct options *o)
{
	char word[64];

	while (true) {
		size_t len = strcspn(list, ",");

		if (!len || len >= sizeof(word))
			return false;
		memcpy(word, list, len);
		word[len] = '\0';
		if (!fn(word, o))
			return false;
		if (!list[len])
			return true;
		list += len + 1;
	}
}

static bool add_pid(const char *word, struct options *o)
{
	uint64_t pid;

	if (o->npids == MAX_PIDS || !parse_number(word, 1, INT32_MAX, &pid))
		return false;
	o->pids[o->npids++] = pid;
	return true;
}

static bool add_range(const char *word, struct options *o)
{
	char first[64];
	const char *dash = strchr(word, '-');
	uint64_t a, b;

	if (o->nqueues == MAX_RANGES)
		return false;
	strcpy(first, word);
	if (dash)
		first[dash - word] = '\0';
	if (!parse_number(first, 0, UINT16_MAX, &a) ||
	    !parse_number(dash ? dash + 1 : first, 0, UINT16_MAX, &b) || b < a)
		return false;
	o->queues[o->nqueues].first = a;
	o->queues[o->nqueues++].last = b;
	return true;
}

static bool add_role(const char *word, struct options *o)
{
	if (!strcmp(word, "kick") || !strcmp(word, "call")) {
		o->sides |= 1U << (word[0] == 'k' ? ROLE_KICK : ROLE_CALL);
		return true;
	}
	for (unsigned int r = VU__OBS_ROLE_REQUEST; r < VU__OBS_ROLES; r++) {
		if (!strcmp(word, vu__obs_role_name(r))) {
			o->roles |= 1U << r;
			return true;
		}
	}
	return false;
}

static bool add_kind(const char *word, struct options *o)
{
	for (unsigned int k = 1; k < EV_KINDS; k++) {
		if (!strcmp(word, kind_name(k))) {
			o->kinds |= 1U << k;
			return true;
		}
	}
	return false;
}

static bool parse_list(const char *name, const char *text,
		       bool (*fn)(const char *word, struct options *o), struct options *o)
{
	if (each_word(text, fn, o))
		return true;
	say("--%s: '%s' makes no sense", name, text);
	return false;
}

/* --- options --- */

static bool set_tier(const char *text, struct options *o)
{
	if (strlen(text) == 1 && strchr("ABCE", *text)) {
		o->tier = *text;
		return true;
	}
	say("--tier: '%s' is not A, B, C or E", text);
	return false;
}

static bool set_value(int c, struct options *o)
{
	uint64_t n = 0;
	double s = 0;
	bool ok;

	switch (c) {
	case 'i':
		return seconds("interval", optarg, &o->interval);
	case 'd':
		return seconds("duration", optarg, &o->duration);
	case 'n':
		return number("count", optarg, 1, UINT64_MAX, &o->count);
	case OPT_MIN:
		ok = seconds("min-latency", optarg, &s);
		o->min_ns = s * 1e9;
		return ok;
	case OPT_SAMPLE:
		ok = number("sample", optarg, 1, 1000000, &n);
		o->sample = n;
		return ok;
	case OPT_BUFFER:
		ok = number("buffer", optarg, 4096, 1 << 30, &n);
		if (ok && !vu__is_pow2(n)) {
			say("--buffer: %s is not a power of 2", optarg);
			ok = false;
		}
		o->ring_bytes = n;
		return ok;
	case OPT_TIER:
		return set_tier(optarg, o);
	case 'p':
		return parse_list("pid", optarg, add_pid, o);
	case 'q':
		return parse_list("queues", optarg, add_range, o);
	case OPT_KINDS:
		return parse_list("kinds", optarg, add_kind, o);
	case OPT_ROLE:
		o->role = optarg;
		if (each_word(optarg, add_role, o))
			return true;
		say("--role: '%s' is not of kick, call, rx, tx, ctrl, event, request", optarg);
		return false;
	case OPT_SOCKET:
		return name("socket", optarg, &o->socket);
	case OPT_VM:
		return name("vm", optarg, &o->vm);
	case OPT_DEVICE:
		return name("device", optarg, &o->device);
	}
	return false;
}

static bool set_option(int c, struct options *o)
{
	switch (c) {
	case OPT_TRIGGER:
		o->trigger = optarg;
		return true;
	case 'o':
		o->output = optarg;
		return true;
	case 'j':
		o->json = true;
		return true;
	case OPT_DOT:
		o->dot = true;
		return true;
	case OPT_CSV:
		o->csv = true;
		return true;
	case OPT_CHROME:
		o->chrome = true;
		return true;
	case OPT_HEAT:
		o->heat = true;
		return true;
	case OPT_NO_SYSCALLS:
		o->no_syscalls = true;
		return true;
	case OPT_COUNTS:
		o->counts = true;
		return true;
	case OPT_WATCH:
		o->watch = true;
		return true;
	case OPT_ALL:
		o->all = true;
		return true;
	case OPT_YES:
		o->yes = true;
		return true;
	case OPT_LIST_PROBES:
		o->list_probes = true;
		return true;
	case OPT_COMPLETION:
		o->completion = optarg;
		return true;
	case 'v':
		o->verbose++;
		return true;
	case 'h':
		o->help = true;
		return true;
	case 'V':
		o->version = true;
		return true;
	}
	return set_value(c, o);
}

/* getopt's idea of the table. */
static void make_getopt(struct option *longs, char *shorts)
{
	unsigned int n = 0;

	*shorts++ = ':';
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(table); i++) {
		const struct row *r = &table[i];

		if (!r->id)
			continue;
		longs[n++] = (struct option){r->name, r->arg ? required_argument : no_argument,
					     NULL, r->id};
		if (r->id >= 256)
			continue;
		*shorts++ = r->id;
		if (r->arg)
			*shorts++ = ':';
	}
	longs[n] = (struct option){NULL, 0, NULL, 0};
	*shorts = '\0';
}

static const struct row *row_of(int id)
{
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(table); i++) {
		if (table[i].id == id)
			return &table[i];
	}
	return NULL;
}

bool options_parse(int argc, char **argv, struct options *o)
{
	struct option longs[VU_ARRAY_SIZE(table) + 1];
	char shorts[2 * VU_ARRAY_SIZE(table) + 2];
	int c;

	make_getopt(longs, shorts);
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
		if (c == '?' || c == ':') {
			say("%s: %s", argv[optind - 1],
			    c == '?' ? "no such option" : "an argument is missing");
			return false;
		}
		if (!set_option(c, o))
			return false;
		o->given[row_of(c) - table] = true;
	}
	o->args = argv + optind;
	o->nargs = argc - optind;
	return true;
}

bool options_are_for(const struct options *o, const char *command, unsigned int bit)
{
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(table); i++) {
		if (!o->given[i] || table[i].commands & bit)
			continue;
		say("%s: --%s is not for it", command, table[i].name);
		return false;
	}
	return true;
}

/* --- help --- */

/* The command's name, of an option that is for one only, where all are printed. */
static const char *only_for(const struct row *r, unsigned int bits,
			    const struct command *commands, unsigned int n)
{
	for (unsigned int i = 0; bits == ANY && i < n; i++) {
		if (r->commands == commands[i].bit)
			return commands[i].name;
	}
	return "";
}

void options_print(unsigned int bits, const struct command *commands, unsigned int n)
{
	_Static_assert(VU_ARRAY_SIZE(table) <= VU_ARRAY_SIZE(((struct options *)0)->given),
		       "a place for each option");
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(table); i++) {
		const struct row *r = &table[i];
		const char *only = only_for(r, bits, commands, n);
		char letter[8] = "    ", left[64];

		if (!(r->commands & bits) && bits != ANY)
			continue;
		if (!r->id) {
			printf("%s:\n", r->name);
			continue;
		}
		if (r->id < 256)
			snprintf(letter, sizeof(letter), "-%c, ", r->id);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, r->name, r->arg ? "=" : "",
			 r->arg ? r->arg : "");
		printf("  %-24s %s%s%s\n", left, only, *only ? ": " : "", r->help);
	}
}

/* --- completion --- */

bool options_complete(const char *shell, const struct command *commands, unsigned int n)
{
	struct complete_option options[VU_ARRAY_SIZE(table)];
	struct complete_command names[MAX_COMMANDS];
	struct complete_tool tool = {"vu-trace", names, VU_MIN(n, MAX_COMMANDS), options, 0};

	for (unsigned int i = 0; i < tool.ncommands; i++)
		names[i] = (struct complete_command){commands[i].name, commands[i].help};
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(table); i++) {
		const struct row *r = &table[i];
		bool files = r->choices && !strcmp(r->choices, "FILE");

		if (!r->id)
			continue;
		options[tool.noptions++] = (struct complete_option){
			.name = r->name,
			.letter = r->id < 256 ? r->id : '\0',
			.arg = r->arg,
			.help = r->help,
			.choices = files ? NULL : r->choices,
			.files = files,
			/* Bits of commands are in the order of the list. */
			.commands = r->commands == ANY ? ~0ull : r->commands,
		};
	}
	return complete_print(&tool, shell, stdout);
}
