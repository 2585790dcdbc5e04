/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Postcopy: POSTCOPY_ADVISE, _LISTEN and _END, and memory tables in between, which the
 * front-end must acknowledge before anything in them is touched ("Migration",
 * "VHOST_USER_SET_MEM_TABLE", "VHOST_USER_ADD_MEM_REG").  Control thread, but
 * vu__postcopy_pop().
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/dev.h"
#include "base/log.h"

static bool probe(void)
{
	static bool said;
	char why[256] = "";
	int ret = vu__postcopy_probe(why, sizeof(why));

	if (ret && !__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		vu__warn("postcopy migration is not offered: %s", why);
	return !ret;
}

bool vu__postcopy_offered(struct vu__dev *d)
{
	/* What was offered stays so, whatever rights the process gives up meanwhile. */
	if (d->can_postcopy == VU__POSTCOPY_UNKNOWN)
		d->can_postcopy = probe() ? VU__POSTCOPY_YES : VU__POSTCOPY_NO;
	return d->can_postcopy == VU__POSTCOPY_YES;
}

void vu_set_postcopy(VuDev *dev, bool offer)
{
	vu__dev_of(dev)->can_postcopy = offer ? VU__POSTCOPY_UNKNOWN : VU__POSTCOPY_NO;
}

static void show_state(struct vu__dev *d, bool listening)
{
	d->pub->postcopy_ufd = d->postcopy.ufd;
	__atomic_store_n(&d->pub->postcopy_listening, listening, __ATOMIC_RELAXED);
}

/* --- requests --- */

static int advise(struct vu__dev *d, int *fd)
{
	int ret;

	if (vu__postcopy_listening(d->pub))
		return vu__refuse(d, -EBUSY, "postcopy is under way");
	ret = vu__postcopy_open(&d->postcopy, d->why, sizeof(d->why));
	if (ret)
		return ret;
	*fd = fcntl(d->postcopy.ufd, F_DUPFD_CLOEXEC, 0);
	if (*fd < 0) {
		ret = vu__refuse(d, -errno, "userfaultfd: %s", strerror(errno));
		vu__postcopy_close(&d->postcopy);
	}
	show_state(d, false);
	return ret;
}

/* A front-end that gets no fd gives the migration up, and keeps the connection. */
int vu__req_postcopy_advise(struct vu__dev *d, struct vu__msg *m)
{
	if (advise(d, &m->fds[0]))
		vu__warn("POSTCOPY_ADVISE: %s", d->why);
	else
		m->nfds = 1;
	vu__msg_make_reply(m, 0);
	return VU__REPLY;
}

int vu__req_postcopy_listen(struct vu__dev *d, struct vu__msg *m)
{
	int ret;

	(void)m;
	if (d->postcopy.ufd < 0)
		return vu__refuse(d, -EPROTO, "without POSTCOPY_ADVISE");
	/* Their pages may have been read, and thereby filled, by now. */
	if (d->map->n)
		return vu__refuse(d, -EBUSY, "there are %u regions of memory already",
				  d->map->n);
	if (vu__postcopy_listening(d->pub))
		return VU__DONE;
	ret = vu__postcopy_watch(&d->postcopy, d->pub->sock);
	if (ret)
		return vu__refuse(d, ret, "a thread to guard the memory: %s",
				  strerror(-ret));
	show_state(d, true);
	vu__info("postcopy begins");
	return VU__DONE;
}

int vu__req_postcopy_end(struct vu__dev *d, struct vu__msg *m)
{
	if (vu__postcopy_listening(d->pub))
		vu__info("postcopy has ended");
	vu__postcopy_close(&d->postcopy);
	show_state(d, false);
	vu__msg_make_reply_u64(m, 0);
	return VU__REPLY;
}

/* --- memory tables that wait --- */

int vu__postcopy_defer(struct vu__dev *d, struct vu__memmap *map, bool by_regions)
{
	unsigned int n = vu__postcopy_listening(d->pub) ? map->n : 0;
	int ret = 0;

	for (unsigned int i = 0; i < n && !ret; i++)
		ret = vu__postcopy_add(&d->postcopy, map->regions[i], d->why,
				       sizeof(d->why));
	if (ret)
		return ret;
	vu__memmap_put(d->next_map);
	d->next_map = vu__memmap_get(map);
	d->next_by_regions = by_regions;
	return 0;
}

/*
 * The acknowledgement has the number of the request, a u64 and no fd.  After several
 * requests it has the last one's number, after a change that needed none it has none.
 */
static bool is_acknowledgement(const struct vu__dev *d, const struct vu__msg *m)
{
	if (m->size != sizeof(m->payload.u64) || m->nfds || m->flags & VU__FLAG_REPLY)
		return false;
	if (d->next_map && !d->next_by_regions)
		return m->request == VU__SET_MEM_TABLE;
	if (!d->next_map && !vu__postcopy_listening(d->pub))
		return false;
	return vu__dev_has(d, VU__PF_CONFIGURE_MEM_SLOTS) &&
	       (m->request == VU__ADD_MEM_REG || m->request == VU__REM_MEM_REG ||
		m->request == 0);
}

static int acknowledged(struct vu__dev *d, uint64_t value)
{
	struct vu__memmap *map = vu__steal_ptr(&d->next_map);
	int ret = VU__DONE;

	if (!map)
		return VU__DONE;
	if (!value) {
		ret = vu__memory_use(d, map);
	} else {
		vu__warn("the front-end says 0x%" PRIx64
			 " to the new memory table: the old "
			 "one stays",
			 value);
	}
	vu__memmap_put(map);
	vu__postcopy_prune(&d->postcopy);
	return ret;
}

bool vu__postcopy_filter(struct vu__dev *d, const struct vu__msg *m, int *ret)
{
	if (is_acknowledgement(d, m)) {
		*ret = acknowledged(d, m->payload.u64);
		return true;
	}
	if (!d->next_map || m->request == VU__POSTCOPY_END)
		return false;
	if (d->next_by_regions &&
	    (m->request == VU__ADD_MEM_REG || m->request == VU__REM_MEM_REG))
		return false;
	*ret = vu__refuse(d, -EBUSY,
			  "the front-end has not acknowledged the memory table");
	return true;
}

/* --- what is missing --- */

static void touch(const struct iovec *iov)
{
	const uint8_t *at = iov->iov_base;
	const size_t page = 4096;

	for (size_t off = 0; off < iov->iov_len;
	     off += page - ((uintptr_t)(at + off) & (page - 1)))
		(void)__atomic_load_n(at + off, __ATOMIC_RELAXED);
}

/*
 * Waits for all that the device is going to read, so that it can never take the zeroes
 * that a lost page is replaced with for the guest's data, nor write them to a disk.
 */
void *vu__postcopy_pop(struct vu__queue *q, size_t size, struct vu__arena *arena)
{
	VuVirtqElement *elem = arena ? vu__ring_pop_in(&q->ring, size, arena) :
				       vu__ring_pop(&q->ring, size);

	if (!elem)
		return NULL;
	for (unsigned int i = 0; i < elem->out_num; i++)
		touch(&elem->out_sg[i]);
	if (!vu__postcopy_lost(&q->dev->postcopy))
		return elem;
	vu__ring_unpop(&q->ring, elem, 0);
	if (!arena)
		free(elem);
	/* Nor is it there for who asks vu_queue_empty(). */
	q->ring.can_pop = false;
	return NULL;
}

void vu__postcopy_abandon(struct vu__dev *d)
{
	if (!vu__postcopy_listening(d->pub) || vu__postcopy_lost(&d->postcopy))
		return;
	vu__warn("the connection is given up in the middle of postcopy");
	vu__postcopy_lose(&d->postcopy);
}

void vu__postcopy_cut_off(struct vu__dev *d)
{
	if (!vu__postcopy_listening(d->pub))
		return;
	vu__postcopy_lose(&d->postcopy);
	vu__dev_panic(d,
		      "the front-end left in the middle of postcopy: memory of the guest "
		      "is missing");
}
