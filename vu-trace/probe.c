/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tries what the kernel lets be attached.  Leaves nothing behind.  The main thread. */
#include "probe.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/util.h"

/* --- types --- */

struct kernel_types {
	struct btf *vmlinux;
	struct btf *kvm; /* of the module; NULL if KVM is none */
};

struct kernel_types *kernel_types_new(void)
{
	struct kernel_types *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->vmlinux = btf__load_vmlinux_btf();
	if (!t->vmlinux) {
		free(t);
		return NULL;
	}
	if (!access("/sys/kernel/btf/kvm", R_OK))
		t->kvm = btf__load_module_btf("kvm", t->vmlinux);
	return t;
}

void kernel_types_free(struct kernel_types *t)
{
	if (!t)
		return;
	btf__free(t->kvm);
	btf__free(t->vmlinux);
	free(t);
}

int kernel_function_params(const struct kernel_types *t, const char *name)
{
	int id = btf__find_by_name_kind(t->vmlinux, name, BTF_KIND_FUNC);
	const struct btf_type *f;

	if (id < 0)
		return -1;
	f = btf__type_by_id(t->vmlinux, id);
	f = f ? btf__type_by_id(t->vmlinux, f->type) : NULL;
	return f ? (int)btf_vlen(f) : -1;
}

/* The prototype behind "btf_trace_NAME", a typedef of a pointer to a function. */
static const struct btf_type *tracepoint_proto(const struct btf *btf, const char *name)
{
	const struct btf_type *t;
	char full[128];
	int id;

	snprintf(full, sizeof(full), "btf_trace_%s", name);
	id = btf__find_by_name_kind(btf, full, BTF_KIND_TYPEDEF);
	if (id < 0)
		return NULL;
	t = btf__type_by_id(btf, id);
	t = t ? btf__type_by_id(btf, t->type) : NULL;
	return t && btf_is_ptr(t) ? btf__type_by_id(btf, t->type) : NULL;
}

int kernel_tracepoint_params(const struct kernel_types *t, const char *module,
			     const char *name, int pointer)
{
	const struct btf_type *proto = tracepoint_proto(t->vmlinux, name);
	const struct btf *btf = t->vmlinux;

	if (!proto && module && t->kvm && !strcmp(module, "kvm")) {
		btf = t->kvm;
		proto = tracepoint_proto(btf, name);
	}
	if (!proto || !btf_is_func_proto(proto))
		return -1;
	if (pointer >= 0) {
		const struct btf_type *p;

		if (pointer + 1 >= (int)btf_vlen(proto))
			return -1;
		p = btf__type_by_id(btf, btf_params(proto)[pointer + 1].type);
		if (!p || !btf_is_ptr(p))
			return -1;
	}
	return btf_vlen(proto) - 1;
}

/* --- programs that do nothing --- */

static const struct bpf_insn nothing[] = {
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
	{.code = BPF_JMP | BPF_EXIT},
};

static int load(enum bpf_prog_type type, enum bpf_attach_type attach, const char *target)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);
	int fd;

	if (target) {
		int id = libbpf_find_vmlinux_btf_id(target, attach);

		if (id <= 0)
			return id ? id : -ESRCH;
		opts.attach_btf_id = id;
	}
	fd = bpf_prog_load(type, "vu_try", "GPL", nothing, VU_ARRAY_SIZE(nothing), &opts);
	return fd < 0 ? -errno : fd;
}

static int try_btf(enum bpf_attach_type attach, const char *target)
{
	VU_CLEANUP_FD int prog = load(BPF_PROG_TYPE_TRACING, attach, target);
	VU_CLEANUP_FD int link = -1;

	if (prog < 0)
		return prog;
	link = bpf_raw_tracepoint_open(NULL, prog);
	return link < 0 ? -errno : 0;
}

int try_tracing(const char *function)
{
	return try_btf(BPF_TRACE_FENTRY, function);
}

int try_tracepoint(const char *name)
{
	return try_btf(BPF_TRACE_RAW_TP, name);
}

int try_iterator(void)
{
	VU_CLEANUP_FD int prog = load(BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, "task_file");
	VU_CLEANUP_FD int link = -1;

	if (prog < 0)
		return prog;
	link = bpf_link_create(prog, 0, BPF_TRACE_ITER, NULL);
	return link < 0 ? -errno : 0;
}

static int pmu_type(const char *name)
{
	char path[96];
	int type = -ENOENT;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/event_source/devices/%s/type", name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (fscanf(f, "%d", &type) != 1)
		type = -EINVAL;
	fclose(f);
	return type;
}

static int try_perf(const char *pmu, const char *target, uint64_t offset, pid_t pid)
{
	VU_CLEANUP_FD int prog = load(BPF_PROG_TYPE_KPROBE, 0, NULL);
	VU_CLEANUP_FD int event = -1;
	struct perf_event_attr attr = {.size = sizeof(attr)};
	int type = pmu_type(pmu);

	if (prog < 0)
		return prog;
	if (type < 0)
		return type;
	attr.type = type;
	attr.config1 = (uintptr_t)target;
	attr.config2 = offset;
	event = syscall(SYS_perf_event_open, &attr, pid, pid < 0 ? 0 : -1, -1,
			PERF_FLAG_FD_CLOEXEC);
	if (event < 0 || ioctl(event, PERF_EVENT_IOC_SET_BPF, prog))
		return -errno;
	return 0;
}

int try_kprobe(const char *function)
{
	return try_perf("kprobe", function, 0, -1);
}

int try_uprobe(void)
{
	/* The first bytes behind the header are no code of ours: enough for a try. */
	return try_perf("uprobe", "/proc/self/exe", 0x1000, getpid());
}

bool have_capability(int cap)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {0};

	if (syscall(SYS_capget, &h, d))
		return false;
	return d[cap / 32].effective >> (cap % 32) & 1;
}
