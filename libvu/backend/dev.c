/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device's life: made, mirrored, broken, released.  Control thread. */
#include "backend/dev.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/sys.h"

#define DRAIN_DEFAULT_MS 10000

/* A queue as it is before the front-end has said anything. */
static void queue_init(struct vu__dev *d, unsigned int i)
{
	VuVirtq *vq = &d->pub->vq[i];
	struct vu__queue *q = &d->queues[i];

	vq->call_fd = -1;
	vq->kick_fd = -1;
	vq->err_fd = -1;
	vq->notification = true;
	q->dev = d;
	q->call_slot = -1;
	q->err_slot = -1;
	vq->priv = q;
	q->ring.vq = vq;
	q->ring.gen = 1;
	q->ring.drained_fd = -1;
}

static bool arguments_ok(const VuDev *dev, uint16_t max_queues, vu_panic_cb panic,
			 vu_set_watch_cb set_watch, vu_remove_watch_cb remove_watch,
			 const VuDevIface *iface)
{
	if (dev && max_queues && max_queues <= VU__MAX_QUEUES && panic && set_watch &&
	    remove_watch && iface)
		return true;
	vu__error("vu_init: %u queues (1 to %d are possible), or a callback is missing",
		  max_queues, VU__MAX_QUEUES);
	return false;
}

static struct vu__dev *priv_new(VuDev *dev, uint16_t max_queues, vu_read_msg_cb read_msg)
{
	struct vu__dev *d = vu__sys.calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	dev->vq = vu__sys.calloc(max_queues, sizeof(*dev->vq));
	d->queues = vu__sys.calloc(max_queues, sizeof(*d->queues));
	if (!dev->vq || !d->queues ||
	    vu__memmap_new(NULL, 0, &d->map, d->why, sizeof(d->why))) {
		free(dev->vq);
		free(d->queues);
		free(d);
		return NULL;
	}
	d->pub = dev;
	d->read_msg = read_msg;
	d->transfer = (struct vu__transfer){.fd = -1, .result = -ENODATA};
	d->drained_fd = -1;
	d->drain_timer = -1;
	d->drain_ms = DRAIN_DEFAULT_MS;
	d->log_reply_size = sizeof(struct vu__log_payload);
	pthread_mutex_init(&d->log_lock, NULL);
	vu__postcopy_init(&d->postcopy);
	return d;
}

/* The memory, once nothing is in it any more. */
static void release(VuDev *dev)
{
	struct vu__dev *d = vu__dev_of(dev);

	pthread_mutex_destroy(&dev->slave_mutex);
	free(d->queues);
	free(dev->vq);
	free(d);
	dev->vq = NULL;
	dev->priv = NULL;
	dev->nregions = 0;
	dev->max_queues = 0;
	dev->sock = -1;
}

bool vu_init_read_msg(VuDev *dev, uint16_t max_queues, int socket, vu_panic_cb panic,
		      vu_read_msg_cb read_msg, vu_set_watch_cb set_watch,
		      vu_remove_watch_cb remove_watch, const VuDevIface *iface)
{
	if (!arguments_ok(dev, max_queues, panic, set_watch, remove_watch, iface))
		return false;
	memset(dev, 0, sizeof(*dev));
	dev->priv = priv_new(dev, max_queues, read_msg);
	if (!dev->priv) {
		vu__error("vu_init: out of memory");
		return false;
	}
	dev->sock = socket;
	dev->max_queues = max_queues;
	dev->panic = panic;
	dev->set_watch = set_watch;
	dev->remove_watch = remove_watch;
	dev->iface = iface;
	dev->log_call_fd = -1;
	dev->slave_fd = -1;
	dev->inflight_info.fd = -1;
	dev->postcopy_ufd = -1;
	pthread_mutex_init(&dev->slave_mutex, NULL);
	for (unsigned int i = 0; i < max_queues; i++)
		queue_init(dev->priv, i);
	if (vu__show_begin(dev->priv)) {
		vu__error("vu_init: out of memory");
		release(dev);
		return false;
	}
	for (unsigned int i = 0; vu__services[i]; i++)
		vu__services[i]->begin(dev->priv, &dev->priv->service_data[i]);
	return true;
}

bool vu_init(VuDev *dev, uint16_t max_queues, int socket, vu_panic_cb panic,
	     vu_set_watch_cb set_watch, vu_remove_watch_cb remove_watch,
	     const VuDevIface *iface)
{
	return vu_init_read_msg(dev, max_queues, socket, panic, NULL, set_watch, remove_watch,
				iface);
}

static void close_slot(int *slot)
{
	if (*slot >= 0)
		close(*slot);
	*slot = -1;
}

static void queue_release(struct vu__queue *q)
{
	VuVirtq *vq = vu__queue_pub(q);

	vu__queue_end_stop(q);
	close_slot(&q->call_slot);
	close_slot(&q->err_slot);
	vq->call_fd = -1;
	vq->err_fd = -1;
	vu__ring_destroy(&q->ring);
}

void vu_deinit(VuDev *dev)
{
	struct vu__dev *d = vu__dev_of(dev);

	if (!d)
		return;
	for (unsigned int i = 0; vu__services[i]; i++)
		vu__services[i]->end(d, d->service_data[i]);
	vu__postcopy_abandon(d);
	/* The device's threads have ended, and what its callbacks need may be gone. */
	memset(&d->ext, 0, sizeof(d->ext));
	for (unsigned int i = 0; i < dev->max_queues; i++)
		queue_release(&d->queues[i]);
	vu__log_release(d);
	vu__inflight_release(d);
	vu__state_release(d);
	vu__drain_destroy(d);
	vu__channel_set(d, -1);
	vu__msg_close_fds(&d->in);
	vu__postcopy_destroy(&d->postcopy);
	vu__memmap_put(d->next_map);
	vu__memmap_put(d->map);
	vu__show_end(d);
	release(dev);
	dev->postcopy_ufd = -1;
	dev->postcopy_listening = false;
}

bool vu_reconnect(VuDev *dev, int socket)
{
	const struct vu__dev *d = vu__dev_of(dev);
	struct vu_ext_ops ext = d->ext;
	vu_read_msg_cb read_msg = d->read_msg;
	unsigned int drain_ms = d->drain_ms, log_reply_size = d->log_reply_size;
	uint16_t max_queues = dev->max_queues;
	enum vu__can_postcopy can_postcopy = d->can_postcopy;
	char name[sizeof(d->telemetry->device->name)];

	memcpy(name, d->telemetry->device->name, sizeof(name));
	vu_stop_queues(dev);
	vu_deinit(dev);
	if (!vu_init_read_msg(dev, max_queues, socket, dev->panic, read_msg, dev->set_watch,
			      dev->remove_watch, dev->iface))
		return false;
	dev->priv->ext = ext;
	dev->priv->drain_ms = drain_ms;
	dev->priv->log_reply_size = log_reply_size;
	dev->priv->can_postcopy = can_postcopy;
	vu_set_device_name(dev, name);
	return true;
}

void vu__dev_stop_queues(struct vu__dev *d)
{
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (d->pub->vq[i].started)
			vu__queue_begin_stop(&d->queues[i]);
		vu__queue_end_stop(&d->queues[i]);
	}
	d->nstopping = 0;
}

void vu_stop_queues(VuDev *dev)
{
	struct vu__dev *d = vu__dev_of(dev);

	for (unsigned int i = 0; vu__services[i]; i++)
		vu__services[i]->stop(d, d->service_data[i]);
	/* Their threads may be waiting for memory. */
	vu__postcopy_abandon(d);
	vu__dev_stop_queues(d);
}

int vu__refuse(struct vu__dev *d, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->why, sizeof(d->why), fmt, ap);
	va_end(ap);
	return err;
}

void vu__dev_panic(struct vu__dev *d, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (__atomic_exchange_n(&d->pub->broken, true, __ATOMIC_RELAXED))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vu__error("%s", text);
	vu__show_panic(d, text);
	d->pub->panic(d->pub, text);
}

void vu__dev_mirror_regions(struct vu__dev *d)
{
	VuDev *dev = d->pub;

	dev->nregions = VU_MIN(d->map->n, (unsigned int)VHOST_USER_MAX_RAM_SLOTS);
	memset(dev->regions, 0, sizeof(dev->regions));
	for (unsigned int i = 0; i < dev->nregions; i++)
		(void)vu_get_region(dev, i, &dev->regions[i]);
}

unsigned int vu_get_region_count(VuDev *dev)
{
	return vu__dev_of(dev)->map->n;
}

bool vu_get_region(VuDev *dev, unsigned int i, VuDevRegion *region)
{
	const struct vu__memmap *map = vu__dev_of(dev)->map;
	const struct vu__region *r;

	if (i >= map->n)
		return false;
	r = map->regions[i];
	region->gpa = r->desc.gpa;
	region->size = r->desc.size;
	region->qva = r->desc.uaddr;
	region->mmap_addr = (uintptr_t)r->map_addr;
	region->mmap_offset = (uint64_t)(r->host - (uint8_t *)r->map_addr);
	return true;
}

void *vu_gpa_to_va(VuDev *dev, uint64_t *plen, uint64_t guest_addr)
{
	return vu__memmap_find(vu__dev_of(dev)->map, guest_addr, plen);
}

VuVirtq *vu_get_queue(VuDev *dev, int qidx)
{
	return qidx >= 0 && qidx < dev->max_queues ? &dev->vq[qidx] : NULL;
}

/* True if the caller's structure says something in the part this library lacks. */
static bool unknown_part_used(const struct vu_ext_ops *ops)
{
	const char *bytes = (const char *)ops;

	for (size_t i = sizeof(*ops); i < ops->size; i++) {
		if (bytes[i])
			return true;
	}
	return false;
}

int vu_set_ext_ops(VuDev *dev, const struct vu_ext_ops *ops)
{
	struct vu__dev *d = vu__dev_of(dev);

	if (ops->size < sizeof(ops->size) || ops->size > 4096 || unknown_part_used(ops))
		return -EINVAL;
	memset(&d->ext, 0, sizeof(d->ext));
	memcpy(&d->ext, ops, VU_MIN(ops->size, sizeof(d->ext)));
	return 0;
}

void vu_set_drain_timeout(VuDev *dev, unsigned int ms)
{
	vu__dev_of(dev)->drain_ms = ms;
}

const char *vu_version(void)
{
	return PACKAGE_VERSION;
}
