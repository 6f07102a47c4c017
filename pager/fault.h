/*
 * fault.h - settle one page fault.
 */
#ifndef PAGER_FAULT_H
#define PAGER_FAULT_H

#include "pager/core.h"
#include "pager/wait.h"

struct percpu;
struct proc;

enum fault_result {
	FAULT_DONE,	/* make the access again */
	FAULT_WAIT,	/* @w was queued; when woken with result 0, again */
	FAULT_SIGNAL,	/* *sig and *why */
};

/*
 * Settle the fault @pf that process @p took. => no lock held, outside.
 * @pc is the CPU's own if it took it, NULL if it was no CPU. @w is the faulting thread's waiter, in no queue. When it is woken with a
 * result < 0, ask fault_result().
 */
enum fault_result fault_resolve(struct vm *vm, struct percpu *pc,
				struct proc *p, const struct page_fault *pf,
				struct waiter *w, int *sig, const char **why);
/*
 * What the fault of @p has come to that waited by @w and was woken: 0, make
 * the access again; or why it cannot succeed. An error of the store is of what
 * was mapped when the wait began: if anything was unmapped since, the access
 * will show.
 */
int fault_result(struct proc *p, const struct waiter *w);
/* The text for such a result. */
const char *fault_why(int result);
/*
 * For one that does not get on: is RAM too small, or is swap full? => why, for
 * a SIGBUS; NULL: neither, no write succeeds, and @w waits until one does.
 */
const char *fault_stuck(struct vm *vm, struct waiter *w);

/*
 * Does an access get on? One that needs two pages, in a machine with one frame
 * to spare, would be settled for ever and never succeed. Start with zeros, ask
 * at each fault. => false: it has gone to and fro between the same pages so
 * often that it never will; give it -EDEADLK.
 */
struct fault_history {
	uint64_t page[2];
	unsigned n;
};
bool fault_advances(struct fault_history *h, const struct page_fault *pf);

#endif
