/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the front-end share. */
#ifndef VU_FRONTEND_FE_H
#define VU_FRONTEND_FE_H

#include "libvu/frontend.h"
#include "wire/msg.h"

#define VU__FE_MAX_REGIONS 520

struct vu_frontend {
	int sock;
	int channel; /* our end of the back-end's channel, or -1 */
	int timeout_ms;
	bool ask_acks;
	bool listening; /* between POSTCOPY_LISTEN and POSTCOPY_END */
	uint32_t table_request; /* the last about memory that waits for our ack, or 0 */
	uint64_t features;
	uint64_t protocol_features;
	struct vu_frontend_region *regions;
	unsigned int nregions;
	struct vu_frontend_queue *queues; /* a list */
	char error[256];
};

/* Records why something failed; returns @err. */
int vu__fe_fail(struct vu_frontend *fe, int err, const char *fmt, ...) VU_PRINTF(3, 4);

/*
 * Sends a request whose fds stay the caller's, and gets the answer the protocol wants
 * for it into @m, with its fds.  An ack that says no is -EREMOTEIO.
 */
VU_MUST_CHECK int vu__fe_call(struct vu_frontend *fe, struct vu__msg *m);

/* A request with one u64 and no answer but an ack. */
VU_MUST_CHECK int vu__fe_call_u64(struct vu_frontend *fe, uint32_t request, uint64_t value);

/* A request without payload that is answered with a u64. */
VU_MUST_CHECK int vu__fe_get_u64(struct vu_frontend *fe, uint32_t request, uint64_t *value);

/* One fd with an empty payload. */
VU_MUST_CHECK int vu__fe_call_fd(struct vu_frontend *fe, uint32_t request, int fd);

/* The back-end has gone without saying where it was. */
void vu__fe_restore_bases(struct vu_frontend *fe);
void vu__fe_free_queues(struct vu_frontend *fe);
void vu__fe_free_memory(struct vu_frontend *fe);

#endif
