/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the subcommands of vu-migrate share. */
#ifndef VU_MIGRATE_CMD_H
#define VU_MIGRATE_CMD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vu-migrate/opt.h"

/* Exit statuses, the same in all of vu's tools; 0 is good. */
enum {
	EXIT_NEGATIVE = 1,    /* checked, and the answer is no */
	EXIT_USAGE = 2,	      /* the command line */
	EXIT_NOT_FOUND = 3,   /* no such target, or it is gone */
	EXIT_DENIED = 4,      /* a right is missing */
	EXIT_UNSUPPORTED = 5, /* the kernel, the back-end or this build cannot */
	EXIT_TIMEOUT = 6,
	EXIT_IMAGE = 7,	      /* corrupt, or of no use here */
	EXIT_WARNINGS = 8,    /* checked, with limits */
	EXIT_ROLLED_BACK = 9, /* it failed, all is as before */
	EXIT_UNCERTAIN = 10,  /* it failed, and somebody must look */
};

struct command {
	const char *name;
	const char *args; /* after the name, in the usage line */
	const char *what; /* one line */
	const char *more; /* paragraphs for --help, and examples */
	const struct opt *opts;
	int min_args, max_args; /* -1: any number */
	int (*run)(int argc, char **argv); /* what is left after the options */
};

extern const struct command cmd_check, cmd_checkpoint, cmd_convert, cmd_decode, cmd_diff,
	cmd_dirty, cmd_encode, cmd_features, cmd_handover, cmd_info, cmd_list, cmd_restore,
	cmd_show, cmd_state, cmd_verify;

/* Options of every subcommand. */
struct globals {
	bool json;
	bool quiet;
	unsigned int verbose;
	enum { PROGRESS_AUTO, PROGRESS_NONE, PROGRESS_PLAIN, PROGRESS_JSON } progress;
	uint64_t timeout_ms;
};
extern struct globals globals;

/* "vu-migrate: ..." on standard error. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_verbose(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Says it and gives the exit status that fits a negative errno. */
int fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The exit status for a negative errno. */
int status_of(int err);

/* Set by SIGINT and SIGTERM; the second one ends the process. */
extern volatile sig_atomic_t interrupted;

#endif
