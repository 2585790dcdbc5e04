/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The texts of /proc, and what is made of command lines: the first byte says which. */
#include <stdio.h>
#include <stdlib.h>

#include "observe/find.h"
#include "tests/fuzz/fuzz.h"

static bool prints(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 32 || *s == 127)
			return false;
	}
	return true;
}

static void fdinfo(const char *text)
{
	int fds[8];
	uint64_t count, args[2];
	int64_t id;
	int32_t nr;
	size_t n = vu__procfs_parse_epoll(text, fds, 8);

	for (size_t i = 0; i < n && i < 8; i++)
		EXPECT(fds[i] >= 0);
	if (!vu__procfs_parse_eventfd(text, &id, &count))
		EXPECT(id >= -1);
	if (!vu__procfs_parse_syscall(text, &nr, args))
		EXPECT(nr >= -1);
}

static void sockets(const char *text)
{
	struct vu__unix_sock s;
	uint64_t inode;

	if (!vu__procfs_parse_unix(text, &s))
		EXPECT(memchr(s.path, '\0', sizeof(s.path)));
	(void)vu__procfs_parse_link(text, &inode);
}

static void command_line(const char *text, size_t size)
{
	char out[32];
	int fd;

	for (unsigned int i = 0; i < 4; i++) {
		const char *arg = vu__procfs_option(text, size, "name", i);

		EXPECT(!arg || (arg >= text && memchr(arg, '\0', text + size - arg)));
		(void)vu__find_monitor(text, size, i, out, sizeof(out), &fd);
		EXPECT(memchr(out, '\0', sizeof(out)) && fd >= -1);
	}
	vu__find_vm_name(text, size, out, sizeof(out));
	EXPECT(memchr(out, '\0', sizeof(out)) && prints(out));
	(void)vu__find_chardev_path(text, size, "c", out, sizeof(out));
	(void)vu__find_netdev_chardev(text, size, "n", out, sizeof(out));
	(void)!vu__find_kind(text, text, size);
	for (int kind = 0; kind < VU__OBS_KINDS; kind++)
		(void)vu__find_offers(kind, text, size, "/a/b");
}

static void list(const char *text)
{
	char out[16] = "";

	if (vu__procfs_suboption(text, "a", out, sizeof(out)))
		EXPECT(memchr(out, '\0', sizeof(out)));
	(void)vu__procfs_suboption(text, NULL, out, sizeof(out));
	(void)vu__find_same_path(text, "/a/b");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vu__procfs_stat st;
	char *text;

	if (!size)
		return 0;
	/* Exactly as long as it is. */
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 5) {
	case 0:
		if (!vu__procfs_parse_stat(text, &st))
			EXPECT(prints(st.comm) && st.pid >= 0);
		break;
	case 1:
		fdinfo(text);
		break;
	case 2:
		sockets(text);
		break;
	case 3:
		/* With the zero at its end that describe() sees to, and without. */
		command_line(text, size);
		command_line(text, size - 1);
		break;
	default:
		list(text);
	}
	free(text);
	return 0;
}
