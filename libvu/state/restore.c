/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images that wait for a front-end.  Each device's in its control thread; the list of
 * those that wait between two connections is shared, under a lock.
 */
#include "state/restore.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/sys.h"
#include "proto/control.pb-c.h"
#include "state/control.h"
#include "state/memfile.h"
#include "state/obstacles.h"
#include "state/snapshot.h"
#include "state/waiting.h"

struct restored {
	struct vu__expect expect; /* first: d->expect points to it */
	struct vu__snap snap;
	bool loaded;
	/* Whose it is, between connections. */
	char path[VU__SNAP_TEXT_MAX];
	const VuDev *dev;
	const VuDevIface *iface;
	uint16_t max_queues;
	struct vu__waiting note; /* for tools */
	struct restored *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct restored *waiting;

static struct restored *restored_of(const struct vu__dev *d)
{
	return (struct restored *)d->expect;
}

static void forget(struct restored *r)
{
	if (!r)
		return;
	vu__snap_release(&r->snap);
	free(r);
}

const char *vu__restored_id(const struct vu__dev *d)
{
	return d->expect && !d->expect->begun ? d->expect->id : "";
}

/* --- between connections --- */

/*
 * The device of the next connection is the same one if front-ends come for it at the same
 * place, whether or not the program has made a new VuDev; without a place, if it has not.
 */
static bool is_for(const struct restored *r, const VuDev *dev)
{
	char path[sizeof(r->path)];

	if (r->iface != dev->iface || r->max_queues != dev->max_queues)
		return false;
	vu__snapshot_socket(dev->sock, path, sizeof(path));
	return path[0] || r->path[0] ? !strcmp(path, r->path) : r->dev == dev;
}

static struct restored *take_waiting(const VuDev *dev)
{
	struct restored *found = NULL;

	pthread_mutex_lock(&lock);
	for (struct restored **at = &waiting; *at && !found; at = &(*at)->next) {
		if (!is_for(*at, dev))
			continue;
		found = *at;
		*at = found->next;
		break;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

void vu__restored_begin(struct vu__dev *d)
{
	struct restored *r;

	/* Looked at without the lock: mostly there is none, and nobody to race with. */
	if (!__atomic_load_n(&waiting, __ATOMIC_RELAXED))
		return;
	r = take_waiting(d->pub);
	if (!r)
		return;
	vu__waiting_drop(&r->note);
	r->loaded = false;
	d->expect = &r->expect;
}

void vu__restored_end(struct vu__dev *d)
{
	struct restored *r = restored_of(d);

	d->expect = NULL;
	if (!r)
		return;
	if (r->expect.begun) {
		/* Some of the queues went on: now the rings know more than the image. */
		forget(r);
		return;
	}
	vu__snapshot_socket(d->pub->sock, r->path, sizeof(r->path));
	r->dev = d->pub;
	r->iface = d->pub->iface;
	r->max_queues = d->pub->max_queues;
	snprintf(r->note.device, sizeof(r->note.device), "%s", vu__snapshot_name(d));
	snprintf(r->note.image, sizeof(r->note.image), "%s", r->expect.id);
	snprintf(r->note.socket, sizeof(r->note.socket), "%s", r->path);
	vu__waiting_note(&r->note);
	pthread_mutex_lock(&lock);
	r->next = waiting;
	__atomic_store_n(&waiting, r, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
}

void vu__restored_load(struct vu__dev *d)
{
	struct restored *r = restored_of(d);

	if (!r || r->loaded)
		return;
	r->loaded = true;
	if (vu__snap_load_blob(&r->snap, d))
		vu__dev_panic(d, "image %s: %s", r->snap.inventory.id, d->why);
}

/* --- the request --- */

/* The chains of a packed queue's requests in flight, and which entries they begin at. */
static void put_back(struct vu__packed *p, uint16_t *heads, const void *opaque)
{
	const struct vu__snap_queue *q = opaque;
	struct vu__packed_filling f = vu__packed_fill_begin(p);
	uint32_t n = 0;

	for (uint32_t i = 0; i < q->ndescs; i++) {
		const struct vu__snap_desc *d = &q->descs[i];

		/* There is room: vu__snap_check() has counted them. */
		(void)vu__packed_keep(p, &f, d->addr, d->len, d->flags);
		if (d->flags & VRING_DESC_F_NEXT)
			continue;
		heads[n] = vu__packed_commit(p, &f, q->heads[n]);
		f = vu__packed_fill_begin(p);
		n++;
	}
}

static void expect(struct restored *r)
{
	r->expect.id = r->snap.inventory.id;
	r->expect.features = r->snap.device.features;
	for (uint32_t i = 0; i < r->snap.nqueues; i++) {
		const struct vu__snap_queue *q = &r->snap.queues[i];

		r->expect.queues[q->index] = (struct vu__expect_queue){
			.waits = q->size && (q->started || q->last_avail || q->used),
			.num = q->size,
			.used = vu__snap_used(q),
			.last_avail = vu__snap_avail(q),
			.heads = q->heads,
			.nheads = q->nheads,
			.put_back = q->ndescs ? put_back : NULL,
			.opaque = q,
		};
	}
}

/* Reads, checks everything, and only then touches the device: with its own state. */
static int load(struct vu__control *c, int fd, bool force, struct restored **out)
{
	struct vu__dev *d = c->d;
	struct restored *r = vu__sys.calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return vu__refuse(d, -ENOMEM, "out of memory");
	ret = vu__memfile_read(fd, &r->snap, d->why, sizeof(d->why));
	if (!ret)
		ret = vu__snap_fits(&r->snap, d, force);
	if (!ret)
		ret = vu__snap_load_blob(&r->snap, d);
	if (ret) {
		forget(r);
		return ret;
	}
	r->loaded = true;
	expect(r);
	*out = r;
	return 0;
}

static int restore(struct vu__control *c, const Vu__Control__Restore *how, int fd)
{
	struct vu__dev *d = c->d;
	struct restored *r = NULL;
	int ret;

	if (how->discard) {
		forget(restored_of(d));
		d->expect = NULL;
		return 0;
	}
	if (fd < 0)
		return vu__refuse(d, -EINVAL, "no image came along");
	if (!vu__is_fresh(d))
		return vu__refuse(d, -EBUSY, "it serves a front-end");
	if (d->expect)
		return vu__refuse(d, -EEXIST, "image %s waits already", d->expect->id);
	ret = load(c, fd, how->force, &r);
	if (ret)
		return ret;
	d->expect = &r->expect;
	vu__info("image %s is loaded and waits for its front-end", d->expect->id);
	return 0;
}

void vu__request_restore(struct vu__control *c, const Vu__Control__Request *r,
			 int fds[VU__CONTROL_FDS])
{
	Vu__Control__Reply reply = VU__CONTROL__REPLY__INIT;
	int ret = restore(c, r->restore, fds[0]);

	if (ret)
		vu__control_fail(c, ret, "%s", c->d->why);
	else
		vu__control_reply(c, &reply, NULL, 0);
}
