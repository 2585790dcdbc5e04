/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every public header in a C++ program, which links against the library's C names. */
#include <libvu/ext.h>
#include <libvu/frontend.h>
#include <libvu/libvhost-user.h>
#include <libvu/log.h>
#include <libvu/telemetry.h>

#include <cstdio>
#include <cstring>

int main()
{
	VuDev dev;
	vu_ext_ops ops;

	std::memset(&ops, 0, sizeof(ops));
	ops.size = sizeof(ops);
	vu_set_log_callback([](vu_log_level, const char *, void *) {}, nullptr);
	/* No queues: refused, so nothing is set up. */
	bool refused = !vu_init(&dev, 0, -1, nullptr, nullptr, nullptr, nullptr);
	bool named = !std::strcmp(vu_request_to_string(VHOST_USER_SET_OWNER),
				  "VHOST_USER_SET_OWNER");
	bool absent = vu_frontend_connect("") == nullptr;

	std::printf("1..1\n%s 1 - public headers in C++\n",
		    refused && named && absent ? "ok" : "not ok");
	return refused && named && absent ? 0 : 1;
}
