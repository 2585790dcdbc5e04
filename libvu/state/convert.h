/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A struct vu__snap to the records of an image and back. */
#ifndef VU_STATE_CONVERT_H
#define VU_STATE_CONVERT_H

#include "state/image.h"
#include "state/snap.h"

struct ProtobufCMessageDescriptor;

/* Writes a whole image.  0; -ENOMEM; what the writer's callback said. */
VU_MUST_CHECK int vu__snap_write(const struct vu__snap *s, struct vu__image_writer *w);

/*
 * Reads a whole image and checks it.  Unknown optional records are skipped.  0;
 * -EPROTONOSUPPORT: it has a feature or a required record this does not know; -EINVAL:
 * its contents make no sense; what reading an image can say.  On failure @s is empty and
 * r->why has the reason.
 */
VU_MUST_CHECK int vu__snap_read(struct vu__snap *s, struct vu__image_reader *r);

/* What the payload of a record type is; NULL for types that this does not know. */
const struct ProtobufCMessageDescriptor *vu__snap_message(unsigned int type);

#endif
