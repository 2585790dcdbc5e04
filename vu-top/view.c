/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The screen around the views: what is where, how the host is, what is worst.  Pure. */
#include "vu-top/view.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- pieces --- */

uint8_t top_severity_style(enum vu__obs_severity severity)
{
	static const uint8_t styles[] = {
		[VU__OBS_OK] = TOP_DIM,
		[VU__OBS_INFO] = TOP_INFO,
		[VU__OBS_WARNING] = TOP_WARNING,
		[VU__OBS_CRITICAL] = TOP_CRITICAL,
	};

	return severity < VU__OBS_SEVERITIES ? styles[severity] : TOP_NORMAL;
}

char top_severity_mark(enum vu__obs_severity severity)
{
	return severity == VU__OBS_CRITICAL  ? '!'
	       : severity == VU__OBS_WARNING ? 'w'
	       : severity == VU__OBS_INFO    ? 'i'
					     : ' ';
}

void top_clock(const struct top_scene *s, uint64_t real_ns, char *out, size_t size)
{
	time_t t = real_ns / 1000000000u + s->utc_offset;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, size, "%H:%M:%S", &tm);
}

uint64_t top_real_of(const struct top_scene *s, uint64_t mono_ns)
{
	const struct vu__obs_snapshot *snap = s->m->frame->snap;

	return snap->real_ns + mono_ns - snap->mono_ns;
}

void top_device_title(const struct top_scene *s, const struct vu__obs_device *d, char *out,
		      size_t size)
{
	const struct vu__obs_process *vmm = vu__obs_vmm_of(s->m->frame->snap, d);
	char vm[64], device[64];

	top_device_name(d, device, sizeof(device));
	top_vm_name(vmm, vm, sizeof(vm));
	snprintf(out, size, "%s%s%s", vmm ? vm : "", vmm ? "/" : "", device);
}

/* --- the top --- */

static void put_tabs(struct top_canvas *c, const struct top_scene *s)
{
	static const char *const full[TOP_VIEWS] = {"Queues", "Devices",   "Threads", "Latency",
						    "Memory", "Migration", "Events",  "Alerts"};
	static const char *const brief[TOP_VIEWS] = {"Que", "Dev", "Thr", "Lat",
						     "Mem", "Mig", "Evt", "Alr"};
	const char *const *names = c->cols >= 92 ? full : brief;
	unsigned int now = s->ui->view < TOP_VIEWS ? s->ui->view : s->ui->back;
	unsigned int col = 1, room = c->cols > 9 ? c->cols - 9 : 0;

	for (unsigned int v = 0; v < TOP_VIEWS; v++) {
		unsigned int w = strlen(names[v]) + 3;
		uint8_t style = v == now ? TOP_NORMAL : TOP_BAR;

		if (col + w > room) {
			/* The one that is shown must be named, whatever room there is. */
			if (v > now)
				break;
			top_fill(c, 0, 1, room, TOP_BAR, ' ');
			top_printf(c, 0, 1, room, TOP_NORMAL, " %u%s ", now + 1, names[now]);
			break;
		}
		col = top_printf(c, 0, col, room, style, " %u%s ", v + 1, names[v]);
	}
}

static void put_bar(struct top_canvas *c, const struct top_scene *s)
{
	char clock[16];

	top_fill(c, 0, 0, c->cols, TOP_BAR, ' ');
	put_tabs(c, s);
	top_clock(s, s->m->frame->snap->real_ns, clock, sizeof(clock));
	if (c->cols >= 20)
		top_put(c, 0, c->cols - 9, c->cols, TOP_BAR, clock);
}

static unsigned int count(struct top_canvas *c, unsigned int row, unsigned int col,
			  unsigned int n, uint8_t style, const char *what)
{
	return top_printf(c, row, col, c->cols, n ? style : TOP_DIM, n ? " %u %s " : "%u %s", n,
			  what);
}

/* What is done, from what one must know to what is nice to know; as much as there is room
 * for. */
static void put_doing(struct top_canvas *c, const struct top_scene *s, unsigned int col)
{
	const struct top_ui *ui = s->ui;
	const struct top_model *m = s->m;
	char words[5][40] = {{0}}, every[16], cpu[16], text[200] = "";
	size_t n = 0, len = 0;

	top_format_ns(every, sizeof(every), ui->interval_ns);
	top_format_percent(cpu, sizeof(cpu), m->self_cpu);
	if (ui->paused)
		snprintf(words[n++], sizeof(words[0]), "PAUSED");
	if (ui->replaying)
		snprintf(words[n++], sizeof(words[0]), "replay %zu/%zu", ui->frame_number + 1,
			 ui->frames);
	if (ui->recording)
		snprintf(words[n++], sizeof(words[0]), "REC");
	if (ui->show != TOP_RATES)
		snprintf(words[n++], sizeof(words[0]), "%s",
			 ui->show == TOP_TOTALS ? "totals" : "since mark");
	if (!ui->paused)
		snprintf(words[n++], sizeof(words[0]), "every %s", every);
	if (n < VU_ARRAY_SIZE(words) && top_known(m->self_cpu) && !ui->replaying)
		snprintf(words[n++], sizeof(words[0]), "cpu %s", cpu);
	for (size_t i = 0; i < n && col + len + strlen(words[i]) + 1 < c->cols; i++)
		len += snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "", words[i]);
	top_put(c, 1, c->cols - len, c->cols, ui->paused ? TOP_WARNING : TOP_DIM, text);
}

static void put_summary(struct top_canvas *c, const struct top_scene *s)
{
	const struct top_model *m = s->m;
	double requests = 0;
	unsigned int col = 0;
	char rate[16];

	for (uint32_t i = 0; i < m->ndevices; i++)
		requests += m->devices[i]->requests;
	top_format_count(rate, sizeof(rate), m->dt ? requests : TOP_UNKNOWN);
	if (s->host && c->cols >= 60)
		col = top_printf(c, 1, 0, 24, TOP_STRONG, "%s", s->host) + 2;
	col = count(c, 1, col, m->by_severity[VU__OBS_CRITICAL], TOP_CRITICAL, "stuck") + 1;
	col = count(c, 1, col, m->by_severity[VU__OBS_WARNING], TOP_WARNING,
		    m->by_severity[VU__OBS_WARNING] == 1 ? "warning" : "warnings") +
	      2;
	col = top_printf(c, 1, col, c->cols, TOP_NORMAL, "%u queues", m->nqueues);
	if (c->cols >= 60)
		col = top_printf(c, 1, col, c->cols, TOP_NORMAL, " of %u devices", m->ndevices);
	if (c->cols >= 70)
		col = top_printf(c, 1, col, c->cols, TOP_NORMAL, ", %s req/s", rate);
	if (c->cols >= 60)
		put_doing(c, s, col + 2);
}

/* --- what is worst: the one thing to be read --- */

static const struct top_queue *worst_of(const struct top_model *m, unsigned int *others)
{
	const struct top_queue *worst = NULL;
	unsigned int n = 0;

	for (uint32_t i = 0; i < m->nqueues; i++) {
		const struct top_queue *t = m->queues[i];

		if (t->verdict.severity < VU__OBS_WARNING)
			continue;
		n++;
		if (!worst || t->verdict.severity > worst->verdict.severity ||
		    (t->verdict.severity == worst->verdict.severity && t->oldest > worst->oldest))
			worst = t;
	}
	*others = n ? n - 1 : 0;
	return worst;
}

/* The rows it took. */
static unsigned int put_worst(struct top_canvas *c, const struct top_scene *s, unsigned int row,
			      unsigned int most)
{
	unsigned int col, used = 1, others, end = c->cols;
	const struct top_queue *t = worst_of(s->m, &others);
	char name[160], more[32], what[160];
	uint8_t style;

	if (!t || !most)
		return 0;
	style = top_severity_style(t->verdict.severity);
	top_queue_name(t, name, sizeof(name));
	snprintf(more, sizeof(more), "(%u more: !)", others);
	if (others && c->cols >= 60) {
		end -= strlen(more) + 1;
		top_put(c, row, end + 1, c->cols, style, more);
	}
	col = top_printf(c, row, 0, end, style, " %s ", vu__obs_verdicts[t->verdict.id].name);
	col = top_printf(c, row, col + 1, end, TOP_STRONG, "%s", name);
	snprintf(what, sizeof(what), ": %s", vu__obs_verdicts[t->verdict.id].summary);
	if (col < end)
		top_put_field(c, row, col, end - col, false, TOP_NORMAL, what);
	if (used < most)
		used += top_put_wrapped(c, row + used, 1, c->cols, VU_MIN(most - used, 2u),
					TOP_NORMAL, t->verdict.evidence);
	if (used < most && t->verdict.next[0]) {
		char next[200];

		snprintf(next, sizeof(next), "Next: %s", t->verdict.next);
		used += top_put_wrapped(c, row + used, 1, c->cols, VU_MIN(most - used, 2u),
					TOP_STRONG, next);
	}
	return used;
}

/* What could not be seen, and why. */
static unsigned int put_trouble(struct top_canvas *c, const struct top_scene *s,
				unsigned int row)
{
	const char *text = s->m->frame->snap->trouble;

	if (!*text)
		text = s->m->frame->trouble;
	if (!*text || c->rows < 8)
		return 0;
	top_put_field(c, row, 0, c->cols, false, TOP_WARNING, text);
	return 1;
}

/* --- the bottom --- */

struct hint {
	const char *key, *what;
};

static const struct hint *hints_of(const struct top_ui *ui)
{
	static const struct hint lists[] = {
		{"?", "Help"},	  {"Enter", "Look"}, {"Tab", "View"}, {"/", "Search"},
		{"\\", "Filter"}, {"F6", "Sort"},    {"Space", "Tag"}, {"Z", "Pause"},
		{"q", "Quit"},	  {NULL, NULL}};
	static const struct hint others[] = {{"?", "Help"},   {"Tab", "View"}, {"a", "Whose"},
					     {"l", "Which"},  {"Z", "Pause"},  {"x", "Export"},
					     {"q", "Quit"},   {NULL, NULL}};
	static const struct hint detail[] = {
		{"Esc", "Back"},   {"Up/Down", "Scroll"}, {"c", "Curves"}, {"w", "Window"},
		{"n/p", "Next queue"}, {"?", "Help"},	  {"q", "Quit"},   {NULL, NULL}};
	static const struct hint choosing[] = {
		{"Enter", "Choose"}, {"Space", "Second, or column"}, {"Esc", "Back"}, {NULL, NULL}};
	static const struct hint replay[] = {
		{"?", "Help"},	{"Z", "Run/Pause"}, {"[ ]", "Step"}, {"{ }", "Minute"},
		{"g", "Go to"}, {"Tab", "View"},    {"q", "Quit"},   {NULL, NULL}};

	if (ui->view == TOP_VIEW_SORT || ui->view == TOP_VIEW_FIELDS)
		return choosing;
	if (ui->view == TOP_VIEW_DETAIL || ui->view == TOP_VIEW_HELP)
		return detail;
	if (ui->replaying)
		return replay;
	return ui->view == TOP_VIEW_HEAT || ui->view == TOP_VIEW_EVENTS ? others : lists;
}

static void put_prompt(struct top_canvas *c, const struct top_ui *ui)
{
	static const char *const words[] = {
		[TOP_PROMPT_NONE] = "",
		[TOP_PROMPT_SEARCH] = "Search: ",
		[TOP_PROMPT_FILTER] = "Filter (as health!=ok vm=web* p99>1ms): ",
		[TOP_PROMPT_INTERVAL] = "Look every: ",
		[TOP_PROMPT_EXPORT] = "Export to (.txt, .json): ",
		[TOP_PROMPT_SEEK] = "Go to (HH:MM:SS, or +1m, -30s): ",
	};
	const char *word = c->cols >= 60 || ui->prompt != TOP_PROMPT_FILTER ? words[ui->prompt]
									     : "Filter: ";
	unsigned int row = c->rows - 1, room, width = top_text_width(ui->input), col;
	const char *input = ui->input;

	top_fill(c, row, 0, c->cols, TOP_NORMAL, ' ');
	col = top_put(c, row, 0, c->cols, TOP_STRONG, word);
	room = c->cols > col + 1 ? c->cols - col - 1 : 1;
	/* The end is where one types. */
	while (width > room && *input) {
		uint32_t ch;

		input += utf8_get(input, strlen(input), &ch);
		width = top_text_width(input);
	}
	col = top_put(c, row, col, c->cols, TOP_NORMAL, input);
	top_put_char(c, row, col, TOP_NORMAL | TOP_SELECTED, ' ');
}

static void put_hints(struct top_canvas *c, const struct top_ui *ui)
{
	unsigned int row = c->rows - 1, col = 0, end = c->cols;
	char text[200];

	top_fill(c, row, 0, c->cols, TOP_NORMAL, ' ');
	if (ui->filter) {
		/* That something is not shown matters more than all keys. */
		snprintf(text, sizeof(text), "filter: %s (%zu hidden)", top_filter_text(ui->filter),
			 ui->nhidden);
		end = c->cols / 3;
	}
	for (const struct hint *h = hints_of(ui); h->key; h++) {
		if (col + strlen(h->key) + strlen(h->what) + 1 > end)
			break;
		col = top_put(c, row, col, end, TOP_KEY, h->key);
		col = top_put(c, row, col, end, TOP_NORMAL, ":");
		col = top_put(c, row, col, end, TOP_NORMAL, h->what) + 1;
	}
	if (ui->filter && col < c->cols)
		top_put_field(c, row, col, c->cols - col, true, TOP_INFO, text);
}

static void put_bottom(struct top_canvas *c, const struct top_scene *s)
{
	const struct top_ui *ui = s->ui;

	if (ui->prompt) {
		put_prompt(c, ui);
		if (ui->message[0] && c->rows > 2)
			top_put_field(c, c->rows - 2, 0, c->cols, false, TOP_WARNING, ui->message);
		return;
	}
	put_hints(c, ui);
	if (ui->message[0])
		top_put_field(c, c->rows - 1, 0, c->cols, false,
			      ui->complaint ? TOP_WARNING : TOP_INFO, ui->message);
}

/* --- all of it --- */

void top_view_draw(struct top_canvas *c, const struct top_scene *s)
{
	static void (*const views[TOP_ALL_VIEWS])(struct top_canvas *, const struct top_scene *,
						  struct top_area) = {
		[TOP_VIEW_QUEUES] = top_view_queues,
		[TOP_VIEW_DEVICES] = top_view_devices,
		[TOP_VIEW_THREADS] = top_view_threads,
		[TOP_VIEW_HEAT] = top_view_heat,
		[TOP_VIEW_MEMORY] = top_view_memory,
		[TOP_VIEW_MIGRATION] = top_view_migration,
		[TOP_VIEW_EVENTS] = top_view_events,
		[TOP_VIEW_ALERTS] = top_view_alerts,
		[TOP_VIEW_DETAIL] = top_view_detail,
		[TOP_VIEW_HELP] = top_view_help,
		[TOP_VIEW_SORT] = top_view_choose,
		[TOP_VIEW_FIELDS] = top_view_choose,
	};
	struct top_area a = {.first = 2};
	bool lists = s->ui->view < TOP_VIEWS;

	top_canvas_clear(c);
	put_bar(c, s);
	put_summary(c, s);
	a.first += put_trouble(c, s, a.first);
	if (lists && s->ui->view == TOP_VIEW_QUEUES)
		a.first += put_worst(c, s, a.first, c->rows >= 20 ? 5 : c->rows >= 12 ? 2 : 1);
	else if (lists)
		a.first += put_worst(c, s, a.first, 1);
	a.rows = c->rows > a.first + 1 ? c->rows - a.first - 1 : 0;
	if (a.rows)
		views[s->ui->view](c, s, a);
	put_bottom(c, s);
}
