/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Will a live migration come to its end?  Memory is sent round by round, and what is
 * written meanwhile is sent again; so what counts is how many different pages are written
 * within a round's time, which one number does not tell.  Pure.
 */
#ifndef VU_MIGRATE_ESTIMATE_H
#define VU_MIGRATE_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>

#define EST_POINTS 8
#define EST_ROUNDS 30

/* Bytes written at least once within so many seconds; both rise. */
struct est_curve {
	size_t n;
	double seconds[EST_POINTS];
	double bytes[EST_POINTS];
};

enum est_verdict { EST_CONVERGES, EST_MARGINAL, EST_NEVER };

struct est_round {
	double bytes, seconds;
};

struct est_plan {
	enum est_verdict verdict;
	unsigned int rounds;	/* before the pause */
	struct est_round round[EST_ROUNDS];
	double seconds;		/* of all rounds */
	double pause;		/* seconds */
	double needed;		/* bytes a second at which it would just converge; 0: none helps */
};

/* Bytes written within @seconds: between the points, and on from the last one. */
double est_unique(const struct est_curve *c, double seconds, double memory);

/*
 * @memory and @bandwidth in bytes (a second), @downtime and @fixed in seconds: what the
 * pause costs whatever is left to send.
 */
void est_make(const struct est_curve *c, double memory, double bandwidth, double downtime,
	      double fixed, struct est_plan *plan);

const char *est_verdict_name(enum est_verdict v);

#endif
