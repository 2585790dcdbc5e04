/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of /proc that are read again and again, kept open: that takes a third of the time.
 * Each belongs to the process or thread it was opened for, whoever has its number later.
 * One thread at a time.
 */
#ifndef VU_OBSERVE_PROCKEPT_H
#define VU_OBSERVE_PROCKEPT_H

#include <stdint.h>
#include <sys/types.h>

#include "base/util.h"

/* Files of a process or, with a number, of one of its threads or file descriptors. */
enum vu__procfs_file {
	VU__PROC_STAT,
	VU__PROC_TASK_STAT,
	VU__PROC_TASK_WCHAN,
	VU__PROC_TASK_SYSCALL,
	VU__PROC_FDINFO,
};

/* "123/task/124/stat" and the like. */
void vu__procfs_path(char *out, size_t size, enum vu__procfs_file what, pid_t pid,
		     int number);

struct vu__kept;

/* NULL: no memory.  At most half of the files this process may have open are kept. */
struct vu__kept *vu__kept_new(void);
void vu__kept_free(struct vu__kept *k);

/*
 * Reads a file below folder @dir as it is now: at most @size - 1 bytes, and a zero.  Such
 * files come whole, or as far as there is room.  Bytes or -errno.
 */
ssize_t vu__kept_read(struct vu__kept *k, int dir, enum vu__procfs_file what, pid_t pid,
		      int number, char *to, size_t size);

/* Closes what has not been read since this was done last. */
void vu__kept_turn(struct vu__kept *k);

#endif
