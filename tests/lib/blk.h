/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vu-blk process, and a front-end that drives it over its socket.
 *
 * TOP_BUILDDIR/examples/vu-blk is started in a folder of its own with a disk of
 * BLK_SECTORS; it dies with the test.
 */
#ifndef VU_TESTS_BLK_H
#define VU_TESTS_BLK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>
#include <linux/virtio_blk.h>

#include "libvu/frontend.h"

#define BLK_SECTORS 4096u
#define BLK_RING    64u
#define BLK_DATA    0x100000 /* guest memory that the tests' buffers are in */

/* --- the process --- */

struct blk_process {
	pid_t pid;
	int out; /* what it says on standard output and error */
	char dir[64];
	char sock[96];
	char image[96];
	char said[8192];
};

/* Makes the folder and the disk in it; the process is not started. */
void blk_prepare(struct blk_process *b, const char *parent);

/* Runs it with arguments up to NULL; before_exec, if any, is called in the child. */
void blk_spawn(struct blk_process *b, const char *const *args, void (*before_exec)(void));

/* Waits until it has said @text, or fails. */
void blk_wait_for(struct blk_process *b, const char *text);

/* Its exit status, 128 + signal if one ended it; fails if it goes on for 10 s. */
int blk_wait_end(struct blk_process *b);

/* Removes the folder. */
void blk_clean(struct blk_process *b);

/* Prepared, started with --socket-path, --blk-file and @more up to NULL, and ready. */
void blk_start(struct blk_process *b, const char *more, ...);

/* SIGTERM: it ends soon, with status 0, and takes its socket away. */
void blk_end(struct blk_process *b);

/* Open files of the process. */
int blk_count_fds(const struct blk_process *b);

/* --- a front-end --- */

struct blk_client {
	struct vu_frontend *fe;
	struct vu_frontend_queue *q;
};

/* Connects, negotiates everything, shares 4 MiB of memory, starts queue 0. */
void blk_connect(struct blk_client *c, const char *sock);
void blk_disconnect(struct blk_client *c);

/* Guest memory at @gpa here. */
void *blk_ptr(struct blk_client *c, uint64_t gpa);

/* Makes a chain available, kicks, waits, and gives the used length. */
uint32_t blk_submit(struct blk_client *c, const struct vu_frontend_buf *bufs, unsigned int n);

/*
 * One request with its header, @out bytes that the device reads and @in bytes that it
 * writes at BLK_DATA, and its status, which it returns.
 */
uint8_t blk_request(struct blk_client *c, uint32_t type, uint64_t sector, uint32_t out,
		    uint32_t in);

/* Where blk_request() puts the two. */
#define BLK_HEADER (BLK_DATA - 0x2000)
#define BLK_STATUS (BLK_DATA - 0x1000)
#define BLK_IN	   (BLK_DATA + 0x100000)

struct virtio_blk_config blk_config(struct blk_client *c);

#endif
