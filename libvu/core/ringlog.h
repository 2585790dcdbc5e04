/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a ring marks in the dirty log as requests are completed.  Queue's thread.
 *
 * The used ring goes to the same few pages all the time.  Where their bits are is looked
 * up once a page, if all of them are in one word of the log, as they nearly always are.
 * That a bit is set is never remembered: the front-end clears it at any time.
 */
#ifndef VU_CORE_RINGLOG_H
#define VU_CORE_RINGLOG_H

#include "core/chain.h"
#include "core/used.h"

/* Looks up the page of the used entry at @slot.  False: there is no such thing. */
bool vu__ring_find_entry(struct vu__ring *r, uint16_t slot);

static VU_ALWAYS_INLINE bool vu__ring_knows_entry(struct vu__ring *r, uint16_t slot)
{
	return VU_LIKELY((uint16_t)(slot - r->used_log.from) < r->used_log.num) ||
	       (r->used_log.word && vu__ring_find_entry(r, slot));
}

/* Sets the bit of the last entry that was known, and what is noted, behind a barrier. */
void vu__ring_mark_entry_now(struct vu__ring *r);

/* Notes that the used entry at @slot has been written.  False: the log has no room. */
static VU_ALWAYS_INLINE VU_MUST_CHECK bool vu__ring_mark_entry(struct vu__ring *r,
								uint16_t slot)
{
	if (VU_UNLIKELY(!vu__ring_knows_entry(r, slot)))
		return vu__ring_mark_used(r, offsetof(struct vring_used, ring[slot]),
					  sizeof(vring_used_elem_t));
	if (!vu__skipped(VU__MARK_USED))
		r->dirty.noted[VU__DIRTY_RING].mask |= r->used_log.entry;
	return true;
}

/* ... and the used index. */
static VU_ALWAYS_INLINE void vu__ring_mark_index(struct vu__ring *r)
{
	if (VU_UNLIKELY(!r->used_log.word))
		(void)vu__ring_mark_used(r, offsetof(struct vring_used, idx),
					 sizeof(__virtio16));
	else if (!vu__skipped(VU__MARK_USED))
		r->dirty.noted[VU__DIRTY_RING].mask |= r->used_log.index;
}

/* The pages of what is recorded of a chain; the same twice if there is one. */
struct vu__written {
	uint64_t data, status;
};

/* True if [@gpa, @gpa + @len) lies in one page; nothing at 0 does not. */
static VU_ALWAYS_INLINE bool vu__in_one_page(uint64_t gpa, uint64_t len)
{
	return ((gpa + len - 1) ^ gpa) <= VU__LOG_PAGE_MASK;
}

/* With the first @len > 0 bytes written.  False: look at the chain. */
static VU_ALWAYS_INLINE bool vu__ring_written(const struct vu__ring *r, unsigned int head,
					      uint32_t len, struct vu__written *to)
{
	const struct vu__writable *w = &r->writable[head];
	bool both = len > w->len[0] && w->len[1];

	if (VU_UNLIKELY(!vu__in_one_page(w->gpa[0], w->len[0])) ||
	    VU_UNLIKELY(both && !vu__in_one_page(w->gpa[1], w->len[1])))
		return false;
	to->data = w->gpa[0] >> VU__LOG_PAGE_SHIFT;
	to->status = w->gpa[both] >> VU__LOG_PAGE_SHIFT;
	return true;
}

/*
 * Notes what the device has written to the buffers of @head: its first @len writable
 * bytes; by what was recorded when it was popped, else by the chain.  False: the ring or
 * the log is of no use.
 */
static VU_ALWAYS_INLINE VU_MUST_CHECK bool vu__ring_mark_data(struct vu__ring *r,
							       unsigned int head, uint32_t len)
{
	struct vu__written w;

	if (VU_UNLIKELY(!r->writable || !len || !vu__ring_written(r, head, len, &w)))
		return vu__chain_mark(r, head, len);
	if (vu__skipped(VU__MARK_DATA))
		return true;
	return vu__ring_mark_page(r, w.data, VU__DIRTY_DATA) &&
	       (w.status == w.data || vu__ring_mark_page(r, w.status, VU__DIRTY_STATUS));
}

/*
 * Sets the bits of a push at once, while r->tracked is VU__TRACKED_LOG: of the pages of
 * its buffers, if @len is not 0, that of its entry, and what else is noted of the used
 * ring.
 */
static VU_ALWAYS_INLINE void vu__ring_mark_push(struct vu__ring *r,
						const struct vu__written *w, uint32_t len)
{
	struct vu__dirty *d = &r->dirty;
	struct vu__used_log *u = &r->used_log;
	bool data = len && !vu__skipped(VU__MARK_DATA);

	/* Data goes to ever other pages, so a look would find nothing to save. */
	if (VU_LIKELY(data))
		vu__dirty_set_bit(d, w->data + d->skew);
	/* What was written to the other pages before a look at their bits. */
	if (!data || !VU__LOCKED_IS_FENCE)
		vu__split_fence();
	if (data && w->status != w->data)
		vu__dirty_set_bit_behind_fence(d, w->status + d->skew);
	/* Mostly it is the index that the push before this one has published. */
	if (VU_LIKELY(d->noted[VU__DIRTY_RING].mask == u->index) &&
	    VU_LIKELY(!(u->both & ~le64toh(__atomic_load_n(u->word, __ATOMIC_RELAXED)))))
		vu__dirty_count_again(d, u->pages);
	else
		vu__ring_mark_entry_now(r);
}

#endif
