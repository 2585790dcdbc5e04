/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of /proc, kept open, by what they are.  One thread at a time. */
#include "observe/prockept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FIRST 64u
#define MOST  32768u

struct file {
	enum vu__procfs_file what;
	pid_t pid;
	int number;
	int fd;
	bool used; /* since the last turn */
	uint32_t next; /* in its bucket: place + 1; 0: none */
};

struct vu__kept {
	uint32_t n, room, most;
	struct file *files;
	uint32_t *buckets; /* twice as many as there is room for files, a power of two */
};

void vu__procfs_path(char *out, size_t size, enum vu__procfs_file what, pid_t pid,
		     int number)
{
	static const char *const formats[] = {
		[VU__PROC_TASK_STAT] = "%d/task/%d/stat",
		[VU__PROC_TASK_WCHAN] = "%d/task/%d/wchan",
		[VU__PROC_TASK_SYSCALL] = "%d/task/%d/syscall",
		[VU__PROC_FDINFO] = "%d/fdinfo/%d",
	};

	if (what == VU__PROC_STAT)
		snprintf(out, size, "%d/stat", pid);
	else
		snprintf(out, size, formats[what], pid, number);
}

struct vu__kept *vu__kept_new(void)
{
	struct vu__kept *k = calloc(1, sizeof(*k));
	struct rlimit files;

	if (!k)
		return NULL;
	k->most = FIRST;
	if (!getrlimit(RLIMIT_NOFILE, &files))
		k->most = VU_MIN(files.rlim_cur / 2, (rlim_t)MOST);
	return k;
}

void vu__kept_free(struct vu__kept *k)
{
	if (!k)
		return;
	for (uint32_t i = 0; i < k->n; i++)
		close(k->files[i].fd);
	free(k->files);
	free(k->buckets);
	free(k);
}

/* --- finding --- */

static uint32_t *bucket(const struct vu__kept *k, enum vu__procfs_file what, pid_t pid,
			int number)
{
	uint64_t hash = ((uint64_t)pid << 32 ^ (uint64_t)number << 3 ^ what) *
			0x9e3779b97f4a7c15u;

	return &k->buckets[(hash >> 32) & (2 * k->room - 1)];
}

static void hang_in(struct vu__kept *k, uint32_t place)
{
	struct file *f = &k->files[place];
	uint32_t *b = bucket(k, f->what, f->pid, f->number);

	f->next = *b;
	*b = place + 1;
}

static void hang_all(struct vu__kept *k)
{
	memset(k->buckets, 0, 2 * k->room * sizeof(*k->buckets));
	for (uint32_t i = 0; i < k->n; i++)
		hang_in(k, i);
}

static struct file *find(const struct vu__kept *k, enum vu__procfs_file what, pid_t pid,
			 int number)
{
	uint32_t at = k->room ? *bucket(k, what, pid, number) : 0;

	while (at) {
		struct file *f = &k->files[at - 1];

		if (f->what == what && f->pid == pid && f->number == number)
			return f;
		at = f->next;
	}
	return NULL;
}

static bool make_room(struct vu__kept *k)
{
	uint32_t room = k->room ? 2 * k->room : FIRST;
	struct file *files;
	uint32_t *buckets;

	if (k->n < k->room)
		return true;
	files = reallocarray(k->files, room, sizeof(*files));
	if (!files)
		return false;
	k->files = files;
	buckets = reallocarray(k->buckets, 2 * room, sizeof(*buckets));
	if (!buckets)
		return false;
	k->buckets = buckets;
	k->room = room;
	hang_all(k);
	return true;
}

/* --- reading --- */

static ssize_t read_it(int fd, char *to, size_t size)
{
	ssize_t n;

	do
		n = pread(fd, to, size - 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	to[n] = '\0';
	return n;
}

/* Keeps it, or closes it, as there is room. */
static void keep(struct vu__kept *k, const struct file *f)
{
	if (k->n >= k->most || !make_room(k)) {
		close(f->fd);
		return;
	}
	k->files[k->n] = *f;
	hang_in(k, k->n++);
}

ssize_t vu__kept_read(struct vu__kept *k, int dir, enum vu__procfs_file what, pid_t pid,
		      int number, char *to, size_t size)
{
	struct file *f = find(k, what, pid, number), new = {what, pid, number, -1, true, 0};
	char path[64];
	ssize_t n;
	int fd;

	if (f) {
		f->used = true;
		n = read_it(f->fd, to, size);
		if (n >= 0)
			return n;
	}
	/* Another process may have its number by now. */
	vu__procfs_path(path, sizeof(path), what, pid, number);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	n = read_it(fd, to, size);
	if (f) {
		close(f->fd);
		f->fd = fd;
	} else if (n < 0) {
		close(fd);
	} else {
		new.fd = fd;
		keep(k, &new);
	}
	return n;
}

void vu__kept_turn(struct vu__kept *k)
{
	uint32_t to = 0;

	for (uint32_t i = 0; i < k->n; i++) {
		if (k->files[i].used)
			k->files[to++] = k->files[i];
		else
			close(k->files[i].fd);
	}
	for (uint32_t i = 0; i < to; i++)
		k->files[i].used = false;
	if (to == k->n)
		return;
	k->n = to;
	hang_all(k);
}
