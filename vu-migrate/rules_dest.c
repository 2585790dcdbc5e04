/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules of check: whether a destination fits, and whether one gets there. */
#include <stdio.h>
#include <string.h>

#include "vu-migrate/check.h"
#include "vu-migrate/show.h"
#include "wire/msg.h"

/* --- 7: the destination --- */

/* What is in use counts; of one that nobody uses, all it offers. */
static uint64_t used_features(const struct facts *f)
{
	return f->negotiated ? f->features : f->offered;
}

static uint64_t used_protocol(const struct facts *f)
{
	return f->negotiated ? f->protocol : f->offered_protocol;
}

static void rule_features(struct report *r)
{
	uint64_t lacks = used_features(r->f) & ~r->dest->offered;
	uint64_t lacks_protocol = used_protocol(r->f) & ~r->dest->offered_protocol;
	/* Of what is only offered, perhaps nothing is used. */
	enum severity severity = r->f->negotiated ? BLOCKER : WARNING;
	struct finding *x;

	x = found(r, 7, "destination.features", lacks ? severity : FINE, FOR_ALL,
		  lacks ? "%s has not all features: %s" : "%s has all features%s",
		  r->dest->name, lacks ? bits_text(lacks) : "");
	if (lacks)
		because(x, "the guest's driver uses what is not there",
			"switch the features off at the source, or update the destination");
	x = found(r, 7, "destination.protocol", lacks_protocol ? severity : FINE, FOR_ALL,
		  lacks_protocol ? "%s has not all protocol features: %s" :
				   "%s has all protocol features%s",
		  r->dest->name, lacks_protocol ? protocol_text(lacks_protocol) : "");
	if (lacks_protocol)
		because(x, "the front-end cannot go on as it has begun",
			"update the destination");
}

static unsigned int queues_used(const struct facts *f)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < f->snap.nqueues; i++)
		n = f->snap.queues[i].size ? f->snap.queues[i].index + 1 : n;
	return f->negotiated ? n : f->max_queues;
}

static void rule_queues(struct report *r)
{
	unsigned int n = queues_used(r->f);
	bool fits = n <= r->dest->max_queues;
	struct finding *x = found(r, 7, "destination.queues", fits ? FINE : BLOCKER, FOR_ALL,
				  "%u queues here, up to %u there", n, r->dest->max_queues);

	if (!fits)
		because(x, "the machine cannot be set up there",
			"start the destination with as many queues");
}

static void rule_config(struct report *r)
{
	uint32_t n = VU_MIN(r->f->config_len, r->dest->config_len), at = 0;
	struct finding *x;

	if (!n)
		return;
	while (at < n && r->f->config[at] == r->dest->config[at])
		at++;
	x = found(r, 7, "destination.config", at < n ? WARNING : FINE, FOR_ALL,
		  "the configuration %s", at < n ? "differs" : "is the same");
	if (at == n)
		return;
	because(x, "the guest has read the other one: a disk of another size, another address",
		"start the destination with the same options");
	evidence(x, "byte %u: 0x%02x here, 0x%02x there", at, r->f->config[at],
		 r->dest->config[at]);
}

static void rule_kind(struct report *r)
{
	const struct vu__snap *a = &r->f->snap, *b = &r->dest->snap;
	struct finding *x;

	if (!r->f->has_snap || !r->dest->has_snap)
		return;
	if (a->blob.present && strcmp(a->blob.name, b->blob.name)) {
		x = found(r, 7, "destination.state", BLOCKER, FOR_ALL,
			  "the device's own state is of '%s', there of '%s'", a->blob.name,
			  b->blob.name);
		because(x, "it cannot be loaded there", "another kind of back-end");
	} else if (a->blob.present && a->blob.version > b->blob.version) {
		x = found(r, 7, "destination.state", WARNING, FOR_ALL,
			  "the device's own state is of version %u, there of %u", a->blob.version,
			  b->blob.version);
		because(x, "an older program may refuse it", "update the destination first");
	} else {
		found(r, 7, "destination.state", FINE, 0, "the device's own state is of one kind");
	}
	if (strcmp(a->device.name, b->device.name))
		because(found(r, 7, "destination.name", BLOCKER, FOR_OURS,
			      "it is '%s', there it is '%s'", a->device.name, b->device.name),
			"it will be refused", "restore --force if you know better");
	if (a->inventory.page_size != b->inventory.page_size ||
	    a->inventory.big_endian != b->inventory.big_endian)
		because(found(r, 7, "destination.host", WARNING, FOR_ALL,
			      "pages of %u bytes here, of %u there%s", a->inventory.page_size,
			      b->inventory.page_size,
			      a->inventory.big_endian != b->inventory.big_endian ?
				      "; the byte order differs" : ""),
			"regions may not be mapped as they are", "");
	found(r, 7, "destination.version", FINE, 0, "libvu %s here, %s there",
	      a->inventory.version, b->inventory.version);
}

/* A live one that serves somebody is no destination. */
static void rule_idle(struct report *r)
{
	const Vu__Control__Info *info = r->dest->client.info;

	if (r->dest->source == FROM_CONTROL && info && !info->fresh)
		because(found(r, 7, "destination.idle", BLOCKER, FOR_ALL,
			      "%s serves a front-end already", r->dest->name),
			"it takes nobody else", "start another one");
}

/* --- 9: does it come to an end --- */

static void rule_plan(struct report *r)
{
	const struct est_plan *p = &r->f->plan;
	enum severity severity = p->verdict == EST_NEVER    ? BLOCKER :
				 p->verdict == EST_MARGINAL ? WARNING : FINE;
	const struct est_curve *c = &r->f->curve;
	char needed[24], last[24], takes[64] = "no bandwidth is enough";
	struct finding *x;

	if (!r->f->measured)
		return;
	show_bytes((uint64_t)p->needed, needed, sizeof(needed));
	if (p->needed > 0)
		snprintf(takes, sizeof(takes), "it takes %s/s", needed);
	x = found(r, 9, "converges", severity, FOR(PRECOPY),
		  "%s: %u rounds, %.1f s, a pause of %.0f ms; %s",
		  est_verdict_name(p->verdict), p->rounds, p->seconds, p->pause * 1e3, takes);
	if (c->n) {
		show_bytes((uint64_t)c->bytes[c->n - 1], last, sizeof(last));
		evidence(x, "the back-end writes %s within %g s; 'vu-migrate dirty' has more", last,
			 c->seconds[c->n - 1]);
	}
	if (severity != FINE)
		because(x, "precopy sends again and again what was written meanwhile",
			"more bandwidth, a longer pause, postcopy");
}

void rules_of_destination(struct report *r)
{
	rule_plan(r);
	if (!r->dest)
		return;
	rule_features(r);
	rule_queues(r);
	rule_config(r);
	rule_kind(r);
	rule_idle(r);
	found_trial(r, 7, "destination.fits", FOR_OURS, &r->f->fits, "the image of now",
		    "restoring or handing over will be refused", "see what it says");
}
