/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A queue's description as a message.  No I/O; any thread. */
#include "state/convert_queue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- to a message --- */

static Vu__Image__Queue__Notifier *make_notifier(const struct vu__snap_notifier *n,
						 Vu__Image__Queue__Notifier *m)
{
	vu__image__queue__notifier__init(m);
	m->eventfd_id = n->eventfd_id;
	m->count = n->count;
	return n->present ? m : NULL;
}

static Vu__Image__Queue__Addresses *make_addresses(const struct vu__snap_queue *q,
						   Vu__Image__Queue__Addresses *m)
{
	vu__image__queue__addresses__init(m);
	m->descriptors = q->descriptors;
	m->driver = q->driver;
	m->device = q->device;
	m->log = q->log;
	m->flags = q->flags;
	return q->has_addresses ? m : NULL;
}

static Vu__Image__Queue__Seen *make_seen(const struct vu__snap_queue *q,
					 Vu__Image__Queue__Seen *m)
{
	vu__image__queue__seen__init(m);
	m->avail_index = q->seen.avail_index;
	m->used_index = q->seen.used_index;
	m->avail_flags = q->seen.avail_flags;
	m->used_flags = q->seen.used_flags;
	m->used_event = q->seen.used_event;
	m->avail_event = q->seen.avail_event;
	return q->seen.present ? m : NULL;
}

const ProtobufCMessage *vu__queue_to_message(const struct vu__snap_queue *q,
					     struct vu__queue_message *to)
{
	Vu__Image__Queue *m = &to->m;

	vu__image__queue__init(m);
	m->index = q->index;
	m->size = q->size;
	m->packed = q->packed;
	m->started = q->started;
	m->enabled = q->enabled;
	m->addresses = make_addresses(q, &to->addresses);
	m->last_avail = q->last_avail;
	m->used = q->used;
	m->avail_wrap = q->avail_wrap;
	m->used_wrap = q->used_wrap;
	m->signalled_used = q->signalled_used;
	m->signalled_used_valid = q->signalled_used_valid;
	m->notification = q->notification;
	m->in_order = q->in_order;
	m->kick = make_notifier(&q->kick, &to->kick);
	m->call = make_notifier(&q->call, &to->call);
	m->err = make_notifier(&q->err, &to->err);
	m->broken = (char *)q->broken;
	m->seen = make_seen(q, &to->seen);
	return &m->base;
}

/* --- of a message --- */

struct reader {
	char *why;
	size_t why_size;
	bool bad;
};

/* Goes on after a number that does not fit; the last one is reported. */
static uint16_t take_u16(struct reader *r, uint32_t n, const char *what)
{
	if (n > UINT16_MAX) {
		snprintf(r->why, r->why_size, "%s %u has more than 16 bits", what, n);
		r->bad = true;
	}
	return n;
}

static void get_notifier(const Vu__Image__Queue__Notifier *m, struct vu__snap_notifier *n)
{
	n->present = m;
	n->eventfd_id = m ? m->eventfd_id : 0;
	n->count = m ? m->count : 0;
}

static void get_seen(struct reader *r, const Vu__Image__Queue__Seen *m,
		     struct vu__snap_queue *q)
{
	if (!m)
		return;
	q->seen.present = true;
	q->seen.avail_index = take_u16(r, m->avail_index, "available index");
	q->seen.used_index = take_u16(r, m->used_index, "used index");
	q->seen.avail_flags = take_u16(r, m->avail_flags, "flags");
	q->seen.used_flags = take_u16(r, m->used_flags, "flags");
	q->seen.used_event = take_u16(r, m->used_event, "event index");
	q->seen.avail_event = take_u16(r, m->avail_event, "event index");
}

static void get_addresses(const Vu__Image__Queue__Addresses *m, struct vu__snap_queue *q)
{
	if (!m)
		return;
	q->has_addresses = true;
	q->descriptors = m->descriptors;
	q->driver = m->driver;
	q->device = m->device;
	q->log = m->log;
	q->flags = m->flags;
}

int vu__queue_of_message(const Vu__Image__Queue *m, struct vu__snap_queue *q, char *why,
			 size_t why_size)
{
	struct reader r = {.why = why, .why_size = why_size};

	q->index = m->index;
	q->size = m->size;
	q->packed = m->packed;
	q->started = m->started;
	q->enabled = m->enabled;
	q->avail_wrap = m->avail_wrap;
	q->used_wrap = m->used_wrap;
	q->signalled_used_valid = m->signalled_used_valid;
	q->notification = m->notification;
	q->in_order = m->in_order;
	get_addresses(m->addresses, q);
	get_notifier(m->kick, &q->kick);
	get_notifier(m->call, &q->call);
	get_notifier(m->err, &q->err);
	q->last_avail = take_u16(&r, m->last_avail, "index");
	q->used = take_u16(&r, m->used, "index");
	q->signalled_used = take_u16(&r, m->signalled_used, "index");
	get_seen(&r, m->seen, q);
	if (strlen(m->broken) >= sizeof(q->broken)) {
		snprintf(why, why_size, "queue %u: a text of %zu bytes", q->index,
			 strlen(m->broken));
		r.bad = true;
	} else {
		strcpy(q->broken, m->broken);
	}
	return r.bad ? -EINVAL : 0;
}
