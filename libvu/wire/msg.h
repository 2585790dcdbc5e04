/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages and the table that describes them.  No I/O here; both ends use it.
 *
 * A struct vu__msg owns the fds in it: whoever has received one closes it with
 * vu__msg_close_fds() after moving out what it keeps with vu__msg_take_fd().
 */
#ifndef VU_WIRE_MSG_H
#define VU_WIRE_MSG_H

#include <stddef.h>

#include "base/util.h"
#include "wire/spec.h"

enum vu__direction {
	VU__TO_BACKEND, /* the front-end's requests */
	VU__TO_FRONTEND /* the back-end's, on the channel of SET_BACKEND_REQ_FD */
};

enum vu__shape {
	VU__SHAPE_NONE,
	VU__SHAPE_U64,
	VU__SHAPE_STATE,
	VU__SHAPE_ADDR,
	VU__SHAPE_MEM_TABLE,
	VU__SHAPE_MEM_REG,
	VU__SHAPE_LOG,
	VU__SHAPE_IOTLB,
	VU__SHAPE_CONFIG,
	VU__SHAPE_AREA,
	VU__SHAPE_INFLIGHT,
	VU__SHAPE_UUID,
	VU__SHAPE_DEVICE_STATE,
	VU__SHAPE_SHMEM_MAP,
	VU__SHAPE_SHMEM_CONFIG,
	VU__SHAPE_ANY,
	VU__SHAPE_COUNT
};

enum vu__reply_rule { VU__REPLY_ACK, VU__REPLY_ALWAYS, VU__REPLY_LOG };

enum vu__queue_in { VU__QUEUE_NONE, VU__QUEUE_U32, VU__QUEUE_U8 };

enum vu__fds {
	VU__FDS_0,
	VU__FDS_1,
	VU__FDS_OPTIONAL,    /* none or one */
	VU__FDS_UNLESS_NOFD, /* one, unless the u64 has VU__VRING_NOFD: then none */
	VU__FDS_REGIONS,     /* one a region of the memory table */
};

/* Request numbers: VU__GET_FEATURES ..., VU__BACKEND_IOTLB_MSG ... */
enum vu__request {
#define VU__MSG(num, name, req, rep, rule, q, fds, rfds, gate) VU__##name = num,
#define VU__MESSAGES_FRONTEND
#include "wire/messages.def"
#undef VU__MESSAGES_FRONTEND
#undef VU__MSG
	VU__REQUEST_COUNT
};

enum vu__backend_request {
#define VU__MSG(num, name, req, rep, rule, q, fds, rfds, gate) VU__BACKEND_##name = num,
#define VU__MESSAGES_BACKEND
#include "wire/messages.def"
#undef VU__MESSAGES_BACKEND
#undef VU__MSG
	VU__BACKEND_REQUEST_COUNT
};

/* A row of messages.def. */
struct vu__msg_info {
	const char *name; /* without the VHOST_USER_ prefix */
	uint16_t number;
	uint8_t request;    /* enum vu__shape */
	uint8_t reply;	    /* enum vu__shape */
	uint8_t reply_rule; /* enum vu__reply_rule */
	uint8_t queue;	    /* enum vu__queue_in */
	uint8_t fds;	    /* enum vu__fds, of the request */
	uint8_t reply_fds;  /* enum vu__fds */
	int8_t gate;	    /* VU__PF_*, or VU__PF_NONE */
};

struct vu__msg {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* bytes of payload */
	uint32_t nfds;
	int fds[VU__MSG_MAX_FDS];
	union vu__payload payload;
};

/* On the wire: request, flags, size. */
#define VU__HEADER_SIZE 12u

/* The row of @request; NULL if the protocol has no such message. */
const struct vu__msg_info *vu__msg_info(enum vu__direction dir, uint32_t request);

/* "SET_OWNER", or "request 77" in a buffer of this thread's for unknown ones. */
const char *vu__msg_name(enum vu__direction dir, uint32_t request);

/* "REPLY_ACK", or "bit 60". */
const char *vu__protocol_feature_name(unsigned int bit);

/* An empty message: only @request and the version are set, all fds are -1. */
void vu__msg_init(struct vu__msg *m, uint32_t request);

/* Reads a header's 12 bytes.  0; -EPROTO: version; -EMSGSIZE: payload too large. */
VU_MUST_CHECK int vu__msg_decode_header(struct vu__msg *m, const uint8_t *bytes);

/* Writes a header's 12 bytes. */
void vu__msg_encode_header(const struct vu__msg *m, uint8_t *bytes);

/*
 * Whether a received request has the size, the fds and the inner counts its row asks
 * for.  Unknown requests pass.  0; -EPROTO with the reason for a person in @why.
 */
VU_MUST_CHECK int vu__msg_check_request(const struct vu__msg *m, enum vu__direction dir,
					char *why, size_t why_size);

/*
 * Whether @m is the answer to @request: number, flags, size, fds.  @ack: the answer is
 * the u64 of REPLY_ACK whatever the row says.  0; -EPROTO with the reason in @why.
 */
VU_MUST_CHECK int vu__msg_check_reply(const struct vu__msg *m, enum vu__direction dir,
				      uint32_t request, bool ack, char *why,
				      size_t why_size);

/* The queue a request names, -1 if its row says it names none. */
int vu__msg_queue(const struct vu__msg *m, enum vu__direction dir);

/* Moves fd @i out: the caller owns it, the message has -1 there. */
VU_MUST_CHECK int vu__msg_take_fd(struct vu__msg *m, unsigned int i);

/* Closes every fd still in the message. */
void vu__msg_close_fds(struct vu__msg *m);

/* Makes @m, a request that was handled, into its own answer with @size bytes. */
void vu__msg_make_reply(struct vu__msg *m, uint32_t size);

/* ... with a u64. */
void vu__msg_make_reply_u64(struct vu__msg *m, uint64_t value);

#endif
