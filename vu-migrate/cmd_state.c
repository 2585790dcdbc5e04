/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-migrate state: a device's own state, raw, with any vendor's back-end. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libvu/frontend.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/devstate.h"
#include "vu-migrate/file.h"
#include "wire/spec.h"

static const char *save_to, *load_from;
static uint64_t features = UINT64_MAX;

/* What the transport would have to follow up with is not for us to accept. */
#define WANTED                                                                           \
	(VU_BIT(VU__PF_MQ) | VU_BIT(VU__PF_REPLY_ACK) | VU_BIT(VU__PF_CONFIG) |          \
	 VU_BIT(VU__PF_STATUS) | VU_BIT(VU__PF_DEVICE_STATE))

static struct vu_frontend *connect_to(const char *path, int *status)
{
	struct vu_frontend *fe = vu_frontend_connect(path);
	int ret;

	if (!fe) {
		*status = fail(-errno, "%s: %s", path, strerror(errno));
		return NULL;
	}
	vu_frontend_set_timeout(fe, (int)VU_MIN(globals.timeout_ms, INT_MAX));
	ret = vu_frontend_negotiate(fe, features & ~(VU_BIT(VU__F_LOG_ALL) | VU_BIT(VU__F_RING_PACKED)),
				    WANTED);
	*status = 0;
	if (ret)
		*status = fail(ret, "%s: %s", path, vu_frontend_error(fe));
	else if (!vu__has_bit(vu_frontend_protocol_features(fe), VU__PF_DEVICE_STATE))
		*status = fail(-ENOTSUP, "%s: the back-end does not offer DEVICE_STATE", path);
	if (!*status)
		return fe;
	vu_frontend_free(fe);
	return NULL;
}

static int save(struct vu_frontend *fe, const char *path)
{
	VU_CLEANUP_FREE uint8_t *bytes = NULL;
	struct outfile out;
	char why[200] = "";
	size_t len;
	int status, ret = devstate_save(fe, &bytes, &len, why, sizeof(why));

	if (ret)
		return fail(ret, "%s: %s", path, why);
	status = outfile_open(&out, save_to);
	if (status)
		return status;
	status = outfile_close(&out, outfile_write(&out, bytes, len));
	if (!status && !globals.quiet && strcmp(save_to, "-"))
		printf("%s: %zu bytes\n", path, len);
	return status;
}

static uint8_t *read_file(const char *path, size_t *len)
{
	VU_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	VU_CLEANUP_FREE uint8_t *bytes = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return NULL;
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)DEVSTATE_MAX) {
		errno = EFBIG;
		return NULL;
	}
	bytes = malloc(st.st_size + 1);
	if (!bytes)
		return NULL;
	for (*len = 0; *len < (size_t)st.st_size; *len += n) {
		n = read(fd, bytes + *len, st.st_size - *len);
		if (n <= 0)
			return NULL;
	}
	return vu__steal_ptr(&bytes);
}

static int load(struct vu_frontend *fe, const char *path)
{
	VU_CLEANUP_FREE uint8_t *bytes = NULL;
	char why[200] = "";
	size_t len;
	int ret;

	bytes = read_file(load_from, &len);
	if (!bytes)
		return fail(-errno, "%s: %s", load_from, strerror(errno));
	ret = devstate_load(fe, bytes, len, why, sizeof(why));
	if (ret)
		return fail(ret, "%s: %s", path, why);
	if (!globals.quiet)
		printf("%s: %zu bytes, taken\n", path, len);
	return 0;
}

static int run_state(int argc, char **argv)
{
	struct vu_frontend *fe;
	int status;

	(void)argc;
	if (!save_to == !load_from) {
		say("state: one of --save and --load is needed");
		return EXIT_USAGE;
	}
	fe = connect_to(argv[0], &status);
	if (!fe)
		return status;
	status = save_to ? save(fe, argv[0]) : load(fe, argv[0]);
	vu_frontend_free(fe);
	return status;
}

static const struct opt opts[] = {
	{"save", 0, "FILE", "write the state there; - is standard output", opt_text, &save_to},
	{"load", 0, "FILE", "give the device the state from there", opt_text, &load_from},
	{"features", 0, "MASK", "virtio features to accept, of those offered (all)",
	 opt_number, &features},
	{0},
};

const struct command cmd_state = {
	.name = "state",
	.args = "SOCKET",
	.what = "save or load a device's own state, raw, as any back-end's front-end",
	.more = "SOCKET is where a back-end listens that serves nobody.  What is written is what\n"
		"the back-end gives, without a frame of ours (VHOST_USER_SET_DEVICE_STATE_FD).",
	.opts = opts,
	.min_args = 1,
	.max_args = 1,
	.run = run_state,
};
