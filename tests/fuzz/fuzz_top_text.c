/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people and web clients type at vu-top: filters, alerts, sort keys, labels, ... */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/top_host.h"
#include "vu-top/address.h"

static struct top_model *host;

static void filters(const char *text)
{
	char why[100] = "";
	struct top_filter *f = top_filter_parse(text, why, sizeof(why));

	EXPECT(f || why[0]);
	for (uint32_t i = 0; f && i < host->nqueues; i++)
		(void)top_filter_fits(f, host->queues[i]);
	if (f)
		EXPECT(!strcmp(top_filter_text(f), text));
	(void)top_filter_wants_latency(f);
	top_filter_free(f);
}

static void alerts(const char *text)
{
	struct top_model *m = top_model_new(NULL);
	char why[100];

	EXPECT(m);
	if (!top_alert_add(m, text, why, sizeof(why)))
		EXPECT(!top_model_update(m, host_at(1)));
	top_model_free(m);
}

static void orders(const char *text)
{
	struct top_order o = {.key = {NULL}}, again = {.key = {NULL}};
	struct top_out_options out = {.nfields = 0};
	char why[100], back[100];

	if (top_order_parse(&o, text, why, sizeof(why))) {
		top_order_format(&o, back, sizeof(back));
		EXPECT(top_order_parse(&again, back, why, sizeof(why)));
		EXPECT(!memcmp(&o, &again, sizeof(o)));
	}
	(void)top_out_fields(&out, text, why, sizeof(why));
	EXPECT(out.nfields <= TOP_MAX_FIELDS);
}

static void labels(const char *text)
{
	char out[300], why[100];

	if (!top_parse_labels(text, out, sizeof(out), why, sizeof(why)))
		return;
	/* They are put between others as they are. */
	EXPECT(!strchr(out, '\n'));
	EXPECT(!out[0] || (out[0] == ',' && out[strlen(out) - 1] == '"'));
}

static void rest(const char *text)
{
	enum top_exposition format;
	uint64_t ns;
	double v;

	(void)top_negotiate(text, &format);
	for (unsigned int what = TOP_PLAIN; what <= TOP_PERCENT; what++) {
		if (top_parse_number(text, strlen(text), what, &v))
			EXPECT(v >= 0);
	}
	if (top_parse_interval(text, 50000000, 3600000000000, &ns))
		EXPECT(ns >= 50000000 && ns <= 3600000000000);
	(void)top_glob(text, strlen(text) / 2, text + strlen(text) / 2);
	(void)top_text_width(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!host)
		host = host_model(25);
	memcpy(text, data, size);
	text[size] = '\0';
	filters(text);
	alerts(text);
	orders(text);
	labels(text);
	rest(text);
	free(text);
	return 0;
}
