/*
 * again.h - calls into SOURCE that nobody means to interrupt.
 *
 * The serving threads block all signals, but what io_uring has to do in a
 * thread looks to the kernel like one (on Linux before 5.19 each completion;
 * later the birth of a thread of the ring's). A file system whose calls can be
 * interrupted, FUSE above all, then says EINTR, to a client who had no signal.
 * So ask again, but not for ever: SOURCE may mean it.
 */
#ifndef FS_AGAIN_H
#define FS_AGAIN_H

#include <errno.h>

#define AGAIN_MOST	1000

/* @call: an expression that is negative, with errno, if it fails. */
#define AGAIN(call) ({							\
	unsigned int again_left = AGAIN_MOST;				\
	__typeof__(call) again_result;					\
									\
	do								\
		again_result = (call);					\
	while (again_result < 0 && errno == EINTR && again_left--);	\
	again_result;							\
})

#endif
