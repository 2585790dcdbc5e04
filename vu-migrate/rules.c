/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the rules of check share, and the ones about what a back-end offers. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vu-migrate/check.h"
#include "vu-migrate/show.h"
#include "wire/msg.h"

const char *const mode_names[MODES] = {"precopy", "postcopy", "reconnect", "handover",
				       "snapshot"};
const char *const severity_names[4] = {"ok", "info", "warning", "blocker"};

struct finding *found(struct report *r, unsigned int group, const char *id,
		      enum severity severity, unsigned int modes, const char *fmt, ...)
{
	struct finding *x = &r->findings[VU_MIN(r->n, FINDINGS_MAX - 1)];
	va_list ap;

	r->n = VU_MIN(r->n + 1, FINDINGS_MAX);
	memset(x, 0, sizeof(*x));
	x->group = group;
	x->id = id;
	x->effect = x->fix = "";
	for (int m = 0; m < MODES; m++)
		x->severity[m] = modes & FOR(m) ? severity : FINE;
	va_start(ap, fmt);
	vsnprintf(x->what, sizeof(x->what), fmt, ap);
	va_end(ap);
	return x;
}

void evidence(struct finding *x, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(x->evidence, sizeof(x->evidence), fmt, ap);
	va_end(ap);
}

void because(struct finding *x, const char *effect, const char *fix)
{
	x->effect = effect;
	x->fix = fix;
}

void found_trial(struct report *r, unsigned int group, const char *id, unsigned int modes,
		 const struct trial *t, const char *what, const char *effect, const char *fix)
{
	struct finding *x;

	if (t->result == NOT_TRIED)
		return;
	x = found(r, group, id, t->result == BAD ? BLOCKER : FINE, modes, "%s: %s", what, t->text);
	if (t->result == BAD)
		because(x, effect, fix);
}

const char *bits_text(uint64_t features)
{
	static char text[512];

	show_features(features, text, sizeof(text));
	return text;
}

const char *protocol_text(uint64_t features)
{
	static char text[512];

	show_protocol_features(features, text, sizeof(text));
	return text;
}

enum severity check_worst(const struct finding *x, unsigned int modes)
{
	enum severity worst = FINE;

	for (int m = 0; m < MODES; m++) {
		if (modes & FOR(m))
			worst = VU_MAX(worst, x->severity[m]);
	}
	return worst;
}

enum severity check_verdict(const struct report *r, enum mode m)
{
	enum severity worst = FINE;

	for (unsigned int i = 0; i < r->n; i++)
		worst = VU_MAX(worst, r->findings[i].severity[m]);
	return worst;
}

/* --- 1: what is offered --- */

struct offer_rule {
	const char *id;
	bool protocol;
	int bit;
	enum severity severity; /* without it */
	unsigned int modes;
	const char *effect, *fix;
};

static const struct offer_rule offers[] = {
	{"connection.protocol", false, VU__F_PROTOCOL_FEATURES, BLOCKER,
	 FOR_LIVE | FOR(RECONNECT),
	 "a dirty log, requests in flight and the device's state cannot be agreed upon",
	 "a back-end that offers VHOST_USER_F_PROTOCOL_FEATURES (bit 30)"},
	{"connection.log", false, VU__F_LOG_ALL, BLOCKER, FOR_LIVE,
	 "what this back-end writes is not tracked: the guest's memory arrives corrupt, or the "
	 "machine monitor refuses to migrate",
	 "a back-end that offers VHOST_F_LOG_ALL (bit 26)"},
	{"connection.log_shmfd", true, VU__PF_LOG_SHMFD, BLOCKER, FOR_LIVE,
	 "the log cannot be shared with the machine monitor",
	 "a back-end that offers LOG_SHMFD (1)"},
	{"connection.pagefault", true, VU__PF_PAGEFAULT, BLOCKER, FOR(POSTCOPY),
	 "the back-end would read zeroes where memory has not arrived",
	 "migrate by precopy, or use a back-end that offers PAGEFAULT (8)"},
	{"connection.reply_ack", true, VU__PF_REPLY_ACK, WARNING, FOR_LIVE | FOR(RECONNECT),
	 "a message that fails fails in silence: it shows as a guest that hangs",
	 "a back-end that offers REPLY_ACK (3)"},
	{"connection.skip_drain", true, VU__PF_GET_VRING_BASE_SKIP_DRAIN, NOTE, FOR(PRECOPY),
	 "the pause lasts until the slowest request has ended",
	 "GET_VRING_BASE_SKIP_DRAIN (23) at both ends"},
	{"connection.mq", true, VU__PF_MQ, NOTE, FOR_LIVE, "one queue only", "MQ (0)"},
	{"connection.config", true, VU__PF_CONFIG, NOTE, FOR_LIVE,
	 "whether both ends have the same configuration cannot be seen", "CONFIG (9)"},
	{"connection.mem_slots", true, VU__PF_CONFIGURE_MEM_SLOTS, NOTE, FOR_LIVE,
	 "at most 8 regions of memory: plugging memory in may fail at the other end",
	 "CONFIGURE_MEM_SLOTS (15)"},
	{"connection.status", true, VU__PF_STATUS, NOTE, FOR_LIVE,
	 "the device's status is not told to the other end", "STATUS (16)"},
};

static void rule_offer(struct report *r, const struct offer_rule *o)
{
	uint64_t bits = o->protocol ? r->f->offered_protocol : r->f->offered;
	bool has = vu__has_bit(bits, o->bit);
	const char *name = o->protocol ? protocol_text(VU_BIT(o->bit)) : bits_text(VU_BIT(o->bit));
	struct finding *x = found(r, 1, o->id, has ? FINE : o->severity, o->modes,
				  "%s is %soffered", name, has ? "" : "not ");

	if (has)
		return;
	because(x, o->effect, o->fix);
	evidence(x, "%s offered: 0x%llx", o->protocol ? "protocol features" : "features",
		 (unsigned long long)bits);
}

/* A disk's requests end in any order; of what is lost without it, nobody knows. */
static void rule_inflight(struct report *r)
{
	bool has = vu__has_bit(r->f->offered_protocol, VU__PF_INFLIGHT_SHMFD);
	bool net = !strcmp(r->f->type, "net");
	struct finding *x;

	x = found(r, 1, "connection.inflight", has || net ? FINE : r->f->type[0] ? BLOCKER : WARNING,
		  FOR(RECONNECT), "INFLIGHT_SHMFD is %soffered", has ? "" : "not ");
	if (!has && !net)
		because(x, "when the back-end dies, requests in flight are lost or done twice",
			"a back-end that offers INFLIGHT_SHMFD (12), or one that completes in order");
	found_trial(r, 1, "connection.inflight_region", FOR(RECONNECT), &r->f->inflight,
		    "its region for requests in flight",
		    "when the back-end dies, requests in flight are lost or done twice",
		    "see the back-end's log");
}

/* What QEMU did not accept when it connected, it cannot use later. */
static void rule_accepted(struct report *r)
{
	static const struct {
		const char *id, *effect;
		int bit;
		unsigned int modes;
	} needs[] = {
		{"connection.accepted_log", "the dirty log cannot be shared when it is needed",
		 VU__PF_LOG_SHMFD, FOR_LIVE},
		{"connection.accepted_pagefault", "postcopy will be refused",
		 VU__PF_PAGEFAULT, FOR(POSTCOPY)},
		{"connection.accepted_inflight", "requests in flight are lost with the back-end",
		 VU__PF_INFLIGHT_SHMFD, FOR(RECONNECT)},
	};

	for (size_t i = 0; r->f->negotiated && i < VU_ARRAY_SIZE(needs); i++) {
		struct finding *x;

		if (!vu__has_bit(r->f->offered_protocol, needs[i].bit) ||
		    vu__has_bit(r->f->protocol, needs[i].bit))
			continue;
		x = found(r, 1, needs[i].id, BLOCKER, needs[i].modes,
			  "%s is offered, but the front-end has not accepted it",
			  protocol_text(VU_BIT(needs[i].bit)));
		because(x, needs[i].effect, "look at the front-end's version and options");
		evidence(x, "protocol features in use: 0x%llx", (unsigned long long)r->f->protocol);
	}
}

/* Such a ring does not say itself how far it has been used, and QEMU does not know. */
static void rule_packed(struct report *r)
{
	bool tracked = vu__has_bit(r->f->protocol, VU__PF_INFLIGHT_SHMFD);

	if (!r->f->negotiated || !vu__has_bit(r->f->features, VU__F_RING_PACKED))
		return;
	if (tracked)
		found(r, 1, "connection.packed", FINE, 0,
		      "queues are packed, and it is noted where they are");
	else
		because(found(r, 1, "connection.packed", BLOCKER, FOR(RECONNECT),
			      "queues are packed, and nobody notes where they are"),
			"when the back-end dies, its queues stand still until the guest resets them",
			"split queues (packed=off), or INFLIGHT_SHMFD at both ends");
}

/* --- 2: whose state it is --- */

static bool is_stateless(const char *type)
{
	return !strcmp(type, "blk") || !strcmp(type, "net") || !strcmp(type, "scsi") ||
	       !strcmp(type, "rng") || !strcmp(type, "console");
}

static void rule_class(struct report *r)
{
	bool can = vu__has_bit(r->f->offered_protocol, VU__PF_DEVICE_STATE);
	const char *type = r->f->type;
	struct finding *x;

	if (can) {
		found(r, 2, "device.state", FINE, 0, "it can save its own state (DEVICE_STATE)");
	} else if (is_stateless(type)) {
		found(r, 2, "device.state", FINE, 0,
		      "devices of type %s have no state beyond rings and configuration", type);
	} else if (type[0]) {
		x = found(r, 2, "device.state", BLOCKER, FOR_LIVE | FOR(SNAPSHOT),
			  "a device of type %s has state of its own, and DEVICE_STATE is not offered",
			  type);
		because(x, "the guest meets a device that has forgotten it",
			"a back-end that offers DEVICE_STATE (19)");
	} else {
		x = found(r, 2, "device.state", NOTE, FOR_LIVE,
			  "it does not offer DEVICE_STATE, and what type it is of is not known");
		because(x, "if it has state of its own, that is lost", "name its type with --device");
	}
}

/* What libvu itself says is in the way. */
static void rule_obstacles(struct report *r)
{
	const Vu__Control__Info *info = r->f->client.info;

	for (size_t i = 0; info && i < info->n_obstacles; i++)
		because(found(r, 2, "device.movable", BLOCKER, FOR_OURS, "%s", info->obstacles[i]),
			"it cannot be handed over or saved now", "try again when that is over");
}

void rules_of_offer(struct report *r)
{
	for (size_t i = 0; i < VU_ARRAY_SIZE(offers); i++)
		rule_offer(r, &offers[i]);
	rule_inflight(r);
	found_trial(r, 1, "connection.again", FOR(RECONNECT), &r->f->again, "another connection",
		    "a machine cannot come again, nor can the other end of a migration begin anew",
		    "start the back-end for each connection");
	rule_accepted(r);
	rule_packed(r);
	rule_class(r);
	rule_obstacles(r);
}

void check_all(struct report *r, const struct facts *f, const struct facts *dest)
{
	r->n = 0;
	r->f = f;
	r->dest = dest;
	rules_of_offer(r);
	rules_of_state(r);
	rules_of_host(r);
	rules_of_destination(r);
}
