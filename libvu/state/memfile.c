/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images in sealed memfds.  Any thread. */
#include "state/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/sys.h"

#define FIXED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Larger than any image: its blob, and every other record at its limit. */
#define SIZE_MAX_IMAGE ((uint64_t)VU__SNAP_BLOB_MAX + (256u << 20))

/* --- writing: in pieces of a size that system calls are worth --- */

struct out {
	int fd;
	size_t used;
	uint8_t buf[65536];
};

static int flush(struct out *o)
{
	size_t done = 0;

	while (done < o->used) {
		ssize_t n = write(o->fd, o->buf + done, o->used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += n;
	}
	o->used = 0;
	return 0;
}

static int add(void *opaque, const void *bytes, size_t len)
{
	struct out *o = opaque;
	const uint8_t *p = bytes;

	while (len) {
		size_t here = VU_MIN(len, sizeof(o->buf) - o->used);
		int ret;

		memcpy(o->buf + o->used, p, here);
		o->used += here;
		p += here;
		len -= here;
		ret = o->used == sizeof(o->buf) ? flush(o) : 0;
		if (ret)
			return ret;
	}
	return 0;
}

int vu__memfile_write(const struct vu__snap *s, uint64_t *bytes)
{
	VU_CLEANUP_FD int fd = vu__sys.memfd_create("vu-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	VU_CLEANUP_FREE struct out *o = malloc(sizeof(*o));
	struct vu__image_writer w = {.write = add, .opaque = o};
	int ret;

	if (fd < 0)
		return -errno;
	if (!o)
		return -ENOMEM;
	o->fd = fd;
	o->used = 0;
	ret = vu__snap_write(s, &w);
	if (!ret)
		ret = flush(o);
	if (!ret && fcntl(fd, F_ADD_SEALS, FIXED | F_SEAL_SEAL))
		ret = -errno;
	if (ret)
		return ret;
	*bytes = w.at;
	return vu__steal_fd(&fd);
}

/* --- reading --- */

void *vu__memfile_map(int fd, size_t len, int prot, int seals, char *why, size_t why_size)
{
	int have = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *p;

	if (have < 0 || (have & seals) != seals) {
		snprintf(why, why_size, "not a memfd sealed against change");
		errno = EPERM;
		return NULL;
	}
	if (fstat(fd, &st) || (uint64_t)st.st_size < len) {
		snprintf(why, why_size, "a file of %lld bytes, %zu are needed",
			 (long long)st.st_size, len);
		errno = EINVAL;
		return NULL;
	}
	p = vu__sys.mmap(NULL, len, prot, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		return p;
	snprintf(why, why_size, "mmap: %s", strerror(errno));
	return NULL;
}

int vu__memfile_read(int fd, struct vu__snap *s, char *why, size_t why_size)
{
	struct vu__image_bytes source = {0};
	struct vu__image_reader r = {.read = vu__image_read_bytes, .opaque = &source};
	struct stat st;
	void *p;
	int ret;

	memset(s, 0, sizeof(*s));
	if (fstat(fd, &st) || st.st_size <= 0 || (uint64_t)st.st_size > SIZE_MAX_IMAGE) {
		snprintf(why, why_size, "not an image, or too large");
		return -EBADMSG;
	}
	p = vu__memfile_map(fd, st.st_size, PROT_READ, FIXED, why, why_size);
	if (!p)
		return -errno;
	source = (struct vu__image_bytes){.bytes = p, .len = st.st_size};
	ret = vu__snap_read(s, &r);
	if (ret)
		snprintf(why, why_size, "%s", r.why);
	vu__image_close(&r);
	vu__sys.munmap(p, st.st_size);
	return ret;
}
