/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small devices for guests' drivers to talk to: dev KIND SOCKET.  One thread, one
 * front-end, on the public headers.
 *
 *	net	gives back every frame it is sent
 *	scsi	a controller without a disk: no target answers
 *	fs	an empty file system, whose size is the number of times it was asked for,
 *		which is a state that a migration must bring along
 *	fs-stateless	the same, without a way to tell it
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/fuse.h>
#include <linux/virtio_net.h>
#include <linux/virtio_scsi.h>

#include <libvu/ext.h>
#include <libvu/libvhost-user.h>

#define MAX_FDS	   64
#define MAX_QUEUES 8
#define MAX_FRAME  2048

struct kind {
	const char *name;
	void (*serve)(VuDev *dev, int qidx);
	const VuDevIface *iface;
	const struct vu_ext_ops *ext;
};

static struct pollfd fds[MAX_FDS];
static struct {
	vu_watch_cb cb;
	void *data;
} watches[MAX_FDS];
static const struct kind *kind;
static uint64_t asked; /* fs: the state of the device */

/* --- the loop --- */

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
	fprintf(stderr, "dev: too many fds to watch\n");
	exit(1);
}

static void panic(VuDev *dev, const char *text)
{
	(void)dev;
	(void)text;
}

static void queue_set_started(VuDev *dev, int qidx, bool started)
{
	vu_set_queue_handler(dev, vu_get_queue(dev, qidx), started ? kind->serve : NULL);
}

/* --- buffers --- */

static size_t gather(const struct iovec *iov, unsigned int n, void *to, size_t size)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < size; i++) {
		size_t here = iov[i].iov_len < size - done ? iov[i].iov_len : size - done;

		memcpy((char *)to + done, iov[i].iov_base, here);
		done += here;
	}
	return done;
}

static size_t scatter(const struct iovec *iov, unsigned int n, const void *from,
		      size_t size)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < size; i++) {
		size_t here = iov[i].iov_len < size - done ? iov[i].iov_len : size - done;

		memcpy(iov[i].iov_base, (const char *)from + done, here);
		done += here;
	}
	return done;
}

static void push(VuDev *dev, VuVirtq *vq, VuVirtqElement *elem, size_t written)
{
	vu_queue_push(dev, vq, elem, written);
	free(elem);
}

/* --- net: queues in pairs, the first of a pair is what the guest receives --- */

static void give_back(VuDev *dev, int qidx, const uint8_t *frame, size_t len)
{
	VuVirtq *rx = vu_get_queue(dev, qidx);
	struct virtio_net_hdr_v1 header = {.num_buffers = 1};
	uint8_t whole[sizeof(header) + MAX_FRAME];
	VuVirtqElement *elem;

	elem = vu_queue_started(dev, rx) ? vu_queue_pop(dev, rx, sizeof(*elem)) : NULL;
	if (!elem)
		return;
	memcpy(whole, &header, sizeof(header));
	memcpy(whole + sizeof(header), frame, len);
	push(dev, rx, elem,
	     scatter(elem->in_sg, elem->in_num, whole, sizeof(header) + len));
	vu_queue_notify(dev, rx);
}

static void serve_net(VuDev *dev, int qidx)
{
	VuVirtq *vq = vu_get_queue(dev, qidx);
	VuVirtqElement *elem;

	while (qidx % 2 && (elem = vu_queue_pop(dev, vq, sizeof(*elem)))) {
		uint8_t buf[sizeof(struct virtio_net_hdr_v1) + MAX_FRAME];
		size_t len = gather(elem->out_sg, elem->out_num, buf, sizeof(buf));

		push(dev, vq, elem, 0);
		if (len > sizeof(struct virtio_net_hdr_v1))
			give_back(dev, qidx - 1, buf + sizeof(struct virtio_net_hdr_v1),
				  len - sizeof(struct virtio_net_hdr_v1));
	}
	vu_queue_notify(dev, vq);
}

/* The front-end moved; a switch would have to be told by us. */
static uint64_t net_protocol_features(VuDev *dev)
{
	(void)dev;
	return 1ULL << VHOST_USER_PROTOCOL_F_RARP;
}

static int net_message(VuDev *dev, VhostUserMsg *msg, int *do_reply)
{
	(void)dev;
	(void)do_reply;
	if (msg->request != VHOST_USER_SEND_RARP)
		return 0;
	printf("dev: to be announced\n");
	return 1;
}

/* --- scsi: control, events, then requests --- */

/* QEMU hands on what the driver accepts of its own features, so they must be ours too. */
static uint64_t scsi_features(VuDev *dev)
{
	(void)dev;
	return 1ULL << VIRTIO_SCSI_F_HOTPLUG | 1ULL << VIRTIO_SCSI_F_CHANGE;
}

static void serve_scsi(VuDev *dev, int qidx)
{
	struct virtio_scsi_cmd_resp no_target = {.response = VIRTIO_SCSI_S_BAD_TARGET};
	uint8_t no_function = VIRTIO_SCSI_S_FUNCTION_REJECTED;
	VuVirtq *vq = vu_get_queue(dev, qidx);
	VuVirtqElement *elem;

	while (qidx != 1 && (elem = vu_queue_pop(dev, vq, sizeof(*elem)))) {
		if (qidx == 0)
			push(dev, vq, elem,
			     scatter(elem->in_sg, elem->in_num, &no_function, 1));
		else
			push(dev, vq, elem,
			     scatter(elem->in_sg, elem->in_num, &no_target,
				     sizeof(no_target)));
	}
	vu_queue_notify(dev, vq);
}

/* --- fs: a FUSE server that knows its root --- */

struct answer {
	struct fuse_out_header header;
	union {
		struct fuse_init_out init;
		struct fuse_attr_out attr;
	} u;
};

/* Bytes of the answer's body; -errno. */
static int answer(const struct fuse_in_header *in, struct answer *out)
{
	switch (in->opcode) {
	case FUSE_INIT:
		out->u.init.major = FUSE_KERNEL_VERSION;
		out->u.init.minor = FUSE_KERNEL_MINOR_VERSION;
		out->u.init.max_write = 4096;
		return sizeof(out->u.init);
	case FUSE_GETATTR:
		out->u.attr.attr.ino = 1;
		out->u.attr.attr.size = ++asked;
		out->u.attr.attr.mode = S_IFDIR | 0755;
		out->u.attr.attr.nlink = 2;
		return sizeof(out->u.attr);
	case FUSE_LOOKUP:
		return -ENOENT;
	default:
		return -ENOSYS;
	}
}

static void serve_fs(VuDev *dev, int qidx)
{
	VuVirtq *vq = vu_get_queue(dev, qidx);
	VuVirtqElement *elem;

	while ((elem = vu_queue_pop(dev, vq, sizeof(*elem)))) {
		struct fuse_in_header in;
		struct answer out;
		int ret = -EINVAL;

		memset(&out, 0, sizeof(out));
		memset(&in, 0, sizeof(in));
		if (gather(elem->out_sg, elem->out_num, &in, sizeof(in)) == sizeof(in))
			ret = answer(&in, &out);
		out.header.unique = in.unique;
		out.header.error = ret < 0 ? ret : 0;
		out.header.len = sizeof(out.header) + (ret < 0 ? 0 : ret);
		push(dev, vq, elem,
		     scatter(elem->in_sg, elem->in_num, &out, out.header.len));
	}
	vu_queue_notify(dev, vq);
}

static int fs_save(VuDev *dev, void **data, size_t *len)
{
	(void)dev;
	*data = malloc(sizeof(asked));
	*len = sizeof(asked);
	if (!*data)
		return -ENOMEM;
	memcpy(*data, &asked, sizeof(asked));
	return 0;
}

static int fs_load(VuDev *dev, uint32_t version, const void *data, size_t len)
{
	(void)dev;
	if (version != 1 || len != sizeof(asked))
		return -EINVAL;
	memcpy(&asked, data, sizeof(asked));
	printf("dev: asked %llu times elsewhere\n", (unsigned long long)asked);
	return 0;
}

/* --- the program --- */

static const VuDevIface net = {
	.queue_set_started = queue_set_started,
	.get_protocol_features = net_protocol_features,
	.process_msg = net_message,
};

static const VuDevIface scsi = {
	.queue_set_started = queue_set_started,
	.get_features = scsi_features,
};

static const VuDevIface fs = {.queue_set_started = queue_set_started};

static const struct vu_ext_ops fs_state = {
	.size = sizeof(struct vu_ext_ops),
	.state_name = "test-fs",
	.state_version = 1,
	.save_state = fs_save,
	.load_state = fs_load,
};

static const struct kind kinds[] = {
	{"net", serve_net, &net, NULL},
	{"scsi", serve_scsi, &scsi, NULL},
	{"fs", serve_fs, &fs, &fs_state},
	{"fs-stateless", serve_fs, &fs, NULL},
};

static const struct kind *find_kind(const char *name)
{
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	}
	return NULL;
}

static int accept_one(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock, listener = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(listener, 1)) {
		perror("dev: socket");
		return -1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("dev: ready on %s\n", path);
	sock = accept(listener, NULL, NULL);
	close(listener);
	unlink(path);
	return sock;
}

int main(int argc, char **argv)
{
	bool connected = true;
	VuDev dev;
	int sock;

	kind = argc == 3 ? find_kind(argv[1]) : NULL;
	if (!kind) {
		fprintf(stderr, "Usage: dev {net|scsi|fs|fs-stateless} SOCKET\n");
		return 2;
	}
	sock = accept_one(argv[2]);
	for (int i = 0; i < MAX_FDS; i++)
		fds[i].fd = -1;
	fds[0] = (struct pollfd){.fd = sock, .events = POLLIN};
	if (sock < 0 ||
	    !vu_init(&dev, MAX_QUEUES, sock, panic, set_watch, remove_watch, kind->iface))
		return 1;
	if (kind->ext)
		vu_set_ext_ops(&dev, kind->ext);
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
