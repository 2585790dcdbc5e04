/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The smallest whole back-end: a device that completes every request with nothing.
 *
 *	cc vu-null.c $(pkg-config --cflags --libs libvu) && ./a.out /tmp/null.sock
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <libvu/libvhost-user.h>

#define MAX_FDS 16

/* The event loop: poll() over the socket and whatever the library wants watched. */
static struct pollfd fds[MAX_FDS];
static struct {
	vu_watch_cb cb;
	void *data;
} watches[MAX_FDS];

static void remove_watch(VuDev *dev, int fd)
{
	(void)dev;
	for (int i = 1; i < MAX_FDS; i++) {
		if (fds[i].fd == fd)
			fds[i].fd = -1;
	}
}

static void set_watch(VuDev *dev, int fd, int condition, vu_watch_cb cb, void *data)
{
	remove_watch(dev, fd);
	for (int i = 1; i < MAX_FDS; i++) {
		if (fds[i].fd < 0) {
			fds[i] = (struct pollfd){.fd = fd, .events = condition};
			watches[i].cb = cb;
			watches[i].data = data;
			return;
		}
	}
}

static void panic(VuDev *dev, const char *text)
{
	(void)dev;
	fprintf(stderr, "vu-null: %s\n", text);
}

static void serve(VuDev *dev, int qidx)
{
	VuVirtq *vq = vu_get_queue(dev, qidx);
	VuVirtqElement *elem;

	while ((elem = vu_queue_pop(dev, vq, sizeof(*elem)))) {
		vu_queue_push(dev, vq, elem, 0);
		free(elem);
	}
	vu_queue_notify(dev, vq);
}

static void queue_set_started(VuDev *dev, int qidx, bool started)
{
	vu_set_queue_handler(dev, vu_get_queue(dev, qidx), started ? serve : NULL);
}

static const VuDevIface iface = {.queue_set_started = queue_set_started};

static int accept_one(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock, listener = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(listener, 1))
		return -1;
	sock = accept(listener, NULL, NULL);
	close(listener);
	unlink(path);
	return sock;
}

int main(int argc, char **argv)
{
	int sock = argc == 2 ? accept_one(argv[1]) : -1;
	bool connected = true;
	VuDev dev;

	if (sock < 0) {
		fprintf(stderr, "Usage: vu-null SOCKET-PATH\n");
		return 2;
	}
	for (int i = 0; i < MAX_FDS; i++)
		fds[i].fd = -1;
	fds[0] = (struct pollfd){.fd = sock, .events = POLLIN};
	if (!vu_init(&dev, 2, sock, panic, set_watch, remove_watch, &iface))
		return 1;
	while (connected && poll(fds, MAX_FDS, -1) >= 0) {
		for (int i = 1; i < MAX_FDS; i++) {
			if (fds[i].fd >= 0 && fds[i].revents)
				watches[i].cb(&dev, fds[i].revents, watches[i].data);
		}
		if (fds[0].revents)
			connected = vu_dispatch(&dev);
	}
	vu_deinit(&dev);
	close(sock);
	return 0;
}
