/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The front-end's own side: messages of which devices answer, and answers that are wrong. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include <linux/virtio_ring.h>

#include "base/fd.h"
#include "base/util.h"
#include "tests/lib/hugepages.h"
#include "tests/lib/pair.h"
#include "wire/sock.h"

/* --- messages that the library hands to the device --- */

static uint64_t status_word;
static int object_fd = -1;

static void answer_u64(VhostUserMsg *m, uint64_t value, int *do_reply)
{
	m->payload.u64 = value;
	m->size = sizeof(m->payload.u64);
	m->fd_num = 0;
	*do_reply = 1;
}

/* Regions 3 and 200: a count of two, and places that are no prefix. */
static void answer_shmem(VhostUserMsg *m, int *do_reply)
{
	struct vu__shmem_config_payload *p = calloc(1, sizeof(*p));

	p->nregions = 2;
	p->sizes[3] = 4096;
	p->sizes[200] = 1ULL << 40;
	m->data = (uint8_t *)p;
	m->size = sizeof(*p);
	*do_reply = 1;
}

static int device(VuDev *dev, VhostUserMsg *m, int *do_reply)
{
	struct vu__iotlb_payload iotlb;

	(void)dev;
	switch (m->request) {
	case VU__SET_STATUS:
		status_word = m->payload.u64;
		return 1;
	case VU__GET_STATUS:
		answer_u64(m, status_word, do_reply);
		return 1;
	case VU__IOTLB_MSG:
		memcpy(&iotlb, &m->payload, sizeof(iotlb));
		answer_u64(m, iotlb.iova != 0x1000 || iotlb.size != 0x2000 ||
				      iotlb.uaddr != 0x3000 || iotlb.perm != 3 || iotlb.type != 2,
			   do_reply);
		return 1;
	case VU__GET_SHARED_OBJECT:
		assert_int_equal(m->size, 16);
		m->fd_num = ((uint8_t *)&m->payload)[15] == 15;
		m->fds[0] = object_fd;
		m->size = 0;
		*do_reply = 1;
		return 1;
	case VU__GET_SHMEM_CONFIG:
		answer_shmem(m, do_reply);
		return 1;
	}
	return 0;
}

static void messages_of_which_devices_answer(void **state)
{
	struct pair_options opt = {.process_msg = device};
	uint8_t uuid[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	struct pair *p = pair_ready(&opt);
	uint64_t value, sizes[256];
	uint32_t n;
	int fd;

	(void)state;
	check_ok(p, vu_frontend_set_status(p->fe, 0x8f));
	check_ok(p, vu_frontend_get_status(p->fe, &value));
	assert_int_equal(value, 0x8f);
	check_ok(p, vu_frontend_iotlb(p->fe, 0x1000, 0x2000, 0x3000, 3, 2));
	assert_int_equal(vu_frontend_iotlb(p->fe, 0x1001, 0x2000, 0x3000, 3, 2), -EREMOTEIO);
	object_fd = new_eventfd();
	check_ok(p, vu_frontend_get_shared_object(p->fe, uuid, &fd));
	assert_true(fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	uuid[15] = 0;
	check_ok(p, vu_frontend_get_shared_object(p->fe, uuid, &fd));
	assert_int_equal(fd, -1);
	check_ok(p, vu_frontend_get_shmem_config(p->fe, &n, sizes));
	assert_int_equal(n, 2);
	for (unsigned int i = 0; i < 256; i++)
		assert_int_equal(sizes[i], i == 3 ? 4096 : i == 200 ? 1ULL << 40 : 0);
	close(object_fd);
	pair_free(p);
}

/* --- a back-end that answers wrongly; its answer waits in the socket --- */

struct liar {
	struct vu_frontend *fe;
	int sock;
	int fds_before;
};

static struct liar liar_new(void)
{
	struct liar l = {.fds_before = count_fds()};
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	l.fe = vu_frontend_new(sv[0]);
	l.sock = sv[1];
	vu_frontend_set_timeout(l.fe, 50);
	return l;
}

static void liar_free(struct liar *l)
{
	vu_frontend_free(l->fe);
	close(l->sock);
	assert_int_equal(count_fds(), l->fds_before);
}

static void answer(struct liar *l, uint32_t request, uint32_t flags, uint32_t size,
		   uint64_t value, unsigned int nfds)
{
	struct vu__msg m;

	vu__msg_init(&m, request);
	m.flags = flags;
	m.size = size;
	m.payload.u64 = value;
	m.nfds = nfds;
	for (unsigned int i = 0; i < nfds; i++)
		m.fds[i] = l->sock;
	assert_int_equal(vu__sock_send(l->sock, &m, 100), 0);
}

static void answers_that_are_none(void **state)
{
	static const struct {
		uint32_t request, flags, size, nfds;
	} cases[] = {
		{VU__GET_QUEUE_NUM, 5, 8, 0}, {VU__GET_FEATURES, 1, 8, 0},
		{VU__GET_FEATURES, 5 | 8, 8, 0}, {VU__GET_FEATURES, 6, 8, 0},
		{VU__GET_FEATURES, 5, 0, 0}, {VU__GET_FEATURES, 5, 4, 0},
		{VU__GET_FEATURES, 5, 16, 0}, {VU__GET_FEATURES, 5, 8, 1},
		{VU__GET_FEATURES, 5, 8, 8},
	};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(cases); i++) {
		struct liar l = liar_new();
		uint64_t features = 0;

		answer(&l, cases[i].request, cases[i].flags, cases[i].size, 1, cases[i].nfds);
		assert_int_equal(vu_frontend_get_features(l.fe, &features), -EPROTO);
		assert_int_equal(features, 0);
		assert_non_null(strstr(vu_frontend_error(l.fe), "GET_FEATURES"));
		liar_free(&l);
	}
}

static void silence_and_the_end(void **state)
{
	struct liar l = liar_new();
	uint64_t features;

	(void)state;
	assert_int_equal(vu_frontend_get_features(l.fe, &features), -ETIMEDOUT);
	/* Half an answer. */
	assert_int_equal(vu__sock_send_raw(l.sock, "\1\0\0\0\5\0", 6, &l.sock, 1, 100), 0);
	assert_int_equal(vu_frontend_get_features(l.fe, &features), -ETIMEDOUT);
	liar_free(&l);
	l = liar_new();
	assert_int_equal(vu__sock_send_raw(l.sock, "\1\0\0\0\5\0", 6, &l.sock, 1, 100), 0);
	shutdown(l.sock, SHUT_WR);
	assert_int_equal(vu_frontend_get_features(l.fe, &features), -ECONNRESET);
	liar_free(&l);
	l = liar_new();
	shutdown(l.sock, SHUT_RDWR);
	assert_int_equal(vu_frontend_get_features(l.fe, &features), -ECONNRESET);
	liar_free(&l);
}

static void answers_about_something_else(void **state)
{
	struct liar l = liar_new();
	uint8_t config[16];
	uint32_t base;
	int fd;

	(void)state;
	/* Of another queue. */
	answer(&l, VU__GET_VRING_BASE, 5, 8, 3, 0);
	assert_int_equal(vu_frontend_get_vring_base(l.fe, 2, &base), -EPROTO);
	/* More configuration than was asked for, less, and none. */
	answer(&l, VU__GET_CONFIG, 5, VU__CONFIG_HEAD + 17, 0, 0);
	assert_int_equal(vu_frontend_get_config(l.fe, 0, 16, config), -EPROTO);
	answer(&l, VU__GET_CONFIG, 5, VU__CONFIG_HEAD + 15, 0, 0);
	assert_int_equal(vu_frontend_get_config(l.fe, 0, 16, config), -EPROTO);
	answer(&l, VU__GET_CONFIG, 5, 0, 0, 0);
	assert_int_equal(vu_frontend_get_config(l.fe, 0, 16, config), -EREMOTEIO);
	/* A device state that failed, an fd that was not announced, one that was and is not. */
	answer(&l, VU__SET_DEVICE_STATE_FD, 5, 8, 1 | VU__VRING_NOFD, 0);
	assert_int_equal(vu_frontend_set_device_state_fd(l.fe, 0, 0, l.sock, &fd), -EREMOTEIO);
	answer(&l, VU__SET_DEVICE_STATE_FD, 5, 8, VU__VRING_NOFD, 1);
	assert_int_equal(vu_frontend_set_device_state_fd(l.fe, 0, 0, l.sock, &fd), -EPROTO);
	answer(&l, VU__SET_DEVICE_STATE_FD, 5, 8, 0, 0);
	assert_int_equal(vu_frontend_set_device_state_fd(l.fe, 0, 0, l.sock, &fd), -EPROTO);
	assert_int_equal(fd, -1);
	liar_free(&l);
}

/* --- completions that make no sense --- */

static void used_entries_that_are_none(void **state)
{
	struct pair_options opt = {.mode = PAIR_NONE};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 16, 0, 0);
	struct vu_frontend_buf buf = {0x80000, 16, true};
	static const uint32_t ids[] = {1, 15, 16, UINT32_MAX};
	struct vu_frontend_ring ring;

	(void)state;
	vu_frontend_ring(q, &ring);
	assert_int_equal(vu_frontend_submit(q, &buf, 1, 1), 0);
	ring.used->idx = 1;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(ids); i++) {
		ring.used->ring[0].id = ids[i];
		assert_int_equal(vu_frontend_reap(q, NULL, NULL), -EPROTO);
	}
	ring.used->ring[0].id = 0;
	assert_int_equal(vu_frontend_reap(q, NULL, NULL), 1);
	assert_int_equal(vu_frontend_outstanding(q), 0);
	pair_free(p);
}

/* --- huge pages --- */

static void guest_memory_of_huge_pages(void **state)
{
	int borrowed = hugepages_borrow(2);
	struct pair *p = pair_new(NULL);
	struct vu_frontend_region r;
	struct vu_frontend_queue *q;
	struct statfs fs;

	(void)state;
	check_ok(p, vu_frontend_negotiate(p->fe, PAIR_ALL, PAIR_ALL));
	assert_int_equal(vu_frontend_add_memory(p->fe, 0, 4 << 20, VU_FRONTEND_HUGEPAGES), 0);
	check_ok(p, vu_frontend_region(p->fe, 0, &r));
	assert_int_equal(fstatfs(r.fd, &fs), 0);
	/* A machine that gives none still has a guest with memory. */
	if (borrowed >= 0)
		assert_int_equal(fs.f_type, HUGETLBFS_MAGIC);
	check_ok(p, vu_frontend_share_memory(p->fe));
	q = pair_queue(p, 0, 16, 0, 0);
	pair_echo(p, q, 1);
	pair_free(p);
	hugepages_return(borrowed, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_of_which_devices_answer),
		cmocka_unit_test(answers_that_are_none),
		cmocka_unit_test(silence_and_the_end),
		cmocka_unit_test(answers_about_something_else),
		cmocka_unit_test(used_entries_that_are_none),
		cmocka_unit_test(guest_memory_of_huge_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
