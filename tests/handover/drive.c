/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * drive SOCKET QUEUES: a guest without a machine, for tests of command lines.  Checks the
 * disk there until its standard input ends; comes again when the back-end has gone, as
 * QEMU does with reconnect.  Says "ready", "again", and at the end how much it has done.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

#include "tests/lib/disk.h"

#define TURN_MS	 20
#define AGAIN_MS 10000

static bool has_ended(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, 0) > 0;
}

static bool come_again(struct disk *d, const char *sock)
{
	for (int i = 0; i < AGAIN_MS / TURN_MS; i++) {
		if (disk_again(d, sock)) {
			puts("again");
			return true;
		}
		poll(NULL, 0, TURN_MS);
	}
	return false;
}

int main(int argc, char **argv)
{
	static struct disk d;
	bool ok;

	if (argc != 3)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	ok = disk_begin(&d, argv[1], strtoul(argv[2], NULL, 10), false, 0) &&
	     disk_run_requests(&d, 64, AGAIN_MS);
	if (ok)
		puts("ready");
	while (ok && !has_ended(STDIN_FILENO, POLLIN)) {
		ok = disk_run(&d, TURN_MS);
		if (ok && has_ended(vu_frontend_sock(d.fe), POLLRDHUP))
			ok = come_again(&d, argv[1]);
	}
	/* And it still lives. */
	ok = ok && disk_run_requests(&d, 64, AGAIN_MS);
	if (!ok)
		printf("failed: %s\n", d.error);
	else
		printf("%llu requests, quiet for up to %.3f ms\n", (unsigned long long)d.done,
		       (double)d.quiet_ns / 1e6);
	disk_end(&d);
	return !ok;
}
