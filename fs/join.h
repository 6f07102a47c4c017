/*
 * join.h - wait for a thread for so long, by no clock that can be set.
 */
#ifndef FS_JOIN_H
#define FS_JOIN_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* @thread ends within *@ms, of which what is left is told. => Did it? */
static inline bool join_within(pthread_t thread, unsigned int *ms)
{
	const struct timespec tick = { 0, 1000000 };
	int err;

	while ((err = pthread_tryjoin_np(thread, NULL)) == EBUSY && *ms) {
		nanosleep(&tick, NULL);
		--*ms;
	}
	return !err;
}

#endif
