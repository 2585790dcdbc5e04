/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hand-overs from one vu-blk to another, by vu-migrate, under a front-end that checks its
 * disk.  At each step of each party it is killed, or stopped for a while: exactly one
 * process serves afterwards, or none if the owner was killed, and nothing is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "state/handover.h"
#include "tests/lib/blk.h"
#include "tests/lib/disk.h"
#include "vu-migrate/step.h"

#define QUEUES	 2
#define PATIENCE 10000 /* ms, for what must happen */
#define STILL	 100   /* ms without a request completed: nobody serves */

enum party { OLD, NEW, TOOL, PARTIES };

struct process {
	pid_t pid; /* 0: it has ended */
	int status;
	char log[128];
};

struct field {
	struct blk_process b; /* only the folder and the disk's file */
	char run[128], other[128];
	struct process p[PARTIES];
	struct disk disk;
};

/* --- processes --- */

static void read_log(const struct process *p, char *text, size_t size)
{
	int fd = open(p->log, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
}

static void run_child(const struct process *p, const char *program, const char *const *args,
		      const char *step)
{
	const char *top = getenv("top_builddir");
	char path[4096], *argv[16];
	int n = 0, fd = open(p->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", program);
	argv[n++] = path;
	while (*args && n < 15)
		argv[n++] = (char *)*args++;
	argv[n] = NULL;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setenv("VU_STEP", step, 1);
	dup2(fd, 1);
	dup2(fd, 2);
	execv(path, argv);
	dprintf(2, "%s: %s\n", path, strerror(errno));
	_exit(127);
}

static void spawn(struct field *f, enum party who, const char *program,
		  const char *const *args, const char *step)
{
	static const char *const names[PARTIES] = {"old", "new", "tool"};
	struct process *p = &f->p[who];

	snprintf(p->log, sizeof(p->log), "%s/%s.log", f->b.dir, names[who]);
	unlink(p->log);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (!p->pid)
		run_child(p, program, args, step);
}

static void spawn_blk(struct field *f, enum party who, const char *sock, const char *step)
{
	const char *args[] = {"--socket-path", sock, "--blk-file", f->b.image, "--num-queues=2",
			      NULL};
	int64_t deadline = vu__now_ms() + PATIENCE;
	char text[4096];

	spawn(f, who, "tests/handover/vu-blk-steps", args, step);
	do {
		read_log(&f->p[who], text, sizeof(text));
		if (strstr(text, "ready on"))
			return;
		poll(NULL, 0, 2);
	} while (vu__now_ms() < deadline);
	fail_msg("vu-blk is not ready: %s", text);
}

/* Whether it has ended, or with @stopped was stopped; never waits. */
static bool has_changed(struct process *p, bool stopped)
{
	if (!p->pid)
		return true;
	if (waitpid(p->pid, &p->status, WNOHANG | (stopped ? WUNTRACED : 0)) != p->pid)
		return false;
	if (!WIFSTOPPED(p->status))
		p->pid = 0;
	return true;
}

static void end(struct process *p)
{
	if (!p->pid)
		return;
	kill(p->pid, SIGKILL);
	waitpid(p->pid, &p->status, 0);
	p->pid = 0;
}

/* --- a disk that is served --- */

static void check_disk(struct field *f, bool ok)
{
	char old[2048], new[2048], tool[2048];

	if (ok)
		return;
	read_log(&f->p[OLD], old, sizeof(old));
	read_log(&f->p[NEW], new, sizeof(new));
	read_log(&f->p[TOOL], tool, sizeof(tool));
	fail_msg("%s\nold: %s\nnew: %s\ntool: %s", f->disk.error, old, new, tool);
}

static void must_go_on(struct field *f)
{
	check_disk(f, disk_run_requests(&f->disk, 64, PATIENCE));
}

static bool goes_on(struct field *f)
{
	uint64_t before;

	/* What was completed before. */
	check_disk(f, disk_run(&f->disk, 5));
	before = f->disk.done;
	check_disk(f, disk_run(&f->disk, STILL));
	return f->disk.done != before;
}

/* Whether the disk is served without this one. */
static bool serves_without(struct field *f, enum party who)
{
	struct process *p = &f->p[who];
	bool yes;

	if (!p->pid)
		return goes_on(f);
	kill(p->pid, SIGSTOP);
	while (!has_changed(p, true))
		poll(NULL, 0, 1);
	yes = goes_on(f);
	if (p->pid)
		kill(p->pid, SIGCONT);
	return yes;
}

/* Stopping the one that serves stops the disk, stopping the other does not. */
static void one_serves(struct field *f)
{
	bool without_old, without_new;

	for (int i = 0; i < 3; i++) {
		must_go_on(f);
		without_old = serves_without(f, OLD);
		must_go_on(f);
		without_new = serves_without(f, NEW);
		if (without_old && without_new)
			break;
		if (without_old != without_new)
			return;
		/* On a busy machine even who serves may take longer than that. */
	}
	fail_msg("%s serve", without_old ? "both" : "stopped together, none");
}

static void run_until_changed(struct field *f, struct process *p, bool stopped,
			      const char *what)
{
	int64_t deadline = vu__now_ms() + PATIENCE;

	while (!has_changed(p, stopped)) {
		check_disk(f, disk_run(&f->disk, 2));
		if (vu__now_ms() > deadline) {
			snprintf(f->disk.error, sizeof(f->disk.error), "%s: it does not come", what);
			check_disk(f, false);
		}
	}
}

/* --- one hand-over --- */

static void begin(struct field *f, bool packed, const char *step)
{
	memset(f, 0, sizeof(*f));
	blk_prepare(&f->b, NULL);
	snprintf(f->run, sizeof(f->run), "%s/run", f->b.dir);
	snprintf(f->other, sizeof(f->other), "%s/other", f->b.dir);
	setenv("LIBVU_RUN_DIR", f->run, 1);
	spawn_blk(f, OLD, f->b.sock, step);
	check_disk(f, disk_begin(&f->disk, f->b.sock, QUEUES, packed, 0));
	must_go_on(f);
	spawn_blk(f, NEW, f->other, step);
}

/* On a busy machine it takes its time to complete what is in flight. */
static void begin_tool(struct field *f, const char *timeout, const char *max_pause,
		       const char *step)
{
	char pid[16], pause[32], wait[32];
	const char *args[] = {"handover", pid, f->other, pause, wait, NULL};

	snprintf(pid, sizeof(pid), "%d", (int)f->p[OLD].pid);
	snprintf(pause, sizeof(pause), "--max-pause=%s", max_pause);
	snprintf(wait, sizeof(wait), "--timeout=%s", timeout);
	spawn(f, TOOL, "tests/handover/vu-migrate-steps", args, step);
}

static void finish(struct field *f)
{
	char command[300];

	for (int i = 0; i < PARTIES; i++)
		end(&f->p[i]);
	disk_end(&f->disk);
	snprintf(command, sizeof(command), "rm -rf %s", f->b.dir);
	assert_int_equal(system(command), 0);
}

static void works(bool packed)
{
	struct field f;

	begin(&f, packed, "none:none");
	begin_tool(&f, "10s", "5s", "none:none");
	run_until_changed(&f, &f.p[TOOL], false, "the tool's end");
	assert_int_equal(f.p[TOOL].status, 0);
	run_until_changed(&f, &f.p[OLD], false, "the old one's end");
	assert_int_equal(f.p[OLD].status, 0);
	must_go_on(&f);
	finish(&f);
}

static void it_works(void **state)
{
	(void)state;
	works(false);
	works(true);
}

/* --- at each step --- */

#define ALL_STEPS ((int)VU__STEP_COUNT + (int)TOOL_STEP_COUNT)

static const char *step_name(int i)
{
	return i < (int)VU__STEP_COUNT ? vu__step_name((enum vu__step)i) :
					 tool_step_name((enum tool_step)(i - (int)VU__STEP_COUNT));
}

static enum party party_of(const char *step)
{
	return !strncmp(step, "give", 4) ? OLD : !strncmp(step, "take", 4) ? NEW : TOOL;
}

/* Whether it owns the device at that step, and nobody else will while it is silent. */
static bool is_owner(int step)
{
	switch (party_of(step_name(step))) {
	case OLD:
		return step < (int)VU__STEP_GIVE_OFFER_SENT;
	case NEW:
		return step >= (int)VU__STEP_TAKE_OWNER;
	default:
		return false;
	}
}

/* The next one where the front-end comes again: nothing was lost. */
static void start_anew(struct field *f)
{
	assert_false(goes_on(f));
	end(&f->p[OLD]);
	end(&f->p[NEW]);
	unlink(f->b.sock);
	spawn_blk(f, OLD, f->b.sock, "none:none");
	check_disk(f, disk_again(&f->disk, f->b.sock));
	must_go_on(f);
}

static void killed_at(int step, bool packed)
{
	const char *name = step_name(step);
	struct field f;
	char how[64];

	snprintf(how, sizeof(how), "%s:kill", name);
	begin(&f, packed, how);
	begin_tool(&f, "10s", "5s", how);
	run_until_changed(&f, &f.p[party_of(name)], false, how);
	if (!WIFSIGNALED(f.p[party_of(name)].status))
		fail_msg("%s: it ended before", how);
	if (is_owner(step))
		start_anew(&f);
	else if (party_of(name) == TOOL)
		one_serves(&f);
	else
		must_go_on(&f);
	finish(&f);
}

static void stopped_at(int step)
{
	const char *name = step_name(step);
	struct field f;
	struct process *victim = &f.p[party_of(name)];
	char how[64];

	snprintf(how, sizeof(how), "%s:stop", name);
	/* What a ring looks like plays no part in who owns it. */
	begin(&f, step % 2, how);
	begin_tool(&f, "2s", "1s", how);
	run_until_changed(&f, victim, true, how);
	if (!victim->pid)
		fail_msg("%s: it ended before", how);
	if (is_owner(step))
		assert_false(goes_on(&f));
	else
		must_go_on(&f);
	kill(victim->pid, SIGCONT);
	run_until_changed(&f, &f.p[TOOL], false, "the tool's end");
	one_serves(&f);
	finish(&f);
}

static void killed_at_each_step(void **state)
{
	(void)state;
	for (int i = 0; i < ALL_STEPS; i++) {
		print_message("# killed at %s\n", step_name(i));
		killed_at(i, false);
		killed_at(i, true);
	}
}

static void stopped_at_each_step(void **state)
{
	(void)state;
	for (int i = 0; i < ALL_STEPS; i++) {
		print_message("# stopped at %s\n", step_name(i));
		stopped_at(i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_works),
		cmocka_unit_test(killed_at_each_step),
		cmocka_unit_test(stopped_at_each_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
