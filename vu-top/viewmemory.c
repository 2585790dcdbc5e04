/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest memory as back-ends have it, and how migrations stand.  Pure. */
#include <inttypes.h>
#include <linux/vhost_types.h>
#include <stdio.h>
#include <string.h>

#include "vu-top/view.h"
#include "wire/spec.h"

/* --- memory --- */

enum { R_NAME, R_GPA, R_SIZE, R_SHARE, R_ADDR, R_UADDR, R_BACKING, R_COLUMNS };

static const char *backing_of(const struct top_frame *f, uint32_t region)
{
	for (uint32_t i = 0; i < f->nbackings; i++) {
		if (f->backings[i].region == region)
			return f->backings[i].what;
	}
	return "-";
}

static void put_region(struct top_canvas *c, const struct top_scene *s,
		       const struct top_column *k, unsigned int row, uint32_t i, double share)
{
	const struct vu__obs_region *r = &s->m->frame->snap->regions[i];
	char text[64];

	snprintf(text, sizeof(text), "%012" PRIx64, r->gpa);
	top_column_put(c, row, &k[R_GPA], TOP_NORMAL, text);
	top_format_bytes(text, sizeof(text), r->size, TOP_IEC);
	top_column_put(c, row, &k[R_SIZE], TOP_NORMAL, text);
	if (k[R_SHARE].got)
		top_put_bar(c, row, k[R_SHARE].at, k[R_SHARE].got, share, TOP_DATA1);
	snprintf(text, sizeof(text), "%012" PRIx64, r->addr);
	top_column_put(c, row, &k[R_ADDR], TOP_NORMAL, text);
	snprintf(text, sizeof(text), "%012" PRIx64, r->uaddr);
	top_column_put(c, row, &k[R_UADDR], TOP_NORMAL, text);
	top_column_put(c, row, &k[R_BACKING], TOP_DIM, backing_of(s->m->frame, i));
}

/* A line for each region, and one for each device that has none. */
static size_t count_lines(const struct vu__obs_snapshot *snap)
{
	size_t n = 0;

	for (uint32_t i = 0; i < snap->ndevs; i++)
		n += VU_MAX(snap->devs[i].nregions, 1u);
	return n;
}

void top_view_memory(struct top_canvas *c, const struct top_scene *s, struct top_area a)
{
	struct top_column k[R_COLUMNS] = {
		[R_NAME] = {.title = "DEVICE", .width = 14, .grows = 1},
		[R_GPA] = {.title = "GUEST", .width = 12, .right = true, .rank = 1},
		[R_SIZE] = {.title = "SIZE", .width = 6, .right = true, .rank = 2},
		[R_SHARE] = {.title = "SHARE", .width = 12, .rank = 6},
		[R_ADDR] = {.title = "BACK-END", .width = 12, .right = true, .rank = 3},
		[R_UADDR] = {.title = "FRONT-END", .width = 12, .right = true, .rank = 5},
		[R_BACKING] = {.title = "WHAT", .width = 14, .rank = 4, .grows = 2},
	};
	const struct vu__obs_snapshot *snap = s->m->frame->snap;
	size_t first, n, line = 0;

	top_columns_fit(k, R_COLUMNS, c->cols);
	top_columns_header(c, a.first++, k, R_COLUMNS, NULL);
	a.rows--;
	n = top_list(c, s, &a, TOP_VIEW_MEMORY, count_lines(snap), &first);
	for (uint32_t i = 0; i < snap->ndevs; i++) {
		const struct vu__obs_device *d = &snap->devs[i];
		double most = 0;
		char name[140];

		for (uint32_t r = 0; r < d->nregions; r++)
			most = VU_MAX(most, (double)snap->regions[d->first_region + r].size);
		top_device_title(s, d, name, sizeof(name));
		for (uint32_t r = 0; r < VU_MAX(d->nregions, 1u); r++, line++) {
			unsigned int row = a.first + line - first;

			if (line < first || line >= first + n)
				continue;
			top_column_put(c, row, &k[R_NAME], r ? TOP_DIM : TOP_STRONG, name);
			if (d->nregions)
				put_region(c, s, k, row, d->first_region + r,
					   snap->regions[d->first_region + r].size / most);
			else
				top_put(c, row, k[R_GPA].at, c->cols, TOP_DIM,
					d->from == VU__OBS_TELEMETRY ? "no memory is shared"
								     : "not told");
			if (line == s->ui->at[TOP_VIEW_MEMORY])
				top_select_row(c, row);
		}
	}
}

/* --- migration --- */

enum {
	M_NAME, M_PHASE, M_LOG, M_DIRTY, M_NEW, M_AGAIN, M_BYTES, M_STOPPED, M_CAN, M_TREND,
	M_COLUMNS
};

static const char *phase_name(enum vu__obs_phase phase)
{
	static const char *const names[] = {
		[VU__OBS_NOT_MIGRATING] = "-",	   [VU__OBS_LOGGING] = "logging",
		[VU__OBS_STOPPED] = "stopped",	   [VU__OBS_SAVING] = "saving state",
		[VU__OBS_LOADING] = "loading state", [VU__OBS_HANDOVER] = "hand-over",
		[VU__OBS_POSTCOPY] = "postcopy",
	};

	return (size_t)phase < VU_ARRAY_SIZE(names) ? names[phase] : "?";
}

/* What the features that were agreed upon allow. */
static void can_what(const struct vu__obs_device *d, char *out, size_t size)
{
	bool log = vu__has_bit(d->features, VHOST_F_LOG_ALL) ||
		   vu__has_bit(d->protocol_features, VU__PF_LOG_SHMFD);

	if (d->from != VU__OBS_TELEMETRY) {
		snprintf(out, size, "not told");
		return;
	}
	snprintf(out, size, "%s%s%s%s", log ? "dirty log" : "no dirty log",
		 vu__has_bit(d->protocol_features, VU__PF_INFLIGHT_SHMFD) ? ", in-flight" : "",
		 vu__has_bit(d->protocol_features, VU__PF_DEVICE_STATE) ? ", state" : "",
		 vu__has_bit(d->protocol_features, VU__PF_PAGEFAULT) ? ", postcopy" : "");
}

static double dirty_rate(const struct top_scene *s, const struct top_device *t,
			 enum vu__obs_counter c)
{
	double sum = 0;

	for (uint32_t i = 0; i < t->dev->nqueues; i++) {
		const struct top_queue *q = s->m->queues[t->dev->first_queue + i];

		if (vu__obs_has_rate(&q->rates, c))
			sum += q->rates.per_s[c];
	}
	return sum;
}

/* The sum of all queues' history. */
static void put_trend(struct top_canvas *c, const struct top_scene *s, unsigned int row,
		      const struct top_column *k, const struct top_device *t)
{
	double values[64], sum[64] = {0}, max = 0;
	size_t n = VU_MIN(k->got, VU_ARRAY_SIZE(values));

	for (uint32_t i = 0; n && i < t->dev->nqueues; i++) {
		const struct top_queue *q = s->m->queues[t->dev->first_queue + i];

		if (!q->history)
			continue;
		top_history_read(q->history, TOP_S_DIRTY, q->q->mono_ns, 1, values, n);
		for (size_t x = 0; x < n; x++)
			sum[x] += top_known(values[x]) ? values[x] : 0;
	}
	for (size_t x = 0; x < n; x++)
		max = VU_MAX(max, sum[x]);
	if (max > 0)
		top_put_spark(c, row, k->at, n, sum, n, max, TOP_DATA2);
}

static void put_migration(struct top_canvas *c, const struct top_scene *s,
			  const struct top_column *k, unsigned int row,
			  const struct top_device *t)
{
	const struct vu__obs_device *d = t->dev;
	bool on = d->log_on;
	double first = dirty_rate(s, t, VU__OBS_PAGES_FIRST);
	double again = dirty_rate(s, t, VU__OBS_PAGES_AGAIN);
	char text[160];

	top_device_title(s, d, text, sizeof(text));
	top_column_put(c, row, &k[M_NAME], TOP_STRONG, text);
	top_column_put(c, row, &k[M_PHASE], d->phase ? TOP_INFO : TOP_DIM, phase_name(d->phase));
	top_column_put(c, row, &k[M_LOG], on ? TOP_INFO : TOP_DIM, on ? "on" : "off");
	top_format_count(text, sizeof(text), on ? first + again : TOP_UNKNOWN);
	top_column_put(c, row, &k[M_DIRTY], TOP_NORMAL, text);
	top_format_count(text, sizeof(text), on ? first : TOP_UNKNOWN);
	top_column_put(c, row, &k[M_NEW], TOP_NORMAL, text);
	top_format_percent(text, sizeof(text),
			   on && first + again > 0 ? again / (first + again) : TOP_UNKNOWN);
	top_column_put(c, row, &k[M_AGAIN], TOP_NORMAL, text);
	top_format_bytes(text, sizeof(text), on ? first * 4096 : TOP_UNKNOWN, TOP_IEC);
	top_column_put(c, row, &k[M_BYTES], TOP_NORMAL, text);
	snprintf(text, sizeof(text), "%u/%u", t->nstarted, t->nqueues);
	top_column_put(c, row, &k[M_STOPPED], TOP_NORMAL, text);
	can_what(d, text, sizeof(text));
	top_column_put(c, row, &k[M_CAN], TOP_DIM, text);
	put_trend(c, s, row, &k[M_TREND], t);
}

void top_view_migration(struct top_canvas *c, const struct top_scene *s, struct top_area a)
{
	struct top_column k[M_COLUMNS] = {
		[M_NAME] = {.title = "DEVICE", .width = 14, .grows = 1},
		[M_PHASE] = {.title = "PHASE", .width = 13, .rank = 1},
		[M_LOG] = {.title = "LOG", .width = 3, .rank = 2},
		[M_DIRTY] = {.title = "PAGE/s", .width = 6, .right = true, .rank = 3},
		[M_NEW] = {.title = "NEW/s", .width = 6, .right = true, .rank = 5},
		[M_AGAIN] = {.title = "AGAIN", .width = 5, .right = true, .rank = 8},
		[M_BYTES] = {.title = "NEW B/s", .width = 7, .right = true, .rank = 4},
		[M_STOPPED] = {.title = "RUNNING", .width = 7, .right = true, .rank = 6},
		[M_CAN] = {.title = "AGREED UPON", .width = 16, .rank = 7, .grows = 2},
		[M_TREND] = {.title = "PAGE/s, LAST MINUTE", .width = 40, .rank = 9},
	};
	size_t first, n;

	top_columns_fit(k, M_COLUMNS, c->cols);
	top_columns_header(c, a.first++, k, M_COLUMNS, NULL);
	a.rows--;
	n = top_list(c, s, &a, TOP_VIEW_MIGRATION, s->m->ndevices, &first);
	for (size_t i = 0; i < n; i++) {
		put_migration(c, s, k, a.first + i, s->m->devices[first + i]);
		if (first + i == s->ui->at[TOP_VIEW_MIGRATION])
			top_select_row(c, a.first + i);
	}
}
