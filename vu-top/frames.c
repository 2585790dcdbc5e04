/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames as bytes: of each structure what differs from the one in its place in the
 * frame before.  What is read may be anything: it is checked as it is decoded, and the
 * frame as a whole before it is handed out.  Pure; any thread.
 */
#include <errno.h>
#include <string.h>

#include "vu-top/schema.h"

/* --- bytes --- */

static void put_varint(struct top_bytes *b, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;

	do {
		bytes[n] = v & 0x7f;
		v >>= 7;
		bytes[n++] |= v ? 0x80 : 0;
	} while (v);
	top_bytes_put(b, bytes, n);
}

static uint64_t zigzag(uint64_t v)
{
	return v << 1 ^ (uint64_t)((int64_t)v >> 63);
}

static uint64_t unzigzag(uint64_t v)
{
	return v >> 1 ^ -(v & 1);
}

struct input {
	const uint8_t *at, *end;
	bool bad;
};

static uint64_t get_varint(struct input *in)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		if (in->at == in->end)
			break;
		v |= (uint64_t)(*in->at & 0x7f) << shift;
		if (!(*in->at++ & 0x80))
			return v;
	}
	in->bad = true;
	return 0;
}

static const uint8_t *get(struct input *in, size_t len)
{
	const uint8_t *p = in->at;

	if ((size_t)(in->end - in->at) < len) {
		in->bad = true;
		return NULL;
	}
	in->at += len;
	return p;
}

/* --- a field of a structure in memory --- */

static uint64_t load(const void *at, uint8_t kind, uint16_t size)
{
	uint64_t v = 0;

	/* Little endian, as this machine is: see the static assertion below. */
	memcpy(&v, at, size);
	if (kind == TOP_R_INT && size < 8 && v >> (size * 8 - 1))
		v |= ~0ull << (size * 8);
	return v;
}

static void store(void *at, uint16_t size, uint64_t v)
{
	memcpy(at, &v, size);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are copied as they are");

/* --- structures --- */

/* Instead of a structure that is not there. */
static const union {
	struct vu__obs_queue q;
	struct vu__obs_process p;
	struct vu__obs_device d;
	struct vu__obs_snapshot s;
	struct vu__obs_region r;
	struct vu_telemetry_event e;
	struct top_frame f;
	struct top_holder h;
	struct top_backing b;
} zero;

static bool differs(const struct top_schema_field *f, const char *a, const char *b)
{
	return f->kind == TOP_R_TEXT ? strncmp(a, b, f->size) : memcmp(a, b, f->size);
}

static void put_field(struct top_bytes *b, const struct top_schema_field *f, const char *now,
		      const char *before)
{
	size_t len;

	switch (f->kind) {
	case TOP_R_TEXT:
		len = strnlen(now, f->size);
		put_varint(b, len);
		top_bytes_put(b, now, len);
		break;
	case TOP_R_DOUBLE:
		top_bytes_put(b, now, sizeof(double));
		break;
	default:
		put_varint(b, zigzag(load(now, f->kind, f->size) -
				     load(before, f->kind, f->size)));
	}
}

static void put_struct(struct top_bytes *b, enum top_record_struct which, const void *now,
		       const void *before)
{
	const struct top_schema *own = top_schema_own();
	unsigned int skipped = 0;

	before = before ? before : &zero;
	if (!own) {
		b->failed = true;
		return;
	}
	for (unsigned int i = 0; i < own->of[which].n; i++) {
		const struct top_schema_field *f = &own->of[which].field[i];
		const char *a = (const char *)now + f->offset;
		const char *o = (const char *)before + f->offset;

		if (!differs(f, a, o)) {
			skipped++;
			continue;
		}
		put_varint(b, skipped + 1);
		put_field(b, f, a, o);
		skipped = 0;
	}
	put_varint(b, 0);
}

/* The bits of the file's counters, as ours. */
static uint64_t map_mask(const struct top_schema *s, uint64_t file)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < s->ncounters; i++) {
		if (vu__has_bit(file, i) && s->counter[i] >= 0)
			v |= VU_BIT(s->counter[i]);
	}
	return v;
}

static uint64_t unmap_mask(const struct top_schema *s, uint64_t own)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < s->ncounters; i++) {
		if (s->counter[i] >= 0 && vu__has_bit(own, s->counter[i]))
			v |= VU_BIT(i);
	}
	return v;
}

static void get_text(struct input *in, const struct top_schema_field *f, char *to)
{
	uint64_t len = get_varint(in);
	const uint8_t *text = in->bad || len > 65536 ? NULL : get(in, len);

	if (!text) {
		in->bad = true;
		return;
	}
	if (f->offset < 0)
		return;
	memset(to, 0, f->size);
	/* It may have been longer than ours is. */
	memcpy(to, text, VU_MIN(len, f->size - 1u));
}

static void get_field(const struct top_schema *s, struct input *in,
		      const struct top_schema_field *f, char *to)
{
	const uint8_t *p;
	uint64_t v;

	switch (f->kind) {
	case TOP_R_TEXT:
		get_text(in, f, to);
		return;
	case TOP_R_DOUBLE:
		p = get(in, sizeof(double));
		if (p && f->offset >= 0)
			memcpy(to, p, sizeof(double));
		return;
	}
	v = unzigzag(get_varint(in));
	if (f->offset < 0)
		return;
	if (f->kind == TOP_R_MASK)
		v = map_mask(s, unmap_mask(s, load(to, f->kind, f->size)) + v);
	else
		v += load(to, f->kind, f->size);
	store(to, f->size, f->kind == TOP_R_BOOL ? v != 0 : v);
}

/* @to: what was before, which becomes what is. */
static void get_struct(const struct top_schema *s, struct input *in,
		       enum top_record_struct which, void *to)
{
	unsigned int i = 0;
	uint64_t step;

	while (!in->bad && (step = get_varint(in))) {
		const struct top_schema_field *f;

		if (step > s->of[which].n - i) {
			in->bad = true;
			return;
		}
		i += step;
		f = &s->of[which].field[i - 1];
		get_field(s, in, f, (char *)to + VU_MAX(f->offset, 0));
	}
}

/* --- arrays of them --- */

#define MAX_ELEMENTS 262144

static void put_array(struct top_bytes *b, enum top_record_struct which, const void *now,
		      uint32_t n, const void *before, uint32_t nbefore)
{
	size_t size = top_record_structs[which].size;

	put_varint(b, n);
	for (uint32_t i = 0; i < n; i++)
		put_struct(b, which, (const char *)now + i * size,
			   i < nbefore ? (const char *)before + i * size : NULL);
}

/* Room grows with what is read: a number alone allocates nothing. */
static void *get_array(const struct top_schema *s, struct input *in,
		       enum top_record_struct which, uint32_t *n, const void *before,
		       uint32_t nbefore)
{
	size_t size = top_record_structs[which].size;
	uint64_t count = get_varint(in);
	char *array = NULL;
	uint32_t room = 0;

	*n = 0;
	if (count > MAX_ELEMENTS || count > (uint64_t)(in->end - in->at))
		in->bad = true;
	while (!in->bad && *n < count) {
		if (*n == room) {
			char *more = reallocarray(array, room ? 2 * room : 16, size);

			if (!more) {
				in->bad = true;
				break;
			}
			array = more;
			room = room ? 2 * room : 16;
		}
		memcpy(array + *n * size,
		       *n < nbefore ? (const char *)before + *n * size : (const char *)&zero,
		       size);
		get_struct(s, in, which, array + *n * size);
		(*n)++;
	}
	return array;
}

/* --- histograms: buckets that have changed --- */

static const struct vu__obs_hist *hist_before(const struct top_frame *before, uint32_t i,
					      uint32_t queue, unsigned int which)
{
	if (!before || i >= before->nhists || before->hists[i].queue != queue ||
	    !before->hists[i].of[which].count)
		return NULL;
	return &before->hists[i].of[which];
}

static uint64_t counted(const struct vu__obs_hist *h, unsigned int bucket)
{
	return h && bucket < h->nbuckets ? h->count[bucket] : 0;
}

static void put_hist(struct top_bytes *b, const struct vu__obs_hist *h,
		     const struct vu__obs_hist *before)
{
	unsigned int skipped = 0;

	if (!h->count || h->nbuckets > VU_HIST_BUCKETS) {
		put_varint(b, 0);
		return;
	}
	put_varint(b, 1);
	put_varint(b, h->max);
	top_bytes_put(b, &h->sum, sizeof(h->sum));
	for (unsigned int i = 0; i < VU_HIST_BUCKETS; i++) {
		uint64_t now = counted(h, i), old = counted(before, i);

		if (now == old) {
			skipped++;
			continue;
		}
		put_varint(b, skipped + 1);
		put_varint(b, zigzag(now - old));
		skipped = 0;
	}
	put_varint(b, 0);
}

static void get_hist(struct input *in, struct vu__obs_hist *h,
		     const struct vu__obs_hist *before)
{
	unsigned int at = 0;
	const uint8_t *sum;
	uint64_t step;

	if (!get_varint(in) || in->bad)
		return;
	h->count = calloc(VU_HIST_BUCKETS, sizeof(*h->count));
	h->max = get_varint(in);
	sum = get(in, sizeof(h->sum));
	if (!h->count || !sum) {
		in->bad = true;
		return;
	}
	memcpy(&h->sum, sum, sizeof(h->sum));
	h->nbuckets = VU_HIST_BUCKETS;
	h->upper = top_hist_bounds();
	if (before)
		memcpy(h->count, before->count, before->nbuckets * sizeof(*h->count));
	while (!in->bad && (step = get_varint(in))) {
		if (step > VU_HIST_BUCKETS - at) {
			in->bad = true;
			return;
		}
		at += step;
		h->count[at - 1] += unzigzag(get_varint(in));
	}
	for (unsigned int i = 0; i < VU_HIST_BUCKETS; i++)
		h->total += h->count[i];
}

static void put_hists(struct top_bytes *b, const struct top_frame *f,
		      const struct top_frame *before)
{
	put_varint(b, f->nhists);
	for (uint32_t i = 0; i < f->nhists; i++) {
		put_varint(b, f->hists[i].queue);
		for (unsigned int l = 0; l < VU__OBS_LATENCIES; l++)
			put_hist(b, &f->hists[i].of[l],
				 hist_before(before, i, f->hists[i].queue, l));
	}
}

static void get_hists(struct input *in, struct top_frame *f, const struct top_frame *before)
{
	uint64_t n = get_varint(in), queue = 0;

	for (uint64_t i = 0; !in->bad && i < n; i++) {
		uint64_t next = get_varint(in);
		struct top_hists *h;

		/* They are looked up by number. */
		if (next >= f->snap->nqueues || (i && next <= queue))
			in->bad = true;
		queue = next;
		h = in->bad ? NULL : top_frame_add_hists(f);
		if (!h) {
			in->bad = true;
			return;
		}
		h->queue = queue;
		for (unsigned int l = 0; l < VU__OBS_LATENCIES; l++)
			get_hist(in, &h->of[l], hist_before(before, i, queue, l));
	}
}

/* --- events --- */

static void put_events(struct top_bytes *b, const struct top_frame *f)
{
	put_varint(b, f->nevents);
	for (uint32_t i = 0; i < f->nevents; i++) {
		put_varint(b, f->events[i].dev);
		put_varint(b, f->events[i].lost);
		put_array(b, TOP_R_EVENT, f->events[i].events, f->events[i].n, NULL, 0);
	}
}

static void get_events(const struct top_schema *s, struct input *in, struct top_frame *f)
{
	uint64_t n = get_varint(in);

	for (uint64_t i = 0; !in->bad && i < n; i++) {
		uint64_t dev = get_varint(in), lost = get_varint(in);
		struct top_events *e = dev < f->snap->ndevs ? top_frame_add_events(f, 0) : NULL;

		if (!e) {
			in->bad = true;
			return;
		}
		free(e->events);
		e->dev = dev;
		e->lost = lost;
		e->events = get_array(s, in, TOP_R_EVENT, &e->n, NULL, 0);
	}
}

/* --- frames --- */

void top_frame_write(struct top_bytes *b, const struct top_frame *f,
		     const struct top_frame *before)
{
	static const struct vu__obs_snapshot none;
	const struct vu__obs_snapshot *s = f->snap, *o = before ? before->snap : &none;

	put_struct(b, TOP_R_FRAME, f, before);
	put_struct(b, TOP_R_SNAPSHOT, s, o);
	put_array(b, TOP_R_PROCESS, s->procs, s->nprocs, o->procs, o->nprocs);
	put_array(b, TOP_R_DEVICE, s->devs, s->ndevs, o->devs, o->ndevs);
	put_array(b, TOP_R_QUEUE, s->queues, s->nqueues, o->queues, o->nqueues);
	put_array(b, TOP_R_REGION, s->regions, s->nregions, o->regions, o->nregions);
	put_hists(b, f, before);
	put_events(b, f);
	put_array(b, TOP_R_HOLDER, f->holders, f->nholders, before ? before->holders : NULL,
		  before ? before->nholders : 0);
	put_array(b, TOP_R_BACKING, f->backings, f->nbackings, before ? before->backings : NULL,
		  before ? before->nbackings : 0);
}

static bool device_fits(const struct vu__obs_snapshot *s, uint32_t i)
{
	const struct vu__obs_device *d = &s->devs[i];

	if (d->proc >= s->nprocs || d->vmm < -1 || d->vmm >= (int64_t)s->nprocs ||
	    d->connected > VU__OBS_YES || d->phase > VU__OBS_POSTCOPY ||
	    d->from >= VU__OBS_SOURCES ||
	    !vu__range_within(d->first_queue, d->nqueues, s->nqueues) ||
	    !vu__range_within(d->first_region, d->nregions, s->nregions))
		return false;
	for (uint32_t q = 0; q < d->nqueues; q++) {
		if (s->queues[d->first_queue + q].dev != i)
			return false;
	}
	return true;
}

static bool queue_fits(const struct vu__obs_snapshot *s, const struct vu__obs_queue *q)
{
	for (unsigned int p = 0; p < VU__OBS_PARTS; p++) {
		if (q->from[p] >= VU__OBS_SOURCES)
			return false;
	}
	return q->dev < s->ndevs && q->role < VU__OBS_ROLES;
}

/* What others rely upon when they look at a snapshot. */
static bool snapshot_fits(const struct vu__obs_snapshot *s)
{
	for (uint32_t i = 0; i < s->nprocs; i++) {
		if (s->procs[i].kind >= VU__OBS_KINDS ||
		    !vu__range_within(s->procs[i].first_dev, s->procs[i].ndevs, s->ndevs))
			return false;
	}
	for (uint32_t i = 0; i < s->nqueues; i++) {
		if (!queue_fits(s, &s->queues[i]))
			return false;
	}
	for (uint32_t i = 0; i < s->ndevs; i++) {
		if (!device_fits(s, i))
			return false;
	}
	return true;
}

static void get_snapshot(const struct top_schema *s, struct input *in,
			 struct vu__obs_snapshot *n, const struct vu__obs_snapshot *o)
{
	/* Numbers and texts; the arrays are its own. */
	*n = *o;
	n->procs = NULL;
	n->devs = NULL;
	n->queues = NULL;
	n->regions = NULL;
	n->nprocs = n->ndevs = n->nqueues = n->nregions = 0;
	get_struct(s, in, TOP_R_SNAPSHOT, n);
	n->procs = get_array(s, in, TOP_R_PROCESS, &n->nprocs, o->procs, o->nprocs);
	n->devs = get_array(s, in, TOP_R_DEVICE, &n->ndevs, o->devs, o->ndevs);
	n->queues = get_array(s, in, TOP_R_QUEUE, &n->nqueues, o->queues, o->nqueues);
	n->regions = get_array(s, in, TOP_R_REGION, &n->nregions, o->regions, o->nregions);
	in->bad = in->bad || !snapshot_fits(n);
}

static void get_rest(const struct top_schema *s, struct input *in, struct top_frame *f,
		     const struct top_frame *before)
{
	get_hists(in, f, before);
	if (!in->bad)
		get_events(s, in, f);
	if (!in->bad)
		f->holders = get_array(s, in, TOP_R_HOLDER, &f->nholders,
				       before ? before->holders : NULL,
				       before ? before->nholders : 0);
	if (!in->bad)
		f->backings = get_array(s, in, TOP_R_BACKING, &f->nbackings,
					before ? before->backings : NULL,
					before ? before->nbackings : 0);
	for (uint32_t i = 0; i < f->nbackings; i++)
		in->bad = in->bad || f->backings[i].region >= f->snap->nregions;
}

int top_frame_read(const struct top_schema *s, const uint8_t *data, size_t len,
		   const struct top_frame *before, struct top_frame **out)
{
	static const struct vu__obs_snapshot none;
	struct input in = {data, data + len, false};
	struct top_frame *f = top_frame_new();

	*out = NULL;
	if (f)
		f->snap = calloc(1, sizeof(*f->snap));
	if (!f || !f->snap) {
		top_frame_put(f);
		return -ENOMEM;
	}
	if (before) {
		f->self = before->self;
		f->holders_cut = before->holders_cut;
		memcpy(f->trouble, before->trouble, sizeof(f->trouble));
	}
	get_struct(s, &in, TOP_R_FRAME, f);
	get_snapshot(s, &in, f->snap, before ? before->snap : &none);
	if (!in.bad)
		get_rest(s, &in, f, before);
	if (in.bad || in.at != in.end) {
		top_frame_put(f);
		return -EBADMSG;
	}
	*out = f;
	return 0;
}
