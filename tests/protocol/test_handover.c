/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hand-overs between two back-ends of this process: what goes along, what is refused, and
 * that at each step, whatever breaks, one of the two serves and the other does not.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "state/give.h"
#include "state/swap.h"
#include "state/take.h"
#include "tests/lib/control.h"

#define RING_GPA 0x10000
#define QUEUES	 2

/* --- steps: each calls what a test has hung in --- */

static void (*_Atomic hook)(enum vu__step step);
static atomic_uint seen[VU__STEP_COUNT];

/* Instead of the library's. */
void vu__step_at(enum vu__step step)
{
	void (*h)(enum vu__step) = hook;

	seen[step]++;
	if (h)
		h(step);
}

/* --- an old one that serves, and a new one --- */

struct duo {
	struct pair *old, *new;
	struct vu_frontend_queue *q[QUEUES];
	int oc, nc; /* control connections */
	int chan[2];
	Vu__Control__Reply *old_reply, *new_reply;
	int fds_before;
};

static struct pair *uncounted(struct pair *p)
{
	p->fds_before = -1;
	return p;
}

static void duo_begin(struct duo *d, const struct pair_options *old,
		      const struct pair_options *new)
{
	memset(d, 0, sizeof(*d));
	hook = NULL;
	d->fds_before = count_fds();
	d->old = uncounted(pair_ready(old));
	for (int i = 0; i < QUEUES; i++)
		d->q[i] = pair_queue(d->old, i, 64, RING_GPA + i * 0x4000, 0);
	d->new = uncounted(pair_new(new));
	d->oc = control_connect(d->old);
	d->nc = control_connect(d->new);
}

/* Frees all and counts what is left. */
static void duo_end(struct duo *d)
{
	int left;

	hook = NULL;
	close(d->oc);
	close(d->nc);
	pair_free(d->new);
	pair_free(d->old);
	left = count_fds() - d->fds_before;
	assert_int_equal(left, 0);
}

static void ask(struct duo *d, uint32_t pause_ms, bool dry_run)
{
	Vu__Control__Reply *reply;

	CONTROL_REQUEST(take, TAKE, take, Take);
	CONTROL_REQUEST(give, GIVE, give, Give);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
				    d->chan), 0);
	take_body.timeout_ms = 10000;
	control_send(d->nc, &take, &d->chan[1], 1);
	reply = control_receive(d->nc, NULL);
	assert_non_null(reply);
	if (reply->error)
		fail_msg("%s", reply->why);
	assert_int_equal(reply->what_case, VU__CONTROL__REPLY__WHAT_PROGRESS);
	vu__control__reply__free_unpacked(reply, NULL);
	give_body.timeout_ms = 10000;
	give_body.pause_ms = pause_ms;
	give_body.dry_run = dry_run;
	control_send(d->oc, &give, &d->chan[0], 1);
	close(d->chan[0]);
	close(d->chan[1]);
}

static void hear(struct duo *d)
{
	d->old_reply = control_receive(d->oc, NULL);
	d->new_reply = control_receive(d->nc, NULL);
}

static void forget(struct duo *d)
{
	if (d->old_reply)
		vu__control__reply__free_unpacked(d->old_reply, NULL);
	if (d->new_reply)
		vu__control__reply__free_unpacked(d->new_reply, NULL);
	d->old_reply = d->new_reply = NULL;
}

/* The same by a tool that may be cut off at any time. */
static void ask_if_there(struct duo *d)
{
	Vu__Control__Reply *reply;
	int chan[2];

	CONTROL_REQUEST(take, TAKE, take, Take);
	CONTROL_REQUEST(give, GIVE, give, Give);
	take_body.timeout_ms = give_body.timeout_ms = 10000;
	give_body.pause_ms = 2000;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
				    chan), 0);
	if (control_try_send(d->nc, &take, &chan[1], 1)) {
		reply = control_receive(d->nc, NULL);
		if (reply) {
			control_try_send(d->oc, &give, &chan[0], 1);
			vu__control__reply__free_unpacked(reply, NULL);
		}
	}
	close(chan[0]);
	close(chan[1]);
}

static void expect_moved(struct duo *d)
{
	hear(d);
	if (!d->old_reply || d->old_reply->error || !d->new_reply || d->new_reply->error)
		fail_msg("old: %s; new: %s", d->old_reply ? d->old_reply->why : "gone",
			 d->new_reply ? d->new_reply->why : "gone");
	assert_int_equal(d->old_reply->what_case, VU__CONTROL__REPLY__WHAT_MOVED);
	assert_int_equal(d->new_reply->what_case, VU__CONTROL__REPLY__WHAT_MOVED);
}

/* Both say why not; the old one says @text. */
static void expect_refused(struct duo *d, int err, const char *text)
{
	hear(d);
	assert_non_null(d->old_reply);
	assert_non_null(d->new_reply);
	if ((int)d->old_reply->error != err || !strstr(d->old_reply->why, text) ||
	    !d->new_reply->error)
		fail_msg("old: %u '%s', not %d '%s'; new: %u '%s'", d->old_reply->error,
			 d->old_reply->why, err, text, d->new_reply->error, d->new_reply->why);
	forget(d);
}

static bool serves(struct pair *p)
{
	bool yes;

	pair_lock(p);
	yes = p->dev.vq[0].started && p->dev.priv->queues[0].ring.open;
	pair_unlock(p);
	return yes;
}

/* The front-end's calls are of the old pair's; who answers is the question. */
static void check_served(struct duo *d, uint64_t token)
{
	for (int i = 0; i < QUEUES; i++)
		pair_echo(d->old, d->q[i], token + i);
}

static void check_old_serves(struct duo *d)
{
	assert_true(serves(d->old));
	assert_false(serves(d->new));
	check_served(d, 1000);
	pair_wait_gone(d->new);
	assert_false(d->old->gone);
	assert_int_equal(d->old->panics, 0);
}

static void check_new_serves(struct duo *d)
{
	uint64_t features;

	pair_wait_gone(d->old);
	assert_false(serves(d->old));
	assert_true(serves(d->new));
	assert_false(d->new->gone);
	check_served(d, 2000);
	/* Messages, too. */
	check_ok(d->old, vu_frontend_get_features(d->old->fe, &features));
	assert_int_equal(d->old->panics + d->new->panics, 0);
}

/* --- it works --- */

/* Each queue was kicked and called once, although nothing was to be done. */
static void check_woken(struct pair *p)
{
	const struct vu__telemetry *t = vu__dev_of(&p->dev)->telemetry;

	pair_lock(p);
	for (int i = 0; i < QUEUES; i++) {
		assert_true(t->configs[i].self_kicks >= 1);
		assert_int_equal(t->configs[i].extra_calls, 1);
	}
	pair_unlock(p);
}

static void everything_goes_along(void **state)
{
	struct duo d;
	const Vu__Control__Moved *m;
	uint64_t handled;

	(void)state;
	duo_begin(&d, NULL, NULL);
	for (int i = 0; i < 300; i++)
		check_served(&d, i);
	ask(&d, 1000, false);
	expect_moved(&d);
	m = d.new_reply->moved;
	assert_int_equal(m->n_pauses, QUEUES);
	for (int i = 0; i < QUEUES; i++) {
		assert_int_equal(m->pauses[i]->queue, i);
		assert_true(m->pauses[i]->frozen_ns);
		assert_true(m->pauses[i]->offered_ns >= m->pauses[i]->frozen_ns);
		assert_true(m->pauses[i]->served_ns > m->pauses[i]->offered_ns);
	}
	forget(&d);
	check_woken(d.new);
	check_new_serves(&d);
	pair_lock(d.new);
	assert_int_equal(d.new->dev.features, d.old->dev.features);
	assert_int_equal(d.new->dev.protocol_features, d.old->dev.protocol_features);
	assert_int_equal(d.new->dev.nregions, 1);
	assert_int_equal(d.new->starts[0], 1);
	assert_int_equal(d.new->dev.vq[0].last_avail_idx, 301);
	handled = VU_MIN(d.new->handled[0], d.new->handled[1]);
	pair_unlock(d.new);
	assert_true(handled >= 1);
	pair_lock(d.old);
	assert_int_equal(d.old->stops[0], 1);
	assert_int_equal(d.old->dev.vq[0].kick_fd, -1);
	assert_null(d.old->dev.vq[0].vring.desc);
	pair_unlock(d.old);
	for (enum vu__step s = 0; s < VU__STEP_COUNT; s++)
		assert_true(seen[s]);
	duo_end(&d);
}

static void a_dry_run_moves_nothing(void **state)
{
	struct duo d;

	(void)state;
	duo_begin(&d, NULL, NULL);
	ask(&d, 1000, true);
	hear(&d);
	assert_int_equal(d.old_reply->error, 0);
	assert_true(d.old_reply->moved->prepared_ns > 0);
	assert_int_equal(d.new_reply->error, ECANCELED);
	forget(&d);
	check_old_serves(&d);
	duo_end(&d);
}

/* --- under load, many times --- */

struct load {
	struct duo *d;
	int queue;
	atomic_bool stop, failed;
	_Atomic uint64_t done;
	pthread_t thread;
};

/* A request and its answer; false if anything is not as it should be. */
static bool echo(struct load *l)
{
	uint64_t at = 0x90000 + l->queue * 0x4000, got = 0;
	struct vu_frontend_buf bufs[2] = {{at, 32, false}, {at + 4096, 64, true}};
	struct vu_frontend *fe = l->d->old->fe;
	uint8_t *out = vu_frontend_ptr(fe, at, 32), *in = vu_frontend_ptr(fe, at + 4096, 64);
	struct vu_frontend_queue *q = l->d->q[l->queue];
	uint32_t len = 0;

	l->done++;
	for (unsigned int i = 0; i < 32; i++)
		out[i] = l->done * 7 + i;
	memset(in, 0xee, 64);
	return !vu_frontend_submit(q, bufs, 2, l->done) && vu_frontend_kick(q) >= 0 &&
	       !vu_frontend_wait(q, 10000) && vu_frontend_reap(q, &got, &len) == 1 &&
	       got == l->done && len == 32 && !memcmp(in, out, 32) && in[32] == 0xee;
}

static void *drive(void *opaque)
{
	struct load *l = opaque;

	while (!l->stop && !l->failed)
		l->failed = !echo(l);
	return NULL;
}

static void start_load(struct load *l, struct duo *d)
{
	for (int i = 0; i < QUEUES; i++) {
		memset(&l[i], 0, sizeof(l[i]));
		l[i].d = d;
		l[i].queue = i;
		pthread_create(&l[i].thread, NULL, drive, &l[i]);
	}
}

static uint64_t stop_load(struct load *l)
{
	uint64_t sum = 0;

	for (int i = 0; i < QUEUES; i++) {
		/* A hand-over may be over before a thread has begun. */
		while (!l[i].done)
			poll(NULL, 0, 1);
		l[i].stop = true;
		pthread_join(l[i].thread, NULL);
		if (l[i].failed)
			fail_msg("queue %d: request %llu was not served", i,
				 (unsigned long long)l[i].done);
		sum += l[i].done;
	}
	return sum;
}

/* The last one becomes the old one; who is asked next is another. */
static void next_round(struct duo *d, struct pair *serving[], unsigned int *n)
{
	serving[(*n)++] = d->new;
	close(d->oc);
	d->oc = d->nc;
	d->new = uncounted(pair_new(NULL));
	d->nc = control_connect(d->new);
}

static void back_and_forth_under_load(void **state)
{
	int rounds = getenv("VU_LONG") ? 500 : 30;
	struct pair *serving[500];
	unsigned int n = 0;
	struct load loads[QUEUES];
	struct duo d;

	(void)state;
	duo_begin(&d, NULL, NULL);
	start_load(loads, &d);
	for (int i = 0; i < rounds; i++) {
		ask(&d, 1000, false);
		expect_moved(&d);
		forget(&d);
		if (i + 1 < rounds)
			next_round(&d, serving, &n);
	}
	print_message("# %llu requests during %d hand-overs\n",
		      (unsigned long long)stop_load(loads), rounds);
	check_served(&d, 1);
	while (n--)
		pair_free(serving[n]);
	duo_end(&d);
}

/* --- at every step something breaks --- */

static struct duo *victim;
static enum vu__step break_at;
static atomic_bool broken;

/* The step is of one of the two; its own end of the channel, if it has one then. */
static int channel_of(struct pair *p, bool give)
{
	struct vu__control *c = p->dev.priv->service_data[0];

	if (!c->job)
		return -1;
	return give ? c->give->chan : c->take->chan;
}

static bool is_give(enum vu__step step)
{
	return !strncmp(vu__step_name(step), "give", 4);
}

static void cut_channel(enum vu__step step)
{
	int chan;

	if (step != break_at || broken)
		return;
	broken = true;
	chan = channel_of(is_give(step) ? victim->old : victim->new, is_give(step));
	if (chan >= 0)
		shutdown(chan, SHUT_RDWR);
}

static void dismiss_tool(enum vu__step step)
{
	if (step != break_at || broken)
		return;
	broken = true;
	shutdown(victim->oc, SHUT_RDWR);
	shutdown(victim->nc, SHUT_RDWR);
}

/* Whoever it is: one serves, the other does not, and no request was lost. */
static void check_one_serves(struct duo *d)
{
	int64_t deadline = vu__now_ms() + 5000;

	while (serves(d->old) == serves(d->new)) {
		if (vu__now_ms() > deadline)
			fail_msg("after %s: old %d, new %d", vu__step_name(break_at),
				 serves(d->old), serves(d->new));
		poll(NULL, 0, 1);
	}
	if (serves(d->new))
		check_new_serves(d);
	else
		check_old_serves(d);
}

static void break_each_step(void (*how)(enum vu__step), const char *what)
{
	unsigned int moved = 0;

	for (break_at = 0; break_at < VU__STEP_COUNT; break_at++) {
		struct load loads[QUEUES];
		struct duo d;

		duo_begin(&d, NULL, NULL);
		victim = &d;
		broken = false;
		start_load(loads, &d);
		hook = how;
		if (how == dismiss_tool)
			ask_if_there(&d);
		else
			ask(&d, 2000, false);
		/* Without a tool nobody is told; with one, both sides say how it went. */
		hear(&d);
		forget(&d);
		stop_load(loads);
		check_one_serves(&d);
		moved += serves(d.new);
		assert_true(broken);
		duo_end(&d);
	}
	print_message("# %s: %u of %d moved all the same\n", what, moved, VU__STEP_COUNT);
	assert_true(moved > 0 && moved < VU__STEP_COUNT);
}

static void the_channel_is_cut_at_each_step(void **state)
{
	(void)state;
	break_each_step(cut_channel, "channel cut");
}

static void the_tool_leaves_at_each_step(void **state)
{
	(void)state;
	break_each_step(dismiss_tool, "tool gone");
}

/* --- too late --- */

static void dawdle(enum vu__step step)
{
	int64_t deadline = vu__now_ms() + 5000;

	/* Until the old one has had enough and serves again. */
	while (step == break_at && !serves(victim->old) && vu__now_ms() < deadline)
		poll(NULL, 0, 1);
}

/* A new one that was stopped, and goes on after the old one has withdrawn, takes nothing. */
static void who_comes_too_late_takes_nothing(void **state)
{
	static const enum vu__step steps[] = {VU__STEP_TAKE_OFFER_SEEN};
	struct duo d;

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(steps); i++) {
		duo_begin(&d, NULL, NULL);
		victim = &d;
		break_at = steps[i];
		hook = dawdle;
		ask(&d, 50, false);
		expect_refused(&d, ETIMEDOUT, "has not taken it within 50 ms");
		check_old_serves(&d);
		duo_end(&d);
	}
}

/* --- refusals --- */

static void expect_not_taken(const struct pair_options *old, const struct pair_options *new,
			     const char *text)
{
	struct duo d;

	duo_begin(&d, old, new);
	ask(&d, 1000, false);
	expect_refused(&d, EREMOTEIO, text);
	check_old_serves(&d);
	duo_end(&d);
}

/* Small ones go with the offer, large ones in a file. */
static size_t state_len = 5;

static int save_state(VuDev *dev, void **data, size_t *len)
{
	(void)dev;
	*data = malloc(state_len);
	memset(*data, 's', state_len);
	*len = state_len;
	return 0;
}

static int loads;
static int load_result;

static int load_state(VuDev *dev, uint32_t version, const void *data, size_t len)
{
	const char *bytes = data;

	(void)dev;
	loads += version == 3 && len == state_len && bytes[0] == 's' && bytes[len - 1] == 's';
	return load_result;
}

static struct vu_ext_ops with_state = {
	.size = sizeof(struct vu_ext_ops),
	.state_name = "test",
	.state_version = 3,
	.save_state = save_state,
	.load_state = load_state,
};

static void who_does_not_fit_is_refused(void **state)
{
	const struct pair_options more = {.features = VU_BIT(5)};
	const struct pair_options inband = {
		.protocol_features = VU_BIT(VU__PF_INBAND_NOTIFICATIONS)};
	const struct pair_options one_queue = {.queues = 1};
	const struct pair_options stateful = {.ext = &with_state};
	const struct pair_options plain = {0};

	(void)state;
	expect_not_taken(&more, &plain, "features 0x20");
	expect_not_taken(&inband, &plain, "INBAND_NOTIFICATIONS");
	expect_not_taken(&plain, &one_queue, "has a queue 1, this device 1 queues");
	expect_not_taken(&stateful, &plain, "state of 'test'");
}

static void check_state(size_t len)
{
	const struct pair_options stateful = {.ext = &with_state};
	struct duo d;

	state_len = len;
	loads = 0;
	load_result = -EIO;
	duo_begin(&d, &stateful, &stateful);
	ask(&d, 1000, false);
	expect_refused(&d, EREMOTEIO, "refuses its state of version 3");
	assert_int_equal(loads, 1);
	check_old_serves(&d);
	duo_end(&d);
	load_result = 0;
	duo_begin(&d, &stateful, &stateful);
	ask(&d, 1000, false);
	expect_moved(&d);
	forget(&d);
	assert_int_equal(loads, 2);
	check_new_serves(&d);
	duo_end(&d);
}

static void state_goes_along_or_nothing(void **state)
{
	(void)state;
	check_state(5);
	check_state(4096);
	check_state(4097);
	check_state(300000);
}

static void only_fresh_ones_take(void **state)
{
	struct pair *p = pair_ready(NULL);
	int fd = control_connect(p);

	CONTROL_REQUEST(take, TAKE, take, Take);
	CONTROL_REQUEST(give, GIVE, give, Give);
	(void)state;
	control_fails(fd, &give, EINVAL, "no channel");
	control_fails(fd, &take, EINVAL, "no channel");
	control_send(fd, &take, &fd, 1);
	{
		Vu__Control__Reply *reply = control_receive(fd, NULL);

		assert_string_equal(reply->why, "it serves a front-end");
		vu__control__reply__free_unpacked(reply, NULL);
	}
	close(fd);
	pair_free(p);
}

/* --- the front-end does something meanwhile --- */

static atomic_bool waiting, go_ahead;

/* The new one is all but ready, and waits for the test. */
static void wait_for_test(enum vu__step step)
{
	int64_t deadline = vu__now_ms() + 5000;

	if (step != VU__STEP_TAKE_MAPPED)
		return;
	waiting = true;
	while (!go_ahead && vu__now_ms() < deadline)
		poll(NULL, 0, 1);
}

static void ask_and_interrupt(struct duo *d)
{
	int64_t deadline = vu__now_ms() + 5000;

	waiting = go_ahead = false;
	hook = wait_for_test;
	ask(d, 1000, false);
	while (!waiting && vu__now_ms() < deadline)
		poll(NULL, 0, 1);
	assert_true(waiting);
}

static void memory_changes_meanwhile(void **state)
{
	struct duo d;

	(void)state;
	duo_begin(&d, NULL, NULL);
	ask_and_interrupt(&d);
	assert_true(vu_frontend_add_memory(d.old->fe, 16 << 20, 1 << 20, 0) > 0);
	check_ok(d.old, vu_frontend_add_mem_reg(d.old->fe, 1));
	go_ahead = true;
	expect_refused(&d, EAGAIN, "has changed the device meanwhile");
	check_old_serves(&d);
	duo_end(&d);
}

static void eventfds_change_meanwhile(void **state)
{
	int call = new_eventfd();
	struct duo d;
	uint64_t value;

	(void)state;
	duo_begin(&d, NULL, NULL);
	ask_and_interrupt(&d);
	check_ok(d.old, vu_frontend_set_vring_call(d.old->fe, 1, call));
	vu__event_consume(call, &value);
	go_ahead = true;
	expect_moved(&d);
	forget(&d);
	/* The new one calls where the front-end has said last. */
	assert_int_equal(vu__fd_wait(call, POLLIN, vu__now_ms() + 5000), 0);
	check_ok(d.old, vu_frontend_set_vring_call(d.old->fe, 1,
						   vu_frontend_call_fd(d.q[1])));
	check_new_serves(&d);
	duo_end(&d);
	close(call);
}

static void queues_start_and_stop_meanwhile(void **state)
{
	struct duo d;

	(void)state;
	duo_begin(&d, NULL, NULL);
	check_ok(d.old, vu_frontend_queue_stop(d.q[1], NULL));
	ask_and_interrupt(&d);
	check_ok(d.old, vu_frontend_queue_stop(d.q[0], NULL));
	check_ok(d.old, vu_frontend_queue_start(d.q[1], 0));
	go_ahead = true;
	expect_moved(&d);
	forget(&d);
	pair_echo(d.old, d.q[1], 1);
	pair_lock(d.new);
	assert_false(d.new->dev.vq[0].started);
	pair_unlock(d.new);
	check_ok(d.old, vu_frontend_queue_start(d.q[0], 0));
	check_new_serves(&d);
	duo_end(&d);
}

/* --- what is in flight --- */

static void submit_one(struct vu_frontend_queue *q, uint64_t token)
{
	struct vu_frontend_buf bufs[2] = {{0x40000 + 256 * (token % 64), 64, false},
					  {0x60000 + 256 * (token % 64), 64, true}};

	assert_int_equal(vu_frontend_submit(q, bufs, 2, token), 0);
	assert_true(vu_frontend_kick(q) >= 0);
}

static void what_does_not_end_is_not_handed_over(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct duo d;

	(void)state;
	duo_begin(&d, &opt, NULL);
	submit_one(d.q[0], 1);
	submit_one(d.q[0], 2);
	pair_wait_popped(d.old, 2);
	ask(&d, 30, false);
	expect_refused(&d, ETIMEDOUT, "2 requests were still in flight after 30 ms");
	/* Nothing was held back for good. */
	submit_one(d.q[0], 3);
	pair_wait_popped(d.old, 3);
	pair_release_held(d.old, 0);
	pair_lock(d.old);
	d.old->mode = PAIR_ECHO;
	pair_unlock(d.old);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vu_frontend_wait(d.q[0], 5000), 0);
		assert_int_equal(vu_frontend_reap(d.q[0], NULL, NULL), 1);
	}
	check_old_serves(&d);
	duo_end(&d);
}

static void release_when_frozen(enum vu__step step)
{
	/* Later, from the test: the device is locked here. */
	if (step == VU__STEP_GIVE_FROZEN)
		waiting = true;
}

static void what_ends_in_time_is(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct duo d;

	(void)state;
	duo_begin(&d, &opt, NULL);
	submit_one(d.q[0], 1);
	pair_wait_popped(d.old, 1);
	waiting = false;
	hook = release_when_frozen;
	ask(&d, 5000, false);
	while (!waiting)
		poll(NULL, 0, 1);
	/* Popped by nobody before the new one. */
	submit_one(d.q[0], 2);
	pair_release_held(d.old, 0);
	expect_moved(&d);
	assert_true(d.new_reply->moved->pauses[0]->offered_ns >
		    d.new_reply->moved->pauses[0]->frozen_ns);
	forget(&d);
	assert_int_equal(d.old->popped, 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vu_frontend_wait(d.q[0], 5000), 0);
		assert_int_equal(vu_frontend_reap(d.q[0], NULL, NULL), 1);
	}
	check_new_serves(&d);
	duo_end(&d);
}

/* --- what is done by then --- */

static struct pair *finishing;
static unsigned int finish_at_most;
static int called_when_frozen;
static struct vu_frontend_queue *listened_to;

/* The device has kept some; of these the first ones are done by now. */
static void finish_some(VuDev *dev, int qidx)
{
	struct pair *p = finishing;
	VuVirtq *vq = &dev->vq[qidx];
	unsigned int n = 0;

	if (!p || dev != &p->dev || qidx)
		return;
	for (; n < finish_at_most && n < p->nheld; n++) {
		vu_queue_push(dev, vq, p->held[n], 64);
		free(p->held[n]);
	}
	p->nheld -= n;
	memmove(p->held, p->held + n, p->nheld * sizeof(p->held[0]));
	vu_queue_notify(dev, vq);
}

static void listen_when_frozen(enum vu__step step)
{
	struct pollfd p = {.fd = vu_frontend_call_fd(listened_to), .events = POLLIN};

	if (step == VU__STEP_GIVE_FROZEN)
		called_when_frozen = poll(&p, 1, 0);
}

static void reap_one(struct vu_frontend_queue *q)
{
	assert_int_equal(vu_frontend_wait(q, 5000), 0);
	assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
}

static void finish_begin(struct duo *d, unsigned int at_most)
{
	static const struct vu_ext_ops ext = {.size = sizeof(ext), .finish = finish_some};
	struct pair_options opt = {.mode = PAIR_HOLD, .ext = &ext};
	uint64_t value;

	duo_begin(d, &opt, NULL);
	submit_one(d->q[0], 1);
	submit_one(d->q[0], 2);
	pair_wait_popped(d->old, 2);
	finishing = d->old;
	finish_at_most = at_most;
	called_when_frozen = -1;
	listened_to = d->q[0];
	vu__event_consume(vu_frontend_call_fd(d->q[0]), &value);
	hook = listen_when_frozen;
}

/* Nobody waits for an event, and the new one calls for what the old one has done. */
static void what_is_done_is_not_waited_for(void **state)
{
	struct duo d;

	(void)state;
	finish_begin(&d, 2);
	ask(&d, 5000, false);
	expect_moved(&d);
	assert_int_equal(called_when_frozen, 0);
	forget(&d);
	for (int i = 0; i < 2; i++)
		reap_one(d.q[0]);
	finishing = NULL;
	check_new_serves(&d);
	duo_end(&d);
}

/* The driver hears of one request late, but not only when the other one ends. */
static void calls_do_not_wait_for_all(void **state)
{
	struct duo d;

	(void)state;
	finish_begin(&d, 1);
	ask(&d, 20000, false);
	reap_one(d.q[0]);
	pair_lock(d.old);
	assert_int_equal(called_when_frozen, 0);
	assert_int_equal(d.old->nheld, 1);
	pair_unlock(d.old);
	pair_release_held(d.old, 0);
	expect_moved(&d);
	forget(&d);
	reap_one(d.q[0]);
	finishing = NULL;
	check_new_serves(&d);
	duo_end(&d);
}

/* Nor are kicks lost that nobody heard while it was waited, if nothing comes of it. */
static void kicks_are_heard_again(void **state)
{
	struct duo d;

	(void)state;
	finish_begin(&d, 1);
	ask(&d, 30, false);
	expect_refused(&d, ETIMEDOUT, "1 requests were still in flight after 30 ms");
	finishing = NULL;
	reap_one(d.q[0]);
	pair_lock(d.old);
	d.old->mode = PAIR_ECHO;
	pair_unlock(d.old);
	check_old_serves(&d);
	pair_release_held(d.old, 0);
	reap_one(d.q[0]);
	duo_end(&d);
}

/* --- logs and regions go along --- */

static void the_dirty_log_goes_along(void **state)
{
	struct duo d;
	int log = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t *bits;
	bool marked = false;

	(void)state;
	assert_int_equal(ftruncate(log, 4096), 0);
	bits = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, log, 0);
	duo_begin(&d, NULL, NULL);
	check_ok(d.old, vu_frontend_set_log_base(d.old->fe, log, 4096, 0));
	check_ok(d.old, vu_frontend_set_features(d.old->fe, vu_frontend_features(d.old->fe) |
							       VU_BIT(VU__F_LOG_ALL)));
	ask(&d, 1000, false);
	expect_moved(&d);
	forget(&d);
	check_new_serves(&d);
	memset(bits, 0, 4096);
	check_served(&d, 5);
	for (int i = 0; i < 4096; i++)
		marked |= bits[i];
	assert_true(marked);
	duo_end(&d);
	munmap(bits, 4096);
	close(log);
}

static void the_inflight_region_goes_along(void **state)
{
	struct duo d;
	uint64_t size, offset;
	int fd;

	(void)state;
	duo_begin(&d, NULL, NULL);
	for (int i = 0; i < QUEUES; i++)
		check_ok(d.old, vu_frontend_queue_stop(d.q[i], NULL));
	check_ok(d.old, vu_frontend_get_inflight_fd(d.old->fe, 4, 64, &fd, &size, &offset));
	check_ok(d.old, vu_frontend_set_inflight_fd(d.old->fe, fd, size, offset, 4, 64));
	for (int i = 0; i < QUEUES; i++)
		check_ok(d.old, vu_frontend_queue_start(d.q[i], 0));
	check_served(&d, 1);
	ask(&d, 1000, false);
	expect_moved(&d);
	forget(&d);
	check_new_serves(&d);
	pair_lock(d.new);
	assert_non_null(d.new->dev.vq[1].inflight);
	assert_int_equal(d.new->dev.inflight_info.size, size);
	pair_unlock(d.new);
	close(fd);
	duo_end(&d);
}

static void the_channel_of_the_back_end_goes_along(void **state)
{
	struct vu_frontend_message msg;
	struct duo d;

	(void)state;
	duo_begin(&d, NULL, NULL);
	check_ok(d.old, vu_frontend_open_channel(d.old->fe));
	ask(&d, 1000, false);
	expect_moved(&d);
	forget(&d);
	check_new_serves(&d);
	vu_config_change_msg(&d.new->dev);
	check_ok(d.old, vu_frontend_channel_recv(d.old->fe, &msg));
	assert_int_equal(msg.request, VU__BACKEND_CONFIG_CHANGE_MSG);
	duo_end(&d);
}

/* --- hostile channels --- */

static void garbage(void **state)
{
	static const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff};
	struct duo d;
	int chan[2];

	CONTROL_REQUEST(take, TAKE, take, Take);
	CONTROL_REQUEST(give, GIVE, give, Give);
	(void)state;
	duo_begin(&d, NULL, NULL);
	take_body.timeout_ms = give_body.timeout_ms = 5000;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, chan), 0);
	control_send(d.nc, &take, &chan[1], 1);
	vu__control__reply__free_unpacked(control_receive(d.nc, NULL), NULL);
	assert_int_equal(send(chan[0], bytes, sizeof(bytes), 0), sizeof(bytes));
	d.new_reply = control_receive(d.nc, NULL);
	assert_int_equal(d.new_reply->error, EPROTO);
	close(chan[0]);
	close(chan[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, chan), 0);
	control_send(d.oc, &give, &chan[0], 1);
	assert_int_equal(send(chan[1], bytes, sizeof(bytes), 0), sizeof(bytes));
	d.old_reply = control_receive(d.oc, NULL);
	assert_int_equal(d.old_reply->error, EPROTO);
	forget(&d);
	close(chan[0]);
	close(chan[1]);
	check_old_serves(&d);
	duo_end(&d);
}

/* One that says it has taken what was never offered gets nothing. */
static void liars(void **state)
{
	struct duo d;
	int chan[2];
	Vu__Control__Handover m = VU__CONTROL__HANDOVER__INIT;
	Vu__Control__Taken taken = VU__CONTROL__TAKEN__INIT;
	Vu__Control__Ready ready = VU__CONTROL__READY__INIT;

	(void)state;
	for (int what = 0; what < 2; what++) {
		CONTROL_REQUEST(give, GIVE, give, Give);
		duo_begin(&d, NULL, NULL);
		give_body.timeout_ms = 5000;
		give_body.pause_ms = 50;
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, chan), 0);
		control_send(d.oc, &give, &chan[0], 1);
		m.what_case = what ? VU__CONTROL__HANDOVER__WHAT_READY :
				     VU__CONTROL__HANDOVER__WHAT_TAKEN;
		if (what)
			m.ready = &ready;
		else
			m.taken = &taken;
		assert_int_equal(vu__handover_send(chan[1], &m, NULL, 0), 0);
		d.old_reply = control_receive(d.oc, NULL);
		assert_int_equal(d.old_reply->error, what ? ETIMEDOUT : EPROTO);
		forget(&d);
		close(chan[0]);
		close(chan[1]);
		assert_true(serves(d.old));
		check_served(&d, 7);
		duo_end(&d);
	}
}

/* --- another file behind a number --- */

static void epoll_sees_the_new_file(void **state)
{
	int epfd = epoll_create1(EPOLL_CLOEXEC), a[2], b[2], keep;
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef0}, got;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, b), 0);
	/* The old file lives on elsewhere, as a handed-over one does. */
	keep = dup(a[0]);
	assert_int_equal(epoll_ctl(epfd, EPOLL_CTL_ADD, a[0], &ev), 0);
	assert_int_equal(vu__fd_swap(a[0], b[0]), 0);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(epoll_wait(epfd, &got, 1, 0), 0);
	assert_int_equal(write(b[1], "y", 1), 1);
	assert_int_equal(epoll_wait(epfd, &got, 1, 1000), 1);
	assert_int_equal(got.data.u64, ev.data.u64);
	assert_int_equal(got.events, EPOLLIN);
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
	close(keep);
	close(epfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_goes_along),
		cmocka_unit_test(a_dry_run_moves_nothing),
		cmocka_unit_test(back_and_forth_under_load),
		cmocka_unit_test(the_channel_is_cut_at_each_step),
		cmocka_unit_test(the_tool_leaves_at_each_step),
		cmocka_unit_test(who_comes_too_late_takes_nothing),
		cmocka_unit_test(who_does_not_fit_is_refused),
		cmocka_unit_test(state_goes_along_or_nothing),
		cmocka_unit_test(only_fresh_ones_take),
		cmocka_unit_test(memory_changes_meanwhile),
		cmocka_unit_test(eventfds_change_meanwhile),
		cmocka_unit_test(queues_start_and_stop_meanwhile),
		cmocka_unit_test(what_does_not_end_is_not_handed_over),
		cmocka_unit_test(what_ends_in_time_is),
		cmocka_unit_test(what_is_done_is_not_waited_for),
		cmocka_unit_test(calls_do_not_wait_for_all),
		cmocka_unit_test(kicks_are_heard_again),
		cmocka_unit_test(the_dirty_log_goes_along),
		cmocka_unit_test(the_inflight_region_goes_along),
		cmocka_unit_test(the_channel_of_the_back_end_goes_along),
		cmocka_unit_test(garbage),
		cmocka_unit_test(liars),
		cmocka_unit_test(epoll_sees_the_new_file),
	};

	return cmocka_run_group_tests(tests, control_set_up, control_tear_down);
}
