/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where to listen, and what a client accepts.  Any thread. */
#include "vu-top/address.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* --- sockets --- */

static int fail(char *why, size_t size, const char *what, int error)
{
	snprintf(why, size, "%s: %s", what, strerror(error));
	return -error;
}

/* One that systemd, or whoever started us, has made. */
static int inherited(const char *number, char *why, size_t size)
{
	const char *pid = getenv("LISTEN_PID");
	int listens = 0, fd = *number ? atoi(number) : 3;
	socklen_t len = sizeof(listens);

	if (pid && atoi(pid) != getpid()) {
		snprintf(why, size, "LISTEN_PID is another process's");
		return -EINVAL;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0)
		return fail(why, size, "it cannot be listened at", errno);
	if (!listens) {
		snprintf(why, size, "it is no socket that listens");
		return -EINVAL;
	}
	return fd;
}

/* What nobody listens at any more is in the way. */
static void remove_stale(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
	    errno == ECONNREFUSED)
		unlink(addr->sun_path);
	close(fd);
}

static int unix_socket(const char *path, char *why, size_t size)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	VU_CLEANUP_FD int fd = -1;

	if (!*path || strlen(path) >= sizeof(addr.sun_path)) {
		snprintf(why, size, "the path is empty or too long");
		return -ENAMETOOLONG;
	}
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(why, size, "socket", errno);
	remove_stale(&addr);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 64) < 0)
		return fail(why, size, path, errno);
	return vu__steal_fd(&fd);
}

static int tcp_socket(const struct addrinfo *ai)
{
	VU_CLEANUP_FD int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC,
				      ai->ai_protocol);
	int on = 1;

	if (fd < 0)
		return -errno;
	(void)!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 64) < 0)
		return -errno;
	return vu__steal_fd(&fd);
}

/* What is too large, getaddrinfo() would cut off. */
static bool is_port(const char *text)
{
	size_t len = strspn(text, "0123456789");
	int port = len && len <= 5 && !text[len] ? atoi(text) : 0;

	return port > 0 && port <= UINT16_MAX;
}

/* HOST:PORT, [HOST]:PORT, :PORT or PORT; @host has room for all of it. */
static bool split(const char *address, char *host, const char **port)
{
	const char *colon = strrchr(address, ':'), *end = colon;

	*port = colon ? colon + 1 : address;
	if (!colon) {
		strcpy(host, "127.0.0.1");
		return is_port(*port);
	}
	if (*address == '[') {
		address++;
		end--;
		if (end < address || *end != ']')
			return false;
	}
	memcpy(host, address, end - address);
	host[end - address] = '\0';
	return is_port(*port);
}

int top_listen_socket(const char *address, const char **path, char *why, size_t why_size)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list, *ai;
	const char *port;
	char host[256];
	int ret;

	*path = NULL;
	if (!strncmp(address, "fd:", 3))
		return inherited(address + 3, why, why_size);
	if (!strncmp(address, "unix:", 5)) {
		ret = unix_socket(address + 5, why, why_size);
		*path = ret < 0 ? NULL : address + 5;
		return ret;
	}
	if (strlen(address) >= sizeof(host) || !split(address, host, &port)) {
		snprintf(why, why_size, "it is no address, such as 9478, 10.0.0.1:9478 or "
					"unix:/run/vu-top.sock");
		return -EINVAL;
	}
	ret = getaddrinfo(*host ? host : NULL, port, &hints, &list);
	if (ret) {
		snprintf(why, why_size, "%s", gai_strerror(ret));
		return -EINVAL;
	}
	ret = -EADDRNOTAVAIL;
	for (ai = list; ai && ret < 0; ai = ai->ai_next)
		ret = tcp_socket(ai);
	freeaddrinfo(list);
	return ret < 0 ? fail(why, why_size, "it cannot be listened at", -ret) : ret;
}

/* --- Accept: media ranges with a quality, 0 to 1, each --- */

/* Of "type/subtype; q=0.5; ...", @len bytes. */
static double quality(const char *range, size_t len)
{
	const char *end = range + len, *p = range;
	double q = 1;

	while ((p = memchr(p, ';', end - p))) {
		p++;
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		if (end - p > 2 && (*p == 'q' || *p == 'Q') && p[1] == '=' &&
		    !top_parse_number(p + 2, strcspn(p + 2, ",; \t"), TOP_PLAIN, &q))
			q = 0;
	}
	return q;
}

/* How well a media range fits @type: 0 not, 1 by all, 2 by its first half, 3 by name. */
static int fits(const char *range, size_t len, const char *type)
{
	size_t name = strcspn(range, "; \t,"), half = strcspn(type, "/") + 1;

	name = VU_MIN(name, len);
	if (name == strlen(type) && !strncasecmp(range, type, name))
		return 3;
	if (name == half + 1 && !strncasecmp(range, type, half) && range[half] == '*')
		return 2;
	return name == 3 && !strncmp(range, "*/*", 3);
}

static double wants(const char *accept, const char *type)
{
	double q = 0;
	int best = 0;

	while (*accept) {
		size_t len;

		accept += strspn(accept, " \t,");
		len = strcspn(accept, ",");
		if (len && fits(accept, len, type) > best) {
			best = fits(accept, len, type);
			q = quality(accept, len);
		}
		accept += len;
	}
	return q;
}

bool top_negotiate(const char *accept, enum top_exposition *format)
{
	double open, text;

	*format = TOP_PROMETHEUS;
	if (!accept || !*accept)
		return true;
	open = wants(accept, "application/openmetrics-text");
	text = wants(accept, "text/plain");
	/* Who takes anything is a person with a browser. */
	if (open > 0 && (open > text || (open == text && strcasestr(accept, "openmetrics"))))
		*format = TOP_OPENMETRICS;
	return open > 0 || text > 0;
}
