/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asking any back-end as its front-end: connect, negotiate, look, leave.  More than once,
 * as a machine that comes again would.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "libvu/frontend.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/facts.h"
#include "wire/spec.h"

/* Not what would oblige us to more: a channel, an IOMMU. */
#define PROTOCOL                                                                         \
	(VU_BIT(VU__PF_MQ) | VU_BIT(VU__PF_LOG_SHMFD) | VU_BIT(VU__PF_REPLY_ACK) |      \
	 VU_BIT(VU__PF_PAGEFAULT) | VU_BIT(VU__PF_CONFIG) | VU_BIT(VU__PF_INFLIGHT_SHMFD) | \
	 VU_BIT(VU__PF_CONFIGURE_MEM_SLOTS) | VU_BIT(VU__PF_STATUS) |                   \
	 VU_BIT(VU__PF_DEVICE_STATE))

#define NOT_OURS                                                                         \
	(VU_BIT(VU__F_LOG_ALL) | VU_BIT(VU__F_ACCESS_PLATFORM) | VU_BIT(VU__F_RING_PACKED))

#define SLOTS_WITHOUT 8 /* of memory, where the back-end does not say */
#define QUEUES_MAX    1024

struct vu_frontend *facts_connect(const char *path, uint64_t features)
{
	struct vu_frontend *fe = vu_frontend_connect(path);

	if (!fe)
		return NULL;
	vu_frontend_set_timeout(fe, (int)VU_MIN(globals.timeout_ms, INT_MAX));
	if (!vu_frontend_negotiate(fe, features & ~NOT_OURS, PROTOCOL))
		return fe;
	say_verbose("%s: %s", path, vu_frontend_error(fe));
	vu_frontend_free(fe);
	errno = ECONNRESET;
	return NULL;
}

/* --- one connection --- */

static uint32_t config_size(const char *type)
{
	static const struct {
		const char *type;
		uint32_t size;
	} sizes[] = {{"blk", 60}, {"net", 12}, {"scsi", 36}, {"fs", 40}};

	for (size_t i = 0; i < VU_ARRAY_SIZE(sizes); i++) {
		if (!strcmp(sizes[i].type, type))
			return sizes[i].size;
	}
	return 0;
}

static bool has(const struct facts *f, int bit)
{
	return vu__has_bit(f->offered_protocol, bit);
}

static int ask(struct facts *f, struct vu_frontend *fe)
{
	uint64_t num = 1, slots = SLOTS_WITHOUT;
	int ret = vu_frontend_get_features(fe, &f->offered);

	if (!ret && vu__has_bit(f->offered, VU__F_PROTOCOL_FEATURES))
		ret = vu_frontend_get_protocol_features(fe, &f->offered_protocol);
	if (!ret)
		ret = vu_frontend_negotiate(fe, f->offered & ~NOT_OURS, PROTOCOL);
	if (!ret && has(f, VU__PF_MQ))
		ret = vu_frontend_get_queue_num(fe, &num);
	if (!ret && has(f, VU__PF_CONFIGURE_MEM_SLOTS))
		ret = vu_frontend_get_max_mem_slots(fe, &slots);
	f->max_queues = (uint32_t)VU_MIN(num, QUEUES_MAX);
	f->max_slots = (uint32_t)VU_MIN(slots, UINT32_MAX);
	if (!ret && has(f, VU__PF_CONFIG) && config_size(f->type)) {
		ret = vu_frontend_get_config(fe, 0, config_size(f->type), f->config);
		f->config_len = ret ? 0 : config_size(f->type);
	}
	return ret;
}

/* A region for all its queues, of a size that QEMU would ask for. */
static void try_inflight(struct facts *f, struct vu_frontend *fe)
{
	uint16_t queues = (uint16_t)f->max_queues;
	uint64_t size = 0, offset = 0;
	int fd = -1, ret;

	ret = vu_frontend_get_inflight_fd(fe, queues, 128, &fd, &size, &offset);
	if (!ret && fd < 0)
		ret = -ENOENT;
	if (!ret)
		ret = vu_frontend_set_inflight_fd(fe, fd, size, offset, queues, 128);
	if (fd >= 0)
		close(fd);
	if (ret)
		trial_is(&f->inflight, false, "%s", ret == -ENOENT ? "it has no region to give" :
							vu_frontend_error(fe));
	else
		trial_is(&f->inflight, true, "%llu bytes for %u queues of 128",
			 (unsigned long long)size, queues);
}

static void look_at_peer(struct facts *f, struct vu_frontend *fe)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	if (!getsockopt(vu_frontend_sock(fe), SOL_SOCKET, SO_PEERCRED, &peer, &len))
		host_look(peer.pid, &f->host);
}

/* --- once more --- */

static void try_again(struct facts *f, const char *path)
{
	struct vu_frontend *fe = vu_frontend_connect(path);
	uint64_t features = 0, protocol = 0;
	int ret = fe ? 0 : -errno;

	if (!fe) {
		trial_is(&f->again, false, "%s", strerror(-ret));
		return;
	}
	vu_frontend_set_timeout(fe, (int)VU_MIN(globals.timeout_ms, INT_MAX));
	ret = vu_frontend_get_features(fe, &features);
	if (!ret && vu__has_bit(features, VU__F_PROTOCOL_FEATURES))
		ret = vu_frontend_get_protocol_features(fe, &protocol);
	if (ret)
		trial_is(&f->again, false, "%s", vu_frontend_error(fe));
	else if (features != f->offered || protocol != f->offered_protocol)
		trial_is(&f->again, false, "it then offers 0x%llx and 0x%llx, not 0x%llx and 0x%llx",
			 (unsigned long long)features, (unsigned long long)protocol,
			 (unsigned long long)f->offered, (unsigned long long)f->offered_protocol);
	else
		trial_is(&f->again, true, "it offers the same again");
	vu_frontend_free(fe);
}

/* Who is idle and has a control socket says more. */
static int ask_control(struct facts *f, const char *path, const struct how *how)
{
	struct facts shown = *f;
	struct vu_frontend *fe = facts_connect(path, f->offered);
	int status;

	if (!fe)
		return 0;
	status = client_of_ours(&f->client);
	if (status) {
		vu_frontend_free(fe);
		return status == -ENOENT ? 0 : status;
	}
	f->client.placeholder = fe;
	status = facts_of_control(f, how);
	/* What it says of itself is not what it showed to a front-end. */
	f->source = FROM_SOCKET;
	f->negotiated = false;
	f->offered = shown.offered;
	f->offered_protocol = shown.offered_protocol;
	f->max_queues = shown.max_queues;
	if (shown.config_len) {
		memcpy(f->config, shown.config, sizeof(f->config));
		f->config_len = shown.config_len;
	}
	snprintf(f->name, sizeof(f->name), "%s", shown.name);
	return status;
}

int facts_of_socket(struct facts *f, const char *path, const struct how *how)
{
	struct vu_frontend *fe = vu_frontend_connect(path);
	int ret, status = 0;

	if (!fe)
		return fail(-errno, "%s: %s", f->target, strerror(errno));
	f->source = FROM_SOCKET;
	vu_frontend_set_timeout(fe, (int)VU_MIN(globals.timeout_ms, INT_MAX));
	ret = ask(f, fe);
	if (ret)
		status = fail(ret, "%s: it does not answer as a back-end: %s", f->target,
			      vu_frontend_error(fe));
	if (!status && has(f, VU__PF_INFLIGHT_SHMFD))
		try_inflight(f, fe);
	look_at_peer(f, fe);
	vu_frontend_free(fe);
	if (status)
		return status;
	try_again(f, path);
	if (how->deep && f->again.result == GOOD)
		facts_drive(f, path);
	return f->again.result == GOOD ? ask_control(f, path, how) : 0;
}
