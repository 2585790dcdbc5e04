/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A picture made of characters, each with a style.  Views draw into it; what shows it
 * (a terminal, a file, a test) decides what a style looks like.  Pure.
 */
#ifndef VU_TOP_CELLS_H
#define VU_TOP_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vu-top/text.h"

/* What a piece of text means. */
enum top_style {
	TOP_NORMAL,
	TOP_DIM,    /* of less importance */
	TOP_STRONG, /* of more */
	TOP_BAR,    /* the lines at the top and the bottom */
	TOP_HEADER, /* of columns */
	TOP_KEY,    /* a key one can press */
	TOP_OK,
	TOP_INFO,
	TOP_WARNING,
	TOP_CRITICAL,
	TOP_FRAME, /* lines around things */
	TOP_DATA1, /* curves and bars */
	TOP_DATA2,
	TOP_DATA3,
	TOP_HEAT1, /* little ... */
	TOP_HEAT2,
	TOP_HEAT3,
	TOP_HEAT4, /* ... much */
	TOP_STYLES
};

/* Added to a style: the line the cursor is on. */
#define TOP_SELECTED 0x40

struct top_cell {
	uint32_t ch; /* 0: the right half of a wide one */
	uint8_t style;
};

struct top_canvas {
	unsigned int rows, cols;
	bool utf8; /* else ASCII is all there is */
	struct top_cell *cells;
};

#define TOP_MAX_ROWS 2000
#define TOP_MAX_COLS 1000

/* 0 or -ENOMEM.  Sizes are brought into bounds. */
VU_MUST_CHECK int top_canvas_init(struct top_canvas *c, unsigned int rows,
				  unsigned int cols, bool utf8);
void top_canvas_release(struct top_canvas *c);
void top_canvas_clear(struct top_canvas *c);

/* NULL: outside. */
struct top_cell *top_cell_at(const struct top_canvas *c, unsigned int row,
			     unsigned int col);

/* One character; outside of the canvas nothing happens.  The column after it. */
unsigned int top_put_char(struct top_canvas *c, unsigned int row, unsigned int col,
			  uint8_t style, uint32_t ch);

/* The column after the text.  Ends at column @end at the latest. */
unsigned int top_put(struct top_canvas *c, unsigned int row, unsigned int col,
		     unsigned int end, uint8_t style, const char *text);
unsigned int top_printf(struct top_canvas *c, unsigned int row, unsigned int col,
			unsigned int end, uint8_t style, const char *fmt, ...)
	VU_PRINTF(6, 7);

/*
 * Text in a field of @width: cut if it is longer, with a mark that it was; put to the
 * right if @right.
 */
void top_put_field(struct top_canvas *c, unsigned int row, unsigned int col,
		   unsigned int width, bool right, uint8_t style, const char *text);

/* Text over several lines, broken at spaces.  How many lines; no more than @max. */
unsigned int top_put_wrapped(struct top_canvas *c, unsigned int row, unsigned int col,
			     unsigned int end, unsigned int max, uint8_t style,
			     const char *text);

void top_fill(struct top_canvas *c, unsigned int row, unsigned int col, unsigned int end,
	      uint8_t style, uint32_t ch);

/* Adds TOP_SELECTED to a row. */
void top_select_row(struct top_canvas *c, unsigned int row);

/* A horizontal bar of @share (0 to 1) of @width. */
void top_put_bar(struct top_canvas *c, unsigned int row, unsigned int col,
		 unsigned int width, double share, uint8_t style);

/* A line of small columns, @values[0] at the left; not known ones leave a gap. */
void top_put_spark(struct top_canvas *c, unsigned int row, unsigned int col,
		   unsigned int width, const double *values, size_t n, double max,
		   uint8_t style);

/* A curve in a rectangle; a value for each of 2 * cols points if utf8, else cols. */
unsigned int top_curve_points(const struct top_canvas *c, unsigned int cols);
void top_put_curve(struct top_canvas *c, unsigned int row, unsigned int col,
		   unsigned int rows, unsigned int cols, const double *values, double max,
		   uint8_t style);

/* A frame around rows and columns, with a title. */
void top_put_box(struct top_canvas *c, unsigned int row, unsigned int col,
		 unsigned int rows, unsigned int cols, const char *title);

/* Copies @rows of @from, from its row @first, to @to at @row. */
void top_copy_rows(struct top_canvas *to, unsigned int row, const struct top_canvas *from,
		   unsigned int first, unsigned int rows);

/* --- what styles look like: look.c --- */

enum {
	TOP_LOOK_BOLD = 1 << 0,
	TOP_LOOK_DIM = 1 << 1,
	TOP_LOOK_REVERSE = 1 << 2,
	TOP_LOOK_UNDERLINE = 1 << 3,
};

struct top_look {
	int8_t fg, bg; /* 0 to 7 as ANSI has them; -1: the terminal's own */
	uint8_t attrs; /* TOP_LOOK_* */
};

enum top_colours {
	TOP_MONO,
	TOP_COLOURS,
	TOP_COLOURS_LIGHT, /* for a terminal with a light background */
	TOP_PALETTES
};

/* @style: with TOP_SELECTED or not.  Told apart without telling red from green. */
struct top_look top_look(uint8_t style, enum top_colours colours);

/*
 * Writes the canvas as lines, without spaces at their end; with escape sequences
 * unless @colours is TOP_MONO and @attrs is false.
 */
void top_canvas_write(const struct top_canvas *c, enum top_colours colours, bool attrs,
		      FILE *to);

#endif
