/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of an image as JSON, one by one or all in a tree. */
#ifndef VU_MIGRATE_TREE_H
#define VU_MIGRATE_TREE_H

#include <json-c/json.h>

#include "vu-migrate/file.h"

/*
 * {"type": "queue", "required": true, "payload": {...}}; "compressed" where it is so.
 * What would not come back byte for byte, or is of an unknown type, is in "raw".
 */
struct json_object *json_of_record(const struct vu__record *rec);

/* Puts one back.  0; -EINVAL with the reason in @why; what writing can say. */
VU_MUST_CHECK int record_of_json(struct json_object *json, struct outfile *out, char *why,
				 size_t why_size);

/* "queue" and so on; "type 500" for others. */
void record_name(unsigned int type, char *name, size_t size);

/*
 * All payloads of @path by name: "inventory", "device", "queue 0", "note vm", ...
 * 0 or the exit status after saying why.
 */
int tree_of_image(const char *path, struct json_object **tree);

#endif
