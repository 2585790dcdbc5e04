/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What styles look like, and pictures as text.  Pure but for the writing; any thread. */
#include "vu-top/cells.h"

enum { BLACK, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE, OWN = -1 };

#define B TOP_LOOK_BOLD
#define D TOP_LOOK_DIM
#define R TOP_LOOK_REVERSE
#define U TOP_LOOK_UNDERLINE

/*
 * Good and bad are never red against green: what is good has no colour, what is bad is
 * a block of it.
 */
static const struct top_look looks[TOP_PALETTES][TOP_STYLES] = {
	[TOP_MONO] =
		{
			[TOP_NORMAL] = {OWN, OWN, 0},	[TOP_DIM] = {OWN, OWN, D},
			[TOP_STRONG] = {OWN, OWN, B},	[TOP_BAR] = {OWN, OWN, R},
			[TOP_HEADER] = {OWN, OWN, R},	[TOP_KEY] = {OWN, OWN, B},
			[TOP_OK] = {OWN, OWN, 0},	[TOP_INFO] = {OWN, OWN, U},
			[TOP_WARNING] = {OWN, OWN, B | U}, [TOP_CRITICAL] = {OWN, OWN, B | R},
			[TOP_FRAME] = {OWN, OWN, D},	[TOP_DATA1] = {OWN, OWN, B},
			[TOP_DATA2] = {OWN, OWN, 0},	[TOP_DATA3] = {OWN, OWN, D},
			[TOP_HEAT1] = {OWN, OWN, D},	[TOP_HEAT2] = {OWN, OWN, 0},
			[TOP_HEAT3] = {OWN, OWN, B},	[TOP_HEAT4] = {OWN, OWN, R},
		},
	[TOP_COLOURS] =
		{
			[TOP_NORMAL] = {OWN, OWN, 0},	  [TOP_DIM] = {OWN, OWN, D},
			[TOP_STRONG] = {OWN, OWN, B},	  [TOP_BAR] = {WHITE, BLUE, B},
			[TOP_HEADER] = {BLACK, CYAN, 0},  [TOP_KEY] = {CYAN, OWN, B},
			[TOP_OK] = {CYAN, OWN, 0},	  [TOP_INFO] = {CYAN, OWN, B},
			[TOP_WARNING] = {BLACK, YELLOW, 0}, [TOP_CRITICAL] = {WHITE, RED, B},
			[TOP_FRAME] = {BLUE, OWN, B},	  [TOP_DATA1] = {CYAN, OWN, B},
			[TOP_DATA2] = {YELLOW, OWN, 0},	  [TOP_DATA3] = {MAGENTA, OWN, B},
			[TOP_HEAT1] = {BLUE, OWN, B},	  [TOP_HEAT2] = {CYAN, OWN, 0},
			[TOP_HEAT3] = {YELLOW, OWN, B},	  [TOP_HEAT4] = {WHITE, RED, B},
		},
	[TOP_COLOURS_LIGHT] =
		{
			[TOP_NORMAL] = {OWN, OWN, 0},	  [TOP_DIM] = {OWN, OWN, D},
			[TOP_STRONG] = {OWN, OWN, B},	  [TOP_BAR] = {WHITE, BLUE, B},
			[TOP_HEADER] = {WHITE, BLUE, 0},  [TOP_KEY] = {BLUE, OWN, B},
			[TOP_OK] = {BLUE, OWN, 0},	  [TOP_INFO] = {BLUE, OWN, B},
			[TOP_WARNING] = {BLACK, YELLOW, 0}, [TOP_CRITICAL] = {WHITE, RED, B},
			[TOP_FRAME] = {BLUE, OWN, 0},	  [TOP_DATA1] = {BLUE, OWN, B},
			[TOP_DATA2] = {RED, OWN, 0},	  [TOP_DATA3] = {MAGENTA, OWN, 0},
			[TOP_HEAT1] = {CYAN, OWN, 0},	  [TOP_HEAT2] = {BLUE, OWN, 0},
			[TOP_HEAT3] = {MAGENTA, OWN, B},  [TOP_HEAT4] = {WHITE, RED, B},
		},
};

#undef B
#undef D
#undef R
#undef U

struct top_look top_look(uint8_t style, enum top_colours colours)
{
	uint8_t base = style & ~TOP_SELECTED;
	struct top_look l = looks[colours][base < TOP_STYLES ? base : TOP_NORMAL];

	if (style & TOP_SELECTED) {
		/* A block stays one; everything else becomes the cursor's. */
		if (l.attrs & TOP_LOOK_REVERSE || l.bg != OWN)
			l.attrs |= TOP_LOOK_UNDERLINE;
		else
			l.attrs = (l.attrs & ~TOP_LOOK_DIM) | TOP_LOOK_REVERSE;
	}
	return l;
}

static void write_look(struct top_look l, FILE *to)
{
	fputs("\033[0", to);
	if (l.attrs & TOP_LOOK_BOLD)
		fputs(";1", to);
	if (l.attrs & TOP_LOOK_DIM)
		fputs(";2", to);
	if (l.attrs & TOP_LOOK_UNDERLINE)
		fputs(";4", to);
	if (l.attrs & TOP_LOOK_REVERSE)
		fputs(";7", to);
	if (l.fg >= 0)
		fprintf(to, ";3%d", l.fg);
	if (l.bg >= 0)
		fprintf(to, ";4%d", l.bg);
	fputc('m', to);
}

static bool same_look(struct top_look a, struct top_look b)
{
	return a.fg == b.fg && a.bg == b.bg && a.attrs == b.attrs;
}

/* How many cells of a row there is something to be seen of. */
static unsigned int row_end(const struct top_canvas *c, unsigned int row, bool looks_too,
			    enum top_colours colours)
{
	struct top_look plain = top_look(TOP_NORMAL, colours);
	unsigned int end = c->cols;

	while (end) {
		const struct top_cell *cell = top_cell_at(c, row, end - 1);

		if (cell->ch != ' ' ||
		    (looks_too && !same_look(top_look(cell->style, colours), plain)))
			break;
		end--;
	}
	return end;
}

void top_canvas_write(const struct top_canvas *c, enum top_colours colours, bool attrs,
		      FILE *to)
{
	struct top_look plain = top_look(TOP_NORMAL, colours);
	bool looks_too = attrs || colours != TOP_MONO;

	for (unsigned int row = 0; row < c->rows; row++) {
		unsigned int end = row_end(c, row, looks_too, colours);
		struct top_look now = plain;

		for (unsigned int col = 0; col < end; col++) {
			const struct top_cell *cell = top_cell_at(c, row, col);
			struct top_look l = top_look(cell->style, colours);
			char text[4];

			if (!cell->ch)
				continue;
			if (looks_too && !same_look(l, now))
				write_look(l, to);
			now = l;
			fwrite(text, 1, utf8_put(cell->ch, text), to);
		}
		if (looks_too && !same_look(now, plain))
			fputs("\033[0m", to);
		fputc('\n', to);
	}
}
