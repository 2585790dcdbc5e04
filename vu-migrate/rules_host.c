/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules of check: what does not move along, and what the host allows. */
#include <stdio.h>
#include <string.h>

#include "vu-migrate/check.h"
#include "vu-migrate/show.h"

/* --- 6: bound to this host --- */

struct bound {
	const char *id, *what, *effect, *fix;
	unsigned int n;
	enum severity severity;
	unsigned int modes;
};

static void rule_bound(struct report *r)
{
	const struct host *h = &r->f->host;
	const struct bound all[] = {
		{"host.vfio", "VFIO devices", "device memory and DMA mappings stay here",
		 "another back-end at the destination must own such a device", h->vfio, WARNING,
		 FOR_ALL},
		{"host.tun", "TUN/TAP interfaces", "the interface stays here",
		 "make one at the destination; announce the guest's address (RARP)", h->tun, NOTE,
		 FOR_LIVE | FOR(HANDOVER)},
		{"host.network", "network sockets", "connections of this process end with it",
		 "see that the new one connects anew", h->network, WARNING,
		 FOR_LIVE | FOR(HANDOVER) | FOR(SNAPSHOT)},
	};

	for (size_t i = 0; i < VU_ARRAY_SIZE(all); i++) {
		if (all[i].n)
			because(found(r, 6, all[i].id, all[i].severity, all[i].modes, "it has %u %s",
				      all[i].n, all[i].what),
				all[i].effect, all[i].fix);
	}
}

static void rule_files(struct report *r)
{
	const struct host *h = &r->f->host;
	unsigned int listed = VU_MIN(h->nfiles, VU_ARRAY_SIZE(h->files));
	struct finding *x;
	int n = 0;

	if (!h->nfiles)
		return;
	x = found(r, 6, "host.files", NOTE, FOR_LIVE, "it has %u files or block devices open",
		  h->nfiles);
	because(x, "the destination must see the same contents",
		"shared storage, and a cache mode that lets another host see what was written");
	for (unsigned int i = 0; i < listed && n < (int)sizeof(x->evidence); i++)
		n += snprintf(x->evidence + n, sizeof(x->evidence) - (size_t)n, "%s%s",
			      i ? ", " : "", h->files[i]);
}

static void rule_memory(struct report *r)
{
	const struct host *h = &r->f->host;
	char pinned[24];

	show_bytes(h->pinned, pinned, sizeof(pinned));
	if (h->pinned)
		because(found(r, 6, "host.pinned", WARNING, FOR(POSTCOPY) | FOR(HANDOVER),
			      "%s of memory is pinned for DMA", pinned),
			"pages that devices write cannot arrive late", "");
	if (h->locked)
		because(found(r, 6, "host.locked", NOTE, FOR(POSTCOPY), "memory is locked"),
			"postcopy cannot begin while all memory is made present", "");
}

/* --- 10: rights and room --- */

static void rule_control(struct report *r)
{
	const Vu__Control__Info *info = r->f->client.info;

	if (info)
		found(r, 10, "host.control", FINE, 0, "libvu %s answers on its control socket",
		      info->library);
	else if (r->f->source == FROM_SOCKET)
		because(found(r, 10, "host.control", BLOCKER, FOR_OURS, "it has no control socket"),
			"it cannot be handed over, nor can its state be saved beside a guest",
			"link it with libvu, and see that its run directory is there");
}

static void rule_userfaultfd(struct report *r)
{
	const struct host *h = r->dest && r->dest->host.known ? &r->dest->host : &r->f->host;
	struct finding *x;

	if (!h->known)
		return;
	x = found(r, 10, "host.userfaultfd", h->userfaultfd ? FINE : BLOCKER, FOR(POSTCOPY),
		  "%s may %suse userfaultfd: %s", h->program, h->userfaultfd ? "" : "not ",
		  h->userfaultfd_why);
	if (!h->userfaultfd)
		because(x, "postcopy will be refused by the back-end at the destination",
			"chmod /dev/userfaultfd for its user, or give it CAP_SYS_PTRACE");
}

static void rule_seen(struct report *r)
{
	const struct host *h = &r->f->host;

	if (h->pid && !h->known)
		because(found(r, 10, "host.seen", NOTE, FOR_ALL,
			      "process %d cannot be looked into", (int)h->pid),
			"what it has open and may do is not known", "run this as its user or as root");
}

static void rule_room(struct report *r)
{
	char size[24];

	if (r->f->source != FROM_CONTROL || !r->f->image_bytes)
		return;
	show_bytes(r->f->room, size, sizeof(size));
	if (r->f->room / 2 < r->f->image_bytes)
		because(found(r, 10, "host.room", BLOCKER, FOR(SNAPSHOT),
			      "here is room for %s only", size),
			"a checkpoint into this directory fails", "write it elsewhere");
}

void rules_of_host(struct report *r)
{
	rule_bound(r);
	rule_files(r);
	rule_memory(r);
	rule_control(r);
	rule_userfaultfd(r);
	rule_seen(r);
	rule_room(r);
}
