/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that says what is in flight: made, mapped, read after a crash.  Control thread. */
#include "core/inflight.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/sys.h"
#include "core/inflightpacked.h"

#define ALIGNMENT 64u /* of each queue's part, as the field has it */

/* Both kinds say in the same place which version they are of. */
_Static_assert(offsetof(struct vu__inflight_packed, version) ==
	       offsetof(VuVirtqInflight, version), "vu__inflight_reset() relies on it");

static uint64_t part_size(uint16_t queue_size, bool packed)
{
	if (packed)
		return sizeof(struct vu__inflight_packed) +
		       (uint64_t)queue_size * sizeof(struct vu__packed_state);
	return sizeof(VuVirtqInflight) + (uint64_t)queue_size * sizeof(VuDescStateSplit);
}

uint64_t vu__inflight_stride(uint16_t queue_size, bool packed)
{
	return (part_size(queue_size, packed) + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

VuVirtqInflight *vu__inflight_part(const struct vu__inflight_area *a, unsigned int i)
{
	if (!a || i >= a->queues)
		return NULL;
	return (VuVirtqInflight *)(void *)(a->parts +
					   i * vu__inflight_stride(a->queue_size, a->packed));
}

void vu__inflight_free(struct vu__inflight_area *a)
{
	if (!a)
		return;
	vu__sys.munmap(a->map_addr, a->map_len);
	close(a->fd);
	free(a);
}

/* Maps what @a says of @fd. */
static int map_area(struct vu__inflight_area *a, int fd)
{
	uint64_t skip = a->offset & (sysconf(_SC_PAGESIZE) - 1);

	a->map_len = skip + a->size;
	a->map_addr = vu__sys.mmap(NULL, a->map_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				   a->offset - skip);
	if (a->map_addr == MAP_FAILED)
		return -errno;
	a->parts = (uint8_t *)a->map_addr + skip;
	return 0;
}

int vu__inflight_create(uint16_t queues, uint16_t queue_size, bool packed,
			struct vu__inflight_area **out)
{
	VU_CLEANUP_FREE struct vu__inflight_area *a = vu__sys.calloc(1, sizeof(*a));
	VU_CLEANUP_FD int fd = -1;
	int ret;

	if (!a)
		return -ENOMEM;
	a->queues = queues;
	a->queue_size = queue_size;
	a->packed = packed;
	a->size = queues * vu__inflight_stride(queue_size, packed);
	fd = vu__sys.memfd_create("vu-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || vu__sys.ftruncate(fd, a->size))
		return -errno;
	ret = vu__fd_forbid_shrinking(fd);
	if (!ret)
		ret = map_area(a, fd);
	if (ret)
		return ret;
	a->fd = vu__steal_fd(&fd);
	*out = vu__steal_ptr(&a);
	return 0;
}

/* What can be said of a part before its ring is known. */
static bool part_plausible(const VuVirtqInflight *part, uint16_t queue_size)
{
	uint16_t version = __atomic_load_n(&part->version, __ATOMIC_RELAXED);

	if (!version)
		return true;
	return version == VU__INFLIGHT_VERSION &&
	       __atomic_load_n(&part->desc_num, __ATOMIC_RELAXED) == queue_size &&
	       __atomic_load_n(&part->last_batch_head, __ATOMIC_RELAXED) < queue_size;
}

static int check_parts(const struct vu__inflight_area *a, char *why, size_t why_size)
{
	for (unsigned int i = 0; i < a->queues; i++) {
		const VuVirtqInflight *part = vu__inflight_part(a, i);

		if (a->packed ? vu__inflight_packed_plausible((const void *)part,
							      a->queue_size) :
				part_plausible(part, a->queue_size))
			continue;
		/* The last is the first free entry in a packed ring's. */
		snprintf(why, why_size, "inflight region of queue %u: version %u, %u descriptors "
			 "of %u, %s at %u", i, part->version, part->desc_num, a->queue_size,
			 a->packed ? "free ones" : "last batch", part->last_batch_head);
		return -EINVAL;
	}
	return 0;
}

static int check_file(const struct vu__inflight_area *a, int fd, char *why, size_t why_size)
{
	uint64_t need = a->queues * vu__inflight_stride(a->queue_size, a->packed);
	struct stat st;
	int ret;

	if (!a->queues || !a->queue_size || a->size < need || a->offset % 8 ||
	    !vu__range_valid(a->offset, a->size) || a->offset + (a->size - 1) > INT64_MAX) {
		snprintf(why, why_size, "inflight region of %llu bytes at offset %llu for %u "
			 "queues of %u, which need %llu", (unsigned long long)a->size,
			 (unsigned long long)a->offset, a->queues, a->queue_size,
			 (unsigned long long)need);
		return -EINVAL;
	}
	ret = vu__fd_forbid_shrinking(fd);
	if (ret) {
		snprintf(why, why_size, "inflight region: its file cannot be sealed against "
			 "shrinking, as a memfd can (%s)", strerror(-ret));
		return ret;
	}
	if (fstat(fd, &st) < 0 || !vu__range_within(a->offset, a->size, st.st_size)) {
		snprintf(why, why_size, "inflight region of %llu bytes at offset %llu: the file "
			 "has %llu", (unsigned long long)a->size, (unsigned long long)a->offset,
			 (unsigned long long)st.st_size);
		return -EINVAL;
	}
	return 0;
}

int vu__inflight_map(int fd, uint64_t size, uint64_t offset, uint16_t queues,
		     uint16_t queue_size, bool packed, struct vu__inflight_area **out,
		     char *why, size_t why_size)
{
	VU_CLEANUP_FREE struct vu__inflight_area *a = vu__sys.calloc(1, sizeof(*a));
	VU_CLEANUP_FD int own = -1;
	int ret;

	if (!a)
		return -ENOMEM;
	*a = (struct vu__inflight_area){.queues = queues, .queue_size = queue_size,
					.packed = packed, .size = size, .offset = offset};
	ret = check_file(a, fd, why, why_size);
	if (ret)
		return ret;
	own = vu__fd_dup(fd);
	ret = own < 0 ? own : map_area(a, own);
	if (ret) {
		snprintf(why, why_size, "inflight region: %s", strerror(-ret));
		return ret;
	}
	ret = check_parts(a, why, why_size);
	if (ret) {
		vu__sys.munmap(a->map_addr, a->map_len);
		return ret;
	}
	a->fd = vu__steal_fd(&own);
	*out = vu__steal_ptr(&a);
	return 0;
}

/* --- after a crash --- */

/* A part as it was at one instant: the front-end could change it while we think. */
struct copy {
	uint16_t version, desc_num, last_batch_head, used_idx;
	VuDescStateSplit *desc;
};

static int take_copy(const VuVirtqInflight *part, uint16_t queue_size, struct copy *c)
{
	c->version = __atomic_load_n(&part->version, __ATOMIC_RELAXED);
	c->desc_num = __atomic_load_n(&part->desc_num, __ATOMIC_RELAXED);
	c->last_batch_head = __atomic_load_n(&part->last_batch_head, __ATOMIC_RELAXED);
	c->used_idx = __atomic_load_n(&part->used_idx, __ATOMIC_RELAXED);
	c->desc = vu__sys.calloc(queue_size, sizeof(*c->desc));
	if (!c->desc)
		return -ENOMEM;
	memcpy(c->desc, part->desc, queue_size * sizeof(*c->desc));
	return 0;
}

static unsigned int count_in_flight(const struct copy *c)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->desc_num; i++)
		n += c->desc[i].inflight != 0;
	return n;
}

/*
 * The last batch: its used index was shown, but perhaps it was not taken out of flight.
 * Done in the copy first.  False: its list leads nowhere.
 */
static bool settle_batch(struct copy *c, uint16_t batch)
{
	uint16_t head = c->last_batch_head;

	for (; batch && !vu__skipped(VU__INFLIGHT_REPAIR); batch--) {
		if (head >= c->desc_num)
			return false;
		c->desc[head].inflight = 0;
		head = c->desc[head].next;
	}
	return true;
}

static int last_taken_first(const void *a, const void *b)
{
	uint64_t ca = ((const VuVirtqInflightDesc *)a)->counter;
	uint64_t cb = ((const VuVirtqInflightDesc *)b)->counter;

	return ca > cb ? -1 : ca < cb;
}

const VuVirtqInflightDesc *vu__inflight_order(struct vu__inflight_left *left, unsigned int n)
{
	VuVirtqInflightDesc *list = left->list;

	qsort(list, n, sizeof(*list), last_taken_first);
	for (unsigned int i = 1; i < n; i++) {
		if (list[i].counter == list[i - 1].counter)
			return &list[i];
	}
	left->n = n;
	left->counter = n ? list[0].counter + 1 : 0;
	return NULL;
}

/* Fills @left.  -EINVAL with a reason if the descriptors make no sense. */
static int list_requests(const struct copy *c, unsigned int num, uint16_t available,
			 struct vu__inflight_left *left, char *why, size_t why_size)
{
	const VuVirtqInflightDesc *same;
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->desc_num; i++) {
		if (!c->desc[i].inflight)
			continue;
		if (c->desc[i].inflight != 1 || i >= num || c->desc[i].counter == UINT64_MAX) {
			snprintf(why, why_size, "descriptor %u of %u: state %u, counter %llu", i,
				 num, c->desc[i].inflight,
				 (unsigned long long)c->desc[i].counter);
			return -EINVAL;
		}
		left->list[n++] = (VuVirtqInflightDesc){i, c->desc[i].counter};
	}
	if (n > available) {
		snprintf(why, why_size, "%u requests in flight, the driver has made %u available",
			 n, available);
		return -EINVAL;
	}
	same = vu__inflight_order(left, n);
	if (!same)
		return 0;
	snprintf(why, why_size, "descriptors %u and %u were taken as the same", same->index,
		 same[-1].index);
	return -EINVAL;
}

/* Makes the part say what the copy has come to. */
static void publish(VuVirtqInflight *part, const struct copy *c, uint16_t used)
{
	for (unsigned int i = 0; i < c->desc_num; i++) {
		if (!c->desc[i].inflight)
			__atomic_store_n(&part->desc[i].inflight, 0, __ATOMIC_RELAXED);
	}
	/* Until then the next one would do the same repair again. */
	vu__inflight_step();
	vu__inflight_settle(part, used);
}

/* The version says that the rest is valid, so it is written last. */
static void begin_part(VuVirtqInflight *part, uint16_t queue_size, uint16_t used)
{
	vu__inflight_reset(part);
	memset(part->desc, 0, queue_size * sizeof(part->desc[0]));
	part->features = 0;
	part->desc_num = queue_size;
	part->last_batch_head = 0;
	part->used_idx = used;
	vu__inflight_step();
	__atomic_store_n(&part->version, VU__INFLIGHT_VERSION, __ATOMIC_RELAXED);
	vu__inflight_step();
}

void vu__inflight_reset(VuVirtqInflight *part)
{
	__atomic_store_n(&part->version, 0, __ATOMIC_RELAXED);
	vu__inflight_step();
}

static int examine(struct copy *c, uint16_t queue_size, unsigned int num, uint16_t used,
		   uint16_t avail, struct vu__inflight_left *left, char *why, size_t why_size)
{
	uint16_t batch = used - c->used_idx;

	if (c->version != VU__INFLIGHT_VERSION || c->desc_num != queue_size ||
	    c->last_batch_head >= queue_size || num > queue_size) {
		snprintf(why, why_size, "version %u, %u descriptors of %u for a ring of %u, last "
			 "batch at %u", c->version, c->desc_num, queue_size, num,
			 c->last_batch_head);
		return -EINVAL;
	}
	/* A driver that has begun anew while nothing was in flight. */
	if (batch > num && !count_in_flight(c)) {
		left->fresh = true;
		return 0;
	}
	if (batch > num || !settle_batch(c, batch)) {
		snprintf(why, why_size, "used index %u, in the ring it is %u, last batch at %u",
			 c->used_idx, used, c->last_batch_head);
		return -EINVAL;
	}
	return list_requests(c, num, avail - used, left, why, why_size);
}

int vu__inflight_recover(VuVirtqInflight *part, uint16_t queue_size, unsigned int num,
			 uint16_t used, uint16_t avail, struct vu__inflight_left *left,
			 char *why, size_t why_size)
{
	struct copy c;
	int ret = take_copy(part, queue_size, &c);

	*left = (struct vu__inflight_left){.fresh = false};
	if (ret)
		return ret;
	if (c.version) {
		left->list = vu__sys.calloc(queue_size, sizeof(*left->list));
		ret = left->list ? examine(&c, queue_size, num, used, avail, left, why, why_size) :
				   -ENOMEM;
	} else {
		left->fresh = true;
	}
	if (!ret && left->fresh)
		begin_part(part, queue_size, used);
	else if (!ret)
		publish(part, &c, used);
	if (ret || !left->n)
		free(vu__steal_ptr(&left->list));
	free(c.desc);
	return ret;
}
