/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options from a table, which is the help text too. */
#ifndef VU_MIGRATE_OPT_H
#define VU_MIGRATE_OPT_H

#include <stdbool.h>

struct opt {
	const char *name; /* long; NULL ends the table */
	char letter;	  /* or '\0' */
	const char *arg;  /* what its argument is called; NULL: it has none */
	const char *help;
	/* NULL, or what is wrong with @text; NULL text for an option without argument. */
	const char *(*set)(void *to, const char *text);
	void *to;
};

/* Setters; what @to points to. */
const char *opt_flag(void *to, const char *text);     /* bool */
const char *opt_count(void *to, const char *text);    /* unsigned int, one more */
const char *opt_text(void *to, const char *text);     /* const char * */
const char *opt_number(void *to, const char *text);   /* uint64_t */
const char *opt_bytes(void *to, const char *text);    /* uint64_t; 4096, 64K, 1.5G */
const char *opt_duration(void *to, const char *text); /* uint64_t of ms; 2, 0.5, 500ms, 3s */

/*
 * Parses, for "vu-migrate @name", the options of both tables.  The index of the first
 * argument that is none, or -1 after saying what is wrong.
 */
int opts_parse(const char *name, const struct opt *own, const struct opt *common, int argc,
	       char **argv);

/* A line or more for each. */
void opts_print(const struct opt *opts);

#endif
