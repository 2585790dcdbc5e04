/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Latency over time.  Pure; one thread at a time. */
#include "vu-top/heat.h"

#include <string.h>

#define FIRST_BITS 8 /* 256 ns */

unsigned int top_heat_row(uint64_t ns)
{
	unsigned int top = ns ? 63 - __builtin_clzll(ns) : 0;

	return top < FIRST_BITS ? 0 : VU_MIN(top - FIRST_BITS, TOP_HEAT_ROWS - 1u);
}

uint64_t top_heat_bound(unsigned int row)
{
	return 2ull << (row + FIRST_BITS);
}

/* Columns of the seconds that have gone by become empty. */
static void advance(struct top_heat *h, uint64_t second)
{
	if (second - h->last >= TOP_HEAT_COLUMNS)
		memset(h->count, 0, sizeof(h->count));
	while (h->last < second && second - h->last < TOP_HEAT_COLUMNS) {
		h->last++;
		for (unsigned int w = 0; w < 2; w++)
			memset(h->count[w][h->last % TOP_HEAT_COLUMNS], 0,
			       sizeof(h->count[w][0]));
	}
	h->last = second;
}

void top_heat_add(struct top_heat *h, enum vu__obs_latency which, uint64_t mono_ns,
		  const struct vu__obs_hist *hist)
{
	uint64_t now[TOP_HEAT_ROWS] = {0}, second = mono_ns / 1000000000u;
	unsigned int w = which == VU__OBS_SERVICE;

	if (second < h->last)
		return;
	advance(h, second);
	for (unsigned int i = 0; i < hist->nbuckets; i++)
		now[top_heat_row(hist->upper[i])] += hist->count[i];
	for (unsigned int r = 0; r < TOP_HEAT_ROWS; r++) {
		uint64_t grown = now[r] > h->before[w][r] ? now[r] - h->before[w][r] : 0;

		if (h->begun[w])
			h->count[w][second % TOP_HEAT_COLUMNS][r] +=
				VU_MIN(grown, (uint64_t)UINT32_MAX / 2);
		h->before[w][r] = now[r];
	}
	h->begun[w] = true;
}

uint64_t top_heat_read(const struct top_heat *h, enum vu__obs_latency which,
		       uint64_t second, unsigned int n, unsigned int row)
{
	unsigned int w = which == VU__OBS_SERVICE;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < n && i <= second; i++) {
		uint64_t s = second - i;

		if (s <= h->last && h->last - s < TOP_HEAT_COLUMNS)
			sum += h->count[w][s % TOP_HEAT_COLUMNS][row];
	}
	return sum;
}
