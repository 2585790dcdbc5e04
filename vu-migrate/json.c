/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Protobuf messages as JSON and back.  No I/O but json_print(). */
#include "vu-migrate/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define UNKNOWN "unknown"

/* --- values --- */

struct json_object *json_mask(uint64_t mask)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, mask);
	return json_object_new_string(text);
}

struct json_object *json_hex(const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	VU_CLEANUP_FREE char *text = malloc(2 * len + 1);

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	return json_object_new_string_len(text, 2 * len);
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

uint8_t *bytes_of_hex(const char *text, size_t *len)
{
	size_t n = strlen(text) / 2;
	VU_CLEANUP_FREE uint8_t *bytes = malloc(n + 1);

	if (!bytes || strlen(text) % 2)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return NULL;
		bytes[i] = high << 4 | low;
	}
	*len = n;
	return vu__steal_ptr(&bytes);
}

/* One well-formed character; 0 if it is none. */
static size_t utf8_length(const uint8_t *p)
{
	size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 :
		   *p >= 0xf0 && *p < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

static struct json_object *json_text(const char *text)
{
	const uint8_t *p = (const uint8_t *)text;
	struct json_object *o;

	while (*p) {
		size_t n = utf8_length(p);

		if (!n) {
			o = json_object_new_object();
			json_object_object_add(o, "hex",
					       json_hex((const uint8_t *)text, strlen(text)));
			return o;
		}
		p += n;
	}
	return json_object_new_string(text);
}

/* --- message to JSON --- */

static struct json_object *enum_value(const ProtobufCEnumDescriptor *d, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);

	return v ? json_object_new_string(v->name) : json_object_new_int(value);
}

/* A value of @f at @p; NULL for a default, unless @always. */
static struct json_object *value_of(const ProtobufCFieldDescriptor *f, const void *p,
				    bool always)
{
	const ProtobufCBinaryData *bytes = p;
	uint32_t u32;
	uint64_t u64;

	switch (f->type) {
	case PROTOBUF_C_TYPE_UINT32:
		memcpy(&u32, p, sizeof(u32));
		return u32 || always ? json_object_new_uint64(u32) : NULL;
	case PROTOBUF_C_TYPE_UINT64:
		memcpy(&u64, p, sizeof(u64));
		return u64 || always ? json_object_new_uint64(u64) : NULL;
	case PROTOBUF_C_TYPE_FIXED32:
		memcpy(&u32, p, sizeof(u32));
		return u32 || always ? json_mask(u32) : NULL;
	case PROTOBUF_C_TYPE_FIXED64:
		memcpy(&u64, p, sizeof(u64));
		return u64 || always ? json_mask(u64) : NULL;
	case PROTOBUF_C_TYPE_BOOL:
		return *(const protobuf_c_boolean *)p || always ? json_object_new_boolean(
			*(const protobuf_c_boolean *)p) : NULL;
	case PROTOBUF_C_TYPE_ENUM:
		memcpy(&u32, p, sizeof(u32));
		return u32 || always ? enum_value(f->descriptor, (int)u32) : NULL;
	case PROTOBUF_C_TYPE_STRING:
		return **(char *const *)p || always ? json_text(*(char *const *)p) : NULL;
	case PROTOBUF_C_TYPE_BYTES:
		return bytes->len || always ? json_hex(bytes->data, bytes->len) : NULL;
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(ProtobufCMessage *const *)p ?
			       json_of_message(*(ProtobufCMessage *const *)p) : NULL;
	default:
		return NULL;
	}
}

static size_t size_of(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_ENUM:
		return 4;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return 8;
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return sizeof(void *);
	}
}

static struct json_object *repeated_value(const ProtobufCFieldDescriptor *f,
					  const ProtobufCMessage *m)
{
	const char *base = (const char *)m;
	size_t n = *(const size_t *)(base + f->quantifier_offset);
	const char *array = *(char *const *)(base + f->offset);
	struct json_object *list;

	if (!n)
		return NULL;
	list = json_object_new_array();
	for (size_t i = 0; i < n; i++)
		json_object_array_add(list, value_of(f, array + i * size_of(f), true));
	return list;
}

static struct json_object *unknown_fields(const ProtobufCMessage *m)
{
	struct json_object *list = json_object_new_array();

	for (unsigned int i = 0; i < m->n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *u = &m->unknown_fields[i];
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "tag", json_object_new_uint64(u->tag));
		json_object_object_add(o, "wire", json_object_new_int(u->wire_type));
		json_object_object_add(o, "hex", json_hex(u->data, u->len));
		json_object_array_add(list, o);
	}
	return list;
}

struct json_object *json_of_message(const ProtobufCMessage *m)
{
	struct json_object *o = json_object_new_object();

	for (unsigned int i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		struct json_object *v = f->label == PROTOBUF_C_LABEL_REPEATED ?
						repeated_value(f, m) :
						value_of(f, (const char *)m + f->offset, false);

		if (v)
			json_object_object_add(o, f->name, v);
	}
	if (m->n_unknown_fields)
		json_object_object_add(o, UNKNOWN, unknown_fields(m));
	return o;
}

/* --- JSON to message --- */

struct parse {
	char *why;
	size_t why_size;
};

static bool wrong(const struct parse *c, const char *fmt, ...) VU_PRINTF(2, 3);
static bool wrong(const struct parse *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, c->why_size, fmt, ap);
	va_end(ap);
	return false;
}

/* A number, or digits in a string, of up to @max. */
static bool get_number(const struct parse *c, const char *name, struct json_object *v,
		       uint64_t max, uint64_t *n)
{
	const char *text = json_object_get_string(v);
	char *end = NULL;

	if (json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_string)) {
		errno = 0;
		*n = strtoull(text, &end, 0);
		if (!errno && *text >= '0' && *text <= '9' && !*end && *n <= max)
			return true;
	}
	return wrong(c, "'%s' is not a number of up to %" PRIu64, name, max);
}

static bool get_enum(const struct parse *c, const ProtobufCFieldDescriptor *f,
		     struct json_object *v, uint32_t *n)
{
	const ProtobufCEnumValue *e = NULL;

	if (json_object_is_type(v, json_type_string))
		e = protobuf_c_enum_descriptor_get_value_by_name(f->descriptor,
								 json_object_get_string(v));
	if (!e && !json_object_is_type(v, json_type_int))
		return wrong(c, "'%s' has no value %s", f->name, json_object_get_string(v));
	*n = (uint32_t)(e ? e->value : json_object_get_int(v));
	return true;
}

static bool get_text(const struct parse *c, const char *name, struct json_object *v, char **to)
{
	struct json_object *hex;
	size_t len;

	if (json_object_is_type(v, json_type_string)) {
		*to = strdup(json_object_get_string(v));
		return *to || wrong(c, "out of memory");
	}
	if (json_object_is_type(v, json_type_object) &&
	    json_object_object_get_ex(v, "hex", &hex)) {
		*to = (char *)bytes_of_hex(json_object_get_string(hex), &len);
		if (*to) {
			(*to)[len] = '\0';
			return true;
		}
	}
	return wrong(c, "'%s' is not a text", name);
}

static bool get_bytes(const struct parse *c, const char *name, struct json_object *v,
		      ProtobufCBinaryData *to)
{
	if (json_object_is_type(v, json_type_string))
		to->data = bytes_of_hex(json_object_get_string(v), &to->len);
	return to->data || wrong(c, "'%s' is not hexadecimal digits", name);
}

static bool get_value(const struct parse *c, const ProtobufCFieldDescriptor *f,
		      struct json_object *v, void *to)
{
	uint64_t n = 0;
	uint32_t n32;
	bool ok;

	switch (f->type) {
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		ok = get_number(c, f->name, v, UINT64_MAX, &n);
		memcpy(to, &n, sizeof(n));
		return ok;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		ok = get_number(c, f->name, v, UINT32_MAX, &n);
		n32 = (uint32_t)n;
		memcpy(to, &n32, sizeof(n32));
		return ok;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)to = json_object_get_boolean(v);
		return json_object_is_type(v, json_type_boolean) ||
		       wrong(c, "'%s' is neither true nor false", f->name);
	case PROTOBUF_C_TYPE_ENUM:
		return get_enum(c, f, v, to);
	case PROTOBUF_C_TYPE_STRING:
		return get_text(c, f->name, v, to);
	case PROTOBUF_C_TYPE_BYTES:
		return get_bytes(c, f->name, v, to);
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)to = message_of_json(v, f->descriptor, c->why,
							   c->why_size);
		return *(ProtobufCMessage **)to;
	default:
		return wrong(c, "'%s' is of a type this does not know", f->name);
	}
}

/* Text and messages begin as what an unpacked empty message has. */
static void init_value(const ProtobufCFieldDescriptor *f, void *p)
{
	if (f->type == PROTOBUF_C_TYPE_STRING)
		*(const char **)p = &protobuf_c_empty_string[0];
}

static bool get_repeated(const struct parse *c, const ProtobufCFieldDescriptor *f,
			 struct json_object *v, ProtobufCMessage *m)
{
	size_t *n = (size_t *)((char *)m + f->quantifier_offset);
	char **array = (char **)((char *)m + f->offset);
	size_t all = json_object_is_type(v, json_type_array) ? json_object_array_length(v) : 0;

	if (!json_object_is_type(v, json_type_array))
		return wrong(c, "'%s' is not a list", f->name);
	*array = calloc(all + 1, size_of(f));
	if (!*array)
		return wrong(c, "out of memory");
	for (size_t i = 0; i < all; i++) {
		char *at = *array + i * size_of(f);

		init_value(f, at);
		if (!get_value(c, f, json_object_array_get_idx(v, i), at))
			return false;
		/* Counted when it is whole: what is counted is freed. */
		++*n;
	}
	return true;
}

static bool get_unknown_field(const struct parse *c, struct json_object *v,
			      ProtobufCMessageUnknownField *u)
{
	struct json_object *tag, *wire, *hex;
	uint64_t t, w;

	if (!json_object_object_get_ex(v, "tag", &tag) ||
	    !json_object_object_get_ex(v, "wire", &wire) ||
	    !json_object_object_get_ex(v, "hex", &hex))
		return wrong(c, "an unknown member without tag, wire and hex");
	if (!get_number(c, "tag", tag, UINT32_MAX, &t) || !get_number(c, "wire", wire, 5, &w))
		return false;
	u->tag = (uint32_t)t;
	u->wire_type = (ProtobufCWireType)w;
	u->data = bytes_of_hex(json_object_get_string(hex), &u->len);
	return u->data || wrong(c, "'hex' is not hexadecimal digits");
}

static bool get_unknown(const struct parse *c, struct json_object *v, ProtobufCMessage *m)
{
	size_t all;

	if (!json_object_is_type(v, json_type_array))
		return wrong(c, "'" UNKNOWN "' is not a list");
	all = json_object_array_length(v);
	m->unknown_fields = calloc(all + 1, sizeof(*m->unknown_fields));
	if (!m->unknown_fields)
		return wrong(c, "out of memory");
	for (size_t i = 0; i < all; i++) {
		if (!get_unknown_field(c, json_object_array_get_idx(v, i),
				       &m->unknown_fields[i]))
			return false;
		m->n_unknown_fields++;
	}
	return true;
}

static bool get_member(const struct parse *c, const char *name, struct json_object *v,
		       ProtobufCMessage *m)
{
	const ProtobufCFieldDescriptor *f;

	if (!strcmp(name, UNKNOWN))
		return get_unknown(c, v, m);
	f = protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
	if (!f)
		return wrong(c, "%s has no member '%.60s'", m->descriptor->short_name, name);
	return f->label == PROTOBUF_C_LABEL_REPEATED ?
		       get_repeated(c, f, v, m) :
		       get_value(c, f, v, (char *)m + f->offset);
}

ProtobufCMessage *message_of_json(struct json_object *json,
				  const ProtobufCMessageDescriptor *d, char *why,
				  size_t why_size)
{
	struct parse c = {why, why_size};
	ProtobufCMessage *m;

	if (!json_object_is_type(json, json_type_object)) {
		wrong(&c, "%s is not an object", d->short_name);
		return NULL;
	}
	m = calloc(1, d->sizeof_message);
	if (!m) {
		wrong(&c, "out of memory");
		return NULL;
	}
	protobuf_c_message_init(d, m);
	json_object_object_foreach(json, name, v) {
		if (get_member(&c, name, v, m))
			continue;
		protobuf_c_message_free_unpacked(m, NULL);
		return NULL;
	}
	return m;
}

void json_print(struct json_object *json)
{
	/* 0.1, not 0.10000000000000001. */
	json_c_set_serialization_double_format("%.6g", JSON_C_OPTION_GLOBAL);
	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							  JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(json);
}
