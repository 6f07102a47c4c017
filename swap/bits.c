/*
 * bits.c - a bitmap with summaries.
 *
 * level[0] holds one bit per number, level[k + 1] one bit per word of
 * level[k]; the top level is a single word. Going up stops as soon as a word
 * changes nothing for its parent (it was not, or is not, zero), so most sets
 * and clears touch one word.
 *
 * Invariant: bit i of level[k + 1] is set <=> word i of level[k] is not 0.
 * Bits at n and above are 0.
 */
#include "swap/bits.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t words(uint32_t nbits)
{
	return nbits / 64 + (nbits % 64 != 0);
}

int bits_init(struct bits *bits, uint32_t n)
{
	uint32_t w = words(n ? n : 1);

	assert(n < BITS_NONE);
	memset(bits, 0, sizeof(*bits));
	bits->n = n;
	for (;;) {
		uint64_t *level = calloc(w, sizeof(*level));

		if (!level) {
			bits_free(bits);
			return -ENOMEM;
		}
		bits->level[bits->nlevels++] = level;
		if (w == 1)
			return 0;
		w = words(w);
	}
}

void bits_free(struct bits *bits)
{
	for (unsigned k = 0; k < bits->nlevels; k++)
		free(bits->level[k]);
	memset(bits, 0, sizeof(*bits));
}

/* Word @w of the lowest level became non-zero: say so above. */
static void tell_set(struct bits *bits, uint32_t w)
{
	for (unsigned k = 1; k < bits->nlevels; k++) {
		uint64_t *word = &bits->level[k][w / 64];
		uint64_t was = *word;

		*word = was | 1ull << (w % 64);
		if (was)
			return;
		w /= 64;
	}
}

/* Word @w of the lowest level became zero: say so above. */
static void tell_clear(struct bits *bits, uint32_t w)
{
	for (unsigned k = 1; k < bits->nlevels; k++) {
		uint64_t *word = &bits->level[k][w / 64];

		*word &= ~(1ull << (w % 64));
		if (*word)
			return;
		w /= 64;
	}
}

/* The bits of one word from @from on, at most @count; says how many. */
static uint64_t span(uint32_t from, uint32_t count, uint32_t *n)
{
	uint32_t room = 64 - from % 64;

	*n = count < room ? count : room;
	return (~0ull >> (64 - *n)) << (from % 64);
}

void bits_set(struct bits *bits, uint32_t from, uint32_t count)
{
	uint32_t n;

	assert(from <= bits->n && count <= bits->n - from);
	for (; count; from += n, count -= n) {
		uint64_t *word = &bits->level[0][from / 64];
		uint64_t mask = span(from, count, &n);
		uint64_t was = *word;

		*word = was | mask;
		if (!was)
			tell_set(bits, from / 64);
	}
}

void bits_clear(struct bits *bits, uint32_t from, uint32_t count)
{
	uint32_t n;

	assert(from <= bits->n && count <= bits->n - from);
	for (; count; from += n, count -= n) {
		uint64_t *word = &bits->level[0][from / 64];
		uint64_t mask = span(from, count, &n);
		uint64_t was = *word;

		*word = was & ~mask;
		if (was && !*word)
			tell_clear(bits, from / 64);
	}
}

/* From bit @i of @level down to the least member below it. */
static uint32_t descend(const struct bits *bits, unsigned level, uint32_t i)
{
	while (level--)
		i = i * 64 + (uint32_t)__builtin_ctzll(bits->level[level][i]);
	return i;
}

uint32_t bits_next(const struct bits *bits, uint32_t from)
{
	uint32_t limit = bits->n;	/* bits of this level */

	for (unsigned k = 0; k < bits->nlevels; k++) {
		uint64_t word;

		if (from >= limit)
			return BITS_NONE;
		word = bits->level[k][from / 64] & ~0ull << (from % 64);
		if (word) {
			from = (from & ~63u) | (uint32_t)__builtin_ctzll(word);
			return descend(bits, k, from);
		}
		from = from / 64 + 1;
		limit = words(limit);
	}
	return BITS_NONE;
}

uint32_t bits_run(const struct bits *bits, uint32_t from, uint32_t max)
{
	uint32_t run = 0;

	while (run < max && from + run < bits->n) {
		uint32_t at = from + run;
		uint64_t gap = ~bits->level[0][at / 64] >> (at % 64);

		if (gap) {
			run += (uint32_t)__builtin_ctzll(gap);
			break;
		}
		run += 64 - at % 64;
	}
	return run < max ? run : max;
}

uint32_t bits_check(const struct bits *bits)
{
	uint32_t limit = bits->n ? bits->n : 1, members = 0;

	for (unsigned k = 0; k < bits->nlevels; k++) {
		uint32_t w = words(limit);

		for (uint32_t i = 0; i < w; i++) {
			uint64_t word = bits->level[k][i];

			if (k == 0)
				members += (uint32_t)__builtin_popcountll(word);
			if (k + 1 < bits->nlevels)
				assert((bits->level[k + 1][i / 64] >> (i % 64) &
					1) == (word != 0));
		}
		if (limit % 64)
			assert(!(bits->level[k][w - 1] >> (limit % 64)));
		limit = w;
	}
	return members;
}
