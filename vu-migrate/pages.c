/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dirty pages over time.  No I/O. */
#include "vu-migrate/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const double lengths[PAGES_WINDOWS] = {0.01, 0.1, 1, 5, 30};

static bool set_init(struct pages_set *s, uint64_t nwords)
{
	s->bits = calloc(nwords + 1, sizeof(*s->bits));
	s->words = calloc(nwords / 64 + 1, sizeof(*s->words));
	return s->bits && s->words;
}

static void set_release(struct pages_set *s)
{
	free(s->bits);
	free(s->words);
}

static unsigned int count(uint64_t bits)
{
	return (unsigned int)__builtin_popcountll(bits);
}

/* Adds bits of a word; how many were new. */
static unsigned int set_add(struct pages_set *s, uint64_t word, uint64_t bits)
{
	uint64_t new = bits & ~s->bits[word];

	s->bits[word] |= bits;
	s->words[word / 64] |= 1ULL << (word % 64);
	return count(new);
}

/* Takes a word that is not 0 out of the set, from *@at on; false: there is none. */
static bool set_take(struct pages_set *s, uint64_t nwords, uint64_t *at, uint64_t *bits)
{
	for (; *at < nwords; *at = (*at / 64 + 1) * 64) {
		uint64_t *words = &s->words[*at / 64];

		if (!*words)
			continue;
		*at = *at / 64 * 64 + (uint64_t)__builtin_ctzll(*words);
		*words &= *words - 1;
		*bits = s->bits[*at];
		s->bits[*at] = 0;
		return true;
	}
	return false;
}

int pages_init(struct pages *p, uint64_t npages, unsigned int nqueues, double now)
{
	bool ok;

	memset(p, 0, sizeof(*p));
	p->npages = npages;
	p->nwords = (npages + 63) / 64;
	p->nqueues = nqueues;
	p->began = p->now = p->span_began = now;
	p->ever = calloc(p->nwords + 1, sizeof(*p->ever));
	p->often = calloc(npages + 1, sizeof(*p->often));
	p->by_queue = calloc(nqueues + 1, sizeof(*p->by_queue));
	ok = set_init(&p->span, p->nwords) && p->ever && p->often && p->by_queue;
	for (int i = 0; i < PAGES_WINDOWS; i++) {
		p->windows[i].seconds = lengths[i];
		p->windows[i].began = now;
		ok = set_init(&p->windows[i].set, p->nwords) && ok;
	}
	if (ok)
		return 0;
	pages_release(p);
	return -ENOMEM;
}

void pages_release(struct pages *p)
{
	free(p->ever);
	free(p->often);
	free(p->by_queue);
	set_release(&p->span);
	for (int i = 0; i < PAGES_WINDOWS; i++)
		set_release(&p->windows[i].set);
	memset(p, 0, sizeof(*p));
}

void pages_mark(struct pages *p, unsigned int queue, uint64_t word, uint64_t bits)
{
	if (word >= p->nwords || queue >= p->nqueues)
		return;
	p->writes += count(bits);
	p->by_queue[queue] += count(bits);
	p->unique += count(bits & ~p->ever[word]);
	p->ever[word] |= bits;
	set_add(&p->span, word, bits);
	for (int i = 0; i < PAGES_WINDOWS; i++)
		p->windows[i].count += set_add(&p->windows[i].set, word, bits);
}

static void end_window(struct pages *p, struct pages_window *w)
{
	/* A tick that came late makes the window longer than it should be. */
	double scale = w->seconds / (p->now - w->began);
	uint64_t word = 0, bits;

	w->sum += (double)w->count * scale;
	w->whole++;
	w->began = p->now;
	w->count = 0;
	while (set_take(&w->set, p->nwords, &word, &bits))
		;
}

static void end_span(struct pages *p)
{
	uint64_t word = 0, bits;

	while (set_take(&p->span, p->nwords, &word, &bits)) {
		for (; bits; bits &= bits - 1) {
			uint64_t page = word * 64 + (uint64_t)__builtin_ctzll(bits);

			if (page < p->npages && p->often[page] < UINT16_MAX)
				p->often[page]++;
		}
	}
	p->spans++;
	p->span_began = p->now;
}

void pages_tick(struct pages *p, double now)
{
	p->now = now;
	for (int i = 0; i < PAGES_WINDOWS; i++) {
		if (now - p->windows[i].began >= p->windows[i].seconds)
			end_window(p, &p->windows[i]);
	}
	if (now - p->span_began >= PAGES_SPAN)
		end_span(p);
}

void pages_curve(const struct pages *p, struct est_curve *c)
{
	double least = 0;

	c->n = 0;
	for (int i = 0; i < PAGES_WINDOWS; i++) {
		const struct pages_window *w = &p->windows[i];
		double bytes = w->whole ? w->sum / w->whole * PAGE_BYTES : 0;

		if (!w->whole)
			continue;
		/* Averages of unlike windows may cross; a longer one holds the shorter. */
		least = bytes > least ? bytes : least;
		c->seconds[c->n] = w->seconds;
		c->bytes[c->n++] = least;
	}
}

uint64_t pages_hot(const struct pages *p)
{
	uint64_t n = 0;

	for (uint64_t page = 0; p->spans && page < p->npages; page++)
		n += p->often[page] * 2u > p->spans;
	return n;
}

uint64_t pages_in(const struct pages *p, uint64_t first, uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t page = first; page < first + n && page < p->npages; page++)
		sum += p->ever[page / 64] >> page % 64 & 1;
	return sum;
}
