/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A state for people's eyes. */
#include "vu-migrate/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/utf8.h"
#include "wire/msg.h"

void show_time(uint64_t ns, char *text, size_t size)
{
	time_t t = (time_t)(ns / 1000000000);
	char head[32];
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S", &tm))
		snprintf(head, sizeof(head), "%" PRIu64 " s", ns / 1000000000);
	snprintf(text, size, "%s.%03dZ", head, (int)(ns / 1000000 % 1000));
}

void show_bytes(uint64_t bytes, char *text, size_t size)
{
	static const char units[] = "KMGTPE";
	double n = (double)bytes;
	int unit = -1;

	for (; n >= 1024; n /= 1024)
		unit++;
	if (unit < 0)
		snprintf(text, size, "%" PRIu64 " bytes", bytes);
	else
		snprintf(text, size, "%.*f %ciB", n == (double)(uint64_t)n ? 0 : 1, n,
			 units[unit]);
}

const char *show_moment(enum vu__moment m)
{
	switch (m) {
	case VU__MOMENT_STOPPED:
		return "stopped";
	case VU__MOMENT_RUNNING:
		return "went on running";
	case VU__MOMENT_HANDED_OVER:
		return "handed over";
	default:
		return "unknown moment";
	}
}

/* --- bits --- */

static const char *feature_name(unsigned int bit)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} names[] = {
		{VU__F_NOTIFY_ON_EMPTY, "NOTIFY_ON_EMPTY"},
		{VU__F_LOG_ALL, "LOG_ALL"},
		{VU__F_INDIRECT_DESC, "INDIRECT_DESC"},
		{VU__F_EVENT_IDX, "EVENT_IDX"},
		{VU__F_PROTOCOL_FEATURES, "PROTOCOL_FEATURES"},
		{VU__F_VERSION_1, "VERSION_1"},
		{VU__F_ACCESS_PLATFORM, "ACCESS_PLATFORM"},
		{VU__F_RING_PACKED, "RING_PACKED"},
	};

	for (size_t i = 0; i < VU_ARRAY_SIZE(names); i++) {
		if (names[i].bit == bit)
			return names[i].name;
	}
	return NULL;
}

static void list_bits(uint64_t bits, const char *(*name_of)(unsigned int bit), char *text,
		      size_t size)
{
	size_t n = 0;

	snprintf(text, size, "none");
	for (unsigned int bit = 0; bit < 64 && n < size; bit++) {
		const char *name = name_of(bit);

		if (!vu__has_bit(bits, bit))
			continue;
		if (name)
			n += snprintf(text + n, size - n, "%s%s", n ? " " : "", name);
		else
			n += snprintf(text + n, size - n, "%sbit-%u", n ? " " : "", bit);
	}
}

void show_features(uint64_t features, char *text, size_t size)
{
	list_bits(features, feature_name, text, size);
}

static const char *protocol_name(unsigned int bit)
{
	return bit < VU__PF_COUNT ? vu__protocol_feature_name((int)bit) : NULL;
}

void show_protocol_features(uint64_t features, char *text, size_t size)
{
	list_bits(features, protocol_name, text, size);
}

/* --- parts --- */

static void show_hex(const uint8_t *bytes, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += 16) {
		printf("    %04" PRIx64 " ", at);
		for (uint64_t i = at; i < at + 16 && i < len; i++)
			printf(" %02x", bytes[i]);
		puts("");
	}
}

static void show_inventory(const struct vu__snap *s)
{
	char when[40];

	show_time(s->inventory.time_ns, when, sizeof(when));
	printf("image %s\n", utf8_shown(s->inventory.id));
	printf("  written %s by %s %s, process %u (%s) on %s\n", when,
	       utf8_shown(s->inventory.writer), utf8_shown(s->inventory.version),
	       s->inventory.pid, utf8_shown(s->inventory.program),
	       utf8_shown(s->inventory.host));
	printf("  back-end %s, requests %s\n", show_moment(s->inventory.moment),
	       s->inventory.requests == VU__REQUESTS_DRAINED   ? "drained" :
	       s->inventory.requests == VU__REQUESTS_IN_FLIGHT ? "in flight listed" :
								 "unknown");
	for (uint32_t i = 0; i < s->nnotes; i++)
		printf("  %s: %s\n", utf8_shown(s->notes[i].key), utf8_shown(s->notes[i].value));
}

static void show_device(const struct vu__snap *s)
{
	char bits[1200];

	printf("device %s, %u queues, listening on %s\n", utf8_shown(s->device.name),
	       s->device.max_queues,
	       s->device.socket[0] ? utf8_shown(s->device.socket) : "nothing");
	show_features(s->device.features, bits, sizeof(bits));
	printf("  features 0x%" PRIx64 ": %s\n", s->device.features, bits);
	show_protocol_features(s->device.protocol_features, bits, sizeof(bits));
	printf("  protocol features 0x%" PRIx64 ": %s\n", s->device.protocol_features, bits);
	printf("  status 0x%x, channel of its own requests: %s\n", s->device.status,
	       s->device.has_channel ? "yes" : "no");
	printf("  configuration space of %u bytes\n", s->device.config_len);
	show_hex(s->device.config, s->device.config_len);
}

static void show_file(const struct vu__snap_file *f)
{
	printf("%s (inode %" PRIu64 ", %" PRIu64 " bytes, pages of %" PRIu64 ")\n",
	       f->name[0] ? utf8_shown(f->name) : "?", f->inode, f->size, f->page_size);
}

static void show_memory(const struct vu__snap *s)
{
	printf("memory, %u regions\n", s->nregions);
	for (uint32_t i = 0; i < s->nregions; i++) {
		const struct vu__snap_region *r = &s->regions[i];
		char size[24];

		show_bytes(r->size, size, sizeof(size));
		printf("  0x%012" PRIx64 "  %-10s front-end 0x%012" PRIx64 ", 0x%" PRIx64 " of ",
		       r->gpa, size, r->uaddr, r->file_offset);
		show_file(&r->file);
	}
}

static void show_notifier(const char *name, const struct vu__snap_notifier *n)
{
	if (n->present)
		printf("  %s eventfd %" PRIu64 " (%" PRIu64 ")", name, n->eventfd_id, n->count);
	else
		printf("  %s none", name);
}

static void show_inflight(const struct vu__snap_queue *q)
{
	if (!q->nheads)
		return;
	printf("  %u in flight:", q->nheads);
	for (uint32_t i = 0; i < q->nheads && i < 16; i++)
		printf(" %u", q->heads[i]);
	printf("%s", q->nheads > 16 ? " ..." : "");
	if (q->ndescs)
		printf(" (buffer ids; %u descriptors)", q->ndescs);
	puts("");
}

/* What a side of a packed ring asks of the other. */
static void show_wish(const char *who, const char *what, uint16_t flags, uint16_t place)
{
	if (flags == VRING_PACKED_EVENT_FLAG_DISABLE)
		printf("; the %s wants no %s", who, what);
	else if (flags == VRING_PACKED_EVENT_FLAG_DESC)
		printf("; the %s wants a %s at slot %u, wrap counter %u", who, what,
		       vu__packed_slot(place), vu__packed_wrap(place));
	else
		printf("; the %s wants any %s", who, what);
}

static void show_seen(const struct vu__snap_queue *q)
{
	if (!q->seen.present)
		return;
	if (q->packed) {
		show_wish("driver", "call", q->seen.avail_flags, q->seen.used_event);
		show_wish("device", "kick", q->seen.used_flags, q->seen.avail_event);
	} else {
		printf("; ring had available %u, used %u, used_event %u, avail_event %u",
		       q->seen.avail_index, q->seen.used_index, q->seen.used_event,
		       q->seen.avail_event);
	}
}

static void show_queue(const struct vu__snap_queue *q)
{
	printf("queue %u: %s of %u, %s, %s%s\n", q->index, q->packed ? "packed" : "split",
	       q->size, q->started ? "started" : "stopped", q->enabled ? "enabled" : "disabled",
	       q->notification ? "" : ", does not want kicks");
	printf("  next to pop %u, next to complete %u", q->last_avail, q->used);
	if (q->packed)
		printf(", wrap counters %d %d", q->avail_wrap, q->used_wrap);
	show_seen(q);
	puts("");
	if (q->has_addresses)
		printf("  at 0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", log 0x%" PRIx64
		       ", flags 0x%x\n",
		       q->descriptors, q->driver, q->device, q->log, q->flags);
	show_notifier("kick", &q->kick);
	show_notifier("call", &q->call);
	show_notifier("err", &q->err);
	puts("");
	if (q->broken[0])
		printf("  broken: %s\n", utf8_shown(q->broken));
	show_inflight(q);
}

static void show_rest(const struct vu__snap *s, bool with_blob)
{
	if (s->inflight.present) {
		printf("inflight region, %u queues of %u, %" PRIu64 " bytes of ",
		       s->inflight.queues, s->inflight.queue_size, s->inflight.size);
		show_file(&s->inflight.file);
	}
	if (s->log.present) {
		printf("dirty log, %s, %" PRIu64 " bytes of ",
		       s->log.data ? "data and rings" : "rings only", s->log.size);
		show_file(&s->log.file);
	}
	if (!s->blob.present)
		return;
	printf("device state '%s' version %u, %" PRIu64 " bytes\n",
	       utf8_shown(s->blob.name), s->blob.version, s->blob.len);
	if (with_blob)
		show_hex(s->blob.data, s->blob.len);
}

void show_state(const struct vu__snap *s, bool with_blob)
{
	show_inventory(s);
	show_device(s);
	show_memory(s);
	for (uint32_t i = 0; i < s->nqueues; i++)
		show_queue(&s->queues[i]);
	show_rest(s, with_blob);
}
