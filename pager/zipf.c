/*
 * zipf.c - reproducible random numbers: uniform, and Zipf-distributed.
 *
 * Zipf by rejection-inversion (W. Hoermann, G. Derflinger: "Rejection-
 * inversion to generate variates from monotone discrete distributions", ACM
 * TOMACS 6(3), 1996): a uniform number is carried through the inverse of H,
 * the integral of x^-s, rounded to a rank, and kept if it lies under the
 * rank's own bar. Fewer than 1.1 tries are needed on average.
 *
 * Invariant: a generator's output depends on its seed and on how often it was
 * asked, on nothing else. No locks.
 */
#include "zipf.h"

#include <assert.h>
#include <math.h>

#define RNG_GAMMA	0x9e3779b97f4a7c15ull

uint64_t rng_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

uint64_t rng_next(struct rng *r)
{
	r->state += RNG_GAMMA;
	return rng_mix(r->state);
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	uint64_t limit = -n % n;	/* 2^64 mod n: what would bias */
	unsigned __int128 wide;

	do {
		wide = (unsigned __int128)rng_next(r) * n;
	} while ((uint64_t)wide < limit);
	return (uint64_t)(wide >> 64);
}

/* Uniform in [0, 1). */
static double rng_unit(struct rng *r)
{
	return (double)(rng_next(r) >> 11) * 0x1p-53;
}

/* (exp(x) - 1) / x, and log(1 + x) / x: s = 1 and its neighbourhood have no
 * other stable form. */
static double expm1_over(double x)
{
	return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2 * (1 + x / 3);
}

static double log1p_over(double x)
{
	return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x * (0.5 - x / 3);
}

static double zipf_h(double s, double x)
{
	return exp(-s * log(x));
}

static double zipf_integral(double s, double x)
{
	double lx = log(x);

	return expm1_over((1 - s) * lx) * lx;
}

static double zipf_inverse(double s, double x)
{
	double t = x * (1 - s);

	if (t < -1)		/* rounding only: the integral ends here */
		t = -1;
	return exp(log1p_over(t) * x);
}

void zipf_init(struct zipf *z, uint64_t n, double s)
{
	assert(n && s >= 0 && s <= ZIPF_S_MAX);
	z->n = n;
	z->s = s;
	z->h_first = zipf_integral(s, 1.5) - 1;
	z->h_last = zipf_integral(s, (double)n + 0.5);
	z->accept = 2 - zipf_inverse(s, zipf_integral(s, 2.5) - zipf_h(s, 2));
}

static double zipf_clamp(const struct zipf *z, double k)
{
	if (!(k >= 1))
		return 1;
	return k > (double)z->n ? (double)z->n : k;
}

uint64_t zipf_next(const struct zipf *z, struct rng *r)
{
	uint64_t rank;

	for (;;) {
		double u = z->h_last + rng_unit(r) * (z->h_first - z->h_last);
		double x = zipf_inverse(z->s, u);
		double k = zipf_clamp(z, floor(x + 0.5));

		if (k - x <= z->accept ||
		    u >= zipf_integral(z->s, k + 0.5) - zipf_h(z->s, k)) {
			rank = (uint64_t)k;
			/* (double)n may round up past n */
			return rank > z->n ? z->n : rank;
		}
	}
}
