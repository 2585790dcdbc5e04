/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the views share.  Pure: a model goes in, styled cells come out. */
#ifndef VU_TOP_VIEW_H
#define VU_TOP_VIEW_H

#include "vu-top/ui.h"

/* The rows a view has to itself. */
struct top_area {
	unsigned int first, rows;
};

/* --- tables: columns that fit into the width --- */

struct top_column {
	const char *title;
	uint8_t width;
	bool right;    /* numbers */
	uint8_t rank;  /* of those that do not fit, the one with the highest goes first */
	uint8_t grows; /* shares of what is left over */
	const struct top_field *field; /* of a queue; NULL */
	/* Made by top_columns_fit(). */
	unsigned int at, got; /* got 0: it is left out */
};

void top_columns_fit(struct top_column *columns, size_t n, unsigned int width);
void top_columns_header(struct top_canvas *c, unsigned int row,
			const struct top_column *columns, size_t n,
			const struct top_order *order);
void top_column_put(struct top_canvas *c, unsigned int row, const struct top_column *column,
		    uint8_t style, const char *text);

/*
 * A list under a heading: keeps the line that is chosen in sight.  The first that is
 * shown is *@first; the number of lines shown is returned.
 */
size_t top_list(struct top_canvas *c, const struct top_scene *s, const struct top_area *a,
		enum top_view view, size_t n, size_t *first);

/* Text that is only scrolled: copies what is to be seen of @tall. */
void top_scrolled(struct top_canvas *c, const struct top_scene *s, const struct top_area *a,
		  enum top_view view, const struct top_canvas *tall, unsigned int used);

/* --- pieces --- */

uint8_t top_severity_style(enum vu__obs_severity severity);
char top_severity_mark(enum vu__obs_severity severity); /* a letter, for those without colour */

/* "14:03:22", local, of CLOCK_REALTIME; or of CLOCK_MONOTONIC in the frame's time. */
void top_clock(const struct top_scene *s, uint64_t real_ns, char *out, size_t size);
uint64_t top_real_of(const struct top_scene *s, uint64_t mono_ns);

/* "web7/disk0" */
void top_device_title(const struct top_scene *s, const struct vu__obs_device *d, char *out,
		      size_t size);

/* An event of a black box, as a person reads it. */
void top_event_text(const struct vu_telemetry_event *e, char *out, size_t size);

/* --- the views --- */

void top_view_queues(struct top_canvas *c, const struct top_scene *s, struct top_area a);
void top_view_devices(struct top_canvas *c, const struct top_scene *s, struct top_area a);
void top_view_threads(struct top_canvas *c, const struct top_scene *s, struct top_area a);
void top_view_heat(struct top_canvas *c, const struct top_scene *s, struct top_area a);
void top_view_memory(struct top_canvas *c, const struct top_scene *s, struct top_area a);
void top_view_migration(struct top_canvas *c, const struct top_scene *s, struct top_area a);
void top_view_events(struct top_canvas *c, const struct top_scene *s, struct top_area a);
void top_view_alerts(struct top_canvas *c, const struct top_scene *s, struct top_area a);
void top_view_detail(struct top_canvas *c, const struct top_scene *s, struct top_area a);
void top_view_help(struct top_canvas *c, const struct top_scene *s, struct top_area a);
void top_view_choose(struct top_canvas *c, const struct top_scene *s, struct top_area a);

/* Bits and their names, of a device type's features: features.c. */
struct top_bit_name {
	uint8_t bit;
	const char *name;
};
/* The name of feature @bit of a device type; NULL: it is not known. */
const char *top_feature_name(uint32_t virtio_id, unsigned int bit);

/* The rows of a list of fields one can choose from: their number. */
size_t top_choices(void);
const struct top_field *top_choice(size_t i);

#endif
