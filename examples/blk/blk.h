/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-blk: a disk from a file or block device.  What its files share. */
#ifndef VU_BLK_H
#define VU_BLK_H

#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_blk.h>

#include <libvu/ext.h>
#include <libvu/libvhost-user.h>

#include "blk/loop.h"

#define SECTOR_SHIFT 9
#define SECTOR_SIZE  512u
#define SERIAL_SIZE  VIRTIO_BLK_ID_BYTES
#define MAX_QUEUES   64
#define SEG_MAX	     126 /* with header and status, a ring of 128 */
#define DISCARD_SEGS 32
#define DISCARD_MAX  (1u << 22) /* sectors a segment */

struct options {
	const char *socket_path;
	int fd;
	const char *file;
	const char *serial;
	bool read_only;
	bool threads;
	bool once;
	bool verbose;
	unsigned int block_size;
	unsigned int num_queues;
	unsigned int depth;
	enum { CACHE_AUTO, CACHE_DIRECT, CACHE_BUFFERED } cache;
};

/* The file or block device behind the disk. */
struct image {
	int fd;		    /* through the page cache */
	int direct_fd;	    /* past it, or -1 */
	unsigned int align; /* of addresses, offsets and lengths for direct_fd */
	uint64_t size;	    /* bytes */
	bool read_only;
	bool cached; /* something was written to the page cache; any thread sets it */
};

struct blk;

/* A virtqueue and its own io_uring. */
struct queue {
	struct blk *blk;
	int idx;
	bool prepared; /* it has what it needs */
	bool running;  /* the front-end has started it */
	struct io_uring ring;
	int ring_event;	       /* eventfd: there are completions */
	int poll_timer;	       /* timerfd: look at the ring, nobody kicks; or -1 */
	unsigned int inflight; /* requests in the ring */
	unsigned int filled;   /* pushed, not yet shown to the driver */
	bool cancelling;       /* what comes back undone is left to the next back-end */
	/* With a thread a queue: */
	pthread_t thread;
	pthread_mutex_t lock; /* held while the thread is inside the library */
	bool go;	      /* the queue runs; with the lock, and so is */
	int kick;	      /* the driver's eventfd, or -1 */
	int wake_event;
	bool stop;
};

struct blk {
	VuDev dev; /* first, so that a VuDev is a struct blk */
	const struct options *opt;
	struct image image;
	struct loop *loop;
	struct virtio_blk_config config;
	uint8_t writeback; /* read by the queues' threads */
	bool wants_cache;  /* the driver, unless it has said otherwise */
	bool can_flush;	   /* it has FLUSH */
	struct queue queues[MAX_QUEUES];
	unsigned int running; /* of them */
};

/* log.c: lines on standard error, "vu-blk: ..."  */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_verbose(const struct options *opt, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* image.c.  0, or -1 after saying why. */
int image_open(struct image *im, const struct options *opt);
void image_close(struct image *im);

/*
 * Another host may serve the image before we do, and after us, and has a page cache of
 * its own: forgets what ours has; writes what ours alone has.
 */
void image_take_over(struct image *im);
void image_hand_over(struct image *im);

/* main.c: the device comes from another process, or has gone to one. */
void server_adopt(VuDev *dev, int listener);
void server_handed_over(VuDev *dev);

/* device.c */
extern const VuDevIface blk_iface;
extern const struct vu_ext_ops blk_ext_ops;
void blk_init_config(struct blk *b);
void blk_set_wants_cache(struct blk *b, bool on);

/*
 * queue.c: get ready to serve a queue, begin to, and finish everything it has in flight.
 */
bool queue_prepare(struct queue *q);
void queue_start(struct queue *q);
void queue_stop(struct queue *q);

/* request.c: takes what the driver has made available; shows it what is done; gives up
 * what can be given up. */
void requests_serve(struct queue *q);
void requests_complete(struct queue *q, bool wait_for_all);
void requests_cancel(struct queue *q);

/* state.c: what the driver has changed, for a migration */
int state_save(VuDev *dev, void **data, size_t *len);
int state_load(VuDev *dev, uint32_t version, const void *data, size_t len);
#define STATE_NAME    "vu-blk"
#define STATE_VERSION 1

#endif
