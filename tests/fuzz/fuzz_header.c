/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The codec alone: any bytes as a message, in both directions, as request and reply. */
#include "tests/fuzz/fuzz.h"
#include "wire/msg.h"

static void check(struct vu__msg *m, enum vu__direction dir)
{
	char why[64];
	int queue;

	why[0] = 'x';
	if (!vu__msg_check_request(m, dir, why, sizeof(why))) {
		const struct vu__msg_info *info = vu__msg_info(dir, m->request);

		/* What a handler relies on. */
		EXPECT(!info || info->fds != VU__FDS_REGIONS ||
		       m->nfds == m->payload.mem_table.nregions);
		EXPECT(!info || info->request != VU__SHAPE_CONFIG ||
		       m->payload.config.size <= VU__CONFIG_MAX);
		EXPECT(!info || info->fds != VU__FDS_1 || m->nfds == 1);
	} else {
		EXPECT(memchr(why, '\0', sizeof(why)) && why[0]);
	}
	queue = vu__msg_queue(m, dir);
	EXPECT(queue >= -1);
	(void)!vu__msg_check_reply(m, dir, m->request, m->flags & 1 << 8, why, sizeof(why));
	EXPECT(strlen(vu__msg_name(dir, m->request)) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vu__msg m;
	struct input in = {data, size};
	uint8_t header[VU__HEADER_SIZE], again[VU__HEADER_SIZE];

	vu__msg_init(&m, 0);
	take(&in, header, sizeof(header));
	if (vu__msg_decode_header(&m, header))
		return 0;
	vu__msg_encode_header(&m, again);
	EXPECT(!memcmp(header, again, sizeof(header)));
	m.nfds = take8(&in) % (VU__MSG_MAX_FDS + 1);
	take(&in, m.payload.raw, m.size);
	check(&m, VU__TO_BACKEND);
	check(&m, VU__TO_FRONTEND);
	return 0;
}
