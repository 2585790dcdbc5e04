/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the driver's sides of split and packed virtqueues share: the queue, and what each
 * format does in its own way.
 */
#ifndef VU_FRONTEND_QUEUE_H
#define VU_FRONTEND_QUEUE_H

#include "frontend/fe.h"

#define VU__FE_NO_ID 0xffff

struct vu__fe_format {
	const char *name;
	uint32_t first_base; /* of a ring that nobody has used */
	/* Points q->ring into the queue's memory, which is zeroed, and goes to its start. */
	void (*reset)(struct vu_frontend_queue *q);
	/* The features are negotiated, the device does not run yet.  May be NULL. */
	void (*starting)(struct vu_frontend_queue *q);
	int (*submit)(struct vu_frontend_queue *q, const struct vu_frontend_buf *bufs,
		      unsigned int n, uint64_t token);
	/* Whether the device wants to know of what was submitted since the last time. */
	bool (*wants_kick)(struct vu_frontend_queue *q);
	bool (*something_used)(const struct vu_frontend_queue *q);
	int (*reap)(struct vu_frontend_queue *q, uint64_t *token, uint32_t *len);
	void (*want_calls)(struct vu_frontend_queue *q);
	/* Where a device is to begin that is told nothing by the one before it. */
	uint32_t (*base_left)(const struct vu_frontend_queue *q);
};

extern const struct vu__fe_format vu__fe_split, vu__fe_packed;

/* A place in a packed ring. */
struct vu__fe_place {
	uint16_t slot;
	bool wrap; /* the wrap counter there */
};

struct vu_frontend_queue {
	struct vu_frontend *fe;
	struct vu_frontend_queue *next;
	const struct vu__fe_format *format;
	struct vu_frontend_ring ring;
	unsigned int idx;
	uint64_t gpa;
	uint8_t *mem; /* all of the ring */
	int kick_fd, call_fd, err_fd;
	unsigned int flags; /* of the start */
	bool event_idx;
	bool want_calls;
	bool running;
	bool fresh; /* nothing was ever submitted: the format may still change */
	uint32_t base; /* where the device begins */
	struct {
		uint16_t avail_idx, kicked_idx, used_idx;
	} split;
	struct {
		struct vu__fe_place avail, used;
		unsigned int added; /* descriptors since the last look at the device's wish */
	} packed;
	/* By head in a split ring, by buffer ID in a packed one. */
	uint16_t free_id;    /* a list through next_of[] */
	uint16_t *next_of;
	uint16_t *chain_len; /* descriptors that are out with it; 0: it is not out */
	uint64_t *tokens;
	unsigned int nfree; /* descriptors */
	unsigned int outstanding;
	uint64_t indirect_gpa;
	unsigned int indirect_max;
};

/*
 * Between our store and our look at what the device stores: the device does the same in
 * reverse, so one of the two sees the other's.
 */
void vu__fe_fence(void);

/* Parts of a queue's memory: one behind the other, the device's on pages of its own. */
uint8_t *vu__fe_driver_area(const struct vu_frontend_queue *q);
uint8_t *vu__fe_device_area(const struct vu_frontend_queue *q);

/* The indirect table that goes with @id, of @n descriptors.  NULL: not in memory. */
void *vu__fe_table(struct vu_frontend_queue *q, uint16_t id, unsigned int n, uint64_t *gpa);

/* Takes an ID from the list of free ones; there is one. */
uint16_t vu__fe_take_id(struct vu_frontend_queue *q);

#endif
