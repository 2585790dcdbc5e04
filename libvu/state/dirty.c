/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the device writes, for a tool that wants to know while nobody migrates: each queue
 * logs into a bitmap of its own, in memory that the tool reads and clears.  It ends with
 * the tool's connection, or when a front-end wants a log of its own.  Control thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "core/dirtylog.h"
#include "proto/control.pb-c.h"
#include "state/control.h"

static void put_logs(struct vu__log **logs, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		vu__log_put(logs[i]);
	free(logs);
}

/* One after the other in the file. */
static int open_logs(struct vu__control *c, int fd, uint64_t stride, struct vu__log ***out)
{
	unsigned int n = c->d->pub->max_queues, i;
	struct vu__log **logs = vu__sys.calloc(n, sizeof(*logs));
	int ret = logs ? 0 : vu__refuse(c->d, -ENOMEM, "out of memory");

	for (i = 0; !ret && i < n; i++) {
		ret = vu__log_new(fd, stride, i * stride, &logs[i], c->d->why,
				  sizeof(c->d->why));
		/* Nobody is to be given this file; a device may have many queues. */
		if (!ret && logs[i]->fd >= 0) {
			close(logs[i]->fd);
			logs[i]->fd = -1;
		}
	}
	if (ret) {
		if (logs)
			put_logs(logs, i);
		return ret;
	}
	*out = logs;
	return 0;
}

static int watch(struct vu__control *c, const Vu__Control__Dirty *how, int fd)
{
	struct vu__dev *d = c->d;
	struct vu__log **logs;
	int ret;

	if (fd < 0 || how->queues < d->pub->max_queues || how->stride > UINT32_MAX)
		return vu__refuse(d, -EINVAL, "a file of a bitmap for each of %u queues is needed",
				  d->pub->max_queues);
	if (c->watcher)
		return vu__refuse(d, -EBUSY, "process %d watches", (int)c->watcher->pid);
	ret = open_logs(c, fd, how->stride, &logs);
	if (ret)
		return ret;
	ret = vu__log_shadow(d, logs);
	if (!ret)
		return 0;
	put_logs(logs, d->pub->max_queues);
	return vu__refuse(d, ret, "%s", ret == -EBUSY ? "the front-end logs already" :
							"the bitmaps are too small");
}

void vu__request_dirty(struct vu__control *c, const Vu__Control__Request *r,
		       int fds[VU__CONTROL_FDS])
{
	Vu__Control__Reply reply = VU__CONTROL__REPLY__INIT;
	Vu__Control__Watched watched = VU__CONTROL__WATCHED__INIT;
	int ret = watch(c, r->dirty, fds[0]);

	if (ret) {
		vu__control_fail(c, ret, "%s", c->d->why);
		return;
	}
	c->watcher = c->talking;
	watched.queues = c->d->pub->max_queues;
	reply.what_case = VU__CONTROL__REPLY__WHAT_WATCHED;
	reply.watched = &watched;
	vu__control_reply(c, &reply, NULL, 0);
}

void vu__watcher_lost(struct vu__control *c)
{
	c->watcher = NULL;
	vu__log_unshadow(c->d);
}
