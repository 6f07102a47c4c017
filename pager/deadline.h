/*
 * deadline.h - a moment from now, by a clock that nobody sets, to wait until
 * in the host's threads. (Emulated threads sleep by vm_thread_sleep().)
 */
#ifndef PAGER_DEADLINE_H
#define PAGER_DEADLINE_H

#include <pthread.h>
#include <time.h>

/* @ms milliseconds from now. */
static inline struct timespec deadline_in(unsigned ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += ms % 1000 * 1000000l;
	ts.tv_sec += ms / 1000 + ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

/* As pthread_cond_timedwait(3), whatever clock @cond was made with. */
static inline int deadline_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
				const struct timespec *until)
{
	return pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, until);
}

#endif
