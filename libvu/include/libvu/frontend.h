/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vhost-user front-end: what a machine monitor does, without a machine.
 *
 * It connects to any back-end, shares memory with it, plays the driver of split and
 * packed virtqueues, and can send every message of the protocol, also wrongly on purpose.
 * Tests, benchmarks and tools that look at a back-end stand on it.
 *
 *	struct vu_frontend *fe = vu_frontend_connect("/tmp/disk.sock");
 *	vu_frontend_negotiate(fe, features, protocol_features);
 *	vu_frontend_add_memory(fe, 0, 16 << 20, 0);
 *	vu_frontend_share_memory(fe);
 *	struct vu_frontend_queue *q = vu_frontend_queue_new(fe, 0, 128, 0);
 *	vu_frontend_queue_start(q, 0);
 *	vu_frontend_submit(q, bufs, n, token);
 *	vu_frontend_kick(q);
 *	vu_frontend_wait(q, 1000);
 *	vu_frontend_reap(q, &token, &len);
 *
 * Errors: functions return 0 or a negative errno; vu_frontend_error() then has a text
 * for a person.  -EREMOTEIO: the back-end answered that it failed.  -ETIMEDOUT: it did
 * not answer in time.  -EPROTO: its answer was malformed.  -ECONNRESET: it has closed
 * the connection.  After the last three the connection is of no more use.
 *
 * Threads: one struct vu_frontend belongs to one thread at a time; a queue's submit,
 * kick, wait and reap may run in another thread than the messages.
 */
#ifndef LIBVU_FRONTEND_H
#define LIBVU_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct vu_frontend;
struct vu_frontend_queue;

/* --- the connection --- */

/**
 * vu_frontend_connect - connect to a back-end that listens
 * @path: its socket
 *
 * Returns: a front-end, to be freed; NULL and errno.
 */
struct vu_frontend *vu_frontend_connect(const char *path);

/**
 * vu_frontend_new - a front-end on a connected stream socket
 * @sock: becomes the front-end's, also on failure
 *
 * Returns: a front-end, to be freed; NULL and errno.
 */
struct vu_frontend *vu_frontend_new(int sock);

/**
 * vu_frontend_free - close the connection, release memory and queues
 * @fe: may be NULL
 */
void vu_frontend_free(struct vu_frontend *fe);

/**
 * vu_frontend_reconnect - go on with another back-end, or the same one restarted
 * @fe: the front-end; its channel is closed
 * @sock: a connected stream socket, becomes the front-end's; the old one is closed
 *
 * Memory, rings and what is outstanding in them stay.  As to any new back-end, features,
 * memory and queues must be told again: vu_frontend_negotiate(),
 * vu_frontend_share_memory(), vu_frontend_set_inflight_fd(), vu_frontend_queue_start().
 * A queue that was not stopped is then told to begin at its used index, which is right if
 * the back-end completes in order or is given the inflight region.
 *
 * Of a packed ring both places are then the one behind all that is marked used, reaped or
 * not: no index is in memory, and completions have gone where descriptors were.  A back-end
 * that completes in order finds there, whole and still available, what the one before has
 * not completed.  One that does not may find a request there that is complete, and in
 * place of another its completion: only the region knows what was taken, and what it says
 * is to be believed before the base.
 */
void vu_frontend_reconnect(struct vu_frontend *fe, int sock);

/**
 * vu_frontend_set_timeout - how long to wait for an answer
 * @fe: the front-end
 * @ms: milliseconds, 5000 unless set
 */
void vu_frontend_set_timeout(struct vu_frontend *fe, int ms);

/**
 * vu_frontend_error - what the last failure was, for a person
 * @fe: the front-end
 *
 * Returns: a text, valid until the next call; "" if nothing has failed.
 */
const char *vu_frontend_error(const struct vu_frontend *fe);

/**
 * vu_frontend_sock - the socket, still the front-end's
 * @fe: the front-end
 */
int vu_frontend_sock(const struct vu_frontend *fe);

/**
 * vu_frontend_ask_acks - whether to ask for an answer where the protocol lets one
 * @fe: the front-end
 * @ask: true unless set; without REPLY_ACK nothing is asked for anyway
 */
void vu_frontend_ask_acks(struct vu_frontend *fe, bool ask);

/* --- messages; each is the request of its name --- */

int vu_frontend_get_features(struct vu_frontend *fe, uint64_t *features);
int vu_frontend_set_features(struct vu_frontend *fe, uint64_t features);
int vu_frontend_get_protocol_features(struct vu_frontend *fe, uint64_t *features);
int vu_frontend_set_protocol_features(struct vu_frontend *fe, uint64_t features);
int vu_frontend_set_owner(struct vu_frontend *fe);
int vu_frontend_reset_owner(struct vu_frontend *fe);
int vu_frontend_reset_device(struct vu_frontend *fe);
int vu_frontend_get_queue_num(struct vu_frontend *fe, uint64_t *num);
int vu_frontend_get_max_mem_slots(struct vu_frontend *fe, uint64_t *num);

/**
 * vu_frontend_negotiate - owner, protocol features and features, in the usual order
 * @fe: the front-end
 * @features: virtio features wanted; bit 30 is added if the back-end offers it
 * @protocol_features: protocol features wanted
 *
 * Accepts what is both wanted and offered; vu_frontend_features() tells.
 */
int vu_frontend_negotiate(struct vu_frontend *fe, uint64_t features,
			  uint64_t protocol_features);
uint64_t vu_frontend_features(const struct vu_frontend *fe);
uint64_t vu_frontend_protocol_features(const struct vu_frontend *fe);

int vu_frontend_set_vring_num(struct vu_frontend *fe, unsigned int queue, uint32_t num);
int vu_frontend_set_vring_base(struct vu_frontend *fe, unsigned int queue, uint32_t base);
int vu_frontend_get_vring_base(struct vu_frontend *fe, unsigned int queue, uint32_t *base);
int vu_frontend_get_vring_base_skip_drain(struct vu_frontend *fe, unsigned int queue,
					  uint32_t *base);
int vu_frontend_set_vring_enable(struct vu_frontend *fe, unsigned int queue, bool enable);
int vu_frontend_set_vring_endian(struct vu_frontend *fe, unsigned int queue, bool big);

/* Addresses are the front-end's own; @log is a guest address. */
int vu_frontend_set_vring_addr(struct vu_frontend *fe, unsigned int queue, uint32_t flags,
			       uint64_t desc, uint64_t used, uint64_t avail, uint64_t log);

/* @fd stays the caller's; -1 says there is none and somebody polls. */
int vu_frontend_set_vring_kick(struct vu_frontend *fe, unsigned int queue, int fd);
int vu_frontend_set_vring_call(struct vu_frontend *fe, unsigned int queue, int fd);
int vu_frontend_set_vring_err(struct vu_frontend *fe, unsigned int queue, int fd);

/* In-band notification. */
int vu_frontend_vring_kick(struct vu_frontend *fe, unsigned int queue);

/* @size bytes at @offset of the configuration space, at most 256; @flags as SET_CONFIG. */
int vu_frontend_get_config(struct vu_frontend *fe, uint32_t offset, uint32_t size, void *to);
int vu_frontend_set_config(struct vu_frontend *fe, uint32_t offset, uint32_t size,
			   uint32_t flags, const void *from);

int vu_frontend_send_rarp(struct vu_frontend *fe, const uint8_t mac[6]);
int vu_frontend_set_mtu(struct vu_frontend *fe, uint64_t mtu);
int vu_frontend_set_status(struct vu_frontend *fe, uint64_t status);
int vu_frontend_get_status(struct vu_frontend *fe, uint64_t *status);
int vu_frontend_gpu_set_socket(struct vu_frontend *fe, int fd);

/* @fd stays the caller's; @size and @offset in bytes, of the dirty log in it. */
int vu_frontend_set_log_base(struct vu_frontend *fe, int fd, uint64_t size, uint64_t offset);
int vu_frontend_set_log_fd(struct vu_frontend *fe, int fd);

/**
 * vu_frontend_postcopy_advise - ask for a userfaultfd of the back-end's memory
 * @fe: the front-end; PAGEFAULT must have been negotiated
 * @fd: out; becomes the caller's, who reads the back-end's page faults there
 *
 * A destination's steps of a postcopy migration ("Migration"): this call;
 * vu_frontend_postcopy_listen(); vu_frontend_share_memory(), which then also gets the
 * addresses that faults will have; vu_frontend_postcopy_ack(); start queues; for each
 * fault put the page into the region's file (UFFDIO_COPY to where it is mapped here) and
 * wake (UFFDIO_WAKE) the back-end's page; vu_frontend_postcopy_end(); close @fd.
 */
int vu_frontend_postcopy_advise(struct vu_frontend *fe, int *fd);

/* Memory shared from now on has pages to come.  None may have been shared yet. */
int vu_frontend_postcopy_listen(struct vu_frontend *fe);

/**
 * vu_frontend_postcopy_ack - allow the back-end to touch what was just shared
 * @fe: the front-end
 * @result: 0; anything else: its faults cannot be served, it is to keep the old table
 *
 * Once after vu_frontend_share_memory(), or after a number of vu_frontend_add_mem_reg()
 * and vu_frontend_rem_mem_reg(), between listen and end.
 */
int vu_frontend_postcopy_ack(struct vu_frontend *fe, uint64_t result);

/* All pages have come; nobody waits for one any more. */
int vu_frontend_postcopy_end(struct vu_frontend *fe);

/* *@fd becomes the caller's, and is -1 with *@size 0 if the back-end has none to give. */
int vu_frontend_get_inflight_fd(struct vu_frontend *fe, uint16_t queues, uint16_t queue_size,
				int *fd, uint64_t *size, uint64_t *offset);
int vu_frontend_set_inflight_fd(struct vu_frontend *fe, int fd, uint64_t size,
				uint64_t offset, uint16_t queues, uint16_t queue_size);

/* @fd stays the caller's; *@reply_fd becomes the caller's, -1 if @fd is to be used. */
int vu_frontend_set_device_state_fd(struct vu_frontend *fe, uint32_t direction,
				    uint32_t phase, int fd, int *reply_fd);
int vu_frontend_check_device_state(struct vu_frontend *fe);

/* @perm: 0 none, 1 read, 2 write, 3 both; @type: 2 update, 3 invalidate. */
int vu_frontend_iotlb(struct vu_frontend *fe, uint64_t iova, uint64_t size, uint64_t uaddr,
		      uint8_t perm, uint8_t type);

/* *@fd becomes the caller's, -1 if the back-end knows no object of this name. */
int vu_frontend_get_shared_object(struct vu_frontend *fe, const uint8_t uuid[16], int *fd);

/* @sizes: by region number. */
int vu_frontend_get_shmem_config(struct vu_frontend *fe, uint32_t *nregions,
				 uint64_t sizes[256]);

/* @len bytes in, the answer's bytes back in the same place and *@len. */
int vu_frontend_create_crypto_session(struct vu_frontend *fe, void *session, size_t *len,
				      size_t room);
int vu_frontend_close_crypto_session(struct vu_frontend *fe, uint64_t id);

/* --- messages as bytes, for those who want them wrong --- */

struct vu_frontend_message {
	uint32_t request;
	uint32_t flags; /* version and all */
	uint32_t size;	/* as the header says; what is sent is payload_size */
	size_t payload_size;
	uint8_t payload[4096];
	unsigned int nfds;
	int fds[16]; /* sent: the caller's; received: become the caller's */
};

/**
 * vu_frontend_send - send a message as it is
 * @fe: the front-end
 * @msg: nothing in it is checked, but payload_size and nfds (up to 9)
 */
int vu_frontend_send(struct vu_frontend *fe, const struct vu_frontend_message *msg);

/**
 * vu_frontend_recv - receive whatever comes
 * @fe: the front-end
 * @msg: out
 */
int vu_frontend_recv(struct vu_frontend *fe, struct vu_frontend_message *msg);

/* --- guest memory --- */

enum {
	VU_FRONTEND_HUGEPAGES = 1 << 0, /* if the host has some; else ordinary pages */
	VU_FRONTEND_OFFSET = 1 << 1,	/* the region begins in the middle of its file */
};

/**
 * vu_frontend_add_memory - make a region of guest memory
 * @fe: the front-end
 * @gpa: guest physical address
 * @size: bytes, a multiple of the page size
 * @flags: VU_FRONTEND_*
 *
 * The back-end does not know of it yet.
 *
 * Returns: the region's number, from 0; negative errno.
 */
int vu_frontend_add_memory(struct vu_frontend *fe, uint64_t gpa, uint64_t size,
			   unsigned int flags);

/**
 * vu_frontend_share_memory - tell the back-end of all regions
 * @fe: the front-end
 *
 * With SET_MEM_TABLE for up to 8, with ADD_MEM_REG for more, which must have been
 * negotiated.  In postcopy vu_frontend_postcopy_ack() must follow.
 */
int vu_frontend_share_memory(struct vu_frontend *fe);

/* One message for one region, by number. */
int vu_frontend_add_mem_reg(struct vu_frontend *fe, unsigned int region);
int vu_frontend_rem_mem_reg(struct vu_frontend *fe, unsigned int region);

struct vu_frontend_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uaddr; /* what the messages say */
	uint64_t offset; /* in fd */
	int fd;		/* the front-end's */
	void *mem;
	uint64_t backend; /* where the back-end has it, if shared in postcopy; else 0 */
};

/**
 * vu_frontend_region - look at a region
 * @fe: the front-end
 * @region: its number
 * @out: what is known
 */
int vu_frontend_region(struct vu_frontend *fe, unsigned int region,
		       struct vu_frontend_region *out);

/**
 * vu_frontend_ptr - guest memory here
 * @fe: the front-end
 * @gpa: guest physical address
 * @len: bytes wanted in one region
 *
 * Returns: the address; NULL if they are not in one region.
 */
void *vu_frontend_ptr(struct vu_frontend *fe, uint64_t gpa, uint64_t len);

/*
 * --- virtqueues, the driver's side ---
 *
 * A queue is a packed one (virtio 1.2, "Packed Virtqueues") if VIRTIO_F_RING_PACKED is
 * negotiated when it is made, reset or started, else a split one.  Starting changes the
 * format of a queue to which nothing was submitted since it was made or reset, and fails
 * (-EINVAL) if another one is of the wrong format.
 */

struct vu_frontend_buf {
	uint64_t gpa;
	uint32_t len;
	bool write; /* the device writes it */
};

/**
 * vu_frontend_queue_new - place a ring in guest memory
 * @fe: the front-end; its memory and features must have been set
 * @idx: the queue's number
 * @num: entries, at most 32768; of a split ring a power of two
 * @gpa: where, aligned to 4096; vu_frontend_queue_bytes() from there must be memory
 *
 * Returns: the queue, freed with the front-end; NULL and errno.
 */
struct vu_frontend_queue *vu_frontend_queue_new(struct vu_frontend *fe, unsigned int idx,
						unsigned int num, uint64_t gpa);

/* Enough for either format. */
uint64_t vu_frontend_queue_bytes(unsigned int num);

enum {
	VU_FRONTEND_POLL_CALLS = 1 << 0, /* no call eventfd */
	VU_FRONTEND_POLL_KICKS = 1 << 1, /* no kick eventfd */
	VU_FRONTEND_DISABLED = 1 << 2,	 /* do not enable it */
};

/**
 * vu_frontend_queue_start - NUM, BASE, ADDR, CALL, ERR, KICK and ENABLE
 * @q: the queue; begins where vu_frontend_queue_stop() has left it
 * @flags: VU_FRONTEND_POLL_* and VU_FRONTEND_DISABLED
 *
 * The base is the next available index of a split ring.  Of a packed one it is both places
 * ("Vring descriptor indices for packed virtqueues"): bits 0 to 14 the slot of the next
 * available descriptor, 15 the driver's wrap counter there, 16 to 30 the slot of the next
 * used one, 31 the device's wrap counter there; 0x80008000 if nobody has used it.
 */
int vu_frontend_queue_start(struct vu_frontend_queue *q, unsigned int flags);

/* GET_VRING_BASE; *@base may be NULL. */
int vu_frontend_queue_stop(struct vu_frontend_queue *q, uint32_t *base);

/* GET_VRING_BASE_SKIP_DRAIN: what is in flight is left to the next back-end. */
int vu_frontend_queue_suspend(struct vu_frontend_queue *q, uint32_t *base);

/* Empties the ring as after a reset of the device: all at 0, nothing outstanding. */
void vu_frontend_queue_reset(struct vu_frontend_queue *q);

/**
 * vu_frontend_use_indirect - put chains into tables of their own
 * @q: the queue
 * @gpa: memory for them: @num tables of 16 times @max bytes; 0: no more indirect ones
 * @max: the longest chain
 */
void vu_frontend_use_indirect(struct vu_frontend_queue *q, uint64_t gpa, unsigned int max);

/**
 * vu_frontend_submit - make a chain available
 * @q: the queue
 * @bufs: its buffers, in order
 * @n: how many, at least 1
 * @token: comes back with its completion
 *
 * Does not kick.  Returns: 0; -ENOSPC if the ring is full.
 */
int vu_frontend_submit(struct vu_frontend_queue *q, const struct vu_frontend_buf *bufs,
		       unsigned int n, uint64_t token);

/**
 * vu_frontend_kick - notify the device of what was submitted, if it wants to know
 * @q: the queue
 *
 * Returns: 1 if it was notified, 0 if it did not want to be, or negative errno.
 */
int vu_frontend_kick(struct vu_frontend_queue *q);

/**
 * vu_frontend_reap - take a completion
 * @q: the queue
 * @token: out, may be NULL
 * @len: out, bytes the device says it has written; may be NULL
 *
 * Returns: 1; 0 if there is none; -EPROTO if the device completed what it does not have.
 */
int vu_frontend_reap(struct vu_frontend_queue *q, uint64_t *token, uint32_t *len);

/**
 * vu_frontend_wait - sleep until there is a completion
 * @q: the queue
 * @timeout_ms: -1: for ever
 *
 * Asks for a call, looks, sleeps on the call eventfd.  Without one it polls.
 *
 * Returns: 0 or -ETIMEDOUT.
 */
int vu_frontend_wait(struct vu_frontend_queue *q, int timeout_ms);

/* Whether the device may call (a hint to it). */
void vu_frontend_want_calls(struct vu_frontend_queue *q, bool want);

/* Chains the device has not given back. */
unsigned int vu_frontend_outstanding(const struct vu_frontend_queue *q);

/* Eventfds of a queue; they stay the front-end's. */
int vu_frontend_kick_fd(const struct vu_frontend_queue *q);
int vu_frontend_call_fd(const struct vu_frontend_queue *q);
int vu_frontend_err_fd(const struct vu_frontend_queue *q);

/*
 * The ring itself, for those who want it wrong: pointers into guest memory.  Of another
 * format when it is reset or started in one.
 */
struct vu_frontend_ring {
	unsigned int num;
	/* Of a split ring; NULL of a packed one. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t *used_event;
	uint16_t *avail_event;
	/* Of a packed ring; NULL of a split one. */
	struct vring_packed_desc *packed;
	struct vring_packed_desc_event *driver_event; /* when the device may call */
	struct vring_packed_desc_event *device_event; /* when it wants to be kicked */
};
void vu_frontend_ring(struct vu_frontend_queue *q, struct vu_frontend_ring *ring);

/* --- the back-end's own requests --- */

/**
 * vu_frontend_open_channel - give the back-end a socket for requests of its own
 * @fe: the front-end; BACKEND_REQ must have been negotiated
 *
 * A channel that was open before is closed.
 */
int vu_frontend_open_channel(struct vu_frontend *fe);

/* The front-end's end of it, -1 without. */
int vu_frontend_channel_fd(const struct vu_frontend *fe);

/**
 * vu_frontend_channel_recv - receive a request of the back-end's
 * @fe: the front-end
 * @msg: out
 */
int vu_frontend_channel_recv(struct vu_frontend *fe, struct vu_frontend_message *msg);

/**
 * vu_frontend_channel_reply - answer it
 * @fe: the front-end
 * @msg: what was received; nothing is sent if it did not ask
 * @result: 0: done; else: refused
 */
int vu_frontend_channel_reply(struct vu_frontend *fe, const struct vu_frontend_message *msg,
			      uint64_t result);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
