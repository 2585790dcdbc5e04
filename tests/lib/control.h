/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tool's side of a control socket, for a pair in this process. */
#ifndef VU_TESTS_CONTROL_H
#define VU_TESTS_CONTROL_H

#include "proto/control.pb-c.h"
#include "state/control.h"
#include "tests/lib/pair.h"

/* A run directory of this test's own in LIBVU_RUN_DIR; group set-up and tear-down. */
int control_set_up(void **state);
int control_tear_down(void **state);

/*
 * The control socket of a pair's back-end, connected; fails if there is none.  Lets the
 * back-end read one message first, which is when it begins to watch.
 */
int control_connect(struct pair *p);

/* Its path. */
void control_path(struct pair *p, char *path, size_t size);

/* Sends a request; fds stay the caller's. */
void control_send(int fd, Vu__Control__Request *r, const int *fds, unsigned int nfds);

/* The same; whether the other end was there. */
bool control_try_send(int fd, Vu__Control__Request *r, const int *fds, unsigned int nfds);

/* Receives a reply, within 5 s; its fd, or -1, in *@got if that is not NULL.  NULL at the end. */
Vu__Control__Reply *control_receive(int fd, int *got);

/* Both; the reply must be there. */
Vu__Control__Reply *control_call(int fd, Vu__Control__Request *r, int *got);

/* ... and be good; frees it. */
void control_ok(int fd, Vu__Control__Request *r);

/* ... and be this error, with @text in it. */
void control_fails(int fd, Vu__Control__Request *r, int err, const char *text);

/* Requests on the stack of the caller. */
#define CONTROL_REQUEST(r, NAME, name, Name)                                             \
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;                             \
	Vu__Control__##Name r##_body = VU__CONTROL__##NAME##__INIT;                      \
	r.what_case = VU__CONTROL__REQUEST__WHAT_##NAME;                                 \
	r.name = &r##_body

#endif
