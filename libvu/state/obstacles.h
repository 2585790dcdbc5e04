/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in the way of moving a device now. */
#ifndef VU_STATE_OBSTACLES_H
#define VU_STATE_OBSTACLES_H

#include "backend/dev.h"

#define VU__OBSTACLES 8

struct vu__obstacles {
	unsigned int n;
	char why[VU__OBSTACLES][200];
};

/* All of them, for people. */
void vu__find_obstacles(struct vu__dev *d, struct vu__obstacles *o);

/* Whether no front-end has said anything of memory or queues yet. */
bool vu__is_fresh(const struct vu__dev *d);

#endif
