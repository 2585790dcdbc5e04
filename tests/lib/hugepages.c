/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The count of huge pages, and a lock on it that ends with the process. */
#include "tests/lib/hugepages.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

static long count(int fd)
{
	char text[32] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? strtol(text, NULL, 10) : -1;
}

static void set_count(int fd, long n)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%ld\n", n);

	/* What comes of it is seen in the count. */
	(void)!pwrite(fd, text, len, 0);
}

int hugepages_borrow(long n)
{
	int fd = open("/proc/sys/vm/nr_hugepages", O_RDWR | O_CLOEXEC);
	long before;

	if (fd < 0 || flock(fd, LOCK_EX)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	before = count(fd);
	set_count(fd, before + n);
	if (before >= 0 && count(fd) == before + n)
		return fd;
	set_count(fd, before);
	close(fd);
	return -1;
}

void hugepages_return(int fd, long n)
{
	if (fd < 0)
		return;
	set_count(fd, count(fd) - n);
	close(fd);
}
