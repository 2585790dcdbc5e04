/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small event loop over epoll.  One thread. */
#ifndef VU_BLK_LOOP_H
#define VU_BLK_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
typedef void loop_cb(void *opaque, int fd, uint32_t events);

struct loop *loop_new(void); /* NULL and errno */
void loop_free(struct loop *l);

/* Calls @cb when @fd has one of the poll @events; replaces what it was set to before. */
int loop_set(struct loop *l, int fd, uint32_t events, loop_cb *cb, void *opaque);
void loop_remove(struct loop *l, int fd);

/* Waits once and calls back.  0 or -1 with errno. */
int loop_once(struct loop *l);

#endif
