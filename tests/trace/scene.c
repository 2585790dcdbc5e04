/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queues that are stuck, and some that only look like it, for vu-trace to judge: observe's
 * misbehaving back-end, and a front-end here.
 *
 *	scene NAME	sets it up, says "scene BACKEND-PID RUN-DIR", and keeps it until standard
 *			input ends; a line is another kick of the driver's, with a request if
 *			it takes what is done.  The driver of "swallowed-call" waits for a
 *			call, and goes on when one comes.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/observe/badback.h"
#include "wire/spec.h"

#define NO_EVENT_IDX VU_BIT(VU__F_EVENT_IDX)

struct scene {
	const char *name;
	struct rig_options opt;
	unsigned int requests;
	bool kick;
	bool reap;     /* takes what was done */
	bool no_calls; /* the driver wants none */
};

static const struct scene scenes[] = {
	{"idle", {.bad = BAD_NOT}, 10, true, true, false},
	{"polling", {.bad = BAD_POLL}, 10, true, true, false},
	{"suppressed", {.bad = BAD_NOT, .not_features = NO_EVENT_IDX}, 10, true, true, true},
	{"swallowed-kick", {.bad = BAD_SWALLOW, .not_features = NO_EVENT_IDX}, 3, true, false, false},
	{"unread-kick", {.bad = BAD_UNWATCHED}, 3, true, false, false},
	{"unconsumed-call", {.bad = BAD_NOT}, 3, true, false, false},
	{"swallowed-call", {.bad = BAD_NO_CALL}, 3, true, false, false},
	{"held", {.bad = BAD_HOLD}, 3, true, false, false},
	{"sleeping", {.bad = BAD_SLEEP}, 3, true, false, false},
	{"kick-before-enable",
	 {.bad = BAD_EAT_DISABLED, .flags = VU_FRONTEND_DISABLED}, 3, true, false, false},
};

static const struct scene *find(const char *name)
{
	for (size_t i = 0; i < VU_ARRAY_SIZE(scenes); i++) {
		if (!strcmp(scenes[i].name, name))
			return &scenes[i];
	}
	return NULL;
}

static void reap(struct rig *r)
{
	while (vu_frontend_outstanding(r->q)) {
		if (vu_frontend_reap(r->q, NULL, NULL) != 1)
			poll(NULL, 0, 1);
	}
}

static void set_up(struct rig *r, const struct scene *s)
{
	rig_start(r, &s->opt);
	if (s->no_calls)
		vu_frontend_want_calls(r->q, false);
	rig_submit(r, s->requests);
	if (s->kick)
		rig_kick(r);
	if (s->reap)
		reap(r);
	if (s->opt.bad == BAD_EAT_DISABLED) {
		poll(NULL, 0, 50);
		vu_frontend_set_vring_enable(r->fe, 0, true);
	}
}

static void play(void **state)
{
	const struct scene *s = *state;
	char line[16];
	struct rig r;

	/* What poll() does not see is not in a buffer. */
	setvbuf(stdin, NULL, _IONBF, 0);
	set_up(&r, s);
	printf("scene %d %s\n", (int)r.backend, r.dir);
	fflush(stdout);
	while (true) {
		struct pollfd p[] = {{.fd = 0, .events = POLLIN},
				     {.fd = s->opt.bad == BAD_NO_CALL
						    ? vu_frontend_call_fd(r.q)
						    : -1,
				      .events = POLLIN}};

		poll(p, 2, -1);
		if (p[1].revents & POLLIN && !vu_frontend_wait(r.q, 0)) {
			while (vu_frontend_reap(r.q, NULL, NULL) == 1)
				;
			rig_submit(&r, 1);
			rig_kick(&r);
		}
		if (p[0].revents && !fgets(line, sizeof(line), stdin))
			break;
		if (p[0].revents && s->reap)
			rig_submit(&r, 1);
		if (p[0].revents)
			rig_kick(&r);
		if (p[0].revents && s->reap)
			reap(&r);
	}
	rig_end(&r);
}

int main(int argc, char **argv)
{
	const struct scene *s = argc == 2 ? find(argv[1]) : NULL;
	struct CMUnitTest test = cmocka_unit_test_prestate(play, (void *)s);

	if (!s)
		return 2;
	return _cmocka_run_group_tests(s->name, &test, 1, NULL, NULL);
}
