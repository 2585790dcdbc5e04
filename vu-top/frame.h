/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that is shown of one moment: a snapshot, and what was asked for besides.  Frames
 * come from a collector (collect.h), which looks at this host, or from a recording
 * (record.h), and go to a model.
 */
#ifndef VU_TOP_FRAME_H
#define VU_TOP_FRAME_H

#include "libvu/telemetry.h"
#include "observe/sample.h"

/* A queue, from one frame to another; or a device or process, of which it is one. */
struct top_key {
	pid_t pid;
	uint64_t start_time;
	uint32_t device;
	uint16_t queue;
};

/* Latencies of a queue since it was first watched. */
struct top_hists {
	uint32_t queue; /* index into the snapshot's */
	struct vu__obs_hist of[VU__OBS_LATENCIES]; /* count NULL: not known */
};

/* Events of a device that were not in an earlier frame, oldest first. */
struct top_events {
	uint32_t dev; /* index into the snapshot's */
	uint32_t n;
	uint64_t lost; /* overwritten before they were read */
	struct vu_telemetry_event *events;
};

/* Somebody who has an eventfd of the queue that was asked about. */
struct top_holder {
	int64_t id;
	pid_t pid;
	int32_t fd;
	char comm[16];
};

/* What is mapped where a region is, as /proc/PID/maps says. */
struct top_backing {
	uint32_t region; /* index into the snapshot's */
	char what[96];
};

/* What looking has cost. */
struct top_self {
	uint64_t cpu_ns; /* of this process, since it was started */
	uint64_t mapped; /* bytes resident */
};

struct top_frame {
	unsigned int refs;
	struct vu__obs_snapshot *snap;
	uint32_t nhists, nevents, nholders, nbackings;
	struct top_hists *hists; /* by queue */
	struct top_events *events;
	struct top_holder *holders;
	bool holders_cut; /* there may be more: some processes may not be looked at */
	struct top_backing *backings;
	struct top_self self;
	char trouble[160]; /* "" */
};

/* An empty one, to be put; NULL: no memory. */
struct top_frame *top_frame_new(void);
struct top_frame *top_frame_get(struct top_frame *f);
void top_frame_put(struct top_frame *f); /* NULL: nothing */

/* Room for one more element, zeroed; NULL: no memory. */
struct top_hists *top_frame_add_hists(struct top_frame *f);
struct top_events *top_frame_add_events(struct top_frame *f, uint32_t n);
struct top_holder *top_frame_add_holder(struct top_frame *f);
struct top_backing *top_frame_add_backing(struct top_frame *f);

/* Upper bounds of the buckets of all histograms, VU_HIST_BUCKETS of them. */
const uint64_t *top_hist_bounds(void);

/* NULL: they were not read. */
const struct vu__obs_hist *top_frame_hist(const struct top_frame *f, uint32_t queue,
					  enum vu__obs_latency which);

struct top_key top_key_of(const struct vu__obs_snapshot *s, const struct vu__obs_queue *q);
struct top_key top_key_of_device(const struct vu__obs_snapshot *s,
				 const struct vu__obs_device *d);

static inline bool top_same_process(const struct top_key *a, const struct top_key *b)
{
	return a->pid == b->pid && a->start_time == b->start_time;
}

static inline bool top_same_device(const struct top_key *a, const struct top_key *b)
{
	return top_same_process(a, b) && a->device == b->device;
}

static inline bool top_same_queue(const struct top_key *a, const struct top_key *b)
{
	return top_same_device(a, b) && a->queue == b->queue;
}

#endif
