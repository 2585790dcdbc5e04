/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device's own state through the front-end's pipe: cases 52 and 53. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "core/devstate.h"
#include "tests/lib/pair.h"

/* The device's state: bytes it has, bytes it was given. */
static struct {
	uint8_t *bytes;
	size_t len;
	uint8_t *loaded;
	size_t loaded_len;
	uint32_t loaded_version;
	unsigned int loads;
	int refuse; /* -errno for both */
} device;

static int save(VuDev *dev, void **data, size_t *len)
{
	(void)dev;
	if (device.refuse)
		return device.refuse;
	*data = malloc(device.len);
	assert_non_null(*data);
	memcpy(*data, device.bytes, device.len);
	*len = device.len;
	return 0;
}

static int load(VuDev *dev, uint32_t version, const void *data, size_t len)
{
	(void)dev;
	device.loads++;
	if (device.refuse)
		return device.refuse;
	free(device.loaded);
	device.loaded = malloc(len);
	memcpy(device.loaded, data, len);
	device.loaded_len = len;
	device.loaded_version = version;
	return 0;
}

static const struct vu_ext_ops with_state = {.size = sizeof(with_state),
					     .state_name = "vu-test",
					     .state_version = 9,
					     .save_state = save,
					     .load_state = load};

static void new_state(size_t len)
{
	free(device.bytes);
	free(device.loaded);
	memset(&device, 0, sizeof(device));
	device.bytes = malloc(len);
	device.len = len;
	for (size_t i = 0; i < len; i++)
		device.bytes[i] = i * 31 + (i >> 8);
}

static int teardown(void **state)
{
	(void)state;
	free(device.bytes);
	free(device.loaded);
	memset(&device, 0, sizeof(device));
	return 0;
}

static struct pair *stateful(void)
{
	struct pair_options opt = {.ext = &with_state};
	struct pair *p = pair_ready(&opt);

	/* Large states take their time where memory is watched. */
	vu_frontend_set_timeout(p->fe, 60000);
	return p;
}

static int start(struct pair *p, uint32_t direction, int fd)
{
	int reply_fd;
	int ret = vu_frontend_set_device_state_fd(p->fe, direction, 0, fd, &reply_fd);

	assert_int_equal(reply_fd, -1);
	return ret;
}

/* Saves as a monitor does; *@len bytes, to be freed. */
static uint8_t *save_all(struct pair *p, size_t *len)
{
	size_t room = device.len + 4096;
	uint8_t *bytes = malloc(room);
	int fds[2];
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	check_ok(p, start(p, 0, fds[1]));
	close(fds[1]);
	*len = 0;
	while ((n = read(fds[0], bytes + *len, room - *len)) > 0)
		*len += n;
	assert_int_equal(n, 0);
	close(fds[0]);
	check_ok(p, vu_frontend_check_device_state(p->fe));
	return bytes;
}

/* Gives @len bytes and the end; what CHECK_DEVICE_STATE says. */
static int load_all(struct pair *p, const uint8_t *bytes, size_t len)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	check_ok(p, start(p, 1, fds[0]));
	close(fds[0]);
	while (len) {
		ssize_t n = vu__write_quietly(fds[1], bytes, len);

		if (n < 0)
			break;
		bytes += n;
		len -= n;
	}
	close(fds[1]);
	return vu_frontend_check_device_state(p->fe);
}

static void a_state_makes_the_round(void **state)
{
	static const size_t sizes[] = {0, 1, 65536, 100u << 20};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(sizes); i++) {
		struct pair *p;
		uint8_t *bytes;
		size_t len;

		new_state(sizes[i]);
		p = stateful();
		bytes = save_all(p, &len);
		assert_int_equal(len, VU__DEVSTATE_HEAD + sizes[i]);
		pair_free(p);
		p = stateful();
		check_ok(p, load_all(p, bytes, len));
		assert_int_equal(device.loaded_version, 9);
		assert_int_equal(device.loaded_len, sizes[i]);
		assert_memory_equal(device.loaded, device.bytes, sizes[i]);
		free(bytes);
		pair_free(p);
	}
}

static void a_device_without_state_says_so(void **state)
{
	static const struct vu_ext_ops none = {.size = sizeof(none), .state_name = "vu-none"};
	static const struct vu_ext_ops half = {.size = sizeof(half), .state_name = "vu-half",
					       .save_state = save};
	struct pair_options opt = {.ext = &none};
	struct pair *p = pair_ready(&opt);
	uint64_t offered;
	uint8_t *bytes;
	size_t len;

	(void)state;
	new_state(3);
	bytes = save_all(p, &len);
	assert_int_equal(len, VU__DEVSTATE_HEAD);
	check_ok(p, load_all(p, bytes, len));
	/* Another one's, and one that is not empty. */
	bytes = realloc(bytes, VU__DEVSTATE_HEAD + 3);
	vu__devstate_head(bytes, "vu-none", 1, "abc", 3);
	memcpy(bytes + VU__DEVSTATE_HEAD, "abc", 3);
	assert_int_equal(load_all(p, bytes, VU__DEVSTATE_HEAD + 3), -EREMOTEIO);
	free(bytes);
	pair_free(p);
	/* By default, and half of it, is not offered. */
	for (int i = 0; i < 2; i++) {
		opt.ext = i ? &half : NULL;
		p = pair_new(&opt);
		check_ok(p, vu_frontend_get_protocol_features(p->fe, &offered));
		assert_false(offered & VU_BIT(VU__PF_DEVICE_STATE));
		pair_free(p);
	}
}

static void case_52_what_is_asked_wrongly(void **state)
{
	struct pair *p = stateful();
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);
	int fds[2], reply_fd, before;

	(void)state;
	new_state(100);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	/* Never asked for. */
	assert_int_equal(vu_frontend_check_device_state(p->fe), -EREMOTEIO);
	before = count_fds();
	/* Queues run. */
	assert_int_equal(start(p, 0, fds[1]), -EREMOTEIO);
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	assert_int_equal(start(p, 2, fds[1]), -EREMOTEIO);
	assert_int_equal(vu_frontend_set_device_state_fd(p->fe, 0, 1, fds[1], &reply_fd),
			 -EREMOTEIO);
	assert_int_equal(vu_frontend_check_device_state(p->fe), -EREMOTEIO);
	assert_int_equal(count_fds(), before - 1);
	/* Twice, the first one on its way: the second is refused, the first goes on. */
	new_state(1 << 20);
	check_ok(p, start(p, 0, fds[1]));
	assert_int_equal(start(p, 0, fds[1]), -EREMOTEIO);
	assert_int_equal(start(p, 1, fds[0]), -EREMOTEIO);
	/* Asked before all has been read: it has failed. */
	assert_int_equal(vu_frontend_check_device_state(p->fe), -EREMOTEIO);
	close(fds[0]);
	close(fds[1]);
	pair_free(p);
}

static void case_52_without_an_fd(void **state)
{
	struct pair *p = stateful();
	struct vu_frontend_message m = pair_message(VU__SET_DEVICE_STATE_FD, 8);

	(void)state;
	pair_expect_refused(p, &m);
	pair_free(p);
}

static void case_52_a_front_end_that_leaves_early(void **state)
{
	struct pair *p = stateful();
	int fds[2];
	uint8_t byte;

	(void)state;
	/* Reads one byte of many; the SIGPIPE does not arrive. */
	new_state(1 << 20);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	check_ok(p, start(p, 0, fds[1]));
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	assert_int_equal(vu_frontend_check_device_state(p->fe), -EREMOTEIO);
	/* The failed one leaves room for another. */
	free(save_all(p, &(size_t){0}));
	/* Opens a pipe for loading and goes: with the device, in the middle. */
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	check_ok(p, start(p, 1, fds[0]));
	close(fds[0]);
	assert_int_equal(write(fds[1], "vust", 4), 4);
	pair_restart(p, true);
	close(fds[1]);
	pair_negotiate(p);
	assert_int_equal(device.loads, 0);
	assert_int_equal(vu_frontend_check_device_state(p->fe), -EREMOTEIO);
	pair_free(p);
}

static void case_52_what_does_not_load(void **state)
{
	struct pair *p = stateful();
	uint8_t *bytes, *spoilt;
	size_t len;

	(void)state;
	new_state(300);
	bytes = save_all(p, &len);
	spoilt = malloc(len + 1);
	for (size_t cut = 0; cut < len; cut += 7)
		assert_int_equal(load_all(p, bytes, cut), -EREMOTEIO);
	for (size_t bit = 0; bit < 8 * len; bit += 13) {
		memcpy(spoilt, bytes, len);
		spoilt[bit / 8] ^= 1 << bit % 8;
		assert_int_equal(load_all(p, spoilt, len), -EREMOTEIO);
	}
	memcpy(spoilt, bytes, len);
	spoilt[len] = 0;
	assert_int_equal(load_all(p, spoilt, len + 1), -EREMOTEIO);
	vu__devstate_head(spoilt, "vu-other", 9, device.bytes, device.len);
	assert_int_equal(load_all(p, spoilt, len), -EREMOTEIO);
	/* None of that has reached the device. */
	assert_int_equal(device.loads, 0);
	/* What the device itself does not like. */
	device.refuse = -EPROTO;
	assert_int_equal(load_all(p, bytes, len), -EREMOTEIO);
	assert_int_equal(device.loads, 1);
	device.refuse = 0;
	check_ok(p, load_all(p, bytes, len));
	free(spoilt);
	free(bytes);
	pair_free(p);
}

static void case_53_saving_takes_nothing_away(void **state)
{
	struct pair *p = stateful();
	size_t len, again;
	uint8_t *first, *second;

	(void)state;
	new_state(5000);
	first = save_all(p, &len);
	/* The migration has failed: the device goes on, and is saved once more. */
	pair_echo(p, pair_queue(p, 0, 8, 0x10000, 0), 1);
	check_ok(p, vu_frontend_get_vring_base(p->fe, 0, &(uint32_t){0}));
	second = save_all(p, &again);
	assert_int_equal(len, again);
	assert_memory_equal(first, second, len);
	/* A device that cannot. */
	device.refuse = -EIO;
	assert_int_equal(start(p, 0, p->wake), -EREMOTEIO);
	free(first);
	free(second);
	pair_free(p);
}

/* A file instead of a pipe, as tools have it. */
static void a_file_will_do(void **state)
{
	struct pair *p = stateful();
	int fd = memfd_create("state", MFD_CLOEXEC);

	(void)state;
	new_state(200000);
	check_ok(p, start(p, 0, fd));
	check_ok(p, vu_frontend_check_device_state(p->fe));
	assert_int_equal(lseek(fd, 0, SEEK_END), VU__DEVSTATE_HEAD + 200000);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	check_ok(p, start(p, 1, fd));
	check_ok(p, vu_frontend_check_device_state(p->fe));
	assert_memory_equal(device.loaded, device.bytes, device.len);
	close(fd);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_state_makes_the_round, teardown),
		cmocka_unit_test_teardown(a_device_without_state_says_so, teardown),
		cmocka_unit_test_teardown(case_52_what_is_asked_wrongly, teardown),
		cmocka_unit_test_teardown(case_52_without_an_fd, teardown),
		cmocka_unit_test_teardown(case_52_a_front_end_that_leaves_early, teardown),
		cmocka_unit_test_teardown(case_52_what_does_not_load, teardown),
		cmocka_unit_test_teardown(case_53_saving_takes_nothing_away, teardown),
		cmocka_unit_test_teardown(a_file_will_do, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
