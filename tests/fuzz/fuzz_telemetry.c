/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The telemetry reader with any file: one byte says what happens to it, the rest is what
 * is in it.  It may be made longer by a hole, cut while it is open, or overwritten by its
 * own second half then.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libvu/telemetry.h"
#include "tests/fuzz/fuzz.h"

#define HOLE (1 << 20)

enum { LONGER = 1, CUT = 2, OVERWRITE = 4 };

static char name[64];

static void remove_file(void)
{
	unlink(name);
}

static int make_file(const uint8_t *data, size_t size, bool longer)
{
	int fd;

	if (!name[0]) {
		snprintf(name, sizeof(name), "%s/vu-fuzz-telemetry-%d",
			 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
		atexit(remove_file);
	}
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	EXPECT(fd >= 0);
	EXPECT(write(fd, data, size) == (ssize_t)size);
	EXPECT(!ftruncate(fd, (off_t)(longer ? size + HOLE : size)));
	return fd;
}

/* No text runs on, and none has a byte that a terminal acts on. */
static void check_text(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	EXPECT(len < size);
	for (size_t i = 0; i < len; i++)
		EXPECT(text[i] >= ' ' && text[i] <= '~');
}

static void use_metrics(struct vu_telemetry *t)
{
	struct vu_telemetry_hist h;
	uint64_t value;

	for (unsigned int i = 0; i < vu_telemetry_metrics(t); i++) {
		const struct vu_telemetry_metric *m = vu_telemetry_metric(t, i);

		check_text(m->name, sizeof(m->name));
		check_text(m->unit, sizeof(m->unit));
		check_text(m->help, sizeof(m->help));
		(void)vu_telemetry_value(t, i, 0, 0, &value);
		(void)vu_telemetry_value(t, i, 3, m->count - 1, &value);
		(void)vu_telemetry_hist(t, i, 0, &h);
		EXPECT(vu_telemetry_find(t, m->place, m->name) <= (int)i);
	}
}

static void use(struct vu_telemetry *t)
{
	static struct vu_telemetry_event events[64];
	struct vu_telemetry_device d;
	struct vu_telemetry_queue q;
	uint64_t value;
	int n;

	(void)vu_telemetry_process(t);
	vu_telemetry_device(t, &d);
	check_text(d.block.name, sizeof(d.block.name));
	check_text(d.block.socket, sizeof(d.block.socket));
	for (unsigned int i = 0; i < vu_telemetry_header(t)->queues; i++) {
		EXPECT(!vu_telemetry_queue(t, i, &q));
		check_text(q.config.broken, sizeof(q.config.broken));
		(void)vu_telemetry_oldest(t, i, &value);
	}
	EXPECT(vu_telemetry_queue(t, vu_telemetry_header(t)->queues, &q));
	use_metrics(t);
	n = vu_telemetry_events(t, events, 64, &value);
	EXPECT(n <= 64);
	for (int i = 0; i < n; i++) {
		check_text(events[i].text, sizeof(events[i].text));
		EXPECT(i == 0 || events[i].number > events[i - 1].number);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vu_telemetry *t = NULL;
	struct input in = {data, size};
	uint8_t what = take8(&in);
	char why[128] = "";
	int fd = make_file(in.data, in.left, what & LONGER), ret;

	ret = vu_telemetry_open(name, &t, why, sizeof(why));
	EXPECT(ret <= 0);
	if (ret) {
		check_text(why, sizeof(why));
		EXPECT(why[0]);
		close(fd);
		return 0;
	}
	use(t);
	if (what & OVERWRITE)
		EXPECT(pwrite(fd, in.data + in.left / 2, in.left - in.left / 2,
			      (off_t)(in.left / 4)) >= 0);
	if (what & CUT)
		EXPECT(!ftruncate(fd, (off_t)(in.left / 2)));
	(void)vu_telemetry_refresh(t);
	use(t);
	vu_telemetry_close(t);
	close(fd);
	return 0;
}
