/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading /proc.  Any thread. */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

ssize_t vu__read_file_at(int dir, const char *path, char *buf, size_t size)
{
	VU_CLEANUP_FD int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while (len < size - 1) {
		ssize_t n = read(fd, buf + len, size - 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += n;
	}
	buf[len] = '\0';
	return len;
}

/* The name, in parentheses, may have blanks and parentheses in it. */
static int parse_stat(const char *text, struct vu__proc_stat *st)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	size_t len;

	if (!open || !close || close < open)
		return -EBADMSG;
	len = VU_MIN((size_t)(close - open - 1), sizeof(st->comm) - 1);
	memcpy(st->comm, open + 1, len);
	st->comm[len] = '\0';
	/* Field 3, and then 22. */
	if (sscanf(close + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%*s %*s %*s %*s %" SCNu64, &st->state, &st->start) != 2)
		return -EBADMSG;
	return 0;
}

int vu__proc_stat(pid_t pid, struct vu__proc_stat *st)
{
	char path[64], text[1024];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	n = vu__read_file_at(AT_FDCWD, path, text, sizeof(text));
	if (n < 0)
		/* It may end between the opening and the reading. */
		return n == -ESRCH ? -ENOENT : (int)n;
	return parse_stat(text, st);
}

bool vu__proc_runs_as(pid_t pid, uid_t uid)
{
	char path[64], text[4096];
	unsigned int ids[4];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (vu__read_file_at(AT_FDCWD, path, text, sizeof(text)) < 0)
		return false;
	line = strstr(text, "\nUid:");
	if (!line || sscanf(line, "\nUid: %u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]) != 4)
		return false;
	return uid == ids[0] || uid == ids[1] || uid == ids[2] || uid == ids[3];
}

uint64_t vu__proc_pid_ns(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : st.st_ino;
}

int64_t vu__proc_eventfd_id(int fd)
{
	char path[64], text[1024];
	const char *line;
	int64_t id;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (fd < 0 || vu__read_file_at(AT_FDCWD, path, text, sizeof(text)) < 0)
		return -1;
	line = strstr(text, "eventfd-id:");
	return line && sscanf(line, "eventfd-id: %" SCNd64, &id) == 1 ? id : -1;
}
