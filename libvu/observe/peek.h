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
	bool packed, event_idx;
	uint64_t desc, avail, used;
	/* What was seen, if ret is 0. */
	int ret;		  /* -EFAULT: no memory there; -ESRCH, -EPERM, -EINVAL */
	struct vu__obs_ring ring; /* torn too, but nothing of VU__OBS_POSITION */
	uint64_t mono_ns;
	bool want_head;
};

/*
 * Reads @n rings, with few system calls if those of one process are together.  Of each
 * the used index is read first and last; a ring whose used index has moved meanwhile is
 * read again, a few times, then torn.
 */
void vu__peek_rings(struct vu__peek *peeks, size_t n);

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

/*
 * How many descriptors of a packed ring are available from @last_avail (an offset with
 * the wrap counter in bit 15) on, into ring.pending.  0 or -errno.
 */
VU_MUST_CHECK int vu__peek_packed(struct vu__peek *p, uint16_t last_avail);

/* CLOCK_MONOTONIC. */
uint64_t vu__obs_now(void);

#endif
