/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Latencies out of telemetry segments.  One thread at a time. */
#include <errno.h>
#include <string.h>

#include "observe/sampleimpl.h"

static const char *const hist_names[] = {
	[VU__OBS_KICK_TO_POP] = "kick_to_pop",
	[VU__OBS_SERVICE] = "service",
	[VU__OBS_BATCH] = "batch",
};
_Static_assert(VU_ARRAY_SIZE(hist_names) == VU__OBS_LATENCIES, "a name each");

static const uint64_t *hist_bounds(void)
{
	static uint64_t upper[VU_HIST_BUCKETS];

	if (!upper[VU_HIST_BUCKETS - 1]) {
		for (unsigned int i = 0; i < VU_HIST_BUCKETS; i++)
			upper[i] = vu_hist_lower(i) + vu_hist_width(i) - 1;
	}
	return upper;
}

int vu__sample_hist(struct vu__sampler *s, pid_t pid, uint32_t device, uint16_t queue,
		    enum vu__obs_latency which, struct vu__obs_hist *out)
{
	struct vu__seg *seg = vu__segs_find(s, pid, device);
	VU_CLEANUP_FREE struct vu_telemetry_hist *h = NULL;
	int metric, ret;

	memset(out, 0, sizeof(*out));
	if (!seg || !seg->t)
		return -ENOENT;
	metric = vu_telemetry_find(seg->t, VU_TELEMETRY_IN_ANNEX, hist_names[which]);
	if (metric < 0)
		return metric;
	h = calloc(1, sizeof(*h));
	out->count = calloc(VU_HIST_BUCKETS, sizeof(*out->count));
	ret = h && out->count ? vu_telemetry_hist(seg->t, metric, queue, h) : -ENOMEM;
	if (ret) {
		vu__hist_release(out);
		return ret;
	}
	out->nbuckets = VU_HIST_BUCKETS;
	out->upper = hist_bounds();
	memcpy(out->count, h->buckets, sizeof(h->buckets));
	out->max = h->max;
	out->sum = h->sum;
	for (unsigned int i = 0; i < VU_HIST_BUCKETS; i++)
		out->total += h->buckets[i];
	return 0;
}

void vu__hist_release(struct vu__obs_hist *h)
{
	free(h->count);
	memset(h, 0, sizeof(*h));
}
