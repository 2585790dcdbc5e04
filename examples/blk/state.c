/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a migration must bring beside queues and memory: whether the driver has switched
 * the write cache off, and, to be compared, what disk it believes to have.  Control
 * thread.
 */
#include "blk/blk.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct state {
	uint64_t sectors;
	uint32_t block_size;
	uint8_t writeback;
	uint8_t padding[3];
};

int state_save(VuDev *dev, void **data, size_t *len)
{
	const struct blk *b = (struct blk *)dev;
	struct state *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->sectors = b->config.capacity;
	s->block_size = b->config.blk_size;
	s->writeback = b->wants_cache;
	*data = s;
	*len = sizeof(*s);
	return 0;
}

int state_load(VuDev *dev, uint32_t version, const void *data, size_t len)
{
	struct blk *b = (struct blk *)dev;
	struct state s;

	if (version != STATE_VERSION || len != sizeof(s)) {
		say("a state of version %u and %zu bytes, this is version %d", version, len,
		    STATE_VERSION);
		return -EPROTO;
	}
	memcpy(&s, data, sizeof(s));
	if (s.sectors != b->config.capacity || s.block_size != b->config.blk_size ||
	    s.writeback > 1) {
		say("the state is of a disk of %llu sectors in blocks of %u, this one has %llu "
		    "in blocks of %u", (unsigned long long)le64toh(s.sectors),
		    le32toh(s.block_size), (unsigned long long)le64toh(b->config.capacity),
		    le32toh(b->config.blk_size));
		return -EINVAL;
	}
	blk_set_wants_cache(b, s.writeback);
	return 0;
}
