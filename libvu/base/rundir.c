/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The run directory and the numbers of devices.  Any thread. */
#include "base/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char *vu__run_dir(void)
{
	const char *dir = secure_getenv("LIBVU_RUN_DIR");

	if (!dir)
		return VU__RUN_DIR;
	return dir[0] ? dir : NULL;
}

/* Whoever may rename and remove files in it could put theirs in place of ours. */
static bool is_safe(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) &&
	       (!(st->st_mode & (S_IWGRP | S_IWOTH)) || st->st_mode & S_ISVTX);
}

int vu__run_dir_open(char *why, size_t why_size)
{
	const char *path = vu__run_dir();
	VU_CLEANUP_FD int fd = -1;
	struct stat st;
	int ret = 0;

	if (!path)
		return -ENOENT;
	if (mkdir(path, 0700) && errno != EEXIST)
		ret = -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		/* Why it could not be made says more than that it is not there. */
		ret = ret ? ret : -errno;
		snprintf(why, why_size, "%s: %s", path, strerror(-ret));
		return ret;
	}
	if (!is_safe(&st)) {
		snprintf(why, why_size, "%s: others may exchange files in it", path);
		return -EPERM;
	}
	return vu__steal_fd(&fd);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t *taken; /* a bit a number */
static unsigned int words;
static uint64_t generation;

/* With the lock held.  Without memory for more, numbers are shared from there on. */
static unsigned int take_number(void)
{
	uint64_t *more;
	unsigned int i = 0;

	while (i < words && taken[i] == UINT64_MAX)
		i++;
	if (i == words) {
		more = realloc(taken, (words + 1) * sizeof(*taken));
		if (!more)
			return words * 64;
		taken = more;
		taken[words++] = 0;
	}
	i = i * 64 + __builtin_ctzll(~taken[i]);
	taken[i / 64] |= VU_BIT(i % 64);
	return i;
}

unsigned int vu__device_number_get(void)
{
	unsigned int number;

	pthread_mutex_lock(&lock);
	number = take_number();
	pthread_mutex_unlock(&lock);
	return number;
}

void vu__device_number_put(unsigned int number)
{
	pthread_mutex_lock(&lock);
	if (number / 64 < words)
		taken[number / 64] &= ~VU_BIT(number % 64);
	pthread_mutex_unlock(&lock);
}

uint64_t vu__device_generation(void)
{
	uint64_t g;

	pthread_mutex_lock(&lock);
	g = ++generation;
	pthread_mutex_unlock(&lock);
	return g;
}
