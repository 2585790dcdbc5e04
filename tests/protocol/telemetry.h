/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests of a pair's telemetry share. */
#ifndef VU_TESTS_PROTOCOL_TELEMETRY_H
#define VU_TESTS_PROTOCOL_TELEMETRY_H

#include <poll.h>
#include <time.h>

#include "base/fd.h"
#include "tests/lib/pair.h"
#include "tests/lib/rundir.h"

#define QUEUE  0x10000
#define TABLES 0x40000
#define DATA   0x80000
#define NUM    64

/* The coarse clock is behind by up to a tick. */
#define TICK 10000000ull

/* What the front-end knows that it did. */
struct tally {
	uint64_t requests, descs, indirect, out, in, kicks;
};

/* Waits until the handlers that run have returned: their numbers are up to date. */
static inline struct vu_telemetry_queue numbers(struct pair *p, struct vu_telemetry *t,
					 unsigned int queue)
{
	pair_lock(p);
	pair_unlock(p);
	return rundir_queue(t, queue);
}

static inline unsigned int rnd(uint64_t *seed, unsigned int n)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned int)(*seed >> 33) % n;
}

/* One request of up to 3 buffers to read and up to 3 to write. */
static inline void submit(struct pair *p, struct vu_frontend_queue *q, struct tally *y, uint64_t *seed,
		   bool indirect)
{
	unsigned int out = rnd(seed, 4), in = rnd(seed, 4), n = 0;
	struct vu_frontend_buf bufs[6];

	if (!out && !in)
		out = 1;
	for (; n < out; n++) {
		bufs[n] = (struct vu_frontend_buf){DATA + n * 4096, 1 + rnd(seed, 4096), false};
		y->out += bufs[n].len;
	}
	for (; n < out + in; n++)
		bufs[n] = (struct vu_frontend_buf){DATA + n * 4096, 1 + rnd(seed, 4096), true};
	assert_int_equal(vu_frontend_submit(q, bufs, n, y->requests), 0);
	(void)p;
	y->requests++;
	y->descs += n;
	y->indirect += indirect;
}

static inline void kick(struct vu_frontend_queue *q, struct tally *y)
{
	int ret = vu_frontend_kick(q);

	assert_true(ret >= 0);
	y->kicks += ret;
}

/* Takes all completions that are due. */
static inline void reap_all(struct vu_frontend_queue *q, struct tally *y)
{
	int64_t deadline = vu__now_ms() + 5000;
	uint32_t len;

	while (vu_frontend_outstanding(q)) {
		int ret = vu_frontend_reap(q, NULL, &len);

		assert_true(ret >= 0);
		if (ret)
			y->in += len;
		else if (vu__now_ms() > deadline)
			fail_msg("a request was not completed");
		else
			poll(NULL, 0, 1);
	}
}

static inline uint64_t take_calls(struct vu_frontend_queue *q)
{
	uint64_t value;

	assert_int_equal(vu__event_consume(vu_frontend_call_fd(q), &value), 0);
	return value;
}

static inline void drive(struct pair *p, struct vu_frontend_queue *q, struct tally *y,
		  unsigned int rounds, bool indirect)
{
	uint64_t seed = rounds;

	for (unsigned int i = 0; i < rounds; i++) {
		for (unsigned int k = rnd(&seed, 8) + 1; k; k--)
			submit(p, q, y, &seed, indirect);
		kick(q, y);
		reap_all(q, y);
	}
}

static inline void submit_one(struct vu_frontend_queue *q, unsigned int n)
{
	struct vu_frontend_buf bufs[2] = {{DATA, 16, false}, {DATA + 4096, 16, true}};

	while (n--)
		assert_int_equal(vu_frontend_submit(q, bufs, 2, n), 0);
	assert_true(vu_frontend_kick(q) >= 0);
}

static inline struct pair *holding(struct vu_frontend_queue **q, struct vu_telemetry **t)
{
	struct pair_options opt = {.mode = PAIR_HOLD};
	struct pair *p = pair_ready(&opt);

	*q = pair_queue(p, 0, 16, QUEUE, 0);
	*t = rundir_open(getpid());
	return p;
}

static inline uint64_t oldest(struct vu_telemetry *t, unsigned int queue)
{
	uint64_t since;

	assert_int_equal(vu_telemetry_oldest(t, queue, &since), 0);
	return since;
}

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

#endif
