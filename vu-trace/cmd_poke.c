/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-trace poke: kicks or calls a queue by hand, which is harmless, since spurious
 * notifications are allowed, and sees whether it moves.  The main thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/proc.h"
#include "format.h"
#include "judge.h"
#include "observe/packed.h"

#define BEFORE_S 1.6 /* longer than the patience of a verdict */
#define AFTER_S	 1.0

struct poke {
	struct judge judge;
	bool kick;
	const char *name;
	struct vu__obs_queue before; /* of the last look before */
	struct vu__obs_verdict verdict;
};

/* The eventfd that process @pid has at @fd, if it still is the one with this id. */
static int take_eventfd(uint32_t pid, int fd, int64_t id)
{
	VU_CLEANUP_FD int pidfd = syscall(SYS_pidfd_open, (pid_t)pid, 0);
	VU_CLEANUP_FD int copy = -1;

	if (pidfd < 0)
		return -errno;
	copy = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (copy < 0)
		return -errno;
	if (vu__proc_eventfd_id(copy) != id)
		return -ESTALE;
	return vu__steal_fd(&copy);
}

/* The queue of that name; without a name the one that is selected.  NULL, and says why. */
static const struct slot_info *find_slot(const struct session *s, const char *name)
{
	const struct slot_info *found = NULL;
	unsigned int n = session_selected(s);

	if (!n) {
		session_say_none(s, "");
		return NULL;
	}
	for (uint32_t i = 0; i < s->nslots; i++) {
		const struct slot_info *slot = &s->slots[i];

		if (slot->present && slot->selected && (!name || !strcmp(slot->name, name)))
			found = slot;
	}
	if (!name && n > 1) {
		say("poke: %u queues are selected, and one is poked at a time; vu-trace map has "
		    "their names", n);
		return NULL;
	}
	if (!found)
		say("%s: no such queue; vu-trace map has them", name);
	return found;
}

static int poke(const struct poke *p, const struct slot_info *s)
{
	const struct end *e = p->kick ? &s->queue.kick : &s->queue.call;
	VU_CLEANUP_FD int fd = -1;
	uint64_t one = 1;

	if (!e->obj) {
		say("%s: its %s eventfd is not known", p->name, p->kick ? "kick" : "call");
		return -ENOENT;
	}
	fd = e->backend_fd >= 0 ? take_eventfd(s->queue.backend, e->backend_fd, e->id)
				: take_eventfd(s->queue.vmm, e->vmm_fd, e->id);
	if (fd < 0) {
		say("%s: taking eventfd %d: %s", p->name, e->id,
		    fd == -ESTALE ? "it has changed meanwhile" : strerror(-fd));
		return fd;
	}
	if (write(fd, &one, sizeof(one)) != sizeof(one)) {
		int err = -errno;

		say("%s: writing eventfd %d: %s", p->name, e->id, strerror(-err));
		return err;
	}
	return 0;
}

/* What it means that the queue moved, or did not, after the notification by hand. */
static const char *kick_means(const struct poke *p, bool moved)
{
	if (!p->before.ring.pending && vu__obs_knows(&p->before, VU__OBS_POSITION))
		return moved ? "nothing was waiting: it would have moved anyway"
			     : "nothing was waiting: nothing had to move";
	if (moved)
		return "a kick was missing: the driver did not kick, its kick was lost or "
		       "suppressed, or the back-end had swallowed it";
	return "it is not for want of a kick: the back-end does not take what is there";
}

static const char *call_means(const struct poke *p, bool moved)
{
	if (moved && p->verdict.id == VU__V_IDLE)
		return "nothing was owed to the driver: it would have moved anyway";
	return moved ? "a call was missing: it was not sent, suppressed, or lost on its way"
		     : "it is not for want of a call: the guest had nothing to do, or does "
		       "not do it";
}

static const char *means(const struct poke *p, bool moved)
{
	if (moved && p->verdict.id == VU__V_MOVING)
		return "it was moving before: this proves nothing";
	return p->kick ? kick_means(p, moved) : call_means(p, moved);
}

/* Whether the side that was notified has done something since. */
static bool has_moved(const struct poke *p, const struct vu__obs_queue *now)
{
	const struct vu__obs_ring *a = &p->before.ring, *b = &now->ring;

	if (p->kick)
		return b->used_idx != a->used_idx ||
		       (vu__obs_knows(now, VU__OBS_POSITION) && b->last_avail != a->last_avail);
	return b->avail_idx != a->avail_idx ||
	       (now->setup.event_idx && b->used_event != a->used_event);
}

static void tell_place(const char *what, uint16_t was, uint16_t is, bool packed)
{
	if (packed)
		printf("%s slot %u wrap %u -> slot %u wrap %u", what,
		       vu__packed_slot(was), vu__packed_wrap(was), vu__packed_slot(is),
		       vu__packed_wrap(is));
	else
		printf("%s %u -> %u", what, was, is);
}

static void tell(const struct poke *p, const struct vu__obs_queue *now, bool json)
{
	bool moved = has_moved(p, now);
	const char *text = means(p, moved);
	struct json j = json_to(stdout);

	if (!json) {
		printf("%s: %s; the queue %s\n", p->name, p->kick ? "kicked" : "called",
		       moved ? "moved" : "did not move");
		printf("  before: %s: %s\n", vu__obs_verdicts[p->verdict.id].name,
		       p->verdict.evidence);
		tell_place("  available", p->before.ring.avail_idx, now->ring.avail_idx,
			   now->setup.packed);
		tell_place(", used", p->before.ring.used_idx, now->ring.used_idx,
			   now->setup.packed);
		printf("\n  %s\n", text);
		return;
	}
	json_open(&j, NULL, '{');
	json_number(&j, "schema", 1);
	json_text(&j, "name", p->name);
	json_text(&j, "poked", p->kick ? "kick" : "call");
	json_bool(&j, "moved", moved);
	json_text(&j, "verdict_before", vu__obs_verdicts[p->verdict.id].name);
	json_text(&j, "means", text);
	json_close(&j, '}');
	json_line(&j);
}

static int run(struct poke *p, const struct slot_info *s, bool json)
{
	const struct vu__obs_queue *q;
	int ret = judge_watch(&p->judge, BEFORE_S);

	q = ret ? NULL : judge_observed(&p->judge, s);
	if (!q || !vu__obs_knows(q, VU__OBS_RING)) {
		say("%s: its ring cannot be seen, so neither whether it moves", p->name);
		return poke(p, s) ? EXIT_FAILED : EXIT_OK;
	}
	p->before = *q;
	judge_queue(&p->judge, q, &p->verdict);
	if (poke(p, s))
		return EXIT_FAILED;
	if (judge_watch(&p->judge, AFTER_S) || !(q = judge_observed(&p->judge, s))) {
		say("%s: is gone", p->name);
		return EXIT_FAILED;
	}
	tell(p, q, json);
	return EXIT_OK;
}

static bool parse(const struct options *o, struct poke *p)
{
	bool selected = o->npids || o->socket || o->vm || o->device || o->nqueues || o->roles;

	if (o->nargs != 2 && !(o->nargs == 1 && selected)) {
		say("poke: kick or call, and VM:DEVICE:QUEUE are needed; vu-trace map has them");
		return false;
	}
	p->kick = !strcmp(o->args[0], "kick");
	if (!p->kick && strcmp(o->args[0], "call")) {
		say("poke: '%s' is neither kick nor call", o->args[0]);
		return false;
	}
	if (!o->yes) {
		say("poke: this notifies a live queue; add --yes to do it");
		return false;
	}
	p->name = o->nargs == 2 ? o->args[1] : NULL;
	return true;
}

int cmd_poke(const struct options *o)
{
	struct poke p = {0};
	const struct slot_info *slot;
	struct session s;
	int ret;

	if (!parse(o, &p))
		return EXIT_USAGE;
	ret = session_open(&s, o, NULL);
	if (ret < 0) {
		slot = find_slot(&s, p.name);
		ret = EXIT_FAILED;
		p.name = slot ? slot->name : NULL;
		if (slot && judge_open(&p.judge, &s))
			say("looking at queues: %s", strerror(errno));
		else if (slot) {
			ret = run(&p, slot, o->json);
			judge_close(&p.judge);
		}
	}
	session_close(&s);
	return ret;
}
