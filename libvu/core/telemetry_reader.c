/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a telemetry segment: opened, checked, copied.  The file is hostile: it is
 * never mapped, and nothing of it is used before it is a checked copy.  The caller's
 * thread.
 */
#include "core/telemetry_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/proc.h"
#include "base/sys.h"
#include "core/split.h"

#define MAX_QUEUES     1024u
#define MAX_METRICS    4096u
#define MAX_EVENTS     8192u
#define MAX_ITEM_SIZE  4096u
#define MAX_BLOCK_SIZE (1u << 20)
#define MAX_FIXED_SIZE (16u << 20)
#define SNAP_TRIES     4

int vu__telemetry_pread(const struct vu_telemetry *t, void *to, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(t->fd, (char *)to + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		done += n;
	}
	return 0;
}

void vu__telemetry_clean_text(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (char *c = text; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
}

/* --- checking --- */

static VU_PRINTF(4, 5) int refuse(char *why, size_t why_size, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_size, fmt, ap);
	va_end(ap);
	return err;
}

/* Whether @n items of @size from @at on are inside the fixed part and in line. */
static bool part_ok(const struct vu_telemetry_header *h, uint64_t at, uint64_t n, uint64_t size)
{
	return at % 8 == 0 && vu__range_within(at, n * size, h->fixed_size);
}

static bool size_ok(uint32_t size, uint32_t min, uint32_t max)
{
	return size >= min && size <= max && size % 8 == 0;
}

static bool sizes_ok(const struct vu_telemetry_header *h)
{
	return size_ok(h->header_size, sizeof(*h), MAX_ITEM_SIZE) &&
	       size_ok(h->device_size, 64, MAX_BLOCK_SIZE) &&
	       size_ok(h->counters_size, 64, MAX_ITEM_SIZE) &&
	       size_ok(h->config_size, 64, MAX_ITEM_SIZE) &&
	       size_ok(h->annex_size, 0, MAX_BLOCK_SIZE) &&
	       size_ok(h->metric_size, sizeof(struct vu_telemetry_metric), MAX_ITEM_SIZE) &&
	       size_ok(h->event_size, sizeof(struct vu_telemetry_event), MAX_ITEM_SIZE) &&
	       h->queues <= MAX_QUEUES && h->metrics <= MAX_METRICS && h->events <= MAX_EVENTS;
}

static bool parts_ok(const struct vu_telemetry_header *h)
{
	return h->header_size <= h->fixed_size &&
	       part_ok(h, h->lease, 1, sizeof(struct vu_telemetry_lease)) &&
	       part_ok(h, h->seqs, h->queues + 1, sizeof(uint32_t)) &&
	       part_ok(h, h->device, 1, h->device_size) &&
	       part_ok(h, h->counters, h->queues, h->counters_size) &&
	       part_ok(h, h->configs, h->queues, h->config_size) &&
	       part_ok(h, h->directory, h->metrics, h->metric_size) &&
	       part_ok(h, h->black_box, h->events, h->event_size);
}

int vu__telemetry_check_header(const struct vu_telemetry_header *h, uint64_t file_size,
			       char *why, size_t why_size)
{
	static const char unready[sizeof(h->magic)];

	if (!memcmp(h->magic, unready, sizeof(unready)))
		return refuse(why, why_size, -EAGAIN, "not finished by who makes it");
	if (memcmp(h->magic, VU_TELEMETRY_MAGIC, sizeof(h->magic)))
		return refuse(why, why_size, -EBADMSG, "not a telemetry file");
	if (h->byte_order != VU_TELEMETRY_BYTE_ORDER)
		return refuse(why, why_size, -EPROTONOSUPPORT,
			      "of a machine of another byte order");
	if (h->version != VU_TELEMETRY_VERSION)
		return refuse(why, why_size, -EPROTONOSUPPORT,
			      "of version %u, this program reads version %d", h->version,
			      VU_TELEMETRY_VERSION);
	if (!sizes_ok(h) || h->fixed_size > MAX_FIXED_SIZE || !parts_ok(h))
		return refuse(why, why_size, -EBADMSG, "damaged: sizes and places in its "
			      "header do not fit");
	if (h->fixed_size > file_size)
		return refuse(why, why_size, -EBADMSG, "cut short: %llu bytes, not %llu",
			      (unsigned long long)file_size,
			      (unsigned long long)h->fixed_size);
	return 0;
}

/* The size of the structure a metric is in; 0: a place this version does not know. */
static uint64_t place_size(const struct vu_telemetry_header *h, uint32_t place)
{
	switch (place) {
	case VU_TELEMETRY_IN_DEVICE:
		return h->device_size;
	case VU_TELEMETRY_IN_COUNTERS:
		return h->counters_size;
	case VU_TELEMETRY_IN_CONFIG:
		return h->config_size;
	case VU_TELEMETRY_IN_ANNEX:
		return h->annex_size;
	default:
		return 0;
	}
}

int vu__telemetry_check_metric(const struct vu_telemetry_header *h,
			       const struct vu_telemetry_metric *m, char *why, size_t why_size)
{
	uint64_t size = place_size(h, m->place);
	uint64_t each = m->type == VU_TELEMETRY_HIST ? sizeof(struct vu_telemetry_hist) :
						       sizeof(uint64_t);

	/* What it is is not known here, and will not be read. */
	if (!size || !m->type || m->type > VU_TELEMETRY_HIST)
		return 0;
	if (m->offset % 8 == 0 && vu__range_within(m->offset, each * m->count, size))
		return 0;
	return refuse(why, why_size, -EBADMSG, "damaged: metric '%s' is outside its structure",
		      m->name);
}

/* --- whose it is --- */

enum vu_telemetry_process vu_telemetry_process(const struct vu_telemetry *t)
{
	const struct vu_telemetry_header *h = &t->head;
	struct vu__proc_stat st;
	uint64_t ns = vu__proc_pid_ns();
	int ret;

	if (h->pid_ns && ns && h->pid_ns != ns)
		return VU_TELEMETRY_ELSEWHERE;
	if (h->pid == 0 || h->pid > INT_MAX)
		return VU_TELEMETRY_DEAD;
	ret = vu__proc_stat((pid_t)h->pid, &st);
	/* Other users' processes may be hidden. */
	if (ret)
		return kill((pid_t)h->pid, 0) && errno == ESRCH ? VU_TELEMETRY_DEAD :
								  VU_TELEMETRY_RUNNING;
	if (st.start != h->start_time || strchr("ZXx", st.state))
		return VU_TELEMETRY_DEAD;
	return strchr("Tt", st.state) ? VU_TELEMETRY_FROZEN : VU_TELEMETRY_RUNNING;
}

static int check_owner(const struct vu_telemetry *t, char *why, size_t why_size)
{
	enum vu_telemetry_process p;

	if (t->owner == 0 || (t->owner == geteuid() && t->owner != 0))
		return 0;
	p = vu_telemetry_process(t);
	if (p == VU_TELEMETRY_RUNNING || p == VU_TELEMETRY_FROZEN) {
		if (vu__proc_runs_as((pid_t)t->head.pid, t->owner))
			return 0;
	} else if (geteuid() == 0) {
		return 0;
	}
	return refuse(why, why_size, -EPERM, "belongs to user %u, who is not the one process "
		      "%u runs as", t->owner, t->head.pid);
}

/* --- opening --- */

static int read_header(struct vu_telemetry *t, uint64_t file_size, char *why, size_t why_size)
{
	int ret = vu__telemetry_pread(t, &t->raw, sizeof(t->raw), 0);

	if (ret)
		return refuse(why, why_size, ret == -ENODATA ? -EBADMSG : ret, "%s",
			      ret == -ENODATA ? "not a telemetry file: too short" :
						strerror(-ret));
	ret = vu__telemetry_check_header(&t->raw, file_size, why, why_size);
	if (ret)
		return ret;
	t->head = t->raw;
	vu__telemetry_clean_text(t->head.library, sizeof(t->head.library));
	vu__telemetry_clean_text(t->head.process, sizeof(t->head.process));
	return 0;
}

static int read_metrics(struct vu_telemetry *t, char *why, size_t why_size)
{
	const struct vu_telemetry_header *h = &t->head;
	VU_CLEANUP_FREE uint8_t *raw = vu__sys.calloc(h->metrics + 1, h->metric_size);
	int ret;

	t->metrics = vu__sys.calloc(h->metrics + 1, sizeof(*t->metrics));
	if (!raw || !t->metrics)
		return -ENOMEM;
	ret = vu__telemetry_pread(t, raw, (size_t)h->metrics * h->metric_size, h->directory);
	for (unsigned int i = 0; !ret && i < h->metrics; i++) {
		struct vu_telemetry_metric *m = &t->metrics[i];

		memcpy(m, raw + (size_t)i * h->metric_size, sizeof(*m));
		vu__telemetry_clean_text(m->name, sizeof(m->name));
		vu__telemetry_clean_text(m->unit, sizeof(m->unit));
		vu__telemetry_clean_text(m->help, sizeof(m->help));
		ret = vu__telemetry_check_metric(h, m, why, why_size);
	}
	return ret;
}

static int make_room(struct vu_telemetry *t)
{
	const struct vu_telemetry_header *h = &t->head;
	uint64_t end = sizeof(*h);

	end = VU_MAX(end, h->seqs + (h->queues + 1) * sizeof(uint32_t));
	end = VU_MAX(end, h->device + h->device_size);
	end = VU_MAX(end, h->counters + (uint64_t)h->queues * h->counters_size);
	end = VU_MAX(end, h->configs + (uint64_t)h->queues * h->config_size);
	t->snap_size = end;
	t->snap = vu__sys.calloc(1, end);
	t->spare = vu__sys.calloc(1, end);
	t->seqs = vu__sys.calloc(h->queues + 1, sizeof(*t->seqs));
	t->next_seqs = vu__sys.calloc(h->queues + 1, sizeof(*t->next_seqs));
	t->torn = vu__sys.calloc(h->queues + 1, sizeof(*t->torn));
	return t->snap && t->spare && t->seqs && t->next_seqs && t->torn ? 0 : -ENOMEM;
}

static int read_seqs(struct vu_telemetry *t, uint32_t *to)
{
	int ret;

	/* What was read before is older than these, */
	vu__split_fence();
	ret = vu__telemetry_pread(t, to, (t->head.queues + 1) * sizeof(*to), t->head.seqs);
	/* what is read after them is newer. */
	vu__split_fence();
	return ret;
}

static int open_checked(struct vu_telemetry *t, char *why, size_t why_size)
{
	struct stat st;
	int ret;

	if (fstat(t->fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return refuse(why, why_size, -EBADMSG, "not a regular file");
	t->owner = st.st_uid;
	ret = read_header(t, st.st_size, why, why_size);
	if (!ret)
		ret = check_owner(t, why, why_size);
	if (!ret)
		ret = read_metrics(t, why, why_size);
	if (!ret)
		ret = make_room(t);
	if (!ret)
		ret = read_seqs(t, t->seqs);
	return ret ? ret : vu_telemetry_refresh(t);
}

int vu_telemetry_openat(int dirfd, const char *name, struct vu_telemetry **out, char *why,
			size_t why_size)
{
	struct vu_telemetry *t = vu__sys.calloc(1, sizeof(*t));
	char text[160] = "";
	int ret;

	if (!t)
		return -ENOMEM;
	t->lease_fd = -1;
	/* Something that is not a file must not make us wait. */
	t->fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ret = t->fd < 0 ? -errno : open_checked(t, text, sizeof(text));
	if (!ret) {
		*out = t;
		return 0;
	}
	vu_telemetry_close(t);
	if (ret == -ELOOP)
		snprintf(text, sizeof(text), "a symbolic link");
	if (why)
		snprintf(why, why_size, "%s", text[0] ? text : strerror(-ret));
	return ret;
}

int vu_telemetry_open(const char *path, struct vu_telemetry **out, char *why, size_t why_size)
{
	return vu_telemetry_openat(AT_FDCWD, path, out, why, why_size);
}

void vu_telemetry_close(struct vu_telemetry *t)
{
	if (!t)
		return;
	if (t->fd >= 0)
		close(t->fd);
	if (t->lease_fd >= 0)
		close(t->lease_fd);
	free(t->metrics);
	free(t->snap);
	free(t->spare);
	free(t->seqs);
	free(t->next_seqs);
	free(t->torn);
	free(t);
}

/* --- snapshots --- */

/* True if nothing that a sequence count guards changed between the two looks. */
static bool compare_seqs(struct vu_telemetry *t)
{
	bool whole = true;

	for (unsigned int i = 0; i <= t->head.queues; i++) {
		t->torn[i] = t->seqs[i] != t->next_seqs[i] || t->next_seqs[i] % 2;
		whole = whole && !t->torn[i];
	}
	return whole;
}

/*
 * One try: sequence counts are those of before, then everything, then sequence counts
 * again.  1 if all of it is whole, 0 if not, -errno.
 */
static int try_snapshot(struct vu_telemetry *t)
{
	uint32_t *seqs = t->seqs;
	bool whole;
	int ret;

	ret = vu__telemetry_pread(t, t->spare, t->snap_size, 0);
	if (ret)
		return ret;
	if (memcmp(t->spare, &t->raw, sizeof(t->raw)))
		return -EBADMSG;
	ret = read_seqs(t, t->next_seqs);
	if (ret)
		return ret;
	whole = compare_seqs(t);
	/* The next try, or the next snapshot, begins where this one ended. */
	t->seqs = t->next_seqs;
	t->next_seqs = seqs;
	return whole;
}

int vu_telemetry_refresh(struct vu_telemetry *t)
{
	struct timespec now;
	uint8_t *snap;
	int ret = 0;

	for (int i = 0; i < SNAP_TRIES && !ret; i++) {
		if (i)
			sched_yield();
		ret = try_snapshot(t);
	}
	if (ret < 0)
		return ret;
	clock_gettime(CLOCK_MONOTONIC, &now);
	t->taken = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	snap = t->snap;
	t->snap = t->spare;
	t->spare = snap;
	return 0;
}
