/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The dirty log by itself: which bits, how they are set, by several at once. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/fd.h"
#include "core/dirtylog.h"

#define FILE_SIZE 65536

static char why[200];

struct fixture {
	int fd;
	uint8_t *file; /* our view of all of it */
};

static void open_log(struct fixture *f)
{
	f->fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, FILE_SIZE), 0);
	f->file = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	assert_ptr_not_equal(f->file, MAP_FAILED);
}

static void close_log(struct fixture *f)
{
	munmap(f->file, FILE_SIZE);
	close(f->fd);
}

/* Has @d mark in @size bytes of the file from @offset on. */
static void use_log(struct vu__dirty *d, const struct fixture *f, uint64_t size, uint64_t offset)
{
	struct vu__log *log;

	assert_int_equal(vu__log_new(f->fd, size, offset, &log, why, sizeof(why)), 0);
	vu__dirty_set_log(d, log, true, d->call_fd);
}

static bool bit(const struct fixture *f, uint64_t offset, uint64_t page)
{
	return f->file[offset + page / 8] >> page % 8 & 1;
}

static void check_exactly(const struct fixture *f, uint64_t offset, uint64_t first,
			  uint64_t last)
{
	for (uint64_t i = 0; i < FILE_SIZE * 8; i++) {
		uint64_t page = i - offset * 8;
		bool want = i >= offset * 8 && page >= first && page <= last;

		if ((f->file[i / 8] >> i % 8 & 1) != want)
			fail_msg("offset %d, pages %d to %d: bit %d is wrong", (int)offset,
				 (int)first, (int)last, (int)page);
	}
}

/* Ends of ranges around every border there is, at aligned and odd places of the file. */
static void every_border(void **state)
{
	static const uint64_t offsets[] = {0, 8, 3, 4096, 4097, 8191};
	static const uint64_t firsts[] = {0, 1, 7, 62, 63, 64, 65, 127, 500};
	static const uint64_t counts[] = {1, 2, 3, 63, 64, 65, 66, 128, 129, 1000};

	(void)state;
	for (size_t o = 0; o < VU_ARRAY_SIZE(offsets); o++) {
		for (size_t i = 0; i < VU_ARRAY_SIZE(firsts) * VU_ARRAY_SIZE(counts); i++) {
			uint64_t first = firsts[i / VU_ARRAY_SIZE(counts)];
			uint64_t n = counts[i % VU_ARRAY_SIZE(counts)];
			struct vu__dirty d = {.call_fd = -1};
			struct fixture f;

			open_log(&f);
			use_log(&d, &f, 4096, offsets[o]);
			/* From the first page's last byte to the last page's first. */
			assert_true(vu__dirty_add(&d, first * 4096 + 4095,
						  n == 1 ? 1 : (n - 2) * 4096 + 2, VU__DIRTY_DATA));
			vu__dirty_flush(&d);
			check_exactly(&f, offsets[o], first, first + n - 1);
			vu__log_put(d.log);
			close_log(&f);
		}
	}
}

static void what_is_noted_is_set_by_the_flush_once(void **state)
{
	struct vu__dirty d = {.call_fd = eventfd(0, EFD_NONBLOCK)};
	struct fixture f;
	uint64_t value;

	(void)state;
	open_log(&f);
	use_log(&d, &f, 4096, 0);
	for (uint64_t i = 0; i < 64; i++)
		assert_true(vu__dirty_add(&d, i * 4096, 1, VU__DIRTY_DATA));
	assert_false(bit(&f, 0, 5));
	vu__dirty_flush(&d);
	check_exactly(&f, 0, 0, 63);
	assert_int_equal(vu__event_consume(d.call_fd, &value), 0);
	assert_int_equal(value, 1);
	/* Nothing new: nobody is told. */
	assert_true(vu__dirty_add(&d, 4096, 4096, VU__DIRTY_DATA));
	vu__dirty_flush(&d);
	assert_int_equal(vu__event_consume(d.call_fd, &value), 0);
	assert_int_equal(value, 0);
	/* Another word of the same kind sets what was there, one of another kind does not. */
	memset(f.file, 0, FILE_SIZE);
	assert_true(vu__dirty_add(&d, 0, 1, VU__DIRTY_DATA));
	assert_true(vu__dirty_add(&d, 64ull * 4096, 1, VU__DIRTY_RING));
	assert_false(bit(&f, 0, 0));
	assert_true(vu__dirty_add(&d, 128ull * 4096, 1, VU__DIRTY_DATA));
	assert_true(bit(&f, 0, 0));
	/* And so does a change of log. */
	vu__dirty_set_log(&d, d.log, true, d.call_fd);
	assert_true(bit(&f, 0, 64) && bit(&f, 0, 128));
	close(d.call_fd);
	vu__log_put(d.log);
	close_log(&f);
}

static void nothing_outside_the_log(void **state)
{
	struct vu__dirty d = {.call_fd = -1};
	struct fixture f;

	(void)state;
	open_log(&f);
	use_log(&d, &f, 10, 3);
	assert_true(vu__dirty_add(&d, 79 * 4096, 4096, VU__DIRTY_DATA));
	assert_false(vu__dirty_add(&d, 79 * 4096, 4097, VU__DIRTY_DATA));
	assert_false(vu__dirty_add(&d, 80 * 4096, 1, VU__DIRTY_DATA));
	assert_false(vu__dirty_add(&d, UINT64_MAX, 1, VU__DIRTY_DATA));
	assert_false(vu__dirty_add(&d, UINT64_MAX - 4096, 8192, VU__DIRTY_DATA));
	assert_false(vu__dirty_add(&d, 1, UINT64_MAX, VU__DIRTY_DATA));
	assert_true(vu__dirty_add(&d, UINT64_MAX, 0, VU__DIRTY_DATA));
	vu__dirty_flush(&d);
	check_exactly(&f, 3, 79, 79);
	vu__log_put(d.log);
	close_log(&f);
}

static void bad_files(void **state)
{
	char name[] = "/tmp/vu-log-XXXXXX";
	struct vu__log *log = NULL;
	struct fixture f;
	int file;

	(void)state;
	open_log(&f);
	assert_int_equal(vu__log_new(f.fd, 0, 0, &log, why, sizeof(why)), -EINVAL);
	assert_int_equal(vu__log_new(f.fd, FILE_SIZE + 1, 0, &log, why, sizeof(why)), -EINVAL);
	assert_int_equal(vu__log_new(f.fd, 2, FILE_SIZE - 1, &log, why, sizeof(why)), -EINVAL);
	assert_int_equal(vu__log_new(f.fd, UINT64_MAX, 2, &log, why, sizeof(why)), -EINVAL);
	assert_int_equal(vu__log_new(f.fd, 8, UINT64_MAX - 3, &log, why, sizeof(why)), -EINVAL);
	assert_int_equal(vu__log_new(f.fd, 8, FILE_SIZE - 8, &log, why, sizeof(why)), 0);
	/* From now on it cannot shrink, so no mark is ever a SIGBUS. */
	assert_int_equal(ftruncate(f.fd, 4096), -1);
	vu__log_put(log);
	close_log(&f);
	file = mkstemp(name);
	assert_true(file >= 0);
	unlink(name);
	assert_int_equal(ftruncate(file, 4096), 0);
	assert_true(vu__log_new(file, 4096, 0, &log, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "sealed"));
	close(file);
}

/* --- a migration in miniature --- */

#define PAGES	512
#define WRITERS 2
#define WRITES	200000

static struct vu__log *shared_log;
static uint64_t memory[PAGES]; /* one value stands for a page */
static bool done;

static void *writer(void *opaque)
{
	struct vu__dirty d = {.log = NULL};
	uint32_t rng = (uintptr_t)opaque * 7919 + 1;

	vu__dirty_set_log(&d, shared_log, true, -1);
	for (unsigned int i = 0; i < WRITES; i++) {
		uint64_t page;

		rng = rng * 1664525 + 1013904223;
		page = rng >> 8 & (PAGES - 1);
		__atomic_fetch_add(&memory[page], 1, __ATOMIC_RELAXED);
		/* Of every kind: each is set in a way of its own. */
		if (!vu__dirty_add(&d, page * 4096, 1, i % VU__DIRTY_KINDS))
			abort();
		if (i % 3 == 0)
			vu__dirty_flush(&d);
	}
	vu__dirty_flush(&d);
	return NULL;
}

/* Clears bits and copies their pages, as a front-end does. */
static void sync_pages(uint64_t *copy)
{
	for (unsigned int w = 0; w < PAGES / 64; w++) {
		uint64_t bits = __atomic_exchange_n(&shared_log->words[w], 0,
						    __ATOMIC_SEQ_CST);

		for (; bits; bits &= bits - 1) {
			unsigned int page = w * 64 + __builtin_ctzll(bits);

			copy[page] = __atomic_load_n(&memory[page], __ATOMIC_RELAXED);
		}
	}
}

static void *migrator(void *copy)
{
	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		sync_pages(copy);
	return NULL;
}

static void none_is_lost_between_writers_and_a_front_end_that_clears(void **state)
{
	static uint64_t copy[PAGES];
	pthread_t writers[WRITERS], reader;
	struct fixture f;

	(void)state;
	open_log(&f);
	assert_int_equal(vu__log_new(f.fd, PAGES / 8, 0, &shared_log, why, sizeof(why)), 0);
	assert_int_equal(pthread_create(&reader, NULL, migrator, copy), 0);
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, writer, (void *)i), 0);
	for (unsigned int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
	pthread_join(reader, NULL);
	sync_pages(copy);
	assert_memory_equal(copy, memory, sizeof(copy));
	vu__log_put(shared_log);
	close_log(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_border),
		cmocka_unit_test(what_is_noted_is_set_by_the_flush_once),
		cmocka_unit_test(nothing_outside_the_log),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(none_is_lost_between_writers_and_a_front_end_that_clears),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
