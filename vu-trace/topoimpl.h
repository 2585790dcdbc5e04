/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of topo share. */
#ifndef VU_TRACE_TOPOIMPL_H
#define VU_TRACE_TOPOIMPL_H

#include "topo.h"

#define PAGE 4096

/* An eventfd, with all that is known of it. */
struct item {
	uint64_t obj;
	int32_t id;
	uint64_t count;
	uint32_t vmm, backend;
	int32_t vmm_fd, backend_fd;
	uint64_t vmm_file, backend_file;
	bool waited_by_vmm, waited_by_backend, waited;
	const struct scan_rec *store; /* the best of KVM's entries for it */
	const struct scan_rec *irq;
	const struct found_fact *fact;
	uint8_t role;
	uint8_t source, confidence;
	bool has_index;
	uint32_t device, index;
};

/* NULL: none of interest. */
const struct found_proc *found_proc_of(const struct found *f, uint32_t tgid);

/* Roles, devices and queues for items that have none; sorts them. */
void guess_rest(const struct found *f, struct item *items, size_t n);

#endif
