/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mapping the dirty log and setting bits in it. */
#include "core/dirtylog.h"

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
	log->fd = vu__fd_dup(fd);
	log->size = size;
	log->offset = offset;
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
	if (log->fd >= 0)
		close(log->fd);
	free(log);
}

static unsigned int count_bits(uint64_t mask)
{
	/* Mostly there is one. */
	return mask & (mask - 1) ? (unsigned int)__builtin_popcountll(mask) : !!mask;
}

/* Of the pages in @mask, those in @old were marked already. */
static void count(const struct vu__dirty *d, uint64_t mask, uint64_t old)
{
	if (!VU__METERED || !d->counts)
		return;
	if (mask & ~old)
		vu__meter_add(&d->counts[0], count_bits(mask & ~old));
	if (mask & old)
		vu__meter_add(&d->counts[1], count_bits(mask & old));
}

/* vu__dirty_set_bit() for several, and when somebody is to be told. */
static void set_bits(struct vu__dirty *d, uint64_t word, uint64_t mask)
{
	uint64_t old;

	if (vu__skipped(VU__MARK_SOME))
		return;
	if (VU_LIKELY(d->call_fd < 0)) {
		old = vu__dirty_look(d, word);
		__atomic_fetch_or(&d->words[word], htole64(mask), __ATOMIC_SEQ_CST);
	} else {
		old = le64toh(__atomic_fetch_or(&d->words[word], htole64(mask),
						__ATOMIC_SEQ_CST));
		if (mask & ~old)
			vu__event_signal_any(d->call_fd);
	}
	count(d, mask, old);
}

void vu__dirty_set_behind_fence(struct vu__dirty *d, uint64_t word, uint64_t mask)
{
	if (mask & ~vu__dirty_look(d, word))
		set_bits(d, word, mask);
	else
		count(d, mask, mask);
}

void vu__dirty_set_noted(struct vu__dirty *d, enum vu__dirty_kind kind)
{
	uint64_t mask = d->noted[kind].mask;

	d->noted[kind].mask = 0;
	set_bits(d, d->noted[kind].word, mask);
}

/* Whole words between the two ends; nothing is gained by noting them first. */
static void set_whole_words(struct vu__dirty *d, uint64_t first, uint64_t end)
{
	if (vu__skipped(VU__MARK_WIDE))
		return;
	/* What was written to the pages before a look at their bits. */
	vu__split_fence();
	for (uint64_t w = first; w < end; w++)
		vu__dirty_set_behind_fence(d, w, ~0ULL);
}

bool vu__dirty_add_pages(struct vu__dirty *d, uint64_t gpa, uint64_t len,
			 enum vu__dirty_kind kind)
{
	uint64_t first, last, low, high;

	if (!vu__log_covers(d->log, gpa, len))
		return false;
	first = (gpa >> VU__LOG_PAGE_SHIFT) + d->skew;
	last = ((gpa + (len - 1)) >> VU__LOG_PAGE_SHIFT) + d->skew;
	low = ~0ULL << first % 64;
	high = ~0ULL >> (63 - last % 64);
	if (first / 64 == last / 64) {
		vu__dirty_note(d, first / 64, low & high, kind);
		return true;
	}
	vu__dirty_note(d, first / 64, low, kind);
	if (first / 64 + 1 < last / 64)
		set_whole_words(d, first / 64 + 1, last / 64);
	vu__dirty_note(d, last / 64, high, kind);
	return true;
}

void vu__dirty_set_all(struct vu__dirty *d)
{
	bool fenced = false;

	/* Data goes to ever other pages, so the look would find nothing to save. */
	if (d->noted[VU__DIRTY_DATA].mask) {
		vu__dirty_set_noted(d, VU__DIRTY_DATA);
		fenced = VU__LOCKED_IS_FENCE;
	}
	for (unsigned int k = VU__DIRTY_STATUS; k < VU__DIRTY_KINDS; k++) {
		uint64_t mask = d->noted[k].mask;

		if (!mask)
			continue;
		/* What was written to the pages before a look at their bits. */
		if (!fenced)
			vu__split_fence();
		fenced = true;
		d->noted[k].mask = 0;
		vu__dirty_set_behind_fence(d, d->noted[k].word, mask);
	}
}

void vu__dirty_set_log(struct vu__dirty *d, struct vu__log *log, bool data, int call_fd)
{
	if (!vu__skipped(VU__MARK_REPLACE))
		vu__dirty_flush(d);
	/* Words of another log are other pages. */
	memset(d->noted, 0, sizeof(d->noted));
	d->log = log;
	d->words = log ? log->words : NULL;
	d->pages = log ? log->pages : 0;
	d->skew = log ? log->skew : 0;
	d->data = data && log;
	d->call_fd = call_fd;
}
