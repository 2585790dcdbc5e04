/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recordings.  The first byte says what follows: a file; or, as checksums keep most of
 * what is in a file away from the decoder, a schema or a frame by itself.  What is read
 * is shown.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/top_host.h"
#include "vu-top/record.h"
#include "vu-top/schema.h"

static void show(struct top_frame *f)
{
	const struct top_out_options o = {.host = "x"};
	struct top_model *m = top_model_new(NULL);
	struct top_canvas c;
	struct top_ui ui;
	struct top_scene s = {m, &ui, "x", 0};
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	EXPECT(m && to && !top_canvas_init(&c, 24, 80, true));
	top_ui_init(&ui);
	EXPECT(!top_model_update(m, host_at(0)));
	EXPECT(!top_model_update(m, f));
	for (unsigned int v = 0; v < TOP_VIEWS; v++) {
		ui.view = v;
		top_ui_update(&ui, m);
		top_view_draw(&c, &s);
	}
	if (m->nqueues) {
		ui.view = TOP_VIEW_DETAIL;
		ui.queue = m->queues[m->nqueues - 1]->key;
		top_view_draw(&c, &s);
	}
	top_out_json(m, &o, to);
	top_out_metrics(m, &o, TOP_OPENMETRICS, to);
	top_out_plain(m, &o, to);
	fclose(to);
	free(text);
	top_canvas_release(&c);
	top_ui_release(&ui);
	top_model_free(m);
}

static void read_file(const uint8_t *data, size_t size)
{
	int fd = memfd_create("recording", MFD_CLOEXEC);
	struct top_replay *r;
	struct top_frame *f;
	char why[200] = "";

	EXPECT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	r = top_replay_new(fd, why, sizeof(why));
	EXPECT(r || why[0]);
	for (size_t i = 0; r && i < top_replay_frames(r) && i < 4; i++) {
		if (!top_replay_read(r, i, &f))
			show(f);
	}
	top_replay_free(r);
}

static void read_frame(const struct top_schema *s, const uint8_t *data, size_t size,
		       struct top_frame *before)
{
	struct top_frame *f, *again;
	struct top_bytes b = {.data = NULL};

	if (top_frame_read(s, data, size, before, &f))
		return;
	/* What was read can be written, and is the same. */
	top_frame_write(&b, f, NULL);
	EXPECT(!b.failed);
	EXPECT(!top_frame_read(top_schema_own(), b.data, b.len, NULL, &again));
	EXPECT(again->snap->nqueues == f->snap->nqueues);
	top_frame_put(again);
	top_bytes_release(&b);
	show(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct top_frame *before;
	struct top_schema *s;

	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		read_file(data + 1, size - 1);
		break;
	case 1:
		s = top_schema_read(data + 1, size - 1);
		top_schema_free(s);
		break;
	case 2:
		read_frame(top_schema_own(), data + 1, size - 1, NULL);
		break;
	default:
		before = host_at(30);
		read_frame(top_schema_own(), data + 1, size - 1, before);
		top_frame_put(before);
	}
	return 0;
}
