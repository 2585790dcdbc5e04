/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a message to its handler to the answer.  "Message specification", "Communication",
 * "VHOST_USER_PROTOCOL_F_REPLY_ACK".  Control thread.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "backend/dev.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/trace.h"

/*
 * The socket has room for more answers than a front-end that reads them waits for; one
 * that does not must not hold the event loop up.
 */
#define REPLY_TIMEOUT_MS 1000

static vu__handler *const handlers[VU__REQUEST_COUNT] = {
	[VU__GET_FEATURES] = vu__req_get_features,
	[VU__SET_FEATURES] = vu__req_set_features,
	[VU__SET_OWNER] = vu__req_set_owner,
	[VU__RESET_OWNER] = vu__req_reset_owner,
	[VU__SET_MEM_TABLE] = vu__req_set_mem_table,
	[VU__SET_LOG_BASE] = vu__req_set_log_base,
	[VU__SET_LOG_FD] = vu__req_set_log_fd,
	[VU__GET_INFLIGHT_FD] = vu__req_get_inflight_fd,
	[VU__SET_INFLIGHT_FD] = vu__req_set_inflight_fd,
	[VU__SET_VRING_NUM] = vu__req_set_vring_num,
	[VU__SET_VRING_ADDR] = vu__req_set_vring_addr,
	[VU__SET_VRING_BASE] = vu__req_set_vring_base,
	[VU__GET_VRING_BASE] = vu__req_get_vring_base,
	[VU__SET_VRING_KICK] = vu__req_set_vring_kick,
	[VU__SET_VRING_CALL] = vu__req_set_vring_call,
	[VU__SET_VRING_ERR] = vu__req_set_vring_err,
	[VU__GET_PROTOCOL_FEATURES] = vu__req_get_protocol_features,
	[VU__SET_PROTOCOL_FEATURES] = vu__req_set_protocol_features,
	[VU__GET_QUEUE_NUM] = vu__req_get_queue_num,
	[VU__SET_VRING_ENABLE] = vu__req_set_vring_enable,
	[VU__SET_BACKEND_REQ_FD] = vu__req_set_backend_req_fd,
	[VU__GET_CONFIG] = vu__req_get_config,
	[VU__SET_CONFIG] = vu__req_set_config,
	[VU__POSTCOPY_ADVISE] = vu__req_postcopy_advise,
	[VU__POSTCOPY_LISTEN] = vu__req_postcopy_listen,
	[VU__POSTCOPY_END] = vu__req_postcopy_end,
	[VU__RESET_DEVICE] = vu__req_reset_device,
	[VU__VRING_KICK] = vu__req_vring_kick,
	[VU__SET_DEVICE_STATE_FD] = vu__req_set_device_state_fd,
	[VU__CHECK_DEVICE_STATE] = vu__req_check_device_state,
	[VU__GET_VRING_BASE_SKIP_DRAIN] = vu__req_skip_drain,
	[VU__GET_MAX_MEM_SLOTS] = vu__req_get_max_mem_slots,
	[VU__ADD_MEM_REG] = vu__req_add_mem_reg,
	[VU__REM_MEM_REG] = vu__req_rem_mem_reg,
};

static const char *request_name(uint32_t request)
{
	return vu__msg_name(VU__TO_BACKEND, request);
}

const char *vu_request_to_string(unsigned int req)
{
#define VU__MSG(num, name, rq, rp, rule, q, fds, rfds, gate) [num] = "VHOST_USER_" #name,
	static const char *const names[] = {
		"VHOST_USER_NONE",
#define VU__MESSAGES_FRONTEND
#include "wire/messages.def"
#undef VU__MESSAGES_FRONTEND
	};
#undef VU__MSG

	return req < VU_ARRAY_SIZE(names) && names[req] ? names[req] : "unknown";
}

int vu__send_reply(struct vu__dev *d, struct vu__msg *m)
{
	int ret = vu__sock_send(d->pub->sock, m, REPLY_TIMEOUT_MS);

	if (ret)
		vu__dev_panic(d, "answer to %s: %s", request_name(m->request), strerror(-ret));
	return ret;
}

/* --- the callbacks that see messages in the public form --- */

static void to_public(struct vu__msg *m, VhostUserMsg *v)
{
	memset(v, 0, sizeof(*v));
	v->request = m->request;
	v->flags = m->flags;
	v->size = m->size;
	v->fd_num = m->nfds;
	memcpy(v->fds, m->fds, sizeof(v->fds));
	if (m->size <= sizeof(v->payload))
		memcpy(&v->payload, &m->payload, m->size);
	else
		v->data = m->payload.raw;
}

/* The payload and the fds of @v; false if they do not fit. */
static bool from_public(const VhostUserMsg *v, struct vu__msg *m)
{
	vu__msg_init(m, v->request);
	if (v->size > sizeof(m->payload) || (!v->data && v->size > sizeof(v->payload)) ||
	    v->fd_num < 0 || v->fd_num > VU__MSG_MAX_FDS)
		return false;
	m->flags = v->flags;
	m->size = v->size;
	m->nfds = v->fd_num;
	memcpy(m->fds, v->fds, sizeof(v->fds));
	if (v->data)
		memcpy(m->payload.raw, v->data, v->size);
	else
		memcpy(m->payload.raw, &v->payload, v->size);
	return true;
}

/*
 * What is there of a message is taken; only for its first byte is waited: a front-end
 * that stops in the middle must not hold the event loop up.
 */
static int receive_part(struct vu__dev *d, struct vu__msg *m)
{
	uint32_t before = d->arrival.got;
	int ret;

	while ((ret = vu__sock_recv_part(d->pub->sock, m, &d->arrival)) == -EAGAIN &&
	       d->arrival.got == before) {
		ret = vu__fd_wait(d->pub->sock, POLLIN, -1);
		if (ret)
			return ret;
	}
	return ret;
}

/* 1; 0 for the end; -EAGAIN for a message that is not whole; or -errno. */
static int receive(struct vu__dev *d, struct vu__msg *m)
{
	VhostUserMsg v;
	bool fits;

	if (!d->read_msg)
		return receive_part(d, m);
	memset(&v, 0, sizeof(v));
	for (size_t i = 0; i < VU__MSG_MAX_FDS; i++)
		v.fds[i] = -1;
	if (!d->read_msg(d->pub, d->pub->sock, &v))
		return 0;
	fits = from_public(&v, m);
	free(v.data);
	if (fits)
		return 1;
	for (int i = 0; i < VU__MSG_MAX_FDS; i++) {
		if (v.fds[i] >= 0)
			close(v.fds[i]);
	}
	return -EMSGSIZE;
}

/* Lets the device see the message.  True if it has handled it. */
static bool device_handles(struct vu__dev *d, struct vu__msg *m, int *result)
{
	const VuDevIface *iface = d->pub->iface;
	VhostUserMsg v;
	int do_reply = 0;
	struct vu__msg reply;

	if (!iface->process_msg)
		return false;
	to_public(m, &v);
	if (!iface->process_msg(d->pub, &v, &do_reply))
		return false;
	/* The fds are the device's now. */
	m->nfds = 0;
	*result = VU__DONE;
	if (!do_reply)
		return true;
	if (from_public(&v, &reply)) {
		vu__msg_make_reply(&reply, reply.size);
		(void)vu__send_reply(d, &reply);
		*result = VU__DEFERRED;
	} else {
		*result = vu__refuse(d, -EINVAL, "the device's answer of %u bytes", v.size);
	}
	if (v.data != m->payload.raw)
		free(v.data);
	return true;
}

/* --- one request --- */

static int check_gate(struct vu__dev *d, const struct vu__msg_info *info)
{
	if (info->gate == VU__PF_NONE || vu__dev_has(d, info->gate))
		return 0;
	return vu__refuse(d, -EPROTO, "protocol feature %s was not negotiated",
			  vu__protocol_feature_name(info->gate));
}

static int run(struct vu__dev *d, struct vu__msg *m)
{
	const struct vu__msg_info *info = vu__msg_info(VU__TO_BACKEND, m->request);
	int queue = vu__msg_queue(m, VU__TO_BACKEND);
	int ret;

	if (vu__postcopy_filter(d, m, &ret))
		return ret;
	ret = vu__msg_check_request(m, VU__TO_BACKEND, d->why, sizeof(d->why));
	if (ret)
		return ret;
	if (queue >= d->pub->max_queues)
		return vu__refuse(d, -EINVAL, "queue %d of %d", queue, d->pub->max_queues);
	if (device_handles(d, m, &ret))
		return ret;
	if (!info)
		return vu__refuse(d, -ENOTSUP, "not a request of the protocol");
	ret = check_gate(d, info);
	if (ret)
		return ret;
	if (!handlers[m->request])
		return vu__refuse(d, -ENOTSUP, "the device does not handle it");
	return handlers[m->request](d, m);
}

/* Answers a refused request, or ends the connection if there is no way to. */
static bool report_failure(struct vu__dev *d, struct vu__msg *m, bool wants_ack, int err)
{
	if (!d->why[0])
		vu__refuse(d, err, "%s", strerror(-err));
	/* "VHOST_USER_GET_CONFIG": an empty payload says error. */
	if (m->request == VU__GET_CONFIG && vu__dev_has(d, VU__PF_CONFIG)) {
		vu__warn("%s: %s", request_name(m->request), d->why);
		vu__msg_make_reply(m, 0);
		return vu__send_reply(d, m) == 0;
	}
	if (wants_ack) {
		vu__warn("%s: %s", request_name(m->request), d->why);
		vu__msg_make_reply_u64(m, 1);
		return vu__send_reply(d, m) == 0;
	}
	vu__dev_panic(d, "%s: %s", request_name(m->request), d->why);
	return false;
}

/* QEMU waits for the answer to POSTCOPY_LISTEN, with REPLY_ACK negotiated or not. */
static bool is_ack_wanted(const struct vu__dev *d, const struct vu__msg *m)
{
	return m->flags & VU__FLAG_NEED_REPLY &&
	       (vu__dev_has(d, VU__PF_REPLY_ACK) || m->request == VU__POSTCOPY_LISTEN);
}

/* For those who have described the device elsewhere and must know if it is still so. */
static void count_change(struct vu__dev *d, uint32_t request, int queue)
{
	switch (request) {
	case VU__SET_VRING_KICK:
	case VU__SET_VRING_CALL:
	case VU__SET_VRING_ERR:
		d->queues[queue].fd_epoch++;
		return;
	case VU__GET_FEATURES:
	case VU__GET_PROTOCOL_FEATURES:
	case VU__GET_QUEUE_NUM:
	case VU__GET_MAX_MEM_SLOTS:
	case VU__GET_CONFIG:
	case VU__SET_OWNER:
		return;
	default:
		/* The rest of a queue is in every description. */
		if (queue < 0)
			d->epoch++;
	}
}

static bool serve(struct vu__dev *d, struct vu__msg *m)
{
	bool wants_ack = is_ack_wanted(d, m);
	/* A handler may put its answer in the place of the request. */
	uint32_t request = m->request;
	int queue = vu__msg_queue(m, VU__TO_BACKEND);
	uint64_t began = vu__show_message_begin(d, m);
	int ret;

	vu__debug(VU__DEBUG_MSG, "%s flags 0x%x size %u fds %u", request_name(m->request),
		  m->flags, m->size, m->nfds);
	/* Only further stops may wait behind a stop that is not answered yet. */
	if (d->nstopping && m->request != VU__GET_VRING_BASE &&
	    m->request != VU__GET_VRING_BASE_SKIP_DRAIN)
		vu__drain_force(d);
	d->why[0] = '\0';
	ret = run(d, m);
	if (ret >= 0)
		count_change(d, request, queue);
	vu__show_message_end(d, request, queue, ret, began);
	VU__TRACE4(msg, d->pub, request, queue, ret);
	if (ret == VU__REPLY) {
		/* Fds in it now are the answer's. */
		ret = vu__send_reply(d, m);
		vu__msg_close_fds(m);
		return ret == 0;
	}
	vu__msg_close_fds(m);
	if (ret < 0)
		return report_failure(d, m, wants_ack, ret);
	if (ret == VU__DONE && wants_ack) {
		vu__msg_make_reply_u64(m, 0);
		return vu__send_reply(d, m) == 0;
	}
	return !vu__dev_broken(d->pub);
}

static bool dispatch(struct vu__dev *d)
{
	bool ok;
	int ret;

	for (unsigned int i = 0; vu__services[i]; i++) {
		enum vu__dispatch how = vu__services[i]->dispatch(d, d->service_data[i]);

		if (how != VU__DISPATCH)
			return how == VU__DISPATCH_LATER;
	}
	ret = receive(d, &d->in);
	if (ret == 0) {
		vu__show_gone(d);
		return false;
	}
	if (ret == -EAGAIN)
		return true;
	if (ret < 0) {
		vu__dev_panic(d, "reading a message: %s",
			      ret == -EPROTO   ? "not version 1 of the protocol" :
			      ret == -E2BIG    ? "more file descriptors than any message has" :
			      ret == -EMSGSIZE ? "larger than any message" :
						 strerror(-ret));
		return false;
	}
	d->control = pthread_self();
	__atomic_store_n(&d->in_dispatch, true, __ATOMIC_RELEASE);
	ok = serve(d, &d->in);
	__atomic_store_n(&d->in_dispatch, false, __ATOMIC_RELEASE);
	return ok;
}

bool vu_dispatch(VuDev *dev)
{
	struct vu__dev *d = vu__dev_of(dev);
	bool ok = !vu__dev_broken(dev) && !vu__postcopy_lost(&d->postcopy) && dispatch(d);

	if (!ok)
		vu__postcopy_cut_off(d);
	return ok;
}
