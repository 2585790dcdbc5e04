/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State images in files and pipes. */
#ifndef VU_MIGRATE_FILE_H
#define VU_MIGRATE_FILE_H

#include "state/convert.h"

/* --- reading --- */

struct infile {
	const char *name; /* for messages */
	int fd;
	struct vu__image_reader r;
};

/* Opens @path, "-" is standard input.  0 or the exit status after saying why. */
int infile_open(struct infile *in, const char *path);
/* The same of an open file, which it takes. */
void infile_take(struct infile *in, const char *name, int fd);
void infile_close(struct infile *in);

/* Says what r.why says.  The exit status. */
int infile_fail(const struct infile *in, int err);

/* Opens, reads all, checks.  0 or the exit status after saying why. */
int load_state(const char *path, struct vu__snap *s);

/* --- writing --- */

struct outfile {
	const char *path;
	char *temporary; /* beside it, until all is good; NULL for a pipe */
	int fd;
	bool compress;
	struct vu__image_writer w;
};

/*
 * Opens @path for writing under another name; "-" is standard output.  0 or the exit
 * status after saying why.
 */
int outfile_open(struct outfile *out, const char *path);

/* A record, compressed if that was asked for and helps.  0 or -errno. */
VU_MUST_CHECK int outfile_put(struct outfile *out, unsigned int type, unsigned int flags,
			      const void *payload, size_t len);

/*
 * Makes sure of what was written and gives it its name if @err is 0; else removes it.
 * 0 or the exit status after saying why (also of @err, but for -EBADMSG).
 */
int outfile_close(struct outfile *out, int err);

/* For vu__image_writer.write, with a struct outfile. */
int outfile_write(void *opaque, const void *bytes, size_t len);

/* Whether this build can compress. */
bool can_compress(void);

#endif
