/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records to state.  A function each for a type of record; the table at the end knows
 * them.  Any thread.
 */
#include "state/convert.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <linux/virtio_ring.h>

#include "base/sys.h"
#include "proto/image.pb-c.h"
#include "state/convert_queue.h"

struct loader {
	struct vu__snap *s;
	struct vu__image_reader *r;
	uint64_t unknown; /* incompatible features this does not know */
	bool seen[VU__REC_NOTE + 1];
	uint32_t want_queues, want_regions, queue_room;
	uint64_t want_blob;
};

static int refuse(struct loader *l, int err, const char *fmt, ...) VU_PRINTF(3, 4);
static int refuse(struct loader *l, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->r->why, sizeof(l->r->why), fmt, ap);
	va_end(ap);
	return err;
}

static int take_text(struct loader *l, const char *from, char *to, size_t size)
{
	if (strlen(from) >= size)
		return refuse(l, -EINVAL, "a text of %zu bytes, at most %zu are possible",
			      strlen(from), size - 1);
	strcpy(to, from);
	return 0;
}
#define TAKE_TEXT(l, from, to) take_text(l, from, to, sizeof(to))

/* Says so by the names the writer gave: here there are none for what came later. */
static int refuse_unknown(struct loader *l, const Vu__Image__Inventory *m)
{
	unsigned int bit = __builtin_ctzll(l->unknown);

	for (size_t i = 0; i < m->n_features; i++) {
		if (m->features[i]->bit == bit)
			return refuse(l, -EPROTONOSUPPORT, "it uses '%.64s' (feature %u), which "
				      "this version does not know", m->features[i]->name, bit);
	}
	return refuse(l, -EPROTONOSUPPORT, "it uses feature %u, which this version does not "
		      "know", bit);
}

static int get_inventory(struct loader *l, const void *message)
{
	const Vu__Image__Inventory *m = message;
	struct vu__snap *s = l->s;
	int ret;

	if (l->unknown)
		return refuse_unknown(l, m);
	ret = TAKE_TEXT(l, m->writer, s->inventory.writer);
	if (!ret)
		ret = TAKE_TEXT(l, m->version, s->inventory.version);
	if (!ret)
		ret = TAKE_TEXT(l, m->id, s->inventory.id);
	if (!ret)
		ret = TAKE_TEXT(l, m->host, s->inventory.host);
	if (!ret)
		ret = TAKE_TEXT(l, m->program, s->inventory.program);
	if (ret)
		return ret;
	s->inventory.time_ns = m->time_ns;
	s->inventory.pid = m->pid;
	s->inventory.page_size = m->page_size;
	s->inventory.big_endian = m->big_endian;
	/* A moment of a later version is one this cannot rely on. */
	if ((unsigned int)m->moment < VU__MOMENT_COUNT)
		s->inventory.moment = (enum vu__moment)m->moment;
	if ((unsigned int)m->requests < VU__REQUESTS_COUNT)
		s->inventory.requests = (enum vu__requests)m->requests;
	l->want_queues = m->queues;
	l->want_regions = m->regions;
	l->want_blob = m->blob_bytes;
	if (m->queues > VU__SNAP_QUEUES_MAX || m->blob_bytes > VU__SNAP_BLOB_MAX)
		return refuse(l, -EINVAL, "%u queues and %llu bytes of device state, at most %u "
			      "and %u are possible", m->queues,
			      (unsigned long long)m->blob_bytes, VU__SNAP_QUEUES_MAX,
			      VU__SNAP_BLOB_MAX);
	s->queues = vu__sys.calloc(m->queues + 1, sizeof(*s->queues));
	return s->queues ? 0 : -ENOMEM;
}

static int get_device(struct loader *l, const void *message)
{
	const Vu__Image__Device *m = message;
	struct vu__snap *s = l->s;
	int ret = TAKE_TEXT(l, m->name, s->device.name);

	if (!ret)
		ret = TAKE_TEXT(l, m->socket, s->device.socket);
	if (ret)
		return ret;
	if (m->config.len > sizeof(s->device.config))
		return refuse(l, -EINVAL, "a configuration space of %zu bytes", m->config.len);
	s->device.features = m->features;
	s->device.protocol_features = m->protocol_features;
	s->device.offered_features = m->offered_features;
	s->device.offered_protocol_features = m->offered_protocol_features;
	s->device.status = m->status;
	s->device.max_queues = m->max_queues;
	if (m->config.len)
		memcpy(s->device.config, m->config.data, m->config.len);
	s->device.config_len = m->config.len;
	s->device.has_channel = m->has_channel;
	s->device.log_reply_size = m->log_reply_size;
	return 0;
}

static int get_file(struct loader *l, const Vu__Image__File *m, struct vu__snap_file *f)
{
	if (!m)
		return 0;
	f->device = m->device;
	f->inode = m->inode;
	f->size = m->size;
	f->page_size = m->page_size;
	f->seals = m->seals;
	return TAKE_TEXT(l, m->name, f->name);
}

static int get_memory(struct loader *l, const void *message)
{
	const Vu__Image__Memory *m = message;
	struct vu__snap *s = l->s;
	int ret = 0;

	if (m->n_regions > VU__SNAP_REGIONS_MAX)
		return refuse(l, -EINVAL, "%zu regions of memory", m->n_regions);
	s->regions = vu__sys.calloc(m->n_regions + 1, sizeof(*s->regions));
	if (!s->regions)
		return -ENOMEM;
	for (; !ret && s->nregions < m->n_regions; s->nregions++) {
		const Vu__Image__Memory__Region *from = m->regions[s->nregions];
		struct vu__snap_region *to = &s->regions[s->nregions];

		to->gpa = from->gpa;
		to->size = from->size;
		to->uaddr = from->uaddr;
		to->file_offset = from->file_offset;
		ret = get_file(l, from->file, &to->file);
	}
	return ret;
}

static int get_queue(struct loader *l, const void *message)
{
	if (l->s->nqueues == l->want_queues)
		return refuse(l, -EINVAL, "more queues than the %u announced", l->want_queues);
	return vu__queue_of_message(message, &l->s->queues[l->s->nqueues++], l->r->why,
				    sizeof(l->r->why));
}

static struct vu__snap_queue *find_queue(struct vu__snap *s, uint32_t index)
{
	for (uint32_t i = 0; i < s->nqueues; i++) {
		if (s->queues[i].index == index)
			return &s->queues[i];
	}
	return NULL;
}

static int get_descriptors(struct loader *l, const Vu__Image__InFlight *m,
			   struct vu__snap_queue *q)
{
	const uint32_t known = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT;

	if (m->n_descriptors > VU__SNAP_RING_MAX)
		return refuse(l, -EINVAL, "%zu descriptors in flight on queue %u",
			      m->n_descriptors, m->queue);
	q->descs = vu__sys.calloc(m->n_descriptors + 1, sizeof(*q->descs));
	if (!q->descs)
		return -ENOMEM;
	for (; q->ndescs < m->n_descriptors; q->ndescs++) {
		const Vu__Image__InFlight__Descriptor *d = m->descriptors[q->ndescs];

		if (d->flags & ~known)
			return refuse(l, -EINVAL, "a descriptor in flight with flags 0x%x",
				      d->flags);
		q->descs[q->ndescs] =
			(struct vu__snap_desc){d->address, d->length, d->flags, 0};
	}
	return 0;
}

static int get_inflight(struct loader *l, const void *message)
{
	const Vu__Image__InFlight *m = message;
	struct vu__snap_queue *q = find_queue(l->s, m->queue);
	int ret = 0;

	if (!q || q->heads || !m->n_heads || m->n_heads > VU__SNAP_RING_MAX)
		return refuse(l, -EINVAL, "%zu requests in flight on queue %u%s", m->n_heads,
			      m->queue, !q ? ", which is not here" : "");
	q->heads = vu__sys.calloc(m->n_heads, sizeof(*q->heads));
	if (!q->heads)
		return -ENOMEM;
	for (; !ret && q->nheads < m->n_heads; q->nheads++) {
		uint32_t head = m->heads[q->nheads];

		/* Whether it is one of the ring's is looked at with the ring. */
		ret = head > UINT16_MAX ? refuse(l, -EINVAL, "head %u", head) : 0;
		q->heads[q->nheads] = head;
	}
	return ret ? ret : get_descriptors(l, m, q);
}

static int get_inflight_region(struct loader *l, const void *message)
{
	const Vu__Image__InFlightRegion *m = message;
	struct vu__snap_shared *to = &l->s->inflight;

	to->present = true;
	to->size = m->size;
	to->file_offset = m->file_offset;
	to->queues = m->queues;
	to->queue_size = m->queue_size;
	return get_file(l, m->file, &to->file);
}

static int get_dirty_log(struct loader *l, const void *message)
{
	const Vu__Image__DirtyLog *m = message;
	struct vu__snap_shared *to = &l->s->log;

	to->present = true;
	to->size = m->size;
	to->file_offset = m->file_offset;
	to->data = m->data;
	return get_file(l, m->file, &to->file);
}

/* Grows with what arrives, whatever was announced. */
static int get_blob(struct loader *l, const void *message)
{
	const Vu__Image__Blob *m = message;
	struct vu__snap *s = l->s;
	uint8_t *bigger;
	int ret;

	if (m->offset != s->blob.len || m->data.len > l->want_blob - s->blob.len ||
	    (s->blob.present && !m->data.len))
		return refuse(l, -EINVAL, "device state at %llu after %llu of %llu bytes",
			      (unsigned long long)m->offset, (unsigned long long)s->blob.len,
			      (unsigned long long)l->want_blob);
	if (!s->blob.present) {
		ret = TAKE_TEXT(l, m->name, s->blob.name);
		if (ret)
			return ret;
		s->blob.version = m->version;
		s->blob.present = true;
	}
	bigger = realloc(s->blob.data, s->blob.len + m->data.len + 1);
	if (!bigger)
		return -ENOMEM;
	s->blob.data = bigger;
	if (m->data.len)
		memcpy(bigger + s->blob.len, m->data.data, m->data.len);
	s->blob.len += m->data.len;
	return 0;
}

static int get_note(struct loader *l, const void *message)
{
	const Vu__Image__Note *m = message;
	struct vu__snap *s = l->s;
	struct vu__snap_note *n;
	int ret;

	if (s->nnotes == VU__SNAP_NOTES_MAX)
		return refuse(l, -EINVAL, "more than %u notes", VU__SNAP_NOTES_MAX);
	if (!s->notes)
		s->notes = vu__sys.calloc(VU__SNAP_NOTES_MAX, sizeof(*s->notes));
	if (!s->notes)
		return -ENOMEM;
	n = &s->notes[s->nnotes++];
	ret = TAKE_TEXT(l, m->key, n->key);
	return ret ? ret : TAKE_TEXT(l, m->value, n->value);
}

static const struct part {
	const ProtobufCMessageDescriptor *message;
	int (*get)(struct loader *l, const void *message);
	size_t limit; /* of bytes: a message in memory is larger than on the wire */
	bool once;
} parts[VU__REC_NOTE + 1] = {
	[VU__REC_INVENTORY] = {&vu__image__inventory__descriptor, get_inventory, 16384, true},
	[VU__REC_DEVICE] = {&vu__image__device__descriptor, get_device, 16384, true},
	[VU__REC_MEMORY] = {&vu__image__memory__descriptor, get_memory, 262144, true},
	[VU__REC_QUEUE] = {&vu__image__queue__descriptor, get_queue, 16384, false},
	[VU__REC_INFLIGHT] = {&vu__image__in_flight__descriptor, get_inflight, 1048576, false},
	[VU__REC_INFLIGHT_REGION] = {&vu__image__in_flight_region__descriptor,
				     get_inflight_region, 16384, true},
	[VU__REC_DIRTY_LOG] = {&vu__image__dirty_log__descriptor, get_dirty_log, 16384, true},
	[VU__REC_BLOB] = {&vu__image__blob__descriptor, get_blob, VU__IMAGE_PAYLOAD_MAX, false},
	[VU__REC_NOTE] = {&vu__image__note__descriptor, get_note, 16384, false},
};

const ProtobufCMessageDescriptor *vu__snap_message(unsigned int type)
{
	return type < VU_ARRAY_SIZE(parts) ? parts[type].message : NULL;
}

static int get_record(struct loader *l, const struct vu__record *rec)
{
	const struct part *p = &parts[rec->type];
	const char *name = vu__image_type_name(rec->type);
	ProtobufCMessage *m;
	int ret;

	if (!l->seen[VU__REC_INVENTORY] && rec->type != VU__REC_INVENTORY)
		return refuse(l, -EINVAL, "its first record is not an inventory but %s", name);
	if (p->once && l->seen[rec->type])
		return refuse(l, -EINVAL, "a second %s record", name);
	if (rec->len > p->limit)
		return refuse(l, -EINVAL, "%s record of %zu bytes", name, rec->len);
	m = protobuf_c_message_unpack(p->message, NULL, rec->len, rec->payload);
	if (!m)
		return refuse(l, -EBADMSG, "record %llu, %s, does not parse",
			      (unsigned long long)rec->number, name);
	ret = p->get(l, m);
	protobuf_c_message_free_unpacked(m, NULL);
	l->seen[rec->type] = true;
	return ret;
}

static int read_records(struct loader *l)
{
	struct vu__record rec;
	int ret;

	while ((ret = vu__image_next(l->r, &rec)) > 0) {
		if (vu__snap_message(rec.type))
			ret = get_record(l, &rec);
		else if (rec.flags & VU__REC_REQUIRED)
			ret = refuse(l, -EPROTONOSUPPORT, "record %llu is of type %u, which is "
				     "required and which this version does not know",
				     (unsigned long long)rec.number, rec.type);
		if (ret < 0)
			return ret;
	}
	return ret;
}

/* What was announced is what is there. */
static int check_complete(struct loader *l)
{
	const struct vu__snap *s = l->s;

	for (unsigned int type = VU__REC_INVENTORY; type <= VU__REC_MEMORY; type++) {
		if (!l->seen[type])
			return refuse(l, -EINVAL, "it has no %s record",
				      vu__image_type_name(type));
	}
	if (s->nqueues != l->want_queues || s->nregions != l->want_regions ||
	    s->blob.len != l->want_blob)
		return refuse(l, -EINVAL, "%u of %u queues, %u of %u regions, %llu of %llu bytes "
			      "of device state are here", s->nqueues, l->want_queues,
			      s->nregions, l->want_regions, (unsigned long long)s->blob.len,
			      (unsigned long long)l->want_blob);
	return vu__snap_check(s, l->r->why, sizeof(l->r->why));
}

int vu__snap_read(struct vu__snap *s, struct vu__image_reader *r)
{
	struct loader l = {.s = s, .r = r};
	int ret;

	memset(s, 0, sizeof(*s));
	ret = vu__image_open(r);
	if (ret)
		return ret;
	/* A reader that gets here expanded has a way to. */
	l.unknown = r->incompat >> VU__IMAGE_F_COUNT << VU__IMAGE_F_COUNT;
	ret = read_records(&l);
	if (!ret)
		ret = check_complete(&l);
	if (!ret)
		return 0;
	if (!r->why[0])
		refuse(&l, ret, "%s", strerror(-ret));
	vu__snap_release(s);
	return ret;
}
