/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks the device at a socket for bytes, as the driver of an entropy device; prints how
 * many came. */
#include <stdio.h>
#include <stdlib.h>

#include <libvu/frontend.h>

int main(int argc, char **argv)
{
	struct vu_frontend *fe = argc == 2 ? vu_frontend_connect(argv[1]) : NULL;
	struct vu_frontend_buf buf = {0x8000, 256, true};
	struct vu_frontend_queue *q;
	uint32_t len = 0;

	if (!fe || vu_frontend_negotiate(fe, ~0ull, ~0ull) ||
	    vu_frontend_add_memory(fe, 0, 1 << 16, 0) < 0 || vu_frontend_share_memory(fe))
		return 1;
	q = vu_frontend_queue_new(fe, 0, 16, 0);
	if (!q || vu_frontend_queue_start(q, 0) || vu_frontend_submit(q, &buf, 1, 0) ||
	    vu_frontend_kick(q) < 0 || vu_frontend_wait(q, 5000) ||
	    vu_frontend_reap(q, NULL, &len) != 1)
		return 1;
	printf("%u\n", len);
	vu_frontend_free(fe);
	return 0;
}
