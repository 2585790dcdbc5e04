/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A heat map in characters.  The main thread. */
#include "heat.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "format.h"
#include "hist.h"

static unsigned int column_of(unsigned int bucket)
{
	__u64 v = hist_lower(bucket) | 1;
	int bit = 63 - __builtin_clzll(v) - HEAT_FIRST;

	return bit < 0 ? 0 : bit >= HEAT_COLUMNS ? HEAT_COLUMNS - 1 : bit;
}

void heat_add(struct heat *h, const struct hist *now, const struct hist *old)
{
	struct hist d;

	hist_diff(&d, now, old);
	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		h->cell[column_of(i)] += d.bucket[i];
}

/* Every factor of ten a darker character. */
static char shade(__u64 n)
{
	static const char shades[] = " .:+*#@";
	unsigned int s = 0;

	for (; n && s < sizeof(shades) - 2; n /= 10)
		s++;
	return shades[s];
}

static void heading(FILE *to)
{
	fputs("time     ", to);
	for (unsigned int c = 0; c < HEAT_COLUMNS; c += 4) {
		char t[TIME_TEXT];

		fprintf(to, "%-8s", time_text(t, 1ULL << (c + HEAT_FIRST)));
	}
	fputs("rounds\n", to);
}

void heat_row(struct heat *h, FILE *to)
{
	time_t t = time(NULL);
	__u64 sum = 0;
	char now[16];

	if (h->rows++ % 20 == 0)
		heading(to);
	strftime(now, sizeof(now), "%H:%M:%S", localtime(&t));
	fprintf(to, "%s ", now);
	for (unsigned int c = 0; c < HEAT_COLUMNS; c++) {
		putc(shade(h->cell[c]), to);
		putc(shade(h->cell[c]), to);
		sum += h->cell[c];
	}
	fprintf(to, " %" PRIu64 "\n", (uint64_t)sum);
	memset(h->cell, 0, sizeof(h->cell));
}
