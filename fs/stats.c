/*
 * stats.c - counters by thread and operation, and their sum as text.
 *
 * A counter is written by one thread only, with a plain load and store; a
 * reader may see one request counted and its bytes not yet. The counters of a
 * thread are allocated with its first request and stay until the process
 * ends. Lock: stats_lock guards the list of them, not the counting.
 */
#include "fs/stats.h"
#include "fs/op.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct stats_op {
	_Atomic uint64_t count, failed, bytes, ns;
	_Atomic uint64_t buckets[STATS_BUCKETS];
};

struct stats {
	struct stats *next;
	struct stats_op ops[OP_MAX];
};

static pthread_mutex_t stats_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stats *stats_all;
static __thread struct stats *stats_mine;
static _Atomic uint64_t stats_ended;

static struct stats *stats_begin(void)
{
	struct stats *stats = calloc(1, sizeof(*stats));

	if (!stats)
		return NULL;
	pthread_mutex_lock(&stats_lock);
	stats->next = stats_all;
	stats_all = stats;
	pthread_mutex_unlock(&stats_lock);
	return stats_mine = stats;
}

static void stats_add(_Atomic uint64_t *counter, uint64_t value)
{
	uint64_t sum = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, sum + value, memory_order_relaxed);
}

unsigned int stats_bucket(uint64_t ns)
{
	uint64_t us = ns ? (ns - 1) / 1000 : 0;
	unsigned int bucket = us ? 64 - __builtin_clzll(us) : 0;

	return bucket < STATS_BUCKETS ? bucket : STATS_BUCKETS - 1;
}

void stats_count(unsigned int opcode, uint64_t ns, bool failed,
		 uint64_t bytes)
{
	struct stats *stats = stats_mine ? stats_mine : stats_begin();
	struct stats_op *op;

	if (!stats || opcode >= OP_MAX)
		return;
	op = &stats->ops[opcode];
	stats_add(&op->count, 1);
	stats_add(&op->ns, ns);
	stats_add(&op->buckets[stats_bucket(ns)], 1);
	if (failed)
		stats_add(&op->failed, 1);
	if (bytes)
		stats_add(&op->bytes, bytes);
}

void stats_count_ended(void)
{
	atomic_fetch_add(&stats_ended, 1);
}

/* ---- as text ---- */

struct stats_sum {
	uint64_t count, failed, bytes, ns;
	uint64_t buckets[STATS_BUCKETS];
};

static void stats_sum_op(struct stats_sum *sum, const struct stats_op *op)
{
	unsigned int i;

	sum->count += op->count;
	sum->failed += op->failed;
	sum->bytes += op->bytes;
	sum->ns += op->ns;
	for (i = 0; i < STATS_BUCKETS; i++)
		sum->buckets[i] += op->buckets[i];
}

static void stats_sum(struct stats_sum *sums)
{
	const struct stats *stats;
	unsigned int i;

	pthread_mutex_lock(&stats_lock);
	for (stats = stats_all; stats; stats = stats->next)
		for (i = 0; i < OP_MAX; i++)
			stats_sum_op(&sums[i], &stats->ops[i]);
	pthread_mutex_unlock(&stats_lock);
}

static void stats_head(FILE *out, const char *name, const char *type,
		       const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* One counter of each operation that has occurred. */
static void stats_print_one(FILE *out, const struct stats_sum *sums,
			    const char *name, const char *help,
			    size_t offset, bool zeros)
{
	uint64_t value;
	unsigned int i;

	stats_head(out, name, "counter", help);
	for (i = 0; i < OP_MAX; i++) {
		value = *(const uint64_t *)((const char *)&sums[i] + offset);
		if (op_name(i) && sums[i].count && (zeros || value))
			fprintf(out, "%s{op=\"%s\"} %lu\n", name, op_name(i),
				value);
	}
}

static void stats_print_histogram(FILE *out, const struct stats_sum *sum,
				  const char *op)
{
	static const char name[] = "pagerfs_request_seconds";
	uint64_t below = 0;
	unsigned int i;

	for (i = 0; i < STATS_BUCKETS - 1; i++) {
		below += sum->buckets[i];
		fprintf(out, "%s_bucket{op=\"%s\",le=\"%.6f\"} %lu\n", name,
			op, (1u << i) / 1e6, below);
	}
	/* Not @count, which another thread may have raised meanwhile. */
	below += sum->buckets[i];
	fprintf(out, "%s_bucket{op=\"%s\",le=\"+Inf\"} %lu\n", name, op,
		below);
	fprintf(out, "%s_sum{op=\"%s\"} %.9f\n", name, op, sum->ns / 1e9);
	fprintf(out, "%s_count{op=\"%s\"} %lu\n", name, op, below);
}

void stats_print(FILE *out)
{
	struct stats_sum *sums = calloc(OP_MAX, sizeof(*sums));
	unsigned int i;

	if (!sums)
		return;
	stats_sum(sums);
	stats_print_one(out, sums, "pagerfs_requests_total",
			"Requests answered.",
			offsetof(struct stats_sum, count), true);
	stats_print_one(out, sums, "pagerfs_errors_total",
			"Requests answered with an error.",
			offsetof(struct stats_sum, failed), true);
	stats_print_one(out, sums, "pagerfs_bytes_total", "Bytes of data.",
			offsetof(struct stats_sum, bytes), false);
	stats_head(out, "pagerfs_request_seconds", "histogram",
		   "From taking a request to its answer.");
	for (i = 0; i < OP_MAX; i++)
		if (sums[i].count && op_name(i))
			stats_print_histogram(out, &sums[i], op_name(i));
	stats_head(out, "pagerfs_timeouts_total", "counter",
		   "Requests ended by the watchdog.");
	fprintf(out, "pagerfs_timeouts_total %lu\n", (uint64_t)stats_ended);
	free(sums);
}
