/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device's own state, asked of any vendor's back-end as its front-end. */
#ifndef VU_MIGRATE_DEVSTATE_H
#define VU_MIGRATE_DEVSTATE_H

#include <stddef.h>
#include <stdint.h>

struct vu_frontend;

#define DEVSTATE_MAX (1u << 30)

/*
 * "VHOST_USER_SET_DEVICE_STATE_FD" and "VHOST_USER_CHECK_DEVICE_STATE", queues stopped.
 * Saving gives malloc()ed bytes.  0 or -errno with the reason in @why.
 */
int devstate_save(struct vu_frontend *fe, uint8_t **bytes, size_t *len, char *why,
		  size_t why_size);
int devstate_load(struct vu_frontend *fe, const uint8_t *bytes, size_t len, char *why,
		  size_t why_size);

#endif
