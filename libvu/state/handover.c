/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What both sides of a hand-over have: the shared page, packets.  Control thread. */
#include "state/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/rights.h"
#include "base/sys.h"
#include "proto/control.pb-c.h"
#include "state/memfile.h"

#define MAGIC 0x48555631 /* "1VUH" */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

const char *vu__step_name(enum vu__step step)
{
	static const char *const names[] = {
#define VU__STEP(name, text) text,
		VU__STEPS(VU__STEP)
#undef VU__STEP
	};

	return (unsigned int)step < VU__STEP_COUNT ? names[step] : "?";
}

void vu__handover_step(struct vu__dev *d, enum vu__step step)
{
	struct vu_telemetry_event e = {.kind = VU_TELEMETRY_HANDOVER, .queue = -1, .code = step};

	vu__telemetry_event(d->telemetry, e, "%s", vu__step_name(step));
	vu__step_at(step);
}

void vu__handover_failed(struct vu__dev *d, int err, const char *why)
{
	struct vu_telemetry_event e = {.kind = VU_TELEMETRY_HANDOVER, .queue = -1,
				       .code = VU__STEP_COUNT, .result = err};

	vu__telemetry_event(d->telemetry, e, "%s", why);
}

/* --- the page --- */

struct vu__handover_page *vu__handover_page_new(int *fd)
{
	VU_CLEANUP_FD int mem = vu__sys.memfd_create("vu-handover",
						     MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct vu__handover_page *p;
	char why[100];

	if (mem < 0 || vu__sys.ftruncate(mem, sizeof(*p)) ||
	    fcntl(mem, F_ADD_SEALS, SEALS | F_SEAL_SEAL))
		return NULL;
	p = vu__memfile_map(mem, sizeof(*p), PROT_READ | PROT_WRITE, SEALS, why, sizeof(why));
	if (!p)
		return NULL;
	p->magic = MAGIC;
	p->version = VU__HANDOVER_VERSION;
	*fd = vu__steal_fd(&mem);
	return p;
}

struct vu__handover_page *vu__handover_page_map(int fd, char *why, size_t why_size)
{
	struct vu__handover_page *p =
		vu__memfile_map(fd, sizeof(*p), PROT_READ | PROT_WRITE, SEALS, why, why_size);

	if (!p || (p->magic == MAGIC && p->version == VU__HANDOVER_VERSION))
		return p;
	strncpy(why, "the shared page is of another version", why_size - 1);
	why[why_size - 1] = '\0';
	vu__handover_page_free(p);
	return NULL;
}

void vu__handover_page_free(struct vu__handover_page *p)
{
	if (p)
		vu__sys.munmap(p, sizeof(*p));
}

/* --- packets --- */

int vu__handover_send(int chan, Vu__Control__Handover *m, const int *fds, unsigned int nfds)
{
	size_t len = vu__control__handover__get_packed_size(m);
	VU_CLEANUP_FREE uint8_t *bytes = malloc(len + 1);
	VU__RIGHTS(VU__HANDOVER_FDS) control;
	struct iovec iov = {.iov_base = bytes, .iov_len = len};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (len > VU__HANDOVER_PACKET || nfds > VU__HANDOVER_FDS)
		return -EMSGSIZE;
	if (!bytes)
		return -ENOMEM;
	vu__control__handover__pack(m, bytes);
	if (nfds)
		vu__rights_attach(&h, control.bytes, fds, nfds);
	return vu__sys.sendmsg(chan, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int vu__handover_receive(int chan, uint8_t *room, struct vu__handover_packet *p)
{
	VU__RIGHTS(VU__HANDOVER_FDS + 1) control;
	struct iovec iov = {.iov_base = room, .iov_len = VU__HANDOVER_PACKET};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	ssize_t n;

	p->m = NULL;
	p->nfds = 0;
	n = vu__sys.recvmsg(chan, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	/* It has closed without hearing us out; what it said before is still there. */
	if (n < 0 && errno == ECONNRESET)
		n = vu__sys.recvmsg(chan, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n ? -errno : 0;
	if (vu__rights_collect(&h, p->fds, &p->nfds, VU__HANDOVER_FDS) &&
	    !(h.msg_flags & MSG_TRUNC))
		p->m = vu__control__handover__unpack(NULL, n, room);
	if (p->m)
		return 1;
	vu__handover_release(p);
	return -EPROTO;
}

void vu__handover_release(struct vu__handover_packet *p)
{
	for (unsigned int i = 0; i < p->nfds; i++) {
		if (p->fds[i] >= 0)
			close(p->fds[i]);
	}
	p->nfds = 0;
	if (p->m)
		vu__control__handover__free_unpacked(p->m, NULL);
	p->m = NULL;
}
