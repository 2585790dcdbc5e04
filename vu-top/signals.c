/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals become bits, which are asked for between two things.  The main thread. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "vu-top/run.h"

static volatile sig_atomic_t come[NSIG];
static sigset_t waiting; /* the mask while one waits */

static const struct {
	int sig;
	unsigned int bit;
	bool screen; /* only with a terminal */
} table[] = {{SIGINT, TOP_SIG_END, false},	  {SIGTERM, TOP_SIG_END, false},
	     {SIGHUP, TOP_SIG_HANGUP, false},	  {SIGUSR1, TOP_SIG_REPORT, false},
	     {SIGWINCH, TOP_SIG_RESIZE, true}, {SIGTSTP, TOP_SIG_STOP, true},
	     {SIGCONT, TOP_SIG_CONT, true}};

static void on_signal(int sig)
{
	come[sig] = 1;
}

void top_signals_init(bool screen)
{
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < VU_ARRAY_SIZE(table); i++) {
		struct sigaction sa = {.sa_handler = on_signal};

		if (table[i].screen && !screen)
			continue;
		sigemptyset(&sa.sa_mask);
		sigaction(table[i].sig, &sa, NULL);
		sigaddset(&mask, table[i].sig);
	}
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &mask, &waiting);
	for (size_t i = 0; i < VU_ARRAY_SIZE(table); i++)
		sigdelset(&waiting, table[i].sig);
}

unsigned int top_signals_take(void)
{
	unsigned int bits = 0;

	for (size_t i = 0; i < VU_ARRAY_SIZE(table); i++) {
		if (come[table[i].sig]) {
			come[table[i].sig] = 0;
			bits |= table[i].bit;
		}
	}
	return bits;
}

uint64_t top_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

int top_wait(struct pollfd *fds, unsigned int n, uint64_t until_ns, unsigned int *signals)
{
	uint64_t now = top_now_ns(), left = until_ns > now ? until_ns - now : 0;
	struct timespec ts = {left / 1000000000u, left % 1000000000u};
	int ret = ppoll(fds, n, until_ns == UINT64_MAX ? NULL : &ts, &waiting);

	if (ret < 0) {
		ret = errno == EINTR ? 0 : -errno;
		for (unsigned int i = 0; i < n; i++)
			fds[i].revents = 0;
	}
	*signals = top_signals_take();
	return ret;
}
