/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check --deep: plays the guest of a back-end that serves nobody.  It reads from a disk,
 * and writes nothing to it, with the dirty log on; every page of memory that changed must
 * be in the log.  Then it leaves, comes again as the destination of a migration would,
 * and goes on where it stopped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/vhost.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/fd.h"
#include "libvu/frontend.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/devstate.h"
#include "vu-migrate/facts.h"
#include "wire/spec.h"

#define PAGE	     4096u
#define RING	     256u
#define RING_GPA     0x10000u
#define HEADERS_GPA  0x40000u
#define STATUSES_GPA 0x50000u /* a page each */
#define DATA_GPA     0x200000u
#define REQUESTS     48u
#define WARM_UP	     8u
#define SLOT	     32768u /* of data, for each */
#define WAIT_MS	     10000
#define STATUS_READY (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |             \
		      VIRTIO_CONFIG_S_FEATURES_OK)

/* The second one is where 32 bits do not reach. */
static const struct {
	uint64_t gpa, size;
} regions[2] = {{0, 4u << 20}, {0x100100000, 2u << 20}};

struct drive {
	struct facts *f;
	const char *path;
	struct vu_frontend *fe;
	struct vu_frontend_queue *q;
	uint8_t *mem[2], *before[2]; /* the front-end's, ours */
	int log_fd;
	uint8_t *log;
	size_t log_size;
	uint64_t sectors;
	uint64_t random;
	char why[300];
};

static int no(struct drive *d, int err, const char *fmt, ...) VU_PRINTF(3, 4);
static int no(struct drive *d, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->why, sizeof(d->why), fmt, ap);
	va_end(ap);
	return err;
}

static int fe_no(struct drive *d, int err)
{
	return no(d, err, "%s", vu_frontend_error(d->fe));
}

/* xorshift64: the same every time. */
static uint64_t next_random(struct drive *d)
{
	d->random ^= d->random << 13;
	d->random ^= d->random >> 7;
	d->random ^= d->random << 17;
	return d->random;
}

/* --- the machine --- */

static int make_memory(struct drive *d)
{
	for (int i = 0; i < 2; i++) {
		int ret = vu_frontend_add_memory(d->fe, regions[i].gpa, regions[i].size, 0);

		if (ret < 0)
			return fe_no(d, ret);
		d->mem[i] = vu_frontend_ptr(d->fe, regions[i].gpa, regions[i].size);
		d->before[i] = malloc(regions[i].size);
		if (!d->before[i])
			return no(d, -ENOMEM, "out of memory");
	}
	return 0;
}

static int set_status(struct drive *d, unsigned int status)
{
	int ret = 0;

	if (vu__has_bit(vu_frontend_protocol_features(d->fe), VU__PF_STATUS))
		ret = vu_frontend_set_status(d->fe, status);
	return ret ? fe_no(d, ret) : 0;
}

static int start(struct drive *d)
{
	int ret = vu_frontend_queue_start(d->q, 0);

	return ret ? fe_no(d, ret) : set_status(d, STATUS_READY | VIRTIO_CONFIG_S_DRIVER_OK);
}

static int boot(struct drive *d)
{
	int ret;

	d->fe = facts_connect(d->path, d->f->offered);
	if (!d->fe)
		return no(d, -errno, "connecting: %s", strerror(errno));
	ret = make_memory(d);
	if (!ret && vu_frontend_share_memory(d->fe))
		ret = fe_no(d, -EIO);
	if (ret)
		return ret;
	d->q = vu_frontend_queue_new(d->fe, 0, RING, RING_GPA);
	return d->q ? set_status(d, STATUS_READY) : fe_no(d, -errno);
}

/* The same machine, at a back-end that has never seen it. */
static int come_again(struct drive *d)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	VU_CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t features = vu_frontend_features(d->fe);
	uint64_t protocol = vu_frontend_protocol_features(d->fe);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", d->path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return no(d, -errno, "connecting again: %s", strerror(errno));
	vu_frontend_reconnect(d->fe, vu__steal_fd(&fd));
	if (vu_frontend_negotiate(d->fe, features, protocol) || vu_frontend_share_memory(d->fe))
		return fe_no(d, -EIO);
	return set_status(d, STATUS_READY);
}

/* --- reading from the disk --- */

/* A request's header and where all goes; its data in one buffer or two, at odd places. */
static int submit_read(struct drive *d, unsigned int n)
{
	struct virtio_blk_outhdr *h = (void *)(d->mem[0] + HEADERS_GPA + n * sizeof(*h));
	uint32_t len = 512u * (1 + (uint32_t)(next_random(d) % 16));
	uint64_t gpa = (next_random(d) % 2 ? regions[1].gpa : DATA_GPA) + (uint64_t)n * SLOT;
	uint32_t first = 1 + (uint32_t)(next_random(d) % (len - 1));
	struct vu_frontend_buf bufs[4] = {
		{.gpa = HEADERS_GPA + n * sizeof(*h), .len = sizeof(*h)},
		{.gpa = gpa + next_random(d) % PAGE, .write = true, .len = first},
		{.gpa = gpa + SLOT / 2 + len % PAGE, .write = true, .len = len - first},
		{.gpa = STATUSES_GPA + n * PAGE, .write = true, .len = 1},
	};

	h->type = htole32(VIRTIO_BLK_T_IN);
	h->sector = htole64(next_random(d) % (d->sectors - len / 512 + 1));
	return vu_frontend_submit(d->q, bufs, 4, n);
}

/* All at once, until all are back and well. */
static int read_some(struct drive *d, unsigned int n)
{
	int ret = 0;

	for (unsigned int i = 0; i < n && !ret; i++)
		ret = submit_read(d, i);
	if (ret || vu_frontend_kick(d->q) < 0)
		return fe_no(d, ret ? ret : -EIO);
	for (unsigned int done = 0; done < n; done++) {
		ret = vu_frontend_reap(d->q, NULL, NULL);
		if (!ret && vu_frontend_wait(d->q, WAIT_MS))
			return no(d, -ETIMEDOUT, "%u of %u reads were not answered within %u s",
				  n - done, n, WAIT_MS / 1000);
		if (!ret)
			ret = vu_frontend_reap(d->q, NULL, NULL);
		if (ret < 0)
			return fe_no(d, ret);
	}
	for (unsigned int i = 0; i < n; i++) {
		uint8_t status = d->mem[0][STATUSES_GPA + i * PAGE];

		if (status)
			return no(d, -EIO, "a read ended with status %u", status);
	}
	return 0;
}

/* The queue is to stop where all that was submitted has been taken. */
static int stop(struct drive *d)
{
	struct vu_frontend_ring r;
	uint32_t base;
	int ret = vu_frontend_queue_stop(d->q, &base);

	if (ret)
		return fe_no(d, ret);
	vu_frontend_ring(d->q, &r);
	if (base != le16toh(r.avail->idx))
		return no(d, -EPROTO, "it stopped at %u after %u requests", base,
			  le16toh(r.avail->idx));
	return 0;
}

/* --- the log --- */

static int make_log(struct drive *d)
{
	uint64_t end = regions[1].gpa + regions[1].size;

	d->log_size = end / PAGE / 8;
	d->log_fd = memfd_create("vu-check-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (d->log_fd < 0 || ftruncate(d->log_fd, (off_t)d->log_size))
		return no(d, -errno, "%s", strerror(errno));
	d->log = mmap(NULL, d->log_size, PROT_READ | PROT_WRITE, MAP_SHARED, d->log_fd, 0);
	if (d->log != MAP_FAILED)
		return 0;
	d->log = NULL;
	return no(d, -errno, "%s", strerror(errno));
}

/* As a front-end does at the start of a migration, queues running. */
static int log_on(struct drive *d)
{
	struct vu_frontend_ring r;
	uint64_t used;
	int ret;

	vu_frontend_ring(d->q, &r);
	used = (uint64_t)((uint8_t *)r.used - d->mem[0]);
	ret = vu_frontend_set_log_base(d->fe, d->log_fd, d->log_size, 0);
	if (!ret)
		ret = vu_frontend_set_features(d->fe, vu_frontend_features(d->fe) |
							   VU_BIT(VU__F_LOG_ALL));
	if (!ret)
		ret = vu_frontend_set_vring_addr(d->fe, 0, 1u << VHOST_VRING_F_LOG,
						 (uintptr_t)r.desc, (uintptr_t)r.used,
						 (uintptr_t)r.avail, used);
	return ret ? fe_no(d, ret) : 0;
}

/* What no disk holds. */
static void scribble(struct drive *d)
{
	for (int i = 0; i < 2; i++) {
		for (uint64_t at = i ? 0 : STATUSES_GPA; at < regions[i].size; at += 8) {
			uint64_t n = next_random(d) | 0x8080808080808080;

			memcpy(d->mem[i] + at, &n, 8);
		}
	}
}

struct tally {
	unsigned int changed, missed, idle;
	uint64_t first; /* page that was missed */
};

static void compare(const struct drive *d, struct tally *t)
{
	for (int i = 0; i < 2; i++) {
		for (uint64_t at = 0; at < regions[i].size; at += PAGE) {
			uint64_t gpa = regions[i].gpa + at, page = gpa / PAGE;
			bool marked = d->log[page / 8] >> page % 8 & 1;
			bool changed = memcmp(d->mem[i] + at, d->before[i] + at, PAGE);

			/* Where we ourselves write: descriptors, what is available, headers. */
			if (!i && at < STATUSES_GPA &&
			    at != RING_GPA + vu_frontend_queue_bytes(RING) - PAGE)
				continue;
			t->changed += changed;
			t->idle += marked && !changed;
			if (changed && !marked && !t->missed++)
				t->first = gpa;
		}
	}
}

static int try_log(struct drive *d)
{
	struct tally t = {0};
	int ret = make_log(d);

	if (!ret)
		ret = log_on(d);
	if (ret)
		return ret;
	scribble(d);
	for (int i = 0; i < 2; i++)
		memcpy(d->before[i], d->mem[i], regions[i].size);
	ret = read_some(d, REQUESTS);
	/* What is in flight to the log is there when the queue has stopped. */
	if (!ret)
		ret = stop(d);
	if (ret)
		return ret;
	compare(d, &t);
	if (t.missed)
		return no(d, -EBADMSG, "%u of %u pages it wrote are not in the log; the first is "
			  "at 0x%llx", t.missed, t.changed, (unsigned long long)t.first);
	trial_is(&d->f->log, true, "%u reads wrote %u pages, all in the log; %u more are marked",
		 REQUESTS, t.changed, t.idle);
	return 0;
}

/* --- the device's own state --- */

struct bytes {
	uint8_t *at;
	size_t len;
};

static bool has_state(const struct drive *d)
{
	return vu__has_bit(vu_frontend_protocol_features(d->fe), VU__PF_DEVICE_STATE);
}

/* Into a device that has just begun; it must give the same back. */
static int try_state(struct drive *d, const struct bytes *first)
{
	struct bytes second = {NULL, 0};
	int ret = devstate_load(d->fe, first->at, first->len, d->why, sizeof(d->why));

	if (!ret)
		ret = devstate_save(d->fe, &second.at, &second.len, d->why, sizeof(d->why));
	if (!ret && (second.len != first->len ||
		     (first->len && memcmp(second.at, first->at, first->len))))
		ret = no(d, -EBADMSG, "saved, loaded and saved again, its state is another one "
			 "(%zu bytes, then %zu)", first->len, second.len);
	free(second.at);
	if (!ret)
		trial_is(&d->f->state, true, "%zu bytes, the same after a load and a save",
			 first->len);
	return ret;
}

/* --- all of it --- */

/* What a failure is a failure of. */
static void blame(struct trial *t, const struct drive *d, int ret)
{
	if (ret)
		trial_is(t, false, "%s", d->why);
}

static int first_visit(struct drive *d, bool io, struct bytes *state)
{
	int ret = boot(d);

	if (!ret && io) {
		ret = start(d);
		if (!ret)
			ret = read_some(d, WARM_UP);
	}
	if (ret) {
		blame(&d->f->rings, d, ret);
		return ret;
	}
	if (io && vu__has_bit(d->f->offered, VU__F_LOG_ALL) &&
	    vu__has_bit(vu_frontend_protocol_features(d->fe), VU__PF_LOG_SHMFD)) {
		ret = try_log(d);
		blame(&d->f->log, d, ret);
	} else if (io) {
		ret = stop(d);
		blame(&d->f->rings, d, ret);
	}
	if (!ret && has_state(d)) {
		ret = devstate_save(d->fe, &state->at, &state->len, d->why, sizeof(d->why));
		blame(&d->f->state, d, ret);
	}
	return ret;
}

static void second_visit(struct drive *d, bool io, const struct bytes *state)
{
	int ret = come_again(d);

	blame(&d->f->rings, d, ret);
	if (ret)
		return;
	if (has_state(d)) {
		ret = try_state(d, state);
		blame(&d->f->state, d, ret);
	}
	if (ret || !io)
		return;
	ret = start(d);
	if (!ret)
		ret = read_some(d, WARM_UP);
	if (!ret)
		ret = stop(d);
	blame(&d->f->rings, d, ret);
	if (!ret)
		trial_is(&d->f->rings, true, "a second back-end went on where the first stopped");
}

void facts_drive(struct facts *f, const char *path)
{
	struct drive d = {.f = f, .path = path, .log_fd = -1, .random = 0x9e3779b97f4a7c15};
	struct bytes state = {NULL, 0};
	bool io = !strcmp(f->type, "blk") && f->config_len >= 8;

	memcpy(&d.sectors, f->config, 8);
	d.sectors = le64toh(d.sectors);
	io = io && d.sectors >= 16;
	if (!first_visit(&d, io, &state))
		second_visit(&d, io, &state);
	vu_frontend_free(d.fe);
	free(state.at);
	free(d.before[0]);
	free(d.before[1]);
	if (d.log)
		munmap(d.log, d.log_size);
	if (d.log_fd >= 0)
		close(d.log_fd);
}
