/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The message table and what can be checked by it alone.  Pure; any thread. */
#include "wire/msg.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The columns of messages.def that are bare words or numbers. */
#define VU__FDS_NONE VU__FDS_0

static const struct vu__msg_info frontend_table[] = {
#define VU__MSG(num, name_, req, rep, rule, q, fds_, rfds, gate_)                        \
	[num] = {.name = #name_,                                                         \
		 .number = num,                                                          \
		 .request = VU__SHAPE_##req,                                             \
		 .reply = VU__SHAPE_##rep,                                               \
		 .reply_rule = VU__REPLY_##rule,                                         \
		 .queue = VU__QUEUE_##q,                                                 \
		 .fds = VU__FDS_##fds_,                                                  \
		 .reply_fds = VU__FDS_##rfds,                                            \
		 .gate = VU__PF_##gate_},
#define VU__MESSAGES_FRONTEND
#include "wire/messages.def"
#undef VU__MESSAGES_FRONTEND
};

static const struct vu__msg_info backend_table[] = {
#define VU__MESSAGES_BACKEND
#include "wire/messages.def"
#undef VU__MESSAGES_BACKEND
#undef VU__MSG
};

static const struct {
	uint16_t min, max;
} shape_size[VU__SHAPE_COUNT] = {
	[VU__SHAPE_NONE] = {0, 0},
	[VU__SHAPE_U64] = {8, 8},
	[VU__SHAPE_STATE] = {8, 8},
	[VU__SHAPE_ADDR] = {40, 40},
	[VU__SHAPE_MEM_TABLE] = {8, 264},
	[VU__SHAPE_MEM_REG] = {40, 40},
	[VU__SHAPE_LOG] = {16, 16},
	[VU__SHAPE_IOTLB] = {32, 32},
	[VU__SHAPE_CONFIG] = {VU__CONFIG_HEAD, VU__CONFIG_HEAD + VU__CONFIG_MAX},
	[VU__SHAPE_AREA] = {24, 24},
	[VU__SHAPE_INFLIGHT] = {VU__INFLIGHT_USED, 24},
	[VU__SHAPE_UUID] = {16, 16},
	[VU__SHAPE_DEVICE_STATE] = {8, 8},
	[VU__SHAPE_SHMEM_MAP] = {40, 40},
	[VU__SHAPE_SHMEM_CONFIG] = {2056, 2056},
	[VU__SHAPE_ANY] = {0, VU__MSG_MAX_PAYLOAD},
};

static const char *const feature_names[] = {
	"MQ",		    "LOG_SHMFD",	     "RARP",
	"REPLY_ACK",	    "MTU",		     "BACKEND_REQ",
	"CROSS_ENDIAN",	    "CRYPTO_SESSION",	     "PAGEFAULT",
	"CONFIG",	    "BACKEND_SEND_FD",	     "HOST_NOTIFIER",
	"INFLIGHT_SHMFD",   "RESET_DEVICE",	     "INBAND_NOTIFICATIONS",
	"CONFIGURE_MEM_SLOTS", "STATUS",	     "XEN_MMAP",
	"SHARED_OBJECT",    "DEVICE_STATE",	     "GET_VRING_BASE_INFLIGHT",
	"GPA_ADDRESSES",    "SHMEM",		     "GET_VRING_BASE_SKIP_DRAIN",
};
_Static_assert(VU_ARRAY_SIZE(feature_names) == VU__PF_COUNT, "a name for each feature");

const struct vu__msg_info *vu__msg_info(enum vu__direction dir, uint32_t request)
{
	const struct vu__msg_info *table = frontend_table;
	size_t n = VU_ARRAY_SIZE(frontend_table);

	if (dir == VU__TO_FRONTEND) {
		table = backend_table;
		n = VU_ARRAY_SIZE(backend_table);
	}
	if (request >= n || !table[request].name)
		return NULL;
	return &table[request];
}

const char *vu__msg_name(enum vu__direction dir, uint32_t request)
{
	static _Thread_local char unknown[24];
	const struct vu__msg_info *info = vu__msg_info(dir, request);

	if (info)
		return info->name;
	snprintf(unknown, sizeof(unknown), "request %u", request);
	return unknown;
}

const char *vu__protocol_feature_name(unsigned int bit)
{
	static _Thread_local char unknown[16];

	if (bit < VU__PF_COUNT)
		return feature_names[bit];
	snprintf(unknown, sizeof(unknown), "bit %u", bit);
	return unknown;
}

void vu__msg_init(struct vu__msg *m, uint32_t request)
{
	m->request = request;
	m->flags = VU__FLAG_VERSION;
	m->size = 0;
	m->nfds = 0;
	for (unsigned int i = 0; i < VU__MSG_MAX_FDS; i++)
		m->fds[i] = -1;
	memset(&m->payload, 0, sizeof(m->payload));
}

int vu__msg_decode_header(struct vu__msg *m, const uint8_t *bytes)
{
	memcpy(&m->request, bytes, 4);
	memcpy(&m->flags, bytes + 4, 4);
	memcpy(&m->size, bytes + 8, 4);
	if ((m->flags & VU__FLAG_VERSION_MASK) != VU__FLAG_VERSION)
		return -EPROTO;
	if (m->size > VU__MSG_MAX_PAYLOAD)
		return -EMSGSIZE;
	return 0;
}

void vu__msg_encode_header(const struct vu__msg *m, uint8_t *bytes)
{
	memcpy(bytes, &m->request, 4);
	memcpy(bytes + 4, &m->flags, 4);
	memcpy(bytes + 8, &m->size, 4);
}

VU_PRINTF(3, 4) static int refuse(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return -EPROTO;
}

/* Sizes that the payload itself determines. */
static uint32_t exact_size(const struct vu__msg *m, enum vu__shape shape)
{
	switch (shape) {
	case VU__SHAPE_MEM_TABLE:
		return 8 + m->payload.mem_table.nregions * sizeof(struct vu__region_payload);
	case VU__SHAPE_CONFIG:
		return VU__CONFIG_HEAD + m->payload.config.size;
	default:
		return m->size;
	}
}

static int check_shape(const struct vu__msg *m, enum vu__shape shape, char *why,
		       size_t why_size)
{
	uint32_t min = shape_size[shape].min, max = shape_size[shape].max;

	if (m->size < min || m->size > max) {
		if (min == max)
			return refuse(why, why_size, "payload of %u bytes, not %u", m->size, min);
		return refuse(why, why_size, "payload of %u bytes, not %u to %u", m->size, min,
			      max);
	}
	/* With the padding at its end or without, nothing in between. */
	if (shape == VU__SHAPE_INFLIGHT && m->size != min && m->size != max)
		return refuse(why, why_size, "payload of %u bytes, not %u or %u", m->size, min,
			      max);
	if (shape == VU__SHAPE_MEM_TABLE && m->payload.mem_table.nregions > VU__REGIONS_MAX)
		return refuse(why, why_size, "%u regions, more than %u",
			      m->payload.mem_table.nregions, VU__REGIONS_MAX);
	if (shape == VU__SHAPE_CONFIG && m->payload.config.size > VU__CONFIG_MAX)
		return refuse(why, why_size, "%u bytes of configuration, more than %u",
			      m->payload.config.size, VU__CONFIG_MAX);
	return 0;
}

/*
 * The fixed part of a memory table may be sent whole (264 bytes) or cut after the last
 * region; a configuration likewise carries its size twice, which must agree.
 */
static int check_inner_size(const struct vu__msg *m, enum vu__shape shape, char *why,
			    size_t why_size)
{
	uint32_t want = exact_size(m, shape);

	if (m->size == want)
		return 0;
	if (shape == VU__SHAPE_MEM_TABLE && m->size == sizeof(struct vu__mem_table_payload))
		return 0;
	return refuse(why, why_size, "payload of %u bytes, its contents need %u", m->size, want);
}

static int check_fds(const struct vu__msg *m, enum vu__fds rule, char *why, size_t why_size)
{
	uint32_t min = 0, max = 0;

	switch (rule) {
	case VU__FDS_0:
		break;
	case VU__FDS_1:
		min = max = 1;
		break;
	case VU__FDS_OPTIONAL:
		max = 1;
		break;
	case VU__FDS_UNLESS_NOFD:
		min = max = !(m->payload.u64 & VU__VRING_NOFD);
		break;
	case VU__FDS_REGIONS:
		min = max = m->payload.mem_table.nregions;
		break;
	}
	if (m->nfds < min || m->nfds > max)
		return refuse(why, why_size, "%u file descriptors, not %u", m->nfds,
			      m->nfds < min ? min : max);
	return 0;
}

int vu__msg_check_request(const struct vu__msg *m, enum vu__direction dir, char *why,
			  size_t why_size)
{
	const struct vu__msg_info *info = vu__msg_info(dir, m->request);
	int ret;

	if (m->flags & VU__FLAG_REPLY)
		return refuse(why, why_size, "a reply where a request belongs");
	if (!info)
		return 0;
	ret = check_shape(m, info->request, why, why_size);
	if (!ret)
		ret = check_inner_size(m, info->request, why, why_size);
	if (!ret)
		ret = check_fds(m, info->fds, why, why_size);
	return ret;
}

int vu__msg_check_reply(const struct vu__msg *m, enum vu__direction dir, uint32_t request,
			bool ack, char *why, size_t why_size)
{
	const struct vu__msg_info *info = vu__msg_info(dir, request);
	enum vu__shape shape = ack || !info ? VU__SHAPE_U64 : info->reply;
	int ret;

	if (m->request != request)
		return refuse(why, why_size, "a reply to %s", vu__msg_name(dir, m->request));
	if (m->flags != (VU__FLAG_VERSION | VU__FLAG_REPLY))
		return refuse(why, why_size, "flags 0x%x in a reply", m->flags);
	ret = check_shape(m, shape, why, why_size);
	if (!ret)
		ret = check_fds(m, ack || !info ? VU__FDS_0 : info->reply_fds, why, why_size);
	return ret;
}

int vu__msg_queue(const struct vu__msg *m, enum vu__direction dir)
{
	const struct vu__msg_info *info = vu__msg_info(dir, m->request);

	if (!info)
		return -1;
	switch ((enum vu__queue_in)info->queue) {
	case VU__QUEUE_U32:
		return m->payload.state.index > INT32_MAX ? INT32_MAX :
							    (int)m->payload.state.index;
	case VU__QUEUE_U8:
		return m->payload.u64 & VU__VRING_IDX_MASK;
	case VU__QUEUE_NONE:
		break;
	}
	return -1;
}

int vu__msg_take_fd(struct vu__msg *m, unsigned int i)
{
	return i < m->nfds ? vu__steal_fd(&m->fds[i]) : -1;
}

void vu__msg_close_fds(struct vu__msg *m)
{
	for (unsigned int i = 0; i < m->nfds; i++) {
		if (m->fds[i] >= 0)
			close(m->fds[i]);
		m->fds[i] = -1;
	}
	m->nfds = 0;
}

void vu__msg_make_reply(struct vu__msg *m, uint32_t size)
{
	m->flags = VU__FLAG_VERSION | VU__FLAG_REPLY;
	m->size = size;
}

void vu__msg_make_reply_u64(struct vu__msg *m, uint64_t value)
{
	m->payload.u64 = value;
	vu__msg_make_reply(m, sizeof(m->payload.u64));
}
