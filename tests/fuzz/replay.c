/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives every file of a folder to the target: TAP.  FUZZ_CORPUS is the folder from the
 * top of the source tree; top_srcdir says where that is.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define LARGEST (1 << 20)

static int replay(const char *folder, const char *name, int number)
{
	static uint8_t bytes[LARGEST];
	char path[4096 + 256];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "rb");
	if (!f) {
		printf("not ok %d - %s cannot be opened\n", number, path);
		return 1;
	}
	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	/* A hang would otherwise last for ever. */
	alarm(60);
	LLVMFuzzerTestOneInput(bytes, n);
	alarm(0);
	printf("ok %d - %s\n", number, name);
	fflush(stdout);
	return 0;
}

int main(void)
{
	const char *top = getenv("top_srcdir");
	char folder[4000];
	struct dirent *e;
	int n = 0, failed = 0;
	DIR *d;

	snprintf(folder, sizeof(folder), "%s/" FUZZ_CORPUS, top ? top : ".");
	d = opendir(folder);
	if (!d) {
		printf("Bail out! %s: no such folder\n", folder);
		return 1;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] != '.')
			failed |= replay(folder, e->d_name, ++n);
	}
	closedir(d);
	printf("1..%d\n", n);
	return failed || !n;
}
