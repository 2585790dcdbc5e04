/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of recorded events: a magic, then frames {type, length, CRC-32C}, each with a
 * payload of bounded length.  A file that was cut is good up to the last whole frame.
 * Numbers are little-endian.
 */
#ifndef VU_TRACE_RECORD_H
#define VU_TRACE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "event.h"

#define RECORD_MAGIC	   "VU-TRACE"
#define RECORD_VERSION	   1
#define RECORD_MAX_PAYLOAD (1U << 20)
#define RECORD_MAX_QUEUES  65536U

enum record_type {
	RECORD_INFO = 1, /* struct record_info; the first */
	RECORD_QUEUE,	 /* struct record_queue; before its events */
	RECORD_THREAD,	 /* struct record_thread */
	RECORD_EVENTS,	 /* struct event, as many as fit */
	RECORD_ROUNDS,	 /* struct ev_round, as many as fit */
	RECORD_LOSSES,	 /* struct probe_stat by kind of event */
	RECORD_END,	 /* struct record_end; the last */
};

struct record_frame {
	uint32_t type;
	uint32_t length;
	uint32_t crc; /* of the payload */
	uint32_t reserved;
};

struct record_info {
	uint32_t version;
	uint32_t tier;
	uint64_t mono_ns; /* the same instant on two clocks */
	uint64_t real_ns;
	char kernel[64];
};

struct record_queue {
	uint32_t slot;
	uint32_t vmm, backend;
	uint32_t index;
	char name[96];
	char vmm_comm[16], backend_comm[16];
};

struct record_thread {
	uint32_t tgid, tid;
	char comm[16];
};

struct record_end {
	uint64_t events, rounds;
};

/* --- writing --- */

struct record_writer;

/* @path: made anew.  0 or -errno. */
VU_MUST_CHECK int record_create(struct record_writer **out, const char *path,
				const struct record_info *info);
/* Writes an end, closes; the first error there was, 0 or -errno. */
VU_MUST_CHECK int record_close(struct record_writer *w);

/* 0 or -errno; once there was an error it stays. */
int record_add_queue(struct record_writer *w, const struct record_queue *q);
int record_add_thread(struct record_writer *w, const struct record_thread *t);
int record_add_event(struct record_writer *w, const struct event *e, size_t size);
int record_add_losses(struct record_writer *w, const struct probe_stat stats[EV_KINDS]);

/* --- reading --- */

struct recording {
	struct record_info info;
	struct record_queue *queues;
	size_t nqueues;
	struct record_thread *threads;
	size_t nthreads;
	struct event *events; /* by time */
	size_t nevents;
	struct ev_round *rounds; /* by time of their end */
	size_t nrounds;
	struct probe_stat losses[EV_KINDS];
	bool complete; /* there was an end, and it agrees */
	uint64_t good; /* bytes that made sense */
};

/*
 * Takes the bytes of a file.  0, also for one that is cut; -EINVAL with a reason in
 * @why: it is none, or damaged.  *@out: to be released in any case.
 */
VU_MUST_CHECK int recording_parse(const void *bytes, size_t size, struct recording *out,
				  char *why, size_t why_size);
/* The same for a file; also -errno. */
VU_MUST_CHECK int recording_load(const char *path, struct recording *out, char *why,
				 size_t why_size);
void recording_release(struct recording *r);

/* "" if there is none. */
const char *recording_queue_name(const struct recording *r, uint32_t slot);
const char *recording_comm(const struct recording *r, uint32_t tid);

#endif
