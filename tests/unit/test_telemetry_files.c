/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telemetry files of all kinds: cut, spoilt, foreign, of other versions, of the dead. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "base/rundir.h"
#include "core/telemetry.h"
#include "tests/lib/rundir.h"

#define NOBODY 65534

static struct vu__telemetry *new_segment(unsigned int queues)
{
	struct vu__telemetry *w;

	assert_int_equal(vu__telemetry_new(0, queues, &w), 0);
	return w;
}

/* --- bad files --- */

static uint8_t *image;
static size_t image_size;

/* The bytes of a good file, with some of everything in it. */
static void make_image(void)
{
	struct vu__telemetry *w = new_segment(2);
	FILE *f;

	assert_non_null(vu__telemetry_annex(w, 0, 64));
	vu__telemetry_edit_queue(w, 0)->generation = 1;
	vu__telemetry_done_queue(w, 0);
	w->counters[0].popped = 10;
	w->counters[0].avail_idx = 10;
	vu__telemetry_event(w, (struct vu_telemetry_event){.kind = VU_TELEMETRY_NOTE}, "note");
	f = fopen(rundir_path(getpid(), 0), "rb");
	assert_non_null(f);
	image_size = w->end;
	image = malloc(image_size);
	assert_non_null(image);
	assert_int_equal(fread(image, 1, image_size, f), image_size);
	fclose(f);
	vu__telemetry_free(w);
}

static const char *put_image(const uint8_t *bytes, size_t size)
{
	const char *path = rundir_path(getpid(), 9);
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, size, f), size);
	fclose(f);
	return path;
}

/* Asks for everything there is; what the answers are does not matter. */
static void use(struct vu_telemetry *t)
{
	static struct vu_telemetry_event events[VU_TELEMETRY_EVENTS];
	struct vu_telemetry_device d;
	struct vu_telemetry_queue q;
	struct vu_telemetry_hist h;
	uint64_t value;

	(void)vu_telemetry_refresh(t);
	(void)vu_telemetry_process(t);
	vu_telemetry_device(t, &d);
	for (unsigned int i = 0; vu_telemetry_queue(t, i, &q) != -ERANGE; i++)
		(void)vu_telemetry_oldest(t, i, &value);
	for (unsigned int m = 0; m < vu_telemetry_metrics(t); m++) {
		if (vu_telemetry_value(t, m, 0, 0, &value))
			(void)vu_telemetry_hist(t, m, 0, &h);
	}
	(void)vu_telemetry_events(t, events, VU_TELEMETRY_EVENTS, &value);
}

/* Changes bytes of it where it is. */
static void spoil(const char *path, size_t at, const void *bytes, size_t n)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, (off_t)at), n);
	close(fd);
}

/* The result of opening it; a text says what is wrong with what is refused. */
static int try(const char *path)
{
	struct vu_telemetry *t = NULL;
	char why[256] = "";
	int ret = vu_telemetry_open(path, &t, why, sizeof(why));

	if (!ret)
		use(t);
	else
		assert_true(strlen(why) > 5 && !strchr(why, '\n'));
	vu_telemetry_close(t);
	return ret;
}

static void a_file_cut_anywhere_is_refused(void **state)
{
	uint64_t fixed;

	(void)state;
	make_image();
	memcpy(&fixed, image + offsetof(struct vu_telemetry_header, fixed_size), 8);
	for (size_t size = 0; size < image_size; size += size < 300 ? 1 : 331) {
		int ret = try(put_image(image, size));

		assert_int_equal(ret, size < fixed ? -EBADMSG : 0);
	}
	assert_int_equal(unlink(rundir_path(getpid(), 9)), 0);
	free(image);
}

static void a_file_cut_while_it_is_open_is_an_error(void **state)
{
	struct vu_telemetry *t;
	struct vu_telemetry_event e;
	struct vu_telemetry_hist h;
	uint64_t since;
	const char *path;

	(void)state;
	make_image();
	path = put_image(image, image_size);
	assert_int_equal(vu_telemetry_open(path, &t, NULL, 0), 0);
	/* The annex only. */
	assert_int_equal(truncate(path, (off_t)image_size - 64 - 100), 0);
	assert_int_equal(vu_telemetry_refresh(t), 0);
	assert_int_equal(vu_telemetry_oldest(t, 0, &since), -ENODATA);
	assert_int_equal(truncate(path, 4096), 0);
	assert_int_equal(vu_telemetry_refresh(t), -ENODATA);
	assert_int_equal(vu_telemetry_events(t, &e, 1, NULL), -ENODATA);
	assert_int_equal(vu_telemetry_hist(t, vu_telemetry_find(t, VU_TELEMETRY_IN_ANNEX, "batch"),
					   0, &h), -ENODATA);
	/* The last snapshot is still there. */
	use(t);
	vu_telemetry_close(t);
	assert_int_equal(unlink(path), 0);
	free(image);
}

static void a_file_that_becomes_another_is_noticed(void **state)
{
	struct vu__telemetry *w = new_segment(1);
	struct vu_telemetry *t = rundir_open(getpid());

	(void)state;
	w->head->generation++;
	assert_int_equal(vu_telemetry_refresh(t), -EBADMSG);
	w->head->generation--;
	assert_int_equal(vu_telemetry_refresh(t), 0);
	w->head->queues = 200;
	assert_int_equal(vu_telemetry_refresh(t), -EBADMSG);
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

static void any_bit_of_the_header_may_be_wrong(void **state)
{
	unsigned int refused = 0;
	const char *path;

	(void)state;
	make_image();
	path = put_image(image, image_size);
	for (size_t at = 0; at < sizeof(struct vu_telemetry_header); at++) {
		for (unsigned int bit = 0; bit < 8; bit++) {
			uint8_t wrong = image[at] ^ 1u << bit;

			spoil(path, at, &wrong, 1);
			refused += try(path) != 0;
		}
		spoil(path, at, image + at, 1);
	}
	assert_true(refused > 400);
	assert_int_equal(unlink(path), 0);
	free(image);
}

static void any_word_may_be_anything(void **state)
{
	static const uint64_t words[] = {0, 1, UINT32_MAX, INT64_MAX, UINT64_MAX,
					 0x8000000080000000ull};
	const char *path;

	(void)state;
	make_image();
	path = put_image(image, image_size);
	for (size_t at = 0; at + 8 <= image_size; at += at < 12288 ? 8 : 1016) {
		for (size_t i = 0; i < VU_ARRAY_SIZE(words); i++) {
			spoil(path, at, &words[i], 8);
			(void)try(path);
		}
		spoil(path, at, image + at, 8);
	}
	assert_int_equal(unlink(path), 0);
	free(image);
}

#define HEAD ((struct vu_telemetry_header *)image)

static void other_versions_are_told_apart(void **state)
{
	(void)state;
	make_image();
	HEAD->version = 2;
	assert_int_equal(try(put_image(image, image_size)), -EPROTONOSUPPORT);
	HEAD->version = VU_TELEMETRY_VERSION;
	HEAD->byte_order = __builtin_bswap32(HEAD->byte_order);
	assert_int_equal(try(put_image(image, image_size)), -EPROTONOSUPPORT);
	HEAD->byte_order = VU_TELEMETRY_BYTE_ORDER;
	memset(HEAD->magic, 0, sizeof(HEAD->magic));
	assert_int_equal(try(put_image(image, image_size)), -EAGAIN);
	memcpy(HEAD->magic, "\177ELF\2\1\1", 8);
	assert_int_equal(try(put_image(image, image_size)), -EBADMSG);
	assert_int_equal(unlink(rundir_path(getpid(), 9)), 0);
	free(image);
}

/*
 * A library of the future: every structure is longer, there is a metric in the new part,
 * and one of a type and in a place that are not known here.
 */
static void a_newer_library_is_read_and_its_metrics_shown(void **state)
{
	const uint32_t more = 64;
	struct vu_telemetry_header h;
	struct vu_telemetry_metric m = {.name = "invented", .type = VU_TELEMETRY_COUNTER,
					.place = VU_TELEMETRY_IN_COUNTERS,
					.offset = sizeof(struct vu_telemetry_counters) + 8,
					.count = 1};
	struct vu_telemetry_metric odd = {.name = "odd", .type = 99, .place = 7,
					  .offset = 1 << 30, .count = 1 << 30};
	struct vu_telemetry_queue q;
	struct vu_telemetry *t;
	uint64_t value, at;
	uint8_t *newer;
	int i;

	(void)state;
	make_image();
	h = *HEAD;
	newer = calloc(1, 1 << 20);
	assert_non_null(newer);
	h.counters_size += more;
	h.config_size += more;
	h.device_size += more;
	h.metrics += 2;
	at = 4096;
	h.device = at;
	at += h.device_size;
	h.counters = at;
	at += (uint64_t)h.queues * h.counters_size;
	h.configs = at;
	at += (uint64_t)h.queues * h.config_size;
	h.directory = at;
	at += (uint64_t)h.metrics * h.metric_size;
	h.black_box = at;
	h.fixed_size = at + (uint64_t)h.events * h.event_size;
	memcpy(newer, &h, sizeof(h));
	for (unsigned int n = 0; n < h.queues; n++) {
		memcpy(newer + h.counters + n * h.counters_size,
		       image + HEAD->counters + n * HEAD->counters_size, HEAD->counters_size);
		memcpy(newer + h.configs + n * h.config_size,
		       image + HEAD->configs + n * HEAD->config_size, HEAD->config_size);
	}
	memcpy(newer + h.directory, image + HEAD->directory, HEAD->metrics * sizeof(m));
	memcpy(newer + h.directory + HEAD->metrics * sizeof(m), &m, sizeof(m));
	memcpy(newer + h.directory + (HEAD->metrics + 1) * sizeof(m), &odd, sizeof(odd));
	value = 4711;
	memcpy(newer + h.counters + h.counters_size + m.offset, &value, 8);
	assert_int_equal(vu_telemetry_open(put_image(newer, 1 << 20), &t, NULL, 0), 0);
	i = vu_telemetry_find(t, VU_TELEMETRY_IN_COUNTERS, "invented");
	assert_int_equal(vu_telemetry_value(t, i, 1, 0, &value), 0);
	assert_int_equal(value, 4711);
	assert_int_equal(vu_telemetry_value(t, i, 0, 0, &value), 0);
	assert_int_equal(value, 0);
	i = vu_telemetry_find(t, 7, "odd");
	assert_int_equal(vu_telemetry_value(t, i, 0, 0, &value), -ENOTSUP);
	assert_int_equal(vu_telemetry_queue(t, 0, &q), 0);
	assert_int_equal(q.counters.popped, 10);
	use(t);
	vu_telemetry_close(t);
	free(newer);
	free(image);
	assert_int_equal(unlink(rundir_path(getpid(), 9)), 0);
}

static void an_older_library_is_read_and_lacks_what_it_lacks(void **state)
{
	struct vu_telemetry_queue q;
	struct vu_telemetry *t;

	(void)state;
	make_image();
	/* Two queues of half the length, which are in fact the first one's halves. */
	HEAD->counters_size /= 2;
	HEAD->metrics = 0;
	assert_int_equal(vu_telemetry_open(put_image(image, image_size), &t, NULL, 0), 0);
	assert_int_equal(vu_telemetry_metrics(t), 0);
	assert_int_equal(vu_telemetry_queue(t, 0, &q), 0);
	assert_int_equal(q.counters.popped, 10);
	assert_int_equal(q.counters.calls, 0);
	vu_telemetry_close(t);
	free(image);
	assert_int_equal(unlink(rundir_path(getpid(), 9)), 0);
}

static void what_is_not_a_file_is_refused_at_once(void **state)
{
	char path[160], link[160];

	(void)state;
	make_image();
	snprintf(path, sizeof(path), "%s", put_image(image, image_size));
	snprintf(link, sizeof(link), "%s", rundir_path(getpid(), 8));
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(try(link), -ELOOP);
	assert_int_equal(unlink(link), 0);
	/* Nobody will ever write into it. */
	assert_int_equal(mkfifo(link, 0600), 0);
	assert_int_equal(try(link), -EBADMSG);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(try(rundir()), -EBADMSG);
	assert_int_equal(try("/dev/null"), -EBADMSG);
	assert_int_equal(try(link), -ENOENT);
	assert_int_equal(unlink(path), 0);
	free(image);
}

/* Runs it as another user; its result is the child's exit status. */
static int as_user(uid_t uid, int (*what)(const char *path), const char *path)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(setresuid(uid, uid, uid) ? 99 : -what(path));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void somebody_elses_file_is_refused(void **state)
{
	const char *path;

	(void)state;
	if (geteuid())
		skip();
	make_image();
	path = put_image(image, image_size);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(chmod(rundir(), 0755), 0);
	/* It speaks of a process of root's, and that is who we are. */
	assert_int_equal(try(path), 0);
	assert_int_equal(as_user(NOBODY, try, path), 0);
	assert_int_equal(chown(path, 12345, 12345), 0);
	assert_int_equal(try(path), -EPERM);
	assert_int_equal(as_user(NOBODY, try, path), -EPERM);
	/* One's own. */
	assert_int_equal(as_user(12345, try, path), 0);
	/* Of the dead nothing is known: root may look. */
	HEAD->start_time++;
	path = put_image(image, image_size);
	assert_int_equal(try(path), 0);
	assert_int_equal(as_user(NOBODY, try, path), -EPERM);
	/* Unreadable is what the system says. */
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(as_user(NOBODY, try, path), -EACCES);
	assert_int_equal(chmod(rundir(), 0700), 0);
	assert_int_equal(unlink(path), 0);
	free(image);
}

static int try_watch(const char *path)
{
	struct vu_telemetry *t;
	int ret = vu_telemetry_open(path, &t, NULL, 0);

	if (!ret)
		ret = vu_telemetry_watch(t, 5);
	return ret;
}

static void a_lease_is_given_by_who_may_write(void **state)
{
	struct vu__telemetry *w = new_segment(1);
	struct vu_telemetry *t = rundir_open(getpid());
	uint64_t now = vu__telemetry_now();

	(void)state;
	assert_int_equal(vu_telemetry_watch(t, 5), 0);
	assert_true(w->lease->until > now + 4000000000ull && w->lease->until < now + 9000000000ull);
	assert_int_equal(vu_telemetry_watch(t, 0), 0);
	assert_int_equal(w->lease->until, 0);
	assert_int_equal(vu_telemetry_watch(t, VU_TELEMETRY_LEASE_MAX + 1), -EINVAL);
	assert_int_equal(vu__telemetry_watch(w, 60), 0);
	assert_true(w->lease->until > now + 59000000000ull);
	if (!geteuid()) {
		assert_int_equal(chmod(rundir_path(getpid(), 0), 0644), 0);
		assert_int_equal(chmod(rundir(), 0755), 0);
		assert_int_equal(as_user(NOBODY, try_watch, rundir_path(getpid(), 0)), -EACCES);
		assert_int_equal(chmod(rundir(), 0700), 0);
	}
	vu_telemetry_close(t);
	vu__telemetry_free(w);
}

/* --- pruning --- */

/* The black box of a process that cannot be: pids end at 2^22. */
static const char *put_dead(unsigned int pid, time_t found)
{
	const char *path;
	FILE *f;

	HEAD->pid = pid;
	path = rundir_path((pid_t)pid, 0);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(image, 1, image_size, f), image_size);
	assert_int_equal(fchmod(fileno(f), found ? 0400 : 0600), 0);
	fclose(f);
	if (found) {
		struct timespec times[2] = {{found, 0}, {found, 0}};

		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	}
	return path;
}

static void prune(void)
{
	char why[256];
	int dir = vu__run_dir_open(why, sizeof(why));

	assert_true(dir >= 0);
	vu__telemetry_prune(dir);
	close(dir);
}

static void black_boxes_are_kept_for_a_while(void **state)
{
	time_t now = time(NULL);
	struct stat st;

	(void)state;
	make_image();
	put_dead(5000000, 0);
	put_dead(5000001, now - 6 * 86400);
	put_dead(5000002, now - 8 * 86400);
	/* Not ours to judge. */
	assert_int_equal(close(open(rundir_path(5000003, 0), O_CREAT | O_WRONLY, 0600)), 0);
	HEAD->pid_ns++;
	put_dead(5000004, now - 30 * 86400);
	HEAD->pid_ns--;
	prune();
	assert_int_equal(stat(rundir_path(5000000, 0), &st), 0);
	/* Found just now, whenever it was made. */
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_true(st.st_mtime >= now);
	assert_int_equal(access(rundir_path(5000001, 0), F_OK), 0);
	assert_int_not_equal(access(rundir_path(5000002, 0), F_OK), 0);
	assert_int_equal(access(rundir_path(5000003, 0), F_OK), 0);
	assert_int_equal(access(rundir_path(5000004, 0), F_OK), 0);
	for (unsigned int i = 0; i < 5; i++)
		(void)unlink(rundir_path(5000000 + i, 0));
	free(image);
}

static void of_many_black_boxes_the_latest_are_kept(void **state)
{
	struct vu__telemetry *w;
	time_t now = time(NULL);

	(void)state;
	make_image();
	for (unsigned int i = 0; i < 40; i++)
		put_dead(5000000 + i, now - 100 - i);
	/* A new device prunes; its own file is a living one's. */
	w = new_segment(1);
	assert_int_equal(rundir_files(), VU__BLACK_BOXES + 1);
	assert_int_equal(access(rundir_path(getpid(), 0), F_OK), 0);
	for (unsigned int i = 0; i < 40; i++) {
		assert_int_equal(!access(rundir_path(5000000 + i, 0), F_OK),
				 i < VU__BLACK_BOXES);
		(void)unlink(rundir_path(5000000 + i, 0));
	}
	vu__telemetry_free(w);
	free(image);
}

static void a_recycled_pids_black_box_makes_way(void **state)
{
	struct vu__telemetry *w;
	struct vu_telemetry *t;

	(void)state;
	make_image();
	HEAD->start_time++;
	put_dead(getpid(), 0);
	w = new_segment(1);
	t = rundir_open(getpid());
	assert_int_equal(vu_telemetry_process(t), VU_TELEMETRY_RUNNING);
	vu_telemetry_close(t);
	vu__telemetry_free(w);
	free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_cut_anywhere_is_refused),
		cmocka_unit_test(a_file_cut_while_it_is_open_is_an_error),
		cmocka_unit_test(a_file_that_becomes_another_is_noticed),
		cmocka_unit_test(any_bit_of_the_header_may_be_wrong),
		cmocka_unit_test(any_word_may_be_anything),
		cmocka_unit_test(other_versions_are_told_apart),
		cmocka_unit_test(a_newer_library_is_read_and_its_metrics_shown),
		cmocka_unit_test(an_older_library_is_read_and_lacks_what_it_lacks),
		cmocka_unit_test(what_is_not_a_file_is_refused_at_once),
		cmocka_unit_test(somebody_elses_file_is_refused),
		cmocka_unit_test(a_lease_is_given_by_who_may_write),
		cmocka_unit_test(black_boxes_are_kept_for_a_while),
		cmocka_unit_test(of_many_black_boxes_the_latest_are_kept),
		cmocka_unit_test(a_recycled_pids_black_box_makes_way),
	};

	return cmocka_run_group_tests(tests, rundir_setup, rundir_teardown);
}
