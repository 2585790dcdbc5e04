/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GPA_ADDRESSES: rings are named by guest address, the front-end's own say nothing. */
#include <errno.h>
#include <string.h>

#include "tests/lib/pair.h"

#define MEMORY (1u << 20)

static struct pair *by_guest_address(void)
{
	struct pair_options opt = {.protocol_features = VU_BIT(VU_PROTOCOL_F_GPA_ADDRESSES)};
	struct pair *p = pair_ready(&opt);

	assert_true(vu_frontend_protocol_features(p->fe) & VU_BIT(VU__PF_GPA_ADDRESSES));
	return p;
}

/* A region whose user address is @uaddr, whatever that is. */
static struct vu_frontend_message region(struct pair *p, uint32_t request, unsigned int i,
					 uint64_t uaddr)
{
	struct vu_frontend_message m = pair_message(request, 40);
	struct vu_frontend_region r;

	assert_int_equal(vu_frontend_region(p->fe, i, &r), 0);
	memcpy(m.payload, &(uint64_t[5]){0, r.gpa, r.size, uaddr, r.offset}, 40);
	if (request == VU__ADD_MEM_REG) {
		m.fds[0] = r.fd;
		m.nfds = 1;
	}
	return m;
}

static void say(struct pair *p, struct vu_frontend_message m)
{
	uint64_t result;

	m.flags |= VU__FLAG_NEED_REPLY;
	check_ok(p, vu_frontend_send(p->fe, &m));
	check_ok(p, vu_frontend_recv(p->fe, &m));
	memcpy(&result, m.payload, sizeof(result));
	assert_int_equal(result, 0);
}

static void rings_are_found_by_guest_address(void **state)
{
	struct pair *p = by_guest_address();
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);

	(void)state;
	for (unsigned int i = 0; i < 20; i++)
		pair_echo(p, q, i);
	pair_lock(p);
	assert_int_equal(p->dev.vq[0].vra.desc_user_addr, 0x10000);
	pair_unlock(p);
	/* The front-end's own address is no address any more. */
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	{
		struct vu_frontend_ring r;
		struct vu_frontend_message m = pair_message(VU__SET_VRING_ADDR, 40);

		vu_frontend_ring(q, &r);
		memcpy(m.payload, &(struct vhost_vring_addr){0, 0, (uintptr_t)r.desc,
							     (uintptr_t)r.used,
							     (uintptr_t)r.avail, 0}, 40);
		pair_expect_refused(p, &m);
	}
	pair_free(p);
}

static void user_addresses_say_nothing(void **state)
{
	struct pair *p = by_guest_address();
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);
	struct vu_frontend_region first;

	(void)state;
	/* A second region at the first one's address, and a third at none. */
	assert_int_equal(vu_frontend_region(p->fe, 0, &first), 0);
	assert_int_equal(vu_frontend_add_memory(p->fe, MEMORY, MEMORY, 0), 1);
	assert_int_equal(vu_frontend_add_memory(p->fe, 4 * MEMORY, MEMORY, 0), 2);
	say(p, region(p, VU__ADD_MEM_REG, 1, first.uaddr));
	say(p, region(p, VU__ADD_MEM_REG, 2, UINT64_MAX));
	pair_echo(p, q, 1);
	pair_lock(p);
	assert_int_equal(vu_get_region_count(&p->dev), 3);
	pair_unlock(p);
	/* Removed by guest address and size. */
	say(p, region(p, VU__REM_MEM_REG, 2, 4711));
	say(p, region(p, VU__REM_MEM_REG, 1, 0));
	pair_echo(p, q, 2);
	pair_lock(p);
	assert_int_equal(vu_get_region_count(&p->dev), 1);
	pair_unlock(p);
	pair_free(p);
}

/* The same addresses serve a front-end that has been restarted elsewhere. */
static void state_outlives_the_front_ends_addresses(void **state)
{
	struct pair *p = by_guest_address();
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);

	(void)state;
	pair_echo(p, q, 1);
	pair_restart(p, false);
	pair_negotiate(p);
	{
		struct vu_frontend_message m = pair_message(VU__SET_MEM_TABLE, 40);
		struct vu_frontend_region r;

		assert_int_equal(vu_frontend_region(p->fe, 0, &r), 0);
		memcpy(m.payload, &(uint64_t[5]){1, r.gpa, r.size, 0x123456789000, r.offset}, 40);
		m.nfds = 1;
		m.fds[0] = r.fd;
		say(p, m);
	}
	check_ok(p, vu_frontend_queue_start(q, 0));
	pair_echo(p, q, 2);
	pair_free(p);
}

static void only_a_device_that_asks_offers_it(void **state)
{
	struct pair *p = pair_new(NULL);
	uint64_t offered;

	(void)state;
	check_ok(p, vu_frontend_get_protocol_features(p->fe, &offered));
	assert_false(offered & VU_BIT(VU__PF_GPA_ADDRESSES));
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rings_are_found_by_guest_address),
		cmocka_unit_test(user_addresses_say_nothing),
		cmocka_unit_test(state_outlives_the_front_ends_addresses),
		cmocka_unit_test(only_a_device_that_asks_offers_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
