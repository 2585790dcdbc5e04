/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What who waits for longer than a second is told, on standard error. */
#ifndef VU_MIGRATE_PROGRESS_H
#define VU_MIGRATE_PROGRESS_H

#define PROGRESS_MS 200 /* how often to say something */

/* @done seconds of @total at most have gone into @what. */
void progress(const char *what, double done, double total);

/* What comes next is no progress: clears the line. */
void progress_end(void);

#endif
