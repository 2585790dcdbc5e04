/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The split ring: popping, pushing, and who is to be notified.  Queue's thread. */
#include "core/ring.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "core/chain.h"

/* A span for rings that have seen no buffer: no address is in it. */
static const struct vu__span nowhere;

static void use_map(struct vu__ring *r, struct vu__memmap *map)
{
	r->map = vu__memmap_get(map);
	r->span = &nowhere;
}

int vu__ring_prepare(struct vu__ring *r, unsigned int num)
{
	uint8_t *head_gen;
	uint16_t *popped;
	struct iovec *iov;

	if (num <= r->alloc_num)
		return 0;
	head_gen = vu__sys.calloc(num, sizeof(*head_gen));
	popped = vu__sys.calloc(num, sizeof(*popped));
	iov = r->iov ? r->iov : vu__sys.calloc(VIRTQUEUE_MAX_SIZE, sizeof(*iov));
	if (!head_gen || !popped || !iov) {
		free(head_gen);
		free(popped);
		if (iov != r->iov)
			free(iov);
		return -ENOMEM;
	}
	free(r->head_gen);
	free(r->popped);
	r->head_gen = head_gen;
	r->popped = popped;
	r->iov = iov;
	r->alloc_num = num;
	return 0;
}

static void drop_list(struct vu__retired **list)
{
	while (*list) {
		struct vu__retired *old = *list;

		*list = old->next;
		vu__memmap_put(old->map);
		free(old);
	}
}

void vu__ring_destroy(struct vu__ring *r)
{
	vu__ring_stop(r);
	drop_list(&r->orphans);
	free(vu__steal_ptr(&r->head_gen));
	free(vu__steal_ptr(&r->popped));
	free(vu__steal_ptr(&r->iov));
	free(vu__steal_ptr(&r->table));
	r->alloc_num = 0;
}

/*
 * Marks @len bytes at @offset of the used ring, which the device has just written, if
 * the front-end wants to know (VHOST_VRING_F_LOG).  Its guest address need not be in
 * the memory table.
 */
static inline bool mark_used(struct vu__ring *r, uint64_t offset, uint64_t len)
{
	const VuRing *v = &r->vq->vring;

	if (VU_LIKELY(!r->dirty.log) || !vu__has_bit(v->flags, VHOST_VRING_F_LOG) ||
	    vu__mark_skipped(VU__MARK_USED))
		return true;
	return vu__ring_mark(r, v->log_guest_addr + offset, len);
}

/* ... and at once: no used index will follow that would flush it. */
static inline void mark_used_now(struct vu__ring *r, uint64_t offset, uint64_t len)
{
	if (VU_LIKELY(!r->dirty.log))
		return;
	(void)mark_used(r, offset, len);
	vu__dirty_flush(&r->dirty);
}

static void set_used_flags(struct vu__ring *r, uint16_t flags)
{
	vu__split_set_used_flags(r->vq->vring.used, flags);
	mark_used_now(r, offsetof(struct vring_used, flags), sizeof(flags));
}

static void set_avail_event(struct vu__ring *r, uint16_t idx)
{
	const VuRing *v = &r->vq->vring;

	vu__split_set_avail_event(v->used, v->num, idx);
	mark_used_now(r, vu__split_used_size(v->num, 0), sizeof(idx));
}

/* Asks for a kick at the next element, and looks whether that came too late. */
static bool arm(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;

	set_avail_event(r, vq->last_avail_idx);
	r->armed = true;
	r->armed_at = vq->last_avail_idx;
	/* avail_event before the index: the driver stores and loads them in reverse. */
	vu__split_fence();
	return vu__split_avail_idx(vq->vring.avail) != vq->last_avail_idx;
}

bool vu__ring_start(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;

	r->mask = vq->vring.num - 1;
	vq->shadow_avail_idx = vq->last_avail_idx;
	vq->used_idx = vu__split_used_idx(vq->vring.used);
	vq->signalled_used = vq->used_idx;
	vq->signalled_used_valid = false;
	vq->notification = true;
	vq->inuse = 0;
	memset(r->head_gen, 0, r->alloc_num * sizeof(*r->head_gen));
	r->gen = 1;
	r->drained_fd = -1;
	r->broken[0] = '\0';
	r->can_push = true;
	r->can_pop = true;
	/*
	 * Another back-end may have left its own wish in the ring, or an avail_event that
	 * the driver has passed: both would leave us asleep.
	 */
	set_used_flags(r, 0);
	if (r->event_idx)
		return arm(r);
	vu__split_fence();
	return vu__split_avail_idx(vq->vring.avail) != vq->last_avail_idx;
}

/* True if @list has @map already, so that stops do not add up. */
static bool list_has(const struct vu__retired *list, const struct vu__memmap *map)
{
	while (list && list->map != map)
		list = list->next;
	return list;
}

/* What is in flight and given up may have been written, wholly or in part. */
static void mark_all_in_flight(struct vu__ring *r)
{
	for (unsigned int head = 0; head < r->vq->vring.num; head++) {
		if (r->head_gen[head] && !vu__chain_mark(r, head, UINT64_MAX))
			break;
	}
	vu__dirty_flush(&r->dirty);
}

void vu__ring_set_log(struct vu__ring *r, struct vu__log *log, bool data, int call_fd)
{
	vu__dirty_set_log(&r->dirty, log, data, call_fd);
}

/* Keeps the maps of what is in flight for as long as the ring lives. */
static void orphan_maps(struct vu__ring *r)
{
	struct vu__retired *last = vu__sys.calloc(1, sizeof(*last));

	if (last) {
		*last = (struct vu__retired){.next = r->retired, .map = vu__steal_ptr(&r->map)};
		r->retired = last;
	}
	while (r->retired) {
		struct vu__retired *old = r->retired;

		r->retired = old->next;
		if (list_has(r->orphans, old->map)) {
			vu__memmap_put(old->map);
			free(old);
		} else {
			old->next = r->orphans;
			r->orphans = old;
		}
	}
}

void vu__ring_stop(struct vu__ring *r)
{
	if (r->can_push && r->vq->inuse > 0) {
		if (r->dirty.log && r->dirty.data)
			mark_all_in_flight(r);
		orphan_maps(r);
	}
	vu__dirty_flush(&r->dirty);
	r->can_pop = false;
	r->can_push = false;
	r->vq->inuse = 0;
	r->vq->vring.desc = NULL;
	r->vq->vring.avail = NULL;
	r->vq->vring.used = NULL;
	drop_list(&r->retired);
	vu__memmap_put(vu__steal_ptr(&r->map));
	r->span = &nowhere;
}

/* Elements in flight that were popped in generation @gen. */
static unsigned int count_gen(const struct vu__ring *r, uint8_t gen)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->vq->vring.num; i++)
		n += r->head_gen[i] == gen;
	return n;
}

static bool gen_in_use(const struct vu__ring *r, uint8_t gen)
{
	for (const struct vu__retired *old = r->retired; old; old = old->next) {
		if (old->gen == gen)
			return true;
	}
	return false;
}

int vu__ring_set_map(struct vu__ring *r, struct vu__memmap *map)
{
	unsigned int left = r->can_push && r->vq->inuse ? count_gen(r, r->gen) : 0;
	uint8_t next_gen = r->gen == UINT8_MAX ? 1 : r->gen + 1;
	struct vu__retired *old;

	if (!left) {
		vu__memmap_put(r->map);
		use_map(r, map);
		return 0;
	}
	if (gen_in_use(r, next_gen))
		return -EBUSY;
	old = vu__sys.calloc(1, sizeof(*old));
	if (!old)
		return -ENOMEM;
	*old = (struct vu__retired){r->retired, r->map, left, r->gen};
	r->retired = old;
	r->gen = next_gen;
	use_map(r, map);
	return 0;
}

/* An element popped with an older map is done. */
VU_COLD static void retired_done(struct vu__ring *r, uint8_t gen)
{
	for (struct vu__retired **at = &r->retired; *at; at = &(*at)->next) {
		struct vu__retired *old = *at;

		if (old->gen != gen)
			continue;
		if (--old->left == 0) {
			*at = old->next;
			vu__memmap_put(old->map);
			free(old);
		}
		return;
	}
}

/* Takes @head out of flight.  False if it was not in flight. */
static inline bool head_done(struct vu__ring *r, unsigned int head)
{
	uint8_t gen;

	if (VU_UNLIKELY(head >= r->vq->vring.num || !r->head_gen[head]))
		return false;
	gen = r->head_gen[head];
	r->head_gen[head] = 0;
	if (VU_UNLIKELY(gen != r->gen))
		retired_done(r, gen);
	return true;
}

void vu__ring_break(struct vu__ring *r, const char *fmt, ...)
{
	va_list ap;

	if (r->broken[0])
		return;
	va_start(ap, fmt);
	vsnprintf(r->broken, sizeof(r->broken), fmt, ap);
	va_end(ap);
	r->can_pop = false;
	if (r->on_break)
		r->on_break(r, r->opaque);
}

/* Looks for new entries behind those known.  True if there are. */
static bool refill(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;
	uint16_t idx = vu__split_avail_idx(vq->vring.avail);

	if (idx == vq->last_avail_idx) {
		if (!r->event_idx || !vq->notification)
			return false;
		if (r->armed && r->armed_at == idx)
			return false;
		if (!arm(r))
			return false;
		idx = vu__split_avail_idx(vq->vring.avail);
	}
	if (VU_UNLIKELY((uint16_t)(idx - vq->last_avail_idx) > vq->vring.num)) {
		vu__ring_break(r, "available index went from %u to %u in a ring of %u",
			       vq->last_avail_idx, idx, vq->vring.num);
		return false;
	}
	vq->shadow_avail_idx = idx;
	return idx != vq->last_avail_idx;
}

/* Entries between the two indices were checked against the ring's size by refill(). */
static inline bool have_entry(struct vu__ring *r)
{
	return r->vq->last_avail_idx != r->vq->shadow_avail_idx || refill(r);
}

static inline void *make_element(struct vu__ring *r, size_t size, unsigned int head,
				 const struct vu__chain *chain)
{
	size_t at = (size + _Alignof(struct iovec) - 1) & ~(_Alignof(struct iovec) - 1);
	unsigned int n = chain->niov;
	VuVirtqElement *elem = malloc(at + n * sizeof(struct iovec));
	struct iovec *iov;

	if (VU_UNLIKELY(!elem))
		return NULL;
	iov = (struct iovec *)((char *)elem + at);
	elem->index = head;
	elem->out_num = chain->out_num;
	elem->in_num = n - chain->out_num;
	elem->out_sg = iov;
	elem->in_sg = iov + chain->out_num;
	for (unsigned int i = 0; i < n; i++)
		iov[i] = r->iov[i];
	return elem;
}

void *vu__ring_pop(struct vu__ring *r, size_t size)
{
	VuVirtq *vq = r->vq;
	struct vu__chain chain = {0, 0};
	unsigned int head;
	uint16_t slot;
	void *elem;

	if (VU_UNLIKELY(!r->can_pop || size < sizeof(VuVirtqElement)) || !have_entry(r))
		return NULL;
	slot = vq->last_avail_idx & r->mask;
	head = vu__split_avail_entry(vq->vring.avail, slot);
	if (VU_UNLIKELY(head >= vq->vring.num)) {
		vu__ring_break(r, "head %u in a ring of %u", head, vq->vring.num);
		return NULL;
	}
	/* Also bounds what is in flight: there are no more heads than entries. */
	if (VU_UNLIKELY(r->head_gen[head])) {
		vu__ring_break(r, "head %u made available while it is in flight", head);
		return NULL;
	}
	if (!vu__chain_walk(r, head, VU__WALK_COLLECT, &chain, NULL, NULL))
		return NULL;
	elem = make_element(r, size, head, &chain);
	if (VU_UNLIKELY(!elem))
		return NULL;
	r->head_gen[head] = r->gen;
	r->popped[slot] = head;
	vq->inuse++;
	vq->last_avail_idx++;
	/*
	 * The last of those known: should the device go to sleep now without looking
	 * again, the next one must kick.
	 */
	if (r->event_idx && vq->notification && vq->last_avail_idx == vq->shadow_avail_idx) {
		set_avail_event(r, vq->last_avail_idx);
		/* Without a look behind a fence this is a hope, not a promise. */
		r->armed = false;
	}
	return elem;
}

void vu__ring_unpop(struct vu__ring *r, const VuVirtqElement *elem)
{
	if (!r->can_push || !head_done(r, elem->index))
		return;
	r->vq->last_avail_idx--;
	r->vq->inuse--;
}

bool vu__ring_rewind(struct vu__ring *r, unsigned int num)
{
	VuVirtq *vq = r->vq;

	if (!r->can_push || num > (unsigned int)vq->inuse)
		return false;
	for (unsigned int i = 1; i <= num; i++) {
		uint16_t slot = (uint16_t)(vq->last_avail_idx - i) & r->mask;

		(void)head_done(r, r->popped[slot]);
	}
	vq->last_avail_idx -= num;
	vq->inuse -= num;
	return true;
}

VU_COLD static void not_in_flight(const VuVirtqElement *elem)
{
	vu__error("an element with head %u was pushed that is not in flight", elem->index);
}

static inline bool fill(struct vu__ring *r, const VuVirtqElement *elem, unsigned int len,
			unsigned int idx)
{
	VuVirtq *vq = r->vq;
	uint16_t slot = (vq->used_idx + idx) & r->mask;

	if (VU_UNLIKELY(!r->can_push))
		return false;
	if (VU_UNLIKELY(!head_done(r, elem->index))) {
		not_in_flight(elem);
		return false;
	}
	if (VU_UNLIKELY(r->dirty.log && r->dirty.data) && !vu__chain_mark(r, elem->index, len))
		return false;
	vu__split_set_used_entry(vq->vring.used, slot, elem->index, len);
	return mark_used(r, offsetof(struct vring_used, ring[slot]), sizeof(vring_used_elem_t));
}

bool vu__ring_fill(struct vu__ring *r, const VuVirtqElement *elem, unsigned int len,
		   unsigned int idx)
{
	return fill(r, elem, len, idx);
}

static inline void flush(struct vu__ring *r, unsigned int num)
{
	VuVirtq *vq = r->vq;
	uint16_t old = vq->used_idx, new = old + num;

	if (VU_UNLIKELY(!r->can_push))
		return;
	if (VU_UNLIKELY(num > (unsigned int)vq->inuse)) {
		vu__error("%u elements were flushed, only %d are in flight", num, vq->inuse);
		return;
	}
	/* The pages under the entries, and then the page of the index itself. */
	vu__dirty_flush(&r->dirty);
	vu__split_publish_used_idx(vq->vring.used, new);
	mark_used_now(r, offsetof(struct vring_used, idx), sizeof(new));
	vq->used_idx = new;
	vq->inuse -= num;
	/* Half the index space after the last call, "since then" says nothing. */
	if ((int16_t)(new - vq->signalled_used) < (uint16_t)(new - old))
		vq->signalled_used_valid = false;
	if (VU_UNLIKELY(r->drained_fd >= 0 && !vq->inuse))
		vu__event_signal(r->drained_fd);
}

void vu__ring_flush(struct vu__ring *r, unsigned int num)
{
	flush(r, num);
}

void vu__ring_push(struct vu__ring *r, const VuVirtqElement *elem, unsigned int len)
{
	if (fill(r, elem, len, 0))
		flush(r, 1);
}

bool vu__ring_empty(struct vu__ring *r)
{
	return !r->can_pop || !have_entry(r);
}

void vu__ring_set_notification(struct vu__ring *r, bool enable)
{
	VuVirtq *vq = r->vq;

	vq->notification = enable;
	if (!r->can_push)
		return;
	if (!r->event_idx) {
		set_used_flags(r, enable ? 0 : VRING_USED_F_NO_NOTIFY);
		if (enable)
			vu__split_fence();
	} else if (enable) {
		/* Kick for what comes after all that is there now, popped or not. */
		uint16_t idx = vu__split_avail_idx(vq->vring.avail);

		set_avail_event(r, idx);
		r->armed = true;
		r->armed_at = idx;
		/* The caller looks at the ring again now, and sees what came meanwhile. */
		vu__split_fence();
	} else {
		r->armed = false;
	}
}

void vu__ring_avail_bytes(struct vu__ring *r, unsigned int *in, unsigned int *out,
			  unsigned int max_in, unsigned int max_out)
{
	VuVirtq *vq = r->vq;
	uint64_t in_sum = 0, out_sum = 0;

	*in = 0;
	*out = 0;
	if (!r->can_pop || !have_entry(r) || !refill(r))
		return;
	for (uint16_t idx = vq->last_avail_idx; idx != vq->shadow_avail_idx; idx++) {
		unsigned int head = vu__split_avail_entry(vq->vring.avail, idx & r->mask);

		if (head >= vq->vring.num) {
			vu__ring_break(r, "head %u in a ring of %u", head, vq->vring.num);
			return;
		}
		if (!vu__chain_sum(r, head, &in_sum, &out_sum))
			return;
		if (in_sum >= max_in && out_sum >= max_out)
			break;
	}
	*in = VU_MIN(in_sum, UINT32_MAX);
	*out = VU_MIN(out_sum, UINT32_MAX);
}

bool vu__ring_should_call(struct vu__ring *r)
{
	VuVirtq *vq = r->vq;
	uint16_t old = vq->signalled_used, new = vq->used_idx, event;
	bool valid = vq->signalled_used_valid;

	if (!r->can_push)
		return false;
	/* Used index before the driver's wish: it changes its wish, then looks again. */
	vu__split_fence();
	if (r->notify_on_empty && !vq->inuse &&
	    vu__split_avail_idx(vq->vring.avail) == vq->last_avail_idx)
		return true;
	if (!r->event_idx)
		return !(vu__split_avail_flags(vq->vring.avail) & VRING_AVAIL_F_NO_INTERRUPT);
	vq->signalled_used = new;
	vq->signalled_used_valid = true;
	event = vu__split_used_event(vq->vring.avail, vq->vring.num);
	return !valid || vring_need_event(event, new, old);
}
