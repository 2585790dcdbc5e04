/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fields of recorded structures.  Enumerations are written as numbers: they may get
 * longer, and nothing else.  Pure; any thread.
 */
#include "vu-top/schema.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define F(type, kind, field)                                                              \
	{                                                                                 \
		#field, kind, sizeof(((type *)0)->field), offsetof(type, field), 1, NULL  \
	}
#define ARRAY(type, kind, field, names)                                                   \
	{                                                                                 \
		#field, kind, sizeof(((type *)0)->field[0]), offsetof(type, field),       \
			VU_ARRAY_SIZE(((type *)0)->field), names                          \
	}
#define U TOP_R_UINT
#define I TOP_R_INT
#define T TOP_R_TEXT
#define B TOP_R_BOOL
#define END                                                                               \
	{                                                                                 \
		NULL, 0, 0, 0, 0, NULL                                                    \
	}

static const char *counter_name(unsigned int i)
{
	return vu__obs_counters[i].name;
}

static const char *part_name(unsigned int i)
{
	static const char *const names[VU__OBS_PARTS] = {
		[VU__OBS_SETUP] = "setup",	 [VU__OBS_RING] = "ring",
		[VU__OBS_POSITION] = "position", [VU__OBS_COUNTERS] = "counters",
		[VU__OBS_TIMES] = "times",	 [VU__OBS_KICK] = "kick",
		[VU__OBS_CALL] = "call",	 [VU__OBS_WORKER] = "worker",
		[VU__OBS_KVM] = "kvm",
	};

	return names[i] ? names[i] : "?";
}

static const struct top_record_field frame_fields[] = {
	F(struct top_frame, U, self.cpu_ns),
	F(struct top_frame, U, self.mapped),
	F(struct top_frame, B, holders_cut),
	F(struct top_frame, T, trouble),
	END,
};

#define S struct vu__obs_snapshot
static const struct top_record_field snapshot_fields[] = {
	F(S, U, mono_ns), F(S, U, real_ns), F(S, U, took_ns), F(S, U, retries),
	F(S, U, missed),  F(S, T, trouble), END,
};
#undef S

#define S struct vu__obs_process
static const struct top_record_field process_fields[] = {
	F(S, I, pid),	      F(S, U, start_time),  F(S, U, roles),    F(S, U, kind),
	F(S, B, alive),	      F(S, U, state),	    F(S, U, uid),      F(S, T, comm),
	F(S, T, cmdline),     F(S, U, nthreads),    F(S, U, cpu_ns),   F(S, U, first_dev),
	F(S, U, ndevs),	      F(S, T, trouble),	    F(S, T, vm_name),  F(S, T, vm_uuid),
	F(S, T, run_state),   F(S, T, qmp_socket),  F(S, T, qmp_trouble), F(S, U, kvm),
	F(S, U, vcpus_run),   END,
};
#undef S

#define S struct vu__obs_device
static const struct top_record_field device_fields[] = {
	F(S, U, proc),		  F(S, I, vmm),		    F(S, U, number),
	F(S, U, virtio_id),	  F(S, U, generation),	    F(S, U, from),
	F(S, U, connected),	  F(S, U, phase),	    F(S, T, name),
	F(S, T, socket),	  F(S, U, socket_inode),    F(S, U, features),
	F(S, U, protocol_features), F(S, U, connected_ns),  F(S, U, messages),
	F(S, U, last_message_ns), F(S, U, last_message),    F(S, U, first_queue),
	F(S, U, nqueues),	  F(S, U, first_region),    F(S, U, nregions),
	F(S, B, log_on),	  F(S, U, log_size),	    F(S, U, heartbeat_ns),
	F(S, I, replaced_by),	  F(S, B, peer_gone),	    END,
};
#undef S

#define S struct vu__obs_queue
static const struct top_record_field queue_fields[] = {
	F(S, U, dev),
	F(S, U, index),
	F(S, U, role),
	ARRAY(S, U, from, part_name),
	F(S, U, mono_ns),
	F(S, U, setup.size),
	F(S, B, setup.packed),
	F(S, B, setup.event_idx),
	F(S, U, setup.started),
	F(S, U, setup.enabled),
	F(S, B, setup.broken),
	F(S, B, setup.polled),
	F(S, T, setup.why),
	F(S, U, setup.base),
	F(S, U, setup.features),
	F(S, U, setup.desc),
	F(S, U, setup.avail),
	F(S, U, setup.used),
	F(S, U, setup.desc_gpa),
	F(S, U, setup.avail_gpa),
	F(S, U, setup.used_gpa),
	F(S, I, setup.memory_of),
	F(S, U, setup.started_ns),
	F(S, U, setup.stopped_ns),
	F(S, U, setup.enabled_ns),
	F(S, U, setup.generation),
	F(S, B, ring.torn),
	F(S, U, ring.avail_idx),
	F(S, U, ring.used_idx),
	F(S, U, ring.avail_flags),
	F(S, U, ring.used_flags),
	F(S, U, ring.used_event),
	F(S, U, ring.avail_event),
	F(S, U, ring.outstanding),
	F(S, U, ring.slots),
	F(S, U, ring.past_event),
	F(S, B, ring.astray),
	F(S, U, ring.last_avail),
	F(S, U, ring.head),
	F(S, U, ring.pending),
	F(S, U, ring.in_flight),
	F(S, I, kick.fd),
	F(S, I, kick.id),
	F(S, U, kick.count),
	F(S, I, call.fd),
	F(S, I, call.id),
	F(S, U, call.count),
	F(S, I, err.fd),
	F(S, I, err.id),
	F(S, U, err.count),
	F(S, U, times.kick_ns),
	F(S, U, times.wake_ns),
	F(S, U, times.empty_ns),
	F(S, U, times.pop_ns),
	F(S, U, times.push_ns),
	F(S, U, times.call_ns),
	F(S, U, times.oldest_ns),
	F(S, U, times.in_flight_max),
	F(S, U, times.called_used_idx),
	F(S, U, times.untold),
	F(S, I, worker.tid),
	F(S, U, worker.state),
	F(S, I, worker.syscall),
	F(S, U, worker.arg0),
	F(S, U, worker.arg1),
	F(S, U, worker.waits),
	F(S, U, worker.watches),
	F(S, I, worker.cpu),
	F(S, U, worker.cpu_ns),
	F(S, T, worker.wchan),
	F(S, T, worker.comm),
	F(S, U, kvm.ioeventfd),
	F(S, U, kvm.irqfd),
	F(S, U, kvm.counts),
	F(S, U, kvm.exits),
	F(S, U, kvm.signals),
	F(S, U, kvm.calls),
	F(S, U, kvm.interrupts),
	F(S, U, kvm.last_exit_ns),
	F(S, U, kvm.last_signal_ns),
	F(S, U, kvm.last_interrupt_ns),
	F(S, U, kvm.vcpu_halted),
	F(S, TOP_R_MASK, have_counter),
	F(S, TOP_R_MASK, at_least),
	ARRAY(S, U, counter, counter_name),
	END,
};
#undef S

#define S struct vu__obs_region
static const struct top_record_field region_fields[] = {
	F(S, U, gpa), F(S, U, size), F(S, U, uaddr), F(S, U, addr), F(S, U, offset), END,
};
#undef S

#define S struct vu_telemetry_event
static const struct top_record_field event_fields[] = {
	F(S, U, number), F(S, U, time),	  F(S, U, kind),  F(S, I, queue), F(S, U, code),
	F(S, I, result), F(S, U, value), F(S, T, text), END,
};
#undef S

static const struct top_record_field holder_fields[] = {
	F(struct top_holder, I, id),
	F(struct top_holder, I, pid),
	F(struct top_holder, I, fd),
	F(struct top_holder, T, comm),
	END,
};
static const struct top_record_field backing_fields[] = {
	F(struct top_backing, U, region),
	F(struct top_backing, T, what),
	END,
};

const struct top_record_info top_record_structs[TOP_R_STRUCTS] = {
	[TOP_R_FRAME] = {"frame", sizeof(struct top_frame), frame_fields},
	[TOP_R_SNAPSHOT] = {"snapshot", sizeof(struct vu__obs_snapshot), snapshot_fields},
	[TOP_R_PROCESS] = {"process", sizeof(struct vu__obs_process), process_fields},
	[TOP_R_DEVICE] = {"device", sizeof(struct vu__obs_device), device_fields},
	[TOP_R_QUEUE] = {"queue", sizeof(struct vu__obs_queue), queue_fields},
	[TOP_R_REGION] = {"region", sizeof(struct vu__obs_region), region_fields},
	[TOP_R_EVENT] = {"event", sizeof(struct vu_telemetry_event), event_fields},
	[TOP_R_HOLDER] = {"holder", sizeof(struct top_holder), holder_fields},
	[TOP_R_BACKING] = {"backing", sizeof(struct top_backing), backing_fields},
};

/* --- written: for each structure its name, then names and kinds of its fields --- */

void top_bytes_put(struct top_bytes *b, const void *data, size_t len)
{
	if (b->len + len > b->room) {
		size_t room = VU_MAX(2 * b->room, b->len + len + 4096);
		uint8_t *more = realloc(b->data, room);

		if (!more) {
			b->failed = true;
			return;
		}
		b->data = more;
		b->room = room;
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static void put_name(struct top_bytes *b, const char *name)
{
	uint8_t len = VU_MIN(strlen(name), 255u);

	top_bytes_put(b, &len, 1);
	top_bytes_put(b, name, len);
}

static void field_name(const struct top_record_field *f, unsigned int i, char out[80])
{
	if (f->element)
		snprintf(out, 80, "%s.%s", f->name, f->element(i));
	else
		snprintf(out, 80, "%s", f->name);
}

void top_schema_write(struct top_bytes *b)
{
	uint8_t n = VU__OBS_NCOUNTERS, none = 0;

	top_bytes_put(b, &n, 1);
	for (unsigned int c = 0; c < VU__OBS_NCOUNTERS; c++)
		put_name(b, vu__obs_counters[c].name);
	for (unsigned int s = 0; s < TOP_R_STRUCTS; s++) {
		put_name(b, top_record_structs[s].name);
		for (const struct top_record_field *f = top_record_structs[s].fields; f->name; f++) {
			for (unsigned int i = 0; i < f->count; i++) {
				char name[80];

				field_name(f, i, name);
				put_name(b, name);
				top_bytes_put(b, &f->kind, 1);
			}
		}
		top_bytes_put(b, &none, 1);
	}
}

/* --- and read --- */

struct input {
	const uint8_t *at, *end;
};

/* False: there is no more, or it makes no sense.  An empty name is fine. */
static bool get_name(struct input *in, char out[256])
{
	uint8_t len;

	if (in->at == in->end)
		return false;
	len = *in->at++;
	if (in->end - in->at < len)
		return false;
	memcpy(out, in->at, len);
	out[len] = '\0';
	in->at += len;
	return true;
}

static int find_struct(const char *name)
{
	for (unsigned int s = 0; s < TOP_R_STRUCTS; s++) {
		if (!strcmp(top_record_structs[s].name, name))
			return s;
	}
	return -1;
}

static struct top_schema_field find_field(int s, const char *name, uint8_t kind)
{
	const struct top_record_field *f = s < 0 ? NULL : top_record_structs[s].fields;

	for (; f && f->name; f++) {
		for (unsigned int i = 0; i < f->count; i++) {
			char own[80];

			field_name(f, i, own);
			if (!strcmp(own, name) && f->kind == kind)
				return (struct top_schema_field){
					kind, f->size, f->offset + i * f->size};
		}
	}
	return (struct top_schema_field){kind, 0, -1};
}

static bool read_counters(struct top_schema *s, struct input *in)
{
	char name[256];

	if (in->at == in->end || *in->at > VU_ARRAY_SIZE(s->counter))
		return false;
	s->ncounters = *in->at++;
	for (unsigned int i = 0; i < s->ncounters; i++) {
		if (!get_name(in, name))
			return false;
		s->counter[i] = -1;
		for (unsigned int c = 0; c < VU__OBS_NCOUNTERS; c++) {
			if (!strcmp(vu__obs_counters[c].name, name))
				s->counter[i] = c;
		}
	}
	return true;
}

/* Structures are in the order of ours; later versions have more of them at the end. */
static bool read_struct(struct top_schema *s, unsigned int which, struct input *in)
{
	char name[256];

	if (!get_name(in, name) || find_struct(name) != (int)which)
		return false;
	while (get_name(in, name)) {
		unsigned int n = s->of[which].n;

		if (!*name)
			return true;
		if (in->at == in->end || n == TOP_SCHEMA_FIELDS || !*in->at ||
		    *in->at >= TOP_R_KINDS)
			return false;
		s->of[which].field[n] = find_field(which, name, *in->at++);
		s->of[which].n++;
	}
	return false;
}

struct top_schema *top_schema_read(const uint8_t *data, size_t len)
{
	struct top_schema *s = calloc(1, sizeof(*s));
	struct input in = {data, data + len};
	bool good = s && read_counters(s, &in);

	for (unsigned int i = 0; good && i < TOP_R_STRUCTS; i++)
		good = read_struct(s, i, &in);
	if (good)
		return s;
	free(s);
	return NULL;
}

void top_schema_free(struct top_schema *s)
{
	free(s);
}

void top_bytes_release(struct top_bytes *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

static struct top_schema *own;

static void make_own(void)
{
	struct top_bytes b = {.data = NULL};

	top_schema_write(&b);
	own = b.failed ? NULL : top_schema_read(b.data, b.len);
	top_bytes_release(&b);
}

const struct top_schema *top_schema_own(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_own);
	return own;
}
