/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The dirty log's messages and what they change: cases 36 to 42. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <linux/virtio_ring.h>

#include "backend/dev.h"
#include "base/fd.h"
#include "tests/lib/pair.h"

#define LOG_BYTES 4096
#define MEMORY	  (1u << 20)
#define NOWHERE	  0x2000000ull /* a used ring's log address outside guest memory */

struct log {
	int fd;
	uint8_t *bits;
	uint64_t size;
};

static struct log log_new(uint64_t size)
{
	struct log l = {.fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING),
			.size = size};

	assert_true(l.fd >= 0);
	assert_int_equal(ftruncate(l.fd, size), 0);
	l.bits = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, l.fd, 0);
	assert_ptr_not_equal(l.bits, MAP_FAILED);
	return l;
}

static void log_free(struct log *l)
{
	munmap(l->bits, l->size);
	close(l->fd);
}

static bool marked(const struct log *l, uint64_t gpa)
{
	uint64_t page = gpa >> 12;

	return __atomic_load_n(&l->bits[page / 8], __ATOMIC_ACQUIRE) >> page % 8 & 1;
}

static unsigned int count(const struct log *l)
{
	unsigned int n = 0;

	for (uint64_t i = 0; i < l->size; i++)
		n += __builtin_popcount(l->bits[i]);
	return n;
}

static void use_log(struct pair *p, const struct log *l)
{
	check_ok(p, vu_frontend_set_log_base(p->fe, l->fd, l->size, 0));
}

/* Announces the address again with logging of the used ring at @log on or off. */
static void log_used(struct pair *p, struct vu_frontend_queue *q, bool on, uint64_t log)
{
	struct vu_frontend_ring r;

	vu_frontend_ring(q, &r);
	check_ok(p, vu_frontend_set_vring_addr(p->fe, 0, on ? 1 << VHOST_VRING_F_LOG : 0,
					       (uintptr_t)r.desc, (uintptr_t)r.used,
					       (uintptr_t)r.avail, log));
}

static void case_36_bad_ranges_and_files(void **state)
{
	static const struct {
		uint64_t size, offset;
	} bad[] = {{0, 0}, {LOG_BYTES + 1, 0}, {1, LOG_BYTES}, {UINT64_MAX, 1},
		   {8, UINT64_MAX - 3}, {1ull << 63, 1ull << 63}};
	struct pair *p = pair_ready(NULL);
	struct log l = log_new(LOG_BYTES);
	int plain = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), before = count_fds();

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(bad); i++) {
		struct vu_frontend_message m = pair_message(VU__SET_LOG_BASE, 16);

		memcpy(m.payload, &bad[i], 16);
		m.nfds = 1;
		m.fds[0] = l.fd;
		pair_expect_refused(p, &m);
		m.fds[0] = plain;
		pair_expect_refused(p, &m);
	}
	assert_null(p->dev.log_table);
	assert_int_equal(count_fds(), before);
	close(plain);
	log_free(&l);
	pair_free(p);
}

static void case_36_an_offset_is_where_page_0_is(void **state)
{
	static const uint64_t offsets[] = {8, 3, 1000};
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(offsets); i++) {
		struct log l = log_new(LOG_BYTES);
		uint64_t page = 0x81000 >> 12;

		check_ok(p, vu_frontend_set_log_base(p->fe, l.fd, 1024, offsets[i]));
		pair_echo(p, q, i);
		assert_int_equal(count(&l), 1);
		assert_true(l.bits[offsets[i] + page / 8] >> page % 8 & 1);
		log_free(&l);
	}
	pair_free(p);
}

static void case_36_a_failing_mmap_leaves_the_old_log(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);
	struct log l = log_new(LOG_BYTES);
	/* Too short for the memory there is: 1 MiB has 256 pages. */
	struct log tiny = log_new(31);
	struct vu_frontend_message m = pair_message(VU__SET_LOG_BASE, 16);

	(void)state;
	use_log(p, &l);
	memcpy(m.payload, (uint64_t[2]){31, 0}, 16);
	m.nfds = 1;
	m.fds[0] = tiny.fd;
	pair_expect_refused(p, &m);
	pair_echo(p, q, 1);
	assert_true(marked(&l, 0x81000));
	log_free(&l);
	log_free(&tiny);
	pair_free(p);
}

static void case_38_used_rings_only_if_asked_and_where_asked(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);
	struct log l = log_new(LOG_BYTES);

	(void)state;
	use_log(p, &l);
	pair_echo(p, q, 1);
	assert_int_equal(count(&l), 1);
	assert_true(marked(&l, 0x81000));
	memset(l.bits, 0, l.size);
	log_used(p, q, true, NOWHERE);
	pair_echo(p, q, 2);
	assert_int_equal(count(&l), 2);
	assert_true(marked(&l, NOWHERE));
	memset(l.bits, 0, l.size);
	log_used(p, q, true, 0x11000);
	pair_echo(p, q, 3);
	assert_int_equal(count(&l), 2);
	assert_true(marked(&l, 0x11000));
	memset(l.bits, 0, l.size);
	log_used(p, q, false, NOWHERE);
	pair_echo(p, q, 4);
	assert_int_equal(count(&l), 1);
	/* The used ring alone, without LOG_ALL. */
	memset(l.bits, 0, l.size);
	log_used(p, q, true, NOWHERE);
	check_ok(p, vu_frontend_set_features(p->fe, vu_frontend_features(p->fe) &
						    ~VU_BIT(VU__F_LOG_ALL)));
	pair_echo(p, q, 5);
	assert_int_equal(count(&l), 1);
	assert_true(marked(&l, NOWHERE));
	log_free(&l);
	pair_free(p);
}

static void case_37_flags_and_avail_event_are_written_pages_too(void **state)
{
	const uint64_t event_page = NOWHERE + 4096;

	(void)state;
	for (int event_idx = 0; event_idx < 2; event_idx++) {
		struct pair_options opt = {.mode = PAIR_NONE};
		struct pair *p = pair_new(&opt);
		struct log l = log_new(LOG_BYTES);
		struct vu_frontend_queue *q;

		check_ok(p, vu_frontend_negotiate(p->fe,
						  event_idx ? PAIR_ALL :
							      PAIR_ALL & ~VU_BIT(VU__F_EVENT_IDX),
						  PAIR_ALL));
		assert_int_equal(vu_frontend_add_memory(p->fe, 0, MEMORY, 0), 0);
		check_ok(p, vu_frontend_share_memory(p->fe));
		q = pair_queue(p, 0, 512, 0x10000, 0);
		use_log(p, &l);
		/* Entries 0 to 510 are on the first page, avail_event is on the second. */
		log_used(p, q, true, NOWHERE);
		pair_lock(p);
		assert_int_equal(count(&l), 0);
		vu_queue_set_notification(&p->dev, &p->dev.vq[0], 0);
		assert_int_equal(count(&l), event_idx ? 0 : 1);
		vu_queue_set_notification(&p->dev, &p->dev.vq[0], 1);
		assert_int_equal(count(&l), 1);
		assert_true(marked(&l, event_idx ? event_page : NOWHERE));
		pair_unlock(p);
		log_free(&l);
		pair_free(p);
	}
}

/* QEMU restarts a device in a migration so: logging, rings, and only then the log. */
static void case_37_rings_that_run_before_their_log_comes(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = vu_frontend_queue_new(p->fe, 0, 512, 0x10000);
	struct log l = log_new(LOG_BYTES);

	(void)state;
	check_ok(p, vu_frontend_queue_start(q, VU_FRONTEND_DISABLED));
	log_used(p, q, true, NOWHERE);
	use_log(p, &l);
	/* Flags and avail_event were written by the start. */
	assert_int_equal(count(&l), 2);
	assert_true(marked(&l, NOWHERE) && marked(&l, NOWHERE + 4096));
	log_free(&l);
	pair_free(p);
}

static void case_39_a_page_beyond_the_log_ends_the_connection(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);
	struct log l = log_new(LOG_BYTES);
	struct vu_frontend_buf bufs[2] = {{0x80000, 32, false}, {0x81000, 64, true}};
	struct vu_frontend_message m = pair_message(VU__SET_VRING_ADDR, 40);
	struct vu_frontend_ring r;

	(void)state;
	check_ok(p, vu_frontend_set_log_base(p->fe, l.fd, 32, 0));
	/* A used ring's address is refused beforehand. */
	vu_frontend_ring(q, &r);
	memcpy(m.payload, &(struct vhost_vring_addr){0, 1, (uintptr_t)r.desc,
						     (uintptr_t)r.used, (uintptr_t)r.avail,
						     MEMORY - 8}, 40);
	pair_expect_refused(p, &m);
	log_used(p, q, true, MEMORY - 4096);
	pair_echo(p, q, 1);
	/* Memory the log has no room for is, too, while data is logged. */
	assert_int_equal(vu_frontend_add_memory(p->fe, MEMORY, MEMORY, 0), 1);
	assert_int_equal(vu_frontend_add_mem_reg(p->fe, 1), -EREMOTEIO);
	/* What comes in while it is not, and is then written to, ends everything. */
	check_ok(p, vu_frontend_set_features(p->fe, vu_frontend_features(p->fe) &
						    ~VU_BIT(VU__F_LOG_ALL)));
	check_ok(p, vu_frontend_add_mem_reg(p->fe, 1));
	check_ok(p, vu_frontend_set_features(p->fe, vu_frontend_features(p->fe) |
						    VU_BIT(VU__F_LOG_ALL)));
	bufs[1].gpa = MEMORY + 0x1000;
	memset(l.bits, 0, l.size);
	assert_int_equal(vu_frontend_submit(q, bufs, 2, 1), 0);
	assert_true(vu_frontend_kick(q) >= 0);
	pair_wait_gone(p);
	assert_int_equal(p->panics, 1);
	assert_non_null(strstr(p->panic_text, "dirty log"));
	/* Neither past the end of what was given, nor shown as done. */
	for (unsigned int i = 32; i < LOG_BYTES; i++)
		assert_int_equal(l.bits[i], 0);
	assert_int_equal(vu_frontend_reap(q, NULL, NULL), 0);
	log_free(&l);
	pair_free(p);
}

static void case_41_off_on_bigger_and_again(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);
	uint64_t on = vu_frontend_features(p->fe), off = on & ~VU_BIT(VU__F_LOG_ALL);
	int before = 0;

	(void)state;
	for (unsigned int i = 0; i < 50; i++) {
		struct log l = log_new(LOG_BYTES + 8 * i), bigger = log_new(2 * LOG_BYTES);

		use_log(p, &l);
		check_ok(p, vu_frontend_set_features(p->fe, on));
		pair_echo(p, q, 1);
		assert_int_equal(count(&l), 1);
		use_log(p, &bigger);
		pair_echo(p, q, 2);
		assert_int_equal(count(&l), 1);
		assert_int_equal(count(&bigger), 1);
		check_ok(p, vu_frontend_set_features(p->fe, off));
		pair_echo(p, q, 3);
		bigger.bits[0] = 0;
		pair_echo(p, q, 4);
		assert_int_equal(count(&bigger), 1);
		log_free(&l);
		log_free(&bigger);
		if (i == 1)
			before = count_fds();
	}
	assert_int_equal(count_fds(), before);
	pair_free(p);
}

/* What was filled before the change and is shown after it is in one of the two. */
static void case_41_a_change_between_fill_and_flush(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);
	struct vu_frontend_buf buf = {0x81000, 64, true};
	struct log a = log_new(LOG_BYTES), b = log_new(LOG_BYTES);

	(void)state;
	use_log(p, &a);
	log_used(p, q, true, NOWHERE);
	memset(a.bits, 0, a.size);
	assert_int_equal(vu_frontend_submit(q, &buf, 1, 1), 0);
	assert_true(vu_frontend_kick(q) >= 0);
	pair_wait_popped(p, 1);
	pair_lock(p);
	vu_queue_fill(&p->dev, &p->dev.vq[0], p->held[0], 64, 0);
	pair_unlock(p);
	use_log(p, &b);
	assert_true(marked(&a, 0x81000));
	assert_int_equal(marked(&b, 0x81000), false);
	pair_lock(p);
	vu_queue_flush(&p->dev, &p->dev.vq[0], 1);
	vu_queue_notify(&p->dev, &p->dev.vq[0]);
	pair_unlock(p);
	assert_true(marked(&b, NOWHERE));
	log_free(&a);
	log_free(&b);
	pair_free(p);
}

/*
 * Each push is in the log when the driver can see it, whatever the front-end has cleared
 * since the one before; the page of the index, which is written last, is with the next
 * push or the call.
 */
static void case_37_each_push_is_marked_before_it_is_shown(void **state)
{
	static const struct {
		unsigned int len;
		unsigned int pages; /* of 0x81000, 0x90000, the entry, and the index before */
	} pushes[] = {{65, 3}, {65, 4}, {64, 3}, {0, 2}, {1, 3}, {65, 4}};
	/* The index is at the end of a page, entries begin with the next one. */
	const uint64_t index = NOWHERE, entries = NOWHERE + 4096;
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 512, 0x10000, 0);
	struct vu_frontend_buf bufs[3] = {
		{0x80000, 16, false}, {0x81000, 64, true}, {0x90000, 1, true}};
	struct log l = log_new(LOG_BYTES);

	(void)state;
	use_log(p, &l);
	log_used(p, q, true, entries - 4);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(pushes); i++)
		assert_int_equal(vu_frontend_submit(q, bufs, 3, i), 0);
	assert_true(vu_frontend_kick(q) >= 0);
	pair_wait_popped(p, VU_ARRAY_SIZE(pushes));
	pair_lock(p);
	vu_queue_notify(&p->dev, &p->dev.vq[0]);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(pushes); i++) {
		memset(l.bits, 0, l.size);
		vu_queue_push(&p->dev, &p->dev.vq[0], p->held[i], pushes[i].len);
		assert_int_equal(count(&l), pushes[i].pages);
		assert_int_equal(marked(&l, 0x81000), pushes[i].len > 0);
		assert_int_equal(marked(&l, 0x90000), pushes[i].len > 64);
		assert_true(marked(&l, entries));
		assert_int_equal(marked(&l, index), i > 0);
		free(p->held[i]);
	}
	memset(l.bits, 0, l.size);
	vu_queue_notify(&p->dev, &p->dev.vq[0]);
	assert_int_equal(count(&l), 1);
	assert_true(marked(&l, index));
	p->nheld = 0;
	pair_unlock(p);
	log_free(&l);
	pair_free(p);
}

static void case_42_the_eventfd_is_signalled_for_news(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);
	struct log l = log_new(LOG_BYTES);
	int fd = new_eventfd(), other = new_eventfd();
	uint64_t value;

	(void)state;
	use_log(p, &l);
	check_ok(p, vu_frontend_set_log_fd(p->fe, fd));
	pair_echo(p, q, 1);
	assert_int_equal(vu__event_consume(fd, &value), 0);
	assert_int_equal(value, 1);
	pair_echo(p, q, 2);
	assert_int_equal(vu__event_consume(fd, &value), 0);
	assert_int_equal(value, 0);
	check_ok(p, vu_frontend_set_log_fd(p->fe, other));
	memset(l.bits, 0, l.size);
	pair_echo(p, q, 3);
	assert_int_equal(vu__event_consume(fd, &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(vu__event_consume(other, &value), 0);
	assert_int_equal(value, 1);
	close(fd);
	close(other);
	log_free(&l);
	pair_free(p);
}

static void what_is_given_up_in_flight_counts_as_written(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);
	struct vu_frontend_buf bufs[2] = {{0x80000, 32, false}, {0x81000, 8192, true}};
	struct log l = log_new(LOG_BYTES);

	(void)state;
	use_log(p, &l);
	assert_int_equal(vu_frontend_submit(q, bufs, 2, 1), 0);
	assert_true(vu_frontend_kick(q) >= 0);
	pair_wait_popped(p, 1);
	assert_int_equal(count(&l), 0);
	pair_lock(p);
	vu_set_drain_timeout(&p->dev, 0);
	pair_unlock(p);
	check_ok(p, vu_frontend_queue_stop(q, NULL));
	assert_true(marked(&l, 0x81000) && marked(&l, 0x82000));
	assert_int_equal(count(&l), 2);
	log_free(&l);
	pair_free(p);
}

static void what_was_written_before_an_unpop_counts(void **state)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);
	struct vu_frontend_buf bufs[2] = {{0x80000, 32, false}, {0x81000, 8192, true}};
	struct log l = log_new(LOG_BYTES);

	(void)state;
	use_log(p, &l);
	assert_int_equal(vu_frontend_submit(q, bufs, 2, 1), 0);
	assert_true(vu_frontend_kick(q) >= 0);
	pair_wait_popped(p, 1);
	pair_lock(p);
	vu_queue_unpop(&p->dev, &p->dev.vq[0], p->held[0], 4097);
	free(p->held[0]);
	p->nheld = 0;
	pair_unlock(p);
	assert_true(marked(&l, 0x81000) && marked(&l, 0x82000));
	assert_int_equal(count(&l), 2);
	log_free(&l);
	pair_free(p);
}

static void a_device_can_mark_by_itself(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct log l = log_new(LOG_BYTES);

	(void)state;
	vu_log_write(&p->dev, 0x5000, 1);
	use_log(p, &l);
	pair_lock(p);
	assert_ptr_not_equal(p->dev.log_table, NULL);
	assert_int_equal(p->dev.log_size, LOG_BYTES);
	pair_unlock(p);
	vu_log_write(&p->dev, 0x5fff, 2);
	assert_int_equal(count(&l), 2);
	assert_true(marked(&l, 0x5000) && marked(&l, 0x6000));
	vu_log_write(&p->dev, 0x7000, 0);
	assert_int_equal(count(&l), 2);
	vu_log_write(&p->dev, 8ull * LOG_BYTES << 12, 1);
	pair_wait_gone(p);
	assert_int_equal(p->panics, 1);
	log_free(&l);
	pair_free(p);
}

/* A log for each queue, as somebody who watches brings them. */
static int watch(struct pair *p, const struct log *l)
{
	struct vu__log **logs = calloc(p->dev.max_queues, sizeof(*logs));
	char why[200];
	int ret;

	for (unsigned int i = 0; i < p->dev.max_queues; i++)
		assert_int_equal(vu__log_new(l->fd, l->size, 0, &logs[i], why, sizeof(why)), 0);
	pair_lock(p);
	ret = vu__log_shadow(vu__dev_of(&p->dev), logs);
	pair_unlock(p);
	for (unsigned int i = 0; ret && i < p->dev.max_queues; i++)
		vu__log_put(logs[i]);
	if (ret)
		free(logs);
	return ret;
}

/* After a migration that was cancelled a monitor leaves its log where it is. */
static void a_log_that_is_not_used_is_in_nobody_s_way(void **state)
{
	struct pair *p = pair_ready(NULL);
	struct vu_frontend_queue *q = pair_queue(p, 0, 8, 0x10000, 0);
	uint64_t on = vu_frontend_features(p->fe), off = on & ~VU_BIT(VU__F_LOG_ALL);
	struct log l = log_new(LOG_BYTES), shadow = log_new(LOG_BYTES);

	(void)state;
	use_log(p, &l);
	assert_int_equal(watch(p, &shadow), -EBUSY);
	check_ok(p, vu_frontend_set_features(p->fe, off));
	log_used(p, q, true, NOWHERE);
	assert_int_equal(watch(p, &shadow), -EBUSY);
	log_used(p, q, false, 0);
	memset(l.bits, 0, l.size);
	assert_int_equal(watch(p, &shadow), 0);
	pair_echo(p, q, 1);
	assert_int_equal(count(&shadow), 1);
	assert_int_equal(count(&l), 0);
	/* The next migration has it all, and who watches sees no more. */
	check_ok(p, vu_frontend_set_features(p->fe, on));
	memset(shadow.bits, 0, shadow.size);
	pair_echo(p, q, 2);
	assert_int_equal(count(&shadow), 0);
	assert_int_equal(count(&l), 1);
	pair_lock(p);
	vu__log_unshadow(vu__dev_of(&p->dev));
	pair_unlock(p);
	log_free(&l);
	log_free(&shadow);
	pair_free(p);
}

static void the_answer_has_the_size_that_was_chosen(void **state)
{
	static const unsigned int sizes[] = {16, 8, 0};
	struct pair *p = pair_ready(NULL);
	struct log l = log_new(LOG_BYTES);

	(void)state;
	assert_int_equal(vu_set_log_reply_size(&p->dev, 4), -EINVAL);
	for (size_t i = 0; i < VU_ARRAY_SIZE(sizes); i++) {
		struct vu_frontend_message m = pair_message(VU__SET_LOG_BASE, 16);

		pair_lock(p);
		if (i)
			assert_int_equal(vu_set_log_reply_size(&p->dev, sizes[i]), 0);
		pair_unlock(p);
		memcpy(m.payload, (uint64_t[2]){LOG_BYTES - 8, 8}, 16);
		m.nfds = 1;
		m.fds[0] = l.fd;
		check_ok(p, vu_frontend_send(p->fe, &m));
		check_ok(p, vu_frontend_recv(p->fe, &m));
		assert_int_equal(m.flags, VU__FLAG_VERSION | VU__FLAG_REPLY);
		assert_int_equal(m.size, sizes[i]);
		assert_int_equal(m.nfds, 0);
		if (sizes[i] == 16)
			assert_memory_equal(m.payload, ((uint64_t[2]){LOG_BYTES - 8, 8}), 16);
		if (sizes[i] == 8)
			assert_memory_equal(m.payload, ((uint64_t[1]){0}), 8);
	}
	log_free(&l);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_36_bad_ranges_and_files),
		cmocka_unit_test(case_36_an_offset_is_where_page_0_is),
		cmocka_unit_test(case_36_a_failing_mmap_leaves_the_old_log),
		cmocka_unit_test(case_37_flags_and_avail_event_are_written_pages_too),
		cmocka_unit_test(case_37_rings_that_run_before_their_log_comes),
		cmocka_unit_test(case_38_used_rings_only_if_asked_and_where_asked),
		cmocka_unit_test(case_39_a_page_beyond_the_log_ends_the_connection),
		cmocka_unit_test(case_41_off_on_bigger_and_again),
		cmocka_unit_test(case_41_a_change_between_fill_and_flush),
		cmocka_unit_test(case_37_each_push_is_marked_before_it_is_shown),
		cmocka_unit_test(case_42_the_eventfd_is_signalled_for_news),
		cmocka_unit_test(what_is_given_up_in_flight_counts_as_written),
		cmocka_unit_test(what_was_written_before_an_unpop_counts),
		cmocka_unit_test(a_device_can_mark_by_itself),
		cmocka_unit_test(a_log_that_is_not_used_is_in_nobody_s_way),
		cmocka_unit_test(the_answer_has_the_size_that_was_chosen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
