/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Will a live migration come to its end?  No I/O. */
#include "vu-migrate/estimate.h"

#include <string.h>

/* A round that leaves nearly as much as it found makes no headway. */
#define HEADWAY 0.97

/* What a verdict must still hold with to be one without reservation. */
#define RESERVE 1.25

const char *est_verdict_name(enum est_verdict v)
{
	static const char *const names[] = {"CONVERGES", "MARGINAL", "NEVER"};

	return names[v];
}

double est_unique(const struct est_curve *c, double seconds, double memory)
{
	double t0 = 0, b0 = 0, slope = 0, bytes;
	size_t i = 0;

	for (; i < c->n && c->seconds[i] < seconds; i++) {
		slope = (c->bytes[i] - b0) / (c->seconds[i] - t0);
		t0 = c->seconds[i];
		b0 = c->bytes[i];
	}
	if (i < c->n)
		slope = (c->bytes[i] - b0) / (c->seconds[i] - t0);
	bytes = b0 + slope * (seconds - t0);
	return bytes < memory ? bytes : memory;
}

/* Plays the rounds.  Whether it comes to its end; @plan may be NULL. */
static bool play(const struct est_curve *c, double memory, double bandwidth, double downtime,
		 double fixed, struct est_plan *plan)
{
	double left = memory, seconds = 0;
	unsigned int n = 0;
	bool ends = false;

	while (n < EST_ROUNDS && !ends) {
		double time = left / bandwidth, next;

		if (plan)
			plan->round[n] = (struct est_round){left, time};
		n++;
		seconds += time;
		next = est_unique(c, time, memory);
		ends = next / bandwidth + fixed <= downtime;
		if (!ends && next > left * HEADWAY && n > 1) {
			left = next;
			break;
		}
		left = next;
	}
	if (plan) {
		plan->rounds = n;
		plan->seconds = seconds;
		plan->pause = left / bandwidth + fixed;
	}
	return ends;
}

/* The least bandwidth at which it ends, by halving; more is never worse. */
static double find_needed(const struct est_curve *c, double memory, double downtime,
			  double fixed)
{
	double low = 1e3, high = 1e12;

	if (!play(c, memory, high, downtime, fixed, NULL))
		return 0;
	for (int i = 0; i < 60; i++) {
		double middle = (low + high) / 2;

		if (play(c, memory, middle, downtime, fixed, NULL))
			high = middle;
		else
			low = middle;
	}
	return high;
}

void est_make(const struct est_curve *c, double memory, double bandwidth, double downtime,
	      double fixed, struct est_plan *plan)
{
	bool ends;

	memset(plan, 0, sizeof(*plan));
	ends = play(c, memory, bandwidth, downtime, fixed, plan);
	if (ends && play(c, memory, bandwidth / RESERVE, downtime, fixed, NULL))
		plan->verdict = EST_CONVERGES;
	else if (ends || play(c, memory, bandwidth * RESERVE, downtime, fixed, NULL))
		plan->verdict = EST_MARGINAL;
	else
		plan->verdict = EST_NEVER;
	plan->needed = find_needed(c, memory, downtime, fixed);
}
