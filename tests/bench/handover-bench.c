/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long queues stand still when one vu-blk takes over from another, under load, beside
 * the least it could be: passing the same number of file descriptors to another process,
 * and its waking up.  They run in turns.  Then what an operator has otherwise: end the
 * process, start the next one, connect again.  Then checkpoint and restore, and what tools
 * that misbehave on the control socket cost.
 *
 * One thread drives the disk while vu-migrate runs; a child is the floor's other process.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/disk.h"

#define PACKET_FDS 64u
#define MAX_ROUNDS 1000u
#define TOUCHED	   (512ull << 20) /* of the guest's memory, at most: the rest is sparse */

static char dir[] = "/tmp/vu-bench.XXXXXX";
static char run_dir[] = "/dev/shm/vu-bench.XXXXXX"; /* on tmpfs, as /run is */
static char image[64], main_sock[64];

static void fail(const char *what)
{
	fprintf(stderr, "handover-bench: %s: %s\n", what, errno ? strerror(errno) : "failed");
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double percentile(double *v, unsigned int n, unsigned int p)
{
	qsort(v, n, sizeof(*v), by_value);
	return n ? v[(n - 1) * p / 100] : 0;
}

/* --- processes --- */

static pid_t spawn(const char *const *args, int out)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out, 1);
	execv(args[0], (char *const *)args);
	fail(args[0]);
	return -1;
}

static pid_t start_blk(const char *sock, unsigned int queues)
{
	char number[32], said[256];
	const char *args[] = {"examples/vu-blk", "--socket-path", sock, "--blk-file", image, number,
			      NULL};
	int fds[2];
	pid_t pid;

	snprintf(number, sizeof(number), "--num-queues=%u", queues);
	if (pipe2(fds, O_CLOEXEC))
		fail("pipe");
	pid = spawn(args, fds[1]);
	close(fds[1]);
	if (read(fds[0], said, sizeof(said)) <= 0)
		fail("vu-blk");
	close(fds[0]);
	return pid;
}

/* Runs the tool while @d goes on; NULL: it stands still.  What it said. */
static const char *run_tool(const char *const *args, struct disk *d)
{
	static char said[65536];
	size_t n = 0;
	ssize_t got;
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		fail("pipe");
	pid = spawn(args, fds[1]);
	close(fds[1]);
	while ((got = read(fds[0], said + n, sizeof(said) - 1 - n))) {
		if (got > 0)
			n += got;
		else if (!d)
			poll(NULL, 0, 1);
		else if (!disk_run(d, 1))
			errno = 0, fail(d->error);
	}
	close(fds[0]);
	said[n] = '\0';
	if (waitpid(pid, &status, 0) != pid || status)
		errno = 0, fail(args[1]);
	return said;
}

/* --- the floor --- */

struct floor {
	int chan;
	pid_t pid;
	struct shared {
		double came_ms;
		unsigned int rounds;
	} *shared;
};

static void pass(int chan, const int *fds, unsigned int n)
{
	char control[CMSG_SPACE(PACKET_FDS * sizeof(int))]
		__attribute__((aligned(sizeof(struct cmsghdr)))) = {0};
	struct iovec iov = {.iov_base = &n, .iov_len = sizeof(n)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			   .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	if (sendmsg(chan, &h, 0) < 0)
		fail("passing file descriptors");
}

/* Takes a packet's files; how many. */
static unsigned int receive(int chan)
{
	char control[CMSG_SPACE(PACKET_FDS * sizeof(int))]
		__attribute__((aligned(sizeof(struct cmsghdr))));
	unsigned int n = 0;
	struct iovec iov = {.iov_base = &n, .iov_len = sizeof(n)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c;

	if (recvmsg(chan, &h, MSG_CMSG_CLOEXEC) <= 0)
		_exit(0);
	c = CMSG_FIRSTHDR(&h);
	for (unsigned int i = 0; c && i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		close(fd);
	}
	return n;
}

static void floor_child(struct floor *f, int chan, unsigned int nfds)
{
	unsigned int got;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		for (got = 0; got < nfds;)
			got += receive(chan);
		f->shared->came_ms = now_ms();
		__atomic_fetch_add(&f->shared->rounds, 1, __ATOMIC_RELEASE);
	}
}

static void floor_begin(struct floor *f, unsigned int nfds)
{
	int chan[2];

	f->shared = mmap(NULL, sizeof(*f->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f->shared == MAP_FAILED || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, chan))
		fail("the floor");
	f->chan = chan[0];
	f->pid = fork();
	if (!f->pid) {
		close(chan[0]);
		floor_child(f, chan[1], nfds);
	}
	close(chan[1]);
}

static double floor_once(struct floor *f, unsigned int nfds)
{
	unsigned int rounds = __atomic_load_n(&f->shared->rounds, __ATOMIC_ACQUIRE), n;
	int fds[PACKET_FDS], one = eventfd(0, EFD_CLOEXEC);
	double begin;

	for (unsigned int i = 0; i < PACKET_FDS; i++)
		fds[i] = one;
	begin = now_ms();
	for (unsigned int left = nfds; left; left -= n) {
		n = left < PACKET_FDS ? left : PACKET_FDS;
		pass(f->chan, fds, n);
	}
	while (__atomic_load_n(&f->shared->rounds, __ATOMIC_ACQUIRE) == rounds)
		poll(NULL, 0, 1);
	close(one);
	return f->shared->came_ms - begin;
}

static void floor_end(struct floor *f)
{
	close(f->chan);
	waitpid(f->pid, NULL, 0);
	munmap(f->shared, sizeof(*f->shared));
}

/* --- hand-overs --- */

static double number_after(const char *text, const char *name, double or)
{
	const char *at = strstr(text, name);

	return at ? strtod(at + strlen(name), NULL) : or;
}

/* The worst queue's time from "nothing is in flight" to "served". */
static double switch_of(const char *said)
{
	double worst = 0;

	for (const char *at = said; (at = strstr(at, "\"queue\":")); at++) {
		double ms = number_after(at, "\"blackout_ms\":", 0) -
			    number_after(at, "\"drain_ms\":", 0);

		worst = ms > worst ? ms : worst;
	}
	return worst;
}

static void measure(unsigned int queues, unsigned int rounds, uint64_t memory)
{
	static double floor_ms[MAX_ROUNDS], whole[MAX_ROUNDS], change[MAX_ROUNDS];
	/* kick, call and err of each; memory, log, inflight region, socket, channel */
	unsigned int nfds = 3 * queues + 5;
	double prepare = 0, p50, p99, f50, f99;
	uint64_t touched;
	char other[80], pid[16];
	const char *args[] = {"vu-migrate/vu-migrate", "handover", pid, other, "--json", NULL};
	struct floor f;
	struct disk d;
	pid_t old, new;

	unlink(main_sock);
	old = start_blk(main_sock, queues);
	if (!disk_begin(&d, main_sock, queues, false, memory))
		errno = 0, fail(d.error);
	touched = memory / 2 < TOUCHED ? memory / 2 : TOUCHED;
	memset(vu_frontend_ptr(d.fe, memory / 2, touched), 1, touched);
	floor_begin(&f, nfds);
	for (unsigned int i = 0; i < rounds; i++) {
		const char *said;

		snprintf(other, sizeof(other), "%s/%u.sock", dir, i);
		new = start_blk(other, queues);
		snprintf(pid, sizeof(pid), "%d", (int)old);
		said = run_tool(args, &d);
		whole[i] = number_after(strstr(said, "]"), "\"blackout_ms\":", -1);
		change[i] = switch_of(said);
		prepare += number_after(said, "\"prepare_ms\":", 0);
		waitpid(old, NULL, 0);
		old = new;
		floor_ms[i] = floor_once(&f, nfds);
		if (!disk_run_requests(&d, 4 * queues, 10000))
			errno = 0, fail(d.error);
	}
	p50 = percentile(change, rounds, 50);
	p99 = percentile(change, rounds, 99);
	f50 = percentile(floor_ms, rounds, 50);
	f99 = percentile(floor_ms, rounds, 99);
	printf("%3u queues: standing still %.3f, %.3f ms; without the drain %.3f, %.3f ms; floor "
	       "%.3f, %.3f ms; ratio %.2f, %.2f; prepared in %.0f ms\n", queues,
	       percentile(whole, rounds, 50), percentile(whole, rounds, 99), p50, p99, f50, f99,
	       p50 / f50, p99 / f99, prepare / rounds);
	fflush(stdout);
	floor_end(&f);
	kill(old, SIGKILL);
	waitpid(old, NULL, 0);
	disk_end(&d);
}

/* What there is without: SIGTERM, the next one, the front-end comes again. */
static void measure_restart(unsigned int queues, unsigned int rounds, uint64_t memory)
{
	static double ms[MAX_ROUNDS];
	struct disk d;
	pid_t old;

	unlink(main_sock);
	old = start_blk(main_sock, queues);
	if (!disk_begin(&d, main_sock, queues, false, memory))
		errno = 0, fail(d.error);
	for (unsigned int i = 0; i < rounds; i++) {
		double begin;

		if (!disk_run_requests(&d, 4 * queues, 10000))
			errno = 0, fail(d.error);
		begin = now_ms();
		kill(old, SIGTERM);
		waitpid(old, NULL, 0);
		old = start_blk(main_sock, queues);
		if (!disk_again(&d, main_sock) || !disk_run_requests(&d, 1, 10000))
			errno = 0, fail(d.error);
		ms[i] = now_ms() - begin;
	}
	printf("%3u queues: stop, start, connect at once: %.1f, %.1f ms; QEMU's reconnect=1 looks "
	       "once a second\n", queues, percentile(ms, rounds, 50), percentile(ms, rounds, 99));
	kill(old, SIGKILL);
	waitpid(old, NULL, 0);
	disk_end(&d);
}

/* --- images --- */

static void measure_images(unsigned int rounds)
{
	static double save[MAX_ROUNDS], load[MAX_ROUNDS];
	const unsigned int queues = DISK_QUEUES;
	char file[80], pid[16];
	const char *checkpoint[] = {"vu-migrate/vu-migrate", "checkpoint", pid, "-q", "-o", file,
				    NULL};
	const char *restore[] = {"vu-migrate/vu-migrate", "restore", "-q", main_sock, file, NULL};
	double per = 1000.0 / queues;
	struct stat st;
	struct disk d;

	for (unsigned int i = 0; i < rounds; i++) {
		pid_t blk;
		double begin;

		unlink(main_sock);
		blk = start_blk(main_sock, queues);
		if (!disk_begin(&d, main_sock, queues, false, 0) ||
		    !disk_run_requests(&d, queues, 10000))
			errno = 0, fail(d.error);
		snprintf(file, sizeof(file), "%s/image", dir);
		snprintf(pid, sizeof(pid), "%d", (int)blk);
		begin = now_ms();
		run_tool(checkpoint, &d);
		save[i] = now_ms() - begin;
		kill(blk, SIGKILL);
		waitpid(blk, NULL, 0);
		disk_end(&d);
		unlink(main_sock);
		blk = start_blk(main_sock, queues);
		begin = now_ms();
		run_tool(restore, NULL);
		load[i] = now_ms() - begin;
		kill(blk, SIGKILL);
		waitpid(blk, NULL, 0);
	}
	if (stat(file, &st))
		fail(file);
	printf("1,000 queues: checkpoint %.1f, %.1f ms; restore %.1f, %.1f ms; %.0f KiB (processes of "
	       "%u queues, one after the other)\n", percentile(save, rounds, 50) * per,
	       percentile(save, rounds, 99) * per, percentile(load, rounds, 50) * per,
	       percentile(load, rounds, 99) * per, (double)st.st_size * per / 1024, queues);
}

/* --- tools that misbehave --- */

static int connect_control(pid_t pid)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%d-0.control", run_dir, (int)pid);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Too long, no message at all, files nobody asked for, answers never read; for ever. */
static void misbehave(pid_t blk)
{
	static uint8_t junk[8192];
	int fds[PACKET_FDS], fd = -1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	memset(junk, 0xff, sizeof(junk));
	for (unsigned int i = 0; i < PACKET_FDS; i++)
		fds[i] = STDIN_FILENO;
	for (unsigned int i = 0;; i++) {
		char control[CMSG_SPACE(sizeof(fds))]
			__attribute__((aligned(sizeof(struct cmsghdr)))) = {0};
		struct iovec iov = {.iov_base = junk, .iov_len = i % 2 ? 16 : sizeof(junk)};
		struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				   .msg_controllen = sizeof(control)};
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);

		if (fd < 0) {
			fd = connect_control(blk);
			poll(NULL, 0, fd < 0);
			continue;
		}
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fds));
		memcpy(CMSG_DATA(c), fds, sizeof(fds));
		if (sendmsg(fd, &h, MSG_DONTWAIT) < 0 && errno != EAGAIN) {
			close(fd);
			fd = -1;
		}
	}
}

/* As much of the processors, and nothing for the back-end to do. */
static void burn(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		getppid();
}

static void begin_bad(pid_t bad[3], unsigned int how, pid_t blk)
{
	for (unsigned int k = 0; how && k < 3; k++) {
		bad[k] = fork();
		if (bad[k])
			continue;
		if (how == 1)
			burn();
		misbehave(blk);
	}
}

static void end_bad(pid_t bad[3], unsigned int how)
{
	for (unsigned int k = 0; how && k < 3; k++) {
		kill(bad[k], SIGKILL);
		waitpid(bad[k], NULL, 0);
	}
}

/* Alone, beside three that take processors, beside three of those, in turns. */
static void measure_hostile(unsigned int rounds)
{
	static const char *const who[] = {"alone", "beside busy processes", "beside bad tools"};
	static double quiet[3][MAX_ROUNDS];
	double requests[3] = {0, 0, 0};
	struct disk d;
	pid_t blk;

	unlink(main_sock);
	blk = start_blk(main_sock, 4);
	if (!disk_begin(&d, main_sock, 4, false, 0))
		errno = 0, fail(d.error);
	for (unsigned int i = 0; i < 3 * rounds; i++) {
		uint64_t before = d.done;
		pid_t bad[3];

		begin_bad(bad, i % 3, blk);
		d.quiet_ns = 0;
		if (!disk_run(&d, 100))
			errno = 0, fail(d.error);
		quiet[i % 3][i / 3] = (double)d.quiet_ns / 1e6;
		requests[i % 3] += (double)(d.done - before);
		end_bad(bad, i % 3);
	}
	for (unsigned int i = 0; i < 3; i++)
		printf("%s: %.0f requests a second, the longest gap of a queue in 100 ms %.2f, "
		       "%.2f ms\n", who[i], requests[i] * 10 / rounds,
		       percentile(quiet[i], rounds, 50), percentile(quiet[i], rounds, 99));
	kill(blk, SIGKILL);
	waitpid(blk, NULL, 0);
	disk_end(&d);
}

static void make_image(const char *where)
{
	int fd;

	snprintf(image, sizeof(image), "%s/disk", where);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)disk_bytes(DISK_QUEUES)))
		fail(image);
	close(fd);
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 200;
	uint64_t memory = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1024) << 20;
	const char *part = argc > 3 ? argv[3] : "all";
	bool all = !strcmp(part, "all");
	char command[100];

	if (!rounds || rounds > MAX_ROUNDS || memory < 64 << 20) {
		fprintf(stderr, "Usage: handover-bench [ROUNDS [MiB [PART]]]\n"
			"PART: a number of queues, restart, images, hostile, all\n");
		return 2;
	}
	if (!mkdtemp(dir))
		fail(dir);
	if (!mkdtemp(run_dir))
		fail(run_dir);
	snprintf(main_sock, sizeof(main_sock), "%s/main.sock", dir);
	setenv("LIBVU_RUN_DIR", run_dir, 1);
	make_image(dir);
	printf("%u rounds, %llu MiB of memory; p50, p99\n", rounds,
	       (unsigned long long)memory >> 20);
	for (unsigned int queues = 1; queues <= 64; queues = queues == 1 ? 16 : queues * 4) {
		if (all || strtoul(part, NULL, 10) == queues)
			measure(queues, rounds, memory);
	}
	if (all || !strcmp(part, "restart"))
		measure_restart(16, rounds / 10 + 1, memory);
	if (all || !strcmp(part, "images"))
		measure_images(rounds / 10 + 1);
	/* In memory: a real disk's own gaps are longer than what is looked for. */
	make_image(run_dir);
	if (all || !strcmp(part, "hostile"))
		measure_hostile(rounds / 10 + 1);
	snprintf(command, sizeof(command), "rm -rf %s %s", dir, run_dir);
	return system(command) != 0;
}
