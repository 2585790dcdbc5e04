/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Back-ends for vu-top's tests to look at: real ones, each in a process of its own, with
 * real front-ends, here.  Commands come on standard input, a line each; each is answered
 * with a line, "ok ..." or "no ...".  All processes end with this one.
 *
 *	new ID NAME KIND [DEVICES QUEUES [SIZE]]  KIND: good, or as in badback.h
 *	submit ID DEVICE QUEUE N	make N requests available, without a kick
 *	kick ID DEVICE QUEUE
 *	reap ID DEVICE QUEUE		wait for all, and take them
 *	load ID DEVICE QUEUE RATE	keep going, RATE a second (DEVICE -1: all queues)
 *	bad ID KIND			from now on
 *	log ID DEVICE			have dirty pages logged
 *	stop ID DEVICE QUEUE		GET_VRING_BASE
 *	signal ID NUMBER
 *	leave ID DEVICE			close the front-end's connection
 *	end ID				SIGKILL, and everything of it goes
 *	pid ID
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "libvu/ext.h"
#include "tests/observe/badback.h"
#include "wire/spec.h"

#define MAX_DEVICES 256
#define MAX_QUEUES  1024
#define MAX_FDS	    65536

/* --- a back-end that is as it should be, with many devices --- */

struct device {
	VuDev dev; /* first */
};

static int epoll;
static struct {
	vu_watch_cb cb;
	void *data;
	VuDev *dev; /* its socket */
} watches[MAX_FDS];

static void on_panic(VuDev *dev, const char *text)
{
	(void)dev;
	(void)text;
}

static void watch(int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0 && errno == EEXIST)
		(void)!epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &ev);
}

static void set_watch(VuDev *dev, int fd, int condition, vu_watch_cb cb, void *data)
{
	if (fd >= MAX_FDS)
		abort();
	watches[fd].cb = cb;
	watches[fd].data = data;
	watches[fd].dev = dev;
	watch(fd, condition);
}

static void remove_watch(VuDev *dev, int fd)
{
	(void)dev;
	(void)!epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
	if (fd < MAX_FDS)
		watches[fd].cb = NULL;
}

static void on_kick(VuDev *dev, int qidx)
{
	VuVirtq *vq = vu_get_queue(dev, qidx);
	VuVirtqElement *e;
	bool any = false;

	while ((e = vu_queue_pop(dev, vq, sizeof(*e)))) {
		vu_queue_push(dev, vq, e, e->in_num ? e->in_sg[0].iov_len : 0);
		free(e);
		any = true;
	}
	if (any)
		vu_queue_notify(dev, vq);
}

static void set_started(VuDev *dev, int qidx, bool started)
{
	vu_set_queue_handler(dev, vu_get_queue(dev, qidx), started ? on_kick : NULL);
}

static uint64_t protocol_features(VuDev *dev)
{
	(void)dev;
	return VU_BIT(VU__PF_MQ);
}

static void begin_device(const char *name, unsigned int number, unsigned int queues, int sock)
{
	static const VuDevIface iface = {.queue_set_started = set_started,
					 .get_protocol_features = protocol_features};
	struct device *d = calloc(1, sizeof(*d));
	char text[64];

	if (!d || !vu_init(&d->dev, queues, sock, on_panic, set_watch, remove_watch, &iface))
		_exit(1);
	snprintf(text, sizeof(text), number ? "%s%u" : "%s", name, number);
	vu_set_device_name(&d->dev, text);
	watches[sock].dev = &d->dev;
	watch(sock, EPOLLIN);
}

static void serve_good(const char *name, const int *socks, unsigned int n, unsigned int queues)
{
	struct epoll_event ev[64];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "fleet-back");
	signal(SIGPIPE, SIG_IGN);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned int i = 0; i < n; i++)
		begin_device(name, i, queues, socks[i]);
	for (;;) {
		int got = epoll_wait(epoll, ev, 64, -1);

		for (int i = 0; i < got; i++) {
			int fd = ev[i].data.fd;

			if (watches[fd].cb)
				watches[fd].cb(watches[fd].dev, ev[i].events, watches[fd].data);
			else if (watches[fd].dev && watches[fd].dev->sock == fd &&
				 !vu_dispatch(watches[fd].dev))
				remove_watch(watches[fd].dev, fd);
		}
	}
}

/* --- front-ends --- */

struct backend {
	char id[16];
	pid_t pid;
	int control; /* -1: a good one */
	unsigned int devices, queues, size;
	struct vu_frontend *fe[MAX_DEVICES];
	struct vu_frontend_queue *q[MAX_DEVICES][MAX_QUEUES];
	double rate[MAX_DEVICES][MAX_QUEUES], owed[MAX_DEVICES][MAX_QUEUES];
	bool loaded;
	struct backend *next;
};
static struct backend *all;

static const struct {
	const char *name;
	enum bad bad;
} kinds[] = {{"sleep", BAD_SLEEP},	   {"spin", BAD_SPIN},	   {"swallow", BAD_SWALLOW},
	     {"hold", BAD_HOLD},	   {"nocall", BAD_NO_CALL}, {"leaveoff", BAD_LEAVE_OFF},
	     {"unwatched", BAD_UNWATCHED}, {"eat", BAD_EAT_DISABLED}, {"slow", BAD_SLOW},
	     {"poll", BAD_POLL},	   {"rx", BAD_RX},	   {"fine", BAD_NOT}};

static int kind_of(const char *name)
{
	for (size_t i = 0; i < VU_ARRAY_SIZE(kinds); i++) {
		if (!strcmp(kinds[i].name, name))
			return kinds[i].bad;
	}
	return -1;
}

static struct backend *find(const char *id)
{
	struct backend *b = all;

	while (b && strcmp(b->id, id))
		b = b->next;
	return b;
}

#define BUFFERS 0x10000u

static bool start_queues(struct backend *b, unsigned int dev)
{
	uint64_t at = 0x100000, bytes = (vu_frontend_queue_bytes(b->size) + 4095) & ~4095ull;
	struct vu_frontend *fe = b->fe[dev];

	if (vu_frontend_negotiate(fe, ~(VU_BIT(VU__F_NOTIFY_ON_EMPTY) | VU_BIT(VU__F_RING_PACKED)),
				  ~0ull) ||
	    vu_frontend_add_memory(fe, 0, at + bytes * b->queues + 4096, 0) < 0 ||
	    vu_frontend_share_memory(fe))
		return false;
	for (unsigned int q = 0; q < b->queues; q++) {
		b->q[dev][q] = vu_frontend_queue_new(fe, q, b->size, at + q * bytes);
		if (!b->q[dev][q] || vu_frontend_queue_start(b->q[dev][q], 0))
			return false;
	}
	return true;
}

static int by_value(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* What is another back-end's, or its front-end's, would never be seen to be closed. */
static void keep_only(const int *back, unsigned int n, int control)
{
	int keep[MAX_DEVICES + 1], next = STDERR_FILENO + 1;

	memcpy(keep, back, n * sizeof(*back));
	keep[n++] = control >= 0 ? control : back[0];
	qsort(keep, n, sizeof(*keep), by_value);
	for (unsigned int i = 0; i < n; i++) {
		if (keep[i] > next)
			close_range(next, keep[i] - 1, 0);
		next = keep[i] + 1;
	}
	close_range(next, ~0u, 0);
}

static bool start_processes(struct backend *b, const char *name, int bad)
{
	int sv[MAX_DEVICES][2], back[MAX_DEVICES], control[2] = {-1, -1};

	for (unsigned int i = 0; i < b->devices; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv[i]))
			return false;
		back[i] = sv[i][1];
	}
	if (bad >= 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control))
		return false;
	fflush(stdout);
	b->pid = fork();
	if (b->pid == 0) {
		keep_only(back, b->devices, control[1]);
		prctl(PR_SET_NAME, "fleet-back");
		if (bad >= 0)
			run_bad_backend(bad, name, back[0], control[1]);
		serve_good(name, back, b->devices, b->queues);
	}
	b->control = control[0];
	if (control[1] >= 0)
		close(control[1]);
	for (unsigned int i = 0; i < b->devices; i++) {
		close(back[i]);
		b->fe[i] = vu_frontend_new(sv[i][0]);
	}
	return b->pid > 0;
}

static void do_new(char **arg, int n)
{
	struct backend *b = calloc(1, sizeof(*b));
	int bad = n > 2 ? kind_of(arg[2]) : -1;

	if (!b || n < 3 || (bad < 0 && strcmp(arg[2], "good"))) {
		puts("no what is it to be");
		free(b);
		return;
	}
	snprintf(b->id, sizeof(b->id), "%s", arg[0]);
	b->devices = n > 3 && bad < 0 ? atoi(arg[3]) : 1;
	b->queues = n > 4 ? atoi(arg[4]) : 1;
	b->size = n > 5 ? atoi(arg[5]) : 64;
	if (b->devices > MAX_DEVICES || b->queues > MAX_QUEUES ||
	    !start_processes(b, arg[1], bad)) {
		puts("no it does not start");
		return;
	}
	b->next = all;
	all = b;
	for (unsigned int i = 0; i < b->devices; i++) {
		if (!start_queues(b, i)) {
			printf("no %s\n", vu_frontend_error(b->fe[i]));
			return;
		}
	}
	printf("ok %d\n", b->pid);
}

/* The queue a command is about; NULL after saying that there is none. */
static struct vu_frontend_queue *queue_of(char **arg, int n, struct backend **b)
{
	unsigned int dev = n > 1 ? atoi(arg[1]) : 0, q = n > 2 ? atoi(arg[2]) : 0;

	*b = n > 0 ? find(arg[0]) : NULL;
	if (*b && dev < (*b)->devices && q < (*b)->queues && (*b)->fe[dev])
		return (*b)->q[dev][q];
	puts("no such queue");
	return NULL;
}

/* As the guest of a disk does it: a head, data, a status. */
static bool submit(struct vu_frontend_queue *q, unsigned int n)
{
	struct vu_frontend_buf bufs[3] = {{BUFFERS, 16, false},
					  {BUFFERS + 4096, 4096, true},
					  {BUFFERS + 8192, 1, true}};

	for (unsigned int i = 0; i < n; i++) {
		bufs[1].gpa = BUFFERS + 4096 + i % 64 * 4096;
		if (vu_frontend_submit(q, bufs, 3, i))
			return false;
	}
	return true;
}

static void do_submit(char **arg, int n)
{
	struct backend *b;
	struct vu_frontend_queue *q = queue_of(arg, n, &b);

	if (q)
		puts(n > 3 && submit(q, atoi(arg[3])) ? "ok" : "no the ring is full");
}

static void do_kick(char **arg, int n)
{
	struct backend *b;
	struct vu_frontend_queue *q = queue_of(arg, n, &b);

	if (q)
		printf("ok %d\n", vu_frontend_kick(q));
}

static void do_reap(char **arg, int n)
{
	struct backend *b;
	struct vu_frontend_queue *q = queue_of(arg, n, &b);

	while (q && vu_frontend_outstanding(q)) {
		if (vu_frontend_wait(q, 5000)) {
			puts("no they do not come");
			return;
		}
		while (vu_frontend_reap(q, NULL, NULL) == 1)
			;
	}
	if (q)
		puts("ok");
}

static void do_load(char **arg, int n)
{
	struct backend *b = n > 3 ? find(arg[0]) : NULL;

	if (!b) {
		puts("no such back-end");
		return;
	}
	for (unsigned int d = 0; d < b->devices; d++) {
		for (unsigned int q = 0; q < b->queues; q++) {
			if (atoi(arg[1]) >= 0 &&
			    (d != (unsigned int)atoi(arg[1]) || q != (unsigned int)atoi(arg[2])))
				continue;
			b->rate[d][q] = atof(arg[3]);
		}
	}
	b->loaded = true;
	puts("ok");
}

static void do_bad(char **arg, int n)
{
	struct backend *b = n > 1 ? find(arg[0]) : NULL;
	int bad = b ? kind_of(arg[1]) : -1;
	uint8_t byte = bad;

	puts(bad >= 0 && b->control >= 0 && write(b->control, &byte, 1) == 1 ? "ok" : "no");
}

static void do_log(char **arg, int n)
{
	struct backend *b = n > 1 ? find(arg[0]) : NULL;
	unsigned int dev = b ? atoi(arg[1]) : 0;
	int fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (!b || fd < 0 || ftruncate(fd, 1 << 16) ||
	    vu_frontend_set_log_base(b->fe[dev], fd, 1 << 16, 0) ||
	    vu_frontend_set_features(b->fe[dev],
				     vu_frontend_features(b->fe[dev]) | VU_BIT(VU__F_LOG_ALL)))
		printf("no %s\n", b ? vu_frontend_error(b->fe[dev]) : "such back-end");
	else
		puts("ok");
	if (fd >= 0)
		close(fd);
}

static void do_stop(char **arg, int n)
{
	struct backend *b;
	struct vu_frontend_queue *q = queue_of(arg, n, &b);
	uint32_t base;

	if (!q)
		return;
	/* As a monitor's debugging query does, the driver knowing nothing of it. */
	if (vu_frontend_get_vring_base(b->fe[atoi(arg[1])], atoi(arg[2]), &base))
		puts("no");
	else
		printf("ok %u\n", base);
}

static void do_signal(char **arg, int n)
{
	struct backend *b = n > 1 ? find(arg[0]) : NULL;

	if (!b || kill(b->pid, atoi(arg[1]))) {
		puts("no");
		return;
	}
	if (atoi(arg[1]) == SIGKILL)
		waitpid(b->pid, NULL, 0);
	puts("ok");
}

static void do_leave(char **arg, int n)
{
	struct backend *b = n > 1 ? find(arg[0]) : NULL;
	unsigned int dev = b ? atoi(arg[1]) : 0;

	if (!b || dev >= b->devices || !b->fe[dev]) {
		puts("no");
		return;
	}
	vu_frontend_free(b->fe[dev]);
	b->fe[dev] = NULL;
	memset(b->rate[dev], 0, sizeof(b->rate[dev]));
	puts("ok");
}

static void drop(struct backend *b)
{
	kill(b->pid, SIGKILL);
	waitpid(b->pid, NULL, 0);
	for (unsigned int i = 0; i < b->devices; i++)
		vu_frontend_free(b->fe[i]);
	if (b->control >= 0)
		close(b->control);
	free(b);
}

static void do_end(char **arg, int n)
{
	struct backend **at = &all, *b = n ? find(arg[0]) : NULL;

	if (!b) {
		puts("no such back-end");
		return;
	}
	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	drop(b);
	puts("ok");
}

static void do_pid(char **arg, int n)
{
	struct backend *b = n ? find(arg[0]) : NULL;

	printf(b ? "ok %d\n" : "no\n", b ? b->pid : 0);
}

static const struct {
	const char *name;
	void (*run)(char **arg, int n);
} commands[] = {{"new", do_new},   {"submit", do_submit}, {"kick", do_kick},
		{"reap", do_reap}, {"load", do_load},	  {"bad", do_bad},
		{"log", do_log},   {"stop", do_stop},	  {"signal", do_signal},
		{"leave", do_leave}, {"end", do_end},	  {"pid", do_pid}};

static void run_command(char *line)
{
	char *words[16], *save, *word;
	int n = 0;

	for (word = strtok_r(line, " \n", &save); word && n < 16;
	     word = strtok_r(NULL, " \n", &save))
		words[n++] = word;
	for (size_t i = 0; n && i < VU_ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, words[0])) {
			commands[i].run(words + 1, n - 1);
			fflush(stdout);
			return;
		}
	}
	puts("no such command");
	fflush(stdout);
}

/* --- load: what is owed since the last time --- */

static void drive(struct backend *b, unsigned int d, unsigned int i, double seconds)
{
	struct vu_frontend_queue *q = b->q[d][i];
	unsigned int n;

	while (vu_frontend_reap(q, NULL, NULL) == 1)
		;
	b->owed[d][i] = VU_MIN(b->owed[d][i] + b->rate[d][i] * seconds, b->size / 4.0);
	n = b->owed[d][i];
	if (!n)
		return;
	b->owed[d][i] -= n;
	if (submit(q, n))
		(void)!vu_frontend_kick(q);
}

static void drive_all(double seconds)
{
	for (struct backend *b = all; b; b = b->next) {
		for (unsigned int d = 0; b->loaded && d < b->devices; d++) {
			for (unsigned int i = 0; b->fe[d] && i < b->queues; i++) {
				if (b->rate[d][i] > 0)
					drive(b, d, i, seconds);
			}
		}
	}
}

int main(void)
{
	const struct rlimit many = {MAX_FDS, MAX_FDS};
	int64_t last = vu__now_ms();
	char line[256];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)!setrlimit(RLIMIT_NOFILE, &many);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdin, NULL, _IONBF, 0);
	for (;;) {
		struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
		bool loaded = false;
		int64_t now;

		for (struct backend *b = all; b; b = b->next)
			loaded = loaded || b->loaded;
		if (poll(&p, 1, loaded ? 10 : -1) > 0) {
			if (!fgets(line, sizeof(line), stdin))
				break;
			run_command(line);
		}
		now = vu__now_ms();
		drive_all((now - last) / 1000.0);
		last = now;
	}
	while (all) {
		struct backend *b = all;

		all = b->next;
		drop(b);
	}
	return 0;
}
