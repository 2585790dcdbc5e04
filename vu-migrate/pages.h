/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty pages over time: how many different ones within windows of several lengths, which
 * ones again and again, by which queue, in which region.
 */
#ifndef VU_MIGRATE_PAGES_H
#define VU_MIGRATE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/snap.h"
#include "vu-migrate/estimate.h"

#define PAGES_WINDOWS 5
#define PAGE_BYTES    4096.0

/* Bits, and which of their words are not 0: there is much memory, and little of it is hot. */
struct pages_set {
	uint64_t *bits, *words;
};

struct pages_window {
	double seconds;
	struct pages_set set; /* written since it began */
	uint64_t count;
	double began;
	double sum;	/* of the pages of all whole windows */
	unsigned int whole;
};

struct pages {
	uint64_t npages;  /* up to the end of the highest region */
	uint64_t nwords;
	unsigned int nqueues;
	struct pages_window windows[PAGES_WINDOWS];
	uint64_t *ever;	  /* bits: written at all */
	uint64_t unique;
	uint64_t writes;  /* pages of all ticks */
	uint16_t *often;  /* per page: in how many spans it was written */
	struct pages_set span; /* of the span that runs */
	double span_began;
	unsigned int spans;
	uint64_t *by_queue;  /* pages of all ticks */
	double began, now;
};

/* About a round of a migration: what is written in nearly each is sent in nearly each. */
#define PAGES_SPAN 1.0 /* s */

/* 0 or -ENOMEM. */
int pages_init(struct pages *p, uint64_t npages, unsigned int nqueues, double now);
void pages_release(struct pages *p);

/* A tick at @now begins; then the words that are dirty; then the tick ends. */
void pages_mark(struct pages *p, unsigned int queue, uint64_t word, uint64_t bits);
void pages_tick(struct pages *p, double now);

/* Averages of the windows that were whole, once or more. */
void pages_curve(const struct pages *p, struct est_curve *c);

/* Pages that were written in more than half of the spans. */
uint64_t pages_hot(const struct pages *p);

/* Pages of a region that were written at all. */
uint64_t pages_in(const struct pages *p, uint64_t first, uint64_t n);

#endif
