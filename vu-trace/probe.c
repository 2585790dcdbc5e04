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
};

struct kernel_types *kernel_types_of(struct btf *btf)
{
	struct kernel_types *t = btf ? calloc(1, sizeof(*t)) : NULL;

	if (t)
		t->vmlinux = btf;
	else
		btf__free(btf);
	return t;
}

struct kernel_types *kernel_types_new(void)
{
	return kernel_types_of(btf__load_vmlinux_btf());
}

void kernel_types_free(struct kernel_types *t)
{
	if (!t)
		return;
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

static bool is_pointer_to(const struct btf *btf, uint32_t id, const char *name)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	if (!t || !btf_is_ptr(t))
		return false;
	if (!name)
		return true;
	t = btf__type_by_id(btf, t->type);
	return t && btf_is_struct(t) && !strcmp(btf__name_by_offset(btf, t->name_off), name);
}

int kernel_tracepoint_params(const struct kernel_types *t, const char *name,
			     unsigned int pointer, const char *to)
{
	const struct btf_type *proto = tracepoint_proto(t->vmlinux, name);

	if (!proto || !btf_is_func_proto(proto) || pointer + 1 >= btf_vlen(proto) ||
	    !is_pointer_to(t->vmlinux, btf_params(proto)[pointer + 1].type, to))
		return -1;
	return btf_vlen(proto) - 1;
}

/* --- programs that do nothing, but by what all of ours do: read the kernel's memory --- */

static const struct bpf_insn nothing[] = {
	{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10},
	{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = -8},
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 8},
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3},
	{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel},
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

int try_kprobe_multi(const char *function)
{
	VU_CLEANUP_FD int prog = load(BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI, NULL);
	VU_CLEANUP_FD int link = -1;
	LIBBPF_OPTS(bpf_link_create_opts, opts, .kprobe_multi.syms = &function,
		    .kprobe_multi.cnt = 1);

	if (prog < 0)
		return prog;
	link = bpf_link_create(prog, 0, BPF_TRACE_KPROBE_MULTI, &opts);
	return link < 0 ? -errno : 0;
}

int try_uprobe(void)
{
	/* The first bytes behind the header are no code of ours: enough for a try. */
	return try_perf("uprobe", "/proc/self/exe", 0x1000, getpid());
}

bool lockdown_mode(char *mode, size_t size)
{
	FILE *f = fopen("/sys/kernel/security/lockdown", "re");
	char line[128] = "", *found = NULL;

	if (f && fgets(line, sizeof(line), f))
		found = strchr(line, '[');
	if (f)
		fclose(f);
	if (!found)
		return false;
	found++;
	snprintf(mode, size, "%.*s", (int)strcspn(found, "]"), found);
	return true;
}

bool locked_down(void)
{
	char mode[32];

	return lockdown_mode(mode, sizeof(mode)) && !strcmp(mode, "confidentiality");
}

const char *bpf_error(int err)
{
	return locked_down() ? "the kernel is locked down (confidentiality)" : strerror(err);
}

bool have_capability(int cap)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {0};

	if (syscall(SYS_capget, &h, d))
		return false;
	return d[cap / 32].effective >> (cap % 32) & 1;
}
