/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A telemetry segment's life: made, or not to be had; its process alive, frozen, dead. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/proc.h"
#include "base/rundir.h"
#include "base/sys.h"
#include "core/telemetry.h"
#include "libvu/log.h"
#include "tests/lib/rundir.h"

static struct vu__telemetry *new_segment(unsigned int queues)
{
	struct vu__telemetry *w;

	assert_int_equal(vu__telemetry_new(0, queues, &w), 0);
	return w;
}

/* --- life --- */

static void a_segment_says_whose_it_is_and_goes_with_its_device(void **state)
{
	struct vu__telemetry *w = new_segment(5);
	struct vu_telemetry *t = rundir_open(getpid());
	const struct vu_telemetry_header *h = vu_telemetry_header(t);
	struct vu__proc_stat st;
	struct stat file;

	(void)state;
	assert_int_equal(vu__proc_stat(getpid(), &st), 0);
	assert_int_equal(stat(rundir_path(getpid(), 0), &file), 0);
	assert_int_equal(file.st_mode & 07777, 0600);
	assert_int_equal(h->pid, getpid());
	assert_int_equal(h->number, 0);
	assert_int_equal(h->start_time, st.start);
	assert_string_equal(h->process, st.comm);
	assert_int_equal(h->queues, 5);
	assert_true(h->created && h->created <= vu__telemetry_now());
	assert_int_equal(vu_telemetry_owner(t), geteuid());
	assert_int_equal(vu_telemetry_process(t), VU_TELEMETRY_RUNNING);
	vu__telemetry_free(w);
	assert_int_equal(rundir_files(), 0);
	/* Who has it open still sees what was there last. */
	assert_int_equal(vu_telemetry_refresh(t), 0);
	vu_telemetry_close(t);
}

static char warned[512];
static unsigned int warnings;

static void on_log(enum vu_log_level level, const char *text, void *opaque)
{
	(void)opaque;
	if (level != VU_LOG_WARNING)
		return;
	warnings++;
	snprintf(warned, sizeof(warned), "%s", text);
}

static void without_a_directory_there_is_one_warning_and_a_device(void **state)
{
	const char *bad[] = {"/dev/null", "/proc/no/such", rundir_path(1, 1)};
	struct vu__telemetry *w;
	FILE *f = fopen(bad[2], "w");

	(void)state;
	assert_non_null(f);
	fclose(f);
	vu_set_log_callback(on_log, NULL);
	warnings = 0;
	for (unsigned int i = 0; i < 3; i++) {
		setenv("LIBVU_RUN_DIR", bad[i], 1);
		w = new_segment(1);
		assert_int_equal(w->fd, -1);
		/* It can be written all the same. */
		vu__telemetry_edit_queue(w, 0)->size = 7;
		vu__telemetry_done_queue(w, 0);
		vu__telemetry_event(w, (struct vu_telemetry_event){.kind = 1}, "x");
		assert_null(vu__telemetry_annex(w, 0, 16));
		assert_int_equal(vu__telemetry_watch(w, 1), -ENOENT);
		vu__telemetry_free(w);
	}
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(warned, "/dev/null: "));
	assert_non_null(strstr(warned, "LIBVU_RUN_DIR"));
	setenv("LIBVU_RUN_DIR", "", 1);
	w = new_segment(1);
	assert_int_equal(w->fd, -1);
	vu__telemetry_free(w);
	assert_int_equal(warnings, 1);
	vu_set_log_callback(NULL, NULL);
	setenv("LIBVU_RUN_DIR", rundir(), 1);
	assert_int_equal(unlink(bad[2]), 0);
}

static void a_directory_in_which_others_can_exchange_files_is_not_used(void **state)
{
	char why[256] = "";

	(void)state;
	assert_int_equal(chmod(rundir(), 0777), 0);
	assert_int_equal(vu__run_dir_open(why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, rundir()));
	assert_int_equal(chmod(rundir(), 01777), 0);
	close(vu__run_dir_open(why, sizeof(why)));
	assert_int_equal(chmod(rundir(), 0700), 0);
}

static void the_directory_is_made_if_its_parent_is_there(void **state)
{
	char path[160], why[256];
	struct stat st;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/new", rundir());
	setenv("LIBVU_RUN_DIR", path, 1);
	fd = vu__run_dir_open(why, sizeof(why));
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	close(fd);
	assert_int_equal(rmdir(path), 0);
	setenv("LIBVU_RUN_DIR", rundir(), 1);
}

/* A store to a page that there is no space for would be a SIGBUS. */
static void a_full_file_system_means_no_file_and_later_no_annex(void **state)
{
	struct vu__telemetry *w;

	(void)state;
	if (geteuid() || mount("none", rundir(), "tmpfs", 0, "size=64k,mode=700"))
		skip();
	vu_set_log_callback(on_log, NULL);
	w = new_segment(4);
	assert_int_equal(w->fd, -1);
	vu__telemetry_free(w);
	assert_int_equal(rundir_files(), 0);
	assert_int_equal(mount("none", rundir(), "tmpfs", MS_REMOUNT, "size=100k"), 0);
	w = new_segment(1);
	assert_true(w->fd >= 0);
	warnings = 0;
	assert_null(vu__telemetry_annex(w, 0, 32768));
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(warned, "queue 0"));
	assert_int_equal(w->configs[0].annex, 0);
	vu__telemetry_free(w);
	vu_set_log_callback(NULL, NULL);
	assert_int_equal(umount(rundir()), 0);
}

static void *no_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	(void)addr;
	(void)len;
	(void)prot;
	(void)flags;
	(void)fd;
	(void)off;
	errno = ENOMEM;
	return (void *)-1;
}

static void a_file_that_cannot_be_mapped_is_not_left_behind(void **state)
{
	void *(*real)(void *, size_t, int, int, int, off_t) = vu__sys.mmap;
	struct vu__telemetry *w;

	(void)state;
	vu__sys.mmap = no_mmap;
	w = new_segment(1);
	vu__sys.mmap = real;
	assert_int_equal(w->fd, -1);
	assert_int_equal(rundir_files(), 0);
	vu__telemetry_free(w);
}

static void numbers_are_the_lowest_that_are_free(void **state)
{
	unsigned int n[130];

	(void)state;
	for (unsigned int i = 0; i < 130; i++)
		assert_int_equal(n[i] = vu__device_number_get(), i);
	vu__device_number_put(3);
	vu__device_number_put(128);
	assert_int_equal(vu__device_number_get(), 3);
	assert_int_equal(vu__device_number_get(), 128);
	assert_int_equal(vu__device_number_get(), 130);
	vu__device_number_put(130);
	for (unsigned int i = 0; i < 130; i++)
		vu__device_number_put(i);
}

static void a_device_made_again_keeps_its_black_box(void **state)
{
	struct vu__telemetry *w = new_segment(1);
	struct vu_telemetry *t;
	uint64_t number;

	(void)state;
	vu__telemetry_event(w, (struct vu_telemetry_event){.kind = VU_TELEMETRY_PANIC}, "why");
	number = w->last_event;
	vu__telemetry_free(w);
	w = new_segment(1);
	t = rundir_open(getpid());
	assert_int_equal(rundir_event(t, VU_TELEMETRY_PANIC).number, number);
	vu__telemetry_event(w, (struct vu_telemetry_event){.kind = VU_TELEMETRY_NOTE}, NULL);
	assert_int_equal(rundir_event(t, VU_TELEMETRY_NOTE).number, number + 1);
	assert_true(vu_telemetry_header(t)->generation > 1);
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

static void a_child_that_goes_on_takes_the_file_over(void **state)
{
	struct vu__telemetry *w = new_segment(1);
	pid_t parent = getpid(), child;
	int status;

	(void)state;
	vu__telemetry_adopt(w);
	assert_int_equal(access(rundir_path(parent, 0), F_OK), 0);
	child = fork();
	if (!child) {
		struct vu_telemetry *t = NULL;
		bool ok;

		vu__telemetry_adopt(w);
		ok = !vu_telemetry_open(rundir_path(getpid(), 0), &t, NULL, 0) &&
		     vu_telemetry_process(t) == VU_TELEMETRY_RUNNING &&
		     access(rundir_path(parent, 0), F_OK);
		vu_telemetry_close(t);
		vu__telemetry_free(w);
		_exit(!ok);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(rundir_files(), 0);
	vu__telemetry_free(w);
}

/* --- processes --- */

/* A child with a segment, which says so and then waits. */
static pid_t make_child(void)
{
	int ready[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct vu__telemetry *w;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (vu__telemetry_new(0, 1, &w) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void it_is_known_what_has_become_of_the_process(void **state)
{
	pid_t pid = make_child();
	struct vu_telemetry *t = rundir_open(pid);
	siginfo_t info;

	(void)state;
	assert_int_equal(vu_telemetry_process(t), VU_TELEMETRY_RUNNING);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT), 0);
	assert_int_equal(vu_telemetry_process(t), VU_TELEMETRY_FROZEN);
	assert_int_equal(vu_telemetry_refresh(t), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	/* A zombie first. */
	assert_int_equal(vu_telemetry_process(t), VU_TELEMETRY_DEAD);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(vu_telemetry_process(t), VU_TELEMETRY_DEAD);
	assert_int_equal(vu_telemetry_refresh(t), 0);
	vu_telemetry_close(t);
	assert_int_equal(unlink(rundir_path(pid, 0)), 0);
}

static void a_pid_that_was_given_to_another_process_is_not_the_one(void **state)
{
	struct vu__telemetry *w = new_segment(1);
	struct vu_telemetry *t;

	(void)state;
	w->head->start_time++;
	t = rundir_open(getpid());
	assert_int_equal(vu_telemetry_process(t), VU_TELEMETRY_DEAD);
	vu_telemetry_close(t);
	w->head->start_time--;
	w->head->pid_ns++;
	t = rundir_open(getpid());
	assert_int_equal(vu_telemetry_process(t), VU_TELEMETRY_ELSEWHERE);
	vu_telemetry_close(t);
	w->head->pid_ns--;
	w->head->pid = UINT32_MAX;
	t = rundir_open(getpid());
	assert_int_equal(vu_telemetry_process(t), VU_TELEMETRY_DEAD);
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_segment_says_whose_it_is_and_goes_with_its_device),
		cmocka_unit_test(without_a_directory_there_is_one_warning_and_a_device),
		cmocka_unit_test(a_directory_in_which_others_can_exchange_files_is_not_used),
		cmocka_unit_test(the_directory_is_made_if_its_parent_is_there),
		cmocka_unit_test(a_full_file_system_means_no_file_and_later_no_annex),
		cmocka_unit_test(a_file_that_cannot_be_mapped_is_not_left_behind),
		cmocka_unit_test(numbers_are_the_lowest_that_are_free),
		cmocka_unit_test(a_device_made_again_keeps_its_black_box),
		cmocka_unit_test(a_child_that_goes_on_takes_the_file_over),
		cmocka_unit_test(it_is_known_what_has_become_of_the_process),
		cmocka_unit_test(a_pid_that_was_given_to_another_process_is_not_the_one),
	};

	return cmocka_run_group_tests(tests, rundir_setup, rundir_teardown);
}
