/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtqueue from the device's side: a split one (virtio 1.2, "Split Virtqueues"), or a
 * packed one, whose own is in packed.h.
 *
 * The indices, and where the ring is, live in the public VuVirtq; struct vu__ring has
 * what the public does not see.  Everything the guest can write is read once into a
 * local, checked, then used; what is wrong breaks the ring, which from then on looks
 * empty.
 *
 * Threads: one at a time.  What says whether there may be pops and pushes, and the map,
 * are changed by the control thread only while the queue's thread is kept out.
 */
#ifndef VU_CORE_RING_H
#define VU_CORE_RING_H

#include "core/dirtylog.h"
#include "core/inflight.h"
#include "core/memmap.h"
#include "core/meter.h"
#include "core/packed.h"
#include "libvu/libvhost-user.h"

/* Memory that elements popped before a change of the memory table still point into. */
struct vu__retired {
	struct vu__retired *next;
	struct vu__memmap *map;
	unsigned int left; /* elements */
	uint32_t number;   /* gen_map of theirs */
};

/*
 * What is popped with the same memory map, and at the same time as far as that is known,
 * is of one generation: 1 to 254, in head_gen for as long as it is in flight.
 */
#define VU__GENS	 256u
#define VU__GEN_RESUBMIT UINT8_MAX /* taken by the last back-end, not yet popped again */
#define VU__NO_HEAD	 UINT16_MAX

/* The writable buffers of what was popped while data is logged, if they are one or two. */
struct vu__writable {
	uint64_t gpa[2];
	uint32_t len[2]; /* 0: there is none; len[0] and gpa[0]: or more, look at the chain */
};

/* Where the used ring is logged, if all of it is in one word of the log. */
struct vu__used_log {
	uint64_t *word; /* NULL: it is not */
	uint64_t index; /* bit of the index's page in that word, as noted, */
	uint64_t entry; /* of the page of the entries from @from on, so many, */
	uint64_t both;	/* and of both, so many pages */
	uint16_t from, num, pages;
};

/* What there is to do for a request but to complete it. */
enum vu__tracked {
	VU__TRACKED_NOT,
	VU__TRACKED_LOG, /* buffers and the used ring are logged, in ways that can be quick */
	VU__TRACKED,	 /* dirty pages are logged, or what is in flight is noted */
	VU__TRACKED_PACKED, /* the ring is packed: all of it is elsewhere */
};

/*
 * An element says which start of a ring it is of, so that one that comes back after the
 * next start is not taken for what then has its index.  A program that makes elements of
 * its own has something else there: those are taken for this start's.
 */
#define VU__RUN	     0x76750000u
#define VU__RUN_MASK 0xffff0000u

struct vu__ring {
	/* What every element needs, close together. */
	VuVirtq *vq;
	const struct vring_desc *table; /* where chains begin: the ring's, or packed.kept */
	const struct vu__span *span; /* of the map, where the last buffer was; never NULL */
	uint16_t mask;	    /* size - 1 */
	uint16_t row;	    /* entries that may be popped without looking at anything else;
			       0 in a packed ring */
	uint8_t gen;   /* of what is popped now; never 0 */
	bool can_pop;  /* open, and nothing to be resubmitted */
	bool open;     /* started, not broken, not being stopped */
	bool can_push; /* the used ring may be written */
	bool resubmitting; /* vq->resubmit_list comes before the available ring */
	uint8_t tracked;   /* enum vu__tracked */
	bool event_idx;
	bool indirect;
	bool notify_on_empty;
	bool is_packed;
	bool armed;	   /* avail_event is armed_at */
	uint16_t armed_at;
	uint8_t *head_gen; /* per head: gen it was popped in, 0 if it is not in flight */
	uint16_t *popped;  /* per place in the available ring: the head popped there; in a
			      packed ring, in the order they were, in turns */
	struct iovec *iov; /* scratch of VIRTQUEUE_MAX_SIZE */
	struct vu__meter meter;
	int drained_fd; /* eventfd to signal when nothing is in flight or to be resubmitted, or -1 */
	uint32_t run;	/* of elements popped since this start: VU__RUN and a number */
	/* And the rest. */
	struct vu__memmap *map;
	uint64_t *gen_time; /* per gen: when that was */
	uint16_t *filled; /* per place in the used ring: the head filled there, with inflight;
			     in a packed ring, per place in the batch */
	void *scratch;	  /* for an indirect table that is not in one piece, or packed */
	struct vu__packed packed;
	struct vu__dirty dirty;
	struct vu__used_log used_log;
	struct vu__writable *writable; /* per head; made when data is logged first */
	uint32_t map_number;	    /* of map, among those of this start of the ring */
	uint32_t gen_map[VU__GENS]; /* per gen: number of the map it points into */
	uint64_t free_gens[VU__GENS / 64]; /* a bit for each that is known to be free */
	uint8_t *own_head_gen; /* head_gen and gen_time are these, or, from the next start */
	uint64_t *own_gen_time; /* on, in the meter's annex */
	uint16_t resubmits; /* length of vq->resubmit_list */
	uint32_t refused;   /* of the elements filled since the last flush */
	struct vu__retired *retired;
	struct vu__retired *orphans; /* of elements a stop did not wait for */
	unsigned int alloc_num; /* the size the arrays above were made for */
	char broken[160];	/* why the guest broke it; empty: it did not */
	/* Called once when the ring breaks, in the thread that found out. */
	void (*on_break)(struct vu__ring *r, void *opaque);
	/* The log has no bit for these bytes, which have been written. */
	void (*on_log_short)(struct vu__ring *r, uint64_t gpa, uint64_t len, void *opaque);
	void *opaque;
};

/* Readies @r for rings of @num entries, packed ones or not.  0 or -ENOMEM. */
VU_MUST_CHECK int vu__ring_prepare(struct vu__ring *r, unsigned int num, bool packed);

/*
 * Where the ring is, in the memory of its map.  A packed one's three parts are given as a
 * split ring's are, and are not shown in vq->vring, whose pointers are of other types.
 */
void vu__ring_place(struct vu__ring *r, const VuRing *ring);

/* Releases everything but the public part. */
void vu__ring_destroy(struct vu__ring *r);

/*
 * What is left in flight by the last back-end is popped first when the ring is started.
 * Takes over @left's list.
 */
void vu__ring_resubmit(struct vu__ring *r, struct vu__inflight_left *left);

/* What has not been popped again stays in flight for the next back-end. */
void vu__ring_leave_resubmits(struct vu__ring *r);

/*
 * Begins to serve a ring that has its place: takes the used index from it if it is split,
 * forgets what was in flight, asks for kicks.  True if there is something to pop
 * already, so that nobody waits for a kick that was sent before.
 */
bool vu__ring_start(struct vu__ring *r);

/* The next pop looks first whether it may pop, and what time it is. */
static inline void vu__ring_look_again(struct vu__ring *r)
{
	r->row = 0;
	r->packed.row = 0;
	vu__meter_expire(&r->meter);
}

/* Nothing is popped any more but what is to be resubmitted. */
static inline void vu__ring_close(struct vu__ring *r)
{
	r->open = false;
	r->can_pop = false;
	vu__ring_look_again(r);
}

/* ... and it is again, unless the driver has broken the ring. */
static inline void vu__ring_reopen(struct vu__ring *r)
{
	r->open = !r->broken[0];
	r->can_pop = r->open && !r->resubmitting;
}

/*
 * The ring's memory is gone: nothing is popped or pushed any more.  What is still in
 * flight stays mapped until vu__ring_destroy(): the device may be writing to it.
 */
void vu__ring_stop(struct vu__ring *r);

/* Maps of elements that are in flight, and of those a stop did not wait for: ringmap.c. */
void vu__ring_retired_done(struct vu__ring *r, uint8_t gen);
void vu__ring_first_gen(struct vu__ring *r);
void vu__ring_orphan_maps(struct vu__ring *r);
void vu__ring_drop_maps(struct vu__ring *r);
void vu__ring_drop_orphans(struct vu__ring *r);

/*
 * Takes a reference to another map for what is popped from now on; what is in flight
 * keeps the old one until it is pushed.  0; -EBUSY if too many old maps are still in
 * use; -ENOMEM.
 */
VU_MUST_CHECK int vu__ring_set_map(struct vu__ring *r, struct vu__memmap *map);

/* A ring that is served has moved, or is logged elsewhere, or no more. */
void vu__ring_set_addresses(struct vu__ring *r, const VuRing *ring);

/*
 * Marks go to @log from now on, which stays the caller's and must outlive its use
 * here; NULL ends logging.  @data: buffers too, not the used ring only.
 */
void vu__ring_set_log(struct vu__ring *r, struct vu__log *log, bool data, int call_fd);

/*
 * Marks what a start writes to the used ring.  A monitor that restarts a device in the
 * middle of a migration gives the log when rings run already.
 */
void vu__ring_mark_start(struct vu__ring *r);

/*
 * Logging or tracking of what is in flight begins or ends, or the ring starts: what is
 * popped from now on is recorded while data is logged.  Without memory, it is not.
 */
void vu__ring_track(struct vu__ring *r);

/* What is in flight and given up may have been written, wholly or in part. */
void vu__ring_mark_in_flight(struct vu__ring *r);

/* Notes that the device wrote these bytes.  False: the log has no room, it was told. */
static VU_ALWAYS_INLINE VU_MUST_CHECK bool vu__ring_mark(struct vu__ring *r, uint64_t gpa,
							  uint64_t len, enum vu__dirty_kind kind)
{
	if (VU_LIKELY(vu__dirty_add(&r->dirty, gpa, len, kind)))
		return true;
	r->on_log_short(r, gpa, len, r->opaque);
	return false;
}

/* ... something in that page. */
static VU_ALWAYS_INLINE VU_MUST_CHECK bool
vu__ring_mark_page(struct vu__ring *r, uint64_t page, enum vu__dirty_kind kind)
{
	if (VU_LIKELY(vu__dirty_add_page(&r->dirty, page, kind)))
		return true;
	r->on_log_short(r, page << VU__LOG_PAGE_SHIFT, 1, r->opaque);
	return false;
}

/* What is popped from now on is of the meter's time, if a generation is left for it. */
void vu__ring_date(struct vu__ring *r);

/* Breaks the ring, once, with a reason for a person. */
void vu__ring_break(struct vu__ring *r, const char *fmt, ...) VU_PRINTF(2, 3);

/* Memory that elements are made in one behind the other. */
#define VU__ARENA_ALIGN 16u
struct vu__arena {
	char *at, *end;
};

/* What the public calls of the same names do. */
void *vu__ring_pop(struct vu__ring *r, size_t size);
/* Pops into @arena, which has room for an element of the most buffers there may be. */
void *vu__ring_pop_in(struct vu__ring *r, size_t size, struct vu__arena *arena);
void vu__ring_push_burst(struct vu__ring *r, VuVirtqElement *const *elems,
			 const unsigned int *lens, unsigned int n);
void vu__ring_unpop(struct vu__ring *r, const VuVirtqElement *elem, uint64_t written);
bool vu__ring_abandon(struct vu__ring *r, const VuVirtqElement *elem);
bool vu__ring_rewind(struct vu__ring *r, unsigned int num);
/* Fills and flushes one. */
void vu__ring_push(struct vu__ring *r, const VuVirtqElement *elem, unsigned int len);
/* Filling says false, and is not to be flushed, if @elem is not in flight. */
bool vu__ring_fill(struct vu__ring *r, const VuVirtqElement *elem, unsigned int len,
		   unsigned int idx);
void vu__ring_flush(struct vu__ring *r, unsigned int num);
bool vu__ring_empty(struct vu__ring *r);
void vu__ring_set_notification(struct vu__ring *r, bool enable);
void vu__ring_avail_bytes(struct vu__ring *r, unsigned int *in, unsigned int *out,
			  unsigned int max_in, unsigned int max_out);

/*
 * The device is about to look at the ring, because the kick eventfd had @kicks in it,
 * or, with 0, for another reason.  It has notified, and this is what came of it.
 */
void vu__ring_woken(struct vu__ring *r, uint64_t kicks);
void vu__ring_notified(struct vu__ring *r, enum vu__call outcome);

/* Whether the driver wants to hear of what was flushed; asking counts as telling. */
bool vu__ring_should_call(struct vu__ring *r);

/* Whether something was flushed since that was asked. */
static inline bool vu__ring_owes_call(const struct vu__ring *r)
{
	if (r->is_packed)
		return r->can_push && r->packed.since;
	return r->can_push && r->vq->used_idx != r->vq->signalled_used;
}

#endif
