/*
 * told.h - the signals that tell the daemon to end, and that tell it again.
 *
 * They are blocked in every thread and read from a descriptor, so none ever
 * interrupts a request. All is for the main thread, which at the end waits in
 * ticks by told_wait().
 */
#ifndef FS_TOLD_H
#define FS_TOLD_H

#include <stdbool.h>

/* => A descriptor that polls readable when it is told, -1: there is none. */
int told_open(void);
void told_close(void);

/* Wait for @ms, a few, less if a signal comes; 0: just look. => The ms it was;
 * those for which the daemon was stopped are none. */
unsigned int told_wait(unsigned int ms);

/*
 * Has it been told to end again, a second or more after the first time? (One
 * end may come as two signals: to the daemon, and to its process group.)
 */
bool told_again(void);

#endif
