/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file or block device behind the disk. */
#include "blk/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int find_size(struct image *im, const char *path, unsigned int block_size)
{
	struct stat st;

	if (fstat(im->fd, &st)) {
		say("%s: %s", path, strerror(errno));
		return -1;
	}
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(im->fd, BLKGETSIZE64, &im->size)) {
			say("%s: its size: %s", path, strerror(errno));
			return -1;
		}
	} else if (S_ISREG(st.st_mode)) {
		im->size = st.st_size;
	} else {
		say("%s: neither a file nor a block device", path);
		return -1;
	}
	if (im->size < block_size) {
		say("%s: smaller than one %s", path,
		    block_size == SECTOR_SIZE ? "sector" : "block");
		return -1;
	}
	return 0;
}

/* What direct I/O wants aligned; the file system's block is enough for every kernel. */
static unsigned int direct_align(int fd)
{
	struct stat st;
	int logical;

	if (fstat(fd, &st))
		return 4096;
	if (S_ISBLK(st.st_mode) && !ioctl(fd, BLKSSZGET, &logical))
		return logical;
	return st.st_blksize > 0 && st.st_blksize <= 65536 ? st.st_blksize : 4096;
}

static void open_direct(struct image *im, const struct options *opt, int flags)
{
	if (opt->cache == CACHE_BUFFERED)
		return;
	im->direct_fd = open(opt->file, flags | O_DIRECT);
	if (im->direct_fd < 0) {
		if (opt->cache == CACHE_DIRECT)
			say("%s: O_DIRECT: %s; going through the page cache", opt->file,
			    strerror(errno));
		return;
	}
	im->align = direct_align(im->direct_fd);
}

int image_open(struct image *im, const struct options *opt)
{
	int flags = (opt->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;

	*im = (struct image){.fd = -1, .direct_fd = -1, .read_only = opt->read_only};
	im->fd = open(opt->file, flags);
	if (im->fd < 0) {
		say("%s: %s", opt->file, strerror(errno));
		return -1;
	}
	if (find_size(im, opt->file, opt->block_size)) {
		image_close(im);
		return -1;
	}
	open_direct(im, opt, flags);
	return 0;
}

void image_close(struct image *im)
{
	if (im->fd >= 0)
		close(im->fd);
	if (im->direct_fd >= 0)
		close(im->direct_fd);
	im->fd = im->direct_fd = -1;
}

void image_take_over(struct image *im)
{
	posix_fadvise(im->fd, 0, 0, POSIX_FADV_DONTNEED);
}

void image_hand_over(struct image *im)
{
	if (!__atomic_exchange_n(&im->cached, false, __ATOMIC_RELAXED))
		return;
	if (fdatasync(im->fd))
		say("writing back the image: %s", strerror(errno));
}
