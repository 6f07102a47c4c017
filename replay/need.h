/*
 * need.h - memory, or the end: the replayer has nothing to save.
 */
#ifndef REPLAY_NEED_H
#define REPLAY_NEED_H

#include <err.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static inline void *need(void *memory)
{
	if (!memory)
		errx(2, "out of memory");
	return memory;
}

static inline void *need_zeroed(size_t count, size_t size)
{
	return need(calloc(count ? count : 1, size));
}

#endif
