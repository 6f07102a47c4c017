/*
 * measure.h - time, medians, and the tables that the benches print.
 *
 * A bench takes both sides in turn, repetition by repetition, into a series
 * each. A row shows the median of either side and the median of the ratios,
 * so that a machine that changes its speed in between does not matter.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REPS_MAX	101
#define UNUSED		__attribute__((unused))

struct series {
	double v[REPS_MAX];
	unsigned n;
};

enum target_kind { TARGET_NONE, AT_MOST, AT_LEAST };

struct target {
	enum target_kind kind;
	double limit;
};

__attribute__((cold, noreturn, unused))
static void die(const char *what, int err)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s%s%s\n", program_invocation_name, what,
		err ? ": " : "", err ? strerror(err < 0 ? -err : err) : "");
	exit(1);
}

UNUSED static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

UNUSED static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* The same numbers each time a bench is run. */
UNUSED static uint64_t random64(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

UNUSED static uint32_t draw(uint32_t n)
{
	return (uint32_t)((random64() >> 11) % n);
}

/* The numbers below @n in random order. */
UNUSED static uint32_t *shuffled(uint32_t n)
{
	uint32_t *v = malloc(n * sizeof(*v));

	if (!v)
		die("out of memory", 0);
	for (uint32_t i = 0; i < n; i++)
		v[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = draw(i), t = v[i - 1];

		v[i - 1] = v[j];
		v[j] = t;
	}
	return v;
}

UNUSED static void series_add(struct series *s, double v)
{
	if (s->n < REPS_MAX)
		s->v[s->n++] = v;
}

static int median_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of @n values, which it sorts. */
UNUSED static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), median_compare);
	return v[n / 2];
}

UNUSED static double series_median(const struct series *s)
{
	struct series t = *s;

	return t.n ? median(t.v, t.n) : 0;
}

/* The median of a[i] / b[i]. */
UNUSED static double series_ratio(const struct series *a,
				  const struct series *b)
{
	struct series r = { .n = 0 };

	for (unsigned i = 0; i < a->n && i < b->n; i++)
		series_add(&r, a->v[i] / b->v[i]);
	return series_median(&r);
}

/* @unit: of both sides. */
UNUSED static void table_head(const char *title, const char *ours,
			      const char *unit)
{
	printf("\n%s\n\n", title);
	printf("| case | %s, %s | beside it | %s | ratio | target | |\n",
	       ours, unit, unit);
	printf("|---|---:|---|---:|---:|---:|---|\n");
}

static void table_target(double value, struct target t)
{
	bool met = t.kind == AT_MOST ? value <= t.limit : value >= t.limit;

	if (t.kind == TARGET_NONE)
		printf(" | |\n");
	else
		printf(" %s %.4g | %s |\n", t.kind == AT_MOST ? "≤" : "≥",
		       t.limit, met ? "met" : "**missed**");
	fflush(stdout);
}

UNUSED static void table_row(const char *name, const struct series *ours,
			     const char *who, const struct series *other,
			     struct target t)
{
	double ratio = series_ratio(ours, other);

	printf("| %s | %.4g | %s | %.4g | %.2f |", name, series_median(ours),
	       who, series_median(other), ratio);
	table_target(ratio, t);
}

/* A value that has its target by itself. */
UNUSED static void table_value(const char *name, double value, struct target t)
{
	printf("| %s | %.4g | | | |", name, value);
	table_target(value, t);
}

#endif
