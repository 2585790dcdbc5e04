/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps of a hand-over, in a file of their own: tests have another vu__step_at(). */
#include "base/log.h"
#include "state/handover.h"

__attribute__((weak)) void vu__step_at(enum vu__step step)
{
	vu__debug(VU__DEBUG_MSG, "hand-over: %s", vu__step_name(step));
}
