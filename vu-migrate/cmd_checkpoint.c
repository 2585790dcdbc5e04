/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-migrate checkpoint: a back-end's state into a file or a pipe.  The back-end makes
 * the image and hands it over in a memfd; what takes time here is no pause there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vu-migrate/client.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/file.h"
#include "vu-migrate/json.h"

#define HOLD_MS	  60000
#define TRIES_MAX 100

static const char *output;
static bool stop, keep_running, in_flight, zstd, resume;
static uint64_t drain_ms = 10000;
static bool drain_given;

static const char *set_drain(void *to, const char *text)
{
	drain_given = true;
	return opt_duration(to, text);
}

struct result {
	uint64_t bytes;
	uint64_t pause_ns;
	unsigned int tries;
};

/* --- the image --- */

static Vu__Control__Reply *save(struct client *c, int *err)
{
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;
	Vu__Control__Save s = VU__CONTROL__SAVE__INIT;

	s.hold = stop;
	s.in_flight = in_flight;
	s.drain_ms = in_flight ? 0 : (uint32_t)VU_MIN(drain_ms, UINT32_MAX);
	s.hold_ms = HOLD_MS;
	r.what_case = VU__CONTROL__REQUEST__WHAT_SAVE;
	r.save = &s;
	return client_call(c, &r, NULL, 0, (int)(s.drain_ms + globals.timeout_ms), err);
}

static int put_note(struct outfile *out, const char *key, const char *value)
{
	Vu__Image__Note note = VU__IMAGE__NOTE__INIT;
	uint8_t bytes[600];

	note.key = (char *)key;
	note.value = (char *)value;
	if (vu__image__note__get_packed_size(&note) > sizeof(bytes))
		return -EMSGSIZE;
	return outfile_put(out, VU__REC_NOTE, 0, bytes, vu__image__note__pack(&note, bytes));
}

/* What only this side knows, before the end record. */
static int put_notes(struct client *c, struct outfile *out)
{
	char vm[200];
	int ret;

	vm_name(c->info->frontend_pid, vm, sizeof(vm));
	ret = put_note(out, "vm", vm);
	return ret ? ret : put_note(out, "target", c->name);
}

static int copy(struct client *c, struct infile *in, struct outfile *out)
{
	uint64_t incompat = zstd ? VU_BIT(VU__IMAGE_F_ZSTD) : 0;
	struct vu__record rec;
	int ret = vu__image_open(&in->r);

	if (ret)
		return ret;
	out->compress = zstd;
	ret = vu__image_begin(&out->w, in->r.incompat | incompat,
			      in->r.compat | VU_BIT(VU__IMAGE_C_NOTES));
	while (!ret && (ret = vu__image_next(&in->r, &rec)) > 0)
		ret = outfile_put(out, rec.type, rec.flags, rec.payload, rec.len);
	if (!ret)
		ret = put_notes(c, out);
	return ret ? ret : vu__image_end(&out->w);
}

/* Writes the memfd's image under its final name, or says why not. */
static int write_image(struct client *c, const char *path, uint64_t *bytes)
{
	struct infile in;
	struct outfile out;
	int ret, status = outfile_open(&out, path);

	if (status)
		return status;
	infile_take(&in, c->name, c->got_fd);
	c->got_fd = -1;
	ret = copy(c, &in, &out);
	if (in.r.why[0]) {
		(void)outfile_close(&out, -EBADMSG);
		status = infile_fail(&in, ret);
	} else {
		*bytes = out.w.at;
		status = outfile_close(&out, ret);
	}
	infile_close(&in);
	return status;
}

/* --- the end of the hold --- */

static int release(struct client *c, bool stay)
{
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;
	Vu__Control__Release rel = VU__CONTROL__RELEASE__INIT;
	Vu__Control__Reply *reply;
	int err;

	rel.stay = stay;
	r.what_case = VU__CONTROL__REQUEST__WHAT_RELEASE;
	r.release = &rel;
	reply = client_call(c, &r, NULL, 0, (int)globals.timeout_ms, &err);
	if (reply)
		vu__control__reply__free_unpacked(reply, NULL);
	return err;
}

/* The image is safe: the back-end stays as it is.  -EAGAIN: it must be made again. */
static int stay_stopped(struct client *c)
{
	int err = release(c, true);

	if (!err)
		return 0;
	if (err == -EAGAIN && strcmp(output, "-"))
		return -EAGAIN;
	say("%s: stopping it: %s", c->name, c->why);
	if (strcmp(output, "-"))
		unlink(output);
	return err;
}

/* --- the command --- */

/* 0, an exit status, or -EAGAIN. */
static int once(struct client *c, struct result *res)
{
	Vu__Control__Reply *reply;
	int err, status;

	reply = save(c, &err);
	if (!reply)
		return client_fail(c, err, "taking a snapshot");
	if (reply->what_case != VU__CONTROL__REPLY__WHAT_SAVED || c->got_fd < 0)
		status = fail(-EPROTO, "%s: it did not give an image", c->name);
	else
		status = 0;
	if (!status)
		res->pause_ns = reply->saved->pause_ns;
	vu__control__reply__free_unpacked(reply, NULL);
	if (!status)
		status = write_image(c, output, &res->bytes);
	if (!stop)
		return status;
	if (status)
		/* Closing the connection lets the back-end go on, whatever has happened. */
		return EXIT_ROLLED_BACK;
	err = stay_stopped(c);
	return err && err != -EAGAIN ? EXIT_ROLLED_BACK : err;
}

static void report(const struct client *c, const struct result *res)
{
	struct json_object *o;
	FILE *to = strcmp(output, "-") ? stdout : stderr;

	if (globals.quiet)
		return;
	if (!globals.json) {
		fprintf(to, "%s: %llu bytes; the device %s%.3f ms\n", c->name,
			(unsigned long long)res->bytes,
			stop ? "is stopped; until the image was made: " : "stood still for ",
			(double)res->pause_ns / 1e6);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "target", json_object_new_string(c->name));
	json_object_object_add(o, "file", json_object_new_string(output));
	json_object_object_add(o, "bytes", json_object_new_uint64(res->bytes));
	json_object_object_add(o, "pause_ns", json_object_new_uint64(res->pause_ns));
	json_object_object_add(o, "stopped", json_object_new_boolean(stop));
	json_object_object_add(o, "tries", json_object_new_int((int)res->tries));
	fprintf(to, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static int checkpoint(struct client *c)
{
	struct result res = {0};
	int ret;

	do {
		if (interrupted)
			return fail(-EINTR, "interrupted; the back-end goes on");
		ret = once(c, &res);
		res.tries++;
	} while (ret == -EAGAIN && res.tries < TRIES_MAX);
	if (ret == -EAGAIN) {
		say("%s: requests come to their end all the time; use --drain", c->name);
		unlink(output);
		ret = EXIT_ROLLED_BACK;
	}
	if (!ret)
		report(c, &res);
	return ret;
}

static int resume_target(struct client *c)
{
	int err = release(c, false);

	return err ? client_fail(c, err, "resuming") : 0;
}

static int check_options(void)
{
	const char *wrong = resume && (output || stop) ? "--resume goes alone" :
			    stop && keep_running       ? "--stop and --keep-running" :
			    in_flight && drain_given   ? "--drain and --with-inflight" :
			    !resume && !output	       ? "-o FILE is missing" :
			    zstd && !can_compress()    ? "this build has no zstd" : NULL;

	if (wrong)
		say("checkpoint: %s", wrong);
	return wrong ? EXIT_USAGE : 0;
}

static int run_checkpoint(int argc, char **argv)
{
	struct client c;
	int status = check_options();

	(void)argc;
	if (!status)
		status = client_open(&c, argv[0], false);
	if (status)
		return status;
	if (!client_can(&c, "save"))
		status = EXIT_UNSUPPORTED;
	else
		status = resume ? resume_target(&c) : checkpoint(&c);
	client_close(&c);
	return status;
}

static const struct opt opts[] = {
	{"output", 'o', "FILE", "where the image goes; - is standard output", opt_text, &output},
	{"stop", 0, NULL, "the back-end stays stopped: end it, then restore it", opt_flag, &stop},
	{"keep-running", 0, NULL, "it goes on after a moment (without --stop)", opt_flag,
	 &keep_running},
	{"drain", 0, "TIME", "let requests in flight end, up to this long (10s)", set_drain,
	 &drain_ms},
	{"with-inflight", 0, NULL, "list requests in flight, do not wait for them", opt_flag,
	 &in_flight},
	{"zstd", 'z', NULL, "compress", opt_flag, &zstd},
	{"resume", 0, NULL, "let a back-end go on that --stop has stopped", opt_flag, &resume},
	{0},
};

const struct command cmd_checkpoint = {
	.name = "checkpoint",
	.args = "TARGET",
	.what = "write a back-end's state to a file or a pipe",
	.more = "The image goes under its name when it is whole and on the disk.  If that fails,\n"
		"or vu-migrate ends early, the back-end goes on.\n\n"
		"  vu-migrate checkpoint 4711-0 -o disk.vui\n"
		"  vu-migrate checkpoint /run/disk.sock --stop -o disk.vui\n"
		"  vu-migrate checkpoint 4711 -o - | ssh other vu-migrate restore /run/disk.sock -",
	.opts = opts,
	.min_args = 1,
	.max_args = 1,
	.run = run_checkpoint,
};
