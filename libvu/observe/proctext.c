/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsers for the texts of /proc.  Pure; any thread. */
#include "observe/proctext.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <linux/net.h>

#define KERNEL_THREAD 0x00200000u /* PF_KTHREAD */

/* --- numbers --- */

/* Reads a number in @base at *@s, after blanks, and moves on; no sign.  0 or -EINVAL. */
static int take_number(const char **s, int base, uint64_t *out)
{
	char *end;

	while (**s == ' ' || **s == '\t')
		(*s)++;
	if (!isxdigit((unsigned char)**s))
		return -EINVAL;
	errno = 0;
	*out = strtoull(*s, &end, base);
	if (end == *s || errno)
		return -EINVAL;
	*s = end;
	return 0;
}

/* What follows "@key" at the beginning of a line; NULL: no line begins so. */
static const char *line_value(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (text) {
		if (!strncmp(text, key, len))
			return text + len;
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}

void vu__procfs_copy_text(char *to, size_t size, const char *from, size_t len)
{
	size_t n = VU_MIN(len, size - 1);

	for (size_t i = 0; i < n; i++) {
		unsigned char c = from[i];

		/* Bytes above 127 may be UTF-8; a terminal's commands are below 32. */
		to[i] = c < 32 || c == 127 ? '?' : (char)c;
	}
	to[n] = '\0';
}

/* --- stat --- */

/* Skips @n words. */
static const char *skip_words(const char *s, unsigned int n)
{
	while (n--) {
		while (*s == ' ')
			s++;
		while (*s && *s != ' ')
			s++;
	}
	return s;
}

static int take_signed(const char **s, int *out)
{
	uint64_t value;
	bool negative;

	while (**s == ' ')
		(*s)++;
	negative = **s == '-';
	if (negative)
		(*s)++;
	if (take_number(s, 10, &value) || value > INT_MAX)
		return -EINVAL;
	*out = negative ? -(int)value : (int)value;
	return 0;
}

/* Fields 4 and on of proc(5), from behind the state. */
static int parse_stat_numbers(const char *s, struct vu__procfs_stat *out)
{
	uint64_t flags, utime, stime, threads;
	int ppid, cpu;

	if (take_signed(&s, &ppid))
		return -EINVAL;
	s = skip_words(s, 4); /* process group, session, terminal and its group */
	if (take_number(&s, 10, &flags))
		return -EINVAL;
	s = skip_words(s, 4); /* page faults */
	if (take_number(&s, 10, &utime) || take_number(&s, 10, &stime))
		return -EINVAL;
	s = skip_words(s, 4); /* children's times, priority, nice */
	if (take_number(&s, 10, &threads))
		return -EINVAL;
	s = skip_words(s, 1);
	if (take_number(&s, 10, &out->start_time))
		return -EINVAL;
	s = skip_words(s, 16); /* from vsize to exit_signal */
	if (take_signed(&s, &cpu))
		return -EINVAL;
	out->ppid = ppid;
	out->kernel = flags & KERNEL_THREAD;
	out->cpu_ticks = utime + stime;
	out->nthreads = VU_MIN(threads, UINT32_MAX);
	out->cpu = cpu < 0 || cpu > INT16_MAX ? -1 : cpu;
	return 0;
}

int vu__procfs_parse_stat(const char *text, struct vu__procfs_stat *out)
{
	/* The name may have blanks and brackets: the last one ends it. */
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	const char *s = text;
	uint64_t pid;

	memset(out, 0, sizeof(*out));
	if (take_number(&s, 10, &pid) || pid > INT_MAX || !open || !close ||
	    close < open || close[1] != ' ' || !isalpha((unsigned char)close[2]))
		return -EINVAL;
	out->pid = pid;
	vu__procfs_copy_text(out->comm, sizeof(out->comm), open + 1, close - open - 1);
	out->state = close[2];
	return parse_stat_numbers(close + 3, out);
}

/* --- fdinfo --- */

int vu__procfs_parse_eventfd(const char *text, int64_t *id, uint64_t *count)
{
	const char *s = line_value(text, "eventfd-count:");
	uint64_t value;

	*id = -1;
	/* The kernel prints it in base 16, without saying so. */
	if (!s || take_number(&s, 16, count))
		return -EINVAL;
	s = line_value(text, "eventfd-id:");
	if (s && !take_number(&s, 10, &value) && value <= INT64_MAX)
		*id = value;
	return 0;
}

size_t vu__procfs_parse_epoll(const char *text, int *fds, size_t max)
{
	size_t n = 0;

	while ((text = line_value(text, "tfd:"))) {
		uint64_t fd;

		if (take_number(&text, 10, &fd) || fd > INT_MAX)
			continue;
		if (n < max)
			fds[n] = fd;
		n++;
	}
	return n;
}

int vu__procfs_parse_syscall(const char *text, int32_t *nr, uint64_t args[2])
{
	const char *s = text;
	uint64_t value;

	*nr = -1;
	args[0] = args[1] = 0;
	if (!strncmp(text, "running", 7) || !strncmp(text, "-1", 2))
		return 0;
	if (take_number(&s, 10, &value) || value > INT32_MAX)
		return -EINVAL;
	for (unsigned int i = 0; i < 2; i++) {
		while (*s == ' ')
			s++;
		if (strncmp(s, "0x", 2))
			return -EINVAL;
		s += 2;
		if (take_number(&s, 16, &args[i]))
			return -EINVAL;
	}
	*nr = value;
	return 0;
}

/* --- links --- */

enum vu__fd_kind vu__procfs_parse_link(const char *text, uint64_t *inode)
{
	static const struct {
		const char *name;
		enum vu__fd_kind kind;
		bool prefix;
	} names[] = {
		{"anon_inode:[eventfd]", VU__FD_EVENTFD, false},
		{"anon_inode:[eventpoll]", VU__FD_EPOLL, false},
		{"anon_inode:[timerfd]", VU__FD_TIMERFD, false},
		{"anon_inode:[io_uring]", VU__FD_URING, false},
		{"anon_inode:kvm-vm", VU__FD_KVM_VM, false},
		{"anon_inode:kvm-vcpu", VU__FD_KVM_VCPU, true},
		{"/", VU__FD_FILE, true},
	};
	const char *s = text + strlen("socket:[");

	*inode = 0;
	if (!strncmp(text, "socket:[", strlen("socket:[")))
		return take_number(&s, 10, inode) || *s != ']' ? VU__FD_OTHER
							       : VU__FD_SOCKET;
	for (size_t i = 0; i < VU_ARRAY_SIZE(names); i++) {
		if (names[i].prefix ? !strncmp(text, names[i].name, strlen(names[i].name))
				    : !strcmp(text, names[i].name))
			return names[i].kind;
	}
	return VU__FD_OTHER;
}

/* --- /proc/net/unix --- */

int vu__procfs_parse_unix(const char *line, struct vu__unix_sock *out)
{
	const char *s = strchr(line, ':');
	uint64_t refs, protocol, flags, type, state;

	memset(out, 0, sizeof(*out));
	if (!s || s == line || strspn(line, "0123456789abcdef") != (size_t)(s - line))
		return -EINVAL;
	s++;
	if (take_number(&s, 16, &refs) || take_number(&s, 16, &protocol) ||
	    take_number(&s, 16, &flags) || take_number(&s, 16, &type) ||
	    take_number(&s, 16, &state) || take_number(&s, 10, &out->inode))
		return -EINVAL;
	out->stream = type == 1;
	out->listening = flags & __SO_ACCEPTCON;
	out->connected = state == SS_CONNECTED;
	if (*s == ' ')
		s++;
	/* A longer one cannot be bound; it is not a path then. */
	if (strlen(s) < sizeof(out->path))
		memcpy(out->path, s, strlen(s) + 1);
	return 0;
}

/* --- command lines --- */

const char *vu__procfs_option(const char *cmdline, size_t len, const char *name,
			      unsigned int nth)
{
	size_t name_len = strlen(name);

	for (const char *s = cmdline, *end = cmdline + len; s < end;) {
		size_t n = strnlen(s, end - s);
		const char *word = s, *next = s + n + 1, *value = NULL;

		s = next;
		if (n + (size_t)(word - cmdline) >= len)
			return NULL; /* no end: cut off */
		if (*word != '-')
			continue;
		word += word[1] == '-' ? 2 : 1;
		if (strncmp(word, name, name_len))
			continue;
		if (word[name_len] == '=')
			value = word + name_len + 1;
		else if (!word[name_len] && next < end && memchr(next, '\0', end - next))
			value = next;
		if (value && nth-- == 0)
			return value;
	}
	return NULL;
}

bool vu__procfs_suboption(const char *list, const char *key, char *out, size_t size)
{
	size_t key_len = key ? strlen(key) : 0;

	for (bool first = true; *list; first = false) {
		const char *word = list;
		size_t n = 0;

		/* To the end of this one; a doubled comma is part of it. */
		while (*list && (*list != ',' || list[1] == ','))
			list += *list == ',' ? 2 : 1;
		if (key ? !strncmp(word, key, key_len) && word[key_len] == '='
			: first && !memchr(word, '=', list - word)) {
			word += key ? key_len + 1 : 0;
			while (word < list && n < size - 1) {
				out[n++] = *word;
				word += *word == ',' ? 2 : 1;
			}
			out[n] = '\0';
			return word >= list;
		}
		if (*list == ',')
			list++;
	}
	return false;
}
