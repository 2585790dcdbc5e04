/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QEMU's monitor says of its vhost-user devices.
 *
 * Only queries that change nothing are ever sent.  One that looks like it is not among
 * them: x-query-virtio-queue-status makes QEMU send GET_VRING_BASE, which stops the
 * live ring.  A monitor serves one client at a time and may not answer at all, so the
 * connection is closed as soon as the answers are there, and nothing waits for long.
 */
#ifndef VU_OBSERVE_QMP_H
#define VU_OBSERVE_QMP_H

#include <sys/types.h>

#include "base/util.h"

struct json_object;

#define VU__QMP_MAX_DEVICES 256
#define VU__QMP_MAX_QUEUES  1024

struct vu__qmp_queue {
	uint32_t num;		    /* entries; 0: not set up */
	uint64_t desc, avail, used; /* addresses in QEMU */
	uint64_t desc_gpa, avail_gpa, used_gpa;
};

struct vu__qmp_device {
	char path[128];	  /* in QEMU's object tree */
	char name[32];	  /* "virtio-blk" */
	char id[64];	  /* what the user calls it; "" */
	char chardev[64]; /* its character device; "" */
	char netdev[64];  /* ... or its network back-end */
	uint32_t virtio_id;
	uint64_t features; /* acknowledged by the driver: those the transport knows */
	bool vhost;	   /* has a vhost back-end; of the kernel, or of a process */
	bool vhost_started;
	bool broken;
	uint32_t first_queue, nqueues; /* of the VM's queues */
};

struct vu__qmp_vm {
	char name[64];
	char uuid[37];
	char run_state[24];
	bool running;
	uint32_t ndevs;
	struct vu__qmp_device *devs;
	uint32_t nqueues;
	struct vu__qmp_queue *queues;
};

/*
 * Asks the monitor at socket @path, within @timeout_ms in all; to be released.  0 or
 * -errno with a reason for a person in @why: -ETIMEDOUT if it is busy or does not
 * answer, -EPROTO if what it says is no monitor's language.
 */
VU_MUST_CHECK int vu__qmp_ask(const char *path, int timeout_ms, struct vu__qmp_vm *out,
			      char *why, size_t why_size);
void vu__qmp_release(struct vu__qmp_vm *vm);

/* --- what the answers mean; pure --- */

/* Text of a reply to its value; NULL: it is an error, an event, or no JSON. To be put. */
struct json_object *vu__qmp_parse_reply(const char *line, size_t len);

/* x-query-virtio: adds devices to @vm.  0 or -errno. */
VU_MUST_CHECK int vu__qmp_take_list(struct json_object *reply, struct vu__qmp_vm *vm);

/* x-query-virtio-status; how many queues it says it has. */
uint32_t vu__qmp_take_status(struct json_object *reply, struct vu__qmp_device *d);

/* x-query-virtio-vhost-queue-status. */
void vu__qmp_take_queue(struct json_object *reply, struct vu__qmp_queue *q);

/* query-name, query-uuid, query-status. */
void vu__qmp_take_vm(struct json_object *name, struct json_object *uuid,
		     struct json_object *status, struct vu__qmp_vm *vm);

#endif
