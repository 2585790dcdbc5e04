/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device's own state through a pipe: "Migrating back-end state".  The back-end may use
 * our end of the pipe or answer with an fd of its own.
 */
#include "vu-migrate/devstate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "libvu/frontend.h"
#include "vu-migrate/cmd.h"

enum { SAVE = 0, LOAD = 1, STOPPED = 0 };

#define STEP 65536u

static int wrong(char *why, size_t why_size, int err, const char *text)
{
	snprintf(why, why_size, "%s", text);
	return err;
}

/*
 * Agrees on a pipe; the end that is ours, or -errno.  The other one is closed here, so
 * that its end is seen.
 */
static int agree(struct vu_frontend *fe, uint32_t direction, char *why, size_t why_size)
{
	int ends[2], theirs, reply = -1, ret;

	if (pipe2(ends, O_CLOEXEC))
		return wrong(why, why_size, -errno, strerror(errno));
	theirs = direction == SAVE ? 1 : 0;
	ret = vu_frontend_set_device_state_fd(fe, direction, STOPPED, ends[theirs], &reply);
	close(ends[theirs]);
	if (ret) {
		close(ends[!theirs]);
		return wrong(why, why_size, ret, vu_frontend_error(fe));
	}
	if (reply < 0)
		return ends[!theirs];
	close(ends[!theirs]);
	return reply;
}

static int wait_for(int fd, short events, char *why, size_t why_size)
{
	int ret = vu__fd_wait(fd, events, vu__now_ms() + (int64_t)globals.timeout_ms);

	return ret ? wrong(why, why_size, ret, "the back-end does not go on with its state") : 0;
}

static int finish(struct vu_frontend *fe, int ret, char *why, size_t why_size)
{
	int check = vu_frontend_check_device_state(fe);

	if (!ret && check)
		return wrong(why, why_size, check, vu_frontend_error(fe));
	return ret;
}

int devstate_save(struct vu_frontend *fe, uint8_t **bytes, size_t *len, char *why,
		  size_t why_size)
{
	VU_CLEANUP_FREE uint8_t *buf = NULL;
	VU_CLEANUP_FD int fd = agree(fe, SAVE, why, why_size);
	size_t n = 0, room = 0;
	int ret = VU_MIN(fd, 0);

	while (!ret) {
		ssize_t got;

		if (room - n < STEP) {
			uint8_t *more = realloc(buf, room + 2 * STEP + room / 2);

			if (!more || n > DEVSTATE_MAX)
				return wrong(why, why_size, -ENOMEM, "its state is too large");
			buf = more;
			room += 2 * STEP + room / 2;
		}
		ret = wait_for(fd, POLLIN, why, why_size);
		got = ret ? 0 : read(fd, buf + n, room - n);
		if (got < 0)
			ret = wrong(why, why_size, -errno, strerror(errno));
		if (got <= 0)
			break;
		n += got;
	}
	if (fd < 0)
		return ret;
	ret = finish(fe, ret, why, why_size);
	if (ret)
		return ret;
	*bytes = vu__steal_ptr(&buf);
	*len = n;
	return 0;
}

int devstate_load(struct vu_frontend *fe, const uint8_t *bytes, size_t len, char *why,
		  size_t why_size)
{
	int fd = agree(fe, LOAD, why, why_size);
	int ret = VU_MIN(fd, 0);
	size_t n = 0;

	if (ret)
		return ret;
	while (!ret && n < len) {
		ssize_t put;

		ret = wait_for(fd, POLLOUT, why, why_size);
		put = ret ? 0 : write(fd, bytes + n, VU_MIN(len - n, STEP));
		if (put < 0)
			ret = wrong(why, why_size, -errno, strerror(errno));
		else
			n += put;
	}
	/* The end of the pipe is the end of the state. */
	close(fd);
	return finish(fe, ret, why, why_size);
}
