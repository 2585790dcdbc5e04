/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which eventfd is which queue's kick or call: from what was found in the kernel, in
 * /proc, in telemetry, in the messages that were seen.  Pure: no I/O.
 */
#ifndef VU_TRACE_TOPO_H
#define VU_TRACE_TOPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "event.h"
#include "scan.h"

/* --- what was found --- */

/* A process that has eventfds. */
struct found_proc {
	uint32_t tgid;
	uint32_t ppid;
	bool vmm;      /* has a KVM machine, or the name of a monitor */
	bool running;  /* a thread of it is on a processor: it may be polling */
	char comm[16];
	char vm[64]; /* what the monitor calls its machine; "" */
};

/* A connected pair of Unix sockets. */
struct found_link {
	uint32_t server, client; /* tgids; server: of the listening end, if @path is known */
	char path[108];		 /* "" not known */
};

/* A process has an eventfd open, and waits for it by an epoll set. */
struct found_watch {
	uint32_t tgid;
	int32_t fd;
};

/* What a message or telemetry says of an eventfd; by obj, or by id if obj is 0. */
struct found_fact {
	uint32_t backend; /* tgid */
	uint32_t device;  /* number in it; NO_DEVICE if not said */
	uint64_t obj;
	int32_t id;
	uint8_t role;
	uint8_t source; /* enum source */
	uint16_t index;
	char name[64]; /* of the device, or its socket; "" */
};
#define NO_DEVICE 0xffffffffU

struct found {
	const struct scan_rec *recs;
	size_t nrecs;
	const struct found_proc *procs; /* by tgid */
	size_t nprocs;
	const struct found_link *links;
	size_t nlinks;
	const struct found_watch *watches;
	size_t nwatches;
	const struct found_fact *facts;
	size_t nfacts;
};

/* --- what it comes to --- */

enum source {
	SRC_NONE,
	SRC_TELEMETRY, /* libvu says so */
	SRC_MESSAGE,   /* the message that gave it to the back-end was seen */
	SRC_KVM,       /* KVM's tables */
	SRC_WAIT,      /* who waits for it, and in which order they were made */
	SRC_ORDER,     /* the order alone */
	SRC_SOURCES,
};

enum confidence {
	CONF_NONE,
	CONF_POSSIBLE,
	CONF_LIKELY,
	CONF_CERTAIN,
};

enum mode {
	MODE_UNKNOWN,
	MODE_INTERRUPT, /* the back-end waits for the kick */
	MODE_POLLING,	/* nobody waits, and the back-end runs */
	MODE_UNWATCHED, /* nobody waits, and the back-end does not run */
};

struct end {
	uint64_t obj; /* 0: not known */
	int32_t id;
	int32_t vmm_fd, backend_fd; /* -1 */
	uint64_t vmm_file, backend_file;
	uint64_t count;
	uint8_t source, confidence;
};

struct queue {
	uint32_t slot; /* stays the queue's as long as vu-trace runs */
	uint32_t vmm, backend;
	uint32_t device; /* number among those of the pair, or in the back-end */
	uint32_t index;
	char name[108]; /* of the device: its socket or what libvu calls it */
	uint8_t mode;
	struct end kick, call, err;
	/* Where the guest's notification goes; 0 if KVM has no entry. */
	uint64_t notify_addr, notify_match;
	uint8_t notify_bus; /* enum scan_bus */
	uint8_t notify_exact; /* the value counts */
	uint32_t gsi;
	uint64_t msi_address;
	uint32_t msi_data;
};

struct topo {
	struct queue *queues; /* by vmm, backend, device, index */
	size_t nqueues;
	size_t unmatched; /* eventfds a monitor and a back-end share, of no known use */
};

/* 0 or -ENOMEM. */
VU_MUST_CHECK int topo_build(const struct found *f, struct topo *out);
void topo_release(struct topo *t);

const char *source_name(enum source s);
const char *confidence_name(enum confidence c);
const char *mode_name(enum mode m);

/* How a monitor is told by the name of its program. */
bool is_monitor_name(const char *comm);

#endif
