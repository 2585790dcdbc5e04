/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-top: what the vhost-user queues of a host do, which are stuck, and why. */
#include <locale.h>
#include <sys/resource.h>

#include "vu-top/run.h"

/*
 * A file for each device, and more for queues that stand still: the usual limit is for
 * programs that use select(), which this one does not.
 */
static void allow_many_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	(void)!setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
	struct top_settings s;
	int ret;

	setlocale(LC_CTYPE, "");
	allow_many_files();
	ret = top_settings_parse(&s, argc, argv);
	if (ret < 0) {
		switch (s.mode) {
		case TOP_MODE_SCREEN:
			ret = top_run_screen(&s);
			break;
		case TOP_MODE_LISTEN:
			ret = top_run_listen(&s);
			break;
		default:
			ret = top_run_batch(&s);
		}
	}
	top_settings_release(&s);
	return ret;
}
