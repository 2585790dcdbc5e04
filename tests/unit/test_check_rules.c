/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of vu-migrate check, on made-up facts: a back-end with nothing in the way, and
 * for each rule one change to it, with the finding that must come of it and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vu-migrate/check.h"
#include "wire/msg.h"

#define MEMORY	(64u << 20)
#define SIZE	128

/* --- a healthy one and its destination --- */

struct world {
	struct facts f, dest;
	struct vu__snap_region regions[2];
	struct vu__snap_queue queues[2], later[2];
	uint16_t heads[1];
	Vu__Control__Info info, dest_info;
	char *obstacles[1];
	char name[8];
};

static void make_queue(struct vu__snap_queue *q, uint32_t index)
{
	q->index = index;
	q->size = SIZE;
	q->started = q->enabled = true;
	q->last_avail = q->used = 1000;
	q->seen.present = true;
	q->seen.avail_index = 1000;
	q->seen.used_index = 1000;
}

static void make_snap(struct vu__snap *s, struct world *w, struct vu__snap_queue *queues)
{
	s->regions = w->regions;
	s->nregions = 1;
	s->queues = queues;
	s->nqueues = 2;
	s->inventory.page_size = 4096;
	strcpy(s->inventory.version, "1");
	strcpy(s->device.name, "disk");
	s->blob.present = true;
	s->blob.version = 2;
	strcpy(s->blob.name, "disk");
}

static void make_facts(struct facts *f, struct world *w, Vu__Control__Info *info)
{
	f->source = FROM_CONTROL;
	snprintf(f->name, sizeof(f->name), "1-0");
	f->type = "blk";
	f->offered = f->features = UINT64_MAX & ~VU_BIT(VU__F_RING_PACKED);
	f->offered_protocol = f->protocol = UINT64_MAX;
	f->max_queues = 2;
	f->max_slots = 32;
	f->config_len = 8;
	f->host = (struct host){.known = true, .pid = 1, .program = "disk", .userfaultfd = true,
				.userfaultfd_why = "it may"};
	f->has_snap = true;
	f->image_bytes = 1000;
	f->room = 1u << 20;
	vu__control__info__init(info);
	info->library = w->name;
	f->client.info = info;
}

static void make(struct world *w)
{
	struct facts *f = &w->f;

	memset(w, 0, sizeof(*w));
	strcpy(w->name, "1");
	w->obstacles[0] = w->name;
	w->regions[0] = (struct vu__snap_region){.size = MEMORY,
						 .file = {.inode = 1, .page_size = 4096}};
	w->regions[1] = (struct vu__snap_region){.gpa = MEMORY, .size = MEMORY,
						 .file = {.inode = 1, .page_size = 4096}};
	for (uint32_t i = 0; i < 2; i++) {
		make_queue(&w->queues[i], i);
		make_queue(&w->later[i], i);
	}
	make_facts(f, w, &w->info);
	f->negotiated = true;
	make_snap(&f->snap, w, w->queues);
	make_snap(&f->later, w, w->later);
	f->again.result = f->inflight.result = f->log.result = f->state.result =
		f->rings.result = f->drain.result = f->fits.result = GOOD;
	f->measured = true;
	f->plan.needed = 1;
	make_facts(&w->dest, w, &w->dest_info);
	w->dest_info.fresh = true;
	make_snap(&w->dest.snap, w, w->queues);
}

/* --- what may be wrong --- */

#define CHANGE(name)                                                                     \
	static void name(struct world *w)

#define OFFER(name, bit)                                                                 \
	CHANGE(name)                                                                     \
	{                                                                                \
		w->f.offered_protocol = w->f.protocol &= ~VU_BIT(bit);                   \
	}

CHANGE(no_protocol)
{
	w->f.offered = w->f.features &= ~VU_BIT(VU__F_PROTOCOL_FEATURES);
}

CHANGE(no_log)
{
	w->f.offered = w->f.features &= ~VU_BIT(VU__F_LOG_ALL);
}

OFFER(no_log_shmfd, VU__PF_LOG_SHMFD)
OFFER(no_pagefault, VU__PF_PAGEFAULT)
OFFER(no_reply_ack, VU__PF_REPLY_ACK)
OFFER(no_skip_drain, VU__PF_GET_VRING_BASE_SKIP_DRAIN)
OFFER(no_mq, VU__PF_MQ)
OFFER(no_config, VU__PF_CONFIG)
OFFER(no_mem_slots, VU__PF_CONFIGURE_MEM_SLOTS)
OFFER(no_status, VU__PF_STATUS)
OFFER(no_inflight, VU__PF_INFLIGHT_SHMFD)

CHANGE(no_inflight_of_unknown)
{
	no_inflight(w);
	w->f.type = "";
}

CHANGE(no_inflight_of_net)
{
	no_inflight(w);
	w->f.type = "net";
}

CHANGE(log_not_accepted)
{
	w->f.protocol &= ~VU_BIT(VU__PF_LOG_SHMFD);
}

CHANGE(pagefault_not_accepted)
{
	w->f.protocol &= ~VU_BIT(VU__PF_PAGEFAULT);
}

CHANGE(inflight_not_accepted)
{
	w->f.protocol &= ~VU_BIT(VU__PF_INFLIGHT_SHMFD);
}

CHANGE(packed)
{
	w->f.features |= VU_BIT(VU__F_RING_PACKED);
	w->dest.offered |= VU_BIT(VU__F_RING_PACKED);
}

CHANGE(packed_untracked)
{
	packed(w);
	no_inflight_of_net(w);
	w->f.protocol &= ~VU_BIT(VU__PF_INFLIGHT_SHMFD);
}

CHANGE(once_only)
{
	w->f.again.result = BAD;
}

CHANGE(bad_region)
{
	w->f.inflight.result = BAD;
}

CHANGE(forgetful)
{
	w->f.offered_protocol = w->f.protocol &= ~VU_BIT(VU__PF_DEVICE_STATE);
	w->f.type = "fs";
}

CHANGE(perhaps_forgetful)
{
	w->f.offered_protocol = w->f.protocol &= ~VU_BIT(VU__PF_DEVICE_STATE);
	w->f.type = "";
}

CHANGE(stateless)
{
	w->f.offered_protocol = w->f.protocol &= ~VU_BIT(VU__PF_DEVICE_STATE);
}

CHANGE(obstacle)
{
	w->info.obstacles = w->obstacles;
	w->info.n_obstacles = 1;
}

CHANGE(anonymous)
{
	w->regions[0].file.inode = 0;
}

CHANGE(no_memory)
{
	w->f.snap.nregions = 0;
}

CHANGE(huge_pages)
{
	w->regions[0].file.page_size = 2u << 20;
}

CHANGE(few_slots)
{
	w->f.snap.nregions = 2;
	w->dest.max_slots = 1;
}

CHANGE(enough_slots)
{
	w->f.snap.nregions = 2;
	w->dest.max_slots = 2;
}

CHANGE(broken)
{
	strcpy(w->queues[1].broken, "loop");
}

CHANGE(too_much_waits)
{
	w->queues[1].seen.avail_index += SIZE + 1;
	w->later[1].last_avail++;
}

CHANGE(too_much_in_flight)
{
	w->queues[1].used -= SIZE + 1;
}

CHANGE(full)
{
	w->queues[1].seen.avail_index += SIZE;
	w->later[1].last_avail++;
}

CHANGE(slow)
{
	w->queues[1].heads = w->heads;
	w->queues[1].nheads = 1;
}

CHANGE(stuck)
{
	w->queues[1].seen.avail_index++;
}

CHANGE(not_started)
{
	stuck(w);
	w->queues[1].started = false;
}

CHANGE(in_image)
{
	slow(w);
	w->later[1].used++;
	w->f.source = FROM_IMAGE;
}

CHANGE(does_not_drain)
{
	w->f.drain.result = BAD;
}

CHANGE(does_not_log)
{
	w->f.log.result = BAD;
}

CHANGE(not_twice)
{
	w->f.rings.result = BAD;
}

CHANGE(other_state)
{
	w->f.state.result = BAD;
}

CHANGE(vfio)
{
	w->f.host.vfio = 1;
}

CHANGE(tun)
{
	w->f.host.tun = 1;
}

CHANGE(network)
{
	w->f.host.network = 1;
}

CHANGE(files)
{
	w->f.host.nfiles = 5;
	strcpy(w->f.host.files[0], "/disk");
}

CHANGE(pinned)
{
	w->f.host.pinned = 1;
}

CHANGE(locked)
{
	w->f.host.locked = 1;
}

CHANGE(fewer_features)
{
	w->dest.offered &= ~VU_BIT(5);
}

CHANGE(unused_features)
{
	fewer_features(w);
	w->f.negotiated = false;
}

CHANGE(fewer_protocol_features)
{
	w->dest.offered_protocol &= ~VU_BIT(VU__PF_STATUS);
}

CHANGE(fewer_queues)
{
	w->dest.max_queues = 1;
}

CHANGE(fewer_but_enough)
{
	fewer_queues(w);
	w->queues[1].size = 0;
}

CHANGE(other_config)
{
	w->dest.config[7] = 1;
}

CHANGE(other_blob)
{
	strcpy(w->dest.snap.blob.name, "tape");
}

CHANGE(older_blob)
{
	w->dest.snap.blob.version = 1;
}

CHANGE(other_name)
{
	strcpy(w->dest.snap.device.name, "tape");
}

CHANGE(other_pages)
{
	w->dest.snap.inventory.page_size = 65536;
}

CHANGE(other_order)
{
	w->dest.snap.inventory.big_endian = true;
}

CHANGE(taken)
{
	w->dest_info.fresh = false;
}

CHANGE(refused)
{
	w->f.fits.result = BAD;
}

CHANGE(never)
{
	w->f.plan.verdict = EST_NEVER;
	w->f.plan.needed = 0;
}

CHANGE(marginal)
{
	w->f.plan.verdict = EST_MARGINAL;
}

CHANGE(no_control)
{
	w->f.client.info = NULL;
	w->f.source = FROM_SOCKET;
}

CHANGE(no_userfaultfd)
{
	w->dest.host.userfaultfd = false;
}

/* Where it goes counts, if that is known. */
CHANGE(no_userfaultfd_here)
{
	w->f.host.userfaultfd = false;
}

CHANGE(unseen)
{
	w->f.host.known = false;
}

CHANGE(no_room)
{
	w->f.room = 1999;
}

CHANGE(just_room)
{
	w->f.room = 2000;
}

static const struct row {
	unsigned int group;
	const char *id;
	enum severity severity;
	unsigned int modes;
	void (*change)(struct world *w);
} rows[] = {
	{1, "connection.protocol", BLOCKER, FOR_LIVE | FOR(RECONNECT), no_protocol},
	{1, "connection.log", BLOCKER, FOR_LIVE, no_log},
	{1, "connection.log_shmfd", BLOCKER, FOR_LIVE, no_log_shmfd},
	{1, "connection.pagefault", BLOCKER, FOR(POSTCOPY), no_pagefault},
	{1, "connection.reply_ack", WARNING, FOR_LIVE | FOR(RECONNECT), no_reply_ack},
	{1, "connection.skip_drain", NOTE, FOR(PRECOPY), no_skip_drain},
	{1, "connection.mq", NOTE, FOR_LIVE, no_mq},
	{1, "connection.config", NOTE, FOR_LIVE, no_config},
	{1, "connection.mem_slots", NOTE, FOR_LIVE, no_mem_slots},
	{1, "connection.status", NOTE, FOR_LIVE, no_status},
	{1, "connection.inflight", BLOCKER, FOR(RECONNECT), no_inflight},
	{1, "connection.inflight", WARNING, FOR(RECONNECT), no_inflight_of_unknown},
	{1, "connection.inflight", FINE, 0, no_inflight_of_net},
	{1, "connection.accepted_log", BLOCKER, FOR_LIVE, log_not_accepted},
	{1, "connection.accepted_pagefault", BLOCKER, FOR(POSTCOPY), pagefault_not_accepted},
	{1, "connection.accepted_inflight", BLOCKER, FOR(RECONNECT), inflight_not_accepted},
	{1, "connection.packed", FINE, 0, packed},
	{1, "connection.packed", BLOCKER, FOR(RECONNECT), packed_untracked},
	{1, "connection.again", BLOCKER, FOR(RECONNECT), once_only},
	{1, "connection.inflight_region", BLOCKER, FOR(RECONNECT), bad_region},
	{2, "device.state", BLOCKER, FOR_LIVE | FOR(SNAPSHOT), forgetful},
	{2, "device.state", NOTE, FOR_LIVE, perhaps_forgetful},
	{2, "device.state", FINE, 0, stateless},
	{2, "device.movable", BLOCKER, FOR_OURS, obstacle},
	{3, "memory.file", BLOCKER, FOR_ALL, anonymous},
	{3, "memory.regions", NOTE, FOR_ALL, no_memory},
	{3, "memory.hugepages", NOTE, FOR_LIVE, huge_pages},
	{3, "memory.slots", BLOCKER, FOR_ALL, few_slots},
	{3, "memory.regions", FINE, 0, enough_slots},
	{4, "rings.broken", BLOCKER, FOR_ALL, broken},
	{4, "rings.sane", BLOCKER, FOR_ALL, too_much_waits},
	{4, "rings.sane", BLOCKER, FOR_ALL, too_much_in_flight},
	{4, "rings.state", FINE, 0, full},
	{4, "rings.slow", WARNING, FOR_ALL, slow},
	{4, "rings.stuck", WARNING, FOR_ALL, stuck},
	{4, "rings.state", FINE, 0, not_started},
	{4, "rings.in_flight", NOTE, FOR(SNAPSHOT), in_image},
	{4, "rings.drain", BLOCKER, FOR_OURS, does_not_drain},
	{5, "log.marks", BLOCKER, FOR_LIVE, does_not_log},
	{6, "host.vfio", WARNING, FOR_ALL, vfio},
	{6, "host.tun", NOTE, FOR_LIVE | FOR(HANDOVER), tun},
	{6, "host.network", WARNING, FOR_LIVE | FOR(HANDOVER) | FOR(SNAPSHOT), network},
	{6, "host.files", NOTE, FOR_LIVE, files},
	{6, "host.pinned", WARNING, FOR(POSTCOPY) | FOR(HANDOVER), pinned},
	{6, "host.locked", NOTE, FOR(POSTCOPY), locked},
	{7, "destination.features", BLOCKER, FOR_ALL, fewer_features},
	{7, "destination.features", WARNING, FOR_ALL, unused_features},
	{7, "destination.protocol", BLOCKER, FOR_ALL, fewer_protocol_features},
	{7, "destination.queues", BLOCKER, FOR_ALL, fewer_queues},
	{7, "destination.queues", FINE, 0, fewer_but_enough},
	{7, "destination.config", WARNING, FOR_ALL, other_config},
	{7, "destination.state", BLOCKER, FOR_ALL, other_blob},
	{7, "destination.state", WARNING, FOR_ALL, older_blob},
	{7, "destination.name", BLOCKER, FOR_OURS, other_name},
	{7, "destination.host", WARNING, FOR_ALL, other_pages},
	{7, "destination.host", WARNING, FOR_ALL, other_order},
	{7, "destination.idle", BLOCKER, FOR_ALL, taken},
	{7, "destination.fits", BLOCKER, FOR_OURS, refused},
	{9, "converges", BLOCKER, FOR(PRECOPY), never},
	{9, "converges", WARNING, FOR(PRECOPY), marginal},
	{10, "host.control", BLOCKER, FOR_OURS, no_control},
	{10, "host.userfaultfd", BLOCKER, FOR(POSTCOPY), no_userfaultfd},
	{10, "host.userfaultfd", FINE, 0, no_userfaultfd_here},
	{10, "host.seen", NOTE, FOR_ALL, unseen},
	{10, "host.room", BLOCKER, FOR(SNAPSHOT), no_room},
	{8, "state.size", FINE, 0, just_room},
	{11, "twice.rings", BLOCKER, FOR_LIVE | FOR(RECONNECT), not_twice},
	{11, "twice.state", BLOCKER, FOR_LIVE | FOR_OURS, other_state},
};

static const struct finding *find(const struct report *r, const char *id)
{
	for (unsigned int i = 0; i < r->n; i++) {
		if (!strcmp(r->findings[i].id, id))
			return &r->findings[i];
	}
	return NULL;
}

/* --- tests --- */

static void a_healthy_one_has_findings_of_all_groups(void **state)
{
	struct report r;
	struct world w;
	unsigned int groups = 0;

	(void)state;
	make(&w);
	check_all(&r, &w.f, &w.dest);
	for (unsigned int i = 0; i < r.n; i++) {
		if (check_worst(&r.findings[i], FOR_ALL) != FINE)
			fail_msg("%s: %s", r.findings[i].id, r.findings[i].what);
		groups |= 1u << r.findings[i].group;
	}
	for (int m = 0; m < MODES; m++)
		assert_int_equal(check_verdict(&r, m), FINE);
	/* Of 6, what is bound to this host, there is nothing to say. */
	assert_int_equal(groups, 0xffe & ~(1u << 6));
}

static void check_finding(const struct row *row, const struct finding *x, enum mode m)
{
	enum severity want = row->modes & FOR(m) ? row->severity : FINE;

	if (x->severity[m] != want)
		fail_msg("%s: %s for %s, not %s", row->id, severity_names[x->severity[m]],
			 mode_names[m], severity_names[want]);
}

static void check_row(const struct row *row)
{
	const struct finding *x;
	struct report r;
	struct world w;

	make(&w);
	row->change(&w);
	check_all(&r, &w.f, &w.dest);
	x = find(&r, row->id);
	if (!x)
		fail_msg("%s is not found", row->id);
	assert_int_equal(x->group, row->group);
	assert_true(x->what[0]);
	/* Who is warned is told of what. */
	assert_true(x->effect[0] || row->severity < WARNING);
	for (enum mode m = 0; m < MODES; m++) {
		check_finding(row, x, m);
		assert_int_equal(check_verdict(&r, m), x->severity[m]);
	}
	/* One thing is wrong, and it is this. */
	for (unsigned int i = 0; i < r.n; i++) {
		if (&r.findings[i] != x && check_worst(&r.findings[i], FOR_ALL) != FINE)
			fail_msg("%s: also %s: %s", row->id, r.findings[i].id, r.findings[i].what);
	}
}

static void each_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

static void without_a_destination_nothing_is_said_of_it(void **state)
{
	struct report r;
	struct world w;

	(void)state;
	make(&w);
	check_all(&r, &w.f, NULL);
	for (unsigned int i = 0; i < r.n; i++)
		assert_int_not_equal(r.findings[i].group, 7);
}

static void what_was_not_tried_is_not_told(void **state)
{
	static const char *const ids[] = {"connection.again", "connection.inflight_region",
					  "log.marks", "rings.drain", "twice.rings",
					  "twice.state", "destination.fits", "converges"};
	struct report r;
	struct world w;
	struct facts *f = &w.f;

	(void)state;
	make(&w);
	f->again.result = f->inflight.result = f->log.result = f->state.result =
		f->rings.result = f->drain.result = f->fits.result = NOT_TRIED;
	f->measured = false;
	check_all(&r, f, &w.dest);
	for (size_t i = 0; i < VU_ARRAY_SIZE(ids); i++)
		assert_null(find(&r, ids[i]));
}

/* As many broken queues as there may be: the last place is kept in use, not passed. */
static void more_than_there_is_room_for(void **state)
{
	static struct vu__snap_queue queues[3 * FINDINGS_MAX];
	struct report r;
	struct world w;

	(void)state;
	make(&w);
	for (uint32_t i = 0; i < VU_ARRAY_SIZE(queues); i++) {
		make_queue(&queues[i], i);
		strcpy(queues[i].broken, "loop");
	}
	w.f.snap.queues = queues;
	w.f.snap.nqueues = VU_ARRAY_SIZE(queues);
	check_all(&r, &w.f, &w.dest);
	assert_int_equal(r.n, FINDINGS_MAX);
	assert_int_equal(check_verdict(&r, HANDOVER), BLOCKER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_healthy_one_has_findings_of_all_groups),
		cmocka_unit_test(each_rule),
		cmocka_unit_test(without_a_destination_nothing_is_said_of_it),
		cmocka_unit_test(what_was_not_tried_is_not_told),
		cmocka_unit_test(more_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
