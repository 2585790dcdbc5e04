/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is left out, and where to die, in a test build.  Any thread. */
#include "core/mutants.h"

#ifdef VU_MUTANTS
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long stores_left;

bool vu__skipped(enum vu__mutation m)
{
	static const char *const names[] = {
		[VU__MARK_DATA] = "data",	    [VU__MARK_USED] = "used",
		[VU__MARK_INDIRECT] = "indirect",   [VU__MARK_WIDE] = "wide",
		[VU__MARK_REPLACE] = "replace",	    [VU__MARK_SOME] = "some",
		[VU__INFLIGHT_TAKE] = "take",	    [VU__INFLIGHT_BATCH] = "batch",
		[VU__INFLIGHT_REPAIR] = "repair",   [VU__INFLIGHT_MARKS] = "marks",
	};
	static unsigned int count;
	const char *skip = getenv("VU_SKIP_MARKS");

	if (!skip || strcmp(skip, names[m]))
		return false;
	return m != VU__MARK_SOME || __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) % 256 == 0;
}

void vu__crash_at(unsigned long n)
{
	stores_left = n;
}

/* For whole programs: the number is in the environment. */
__attribute__((constructor)) static void crash_where_told(void)
{
	const char *at = getenv("VU_CRASH_AT");

	if (at)
		vu__crash_at(strtoul(at, NULL, 0));
}

void vu__crash_point(void)
{
	if (__atomic_load_n(&stores_left, __ATOMIC_RELAXED) &&
	    !__atomic_sub_fetch(&stores_left, 1, __ATOMIC_RELAXED))
		kill(getpid(), SIGKILL);
}
#endif
