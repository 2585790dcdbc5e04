/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restoring: an image is checked against a fresh device and waits, in this process, for
 * the front-end.  The connection through which the tool has brought it ends before that;
 * so it waits for the device, not for the connection.  Control thread.
 */
#ifndef VU_STATE_RESTORE_H
#define VU_STATE_RESTORE_H

#include "backend/dev.h"
#include "state/snap.h"

/* The image that waits for @d's front-end; "" if none does. */
const char *vu__restored_id(const struct vu__dev *d);

/* A device begins: an image that waits for it is its own now. */
void vu__restored_begin(struct vu__dev *d);

/* It ends: what was not used waits for the next connection. */
void vu__restored_end(struct vu__dev *d);

/* Before its first message: the device's own state is loaded. */
void vu__restored_load(struct vu__dev *d);

/*
 * Whether @d could become what @s says, in features, queues, configuration and kind of
 * state.  0 or -errno with the reason recorded.
 */
VU_MUST_CHECK int vu__snap_fits(const struct vu__snap *s, struct vu__dev *d, bool force);

/* Gives the device its own state.  0 or -errno with the reason recorded. */
VU_MUST_CHECK int vu__snap_load_blob(const struct vu__snap *s, struct vu__dev *d);

#endif
