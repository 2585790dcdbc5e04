/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State to records: a function each for a type of record.  Any thread. */
#include "state/convert.h"

#include <errno.h>

#include "base/sys.h"
#include "proto/image.pb-c.h"
#include "state/convert_queue.h"

static int put(struct vu__image_writer *w, unsigned int type, unsigned int flags,
	       const ProtobufCMessage *m)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	VU_CLEANUP_FREE uint8_t *payload = vu__sys.calloc(1, len + 1);

	if (!payload)
		return -ENOMEM;
	protobuf_c_message_pack(m, payload);
	return vu__image_put(w, type, flags, payload, len);
}

static int put_required(struct vu__image_writer *w, unsigned int type,
			const ProtobufCMessage *m)
{
	return put(w, type, VU__REC_REQUIRED, m);
}

static uint64_t incompat_of(const struct vu__snap *s)
{
	uint64_t bits = s->blob.present ? VU_BIT(VU__IMAGE_F_BLOB) : 0;

	for (uint32_t i = 0; i < s->nqueues; i++) {
		if (s->queues[i].nheads)
			bits |= VU_BIT(VU__IMAGE_F_INFLIGHT);
		if (s->queues[i].packed)
			bits |= VU_BIT(VU__IMAGE_F_PACKED);
	}
	return bits;
}

static int put_inventory(const struct vu__snap *s, uint64_t incompat,
			 struct vu__image_writer *w)
{
	Vu__Image__Inventory m = VU__IMAGE__INVENTORY__INIT;
	Vu__Image__Inventory__Feature features[VU__IMAGE_F_COUNT];
	Vu__Image__Inventory__Feature *list[VU__IMAGE_F_COUNT];

	m.writer = (char *)s->inventory.writer;
	m.version = (char *)s->inventory.version;
	m.id = (char *)s->inventory.id;
	m.time_ns = s->inventory.time_ns;
	m.host = (char *)s->inventory.host;
	m.pid = s->inventory.pid;
	m.program = (char *)s->inventory.program;
	m.page_size = s->inventory.page_size;
	m.big_endian = s->inventory.big_endian;
	m.moment = (Vu__Image__Inventory__Moment)s->inventory.moment;
	m.requests = (Vu__Image__Inventory__Requests)s->inventory.requests;
	m.queues = s->nqueues;
	m.regions = s->nregions;
	m.blob_bytes = s->blob.len;
	m.features = list;
	for (unsigned int bit = 0; bit < VU__IMAGE_F_COUNT; bit++) {
		if (!vu__has_bit(incompat, bit))
			continue;
		vu__image__inventory__feature__init(&features[bit]);
		features[bit].bit = bit;
		features[bit].name = (char *)vu__image_incompat_name(bit);
		list[m.n_features++] = &features[bit];
	}
	return put_required(w, VU__REC_INVENTORY, &m.base);
}

static int put_device(const struct vu__snap *s, struct vu__image_writer *w)
{
	Vu__Image__Device m = VU__IMAGE__DEVICE__INIT;

	m.name = (char *)s->device.name;
	m.features = s->device.features;
	m.protocol_features = s->device.protocol_features;
	m.offered_features = s->device.offered_features;
	m.offered_protocol_features = s->device.offered_protocol_features;
	m.status = s->device.status;
	m.max_queues = s->device.max_queues;
	m.config.data = (uint8_t *)s->device.config;
	m.config.len = s->device.config_len;
	m.has_channel = s->device.has_channel;
	m.socket = (char *)s->device.socket;
	m.log_reply_size = s->device.log_reply_size;
	return put_required(w, VU__REC_DEVICE, &m.base);
}

static void make_file(const struct vu__snap_file *f, Vu__Image__File *m)
{
	vu__image__file__init(m);
	m->device = f->device;
	m->inode = f->inode;
	m->size = f->size;
	m->page_size = f->page_size;
	m->seals = f->seals;
	m->name = (char *)f->name;
}

/* A region's message and the file's in it, side by side. */
struct region_message {
	Vu__Image__Memory__Region m;
	Vu__Image__File file;
};

static int put_memory(const struct vu__snap *s, struct vu__image_writer *w)
{
	Vu__Image__Memory m = VU__IMAGE__MEMORY__INIT;
	VU_CLEANUP_FREE struct region_message *all =
		vu__sys.calloc(s->nregions + 1, sizeof(*all));
	VU_CLEANUP_FREE Vu__Image__Memory__Region **list =
		vu__sys.calloc(s->nregions + 1, sizeof(*list));

	if (!all || !list)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->nregions; i++) {
		const struct vu__snap_region *r = &s->regions[i];

		vu__image__memory__region__init(&all[i].m);
		all[i].m.gpa = r->gpa;
		all[i].m.size = r->size;
		all[i].m.uaddr = r->uaddr;
		all[i].m.file_offset = r->file_offset;
		make_file(&r->file, &all[i].file);
		all[i].m.file = &all[i].file;
		list[i] = &all[i].m;
	}
	m.regions = list;
	m.n_regions = s->nregions;
	return put_required(w, VU__REC_MEMORY, &m.base);
}

static int put_queue(const struct vu__snap_queue *q, struct vu__image_writer *w)
{
	struct vu__queue_message m;

	return put_required(w, VU__REC_QUEUE, vu__queue_to_message(q, &m));
}

static int make_descriptors(const struct vu__snap_queue *q,
			    Vu__Image__InFlight__Descriptor **bodies,
			    Vu__Image__InFlight__Descriptor ***list)
{
	*bodies = vu__sys.calloc(q->ndescs + 1, sizeof(**bodies));
	*list = vu__sys.calloc(q->ndescs + 1, sizeof(**list));
	if (!*bodies || !*list)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->ndescs; i++) {
		Vu__Image__InFlight__Descriptor *d = &(*bodies)[i];

		vu__image__in_flight__descriptor__init(d);
		d->address = q->descs[i].addr;
		d->length = q->descs[i].len;
		d->flags = q->descs[i].flags;
		(*list)[i] = d;
	}
	return 0;
}

static int put_inflight(const struct vu__snap_queue *q, struct vu__image_writer *w)
{
	Vu__Image__InFlight m = VU__IMAGE__IN_FLIGHT__INIT;
	VU_CLEANUP_FREE Vu__Image__InFlight__Descriptor *bodies = NULL;
	VU_CLEANUP_FREE Vu__Image__InFlight__Descriptor **list = NULL;
	VU_CLEANUP_FREE uint32_t *heads = NULL;

	if (!q->nheads)
		return 0;
	if (make_descriptors(q, &bodies, &list))
		return -ENOMEM;
	heads = vu__sys.calloc(q->nheads, sizeof(*heads));
	if (!heads)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->nheads; i++)
		heads[i] = q->heads[i];
	m.queue = q->index;
	m.heads = heads;
	m.n_heads = q->nheads;
	m.descriptors = list;
	m.n_descriptors = q->ndescs;
	return put_required(w, VU__REC_INFLIGHT, &m.base);
}

static int put_shared(const struct vu__snap *s, struct vu__image_writer *w)
{
	Vu__Image__InFlightRegion region = VU__IMAGE__IN_FLIGHT_REGION__INIT;
	Vu__Image__DirtyLog log = VU__IMAGE__DIRTY_LOG__INIT;
	Vu__Image__File file;
	int ret = 0;

	if (s->inflight.present) {
		region.size = s->inflight.size;
		region.file_offset = s->inflight.file_offset;
		region.queues = s->inflight.queues;
		region.queue_size = s->inflight.queue_size;
		make_file(&s->inflight.file, &file);
		region.file = &file;
		ret = put_required(w, VU__REC_INFLIGHT_REGION, &region.base);
	}
	if (!ret && s->log.present) {
		log.size = s->log.size;
		log.file_offset = s->log.file_offset;
		log.data = s->log.data;
		make_file(&s->log.file, &file);
		log.file = &file;
		/* A migration does not outlive the back-end it was of. */
		ret = put(w, VU__REC_DIRTY_LOG, 0, &log.base);
	}
	return ret;
}

static int put_blob(const struct vu__snap *s, struct vu__image_writer *w)
{
	uint64_t at = 0;

	if (!s->blob.present)
		return 0;
	do {
		Vu__Image__Blob m = VU__IMAGE__BLOB__INIT;
		int ret;

		if (!at) {
			m.name = (char *)s->blob.name;
			m.version = s->blob.version;
		}
		m.offset = at;
		m.data.len = VU_MIN(s->blob.len - at, VU__SNAP_CHUNK);
		m.data.data = m.data.len ? s->blob.data + at : NULL;
		ret = put_required(w, VU__REC_BLOB, &m.base);
		if (ret)
			return ret;
		at += m.data.len;
	} while (at < s->blob.len);
	return 0;
}

static int put_note(const struct vu__snap_note *n, struct vu__image_writer *w)
{
	Vu__Image__Note m = VU__IMAGE__NOTE__INIT;

	m.key = (char *)n->key;
	m.value = (char *)n->value;
	return put(w, VU__REC_NOTE, 0, &m.base);
}

int vu__snap_write(const struct vu__snap *s, struct vu__image_writer *w)
{
	uint64_t incompat = incompat_of(s);
	int ret = vu__image_begin(w, incompat, s->nnotes ? VU_BIT(VU__IMAGE_C_NOTES) : 0);

	if (!ret)
		ret = put_inventory(s, incompat, w);
	if (!ret)
		ret = put_device(s, w);
	if (!ret)
		ret = put_memory(s, w);
	for (uint32_t i = 0; !ret && i < s->nqueues; i++)
		ret = put_queue(&s->queues[i], w);
	for (uint32_t i = 0; !ret && i < s->nqueues; i++)
		ret = put_inflight(&s->queues[i], w);
	if (!ret)
		ret = put_shared(s, w);
	if (!ret)
		ret = put_blob(s, w);
	for (uint32_t i = 0; !ret && i < s->nnotes; i++)
		ret = put_note(&s->notes[i], w);
	return ret ? ret : vu__image_end(w);
}
