/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log: a bit a 4 KiB page of guest memory that the back-end has written since
 * the front-end last looked ("Migration").  The front-end reads and clears it at any
 * time, several threads of ours set bits in it.
 *
 * A struct vu__log is one mapping, reference counted.  A struct vu__dirty is what one
 * queue has marked and not yet set: marks collect there and are set together, before the
 * driver can see what was written.  Only the page of the used index cannot be: it waits
 * for the next mark, the call or the stop of the queue, whichever is first.
 */
#ifndef VU_CORE_DIRTYLOG_H
#define VU_CORE_DIRTYLOG_H

#include <endian.h>

#include "base/util.h"
#include "core/meter.h"
#include "core/mutants.h"

#define VU__LOG_PAGE_SHIFT 12
#define VU__LOG_PAGE_MASK  0xfffULL

struct vu__log {
	uint64_t *words;   /* little-endian, as bits of bytes in order */
	unsigned int skew; /* bit of words[0] that stands for page 0 */
	uint64_t pages;
	uint8_t *bytes; /* where page 0's bit is */
	void *map_addr;
	size_t map_len;
	int fd; /* the log's own; -1: there was no more room for it */
	uint64_t size, offset; /* in the file, as the messages say */
	unsigned int refs;
};

/*
 * Maps @size bytes of log at @offset of @fd, which stays the caller's.  0; -errno with
 * the reason in @why: empty or wrapping range, a file that is shorter or that could be
 * made shorter under us, which would kill the process later.
 */
VU_MUST_CHECK int vu__log_new(int fd, uint64_t size, uint64_t offset, struct vu__log **out,
			      char *why, size_t why_size);
struct vu__log *vu__log_get(struct vu__log *log); /* NULL is fine, here and below */
void vu__log_put(struct vu__log *log);

/* Whether the log has a bit for every byte of the range. */
static inline bool vu__log_covers(const struct vu__log *log, uint64_t gpa, uint64_t len)
{
	return !len || (vu__range_valid(gpa, len) &&
			(gpa + (len - 1)) >> VU__LOG_PAGE_SHIFT < log->pages);
}

/* What is written; each kind often goes to the word of the log that the last one went to. */
enum vu__dirty_kind { VU__DIRTY_DATA, VU__DIRTY_STATUS, VU__DIRTY_RING, VU__DIRTY_KINDS };

struct vu__dirty {
	struct vu__log *log; /* NULL: nothing is logged; the owner keeps a reference */
	uint64_t *words;     /* of the log, its pages and its skew */
	uint64_t pages;
	unsigned int skew;
	bool data;   /* VHOST_F_LOG_ALL: buffers are logged; not without a log */
	int call_fd; /* SET_LOG_FD's eventfd, or -1 */
	uint64_t *counts; /* of pages set that were not, and behind it that were; or NULL */
	struct {
		uint64_t word;
		uint64_t mask; /* 0: nothing is noted */
	} noted[VU__DIRTY_KINDS];
};

/* Sets what is noted of one kind, so that another word can be. */
void vu__dirty_set_noted(struct vu__dirty *d, enum vu__dirty_kind kind);

static inline void vu__dirty_note(struct vu__dirty *d, uint64_t word, uint64_t mask,
				  enum vu__dirty_kind kind)
{
	if (VU_UNLIKELY(d->noted[kind].word != word)) {
		if (d->noted[kind].mask)
			vu__dirty_set_noted(d, kind);
		d->noted[kind].word = word;
	}
	d->noted[kind].mask |= mask;
}

/* The general case of vu__dirty_add(). */
bool vu__dirty_add_pages(struct vu__dirty *d, uint64_t gpa, uint64_t len,
			 enum vu__dirty_kind kind);

/* Notes that something in page @page has been written.  False as below. */
static VU_ALWAYS_INLINE VU_MUST_CHECK bool
vu__dirty_add_page(struct vu__dirty *d, uint64_t page, enum vu__dirty_kind kind)
{
	uint64_t bit = page + d->skew;

	if (VU_UNLIKELY(page >= d->pages))
		return false;
	vu__dirty_note(d, bit / 64, VU_BIT(bit % 64), kind);
	return true;
}

/*
 * Notes that @len bytes at @gpa have been written.  False: the log has no room for
 * them, nothing is noted.
 */
static VU_ALWAYS_INLINE VU_MUST_CHECK bool vu__dirty_add(struct vu__dirty *d, uint64_t gpa,
							  uint64_t len, enum vu__dirty_kind kind)
{
	/* None, or into the next page. */
	if (VU_UNLIKELY(len - 1 > VU__LOG_PAGE_MASK - (gpa & VU__LOG_PAGE_MASK)))
		return !len || vu__dirty_add_pages(d, gpa, len, kind);
	return vu__dirty_add_page(d, gpa >> VU__LOG_PAGE_SHIFT, kind);
}

/* Sets all that was noted; what was written before is written before the bits. */
void vu__dirty_set_all(struct vu__dirty *d);

static inline void vu__dirty_flush(struct vu__dirty *d)
{
	if (d->log)
		vu__dirty_set_all(d);
}

/* --- at once, for logs of which nobody is told, and with d->counts --- */

static VU_ALWAYS_INLINE uint64_t vu__dirty_look(const struct vu__dirty *d, uint64_t word)
{
	return le64toh(__atomic_load_n(&d->words[word], __ATOMIC_RELAXED));
}

/* A page was marked, @again. */
static VU_ALWAYS_INLINE void vu__dirty_count(const struct vu__dirty *d, bool again)
{
	if (VU__METERED)
		vu__meter_add(&d->counts[again], 1);
}

static VU_ALWAYS_INLINE void vu__dirty_count_again(const struct vu__dirty *d, unsigned int n)
{
	if (VU__METERED)
		vu__meter_add(&d->counts[1], n);
}

/* Sets a bit after everything that was written before: whoever clears it sees that. */
static VU_ALWAYS_INLINE void vu__dirty_set_bit(struct vu__dirty *d, uint64_t bit)
{
	uint64_t old = vu__dirty_look(d, bit / 64);

	if (vu__skipped(VU__MARK_SOME))
		return;
	/* Whose result nobody needs, that is one instruction; the count may be off by it. */
	__atomic_fetch_or(&d->words[bit / 64], htole64(VU_BIT(bit % 64)), __ATOMIC_SEQ_CST);
	vu__dirty_count(d, old >> bit % 64 & 1);
}

/* Sets bits of one word that are not set; any number of them. */
void vu__dirty_set_behind_fence(struct vu__dirty *d, uint64_t word, uint64_t mask);

/*
 * The same without the locked operation if the bit is set already.  That may be trusted
 * only because a barrier stands between the writes to the page and this look: if the
 * front-end clears the bit after it, it reads the page after that.
 */
static VU_ALWAYS_INLINE void vu__dirty_set_bit_behind_fence(struct vu__dirty *d, uint64_t bit)
{
	if (VU_LIKELY(vu__dirty_look(d, bit / 64) >> bit % 64 & 1))
		vu__dirty_count(d, true);
	else
		vu__dirty_set_bit(d, bit);
}

/* Another log, or none, from now on.  Sets in the old one what was noted for it. */
void vu__dirty_set_log(struct vu__dirty *d, struct vu__log *log, bool data, int call_fd);

#endif
