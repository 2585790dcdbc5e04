/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of telemetry files in a run directory.  Any thread. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/rundir.h"
#include "observe/find.h"

/* "P-N.telemetry" */
static bool parse_name(const char *name, struct vu__found_segment *out)
{
	unsigned int pid, number;
	char again[sizeof(out->name)];

	if (strlen(name) >= sizeof(out->name) ||
	    sscanf(name, "%u-%u.telemetry", &pid, &number) != 2 || pid > INT_MAX)
		return false;
	/* Only the one way to write it. */
	snprintf(again, sizeof(again), "%u-%u.telemetry", pid, number);
	if (strcmp(again, name))
		return false;
	out->pid = pid;
	out->number = number;
	memcpy(out->name, again, sizeof(again));
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct vu__found_segment *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

ssize_t vu__find_segments(const char *dir, struct vu__found_segment **out)
{
	struct vu__found_segment one = {.dir = ""};
	size_t n = 0, room = 0;
	struct dirent *e;
	DIR *d;

	*out = NULL;
	if (!dir)
		dir = vu__run_dir();
	if (!dir)
		return -ENOENT;
	if (strlen(dir) >= sizeof(one.dir))
		return -ENAMETOOLONG;
	d = opendir(dir);
	if (!d)
		return -errno;
	strcpy(one.dir, dir);
	while ((e = readdir(d))) {
		if (!parse_name(e->d_name, &one))
			continue;
		if (n == room) {
			size_t more = room ? 2 * room : 16;
			void *bigger = reallocarray(*out, more, sizeof(one));

			if (!bigger)
				break;
			*out = bigger;
			room = more;
		}
		(*out)[n++] = one;
	}
	closedir(d);
	if (n)
		qsort(*out, n, sizeof(one), compare);
	return n;
}
