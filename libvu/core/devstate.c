/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of a device's state: written, read, compared.  Any thread. */
#include "core/devstate.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"

#define FORMAT	1
#define CRC_AT	60
#define NAME_AT 32

static const char magic[8] = {'v', 'u', 's', 't', 'a', 't', 'e', '\n'};

static void put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static uint64_t get64(const uint8_t *at)
{
	return get32(at) | (uint64_t)get32(at + 4) << 32;
}

void vu__devstate_head(uint8_t head[VU__DEVSTATE_HEAD], const char *name, uint32_t version,
		       const void *data, uint64_t len)
{
	memset(head, 0, VU__DEVSTATE_HEAD);
	memcpy(head, magic, sizeof(magic));
	put32(head + 8, FORMAT);
	put32(head + 12, version);
	put32(head + 16, len);
	put32(head + 20, len >> 32);
	put32(head + 24, vu__crc32c(0, data, len));
	memcpy(head + NAME_AT, name, strnlen(name, VU__DEVSTATE_NAME_MAX));
	put32(head + CRC_AT, vu__crc32c(0, head, CRC_AT));
}

int vu__devstate_parse(const uint8_t head[VU__DEVSTATE_HEAD], struct vu__devstate *out,
		       char *why, size_t why_size)
{
	if (memcmp(head, magic, sizeof(magic))) {
		snprintf(why, why_size, "it does not begin as a device's state does");
		return -EINVAL;
	}
	if (get32(head + CRC_AT) != vu__crc32c(0, head, CRC_AT)) {
		snprintf(why, why_size, "its head is damaged");
		return -EINVAL;
	}
	if (get32(head + 8) != FORMAT || get32(head + 28)) {
		snprintf(why, why_size, "its format %u is newer than this library's %u",
			 get32(head + 8), FORMAT);
		return -EINVAL;
	}
	memcpy(out->name, head + NAME_AT, sizeof(out->name));
	out->name[VU__DEVSTATE_NAME_MAX] = '\0';
	out->version = get32(head + 12);
	out->len = get64(head + 16);
	out->crc = get32(head + 24);
	if (out->len > VU__DEVSTATE_MAX) {
		snprintf(why, why_size, "%llu bytes are too many", (unsigned long long)out->len);
		return -EINVAL;
	}
	return 0;
}

int vu__devstate_check(const uint8_t *bytes, uint64_t len, const char *name,
		       struct vu__devstate *out, char *why, size_t why_size)
{
	int ret;

	if (len < VU__DEVSTATE_HEAD) {
		snprintf(why, why_size, "%llu bytes are too few", (unsigned long long)len);
		return -EINVAL;
	}
	ret = vu__devstate_parse(bytes, out, why, why_size);
	if (ret)
		return ret;
	if (strncmp(out->name, name, VU__DEVSTATE_NAME_MAX)) {
		snprintf(why, why_size, "it is of '%s', this is '%s'", out->name, name);
		return -EINVAL;
	}
	if (len - VU__DEVSTATE_HEAD != out->len) {
		snprintf(why, why_size, "%llu bytes of state where there should be %llu",
			 (unsigned long long)(len - VU__DEVSTATE_HEAD),
			 (unsigned long long)out->len);
		return -EINVAL;
	}
	if (vu__crc32c(0, bytes + VU__DEVSTATE_HEAD, out->len) != out->crc) {
		snprintf(why, why_size, "it is damaged");
		return -EINVAL;
	}
	return 0;
}
