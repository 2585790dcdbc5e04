/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the person at the terminal has chosen: which view, where in it, sorted and
 * filtered how.  Keys change it (keys.c), views are drawn by it (view.c).  Pure.
 */
#ifndef VU_TOP_UI_H
#define VU_TOP_UI_H

#include "vu-top/alert.h"
#include "vu-top/cells.h"
#include "vu-top/collect.h"
#include "vu-top/out.h"

enum top_view {
	TOP_VIEW_QUEUES,
	TOP_VIEW_DEVICES,
	TOP_VIEW_THREADS,
	TOP_VIEW_HEAT,
	TOP_VIEW_MEMORY,
	TOP_VIEW_MIGRATION,
	TOP_VIEW_EVENTS,
	TOP_VIEW_ALERTS,
	TOP_VIEWS,
	TOP_VIEW_DETAIL = TOP_VIEWS, /* not among those one goes round */
	TOP_VIEW_HELP,
	TOP_VIEW_SORT,	 /* choosing what to sort by */
	TOP_VIEW_FIELDS, /* choosing columns */
	TOP_ALL_VIEWS
};

extern const char *const top_view_names[TOP_VIEWS];

/* A line of the list of queues: a queue, or what some are grouped under. */
struct top_line {
	enum { TOP_LINE_PROCESS, TOP_LINE_DEVICE, TOP_LINE_QUEUE } what;
	struct top_key key;	 /* as far as it says what the line is */
	struct top_queue *t;	 /* the queue; of a group, the worst below, or NULL */
	uint32_t proc, dev;	 /* places in the snapshot; dev UINT32_MAX: several */
	uint32_t nbelow;	 /* queues below */
	bool folded;
	double requests, in, out; /* of all below, a second; TOP_UNKNOWN */
};

enum top_prompt {
	TOP_PROMPT_NONE,
	TOP_PROMPT_SEARCH,
	TOP_PROMPT_FILTER,
	TOP_PROMPT_INTERVAL,
	TOP_PROMPT_EXPORT,
	TOP_PROMPT_SEEK,
};

/* Whose events and latencies are shown. */
enum top_scope { TOP_SCOPE_QUEUE, TOP_SCOPE_DEVICE, TOP_SCOPE_ALL };

#define TOP_INPUT 256

struct top_ui {
	enum top_view view;
	enum top_view back; /* where to go from detail, help and choosing */
	/* The list of queues. */
	bool flat;
	bool stay; /* the cursor stays on its line, not on its queue */
	struct top_order order;
	struct top_filter *filter; /* NULL: everything */
	unsigned int ncolumns;	   /* 0: those the width suggests */
	const struct top_field *columns[TOP_MAX_FIELDS];
	size_t nlines, room;
	struct top_line *lines;
	size_t nhidden; /* queues that do not fit the filter */
	struct top_queue **sorted; /* room for all queues */
	size_t nsorted;
	struct {
		bool set; /* somebody has moved it: until then it is on the first queue */
		int what;
		struct top_key key;
	} cursor; /* the line it is on */
	size_t nfolded;
	struct {
		int what;
		struct top_key key;
	} *folded;
	/* Where each view is: its line, the first that is seen, how many there are. */
	size_t at[TOP_ALL_VIEWS], first[TOP_ALL_VIEWS], length[TOP_ALL_VIEWS];
	size_t page; /* lines there is room for */
	/* Of the queue looked at. */
	struct top_key queue;
	enum top_series chart[3];
	unsigned int window; /* seconds a chart shows */
	enum vu__obs_latency latency;
	enum top_scope scope;
	enum top_show show;
	enum top_units units;
	enum top_colours colours;
	bool utf8;
	bool paused;
	uint64_t interval_ns;
	enum top_prompt prompt;
	char input[TOP_INPUT];
	char search[TOP_INPUT];
	char message[160]; /* of the last key; "" */
	bool complaint;	   /* it is about something that went wrong */
	/* Of a recording. */
	bool replaying;
	size_t frame_number, frames;
	bool recording;
};

void top_ui_init(struct top_ui *ui);
void top_ui_release(struct top_ui *ui);

/* Makes the lines of the list from the model, and finds the cursor in them. */
void top_ui_update(struct top_ui *ui, const struct top_model *m);

/*
 * What has to be collected for what is on the screen; to be released.  @latency: as
 * --latency and --no-latency say.  0 or -ENOMEM.
 */
VU_MUST_CHECK int top_ui_want(const struct top_ui *ui, const struct top_model *m,
			      enum vu__obs_tri latency, struct top_want *want);

/* What outputs and alerts need, whatever is shown. */
void top_want_for_filters(const struct top_model *m, const struct top_filter *filter,
			  enum vu__obs_tri latency, struct top_want *want);

/* The queue the cursor is on, or in whose detail one is; NULL: none. */
struct top_queue *top_ui_queue(const struct top_ui *ui, const struct top_model *m);

/* The device of that, or of the line the cursor is on; NULL: none. */
struct top_device *top_ui_device(const struct top_ui *ui, const struct top_model *m);

/* Whether a group is folded; and to fold it or unfold it. */
bool top_ui_folds(const struct top_ui *ui, int what, const struct top_key *key);
void top_ui_fold(struct top_ui *ui, const struct top_line *line, bool fold);

/* Sets a message for the person; shown until the next key. */
void top_ui_say(struct top_ui *ui, bool complaint, const char *fmt, ...) VU_PRINTF(3, 4);

/* --- keys: keys.c --- */

enum {
	TOP_KEY_UP = 0x110000, /* beyond all characters */
	TOP_KEY_DOWN,
	TOP_KEY_LEFT,
	TOP_KEY_RIGHT,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_ENTER,
	TOP_KEY_ESCAPE,
	TOP_KEY_TAB,
	TOP_KEY_BACK_TAB,
	TOP_KEY_BACKSPACE,
	TOP_KEY_DELETE,
	TOP_KEY_F0, /* F1 is F0 + 1 */
	TOP_KEY_F_LAST = TOP_KEY_F0 + 12,
};

/* What else is to be done about a key. */
enum {
	TOP_DO_QUIT = 1 << 0,
	TOP_DO_SAMPLE = 1 << 1,	  /* look again at once */
	TOP_DO_REDRAW = 1 << 2,	  /* the whole screen: something has spoilt it */
	TOP_DO_INTERVAL = 1 << 3, /* interval_ns has changed */
	TOP_DO_EXPORT = 1 << 4,	  /* the screen, into the file in input */
	TOP_DO_SAVE = 1 << 5,	  /* the configuration */
	TOP_DO_COPY = 1 << 6,	  /* the queue's name, to the terminal's clipboard */
	TOP_DO_STEP = 1 << 7,	  /* a frame of the recording on, or back */
	TOP_DO_STEP_BACK = 1 << 8,
	TOP_DO_JUMP = 1 << 9, /* a minute on, or back */
	TOP_DO_JUMP_BACK = 1 << 10,
	TOP_DO_SEEK = 1 << 11, /* to the time in input */
};

/* TOP_DO_*. */
unsigned int top_ui_key(struct top_ui *ui, struct top_model *m, uint32_t key);

/* --- drawing: view.c --- */

struct top_scene {
	const struct top_model *m; /* has a frame */
	struct top_ui *ui;	   /* where views are is brought into bounds */
	const char *host;
	int utc_offset; /* seconds, of the local time */
};

/* Draws all of the screen. */
void top_view_draw(struct top_canvas *c, const struct top_scene *s);

#endif
