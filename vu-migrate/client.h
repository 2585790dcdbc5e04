/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Talking to back-ends through their control sockets. */
#ifndef VU_MIGRATE_CLIENT_H
#define VU_MIGRATE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/control.pb-c.h"

struct vu_frontend;

struct client {
	char name[64];		/* P-N */
	int fd;
	int got_fd;		/* came with the last reply, or -1 */
	Vu__Control__Info *info;
	/* Not NULL for a back-end that nobody is connected to: we are, for a moment. */
	struct vu_frontend *placeholder;
	char why[500];		/* after a failure: a text for a person */
};

/*
 * Connects to a back-end and asks it what it is.  @target: P-N or P of a live device, a
 * path of a control socket, or the path that its front-end has connected to.  With
 * @fresh, also a path where a back-end listens that nobody is connected to.
 *
 * 0 or the exit status after saying why.
 */
int client_open(struct client *c, const char *target, bool fresh);
/* The same, but -ENOENT, and nothing said, if there is none; perhaps with c->why. */
int client_find(struct client *c, const char *target);
/* The one that we ourselves are the front-end of. */
int client_of_ours(struct client *c);
void client_close(struct client *c);

/*
 * Sends a request with fds, which stay the caller's, and waits for its answer, up to
 * @timeout_ms (-1: for ever).  The reply, to be freed with
 * vu__control__reply__free_unpacked(); NULL with *@err (negative errno) and c->why if
 * there was none, or if it is an error.
 */
Vu__Control__Reply *client_call(struct client *c, Vu__Control__Request *r, const int *fds,
				unsigned int nfds, int timeout_ms, int *err);

/* The halves of it.  Receiving gives progress too. */
int client_send(struct client *c, Vu__Control__Request *r, const int *fds, unsigned int nfds);
Vu__Control__Reply *client_receive(struct client *c, int timeout_ms, int *err);

/* Whether the back-end knows a request; says so if not. */
bool client_can(const struct client *c, const char *what);

/* What a client_call() failed with, and what it was about.  The exit status. */
int client_fail(const struct client *c, int err, const char *what);

/*
 * Calls @each for all live devices in the run directory, in order; clears away what dead
 * processes have left.  0 or the exit status after saying why.
 */
int client_each(void (*each)(struct client *c, void *opaque), void *opaque);

/* The name of the machine whose monitor is process @pid, or the process's. */
void vm_name(unsigned int pid, char *name, size_t size);

#endif
