/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-trace: every kick and call of vhost-user queues, as they happen.  This file: the
 * command line.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "load.h"
#include "observe/model.h"

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
	OPT_RING,
	OPT_WATCH,
	OPT_ALL,
	OPT_YES,
	OPT_DOT,
	OPT_CSV,
	OPT_CHROME,
	OPT_HEAT,
	OPT_LIST_PROBES,
};

static const struct option long_options[] = {
	{"pid", required_argument, NULL, 'p'},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"vm", required_argument, NULL, OPT_VM},
	{"device", required_argument, NULL, OPT_DEVICE},
	{"queues", required_argument, NULL, 'q'},
	{"role", required_argument, NULL, OPT_ROLE},
	{"interval", required_argument, NULL, 'i'},
	{"duration", required_argument, NULL, 'd'},
	{"count", required_argument, NULL, 'n'},
	{"kinds", required_argument, NULL, OPT_KINDS},
	{"min-latency", required_argument, NULL, OPT_MIN},
	{"sample", required_argument, NULL, OPT_SAMPLE},
	{"trigger", required_argument, NULL, OPT_TRIGGER},
	{"tier", required_argument, NULL, OPT_TIER},
	{"no-syscalls", no_argument, NULL, OPT_NO_SYSCALLS},
	{"counts", no_argument, NULL, OPT_COUNTS},
	{"buffer", required_argument, NULL, OPT_RING},
	{"watch", no_argument, NULL, OPT_WATCH},
	{"all", no_argument, NULL, OPT_ALL},
	{"yes", no_argument, NULL, OPT_YES},
	{"output", required_argument, NULL, 'o'},
	{"json", no_argument, NULL, 'j'},
	{"dot", no_argument, NULL, OPT_DOT},
	{"csv", no_argument, NULL, OPT_CSV},
	{"chrome", no_argument, NULL, OPT_CHROME},
	{"heat", no_argument, NULL, OPT_HEAT},
	{"list-probes", no_argument, NULL, OPT_LIST_PROBES},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static const struct command commands[] = {
	{"map", cmd_map, "", "which eventfd is which queue's kick or call"},
	{"stream", cmd_stream, "", "each event as it happens"},
	{"lat", cmd_lat, "", "histograms per queue and stage"},
	{"stuck", cmd_stuck, "", "queues that do not move, and why"},
	{"poke", cmd_poke, "kick|call [QUEUE]", "notify by hand (--yes), see if it helps"},
	{"record", cmd_record, "", "keep events in a file (-o FILE)"},
	{"report", cmd_report, "FILE", "what such a file says"},
	{"export", cmd_export, "FILE", "such a file for others: --chrome, --csv or --json"},
	{"check", cmd_check, "", "what this kernel lets be traced"},
};

static void help(void)
{
	fputs("Usage: vu-trace COMMAND [OPTION]...\n"
	      "See every kick and call of vhost-user queues, of any back-end.\n"
	      "\n"
	      "  vu-trace map                        all queues of this host\n"
	      "  vu-trace lat -p 4711 -i 1           latencies of a back-end, each second\n"
	      "  vu-trace stream --vm web1 -q 0-3    events of some queues\n"
	      "\n"
	      "Commands:\n",
	      stdout);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(commands); i++)
		printf("  %-7s %-25s %s\n", commands[i].name, commands[i].args,
		       commands[i].help);
	fputs("\n"
	      "Which queues (all, unless said):\n"
	      "  -p, --pid=PID[,PID]...   of these processes, monitors or back-ends\n"
	      "      --socket=PATH        of the vhost-user socket there\n"
	      "      --vm=NAME            of the machine with that name\n"
	      "      --device=NAME|N      of the device with that name or number\n"
	      "  -q, --queues=LIST        as 0-3,8\n"
	      "      --role=LIST          rx, tx, ctrl, event or request queues only; kick or\n"
	      "                           call: that side only\n"
	      "How:\n"
	      "  -i, --interval=TIME      between two outputs: 2s, 500ms, 0.5\n"
	      "  -d, --duration=TIME      end after that\n"
	      "  -n, --count=N            end after that many events or outputs\n"
	      "      --kinds=LIST         these events only: notify,signal,wake,run,read,...\n"
	      "      --min-latency=TIME   whole rounds only, and those that took so long\n"
	      "      --sample=N           one round of N\n"
	      "      --trigger=p99>TIME   record: keep what came before it was so, then end\n"
	      "      --tier=A|B|C|E       this way of tracing; see vu-trace check\n"
	      "      --no-syscalls        tier C without the system calls' tracepoints\n"
	      "      --counts             lat: count, and take no times: the least cost\n"
	      "      --buffer=BYTES       for events on their way; a power of 2\n"
	      "      --watch, --all       stuck: go on; healthy queues too\n"
	      "      --yes                poke: do it\n"
	      "What comes out:\n"
	      "  -o, --output=FILE\n"
	      "  -j, --json               JSON, a line each\n"
	      "      --dot, --csv, --chrome, --heat\n"
	      "      --list-probes        the points in the kernel and in libvu, and their state\n"
	      "  -v, --verbose\n"
	      "  -h, --help\n"
	      "  -V, --version\n",
	      stdout);
}

void say(const char *fmt, ...)
{
	va_list ap;

	fputs("vu-trace: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	putc('\n', stderr);
}

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
	case OPT_RING:
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
	case 'v':
		o->verbose++;
		return true;
	}
	return set_value(c, o);
}

static const struct command *find_command(const char *name)
{
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static int usage(void)
{
	fputs("Try 'vu-trace --help'.\n", stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	const struct command *command = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "p:q:i:d:n:o:jvhV", long_options, NULL)) >= 0) {
		if (c == 'h') {
			help();
			return EXIT_OK;
		}
		if (c == 'V') {
			puts("vu-trace " PACKAGE_VERSION);
			return EXIT_OK;
		}
		if (!set_option(c, &o))
			return usage();
	}
	if (optind < argc) {
		command = find_command(argv[optind]);
		if (!command) {
			say("%s: no such command", argv[optind]);
			return usage();
		}
		optind++;
	}
	o.args = argv + optind;
	o.nargs = argc - optind;
	loader_set_verbose(o.verbose > 1);
	if (o.list_probes)
		return list_probes(&o);
	if (!command) {
		say("which command?");
		return usage();
	}
	if (o.nargs && !*command->args) {
		say("%s: not expected", o.args[0]);
		return usage();
	}
	return command->run(&o);
}
