/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options without a letter, and what is printed from their table. */
#ifndef VU_TOP_OPTIONIDS_H
#define VU_TOP_OPTIONIDS_H

#include <stdbool.h>
#include <stdio.h>

enum {
	OPT_VM = 256,
	OPT_DEVICE,
	OPT_RUN_DIR,
	OPT_LIBVU_ONLY,
	OPT_LATENCY,
	OPT_NO_LATENCY,
	OPT_PATIENCE,
	OPT_REPLAY,
	OPT_DELAY,
	OPT_COUNT,
	OPT_ONCE,
	OPT_PLAIN,
	OPT_CSV,
	OPT_OPENMETRICS,
	OPT_LISTEN,
	OPT_CHECK,
	OPT_WARNING,
	OPT_ALERT,
	OPT_RECORD,
	OPT_RECORD_LIMIT,
	OPT_VIEW,
	OPT_FLAT,
	OPT_COLOR,
	OPT_MONO,
	OPT_LIGHT,
	OPT_ASCII,
	OPT_UTF8,
	OPT_UNITS,
	OPT_HISTORY,
	OPT_LABELS,
	OPT_MAX_QUEUES,
	OPT_NO_CREATED,
	OPT_NO_CONFIG,
	OPT_FIELDS,
	OPT_COMPLETION,
};

struct top_settings;

/*
 * Sets what option @id says; @arg lives as long as @s.  False: it is wrong, and how in
 * @why.
 */
bool top_settings_set(struct top_settings *s, int id, const char *arg, char *why,
		      size_t size);

/* Reads the files of configuration, and says what is wrong in them. */
void top_config_read(struct top_settings *s);

void top_print_help(FILE *to);
void top_print_fields(FILE *to);
/* False: there is no such shell. */
bool top_print_completion(const char *shell, FILE *to);

#endif
