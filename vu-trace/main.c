/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-trace: every kick and call of vhost-user queues, as they happen.  This file: the
 * table of commands, and which one it is.
 */
#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "load.h"

static const struct command commands[] = {
	{"map", cmd_map, COMMAND_MAP, "", "which eventfd is which queue's kick or call"},
	{"stream", cmd_stream, COMMAND_STREAM, "", "each event as it happens"},
	{"lat", cmd_lat, COMMAND_LAT, "", "histograms per queue and stage"},
	{"stuck", cmd_stuck, COMMAND_STUCK, "", "queues that do not move, and why"},
	{"poke", cmd_poke, COMMAND_POKE, "kick|call [QUEUE]",
	 "notify by hand (--yes), see if it helps"},
	{"record", cmd_record, COMMAND_RECORD, "", "keep events in a file (-o FILE)"},
	{"report", cmd_report, COMMAND_REPORT, "FILE", "what such a file says"},
	{"export", cmd_export, COMMAND_EXPORT, "FILE",
	 "such a file for others: --chrome, --csv or --json"},
	{"check", cmd_check, COMMAND_CHECK, "", "what this kernel lets be traced"},
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
	      "Commands; each has a --help of its own:\n",
	      stdout);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(commands); i++)
		printf("  %-7s %-25s %s\n", commands[i].name, commands[i].args,
		       commands[i].help);
	putchar('\n');
	options_print(~0u, commands, VU_ARRAY_SIZE(commands));
}

static void command_help(const struct command *c)
{
	printf("Usage: vu-trace %s [OPTION]...%s%s\n%s\n\n", c->name,
	       *c->args ? " " : "", c->args, c->help);
	options_print(c->bit, commands, VU_ARRAY_SIZE(commands));
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

/* What is done instead of a command. */
static int run_alone(const struct options *o)
{
	if (o->completion) {
		if (options_complete(o->completion, commands, VU_ARRAY_SIZE(commands)))
			return EXIT_OK;
		say("--completion: '%s' is not bash, zsh or fish", o->completion);
		return usage();
	}
	if (!o->list_probes)
		say("which command?");
	else if (options_are_for(o, "--list-probes", COMMAND_PROBES))
		return list_probes(o);
	return usage();
}

int main(int argc, char **argv)
{
	struct options o = {0};
	const struct command *command = NULL;

	if (!options_parse(argc, argv, &o))
		return usage();
	if (o.version) {
		puts("vu-trace " PACKAGE_VERSION);
		return EXIT_OK;
	}
	if (o.nargs) {
		command = find_command(o.args[0]);
		if (!command) {
			say("%s: no such command", o.args[0]);
			return usage();
		}
		o.args++;
		o.nargs--;
	}
	if (o.help) {
		if (command)
			command_help(command);
		else
			help();
		return EXIT_OK;
	}
	loader_set_verbose(o.verbose > 1);
	if (!command)
		return run_alone(&o);
	if (!options_are_for(&o, command->name, command->bit))
		return usage();
	if (o.nargs && !*command->args) {
		say("%s: not expected", o.args[0]);
		return usage();
	}
	return command->run(&o);
}
