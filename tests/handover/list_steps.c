/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints every step there is, one a line, for the test that loops over them. */
#include <stdio.h>

#include "state/handover.h"
#include "vu-migrate/step.h"

int main(void)
{
	for (enum vu__step s = 0; s < VU__STEP_COUNT; s++)
		puts(vu__step_name(s));
	for (enum tool_step s = 0; s < TOOL_STEP_COUNT; s++)
		puts(tool_step_name(s));
	return 0;
}
