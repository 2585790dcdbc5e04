/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways vu-top runs; each returns the exit status. */
#ifndef VU_TOP_RUN_H
#define VU_TOP_RUN_H

#include "vu-top/options.h"

int top_run_screen(struct top_settings *s);
int top_run_batch(struct top_settings *s);
int top_run_listen(struct top_settings *s);

/* A model with the alerts that were asked for.  NULL after saying why. */
struct top_model *top_make_model(const struct top_settings *s);

/* --- signals: signals.c --- */

/* What has come since it was last asked, bits of TOP_SIG_*. */
enum {
	TOP_SIG_END = 1 << 0,	 /* SIGINT, SIGTERM */
	TOP_SIG_HANGUP = 1 << 1, /* SIGHUP */
	TOP_SIG_REPORT = 1 << 2, /* SIGUSR1 */
	TOP_SIG_RESIZE = 1 << 3, /* SIGWINCH */
	TOP_SIG_STOP = 1 << 4,	 /* SIGTSTP */
	TOP_SIG_CONT = 1 << 5,	 /* SIGCONT */
};
/* They are blocked but while top_wait() waits.  @screen: those of a terminal too. */
void top_signals_init(bool screen);
unsigned int top_signals_take(void);

/*
 * Waits for @fds, or a signal, until @until_ns (CLOCK_MONOTONIC).  As poll(); a signal
 * is 0 with *@signals.
 */
struct pollfd;
int top_wait(struct pollfd *fds, unsigned int n, uint64_t until_ns, unsigned int *signals);

uint64_t top_now_ns(void);

#endif
