/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mapping the dirty log and setting bits in it. */
#include "core/dirtylog.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/sys.h"
#include "core/split.h"

static int check_file(int fd, uint64_t size, uint64_t offset, char *why, size_t why_size)
{
	struct stat st;
	int ret;

	if (!size || !vu__range_valid(offset, size) || offset + (size - 1) > INT64_MAX) {
		snprintf(why, why_size, "dirty log of 0x%llx bytes at offset 0x%llx",
			 (unsigned long long)size, (unsigned long long)offset);
		return -EINVAL;
	}
	ret = vu__fd_forbid_shrinking(fd);
	if (ret) {
		snprintf(why, why_size, "dirty log: its file cannot be sealed against "
			 "shrinking, as a memfd can (%s)", strerror(-ret));
		return ret;
	}
	if (fstat(fd, &st) < 0 || !vu__range_within(offset, size, st.st_size)) {
		snprintf(why, why_size, "dirty log of 0x%llx bytes at offset 0x%llx: the file "
			 "has 0x%llx", (unsigned long long)size, (unsigned long long)offset,
			 (unsigned long long)st.st_size);
		return -EINVAL;
	}
	return 0;
}

int vu__log_new(int fd, uint64_t size, uint64_t offset, struct vu__log **out, char *why,
		size_t why_size)
{
	uint64_t page = sysconf(_SC_PAGESIZE), skip = offset & (page - 1);
	VU_CLEANUP_FREE struct vu__log *log = NULL;
	int ret = check_file(fd, size, offset, why, why_size);

	if (ret)
		return ret;
	log = vu__sys.calloc(1, sizeof(*log));
	if (!log)
		return -ENOMEM;
	log->map_len = skip + size;
	log->map_addr = vu__sys.mmap(NULL, log->map_len, PROT_READ | PROT_WRITE, MAP_SHARED,
				     fd, offset - skip);
	if (log->map_addr == MAP_FAILED) {
		ret = -errno;
		snprintf(why, why_size, "dirty log: mmap: %s", strerror(errno));
		return ret;
	}
	log->bytes = (uint8_t *)log->map_addr + skip;
	log->words = (uint64_t *)((uint8_t *)log->map_addr + (skip & ~7ULL));
	log->skew = (skip & 7) * 8;
	log->pages = size > UINT64_MAX / 8 ? UINT64_MAX : size * 8;
	log->refs = 1;
	*out = vu__steal_ptr(&log);
	return 0;
}

struct vu__log *vu__log_get(struct vu__log *log)
{
	if (log)
		__atomic_fetch_add(&log->refs, 1, __ATOMIC_RELAXED);
	return log;
}

void vu__log_put(struct vu__log *log)
{
	/* Orders every thread's marks before the unmapping by the last one. */
	if (!log || __atomic_sub_fetch(&log->refs, 1, __ATOMIC_ACQ_REL))
		return;
	vu__sys.munmap(log->map_addr, log->map_len);
	free(log);
}

/* Sets bits of one word.  True if they were not all set. */
static bool set_bits(struct vu__log *log, uint64_t word, uint64_t mask)
{
	uint64_t le = htole64(mask);

	if (vu__skipped(VU__MARK_SOME))
		return false;
	/*
	 * Looking first saves a locked operation on a hot page.  It may be trusted only
	 * because the caller's fence stands between the write to the page and this:
	 * if the front-end clears the bit after our look, it reads the page after it.
	 */
	if ((__atomic_load_n(&log->words[word], __ATOMIC_RELAXED) & le) == le)
		return false;
	__atomic_fetch_or(&log->words[word], le, __ATOMIC_SEQ_CST);
	return true;
}

static void flush_slot(struct vu__dirty *d, unsigned int i)
{
	/* What was written to the pages before a look at their bits. */
	vu__split_fence();
	if (set_bits(d->log, d->slots[i].word, d->slots[i].mask) && d->call_fd >= 0)
		vu__event_signal(d->call_fd);
	d->used &= ~(1u << i);
}

static inline void note(struct vu__dirty *d, uint64_t word, uint64_t mask)
{
	unsigned int i = word % VU__DIRTY_SLOTS;

	if (d->used & 1u << i) {
		if (VU_LIKELY(d->slots[i].word == word)) {
			d->slots[i].mask |= mask;
			return;
		}
		flush_slot(d, i);
	}
	d->slots[i].word = word;
	d->slots[i].mask = mask;
	d->used |= 1u << i;
}

/* Whole words between the two ends; nothing is gained by noting them first. */
static void set_whole_words(struct vu__dirty *d, uint64_t first, uint64_t end)
{
	bool news = false;

	if (vu__skipped(VU__MARK_WIDE))
		return;
	/* As in flush_slot(). */
	vu__split_fence();
	for (uint64_t w = first; w < end; w++)
		news |= set_bits(d->log, w, ~0ULL);
	if (news && d->call_fd >= 0)
		vu__event_signal(d->call_fd);
}

bool vu__dirty_add(struct vu__dirty *d, uint64_t gpa, uint64_t len)
{
	struct vu__log *log = d->log;
	uint64_t first, last, low, high;

	if (!len)
		return true;
	if (VU_UNLIKELY(!vu__log_covers(log, gpa, len)))
		return false;
	first = (gpa >> VU__LOG_PAGE_SHIFT) + log->skew;
	last = ((gpa + (len - 1)) >> VU__LOG_PAGE_SHIFT) + log->skew;
	low = ~0ULL << first % 64;
	high = ~0ULL >> (63 - last % 64);
	if (VU_LIKELY(first / 64 == last / 64)) {
		note(d, first / 64, low & high);
		return true;
	}
	note(d, first / 64, low);
	if (first / 64 + 1 < last / 64)
		set_whole_words(d, first / 64 + 1, last / 64);
	note(d, last / 64, high);
	return true;
}

void vu__dirty_flush_slow(struct vu__dirty *d)
{
	bool news = false;

	/* As in flush_slot(), once for all. */
	vu__split_fence();
	while (d->used) {
		unsigned int i = __builtin_ctz(d->used);

		d->used &= d->used - 1;
		news |= set_bits(d->log, d->slots[i].word, d->slots[i].mask);
	}
	if (news && d->call_fd >= 0)
		vu__event_signal(d->call_fd);
}

void vu__dirty_set_log(struct vu__dirty *d, struct vu__log *log, bool data, int call_fd)
{
	if (vu__skipped(VU__MARK_REPLACE))
		d->used = 0;
	vu__dirty_flush(d);
	d->log = log;
	d->data = data;
	d->call_fd = call_fd;
}
