/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What machines, devices and queues are called.  Pure; any thread. */
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>

#include "vu-top/model.h"

void top_vm_name(const struct vu__obs_process *vmm, char *out, size_t size)
{
	if (!vmm)
		snprintf(out, size, "-");
	else if (vmm->vm_name[0])
		snprintf(out, size, "%s", vmm->vm_name);
	else
		snprintf(out, size, "%s[%d]", vmm->comm[0] ? vmm->comm : "pid", vmm->pid);
}

void top_device_name(const struct vu__obs_device *d, char *out, size_t size)
{
	const char *slash = strrchr(d->socket, '/');

	if (d->name[0])
		snprintf(out, size, "%s", d->name);
	else if (d->socket[0])
		snprintf(out, size, "%s", slash && slash[1] ? slash + 1 : d->socket);
	else
		snprintf(out, size, "dev%u", d->number);
}

void top_queue_name(const struct top_queue *t, char *out, size_t size)
{
	char vm[64], device[64];

	top_device_name(t->dev, device, sizeof(device));
	if (t->vmm) {
		top_vm_name(t->vmm, vm, sizeof(vm));
		snprintf(out, size, "%s/%s:%u", vm, device, t->q->index);
	} else {
		snprintf(out, size, "%s:%u", device, t->q->index);
	}
}

const char *top_process_trouble(const struct vu__obs_snapshot *s, uint32_t proc)
{
	const struct vu__obs_process *p = &s->procs[proc];

	if (p->trouble[0] || !p->qmp_trouble[0])
		return p->trouble;
	/* Who tells of itself does not depend on the machine's monitor. */
	for (uint32_t i = 0; i < s->ndevs; i++) {
		if (s->devs[i].vmm == (int64_t)proc && s->devs[i].from != VU__OBS_TELEMETRY)
			return p->qmp_trouble;
	}
	return "";
}

const char *top_device_trouble(const struct vu__obs_snapshot *s, const struct vu__obs_device *d)
{
	const char *text = top_process_trouble(s, d->proc);

	return *text || d->vmm < 0 || d->from == VU__OBS_TELEMETRY ? text
								   : s->procs[d->vmm].qmp_trouble;
}

enum top_state top_state_of(const struct top_queue *t)
{
	const struct vu__obs_setup *s = &t->q->setup;

	if (!t->proc->alive)
		return TOP_DEAD;
	if (s->broken)
		return TOP_BROKEN;
	if (s->started != VU__OBS_YES)
		return s->size ? TOP_STOPPED : TOP_UNUSED;
	return s->enabled == VU__OBS_NO ? TOP_DISABLED : TOP_STARTED;
}

const char *top_state_name(enum top_state state)
{
	static const char *const names[TOP_STATES] = {
		[TOP_UNUSED] = "unused",   [TOP_STOPPED] = "stopped",
		[TOP_DISABLED] = "disabled", [TOP_STARTED] = "started",
		[TOP_BROKEN] = "broken",   [TOP_DEAD] = "dead",
	};

	return state < TOP_STATES ? names[state] : "?";
}

const char *top_type_name(uint32_t virtio_id)
{
	static const struct {
		uint32_t id;
		const char *name;
	} types[] = {{VIRTIO_ID_NET, "net"},	   {VIRTIO_ID_BLOCK, "blk"},
		     {VIRTIO_ID_CONSOLE, "console"}, {VIRTIO_ID_RNG, "rng"},
		     {VIRTIO_ID_SCSI, "scsi"},	   {VIRTIO_ID_GPU, "gpu"},
		     {VIRTIO_ID_INPUT, "input"},   {VIRTIO_ID_VSOCK, "vsock"},
		     {VIRTIO_ID_CRYPTO, "crypto"}, {VIRTIO_ID_PMEM, "pmem"},
		     {VIRTIO_ID_FS, "fs"},	   {VIRTIO_ID_SOUND, "sound"},
		     {VIRTIO_ID_I2C_ADAPTER, "i2c"}, {VIRTIO_ID_GPIO, "gpio"}};

	for (size_t i = 0; i < VU_ARRAY_SIZE(types); i++) {
		if (types[i].id == virtio_id)
			return types[i].name;
	}
	return "?";
}
