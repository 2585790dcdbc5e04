/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line, and what all commands say. */
#ifndef VU_TRACE_OPTIONS_H
#define VU_TRACE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* or unhealthy */
	EXIT_USAGE = 2,
};

#define MAX_PIDS    32
#define MAX_RANGES  32
#define MAX_OPTIONS 48

/* Bits of what an option is for. */
enum {
	COMMAND_MAP = 1 << 0,
	COMMAND_STREAM = 1 << 1,
	COMMAND_LAT = 1 << 2,
	COMMAND_STUCK = 1 << 3,
	COMMAND_POKE = 1 << 4,
	COMMAND_RECORD = 1 << 5,
	COMMAND_REPORT = 1 << 6,
	COMMAND_EXPORT = 1 << 7,
	COMMAND_CHECK = 1 << 8,
	COMMAND_PROBES = 1 << 9, /* --list-probes, which stands for one */
};

struct options {
	/* Selectors. */
	uint32_t pids[MAX_PIDS];
	unsigned int npids;
	const char *socket;
	const char *vm;
	const char *device;
	const char *role; /* as it was given */
	uint32_t sides;	  /* bit per enum role; 0: both */
	uint32_t roles;	  /* bit per enum vu__obs_role; 0: all */
	struct {
		uint32_t first, last;
	} queues[MAX_RANGES];
	unsigned int nqueues;
	/* How. */
	double interval; /* seconds; 0: not given */
	double duration;
	uint64_t count;
	uint64_t min_ns;
	uint32_t sample;
	uint32_t kinds; /* bit per event kind; 0: not given */
	uint32_t ring_bytes;
	const char *trigger;
	char tier;
	bool no_syscalls;
	bool counts;
	bool watch;
	bool all;
	bool yes;
	int verbose;
	/* What comes out. */
	const char *output;
	bool json, dot, csv, chrome, heat;
	bool list_probes, help, version;
	const char *completion;
	bool given[MAX_OPTIONS]; /* which, by their place in the table */
	/* Words behind the command. */
	char **args;
	int nargs;
};

struct command {
	const char *name;
	int (*run)(const struct options *o);
	unsigned int bit; /* COMMAND_ */
	const char *args;
	const char *help;
};

int cmd_map(const struct options *o);
int cmd_stream(const struct options *o);
int cmd_lat(const struct options *o);
int cmd_stuck(const struct options *o);
int cmd_record(const struct options *o);
int cmd_report(const struct options *o);
int cmd_export(const struct options *o);
int cmd_poke(const struct options *o);
int cmd_check(const struct options *o);
int list_probes(const struct options *o);

/* Options and other words into @o.  False after saying what is wrong. */
bool options_parse(int argc, char **argv, struct options *o);

/* Whether all that were given are for that command.  False after saying which is not. */
bool options_are_for(const struct options *o, const char *command, unsigned int bit);

/* A line for each that is for one of these commands, under their headings. */
void options_print(unsigned int bits, const struct command *commands, unsigned int n);

/* Completion on standard output; false: not for such a shell. */
bool options_complete(const char *shell, const struct command *commands, unsigned int n);

/* "vu-trace: ..." on standard error. */
void say(const char *fmt, ...) VU_PRINTF(1, 2);

/* "500ms", "2s", "0.5", "10us" in seconds; false: it is none. */
bool parse_seconds(const char *text, double *out);

#endif
