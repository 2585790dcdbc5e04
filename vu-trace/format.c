/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events as text.  Any thread. */
#include "format.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/util.h"

const char *kind_name(unsigned int kind)
{
	static const char *const names[] = {
		"none", "notify", "signal",  "wake",	 "run", "read", "pop",	 "push",  "call",
		"inject", "consume", "suppress", "msg", "ring", "fault", "round", "table"};

	_Static_assert(VU_ARRAY_SIZE(names) == EV_KINDS, "a name for each kind");
	return kind < EV_KINDS ? names[kind] : "unknown";
}

const char *stage_name(unsigned int stage)
{
	static const char *const names[] = {
		"notify-signal", "signal-wake", "wake-run",  "run-read",
		"signal-read",	 "read-pop",	"pop-push",  "push-call",
		"read-call",	 "call-inject", "signal-call", "total"};

	_Static_assert(VU_ARRAY_SIZE(names) == ST_STAGES, "a name for each stage");
	return stage < ST_STAGES ? names[stage] : "unknown";
}

const char *point_name(unsigned int point)
{
	static const char *const names[] = {"notify", "signal", "wake", "run",	 "read",
					    "pop",    "push",	"call", "inject"};

	_Static_assert(VU_ARRAY_SIZE(names) == PT_POINTS, "a name for each point");
	return point < PT_POINTS ? names[point] : "unknown";
}

char *time_text(char buf[TIME_TEXT], uint64_t ns)
{
	if (ns < 1000)
		snprintf(buf, TIME_TEXT, "%uns", (unsigned int)ns);
	else if (ns < 1000000)
		snprintf(buf, TIME_TEXT, "%.*fus", ns < 100000 ? 1 : 0, ns / 1e3);
	else if (ns < 1000000000)
		snprintf(buf, TIME_TEXT, "%.*fms", ns < 100000000 ? 1 : 0, ns / 1e6);
	else
		snprintf(buf, TIME_TEXT, "%.2fs", VU_MIN(ns / 1e9, 1e9));
	return buf;
}

void round_text(char *buf, size_t size, const struct ev_round *r)
{
	uint64_t last = 0;
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < PT_POINTS && at < size; i++) {
		char t[TIME_TEXT];

		if (!r->at[i])
			continue;
		if (!last)
			at += snprintf(buf + at, size - at, "%s", point_name(i));
		else
			at += snprintf(buf + at, size - at, " %s +%s", point_name(i),
				       time_text(t, r->at[i] > last ? r->at[i] - last : 0));
		last = r->at[i];
	}
}

static const char *role_name(uint8_t role)
{
	static const char *const names[] = {"none", "kick", "call", "err"};

	return role < VU_ARRAY_SIZE(names) ? names[role] : "unknown";
}

static void details(char *buf, size_t size, const struct event *e)
{
	char t[TIME_TEXT];

	buf[0] = '\0';
	switch (e->kind) {
	case EV_NOTIFY:
		snprintf(buf, size, "address 0x%" PRIx64, (uint64_t)e->value);
		break;
	case EV_SIGNAL:
	case EV_CALL:
		snprintf(buf, size, "+%" PRIu64 "%s%s", (uint64_t)e->value,
			 e->flags & EVF_IN_KERNEL ? " in the kernel" : "",
			 e->flags & EVF_FAILED ? " failed" : "");
		break;
	case EV_READ:
		if (e->value)
			snprintf(buf, size, "%" PRIu64, (uint64_t)e->value);
		else
			snprintf(buf, size, "nothing");
		break;
	case EV_WAKE:
		snprintf(buf, size, "thread %u", e->other);
		break;
	case EV_POP:
	case EV_PUSH:
		snprintf(buf, size, "head %" PRIu64, (uint64_t)e->value);
		break;
	case EV_INJECT:
		snprintf(buf, size, "data 0x%" PRIx64, (uint64_t)e->value);
		break;
	case EV_TABLE:
		snprintf(buf, size, "queue %u: %s is fd %d", e->other & TABLE_INDEX, role_name(e->role),
			 (int)e->aux);
		break;
	case EV_MSG:
		snprintf(buf, size, "request %u", e->other);
		break;
	case EV_RING:
		snprintf(buf, size, "%s", e->value ? "started" : "stopped");
		break;
	case EV_ROUND:
		snprintf(buf, size, "took %s", time_text(t, e->value));
		break;
	default:
		break;
	}
}

void event_text(char *buf, size_t size, const struct event *e, uint64_t begin,
		const char *queue)
{
	uint64_t t = e->ts > begin ? e->ts - begin : 0;
	char words[96];

	details(words, sizeof(words), e);
	snprintf(buf, size, "%6" PRIu64 ".%06u %c %-8s %-24s %7u/%-7u %s", t / 1000000000,
		 (unsigned int)(t % 1000000000 / 1000), e->tier, kind_name(e->kind), queue,
		 e->tgid, e->tid, words);
}

void event_json(struct json *j, const struct event *e, size_t size, const char *queue)
{
	char tier[2] = {e->tier};

	json_number(j, "mono_ns", e->ts);
	json_text(j, "event", kind_name(e->kind));
	json_text(j, "tier", tier);
	if (*queue)
		json_text(j, "queue", queue);
	json_number(j, "pid", e->tgid);
	json_number(j, "tid", e->tid);
	if (e->kind != EV_TABLE)
		json_number(j, "value", e->value);
	if (e->kind == EV_WAKE)
		json_number(j, "woken", e->other);
	if (e->kind == EV_TABLE) {
		json_number(j, "index", e->other & TABLE_INDEX);
		json_text(j, "role", role_name(e->role));
		json_number(j, "id", e->other >> TABLE_ID_SHIFT);
	}
	if (e->kind == EV_MSG)
		json_number(j, "request", e->other);
	if (e->kind == EV_MSG || e->kind == EV_TABLE)
		json_signed(j, "fd", (int32_t)e->aux);
	if (e->flags & EVF_IN_KERNEL)
		json_bool(j, "in_kernel", true);
	if (e->kind == EV_ROUND && size >= sizeof(struct ev_round)) {
		const struct ev_round *r = (const struct ev_round *)e;

		json_open(j, "at", '{');
		for (unsigned int i = 0; i < PT_POINTS; i++) {
			if (r->at[i])
				json_number(j, point_name(i), r->at[i]);
		}
		json_close(j, '}');
	}
}
