/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A picture made of characters.  Pure; a canvas belongs to one thread at a time. */
#include "vu-top/cells.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

int top_canvas_init(struct top_canvas *c, unsigned int rows, unsigned int cols, bool utf8)
{
	memset(c, 0, sizeof(*c));
	rows = VU_MAX(1u, VU_MIN(rows, (unsigned int)TOP_MAX_ROWS));
	cols = VU_MAX(1u, VU_MIN(cols, (unsigned int)TOP_MAX_COLS));
	c->cells = calloc((size_t)rows * cols, sizeof(*c->cells));
	if (!c->cells)
		return -ENOMEM;
	c->rows = rows;
	c->cols = cols;
	c->utf8 = utf8;
	top_canvas_clear(c);
	return 0;
}

void top_canvas_release(struct top_canvas *c)
{
	free(c->cells);
	memset(c, 0, sizeof(*c));
}

void top_canvas_clear(struct top_canvas *c)
{
	for (size_t i = 0; i < (size_t)c->rows * c->cols; i++)
		c->cells[i] = (struct top_cell){.ch = ' ', .style = TOP_NORMAL};
}

struct top_cell *top_cell_at(const struct top_canvas *c, unsigned int row, unsigned int col)
{
	return row < c->rows && col < c->cols ? &c->cells[(size_t)row * c->cols + col] : NULL;
}

/* --- text --- */

/* What a terminal that knows ASCII only is shown instead. */
static uint32_t plain(uint32_t ch)
{
	switch (ch) {
	case 0x2500: /* lines */
	case 0x2550:
		return '-';
	case 0x2502:
		return '|';
	case 0x2026: /* ... */
		return '~';
	case 0x25b6: /* triangles */
		return '>';
	case 0x25bc:
		return 'v';
	default:
		return ch < 0x7f ? ch : ch >= 0x250c && ch <= 0x253c ? '+' : '?';
	}
}

unsigned int top_put_char(struct top_canvas *c, unsigned int row, unsigned int col,
			  uint8_t style, uint32_t ch)
{
	struct top_cell *cell = top_cell_at(c, row, col);
	unsigned int width;

	ch = utf8_safe(ch);
	if (!c->utf8)
		ch = plain(ch);
	width = top_char_width(ch);
	if (!cell || !width || (width == 2 && !top_cell_at(c, row, col + 1)))
		return width == 2 && cell ? top_put_char(c, row, col, style, ' ') : col;
	/* Half of a wide one is none. */
	if (cell->ch == 0 && col)
		cell[-1].ch = ' ';
	if (col + width < c->cols && cell[width].ch == 0)
		cell[width].ch = ' ';
	*cell = (struct top_cell){.ch = ch, .style = style};
	if (width == 2)
		cell[1] = (struct top_cell){.ch = 0, .style = style};
	return col + width;
}

unsigned int top_put(struct top_canvas *c, unsigned int row, unsigned int col,
		     unsigned int end, uint8_t style, const char *text)
{
	size_t len = strlen(text);

	end = VU_MIN(end, c->cols);
	while (len) {
		uint32_t ch;
		size_t n = utf8_get(text, len, &ch);

		if (col + top_char_width(utf8_safe(ch)) > end)
			break;
		col = top_put_char(c, row, col, style, ch);
		text += n;
		len -= n;
	}
	return col;
}

unsigned int top_printf(struct top_canvas *c, unsigned int row, unsigned int col,
			unsigned int end, uint8_t style, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return top_put(c, row, col, end, style, text);
}

void top_fill(struct top_canvas *c, unsigned int row, unsigned int col, unsigned int end,
	      uint8_t style, uint32_t ch)
{
	end = VU_MIN(end, c->cols);
	while (col < end) {
		unsigned int next = top_put_char(c, row, col, style, ch);

		if (next == col)
			break;
		col = next;
	}
}

void top_put_field(struct top_canvas *c, unsigned int row, unsigned int col,
		   unsigned int width, bool right, uint8_t style, const char *text)
{
	unsigned int w = top_text_width(text), end = col + width;

	if (!width)
		return;
	top_fill(c, row, col, end, style, ' ');
	if (w <= width) {
		top_put(c, row, right ? end - w : col, end, style, text);
		return;
	}
	col = top_put(c, row, col, end - 1, style, text);
	top_put_char(c, row, col, style, 0x2026);
}

/* How many bytes of @text fit in @width, broken at a space if there is one. */
static size_t line_length(const char *text, unsigned int width, bool *all)
{
	size_t len = strlen(text), i = 0, space = 0;
	unsigned int w = 0;

	*all = false;
	while (i < len) {
		uint32_t ch;
		size_t n = utf8_get(text + i, len - i, &ch);

		if (ch == ' ')
			space = i;
		w += top_char_width(utf8_safe(ch));
		if (w > width)
			return space ? space : i ? i : n;
		i += n;
	}
	*all = true;
	return len;
}

unsigned int top_put_wrapped(struct top_canvas *c, unsigned int row, unsigned int col,
			     unsigned int end, unsigned int max, uint8_t style,
			     const char *text)
{
	unsigned int lines = 0;

	end = VU_MIN(end, c->cols);
	while (*text && lines < max && col < end) {
		char line[512];
		bool all;
		size_t n = VU_MIN(line_length(text, end - col, &all), sizeof(line) - 1);

		if (lines + 1 == max && !all) {
			top_put_field(c, row + lines, col, end - col, false, style, text);
			return max;
		}
		memcpy(line, text, n);
		line[n] = '\0';
		top_put(c, row + lines, col, end, style, line);
		text += n;
		while (*text == ' ')
			text++;
		lines++;
	}
	return lines;
}

void top_select_row(struct top_canvas *c, unsigned int row)
{
	for (unsigned int i = 0; i < c->cols; i++) {
		struct top_cell *cell = top_cell_at(c, row, i);

		if (cell)
			cell->style |= TOP_SELECTED;
	}
}

/* --- bars and curves --- */

void top_put_bar(struct top_canvas *c, unsigned int row, unsigned int col,
		 unsigned int width, double share, uint8_t style)
{
	unsigned int eighths;

	if (!top_known(share))
		return;
	share = VU_MAX(0, VU_MIN(share, 1));
	eighths = lround(share * width * 8);
	/* A little is not nothing. */
	if (share > 0 && !eighths)
		eighths = 1;
	for (unsigned int i = 0; i < width; i++) {
		unsigned int part = eighths > i * 8 ? VU_MIN(eighths - i * 8, 8) : 0;

		if (!part)
			break;
		top_put_char(c, row, col + i, style, c->utf8 ? 0x2590 - part : '#');
	}
}

void top_put_spark(struct top_canvas *c, unsigned int row, unsigned int col,
		   unsigned int width, const double *values, size_t n, double max,
		   uint8_t style)
{
	static const char ascii[] = "_.-=*#%@";

	for (size_t i = 0; i < n && i < width; i++) {
		unsigned int level;

		if (!top_known(values[i]))
			continue;
		level = max > 0 ? VU_MIN(values[i] / max, 1) * 7.999 : 0;
		top_put_char(c, row, col + i, style,
			     c->utf8 ? 0x2581 + level : (uint32_t)ascii[level]);
	}
}

unsigned int top_curve_points(const struct top_canvas *c, unsigned int cols)
{
	return c->utf8 ? 2 * cols : cols;
}

#define BRAILLE 0x2800

/* Sets a dot in its cell, which may have others. */
static void put_dot(struct top_canvas *c, unsigned int row, unsigned int col,
		    unsigned int x, unsigned int y, uint8_t style)
{
	static const uint8_t bits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
	struct top_cell *cell = top_cell_at(c, row + y / 4, col + x / 2);

	if (!cell)
		return;
	if ((cell->ch & ~0xffu) != BRAILLE)
		cell->ch = BRAILLE;
	cell->ch |= bits[y % 4][x % 2];
	cell->style = style;
}

static void curve_utf8(struct top_canvas *c, unsigned int row, unsigned int col,
		       unsigned int rows, unsigned int n, const double *values, double max,
		       uint8_t style)
{
	unsigned int before = UINT32_MAX;

	for (unsigned int x = 0; x < n; x++) {
		double share = max > 0 ? VU_MIN(values[x] / max, 1) : 0;
		unsigned int y, from, to;

		if (!top_known(values[x])) {
			before = UINT32_MAX;
			continue;
		}
		y = lround((1 - share) * (rows * 4 - 1));
		from = before == UINT32_MAX ? y : VU_MIN(before, y);
		to = before == UINT32_MAX ? y : VU_MAX(before, y);
		/* One line, not points: what lies between two is filled. */
		for (unsigned int i = from; i <= to; i++)
			put_dot(c, row, col, x, i, style);
		before = y;
	}
}

static void curve_ascii(struct top_canvas *c, unsigned int row, unsigned int col,
			unsigned int rows, unsigned int n, const double *values, double max,
			uint8_t style)
{
	static const uint32_t marks[] = {'*', '+', 'o'};

	for (unsigned int x = 0; x < n; x++) {
		double share = max > 0 ? VU_MIN(values[x] / max, 1) : 0;

		if (top_known(values[x]))
			top_put_char(c, row + lround((1 - share) * (rows - 1)), col + x, style,
				     marks[(style - TOP_DATA1) % 3]);
	}
}

void top_put_curve(struct top_canvas *c, unsigned int row, unsigned int col,
		   unsigned int rows, unsigned int cols, const double *values, double max,
		   uint8_t style)
{
	unsigned int n = top_curve_points(c, cols);

	if (!rows || !cols)
		return;
	if (c->utf8)
		curve_utf8(c, row, col, rows, n, values, max, style);
	else
		curve_ascii(c, row, col, rows, n, values, max, style);
}

void top_put_box(struct top_canvas *c, unsigned int row, unsigned int col,
		 unsigned int rows, unsigned int cols, const char *title)
{
	unsigned int right = col + cols - 1, bottom = row + rows - 1;

	if (rows < 2 || cols < 4)
		return;
	top_fill(c, row, col, right, TOP_FRAME, 0x2500);
	top_fill(c, bottom, col, right, TOP_FRAME, 0x2500);
	for (unsigned int i = row + 1; i < bottom; i++) {
		top_put_char(c, i, col, TOP_FRAME, 0x2502);
		top_put_char(c, i, right, TOP_FRAME, 0x2502);
	}
	top_put_char(c, row, col, TOP_FRAME, 0x250c);
	top_put_char(c, row, right, TOP_FRAME, 0x2510);
	top_put_char(c, bottom, col, TOP_FRAME, 0x2514);
	top_put_char(c, bottom, right, TOP_FRAME, 0x2518);
	if (title && *title)
		top_printf(c, row, col + 2, right, TOP_STRONG, " %s ", title);
}

void top_copy_rows(struct top_canvas *to, unsigned int row, const struct top_canvas *from,
		   unsigned int first, unsigned int rows)
{
	unsigned int cols = VU_MIN(to->cols, from->cols);

	for (unsigned int i = 0; i < rows && row + i < to->rows && first + i < from->rows; i++)
		memcpy(top_cell_at(to, row + i, 0), top_cell_at(from, first + i, 0),
		       cols * sizeof(struct top_cell));
}
