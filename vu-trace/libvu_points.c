/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks for the notes of libvu's points in the files a process runs.  The main thread. */
#include "libvu_points.h"

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

static const char provider[] = "vu";

/* True if a note section of @size bytes has one of ours: three addresses, then names. */
static bool notes_have(const uint8_t *at, uint64_t size)
{
	while (size >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr h;
		uint64_t name, desc;

		memcpy(&h, at, sizeof(h));
		name = ((uint64_t)h.n_namesz + 3) & ~3ULL;
		desc = ((uint64_t)h.n_descsz + 3) & ~3ULL;
		if (!vu__range_within(sizeof(h), name + desc, size))
			return false;
		if (h.n_type == 3 && h.n_namesz == sizeof("stapsdt") &&
		    !memcmp(at + sizeof(h), "stapsdt", sizeof("stapsdt")) &&
		    h.n_descsz >= 3 * sizeof(uint64_t) + sizeof(provider) &&
		    !memcmp(at + sizeof(h) + name + 3 * sizeof(uint64_t), provider,
			    sizeof(provider)))
			return true;
		at += sizeof(h) + name + desc;
		size -= sizeof(h) + name + desc;
	}
	return false;
}

static bool elf_has(const uint8_t *elf, uint64_t size)
{
	Elf64_Ehdr e;

	if (size < sizeof(e))
		return false;
	memcpy(&e, elf, sizeof(e));
	if (memcmp(e.e_ident, ELFMAG, SELFMAG) || e.e_ident[EI_CLASS] != ELFCLASS64 ||
	    e.e_shentsize != sizeof(Elf64_Shdr) ||
	    !vu__range_within(e.e_shoff, (uint64_t)e.e_shnum * sizeof(Elf64_Shdr), size))
		return false;
	for (unsigned int i = 0; i < e.e_shnum; i++) {
		Elf64_Shdr s;

		memcpy(&s, elf + e.e_shoff + i * sizeof(s), sizeof(s));
		if (s.sh_type == SHT_NOTE && vu__range_within(s.sh_offset, s.sh_size, size) &&
		    notes_have(elf + s.sh_offset, s.sh_size))
			return true;
	}
	return false;
}

static bool file_has(const char *path)
{
	VU_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	bool ret;
	void *p;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size < 64)
		return false;
	p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return false;
	ret = elf_has(p, st.st_size);
	munmap(p, st.st_size);
	return ret;
}

bool libvu_points_find(pid_t pid, char *path, size_t size)
{
	char name[64], line[4352], last[4096] = "";
	bool found = false;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
	f = fopen(name, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		char *file = strchr(line, '/');

		if (!file || !strstr(line, " r-xp "))
			continue;
		file[strcspn(file, "\n")] = '\0';
		if (!strcmp(file, last) || strlen(file) >= size || strlen(file) >= sizeof(last))
			continue;
		strcpy(last, file);
		found = file_has(file);
		if (found)
			strcpy(path, file);
	}
	fclose(f);
	return found;
}
