/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images in sealed memfds: how they travel between processes. */
#ifndef VU_STATE_MEMFILE_H
#define VU_STATE_MEMFILE_H

#include "state/convert.h"

/* A sealed memfd with @s in it.  The fd or -errno. */
VU_MUST_CHECK int vu__memfile_write(const struct vu__snap *s, uint64_t *bytes);

/*
 * Reads one, which must be sealed: what is checked must stay as it is.  0 or what
 * vu__snap_read() says, with the reason in @why.
 */
VU_MUST_CHECK int vu__memfile_read(int fd, struct vu__snap *s, char *why, size_t why_size);

/*
 * Maps a file that can no longer shrink, for reading or for both.  NULL with errno, and
 * why in @why.
 */
void *vu__memfile_map(int fd, size_t len, int prot, int seals, char *why, size_t why_size);

#endif
