/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU monitor's client: connects, asks, hangs up.  Any thread; blocks up to the time
 * it is given.
 */
#include "observe/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <json-c/json.h>

#include "base/fd.h"

/* The longest answer: x-query-virtio of hundreds of devices has some 100 bytes each. */
#define MAX_LINE (4u << 20)

/* A busy monitor does not even greet. */
#define GREETING_MS 300

enum command {
	CAPABILITIES,
	NAME,
	UUID,
	STATUS,
	VIRTIO_LIST,
	VIRTIO_STATUS,
	VHOST_QUEUE_STATUS,
	QOM_GET,
};

/* All that is ever sent. */
static const char *const commands[] = {
	[CAPABILITIES] = "qmp_capabilities",
	[NAME] = "query-name",
	[UUID] = "query-uuid",
	[STATUS] = "query-status",
	[VIRTIO_LIST] = "x-query-virtio",
	[VIRTIO_STATUS] = "x-query-virtio-status",
	[VHOST_QUEUE_STATUS] = "x-query-virtio-vhost-queue-status",
	[QOM_GET] = "qom-get",
};

struct client {
	int fd;
	int64_t deadline;
	char *buf;
	size_t len, size; /* filled, allocated */
	size_t line;	  /* of the line that was handed out, to be dropped */
	char *why;
	size_t why_size;
};

static int fail(struct client *c, int err, const char *fmt, ...) VU_PRINTF(3, 4);

static int fail(struct client *c, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, c->why_size, fmt, ap);
	va_end(ap);
	return err;
}

/* --- the line --- */

static int client_connect(struct client *c, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char link[32];
	/* A path of any length, and no surprise between the two calls. */
	VU_CLEANUP_FD int file = open(path, O_PATH | O_CLOEXEC);

	if (file < 0)
		return fail(c, -errno, "%s", strerror(errno));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	memcpy(addr.sun_path, link, strlen(link) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return fail(c, -errno, "socket: %s", strerror(errno));
	if (connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return 0;
	if (errno == EAGAIN)
		return fail(c, -ETIMEDOUT,
			    "the monitor is busy: clients are waiting already");
	return fail(c, -errno, "%s", strerror(errno));
}

static int gone(struct client *c)
{
	return fail(c, -ECONNRESET, "the monitor has closed the connection");
}

static int make_room(struct client *c)
{
	size_t size = c->size ? 2 * c->size : 16384;
	char *buf;

	if (c->len < c->size)
		return 0;
	if (size > MAX_LINE)
		return fail(c, -EPROTO, "an answer is longer than %u bytes", MAX_LINE);
	buf = realloc(c->buf, size);
	if (!buf)
		return fail(c, -ENOMEM, "out of memory");
	c->buf = buf;
	c->size = size;
	return 0;
}

static int read_some(struct client *c)
{
	ssize_t n;
	int ret = make_room(c);

	if (ret)
		return ret;
	n = recv(c->fd, c->buf + c->len, c->size - c->len, 0);
	if (n > 0)
		c->len += n;
	else if (n == 0)
		return gone(c);
	else if (errno == EAGAIN)
		return vu__fd_wait(c->fd, POLLIN, c->deadline) == -ETIMEDOUT
			       ? fail(c, -ETIMEDOUT, "the monitor does not answer")
			       : 0;
	else if (errno == ECONNRESET)
		return gone(c);
	else if (errno != EINTR)
		return fail(c, -errno, "reading: %s", strerror(errno));
	return 0;
}

/* The next line, without its end; stays until the next call.  0 or -errno. */
static int read_line(struct client *c, const char **line, size_t *len)
{
	size_t seen = 0;

	if (c->line) {
		memmove(c->buf, c->buf + c->line, c->len - c->line);
		c->len -= c->line;
		c->line = 0;
	}
	for (;;) {
		char *end =
			c->len > seen ? memchr(c->buf + seen, '\n', c->len - seen) : NULL;
		int ret;

		if (end) {
			*line = c->buf;
			*len = end - c->buf;
			c->line = *len + 1;
			return 0;
		}
		seen = c->len;
		ret = read_some(c);
		if (ret)
			return ret;
		/* One that never stops talking is no better than one that never does. */
		if (vu__now_ms() >= c->deadline)
			return fail(c, -ETIMEDOUT, "the monitor does not come to an end");
	}
}

static int write_all(struct client *c, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			if (vu__fd_wait(c->fd, POLLOUT, c->deadline))
				return fail(c, -ETIMEDOUT, "the monitor does not read");
		} else if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
			return gone(c);
		} else if (n < 0 && errno != EINTR) {
			return fail(c, -errno, "writing: %s", strerror(errno));
		} else if (n > 0) {
			text += n;
			len -= n;
		}
	}
	return 0;
}

/* --- commands --- */

/* The next line that is an answer.  0, with *@reply NULL if it is an error's. */
static int read_reply(struct client *c, struct json_object **reply)
{
	const char *line;
	size_t len;

	for (;;) {
		int ret = read_line(c, &line, &len);

		if (ret)
			return ret;
		*reply = vu__qmp_parse_reply(line, len);
		if (*reply || memmem(line, len, "\"error\"", 7))
			return 0;
		if (!memmem(line, len, "\"event\"", 7))
			return fail(c, -EPROTO, "this is no QEMU monitor: %.40s", line);
	}
}

/* Takes @args.  0 with *@reply, which is NULL if QEMU refuses; -errno. */
static int run(struct client *c, enum command cmd, struct json_object *args,
	       struct json_object **reply)
{
	struct json_object *ask = json_object_new_object();
	const char *text;
	size_t len;
	int ret;

	*reply = NULL;
	json_object_object_add(ask, "execute", json_object_new_string(commands[cmd]));
	if (args)
		json_object_object_add(ask, "arguments", args);
	text = json_object_to_json_string_length(ask, JSON_C_TO_STRING_PLAIN, &len);
	ret = write_all(c, text, len);
	if (!ret)
		ret = write_all(c, "\n", 1);
	json_object_put(ask);
	return ret ? ret : read_reply(c, reply);
}

static int greet(struct client *c)
{
	int64_t deadline = c->deadline;
	struct json_object *reply;
	const char *line;
	size_t len;
	int ret;

	c->deadline = VU_MIN(deadline, vu__now_ms() + GREETING_MS);
	ret = read_line(c, &line, &len);
	c->deadline = deadline;
	if (ret == -ETIMEDOUT)
		return fail(c, ret,
			    "the monitor does not greet within %d ms: it serves one "
			    "client at a time, and another may hold it",
			    GREETING_MS);
	if (ret)
		return ret;
	if (!memmem(line, len, "\"QMP\"", 5))
		return fail(c, -EPROTO, "this is no QEMU monitor");
	ret = run(c, CAPABILITIES, NULL, &reply);
	if (!ret && !reply)
		ret = fail(c, -EPROTO, "the monitor refuses qmp_capabilities");
	json_object_put(reply);
	return ret;
}

/* --- what is asked --- */

static struct json_object *path_args(const struct vu__qmp_device *d)
{
	struct json_object *args = json_object_new_object();

	json_object_object_add(args, "path", json_object_new_string(d->path));
	return args;
}

static int ask_property(struct client *c, const struct vu__qmp_device *d,
			const char *name, char *to, size_t size)
{
	struct json_object *args = path_args(d), *reply;
	int ret;

	json_object_object_add(args, "property", json_object_new_string(name));
	ret = run(c, QOM_GET, args, &reply);
	if (!ret && json_object_is_type(reply, json_type_string))
		snprintf(to, size, "%s", json_object_get_string(reply));
	json_object_put(reply);
	return ret;
}

static int ask_queue(struct client *c, struct vu__qmp_vm *vm, struct vu__qmp_device *d,
		     uint32_t index)
{
	struct json_object *args = path_args(d), *reply;
	int ret;

	json_object_object_add(args, "queue", json_object_new_int64(index));
	ret = run(c, VHOST_QUEUE_STATUS, args, &reply);
	/* Of a device with several back-ends QEMU shows the first one's only. */
	if (!ret && reply && vm->nqueues < VU__QMP_MAX_QUEUES) {
		vu__qmp_take_queue(reply, &vm->queues[vm->nqueues++]);
		d->nqueues++;
	}
	json_object_put(reply);
	return ret;
}

static void add_empty_queues(struct vu__qmp_vm *vm, struct vu__qmp_device *d, uint32_t n)
{
	n = VU_MIN(n, VU__QMP_MAX_QUEUES - vm->nqueues);
	vm->nqueues += n;
	d->nqueues = n;
}

static int ask_device(struct client *c, struct vu__qmp_vm *vm, struct vu__qmp_device *d)
{
	struct json_object *reply;
	uint32_t n = 0;
	int ret = run(c, VIRTIO_STATUS, path_args(d), &reply);

	if (!ret && reply)
		n = vu__qmp_take_status(reply, d);
	json_object_put(reply);
	d->first_queue = vm->nqueues;
	/* While it is stopped QEMU does not say that there is a back-end. */
	if (!ret)
		ret = ask_property(c, d, "chardev", d->chardev, sizeof(d->chardev));
	if (!ret && !d->chardev[0])
		ret = ask_property(c, d, "netdev", d->netdev, sizeof(d->netdev));
	d->vhost = d->vhost || d->chardev[0];
	if (!d->vhost && !d->netdev[0])
		return ret;
	/* Of a device that is not started QEMU does not say where its rings are. */
	if (!ret && !d->vhost_started)
		add_empty_queues(vm, d, n);
	for (uint32_t i = 0; !ret && d->vhost_started && i < n && d->nqueues == i; i++)
		ret = ask_queue(c, vm, d, i);
	return ret;
}

static int ask_vm(struct client *c, struct vu__qmp_vm *vm)
{
	struct json_object *name = NULL, *uuid = NULL, *status = NULL, *list = NULL;
	int ret = run(c, NAME, NULL, &name);

	if (!ret)
		ret = run(c, UUID, NULL, &uuid);
	if (!ret)
		ret = run(c, STATUS, NULL, &status);
	if (!ret)
		vu__qmp_take_vm(name, uuid, status, vm);
	if (!ret)
		ret = run(c, VIRTIO_LIST, NULL, &list);
	if (!ret && list && vu__qmp_take_list(list, vm))
		ret = fail(c, -ENOMEM, "out of memory");
	if (!ret && !list)
		fail(c, 0, "this QEMU does not know x-query-virtio (7.2 and later do)");
	for (uint32_t i = 0; !ret && i < vm->ndevs; i++)
		ret = ask_device(c, vm, &vm->devs[i]);
	json_object_put(name);
	json_object_put(uuid);
	json_object_put(status);
	json_object_put(list);
	return ret;
}

int vu__qmp_ask(const char *path, int timeout_ms, struct vu__qmp_vm *out, char *why,
		size_t why_size)
{
	struct client c = {.fd = -1,
			   .deadline = vu__now_ms() + timeout_ms,
			   .why = why,
			   .why_size = why_size};
	int ret;

	memset(out, 0, sizeof(*out));
	why[0] = '\0';
	ret = client_connect(&c, path);
	if (!ret)
		ret = greet(&c);
	if (!ret)
		ret = ask_vm(&c, out);
	if (ret)
		vu__qmp_release(out);
	vu__cleanup_fd(&c.fd);
	free(c.buf);
	return ret;
}

void vu__qmp_release(struct vu__qmp_vm *vm)
{
	free(vm->devs);
	free(vm->queues);
	memset(vm, 0, sizeof(*vm));
}
