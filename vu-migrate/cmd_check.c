/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-migrate check: will it move?  This file: options, and the findings for readers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/utf8.h"
#include "vu-migrate/check.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/json.h"

static unsigned int asked; /* modes; 0: as the target allows */
static const char *with, *type;
static bool deep, tap;
static uint64_t bandwidth, downtime_ms = 300, duration_ms = 5000;

static const char *set_modes(void *to, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, ",");
		int m = 0;

		while (m < MODES && (strlen(mode_names[m]) != len ||
				     strncmp(mode_names[m], text, len)))
			m++;
		if (m == MODES)
			return "is not of precopy,postcopy,reconnect,handover,snapshot";
		*(unsigned int *)to |= FOR(m);
		text += len + (text[len] == ',');
	}
	return NULL;
}

/* --- text --- */

static bool wants_color(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb");
}

static void print_finding(const struct finding *x, enum severity worst)
{
	static const char *const colors[4] = {"\033[32m", "\033[36m", "\033[33m", "\033[31m"};
	bool color = wants_color();

	printf("%s%-8s%s %-24s %s\n", color ? colors[worst] : "", severity_names[worst],
	       color ? "\033[0m" : "", x->id, utf8_shown(x->what));
	if (worst > FINE && *x->effect)
		printf("%10seffect: %s\n", "", utf8_shown(x->effect));
	if (worst > FINE && *x->fix)
		printf("%10sfix: %s\n", "", utf8_shown(x->fix));
	if (*x->evidence && (worst > FINE || globals.verbose))
		printf("%10sevidence: %s\n", "", utf8_shown(x->evidence));
}

static const char *verdict_text(enum severity s)
{
	return s == BLOCKER ? "no" : s == WARNING ? "with limits" : "yes";
}

static void print_text(const struct report *r, unsigned int modes)
{
	for (unsigned int i = 0; i < r->n; i++) {
		enum severity worst = check_worst(&r->findings[i], modes);

		if (worst > FINE || !globals.quiet)
			print_finding(&r->findings[i], worst);
	}
	for (int m = 0; m < MODES; m++) {
		if (modes & FOR(m))
			printf("%s: %s\n", mode_names[m], verdict_text(check_verdict(r, m)));
	}
}

/* --- JSON and TAP --- */

static void print_json(const struct report *r, unsigned int modes)
{
	struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct json_object *verdicts = json_object_new_object();

	json_object_object_add(o, "target", json_object_new_string(r->f->target));
	for (unsigned int i = 0; i < r->n; i++) {
		const struct finding *x = &r->findings[i];
		struct json_object *f = json_object_new_object();
		struct json_object *for_ = json_object_new_object();

		for (int m = 0; m < MODES; m++) {
			if (modes & FOR(m))
				json_object_object_add(
					for_, mode_names[m],
					json_object_new_string(severity_names[x->severity[m]]));
		}
		json_object_object_add(f, "id", json_object_new_string(x->id));
		json_object_object_add(f, "group", json_object_new_int((int)x->group));
		json_object_object_add(f, "severity", json_object_new_string(
						severity_names[check_worst(x, modes)]));
		json_object_object_add(f, "for", for_);
		json_object_object_add(f, "what", json_object_new_string(x->what));
		json_object_object_add(f, "effect", json_object_new_string(x->effect));
		json_object_object_add(f, "fix", json_object_new_string(x->fix));
		json_object_object_add(f, "evidence", json_object_new_string(x->evidence));
		json_object_array_add(list, f);
	}
	for (int m = 0; m < MODES; m++) {
		if (modes & FOR(m))
			json_object_object_add(verdicts, mode_names[m],
					       json_object_new_string(
						       verdict_text(check_verdict(r, m))));
	}
	json_object_object_add(o, "verdicts", verdicts);
	json_object_object_add(o, "findings", list);
	json_print(o);
}

static void print_tap(const struct report *r, unsigned int modes)
{
	printf("1..%u\n", r->n);
	for (unsigned int i = 0; i < r->n; i++) {
		const struct finding *x = &r->findings[i];
		enum severity worst = check_worst(x, modes);

		printf("%sok %u - %s: %s\n", worst == BLOCKER ? "not " : "", i + 1, x->id,
		       utf8_shown(x->what));
		if (worst == FINE)
			continue;
		printf("# %s", severity_names[worst]);
		for (int m = 0; m < MODES; m++) {
			if (modes & FOR(m) && x->severity[m])
				printf(" %s", mode_names[m]);
		}
		printf("\n# effect: %s\n# fix: %s\n# evidence: %s\n", utf8_shown(x->effect),
		       utf8_shown(x->fix), utf8_shown(x->evidence));
	}
}

/* --- the command --- */

/* All that was asked for must do; of what was not, it is good to have some. */
static int status_for(const struct report *r, unsigned int modes)
{
	unsigned int blocked = 0, limited = 0, n = 0;

	for (int m = 0; m < MODES; m++) {
		if (!(modes & FOR(m)))
			continue;
		n++;
		blocked += check_verdict(r, m) == BLOCKER;
		limited += check_verdict(r, m) == WARNING;
	}
	if (blocked && (asked || blocked == n))
		return EXIT_NEGATIVE;
	return blocked || limited ? EXIT_WARNINGS : EXIT_SUCCESS;
}

static int gather(struct facts *f, struct facts *dest, const char *target)
{
	const struct how how = {.deep = deep, .type = type, .bandwidth = (double)bandwidth,
				.downtime = (double)downtime_ms / 1e3,
				.seconds = (double)duration_ms / 1e3};
	const struct how shallow = {.type = type};
	int status = facts_gather(f, target, &how);

	if (status || !with)
		return status;
	status = facts_gather(dest, with, &shallow);
	if (!status && deep && f->has_snap && f->snap.nregions && dest->client.info &&
	    dest->client.info->fresh)
		facts_try(f, dest);
	return status;
}

static int run_check(int argc, char **argv)
{
	static struct facts f, dest;
	static struct report r;
	unsigned int modes;
	int status;

	(void)argc;
	memset(&dest, 0, sizeof(dest));
	dest.client.fd = dest.client.got_fd = -1;
	status = gather(&f, &dest, argv[0]);
	if (!status) {
		modes = asked ? asked : f.source == FROM_IMAGE ? FOR(SNAPSHOT) : FOR_ALL;
		check_all(&r, &f, with ? &dest : NULL);
		if (globals.json)
			print_json(&r, modes);
		else if (tap)
			print_tap(&r, modes);
		else
			print_text(&r, modes);
		status = status_for(&r, modes);
	}
	facts_release(&dest);
	facts_release(&f);
	return status;
}

static const struct opt opts[] = {
	{"for", 0, "MODES", "what must work: precopy,postcopy,reconnect,handover,snapshot",
	 set_modes, &asked},
	{"with", 0, "DEST", "whether it fits there: a target, a socket or an image", opt_text,
	 &with},
	{"deep", 0, NULL, "drive the back-end: its dirty log, twice its state; drain its queues",
	 opt_flag, &deep},
	{"device", 0, "TYPE", "what it is, where it does not say: blk, net, scsi, fs, ...",
	 opt_text, &type},
	{"bandwidth", 0, "BYTES", "a second: see whether precopy would come to its end", opt_bytes,
	 &bandwidth},
	{"downtime", 0, "TIME", "the pause it may end with (300ms)", opt_duration, &downtime_ms},
	{"duration", 'd', "TIME", "look at what is written for this long (5s)", opt_duration,
	 &duration_ms},
	{"tap", 0, NULL, "results for a test's harness", opt_flag, &tap},
	{0},
};

const struct command cmd_check = {
	.name = "check",
	.args = "TARGET",
	.what = "say whether a back-end will move, and what is in the way",
	.more = "TARGET is a back-end with a control socket, a socket where any back-end listens\n"
		"that serves nobody, or an image.  With --deep, the queues of a back-end that\n"
		"serves somebody stand still for as long as their requests take; one that serves\n"
		"nobody is driven (--device=blk: its disk is read, not written).\n"
		"The exit status is 0, 8 with warnings or if only some ways are open, else 1.",
	.opts = opts,
	.min_args = 1,
	.max_args = 1,
	.run = run_check,
};
