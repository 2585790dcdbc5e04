/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a device is shown to tools: its telemetry segment, filled in.  Control
 * thread, but where a comment says otherwise.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "backend/dev.h"
#include "base/proc.h"
#include "base/rundir.h"

/* --- the device --- */

static void show_socket(struct vu_telemetry_device_block *b, int sock)
{
	struct sockaddr_un addr = {.sun_family = AF_UNSPEC};
	socklen_t len = sizeof(addr), cred_len;
	struct ucred cred;
	struct stat st;

	b->sock_fd = sock;
	if (!fstat(sock, &st))
		b->sock_inode = st.st_ino;
	cred_len = sizeof(cred);
	if (!getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len)) {
		b->peer_pid = cred.pid > 0 ? cred.pid : 0;
		b->peer_uid = cred.uid;
	}
	/* An abstract name begins with a NUL and shows as none. */
	if (!getsockname(sock, (struct sockaddr *)&addr, &len) && addr.sun_family == AF_UNIX &&
	    len > offsetof(struct sockaddr_un, sun_path))
		snprintf(b->socket, sizeof(b->socket), "%.*s",
			 (int)(len - offsetof(struct sockaddr_un, sun_path)), addr.sun_path);
}

static void show_name(struct vu_telemetry_device_block *b, const char *name)
{
	memset(b->name, 0, sizeof(b->name));
	snprintf(b->name, sizeof(b->name), "%s", name);
}

static void show_ring(struct vu__ring *r, struct vu__telemetry *t, unsigned int i)
{
	vu__meter_use(&r->meter, &t->counters[i], t->lease, NULL);
	r->dirty.counts = &t->counters[i].pages_first;
}

int vu__show_begin(struct vu__dev *d)
{
	struct vu_telemetry_device_block *b;
	int ret;

	d->number = vu__device_number_get();
	ret = vu__telemetry_new(d->number, d->pub->max_queues, &d->telemetry);
	if (ret) {
		vu__device_number_put(d->number);
		return ret;
	}
	b = vu__telemetry_edit_device(d->telemetry);
	show_name(b, d->telemetry->head->process);
	vu__telemetry_done_device(d->telemetry);
	vu__show_connection(d);
	for (unsigned int i = 0; i < d->pub->max_queues; i++)
		show_ring(&d->queues[i].ring, d->telemetry, i);
	return 0;
}

void vu__show_connection(struct vu__dev *d)
{
	struct vu_telemetry_device_block *b = vu__telemetry_edit_device(d->telemetry);

	show_socket(b, d->pub->sock);
	b->connected = vu__telemetry_now();
	vu__telemetry_done_device(d->telemetry);
	vu__tell(d, VU_TELEMETRY_CONNECTED, -1, 0, b->peer_pid);
}

void vu__show_end(struct vu__dev *d)
{
	vu__tell(d, VU_TELEMETRY_CLOSED, -1, 0, 0);
	vu__telemetry_free(d->telemetry);
	vu__device_number_put(d->number);
}

static enum vu_telemetry_migration phase_of(const struct vu__dev *d)
{
	if (d->transfer.fd >= 0)
		return d->transfer.load ? VU_TELEMETRY_MIGRATION_LOAD :
					  VU_TELEMETRY_MIGRATION_SAVE;
	if (d->pub->postcopy_listening)
		return VU_TELEMETRY_MIGRATION_POSTCOPY_LISTEN;
	if (d->pub->postcopy_ufd >= 0)
		return VU_TELEMETRY_MIGRATION_POSTCOPY_ADVISE;
	return d->log && d->log_data ? VU_TELEMETRY_MIGRATION_LOG :
				       VU_TELEMETRY_MIGRATION_NONE;
}

void vu__show_device(struct vu__dev *d)
{
	const VuDev *dev = d->pub;
	enum vu_telemetry_migration phase = phase_of(d);
	struct vu_telemetry_device_block *b = vu__telemetry_edit_device(d->telemetry);
	bool news = b->migration != phase;

	b->features = dev->features;
	b->protocol_features = dev->protocol_features;
	b->migration = phase;
	vu__telemetry_done_device(d->telemetry);
	if (news)
		vu__tell(d, VU_TELEMETRY_MIGRATION, -1, 0, phase);
}

void vu__show_regions(struct vu__dev *d)
{
	const struct vu__memmap *map = d->map;
	struct vu_telemetry_device_block *b = vu__telemetry_edit_device(d->telemetry);

	b->regions = map->n;
	b->memory = 0;
	memset(b->region, 0, sizeof(b->region));
	for (unsigned int i = 0; i < map->n; i++) {
		const struct vu__region *r = map->regions[i];

		b->memory += r->desc.size;
		if (i < VU_TELEMETRY_REGIONS)
			b->region[i] = (struct vu_telemetry_region){
				r->desc.gpa, r->desc.size, r->desc.uaddr, (uintptr_t)r->host};
	}
	vu__telemetry_done_device(d->telemetry);
	vu__tell(d, VU_TELEMETRY_MEMORY, -1, 0, map->n);
}

void vu__show_gone(struct vu__dev *d)
{
	struct vu_telemetry_device_block *b = vu__telemetry_edit_device(d->telemetry);

	b->gone = vu__telemetry_now();
	vu__telemetry_done_device(d->telemetry);
	vu__tell(d, VU_TELEMETRY_GONE, -1, 0, 0);
}

/* Any thread. */
void vu__show_panic(struct vu__dev *d, const char *text)
{
	struct vu_telemetry_device_block *b = vu__telemetry_edit_device(d->telemetry);

	b->broken = vu__telemetry_now();
	vu__meter_add(&b->panics, 1);
	vu__telemetry_done_device(d->telemetry);
	vu__telemetry_event(d->telemetry,
			    (struct vu_telemetry_event){.kind = VU_TELEMETRY_PANIC, .queue = -1},
			    "%s", text);
}

/* Any thread. */
void vu__tell(struct vu__dev *d, enum vu_telemetry_event_kind kind, int queue, int result,
	      uint64_t value)
{
	struct vu_telemetry_event e = {
		.kind = kind, .queue = queue, .result = result, .value = value};

	vu__telemetry_event(d->telemetry, e, NULL);
}

/* --- messages --- */

uint64_t vu__show_message_begin(struct vu__dev *d, const struct vu__msg *m)
{
	struct vu_telemetry_device_block *b = d->telemetry->device;
	uint64_t now = vu__telemetry_now();

	vu__telemetry_adopt(d->telemetry);
	if (!b->control_tid || !pthread_equal(d->shown_control, pthread_self())) {
		d->shown_control = pthread_self();
		vu__meter_set(&b->control_tid, gettid());
	}
	vu__meter_add(&b->messages, 1);
	if (m->request < VU_TELEMETRY_REQUESTS)
		vu__meter_add(&b->by_request[m->request], 1);
	vu__meter_set(&b->last_message, now);
	vu__meter_set(&b->serving, m->request);
	return now;
}

void vu__show_message_end(struct vu__dev *d, uint32_t request, int queue, int result,
			  uint64_t began)
{
	struct vu_telemetry_device_block *b = d->telemetry->device;
	struct vu_telemetry_event e = {.kind = VU_TELEMETRY_MESSAGE,
				       .queue = queue,
				       .code = request,
				       .result = result < 0 ? result : 0,
				       .value = vu__telemetry_now() - began};

	vu__meter_set(&b->serving, 0);
	if (result < 0)
		vu__meter_add(&b->refused, 1);
	if (result < 0 && d->why[0])
		vu__telemetry_event(d->telemetry, e, "%s", d->why);
	else
		vu__telemetry_event(d->telemetry, e, NULL);
	vu__show_device(d);
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (queue < 0 ? d->pub->vq[i].started : (int)i == queue)
			vu__show_queue(&d->queues[i]);
	}
}

/* --- queues --- */

static uint64_t bit(bool set, uint64_t mask)
{
	return set ? mask : 0;
}

static uint64_t state_of(const struct vu__queue *q)
{
	const VuVirtq *vq = vu__queue_pub(q);
	const struct vu__ring *r = &q->ring;

	return bit(q->has_addr, VU_TELEMETRY_HAS_ADDR) |
	       bit(vq->started, VU_TELEMETRY_STARTED) |
	       bit(vq->enable, VU_TELEMETRY_ENABLED) |
	       bit(r->can_push, VU_TELEMETRY_LIVE) |
	       bit(q->stopping, VU_TELEMETRY_STOPPING) |
	       bit(r->is_packed, VU_TELEMETRY_PACKED) |
	       bit(r->event_idx, VU_TELEMETRY_EVENT_IDX) |
	       bit(r->indirect, VU_TELEMETRY_INDIRECT) |
	       bit(vq->handler, VU_TELEMETRY_HANDLER) |
	       bit(vq->inflight, VU_TELEMETRY_INFLIGHT) |
	       bit(r->dirty.log && vu__has_bit(vq->vring.flags, VHOST_VRING_F_LOG),
		   VU_TELEMETRY_LOGGED) |
	       bit(q->call_slot >= 0 && vq->call_fd < 0, VU_TELEMETRY_MASKED);
}

/* With the queue's sequence count odd. */
static void fill_in(const struct vu__queue *q, struct vu_telemetry_config *g)
{
	const VuVirtq *vq = vu__queue_pub(q);
	const struct vu__ring *r = &q->ring;

	g->state = state_of(q) | (g->state & VU_TELEMETRY_BROKEN);
	g->size = vq->vring.num;
	g->desc_uaddr = vq->vra.desc_user_addr;
	g->avail_uaddr = vq->vra.avail_user_addr;
	g->used_uaddr = vq->vra.used_user_addr;
	g->log_gpa = vq->vra.log_guest_addr;
	g->desc = r->is_packed ? (uintptr_t)r->packed.desc : (uintptr_t)vq->vring.desc;
	g->avail = r->is_packed ? (uintptr_t)r->packed.driver : (uintptr_t)vq->vring.avail;
	g->used = r->is_packed ? (uintptr_t)r->packed.device : (uintptr_t)vq->vring.used;
	g->kick_fd = vq->kick_fd;
	g->call_fd = vq->call_fd;
	g->err_fd = vq->err_fd;
	if (vq->kick_fd < 0)
		g->kick_id = -1;
}

void vu__show_queue(struct vu__queue *q)
{
	unsigned int i = vu__queue_index(q);
	struct vu_telemetry_config *g = vu__telemetry_edit_queue(q->dev->telemetry, i);

	fill_in(q, g);
	vu__telemetry_done_queue(q->dev->telemetry, i);
}

/* Looking the ids up takes longer than the rest: only when the files are others. */
void vu__show_eventfds(struct vu__queue *q)
{
	const VuVirtq *vq = vu__queue_pub(q);
	unsigned int i = vu__queue_index(q);
	struct vu_telemetry_config *g;
	int64_t kick, call, err;

	if (q->dev->hurry)
		return;
	kick = vu__proc_eventfd_id(vq->kick_fd);
	call = vu__proc_eventfd_id(vq->call_fd);
	err = vu__proc_eventfd_id(vq->err_fd);
	g = vu__telemetry_edit_queue(q->dev->telemetry, i);
	g->kick_id = kick;
	g->call_id = call;
	g->err_id = err;
	vu__telemetry_done_queue(q->dev->telemetry, i);
}

void vu__show_start(struct vu__queue *q)
{
	const VuVirtq *vq = vu__queue_pub(q);
	unsigned int i = vu__queue_index(q);
	const struct vu_telemetry_counters *c = &q->dev->telemetry->counters[i];
	struct vu_telemetry_config *g = vu__telemetry_edit_queue(q->dev->telemetry, i);
	/* Places in a packed ring say nothing of how many: those are counted from 0. */
	uint16_t avail = q->ring.is_packed ? 0 : vq->last_avail_idx;
	uint16_t used = q->ring.is_packed ? 0 : vq->used_idx;

	vu__meter_started(&q->ring.meter, avail, used);
	fill_in(q, g);
	g->state &= ~(uint64_t)VU_TELEMETRY_BROKEN;
	memset(g->broken, 0, sizeof(g->broken));
	g->generation++;
	g->start_avail = avail;
	g->start_used = used;
	g->start_taken = c->popped - c->unpopped - c->resubmitted;
	g->start_completed = c->completed;
	g->last_start = vu__telemetry_now();
	vu__telemetry_done_queue(q->dev->telemetry, i);
	vu__tell(q->dev, VU_TELEMETRY_START, i, 0, vq->last_avail_idx);
}

void vu__show_stop(struct vu__queue *q, int left)
{
	const VuVirtq *vq = vu__queue_pub(q);
	unsigned int i = vu__queue_index(q);
	struct vu_telemetry_config *g = vu__telemetry_edit_queue(q->dev->telemetry, i);

	fill_in(q, g);
	g->stop_avail = vq->last_avail_idx;
	g->last_stop = vu__telemetry_now();
	vu__telemetry_done_queue(q->dev->telemetry, i);
	vu__tell(q->dev, VU_TELEMETRY_STOP, i, left, vq->last_avail_idx);
}

void vu__show_enable(struct vu__queue *q)
{
	unsigned int i = vu__queue_index(q);
	struct vu_telemetry_config *g = vu__telemetry_edit_queue(q->dev->telemetry, i);

	g->last_enable = vu__telemetry_now();
	vu__telemetry_done_queue(q->dev->telemetry, i);
	vu__tell(q->dev, VU_TELEMETRY_ENABLE, i, 0, vu__queue_pub(q)->enable);
}

/* Queue's thread. */
void vu__show_break(struct vu__queue *q)
{
	unsigned int i = vu__queue_index(q);
	struct vu_telemetry_event e = {.kind = VU_TELEMETRY_BREAK, .queue = (int16_t)i};
	struct vu_telemetry_config *g = vu__telemetry_edit_queue(q->dev->telemetry, i);

	g->state |= VU_TELEMETRY_BROKEN;
	snprintf(g->broken, sizeof(g->broken), "%.*s", (int)sizeof(g->broken) - 1,
		 q->ring.broken);
	vu__telemetry_done_queue(q->dev->telemetry, i);
	vu__telemetry_event(q->dev->telemetry, e, "%s", q->ring.broken);
}

/* --- the public calls --- */

void vu_set_device_name(VuDev *dev, const char *name)
{
	struct vu__telemetry *t = vu__dev_of(dev)->telemetry;

	show_name(vu__telemetry_edit_device(t), name);
	vu__telemetry_done_device(t);
}

void vu_note(VuDev *dev, const char *text)
{
	vu__telemetry_event(vu__dev_of(dev)->telemetry,
			    (struct vu_telemetry_event){.kind = VU_TELEMETRY_NOTE, .queue = -1},
			    "%s", text);
}
