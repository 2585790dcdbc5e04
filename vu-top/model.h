/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every queue over time: rates, latencies, verdicts, history, alerts.  Frames go in;
 * views and outputs look at what comes of them.  Pure: no clock, no I/O.
 */
#ifndef VU_TOP_MODEL_H
#define VU_TOP_MODEL_H

#include "observe/diagnose.h"
#include "observe/rates.h"
#include "vu-top/frame.h"
#include "vu-top/heat.h"
#include "vu-top/history.h"

/* Of one histogram, in the last seconds; ns, but for VU__OBS_BATCH. */
struct top_latency {
	uint64_t n; /* 0: nothing is known, and the rest is TOP_UNKNOWN */
	double p50, p90, p99, p999, max, mean;
};

/* Old frames are looked at again when a queue is judged. */
#define TOP_LOOKS 24

#define TOP_MAX_ALERTS 16

/* How an alert stands for a queue: alert.c. */
struct top_alarm {
	uint64_t since_ns; /* what it waits for holds since, or does not; 0: neither */
	bool raised;
};

/* A queue over time.  Lives as long as it is in every frame. */
struct top_queue {
	struct top_key key;
	/* As of the last frame. */
	const struct vu__obs_snapshot *snap;
	const struct vu__obs_queue *q;
	const struct vu__obs_device *dev;
	const struct vu__obs_process *proc;
	const struct vu__obs_process *vmm; /* NULL: not known */
	uint32_t place;			   /* in the snapshot's queues */
	struct vu__obs_rates rates;	   /* since the frame before, or the mark */
	struct vu__obs_rates since_mark;   /* dt 0: there is no mark */
	struct vu__obs_verdict verdict;
	uint64_t verdict_ns; /* it has been this one since */
	struct top_latency latency[VU__OBS_LATENCIES];
	double busy;	      /* share of a CPU its thread takes; TOP_UNKNOWN */
	double depth_max;     /* seen in any frame; TOP_UNKNOWN */
	uint64_t stall_ns;    /* requests have waited and none was completed since; 0 */
	double oldest;	      /* age of the oldest request, ns, at least; 0: none */
	bool tagged;
	struct top_alarm alarms[TOP_MAX_ALERTS];
	struct top_history *history; /* NULL: no memory */
	struct top_heat *heat;	     /* NULL: its latencies were never seen */
	/* For the model only. */
	struct top_queue *next; /* in its hash bucket */
	uint64_t seen;		/* the last frame it was in */
	bool fresh;		/* it was not in the frame before */
	unsigned int nlooks;
	struct {
		const struct top_frame *frame;
		uint32_t place;
	} looks[TOP_LOOKS]; /* oldest first */
	struct top_frame *hist_frame[2]; /* where latencies are counted from; the older first */
	uint32_t hist_place[2];
};

/* Requests made available and not given back; TOP_UNKNOWN. */
double top_depth(const struct vu__obs_queue *q);

/* A device over time. */
#define TOP_EVENTS VU_TELEMETRY_EVENTS
struct top_device {
	struct top_key key;
	const struct vu__obs_device *dev;
	uint32_t place;		    /* in the snapshot's devices */
	uint32_t nqueues, nstarted; /* queues in use */
	double requests, bytes_in, bytes_out, dirty; /* a second, of all queues */
	enum vu__obs_severity worst;
	struct top_queue *worst_queue; /* NULL: it has none */
	/* Events as they came, the last ones: event i is events[i % TOP_EVENTS]. */
	uint64_t nevents, lost;
	struct vu_telemetry_event *events; /* NULL: none */
	struct top_device *next;
	uint64_t seen;
};

/* Something that has happened: an alert was raised, a back-end came or went. */
struct top_note {
	uint64_t mono_ns, real_ns;
	enum vu__obs_severity severity;
	bool cleared;
	char who[96];
	char text[256];
};
#define TOP_NOTES 512

struct top_model_options {
	size_t history_bytes; /* for all histories together; 0: 128 MiB */
	uint64_t patience_ns; /* before something is called stuck, at least; 0: 1 s */
};

struct top_alert; /* alert.h */

struct top_model {
	struct top_model_options opt;
	struct top_frame *frame; /* the last; NULL before the first */
	uint64_t nframes;
	uint32_t nqueues, ndevices;
	struct top_queue **queues;   /* of the last frame, in its order */
	struct top_device **devices; /* likewise */
	double dt;		     /* seconds between the last two frames; 0 */
	double self_cpu;	     /* share of a CPU that looking took; TOP_UNKNOWN */
	struct top_frame *mark;	     /* NULL: none */
	struct top_history_pool pool;
	uint64_t nnotes;
	struct top_note notes[TOP_NOTES]; /* note i is notes[i % TOP_NOTES] */
	unsigned int nalerts;
	struct top_alert *alerts;
	unsigned int by_severity[VU__OBS_SEVERITIES]; /* queues */
	uint64_t retries, missed; /* of all frames */
	/* For the model only. */
	unsigned int nkept;
	struct top_frame *kept[TOP_LOOKS];
	uint32_t nbuckets, nall, nheats;
	struct top_queue **buckets;
	struct top_device *all_devices;
};

/* @options: may be NULL.  NULL: no memory. */
struct top_model *top_model_new(const struct top_model_options *options);
void top_model_free(struct top_model *m);

/* Takes @f, also if it fails.  0 or -ENOMEM, and then all frames are forgotten. */
VU_MUST_CHECK int top_model_update(struct top_model *m, struct top_frame *f);

/* Forgets all frames, as before a jump in a recording; tags and alerts stay. */
void top_model_restart(struct top_model *m);

/* Rates are also counted from now on, until there is another mark; or not any more. */
void top_model_mark(struct top_model *m);
void top_model_unmark(struct top_model *m);

/* NULL: it is not in the last frame. */
struct top_queue *top_model_find(const struct top_model *m, const struct top_key *key);
struct top_device *top_model_find_device(const struct top_model *m,
					 const struct top_key *key);

void top_model_note(struct top_model *m, enum vu__obs_severity severity, bool cleared,
		    const char *who, const char *text);

/* The last event of a device, 0, the one before it, 1, ...; NULL: not so many. */
const struct vu_telemetry_event *top_device_event(const struct top_device *d, uint64_t back);

/* --- names: names.c --- */

/* What a person calls a machine: its name, else "qemu[123]" or "-". */
void top_vm_name(const struct vu__obs_process *vmm, char *out, size_t size);
/* Why not all is seen of a process, or of a device; "": nothing is in the way. */
const char *top_process_trouble(const struct vu__obs_snapshot *s, uint32_t proc);
const char *top_device_trouble(const struct vu__obs_snapshot *s, const struct vu__obs_device *d);

/* ... a device: what it is called, else its socket's file name, else its number. */
void top_device_name(const struct vu__obs_device *d, char *out, size_t size);

/* "web7/disk0:2" */
void top_queue_name(const struct top_queue *t, char *out, size_t size);

enum top_state {
	TOP_UNUSED, /* no driver has set it up */
	TOP_STOPPED,
	TOP_DISABLED,
	TOP_STARTED,
	TOP_BROKEN,
	TOP_DEAD, /* the process is */
	TOP_STATES
};
enum top_state top_state_of(const struct top_queue *t);
const char *top_state_name(enum top_state state);

/* "blk", "net", ...; "?" */
const char *top_type_name(uint32_t virtio_id);

#endif
