/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options from a table. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vu-migrate/cmd.h"

#define OPTS_MAX 48

const char *opt_flag(void *to, const char *text)
{
	(void)text;
	*(bool *)to = true;
	return NULL;
}

const char *opt_count(void *to, const char *text)
{
	(void)text;
	++*(unsigned int *)to;
	return NULL;
}

const char *opt_text(void *to, const char *text)
{
	*(const char **)to = text;
	return NULL;
}

const char *opt_number(void *to, const char *text)
{
	char *end;

	errno = 0;
	*(uint64_t *)to = strtoull(text, &end, 0);
	return errno || !isdigit((unsigned char)*text) || *end ? "is not a number" : NULL;
}

/* A decimal number of not too many digits, and where it ends. */
static bool decimal(const char *text, double *value, const char **end)
{
	char *stop;

	if (!isdigit((unsigned char)*text) && *text != '.')
		return false;
	errno = 0;
	*value = strtod(text, &stop);
	*end = stop;
	return !errno && stop != text && isfinite(*value);
}

const char *opt_bytes(void *to, const char *text)
{
	static const char units[] = "KMGT";
	const char *unit, *end;
	double n;

	if (!decimal(text, &n, &end))
		return "is not a number of bytes";
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		n *= (double)(1ULL << (10 * (unit - units + 1)));
		end++;
		if (!strcmp(end, "iB") || !strcmp(end, "B"))
			end += strlen(end);
	}
	if (*end || n >= 9e18)
		return "is not a number of bytes (4096, 64K, 1.5G)";
	*(uint64_t *)to = (uint64_t)n;
	return NULL;
}

const char *opt_duration(void *to, const char *text)
{
	const char *end;
	double n;

	if (!decimal(text, &n, &end))
		return "is not a time";
	if (!*end || !strcmp(end, "s"))
		n *= 1000;
	else if (!strcmp(end, "m") || !strcmp(end, "min"))
		n *= 60000;
	else if (strcmp(end, "ms"))
		return "is not a time (2, 0.5, 500ms, 3s, 1m)";
	if (n > 1e12)
		return "is too long";
	*(uint64_t *)to = (uint64_t)(n + 0.5);
	return NULL;
}

/* --- parsing --- */

struct parser {
	const struct opt *all[OPTS_MAX];
	struct option longs[OPTS_MAX + 1];
	char shorts[2 * OPTS_MAX + 2];
	int n;
};

static void add(struct parser *p, const struct opt *opts)
{
	for (; opts && opts->name && p->n < OPTS_MAX; opts++) {
		size_t len = strlen(p->shorts);

		p->all[p->n] = opts;
		/* Values above all letters: the place in the table. */
		p->longs[p->n] = (struct option){opts->name, opts->arg ? required_argument :
									 no_argument,
						 NULL, 256 + p->n};
		if (opts->letter) {
			p->shorts[len++] = opts->letter;
			if (opts->arg)
				p->shorts[len] = ':';
		}
		p->n++;
	}
}

static const struct opt *find(const struct parser *p, int c)
{
	if (c >= 256)
		return p->all[c - 256];
	for (int i = 0; i < p->n; i++) {
		if (p->all[i]->letter == c)
			return p->all[i];
	}
	return NULL;
}

int opts_parse(const char *name, const struct opt *own, const struct opt *common, int argc,
	       char **argv)
{
	struct parser p = {.shorts = ":"};
	int c;

	add(&p, own);
	add(&p, common);
	optind = 1;
	while ((c = getopt_long(argc, argv, p.shorts, p.longs, NULL)) >= 0) {
		const struct opt *o;
		const char *wrong;

		if (c == '?' || c == ':') {
			say("%s: %s %s", name, argv[optind - 1],
			    c == '?' ? "is not known" : "needs an argument");
			return -1;
		}
		o = find(&p, c);
		wrong = o->set(o->to, optarg);
		if (wrong) {
			say("%s: --%s: '%s' %s", name, o->name, optarg, wrong);
			return -1;
		}
	}
	return optind;
}

void opts_print(const struct opt *opts)
{
	for (; opts && opts->name; opts++) {
		char left[64], letter[8] = "    ";

		if (opts->letter)
			snprintf(letter, sizeof(letter), "-%c, ", opts->letter);
		snprintf(left, sizeof(left), "  %s--%s%s%s", letter, opts->name,
			 opts->arg ? "=" : "", opts->arg ? opts->arg : "");
		printf("%-30s %s\n", left, opts->help);
	}
}
