/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What dead processes have left in the run directory: kept for a while, then removed.
 * Any thread, when a device is made.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/sys.h"
#include "core/telemetry.h"
#include "core/telemetry_reader.h"

/* More than these are not looked at in one go; the others have their turn later. */
#define MOST_FOUND 4096u

struct box {
	char name[48];
	int64_t found; /* when it was found dead, CLOCK_REALTIME s */
};

static bool is_name(const char *name)
{
	unsigned int pid, number;
	int end = 0;

	return sscanf(name, "%10u-%10u.telemetry%n", &pid, &number, &end) == 2 && end &&
	       !name[end] && end < (int)sizeof(((struct box *)0)->name);
}

/* Whether its process has died; only what is a telemetry file for certain. */
static bool is_dead(int fd, off_t size)
{
	struct vu_telemetry t = {.fd = fd};
	char why[160];

	return !vu__telemetry_pread(&t, &t.head, sizeof(t.head), 0) &&
	       !vu__telemetry_check_header(&t.head, size, why, sizeof(why)) &&
	       vu_telemetry_process(&t) == VU_TELEMETRY_DEAD;
}

/* The control socket beside it is of no use to anybody. */
static void drop_control(int dir, const char *name)
{
	char control[sizeof(((struct box *)0)->name)];

	snprintf(control, sizeof(control), "%.*s.control", (int)strcspn(name, "."), name);
	(void)unlinkat(dir, control, 0);
}

/*
 * True if @name is a black box.  When it is found to be one it is made read-only, which
 * also says so to the next who looks, and its time is set to now.
 */
static bool find_dead(int dir, const char *name, struct box *b)
{
	VU_CLEANUP_FD int fd =
		openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || !is_dead(fd, st.st_size))
		return false;
	if (st.st_mode & S_IWUSR &&
	    (fchmod(fd, 0400) || futimens(fd, NULL) || fstat(fd, &st)))
		return false;
	drop_control(dir, name);
	/* is_name() has seen that it fits. */
	memcpy(b->name, name, strlen(name) + 1);
	b->found = st.st_mtime;
	return true;
}

static int latest_first(const void *a, const void *b)
{
	const struct box *x = a, *y = b;

	return x->found > y->found ? -1 : x->found < y->found;
}

static unsigned int find_all(DIR *d, struct box *boxes)
{
	struct dirent *e;
	unsigned int n = 0;

	while (n < MOST_FOUND && (e = readdir(d))) {
		if (is_name(e->d_name))
			n += find_dead(dirfd(d), e->d_name, &boxes[n]);
	}
	return n;
}

void vu__telemetry_prune(int dir)
{
	VU_CLEANUP_FREE struct box *boxes = vu__sys.calloc(MOST_FOUND, sizeof(*boxes));
	/* A reading position of its own. */
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int64_t oldest = time(NULL) - VU__BLACK_BOX_DAYS * 86400;
	unsigned int n;

	if (!d && fd >= 0)
		close(fd);
	if (!d || !boxes) {
		if (d)
			closedir(d);
		return;
	}
	n = find_all(d, boxes);
	qsort(boxes, n, sizeof(*boxes), latest_first);
	for (unsigned int i = 0; i < n; i++) {
		if (i >= VU__BLACK_BOXES || boxes[i].found < oldest)
			(void)unlinkat(dir, boxes[i].name, 0);
	}
	closedir(d);
}
