/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting and ending vu-blk, and the requests of a driver. */
#include "tests/lib/blk.h"

#include <dirent.h>
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
#include "base/util.h"
#include "wire/spec.h"

#define PATIENCE_MS 10000
#define MAX_ARGS    24

/* --- the process --- */

void blk_prepare(struct blk_process *b, const char *parent)
{
	int fd;

	memset(b, 0, sizeof(*b));
	b->out = -1;
	snprintf(b->dir, sizeof(b->dir), "%s/vu-blk.XXXXXX", parent ? parent : "/tmp");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->sock, sizeof(b->sock), "%s/sock", b->dir);
	snprintf(b->image, sizeof(b->image), "%s/disk", b->dir);
	fd = open(b->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, BLK_SECTORS * 512), 0);
	close(fd);
}

static void run_child(const char *const *args, int out, void (*before_exec)(void))
{
	const char *top = getenv("top_builddir");
	char *argv[MAX_ARGS + 2], program[4096];
	int n = 0;

	snprintf(program, sizeof(program), "%s/examples/vu-blk", top ? top : ".");
	argv[n++] = program;
	for (; *args && n <= MAX_ARGS; args++)
		argv[n++] = (char *)*args;
	argv[n] = NULL;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out, 1);
	dup2(out, 2);
	if (before_exec)
		before_exec();
	execv(program, argv);
	dprintf(2, "%s: %s\n", program, strerror(errno));
	_exit(127);
}

void blk_spawn(struct blk_process *b, const char *const *args, void (*before_exec)(void))
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	b->said[0] = '\0';
	b->pid = fork();
	assert_true(b->pid >= 0);
	if (!b->pid)
		run_child(args, fds[1], before_exec);
	close(fds[1]);
	if (b->out >= 0)
		close(b->out);
	b->out = fds[0];
	assert_int_equal(fcntl(b->out, F_SETFL, O_NONBLOCK), 0);
}

/* False at the end of what it says. */
static bool listen_to(struct blk_process *b, int64_t deadline)
{
	size_t have = strlen(b->said);
	ssize_t n;

	if (vu__fd_wait(b->out, POLLIN, deadline))
		fail_msg("vu-blk is silent; it has said: %s", b->said);
	n = read(b->out, b->said + have, sizeof(b->said) - 1 - have);
	if (n > 0)
		b->said[have + n] = '\0';
	return n > 0 || (n < 0 && errno == EAGAIN);
}

void blk_wait_for(struct blk_process *b, const char *text)
{
	int64_t deadline = vu__now_ms() + PATIENCE_MS;

	while (!strstr(b->said, text)) {
		if (!listen_to(b, deadline))
			fail_msg("vu-blk ended without saying '%s': %s", text, b->said);
	}
}

int blk_wait_end(struct blk_process *b)
{
	int64_t deadline = vu__now_ms() + PATIENCE_MS;
	int status;

	while (listen_to(b, deadline))
		;
	close(b->out);
	b->out = -1;
	assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
	b->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void blk_clean(struct blk_process *b)
{
	if (b->pid) {
		kill(b->pid, SIGKILL);
		waitpid(b->pid, NULL, 0);
	}
	if (b->out >= 0)
		close(b->out);
	unlink(b->sock);
	unlink(b->image);
	assert_int_equal(rmdir(b->dir), 0);
}

void blk_start(struct blk_process *b, const char *more, ...)
{
	const char *args[MAX_ARGS] = {"--socket-path", b->sock, "--blk-file", b->image};
	int n = 4;
	va_list ap;

	blk_prepare(b, NULL);
	va_start(ap, more);
	for (; more && n < MAX_ARGS - 1; more = va_arg(ap, const char *))
		args[n++] = more;
	va_end(ap);
	blk_spawn(b, args, NULL);
	blk_wait_for(b, "ready on");
}

void blk_end(struct blk_process *b)
{
	int64_t begin = vu__now_ms();
	struct stat st;
	int status;

	assert_int_equal(kill(b->pid, SIGTERM), 0);
	status = blk_wait_end(b);
	if (status)
		fail_msg("vu-blk ended with %d and said: %s", status, b->said);
	if (vu__now_ms() - begin > 5000)
		fail_msg("vu-blk took %d ms to end", (int)(vu__now_ms() - begin));
	assert_int_equal(stat(b->sock, &st), -1);
	blk_clean(b);
}

int blk_count_fds(const struct blk_process *b)
{
	char path[64];
	DIR *d;
	int n = -2;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)b->pid);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* --- a front-end --- */

#define check(c, call)                                                                   \
	do {                                                                             \
		int check_ret = (call);                                                  \
		if (check_ret)                                                           \
			fail_msg("%s: %d: %s", #call, check_ret,                         \
				 vu_frontend_error((c)->fe));                            \
	} while (0)

void blk_connect(struct blk_client *c, const char *sock)
{
	c->fe = vu_frontend_connect(sock);
	if (!c->fe)
		fail_msg("%s: %s", sock, strerror(errno));
	vu_frontend_set_timeout(c->fe, PATIENCE_MS);
	check(c, vu_frontend_negotiate(c->fe,
				       ~(VU_BIT(VU__F_NOTIFY_ON_EMPTY) | VU_BIT(VU__F_RING_PACKED)),
				       ~0ULL));
	assert_int_equal(vu_frontend_add_memory(c->fe, 0, 4 << 20, 0), 0);
	check(c, vu_frontend_share_memory(c->fe));
	c->q = vu_frontend_queue_new(c->fe, 0, BLK_RING, 0);
	assert_non_null(c->q);
	check(c, vu_frontend_queue_start(c->q, 0));
}

void blk_disconnect(struct blk_client *c)
{
	vu_frontend_free(c->fe);
	c->fe = NULL;
}

void *blk_ptr(struct blk_client *c, uint64_t gpa)
{
	return vu_frontend_ptr(c->fe, gpa, 1);
}

uint32_t blk_submit(struct blk_client *c, const struct vu_frontend_buf *bufs, unsigned int n)
{
	uint32_t len;

	assert_int_equal(vu_frontend_submit(c->q, bufs, n, 0), 0);
	assert_true(vu_frontend_kick(c->q) >= 0);
	if (vu_frontend_wait(c->q, PATIENCE_MS))
		fail_msg("the request was not completed");
	assert_int_equal(vu_frontend_reap(c->q, NULL, &len), 1);
	return len;
}

uint8_t blk_request(struct blk_client *c, uint32_t type, uint64_t sector, uint32_t out,
		    uint32_t in)
{
	struct virtio_blk_outhdr *header = blk_ptr(c, BLK_HEADER);
	uint8_t *status = blk_ptr(c, BLK_STATUS);
	struct vu_frontend_buf bufs[4] = {{BLK_HEADER, sizeof(*header), false}};
	unsigned int n = 1;

	*header = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	*status = 0xee;
	if (out)
		bufs[n++] = (struct vu_frontend_buf){BLK_DATA, out, false};
	if (in)
		bufs[n++] = (struct vu_frontend_buf){BLK_IN, in, true};
	bufs[n++] = (struct vu_frontend_buf){BLK_STATUS, 1, true};
	blk_submit(c, bufs, n);
	return *status;
}

struct virtio_blk_config blk_config(struct blk_client *c)
{
	struct virtio_blk_config config;

	check(c, vu_frontend_get_config(c->fe, 0, sizeof(config), &config));
	return config;
}
