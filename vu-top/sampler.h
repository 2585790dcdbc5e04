/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Collects frames in a thread of its own, so that a slow host does not make keys slow. */
#ifndef VU_TOP_SAMPLER_H
#define VU_TOP_SAMPLER_H

#include "vu-top/collect.h"

struct top_sampler;

/* Begins at once.  NULL and errno. */
struct top_sampler *top_sampler_new(const struct vu__sample_options *options,
				    uint64_t interval_ns);
void top_sampler_free(struct top_sampler *s);

/* What to look at from the next frame on; @want is taken, and empty afterwards. */
void top_sampler_want(struct top_sampler *s, struct top_want *want);
void top_sampler_interval(struct top_sampler *s, uint64_t interval_ns);

/* The next frame comes soon, but not at once after another: rates need some time. */
void top_sampler_now(struct top_sampler *s);

/* Nothing is collected until that is taken back. */
void top_sampler_pause(struct top_sampler *s, bool pause);

/* Readable when there is a frame to be taken. */
int top_sampler_fd(const struct top_sampler *s);

/* The frame, to be put; NULL: there is none, and *@error, 0 or -errno, says why. */
struct top_frame *top_sampler_take(struct top_sampler *s, int *error);

#endif
