/*
 * comeback.h - stores whose device went, and has come back.
 *
 * When the daemon of the store dies, all descriptors that lead into its mount
 * are dead for good, also when a new daemon serves the same files. Every page
 * that was in RAM is still there, and the dirty ones wait to be written; so
 * each store is asked whether it is back, and opens itself again if it is.
 *
 * The mount is another one then, and so is the device number by which a file
 * that is mapped again is known for one that is mapped already.
 */
#ifndef PAGER_COMEBACK_H
#define PAGER_COMEBACK_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

/*
 * Ask swap, and if it is not there, or @files, all mapped files too. No lock
 * held; waits for their answers. => true: one is back.
 */
bool comeback_look(struct vm *vm, bool files);

/*
 * A file on device @dev is about to be mapped. If the device is new, it may be
 * an old one that is back: then its files are known by it now. No lock held;
 * may wait. => 0; -EMFILE, -ENFILE, -ENOMEM: whether it is cannot be said now,
 * and nothing of it may be mapped, lest one file become two.
 */
int comeback_expect(struct vm *vm, uint64_t dev);

#endif
