/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The programs, where each goes, and which of them a kernel has a place for: told from its
 * types, since prototypes changed between 5.15 and now.  Pure; any thread.
 */
#include "points.h"

#include <string.h>

#include "base/util.h"

const struct probe_info probes[] = {
	{"fentry_write", "fentry eventfd_write", "kick or call written", 'A'},
	{"fexit_write", "fexit eventfd_write", "... and refused", 'A'},
	{"fexit_read", "fexit eventfd_read", "kick read", 'A'},
	{"fentry_signal", "fentry eventfd_signal", "signalled by the kernel", 'A'},
	{"fexit_signal", "fexit eventfd_signal", "... the end of it", 'A'},
	{"fentry_signal_mask_n", "fentry eventfd_signal_mask (before 6.8)", "signalled by the kernel", 'A'},
	{"fentry_signal_mask", "fentry eventfd_signal_mask", "signalled by the kernel", 'A'},
	{"fexit_unix", "fexit unix_stream_recvmsg", "vhost-user messages", 'A'},
	{"kprobe_write", "kprobe eventfd_write", "kick or call written", 'B'},
	{"kprobe_read", "kprobe eventfd_read", "kick read", 'B'},
	{"kretprobe_read", "kretprobe eventfd_read", "... and what was in it", 'B'},
	{"kprobe_signal", "kprobe eventfd_signal", "signalled by the kernel", 'B'},
	{"kretprobe_signal", "kretprobe eventfd_signal", "... the end of it", 'B'},
	{"kprobe_signal_mask_n", "kprobe eventfd_signal_mask (before 6.8)", "signalled by the kernel", 'B'},
	{"kprobe_signal_mask", "kprobe eventfd_signal_mask", "signalled by the kernel", 'B'},
	{"kprobe_unix", "kprobe unix_stream_recvmsg", "vhost-user messages", 'B'},
	{"kretprobe_unix", "kretprobe unix_stream_recvmsg", "vhost-user messages", 'B'},
	{"enter", "tp_btf sys_enter", "kick or call written", 'C'},
	{"leave", "tp_btf sys_exit", "kick read, vhost-user messages", 'C'},
	{"ring_file", "tp_btf io_uring_file_get", "kick or call written by io_uring", 'C'},
	{"ring_complete", "tp_btf io_uring_complete", "kick read by io_uring", 'C'},
	{"waking", "tp_btf sched_waking", "who is woken; signals by the kernel, from the counts", 0},
	{"switched", "tp_btf sched_switch", "when the woken thread runs", 0},
	{"kvm_pio", "raw_tp kvm_pio", "the guest's store to a port", 0},
	{"kvm_mmio", "raw_tp kvm_mmio", "the guest's store to memory", 0},
	{"kvm_fast_mmio", "raw_tp kvm_fast_mmio", "the same, on the fast path", 0},
	{"kvm_msi_set_irq", "raw_tp kvm_msi_set_irq", "the interrupt", 0},
	{"usdt_kick_read", "usdt vu:kick_read", "which queue a kick is of", 'D'},
	{"usdt_pop", "usdt vu:pop", "element taken", 'D'},
	{"usdt_push", "usdt vu:push", "element given back", 'D'},
	{"usdt_suppress", "usdt vu:suppress", "call not wanted", 'D'},
	{"usdt_msg", "usdt vu:msg", "message handled", 'D'},
	{"usdt_call", "usdt vu:call", "which queue a call is of", 'D'},
	{"usdt_ring_start", "usdt vu:ring_start", "ring started", 'D'},
	{"usdt_ring_stop", "usdt vu:ring_stop", "ring stopped", 'D'},
	{"usdt_fault", "usdt vu:fault", "address that is not guest memory", 'D'},
};
const unsigned int nprobes = VU_ARRAY_SIZE(probes);
_Static_assert(VU_ARRAY_SIZE(probes) <= MAX_PROBES, "room for all probes");

static bool is(const char *a, const char *b)
{
	return !strcmp(a, b);
}

/* Whether the kernel has the point that program @name wants, in that shape. */
bool probe_present(const struct kernel_types *t, const char *name)
{
	int mask = kernel_function_params(t, "eventfd_signal_mask");

	if (is(name, "fentry_signal") || is(name, "fexit_signal") ||
	    is(name, "kprobe_signal") || is(name, "kretprobe_signal"))
		return kernel_function_params(t, "eventfd_signal") == 2;
	if (is(name, "fentry_signal_mask_n") || is(name, "kprobe_signal_mask_n"))
		return mask == 3;
	if (is(name, "fentry_signal_mask") || is(name, "kprobe_signal_mask"))
		return mask == 2;
	if (is(name, "fexit_unix") || is(name, "kprobe_unix") || is(name, "kretprobe_unix"))
		return kernel_function_params(t, "unix_stream_recvmsg") == 4;
	if (is(name, "ring_file"))
		return kernel_tracepoint_params(t, "io_uring_file_get", 0, "io_kiocb") == 2;
	if (is(name, "ring_complete"))
		return kernel_tracepoint_params(t, "io_uring_complete", 1, NULL) > 0;
	return true;
}
