/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log's pages of a packed ring: descriptors that are used, the device's event
 * suppression structure, and buffers; when they are marked, and only if asked for.  That
 * nothing else is, is test_exact's.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/virtio_ring.h>

#include "base/fd.h"
#include "tests/lib/pair.h"

#define LOG_BYTES 4096
#define MEMORY	  (1u << 20)
#define NUM	  512u /* descriptors of two pages, and areas on others */
#define RING	  0x10000ull
#define DATA	  0x81000

struct log {
	int fd;
	uint8_t *bits;
};

static struct log log_new(void)
{
	struct log l = {.fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING)};

	assert_true(l.fd >= 0);
	assert_int_equal(ftruncate(l.fd, LOG_BYTES), 0);
	l.bits = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, l.fd, 0);
	assert_ptr_not_equal(l.bits, MAP_FAILED);
	return l;
}

static void log_free(struct log *l)
{
	munmap(l->bits, LOG_BYTES);
	close(l->fd);
}

static bool marked(const struct log *l, uint64_t gpa)
{
	return __atomic_load_n(&l->bits[gpa / 4096 / 8], __ATOMIC_ACQUIRE) >> gpa / 4096 % 8 & 1;
}

static unsigned int count(const struct log *l)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < LOG_BYTES; i++)
		n += __builtin_popcount(l->bits[i]);
	return n;
}

static void clear(struct log *l)
{
	memset(l->bits, 0, LOG_BYTES);
}

/* Announces the addresses again, with logging of the ring on or off. */
static void log_ring(struct pair *p, struct vu_frontend_queue *q, bool on)
{
	struct vu_frontend_ring r;

	vu_frontend_ring(q, &r);
	check_ok(p, vu_frontend_set_vring_addr(p->fe, 0, on ? 1 << VHOST_VRING_F_LOG : 0,
					       (uintptr_t)r.packed, (uintptr_t)r.device_event,
					       (uintptr_t)r.driver_event, 0));
}

static uint64_t device_area(struct pair *p, struct vu_frontend_queue *q)
{
	struct vu_frontend_ring r;

	vu_frontend_ring(q, &r);
	return (uint8_t *)r.device_event - (uint8_t *)vu_frontend_ptr(p->fe, 0, MEMORY);
}

/* A pair whose ring and log are on, and a device that does @mode. */
static struct pair *logged(enum pair_mode mode, struct vu_frontend_queue **q, struct log *l)
{
	struct pair_options opt = {.mode = mode, .packed = true};
	struct pair *p = pair_ready(&opt);

	*l = log_new();
	*q = pair_queue(p, 0, NUM, RING, 0);
	check_ok(p, vu_frontend_set_log_base(p->fe, l->fd, LOG_BYTES, 0));
	log_ring(p, *q, true);
	return p;
}

static void end(struct pair *p, struct log *l)
{
	log_free(l);
	pair_free(p);
}

/*
 * Each push is in the log when the driver can see it, whatever the front-end has cleared
 * since the one before; the page of the flags that show it, which are written last, is
 * with the next push or the call.
 */
static void each_push_is_marked_before_it_is_shown(void **state)
{
	static const unsigned int lens[] = {65, 65, 64, 0, 1, 65};
	struct vu_frontend_buf bufs[3] = {
		{0x80000, 16, false}, {DATA, 64, true}, {0x90000, 1, true}};
	struct vu_frontend_queue *q;
	struct log l;
	struct pair *p = logged(PAIR_HOLD, &q, &l);

	(void)state;
	/* Three lists of three before the second page begins with slot 256. */
	for (unsigned int i = 0; i < 247; i++) {
		struct vu_frontend_buf one = {0x80000, 16, false};

		assert_int_equal(vu_frontend_submit(q, &one, 1, i), 0);
		assert_true(vu_frontend_kick(q) >= 0);
		pair_wait_popped(p, i + 1);
		pair_release_held(p, 0);
		assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	}
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(lens); i++)
		assert_int_equal(vu_frontend_submit(q, bufs, 3, i), 0);
	assert_true(vu_frontend_kick(q) >= 0);
	pair_wait_popped(p, 247 + VU_ARRAY_SIZE(lens));
	pair_lock(p);
	vu_queue_notify(&p->dev, &p->dev.vq[0]);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(lens); i++) {
		unsigned int slot = 247 + 3 * i;

		clear(&l);
		vu_queue_push(&p->dev, &p->dev.vq[0], p->held[i], lens[i]);
		assert_int_equal(marked(&l, DATA), lens[i] > 0);
		assert_int_equal(marked(&l, 0x90000), lens[i] > 64);
		assert_true(marked(&l, RING + 16 * slot));
		/* The one before was on the first page. */
		assert_int_equal(marked(&l, RING), slot <= 256 + 2);
		assert_int_equal(marked(&l, RING + 4096), slot >= 256);
		free(p->held[i]);
	}
	clear(&l);
	vu_queue_notify(&p->dev, &p->dev.vq[0]);
	assert_int_equal(count(&l), 1);
	assert_true(marked(&l, RING + 4096));
	p->nheld = 0;
	pair_unlock(p);
	end(p, &l);
}

static void the_ring_is_logged_only_if_asked_for(void **state)
{
	struct vu_frontend_queue *q;
	struct log l;
	struct pair *p = logged(PAIR_ECHO, &q, &l);

	(void)state;
	pair_echo(p, q, 1);
	assert_true(marked(&l, DATA) && marked(&l, RING));
	log_ring(p, q, false);
	clear(&l);
	pair_echo(p, q, 2);
	assert_int_equal(count(&l), 1);
	assert_true(marked(&l, DATA));
	/* The ring alone, without LOG_ALL. */
	log_ring(p, q, true);
	check_ok(p, vu_frontend_set_features(p->fe, vu_frontend_features(p->fe) &
						    ~VU_BIT(VU__F_LOG_ALL)));
	clear(&l);
	pair_echo(p, q, 3);
	assert_true(marked(&l, RING));
	assert_false(marked(&l, DATA));
	end(p, &l);
}

static void the_device_s_wish_is_a_written_page(void **state)
{
	struct vu_frontend_queue *q;
	struct log l;
	struct pair *p = logged(PAIR_NONE, &q, &l);
	uint64_t area = device_area(p, q);

	(void)state;
	pair_lock(p);
	for (unsigned int i = 0; i < 4; i++) {
		clear(&l);
		vu_queue_set_notification(&p->dev, &p->dev.vq[0], i % 2);
		assert_int_equal(count(&l), 1);
		assert_true(marked(&l, area));
	}
	pair_unlock(p);
	end(p, &l);
}

/* QEMU restarts a device in a migration so: logging, rings, and only then the log. */
static void a_ring_that_runs_before_its_log_comes(void **state)
{
	struct pair_options opt = {.packed = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = vu_frontend_queue_new(p->fe, 0, NUM, RING);
	struct log l = log_new();

	(void)state;
	check_ok(p, vu_frontend_queue_start(q, VU_FRONTEND_DISABLED));
	log_ring(p, q, true);
	check_ok(p, vu_frontend_set_log_base(p->fe, l.fd, LOG_BYTES, 0));
	/* The start has written what the device wishes. */
	assert_int_equal(count(&l), 1);
	assert_true(marked(&l, device_area(p, q)));
	end(p, &l);
}

/* Given up in flight, or put back: the device may have written all of it, or some. */
static void what_is_given_up_counts_as_written(void **state)
{
	struct vu_frontend_buf bufs[2] = {{0x80000, 32, false}, {DATA, 8192, true}};

	(void)state;
	for (int unpop = 0; unpop < 2; unpop++) {
		struct vu_frontend_queue *q;
		struct log l;
		struct pair *p = logged(PAIR_HOLD, &q, &l);

		assert_int_equal(vu_frontend_submit(q, bufs, 2, 1), 0);
		assert_true(vu_frontend_kick(q) >= 0);
		pair_wait_popped(p, 1);
		clear(&l);
		vu_set_drain_timeout(&p->dev, 0);
		if (unpop) {
			pair_lock(p);
			vu_queue_unpop(&p->dev, &p->dev.vq[0], p->held[0], 4097);
			free(p->held[0]);
			p->nheld = 0;
			pair_unlock(p);
		} else {
			check_ok(p, vu_frontend_queue_stop(q, NULL));
		}
		assert_true(marked(&l, DATA) && marked(&l, DATA + 4096));
		assert_false(marked(&l, 0x80000));
		end(p, &l);
	}
}

/* A ring in memory that the log has no room for. */
static void a_page_beyond_the_log_ends_the_connection(void **state)
{
	struct pair_options opt = {.packed = true};
	struct pair *p = pair_ready(&opt);
	uint64_t on = vu_frontend_features(p->fe);
	struct vu_frontend_buf bufs[2] = {{0x80000, 32, false}, {DATA, 64, true}};
	struct vu_frontend_queue *q;
	struct log l = log_new();

	(void)state;
	check_ok(p, vu_frontend_set_log_base(p->fe, l.fd, MEMORY / 4096 / 8, 0));
	check_ok(p, vu_frontend_set_features(p->fe, on & ~VU_BIT(VU__F_LOG_ALL)));
	assert_int_equal(vu_frontend_add_memory(p->fe, MEMORY, MEMORY, 0), 1);
	check_ok(p, vu_frontend_add_mem_reg(p->fe, 1));
	q = pair_queue(p, 0, NUM, MEMORY, 0);
	{
		struct vu_frontend_ring r;

		vu_frontend_ring(q, &r);
		/* Refused beforehand, or when there is something to mark. */
		if (!vu_frontend_set_vring_addr(p->fe, 0, 1 << VHOST_VRING_F_LOG,
						(uintptr_t)r.packed, (uintptr_t)r.device_event,
						(uintptr_t)r.driver_event, 0)) {
			assert_int_equal(vu_frontend_submit(q, bufs, 2, 1), 0);
			assert_true(vu_frontend_kick(q) >= 0);
			pair_wait_gone(p);
			assert_int_equal(p->panics, 1);
			assert_non_null(strstr(p->panic_text, "dirty log"));
		}
	}
	for (unsigned int i = MEMORY / 4096 / 8; i < LOG_BYTES; i++)
		assert_int_equal(l.bits[i], 0);
	end(p, &l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_push_is_marked_before_it_is_shown),
		cmocka_unit_test(the_ring_is_logged_only_if_asked_for),
		cmocka_unit_test(the_device_s_wish_is_a_written_page),
		cmocka_unit_test(a_ring_that_runs_before_its_log_comes),
		cmocka_unit_test(what_is_given_up_counts_as_written),
		cmocka_unit_test(a_page_beyond_the_log_ends_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
