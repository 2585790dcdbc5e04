/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What command lines and names of programs and files tell. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "observe/find.h"

static void kinds(void **state)
{
	static const char vdev[] = "l3fwd\0--vdev\0eth_af0\0";
	static const char vhost[] = "myapp\0--vdev\0net_vhost0,iface=/tmp/x\0";

	(void)state;
	assert_int_equal(vu__find_kind("/usr/bin/qemu-system-x86_64", "", 0), VU__OBS_KIND_QEMU);
	assert_int_equal(vu__find_kind("/usr/libexec/qemu-kvm", "", 0), VU__OBS_KIND_QEMU);
	assert_int_equal(vu__find_kind("qemu-storage-daemon", "", 0), VU__OBS_KIND_QSD);
	assert_int_equal(vu__find_kind("/usr/bin/dpdk-testpmd", "", 0), VU__OBS_KIND_DPDK);
	assert_int_equal(vu__find_kind("/opt/spdk/bin/vhost", "", 0), VU__OBS_KIND_SPDK);
	assert_int_equal(vu__find_kind("/usr/libexec/virtiofsd", "", 0),
			 VU__OBS_KIND_VIRTIOFSD);
	assert_int_equal(vu__find_kind("/bin/sh", "", 0), VU__OBS_KIND_OTHER);
	assert_int_equal(vu__find_kind("", "", 0), VU__OBS_KIND_OTHER);
	assert_int_equal(vu__find_kind("/l3fwd", vdev, sizeof(vdev)), VU__OBS_KIND_OTHER);
	assert_int_equal(vu__find_kind("/myapp", vhost, sizeof(vhost)), VU__OBS_KIND_DPDK);
}

/* As libvirt starts it. */
static const char libvirt[] =
	"/usr/bin/qemu-system-x86_64\0-name\0guest=web1,debug-threads=on\0-S\0"
	"-chardev\0socket,id=charmonitor,fd=25,server=on,wait=off\0"
	"-mon\0chardev=charmonitor,id=monitor,mode=control\0"
	"-chardev\0socket,id=chrvhost0,path=/var/run/vhost/disk,,0\0"
	"-netdev\0vhost-user,chardev=charnet0,id=hostnet0\0"
	"-chardev\0socket,id=charnet0,path=/run/ovs/vhu0,server=on\0"
	"-netdev\0tap,id=hostnet1,vhost=on,chardev=charnet0\0"
	"-chardev\0pty,id=p,path=/dev/x";

/* By hand. */
static const char by_hand[] =
	"qemu-system-x86_64\0-name\0vm 2,process=x\0-mon\0chardev=hmp\0-chardev\0"
	"socket,id=hmp,path=/hmp\0-qmp\0tcp:localhost:4444,server\0"
	"-qmp\0unix:rel.sock,server=on,wait=off\0--qmp-pretty\0unix:/abs,server=on\0"
	"-mon\0m1,mode=control\0-chardev\0socket,path=/m1,id=m1,server=on";

static void machines(void **state)
{
	char out[64];
	int fd;

	(void)state;
	vu__find_vm_name(libvirt, sizeof(libvirt), out, sizeof(out));
	assert_string_equal(out, "web1");
	vu__find_vm_name(by_hand, sizeof(by_hand), out, sizeof(out));
	assert_string_equal(out, "vm 2");
	vu__find_vm_name("x", 2, out, sizeof(out));
	assert_string_equal(out, "");

	assert_true(vu__find_monitor(libvirt, sizeof(libvirt), 0, out, sizeof(out), &fd));
	assert_string_equal(out, "");
	assert_int_equal(fd, 25);
	assert_false(vu__find_monitor(libvirt, sizeof(libvirt), 1, out, sizeof(out), &fd));

	assert_true(vu__find_monitor(by_hand, sizeof(by_hand), 0, out, sizeof(out), &fd));
	assert_string_equal(out, "rel.sock");
	assert_int_equal(fd, -1);
	assert_true(vu__find_monitor(by_hand, sizeof(by_hand), 1, out, sizeof(out), &fd));
	assert_string_equal(out, "/abs");
	assert_true(vu__find_monitor(by_hand, sizeof(by_hand), 2, out, sizeof(out), &fd));
	assert_string_equal(out, "/m1");
	/* Not the one for people. */
	assert_false(vu__find_monitor(by_hand, sizeof(by_hand), 3, out, sizeof(out), &fd));
}

static void character_devices(void **state)
{
	const size_t len = sizeof(libvirt);
	char out[64];

	(void)state;
	assert_true(vu__find_chardev_path(libvirt, len, "chrvhost0", out, sizeof(out)));
	assert_string_equal(out, "/var/run/vhost/disk,0");
	assert_false(vu__find_chardev_path(libvirt, len, "chrvhost", out, sizeof(out)));
	assert_false(vu__find_chardev_path(libvirt, len, "charmonitor", out, sizeof(out)));
	assert_false(vu__find_chardev_path(libvirt, len, "p", out, sizeof(out)));
	assert_true(vu__find_netdev_chardev(libvirt, len, "hostnet0", out, sizeof(out)));
	assert_string_equal(out, "charnet0");
	assert_false(vu__find_netdev_chardev(libvirt, len, "hostnet1", out, sizeof(out)));
}

static void paths(void **state)
{
	(void)state;
	assert_true(vu__find_same_path("/a/b", "/a/b"));
	assert_false(vu__find_same_path("/a/b", "/c/b"));
	assert_true(vu__find_same_path("b", "/c/b"));
	assert_true(vu__find_same_path("/c/b", "x/b"));
	assert_false(vu__find_same_path("/c/b", "x/bb"));
	assert_false(vu__find_same_path("", ""));
}

static void offers(void **state)
{
	static const char qsd[] = "qemu-storage-daemon\0--nbd-server\0addr.path=/n\0--export\0"
				  "type=vhost-user-blk,id=e,addr.path=/run/d.sock\0";
	static const char pmd[] = "testpmd\0--vdev\0net_vhost0,iface=/run/n0,queues=1\0";
	static const char fs[] = "virtiofsd\0--socket-path=/run/fs\0";

	(void)state;
	assert_true(vu__find_offers(VU__OBS_KIND_QSD, qsd, sizeof(qsd), "/run/d.sock"));
	assert_false(vu__find_offers(VU__OBS_KIND_QSD, qsd, sizeof(qsd), "/n/x.sock"));
	assert_true(vu__find_offers(VU__OBS_KIND_DPDK, pmd, sizeof(pmd), "/run/n0"));
	assert_false(vu__find_offers(VU__OBS_KIND_DPDK, pmd, sizeof(pmd), "/run/dpdk.sock"));
	assert_true(vu__find_offers(VU__OBS_KIND_VIRTIOFSD, fs, sizeof(fs), "/run/fs"));
	assert_false(vu__find_offers(VU__OBS_KIND_QEMU, fs, sizeof(fs), "/run/fs"));
	assert_false(vu__find_offers(VU__OBS_KIND_VIRTIOFSD, "x", 2, "/run/fs"));
}

static void segments(void **state)
{
	static const char *const names[] = {
		"12-1.telemetry", "12-0.telemetry", "7-10.telemetry", "7-0.control",
		"012-0.telemetry", "-1-0.telemetry", "1-0.telemetryx", "x", "1--1.telemetry",
		" 1-0.telemetry", "99999999999-0.telemetry"};
	char dir[] = "/tmp/vu-segments-XXXXXX", path[100], cmd[100];
	struct vu__found_segment *s;

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < VU_ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	assert_int_equal(vu__find_segments(dir, &s), 3);
	assert_int_equal(s[0].pid, 7);
	assert_int_equal(s[0].number, 10);
	assert_int_equal(s[1].pid, 12);
	assert_int_equal(s[1].number, 0);
	assert_int_equal(s[2].number, 1);
	assert_string_equal(s[2].name, "12-1.telemetry");
	assert_string_equal(s[2].dir, dir);
	free(s);
	setenv("LIBVU_RUN_DIR", dir, 1);
	assert_int_equal(vu__find_segments(NULL, &s), 3);
	free(s);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(vu__find_segments(NULL, &s), -ENOENT);
	assert_null(s);
	unsetenv("LIBVU_RUN_DIR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),	     cmocka_unit_test(machines),
		cmocka_unit_test(character_devices), cmocka_unit_test(paths),
		cmocka_unit_test(offers),	     cmocka_unit_test(segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
