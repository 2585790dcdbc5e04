/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things every file may use: scope-bound cleanup, range arithmetic, bits. */
#ifndef VU_BASE_UTIL_H
#define VU_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define VU_MUST_CHECK	    __attribute__((warn_unused_result))
#define VU_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define VU_COLD		    __attribute__((cold, noinline))
#define VU_ALWAYS_INLINE    inline __attribute__((always_inline))
#define VU_NOINLINE	    __attribute__((noinline))
#define VU_LIKELY(x)	    __builtin_expect(!!(x), 1)
#define VU_UNLIKELY(x)	    __builtin_expect(!!(x), 0)

#define VU_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define VU_MIN(a, b)	 ((a) < (b) ? (a) : (b))
#define VU_MAX(a, b)	 ((a) > (b) ? (a) : (b))
#define VU_BIT(n)	 (1ULL << (n))

static inline void vu__cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void vu__cleanup_free(void *p)
{
	free(*(void **)p);
}

/* The variable's fd is closed, or memory freed, when its scope ends. */
#define VU_CLEANUP_FD	__attribute__((cleanup(vu__cleanup_fd)))
#define VU_CLEANUP_FREE __attribute__((cleanup(vu__cleanup_free)))

/* Takes the value out of a variable, whose cleanup then does nothing. */
static inline VU_MUST_CHECK int vu__steal_fd(int *fd)
{
	int ret = *fd;

	*fd = -1;
	return ret;
}

#define vu__steal_ptr(p)                                                                 \
	({                                                                               \
		__typeof__(*(p)) _steal = *(p);                                          \
		*(p) = NULL;                                                             \
		_steal;                                                                  \
	})

/* True if [off, off + len) lies within [0, size); nothing can wrap. */
static inline bool vu__range_within(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

/* True if [a, a + alen) and [b, b + blen), neither wrapping, share a byte. */
static inline bool vu__ranges_overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b ? alen > b - a : blen > a - b;
}

/* True if @start + @len - 1 can be said in 64 bits; a range of 0 bytes is fine. */
static inline bool vu__range_valid(uint64_t start, uint64_t len)
{
	return len == 0 || len - 1 <= UINT64_MAX - start;
}

static inline bool vu__is_pow2(uint64_t n)
{
	return n && !(n & (n - 1));
}

static inline bool vu__has_bit(uint64_t word, unsigned int bit)
{
	return word >> bit & 1;
}

#endif
