/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a snapshot costs: sample-bench [PROCESSES DEVICES QUEUES [SNAPSHOTS]].
 *
 * So many back-ends with so many devices each of so many queues, idle or all of them
 * with requests that nobody serves; then snapshots, one after the other.  Prints
 * milliseconds of processor time for each, which does not depend on what else runs
 * (the least, the median, the most), and what share of a core one snapshot and the
 * verdicts of all queues take once a second, as vu-top does.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "base/util.h"
#include "libvu/ext.h"
#include "libvu/frontend.h"
#include "observe/diagnose.h"
#include "observe/peek.h"
#include "observe/rates.h"
#include "observe/sample.h"

#define MAX_SNAPSHOTS 1000
#define MAX_FDS	      8192

static unsigned int queues;

/* --- a process of back-ends --- */

static struct {
	VuDev *dev;
	vu_watch_cb cb;
	void *data;
} watches[MAX_FDS];

static void set_watch(VuDev *dev, int fd, int condition, vu_watch_cb cb, void *data)
{
	(void)condition;
	watches[fd].dev = dev;
	watches[fd].cb = cb;
	watches[fd].data = data;
}

static void remove_watch(VuDev *dev, int fd)
{
	(void)dev;
	watches[fd].cb = NULL;
}

static void panic(VuDev *dev, const char *text)
{
	(void)dev;
	fprintf(stderr, "sample-bench: %s\n", text);
}

static void serve(int *socks, unsigned int n)
{
	static const VuDevIface iface = {.get_features = NULL};
	VuDev *devs = calloc(n, sizeof(*devs));
	struct pollfd *fds = calloc(n, sizeof(*fds));

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned int i = 0; i < n; i++) {
		if (!vu_init(&devs[i], queues, socks[i], panic, set_watch, remove_watch, &iface))
			_exit(1);
		fds[i] = (struct pollfd){.fd = socks[i], .events = POLLIN};
	}
	for (;;) {
		poll(fds, n, -1);
		for (unsigned int i = 0; i < n; i++) {
			if (fds[i].revents && !vu_dispatch(&devs[i]))
				_exit(0);
		}
	}
}

static pid_t start(unsigned int ndevs, struct vu_frontend **fes)
{
	pid_t pid;
	int *socks = calloc(ndevs, sizeof(*socks));

	for (unsigned int i = 0; i < ndevs; i++) {
		int sv[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv))
			exit(1);
		socks[i] = sv[1];
		fes[i] = vu_frontend_new(sv[0]);
	}
	pid = fork();
	if (pid == 0)
		serve(socks, ndevs);
	for (unsigned int i = 0; i < ndevs; i++)
		close(socks[i]);
	free(socks);
	return pid;
}

static void check(struct vu_frontend *fe, int ret)
{
	if (!ret)
		return;
	fprintf(stderr, "sample-bench: %s\n", vu_frontend_error(fe));
	exit(1);
}

static void set_up(struct vu_frontend *fe, bool load)
{
	struct vu_frontend_buf b = {0, 16, true};
	uint64_t each = 16384;

	check(fe, vu_frontend_negotiate(fe, VU_BIT(29) | VU_BIT(32), ~0ULL));
	check(fe, vu_frontend_add_memory(fe, 0, each * queues, 0) < 0);
	check(fe, vu_frontend_share_memory(fe));
	for (unsigned int i = 0; i < queues; i++) {
		struct vu_frontend_queue *q = vu_frontend_queue_new(fe, i, 128, each * i);

		if (!q)
			exit(1);
		check(fe, vu_frontend_queue_start(q, 0));
		if (load)
			check(fe, vu_frontend_submit(q, &b, 1, 0));
	}
}

/* --- measuring --- */

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* What vu-top does with each. */
static unsigned int judge(const struct vu__obs_snapshot *old,
			  const struct vu__obs_snapshot *now)
{
	unsigned int alarms = 0;

	for (uint32_t i = 0; i < now->nqueues; i++) {
		const struct vu__obs_queue *q = &now->queues[i];
		const struct vu__obs_queue *then = vu__obs_find_queue(old, now, q);
		struct vu__obs_look looks[2];
		struct vu__obs_verdict v;
		struct vu__obs_rates r;

		if (!then)
			continue;
		looks[0] = vu__obs_look_at(old, then);
		looks[1] = vu__obs_look_at(now, q);
		vu__obs_rates(then, q, &r);
		vu__obs_diagnose(looks, 2, 0, &v);
		alarms += v.severity >= VU__OBS_WARNING;
	}
	return alarms;
}

static void measure(unsigned int n, const char *what)
{
	struct vu__sampler *s = vu__sampler_new(&(struct vu__sample_options){.libvu_only = true});
	static double ms[MAX_SNAPSHOTS];
	struct vu__obs_snapshot *old, *now;
	double begin;
	unsigned int seen = 0;

	if (!s || vu__sample_take(s, &old))
		exit(1);
	begin = cpu_seconds();
	for (unsigned int i = 0; i < n; i++) {
		double before = cpu_seconds();

		if (vu__sample_take(s, &now))
			exit(1);
		ms[i] = (cpu_seconds() - before) * 1e3;
		seen = now->nqueues;
		judge(old, now);
		vu__snapshot_free(old);
		old = now;
	}
	qsort(ms, n, sizeof(ms[0]), compare);
	printf("%-8s %5u queues: %6.2f ms at least, %6.2f median, %6.2f at most; "
	       "%.2f %% of a core once a second\n",
	       what, seen, ms[0], ms[n / 2], ms[n - 1], (cpu_seconds() - begin) / n * 100);
	vu__snapshot_free(old);
	vu__sampler_free(s);
}

static void run(unsigned int nprocs, unsigned int ndevs, unsigned int n, bool load)
{
	char dir[] = "/tmp/vu-bench-XXXXXX", cmd[100];
	struct vu_frontend **fes = calloc(nprocs * ndevs, sizeof(struct vu_frontend *));
	pid_t *pids = calloc(nprocs, sizeof(*pids));

	if (!mkdtemp(dir) || setenv("LIBVU_RUN_DIR", dir, 1))
		exit(1);
	for (unsigned int i = 0; i < nprocs; i++)
		pids[i] = start(ndevs, fes + i * ndevs);
	for (unsigned int i = 0; i < nprocs * ndevs; i++)
		set_up(fes[i], load);
	measure(n, load ? "stuck" : "idle");
	for (unsigned int i = 0; i < nprocs * ndevs; i++)
		vu_frontend_free(fes[i]);
	for (unsigned int i = 0; i < nprocs; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	free(pids);
	free(fes);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	if (system(cmd))
		exit(1);
}

int main(int argc, char **argv)
{
	unsigned int nprocs = argc > 1 ? atoi(argv[1]) : 10;
	unsigned int ndevs = argc > 2 ? atoi(argv[2]) : 25;
	unsigned int n = argc > 4 ? atoi(argv[4]) : 100;
	struct rlimit files = {65536, 65536};

	queues = argc > 3 ? atoi(argv[3]) : 4;
	if (!nprocs || !ndevs || !queues || !n || n > MAX_SNAPSHOTS)
		return 2;
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGPIPE, SIG_IGN);
	printf("%u processes of %u devices of %u queues\n", nprocs, ndevs, queues);
	run(nprocs, ndevs, n, false);
	run(nprocs, ndevs, n, true);
	return 0;
}
