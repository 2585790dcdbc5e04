/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The terminal, through ncurses.  The only file that includes it.  One thread; what a
 * signal handler does is made ready beforehand.
 */
#include "vu-top/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <term.h>

static struct {
	SCREEN *screen;
	bool dumb;
	bool colours, utf8;
	short pairs; /* made */
	short pair[9][9];
	volatile sig_atomic_t taken; /* to be given back */
	struct termios before;
	/* What gives it back, as bytes. */
	char restore[256];
	size_t restore_len;
} the;

/* --- giving it back, whatever happens --- */

/* Only calls that a signal handler may make. */
static void give_back_now(void)
{
	if (!the.taken)
		return;
	the.taken = 0;
	(void)!write(STDOUT_FILENO, the.restore, the.restore_len);
	tcsetattr(STDIN_FILENO, TCSANOW, &the.before);
}

static void on_death(int sig)
{
	give_back_now();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void at_exit(void)
{
	top_screen_close();
}

static void add_capability(const char *name)
{
	const char *text = tigetstr(name);
	size_t len;

	if (!text || text == (char *)-1)
		return;
	len = strcspn(text, "$"); /* padding is for the tube */
	if (the.restore_len + len > sizeof(the.restore))
		return;
	memcpy(the.restore + the.restore_len, text, len);
	the.restore_len += len;
}

static void prepare_death(void)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGSYS, SIGQUIT};
	static bool done;

	the.restore_len = 0;
	add_capability("sgr0");
	add_capability("cnorm");
	add_capability("rmkx");
	add_capability("rmcup");
	if (done)
		return;
	done = true;
	for (size_t i = 0; i < VU_ARRAY_SIZE(fatal); i++) {
		struct sigaction sa = {.sa_handler = on_death, .sa_flags = (int)SA_RESETHAND};

		sigemptyset(&sa.sa_mask);
		sigaction(fatal[i], &sa, NULL);
	}
	atexit(at_exit);
}

/* --- taking it --- */

static void set_up(bool colours)
{
	cbreak();
	noecho();
	nonl();
	intrflush(NULL, FALSE);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(40);
	curs_set(0);
	the.colours = colours && has_colors() && start_color() == OK &&
		      use_default_colors() == OK && COLORS >= 8;
}

static bool can_place_cursor(void)
{
	const char *cup = tigetstr("cup"), *clear = tigetstr("clear");

	return cup && cup != (char *)-1 && clear && clear != (char *)-1;
}

/* Without a screen, one picture after the other. */
static int open_dumb(void)
{
	the.dumb = true;
	the.colours = false;
	fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
	return 0;
}

int top_screen_open(bool utf8, bool colours, char *why, size_t why_size)
{
	const char *term = getenv("TERM");
	int bad;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		snprintf(why, why_size, "standard input or output is not a terminal; see --once "
					"and --batch");
		return -ENOTTY;
	}
	the.utf8 = utf8;
	if (tcgetattr(STDIN_FILENO, &the.before) < 0)
		return -errno;
	if (!term || !*term || setupterm(term, STDOUT_FILENO, &bad) == ERR ||
	    !can_place_cursor())
		return open_dumb();
	the.screen = newterm(term, stdout, stdin);
	if (!the.screen) {
		snprintf(why, why_size, "TERM=%.40s cannot be used", term);
		return -EOPNOTSUPP;
	}
	set_up(colours);
	prepare_death();
	the.taken = 1;
	return 0;
}

void top_screen_close(void)
{
	if (the.dumb) {
		fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) & ~O_NONBLOCK);
		the.dumb = false;
	}
	if (!the.screen)
		return;
	endwin();
	delscreen(the.screen);
	the.screen = NULL;
	the.taken = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &the.before);
}

void top_screen_suspend(void)
{
	if (!the.screen)
		return;
	endwin();
	the.taken = 0;
}

void top_screen_resume(void)
{
	if (!the.screen)
		return;
	the.taken = 1;
	clearok(curscr, TRUE);
	refresh();
}

bool top_screen_has_colours(void)
{
	return the.colours;
}

void top_screen_size(unsigned int *rows, unsigned int *cols)
{
	struct winsize w;

	*rows = 24;
	*cols = 80;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_row && w.ws_col) {
		*rows = w.ws_row;
		*cols = w.ws_col;
	}
	if (the.screen && ((int)*rows != LINES || (int)*cols != COLS))
		resizeterm(*rows, *cols);
}

/* --- showing --- */

static short pair_of(struct top_look l)
{
	short *pair = &the.pair[l.fg + 1][l.bg + 1];

	if (!the.colours || (l.fg < 0 && l.bg < 0))
		return 0;
	if (!*pair && the.pairs + 1 < COLOR_PAIRS &&
	    init_pair(the.pairs + 1, l.fg, l.bg) == OK)
		*pair = ++the.pairs;
	return *pair;
}

static attr_t attributes_of(struct top_look l)
{
	attr_t a = A_NORMAL;

	a |= l.attrs & TOP_LOOK_BOLD ? A_BOLD : 0;
	a |= l.attrs & TOP_LOOK_DIM ? A_DIM : 0;
	a |= l.attrs & TOP_LOOK_REVERSE ? A_REVERSE : 0;
	a |= l.attrs & TOP_LOOK_UNDERLINE ? A_UNDERLINE : 0;
	return a;
}

static void put_cell(unsigned int row, unsigned int col, const struct top_cell *cell,
		     enum top_colours colours)
{
	struct top_look l = top_look(cell->style, colours);
	wchar_t text[2] = {cell->ch, 0};
	cchar_t out;

	if (!cell->ch)
		return;
	setcchar(&out, text, attributes_of(l), pair_of(l), NULL);
	mvadd_wch(row, col, &out);
}

static void show_dumb(const struct top_canvas *c)
{
	top_canvas_write(c, TOP_MONO, false, stdout);
	fputc('\n', stdout);
	fflush(stdout);
}

void top_screen_show(const struct top_canvas *c, enum top_colours colours, bool all)
{
	if (the.dumb) {
		show_dumb(c);
		return;
	}
	if (!the.colours)
		colours = TOP_MONO;
	if (all)
		clearok(curscr, TRUE);
	for (unsigned int row = 0; row < c->rows; row++) {
		for (unsigned int col = 0; col < c->cols; col++)
			put_cell(row, col, top_cell_at(c, row, col), colours);
	}
	refresh();
}

/* --- keys --- */

static uint32_t translate(int key)
{
	static const struct {
		int curses;
		uint32_t key;
	} keys[] = {{KEY_UP, TOP_KEY_UP},	  {KEY_DOWN, TOP_KEY_DOWN},
		    {KEY_LEFT, TOP_KEY_LEFT},	  {KEY_RIGHT, TOP_KEY_RIGHT},
		    {KEY_PPAGE, TOP_KEY_PAGE_UP}, {KEY_NPAGE, TOP_KEY_PAGE_DOWN},
		    {KEY_HOME, TOP_KEY_HOME},	  {KEY_END, TOP_KEY_END},
		    {KEY_ENTER, TOP_KEY_ENTER},	  {KEY_BTAB, TOP_KEY_BACK_TAB},
		    {KEY_BACKSPACE, TOP_KEY_BACKSPACE}, {KEY_DC, TOP_KEY_DELETE}};

	for (size_t i = 0; i < VU_ARRAY_SIZE(keys); i++) {
		if (keys[i].curses == key)
			return keys[i].key;
	}
	if (key > KEY_F0 && key <= KEY_F(12))
		return TOP_KEY_F0 + (key - KEY_F0);
	return 0;
}

static uint32_t translate_char(wint_t ch)
{
	switch (ch) {
	case '\r':
	case '\n':
		return TOP_KEY_ENTER;
	case '\t':
		return TOP_KEY_TAB;
	case 27:
		return TOP_KEY_ESCAPE;
	case 8:
	case 127:
		return TOP_KEY_BACKSPACE;
	default:
		return ch;
	}
}

/* Lines are typed; their ends mean nothing. */
static uint32_t key_dumb(bool *ended)
{
	char ch;

	for (;;) {
		ssize_t n = read(STDIN_FILENO, &ch, 1);

		*ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
		if (n != 1)
			return 0;
		if (ch != '\n')
			return translate_char((unsigned char)ch);
	}
}

uint32_t top_screen_key(bool *ended)
{
	*ended = false;
	if (the.dumb)
		return key_dumb(ended);
	for (;;) {
		wint_t ch;
		int ret;
		uint32_t key;

		errno = 0;
		ret = get_wch(&ch);
		if (ret == ERR) {
			/* A terminal that has gone reads as its end for ever. */
			*ended = errno == EIO;
			return 0;
		}
		key = ret == KEY_CODE_YES ? translate(ch) : translate_char(ch);
		/* KEY_RESIZE and keys without a meaning. */
		if (key)
			return key;
	}
}

/* --- the clipboard --- */

void top_screen_copy(const char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text);

	if (the.dumb)
		return;
	fputs("\033]52;c;", stdout);
	for (size_t i = 0; i < len; i += 3) {
		unsigned char a = text[i], b = i + 1 < len ? text[i + 1] : 0,
			      d = i + 2 < len ? text[i + 2] : 0;

		fputc(digits[a >> 2], stdout);
		fputc(digits[(a & 3) << 4 | b >> 4], stdout);
		fputc(i + 1 < len ? digits[(b & 15) << 2 | d >> 6] : '=', stdout);
		fputc(i + 2 < len ? digits[d & 63] : '=', stdout);
	}
	fputs("\a", stdout);
	fflush(stdout);
}
