/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device in a GLib main loop, served to a front-end in a child, until that leaves; then
 * once more on another connection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libvhost-user-glib.h"

#include <libvu/frontend.h>

#define REQUESTS 500

static struct device {
	VugDev parent;
	GMainLoop *loop;
	unsigned int served, panics;
} device;

static void panic(VuDev *dev, const char *text)
{
	struct device *d = (struct device *)dev;

	printf("# %s\n", text);
	d->panics++;
	g_main_loop_quit(d->loop);
}

static void serve(VuDev *dev, int qidx)
{
	VuVirtq *vq = vu_get_queue(dev, qidx);
	VuVirtqElement *elem;

	while ((elem = vu_queue_pop(dev, vq, sizeof(*elem)))) {
		memset(elem->in_sg[0].iov_base, 0x42, elem->in_sg[0].iov_len);
		vu_queue_push(dev, vq, elem, elem->in_sg[0].iov_len);
		free(elem);
		((struct device *)dev)->served++;
	}
	vu_queue_notify(dev, vq);
}

static void set_started(VuDev *dev, int qidx, bool started)
{
	vu_set_queue_handler(dev, vu_get_queue(dev, qidx), started ? serve : NULL);
}

static const VuDevIface iface = {.queue_set_started = set_started};

/* In the child: 0 if every request was served. */
static int drive(int sock)
{
	struct vu_frontend *fe = vu_frontend_new(sock);
	struct vu_frontend_buf buf = {0x8000, 16, true};
	struct vu_frontend_queue *q;
	unsigned int done = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!fe || vu_frontend_negotiate(fe, ~0ull, ~0ull) ||
	    vu_frontend_add_memory(fe, 0, 1 << 16, 0) || vu_frontend_share_memory(fe))
		return 1;
	q = vu_frontend_queue_new(fe, 1, 16, 0);
	if (!q || vu_frontend_queue_start(q, 0))
		return 2;
	while (done < REQUESTS) {
		if (vu_frontend_submit(q, &buf, 1, done) || vu_frontend_kick(q) < 0 ||
		    vu_frontend_wait(q, 5000) || vu_frontend_reap(q, NULL, NULL) != 1)
			return 3;
		done++;
	}
	if (*(uint8_t *)vu_frontend_ptr(fe, 0x800f, 1) != 0x42)
		return 4;
	/* With its queue stopped first in one of two cases. */
	if (device.served && vu_frontend_queue_stop(q, NULL))
		return 5;
	vu_frontend_free(fe);
	return 0;
}

static void run(int number)
{
	unsigned int before = device.served;
	int sv[2], status = -1;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		exit(1);
	child = fork();
	if (!child) {
		close(sv[1]);
		_exit(drive(sv[0]));
	}
	close(sv[0]);
	device.panics = 0;
	if (child < 0 || !vug_init(&device.parent, 2, sv[1], panic, &iface))
		exit(1);
	g_main_loop_run(device.loop);
	vug_deinit(&device.parent);
	vu_deinit(&device.parent.parent);
	close(sv[1]);
	waitpid(child, &status, 0);
	printf("%s %d - served, and told of the end once\n",
	       status == 0 && device.served - before == REQUESTS && device.panics == 1 ?
		       "ok" : "not ok", number);
}

int main(void)
{
	printf("1..2\n");
	/* Two processes write: the child must not have our lines in its buffer. */
	fflush(stdout);
	device.loop = g_main_loop_new(NULL, FALSE);
	run(1);
	fflush(stdout);
	run(2);
	g_main_loop_unref(device.loop);
	return 0;
}
