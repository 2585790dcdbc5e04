/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the disk says of itself: virtio 1.2 "Block Device", feature bits and device
 * configuration layout.  Control thread.
 */
#include "blk/blk.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>

static uint64_t get_features(VuDev *dev)
{
	struct blk *b = (struct blk *)dev;
	uint64_t f = 1ULL << VIRTIO_BLK_F_SEG_MAX | 1ULL << VIRTIO_BLK_F_GEOMETRY |
		     1ULL << VIRTIO_BLK_F_BLK_SIZE | 1ULL << VIRTIO_BLK_F_TOPOLOGY |
		     1ULL << VIRTIO_BLK_F_FLUSH | 1ULL << VIRTIO_BLK_F_CONFIG_WCE;

	if (b->opt->num_queues > 1)
		f |= 1ULL << VIRTIO_BLK_F_MQ;
	if (b->opt->read_only)
		f |= 1ULL << VIRTIO_BLK_F_RO;
	else
		f |= 1ULL << VIRTIO_BLK_F_DISCARD | 1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
	return f;
}

/*
 * Without FLUSH the driver cannot ask for what it has written to be safe, so every
 * write is ("Device Operation", writethrough); with it, unless the driver wants that.
 */
static void update_writeback(struct blk *b)
{
	bool on = b->wants_cache && b->can_flush;

	b->config.wce = on;
	if (on == b->writeback)
		return;
	__atomic_store_n(&b->writeback, on, __ATOMIC_RELAXED);
	say_verbose(b->opt, "write cache %s", on ? "on" : "off");
}

/*
 * The driver's wish stays until it has another one.  Features are set anew when logging
 * is switched, when the machine goes on after a stop, and by the next driver; QEMU goes
 * on showing that one what the last one wished.
 */
static void set_features(VuDev *dev, uint64_t features)
{
	struct blk *b = (struct blk *)dev;

	b->can_flush = features >> VIRTIO_BLK_F_FLUSH & 1;
	update_writeback(b);
}

static uint64_t get_protocol_features(VuDev *dev)
{
	(void)dev;
	return 1ULL << VHOST_USER_PROTOCOL_F_CONFIG;
}

static int get_config(VuDev *dev, uint8_t *config, uint32_t len)
{
	struct blk *b = (struct blk *)dev;

	memset(config, 0, len);
	memcpy(config, &b->config, len < sizeof(b->config) ? len : sizeof(b->config));
	return 0;
}

/* The driver may write one byte: wce. */
static int set_config(VuDev *dev, const uint8_t *data, uint32_t offset, uint32_t size,
		      uint32_t flags)
{
	struct blk *b = (struct blk *)dev;

	/* The rest of the space is derived from the image; a migration brings the same. */
	if (flags == VHOST_SET_CONFIG_TYPE_MIGRATION)
		return 0;
	if (offset != offsetof(struct virtio_blk_config, wce) || size != 1 || data[0] > 1)
		return -1;
	blk_set_wants_cache(b, data[0]);
	return 0;
}

void blk_set_wants_cache(struct blk *b, bool on)
{
	b->wants_cache = on;
	update_writeback(b);
}

static void set_started(VuDev *dev, int qidx, bool started)
{
	struct blk *b = (struct blk *)dev;

	if (started)
		queue_start(&b->queues[qidx]);
	else
		queue_stop(&b->queues[qidx]);
}

static void prepare(VuDev *dev, int qidx)
{
	(void)queue_prepare(&((struct blk *)dev)->queues[qidx]);
}

static void quiesce(VuDev *dev, int qidx)
{
	pthread_mutex_lock(&((struct blk *)dev)->queues[qidx].lock);
}

static void resume(VuDev *dev, int qidx)
{
	pthread_mutex_unlock(&((struct blk *)dev)->queues[qidx].lock);
}

/* Its thread is kept out. */
static void finish(VuDev *dev, int qidx)
{
	struct queue *q = &((struct blk *)dev)->queues[qidx];

	if (q->running)
		requests_complete(q, false);
}

static void cancel(VuDev *dev, int qidx)
{
	struct queue *q = &((struct blk *)dev)->queues[qidx];

	pthread_mutex_lock(&q->lock);
	if (q->running)
		requests_cancel(q);
	pthread_mutex_unlock(&q->lock);
}

/* Requests go to the file as they come: an order of completion is not promised. */
static bool in_order(VuDev *dev, int qidx)
{
	(void)dev;
	(void)qidx;
	return false;
}

const VuDevIface blk_iface = {
	.get_features = get_features,
	.set_features = set_features,
	.get_protocol_features = get_protocol_features,
	.queue_set_started = set_started,
	.queue_is_processed_in_order = in_order,
	.get_config = get_config,
	.set_config = set_config,
};

const struct vu_ext_ops blk_ext_ops = {
	.size = sizeof(struct vu_ext_ops),
	.quiesce = quiesce,
	.resume = resume,
	.queue_prepare = prepare,
	.adopt = server_adopt,
	.handed_over = server_handed_over,
	.cancel = cancel,
	.finish = finish,
	.state_name = STATE_NAME,
	.state_version = STATE_VERSION,
	.save_state = state_save,
	.load_state = state_load,
};

/* Cylinders of 16 heads and 63 sectors, for software that still asks. */
static void set_geometry(struct virtio_blk_config *c, uint64_t sectors)
{
	uint64_t cylinders = sectors / (16 * 63);

	c->geometry.cylinders = htole16(cylinders > 16383 ? 16383 : cylinders);
	c->geometry.heads = 16;
	c->geometry.sectors = 63;
}

void blk_init_config(struct blk *b)
{
	struct virtio_blk_config *c = &b->config;
	uint64_t sectors = b->image.size / b->opt->block_size * b->opt->block_size >> SECTOR_SHIFT;
	unsigned int per_block = b->opt->block_size / SECTOR_SIZE;
	unsigned int exp = 0;

	memset(c, 0, sizeof(*c));
	b->writeback = 1;
	b->wants_cache = true;
	b->can_flush = true;
	c->capacity = htole64(sectors);
	c->seg_max = htole32(SEG_MAX);
	set_geometry(c, sectors);
	c->blk_size = htole32(b->opt->block_size);
	/* Direct I/O is cheapest in its own unit: say so as the physical block. */
	while (b->image.direct_fd >= 0 && b->opt->block_size << (exp + 1) <= b->image.align)
		exp++;
	c->physical_block_exp = exp;
	c->min_io_size = htole16(1 << exp);
	c->wce = 1;
	c->num_queues = htole16(b->opt->num_queues);
	c->max_discard_sectors = htole32(DISCARD_MAX);
	c->max_discard_seg = htole32(DISCARD_SEGS);
	c->discard_sector_alignment = htole32(per_block << exp);
	c->max_write_zeroes_sectors = htole32(DISCARD_MAX);
	c->max_write_zeroes_seg = htole32(DISCARD_SEGS);
	c->write_zeroes_may_unmap = 1;
}
