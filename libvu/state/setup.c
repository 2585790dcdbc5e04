/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fresh device made into another process's: by the handlers of the requests that a
 * front-end would have sent, so that there is one way to become something, with all its
 * checks.  Control thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/sys.h"
#include "core/split.h"
#include "state/convert_queue.h"
#include "state/memfile.h"
#include "state/restore.h"
#include "state/take.h"

#define PIECE (16u << 20) /* of memory, to be mapped in at a time: about a millisecond */
#define KIND(name) VU__CONTROL__FILES__KIND__##name

/* --- descriptors --- */

static int *slot_of(struct vu__take *t, const Vu__Control__Files__File *f)
{
	unsigned int i = f->index;

	switch (f->kind) {
	case KIND(SOCKET):
		return &t->sock;
	case KIND(LISTENER):
		return &t->listener;
	case KIND(CHANNEL):
		return &t->channel;
	case KIND(LOG):
		return &t->log;
	case KIND(LOG_CALL):
		return &t->log_call;
	case KIND(INFLIGHT):
		return &t->inflight;
	case KIND(REGION):
		return i < t->snap.nregions ? &t->regions[i] : NULL;
	case KIND(KICK):
		return i < VU__MAX_QUEUES ? &t->queues[i].kick : NULL;
	case KIND(CALL):
		return i < VU__MAX_QUEUES ? &t->queues[i].call : NULL;
	case KIND(ERR):
		return i < VU__MAX_QUEUES ? &t->queues[i].err : NULL;
	default:
		return NULL;
	}
}

int vu__take_file(struct vu__take *t, const Vu__Control__Files__File *f, int fd)
{
	int *slot = slot_of(t, f);

	if (!slot)
		return -EPROTO;
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
	if (f->kind == KIND(KICK))
		t->queues[f->index].kick_kind = -1;
	return 0;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vu__take_close_files(struct vu__take *t)
{
	close_one(&t->sock);
	close_one(&t->listener);
	close_one(&t->channel);
	close_one(&t->log);
	close_one(&t->log_call);
	close_one(&t->inflight);
	for (uint32_t i = 0; t->regions && i < t->snap.nregions; i++)
		close_one(&t->regions[i]);
	for (unsigned int i = 0; i < VU__MAX_QUEUES; i++) {
		close_one(&t->queues[i].kick);
		close_one(&t->queues[i].call);
		close_one(&t->queues[i].err);
	}
}

/* --- requests --- */

/* Runs a handler as if the front-end had sent this; takes *@fd along, if not NULL. */
static int request(struct vu__dev *d, vu__handler *handler, struct vu__msg *m, int *fd)
{
	int ret;

	d->why[0] = '\0';
	if (fd && *fd >= 0) {
		m->fds[0] = vu__steal_fd(fd);
		m->nfds = 1;
	}
	ret = handler(d, m);
	vu__msg_close_fds(m);
	if (ret >= 0)
		return 0;
	return d->why[0] ? ret : vu__refuse(d, ret, "%s: %s",
					    vu__msg_name(VU__TO_BACKEND, m->request),
					    strerror(-ret));
}

static int request_u64(struct vu__dev *d, vu__handler *handler, uint32_t number,
		       uint64_t value, int *fd)
{
	struct vu__msg m;

	vu__msg_init(&m, number);
	m.payload.u64 = value;
	return request(d, handler, &m, fd);
}

static int request_state(struct vu__dev *d, vu__handler *handler, uint32_t number,
			 unsigned int queue, unsigned int value)
{
	struct vu__msg m;

	vu__msg_init(&m, number);
	m.payload.state.index = queue;
	m.payload.state.num = value;
	return request(d, handler, &m, NULL);
}

/* --- memory and logs --- */

static int map_regions(struct vu__dev *d, struct vu__take *t, struct vu__region **regions)
{
	for (uint32_t i = 0; i < t->snap.nregions; i++) {
		const struct vu__snap_region *r = &t->snap.regions[i];
		struct vu__region_desc desc = {r->gpa, r->size, r->uaddr, r->file_offset};
		int ret;

		if (t->regions[i] < 0)
			return vu__refuse(d, -EPROTO, "region %u came without its file", i);
		ret = vu__region_new(&desc, t->regions[i], &regions[i], d->why, sizeof(d->why));
		if (ret)
			return ret;
		close_one(&t->regions[i]);
	}
	return 0;
}

static int set_up_memory(struct vu__dev *d, struct vu__take *t)
{
	VU_CLEANUP_FREE struct vu__region **regions =
		vu__sys.calloc(t->snap.nregions + 1, sizeof(*regions));
	struct vu__memmap *map = NULL;
	int ret;

	if (!regions)
		return vu__refuse(d, -ENOMEM, "out of memory");
	ret = map_regions(d, t, regions);
	if (!ret)
		ret = vu__memmap_new(regions, t->snap.nregions, &map, d->why, sizeof(d->why));
	if (!ret)
		ret = vu__memory_use(d, map);
	vu__memmap_put(map);
	for (uint32_t i = 0; i < t->snap.nregions; i++) {
		if (regions[i])
			vu__region_put(regions[i]);
	}
	return ret;
}

static int set_up_shared(struct vu__dev *d, struct vu__take *t)
{
	const struct vu__snap *s = &t->snap;
	struct vu__msg m;
	int ret = 0;

	if (s->log.present) {
		vu__msg_init(&m, VU__SET_LOG_BASE);
		m.payload.log.size = s->log.size;
		m.payload.log.offset = s->log.file_offset;
		ret = t->log < 0 ? vu__refuse(d, -EPROTO, "the dirty log came without its file") :
				   request(d, vu__req_set_log_base, &m, &t->log);
	}
	if (!ret && t->log_call >= 0)
		ret = request_u64(d, vu__req_set_log_fd, VU__SET_LOG_FD, 0, &t->log_call);
	if (!ret && s->inflight.present) {
		vu__msg_init(&m, VU__SET_INFLIGHT_FD);
		m.payload.inflight.mmap_size = s->inflight.size;
		m.payload.inflight.mmap_offset = s->inflight.file_offset;
		m.payload.inflight.num_queues = s->inflight.queues;
		m.payload.inflight.queue_size = s->inflight.queue_size;
		ret = t->inflight < 0 ?
			      vu__refuse(d, -EPROTO, "the inflight region came without its file") :
			      request(d, vu__req_set_inflight_fd, &m, &t->inflight);
	}
	if (!ret && t->channel >= 0)
		ret = request_u64(d, vu__req_set_backend_req_fd, VU__SET_BACKEND_REQ_FD, 0,
				  &t->channel);
	return ret;
}

/* --- queues --- */

static int set_address(struct vu__dev *d, const struct vu__snap_queue *q)
{
	struct vu__msg m;

	vu__msg_init(&m, VU__SET_VRING_ADDR);
	m.payload.addr.index = q->index;
	m.payload.addr.flags = q->flags;
	m.payload.addr.desc_user_addr = q->descriptors;
	m.payload.addr.used_user_addr = q->device;
	m.payload.addr.avail_user_addr = q->driver;
	m.payload.addr.log_guest_addr = q->log;
	return request(d, vu__req_set_vring_addr, &m, NULL);
}

static bool same_address(const struct vu__snap_queue *a, const struct vu__snap_queue *b)
{
	return a->has_addresses == b->has_addresses && a->descriptors == b->descriptors &&
	       a->driver == b->driver && a->device == b->device && a->log == b->log &&
	       a->flags == b->flags;
}

/* Before the pause, as much as the front-end's request would do. */
static int check_kick(struct vu__take *t, struct vu__dev *d, unsigned int i)
{
	int kind;

	if (t->queues[i].kick < 0 || t->queues[i].kick_kind >= 0)
		return 0;
	kind = vu__take_event(t->queues[i].kick);
	if (kind < 0)
		return vu__refuse(d, kind, "queue %u: kick eventfd: %s", i, strerror(-kind));
	t->queues[i].kick_kind = kind;
	return 0;
}

static int set_up_queue(struct vu__control *c, const struct vu__snap_queue *q,
			  const struct vu__snap_queue *was)
{
	struct vu__take *t = c->take;
	struct vu__dev *d = c->d;
	unsigned int i = q->index;
	int ret = 0;

	if (q->size && (!was || q->size != was->size))
		ret = request_state(d, vu__req_set_vring_num, VU__SET_VRING_NUM, i, q->size);
	if (!ret && q->has_addresses && (!was || !same_address(q, was)))
		ret = set_address(d, q);
	if (!ret && q->size)
		ret = vu__ring_prepare(&d->queues[i].ring, q->size,
				       vu__queue_is_packed(&d->queues[i]));
	/* Made now, it is there when the queue starts. */
	if (!ret && q->size)
		(void)vu__telemetry_annex(d->telemetry, i, q->size);
	if (!ret)
		ret = check_kick(t, d, i);
	if (!ret && t->queues[i].call >= 0)
		ret = request_u64(d, vu__req_set_vring_call, VU__SET_VRING_CALL, i,
				  &t->queues[i].call);
	if (!ret && t->queues[i].err >= 0)
		ret = request_u64(d, vu__req_set_vring_err, VU__SET_VRING_ERR, i,
				  &t->queues[i].err);
	if (!ret && q->enabled != !!d->pub->vq[i].enable)
		ret = request_state(d, vu__req_set_vring_enable, VU__SET_VRING_ENABLE, i,
				    q->enabled);
	if (!ret && !was && q->started && d->ext.queue_prepare)
		d->ext.queue_prepare(d->pub, i);
	return ret;
}

int vu__take_set_up(struct vu__control *c)
{
	struct vu__take *t = c->take;
	struct vu__dev *d = c->d;
	const struct vu__snap *s = &t->snap;
	int ret = request_u64(d, vu__req_set_protocol_features, VU__SET_PROTOCOL_FEATURES,
			      s->device.protocol_features, NULL);

	if (!ret)
		ret = request_u64(d, vu__req_set_features, VU__SET_FEATURES, s->device.features,
				  NULL);
	d->log_reply_size = s->device.log_reply_size;
	if (!ret)
		ret = set_up_memory(d, t);
	if (!ret)
		ret = set_up_shared(d, t);
	for (uint32_t i = 0; !ret && i < s->nqueues; i++)
		ret = set_up_queue(c, &s->queues[i], NULL);
	return ret;
}

static int check_ring(struct vu__control *c, const struct vu__snap_queue *q)
{
	struct vu__queue *queue = &c->d->queues[q->index];
	VuRing ring;
	int ret;

	if (!q->size || !q->has_addresses)
		return 0;
	ret = vu__queue_resolve(queue, c->d->map, &ring);
	/* A packed one does not say where it is used. */
	if (ret || q->broken[0] || q->packed)
		return ret;
	if (vu__split_used_idx(ring.used) != q->used)
		return vu__refuse(c->d, -EPROTO, "queue %u: its used index is %u, not %u",
				  q->index, vu__split_used_idx(ring.used), q->used);
	return 0;
}

int vu__take_start_queue(struct vu__control *c, const struct vu__snap_queue *q)
{
	struct vu__dev *d = c->d;
	unsigned int i = q->index;
	uint32_t base = q->packed ? vu__snap_avail(q) | (uint32_t)vu__snap_used(q) << 16 :
				    q->last_avail;
	int ret = request_state(d, vu__req_set_vring_base, VU__SET_VRING_BASE, i, base);

	if (!ret)
		ret = vu__queue_use_kick(&d->queues[i], vu__steal_fd(&c->take->queues[i].kick),
					 c->take->queues[i].kick_kind > 0);
	if (!ret && q->broken[0])
		vu__ring_break(&d->queues[i].ring, "%s", q->broken);
	return ret;
}

/* --- the offer --- */

static const struct vu__snap_queue *find_queue(const struct vu__snap *s, uint32_t index)
{
	for (uint32_t i = 0; i < s->nqueues; i++) {
		if (s->queues[i].index == index)
			return &s->queues[i];
	}
	return NULL;
}

/* The queues' last description, in place of the first. */
static int read_queues(struct vu__control *c, const Vu__Control__Offer *o)
{
	struct vu__dev *d = c->d;
	struct vu__take *t = c->take;
	VU_CLEANUP_SNAP struct vu__snap s = {0};
	int ret = 0;

	if (o->n_queues > d->pub->max_queues)
		return vu__refuse(d, -EPROTO, "%zu queues", o->n_queues);
	s.queues = vu__sys.calloc(o->n_queues + 1, sizeof(*s.queues));
	if (!s.queues)
		return vu__refuse(d, -ENOMEM, "out of memory");
	for (; !ret && s.nqueues < o->n_queues; s.nqueues++)
		ret = vu__queue_of_message(o->queues[s.nqueues], &s.queues[s.nqueues], d->why,
					   sizeof(d->why));
	s.device.max_queues = d->pub->max_queues;
	s.device.features = t->snap.device.features;
	s.device.protocol_features = t->snap.device.protocol_features;
	s.regions = t->snap.regions;
	s.nregions = t->snap.nregions;
	if (!ret)
		ret = vu__snap_check(&s, d->why, sizeof(d->why));
	for (uint32_t i = 0; !ret && i < s.nqueues; i++)
		ret = set_up_queue(c, &s.queues[i],
					    find_queue(&t->snap, s.queues[i].index));
	/* Only the queues change places. */
	s.regions = NULL;
	s.nregions = 0;
	if (!ret) {
		struct vu__snap_queue *old = t->snap.queues;
		uint32_t n = t->snap.nqueues;

		t->snap.queues = s.queues;
		t->snap.nqueues = s.nqueues;
		s.queues = old;
		s.nqueues = n;
	}
	return ret;
}

static int rehearse(struct vu__control *c, const Vu__Control__Handover *m)
{
	uint8_t *room = c->take->room;
	size_t len = vu__control__handover__get_packed_size(m);
	Vu__Control__Handover *read;
	int ret;

	if (len > VU__HANDOVER_PACKET)
		return vu__refuse(c->d, -EMSGSIZE, "its queues do not fit a packet");
	vu__control__handover__pack(m, room);
	read = vu__control__handover__unpack(NULL, len, room);
	if (!read)
		return vu__refuse(c->d, -ENOMEM, "out of memory");
	ret = read_queues(c, read->offer);
	vu__control__handover__free_unpacked(read, NULL);
	return ret;
}

/*
 * What the offer will be refused for shows before the pause.  And what is run for the first
 * time takes long: pages of the program, of the heap, of the telemetry.
 */
int vu__take_rehearse(struct vu__control *c)
{
	struct vu__take *t = c->take;
	struct vu__telemetry *telemetry = c->d->telemetry;
	Vu__Control__Handover m = VU__CONTROL__HANDOVER__INIT;
	Vu__Control__Offer offer = VU__CONTROL__OFFER__INIT;
	VU_CLEANUP_FREE struct vu__queue_message *queues =
		vu__sys.calloc(t->snap.nqueues + 1, sizeof(*queues));
	VU_CLEANUP_FREE Vu__Image__Queue **list =
		vu__sys.calloc(t->snap.nqueues + 1, sizeof(*list));

	if (!queues || !list)
		return vu__refuse(c->d, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < t->snap.nqueues; i++) {
		vu__queue_to_message(&t->snap.queues[i], &queues[i]);
		list[i] = &queues[i].m;
	}
	offer.queues = list;
	offer.n_queues = t->snap.nqueues;
	m.what_case = VU__CONTROL__HANDOVER__WHAT_OFFER;
	m.offer = &offer;
#ifdef MADV_POPULATE_WRITE
	(void)madvise(telemetry->head, telemetry->len, MADV_POPULATE_WRITE);
#else
	(void)telemetry;
#endif
	return rehearse(c, &m);
}

/* A small one has come in the packet itself. */
static int load_data(struct vu__control *c, const ProtobufCBinaryData *data)
{
	const struct vu__snap *t = &c->take->snap;
	struct vu__snap s = {.blob = {.present = true, .version = t->blob.version,
				      .data = data->data, .len = data->len}};

	return t->blob.present ? vu__snap_load_blob(&s, c->d) :
				 vu__refuse(c->d, -EPROTO, "state of a device that has none");
}

static int load_blob(struct vu__control *c, int fd)
{
	VU_CLEANUP_SNAP struct vu__snap s = {0};
	int ret = vu__memfile_read(fd, &s, c->d->why, sizeof(c->d->why));

	return ret ? ret : vu__snap_load_blob(&s, c->d);
}

int vu__take_check_offer(struct vu__control *c, struct vu__handover_packet *p)
{
	const Vu__Control__Offer *o = p->m->offer;
	struct vu__take *t = c->take;
	int ret = 0;

	if (o->n_files + o->state != p->nfds)
		return vu__refuse(c->d, -EPROTO, "an offer with %u descriptors, not %zu", p->nfds,
				  o->n_files + o->state);
	for (size_t i = 0; !ret && i < o->n_files; i++) {
		ret = vu__take_file(t, o->files[i], p->fds[i]);
		if (!ret)
			p->fds[i] = -1;
	}
	if (!ret)
		ret = read_queues(c, o);
	for (uint32_t i = 0; !ret && i < t->snap.nqueues; i++) {
		if (t->snap.queues[i].started)
			ret = check_ring(c, &t->snap.queues[i]);
	}
	if (!ret && o->state)
		ret = load_blob(c, p->fds[o->n_files]);
	else if (!ret && o->data.len)
		ret = load_data(c, &o->data);
	return ret;
}

/* --- pages --- */

/* A read of each page maps it, as the newer advice does in one call. */
static void touch(const uint8_t *from, size_t len, size_t page)
{
	for (size_t at = 0; at < len; at += page)
		(void)*(const volatile uint8_t *)(from + at);
}

static void populate(uint8_t *from, size_t len, size_t page)
{
#ifdef MADV_POPULATE_READ
	if (!madvise(from, len, MADV_POPULATE_READ))
		return;
#endif
	touch(from, len, page);
}

/* Only pages that are there already: to look at the others would make them. */
static void populate_resident(uint8_t *from, size_t len)
{
	size_t page = sysconf(_SC_PAGESIZE), n = len / page, begin = 0;
	unsigned char there[PIECE / 4096];

	if (n > sizeof(there) || mincore(from, len, there))
		return;
	for (size_t i = 0; i <= n; i++) {
		if (i < n && there[i] & 1)
			continue;
		if (i > begin)
			populate(from + begin * page, (i - begin) * page, page);
		begin = i + 1;
	}
}

bool vu__take_populate(struct vu__control *c)
{
	struct vu__take *t = c->take;
	const struct vu__memmap *map = c->d->map;

	while (t->region < map->n) {
		const struct vu__region *r = map->regions[t->region];
		size_t left = r->map_len - t->at;

		if (left) {
			size_t piece = VU_MIN(left, PIECE);

			populate_resident((uint8_t *)r->map_addr + t->at, piece);
			t->at += piece;
			return true;
		}
		t->region++;
		t->at = 0;
	}
	return false;
}
