/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-top on a screen: frames, keys and signals in, pictures out.  The main thread; frames
 * are collected by another (sampler.c), or read from a recording here.
 */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vu-top/record.h"
#include "vu-top/run.h"
#include "vu-top/sampler.h"
#include "vu-top/screen.h"
#include "vu-top/ui.h"

/* So much of a recording is looked at again before a frame one jumps to. */
#define WARM_UP_FRAMES 90

struct loop {
	struct top_settings *s;
	struct top_model *m;
	struct top_ui ui;
	struct top_sampler *sampler;   /* NULL: a recording is shown */
	struct top_replay *replay;     /* NULL: it is live */
	struct top_recorder *recorder; /* NULL: nothing is recorded */
	struct top_canvas canvas;
	struct top_scene scene;
	char host[65];
	uint64_t next_ns; /* the next frame of a recording is due */
	uint64_t end_ns;
	int status;
	bool quit, dirty, redraw, was_paused;
};

/* --- setting up --- */

static bool locale_is_utf8(enum vu__obs_tri wanted)
{
	setlocale(LC_CTYPE, "");
	if (wanted == VU__OBS_NO)
		return false;
	if (!strcmp(nl_langinfo(CODESET), "UTF-8"))
		return true;
	return wanted == VU__OBS_YES && setlocale(LC_CTYPE, "C.UTF-8");
}

static bool wants_colours(const struct top_settings *s)
{
	const char *no = getenv("NO_COLOR");

	if (s->colour != TOP_COLOUR_AUTO)
		return s->colour == TOP_COLOUR_ALWAYS;
	return !no || !*no;
}

static int utc_offset(void)
{
	time_t now = time(NULL);
	struct tm tm;

	return localtime_r(&now, &tm) ? tm.tm_gmtoff : 0;
}

static void set_up_ui(struct loop *l)
{
	const struct top_settings *s = l->s;
	struct top_ui *ui = &l->ui;
	char why[100];

	top_ui_init(ui);
	ui->interval_ns = s->interval_ns;
	ui->view = s->view;
	ui->flat = s->flat;
	ui->units = s->out.units;
	ui->ncolumns = s->out.nfields;
	memcpy(ui->columns, s->out.fields, sizeof(ui->columns));
	if (s->order.key[0])
		ui->order = s->order;
	if (s->filter)
		ui->filter = top_filter_parse(top_filter_text(s->filter), why, sizeof(why));
	ui->recording = s->record;
	if (gethostname(l->host, sizeof(l->host) - 1))
		l->host[0] = '\0';
	l->scene = (struct top_scene){l->m, ui, l->host, utc_offset()};
}

static int open_source(struct loop *l)
{
	char why[200];

	if (l->s->replay) {
		l->replay = top_replay_open(l->s->replay, why, sizeof(why));
		if (!l->replay) {
			top_say("%s: %s", l->s->replay, why);
			return errno == ENOENT ? TOP_EXIT_NOT_FOUND : TOP_EXIT_CORRUPT;
		}
		l->ui.replaying = true;
		l->ui.frames = top_replay_frames(l->replay);
		if (top_replay_trouble(l->replay)[0])
			top_ui_say(&l->ui, true, "%s", top_replay_trouble(l->replay));
		return 0;
	}
	if (l->s->record) {
		l->recorder = top_recorder_new(l->s->record, l->s->record_limit);
		if (!l->recorder) {
			top_say("%s: %s", l->s->record, strerror(errno));
			return TOP_EXIT_FAILED;
		}
	}
	l->sampler = top_sampler_new(&l->s->sample, l->s->interval_ns);
	if (!l->sampler)
		top_say("%s", strerror(errno));
	return l->sampler ? 0 : TOP_EXIT_FAILED;
}

/* --- frames --- */

static void want(struct loop *l)
{
	struct top_want w;

	if (!l->sampler || top_ui_want(&l->ui, l->m, l->s->latency, &w))
		return;
	if (l->recorder)
		w.events_all = true;
	top_sampler_want(l->sampler, &w);
}

static void record(struct loop *l, const struct top_frame *f)
{
	int ret = l->recorder ? top_recorder_add(l->recorder, f) : 0;

	if (!ret)
		return;
	top_ui_say(&l->ui, true, "%s: %s; nothing more is recorded", l->s->record, strerror(-ret));
	(void)top_recorder_free(l->recorder);
	l->recorder = NULL;
	l->ui.recording = false;
	l->status = TOP_EXIT_FAILED;
}

static void take(struct loop *l, struct top_frame *f)
{
	if (top_model_update(l->m, f))
		top_ui_say(&l->ui, true, "no memory");
	top_ui_update(&l->ui, l->m);
	l->dirty = true;
}

static void take_live(struct loop *l)
{
	int error;
	struct top_frame *f = top_sampler_take(l->sampler, &error);

	if (error)
		top_ui_say(&l->ui, true, "%s", strerror(-error));
	if (!f)
		return;
	record(l, f);
	take(l, f);
	want(l);
}

/* --- recordings --- */

static bool show_frame(struct loop *l, size_t number)
{
	struct top_frame *f;
	int ret = top_replay_read(l->replay, number, &f);

	if (ret) {
		top_ui_say(&l->ui, true, "frame %zu cannot be read: %s", number + 1,
			   ret == -EBADMSG ? "damaged" : strerror(-ret));
		l->ui.paused = true;
		return false;
	}
	l->ui.frame_number = number;
	take(l, f);
	return true;
}

static uint64_t pace(const struct loop *l, size_t number)
{
	uint64_t a = top_replay_time(l->replay, number), b = top_replay_time(l->replay, number + 1);

	/* A night without a frame need not be waited for. */
	return b > a ? VU_MIN(b - a, 2000000000u) : 100000000u;
}

static void step(struct loop *l)
{
	if (l->ui.frame_number + 1 >= l->ui.frames) {
		l->ui.paused = true;
		top_ui_say(&l->ui, false, "This is the last frame.");
		l->dirty = true;
		return;
	}
	show_frame(l, l->ui.frame_number + 1);
	l->next_ns = top_now_ns() + pace(l, l->ui.frame_number);
}

/* Frames before it are gone through too: verdicts and curves rest on them. */
static void jump(struct loop *l, size_t number)
{
	number = VU_MIN(number, l->ui.frames - 1);
	top_model_restart(l->m);
	for (size_t i = number > WARM_UP_FRAMES ? number - WARM_UP_FRAMES : 0; i <= number; i++) {
		if (!show_frame(l, i))
			break;
	}
	l->next_ns = top_now_ns() + pace(l, l->ui.frame_number);
}

static void jump_by(struct loop *l, double seconds)
{
	double now = top_replay_time(l->replay, l->ui.frame_number);

	jump(l, top_replay_find(l->replay, VU_MAX(0, now + seconds * 1e9)));
}

/* "HH:MM[:SS]" of the day of the recording's first frame, or "+1m". */
static void seek(struct loop *l)
{
	const char *text = l->ui.input + strspn(l->ui.input, " ");
	uint64_t first = top_replay_time(l->replay, 0);
	unsigned int h, min, sec = 0;
	double ns;

	if ((*text == '+' || *text == '-') &&
	    top_parse_number(text + 1, strlen(text + 1), TOP_TIME, &ns)) {
		jump_by(l, *text == '-' ? -ns / 1e9 : ns / 1e9);
	} else if (sscanf(text, "%2u:%2u:%2u", &h, &min, &sec) >= 2 && h < 24 && min < 60) {
		time_t day = first / 1000000000u + l->scene.utc_offset;
		time_t t = day - day % 86400 + h * 3600 + min * 60 + sec;

		/* Before it began must be the day after. */
		if (t < day)
			t += 86400;
		jump(l, top_replay_find(l->replay,
					(t - l->scene.utc_offset) * 1000000000ull + 999999999u));
	} else {
		top_ui_say(&l->ui, true, "'%.40s' is not a time, such as 14:03:00 or +5m.", text);
	}
}

/* --- what keys ask for --- */

static void export(struct loop *l)
{
	const char *path = l->ui.input, *dot = strrchr(path, '.');
	struct top_out_options o = l->s->out;
	FILE *f = fopen(path, "we");
	int ret;

	if (!f) {
		top_ui_say(&l->ui, true, "%.100s: %s", path, strerror(errno));
		return;
	}
	o.filter = l->ui.filter;
	o.order = &l->ui.order;
	o.host = l->host;
	if (dot && !strcmp(dot, ".json"))
		top_out_json(l->m, &o, f);
	else
		top_canvas_write(&l->canvas, TOP_MONO, false, f);
	ret = ferror(f) ? -EIO : 0;
	if (fclose(f))
		ret = -errno;
	top_ui_say(&l->ui, ret, "%.100s: %s", path, ret ? strerror(-ret) : "written");
}

static void save(struct loop *l)
{
	char path[512];
	int ret = top_config_save(&l->ui, path, sizeof(path));

	if (ret)
		top_ui_say(&l->ui, true, "The configuration could not be saved: %s",
			   strerror(-ret));
	else
		top_ui_say(&l->ui, false, "Saved to %.120s", path);
}

static void copy(struct loop *l)
{
	struct top_queue *t = top_ui_queue(&l->ui, l->m);
	char name[160];

	if (!t)
		return;
	top_queue_name(t, name, sizeof(name));
	top_screen_copy(name);
	l->redraw = true;
	top_ui_say(&l->ui, false, "%s", name);
}

static void do_replay(struct loop *l, unsigned int todo)
{
	if (todo & TOP_DO_STEP)
		step(l);
	if (todo & TOP_DO_STEP_BACK && l->ui.frame_number)
		jump(l, l->ui.frame_number - 1);
	if (todo & TOP_DO_JUMP)
		jump_by(l, 60);
	if (todo & TOP_DO_JUMP_BACK)
		jump_by(l, -60);
	if (todo & TOP_DO_SEEK)
		seek(l);
}

static void do_all(struct loop *l, unsigned int todo)
{
	if (todo & TOP_DO_QUIT)
		l->quit = true;
	if (todo & TOP_DO_REDRAW)
		l->redraw = true;
	if (todo & TOP_DO_EXPORT)
		export(l);
	if (todo & TOP_DO_SAVE)
		save(l);
	if (todo & TOP_DO_COPY)
		copy(l);
	if (l->replay)
		do_replay(l, todo);
	top_ui_update(&l->ui, l->m);
	if (!l->sampler)
		return;
	want(l);
	if (todo & TOP_DO_INTERVAL)
		top_sampler_interval(l->sampler, l->ui.interval_ns);
	if (l->ui.paused != l->was_paused)
		top_sampler_pause(l->sampler, l->ui.paused);
	if (todo & TOP_DO_SAMPLE && !l->ui.paused)
		top_sampler_now(l->sampler);
	l->was_paused = l->ui.paused;
}

static void take_keys(struct loop *l)
{
	bool ended = false;
	uint32_t key;

	while (!l->quit && (key = top_screen_key(&ended))) {
		do_all(l, top_ui_key(&l->ui, l->m, key));
		l->dirty = true;
	}
	if (ended)
		l->quit = true;
}

/* --- drawing --- */

static void fit_canvas(struct loop *l)
{
	unsigned int rows, cols;

	top_screen_size(&rows, &cols);
	if (l->canvas.rows == rows && l->canvas.cols == cols)
		return;
	top_canvas_release(&l->canvas);
	if (top_canvas_init(&l->canvas, rows, cols, l->ui.utf8))
		l->quit = true;
}

static void draw_waiting(struct loop *l)
{
	top_canvas_clear(&l->canvas);
	top_put(&l->canvas, 0, 0, l->canvas.cols, TOP_DIM, "Looking at this host ...");
}

static void draw(struct loop *l)
{
	l->dirty = false;
	fit_canvas(l);
	if (!l->canvas.cells)
		return;
	if (l->m->frame)
		top_view_draw(&l->canvas, &l->scene);
	else
		draw_waiting(l);
	top_screen_show(&l->canvas, l->ui.colours, l->redraw);
	l->redraw = false;
}

/* --- turning --- */

static void stop_for_a_while(struct loop *l)
{
	top_screen_suspend();
	raise(SIGSTOP);
	top_screen_resume();
	l->redraw = l->dirty = true;
}

static void take_signals(struct loop *l, unsigned int signals)
{
	if (signals & (TOP_SIG_END | TOP_SIG_HANGUP))
		l->quit = true;
	if (signals & TOP_SIG_STOP)
		stop_for_a_while(l);
	if (signals & (TOP_SIG_RESIZE | TOP_SIG_CONT))
		l->dirty = true;
	if (signals & TOP_SIG_CONT)
		l->redraw = true;
	if (signals & TOP_SIG_REPORT && l->sampler)
		top_sampler_now(l->sampler);
}

static void turn(struct loop *l)
{
	struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
				{.fd = l->sampler ? top_sampler_fd(l->sampler) : -1,
				 .events = POLLIN}};
	uint64_t until = l->end_ns;
	unsigned int signals;

	if (l->replay && !l->ui.paused)
		until = VU_MIN(until, l->next_ns);
	if (top_wait(fds, 2, until, &signals) < 0)
		l->quit = true;
	take_signals(l, signals);
	if (fds[1].revents)
		take_live(l);
	if (l->replay && !l->ui.paused && top_now_ns() >= l->next_ns)
		step(l);
	/* ncurses may have read more than one key. */
	if (fds[0].revents)
		take_keys(l);
	if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL) || top_now_ns() >= l->end_ns)
		l->quit = true;
	if (l->dirty || l->redraw)
		draw(l);
}

static int open_screen(struct loop *l)
{
	bool utf8 = locale_is_utf8(l->s->utf8);
	char why[200];
	int ret = top_screen_open(utf8, wants_colours(l->s), why, sizeof(why));

	if (ret) {
		top_say("%s", why);
		return ret == -ENOTTY ? TOP_EXIT_USAGE : TOP_EXIT_UNSUPPORTED;
	}
	l->ui.utf8 = utf8;
	l->ui.colours = !top_screen_has_colours() ? TOP_MONO
			: l->s->light		  ? TOP_COLOURS_LIGHT
						  : TOP_COLOURS;
	return 0;
}

static void clean_up(struct loop *l)
{
	int ret;

	top_screen_close();
	top_sampler_free(l->sampler);
	top_replay_free(l->replay);
	ret = top_recorder_free(l->recorder);
	if (ret)
		top_say("%s: %s", l->s->record, strerror(-ret));
	top_canvas_release(&l->canvas);
	top_ui_release(&l->ui);
	top_model_free(l->m);
}

int top_run_screen(struct top_settings *s)
{
	struct loop l = {.s = s, .m = top_make_model(s), .end_ns = UINT64_MAX, .dirty = true};
	int ret;

	if (!l.m)
		return TOP_EXIT_FAILED;
	set_up_ui(&l);
	ret = open_source(&l);
	if (!ret) {
		/* Before ncurses, which would take them for itself. */
		top_signals_init(true);
		ret = open_screen(&l);
	}
	if (ret) {
		clean_up(&l);
		return ret;
	}
	if (s->duration_ns)
		l.end_ns = top_now_ns() + s->duration_ns;
	if (l.replay)
		jump(&l, 0);
	want(&l);
	draw(&l);
	while (!l.quit)
		turn(&l);
	ret = l.status;
	clean_up(&l);
	return ret;
}
