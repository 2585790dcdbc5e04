/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding out about a back-end, whichever way it can be asked. */
#include "vu-migrate/facts.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/fd.h"
#include "state/memfile.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/dirty.h"
#include "vu-migrate/file.h"

/* Between two looks at the queues. */
#define MOMENT_MS 300

void trial_is(struct trial *t, bool good, const char *fmt, ...)
{
	va_list ap;

	/* The first failure is the one that counts. */
	if (t->result == BAD)
		return;
	t->result = good ? GOOD : BAD;
	va_start(ap, fmt);
	vsnprintf(t->text, sizeof(t->text), fmt, ap);
	va_end(ap);
}

void facts_release(struct facts *f)
{
	client_close(&f->client);
	vu__snap_release(&f->snap);
	vu__snap_release(&f->later);
}

/* What is to be known of its kind, if nobody has said it. */
static void guess_type(struct facts *f, const char *name)
{
	static const char *const types[] = {"blk", "net", "scsi", "fs", "gpu", "rng", "console"};

	for (size_t i = 0; !f->type[0] && i < VU_ARRAY_SIZE(types); i++) {
		if (strstr(name, types[i]))
			f->type = types[i];
	}
}

static void take_snap(struct facts *f)
{
	guess_type(f, f->snap.device.name);
	f->has_snap = true;
	f->negotiated = true;
	f->offered = f->snap.device.offered_features;
	f->offered_protocol = f->snap.device.offered_protocol_features;
	f->features = f->snap.device.features;
	f->protocol = f->snap.device.protocol_features;
	f->max_queues = f->snap.device.max_queues;
	f->config_len = f->snap.device.config_len;
	memcpy(f->config, f->snap.device.config, f->config_len);
}

/* --- an image --- */

static int of_image(struct facts *f, const char *path)
{
	struct stat st;
	int status = load_state(path, &f->snap);

	if (status)
		return status;
	f->source = FROM_IMAGE;
	take_snap(f);
	f->image_bytes = stat(path, &st) ? 0 : st.st_size;
	return 0;
}

/* --- a control socket --- */

/* A snapshot; without @drain_ms it waits for nothing. */
static Vu__Control__Reply *save(struct client *c, uint32_t drain_ms, int *err)
{
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;
	Vu__Control__Save s = VU__CONTROL__SAVE__INIT;
	Vu__Control__Reply *reply;

	s.in_flight = !drain_ms;
	s.drain_ms = drain_ms;
	r.what_case = VU__CONTROL__REQUEST__WHAT_SAVE;
	r.save = &s;
	reply = client_call(c, &r, NULL, 0, (int)(drain_ms + globals.timeout_ms), err);
	if (reply && (reply->what_case != VU__CONTROL__REPLY__WHAT_SAVED || c->got_fd < 0)) {
		vu__control__reply__free_unpacked(reply, NULL);
		snprintf(c->why, sizeof(c->why), "it did not give an image");
		*err = -EPROTO;
		reply = NULL;
	}
	return reply;
}

/* 0, or -errno with the reason in the client's why. */
static int look(struct facts *f, struct vu__snap *s)
{
	struct client *c = &f->client;
	int64_t begin = vu__now_ms();
	Vu__Control__Reply *reply;
	struct statvfs v;
	int err;

	reply = save(c, 0, &err);
	if (!reply)
		return err;
	f->save_seconds = (double)(vu__now_ms() - begin) / 1e3;
	f->pause_seconds = (double)reply->saved->pause_ns / 1e9;
	f->image_bytes = reply->saved->bytes;
	f->room = statvfs(".", &v) ? UINT64_MAX : (uint64_t)v.f_bavail * v.f_frsize;
	vu__control__reply__free_unpacked(reply, NULL);
	return vu__memfile_read(c->got_fd, s, c->why, sizeof(c->why));
}

static void try_drain(struct facts *f)
{
	Vu__Control__Reply *reply;
	int err;

	reply = save(&f->client, (uint32_t)globals.timeout_ms, &err);
	if (!reply) {
		trial_is(&f->drain, false, "%s", f->client.why);
		return;
	}
	trial_is(&f->drain, true, "%.1f ms until all requests had ended",
		 (double)reply->saved->pause_ns / 1e6);
	vu__control__reply__free_unpacked(reply, NULL);
}

static int measure(struct facts *f, const struct how *how)
{
	struct dirty_watch w;
	int status = dirty_measure(&f->client, &w, how->seconds, false);

	if (!status) {
		pages_curve(&w.pages, &f->curve);
		est_make(&f->curve, (double)vu__snap_memory(&f->snap), how->bandwidth, how->downtime,
			 f->pause_seconds + f->save_seconds, &f->plan);
		f->measured = true;
	}
	dirty_end(&w);
	return status;
}

int facts_of_control(struct facts *f, const struct how *how)
{
	const Vu__Control__Info *info = f->client.info;
	bool live;
	int err;

	f->source = FROM_CONTROL;
	snprintf(f->name, sizeof(f->name), "%s", f->client.name);
	f->offered = info->offered_features;
	f->offered_protocol = info->offered_protocol_features;
	f->features = info->features;
	f->protocol = info->protocol_features;
	f->negotiated = !info->fresh;
	f->max_queues = info->max_queues;
	host_look((pid_t)info->pid, &f->host);
	/* What keeps it from being saved is a finding, not an end. */
	if (!client_can(&f->client, "save") || info->n_obstacles)
		return 0;
	err = look(f, &f->snap);
	if (err)
		return client_fail(&f->client, err, "looking at its state");
	take_snap(f);
	f->negotiated = !info->fresh;
	live = !info->fresh;
	if (live) {
		poll(NULL, 0, MOMENT_MS);
		err = look(f, &f->later);
		if (err)
			return client_fail(&f->client, err, "looking at its state again");
	}
	if (live && how->deep)
		try_drain(f);
	if (live && how->bandwidth > 0 && client_can(&f->client, "dirty"))
		return measure(f, how);
	return 0;
}

static int restore(struct client *c, int fd, bool discard)
{
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;
	Vu__Control__Restore how = VU__CONTROL__RESTORE__INIT;
	Vu__Control__Reply *reply;
	int err;

	how.discard = discard;
	r.what_case = VU__CONTROL__REQUEST__WHAT_RESTORE;
	r.restore = &how;
	reply = client_call(c, &r, &fd, fd >= 0, (int)globals.timeout_ms, &err);
	if (reply)
		vu__control__reply__free_unpacked(reply, NULL);
	return reply ? 0 : err;
}

static bool same_blob(const struct vu__snap *a, const struct vu__snap *b)
{
	return a->blob.present == b->blob.present && a->blob.len == b->blob.len &&
	       a->blob.version == b->blob.version &&
	       (!a->blob.len || !memcmp(a->blob.data, b->blob.data, a->blob.len));
}

void facts_try(struct facts *f, struct facts *dest)
{
	VU_CLEANUP_SNAP struct vu__snap s = {0};
	VU_CLEANUP_FD int fd = -1;
	struct client *c = &dest->client;
	uint64_t bytes;

	fd = vu__memfile_write(&f->snap, &bytes);
	if (fd < 0 || restore(c, fd, false)) {
		trial_is(&f->fits, false, "%s", fd < 0 ? strerror(-fd) : c->why);
		return;
	}
	trial_is(&f->fits, true, "%s took the image and gave it back", dest->name);
	/* Its own state, once more: the same comes out as went in. */
	if (f->snap.blob.present && look(dest, &s))
		trial_is(&f->state, false, "%s", c->why);
	else if (f->snap.blob.present)
		trial_is(&f->state, same_blob(&f->snap, &s),
			 "loaded into %s and saved there, the device's state is %s", dest->name,
			 same_blob(&f->snap, &s) ? "the same" : "another one");
	if (restore(c, -1, true))
		trial_is(&f->fits, false, "the image waits in %s now: %s", dest->name, c->why);
}

/* --- any --- */

static bool is_image(const char *path)
{
	struct stat st;

	return !strcmp(path, "-") || (!stat(path, &st) && !S_ISSOCK(st.st_mode) &&
				      strcmp(path + VU_MAX(strlen(path), 8) - 8, ".control"));
}

/* Asked through its control socket if it has one and serves somebody, else as one more. */
static int of_back_end(struct facts *f, const struct how *how)
{
	char path[PATH_MAX];
	struct stat st;
	int status = client_find(&f->client, f->target);

	if (!status)
		return facts_of_control(f, how);
	if (status != -ENOENT)
		return status;
	if (!realpath(f->target, path) || stat(path, &st) || !S_ISSOCK(st.st_mode))
		/* It will not be there either; but this one says so. */
		return client_open(&f->client, f->target, false);
	if (host_in_use(path) || host_in_use(f->target))
		return fail(-ENOTSUP, "%s: it serves somebody, and has no control socket to be "
			    "asked through", f->target);
	return facts_of_socket(f, path, how);
}

int facts_gather(struct facts *f, const char *target, const struct how *how)
{
	memset(f, 0, sizeof(*f));
	f->target = target;
	f->client.fd = f->client.got_fd = -1;
	f->type = how->type ? how->type : "";
	snprintf(f->name, sizeof(f->name), "%s", target);
	return is_image(target) ? of_image(f, target) : of_back_end(f, how);
}
