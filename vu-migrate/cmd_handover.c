/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-migrate handover: one back-end process takes over from another, unseen by the
 * monitor and the guest.  The two do it between themselves; this gives each its end of a
 * channel, and waits for what they say.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "vu-migrate/client.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/json.h"
#include "vu-migrate/progress.h"
#include "vu-migrate/step.h"

#define TRIES 5

static uint64_t pause_ms = 1000;
static bool dry_run;

/* What one side has said. */
struct side {
	struct client *c;
	const char *what;
	Vu__Control__Moved *moved;
	int err;
	bool done;
};

/* --- asking --- */

static int ask_new(struct client *c, int chan)
{
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;
	Vu__Control__Take take = VU__CONTROL__TAKE__INIT;
	Vu__Control__Reply *reply;
	int err;

	take.timeout_ms = (uint32_t)VU_MIN(globals.timeout_ms + pause_ms, UINT32_MAX);
	r.what_case = VU__CONTROL__REQUEST__WHAT_TAKE;
	r.take = &take;
	/* It says that it waits; then the old one may begin. */
	reply = client_call(c, &r, &chan, 1, (int)globals.timeout_ms, &err);
	if (reply)
		vu__control__reply__free_unpacked(reply, NULL);
	return err;
}

static int ask_old(struct client *c, int chan)
{
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;
	Vu__Control__Give give = VU__CONTROL__GIVE__INIT;

	give.timeout_ms = (uint32_t)VU_MIN(globals.timeout_ms, UINT32_MAX);
	give.pause_ms = (uint32_t)VU_MIN(pause_ms, UINT32_MAX);
	give.dry_run = dry_run;
	r.what_case = VU__CONTROL__REQUEST__WHAT_GIVE;
	r.give = &give;
	return client_send(c, &r, &chan, 1);
}

/* --- hearing --- */

static void hear(struct side *s)
{
	Vu__Control__Reply *reply = client_receive(s->c, 0, &s->err);

	s->done = true;
	if (!reply)
		return;
	if (reply->what_case == VU__CONTROL__REPLY__WHAT_MOVED) {
		s->moved = reply->moved;
		reply->what_case = VU__CONTROL__REPLY__WHAT__NOT_SET;
	} else {
		s->done = false;
		if (reply->what_case == VU__CONTROL__REPLY__WHAT_PROGRESS)
			say_verbose("%s: %s", s->c->name, reply->progress->step);
	}
	vu__control__reply__free_unpacked(reply, NULL);
}

/* Until both have said how it went, or the time is over. */
static void hear_both(struct side *old, struct side *new)
{
	int64_t begin = vu__now_ms();
	int64_t deadline = begin + (int64_t)(globals.timeout_ms + 2 * pause_ms + 1000);

	while (!old->done || !new->done) {
		struct pollfd fds[2] = {
			{.fd = old->done ? -1 : old->c->fd, .events = POLLIN},
			{.fd = new->done ? -1 : new->c->fd, .events = POLLIN},
		};
		int64_t left = deadline - vu__now_ms();

		if (interrupted || left <= 0)
			break;
		progress("taking over", (double)(vu__now_ms() - begin) / 1e3,
			 (double)(deadline - begin) / 1e3);
		if (poll(fds, 2, (int)VU_MIN(left, PROGRESS_MS)) <= 0)
			continue;
		if (fds[0].revents)
			hear(old);
		if (fds[1].revents)
			hear(new);
		tool_step_at(TOOL_HEARD);
	}
	progress_end();
}

/* --- reporting --- */

static double pause_of(const Vu__Control__Moved__Pause *p)
{
	return p->served_ns > p->frozen_ns ? (double)(p->served_ns - p->frozen_ns) / 1e6 : 0;
}

static double drain_of(const Vu__Control__Moved__Pause *p)
{
	return p->offered_ns > p->frozen_ns ? (double)(p->offered_ns - p->frozen_ns) / 1e6 : 0;
}

static void report_text(const struct client *old, const struct client *new,
			const Vu__Control__Moved *m)
{
	double worst = 0;

	for (size_t i = 0; i < m->n_pauses; i++) {
		worst = VU_MAX(worst, pause_of(m->pauses[i]));
		printf("queue %u: %.3f ms, of these %.3f ms until nothing was in flight\n",
		       m->pauses[i]->queue, pause_of(m->pauses[i]), drain_of(m->pauses[i]));
	}
	printf("%s took over from %s: %zu queues stood still for up to %.3f ms, after %.0f ms of "
	       "preparation%s\n", new->name, old->name, m->n_pauses, worst,
	       (double)m->prepared_ns / 1e6,
	       m->listener ? "" : "; the listening socket stays with the old one");
}

static void report_json(const struct client *old, const struct client *new,
			const Vu__Control__Moved *m)
{
	struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();
	double worst = 0;

	for (size_t i = 0; i < m->n_pauses; i++) {
		struct json_object *q = json_object_new_object();

		worst = VU_MAX(worst, pause_of(m->pauses[i]));
		json_object_object_add(q, "queue", json_object_new_uint64(m->pauses[i]->queue));
		json_object_object_add(q, "blackout_ms",
				       json_object_new_double(pause_of(m->pauses[i])));
		json_object_object_add(q, "drain_ms",
				       json_object_new_double(drain_of(m->pauses[i])));
		json_object_array_add(list, q);
	}
	json_object_object_add(o, "old", json_object_new_string(old->name));
	json_object_object_add(o, "new", json_object_new_string(new->name));
	json_object_object_add(o, "queues", list);
	json_object_object_add(o, "blackout_ms", json_object_new_double(worst));
	json_object_object_add(o, "prepare_ms",
			       json_object_new_double((double)m->prepared_ns / 1e6));
	json_object_object_add(o, "listener", json_object_new_boolean(m->listener));
	json_print(o);
}

/* --- deciding what has happened --- */

/* What nobody has told may be asked: who serves the front-end? */
static int find_out(const struct side *old, const struct side *new)
{
	/* The new one says it only when it serves. */
	if (new->moved)
		return EXIT_SUCCESS;
	/* The old one has let go, which it does only if the new one had taken the device. */
	if (old->moved) {
		say("%s gave the device to %s, which then %s", old->c->name, new->c->name,
		    new->done ? new->c->why : "said nothing more");
		return EXIT_UNCERTAIN;
	}
	if (old->done && old->err != -ECONNRESET) {
		say("%s: %s; it goes on", old->c->name, old->c->why);
		if (new->done && new->c->why[0])
			say_verbose("%s: %s", new->c->name, new->c->why);
		return EXIT_ROLLED_BACK;
	}
	if (new->done && new->err != -ECONNRESET) {
		say("%s: %s; %s %s", new->c->name, new->c->why, old->c->name,
		    old->done ? "is gone" : "does not say whether it goes on");
		return old->done ? EXIT_UNCERTAIN : EXIT_ROLLED_BACK;
	}
	say("%s: %s; %s: %s", old->c->name, old->done ? old->c->why : "it does not answer",
	    new->c->name, new->done ? new->c->why : "it does not answer");
	return EXIT_UNCERTAIN;
}

static int finish(struct side *old, struct side *new)
{
	int status;

	if (dry_run && old->moved) {
		if (!globals.quiet && !globals.json)
			printf("%s could take over from %s: it was ready within %.0f ms\n",
			       new->c->name, old->c->name, (double)old->moved->prepared_ns / 1e6);
		status = EXIT_SUCCESS;
	} else {
		status = find_out(old, new);
		if (!status && globals.json)
			report_json(old->c, new->c, new->moved);
		else if (!status && !globals.quiet)
			report_text(old->c, new->c, new->moved);
	}
	if (old->moved)
		vu__control__moved__free_unpacked(old->moved, NULL);
	if (new->moved)
		vu__control__moved__free_unpacked(new->moved, NULL);
	return status;
}

/* --- the command --- */

/* An exit status, or -EAGAIN if the front-end was busy with the device. */
static int handover(struct client *old, struct client *new)
{
	struct side sides[2] = {{.c = old, .what = "old"}, {.c = new, .what = "new"}};
	int chan[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, chan))
		return fail(-errno, "handover: %s", strerror(errno));
	err = ask_new(new, chan[1]);
	close(chan[1]);
	if (err) {
		close(chan[0]);
		return client_fail(new, err, "taking over");
	}
	tool_step_at(TOOL_NEW_ASKED);
	err = ask_old(old, chan[0]);
	close(chan[0]);
	if (err)
		return client_fail(old, err, "handing over");
	tool_step_at(TOOL_OLD_ASKED);
	hear_both(&sides[0], &sides[1]);
	tool_step_at(TOOL_BOTH_HEARD);
	if (sides[0].done && sides[0].err == -EAGAIN)
		return -EAGAIN;
	return finish(&sides[0], &sides[1]);
}

static bool able(const struct client *old, const struct client *new)
{
	if (!client_can(old, "give") || !client_can(new, "take"))
		return false;
	for (size_t i = 0; i < old->info->n_obstacles; i++)
		say("%s: %s", old->name, old->info->obstacles[i]);
	if (!strcmp(old->name, new->name))
		say("%s cannot take over from itself", old->name);
	else if (!new->info->fresh)
		say("%s serves a front-end", new->name);
	else
		return !old->info->n_obstacles;
	return false;
}

static int try_once(const char *old_name, const char *new_name)
{
	struct client old, new;
	int status = client_open(&old, old_name, false);

	if (status)
		return status;
	tool_step_at(TOOL_OLD_FOUND);
	status = client_open(&new, new_name, true);
	if (!status) {
		tool_step_at(TOOL_NEW_FOUND);
		status = able(&old, &new) ? handover(&old, &new) : EXIT_UNSUPPORTED;
		client_close(&new);
	}
	client_close(&old);
	return status;
}

static int run_handover(int argc, char **argv)
{
	int status = -EAGAIN;

	(void)argc;
	for (int i = 0; i < TRIES && status == -EAGAIN && !interrupted; i++)
		status = try_once(argv[0], argv[1]);
	if (status != -EAGAIN)
		return status;
	say("the front-end changes the device all the time; the old one goes on");
	return EXIT_ROLLED_BACK;
}

static const struct opt opts[] = {
	{"max-pause", 0, "TIME", "the most that queues may stand still (1s)", opt_duration,
	 &pause_ms},
	{"dry-run", 0, NULL, "all but the hand-over itself", opt_flag, &dry_run},
	{0},
};

const struct command cmd_handover = {
	.name = "handover",
	.args = "OLD NEW",
	.what = "let one back-end process take over from another under a running machine",
	.more = "OLD serves the machine; NEW is the path of the socket where a fresh back-end\n"
		"listens.  What fails before NEW has taken the device leaves OLD serving, with\n"
		"exit status 9.  Status 10: it is not known who serves; look with 'list'.\n\n"
		"  vu-migrate handover /run/disk.sock /run/disk.new.sock",
	.opts = opts,
	.min_args = 2,
	.max_args = 2,
	.run = run_handover,
};
