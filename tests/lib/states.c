/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/states.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/packed.h"
#include "core/split.h"

uint64_t states_random(struct states_rng *r)
{
	/* splitmix64 */
	uint64_t z = (r->x += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t below(struct states_rng *r, uint64_t n)
{
	return states_random(r) % n;
}

static bool coin(struct states_rng *r)
{
	return states_random(r) & 1;
}

/* Any number of bits, so that short and long encodings both happen. */
static uint64_t any(struct states_rng *r)
{
	return states_random(r) >> below(r, 64);
}

static void text(struct states_rng *r, char *to, size_t size)
{
	size_t len = coin(r) ? below(r, size) : below(r, 9);

	for (size_t i = 0; i < len; i++)
		to[i] = "abcdefgh /\"\\\n\t=0"[below(r, 16)];
	to[len] = '\0';
}
#define TEXT(r, to) text(r, to, sizeof(to))

static void make_file(struct states_rng *r, struct vu__snap_file *f)
{
	f->device = any(r);
	f->inode = any(r);
	f->size = any(r);
	f->page_size = 4096;
	f->seals = any(r);
	TEXT(r, f->name);
}

static void make_inventory(struct states_rng *r, struct vu__snap *s)
{
	TEXT(r, s->inventory.writer);
	TEXT(r, s->inventory.version);
	for (int i = 0; i < 32; i++)
		s->inventory.id[i] = "0123456789abcdef"[below(r, 16)];
	s->inventory.time_ns = states_random(r);
	TEXT(r, s->inventory.host);
	s->inventory.pid = any(r);
	TEXT(r, s->inventory.program);
	s->inventory.page_size = 4096u << below(r, 3);
	s->inventory.big_endian = coin(r);
	s->inventory.moment = below(r, VU__MOMENT_COUNT);
	s->inventory.requests = below(r, VU__REQUESTS_COUNT);
}

static void make_device(struct states_rng *r, struct vu__snap *s)
{
	TEXT(r, s->device.name);
	s->device.features = states_random(r);
	s->device.protocol_features = any(r);
	s->device.offered_features = any(r);
	s->device.offered_protocol_features = any(r);
	s->device.status = any(r);
	s->device.max_queues = below(r, 20);
	s->device.config_len = below(r, VU__SNAP_CONFIG_MAX + 1);
	for (uint32_t i = 0; i < s->device.config_len; i++)
		s->device.config[i] = states_random(r);
	s->device.has_channel = coin(r);
	TEXT(r, s->device.socket);
	s->device.log_reply_size = coin(r) ? 16 : 8;
}

static void make_regions(struct states_rng *r, struct vu__snap *s)
{
	s->nregions = 1 + below(r, 9);
	s->regions = calloc(s->nregions, sizeof(*s->regions));
	for (uint32_t i = 0; i < s->nregions; i++) {
		struct vu__snap_region *g = &s->regions[i];

		g->size = (1 + below(r, 64)) << 21;
		g->gpa = (uint64_t)i << 28 | below(r, 32) << 12;
		g->uaddr = 0x7f0000000000 + ((uint64_t)i << 32);
		g->file_offset = below(r, 1000) << 12;
		make_file(r, &g->file);
	}
}

static void make_notifier(struct states_rng *r, struct vu__snap_notifier *n)
{
	n->present = coin(r);
	if (n->present) {
		n->eventfd_id = any(r);
		n->count = any(r);
	}
}

static void make_heads(struct states_rng *r, struct vu__snap_queue *q)
{
	uint16_t *all = calloc(q->size, sizeof(*all));

	q->nheads = below(r, q->size < 300 ? q->size + 1 : 300);
	for (uint32_t i = 0; i < q->size; i++) {
		uint32_t j = below(r, i + 1);

		all[i] = all[j];
		all[j] = i;
	}
	if (q->nheads) {
		q->heads = calloc(q->nheads, sizeof(*q->heads));
		memcpy(q->heads, all, q->nheads * sizeof(*all));
	}
	q->last_avail = q->used + q->nheads;
	free(all);
}

/* Of a packed ring: the descriptors between both indices, in chains, if it is served. */
static void make_chains(struct states_rng *r, struct vu__snap_queue *q)
{
	uint16_t end;

	q->ndescs = below(r, q->size < 300 ? q->size + 1 : 300);
	end = vu__packed_step(vu__snap_used(q), q->ndescs, q->size);
	q->last_avail = vu__packed_slot(end);
	q->avail_wrap = end & VU__PACKED_WRAP;
	if (!q->started)
		q->ndescs = 0;
	if (!q->ndescs)
		return;
	q->descs = calloc(q->ndescs, sizeof(*q->descs));
	q->heads = calloc(q->ndescs, sizeof(*q->heads));
	for (uint32_t i = 0; i < q->ndescs; i++) {
		q->descs[i] = (struct vu__snap_desc){any(r), any(r), below(r, 8), 0};
		if (i + 1 == q->ndescs)
			q->descs[i].flags &= ~VRING_DESC_F_NEXT;
		if (!(q->descs[i].flags & VRING_DESC_F_NEXT))
			q->heads[q->nheads++] = any(r);
	}
}

static void make_rings(struct states_rng *r, struct vu__snap *s, struct vu__snap_queue *q)
{
	const struct vu__snap_region *g = &s->regions[below(r, s->nregions)];
	uint64_t base = s->device.protocol_features >> 21 & 1 ? g->gpa : g->uaddr;

	q->size = 1u << below(r, 10);
	q->has_addresses = true;
	q->descriptors = base + below(r, 4) * 16;
	q->driver = base + 65536 + below(r, 4) * 2;
	q->device = base + 131072 + below(r, 4) * 4;
	q->log = any(r);
	q->flags = any(r);
}

static void make_queue(struct states_rng *r, struct vu__snap *s, struct vu__snap_queue *q)
{
	q->started = coin(r);
	q->enabled = coin(r);
	q->last_avail = q->used = any(r);
	q->signalled_used = any(r);
	q->signalled_used_valid = coin(r);
	q->notification = coin(r);
	q->in_order = coin(r);
	make_notifier(r, &q->kick);
	make_notifier(r, &q->call);
	make_notifier(r, &q->err);
	if (below(r, 4) == 0)
		TEXT(r, q->broken);
	if (coin(r)) {
		make_rings(r, s, q);
		q->packed = below(r, 4) == 0;
		if (q->packed) {
			q->used_wrap = coin(r);
			q->used = below(r, q->size);
			make_chains(r, q);
		} else if (q->started && coin(r)) {
			make_heads(r, q);
		}
	}
	q->seen.present = coin(r);
	if (q->seen.present) {
		q->seen.avail_index = any(r);
		q->seen.used_index = any(r);
		q->seen.avail_flags = any(r);
		q->seen.used_flags = any(r);
		q->seen.used_event = any(r);
		q->seen.avail_event = any(r);
	}
}

static void make_queues(struct states_rng *r, struct vu__snap *s)
{
	if (!s->device.max_queues)
		return;
	s->queues = calloc(s->device.max_queues, sizeof(*s->queues));
	for (uint32_t i = 0; i < s->device.max_queues; i++) {
		if (below(r, 5) == 0)
			continue;
		s->queues[s->nqueues].index = i;
		make_queue(r, s, &s->queues[s->nqueues]);
		s->nqueues++;
	}
}

static void make_shared(struct states_rng *r, struct vu__snap_shared *m, bool inflight)
{
	m->present = coin(r);
	if (!m->present)
		return;
	m->size = 1 + any(r) / 2;
	m->file_offset = any(r) / 2;
	if (inflight) {
		m->queues = any(r);
		m->queue_size = any(r);
	} else {
		m->data = coin(r);
	}
	make_file(r, &m->file);
}

static void make_blob(struct states_rng *r, struct vu__snap *s)
{
	uint64_t big = VU__SNAP_CHUNK * 2 + 17;

	s->blob.present = coin(r);
	if (!s->blob.present)
		return;
	TEXT(r, s->blob.name);
	s->blob.version = any(r);
	s->blob.len = below(r, 8) ? below(r, 500) : below(r, 4) * VU__SNAP_CHUNK + below(r, 3);
	if (s->blob.len > big)
		s->blob.len = big;
	s->blob.data = malloc(s->blob.len + 1);
	for (uint64_t i = 0; i < s->blob.len; i++)
		s->blob.data[i] = states_random(r);
}

void states_make(struct states_rng *r, struct vu__snap *s)
{
	memset(s, 0, sizeof(*s));
	make_inventory(r, s);
	make_device(r, s);
	make_regions(r, s);
	make_queues(r, s);
	make_shared(r, &s->inflight, true);
	make_shared(r, &s->log, false);
	make_blob(r, s);
	s->nnotes = below(r, 3);
	s->notes = s->nnotes ? calloc(s->nnotes, sizeof(*s->notes)) : NULL;
	for (uint32_t i = 0; i < s->nnotes; i++) {
		TEXT(r, s->notes[i].key);
		TEXT(r, s->notes[i].value);
	}
}

/* --- comparison: by member, so that one that is forgotten on the way is named --- */

#define SAME(a, b, m)                                                                    \
	do {                                                                             \
		if ((a)->m != (b)->m)                                                    \
			return #m;                                                       \
	} while (0)
#define SAME_TEXT(a, b, m)                                                               \
	do {                                                                             \
		if (strcmp((a)->m, (b)->m))                                              \
			return #m;                                                       \
	} while (0)
#define SAME_BYTES(a, b, m, n)                                                           \
	do {                                                                             \
		if ((n) > 0 && memcmp((a)->m, (b)->m, (n)))                                  \
			return #m;                                                       \
	} while (0)
#define SAME_FILE(a, b, m)                                                               \
	do {                                                                             \
		SAME(a, b, m.device);                                                    \
		SAME(a, b, m.inode);                                                     \
		SAME(a, b, m.size);                                                      \
		SAME(a, b, m.page_size);                                                 \
		SAME(a, b, m.seals);                                                     \
		SAME_TEXT(a, b, m.name);                                                 \
	} while (0)
#define SAME_NOTIFIER(a, b, m)                                                           \
	do {                                                                             \
		SAME(a, b, m.present);                                                   \
		SAME(a, b, m.eventfd_id);                                                \
		SAME(a, b, m.count);                                                     \
	} while (0)

static const char *regions_differ(const struct vu__snap *a, const struct vu__snap *b)
{
	SAME(a, b, nregions);
	for (uint32_t i = 0; i < a->nregions; i++) {
		SAME(a, b, regions[i].gpa);
		SAME(a, b, regions[i].size);
		SAME(a, b, regions[i].uaddr);
		SAME(a, b, regions[i].file_offset);
		SAME_FILE(a, b, regions[i].file);
	}
	return NULL;
}

static const char *queue_differs(const struct vu__snap_queue *a,
				 const struct vu__snap_queue *b)
{
	SAME(a, b, index);
	SAME(a, b, size);
	SAME(a, b, packed);
	SAME(a, b, started);
	SAME(a, b, enabled);
	SAME(a, b, has_addresses);
	SAME(a, b, descriptors);
	SAME(a, b, driver);
	SAME(a, b, device);
	SAME(a, b, log);
	SAME(a, b, flags);
	SAME(a, b, last_avail);
	SAME(a, b, used);
	SAME(a, b, avail_wrap);
	SAME(a, b, used_wrap);
	SAME(a, b, signalled_used);
	SAME(a, b, signalled_used_valid);
	SAME(a, b, notification);
	SAME(a, b, in_order);
	SAME_NOTIFIER(a, b, kick);
	SAME_NOTIFIER(a, b, call);
	SAME_NOTIFIER(a, b, err);
	SAME_TEXT(a, b, broken);
	SAME(a, b, seen.present);
	SAME(a, b, seen.avail_index);
	SAME(a, b, seen.used_index);
	SAME(a, b, seen.avail_flags);
	SAME(a, b, seen.used_flags);
	SAME(a, b, seen.used_event);
	SAME(a, b, seen.avail_event);
	SAME(a, b, nheads);
	SAME_BYTES(a, b, heads, a->nheads * sizeof(*a->heads));
	SAME(a, b, ndescs);
	SAME_BYTES(a, b, descs, a->ndescs * sizeof(*a->descs));
	return NULL;
}

static const char *queues_differ(const struct vu__snap *a, const struct vu__snap *b)
{
	const char *what = NULL;

	SAME(a, b, nqueues);
	for (uint32_t i = 0; !what && i < a->nqueues; i++)
		what = queue_differs(&a->queues[i], &b->queues[i]);
	return what;
}

static const char *inventory_differs(const struct vu__snap *a, const struct vu__snap *b)
{
	SAME_TEXT(a, b, inventory.writer);
	SAME_TEXT(a, b, inventory.version);
	SAME_TEXT(a, b, inventory.id);
	SAME(a, b, inventory.time_ns);
	SAME_TEXT(a, b, inventory.host);
	SAME(a, b, inventory.pid);
	SAME_TEXT(a, b, inventory.program);
	SAME(a, b, inventory.page_size);
	SAME(a, b, inventory.big_endian);
	SAME(a, b, inventory.moment);
	SAME(a, b, inventory.requests);
	return NULL;
}

static const char *device_differs(const struct vu__snap *a, const struct vu__snap *b)
{
	SAME_TEXT(a, b, device.name);
	SAME(a, b, device.features);
	SAME(a, b, device.protocol_features);
	SAME(a, b, device.offered_features);
	SAME(a, b, device.offered_protocol_features);
	SAME(a, b, device.status);
	SAME(a, b, device.max_queues);
	SAME(a, b, device.config_len);
	SAME_BYTES(a, b, device.config, sizeof(a->device.config));
	SAME(a, b, device.has_channel);
	SAME_TEXT(a, b, device.socket);
	SAME(a, b, device.log_reply_size);
	return NULL;
}

static const char *shared_differs(const struct vu__snap_shared *a,
				  const struct vu__snap_shared *b)
{
	SAME(a, b, present);
	SAME(a, b, size);
	SAME(a, b, file_offset);
	SAME(a, b, queues);
	SAME(a, b, queue_size);
	SAME(a, b, data);
	SAME_FILE(a, b, file);
	return NULL;
}

static const char *rest_differs(const struct vu__snap *a, const struct vu__snap *b)
{
	SAME(a, b, blob.present);
	SAME_TEXT(a, b, blob.name);
	SAME(a, b, blob.version);
	SAME(a, b, blob.len);
	SAME_BYTES(a, b, blob.data, a->blob.len);
	SAME(a, b, nnotes);
	for (uint32_t i = 0; i < a->nnotes; i++) {
		SAME_TEXT(a, b, notes[i].key);
		SAME_TEXT(a, b, notes[i].value);
	}
	return NULL;
}

const char *states_differ(const struct vu__snap *a, const struct vu__snap *b)
{
	const char *what = inventory_differs(a, b);

	if (!what)
		what = device_differs(a, b);
	if (!what)
		what = regions_differ(a, b);
	if (!what)
		what = queues_differ(a, b);
	if (!what)
		what = shared_differs(&a->inflight, &b->inflight);
	if (!what)
		what = shared_differs(&a->log, &b->log);
	return what ? what : rest_differs(a, b);
}

/* --- files in memory --- */

int states_sink(void *opaque, const void *bytes, size_t len)
{
	struct states_bytes *b = opaque;

	if (b->len + len > b->room) {
		b->room = (b->len + len) * 2;
		b->bytes = realloc(b->bytes, b->room);
		if (!b->bytes)
			abort();
	}
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	return 0;
}

struct states_bytes states_image(const struct vu__snap *s)
{
	struct states_bytes b = {0};
	struct vu__image_writer w = {.write = states_sink, .opaque = &b};

	if (vu__snap_write(s, &w))
		abort();
	return b;
}

int states_read(const uint8_t *bytes, size_t len, struct vu__snap *s, char *why,
		size_t why_size)
{
	struct vu__image_bytes source = {.bytes = bytes, .len = len};
	struct vu__image_reader r = {.read = vu__image_read_bytes, .opaque = &source};
	int ret = vu__snap_read(s, &r);

	snprintf(why, why_size, "%s", r.why);
	vu__image_close(&r);
	return ret;
}
