/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Latency over time: how many requests took how long, when.  Pure. */
#include <stdio.h>
#include <string.h>

#include "vu-top/view.h"

static bool in_scope(const struct top_scene *s, const struct top_queue *t,
		     const struct top_queue *chosen, const struct top_device *device)
{
	switch (s->ui->scope) {
	case TOP_SCOPE_QUEUE:
		return !chosen || t == chosen;
	case TOP_SCOPE_DEVICE:
		return !device || top_same_device(&t->key, &device->key);
	default:
		return true;
	}
}

/* Counts of all queues in scope, @cols columns of @step seconds; the largest of them. */
static uint64_t gather(const struct top_scene *s, uint64_t (*cells)[TOP_HEAT_ROWS],
		       unsigned int cols, unsigned int step)
{
	const struct top_queue *chosen = top_ui_queue(s->ui, s->m);
	const struct top_device *device = top_ui_device(s->ui, s->m);
	uint64_t now = s->m->frame->snap->mono_ns / 1000000000u, max = 0;

	for (uint32_t i = 0; i < s->m->nqueues; i++) {
		const struct top_queue *t = s->m->queues[i];

		if (!t->heat || !in_scope(s, t, chosen, device))
			continue;
		for (unsigned int x = 0; x < cols; x++) {
			uint64_t second = now - (uint64_t)(cols - 1 - x) * step;

			for (unsigned int r = 0; r < TOP_HEAT_ROWS && second <= now; r++) {
				cells[x][r] += top_heat_read(t->heat, s->ui->latency, second,
							     step, r);
				max = VU_MAX(max, cells[x][r]);
			}
		}
	}
	return max;
}

/* Four levels, a factor of the fourth root of the most apart. */
static unsigned int level(uint64_t n, uint64_t max)
{
	unsigned int bits_max = 64 - __builtin_clzll(max | 1), bits = 64 - __builtin_clzll(n | 1);

	return n ? 1 + VU_MIN(3u, bits * 4 / (bits_max + 1)) : 0;
}

static void put_cell(struct top_canvas *c, unsigned int row, unsigned int col, uint64_t n,
		     uint64_t max)
{
	static const uint32_t shades[] = {' ', 0x2591, 0x2592, 0x2593, 0x2588};
	static const char ascii[] = " .:*#";
	unsigned int l = level(n, max);

	if (l)
		top_put_char(c, row, col, TOP_HEAT1 + l - 1,
			     c->utf8 ? shades[l] : (uint32_t)ascii[l]);
}

static void put_scale(struct top_canvas *c, unsigned int row, unsigned int rows,
		      unsigned int lowest)
{
	for (unsigned int i = 0; i < rows; i++) {
		unsigned int r = lowest + rows - 1 - i;
		char bound[16];

		top_format_ns(bound, sizeof(bound), top_heat_bound(r));
		top_put_field(c, row + i, 0, 7, true, i % 2 ? TOP_DIM : TOP_NORMAL, bound);
		top_put_char(c, row + i, 8, TOP_FRAME, 0x2502);
	}
}

/* Rows that have something, and a few around them, as many as there is room for. */
static unsigned int choose_rows(uint64_t (*cells)[TOP_HEAT_ROWS], unsigned int cols,
				unsigned int room, unsigned int *lowest)
{
	unsigned int low = TOP_HEAT_ROWS, high = 0;

	for (unsigned int x = 0; x < cols; x++) {
		for (unsigned int r = 0; r < TOP_HEAT_ROWS; r++) {
			if (!cells[x][r])
				continue;
			low = VU_MIN(low, r);
			high = VU_MAX(high, r);
		}
	}
	if (low > high) {
		low = 2;
		high = 16;
	}
	low = low > 1 ? low - 1 : 0;
	high = VU_MIN(high + 1, TOP_HEAT_ROWS - 1u);
	while (high - low + 1 < VU_MIN(room, 16u) && (low || high < TOP_HEAT_ROWS - 1)) {
		high += high < TOP_HEAT_ROWS - 1;
		if (high - low + 1 < room)
			low -= low > 0;
	}
	if (high - low + 1 > room)
		low = high - room + 1;
	*lowest = low;
	return high - low + 1;
}

static void put_title(struct top_canvas *c, const struct top_scene *s, unsigned int row,
		      uint64_t max)
{
	const struct top_queue *t = top_ui_queue(s->ui, s->m);
	const struct top_device *d = top_ui_device(s->ui, s->m);
	char who[160] = "all queues", most[16];

	if (s->ui->scope == TOP_SCOPE_QUEUE && t)
		top_queue_name(t, who, sizeof(who));
	else if (s->ui->scope == TOP_SCOPE_DEVICE && d)
		top_device_title(s, d->dev, who, sizeof(who));
	top_format_count(most, sizeof(most), max);
	top_fill(c, row, 0, c->cols, TOP_HEADER, ' ');
	top_printf(c, row, 0, c->cols, TOP_HEADER, " %s of %s; darkest: %s requests in a cell",
		   s->ui->latency == VU__OBS_SERVICE ? "Service time (pop to push)"
						     : "Kick read to request popped",
		   who, most);
}

static void put_axis(struct top_canvas *c, unsigned int row, unsigned int cols,
		     unsigned int step)
{
	top_fill(c, row, 9, 9 + cols, TOP_FRAME, 0x2500);
	for (unsigned int back = 0; back < cols; back += 20) {
		char text[24], ago[16];

		top_format_ns(ago, sizeof(ago), (double)back * step * 1e9);
		snprintf(text, sizeof(text), back ? "-%s" : "now", ago);
		if (back + 4 < cols)
			top_put(c, row, 9 + cols - back - strlen(text), 9 + cols, TOP_DIM, text);
	}
}

void top_view_heat(struct top_canvas *c, const struct top_scene *s, struct top_area a)
{
	unsigned int cols = c->cols > 12 ? VU_MIN(c->cols - 10, 300u) : 1;
	unsigned int step = VU_MAX(1u, VU_MIN(s->ui->window, (unsigned int)TOP_HEAT_COLUMNS) / cols);
	uint64_t (*cells)[TOP_HEAT_ROWS] = calloc(cols, sizeof(*cells));
	unsigned int rows, lowest, room = a.rows > 2 ? a.rows - 2 : 0;
	uint64_t max;

	if (!cells)
		return;
	max = gather(s, cells, cols, step);
	put_title(c, s, a.first, max);
	s->ui->page = a.rows;
	s->ui->length[TOP_VIEW_HEAT] = 0;
	if (!max && room > 1)
		top_put_wrapped(c, a.first + 2, 10, c->cols, room - 1, TOP_DIM,
				"Nothing yet. Latencies are kept by back-ends with libvu, while "
				"somebody looks; others do not tell.");
	if (room) {
		rows = choose_rows(cells, cols, room, &lowest);
		put_scale(c, a.first + 1, rows, lowest);
		for (unsigned int i = 0; max && i < rows; i++) {
			for (unsigned int x = 0; x < cols; x++)
				put_cell(c, a.first + 1 + i, 9 + x,
					 cells[x][lowest + rows - 1 - i], max);
		}
		put_axis(c, a.first + 1 + rows, cols, step);
	}
	free(cells);
}
