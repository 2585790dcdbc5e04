/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State images: there and back, damaged, cut, of other versions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/sys.h"
#include "proto/image.pb-c.h"
#include "tests/lib/states.h"

static char why[200];

static int rounds(int normal)
{
	return getenv("VU_LONG") ? normal * 50 : normal;
}

static uint64_t seed(void)
{
	const char *text = getenv("VU_SEED");
	uint64_t s = text ? strtoull(text, NULL, 0) : 0x5eed;

	print_message("# VU_SEED=0x%llx\n", (unsigned long long)s);
	return s;
}

/* An image of moderate size that has every kind of record. */
static void make_full(struct vu__snap *s)
{
	struct states_rng r = {4711};
	unsigned int heads, descs;

	for (;;) {
		heads = descs = 0;
		states_make(&r, s);
		for (uint32_t i = 0; i < s->nqueues; i++) {
			heads += s->queues[i].packed ? 0 : s->queues[i].nheads;
			descs += s->queues[i].ndescs;
		}
		if (heads && heads < 40 && descs && descs < 40 && s->blob.present && s->blob.len && s->blob.len < 200 &&
		    s->inflight.present && s->log.present && s->nnotes)
			return;
		vu__snap_release(s);
	}
}

static void random_states_come_back(void **state)
{
	struct states_rng r = {seed()};

	(void)state;
	for (int i = 0; i < rounds(2000); i++) {
		struct vu__snap a, b;
		struct states_bytes image, again;
		const char *differs;

		states_make(&r, &a);
		image = states_image(&a);
		if (states_read(image.bytes, image.len, &b, why, sizeof(why)))
			fail_msg("round %d: %s", i, why);
		differs = states_differ(&a, &b);
		if (differs)
			fail_msg("round %d: %s differs", i, differs);
		again = states_image(&b);
		assert_int_equal(again.len, image.len);
		assert_memory_equal(again.bytes, image.bytes, image.len);
		free(image.bytes);
		free(again.bytes);
		vu__snap_release(&a);
		vu__snap_release(&b);
	}
}

/* Whatever is flipped is found: every byte is under a checksum. */
static void every_bit_counts(void **state)
{
	struct vu__snap a, b;
	struct states_bytes image;

	(void)state;
	make_full(&a);
	image = states_image(&a);
	print_message("# %zu bytes\n", image.len);
	for (size_t at = 0; at < image.len; at++) {
		for (int bit = 0; bit < 8; bit++) {
			image.bytes[at] ^= 1 << bit;
			if (!states_read(image.bytes, image.len, &b, why, sizeof(why)))
				fail_msg("byte %zu, bit %d: not noticed", at, bit);
			assert_true(why[0]);
			assert_null(b.queues);
			image.bytes[at] ^= 1 << bit;
		}
	}
	free(image.bytes);
	vu__snap_release(&a);
}

static void every_cut_is_found(void **state)
{
	struct vu__snap a, b;
	struct states_bytes image;
	uint8_t *copy;

	(void)state;
	make_full(&a);
	image = states_image(&a);
	for (size_t len = 0; len < image.len; len++) {
		/* In a block of just that size, for the sanitizer to see a byte too far. */
		copy = malloc(len + !len);
		memcpy(copy, image.bytes, len);
		assert_int_equal(states_read(copy, len, &b, why, sizeof(why)), -EBADMSG);
		assert_true(why[0]);
		free(copy);
	}
	states_sink(&image, "", 1);
	assert_int_equal(states_read(image.bytes, image.len, &b, why, sizeof(why)), -EBADMSG);
	assert_string_equal(why, "something follows its end");
	free(image.bytes);
	vu__snap_release(&a);
}

/* A pipe gives what it has. */
static ssize_t one_byte(void *opaque, void *bytes, size_t len)
{
	return vu__image_read_bytes(opaque, bytes, len ? 1 : 0);
}

static void trickles_in(void **state)
{
	struct vu__snap a, b;
	struct states_bytes image;
	struct vu__image_bytes source;
	struct vu__image_reader r = {.read = one_byte, .opaque = &source};

	(void)state;
	make_full(&a);
	image = states_image(&a);
	source = (struct vu__image_bytes){.bytes = image.bytes, .len = image.len};
	assert_int_equal(vu__snap_read(&b, &r), 0);
	assert_null(states_differ(&a, &b));
	vu__image_close(&r);
	vu__snap_release(&b);
	vu__snap_release(&a);
	free(image.bytes);
}

static ssize_t fails_later(void *opaque, void *bytes, size_t len)
{
	struct vu__image_bytes *b = opaque;

	return b->at > 100 ? -EIO : vu__image_read_bytes(opaque, bytes, len);
}

static void a_source_may_fail(void **state)
{
	struct vu__snap a, b;
	struct states_bytes image;
	struct vu__image_bytes source;
	struct vu__image_reader r = {.read = fails_later, .opaque = &source};

	(void)state;
	make_full(&a);
	image = states_image(&a);
	source = (struct vu__image_bytes){.bytes = image.bytes, .len = image.len};
	assert_int_equal(vu__snap_read(&b, &r), -EIO);
	assert_non_null(strstr(r.why, "Input/output error"));
	vu__image_close(&r);
	vu__snap_release(&a);
	free(image.bytes);
}

/* --- images with something else in them --- */

struct forge {
	struct states_bytes file;
	struct vu__image_writer w;
};

static void forge_begin(struct forge *f, uint64_t incompat)
{
	memset(f, 0, sizeof(*f));
	f->w.write = states_sink;
	f->w.opaque = &f->file;
	assert_int_equal(vu__image_begin(&f->w, incompat, 0), 0);
}

static void forge_put(struct forge *f, unsigned int type, unsigned int flags,
		      const ProtobufCMessage *m)
{
	uint8_t buf[65536];
	size_t len = m ? protobuf_c_message_pack(m, buf) : 0;

	assert_int_equal(vu__image_put(&f->w, type, flags, buf, len), 0);
}

static void forge_basics(struct forge *f, uint32_t queues, uint32_t max_queues)
{
	Vu__Image__Inventory inventory = VU__IMAGE__INVENTORY__INIT;
	Vu__Image__Device device = VU__IMAGE__DEVICE__INIT;
	Vu__Image__Memory memory = VU__IMAGE__MEMORY__INIT;

	inventory.queues = queues;
	device.max_queues = max_queues;
	forge_put(f, VU__REC_INVENTORY, VU__REC_REQUIRED, &inventory.base);
	forge_put(f, VU__REC_DEVICE, VU__REC_REQUIRED, &device.base);
	forge_put(f, VU__REC_MEMORY, VU__REC_REQUIRED, &memory.base);
}

static int forge_read(struct forge *f)
{
	struct vu__snap s;
	int ret;

	assert_int_equal(vu__image_end(&f->w), 0);
	ret = states_read(f->file.bytes, f->file.len, &s, why, sizeof(why));
	free(f->file.bytes);
	vu__snap_release(&s);
	return ret;
}

static void unknown_records(void **state)
{
	struct forge f;

	(void)state;
	forge_begin(&f, 0);
	forge_basics(&f, 0, 1);
	forge_put(&f, 500, 0, NULL);
	assert_int_equal(forge_read(&f), 0);
	forge_begin(&f, 0);
	forge_basics(&f, 0, 1);
	forge_put(&f, 500, VU__REC_REQUIRED, NULL);
	assert_int_equal(forge_read(&f), -EPROTONOSUPPORT);
	assert_non_null(strstr(why, "type 500"));
	/* Not known and not asked for: too early is still too early. */
	forge_begin(&f, 0);
	forge_put(&f, 0, 0, NULL);
	forge_basics(&f, 0, 1);
	assert_int_equal(forge_read(&f), 0);
}

/* A later version's feature is refused by the name which that version wrote. */
static void unknown_features(void **state)
{
	Vu__Image__Inventory inventory = VU__IMAGE__INVENTORY__INIT;
	Vu__Image__Inventory__Feature feature = VU__IMAGE__INVENTORY__FEATURE__INIT;
	Vu__Image__Inventory__Feature *list[] = {&feature};
	struct forge f;

	(void)state;
	feature.bit = 40;
	feature.name = "time-travel";
	inventory.features = list;
	inventory.n_features = 1;
	forge_begin(&f, 1ULL << 40);
	forge_put(&f, VU__REC_INVENTORY, VU__REC_REQUIRED, &inventory.base);
	assert_int_equal(forge_read(&f), -EPROTONOSUPPORT);
	assert_string_equal(why, "it uses 'time-travel' (feature 40), which this version does "
				 "not know");
	inventory.n_features = 0;
	forge_begin(&f, 1ULL << 41);
	forge_put(&f, VU__REC_INVENTORY, VU__REC_REQUIRED, &inventory.base);
	assert_int_equal(forge_read(&f), -EPROTONOSUPPORT);
	assert_non_null(strstr(why, "feature 41"));
}

static void compressed_without_expander(void **state)
{
	struct forge f;

	(void)state;
	forge_begin(&f, VU_BIT(VU__IMAGE_F_ZSTD));
	forge_put(&f, VU__REC_INVENTORY, VU__REC_REQUIRED | VU__REC_ZSTD, NULL);
	assert_int_equal(forge_read(&f), -ENOTSUP);
	assert_non_null(strstr(why, "compressed"));
}

static void twice_and_missing(void **state)
{
	Vu__Image__Queue queue = VU__IMAGE__QUEUE__INIT;
	Vu__Image__Device device = VU__IMAGE__DEVICE__INIT;
	struct forge f;

	(void)state;
	forge_begin(&f, 0);
	forge_basics(&f, 0, 1);
	forge_put(&f, VU__REC_DEVICE, 0, &device.base);
	assert_int_equal(forge_read(&f), -EINVAL);
	assert_string_equal(why, "a second device record");

	forge_begin(&f, 0);
	forge_basics(&f, 1, 1);
	assert_int_equal(forge_read(&f), -EINVAL);
	assert_non_null(strstr(why, "0 of 1 queues"));

	forge_begin(&f, 0);
	forge_basics(&f, 1, 2);
	forge_put(&f, VU__REC_QUEUE, 0, &queue.base);
	forge_put(&f, VU__REC_QUEUE, 0, &queue.base);
	assert_int_equal(forge_read(&f), -EINVAL);
	assert_string_equal(why, "more queues than the 1 announced");

	forge_begin(&f, 0);
	forge_basics(&f, 2, 2);
	forge_put(&f, VU__REC_QUEUE, 0, &queue.base);
	forge_put(&f, VU__REC_QUEUE, 0, &queue.base);
	assert_int_equal(forge_read(&f), -EINVAL);
	assert_string_equal(why, "queue 0 comes after queue 0");

	forge_begin(&f, 0);
	forge_put(&f, VU__REC_DEVICE, 0, &device.base);
	assert_int_equal(forge_read(&f), -EINVAL);
	assert_non_null(strstr(why, "not an inventory"));

	forge_begin(&f, 0);
	assert_int_equal(forge_read(&f), -EINVAL);
	assert_string_equal(why, "it has no inventory record");
}

/* A length that lies: nothing of that size is ever allocated. */
static size_t largest;

static void *watch_calloc(size_t n, size_t size)
{
	largest = VU_MAX(largest, n * size);
	return calloc(n, size);
}

static void lengths_are_checked_first(void **state)
{
	struct vu__sys real = vu__sys;
	struct forge f;
	struct vu__snap s;
	uint32_t huge[] = {0xffffffff, VU__IMAGE_PAYLOAD_MAX + 1, VU__IMAGE_PAYLOAD_MAX};

	(void)state;
	vu__sys.calloc = watch_calloc;
	for (size_t i = 0; i < VU_ARRAY_SIZE(huge); i++) {
		largest = 0;
		forge_begin(&f, 0);
		forge_basics(&f, 0, 1);
		memcpy(f.file.bytes + VU__IMAGE_HEADER + 4, &huge[i], 4);
		assert_int_equal(vu__image_end(&f.w), 0);
		assert_int_equal(states_read(f.file.bytes, f.file.len, &s, why, sizeof(why)),
				 -EBADMSG);
		assert_true(largest < 65536);
		free(f.file.bytes);
	}
	vu__sys = real;
}

static void other_versions(void **state)
{
	struct forge f;
	struct vu__snap s;
	uint32_t version = 2, crc;

	(void)state;
	forge_begin(&f, 0);
	forge_basics(&f, 0, 1);
	assert_int_equal(vu__image_end(&f.w), 0);
	memcpy(f.file.bytes + 8, &version, 4);
	crc = vu__crc32c(0, f.file.bytes, 36);
	memcpy(f.file.bytes + 36, &crc, 4);
	assert_int_equal(states_read(f.file.bytes, f.file.len, &s, why, sizeof(why)),
			 -EPROTONOSUPPORT);
	assert_string_equal(why, "format version 2; this reads version 1");
	free(f.file.bytes);
	assert_int_equal(states_read((const uint8_t *)"#!/bin/sh\n", 10, &s, why, sizeof(why)),
			 -EBADMSG);
	assert_string_equal(why, "not a state image");
}

/* --- what makes no sense --- */

struct spoil {
	const char *want; /* in the reason */
	void (*spoil)(struct vu__snap *s, struct vu__snap_queue *q);
};

static void no_size(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)q;
	s->regions[0].size = 0;
}

static void wrapping(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)q;
	s->regions[1].gpa = UINT64_MAX - 4095;
}

static void overlapping(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)q;
	s->regions[1].gpa = s->regions[0].gpa;
}

static void outside(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)s;
	q->device = 0x10;
}

static void at_the_border(struct vu__snap *s, struct vu__snap_queue *q)
{
	q->descriptors = s->regions[0].uaddr + s->regions[0].size - 16 * q->size + 16;
}

static void no_power(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)s;
	q->size = 6;
}

static void too_large(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)s;
	q->size = 65536;
}

static void not_its_queue(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)q;
	s->device.max_queues = 1;
}

static void head_twice(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)s;
	q->heads[1] = q->heads[0];
}

static void head_outside(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)s;
	q->heads[1] = q->size;
}

static void never_popped(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)s;
	q->last_avail--;
}

static void stopped(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)s;
	q->started = false;
}

static void empty_log(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)q;
	s->log.present = true;
	s->log.size = 0;
}

static void empty_inflight(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)q;
	s->inflight.present = true;
	s->inflight.size = 2;
	s->inflight.file_offset = UINT64_MAX;
}

static void packed_index(struct vu__snap *s, struct vu__snap_queue *q)
{
	(void)s;
	q->packed = true;
	q->nheads = 0;
	q->used = q->size;
}

static const struct spoil spoils[] = {
	{"region 0", no_size},
	{"region 1", wrapping},
	{"regions 0 and 1 overlap", overlapping},
	{"its rings are not in the memory regions", outside},
	{"its rings are not in the memory regions", at_the_border},
	{"a ring of 6 entries", no_power},
	{"a ring of 65536 entries", too_large},
	{"queue 1 of 1", not_its_queue},
	{"request 1 in flight is head 3", head_twice},
	{"request 1 in flight is head 8", head_outside},
	{"2 in flight", never_popped},
	{"but it is stopped", stopped},
	{"a dirty log of 0 bytes", empty_log},
	{"an inflight region of 2 bytes", empty_inflight},
	{"indices 102 and 8", packed_index},
};

static void make_sane(struct vu__snap *s)
{
	struct vu__snap_queue *q;

	memset(s, 0, sizeof(*s));
	s->nregions = 2;
	s->regions = calloc(2, sizeof(*s->regions));
	s->regions[0] = (struct vu__snap_region){0, 1 << 20, 0x7f0000000000, 0, {0}};
	s->regions[1] = (struct vu__snap_region){1 << 20, 1 << 20, 0x7e0000000000, 0, {0}};
	s->device.max_queues = 2;
	s->nqueues = 1;
	s->queues = q = calloc(1, sizeof(*q));
	q->index = 1;
	q->size = 8;
	q->started = q->has_addresses = true;
	q->descriptors = 0x7f0000000000;
	q->driver = 0x7f0000001000;
	q->device = 0x7f0000002000;
	q->used = 100;
	q->last_avail = 102;
	q->nheads = 2;
	q->heads = calloc(2, sizeof(*q->heads));
	q->heads[0] = 3;
	q->heads[1] = 7;
}

static void senseless_states(void **state)
{
	struct vu__snap s, back;

	(void)state;
	make_sane(&s);
	assert_int_equal(vu__snap_check(&s, why, sizeof(why)), 0);
	/* What was lost before a restart is neither here nor there. */
	s.queues[0].last_avail++;
	assert_int_equal(vu__snap_check(&s, why, sizeof(why)), 0);
	vu__snap_release(&s);
	for (size_t i = 0; i < VU_ARRAY_SIZE(spoils); i++) {
		struct states_bytes image;

		make_sane(&s);
		spoils[i].spoil(&s, s.queues);
		image = states_image(&s);
		assert_int_equal(states_read(image.bytes, image.len, &back, why, sizeof(why)),
				 -EINVAL);
		if (!strstr(why, spoils[i].want))
			fail_msg("%zu: '%s' is not '%s'", i, why, spoils[i].want);
		free(image.bytes);
		vu__snap_release(&s);
	}
}

/* Memory may run out anywhere: an error, and nothing is left behind. */
static int allocations_left;

static void *failing_calloc(size_t n, size_t size)
{
	return allocations_left-- > 0 ? calloc(n, size) : NULL;
}

static void out_of_memory(void **state)
{
	struct vu__sys real = vu__sys;
	struct vu__snap a, b;
	struct states_bytes image;
	int ret = -ENOMEM, n;

	(void)state;
	make_full(&a);
	image = states_image(&a);
	vu__sys.calloc = failing_calloc;
	for (n = 0; ret; n++) {
		struct states_bytes out = {0};
		struct vu__image_writer w = {.write = states_sink, .opaque = &out};

		allocations_left = n;
		ret = states_read(image.bytes, image.len, &b, why, sizeof(why));
		if (ret) {
			assert_int_equal(ret, -ENOMEM);
			assert_null(b.queues);
		}
		allocations_left = n;
		if (vu__snap_write(&a, &w))
			assert_true(allocations_left < 0);
		free(out.bytes);
	}
	vu__sys = real;
	assert_true(n > 4);
	vu__snap_release(&b);
	vu__snap_release(&a);
	free(image.bytes);
}

/* --- images that earlier versions wrote --- */

static uint8_t *load_file(const char *name, size_t *len)
{
	const char *top = getenv("top_srcdir");
	char path[512];
	uint8_t *bytes = malloc(1 << 20);
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/data/%s", top ? top : ".", name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	*len = fread(bytes, 1, 1 << 20, f);
	fclose(f);
	return bytes;
}

static void version_1(void **state)
{
	struct vu__snap s;
	struct vu__snap_queue *q;
	size_t len;
	uint8_t *bytes = load_file("image-1.vui", &len);

	(void)state;
	if (states_read(bytes, len, &s, why, sizeof(why)))
		fail_msg("%s", why);
	free(bytes);
	assert_string_equal(s.inventory.writer, "libvu");
	assert_string_equal(s.inventory.version, "0.1.0");
	assert_int_equal(s.inventory.moment, VU__MOMENT_STOPPED);
	assert_int_equal(s.inventory.requests, VU__REQUESTS_IN_FLIGHT);
	assert_int_equal(s.inventory.time_ns, 1700000000123456789);
	assert_string_equal(s.device.name, "blk");
	assert_int_equal(s.device.features, 0x130000000);
	assert_int_equal(s.device.max_queues, 2);
	assert_int_equal(s.device.config_len, 60);
	assert_int_equal(s.device.config[59], 59);
	assert_int_equal(s.nregions, 2);
	assert_int_equal(s.regions[1].gpa, 0x100000000);
	assert_string_equal(s.regions[1].file.name, "/memfd:mem (deleted)");
	assert_int_equal(s.nqueues, 2);
	q = &s.queues[0];
	assert_int_equal(q->size, 128);
	assert_true(q->started && q->enabled && !q->packed && q->kick.present);
	assert_int_equal(q->kick.eventfd_id, 36);
	assert_int_equal(q->last_avail, 1);
	assert_int_equal(q->used, 65534);
	assert_int_equal(q->nheads, 3);
	assert_int_equal(q->heads[2], 127);
	assert_int_equal(q->seen.avail_index, 2);
	assert_false(s.queues[1].has_addresses);
	assert_true(s.inflight.present);
	assert_int_equal(s.inflight.queue_size, 128);
	assert_true(s.log.present && s.log.data);
	assert_string_equal(s.blob.name, "vu-blk");
	assert_int_equal(s.blob.version, 1);
	assert_int_equal(s.blob.len, 5);
	assert_memory_equal(s.blob.data, "state", 5);
	assert_int_equal(s.nnotes, 1);
	assert_string_equal(s.notes[0].value, "web-1");
	vu__snap_release(&s);
}

/* With what a packed ring has in flight. */
static void version_2(void **state)
{
	struct vu__snap s;
	struct vu__snap_queue *q;
	size_t len;
	uint8_t *bytes = load_file("image-2.vui", &len);

	(void)state;
	if (states_read(bytes, len, &s, why, sizeof(why)))
		fail_msg("%s", why);
	free(bytes);
	assert_int_equal(s.nqueues, 2);
	q = &s.queues[0];
	assert_true(q->packed && q->started);
	assert_int_equal(q->size, 100);
	assert_int_equal(vu__snap_avail(q), 2);
	assert_int_equal(vu__snap_used(q), 98 | 0x8000);
	assert_int_equal(q->nheads, 2);
	assert_int_equal(q->heads[1], 65535);
	assert_int_equal(q->ndescs, 4);
	assert_int_equal(q->descs[1].addr, 0x10003000);
	assert_int_equal(q->descs[1].len, 4096);
	assert_int_equal(q->descs[1].flags, 3);
	assert_int_equal(q->descs[3].addr, 0x100004000);
	assert_int_equal(q->descs[3].flags, 4);
	assert_true(s.queues[1].packed);
	assert_int_equal(s.queues[1].ndescs, 0);
	vu__snap_release(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_states_come_back),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(every_cut_is_found),
		cmocka_unit_test(trickles_in),
		cmocka_unit_test(a_source_may_fail),
		cmocka_unit_test(unknown_records),
		cmocka_unit_test(unknown_features),
		cmocka_unit_test(compressed_without_expander),
		cmocka_unit_test(twice_and_missing),
		cmocka_unit_test(lengths_are_checked_first),
		cmocka_unit_test(other_versions),
		cmocka_unit_test(senseless_states),
		cmocka_unit_test(out_of_memory),
		cmocka_unit_test(version_1),
		cmocka_unit_test(version_2),
	};

	(void)argc;
	(void)argv;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
