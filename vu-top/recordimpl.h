/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a recording is framed.  Numbers are little endian. */
#ifndef VU_TOP_RECORDIMPL_H
#define VU_TOP_RECORDIMPL_H

#include <stdint.h>

#define TOP_RECORD_FRAME_MAGIC 0x52465556u /* "VUFR" */

enum { TOP_RECORD_SCHEMA = 1, TOP_RECORD_FRAME = 2 };
enum { TOP_RECORD_KEY = 1 }; /* stands by itself */

struct top_file_header {
	char magic[8];
	uint32_t version;
	uint32_t reserved;
};

struct top_record_header {
	uint32_t magic;
	uint8_t type, flags;
	uint16_t reserved;
	uint32_t len; /* of what follows */
	uint32_t crc; /* of that */
	uint64_t real_ns;
	uint32_t header_crc; /* of all before it */
	uint32_t reserved2;
};

_Static_assert(sizeof(struct top_file_header) == 16, "as written");
_Static_assert(sizeof(struct top_record_header) == 32, "as written");

#endif
