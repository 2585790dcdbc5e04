/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Readers of /proc: on texts, on a tree that lies, and on this very process. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/fd.h"
#include "observe/proc.h"

/* --- texts --- */

static void stat_of_an_evil_name(void **state)
{
	static const char text[] =
		"42 (a) R 1 \33[2J (b) S 7 42 42 0 -1 4194304 1 2 3 4 50 60 0 0 20 0 3 0 "
		"116370 17641472 3579 18446744073709551615 1 1 0 0 0 0 0 16781312 2 0 0 0 17 "
		"1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
	struct vu__procfs_stat st;

	(void)state;
	assert_int_equal(vu__procfs_parse_stat(text, &st), 0);
	assert_int_equal(st.pid, 42);
	assert_int_equal(st.ppid, 7);
	assert_int_equal(st.state, 'S');
	assert_string_equal(st.comm, "a) R 1 ?[2J (b");
	assert_int_equal(st.nthreads, 3);
	assert_int_equal(st.start_time, 116370);
	assert_int_equal(st.cpu_ticks, 110);
	assert_int_equal(st.cpu, 1);
	assert_false(st.kernel);
}

static void stat_cut_anywhere_is_refused(void **state)
{
	static const char text[] = "42 (a b) S 7 42 42 0 -1 2097152 1 2 3 4 50 60 0 0 20 0 3 0 "
				   "116370 1 2 3 1 1 0 0 0 0 0 16781312 2 0 0 0 17 1";
	struct vu__procfs_stat st;
	char cut[sizeof(text)];

	(void)state;
	assert_int_equal(vu__procfs_parse_stat(text, &st), 0);
	assert_true(st.kernel);
	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		memcpy(cut, text, len);
		cut[len] = '\0';
		assert_int_equal(vu__procfs_parse_stat(cut, &st), -EINVAL);
	}
	assert_int_equal(vu__procfs_parse_stat("99999999999999999999 (a) S 1", &st), -EINVAL);
}

static void eventfd_count_is_in_base_16(void **state)
{
	int64_t id;
	uint64_t count;

	(void)state;
	assert_int_equal(vu__procfs_parse_eventfd("pos:\t0\neventfd-count:               1f\n"
						"eventfd-id: 36\neventfd-semaphore: 0\n",
						&id, &count),
			 0);
	assert_int_equal(id, 36);
	assert_int_equal(count, 31);
	assert_int_equal(vu__procfs_parse_eventfd("eventfd-count: fffffffffffffffe\n", &id, &count),
			 0);
	assert_int_equal(id, -1);
	assert_true(count == UINT64_MAX - 1);
	assert_int_equal(vu__procfs_parse_eventfd("eventfd-count: \n", &id, &count), -EINVAL);
	assert_int_equal(vu__procfs_parse_eventfd("eventfd-id: 3\n", &id, &count), -EINVAL);
	assert_int_equal(vu__procfs_parse_eventfd("", &id, &count), -EINVAL);
}

static void epoll_targets(void **state)
{
	static const char text[] = "pos:\t0\nflags:\t02\n"
				   "tfd:        3 events:       19 data:   3  pos:0 ino:40e sdev:10\n"
				   "tfd: 99999999999 events: 19\n"
				   "tfd:       14 events:       19 data:   tfd: 7\n";
	int fds[2] = {-1, -1};

	(void)state;
	assert_int_equal(vu__procfs_parse_epoll(text, fds, 2), 2);
	assert_int_equal(fds[0], 3);
	assert_int_equal(fds[1], 14);
	fds[1] = -1;
	assert_int_equal(vu__procfs_parse_epoll(text, fds, 1), 2);
	assert_int_equal(fds[1], -1);
	assert_int_equal(vu__procfs_parse_epoll("", fds, 2), 0);
}

static void syscalls(void **state)
{
	int32_t nr;
	uint64_t arg[2];

	(void)state;
	assert_int_equal(vu__procfs_parse_syscall("232 0x7 0x55 0x1 0 0 0 0x7ff 0x7f3\n", &nr, arg),
			 0);
	assert_int_equal(nr, 232);
	assert_int_equal(arg[0], 7);
	assert_int_equal(arg[1], 0x55);
	assert_int_equal(vu__procfs_parse_syscall("running\n", &nr, arg), 0);
	assert_int_equal(nr, -1);
	assert_int_equal(vu__procfs_parse_syscall("-1 0x7ff 0x7f3\n", &nr, arg), 0);
	assert_int_equal(nr, -1);
	assert_int_equal(vu__procfs_parse_syscall("232", &nr, arg), -EINVAL);
	assert_int_equal(vu__procfs_parse_syscall("", &nr, arg), -EINVAL);
}

static void links(void **state)
{
	uint64_t inode;

	(void)state;
	assert_int_equal(vu__procfs_parse_link("socket:[123]", &inode), VU__FD_SOCKET);
	assert_int_equal(inode, 123);
	assert_int_equal(vu__procfs_parse_link("socket:[123", &inode), VU__FD_OTHER);
	assert_int_equal(vu__procfs_parse_link("socket:[]", &inode), VU__FD_OTHER);
	assert_int_equal(vu__procfs_parse_link("anon_inode:[eventfd]", &inode), VU__FD_EVENTFD);
	assert_int_equal(vu__procfs_parse_link("anon_inode:kvm-vm", &inode), VU__FD_KVM_VM);
	assert_int_equal(vu__procfs_parse_link("anon_inode:kvm-vcpu:3", &inode), VU__FD_KVM_VCPU);
	assert_int_equal(vu__procfs_parse_link("/memfd:ram (deleted)", &inode), VU__FD_FILE);
	assert_int_equal(vu__procfs_parse_link("pipe:[77]", &inode), VU__FD_OTHER);
	assert_int_equal(inode, 0);
}

static void unix_lines(void **state)
{
	struct vu__unix_sock s;
	char line[400];

	(void)state;
	assert_int_equal(vu__procfs_parse_unix("000000004a38830e: 00000002 00000000 00010000 0001 "
					     "01 1001263 /tmp/a b.sock",
					     &s),
			 0);
	assert_int_equal(s.inode, 1001263);
	assert_true(s.listening && s.stream && !s.connected);
	assert_string_equal(s.path, "/tmp/a b.sock");
	assert_int_equal(vu__procfs_parse_unix("00000000299049ec: 00000003 00000000 00000000 0005 "
					     "03  1147",
					     &s),
			 0);
	assert_true(!s.listening && !s.stream && s.connected);
	assert_string_equal(s.path, "");
	assert_int_equal(vu__procfs_parse_unix("Num       RefCount Protocol Flags    Type St Inode",
					     &s),
			 -EINVAL);
	assert_int_equal(vu__procfs_parse_unix("b.sock", &s), -EINVAL);
	assert_int_equal(vu__procfs_parse_unix("", &s), -EINVAL);
	/* Longer than a path can be. */
	snprintf(line, sizeof(line), "0: 2 0 10000 0001 01 1 /%0200d", 0);
	assert_int_equal(vu__procfs_parse_unix(line, &s), 0);
	assert_string_equal(s.path, "");
}

static void command_lines(void **state)
{
	static const char cmd[] = "qemu\0-name\0guest=a,,b,debug-threads=on\0-qmp\0unix:/q,server"
				  "\0--qmp=unix:/r\0-chardev\0socket,id=c,path=/s\0-name";
	char out[16];

	(void)state;
	assert_string_equal(vu__procfs_option(cmd, sizeof(cmd), "name", 0),
			    "guest=a,,b,debug-threads=on");
	assert_null(vu__procfs_option(cmd, sizeof(cmd), "name", 1));
	assert_string_equal(vu__procfs_option(cmd, sizeof(cmd), "qmp", 0), "unix:/q,server");
	assert_string_equal(vu__procfs_option(cmd, sizeof(cmd), "qmp", 1), "unix:/r");
	assert_null(vu__procfs_option(cmd, sizeof(cmd), "qm", 0));
	/* Cut in the middle of the argument. */
	assert_null(vu__procfs_option(cmd, 20, "name", 0));
	assert_null(vu__procfs_option(cmd, 0, "name", 0));

	assert_true(vu__procfs_suboption("guest=a,,b,debug-threads=on", "guest", out, 16));
	assert_string_equal(out, "a,b");
	assert_true(vu__procfs_suboption("guest=a,,b,debug-threads=on", "debug-threads", out, 16));
	assert_string_equal(out, "on");
	assert_false(vu__procfs_suboption("guest=a,,id=b", "id", out, 16));
	assert_true(vu__procfs_suboption("vm1,process=x", NULL, out, 16));
	assert_string_equal(out, "vm1");
	assert_false(vu__procfs_suboption("guest=a", NULL, out, 16));
	assert_true(vu__procfs_suboption("a=,b=1", "a", out, 16));
	assert_string_equal(out, "");
	assert_false(vu__procfs_suboption("a=0123456789abcdef", "a", out, 16));
	assert_false(vu__procfs_suboption("", "a", out, 16));
}

/* --- a tree that looks like /proc --- */

static void write_file(const char *root, const char *path, const char *text)
{
	char full[300], *slash;
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void make_link(const char *root, const char *path, const char *to)
{
	char full[300];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	assert_int_equal(symlink(to, full), 0);
}

static void remove_tree(const char *root)
{
	char cmd[300];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", root);
	assert_int_equal(system(cmd), 0);
}

static void fake_tree(void **state)
{
	char root[] = "/tmp/vu-obs-XXXXXX";
	struct vu__unix_table t;
	struct vu__procfs_fds f;
	struct vu__procfs p;
	pid_t *pids;

	(void)state;
	assert_non_null(mkdtemp(root));
	write_file(root, "7/fd/none", "");
	make_link(root, "7/fd/0", "/dev/null");
	make_link(root, "7/fd/12", "anon_inode:[eventfd]");
	make_link(root, "7/fd/9", "socket:[55]");
	make_link(root, "7/fd/13", "anon_inode:[eventfd]");
	write_file(root, "7/fdinfo/12", "eventfd-count: a\neventfd-id: 3\n");
	write_file(root, "7/fdinfo/13", "nothing of the kind\n");
	write_file(root, "7/stat", "7 (x");
	write_file(root, "self", "");
	write_file(root, "123abc", "");
	write_file(root, "net/unix",
		   "Num\n0: 2 0 10000 1 01 55 /a\n"
		   "1: 2 0 10000 1 01 60 /evil\n2: 2 0 10000 1 01 61 /b\n"
		   "3: 2 0 10000 1 01 61 /c\n");
	assert_int_equal(vu__procfs_open(&p, root), 0);
	assert_int_equal(vu__procfs_pids(&p, &pids), 1);
	assert_int_equal(pids[0], 7);
	free(pids);
	assert_int_equal(vu__procfs_fds(&p, 7, ~0u, &f), 0);
	assert_int_equal(f.n, 4);
	assert_int_equal(f.fds[1].inode, 55);
	assert_int_equal(f.fds[2].event, 3);
	assert_int_equal(f.fds[2].count, 10);
	assert_int_equal(f.fds[3].event, -1);
	vu__procfs_fds_release(&f);
	assert_int_equal(vu__procfs_fds(&p, 7, VU_BIT(VU__FD_SOCKET), &f), 0);
	assert_int_equal(f.n, 1);
	vu__procfs_fds_release(&f);
	assert_int_equal(vu__procfs_fds(&p, 8, ~0u, &f), -ENOENT);
	assert_false(vu__procfs_is(&p, 7, 1));
	assert_int_equal(vu__unix_table(&p, 0, &t), 0);
	assert_int_equal(t.n, 2);
	assert_string_equal(vu__unix_find(&t, 55)->s.path, "/a");
	/* Named twice, by whoever could: not believed. */
	assert_null(vu__unix_find(&t, 61));
	vu__unix_release(&t);
	assert_int_equal(vu__unix_table(&p, 7, &t), -ENOENT);
	vu__procfs_close(&p);
	remove_tree(root);
	assert_int_equal(vu__procfs_open(&p, root), -ENOENT);
}

/* --- the real one --- */

static void own_fds(void **state)
{
	int event = eventfd(5, 0), ep = epoll_create1(0), ram = memfd_create("ram", 0), sv[2];
	struct epoll_event ev = {.events = EPOLLIN};
	int64_t id = -1;
	uint64_t count = 0;
	struct vu__procfs p;
	struct vu__procfs_fds f;
	unsigned int found = 0;
	int watched[4];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, event, &ev), 0);
	assert_int_equal(vu__procfs_open(&p, NULL), 0);
	assert_int_equal(vu__procfs_eventfd(&p, getpid(), event, &id, &count), 0);
	assert_int_equal(count, 5);
	assert_true(id >= 0);
	assert_int_equal(vu__procfs_eventfd(&p, getpid(), ram, &id, &count), -EINVAL);
	assert_int_equal(vu__procfs_epoll(&p, getpid(), ep, watched, 4), 1);
	assert_int_equal(watched[0], event);
	assert_int_equal(vu__procfs_fds(&p, getpid(), ~0u, &f), 0);
	for (size_t i = 0; i < f.n; i++) {
		found += f.fds[i].fd == event && f.fds[i].kind == VU__FD_EVENTFD;
		found += f.fds[i].fd == ep && f.fds[i].kind == VU__FD_EPOLL;
		found += f.fds[i].fd == ram && f.fds[i].kind == VU__FD_FILE;
		found += f.fds[i].fd == sv[0] && f.fds[i].kind == VU__FD_SOCKET;
	}
	assert_int_equal(found, 4);
	vu__procfs_fds_release(&f);
	vu__procfs_close(&p);
	close(event);
	close(ep);
	close(ram);
	close(sv[0]);
	close(sv[1]);
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/* The path has a line that says that inode 1 listens at /forged. */
static void own_sockets(void **state)
{
	struct sockaddr_un a = {AF_UNIX, ""};
	const struct vu__unix_entry *e;
	struct vu__unix_table t;
	struct vu__procfs p;
	int sv[2], l = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/vu-%d\n0: 2 0 10000 1 01 1 \\forged",
		 getpid());
	unlink(a.sun_path);
	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(vu__procfs_open(&p, NULL), 0);
	assert_int_equal(vu__unix_table(&p, 0, &t), 0);
	e = vu__unix_find(&t, inode_of(sv[0]));
	assert_non_null(e);
	assert_true(e->s.connected && e->s.stream);
	assert_true(t.peers);
	assert_int_equal(e->peer, inode_of(sv[1]));
	e = vu__unix_find(&t, inode_of(l));
	assert_non_null(e);
	assert_true(e->s.listening);
	assert_string_equal(e->s.path, a.sun_path);
	assert_null(vu__unix_find(&t, 1));
	vu__unix_release(&t);
	/* As text it is no better than the text. */
	assert_int_equal(vu__unix_table(&p, getpid(), &t), 0);
	assert_false(t.peers);
	assert_non_null(vu__unix_find(&t, inode_of(sv[0])));
	vu__unix_release(&t);
	assert_int_equal(vu__procfs_peer(getpid(), sv[0]), getpid());
	assert_int_equal(vu__procfs_peer(getpid(), 9999), -EBADF);
	vu__procfs_close(&p);
	close(l);
	close(sv[0]);
	close(sv[1]);
	unlink(a.sun_path);
}

/* A child that is put into a state, tells, and stays in it. */
static pid_t child(void (*body)(int ready), int *ready)
{
	int fd = eventfd(0, 0);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		body(fd);
		_exit(1);
	}
	*ready = fd;
	return pid;
}

static void wait_state(const struct vu__procfs *p, pid_t pid, char state, int32_t nr)
{
	int64_t deadline = vu__now_ms() + 5000;
	struct vu__obs_worker w;

	do {
		if (!vu__procfs_worker(p, pid, pid, &w) && w.state == state &&
		    (nr == -2 || w.syscall == nr))
			return;
		usleep(1000);
	} while (vu__now_ms() < deadline);
	fail_msg("the child is in state %c, call %d", w.state, w.syscall);
}

static void sleep_in_epoll(int ready)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int ep = epoll_create1(0);

	dup2(ep, 100);
	ev.data.fd = ready;
	epoll_ctl(100, EPOLL_CTL_ADD, ready, &ev);
	epoll_wait(100, &ev, 1, -1);
}

static void sleep_in_poll(int ready)
{
	struct pollfd p[3] = {{.fd = -1}, {.fd = ready, .events = POLLIN}, {.fd = 100}};

	dup2(ready, 100);
	poll(p, 3, -1);
}

static void sleep_in_nothing(int ready)
{
	(void)ready;
	for (;;)
		sleep(1000);
}

static void sleep_in_read(int ready)
{
	uint64_t value;

	if (read(ready, &value, sizeof(value)) < 0)
		_exit(2);
}

static void run(int ready)
{
	(void)ready;
	for (;;)
		__asm__ volatile("");
}

static void end(pid_t pid, int fd)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(fd);
}

static void workers(void **state)
{
	struct vu__obs_worker w;
	struct vu__procfs p;
	pid_t pid;
	int fd;

	(void)state;
	assert_int_equal(vu__procfs_open(&p, NULL), 0);

	pid = child(sleep_in_epoll, &fd);
	wait_state(&p, pid, 'S', SYS_epoll_wait);
	assert_int_equal(vu__procfs_worker(&p, pid, pid, &w), 0);
	assert_int_equal(w.waits, VU__OBS_YES);
	assert_int_equal(w.arg0, 100);
	vu__procfs_worker_watches(&p, pid, fd, &w);
	assert_int_equal(w.watches, VU__OBS_YES);
	vu__procfs_worker_watches(&p, pid, fd + 1, &w);
	assert_int_equal(w.watches, VU__OBS_NO);
	vu__procfs_worker_watches(&p, pid, -1, &w);
	assert_int_equal(w.watches, VU__OBS_MAYBE);
	kill(pid, SIGSTOP);
	wait_state(&p, pid, 'T', -2);
	assert_int_equal(vu__procfs_worker(&p, pid, pid, &w), 0);
	assert_int_equal(w.waits, VU__OBS_NO);
	end(pid, fd);
	assert_true(vu__procfs_worker(&p, pid, pid, &w) < 0);

	pid = child(sleep_in_poll, &fd);
	wait_state(&p, pid, 'S', SYS_poll);
	assert_int_equal(vu__procfs_worker(&p, pid, pid, &w), 0);
	assert_int_equal(w.waits, VU__OBS_YES);
	vu__procfs_worker_watches(&p, pid, fd, &w);
	assert_int_equal(w.watches, VU__OBS_YES);
	/* It is in the set, but for no event of interest. */
	vu__procfs_worker_watches(&p, pid, 100, &w);
	assert_int_equal(w.watches, VU__OBS_NO);
	end(pid, fd);

	pid = child(sleep_in_nothing, &fd);
	wait_state(&p, pid, 'S', SYS_clock_nanosleep);
	assert_int_equal(vu__procfs_worker(&p, pid, pid, &w), 0);
	assert_int_equal(w.waits, VU__OBS_NO);
	end(pid, fd);

	pid = child(sleep_in_read, &fd);
	wait_state(&p, pid, 'S', SYS_read);
	assert_int_equal(vu__procfs_worker(&p, pid, pid, &w), 0);
	vu__procfs_worker_watches(&p, pid, fd + 1, &w);
	assert_int_not_equal(w.watches, VU__OBS_YES);
	vu__procfs_worker_watches(&p, pid, fd, &w);
	assert_int_equal(w.watches, VU__OBS_YES);
	assert_int_equal(w.waits, VU__OBS_YES);
	end(pid, fd);

	pid = child(run, &fd);
	wait_state(&p, pid, 'R', -1);
	assert_int_equal(vu__procfs_worker(&p, pid, pid, &w), 0);
	assert_int_equal(w.waits, VU__OBS_NO);
	end(pid, fd);
	vu__procfs_close(&p);
}

static unsigned int open_files(void)
{
	unsigned int n = 0;

	for (int i = 0; i < 200; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

/* Each reading is of now, also when the file it is read from is not opened anew. */
static void kept_files(void **state)
{
	int event = eventfd(5, EFD_NONBLOCK), fd;
	struct vu__procfs_stat st;
	struct vu__procfs p;
	unsigned int before;
	uint64_t count, one = 1;
	int64_t id;
	pid_t pid;

	(void)state;
	assert_int_equal(vu__procfs_open(&p, NULL), 0);
	p.kept = vu__kept_new();
	assert_non_null(p.kept);
	before = open_files();
	pid = child(run, &fd);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(vu__procfs_eventfd(&p, getpid(), event, &id, &count), 0);
		assert_int_equal(count, 5 + i);
		assert_int_equal(write(event, &one, sizeof(one)), sizeof(one));
		assert_int_equal(vu__procfs_stat(&p, pid, 0, &st), 0);
		assert_int_equal(vu__procfs_stat(&p, pid, pid, &st), 0);
		assert_int_equal(open_files(), before + 1 + 3);
		vu__kept_turn(p.kept);
	}
	/* The number is another file's. */
	close(event);
	assert_int_equal(open("/dev/null", O_RDONLY | O_CLOEXEC), event);
	assert_int_equal(vu__procfs_eventfd(&p, getpid(), event, &id, &count), -EINVAL);
	close(event);
	assert_int_equal(vu__procfs_eventfd(&p, getpid(), event, &id, &count), -ENOENT);
	assert_int_equal(eventfd(77, 0), event);
	assert_int_equal(vu__procfs_eventfd(&p, getpid(), event, &id, &count), 0);
	assert_int_equal(count, 77);
	assert_int_equal(vu__procfs_stat(&p, pid, 0, &st), 0);
	end(pid, fd);
	assert_true(vu__procfs_stat(&p, pid, 0, &st) < 0);
	/* What is not read any more is closed. */
	vu__kept_turn(p.kept);
	vu__kept_turn(p.kept);
	assert_int_equal(open_files(), before);
	for (unsigned int i = 0; i < 300; i++)
		assert_true(vu__kept_read(p.kept, p.dir, VU__PROC_FDINFO, getpid(), i % 3,
					  (char[500]){0}, 500) > 0);
	assert_int_equal(open_files(), before + 3);
	close(event);
	vu__procfs_close(&p);
	assert_int_equal(open_files(), before - 2);
}

/* Of many files, half as many as may be open are kept; all are read. */
static void too_many_to_keep(void **state)
{
	struct rlimit was, few = {40, 0};
	struct vu__procfs p;
	int events[25];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	few.rlim_max = was.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(vu__procfs_open(&p, NULL), 0);
	p.kept = vu__kept_new();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	for (unsigned int i = 0; i < 25; i++)
		events[i] = eventfd(i, 0);
	for (unsigned int turn = 0; turn < 2; turn++) {
		unsigned int before = turn ? 0 : open_files();

		for (unsigned int i = 0; i < 25; i++) {
			uint64_t count;
			int64_t id;

			assert_int_equal(vu__procfs_eventfd(&p, getpid(), events[i], &id, &count),
					 0);
			assert_int_equal(count, i);
		}
		assert_true(turn || open_files() == before + 20);
		vu__kept_turn(p.kept);
	}
	/* Of those that are kept, every other one is read no more. */
	for (unsigned int turn = 0; turn < 3; turn++) {
		for (unsigned int i = turn == 1; i < 25; i += turn == 2 ? 1 : 2) {
			uint64_t count;
			int64_t id;

			assert_int_equal(vu__procfs_eventfd(&p, getpid(), events[i], &id, &count),
					 0);
			assert_int_equal(count, i);
		}
		vu__kept_turn(p.kept);
	}
	for (unsigned int i = 0; i < 25; i++)
		close(events[i]);
	vu__procfs_close(&p);
}

static void processes_come_and_go(void **state)
{
	struct vu__procfs_stat st, again;
	struct vu__procfs p;
	ssize_t n;
	pid_t *pids, pid;
	bool found = false;
	char cmd[256];
	uid_t uid;
	int fd;

	(void)state;
	assert_int_equal(vu__procfs_open(&p, NULL), 0);
	pid = child(sleep_in_nothing, &fd);
	n = vu__procfs_pids(&p, &pids);
	assert_true(n > 0);
	for (ssize_t i = 0; i < n; i++) {
		found = found || pids[i] == pid;
		assert_true(i == 0 || pids[i - 1] < pids[i]);
	}
	free(pids);
	assert_true(found);
	assert_int_equal(vu__procfs_stat(&p, pid, 0, &st), 0);
	assert_true(vu__procfs_is(&p, pid, st.start_time));
	assert_false(vu__procfs_is(&p, pid, st.start_time + 1));
	assert_int_equal(vu__procfs_uid(&p, pid, &uid), 0);
	assert_int_equal(uid, getuid());
	assert_true(vu__procfs_cmdline(&p, pid, cmd, sizeof(cmd)) > 0);
	assert_non_null(strstr(cmd, "test_obs_proc"));
	kill(pid, SIGKILL);
	wait_state(&p, pid, 'Z', -2);
	assert_int_equal(vu__procfs_stat(&p, pid, 0, &again), 0);
	assert_false(vu__procfs_is(&p, pid, st.start_time));
	end(pid, fd);
	assert_true(vu__procfs_stat(&p, pid, 0, &st) < 0);
	vu__procfs_close(&p);
}

/* Somebody else's: names can be seen, fds cannot. */
static void not_permitted(void **state)
{
	struct vu__obs_worker w;
	struct vu__procfs_fds f;
	struct vu__procfs p;
	pid_t target, looker;
	int fd, status;

	(void)state;
	if (getuid() != 0)
		skip();
	assert_int_equal(vu__procfs_open(&p, NULL), 0);
	target = child(sleep_in_epoll, &fd);
	wait_state(&p, target, 'S', SYS_epoll_wait);
	looker = fork();
	if (looker == 0) {
		if (setgid(12345) || setuid(12345))
			_exit(2);
		if (vu__procfs_fds(&p, target, ~0u, &f) != -EACCES)
			_exit(3);
		if (vu__procfs_worker(&p, target, target, &w) || w.state != 'S' ||
		    w.syscall != -2 || w.waits == VU__OBS_NO)
			_exit(4);
		_exit(0);
	}
	assert_int_equal(waitpid(looker, &status, 0), looker);
	assert_int_equal(WEXITSTATUS(status), 0);
	end(target, fd);
	vu__procfs_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_of_an_evil_name),
		cmocka_unit_test(stat_cut_anywhere_is_refused),
		cmocka_unit_test(eventfd_count_is_in_base_16),
		cmocka_unit_test(epoll_targets),
		cmocka_unit_test(syscalls),
		cmocka_unit_test(links),
		cmocka_unit_test(unix_lines),
		cmocka_unit_test(command_lines),
		cmocka_unit_test(fake_tree),
		cmocka_unit_test(own_fds),
		cmocka_unit_test(own_sockets),
		cmocka_unit_test(workers),
		cmocka_unit_test(processes_come_and_go),
		cmocka_unit_test(kept_files),
		cmocka_unit_test(too_many_to_keep),
		cmocka_unit_test(not_permitted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
