/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a front-end can do with queues, memory and configuration: cases 10 to 25. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/lib/pair.h"

static void case_10_queues_that_are_not_there(void **state)
{
	static const uint32_t indices[] = {PAIR_QUEUES, 255, 65536, 65536 + 1, UINT32_MAX,
					   1u << 31};
	static const uint32_t requests[] = {VU__SET_VRING_NUM, VU__SET_VRING_BASE,
					    VU__GET_VRING_BASE, VU__SET_VRING_ENABLE,
					    VU__VRING_KICK, VU__SET_VRING_ENDIAN,
					    VU__GET_VRING_BASE_SKIP_DRAIN};
	/* All features: an index is refused for itself, not for want of one. */
	struct pair_options opt = {.protocol_features = PAIR_ALL};
	struct pair *p = pair_ready(&opt);

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(indices); i++) {
		struct vu_frontend_message m;

		for (unsigned int r = 0; r < VU_ARRAY_SIZE(requests); r++) {
			m = pair_message(requests[r], 8);
			memcpy(m.payload, &indices[i], 4);
			pair_expect_refused(p, &m);
		}
		m = pair_message(VU__SET_VRING_ADDR, 40);
		memcpy(m.payload, &indices[i], 4);
		pair_expect_refused(p, &m);
	}
	pair_free(p);
}

static void case_10_eventfds_for_queues_that_are_not_there(void **state)
{
	struct pair *p = pair_ready(NULL);
	int fd = new_eventfd();

	(void)state;
	for (unsigned int idx = PAIR_QUEUES; idx < 256; idx += 50) {
		assert_int_equal(vu_frontend_set_vring_kick(p->fe, idx, fd), -EREMOTEIO);
		assert_int_equal(vu_frontend_set_vring_call(p->fe, idx, fd), -EREMOTEIO);
		assert_int_equal(vu_frontend_set_vring_err(p->fe, idx, -1), -EREMOTEIO);
	}
	close(fd);
	pair_free(p);
}

static void case_11_ring_sizes(void **state)
{
	static const uint32_t bad[] = {0, 3, 100, 32769, 65536, UINT32_MAX};
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q;

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(bad); i++)
		assert_int_equal(vu_frontend_set_vring_num(p->fe, 0, bad[i]), -EREMOTEIO);
	for (uint32_t num = 1; num <= 32768; num *= 2)
		check_ok(p, vu_frontend_set_vring_num(p->fe, 0, num));
	q = pair_queue(p, 0, 16, 0, 0);
	assert_int_equal(vu_frontend_set_vring_num(p->fe, 0, 32), -EREMOTEIO);
	assert_int_equal(vu_frontend_set_vring_base(p->fe, 0, 5), -EREMOTEIO);
	pair_echo(p, q, 1);
	pair_free(p);
}

static void the_largest_ring_there_is(void **state)
{
	struct pair *p = pair_new(NULL);
	struct vu_frontend_queue *q;

	(void)state;
	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL, PAIR_ALL));
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 4 << 20, 0), 0);
	check_ok(p, vu_frontend_share_memory(p->fe));
	q = pair_queue(p, 0, 32768, 1 << 20, 0);
	for (unsigned int i = 0; i < 1000; i++)
		pair_echo(p, q, i);
	pair_free(p);
}

static long resident_kb(void)
{
	long pages = 0, skip;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld %ld", &skip, &pages), 2);
	fclose(f);
	return pages * 4;
}

static void case_12_a_hundred_thousand_sizes(void **state)
{
	struct pair *p = pair_ready(NULL);
	long before;

	(void)state;
	for (unsigned int i = 0; i < 1000; i++)
		check_ok(p, vu_frontend_set_vring_num(p->fe, 0, 1u << i % 16));
	before = resident_kb();
	vu_frontend_ask_acks(p->fe, false);
	for (unsigned int i = 0; i < 100000; i++)
		check_ok(p, vu_frontend_set_vring_num(p->fe, 0, 1u << i % 16));
	vu_frontend_ask_acks(p->fe, true);
	check_ok(p, vu_frontend_set_vring_num(p->fe, 0, 16));
	assert_true(resident_kb() - before < 4096);
	pair_free(p);
}

static void case_13_ring_addresses(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_region r;
	uint64_t at, end;
	unsigned int num = 16;

	(void)state;
	check_ok(p, vu_frontend_region(p->fe, 0, &r));
	at = r.uaddr;
	end = r.uaddr + r.size;
	check_ok(p, vu_frontend_set_vring_num(p->fe, 0, num));
#define REFUSED(d, u, a)                                                                 \
	assert_int_equal(vu_frontend_set_vring_addr(p->fe, 0, 0, d, u, a, 0), -EREMOTEIO)
	check_ok(p, vu_frontend_set_vring_addr(p->fe, 0, 0, at, at + 8192, at + 4096, 0));
	REFUSED(0, at + 8192, at + 4096);
	REFUSED(at, 0, at + 4096);
	REFUSED(at, at + 8192, 0);
	REFUSED(UINT64_MAX - 15, at + 8192, at + 4096);
	/* Begins inside, ends outside, by the smallest step alignment lets. */
	REFUSED(end - num * 16 + 16, at + 8192, at + 4096);
	REFUSED(at, end - (6 + num * 8 - 2) / 4 * 4, at + 4096);
	REFUSED(at, at + 8192, end - (6 + num * 2) + 2);
	REFUSED(at + 8, at + 8192, at + 4096);
	REFUSED(at, at + 8194, at + 4096);
	REFUSED(at, at + 8192, at + 4097);
	/* To the last byte is right. */
	check_ok(p, vu_frontend_set_vring_addr(p->fe, 0, 0, end - num * 16, at + 8192,
					       at + 4096, 0));
	check_ok(p, vu_frontend_set_vring_addr(p->fe, 0, 0, at, at + 8192,
					       end - (6 + num * 2), 0));
#undef REFUSED
	pair_free(p);
}

static void case_13_rings_in_three_regions(void **state)
{
	struct pair *p = pair_new(NULL);
	struct vu_frontend_region r[3];
	struct vring_avail *avail;
	struct vring_used *used;
	int kick = new_eventfd(), call = new_eventfd();

	(void)state;
	check_ok(p, vu_frontend_negotiate(p->fe, VU_BIT(VU__F_VERSION_1), PAIR_ALL));
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(vu_frontend_add_memory(p->fe, i << 24, 65536, 0), i);
		check_ok(p, vu_frontend_region(p->fe, i, &r[i]));
	}
	check_ok(p, vu_frontend_share_memory(p->fe));
	check_ok(p, vu_frontend_set_vring_num(p->fe, 0, 8));
	check_ok(p, vu_frontend_set_vring_addr(p->fe, 0, 0, r[0].uaddr, r[1].uaddr, r[2].uaddr,
					       0));
	check_ok(p, vu_frontend_set_vring_call(p->fe, 0, call));
	avail = r[2].mem;
	used = r[1].mem;
	*(struct vring_desc *)r[0].mem = (struct vring_desc){0x1000, 8, VRING_DESC_F_WRITE, 0};
	avail->idx = 1;
	check_ok(p, vu_frontend_set_vring_kick(p->fe, 0, kick));
	check_ok(p, vu_frontend_set_vring_enable(p->fe, 0, true));
	pair_wait_popped(p, 1);
	pair_lock(p);
	assert_int_equal(used->idx, 1);
	pair_unlock(p);
	close(kick);
	close(call);
	pair_free(p);
}

/* Sends a table of @n regions made from @template, refused; the old table stays. */
static void refuse_table(struct pair *p, struct vu_frontend_queue *q,
			 const VhostUserMemoryRegion *regions, unsigned int n,
			 unsigned int nfds, int fd)
{
	struct vu_frontend_message m = pair_message(VU__SET_MEM_TABLE, 8 + 32 * n);

	memcpy(m.payload, &n, 4);
	memcpy(m.payload + 8, regions, 32 * VU_MIN(n, 64u));
	m.nfds = nfds;
	for (unsigned int i = 0; i < nfds; i++)
		m.fds[i] = fd;
	pair_expect_refused(p, &m);
	pair_echo(p, q, 77);
	assert_int_equal(vu_get_region_count(&p->dev), 1);
}

static void case_14_memory_tables(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);
	int fd = memfd_create("table", MFD_CLOEXEC);
	VhostUserMemoryRegion r[64], one;

	(void)state;
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	for (unsigned int i = 0; i < 64; i++)
		r[i] = (VhostUserMemoryRegion){(1ULL << 32) + (i << 16), 65536,
					       (1ULL << 40) + (i << 16), 0};
	refuse_table(p, q, r, 9, 8, fd);
	refuse_table(p, q, r, 3, 2, fd);
	refuse_table(p, q, r, 2, 3, fd);
	refuse_table(p, q, r, 1, 0, fd);
	one = r[0];
#define BAD(field, value)                                                                \
	do {                                                                             \
		VhostUserMemoryRegion bad = one;                                         \
		bad.field = (value);                                                     \
		refuse_table(p, q, &bad, 1, 1, fd);                                      \
	} while (0)
	BAD(memory_size, 0);
	BAD(memory_size, 2 << 20);
	BAD(memory_size, UINT64_MAX);
	BAD(mmap_offset, 1 << 20);
	BAD(mmap_offset, UINT64_MAX - 100);
	BAD(guest_phys_addr, UINT64_MAX - 100);
	BAD(userspace_addr, UINT64_MAX - 100);
#undef BAD
	r[1] = r[0];
	refuse_table(p, q, r, 2, 2, fd);
	r[1].guest_phys_addr += 1 << 30;
	refuse_table(p, q, r, 2, 2, fd);
	/* A good table that takes the ring away is no good. */
	refuse_table(p, q, r, 1, 1, fd);
	close(fd);
	pair_free(p);
}

static void case_15_regions_come_and_go_under_load(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_buf buf = {0, 64, true};

	(void)state;
	for (unsigned int i = 1; i < 20; i++) {
		buf.gpa = (uint64_t)i << 24;
		assert_int_equal(vu_frontend_add_memory(p->fe, buf.gpa, 65536, 0), i);
		check_ok(p, vu_frontend_add_mem_reg(p->fe, i));
		assert_int_equal(vu_get_region_count(&p->dev), 2);
		pair_echo(p, q, i);
		/* A buffer in the region that has just come. */
		assert_int_equal(vu_frontend_submit(q, &buf, 1, i), 0);
		vu_frontend_kick(q);
		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
		check_ok(p, vu_frontend_rem_mem_reg(p->fe, i));
		assert_int_equal(vu_get_region_count(&p->dev), 1);
		pair_echo(p, q, i);
	}
	check_ok(p, vu_frontend_rem_mem_reg(p->fe, 1) == -EREMOTEIO ? 0 : -1);
	pair_free(p);
}

/* The same guest addresses, other memory: what comes next is there, not where it was. */
static void case_15_a_region_comes_back_as_another(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_buf bufs[2] = {{0x80000, 64, false}, {1 << 24, 64, true}};

	(void)state;
	for (unsigned int i = 1; i < 10; i++) {
		struct vu_frontend_region r;
		uint8_t *out = vu_frontend_ptr(p->fe, 0x80000, 64);

		/* vu_frontend_ptr() would find the first of them. */
		assert_int_equal(vu_frontend_add_memory(p->fe, 1 << 24, 65536,
							i % 2 ? VU_FRONTEND_OFFSET : 0), i);
		check_ok(p, vu_frontend_region(p->fe, i, &r));
		check_ok(p, vu_frontend_add_mem_reg(p->fe, i));
		memset(out, i, 64);
		assert_int_equal(vu_frontend_submit(q, bufs, 2, i), 0);
		vu_frontend_kick(q);
		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
		assert_memory_equal(r.mem, out, 64);
		check_ok(p, vu_frontend_rem_mem_reg(p->fe, i));
	}
	pair_free(p);
}

static void case_15_a_request_in_flight_outlives_its_region(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_buf bufs[2] = {{0x80000, 64, false}, {1 << 24, 64, true}};
	uint8_t *in;

	(void)state;
	assert_int_equal(vu_frontend_add_memory(p->fe, 1 << 24, 65536, 0), 1);
	check_ok(p, vu_frontend_add_mem_reg(p->fe, 1));
	memset(vu_frontend_ptr(p->fe, 0x80000, 64), 0x42, 64);
	assert_int_equal(vu_frontend_submit(q, bufs, 2, 1), 0);
	vu_frontend_kick(q);
	pair_wait_popped(p, 1);
	check_ok(p, vu_frontend_rem_mem_reg(p->fe, 1));
	pair_release_held(p, 0);
	assert_int_equal(vu_frontend_wait(q, 5000), 0);
	assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	in = vu_frontend_ptr(p->fe, 1 << 24, 64);
	assert_int_equal(in[63], 0x42);
	/* Asked for again, it is not there any more. */
	assert_int_equal(vu_frontend_submit(q, bufs, 2, 2), 0);
	vu_frontend_kick(q);
	assert_int_equal(vu__fd_wait(vu_frontend_err_fd(q), POLLIN, vu__now_ms() + 5000), 0);
	pair_free(p);
}

static void case_15_as_many_regions_as_there_are_slots(void **state)
{
	struct pair *p = pair_new(NULL);
	struct vu_frontend_queue *q;
	uint64_t slots;

	(void)state;
	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL, PAIR_ALL));
	check_ok(p, vu_frontend_get_max_mem_slots(p->fe, &slots));
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 1 << 20, 0), 0);
	for (unsigned int i = 1; i < slots; i++)
		assert_int_equal(vu_frontend_add_memory(p->fe, (1ULL << 32) + i * 0x3000, 4096,
							0),
				 i);
	check_ok(p, vu_frontend_share_memory(p->fe));
	assert_int_equal(vu_get_region_count(&p->dev), slots);
	assert_int_equal(p->dev.nregions, VHOST_USER_MAX_RAM_SLOTS);
	assert_true(vu_frontend_add_memory(p->fe, 1ULL << 50, 4096, 0) > 0);
	assert_int_equal(vu_frontend_add_mem_reg(p->fe, slots), -EREMOTEIO);
	q = pair_queue(p, 0, 16, 0, 0);
	pair_echo(p, q, 1);
	pair_free(p);
}

static void case_16_removing_regions(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_message m = pair_message(VU__REM_MEM_REG, 40);
	struct vu_frontend_region r;
	VhostUserMemRegMsg reg = {0};
	int fd = new_eventfd();

	(void)state;
	check_ok(p, vu_frontend_region(p->fe, 0, &r));
	reg.region = (VhostUserMemoryRegion){r.gpa, r.size, r.uaddr + 1, 0};
	memcpy(m.payload, &reg, sizeof(reg));
	m.nfds = 1;
	m.fds[0] = fd;
	pair_expect_refused(p, &m);
	/* An fd that some send along is closed; the offset plays no part. */
	reg.region.userspace_addr--;
	reg.region.mmap_offset = 12345;
	memcpy(m.payload, &reg, sizeof(reg));
	assert_int_equal(vu_frontend_send(p->fe, &m), 0);
	check_ok(p, vu_frontend_set_vring_num(p->fe, 0, 16));
	assert_int_equal(vu_get_region_count(&p->dev), 0);
	check_ok(p, vu_frontend_add_mem_reg(p->fe, 0));
	close(fd);
	pair_free(p);
}

static void a_ring_keeps_its_memory(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);

	(void)state;
	assert_int_equal(vu_frontend_rem_mem_reg(p->fe, 0), -EREMOTEIO);
	pair_echo(p, q, 1);
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	check_ok(p, vu_frontend_rem_mem_reg(p->fe, 0));
	pair_free(p);
}

static void case_17_without_eventfds(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q =
		pair_queue(p, 0, 16, 0, VU_FRONTEND_POLL_CALLS | VU_FRONTEND_POLL_KICKS);
	struct vu_frontend_buf buf = {0x80000, 16, true};
	VuVirtqElement *e;

	(void)state;
	assert_int_equal(vu_frontend_submit(q, &buf, 1, 3), 0);
	pair_lock(p);
	assert_int_equal(p->dev.vq[0].kick_fd, -1);
	assert_int_equal(p->dev.vq[0].call_fd, -1);
	e = vu_queue_pop(&p->dev, &p->dev.vq[0], sizeof(*e));
	assert_non_null(e);
	vu_queue_push(&p->dev, &p->dev.vq[0], e, 16);
	vu_queue_notify(&p->dev, &p->dev.vq[0]);
	vu_queue_notify_sync(&p->dev, &p->dev.vq[0]);
	free(e);
	pair_unlock(p);
	assert_int_equal(vu_frontend_wait(q, 5000), 0);
	assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	assert_int_equal(p->panics, 0);
	pair_free(p);
}

static void case_18_call_eventfds_change_while_running(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);
	int number = -1, fd = new_eventfd();

	(void)state;
	for (unsigned int i = 0; i < 500; i++) {
		uint64_t value = 0;

		/* As a monitor masks and unmasks an interrupt. */
		check_ok(p, vu_frontend_set_vring_call(p->fe, 0, i % 3 ? fd : -1));
		pair_lock(p);
		if (i % 3) {
			if (number < 0)
				number = p->dev.vq[0].call_fd;
			assert_int_equal(p->dev.vq[0].call_fd, number);
		} else {
			assert_int_equal(p->dev.vq[0].call_fd, -1);
		}
		pair_unlock(p);
		vu__event_consume(fd, &value);
		assert_int_equal(value, i % 3 ? 1 : 0);
	}
	check_ok(p, vu_frontend_set_vring_call(p->fe, 0, vu_frontend_call_fd(q)));
	pair_echo(p, q, 5);
	close(fd);
	pair_free(p);
}

static void case_18_call_before_everything_else(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q;
	int fd = new_eventfd();
	uint64_t value;

	(void)state;
	check_ok(p, vu_frontend_set_vring_call(p->fe, 0, fd));
	vu__event_consume(fd, &value);
	assert_int_equal(value, 0);
	q = pair_queue(p, 0, 16, 0, 0);
	pair_echo(p, q, 5);
	close(fd);
	pair_free(p);
}

static void case_19_base_of_a_queue_that_never_ran(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q;
	uint32_t base = 1;

	(void)state;
	check_ok(p, vu_frontend_get_vring_base(p->fe, 2, &base));
	assert_int_equal(base, 0);
	check_ok(p, vu_frontend_set_vring_base(p->fe, 2, 0x1234));
	check_ok(p, vu_frontend_get_vring_base(p->fe, 2, &base));
	assert_int_equal(base, 0x1234);
	assert_int_equal(vu_frontend_set_vring_base(p->fe, 2, 0x10000), -EREMOTEIO);
	q = pair_queue(p, 0, 16, 0, 0);
	pair_echo(p, q, 1);
	for (unsigned int i = 0; i < 3; i++) {
		check_ok(p, vu_frontend_get_vring_base(p->fe, 0, &base));
		assert_int_equal(base, 1);
	}
	assert_int_equal(p->stops[0], 1);
	pair_free(p);
}

static void case_20_stopping_waits_for_what_is_in_flight(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_buf buf = {0x80000, 64, true};
	struct vu_frontend_message m = pair_message(VU__GET_VRING_BASE, 8);
	struct pollfd answer = {.fd = vu_frontend_sock(p->fe), .events = POLLIN};
	uint32_t base;

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(vu_frontend_submit(q, &buf, 1, i), 0);
	vu_frontend_kick(q);
	pair_wait_popped(p, 5);
	assert_int_equal(vu_frontend_send(p->fe, &m), 0);
	assert_int_equal(poll(&answer, 1, 50), 0);
	pair_lock(p);
	assert_int_equal(p->stops[0], 1);
	assert_false(vu_queue_started(&p->dev, &p->dev.vq[0]));
	pair_unlock(p);
	pair_release_held(p, 0);
	assert_int_equal(vu_frontend_recv(p->fe, &m), 0);
	memcpy(&base, m.payload + 4, 4);
	assert_int_equal(base, 5);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	pair_free(p);
}

static void case_20_several_stops_answer_in_order(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 2, 64, 0, 0);
	struct vu_frontend_buf buf = {0x80000, 64, true};
	struct vu_frontend_message m;

	(void)state;
	assert_int_equal(vu_frontend_submit(q, &buf, 1, 0), 0);
	vu_frontend_kick(q);
	pair_wait_popped(p, 1);
	for (uint8_t i = 0; i < 3; i++) {
		static const uint8_t order[] = {2, 0, 1};

		m = pair_message(VU__GET_VRING_BASE, 8);
		m.payload[0] = order[i];
		assert_int_equal(vu_frontend_send(p->fe, &m), 0);
	}
	pair_release_held(p, 2);
	for (uint8_t i = 0; i < 3; i++) {
		static const uint8_t order[] = {2, 0, 1};

		assert_int_equal(vu_frontend_recv(p->fe, &m), 0);
		assert_int_equal(m.payload[0], order[i]);
	}
	pair_free(p);
}

static void case_20_nothing_is_written_after_the_answer(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_buf buf = {0x80000, 64, true};
	uint8_t *ring, before[8192];
	uint64_t value;
	uint32_t base;

	(void)state;
	vu_set_drain_timeout(&p->dev, 50);
	assert_int_equal(vu_frontend_submit(q, &buf, 1, 0), 0);
	vu_frontend_kick(q);
	pair_wait_popped(p, 1);
	/* The device does not finish in time. */
	check_ok(p, vu_frontend_get_vring_base(p->fe, 0, &base));
	ring = vu_frontend_ptr(p->fe, 0, sizeof(before));
	memcpy(before, ring, sizeof(before));
	vu__event_consume(vu_frontend_call_fd(q), &value);
	pair_release_held(p, 0);
	assert_memory_equal(before, ring, sizeof(before));
	vu__event_consume(vu_frontend_call_fd(q), &value);
	assert_int_equal(value, 0);
	pair_free(p);
}

static void case_20_a_front_end_that_does_not_wait(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_buf buf = {0x80000, 64, true};
	struct vu_frontend_message m = pair_message(VU__GET_VRING_BASE, 8);

	(void)state;
	assert_int_equal(vu_frontend_submit(q, &buf, 1, 0), 0);
	vu_frontend_kick(q);
	pair_wait_popped(p, 1);
	assert_int_equal(vu_frontend_send(p->fe, &m), 0);
	m = pair_message(VU__GET_FEATURES, 0);
	assert_int_equal(vu_frontend_send(p->fe, &m), 0);
	assert_int_equal(vu_frontend_recv(p->fe, &m), 0);
	assert_int_equal(m.request, VU__GET_VRING_BASE);
	assert_int_equal(vu_frontend_recv(p->fe, &m), 0);
	assert_int_equal(m.request, VU__GET_FEATURES);
	pair_free(p);
}

static void case_21_starting_takes_up_what_is_there(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = vu_frontend_queue_new(p->fe, 0, 64, 0);
	struct vu_frontend_buf buf = {0x80000, 64, true};

	(void)state;
	assert_non_null(q);
	/* Nobody kicks here. */
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < 10; i++)
			assert_int_equal(vu_frontend_submit(q, &buf, 1, i), 0);
		check_ok(p, vu_frontend_queue_start(q, 0));
		for (unsigned int i = 0; i < 10; i++) {
			assert_int_equal(vu_frontend_wait(q, 5000), 0);
			assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
		}
		check_ok(p, vu_frontend_queue_stop(q, NULL));
	}
	pair_free(p);
}

/* avail_event was left behind by another back-end: the driver will not kick by itself. */
static void case_21_a_stale_avail_event(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_ring ring;

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		pair_echo(p, q, i);
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	vu_frontend_ring(q, &ring);
	*ring.avail_event = 0x4000;
	check_ok(p, vu_frontend_queue_start(q, 0));
	pair_echo(p, q, 6);
	pair_free(p);
}

/*
 * The stop did not wait for them, and the driver has used their heads anew: they complete
 * nothing, pushed singly or among others in a batch.
 */
static void what_comes_back_after_the_next_start_is_not_taken_for_another(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_buf buf = {0x80000, 64, true};
	VuVirtq *vq = &p->dev.vq[0];
	VuVirtqElement *old, *other, *again, *more;
	uint64_t token;
	uint32_t len;

	(void)state;
	vu_set_drain_timeout(&p->dev, 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vu_frontend_submit(q, &buf, 1, i), 0);
	vu_frontend_kick(q);
	pair_wait_popped(p, 2);
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	vu_frontend_queue_reset(q);
	check_ok(p, vu_frontend_queue_start(q, 0));
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vu_frontend_submit(q, &buf, 1, 10 + i), 0);
	vu_frontend_kick(q);
	pair_wait_popped(p, 4);
	pair_lock(p);
	old = p->held[0], other = p->held[1], again = p->held[2], more = p->held[3];
	assert_int_equal(old->index, again->index);
	vu_queue_push(&p->dev, vq, old, 7);
	assert_int_equal(vq->inuse, 2);
	vu_queue_fill(&p->dev, vq, other, 7, 0);
	vu_queue_fill(&p->dev, vq, again, 9, 1);
	vu_queue_flush(&p->dev, vq, 2);
	assert_int_equal(vq->inuse, 1);
	vu_queue_fill(&p->dev, vq, old, 7, 0);
	vu_queue_flush(&p->dev, vq, 1);
	assert_int_equal(vq->inuse, 1);
	vu_queue_push(&p->dev, vq, more, 9);
	vu_queue_notify(&p->dev, vq);
	pair_unlock(p);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, &token, &len), 1);
		assert_int_equal(len, 9);
		assert_true(token >= 10);
	}
	assert_int_equal(vu_frontend_outstanding(q), 0);
	pair_free(p);
}

static void an_in_order_device_resumes_at_the_used_index(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD, .in_order = true};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_buf buf = {0x80000, 64, true};
	uint32_t base;

	(void)state;
	vu_set_drain_timeout(&p->dev, 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(vu_frontend_submit(q, &buf, 1, i), 0);
	vu_frontend_kick(q);
	pair_wait_popped(p, 3);
	check_ok(p, vu_frontend_queue_stop(q, &base));
	assert_int_equal(base, 3);
	pair_lock(p);
	p->mode = PAIR_ECHO;
	pair_unlock(p);
	check_ok(p, vu_frontend_queue_start(q, 0));
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(vu_frontend_wait(q, 5000), 0);
		assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	}
	pair_free(p);
}

static bool enabled(struct pair *p, unsigned int queue)
{
	bool ret;

	pair_lock(p);
	ret = vu_queue_enabled(&p->dev, &p->dev.vq[queue]);
	pair_unlock(p);
	return ret;
}

static void case_22_enabling(void **state)
{
	struct pair *p = pair_ready(NULL);
	uint64_t with = vu_frontend_features(p->fe);
	uint64_t without = with & ~VU_BIT(VU__F_PROTOCOL_FEATURES);

	(void)state;
	assert_true(with != without);
	assert_false(enabled(p, 0));
	check_ok(p, vu_frontend_set_vring_enable(p->fe, 0, true));
	check_ok(p, vu_frontend_set_features(p->fe, with));
	assert_true(enabled(p, 0));
	assert_false(enabled(p, 1));
	check_ok(p, vu_frontend_set_features(p->fe, without));
	assert_true(enabled(p, 1));
	check_ok(p, vu_frontend_set_features(p->fe, with));
	assert_true(enabled(p, 1));
	check_ok(p, vu_frontend_set_vring_enable(p->fe, 1, false));
	assert_false(enabled(p, 1));
	check_ok(p, vu_frontend_reset_owner(p->fe));
	assert_false(enabled(p, 0));
	pair_free(p);
}

static void case_22_disabling_keeps_a_queue_started(void **state)
{
	struct pair_options opt = {.mode = PAIR_NONE};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 64, 0, 0);
	struct vu_frontend_buf buf = {0x80000, 64, true};

	(void)state;
	check_ok(p, vu_frontend_set_vring_enable(p->fe, 0, false));
	assert_true(p->dev.vq[0].started);
	assert_int_equal(vu_frontend_submit(q, &buf, 1, 1), 0);
	pair_lock(p);
	p->mode = PAIR_ECHO;
	pair_unlock(p);
	/* Enabling looks at the ring again. */
	check_ok(p, vu_frontend_set_vring_enable(p->fe, 0, true));
	assert_int_equal(vu_frontend_wait(q, 5000), 0);
	pair_free(p);
}

static void case_22_enable_is_0_or_1(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_message m = pair_message(VU__SET_VRING_ENABLE, 8);

	(void)state;
	m.payload[4] = 2;
	pair_expect_refused(p, &m);
	pair_free(p);
}

static void case_23_features(void **state)
{
	struct pair_options opt = {.features = VU_BIT(3)};
	struct pair *p = pair_ready(&opt);
	uint64_t f = vu_frontend_features(p->fe);

	(void)state;
	assert_int_equal(vu_frontend_set_features(p->fe, f | VU_BIT(60)), -EREMOTEIO);
	assert_int_equal(vu_frontend_set_features(p->fe, f | VU_BIT(VU__F_ACCESS_PLATFORM)),
			 -EREMOTEIO);
	pair_queue(p, 0, 16, 0, 0);
	assert_int_equal(vu_frontend_set_features(p->fe, f | VU_BIT(VU__F_RING_PACKED)),
			 -EREMOTEIO);
	/* The same again is what monitors with several queue pairs do. */
	check_ok(p, vu_frontend_set_features(p->fe, f));
	assert_int_equal(vu_frontend_set_features(p->fe, f & ~VU_BIT(3)), -EREMOTEIO);
	assert_int_equal(p->dev.features, f);
	assert_int_equal(vu_frontend_set_protocol_features(p->fe, VU_BIT(40)), -EREMOTEIO);
	pair_free(p);
}

static void in_band_needs_a_channel_and_acks(void **state)
{
	struct pair_options opt = {.protocol_features = PAIR_ALL};
	struct pair *p = pair_new(&opt);
	uint64_t pf = VU_BIT(VU__PF_INBAND_NOTIFICATIONS);
	struct vu_frontend_message m = pair_message(VU__SET_PROTOCOL_FEATURES, 8);

	(void)state;
	memcpy(m.payload, &pf, 8);
	pair_expect_fatal(p, &m);
	pair_free(p);
}

/* A GET_CONFIG that fails is answered with nothing. */
static void config_fails(struct pair *p, uint32_t offset, uint32_t size, uint32_t payload)
{
	struct vu_frontend_message m = pair_message(VU__GET_CONFIG, payload);

	memcpy(m.payload, &offset, 4);
	memcpy(m.payload + 4, &size, 4);
	assert_int_equal(vu_frontend_send(p->fe, &m), 0);
	assert_int_equal(vu_frontend_recv(p->fe, &m), 0);
	assert_int_equal(m.request, VU__GET_CONFIG);
	assert_int_equal(m.size, 0);
}

static void case_25_configuration_ranges(void **state)
{
	struct pair *p = pair_ready(NULL);
	uint8_t bytes[256] = {0};

	(void)state;
	config_fails(p, 0, 257, 12 + 257);
	config_fails(p, 0, UINT32_MAX, 12 + 256);
	config_fails(p, 1, 256, 12 + 256);
	config_fails(p, UINT32_MAX, 4, 16);
	config_fails(p, 0, 8, 16);
	config_fails(p, 0, 4, 20);
	config_fails(p, 0, 4, 8);
	assert_int_equal(vu_frontend_set_config(p->fe, 250, 7, 0, bytes), -EREMOTEIO);
	assert_int_equal(vu_frontend_set_config(p->fe, UINT32_MAX, 1, 0, bytes), -EREMOTEIO);
	assert_int_equal(vu_frontend_set_config(p->fe, 4, 4, 0, bytes), -EREMOTEIO);
	check_ok(p, vu_frontend_get_config(p->fe, 255, 1, bytes));
	assert_int_equal(bytes[0], 255);
	assert_true(p->config_len <= 256);
	pair_free(p);
}

static unsigned int quiesced;
static bool inside;

static void on_quiesce(VuDev *dev, int qidx)
{
	(void)dev;
	(void)qidx;
	assert_false(inside);
	inside = true;
	quiesced++;
}

static void on_resume(VuDev *dev, int qidx)
{
	(void)dev;
	(void)qidx;
	assert_true(inside);
	inside = false;
}

static void changes_keep_the_queues_threads_out(void **state)
{
	static const struct vu_ext_ops ops = {
		.size = sizeof(ops), .quiesce = on_quiesce, .resume = on_resume};
	struct pair_options opt = {.ext = &ops};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);

	(void)state;
	quiesced = 0;
	assert_int_equal(vu_frontend_add_memory(p->fe, 1 << 24, 4096, 0), 1);
	check_ok(p, vu_frontend_add_mem_reg(p->fe, 1));
	assert_int_equal(quiesced, 1);
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	assert_true(quiesced > 1);
	assert_false(inside);
	pair_free(p);
}

static void a_kick_eventfd_that_is_none(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = vu_frontend_queue_new(p->fe, 0, 16, 0);
	struct vu_frontend_region r;
	int fds[2];

	(void)state;
	assert_non_null(q);
	check_ok(p, vu_frontend_region(p->fe, 0, &r));
	assert_int_equal(pipe(fds), 0);
	check_ok(p, vu_frontend_queue_start(q, 0));
	check_ok(p, vu_frontend_set_vring_kick(p->fe, 0, fds[0]));
	/* Its end is readable for ever: the queue breaks instead of spinning. */
	close(fds[1]);
	assert_int_equal(vu__fd_wait(vu_frontend_err_fd(q), POLLIN, vu__now_ms() + 5000), 0);
	close(fds[0]);
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	check_ok(p, vu_frontend_queue_start(q, 0));
	pair_echo(p, q, 1);
	pair_free(p);
}

/* Some monitors use a pipe for calls; when they die, so must not we. */
static void calls_over_what_can_close(bool use_pipe)
{
	struct pair *p = pair_new(NULL);
	struct vu_frontend_buf bad = {1ULL << 40, 64, true};
	struct vu_frontend_queue *q;
	uint64_t value = 0;
	int fds[2];

	/* Without an event index there is a call for each. */
	check_ok(p, vu_frontend_negotiate(p->fe, VU_BIT(VU__F_VERSION_1), PAIR_ALL));
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 1 << 20, 0), 0);
	check_ok(p, vu_frontend_share_memory(p->fe));
	q = pair_queue(p, 0, 16, 0, VU_FRONTEND_POLL_CALLS);
	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	if (use_pipe)
		assert_int_equal(pipe(fds), 0);
	else
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	check_ok(p, vu_frontend_set_vring_call(p->fe, 0, fds[1]));
	check_ok(p, vu_frontend_set_vring_err(p->fe, 0, fds[1]));
	/* One for what may have been missed while it was replaced, one for this. */
	pair_echo(p, q, 1);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vu__fd_wait(fds[0], POLLIN, vu__now_ms() + 5000), 0);
		assert_int_equal(read(fds[0], &value, sizeof(value)), sizeof(value));
		assert_int_equal(value, 1);
	}
	close(fds[0]);
	pair_echo(p, q, 2);
	check_ok(p, vu_frontend_set_vring_call(p->fe, 0, fds[1]));
	check_ok(p, vu_frontend_set_vring_enable(p->fe, 0, true));
	assert_int_equal(vu_frontend_submit(q, &bad, 1, 3), 0);
	assert_true(vu_frontend_kick(q) >= 0);
	for (bool broken = false; !broken;) {
		pair_lock(p);
		broken = vu_queue_broken_reason(&p->dev, &p->dev.vq[0]);
		pair_unlock(p);
	}
	close(fds[1]);
	pair_free(p);
}

static void calls_over_a_pipe_that_closes(void **state)
{
	(void)state;
	calls_over_what_can_close(true);
}

static void calls_over_a_socket_that_closes(void **state)
{
	(void)state;
	calls_over_what_can_close(false);
}

/* A signal is eight bytes: they do not belong into a file. */
static void files_are_no_eventfds(void **state)
{
	struct pair *p = pair_ready(NULL);
	int file = memfd_create("file", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(vu_frontend_set_vring_kick(p->fe, 0, file), -EREMOTEIO);
	assert_int_equal(vu_frontend_set_vring_call(p->fe, 0, file), -EREMOTEIO);
	assert_int_equal(vu_frontend_set_vring_err(p->fe, 0, file), -EREMOTEIO);
	assert_int_equal(vu_frontend_set_log_fd(p->fe, file), -EREMOTEIO);
	close(file);
	pair_free(p);
}

/* Whoever still looks at it then must not take the new base for requests. */
static void a_stopped_queue_pops_nothing_wherever_it_will_go_on(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);

	(void)state;
	pair_echo(p, q, 1);
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	for (uint32_t base = 0; base < 3; base++) {
		check_ok(p, vu_frontend_set_vring_base(p->fe, 0, base));
		pair_lock(p);
		assert_null(vu_queue_pop(&p->dev, &p->dev.vq[0], sizeof(VuVirtqElement)));
		assert_true(vu_queue_empty(&p->dev, &p->dev.vq[0]));
		pair_unlock(p);
	}
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_10_queues_that_are_not_there),
		cmocka_unit_test(case_10_eventfds_for_queues_that_are_not_there),
		cmocka_unit_test(case_11_ring_sizes),
		cmocka_unit_test(the_largest_ring_there_is),
		cmocka_unit_test(case_12_a_hundred_thousand_sizes),
		cmocka_unit_test(case_13_ring_addresses),
		cmocka_unit_test(case_13_rings_in_three_regions),
		cmocka_unit_test(case_14_memory_tables),
		cmocka_unit_test(case_15_regions_come_and_go_under_load),
		cmocka_unit_test(case_15_a_region_comes_back_as_another),
		cmocka_unit_test(case_15_a_request_in_flight_outlives_its_region),
		cmocka_unit_test(case_15_as_many_regions_as_there_are_slots),
		cmocka_unit_test(case_16_removing_regions),
		cmocka_unit_test(a_ring_keeps_its_memory),
		cmocka_unit_test(case_17_without_eventfds),
		cmocka_unit_test(case_18_call_eventfds_change_while_running),
		cmocka_unit_test(case_18_call_before_everything_else),
		cmocka_unit_test(case_19_base_of_a_queue_that_never_ran),
		cmocka_unit_test(case_20_stopping_waits_for_what_is_in_flight),
		cmocka_unit_test(case_20_several_stops_answer_in_order),
		cmocka_unit_test(case_20_nothing_is_written_after_the_answer),
		cmocka_unit_test(case_20_a_front_end_that_does_not_wait),
		cmocka_unit_test(case_21_starting_takes_up_what_is_there),
		cmocka_unit_test(case_21_a_stale_avail_event),
		cmocka_unit_test(what_comes_back_after_the_next_start_is_not_taken_for_another),
		cmocka_unit_test(an_in_order_device_resumes_at_the_used_index),
		cmocka_unit_test(case_22_enabling),
		cmocka_unit_test(case_22_disabling_keeps_a_queue_started),
		cmocka_unit_test(case_22_enable_is_0_or_1),
		cmocka_unit_test(case_23_features),
		cmocka_unit_test(in_band_needs_a_channel_and_acks),
		cmocka_unit_test(case_25_configuration_ranges),
		cmocka_unit_test(changes_keep_the_queues_threads_out),
		cmocka_unit_test(a_kick_eventfd_that_is_none),
		cmocka_unit_test(calls_over_a_pipe_that_closes),
		cmocka_unit_test(calls_over_a_socket_that_closes),
		cmocka_unit_test(files_are_no_eventfds),
		cmocka_unit_test(a_stopped_queue_pops_nothing_wherever_it_will_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
