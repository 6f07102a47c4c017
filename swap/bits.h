/*
 * bits.h - a set of numbers 0..n-1, with "next member from here" in log64(n).
 *
 * A bitmap with summaries above it: a bit of a summary is set if the word
 * below it is not zero. Locks: none; the caller serialises.
 */
#ifndef SWAP_BITS_H
#define SWAP_BITS_H

#include <stdbool.h>
#include <stdint.h>

#define BITS_LEVELS	6	/* 64^6 covers all of uint32_t */
#define BITS_NONE	UINT32_MAX

struct bits {
	uint32_t n;		/* members are below this; < BITS_NONE */
	unsigned nlevels;
	uint64_t *level[BITS_LEVELS];	/* 0: the set; above: summaries */
};

/* The empty set of numbers below @n. => 0, -ENOMEM. */
int bits_init(struct bits *bits, uint32_t n);
void bits_free(struct bits *bits);

/* Put in or take out the @count numbers from @from. => within n. */
void bits_set(struct bits *bits, uint32_t from, uint32_t count);
void bits_clear(struct bits *bits, uint32_t from, uint32_t count);

static inline bool bits_test(const struct bits *bits, uint32_t i)
{
	return bits->level[0][i / 64] >> (i % 64) & 1;
}

/* The least member >= @from, which may be n; BITS_NONE if there is none. */
uint32_t bits_next(const struct bits *bits, uint32_t from);

/* How many members follow each other from @from on, counting to @max. */
uint32_t bits_run(const struct bits *bits, uint32_t from, uint32_t max);

/* Assert that the summaries say what is below them. => the members. */
uint32_t bits_check(const struct bits *bits);

#endif
