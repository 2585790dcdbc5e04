/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of virtio features, by their numbers in the specification.  Pure; any thread. */
#include <linux/virtio_ids.h>

#include "vu-top/view.h"

static const struct top_bit_name general[] = {
	{24, "NOTIFY_ON_EMPTY"},  {26, "LOG_ALL"},	   {27, "ANY_LAYOUT"},
	{28, "INDIRECT_DESC"},	  {29, "EVENT_IDX"},	   {30, "PROTOCOL_FEATURES"},
	{32, "VERSION_1"},	  {33, "ACCESS_PLATFORM"}, {34, "RING_PACKED"},
	{35, "IN_ORDER"},	  {36, "ORDER_PLATFORM"},  {37, "SR_IOV"},
	{38, "NOTIFICATION_DATA"}, {39, "NOTIF_CONFIG_DATA"}, {40, "RING_RESET"}};

static const struct top_bit_name net[] = {
	{0, "CSUM"},	    {1, "GUEST_CSUM"},	{2, "CTRL_GUEST_OFFLOADS"}, {3, "MTU"},
	{5, "MAC"},	    {7, "GUEST_TSO4"},	{8, "GUEST_TSO6"},	    {9, "GUEST_ECN"},
	{10, "GUEST_UFO"},  {11, "HOST_TSO4"},	{12, "HOST_TSO6"},	    {13, "HOST_ECN"},
	{14, "HOST_UFO"},   {15, "MRG_RXBUF"},	{16, "STATUS"},		    {17, "CTRL_VQ"},
	{18, "CTRL_RX"},    {19, "CTRL_VLAN"},	{21, "GUEST_ANNOUNCE"},	    {22, "MQ"},
	{23, "CTRL_MAC_ADDR"}, {52, "GUEST_USO4"}, {53, "GUEST_USO6"},	    {54, "HOST_USO"},
	{56, "GUEST_HDRLEN"}, {57, "HASH_REPORT"}, {59, "RSC_EXT"},	    {60, "RSS"},
	{61, "HASH_TUNNEL"}, {62, "STANDBY"},	{63, "SPEED_DUPLEX"}};

static const struct top_bit_name blk[] = {
	{0, "BARRIER"}, {1, "SIZE_MAX"},    {2, "SEG_MAX"},	{4, "GEOMETRY"},
	{5, "RO"},	{6, "BLK_SIZE"},    {7, "SCSI"},	{9, "FLUSH"},
	{10, "TOPOLOGY"}, {11, "CONFIG_WCE"}, {12, "MQ"},	{13, "DISCARD"},
	{14, "WRITE_ZEROES"}, {15, "LIFETIME"}, {16, "SECURE_ERASE"}, {17, "ZONED"}};

static const struct top_bit_name scsi[] = {
	{0, "INOUT"}, {1, "HOTPLUG"}, {2, "CHANGE"}, {3, "T10_PI"}};

static const struct top_bit_name fs[] = {{0, "NOTIFICATION"}};

static const struct top_bit_name vsock[] = {{0, "STREAM"}, {1, "SEQPACKET"}};

static const struct top_bit_name gpu[] = {
	{0, "VIRGL"}, {1, "EDID"}, {2, "RESOURCE_UUID"}, {3, "RESOURCE_BLOB"}, {4, "CONTEXT_INIT"}};

static const struct {
	uint32_t id;
	const struct top_bit_name *names;
	size_t n;
} types[] = {
	{VIRTIO_ID_NET, net, VU_ARRAY_SIZE(net)},     {VIRTIO_ID_BLOCK, blk, VU_ARRAY_SIZE(blk)},
	{VIRTIO_ID_SCSI, scsi, VU_ARRAY_SIZE(scsi)},  {VIRTIO_ID_FS, fs, VU_ARRAY_SIZE(fs)},
	{VIRTIO_ID_VSOCK, vsock, VU_ARRAY_SIZE(vsock)}, {VIRTIO_ID_GPU, gpu, VU_ARRAY_SIZE(gpu)}};

static const char *find(const struct top_bit_name *names, size_t n, unsigned int bit)
{
	for (size_t i = 0; i < n; i++) {
		if (names[i].bit == bit)
			return names[i].name;
	}
	return NULL;
}

const char *top_feature_name(uint32_t virtio_id, unsigned int bit)
{
	for (size_t i = 0; i < VU_ARRAY_SIZE(types); i++) {
		const char *name = types[i].id == virtio_id
					   ? find(types[i].names, types[i].n, bit)
					   : NULL;

		if (name)
			return name;
	}
	return find(general, VU_ARRAY_SIZE(general), bit);
}
