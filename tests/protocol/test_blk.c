/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-blk as a driver sees it: right requests, and all that a hostile guest can ask for. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/lib/blk.h"
#include "wire/spec.h"

#define OK     VIRTIO_BLK_S_OK
#define IOERR  VIRTIO_BLK_S_IOERR
#define UNSUPP VIRTIO_BLK_S_UNSUPP

typedef struct virtio_blk_discard_write_zeroes segment;

static void fill(uint8_t *at, size_t n, unsigned int seed)
{
	for (size_t i = 0; i < n; i++)
		at[i] = seed * 31 + i * 7 + i / 251;
}

/* Reads and compares with what fill() makes. */
static void expect_pattern(struct blk_client *c, uint64_t sector, uint32_t bytes,
			   unsigned int seed)
{
	uint8_t *in = blk_ptr(c, BLK_IN);

	memset(in, 0xcc, bytes);
	assert_int_equal(blk_request(c, VIRTIO_BLK_T_IN, sector, 0, bytes), OK);
	fill(blk_ptr(c, BLK_DATA), bytes, seed);
	assert_memory_equal(in, blk_ptr(c, BLK_DATA), bytes);
}

static void write_pattern(struct blk_client *c, uint64_t sector, uint32_t bytes,
			  unsigned int seed)
{
	fill(blk_ptr(c, BLK_DATA), bytes, seed);
	assert_int_equal(blk_request(c, VIRTIO_BLK_T_OUT, sector, bytes, 0), OK);
}

static void expect_zeroes(struct blk_client *c, uint64_t sector, uint32_t bytes)
{
	uint8_t *in = blk_ptr(c, BLK_IN);

	memset(in, 0xcc, bytes);
	assert_int_equal(blk_request(c, VIRTIO_BLK_T_IN, sector, 0, bytes), OK);
	for (uint32_t i = 0; i < bytes; i++)
		assert_int_equal(in[i], 0);
}

/* The device is whole: it reads and writes. */
static void expect_alive(struct blk_client *c)
{
	static unsigned int seed;

	write_pattern(c, 8, 4096, ++seed);
	expect_pattern(c, 8, 4096, seed);
}

static void reads_writes_and_flushes(void **state)
{
	static const char *const modes[] = {"--cache=auto", "--cache=direct", "--cache=buffered"};
	static const uint32_t sizes[] = {512, 1024, 4096, 7 * 512, 65536, 1 << 20};

	(void)state;
	for (unsigned int m = 0; m < VU_ARRAY_SIZE(modes); m++) {
		struct blk_process b;
		struct blk_client c;

		blk_start(&b, modes[m], NULL);
		blk_connect(&c, b.sock);
		for (unsigned int i = 0; i < VU_ARRAY_SIZE(sizes); i++) {
			uint64_t last = BLK_SECTORS - sizes[i] / 512;

			write_pattern(&c, i, sizes[i], i);
			expect_pattern(&c, i, sizes[i], i);
			write_pattern(&c, last, sizes[i], i + 50);
			expect_pattern(&c, last, sizes[i], i + 50);
			assert_int_equal(blk_request(&c, VIRTIO_BLK_T_FLUSH, 0, 0, 0), OK);
		}
		blk_disconnect(&c);
		blk_end(&b);
	}
}

/* The used length is what was written: data and status. */
static void lengths_are_exact(void **state)
{
	struct blk_process b;
	struct blk_client c;
	struct virtio_blk_outhdr *header;
	struct vu_frontend_buf bufs[3] = {
		{BLK_HEADER, 16, false}, {BLK_IN, 1024, true}, {BLK_STATUS, 1, true}};

	(void)state;
	blk_start(&b, NULL);
	blk_connect(&c, b.sock);
	header = blk_ptr(&c, BLK_HEADER);
	*header = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN};
	assert_int_equal(blk_submit(&c, bufs, 3), 1025);
	header->type = VIRTIO_BLK_T_GET_ID;
	assert_int_equal(blk_submit(&c, bufs, 3), 21);
	header->type = VIRTIO_BLK_T_FLUSH;
	assert_int_equal(blk_submit(&c, bufs, 3), 1);
	header->type = 77;
	assert_int_equal(blk_submit(&c, bufs, 3), 1);
	blk_disconnect(&c);
	blk_end(&b);
}

static void the_serial_number(void **state)
{
	static const char *const serials[] = {"12345678901234567890", "x", ""};

	(void)state;
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(serials); i++) {
		struct blk_process b;
		struct blk_client c;
		char option[64], *in;

		snprintf(option, sizeof(option), "--serial=%s", serials[i]);
		blk_start(&b, option, NULL);
		blk_connect(&c, b.sock);
		in = blk_ptr(&c, BLK_IN);
		memset(in, 0x7e, 32);
		assert_int_equal(blk_request(&c, VIRTIO_BLK_T_GET_ID, 0, 0, 20), OK);
		assert_int_equal(strncmp(in, serials[i], 20), 0);
		assert_int_equal(in[20], 0x7e);
		/* A driver with less room gets its part. */
		memset(in, 0x7e, 32);
		assert_int_equal(blk_request(&c, VIRTIO_BLK_T_GET_ID, 0, 0, 5), OK);
		assert_int_equal(strncmp(in, serials[i], 5), 0);
		assert_int_equal(in[5], 0x7e);
		blk_disconnect(&c);
		blk_end(&b);
	}
}

static void the_configuration_space(void **state)
{
	struct blk_process b;
	struct blk_client c;
	struct virtio_blk_config config;
	uint64_t features;

	(void)state;
	blk_start(&b, "--block-size=4096", "--num-queues=5", NULL);
	blk_connect(&c, b.sock);
	config = blk_config(&c);
	assert_int_equal(le64toh(config.capacity), BLK_SECTORS);
	assert_int_equal(le32toh(config.blk_size), 4096);
	assert_int_equal(le16toh(config.num_queues), 5);
	assert_true(le32toh(config.seg_max) > 64);
	assert_int_equal(config.geometry.sectors, 63);
	assert_int_equal(config.wce, 1);
	assert_true(le32toh(config.max_discard_sectors) && le32toh(config.max_discard_seg));
	assert_true(le32toh(config.max_write_zeroes_sectors));
	assert_true(le32toh(config.discard_sector_alignment) >= 8);
	features = vu_frontend_features(c.fe);
	for (int bit = 0; bit < 24; bit++) {
		bool want = bit == VIRTIO_BLK_F_SEG_MAX || bit == VIRTIO_BLK_F_GEOMETRY ||
			    bit == VIRTIO_BLK_F_BLK_SIZE || bit == VIRTIO_BLK_F_TOPOLOGY ||
			    bit == VIRTIO_BLK_F_FLUSH || bit == VIRTIO_BLK_F_CONFIG_WCE ||
			    bit == VIRTIO_BLK_F_MQ || bit == VIRTIO_BLK_F_DISCARD ||
			    bit == VIRTIO_BLK_F_WRITE_ZEROES;

		assert_int_equal(vu__has_bit(features, bit), want);
	}
	/* All but the write cache is read-only. */
	for (unsigned int at = 0; at < sizeof(config); at++)
		assert_int_equal(vu_frontend_set_config(c.fe, at, 1, 0, "\0"),
				 at == offsetof(struct virtio_blk_config, wce) ? 0 : -EREMOTEIO);
	assert_int_equal(vu_frontend_set_config(c.fe, 32, 1, 0, "\2"), -EREMOTEIO);
	blk_disconnect(&c);
	blk_end(&b);
}

/* --- cut as the driver likes --- */

static void case_31_headers_in_pieces(void **state)
{
	struct vu_frontend_buf bufs[16 + 3];
	struct blk_process b;
	struct blk_client c;
	struct virtio_blk_outhdr *header;
	uint8_t *status;

	(void)state;
	blk_start(&b, NULL);
	blk_connect(&c, b.sock);
	write_pattern(&c, 40, 4096, 9);
	header = blk_ptr(&c, BLK_HEADER);
	status = blk_ptr(&c, BLK_STATUS);
	*header = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN, .sector = 40};
	/* Byte by byte, and the data in three. */
	for (unsigned int i = 0; i < 16; i++)
		bufs[i] = (struct vu_frontend_buf){BLK_HEADER + i, 1, false};
	bufs[16] = (struct vu_frontend_buf){BLK_IN, 1, true};
	bufs[17] = (struct vu_frontend_buf){BLK_IN + 1, 2048, true};
	/* The status is the last byte of the last buffer. */
	bufs[18] = (struct vu_frontend_buf){BLK_IN + 2049, 2048, true};
	((uint8_t *)blk_ptr(&c, BLK_IN))[4096] = 0xee;
	assert_int_equal(blk_submit(&c, bufs, 19), 4097);
	assert_int_equal(((uint8_t *)blk_ptr(&c, BLK_IN))[4096], OK);
	fill(blk_ptr(&c, BLK_DATA), 4096, 9);
	assert_memory_equal(blk_ptr(&c, BLK_DATA), blk_ptr(&c, BLK_IN), 4096);
	/* Header and data in one buffer. */
	header->type = VIRTIO_BLK_T_OUT;
	header->sector = 48;
	fill((uint8_t *)(header + 1), 512, 10);
	bufs[0] = (struct vu_frontend_buf){BLK_HEADER, 16 + 512, false};
	bufs[1] = (struct vu_frontend_buf){BLK_STATUS, 1, true};
	*status = 0xee;
	assert_int_equal(blk_submit(&c, bufs, 2), 1);
	assert_int_equal(*status, OK);
	expect_pattern(&c, 48, 512, 10);
	blk_disconnect(&c);
	blk_end(&b);
}

static void case_31_headers_that_are_too_short(void **state)
{
	struct blk_process b;
	struct blk_client c;

	(void)state;
	blk_start(&b, NULL);
	blk_connect(&c, b.sock);
	for (uint32_t len = 0; len < 16; len++) {
		struct vu_frontend_buf bufs[2] = {{BLK_HEADER, len, false}, {BLK_STATUS, 1, true}};
		uint8_t *status = blk_ptr(&c, BLK_STATUS);

		*status = 0xee;
		assert_int_equal(blk_submit(&c, bufs + !len, 2 - !len), 1);
		assert_int_equal(*status, IOERR);
		/* No place for a status either. */
		if (len)
			assert_int_equal(blk_submit(&c, bufs, 1), 0);
	}
	expect_alive(&c);
	blk_disconnect(&c);
	blk_end(&b);
}

/* --- what makes no sense --- */

static void requests_that_make_no_sense(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t out, in;
		uint8_t status;
	} cases[] = {
		/* Not of this device. */
		{2, 0, 0, 0, UNSUPP},
		{3, 0, 0, 0, UNSUPP},
		{VIRTIO_BLK_T_SCSI_CMD | 1, 0, 512, 0, UNSUPP},
		{15, 0, 0, 512, UNSUPP},
		{UINT32_MAX, 0, 512, 512, UNSUPP},
		{VIRTIO_BLK_T_BARRIER, 0, 0, 0, UNSUPP},
		/* Behind the end, in every way there is. */
		{VIRTIO_BLK_T_IN, BLK_SECTORS, 0, 512, IOERR},
		{VIRTIO_BLK_T_IN, BLK_SECTORS - 1, 0, 1024, IOERR},
		{VIRTIO_BLK_T_IN, UINT64_MAX, 0, 512, IOERR},
		{VIRTIO_BLK_T_IN, UINT64_MAX >> 9, 0, 1024, IOERR},
		{VIRTIO_BLK_T_IN, 1ULL << 55, 0, 512, IOERR},
		{VIRTIO_BLK_T_OUT, BLK_SECTORS, 512, 0, IOERR},
		{VIRTIO_BLK_T_OUT, BLK_SECTORS - 3, 2048, 0, IOERR},
		{VIRTIO_BLK_T_OUT, UINT64_MAX, 4096, 0, IOERR},
		/* Not whole sectors. */
		{VIRTIO_BLK_T_IN, 0, 0, 0, IOERR},
		{VIRTIO_BLK_T_IN, 0, 0, 511, IOERR},
		{VIRTIO_BLK_T_IN, 0, 0, 513, IOERR},
		{VIRTIO_BLK_T_OUT, 0, 0, 0, IOERR},
		{VIRTIO_BLK_T_OUT, 0, 1, 0, IOERR},
		{VIRTIO_BLK_T_OUT, 0, 1000, 0, IOERR},
		/* The data on the wrong side. */
		{VIRTIO_BLK_T_IN, 0, 512, 0, IOERR},
		{VIRTIO_BLK_T_OUT, 0, 0, 512, IOERR},
		{VIRTIO_BLK_T_DISCARD, 0, 0, 16, IOERR},
		{VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, 16, IOERR},
		/* Segments that are none, and too many. */
		{VIRTIO_BLK_T_DISCARD, 0, 0, 0, IOERR},
		{VIRTIO_BLK_T_DISCARD, 0, 15, 0, IOERR},
		{VIRTIO_BLK_T_DISCARD, 0, 17, 0, IOERR},
		{VIRTIO_BLK_T_DISCARD, 0, 33 * 16, 0, IOERR},
		{VIRTIO_BLK_T_DISCARD, 0, 1 << 20, 0, IOERR},
		{VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0, IOERR},
	};
	struct blk_process b;
	struct blk_client c;

	(void)state;
	blk_start(&b, NULL);
	blk_connect(&c, b.sock);
	memset(blk_ptr(&c, BLK_DATA), 0, 1 << 20);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(cases); i++) {
		uint8_t status = blk_request(&c, cases[i].type, cases[i].sector, cases[i].out,
					     cases[i].in);

		if (status != cases[i].status)
			fail_msg("case %u: status %u, not %u", i, status, cases[i].status);
	}
	expect_alive(&c);
	blk_disconnect(&c);
	blk_end(&b);
}

static uint8_t ask_segments(struct blk_client *c, uint32_t type, const segment *s,
			    unsigned int n)
{
	memcpy(blk_ptr(c, BLK_DATA), s, n * sizeof(*s));
	return blk_request(c, type, 0, n * sizeof(*s), 0);
}

static void segments_that_make_no_sense(void **state)
{
	static const struct {
		segment s;
		uint8_t discard, zeroes;
	} cases[] = {
		{{0, 0, 0}, IOERR, IOERR},
		{{BLK_SECTORS, 1, 0}, IOERR, IOERR},
		{{BLK_SECTORS - 1, 2, 0}, IOERR, IOERR},
		{{UINT64_MAX, 1, 0}, IOERR, IOERR},
		{{UINT64_MAX, 2, 0}, IOERR, IOERR},
		{{1ULL << 55, 8, 0}, IOERR, IOERR},
		{{0, UINT32_MAX, 0}, IOERR, IOERR},
		{{0, 8, 2}, UNSUPP, UNSUPP},
		{{0, 8, UINT32_MAX}, UNSUPP, UNSUPP},
		/* To unmap is what a discard does anyway. */
		{{0, 8, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP}, UNSUPP, OK},
	};
	struct blk_process b;
	struct blk_client c;
	segment two[2] = {{16, 8, 0}, {BLK_SECTORS, 8, 0}};

	(void)state;
	blk_start(&b, NULL);
	blk_connect(&c, b.sock);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(cases); i++) {
		uint8_t discard = ask_segments(&c, VIRTIO_BLK_T_DISCARD, &cases[i].s, 1);
		uint8_t zeroes = ask_segments(&c, VIRTIO_BLK_T_WRITE_ZEROES, &cases[i].s, 1);

		if (discard != cases[i].discard || zeroes != cases[i].zeroes)
			fail_msg("case %u: status %u and %u", i, discard, zeroes);
	}
	/* A bad one behind a good one: nothing is done. */
	write_pattern(&c, 16, 4096, 3);
	assert_int_equal(ask_segments(&c, VIRTIO_BLK_T_WRITE_ZEROES, two, 2), IOERR);
	expect_pattern(&c, 16, 4096, 3);
	blk_disconnect(&c);
	blk_end(&b);
}

static void a_read_only_disk(void **state)
{
	struct blk_process b;
	struct blk_client c;
	segment s = {0, 8, 0};
	uint64_t features;

	(void)state;
	blk_start(&b, "--read-only", NULL);
	blk_connect(&c, b.sock);
	features = vu_frontend_features(c.fe);
	assert_true(vu__has_bit(features, VIRTIO_BLK_F_RO));
	assert_false(vu__has_bit(features, VIRTIO_BLK_F_DISCARD));
	assert_false(vu__has_bit(features, VIRTIO_BLK_F_WRITE_ZEROES));
	expect_zeroes(&c, 0, 4096);
	fill(blk_ptr(&c, BLK_DATA), 4096, 1);
	assert_int_equal(blk_request(&c, VIRTIO_BLK_T_OUT, 0, 4096, 0), IOERR);
	assert_int_equal(ask_segments(&c, VIRTIO_BLK_T_DISCARD, &s, 1), IOERR);
	assert_int_equal(ask_segments(&c, VIRTIO_BLK_T_WRITE_ZEROES, &s, 1), IOERR);
	assert_int_equal(blk_request(&c, VIRTIO_BLK_T_FLUSH, 0, 0, 0), OK);
	expect_zeroes(&c, 0, 4096);
	blk_disconnect(&c);
	blk_end(&b);
}

/* --- discards and zeroes --- */

static void zero_some(struct blk_client *c)
{
	segment s[3] = {{64, 8, 0}, {80, 3, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP}, {91, 1, 0}};

	write_pattern(c, 56, 64 * 512, 5);
	assert_int_equal(ask_segments(c, VIRTIO_BLK_T_WRITE_ZEROES, s, 3), OK);
	expect_zeroes(c, 64, 8 * 512);
	expect_zeroes(c, 80, 3 * 512);
	expect_zeroes(c, 91, 512);
	/* Their neighbours are as they were. */
	for (unsigned int at = 56; at < 120; at++) {
		uint8_t want[64 * 512], *in = blk_ptr(c, BLK_IN);

		if ((at >= 64 && at < 72) || (at >= 80 && at < 83) || at == 91)
			continue;
		fill(want, sizeof(want), 5);
		assert_int_equal(blk_request(c, VIRTIO_BLK_T_IN, at, 0, 512), OK);
		assert_memory_equal(in, want + (at - 56) * 512, 512);
	}
}

static void zeroes_and_discards(void **state)
{
	struct blk_process b;
	struct blk_client c;
	segment s = {1024, 1024, 0};
	struct stat before, after;

	(void)state;
	blk_start(&b, NULL);
	blk_connect(&c, b.sock);
	zero_some(&c);
	write_pattern(&c, 1024, 1 << 19, 6);
	assert_int_equal(blk_request(&c, VIRTIO_BLK_T_FLUSH, 0, 0, 0), OK);
	assert_int_equal(stat(b.image, &before), 0);
	assert_int_equal(ask_segments(&c, VIRTIO_BLK_T_DISCARD, &s, 1), OK);
	assert_int_equal(stat(b.image, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	assert_int_equal(after.st_size, before.st_size);
	expect_zeroes(&c, 1024, 1 << 19);
	blk_disconnect(&c);
	blk_end(&b);
}

/* tmpfs makes holes and has no other way to zero: what it cannot do is written. */
static void zeroes_where_the_file_system_has_none(void **state)
{
	struct blk_process b;
	struct blk_client c;
	segment all = {0, BLK_SECTORS, 0};

	(void)state;
	blk_prepare(&b, "/dev/shm");
	assert_int_equal(truncate(b.image, 128 << 20), 0);
	blk_spawn(&b, (const char *[]){"-s", b.sock, "-b", b.image, NULL}, NULL);
	blk_wait_for(&b, "ready on");
	blk_connect(&c, b.sock);
	zero_some(&c);
	write_pattern(&c, BLK_SECTORS - 64, 64 * 512, 7);
	write_pattern(&c, BLK_SECTORS, 512, 8);
	assert_int_equal(ask_segments(&c, VIRTIO_BLK_T_WRITE_ZEROES, &all, 1), OK);
	for (uint64_t at = 0; at < BLK_SECTORS; at += 1024)
		expect_zeroes(&c, at, 1024 * 512);
	expect_pattern(&c, BLK_SECTORS, 512, 8);
	blk_disconnect(&c);
	blk_end(&b);
}

/* ... and nobody waits meanwhile. */
static void a_long_request_holds_nobody_up(void **state)
{
	struct vu_frontend_buf zero[3] = {
		{BLK_HEADER, 16, false}, {BLK_DATA, 16, false}, {BLK_STATUS, 1, true}};
	struct vu_frontend_buf read[3] = {
		{BLK_HEADER + 16, 16, false}, {BLK_IN, 512, true}, {BLK_STATUS + 1, 1, true}};
	struct virtio_blk_outhdr *header;
	struct blk_process b;
	struct blk_client c;
	uint64_t token;

	(void)state;
	blk_prepare(&b, "/dev/shm");
	assert_int_equal(truncate(b.image, 128 << 20), 0);
	blk_spawn(&b, (const char *[]){"-s", b.sock, "-b", b.image, NULL}, NULL);
	blk_wait_for(&b, "ready on");
	blk_connect(&c, b.sock);
	header = blk_ptr(&c, BLK_HEADER);
	header[0] = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_WRITE_ZEROES};
	header[1] = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN, .sector = 8};
	*(segment *)blk_ptr(&c, BLK_DATA) = (segment){0, 128 << 11, 0};
	assert_int_equal(vu_frontend_submit(c.q, zero, 3, 0), 0);
	assert_int_equal(vu_frontend_submit(c.q, read, 3, 1), 0);
	assert_true(vu_frontend_kick(c.q) >= 0);
	for (unsigned int want = 2; want--;) {
		assert_int_equal(vu_frontend_wait(c.q, 10000), 0);
		assert_int_equal(vu_frontend_reap(c.q, &token, NULL), 1);
		assert_int_equal(token, want);
	}
	assert_int_equal(((uint8_t *)blk_ptr(&c, BLK_STATUS))[0], OK);
	assert_int_equal(((uint8_t *)blk_ptr(&c, BLK_STATUS))[1], OK);
	blk_disconnect(&c);
	blk_end(&b);
}

/* --- the write cache --- */

static uint8_t write_cache(struct blk_client *c)
{
	return blk_config(c).wce;
}

static void the_write_cache_is_the_drivers(void **state)
{
	struct blk_process b;
	struct blk_client c;
	uint64_t features;

	(void)state;
	blk_start(&b, NULL);
	blk_connect(&c, b.sock);
	features = vu_frontend_features(c.fe);
	assert_int_equal(write_cache(&c), 1);
	assert_int_equal(vu_frontend_set_config(c.fe, 32, 1, 0, "\0"), 0);
	assert_int_equal(write_cache(&c), 0);
	expect_alive(&c);
	zero_some(&c);
	/* A migration begins: that is none of the driver's doing. */
	assert_int_equal(vu_frontend_set_features(c.fe, features ^ VU_BIT(VU__F_LOG_ALL)), 0);
	assert_int_equal(write_cache(&c), 0);
	assert_int_equal(vu_frontend_set_config(c.fe, 32, 1, 0, "\1"), 0);
	assert_int_equal(write_cache(&c), 1);
	/* A driver that cannot flush has every write safe. */
	assert_int_equal(vu_frontend_queue_stop(c.q, NULL), 0);
	assert_int_equal(vu_frontend_set_features(c.fe, features & ~VU_BIT(VIRTIO_BLK_F_FLUSH)),
			 0);
	assert_int_equal(write_cache(&c), 0);
	blk_disconnect(&c);
	blk_end(&b);
}

/* --- queues --- */

static void many_in_flight(void **state)
{
	static const char *const depths[] = {"--queue-depth=1", "--queue-depth=3",
					     "--queue-depth=4096"};
	static const char *const threads[] = {NULL, "--threads"};
	struct vu_frontend_buf bufs[3] = {
		{BLK_HEADER, 16, false}, {BLK_IN, 512, true}, {BLK_STATUS, 1, true}};

	(void)state;
	for (unsigned int i = 0; i < 2 * VU_ARRAY_SIZE(depths); i++) {
		struct blk_process b;
		struct blk_client c;
		unsigned int sent = 0, done = 0;

		blk_start(&b, depths[i / 2], threads[i % 2], NULL);
		blk_connect(&c, b.sock);
		*(struct virtio_blk_outhdr *)blk_ptr(&c, BLK_HEADER) =
			(struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN};
		while (done < 2000) {
			while (!vu_frontend_submit(c.q, bufs, 3, sent))
				sent++;
			assert_true(vu_frontend_kick(c.q) >= 0);
			if (vu_frontend_wait(c.q, 10000))
				fail_msg("%s: stuck after %u", depths[i / 2], done);
			while (vu_frontend_reap(c.q, NULL, NULL) == 1)
				done++;
		}
		blk_disconnect(&c);
		blk_end(&b);
	}
}

/* A monitor that gives no kick eventfd wants the ring to be polled. */
static void case_17_a_ring_that_is_to_be_polled(void **state)
{
	static const char *const threads[] = {NULL, "--threads"};

	(void)state;
	for (unsigned int t = 0; t < 2; t++) {
		struct blk_process b;
		struct blk_client c;

		blk_start(&b, threads[t], NULL);
		blk_connect(&c, b.sock);
		expect_alive(&c);
		for (unsigned int i = 0; i < 3; i++) {
			assert_int_equal(vu_frontend_queue_stop(c.q, NULL), 0);
			assert_int_equal(vu_frontend_queue_start(
						 c.q, VU_FRONTEND_POLL_KICKS | VU_FRONTEND_POLL_CALLS),
					 0);
			expect_alive(&c);
		}
		blk_disconnect(&c);
		blk_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_writes_and_flushes),
		cmocka_unit_test(lengths_are_exact),
		cmocka_unit_test(the_serial_number),
		cmocka_unit_test(the_configuration_space),
		cmocka_unit_test(case_31_headers_in_pieces),
		cmocka_unit_test(case_31_headers_that_are_too_short),
		cmocka_unit_test(requests_that_make_no_sense),
		cmocka_unit_test(segments_that_make_no_sense),
		cmocka_unit_test(a_read_only_disk),
		cmocka_unit_test(zeroes_and_discards),
		cmocka_unit_test(zeroes_where_the_file_system_has_none),
		cmocka_unit_test(a_long_request_holds_nobody_up),
		cmocka_unit_test(the_write_cache_is_the_drivers),
		cmocka_unit_test(many_in_flight),
		cmocka_unit_test(case_17_a_ring_that_is_to_be_polled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
