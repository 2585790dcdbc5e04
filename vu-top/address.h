/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where --listen listens, and what a client accepts. */
#ifndef VU_TOP_ADDRESS_H
#define VU_TOP_ADDRESS_H

#include "vu-top/out.h"

/*
 * A socket that listens at @address: PORT or HOST:PORT (the loopback unless a host is
 * named; ":PORT" is everywhere), [V6]:PORT, unix:PATH, or fd:N, as systemd gives it.
 * *@path: the path of a Unix socket, to be removed in the end, or NULL; part of
 * @address.  -errno, with a line in @why.
 */
VU_MUST_CHECK int top_listen_socket(const char *address, const char **path, char *why,
				    size_t why_size);

/* What HTTP's Accept header (NULL: none) prefers.  False: neither of the two.  Pure. */
bool top_negotiate(const char *accept, enum top_exposition *format);

#endif
