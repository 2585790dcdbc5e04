/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of world share. */
#ifndef VU_TRACE_WORLDIMPL_H
#define VU_TRACE_WORLDIMPL_H

#include "world.h"

#define MAX_FACTS 4096

/* A growing array. */
struct list {
	void *at;
	size_t n, size;
};

/* What a slot stands for, so that it stays when queues come and go. */
struct slot {
	uint32_t vmm, backend, device, index;
};

struct world {
	struct vu__procfs proc;
	struct scanner *scanner;
	struct scan_rec *recs;
	size_t nrecs;
	struct list procs, links, watches, facts, slots, waiters;
	struct found found;
	struct topo topo;
};

/* Room for one more element of @size bytes, zeroed; NULL without memory. */
void *world_append(struct list *l, size_t size);

/* Connected pairs of sockets among the processes that were found. */
void world_find_links(struct world *w);

/* What telemetry says of queues; that of the last look is forgotten. */
void world_find_told(struct world *w);

#endif
