/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-trace check and --list-probes: what this kernel lets be traced, what it costs, what
 * is missing and how to get it.  The main thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "format.h"
#include "load.h"
#include "options.h"
#include "probe.h"
#include "scan_run.h"

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

#define LOCKDOWN_HINT "a boot without lockdown=confidentiality"

struct finding {
	const char *name;
	bool ok;
	const char *means;
	char why[160];
	const char *hint;
};

#define MAX_FINDINGS 24

struct findings {
	struct finding f[MAX_FINDINGS];
	unsigned int n;
};

static struct finding *add(struct findings *fs, const char *name, bool ok, const char *means,
			   const char *hint)
{
	struct finding *f = &fs->f[fs->n++];

	*f = (struct finding){.name = name, .ok = ok, .means = means, .hint = ok ? "" : hint};
	return f;
}

static void add_error(struct findings *fs, const char *name, int err, const char *means,
		      const char *hint)
{
	struct finding *f = add(fs, name, !err, means, hint);

	if (err)
		snprintf(f->why, sizeof(f->why), "%s", bpf_error(-err));
}

/* --- what is asked for --- */

static void check_rights(struct findings *fs)
{
	bool admin = have_capability(CAP_SYS_ADMIN);

	add(fs, "CAP_BPF", admin || have_capability(CAP_BPF), "programs can be loaded",
	    "run as root, or give the program CAP_BPF");
	add(fs, "CAP_PERFMON", admin || have_capability(CAP_PERFMON),
	    "programs can look at the kernel", "run as root, or give it CAP_PERFMON");
	add(fs, "CAP_SYS_PTRACE", have_capability(CAP_SYS_PTRACE),
	    "file descriptors of other users' processes are seen",
	    "run as root, or give it CAP_SYS_PTRACE");
}

static void check_lockdown(struct findings *fs)
{
	struct finding *f = add(fs, "lockdown", !locked_down(),
				"the kernel lets its memory be read", LOCKDOWN_HINT);

	if (!lockdown_mode(f->why, sizeof(f->why)))
		snprintf(f->why, sizeof(f->why), "not told in /sys/kernel/security");
}

static void check_btf(struct findings *fs, const struct kernel_types *t)
{
	struct finding *f = add(fs, "BTF", t, "the kernel tells the layout of its structures",
				"a kernel with CONFIG_DEBUG_INFO_BTF; without, only tiers D and E");

	if (!t)
		snprintf(f->why, sizeof(f->why), "/sys/kernel/btf/vmlinux: %s",
			 strerror(access("/sys/kernel/btf/vmlinux", R_OK) ? errno : EINVAL));
}

/* --- tiers --- */

struct tier_info {
	char tier;
	const char *how;
	const char *sees;
	const char *lacks;
	const char *costs;
	const char *hint;
};

static const struct tier_info tiers[] = {
	{'A', "fentry and fexit at the eventfds' functions",
	 "every signal and read, of the kernel and of processes, io_uring too", "",
	 "eventfd operations and Unix sockets only",
	 "a kernel with CONFIG_FUNCTION_TRACER and BPF trampolines, that permits them"},
	{'B', "kprobes at the same functions", "the same", "",
	 "the same operations, about twice tier A",
	 "a kernel with CONFIG_KPROBES and CONFIG_KPROBE_EVENTS"},
	{'C', "tracepoints, and the eventfds' counts at each wake-up",
	 "writes and reads; the kernel's own signals when they wake somebody or are read",
	 "when the kernel itself signalled, if that woke nobody",
	 "some 70 ns to every system call of every process, while it runs",
	 "a kernel with BTF and CONFIG_BPF_EVENTS"},
	{'D', "points inside libvu (USDT)", "elements, suppressed calls, messages",
	 "back-ends without libvu",
	 "only processes with libvu, while they are traced",
	 "a kernel with CONFIG_UPROBES; a libvu built with sys/sdt.h"},
	{'E', "no BPF: /proc and telemetry, 1 to 100 times a second",
	 "libvu's counters, and its latencies read-pop and pop-push; of other back-ends the "
	 "rings, and eventfds whose count has changed",
	 "single kicks, wake-ups, interrupts, the slowest rounds, triggers; KVM's tables: "
	 "the map is less sure",
	 "a few system calls at each look", ""},
};

static int tier_error(char tier)
{
	switch (tier) {
	case 'A':
		return try_tracing("eventfd_write");
	case 'B':
		return try_kprobe("eventfd_write");
	case 'C':
		return try_tracepoint("sched_waking");
	case 'D':
		return try_uprobe();
	default:
		return 0;
	}
}

/* What helps: no kernel does, as long as the rights are missing. */
static const char *tier_hint(const struct tier_info *t, int err)
{
	bool may = have_capability(CAP_SYS_ADMIN) ||
		   (have_capability(CAP_BPF) && have_capability(CAP_PERFMON));

	if (locked_down())
		return LOCKDOWN_HINT;
	return !may && (err == -EPERM || err == -EACCES) ? "CAP_BPF and CAP_PERFMON, as root has"
							  : t->hint;
}

static char best_tier(const int *errors)
{
	for (unsigned int i = 0; i < 3; i++) {
		if (!errors[i])
			return tiers[i].tier;
	}
	return 'E';
}

/* --- output --- */

static void print_text(const struct findings *fs, const int *errors, const char *kernel)
{
	printf("kernel %s: tier %c\n\n", kernel, best_tier(errors));
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(tiers); i++) {
		const struct tier_info *t = &tiers[i];

		printf("%c  %-9s %s\n", t->tier, errors[i] ? "no" : "yes", t->how);
		printf("   sees  %s\n", t->sees);
		if (*t->lacks)
			printf("   lacks %s\n", t->lacks);
		printf("   costs %s\n", t->costs);
		if (errors[i])
			printf("   not here: %s; needs %s\n", bpf_error(-errors[i]),
			       tier_hint(t, errors[i]));
	}
	if (best_tier(errors) == 'E')
		puts("\nmap, stream, lat, stuck, poke and record work in tier E, with less.");
	putchar('\n');
	for (unsigned int i = 0; i < fs->n; i++) {
		const struct finding *f = &fs->f[i];

		printf("%-16s %-4s %s%s%s\n", f->name, f->ok ? "ok" : "no", f->means,
		       f->why[0] ? ": " : "", f->why);
		if (!f->ok)
			printf("%-16s      %s\n", "", f->hint);
	}
}

static void print_json(const struct findings *fs, const int *errors, const char *kernel)
{
	struct json j = json_to(stdout);

	json_open(&j, NULL, '{');
	json_number(&j, "schema", 1);
	json_text(&j, "kernel", kernel);
	json_text(&j, "tier", (char[2]){best_tier(errors)});
	json_open(&j, "tiers", '[');
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(tiers); i++) {
		json_open(&j, NULL, '{');
		json_text(&j, "tier", (char[2]){tiers[i].tier});
		json_bool(&j, "works", !errors[i]);
		json_text(&j, "how", tiers[i].how);
		json_text(&j, "sees", tiers[i].sees);
		json_text(&j, "lacks", tiers[i].lacks);
		json_text(&j, "costs", tiers[i].costs);
		if (errors[i]) {
			json_text(&j, "error", bpf_error(-errors[i]));
			json_text(&j, "needs", tier_hint(&tiers[i], errors[i]));
		}
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_open(&j, "checks", '[');
	for (unsigned int i = 0; i < fs->n; i++) {
		const struct finding *f = &fs->f[i];

		json_open(&j, NULL, '{');
		json_text(&j, "name", f->name);
		json_bool(&j, "ok", f->ok);
		json_text(&j, "means", f->means);
		if (f->why[0])
			json_text(&j, "found", f->why);
		if (!f->ok)
			json_text(&j, "hint", f->hint);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	json_line(&j);
}

int cmd_check(const struct options *o)
{
	struct kernel_types *t = kernel_types_new();
	int errors[VU_ARRAY_SIZE(tiers)];
	struct findings fs = {0};
	struct utsname u;

	uname(&u);
	for (unsigned int i = 0; i < VU_ARRAY_SIZE(tiers); i++)
		errors[i] = tier_error(tiers[i].tier);
	check_rights(&fs);
	check_lockdown(&fs);
	check_btf(&fs, t);
	add_error(&fs, "iterator", try_iterator(), "KVM's tables and all eventfds are seen",
		  "a kernel of 5.8 or later with BTF");
	add(&fs, "kvm", !access("/dev/kvm", F_OK), "the guest's stores and interrupts are seen", "load the kvm module");
	add(&fs, "io_uring", t && probe_present(t, "ring_file"),
	    "tier C sees eventfds written by io_uring", "a later kernel");
	kernel_types_free(t);
	if (o->json)
		print_json(&fs, errors, u.release);
	else
		print_text(&fs, errors, u.release);
	return best_tier(errors) == 'E' ? EXIT_FAILED : EXIT_OK;
}

/* --- the points --- */

static const char *state_text(const struct probe_report *r)
{
	static const char *const texts[] = {"off", "absent", "refused", "attached"};

	return texts[r->state];
}

static struct loader *load_for_list(const struct options *o)
{
	struct load_options lo = {.kinds = ~0U,
				  .stages = true,
				  .messages = true,
				  .no_syscalls = o->no_syscalls,
				  .tier = o->tier,
				  .max_queues = 1};
	struct loader *l = NULL;
	struct scanner *sc;
	char why[256];
	int ret = scanner_new(&sc);

	if (ret) {
		say("BPF cannot be used: %s; 'vu-trace check' tells more", bpf_error(-ret));
		return NULL;
	}
	lo.eventfd_fops = scanner_fops(sc);
	scanner_free(sc);
	if (loader_new(&l, &lo, why, sizeof(why)))
		say("%s", why);
	return l;
}

int list_probes(const struct options *o)
{
	struct loader *l = load_for_list(o);
	struct json j = json_to(stdout);

	if (!l)
		return EXIT_FAILED;
	if (!o->json)
		printf("%-1s %-9s %-7s %-42s %s\n", "T", "STATE", "INSNS", "POINT", "SEES");
	for (unsigned int i = 0; i < nprobes; i++) {
		const struct probe_info *p = &probes[i];
		char tier[2] = {p->tier ? p->tier : '*'};
		struct probe_report r;

		loader_report(l, i, &r);
		if (!o->json) {
			printf("%s %-9s %-7u %-42s %s\n", tier, state_text(&r), r.insns, p->where,
			       p->sees);
			continue;
		}
		json_open(&j, NULL, '{');
		json_text(&j, "tier", tier);
		json_text(&j, "state", state_text(&r));
		json_text(&j, "point", p->where);
		json_text(&j, "program", p->program);
		json_text(&j, "sees", p->sees);
		json_number(&j, "verified_instructions", r.insns);
		json_close(&j, '}');
		json_line(&j);
	}
	loader_free(l);
	return EXIT_OK;
}
