/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notes of images that wait.  Any thread. */
#include "state/waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc.h"
#include "base/rundir.h"

/* --- writing --- */

static int write_note(int dir, const struct vu__waiting *w)
{
	char text[VU__WAITING_MAX];
	struct vu__proc_stat st;
	VU_CLEANUP_FD int fd = -1;
	int len;

	if (vu__proc_stat(w->pid, &st))
		return -ESRCH;
	len = snprintf(text, sizeof(text),
		       "start %" PRIu64 "\nnamespace %" PRIu64 "\nimage %s\ndevice %s\nsocket %s\n",
		       st.start, vu__proc_pid_ns(), w->image, w->device, w->socket);
	if (len >= (int)sizeof(text))
		return -ENAMETOOLONG;
	/* One of this name was left by a process that had this pid before. */
	(void)unlinkat(dir, w->name, 0);
	fd = openat(dir, w->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) == len)
		return 0;
	(void)unlinkat(dir, w->name, 0);
	return -ENOSPC;
}

void vu__waiting_note(struct vu__waiting *w)
{
	char why[256];
	VU_CLEANUP_FD int dir = vu__run_dir_open(why, sizeof(why));

	w->pid = getpid();
	snprintf(w->name, sizeof(w->name), "%d-%s" VU__WAITING_SUFFIX, (int)w->pid, w->image);
	if (dir < 0 || write_note(dir, w))
		w->name[0] = '\0';
}

void vu__waiting_drop(struct vu__waiting *w)
{
	char why[256];
	VU_CLEANUP_FD int dir = w->name[0] ? vu__run_dir_open(why, sizeof(why)) : -1;

	if (dir >= 0)
		(void)unlinkat(dir, w->name, 0);
	w->name[0] = '\0';
}

/* --- reading --- */

/* The value of a line; false if there is none, or what no terminal should get. */
static bool take_value(const char *text, const char *what, char *to, size_t size)
{
	size_t len = strlen(what);

	for (const char *at = text; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
		size_t n = strcspn(at, "\n");

		if (n <= len || strncmp(at, what, len) || at[len] != ' ' || n - len > size)
			continue;
		memcpy(to, at + len + 1, n - len - 1);
		to[n - len - 1] = '\0';
		for (const unsigned char *c = (unsigned char *)to; *c; c++) {
			if (*c < ' ' || *c == 0x7f)
				return false;
		}
		return true;
	}
	return false;
}

static int read_text(int dir, const char *name, char text[VU__WAITING_MAX], uid_t *owner)
{
	VU_CLEANUP_FD int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	n = read(fd, text, VU__WAITING_MAX - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	*owner = st.st_uid;
	return 0;
}

/* Whether it still is the process that wrote this, and can be named from here. */
static int check_process(const char *text, pid_t pid, uid_t owner)
{
	struct vu__proc_stat st;
	char number[24];
	int ret;

	if (!take_value(text, "namespace", number, sizeof(number)) ||
	    strtoull(number, NULL, 10) != vu__proc_pid_ns())
		return -EBADMSG;
	if (!take_value(text, "start", number, sizeof(number)))
		return -EBADMSG;
	ret = vu__proc_stat(pid, &st);
	if (ret == -ENOENT || (!ret && strtoull(number, NULL, 10) != st.start))
		return -ESRCH;
	/* Only the process itself says this of itself. */
	return ret || !owner || vu__proc_runs_as(pid, owner) ? ret : -EBADMSG;
}

int vu__waiting_read(int dir, const char *name, struct vu__waiting *w)
{
	char text[VU__WAITING_MAX];
	uid_t owner = 0;
	int end = 0, ret;

	memset(w, 0, sizeof(*w));
	if (sscanf(name, "%10d-%39[0-9a-f]" VU__WAITING_SUFFIX "%n", &w->pid, w->image,
		   &end) != 2 || !end || name[end] || w->pid <= 0 ||
	    end >= (int)sizeof(w->name))
		return -EBADMSG;
	strcpy(w->name, name);
	ret = read_text(dir, name, text, &owner);
	if (!ret)
		ret = check_process(text, w->pid, owner);
	if (!ret && !take_value(text, "device", w->device, sizeof(w->device)))
		ret = -EBADMSG;
	if (!ret && !take_value(text, "socket", w->socket, sizeof(w->socket)))
		w->socket[0] = '\0';
	return ret;
}
