/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ring's life: readied, started, broken, stopped.  Control thread, with the
 * queue's thread kept out; vu__ring_break(): queue's thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "core/chain.h"
#include "core/packedring.h"
#include "core/used.h"

int vu__ring_prepare(struct vu__ring *r, unsigned int num, bool packed)
{
	VU_CLEANUP_FREE uint16_t *popped = NULL, *filled = NULL;
	VU_CLEANUP_FREE uint8_t *head_gen = NULL;

	if (vu__meter_prepare(&r->meter))
		return -ENOMEM;
	r->is_packed = packed;
	if (packed && vu__packed_prepare(&r->packed, num))
		return -ENOMEM;
	if (num <= r->alloc_num)
		return 0;
	head_gen = vu__sys.calloc(num, sizeof(*head_gen));
	popped = vu__sys.calloc(num, sizeof(*popped));
	filled = vu__sys.calloc(num, sizeof(*filled));
	if (!r->iov)
		r->iov = vu__sys.calloc(VIRTQUEUE_MAX_SIZE, sizeof(*r->iov));
	if (!r->own_gen_time)
		r->own_gen_time = vu__sys.calloc(VU__GENS, sizeof(*r->own_gen_time));
	if (!head_gen || !popped || !filled || !r->iov || !r->own_gen_time)
		return -ENOMEM;
	free(r->own_head_gen);
	free(r->popped);
	free(r->filled);
	r->own_head_gen = vu__steal_ptr(&head_gen);
	r->popped = vu__steal_ptr(&popped);
	r->filled = vu__steal_ptr(&filled);
	r->alloc_num = num;
	return 0;
}

void vu__ring_destroy(struct vu__ring *r)
{
	vu__ring_stop(r);
	vu__ring_drop_orphans(r);
	free(vu__steal_ptr(&r->own_head_gen));
	free(vu__steal_ptr(&r->own_gen_time));
	free(vu__steal_ptr(&r->popped));
	free(vu__steal_ptr(&r->filled));
	free(vu__steal_ptr(&r->writable));
	free(vu__steal_ptr(&r->iov));
	free(vu__steal_ptr(&r->scratch));
	vu__packed_destroy(&r->packed);
	vu__meter_destroy(&r->meter);
	r->alloc_num = 0;
}

void vu__ring_resubmit(struct vu__ring *r, struct vu__inflight_left *left)
{
	VuVirtq *vq = r->vq;

	free(vq->resubmit_list);
	vq->resubmit_list = vu__steal_ptr(&left->list);
	vq->resubmit_num = left->n;
	vq->counter = left->counter;
	r->resubmits = left->n;
}

/* What the last back-end has taken counts as in flight before it is popped again. */
static void start_resubmitting(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;

	vq->inuse = vq->resubmit_num;
	r->resubmitting = vq->resubmit_num;
	for (unsigned int i = 0; i < vq->resubmit_num; i++)
		r->head_gen[vq->resubmit_list[i].index] = VU__GEN_RESUBMIT;
}

void vu__ring_leave_resubmits(struct vu__ring *r)
{
	if (!r->resubmitting)
		return;
	r->resubmitting = false;
	r->can_pop = r->open;
	r->vq->inuse -= r->vq->resubmit_num;
}

void vu__ring_place(struct vu__ring *r, const VuRing *ring)
{
	VuRing *v = &r->vq->vring;
	struct vu__packed *p = &r->packed;

	*v = *ring;
	r->table = ring->desc;
	if (!r->is_packed)
		return;
	p->desc = (void *)ring->desc;
	p->driver = (const void *)ring->avail;
	p->device = (void *)ring->used;
	/* The log's address in the message is of one part; and peers differ on which. */
	p->desc_gpa = vu__memmap_gpa(r->map, p->desc);
	p->device_gpa = vu__memmap_gpa(r->map, p->device);
	r->table = p->kept;
	v->desc = NULL;
	v->avail = NULL;
	v->used = NULL;
}

/* Where generations are kept: readers look for them in the annex. */
static void use_room(struct vu__ring *r)
{
	struct vu_telemetry_annex *annex = r->meter.annex;

	r->head_gen = annex ? (uint8_t *)(annex + 1) : r->own_head_gen;
	r->gen_time = annex ? annex->starts : r->own_gen_time;
	memset(r->head_gen, 0, r->vq->vring.num);
}

/* Of all rings of the process: an element pushed to another one is not taken, either. */
static uint32_t next_run(void)
{
	static uint32_t starts;

	return VU__RUN | (__atomic_add_fetch(&starts, 1, __ATOMIC_RELAXED) & ~VU__RUN_MASK);
}

/* Asks for kicks.  True if there is something to pop already. */
static bool begin_split(struct vu__ring *r)
{
	/*
	 * Another back-end may have left its own wish in the ring, or an avail_event that
	 * the driver has passed: both would leave us asleep.
	 */
	vu__ring_set_used_flags(r, 0);
	if (r->event_idx)
		return vu__ring_arm(r);
	vu__split_fence();
	return vu__split_avail_idx(r->vq->vring.avail) != r->vq->last_avail_idx;
}

bool vu__ring_start(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;
	bool pending;

	r->run = next_run();
	r->refused = 0;
	r->mask = vq->vring.num - 1;
	vq->shadow_avail_idx = vq->last_avail_idx;
	if (!r->is_packed)
		vq->used_idx = vu__split_used_idx(vq->vring.used);
	vq->signalled_used = vq->used_idx;
	vq->signalled_used_valid = false;
	vq->notification = true;
	use_room(r);
	memset(r->popped, 0xff, r->alloc_num * sizeof(*r->popped));
	memset(r->filled, 0xff, r->alloc_num * sizeof(*r->filled));
	start_resubmitting(r);
	vu__ring_track(r);
	vu__ring_first_gen(r);
	vu__ring_look_again(r);
	r->drained_fd = -1;
	r->broken[0] = '\0';
	r->can_push = true;
	r->open = true;
	r->can_pop = !r->resubmitting;
	pending = r->is_packed ? vu__packed_start(r) : begin_split(r);
	return pending || r->resubmitting;
}

void vu__ring_stop(struct vu__ring *r)
{
	if (r->can_push && r->vq->inuse > 0) {
		if (r->dirty.data)
			vu__ring_mark_in_flight(r);
		vu__ring_orphan_maps(r);
	}
	vu__dirty_flush(&r->dirty);
	if (r->can_push)
		vu__meter_stopped(&r->meter);
	vu__ring_close(r);
	r->can_push = false;
	r->resubmitting = false;
	r->vq->inuse = 0;
	r->vq->resubmit_num = 0;
	free(vu__steal_ptr(&r->vq->resubmit_list));
	r->vq->vring.desc = NULL;
	r->vq->vring.avail = NULL;
	r->vq->vring.used = NULL;
	r->packed.desc = NULL;
	r->packed.driver = NULL;
	r->packed.device = NULL;
	r->table = NULL;
	vu__ring_drop_maps(r);
}

void vu__ring_break(struct vu__ring *r, const char *fmt, ...)
{
	va_list ap;

	if (r->broken[0])
		return;
	va_start(ap, fmt);
	vsnprintf(r->broken, sizeof(r->broken), fmt, ap);
	va_end(ap);
	vu__ring_close(r);
	r->resubmitting = false;
	if (r->on_break)
		r->on_break(r, r->opaque);
}
