/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device's own state, through a pipe of the front-end's: "Migrating back-end state",
 * "VHOST_USER_SET_DEVICE_STATE_FD", "VHOST_USER_CHECK_DEVICE_STATE".  The pipe is served
 * from the event loop, since the front-end reads or writes it only after our answer.
 * Control thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/dev.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "core/devstate.h"

#define DIRECTION_SAVE 0
#define DIRECTION_LOAD 1
#define PHASE_STOPPED  0

/* In the answer: bits 0 to 7 say whether it worked, bit 8 that no fd comes along. */
#define ANSWER_FAILED 1u
#define ANSWER_NO_FD  0x100u

#define CHUNK	      (64u << 10)
#define CHECK_TIMEOUT 5000 /* ms, for what should be at its end */

bool vu__state_supported(const struct vu__dev *d)
{
	const struct vu_ext_ops *ops = &d->ext;

	return ops->state_name && !ops->save_state == !ops->load_state;
}

static const char *what(const struct vu__transfer *t)
{
	return t->load ? "loading" : "saving";
}

/* The pipe is done with, one way or the other. */
static void finish(struct vu__dev *d, int result)
{
	struct vu__transfer *t = &d->transfer;

	if (t->watched)
		d->pub->remove_watch(d->pub, t->fd);
	close(t->fd);
	free(t->data);
	*t = (struct vu__transfer){.fd = -1, .load = t->load, .result = result};
	vu__show_device(d);
}

static void fail(struct vu__dev *d, int err, const char *why)
{
	vu__error("%s the state of '%s': %s", what(&d->transfer), d->ext.state_name, why);
	finish(d, err);
}

/* --- saving --- */

/* The device's state behind its head, in memory of ours. */
static int collect(struct vu__dev *d)
{
	struct vu__transfer *t = &d->transfer;
	VU_CLEANUP_FREE void *data = NULL;
	size_t len = 0;
	int ret = d->ext.save_state ? d->ext.save_state(d->pub, &data, &len) : 0;

	if (ret)
		return vu__refuse(d, ret, "the device cannot save its state: %s", strerror(-ret));
	if (len > VU__DEVSTATE_MAX)
		return vu__refuse(d, -EFBIG, "a state of %zu bytes", len);
	t->data = malloc(VU__DEVSTATE_HEAD + len);
	if (!t->data)
		return -ENOMEM;
	vu__devstate_head(t->data, d->ext.state_name, d->ext.state_version, data, len);
	if (len)
		memcpy(t->data + VU__DEVSTATE_HEAD, data, len);
	t->len = VU__DEVSTATE_HEAD + len;
	return 0;
}

/* Writes what the pipe takes.  True when there is no more to do. */
static bool write_some(struct vu__dev *d)
{
	struct vu__transfer *t = &d->transfer;

	while (t->done < t->len) {
		ssize_t n = vu__write_quietly(t->fd, t->data + t->done, t->len - t->done);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			return false;
		if (n <= 0) {
			fail(d, n ? n : -EIO, n ? strerror(-n) : "nothing was written");
			return true;
		}
		t->done += n;
	}
	finish(d, 0);
	return true;
}

/* --- loading --- */

/* The front-end has written all: it is taken, wholly or not at all. */
static void take(struct vu__dev *d)
{
	struct vu__transfer *t = &d->transfer;
	struct vu__devstate s;
	char why[160];
	int ret = vu__devstate_check(t->data, t->done, d->ext.state_name, &s, why, sizeof(why));

	if (!ret && !d->ext.load_state && s.len) {
		fail(d, -EINVAL, "the device has none, this is not empty");
		return;
	}
	if (ret) {
		fail(d, ret, why);
		return;
	}
	if (d->ext.load_state)
		ret = d->ext.load_state(d->pub, s.version, t->data + VU__DEVSTATE_HEAD, s.len);
	if (ret)
		fail(d, ret, "the device refuses it");
	else
		finish(d, 0);
}

/* Room for more; what the head says of the length is believed only as it comes true. */
static int make_room(struct vu__transfer *t)
{
	uint8_t *more;
	size_t room;

	if (t->len - t->done >= CHUNK)
		return 0;
	if (t->done > VU__DEVSTATE_HEAD + VU__DEVSTATE_MAX)
		return -EFBIG;
	room = t->len ? 2 * t->len : 2 * CHUNK;
	more = realloc(t->data, room);
	if (!more)
		return -ENOMEM;
	t->data = more;
	t->len = room;
	return 0;
}

/* Reads what there is.  True when there is no more to do. */
static bool read_some(struct vu__dev *d)
{
	struct vu__transfer *t = &d->transfer;

	for (;;) {
		int ret = make_room(t);
		ssize_t n;

		if (ret) {
			fail(d, ret, strerror(-ret));
			return true;
		}
		n = read(t->fd, t->data + t->done, t->len - t->done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0) {
			fail(d, -errno, strerror(errno));
			return true;
		}
		if (n == 0) {
			take(d);
			return true;
		}
		t->done += n;
	}
}

/* --- both --- */

static bool move_some(struct vu__dev *d)
{
	return d->transfer.load ? read_some(d) : write_some(d);
}

static void on_ready(VuDev *dev, int condition, void *data)
{
	(void)dev;
	(void)condition;
	move_some(data);
}

/* A file is always ready, and an event loop may not want to hear of it. */
static bool is_file(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode);
}

static int begin(struct vu__dev *d, bool load, int fd)
{
	struct vu__transfer *t = &d->transfer;
	int ret = vu__fd_set_nonblock(fd);

	*t = (struct vu__transfer){.fd = -1, .load = load, .result = -ENODATA};
	if (!ret && !load)
		ret = collect(d);
	if (ret) {
		free(vu__steal_ptr(&t->data));
		return ret;
	}
	t->fd = vu__fd_dup(fd);
	if (t->fd < 0) {
		free(vu__steal_ptr(&t->data));
		return t->fd;
	}
	if (is_file(fd)) {
		move_some(d);
		return 0;
	}
	t->watched = true;
	d->pub->set_watch(d->pub, t->fd, load ? VU_WATCH_IN : VU_WATCH_OUT, on_ready, d);
	return 0;
}

static int check_request(struct vu__dev *d, const struct vu__device_state_payload *p)
{
	if (p->direction > DIRECTION_LOAD || p->phase != PHASE_STOPPED)
		return vu__refuse(d, -EINVAL, "direction %u in phase %u", p->direction, p->phase);
	if (d->transfer.fd >= 0)
		return vu__refuse(d, -EBUSY, "%s is not at its end", what(&d->transfer));
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (d->pub->vq[i].started || d->queues[i].stopping)
			return vu__refuse(d, -EBUSY, "queue %u is running", i);
	}
	return 0;
}

/* An error is in the answer, which there always is. */
int vu__req_set_device_state_fd(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__device_state_payload p = m->payload.device_state;
	int ret = check_request(d, &p);

	if (!ret)
		ret = begin(d, p.direction == DIRECTION_LOAD, m->fds[0]);
	if (ret)
		vu__error("SET_DEVICE_STATE_FD: %s", d->why[0] ? d->why : strerror(-ret));
	vu__msg_close_fds(m);
	m->nfds = 0;
	vu__msg_make_reply_u64(m, ANSWER_NO_FD | (ret ? ANSWER_FAILED : 0));
	return VU__REPLY;
}

/* The front-end has closed its end, or should have: what is left comes at once. */
static void settle(struct vu__dev *d)
{
	struct vu__transfer *t = &d->transfer;
	int64_t deadline = vu__now_ms() + CHECK_TIMEOUT;

	while (t->fd >= 0 && !move_some(d)) {
		if (!t->load || vu__fd_wait(t->fd, POLLIN, deadline)) {
			fail(d, -EAGAIN, "the front-end asks before it has come to an end");
			return;
		}
	}
}

int vu__req_check_device_state(struct vu__dev *d, struct vu__msg *m)
{
	settle(d);
	vu__msg_make_reply_u64(m, d->transfer.result ? ANSWER_FAILED : 0);
	return VU__REPLY;
}

void vu__state_release(struct vu__dev *d)
{
	if (d->transfer.fd >= 0)
		finish(d, -ECANCELED);
}
