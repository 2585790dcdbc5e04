/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A live device as a struct vu__snap.  What takes time (files, eventfds) is looked up
 * first, while queues run; then the queues, in one moment.  Control thread.
 */
#ifndef VU_STATE_SNAPSHOT_H
#define VU_STATE_SNAPSHOT_H

#include "backend/dev.h"
#include "state/snap.h"

/* All but the queues' indices and the device's own state.  0 or -ENOMEM; release @s. */
VU_MUST_CHECK int vu__snapshot_describe(struct vu__dev *d, struct vu__snap *s);

/* Lists the queues that the front-end has set up, without what the kernel knows of them. */
void vu__snapshot_set_up(struct vu__dev *d, struct vu__snap *s);

/*
 * The queues as they are now, with what is in flight; each is kept out of the library
 * while it is looked at.  0 or -ENOMEM.
 */
VU_MUST_CHECK int vu__snapshot_queues(struct vu__dev *d, struct vu__snap *s);

/* The device's own state, if it has any.  0 or -errno with the reason in d->why. */
VU_MUST_CHECK int vu__snapshot_blob(struct vu__dev *d, struct vu__snap *s);

/* What kind of device it is, in its own words. */
const char *vu__snapshot_name(const struct vu__dev *d);

/* The path that its front-end has connected to; "" if it has none. */
void vu__snapshot_socket(int sock, char *path, size_t size);

/* Its configuration space; how many bytes, 0 if it has none. */
unsigned int vu__snapshot_config(struct vu__dev *d, uint8_t to[VU__SNAP_CONFIG_MAX]);

/*
 * Why the library cannot hold the queues of this device still, in @why: its threads read
 * kick eventfds themselves and it has no callbacks to keep them out.
 */
VU_MUST_CHECK bool vu__snapshot_can_hold(struct vu__dev *d, char *why, size_t why_size);

#endif
