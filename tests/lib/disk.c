/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A front-end that checks a disk without a stop.  The thread that calls. */
#include "tests/lib/disk.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/virtio_blk.h>

#include "base/fd.h"
#include "base/util.h"
#include "wire/spec.h"

#define RING	  32u
#define RING_ROOM 0x2000u
#define SLOT_ROOM 0x2000u /* header and status in the first page, data in the second */
#define SLOTS_AT  (DISK_QUEUES * RING_ROOM)
#define STATUS_AT 0x100u
#define DATA_AT	  0x1000u
#define PATIENCE  10000

static bool fail(struct disk *d, const char *fmt, ...) VU_PRINTF(2, 3);
static bool fail(struct disk *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->error, sizeof(d->error), fmt, ap);
	va_end(ap);
	return false;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static uint64_t slot_at(unsigned int queue, unsigned int slot)
{
	return SLOTS_AT + (uint64_t)(queue * DISK_SLOTS + slot) * SLOT_ROOM;
}

static uint64_t word(unsigned int queue, unsigned int slot, uint32_t round, unsigned int i)
{
	return (uint64_t)(queue * DISK_SLOTS + slot) << 48 | (uint64_t)round << 16 | i;
}

uint64_t disk_bytes(unsigned int nqueues)
{
	return (uint64_t)nqueues * DISK_SLOTS * DISK_BLOCK;
}

/* --- requests --- */

static bool submit(struct disk *d, unsigned int queue, unsigned int slot)
{
	const struct disk_slot *s = &d->slots[queue][slot];
	uint64_t at = slot_at(queue, slot);
	uint8_t *mem = vu_frontend_ptr(d->fe, at, SLOT_ROOM);
	uint64_t *data = (uint64_t *)(void *)(mem + DATA_AT);
	struct virtio_blk_outhdr header = {
		.type = s->reads ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT,
		.sector = (uint64_t)(queue * DISK_SLOTS + slot) * (DISK_BLOCK / 512),
	};
	const struct vu_frontend_buf bufs[] = {
		{at, sizeof(header), false},
		{at + DATA_AT, DISK_BLOCK, s->reads},
		{at + STATUS_AT, 1, true},
	};

	memcpy(mem, &header, sizeof(header));
	mem[STATUS_AT] = 0xee;
	for (unsigned int i = 0; i < DISK_BLOCK / 8; i++)
		data[i] = s->reads ? ~0ULL : word(queue, slot, s->round, i);
	return !vu_frontend_submit(d->q[queue], bufs, VU_ARRAY_SIZE(bufs), slot) ||
	       fail(d, "queue %u: %s", queue, vu_frontend_error(d->fe));
}

static bool check(struct disk *d, unsigned int queue, unsigned int slot)
{
	struct disk_slot *s = &d->slots[queue][slot];
	const uint8_t *mem = vu_frontend_ptr(d->fe, slot_at(queue, slot), SLOT_ROOM);
	const uint64_t *data = (const uint64_t *)(const void *)(mem + DATA_AT);

	if (mem[STATUS_AT] != VIRTIO_BLK_S_OK)
		return fail(d, "queue %u: a request of round %u ended with status %u", queue,
			    s->round, mem[STATUS_AT]);
	for (unsigned int i = 0; s->reads && i < DISK_BLOCK / 8; i++) {
		if (data[i] != word(queue, slot, s->round, i))
			return fail(d, "queue %u: word %u of slot %u in round %u is 0x%llx", queue, i,
				    slot, s->round, (unsigned long long)data[i]);
	}
	if (s->reads)
		s->round++;
	s->reads = !s->reads;
	return true;
}

static bool reap(struct disk *d, unsigned int queue)
{
	int64_t now = now_ns();
	uint64_t value, slot;
	int ret;

	vu__event_consume(vu_frontend_call_fd(d->q[queue]), &value);
	while ((ret = vu_frontend_reap(d->q[queue], &slot, NULL)) > 0) {
		if (!check(d, queue, slot) || !submit(d, queue, slot))
			return false;
		d->quiet_ns = VU_MAX(d->quiet_ns, now - d->last_ns[queue]);
		d->last_ns[queue] = now;
		d->done++;
	}
	if (ret < 0 || vu_frontend_kick(d->q[queue]) < 0)
		return fail(d, "queue %u: %s", queue, vu_frontend_error(d->fe));
	return true;
}

/* --- going on --- */

static bool run(struct disk *d, uint64_t until, int64_t deadline)
{
	struct pollfd fds[DISK_QUEUES];

	while (d->done < until && vu__now_ms() < deadline) {
		for (unsigned int i = 0; i < d->nqueues; i++)
			fds[i] = (struct pollfd){.fd = vu_frontend_call_fd(d->q[i]), .events = POLLIN};
		if (poll(fds, d->nqueues, (int)VU_MAX(deadline - vu__now_ms(), 0)) <= 0)
			continue;
		for (unsigned int i = 0; i < d->nqueues; i++) {
			if (fds[i].revents && !reap(d, i))
				return false;
		}
	}
	return true;
}

bool disk_run(struct disk *d, int ms)
{
	return run(d, UINT64_MAX, vu__now_ms() + ms);
}

bool disk_run_requests(struct disk *d, uint64_t n, int ms)
{
	uint64_t until = d->done + n;

	if (!run(d, until, vu__now_ms() + ms))
		return false;
	return d->done >= until || fail(d, "the disk stands still: within %d ms %llu requests of "
					"%llu", ms, (unsigned long long)(n + d->done - until),
					(unsigned long long)n);
}

/* --- beginning --- */

static bool start(struct disk *d)
{
	struct vu_frontend *fe = d->fe;
	uint64_t unwanted = VU_BIT(VU__F_NOTIFY_ON_EMPTY) |
			    (d->packed ? 0 : VU_BIT(VU__F_RING_PACKED));

	if (vu_frontend_negotiate(fe, ~unwanted, ~0ULL) ||
	    vu_frontend_share_memory(fe) ||
	    (d->inflight < 0 && vu_frontend_get_inflight_fd(fe, d->nqueues, RING, &d->inflight,
							    &d->inflight_size,
							    &d->inflight_offset)) ||
	    vu_frontend_set_inflight_fd(fe, d->inflight, d->inflight_size, d->inflight_offset,
					d->nqueues, RING))
		return fail(d, "%s", vu_frontend_error(fe));
	for (unsigned int i = 0; i < d->nqueues; i++) {
		if (!d->q[i])
			d->q[i] = vu_frontend_queue_new(fe, i, RING, i * RING_ROOM);
		if (!d->q[i] || vu_frontend_queue_start(d->q[i], 0))
			return fail(d, "queue %u: %s", i, vu_frontend_error(fe));
		vu_frontend_want_calls(d->q[i], true);
		d->last_ns[i] = now_ns();
	}
	return true;
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0 || !connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	close(fd);
	return -1;
}

bool disk_begin(struct disk *d, const char *sock, unsigned int nqueues, bool packed,
		uint64_t memory)
{
	memset(d, 0, sizeof(*d));
	d->inflight = -1;
	d->nqueues = nqueues;
	d->packed = packed;
	d->fe = vu_frontend_connect(sock);
	if (!d->fe)
		return fail(d, "%s: %s", sock, strerror(errno));
	vu_frontend_set_timeout(d->fe, PATIENCE);
	if (vu_frontend_add_memory(d->fe, 0, VU_MAX(memory, slot_at(nqueues, 0)), 0))
		return fail(d, "%s", vu_frontend_error(d->fe));
	if (!start(d))
		return false;
	for (unsigned int i = 0; i < nqueues; i++) {
		for (unsigned int k = 0; k < DISK_SLOTS; k++) {
			if (!submit(d, i, k))
				return false;
		}
		if (vu_frontend_kick(d->q[i]) < 0)
			return fail(d, "queue %u: %s", i, vu_frontend_error(d->fe));
	}
	return true;
}

bool disk_again(struct disk *d, const char *sock)
{
	int fd = connect_to(sock);

	if (fd < 0)
		return fail(d, "%s: %s", sock, strerror(errno));
	vu_frontend_reconnect(d->fe, fd);
	return start(d);
}

void disk_end(struct disk *d)
{
	vu_frontend_free(d->fe);
	if (d->inflight >= 0)
		close(d->inflight);
	*d = (struct disk){.inflight = -1};
}
