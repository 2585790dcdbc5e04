/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The old side of a hand-over: what give.c and files.c share. */
#ifndef VU_STATE_GIVE_H
#define VU_STATE_GIVE_H

#include "proto/control.pb-c.h"
#include "state/control.h"
#include "state/handover.h"

/* A descriptor to be sent, and what it is.  It is the device's. */
struct vu__give_file {
	Vu__Control__Files__Kind kind;
	unsigned int index;
	int fd;
};

struct vu__give {
	int chan;
	struct vu__handover_page *page;
	int page_fd;
	struct vu__snap snap;
	/* What was sent is still true if these have not changed. */
	uint64_t epoch;
	uint64_t fd_epochs[VU__MAX_QUEUES];
	struct vu__give_file *files;
	unsigned int nfiles, sent;
	uint32_t timeout_ms, pause_ms;
	bool dry_run;
	bool takes_data; /* the new one: a small state in the offer */
	bool held;    /* nothing is popped */
	bool hushed;  /* the driver is not called: until HUSH_MS are over */
	bool locked;  /* threads are kept out, kicks unwatched */
	bool offered; /* the word was changed */
	bool gone;    /* the new one has it */
	uint8_t room[VU__HANDOVER_PACKET];
};

/* All descriptors of the device.  0 or -ENOMEM. */
VU_MUST_CHECK int vu__give_list_files(struct vu__dev *d, struct vu__give *g);

/* Sends the next packets, as many as there is room for.  1: all are sent; 0; -errno. */
VU_MUST_CHECK int vu__give_send_files(struct vu__give *g);

/*
 * Files of queues whose eventfds have changed since they were listed, into @list.  How
 * many; -E2BIG if they do not fit a packet.
 */
VU_MUST_CHECK int vu__give_changed_files(struct vu__dev *d, const struct vu__give *g,
					 struct vu__give_file list[VU__HANDOVER_FDS]);

/*
 * The device's state, in the offer if it is small and the new one takes that, or in a file,
 * which is then *@fd and the caller's.  0 or -errno.
 */
VU_MUST_CHECK int vu__give_add_state(const struct vu__give *g, Vu__Control__Offer *offer,
				     int *fd);

#endif
