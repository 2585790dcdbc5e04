/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Queues that are looked at, and the programs that look: kept together as both change. */
#ifndef VU_TRACE_SESSION_H
#define VU_TRACE_SESSION_H

#include "load.h"
#include "options.h"
#include "world.h"

#define QUEUE_NAME 96
#define READ_MS	   50 /* events are read so often, and before their buffer is full */

struct session {
	const struct options *opt;
	struct world *world;
	struct loader *loader; /* NULL with tier E, and for commands that only look */
	char tier;
	struct slot_info *slots;
	uint32_t nslots;
	uint32_t libvu_pids[MAX_PIDS]; /* whose points are attached */
	unsigned int nlibvu;
	uint64_t begun_ns;
	struct vu__sampler *sampler; /* for roles; NULL: not needed so far */
	unsigned int role_looks;
	bool want_roles;
	int no_bpf; /* why not, -errno; 0: it was not asked for */
	bool gone; /* all processes that were asked for */
	bool table_changed;
	bool done;
};

/* What is known of a slot, also after its queue has gone. */
struct slot_info {
	bool selected;
	bool present;
	char name[QUEUE_NAME]; /* VM:DEVICE:QUEUE */
	struct queue queue;    /* as it was seen last */
	uint8_t role;	       /* enum vu__obs_role, if roles are wanted */
	uint64_t kick_obj, call_obj;
	uint64_t kick_before; /* in the counter when it was first seen */
	uint64_t kick_added;  /* of the kicks counted: such */
};

/*
 * What a command needs.  Says what is wrong; an exit status, or -1 to go on.  @o: NULL
 * for commands that only look.
 */
int session_open(struct session *s, const struct options *opt, struct load_options *o);
void session_close(struct session *s);

/* Looks again and follows what has changed.  0 or -errno. */
int session_update(struct session *s);

const char *session_queue_name(const struct session *s, uint32_t slot);
unsigned int session_selected(const struct session *s);

/* Finds out what queues are for, if that is wanted and not known. */
void session_find_roles(struct session *s);

/* Says that no queue is selected, and @more. */
void session_say_none(const struct session *s, const char *more);

/*
 * In tier E, when all has been looked at: @any: there is a queue.  Says which tier this is,
 * or what is waited for; false: that it is of no use.
 */
bool session_goes_on(const struct session *s, bool any);

/* The exit status of a command that followed queues: failed if there never was one. */
int session_status(const struct session *s);

/*
 * Waits up to @ms, hands events to @fn, follows messages and, once a second, the rest.
 * False when the command is to end: by signal, or by its duration.
 */
bool session_run(struct session *s, int ms, event_fn *fn, void *opaque);

/* Says what was lost on the way; true if something was. */
bool session_say_losses(const struct session *s);

uint64_t now_ns(void);

/* SIGINT and SIGTERM end session_run(); a second one ends the program. */
void catch_signals(void);
bool interrupted(void);

#endif
