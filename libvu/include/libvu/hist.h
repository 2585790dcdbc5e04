/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log-linear histograms: the one rule for buckets that the library, the tools and BPF
 * programs share.  Values below 16 have a bucket each; from there every power of two is
 * cut into 16 equal buckets, so that a bucket's middle is within 3.2 % of every value
 * in it.  Values of 2^40 and more (18 minutes, in nanoseconds) are in the last bucket.
 *
 * Needs nothing but fixed-width integers.
 */
#ifndef LIBVU_HIST_H
#define LIBVU_HIST_H

#include <stdint.h>

#define VU_HIST_SUB_BITS 4 /* 2^4 buckets for each power of two */
#define VU_HIST_MAX_BITS 40
#define VU_HIST_BUCKETS	 ((VU_HIST_MAX_BITS - VU_HIST_SUB_BITS + 1) << VU_HIST_SUB_BITS)

/* The bucket of @value. */
static inline unsigned int vu_hist_bucket(uint64_t value)
{
	unsigned int top;

	if (value >> VU_HIST_SUB_BITS == 0)
		return (unsigned int)value;
	if (value >> VU_HIST_MAX_BITS)
		return VU_HIST_BUCKETS - 1;
	top = 63 - (unsigned int)__builtin_clzll(value);
	return ((top - VU_HIST_SUB_BITS) << VU_HIST_SUB_BITS) +
	       (unsigned int)(value >> (top - VU_HIST_SUB_BITS));
}

/* The smallest value of @bucket, which is less than VU_HIST_BUCKETS. */
static inline uint64_t vu_hist_lower(unsigned int bucket)
{
	unsigned int octave = bucket >> VU_HIST_SUB_BITS;
	uint64_t step = bucket & ((1u << VU_HIST_SUB_BITS) - 1);

	if (octave == 0)
		return step;
	return (step + (1u << VU_HIST_SUB_BITS)) << (octave - 1);
}

/* How many values @bucket stands for. */
static inline uint64_t vu_hist_width(unsigned int bucket)
{
	unsigned int octave = bucket >> VU_HIST_SUB_BITS;

	return octave < 2 ? 1 : (uint64_t)1 << (octave - 1);
}

/* The value to show for @bucket: its middle. */
static inline uint64_t vu_hist_middle(unsigned int bucket)
{
	return vu_hist_lower(bucket) + (vu_hist_width(bucket) >> 1);
}

#endif
