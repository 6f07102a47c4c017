/*
 * stats.h - how many requests, how many bytes, how long.
 *
 * Each serving thread counts for itself; a reader adds them up. A latency
 * falls into a bucket by powers of two of a microsecond.
 */
#ifndef FS_STATS_H
#define FS_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define STATS_BUCKETS	26	/* up to 1 us, 2 us, ... 16.8 s, and longer */

/* A request of this thread is answered. @bytes: of data it moved. */
void stats_count(unsigned int opcode, uint64_t ns, bool failed,
		 uint64_t bytes);
/* The watchdog ended one. */
void stats_count_ended(void);

/* The bucket that @ns falls into. */
unsigned int stats_bucket(uint64_t ns);

/* All of it in Prometheus' text format. */
void stats_print(FILE *out);

#endif
