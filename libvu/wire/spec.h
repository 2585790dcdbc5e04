/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user protocol's numbers and payloads, for both ends of a connection, newer
 * than and apart from the public header's.  All fields are in native byte order
 * ("Message specification").
 */
#ifndef VU_WIRE_SPEC_H
#define VU_WIRE_SPEC_H

#include <stdint.h>
#include <linux/vhost.h>

/* "Header": flags. */
#define VU__FLAG_VERSION      0x1u
#define VU__FLAG_VERSION_MASK 0x3u
#define VU__FLAG_REPLY	      0x4u
#define VU__FLAG_NEED_REPLY   0x8u

/* Low byte of a u64 that carries a queue index, and "there is no fd". */
#define VU__VRING_IDX_MASK 0xffu
#define VU__VRING_NOFD	   0x100u

#define VU__MSG_MAX_FDS	    8
#define VU__MSG_MAX_PAYLOAD 4096
#define VU__CONFIG_MAX	    256
#define VU__REGIONS_MAX	    8

/* Virtio feature bits the transport itself looks at. */
enum {
	VU__F_NOTIFY_ON_EMPTY = 24,
	VU__F_LOG_ALL = 26,
	VU__F_INDIRECT_DESC = 28,
	VU__F_EVENT_IDX = 29,
	VU__F_PROTOCOL_FEATURES = 30,
	VU__F_VERSION_1 = 32,
	VU__F_ACCESS_PLATFORM = 33,
	VU__F_RING_PACKED = 34,
};

/* "Protocol features". */
enum {
	VU__PF_NONE = -1,
	VU__PF_MQ = 0,
	VU__PF_LOG_SHMFD = 1,
	VU__PF_RARP = 2,
	VU__PF_REPLY_ACK = 3,
	VU__PF_MTU = 4,
	VU__PF_BACKEND_REQ = 5,
	VU__PF_CROSS_ENDIAN = 6,
	VU__PF_CRYPTO_SESSION = 7,
	VU__PF_PAGEFAULT = 8,
	VU__PF_CONFIG = 9,
	VU__PF_BACKEND_SEND_FD = 10,
	VU__PF_HOST_NOTIFIER = 11,
	VU__PF_INFLIGHT_SHMFD = 12,
	VU__PF_RESET_DEVICE = 13,
	VU__PF_INBAND_NOTIFICATIONS = 14,
	VU__PF_CONFIGURE_MEM_SLOTS = 15,
	VU__PF_STATUS = 16,
	VU__PF_XEN_MMAP = 17,
	VU__PF_SHARED_OBJECT = 18,
	VU__PF_DEVICE_STATE = 19,
	VU__PF_GET_VRING_BASE_INFLIGHT = 20,
	VU__PF_GPA_ADDRESSES = 21,
	VU__PF_SHMEM = 22,
	VU__PF_GET_VRING_BASE_SKIP_DRAIN = 23,
	VU__PF_COUNT
};

struct vu__region_payload {
	uint64_t gpa;
	uint64_t size;
	uint64_t uaddr;
	uint64_t mmap_offset;
};

struct vu__mem_table_payload {
	uint32_t nregions;
	uint32_t padding;
	struct vu__region_payload regions[VU__REGIONS_MAX];
};

struct vu__mem_reg_payload {
	uint64_t padding;
	struct vu__region_payload region;
};

struct vu__log_payload {
	uint64_t size;
	uint64_t offset;
};

struct vu__iotlb_payload {
	uint64_t iova;
	uint64_t size;
	uint64_t uaddr;
	uint8_t perm;
	uint8_t type;
	uint8_t padding[6];
};

struct vu__config_payload {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VU__CONFIG_MAX];
};

#define VU__CONFIG_HEAD 12u

struct vu__area_payload {
	uint64_t u64;
	uint64_t size;
	uint64_t offset;
};

/* 20 bytes are used; the field sends 24 (protocols speak of both). */
struct vu__inflight_payload {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint32_t padding;
};

#define VU__INFLIGHT_USED 20u

struct vu__device_state_payload {
	uint32_t direction;
	uint32_t phase;
};

struct vu__shmem_map_payload {
	uint8_t shmid;
	uint8_t padding[7];
	uint64_t fd_offset;
	uint64_t shm_offset;
	uint64_t len;
	uint64_t flags;
};

struct vu__shmem_config_payload {
	uint32_t nregions;
	uint32_t padding;
	uint64_t sizes[256];
};

union vu__payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr addr;
	struct vu__mem_table_payload mem_table;
	struct vu__mem_reg_payload mem_reg;
	struct vu__log_payload log;
	struct vu__iotlb_payload iotlb;
	struct vu__config_payload config;
	struct vu__area_payload area;
	struct vu__inflight_payload inflight;
	uint8_t uuid[16];
	struct vu__device_state_payload device_state;
	struct vu__shmem_map_payload shmem_map;
	struct vu__shmem_config_payload shmem_config;
	uint8_t raw[VU__MSG_MAX_PAYLOAD];
};

_Static_assert(sizeof(struct vu__mem_table_payload) == 264, "SET_MEM_TABLE payload");
_Static_assert(sizeof(struct vu__mem_reg_payload) == 40, "ADD_MEM_REG payload");
_Static_assert(sizeof(struct vu__iotlb_payload) == 32, "IOTLB payload");
_Static_assert(sizeof(struct vu__config_payload) == 268, "config payload");
_Static_assert(sizeof(struct vu__inflight_payload) == 24, "inflight payload");
_Static_assert(sizeof(struct vu__shmem_map_payload) == 40, "shmem map payload");
_Static_assert(sizeof(struct vu__shmem_config_payload) == 2056, "shmem config payload");
_Static_assert(sizeof(union vu__payload) == VU__MSG_MAX_PAYLOAD, "payload union");

#endif
