/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A run directory of a test's own, and the segments in it. */
#ifndef VU_TESTS_RUNDIR_H
#define VU_TESTS_RUNDIR_H

#include <sys/types.h>

#include "libvu/telemetry.h"

/* Group fixtures: LIBVU_RUN_DIR is a new folder, which goes with all that is in it. */
int rundir_setup(void **state);
int rundir_teardown(void **state);

/* Its path, and that of a file of device @number of process @pid in there. */
const char *rundir(void);
const char *rundir_path(pid_t pid, unsigned int number);

/* Files in it. */
unsigned int rundir_files(void);

/* Opens the segment of device 0 of @pid; fails the test if it cannot be. */
struct vu_telemetry *rundir_open(pid_t pid);

/* A new snapshot, and a queue of it. */
struct vu_telemetry_queue rundir_queue(struct vu_telemetry *t, unsigned int queue);

/* The newest event of a kind; its number is 0 if there is none. */
struct vu_telemetry_event rundir_event(struct vu_telemetry *t, unsigned int kind);

/* How many events of a kind there are. */
unsigned int rundir_events(struct vu_telemetry *t, unsigned int kind);

#endif
