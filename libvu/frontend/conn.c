/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection of a front-end: one request, one answer, with a deadline. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/sys.h"
#include "frontend/fe.h"
#include "wire/sock.h"

#define DEFAULT_TIMEOUT_MS 5000

struct vu_frontend *vu_frontend_new(int sock)
{
	struct vu_frontend *fe = vu__sys.calloc(1, sizeof(*fe));

	if (!fe) {
		close(sock);
		return NULL;
	}
	fe->sock = sock;
	fe->channel = -1;
	fe->timeout_ms = DEFAULT_TIMEOUT_MS;
	fe->ask_acks = true;
	return fe;
}

struct vu_frontend *vu_frontend_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	VU_CLEANUP_FD int sock = -1;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	memcpy(addr.sun_path, path, strlen(path));
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)))
		return NULL;
	return vu_frontend_new(vu__steal_fd(&sock));
}

void vu_frontend_free(struct vu_frontend *fe)
{
	if (!fe)
		return;
	close(fe->sock);
	if (fe->channel >= 0)
		close(fe->channel);
	vu__fe_free_queues(fe);
	vu__fe_free_memory(fe);
	free(fe);
}

void vu_frontend_reconnect(struct vu_frontend *fe, int sock)
{
	close(fe->sock);
	fe->sock = sock;
	if (fe->channel >= 0)
		close(fe->channel);
	fe->channel = -1;
	fe->features = 0;
	fe->protocol_features = 0;
	vu__fe_restore_bases(fe);
}

void vu_frontend_set_timeout(struct vu_frontend *fe, int ms)
{
	fe->timeout_ms = ms;
}

const char *vu_frontend_error(const struct vu_frontend *fe)
{
	return fe->error;
}

int vu_frontend_sock(const struct vu_frontend *fe)
{
	return fe->sock;
}

void vu_frontend_ask_acks(struct vu_frontend *fe, bool ask)
{
	fe->ask_acks = ask;
}

uint64_t vu_frontend_features(const struct vu_frontend *fe)
{
	return fe->features;
}

uint64_t vu_frontend_protocol_features(const struct vu_frontend *fe)
{
	return fe->protocol_features;
}

int vu__fe_fail(struct vu_frontend *fe, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fe->error, sizeof(fe->error), fmt, ap);
	va_end(ap);
	return err;
}

/* Whether the protocol wants an answer, beside an ack. */
static bool has_reply(const struct vu_frontend *fe, const struct vu__msg_info *info)
{
	/* In postcopy the back-end says where it has mapped the memory. */
	if (info->number == VU__SET_MEM_TABLE || info->number == VU__ADD_MEM_REG)
		return fe->listening;
	switch ((enum vu__reply_rule)info->reply_rule) {
	case VU__REPLY_ALWAYS:
		return true;
	case VU__REPLY_LOG:
		return vu__has_bit(fe->protocol_features, VU__PF_LOG_SHMFD);
	case VU__REPLY_ACK:
		break;
	}
	return false;
}

/*
 * Back-ends answer SET_LOG_BASE with 0, 8 or 16 bytes, and a failed GET_CONFIG with
 * none: sizes the table does not say.
 */
static bool size_is_free(uint32_t request)
{
	return request == VU__SET_LOG_BASE || request == VU__GET_CONFIG;
}

static int check(struct vu_frontend *fe, const struct vu__msg *m, uint32_t request, bool ack)
{
	char why[160];

	if (size_is_free(request) && m->request == request &&
	    m->flags == (VU__FLAG_VERSION | VU__FLAG_REPLY))
		return 0;
	if (vu__msg_check_reply(m, VU__TO_BACKEND, request, ack, why, sizeof(why)))
		return vu__fe_fail(fe, -EPROTO, "answer to %s: %s",
				   vu__msg_name(VU__TO_BACKEND, request), why);
	return 0;
}

static int get_answer(struct vu_frontend *fe, struct vu__msg *m, uint32_t request, bool ack)
{
	int ret = vu__sock_recv(fe->sock, m, fe->timeout_ms);

	if (ret == 0)
		ret = -ECONNRESET;
	if (ret < 0)
		return vu__fe_fail(fe, ret, "answer to %s: %s",
				   vu__msg_name(VU__TO_BACKEND, request), strerror(-ret));
	ret = check(fe, m, request, ack);
	if (!ret && ack && m->payload.u64)
		ret = vu__fe_fail(fe, -EREMOTEIO, "%s: the back-end failed",
				  vu__msg_name(VU__TO_BACKEND, request));
	if (ret)
		vu__msg_close_fds(m);
	return ret;
}

int vu__fe_call(struct vu_frontend *fe, struct vu__msg *m)
{
	const struct vu__msg_info *info = vu__msg_info(VU__TO_BACKEND, m->request);
	uint32_t request = m->request;
	bool reply = info && has_reply(fe, info);
	bool ack = !reply && fe->ask_acks && vu__has_bit(fe->protocol_features, VU__PF_REPLY_ACK);
	int ret;

	if (ack)
		m->flags |= VU__FLAG_NEED_REPLY;
	ret = vu__sock_send(fe->sock, m, fe->timeout_ms);
	if (ret)
		return vu__fe_fail(fe, ret == -EPIPE ? -ECONNRESET : ret, "%s: %s",
				   vu__msg_name(VU__TO_BACKEND, request), strerror(-ret));
	m->nfds = 0;
	return reply || ack ? get_answer(fe, m, request, ack) : 0;
}

int vu__fe_call_u64(struct vu_frontend *fe, uint32_t request, uint64_t value)
{
	struct vu__msg m;

	vu__msg_init(&m, request);
	m.payload.u64 = value;
	m.size = sizeof(value);
	return vu__fe_call(fe, &m);
}

int vu__fe_get_u64(struct vu_frontend *fe, uint32_t request, uint64_t *value)
{
	struct vu__msg m;
	int ret;

	vu__msg_init(&m, request);
	ret = vu__fe_call(fe, &m);
	if (!ret)
		*value = m.payload.u64;
	return ret;
}

int vu__fe_call_fd(struct vu_frontend *fe, uint32_t request, int fd)
{
	struct vu__msg m;

	vu__msg_init(&m, request);
	m.fds[0] = fd;
	m.nfds = 1;
	return vu__fe_call(fe, &m);
}

int vu_frontend_send(struct vu_frontend *fe, const struct vu_frontend_message *msg)
{
	uint8_t bytes[VU__HEADER_SIZE + sizeof(msg->payload)];
	struct vu__msg head = {.request = msg->request, .flags = msg->flags, .size = msg->size};

	if (msg->payload_size > sizeof(msg->payload) || msg->nfds > VU_ARRAY_SIZE(msg->fds))
		return -EINVAL;
	vu__msg_encode_header(&head, bytes);
	memcpy(bytes + VU__HEADER_SIZE, msg->payload, msg->payload_size);
	return vu__sock_send_raw(fe->sock, bytes, VU__HEADER_SIZE + msg->payload_size, msg->fds,
				 msg->nfds, fe->timeout_ms);
}

static int recv_message(int sock, struct vu_frontend_message *msg, int timeout_ms)
{
	struct vu__msg m;
	int ret = vu__sock_recv(sock, &m, timeout_ms);

	if (ret <= 0)
		return ret ? ret : -ECONNRESET;
	msg->request = m.request;
	msg->flags = m.flags;
	msg->size = m.size;
	msg->payload_size = m.size;
	memcpy(msg->payload, m.payload.raw, m.size);
	msg->nfds = m.nfds;
	memcpy(msg->fds, m.fds, m.nfds * sizeof(m.fds[0]));
	return 0;
}

int vu_frontend_recv(struct vu_frontend *fe, struct vu_frontend_message *msg)
{
	return recv_message(fe->sock, msg, fe->timeout_ms);
}

/* --- the back-end's channel --- */

int vu_frontend_open_channel(struct vu_frontend *fe)
{
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	ret = vu__fe_call_fd(fe, VU__SET_BACKEND_REQ_FD, pair[1]);
	close(pair[1]);
	if (ret) {
		close(pair[0]);
		return ret;
	}
	if (fe->channel >= 0)
		close(fe->channel);
	fe->channel = pair[0];
	return 0;
}

int vu_frontend_channel_fd(const struct vu_frontend *fe)
{
	return fe->channel;
}

int vu_frontend_channel_recv(struct vu_frontend *fe, struct vu_frontend_message *msg)
{
	return fe->channel < 0 ? -ENOTCONN : recv_message(fe->channel, msg, fe->timeout_ms);
}

int vu_frontend_channel_reply(struct vu_frontend *fe, const struct vu_frontend_message *msg,
			      uint64_t result)
{
	struct vu__msg m;

	if (!(msg->flags & VU__FLAG_NEED_REPLY))
		return 0;
	vu__msg_init(&m, msg->request);
	vu__msg_make_reply_u64(&m, result);
	return vu__sock_send(fe->channel, &m, fe->timeout_ms);
}
