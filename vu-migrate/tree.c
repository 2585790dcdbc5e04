/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of an image as JSON. */
#include "vu-migrate/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/image.pb-c.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/json.h"

void record_name(unsigned int type, char *name, size_t size)
{
	const char *known = vu__image_type_name(type);

	if (known)
		snprintf(name, size, "%s", known);
	else
		snprintf(name, size, "type %u", type);
}

/* --- to JSON --- */

/* Whether @m packs to just these bytes. */
static bool is_canonical(const ProtobufCMessage *m, const struct vu__record *rec)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	VU_CLEANUP_FREE uint8_t *packed = malloc(len + 1);

	if (!packed || len != rec->len)
		return false;
	protobuf_c_message_pack(m, packed);
	return !memcmp(packed, rec->payload, len);
}

/* The payload as an object; NULL if it must stay raw. */
static struct json_object *payload_of(const struct vu__record *rec)
{
	const ProtobufCMessageDescriptor *d = vu__snap_message(rec->type);
	struct json_object *o = NULL;
	ProtobufCMessage *m;

	if (!d)
		return NULL;
	m = protobuf_c_message_unpack(d, NULL, rec->len, rec->payload);
	if (!m)
		return NULL;
	if (is_canonical(m, rec))
		o = json_of_message(m);
	protobuf_c_message_free_unpacked(m, NULL);
	return o;
}

struct json_object *json_of_record(const struct vu__record *rec)
{
	struct json_object *o = json_object_new_object();
	struct json_object *payload = payload_of(rec);
	const char *name = vu__image_type_name(rec->type);

	json_object_object_add(o, "type", name ? json_object_new_string(name) :
						 json_object_new_int((int)rec->type));
	if (rec->flags & VU__REC_REQUIRED)
		json_object_object_add(o, "required", json_object_new_boolean(true));
	if (rec->flags & VU__REC_ZSTD)
		json_object_object_add(o, "compressed", json_object_new_boolean(true));
	if (payload)
		json_object_object_add(o, "payload", payload);
	else
		json_object_object_add(o, "raw", json_hex(rec->payload, rec->len));
	return o;
}

/* --- from JSON --- */

static int wrong(char *why, size_t why_size, const char *text)
{
	snprintf(why, why_size, "%s", text);
	return -EINVAL;
}

static bool type_of(struct json_object *o, unsigned int *type)
{
	if (json_object_is_type(o, json_type_int)) {
		*type = (unsigned int)json_object_get_int(o);
		return *type < VU__REC_END;
	}
	for (*type = 0; *type < VU__REC_END; ++*type) {
		const char *name = vu__image_type_name(*type);

		if (name && json_object_is_type(o, json_type_string) &&
		    !strcmp(name, json_object_get_string(o)))
			return true;
	}
	return false;
}

static bool is_true(struct json_object *json, const char *name)
{
	struct json_object *o;

	return json_object_object_get_ex(json, name, &o) && json_object_get_boolean(o);
}

/* malloc()ed; NULL with the reason in @why. */
static uint8_t *pack(struct json_object *json, unsigned int type, size_t *len, char *why,
		     size_t why_size)
{
	const ProtobufCMessageDescriptor *d = vu__snap_message(type);
	ProtobufCMessage *m;
	uint8_t *bytes;

	if (!d) {
		wrong(why, why_size, "a payload that is not raw, of an unknown type");
		return NULL;
	}
	m = message_of_json(json, d, why, why_size);
	if (!m)
		return NULL;
	*len = protobuf_c_message_get_packed_size(m);
	bytes = malloc(*len + 1);
	if (bytes)
		protobuf_c_message_pack(m, bytes);
	else
		wrong(why, why_size, "out of memory");
	protobuf_c_message_free_unpacked(m, NULL);
	return bytes;
}

int record_of_json(struct json_object *json, struct outfile *out, char *why, size_t why_size)
{
	VU_CLEANUP_FREE uint8_t *bytes = NULL;
	struct json_object *o;
	unsigned int type;
	size_t len;

	if (!json_object_is_type(json, json_type_object) ||
	    !json_object_object_get_ex(json, "type", &o) || !type_of(o, &type))
		return wrong(why, why_size, "it has no known type");
	if (json_object_object_get_ex(json, "raw", &o)) {
		bytes = bytes_of_hex(json_object_get_string(o), &len);
		if (!bytes)
			return wrong(why, why_size, "'raw' is not hexadecimal digits");
	} else if (json_object_object_get_ex(json, "payload", &o)) {
		bytes = pack(o, type, &len, why, why_size);
		if (!bytes)
			return -EINVAL;
	} else {
		return wrong(why, why_size, "it has neither payload nor raw");
	}
	out->compress = is_true(json, "compressed");
	if (out->compress && !can_compress())
		return wrong(why, why_size, "this build cannot compress");
	return outfile_put(out, type, is_true(json, "required") ? VU__REC_REQUIRED : 0, bytes,
			   len);
}

/* --- a tree --- */

/* What tells records of one type apart, if there may be several. */
static void name_record(const struct vu__record *rec, struct json_object *payload, char *name,
			size_t size)
{
	static const struct {
		unsigned int type;
		const char *member;
	} keys[] = {
		{VU__REC_QUEUE, "index"},
		{VU__REC_INFLIGHT, "queue"},
		{VU__REC_BLOB, "offset"},
		{VU__REC_NOTE, "key"},
	};
	struct json_object *key;
	size_t n;

	record_name(rec->type, name, size);
	n = strlen(name);
	for (size_t i = 0; i < VU_ARRAY_SIZE(keys); i++) {
		if (keys[i].type != rec->type || !payload)
			continue;
		if (json_object_object_get_ex(payload, keys[i].member, &key))
			snprintf(name + n, size - n, " %s", json_object_get_string(key));
		else
			snprintf(name + n, size - n, " 0");
		return;
	}
	if (!payload)
		snprintf(name + n, size - n, " %" PRIu64, rec->number);
}

static int add_records(struct infile *in, struct json_object *tree)
{
	struct vu__record rec;
	int ret = vu__image_open(&in->r);

	while (!ret && (ret = vu__image_next(&in->r, &rec)) > 0) {
		struct json_object *payload = payload_of(&rec);
		char name[400];

		name_record(&rec, payload, name, sizeof(name));
		json_object_object_add(tree, name,
				       payload ? payload : json_hex(rec.payload, rec.len));
		ret = 0;
	}
	return ret;
}

int tree_of_image(const char *path, struct json_object **tree)
{
	struct infile in;
	int status = infile_open(&in, path);
	int ret;

	if (status)
		return status;
	*tree = json_object_new_object();
	ret = add_records(&in, *tree);
	if (ret) {
		status = infile_fail(&in, ret);
		json_object_put(*tree);
	}
	infile_close(&in);
	return status;
}
