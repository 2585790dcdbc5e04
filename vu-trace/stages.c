/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the histograms of stages are shown.  Any thread. */
#include "stages.h"

#include <inttypes.h>

#include "base/util.h"
#include "format.h"
#include "hist.h"

void stage_text(enum stage st, const struct hist *h, bool *begun)
{
	static const double shares[] = {0.5, 0.9, 0.99, 0.999};
	char t[TIME_TEXT];

	if (!h->count)
		return;
	if (!*begun)
		printf("  %-14s %9s %9s %9s %9s %9s %9s %9s\n", "STAGE", "COUNT", "MEAN",
		       "P50", "P90", "P99", "P99.9", "MAX");
	*begun = true;
	printf("  %-14s %9" PRIu64, stage_name(st), (uint64_t)h->count);
	printf(" %9s", time_text(t, h->sum / h->count));
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(shares); i++)
		printf(" %9s", time_text(t, hist_percentile(h, shares[i])));
	printf(" %9s\n", time_text(t, h->max));
}

void stage_json(struct json *j, enum stage st, const struct hist *h)
{
	if (!h->count)
		return;
	json_open(j, stage_name(st), '{');
	json_number(j, "count", h->count);
	json_number(j, "sum_ns", h->sum);
	json_number(j, "p50_ns", hist_percentile(h, 0.5));
	json_number(j, "p90_ns", hist_percentile(h, 0.9));
	json_number(j, "p99_ns", hist_percentile(h, 0.99));
	json_number(j, "p999_ns", hist_percentile(h, 0.999));
	json_number(j, "max_ns", h->max);
	json_close(j, '}');
}
