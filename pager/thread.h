/*
 * thread.h - a thread: a step function, and what it waits for.
 *
 * The scheduler runs it and keeps it (sched.c); this is what a thread is by
 * itself. Its fields are its CPU's while it runs, and the scheduler's, under
 * the scheduler's lock, while it does not.
 */
#ifndef PAGER_THREAD_H
#define PAGER_THREAD_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "pager/fault.h"
#include "pager/sync.h"
#include "pager/vm.h"
#include "pager/wait.h"

enum thread_state { THREAD_READY, THREAD_RUNNING, THREAD_PARKED };

struct vm_thread {
	struct waiter w;
	struct vm *vm;
	struct proc *p;			/* holds a reference; NULL: none */
	struct vm_thread_info info;
	struct vm_thread *next;		/* run queue */
	RB_ENTRY(vm_thread) timer;
	LIST_ENTRY(vm_thread) all;
	struct sync sync;
	struct fault_history history;
	uint64_t wake_at, seq;
	enum thread_state state;
	bool token;			/* vm_thread_wake() came first */
	bool wtoken;			/* the waiter's wake came first */
	bool on_waiter;			/* PARKED: until the waiter is woken */
	bool timed, faulting, syncing;
	uint64_t sleep_until;		/* asked for by this step */
	uint64_t fault_addr;
	int sig, result;
	const char *why;
} __attribute__((aligned(64)));		/* its CPU writes here at each fault */

/* => a thread without a process, in no queue, its waiter's wake not set; NULL:
 * no memory. free() it. */
struct vm_thread *thread_new(struct vm *vm, const struct vm_thread_info *info);
/* Its process's, if it has one: the reference goes. */
void thread_leave(struct vm_thread *t);
/* It waited for a fault or a sync and was woken: what came of it? => false: it
 * waits again. */
bool thread_resume(struct vm_thread *t);
/* It is to end, whatever it waits for. => no I/O is under way. */
void thread_give_up(struct vm_thread *t);
/* Its step ended in the fault @pf, on the CPU of @pc. => false: it waits. */
bool thread_fault(struct vm_thread *t, struct percpu *pc,
		  const struct page_fault *pf);

#endif
