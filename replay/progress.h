/*
 * progress.h - a bar on the terminal, for what takes over two seconds.
 */
#ifndef REPLAY_PROGRESS_H
#define REPLAY_PROGRESS_H

#include <stdint.h>

/* @what: in front of the bar. Nothing is shown where nobody looks. */
void progress_start(const char *what);
void progress_tick(uint64_t done, uint64_t all);
/* Take the bar away, so that a line can be printed, or for good. */
void progress_clear(void);

#endif
