/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All programs that watch queues.  None is loaded unless load.c asks for it, which picks
 * those that this kernel takes.  They run in whatever context their event is in.
 */
#include "eventfd.bpf.h"
#include "sched.bpf.h"
#include "syscall.bpf.h"
#include "usdt.bpf.h"

char _license[] SEC("license") = "GPL";
