/*
 * wait.h - waiting for a frame, for memory, for an I/O descriptor.
 *
 * A fault that cannot be settled now leaves a waiter under a key and returns;
 * whoever changes what the key stands for wakes it, and the fault starts
 * again from nothing. A waiter is the waiting thread's own; it is in at most
 * one queue. All of this is under the core lock, so that no wake-up falls
 * between the look and the wait.
 */
#ifndef PAGER_WAIT_H
#define PAGER_WAIT_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

struct waiter {
	struct waiter *next;
	uint64_t key;			/* 0: not waiting */
	int result;			/* 0, or -errno of what was awaited */
	bool owes;			/* woken to take what others wait for
					 * too: pageio_pass_on() */
	uint64_t nunmaps;		/* a fault's: of its map, when it began */
	void (*wake)(struct waiter *w);	/* core lock held; must not take it */
};

#define WAIT_FRAME(pfn)	((uint64_t)(pfn) + 1)
#define WAIT_MEMORY	(1ull << 40)	/* to read a page, for a table */
#define WAIT_ROOM	(5ull << 40)	/* for a page that is new */
#define WAIT_READ_IO	(2ull << 40)	/* for a descriptor to read by, */
#define WAIT_STORE	(7ull << 40)	/* to take writes again */
#define WAIT_WRITE_IO	(6ull << 40)	/* to write by */

/* => core lock held, for all of these. */
void wait_init(struct vm *vm);
void wait_add(struct vm *vm, struct waiter *w, uint64_t key);
/* Wake up to @max waiters of @key, oldest first. => how many. */
unsigned wait_wake(struct vm *vm, uint64_t key, int result, unsigned max);
/* Take @w out without waking it; no-op when it does not wait. */
void wait_cancel(struct vm *vm, struct waiter *w);
unsigned wait_count(const struct vm *vm, uint64_t key);

#endif
