/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other ends of DPDK's vhost ports, for dpdk-telemetry.py.
 *
 * vhost-client connect QUEUES SOCKET...: a front-end for each, which starts so many
 * queues, so that the ports have statistics; until it is killed.
 *
 * vhost-client poll ROUNDS PORTS SOCKET...: asks each telemetry socket for the statistics
 * of so many ports, once a second, and does nothing with the answers but count their
 * values: no client that does something with them takes less.  Prints the values of a
 * round, its median time, and the client's processor time for it, in milliseconds.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "libvu/frontend.h"

#define ANSWER	   65536
#define MAX_ROUNDS 1000
#define RING_BYTES 16384u
#define PROTOCOL   (VU_BIT(0) | VU_BIT(3)) /* several queues, answers */
#define FEATURES   (VU_BIT(15) | VU_BIT(17) | VU_BIT(22) | VU_BIT(29) | VU_BIT(32))

static void fail(const char *who, const char *why)
{
	fprintf(stderr, "vhost-client: %s: %s\n", who, why);
	exit(1);
}

/* --- front-ends --- */

static void set_up(const char *path, unsigned int queues)
{
	struct vu_frontend *fe = vu_frontend_connect(path);

	if (!fe)
		fail(path, "cannot be connected to");
	if (vu_frontend_negotiate(fe, FEATURES, PROTOCOL) ||
	    vu_frontend_add_memory(fe, 0, (uint64_t)RING_BYTES * queues, 0) < 0 ||
	    vu_frontend_share_memory(fe))
		fail(path, vu_frontend_error(fe));
	for (unsigned int i = 0; i < queues; i++) {
		struct vu_frontend_queue *q =
			vu_frontend_queue_new(fe, i, 128, (uint64_t)RING_BYTES * i);

		if (!q || vu_frontend_queue_start(q, 0))
			fail(path, vu_frontend_error(fe));
	}
}

static int run_frontends(unsigned int queues, char **paths)
{
	for (; *paths; paths++)
		set_up(*paths, queues);
	puts("connected");
	fflush(stdout);
	/* Connections end with this process. */
	pause();
	return 0;
}

/* --- telemetry --- */

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char hello[ANSWER];

	if (strlen(path) >= sizeof(addr.sun_path))
		fail(path, "too long");
	memcpy(addr.sun_path, path, strlen(path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    recv(fd, hello, sizeof(hello), 0) <= 0)
		fail(path, "cannot be connected to");
	return fd;
}

/* How many values it has. */
static unsigned int ask(int fd, unsigned int port)
{
	char question[40], answer[ANSWER];
	unsigned int values = 0;
	ssize_t n;

	n = snprintf(question, sizeof(question), "/ethdev/xstats,%u", port);
	if (send(fd, question, n, 0) != n)
		fail(question, "cannot be asked");
	n = recv(fd, answer, sizeof(answer) - 1, 0);
	if (n <= 0)
		fail(question, "is not answered");
	answer[n] = '\0';
	if (!strstr(answer, "\"rx_q0_good_packets\""))
		fail(question, "has no statistics of queues");
	for (ssize_t i = 0; i < n; i++)
		values += answer[i] == ':';
	return values - 1;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int poll_telemetry(unsigned int rounds, unsigned int ports, char **paths)
{
	static double ms[MAX_ROUNDS];
	unsigned int n = 0, values = 0;
	double cpu;
	int fds[64];

	for (; paths[n] && n < VU_ARRAY_SIZE(fds); n++)
		fds[n] = connect_to(paths[n]);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (unsigned int r = 0; r < rounds; r++) {
		double begin = seconds(CLOCK_MONOTONIC);

		values = 0;
		for (unsigned int i = 0; i < n * ports; i++)
			values += ask(fds[i / ports], i % ports);
		ms[r] = (seconds(CLOCK_MONOTONIC) - begin) * 1e3;
		sleep(1);
	}
	cpu = (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / rounds * 1e3;
	qsort(ms, rounds, sizeof(ms[0]), compare);
	printf("%u %.3f %.3f\n", values, ms[rounds / 2], cpu);
	return 0;
}

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc >= 4 && !strcmp(argv[1], "connect"))
		return run_frontends(atoi(argv[2]), argv + 3);
	if (argc >= 5 && !strcmp(argv[1], "poll") && atoi(argv[2]) > 0 &&
	    atoi(argv[2]) <= MAX_ROUNDS)
		return poll_telemetry(atoi(argv[2]), atoi(argv[3]), argv + 4);
	return 2;
}
