/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line: one table of options, and what they come to. */
#ifndef VU_TOP_OPTIONS_H
#define VU_TOP_OPTIONS_H

#include "vu-top/out.h"
#include "vu-top/ui.h"

/* Exit status, as in the man page; --check has its own. */
enum {
	TOP_EXIT_OK = 0,
	TOP_EXIT_FAILED = 1,
	TOP_EXIT_USAGE = 2,
	TOP_EXIT_NOT_FOUND = 3,
	TOP_EXIT_PERMISSION = 4,
	TOP_EXIT_UNSUPPORTED = 5,
	TOP_EXIT_CORRUPT = 7,
};

enum top_mode {
	TOP_MODE_SCREEN,
	TOP_MODE_PLAIN,
	TOP_MODE_JSON,
	TOP_MODE_CSV,
	TOP_MODE_METRICS,
	TOP_MODE_CHECK,
	TOP_MODE_LISTEN,
};

struct top_settings {
	enum top_mode mode;
	bool once;
	uint64_t interval_ns;
	uint64_t duration_ns; /* 0: for ever */
	uint64_t count;	      /* samples; 0: for ever */
	char filter_text[1024];
	struct top_filter *filter; /* NULL: everything */
	struct top_order order;	   /* key[0] NULL: not said */
	struct top_out_options out; /* fields, units, labels, ... */
	char labels[512];
	const char *metrics_path; /* NULL: standard output */
	const char *listen;
	struct top_filter *critical, *warning; /* of --check */
	struct vu__sample_options sample;
	enum vu__obs_tri latency; /* VU__OBS_MAYBE: as it is needed */
	const char *record, *replay;
	uint64_t record_limit;
	struct top_model_options model;
	unsigned int nalerts;
	const char *alerts[TOP_MAX_ALERTS];
	/* Of the screen. */
	enum { TOP_COLOUR_AUTO, TOP_COLOUR_ALWAYS, TOP_COLOUR_NEVER } colour;
	enum vu__obs_tri utf8; /* VU__OBS_MAYBE: as the locale says */
	bool light; /* the background */
	enum top_view view;
	bool flat;
	bool no_config;
	unsigned int verbose;
	/* Filters by pid, machine and device, besides -f. */
	const char *given_filter, *pids, *vm, *device;
	unsigned int nkept;
	char *kept[64]; /* what files said; to be freed */
};

/* A row of the table. */
struct top_option {
	int id; /* its letter, or a number of its own */
	const char *name;
	const char *argument; /* NULL: none; "[X]": it may be left out */
	const char *help;     /* NULL: another name of the one before */
};
extern const struct top_option top_options[];

/*
 * Reads the command line; files of configuration first.  -1 to go on, else the exit
 * status, everything having been said.
 */
int top_settings_parse(struct top_settings *s, int argc, char **argv);
void top_settings_release(struct top_settings *s);

/* "vu-top: " and a line, on standard error. */
void top_say(const char *fmt, ...) VU_PRINTF(1, 2);

/* Saves what can be changed on the screen, for the next time.  0 or -errno. */
VU_MUST_CHECK int top_config_save(const struct top_ui *ui, char *path, size_t size);

#endif
