/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that a back-end knows, as plain structures: what snapshot.c takes from a device
 * and gives to one, and convert.c writes to an image and reads from it.
 *
 * proto/image.proto says what the members mean.
 */
#ifndef VU_STATE_SNAP_H
#define VU_STATE_SNAP_H

#include "core/packed.h"

#define VU__SNAP_QUEUES_MAX  256u
#define VU__SNAP_REGIONS_MAX 512u
#define VU__SNAP_CONFIG_MAX  256u
#define VU__SNAP_TEXT_MAX    256u	    /* with the terminating zero */
#define VU__SNAP_BLOB_MAX    (1u << 30)
#define VU__SNAP_CHUNK	      (256u << 10) /* of a blob, in one record */
#define VU__SNAP_RING_MAX    32768u
#define VU__SNAP_NOTES_MAX   64u

enum vu__moment { VU__MOMENT_UNKNOWN, VU__MOMENT_STOPPED, VU__MOMENT_RUNNING,
		  VU__MOMENT_HANDED_OVER, VU__MOMENT_COUNT };
enum vu__requests { VU__REQUESTS_UNKNOWN, VU__REQUESTS_DRAINED, VU__REQUESTS_IN_FLIGHT,
		    VU__REQUESTS_COUNT };

struct vu__snap_file {
	uint64_t device;
	uint64_t inode;
	uint64_t size;
	uint64_t page_size;
	uint32_t seals;
	char name[VU__SNAP_TEXT_MAX];
};

struct vu__snap_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uaddr;
	uint64_t file_offset;
	struct vu__snap_file file;
};

struct vu__snap_notifier {
	bool present;
	uint64_t eventfd_id;
	uint64_t count;
};

struct vu__snap_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags; /* VRING_DESC_F_ */
	uint16_t reserved; /* 0 */
};

struct vu__snap_queue {
	uint32_t index;
	uint32_t size;
	bool packed;
	bool started;
	bool enabled;
	bool has_addresses;
	uint64_t descriptors, driver, device, log;
	uint32_t flags;
	uint16_t last_avail;
	uint16_t used;
	bool avail_wrap, used_wrap;
	uint16_t signalled_used;
	bool signalled_used_valid;
	bool notification;
	bool in_order;
	struct vu__snap_notifier kick, call, err;
	char broken[VU__SNAP_TEXT_MAX];
	struct {
		bool present;
		uint16_t avail_index, used_index;
		uint16_t avail_flags, used_flags;
		uint16_t used_event, avail_event;
	} seen;
	uint16_t *heads; /* in flight; buffer ids in a packed ring */
	uint32_t nheads;
	/* A packed ring does not keep them: their chains, one behind the other. */
	struct vu__snap_desc *descs;
	uint32_t ndescs;
};

/* Where a queue is: what VuVirtq says, which for a packed ring has the wrap counter. */
static inline uint16_t vu__snap_avail(const struct vu__snap_queue *q)
{
	return q->last_avail | (q->avail_wrap ? VU__PACKED_WRAP : 0);
}

static inline uint16_t vu__snap_used(const struct vu__snap_queue *q)
{
	return q->used | (q->used_wrap ? VU__PACKED_WRAP : 0);
}

struct vu__snap_shared { /* the inflight region or the dirty log */
	bool present;
	uint64_t size;
	uint64_t file_offset;
	uint32_t queues;     /* inflight region */
	uint32_t queue_size; /* inflight region */
	bool data;	     /* dirty log */
	struct vu__snap_file file;
};

struct vu__snap_note {
	char key[VU__SNAP_TEXT_MAX];
	char value[VU__SNAP_TEXT_MAX];
};

struct vu__snap {
	struct {
		char writer[VU__SNAP_TEXT_MAX];
		char version[VU__SNAP_TEXT_MAX];
		char id[33];
		uint64_t time_ns;
		char host[VU__SNAP_TEXT_MAX];
		uint32_t pid;
		char program[VU__SNAP_TEXT_MAX];
		uint32_t page_size;
		bool big_endian;
		enum vu__moment moment;
		enum vu__requests requests;
	} inventory;
	struct {
		char name[VU__SNAP_TEXT_MAX];
		uint64_t features;
		uint64_t protocol_features;
		uint64_t offered_features;
		uint64_t offered_protocol_features;
		uint32_t status;
		uint32_t max_queues;
		uint8_t config[VU__SNAP_CONFIG_MAX];
		uint32_t config_len;
		bool has_channel;
		char socket[VU__SNAP_TEXT_MAX];
		uint32_t log_reply_size;
	} device;
	struct vu__snap_region *regions;
	uint32_t nregions;
	struct vu__snap_queue *queues; /* in order of index, each once */
	uint32_t nqueues;
	struct vu__snap_shared inflight;
	struct vu__snap_shared log;
	struct {
		bool present;
		char name[VU__SNAP_TEXT_MAX];
		uint32_t version;
		uint8_t *data;
		uint64_t len;
	} blob;
	struct vu__snap_note *notes;
	uint32_t nnotes;
};

/* Bytes of guest memory in it. */
uint64_t vu__snap_memory(const struct vu__snap *s);

/* Releases what @s points to and clears it. */
void vu__snap_release(struct vu__snap *s);

static inline void vu__cleanup_snap(struct vu__snap *s)
{
	vu__snap_release(s);
}
#define VU_CLEANUP_SNAP __attribute__((cleanup(vu__cleanup_snap)))

/*
 * Whether @s makes sense by itself: counts, sizes, indices, rings within the regions,
 * nothing twice.  0; -EINVAL with the reason in @why.
 */
VU_MUST_CHECK int vu__snap_check(const struct vu__snap *s, char *why, size_t why_size);

#endif
