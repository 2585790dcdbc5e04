/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is found on this host, gathered again and again: the kernel's tables where BPF
 * may be used, else /proc; sockets; what telemetry says; the messages that were seen.
 */
#ifndef VU_TRACE_WORLD_H
#define VU_TRACE_WORLD_H

#include "event.h"
#include "observe/proc.h"
#include "topo.h"

struct world;

/* @bpf: false to do without.  0 or -errno. */
VU_MUST_CHECK int world_new(struct world **out, bool bpf);
void world_free(struct world *w);

/* Whether it sees the kernel's tables. */
bool world_has_bpf(const struct world *w);
uint64_t world_fops(const struct world *w);

/* Remembers what a message of a back-end has said (EV_TABLE). */
void world_add_message(struct world *w, const struct event *e);

/*
 * Looks at everything; @looks times, some milliseconds apart, to meet those who sleep in
 * poll() now and then.  Queues that were there before keep their slots.  The result is
 * valid until the next look.  0 or -errno.
 */
VU_MUST_CHECK int world_look(struct world *w, unsigned int looks);
const struct topo *world_topo(const struct world *w);
const struct found *world_found(const struct world *w);

/* Slots given so far: all are less than this. */
uint32_t world_slots(const struct world *w);

const char *world_comm(const struct world *w, uint32_t tgid);
const char *world_vm(const struct world *w, uint32_t tgid);
const struct vu__procfs *world_proc(const struct world *w);

#endif
