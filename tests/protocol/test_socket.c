/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a front-end can do wrong at the level of messages, whatever they ask for. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/lib/pair.h"
#include "wire/sock.h"

static void case_1_closing_between_messages(void **state)
{
	struct pair *p = pair_ready(NULL);

	(void)state;
	shutdown(vu_frontend_sock(p->fe), SHUT_WR);
	pair_wait_gone(p);
	assert_int_equal(p->panics, 0);
	pair_free(p);
}

static void send_bytes(struct pair *p, const void *bytes, size_t len)
{
	assert_int_equal(vu__sock_send_raw(vu_frontend_sock(p->fe), bytes, len, NULL, 0, 1000),
			 0);
}

static void case_2_a_message_in_pieces(void **state)
{
	struct pair *p = pair_ready(NULL);
	uint8_t bytes[VU__HEADER_SIZE + 8];
	struct vu_frontend_message m;
	uint64_t features = 0;

	(void)state;
	m = pair_message(VU__SET_FEATURES, 8);
	m.flags |= VU__FLAG_NEED_REPLY;
	features = vu_frontend_features(p->fe);
	memcpy(bytes, &m, VU__HEADER_SIZE);
	memcpy(bytes + VU__HEADER_SIZE, &features, 8);
	for (size_t i = 0; i < sizeof(bytes); i++)
		send_bytes(p, bytes + i, 1);
	assert_int_equal(vu_frontend_recv(p->fe, &m), 0);
	assert_int_equal(m.request, VU__SET_FEATURES);
	assert_int_equal(m.payload[0], 0);
	pair_free(p);
}

/* Half a message must not keep the device from its queues. */
static void case_2_the_rest_is_not_waited_for(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);
	struct vu_frontend_message m = pair_message(VU__GET_VRING_BASE, 8);
	uint8_t bytes[VU__HEADER_SIZE + 8] = {0};
	size_t done = 0;

	(void)state;
	memcpy(bytes, &m, VU__HEADER_SIZE);
	for (size_t upto = 1; upto < sizeof(bytes); upto += 5) {
		send_bytes(p, bytes + done, upto - done);
		done = upto;
		pair_echo(p, q, upto);
	}
	send_bytes(p, bytes + done, sizeof(bytes) - done);
	assert_int_equal(vu_frontend_recv(p->fe, &m), 0);
	assert_int_equal(m.request, VU__GET_VRING_BASE);
	pair_free(p);
}

/* Cut at every byte, with an fd on board. */
static void case_2_a_message_cut_by_the_end(void **state)
{
	struct vu_frontend_message m = pair_message(VU__SET_VRING_CALL, 8);
	uint8_t bytes[VU__HEADER_SIZE + 8] = {0};
	int fd = new_eventfd();

	(void)state;
	memcpy(bytes, &m, VU__HEADER_SIZE);
	for (size_t cut = 1; cut < sizeof(bytes); cut++) {
		struct pair *p = pair_ready(NULL);

		assert_int_equal(vu__sock_send_raw(vu_frontend_sock(p->fe), bytes, cut, &fd, 1,
						   1000),
				 0);
		shutdown(vu_frontend_sock(p->fe), SHUT_WR);
		pair_wait_gone(p);
		assert_int_equal(p->panics, 1);
		pair_free(p);
	}
	close(fd);
}

/* The device is released while a message with an fd is half there. */
static void case_2_half_a_message_with_an_fd_at_the_end(void **state)
{
	struct vu_frontend_message m = pair_message(VU__SET_VRING_CALL, 8);
	struct pair *p = pair_ready(NULL);
	int fd = new_eventfd(), before = count_fds(), arrived;

	(void)state;
	assert_int_equal(vu__sock_send_raw(vu_frontend_sock(p->fe), &m, VU__HEADER_SIZE, &fd, 1,
					   1000),
			 0);
	do
		arrived = count_fds();
	while (arrived == before);
	assert_int_equal(arrived, before + 1);
	close(fd);
	pair_free(p);
}

static void case_3_sizes_that_do_not_fit(void **state)
{
	struct pair *p = pair_ready(NULL);

	(void)state;
	for (uint32_t r = 1; r < VU__REQUEST_COUNT; r++) {
		const struct vu__msg_info *info = vu__msg_info(VU__TO_BACKEND, r);
		struct vu_frontend_message m;

		assert_non_null(info);
		if (info->request == VU__SHAPE_ANY || r == VU__GET_CONFIG)
			continue;
		m = pair_message(r, 3);
		pair_expect_refused(p, &m);
		m = pair_message(r, 300);
		pair_expect_refused(p, &m);
	}
	pair_free(p);
}

static void case_3_too_large_for_any_message(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_message m = pair_message(VU__SET_MEM_TABLE, 0);

	(void)state;
	m.size = UINT32_MAX;
	m.flags |= VU__FLAG_NEED_REPLY;
	pair_expect_fatal(p, &m);
	pair_free(p);
}

static void wrong_version(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_message m = pair_message(VU__GET_FEATURES, 0);

	(void)state;
	m.flags = 2;
	pair_expect_fatal(p, &m);
	pair_free(p);
}

static void case_4_fds_where_none_belong(void **state)
{
	struct pair *p = pair_ready(NULL);
	int fd = new_eventfd();

	(void)state;
	for (uint32_t r = 1; r < VU__REQUEST_COUNT; r++) {
		const struct vu__msg_info *info = vu__msg_info(VU__TO_BACKEND, r);
		struct vu_frontend_message m;

		if (info->fds != VU__FDS_0 || info->request != VU__SHAPE_NONE)
			continue;
		m = pair_message(r, 0);
		m.fds[0] = m.fds[1] = fd;
		m.nfds = 2;
		pair_expect_refused(p, &m);
	}
	close(fd);
	pair_free(p);
}

static void case_4_too_few_and_too_many_fds(void **state)
{
	static const uint32_t requests[] = {VU__SET_VRING_KICK, VU__SET_VRING_CALL,
					    VU__SET_VRING_ERR, VU__SET_BACKEND_REQ_FD};
	struct pair *p = pair_ready(NULL);
	int fd = new_eventfd();

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(requests); i++) {
		uint32_t size = requests[i] == VU__SET_BACKEND_REQ_FD ? 0 : 8;
		struct vu_frontend_message m = pair_message(requests[i], size);

		pair_expect_refused(p, &m);
		for (m.nfds = 2; m.nfds <= 8; m.nfds++) {
			for (unsigned int f = 0; f < m.nfds; f++)
				m.fds[f] = fd;
			pair_expect_refused(p, &m);
		}
		if (size) {
			/* "No fd" and one all the same. */
			m.payload[1] = 1;
			m.nfds = 1;
			pair_expect_refused(p, &m);
		}
	}
	close(fd);
	pair_free(p);
}

static void case_4_more_fds_than_any_message_has(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_message m = pair_message(VU__SET_VRING_KICK, 8);
	int fd = new_eventfd();

	(void)state;
	for (m.nfds = 0; m.nfds < 9; m.nfds++)
		m.fds[m.nfds] = fd;
	pair_expect_fatal(p, &m);
	close(fd);
	pair_free(p);
}

static void case_4_ten_thousand_times(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_message m = pair_message(VU__SET_OWNER, 0);
	int fd = new_eventfd(), before, after;
	uint64_t features;

	(void)state;
	m.nfds = 8;
	for (unsigned int i = 0; i < 8; i++)
		m.fds[i] = fd;
	m.flags |= VU__FLAG_NEED_REPLY;
	before = count_fds();
	for (unsigned int i = 0; i < 10000; i++) {
		struct vu_frontend_message answer;

		assert_int_equal(vu_frontend_send(p->fe, &m), 0);
		assert_int_equal(vu_frontend_recv(p->fe, &answer), 0);
		assert_int_equal(answer.payload[0], 1);
	}
	check_ok(p, vu_frontend_get_features(p->fe, &features));
	after = count_fds();
	assert_int_equal(before, after);
	close(fd);
	pair_free(p);
}

static void case_5_and_7_refused_with_an_answer_or_the_end(void **state)
{
	static const uint32_t bad[] = {0, 46, 1000, UINT32_MAX, VU__SET_LOG_BASE,
				       VU__POSTCOPY_LISTEN, VU__SEND_RARP, VU__VRING_KICK,
				       VU__SET_STATUS, VU__GPU_SET_SOCKET};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(bad); i++) {
		const struct vu__msg_info *info = vu__msg_info(VU__TO_BACKEND, bad[i]);
		static const uint32_t sizes[VU__SHAPE_COUNT] = {[VU__SHAPE_U64] = 8,
								[VU__SHAPE_STATE] = 8,
								[VU__SHAPE_LOG] = 16};
		struct vu_frontend_message m =
			pair_message(bad[i], info ? sizes[info->request] : 0);
		struct pair *p = pair_ready(NULL);
		int fd = new_eventfd();

		m.nfds = info && info->fds == VU__FDS_1;
		m.fds[0] = fd;
		pair_expect_refused(p, &m);
		pair_expect_fatal(p, &m);
		close(fd);
		pair_free(p);
	}
}

static void case_6_one_answer_with_exact_flags(void **state)
{
	struct pair *p = pair_ready(NULL);
	static const struct {
		uint32_t request, size;
	} asks[] = {{VU__GET_FEATURES, 0}, {VU__GET_PROTOCOL_FEATURES, 0}, {VU__GET_QUEUE_NUM, 0},
		    {VU__GET_VRING_BASE, 8}, {VU__GET_CONFIG, VU__CONFIG_HEAD + 4},
		    {VU__GET_MAX_MEM_SLOTS, 0}};
	struct pollfd idle = {.fd = vu_frontend_sock(p->fe), .events = POLLIN};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(asks); i++) {
		struct vu_frontend_message m = pair_message(asks[i].request, asks[i].size);
		uint64_t f;

		m.flags |= VU__FLAG_NEED_REPLY;
		if (asks[i].request == VU__GET_CONFIG)
			m.payload[4] = 4;
		assert_int_equal(vu_frontend_send(p->fe, &m), 0);
		assert_int_equal(vu_frontend_recv(p->fe, &m), 0);
		assert_int_equal(m.request, asks[i].request);
		assert_int_equal(m.flags, VU__FLAG_VERSION | VU__FLAG_REPLY);
		/* A second answer would be taken for this one's. */
		check_ok(p, vu_frontend_get_features(p->fe, &f));
		assert_int_equal(poll(&idle, 1, 0), 0);
	}
	pair_free(p);
}

static void no_ack_without_reply_ack(void **state)
{
	struct pair *p = pair_new(NULL);
	struct vu_frontend_message m = pair_message(VU__SET_OWNER, 0);
	uint64_t f;

	(void)state;
	m.flags |= VU__FLAG_NEED_REPLY;
	assert_int_equal(vu_frontend_send(p->fe, &m), 0);
	/* The next answer is the next request's. */
	check_ok(p, vu_frontend_get_features(p->fe, &f));
	pair_free(p);
}

static void a_reply_where_a_request_belongs(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_message m = pair_message(VU__SET_OWNER, 0);

	(void)state;
	m.flags |= VU__FLAG_REPLY;
	pair_expect_fatal(p, &m);
	pair_free(p);
}

/* --- case 8: the back-end's own channel --- */

static bool ask_notifier(struct pair *p)
{
	return vu_set_queue_host_notifier(&p->dev, &p->dev.vq[0], -1, 0, 0);
}

static void case_8_a_wrong_answer_on_the_channel(void **state)
{
	struct vu__msg m;
	unsigned int kinds = 4;

	(void)state;
	for (unsigned int kind = 0; kind < kinds; kind++) {
		struct pair *p = pair_ready(NULL);

		check_ok(p, vu_frontend_open_channel(p->fe));
		vu__msg_init(&m, kind == 0 ? VU__BACKEND_CONFIG_CHANGE_MSG :
					     VU__BACKEND_VRING_HOST_NOTIFIER_MSG);
		vu__msg_make_reply_u64(&m, 0);
		if (kind == 1)
			m.flags |= VU__FLAG_NEED_REPLY;
		if (kind == 2)
			m.size = 4;
		if (kind == 3) {
			m.fds[0] = vu_frontend_sock(p->fe);
			m.nfds = 1;
		}
		assert_int_equal(vu__sock_send(vu_frontend_channel_fd(p->fe), &m, 1000), 0);
		assert_false(ask_notifier(p));
		/* The channel is given up, so that nothing stray is taken later. */
		assert_int_equal(p->dev.backend_fd, -1);
		assert_false(ask_notifier(p));
		/* The device lives, and a new channel works. */
		check_ok(p, vu_frontend_open_channel(p->fe));
		vu__msg_init(&m, VU__BACKEND_VRING_HOST_NOTIFIER_MSG);
		vu__msg_make_reply_u64(&m, 0);
		assert_int_equal(vu__sock_send(vu_frontend_channel_fd(p->fe), &m, 1000), 0);
		assert_true(ask_notifier(p));
		pair_free(p);
	}
}

static void case_8_silence_on_the_channel(void **state)
{
	struct pair *p = pair_ready(NULL);
	int64_t before;

	(void)state;
	check_ok(p, vu_frontend_open_channel(p->fe));
	before = vu__now_ms();
	assert_false(ask_notifier(p));
	assert_true(vu__now_ms() - before < 20000);
	assert_int_equal(pthread_mutex_trylock(&p->dev.backend_mutex), 0);
	pthread_mutex_unlock(&p->dev.backend_mutex);
	pair_free(p);
}

static int ask_from_inside(VuDev *dev, VhostUserMsg *m, int *do_reply)
{
	(void)do_reply;
	if (m->request == VHOST_USER_GET_QUEUE_NUM)
		((struct pair *)dev)->processed[0] += ask_notifier((struct pair *)dev);
	return 0;
}

static void case_9_asking_while_the_front_end_waits_for_us(void **state)
{
	struct pair_options opt = {.process_msg = ask_from_inside};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_message m;
	uint64_t n;

	(void)state;
	check_ok(p, vu_frontend_open_channel(p->fe));
	/* This front-end does not look at the channel before it has its answer. */
	vu_frontend_set_timeout(p->fe, 2000);
	check_ok(p, vu_frontend_get_queue_num(p->fe, &n));
	assert_int_equal(p->processed[0], 1);
	assert_int_equal(vu_frontend_channel_recv(p->fe, &m), 0);
	assert_int_equal(m.request, VU__BACKEND_VRING_HOST_NOTIFIER_MSG);
	assert_int_equal(m.flags & VU__FLAG_NEED_REPLY, 0);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_1_closing_between_messages),
		cmocka_unit_test(case_2_a_message_in_pieces),
		cmocka_unit_test(case_2_the_rest_is_not_waited_for),
		cmocka_unit_test(case_2_a_message_cut_by_the_end),
		cmocka_unit_test(case_2_half_a_message_with_an_fd_at_the_end),
		cmocka_unit_test(case_3_sizes_that_do_not_fit),
		cmocka_unit_test(case_3_too_large_for_any_message),
		cmocka_unit_test(wrong_version),
		cmocka_unit_test(case_4_fds_where_none_belong),
		cmocka_unit_test(case_4_too_few_and_too_many_fds),
		cmocka_unit_test(case_4_more_fds_than_any_message_has),
		cmocka_unit_test(case_4_ten_thousand_times),
		cmocka_unit_test(case_5_and_7_refused_with_an_answer_or_the_end),
		cmocka_unit_test(case_6_one_answer_with_exact_flags),
		cmocka_unit_test(no_ack_without_reply_ack),
		cmocka_unit_test(a_reply_where_a_request_belongs),
		cmocka_unit_test(case_8_a_wrong_answer_on_the_channel),
		cmocka_unit_test(case_8_silence_on_the_channel),
		cmocka_unit_test(case_9_asking_while_the_front_end_waits_for_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
