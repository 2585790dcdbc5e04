/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-blk as a process: its command line, its sockets, its front-ends, its end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "base/fd.h"
#include "base/util.h"
#include "tests/lib/blk.h"
#include "wire/msg.h"
#include "wire/sock.h"

#define OK VIRTIO_BLK_S_OK

static void expect_io(struct blk_client *c)
{
	assert_int_equal(blk_request(c, VIRTIO_BLK_T_OUT, 0, 512, 0), OK);
	assert_int_equal(blk_request(c, VIRTIO_BLK_T_IN, 0, 0, 512), OK);
}

/* Runs it to its end: status, and one line that says @text. */
static void expect_one_line(struct blk_process *b, const char *const *args, int status,
			    const char *text)
{
	char *newline;
	int got;

	blk_spawn(b, args, NULL);
	got = blk_wait_end(b);
	newline = strchr(b->said, '\n');
	if (got != status || !strstr(b->said, text) || strncmp(b->said, "vu-blk: ", 8) ||
	    !newline || newline[1])
		fail_msg("%s ...: status %d, not %d: %s", args[0], got, status, b->said);
}

static void wrong_command_lines(void **state)
{
	static const struct {
		const char *args[6];
		const char *says;
	} cases[] = {
		{{"--bogus"}, "--bogus"},
		{{"-x"}, "-x"},
		{{"--num-queues"}, "--num-queues"},
		{{"--blk-file=x"}, "--socket-path"},
		{{"--socket-path=x"}, "--blk-file"},
		{{"--blk-file=x", "--socket-path=y", "--fd=3"}, "--fd"},
		{{"--blk-file=x", "--socket-path=y", "z"}, "z"},
		{{"--blk-file=x", "--socket-path="}, "--socket-path"},
		{{"--blk-file=", "--socket-path=y"}, "--blk-file"},
		{{"--blk-file=x", "--fd=-1"}, "--fd"},
		{{"--blk-file=x", "--fd=two"}, "--fd"},
		{{"--blk-file=x", "--fd=99999999999999"}, "--fd"},
		{{"--blk-file=x", "--socket-path=y", "--num-queues=0"}, "--num-queues"},
		{{"--blk-file=x", "--socket-path=y", "--num-queues=65"}, "--num-queues"},
		{{"--blk-file=x", "--socket-path=y", "--num-queues=1x"}, "--num-queues"},
		{{"--blk-file=x", "--socket-path=y", "--queue-depth=0"}, "--queue-depth"},
		{{"--blk-file=x", "--socket-path=y", "--queue-depth=4097"}, "--queue-depth"},
		{{"--blk-file=x", "--socket-path=y", "--block-size=1024"}, "--block-size"},
		{{"--blk-file=x", "--socket-path=y", "--block-size="}, "--block-size"},
		{{"--blk-file=x", "--socket-path=y", "--cache=none"}, "--cache"},
		{{"--blk-file=x", "--socket-path=y", "--serial=123456789012345678901"},
		 "--serial"},
		{{"--blk-file=x", "--socket-path=y", "--threads=2"}, "--threads"},
	};
	struct blk_process b;

	(void)state;
	blk_prepare(&b, NULL);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(cases); i++)
		expect_one_line(&b, cases[i].args, 2, cases[i].says);
	blk_clean(&b);
}

static void disks_and_sockets_that_are_none(void **state)
{
	struct blk_process b;
	char path[200], small[128];
	int fd;

	(void)state;
	blk_prepare(&b, NULL);
#define FAILS(text, ...) expect_one_line(&b, (const char *[]){__VA_ARGS__, NULL}, 1, text)
	FAILS("/nonexistent/disk: No such file", "--blk-file=/nonexistent/disk", "-s", b.sock);
	FAILS("Is a directory", "--blk-file=/tmp", "-s", b.sock);
	FAILS("neither a file nor a block device", "--blk-file=/dev/null", "-s", b.sock);
	snprintf(small, sizeof(small), "%s/small", b.dir);
	fd = open(small, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 511), 0);
	FAILS("smaller than one sector", "-b", small, "-s", b.sock);
	assert_int_equal(ftruncate(fd, 4095), 0);
	FAILS("smaller than one block", "-b", small, "-s", b.sock, "--block-size=4096");
	close(fd);
	/* The path of a socket that cannot be one. */
	FAILS("exists and is not a socket", "-b", b.image, "-s", small);
	unlink(small);
	FAILS("/nonexistent/s: No such file", "-b", b.image, "-s", "/nonexistent/s");
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	FAILS("longer than", "-b", b.image, "-s", path);
	/* And fds that are not connected sockets. */
	FAILS("fd 77", "-b", b.image, "--fd=77");
	FAILS("fd 0", "-b", b.image, "--fd=0");
#undef FAILS
	blk_clean(&b);
}

/* "Back-end program conventions": everything else is ignored. */
static void its_capabilities(void **state)
{
	static const char *const lines[][5] = {
		{"--print-capabilities"},
		{"--print-capabilities", "--blk-file=/nonexistent"},
		{"--bogus", "--num-queues=many", "--print-capabilities"},
		{"stray", "-b", "/nonexistent", "--print-capabilities"},
	};
	struct blk_process b;

	(void)state;
	blk_prepare(&b, NULL);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(lines); i++) {
		blk_spawn(&b, lines[i], NULL);
		assert_int_equal(blk_wait_end(&b), 0);
		assert_int_equal(b.said[0], '{');
		assert_non_null(strstr(b.said, "\"type\": \"block\""));
		assert_non_null(strstr(b.said, "\"read-only\""));
		assert_non_null(strstr(b.said, "\"blk-file\""));
	}
	blk_clean(&b);
}

static void help_and_version(void **state)
{
	struct blk_process b;

	(void)state;
	blk_prepare(&b, NULL);
	blk_spawn(&b, (const char *[]){"--help", NULL}, NULL);
	assert_int_equal(blk_wait_end(&b), 0);
	assert_non_null(strstr(b.said, "--print-capabilities"));
	blk_spawn(&b, (const char *[]){"--version", NULL}, NULL);
	assert_int_equal(blk_wait_end(&b), 0);
	assert_int_equal(strncmp(b.said, "vu-blk ", 7), 0);
	blk_clean(&b);
}

/* As where kernel.io_uring_disabled is set, or a container forbids it. */
static void forbid_io_uring(void)
{
	static const struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {VU_ARRAY_SIZE(program), (struct sock_filter *)program};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		_exit(126);
}

static void without_io_uring(void **state)
{
	struct blk_process b;

	(void)state;
	blk_prepare(&b, NULL);
	blk_spawn(&b, (const char *[]){"-b", b.image, "-s", b.sock, NULL}, forbid_io_uring);
	assert_int_equal(blk_wait_end(&b), 1);
	assert_non_null(strstr(b.said, "vu-blk: io_uring: Operation not permitted"));
	blk_clean(&b);
}

/* --- front-ends --- */

static void one_front_end_after_the_other(void **state)
{
	static const char *const threads[] = {NULL, "--threads"};

	(void)state;
	for (unsigned int t = 0; t < 2; t++) {
		struct blk_process b;
		struct blk_client c;
		int before = 0;

		blk_start(&b, "--num-queues=3", threads[t], NULL);
		for (unsigned int i = 0; i < 10; i++) {
			blk_connect(&c, b.sock);
			expect_io(&c);
			if (i == 1)
				before = blk_count_fds(&b);
			if (i == 9)
				assert_int_equal(blk_count_fds(&b), before);
			/* With and without stopping its queue first. */
			if (i % 2)
				assert_int_equal(vu_frontend_queue_stop(c.q, NULL), 0);
			blk_disconnect(&c);
		}
		blk_end(&b);
	}
}

static void a_second_front_end_waits_for_the_first(void **state)
{
	struct vu_frontend *waiting[5];
	struct blk_process b;
	struct blk_client first;
	uint64_t features;

	(void)state;
	blk_start(&b, NULL);
	blk_connect(&first, b.sock);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(waiting); i++) {
		waiting[i] = vu_frontend_connect(b.sock);
		assert_non_null(waiting[i]);
		vu_frontend_set_timeout(waiting[i], 30);
	}
	assert_int_equal(vu_frontend_get_features(waiting[0], &features), -ETIMEDOUT);
	expect_io(&first);
	blk_disconnect(&first);
	/* Its request has been waiting in the socket. */
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(waiting); i++) {
		vu_frontend_set_timeout(waiting[i], 10000);
		if (i)
			assert_int_equal(vu_frontend_get_features(waiting[i], &features), 0);
		vu_frontend_free(waiting[i]);
	}
	blk_connect(&first, b.sock);
	expect_io(&first);
	blk_disconnect(&first);
	blk_end(&b);
}

/* ... while it serves a front-end that has done nothing yet. */
static int count_fds_served(struct blk_process *b)
{
	struct vu_frontend *fe = vu_frontend_connect(b->sock);
	uint64_t features;
	int n;

	assert_non_null(fe);
	assert_int_equal(vu_frontend_get_features(fe, &features), 0);
	n = blk_count_fds(b);
	vu_frontend_free(fe);
	return n;
}

/* Whatever a front-end says, the next one is served, and nothing is left of it. */
static void front_ends_that_talk_nonsense(void **state)
{
	struct blk_process b;
	struct blk_client c;
	int before, fd = memfd_create("stray", MFD_CLOEXEC);

	(void)state;
	blk_start(&b, NULL);
	before = count_fds_served(&b);
	for (uint32_t request = 0; request < 60; request++) {
		struct vu_frontend *fe = vu_frontend_connect(b.sock);
		struct vu_frontend_message m = {.request = request, .flags = 1, .size = 3,
						.payload_size = 3, .nfds = 8};

		assert_non_null(fe);
		for (int i = 0; i < 8; i++)
			m.fds[i] = fd;
		assert_int_equal(vu_frontend_send(fe, &m), 0);
		/* It hangs up on us. */
		assert_int_equal(vu_frontend_recv(fe, &m), -ECONNRESET);
		vu_frontend_free(fe);
	}
	blk_connect(&c, b.sock);
	expect_io(&c);
	blk_disconnect(&c);
	assert_int_equal(count_fds_served(&b), before);
	close(fd);
	blk_end(&b);
}

static void once(void **state)
{
	struct blk_process b;
	struct blk_client c;

	(void)state;
	blk_start(&b, "--once", NULL);
	blk_connect(&c, b.sock);
	expect_io(&c);
	blk_disconnect(&c);
	assert_int_equal(blk_wait_end(&b), 0);
	blk_clean(&b);
}

static int inherited[2];

static void move_socket(void)
{
	dup2(inherited[1], 9);
}

static void a_socket_that_is_inherited(void **state)
{
	struct blk_process b;
	struct vu_frontend *fe;
	uint64_t features;

	(void)state;
	blk_prepare(&b, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, inherited), 0);
	blk_spawn(&b, (const char *[]){"--fd=9", "-b", b.image, NULL}, move_socket);
	close(inherited[1]);
	fe = vu_frontend_new(inherited[0]);
	assert_int_equal(vu_frontend_get_features(fe, &features), 0);
	vu_frontend_free(fe);
	/* It ends with its front-end. */
	assert_int_equal(blk_wait_end(&b), 0);
	blk_clean(&b);
}

static void sockets_of_the_dead_and_the_living(void **state)
{
	struct blk_process b, other;

	(void)state;
	blk_start(&b, NULL);
	other = b;
	other.out = -1;
	expect_one_line(&other, (const char *[]){"-b", b.image, "-s", b.sock, NULL}, 1,
			"another process serves it");
	/* One that died leaves its socket, which is in nobody's way. */
	kill(b.pid, SIGKILL);
	assert_int_equal(blk_wait_end(&b), 128 + SIGKILL);
	blk_spawn(&b, (const char *[]){"-b", b.image, "-s", b.sock, NULL}, NULL);
	blk_wait_for(&b, "ready on");
	blk_end(&b);
}

/* --- its end --- */

static void ends_when_told(void **state)
{
	struct blk_process b;
	struct blk_client c;

	(void)state;
	blk_start(&b, NULL);
	blk_end(&b);
	blk_start(&b, NULL);
	kill(b.pid, SIGINT);
	assert_int_equal(blk_wait_end(&b), 0);
	blk_clean(&b);
	blk_start(&b, "--threads", NULL);
	blk_connect(&c, b.sock);
	expect_io(&c);
	blk_end(&b);
	blk_disconnect(&c);
}

/* A front-end cannot hold it: neither with half a message nor by not reading answers. */
static void ends_when_told_whatever_a_front_end_does(void **state)
{
	struct blk_process b;
	struct blk_client c;
	struct vu__msg m;

	(void)state;
	blk_start(&b, NULL);
	blk_connect(&c, b.sock);
	assert_int_equal(vu__sock_send_raw(vu_frontend_sock(c.fe), "\1\0\0", 3, NULL, 0, 1000), 0);
	/* A request after it shows that it goes on. */
	expect_io(&c);
	blk_end(&b);
	blk_disconnect(&c);

	blk_start(&b, NULL);
	blk_connect(&c, b.sock);
	vu__msg_init(&m, VU__GET_FEATURES);
	while (!vu__sock_send(vu_frontend_sock(c.fe), &m, 200))
		;
	blk_end(&b);
	blk_disconnect(&c);
}

/* Everything that was taken is done before it ends. */
static void ends_after_what_is_in_flight(void **state)
{
	static const char *const threads[] = {NULL, "--threads"};

	(void)state;
	for (unsigned int t = 0; t < 2; t++) {
		struct vu_frontend_buf bufs[3] = {
			{BLK_HEADER, 16, false}, {BLK_DATA, 4096, false}, {BLK_STATUS, 1, true}};
		struct blk_process b;
		struct blk_client c;
		unsigned int n;

		blk_start(&b, threads[t], NULL);
		blk_connect(&c, b.sock);
		expect_io(&c);
		*(struct virtio_blk_outhdr *)blk_ptr(&c, BLK_HEADER) =
			(struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_OUT, .sector = 8};
		for (n = 0; !vu_frontend_submit(c.q, bufs, 3, n); n++)
			;
		assert_int_equal(n, BLK_RING / 3);
		assert_true(vu_frontend_kick(c.q) >= 0);
		/* The first completion: they have been taken. */
		assert_int_equal(vu_frontend_wait(c.q, 10000), 0);
		blk_end(&b);
		while (vu_frontend_reap(c.q, NULL, NULL) == 1)
			n--;
		assert_int_equal(n, 0);
		blk_disconnect(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_command_lines),
		cmocka_unit_test(disks_and_sockets_that_are_none),
		cmocka_unit_test(its_capabilities),
		cmocka_unit_test(help_and_version),
		cmocka_unit_test(without_io_uring),
		cmocka_unit_test(one_front_end_after_the_other),
		cmocka_unit_test(a_second_front_end_waits_for_the_first),
		cmocka_unit_test(front_ends_that_talk_nonsense),
		cmocka_unit_test(once),
		cmocka_unit_test(a_socket_that_is_inherited),
		cmocka_unit_test(sockets_of_the_dead_and_the_living),
		cmocka_unit_test(ends_when_told),
		cmocka_unit_test(ends_when_told_whatever_a_front_end_does),
		cmocka_unit_test(ends_after_what_is_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
