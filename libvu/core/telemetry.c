/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A telemetry segment's life: made, grown, written under its sequence counts, removed.
 * Any thread; nothing here is called for every request.
 */
#include "core/telemetry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/proc.h"
#include "base/rundir.h"
#include "base/sys.h"
#include "core/meter.h"
#include "core/split.h"

#define LINE 64u

static const struct vu_telemetry_metric metrics[] = {
#define DEVICE_STRUCT	struct vu_telemetry_device_block
#define COUNTERS_STRUCT struct vu_telemetry_counters
#define CONFIG_STRUCT	struct vu_telemetry_config
#define ANNEX_STRUCT	struct vu_telemetry_annex
#define VU__METRIC(place, type, field, n, unit, help)                                    \
	{#field, unit, VU_TELEMETRY_##type, VU_TELEMETRY_IN_##place,                     \
	 offsetof(place##_STRUCT, field), n, help},
#include "core/metrics.def"
#undef VU__METRIC
};

uint64_t vu__telemetry_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* --- layout --- */

static uint64_t place_next(uint64_t *at, uint64_t bytes)
{
	uint64_t here = *at;

	*at = (here + bytes + LINE - 1) & ~(uint64_t)(LINE - 1);
	return here;
}

static void lay_out(struct vu_telemetry_header *h, unsigned int queues)
{
	uint64_t at = 0;

	*h = (struct vu_telemetry_header){
		.byte_order = VU_TELEMETRY_BYTE_ORDER,
		.version = VU_TELEMETRY_VERSION,
		.header_size = sizeof(*h),
		.device_size = sizeof(struct vu_telemetry_device_block),
		.counters_size = sizeof(struct vu_telemetry_counters),
		.config_size = sizeof(struct vu_telemetry_config),
		.annex_size = sizeof(struct vu_telemetry_annex),
		.metric_size = sizeof(struct vu_telemetry_metric),
		.event_size = sizeof(struct vu_telemetry_event),
		.queues = queues,
		.metrics = VU_ARRAY_SIZE(metrics),
		.events = VU_TELEMETRY_EVENTS,
	};
	place_next(&at, sizeof(*h));
	h->lease = place_next(&at, sizeof(struct vu_telemetry_lease));
	h->seqs = place_next(&at, (queues + 1) * sizeof(uint32_t));
	h->device = place_next(&at, h->device_size);
	h->counters = place_next(&at, (uint64_t)queues * h->counters_size);
	h->configs = place_next(&at, (uint64_t)queues * h->config_size);
	h->directory = place_next(&at, sizeof(metrics));
	h->black_box = place_next(&at, VU_TELEMETRY_EVENTS * sizeof(struct vu_telemetry_event));
	h->fixed_size = at;
}

static void say_pid(struct vu_telemetry_header *h)
{
	struct vu__proc_stat st = {.comm = ""};

	h->pid = getpid();
	h->start_time = vu__proc_stat(getpid(), &st) ? 0 : st.start;
	h->pid_ns = vu__proc_pid_ns();
	memcpy(h->process, st.comm, sizeof(h->process));
}

static void say_whose(struct vu_telemetry_header *h, unsigned int number)
{
	struct timespec real;

	say_pid(h);
	h->number = number;
	h->generation = vu__device_generation();
	h->created = vu__telemetry_now();
	clock_gettime(CLOCK_REALTIME, &real);
	h->created_real = (uint64_t)real.tv_sec * 1000000000 + (uint64_t)real.tv_nsec;
	snprintf(h->library, sizeof(h->library), "%s", PACKAGE_VERSION);
}

static void find_parts(struct vu__telemetry *t, const struct vu_telemetry_header *h, void *mem)
{
	uint8_t *base = mem;

	t->head = mem;
	t->lease = (struct vu_telemetry_lease *)(base + h->lease);
	t->seqs = (uint32_t *)(base + h->seqs);
	t->device = (struct vu_telemetry_device_block *)(base + h->device);
	t->counters = (struct vu_telemetry_counters *)(base + h->counters);
	t->configs = (struct vu_telemetry_config *)(base + h->configs);
	t->events = (struct vu_telemetry_event *)(base + h->black_box);
}

static void fill_in(struct vu__telemetry *t, const struct vu_telemetry_header *h)
{
	*t->head = *h;
	memcpy((uint8_t *)t->head + h->directory, metrics, sizeof(metrics));
	for (unsigned int i = 0; i < t->queues; i++) {
		struct vu_telemetry_config *g = &t->configs[i];

		g->kick_fd = g->call_fd = g->err_fd = -1;
		g->kick_id = g->call_id = g->err_id = -1;
	}
	t->device->sock_fd = -1;
}

/* --- the file --- */

/*
 * All of it gets its space now: a store to a place that the file system then has no
 * space for would kill the process.
 */
static int make_space(int fd, uint64_t at, uint64_t len)
{
	int err;

	do
		err = posix_fallocate(fd, (off_t)at, (off_t)len);
	while (err == EINTR);
	return -err;
}

static void make_name(const struct vu__telemetry *t, char name[sizeof(t->name)])
{
	snprintf(name, sizeof(t->name), "%d-%u.telemetry", (int)t->pid, t->number);
}

static int make_file(struct vu__telemetry *t, const struct vu_telemetry_header *h, char *why,
		     size_t why_size)
{
	void *mem;
	int ret;

	t->dir = vu__run_dir_open(why, why_size);
	if (t->dir < 0)
		return t->dir;
	vu__telemetry_prune(t->dir);
	make_name(t, t->name);
	/* A process of this pid may have left one. */
	(void)unlinkat(t->dir, t->name, 0);
	t->fd = openat(t->dir, t->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       0600);
	ret = t->fd < 0 ? -errno : make_space(t->fd, 0, h->fixed_size);
	if (!ret) {
		mem = vu__sys.mmap(NULL, h->fixed_size, PROT_READ | PROT_WRITE, MAP_SHARED,
				   t->fd, 0);
		ret = mem == MAP_FAILED ? -errno : 0;
	}
	if (ret) {
		snprintf(why, why_size, "%s/%s: %s", vu__run_dir(), t->name, strerror(-ret));
		return ret;
	}
	t->len = t->end = h->fixed_size;
	find_parts(t, h, mem);
	return 0;
}

static void drop_file(struct vu__telemetry *t)
{
	if (t->fd >= 0) {
		/* A forked child is not the one whose file it is. */
		if (t->pid == getpid())
			(void)unlinkat(t->dir, t->name, 0);
		close(t->fd);
	}
	if (t->dir >= 0)
		close(t->dir);
	t->fd = t->dir = -1;
}

VU_COLD static void say_off(const char *why)
{
	static bool said;

	if (!__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		vu__warn("telemetry is off: %s (LIBVU_RUN_DIR names another directory, empty "
			 "means off)", why);
}

/* --- events of the device's last life --- */

#define KEPT 64u

/*
 * A device that ends and begins again keeps its black box: why the last front-end left
 * is what is asked most.
 */
static struct {
	pthread_mutex_t lock;
	struct kept {
		uint64_t last;
		struct vu_telemetry_event events[VU_TELEMETRY_EVENTS];
	} *of[KEPT]; /* by number of the device */
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void keep_events(const struct vu__telemetry *t)
{
	struct kept **k = &kept.of[t->number];

	pthread_mutex_lock(&kept.lock);
	if (!*k)
		*k = vu__sys.calloc(1, sizeof(**k));
	if (*k) {
		(*k)->last = t->last_event;
		memcpy((*k)->events, t->events, sizeof((*k)->events));
	}
	pthread_mutex_unlock(&kept.lock);
}

static void take_up_events(struct vu__telemetry *t)
{
	const struct kept *k;

	pthread_mutex_lock(&kept.lock);
	k = kept.of[t->number];
	if (k) {
		t->last_event = k->last;
		memcpy(t->events, k->events, sizeof(k->events));
	}
	pthread_mutex_unlock(&kept.lock);
}

/* --- life --- */

static int make_memory(struct vu__telemetry *t, const struct vu_telemetry_header *h)
{
	char why[256] = "";
	void *mem;
	int ret = VU__METERED ? make_file(t, h, why, sizeof(why)) : -ENOENT;

	if (!ret)
		return 0;
	if (why[0])
		say_off(why);
	drop_file(t);
	/* The black box comes last, and is not written without a file. */
	mem = vu__sys.calloc(1, h->black_box);
	if (!mem)
		return -ENOMEM;
	find_parts(t, h, mem);
	return 0;
}

int vu__telemetry_new(unsigned int number, unsigned int queues, struct vu__telemetry **out)
{
	struct vu__telemetry *t = vu__sys.calloc(1, sizeof(*t));
	struct vu_telemetry_header h;

	if (!t)
		return -ENOMEM;
	t->dir = t->fd = -1;
	t->number = number;
	t->queues = queues;
	t->pid = getpid();
	lay_out(&h, queues);
	say_whose(&h, number);
	t->annexes = vu__sys.calloc(queues, sizeof(*t->annexes));
	if (!t->annexes || make_memory(t, &h)) {
		free(t->annexes);
		free(t);
		return -ENOMEM;
	}
	pthread_mutex_init(&t->lock, NULL);
	fill_in(t, &h);
	if (t->fd >= 0 && number < KEPT)
		take_up_events(t);
	/* All the rest before the sign that it is there, for readers. */
	vu__split_fence();
	memcpy(t->head->magic, VU_TELEMETRY_MAGIC, sizeof(t->head->magic));
	*out = t;
	return 0;
}

/* Whose the file is, seen by readers all at once. */
static void say_whose_now(struct vu__telemetry *t)
{
	memset(t->head->magic, 0, sizeof(t->head->magic));
	vu__split_fence();
	say_pid(t->head);
	vu__split_fence();
	memcpy(t->head->magic, VU_TELEMETRY_MAGIC, sizeof(t->head->magic));
}

void vu__telemetry_adopt(struct vu__telemetry *t)
{
	char name[sizeof(t->name)];
	uint64_t ns = t->head->pid_ns;

	if (t->fd < 0 || t->pid == getpid())
		return;
	t->pid = getpid();
	say_whose_now(t);
	make_name(t, name);
	/* In a name space of its own the pid is another process's out here. */
	if (t->head->pid_ns != ns)
		return;
	/* Somebody may have taken it for a black box meanwhile. */
	(void)fchmod(t->fd, 0600);
	if (renameat(t->dir, t->name, t->dir, name))
		vu__warn("telemetry of process %d: %s: %s", (int)t->pid, name, strerror(errno));
	memcpy(t->name, name, sizeof(name));
}

static void drop_annex(struct vu__annex_map *a)
{
	if (a->annex)
		vu__sys.munmap(a->annex, a->len);
	a->annex = NULL;
}

void vu__telemetry_free(struct vu__telemetry *t)
{
	if (!t)
		return;
	for (unsigned int i = 0; i < t->queues; i++)
		drop_annex(&t->annexes[i]);
	if (t->fd >= 0 && t->number < KEPT)
		keep_events(t);
	drop_file(t);
	if (t->len)
		vu__sys.munmap(t->head, t->len);
	else
		free(t->head);
	pthread_mutex_destroy(&t->lock);
	free(t->annexes);
	free(t);
}

/* --- under sequence counts --- */

static void edit(struct vu__telemetry *t, unsigned int i)
{
	pthread_mutex_lock(&t->lock);
	__atomic_store_n(&t->seqs[i], t->seqs[i] + 1, __ATOMIC_RELAXED);
	/* Odd before the first change, for readers in other processes ... */
	vu__split_fence();
}

static void done(struct vu__telemetry *t, unsigned int i)
{
	/* ... and even after the last. */
	vu__split_fence();
	__atomic_store_n(&t->seqs[i], t->seqs[i] + 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&t->lock);
}

struct vu_telemetry_device_block *vu__telemetry_edit_device(struct vu__telemetry *t)
{
	edit(t, 0);
	return t->device;
}

void vu__telemetry_done_device(struct vu__telemetry *t)
{
	done(t, 0);
}

struct vu_telemetry_config *vu__telemetry_edit_queue(struct vu__telemetry *t,
						     unsigned int queue)
{
	edit(t, queue + 1);
	return &t->configs[queue];
}

void vu__telemetry_done_queue(struct vu__telemetry *t, unsigned int queue)
{
	done(t, queue + 1);
}

/* --- annexes --- */

/* Another one behind the file's end, with the old one's contents. */
static int grow(struct vu__telemetry *t, struct vu__annex_map *a, unsigned int heads,
		uint64_t *at)
{
	uint64_t page = sysconf(_SC_PAGESIZE);
	uint64_t len = sizeof(struct vu_telemetry_annex) + heads;
	void *mem;
	int ret;

	*at = (t->end + page - 1) & ~(page - 1);
	ret = make_space(t->fd, *at, len);
	if (ret)
		return ret;
	t->end = *at + len;
	/* A queue that starts after a pause is not to wait for pages. */
	mem = vu__sys.mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, t->fd,
			   (off_t)*at);
	if (mem == MAP_FAILED)
		return -errno;
	if (a->annex)
		memcpy(mem, a->annex, sizeof(*a->annex));
	drop_annex(a);
	*a = (struct vu__annex_map){mem, len, heads};
	return 0;
}

struct vu_telemetry_annex *vu__telemetry_annex(struct vu__telemetry *t, unsigned int queue,
					       unsigned int heads)
{
	struct vu__annex_map *a = &t->annexes[queue];
	struct vu_telemetry_config *g;
	uint64_t at;
	int ret;

	if (t->fd < 0)
		return NULL;
	if (a->annex && a->heads >= heads)
		return a->annex;
	ret = grow(t, a, heads, &at);
	if (ret) {
		vu__warn("queue %u: no histograms: %s/%s: %s", queue, vu__run_dir(), t->name,
			 strerror(-ret));
		return NULL;
	}
	g = vu__telemetry_edit_queue(t, queue);
	g->annex = at;
	g->annex_heads = heads;
	vu__telemetry_done_queue(t, queue);
	return a->annex;
}

/* --- the black box --- */

void vu__telemetry_event(struct vu__telemetry *t, struct vu_telemetry_event e,
			 const char *fmt, ...)
{
	struct vu_telemetry_event *to;
	va_list ap;

	if (t->fd < 0)
		return;
	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(e.text, sizeof(e.text), fmt, ap);
		va_end(ap);
	}
	pthread_mutex_lock(&t->lock);
	e.time = vu__telemetry_now();
	e.number = 0;
	to = &t->events[++t->last_event % VU_TELEMETRY_EVENTS];
	/* No number while it is half written, for readers and for the end of us. */
	__atomic_store_n(&to->number, 0, __ATOMIC_RELAXED);
	vu__split_fence();
	*to = e;
	vu__split_fence();
	__atomic_store_n(&to->number, t->last_event, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&t->lock);
}

int vu__telemetry_watch(struct vu__telemetry *t, unsigned int seconds)
{
	if (seconds > VU_TELEMETRY_LEASE_MAX)
		return -EINVAL;
	if (t->fd < 0)
		return -ENOENT;
	__atomic_store_n(&t->lease->until,
			 seconds ? vu__telemetry_now() + seconds * 1000000000ULL : 0,
			 __ATOMIC_RELAXED);
	return 0;
}
