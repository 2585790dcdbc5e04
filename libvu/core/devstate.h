/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a device's state travels in: a head that says what it is of, how long it is and
 * what it adds up to.  Pure: no I/O.  Any thread.
 *
 *	 0  "vustate\n"
 *	 8  u32  format of this head: 1
 *	12  u32  version of the state, the device's own
 *	16  u64  bytes of state behind the head
 *	24  u32  CRC-32C of those
 *	28  u32  0
 *	32  the state's name, filled up with zeroes, the last byte always one
 *	60  u32  CRC-32C of the 60 bytes before
 *
 * All numbers are little-endian.
 */
#ifndef VU_CORE_DEVSTATE_H
#define VU_CORE_DEVSTATE_H

#include "base/util.h"

#define VU__DEVSTATE_HEAD     64u
#define VU__DEVSTATE_NAME_MAX 27u
#define VU__DEVSTATE_MAX      (1ull << 30) /* bytes of state */

struct vu__devstate {
	char name[VU__DEVSTATE_NAME_MAX + 1];
	uint32_t version;
	uint64_t len;
	uint32_t crc; /* of the state */
};

/* Writes the head of @len bytes at @data; @name is cut to what fits. */
void vu__devstate_head(uint8_t head[VU__DEVSTATE_HEAD], const char *name, uint32_t version,
		       const void *data, uint64_t len);

/* Reads a head.  0; -EINVAL with a reason in @why: not one, damaged, newer, too long. */
VU_MUST_CHECK int vu__devstate_parse(const uint8_t head[VU__DEVSTATE_HEAD],
				     struct vu__devstate *out, char *why, size_t why_size);

/*
 * Whether @bytes, head and all, are whole and of a device that calls its state @name.  0;
 * -EINVAL with a reason in @why.
 */
VU_MUST_CHECK int vu__devstate_check(const uint8_t *bytes, uint64_t len, const char *name,
				     struct vu__devstate *out, char *why, size_t why_size);

#endif
