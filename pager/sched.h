/*
 * sched.h - threads on CPUs, and who waits for I/O.
 *
 * Each emulated CPU is a host thread that takes threads from one run queue.
 * The first CPU that finds it empty while I/O is under way waits in the store
 * engine itself, so that with one thread faulting, the CPU that faults
 * submits, waits and goes on in one system call and no other host thread is
 * ever woken, and with many, completions come in batches. The others hand over
 * what they submitted and sleep; another is woken when four threads are ready,
 * or when one has used up its time while others wait.
 *
 * Lock: the scheduler's own, a leaf below the core lock.
 */
#ifndef PAGER_SCHED_H
#define PAGER_SCHED_H

#include "pager/core.h"
#include "pager/wait.h"

struct proc;
struct vm_thread;

int sched_create(struct vm *vm);
void sched_destroy(struct vm *vm);
/* A thread of the machine itself, without a process. */
int sched_daemon(struct vm *vm, vm_step_fn step, struct vm_thread **t);
/* I/O in flight: whether there is anything to wait for. Any lock may be
 * held. */
void sched_io_started(struct vm *vm);
void sched_io_ended(struct vm *vm);
/* Hand queued I/O to the store now. => no lock held. */
void sched_kick(struct vm *vm);

/* Like vm_run(), but does not wait for timers: what is retried again and again
 * is left alone. */
void sched_settle(struct vm *vm);

/* All threads but the daemon end where they are, the newest first. => the CPUs
 * are not running. */
void sched_end_threads(struct vm *vm);

/* A host thread that is no CPU waits for something. */
struct host_waiter {
	struct waiter w;
	bool woken;		/* sched lock */
	struct vm *vm;
};
void host_waiter_init(struct host_waiter *h, struct vm *vm);
/* Wait until h->w was woken; drives CPU 0 if the CPUs are not running. =>
 * h->w.result; -EDEADLK: nothing that runs could ever wake it. */
int host_wait(struct host_waiter *h);

/* The CPU for accesses from outside, with @p's table loaded. => service_lock
 * held. */
struct cpu *sched_service_cpu(struct vm *vm, const struct proc *p);

#endif
