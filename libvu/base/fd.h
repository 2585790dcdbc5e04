/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File descriptors, eventfds and waiting. */
#ifndef VU_BASE_FD_H
#define VU_BASE_FD_H

#include <stdint.h>
#include <sys/types.h>

#include "base/util.h"

/* Makes reads and writes of @fd return -EAGAIN instead of blocking.  0 or -errno. */
VU_MUST_CHECK int vu__fd_set_nonblock(int fd);

/* Adds 1 to an eventfd.  0; -EAGAIN: its counter is full; other -errno. */
int vu__event_add(int fd);

/*
 * Adds 1 to an eventfd.  A full counter is fine, the reader has a signal to see
 * already.  0 or -errno.
 */
int vu__event_signal(int fd);

/*
 * What may be signalled as if it were an eventfd.  0: one, or something like it; 1: a
 * pipe or a socket, as some monitors use, which only vu__event_signal_any() may write
 * to; -EINVAL: a file, whose contents that would change; or -errno.
 */
VU_MUST_CHECK int vu__event_kind(int fd);

/* vu__event_signal() for every kind; the end of a pipe is -EPIPE, and no SIGPIPE. */
int vu__event_signal_any(int fd);

/* Reads an eventfd's counter into *@value; 0 in it if there was nothing.  0 or -errno. */
int vu__event_consume(int fd, uint64_t *value);

/* A second fd for the same file, closed on exec.  The fd or -errno. */
VU_MUST_CHECK int vu__fd_dup(int fd);

/*
 * Seals a file against shrinking: a mapped file that shrinks turns the next access into
 * a SIGBUS.  0; -errno if it can shrink and cannot be sealed, as a memfd can.
 */
VU_MUST_CHECK int vu__fd_forbid_shrinking(int fd);

/* write() that says -EPIPE and raises no SIGPIPE.  Bytes or -errno. */
ssize_t vu__write_quietly(int fd, const void *data, size_t len);

/* CLOCK_MONOTONIC in milliseconds. */
int64_t vu__now_ms(void);

/*
 * Waits until @fd has one of the poll @events, or until @deadline_ms on
 * vu__now_ms()'s clock (-1: for ever).  0, -ETIMEDOUT or -errno.
 */
VU_MUST_CHECK int vu__fd_wait(int fd, short events, int64_t deadline_ms);

#endif
