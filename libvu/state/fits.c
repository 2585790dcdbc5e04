/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a device could become what an image says.  Control thread. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "state/restore.h"
#include "state/snapshot.h"
#include "wire/msg.h"

/* Bit 30 is the transport's word, not the device's. */
static int check_features(const struct vu__snap *s, struct vu__dev *d)
{
	uint64_t lacks = s->device.features & ~vu__offered_features(d);
	uint64_t lacks_protocol =
		s->device.protocol_features & ~vu__offered_protocol_features(d);
	int bit;

	if (lacks)
		return vu__refuse(d, -ENOTSUP, "the image uses features 0x%" PRIx64
				  " that this device does not have", lacks);
	if (!lacks_protocol)
		return 0;
	bit = __builtin_ctzll(lacks_protocol);
	return vu__refuse(d, -ENOTSUP, "the image uses protocol feature %s, which this device "
			  "does not have",
			  bit < VU__PF_COUNT ? vu__protocol_feature_name(bit) : "beyond all known");
}

static int check_queues(const struct vu__snap *s, struct vu__dev *d)
{
	for (uint32_t i = 0; i < s->nqueues; i++) {
		const struct vu__snap_queue *q = &s->queues[i];

		if (q->index >= d->pub->max_queues)
			return vu__refuse(d, -ENOSPC, "the image has a queue %u, this device %u "
					  "queues", q->index, d->pub->max_queues);
		if (q->packed != vu__has_bit(s->device.features, VU__F_RING_PACKED))
			return vu__refuse(d, -EINVAL, "queue %u is %s, the image's features say "
					  "otherwise", q->index, q->packed ? "packed" : "split");
	}
	return 0;
}

/* A device that takes its state says itself whether it fits its configuration. */
static int check_config(const struct vu__snap *s, struct vu__dev *d)
{
	uint8_t config[VU__SNAP_CONFIG_MAX];
	unsigned int len;

	if (s->blob.present || !s->device.config_len)
		return 0;
	len = vu__snapshot_config(d, config);
	for (unsigned int i = 0; i < VU_MIN(len, s->device.config_len); i++) {
		if (config[i] != s->device.config[i])
			return vu__refuse(d, -EINVAL, "the configuration differs at byte %u: "
					  "0x%02x in the image, 0x%02x here", i,
					  s->device.config[i], config[i]);
	}
	return 0;
}

static int check_blob(const struct vu__snap *s, struct vu__dev *d)
{
	const struct vu_ext_ops *ext = &d->ext;

	/* One of before the device had any: it is as it was then. */
	if (!s->blob.present)
		return 0;
	if (!ext->state_name || !ext->load_state)
		return vu__refuse(d, -ENOTSUP, "the image has state of '%s', this device takes "
				  "none", s->blob.name);
	if (strcmp(ext->state_name, s->blob.name))
		return vu__refuse(d, -EINVAL, "the image has state of '%s', this device is '%s'",
				  s->blob.name, ext->state_name);
	return 0;
}

static int check_host(const struct vu__snap *s, struct vu__dev *d, bool force)
{
	if (s->inventory.big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__))
		return vu__refuse(d, -ENOTSUP, "the image is of a host of the other byte order");
	if (!force && strcmp(s->device.name, vu__snapshot_name(d)))
		return vu__refuse(d, -EINVAL, "the image is of '%s', this is '%s'",
				  s->device.name, vu__snapshot_name(d));
	return 0;
}

int vu__snap_fits(const struct vu__snap *s, struct vu__dev *d, bool force)
{
	int ret = check_host(s, d, force);

	if (!ret)
		ret = check_features(s, d);
	if (!ret)
		ret = check_queues(s, d);
	if (!ret)
		ret = check_config(s, d);
	return ret ? ret : check_blob(s, d);
}

int vu__snap_load_blob(const struct vu__snap *s, struct vu__dev *d)
{
	int ret;

	if (!s->blob.present)
		return 0;
	ret = d->ext.load_state(d->pub, s->blob.version, s->blob.data, s->blob.len);
	return ret ? vu__refuse(d, ret, "the device refuses its state of version %u: %s",
				s->blob.version, strerror(-ret)) : 0;
}
