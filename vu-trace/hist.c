/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading histograms.  Any thread. */
#include "hist.h"

#include "base/util.h"

__u64 hist_lower(unsigned int b)
{
	unsigned int octave = b >> HIST_SUB_BITS;
	__u64 step = b & (HIST_SUB - 1);

	return octave ? (step + HIST_SUB) << (octave - 1) : step;
}

/* The programs in the kernel write meanwhile: buckets may be ahead of the count. */
void hist_diff(struct hist *out, const struct hist *now, const struct hist *old)
{
	out->count = 0;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		out->bucket[i] = __atomic_load_n(&now->bucket[i], __ATOMIC_RELAXED) -
				 (old ? old->bucket[i] : 0);
		out->count += out->bucket[i];
	}
	out->sum = __atomic_load_n(&now->sum, __ATOMIC_RELAXED) - (old ? old->sum : 0);
	out->max = __atomic_load_n(&now->max, __ATOMIC_RELAXED);
}

__u64 hist_percentile(const struct hist *h, double p)
{
	__u64 want = (__u64)(p * h->count + 0.9999999), seen = 0;

	if (!h->count)
		return 0;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= want && h->bucket[i]) {
			__u64 middle = (hist_lower(i) + hist_lower(i + 1)) / 2;

			return VU_MIN(middle, h->max);
		}
	}
	return h->max;
}
