/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The new side of a hand-over: what take.c and setup.c share. */
#ifndef VU_STATE_TAKE_H
#define VU_STATE_TAKE_H

#include "proto/control.pb-c.h"
#include "state/control.h"
#include "state/handover.h"

struct vu__take {
	int chan;
	struct vu__handover_page *page;
	struct vu__snap snap;	/* as the new one was set up by */
	uint32_t expected, got; /* descriptors */
	/* Each is ours until the device has it; -1 without. */
	int sock, listener, channel, log, log_call, inflight;
	int *regions; /* of snap.nregions */
	struct {
		int kick, call, err;
		int kick_kind; /* as vu__take_event() says; -1: not known */
	} queues[VU__MAX_QUEUES];
	int quiet;    /* the other end of what the event loop sees as the front-end */
	/* What is done piece by piece: mapping pages in; what has time until it serves. */
	int work; /* eventfd that is always readable, or -1 */
	unsigned int region;
	uint64_t at;
	bool ready;
	bool owner;
	unsigned int rest; /* the queue that comes next when it serves: finish_next() */
	bool finished;	   /* nothing is left of that */
	bool released;	   /* by the old one */
	bool with_listener;
	bool answered; /* the tool knows */
	uint8_t room[VU__HANDOVER_PACKET]; /* here, for the heap not to grow in the pause */
};

/* Keeps a descriptor that has come.  0 or -EPROTO if it is not one to come. */
VU_MUST_CHECK int vu__take_file(struct vu__take *t, const Vu__Control__Files__File *f, int fd);
void vu__take_close_files(struct vu__take *t);

/*
 * Makes the device what the description says, all but its queues' start: by the requests
 * a front-end would have made.  0 or -errno with the reason in d->why.
 */
VU_MUST_CHECK int vu__take_set_up(struct vu__control *c);

/*
 * The same of all that the offer says is other than described; then checks that the rings
 * of queues to be started are where the old one says, and loads the device's state.
 */
VU_MUST_CHECK int vu__take_check_offer(struct vu__control *c, struct vu__handover_packet *p);

/* The same with what is known already, so that it goes well, and fast.  Likewise. */
VU_MUST_CHECK int vu__take_rehearse(struct vu__control *c);

/* Starts a queue.  Likewise. */
VU_MUST_CHECK int vu__take_start_queue(struct vu__control *c, const struct vu__snap_queue *q);

/* Maps in the next piece of what guest memory there is.  False: there is no more. */
bool vu__take_populate(struct vu__control *c);

#endif
