/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-top without a screen: one sample after the other, written in some format. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vu-top/record.h"
#include "vu-top/run.h"
#include "vu-top/ui.h"

struct batch {
	struct top_settings *s;
	struct top_model *m;
	struct top_collector *collector; /* NULL: from a recording */
	struct top_replay *replay;
	size_t frame;
	struct top_recorder *recorder;
	struct top_want want;
	char host[65];
	uint64_t end_ns, written;
	bool quit;
	int status;
};

struct top_model *top_make_model(const struct top_settings *s)
{
	struct top_model *m = top_model_new(&s->model);
	char why[200];

	if (!m)
		top_say("no memory");
	for (unsigned int i = 0; m && i < s->nalerts; i++) {
		if (top_alert_add(m, s->alerts[i], why, sizeof(why)))
			top_say("--alert: %s", why);
	}
	return m;
}

/* --- what is to be looked at --- */

/* Whether columns that were asked for need latencies, or threads. */
static void want_fields(const struct top_settings *s, struct top_want *w)
{
	for (unsigned int i = 0; i < s->out.nfields; i++) {
		if (s->out.fields[i]->latency && s->latency != VU__OBS_NO)
			w->watch_all = w->hists_all = true;
		if (s->out.fields[i]->thread) {
			w->focus = true;
			w->focus_on = (struct vu__sample_focus){0, -1, -1};
		}
	}
}

static void make_want(struct batch *b)
{
	const struct top_settings *s = b->s;
	/* A table is for somebody who looks; files and fleets have to ask. */
	enum vu__obs_tri latency = s->mode == TOP_MODE_PLAIN && s->latency == VU__OBS_MAYBE
					   ? VU__OBS_YES
					   : s->latency;

	top_want_for_filters(b->m, s->filter, latency, &b->want);
	top_want_for_filters(b->m, s->critical, latency, &b->want);
	top_want_for_filters(b->m, s->warning, latency, &b->want);
	want_fields(s, &b->want);
	if (s->record)
		b->want.events_all = true;
}

static int open_all(struct batch *b)
{
	const struct top_settings *s = b->s;
	char why[200];

	if (s->replay) {
		b->replay = top_replay_open(s->replay, why, sizeof(why));
		if (!b->replay) {
			top_say("%s: %s", s->replay, why);
			return errno == ENOENT ? TOP_EXIT_NOT_FOUND : TOP_EXIT_CORRUPT;
		}
		return 0;
	}
	if (s->record) {
		b->recorder = top_recorder_new(s->record, s->record_limit);
		if (!b->recorder) {
			top_say("%s: %s", s->record, strerror(errno));
			return TOP_EXIT_FAILED;
		}
	}
	b->collector = top_collector_new(&s->sample);
	if (!b->collector)
		top_say("%s", strerror(errno));
	return b->collector ? 0 : TOP_EXIT_FAILED;
}

/* --- writing --- */

/* A file is there whole, or as it was. */
static int write_file(struct batch *b, const struct top_out_options *o)
{
	char path[4096];
	FILE *f;
	int ret = 0;

	if ((size_t)snprintf(path, sizeof(path), "%s.%d.tmp", b->s->metrics_path, getpid()) >=
	    sizeof(path))
		return -ENAMETOOLONG;
	f = fopen(path, "we");
	if (!f)
		return -errno;
	top_out_metrics(b->m, o, TOP_OPENMETRICS, f);
	if (ferror(f))
		ret = -EIO;
	if (fclose(f) && !ret)
		ret = -errno;
	if (!ret && rename(path, b->s->metrics_path))
		ret = -errno;
	if (ret)
		unlink(path);
	return ret;
}

static void write_sample(struct batch *b)
{
	const struct top_settings *s = b->s;
	struct top_out_options o = s->out;
	int ret = 0;

	o.host = b->host;
	switch (s->mode) {
	case TOP_MODE_JSON:
		top_out_json(b->m, &o, stdout);
		break;
	case TOP_MODE_CSV:
		if (!b->written && !o.quiet)
			top_out_csv_header(&o, stdout);
		top_out_csv(b->m, &o, stdout);
		break;
	case TOP_MODE_METRICS:
		if (s->metrics_path)
			ret = write_file(b, &o);
		else
			top_out_metrics(b->m, &o, TOP_OPENMETRICS, stdout);
		break;
	default:
		top_out_plain(b->m, &o, stdout);
	}
	if (ret) {
		top_say("%s: %s", s->metrics_path, strerror(-ret));
		b->status = TOP_EXIT_FAILED;
		b->quit = true;
	}
	b->written++;
	/* Nobody reads on: that is no failure. */
	if (fflush(stdout) || ferror(stdout)) {
		if (errno != EPIPE) {
			top_say("standard output: %s", strerror(errno));
			b->status = TOP_EXIT_FAILED;
		}
		b->quit = true;
	}
}

static enum top_check check(struct batch *b)
{
	const struct top_check_options o = {b->s->filter, b->s->critical, b->s->warning};

	return top_out_check(b->m, &o, stdout);
}

/* --- samples --- */

static void take_signals(struct batch *b, unsigned int signals)
{
	int ret = 0;

	if (signals & TOP_SIG_END)
		b->quit = true;
	if (signals & TOP_SIG_HANGUP && b->recorder)
		ret = top_recorder_reopen(b->recorder);
	else if (signals & TOP_SIG_HANGUP)
		b->quit = true;
	if (ret)
		top_say("%s: %s", b->s->record, strerror(-ret));
	if (signals & TOP_SIG_REPORT && b->m->frame)
		write_sample(b);
}

/* False: that was all. */
static bool look(struct batch *b)
{
	struct top_frame *f;
	int ret;

	if (b->replay) {
		if (b->frame == top_replay_frames(b->replay))
			return false;
		ret = top_replay_read(b->replay, b->frame++, &f);
	} else {
		ret = top_collect(b->collector, &b->want, &f);
	}
	if (!ret && b->recorder)
		ret = top_recorder_add(b->recorder, f);
	if (ret) {
		top_say("%s%s%s", b->replay ? b->s->replay : b->recorder ? b->s->record : "",
			b->replay || b->recorder ? ": " : "",
			ret == -EBADMSG ? "damaged" : strerror(-ret));
		b->status = ret == -EBADMSG ? TOP_EXIT_CORRUPT : TOP_EXIT_FAILED;
		return false;
	}
	if (top_model_update(b->m, f)) {
		top_say("no memory");
		b->status = TOP_EXIT_FAILED;
		return false;
	}
	return true;
}

/* Until @until, unless there is a signal. */
static void wait_until(struct batch *b, uint64_t until)
{
	while (b->collector && !b->quit && top_now_ns() < until) {
		uint64_t tick = top_now_ns() + top_collect_tick_ms(b->collector) * 1000000ull;
		unsigned int signals;

		(void)top_wait(NULL, 0, VU_MIN(tick, until), &signals);
		take_signals(b, signals);
		top_collect_tick(b->collector);
	}
}

/*
 * A few looks and not one: what stands still has to do so for the patience one has.  The
 * first of them shows who stands still, the second looks closer.
 */
static void look_long_enough(struct batch *b)
{
	uint64_t patience = VU_MAX(b->s->model.patience_ns, VU__OBS_PATIENCE_NS), start;
	double parts[] = {0, 0.1, 0.7, 1.3};

	if (b->replay) {
		while (look(b))
			;
		return;
	}
	start = top_now_ns();
	for (size_t i = 0; i < VU_ARRAY_SIZE(parts) && !b->quit; i++) {
		wait_until(b, start + (uint64_t)(patience * parts[i]));
		if (!b->quit && !look(b))
			b->quit = true;
	}
}

static void look_again_and_again(struct batch *b)
{
	const struct top_settings *s = b->s;
	uint64_t start = top_now_ns(), next = start;

	while (!b->quit && look(b)) {
		write_sample(b);
		if (b->written == s->count)
			break;
		/* Late is late: what has been missed is not made up for. */
		next += s->interval_ns;
		next = VU_MAX(next, top_now_ns());
		if (next >= b->end_ns)
			break;
		wait_until(b, next);
	}
}

/* What is said by the exit status if nothing was asked of it. */
static void judge_emptiness(struct batch *b)
{
	const struct top_settings *s = b->s;
	size_t n = 0;

	if (b->status || !b->m->frame || b->replay)
		return;
	for (uint32_t i = 0; i < b->m->nqueues; i++)
		n += top_filter_fits(s->filter, b->m->queues[i]);
	if (n)
		return;
	if (!b->m->nqueues && b->m->frame->snap->trouble[0]) {
		top_say("%s", b->m->frame->snap->trouble);
		b->status = TOP_EXIT_PERMISSION;
	} else if (s->pids || s->vm || s->device) {
		top_say("there is no such queue");
		b->status = TOP_EXIT_NOT_FOUND;
	}
}

static void run(struct batch *b)
{
	const struct top_settings *s = b->s;
	bool once = s->once || s->mode == TOP_MODE_CHECK ||
		    (s->mode == TOP_MODE_METRICS && !s->metrics_path && !s->count);

	if (!once) {
		look_again_and_again(b);
		return;
	}
	look_long_enough(b);
	if (s->mode == TOP_MODE_CHECK)
		b->status = b->m->frame ? check(b) : TOP_CHECK_UNKNOWN;
	else if (b->m->frame && !b->quit)
		write_sample(b);
	if (s->mode != TOP_MODE_CHECK)
		judge_emptiness(b);
}

int top_run_batch(struct top_settings *s)
{
	struct batch b = {.s = s, .m = top_make_model(s), .end_ns = UINT64_MAX};
	bool is_check = s->mode == TOP_MODE_CHECK;
	int ret;

	if (!b.m)
		return is_check ? TOP_CHECK_UNKNOWN : TOP_EXIT_FAILED;
	top_signals_init(false);
	if (gethostname(b.host, sizeof(b.host) - 1))
		b.host[0] = '\0';
	ret = open_all(&b);
	if (!ret) {
		make_want(&b);
		if (s->duration_ns)
			b.end_ns = top_now_ns() + s->duration_ns;
		run(&b);
		ret = b.status;
	} else if (is_check) {
		ret = TOP_CHECK_UNKNOWN;
	}
	top_collector_free(b.collector);
	top_replay_free(b.replay);
	if (top_recorder_free(b.recorder) && !ret)
		ret = TOP_EXIT_FAILED;
	top_want_release(&b.want);
	top_model_free(b.m);
	return ret;
}
