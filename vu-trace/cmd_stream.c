/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-trace stream: events as they happen.  The main thread. */
#include <stdio.h>

#include "format.h"
#include "tier_e.h"
#include "session.h"

struct stream {
	struct session *s;
	struct json j;
	uint64_t seen;
	bool failed;
};

static void on_event(void *opaque, const struct event *e, size_t size)
{
	struct stream *st = opaque;
	const char *queue = session_queue_name(st->s, e->queue);
	char line[512], steps[256];

	if (st->s->done)
		return;
	if (st->s->opt->json) {
		json_open(&st->j, NULL, '{');
		event_json(&st->j, e, size, queue);
		json_close(&st->j, '}');
		json_line(&st->j);
	} else {
		event_text(line, sizeof(line), e, st->s->begun_ns, queue);
		fputs(line, stdout);
		if (e->kind == EV_ROUND && size >= sizeof(struct ev_round)) {
			round_text(steps, sizeof(steps), (const struct ev_round *)e);
			printf(": %s", steps);
		}
		putchar('\n');
		fflush(stdout);
	}
	if (++st->seen == st->s->opt->count)
		st->s->done = true;
	if (ferror(stdout))
		st->s->done = st->failed = true;
}

static void trailer(struct stream *st)
{
	struct probe_stat st_kind;

	json_open(&st->j, NULL, '{');
	json_text(&st->j, "event", "end");
	json_number(&st->j, "events", st->seen);
	json_open(&st->j, "lost", '{');
	for (unsigned int k = 1; st->s->loader && k < EV_KINDS; k++) {
		loader_stat(st->s->loader, k, &st_kind);
		json_number(&st->j, kind_name(k), st_kind.drops);
	}
	json_close(&st->j, '}');
	json_close(&st->j, '}');
	json_line(&st->j);
}

int cmd_stream(const struct options *o)
{
	uint32_t all = ~(1U << EV_ROUND | 1U << EV_TABLE);
	struct load_options lo = {.kinds = o->kinds ? o->kinds : all, .messages = true};
	struct stream st = {.j = json_to(stdout)};
	struct session s;
	int ret;

	if (o->min_ns)
		lo.kinds = 1U << EV_ROUND;
	ret = session_open(&s, o, &lo);
	st.s = &s;
	if (ret < 0) {
		if (!o->json)
			printf("%13s T %-8s %-24s %15s\n", "SECONDS", "EVENT", "QUEUE", "PROCESS/THREAD");
		fflush(stdout);
		if (s.loader) {
			while (session_run(&s, READ_MS, on_event, &st))
				;
		} else
			poll_queues(&s, on_event, &st);
		if (o->json && !st.failed)
			trailer(&st);
		session_say_losses(&s);
		ret = session_status(&s);
	}
	session_close(&s);
	return ret;
}
