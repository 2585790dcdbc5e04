/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Completion for shells, from a tool's tables of commands and options. */
#ifndef VU_TOOLS_COMPLETE_H
#define VU_TOOLS_COMPLETE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct complete_option {
	const char *name;
	char letter;	     /* or '\0' */
	const char *arg;     /* NULL: none; "[X]": it may be left out */
	const char *help;
	const char *choices; /* what may follow, with blanks between; NULL: not known */
	bool files;	     /* a file may */
	uint64_t commands;   /* bit per place in the list of commands */
};

struct complete_command {
	const char *name, *help;
};

struct complete_tool {
	const char *name;
	const struct complete_command *commands;
	unsigned int ncommands; /* 0: it has none, and all options */
	const struct complete_option *options;
	unsigned int noptions;
};

/* Writes it for bash, zsh or fish.  False: @shell is none of them. */
bool complete_print(const struct complete_tool *t, const char *shell, FILE *to);

#endif
