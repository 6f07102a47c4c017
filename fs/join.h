/*
 * join.h - wait for a thread, for so long.
 *
 * How long is counted tick by tick, as it is waited: while a process is stopped
 * (SIGSTOP, a frozen cgroup) the clock runs on, and it has not waited.
 */
#ifndef FS_JOIN_H
#define FS_JOIN_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* By CLOCK_MONOTONIC, which nobody sets. */
static inline struct timespec join_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts;
}

#define JOIN_TICK_MS	100	/* a tick that took longer was a stop */

/* => The ms since @begin, of one tick. */
static inline unsigned int join_passed(const struct timespec *begin)
{
	struct timespec now = join_now();
	long ms = (now.tv_sec - begin->tv_sec) * 1000 +
		  (now.tv_nsec - begin->tv_nsec) / 1000000;

	return ms < JOIN_TICK_MS ? ms : JOIN_TICK_MS;
}

/* Wait for one ms. => As many as it was. */
static inline unsigned int join_tick(void)
{
	const struct timespec tick = { 0, 1000000 };
	struct timespec begin = join_now();

	nanosleep(&tick, NULL);
	return join_passed(&begin);
}

/* => Did @thread end within @ms? */
static inline bool join_within(pthread_t thread, unsigned int ms)
{
	unsigned int waited = 0;
	int err;

	while ((err = pthread_tryjoin_np(thread, NULL)) == EBUSY && waited < ms)
		waited += join_tick();
	return !err;
}

#endif
