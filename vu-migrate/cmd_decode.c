/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-migrate decode, encode: an image as JSON that can be edited, and back. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vu-migrate/cmd.h"
#include "vu-migrate/json.h"
#include "vu-migrate/tree.h"

#define FORMAT "vu-image"

static const char *output;

/* --- decode --- */

static void print_record(struct json_object *json, bool first)
{
	printf("%s%s", first ? "\n" : ",\n",
	       json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(json);
}

/* Record by record: an image may be larger than it is wise to hold as JSON. */
static int print_records(struct infile *in)
{
	struct vu__record rec;
	int ret = vu__image_open(&in->r);

	if (ret)
		return ret;
	printf("{\"format\": \"%s\", \"version\": %u,\n \"incompatible\": \"0x%" PRIx64
	       "\", \"compatible\": \"0x%" PRIx64 "\",\n \"records\": [",
	       FORMAT, in->r.version, in->r.incompat, in->r.compat);
	while ((ret = vu__image_next(&in->r, &rec)) > 0)
		print_record(json_of_record(&rec), rec.number == 1);
	if (!ret)
		puts("\n]}");
	return ret;
}

static int run_decode(int argc, char **argv)
{
	struct infile in;
	int status = infile_open(&in, argc ? argv[0] : "-");
	int ret;

	if (status)
		return status;
	if (output && !freopen(output, "w", stdout))
		return fail(-errno, "%s: %s", output, strerror(errno));
	ret = print_records(&in);
	if (ret)
		status = infile_fail(&in, ret);
	infile_close(&in);
	return status;
}

/* --- encode --- */

static struct json_object *read_json(const char *path)
{
	bool is_pipe = !strcmp(path, "-");
	int fd = is_pipe ? 0 : open(path, O_RDONLY | O_CLOEXEC);
	struct json_object *json;

	if (fd < 0) {
		say("%s: %s", path, strerror(errno));
		return NULL;
	}
	json = json_object_from_fd_ex(fd, 64);
	if (!json) {
		const char *why = json_util_get_last_err();

		/* Its texts end with a line end. */
		say("%s: not JSON: %.*s", path, (int)strcspn(why, "\n"), why);
	}
	if (!is_pipe)
		close(fd);
	return json;
}

static bool get_mask(struct json_object *json, const char *name, uint64_t *mask)
{
	struct json_object *o;
	char *end;

	*mask = 0;
	if (!json_object_object_get_ex(json, name, &o))
		return true;
	errno = 0;
	*mask = strtoull(json_object_get_string(o), &end, 0);
	return !errno && !*end;
}

/* The list of records; NULL after saying why it is none of ours. */
static struct json_object *records_of(struct json_object *json)
{
	struct json_object *format, *version, *records;

	if (!json_object_object_get_ex(json, "format", &format) ||
	    strcmp(json_object_get_string(format), FORMAT) ||
	    !json_object_object_get_ex(json, "records", &records) ||
	    !json_object_is_type(records, json_type_array)) {
		say("this is not what vu-migrate decode prints");
		return NULL;
	}
	if (!json_object_object_get_ex(json, "version", &version) ||
	    json_object_get_int(version) != VU__IMAGE_VERSION) {
		say("an image of format version %s; this writes version %d",
		    json_object_get_string(version), VU__IMAGE_VERSION);
		return NULL;
	}
	return records;
}

static int write_records(struct json_object *json, struct json_object *records,
			 struct outfile *out)
{
	uint64_t incompat, compat;
	char why[200];
	int ret;

	if (!get_mask(json, "incompatible", &incompat) || !get_mask(json, "compatible", &compat)) {
		say("the feature masks are not numbers");
		return -EBADMSG;
	}
	ret = vu__image_begin(&out->w, incompat, compat);
	for (size_t i = 0; !ret && i < json_object_array_length(records); i++) {
		why[0] = '\0';
		ret = record_of_json(json_object_array_get_idx(records, i), out, why,
				     sizeof(why));
		if (ret && why[0]) {
			say("record %zu: %s", i + 1, why);
			return -EBADMSG;
		}
	}
	return ret ? ret : vu__image_end(&out->w);
}

static int run_encode(int argc, char **argv)
{
	struct json_object *json = read_json(argc ? argv[0] : "-");
	struct json_object *records = json ? records_of(json) : NULL;
	struct outfile out;
	int status = EXIT_IMAGE;

	if (records) {
		status = outfile_open(&out, output ? output : "-");
		if (!status)
			status = outfile_close(&out, write_records(json, records, &out));
	}
	json_object_put(json);
	return status;
}

static const struct opt decode_opts[] = {
	{"output", 'o', "FILE", "write there, not to standard output", opt_text, &output},
	{0},
};

const struct command cmd_decode = {
	.name = "decode",
	.args = "[FILE|-]",
	.what = "print an image as JSON that encode takes back, to the last byte",
	.opts = decode_opts,
	.max_args = 1,
	.run = run_decode,
};

const struct command cmd_encode = {
	.name = "encode",
	.args = "[FILE|-]",
	.what = "make an image from what decode has printed",
	.more = "Members that this version does not know are kept.  What was edited is written\n"
		"as it is; 'vu-migrate verify' says whether it makes sense.",
	.opts = decode_opts,
	.max_args = 1,
	.run = run_encode,
};
