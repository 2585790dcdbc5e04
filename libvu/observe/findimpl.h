/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the search share. */
#ifndef VU_OBSERVE_FINDIMPL_H
#define VU_OBSERVE_FINDIMPL_H

#include "observe/find.h"

/* A process that was there at the last look. */
struct vu__known {
	struct vu__found_proc p;
	pid_t ppid;
	unsigned int looks;
	bool candidate; /* has sockets and eventfds */
	bool hidden;
	int32_t index; /* in out.procs, -1 */
	struct vu__procfs_fds fds;
	size_t nwatched; /* eventfd ids it was seen to wait for */
	int64_t *watched;
	bool seen; /* at this look: what some thread waits for */
	/* Its monitor. */
	int64_t ask_at; /* not before, on vu__now_ms()'s clock */
	unsigned int failures;
};

/* A socket in a candidate's fd table. */
struct vu__end {
	uint64_t inode;
	uint32_t known;
	int fd;
};

struct vu__find {
	struct vu__procfs proc;
	unsigned int pass;
	size_t nknown, nends;
	struct vu__known **known; /* by pid */
	struct vu__end *ends;	  /* by inode */
	struct vu__unix_table socks;
	struct vu__found out;
	size_t links_room, events_room;
	char scratch[65536]; /* for a command line */
};

/* The first of the processes that hold this socket; NULL: none. */
const struct vu__end *vu__find_end(const struct vu__find *f, uint64_t inode);

/* Fills in which shared eventfds back-ends wait for. */
void vu__find_watched(struct vu__find *f);

/* Asks the machines' monitors that are due. */
void vu__find_ask_monitors(struct vu__find *f, int budget_ms);

#endif
