/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The metrics there are: one table of families, and what each writes of the model.
 * Labels have no process ids, so that a series outlives a restart of its back-end.
 */
#include <math.h>
#include <string.h>

#include "vu-top/metricsimpl.h"

/* --- how it is written --- */

static void put(const struct top_exposition_state *x, const char *text)
{
	top_write_text(x->w, text);
}

static void put_number(const struct top_exposition_state *x, double v)
{
	put(x, " ");
	top_write_number(x->w, v, 9);
	put(x, "\n");
}

static void put_count(const struct top_exposition_state *x, uint64_t v)
{
	put(x, " ");
	top_write_uint(x->w, v);
	put(x, "\n");
}

/* Begins a sample, up to where its own labels end. */
static void put_name(const struct top_exposition_state *x, const struct top_family *f,
		     const char *suffix)
{
	put(x, f->name);
	put(x, suffix);
	put(x, "{");
}

static void put_label(const struct top_exposition_state *x, const char *name,
		      const char *value)
{
	put(x, ",");
	put(x, name);
	put(x, "=\"");
	put(x, value);
	put(x, "\"");
}

static void end_labels(const struct top_exposition_state *x)
{
	if (x->o->labels)
		put(x, x->o->labels);
	put(x, "}");
}

static void device_labels(const struct top_exposition_state *x, uint32_t dev)
{
	put(x, x->device[dev]);
}

static void queue_labels(const struct top_exposition_state *x, const struct top_queue *t)
{
	put(x, x->queue[t->place]);
}

/* When a device's counters began, in milliseconds of the epoch; 0: not known, not wanted. */
static uint64_t created(const struct top_exposition_state *x, const struct vu__obs_device *d)
{
	const struct vu__obs_snapshot *s = x->m->frame->snap;

	if (!d->connected_ns || d->connected_ns > s->mono_ns || x->o->no_created ||
	    x->format != TOP_OPENMETRICS)
		return 0;
	return (s->real_ns - (s->mono_ns - d->connected_ns)) / 1000000u;
}

/* Seconds. */
static void put_created(const struct top_exposition_state *x, uint64_t ms)
{
	put(x, " ");
	top_write_uint(x->w, ms / 1000);
	put(x, ".");
	top_write_digits(x->w, ms % 1000, 3);
	put(x, "\n");
}

static void put_queue_created(const struct top_exposition_state *x, const struct top_family *f,
			      const struct top_queue *t)
{
	uint64_t when = created(x, t->dev);

	if (!when)
		return;
	put_name(x, f, "_created");
	queue_labels(x, t);
	end_labels(x);
	put_created(x, when);
}

/* --- of queues --- */

static void queue_counter(const struct top_exposition_state *x, const struct top_family *f)
{
	for (size_t i = 0; i < x->nqueues; i++) {
		const struct top_queue *t = x->queues[i];

		if (!vu__has_bit(t->q->have_counter, f->which))
			continue;
		put_name(x, f, "_total");
		queue_labels(x, t);
		end_labels(x);
		put_count(x, t->q->counter[f->which]);
		put_queue_created(x, f, t);
	}
}

/* Several counters that are told apart by a label. */
static void queue_counters(const struct top_exposition_state *x, const struct top_family *f,
			   const char *label, const char *const *values, size_t n)
{
	for (size_t i = 0; i < x->nqueues; i++) {
		const struct top_queue *t = x->queues[i];

		for (size_t c = 0; c < n; c++) {
			if (!vu__has_bit(t->q->have_counter, f->which + c))
				continue;
			put_name(x, f, "_total");
			queue_labels(x, t);
			put_label(x, label, values[c]);
			end_labels(x);
			put_count(x, t->q->counter[f->which + c]);
			if (!created(x, t->dev))
				continue;
			put_name(x, f, "_created");
			queue_labels(x, t);
			put_label(x, label, values[c]);
			end_labels(x);
			put_created(x, created(x, t->dev));
		}
	}
}

static void suppressed(const struct top_exposition_state *x, const struct top_family *f)
{
	static const char *const reasons[] = {"flag", "event_index", "masked", "no_fd"};

	queue_counters(x, f, "reason", reasons, VU_ARRAY_SIZE(reasons));
}

static void dirty(const struct top_exposition_state *x, const struct top_family *f)
{
	static const char *const kinds[] = {"first", "again"};

	queue_counters(x, f, "mark", kinds, VU_ARRAY_SIZE(kinds));
}

/* A field of ours, brought to base units. */
static void queue_field(const struct top_exposition_state *x, const struct top_family *f, const char *name)
{
	const struct top_field *field = top_field_find(name, strlen(name));

	for (size_t i = 0; field && i < x->nqueues; i++) {
		double v = top_field_number(field, x->queues[i], TOP_RATES);

		if (!top_known(v))
			continue;
		put_name(x, f, "");
		queue_labels(x, x->queues[i]);
		end_labels(x);
		put_number(x, field->kind == TOP_F_NS ? v / 1e9 : v);
	}
}

static void entries(const struct top_exposition_state *x, const struct top_family *f)
{
	queue_field(x, f, "size");
}

static void depth(const struct top_exposition_state *x, const struct top_family *f)
{
	queue_field(x, f, "depth");
}

static void pending(const struct top_exposition_state *x, const struct top_family *f)
{
	queue_field(x, f, "pend");
}

static void in_flight(const struct top_exposition_state *x, const struct top_family *f)
{
	queue_field(x, f, "infl");
}

static void oldest(const struct top_exposition_state *x, const struct top_family *f)
{
	queue_field(x, f, "oldest");
}

static void verdict_age(const struct top_exposition_state *x, const struct top_family *f)
{
	queue_field(x, f, "since");
}

static void queue_info(const struct top_exposition_state *x, const struct top_family *f)
{
	for (size_t i = 0; i < x->nqueues; i++) {
		const struct top_queue *t = x->queues[i];
		const struct vu__obs_setup *s = &t->q->setup;

		put_name(x, f, "_info");
		queue_labels(x, t);
		put_label(x, "ring", s->packed ? "packed" : "split");
		put_label(x, "event_index", s->event_idx ? "yes" : "no");
		put_label(x, "source", vu__obs_source_name(t->q->from[VU__OBS_SETUP]));
		end_labels(x);
		put_count(x, 1);
	}
}

static void queue_verdict(const struct top_exposition_state *x, const struct top_family *f)
{
	for (size_t i = 0; i < x->nqueues; i++) {
		const struct vu__obs_verdict *v = &x->queues[i]->verdict;

		put_name(x, f, "_info");
		queue_labels(x, x->queues[i]);
		put_label(x, "verdict", vu__obs_verdicts[v->id].name);
		put_label(x, "confidence", vu__obs_confidence_name(v->confidence));
		end_labels(x);
		put_count(x, 1);
	}
}

static void put_states(const struct top_exposition_state *x, const struct top_family *f,
		       const struct top_queue *t, const char *(*name)(unsigned int),
		       unsigned int n, unsigned int is)
{
	for (unsigned int s = 0; s < n; s++) {
		put_name(x, f, "");
		queue_labels(x, t);
		put_label(x, f->name, name(s));
		end_labels(x);
		put_count(x, s == is);
	}
}

static const char *state_name(unsigned int s)
{
	return top_state_name(s);
}

static const char *health_name(unsigned int s)
{
	return vu__obs_severity_name(s);
}

static void queue_state(const struct top_exposition_state *x, const struct top_family *f)
{
	for (size_t i = 0; i < x->nqueues; i++)
		put_states(x, f, x->queues[i], state_name, TOP_STATES,
			   top_state_of(x->queues[i]));
}

static void queue_health(const struct top_exposition_state *x, const struct top_family *f)
{
	for (size_t i = 0; i < x->nqueues; i++)
		put_states(x, f, x->queues[i], health_name, VU__OBS_SEVERITIES,
			   x->queues[i]->verdict.severity);
}

/* --- histograms: fixed bounds for what has many --- */

struct bound {
	const char *le;
	double value; /* in what is counted: ns, or requests */
};

static const struct bound time_bounds[] = {
	{"1e-06", 1e3},	 {"2e-06", 2e3},  {"5e-06", 5e3},  {"1e-05", 1e4},  {"2e-05", 2e4},
	{"5e-05", 5e4},	 {"0.0001", 1e5}, {"0.0002", 2e5}, {"0.0005", 5e5}, {"0.001", 1e6},
	{"0.002", 2e6},	 {"0.005", 5e6},  {"0.01", 1e7},   {"0.02", 2e7},   {"0.05", 5e7},
	{"0.1", 1e8},	 {"0.2", 2e8},	  {"0.5", 5e8},	   {"1.0", 1e9},    {"2.0", 2e9},
	{"5.0", 5e9},	 {"10.0", 1e10},  {"+Inf", INFINITY}};
static const struct bound batch_bounds[] = {
	{"1.0", 1},   {"2.0", 2},     {"4.0", 4},     {"8.0", 8},     {"16.0", 16},
	{"32.0", 32}, {"64.0", 64},   {"128.0", 128}, {"256.0", 256}, {"+Inf", INFINITY}};

/* Values of a bucket are as its middle is: 3 % off at most. */
static double bucket_value(const struct vu__obs_hist *h, unsigned int i)
{
	return ((i ? h->upper[i - 1] + 1 : 0) + (double)h->upper[i]) / 2;
}

static void put_histogram(const struct top_exposition_state *x, const struct top_family *f,
			  const struct top_queue *t, const struct vu__obs_hist *h)
{
	bool batch = f->which == VU__OBS_BATCH;
	const struct bound *bounds = batch ? batch_bounds : time_bounds;
	size_t n = batch ? VU_ARRAY_SIZE(batch_bounds) : VU_ARRAY_SIZE(time_bounds);
	uint64_t count = 0;
	unsigned int at = 0;

	for (size_t b = 0; b < n; b++) {
		for (; at < h->nbuckets && bucket_value(h, at) <= bounds[b].value; at++)
			count += h->count[at];
		put_name(x, f, "_bucket");
		queue_labels(x, t);
		put_label(x, "le", bounds[b].le);
		end_labels(x);
		put_count(x, count);
	}
	put_name(x, f, "_count");
	queue_labels(x, t);
	end_labels(x);
	put_count(x, count);
	put_name(x, f, "_sum");
	queue_labels(x, t);
	end_labels(x);
	put_number(x, batch ? h->sum : h->sum / 1e9);
	put_queue_created(x, f, t);
}

static void histogram(const struct top_exposition_state *x, const struct top_family *f)
{
	for (size_t i = 0; i < x->nqueues; i++) {
		const struct top_queue *t = x->queues[i];
		const struct vu__obs_hist *h = top_frame_hist(x->m->frame, t->place, f->which);

		if (h && h->total)
			put_histogram(x, f, t, h);
	}
}

/* --- of devices --- */

static void device_info(const struct top_exposition_state *x, const struct top_family *f)
{
	const struct vu__obs_snapshot *s = x->m->frame->snap;

	for (uint32_t i = 0; i < s->ndevs; i++) {
		const struct vu__obs_device *d = &s->devs[i];
		const struct vu__obs_process *p = vu__obs_process_of(s, d);
		char process[80];

		top_label(process, sizeof(process), "process", p->comm);
		put_name(x, f, "_info");
		device_labels(x, i);
		put_label(x, "type", top_type_name(d->virtio_id));
		put_label(x, "kind", vu__obs_kind_name(p->kind));
		put(x, ",");
		put(x, process);
		end_labels(x);
		put_count(x, 1);
	}
}

enum { UP, CONNECTED, MESSAGES, DIRTY_LOG, MEMORY };

static double device_value(const struct vu__obs_snapshot *s, const struct vu__obs_device *d,
			   unsigned int which)
{
	double bytes = 0;

	switch (which) {
	case UP:
		return vu__obs_process_of(s, d)->alive;
	case CONNECTED:
		return d->connected == VU__OBS_MAYBE ? TOP_UNKNOWN : d->connected == VU__OBS_YES;
	case MESSAGES:
		return d->from == VU__OBS_TELEMETRY ? d->messages : TOP_UNKNOWN;
	case DIRTY_LOG:
		return d->from == VU__OBS_TELEMETRY ? d->log_on : TOP_UNKNOWN;
	default:
		for (uint32_t i = 0; i < d->nregions; i++)
			bytes += s->regions[d->first_region + i].size;
		return d->from == VU__OBS_TELEMETRY ? bytes : TOP_UNKNOWN;
	}
}

static void device(const struct top_exposition_state *x, const struct top_family *f)
{
	const struct vu__obs_snapshot *s = x->m->frame->snap;

	for (uint32_t i = 0; i < s->ndevs; i++) {
		double v = device_value(s, &s->devs[i], f->which);

		if (!top_known(v))
			continue;
		put_name(x, f, f->type == TOP_COUNTER ? "_total" : "");
		device_labels(x, i);
		end_labels(x);
		put_number(x, v);
		if (f->type != TOP_COUNTER || !created(x, &s->devs[i]))
			continue;
		put_name(x, f, "_created");
		device_labels(x, i);
		end_labels(x);
		put_created(x, created(x, &s->devs[i]));
	}
}

/* --- of vu-top itself --- */

enum { ALIVE, DEVICES, QUEUES, TOOK, CPU, RESIDENT, RETRIES, MISSED, LEFT_OUT };

static void self(const struct top_exposition_state *x, const struct top_family *f)
{
	const struct top_model *m = x->m;
	const double values[] = {
		[ALIVE] = 1,
		[DEVICES] = m->ndevices,
		[QUEUES] = m->nqueues,
		[TOOK] = m->frame->snap->took_ns / 1e9,
		[CPU] = m->frame->self.cpu_ns / 1e9,
		[RESIDENT] = m->frame->self.mapped,
		[RETRIES] = m->retries,
		[MISSED] = m->missed,
		[LEFT_OUT] = x->left_out,
	};

	put(x, f->name);
	put(x, f->type == TOP_COUNTER ? "_total" : "");
	if (x->o->labels) {
		put(x, "{");
		put(x, x->o->labels + 1);
		put(x, "}");
	}
	put_number(x, values[f->which]);
}

static void version(const struct top_exposition_state *x, const struct top_family *f)
{
	put_name(x, f, "_info");
	put(x, "version=\"" PACKAGE_VERSION "\"");
	end_labels(x);
	put_count(x, 1);
}

/* Metrics alone do not tell why nothing is seen. */
static void alerts(const struct top_exposition_state *x, const struct top_family *f)
{
	for (unsigned int i = 0; i < x->m->nalerts; i++) {
		char label[512];
		unsigned int raised = 0;

		for (uint32_t q = 0; q < x->m->nqueues; q++)
			raised += x->m->queues[q]->alarms[i].raised;
		top_label(label, sizeof(label), "alert", x->m->alerts[i].text);
		put_name(x, f, "");
		put(x, label);
		end_labels(x);
		put_count(x, raised);
	}
}

/* --- the table --- */

/* clang-format off */
const struct top_family top_families[] = {
	{"vu_up", TOP_GAUGE, "", "Whether the host's back-ends could be looked at.", self, ALIVE},
	{"vu_build", TOP_INFO, "", "Version of vu-top.", version, 0},
	{"vu_devices", TOP_GAUGE, "", "vhost-user devices on this host.", self, DEVICES},
	{"vu_queues", TOP_GAUGE, "", "Virtqueues of these devices.", self, QUEUES},
	{"vu_queues_left_out", TOP_GAUGE, "", "Virtqueues beyond --max-queues, which have no series.", self, LEFT_OUT},
	{"vu_scrape_duration_seconds", TOP_GAUGE, "seconds", "Time it took to look at all queues once.", self, TOOK},
	{"vu_top_cpu_seconds", TOP_COUNTER, "seconds", "CPU time vu-top has used.", self, CPU},
	{"vu_top_resident_bytes", TOP_GAUGE, "bytes", "Memory vu-top uses.", self, RESIDENT},
	{"vu_top_retries", TOP_COUNTER, "", "Reads that were done again, as a writer was at it.", self, RETRIES},
	{"vu_top_missed", TOP_COUNTER, "", "Looks at queues that were not possible in time.", self, MISSED},
	{"vu_alerts", TOP_GAUGE, "", "Queues an alert of --alert is raised for.", alerts, 0},
	{"vu_device", TOP_INFO, "", "What a device is.", device_info, 0},
	{"vu_device_up", TOP_GAUGE, "", "Whether the back-end's process is alive.", device, UP},
	{"vu_device_connected", TOP_GAUGE, "", "Whether a front-end is connected.", device, CONNECTED},
	{"vu_device_messages", TOP_COUNTER, "", "vhost-user messages received.", device, MESSAGES},
	{"vu_device_dirty_logging", TOP_GAUGE, "", "Whether written pages are logged, as in a migration.", device, DIRTY_LOG},
	{"vu_device_memory_bytes", TOP_GAUGE, "bytes", "Guest memory shared with the back-end.", device, MEMORY},
	{"vu_queue", TOP_INFO, "", "What a queue is.", queue_info, 0},
	{"vu_queue_state", TOP_STATESET, "", "What the front-end has told the queue to be.", queue_state, 0},
	{"vu_queue_health", TOP_STATESET, "", "How bad the verdict on the queue is.", queue_health, 0},
	{"vu_queue_verdict", TOP_INFO, "", "What is wrong with the queue, by its name in vu-verdicts(7).", queue_verdict, 0},
	{"vu_queue_verdict_age_seconds", TOP_GAUGE, "seconds", "How long the verdict has been this one.", verdict_age, 0},
	{"vu_queue_ring_entries", TOP_GAUGE, "", "Size of the ring.", entries, 0},
	{"vu_queue_depth", TOP_GAUGE, "", "Requests made available and not given back.", depth, 0},
	{"vu_queue_pending", TOP_GAUGE, "", "Requests the back-end has not fetched yet.", pending, 0},
	{"vu_queue_in_flight", TOP_GAUGE, "", "Requests fetched and not completed.", in_flight, 0},
	{"vu_queue_oldest_request_seconds", TOP_GAUGE, "seconds", "Age of the oldest request, at least; 0 without one.", oldest, 0},
	{"vu_queue_kicks", TOP_COUNTER, "", "Kicks the back-end has read.", queue_counter, VU__OBS_KICKS},
	{"vu_queue_kick_signals", TOP_COUNTER, "", "Signals these kicks have found.", queue_counter, VU__OBS_KICK_VALUES},
	{"vu_queue_wakeups", TOP_COUNTER, "", "Times the device was told to look.", queue_counter, VU__OBS_WAKEUPS},
	{"vu_queue_wakeups_empty", TOP_COUNTER, "", "Times it found nothing to do.", queue_counter, VU__OBS_EMPTY_WAKEUPS},
	{"vu_queue_requests_available", TOP_COUNTER, "", "Requests the driver has made available.", queue_counter, VU__OBS_AVAILABLE},
	{"vu_queue_requests_popped", TOP_COUNTER, "", "Requests the back-end has fetched.", queue_counter, VU__OBS_POPPED},
	{"vu_queue_requests_completed", TOP_COUNTER, "", "Requests the back-end has given back.", queue_counter, VU__OBS_COMPLETED},
	{"vu_queue_requests_failed", TOP_COUNTER, "", "Requests that ended in an error of the device.", queue_counter, VU__OBS_FAILED},
	{"vu_queue_requests_dropped", TOP_COUNTER, "", "Requests given up when the queue was stopped.", queue_counter, VU__OBS_DROPPED},
	{"vu_queue_requests_indirect", TOP_COUNTER, "", "Requests with an indirect table.", queue_counter, VU__OBS_INDIRECT},
	{"vu_queue_descriptors", TOP_COUNTER, "", "Descriptors of the requests fetched.", queue_counter, VU__OBS_DESCRIPTORS},
	{"vu_queue_from_guest_bytes", TOP_COUNTER, "bytes", "Bytes the guest gave to the device.", queue_counter, VU__OBS_BYTES_OUT},
	{"vu_queue_to_guest_bytes", TOP_COUNTER, "bytes", "Bytes the device gave to the guest.", queue_counter, VU__OBS_BYTES_IN},
	{"vu_queue_batches", TOP_COUNTER, "", "Looks at the ring that found something new.", queue_counter, VU__OBS_BATCHES},
	{"vu_queue_looks_empty", TOP_COUNTER, "", "Looks at the ring that found nothing new.", queue_counter, VU__OBS_LOOKS_EMPTY},
	{"vu_queue_calls", TOP_COUNTER, "", "Calls sent to the driver.", queue_counter, VU__OBS_CALLS},
	{"vu_queue_calls_suppressed", TOP_COUNTER, "", "Calls not sent, by reason.", suppressed, VU__OBS_NOCALL_FLAG},
	{"vu_queue_call_errors", TOP_COUNTER, "", "Calls that could not be sent.", queue_counter, VU__OBS_CALL_ERRORS},
	{"vu_queue_ring_full", TOP_COUNTER, "", "Times every entry of the ring came to be in use.", queue_counter, VU__OBS_RING_FULL},
	{"vu_queue_translation_faults", TOP_COUNTER, "", "Addresses of the driver that are no guest memory.", queue_counter, VU__OBS_FAULTS},
	{"vu_queue_dirty_pages", TOP_COUNTER, "", "Pages marked in the dirty log: clean ones, and again.", dirty, VU__OBS_PAGES_FIRST},
	{"vu_queue_kick_to_pop_seconds", TOP_HISTOGRAM, "seconds", "Time from reading a kick to fetching a request.", histogram, VU__OBS_KICK_TO_POP},
	{"vu_queue_service_seconds", TOP_HISTOGRAM, "seconds", "Time from fetching a request to giving it back.", histogram, VU__OBS_SERVICE},
	{"vu_queue_batch_size", TOP_HISTOGRAM, "", "Requests found in one look.", histogram, VU__OBS_BATCH},
	{NULL, TOP_GAUGE, NULL, NULL, NULL, 0},
};
/* clang-format on */
