/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A back-end in a process of its own that misbehaves on demand, in ways back-ends have
 * misbehaved; a front-end here; and a sampler that looks at both from outside.
 */
#ifndef VU_TESTS_BADBACK_H
#define VU_TESTS_BADBACK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "libvu/frontend.h"
#include "observe/diagnose.h"
#include "observe/sample.h"

/* What the back-end does when a queue is kicked. */
enum bad {
	BAD_NOT,	   /* serves everything, then tells the driver */
	BAD_SLEEP,	   /* reads the kick and goes to sleep in its handler */
	BAD_SPIN,	   /* ... and computes for ever */
	BAD_SWALLOW,	   /* ... and does nothing */
	BAD_HOLD,	   /* fetches, and completes nothing */
	BAD_NO_CALL,	   /* completes, and does not tell */
	BAD_LEAVE_OFF,	   /* serves with notifications off, and leaves them off */
	BAD_UNWATCHED,	   /* has lost the kick eventfd from its poll set */
	BAD_EAT_DISABLED,  /* looks only while enabled; drains the eventfd on enabling */
	BAD_SLOW,	   /* serves one every five milliseconds */
	BAD_POLL,	   /* does not wait for kicks: looks all the time */
	BAD_RX,		   /* fetches a buffer for each packet, which come all the time */
};

struct rig_options {
	enum bad bad;
	const char *name;	/* of the device: tells its type; NULL: "disk" */
	uint64_t not_features;	/* not to be negotiated */
	unsigned int num;	/* entries, 0: 64 */
	unsigned int flags;	/* of the queue: VU_FRONTEND_DISABLED and the like */
	bool no_queue;		/* leave it to the test */
	bool packed;
};

struct rig {
	char dir[40];
	pid_t backend;
	int control; /* to the back-end: a byte is another enum bad */
	struct vu_frontend *fe;
	struct vu_frontend_queue *q;
	struct vu__sampler *sampler;
	struct vu__obs_snapshot *snaps[64]; /* the last ones, oldest first */
	unsigned int nsnaps;
	struct vu__obs_verdict verdict; /* the last */
};

/* Serves the front-end at the other end of @sock for ever; @control: as in struct rig, or -1. */
void run_bad_backend(enum bad bad, const char *name, int sock, int control);

void rig_start(struct rig *r, const struct rig_options *opt);
void rig_end(struct rig *r);

/* Makes @n requests of two buffers available, without a kick. */
void rig_submit(struct rig *r, unsigned int n);
void rig_kick(struct rig *r);

/* Waits until the back-end has read the kick eventfd. */
void rig_wait_kick_read(struct rig *r);

/* Waits for all that was made available, and takes it. */
void rig_reap(struct rig *r);

/* Takes a snapshot and judges queue @queue, with @patience_ms. */
enum vu__obs_verdict_id rig_look(struct rig *r, uint16_t queue, unsigned int patience_ms);

/*
 * Looks until the verdict is @id, for 10 s at most, and then some more: it stays.  On
 * the way there is no other alarm.  The evidence has @word in it.
 */
void rig_expect(struct rig *r, enum vu__obs_verdict_id id,
		enum vu__obs_confidence confidence, const char *word);

/* Looks for @ms while @busy, if any, is called again and again: no alarm is raised. */
void rig_expect_healthy(struct rig *r, enum vu__obs_verdict_id id, unsigned int ms,
			void (*busy)(struct rig *r));

/* The last look. */
const struct vu__obs_queue *rig_queue(const struct rig *r, uint16_t queue);

#endif
