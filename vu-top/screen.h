/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The terminal: pictures go out, keys come in.  There is one.  A terminal that cannot
 * place its cursor (TERM=dumb) is shown one picture below the other.
 */
#ifndef VU_TOP_SCREEN_H
#define VU_TOP_SCREEN_H

#include "vu-top/ui.h"

/*
 * Takes the terminal.  @colours: if it has them.  It is given back as it was by
 * top_screen_close(), at exit, and by signals that end the process, whichever comes
 * first.  0; -ENOTTY; -errno with a line in @why.
 */
VU_MUST_CHECK int top_screen_open(bool utf8, bool colours, char *why, size_t why_size);
void top_screen_close(void);

/* For a while: the job is stopped.  top_screen_resume() takes it back. */
void top_screen_suspend(void);
void top_screen_resume(void);

bool top_screen_has_colours(void);

/* As it is now; what is drawn follows. */
void top_screen_size(unsigned int *rows, unsigned int *cols);

/* @all: also what has not changed, as something else may have written there. */
void top_screen_show(const struct top_canvas *c, enum top_colours colours, bool all);

/* The next key, or 0: none is waiting, and *@ended says whether none will come. */
uint32_t top_screen_key(bool *ended);

/* Asks the terminal to put @text on its clipboard (OSC 52); few refuse to listen. */
void top_screen_copy(const char *text);

#endif
