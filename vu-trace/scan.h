/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What scan.bpf.c writes: a record for each thing found among all processes' files. */
#ifndef VU_TRACE_SCAN_H
#define VU_TRACE_SCAN_H

#include <linux/types.h>

enum scan_what {
	SCAN_EVENTFD = 1,
	SCAN_VM,
	SCAN_IOEVENTFD,
	SCAN_IRQFD,
	SCAN_CUT, /* a table was longer than was read */
};

enum scan_bus {
	SCAN_BUS_MMIO,
	SCAN_BUS_PIO,
	SCAN_BUS_CCW,
	SCAN_BUS_FAST_MMIO,
};

struct scan_rec {
	__u32 what;
	__u32 tgid;
	__u64 obj; /* the eventfd's or the VM's address in the kernel: a name, no more */
	union {
		struct {
			__u64 count;
			__u64 file; /* the open file's address: a name, too */
			__s32 fd;
			__s32 id;
			__u32 flags;
			__u32 poller; /* the process that sleeps in poll() on it, 0: none */
			__u16 epolls; /* epoll sets it is in */
			__u16 others; /* other waiters: an interrupt bound to it, a reader */
		} eventfd;
		struct {
			__u64 vm;
			__u64 addr;
			__u64 match;
			__u32 length;
			__u8 bus;
			__u8 wildcard;
			__u8 pad[2];
		} ioeventfd;
		struct {
			__u64 vm;
			__u64 msi_address;
			__u32 msi_data;
			__u32 gsi;
			__u32 type; /* of the routing entry; SCAN_ROUTE_MSI */
			__u32 pad;
		} irqfd;
	};
};

#define SCAN_ROUTE_MSI 2

#endif
