/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Following a chain of descriptors through a ring and its indirect tables. */
#ifndef VU_CORE_CHAIN_H
#define VU_CORE_CHAIN_H

#include "core/ring.h"

/* What a chain is made of.  The iovecs are in the ring's scratch, readable ones first. */
struct vu__chain {
	unsigned int descs;
	unsigned int out_num; /* iovecs the device reads */
	unsigned int in_num;  /* iovecs it writes, after those */
};

/*
 * Collects the chain that begins at @head < size into r->iov.  False: the ring is
 * broken now.
 */
VU_MUST_CHECK bool vu__chain_collect(struct vu__ring *r, unsigned int head,
				     struct vu__chain *chain);

/* Adds the bytes of the chain at @head to *@in and *@out.  False as above. */
VU_MUST_CHECK bool vu__chain_sum(struct vu__ring *r, unsigned int head, uint64_t *in,
				 uint64_t *out);

#endif
