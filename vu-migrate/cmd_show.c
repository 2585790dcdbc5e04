/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-migrate show, convert: an image for people; an image for other versions. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vu-migrate/cmd.h"
#include "vu-migrate/json.h"
#include "vu-migrate/show.h"
#include "vu-migrate/tree.h"

/* --- show --- */

static bool with_blob;

static int show_json(const char *path)
{
	struct json_object *tree;
	int status = tree_of_image(path, &tree);

	if (!status)
		json_print(tree);
	return status;
}

static int run_show(int argc, char **argv)
{
	VU_CLEANUP_SNAP struct vu__snap s = {0};
	const char *path = argc ? argv[0] : "-";
	int status;

	if (globals.json)
		return show_json(path);
	status = load_state(path, &s);
	if (!status)
		show_state(&s, with_blob);
	return status;
}

static const struct opt show_opts[] = {
	{"blob", 'b', NULL, "the device's own state too, in hexadecimal", opt_flag, &with_blob},
	{0},
};

const struct command cmd_show = {
	.name = "show",
	.args = "[FILE|-]",
	.what = "print all that is in an image",
	.opts = show_opts,
	.max_args = 1,
	.run = run_show,
};

/* --- convert --- */

static uint64_t to_version = VU__IMAGE_VERSION;
static const char *output = "-";
static bool zstd;

/* Copies what is there, known or not. */
static int copy_records(struct infile *in, struct outfile *out)
{
	uint64_t zstd_bit = VU_BIT(VU__IMAGE_F_ZSTD);
	struct vu__record rec;
	int ret = vu__image_begin(&out->w, (in->r.incompat & ~zstd_bit) | (zstd ? zstd_bit : 0),
				  in->r.compat);

	out->compress = zstd;
	while (!ret && (ret = vu__image_next(&in->r, &rec)) > 0)
		ret = outfile_put(out, rec.type, rec.flags & ~VU__REC_ZSTD, rec.payload,
				  rec.len);
	return ret ? ret : vu__image_end(&out->w);
}

static int convert(struct infile *in)
{
	struct outfile out;
	int ret = vu__image_open(&in->r);
	int status;

	if (ret)
		return infile_fail(in, ret);
	status = outfile_open(&out, output);
	if (status)
		return status;
	ret = copy_records(in, &out);
	if (!in->r.why[0])
		return outfile_close(&out, ret);
	(void)outfile_close(&out, -EBADMSG);
	return infile_fail(in, ret);
}

static int run_convert(int argc, char **argv)
{
	struct infile in;
	int status;

	if (to_version != VU__IMAGE_VERSION) {
		say("convert: this writes format version %d only", VU__IMAGE_VERSION);
		return EXIT_UNSUPPORTED;
	}
	if (zstd && !can_compress()) {
		say("convert: this build has no zstd");
		return EXIT_UNSUPPORTED;
	}
	status = infile_open(&in, argc ? argv[0] : "-");
	if (status)
		return status;
	status = convert(&in);
	infile_close(&in);
	return status;
}

static const struct opt convert_opts[] = {
	{"to", 't', "VERSION", "format version, now always 1", opt_number, &to_version},
	{"zstd", 'z', NULL, "compress; without it, expand", opt_flag, &zstd},
	{"output", 'o', "FILE", "write there, not to standard output", opt_text, &output},
	{0},
};

const struct command cmd_convert = {
	.name = "convert",
	.args = "[FILE|-]",
	.what = "write an image again, for another version, compressed or not",
	.opts = convert_opts,
	.max_args = 1,
	.run = run_convert,
};
