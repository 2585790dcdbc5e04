/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log of a migration: SET_LOG_BASE, SET_LOG_FD, and who marks what in it.
 * "Migration", "VHOST_USER_SET_LOG_BASE".  Control thread, but vu_log_write().
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

#include "backend/dev.h"
#include "base/fd.h"
#include "base/log.h"

/* It may leave its log here and stop using it, as after a migration that was cancelled. */
static bool front_end_logs(const struct vu__dev *d)
{
	bool logs = vu__has_bit(d->pub->features, VU__F_LOG_ALL);

	for (unsigned int i = 0; !logs && i < d->pub->max_queues; i++)
		logs = d->queues[i].has_addr &&
		       vu__has_bit(d->pub->vq[i].vra.flags, VHOST_VRING_F_LOG);
	return d->log && logs;
}

void vu__log_apply(struct vu__dev *d)
{
	bool data = vu__has_bit(d->pub->features, VU__F_LOG_ALL), on = d->log && data;

	pthread_mutex_lock(&d->log_lock);
	d->log_data = data;
	pthread_mutex_unlock(&d->log_lock);
	if (on != d->logging) {
		vu__tell(d, VU_TELEMETRY_LOG, -1, 0, on);
		d->logging = on;
	}
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		struct vu__queue *q = &d->queues[i];

		if (q->ring.can_push)
			vu__queue_quiesce(q);
		if (d->shadow && !front_end_logs(d))
			vu__ring_set_log(&q->ring, d->shadow[i], true, -1);
		else
			vu__ring_set_log(&q->ring, d->log, data, d->pub->log_call_fd);
		if (q->ring.can_push)
			vu__queue_resume(q);
	}
}

/*
 * A shadow log that has no room must not break the connection as a real one would: it has
 * room for all there is, or it goes.
 */
static bool shadow_fits(struct vu__dev *d, const struct vu__log *log,
			const struct vu__memmap *map)
{
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (d->queues[i].has_addr &&
		    vu__has_bit(d->pub->vq[i].vra.flags, VHOST_VRING_F_LOG))
			return false;
	}
	return !vu__log_check_map(d, log, map);
}

int vu__log_shadow(struct vu__dev *d, struct vu__log **logs)
{
	if (front_end_logs(d) || d->shadow)
		return -EBUSY;
	if (!shadow_fits(d, logs[0], d->map))
		return -ENOSPC;
	d->shadow = logs;
	vu__log_apply(d);
	return 0;
}

void vu__log_unshadow(struct vu__dev *d)
{
	struct vu__log **old = vu__steal_ptr(&d->shadow);

	if (!old)
		return;
	vu__log_apply(d);
	for (unsigned int i = 0; i < d->pub->max_queues; i++)
		vu__log_put(old[i]);
	free(old);
}

void vu__log_check_shadow(struct vu__dev *d, const struct vu__memmap *map)
{
	if (d->shadow && !shadow_fits(d, d->shadow[0], map))
		vu__log_unshadow(d);
}

int vu__log_check_map(struct vu__dev *d, const struct vu__log *log,
		      const struct vu__memmap *map)
{
	for (unsigned int i = 0; log && i < map->n; i++) {
		const struct vu__region_desc *r = &map->regions[i]->desc;

		if (!vu__log_covers(log, r->gpa, r->size))
			return vu__refuse(d, -ENOSPC, "the dirty log has %" PRIu64
					  " pages, the region at 0x%" PRIx64 " of 0x%" PRIx64
					  " bytes ends behind them", log->pages, r->gpa, r->size);
	}
	return 0;
}

int vu__log_check_ring(struct vu__queue *q, const struct vu__log *log)
{
	const VuVirtq *vq = vu__queue_pub(q);
	const struct vhost_vring_addr *a = &vq->vra;
	uint64_t size = vu__queue_used_size(q);

	/* A packed ring is logged where it is, and there is room for all of memory. */
	if (vu__queue_is_packed(q))
		return 0;
	if (!log || !vu__has_bit(a->flags, VHOST_VRING_F_LOG) ||
	    vu__log_covers(log, a->log_guest_addr, size))
		return 0;
	return vu__refuse(q->dev, -ENOSPC, "queue %d: the dirty log has %" PRIu64
			  " pages, its used ring at 0x%" PRIx64 " lies behind them",
			  vu__queue_index(q), log->pages, (uint64_t)a->log_guest_addr);
}

static int check_log(struct vu__dev *d, const struct vu__log *log)
{
	int ret = vu__log_check_map(d, log, d->map);

	for (unsigned int i = 0; !ret && i < d->pub->max_queues; i++) {
		if (d->queues[i].has_addr && d->pub->vq[i].started)
			ret = vu__log_check_ring(&d->queues[i], log);
	}
	return ret;
}

/* The old log has every bit that belongs there before the answer lets anyone read it. */
static void replace_log(struct vu__dev *d, struct vu__log *log)
{
	struct vu__log *old;

	pthread_mutex_lock(&d->log_lock);
	old = d->log;
	d->log = log;
	pthread_mutex_unlock(&d->log_lock);
	vu__log_apply(d);
	for (unsigned int i = 0; !old && i < d->pub->max_queues; i++) {
		struct vu__queue *q = &d->queues[i];

		if (!q->ring.can_push)
			continue;
		vu__queue_quiesce(q);
		vu__ring_mark_start(&q->ring);
		vu__queue_resume(q);
	}
	vu__log_put(old);
	d->pub->log_table = log ? log->bytes : NULL;
	d->pub->log_size = log ? log->pages / 8 : 0;
}

/*
 * The answer's size is where text and field disagree: the log echoed is what current
 * front-ends read, others want a u64 or nothing but the header.
 */
static int answer(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__log_payload echo = m->payload.log;

	vu__msg_close_fds(m);
	m->nfds = 0;
	vu__msg_make_reply(m, d->log_reply_size);
	memset(&m->payload, 0, sizeof(echo));
	if (d->log_reply_size == sizeof(echo))
		m->payload.log = echo;
	return VU__REPLY;
}

int vu__req_set_log_base(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__log *log;
	int ret;

	if (!vu__dev_has(d, VU__PF_LOG_SHMFD))
		return vu__refuse(d, -EPROTO, "a dirty log without LOG_SHMFD");
	ret = vu__log_new(m->fds[0], m->payload.log.size, m->payload.log.offset, &log, d->why,
			  sizeof(d->why));
	if (ret)
		return ret;
	ret = check_log(d, log);
	if (ret) {
		vu__log_put(log);
		return ret;
	}
	replace_log(d, log);
	return answer(d, m);
}

int vu__req_set_log_fd(struct vu__dev *d, struct vu__msg *m)
{
	VU_CLEANUP_FD int fd = vu__msg_take_fd(m, 0);
	int old, ret = vu__event_kind(fd);

	if (ret >= 0)
		ret = vu__fd_set_nonblock(fd);
	if (ret < 0)
		return vu__refuse(d, ret, "eventfd of the dirty log: %s", strerror(-ret));
	pthread_mutex_lock(&d->log_lock);
	old = d->pub->log_call_fd;
	d->pub->log_call_fd = vu__steal_fd(&fd);
	pthread_mutex_unlock(&d->log_lock);
	vu__log_apply(d);
	if (old >= 0)
		close(old);
	return VU__DONE;
}

void vu__log_too_short(struct vu__dev *d, const struct vu__log *log, uint64_t gpa,
		       uint64_t len)
{
	vu__dev_panic(d, "the dirty log has %" PRIu64 " pages, none for the %" PRIu64
		      " bytes written at 0x%" PRIx64, log->pages, len, gpa);
	/* The event loop must notice, and so must the front-end: its copy is not whole. */
	shutdown(d->pub->sock, SHUT_RDWR);
}

void vu_log_write(VuDev *dev, uint64_t gpa, uint64_t len)
{
	struct vu__dev *d = vu__dev_of(dev);
	struct vu__log *log = NULL;
	bool fits = true;

	pthread_mutex_lock(&d->log_lock);
	if (d->log && d->log_data) {
		struct vu__dirty now = {.counts = &d->telemetry->device->pages_first};

		vu__dirty_set_log(&now, d->log, true, dev->log_call_fd);
		fits = vu__dirty_add(&now, gpa, len, VU__DIRTY_DATA);
		vu__dirty_flush(&now);
		log = fits ? NULL : vu__log_get(d->log);
	}
	pthread_mutex_unlock(&d->log_lock);
	/* The device's panic callback may want the lock. */
	if (!fits)
		vu__log_too_short(d, log, gpa, len);
	vu__log_put(log);
}

int vu_set_log_reply_size(VuDev *dev, unsigned int bytes)
{
	if (bytes != 0 && bytes != sizeof(uint64_t) && bytes != sizeof(struct vu__log_payload))
		return -EINVAL;
	vu__dev_of(dev)->log_reply_size = bytes;
	return 0;
}

void vu__log_release(struct vu__dev *d)
{
	vu__log_put(vu__steal_ptr(&d->log));
	if (d->pub->log_call_fd >= 0)
		close(d->pub->log_call_fd);
	d->pub->log_call_fd = -1;
	d->pub->log_table = NULL;
	d->pub->log_size = 0;
	pthread_mutex_destroy(&d->log_lock);
}
