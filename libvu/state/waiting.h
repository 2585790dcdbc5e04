/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A note in the run directory that an image waits in a process whose device is gone until
 * its front-end comes: until then there is no control socket to ask.  Any thread.
 */
#ifndef VU_STATE_WAITING_H
#define VU_STATE_WAITING_H

#include <sys/types.h>

#include "base/util.h"

/* PID-ID.waiting; a line each: what, a space, its value. */
#define VU__WAITING_SUFFIX ".waiting"
#define VU__WAITING_MAX	   1024u

struct vu__waiting {
	char name[80]; /* of the note; "" if there is none */
	pid_t pid;
	char device[64];
	char image[40]; /* its id */
	char socket[256]; /* where the front-end is to come; "" if that is not known */
};

/* Leaves the note.  Without a run directory, or room in it, there is none. */
void vu__waiting_note(struct vu__waiting *w);

/* Takes it back. */
void vu__waiting_drop(struct vu__waiting *w);

/*
 * Reads the note @name of the directory @dir.  0; -ESRCH: its process is gone; -EBADMSG: it
 * is none, or not that process's; other -errno.
 */
VU_MUST_CHECK int vu__waiting_read(int dir, const char *name, struct vu__waiting *w);

#endif
