/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The telemetry segment: what a back-end shows of itself, and how to read it.
 *
 * Device N of process P keeps the file P-N.telemetry in the run directory (/run/libvu,
 * or what LIBVU_RUN_DIR names).  The process writes it through a mapping, with plain
 * stores; whoever may read the file reads it, also while the process hangs, is stopped,
 * or is dead: then the file is its black box.  vu-telemetry(5) tells of the life of the
 * files.
 *
 * The first half of this header is the layout.  Numbers are fixed-width, in the byte
 * order of the machine that wrote them; places are offsets from the file's start.  The
 * header has the size of every structure: a later version makes structures longer at
 * their end, so that a reader that knows a shorter one reads it as before, and one that
 * knows a longer one finds zeros.  A list of metrics says where each number is, for
 * readers that do not know its name.
 *
 * The second half is a reader, which is what tools should use.  It takes nothing in a
 * file for granted, and it copies with pread(2) instead of mapping: a file that is made
 * shorter under it is an error, not a SIGBUS, and what was checked cannot change
 * between the check and the use.
 *
 * Threads: one struct vu_telemetry belongs to one thread at a time.
 */
#ifndef LIBVU_TELEMETRY_H
#define LIBVU_TELEMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libvu/hist.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define VU_TELEMETRY_MAGIC	"VU-TELEM" /* 8 bytes, no NUL; written last */
#define VU_TELEMETRY_BYTE_ORDER 0x01020304u
#define VU_TELEMETRY_VERSION	1 /* other numbers: nothing here holds */

#define VU_TELEMETRY_EVENTS   512
#define VU_TELEMETRY_REGIONS  64 /* shown at most; a device may have more */
#define VU_TELEMETRY_REQUESTS 64 /* kinds of messages counted apart */

/* Times are nanoseconds of CLOCK_MONOTONIC, 0: never; sizes are bytes. */

struct vu_telemetry_header {
	char magic[8];
	uint32_t byte_order;
	uint32_t version;
	/* Sizes of structures, and how many there are. */
	uint32_t header_size;
	uint32_t device_size;
	uint32_t counters_size;
	uint32_t config_size;
	uint32_t annex_size; /* without what follows its histograms */
	uint32_t metric_size;
	uint32_t event_size;
	uint32_t queues;
	uint32_t metrics;
	uint32_t events;
	/* Places. */
	uint64_t lease;	   /* struct vu_telemetry_lease */
	uint64_t seqs;	   /* uint32_t for the device, then one for each queue */
	uint64_t device;   /* struct vu_telemetry_device_block */
	uint64_t counters; /* struct vu_telemetry_counters for each queue */
	uint64_t configs;  /* struct vu_telemetry_config for each queue */
	uint64_t directory; /* struct vu_telemetry_metric, metrics of them */
	uint64_t black_box; /* struct vu_telemetry_event, events of them */
	uint64_t fixed_size; /* of all these; annexes follow */
	/* Whose it is. */
	uint32_t pid;
	uint32_t number;      /* of the device in its process */
	uint64_t start_time;  /* of the process: field 22 of /proc/PID/stat */
	uint64_t pid_ns;      /* inode of the pid's name space */
	uint64_t generation;  /* how many devices the process has had before, plus 1 */
	uint64_t created;     /* when that was, */
	uint64_t created_real; /* and the same in CLOCK_REALTIME */
	char library[16];     /* version of libvu */
	char process[16];     /* its name */
	uint64_t reserved;
};

/*
 * Written by readers: until then somebody wants histograms.  A time that has passed, or
 * that is more than VU_TELEMETRY_LEASE_MAX seconds ahead, says nothing.
 */
struct vu_telemetry_lease {
	uint64_t until;
	uint64_t reserved[7];
};
#define VU_TELEMETRY_LEASE_MAX 3600

enum vu_telemetry_migration {
	VU_TELEMETRY_MIGRATION_NONE = 0,
	VU_TELEMETRY_MIGRATION_LOG = 1, /* written pages are logged */
	VU_TELEMETRY_MIGRATION_POSTCOPY_ADVISE = 2,
	VU_TELEMETRY_MIGRATION_POSTCOPY_LISTEN = 3, /* pages are still missing */
	VU_TELEMETRY_MIGRATION_SAVE = 4, /* the device's state is being read */
	VU_TELEMETRY_MIGRATION_LOAD = 5,
};

struct vu_telemetry_region {
	uint64_t gpa;	/* guest physical address */
	uint64_t size;
	uint64_t uaddr; /* in the front-end */
	uint64_t host;	/* in the back-end */
};

/* Under sequence count 0, but the counters.  Control thread. */
struct vu_telemetry_device_block {
	uint64_t features;
	uint64_t protocol_features;
	uint64_t connected; /* when the front-end did */
	uint64_t broken;    /* when the connection could not go on, */
	uint64_t gone;	    /* or the front-end closed it */
	uint64_t migration; /* enum vu_telemetry_migration */
	uint64_t regions;   /* of guest memory, not all of which may be shown */
	uint64_t memory;    /* bytes in them */
	uint64_t control_tid; /* thread that serves messages */
	/* The socket to the front-end. */
	uint64_t sock_inode;
	int64_t sock_fd;
	uint64_t peer_pid; /* who connected, 0: not known */
	uint64_t peer_uid;
	/* Counters: not under the sequence count. */
	uint64_t messages;
	uint64_t refused;      /* messages that were */
	uint64_t last_message; /* when the last one came */
	uint64_t serving;      /* number of the message being served, 0: none is */
	uint64_t panics;
	uint64_t pages_first; /* logged by vu_log_write(), as in the queues' counters */
	uint64_t pages_again;
	uint64_t reserved[4];
	uint64_t by_request[VU_TELEMETRY_REQUESTS]; /* messages by number */
	/* Under the sequence count again. */
	char name[64];
	char socket[128]; /* its path; empty: it has none */
	struct vu_telemetry_region region[VU_TELEMETRY_REGIONS];
};

/*
 * A queue's counters, which only go up, and times.  Not under a sequence count: each
 * number is whole by itself.  Written by the queue's thread alone, on cache lines of
 * their own.
 *
 * popped and completed are brought up to date once in a while: whenever the ring is
 * found empty, the device notifies or is woken, and after METER_PERIOD requests.  The
 * two indices always are: what is missing is the difference between one of them and
 * where it would be after so many requests since the start, in 16 bits with a sign.
 * vu_telemetry_queue() adds it.
 */
struct vu_telemetry_counters {
	/* As elements are pushed. */
	uint64_t completed;	 /* shown to the driver as used */
	uint64_t bytes_to_guest; /* written into guest buffers, as the device said */
	uint64_t dropped;	 /* popped, and given up: to another back-end, or at a stop */
	uint64_t unpopped;	 /* popped, and put back */
	uint64_t failed;	 /* the device said so: vu_queue_failed() */
	uint64_t inflight_max;	 /* popped and not completed, at most */
	uint64_t last_push;	 /* see vu-telemetry(5) for how exact times are */
	uint16_t used_idx;	 /* next used entry to be filled */
	uint16_t used_place;	 /* packed: where it goes, wrap counter in bit 15 */
	uint16_t reserved_push[2];
	/* As elements are popped. */
	uint64_t popped;
	uint64_t descriptors;	   /* in what was popped */
	uint64_t chains;	   /* popped whose descriptors are chained in the ring's table */
	uint64_t indirect;	   /* ... or are in a table of their own */
	uint64_t bytes_from_guest; /* that the popped let the device read */
	uint64_t last_pop;
	uint64_t resubmitted; /* popped from an earlier back-end's record of what was in
				 flight, not from the available ring, and not put back */
	uint16_t avail_idx;   /* next available entry to be popped */
	uint16_t avail_place; /* packed: where it is, wrap counter in bit 15 */
	uint16_t reserved_pop[2];
	/* As the ring is looked at. */
	uint64_t batches;     /* looks that found something new */
	uint64_t looks_empty; /* looks that did not */
	uint64_t ring_full;   /* times all entries came to be outstanding at once */
	uint64_t translation_faults; /* addresses that are not guest memory */
	uint64_t pages_first;	     /* marked in the dirty log that were not */
	uint64_t pages_again;	     /* marked already */
	uint64_t worker_tid;	     /* thread that popped last */
	uint64_t watched;	     /* since when histograms are kept, 0: they are not */
	/* As the driver kicks. */
	uint64_t kicks;	      /* reads of the kick eventfd that found a signal */
	uint64_t kick_values; /* signals they found */
	uint64_t wakeups;     /* times the device was told to look, by whatever */
	uint64_t wakeups_useful; /* after which it popped something */
	uint64_t last_kick;
	uint64_t last_wakeup;
	uint64_t reserved_kick[2];
	/* As the device notifies. */
	uint64_t calls;		 /* sent to the driver */
	uint64_t calls_flag;	 /* not sent: the driver's flag says not to */
	uint64_t calls_event;	 /* ... its event index is elsewhere */
	uint64_t calls_masked;	 /* ... the front-end took the call eventfd away */
	uint64_t calls_no_fd;	 /* ... it never gave one */
	uint64_t calls_failed;	 /* the eventfd was full or could not be written */
	uint64_t last_call;	 /* when one was sent */
	uint64_t notified;	 /* completed, when the device last notified */
	uint64_t called;	 /* completed, when the last call was sent */
	uint64_t reserved_call[7];
};

/* enum of the bits in vu_telemetry_config.state */
enum {
	VU_TELEMETRY_HAS_ADDR = 1 << 0,
	VU_TELEMETRY_STARTED = 1 << 1,
	VU_TELEMETRY_ENABLED = 1 << 2,
	VU_TELEMETRY_LIVE = 1 << 3,	/* its ring is in memory and is served */
	VU_TELEMETRY_STOPPING = 1 << 4, /* waits for what is in flight */
	VU_TELEMETRY_BROKEN = 1 << 5,	/* the driver broke it; see broken */
	VU_TELEMETRY_PACKED = 1 << 6,
	VU_TELEMETRY_EVENT_IDX = 1 << 7,
	VU_TELEMETRY_INDIRECT = 1 << 8,
	VU_TELEMETRY_HANDLER = 1 << 9, /* the library watches the kick eventfd */
	VU_TELEMETRY_INFLIGHT = 1 << 10, /* requests in flight are recorded */
	VU_TELEMETRY_LOGGED = 1 << 11,	 /* its used ring is */
	VU_TELEMETRY_MASKED = 1 << 12,	 /* the call eventfd was taken away */
};

/* A queue's configuration, under its sequence count.  Control thread, or who breaks it. */
struct vu_telemetry_config {
	uint64_t generation; /* starts of its ring */
	uint64_t state;	     /* VU_TELEMETRY_HAS_ADDR... */
	uint64_t size;	     /* entries */
	/* Where the ring is, as the front-end gave it ... */
	uint64_t desc_uaddr;
	uint64_t avail_uaddr;
	uint64_t used_uaddr;
	uint64_t log_gpa;
	/* ... and in this process; 0 without a ring. */
	uint64_t desc;
	uint64_t avail;
	uint64_t used;
	/* File descriptors, -1: none; ids as in /proc/PID/fdinfo, -1: none or not known. */
	int64_t kick_fd;
	int64_t call_fd;
	int64_t err_fd;
	int64_t kick_id;
	int64_t call_id;
	int64_t err_id;
	/* Indices and counters when the ring was started: see vu_telemetry_queue(). */
	uint64_t start_avail;	  /* next available entry */
	uint64_t start_used;	  /* next used entry */
	uint64_t start_taken;	  /* popped - unpopped - resubmitted */
	uint64_t start_completed; /* completed */
	uint64_t stop_avail;	  /* the index the last stop was answered with */
	uint64_t last_start;	  /* times */
	uint64_t last_stop;
	uint64_t last_enable;
	/* Signals the control thread sent itself: not the driver's, not the device's. */
	uint64_t self_kicks; /* counted in kick_values too */
	uint64_t extra_calls; /* not counted in calls */
	uint64_t annex;	     /* place of struct vu_telemetry_annex, 0: there is none */
	uint64_t annex_heads; /* entries of what follows it */
	uint64_t reserved[4];
	char broken[128]; /* why */
};

struct vu_telemetry_hist {
	uint64_t sum; /* of all values */
	uint64_t max; /* the largest */
	uint64_t reserved[6];
	uint64_t buckets[VU_HIST_BUCKETS]; /* see <libvu/hist.h> */
};

/*
 * What is kept for a queue once it has been started.  Behind it are annex_heads bytes:
 * for each descriptor that heads a chain in flight which of the starts is its own; 0
 * for those that do not, 255 for those that an earlier back-end had popped.
 */
struct vu_telemetry_annex {
	struct vu_telemetry_hist kick_to_pop; /* ns from reading a kick to the pop after it */
	struct vu_telemetry_hist service;     /* ns from pop to push */
	struct vu_telemetry_hist batch;	      /* requests found in one look */
	uint64_t starts[256];		      /* when requests in flight were popped */
};

enum vu_telemetry_type {
	VU_TELEMETRY_COUNTER = 1, /* only goes up */
	VU_TELEMETRY_GAUGE = 2,
	VU_TELEMETRY_TIME = 3, /* when something happened last */
	VU_TELEMETRY_ENUM = 4, /* help ends in ": 0 this, 1 that, ..." */
	VU_TELEMETRY_HIST = 5, /* struct vu_telemetry_hist */
};

enum vu_telemetry_place {
	VU_TELEMETRY_IN_DEVICE = 1, /* one for the device */
	VU_TELEMETRY_IN_COUNTERS = 2, /* one for each queue, here and below */
	VU_TELEMETRY_IN_CONFIG = 3,
	VU_TELEMETRY_IN_ANNEX = 4,
};

/* An entry of the directory. */
struct vu_telemetry_metric {
	char name[32];
	char unit[16];	 /* such as "ns" or "bytes"; empty: a plain number */
	uint32_t type;	 /* enum vu_telemetry_type */
	uint32_t place;	 /* enum vu_telemetry_place */
	uint32_t offset; /* in that structure */
	uint32_t count;	 /* elements: uint64_t or struct vu_telemetry_hist */
	char help[64];
};

enum vu_telemetry_event_kind {
	VU_TELEMETRY_CONNECTED = 1,  /* value: pid of the front-end, if known */
	VU_TELEMETRY_GONE = 2,	     /* the front-end closed the connection */
	VU_TELEMETRY_MESSAGE = 3,    /* code: which; result; value: ns it took */
	VU_TELEMETRY_PANIC = 4,	     /* the connection cannot go on: text */
	VU_TELEMETRY_START = 5,	     /* queue's ring; value: next available entry */
	VU_TELEMETRY_STOP = 6,	     /* value: next available entry; result: in flight */
	VU_TELEMETRY_ENABLE = 7,     /* queue; value: 1 enabled, 0 disabled */
	VU_TELEMETRY_BREAK = 8,	     /* queue: text says why */
	VU_TELEMETRY_MEMORY = 9,     /* value: regions now */
	VU_TELEMETRY_LOG = 10,	     /* value: 1 dirty logging on, 0 off */
	VU_TELEMETRY_RESET = 11,     /* of the device */
	VU_TELEMETRY_MIGRATION = 12, /* value: enum vu_telemetry_migration */
	VU_TELEMETRY_HANDOVER = 13,  /* text says which step */
	VU_TELEMETRY_NOTE = 14,	     /* of the device: text */
	VU_TELEMETRY_CLOSED = 15,    /* vu_deinit() */
};

struct vu_telemetry_event {
	uint64_t number; /* from 1; event n is in place n % events; 0: none, or half written */
	uint64_t time;
	uint16_t kind;	/* enum vu_telemetry_event_kind */
	int16_t queue;	/* -1: the device */
	uint32_t code;
	int32_t result; /* 0, negative errno, or as the kind says */
	uint32_t reserved;
	uint64_t value;
	char text[88];
};

#ifdef __cplusplus
#define VU_TELEMETRY_ASSERT(what) static_assert(what, #what)
#else
#define VU_TELEMETRY_ASSERT(what) _Static_assert(what, #what)
#endif
VU_TELEMETRY_ASSERT(sizeof(struct vu_telemetry_header) == 208);
VU_TELEMETRY_ASSERT(offsetof(struct vu_telemetry_header, lease) == 56);
VU_TELEMETRY_ASSERT(offsetof(struct vu_telemetry_header, pid) == 120);
VU_TELEMETRY_ASSERT(sizeof(struct vu_telemetry_lease) == 64);
VU_TELEMETRY_ASSERT(sizeof(struct vu_telemetry_device_block) == 2944);
VU_TELEMETRY_ASSERT(offsetof(struct vu_telemetry_device_block, by_request) == 192);
VU_TELEMETRY_ASSERT(offsetof(struct vu_telemetry_device_block, name) == 704);
VU_TELEMETRY_ASSERT(sizeof(struct vu_telemetry_counters) == 384);
VU_TELEMETRY_ASSERT(offsetof(struct vu_telemetry_counters, popped) == 64);
VU_TELEMETRY_ASSERT(offsetof(struct vu_telemetry_counters, batches) == 128);
VU_TELEMETRY_ASSERT(offsetof(struct vu_telemetry_counters, kicks) == 192);
VU_TELEMETRY_ASSERT(offsetof(struct vu_telemetry_counters, calls) == 256);
VU_TELEMETRY_ASSERT(sizeof(struct vu_telemetry_config) == 384);
VU_TELEMETRY_ASSERT(offsetof(struct vu_telemetry_config, broken) == 256);
VU_TELEMETRY_ASSERT(sizeof(struct vu_telemetry_hist) == 4800);
VU_TELEMETRY_ASSERT(sizeof(struct vu_telemetry_annex) == 16448);
VU_TELEMETRY_ASSERT(sizeof(struct vu_telemetry_metric) == 128);
VU_TELEMETRY_ASSERT(sizeof(struct vu_telemetry_event) == 128);
#undef VU_TELEMETRY_ASSERT

/* --- the reader --- */

struct vu_telemetry;

/**
 * vu_telemetry_open - open a segment
 * @path: of the file
 * @out: to be closed
 * @why: NULL, or a buffer for a text for a person, which says what is wrong
 * @why_size: bytes of it
 *
 * Takes the first snapshot.  A symbolic link, a file that is not a regular one, and a
 * file of somebody else's are refused: it must belong to the caller or to root; root
 * may also open what belongs to the user of the process it speaks of, and black boxes
 * of dead ones.
 *
 * Returns: 0; -EAGAIN: it is being made, or was left half made; -EPROTONOSUPPORT: of
 * another version or byte order; -EBADMSG: not a telemetry file, or a damaged one;
 * -EPERM: somebody else's; -ELOOP: a symbolic link; other negative errno.
 */
int vu_telemetry_open(const char *path, struct vu_telemetry **out, char *why,
		      size_t why_size);

/* The same for a @name in the folder @dirfd. */
int vu_telemetry_openat(int dirfd, const char *name, struct vu_telemetry **out, char *why,
			size_t why_size);

/**
 * vu_telemetry_close - end with it
 * @t: may be NULL
 */
void vu_telemetry_close(struct vu_telemetry *t);

/**
 * vu_telemetry_refresh - take a new snapshot
 * @t: the segment
 *
 * Three reads of the file, of about 3 KiB and 0.8 KiB a queue.  What a sequence count
 * guards is read again, a few times, if it changed meanwhile.
 *
 * Returns: 0; -ENODATA: the file was made shorter; -EBADMSG: its header has changed;
 * other negative errno.  The old snapshot then stays.
 */
int vu_telemetry_refresh(struct vu_telemetry *t);

/* When the snapshot was taken (CLOCK_MONOTONIC, ns). */
uint64_t vu_telemetry_taken(const struct vu_telemetry *t);

/* The header, with texts that end. */
const struct vu_telemetry_header *vu_telemetry_header(const struct vu_telemetry *t);

/* The user the file belongs to. */
uid_t vu_telemetry_owner(const struct vu_telemetry *t);

enum vu_telemetry_process {
	VU_TELEMETRY_RUNNING = 1,
	VU_TELEMETRY_FROZEN = 2,    /* stopped by a signal or a debugger */
	VU_TELEMETRY_DEAD = 3,	    /* or a zombie, or its pid is another process's now */
	VU_TELEMETRY_ELSEWHERE = 4, /* in another pid name space: nothing is known */
};

/**
 * vu_telemetry_process - what has become of the process that writes
 * @t: the segment
 *
 * Looks at /proc now.
 */
enum vu_telemetry_process vu_telemetry_process(const struct vu_telemetry *t);

/* A device, as of the last snapshot. */
struct vu_telemetry_device {
	struct vu_telemetry_device_block block;
	bool torn; /* caught in the middle of a change, for longer than was waited */
};

/**
 * vu_telemetry_device - what is known of the device
 * @t: the segment
 * @out: filled in; texts end, and have no bytes but printable ASCII
 */
void vu_telemetry_device(const struct vu_telemetry *t, struct vu_telemetry_device *out);

/* A queue, as of the last snapshot. */
struct vu_telemetry_queue {
	struct vu_telemetry_counters counters; /* popped and completed up to date */
	struct vu_telemetry_config config;
	bool torn; /* as above; counters may then be a few requests behind */
	/* From these: */
	uint64_t inflight;	/* popped and not yet completed */
	uint64_t wakeups_empty; /* wake-ups that have popped nothing, yet */
};

/**
 * vu_telemetry_queue - what is known of a queue
 * @t: the segment
 * @queue: less than the header's queues
 * @out: filled in
 *
 * Returns: 0; -ERANGE: there is no such queue.
 */
int vu_telemetry_queue(const struct vu_telemetry *t, unsigned int queue,
		       struct vu_telemetry_queue *out);

/**
 * vu_telemetry_oldest - since when the oldest request in flight is
 * @t: the segment
 * @queue: a queue
 * @since: out: when it was popped; 0: nothing is in flight, or it is not known
 *
 * Reads the file, if the snapshot has requests in flight.
 *
 * Returns: 0; -ERANGE; another negative errno.
 */
int vu_telemetry_oldest(struct vu_telemetry *t, unsigned int queue, uint64_t *since);

/* --- metrics by name, also those this version does not know --- */

/* How many there are. */
unsigned int vu_telemetry_metrics(const struct vu_telemetry *t);

/* One of them; its texts end.  NULL if there are not so many. */
const struct vu_telemetry_metric *vu_telemetry_metric(const struct vu_telemetry *t,
						      unsigned int i);

/* The number of the metric of this name and place; -ENOENT. */
int vu_telemetry_find(const struct vu_telemetry *t, enum vu_telemetry_place place,
		      const char *name);

/**
 * vu_telemetry_value - a number of a metric, as of the last snapshot
 * @t: the segment
 * @metric: its number; any but a histogram
 * @queue: whose; of no meaning for a device's
 * @element: less than the metric's count
 * @value: out
 *
 * Returns: 0; -ERANGE: there is no such metric, queue or element; -ENOTSUP: a metric of
 * a type or in a place that this version does not know, or a histogram.
 */
int vu_telemetry_value(const struct vu_telemetry *t, unsigned int metric, unsigned int queue,
		       unsigned int element, uint64_t *value);

/**
 * vu_telemetry_hist - a histogram
 * @t: the segment
 * @metric: its number
 * @queue: whose
 * @out: filled in; from the file as it is now
 *
 * Returns: 0; -ENOENT: the queue has not been started; -ERANGE; -ENOTSUP: not a
 * histogram; another negative errno.
 */
int vu_telemetry_hist(struct vu_telemetry *t, unsigned int metric, unsigned int queue,
		      struct vu_telemetry_hist *out);

/**
 * vu_telemetry_watch - have histograms kept for a while
 * @t: the segment
 * @seconds: from now on, up to VU_TELEMETRY_LEASE_MAX; 0: no longer
 *
 * Ends by itself, so that a reader that dies costs nothing.  A reader that wants more
 * asks again in time.  The process takes notice at its next batch of requests.  Needs
 * permission to write the file.
 *
 * Returns: 0; -EACCES; -EINVAL; another negative errno.
 */
int vu_telemetry_watch(struct vu_telemetry *t, unsigned int seconds);

/**
 * vu_telemetry_events - the black box
 * @t: the segment
 * @out: room for @room events
 * @room: how many
 * @lost: NULL, or out: events that have been overwritten, or were being written
 *
 * The last @room events, oldest first, from the file as it is now.  Texts end, and
 * have no bytes but printable ASCII.
 *
 * Returns: how many; a negative errno.
 */
int vu_telemetry_events(struct vu_telemetry *t, struct vu_telemetry_event *out,
			unsigned int room, uint64_t *lost);

/* "message" for VU_TELEMETRY_MESSAGE, and so on; "unknown". */
const char *vu_telemetry_event_name(unsigned int kind);

/* "log" for VU_TELEMETRY_MIGRATION_LOG, and so on; "unknown". */
const char *vu_telemetry_migration_name(unsigned int phase);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
