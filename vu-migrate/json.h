/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Protobuf messages as JSON and back, by their descriptors, so that nothing is lost:
 * members that this version does not know are kept.
 *
 *	fixed32, fixed64	"0x1f", for masks and addresses
 *	uint32, uint64		numbers
 *	bytes			hexadecimal digits
 *	string			text, or {"hex": "..."} if it is not UTF-8
 *	enum			its name; a number if it has none here
 *	unknown			"unknown": [{"tag": 9, "wire": 2, "hex": "..."}, ...]
 *
 * What has its default value is left out.
 */
#ifndef VU_MIGRATE_JSON_H
#define VU_MIGRATE_JSON_H

#include <json-c/json.h>
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/* NULL if memory ran out. */
struct json_object *json_of_message(const ProtobufCMessage *m);

/*
 * An object to a message, freed with protobuf_c_message_free_unpacked(m, NULL); NULL
 * with the reason in @why.
 */
ProtobufCMessage *message_of_json(struct json_object *json,
				  const ProtobufCMessageDescriptor *d, char *why,
				  size_t why_size);

struct json_object *json_hex(const uint8_t *bytes, size_t len);
struct json_object *json_mask(uint64_t mask);

/* malloc()ed bytes of hexadecimal digits; NULL if they are not, or memory ran out. */
uint8_t *bytes_of_hex(const char *text, size_t *len);

/* Prints and releases it. */
void json_print(struct json_object *json);

#endif
