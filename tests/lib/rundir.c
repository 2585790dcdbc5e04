/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A run directory of a test's own. */
#include "tests/lib/rundir.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

int rundir_setup(void **state)
{
	(void)state;
	/* In memory, as run directories are. */
	snprintf(folder, sizeof(folder), "%s/vu-test-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	return mkdtemp(folder) && !setenv("LIBVU_RUN_DIR", folder, 1) ? 0 : -1;
}

static unsigned int for_all(void (*what)(const char *path))
{
	DIR *d = opendir(folder);
	char path[512];
	struct dirent *e;
	unsigned int n = 0;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		n++;
		if (what)
			what(path);
	}
	if (d)
		closedir(d);
	return n;
}

static void remove_file(const char *path)
{
	(void)remove(path);
}

int rundir_teardown(void **state)
{
	(void)state;
	for_all(remove_file);
	return rmdir(folder);
}

const char *rundir(void)
{
	return folder;
}

const char *rundir_path(pid_t pid, unsigned int number)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%d-%u.telemetry", folder, (int)pid, number);
	return path;
}

unsigned int rundir_files(void)
{
	return for_all(NULL);
}

struct vu_telemetry *rundir_open(pid_t pid)
{
	struct vu_telemetry *t = NULL;
	char why[256] = "";

	if (vu_telemetry_open(rundir_path(pid, 0), &t, why, sizeof(why)))
		fail_msg("%s: %s", rundir_path(pid, 0), why);
	return t;
}

struct vu_telemetry_queue rundir_queue(struct vu_telemetry *t, unsigned int queue)
{
	struct vu_telemetry_queue q;

	assert_int_equal(vu_telemetry_refresh(t), 0);
	assert_int_equal(vu_telemetry_queue(t, queue, &q), 0);
	return q;
}

static int all_events(struct vu_telemetry *t, struct vu_telemetry_event *e)
{
	int n = vu_telemetry_events(t, e, VU_TELEMETRY_EVENTS, NULL);

	assert_true(n >= 0);
	return n;
}

struct vu_telemetry_event rundir_event(struct vu_telemetry *t, unsigned int kind)
{
	static struct vu_telemetry_event e[VU_TELEMETRY_EVENTS];
	struct vu_telemetry_event none = {.number = 0};
	int n = all_events(t, e);

	while (n--) {
		if (e[n].kind == kind)
			return e[n];
	}
	return none;
}

unsigned int rundir_events(struct vu_telemetry *t, unsigned int kind)
{
	static struct vu_telemetry_event e[VU_TELEMETRY_EVENTS];
	int n = all_events(t, e);
	unsigned int found = 0;

	while (n--)
		found += e[n].kind == kind;
	return found;
}
