/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the model share. */
#ifndef VU_TOP_MODELIMPL_H
#define VU_TOP_MODELIMPL_H

#include "vu-top/model.h"

/* --- latency.c --- */

/* Latencies of the last seconds, from the frame the queue is in. */
void top_latency_update(struct top_model *m, struct top_queue *t, bool rotate);
void top_latency_release(struct top_queue *t);

/* --- judge.c: looks back, and verdicts --- */

/* Keeps @f for later, and lets some older one go. */
void top_judge_keep(struct top_model *m, struct top_frame *f);
void top_judge_forget(struct top_model *m);
void top_judge(struct top_model *m, struct top_queue *t);

/* --- modeldev.c --- */

/* Room for the devices of @f; 0 or -ENOMEM. */
VU_MUST_CHECK int top_devices_prepare(struct top_model *m, const struct top_frame *f);
/* After the queues.  @was: the snapshot before, or NULL. */
void top_devices_update(struct top_model *m, const struct vu__obs_snapshot *was);
void top_devices_release(struct top_model *m);

#endif
