/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watching what a back-end writes. */
#ifndef VU_MIGRATE_DIRTY_H
#define VU_MIGRATE_DIRTY_H

#include "state/snap.h"
#include "vu-migrate/client.h"
#include "vu-migrate/pages.h"

struct dirty_watch {
	struct vu__snap snap; /* its regions */
	unsigned int nqueues;
	uint64_t npages;
	uint64_t stride; /* bytes from one queue's bitmap to the next */
	int fd;
	uint8_t *map;
	struct pages pages;
};

/* Looks for so long; @live: says so meanwhile.  0 or the exit status after saying why. */
int dirty_measure(struct client *c, struct dirty_watch *w, double seconds, bool live);

/* Ends with the client's connection; also after a failure. */
void dirty_end(struct dirty_watch *w);

#endif
