/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A queue's description as a message, in images and in hand-overs. */
#ifndef VU_STATE_CONVERT_QUEUE_H
#define VU_STATE_CONVERT_QUEUE_H

#include "proto/image.pb-c.h"
#include "state/snap.h"

/* A message and those in it. */
struct vu__queue_message {
	Vu__Image__Queue m;
	Vu__Image__Queue__Addresses addresses;
	Vu__Image__Queue__Seen seen;
	Vu__Image__Queue__Notifier kick, call, err;
};

/* Points into @q, too.  Returns m's base. */
const ProtobufCMessage *vu__queue_to_message(const struct vu__snap_queue *q,
					     struct vu__queue_message *to);

/* @q is zeroed before.  0; -EINVAL with the reason in @why. */
VU_MUST_CHECK int vu__queue_of_message(const Vu__Image__Queue *m, struct vu__snap_queue *q,
				       char *why, size_t why_size);

#endif
