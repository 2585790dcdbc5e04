/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-trace's pure parts: which eventfd is which, buckets, text and JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format.h"
#include "hist.h"
#include "libvu/hist.h"
#include "observe/model.h"
#include "select.h"
#include "topo.h"

#define VMM  100
#define BACK 200

/* --- a host to be seen --- */

struct host {
	struct scan_rec recs[64];
	struct found_proc procs[2];
	struct found_link link;
	struct found_watch watches[16];
	struct found_fact facts[8];
	struct found f;
};

static void begin(struct host *h, bool vmm, bool running)
{
	memset(h, 0, sizeof(*h));
	h->procs[0] = (struct found_proc){.tgid = VMM, .vmm = vmm, .comm = "vmm"};
	h->procs[1] = (struct found_proc){.tgid = BACK, .running = running, .comm = "back"};
	h->link = (struct found_link){BACK, VMM, "/tmp/disk.sock"};
	h->f = (struct found){.recs = h->recs,
			      .procs = h->procs,
			      .nprocs = 2,
			      .links = &h->link,
			      .nlinks = 1,
			      .watches = h->watches,
			      .facts = h->facts};
}

/* An eventfd both have: its name, fds, and who sleeps in poll() on it. */
static void share(struct host *h, uint64_t obj, int vmm_fd, int back_fd, uint32_t poller)
{
	const int fds[] = {vmm_fd, back_fd};
	const uint32_t tgids[] = {VMM, BACK};

	for (int i = 0; i < 2; i++) {
		struct scan_rec *r = &h->recs[h->f.nrecs++];

		r->what = SCAN_EVENTFD;
		r->tgid = tgids[i];
		r->obj = obj;
		r->eventfd.fd = fds[i];
		r->eventfd.id = (int)obj;
		r->eventfd.poller = poller;
	}
}

static void store(struct host *h, uint64_t obj, uint8_t bus, uint64_t addr, int64_t match)
{
	struct scan_rec *r = &h->recs[h->f.nrecs++];

	r->what = SCAN_IOEVENTFD;
	r->tgid = VMM;
	r->obj = obj;
	r->ioeventfd.bus = bus;
	r->ioeventfd.addr = addr;
	r->ioeventfd.wildcard = match < 0;
	r->ioeventfd.match = match < 0 ? 0 : match;
}

static struct topo build(struct host *h, size_t queues)
{
	struct topo t;

	assert_int_equal(topo_build(&h->f, &t), 0);
	assert_int_equal(t.nqueues, queues);
	return t;
}

static void expect_ids(const struct queue *q, int kick, int call, int err)
{
	assert_int_equal(q->kick.id, kick);
	assert_int_equal(q->call.id, call);
	assert_int_equal(q->err.id, err);
}

/* --- which is which --- */

static void a_disk_without_kvm(void **state)
{
	struct host h;
	struct topo t;

	(void)state;
	begin(&h, true, false);
	/* Errors with the device, then kicks, then calls; found in another order. */
	share(&h, 41, 24, 16, VMM);
	share(&h, 21, 19, 13, VMM);
	share(&h, 31, 22, 14, BACK);
	share(&h, 42, 25, 12, VMM);
	share(&h, 22, 21, 15, VMM);
	share(&h, 32, 23, 17, BACK);
	t = build(&h, 2);
	expect_ids(&t.queues[0], 31, 41, 21);
	expect_ids(&t.queues[1], 32, 42, 22);
	assert_int_equal(t.queues[0].kick.source, SRC_WAIT);
	assert_int_equal(t.queues[0].kick.confidence, CONF_LIKELY);
	assert_int_equal(t.queues[0].mode, MODE_INTERRUPT);
	assert_string_equal(t.queues[0].name, "/tmp/disk.sock");
	topo_release(&t);
}

/* Calls before kicks, and nobody waits for a kick: the back-end runs all the time. */
static void one_that_polls(void **state)
{
	struct host h;
	struct topo t;

	(void)state;
	begin(&h, true, true);
	share(&h, 1, 10, 20, VMM);
	share(&h, 2, 11, 21, VMM);
	share(&h, 3, 12, 22, 0);
	share(&h, 4, 13, 23, 0);
	t = build(&h, 2);
	expect_ids(&t.queues[0], 3, 1, -1);
	expect_ids(&t.queues[1], 4, 2, -1);
	assert_int_equal(t.queues[1].mode, MODE_POLLING);
	topo_release(&t);
}

static void kvm_names_kicks(void **state)
{
	struct host h;
	struct topo t;

	(void)state;
	begin(&h, true, false);
	/* The second queue was made first: only the address tells. */
	share(&h, 5, 10, 20, BACK);
	share(&h, 6, 11, 21, BACK);
	store(&h, 5, SCAN_BUS_MMIO, 0xfe003004, -1);
	store(&h, 6, SCAN_BUS_MMIO, 0xfe003000, -1);
	t = build(&h, 2);
	assert_int_equal(t.queues[0].kick.id, 6);
	assert_int_equal(t.queues[1].kick.id, 5);
	assert_int_equal(t.queues[0].kick.confidence, CONF_CERTAIN);
	assert_int_equal(t.queues[1].notify_addr, 0xfe003004);
	topo_release(&t);

	/* A value is better than an address. */
	store(&h, 5, SCAN_BUS_PIO, 0xc010, 8);
	store(&h, 6, SCAN_BUS_PIO, 0xc010, 7);
	t = build(&h, 2);
	assert_int_equal(t.queues[0].index, 7);
	assert_int_equal(t.queues[1].kick.id, 5);
	assert_true(t.queues[1].notify_exact);
	topo_release(&t);
}

static void what_is_told_is_believed(void **state)
{
	struct host h;
	struct topo t;

	(void)state;
	begin(&h, false, false);
	share(&h, 5, 10, 20, BACK);
	share(&h, 6, 11, 21, VMM);
	/* A message of an earlier connection says otherwise. */
	h.facts[0] = (struct found_fact){.backend = BACK, .device = NO_DEVICE, .obj = 5, .id = 5,
					 .role = ROLE_CALL, .source = SRC_MESSAGE, .index = 9};
	h.facts[1] = (struct found_fact){.backend = BACK, .device = 2, .id = 5,
					 .role = ROLE_KICK, .source = SRC_TELEMETRY,
					 .index = 3, .name = "disk"};
	h.facts[2] = (struct found_fact){.backend = BACK, .device = 2, .id = 6,
					 .role = ROLE_CALL, .source = SRC_TELEMETRY,
					 .index = 3, .name = "disk"};
	h.f.nfacts = 3;
	t = build(&h, 1);
	expect_ids(&t.queues[0], 5, 6, -1);
	assert_int_equal(t.queues[0].index, 3);
	assert_int_equal(t.queues[0].vmm, VMM);
	assert_string_equal(t.queues[0].name, "disk");
	topo_release(&t);
}

/* A device whose driver has not started has no kicks: nothing is guessed. */
static void not_started(void **state)
{
	struct host h;
	struct topo t;

	(void)state;
	begin(&h, true, false);
	share(&h, 1, 10, 20, 0);
	share(&h, 2, 11, 21, 0);
	t = build(&h, 0);
	assert_int_equal(t.unmatched, 2);
	topo_release(&t);
}

/* A process that inherited an eventfd is no back-end. */
static void no_connection(void **state)
{
	struct host h;
	struct topo t;

	(void)state;
	begin(&h, false, false);
	h.f.nlinks = 0;
	share(&h, 1, 10, 20, BACK);
	t = build(&h, 0);
	topo_release(&t);
}

/* --- numbers --- */

static void buckets_are_the_library_s(void **state)
{
	struct hist *h = calloc(1, sizeof(*h)), *d = calloc(1, sizeof(*d));

	(void)state;
	assert_int_equal(HIST_BUCKETS, VU_HIST_BUCKETS);
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		assert_int_equal(hist_lower(i), vu_hist_lower(i));
		assert_int_equal(vu_hist_bucket(hist_lower(i)), i);
	}
	assert_non_null(h);
	assert_non_null(d);
	for (unsigned int v = 1; v <= 1000; v++)
		h->bucket[vu_hist_bucket(v * 1000)]++;
	h->max = 1000000;
	hist_diff(d, h, NULL);
	assert_int_equal(d->count, 1000);
	assert_in_range(hist_percentile(d, 0.5), 470000, 530000);
	assert_in_range(hist_percentile(d, 0.99), 930000, 1000000);
	assert_in_range(hist_percentile(d, 1), 940000, 1000000);
	hist_diff(d, h, h);
	assert_int_equal(d->count, 0);
	assert_int_equal(hist_percentile(d, 0.5), 0);
	free(h);
	free(d);
}

static void times_as_text(void **state)
{
	char t[TIME_TEXT];

	(void)state;
	assert_string_equal(time_text(t, 999), "999ns");
	assert_string_equal(time_text(t, 1500), "1.5us");
	assert_string_equal(time_text(t, 250000), "250us");
	assert_string_equal(time_text(t, 5000000), "5.0ms");
	assert_string_equal(time_text(t, 2500000000), "2.50s");
	assert_true(strlen(time_text(t, UINT64_MAX)) < TIME_TEXT);
}

static void json_of_anything(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	struct json j = json_to(f);

	(void)state;
	json_open(&j, NULL, '{');
	json_text(&j, "a", "q\"\\\n\x80 \xe6\x9c\xba");
	json_open(&j, "b", '[');
	json_number(&j, NULL, UINT64_MAX);
	json_signed(&j, NULL, -1);
	json_close(&j, ']');
	json_hex(&j, "c", 0xfee00000);
	json_null(&j, "d");
	json_close(&j, '}');
	fclose(f);
	assert_string_equal(text, "{\"a\":\"q\\\"\\\\\\u000a\xef\xbf\xbd \xe6\x9c\xba\","
				  "\"b\":[18446744073709551615,-1],"
				  "\"c\":\"0xfee00000\",\"d\":null}");
	free(text);
}

/* --- which queues --- */

static const struct queue disk_3 = {
	.vmm = 100, .backend = 200, .device = 1, .index = 3, .name = "/run/vm/disk.sock"};

static bool selects(const struct options *o)
{
	return selects_queue(o, &disk_3, "web1", VU__OBS_ROLE_REQUEST);
}

static void each_selector_selects(void **state)
{
	(void)state;
	assert_true(selects(&(struct options){0}));
	assert_true(selects(&(struct options){.pids = {7, 200}, .npids = 2}));
	assert_true(selects(&(struct options){.pids = {100}, .npids = 1}));
	assert_false(selects(&(struct options){.pids = {7}, .npids = 1}));
	assert_true(selects(&(struct options){.queues = {{8, 9}, {1, 3}}, .nqueues = 2}));
	assert_false(selects(&(struct options){.queues = {{4, 9}}, .nqueues = 1}));
	assert_true(selects(&(struct options){.vm = "web1"}));
	assert_true(selects(&(struct options){.vm = "100"}));
	assert_false(selects(&(struct options){.vm = "200"}));
	assert_true(selects(&(struct options){.device = "1"}));
	assert_true(selects(&(struct options){.device = "disk.sock"}));
	assert_false(selects(&(struct options){.device = "disk"}));
	assert_true(selects(&(struct options){.socket = "disk.sock"}));
	assert_true(selects(&(struct options){.socket = "/run/vm/disk.sock"}));
	assert_false(selects(&(struct options){.socket = "/run/vm/other.sock"}));
	assert_true(selects(&(struct options){.roles = 1U << VU__OBS_ROLE_REQUEST}));
	assert_false(selects(&(struct options){.roles = 1U << VU__OBS_ROLE_RX}));
	/* All of them count. */
	assert_false(selects(&(struct options){.vm = "web1", .device = "2"}));
}

static void sides_are_both_unless_said(void **state)
{
	struct options o = {0};

	(void)state;
	assert_true(selects_side(&o, ROLE_KICK) && selects_side(&o, ROLE_CALL));
	o.sides = 1U << ROLE_CALL;
	assert_false(selects_side(&o, ROLE_KICK));
	assert_true(selects_side(&o, ROLE_CALL));
}

static void a_selection_is_told_as_it_was_given(void **state)
{
	struct options o = {.pids = {7, 8},
			    .npids = 2,
			    .vm = "web1",
			    .queues = {{0, 3}, {8, 8}},
			    .nqueues = 2,
			    .role = "rx"};
	char text[64], small[8];

	(void)state;
	selection_text(&o, text, sizeof(text));
	assert_string_equal(text, "-p 7,8 --vm=web1 -q 0-3,8 --role=rx");
	selection_text(&o, small, sizeof(small));
	assert_string_equal(small, "-p 7,8");
	selection_text(&(struct options){0}, text, sizeof(text));
	assert_string_equal(text, "");
}

/* What is left of a file: two queues, an event of each and of none, a round of each. */
static struct recording left(const struct options *o, bool any)
{
	static struct record_queue queues[2];
	static struct event events[3];
	static struct ev_round rounds[2];
	struct recording r = {.queues = queues,
			      .nqueues = 2,
			      .events = events,
			      .nevents = 3,
			      .rounds = rounds,
			      .nrounds = 2};

	queues[0] = (struct record_queue){5, 100, 200, 0, "web1:disk.sock:0", "", ""};
	queues[1] = (struct record_queue){9, 100, 200, 1, "web1:disk.sock:1", "", ""};
	events[0] = (struct event){.queue = 5, .kind = EV_READ, .role = ROLE_KICK};
	events[1] = (struct event){.queue = 9, .kind = EV_CALL, .role = ROLE_CALL};
	events[2] = (struct event){.queue = NO_QUEUE, .kind = EV_MSG};
	rounds[0] = (struct ev_round){.head = {.queue = 5, .kind = EV_ROUND}};
	rounds[1] = (struct ev_round){.head = {.queue = 9, .kind = EV_ROUND}};
	assert_int_equal(select_recorded(o, &r), any);
	return r;
}

static void files_are_selected_from(void **state)
{
	struct recording r;

	(void)state;
	r = left(&(struct options){.queues = {{1, 1}}, .nqueues = 1}, true);
	assert_int_equal(r.nqueues, 1);
	assert_int_equal(r.queues[0].slot, 9);
	assert_int_equal(r.nevents, 1);
	assert_int_equal(r.events[0].kind, EV_CALL);
	assert_int_equal(r.nrounds, 1);
	r = left(&(struct options){.vm = "web1", .device = "disk.sock"}, true);
	assert_int_equal(r.nevents, 3);
	r = left(&(struct options){.sides = 1U << ROLE_KICK}, true);
	assert_int_equal(r.nevents, 2);
	r = left(&(struct options){.kinds = 1U << EV_MSG}, true);
	assert_int_equal(r.nevents, 1);
	assert_int_equal(r.nrounds, 0);
	r = left(&(struct options){.vm = "disk.sock"}, false);
	assert_int_equal(r.nevents + r.nrounds, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_without_kvm),	   cmocka_unit_test(one_that_polls),
		cmocka_unit_test(kvm_names_kicks),	   cmocka_unit_test(what_is_told_is_believed),
		cmocka_unit_test(not_started),		   cmocka_unit_test(no_connection),
		cmocka_unit_test(buckets_are_the_library_s), cmocka_unit_test(times_as_text),
		cmocka_unit_test(json_of_anything),
		cmocka_unit_test(each_selector_selects),
		cmocka_unit_test(sides_are_both_unless_said),
		cmocka_unit_test(a_selection_is_told_as_it_was_given),
		cmocka_unit_test(files_are_selected_from),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
