/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the sampler share. */
#ifndef VU_OBSERVE_SAMPLEIMPL_H
#define VU_OBSERVE_SAMPLEIMPL_H

#include "observe/find.h"
#include "observe/peek.h"
#include "observe/rates.h"
#include "observe/sample.h"

/* What a queue was like at the last snapshot. */
struct vu__was {
	uint64_t popped, completed;
	uint16_t avail_idx, used_idx, last_avail;
	bool seen;
	uint16_t nbuckets[VU__OBS_LATENCIES]; /* of its histograms, when they were read */
};

/* A telemetry file. */
struct vu__seg {
	struct vu__found_segment name;
	struct vu_telemetry *t; /* NULL: cannot be read */
	uint64_t start_time;
	char why[160];
	bool there; /* in the folder, when it was last listed */
	bool alive;
	pid_t control_tid; /* as of the last snapshot; 0: not known */
	int hist_metric[VU__OBS_LATENCIES]; /* -errno: its version has none */
	uint32_t nwas;
	struct vu__was *was;
};

/* A queue of a back-end without telemetry. */
struct vu__fq {
	struct vu__qmp_queue at; /* num 0: not set up */
	bool started;		 /* the machine has told the back-end to serve it */
	struct vu__obs_index avail, used;
	struct vu__was was;
	int kick_fd, call_fd; /* in the back-end; VU__OBS_FD_UNKNOWN */
	int64_t kick_id, call_id;
};

/* A connection of such a back-end. */
struct vu__foreign {
	pid_t pid;
	uint64_t start_time;
	uint64_t inode;
	uint32_t number;
	bool there;
	bool waits;   /* it was seen to wait for kicks, or is of a kind that does */
	bool stopped; /* ... and has no eventfd any more to wait for */
	bool distrusted;
	struct vu__found_link link;
	pid_t vmm_pid;
	uint64_t vmm_start;
	char name[64];
	uint32_t virtio_id;
	uint64_t features;
	uint32_t generation;
	uint32_t nqueues;
	struct vu__fq *queues;
	pid_t watcher; /* the thread last seen to wait for kicks; 0 */
};

/* What does not change about a process. */
struct vu__who {
	pid_t pid;
	uint64_t start_time;
	bool used; /* by the last snapshot */
	uid_t uid;
	char comm[VU__PROCFS_COMM];
	char cmdline[256]; /* for a person */
	char vm_name[64];  /* as its command line has it, should it be a machine's */
};

struct vu__sampler {
	struct vu__sample_options opt;
	struct vu__procfs proc;
	struct vu__find *find; /* NULL: libvu_only */
	const struct vu__found *found;
	int64_t find_at;
	char find_trouble[160];
	char dir_trouble[160];
	bool has_focus;
	struct vu__sample_focus focus;
	size_t nsegs, nforeign, nwho;
	uint32_t procs_room, devs_room, queues_room, regions_room; /* of the last snapshot */
	struct timespec dir_mtime;
	struct vu__who *who;
	struct vu__seg **segs;	      /* by pid, number */
	struct vu__foreign **foreign; /* by pid, number */
};

/* A snapshot while it is made. */
struct vu__taking {
	struct vu__sampler *s;
	struct vu__obs_snapshot *snap;
	uint32_t procs_room, devs_room, queues_room, regions_room;
	/* By queue: */
	struct vu__was **was;
	struct vu__peek *peeks; /* size 0: not to be read */
	bool *more;	        /* more is to be read: samplemore.c */
	/* By device, one of the two: */
	struct vu__seg **seg_of;
	struct vu__foreign **foreign_of;
};

/*
 * The place of a process, added if it is new; -ENOMEM.  @alive: as far as is known; it
 * is looked at.
 */
int64_t vu__take_process(struct vu__taking *t, pid_t pid, uint64_t start_time,
			 uint8_t role, enum vu__obs_kind kind);

/* Room for one more of each; NULL: no memory.  Pointers to others become invalid. */
struct vu__obs_device *vu__take_device(struct vu__taking *t, struct vu__seg *seg,
				       struct vu__foreign *foreign);
struct vu__obs_queue *vu__take_queue(struct vu__taking *t, struct vu__was *was,
				     struct vu__peek **peek);
struct vu__obs_region *vu__take_region(struct vu__taking *t);

static inline uint32_t vu__place_in(const void *array, const void *one, size_t size)
{
	return ((const char *)one - (const char *)array) / size;
}

/* --- segments: samplelibvu.c --- */

/* Opens those that are new, closes those that have gone. */
void vu__segs_update(struct vu__sampler *s);
void vu__segs_release(struct vu__sampler *s);
struct vu__seg *vu__segs_find(struct vu__sampler *s, pid_t pid, uint32_t number);
/* When it has been opened: where its histograms are. */
void vu__seg_find_hists(struct vu__seg *seg);
/* Whether connection @inode of @pid is one that a segment tells of. */
bool vu__segs_have(struct vu__sampler *s, pid_t pid, uint64_t inode);
/* Adds its device and queues.  0 or -ENOMEM. */
int vu__seg_take(struct vu__taking *t, struct vu__seg *seg);
/*
 * The back-end's place in a ring that was read, and what follows from that.  @told: what
 * its segment said before.
 */
void vu__seg_place(struct vu__taking *t, struct vu__seg *seg, struct vu__obs_queue *q,
		   struct vu__peek *p, const struct vu__obs_ring *told);

/* --- others: sampleforeign.c --- */

void vu__foreign_update(struct vu__sampler *s);
void vu__foreign_release(struct vu__sampler *s);
int vu__foreign_take(struct vu__taking *t, struct vu__foreign *f);
void vu__foreign_place(struct vu__foreign *f, struct vu__obs_queue *q,
		       const struct vu__peek *p);
/* Takes into account how far a ring has gone on. */
void vu__foreign_see(struct vu__fq *fq, const struct vu__peek *p);
/* Where queue @fq is read. */
void vu__foreign_peek(const struct vu__foreign *f, const struct vu__fq *fq,
		      struct vu__peek *p);

/* --- what costs more: samplemore.c --- */

/* Reads eventfds and threads of queues in need. */
void vu__more_take(struct vu__taking *t);

/* Finds who serves in place of the dead. */
void vu__more_heirs(struct vu__obs_snapshot *snap);

#endif
