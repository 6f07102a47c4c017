/*
 * watchdog.h - a request that hangs in the real file is ended, for whoever
 * asked; -o timeout=SECONDS.
 *
 * The client gets ETIMEDOUT. What the request does to the real file goes on
 * for as long as the file system below wants: its slot and buffer stay its
 * own, its file is not closed and its inode not forgotten before, and its
 * answer, when it comes, is thrown away. What a rule keeps back does not
 * hang and is left alone.
 */
#ifndef FS_WATCHDOG_H
#define FS_WATCHDOG_H

#include "fs/request.h"

#include <stdbool.h>

struct loop;
struct slot;

/* Watch @loop, if @seconds are not 0. => 0 or -errno, reported. */
int watchdog_start(struct loop *loop, double seconds);
/* Before the loop is destroyed. */
void watchdog_stop(void);

/* A request is being answered and out of hand now. => true: the answer is to
 * be sent; false: it had been ended. */
bool watchdog_answer(struct request *request);
/* Does this request close or forget what an ended one still works on? Then
 * it is parked, and comes again through gate_arrive(). */
bool watchdog_defers(struct slot *slot);

#endif
