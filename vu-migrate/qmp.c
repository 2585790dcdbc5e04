/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's monitor, for the guest's own dirty rate.  Lines of JSON; events between the
 * answers are passed over.  Nothing that changes the machine is ever sent.
 */
#include "vu-migrate/qmp.h"

#include <errno.h>
#include <poll.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "vu-migrate/cmd.h"

#define LINE_MAX_BYTES (4u << 20)

struct qmp {
	int fd;
	const char *path;
	char *buf;
	size_t len, room;
};

void qmp_close(struct qmp *q)
{
	if (!q)
		return;
	if (q->fd >= 0)
		close(q->fd);
	free(q->buf);
	free(q);
}

static bool more_room(struct qmp *q)
{
	char *bigger;

	if (q->len < q->room)
		return true;
	if (q->room >= LINE_MAX_BYTES)
		return false;
	bigger = realloc(q->buf, q->room ? 2 * q->room : 4096);
	if (!bigger)
		return false;
	q->buf = bigger;
	q->room = q->room ? 2 * q->room : 4096;
	return true;
}

/* The next line as JSON; NULL after saying why. */
static struct json_object *next_line(struct qmp *q)
{
	int64_t deadline = vu__now_ms() + (int64_t)globals.timeout_ms;
	struct json_object *json;
	char *end;

	while (!(end = q->len ? memchr(q->buf, '\n', q->len) : NULL)) {
		ssize_t n;

		if (!more_room(q) || vu__fd_wait(q->fd, POLLIN, deadline)) {
			say("%s: the monitor does not answer", q->path);
			return NULL;
		}
		n = read(q->fd, q->buf + q->len, q->room - q->len);
		if (n <= 0) {
			say("%s: the monitor has gone", q->path);
			return NULL;
		}
		q->len += n;
	}
	*end = '\0';
	json = json_tokener_parse(q->buf);
	q->len -= end + 1 - q->buf;
	memmove(q->buf, end + 1, q->len);
	if (!json)
		say("%s: not a monitor of QEMU's", q->path);
	return json;
}

struct json_object *qmp_execute(struct qmp *q, const char *command, const char *arguments)
{
	struct json_object *reply, *part;
	char text[512];
	int n = snprintf(text, sizeof(text), "{\"execute\": \"%s\", \"arguments\": %s}\n", command,
			 arguments ? arguments : "{}");

	if (n >= (int)sizeof(text) || send(q->fd, text, n, MSG_NOSIGNAL) != n) {
		say("%s: %s: %s", q->path, command, strerror(errno));
		return NULL;
	}
	while ((reply = next_line(q))) {
		if (json_object_object_get_ex(reply, "return", &part)) {
			json_object_get(part);
			json_object_put(reply);
			return part;
		}
		if (json_object_object_get_ex(reply, "error", &part)) {
			say("%s: %s: %s", q->path, command,
			    json_object_to_json_string_ext(part, JSON_C_TO_STRING_PLAIN));
			json_object_put(reply);
			return NULL;
		}
		json_object_put(reply);
	}
	return NULL;
}

struct qmp *qmp_open(const char *path)
{
	struct qmp *q = calloc(1, sizeof(*q));
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct json_object *hello, *ok = NULL;

	if (!q)
		return NULL;
	q->path = path;
	q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (q->fd < 0 || connect(q->fd, (struct sockaddr *)&addr, sizeof(addr))) {
		say("%s: %s", path, strerror(errno));
		qmp_close(q);
		return NULL;
	}
	hello = next_line(q);
	if (hello)
		ok = qmp_execute(q, "qmp_capabilities", NULL);
	json_object_put(hello);
	json_object_put(ok);
	if (ok)
		return q;
	qmp_close(q);
	return NULL;
}
