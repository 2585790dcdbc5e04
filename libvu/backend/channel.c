/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The back-end's own requests: "Back-end communication", "Back-end message types".
 * Any thread, one at a time under backend_mutex.
 */
#include <errno.h>
#include <string.h>

#include "backend/dev.h"
#include "base/log.h"
#include "wire/sock.h"

/* A front-end that is busy with us elsewhere must not hold a queue's thread for ever. */
#define CHANNEL_TIMEOUT_MS 5000

/* With backend_mutex held. */
static void channel_close(VuDev *dev)
{
	if (dev->backend_fd >= 0)
		close(dev->backend_fd);
	dev->backend_fd = -1;
}

void vu__channel_set(struct vu__dev *d, int fd)
{
	VuDev *dev = d->pub;

	pthread_mutex_lock(&dev->backend_mutex);
	channel_close(dev);
	dev->backend_fd = fd;
	pthread_mutex_unlock(&dev->backend_mutex);
}

/*
 * Inside vu_dispatch() the front-end is waiting for our answer and would not give us
 * its own: there we do not wait.
 */
static bool may_wait(const struct vu__dev *d)
{
	return !(__atomic_load_n(&d->in_dispatch, __ATOMIC_ACQUIRE) &&
		 pthread_equal(d->control, pthread_self()));
}

/* With backend_mutex held. */
static int exchange(struct vu__dev *d, struct vu__msg *m, bool wait)
{
	VuDev *dev = d->pub;
	uint32_t request = m->request;
	struct vu__msg reply;
	char why[160] = "";
	int ret;

	if (dev->backend_fd < 0)
		return -ENOTCONN;
	wait = wait && vu__dev_has(d, VU__PF_REPLY_ACK) && may_wait(d);
	if (wait)
		m->flags |= VU__FLAG_NEED_REPLY;
	ret = vu__sock_send(dev->backend_fd, m, CHANNEL_TIMEOUT_MS);
	if (!ret && wait) {
		ret = vu__sock_recv(dev->backend_fd, &reply, CHANNEL_TIMEOUT_MS);
		if (ret == 0)
			ret = -ECONNRESET;
		if (ret > 0) {
			ret = vu__msg_check_reply(&reply, VU__TO_FRONTEND, request, true, why,
						  sizeof(why));
			vu__msg_close_fds(&reply);
		}
		if (!ret && reply.payload.u64)
			return -EREMOTEIO;
	}
	if (ret) {
		/* An answer that comes later would be taken for another request's. */
		vu__warn("%s: %s; the back-end channel is closed",
			 vu__msg_name(VU__TO_FRONTEND, request), why[0] ? why : strerror(-ret));
		channel_close(dev);
	}
	return ret;
}

int vu__channel_request(struct vu__dev *d, struct vu__msg *m, bool wait)
{
	int ret;

	pthread_mutex_lock(&d->pub->backend_mutex);
	ret = exchange(d, m, wait);
	pthread_mutex_unlock(&d->pub->backend_mutex);
	return ret;
}

bool vu_set_queue_host_notifier(VuDev *dev, VuVirtq *vq, int fd, int size, int offset)
{
	struct vu__dev *d = vu__dev_of(dev);
	struct vu__msg m;

	if (!vu__dev_has(d, VU__PF_HOST_NOTIFIER) || !vu__dev_has(d, VU__PF_BACKEND_SEND_FD))
		return false;
	vu__msg_init(&m, VU__BACKEND_VRING_HOST_NOTIFIER_MSG);
	m.payload.area.u64 = (uint64_t)vu__queue_index(vu__queue_of(vq));
	m.size = sizeof(m.payload.area);
	if (fd < 0) {
		m.payload.area.u64 |= VU__VRING_NOFD;
	} else {
		m.payload.area.size = size;
		m.payload.area.offset = offset;
		m.fds[0] = fd;
		m.nfds = 1;
	}
	return vu__channel_request(d, &m, true) == 0;
}

void vu_config_change_msg(VuDev *dev)
{
	struct vu__msg m;

	if (!vu__dev_has(vu__dev_of(dev), VU__PF_CONFIG))
		return;
	vu__msg_init(&m, VU__BACKEND_CONFIG_CHANGE_MSG);
	(void)vu__channel_request(vu__dev_of(dev), &m, false);
}
