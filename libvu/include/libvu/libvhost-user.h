/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvhost-user programming interface, as libvu offers it.
 *
 * A vhost-user back-end is a process that implements a virtio device for a
 * virtual machine it does not run itself.  The machine monitor (the front-end)
 * talks to it over a Unix socket, shares the guest's memory with it and passes
 * eventfds for notifications.  With this header a device fills in a VuDevIface,
 * calls vu_init() on a connected socket, calls vu_dispatch() whenever that socket
 * is readable, and pops and pushes virtqueue elements.
 *
 * Programs written for libvhost-user compile against this header unmodified; the
 * structures keep their members in order, VuDev has one opaque pointer more at its
 * end.  What libvu adds is in headers of its own: <libvu/ext.h>, <libvu/log.h>,
 * <libvu/frontend.h>.
 *
 * Threads.  A VuDev belongs to one thread at a time: the one that calls
 * vu_dispatch() and runs the callbacks of set_watch (the control thread).  The
 * vu_queue_*() calls of one queue may run in a thread of that queue's own, one
 * thread a queue, if the device sets the quiesce and resume callbacks of
 * <libvu/ext.h>, or otherwise keeps that thread out of these calls while
 * vu_dispatch() runs.  Different VuDev are independent.
 *
 * Errors.  Nothing here ends the process.  Bad input from the front-end ends the
 * connection (vu_dispatch() returns false, the panic callback is called once with a
 * text for a person); bad input from the guest breaks the queue it came on, which
 * from then on looks empty, is reported to the log callback and on the queue's
 * error eventfd, and works again after the front-end has restarted it.
 *
 * Clauses named below are section titles of the vhost-user protocol document
 * ("Vhost-user Protocol", QEMU) and of the virtio specification 1.2.
 */
#ifndef LIBVU_LIBVHOST_USER_H
#define LIBVU_LIBVHOST_USER_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#if defined(__cplusplus) && !defined(VIRTIO_RING_NO_LEGACY)
/* The legacy helpers of that header assign void pointers, which is not C++. */
#define VIRTIO_RING_NO_LEGACY
#include <linux/virtio_ring.h>
#undef VIRTIO_RING_NO_LEGACY
#endif
#include <linux/virtio_ring.h>
#include <linux/vhost.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The bit of the virtio feature word that says protocol features are understood. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

/* Bytes of guest memory that one bit of the dirty log stands for. */
#define VHOST_LOG_PAGE 4096

/* The most descriptors a chain may have, indirect ones included. */
#define VIRTQUEUE_MAX_SIZE 1024

/* The most regions VHOST_USER_SET_MEM_TABLE can carry. */
#define VHOST_MEMORY_BASELINE_NREGIONS 8

/*
 * How many regions VuDev.regions shows.  The library itself takes more (see
 * vu_get_region_count() in <libvu/ext.h>); those beyond are not shown there.
 */
#define VHOST_USER_MAX_RAM_SLOTS 32

/* Who changes the configuration space: payload flags of VHOST_USER_SET_CONFIG. */
typedef enum VhostSetConfigType {
	VHOST_SET_CONFIG_TYPE_MASTER = 0,
	VHOST_SET_CONFIG_TYPE_FRONTEND = 0,
	VHOST_SET_CONFIG_TYPE_MIGRATION = 1,
} VhostSetConfigType;

/* The largest device configuration space, in bytes. */
#define VHOST_USER_MAX_CONFIG_SIZE 256

/* Bit numbers; "Protocol features". */
enum VhostUserProtocolFeature {
	VHOST_USER_PROTOCOL_F_MQ = 0,
	VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_USER_PROTOCOL_F_RARP = 2,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_F_NET_MTU = 4,
	VHOST_USER_PROTOCOL_F_SLAVE_REQ = 5,
	VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
	VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
	VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
	VHOST_USER_PROTOCOL_F_CONFIG = 9,
	VHOST_USER_PROTOCOL_F_SLAVE_SEND_FD = 10,
	VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
	VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PROTOCOL_F_MAX
};

#define VHOST_USER_PROTOCOL_FEATURE_MASK ((1ULL << VHOST_USER_PROTOCOL_F_MAX) - 1)

/* "Front-end message types". */
typedef enum VhostUserRequest {
	VHOST_USER_NONE = 0,
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_SLAVE_REQ_FD = 21,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_IOTLB_MSG = 22,
	VHOST_USER_SET_VRING_ENDIAN = 23,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_CREATE_CRYPTO_SESSION = 26,
	VHOST_USER_CLOSE_CRYPTO_SESSION = 27,
	VHOST_USER_POSTCOPY_ADVISE = 28,
	VHOST_USER_POSTCOPY_LISTEN = 29,
	VHOST_USER_POSTCOPY_END = 30,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_GPU_SET_SOCKET = 33,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_VRING_KICK = 35,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_MAX
} VhostUserRequest;

/* "Back-end message types". */
typedef enum VhostUserSlaveRequest {
	VHOST_USER_SLAVE_NONE = 0,
	VHOST_USER_BACKEND_NONE = 0,
	VHOST_USER_SLAVE_IOTLB_MSG = 1,
	VHOST_USER_BACKEND_IOTLB_MSG = 1,
	VHOST_USER_SLAVE_CONFIG_CHANGE_MSG = 2,
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
	VHOST_USER_SLAVE_VRING_HOST_NOTIFIER_MSG = 3,
	VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG = 3,
	VHOST_USER_SLAVE_VRING_CALL = 4,
	VHOST_USER_BACKEND_VRING_CALL = 4,
	VHOST_USER_SLAVE_VRING_ERR = 5,
	VHOST_USER_BACKEND_VRING_ERR = 5,
	VHOST_USER_SLAVE_MAX,
	VHOST_USER_BACKEND_MAX = VHOST_USER_SLAVE_MAX
} VhostUserSlaveRequest;

typedef VhostUserSlaveRequest VhostUserBackendRequest;

/* "Memory region description"; sizes and offsets in bytes. */
typedef struct VhostUserMemoryRegion {
	uint64_t guest_phys_addr;
	uint64_t memory_size;
	uint64_t userspace_addr;
	uint64_t mmap_offset;
} VhostUserMemoryRegion;

/* "Multiple memory regions description". */
typedef struct VhostUserMemory {
	uint32_t nregions;
	uint32_t padding;
	VhostUserMemoryRegion regions[VHOST_MEMORY_BASELINE_NREGIONS];
} VhostUserMemory;

/* "Single memory region description"; the compiler aligns region to 8 bytes. */
typedef struct VhostUserMemRegMsg {
	uint32_t padding;
	VhostUserMemoryRegion region;
} VhostUserMemRegMsg;

/* "Log description". */
typedef struct VhostUserLog {
	uint64_t mmap_size;
	uint64_t mmap_offset;
} VhostUserLog;

/* "Virtio device config space". */
typedef struct VhostUserConfig {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t region[VHOST_USER_MAX_CONFIG_SIZE];
} VhostUserConfig;

/* Bytes of a VhostUserConfig before its contents. */
#define VHOST_USER_CONFIG_HDR_SIZE offsetof(VhostUserConfig, region)

/* "Vring area description"; u64 is a queue index and VHOST_USER_VRING_NOFD_MASK. */
typedef struct VhostUserVringArea {
	uint64_t u64;
	uint64_t size;
	uint64_t offset;
} VhostUserVringArea;

/* "Inflight description". */
typedef struct VhostUserInflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
} VhostUserInflight;

#if defined(_WIN32) && (defined(__x86_64__) || defined(__i386__))
#define VU_PACKED __attribute__((gcc_struct, packed))
#else
#define VU_PACKED __attribute__((packed))
#endif

#define VHOST_USER_VERSION_MASK    (0x3)
#define VHOST_USER_REPLY_MASK      (0x1 << 2)
#define VHOST_USER_NEED_REPLY_MASK (0x1 << 3)
#define VHOST_USER_VRING_IDX_MASK  (0xff)
#define VHOST_USER_VRING_NOFD_MASK (0x1 << 8)

/*
 * A message as process_msg and read_msg see it.  "Header" and "Payload".
 * @size counts payload bytes.  A payload that does not fit the union is in @data
 * (and the union is zero); @data is otherwise NULL.  A process_msg that answers may
 * set @data to malloc()ed memory of @size bytes; the library frees it.
 */
typedef struct VhostUserMsg {
	int request;
	uint32_t flags;
	uint32_t size;
	union {
		uint64_t u64;
		struct vhost_vring_state state;
		struct vhost_vring_addr addr;
		VhostUserMemory memory;
		VhostUserMemRegMsg memreg;
		VhostUserLog log;
		VhostUserConfig config;
		VhostUserVringArea area;
		VhostUserInflight inflight;
	} payload;
	int fds[VHOST_MEMORY_BASELINE_NREGIONS];
	int fd_num;
	uint8_t *data;
} VU_PACKED VhostUserMsg;

/*
 * A piece of guest memory.  The byte at guest physical address A is at
 * mmap_addr + mmap_offset + (A - gpa) in this process.
 */
typedef struct VuDevRegion {
	uint64_t gpa;         /* guest physical address */
	uint64_t size;        /* bytes */
	uint64_t qva;         /* address in the front-end */
	uint64_t mmap_offset; /* of gpa, from mmap_addr */
	uint64_t mmap_addr;   /* start of the mapping here */
} VuDevRegion;

typedef struct VuDev VuDev;

/* Feature words: bits as virtio (get/set_features) or protocol bits number them. */
typedef uint64_t (*vu_get_features_cb)(VuDev *dev);
typedef void (*vu_set_features_cb)(VuDev *dev, uint64_t features);

/*
 * Returns 0 to let the library handle the message; otherwise the message counts as
 * handled, its fds now belong to the callback, and *@do_reply says whether @vmsg
 * now holds an answer to send (with its fds, which stay the callback's).
 */
typedef int (*vu_process_msg_cb)(VuDev *dev, VhostUserMsg *vmsg, int *do_reply);

/*
 * Reads one message from @sock into @vmsg, returns false at end of stream or on
 * error.  @vmsg comes with fd_num 0, data NULL and all fds -1.  The callback owns
 * neither the fds nor the data it puts there once it has returned.
 */
typedef bool (*vu_read_msg_cb)(VuDev *dev, int sock, VhostUserMsg *vmsg);

typedef void (*vu_queue_set_started_cb)(VuDev *dev, int qidx, bool started);
typedef bool (*vu_queue_is_processed_in_order_cb)(VuDev *dev, int qidx);

/* @len and @size in bytes, at most VHOST_USER_MAX_CONFIG_SIZE; 0 is success. */
typedef int (*vu_get_config_cb)(VuDev *dev, uint8_t *config, uint32_t len);
typedef int (*vu_set_config_cb)(VuDev *dev, const uint8_t *data, uint32_t offset,
				uint32_t size, uint32_t flags);

/*
 * What a device implements.  Each member may be NULL.  All are called in the thread
 * that runs vu_dispatch(), never from vu_queue_*().
 */
typedef struct VuDevIface {
	/*
	 * Feature bits the device offers, beside those of the library's virtqueues.
	 * Called for VHOST_USER_GET_FEATURES and to check what the front-end accepts;
	 * must answer the same each time while a front-end is connected.
	 */
	vu_get_features_cb get_features;
	/* The front-end has accepted @features (a subset of what was offered). */
	vu_set_features_cb set_features;
	/*
	 * Protocol features the device offers beside the library's own, such as
	 * VHOST_USER_PROTOCOL_F_NET_MTU, whose messages then arrive at process_msg.
	 */
	vu_get_features_cb get_protocol_features;
	/* The front-end has accepted these protocol features. */
	vu_set_features_cb set_protocol_features;
	/*
	 * Sees every well-formed message first.  May call any function of this
	 * header but vu_dispatch() and vu_deinit().
	 */
	vu_process_msg_cb process_msg;
	/*
	 * With true: the ring is ready, vu_queue_*() may be used.  With false: the
	 * front-end wants the ring stopped; the device may still push what it has
	 * popped, here or later, and pops nothing any more.  The front-end gets its
	 * answer when nothing is in flight ("Starting and stopping", GET_VRING_BASE).
	 */
	vu_queue_set_started_cb queue_set_started;
	/*
	 * True if elements of this queue are pushed in the order they were popped.
	 * Such a queue resumes at the used index, so that what a crashed back-end had
	 * popped and not pushed is popped again.
	 */
	vu_queue_is_processed_in_order_cb queue_is_processed_in_order;
	/*
	 * Copies the first @len bytes of the configuration space; non-zero: error,
	 * and the front-end is told so.  Offering VHOST_USER_PROTOCOL_F_CONFIG needs
	 * get_config and set_config.
	 */
	vu_get_config_cb get_config;
	/* The front-end writes @size bytes at @offset; non-zero: refuse. */
	vu_set_config_cb set_config;
} VuDevIface;

/* Called when the driver has notified queue @qidx, and once when it starts. */
typedef void (*vu_queue_handler_cb)(VuDev *dev, int qidx);

/* Where a ring is in this process.  All pointers NULL: not set up. */
typedef struct VuRing {
	unsigned int num;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint64_t log_guest_addr;
	uint32_t flags;
} VuRing;

/* "Inflight I/O tracking": a split ring's record of one descriptor. */
typedef struct VuDescStateSplit {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
} VuDescStateSplit;

/* "Inflight I/O tracking": a split ring's part of the shared area. */
typedef struct VuVirtqInflight {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	VuDescStateSplit desc[];
} VuVirtqInflight;

typedef struct VuVirtqInflightDesc {
	uint16_t index;
	uint64_t counter;
} VuVirtqInflightDesc;

/*
 * A virtqueue.  Read it if need be; it is written by the library.  kick_fd, call_fd
 * and err_fd belong to the library and are -1 where there is none.
 *
 * The driver may have chosen packed rings (VIRTIO_F_RING_PACKED, bit 34 of dev->features).
 * Then vring's pointers are NULL, inflight is of another layout, and last_avail_idx and
 * used_idx are a slot of the descriptor ring with the wrap counter in bit 15.  All calls
 * are the same.
 */
struct vu__queue;

typedef struct VuVirtq {
	VuRing vring;
	VuVirtqInflight *inflight;
	VuVirtqInflightDesc *resubmit_list;
	uint16_t resubmit_num;
	uint64_t counter;
	uint16_t last_avail_idx;   /* next entry of the available ring to pop */
	uint16_t shadow_avail_idx; /* the driver's index when last read */
	uint16_t used_idx;         /* next entry of the used ring to fill */
	uint16_t signalled_used;   /* used index of the last call */
	bool signalled_used_valid;
	bool notification; /* the driver is asked for kicks */
	int inuse;         /* popped and not yet pushed */
	vu_queue_handler_cb handler;
	int call_fd;
	int kick_fd;
	int err_fd;
	unsigned int enable;
	bool started;
	struct vhost_vring_addr vra;
	struct vu__queue *priv; /* the library's own */
} VuVirtq;

/* The misspelling is the interface's. */
enum VuWatchCondtion {
	VU_WATCH_IN = POLLIN,
	VU_WATCH_OUT = POLLOUT,
	VU_WATCH_PRI = POLLPRI,
	VU_WATCH_ERR = POLLERR,
	VU_WATCH_HUP = POLLHUP,
};

typedef void (*vu_panic_cb)(VuDev *dev, const char *err);
typedef void (*vu_watch_cb)(VuDev *dev, int condition, void *data);
typedef void (*vu_set_watch_cb)(VuDev *dev, int fd, int condition, vu_watch_cb cb,
				void *data);
typedef void (*vu_remove_watch_cb)(VuDev *dev, int fd);

typedef struct VuDevInflightInfo {
	int fd;
	void *addr;
	uint64_t size;
} VuDevInflightInfo;

struct vu__dev;

/*
 * A device and its connection.  The caller owns the memory, vu_init() fills it in,
 * vu_deinit() releases what it holds.  It may be the first member of a structure of
 * the device's own.
 */
struct VuDev {
	int sock;
	uint32_t nregions; /* entries of regions[] that are valid */
	VuDevRegion regions[VHOST_USER_MAX_RAM_SLOTS];
	VuVirtq *vq; /* max_queues of them */
	VuDevInflightInfo inflight_info;
	int log_call_fd;
	/* Held by the library while it uses the back-end channel. */
	union {
		pthread_mutex_t slave_mutex;
		pthread_mutex_t backend_mutex;
	};
	union {
		int slave_fd;
		int backend_fd;
	};
	uint64_t log_size;
	uint8_t *log_table;
	uint64_t features;
	uint64_t protocol_features;
	bool broken;
	uint16_t max_queues;
	vu_set_watch_cb set_watch;
	vu_remove_watch_cb remove_watch;
	vu_panic_cb panic;
	const VuDevIface *iface;
	int postcopy_ufd;
	bool postcopy_listening;
	struct vu__dev *priv; /* the library's own */
};

/*
 * One request of the driver's: out_sg is what the device reads, in_sg what it
 * writes, in this process's memory.  A device may ask vu_queue_pop() for a larger
 * structure that begins with this one.  free() it after vu_queue_push().
 *
 * One that its queue's stop did not wait for can still be pushed after the queue has
 * started again: that does nothing, even if the driver has used its index anew.
 */
typedef struct VuVirtqElement {
	unsigned int index; /* of no other element in flight; less than the ring's size */
	unsigned int out_num;
	unsigned int in_num;
	unsigned int run; /* the library's: which start of a queue it is of; 0: any */
	struct iovec *in_sg;
	struct iovec *out_sg;
} VuVirtqElement;

/**
 * vu_init - prepare a device for one front-end connection
 * @dev: the caller's memory; what it held before is overwritten
 * @max_queues: virtqueues of the device, 1 to 256
 * @socket: connected stream socket; stays the caller's, who closes it after
 *          vu_deinit()
 * @panic: called once with a text when the connection cannot go on; required.  It
 *         must not call vu_deinit() itself
 * @set_watch: ask the caller's event loop to call cb(dev, condition, data) when
 *             @fd meets the condition; calling it again for an fd replaces; required
 * @remove_watch: undo that; required
 * @iface: the device; must stay valid until vu_deinit()
 *
 * With LIBVU_INIT_READ_MSG defined to 1 before this header is included, vu_init()
 * takes a vu_read_msg_cb (or NULL) after @panic, as later versions of libvhost-user
 * do.
 *
 * Returns: true; false if memory ran out or an argument is out of range.
 */
bool vu_init(VuDev *dev, uint16_t max_queues, int socket, vu_panic_cb panic,
	     vu_set_watch_cb set_watch, vu_remove_watch_cb remove_watch,
	     const VuDevIface *iface);

/**
 * vu_init_read_msg - vu_init() with a function that reads messages
 * @read_msg: called by vu_dispatch() instead of the library's own; may be NULL
 *
 * The other arguments and the result are those of vu_init().
 */
bool vu_init_read_msg(VuDev *dev, uint16_t max_queues, int socket, vu_panic_cb panic,
		      vu_read_msg_cb read_msg, vu_set_watch_cb set_watch,
		      vu_remove_watch_cb remove_watch, const VuDevIface *iface);

#if defined(LIBVU_INIT_READ_MSG) && LIBVU_INIT_READ_MSG
#define vu_init vu_init_read_msg
#endif

/**
 * vu_deinit - release everything vu_init() and the front-end gave
 * @dev: the device; afterwards fit for vu_init() again
 *
 * Removes every watch, closes every fd but the socket, unmaps guest memory.  Queues
 * are stopped without waiting for what is in flight and without a call of
 * queue_set_started; see vu_stop_queues() in <libvu/ext.h>.  Elements still held point
 * to unmapped memory and may only be freed.  No thread may be inside a vu_*() call for
 * @dev.
 */
void vu_deinit(VuDev *dev);

/**
 * vu_dispatch - read one message from the front-end and act on it
 * @dev: the device; call when its socket is readable
 *
 * Waits for the first byte if there is none.  A message that has not arrived whole is
 * kept, and acted on by the call that reads its end.
 *
 * Returns: true to go on; false when the connection is over: the front-end closed it
 * (nothing is reported, but in the middle of postcopy), or the message could not be
 * served (panic was called).  Then call vu_deinit().
 */
bool vu_dispatch(VuDev *dev);

/**
 * vu_gpa_to_va - find guest memory in this process
 * @dev: the device
 * @plen: in: bytes wanted; out: how many of them lie in one piece from there on
 * @guest_addr: guest physical address
 *
 * Returns: the address, valid until the memory table changes; NULL if the guest has
 * no memory there (*@plen is then unchanged).
 */
void *vu_gpa_to_va(VuDev *dev, uint64_t *plen, uint64_t guest_addr);

/**
 * vu_get_queue - a queue by number
 * @dev: the device
 * @qidx: 0 to max_queues - 1
 *
 * Returns: the queue; NULL if there is no such number.
 */
VuVirtq *vu_get_queue(VuDev *dev, int qidx);

/**
 * vu_set_queue_handler - say who serves a queue
 * @dev: the device
 * @vq: the queue
 * @handler: called in the event loop for each kick; NULL: nobody, the device reads
 *           vq->kick_fd or polls the ring itself
 *
 * May be called at any time from the control thread, most usefully from
 * queue_set_started.
 */
void vu_set_queue_handler(VuDev *dev, VuVirtq *vq, vu_queue_handler_cb handler);

/**
 * vu_set_queue_host_notifier - give the guest a page of hardware to kick directly
 * @dev: the device
 * @vq: the queue
 * @fd: file to map, stays the caller's; -1 takes the notifier back
 * @size: bytes to map, the host's page size
 * @offset: where in @fd
 *
 * Implements "VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG".
 *
 * Returns: true if the front-end was told (and, with REPLY_ACK, agreed); false if the
 * protocol features for it were not negotiated or it refused.
 */
bool vu_set_queue_host_notifier(VuDev *dev, VuVirtq *vq, int fd, int size, int offset);

/**
 * vu_config_change_msg - tell the driver that the configuration space changed
 * @dev: the device
 *
 * Implements "VHOST_USER_BACKEND_CONFIG_CHANGE_MSG"; does nothing if the front-end
 * has no back-end channel.  Any thread.
 */
void vu_config_change_msg(VuDev *dev);

/**
 * vu_queue_set_notification - ask the driver for kicks, or not
 * @dev: the device
 * @vq: the queue
 * @enable: 0: none are needed, the device polls; otherwise: kick for new elements
 *
 * A hint to the driver (virtio 1.2 "Available Buffer Notification Suppression").
 * After enabling, look at the ring once more before going to sleep.
 */
void vu_queue_set_notification(VuDev *dev, VuVirtq *vq, int enable);

/**
 * vu_queue_enabled - has the front-end enabled the queue
 * @dev: the device
 * @vq: the queue
 *
 * "Starting and stopping": a started queue that is not enabled is to be served
 * without effect (a network device discards what the guest sends), or not at all.
 */
bool vu_queue_enabled(VuDev *dev, VuVirtq *vq);

/**
 * vu_queue_started - is the queue started
 * @dev: the device
 * @vq: the queue
 */
bool vu_queue_started(const VuDev *dev, const VuVirtq *vq);

/**
 * vu_queue_empty - is there nothing to pop
 * @dev: the device
 * @vq: the queue
 *
 * Returns: true if the driver has made nothing available, or the queue is not
 * started, or broken.  If notification is enabled, the driver will kick for the next
 * element.
 */
bool vu_queue_empty(VuDev *dev, VuVirtq *vq);

/**
 * vu_queue_notify - tell the driver about used elements, if it wants to know
 * @dev: the device
 * @vq: the queue
 *
 * Virtio 1.2 "Used Buffer Notification Suppression".  Signals the call eventfd, or
 * sends VHOST_USER_BACKEND_VRING_CALL if in-band notifications were negotiated.
 * Never blocks on the eventfd.
 */
void vu_queue_notify(VuDev *dev, VuVirtq *vq);

/**
 * vu_queue_notify_sync - vu_queue_notify(), and know that it has arrived
 * @dev: the device
 * @vq: the queue
 *
 * With in-band notifications and REPLY_ACK, returns after the front-end answered.
 */
void vu_queue_notify_sync(VuDev *dev, VuVirtq *vq);

/**
 * vu_queue_pop - take the next request
 * @dev: the device
 * @vq: the queue
 * @sz: bytes of the structure to return, at least sizeof(VuVirtqElement)
 *
 * The structure is the caller's to free(); its first member is the element, the
 * rest is not initialised.  A buffer of the guest's that is not in one piece here
 * becomes several iovecs.
 *
 * Returns: the element; NULL if there is none (see vu_queue_empty()), or memory ran
 * out, or the driver broke the rules, which breaks the queue.
 */
void *vu_queue_pop(VuDev *dev, VuVirtq *vq, size_t sz);

/**
 * vu_queue_unpop - put the element that was popped last back
 * @dev: the device
 * @vq: the queue
 * @elem: what vu_queue_pop() returned last; to be freed by the caller
 * @len: bytes the device has written to it (they are logged)
 */
void vu_queue_unpop(VuDev *dev, VuVirtq *vq, VuVirtqElement *elem, size_t len);

/**
 * vu_queue_rewind - put the last @num popped elements back
 * @dev: the device
 * @vq: the queue
 * @num: how many
 *
 * Returns: true; false, and nothing happens, if fewer are in use.
 */
bool vu_queue_rewind(VuDev *dev, VuVirtq *vq, unsigned int num);

/**
 * vu_queue_fill - write an element into the used ring, unseen by the driver yet
 * @dev: the device
 * @vq: the queue
 * @elem: a popped element
 * @len: bytes the device has written into in_sg
 * @idx: how many have been filled and not yet flushed before this one
 */
void vu_queue_fill(VuDev *dev, VuVirtq *vq, const VuVirtqElement *elem, unsigned int len,
		   unsigned int idx);

/**
 * vu_queue_push - complete one element: vu_queue_fill() and vu_queue_flush()
 * @dev: the device
 * @vq: the queue
 * @elem: a popped element; free() it afterwards
 * @len: bytes the device has written into in_sg
 */
void vu_queue_push(VuDev *dev, VuVirtq *vq, const VuVirtqElement *elem, unsigned int len);

/**
 * vu_queue_flush - show the driver what was filled
 * @dev: the device
 * @vq: the queue
 * @num: how many elements were filled since the last flush
 */
void vu_queue_flush(VuDev *dev, VuVirtq *vq, unsigned int num);

/**
 * vu_queue_get_avail_bytes - sum up what the driver has made available
 * @vdev: the device
 * @vq: the queue
 * @in_bytes: out: bytes the device could write; may be NULL
 * @out_bytes: out: bytes the device could read; may be NULL
 * @max_in_bytes: stop when this many and
 * @max_out_bytes: this many were found
 *
 * Looks at the ring without popping.  Both are 0 if the queue is not started.
 */
void vu_queue_get_avail_bytes(VuDev *vdev, VuVirtq *vq, unsigned int *in_bytes,
			      unsigned int *out_bytes, unsigned max_in_bytes,
			      unsigned max_out_bytes);

/**
 * vu_queue_avail_bytes - has the driver made this much available
 * @dev: the device
 * @vq: the queue
 * @in_bytes: bytes the device wants to write
 * @out_bytes: bytes the device wants to read
 *
 * Returns: true if both are there.
 */
bool vu_queue_avail_bytes(VuDev *dev, VuVirtq *vq, unsigned int in_bytes,
			  unsigned int out_bytes);

/**
 * vu_request_to_string - the name of a front-end message
 * @req: a VhostUserRequest
 *
 * Returns: a constant, such as "VHOST_USER_SET_OWNER"; "unknown" for others.
 */
const char *vu_request_to_string(unsigned int req);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* LIBVU_LIBVHOST_USER_H */
