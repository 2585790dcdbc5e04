/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Back-ends that tell nothing of themselves, found by what they share with a machine
 * monitor.
 *
 * This program is also both of these: started by the name of qemu-storage-daemon it is
 * a back-end without telemetry, by that of qemu-system-test a front-end with a monitor
 * socket that answers as QEMU does, or does not answer.  Neither is the other's child.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/virtio_ids.h>

#include "base/fd.h"
#include "base/util.h"
#include "observe/find.h"
#include "observe/rates.h"
#include "tests/observe/badback.h"
#include "wire/spec.h"

#define NUM 64

static int listen_at(const char *path)
{
	struct sockaddr_un a = {AF_UNIX, ""};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4))
		_exit(3);
	return fd;
}

/* --- qemu-storage-daemon --export type=vhost-user-blk,addr.path=PATH BAD --- */

static int be_backend(char **argv)
{
	int l = listen_at(strstr(argv[2], "addr.path=") + strlen("addr.path="));
	int sock = accept(l, NULL, NULL), never[2];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sock < 0 || pipe(never))
		return 1;
	run_bad_backend(atoi(argv[3]), "disk", sock, never[0]);
	return 0;
}

/* --- qemu-system-test -name N -chardev socket,id=c,path=P -qmp unix:Q MODE TRAFFIC --- */

static struct vu_frontend *fe;
static struct vu_frontend_queue *queue;

static void answer(int fd, const char *line)
{
	struct vu_frontend_ring r;
	char text[700] = "{\"error\": {}}";

	vu_frontend_ring(queue, &r);
	if (strstr(line, "qmp_capabilities"))
		strcpy(text, "{\"return\": {}}");
	if (strstr(line, "query-name"))
		strcpy(text, "{\"return\": {\"name\": \"a guest\"}}");
	if (strstr(line, "query-status"))
		strcpy(text, "{\"return\": {\"status\": \"running\", \"running\": true}}");
	if (strstr(line, "\"x-query-virtio\""))
		strcpy(text, "{\"return\": [{\"name\": \"virtio-blk\", \"path\": "
			     "\"/machine/peripheral/d0/virtio-backend\"}]}");
	if (strstr(line, "x-query-virtio-status"))
		strcpy(text, "{\"return\": {\"device-id\": 2, \"vhost-dev\": {}, \"num-vqs\": 1, "
			     "\"vhost-started\": true, \"guest-features\": {\"transports\": "
			     "[\"VIRTIO_RING_F_EVENT_IDX: x\"]}}}");
	if (strstr(line, "qom-get") && strstr(line, "chardev"))
		strcpy(text, "{\"return\": \"c\"}");
	if (strstr(line, "vhost-queue-status"))
		snprintf(text, sizeof(text),
			 "{\"return\": {\"num\": %u, \"desc\": %lu, \"avail\": %lu, \"used\": %lu}}",
			 r.num, (unsigned long)r.desc, (unsigned long)r.avail,
			 (unsigned long)r.used);
	strcat(text, "\r\n");
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return;
}

static const char *monitor_path, *monitor_mode;

static void *be_monitor(void *opaque)
{
	int l = listen_at(monitor_path);

	(void)opaque;
	for (;;) {
		static const char greeting[] = "{\"QMP\": {}}\r\n";
		int fd = accept(l, NULL, NULL);
		char line[1000];
		size_t len = 0;

		if (strcmp(monitor_mode, "silent") &&
		    send(fd, greeting, strlen(greeting), MSG_NOSIGNAL) < 0)
			break;
		while (len < sizeof(line) - 1 && recv(fd, line + len, 1, 0) == 1) {
			if (line[len++] != '\n')
				continue;
			line[len] = '\0';
			if (strcmp(monitor_mode, "silent"))
				answer(fd, line);
			len = 0;
		}
		close(fd);
	}
	return NULL;
}

static void one_batch(unsigned int n)
{
	struct vu_frontend_buf b = {0x80000, 16, true};

	for (unsigned int i = 0; i < n; i++)
		(void)!vu_frontend_submit(queue, &b, 1, 0);
	(void)!vu_frontend_kick(queue);
	while (vu_frontend_outstanding(queue)) {
		(void)!vu_frontend_wait(queue, -1);
		while (vu_frontend_reap(queue, NULL, NULL) == 1)
			;
	}
}

static int be_machine(int argc, char **argv)
{
	const char *path = strstr(argv[4], "path=") + strlen("path=");
	pthread_t thread;

	if (argc != 9)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	monitor_path = strstr(argv[6], "unix:") + strlen("unix:");
	monitor_mode = argv[7];
	while (!(fe = vu_frontend_connect(path)))
		usleep(1000);
	if (vu_frontend_negotiate(fe, ~(VU_BIT(VU__F_RING_PACKED) |
					VU_BIT(VU__F_NOTIFY_ON_EMPTY)), ~0ULL) ||
	    vu_frontend_add_memory(fe, 0, 1 << 20, 0) || vu_frontend_share_memory(fe))
		return 3;
	queue = vu_frontend_queue_new(fe, 0, NUM, 0);
	if (!queue || vu_frontend_queue_start(queue, 0))
		return 4;
	if (pthread_create(&thread, NULL, be_monitor, NULL))
		return 5;
	one_batch(3);
	while (!strcmp(argv[8], "busy"))
		one_batch(16);
	for (;;)
		pause();
}

/* --- the test --- */

struct scene {
	char dir[40];
	pid_t backend, machine;
	struct vu__sampler *sampler;
};

static pid_t start(const char *dir, const char *name, char **argv)
{
	char path[100];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	argv[0] = path;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* Without telemetry. */
		setenv("LIBVU_RUN_DIR", "", 1);
		execv(path, argv);
		_exit(99);
	}
	return pid;
}

static void copy_self(const char *dir, const char *name)
{
	char cmd[200];

	snprintf(cmd, sizeof(cmd), "cp /proc/%d/exe %s/%s", getpid(), dir, name);
	assert_int_equal(system(cmd), 0);
}

static void scene_start(struct scene *s, enum bad bad, const char *mode, const char *traffic)
{
	char export[100], chardev[100], qmp[100], bad_text[8];
	struct vu__sample_options opt = {.run_dir = s->dir, .find_every_ms = 200};

	strcpy(s->dir, "/tmp/vu-find-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	copy_self(s->dir, "qemu-storage-daemon");
	copy_self(s->dir, "qemu-system-test");
	snprintf(export, sizeof(export), "type=vhost-user-blk,addr.path=%s/disk", s->dir);
	snprintf(chardev, sizeof(chardev), "socket,id=c,path=%s/disk", s->dir);
	snprintf(qmp, sizeof(qmp), "unix:%s/qmp,server=on", s->dir);
	snprintf(bad_text, sizeof(bad_text), "%d", bad);
	s->backend = start(s->dir, "qemu-storage-daemon",
			   (char *[]){"", "--export", export, bad_text, NULL});
	qmp[strcspn(qmp, ",")] = '\0';
	s->machine = start(s->dir, "qemu-system-test",
			   (char *[]){"", "-name", "guest=by-hand", "-chardev", chardev, "-qmp",
				      qmp, (char *)mode, (char *)traffic, NULL});
	s->sampler = vu__sampler_new(&opt);
	assert_non_null(s->sampler);
}

static void stop(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void scene_end(struct scene *s)
{
	char cmd[100];

	stop(s->machine);
	stop(s->backend);
	vu__sampler_free(s->sampler);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", s->dir);
	assert_int_equal(system(cmd), 0);
}

/* The device of our back-end; other tests may run on this host. */
static const struct vu__obs_device *our_device(const struct scene *s,
					       const struct vu__obs_snapshot *snap)
{
	for (uint32_t i = 0; i < snap->ndevs; i++) {
		if (snap->procs[snap->devs[i].proc].pid == s->backend)
			return &snap->devs[i];
	}
	return NULL;
}

/* Takes snapshots until one is as wanted; to be freed. */
static struct vu__obs_snapshot *wait_for(struct scene *s,
					 bool (*wanted)(const struct vu__obs_snapshot *snap,
							const struct vu__obs_device *d))
{
	int64_t deadline = vu__now_ms() + 15000;

	for (;;) {
		struct vu__obs_snapshot *snap;
		const struct vu__obs_device *d;
		int64_t begin = vu__now_ms();

		assert_int_equal(vu__sample_take(s->sampler, &snap), 0);
		if (vu__now_ms() - begin > 1000)
			fail_msg("a snapshot took %d ms", (int)(vu__now_ms() - begin));
		d = our_device(s, snap);
		if (d && wanted(snap, d))
			return snap;
		vu__snapshot_free(snap);
		if (vu__now_ms() > deadline)
			fail_msg("%s", d ? "it is not as it should be" : "it was not found");
		poll(NULL, 0, 50);
	}
}

static const struct vu__obs_queue *first_queue(const struct vu__obs_snapshot *snap,
					       const struct vu__obs_device *d)
{
	return d->nqueues ? &snap->queues[d->first_queue] : NULL;
}

static bool ring_is_read(const struct vu__obs_snapshot *snap, const struct vu__obs_device *d)
{
	const struct vu__obs_queue *q = first_queue(snap, d);

	return q && vu__obs_knows(q, VU__OBS_RING) && q->ring.used_idx >= 3 &&
	       q->kick.fd >= 0;
}

/* The monitor may have said where its rings are and not yet, in this look, its name. */
static bool is_named(const struct vu__obs_snapshot *snap, const struct vu__obs_device *d)
{
	const struct vu__obs_process *vmm = vu__obs_vmm_of(snap, d);

	return ring_is_read(snap, d) && vmm && !strcmp(vmm->vm_name, "a guest");
}

static void found_by_what_they_share(void **state)
{
	const struct vu__obs_process *p, *vmm;
	const struct vu__obs_device *d;
	const struct vu__obs_queue *q;
	struct vu__obs_snapshot *snap;
	struct scene s;
	char socket[64];

	(void)state;
	scene_start(&s, BAD_NOT, "answers", "quiet");
	snap = wait_for(&s, is_named);
	d = our_device(&s, snap);
	p = vu__obs_process_of(snap, d);
	vmm = vu__obs_vmm_of(snap, d);
	assert_int_equal(p->kind, VU__OBS_KIND_QSD);
	assert_int_equal(p->roles, VU__OBS_BACKEND);
	assert_int_equal(p->uid, getuid());
	assert_non_null(vmm);
	assert_int_equal(vmm->pid, s.machine);
	assert_int_equal(vmm->kind, VU__OBS_KIND_QEMU);
	assert_string_equal(vmm->run_state, "running");
	assert_int_equal(vmm->vcpus_run, VU__OBS_YES);
	assert_int_equal(d->connected, VU__OBS_YES);
	assert_int_equal(d->virtio_id, VIRTIO_ID_BLOCK);
	assert_string_equal(d->name, "d0");
	snprintf(socket, sizeof(socket), "%s/disk", s.dir);
	assert_string_equal(d->socket, socket);
	q = first_queue(snap, d);
	assert_int_equal(q->from[VU__OBS_SETUP], VU__OBS_QMP);
	assert_int_equal(q->from[VU__OBS_RING], VU__OBS_PEEK);
	assert_int_equal(q->from[VU__OBS_POSITION], VU__OBS_UNKNOWN);
	assert_int_equal(q->setup.size, NUM);
	assert_int_equal(q->setup.started, VU__OBS_YES);
	assert_true(q->setup.event_idx);
	assert_int_equal(q->setup.memory_of, s.machine);
	assert_int_equal(q->role, VU__OBS_ROLE_REQUEST);
	assert_int_equal(q->ring.avail_idx, 3);
	assert_int_equal(q->ring.used_idx, 3);
	/* Processes in order, each with its devices. */
	for (uint32_t i = 1; i < snap->nprocs; i++)
		assert_true(snap->procs[i - 1].pid < snap->procs[i].pid);
	assert_ptr_equal(&snap->devs[p->first_dev], d);
	vu__snapshot_free(snap);
	scene_end(&s);
}

static bool is_stopped(const struct vu__obs_snapshot *snap, const struct vu__obs_device *d)
{
	return snap->procs[d->proc].state == 'T';
}

/* Indices go round every few milliseconds here. */
static void rates_of_a_foreign_back_end(void **state)
{
	struct vu__obs_snapshot *before, *after;
	const struct vu__obs_queue *a, *b;
	struct vu__obs_rates r;
	struct scene s;
	int64_t until;

	(void)state;
	scene_start(&s, BAD_NOT, "answers", "busy");
	before = wait_for(&s, ring_is_read);
	until = vu__now_ms() + 1500;
	while (vu__now_ms() < until) {
		unsigned int ms = vu__sample_tick_ms(s.sampler);

		assert_in_range(ms, 1, 1000);
		poll(NULL, 0, VU_MIN(ms, 20u));
		vu__sample_tick(s.sampler);
	}
	assert_int_equal(vu__sample_take(s.sampler, &after), 0);
	a = first_queue(before, our_device(&s, before));
	b = vu__obs_find_queue(after, before, a);
	assert_non_null(b);
	vu__obs_rates(a, b, &r);
	assert_true(vu__obs_has_rate(&r, VU__OBS_COMPLETED));
	/* More than an index can say. */
	if (r.delta[VU__OBS_COMPLETED] < 2000)
		fail_msg("%f in %f s", r.delta[VU__OBS_COMPLETED], r.dt);
	assert_true(r.delta[VU__OBS_AVAILABLE] >= r.delta[VU__OBS_COMPLETED] - NUM &&
		    r.delta[VU__OBS_AVAILABLE] <= r.delta[VU__OBS_COMPLETED] + NUM);
	/* It would not say so if it could not know. */
	assert_true(r.delta[VU__OBS_COMPLETED] < 1e8);
	vu__snapshot_free(before);
	vu__snapshot_free(after);
	scene_end(&s);
}

/* Looks three times at our queue. */
static struct vu__obs_verdict judge(struct scene *s)
{
	struct vu__obs_snapshot *snaps[4];
	struct vu__obs_look looks[4];
	struct vu__obs_verdict v;
	size_t n = 0;

	for (unsigned int i = 0; i < 4; i++) {
		const struct vu__obs_device *d;

		assert_int_equal(vu__sample_take(s->sampler, &snaps[i]), 0);
		d = our_device(s, snaps[i]);
		if (d && d->nqueues)
			looks[n++] = vu__obs_look_at(snaps[i], first_queue(snaps[i], d));
		poll(NULL, 0, 150);
	}
	vu__obs_diagnose(looks, n, 400000000, &v);
	for (unsigned int i = 0; i < 4; i++)
		vu__snapshot_free(snaps[i]);
	if (getenv("VU_VERBOSE"))
		print_message("%s: %s\n", vu__obs_verdicts[v.id].name, v.evidence);
	return v;
}

static bool work_waits(const struct vu__obs_snapshot *snap, const struct vu__obs_device *d)
{
	const struct vu__obs_queue *q = first_queue(snap, d);

	return q && vu__obs_knows(q, VU__OBS_RING) && q->ring.avail_idx != q->ring.used_idx;
}

static void foreign_back_end_that_holds_requests(void **state)
{
	struct scene s;

	(void)state;
	/* The machine waits for what it will never get. */
	scene_start(&s, BAD_HOLD, "answers", "quiet");
	vu__snapshot_free(wait_for(&s, work_waits));
	assert_int_equal(judge(&s).id, VU__V_BACKEND_IO_STALLED);
	scene_end(&s);
}

static void foreign_back_end_stopped(void **state)
{
	struct vu__obs_verdict v;
	struct scene s;

	(void)state;
	scene_start(&s, BAD_NOT, "answers", "busy");
	vu__snapshot_free(wait_for(&s, ring_is_read));
	kill(s.backend, SIGSTOP);
	vu__snapshot_free(wait_for(&s, is_stopped));
	v = judge(&s);
	assert_int_equal(v.id, VU__V_BACKEND_STALLED);
	assert_int_equal(v.confidence, VU__OBS_CERTAIN);
	assert_int_equal(v.severity, VU__OBS_CRITICAL);
	scene_end(&s);
}

static bool not_connected(const struct vu__obs_snapshot *snap, const struct vu__obs_device *d)
{
	(void)snap;
	return d->connected == VU__OBS_NO;
}

static bool is_connected(const struct vu__obs_snapshot *snap, const struct vu__obs_device *d)
{
	(void)snap;
	return d->connected == VU__OBS_YES;
}

static void machine_comes_and_goes(void **state)
{
	struct vu__obs_snapshot *snap;
	struct scene s;

	(void)state;
	scene_start(&s, BAD_NOT, "answers", "quiet");
	kill(s.machine, SIGSTOP);
	/* Whatever came first. */
	assert_int_equal(vu__sample_take(s.sampler, &snap), 0);
	vu__snapshot_free(snap);
	kill(s.machine, SIGCONT);
	vu__snapshot_free(wait_for(&s, ring_is_read));
	stop(s.machine);
	s.machine = 0;
	snap = wait_for(&s, not_connected);
	assert_int_equal(our_device(&s, snap)->vmm, -1);
	vu__snapshot_free(snap);
	stop(s.backend);
	s.backend = 0;
	assert_int_equal(vu__sample_take(s.sampler, &snap), 0);
	vu__snapshot_free(snap);
	scene_end(&s);
}

static bool monitor_complains(const struct vu__obs_snapshot *snap,
			      const struct vu__obs_device *d)
{
	const struct vu__obs_process *vmm = vu__obs_vmm_of(snap, d);

	return vmm && vmm->qmp_trouble[0];
}

/* It may be met before it listens, and then is asked again. */
static bool monitor_has_one_client(const struct vu__obs_snapshot *snap,
				   const struct vu__obs_device *d)
{
	const struct vu__obs_process *vmm = vu__obs_vmm_of(snap, d);

	return vmm && strstr(vmm->qmp_trouble, "one client at a time");
}

static void silent_monitor_hides_the_ring_and_no_more(void **state)
{
	struct vu__obs_snapshot *snap;
	struct vu__obs_process vmm;
	struct scene s;

	(void)state;
	scene_start(&s, BAD_NOT, "silent", "quiet");
	snap = wait_for(&s, monitor_has_one_client);
	vmm = *vu__obs_vmm_of(snap, our_device(&s, snap));
	assert_string_equal(vmm.vm_name, "by-hand");
	assert_string_equal(vmm.run_state, "");
	assert_int_equal(vmm.vcpus_run, VU__OBS_MAYBE);
	vu__snapshot_free(snap);
	scene_end(&s);
}

/* Somebody else is the monitor's client: it is not even tried. */
static void busy_monitor_is_left_alone(void **state)
{
	struct sockaddr_un a = {AF_UNIX, ""};
	struct vu__obs_snapshot *snap;
	struct vu__obs_process vmm;
	struct scene s;
	char holder[32], greeting[100];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), event;

	(void)state;
	scene_start(&s, BAD_NOT, "answers", "quiet");
	/* What makes us one to be looked at. */
	event = eventfd(0, EFD_CLOEXEC);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/qmp", s.dir);
	while (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		usleep(1000);
	/* Not before the machine has taken it is it known whose monitor this is. */
	assert_true(recv(fd, greeting, sizeof(greeting), 0) > 0);
	snap = wait_for(&s, monitor_complains);
	vmm = *vu__obs_vmm_of(snap, our_device(&s, snap));
	snprintf(holder, sizeof(holder), "(pid %d) is it", getpid());
	if (!strstr(vmm.qmp_trouble, holder))
		fail_msg("%s", vmm.qmp_trouble);
	vu__snapshot_free(snap);
	close(fd);
	close(event);
	scene_end(&s);
}

/* With another user's eyes there is less to be seen, and it says so. */
static void without_permission(void **state)
{
	struct vu__obs_snapshot *snap;
	struct scene s;
	pid_t looker;
	int status;

	(void)state;
	if (getuid() != 0)
		skip();
	scene_start(&s, BAD_NOT, "answers", "quiet");
	vu__snapshot_free(wait_for(&s, is_connected));
	looker = fork();
	if (looker == 0) {
		struct vu__sampler *mine;

		if (setgid(12345) || setuid(12345))
			_exit(2);
		mine = vu__sampler_new(&(struct vu__sample_options){.run_dir = s.dir});
		if (!mine || vu__sample_take(mine, &snap))
			_exit(3);
		if (our_device(&s, snap) || !strstr(snap->trouble, "Permission denied"))
			_exit(4);
		vu__snapshot_free(snap);
		vu__sampler_free(mine);
		mine = vu__sampler_new(&(struct vu__sample_options){.run_dir = "/nonexistent"});
		if (!mine || vu__sample_take(mine, &snap))
			_exit(5);
		_exit(strstr(snap->trouble, "CAP_SYS_PTRACE") ? 0 : 6);
	}
	assert_int_equal(waitpid(looker, &status, 0), looker);
	assert_int_equal(WEXITSTATUS(status), 0);
	scene_end(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_by_what_they_share),
		cmocka_unit_test(rates_of_a_foreign_back_end),
		cmocka_unit_test(foreign_back_end_that_holds_requests),
		cmocka_unit_test(foreign_back_end_stopped),
		cmocka_unit_test(machine_comes_and_goes),
		cmocka_unit_test(silent_monitor_hides_the_ring_and_no_more),
		cmocka_unit_test(busy_monitor_is_left_alone),
		cmocka_unit_test(without_permission),
	};

	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strstr(argv[0], "/qemu-storage-daemon"))
		return be_backend(argv);
	if (argc > 1 && strstr(argv[0], "/qemu-system-test"))
		return be_machine(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
