/*
 * zipf.h - reproducible random numbers: uniform, and Zipf-distributed.
 *
 * A seed goes in, a stream comes out; the same seed gives the same stream on
 * every machine. Nothing is shared and nothing is locked: each user owns its
 * struct. Zipf needs no table, so a range of 2^40 pages costs what one of 10
 * does.
 */
#ifndef PAGER_ZIPF_H
#define PAGER_ZIPF_H

#include <stdint.h>

/* splitmix64 (Steele, Lea, Flood 2014): 8 bytes of state, any seed is good. */
struct rng {
	uint64_t state;
};

/* The finaliser alone: a bijection that spreads every bit over all. */
uint64_t rng_mix(uint64_t x);
uint64_t rng_next(struct rng *r);
/* Uniform in [0, n), without the bias of a remainder. => n > 0. */
uint64_t rng_below(struct rng *r, uint64_t n);

struct zipf {
	uint64_t n;
	double s;
	double h_first, h_last, accept;
};

#define ZIPF_S_MAX	16.0

/* Ranks 1..n, rank k with a weight of k^-s. => n > 0, 0 <= s <= ZIPF_S_MAX. */
void zipf_init(struct zipf *z, uint64_t n, double s);
/* A rank, 1..n. */
uint64_t zipf_next(const struct zipf *z, struct rng *r);

#endif
