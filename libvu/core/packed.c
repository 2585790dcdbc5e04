/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packed ring: popping, and putting back.  Queue's thread. */
#include "core/packed.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/sys.h"
#include "core/element.h"
#include "core/inflightpacked.h"
#include "core/packedring.h"

int vu__packed_prepare(struct vu__packed *p, unsigned int num)
{
	VU_CLEANUP_FREE struct vring_desc *kept = NULL;
	VU_CLEANUP_FREE struct vu__packed_chain *chains = NULL;
	VU_CLEANUP_FREE uint32_t *lens = NULL;

	if (num <= p->alloc_num)
		return 0;
	kept = vu__sys.calloc(num, sizeof(*kept));
	chains = vu__sys.calloc(num, sizeof(*chains));
	lens = vu__sys.calloc(num, sizeof(*lens));
	if (!kept || !chains || !lens)
		return -ENOMEM;
	vu__packed_destroy(p);
	p->kept = vu__steal_ptr(&kept);
	p->chains = vu__steal_ptr(&chains);
	p->lens = vu__steal_ptr(&lens);
	p->alloc_num = num;
	return 0;
}

void vu__packed_destroy(struct vu__packed *p)
{
	free(vu__steal_ptr(&p->kept));
	free(vu__steal_ptr(&p->chains));
	free(vu__steal_ptr(&p->lens));
	p->alloc_num = 0;
}

void vu__packed_clear(struct vu__packed *p, unsigned int num)
{
	for (unsigned int i = 0; i < num; i++)
		p->kept[i].next = htole16(i + 1);
	p->free_head = 0;
	p->nfree = num;
}

/* --- looking --- */

/* Asks for a kick at the next chain, and looks whether that came too late. */
bool vu__packed_arm(struct vu__ring *r)
{
	struct vu__packed *p = &r->packed;

	vu__packed_ask(r, VRING_PACKED_EVENT_FLAG_DESC, p->avail);
	r->armed = true;
	r->armed_at = p->avail;
	/* Our wish before the descriptor: the driver stores and loads them in reverse. */
	vu__split_fence();
	return vu__packed_available_at(r, p->avail);
}

static bool rearm(struct vu__ring *r)
{
	if (!r->event_idx || !r->vq->notification ||
	    (r->armed && r->armed_at == r->packed.avail))
		return false;
	return vu__packed_arm(r);
}

/* Tells the meter what was found since it was told last. */
static void tell_found(struct vu__ring *r)
{
	struct vu__packed *p = &r->packed;

	if (p->found)
		vu__meter_looked(&r->meter, p->found, !p->nfree);
	p->found = 0;
}

bool vu__packed_look_again(struct vu__ring *r)
{
	if (rearm(r))
		return true;
	tell_found(r);
	vu__meter_looked(&r->meter, 0, false);
	return false;
}

static VU_NOINLINE void begin_row(struct vu__ring *r)
{
	tell_found(r);
	vu__meter_pops(&r->meter);
	vu__ring_date(r);
	r->packed.row = VU__METER_PERIOD;
}

/* --- popping --- */

VU_COLD static bool too_many(struct vu__ring *r)
{
	vu__ring_break(r, "a chain of more descriptors than are left of the ring's %u",
		       r->vq->vring.num);
	return false;
}

VU_COLD static bool mixed(struct vu__ring *r)
{
	vu__ring_break(r, "an indirect descriptor in a chain of others");
	return false;
}

/*
 * Copies the chain at @place to free entries.  Its first flags were read before, and all
 * of it was there then.  False: the ring is broken.
 */
static VU_ALWAYS_INLINE bool copy_chain(struct vu__ring *r, uint16_t place,
					struct vu__packed_filling *f, uint16_t *id)
{
	struct vu__packed *p = &r->packed;
	unsigned int slot = vu__packed_slot(place), num = r->vq->vring.num;
	uint16_t flags;

	*f = vu__packed_fill_begin(p);
	do {
		const struct vring_packed_desc *d = &p->desc[slot];
		uint64_t addr = vu__packed_addr(d), rest = vu__packed_rest(d);

		flags = (rest >> 48) &
			(VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT);
		*id = rest >> 32;
		if (VU_UNLIKELY(!vu__packed_keep(p, f, addr, (uint32_t)rest, flags)))
			return too_many(r);
		if (++slot == num)
			slot = 0;
	} while (flags & VRING_DESC_F_NEXT);
	/* "Each list only contains descriptors of a given type." */
	return VU_LIKELY(!(flags & VRING_DESC_F_INDIRECT) || f->n == 1) || mixed(r);
}

void *vu__packed_pop(struct vu__ring *r, size_t size, struct vu__arena *arena)
{
	struct vu__packed *p = &r->packed;
	VuVirtq *vq = r->vq;
	struct vu__packed_filling f;
	uint16_t head = p->free_head, id;
	void *elem;

	if (VU_UNLIKELY(size < sizeof(VuVirtqElement)) || !vu__packed_have(r) ||
	    !copy_chain(r, p->avail, &f, &id))
		return NULL;
	if (VU_UNLIKELY(!p->row))
		begin_row(r);
	elem = vu__elem_collect(r, size, head, arena);
	if (VU_UNLIKELY(!elem))
		return NULL;
	vu__packed_commit(p, &f, id);
	r->head_gen[head] = r->gen;
	r->popped[p->turn] = head;
	p->turn = p->turn + 1u == vq->vring.num ? 0 : p->turn + 1;
	if (VU_UNLIKELY(vq->inflight))
		vu__inflight_packed_take(vq, p, head);
	vq->inuse++;
	p->row--;
	p->found++;
	vu__packed_move_avail(r, vu__packed_step(p->avail, f.n, vq->vring.num));
	vu__meter_popped(&r->meter, ++p->popped);
	/*
	 * The last one there is: should the device go to sleep now without looking again,
	 * the next one must kick.
	 */
	if (r->event_idx && vq->notification && !vu__packed_available_at(r, p->avail)) {
		vu__packed_ask(r, VRING_PACKED_EVENT_FLAG_DESC, p->avail);
		/* Without a look behind a fence this is a hope, not a promise. */
		r->armed = false;
	}
	return elem;
}

bool vu__packed_sum(struct vu__ring *r, uint64_t *in, uint64_t *out, uint64_t max_in,
		    uint64_t max_out)
{
	struct vu__packed *p = &r->packed;
	uint16_t place = p->avail, id;
	unsigned int left = p->nfree;

	while (left && vu__packed_available_at(r, place)) {
		struct vu__packed_filling f;

		/* To entries that stay free; each chain to the same ones. */
		if (!copy_chain(r, place, &f, &id) || !vu__chain_sum(r, p->free_head, in, out))
			return false;
		if ((*in >= max_in && *out >= max_out) || f.n > left)
			break;
		left -= f.n;
		place = vu__packed_step(place, f.n, r->vq->vring.num);
	}
	return true;
}

/* --- putting back --- */

static uint16_t last_turn(const struct vu__ring *r)
{
	return (r->packed.turn ? r->packed.turn : r->vq->vring.num) - 1;
}

uint16_t vu__packed_last_popped(const struct vu__ring *r)
{
	return r->popped[last_turn(r)];
}

void vu__packed_take_back(struct vu__ring *r)
{
	struct vu__packed *p = &r->packed;
	VuVirtq *vq = r->vq;
	uint16_t head;

	p->turn = last_turn(r);
	head = r->popped[p->turn];
	r->popped[p->turn] = VU__NO_HEAD;
	if (vq->inflight)
		vu__inflight_packed_drop(vu__inflight_packed_of(vq), p, head);
	vu__packed_release(p, head);
	vu__packed_move_avail(r, vu__packed_step_back(p->avail, p->chains[head].num,
						      vq->vring.num));
	vq->inuse--;
	vu__meter_unpopped(&r->meter, --p->popped);
}
