/*
 * lookout.h - sees that mapped files have become shorter.
 *
 * A page that is in RAM is found without asking its file, which another
 * program may have truncated meanwhile. Nobody tells the pager; so a thread
 * of the host asks each mapped file for its size once in LOOKOUT_MS, and
 * clean pages past the end go, out of every page table. Who touches one then
 * finds that there is none, and gets SIGBUS. The page which the end cuts
 * through goes with them, and is read again with zeros behind the end.
 *
 * Dirty pages stay until they are written, as ever: what has been stored is
 * not taken back before the store has said that there is no place for it.
 */
#ifndef PAGER_LOOKOUT_H
#define PAGER_LOOKOUT_H

#include <stdbool.h>

#define LOOKOUT_MS	1000
#define LOOKOUT_STOP_MS	1500	/* patience with a file */

struct lookout;
struct vm;

/*
 * Ask all files once, and wait for their answers. Files whose device is gone
 * are looked for (comeback.h). => true: some are back.
 */
bool lookout_look(struct vm *vm);

/* Do so from now on, and call @looked after each look, with what it says.
 * => NULL: no thread. */
struct lookout *lookout_start(struct vm *vm,
			      void (*looked)(void *arg, bool back), void *arg);
/* Before the machine is destroyed. => 0; -EBUSY: a file does not answer: leave
 * the machine and its stores alone until the process ends, but for vm_end().
 * NULL: nothing. */
int lookout_stop(struct lookout *lookout);

#endif
