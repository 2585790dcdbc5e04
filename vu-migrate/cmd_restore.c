/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-migrate restore: an image into a fresh back-end.  We are its front-end for a
 * moment; the image waits there for the real one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/memfile.h"
#include "tools/utf8.h"
#include "vu-migrate/client.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/file.h"
#include "vu-migrate/json.h"

static bool force, discard;

static int restore(struct client *c, int fd)
{
	Vu__Control__Request r = VU__CONTROL__REQUEST__INIT;
	Vu__Control__Restore how = VU__CONTROL__RESTORE__INIT;
	Vu__Control__Reply *reply;
	int err;

	how.force = force;
	how.discard = discard;
	r.what_case = VU__CONTROL__REQUEST__WHAT_RESTORE;
	r.restore = &how;
	reply = client_call(c, &r, &fd, fd >= 0, (int)globals.timeout_ms, &err);
	if (!reply) {
		int status = client_fail(c, err, discard ? "discarding" : "restoring");

		/* It is whole and does not fit. */
		return err == -EINVAL || err == -ENOTSUP || err == -ENOSPC ? EXIT_IMAGE : status;
	}
	vu__control__reply__free_unpacked(reply, NULL);
	return 0;
}

static void report(const struct client *c, const struct vu__snap *s)
{
	struct json_object *o;

	if (globals.json) {
		o = json_object_new_object();
		json_object_object_add(o, "target", json_object_new_string(c->name));
		json_object_object_add(o, "id", json_object_new_string(s->inventory.id));
		json_object_object_add(o, "queues", json_object_new_int((int)s->nqueues));
		json_print(o);
	} else if (!globals.quiet) {
		printf("%s: image %s of %s waits for its front-end\n", c->name, s->inventory.id,
		       utf8_shown(s->device.name));
	}
}

static int with_image(const char *target, const char *path)
{
	VU_CLEANUP_SNAP struct vu__snap s = {0};
	VU_CLEANUP_FD int fd = -1;
	struct client c;
	uint64_t bytes;
	int status = load_state(path, &s);

	/* Everything is read and found good before the back-end hears of it. */
	if (status)
		return status;
	fd = vu__memfile_write(&s, &bytes);
	if (fd < 0)
		return fail(fd, "%s: %s", path, strerror(-fd));
	status = client_open(&c, target, true);
	if (status)
		return status;
	status = client_can(&c, "restore") ? restore(&c, fd) : EXIT_UNSUPPORTED;
	if (!status)
		report(&c, &s);
	client_close(&c);
	return status;
}

static int run_restore(int argc, char **argv)
{
	struct client c;
	int status;

	if (discard == (argc == 2)) {
		say("restore: %s", discard ? "--discard takes no image" : "an image is missing");
		return EXIT_USAGE;
	}
	if (!discard)
		return with_image(argv[0], argv[1]);
	status = client_open(&c, argv[0], true);
	if (status)
		return status;
	status = restore(&c, -1);
	client_close(&c);
	return status;
}

static const struct opt opts[] = {
	{"force", 0, NULL, "although the device calls itself something else", opt_flag, &force},
	{"discard", 0, NULL, "forget an image that waits for its front-end", opt_flag, &discard},
	{0},
};

const struct command cmd_restore = {
	.name = "restore",
	.args = "TARGET [FILE|-]",
	.what = "give an image to a fresh back-end, which then waits for its front-end",
	.more = "TARGET is the path of the socket where the back-end listens.  The image is checked\n"
		"whole, and against the device, before anything changes.  The front-end that then\n"
		"comes must have the same features and queues at the same places; if not, it is\n"
		"refused and the image goes on waiting, until --discard.",
	.opts = opts,
	.min_args = 1,
	.max_args = 2,
	.run = run_restore,
};
