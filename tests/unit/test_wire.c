/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The message table, the codec, and messages over a socket. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/sys.h"
#include "wire/sock.h"

static char why[200];

static const struct {
	uint8_t shape;
	uint16_t sizes[4]; /* that are right; 0xffff ends */
} right_sizes[] = {
	{VU__SHAPE_NONE, {0, 0xffff}},	  {VU__SHAPE_U64, {8, 0xffff}},
	{VU__SHAPE_STATE, {8, 0xffff}},	  {VU__SHAPE_ADDR, {40, 0xffff}},
	{VU__SHAPE_MEM_REG, {40, 0xffff}}, {VU__SHAPE_LOG, {16, 0xffff}},
	{VU__SHAPE_IOTLB, {32, 0xffff}},  {VU__SHAPE_AREA, {24, 0xffff}},
	{VU__SHAPE_UUID, {16, 0xffff}},	  {VU__SHAPE_INFLIGHT, {20, 24, 0xffff}},
	{VU__SHAPE_DEVICE_STATE, {8, 0xffff}},
	{VU__SHAPE_SHMEM_MAP, {40, 0xffff}},
};

static bool size_is_right(uint8_t shape, uint32_t size, bool *known)
{
	for (size_t i = 0; i < VU_ARRAY_SIZE(right_sizes); i++) {
		if (right_sizes[i].shape != shape)
			continue;
		*known = true;
		for (int s = 0; right_sizes[i].sizes[s] != 0xffff; s++) {
			if (right_sizes[i].sizes[s] == size)
				return true;
		}
		return false;
	}
	*known = false;
	return false;
}

/* The number of fds that is right for a payload of zeros. */
static unsigned int right_fds(const struct vu__msg_info *info)
{
	return info->fds == VU__FDS_1 || info->fds == VU__FDS_UNLESS_NOFD;
}

static void check_row(enum vu__direction dir, const struct vu__msg_info *info)
{
	struct vu__msg m;
	bool known, right;

	vu__msg_init(&m, info->number);
	m.nfds = right_fds(info);
	for (m.size = 0; m.size < 300; m.size++) {
		int ret = vu__msg_check_request(&m, dir, why, sizeof(why));

		right = size_is_right(info->request, m.size, &known);
		if (known)
			assert_int_equal(ret, right ? 0 : -EPROTO);
		if (ret || !known || info->fds == VU__FDS_OPTIONAL)
			continue;
		m.nfds++;
		assert_int_equal(vu__msg_check_request(&m, dir, why, sizeof(why)), -EPROTO);
		m.nfds--;
		m.flags |= VU__FLAG_REPLY;
		assert_int_equal(vu__msg_check_request(&m, dir, why, sizeof(why)), -EPROTO);
		m.flags &= ~VU__FLAG_REPLY;
	}
	if (right_fds(info)) {
		m.size = info->request == VU__SHAPE_U64 ? 8 : m.size;
		m.nfds = 0;
		assert_int_equal(vu__msg_check_request(&m, dir, why, sizeof(why)), -EPROTO);
	}
}

static void every_row_takes_its_size_and_fds_only(void **state)
{
	(void)state;
	for (uint32_t r = 1; r < VU__REQUEST_COUNT; r++) {
		const struct vu__msg_info *info = vu__msg_info(VU__TO_BACKEND, r);

		assert_non_null(info);
		assert_int_equal(info->number, r);
		check_row(VU__TO_BACKEND, info);
	}
	for (uint32_t r = 1; r < VU__BACKEND_REQUEST_COUNT; r++) {
		assert_non_null(vu__msg_info(VU__TO_FRONTEND, r));
		check_row(VU__TO_FRONTEND, vu__msg_info(VU__TO_FRONTEND, r));
	}
	assert_int_equal(VU__REQUEST_COUNT, 46);
	assert_int_equal(VU__BACKEND_REQUEST_COUNT, 11);
	assert_null(vu__msg_info(VU__TO_BACKEND, 0));
	assert_null(vu__msg_info(VU__TO_BACKEND, 46));
	assert_null(vu__msg_info(VU__TO_FRONTEND, UINT32_MAX));
}

static int check_table(uint32_t nregions, uint32_t size, uint32_t nfds)
{
	struct vu__msg m;

	vu__msg_init(&m, VU__SET_MEM_TABLE);
	m.payload.mem_table.nregions = nregions;
	m.size = size;
	m.nfds = nfds;
	return vu__msg_check_request(&m, VU__TO_BACKEND, why, sizeof(why));
}

static void a_memory_table_says_its_size_twice(void **state)
{
	(void)state;
	for (uint32_t n = 0; n <= 8; n++) {
		assert_int_equal(check_table(n, 8 + 32 * n, n), 0);
		/* Some send it whole whatever is in it. */
		assert_int_equal(check_table(n, 264, n), 0);
		assert_int_equal(check_table(n, 8 + 32 * n, n + 1), -EPROTO);
		assert_int_equal(check_table(n, 8 + 32 * n + 1, n), -EPROTO);
	}
	assert_int_equal(check_table(9, 264, 8), -EPROTO);
	assert_int_equal(check_table(UINT32_MAX, 264, 0), -EPROTO);
	assert_int_equal(check_table(0x8000000, 8, 0), -EPROTO);
}

static void a_configuration_says_its_size_twice(void **state)
{
	struct vu__msg m;

	(void)state;
	vu__msg_init(&m, VU__SET_CONFIG);
	for (uint32_t n = 0; n <= 256; n++) {
		m.payload.config.size = n;
		m.size = 12 + n;
		assert_int_equal(vu__msg_check_request(&m, VU__TO_BACKEND, why, sizeof(why)), 0);
		m.size++;
		assert_int_equal(vu__msg_check_request(&m, VU__TO_BACKEND, why, sizeof(why)),
				 -EPROTO);
	}
	m.payload.config.size = UINT32_MAX;
	m.size = 12 + 256;
	assert_int_equal(vu__msg_check_request(&m, VU__TO_BACKEND, why, sizeof(why)), -EPROTO);
}

static void no_fd_means_no_fd(void **state)
{
	struct vu__msg m;

	(void)state;
	vu__msg_init(&m, VU__SET_VRING_CALL);
	m.size = 8;
	m.payload.u64 = 3 | VU__VRING_NOFD;
	assert_int_equal(vu__msg_check_request(&m, VU__TO_BACKEND, why, sizeof(why)), 0);
	assert_int_equal(vu__msg_queue(&m, VU__TO_BACKEND), 3);
	m.nfds = 1;
	assert_int_equal(vu__msg_check_request(&m, VU__TO_BACKEND, why, sizeof(why)), -EPROTO);
	m.payload.u64 = 3;
	assert_int_equal(vu__msg_check_request(&m, VU__TO_BACKEND, why, sizeof(why)), 0);
}

static void queue_numbers_are_not_truncated(void **state)
{
	struct vu__msg m;

	(void)state;
	vu__msg_init(&m, VU__SET_VRING_NUM);
	m.payload.state.index = 65536 + 1;
	assert_int_equal(vu__msg_queue(&m, VU__TO_BACKEND), 65537);
	m.payload.state.index = UINT32_MAX;
	assert_true(vu__msg_queue(&m, VU__TO_BACKEND) > 0);
	vu__msg_init(&m, VU__SET_OWNER);
	assert_int_equal(vu__msg_queue(&m, VU__TO_BACKEND), -1);
}

static int check_reply(uint32_t request, uint32_t flags, uint32_t size, uint32_t nfds, bool ack)
{
	struct vu__msg m;

	vu__msg_init(&m, request);
	m.flags = flags;
	m.size = size;
	m.nfds = nfds;
	return vu__msg_check_reply(&m, VU__TO_BACKEND, VU__GET_FEATURES, ack, why, sizeof(why));
}

static void a_reply_must_be_the_one_that_was_asked_for(void **state)
{
	(void)state;
	assert_int_equal(check_reply(VU__GET_FEATURES, 5, 8, 0, false), 0);
	assert_int_equal(check_reply(VU__GET_QUEUE_NUM, 5, 8, 0, false), -EPROTO);
	assert_int_equal(check_reply(VU__GET_FEATURES, 1, 8, 0, false), -EPROTO);
	assert_int_equal(check_reply(VU__GET_FEATURES, 5 | 8, 8, 0, false), -EPROTO);
	assert_int_equal(check_reply(VU__GET_FEATURES, 6, 8, 0, false), -EPROTO);
	assert_int_equal(check_reply(VU__GET_FEATURES, 5, 4, 0, false), -EPROTO);
	assert_int_equal(check_reply(VU__GET_FEATURES, 5, 8, 1, true), -EPROTO);
}

static void headers_go_round(void **state)
{
	struct vu__msg m, got;
	uint8_t bytes[VU__HEADER_SIZE];

	(void)state;
	vu__msg_init(&m, 0x12345678);
	m.flags = 0xfffffff1;
	m.size = 4096;
	vu__msg_encode_header(&m, bytes);
	assert_int_equal(vu__msg_decode_header(&got, bytes), 0);
	assert_int_equal(got.request, m.request);
	assert_int_equal(got.flags, m.flags);
	assert_int_equal(got.size, 4096);
	m.size = 4097;
	vu__msg_encode_header(&m, bytes);
	assert_int_equal(vu__msg_decode_header(&got, bytes), -EMSGSIZE);
	m.flags = 2;
	vu__msg_encode_header(&m, bytes);
	assert_int_equal(vu__msg_decode_header(&got, bytes), -EPROTO);
}

/* --- over a socket --- */

static int lowest_free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int sv[2];

static int pair_up(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv);
}

static int pair_down(void **state)
{
	(void)state;
	vu__sys.recvmsg = recvmsg;
	vu__sys.sendmsg = sendmsg;
	close(sv[0]);
	close(sv[1]);
	return 0;
}

static unsigned int calls;

/* One byte at a time, and every other call is interrupted. */
static ssize_t stingy_recvmsg(int fd, struct msghdr *h, int flags)
{
	if (calls++ % 2) {
		errno = EINTR;
		return -1;
	}
	h->msg_iov->iov_len = 1;
	return recvmsg(fd, h, flags);
}

static ssize_t stingy_sendmsg(int fd, const struct msghdr *h, int flags)
{
	struct msghdr one = *h;
	struct iovec iov = h->msg_iov[0];

	if (calls++ % 2) {
		errno = EINTR;
		return -1;
	}
	iov.iov_len = 1;
	one.msg_iov = &iov;
	one.msg_iovlen = 1;
	return sendmsg(fd, &one, flags);
}

static void in_pieces_and_interrupted(void **state)
{
	struct vu__msg m, got;

	(void)state;
	vu__sys.recvmsg = stingy_recvmsg;
	vu__sys.sendmsg = stingy_sendmsg;
	vu__msg_init(&m, VU__SET_VRING_KICK);
	m.size = 200;
	for (int i = 0; i < 200; i++)
		m.payload.raw[i] = i;
	m.nfds = 2;
	m.fds[0] = sv[0];
	m.fds[1] = sv[1];
	assert_int_equal(vu__sock_send(sv[0], &m, 1000), 0);
	assert_int_equal(vu__sock_recv(sv[1], &got, 1000), 1);
	assert_int_equal(got.size, 200);
	assert_memory_equal(got.payload.raw, m.payload.raw, 200);
	assert_int_equal(got.nfds, 2);
	assert_true(fcntl(got.fds[0], F_GETFD) & FD_CLOEXEC);
	vu__msg_close_fds(&got);
}

static void what_is_there_of_a_message_is_kept(void **state)
{
	struct vu__msg m, got;
	struct vu__arrival a = {.got = 0};
	uint8_t bytes[VU__HEADER_SIZE + 8] = {0};

	(void)state;
	for (int round = 0; round < 2; round++) {
		vu__msg_init(&m, VU__SET_VRING_CALL);
		m.size = 8;
		vu__msg_encode_header(&m, bytes);
		bytes[VU__HEADER_SIZE] = 7;
		assert_int_equal(vu__sock_recv_part(sv[1], &got, &a), -EAGAIN);
		assert_int_equal(a.got, 0);
		for (unsigned int i = 0; i < sizeof(bytes); i++) {
			assert_int_equal(vu__sock_send_raw(sv[0], bytes + i, 1, &sv[0], i == 14,
							   100),
					 0);
			assert_int_equal(vu__sock_recv_part(sv[1], &got, &a),
					 i + 1 < sizeof(bytes) ? -EAGAIN : 1);
		}
		assert_int_equal(got.request, VU__SET_VRING_CALL);
		assert_int_equal(got.payload.u64, 7);
		assert_int_equal(got.nfds, 1);
		vu__msg_close_fds(&got);
	}
	assert_int_equal(vu__sock_send_raw(sv[0], bytes, 13, &sv[0], 1, 100), 0);
	assert_int_equal(vu__sock_recv_part(sv[1], &got, &a), -EAGAIN);
	assert_int_equal(got.nfds, 1);
	shutdown(sv[0], SHUT_WR);
	assert_int_equal(vu__sock_recv_part(sv[1], &got, &a), -ECONNRESET);
	assert_int_equal(got.nfds, 0);
}

static void the_end_and_silence(void **state)
{
	struct vu__msg got;

	(void)state;
	assert_int_equal(vu__sock_recv(sv[1], &got, 20), -ETIMEDOUT);
	assert_int_equal(vu__sock_send_raw(sv[0], "abc", 3, NULL, 0, 100), 0);
	assert_int_equal(vu__sock_recv(sv[1], &got, 20), -ETIMEDOUT);
	shutdown(sv[0], SHUT_WR);
	assert_int_equal(vu__sock_recv(sv[1], &got, 20), 0);
}

static void a_full_socket_times_out_and_a_closed_one_fails(void **state)
{
	struct vu__msg m;
	int ret = 0;

	(void)state;
	vu__msg_init(&m, 1);
	m.size = 4096;
	assert_int_equal(fcntl(sv[0], F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < 10000 && !ret; i++)
		ret = vu__sock_send(sv[0], &m, 20);
	assert_int_equal(ret, -ETIMEDOUT);
	shutdown(sv[1], SHUT_RDWR);
	assert_int_equal(vu__sock_send(sv[0], &m, 20), -EPIPE);
}

/* More than there is room for: the kernel cuts the rest off, and says so. */
static void more_fds_than_there_is_room_for(void **state)
{
	enum { MANY = 253 };
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(MANY * sizeof(int))];
	} control = {0};
	uint8_t header[VU__HEADER_SIZE];
	struct iovec iov = {header, sizeof(header)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	struct vu__msg m;
	int before = open_fds();

	(void)state;
	vu__msg_init(&m, VU__SET_OWNER);
	vu__msg_encode_header(&m, header);
	control.head = (struct cmsghdr){CMSG_LEN(MANY * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	for (int i = 0; i < MANY; i++)
		memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &sv[0], sizeof(int));
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(sendmsg(sv[0], &h, 0), sizeof(header));
		assert_int_equal(vu__sock_recv(sv[1], &m, 100), -E2BIG);
		assert_int_equal(m.nfds, 0);
	}
	assert_int_equal(open_fds(), before);
}

/* A process that is at its limit gets fewer fds than were sent. */
static void fds_that_the_limit_cuts_off(void **state)
{
	struct rlimit old, low;
	struct vu__msg m, got;
	int before = open_fds();

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = lowest_free_fd() + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	vu__msg_init(&m, VU__SET_MEM_TABLE);
	m.nfds = 3;
	m.fds[0] = m.fds[1] = m.fds[2] = sv[0];
	assert_int_equal(vu__sock_send(sv[0], &m, 100), 0);
	assert_int_equal(vu__sock_recv(sv[1], &got, 100), -E2BIG);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(open_fds(), before);
}

static void fds_nobody_wants_are_closed(void **state)
{
	struct vu__msg m;
	uint8_t header[VU__HEADER_SIZE];
	int fds[9], before = lowest_free_fd();

	(void)state;
	for (int i = 0; i < 9; i++)
		fds[i] = sv[0];
	vu__msg_init(&m, 1);
	vu__msg_encode_header(&m, header);
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(vu__sock_send_raw(sv[0], header, sizeof(header), fds, 9, 100), 0);
		assert_int_equal(vu__sock_recv(sv[1], &m, 100), -E2BIG);
		assert_int_equal(m.nfds, 0);
	}
	header[4] = 0;
	assert_int_equal(vu__sock_send_raw(sv[0], header, sizeof(header), fds, 8, 100), 0);
	assert_int_equal(vu__sock_recv(sv[1], &m, 100), -EPROTO);
	assert_int_equal(lowest_free_fd(), before);
}

static void a_taken_fd_is_the_takers(void **state)
{
	struct vu__msg m;
	int fd;

	(void)state;
	vu__msg_init(&m, 1);
	m.fds[0] = dup(0);
	m.nfds = 1;
	fd = vu__msg_take_fd(&m, 0);
	assert_true(fd >= 0);
	assert_int_equal(vu__msg_take_fd(&m, 0), -1);
	assert_int_equal(vu__msg_take_fd(&m, 1), -1);
	vu__msg_close_fds(&m);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	close(fd);
}

/* --- ranges --- */

static void ranges_do_not_wrap(void **state)
{
	(void)state;
	assert_true(vu__range_within(0, 10, 10));
	assert_true(vu__range_within(10, 0, 10));
	assert_false(vu__range_within(1, 10, 10));
	assert_false(vu__range_within(11, 0, 10));
	assert_false(vu__range_within(5, UINT64_MAX, 10));
	assert_false(vu__range_within(UINT64_MAX, 2, 10));
	assert_true(vu__range_valid(UINT64_MAX, 1));
	assert_false(vu__range_valid(UINT64_MAX, 2));
	assert_true(vu__range_valid(UINT64_MAX, 0));
	assert_true(vu__ranges_overlap(0, 10, 9, 1));
	assert_false(vu__ranges_overlap(0, 10, 10, 1));
	assert_true(vu__ranges_overlap(5, 1, 0, UINT64_MAX));
	assert_true(vu__is_pow2(1) && vu__is_pow2(1ULL << 63));
	assert_false(vu__is_pow2(0) || vu__is_pow2(3));
}

int main(void)
{
#define SOCKET_TEST(f) cmocka_unit_test_setup_teardown(f, pair_up, pair_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_takes_its_size_and_fds_only),
		cmocka_unit_test(a_memory_table_says_its_size_twice),
		cmocka_unit_test(a_configuration_says_its_size_twice),
		cmocka_unit_test(no_fd_means_no_fd),
		cmocka_unit_test(queue_numbers_are_not_truncated),
		cmocka_unit_test(a_reply_must_be_the_one_that_was_asked_for),
		cmocka_unit_test(headers_go_round),
		SOCKET_TEST(in_pieces_and_interrupted),
		SOCKET_TEST(what_is_there_of_a_message_is_kept),
		SOCKET_TEST(the_end_and_silence),
		SOCKET_TEST(a_full_socket_times_out_and_a_closed_one_fails),
		SOCKET_TEST(fds_nobody_wants_are_closed),
		SOCKET_TEST(more_fds_than_there_is_room_for),
		SOCKET_TEST(fds_that_the_limit_cuts_off),
		cmocka_unit_test(a_taken_fd_is_the_takers),
		cmocka_unit_test(ranges_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
