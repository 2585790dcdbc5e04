/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules of check: memory, rings, the dirty log, size and time, twice. */
#include <stdio.h>
#include <string.h>

#include "vu-migrate/check.h"
#include "vu-migrate/show.h"

/* --- 3: memory --- */

static void rule_files(struct report *r)
{
	const struct vu__snap *s = &r->f->snap;
	char size[24];
	uint64_t huge = 0;

	show_bytes(vu__snap_memory(s), size, sizeof(size));
	for (uint32_t i = 0; i < s->nregions; i++) {
		const struct vu__snap_region *g = &s->regions[i];

		huge = VU_MAX(huge, g->file.page_size);
		if (g->file.inode)
			continue;
		because(found(r, 3, "memory.file", BLOCKER, FOR_ALL,
			      "the region at 0x%llx is of no file", (unsigned long long)g->gpa),
			"nobody else can map it", "start the guest with shared memory");
	}
	if (s->nregions)
		found(r, 3, "memory.regions", FINE, 0, "%s in %u regions, all of them shared files",
		      size, s->nregions);
	else
		found(r, 3, "memory.regions", r->f->source == FROM_SOCKET ? FINE : NOTE, FOR_ALL,
		      "there is no memory of a guest");
	if (huge > 4096)
		because(found(r, 3, "memory.hugepages", NOTE, FOR_LIVE,
			      "memory is in pages of %llu KiB", (unsigned long long)huge >> 10),
			"the destination needs as many, or the guest gets slower there", "");
}

/* More regions than the message that has them all can hold. */
static void rule_slots(struct report *r)
{
	uint32_t most = r->dest ? r->dest->max_slots : 0;

	if (!most || r->f->snap.nregions <= most)
		return;
	because(found(r, 3, "memory.slots", BLOCKER, FOR_ALL,
		      "%u regions of memory, and the destination takes %u", r->f->snap.nregions,
		      most),
		"the machine cannot be set up there", "fewer memory devices, or another back-end");
}

static void rule_log_size(struct report *r)
{
	const struct vu__snap *s = &r->f->snap;
	uint64_t end = 0;

	for (uint32_t i = 0; i < s->nregions; i++)
		end = VU_MAX(end, s->regions[i].gpa + s->regions[i].size);
	if (end)
		found(r, 3, "memory.log", FINE, 0, "a dirty log of %llu KiB covers it",
		      (unsigned long long)(end / 4096 / 8 + 1023) >> 10);
}

/* --- 4: rings --- */

/* How many, as far as it is known: of a packed ring whether there are any. */
static uint16_t waiting(const struct vu__snap_queue *q)
{
	if (!q->seen.present)
		return 0;
	return q->packed ? q->seen.avail_index : (uint16_t)(q->seen.avail_index - q->last_avail);
}

static unsigned int taken(const struct vu__snap_queue *q)
{
	return q->packed ? vu__packed_distance(vu__snap_used(q), vu__snap_avail(q), q->size) :
			   (uint16_t)(q->last_avail - q->used);
}

static void rule_sane(struct report *r, const struct vu__snap_queue *q)
{
	struct finding *x;

	if (q->broken[0]) {
		x = found(r, 4, "rings.broken", BLOCKER, FOR_ALL, "queue %u is broken", q->index);
		because(x, "it does nothing any more, here or anywhere",
			"reset the device in the guest");
		evidence(x, "%s", q->broken);
		return;
	}
	if (!q->started || !q->size || (waiting(q) <= q->size && taken(q) <= q->size))
		return;
	x = found(r, 4, "rings.sane", BLOCKER, FOR_ALL, "queue %u makes no sense", q->index);
	because(x, "another back-end would refuse it or do requests twice",
		"reset the device in the guest");
	evidence(x, "size %u, available %u, taken %u, used %u", q->size, q->seen.avail_index,
		 q->last_avail, q->used);
}

static const struct vu__snap_queue *later(const struct report *r, uint32_t index)
{
	const struct vu__snap *s = &r->f->later;

	for (uint32_t i = 0; i < s->nqueues; i++) {
		if (s->queues[i].index == index)
			return &s->queues[i];
	}
	return NULL;
}

/* Something to do, and between two looks nothing was done. */
static void rule_stuck(struct report *r, const struct vu__snap_queue *q)
{
	const struct vu__snap_queue *l = later(r, q->index);
	struct finding *x;

	if (!l || !q->started || !q->enabled || !l->started || q->used != l->used ||
	    q->last_avail != l->last_avail)
		return;
	if (q->nheads) {
		x = found(r, 4, "rings.slow", WARNING, FOR_ALL,
			  "queue %u has %u requests in flight, and none ended meanwhile", q->index,
			  q->nheads);
		because(x, "draining it may take long: the pause grows, or a time-out ends it",
			"see what the requests wait for");
	} else if (waiting(q)) {
		x = found(r, 4, "rings.stuck", WARNING, FOR_ALL,
			  "queue %u has %s%u requests waiting, and nobody takes them", q->index,
			  q->packed ? "at least " : "", waiting(q));
		because(x, "a stuck queue is stuck at the other end, too",
			"vu-top(1) says why a queue is stuck");
	} else {
		return;
	}
	evidence(x, "available %u, taken %u, used %u; 0.3 s later the same", q->seen.avail_index,
		 q->last_avail, q->used);
}

static void rule_queues(struct report *r)
{
	const struct vu__snap *s = &r->f->snap;
	unsigned int started = 0, in_flight = 0;

	for (uint32_t i = 0; i < s->nqueues; i++) {
		started += s->queues[i].started;
		in_flight += s->queues[i].nheads;
		rule_sane(r, &s->queues[i]);
		rule_stuck(r, &s->queues[i]);
	}
	if (s->nqueues)
		found(r, 4, "rings.state", FINE, 0, "%u of %u queues run, %u requests in flight",
		      started, r->f->max_queues, in_flight);
	if (r->f->source == FROM_IMAGE && in_flight)
		because(found(r, 4, "rings.in_flight", NOTE, FOR(SNAPSHOT),
			      "%u requests were in flight", in_flight),
			"they are done again where it is restored: on a disk that others have not "
			"changed meanwhile that does no harm", "checkpoint with --drain");
}

/* --- 5 and 11: what driving it has shown --- */

static void rule_trials(struct report *r)
{
	const struct facts *f = r->f;

	found_trial(r, 5, "log.marks", FOR_LIVE, &f->log, "the dirty log",
		    "the guest's memory arrives corrupt", "do not migrate with this back-end");
	found_trial(r, 4, "rings.drain", FOR_OURS, &f->drain, "draining",
		    "a hand-over or a checkpoint will time out", "see what the requests wait for");
	found_trial(r, 11, "twice.rings", FOR_LIVE | FOR(RECONNECT), &f->rings, "a second visit",
		    "the guest's I/O does not go on at the other end", "see the back-end's log");
	found_trial(r, 11, "twice.state", FOR_LIVE | FOR_OURS, &f->state, "the device's own state",
		    "after two migrations the device is not what it was", "see the back-end's log");
}

/* --- 8: how much, how long --- */

static void rule_size(struct report *r)
{
	const struct facts *f = r->f;
	char image[24], blob[24];

	if (!f->has_snap)
		return;
	show_bytes(f->image_bytes, image, sizeof(image));
	show_bytes(f->snap.blob.len, blob, sizeof(blob));
	found(r, 8, "state.size", FINE, 0, "an image has %s, of which the device's own state is %s",
	      image, blob);
	if (f->source != FROM_IMAGE)
		found(r, 8, "state.pause", FINE, 0,
		      "saved in %.1f ms, of which the queues stood still for %.3f ms",
		      f->save_seconds * 1e3, f->pause_seconds * 1e3);
}

void rules_of_state(struct report *r)
{
	if (r->f->has_snap) {
		rule_files(r);
		rule_slots(r);
		rule_log_size(r);
		rule_queues(r);
	}
	rule_trials(r);
	rule_size(r);
}
