/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Of a queue: its ring as a picture, its eventfds and who has them, its times.  Pure. */
#include <stdio.h>
#include <string.h>

#include "observe/packed.h"
#include "vu-top/viewdetail.h"

/* --- the ring --- */

struct mark {
	char letter;
	uint16_t index;
	const char *what;
	bool known;
};

static unsigned int cell_of(uint16_t index, uint32_t size, unsigned int width)
{
	return (uint64_t)(index % size) * width / size;
}

/* Entries from @from on, @n of them: the cells they are in. */
static void put_span(struct top_canvas *c, unsigned int row, unsigned int col,
		     unsigned int width, uint32_t size, uint16_t from, uint32_t n, uint8_t style,
		     uint32_t ch)
{
	for (uint32_t i = 0; i < VU_MIN(n, size); i++)
		top_put_char(c, row, col + cell_of(from + i, size, width), style, ch);
}

/* Letters under their cells; those that would cover others go a line down. */
static unsigned int put_marks(struct top_canvas *c, unsigned int row, unsigned int col,
			      unsigned int width, uint32_t size, const struct mark *marks,
			      size_t n)
{
	unsigned int used = 1;

	for (size_t i = 0; i < n; i++) {
		unsigned int at, r = row;

		if (!marks[i].known)
			continue;
		at = col + cell_of(marks[i].index, size, width);
		while (r < row + 4 && top_cell_at(c, r, at) && top_cell_at(c, r, at)->ch != ' ')
			r++;
		top_put_char(c, r, at, TOP_STRONG, marks[i].letter);
		used = VU_MAX(used, r - row + 1);
	}
	return used;
}

/* Where the next word of a legend goes. */
struct words {
	struct top_canvas *c;
	unsigned int row, col; /* the row; where rows begin */
	unsigned int at, end;
};

static void put_word(struct words *w, char letter, const char *text)
{
	if (w->at != w->col && w->at + strlen(text) + 1 > w->end) {
		w->at = w->col;
		w->row++;
	}
	w->at = top_put_char(w->c, w->row, w->at, TOP_STRONG, letter);
	w->at = top_put(w->c, w->row, w->at, w->end, TOP_NORMAL, text);
}

/* What the letters stand for, with numbers as they are in memory. */
static unsigned int put_legend(struct top_canvas *c, unsigned int row, unsigned int col,
			       unsigned int end, uint32_t size, const struct mark *marks,
			       size_t n)
{
	struct words w = {c, row, col, col, end};

	for (size_t i = 0; i < n; i++) {
		char text[80];

		if (!marks[i].known)
			continue;
		snprintf(text, sizeof(text), " %s %u (entry %u)  ", marks[i].what, marks[i].index,
			 marks[i].index % size);
		put_word(&w, marks[i].letter, text);
	}
	return w.row - row + 1;
}

static unsigned int put_split(struct top_canvas *c, unsigned int row, unsigned int col,
			      unsigned int end, const struct vu__obs_queue *q)
{
	const struct vu__obs_ring *r = &q->ring;
	bool place = vu__obs_knows(q, VU__OBS_POSITION);
	uint32_t size = q->setup.size;
	unsigned int width = VU_MIN(end - col, VU_MIN(size, 128u)), first = row;
	const struct mark marks[] = {
		{'U', r->used_idx, "used", true},
		{'F', r->last_avail, "fetched", place},
		{'A', r->avail_idx, "avail", true},
		{'k', r->avail_event, "kick wanted after", q->setup.event_idx},
		{'c', r->used_event, "call wanted after", q->setup.event_idx},
	};
	uint16_t waiting_from = place ? r->last_avail : r->used_idx;

	top_fill(c, row, col, col + width, TOP_DIM, c->utf8 ? 0xb7 : '.');
	if (place)
		put_span(c, row, col, width, size, r->used_idx,
			 (uint16_t)(r->last_avail - r->used_idx), TOP_DATA2, c->utf8 ? 0x2592 : '=');
	put_span(c, row, col, width, size, waiting_from, (uint16_t)(r->avail_idx - waiting_from),
		 TOP_DATA1, c->utf8 ? 0x2588 : '#');
	row++;
	row += put_marks(c, row, col, width, size, marks, VU_ARRAY_SIZE(marks));
	row += put_legend(c, row, col, end, size, marks, VU_ARRAY_SIZE(marks));
	if (place)
		top_printf(c, row++, col, end, TOP_NORMAL,
			   "%u wait (%s), %u in flight (%s), of %u entries", r->pending,
			   c->utf8 ? "\xe2\x96\x88" : "#", r->in_flight,
			   c->utf8 ? "\xe2\x96\x92" : "=", size);
	else
		top_printf(c, row++, col, end, TOP_NORMAL, "%u outstanding (%s) of %u entries",
			   (uint16_t)(r->avail_idx - r->used_idx),
			   c->utf8 ? "\xe2\x96\x88" : "#", size);
	top_printf(c, row++, col, end, TOP_DIM, "flags: %s, %s",
		   r->avail_flags & 1 ? "driver wants no calls" : "driver takes calls",
		   r->used_flags & 1 ? "back-end wants no kicks" : "back-end takes kicks");
	return row - first;
}

/* What the letters stand for: slots, each with the wrap counter of its lap. */
static unsigned int put_places(struct top_canvas *c, unsigned int row, unsigned int col,
			       unsigned int end, const struct mark *marks, size_t n)
{
	struct words w = {c, row, col, col, end};

	for (size_t i = 0; i < n; i++) {
		char text[80];

		if (!marks[i].known)
			continue;
		snprintf(text, sizeof(text), " %s slot %u wrap %u  ", marks[i].what,
			 vu__packed_slot(marks[i].index), vu__packed_wrap(marks[i].index));
		put_word(&w, marks[i].letter, text);
	}
	return w.row - row + 1;
}

static const char *wish(uint16_t flags)
{
	static const char *const wishes[] = {
		[VRING_PACKED_EVENT_FLAG_ENABLE] = "all",
		[VRING_PACKED_EVENT_FLAG_DISABLE] = "no",
		[VRING_PACKED_EVENT_FLAG_DESC] = "one slot's",
		[3] = "(invalid flags)",
	};

	return wishes[vu__circle_events(flags)];
}

/* Its slots are those of two laps: letters stand at slots, the legend has the laps. */
static unsigned int put_packed(struct top_canvas *c, unsigned int row, unsigned int col,
			       unsigned int end, const struct vu__obs_queue *q)
{
	const struct vu__obs_ring *r = &q->ring;
	bool place = vu__obs_knows(q, VU__OBS_POSITION);
	bool kick = vu__circle_events(r->used_flags) == VRING_PACKED_EVENT_FLAG_DESC;
	bool call = vu__circle_events(r->avail_flags) == VRING_PACKED_EVENT_FLAG_DESC;
	uint32_t size = q->setup.size;
	unsigned int width = VU_MIN(end - col, VU_MIN(size, 128u)), first = row;
	const struct mark places[] = {
		{'U', r->used_idx, "used", true},
		{'F', r->last_avail, "fetched", place},
		{'A', r->avail_idx, "avail", true},
		{'k', r->avail_event, "kick wanted after", q->setup.event_idx && kick},
		{'c', r->used_event, "call wanted after", q->setup.event_idx && call},
	};
	struct mark slots[VU_ARRAY_SIZE(places)];
	uint16_t waiting_from = place ? r->last_avail : r->used_idx;

	memcpy(slots, places, sizeof(slots));
	for (size_t i = 0; i < VU_ARRAY_SIZE(slots); i++)
		slots[i].index = vu__packed_slot(slots[i].index);
	top_fill(c, row, col, col + width, TOP_DIM, c->utf8 ? 0xb7 : '.');
	if (place)
		put_span(c, row, col, width, size, vu__packed_slot(r->used_idx),
			 vu__circle_steps(r->used_idx, r->last_avail, size), TOP_DATA2,
			 c->utf8 ? 0x2592 : '=');
	put_span(c, row, col, width, size, vu__packed_slot(waiting_from),
		 vu__circle_steps(waiting_from, r->avail_idx, size), TOP_DATA1,
		 c->utf8 ? 0x2588 : '#');
	row++;
	row += put_marks(c, row, col, width, size, slots, VU_ARRAY_SIZE(slots));
	row += put_places(c, row, col, end, places, VU_ARRAY_SIZE(places));
	if (place)
		top_printf(c, row++, col, end, TOP_NORMAL,
			   "%u wait (%s), %u in flight (%s); %u of %u slots", r->pending,
			   c->utf8 ? "\xe2\x96\x88" : "#", r->in_flight,
			   c->utf8 ? "\xe2\x96\x92" : "=", r->slots, size);
	else
		top_printf(c, row++, col, end, TOP_NORMAL, "%u outstanding (%s); %u of %u slots",
			   r->outstanding, c->utf8 ? "\xe2\x96\x88" : "#", r->slots, size);
	top_printf(c, row++, col, end, TOP_DIM, "flags: driver takes %s calls, back-end takes %s kicks",
		   wish(r->avail_flags), wish(r->used_flags));
	return row - first;
}

unsigned int top_detail_ring(struct top_canvas *c, const struct top_detail *d, unsigned int row,
			     unsigned int col, unsigned int end)
{
	const struct vu__obs_queue *q = d->t->q;

	if (!vu__obs_knows(q, VU__OBS_RING) || !q->setup.size || q->setup.size > 65536) {
		top_put(c, row, col, end, TOP_DIM,
			q->setup.size ? "it cannot be read" : "none is set up");
		return 1;
	}
	return q->setup.packed ? put_packed(c, row, col, end, q) : put_split(c, row, col, end, q);
}

/* --- eventfds --- */

static unsigned int put_holders(struct top_canvas *c, const struct top_scene *s,
				unsigned int row, unsigned int col, unsigned int end, int64_t id)
{
	const struct top_frame *f = s->m->frame;
	char text[300] = "held by";
	unsigned int n = 0;

	for (uint32_t i = 0; i < f->nholders; i++) {
		const struct top_holder *h = &f->holders[i];
		size_t len = strlen(text);

		if (h->id != id || len + 48 > sizeof(text))
			continue;
		snprintf(text + len, sizeof(text) - len, "%s %s[%d] as fd %d", n ? "," : "",
			 h->comm, h->pid, h->fd);
		n++;
	}
	if (!n)
		return 0;
	if (n == 1)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " only");
	return top_put_wrapped(c, row, col, end, 3, n == 1 ? TOP_WARNING : TOP_DIM, text);
}

static unsigned int put_eventfd(struct top_canvas *c, const struct top_scene *s,
				unsigned int row, unsigned int col, unsigned int end,
				const char *name, const struct vu__obs_event *e, bool counted)
{
	char fd[24], count[40] = "";

	if (e->fd == VU__OBS_FD_NONE) {
		top_printf(c, row, col, end, TOP_NORMAL, "%s: none", name);
		return 1;
	}
	if (e->fd == VU__OBS_FD_UNKNOWN && e->id < 0) {
		top_printf(c, row, col, end, TOP_DIM, "%s: not known", name);
		return 1;
	}
	snprintf(fd, sizeof(fd), "fd %d", e->fd);
	if (counted)
		snprintf(count, sizeof(count), ", %llu not consumed", (unsigned long long)e->count);
	top_printf(c, row, col, end, counted && e->count ? TOP_STRONG : TOP_NORMAL,
		   "%s: %s, eventfd-id %lld%s", name, e->fd >= 0 ? fd : "fd not known",
		   (long long)e->id, count);
	return 1 + (e->id >= 0 ? put_holders(c, s, row + 1, col + 6, end, e->id) : 0);
}

unsigned int top_detail_eventfds(struct top_canvas *c, const struct top_detail *d,
				 unsigned int row, unsigned int col, unsigned int end)
{
	const struct vu__obs_queue *q = d->t->q;
	unsigned int first = row;

	row += put_eventfd(c, d->s, row, col, end, "kick", &q->kick,
			   vu__obs_knows(q, VU__OBS_KICK));
	row += put_eventfd(c, d->s, row, col, end, "call", &q->call,
			   vu__obs_knows(q, VU__OBS_CALL));
	if (q->err.fd >= 0)
		row += put_eventfd(c, d->s, row, col, end, "err", &q->err, false);
	if (d->s->m->frame->holders_cut)
		top_put(c, row++, col, end, TOP_DIM, "(not all processes could be looked at)");
	return row - first;
}

/* --- times, and who serves it --- */

static void put_ago(struct top_canvas *c, unsigned int row, unsigned int col, unsigned int end,
		    const char *what, uint64_t then, uint64_t now)
{
	char ago[16];

	top_format_ns(ago, sizeof(ago), now > then ? now - then : 0);
	col = top_printf(c, row, col, end, TOP_DIM, "%-11s", what);
	if (then)
		top_printf(c, row, col, end, TOP_NORMAL, "%s ago", ago);
	else
		top_put(c, row, col, end, TOP_DIM, "never");
}

unsigned int top_detail_times(struct top_canvas *c, const struct top_detail *d,
			      unsigned int row, unsigned int col, unsigned int end)
{
	const struct vu__obs_queue *q = d->t->q;
	const struct {
		const char *what;
		uint64_t when;
	} times[] = {{"started", q->setup.started_ns}, {"kick", q->times.kick_ns},
		     {"enabled", q->setup.enabled_ns}, {"wake-up", q->times.wake_ns},
		     {"stopped", q->setup.stopped_ns}, {"fetched", q->times.pop_ns},
		     {"call", q->times.call_ns},       {"given back", q->times.push_ns}};
	unsigned int half = (end - col) / 2;

	if (!vu__obs_knows(q, VU__OBS_TIMES)) {
		top_put(c, row, col, end, TOP_DIM, "this back-end does not tell");
		return 1;
	}
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(times); i++)
		put_ago(c, row + i / 2, col + (i % 2) * half, i % 2 ? end : col + half - 1,
			times[i].what, times[i].when, q->mono_ns);
	return VU_ARRAY_SIZE(times) / 2;
}

unsigned int top_detail_thread(struct top_canvas *c, const struct top_detail *d,
			       unsigned int row, unsigned int col, unsigned int end)
{
	const struct vu__obs_worker *w = &d->t->q->worker;
	char busy[16], text[200];

	if (!vu__obs_knows(d->t->q, VU__OBS_WORKER)) {
		top_printf(c, row, col, end, TOP_DIM, w->tid ? "thread %d, not looked at" : "not known",
			   w->tid);
		return 1;
	}
	top_format_percent(busy, sizeof(busy), d->t->busy);
	snprintf(text, sizeof(text), "%s, thread %d: state %c on CPU %d, %s busy%s%s%s", w->comm,
		 w->tid, w->state ? w->state : '?', w->cpu, busy, w->wchan[0] ? ", in " : "",
		 w->wchan,
		 w->watches == VU__OBS_YES  ? "; it waits for kicks"
		 : w->watches == VU__OBS_NO ? "; it does not wait for kicks"
					    : "");
	return top_put_wrapped(c, row, col, end, 3, TOP_NORMAL, text);
}
