/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Completion for shells, from a tool's tables of commands and options.  The main thread. */
#include "tools/complete.h"

#include <string.h>

/* A name that a shell takes for a function. */
static void put_function(const struct complete_tool *t, FILE *to)
{
	putc('_', to);
	for (const char *c = t->name; *c; c++)
		putc(*c == '-' ? '_' : *c, to);
}

/* --- bash --- */

static void bash_options(const struct complete_tool *t, uint64_t commands, FILE *to)
{
	fputs("COMPREPLY=($(compgen -W '", to);
	for (unsigned int i = 0; i < t->noptions; i++) {
		if (t->options[i].commands & commands)
			fprintf(to, "--%s ", t->options[i].name);
	}
	fputs("' -- \"$cur\"))", to);
}

static void bash_commands(const struct complete_tool *t, FILE *to)
{
	fputs("    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
	      "        case $word in\n",
	      to);
	for (unsigned int i = 0; i < t->ncommands; i++) {
		fprintf(to, "        %s) ", t->commands[i].name);
		bash_options(t, 1ull << i, to);
		fputs("; return ;;\n", to);
	}
	fputs("        esac\n    done\n    COMPREPLY=($(compgen -W '", to);
	for (unsigned int i = 0; i < t->ncommands; i++)
		fprintf(to, "%s ", t->commands[i].name);
	fputs("--help --version' -- \"$cur\"))", to);
}

/* Where nothing fits, bash offers files by itself. */
static void bash(const struct complete_tool *t, FILE *to)
{
	put_function(t, to);
	fputs("() {\n    local cur prev words cword split word\n"
	      "    _init_completion -s 2>/dev/null || { cur=${COMP_WORDS[COMP_CWORD]}; "
	      "prev=${COMP_WORDS[COMP_CWORD-1]}; }\n"
	      "    case $prev in\n",
	      to);
	for (unsigned int i = 0; i < t->noptions; i++) {
		const struct complete_option *o = &t->options[i];

		if (o->files)
			fprintf(to, "    --%s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n",
				o->name);
		else if (o->choices)
			fprintf(to,
				"    --%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n",
				o->name, o->choices);
	}
	fputs("    esac\n", to);
	if (t->ncommands) {
		bash_commands(t, to);
	} else {
		fputs("    ", to);
		bash_options(t, ~0ull, to);
	}
	fputs("\n}\ncomplete -o default -F ", to);
	put_function(t, to);
	fprintf(to, " %s\n", t->name);
}

/* --- zsh --- */

/* Brackets, colons and quotes mean something to zsh. */
static void put_zsh_text(const char *text, FILE *to)
{
	for (; *text; text++) {
		if (strchr("[]:\\", *text))
			fputc('\\', to);
		if (*text == '\'')
			fputs("'\\''", to);
		else
			fputc(*text, to);
	}
}

static void zsh(const struct complete_tool *t, FILE *to)
{
	fprintf(to, "#compdef %s\n_arguments -s \\\n", t->name);
	for (unsigned int i = 0; i < t->noptions; i++) {
		const struct complete_option *o = &t->options[i];

		fprintf(to, "    '--%s%s[", o->name, o->arg ? "=" : "");
		put_zsh_text(o->help, to);
		fputs("]", to);
		if (o->files)
			fputs(":file:_files", to);
		else if (o->choices)
			fprintf(to, ":value:(%s)", o->choices);
		else if (o->arg)
			fputs(":value: ", to);
		fputs("' \\\n", to);
	}
	if (t->ncommands) {
		fputs("    '1:command:((", to);
		for (unsigned int i = 0; i < t->ncommands; i++) {
			fprintf(to, "%s\\:\"", t->commands[i].name);
			put_zsh_text(t->commands[i].help, to);
			fputs("\" ", to);
		}
		fputs("))' '*:file:_files' \\\n", to);
	}
	fputs("    && return 0\n", to);
}

/* --- fish --- */

static void put_fish_text(const char *text, FILE *to)
{
	fputs(" -d '", to);
	for (; *text; text++)
		fprintf(to, *text == '\'' || *text == '\\' ? "\\%c" : "%c", *text);
	fputs("'\n", to);
}

static void fish(const struct complete_tool *t, FILE *to)
{
	for (unsigned int i = 0; i < t->ncommands; i++) {
		fprintf(to, "complete -c %s -n __fish_use_subcommand -f -a %s", t->name,
			t->commands[i].name);
		put_fish_text(t->commands[i].help, to);
	}
	for (unsigned int i = 0; i < t->noptions; i++) {
		const struct complete_option *o = &t->options[i];
		const char *before = "";

		fprintf(to, "complete -c %s", t->name);
		if (t->ncommands && o->commands != ~0ull) {
			fputs(" -n '__fish_seen_subcommand_from", to);
			for (unsigned int c = 0; c < t->ncommands; c++) {
				if (o->commands & 1ull << c)
					fprintf(to, " %s", t->commands[c].name);
			}
			before = "'";
		}
		fprintf(to, "%s -l %s", before, o->name);
		if (o->letter)
			fprintf(to, " -s %c", o->letter);
		if (!o->arg)
			fputs(" -f", to);
		else if (o->arg[0] == '[')
			fputs(o->files ? " -F" : " -f", to);
		else
			fputs(o->files ? " -rF" : " -rf", to);
		if (o->choices)
			fprintf(to, " -a '%s'", o->choices);
		put_fish_text(o->help, to);
	}
}

bool complete_print(const struct complete_tool *t, const char *shell, FILE *to)
{
	if (!strcmp(shell, "bash"))
		bash(t, to);
	else if (!strcmp(shell, "zsh"))
		zsh(t, to);
	else if (!strcmp(shell, "fish"))
		fish(t, to);
	else
		return false;
	return true;
}
