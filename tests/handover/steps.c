/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For vu-blk and vu-migrate of the tests: at the step that VU_STEP names, as in
 * "give-frozen:kill" or "take-live:stop", the process is killed or stopped, once.  "none"
 * only has the steps told, on standard error: "step NAME".
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef TOOL
#include "vu-migrate/step.h"
#else
#include "state/handover.h"
#endif

static void at(const char *name)
{
	static int done;
	const char *want = getenv("VU_STEP");
	size_t n = strlen(name);
	char line[64];

	if (!want)
		return;
	n = snprintf(line, sizeof(line), "step %s\n", name);
	if (write(STDERR_FILENO, line, n) < 0)
		return;
	n -= strlen("step \n");
	if (done || strncmp(want, name, n) || want[n] != ':')
		return;
	done = 1;
	raise(strcmp(want + n + 1, "stop") ? SIGKILL : SIGSTOP);
}

#ifdef TOOL
void tool_step_at(enum tool_step step)
{
	at(tool_step_name(step));
}
#else
void vu__step_at(enum vu__step step)
{
	at(vu__step_name(step));
}
#endif
