/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ring as it is in the memory of a process, read from outside with
 * process_vm_readv(): nothing in that process runs for it, so that it may hang.
 */
#ifndef VU_OBSERVE_PEEK_H
#define VU_OBSERVE_PEEK_H

#include "base/util.h"
#include "observe/model.h"

struct vu__peek {
	/* Where. */
	pid_t pid;
	uint32_t size; /* entries, a power of two unless packed, at most 32768 */
	bool packed, event_idx, in_order;
	uint64_t desc, avail, used;
	/* Packed: where the back-end says it is, and where both sides were before. */
	bool told, seen;
	uint16_t last_avail, used_place;
	uint16_t was_avail, was_used;
	/* What was seen, if ret is 0. */
	int ret;		  /* -EFAULT: no memory there; -ESRCH, -EPERM, -EINVAL */
	struct vu__obs_ring ring; /* torn too; of VU__OBS_POSITION only what was told */
	uint64_t mono_ns;
	bool want_head;
	/* Packed, since it was seen: descriptors each side went on by, and requests. */
	uint32_t avail_steps, used_steps;
	uint32_t made_available, completed;
};

/*
 * Reads @n rings, with few system calls if those of one process are together.  Of each
 * the used index is read first and last; a ring whose used index has moved meanwhile is
 * read again, a few times, then torn.  For packed rings see vu__peek_packed().
 */
void vu__peek_rings(struct vu__peek *peeks, size_t n);

/*
 * Reads a sane packed ring: its descriptors twice, and again, a few times, if they went
 * on by more than a bit meanwhile.  Whom they tell of, and how well:
 *  - the driver's place, exactly: descriptors before it are of the lap it is in, those
 *    from it on of the one before;
 *  - the back-end's next used descriptor, unless it is told: behind the last that is
 *    used, and what the request there took of descriptors that are not written again.
 *    That is guessed from ids and from the length of the one before; it may be wrong for
 *    one request.  The driver's event may tell;
 *  - requests between places: those to be served end where there is no NEXT, and those
 *    served have one used descriptor each.
 * Sets p->ret.
 */
void vu__peek_packed(struct vu__peek *p);

/*
 * Fills in the back-end's place in the ring: @last_avail was read before the ring was;
 * ring.torn if it is impossible and @again, read after, is another.  used_idx too for
 * a split ring's requests in flight.
 */
void vu__peek_place(struct vu__obs_ring *ring, uint32_t size, uint16_t last_avail,
		    uint16_t again);

/*
 * The heads at the back-end's places in @n split rings, with few system calls if those
 * of one process are together.  Of those that want_head says, at ring.last_avail, into
 * ring.head; want_head is false then of those that could not be read.
 */
void vu__peek_heads(struct vu__peek *peeks, size_t n);

/* CLOCK_MONOTONIC. */
uint64_t vu__obs_now(void);

#endif
