/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every message in its right form, with and without REPLY_ACK. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/lib/pair.h"

#define BIT(n) (1ULL << (n))

static void features_and_owner(void **state)
{
	struct pair_options opt = {.features = BIT(5) | BIT(33), .protocol_features = PAIR_ALL};
	struct pair *p = pair_new(&opt);
	uint64_t f, pf;

	(void)state;
	check_ok(p, vu_frontend_set_owner(p->fe));
	check_ok(p, vu_frontend_get_features(p->fe, &f));
	assert_true(f & BIT(5));
	assert_true(f & BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	assert_true(f & BIT(VU__F_VERSION_1) && f & BIT(VU__F_EVENT_IDX));
	assert_true(f & BIT(VU__F_INDIRECT_DESC) && f & BIT(VU__F_NOTIFY_ON_EMPTY));
	assert_true(f & BIT(VU__F_RING_PACKED));
	/* What the library cannot do is not offered, whatever the device says. */
	assert_false(f & BIT(VU__F_ACCESS_PLATFORM));
	check_ok(p, vu_frontend_get_protocol_features(p->fe, &pf));
	assert_true(pf & BIT(VU__PF_MQ) && pf & BIT(VU__PF_REPLY_ACK));
	assert_true(pf & BIT(VU__PF_CONFIG) && pf & BIT(VU__PF_RESET_DEVICE));
	assert_true(pf & BIT(VU__PF_CONFIGURE_MEM_SLOTS) && pf & BIT(VU__PF_MTU));
	/* Of those beyond, what the device has asked for. */
	assert_int_equal(pf & ~(BIT(VU__PF_STATUS) - 1), BIT(VU__PF_GPA_ADDRESSES));
	assert_true(f & BIT(VU__F_LOG_ALL) && pf & BIT(VU__PF_LOG_SHMFD));
	/* SET_PROTOCOL_FEATURES works before SET_FEATURES, acked or not. */
	check_ok(p, vu_frontend_set_protocol_features(p->fe, BIT(VU__PF_REPLY_ACK)));
	check_ok(p, vu_frontend_set_features(p->fe, BIT(VU__F_VERSION_1)));
	check_ok(p, vu_frontend_reset_owner(p->fe));
	pair_lock(p);
	assert_int_equal(p->dev.features, BIT(VU__F_VERSION_1));
	assert_int_equal(p->dev.protocol_features, BIT(VU__PF_REPLY_ACK));
	pair_unlock(p);
	pair_free(p);
}

static void config_needs_both_callbacks(void **state)
{
	struct pair_options opt = {.no_config = true};
	struct pair *p = pair_new(&opt);
	uint64_t pf;

	(void)state;
	check_ok(p, vu_frontend_get_protocol_features(p->fe, &pf));
	assert_false(pf & BIT(VU__PF_CONFIG));
	pair_free(p);
}

static void queue_and_slot_numbers(void **state)
{
	struct pair_options opt = {.queues = 256};
	struct pair *p = pair_ready(&opt);
	uint64_t n;

	(void)state;
	check_ok(p, vu_frontend_get_queue_num(p->fe, &n));
	assert_int_equal(n, 256);
	check_ok(p, vu_frontend_get_max_mem_slots(p->fe, &n));
	assert_true(n >= 509);
	pair_free(p);
}

static void the_configuration_space(void **state)
{
	struct pair *p = pair_ready(NULL);
	uint8_t got[256], want[8] = {9, 8, 7, 6, 5, 4, 3, 2};

	(void)state;
	check_ok(p, vu_frontend_get_config(p->fe, 0, 256, got));
	for (int i = 0; i < 256; i++)
		assert_int_equal(got[i], i);
	check_ok(p, vu_frontend_get_config(p->fe, 100, 4, got));
	assert_int_equal(got[0], 100);
	check_ok(p, vu_frontend_set_config(p->fe, 20, 8, 0, want));
	check_ok(p, vu_frontend_get_config(p->fe, 20, 8, got));
	assert_memory_equal(got, want, 8);
	check_ok(p, vu_frontend_set_config(p->fe, 0, 8, 1, want));
	assert_int_equal(p->config_flags, VHOST_SET_CONFIG_TYPE_MIGRATION);
	pair_free(p);
}

static void a_queue_from_start_to_stop(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 1, 64, 0x10000, 0);
	uint32_t base;

	(void)state;
	for (unsigned int i = 0; i < 200; i++)
		pair_echo(p, q, i);
	pair_lock(p);
	assert_true(vu_queue_started(&p->dev, &p->dev.vq[1]));
	assert_true(vu_queue_enabled(&p->dev, &p->dev.vq[1]));
	assert_false(vu_queue_started(&p->dev, &p->dev.vq[0]));
	assert_int_equal(p->starts[1], 1);
	pair_unlock(p);
	check_ok(p, vu_frontend_queue_stop(q, &base));
	assert_int_equal(base, 200);
	pair_lock(p);
	assert_int_equal(p->stops[1], 1);
	assert_false(vu_queue_started(&p->dev, &p->dev.vq[1]));
	assert_int_equal(p->dev.vq[1].kick_fd, -1);
	assert_null(p->dev.vq[1].vring.avail);
	pair_unlock(p);
	check_ok(p, vu_frontend_queue_start(q, 0));
	pair_echo(p, q, 1000);
	pair_free(p);
}

static void without_acks(void **state)
{
	struct pair *p = pair_new(NULL);
	struct vu_frontend_queue *q;

	(void)state;
	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL, 0));
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 1 << 20, VU_FRONTEND_OFFSET), 0);
	check_ok(p, vu_frontend_share_memory(p->fe));
	q = pair_queue(p, 0, 16, 0, 0);
	for (unsigned int i = 0; i < 40; i++)
		pair_echo(p, q, i);
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	pair_free(p);
}

static void with_hugepages_or_what_there_is(void **state)
{
	struct pair *p = pair_new(NULL);
	struct vu_frontend_queue *q;

	(void)state;
	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL, PAIR_ALL));
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 4 << 20, VU_FRONTEND_HUGEPAGES), 0);
	check_ok(p, vu_frontend_share_memory(p->fe));
	q = pair_queue(p, 0, 16, 0, 0);
	pair_echo(p, q, 1);
	pair_free(p);
}

static void resetting_the_device(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);
	uint32_t base = 99;

	(void)state;
	pair_echo(p, q, 1);
	check_ok(p, vu_frontend_reset_device(p->fe));
	pair_lock(p);
	assert_int_equal(p->stops[0], 1);
	assert_false(vu_queue_started(&p->dev, &p->dev.vq[0]));
	assert_false(vu_queue_enabled(&p->dev, &p->dev.vq[0]));
	pair_unlock(p);
	check_ok(p, vu_frontend_get_vring_base(p->fe, 0, &base));
	assert_int_equal(base, 0);
	vu_frontend_queue_reset(q);
	check_ok(p, vu_frontend_queue_start(q, 0));
	pair_echo(p, q, 2);
	pair_free(p);
}

/* --- messages that are the device's --- */

static int take_it(VuDev *dev, VhostUserMsg *m, int *do_reply)
{
	struct pair *p = (struct pair *)dev;

	if (m->request < 64)
		p->processed[m->request]++;
	switch (m->request) {
	case VHOST_USER_SEND_RARP:
	case VHOST_USER_NET_SET_MTU:
	case VHOST_USER_SET_VRING_ENDIAN:
	case VHOST_USER_CLOSE_CRYPTO_SESSION:
		return 1;
	case VHOST_USER_GPU_SET_SOCKET:
		assert_int_equal(m->fd_num, 1);
		close(m->fds[0]);
		return 1;
	case VHOST_USER_CREATE_CRYPTO_SESSION:
		/* Larger than the union: it is in data, and goes back that way. */
		assert_int_equal(m->size, 1000);
		assert_non_null(m->data);
		assert_int_equal(m->data[999], 0x5a);
		m->data = malloc(16);
		memset(m->data, 0x17, 16);
		m->size = 16;
		*do_reply = 1;
		return 1;
	case 63:
		m->payload.u64 += 1;
		*do_reply = 1;
		return 1;
	}
	return 0;
}

static void process_msg_sees_them_first(void **state)
{
	struct pair_options opt = {.protocol_features = PAIR_ALL, .process_msg = take_it};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_message m = pair_message(63, 8);
	uint8_t session[1000] = {0};
	size_t len = sizeof(session);
	int fd = new_eventfd();

	(void)state;
	check_ok(p, vu_frontend_send_rarp(p->fe, (const uint8_t *)"\2\0\0\0\0\1"));
	check_ok(p, vu_frontend_set_mtu(p->fe, 9000));
	check_ok(p, vu_frontend_set_vring_endian(p->fe, 0, true));
	check_ok(p, vu_frontend_gpu_set_socket(p->fe, fd));
	session[999] = 0x5a;
	check_ok(p, vu_frontend_create_crypto_session(p->fe, session, &len, sizeof(session)));
	assert_int_equal(len, 16);
	assert_int_equal(session[15], 0x17);
	check_ok(p, vu_frontend_close_crypto_session(p->fe, 1));
	/* A request the library has never heard of. */
	m.payload[0] = 41;
	assert_int_equal(vu_frontend_send(p->fe, &m), 0);
	assert_int_equal(vu_frontend_recv(p->fe, &m), 0);
	assert_int_equal(m.request, 63);
	assert_int_equal(m.flags, 5);
	assert_int_equal(m.payload[0], 42);
	assert_int_equal(p->processed[VHOST_USER_SEND_RARP], 1);
	assert_int_equal(p->processed[VHOST_USER_SET_MEM_TABLE], 1);
	close(fd);
	pair_free(p);
}

/* --- read_msg --- */

static bool read_with_recv(VuDev *dev, int sock, VhostUserMsg *m)
{
	struct vu_frontend_message got;
	struct vu_frontend *reader = vu_frontend_new(dup(sock));
	bool ok = vu_frontend_recv(reader, &got) == 0;

	(void)dev;
	vu_frontend_free(reader);
	if (!ok)
		return false;
	m->request = got.request;
	m->flags = got.flags;
	m->size = got.size;
	memcpy(&m->payload, got.payload, got.size);
	m->fd_num = got.nfds;
	memcpy(m->fds, got.fds, got.nfds * sizeof(int));
	return true;
}

static void a_device_that_reads_its_messages_itself(void **state)
{
	struct pair_options opt = {.read_msg = read_with_recv};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);

	(void)state;
	pair_echo(p, q, 1);
	pair_free(p);
}

/* --- the back-end's own requests --- */

static void host_notifier(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_message m;
	VhostUserVringArea area;
	int fd = new_eventfd();

	(void)state;
	assert_false(vu_set_queue_host_notifier(&p->dev, &p->dev.vq[0], fd, 4096, 0));
	check_ok(p, vu_frontend_open_channel(p->fe));
	/* Answered beforehand: the answer waits in the socket. */
	m = pair_message(VU__BACKEND_VRING_HOST_NOTIFIER_MSG, 0);
	m.flags |= VU__FLAG_NEED_REPLY;
	assert_int_equal(vu_frontend_channel_reply(p->fe, &m, 0), 0);
	assert_true(vu_set_queue_host_notifier(&p->dev, &p->dev.vq[2], fd, 4096, 8192));
	assert_int_equal(vu_frontend_channel_recv(p->fe, &m), 0);
	assert_int_equal(m.request, VU__BACKEND_VRING_HOST_NOTIFIER_MSG);
	assert_int_equal(m.nfds, 1);
	close(m.fds[0]);
	memcpy(&area, m.payload, sizeof(area));
	assert_int_equal(area.u64, 2);
	assert_int_equal(area.size, 4096);
	assert_int_equal(area.offset, 8192);
	assert_int_equal(vu_frontend_channel_reply(p->fe, &m, 1), 0);
	assert_false(vu_set_queue_host_notifier(&p->dev, &p->dev.vq[2], -1, 0, 0));
	assert_int_equal(vu_frontend_channel_recv(p->fe, &m), 0);
	assert_int_equal(m.nfds, 0);
	close(fd);
	pair_free(p);
}

static void config_change(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_message m;

	(void)state;
	vu_config_change_msg(&p->dev);
	check_ok(p, vu_frontend_open_channel(p->fe));
	vu_config_change_msg(&p->dev);
	assert_int_equal(vu_frontend_channel_recv(p->fe, &m), 0);
	assert_int_equal(m.request, VU__BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(m.size, 0);
	pair_free(p);
}

static void in_band_notifications(void **state)
{
	struct pair_options opt = {.protocol_features = BIT(VU__PF_INBAND_NOTIFICATIONS)};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_buf buf = {0x80000, 64, true};
	struct vu_frontend_message m;
	struct vu_frontend_queue *q;
	struct vhost_vring_state vring;

	(void)state;
	check_ok(p, vu_frontend_open_channel(p->fe));
	q = pair_queue(p, 3, 16, 0, VU_FRONTEND_POLL_KICKS | VU_FRONTEND_POLL_CALLS);
	assert_int_equal(vu_frontend_submit(q, &buf, 1, 5), 0);
	assert_int_equal(vu_frontend_kick(q), 1);
	assert_int_equal(vu_frontend_channel_recv(p->fe, &m), 0);
	assert_int_equal(m.request, VU__BACKEND_VRING_CALL);
	memcpy(&vring, m.payload, sizeof(vring));
	assert_int_equal(vring.index, 3);
	assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	/* A hostile chain is told of on the channel too. */
	check_ok(p, vu_frontend_set_vring_err(p->fe, 3, -1));
	buf.gpa = 1ULL << 40;
	assert_int_equal(vu_frontend_submit(q, &buf, 1, 6), 0);
	assert_int_equal(vu_frontend_kick(q), 1);
	/* Calls may come before it: a device calls once more than it must at its start. */
	do
		assert_int_equal(vu_frontend_channel_recv(p->fe, &m), 0);
	while (m.request == VU__BACKEND_VRING_CALL);
	assert_int_equal(m.request, VU__BACKEND_VRING_ERR);
	pair_free(p);
}

static void names_of_requests(void **state)
{
	(void)state;
	assert_string_equal(vu_request_to_string(0), "VHOST_USER_NONE");
	assert_string_equal(vu_request_to_string(3), "VHOST_USER_SET_OWNER");
	assert_string_equal(vu_request_to_string(34), "VHOST_USER_RESET_DEVICE");
	assert_string_equal(vu_request_to_string(46), "unknown");
	assert_string_equal(vu_request_to_string(UINT32_MAX), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features_and_owner),
		cmocka_unit_test(config_needs_both_callbacks),
		cmocka_unit_test(queue_and_slot_numbers),
		cmocka_unit_test(the_configuration_space),
		cmocka_unit_test(a_queue_from_start_to_stop),
		cmocka_unit_test(without_acks),
		cmocka_unit_test(with_hugepages_or_what_there_is),
		cmocka_unit_test(resetting_the_device),
		cmocka_unit_test(process_msg_sees_them_first),
		cmocka_unit_test(a_device_that_reads_its_messages_itself),
		cmocka_unit_test(host_notifier),
		cmocka_unit_test(config_change),
		cmocka_unit_test(in_band_notifications),
		cmocka_unit_test(names_of_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
