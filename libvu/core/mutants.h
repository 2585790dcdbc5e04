/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For test builds that are wrong on purpose, to show that tests notice: see
 * tests/mutants.  Nothing in a build that is not one.
 */
#ifndef VU_CORE_MUTANTS_H
#define VU_CORE_MUTANTS_H

#include <stdbool.h>

/* What a mutant leaves out when VU_SKIP_MARKS has its name. */
enum vu__mutation {
	VU__MARK_DATA,
	VU__MARK_USED,
	VU__MARK_INDIRECT,
	VU__MARK_WIDE,
	VU__MARK_REPLACE,
	VU__MARK_SOME, /* one in 256 */
	VU__INFLIGHT_TAKE,
	VU__INFLIGHT_BATCH,
	VU__INFLIGHT_REPAIR,
	VU__INFLIGHT_MARKS, /* of a batch of a packed ring */
};

#ifdef VU_MUTANTS
bool vu__skipped(enum vu__mutation m);
/* The process dies at its @n-th store to an inflight region from now on; 0: it does not. */
void vu__crash_at(unsigned long n);
void vu__crash_point(void);
#else
#define vu__skipped(m)	  false
#define vu__crash_point() ((void)0)
#endif

#endif
