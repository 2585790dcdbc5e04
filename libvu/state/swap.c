/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Another file behind an fd's number; the fds of this process.  Control thread. */
#include "state/swap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SETS_MAX 16

/* How one epoll set watches an fd. */
struct watch {
	int epfd;
	struct epoll_event event;
};

/* What the kernel says of an epoll set: a line for each fd in it. */
static bool find_in_set(int epfd, int fd, ino_t inode, struct watch *w)
{
	char line[256];
	FILE *f;
	bool found = false;

	snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", epfd);
	f = fopen(line, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		unsigned long long data, ino;
		unsigned int events;
		int tfd;

		/* A number that was used before may still be there with its old file. */
		found = sscanf(line, "tfd: %d events: %x data: %llx pos:%*i ino:%llx", &tfd,
			       &events, &data, &ino) == 4 &&
			tfd == fd && ino == inode;
		if (found)
			*w = (struct watch){epfd, {.events = events, .data.u64 = data}};
	}
	if (f)
		fclose(f);
	return found;
}

static bool is_epoll(int dir, const char *name)
{
	char link[32];
	ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);

	link[n < 0 ? 0 : n] = '\0';
	return !strcmp(link, "anon_inode:[eventpoll]");
}

/* The fds of this process, one after the other; -1 after the last. */
static int next_fd(DIR *dir)
{
	struct dirent *e;

	while ((e = readdir(dir))) {
		if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(dir))
			return atoi(e->d_name);
	}
	return -1;
}

static unsigned int find_watches(int fd, struct watch *list)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;
	struct stat st;
	int other;

	if (!dir || fstat(fd, &st)) {
		if (dir)
			closedir(dir);
		return 0;
	}
	while (n < SETS_MAX && (other = next_fd(dir)) >= 0) {
		char name[16];

		snprintf(name, sizeof(name), "%d", other);
		if (is_epoll(dirfd(dir), name) && find_in_set(other, fd, st.st_ino, &list[n]))
			n++;
	}
	closedir(dir);
	return n;
}

int vu__fd_swap(int fd, int with)
{
	struct watch watches[SETS_MAX];
	unsigned int n = find_watches(fd, watches);
	int ret = 0;

	/* Once the number means another file, the old one cannot be named to epoll. */
	for (unsigned int i = 0; i < n; i++)
		epoll_ctl(watches[i].epfd, EPOLL_CTL_DEL, fd, NULL);
	if (dup3(with, fd, O_CLOEXEC) < 0)
		ret = -errno;
	for (unsigned int i = 0; i < n; i++) {
		if (epoll_ctl(watches[i].epfd, EPOLL_CTL_ADD, fd, &watches[i].event) && !ret)
			ret = -errno;
	}
	return ret;
}

static bool listens_at(int fd, const struct sockaddr_un *at, socklen_t at_len)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr), one = sizeof(int);
	int listening = 0;

	return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &one) && listening &&
	       !getsockname(fd, (struct sockaddr *)&addr, &len) && len == at_len &&
	       !memcmp(&addr, at, len);
}

int vu__find_listener(int sock)
{
	struct sockaddr_un at;
	socklen_t len = sizeof(at);
	int found = -1, fd;
	DIR *dir;

	if (getsockname(sock, (struct sockaddr *)&at, &len) || at.sun_family != AF_UNIX ||
	    len <= offsetof(struct sockaddr_un, sun_path))
		return -1;
	dir = opendir("/proc/self/fd");
	while (dir && found < 0 && (fd = next_fd(dir)) >= 0) {
		if (listens_at(fd, &at, len))
			found = fd;
	}
	if (dir)
		closedir(dir);
	return found;
}
