/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing a telemetry segment.  <libvu/telemetry.h> has the layout.
 *
 * A device always has one.  Where it cannot have a file (the run directory is off, or
 * not to be had), or the library was configured without telemetry, it is ordinary
 * memory that nobody reads, so that who writes need not ask.
 *
 * Threads: what is under a sequence count and the black box may be written by any
 * thread, a lock is taken; counters have one writer each.
 */
#ifndef VU_CORE_TELEMETRY_H
#define VU_CORE_TELEMETRY_H

#include <pthread.h>

#include "base/util.h"
#include "libvu/telemetry.h"

struct vu__annex_map {
	struct vu_telemetry_annex *annex; /* NULL: none */
	size_t len;
	uint64_t heads;
};

struct vu__telemetry {
	/* Parts of one piece of memory. */
	struct vu_telemetry_header *head;
	struct vu_telemetry_lease *lease;
	uint32_t *seqs;
	struct vu_telemetry_device_block *device;
	struct vu_telemetry_counters *counters; /* one a queue */
	struct vu_telemetry_config *configs;	/* likewise */
	struct vu_telemetry_event *events;
	struct vu__annex_map *annexes; /* one a queue */
	size_t len;	/* of that memory */
	uint64_t end;	/* of the file */
	unsigned int queues;
	unsigned int number;
	uint64_t last_event; /* its number */
	int dir;	/* the run directory, or -1 */
	int fd;		/* the file, or -1 */
	char name[48];	/* its name in there */
	pid_t pid;	/* who may remove it */
	pthread_mutex_t lock;
};

/*
 * A segment for device @number with @queues queues.  0 or -ENOMEM; that it has no file
 * is a warning, once a process.
 */
VU_MUST_CHECK int vu__telemetry_new(unsigned int number, unsigned int queues,
				    struct vu__telemetry **out);

/* The clean end: the file is removed.  NULL is fine. */
void vu__telemetry_free(struct vu__telemetry *t);

/*
 * Called now and then: a process that has forked since, and goes on in the child, takes
 * the file over.
 */
void vu__telemetry_adopt(struct vu__telemetry *t);

/* CLOCK_MONOTONIC in ns. */
uint64_t vu__telemetry_now(void);

/* Between these two, what is under the device's sequence count may be changed. */
struct vu_telemetry_device_block *vu__telemetry_edit_device(struct vu__telemetry *t);
void vu__telemetry_done_device(struct vu__telemetry *t);

/* ... and a queue's. */
struct vu_telemetry_config *vu__telemetry_edit_queue(struct vu__telemetry *t,
						     unsigned int queue);
void vu__telemetry_done_queue(struct vu__telemetry *t, unsigned int queue);

/*
 * Makes room for histograms and for the start times of @heads requests.  NULL: there is
 * no file, or no space, and the queue goes without.  The queue must not be served now.
 */
struct vu_telemetry_annex *vu__telemetry_annex(struct vu__telemetry *t, unsigned int queue,
					       unsigned int heads);

/* Into the black box.  @e's time and number are filled in; @fmt, if not NULL, its text. */
void vu__telemetry_event(struct vu__telemetry *t, struct vu_telemetry_event e,
			 const char *fmt, ...) VU_PRINTF(3, 4);

/* What a reader's vu_telemetry_watch() does, for who is asked in another way. */
int vu__telemetry_watch(struct vu__telemetry *t, unsigned int seconds);

/*
 * Black boxes in the run directory @dir: those of processes found dead are made
 * read-only, which dates their finding; of these, old ones and too many are removed.
 */
#define VU__BLACK_BOXES	    16u
#define VU__BLACK_BOX_DAYS  7
void vu__telemetry_prune(int dir);

#endif
