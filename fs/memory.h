/*
 * memory.h - a daemon that may serve the system's swap.
 *
 * When memory is short the kernel writes dirty pages to us, and we must not
 * need memory that it can only get by writing to us. So what serving needs is
 * there from the start and locked, and what is allocated all the same does
 * not set off writing. Each of these needs a privilege; without it the daemon
 * serves as well, only not in that situation, and says so at level info.
 */
#ifndef FS_MEMORY_H
#define FS_MEMORY_H

#include <stddef.h>

/* In the main thread, before there are others. */
void memory_prepare(void);
/* In each serving thread: what the C library hands out there is in memory. */
void memory_prepare_thread(void);
/* Have [@start, @start + @length) in memory. */
void memory_populate(void *start, size_t length);

#endif
