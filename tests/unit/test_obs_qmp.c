/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor's client: against answers as QEMU 7.2 gave them, and against monitors
 * that are silent, slow, busy, gone, endless, or no monitors.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/fd.h"
#include "observe/qmp.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"

/* --- a monitor --- */

enum mode {
	GOOD,
	SILENT,	  /* accepts, says nothing */
	BACKLOG,  /* does not even accept */
	STOPS,	  /* greets and answers the first command, no other */
	GARBAGE,
	CLOSES,	  /* after the greeting */
	ENDLESS,  /* events for ever */
	LONG,	  /* a line that never ends */
	OLD,	  /* knows no x-query-virtio */
	MANY,	  /* a device with more queues than it shows */
};

struct monitor {
	enum mode mode;
	int listener;
	char path[64];
	pthread_t thread;
	char asked[65536]; /* every line */
};

static const char status_reply[] =
	"{\"return\": {\"device-endian\": \"little\", \"name\": \"virtio-blk\", "
	"\"started\": true, \"device-id\": 2, \"vhost-dev\": {\"nvqs\": 2}, \"broken\": false, "
	"\"num-vqs\": 2, \"guest-features\": {\"dev-features\": [\"VIRTIO_BLK_F_SEG_MAX: Max\"], "
	"\"transports\": [\"VIRTIO_F_VERSION_1: Device compliant\", "
	"\"VIRTIO_RING_F_EVENT_IDX: Used & avail. event fields enabled\"]}, "
	"\"vhost-started\": true}}\r\n";

static const char queue_reply[] =
	"{\"return\": {\"avail-phys\": 134076416, \"name\": \"virtio-blk\", \"used-phys\": "
	"134078464, \"avail-size\": 260, \"desc-size\": 2048, \"used-size\": 1028, \"desc\": "
	"140406909943808, \"num\": 128, \"call\": 0, \"avail\": 140406909945856, "
	"\"desc-phys\": 134074368, \"used\": 140406909947904, \"kick\": 0}}\r\n";

static const char refused[] =
	"{\"error\": {\"class\": \"GenericError\", \"desc\": \"No such thing\"}}\r\n";

static const char *answer_to(const struct monitor *m, const char *line)
{
	if (strstr(line, "qmp_capabilities"))
		return "{\"return\": {}}\r\n";
	if (strstr(line, "query-name"))
		return "{\"timestamp\": {}, \"event\": \"NIC_RX_FILTER_CHANGED\"}\r\n"
		       "{\"return\": {\"name\": \"vm\\u001b1\"}}\r\n";
	if (strstr(line, "query-uuid"))
		return "{\"return\": {\"UUID\": \"11111111-0000-0000-0000-000000000000\"}}\r\n";
	if (strstr(line, "query-status"))
		return "{\"return\": {\"status\": \"running\", \"running\": true}}\r\n";
	if (strstr(line, "\"x-query-virtio\""))
		return m->mode == OLD ? refused
				      : "{\"return\": [{\"name\": \"virtio-blk\", \"path\": "
					"\"/machine/peripheral/d0/virtio-backend\"}]}\r\n";
	if (strstr(line, "x-query-virtio-status"))
		return status_reply;
	if (strstr(line, "x-query-virtio-vhost-queue-status"))
		return m->mode == MANY && strstr(line, "\"queue\":1") ? refused : queue_reply;
	if (strstr(line, "qom-get"))
		return strstr(line, "\"chardev\"") ? "{\"return\": \"disk\"}\r\n" : refused;
	return refused;
}

static void say(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return;
}

static void talk(struct monitor *m, int fd)
{
	char line[4096];
	unsigned int answers = 0;
	size_t len = 0;

	if (m->mode == GARBAGE) {
		say(fd, "SSH-2.0-OpenSSH_9.2\r\n");
		return;
	}
	if (m->mode != SILENT)
		say(fd, GREETING);
	while (m->mode == ENDLESS &&
	       send(fd, "{\"event\": \"X\"}\r\n", 16, MSG_NOSIGNAL) > 0)
		;
	memset(line, 'x', sizeof(line));
	while (m->mode == LONG && send(fd, line, sizeof(line), MSG_NOSIGNAL) > 0)
		;
	while (m->mode != CLOSES && len < sizeof(line) - 1 &&
	       recv(fd, line + len, 1, 0) == 1) {
		if (line[len++] != '\n')
			continue;
		line[len] = '\0';
		strncat(m->asked, line, sizeof(m->asked) - strlen(m->asked) - 1);
		if (m->mode != SILENT && (m->mode != STOPS || answers == 0))
			say(fd, answer_to(m, line));
		answers++;
		len = 0;
	}
}

static void *serve(void *opaque)
{
	struct monitor *m = opaque;
	int fd = accept(m->listener, NULL, NULL);

	if (fd >= 0) {
		talk(m, fd);
		close(fd);
	}
	return NULL;
}

static void start(struct monitor *m, enum mode mode)
{
	struct sockaddr_un a = {AF_UNIX, ""};

	memset(m, 0, sizeof(*m));
	m->mode = mode;
	snprintf(m->path, sizeof(m->path), "/tmp/vu-qmp-%d", getpid());
	unlink(m->path);
	strcpy(a.sun_path, m->path);
	m->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(m->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(m->listener, 0), 0);
	if (mode != BACKLOG)
		assert_int_equal(pthread_create(&m->thread, NULL, serve, m), 0);
}

static void stop(struct monitor *m)
{
	shutdown(m->listener, SHUT_RDWR);
	if (m->mode != BACKLOG)
		pthread_join(m->thread, NULL);
	close(m->listener);
	unlink(m->path);
}

/* --- asking --- */

static void a_machine_is_described(void **state)
{
	struct vu__qmp_vm vm;
	struct monitor m;
	char why[128];

	(void)state;
	start(&m, GOOD);
	assert_int_equal(vu__qmp_ask(m.path, 5000, &vm, why, sizeof(why)), 0);
	stop(&m);
	assert_string_equal(vm.name, "vm?1");
	assert_string_equal(vm.uuid, "11111111-0000-0000-0000-000000000000");
	assert_string_equal(vm.run_state, "running");
	assert_true(vm.running);
	assert_int_equal(vm.ndevs, 1);
	assert_string_equal(vm.devs[0].id, "d0");
	assert_string_equal(vm.devs[0].chardev, "disk");
	assert_string_equal(vm.devs[0].netdev, "");
	assert_int_equal(vm.devs[0].virtio_id, 2);
	assert_true(vm.devs[0].vhost && vm.devs[0].vhost_started);
	assert_true(vm.devs[0].features == (VU_BIT(29) | VU_BIT(32)));
	assert_int_equal(vm.devs[0].nqueues, 2);
	assert_int_equal(vm.queues[1].num, 128);
	assert_true(vm.queues[1].avail == 140406909945856);
	assert_int_equal(vm.queues[1].used_gpa, 134078464);
	vu__qmp_release(&vm);
}

/* x-query-virtio-queue-status stops the ring it is asked about. */
static void nothing_harmful_is_sent(void **state)
{
	static const char *const harmless[] = {
		"qmp_capabilities", "query-name", "query-uuid", "query-status",
		"x-query-virtio", "x-query-virtio-status",
		"x-query-virtio-vhost-queue-status", "qom-get"};
	struct vu__qmp_vm vm;
	struct monitor m;
	char why[128], *line, *save;

	(void)state;
	start(&m, GOOD);
	assert_int_equal(vu__qmp_ask(m.path, 5000, &vm, why, sizeof(why)), 0);
	stop(&m);
	vu__qmp_release(&vm);
	for (line = strtok_r(m.asked, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct json_object *o = json_tokener_parse(line), *word = NULL;
		bool known = false;

		assert_true(json_object_object_get_ex(o, "execute", &word));
		for (size_t i = 0; i < VU_ARRAY_SIZE(harmless); i++)
			known = known || !strcmp(json_object_get_string(word), harmless[i]);
		if (!known)
			fail_msg("%s was sent", line);
		json_object_put(o);
	}
}

static void refused_queries_leave_the_rest(void **state)
{
	struct vu__qmp_vm vm;
	struct monitor m;
	char why[128];

	(void)state;
	start(&m, OLD);
	assert_int_equal(vu__qmp_ask(m.path, 5000, &vm, why, sizeof(why)), 0);
	stop(&m);
	assert_string_equal(vm.run_state, "running");
	assert_int_equal(vm.ndevs, 0);
	assert_non_null(strstr(why, "7.2"));
	vu__qmp_release(&vm);

	start(&m, MANY);
	assert_int_equal(vu__qmp_ask(m.path, 5000, &vm, why, sizeof(why)), 0);
	stop(&m);
	assert_int_equal(vm.devs[0].nqueues, 1);
	vu__qmp_release(&vm);
}

static void expect_failure(enum mode mode, int want, const char *word)
{
	int64_t begin = vu__now_ms();
	struct vu__qmp_vm vm;
	struct monitor m;
	char why[128];
	int ret;

	start(&m, mode);
	ret = vu__qmp_ask(m.path, 700, &vm, why, sizeof(why));
	if (vu__now_ms() - begin > 1000)
		fail_msg("mode %d took %d ms", mode, (int)(vu__now_ms() - begin));
	stop(&m);
	if (ret != want || !strstr(why, word))
		fail_msg("mode %d: %d: %s", mode, ret, why);
	assert_null(vm.devs);
	assert_null(vm.queues);
}

static void bad_monitors_cost_less_than_a_second(void **state)
{
	(void)state;
	expect_failure(SILENT, -ETIMEDOUT, "one client at a time");
	expect_failure(BACKLOG, -ETIMEDOUT, "one client at a time");
	expect_failure(STOPS, -ETIMEDOUT, "does not answer");
	expect_failure(GARBAGE, -EPROTO, "no QEMU monitor");
	expect_failure(CLOSES, -ECONNRESET, "closed");
	expect_failure(ENDLESS, -ETIMEDOUT, "does not");
	expect_failure(LONG, -EPROTO, "longer");
}

static void nobody_there(void **state)
{
	struct vu__qmp_vm vm;
	struct monitor m;
	char why[128];

	(void)state;
	assert_int_equal(vu__qmp_ask("/nonexistent", 500, &vm, why, sizeof(why)), -ENOENT);
	assert_true(why[0]);
	start(&m, GOOD);
	shutdown(m.listener, SHUT_RDWR);
	pthread_join(m.thread, NULL);
	close(m.listener);
	assert_int_equal(vu__qmp_ask(m.path, 500, &vm, why, sizeof(why)), -ECONNREFUSED);
	unlink(m.path);
}

static void busy_backlog(void **state)
{
	struct sockaddr_un a = {AF_UNIX, ""};
	struct vu__qmp_vm vm;
	struct monitor m;
	char why[128];
	int waiting[2];

	(void)state;
	start(&m, BACKLOG);
	strcpy(a.sun_path, m.path);
	for (unsigned int i = 0; i < 2; i++) {
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(waiting[i], (struct sockaddr *)&a, sizeof(a));
	}
	assert_int_equal(vu__qmp_ask(m.path, 500, &vm, why, sizeof(why)), -ETIMEDOUT);
	assert_non_null(strstr(why, "busy"));
	close(waiting[0]);
	close(waiting[1]);
	stop(&m);
}

/* --- answers by themselves --- */

static struct json_object *reply(const char *text)
{
	return vu__qmp_parse_reply(text, strlen(text));
}

static void only_returns_are_replies(void **state)
{
	char deep[400];
	struct json_object *o;

	(void)state;
	assert_null(reply(""));
	assert_null(reply("{"));
	assert_null(reply("[1]"));
	assert_null(reply("{\"return\""));
	assert_null(reply("{\"error\": {}}"));
	o = reply("{\"return\": 3}");
	assert_non_null(o);
	json_object_put(o);
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"return\": ", 11);
	assert_null(vu__qmp_parse_reply(deep, sizeof(deep)));
}

static void wrong_types_are_ignored(void **state)
{
	struct vu__qmp_device d = {.path = ""};
	struct vu__qmp_queue q;
	struct vu__qmp_vm vm = {.ndevs = 0};
	struct json_object *o = reply("{\"return\": {\"num-vqs\": \"many\", \"device-id\": [], "
				      "\"vhost-dev\": 7, \"guest-features\": {\"transports\": "
				      "[1, null, \"VIRTIO_F_VERSION_1\", \"VIRTIO_F_VERSION_12\"]}}}");

	(void)state;
	assert_int_equal(vu__qmp_take_status(o, &d), 0);
	assert_false(d.vhost);
	assert_int_equal(d.virtio_id, 0);
	assert_true(d.features == VU_BIT(32));
	vu__qmp_take_vm(o, o, o, &vm);
	assert_string_equal(vm.name, "");
	assert_int_equal(vu__qmp_take_list(o, &vm), 0);
	json_object_put(o);
	o = reply("{\"return\": {\"num\": 4294967296, \"desc\": 1}}");
	vu__qmp_take_queue(o, &q);
	assert_int_equal(q.num, 0);
	json_object_put(o);
	o = reply("{\"return\": {\"num\": -1, \"desc\": -1, \"avail\": \"x\"}}");
	vu__qmp_take_queue(o, &q);
	json_object_put(o);
	o = reply("{\"return\": [{\"path\": \"/a\"}, {\"name\": \"no path\"}, 7, "
		  "{\"path\": \"/machine/peripheral/x\", \"name\": 3}]}");
	assert_int_equal(vu__qmp_take_list(o, &vm), 0);
	assert_int_equal(vm.ndevs, 2);
	assert_string_equal(vm.devs[1].id, "x");
	json_object_put(o);
	vu__qmp_release(&vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_is_described),
		cmocka_unit_test(nothing_harmful_is_sent),
		cmocka_unit_test(refused_queries_leave_the_rest),
		cmocka_unit_test(bad_monitors_cost_less_than_a_second),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(busy_backlog),
		cmocka_unit_test(only_returns_are_replies),
		cmocka_unit_test(wrong_types_are_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
