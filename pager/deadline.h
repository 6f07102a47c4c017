/*
 * deadline.h - a moment from now, for pthread_cond_timedwait(3) in the host's
 * threads. (Emulated threads sleep by vm_thread_sleep().)
 */
#ifndef PAGER_DEADLINE_H
#define PAGER_DEADLINE_H

#include <time.h>

/* @ms milliseconds from now, by the clock of conditions, CLOCK_REALTIME. */
static inline struct timespec deadline_in(unsigned ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += ms % 1000 * 1000000l;
	ts.tv_sec += ms / 1000 + ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

#endif
