/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tier E: looks at the counters of eventfds in /proc.  A counter that has changed was
 * signalled or read; what came and went between two looks is not seen.  The main thread.
 */
#include "tier_e.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "select.h"

#define DEFAULT_S 0.05
#define MIN_S	  0.01
#define MAX_S	  1

/* What a counter was at the last look. */
struct seen {
	uint64_t kick, call;
};

static bool count_now(const struct session *s, const struct queue *q, const struct end *e,
		      uint64_t *count)
{
	int64_t id;

	return e->obj && e->backend_fd >= 0 &&
	       !vu__procfs_eventfd(world_proc(s->world), q->backend, e->backend_fd, &id, count) &&
	       id == e->id;
}

struct taker {
	const struct session *s;
	event_fn *fn;
	void *opaque;
};

static void event(const struct taker *t, uint32_t slot, uint8_t kind, uint8_t role,
		  uint64_t value)
{
	const struct queue *q = &t->s->slots[slot].queue;
	struct event e = {.ts = now_ns(),
			  .value = value,
			  .queue = slot,
			  .tgid = kind == EV_READ || kind == EV_CALL ? q->backend : q->vmm,
			  .kind = kind,
			  .tier = TIER_POLL,
			  .role = role};

	e.tid = e.tgid;
	if (!t->s->opt->kinds || t->s->opt->kinds & 1U << kind)
		t->fn(t->opaque, &e, sizeof(e));
}

static void look(const struct taker *t, uint32_t slot, struct seen *seen)
{
	const struct session *s = t->s;
	const struct queue *q = &s->slots[slot].queue;
	uint64_t n;

	if (selects_side(s->opt, ROLE_KICK) && count_now(s, q, &q->kick, &n) &&
	    n != seen->kick) {
		if (n > seen->kick)
			event(t, slot, EV_SIGNAL, ROLE_KICK, n - seen->kick);
		else
			event(t, slot, EV_READ, ROLE_KICK, seen->kick - n);
		seen->kick = n;
	}
	if (selects_side(s->opt, ROLE_CALL) && count_now(s, q, &q->call, &n) &&
	    n != seen->call) {
		if (n > seen->call)
			event(t, slot, EV_CALL, ROLE_CALL, n - seen->call);
		else
			event(t, slot, EV_CONSUME, ROLE_CALL, seen->call - n);
		seen->call = n;
	}
}

/* Room for what is known of new queues, which begin with what their counters have. */
static int see_new(const struct session *s, struct seen **seen, uint32_t *n)
{
	struct seen *bigger;

	if (s->nslots <= *n)
		return 0;
	bigger = realloc(*seen, s->nslots * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	*seen = bigger;
	for (; *n < s->nslots; (*n)++)
		bigger[*n] = (struct seen){s->slots[*n].queue.kick.count,
					   s->slots[*n].queue.call.count};
	return 0;
}

void poll_queues(struct session *s, event_fn *fn, void *opaque)
{
	double interval = s->opt->interval ? s->opt->interval : DEFAULT_S;
	uint64_t followed = now_ns(), nap;
	struct taker t = {s, fn, opaque};
	struct seen *seen = NULL;
	struct timespec ts;
	uint32_t n = 0;

	if (!session_goes_on(s, session_selected(s)))
		return;
	interval = VU_MIN(VU_MAX(interval, MIN_S), MAX_S);
	nap = interval * 1e9;
	ts = (struct timespec){.tv_sec = nap / 1000000000, .tv_nsec = nap % 1000000000};
	while (!interrupted() && !s->done && !s->gone && !see_new(s, &seen, &n)) {
		uint64_t now = now_ns();

		if (s->opt->duration && now - s->begun_ns >= s->opt->duration * 1e9)
			break;
		for (uint32_t i = 0; i < s->nslots; i++) {
			if (s->slots[i].selected && s->slots[i].present)
				look(&t, i, &seen[i]);
		}
		if (now - followed > 1000000000) {
			followed = now;
			if (session_update(s))
				break;
		} else {
			nanosleep(&ts, NULL);
		}
	}
	free(seen);
}
