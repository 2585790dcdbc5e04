/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32C (Castagnoli), the checksum of everything that leaves a process. */
#ifndef VU_BASE_CRC32C_H
#define VU_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * Continues @crc, 0 for the first piece, over @len bytes: the checksum of pieces in turn
 * is that of the whole.  Any thread.
 */
uint32_t vu__crc32c(uint32_t crc, const void *data, size_t len);

#endif
