/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images of devices with packed rings: where they are, what is in flight, whose
 * descriptors may be in no memory any more, and a back-end that goes on from one.
 */
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "state/memfile.h"
#include "tests/lib/control.h"
#include "tests/lib/states.h"

#define NUM  11u
#define RING 0x10000
#define DATA 0x80000

/* What a machine has left: a pair that has served, its image, and its rings in memory. */
struct left {
	struct pair *p;
	struct vu_frontend_queue *q;
	struct vu__snap s;
	unsigned int first, n; /* requests that are not done: as many from the first on */
	uint64_t slots;	       /* that were made available */
};

static unsigned int length(unsigned int request)
{
	return 1 + request % 3;
}

static void submit(struct left *l, unsigned int request)
{
	struct vu_frontend_buf bufs[3];

	for (unsigned int k = 0; k < length(request); k++)
		bufs[k] = (struct vu_frontend_buf){DATA + request * 4096 + k * 64, 64, k > 0};
	assert_int_equal(vu_frontend_submit(l->q, bufs, length(request), request), 0);
	assert_true(vu_frontend_kick(l->q) >= 0);
	l->slots += length(request);
}

static void expect(struct left *l, unsigned int request)
{
	uint64_t token;

	assert_int_equal(vu_frontend_wait(l->q, 5000), 0);
	assert_int_equal(vu_frontend_reap(l->q, &token, NULL), 1);
	assert_int_equal(token, request);
}

static void check_request(struct pair *p, const VuVirtqElement *e, unsigned int request)
{
	uint8_t *base = vu_gpa_to_va(&p->dev, &(uint64_t){1}, DATA + request * 4096);

	assert_int_equal(e->out_num, 1);
	assert_int_equal(e->in_num, length(request) - 1);
	assert_ptr_equal(e->out_sg[0].iov_base, base);
	for (unsigned int k = 0; k < e->in_num; k++)
		assert_ptr_equal(e->in_sg[k].iov_base, base + 64 * (k + 1));
}

static void take_image(struct left *l)
{
	int fd = control_connect(l->p), image;
	Vu__Control__Reply *reply;
	char why[200];

	CONTROL_REQUEST(r, SAVE, save, Save);
	r_body.hold = true;
	r_body.in_flight = true;
	r_body.hold_ms = 60000;
	reply = control_call(fd, &r, &image);
	if (reply->error)
		fail_msg("%s", reply->why);
	vu__control__reply__free_unpacked(reply, NULL);
	if (vu__memfile_read(image, &l->s, why, sizeof(why)))
		fail_msg("%s", why);
	close(image);
	close(fd);
}

/* The first front-end of a new back-end is a tool with the image. */
static void restore(struct left *l, uint32_t err)
{
	int fd, conn = control_connect(l->p);
	Vu__Control__Reply *reply;
	uint64_t bytes;

	CONTROL_REQUEST(r, RESTORE, restore, Restore);
	fd = vu__memfile_write(&l->s, &bytes);
	assert_true(fd >= 0);
	control_send(conn, &r, &fd, 1);
	reply = control_receive(conn, NULL);
	assert_non_null(reply);
	if (reply->error != err)
		fail_msg("%u '%s' is not %u", reply->error, reply->why, err);
	vu__control__reply__free_unpacked(reply, NULL);
	close(fd);
	close(conn);
}

/* It would wait for the next device at this place. */
static void discard(struct left *l)
{
	int fd;

	CONTROL_REQUEST(r, RESTORE, restore, Restore);
	pair_restart(l->p, false);
	fd = control_connect(l->p);
	r_body.discard = true;
	control_ok(fd, &r);
	close(fd);
}

static void go_on(struct left *l)
{
	pair_negotiate(l->p);
	check_ok(l->p, vu_frontend_share_memory(l->p->fe));
	check_ok(l->p, vu_frontend_queue_start(l->q, 0));
}

/*
 * A queue that has gone @start slots; then of @n + 2 requests the second and the last are
 * complete: they lie where the first one's descriptors were.
 */
static void leave(struct left *l, unsigned int start, unsigned int n, bool indirect)
{
	struct pair_options opt = {.mode = PAIR_HOLD, .packed = true};
	VuVirtqElement *second;

	*l = (struct left){.n = n};
	l->p = pair_ready(&opt);
	l->q = pair_queue(l->p, 0, NUM, RING, 0);
	for (unsigned int i = 0; i < start; i++) {
		submit(l, 0);
		pair_wait_popped(l->p, i + 1);
		pair_release_held(l->p, 0);
		expect(l, 0);
	}
	vu_frontend_use_indirect(l->q, indirect ? 0x40000 : 0, 3);
	for (unsigned int i = 0; i < n + 2; i++)
		submit(l, i);
	pair_wait_popped(l->p, start + n + 2);
	pair_lock(l->p);
	second = l->p->held[1];
	vu_queue_push(&l->p->dev, &l->p->dev.vq[0], l->p->held[n + 1], 0);
	free(l->p->held[n + 1]);
	if (n) {
		vu_queue_push(&l->p->dev, &l->p->dev.vq[0], second, 0);
		free(second);
		memmove(&l->p->held[1], &l->p->held[2], (n - 1) * sizeof(second));
	} else {
		vu_queue_push(&l->p->dev, &l->p->dev.vq[0], l->p->held[0], 0);
		free(l->p->held[0]);
	}
	l->p->nheld = n;
	pair_unlock(l->p);
	expect(l, n + 1);
	take_image(l);
}

/* Of the requests in flight, in the order they were taken: all but the second and the last. */
static unsigned int left_one(unsigned int i)
{
	return i ? i + 1 : 0;
}

static void check_image(const struct left *l)
{
	const struct vu__snap_queue *q = &l->s.queues[0];
	const VuVirtq *vq = &l->p->dev.vq[0];
	unsigned int at = 0;

	assert_int_equal(l->s.nqueues, 1);
	assert_true(q->packed);
	assert_int_equal(q->size, NUM);
	assert_int_equal(vu__snap_avail(q), vq->last_avail_idx);
	assert_int_equal(vu__snap_used(q), vq->used_idx);
	assert_int_equal(q->nheads, l->n);
	for (unsigned int i = 0; i < l->n; i++) {
		unsigned int request = left_one(i);

		if (q->descs[at].flags & 4) { /* a table */
			at++;
			continue;
		}
		for (unsigned int k = 0; k < length(request); k++, at++) {
			assert_int_equal(q->descs[at].addr, DATA + request * 4096 + k * 64);
			assert_int_equal(q->descs[at].len, 64);
			assert_int_equal(q->descs[at].flags, (k ? 2 : 0) |
							     (k + 1 < length(request) ? 1 : 0));
		}
	}
	assert_int_equal(at, q->ndescs);
}

static void end(struct left *l)
{
	vu__snap_release(&l->s);
	pair_free(l->p);
}

static void a_restored_back_end_goes_on(struct left *l, unsigned int start, unsigned int n,
					bool indirect)
{
	leave(l, start, n, indirect);
	check_image(l);
	pair_restart(l->p, false);
	restore(l, 0);
	pair_restart(l->p, false);
	go_on(l);
	pair_wait_popped(l->p, n);
	pair_lock(l->p);
	for (unsigned int i = 0; i < n; i++)
		check_request(l->p, l->p->held[i], left_one(i));
	pair_unlock(l->p);
	/* The one that was complete and not reaped, then these; and new ones. */
	expect(l, n ? 1 : 0);
	pair_release_held(l->p, 0);
	for (unsigned int i = 0; i < n; i++)
		expect(l, left_one(i));
	for (unsigned int i = 0; i < 20; i++) {
		submit(l, i);
		pair_wait_popped(l->p, n + i + 1);
		pair_release_held(l->p, 0);
		expect(l, i);
	}
	assert_int_equal(vu_frontend_outstanding(l->q), 0);
	end(l);
}

static void whatever_is_in_flight_and_wherever(void **state)
{
	struct left l;

	(void)state;
	for (unsigned int start = 0; start < 2 * NUM; start++) {
		for (unsigned int n = 0; n < 4; n++)
			a_restored_back_end_goes_on(&l, start, n, (start + n) % 3 == 0);
	}
}

/* Somebody has completed another one since: the image is of no use. */
static void what_was_served_since_is_seen(void **state)
{
	struct vu_frontend_ring ring;
	struct left l;
	unsigned int slot;

	(void)state;
	leave(&l, 3, 2, false);
	pair_restart(l.p, false);
	restore(&l, 0);
	pair_restart(l.p, false);
	vu_frontend_ring(l.q, &ring);
	slot = vu__snap_used(&l.s.queues[0]) & 0x7fff;
	ring.packed[slot].flags = l.s.queues[0].used_wrap ? 0x8080 : 0;
	pair_negotiate(l.p);
	check_ok(l.p, vu_frontend_share_memory(l.p->fe));
	assert_true(vu_frontend_queue_start(l.q, 0) < 0);
	discard(&l);
	end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_is_in_flight_and_wherever),
		cmocka_unit_test(what_was_served_since_is_seen),
	};

	return cmocka_run_group_tests(tests, control_set_up, control_tear_down);
}
