/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a QEMU monitor's answers mean.  A process that is only called QEMU may send
 * anything: types are checked, texts cut, numbers of things bounded.  Pure.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>
#include <linux/virtio_net.h>

#include "observe/proctext.h"
#include "observe/qmp.h"
#include "wire/spec.h"

#define MAX_DEPTH 16

struct json_object *vu__qmp_parse_reply(const char *line, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(MAX_DEPTH);
	struct json_object *all, *value = NULL;

	if (!tok)
		return NULL;
	all = len <= INT32_MAX ? json_tokener_parse_ex(tok, line, len) : NULL;
	/* A number or a word may not be complete yet, but an object is. */
	if (json_object_is_type(all, json_type_object) &&
	    json_object_object_get_ex(all, "return", &value))
		json_object_get(value);
	json_object_put(all);
	json_tokener_free(tok);
	return value;
}

/* --- fields --- */

static struct json_object *field(struct json_object *o, const char *name,
				 enum json_type type)
{
	struct json_object *value = NULL;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, name, &value) ||
	    !json_object_is_type(value, type))
		return NULL;
	return value;
}

static void take_text(struct json_object *o, const char *name, char *to, size_t size)
{
	struct json_object *value = field(o, name, json_type_string);

	if (value)
		vu__procfs_copy_text(to, size, json_object_get_string(value),
				   json_object_get_string_len(value));
}

static bool take_bool(struct json_object *o, const char *name)
{
	return json_object_get_boolean(field(o, name, json_type_boolean));
}

static uint64_t take_u64(struct json_object *o, const char *name)
{
	return json_object_get_uint64(field(o, name, json_type_int));
}

/* --- features, which QEMU names --- */

static const struct {
	const char *name; /* up to the colon */
	uint8_t bit;
} feature_names[] = {
	{"VIRTIO_F_NOTIFY_ON_EMPTY", VU__F_NOTIFY_ON_EMPTY},
	{"VHOST_F_LOG_ALL", VU__F_LOG_ALL},
	{"VIRTIO_RING_F_INDIRECT_DESC", VU__F_INDIRECT_DESC},
	{"VIRTIO_RING_F_EVENT_IDX", VU__F_EVENT_IDX},
	{"VIRTIO_F_VERSION_1", VU__F_VERSION_1},
	{"VIRTIO_F_IOMMU_PLATFORM", VU__F_ACCESS_PLATFORM},
	{"VIRTIO_F_RING_PACKED", VU__F_RING_PACKED},
	{"VIRTIO_F_IN_ORDER", VIRTIO_F_IN_ORDER},
	{"VIRTIO_NET_F_CTRL_VQ", VIRTIO_NET_F_CTRL_VQ},
	{"VIRTIO_NET_F_MQ", VIRTIO_NET_F_MQ},
};

static uint64_t feature_of(const char *text)
{
	size_t len = strcspn(text, ":");

	for (size_t i = 0; i < VU_ARRAY_SIZE(feature_names); i++) {
		if (strlen(feature_names[i].name) == len &&
		    !strncmp(text, feature_names[i].name, len))
			return VU_BIT(feature_names[i].bit);
	}
	return 0;
}

static uint64_t named_features(struct json_object *list)
{
	uint64_t bits = 0;
	size_t n = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if (json_object_is_type(o, json_type_string))
			bits |= feature_of(json_object_get_string(o));
	}
	return bits;
}

/* --- answers --- */

/* /machine/peripheral/ID/virtio-backend, or /machine/peripheral/ID. */
static void id_of_path(const char *path, char *id, size_t size)
{
	static const char prefix[] = "/machine/peripheral/";
	size_t len;

	id[0] = '\0';
	if (strncmp(path, prefix, strlen(prefix)))
		return;
	path += strlen(prefix);
	len = strcspn(path, "/");
	vu__procfs_copy_text(id, size, path, len);
}

int vu__qmp_take_list(struct json_object *reply, struct vu__qmp_vm *vm)
{
	size_t n;

	if (!json_object_is_type(reply, json_type_array))
		return 0;
	n = VU_MIN(json_object_array_length(reply), (size_t)VU__QMP_MAX_DEVICES);
	vm->devs = calloc(n ? n : 1, sizeof(*vm->devs));
	vm->queues = calloc(VU__QMP_MAX_QUEUES, sizeof(*vm->queues));
	if (!vm->devs || !vm->queues)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(reply, i);
		struct json_object *path = field(o, "path", json_type_string);
		struct vu__qmp_device *d = &vm->devs[vm->ndevs];

		/* A path that was cut would name another object. */
		if (!path || (size_t)json_object_get_string_len(path) >= sizeof(d->path))
			continue;
		take_text(o, "path", d->path, sizeof(d->path));
		take_text(o, "name", d->name, sizeof(d->name));
		id_of_path(d->path, d->id, sizeof(d->id));
		vm->ndevs++;
	}
	return 0;
}

uint32_t vu__qmp_take_status(struct json_object *reply, struct vu__qmp_device *d)
{
	struct json_object *guest = field(reply, "guest-features", json_type_object);
	uint64_t n = take_u64(reply, "num-vqs");

	d->virtio_id = take_u64(reply, "device-id");
	d->broken = take_bool(reply, "broken");
	d->vhost = field(reply, "vhost-dev", json_type_object);
	d->vhost_started = take_bool(reply, "vhost-started");
	d->features = named_features(field(guest, "transports", json_type_array)) |
		      named_features(field(guest, "dev-features", json_type_array));
	return VU_MIN(n, (uint64_t)VU__QMP_MAX_QUEUES);
}

void vu__qmp_take_queue(struct json_object *reply, struct vu__qmp_queue *q)
{
	uint64_t num = take_u64(reply, "num");

	memset(q, 0, sizeof(*q));
	if (num > 32768)
		return;
	q->num = num;
	q->desc = take_u64(reply, "desc");
	q->avail = take_u64(reply, "avail");
	q->used = take_u64(reply, "used");
	q->desc_gpa = take_u64(reply, "desc-phys");
	q->avail_gpa = take_u64(reply, "avail-phys");
	q->used_gpa = take_u64(reply, "used-phys");
}

void vu__qmp_take_vm(struct json_object *name, struct json_object *uuid,
		     struct json_object *status, struct vu__qmp_vm *vm)
{
	take_text(name, "name", vm->name, sizeof(vm->name));
	take_text(uuid, "UUID", vm->uuid, sizeof(vm->uuid));
	take_text(status, "status", vm->run_state, sizeof(vm->run_state));
	vm->running = take_bool(status, "running");
}
