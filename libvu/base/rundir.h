/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run directory, where a process shows its devices to tools: device N of process P
 * is P-N.telemetry, P-N.control there.
 */
#ifndef VU_BASE_RUNDIR_H
#define VU_BASE_RUNDIR_H

#include "base/util.h"

#define VU__RUN_DIR "/run/libvu"

/* Its path: LIBVU_RUN_DIR, or the default; NULL if the first is empty, which is off. */
const char *vu__run_dir(void);

/*
 * Opens it; makes it first, for its owner only, if it is not there and its parent is.
 * An fd; -ENOENT if it is off; -EPERM if others could exchange files in it; other
 * -errno.  What is not off is explained in @why.
 */
VU_MUST_CHECK int vu__run_dir_open(char *why, size_t why_size);

/*
 * A number for a device: the lowest that no other of this process has, to be given
 * back.  Any thread.
 */
unsigned int vu__device_number_get(void);
void vu__device_number_put(unsigned int number);

/* How many devices this process has had before, plus 1.  Any thread. */
uint64_t vu__device_generation(void);

#endif
