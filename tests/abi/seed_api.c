/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program as people have written it for libvhost-user: the header's old name, its old
 * spellings, its signatures.  That it compiles is half of the test; then it serves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libvhost-user.h"

static int failed, number;

static void check(bool ok, const char *what)
{
	number++;
	failed += !ok;
	printf("%s %d - %s\n", ok ? "ok" : "not ok", number, what);
}

/* Each signature as programs store it. */
static const struct {
	bool (*init)(VuDev *, uint16_t, int, vu_panic_cb, vu_set_watch_cb, vu_remove_watch_cb,
		     const VuDevIface *);
	void (*deinit)(VuDev *);
	bool (*dispatch)(VuDev *);
	void *(*gpa_to_va)(VuDev *, uint64_t *, uint64_t);
	VuVirtq *(*get_queue)(VuDev *, int);
	void (*set_queue_handler)(VuDev *, VuVirtq *, vu_queue_handler_cb);
	bool (*set_queue_host_notifier)(VuDev *, VuVirtq *, int, int, int);
	void (*queue_set_notification)(VuDev *, VuVirtq *, int);
	bool (*queue_enabled)(VuDev *, VuVirtq *);
	bool (*queue_started)(const VuDev *, const VuVirtq *);
	bool (*queue_empty)(VuDev *, VuVirtq *);
	void (*queue_notify)(VuDev *, VuVirtq *);
	void (*queue_notify_sync)(VuDev *, VuVirtq *);
	void *(*queue_pop)(VuDev *, VuVirtq *, size_t);
	void (*queue_unpop)(VuDev *, VuVirtq *, VuVirtqElement *, size_t);
	bool (*queue_rewind)(VuDev *, VuVirtq *, unsigned int);
	void (*queue_fill)(VuDev *, VuVirtq *, const VuVirtqElement *, unsigned int,
			   unsigned int);
	void (*queue_push)(VuDev *, VuVirtq *, const VuVirtqElement *, unsigned int);
	void (*queue_flush)(VuDev *, VuVirtq *, unsigned int);
	void (*queue_get_avail_bytes)(VuDev *, VuVirtq *, unsigned int *, unsigned int *,
				      unsigned, unsigned);
	bool (*queue_avail_bytes)(VuDev *, VuVirtq *, unsigned int, unsigned int);
} api = {
	vu_init,	    vu_deinit,		vu_dispatch,
	vu_gpa_to_va,	    vu_get_queue,	vu_set_queue_handler,
	vu_set_queue_host_notifier, vu_queue_set_notification, vu_queue_enabled,
	vu_queue_started,   vu_queue_empty,	vu_queue_notify,
	vu_queue_notify_sync, vu_queue_pop,	vu_queue_unpop,
	vu_queue_rewind,    vu_queue_fill,	vu_queue_push,
	vu_queue_flush,	    vu_queue_get_avail_bytes, vu_queue_avail_bytes,
};

static uint64_t get_features(VuDev *dev)
{
	(void)dev;
	return 1ull << VHOST_USER_F_PROTOCOL_FEATURES;
}

static uint64_t get_protocol_features(VuDev *dev)
{
	(void)dev;
	return 1ull << VHOST_USER_PROTOCOL_F_SLAVE_REQ |
	       1ull << VHOST_USER_PROTOCOL_F_SLAVE_SEND_FD |
	       1ull << VHOST_USER_PROTOCOL_F_CONFIG;
}

static int process_msg(VuDev *dev, VhostUserMsg *vmsg, int *do_reply)
{
	(void)dev;
	(void)do_reply;
	switch ((VhostUserRequest)vmsg->request) {
	case VHOST_USER_NONE:
		return 1;
	default:
		return 0;
	}
}

static int get_config(VuDev *dev, uint8_t *config, uint32_t len)
{
	(void)dev;
	memset(config, 0x42, len);
	return 0;
}

static int set_config(VuDev *dev, const uint8_t *data, uint32_t offset, uint32_t size,
		      uint32_t flags)
{
	(void)dev, (void)data, (void)offset, (void)size;
	return flags == VHOST_SET_CONFIG_TYPE_MASTER ? 0 : -1;
}

static const VuDevIface iface = {
	.get_features = get_features,
	.get_protocol_features = get_protocol_features,
	.process_msg = process_msg,
	.get_config = get_config,
	.set_config = set_config,
};

static void panic(VuDev *dev, const char *err)
{
	(void)dev;
	printf("# panic: %s\n", err);
}

static void set_watch(VuDev *dev, int fd, int condition, vu_watch_cb cb, void *data)
{
	(void)dev, (void)fd, (void)condition, (void)cb, (void)data;
}

static void remove_watch(VuDev *dev, int fd)
{
	(void)dev, (void)fd;
}

/* Such programs embed the device and its elements. */
struct device {
	VuDev parent;
	int own;
};

struct request {
	VuVirtqElement elem;
	VuDev *dev;
};

static uint64_t ask(int sock, VuDev *dev, int request)
{
	struct {
		uint32_t request, flags, size;
	} head = {request, 1, 0};
	uint64_t answer = 0;

	if (write(sock, &head, sizeof(head)) != sizeof(head) || !api.dispatch(dev) ||
	    read(sock, &head, sizeof(head)) != sizeof(head) || head.flags != 5 ||
	    read(sock, &answer, sizeof(answer)) != sizeof(answer))
		return 0;
	return answer;
}

int main(void)
{
	static struct device d;
	VuDev *dev = &d.parent;
	int sv[2];
	uint64_t features;

	printf("1..6\n");
	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, sv), "a socket");
	check(api.init(dev, 2, sv[1], panic, set_watch, remove_watch, &iface), "vu_init");
	check(dev->sock == sv[1] && dev->max_queues == 2 && dev->slave_fd == -1 &&
		      !dev->broken && dev->vq && dev->vq[1].kick_fd == -1,
	      "fields of the device");
	features = ask(sv[0], dev, VHOST_USER_GET_FEATURES);
	check(features >> VHOST_USER_F_PROTOCOL_FEATURES & 1, "features");
	features = ask(sv[0], dev, VHOST_USER_GET_PROTOCOL_FEATURES);
	check(features >> VHOST_USER_PROTOCOL_F_CONFIG & 1, "protocol features");
	close(sv[0]);
	check(!api.dispatch(dev) && !dev->broken, "the front-end leaves");
	api.deinit(dev);
	close(sv[1]);
	return failed != 0;
}
