/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tool's own steps of a hand-over, for tests that end it at each. */
#ifndef VU_MIGRATE_STEP_H
#define VU_MIGRATE_STEP_H

#define TOOL_STEPS(X)                                                                    \
	X(OLD_FOUND, "tool-old-found")                                                   \
	X(NEW_FOUND, "tool-new-found")                                                   \
	X(NEW_ASKED, "tool-new-asked")                                                   \
	X(OLD_ASKED, "tool-old-asked")                                                   \
	X(HEARD, "tool-heard")                                                           \
	X(BOTH_HEARD, "tool-both-heard")

enum tool_step {
#define TOOL_STEP(name, text) TOOL_##name,
	TOOL_STEPS(TOOL_STEP)
#undef TOOL_STEP
	TOOL_STEP_COUNT
};

const char *tool_step_name(enum tool_step step);

/* Does nothing; the tests' vu-migrate has another of this name. */
void tool_step_at(enum tool_step step);

#endif
