/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-migrate dirty: what a back-end writes into the guest's memory, and whether a live
 * migration would come to its end.  The back-end logs into bitmaps of ours, a queue each,
 * which we read and clear every few milliseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "state/memfile.h"
#include "vu-migrate/client.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/dirty.h"
#include "vu-migrate/json.h"
#include "vu-migrate/progress.h"
#include "vu-migrate/qmp.h"
#include "vu-migrate/show.h"

#define TICK_MS 10

static uint64_t duration_ms = 10000, interval_ms = 1000;
static uint64_t bandwidth = 128u << 20, downtime_ms = 300, device_ms = 10;
static const char *monitor;
static bool csv;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- the bitmaps --- */

/* What the back-end is: its regions, by a snapshot that waits for nothing. */
static int look(struct client *c, struct vu__snap *s)
{
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;
	Vu__Control__Save save = VU__CONTROL__SAVE__INIT;
	Vu__Control__Reply *reply;
	char why[200];
	int err;

	save.in_flight = true;
	r.what_case = VU__CONTROL__REQUEST__WHAT_SAVE;
	r.save = &save;
	reply = client_call(c, &r, NULL, 0, (int)globals.timeout_ms, &err);
	if (!reply)
		return client_fail(c, err, "looking at its memory");
	vu__control__reply__free_unpacked(reply, NULL);
	err = vu__memfile_read(c->got_fd, s, why, sizeof(why));
	if (err)
		return fail(err, "%s: %s", c->name, why);
	return s->nregions ? 0 : fail(-ENOENT, "%s: it has no memory of a guest", c->name);
}

static uint64_t end_of_memory(const struct vu__snap *s)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < s->nregions; i++)
		end = VU_MAX(end, s->regions[i].gpa + s->regions[i].size);
	return end;
}

static int open_bitmaps(struct dirty_watch *w)
{
	size_t len;

	w->stride = (w->npages / 8 + 4096) & ~4095ULL;
	len = w->stride * w->nqueues;
	w->fd = memfd_create("vu-dirty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (w->fd < 0 || ftruncate(w->fd, (off_t)len) || fcntl(w->fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return -errno;
	w->map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	if (w->map == MAP_FAILED) {
		w->map = NULL;
		return -errno;
	}
	return 0;
}

static int begin(struct client *c, struct dirty_watch *w)
{
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;
	Vu__Control__Dirty d = VU__CONTROL__DIRTY__INIT;
	Vu__Control__Reply *reply;
	int err, status;

	memset(w, 0, sizeof(*w));
	w->fd = -1;
	status = look(c, &w->snap);
	if (status)
		return status;
	w->nqueues = c->info->max_queues;
	w->npages = end_of_memory(&w->snap) / 4096;
	err = open_bitmaps(w);
	if (!err)
		err = pages_init(&w->pages, w->npages, w->nqueues, now());
	if (err)
		return fail(err, "%s: %s", c->name, strerror(-err));
	d.stride = w->stride;
	d.queues = w->nqueues;
	r.what_case = VU__CONTROL__REQUEST__WHAT_DIRTY;
	r.dirty = &d;
	reply = client_call(c, &r, &w->fd, 1, (int)globals.timeout_ms, &err);
	if (!reply)
		return client_fail(c, err, "watching what it writes");
	vu__control__reply__free_unpacked(reply, NULL);
	return 0;
}

void dirty_end(struct dirty_watch *w)
{
	if (w->map)
		munmap(w->map, w->stride * w->nqueues);
	if (w->fd >= 0)
		close(w->fd);
	pages_release(&w->pages);
	vu__snap_release(&w->snap);
}

/* A piece of the file that has ever been written to; others have no page even. */
static void take_piece(struct dirty_watch *w, uint64_t from, uint64_t to)
{
	for (uint64_t at = from & ~7ULL; at < to; at += 8) {
		uint64_t *word = (uint64_t *)(void *)(w->map + at);
		uint64_t bits;

		if (!__atomic_load_n(word, __ATOMIC_RELAXED))
			continue;
		bits = __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST);
		pages_mark(&w->pages, (unsigned int)(at / w->stride), at % w->stride / 8, bits);
	}
}

/* Takes what was written since the last time. */
static void tick(struct dirty_watch *w)
{
	off_t end = (off_t)(w->stride * w->nqueues), at = 0;

	while (at < end) {
		off_t data = lseek(w->fd, at, SEEK_DATA);
		off_t hole = data < 0 ? end : lseek(w->fd, data, SEEK_HOLE);

		if (data < 0)
			break;
		take_piece(w, data, hole < 0 ? end : hole);
		at = hole < 0 ? end : hole;
	}
	pages_tick(&w->pages, now());
}

/* --- what the guest writes --- */

/* MiB a second over @seconds, by QEMU's sampling; -1 if it does not say. */
static double guest_rate(struct qmp *q, int seconds)
{
	struct json_object *o, *part;
	char arguments[64];
	double rate = -1;

	snprintf(arguments, sizeof(arguments), "{\"calc-time\": %d}", seconds);
	o = qmp_execute(q, "calc-dirty-rate", arguments);
	if (!o)
		return -1;
	json_object_put(o);
	for (int i = 0; i < (seconds + 5) * 10 && rate < 0; i++) {
		usleep(100000);
		o = qmp_execute(q, "query-dirty-rate", NULL);
		if (!o)
			return -1;
		if (json_object_object_get_ex(o, "status", &part) &&
		    !strcmp(json_object_get_string(part), "measured") &&
		    json_object_object_get_ex(o, "dirty-rate", &part))
			rate = (double)json_object_get_int64(part);
		json_object_put(o);
	}
	return rate;
}

/* Bytes within one and five seconds.  False after saying why. */
static bool ask_guest(double *one, double *five)
{
	struct qmp *q = qmp_open(monitor);
	double a, b;

	if (!q)
		return false;
	a = guest_rate(q, 1);
	b = a < 0 ? -1 : guest_rate(q, 5);
	qmp_close(q);
	*one = a * 1048576;
	*five = b * 5 * 1048576;
	return a >= 0 && b >= 0;
}

/* QEMU's samples show what anybody wrote, the back-end too; ours are of it alone. */
static void add_guest(struct est_curve *c, double one, double five)
{
	const struct est_curve all = {.n = 2, .seconds = {1, 5}, .bytes = {one, five}};

	for (size_t i = 0; i < c->n; i++)
		c->bytes[i] = VU_MAX(c->bytes[i], est_unique(&all, c->seconds[i], 1e18));
}

/* --- reporting --- */

static const char *human(double bytes, char text[24])
{
	show_bytes((uint64_t)bytes, text, 24);
	return text;
}

static void print_live(const struct client *c, const struct dirty_watch *w, uint64_t writes,
		       double seconds)
{
	char rate[24], unique[24];

	if (csv) {
		printf("%.3f,%.0f,%.0f\n", w->pages.now - w->pages.began,
		       (double)writes * PAGE_BYTES / seconds,
		       (double)w->pages.unique * PAGE_BYTES);
		fflush(stdout);
		return;
	}
	printf("%s: %s/s written, %s touched in %.0f s\n", c->name,
	       human((double)writes * PAGE_BYTES / seconds, rate),
	       human((double)w->pages.unique * PAGE_BYTES, unique),
	       w->pages.now - w->pages.began);
	fflush(stdout);
}

static void print_shares(const struct dirty_watch *w)
{
	const struct pages *p = &w->pages;

	for (unsigned int i = 0; p->writes && i < p->nqueues; i++) {
		if (p->by_queue[i])
			printf("  queue %-3u %5.1f %% of what is written\n", i,
			       100.0 * (double)p->by_queue[i] / (double)p->writes);
	}
	for (uint32_t i = 0; i < w->snap.nregions; i++) {
		const struct vu__snap_region *r = &w->snap.regions[i];
		uint64_t n = pages_in(p, r->gpa / 4096, r->size / 4096);
		char text[24];

		if (n)
			printf("  region 0x%llx: %s touched, %.1f %% of it\n",
			       (unsigned long long)r->gpa, human((double)n * PAGE_BYTES, text),
			       100.0 * (double)n * PAGE_BYTES / (double)r->size);
	}
}

static void print_plan(const struct est_plan *plan, double memory)
{
	char bytes[24], rate[24], needed[24];

	printf("plan for %s of memory at %s/s and a pause of %llu ms:\n", human(memory, bytes),
	       human((double)bandwidth, rate), (unsigned long long)downtime_ms);
	for (unsigned int i = 0; i < plan->rounds; i++)
		printf("  round %-2u %10s in %8.2f s\n", i + 1, human(plan->round[i].bytes, bytes),
		       plan->round[i].seconds);
	printf("%s: ", est_verdict_name(plan->verdict));
	if (plan->verdict == EST_NEVER)
		printf("after %u rounds it would still pause for %.0f ms", plan->rounds,
		       plan->pause * 1e3);
	else
		printf("after %u rounds and %.1f s, pause %.0f ms", plan->rounds, plan->seconds,
		       plan->pause * 1e3);
	if (plan->needed > 0)
		printf("; it takes %s/s at least\n", human(plan->needed, needed));
	else
		printf("; no bandwidth is enough for this pause\n");
}

static const char *advice(const struct est_plan *plan)
{
	return plan->verdict == EST_CONVERGES ? "" :
	       "advice: more bandwidth, a longer pause, postcopy, or less of what the hottest "
	       "queue does";
}

struct outcome {
	struct est_curve own, all; /* of the back-end, and with the guest's writes */
	struct est_plan plan;
};

static void report_text(const struct dirty_watch *w, const struct outcome *out)
{
	const struct est_plan *plan = &out->plan;
	const struct pages *p = &w->pages;
	char bytes[24];

	printf("different memory written within%s:\n",
	       monitor ? ", by the back-end and by all" : "");
	for (size_t i = 0; i < out->own.n; i++) {
		printf("  %5.2f s %10s", out->own.seconds[i], human(out->own.bytes[i], bytes));
		if (monitor)
			printf(" %10s", human(out->all.bytes[i], bytes));
		putchar('\n');
	}
	printf("hot set: %s, written again and again; each page %.1f times\n",
	       human((double)pages_hot(p) * PAGE_BYTES, bytes),
	       p->unique ? (double)p->writes / (double)p->unique : 0);
	print_shares(w);
	print_plan(plan, (double)vu__snap_memory(&w->snap));
	if (*advice(plan))
		puts(advice(plan));
}

static struct json_object *json_rounds(const struct est_plan *plan)
{
	struct json_object *list = json_object_new_array();

	for (unsigned int i = 0; i < plan->rounds; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "bytes", json_object_new_int64(
						 (int64_t)plan->round[i].bytes));
		json_object_object_add(o, "seconds",
				       json_object_new_double(plan->round[i].seconds));
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *json_curve(const struct est_curve *c)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < c->n; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "seconds", json_object_new_double(c->seconds[i]));
		json_object_object_add(o, "bytes", json_object_new_int64((int64_t)c->bytes[i]));
		json_object_array_add(list, o);
	}
	return list;
}

static void report_json(const struct client *client, const struct dirty_watch *w,
			const struct outcome *out)
{
	const struct est_plan *plan = &out->plan;
	const struct pages *p = &w->pages;
	struct json_object *o = json_object_new_object();
	struct json_object *queues = json_object_new_array();

	for (unsigned int i = 0; i < p->nqueues; i++)
		json_object_array_add(queues, json_object_new_int64((int64_t)p->by_queue[i]));
	json_object_object_add(o, "target", json_object_new_string(client->name));
	json_object_object_add(o, "seconds", json_object_new_double(p->now - p->began));
	json_object_object_add(o, "memory_bytes",
			       json_object_new_uint64(vu__snap_memory(&w->snap)));
	json_object_object_add(o, "pages_written", json_object_new_int64((int64_t)p->writes));
	json_object_object_add(o, "pages_touched", json_object_new_int64((int64_t)p->unique));
	json_object_object_add(o, "pages_hot", json_object_new_int64((int64_t)pages_hot(p)));
	json_object_object_add(o, "pages_by_queue", queues);
	json_object_object_add(o, "curve", json_curve(&out->own));
	if (monitor)
		json_object_object_add(o, "curve_with_guest", json_curve(&out->all));
	json_object_object_add(o, "rounds", json_rounds(plan));
	json_object_object_add(o, "verdict",
			       json_object_new_string(est_verdict_name(plan->verdict)));
	json_object_object_add(o, "pause_ms", json_object_new_double(plan->pause * 1e3));
	json_object_object_add(o, "total_seconds", json_object_new_double(plan->seconds));
	json_object_object_add(o, "needed_bandwidth",
			       json_object_new_int64((int64_t)plan->needed));
	json_print(o);
}

/* --- the command --- */

/* Until the time is over, somebody has had enough, or the back-end is gone. */
static int watch(struct client *c, struct dirty_watch *w, double seconds, bool live)
{
	double begin = now(), end = begin + seconds;
	double next = begin + (double)interval_ms / 1e3, last = begin, told = begin;
	uint64_t before = 0;

	while (now() < end && !interrupted) {
		if (!vu__fd_wait(c->fd, POLLIN, vu__now_ms() + TICK_MS))
			return fail(-ECONNRESET, "%s: it is gone, or was handed over", c->name);
		tick(w);
		if (!live && now() > told + PROGRESS_MS / 1e3) {
			told = now();
			progress("measuring what is written", told - begin, seconds);
		}
		if (now() < next)
			continue;
		if (live)
			print_live(c, w, w->pages.writes - before, now() - last);
		before = w->pages.writes;
		last = now();
		next += (double)interval_ms / 1e3;
	}
	progress_end();
	return 0;
}

int dirty_measure(struct client *c, struct dirty_watch *w, double seconds, bool live)
{
	int status = begin(c, w);

	return status ? status : watch(c, w, seconds, live);
}

static int measure_and_report(struct client *c, struct dirty_watch *w)
{
	struct outcome out;
	double one = 0, five = 0;
	int status;

	if (csv)
		puts("seconds,written_bytes_per_second,touched_bytes");
	status = dirty_measure(c, w, (double)duration_ms / 1e3,
			       csv || (!globals.json && !globals.quiet));
	if (status)
		return status;
	pages_curve(&w->pages, &out.own);
	out.all = out.own;
	if (monitor) {
		if (!ask_guest(&one, &five))
			return EXIT_NEGATIVE;
		add_guest(&out.all, one, five);
	}
	est_make(&out.all, (double)vu__snap_memory(&w->snap), (double)bandwidth,
		 (double)downtime_ms / 1e3, (double)device_ms / 1e3, &out.plan);
	if (globals.json) {
		report_json(c, w, &out);
	} else if (!csv) {
		report_text(w, &out);
	}
	return out.plan.verdict == EST_NEVER ? EXIT_NEGATIVE :
	       out.plan.verdict == EST_MARGINAL ? EXIT_WARNINGS : EXIT_SUCCESS;
}

static int run_dirty(int argc, char **argv)
{
	struct dirty_watch w;
	struct client c;
	int status;

	(void)argc;
	if (!bandwidth || !duration_ms || !interval_ms) {
		say("dirty: bandwidth, duration and interval are more than nothing");
		return EXIT_USAGE;
	}
	if (csv && globals.json) {
		say("dirty: either --csv or --json");
		return EXIT_USAGE;
	}
	status = client_open(&c, argv[0], false);
	if (status)
		return status;
	memset(&w, 0, sizeof(w));
	w.fd = -1;
	status = client_can(&c, "dirty") ? measure_and_report(&c, &w) : EXIT_UNSUPPORTED;
	dirty_end(&w);
	client_close(&c);
	return status;
}

static const struct opt opts[] = {
	{"duration", 'd', "TIME", "look for this long (10s)", opt_duration, &duration_ms},
	{"interval", 'i', "TIME", "say something this often (1s)", opt_duration, &interval_ms},
	{"bandwidth", 0, "BYTES", "of the migration, a second (128M)", opt_bytes, &bandwidth},
	{"downtime", 0, "TIME", "the pause it may end with (300ms)", opt_duration, &downtime_ms},
	{"device-time", 0, "TIME", "what that pause costs beside memory (10ms)", opt_duration,
	 &device_ms},
	{"qmp", 0, "SOCKET", "ask QEMU's monitor there what the guest writes, too", opt_text,
	 &monitor},
	{"csv", 0, NULL, "print a line of numbers each interval, and nothing else", opt_flag,
	 &csv},
	{0},
};

const struct command cmd_dirty = {
	.name = "dirty",
	.args = "TARGET",
	.what = "print how fast a back-end writes memory, and whether a migration would end",
	.more = "The exit status is 0 if it CONVERGES, 8 if that is MARGINAL, 1 if it NEVER does.",
	.opts = opts,
	.min_args = 1,
	.max_args = 1,
	.run = run_dirty,
};
