/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several elements at once.  Queue's thread. */
#include <errno.h>

#include "backend/dev.h"
#include "base/sys.h"
#include "base/trace.h"
#include "core/element.h"

#define BURST_MAX 1024u
#define USUAL	  8u /* buffers of an element */

struct vu_burst {
	unsigned int max;
	size_t size;
	size_t most; /* bytes of an element of all the buffers there may be */
	size_t room; /* bytes of memory */
	char memory[] __attribute__((aligned(VU__ARENA_ALIGN)));
};

static size_t element_bytes(size_t size, unsigned int buffers)
{
	return vu__elem_iov_at(size) + buffers * sizeof(struct iovec) + VU__ARENA_ALIGN;
}

struct vu_burst *vu_burst_new(unsigned int max, size_t size)
{
	struct vu_burst *b;
	size_t room;

	if (!max || max > BURST_MAX || size < sizeof(VuVirtqElement) || size > UINT16_MAX) {
		errno = EINVAL;
		return NULL;
	}
	room = max * element_bytes(size, USUAL) + element_bytes(size, VIRTQUEUE_MAX_SIZE);
	b = vu__sys.calloc(1, sizeof(*b) + room);
	if (!b)
		return NULL;
	b->max = max;
	b->size = size;
	b->most = element_bytes(size, VIRTQUEUE_MAX_SIZE);
	b->room = room;
	return b;
}

void vu_burst_free(struct vu_burst *b)
{
	free(b);
}

unsigned int vu_queue_pop_burst(VuDev *dev, VuVirtq *vq, struct vu_burst *b,
				VuVirtqElement **elems, unsigned int n)
{
	struct vu__queue *q = vu__queue_of(vq);
	struct vu__arena a = {b->memory, b->memory + b->room};
	unsigned int got = 0;

	if (vu__dev_broken(dev))
		return 0;
	for (n = VU_MIN(n, b->max); got < n && (size_t)(a.end - a.at) >= b->most; got++) {
		VuVirtqElement *e = vu__postcopy_listening(dev) ?
					    vu__postcopy_pop(q, b->size, &a) :
					    vu__ring_pop_in(&q->ring, b->size, &a);

		if (!e)
			break;
		VU__TRACE3(pop, dev, vu__queue_index(q), e->index);
		elems[got] = e;
	}
	return got;
}

void vu_queue_push_burst(VuDev *dev, VuVirtq *vq, VuVirtqElement *const *elems,
			 const unsigned int *lens, unsigned int n)
{
	struct vu__queue *q = vu__queue_of(vq);

	for (unsigned int i = 0; i < n; i++)
		VU__TRACE4(push, dev, vu__queue_index(q), elems[i]->index, lens[i]);
	vu__ring_push_burst(&q->ring, elems, lens, n);
}
