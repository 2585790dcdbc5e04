/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Progress: a line that is written over on a terminal, lines or JSON if asked for. */
#include "vu-migrate/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "vu-migrate/cmd.h"

/* Something stands on the terminal's line. */
static bool on_line;

void progress(const char *what, double done, double total)
{
	if (done < 1 || globals.quiet || globals.progress == PROGRESS_NONE)
		return;
	if (globals.progress == PROGRESS_JSON) {
		fprintf(stderr, "{\"phase\": \"%s\", \"seconds\": %.1f, \"of\": %.1f}\n", what, done,
			total);
	} else if (globals.progress == PROGRESS_PLAIN) {
		fprintf(stderr, "%s: %.1f s of at most %.0f s\n", what, done, total);
	} else if (isatty(STDERR_FILENO)) {
		fprintf(stderr, "\r%s: %.0f s of at most %.0f s\033[K", what, done, total);
		on_line = true;
	}
}

void progress_end(void)
{
	if (on_line)
		fputs("\r\033[K", stderr);
	on_line = false;
}
