/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State images in files and pipes.  A file appears under its name when it is whole and
 * on the disk, or not at all.
 */
#include "vu-migrate/file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#include "vu-migrate/cmd.h"

bool can_compress(void)
{
#ifdef HAVE_ZSTD
	return true;
#else
	return false;
#endif
}

/* --- reading --- */

static ssize_t read_some(void *opaque, void *bytes, size_t len)
{
	struct infile *in = opaque;
	ssize_t n;

	do {
		if (interrupted)
			return -EINTR;
		n = read(in->fd, bytes, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

#ifdef HAVE_ZSTD
static int expand(void *opaque, const void *frame, size_t size, void *to, size_t len)
{
	size_t n = ZSTD_decompress(to, len, frame, size);

	(void)opaque;
	return ZSTD_isError(n) || n != len ? -EBADMSG : 0;
}
#endif

static void set_up(struct infile *in)
{
	in->r.read = read_some;
	in->r.opaque = in;
#ifdef HAVE_ZSTD
	in->r.expand = expand;
#endif
}

int infile_open(struct infile *in, const char *path)
{
	*in = (struct infile){.name = path, .fd = STDIN_FILENO};
	if (strcmp(path, "-")) {
		in->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (in->fd < 0)
			return fail(-errno, "%s: %s", path, strerror(errno));
	} else {
		in->name = "standard input";
	}
	set_up(in);
	return 0;
}

void infile_take(struct infile *in, const char *name, int fd)
{
	*in = (struct infile){.name = name, .fd = fd};
	set_up(in);
	/* It comes with the offset it was written at. */
	(void)lseek(fd, 0, SEEK_SET);
}

void infile_close(struct infile *in)
{
	vu__image_close(&in->r);
	if (in->fd > STDIN_FILENO)
		close(in->fd);
}

int infile_fail(const struct infile *in, int err)
{
	int status = status_of(err);

	say("%s: %s", in->name, in->r.why);
	/* What it says makes no sense, or this build cannot expand it. */
	return err == -EINVAL || err == -ENOTSUP ? EXIT_IMAGE : status;
}

int load_state(const char *path, struct vu__snap *s)
{
	struct infile in;
	int status = infile_open(&in, path);
	int ret;

	if (status)
		return status;
	ret = vu__snap_read(s, &in.r);
	if (ret)
		status = infile_fail(&in, ret);
	infile_close(&in);
	return status;
}

/* --- writing --- */

int outfile_write(void *opaque, const void *bytes, size_t len)
{
	struct outfile *out = opaque;
	const char *p = bytes;

	while (len) {
		ssize_t n = write(out->fd, p, len);

		if (interrupted)
			return -EINTR;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= n;
	}
	return 0;
}

static int open_pipe(struct outfile *out)
{
	out->fd = STDOUT_FILENO;
	if (!isatty(out->fd))
		return 0;
	say("an image on a terminal is of no use; give -o FILE, or pipe it somewhere");
	return EXIT_USAGE;
}

int outfile_open(struct outfile *out, const char *path)
{
	int mode = 0600;
	struct stat st;

	*out = (struct outfile){.path = path, .fd = -1};
	out->w.write = outfile_write;
	out->w.opaque = out;
	if (!strcmp(path, "-"))
		return open_pipe(out);
	if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
		out->fd = open(path, O_WRONLY | O_CLOEXEC);
		return out->fd < 0 ? fail(-errno, "%s: %s", path, strerror(errno)) : 0;
	}
	if (asprintf(&out->temporary, "%s.partial-%d", path, getpid()) < 0)
		return fail(-ENOMEM, "out of memory");
	/* It holds what the guest's device knows: for its owner's eyes. */
	out->fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (out->fd >= 0)
		return 0;
	say("%s: %s", out->temporary, strerror(errno));
	free(vu__steal_ptr(&out->temporary));
	return status_of(-errno);
}

#ifdef HAVE_ZSTD
/* The payload as a size and a frame, or NULL if that is no shorter. */
static uint8_t *compress(const void *payload, size_t len, size_t *stored)
{
	uint32_t size = htole32(len);
	uint8_t *frame = malloc(4 + ZSTD_compressBound(len));
	size_t n;

	if (!frame)
		return NULL;
	memcpy(frame, &size, sizeof(size));
	n = ZSTD_compress(frame + 4, ZSTD_compressBound(len), payload, len, 3);
	if (ZSTD_isError(n) || n + 4 >= len) {
		free(frame);
		return NULL;
	}
	*stored = n + 4;
	return frame;
}
#endif

int outfile_put(struct outfile *out, unsigned int type, unsigned int flags,
		const void *payload, size_t len)
{
#ifdef HAVE_ZSTD
	VU_CLEANUP_FREE uint8_t *frame = NULL;
	size_t stored;

	if (out->compress)
		frame = compress(payload, len, &stored);
	if (frame)
		return vu__image_put(&out->w, type, flags | VU__REC_ZSTD, frame, stored);
#endif
	return vu__image_put(&out->w, type, flags, payload, len);
}

/* The name is on the disk too. */
static int sync_folder(const char *path)
{
	VU_CLEANUP_FREE char *copy = strdup(path);
	VU_CLEANUP_FD int dir = -1;

	if (!copy)
		return -ENOMEM;
	dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 || fsync(dir) ? -errno : 0;
}

static int publish(struct outfile *out)
{
	if (fsync(out->fd) && errno != EINVAL && errno != EROFS)
		return -errno;
	if (!out->temporary)
		return 0;
	if (rename(out->temporary, out->path))
		return -errno;
	return sync_folder(out->path);
}

int outfile_close(struct outfile *out, int err)
{
	int ret = err ? err : publish(out);

	if (ret && out->temporary)
		unlink(out->temporary);
	if (out->fd > STDOUT_FILENO)
		close(out->fd);
	free(vu__steal_ptr(&out->temporary));
	/* What is wrong with what was to be written has been said. */
	if (!ret || ret == -EBADMSG)
		return status_of(ret);
	if (ret == -EINTR)
		return fail(ret, "interrupted; %s was not written", out->path);
	/* The device is not missing, its room is. */
	say("%s: %s", out->path, strerror(-ret));
	return EXIT_NEGATIVE;
}
