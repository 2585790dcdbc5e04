/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON as messages of an image.  The first byte says which; the rest is JSON, or with its
 * high bit a packed message.  What is taken must come back the same.
 */
#include <stdlib.h>

#include "state/convert.h"
#include "tests/fuzz/fuzz.h"
#include "vu-migrate/json.h"

static uint8_t *pack(const ProtobufCMessage *m, size_t *len)
{
	uint8_t *bytes;

	*len = protobuf_c_message_get_packed_size(m);
	bytes = malloc(*len + 1);
	EXPECT(bytes);
	EXPECT(protobuf_c_message_pack(m, bytes) == *len);
	return bytes;
}

static void there_and_back(ProtobufCMessage *m)
{
	struct json_object *json = json_of_message(m);
	char why[200] = "";
	ProtobufCMessage *again = message_of_json(json, m->descriptor, why, sizeof(why));
	size_t len, len_again;
	uint8_t *bytes = pack(m, &len), *bytes_again;

	EXPECT(again);
	bytes_again = pack(again, &len_again);
	EXPECT(len == len_again && !memcmp(bytes, bytes_again, len));
	free(bytes);
	free(bytes_again);
	protobuf_c_message_free_unpacked(again, NULL);
	json_object_put(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *d;
	ProtobufCMessage *m = NULL;
	struct json_tokener *t;
	struct json_object *json;
	char why[200] = "";

	if (size < 2)
		return 0;
	d = vu__snap_message(data[0] & 0x7f);
	if (!d)
		return 0;
	if (data[0] & 0x80) {
		m = protobuf_c_message_unpack(d, NULL, size - 1, data + 1);
	} else {
		t = json_tokener_new();
		json = json_tokener_parse_ex(t, (const char *)data + 1, (int)size - 1);
		m = message_of_json(json, d, why, sizeof(why));
		EXPECT(m || why[0]);
		json_object_put(json);
		json_tokener_free(t);
	}
	if (!m)
		return 0;
	there_and_back(m);
	protobuf_c_message_free_unpacked(m, NULL);
	return 0;
}
