/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-migrate verify, info, features: is an image good, what is in it, what is known. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tools/utf8.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/file.h"
#include "vu-migrate/json.h"
#include "vu-migrate/show.h"
#include "vu-migrate/tree.h"

/* --- verify --- */

static struct json_object *verdict(const char *path, const char *why)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "file", json_object_new_string(path));
	json_object_object_add(o, "good", json_object_new_boolean(!why));
	if (why)
		json_object_object_add(o, "why", json_object_new_string(why));
	return o;
}

static int verify_one(const char *path, struct json_object *list)
{
	VU_CLEANUP_SNAP struct vu__snap s = {0};
	struct infile in;
	int status = infile_open(&in, path);
	int ret;

	if (status)
		return status;
	ret = vu__snap_read(&s, &in.r);
	if (ret)
		status = infile_fail(&in, ret);
	else if (!list && !globals.quiet)
		printf("%s: good, %" PRIu64 " records of %" PRIu64 " bytes\n", path, in.r.records,
		       in.r.at);
	if (list)
		json_object_array_add(list, verdict(path, ret ? in.r.why : NULL));
	infile_close(&in);
	return status;
}

static int run_verify(int argc, char **argv)
{
	struct json_object *list = globals.json ? json_object_new_array() : NULL;
	int worst = EXIT_SUCCESS;

	for (int i = 0; i < argc; i++) {
		int status = verify_one(argv[i], list);

		worst = status ? status : worst;
	}
	if (list)
		json_print(list);
	return worst;
}

/* --- info --- */

static uint64_t memory_of(const struct vu__snap *s)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->nregions; i++)
		sum += s->regions[i].size;
	return sum;
}

struct counts {
	uint32_t started, enabled, inflight;
};

static struct counts count(const struct vu__snap *s)
{
	struct counts c = {0, 0, 0};

	for (uint32_t i = 0; i < s->nqueues; i++) {
		c.started += s->queues[i].started;
		c.enabled += s->queues[i].enabled;
		c.inflight += s->queues[i].nheads;
	}
	return c;
}

static void info_json(const char *path, const struct vu__snap *s, const struct infile *in)
{
	struct json_object *o = json_object_new_object();
	struct counts c = count(s);
	char when[40];

	show_time(s->inventory.time_ns, when, sizeof(when));
	json_object_object_add(o, "file", json_object_new_string(path));
	json_object_object_add(o, "version", json_object_new_int((int)in->r.version));
	json_object_object_add(o, "bytes", json_object_new_uint64(in->r.at));
	json_object_object_add(o, "id", json_object_new_string(s->inventory.id));
	json_object_object_add(o, "time", json_object_new_string(when));
	json_object_object_add(o, "writer", json_object_new_string(s->inventory.writer));
	json_object_object_add(o, "writer_version",
			       json_object_new_string(s->inventory.version));
	json_object_object_add(o, "host", json_object_new_string(s->inventory.host));
	json_object_object_add(o, "device", json_object_new_string(s->device.name));
	json_object_object_add(o, "moment",
			       json_object_new_string(show_moment(s->inventory.moment)));
	json_object_object_add(o, "queues", json_object_new_int((int)s->nqueues));
	json_object_object_add(o, "started", json_object_new_int((int)c.started));
	json_object_object_add(o, "in_flight", json_object_new_int((int)c.inflight));
	json_object_object_add(o, "regions", json_object_new_int((int)s->nregions));
	json_object_object_add(o, "memory_bytes", json_object_new_uint64(memory_of(s)));
	json_object_object_add(o, "device_state_bytes", json_object_new_uint64(s->blob.len));
	json_print(o);
}

static void info_text(const char *path, const struct vu__snap *s, const struct infile *in)
{
	struct counts c = count(s);
	char when[40], memory[24];

	show_time(s->inventory.time_ns, when, sizeof(when));
	show_bytes(memory_of(s), memory, sizeof(memory));
	printf("%s: format version %u, %" PRIu64 " records, %" PRIu64 " bytes\n", path,
	       in->r.version, in->r.records, in->r.at);
	printf("  written  %s by %s %s on %s, id %s\n", when, utf8_shown(s->inventory.writer),
	       utf8_shown(s->inventory.version), utf8_shown(s->inventory.host),
	       utf8_shown(s->inventory.id));
	printf("  device   %s, %s\n", utf8_shown(s->device.name), show_moment(s->inventory.moment));
	printf("  queues   %u, %u started, %u enabled, %u requests in flight\n", s->nqueues,
	       c.started, c.enabled, c.inflight);
	printf("  memory   %u regions, %s (contents not included)\n", s->nregions, memory);
	printf("  state    %" PRIu64 " bytes of the device's own\n", s->blob.len);
}

static int run_info(int argc, char **argv)
{
	VU_CLEANUP_SNAP struct vu__snap s = {0};
	const char *path = argc ? argv[0] : "-";
	struct infile in;
	int status = infile_open(&in, path);
	int ret;

	if (status)
		return status;
	ret = vu__snap_read(&s, &in.r);
	if (ret)
		status = infile_fail(&in, ret);
	else if (globals.json)
		info_json(path, &s, &in);
	else
		info_text(path, &s, &in);
	infile_close(&in);
	return status;
}

/* --- features --- */

typedef const char *name_of(unsigned int number);

/* Names of 0 to @n, of those that there are. */
static struct json_object *names(name_of *name, unsigned int n)
{
	struct json_object *o = json_object_new_object();

	for (unsigned int i = 0; i < n; i++) {
		if (name(i))
			json_object_object_add(o, name(i), json_object_new_int((int)i));
	}
	return o;
}

static void print_names(const char *what, struct json_object *o)
{
	printf("%-22s", what);
	json_object_object_foreach(o, name, number)
		printf(" %s (%d)", name, json_object_get_int(number));
	puts("");
	json_object_put(o);
}

static int run_features(int argc, char **argv)
{
	struct json_object *incompat = names(vu__image_incompat_name, VU__IMAGE_F_COUNT);
	struct json_object *compat = names(vu__image_compat_name, VU__IMAGE_C_COUNT);
	struct json_object *types = names(vu__image_type_name, VU__REC_END + 1);
	struct json_object *o;

	(void)argc;
	(void)argv;
	if (!globals.json) {
		printf("%-22s %d\n", "image format", VU__IMAGE_VERSION);
		print_names("incompatible features", incompat);
		print_names("compatible features", compat);
		print_names("record types", types);
		printf("%-22s %s\n", "compression", can_compress() ? "zstd" : "not built in");
		return EXIT_SUCCESS;
	}
	o = json_object_new_object();
	json_object_object_add(o, "image_version", json_object_new_int(VU__IMAGE_VERSION));
	json_object_object_add(o, "incompatible", incompat);
	json_object_object_add(o, "compatible", compat);
	json_object_object_add(o, "records", types);
	json_object_object_add(o, "zstd", json_object_new_boolean(can_compress()));
	json_print(o);
	return EXIT_SUCCESS;
}

static const struct opt no_opts[] = {{0}};

const struct command cmd_verify = {
	.name = "verify",
	.args = "FILE...",
	.what = "say whether images are whole and make sense",
	.opts = no_opts,
	.min_args = 1,
	.max_args = -1,
	.run = run_verify,
};

const struct command cmd_info = {
	.name = "info",
	.args = "[FILE|-]",
	.what = "print who wrote an image when, and how much is in it",
	.opts = no_opts,
	.max_args = 1,
	.run = run_info,
};

const struct command cmd_features = {
	.name = "features",
	.args = "",
	.what = "print what this build reads and writes",
	.opts = no_opts,
	.run = run_features,
};
