/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps of a hand-over; in a file of their own, since tests have another tool_step_at(). */
#include "vu-migrate/step.h"

const char *tool_step_name(enum tool_step step)
{
	static const char *const names[] = {
#define TOOL_STEP(name, text) text,
		TOOL_STEPS(TOOL_STEP)
#undef TOOL_STEP
	};

	return names[step];
}

__attribute__((weak)) void tool_step_at(enum tool_step step)
{
	(void)step;
}
