/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What can be asked of an open telemetry segment.  Snapshots were checked when they
 * were taken; what is behind the fixed part is read and checked here.  The caller's
 * thread.
 */
#include "core/telemetry_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/sys.h"

#define MAX_HEADS    32768u /* entries of the largest ring */
#define HEADS_PIECE 1024u

uint64_t vu_telemetry_taken(const struct vu_telemetry *t)
{
	return t->taken;
}

const struct vu_telemetry_header *vu_telemetry_header(const struct vu_telemetry *t)
{
	return &t->head;
}

uid_t vu_telemetry_owner(const struct vu_telemetry *t)
{
	return t->owner;
}

/* A structure out of the snapshot: what the file's version lacks is zero. */
static void copy_item(const struct vu_telemetry *t, void *to, size_t to_size, uint64_t at,
		      uint32_t size)
{
	memset(to, 0, to_size);
	memcpy(to, t->snap + at, VU_MIN(to_size, size));
}

void vu_telemetry_device(const struct vu_telemetry *t, struct vu_telemetry_device *out)
{
	copy_item(t, &out->block, sizeof(out->block), t->head.device, t->head.device_size);
	vu__telemetry_clean_text(out->block.name, sizeof(out->block.name));
	vu__telemetry_clean_text(out->block.socket, sizeof(out->block.socket));
	out->torn = t->torn[0];
}

static uint64_t counters_at(const struct vu_telemetry *t, unsigned int queue)
{
	return t->head.counters + (uint64_t)queue * t->head.counters_size;
}

static uint64_t config_at(const struct vu_telemetry *t, unsigned int queue)
{
	return t->head.configs + (uint64_t)queue * t->head.config_size;
}

/*
 * @count as it is now: it is known where the index was when the ring was started and
 * had counted to @start_count, so from where it is now follows what has not been added.
 */
static uint64_t up_to_date(uint64_t count, uint64_t index, uint64_t start_count,
			   uint64_t start_index)
{
	uint16_t expected = (uint16_t)(start_index + (count - start_count));

	return count + (uint64_t)(int16_t)(uint16_t)(index - expected);
}

/* Popped less what left again without being completed, but at a stop. */
static uint64_t taken(const struct vu_telemetry_counters *c)
{
	return c->popped - c->unpopped - c->resubmitted;
}

static void read_queue(const struct vu_telemetry *t, unsigned int queue,
		       struct vu_telemetry_counters *c, struct vu_telemetry_config *g)
{
	copy_item(t, c, sizeof(*c), counters_at(t, queue), t->head.counters_size);
	copy_item(t, g, sizeof(*g), config_at(t, queue), t->head.config_size);
	if (!g->generation || t->torn[queue + 1])
		return;
	c->popped += up_to_date(taken(c), c->avail_idx, g->start_taken, g->start_avail) -
		     taken(c);
	c->completed = up_to_date(c->completed, c->used_idx, g->start_completed,
				  g->start_used);
}

/* Counters are read one after the other while they move: never below zero. */
static uint64_t inflight(const struct vu_telemetry_counters *c)
{
	uint64_t left = c->completed + c->dropped + c->unpopped;

	return c->popped > left ? c->popped - left : 0;
}

int vu_telemetry_queue(const struct vu_telemetry *t, unsigned int queue,
		       struct vu_telemetry_queue *out)
{
	const struct vu_telemetry_counters *c = &out->counters;

	if (queue >= t->head.queues)
		return -ERANGE;
	read_queue(t, queue, &out->counters, &out->config);
	vu__telemetry_clean_text(out->config.broken, sizeof(out->config.broken));
	out->torn = t->torn[queue + 1];
	out->inflight = inflight(c);
	out->wakeups_empty = c->wakeups > c->wakeups_useful ? c->wakeups - c->wakeups_useful : 0;
	return 0;
}

/* The queue's annex and how many heads follow it.  -ENOENT: it has none. */
static int find_annex(const struct vu_telemetry *t, unsigned int queue, uint64_t *at,
		      uint64_t *heads)
{
	struct vu_telemetry_config g;

	if (queue >= t->head.queues)
		return -ERANGE;
	copy_item(t, &g, sizeof(g), config_at(t, queue), t->head.config_size);
	if (!g.annex)
		return -ENOENT;
	if (g.annex % 8 || g.annex < t->head.fixed_size || g.annex > INT64_MAX / 2 ||
	    g.annex_heads > MAX_HEADS)
		return -EBADMSG;
	*at = g.annex;
	*heads = g.annex_heads;
	return 0;
}

/* Which of the starts is the earliest of those that heads in flight have; 0: none. */
static int earliest(struct vu_telemetry *t, uint64_t at, uint64_t heads,
		    const uint64_t starts[256], uint64_t *since)
{
	uint8_t piece[HEADS_PIECE];
	bool used[256] = {false};

	while (heads) {
		uint64_t n = VU_MIN(heads, HEADS_PIECE);
		int ret = vu__telemetry_pread(t, piece, n, at);

		if (ret)
			return ret;
		for (uint64_t i = 0; i < n; i++)
			used[piece[i]] = true;
		at += n;
		heads -= n;
	}
	for (unsigned int i = 1; i < UINT8_MAX; i++) {
		if (used[i] && starts[i] && (!*since || starts[i] < *since))
			*since = starts[i];
	}
	return 0;
}

int vu_telemetry_oldest(struct vu_telemetry *t, unsigned int queue, uint64_t *since)
{
	const size_t place = offsetof(struct vu_telemetry_annex, starts);
	struct vu_telemetry_counters c;
	struct vu_telemetry_config g;
	uint64_t starts[256], at, heads;
	int ret = find_annex(t, queue, &at, &heads);

	*since = 0;
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	read_queue(t, queue, &c, &g);
	if (!inflight(&c) || t->head.annex_size < place + sizeof(starts))
		return 0;
	ret = vu__telemetry_pread(t, starts, sizeof(starts), at + place);
	return ret ? ret : earliest(t, at + t->head.annex_size, heads, starts, since);
}

/* --- metrics --- */

unsigned int vu_telemetry_metrics(const struct vu_telemetry *t)
{
	return t->head.metrics;
}

const struct vu_telemetry_metric *vu_telemetry_metric(const struct vu_telemetry *t,
						      unsigned int i)
{
	return i < t->head.metrics ? &t->metrics[i] : NULL;
}

int vu_telemetry_find(const struct vu_telemetry *t, enum vu_telemetry_place place,
		      const char *name)
{
	for (unsigned int i = 0; i < t->head.metrics; i++) {
		if (t->metrics[i].place == (uint32_t)place && !strcmp(t->metrics[i].name, name))
			return (int)i;
	}
	return -ENOENT;
}

int vu_telemetry_value(const struct vu_telemetry *t, unsigned int metric, unsigned int queue,
		       unsigned int element, uint64_t *value)
{
	const struct vu_telemetry_metric *m = vu_telemetry_metric(t, metric);
	uint64_t at;

	if (!m || element >= m->count)
		return -ERANGE;
	if (!m->type || m->type >= VU_TELEMETRY_HIST)
		return -ENOTSUP;
	if (m->place == VU_TELEMETRY_IN_DEVICE)
		at = t->head.device;
	else if (m->place != VU_TELEMETRY_IN_COUNTERS && m->place != VU_TELEMETRY_IN_CONFIG)
		return -ENOTSUP;
	else if (queue >= t->head.queues)
		return -ERANGE;
	else
		at = m->place == VU_TELEMETRY_IN_CONFIG ? config_at(t, queue) :
							  counters_at(t, queue);
	memcpy(value, t->snap + at + m->offset + (size_t)element * sizeof(*value),
	       sizeof(*value));
	return 0;
}

static int find_hist(const struct vu_telemetry *t, unsigned int metric, unsigned int queue,
		     uint64_t *at)
{
	const struct vu_telemetry_metric *m = vu_telemetry_metric(t, metric);
	uint64_t annex, heads;
	int ret;

	if (!m || !m->count)
		return -ERANGE;
	if (m->type != VU_TELEMETRY_HIST || m->place != VU_TELEMETRY_IN_ANNEX)
		return -ENOTSUP;
	ret = find_annex(t, queue, &annex, &heads);
	if (!ret)
		*at = annex + m->offset;
	return ret;
}

int vu_telemetry_hist(struct vu_telemetry *t, unsigned int metric, unsigned int queue,
		      struct vu_telemetry_hist *out)
{
	uint64_t at;
	int ret = find_hist(t, metric, queue, &at);

	return ret ? ret : vu__telemetry_pread(t, out, sizeof(*out), at);
}

int vu__telemetry_hist_part(const struct vu_telemetry *t, unsigned int metric,
			    unsigned int queue, unsigned int expect,
			    struct vu_telemetry_hist *out)
{
	const size_t head = offsetof(struct vu_telemetry_hist, buckets);
	unsigned int n, have = VU_MIN(expect, (unsigned int)VU_HIST_BUCKETS);
	uint64_t at;
	int ret = find_hist(t, metric, queue, &at);

	if (!ret)
		ret = vu__telemetry_pread(t, out, head + have * sizeof(out->buckets[0]), at);
	if (ret)
		return ret;
	n = vu_hist_bucket(out->max) + 1;
	if (n > have)
		ret = vu__telemetry_pread(t, &out->buckets[have],
					  (n - have) * sizeof(out->buckets[0]),
					  at + head + have * sizeof(out->buckets[0]));
	return ret ? ret : (int)n;
}

int vu_telemetry_watch(struct vu_telemetry *t, unsigned int seconds)
{
	struct timespec now;
	uint64_t until = 0;
	char path[64];

	if (seconds > VU_TELEMETRY_LEASE_MAX)
		return -EINVAL;
	if (t->lease_fd < 0) {
		/* The very file that was checked, whatever its name leads to now. */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", t->fd);
		t->lease_fd = open(path, O_WRONLY | O_CLOEXEC);
		if (t->lease_fd < 0)
			return -errno;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (seconds)
		until = ((uint64_t)now.tv_sec + seconds) * 1000000000 + (uint64_t)now.tv_nsec;
	errno = 0;
	if (pwrite(t->lease_fd, &until, sizeof(until),
		   (off_t)(t->head.lease + offsetof(struct vu_telemetry_lease, until))) !=
	    sizeof(until))
		return errno ? -errno : -EIO;
	return 0;
}

/* --- the black box --- */

static void copy_event(const struct vu_telemetry *t, const uint8_t *raw, uint32_t i,
		       struct vu_telemetry_event *e)
{
	memcpy(e, raw + (size_t)i * t->head.event_size, sizeof(*e));
	vu__telemetry_clean_text(e->text, sizeof(e->text));
}

/*
 * The event in place @i, if it is whole: its number belongs there, and two readings of
 * it are the same.
 */
static bool take_event(const struct vu_telemetry *t, const uint8_t *once, const uint8_t *twice,
		       uint32_t i, struct vu_telemetry_event *e)
{
	size_t at = (size_t)i * t->head.event_size;

	copy_event(t, once, i, e);
	return e->number && e->number % t->head.events == i &&
	       !memcmp(once + at, twice + at, t->head.event_size);
}

static int by_number(const void *a, const void *b)
{
	const struct vu_telemetry_event *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static unsigned int collect(const struct vu_telemetry *t, const uint8_t *once,
			    const uint8_t *twice, struct vu_telemetry_event *all)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < t->head.events; i++)
		n += take_event(t, once, twice, i, &all[n]);
	qsort(all, n, sizeof(*all), by_number);
	return n;
}

int vu_telemetry_events(struct vu_telemetry *t, struct vu_telemetry_event *out,
			unsigned int room, uint64_t *lost)
{
	size_t size = (size_t)t->head.events * t->head.event_size;
	VU_CLEANUP_FREE uint8_t *once = vu__sys.calloc(1, size + 1);
	VU_CLEANUP_FREE uint8_t *twice = vu__sys.calloc(1, size + 1);
	VU_CLEANUP_FREE struct vu_telemetry_event *all =
		vu__sys.calloc(t->head.events + 1, sizeof(*all));
	unsigned int n, skip;
	int ret;

	if (!once || !twice || !all)
		return -ENOMEM;
	ret = vu__telemetry_pread(t, once, size, t->head.black_box);
	if (!ret)
		ret = vu__telemetry_pread(t, twice, size, t->head.black_box);
	if (ret)
		return ret;
	n = collect(t, once, twice, all);
	skip = n > room ? n - room : 0;
	if (lost)
		*lost = n ? all[n - 1].number - (n - skip) : 0;
	memcpy(out, all + skip, (n - skip) * sizeof(*all));
	return (int)(n - skip);
}

const char *vu_telemetry_event_name(unsigned int kind)
{
	static const char *const names[] = {
		[VU_TELEMETRY_CONNECTED] = "connected", [VU_TELEMETRY_GONE] = "gone",
		[VU_TELEMETRY_MESSAGE] = "message",	[VU_TELEMETRY_PANIC] = "panic",
		[VU_TELEMETRY_START] = "start",		[VU_TELEMETRY_STOP] = "stop",
		[VU_TELEMETRY_ENABLE] = "enable",	[VU_TELEMETRY_BREAK] = "break",
		[VU_TELEMETRY_MEMORY] = "memory",	[VU_TELEMETRY_LOG] = "log",
		[VU_TELEMETRY_RESET] = "reset",		[VU_TELEMETRY_MIGRATION] = "migration",
		[VU_TELEMETRY_HANDOVER] = "handover",	[VU_TELEMETRY_NOTE] = "note",
		[VU_TELEMETRY_CLOSED] = "closed",
	};

	return kind < VU_ARRAY_SIZE(names) && names[kind] ? names[kind] : "unknown";
}

const char *vu_telemetry_migration_name(unsigned int phase)
{
	static const char *const names[] = {
		[VU_TELEMETRY_MIGRATION_NONE] = "none",
		[VU_TELEMETRY_MIGRATION_LOG] = "log",
		[VU_TELEMETRY_MIGRATION_POSTCOPY_ADVISE] = "advise",
		[VU_TELEMETRY_MIGRATION_POSTCOPY_LISTEN] = "listen",
		[VU_TELEMETRY_MIGRATION_SAVE] = "save",
		[VU_TELEMETRY_MIGRATION_LOAD] = "load",
	};

	return phase < VU_ARRAY_SIZE(names) ? names[phase] : "unknown";
}
