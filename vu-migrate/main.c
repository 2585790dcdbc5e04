/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-migrate: moves, keeps and looks at the state of vhost-user back-ends.  This file:
 * the table of subcommands, what their command lines have in common, messages.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvu/ext.h"
#include "tools/complete.h"
#include "tools/utf8.h"
#include "vu-migrate/cmd.h"

#define MAX_OPTIONS 128

static const struct command *const commands[] = {
	&cmd_list, &cmd_check, &cmd_handover, &cmd_checkpoint, &cmd_restore,
	&cmd_dirty, &cmd_state, &cmd_show, &cmd_info, &cmd_verify, &cmd_diff,
	&cmd_decode, &cmd_encode, &cmd_convert, &cmd_features,
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

struct globals globals = {.timeout_ms = 10000};
volatile sig_atomic_t interrupted;

/* --- messages --- */

static void vsay(const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	/* Some of it may have come from a file, or the other end of a socket. */
	fprintf(stderr, "vu-migrate: %s\n", utf8_shown(text));
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
}

void say_verbose(const char *fmt, ...)
{
	va_list ap;

	if (!globals.verbose)
		return;
	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
}

int status_of(int err)
{
	switch (-err) {
	case 0:
		return EXIT_SUCCESS;
	case EBADMSG:
	case EPROTONOSUPPORT:
		return EXIT_IMAGE;
	case ENOENT:
	case ESRCH:
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
		return EXIT_NOT_FOUND;
	case EACCES:
	case EPERM:
		return EXIT_DENIED;
	case ENOTSUP:
	case ENOSYS:
		return EXIT_UNSUPPORTED;
	case ETIMEDOUT:
		return EXIT_TIMEOUT;
	default:
		return EXIT_NEGATIVE;
	}
}

int fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
	return status_of(err);
}

/* --- the command line --- */

static bool want_help;

static const char *set_progress(void *to, const char *text)
{
	static const char *const names[] = {"auto", "none", "plain", "json"};

	(void)to;
	for (int i = 0; i < 4; i++) {
		if (!strcmp(text, names[i])) {
			globals.progress = i;
			return NULL;
		}
	}
	return "is not auto, none, plain or json";
}

static const struct opt common[] = {
	{"json", 'j', NULL, "results as JSON", opt_flag, &globals.json},
	{"quiet", 'q', NULL, "results and errors only", opt_flag, &globals.quiet},
	{"verbose", 'v', NULL, "say what is done", opt_count, &globals.verbose},
	{"progress", 0, "HOW", "auto (on a terminal), none, plain, json", set_progress, NULL},
	{"timeout", 0, "TIME", "give up after this long (10s)", opt_duration,
	 &globals.timeout_ms},
	{"help", 'h', NULL, "this text", opt_flag, &want_help},
	{0},
};

static void print_help(void)
{
	puts("Usage: vu-migrate COMMAND [OPTION]... [ARGUMENT]...\n"
	     "Move, keep and look at the state of vhost-user back-ends.\n");
	for (size_t i = 0; i < NCOMMANDS; i++)
		printf("  %-11s %s\n", commands[i]->name, commands[i]->what);
	puts("\nOptions of every command:");
	opts_print(common);
	puts("\n'vu-migrate COMMAND --help' has the rest; so does vu-migrate(1).\n"
	     "'vu-migrate --completion=SHELL' prints completion for bash, zsh or fish.");
}

static void print_command_help(const struct command *c)
{
	printf("Usage: vu-migrate %s [OPTION]...%s%s\n%s\n", c->name, *c->args ? " " : "",
	       c->args, c->what);
	if (c->more)
		printf("\n%s\n", c->more);
	puts("\nOptions:");
	opts_print(c->opts);
	opts_print(common);
}

/* --- completion --- */

static void complete_options(struct complete_tool *t, struct complete_option *to,
			     const struct opt *opts, uint64_t commands)
{
	for (; opts && opts->name && t->noptions < MAX_OPTIONS; opts++) {
		bool files = opts->arg && (!strcmp(opts->arg, "FILE") ||
					   !strcmp(opts->arg, "SOCKET") ||
					   !strcmp(opts->arg, "DEST"));

		to[t->noptions++] = (struct complete_option){
			.name = opts->name,
			.letter = opts->letter,
			.arg = opts->arg,
			.help = opts->help,
			.choices = opts->set == set_progress ? "auto none plain json" : NULL,
			.files = files,
			.commands = commands,
		};
	}
}

static int print_completion(const char *shell)
{
	struct complete_option options[MAX_OPTIONS];
	struct complete_command names[NCOMMANDS];
	struct complete_tool t = {"vu-migrate", names, NCOMMANDS, options, 0};

	for (size_t i = 0; i < NCOMMANDS; i++) {
		names[i] = (struct complete_command){commands[i]->name, commands[i]->what};
		complete_options(&t, options, commands[i]->opts, 1ull << i);
	}
	complete_options(&t, options, common, ~0ull);
	if (complete_print(&t, shell, stdout))
		return EXIT_SUCCESS;
	say("--completion: '%s' is not bash, zsh or fish", shell);
	return EXIT_USAGE;
}

/* --- which command --- */

/* How many letters must change to make one word the other. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[32], n = strlen(b);

	if (n >= 31)
		return 99;
	for (unsigned int j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned int i = 1; a[i - 1]; i++) {
		unsigned int corner = row[0];

		row[0] = i;
		for (unsigned int j = 1; j <= n; j++) {
			unsigned int change = corner + (a[i - 1] != b[j - 1]);
			unsigned int least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

			corner = row[j];
			row[j] = change < least ? change : least;
		}
	}
	return row[n];
}

static int unknown_command(const char *word)
{
	const char *near = NULL;
	unsigned int best = 3;

	for (size_t i = 0; i < NCOMMANDS; i++) {
		unsigned int d = distance(word, commands[i]->name);

		if (d < best) {
			best = d;
			near = commands[i]->name;
		}
	}
	if (near)
		say("'%s' is no command; did you mean '%s'?", word, near);
	else
		say("'%s' is no command; try --help", word);
	return EXIT_USAGE;
}

static int run_command(const struct command *c, int argc, char **argv)
{
	int first = opts_parse(c->name, c->opts, common, argc, argv);
	int n = argc - first;

	if (first < 0)
		return EXIT_USAGE;
	if (want_help) {
		print_command_help(c);
		return EXIT_SUCCESS;
	}
	if (n < c->min_args || (c->max_args >= 0 && n > c->max_args)) {
		say("%s: usage: vu-migrate %s [OPTION]... %s", c->name, c->name, c->args);
		return EXIT_USAGE;
	}
	return c->run(n, argv + first);
}

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* The first signal asks, the second one insists; without SA_RESTART, so that waits end. */
static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "--help";
	int status;

	catch_signals();
	if (!strcmp(word, "-V") || !strcmp(word, "--version")) {
		printf("vu-migrate %s\n", vu_version());
		return EXIT_SUCCESS;
	}
	if (!strcmp(word, "-h") || !strcmp(word, "--help") || !strcmp(word, "help")) {
		print_help();
		return argc > 1 ? EXIT_SUCCESS : EXIT_USAGE;
	}
	if (!strncmp(word, "--completion=", 13))
		return print_completion(word + 13);
	for (size_t i = 0; i < NCOMMANDS; i++) {
		if (strcmp(commands[i]->name, word))
			continue;
		status = run_command(commands[i], argc - 1, argv + 1);
		/* A reader that has had enough is no failure; a full disk is one. */
		if (fflush(stdout) && errno != EPIPE && !status)
			status = fail(-errno, "writing: %s", strerror(errno));
		return status;
	}
	return unknown_command(word);
}
