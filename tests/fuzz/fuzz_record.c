/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A recorded file of anybody's.  Checksums would keep a fuzzer out, so they are put
 * right first, as is the magic, unless the first byte says not to.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "chrome.h"
#include "record.h"
#include "tests/fuzz/fuzz.h"

static void mend(uint8_t *file, size_t size)
{
	size_t at = strlen(RECORD_MAGIC);

	if (size < at)
		return;
	memcpy(file, RECORD_MAGIC, at);
	while (size - at >= sizeof(struct record_frame)) {
		struct record_frame f;

		memcpy(&f, file + at, sizeof(f));
		if (f.length > size - at - sizeof(f))
			return;
		f.crc = vu__crc32c(0, file + at + sizeof(f), f.length);
		memcpy(file + at, &f, sizeof(f));
		at += sizeof(f) + f.length;
	}
}

static void use(const struct recording *r)
{
	static FILE *nowhere;
	uint64_t last = 0;

	EXPECT(r->nqueues <= RECORD_MAX_QUEUES);
	for (size_t i = 0; i < r->nevents; i++) {
		EXPECT(r->events[i].ts >= last);
		last = r->events[i].ts;
		EXPECT(recording_queue_name(r, r->events[i].queue));
	}
	for (size_t i = 0; i < r->nqueues; i++)
		EXPECT(memchr(r->queues[i].name, '\0', sizeof(r->queues[i].name)));
	if (!nowhere)
		nowhere = fopen("/dev/null", "we");
	if (nowhere)
		chrome_write(r, nowhere);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct recording r;
	char why[160];
	uint8_t *file;

	if (!size)
		return 0;
	file = malloc(size);
	if (!file)
		return 0;
	memcpy(file, data + 1, size - 1);
	if (data[0] != 'n')
		mend(file, size - 1);
	why[0] = 'x';
	if (recording_parse(file, size - 1, &r, why, sizeof(why)))
		EXPECT(memchr(why, '\0', sizeof(why)) && why[0]);
	else
		EXPECT(r.good <= size - 1);
	use(&r);
	recording_release(&r);
	free(file);
	return 0;
}
