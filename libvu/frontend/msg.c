/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A front-end's requests, one function each, but memory's.  */
#include <errno.h>
#include <string.h>

#include "frontend/fe.h"
#include "wire/sock.h"

int vu_frontend_get_features(struct vu_frontend *fe, uint64_t *features)
{
	return vu__fe_get_u64(fe, VU__GET_FEATURES, features);
}

int vu_frontend_set_features(struct vu_frontend *fe, uint64_t features)
{
	int ret = vu__fe_call_u64(fe, VU__SET_FEATURES, features);

	if (!ret)
		fe->features = features;
	return ret;
}

int vu_frontend_get_protocol_features(struct vu_frontend *fe, uint64_t *features)
{
	return vu__fe_get_u64(fe, VU__GET_PROTOCOL_FEATURES, features);
}

int vu_frontend_set_protocol_features(struct vu_frontend *fe, uint64_t features)
{
	int ret = vu__fe_call_u64(fe, VU__SET_PROTOCOL_FEATURES, features);

	if (!ret)
		fe->protocol_features = features;
	return ret;
}

static int call_empty(struct vu_frontend *fe, uint32_t request)
{
	struct vu__msg m;

	vu__msg_init(&m, request);
	return vu__fe_call(fe, &m);
}

int vu_frontend_set_owner(struct vu_frontend *fe)
{
	return call_empty(fe, VU__SET_OWNER);
}

int vu_frontend_reset_owner(struct vu_frontend *fe)
{
	return call_empty(fe, VU__RESET_OWNER);
}

int vu_frontend_reset_device(struct vu_frontend *fe)
{
	return call_empty(fe, VU__RESET_DEVICE);
}

int vu_frontend_get_queue_num(struct vu_frontend *fe, uint64_t *num)
{
	return vu__fe_get_u64(fe, VU__GET_QUEUE_NUM, num);
}

int vu_frontend_get_max_mem_slots(struct vu_frontend *fe, uint64_t *num)
{
	return vu__fe_get_u64(fe, VU__GET_MAX_MEM_SLOTS, num);
}

int vu_frontend_negotiate(struct vu_frontend *fe, uint64_t features,
			  uint64_t protocol_features)
{
	uint64_t offered, protocol_offered;
	int ret = vu_frontend_set_owner(fe);

	if (!ret)
		ret = vu_frontend_get_features(fe, &offered);
	if (ret)
		return ret;
	if (vu__has_bit(offered, VU__F_PROTOCOL_FEATURES)) {
		features |= VU_BIT(VU__F_PROTOCOL_FEATURES);
		ret = vu_frontend_get_protocol_features(fe, &protocol_offered);
		if (!ret)
			ret = vu_frontend_set_protocol_features(
				fe, protocol_features & protocol_offered);
	}
	return ret ? ret : vu_frontend_set_features(fe, features & offered);
}

static int call_state(struct vu_frontend *fe, uint32_t request, unsigned int queue,
		      uint32_t num, uint32_t *answer)
{
	struct vu__msg m;
	int ret;

	vu__msg_init(&m, request);
	m.payload.state.index = queue;
	m.payload.state.num = num;
	m.size = sizeof(m.payload.state);
	ret = vu__fe_call(fe, &m);
	if (ret || !answer)
		return ret;
	if (m.payload.state.index != queue)
		return vu__fe_fail(fe, -EPROTO, "%s of queue %u answered for queue %u",
				   vu__msg_name(VU__TO_BACKEND, request), queue,
				   m.payload.state.index);
	*answer = m.payload.state.num;
	return 0;
}

int vu_frontend_set_vring_num(struct vu_frontend *fe, unsigned int queue, uint32_t num)
{
	return call_state(fe, VU__SET_VRING_NUM, queue, num, NULL);
}

int vu_frontend_set_vring_base(struct vu_frontend *fe, unsigned int queue, uint32_t base)
{
	return call_state(fe, VU__SET_VRING_BASE, queue, base, NULL);
}

int vu_frontend_get_vring_base(struct vu_frontend *fe, unsigned int queue, uint32_t *base)
{
	return call_state(fe, VU__GET_VRING_BASE, queue, 0, base);
}

int vu_frontend_get_vring_base_skip_drain(struct vu_frontend *fe, unsigned int queue,
					  uint32_t *base)
{
	return call_state(fe, VU__GET_VRING_BASE_SKIP_DRAIN, queue, 0, base);
}

int vu_frontend_set_vring_enable(struct vu_frontend *fe, unsigned int queue, bool enable)
{
	return call_state(fe, VU__SET_VRING_ENABLE, queue, enable, NULL);
}

int vu_frontend_set_vring_endian(struct vu_frontend *fe, unsigned int queue, bool big)
{
	return call_state(fe, VU__SET_VRING_ENDIAN, queue, big, NULL);
}

int vu_frontend_vring_kick(struct vu_frontend *fe, unsigned int queue)
{
	return call_state(fe, VU__VRING_KICK, queue, 0, NULL);
}

int vu_frontend_set_vring_addr(struct vu_frontend *fe, unsigned int queue, uint32_t flags,
			       uint64_t desc, uint64_t used, uint64_t avail, uint64_t log)
{
	struct vu__msg m;

	vu__msg_init(&m, VU__SET_VRING_ADDR);
	m.payload.addr = (struct vhost_vring_addr){.index = queue,
						   .flags = flags,
						   .desc_user_addr = desc,
						   .used_user_addr = used,
						   .avail_user_addr = avail,
						   .log_guest_addr = log};
	m.size = sizeof(m.payload.addr);
	return vu__fe_call(fe, &m);
}

static int call_vring_fd(struct vu_frontend *fe, uint32_t request, unsigned int queue, int fd)
{
	struct vu__msg m;

	vu__msg_init(&m, request);
	m.payload.u64 = queue;
	m.size = sizeof(m.payload.u64);
	if (fd < 0) {
		m.payload.u64 |= VU__VRING_NOFD;
	} else {
		m.fds[0] = fd;
		m.nfds = 1;
	}
	return vu__fe_call(fe, &m);
}

int vu_frontend_set_vring_kick(struct vu_frontend *fe, unsigned int queue, int fd)
{
	return call_vring_fd(fe, VU__SET_VRING_KICK, queue, fd);
}

int vu_frontend_set_vring_call(struct vu_frontend *fe, unsigned int queue, int fd)
{
	return call_vring_fd(fe, VU__SET_VRING_CALL, queue, fd);
}

int vu_frontend_set_vring_err(struct vu_frontend *fe, unsigned int queue, int fd)
{
	return call_vring_fd(fe, VU__SET_VRING_ERR, queue, fd);
}

int vu_frontend_get_config(struct vu_frontend *fe, uint32_t offset, uint32_t size, void *to)
{
	struct vu__msg m;
	int ret;

	if (size > VU__CONFIG_MAX)
		return vu__fe_fail(fe, -EINVAL, "%u bytes of configuration", size);
	vu__msg_init(&m, VU__GET_CONFIG);
	m.payload.config.offset = offset;
	m.payload.config.size = size;
	m.size = VU__CONFIG_HEAD + size;
	ret = vu__fe_call(fe, &m);
	if (ret)
		return ret;
	if (m.size != VU__CONFIG_HEAD + size)
		return vu__fe_fail(fe, m.size ? -EPROTO : -EREMOTEIO,
				   "GET_CONFIG answered with %u bytes", m.size);
	memcpy(to, m.payload.config.data, size);
	return 0;
}

int vu_frontend_set_config(struct vu_frontend *fe, uint32_t offset, uint32_t size,
			   uint32_t flags, const void *from)
{
	struct vu__msg m;

	if (size > VU__CONFIG_MAX)
		return vu__fe_fail(fe, -EINVAL, "%u bytes of configuration", size);
	vu__msg_init(&m, VU__SET_CONFIG);
	m.payload.config.offset = offset;
	m.payload.config.size = size;
	m.payload.config.flags = flags;
	memcpy(m.payload.config.data, from, size);
	m.size = VU__CONFIG_HEAD + size;
	return vu__fe_call(fe, &m);
}

int vu_frontend_send_rarp(struct vu_frontend *fe, const uint8_t mac[6])
{
	uint64_t value = 0;

	memcpy(&value, mac, 6);
	return vu__fe_call_u64(fe, VU__SEND_RARP, value);
}

int vu_frontend_set_mtu(struct vu_frontend *fe, uint64_t mtu)
{
	return vu__fe_call_u64(fe, VU__NET_SET_MTU, mtu);
}

int vu_frontend_set_status(struct vu_frontend *fe, uint64_t status)
{
	return vu__fe_call_u64(fe, VU__SET_STATUS, status);
}

int vu_frontend_get_status(struct vu_frontend *fe, uint64_t *status)
{
	return vu__fe_get_u64(fe, VU__GET_STATUS, status);
}

int vu_frontend_gpu_set_socket(struct vu_frontend *fe, int fd)
{
	return vu__fe_call_fd(fe, VU__GPU_SET_SOCKET, fd);
}

int vu_frontend_set_log_base(struct vu_frontend *fe, int fd, uint64_t size, uint64_t offset)
{
	struct vu__msg m;

	vu__msg_init(&m, VU__SET_LOG_BASE);
	m.payload.log.size = size;
	m.payload.log.offset = offset;
	m.size = sizeof(m.payload.log);
	m.fds[0] = fd;
	m.nfds = 1;
	return vu__fe_call(fe, &m);
}

int vu_frontend_set_log_fd(struct vu_frontend *fe, int fd)
{
	return vu__fe_call_fd(fe, VU__SET_LOG_FD, fd);
}

int vu_frontend_postcopy_advise(struct vu_frontend *fe, int *fd)
{
	struct vu__msg m;
	int ret;

	vu__msg_init(&m, VU__POSTCOPY_ADVISE);
	ret = vu__fe_call(fe, &m);
	if (ret)
		return ret;
	*fd = vu__msg_take_fd(&m, 0);
	if (*fd < 0)
		return vu__fe_fail(fe, -EREMOTEIO, "POSTCOPY_ADVISE: the back-end gives no "
				   "userfaultfd");
	return 0;
}

int vu_frontend_postcopy_listen(struct vu_frontend *fe)
{
	int ret = call_empty(fe, VU__POSTCOPY_LISTEN);

	if (!ret)
		fe->listening = true;
	return ret;
}

/* No answer follows, and none is asked for. */
int vu_frontend_postcopy_ack(struct vu_frontend *fe, uint64_t result)
{
	struct vu__msg m;
	int ret;

	vu__msg_init(&m, fe->table_request);
	fe->table_request = 0;
	m.payload.u64 = result;
	m.size = sizeof(m.payload.u64);
	ret = vu__sock_send(fe->sock, &m, fe->timeout_ms);
	return ret ? vu__fe_fail(fe, ret, "acknowledging memory: %s", strerror(-ret)) : 0;
}

static int get_result(struct vu_frontend *fe, uint32_t request)
{
	uint64_t value;
	int ret = vu__fe_get_u64(fe, request, &value);

	if (!ret && value)
		ret = vu__fe_fail(fe, -EREMOTEIO, "%s: the back-end failed",
				  vu__msg_name(VU__TO_BACKEND, request));
	return ret;
}

int vu_frontend_postcopy_end(struct vu_frontend *fe)
{
	int ret = get_result(fe, VU__POSTCOPY_END);

	if (!ret)
		fe->listening = false;
	return ret;
}

static void make_inflight(struct vu__msg *m, uint64_t size, uint64_t offset, uint16_t queues,
			  uint16_t queue_size)
{
	m->payload.inflight = (struct vu__inflight_payload){.mmap_size = size,
							    .mmap_offset = offset,
							    .num_queues = queues,
							    .queue_size = queue_size};
	m->size = sizeof(m->payload.inflight);
}

int vu_frontend_get_inflight_fd(struct vu_frontend *fe, uint16_t queues, uint16_t queue_size,
				int *fd, uint64_t *size, uint64_t *offset)
{
	struct vu__msg m;
	int ret;

	vu__msg_init(&m, VU__GET_INFLIGHT_FD);
	make_inflight(&m, 0, 0, queues, queue_size);
	ret = vu__fe_call(fe, &m);
	if (ret)
		return ret;
	*fd = vu__msg_take_fd(&m, 0);
	*size = m.payload.inflight.mmap_size;
	*offset = m.payload.inflight.mmap_offset;
	return 0;
}

int vu_frontend_set_inflight_fd(struct vu_frontend *fe, int fd, uint64_t size,
				uint64_t offset, uint16_t queues, uint16_t queue_size)
{
	struct vu__msg m;

	vu__msg_init(&m, VU__SET_INFLIGHT_FD);
	make_inflight(&m, size, offset, queues, queue_size);
	m.fds[0] = fd;
	m.nfds = 1;
	return vu__fe_call(fe, &m);
}

int vu_frontend_set_device_state_fd(struct vu_frontend *fe, uint32_t direction,
				    uint32_t phase, int fd, int *reply_fd)
{
	struct vu__msg m;
	int ret;

	*reply_fd = -1;
	vu__msg_init(&m, VU__SET_DEVICE_STATE_FD);
	m.payload.device_state.direction = direction;
	m.payload.device_state.phase = phase;
	m.size = sizeof(m.payload.device_state);
	m.fds[0] = fd;
	m.nfds = 1;
	ret = vu__fe_call(fe, &m);
	if (ret)
		return ret;
	/* The low byte is the result, bit 8 says that no fd came. */
	if (m.payload.u64 & 0xff || !(m.payload.u64 & VU__VRING_NOFD) != (m.nfds == 1)) {
		vu__msg_close_fds(&m);
		return vu__fe_fail(fe, m.payload.u64 & 0xff ? -EREMOTEIO : -EPROTO,
				   "SET_DEVICE_STATE_FD answered 0x%llx",
				   (unsigned long long)m.payload.u64);
	}
	*reply_fd = vu__msg_take_fd(&m, 0);
	return 0;
}

int vu_frontend_check_device_state(struct vu_frontend *fe)
{
	return get_result(fe, VU__CHECK_DEVICE_STATE);
}

int vu_frontend_iotlb(struct vu_frontend *fe, uint64_t iova, uint64_t size, uint64_t uaddr,
		      uint8_t perm, uint8_t type)
{
	struct vu__msg m;
	int ret;

	vu__msg_init(&m, VU__IOTLB_MSG);
	m.payload.iotlb = (struct vu__iotlb_payload){iova, size, uaddr, perm, type, {0}};
	m.size = 32;
	ret = vu__fe_call(fe, &m);
	if (!ret && m.payload.u64)
		ret = vu__fe_fail(fe, -EREMOTEIO, "IOTLB_MSG: the back-end failed");
	return ret;
}

int vu_frontend_get_shared_object(struct vu_frontend *fe, const uint8_t uuid[16], int *fd)
{
	struct vu__msg m;
	int ret;

	vu__msg_init(&m, VU__GET_SHARED_OBJECT);
	memcpy(m.payload.uuid, uuid, 16);
	m.size = 16;
	ret = vu__fe_call(fe, &m);
	if (!ret)
		*fd = vu__msg_take_fd(&m, 0);
	return ret;
}

int vu_frontend_get_shmem_config(struct vu_frontend *fe, uint32_t *nregions,
				 uint64_t sizes[256])
{
	struct vu__msg m;
	int ret;

	vu__msg_init(&m, VU__GET_SHMEM_CONFIG);
	ret = vu__fe_call(fe, &m);
	if (ret)
		return ret;
	*nregions = m.payload.shmem_config.nregions;
	memcpy(sizes, m.payload.shmem_config.sizes, sizeof(m.payload.shmem_config.sizes));
	return 0;
}

int vu_frontend_create_crypto_session(struct vu_frontend *fe, void *session, size_t *len,
				      size_t room)
{
	struct vu__msg m;
	int ret;

	if (*len > sizeof(m.payload.raw))
		return vu__fe_fail(fe, -EINVAL, "a session of %zu bytes", *len);
	vu__msg_init(&m, VU__CREATE_CRYPTO_SESSION);
	memcpy(m.payload.raw, session, *len);
	m.size = *len;
	ret = vu__fe_call(fe, &m);
	if (ret)
		return ret;
	if (m.size > room)
		return vu__fe_fail(fe, -EMSGSIZE, "a session of %u bytes came back", m.size);
	memcpy(session, m.payload.raw, m.size);
	*len = m.size;
	return 0;
}

int vu_frontend_close_crypto_session(struct vu_frontend *fe, uint64_t id)
{
	return vu__fe_call_u64(fe, VU__CLOSE_CRYPTO_SESSION, id);
}
