/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hand-over: two processes, old (give.c) and new (take.c), on a channel that a tool has
 * given them.  proto/README.md tells the protocol, step by step.
 *
 * Who owns the device is one word in memory that both have mapped.  The old one offers,
 * the new one takes by a compare-and-swap, and until that has happened the old one can
 * withdraw by another.  So there is one owner at every instant, whoever is killed when.
 */
#ifndef VU_STATE_HANDOVER_H
#define VU_STATE_HANDOVER_H

#include "backend/dev.h"

#define VU__HANDOVER_VERSION 1

/* In one packet. */
#define VU__HANDOVER_FDS 64u
#define VU__HANDOVER_PACKET 65536u

enum vu__owner { VU__OWNER_OLD, VU__OWNER_OFFERED, VU__OWNER_NEW, VU__OWNER_OLD_AGAIN };

struct vu__handover_page {
	uint32_t magic;
	uint32_t version;
	uint32_t owner; /* enum vu__owner */
	uint32_t padding;
	uint64_t asked_ns, ready_ns;
	struct vu__handover_times {
		uint64_t frozen_ns;  /* it popped no more */
		uint64_t offered_ns; /* nothing was in flight any more */
		uint64_t served_ns;  /* by the new one */
	} queues[VU__MAX_QUEUES];
};

/* Changes the owner from one to another.  False if it was not that one. */
static inline bool vu__owner_change(struct vu__handover_page *p, enum vu__owner from,
				    enum vu__owner to)
{
	uint32_t was = from;

	/*
	 * All that one has written to the guest's memory and to this page is seen by the
	 * other before it sees itself as the owner.
	 */
	return __atomic_compare_exchange_n(&p->owner, &was, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

/* New shared memory.  NULL with errno; the fd, which is sealed, in *@fd. */
struct vu__handover_page *vu__handover_page_new(int *fd);

/* Maps what the old one sends.  NULL with the reason in @why. */
struct vu__handover_page *vu__handover_page_map(int fd, char *why, size_t why_size);
void vu__handover_page_free(struct vu__handover_page *p); /* NULL is fine */

/* --- packets --- */

struct Vu__Control__Handover;

/* Sends one with fds, which stay the caller's; never waits.  0 or -errno. */
int vu__handover_send(int chan, struct Vu__Control__Handover *m, const int *fds,
		      unsigned int nfds);

struct vu__handover_packet {
	struct Vu__Control__Handover *m;
	int fds[VU__HANDOVER_FDS]; /* closed with it, if not set to -1 */
	unsigned int nfds;
};

/*
 * Receives one, by way of @room, of VU__HANDOVER_PACKET bytes; never waits.  1; 0 at the
 * end; -EAGAIN; -EPROTO if it does not parse, or other -errno.  Only with 1 it is to be
 * released.
 */
VU_MUST_CHECK int vu__handover_receive(int chan, uint8_t *room, struct vu__handover_packet *p);
void vu__handover_release(struct vu__handover_packet *p);

/* --- steps --- */

/* In the order they come; each names who is at it. */
#define VU__STEPS(X)                                                                     \
	X(TAKE_ASKED, "take-asked")	    /* new: the tool has given it the channel */ \
	X(GIVE_ASKED, "give-asked")	    /* old: likewise */                          \
	X(GIVE_SENT, "give-sent")	    /* old: description and files are sent */    \
	X(TAKE_RECEIVED, "take-received")   /* new: they are there, and fit */           \
	X(TAKE_MAPPED, "take-mapped")	    /* new: memory is mapped, queues prepared */ \
	X(TAKE_READY, "take-ready")	    /* new: it has said so */                    \
	X(GIVE_READY, "give-ready")	    /* old: it has heard it */                   \
	X(GIVE_FROZEN, "give-frozen")	    /* old: nothing is popped any more */        \
	X(GIVE_DRAINED, "give-drained")	    /* old: nothing is in flight */              \
	X(GIVE_OFFERED, "give-offered")	    /* old: the word says so, not yet sent */    \
	X(GIVE_OFFER_SENT, "give-offer-sent")                                            \
	X(TAKE_OFFER_SEEN, "take-offer-seen")                                            \
	X(TAKE_OWNER, "take-owner")	    /* new: it is the owner, not yet serving */  \
	X(TAKE_LIVE, "take-live")	    /* new: queues are served */                 \
	X(TAKE_SAID, "take-said")	    /* new: the old one has been told */         \
	X(GIVE_OWNER_CHANGED, "give-owner-changed")                                      \
	X(GIVE_RELEASED, "give-released")   /* old: it holds nothing any more */         \
	X(TAKE_DONE, "take-done")

enum vu__step {
#define VU__STEP(name, text) VU__STEP_##name,
	VU__STEPS(VU__STEP)
#undef VU__STEP
	VU__STEP_COUNT
};

const char *vu__step_name(enum vu__step step);

/* A device is there: goes into its black box. */
void vu__handover_step(struct vu__dev *d, enum vu__step step);

/* It was not to be. */
void vu__handover_failed(struct vu__dev *d, int err, const char *why);

/*
 * Called at each step.  Does nothing but a debug line; the tests' programs have another
 * of this name, which stops or kills the process.
 */
void vu__step_at(enum vu__step step);

#endif
