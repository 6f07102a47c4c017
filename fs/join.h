/*
 * join.h - wait for a thread until a moment, by a clock that nobody sets.
 */
#ifndef FS_JOIN_H
#define FS_JOIN_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* @ms from now, by CLOCK_MONOTONIC. */
static inline struct timespec join_deadline(unsigned int ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += ms % 1000 * 1000000l;
	ts.tv_sec += ms / 1000 + ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

static inline bool join_is_past(const struct timespec *until)
{
	struct timespec now = join_deadline(0);

	return now.tv_sec > until->tv_sec ||
	       (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

/* => Did @thread end by then? */
static inline bool join_by(pthread_t thread, const struct timespec *until)
{
	const struct timespec tick = { 0, 1000000 };
	int err;

	while ((err = pthread_tryjoin_np(thread, NULL)) == EBUSY &&
	       !join_is_past(until))
		nanosleep(&tick, NULL);
	return !err;
}

#endif
