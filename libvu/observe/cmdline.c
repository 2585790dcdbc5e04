/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What programs and their command lines tell.  Pure; any thread. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "observe/find.h"

static bool starts_with(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

enum vu__obs_kind vu__find_kind(const char *exe, const char *cmdline, size_t len)
{
	static const struct {
		const char *name;
		enum vu__obs_kind kind;
	} names[] = {
		{"qemu-storage-daemon", VU__OBS_KIND_QSD},
		{"qemu-system-", VU__OBS_KIND_QEMU},
		{"qemu-kvm", VU__OBS_KIND_QEMU},
		{"cloud-hypervisor", VU__OBS_KIND_CLOUD_HYPERVISOR},
		{"crosvm", VU__OBS_KIND_CROSVM},
		{"virtiofsd", VU__OBS_KIND_VIRTIOFSD},
		{"spdk_tgt", VU__OBS_KIND_SPDK},
		{"vhost", VU__OBS_KIND_SPDK},
		{"dpdk-", VU__OBS_KIND_DPDK},
		{"testpmd", VU__OBS_KIND_DPDK},
		{"ovs-vswitchd", VU__OBS_KIND_DPDK},
		{"vpp", VU__OBS_KIND_DPDK},
	};
	const char *base = strrchr(exe, '/');

	base = base ? base + 1 : exe;
	for (size_t i = 0; i < VU_ARRAY_SIZE(names); i++) {
		if (starts_with(base, names[i].name))
			return names[i].kind;
	}
	/* Programs on DPDK have any name, but its arguments. */
	if (vu__procfs_option(cmdline, len, "vdev", 0) &&
	    strstr(vu__procfs_option(cmdline, len, "vdev", 0), "net_vhost"))
		return VU__OBS_KIND_DPDK;
	return VU__OBS_KIND_OTHER;
}

void vu__find_vm_name(const char *cmdline, size_t len, char *out, size_t size)
{
	const char *arg = vu__procfs_option(cmdline, len, "name", 0);
	char name[128];

	out[0] = '\0';
	if (arg && (vu__procfs_suboption(arg, "guest", name, sizeof(name)) ||
		    vu__procfs_suboption(arg, NULL, name, sizeof(name))))
		vu__procfs_copy_text(out, size, name, strlen(name));
}

/* --- character devices --- */

/* The @nth argument of @option whose id is @id. */
static const char *with_id(const char *cmdline, size_t len, const char *option,
			   const char *id)
{
	const char *arg;
	char got[64];

	for (unsigned int i = 0; (arg = vu__procfs_option(cmdline, len, option, i));
	     i++) {
		if (vu__procfs_suboption(arg, "id", got, sizeof(got)) && !strcmp(got, id))
			return arg;
	}
	return NULL;
}

bool vu__find_chardev_path(const char *cmdline, size_t len, const char *id, char *out,
			   size_t size)
{
	const char *arg = with_id(cmdline, len, "chardev", id);

	return arg && starts_with(arg, "socket,") &&
	       vu__procfs_suboption(arg, "path", out, size);
}

bool vu__find_netdev_chardev(const char *cmdline, size_t len, const char *netdev,
			     char *out, size_t size)
{
	const char *arg = with_id(cmdline, len, "netdev", netdev);

	return arg &&
	       (starts_with(arg, "vhost-user,") || strstr(arg, "type=vhost-user")) &&
	       vu__procfs_suboption(arg, "chardev", out, size);
}

/* --- monitors --- */

static bool take_fd(const char *arg, int *fd)
{
	char text[16], *end;
	long value;

	if (!vu__procfs_suboption(arg, "fd", text, sizeof(text)))
		return false;
	value = strtol(text, &end, 10);
	if (*end || end == text || value < 0 || value > INT_MAX)
		return false;
	*fd = value;
	return true;
}

/* -qmp unix:PATH,server=on,... */
static bool short_monitor(const char *arg, char *out, size_t size)
{
	return starts_with(arg, "unix:") &&
	       vu__procfs_suboption(arg + strlen("unix:"), NULL, out, size);
}

/* -mon chardev=ID,mode=control */
static bool long_monitor(const char *cmdline, size_t len, const char *mon, char *out,
			 size_t size, int *fd)
{
	const char *arg;
	char word[64];

	if (!vu__procfs_suboption(mon, "mode", word, sizeof(word)) ||
	    strcmp(word, "control"))
		return false;
	if (!vu__procfs_suboption(mon, "chardev", word, sizeof(word)) &&
	    !vu__procfs_suboption(mon, NULL, word, sizeof(word)))
		return false;
	arg = with_id(cmdline, len, "chardev", word);
	if (!arg || !starts_with(arg, "socket,"))
		return false;
	return vu__procfs_suboption(arg, "path", out, size) || take_fd(arg, fd);
}

bool vu__find_monitor(const char *cmdline, size_t len, unsigned int nth, char *out,
		      size_t size, int *fd)
{
	static const char *const shorts[] = {"qmp", "qmp-pretty"};
	const char *arg;

	*fd = -1;
	out[0] = '\0';
	for (size_t s = 0; s < VU_ARRAY_SIZE(shorts); s++) {
		for (unsigned int i = 0;
		     (arg = vu__procfs_option(cmdline, len, shorts[s], i)); i++) {
			if (short_monitor(arg, out, size) && nth-- == 0)
				return true;
		}
	}
	for (unsigned int i = 0; (arg = vu__procfs_option(cmdline, len, "mon", i)); i++) {
		*fd = -1;
		out[0] = '\0';
		if (long_monitor(cmdline, len, arg, out, size, fd) && nth-- == 0)
			return true;
	}
	out[0] = '\0';
	*fd = -1;
	return false;
}

/* --- back-ends --- */

/* An argument has @word in it, and then the path. */
static bool argument_has(const char *cmdline, size_t len, const char *word,
			 const char *path)
{
	for (const char *s = cmdline; s < cmdline + len; s += strlen(s) + 1) {
		const char *at = strstr(s, word);

		if (at && strstr(at, path))
			return true;
	}
	return false;
}

bool vu__find_offers(enum vu__obs_kind kind, const char *cmdline, size_t len,
		     const char *path)
{
	const char *base = strrchr(path, '/'), *arg;

	base = base ? base + 1 : path;
	switch (kind) {
	case VU__OBS_KIND_QSD:
		return argument_has(cmdline, len, "vhost-user", base);
	case VU__OBS_KIND_DPDK:
		return argument_has(cmdline, len, "iface=", base);
	case VU__OBS_KIND_VIRTIOFSD:
		arg = vu__procfs_option(cmdline, len, "socket-path", 0);
		return arg && vu__find_same_path(arg, path);
	case VU__OBS_KIND_SPDK:
		/* Controllers are made by RPC, whose own socket is named so. */
		return !strstr(base, "spdk") && !strstr(base, "rpc");
	default:
		return false;
	}
}

bool vu__find_same_path(const char *a, const char *b)
{
	const char *base_a = strrchr(a, '/'), *base_b = strrchr(b, '/');

	if (!*a || !*b)
		return false;
	if (*a == '/' && *b == '/')
		return !strcmp(a, b);
	/* One is relative, to a folder that has its own names. */
	return !strcmp(base_a ? base_a + 1 : a, base_b ? base_b + 1 : b);
}
