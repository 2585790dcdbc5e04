/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a queue is for: rx, tx, requests.  Observe finds out which type a device is of; it
 * takes a while, and is asked only if somebody wants to know.  The main thread.
 */
#include "session.h"

#include <linux/virtio_ids.h>
#include <string.h>

#include "observe/find.h"
#include "observe/sample.h"
#include "select.h"

/* A device that does not tell by then will not. */
#define MOST_LOOKS 10

static bool all_known(const struct session *s)
{
	for (uint32_t i = 0; i < s->nslots; i++) {
		if (s->slots[i].present && !s->slots[i].role)
			return false;
	}
	return true;
}

static bool same_event(const struct end *e, const struct vu__obs_event *o)
{
	return e->obj && o->id >= 0 && e->id == o->id;
}

static uint8_t role_of(const struct vu__obs_snapshot *snap, const struct queue *q)
{
	for (uint32_t i = 0; i < snap->nqueues; i++) {
		const struct vu__obs_queue *o = &snap->queues[i];
		const struct vu__obs_device *d = vu__obs_device_of(snap, o);

		if (vu__obs_process_of(snap, d)->pid != (pid_t)q->backend)
			continue;
		if (same_event(&q->kick, &o->kick) || same_event(&q->call, &o->call))
			return o->role;
		if (o->index == q->index && d->socket[0] &&
		    !strcmp(base_name(d->socket), base_name(q->name)))
			return o->role;
	}
	return VU__OBS_ROLE_UNKNOWN;
}

/* --- of a monitor that does not answer: its command line --- */

static const struct {
	const char *word;
	uint32_t id;
} types[] = {{"vhost-user-blk", VIRTIO_ID_BLOCK},   {"vhost-user-scsi", VIRTIO_ID_SCSI},
	     {"vhost-user-fs", VIRTIO_ID_FS},	    {"vhost-user-vsock", VIRTIO_ID_VSOCK},
	     {"vhost-user-input", VIRTIO_ID_INPUT}, {"vhost-user-snd", VIRTIO_ID_SOUND},
	     {"vhost-user-rng", VIRTIO_ID_RNG},	    {"vhost-user-gpu", VIRTIO_ID_GPU}};

static uint32_t type_of_word(const char *device)
{
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(types); i++) {
		if (!strncmp(device, types[i].word, strlen(types[i].word)))
			return types[i].id;
	}
	return 0;
}

/* Whether @arg, of -device or -netdev, has the character device at this socket. */
static bool is_at(const char *line, size_t len, const char *arg, const char *socket)
{
	char id[64], path[128];

	return vu__procfs_suboption(arg, "chardev", id, sizeof(id)) &&
	       vu__find_chardev_path(line, len, id, path, sizeof(path)) &&
	       !strcmp(base_name(path), base_name(socket));
}

static uint32_t type_at(const char *line, size_t len, const char *socket)
{
	const char *arg;
	char word[64];

	for (unsigned int i = 0; (arg = vu__procfs_option(line, len, "netdev", i)); i++) {
		if (is_at(line, len, arg, socket))
			return VIRTIO_ID_NET;
	}
	for (unsigned int i = 0; (arg = vu__procfs_option(line, len, "device", i)); i++) {
		if (vu__procfs_suboption(arg, NULL, word, sizeof(word)) &&
		    is_at(line, len, arg, socket))
			return type_of_word(word);
	}
	return 0;
}

static uint8_t role_by_command_line(const struct session *s, const struct queue *q)
{
	char line[16384];
	ssize_t len =
		vu__procfs_cmdline(world_proc(s->world), q->vmm, line, sizeof(line));
	unsigned int n = 0;

	for (uint32_t i = 0; i < s->nslots; i++) {
		const struct queue *o = &s->slots[i].queue;

		n += s->slots[i].present && o->vmm == q->vmm &&
		     o->backend == q->backend && o->device == q->device;
	}
	/* Features that give a device more queues than these are not known. */
	return len > 0 && q->name[0]
		       ? vu__obs_role_of(type_at(line, len, q->name), q->index, n, 0)
		       : VU__OBS_ROLE_UNKNOWN;
}

void session_find_roles(struct session *s)
{
	struct vu__obs_snapshot *snap;

	if (!s->want_roles || s->role_looks == MOST_LOOKS || all_known(s))
		return;
	s->role_looks++;
	if (!s->sampler)
		s->sampler = vu__sampler_new(NULL);
	if (!s->sampler || vu__sample_take(s->sampler, &snap))
		return;
	for (uint32_t i = 0; i < s->nslots; i++) {
		struct slot_info *slot = &s->slots[i];

		if (slot->present && !slot->role)
			slot->role = role_of(snap, &slot->queue);
		if (slot->present && !slot->role)
			slot->role = role_by_command_line(s, &slot->queue);
	}
	vu__snapshot_free(snap);
}
