/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be told of a queue.  Pure; any thread. */
#include "vu-top/fields.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --- texts --- */

static const char *vm(const struct top_queue *t, char *buf)
{
	top_vm_name(t->vmm, buf, TOP_FIELD_TEXT);
	return buf;
}

static const char *device(const struct top_queue *t, char *buf)
{
	top_device_name(t->dev, buf, TOP_FIELD_TEXT);
	return buf;
}

static const char *process(const struct top_queue *t, char *buf)
{
	(void)buf;
	return t->proc->comm;
}

static const char *kind(const struct top_queue *t, char *buf)
{
	(void)buf;
	return vu__obs_kind_name(t->proc->kind);
}

static const char *type(const struct top_queue *t, char *buf)
{
	(void)buf;
	return top_type_name(t->dev->virtio_id);
}

static const char *socket_path(const struct top_queue *t, char *buf)
{
	(void)buf;
	return t->dev->socket;
}

static const char *role(const struct top_queue *t, char *buf)
{
	(void)buf;
	return vu__obs_role_name(t->q->role);
}

static const char *state(const struct top_queue *t, char *buf)
{
	(void)buf;
	return top_state_name(top_state_of(t));
}

/* Where what is known of what it does comes from. */
static const char *source(const struct top_queue *t, char *buf)
{
	(void)buf;
	if (vu__obs_knows(t->q, VU__OBS_COUNTERS))
		return vu__obs_source_name(t->q->from[VU__OBS_COUNTERS]);
	return vu__obs_source_name(t->q->from[VU__OBS_SETUP]);
}

static const char *ring(const struct top_queue *t, char *buf)
{
	(void)buf;
	return !t->q->setup.size ? "-" : t->q->setup.packed ? "packed" : "split";
}

static const char *verdict(const struct top_queue *t, char *buf)
{
	(void)buf;
	return vu__obs_verdicts[t->verdict.id].name;
}

static const char *confidence(const struct top_queue *t, char *buf)
{
	(void)buf;
	return vu__obs_confidence_name(t->verdict.confidence);
}

static const char *thread(const struct top_queue *t, char *buf)
{
	(void)buf;
	return t->q->worker.comm;
}

static const char *evidence(const struct top_queue *t, char *buf)
{
	(void)buf;
	return t->verdict.evidence;
}

/* --- numbers --- */

#define UNUSED __attribute__((unused))
#define NUMBER(name)                                                                      \
	static double name(const struct top_queue *t, const struct top_field *f UNUSED,   \
			   enum top_show show UNUSED)

NUMBER(pid)
{
	return t->proc->pid;
}

NUMBER(queue)
{
	return t->q->index;
}

NUMBER(size)
{
	return t->q->setup.size ? t->q->setup.size : TOP_UNKNOWN;
}

NUMBER(health)
{
	return t->verdict.severity;
}

NUMBER(since)
{
	return t->q->mono_ns > t->verdict_ns ? t->q->mono_ns - t->verdict_ns : 0;
}

static const struct vu__obs_rates *rates(const struct top_queue *t, enum top_show show)
{
	return show == TOP_RATES ? &t->rates : &t->since_mark;
}

/* A counter as it is to be shown. */
static double counted(const struct top_queue *t, enum vu__obs_counter c, enum top_show show)
{
	const struct vu__obs_rates *r = rates(t, show);

	if (show == TOP_TOTALS && !r->dt)
		return vu__has_bit(t->q->have_counter, c) ? t->q->counter[c] : TOP_UNKNOWN;
	if (!vu__obs_has_rate(r, c))
		return TOP_UNKNOWN;
	return show == TOP_TOTALS ? r->delta[c] : r->per_s[c];
}

/* The sum of what is known of a few counters. */
static double sum(const struct top_queue *t, const uint8_t *counters, size_t n,
		  enum top_show show)
{
	double v = TOP_UNKNOWN;

	for (size_t i = 0; i < n; i++) {
		double one = counted(t, counters[i], show);

		if (top_known(one))
			v = (top_known(v) ? v : 0) + one;
	}
	return v;
}

NUMBER(per_s)
{
	return counted(t, f->which, show);
}

NUMBER(total)
{
	return vu__has_bit(t->q->have_counter, f->which) ? t->q->counter[f->which] : TOP_UNKNOWN;
}

/* Of the last interval if there is no mark to count from. */
static const struct vu__obs_rates *interval(const struct top_queue *t, enum top_show show)
{
	return show == TOP_RATES || !t->since_mark.dt ? &t->rates : &t->since_mark;
}

static double ratio(const struct top_queue *t, enum vu__obs_counter a, enum vu__obs_counter b,
		    enum top_show show)
{
	double v = vu__obs_ratio(interval(t, show), a, b);

	return v < 0 ? TOP_UNKNOWN : v;
}

NUMBER(requests_a_kick)
{
	return ratio(t, VU__OBS_POPPED, VU__OBS_KICKS, show);
}

NUMBER(requests_a_call)
{
	return ratio(t, VU__OBS_COMPLETED, VU__OBS_CALLS, show);
}

NUMBER(bytes)
{
	static const uint8_t of[] = {VU__OBS_BYTES_IN, VU__OBS_BYTES_OUT};

	return sum(t, of, VU_ARRAY_SIZE(of), show);
}

NUMBER(suppressed)
{
	double v = vu__obs_suppressed_share(interval(t, show));

	return v < 0 ? TOP_UNKNOWN : v;
}

/* The part of all owed calls that one reason held back. */
NUMBER(suppressed_by)
{
	const struct vu__obs_rates *r = interval(t, show);
	double all = r->delta[VU__OBS_CALLS];

	if (vu__obs_suppressed_share(r) < 0)
		return TOP_UNKNOWN;
	for (unsigned int c = VU__OBS_NOCALL_FLAG; c <= VU__OBS_NOCALL_NOFD; c++)
		all += r->delta[c];
	return r->delta[f->which] / all;
}

NUMBER(empty)
{
	return ratio(t, VU__OBS_EMPTY_WAKEUPS, VU__OBS_WAKEUPS, show);
}

NUMBER(depth)
{
	return top_depth(t->q);
}

NUMBER(depth_max)
{
	return t->depth_max;
}

NUMBER(fill)
{
	return t->q->setup.size ? top_depth(t->q) / t->q->setup.size : TOP_UNKNOWN;
}

NUMBER(pending)
{
	return vu__obs_knows(t->q, VU__OBS_POSITION) ? t->q->ring.pending : TOP_UNKNOWN;
}

NUMBER(in_flight)
{
	return vu__obs_knows(t->q, VU__OBS_POSITION) ? t->q->ring.in_flight : TOP_UNKNOWN;
}

NUMBER(in_flight_max)
{
	return vu__obs_knows(t->q, VU__OBS_TIMES) ? t->q->times.in_flight_max : TOP_UNKNOWN;
}

NUMBER(oldest)
{
	return t->oldest;
}

enum { P50, P90, P99, P999, MAX, MEAN, OF_LATENCY = 8 };

NUMBER(latency)
{
	const struct top_latency *l = &t->latency[f->which / OF_LATENCY];
	const double v[] = {l->p50, l->p90, l->p99, l->p999, l->max, l->mean};

	return v[f->which % OF_LATENCY];
}

NUMBER(busy)
{
	return t->busy;
}

NUMBER(tid)
{
	return t->q->worker.tid ? t->q->worker.tid : TOP_UNKNOWN;
}

NUMBER(cpu)
{
	return vu__obs_knows(t->q, VU__OBS_WORKER) ? t->q->worker.cpu : TOP_UNKNOWN;
}

NUMBER(dirty)
{
	static const uint8_t of[] = {VU__OBS_PAGES_FIRST, VU__OBS_PAGES_AGAIN};

	return sum(t, of, VU_ARRAY_SIZE(of), show);
}

NUMBER(errors)
{
	static const uint8_t of[] = {VU__OBS_FAILED, VU__OBS_CALL_ERRORS, VU__OBS_FAULTS,
				     VU__OBS_DROPPED};

	return sum(t, of, VU_ARRAY_SIZE(of), show);
}

/* Kicks or calls that nobody has consumed yet. */
NUMBER(unread_kicks)
{
	return vu__obs_knows(t->q, VU__OBS_KICK) ? t->q->kick.count : TOP_UNKNOWN;
}

NUMBER(unread_calls)
{
	return vu__obs_knows(t->q, VU__OBS_CALL) ? t->q->call.count : TOP_UNKNOWN;
}

NUMBER(tag)
{
	return t->tagged;
}

NUMBER(alert)
{
	double n = 0;

	for (unsigned int i = 0; i < TOP_MAX_ALERTS; i++)
		n += t->alarms[i].raised;
	return n;
}

/* --- the table --- */

#define TEXT(name, title, width, get, help)                                               \
	{                                                                                 \
		name, title, width, TOP_F_TEXT, false, false, NULL, get, 0, help          \
	}
#define NUM(name, title, width, kind, get, which, help)                                   \
	{                                                                                 \
		name, title, width, kind, false, false, get, NULL, which, help            \
	}
#define LAT(name, title, which, value, help)                                              \
	{                                                                                 \
		name, title, 6, TOP_F_NS, true, false, latency, NULL,                     \
			(which)*OF_LATENCY + (value), help                                \
	}
#define THREAD(name, title, width, kind, num, txt, help)                                  \
	{                                                                                 \
		name, title, width, kind, false, true, num, txt, 0, help                  \
	}
#define COUNTER(name, counter)                                                            \
	NUM(name, "", 7, TOP_F_COUNT, total, counter, NULL),                              \
		NUM(name "/s", "", 7, TOP_F_COUNT, per_s, counter, NULL)

/* clang-format off */
const struct top_field top_fields[] = {
	TEXT("vm", "VM", 12, vm, "virtual machine: its name, else program and pid of its monitor"),
	TEXT("device", "DEVICE", 12, device, "what the back-end or the machine calls the device"),
	TEXT("process", "PROCESS", 12, process, "program of the back-end"),
	NUM("pid", "PID", 7, TOP_F_NUMBER, pid, 0, "process id of the back-end"),
	TEXT("kind", "KIND", 9, kind, "libvu, qemu-storage-daemon, dpdk, ..."),
	TEXT("type", "TYPE", 5, type, "virtio device type: blk, net, fs, ..."),
	TEXT("socket", "SOCKET", 20, socket_path, "path of the vhost-user socket"),
	NUM("q", "Q", 3, TOP_F_NUMBER, queue, 0, "index of the queue in its device"),
	TEXT("role", "ROLE", 7, role, "request, rx, tx, ctrl, event"),
	TEXT("state", "STATE", 8, state, "unused, stopped, disabled, started, broken, dead"),
	TEXT("source", "SOURCE", 9, source, "where its numbers come from: telemetry, peek, qmp"),
	TEXT("ring", "RING", 6, ring, "split or packed"),
	NUM("size", "SIZE", 5, TOP_F_NUMBER, size, 0, "entries of the ring"),
	NUM("health", "HEALTH", 8, TOP_F_HEALTH, health, 0, "ok, info, warning, critical"),
	TEXT("verdict", "VERDICT", 16, verdict, "what is wrong, by its name in vu-verdicts(7)"),
	TEXT("confidence", "SURE", 8, confidence, "of the verdict: possible, likely, certain"),
	TEXT("evidence", "EVIDENCE", 40, evidence, "what the verdict rests on"),
	NUM("since", "SINCE", 6, TOP_F_NS, since, 0, "how long the verdict has been this one"),
	NUM("kick/s", "KICK/s", 6, TOP_F_COUNT, per_s, VU__OBS_KICKS, "kicks the back-end read"),
	NUM("req/s", "REQ/s", 6, TOP_F_COUNT, per_s, VU__OBS_COMPLETED, "requests completed"),
	NUM("in/s", "IN/s", 6, TOP_F_BYTES, per_s, VU__OBS_BYTES_IN, "bytes to the guest"),
	NUM("out/s", "OUT/s", 6, TOP_F_BYTES, per_s, VU__OBS_BYTES_OUT, "bytes from the guest"),
	NUM("bytes/s", "B/s", 6, TOP_F_BYTES, bytes, 0, "bytes both ways"),
	NUM("req/kick", "RQ/KCK", 6, TOP_F_RATIO, requests_a_kick, 0, "requests taken for each kick"),
	NUM("call/s", "CALL/s", 6, TOP_F_COUNT, per_s, VU__OBS_CALLS, "calls sent to the driver"),
	NUM("req/call", "RQ/CLL", 6, TOP_F_RATIO, requests_a_call, 0, "requests completed for each call"),
	NUM("supp%", "SUPP%", 5, TOP_F_SHARE, suppressed, 0, "calls owed that the driver did not want"),
	NUM("supp_flag%", "SFLAG%", 6, TOP_F_SHARE, suppressed_by, VU__OBS_NOCALL_FLAG, "... by its flag"),
	NUM("supp_event%", "SEVNT%", 6, TOP_F_SHARE, suppressed_by, VU__OBS_NOCALL_EVENT, "... by its event index"),
	NUM("supp_masked%", "SMASK%", 6, TOP_F_SHARE, suppressed_by, VU__OBS_NOCALL_MASKED, "... by a masked vector"),
	NUM("supp_nofd%", "SNOFD%", 6, TOP_F_SHARE, suppressed_by, VU__OBS_NOCALL_NOFD, "... having no eventfd"),
	NUM("empty%", "EMPTY%", 6, TOP_F_SHARE, empty, 0, "wake-ups that found nothing to do"),
	NUM("depth", "DEPTH", 6, TOP_F_COUNT, depth, 0, "requests made available and not given back"),
	NUM("depth_max", "DMAX", 6, TOP_F_COUNT, depth_max, 0, "the most of them that was seen"),
	NUM("fill%", "FILL%", 5, TOP_F_SHARE, fill, 0, "depth as a part of the ring's size"),
	NUM("pend", "PEND", 6, TOP_F_COUNT, pending, 0, "requests the back-end has not fetched yet"),
	NUM("infl", "INFL", 6, TOP_F_COUNT, in_flight, 0, "requests fetched and not completed"),
	NUM("infl_max", "IMAX", 6, TOP_F_COUNT, in_flight_max, 0, "the most of them at once"),
	NUM("oldest", "OLDEST", 6, TOP_F_NS, oldest, 0, "age of the oldest request, at least"),
	LAT("p50", "P50", VU__OBS_SERVICE, P50, "service time, pop to push: median of the last seconds"),
	LAT("p90", "P90", VU__OBS_SERVICE, P90, "... 90 % take no longer"),
	LAT("p99", "P99", VU__OBS_SERVICE, P99, "... 99 %"),
	LAT("p99.9", "P99.9", VU__OBS_SERVICE, P999, "... 99.9 %"),
	LAT("max", "MAX", VU__OBS_SERVICE, MAX, "... the longest"),
	LAT("mean", "MEAN", VU__OBS_SERVICE, MEAN, "... mean"),
	LAT("kick_p50", "KP50", VU__OBS_KICK_TO_POP, P50, "from reading a kick to popping a request: median"),
	LAT("kick_p99", "KP99", VU__OBS_KICK_TO_POP, P99, "... 99 %"),
	{"batch", "BATCH", 5, TOP_F_RATIO, true, false, latency, NULL,
		VU__OBS_BATCH * OF_LATENCY + MEAN, "requests found in one look, mean"},
	THREAD("busy%", "BUSY%", 5, TOP_F_SHARE, busy, NULL, "of a CPU, by the thread that serves it"),
	NUM("tid", "TID", 7, TOP_F_NUMBER, tid, 0, "thread that serves it"),
	THREAD("cpu", "CPU", 3, TOP_F_NUMBER, cpu, NULL, "where that thread ran last"),
	THREAD("thread", "THREAD", 12, TOP_F_TEXT, NULL, thread, "name of that thread"),
	NUM("dirty/s", "DIRTY", 6, TOP_F_COUNT, dirty, 0, "pages marked in the dirty log"),
	NUM("err/s", "ERR/s", 5, TOP_F_COUNT, errors, 0, "failed or dropped requests, bad addresses, failed calls"),
	NUM("full/s", "FULL/s", 6, TOP_F_COUNT, per_s, VU__OBS_RING_FULL, "times every entry was in use"),
	NUM("kicks_unread", "KUNRD", 5, TOP_F_COUNT, unread_kicks, 0, "kicks that wait in the eventfd"),
	NUM("calls_unread", "CUNRD", 5, TOP_F_COUNT, unread_calls, 0, "calls that wait in the eventfd"),
	NUM("tag", "TAG", 3, TOP_F_NUMBER, tag, 0, "1: tagged with Space"),
	NUM("alert", "ALERT", 5, TOP_F_NUMBER, alert, 0, "alerts that are raised for it"),
	COUNTER("kicks", VU__OBS_KICKS),
	COUNTER("kick_values", VU__OBS_KICK_VALUES),
	COUNTER("wakeups", VU__OBS_WAKEUPS),
	COUNTER("empty_wakeups", VU__OBS_EMPTY_WAKEUPS),
	COUNTER("available", VU__OBS_AVAILABLE),
	COUNTER("popped", VU__OBS_POPPED),
	COUNTER("completed", VU__OBS_COMPLETED),
	COUNTER("failed", VU__OBS_FAILED),
	COUNTER("dropped", VU__OBS_DROPPED),
	COUNTER("unpopped", VU__OBS_UNPOPPED),
	COUNTER("chains", VU__OBS_CHAINS),
	COUNTER("descriptors", VU__OBS_DESCRIPTORS),
	COUNTER("indirect", VU__OBS_INDIRECT),
	COUNTER("bytes_out", VU__OBS_BYTES_OUT),
	COUNTER("bytes_in", VU__OBS_BYTES_IN),
	COUNTER("batches", VU__OBS_BATCHES),
	COUNTER("looks_empty", VU__OBS_LOOKS_EMPTY),
	COUNTER("calls", VU__OBS_CALLS),
	COUNTER("nocall_flag", VU__OBS_NOCALL_FLAG),
	COUNTER("nocall_event", VU__OBS_NOCALL_EVENT),
	COUNTER("nocall_masked", VU__OBS_NOCALL_MASKED),
	COUNTER("nocall_nofd", VU__OBS_NOCALL_NOFD),
	COUNTER("call_errors", VU__OBS_CALL_ERRORS),
	COUNTER("ring_full", VU__OBS_RING_FULL),
	COUNTER("faults", VU__OBS_FAULTS),
	COUNTER("pages_first", VU__OBS_PAGES_FIRST),
	COUNTER("pages_again", VU__OBS_PAGES_AGAIN),
	{NULL, NULL, 0, 0, false, false, NULL, NULL, 0, NULL},
};
/* clang-format on */

const struct top_field *top_field_find(const char *name, size_t len)
{
	for (const struct top_field *f = top_fields; f->name; f++) {
		if (strlen(f->name) == len && !strncasecmp(f->name, name, len))
			return f;
	}
	return NULL;
}

void top_field_format(const struct top_field *f, const struct top_queue *t,
		      enum top_show show, enum top_units units, char out[TOP_FIELD_TEXT])
{
	char buf[TOP_FIELD_TEXT];
	double v;

	if (f->kind == TOP_F_TEXT) {
		const char *text = f->text(t, buf);

		snprintf(out, TOP_FIELD_TEXT, "%s", *text ? text : "-");
		return;
	}
	v = f->number(t, f, show);
	switch (f->kind) {
	case TOP_F_BYTES:
		top_format_bytes(out, TOP_FIELD_TEXT, v, units);
		break;
	case TOP_F_NS:
		top_format_ns(out, TOP_FIELD_TEXT, v == 0 ? TOP_UNKNOWN : v);
		break;
	case TOP_F_SHARE:
		top_format_percent(out, TOP_FIELD_TEXT, v);
		break;
	case TOP_F_NUMBER:
		if (top_known(v))
			snprintf(out, TOP_FIELD_TEXT, "%.0f", v);
		else
			snprintf(out, TOP_FIELD_TEXT, "-");
		break;
	case TOP_F_HEALTH:
		snprintf(out, TOP_FIELD_TEXT, "%s", vu__obs_severity_name(v));
		break;
	default:
		top_format_count(out, TOP_FIELD_TEXT, v);
	}
	/* It is more than that. */
	if (f->number == per_s && vu__has_bit(t->rates.at_least, f->which) && top_known(v)) {
		memmove(out + 1, out, TOP_FIELD_TEXT - 2);
		out[0] = '>';
	}
}

bool top_field_is_rate(const struct top_field *f)
{
	return f->number == per_s || f->number == bytes || f->number == dirty ||
	       f->number == errors;
}
