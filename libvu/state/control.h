/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket of a device: P-N.control in the run directory, SOCK_SEQPACKET.
 * proto/control.proto has what is said there.
 *
 * A few peers, of our own user or root; one request at a time, of at most 4 KiB; replies
 * that the peer must have room for.  Nothing here waits: what takes time is a job, one at
 * a time, which goes on from the event loop.  All of it runs in the control thread, from
 * the device's set_watch.
 */
#ifndef VU_STATE_CONTROL_H
#define VU_STATE_CONTROL_H

#include <sys/types.h>

#include "backend/dev.h"
#include "base/rundir.h"
#include "state/snap.h"

#define VU__CONTROL_VERSION  1
#define VU__CONTROL_REQUEST  4096u  /* bytes */
#define VU__CONTROL_REPLY    131072u /* bytes; a socket's buffer takes more */
#define VU__CONTROL_FDS	     2u	     /* the most that come with a request */
#define VU__CONTROL_PEERS    4u

struct vu__control;
struct Vu__Control__Request;
struct Vu__Control__Reply;

/* What goes on after a request has been taken; each is called in the control thread. */
struct vu__job {
	const char *name;
	bool may_save; /* again, while it goes on */
	void (*drained)(struct vu__control *c); /* with the device held; may be NULL */
	void (*timeout)(struct vu__control *c);
	void (*lost)(struct vu__control *c);	/* the tool has gone */
	/* May be NULL: messages are read. */
	enum vu__dispatch (*dispatch)(struct vu__control *c);
	void (*stop)(struct vu__control *c); /* the device stops its queues; may be NULL */
	void (*end)(struct vu__control *c); /* the device ends; releases what the job has */
};

struct vu__save {
	struct vu__snap snap;
	bool in_flight;
	bool hold;
	uint32_t hold_ms;
	uint64_t begin_ns;
};

struct vu__peer {
	struct vu__control *c;
	int fd; /* -1: a free place */
	pid_t pid;
	uint64_t heard_ns;
	bool deaf; /* it does not take answers: nothing more is read from it */
};

struct vu__control {
	struct vu__dev *d;
	int dir; /* the run directory */
	char name[64];
	int listener;
	int timer;
	struct vu__peer peers[VU__CONTROL_PEERS];
	struct vu__peer *talking; /* whose request is at hand */
	struct vu__peer *owner;	  /* whose job it is; NULL: a peer that is gone */
	struct vu__peer *watcher; /* of dirty pages, by a shadow log; or NULL */
	uint64_t complained_ns;
	bool watching;
	const struct vu__job *job;
	union {
		struct vu__save *save;
		struct vu__give *give;
		struct vu__take *take;
		void *job_data;
	};
};

extern const struct vu__service vu__control_service;

/*
 * Answers the tool, with fds that stay the caller's; a tool that has no room for it is
 * dropped.  vu__control_fail(): with an error.
 */
void vu__control_reply(struct vu__control *c, struct Vu__Control__Reply *reply,
		       const int *fds, unsigned int nfds);
void vu__control_fail(struct vu__control *c, int err, const char *fmt, ...) VU_PRINTF(3, 4);

/* For jobs that wait: calls job->timeout() after @ms; 0: never. */
void vu__control_timer(struct vu__control *c, uint64_t ms);

/* The job is over; the tool may ask for the next. */
void vu__control_done(struct vu__control *c);

/* Watching an fd of a job's; forgotten with vu__control_unwatch(), which closes it. */
void vu__control_unwatch(struct vu__control *c, int *fd);

/* The watcher of dirty pages is gone: dirty.c. */
void vu__watcher_lost(struct vu__control *c);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t vu__control_now(void);

/*
 * Requests.  Each answers at once or begins a job that will; takes over fds by setting
 * them to -1.
 */
typedef void vu__request(struct vu__control *c, const struct Vu__Control__Request *r,
			 int fds[VU__CONTROL_FDS]);
vu__request vu__request_hello, vu__request_save, vu__request_release, vu__request_restore,
	vu__request_give, vu__request_take, vu__request_dirty;

#endif
