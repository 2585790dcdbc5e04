/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Latencies out of telemetry segments.  One thread at a time. */
#include <errno.h>
#include <string.h>

#include "core/telemetry_reader.h"
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

void vu__seg_find_hists(struct vu__seg *seg)
{
	for (unsigned int l = 0; l < VU__OBS_LATENCIES; l++)
		seg->hist_metric[l] =
			vu_telemetry_find(seg->t, VU_TELEMETRY_IN_ANNEX, hist_names[l]);
}

int vu__sample_hist(struct vu__sampler *s, pid_t pid, uint32_t device, uint16_t queue,
		    enum vu__obs_latency which, struct vu__obs_hist *out)
{
	struct vu__seg *seg = vu__segs_find(s, pid, device);
	struct vu_telemetry_hist h;
	int n;

	memset(out, 0, sizeof(*out));
	if (!seg || !seg->t || queue >= seg->nwas)
		return -ENOENT;
	if (seg->hist_metric[which] < 0)
		return seg->hist_metric[which];
	n = vu__telemetry_hist_part(seg->t, seg->hist_metric[which], queue,
				    seg->was[queue].nbuckets[which], &h);
	if (n < 0)
		return n;
	out->count = malloc(n * sizeof(*out->count));
	if (!out->count)
		return -ENOMEM;
	/* They will hardly be fewer. */
	seg->was[queue].nbuckets[which] = out->nbuckets = n;
	out->upper = hist_bounds();
	memcpy(out->count, h.buckets, n * sizeof(*out->count));
	out->max = h.max;
	out->sum = h.sum;
	for (int i = 0; i < n; i++)
		out->total += h.buckets[i];
	return 0;
}

void vu__hist_release(struct vu__obs_hist *h)
{
	free(h->count);
	memset(h, 0, sizeof(*h));
}
