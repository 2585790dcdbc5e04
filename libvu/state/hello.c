/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a device says of itself to a tool.  Control thread. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/sys.h"
#include "proto/control.pb-c.h"
#include "state/control.h"
#include "state/obstacles.h"
#include "state/restore.h"
#include "state/snapshot.h"

typedef Vu__Control__Info__Queue Queue;

static const char *const abilities[] = {"save", "restore", "give", "take", "dirty"};

static void describe_queue(struct vu__queue *from, Queue *q)
{
	const VuVirtq *vq = from->ring.vq;
	bool live = from->ring.can_push;

	vu__control__info__queue__init(q);
	if (live)
		vu__queue_quiesce(from);
	q->index = vu__queue_index(from);
	q->size = vq->vring.num;
	q->started = vq->started;
	q->enabled = vq->enable;
	q->in_flight = vq->inuse;
	q->completed = vq->used_idx;
	q->broken = from->ring.broken;
	q->held = vq->started && live && !from->ring.open && !from->ring.broken[0];
	if (live)
		vu__queue_resume(from);
}

/* An array and, behind it, what it points to. */
static Queue **describe_queues(struct vu__dev *d, size_t *n)
{
	unsigned int max = d->pub->max_queues;
	Queue **list = vu__sys.calloc(max, sizeof(Queue *) + sizeof(Queue));
	Queue *all = (Queue *)(void *)(list + max);

	*n = 0;
	for (unsigned int i = 0; list && i < max; i++) {
		const VuVirtq *vq = &d->pub->vq[i];

		if (!vq->vring.num && !vq->started && !vq->enable)
			continue;
		describe_queue(&d->queues[i], &all[*n]);
		list[*n] = &all[*n];
		++*n;
	}
	return list;
}

static void describe_device(struct vu__dev *d, Vu__Control__Info *info)
{
	const VuDev *dev = d->pub;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	info->library = (char *)vu_version();
	info->pid = getpid();
	info->name = (char *)vu__snapshot_name(d);
	if (!getsockopt(dev->sock, SOL_SOCKET, SO_PEERCRED, &peer, &len)) {
		info->frontend_pid = peer.pid;
		info->frontend_uid = peer.uid;
	}
	info->max_queues = dev->max_queues;
	info->features = dev->features;
	info->protocol_features = dev->protocol_features;
	info->offered_features = vu__offered_features(d);
	info->offered_protocol_features = vu__offered_protocol_features(d);
	info->regions = d->map->n;
	for (unsigned int i = 0; i < d->map->n; i++)
		info->memory += d->map->regions[i]->desc.size;
	info->logging = d->log && d->log_data;
	info->watched = d->shadow != NULL;
	info->has_state = d->ext.state_name && d->ext.save_state;
	info->fresh = vu__is_fresh(d);
}

void vu__request_hello(struct vu__control *c, const Vu__Control__Request *r,
		       int fds[VU__CONTROL_FDS])
{
	Vu__Control__Reply reply = VU__CONTROL__REPLY__INIT;
	Vu__Control__Info info = VU__CONTROL__INFO__INIT;
	struct vu__obstacles obstacles;
	char *texts[VU__OBSTACLES];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = "";
	VU_CLEANUP_FREE Queue **queues = NULL;

	(void)r;
	(void)fds;
	describe_device(c->d, &info);
	vu__snapshot_socket(c->d->pub->sock, path, sizeof(path));
	info.socket = path;
	info.number = c->d->number;
	info.queues = queues = describe_queues(c->d, &info.n_queues);
	info.can = (char **)abilities;
	info.n_can = VU_ARRAY_SIZE(abilities);
	vu__find_obstacles(c->d, &obstacles);
	for (unsigned int i = 0; i < obstacles.n; i++)
		texts[i] = obstacles.why[i];
	info.obstacles = texts;
	info.n_obstacles = obstacles.n;
	info.held = (char *)(c->d->held && c->job ? c->job->name : "");
	info.restored = (char *)vu__restored_id(c->d);
	reply.what_case = VU__CONTROL__REPLY__WHAT_INFO;
	reply.info = &info;
	vu__control_reply(c, &reply, NULL, 0);
}
