/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Of a queue: curves over time, latencies, features.  Pure. */
#include <stdio.h>
#include <string.h>

#include "vu-top/viewdetail.h"
#include "wire/msg.h"
#include "wire/spec.h"

/* --- curves --- */

#define CURVE_ROWS 4

static void format_as(const struct top_series_info *i, double v, enum top_units units,
		      char *out, size_t size)
{
	switch (i->as) {
	case TOP_AS_BYTES:
		top_format_bytes(out, size, v, units);
		break;
	case TOP_AS_NS:
		top_format_ns(out, size, v);
		break;
	case TOP_AS_PERCENT:
		top_format_percent(out, size, v);
		break;
	default:
		top_format_count(out, size, v);
	}
}

static void put_curve(struct top_canvas *c, const struct top_detail *d, unsigned int row,
		      unsigned int col, unsigned int end, unsigned int which)
{
	enum top_series series = d->s->ui->chart[which];
	const struct top_series_info *info = &top_series[series];
	unsigned int cols = end - col > 8 ? end - col - 8 : 1, n = top_curve_points(c, cols);
	unsigned int step = VU_MAX(1u, d->s->ui->window / n);
	VU_CLEANUP_FREE double *values = calloc(n, sizeof(*values));
	double max = 0, last = TOP_UNKNOWN;
	char top[16], now[16];

	if (!values || !d->t->history)
		return;
	top_history_read(d->t->history, series, d->t->q->mono_ns, step, values, n);
	for (unsigned int i = 0; i < n; i++) {
		max = top_known(values[i]) ? VU_MAX(max, values[i]) : max;
		last = top_known(values[i]) ? values[i] : last;
	}
	format_as(info, max, d->s->ui->units, top, sizeof(top));
	format_as(info, last, d->s->ui->units, now, sizeof(now));
	top_printf(c, row, col, end, TOP_STRONG, "%s: now %s, most %s", info->title, now, top);
	top_put_field(c, row + 1, col, 6, true, TOP_DIM, top);
	top_put_field(c, row + CURVE_ROWS, col, 6, true, TOP_DIM, "0");
	for (unsigned int i = 0; i < CURVE_ROWS; i++)
		top_put_char(c, row + 1 + i, col + 7, TOP_FRAME, 0x2502);
	top_put_curve(c, row + 1, col + 8, CURVE_ROWS, cols, values, max, TOP_DATA1 + which);
}

unsigned int top_detail_curves(struct top_canvas *c, const struct top_detail *d,
			       unsigned int row, unsigned int col, unsigned int end)
{
	unsigned int first = row;
	char window[16];

	for (unsigned int i = 0; i < 3; i++) {
		put_curve(c, d, row, col, end, i);
		row += CURVE_ROWS + 1;
	}
	top_format_ns(window, sizeof(window), d->s->ui->window * 1e9);
	top_printf(c, row++, col, end, TOP_DIM, "the last %s; w: another window, c: other curves",
		   window);
	return row - first;
}

/* --- latencies --- */

static void put_percentiles(struct top_canvas *c, unsigned int row, unsigned int col,
			    unsigned int end, const char *name, const struct top_latency *l,
			    bool ns)
{
	const double values[] = {l->mean, l->p50, l->p90, l->p99, l->p999, l->max};

	top_put_field(c, row, col, 12, false, TOP_DIM, name);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(values); i++) {
		unsigned int at = col + 12 + i * 8;
		char text[16];

		if (ns)
			top_format_ns(text, sizeof(text), values[i]);
		else
			top_format_count(text, sizeof(text), values[i]);
		if (at + 8 <= end)
			top_put_field(c, row, at, 7, true, TOP_NORMAL, text);
	}
}

/* A bar for each factor of two of service time, since it was first watched. */
static unsigned int put_bars(struct top_canvas *c, unsigned int row, unsigned int col,
			     unsigned int end, const struct vu__obs_hist *h)
{
	uint64_t rows[TOP_HEAT_ROWS] = {0}, most = 0;
	unsigned int low = TOP_HEAT_ROWS, high = 0, first = row;

	for (unsigned int i = 0; i < h->nbuckets; i++)
		rows[top_heat_row(h->upper[i])] += h->count[i];
	for (unsigned int r = 0; r < TOP_HEAT_ROWS; r++) {
		if (!rows[r])
			continue;
		low = VU_MIN(low, r);
		high = r;
		most = VU_MAX(most, rows[r]);
	}
	for (unsigned int r = low; r <= high && low < TOP_HEAT_ROWS; r++, row++) {
		char text[24], count[16];

		top_format_ns(text, sizeof(text), top_heat_bound(r));
		top_format_count(count, sizeof(count), rows[r]);
		top_printf(c, row, col, end, TOP_DIM, "<%7s %6s", text, count);
		if (end > col + 17)
			top_put_bar(c, row, col + 16, end - col - 17, (double)rows[r] / most,
				    TOP_DATA1);
	}
	return row - first;
}

unsigned int top_detail_latency(struct top_canvas *c, const struct top_detail *d,
				unsigned int row, unsigned int col, unsigned int end)
{
	static const char *const heads[] = {"MEAN", "P50", "P90", "P99", "P99.9", "MAX"};
	const struct vu__obs_hist *h =
		top_frame_hist(d->s->m->frame, d->t->place, VU__OBS_SERVICE);
	unsigned int first = row;

	if (!h) {
		top_put(c, row, col, end, TOP_DIM,
			d->t->dev->from == VU__OBS_TELEMETRY
				? "none yet: they are kept while somebody looks"
				: "this back-end does not tell");
		return 1;
	}
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(heads); i++) {
		if (col + 12 + i * 8 + 8 <= end)
			top_put_field(c, row, col + 12 + i * 8, 7, true, TOP_DIM, heads[i]);
	}
	row++;
	put_percentiles(c, row++, col, end, "kick to pop", &d->t->latency[VU__OBS_KICK_TO_POP],
			true);
	put_percentiles(c, row++, col, end, "service", &d->t->latency[VU__OBS_SERVICE], true);
	put_percentiles(c, row++, col, end, "batch", &d->t->latency[VU__OBS_BATCH], false);
	row += put_bars(c, row, col, end, h);
	return row - first;
}

/* --- features --- */

unsigned int top_detail_features(struct top_canvas *c, const struct top_detail *d,
				 unsigned int row, unsigned int col, unsigned int end)
{
	const struct vu__obs_device *dev = d->t->dev;
	unsigned int first = row;
	char text[1024];
	int n;

	n = snprintf(text, sizeof(text), "virtio 0x%llx:", (unsigned long long)dev->features);
	for (unsigned int bit = 0; bit < 64 && n < (int)sizeof(text) - 40; bit++) {
		const char *name = top_feature_name(dev->virtio_id, bit);

		if (!vu__has_bit(dev->features, bit))
			continue;
		if (name)
			n += snprintf(text + n, sizeof(text) - n, " %s", name);
		else
			n += snprintf(text + n, sizeof(text) - n, " bit %u", bit);
	}
	row += top_put_wrapped(c, row, col, end, 12, TOP_NORMAL, text);
	if (dev->from != VU__OBS_TELEMETRY)
		return row - first;
	n = snprintf(text, sizeof(text), "vhost-user 0x%llx:",
		     (unsigned long long)dev->protocol_features);
	for (unsigned int bit = 0; bit < 64 && n < (int)sizeof(text) - 40; bit++) {
		if (vu__has_bit(dev->protocol_features, bit))
			n += snprintf(text + n, sizeof(text) - n, " %s",
				      vu__protocol_feature_name(bit));
	}
	row += top_put_wrapped(c, row, col, end, 12, TOP_NORMAL, text);
	return row - first;
}
