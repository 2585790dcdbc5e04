/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One command to QEMU's monitor. */
#ifndef VU_MIGRATE_QMP_H
#define VU_MIGRATE_QMP_H

#include <stdint.h>

struct json_object;
struct qmp;

/* Connects to a monitor's socket.  NULL after saying why. */
struct qmp *qmp_open(const char *path);
void qmp_close(struct qmp *q);

/* A command with JSON arguments; what it returns, to be put.  NULL after saying why. */
struct json_object *qmp_execute(struct qmp *q, const char *command, const char *arguments);

#endif
