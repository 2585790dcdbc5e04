/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of the telemetry reader share. */
#ifndef VU_CORE_TELEMETRY_READER_H
#define VU_CORE_TELEMETRY_READER_H

#include "base/util.h"
#include "libvu/telemetry.h"

struct vu_telemetry {
	int fd;
	int lease_fd; /* the same file for writing, -1 until it is needed */
	uid_t owner;
	struct vu_telemetry_header raw;	 /* as it is in the file */
	struct vu_telemetry_header head; /* checked, its texts end */
	struct vu_telemetry_metric *metrics;
	size_t snap_size; /* of the file's beginning, up to the last config */
	uint8_t *snap;
	uint8_t *spare; /* where the next snapshot goes */
	uint32_t *seqs; /* sequence counts after the snapshot was taken, */
	uint32_t *next_seqs;
	bool *torn; /* and whether one was odd or had moved; [0] is the device */
	uint64_t taken;
};

/* Reads exactly @len bytes at @at.  0; -ENODATA: the file ends before; -errno. */
VU_MUST_CHECK int vu__telemetry_pread(const struct vu_telemetry *t, void *to, size_t len,
				      uint64_t at);

/*
 * As vu_telemetry_hist(), but only the buckets up to the largest value's, which often are
 * few; others in @out mean nothing.  @expect: how many these may be, which saves a read.
 * Returns how many they are, or -errno.
 */
VU_MUST_CHECK int vu__telemetry_hist_part(const struct vu_telemetry *t, unsigned int metric,
					  unsigned int queue, unsigned int expect,
					  struct vu_telemetry_hist *out);

/* Ends a text, and makes a question mark of every byte a terminal might act on. */
void vu__telemetry_clean_text(char *text, size_t size);

/*
 * Checks a header, and the list of metrics behind it, against what this version can
 * read in a file of @file_size.  0; -errno with the reason in @why.
 */
VU_MUST_CHECK int vu__telemetry_check_header(const struct vu_telemetry_header *h,
					     uint64_t file_size, char *why, size_t why_size);
VU_MUST_CHECK int vu__telemetry_check_metric(const struct vu_telemetry_header *h,
					     const struct vu_telemetry_metric *m, char *why,
					     size_t why_size);

#endif
