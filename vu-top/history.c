/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a queue did over time, in little memory.  Pure; one thread at a time. */
#include "vu-top/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS	2
#define SLOTS	60  /* values in a chunk */
#define FINE	60  /* chunks: an hour */
#define COARSE	144 /* chunks: a day */
#define NOTHING 0xffff

const struct top_series_info top_series[TOP_NSERIES] = {
	[TOP_S_REQUESTS] = {"req/s", "requests/s", TOP_AS_COUNT},
	[TOP_S_KICKS] = {"kick/s", "kicks/s", TOP_AS_COUNT},
	[TOP_S_CALLS] = {"call/s", "calls/s", TOP_AS_COUNT},
	[TOP_S_BYTES_IN] = {"in/s", "bytes/s to the guest", TOP_AS_BYTES},
	[TOP_S_BYTES_OUT] = {"out/s", "bytes/s from the guest", TOP_AS_BYTES},
	[TOP_S_DIRTY] = {"dirty/s", "dirty pages/s", TOP_AS_COUNT},
	[TOP_S_ERRORS] = {"err/s", "errors/s", TOP_AS_COUNT},
	[TOP_S_BUSY] = {"busy%", "CPU of its thread", TOP_AS_PERCENT},
	[TOP_S_DEPTH] = {"depth", "requests outstanding", TOP_AS_COUNT},
	[TOP_S_IN_FLIGHT] = {"infl", "requests in flight", TOP_AS_COUNT},
	[TOP_S_OLDEST] = {"oldest", "age of the oldest", TOP_AS_NS},
	[TOP_S_P99] = {"p99", "service time, p99", TOP_AS_NS},
	[TOP_S_HEALTH] = {"health", "health (3: stuck)", TOP_AS_COUNT},
};

static const unsigned int chunks_of[LEVELS] = {FINE, COARSE};
static const unsigned int seconds_of[LEVELS] = {TOP_FINE_S, TOP_COARSE_S};

/* A minute, or ten, of all series. */
struct chunk {
	uint64_t number;      /* ticks / SLOTS */
	uint8_t first, filled; /* slots that were written: those between */
	/* The value of all of these, if odd: shifted left by 1; else their values. */
	uintptr_t values[TOP_NSERIES];
};

struct level {
	struct chunk *chunks[COARSE]; /* by number % chunks_of; may be NULL */
	/* The slot that is being made. */
	uint64_t tick;
	unsigned int seen[TOP_NSERIES];
	double acc[TOP_NSERIES];
};

struct top_history {
	struct top_history_pool *pool;
	struct level level[LEVELS];
};

static bool is_rate(unsigned int series)
{
	return series < TOP_S_DEPTH;
}

/* --- two bytes: 6 bits of exponent, 10 of mantissa --- */

uint16_t top_history_pack(double v)
{
	int exp;
	unsigned int m;

	if (!top_known(v) || v < 0)
		return NOTHING;
	if (v < 1.0 / 1024)
		return 0;
	m = lround((frexp(v, &exp) - 0.5) * 2048);
	if (m == 1024) {
		m = 0;
		exp++;
	}
	/* 1/1024 is 0.5 * 2^-9; exponent 0 with mantissa 0 is zero. */
	exp += 10;
	if (exp > 62)
		return 62 << 10 | 1023;
	return exp << 10 | m;
}

double top_history_unpack(uint16_t v)
{
	if (v == NOTHING)
		return TOP_UNKNOWN;
	if (!v)
		return 0;
	return ldexp(0.5 + (v & 1023) / 2048.0, (v >> 10) - 10);
}

/* --- memory --- */

void top_history_pool_init(struct top_history_pool *p, size_t limit)
{
	*p = (struct top_history_pool){.limit = limit, .keep = {FINE, COARSE}};
}

static void *take(struct top_history_pool *pool, size_t size)
{
	void *p = calloc(1, size);

	pool->bytes += p ? size : 0;
	return p;
}

static void give(struct top_history_pool *pool, void *p, size_t size)
{
	pool->bytes -= p ? size : 0;
	free(p);
}

static void drop_values(struct top_history_pool *pool, uintptr_t v)
{
	if (!(v & 1))
		give(pool, (void *)v, SLOTS * sizeof(uint16_t));
}

static void drop_chunk(struct top_history_pool *pool, struct chunk **c)
{
	if (!*c)
		return;
	for (unsigned int s = 0; s < TOP_NSERIES; s++)
		drop_values(pool, (*c)->values[s]);
	give(pool, *c, sizeof(**c));
	*c = NULL;
}

struct top_history *top_history_new(struct top_history_pool *pool)
{
	struct top_history *h = take(pool, sizeof(*h));

	if (h)
		h->pool = pool;
	return h;
}

void top_history_free(struct top_history *h)
{
	if (!h)
		return;
	for (unsigned int l = 0; l < LEVELS; l++) {
		for (unsigned int i = 0; i < chunks_of[l]; i++)
			drop_chunk(h->pool, &h->level[l].chunks[i]);
	}
	give(h->pool, h, sizeof(*h));
}

/* --- writing --- */

/* The chunk of @tick, emptied if it was an older one's place; NULL: no memory. */
static struct chunk *chunk_of(struct top_history *h, unsigned int l, uint64_t tick)
{
	struct chunk **c = &h->level[l].chunks[tick / SLOTS % chunks_of[l]];

	if (*c && (*c)->number != tick / SLOTS)
		drop_chunk(h->pool, c);
	if (!*c) {
		*c = take(h->pool, sizeof(**c));
		if (!*c)
			return NULL;
		(*c)->number = tick / SLOTS;
		(*c)->first = (*c)->filled = tick % SLOTS;
		for (unsigned int s = 0; s < TOP_NSERIES; s++)
			(*c)->values[s] = NOTHING << 1 | 1;
	}
	return *c;
}

static uint16_t value_at(const struct chunk *c, unsigned int series, unsigned int slot)
{
	uintptr_t v = c->values[series];

	if (slot < c->first || slot >= c->filled)
		return NOTHING;
	return v & 1 ? v >> 1 : ((const uint16_t *)v)[slot];
}

/* Writes one value, before the chunk counts the slot as filled. */
static void put(struct top_history_pool *pool, struct chunk *c, unsigned int series,
		unsigned int slot, uint16_t value)
{
	uintptr_t same = (uintptr_t)value << 1 | 1;
	uint16_t *array;

	if (c->values[series] & 1) {
		if (c->first == c->filled || (c->values[series] == same && slot == c->filled)) {
			c->values[series] = same;
			return;
		}
		array = take(pool, SLOTS * sizeof(*array));
		if (!array)
			return;
		for (unsigned int i = 0; i < SLOTS; i++)
			array[i] = value_at(c, series, i);
		c->values[series] = (uintptr_t)array;
	}
	array = (uint16_t *)c->values[series];
	for (unsigned int i = c->filled; i < slot; i++)
		array[i] = NOTHING;
	array[slot] = value;
}

static void write_slot(struct top_history *h, unsigned int l, uint64_t tick,
		       const double values[TOP_NSERIES])
{
	struct chunk *c = chunk_of(h, l, tick);
	unsigned int slot = tick % SLOTS;

	if (!c || slot < c->filled)
		return;
	for (unsigned int s = 0; s < TOP_NSERIES; s++)
		put(h->pool, c, s, slot, top_history_pack(values[s]));
	c->filled = slot + 1;
}

/* The value of the slot that is being made. */
static double made(const struct level *v, unsigned int series)
{
	if (!v->seen[series])
		return TOP_UNKNOWN;
	return is_rate(series) ? v->acc[series] / v->seen[series] : v->acc[series];
}

static void finish(struct top_history *h, unsigned int l)
{
	struct level *v = &h->level[l];
	double values[TOP_NSERIES];

	for (unsigned int s = 0; s < TOP_NSERIES; s++)
		values[s] = made(v, s);
	write_slot(h, l, v->tick, values);
	memset(v->seen, 0, sizeof(v->seen));
	memset(v->acc, 0, sizeof(v->acc));
}

static void combine(struct level *v, const double values[TOP_NSERIES])
{
	for (unsigned int s = 0; s < TOP_NSERIES; s++) {
		if (!top_known(values[s]))
			continue;
		if (is_rate(s))
			v->acc[s] += values[s];
		else
			v->acc[s] = v->seen[s] ? VU_MAX(v->acc[s], values[s]) : values[s];
		v->seen[s]++;
	}
}

void top_history_add(struct top_history *h, uint64_t mono_ns, double dt,
		     const double values[TOP_NSERIES])
{
	for (unsigned int l = 0; l < LEVELS; l++) {
		struct level *v = &h->level[l];
		uint64_t tick = mono_ns / 1000000000u / seconds_of[l];
		uint64_t covered = VU_MIN(dt / seconds_of[l], (double)FINE * SLOTS);

		if (tick < v->tick)
			continue;
		if (tick > v->tick && v->tick) {
			finish(h, l);
			/* A rate holds for all the time it was measured over. */
			for (uint64_t t = VU_MAX(v->tick + 1, tick - VU_MIN(covered, tick));
			     t < tick; t++)
				write_slot(h, l, t, values);
		}
		v->tick = tick;
		combine(v, values);
	}
}

/* --- reading --- */

static double slot_value(const struct top_history *h, unsigned int l, unsigned int series,
			 uint64_t tick)
{
	const struct level *v = &h->level[l];
	const struct chunk *c = v->chunks[tick / SLOTS % chunks_of[l]];

	if (tick == v->tick)
		return made(v, series);
	if (tick > v->tick || !c || c->number != tick / SLOTS)
		return TOP_UNKNOWN;
	return top_history_unpack(value_at(c, series, tick % SLOTS));
}

/* Of the slots [from, to). */
static double over(const struct top_history *h, unsigned int l, unsigned int series,
		   uint64_t from, uint64_t to)
{
	double sum = 0, most = 0;
	unsigned int n = 0;

	for (uint64_t t = from; t < to; t++) {
		double v = slot_value(h, l, series, t);

		if (!top_known(v))
			continue;
		sum += v;
		most = VU_MAX(most, v);
		n++;
	}
	if (!n)
		return TOP_UNKNOWN;
	return is_rate(series) ? sum / n : most;
}

void top_history_read(const struct top_history *h, enum top_series series, uint64_t end_ns,
		      unsigned int step, double *out, size_t n)
{
	unsigned int l = step * n > FINE * SLOTS * TOP_FINE_S || step >= 6 * TOP_COARSE_S;
	uint64_t end = end_ns / 1000000000u / step + 1;

	for (size_t i = 0; i < n; i++) {
		uint64_t s = end - (n - i), from, to;

		if (end < n - i) {
			out[i] = TOP_UNKNOWN;
			continue;
		}
		from = s * step / seconds_of[l];
		to = VU_MAX((s + 1) * step / seconds_of[l], from + 1);
		out[i] = over(h, l, series, from, to);
	}
}

/* --- forgetting --- */

static void forget(struct top_history *h, const unsigned int keep[LEVELS])
{
	for (unsigned int l = 0; l < LEVELS; l++) {
		uint64_t now = h->level[l].tick / SLOTS;

		for (unsigned int i = 0; i < chunks_of[l]; i++) {
			struct chunk **c = &h->level[l].chunks[i];

			if (*c && (*c)->number + keep[l] <= now)
				drop_chunk(h->pool, c);
		}
	}
}

void top_history_fit(struct top_history_pool *pool, struct top_history *const *all, size_t n)
{
	if (pool->bytes > pool->limit) {
		for (size_t i = 0; i < n; i++)
			forget(all[i], pool->keep);
	}
	while (pool->bytes > pool->limit) {
		/* What is left of the hour and of the day shrinks alike. */
		unsigned int l = pool->keep[0] * COARSE > pool->keep[1] * FINE ? 0 : 1;

		if (pool->keep[l] > 1)
			pool->keep[l]--;
		else if (pool->keep[1 - l] > 1)
			pool->keep[1 - l]--;
		else
			return;
		for (size_t i = 0; i < n; i++)
			forget(all[i], pool->keep);
	}
}
