/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A back-end and a front-end at the two ends of a socket pair.
 *
 * The back-end runs in a thread with an event loop of its own, so that the front-end's
 * calls can wait for its answers.  pair_lock() keeps that thread out while a test looks
 * at the device.  pair_free() ends both and fails the test if a file descriptor is left.
 */
#ifndef VU_TESTS_PAIR_H
#define VU_TESTS_PAIR_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "libvu/ext.h"
#include "libvu/frontend.h"
#include "wire/msg.h"

#define PAIR_QUEUES  4
#define PAIR_WATCHES 64
#define PAIR_HELD    64

/* What the device does with a request. */
enum pair_mode {
	PAIR_ECHO, /* copy what can be read into what can be written */
	PAIR_INSIST, /* the same, until vu_queue_empty() agrees that there is no more */
	PAIR_HOLD, /* pop and keep */
	PAIR_NONE, /* not even look */
};

struct pair_options {
	unsigned int queues; /* 0: PAIR_QUEUES */
	uint64_t features;   /* of the device, beside the library's */
	uint64_t protocol_features;
	bool no_config;
	bool in_order;
	bool packed; /* rings */
	bool no_handler; /* nobody watches the kick eventfds */
	enum pair_mode mode;
	vu_process_msg_cb process_msg;
	vu_read_msg_cb read_msg;
	const struct vu_ext_ops *ext;
};

struct pair {
	VuDev dev; /* first */
	struct vu_frontend *fe;
	struct pair_options opt;
	int sock; /* the back-end's */
	int fds_before; /* -1: files come from and go to another, the test counts */
	pthread_t thread;
	pthread_mutex_t lock;
	int wake;
	atomic_bool quit;
	atomic_bool gone; /* vu_dispatch() has returned false */
	VuDevIface iface;
	struct {
		int fd;
		short events;
		vu_watch_cb cb;
		void *data;
	} watches[PAIR_WATCHES];
	/* What has happened; with the lock held. */
	enum pair_mode mode;
	unsigned int panics;
	char panic_text[512];
	unsigned int starts[PAIR_QUEUES], stops[PAIR_QUEUES], handled[PAIR_QUEUES];
	uint64_t popped;
	VuVirtqElement *held[PAIR_HELD];
	unsigned int nheld;
	uint8_t config[VHOST_USER_MAX_CONFIG_SIZE];
	uint32_t config_flags;
	uint32_t config_len;	    /* the largest end a callback was given */
	unsigned int processed[64]; /* requests process_msg has seen, by number */
};

/* Everything the library can offer, with split rings. */
#define PAIR_ALL (~VU_BIT(VU__F_RING_PACKED))

struct pair *pair_new(const struct pair_options *opt);

/* ... with features and protocol features negotiated and 1 MiB of memory at 0. */
struct pair *pair_ready(const struct pair_options *opt);

/* ... but without some of the features, and with @memory bytes. */
struct pair *pair_ready_without(const struct pair_options *opt, uint64_t features,
				uint64_t memory);

/* Features and protocol features, all that are offered; packed rings only if wanted. */
void pair_negotiate(struct pair *p);

/*
 * Ends the back-end in the middle of what it does and connects the front-end, with its
 * memory and rings, to a new one; @in_place: with vu_reconnect().
 */
void pair_restart(struct pair *p, bool in_place);

void pair_free(struct pair *p);

void pair_lock(struct pair *p);
void pair_unlock(struct pair *p);

/* Waits until the back-end has given the connection up; fails after 5 s. */
void pair_wait_gone(struct pair *p);

/* Waits until the back-end has popped @n requests in all; fails after 5 s. */
void pair_wait_popped(struct pair *p, uint64_t n);

/* Pushes what PAIR_HOLD has kept, in order, and notifies. */
void pair_release_held(struct pair *p, unsigned int queue);

/* A queue of @num entries at @gpa, started. */
struct vu_frontend_queue *pair_queue(struct pair *p, unsigned int idx, unsigned int num,
				     uint64_t gpa, unsigned int flags);

/* Submits one readable and one writable buffer, kicks, and checks the echo. */
void pair_echo(struct pair *p, struct vu_frontend_queue *q, uint64_t token);

/* A message to be sent wrongly: version 1, @size bytes of payload zeroed. */
struct vu_frontend_message pair_message(uint32_t request, uint32_t size);

/* Sends @msg with NEED_REPLY: it is refused, and the connection lives. */
void pair_expect_refused(struct pair *p, const struct vu_frontend_message *msg);

/* Sends @msg as it is: the connection ends, with one panic. */
void pair_expect_fatal(struct pair *p, const struct vu_frontend_message *msg);

/* Open file descriptors of this process. */
int count_fds(void);

/* An eventfd, closed by the caller. */
int new_eventfd(void);

#define check_ok(p, call)                                                                \
	do {                                                                             \
		int check_ret = (call);                                                  \
		if (check_ret)                                                           \
			fail_msg("%s: %d: %s", #call, check_ret,                         \
				 vu_frontend_error((p)->fe));                            \
	} while (0)

#endif
