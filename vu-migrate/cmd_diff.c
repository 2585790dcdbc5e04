/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-migrate diff: what differs between two images, member by member. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vu-migrate/cmd.h"
#include "vu-migrate/json.h"
#include "vu-migrate/tree.h"

#define PATH_MAX_LEN 600
#define IGNORE_MAX   32

static const char *ignored[IGNORE_MAX];
static unsigned int nignored;

struct diff {
	struct json_object *list; /* with --json */
	unsigned int found;
};

static const char *set_ignore(void *to, const char *text)
{
	(void)to;
	if (nignored == IGNORE_MAX)
		return "is one too many";
	ignored[nignored++] = text;
	return NULL;
}

/* Whole names along the path: "inventory", "queue 0: kick", or the last member alone. */
static bool is_ignored(const char *path)
{
	const char *last = strrchr(path, ' ');

	last = last ? last + 1 : path;
	for (unsigned int i = 0; i < nignored; i++) {
		size_t n = strlen(ignored[i]);

		if (!strcmp(ignored[i], last) ||
		    (!strncmp(path, ignored[i], n) && (!path[n] || path[n] == ':')))
			return true;
	}
	return false;
}

static const char *text_of(struct json_object *o)
{
	return o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE) : "(none)";
}

static void report(struct diff *d, const char *path, struct json_object *a,
		   struct json_object *b)
{
	struct json_object *o;

	if (is_ignored(path))
		return;
	d->found++;
	if (!d->list) {
		printf("%s: %s", path, text_of(a));
		printf(" -> %s\n", text_of(b));
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "path", json_object_new_string(path));
	json_object_object_add(o, "a", json_object_get(a));
	json_object_object_add(o, "b", json_object_get(b));
	json_object_array_add(d->list, o);
}

static void compare(struct diff *d, const char *path, struct json_object *a,
		    struct json_object *b);

static void compare_member(struct diff *d, const char *path, const char *name,
			   struct json_object *a, struct json_object *b)
{
	char longer[PATH_MAX_LEN];

	snprintf(longer, sizeof(longer), "%s%s%s", path, *path ? ": " : "", name);
	compare(d, longer, a, b);
}

static void compare_objects(struct diff *d, const char *path, struct json_object *a,
			    struct json_object *b)
{
	struct json_object *other;

	json_object_object_foreach(a, name, v) {
		if (!json_object_object_get_ex(b, name, &other))
			other = NULL;
		compare_member(d, path, name, v, other);
	}
	json_object_object_foreach(b, name_b, v_b) {
		if (!json_object_object_get_ex(a, name_b, NULL))
			compare_member(d, path, name_b, NULL, v_b);
	}
}

static void compare_lists(struct diff *d, const char *path, struct json_object *a,
			  struct json_object *b)
{
	size_t na = json_object_array_length(a), nb = json_object_array_length(b);

	for (size_t i = 0; i < na || i < nb; i++) {
		char longer[PATH_MAX_LEN];

		snprintf(longer, sizeof(longer), "%s[%zu]", path, i);
		compare(d, longer, i < na ? json_object_array_get_idx(a, i) : NULL,
			i < nb ? json_object_array_get_idx(b, i) : NULL);
	}
}

static void compare(struct diff *d, const char *path, struct json_object *a,
		    struct json_object *b)
{
	if (json_object_is_type(a, json_type_object) && json_object_is_type(b, json_type_object))
		compare_objects(d, path, a, b);
	else if (json_object_is_type(a, json_type_array) &&
		 json_object_is_type(b, json_type_array))
		compare_lists(d, path, a, b);
	else if (!json_object_equal(a, b))
		report(d, path, a, b);
}

static int run_diff(int argc, char **argv)
{
	struct json_object *a, *b;
	struct diff d = {0};
	int status = tree_of_image(argv[0], &a);

	(void)argc;
	if (status)
		return status;
	status = tree_of_image(argv[1], &b);
	if (!status) {
		d.list = globals.json ? json_object_new_array() : NULL;
		compare(&d, "", a, b);
		if (d.list)
			json_print(d.list);
		json_object_put(b);
		status = d.found ? EXIT_NEGATIVE : EXIT_SUCCESS;
	}
	json_object_put(a);
	return status;
}

static const struct opt opts[] = {
	{"ignore", 0, "NAME", "a record, a member, or 'record: member'; may be repeated",
	 set_ignore, NULL},
	{0},
};

const struct command cmd_diff = {
	.name = "diff",
	.args = "A B",
	.what = "print what differs between two images",
	.more = "The exit status is 1 if something does.",
	.opts = opts,
	.min_args = 2,
	.max_args = 2,
	.run = run_diff,
};
