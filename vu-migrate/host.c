/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking at a process through /proc.  What changes meanwhile, or is not ours to see, is
 * left out.
 */
#include "vu-migrate/host.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

/* --- status --- */

#define CAP_SYS_PTRACE_BIT 19

static FILE *open_proc(pid_t pid, const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	return fopen(path, "re");
}

static bool read_status(struct host *h, uint64_t *caps)
{
	FILE *f = open_proc(h->pid, "status");
	char line[256];
	unsigned long long n;

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Name: %31s", h->program) == 1)
			continue;
		if (sscanf(line, "Uid: %*u %llu", &n) == 1)
			h->uid = (unsigned int)n;
		else if (sscanf(line, "CapEff: %llx", &n) == 1)
			*caps = n;
		else if (sscanf(line, "VmLck: %llu", &n) == 1)
			h->locked = n << 10;
		else if (sscanf(line, "VmPin: %llu", &n) == 1)
			h->pinned = n << 10;
	}
	fclose(f);
	return true;
}

static void look_at_userfaultfd(struct host *h, uint64_t caps)
{
	VU_CLEANUP_FD int fd = open("/proc/sys/vm/unprivileged_userfaultfd",
				    O_RDONLY | O_CLOEXEC);
	struct stat st;
	char c = '0';

	if (fd < 0) {
		h->userfaultfd_why = "this kernel has no userfaultfd";
		return;
	}
	h->userfaultfd = true;
	if (caps >> CAP_SYS_PTRACE_BIT & 1)
		h->userfaultfd_why = "it has CAP_SYS_PTRACE";
	else if (read(fd, &c, 1) == 1 && c == '1')
		h->userfaultfd_why = "vm.unprivileged_userfaultfd is 1";
	else if (!stat("/dev/userfaultfd", &st) &&
		 ((st.st_mode & 0006) == 0006 || (st.st_uid == h->uid && st.st_mode & 0600)))
		h->userfaultfd_why = "it may open /dev/userfaultfd";
	else
		h->userfaultfd = false;
	if (!h->userfaultfd)
		h->userfaultfd_why = "no CAP_SYS_PTRACE, vm.unprivileged_userfaultfd is 0, "
				     "/dev/userfaultfd not open to it";
}

/* --- open files --- */

static int by_number(const void *a, const void *b)
{
	const unsigned long *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The inodes of all network sockets of the process's network name space, in order. */
static unsigned long *network_sockets(pid_t pid, size_t *n)
{
	static const char *const tables[] = {"net/tcp", "net/tcp6", "net/udp", "net/udp6",
					     "net/packet"};
	unsigned long *list = NULL;
	size_t room = 0;

	*n = 0;
	for (size_t t = 0; t < VU_ARRAY_SIZE(tables); t++) {
		/* packet: sk RefCnt Type Proto Iface R Rmem User Inode */
		const char *format = t == 4 ? "%*s %*s %*s %*s %*s %*s %*s %*s %lu" :
					      "%*s %*s %*s %*s %*s %*s %*s %*s %*s %lu";
		FILE *f = open_proc(pid, tables[t]);
		char line[512];

		while (f && fgets(line, sizeof(line), f)) {
			unsigned long inode;

			if (sscanf(line, format, &inode) != 1 || !inode)
				continue;
			if (*n == room) {
				unsigned long *more;

				room = room * 2 + 64;
				more = realloc(list, room * sizeof(*list));
				if (!more)
					break;
				list = more;
			}
			list[(*n)++] = inode;
		}
		if (f)
			fclose(f);
	}
	if (list)
		qsort(list, *n, sizeof(*list), by_number);
	return list;
}

/* The library's own, of this process. */
static bool is_telemetry(const char *path)
{
	const char *end = strrchr(path, '.');

	return end && !strcmp(end, ".telemetry");
}

static void note_file(struct host *h, const char *path)
{
	for (unsigned int i = 0; i < VU_MIN(h->nfiles, VU_ARRAY_SIZE(h->files)); i++) {
		if (!strcmp(h->files[i], path))
			return;
	}
	if (h->nfiles < VU_ARRAY_SIZE(h->files))
		snprintf(h->files[h->nfiles], sizeof(h->files[0]), "%.127s", path);
	h->nfiles++;
}

static void look_at_fd(struct host *h, int dir, const char *name, const unsigned long *inodes,
		       size_t n)
{
	char to[512];
	ssize_t len = readlinkat(dir, name, to, sizeof(to) - 1);
	unsigned long inode;
	struct stat st;

	if (len <= 0)
		return;
	to[len] = '\0';
	if (!strcmp(to, "anon_inode:[io_uring]"))
		h->io_uring++;
	else if (!strncmp(to, "/dev/vfio/", 10))
		h->vfio++;
	else if (!strcmp(to, "/dev/net/tun") || !strncmp(to, "/dev/tap", 8))
		h->tun++;
	else if (sscanf(to, "socket:[%lu]", &inode) == 1)
		h->network += n && bsearch(&inode, inodes, n, sizeof(*inodes), by_number) != NULL;
	else if (to[0] == '/' && strncmp(to, "/memfd:", 7) && !fstatat(dir, name, &st, 0) &&
		 (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) && !strstr(to, " (deleted)") &&
		 !is_telemetry(to))
		note_file(h, to);
}

static bool look_at_files(struct host *h)
{
	VU_CLEANUP_FREE unsigned long *inodes = NULL;
	char path[64];
	struct dirent *d;
	size_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)h->pid);
	dir = opendir(path);
	if (!dir)
		return false;
	inodes = network_sockets(h->pid, &n);
	while ((d = readdir(dir))) {
		/* 0, 1 and 2 are whoever's started it. */
		if (d->d_name[0] != '.' && atoi(d->d_name) > 2)
			look_at_fd(h, dirfd(dir), d->d_name, inodes, n);
	}
	closedir(dir);
	return true;
}

void host_look(pid_t pid, struct host *h)
{
	uint64_t caps = 0;

	memset(h, 0, sizeof(*h));
	h->pid = pid;
	h->userfaultfd_why = "";
	if (!pid || !read_status(h, &caps))
		return;
	look_at_userfaultfd(h, caps);
	h->known = look_at_files(h);
}

/* --- sockets --- */

bool host_in_use(const char *path)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[512], at[300];
	unsigned int flags, state;
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		/* Num RefCount Protocol Flags Type St Inode Path; who listens has that flag */
		found = sscanf(line, "%*s %*s %*s %x %*s %x %*s %299s", &flags, &state, at) == 3 &&
			!(flags & 0x10000) && !strcmp(at, path);
	}
	if (f)
		fclose(f);
	return found;
}
