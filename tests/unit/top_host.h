/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host made up for tests of vu-top: what a sampler would have seen of it, second by
 * second.  Two machines, web7 with a disk of libvu's that has a stuck queue and a network
 * card, db1 with a foreign disk whose ring somebody has stopped; a back-end that is dead,
 * and one that may not be looked at.
 */
#ifndef VU_TESTS_TOP_HOST_H
#define VU_TESTS_TOP_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vu-top/alert.h"
#include "vu-top/model.h"
#include "vu-top/out.h"
#include "vu-top/ui.h"

#define SECOND 1000000000ull
#define HOST_START (5000 * SECOND)
#define HOST_REAL  (1790000000 * SECOND) /* 2026-09-21 14:13:20 UTC */

/* Snapshots with room for more. */
struct vu__obs_snapshot *host_snapshot(uint64_t mono_ns);
uint32_t host_process(struct vu__obs_snapshot *s, pid_t pid, const char *comm, uint8_t roles,
		      enum vu__obs_kind kind);
uint32_t host_device(struct vu__obs_snapshot *s, uint32_t proc, int32_t vmm, uint32_t number,
		     const char *name, uint32_t virtio_id);
struct vu__obs_queue *host_queue(struct vu__obs_snapshot *s, uint32_t dev, uint16_t index,
				 uint32_t size);
void host_count(struct vu__obs_queue *q, enum vu__obs_counter c, uint64_t value);

/* A ring that is known from both sides. */
void host_ring(struct vu__obs_queue *q, uint16_t avail, uint16_t fetched, uint16_t used);

/* A frame of @s, which it takes. */
struct top_frame *host_frame(struct vu__obs_snapshot *s);

/* A histogram of @n values of @ns each, for latency @which of queue @queue. */
void host_hist(struct top_frame *f, uint32_t queue, enum vu__obs_latency which, uint64_t ns,
	       uint64_t n);

/* The host, @second seconds after its start. */
struct top_frame *host_at(unsigned int second);

/* A model that has seen seconds [0, @seconds). */
struct top_model *host_model(unsigned int seconds);

/* The queue of this device name and index in the model; it is there. */
struct top_queue *host_find(const struct top_model *m, const char *device, unsigned int q);

#endif
